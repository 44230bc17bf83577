//! Transactions at a steady rate, and the eye that sees them arrive.
//!
//! ```text
//! writers ── update row, set n = number ──► source ── follower ──► target ◄── max(n) of each writer ── observer
//!    └─ clock at the answer of the commit                           clock at the answer of the query ─┘
//! ```
//!
//! Both clocks are the monotonic one of this process. Several writers take turns, because a commit that waits for
//! the disk can take longer than the time between two transactions. Each numbers its own commits and changes its own
//! rows, and its commits arrive in their order; so once the highest number of a writer at the target is `n`, all its
//! commits up to `n` are visible, also when several changes of a row arrive as one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use whimbrel_testkit::{Engine, Server};

use super::session::Session;
use crate::bench::servers::{DATABASE, numbers, sql};

/// Enough for a thousand commits a second where the disk takes some milliseconds for each group of them.
pub(super) const WRITERS: u64 = 8;
pub(super) const ROWS: u64 = 80_000;
/// The same on both ends.
pub(super) const CREATE: &str =
    "create table t (id bigint primary key, w int not null, n bigint not null, note varchar(100));";

/// The observer rests this long after each look: without a pause it would take a core from what is measured.
const PAUSE: Duration = Duration::from_micros(250);
/// How long the observer waits for the last commit after it was made, and for the first.
const PATIENCE: Duration = Duration::from_mins(2);

/// How many transactions, and how fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Transactions per second, of all writers together.
    pub(super) rate: u32,
    /// Transactions of each writer.
    pub(super) count: u64,
}

impl Pace {
    /// The time from one transaction of a writer to its next.
    fn gap(self) -> Duration {
        Duration::from_secs(WRITERS) / self.rate
    }
}

/// A transaction, as its writer saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Commit {
    pub(super) sent: Instant,
    /// When the answer of the commit was there.
    pub(super) done: Instant,
}

/// The highest number of each writer that was visible at the target.
#[derive(Debug, Clone)]
pub(super) struct Sight {
    pub(super) at: Instant,
    pub(super) numbers: Vec<u64>,
}

/// Everything that was noted during one load.
#[derive(Debug)]
pub(super) struct Notes {
    /// The number of each writer's first commit.
    pub(super) first: u64,
    /// Of each writer.
    pub(super) commits: Vec<Vec<Commit>>,
    /// Only looks that showed something new.
    pub(super) sights: Vec<Sight>,
    /// From each look to the next, both at their answers.
    pub(super) intervals: Vec<Duration>,
}

/// The connections to the source.
#[derive(Debug)]
pub(super) struct Writers {
    engine: Engine,
    sessions: Vec<Session>,
    next: u64,
}

/// Makes the table of the source.
pub(super) fn prepare_source(source: &Server) -> Result<()> {
    let (before, rows) = numbers(source.engine, ROWS);
    let fill = format!(
        "{before} insert into t select i, (i - 1) % {WRITERS}, 0, concat('a note of row ', i) from {rows};"
    );
    sql(source, &format!("{CREATE} {fill}"))?;
    if source.engine.is_postgres() {
        return Ok(());
    }
    // MariaDB's default is 0: its log would be sent before it is on the disk.
    source.sql("set global sync_binlog = 1;")?;
    // The client of these engines says nothing of an update that it reads from a pipe. A procedure commits each of
    // its statements by itself, so the answer of the `select` comes right after the commit, without a second way.
    source.sql(&format!(
        "delimiter //\n\
         create procedure {DATABASE}.put(in k bigint, in m bigint) begin \
           update {DATABASE}.t set n = m, note = concat('changed ', m) where id = k; select m; end//\n"
    ))?;
    Ok(())
}

impl Writers {
    /// Connects them.
    pub(super) fn open(source: &Server) -> Result<Self> {
        let sessions = (0..WRITERS).map(|_| Session::open(source, DATABASE));
        Ok(Self {
            engine: source.engine,
            sessions: sessions.collect::<Result<_>>()?,
            next: 1,
        })
    }

    /// Commits at this pace while `observer` looks, until it has seen the last commit.
    pub(super) fn run(&mut self, pace: Pace, observer: &mut Observer) -> Result<Notes> {
        let first = self.next;
        self.next += pace.count;
        let last = self.next - 1;
        let failed = AtomicBool::new(false);
        let deadline = Instant::now() + pace.gap() * u32::try_from(pace.count)? + PATIENCE;
        thread::scope(|scope| {
            let looking = scope.spawn(|| observer.watch(last, deadline, &failed));
            let commits = self.write(first, pace);
            // Nothing more will come: no need to wait for it.
            failed.store(commits.is_err(), Ordering::Relaxed);
            let looked = looking.join().map_err(|_| anyhow!("the observer panicked"));
            let commits = commits?;
            let (sights, intervals) = looked??;
            Ok(Notes {
                first,
                commits,
                sights,
                intervals,
            })
        })
    }

    fn write(&mut self, first: u64, pace: Pace) -> Result<Vec<Vec<Commit>>> {
        let engine = self.engine;
        let start = Instant::now();
        thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS)
                .zip(&mut self.sessions)
                .map(|(writer, session)| {
                    scope.spawn(move || write_one(session, engine, writer, first, pace, start))
                })
                .collect();
            let ends = threads.into_iter().map(|thread| {
                thread
                    .join()
                    .map_err(|_| anyhow!("a writer panicked"))?
                    .context("commit at the source")
            });
            ends.collect()
        })
    }
}

fn write_one(
    session: &mut Session,
    engine: Engine,
    writer: u64,
    first: u64,
    pace: Pace,
    start: Instant,
) -> Result<Vec<Commit>> {
    let gap = pace.gap();
    // Writers begin one after the other, so that all together commit at even distances.
    let mut due = start + gap * u32::try_from(writer)? / u32::try_from(WRITERS)?;
    let mut commits = Vec::new();
    for number in first..first + pace.count {
        let statement = update(engine, writer, number);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let sent = Instant::now();
        let answer = session.ask(&statement)?;
        let done = Instant::now();
        ensure!(
            answer == number.to_string(),
            "an update answered `{answer}`"
        );
        commits.push(Commit { sent, done });
        due += gap;
    }
    Ok(commits)
}

/// Another row of this writer each time, in an order that is not that of the table.
fn update(engine: Engine, writer: u64, number: u64) -> String {
    let id = 1 + writer + WRITERS * (number * 7919 % (ROWS / WRITERS));
    if engine.is_postgres() {
        format!("update t set n = {number}, note = 'changed {number}' where id = {id} returning n;")
    } else {
        format!("call put({id}, {number});")
    }
}

/// The connection to the target.
#[derive(Debug)]
pub(super) struct Observer {
    session: Session,
}

impl Observer {
    /// Connects it to a target of PostgreSQL, where `table` must exist, and gives the table the index it needs.
    pub(super) fn open(target: &Server, database: &str, table: &str) -> Result<Self> {
        let mut session = Session::open(target, database)?;
        let highest: Vec<String> = (0..WRITERS)
            .map(|writer| format!("coalesce((select max(n) from {table} where w = {writer}), 0)"))
            .collect();
        // The table may be empty when the query is planned; it must use the index all the same.
        session.tell(&format!(
            "set client_min_messages = warning; create index if not exists seen on {table} (w, n); \
             set enable_seqscan = off; set enable_bitmapscan = off; set jit = off; \
             prepare seen as select concat_ws(' ', {});",
            highest.join(", ")
        ))?;
        let mut observer = Self { session };
        observer.look()?;
        Ok(observer)
    }

    fn look(&mut self) -> Result<Sight> {
        let answer = self.session.ask("execute seen;")?;
        let at = Instant::now();
        let numbers = answer.split(' ').map(str::parse).collect::<Result<_, _>>();
        Ok(Sight {
            at,
            numbers: numbers.with_context(|| format!("understand `{answer}`"))?,
        })
    }

    /// Looks until `last` of every writer is there.
    fn watch(
        &mut self,
        last: u64,
        deadline: Instant,
        failed: &AtomicBool,
    ) -> Result<(Vec<Sight>, Vec<Duration>)> {
        let mut sights = vec![self.look()?];
        let mut intervals = Vec::new();
        let mut before = sights[0].at;
        loop {
            let latest = &sights[sights.len() - 1].numbers;
            if latest.iter().all(|number| *number >= last) || failed.load(Ordering::Relaxed) {
                return Ok((sights, intervals));
            }
            ensure!(
                Instant::now() < deadline,
                "the last commits did not arrive: {latest:?} are there of {last}"
            );
            thread::sleep(PAUSE);
            let sight = self.look()?;
            intervals.push(sight.at - before);
            before = sight.at;
            if sight.numbers != sights[sights.len() - 1].numbers {
                sights.push(sight);
            }
        }
    }
}
