//! Faults × phases × pairs of engines × seeds: whatever happens, the target ends with the source's rows, and each change is
//! applied once; or the task ends and says why. [`rows`] tells which fault is tested where.
//!
//! A run loads and follows a workload and is held at a named point of its phase ([`whimbrel_connector::failpoint`]). There it is
//! struck, let go, and has to catch up. So a fault falls where it is meant to, and a run in which it did not strike fails.

mod locks;
mod mutations;
mod rows;
mod servers;
mod strikes;
mod sweep;

use std::io::Write as _;

use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::{Engine, Server, ServerOptions};

use super::process::{Following, Hold};
use super::torture::Arena;
use crate::ends::{Ends, wait_until};
use crate::random::Random;
use strikes::{FAULTS, Moment, Outcome, Strike};

/// Says which cases are to run: those whose names begin so, `cut-target:cdc,kill`, so many that the seed chooses, or `all`.
const CASES_VARIABLE: &str = "WHIMBREL_FAULT_CASES";
/// A file that gets a line for each fault that struck.
const TALLY_VARIABLE: &str = "WHIMBREL_TALLY";
/// Cases of a pair and a seed, where nothing is said.
const CASES: usize = 1;

/// Where in the course of a task a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Tables are loaded.
    Load,
    /// The load is over, and no change has been applied.
    Seam,
    /// Changes are applied.
    Cdc,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Load, Self::Seam, Self::Cdc];

    fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Seam => "seam",
            Self::Cdc => "cdc",
        }
    }

    /// A point of the phase. A stream that is opened writes what it follows once, which comes to the points of a batch too.
    fn point(self, random: &mut Random) -> (Point, u32) {
        let few = few(random);
        let load = [
            (Point::SnapshotOpen, 1),
            (Point::TablePrepared, few),
            (Point::ChunkWritten, few),
            (Point::ChunkCommitted, few),
            (Point::TableFinishing, few),
        ];
        let seam = [
            (Point::TableFinished, 6),
            (Point::FollowerClaimed, 1),
            (Point::TablesJoined, 1),
            (Point::StreamOpen, 1),
        ];
        let cdc = [
            (Point::BatchGathered, 1 + few),
            (Point::BatchBegun, 1 + few),
            (Point::RowsApplied, few),
            (Point::ChangesApplied, 1 + few),
            (Point::BatchCommitted, 1 + few),
            (Point::PositionConfirmed, few),
        ];
        let points: &[(Point, u32)] = match self {
            Self::Load => &load,
            Self::Seam => &seam,
            Self::Cdc => &cdc,
        };
        points[random.below(points.len())]
    }

    /// The point right before a commit at the target.
    fn commit(self, random: &mut Random) -> (Point, u32) {
        let few = few(random);
        match self {
            Self::Load => (Point::ChunkWritten, few),
            Self::Seam => (Point::ChangesApplied, 1),
            Self::Cdc => (Point::ChangesApplied, 1 + few),
        }
    }
}

fn few(random: &mut Random) -> u32 {
    1 + u32::try_from(random.below(5)).unwrap()
}

/// One run.
struct Run<'a> {
    arena: Arena,
    following: Following,
    hold: Hold,
    random: Random,
    servers: Option<(&'a Server, &'a Server)>,
    /// More servers, which live as long.
    others: Vec<Server>,
}

impl Run<'_> {
    /// Begins, and writes at the source until the command is held.
    fn held<'a>(
        mut arena: Arena,
        hold: Hold,
        random: &mut Random,
        servers: Option<(&'a Server, &'a Server)>,
    ) -> Run<'a> {
        // Other changes may come to nothing.
        let changes_rows = hold.point == Point::RowsApplied;
        arena.steps(4);
        let mut following = arena.begin_held(&hold);
        wait_until(|| {
            if hold.is_held() {
                return true;
            }
            assert!(!following.has_ended(), "{following:?}");
            arena.workload.may_truncate = following.is_following();
            if changes_rows && following.is_following() {
                let change = "update seats set counter = counter + 1";
                arena.ends.source.sql(change).unwrap();
            } else {
                arena.steps(1);
            }
            false
        });
        Run {
            arena,
            following,
            hold,
            random: random.split(),
            servers,
            others: Vec::new(),
        }
    }

    fn finish(self, outcome: &Outcome) {
        match outcome {
            Outcome::Equal => self.finish_equal(),
            Outcome::Refused(words) => self.finish_refused(words),
            Outcome::Suspended(table) => self.finish_suspended(table),
        }
    }

    /// Writes on until all of it is at the target.
    fn catch_up(&mut self) {
        self.arena.steps(2);
        self.following
            .wait_until("it followed", Following::is_following);
        self.arena.workload.may_truncate = true;
        self.arena.steps(5);
        self.arena.wait_for_mark(&mut self.following);
    }

    /// The same rows at both ends, each change applied once.
    fn finish_equal(mut self) {
        self.catch_up();
        self.arena.check_equal();
        self.following.wait_until_caught_up();
        self.following.interrupt();
        self.following.check_nothing_left_out();
        self.arena.check_valid();
        self.arena.ends.run_well("forget", &[]);
    }

    /// The command ends by itself, says all of this, and says it again.
    fn finish_refused(mut self, words: &[&str]) {
        for _ in 0..2 {
            let code = self.following.wait().code();
            let err = self.following.err().to_lowercase();
            assert!(!matches!(code, Some(0)), "{:?}", self.following);
            for word in words {
                assert!(err.contains(word), "{word}: {err}");
            }
            self.following = self.arena.resume();
        }
    }

    /// A table stands still, and the command says so; the others go on.
    fn finish_suspended(mut self, table: &str) {
        self.catch_up();
        self.arena.check_equal_without(table);
        let events = self.following.events();
        let is_told = events.iter().any(|event| {
            event["table"]
                .as_str()
                .is_some_and(|it| it.ends_with(table))
                && !event["message"].is_null()
        });
        assert!(
            is_told || self.following.err().contains("followed no more"),
            "{:?}",
            self.following
        );
        self.following.kill();
        self.arena.ends.run_well("forget", &[]);
    }
}

/// Loads, follows, strikes, and compares.
async fn case(
    fault: &Strike,
    phase: Phase,
    ends: Ends,
    random: &mut Random,
    servers: Option<(&Server, &Server)>,
) {
    let arena = Arena::new(ends, random.split()).await;
    let (point, count) = match fault.moment {
        Moment::Any => phase.point(random),
        Moment::Commit => phase.commit(random),
        Moment::Rows => (Point::RowsApplied, 1 + few(random)),
        Moment::Idle => (Point::PositionConfirmed, 1 + few(random)),
    };
    eprintln!(
        "{} while {} is held at {}, time {count}",
        fault.name,
        phase.name(),
        point.name()
    );
    let mut run = Run::held(arena, Hold::at(point, count), random, servers);
    run.arena.steps(2);
    (fault.act)(&mut run);
    tally(fault.row, &format!("{} {}", fault.name, phase.name()));
    run.finish(&fault.outcome);
}

/// Counts a fault that struck.
fn tally(row: u8, what: &str) {
    let line = format!("{row} {what}");
    eprintln!("struck: {line}");
    let Some(path) = std::env::var_os(TALLY_VARIABLE) else {
        return;
    };
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    writeln!(file.unwrap(), "{line}").unwrap();
}

/// The cases of a pair: some that the seed chooses, or those that the environment wants.
fn chosen(
    random: &mut Random,
    from: Engine,
    to: Engine,
    wants_servers: bool,
) -> Vec<(&'static Strike, Phase)> {
    let all: Vec<(&Strike, Phase)> = FAULTS
        .iter()
        .filter(|fault| fault.wants_servers == wants_servers && fault.sides.are(from, to))
        .flat_map(|fault| Phase::ALL.map(|phase| (fault, phase)))
        .filter(|(fault, phase)| fault.strikes(*phase))
        .collect();
    let wanted = std::env::var(CASES_VARIABLE).unwrap_or_else(|_| CASES.to_string());
    if wanted == "all" {
        return all;
    }
    if let Ok(count) = wanted.parse::<usize>() {
        return (0..count).map(|_| all[random.below(all.len())]).collect();
    }
    let is_wanted = |case: &&(&Strike, Phase)| {
        let name = format!("{}:{}", case.0.name, case.1.name());
        wanted.split(',').any(|begin| name.starts_with(begin))
    };
    all.iter().filter(is_wanted).copied().collect()
}

fn announce(fault: &Strike, phase: Phase, test: &str, seed: u64) {
    eprintln!(
        "to repeat this: WHIMBREL_SEED={seed} {CASES_VARIABLE}={}:{} cargo nextest run -p whimbrel-cli {test}",
        fault.name,
        phase.name()
    );
}

async fn struck(from: Engine, to: Engine, test: &str) {
    let mut random = Random::announced();
    let seed = random.seed();
    for (fault, phase) in chosen(&mut random, from, to, false) {
        announce(fault, phase, test, seed);
        let ends = Ends::between(from, to, "fault");
        // Of the case's own, so that a case named alone goes as it went among others.
        let mut random = Random::of_case(seed, fault.name, phase.name());
        case(fault, phase, ends, &mut random, None).await;
    }
}

/// In megabytes: what a run needs, and little more.
const SMALL_DISK_MB: u32 = 40;

/// A server of the test's own, with room for few connections.
fn small_server(engine: Engine, has_small_disk: bool) -> Server {
    let name = if engine.is_postgres() {
        "max_connections"
    } else {
        "max-connections"
    };
    let options = ServerOptions {
        settings: vec![(name.to_owned(), "32".to_owned())],
        small_disk_mb: has_small_disk.then_some(SMALL_DISK_MB),
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

async fn struck_servers(from: Engine, to: Engine, test: &str) {
    let mut random = Random::announced();
    let seed = random.seed();
    for (fault, phase) in chosen(&mut random, from, to, true) {
        announce(fault, phase, test, seed);
        // New ones each time: some faults change what a server is.
        let source = small_server(from, false);
        let target = small_server(to, fault.wants_small_disk);
        let ends = Ends::on(&source, &target, "fault");
        let mut random = Random::of_case(seed, fault.name, phase.name());
        case(fault, phase, ends, &mut random, Some((&source, &target))).await;
    }
}

macro_rules! pairs {
    ($run:ident: $($name:ident: $from:ident, $to:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            $run(Engine::$from, Engine::$to, concat!("faults::", stringify!($name))).await;
        })*
    };
}

pairs! { struck:
    faults_strike_postgres_to_postgres: Postgres15, Postgres18;
    faults_strike_postgres_to_mariadb: Postgres18, Mariadb1011;
    faults_strike_postgres_to_mysql: Postgres15, Mysql97;
    faults_strike_mariadb_to_postgres: Mariadb1011, Postgres15;
    faults_strike_mysql_to_postgres: Mysql97, Postgres18;
    faults_strike_mysql_to_mariadb: Mysql97, Mariadb1011;
}

pairs! { struck_servers:
    servers_fail_from_postgres_to_mariadb: Postgres15, Mariadb1011;
    servers_fail_from_mysql_to_postgres: Mysql97, Postgres18;
    servers_fail_from_mariadb_to_mysql: Mariadb1011, Mysql97;
}
