//! Plain lines, for logs and pipes: one for each table that is done, and one every ten seconds.

use std::time::Duration;

use whimbrel_core::{TableName, visible};
use whimbrel_engine::{TableProgress, TableState};

use super::bars::overall_message;
use super::{Display, View, objects};
use crate::format;
use crate::logging::Screen;

const PERIOD: Duration = Duration::from_secs(10);

/// The lines of a run.
pub(super) struct Lines {
    screen: Screen,
    next_at: Duration,
    objects: objects::Shown,
}

impl Lines {
    pub(super) fn new(screen: &Screen) -> Self {
        Self {
            screen: screen.clone(),
            next_at: PERIOD,
            objects: objects::Shown::default(),
        }
    }
}

impl Display for Lines {
    fn show(&mut self, view: &View) {
        for name in &view.changed {
            if let Some(line) = view
                .snapshot
                .tables
                .get(name)
                .and_then(|table| change(name, table))
            {
                self.screen.print(&line);
            }
        }
        for line in self
            .objects
            .fresh(&view.snapshot)
            .iter()
            .filter_map(objects::line)
        {
            self.screen.print(&line);
        }
        if view.elapsed >= self.next_at {
            self.next_at = view.elapsed + PERIOD;
            self.screen.print(&format!("{}\n", overall_message(view)));
        }
    }
}

fn change(name: &TableName, table: &TableProgress) -> Option<String> {
    let name = visible(&name.to_string()).into_owned();
    match table.state {
        TableState::Completed => Some(format!(
            "{name}: done, {} rows, {}{}\n",
            format::count(table.row_count),
            format::bytes(table.byte_count),
            super::summary::time_of(table).map_or_else(String::new, |time| format!(
                " in {}",
                format::duration(time)
            )),
        )),
        TableState::Error | TableState::Missing => Some(format!(
            "{name}: error: {}\n",
            table.message.as_deref().unwrap_or("unknown")
        )),
        TableState::Dropped => Some(format!("{name}: is gone at the source\n")),
        TableState::BeforeLoad | TableState::FullLoad | TableState::Cancelled => None,
    }
}
