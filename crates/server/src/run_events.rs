//! What a run tells besides its figures: interruptions, tables in error, its end.

use whimbrel_engine::Interruption;
use whimbrel_store::{
    Event, MigrationType, ReplicationTask, StoreError, TableState, TableStatistics, Transaction,
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

/// A table went into error.
pub(crate) fn table_failed(task: &ReplicationTask, table: &TableStatistics) -> Event {
    let mut text = error_of(table);
    if task.migration_type != MigrationType::Cdc {
        text.push_str(
            ". When the cause is removed, resume-processing loads the table again, and reload-target all tables.",
        );
    }
    task_event(task, "failure", &text)
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
    if !matches!(end, RunEnd::Failed { .. }) {
        let tables = transaction
            .list_children::<TableStatistics>(task.id.as_str())
            .await?;
        task.last_failure_message = failure_message(tables.iter().map(|table| &table.value));
    }
    let (category, text) = end_event(task, end);
    transaction
        .create(&task_event(task, category, &text))
        .await?;
    Ok(())
}

/// The tables in error as the failure message of a task that has stopped all the same; `None` when there are none.
fn failure_message<'a>(tables: impl IntoIterator<Item = &'a TableStatistics>) -> Option<String> {
    let failed: Vec<&TableStatistics> = tables
        .into_iter()
        .filter(|table| table.state == TableState::Error)
        .collect();
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
