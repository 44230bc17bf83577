//! What a run tells besides its figures: interruptions, tables in error, its end.

use whimbrel_engine::{Alarm, Interruption};
use whimbrel_store::{
    ChangeCounts, Event, MigrationType, ReplicationTask, StoreError, TableState, TableStatistics,
    Transaction,
};

use crate::data_plane::RunEnd;
use crate::events::task_event;

/// Tables in error that a failure message spells out: enough to see what they have in common.
const ERRORS_TOLD_MAX: usize = 5;

/// The run failed and is tried again.
pub(crate) fn interrupted(task: &ReplicationTask, interruption: &Interruption) -> Event {
    let text = format!(
        "The replication task was interrupted and is tried again in {} s (try {} of {}). Reason: {}",
        interruption.wait.as_secs(),
        interruption.retry_number,
        interruption.retries_max,
        interruption.message
    );
    task_event(task, "state change", &text)
}

/// Something is the matter that the task itself cannot mend, or that is over.
pub(crate) fn alarm(task: &ReplicationTask, alarm: &Alarm) -> Event {
    let text = match &alarm.remedy {
        Some(remedy) => format!("Warning: {}. What to do: {remedy}", alarm.message),
        None => format!("The warning is over: {}", alarm.message),
    };
    task_event(task, "state change", &text)
}

/// Whether something is the matter with the table that users have to see to. Not with one that was dropped, which is no error.
pub(crate) fn is_amiss(table: &TableStatistics) -> bool {
    match table.state {
        TableState::Error => true,
        TableState::DoesNotExist => table.error.is_some(),
        _ => false,
    }
}

/// A table went into error, is named and not there, or is not loaded again.
pub(crate) fn table_failed(task: &ReplicationTask, table: &TableStatistics) -> Event {
    let mut text = error_of(table);
    if table.state == TableState::Error && task.migration_type != MigrationType::Cdc {
        text.push_str(
            ". When the cause is removed, resume-processing loads the table again, and reload-target all tables.",
        );
    }
    task_event(task, "failure", &text)
}

/// Columns of a table are left out.
pub(crate) fn not_created(
    task: &ReplicationTask,
    table: &TableStatistics,
    columns: &[String],
) -> Event {
    let text = format!(
        "Table {}.{}: not created at the target, because the source computes them by expressions of its own: {}. What to do: have the target compute them (ALTER TABLE ... ADD COLUMN ... \
         GENERATED ALWAYS AS), or select their values in a view and load that",
        table.schema,
        table.table,
        columns.join(", ")
    );
    task_event(task, "state change", &text)
}

fn error_of(table: &TableStatistics) -> String {
    format!(
        "Table {}.{}: {}",
        table.schema,
        table.table,
        table.error.as_deref().unwrap_or("unknown error")
    )
}

/// Tells the end of a run: in an event, and in the failure message of a task that has stopped with tables in error.
pub(crate) async fn conclude(
    transaction: &mut dyn Transaction,
    task: &mut ReplicationTask,
    end: &RunEnd,
) -> Result<(), StoreError> {
    let tables = transaction
        .list_children::<TableStatistics>(task.id.as_str())
        .await?;
    let tables = || tables.iter().map(|table| &table.value);
    if !matches!(end, RunEnd::Failed { .. }) {
        task.last_failure_message = failure_message(tables());
    }
    let (category, mut text) = end_event(task, end);
    text.push_str(&left_out(tables()));
    transaction
        .create(&task_event(task, category, &text))
        .await?;
    Ok(())
}

/// The tables in error as the failure message of a task that has stopped all the same; `None` when there are none.
fn failure_message<'a>(tables: impl IntoIterator<Item = &'a TableStatistics>) -> Option<String> {
    let failed: Vec<&TableStatistics> =
        tables.into_iter().filter(|table| is_amiss(table)).collect();
    if failed.is_empty() {
        return None;
    }
    let mut told: Vec<String> = failed
        .iter()
        .take(ERRORS_TOLD_MAX)
        .map(|table| error_of(table))
        .collect();
    if failed.len() > ERRORS_TOLD_MAX {
        let rest = failed.len() - ERRORS_TOLD_MAX;
        told.push(format!(
            "and {rest} more tables, each with an event of its own"
        ));
    }
    Some(told.join("; "))
}

/// What was left out by the policies of the task, in words; nothing where nothing was.
fn left_out<'a>(tables: impl IntoIterator<Item = &'a TableStatistics>) -> String {
    let (mut rows, mut changes) = (0, 0);
    for table in tables {
        rows += table.full_load_error_rows;
        let count = |of: ChangeCounts| of.inserts + of.updates + of.deletes;
        changes += (count(table.captured) - count(table.applied)).max(0);
    }
    let of_load = (rows > 0)
        .then(|| format!(" {rows} rows were left out of the load, as ErrorBehavior says."));
    let of_changes =
        (changes > 0).then(|| format!(" {changes} changes were left out, as ErrorBehavior says."));
    of_load.unwrap_or_default() + &of_changes.unwrap_or_default()
}

/// Category and text of the event that tells of the end.
fn end_event(task: &ReplicationTask, end: &RunEnd) -> (&'static str, String) {
    match end {
        RunEnd::Failed { .. } => {
            let message = task.last_failure_message.as_deref().unwrap_or_default();
            (
                "failure",
                format!("Replication task has failed. Reason: {message}"),
            )
        }
        RunEnd::Finished(_) | RunEnd::Stopped => {
            let reason = task.stop_reason.map_or("", |reason| reason.as_str());
            (
                "state change",
                format!("Replication task has stopped. {reason}"),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_store::{EpochMs, TaskId};

    use super::*;

    fn table(number: usize, error: Option<&str>) -> TableStatistics {
        let mut table =
            TableStatistics::new(&TaskId("T".into()), "s", &format!("t{number}"), EpochMs(0));
        if let Some(error) = error {
            table.state = TableState::Error;
            table.error = Some(error.to_owned());
        }
        table
    }

    #[test]
    fn what_was_left_out_is_told_by_its_count() {
        let mut with_rows = table(1, None);
        assert_eq!(left_out([&with_rows]), "");
        with_rows.full_load_error_rows = 12;
        let mut with_changes = table(2, None);
        with_changes.captured.inserts = 5;
        with_changes.applied.inserts = 3;
        assert_eq!(
            left_out([&with_rows, &with_changes]),
            " 12 rows were left out of the load, as ErrorBehavior says. 2 changes were left out, as ErrorBehavior says."
        );
    }

    #[test]
    fn a_failure_message_names_the_first_tables_and_counts_the_others() {
        let fine = [table(1, None), table(2, None)];
        assert_eq!(failure_message(&fine), None);
        let mixed = [
            table(1, None),
            table(2, Some("no disk")),
            table(3, Some("no key")),
        ];
        assert_eq!(
            failure_message(&mixed).unwrap(),
            "Table s.t2: no disk; Table s.t3: no key"
        );
        let many: Vec<_> = (0..8)
            .map(|number| table(number, Some("no disk")))
            .collect();
        let text = failure_message(&many).unwrap();
        assert!(
            text.ends_with("Table s.t4: no disk; and 3 more tables, each with an event of its own"),
            "{text}"
        );
    }
}
