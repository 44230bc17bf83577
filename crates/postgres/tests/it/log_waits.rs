//! What runs at the source while a table joins is waited for, whatever becomes of who waits.

use std::time::{Duration, Instant};

use whimbrel_connector::{ChangeLog, Connector, Error, LogStart, RunningWait};
use whimbrel_core::Table;
use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::log_support::{Captured, tables};
use crate::support::{ENGINES, TASK, all_tables, connector};

const TABLE: &str = "create table t (id int primary key)";
const SHORT: RunningWait = RunningWait {
    limit: Duration::from_millis(300),
    fails: false,
};

/// As a process that begins anew does it, which waits for a moment or for as long as it takes.
async fn prepare(
    from: &dyn Connector,
    wait: Option<RunningWait>,
    tables: &[Table],
) -> Result<LogStart, Error> {
    let mut log: Box<dyn ChangeLog> = from.change_log(TASK).await.unwrap();
    if let Some(wait) = wait {
        log.wait_for_running(wait);
    }
    log.prepare(tables).await
}

fn assert_waits(prepared: Result<LogStart, Error>) {
    match prepared {
        Err(Error::Busy(message)) => {
            assert!(message.contains("did not end"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

/// A transaction that has written rows and does not end. Its name is the server's.
fn open(database: &TestDatabase, rows: &str) {
    let name = database.name();
    database
        .sql(&format!(
            "begin; insert into {rows}; prepare transaction '{name}'"
        ))
        .unwrap();
}

fn end(database: &TestDatabase) {
    let name = database.name();
    database.sql(&format!("commit prepared '{name}'")).unwrap();
}

async fn seen(from: &dyn Connector, table: &str) -> usize {
    let mut source = from.source().await.unwrap();
    let tables = all_tables(&mut *source).await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let table = tables.iter().find(|known| known.name.name == table);
    crate::log_views::ids(&*snapshot, table.unwrap())
        .await
        .len()
}

#[tokio::test]
async fn a_wait_that_was_given_up_or_died_is_due_until_it_is_over() {
    for engine in ENGINES {
        let log = Captured::of(engine, TABLE).await;
        let from = &*log.connector;
        log.database
            .sql("create table u (id int primary key)")
            .unwrap();
        let tables = tables(from).await;
        open(&log.database, "u values (1)");
        assert_waits(prepare(from, Some(SHORT), &tables).await);
        assert_waits(prepare(from, Some(SHORT), &tables).await);
        let died = tokio::time::timeout(SHORT.limit, prepare(from, None, &tables)).await;
        assert!(died.is_err());
        assert_waits(prepare(from, Some(SHORT), &tables).await);
        end(&log.database);
        prepare(from, None, &tables).await.unwrap();
        assert_eq!(seen(from, "u").await, 1);
        // What begins later is published.
        open(&log.database, "u values (2)");
        prepare(from, Some(SHORT), &tables).await.unwrap();
        end(&log.database);
    }
}

/// Each of them runs longer than the wait, and none is ended before the next has begun.
#[tokio::test]
async fn transactions_that_overlap_keep_no_table_from_joining() {
    for engine in ENGINES {
        let log = Captured::of(engine, TABLE).await;
        let (database, from) = (&log.database, &*log.connector);
        database.sql("create table u (id int primary key)").unwrap();
        let tables = tables(from).await;
        let gid = |number: usize| format!("{}_{number}", database.name());
        let begin = |number: usize| {
            let sql = format!(
                "begin; insert into u values ({number}); prepare transaction '{}'",
                gid(number)
            );
            database.sql(&sql).unwrap();
        };
        let end = |number: usize| {
            let sql = format!("commit prepared '{}'", gid(number));
            database.sql(&sql).unwrap();
        };
        begin(0);
        let mut joining = from.change_log(TASK).await.unwrap();
        joining.wait_for_running(SHORT);
        assert_waits(joining.prepare(&tables).await);
        let mut tried = 1;
        loop {
            begin(tried);
            end(tried - 1);
            match joining.prepare(&tables).await {
                Err(Error::Busy(_)) if tried < 3 => tried += 1,
                prepared => break drop(prepared.unwrap()),
            }
        }
        end(tried);
    }
}

/// Servers before the releases of May 2025 remember of the first transaction that the table is not published, and lose all that comes behind it.
#[tokio::test]
async fn what_comes_behind_a_table_that_joined_beside_transactions_is_told() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, TABLE).await;
        log.database
            .sql("create table u (id int primary key)")
            .unwrap();
        log.tables = tables(&*log.connector).await;
        open(&log.database, "u values (1)");
        let (to_log, wanted) = (log.connector.clone(), log.tables.clone());
        let preparing = tokio::spawn(async move { prepare(&*to_log, None, &wanted).await });
        let published = "select count(*) from pg_publication_rel where prrelid = 'u'::regclass";
        eventually(&log.database, published, "1").await;
        let name = log.database.name().to_owned();
        log.database
            .sql(&format!(
                "begin; insert into u values (2); prepare transaction '{name}_between'"
            ))
            .unwrap();
        end(&log.database);
        log.database
            .sql(&format!("commit prepared '{name}_between'"))
            .unwrap();
        preparing.await.unwrap().unwrap();
        let in_view = seen(&*log.connector, "u").await;
        assert_eq!(in_view, 2, "of {engine}");
        let told = log.told("insert into u values (3)").await;
        assert!(
            told.contains(&"insert u (3)".to_owned()),
            "of {engine}: {told:?}"
        );
        let temporary = "select count(*) from pg_publication";
        assert_eq!(log.database.sql(temporary).unwrap(), "1\n");
    }
}

/// A process that is killed between two of its statements leaves the same.
#[tokio::test]
async fn tables_that_somebody_else_publishes_are_waited_for_too() {
    for engine in ENGINES {
        let log = Captured::of(engine, TABLE).await;
        let from = &*log.connector;
        let publication = log.database.sql("select pubname from pg_publication");
        let publication = publication.unwrap().trim().to_owned();
        open(&log.database, "t values (1)");
        log.database
            .sql(&format!("create table u (id int primary key); insert into u values (1); alter publication {publication} add table u"))
            .unwrap();
        let tables = tables(from).await;
        assert_waits(prepare(from, Some(SHORT), &tables).await);
        end(&log.database);
        prepare(from, None, &tables).await.unwrap();
        open(&log.database, "t values (2)");
        prepare(from, Some(SHORT), &tables).await.unwrap();
        log.database
            .sql(&format!(
                "comment on publication {publication} is 'do not touch'"
            ))
            .unwrap();
        let other_run = connector(&log.database.url());
        assert_waits(prepare(&*other_run, Some(SHORT), &tables).await);
        end(&log.database);
        prepare(&*other_run, None, &tables).await.unwrap();
        let comment = "select obj_description(oid, 'pg_publication') from pg_publication";
        assert_eq!(log.database.sql(comment).unwrap(), "do not touch\n");
    }
}

#[tokio::test]
async fn a_publication_of_another_owner_is_waited_for_once_in_each_run() {
    let log = Captured::of(Engine::Postgres15, TABLE).await;
    let name = log.database.name().to_owned();
    let user = format!("plain_{name}");
    let publication = log.database.sql("select pubname from pg_publication");
    let publication = publication.unwrap().trim().to_owned();
    log.database
        .sql(&format!(
            "create role {user} login replication password 'x'; alter table t owner to {user};
             grant all on database {name} to {user}; comment on publication {publication} is null"
        ))
        .unwrap();
    let plain = connector(&log.database.url_as(&user, "x"));
    open(&log.database, "t values (1)");
    assert_waits(prepare(&*plain, Some(SHORT), &log.tables).await);
    end(&log.database);
    prepare(&*plain, None, &log.tables).await.unwrap();
    open(&log.database, "t values (2)");
    // What runs now is published, and nothing at the source says so.
    prepare(&*plain, Some(SHORT), &log.tables).await.unwrap();
    let other_run = connector(&log.database.url_as(&user, "x"));
    assert_waits(prepare(&*other_run, Some(SHORT), &log.tables).await);
    // The publication changes, so that its wait is not over for anybody.
    log.database
        .sql("create table u (id int primary key)")
        .unwrap();
    log.database
        .sql(&format!(
            "alter publication {publication} add table u; alter table u owner to {user}"
        ))
        .unwrap();
    assert_waits(prepare(&*plain, Some(SHORT), &log.tables).await);
    end(&log.database);
    log.database
        .sql(&format!("drop owned by {user} cascade; drop role {user}"))
        .unwrap();
}

/// Commits wait for a standby of this name; of none if it is empty.
fn wait_for_standby(server: &TestDatabase, name: &str) {
    let set = format!("alter system set synchronous_standby_names = '{name}'");
    server.sql(&set).unwrap();
    server.sql("select pg_reload_conf()").unwrap();
}

/// When it goes, also because a test fails, commits wait no more.
struct Released<'a>(&'a TestDatabase);

impl Drop for Released<'_> {
    fn drop(&mut self) {
        wait_for_standby(self.0, "");
    }
}

/// A client of its own, ended with the test.
struct Client(std::process::Child);

impl Client {
    fn run(database: &TestDatabase, sql: &str) -> Self {
        let client = std::process::Command::new(whimbrel_testkit::psql())
            .args([&database.url(), "-c", sql])
            .spawn();
        Self(client.unwrap())
    }

    fn succeeds(&mut self) -> bool {
        self.0.wait().unwrap().success()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

async fn eventually(database: &TestDatabase, query: &str, wanted: &str) {
    let begun = Instant::now();
    while database.sql(query).unwrap().trim() != wanted {
        assert!(begun.elapsed() < Duration::from_mins(1), "{query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const WAITING: &str = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";

/// The log has such a transaction, so whoever reads it may be past it; but no snapshot would see it yet.
#[tokio::test]
async fn a_later_load_waits_for_commits_that_wait_for_a_standby() {
    let server = Server::private(Engine::Postgres15).unwrap();
    for (before, commit) in [
        ("select", "insert into t values (1)"),
        (
            "begin; insert into t values (2); prepare transaction 'p'",
            "commit prepared 'p'",
        ),
    ] {
        let mut captured = Captured::on(&server, TABLE).await;
        let database = &captured.database;
        database.sql(before).unwrap();
        let released = Released(database);
        wait_for_standby(database, "nobody");
        let mut commits = Client::run(database, commit);
        eventually(database, WAITING, "1").await;
        captured.log.wait_for_running(SHORT);
        assert_waits(captured.log.prepare(&captured.tables).await);
        drop(released);
        captured.log.prepare(&captured.tables).await.unwrap();
        assert!(commits.succeeds());
        assert_eq!(seen(&*captured.connector, "t").await, 1);
    }
}

/// The server waits for two sets of transactions in turn before it makes a slot. One that begins during the second wait and commits before the
/// slot's place comes from no slot, and while it waits for a standby no snapshot sees it.
#[tokio::test]
async fn a_new_slot_waits_for_commits_that_wait_for_a_standby() {
    let server = Server::private(Engine::Postgres15).unwrap();
    let database = server.database("log").unwrap();
    database
        .sql("create table t (id int primary key); create table o (id int)")
        .unwrap();
    let from = connector(&database.url());
    let tables = tables(&*from).await;
    let open = |id: u32| {
        let sql = format!("insert into o values ({id}); select pg_sleep(600)");
        Client::run(&database, &sql)
    };
    let running = "select count(*) from pg_stat_activity where query ~ '^insert into o' and backend_xid is not null";
    let end = |id: u32| {
        database
            .sql(&format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where query ~ '^insert into o values .{id}'"
            ))
            .unwrap()
    };
    // Whom the making of the slot waits for.
    let waits_for = |id: u32| {
        format!(
            "select count(*) from pg_locks l, pg_locks h, pg_stat_activity a
             where not l.granted and l.locktype = 'transactionid' and h.granted and h.transactionid = l.transactionid
               and a.pid = h.pid and a.query ~ '^insert into o values .{id}'"
        )
    };
    let _first = open(1);
    eventually(&database, running, "1").await;
    let (to_log, wanted) = (from.clone(), tables.clone());
    let preparing = tokio::spawn(async move {
        let mut log = to_log.change_log(TASK).await.unwrap();
        log.prepare(&wanted).await.map(|start| (log, start))
    });
    eventually(&database, &waits_for(1), "1").await;
    let _second = open(2);
    eventually(&database, running, "2").await;
    end(1);
    eventually(&database, &waits_for(2), "1").await;
    let released = Released(&database);
    wait_for_standby(&database, "nobody");
    let mut commits = Client::run(&database, "insert into t values (1)");
    eventually(&database, WAITING, "1").await;
    end(2);
    let made = "select count(*) from pg_replication_slots where confirmed_flush_lsn is not null";
    eventually(&database, made, "1").await;
    let early = tokio::time::timeout(Duration::from_millis(500), async {
        while !preparing.is_finished() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(early.is_err(), "no snapshot would see the transaction");
    drop(released);
    let (mut log, _) = preparing.await.unwrap().unwrap();
    assert!(commits.succeeds());
    assert_eq!(seen(&*from, "t").await, 1);
    log.remove().await.unwrap();
}
