//! The workload and the faults, over one pair of ends.

use std::collections::BTreeMap;

use whimbrel_connector::Mutation;
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server, TestDatabase};

use super::process::{Following, Hold, Wishes};
use super::workload::{
    BALANCE, Definitions, ITEMS, SEATS_TABLE, SHIFTING_TABLE, TABLES, Workload, rows, tables,
};
use crate::ends::{Ends, wait_until};
use crate::random::Random;

const BEGIN: [&str; 8] = [
    "--follow",
    "--json",
    "--prepare",
    "truncate",
    "--chunk-size",
    "64KiB",
    "--jobs",
    "2",
];

/// Definitions are followed in tables that the task made itself.
pub(super) const MAKES_TABLES: &[&str] =
    &["--follow", "--json", "--chunk-size", "64KiB", "--jobs", "2"];

/// Slow enough that a load takes a second or two, and steps and faults fall into it.
const SLOW: Fault = Fault::Throttle {
    bytes_per_s: 1_500_000,
};

const STEPS_BEFORE: usize = 5;
/// Beside the load.
const STEPS_LOADING: usize = 12;
/// All together.
const STEPS: usize = 38;
/// The first while loading, the others while following.
const FAULTS: usize = 3;

/// What is done to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    Kill,
    Interrupt,
    CutSource,
    CutTarget,
    CutSourceInBlock,
    CutTargetInAnswer,
    /// No byte moves for some steps.
    StallSource,
    StallTarget,
    /// Half-open for some steps: what either end sends is lost; then the connections are gone.
    LoseSource,
    LoseTarget,
    /// The server does what it is told, and its answers are lost; then the connections are gone.
    LoseAnswersOfTarget,
    /// The server ends whatever statements run, as by a time limit or a deadlock.
    EndStatementsOfSource,
    EndStatementsOfTarget,
    RestartSource,
    RestartTarget,
}

const BLOWS: [Blow; 13] = [
    Blow::Kill,
    Blow::Interrupt,
    Blow::CutSource,
    Blow::CutTarget,
    Blow::CutSourceInBlock,
    Blow::CutTargetInAnswer,
    Blow::StallSource,
    Blow::StallTarget,
    Blow::LoseSource,
    Blow::LoseTarget,
    Blow::LoseAnswersOfTarget,
    Blow::EndStatementsOfSource,
    Blow::EndStatementsOfTarget,
];

/// Ends with the workload's tables, a proxy before each.
pub(super) struct Arena {
    pub(super) ends: Ends,
    pub(super) source_proxy: FaultProxy,
    pub(super) target_proxy: FaultProxy,
    pub(super) workload: Workload,
    /// Made by every command of the arena.
    pub(super) mutation: Option<Mutation>,
    pub(super) options: &'static [&'static str],
    marks: u32,
}

impl Drop for Arena {
    /// The server is others' too.
    fn drop(&mut self) {
        if let Some(limit) = silence_limit(self.ends.source.engine()) {
            let back = format!("set global {limit} = default");
            if let Err(error) = self.ends.source.sql(&back) {
                eprintln!("{back}: {error:#}");
            }
        }
    }
}

/// The setting of all its users of how long the server of a log may be silent.
fn silence_limit(engine: Engine) -> Option<&'static str> {
    match engine {
        Engine::Mysql97 => Some("replica_net_timeout"),
        Engine::Mariadb1011 | Engine::Mariadb118 => Some("slave_net_timeout"),
        Engine::Postgres15 | Engine::Postgres16 | Engine::Postgres17 | Engine::Postgres18 => None,
    }
}

impl Arena {
    pub(super) async fn new(mut ends: Ends, random: Random) -> Self {
        let engine = ends.source.engine();
        ends.source.sql(&tables(engine)).unwrap();
        if engine.is_postgres() {
            // Transactions of some rows are sent while they run.
            let name = ends.source.sql("select current_database()").unwrap();
            let streams = format!(
                "alter database {0} set logical_decoding_work_mem = '64kB'; alter database {0} set wal_sender_timeout = '8s'",
                name.trim()
            );
            ends.source.sql(&streams).unwrap();
        }
        if let Some(limit) = silence_limit(engine) {
            let silence = format!("set global {limit} = 8");
            ends.source.sql(&silence).unwrap();
        }
        ends.target.sql(SEATS_TABLE).unwrap();
        let source_proxy = ends.break_source().await;
        let target_proxy = ends.break_target().await;
        Self {
            workload: Workload::new(engine, random),
            ends,
            source_proxy,
            target_proxy,
            mutation: None,
            options: &BEGIN,
            marks: 0,
        }
    }

    fn wishes<'a>(&self, hold: Option<&'a Hold>) -> Wishes<'a> {
        let mutation = self.mutation;
        Wishes { hold, mutation }
    }

    pub(super) fn begin(&self) -> Following {
        Following::start_with(&self.ends, self.options, &self.wishes(None))
    }

    /// Begins, to be held at a point.
    pub(super) fn begin_held(&self, hold: &Hold) -> Following {
        Following::start_with(&self.ends, self.options, &self.wishes(Some(hold)))
    }

    pub(super) fn resume(&self) -> Following {
        self.resume_with(&self.wishes(None))
    }

    /// Resumes, to be held at a point.
    pub(super) fn resume_held(&self, hold: &Hold) -> Following {
        self.resume_with(&self.wishes(Some(hold)))
    }

    fn resume_with(&self, wishes: &Wishes<'_>) -> Following {
        let options = [self.options, &["--resume"]].concat();
        Following::start_with(&self.ends, &options, wishes)
    }

    /// Writes at the source.
    pub(super) fn steps(&mut self, count: usize) {
        for _ in 0..count {
            let step = self.workload.step();
            let done = self.ends.source.sql(&step);
            assert!(done.is_ok(), "{done:?}\n{step}");
        }
    }

    /// Writes a mark at the source and waits until it is at the target: everything before it is, too.
    pub(super) fn wait_for_mark(&mut self, following: &mut Following) {
        // A mark that the load brings says nothing of the tables that were loaded before.
        following.wait_until("it followed", Following::is_following);
        self.marks += 1;
        let mark = self.marks;
        let insert = format!("insert into marks values ({mark})");
        self.ends.source.sql(&insert).unwrap();
        let arrived = format!("marks where id = {mark}");
        following.wait_until("the mark arrived", |_| self.ends.arrived(&arrived) == 1);
    }

    /// At any moment, the target shows what was there after some transaction.
    pub(super) fn check_balance(&self) {
        // The table may be empty yet, or not be there.
        let sum = self
            .ends
            .target
            .sql("select coalesce(sum(balance), 0) from seats");
        let sum: usize = sum.map_or(0, |sum| sum.trim().parse().unwrap());
        assert!(
            sum == 0 || sum == BALANCE,
            "part of a transaction is seen: {sum}"
        );
    }

    /// Compares all rows.
    pub(super) fn check_equal(&self) {
        self.check_equal_without("");
    }

    /// Compares the rows of all tables but one.
    pub(super) fn check_equal_without(&self, table: &str) {
        for table in TABLES.into_iter().filter(|it| *it != table) {
            let differences = self.differences(table);
            assert!(
                differences.is_empty(),
                "rows of {table} differ: {differences:#?}"
            );
        }
    }

    /// Rows that one end has more often than the other, some twenty of them: by how much the source has more.
    pub(super) fn differences(&self, table: &str) -> Vec<(String, i32)> {
        differences(&self.ends.source, &self.ends.target, table)
    }

    /// Compares all rows, with the words of the command. Tables that came to be meanwhile may be on their way.
    pub(super) fn check_valid(&self) {
        if self.workload.definitions.is_some() {
            wait_until(|| self.ends.run("validate", &[]).exit_code == Some(0));
            return;
        }
        let said = self.ends.run_well("validate", &[]);
        assert!(said.out.contains("6 tables compared: 6 equal"), "{said:?}");
    }
}

fn differences(source: &TestDatabase, target: &TestDatabase, table: &str) -> Vec<(String, i32)> {
    let mut counts: BTreeMap<String, i32> = BTreeMap::new();
    for (end, by) in [(source, 1), (target, -1)] {
        let rows = end.sql(&rows(end.engine(), table)).unwrap();
        for row in rows.lines() {
            *counts.entry(row.to_owned()).or_default() += by;
        }
    }
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .take(20)
        .collect()
}

/// A run with its blows.
struct Torture<'a> {
    arena: Arena,
    following: Following,
    random: Random,
    servers: Option<(&'a Server, &'a Server)>,
    blows: Vec<Blow>,
    is_loading: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

impl Torture<'_> {
    fn strike(&mut self, blow: Blow) {
        self.following.wait_for_start();
        let bytes = 1 + self.random.bits() % 60_000;
        let in_block = Fault::CutAfter { bytes };
        match blow {
            Blow::Kill => self.following.kill(),
            Blow::Interrupt => self.following.interrupt(),
            Blow::CutSource => self.arena.source_proxy.cut(),
            Blow::CutTarget => self.arena.target_proxy.cut(),
            Blow::CutSourceInBlock => self.arena.source_proxy.set(in_block),
            Blow::CutTargetInAnswer => self
                .arena
                .target_proxy
                .set(Fault::CutAfter { bytes: bytes / 100 }),
            Blow::StallSource => self.silence(Side::Source, Fault::Stall),
            Blow::StallTarget => self.silence(Side::Target, Fault::Stall),
            Blow::LoseSource => self.silence(Side::Source, Fault::Lose),
            Blow::LoseTarget => self.silence(Side::Target, Fault::Lose),
            Blow::LoseAnswersOfTarget => self.silence(Side::Target, Fault::LoseAnswers),
            Blow::EndStatementsOfSource => end_statements(&self.arena.ends.source),
            Blow::EndStatementsOfTarget => end_statements(&self.arena.ends.target),
            Blow::RestartSource => self.servers.unwrap().0.restart().unwrap(),
            Blow::RestartTarget => self.servers.unwrap().1.restart().unwrap(),
        }
        if matches!(blow, Blow::Kill | Blow::Interrupt) {
            self.following.check_nothing_left_out();
            let pause = self.random.below(4);
            self.arena.steps(pause);
            // A command that cannot connect when it starts ends at once, and says so: that is not
            // what the cut is for.
            self.arena.source_proxy.disarm();
            self.arena.target_proxy.disarm();
            self.following = self.arena.resume();
        }
        self.blows.push(blow);
    }

    /// A server is not heard for some steps. Where bytes were lost, the connections are of no use any more.
    fn silence(&mut self, side: Side, fault: Fault) {
        let steps = 1 + self.random.below(3);
        self.proxy(side).set(fault);
        self.arena.steps(steps);
        let is_loading_slowly = self.is_loading && side == Side::Target;
        let after = if is_loading_slowly { SLOW } else { Fault::None };
        if fault != Fault::Stall {
            self.proxy(side).cut();
        }
        self.proxy(side).set(after);
    }

    fn proxy(&self, side: Side) -> &FaultProxy {
        match side {
            Side::Source => &self.arena.source_proxy,
            Side::Target => &self.arena.target_proxy,
        }
    }

    /// Goes on at full speed, and writes on, until the load is over.
    fn finish_load(&mut self) {
        self.arena.target_proxy.set(Fault::None);
        self.is_loading = false;
        let arena = &mut self.arena;
        self.following.wait_until("it followed", |it| {
            arena.steps(1);
            it.is_following()
        });
        arena.workload.may_truncate = true;
    }

    fn run(&mut self, mut planned: Vec<(usize, Blow)>) {
        planned.sort_by_key(|(step, _)| *step);
        for step in 0..STEPS {
            while planned.first().is_some_and(|(at, _)| *at == step) {
                let (_, blow) = planned.remove(0);
                self.strike(blow);
            }
            self.arena.steps(1);
            if step == STEPS_LOADING {
                self.finish_load();
            }
            if step % 8 == 0 {
                self.arena.check_balance();
            }
            assert!(
                !self.following.has_ended(),
                "it ended: {:?}",
                self.following
            );
        }
    }
}

/// Ends the statements of all others in a database.
fn end_statements(database: &TestDatabase) {
    if database.engine().is_postgres() {
        let sql = "select pg_cancel_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
        database.sql(sql).unwrap();
        return;
    }
    let running = "select id from information_schema.processlist where db = database() and id <> connection_id() and command <> 'Sleep'";
    for id in database.sql(running).unwrap().lines() {
        // It may have ended by itself.
        database.sql(&format!("kill query {id}")).ok();
    }
}

/// Loads and follows under blows, and compares.
pub(super) async fn torture(ends: Ends, servers: Option<(&Server, &Server)>, must: &[Blow]) {
    let mut random = Random::announced();
    let arena = Arena::new(ends, random.split()).await;
    struck(arena, random, servers, must);
}

/// The same while definitions change.
pub(super) async fn torture_definitions(ends: Ends) {
    let mut random = Random::announced();
    let mut arena = Arena::new(ends, random.split()).await;
    arena.options = MAKES_TABLES;
    arena.workload.definitions = Some(Definitions::default());
    arena.ends.source.sql(SHIFTING_TABLE).unwrap();
    struck(arena, random, None, &[]);
}

fn struck(
    mut arena: Arena,
    mut random: Random,
    servers: Option<(&Server, &Server)>,
    must: &[Blow],
) {
    arena.steps(STEPS_BEFORE);
    let mut blows = must.to_vec();
    while blows.len() < FAULTS {
        blows.push(*random.pick(&BLOWS.each_ref()));
    }
    let mut moments = vec![random.below(STEPS_LOADING)];
    while moments.len() < FAULTS {
        moments.push(STEPS_LOADING + 1 + random.below(STEPS - STEPS_LOADING - 1));
    }
    let planned: Vec<_> = moments.into_iter().zip(blows).collect();
    let pair: [Engine; 2] = [arena.ends.source.engine(), arena.ends.target.engine()];
    eprintln!("{pair:?}: {planned:?}");
    arena.target_proxy.set(SLOW);
    let first_rows = 1 + random.bits() % (ITEMS as u64 / 2);
    let mut following = arena.begin();
    following.wait_until("rows arrived", |_| {
        arena.ends.arrived("items") >= first_rows
    });

    let mut torture = Torture {
        arena,
        following,
        random,
        servers,
        blows: Vec::new(),
        is_loading: true,
    };
    torture.run(planned);
    let Torture {
        mut arena,
        mut following,
        blows,
        ..
    } = torture;
    arena.source_proxy.set(Fault::None);
    arena.target_proxy.set(Fault::None);
    arena.wait_for_mark(&mut following);
    arena.check_equal();
    following.wait_until_caught_up();
    arena.check_valid();
    following.interrupt();
    following.check_nothing_left_out();
    arena.ends.run_well("forget", &[]);
    eprintln!("{pair:?}: {} faults: {blows:?}", blows.len());
    assert!(!blows.is_empty(), "a run without faults shows nothing");
}
