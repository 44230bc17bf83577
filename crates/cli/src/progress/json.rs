//! Events for programs: one JSON object per line.

use std::time::Duration;

use serde_json::{Value, json};
use whimbrel_core::TableName;
use whimbrel_engine::{Alarm, FollowProgress, ProgressSnapshot, TableProgress, TableState};

use super::{Display, End, View, objects};
use crate::failure::{Exit, Failure};
use crate::output::print_json;

const PERIOD: Duration = Duration::from_secs(1);

/// The events of a run: `table` when a table's state changes, `log_alarm` when the source's log comes near its limit and when that is over,
/// `target_alarm` when the target waits for room on its disk and when that is over, `progress` every second.
#[derive(Default)]
pub(super) struct Events {
    next_at: Duration,
    objects: objects::Shown,
}

impl Display for Events {
    fn show(&mut self, view: &View) {
        for name in &view.changed {
            if let Some(table) = view.snapshot.tables.get(name) {
                print_json(&event("table", table_json(name, table)));
            }
        }
        for (end, alarm) in &view.alarms {
            let name = match end {
                End::Source => "log_alarm",
                End::Target => "target_alarm",
            };
            print_json(&event(name, alarm_json(alarm)));
        }
        for result in self.objects.fresh(&view.snapshot) {
            print_json(&event("object", objects::result_json(result)));
        }
        if view.elapsed >= self.next_at && !view.snapshot.tables.is_empty() {
            self.next_at = view.elapsed + PERIOD;
            print_json(&event("progress", progress_json(view)));
        }
    }
}

fn event(name: &str, mut members: Value) -> Value {
    let mut event = json!({ "event": name });
    if let (Some(event), Some(members)) = (event.as_object_mut(), members.as_object_mut()) {
        event.append(members);
    }
    event
}

/// `begun` with what to do, or `over`.
fn alarm_json(alarm: &Alarm) -> Value {
    json!({
        "state": if alarm.remedy.is_some() { "begun" } else { "over" },
        "message": alarm.message,
        "help": alarm.remedy,
    })
}

/// One table's state and counts.
fn table_json(name: &TableName, table: &TableProgress) -> Value {
    json!({
        "table": name.to_string(),
        "state": state_name(table.state),
        "rows": table.row_count,
        "bytes": table.byte_count,
        "row_estimate": table.row_estimate,
        "chunks": table.chunk_count,
        "chunks_done": table.chunks_done,
        "elapsed_ms": super::summary::time_of(table).map(millis),
        "message": table.message,
        "inserts": table.changes.inserts,
        "updates": table.changes.updates,
        "deletes": table.changes.deletes,
    })
}

fn progress_json(view: &View) -> Value {
    let snapshot = &view.snapshot;
    let running: Vec<Value> = snapshot
        .tables
        .iter()
        .filter(|(_, table)| table.state == TableState::FullLoad)
        .map(|(name, table)| table_json(name, table))
        .collect();
    json!({
        "percent": snapshot.percent(),
        "rows": snapshot.row_count(),
        "bytes": snapshot.byte_count(),
        "rows_per_s": view.speed.rows.round(),
        "bytes_per_s": view.speed.bytes.round(),
        "eta_s": view.remaining().map(|time| time.as_secs()),
        "elapsed_ms": millis(view.elapsed),
        "tables": counts(snapshot),
        "running": running,
        "follow": snapshot.follow.as_ref().map(|follow| follow_json(view, follow)),
        "objects": snapshot.objects.as_ref().map(objects::counts_json),
    })
}

/// How far the log is followed.
fn follow_json(view: &View, follow: &FollowProgress) -> Value {
    json!({
        "checkpoint": follow.checkpoint,
        "transactions": follow.transaction_count,
        "changes": view.snapshot.change_count(),
        "changes_per_s": view.change_speed.rows.round(),
        "source_latency_ms": follow.source_latency_now_ms(),
        "target_latency_ms": follow.target_latency_now_ms(),
        "caught_up": follow.is_caught_up,
        "waiting": follow.waiting_count,
        "tables": followed_tables(&view.snapshot),
    })
}

/// What was applied to each table that had changes, and how old the last of them were: received, and visible at the target.
fn followed_tables(snapshot: &ProgressSnapshot) -> Vec<Value> {
    let followed = snapshot.tables.iter();
    let followed = followed.filter_map(|(name, table)| Some((name, table, table.latencies_ms?)));
    followed
        .map(|(name, table, (source_latency_ms, target_latency_ms))| {
            json!({
                "table": name.to_string(),
                "inserts": table.changes.inserts,
                "updates": table.changes.updates,
                "deletes": table.changes.deletes,
                "source_latency_ms": source_latency_ms,
                "target_latency_ms": target_latency_ms,
            })
        })
        .collect()
}

/// The last event: how the run ended.
pub(crate) fn finished(
    exit: Exit,
    snapshot: &ProgressSnapshot,
    elapsed: Duration,
    failure: Option<&Failure>,
) {
    let outcome = match exit {
        Exit::Done => "complete",
        Exit::Incomplete if snapshot.count(TableState::Error) > 0 => "tables_in_error",
        Exit::Incomplete if snapshot.count(TableState::Missing) > 0 => "tables_missing",
        Exit::Incomplete if snapshot.objects_failed() > 0 => "objects_in_error",
        Exit::Incomplete => "tables_in_error",
        Exit::Interrupted => "interrupted",
        Exit::Usage | Exit::Connection | Exit::Failed => "failed",
    };
    print_json(&json!({
        "event": "finished",
        "outcome": outcome,
        "exit_code": exit.code(),
        "rows": snapshot.row_count(),
        "bytes": snapshot.byte_count(),
        "changes": snapshot.change_count(),
        "checkpoint": snapshot.follow.as_ref().and_then(|follow| follow.checkpoint.as_ref()),
        "elapsed_ms": millis(elapsed),
        "tables": counts(snapshot),
        "objects": snapshot.objects.as_ref().map(objects::json),
        "error": failure.map(|failure| &failure.message),
        "help": failure.and_then(|failure| failure.help.as_ref()),
    }));
}

fn counts(snapshot: &ProgressSnapshot) -> Value {
    json!({
        "total": snapshot.tables.len(),
        "completed": snapshot.count(TableState::Completed),
        "loading": snapshot.count(TableState::FullLoad),
        "error": snapshot.count(TableState::Error),
        "missing": snapshot.count(TableState::Missing),
    })
}

/// A state as programs spell it.
fn state_name(state: TableState) -> &'static str {
    match state {
        TableState::BeforeLoad => "before_load",
        TableState::FullLoad => "loading",
        TableState::Completed => "completed",
        TableState::Cancelled => "cancelled",
        TableState::Error => "error",
        TableState::Dropped => "dropped",
        TableState::Missing => "missing",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
