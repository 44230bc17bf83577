//! What a run is struck by, while it is held.

use nix::sys::signal::Signal;
use whimbrel_testkit::{Fault, FaultProxy, Server, Stop, TestDatabase};

use super::{Phase, Run};
use crate::ends::wait_until;

/// A row of the table of faults.
pub(super) struct Strike {
    /// Its number in `docs/faults.md`.
    pub(super) row: u8,
    pub(super) name: &'static str,
    /// Restarts servers, which then must be the test's own.
    pub(super) wants_servers: bool,
    pub(super) moment: Moment,
    /// Strikes, and lets the command go on. Fails if nothing was struck.
    pub(super) strike: fn(&mut Run<'_>),
}

/// Where within a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// At any point.
    Any,
    /// Right before a commit at the target.
    Commit,
    /// While changes are followed and nothing is open at the target.
    Idle,
}

impl Strike {
    pub(super) fn strikes(&self, phase: Phase) -> bool {
        self.moment != Moment::Idle || phase == Phase::Cdc
    }

    const fn at(mut self, moment: Moment) -> Self {
        self.moment = moment;
        self
    }

    const fn of_servers(mut self) -> Self {
        self.wants_servers = true;
        self
    }
}

const fn on(row: u8, name: &'static str, strike: fn(&mut Run<'_>)) -> Strike {
    Strike {
        row,
        name,
        wants_servers: false,
        moment: Moment::Any,
        strike,
    }
}

pub(super) const FAULTS: [Strike; 19] = [
    on(1, "kill", kill),
    on(4, "zombie", zombie),
    on(5, "restart-source", |run| {
        restart(run, End::Source, Stop::Clean)
    })
    .of_servers(),
    on(5, "crash-source", |run| {
        restart(run, End::Source, Stop::Kill)
    })
    .of_servers(),
    on(11, "restart-target", |run| {
        restart(run, End::Target, Stop::Clean)
    })
    .of_servers(),
    on(11, "crash-target", |run| {
        restart(run, End::Target, Stop::Kill)
    })
    .of_servers(),
    on(11, "answer-lost", answer_lost).at(Moment::Commit),
    on(14, "cut-source", |run| cut(run, End::Source)),
    on(14, "cut-target", |run| cut(run, End::Target)),
    on(14, "cut-within-source", |run| cut_within(run, End::Source)),
    on(14, "cut-within-target", |run| cut_within(run, End::Target)),
    on(14, "silent-source", |run| silent(run, End::Source)),
    on(14, "silent-target", |run| silent(run, End::Target)),
    on(14, "sessions-ended-source", |run| {
        end_sessions(run, End::Source)
    }),
    on(14, "sessions-ended-target", |run| {
        end_sessions(run, End::Target)
    }),
    on(15, "stalled", stalled),
    on(15, "flapping", flapping),
    on(22, "statement-ended", statement_ended).at(Moment::Idle),
    on(36, "slow-target", slow_target),
];

#[derive(Clone, Copy)]
enum End {
    Source,
    Target,
}

impl Run<'_> {
    fn proxy(&self, end: End) -> &FaultProxy {
        match end {
            End::Source => &self.arena.source_proxy,
            End::Target => &self.arena.target_proxy,
        }
    }

    fn database(&self, end: End) -> &TestDatabase {
        match end {
            End::Source => &self.arena.ends.source,
            End::Target => &self.arena.ends.target,
        }
    }

    /// Waits until the command connects anew, which it does only because it was struck.
    fn wait_for_connection_after(&mut self, end: End, before: u64) {
        let proxy = match end {
            End::Source => &self.arena.source_proxy,
            End::Target => &self.arena.target_proxy,
        };
        let connects_anew = || proxy.connections() > before;
        self.following
            .wait_until("it connected again", |_| connects_anew());
    }
}

fn kill(run: &mut Run<'_>) {
    run.following.kill();
    run.following = run.arena.resume();
}

/// Another takes over while this one is stopped; then it wakes up, where it was held.
fn zombie(run: &mut Run<'_>) {
    run.following.signal(Signal::SIGSTOP);
    let mut second = run.arena.resume();
    run.arena.wait_for_mark(&mut second);
    run.hold.let_go();
    run.following.signal(Signal::SIGCONT);
    run.arena.steps(2);
    let first = &mut run.following;
    assert_eq!(first.wait().code(), Some(4), "{first:?}");
    assert!(first.err().contains("was taken over"), "{first:?}");
    run.following = second;
}

fn restart(run: &mut Run<'_>, end: End, how: Stop) {
    let (source, target) = run.servers.expect("the test has servers of its own");
    let server: &Server = match end {
        End::Source => source,
        End::Target => target,
    };
    let before = run.proxy(end).connections();
    server.stop(how).unwrap();
    run.hold.let_go();
    server.start().unwrap();
    run.wait_for_connection_after(end, before);
}

/// The target has committed; nobody hears of it.
fn answer_lost(run: &mut Run<'_>) {
    let before = run.proxy(End::Target).connections();
    run.proxy(End::Target).set(Fault::CutAfter { bytes: 0 });
    run.hold.let_go();
    run.wait_for_connection_after(End::Target, before);
}

fn cut(run: &mut Run<'_>, end: End) {
    let before = run.proxy(end).connections();
    run.proxy(end).cut();
    run.hold.let_go();
    run.arena.steps(1);
    run.wait_for_connection_after(end, before);
}

/// Within whatever the server says next, from its first byte on.
fn cut_within(run: &mut Run<'_>, end: End) {
    let bytes_max = 1 << run.random.below(14);
    let bytes = run.random.bits() % bytes_max;
    let before = run.proxy(end).connections();
    run.proxy(end).set(Fault::CutAfter { bytes });
    run.hold.let_go();
    let arena = &mut run.arena;
    let proxy = match end {
        End::Source => &arena.source_proxy,
        End::Target => &arena.target_proxy,
    };
    let (ends, workload) = (&arena.ends, &mut arena.workload);
    run.following.wait_until("it connected again", |_| {
        ends.source.sql(&workload.step()).unwrap();
        proxy.connections() > before
    });
}

/// The peer takes what it is sent and says nothing; after a while its machine is back and knows of no connection.
fn silent(run: &mut Run<'_>, end: End) {
    let before = run.proxy(end).connections();
    run.proxy(end).set(Fault::Lose);
    run.hold.let_go();
    run.arena.steps(2);
    let lost_before = run.proxy(end).lost_bytes();
    wait_until(|| run.proxy(end).lost_bytes() > 0 || lost_before > 0);
    assert!(!run.following.has_ended(), "{:?}", run.following);
    run.proxy(end).set(Fault::None);
    run.proxy(end).cut();
    run.wait_for_connection_after(end, before);
}

/// The server ends the command's sessions, as an administrator would.
fn end_sessions(run: &mut Run<'_>, end: End) {
    let before = run.proxy(end).connections();
    let database = run.database(end);
    if database.engine().is_postgres() {
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        assert_ne!(database.sql(end).unwrap(), "0\n");
    } else {
        // A session may be over by itself before its turn.
        let ended = ids(database, "true").into_iter();
        let ended = ended.filter(|id| database.sql(&format!("kill {id}")).is_ok());
        assert_ne!(ended.count(), 0);
    }
    run.hold.let_go();
    run.arena.steps(1);
    run.wait_for_connection_after(end, before);
}

/// Sessions of MySQL and MariaDB in this database, our own left out.
fn ids(database: &TestDatabase, condition: &str) -> Vec<u64> {
    let sql = format!(
        "select id from information_schema.processlist where db = database() and id <> connection_id() and {condition}"
    );
    let ids = database.sql(&sql).unwrap();
    ids.lines().map(|id| id.parse().unwrap()).collect()
}

/// No byte moves for a while, and nothing is lost.
fn stalled(run: &mut Run<'_>) {
    for end in [End::Source, End::Target] {
        run.proxy(end).set(Fault::Stall);
    }
    run.hold.let_go();
    run.arena.steps(4);
    // What was read when the stall began still passes.
    let mut passed = (0, 0);
    wait_until(|| {
        let before = passed;
        run.arena.steps(1);
        passed = run.proxy(End::Target).passed_bytes();
        before == passed
    });
    assert!(!run.following.has_ended(), "{:?}", run.following);
    for end in [End::Source, End::Target] {
        run.proxy(end).set(Fault::None);
    }
}

/// Connections end and are refused, again and again; the command comes back each time, and not more often than it waits.
fn flapping(run: &mut Run<'_>) {
    let began = run.proxy(End::Target).connections();
    let mut before = began;
    run.proxy(End::Target).set(Fault::Refuse);
    run.hold.let_go();
    for _ in 0..2 {
        run.proxy(End::Target).set(Fault::Refuse);
        run.wait_for_connection_after(End::Target, before);
        before = run.proxy(End::Target).connections();
        run.proxy(End::Target).set(Fault::None);
        run.arena.steps(1);
    }
    run.proxy(End::Target).set(Fault::None);
    run.wait_for_connection_after(End::Target, before);
    let made = run.proxy(End::Target).connections() - began;
    assert!(made < 60, "a storm of {made} connections");
}

/// A statement of the command, which waits for somebody's lock, is ended by the server, as by a deadlock or a time limit.
fn statement_ended(run: &mut Run<'_>) {
    let Run {
        arena,
        following,
        hold,
        ..
    } = run;
    let target = &arena.ends.target;
    let locks = Locks::of(target);
    std::thread::scope(|scope| {
        let locker = scope.spawn(|| target.sql(locks.take));
        wait_until(|| {
            assert!(!locker.is_finished(), "the tables could not be locked");
            !locks.find(target, locks.holder).is_empty()
        });
        hold.let_go();
        let (source, workload) = (&arena.ends.source, &mut arena.workload);
        following.wait_until("it waited for a lock", |_| {
            source.sql(&workload.step()).unwrap();
            !locks.find(target, locks.waits).is_empty()
        });
        for id in locks.find(target, locks.waits) {
            // It may have been the second of two, ended with the first.
            target.sql(&locks.end_statement.replace('$', &id)).ok();
        }
        following.wait_until("it told of it", |it| it.err().contains("tried again"));
        for id in locks.find(target, locks.holder) {
            target.sql(&locks.end_session.replace('$', &id)).unwrap();
        }
        locker.join().unwrap().unwrap_err();
    });
}

/// How an engine speaks of locks.
struct Locks {
    take: &'static str,
    /// Names the sessions that hold the locks; those that wait for them.
    holder: &'static str,
    waits: &'static str,
    end_statement: &'static str,
    end_session: &'static str,
}

impl Locks {
    fn of(database: &TestDatabase) -> &'static Self {
        if database.engine().is_postgres() {
            return &Self {
                take: "begin; lock table digits, items, codes, seats, loose, marks in exclusive mode; select pg_sleep(600)",
                holder: "select pid from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
                waits: "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                end_statement: "select pg_cancel_backend($)",
                end_session: "select pg_terminate_backend($)",
            };
        }
        &Self {
            take: "lock tables items write, codes write, seats write, loose write, marks write; select sleep(600)",
            holder: "select id from information_schema.processlist where db = database() and state = 'User sleep'",
            waits: "select id from information_schema.processlist where db = database() and state like '%metadata lock%'",
            end_statement: "kill query $",
            end_session: "kill $",
        }
    }

    fn find(&self, database: &TestDatabase, which: &str) -> Vec<String> {
        let ids = database.sql(which).unwrap();
        ids.lines().map(str::to_owned).collect()
    }
}

fn slow_target(run: &mut Run<'_>) {
    let (before, _) = run.proxy(End::Target).passed_bytes();
    run.proxy(End::Target).set(Fault::Throttle {
        bytes_per_s: 60_000,
    });
    run.hold.let_go();
    run.arena.steps(4);
    wait_until(|| run.proxy(End::Target).passed_bytes().0 > before);
    run.proxy(End::Target).set(Fault::None);
}
