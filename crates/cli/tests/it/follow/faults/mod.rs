//! Faults × phases × pairs of engines × seeds: whatever happens, the target ends with the source's rows, and each change is
//! applied once. `docs/faults.md` tells which fault is tested where.
//!
//! A run loads and follows a workload and is held at a named point of its phase ([`whimbrel_connector::failpoint`]). There it is
//! struck, let go, and has to catch up. So a fault falls where it is meant to, and a run in which it did not strike fails.

mod strikes;

use std::io::Write as _;

use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::{Engine, Server};

use super::process::{Following, Hold};
use super::torture::{Arena, BEGIN};
use crate::ends::{Ends, wait_until};
use crate::random::Random;
use strikes::{FAULTS, Moment, Strike};

/// Names the one case that is to run, `cut-target:cdc`, or says `all`.
const CASE_VARIABLE: &str = "WHIMBREL_FAULT";
/// A file that gets a line for each fault that struck.
const TALLY_VARIABLE: &str = "WHIMBREL_TALLY";
/// Cases of a pair and a seed. The long run makes more rounds.
const CASES: usize = 3;

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
            (Point::BatchBegun, 1 + few),
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
}

impl Run<'_> {
    /// Writes at the source until the command is held.
    fn hold(&mut self) {
        wait_until(|| {
            if self.hold.is_held() {
                return true;
            }
            assert!(!self.following.has_ended(), "{:?}", self.following);
            self.arena.workload.may_truncate = self.following.is_following();
            self.arena.steps(1);
            false
        });
    }

    /// What every fault has to come to: the same rows at both ends, each change applied once.
    fn finish(mut self) {
        self.arena.steps(2);
        self.following
            .wait_until("it followed", Following::is_following);
        self.arena.workload.may_truncate = true;
        self.arena.steps(5);
        self.arena.wait_for_mark(&mut self.following);
        self.arena.check_equal();
        self.following.wait_until_caught_up();
        self.following.interrupt();
        let err = self.following.err();
        assert!(!err.contains("not at the target"), "{err}");
        assert!(!err.contains("was not there"), "{err}");
        self.arena.check_valid();
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
    let mut arena = Arena::new(ends, random.split()).await;
    let (point, count) = match fault.moment {
        Moment::Any => phase.point(random),
        Moment::Commit => phase.commit(random),
        Moment::Idle => (Point::PositionConfirmed, 1 + few(random)),
    };
    eprintln!(
        "{} while {} is held at {}, time {count}",
        fault.name,
        phase.name(),
        point.name()
    );
    arena.steps(4);
    let hold = Hold::at(point, count);
    let following = Following::start_held(&arena.ends, &BEGIN, &hold);
    let mut run = Run {
        arena,
        following,
        hold,
        random: random.split(),
        servers,
    };
    run.hold();
    run.arena.steps(2);
    (fault.strike)(&mut run);
    tally(&format!("{} {} {}", fault.row, fault.name, phase.name()));
    run.finish();
}

/// Counts a fault that struck.
fn tally(line: &str) {
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

/// The cases of a pair: some that the seed chooses, or the one that the environment names.
fn chosen(random: &mut Random, wants_servers: bool) -> Vec<(&'static Strike, Phase)> {
    let all: Vec<(&Strike, Phase)> = FAULTS
        .iter()
        .filter(|fault| fault.wants_servers == wants_servers)
        .flat_map(|fault| Phase::ALL.map(|phase| (fault, phase)))
        .filter(|(fault, phase)| fault.strikes(*phase))
        .collect();
    if let Ok(named) = std::env::var(CASE_VARIABLE) {
        if named == "all" {
            return all;
        }
        let is_named =
            |case: &&(&Strike, Phase)| format!("{}:{}", case.0.name, case.1.name()) == named;
        return all.iter().filter(is_named).copied().collect();
    }
    (0..CASES).map(|_| all[random.below(all.len())]).collect()
}

fn announce(fault: &Strike, phase: Phase, test: &str, seed: u64) {
    eprintln!(
        "to repeat this: WHIMBREL_SEED={seed} {CASE_VARIABLE}={}:{} cargo nextest run -p whimbrel-cli {test}",
        fault.name,
        phase.name()
    );
}

async fn struck(from: Engine, to: Engine, test: &str) {
    let mut random = Random::announced();
    let seed = random.seed();
    for (fault, phase) in chosen(&mut random, false) {
        announce(fault, phase, test, seed);
        let ends = Ends::between(from, to, "fault");
        // Of the case's own, so that a case named alone goes as it went among others.
        let mut random = Random::of_case(seed, fault.name, phase.name());
        case(fault, phase, ends, &mut random, None).await;
    }
}

async fn struck_servers(from: Engine, to: Engine, test: &str) {
    let mut random = Random::announced();
    let seed = random.seed();
    let source = Server::private(from).unwrap();
    let target = Server::private(to).unwrap();
    for (fault, phase) in chosen(&mut random, true) {
        announce(fault, phase, test, seed);
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
}
