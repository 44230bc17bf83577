//! Commits that are in the source's log before anybody sees them, because they wait for a standby.

use std::time::Duration;

use whimbrel_testkit::{Engine, Server};

use super::process::Following;
use crate::ends::{Ends, wait_until};

const WAITING: &str =
    "select count(*) from information_schema.processlist where state like '%semi-sync ACK%'";

/// Longer than the test; what waits is let go by it.
const WAITS: &str = "set global rpl_semi_sync_master_wait_point = 'AFTER_SYNC';
    set global rpl_semi_sync_master_timeout = 3600000; set global rpl_semi_sync_master_enabled = on";

/// Without the global lock, which would wait for them, views of MariaDB tell their place in the log: one that is older than the place from where the log
/// is followed is not loaded from.
#[test]
fn a_load_from_mariadb_waits_until_its_view_has_what_is_in_the_log() {
    let server = Server::private(Engine::Mariadb1011).unwrap();
    let target = Server::get(Engine::Postgres15).unwrap();
    let mut ends = Ends::on(&server, &target, "semi");
    ends.source
        .sql(
            "create table t (id int primary key); insert into t values (1); create user plain identified by 'x';
             grant select on *.* to plain; grant replication slave, replication client on *.* to plain; flush binary logs",
        )
        .unwrap();
    ends.source_url = ends.source.url_as("plain", "x");
    // The log's last file holds nothing yet.
    ends.run_well("migrate", &["--until-caught-up"]);
    assert_eq!(ends.arrived("t"), 1);
    ends.source.sql(WAITS).unwrap();
    let ends = &ends;
    let let_go = || {
        let sql = "set global rpl_semi_sync_master_enabled = off";
        ends.source.sql(sql).unwrap();
    };
    std::thread::scope(|scope| {
        let commit = scope.spawn(|| ends.source.sql("insert into t values (2)"));
        wait_until(|| ends.source.sql(WAITING).unwrap().trim() == "1");
        let mut following = Following::start(ends, &["--follow", "--json"]);
        let found = waits(&mut following);
        let_go();
        commit.join().unwrap().unwrap();
        assert!(found, "{following:?}");
        following.wait_until_caught_up();
        assert_eq!(ends.arrived("t"), 2);

        // A table that joins later, behind the beginning of a file that holds nothing yet: no view is taken for too old.
        ends.source
            .sql("create table u (id int primary key)")
            .unwrap();
        ends.source.sql("flush binary logs").unwrap();
        following.wait_until("the new table is there", |_| {
            ends.target.sql("select * from u").is_ok()
        });
        following.interrupt();
    });
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    ends.run_well("validate", &[]);
    ends.run_well("forget", &[]);
}

/// Whether it says what it waits for, within a time that others would have loaded in.
fn waits(following: &mut Following) -> bool {
    let began = std::time::Instant::now();
    while began.elapsed() < Duration::from_mins(2) {
        if following
            .err()
            .contains("commits at the source wait for a standby")
        {
            return true;
        }
        if following.has_ended() || following.is_following() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}
