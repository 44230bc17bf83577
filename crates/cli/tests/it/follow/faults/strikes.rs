//! The table of faults, and what a run is struck by while it is held.

use nix::sys::signal::Signal;
use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::{Engine, Fault, FaultProxy, Stop, TestDatabase};

use super::{Phase, Run, locks, servers};
use crate::ends::wait_until;
use crate::follow::workload::TABLES;

/// An entry of the table.
pub(super) struct Strike {
    /// Its row in [`super::rows`].
    pub(super) row: u8,
    pub(super) name: &'static str,
    /// Restarts servers or changes what they are, which then must be the test's own.
    pub(super) wants_servers: bool,
    /// Fills a small disk of the target's.
    pub(super) wants_small_disk: bool,
    pub(super) moment: Moment,
    pub(super) sides: Sides,
    pub(super) outcome: Outcome,
    /// Strikes, and lets the command go on. Fails if nothing was struck.
    pub(super) act: fn(&mut Run<'_>),
}

/// Where within a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    /// At any point.
    Any,
    /// Right before a commit at the target.
    Commit,
    /// While changes are followed, and rows are changed at the target and not committed.
    Rows,
    /// While changes are followed and nothing is open at the target.
    Idle,
}

/// Which engines it makes sense for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Any,
    FromPostgres,
    /// From MySQL or MariaDB.
    FromMysql,
    ToMysql97,
    ToPostgres,
    /// From MySQL or MariaDB to PostgreSQL.
    MysqlToPostgres,
}

impl Sides {
    pub(super) fn are(self, from: Engine, to: Engine) -> bool {
        match self {
            Self::Any => true,
            Self::FromPostgres => from.is_postgres(),
            Self::FromMysql => !from.is_postgres(),
            Self::ToMysql97 => to == Engine::Mysql97,
            Self::ToPostgres => to.is_postgres(),
            Self::MysqlToPostgres => !from.is_postgres() && to.is_postgres(),
        }
    }
}

/// What it has to come to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    /// The same rows at both ends, each change applied once.
    Equal,
    /// The command ends by itself and says all of this, in whatever case, now and when it is resumed.
    Refused(&'static [&'static str]),
    /// This table stands still, and the command says so; the others are equal.
    Suspended(&'static str),
}

impl Strike {
    pub(super) fn strikes(&self, phase: Phase) -> bool {
        !matches!(self.moment, Moment::Idle | Moment::Rows) || phase == Phase::Cdc
    }

    const fn at(mut self, moment: Moment) -> Self {
        self.moment = moment;
        self
    }

    const fn with(mut self, sides: Sides) -> Self {
        self.sides = sides;
        self
    }

    const fn ends_as(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    const fn of_servers(mut self) -> Self {
        self.wants_servers = true;
        self
    }

    const fn of_small_disk(mut self) -> Self {
        self.wants_small_disk = true;
        self.of_servers()
    }
}

const fn on(row: u8, name: &'static str, act: fn(&mut Run<'_>)) -> Strike {
    Strike {
        row,
        name,
        wants_servers: false,
        wants_small_disk: false,
        moment: Moment::Any,
        sides: Sides::Any,
        outcome: Outcome::Equal,
        act,
    }
}

const GAP: Outcome = Outcome::Refused(&["load the tables again"]);

pub(super) const FAULTS: &[Strike] = &[
    on(1, "kill", kill),
    on(3, "power-loss", servers::lose_power).of_servers(),
    on(4, "zombie", zombie),
    on(5, "restart-source", |run| {
        servers::restart(run, End::Source, Stop::Clean);
    })
    .of_servers(),
    on(5, "crash-source", |run| {
        servers::restart(run, End::Source, Stop::Kill);
    })
    .of_servers(),
    on(6, "source-promoted", servers::promote_source)
        .of_servers()
        .at(Moment::Idle)
        .with(Sides::FromPostgres),
    on(7, "slot-dropped", servers::drop_slot)
        .at(Moment::Idle)
        .with(Sides::FromPostgres)
        .ends_as(GAP),
    on(8, "source-put-back", servers::put_source_back)
        .of_servers()
        .at(Moment::Idle)
        .ends_as(GAP),
    on(
        8,
        "source-written-on",
        servers::put_source_back_and_write_on,
    )
    .of_servers()
    .at(Moment::Idle)
    .ends_as(GAP),
    on(9, "log-purged", servers::purge_log)
        .of_servers()
        .at(Moment::Idle)
        .with(Sides::FromMysql)
        .ends_as(GAP),
    on(9, "log-reset", servers::reset_log)
        .of_servers()
        .at(Moment::Idle)
        .with(Sides::FromMysql)
        .ends_as(GAP),
    on(10, "another-source", servers::lead_to_another)
        .of_servers()
        .at(Moment::Idle)
        .with(Sides::FromMysql)
        .ends_as(GAP),
    on(11, "restart-target", |run| {
        servers::restart(run, End::Target, Stop::Clean);
    })
    .of_servers(),
    on(11, "crash-target", |run| {
        servers::restart(run, End::Target, Stop::Kill);
    })
    .of_servers(),
    on(11, "answer-lost", answer_lost).at(Moment::Commit),
    on(12, "target-put-back", servers::put_target_back)
        .of_servers()
        .at(Moment::Idle)
        .with(Sides::FromMysql),
    on(12, "target-put-back-too-far", servers::put_target_back)
        .of_servers()
        .at(Moment::Idle)
        .with(Sides::FromPostgres)
        .ends_as(GAP),
    on(13, "read-only-target", servers::make_read_only)
        .of_servers()
        .with(Sides::ToMysql97),
    on(13, "standby-target", servers::become_standby)
        .of_servers()
        .with(Sides::ToPostgres),
    on(14, "cut-source", |run| cut(run, End::Source)),
    on(14, "cut-target", |run| cut(run, End::Target)),
    on(14, "cut-within-source", |run| cut_within(run, End::Source)),
    on(14, "cut-within-target", |run| cut_within(run, End::Target)),
    on(14, "silent-source", |run| {
        silent(run, End::Source, Fault::Lose);
    }),
    on(14, "silent-target", |run| {
        silent(run, End::Target, Fault::Lose);
    }),
    on(14, "sessions-ended-source", |run| {
        end_sessions(run, End::Source);
    }),
    on(14, "sessions-ended-target", |run| {
        end_sessions(run, End::Target);
    }),
    on(15, "stalled", stalled),
    on(15, "flapping", flapping),
    on(15, "far-away", far_away),
    on(15, "one-way-source", |run| {
        silent(run, End::Source, Fault::LoseAnswers);
    }),
    on(15, "one-way-target", |run| {
        silent(run, End::Target, Fault::LoseAnswers);
    }),
    on(16, "address-gone", address_gone),
    on(17, "disk-full", servers::fill_disk)
        .of_small_disk()
        .at(Moment::Idle)
        .with(Sides::ToPostgres),
    on(19, "deadlock", locks::deadlock).at(Moment::Rows),
    on(22, "statement-ended", locks::statement_ended).at(Moment::Idle),
    on(23, "no-connection-left", servers::no_connection_left).of_servers(),
    on(31, "column-gone-at-target", column_gone)
        .at(Moment::Idle)
        .ends_as(Outcome::Suspended("codes")),
    on(32, "poisoned", poisoned)
        .at(Moment::Idle)
        .with(Sides::MysqlToPostgres)
        .ends_as(Outcome::Refused(&[
            "items",
            "key (-1)",
            "column name",
            "cannot hold this text",
        ])),
    on(34, "checkpoint-damaged", damage_checkpoint)
        .at(Moment::Idle)
        .ends_as(Outcome::Refused(&["checkpoint", "load the tables again"])),
    on(36, "slow-target", slow_target),
    on(41, "other-settings", servers::set_otherwise).of_servers(),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Source,
    Target,
}

impl Run<'_> {
    pub(super) fn proxy(&self, end: End) -> &FaultProxy {
        match end {
            End::Source => &self.arena.source_proxy,
            End::Target => &self.arena.target_proxy,
        }
    }

    pub(super) fn database(&self, end: End) -> &TestDatabase {
        match end {
            End::Source => &self.arena.ends.source,
            End::Target => &self.arena.ends.target,
        }
    }

    /// Waits until the command connects anew, which it does only because it was struck.
    pub(super) fn wait_for_connection_after(&mut self, end: End, before: u64) {
        let proxy = match end {
            End::Source => &self.arena.source_proxy,
            End::Target => &self.arena.target_proxy,
        };
        let connects_anew = || proxy.connections() > before;
        self.following
            .wait_until("it connected again", |_| connects_anew());
    }

    /// Ends the command as a crash would.
    pub(super) fn kill(&mut self) {
        self.following.kill();
    }

    /// Lets the command go, and waits until it has applied what was written.
    pub(super) fn let_go_and_catch_up(&mut self) {
        self.hold.let_go();
        self.arena.wait_for_mark(&mut self.following);
    }
}

fn kill(run: &mut Run<'_>) {
    run.kill();
    run.following = run.arena.resume();
}

/// Another takes over while this one is stopped; then it wakes up, where it was held.
pub(super) fn zombie(run: &mut Run<'_>) {
    let task = run.following.task();
    let epoch =
        format!("select epoch from awsdms_control.awsdms_task_epoch where task_name = '{task}'");
    let target = &run.arena.ends.target;
    let before = target.sql(&epoch).unwrap();
    run.following.signal(Signal::SIGSTOP);
    let mut second = run.arena.resume();
    wait_until(|| target.sql(&epoch).unwrap() != before);
    // Sessions that stand still in the middle of a chunk or a batch are ended, so nobody waits for them.
    run.arena.wait_for_mark(&mut second);
    run.hold.let_go();
    run.following.signal(Signal::SIGCONT);
    let first = &mut run.following;
    let arena = &run.arena;
    wait_until(|| {
        if first.has_ended() {
            return true;
        }
        // One that goes on has not noticed.
        let differs = |table: &&str| !arena.differences(table).is_empty();
        first.err().contains("interrupted and tried again") || TABLES.iter().any(differs)
    });
    assert!(first.has_ended(), "a worker that was replaced goes on");
    assert_eq!(first.wait().code(), Some(4), "{first:?}");
    assert!(
        first.err().contains("was taken over"),
        "a worker that was replaced ends for another reason: {first:?}"
    );
    run.following = second;
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

/// Whether the log is read at a point.
fn is_of_following(point: Point) -> bool {
    matches!(
        point,
        Point::BatchGathered
            | Point::BatchBegun
            | Point::RowsApplied
            | Point::ChangesApplied
            | Point::BatchCommitted
            | Point::PositionConfirmed
    )
}

/// The peer says nothing, whether it hears what it is sent or not. Whoever follows a source notices that without help; elsewhere the peer's
/// machine is back after a while and knows of no connection.
fn silent(run: &mut Run<'_>, end: End, fault: Fault) {
    let before = run.proxy(end).connections();
    let lost_before = run.proxy(end).lost_bytes();
    run.proxy(end).set(fault);
    run.hold.let_go();
    run.arena.steps(2);
    wait_until(|| run.proxy(end).lost_bytes() > lost_before);
    assert!(!run.following.has_ended(), "{:?}", run.following);
    if end == End::Source && is_of_following(run.hold.point) {
        run.following.wait_until("it noticed", |it| {
            ["has said nothing", "sign of life"]
                .iter()
                .any(|words| it.err().contains(words))
        });
    }
    run.proxy(end).set(Fault::None);
    run.proxy(end).cut();
    run.wait_for_connection_after(end, before);
}

/// The server ends the command's sessions, as an administrator would.
pub(super) fn end_sessions(run: &mut Run<'_>, end: End) {
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

/// Both servers are on another continent for a while.
fn far_away(run: &mut Run<'_>) {
    let passed = |run: &Run<'_>| {
        run.proxy(End::Source).passed_bytes().1 + run.proxy(End::Target).passed_bytes().1
    };
    for end in [End::Source, End::Target] {
        run.proxy(end).set(Fault::Delay { ms: 300 });
    }
    let before = passed(run);
    run.hold.let_go();
    run.arena.steps(3);
    wait_until(|| passed(run) > before);
    assert!(!run.following.has_ended(), "{:?}", run.following);
    for end in [End::Source, End::Target] {
        run.proxy(end).set(Fault::None);
    }
}

/// Nothing listens at either address any more; then they are back.
fn address_gone(run: &mut Run<'_>) {
    let both = [End::Source, End::Target];
    let connections =
        |run: &Run<'_>| -> u64 { both.map(|end| run.proxy(end).connections()).iter().sum() };
    let before = connections(run);
    for end in both {
        run.proxy(end).set(Fault::Refuse);
    }
    run.hold.let_go();
    wait_until(|| connections(run) > before);
    assert!(!run.following.has_ended(), "{:?}", run.following);
    for end in both {
        run.proxy(end).set(Fault::None);
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

/// A table of the target loses a column under the command's feet.
fn column_gone(run: &mut Run<'_>) {
    run.hold.let_go();
    let drop = "alter table codes drop column value";
    run.database(End::Target).sql(drop).unwrap();
    let change = "insert into codes values ('drift', 'drift', 1, 0)";
    run.database(End::Source).sql(change).unwrap();
}

/// A text with a character that PostgreSQL cannot hold.
fn poisoned(run: &mut Run<'_>) {
    let poison = "insert into items (id, name, counter) values (-1, concat('a', char(0), 'b'), 0)";
    run.database(End::Source).sql(poison).unwrap();
    run.hold.let_go();
}

/// One digit of the checkpoint is another while nobody looks.
fn damage_checkpoint(run: &mut Run<'_>) {
    run.kill();
    let target = run.database(End::Target);
    let table = if target.engine().is_postgres() {
        "awsdms_control.awsdms_task_epoch"
    } else {
        "awsdms_control.awsdms_checkpoint"
    };
    let of_ours = format!("where task_name = '{}'", run.following.task());
    let read = target.sql(&format!("select checkpoint from {table} {of_ours}"));
    let checkpoint = read.unwrap().trim_end().to_owned();
    let digits: Vec<usize> = checkpoint
        .match_indices(|c: char| c.is_ascii_digit())
        .map(|(at, _)| at)
        .collect();
    let at = digits[run.random.below(digits.len())];
    let other = if &checkpoint[at..=at] == "7" {
        "8"
    } else {
        "7"
    };
    let mut damaged = checkpoint;
    damaged.replace_range(at..=at, other);
    let target = run.database(End::Target);
    target
        .sql(&format!(
            "update {table} set checkpoint = '{damaged}' {of_ours}"
        ))
        .unwrap();
    run.following = run.arena.resume();
}
