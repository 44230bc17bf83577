//! A bar for each table that is being loaded, and one for all.

use std::collections::HashMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use whimbrel_core::{TableName, visible};
use whimbrel_engine::{FollowProgress, TableProgress, TableState};

use super::rate::Speed;
use super::{Display, View, objects};
use crate::format;
use crate::logging::Screen;

/// Bars beyond these would push the overall line off a small terminal.
const BARS_MAX: usize = 12;
const NAME_CHARS_MAX: usize = 24;

/// The bars of a run.
pub(super) struct Bars {
    screen: Screen,
    overall: ProgressBar,
    tables: HashMap<TableName, ProgressBar>,
    style: ProgressStyle,
    objects: objects::Shown,
}

impl Bars {
    pub(super) fn new(screen: &Screen) -> Self {
        let overall = hidden_bar();
        overall.set_style(style("{spinner} {wide_msg}"));
        overall.set_message("connecting");
        let overall = screen.bars().add(overall);
        overall.enable_steady_tick(Duration::from_millis(250));
        Self {
            screen: screen.clone(),
            overall,
            tables: HashMap::new(),
            style: style("  {prefix} {wide_bar:.cyan/dim} {msg}").progress_chars("━━╌"),
            objects: objects::Shown::default(),
        }
    }

    fn bars(&self) -> &MultiProgress {
        self.screen.bars()
    }

    fn remove(&mut self, table: &TableName) {
        if let Some(bar) = self.tables.remove(table) {
            bar.finish_and_clear();
            self.bars().remove(&bar);
        }
    }

    fn show_table(&mut self, name: &TableName, table: &TableProgress, speed: Speed) {
        if !self.tables.contains_key(name) {
            if self.tables.len() >= BARS_MAX {
                return;
            }
            let bar = hidden_bar().with_style(self.style.clone());
            bar.set_prefix(fitted(&visible(&name.to_string())));
            let bar = self.bars().insert_before(&self.overall, bar);
            self.tables.insert(name.clone(), bar);
        }
        let Some(bar) = self.tables.get(name) else {
            return;
        };
        // Estimates are wrong in either direction; the bar is full only when the rows are there.
        let all = table.row_estimate.max(table.row_count).max(1);
        bar.set_length(all);
        bar.set_position(table.row_count);
        bar.set_message(table_message(table, speed));
    }
}

impl Display for Bars {
    fn show(&mut self, view: &View) {
        for name in &view.changed {
            let Some(table) = view.snapshot.tables.get(name) else {
                continue;
            };
            if table.state != TableState::FullLoad {
                self.remove(name);
            }
            if matches!(table.state, TableState::Error | TableState::Missing) {
                let message = table.message.as_deref().unwrap_or("unknown error");
                let name = name.to_string();
                self.screen
                    .print(&format!("table {}: {message}\n", visible(&name)));
            }
        }
        for (name, table) in &view.snapshot.tables {
            if table.state == TableState::FullLoad {
                let speed = view.table_speeds.get(name).copied().unwrap_or_default();
                self.show_table(name, table, speed);
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
        self.overall.set_message(overall_message(view));
    }

    fn close(&mut self) {
        let names: Vec<TableName> = self.tables.keys().cloned().collect();
        for name in names {
            self.remove(&name);
        }
        self.overall.finish_and_clear();
    }
}

/// A bar that does not draw before it has its place among the others: it would leave a line behind.
fn hidden_bar() -> ProgressBar {
    ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::hidden())
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is fixed and well-formed")
}

/// A name of exactly the width of the name column.
fn fitted(name: &str) -> String {
    let length = name.chars().count();
    if length <= NAME_CHARS_MAX {
        return format!("{name:NAME_CHARS_MAX$}");
    }
    let tail: String = name.chars().skip(length - (NAME_CHARS_MAX - 1)).collect();
    format!("…{tail}")
}

fn table_message(table: &TableProgress, speed: Speed) -> String {
    if table.chunk_count > 0 && table.chunks_done == table.chunk_count {
        return format!("{:>7} rows, building keys", rough(table.row_count));
    }
    let left = table.row_estimate.saturating_sub(table.row_count);
    let eta = speed.time_for(left).map_or_else(String::new, |time| {
        format!("  ETA {}", format::rough_duration(time))
    });
    format!(
        "{:>6} rows {:>6}/s {:>10}/s{eta}",
        rough(table.row_count),
        format::rough_count(speed.rows),
        format::rough_bytes(speed.bytes),
    )
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rough(number: u64) -> String {
    format::rough_count(number as f64)
}

/// `3/12 tables  45 %  1.23M rows  412k/s  98.1 MiB/s  12.3 s  ETA 34 s`
pub(super) fn overall_message(view: &View) -> String {
    let snapshot = &view.snapshot;
    if snapshot.tables.is_empty() {
        return "reading the catalogs".to_owned();
    }
    if let Some(message) = objects::message(snapshot) {
        return message;
    }
    if let Some(follow) = &snapshot.follow {
        return follow_message(view, follow);
    }
    let errors = match snapshot.count(TableState::Error) {
        0 => String::new(),
        errors => format!(", {errors} in error"),
    };
    let eta = view.remaining().map_or_else(String::new, |time| {
        format!("  ETA {}", format::rough_duration(time))
    });
    format!(
        "{}/{} tables{errors}  {} %  {} rows  {}/s  {}  {}/s  {}{eta}",
        snapshot.count(TableState::Completed),
        snapshot.tables.len(),
        snapshot.percent(),
        rough(snapshot.row_count()),
        format::rough_count(view.speed.rows),
        format::bytes(snapshot.byte_count()),
        format::rough_bytes(view.speed.bytes),
        format::rough_duration(view.elapsed),
    )
}

/// `following: 1.2M changes in 45.1k transactions, 12.3k/s, 15 ms behind`
fn follow_message(view: &View, follow: &FollowProgress) -> String {
    let behind = if follow.is_caught_up {
        "caught up".to_owned()
    } else {
        let behind_ms = follow
            .target_latency_now_ms()
            .max(follow.source_latency_now_ms());
        format!(
            "{} behind",
            format::rough_duration(Duration::from_millis(behind_ms))
        )
    };
    format!(
        "following: {} changes in {} transactions  {}/s  {behind}",
        rough(view.snapshot.change_count()),
        rough(follow.transaction_count),
        format::rough_count(view.change_speed.rows),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fill_their_column_and_keep_their_end() {
        assert_eq!(fitted("a.b").chars().count(), NAME_CHARS_MAX);
        let long = fitted("a_very_long_schema_name.and_a_table_name_of_its_own");
        assert_eq!(long.chars().count(), NAME_CHARS_MAX);
        assert!(
            long.starts_with('…') && long.ends_with("name_of_its_own"),
            "{long}"
        );
    }
}
