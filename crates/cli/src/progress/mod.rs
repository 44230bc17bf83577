//! What a user sees while a migration runs.
//!
//! The run is looked at ten times a second. A display is given each view; what it makes of it, and how often it prints,
//! is its own affair.

mod bars;
mod json;
mod lines;
mod rate;
mod summary;

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::time::Duration;

use whimbrel_core::TableName;
use whimbrel_engine::{Progress, ProgressSnapshot, TableState};

use crate::args::ProgressMode;
use crate::logging::Screen;
use rate::{Meter, Speed};

pub(crate) use json::finished;
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
    /// Of the tables that are being loaded.
    table_speeds: HashMap<TableName, Speed>,
    /// Tables whose state is another than in the view before.
    changed: Vec<TableName>,
}

impl View {
    fn is_over(state: TableState) -> bool {
        matches!(state, TableState::Completed | TableState::Error)
    }

    /// Time that is left, by rows; `None` when nobody can tell.
    fn remaining(&self) -> Option<Duration> {
        let mut rows = 0_u64;
        for table in self.snapshot.tables.values() {
            if !Self::is_over(table.state) {
                rows = rows.saturating_add(table.row_estimate.saturating_sub(table.row_count));
            }
        }
        self.speed.time_for(rows)
    }
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
    total: Meter,
    meters: HashMap<TableName, Meter>,
    states: HashMap<TableName, TableState>,
}

impl Watcher {
    /// How often the run is looked at.
    pub(crate) const PERIOD: Duration = Duration::from_millis(100);

    /// Displays as the options say.
    pub(crate) fn new(mode: ProgressMode, json: bool, screen: &Screen) -> Self {
        let is_terminal = std::io::stderr().is_terminal()
            && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let display: Box<dyn Display> = match mode {
            ProgressMode::Bars => Box::new(bars::Bars::new(screen)),
            ProgressMode::Off => Box::new(Off),
            ProgressMode::Auto if json => Box::new(Off),
            ProgressMode::Auto if is_terminal => Box::new(bars::Bars::new(screen)),
            ProgressMode::Lines | ProgressMode::Auto => Box::new(lines::Lines::new(screen)),
        };
        let mut displays = vec![display];
        if json {
            displays.push(Box::new(json::Events::default()));
        }
        Self {
            displays,
            total: Meter::default(),
            meters: HashMap::new(),
            states: HashMap::new(),
        }
    }

    /// Looks at the run and shows it.
    pub(crate) fn look(&mut self, progress: &Progress, elapsed: Duration) {
        let view = self.view(progress.snapshot(), elapsed);
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

    fn view(&mut self, snapshot: ProgressSnapshot, elapsed: Duration) -> View {
        self.total
            .add(elapsed, snapshot.row_count(), snapshot.byte_count());
        let mut changed = Vec::new();
        for (name, table) in &snapshot.tables {
            if self.states.insert(name.clone(), table.state) != Some(table.state) {
                changed.push(name.clone());
            }
            if table.state == TableState::FullLoad {
                let meter = self.meters.entry(name.clone()).or_default();
                meter.add(elapsed, table.row_count, table.byte_count);
            } else {
                self.meters.remove(name);
            }
        }
        let table_speeds = self
            .meters
            .iter()
            .map(|(name, meter)| (name.clone(), meter.speed()))
            .collect();
        View {
            snapshot,
            elapsed,
            speed: self.total.speed(),
            table_speeds,
            changed,
        }
    }
}
