//! What a user sees while a migration runs.
//!
//! The run is looked at ten times a second. A display is given each view; what it makes of it, and how often it prints,
//! is its own affair.

mod bars;
mod json;
mod lines;
mod objects;
mod rate;
mod summary;

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use whimbrel_core::TableName;
use whimbrel_engine::{Alarm, Progress, ProgressSnapshot, TableProgress, TableState};

use crate::args::{MigrateArgs, ProgressMode};
use crate::logging::Screen;
use rate::{Meter, Speed};

pub(crate) use json::finished;
pub(crate) use objects::{review_json, reviewed, unconverted, unconverted_json};
pub(crate) use summary::{TableFacts, aligned, summary};

/// The run at one moment.
#[derive(Debug)]
pub(crate) struct View {
    /// The tables.
    snapshot: ProgressSnapshot,
    /// Since the run began.
    elapsed: Duration,
    /// Of all tables together.
    speed: Speed,
    /// Of the changes that are applied.
    change_speed: Speed,
    /// Of the tables that are being loaded.
    table_speeds: HashMap<TableName, Speed>,
    /// Tables whose state is another than in the view before.
    changed: Vec<TableName>,
    /// What is told of the ends, if it was not told in the view before.
    alarms: Vec<(End, Alarm)>,
}

impl View {
    /// Time that is left, by rows; `None` when nobody can tell.
    fn remaining(&self) -> Option<Duration> {
        let mut rows = 0_u64;
        for table in self.snapshot.tables.values() {
            if !table.state.is_over() {
                rows = rows.saturating_add(table.row_estimate.saturating_sub(table.row_count));
            }
        }
        self.speed.time_for(rows)
    }
}

/// Whose matter an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The source's log is near its limit.
    Source,
    /// The target waits for room on its disk.
    Target,
}

/// A way to show a run.
pub(crate) trait Display: Send {
    /// Takes a view of the run.
    fn show(&mut self, view: &View);

    /// Clears what would stand in the way of the last words.
    fn close(&mut self) {}
}

/// Shows nothing.
struct Off;

impl Display for Off {
    fn show(&mut self, _: &View) {}
}

/// The displays of a run.
pub(crate) struct Watcher {
    displays: Vec<Box<dyn Display>>,
    /// Alarms are printed whatever else is shown.
    screen: Screen,
    /// Numbers of the alarms of the source and of the target that were printed last.
    alarms_told: [u64; 2],
    is_resume: bool,
    total: Meter,
    changes: Meter,
    meters: HashMap<TableName, Meter>,
    states: HashMap<TableName, TableState>,
    loaded_before: HashMap<TableName, Loaded>,
}

/// What earlier runs had loaded of a table: no part of this run's speed.
#[derive(Clone, Copy, Debug, Default)]
struct Loaded {
    row_count: u64,
    byte_count: u64,
}

impl Watcher {
    /// How often the run is looked at.
    pub(crate) const PERIOD: Duration = Duration::from_millis(100);

    /// Displays as the options say.
    pub(crate) fn new(args: &MigrateArgs, screen: &Screen) -> Self {
        let is_terminal = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let display: Box<dyn Display> = match args.progress {
            ProgressMode::Bars => Box::new(bars::Bars::new(screen)),
            ProgressMode::Off => Box::new(Off),
            ProgressMode::Auto if args.json => Box::new(Off),
            ProgressMode::Auto if is_terminal => Box::new(bars::Bars::new(screen)),
            ProgressMode::Lines | ProgressMode::Auto => Box::new(lines::Lines::new(screen)),
        };
        let mut displays = vec![display];
        if args.json {
            displays.push(Box::new(json::Events::default()));
        }
        Self {
            displays,
            screen: screen.clone(),
            alarms_told: [0; 2],
            is_resume: args.resume,
            total: Meter::default(),
            changes: Meter::default(),
            meters: HashMap::new(),
            states: HashMap::new(),
            loaded_before: HashMap::new(),
        }
    }

    /// Looks at the run and shows it.
    pub(crate) fn look(&mut self, progress: &Progress, elapsed: Duration) {
        let view = self.view(progress.snapshot(), elapsed);
        for (end, alarm) in &view.alarms {
            self.screen.print(&alarm_text(*end, alarm));
        }
        for display in &mut self.displays {
            display.show(&view);
        }
    }

    /// Clears the displays.
    pub(crate) fn close(&mut self) {
        for display in &mut self.displays {
            display.close();
        }
    }

    /// Rows of a table that earlier runs had loaded.
    pub(crate) fn rows_before(&self, table: &TableName) -> u64 {
        self.loaded_before
            .get(table)
            .map_or(0, |before| before.row_count)
    }

    fn view(&mut self, snapshot: ProgressSnapshot, elapsed: Duration) -> View {
        let mut changed = Vec::new();
        let (mut rows, mut bytes) = (0, 0);
        for (name, table) in &snapshot.tables {
            if self.states.insert(name.clone(), table.state) != Some(table.state) {
                changed.push(name.clone());
            }
            let (row_count, byte_count) = self.loaded_now(name, table);
            rows += row_count;
            bytes += byte_count;
            if table.state == TableState::FullLoad {
                let meter = self.meters.entry(name.clone()).or_default();
                meter.add(elapsed, row_count, byte_count);
            } else {
                self.meters.remove(name);
            }
        }
        self.total.add(elapsed, rows, bytes);
        self.changes.add(elapsed, snapshot.change_count(), 0);
        let table_speeds = self
            .meters
            .iter()
            .map(|(name, meter)| (name.clone(), meter.speed()))
            .collect();
        View {
            alarms: self.fresh_alarms(&snapshot),
            snapshot,
            elapsed,
            speed: self.total.speed(),
            change_speed: self.changes.speed(),
            table_speeds,
            changed,
        }
    }

    fn fresh_alarms(&mut self, snapshot: &ProgressSnapshot) -> Vec<(End, Alarm)> {
        let ends = [
            (End::Source, &snapshot.log_alarm),
            (End::Target, &snapshot.target_alarm),
        ];
        let mut fresh = Vec::new();
        for ((end, alarm), told) in ends.into_iter().zip(&mut self.alarms_told) {
            if let Some(alarm) = alarm.as_ref().filter(|alarm| alarm.number > *told) {
                *told = alarm.number;
                fresh.push((end, alarm.clone()));
            }
        }
        fresh
    }

    /// Rows and bytes of a table that this run has loaded. A resumed table shows what was there before as soon as its chunks
    /// are known.
    fn loaded_now(&mut self, name: &TableName, table: &TableProgress) -> (u64, u64) {
        if self.is_resume && table.chunk_count > 0 && !self.loaded_before.contains_key(name) {
            let before = Loaded {
                row_count: table.row_count,
                byte_count: table.byte_count,
            };
            self.loaded_before.insert(name.clone(), before);
        }
        let before = self.loaded_before.get(name).copied().unwrap_or_default();
        (
            table.row_count.saturating_sub(before.row_count),
            table.byte_count.saturating_sub(before.byte_count),
        )
    }
}

fn alarm_text(end: End, alarm: &Alarm) -> String {
    let end = match end {
        End::Source => "source",
        End::Target => "target",
    };
    match &alarm.remedy {
        Some(remedy) => format!("warning: {end}: {}\n  help: {remedy}\n", alarm.message),
        None => format!("the warning is over: {}\n", alarm.message),
    }
}
