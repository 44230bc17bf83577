//! What befalls servers, which are the test's own.

use whimbrel_testkit::{Fault, Server, Stop};

use super::Run;
use super::strikes::{End, end_sessions};
use crate::ends::wait_until;

/// How long others keep all connections for themselves.
const BUSY_S: u32 = 15;
/// More than a server of these tests has.
const CLIENTS: usize = 40;

impl<'a> Run<'a> {
    fn server(&self, end: End) -> &'a Server {
        let (source, target) = self.servers.expect("the test has servers of its own");
        match end {
            End::Source => source,
            End::Target => target,
        }
    }
}

pub(super) fn restart(run: &mut Run<'_>, end: End, how: Stop) {
    let server = run.server(end);
    let before = run.proxy(end).connections();
    server.stop(how).unwrap();
    run.hold.let_go();
    server.start().unwrap();
    run.wait_for_connection_after(end, before);
}

/// The disk that a table of the target lies on has no room for a while.
pub(super) fn fill_disk(run: &mut Run<'_>) {
    let place = run.server(End::Target).small_disk().unwrap();
    let target = run.database(End::Target);
    target
        .sql(&format!("create tablespace little location '{place}'"))
        .unwrap();
    target
        .sql(
            "alter table items set tablespace little;
             create table filler (b text) tablespace little; alter table filler alter b set storage external",
        )
        .unwrap();
    for bytes in [1_000_000, 5000] {
        let fill = format!("insert into filler select repeat('x', {bytes})");
        while target.sql(&fill).is_ok() {}
    }
    let change = "update items set note = 'more', counter = counter + 1";
    run.database(End::Source).sql(change).unwrap();
    run.hold.let_go();
    run.following
        .wait_until("it noticed", |it| it.err().contains("No space left"));
    assert!(!run.following.has_ended(), "{:?}", run.following);
    run.database(End::Target).sql("drop table filler").unwrap();
}

/// The machine of all three is switched off.
pub(super) fn lose_power(run: &mut Run<'_>) {
    run.kill();
    for end in [End::Source, End::Target] {
        run.server(end).stop(Stop::Kill).unwrap();
    }
    for end in [End::Source, End::Target] {
        run.server(end).start().unwrap();
    }
    run.following = run.arena.resume();
}

/// Somebody drops the slot while the command reads from it.
pub(super) fn drop_slot(run: &mut Run<'_>) {
    let source = run.database(End::Source);
    let ours = "from pg_replication_slots where database = current_database()";
    wait_until(|| {
        let end = format!("select pg_terminate_backend(active_pid) {ours} and active");
        source.sql(&end).unwrap();
        let drop = format!("select count(pg_drop_replication_slot(slot_name)) {ours}");
        source.sql(&drop).is_ok()
    });
    run.hold.let_go();
}

/// What the source keeps of its log for the command; of MySQL and MariaDB nothing that moves.
fn kept_from(run: &Run<'_>) -> String {
    let source = run.database(End::Source);
    if !source.engine().is_postgres() {
        return String::new();
    }
    let slot =
        "select confirmed_flush_lsn from pg_replication_slots where database = current_database()";
    source.sql(slot).unwrap()
}

/// A server is stopped and becomes what it was some changes ago.
fn put_back(run: &mut Run<'_>, end: End) {
    let server = run.server(end);
    server.stop(Stop::Clean).unwrap();
    server.keep_copy().unwrap();
    server.start().unwrap();
    let before = kept_from(run);
    run.let_go_and_catch_up();
    run.arena.steps(3);
    run.arena.wait_for_mark(&mut run.following);
    let is_postgres = run.database(End::Source).engine().is_postgres();
    wait_until(|| !is_postgres || kept_from(run) != before);
    server.stop(Stop::Kill).unwrap();
    server.put_copy_back().unwrap();
    let connections = run.proxy(end).connections();
    server.start().unwrap();
    let proxy = match end {
        End::Source => &run.arena.source_proxy,
        End::Target => &run.arena.target_proxy,
    };
    let following = &mut run.following;
    wait_until(|| following.has_ended() || proxy.connections() > connections);
}

/// The source is restored from a backup that is older than what the target has.
pub(super) fn put_source_back(run: &mut Run<'_>) {
    put_back(run, End::Source);
}

/// The same, and by the time it is asked its log has gone on past the task's place, under the same numbers.
pub(super) fn put_source_back_and_write_on(run: &mut Run<'_>) {
    let server = run.server(End::Source);
    server.stop(Stop::Clean).unwrap();
    server.keep_copy().unwrap();
    server.start().unwrap();
    run.let_go_and_catch_up();
    run.arena.steps(3);
    run.arena.wait_for_mark(&mut run.following);
    run.kill();
    server.stop(Stop::Kill).unwrap();
    server.put_copy_back().unwrap();
    server.start().unwrap();
    // What the workload has done is gone, so that it cannot go on.
    let source = run.database(End::Source);
    if source.engine().is_postgres() {
        let much = "select count(pg_logical_emit_message(false, 'other', repeat('x', 100000))) from generate_series(1, 100)";
        source.sql(much).unwrap();
    }
    let change = "update seats set counter = counter + 1;";
    source.sql(&change.repeat(1000)).unwrap();
    run.following = run.arena.resume();
}

/// The source comes back as a standby that has heard of everything, its slot included, and is promoted.
pub(super) fn promote_source(run: &mut Run<'_>) {
    run.kill();
    run.arena.steps(2);
    let source = run.server(End::Source);
    source
        .sql("copy (select '') to program 'touch standby.signal'")
        .unwrap();
    source.restart().unwrap();
    assert_eq!(source.sql("select pg_is_in_recovery()").unwrap(), "t\n");
    assert_eq!(source.sql("select pg_promote()").unwrap(), "t\n");
    run.following = run.arena.resume();
}

/// The target fails over to a standby that has not heard of the last commits.
pub(super) fn put_target_back(run: &mut Run<'_>) {
    put_back(run, End::Target);
}

/// While nobody reads, the source purges the log.
pub(super) fn purge_log(run: &mut Run<'_>) {
    run.kill();
    run.arena.steps(2);
    let source = run.server(End::Source);
    source.sql("flush binary logs; flush binary logs").unwrap();
    let logs = source.sql("show binary logs").unwrap();
    let last = logs.lines().last().unwrap();
    let last = last.split_whitespace().next().unwrap();
    // A reader that is gone may hold the log for a moment.
    wait_until(|| {
        source
            .sql(&format!("purge binary logs to '{last}'"))
            .unwrap();
        source.sql("show binary logs").unwrap().lines().count() == 1
    });
    run.following = run.arena.resume();
}

/// While nobody reads, the source's log begins anew.
pub(super) fn reset_log(run: &mut Run<'_>) {
    run.kill();
    run.arena.steps(2);
    let source = run.server(End::Source);
    let reset = if source.engine.is_mariadb() {
        "reset master"
    } else {
        "reset binary logs and gtids"
    };
    wait_until(|| source.sql(reset).is_ok());
    run.arena.steps(2);
    run.following = run.arena.resume();
}

/// At the source's address there is another server, with tables of the same names.
pub(super) fn lead_to_another(run: &mut Run<'_>) {
    run.kill();
    let other = Server::private(run.database(End::Source).engine()).unwrap();
    let name = run.database(End::Source).name();
    let tables = crate::follow::workload::tables(other.engine);
    other
        .sql(&format!("create database {name}; use {name}; {tables}"))
        .unwrap();
    let address = format!("{}:{}", other.host, other.port);
    run.proxy(End::Source).lead_to(address.parse().unwrap());
    run.following = run.arena.resume();
    run.others.push(other);
}

/// The target takes no writes for a while.
pub(super) fn make_read_only(run: &mut Run<'_>) {
    let target = run.server(End::Target);
    std::thread::scope(|scope| {
        let set = scope.spawn(|| target.sql("set global super_read_only = 1"));
        // It waits for statements that are open, which may be those of the command that is held.
        let waits = "select count(*) from information_schema.processlist where state = 'Waiting for global read lock' and info like 'set global%'";
        wait_until(|| set.is_finished() || target.sql(waits).unwrap() == "1\n");
        run.hold.let_go();
        set.join().unwrap().unwrap();
    });
    run.arena.steps(2);
    run.following
        .wait_until("it told of it", |it| it.err().contains("read-only"));
    target.sql("set global super_read_only = 0").unwrap();
}

/// The target comes back as a standby, which takes no writes until it is promoted.
pub(super) fn become_standby(run: &mut Run<'_>) {
    let target = run.server(End::Target);
    target
        .sql("copy (select '') to program 'touch standby.signal'")
        .unwrap();
    restart(run, End::Target, Stop::Clean);
    assert_eq!(target.sql("select pg_is_in_recovery()").unwrap(), "t\n");
    run.arena.steps(2);
    run.following.wait_until("it told of it", |it| {
        it.err().contains("promote it if it is a standby")
    });
    assert_eq!(target.sql("select pg_promote()").unwrap(), "t\n");
}

/// Others have all connections of the target.
pub(super) fn no_connection_left(run: &mut Run<'_>) {
    let target = run.server(End::Target);
    let busy = if target.engine.is_postgres() {
        format!("select pg_sleep({BUSY_S})")
    } else {
        format!("select sleep({BUSY_S})")
    };
    // What the command has becomes free, and is taken by them.
    run.proxy(End::Target).set(Fault::Refuse);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| target.sql(&busy)))
            .collect();
        wait_until(|| {
            clients
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
        });
        run.proxy(End::Target).set(Fault::None);
        run.hold.let_go();
        run.following.wait_until("it told of it", |it| {
            let err = it.err().to_lowercase();
            err.contains("too many c") || err.contains("connection slots")
        });
        let refused = clients.into_iter().map(|client| client.join().unwrap());
        assert_ne!(refused.filter(Result::is_err).count(), 0);
    });
}

/// Whatever a server's defaults are, sessions of the command have settings of its own.
pub(super) fn set_otherwise(run: &mut Run<'_>) {
    for end in [End::Source, End::Target] {
        let database = run.database(end);
        if !database.engine().is_postgres() {
            let server = run.server(end);
            server.sql(OF_MYSQL).unwrap();
            continue;
        }
        let mut settings = OF_POSTGRES.to_vec();
        if end == End::Target {
            // The test itself only reads there.
            settings.extend(OF_POSTGRES_TARGET);
        }
        for setting in settings {
            let alter = format!("alter database {} set {setting}", database.name());
            database.sql(&alter).unwrap();
        }
    }
    end_sessions(run, End::Target);
    let before = run.proxy(End::Source).connections();
    run.proxy(End::Source).cut();
    run.arena.steps(1);
    run.wait_for_connection_after(End::Source, before);
}

const OF_MYSQL: &str = "set global time_zone = '+05:45'; set global sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_ZERO_DATE';
    set global transaction isolation level serializable; set global innodb_lock_wait_timeout = 1; set global wait_timeout = 1;
    set global collation_server = 'latin1_swedish_ci'; set global sql_select_limit = 1000000; set global foreign_key_checks = 0";

const OF_POSTGRES: [&str; 6] = [
    "timezone = 'Asia/Kathmandu'",
    "datestyle = 'SQL, DMY'",
    "intervalstyle = 'sql_standard'",
    "bytea_output = 'escape'",
    "extra_float_digits = -3",
    "default_transaction_isolation = 'serializable'",
];

const OF_POSTGRES_TARGET: [&str; 5] = [
    "idle_in_transaction_session_timeout = '250ms'",
    "idle_session_timeout = '250ms'",
    "lock_timeout = '1ms'",
    "session_replication_role = 'local'",
    // Last: with it nothing more can be set.
    "default_transaction_read_only = on",
];
