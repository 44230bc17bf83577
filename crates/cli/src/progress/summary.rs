//! The table at the end of a migration.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use whimbrel_core::{TableName, clock, visible};
use whimbrel_engine::{ChangeCounts, FollowProgress, ProgressSnapshot, TableProgress, TableState};

use crate::format;
use crate::notes;

/// What is known of a table besides its progress.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableFacts {
    /// Its name at the target.
    pub(crate) target: Option<TableName>,
    /// What the user should know of it.
    pub(crate) notes: Vec<String>,
    /// Rows that earlier runs had loaded.
    pub(crate) rows_before: u64,
}

/// The time that a table's load took, or has taken so far.
pub(super) fn time_of(table: &TableProgress) -> Option<Duration> {
    let end = table.ended_at.unwrap_or_else(clock::now);
    end.duration_since(table.started_at?).ok()
}

/// The table of tables, and below it errors and notes.
pub(crate) fn summary(
    snapshot: &ProgressSnapshot,
    facts: &BTreeMap<TableName, TableFacts>,
    elapsed: Duration,
) -> String {
    let heading = ["table", "rows", "bytes", "time", "rows/s", "state"].map(str::to_owned);
    let mut rows = vec![heading];
    rows.extend(
        snapshot
            .tables
            .iter()
            .map(|(name, table)| row(name, table, facts.get(name))),
    );
    let rows_before: u64 = facts.values().map(|facts| facts.rows_before).sum();
    rows.push([
        format::things(snapshot.tables.len(), "table"),
        format::count(snapshot.row_count()),
        format::bytes(snapshot.byte_count()),
        format::duration(elapsed),
        rate(snapshot.row_count().saturating_sub(rows_before), elapsed),
        String::new(),
    ]);
    let mut text = aligned(&rows);
    if let Some(follow) = &snapshot.follow {
        line(&mut text, &changes(snapshot, follow));
    }
    for text_line in snapshot.objects.iter().flat_map(super::objects::summary) {
        line(&mut text, &text_line);
    }
    for (name, table) in &snapshot.tables {
        if let Some(message) = &table.message {
            let name = name.to_string();
            line(&mut text, &format!("error: {}: {message}", visible(&name)));
        }
    }
    let of_table = |(name, facts)| notes_of(name, facts);
    for note in notes::lines(facts.iter().flat_map(of_table)) {
        line(&mut text, &note);
    }
    text
}

fn notes_of<'a>(
    name: &'a TableName,
    facts: &'a TableFacts,
) -> impl Iterator<Item = (&'a TableName, &'a str)> {
    facts.notes.iter().map(move |note| (name, note.as_str()))
}

/// What was applied after the load, and up to where.
fn changes(snapshot: &ProgressSnapshot, follow: &FollowProgress) -> String {
    let mut all = ChangeCounts::default();
    for table in snapshot.tables.values() {
        all.add(&table.changes);
    }
    let mut text = format!(
        "changes applied: {} inserts, {} updates, {} deletes, {} definitions in {} transactions",
        format::count(all.inserts),
        format::count(all.updates),
        format::count(all.deletes),
        format::count(all.ddls),
        format::count(follow.transaction_count),
    );
    let left_out = all.left_out.inserts + all.left_out.updates + all.left_out.deletes;
    if left_out > 0 {
        let count = format::count(left_out);
        write!(
            text,
            "; {count} left out, see awsdms_control.awsdms_apply_exceptions"
        )
        .expect("a String takes everything");
    }
    if let Some(checkpoint) = &follow.checkpoint {
        write!(text, "; up to {checkpoint}").expect("a String takes everything");
    }
    text
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a String takes everything");
}

fn row(name: &TableName, table: &TableProgress, facts: Option<&TableFacts>) -> [String; 6] {
    let label = match facts.and_then(|facts| facts.target.as_ref()) {
        Some(target) if target != name => format!("{name} → {target}"),
        _ => name.to_string(),
    };
    let label = visible(&label).into_owned();
    let time = time_of(table);
    let rows_before = facts.map_or(0, |facts| facts.rows_before);
    let row_count = table.row_count.saturating_sub(rows_before);
    [
        label,
        format::count(table.row_count),
        format::bytes(table.byte_count),
        time.map_or_else(|| "-".to_owned(), format::duration),
        time.map_or_else(|| "-".to_owned(), |time| rate(row_count, time)),
        state(table.state).to_owned(),
    ]
}

fn state(state: TableState) -> &'static str {
    match state {
        TableState::BeforeLoad | TableState::Cancelled => "not complete",
        TableState::FullLoad => "loading",
        TableState::Completed => "done",
        TableState::Error => "error",
        TableState::Dropped => "gone",
        TableState::Missing => "not there",
    }
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn rate(row_count: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.001 {
        return "-".to_owned();
    }
    format::rough_count(row_count as f64 / seconds)
}

/// Columns of equal width: the first and the last flush left, numbers flush right.
pub(crate) fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut cells = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            let gap = if column == 0 { "" } else { "  " };
            let written = if column == 0 || column + 1 == N {
                write!(cells, "{gap}{cell:<width$}")
            } else {
                write!(cells, "{gap}{cell:>width$}")
            };
            written.expect("a String takes everything");
        }
        line(&mut text, cells.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_table_names_renamed_tables_errors_and_notes() {
        let name = TableName::new("shop", "orders");
        let started_at = SystemTime::UNIX_EPOCH;
        let table = TableProgress {
            state: TableState::Error,
            row_count: 12_000,
            error_row_count: 0,
            byte_count: 1 << 20,
            row_estimate: 0,
            byte_estimate: 0,
            chunk_count: 1,
            chunks_done: 0,
            started_at: Some(started_at),
            ended_at: Some(started_at + Duration::from_secs(2)),
            message: Some("the row is too long".to_owned()),
            not_created: Vec::new(),
            changes: whimbrel_engine::ChangeCounts::default(),
            latencies_ms: None,
            reload_count: 0,
            reload_answer_count: 0,
        };
        let snapshot = ProgressSnapshot {
            tables: BTreeMap::from([(name.clone(), table)]),
            ..ProgressSnapshot::default()
        };
        let facts = TableFacts {
            target: Some(TableName::new("public", "orders")),
            notes: vec!["column a: a becomes b".to_owned()],
            rows_before: 6_000,
        };
        let text = summary(
            &snapshot,
            &BTreeMap::from([(name, facts)]),
            Duration::from_secs(4),
        );
        assert_eq!(
            text,
            "table                          rows     bytes    time  rows/s  state\n\
             shop.orders → public.orders  12,000  1.00 MiB  2.00 s   3.00k  error\n\
             1 table                      12,000  1.00 MiB  4.00 s   1.50k\n\
             error: shop.orders: the row is too long\n\
             note: shop.orders: column a: a becomes b\n"
        );
    }
}
