//! A source that fails over to a standby which has the task's slot.

use std::process::Command;
use std::time::{Duration, Instant};

use whimbrel_testkit::{Engine, Server, Stop};

use crate::log_support::{Captured, lsn};
use crate::support::{TASK, connector};

const TABLE: &str = "create table t (id int primary key, name text)";
const PATIENCE: Duration = Duration::from_mins(2);

/// A second server that follows a first one, made and run by that one's own programs beside its data. Stopped with this value; its files go
/// with those of the first.
struct Standby {
    url: String,
    programs: String,
    folder: String,
}

impl Standby {
    fn of(server: &Server, url: &str) -> Self {
        let ask = |sql: &str| server.sql(sql).unwrap().trim().to_owned();
        let programs = ask("select setting from pg_config where name = 'BINDIR'");
        let folder = format!("{}/../standby", ask("show data_directory"));
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let primary = format!(
            "host={} port={} user={} password={} dbname={}",
            server.host,
            server.port,
            server.user,
            server.password,
            url.rsplit_once('/').unwrap().1
        );
        let run = |command: &str| {
            let quoted = command.replace('\'', "''");
            server
                .sql(&format!("copy (select '') to program '{quoted}'"))
                .unwrap();
        };
        run(&format!(
            "{programs}/pg_basebackup -D {folder} -d \"{primary}\" -X stream -C -S standby -R -c fast 2>&1"
        ));
        let settings =
            format!("port = {port}\nsync_replication_slots = on\nhot_standby_feedback = on\n");
        run(&format!(
            "cat >> {folder}/postgresql.auto.conf <<END\n{settings}END"
        ));
        run(&format!(
            "{programs}/pg_ctl -D {folder} -l {folder}/log -w start > /dev/null 2>&1"
        ));
        let (host, port) = (format!(":{}/", server.port), format!(":{port}/"));
        Self {
            url: url.replace(&host, &port),
            programs,
            folder,
        }
    }

    fn sql(&self, sql: &str) -> String {
        let mut psql = Command::new("psql");
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]);
        let done = psql.args(["-c", sql, &self.url]).output().unwrap();
        assert!(done.status.success(), "{sql}: {done:?}");
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        let stop = format!(
            "copy (select '') to program '{}/pg_ctl -D {} -m immediate -W stop > /dev/null 2>&1'",
            self.programs, self.folder
        );
        let mut psql = Command::new("psql");
        // It ends the connection that says so.
        psql.args(["-c", &stop, &self.url]).output().ok();
    }
}

// A server that is stopped waits for the answers of streams, which the test must not block.
#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_that_has_our_slot_is_gone_on_with() {
    let server = Server::private(Engine::Postgres18).unwrap();
    let mut log = Captured::on(&server, TABLE).await;
    let standby = Standby::of(&server, &log.database.url());
    let ours =
        "from pg_replication_slots where database = current_database() and plugin = 'pgoutput'";
    let mut at = log.start.clone();
    let begun = Instant::now();
    // A standby keeps a slot once its own log begins where the slot's does, or before it: so that has to move on.
    for number in 1.. {
        let insert =
            format!("insert into t values ({number}, 'x'); select pg_log_standby_snapshot()");
        log.database.sql(&insert).unwrap();
        let end = log.log.end().await.unwrap();
        let mut reader = log.open_at(&at).await.unwrap();
        let told = reader.until(&end).await.unwrap();
        at = told.last().expect("a row was inserted").position.clone();
        reader.stream.confirm(&at);
        let heard = format!("select confirmed_flush_lsn >= '{}' {ours}", lsn(&at));
        log.eventually(&heard, |answer| answer == "t").await;
        drop(reader);
        let kept = format!(
            "select count(*) {ours} and synced and not temporary and confirmed_flush_lsn >= '{}'",
            lsn(&at)
        );
        let has_come = || standby.sql(&kept) == "1";
        let slept = Instant::now();
        while !has_come() && slept.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if has_come() {
            break;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{}",
            standby.sql("select * from pg_replication_slots")
        );
    }
    server.stop(Stop::Kill).unwrap();
    standby.sql("select pg_promote()");
    standby.sql("insert into t values (0, 'behind')");
    log.connector = connector(&standby.url);
    log.log = log.connector.change_log(TASK).await.unwrap();
    let end = log.log.end().await.unwrap();
    let mut reader = log.open_at(&at).await.unwrap();
    let told = reader.until(&end).await.unwrap();
    let changes: Vec<&String> = told.iter().flat_map(|told| &told.changes).collect();
    assert_eq!(changes, ["insert t (0, behind)"]);
    drop(reader);
    server.start().unwrap();
}
