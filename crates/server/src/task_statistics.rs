//! From the progress of a run to the figures of its task and tables.
//!
//! A run knows only of itself. What earlier runs of the same load did, a resumed run may not count again: a table that was
//! complete before keeps its rows and times, and elapsed time adds up.

use whimbrel_store::{
    ChangeCounts, EpochMs, StopReason, TableState, TableStatistics, TableValidation,
    TaskStatistics, ValidationState,
};

use crate::data_plane::{RunEnd, RunProgress, TableProgress};

/// Where the figures stood when a run began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunStart {
    /// The epoch that the run was begun under.
    pub(crate) epoch: i64,
    /// When it began.
    pub(crate) at: EpochMs,
    /// Milliseconds that earlier runs of the same load took.
    pub(crate) elapsed_ms: i64,
    /// Whether it goes on from what earlier runs have done.
    pub(crate) resumes: bool,
    /// Whether the task loads, and does not only follow.
    pub(crate) loads: bool,
}

/// Brings a table's figures up to what the run says. `before`: changes that earlier runs applied and captured.
pub(crate) fn apply_table(
    table: &mut TableStatistics,
    progress: &TableProgress,
    before: (ChangeCounts, ChangeCounts),
    now: EpochMs,
) {
    let applied = sum(before.0, progress.applied);
    let captured = sum(before.1, progress.captured);
    if (table.applied, table.captured) != (applied, captured) {
        // What is received waits for the target in memory only, so it counts as captured once the target has taken or refused it.
        (table.applied, table.captured) = (applied, captured);
        table.updated_at = now;
    }
    table.full_load_reloaded |= progress.reload_count > 0;
    let was_complete = table.state == TableState::Completed;
    if was_complete && progress.state == TableState::Completed && progress.ended_at.is_none() {
        return;
    }
    let goes_on = matches!(table.state, TableState::FullLoad | TableState::Cancelled);
    if let Some(started_at) = progress.started_at {
        let earlier = table.full_load_started_at.filter(|_| goes_on);
        table.full_load_started_at =
            Some(earlier.map_or(started_at, |earlier| earlier.min(started_at)));
    }
    table.state = match progress.state {
        TableState::FullLoad | TableState::BeforeLoad if progress.reload_count > 0 => {
            TableState::Reloading
        }
        state => state,
    };
    table.full_load_rows = progress.rows;
    table.full_load_error_rows = progress.error_rows;
    table.full_load_ended_at = progress.ended_at;
    table.error.clone_from(&progress.message);
    table.updated_at = now;
}

/// What a run knows of the comparison of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Known<'p> {
    /// The task does not compare. What an earlier run found out stays.
    NotWanted,
    /// The table has not had its turn.
    Nothing,
    So(&'p TableValidation),
}

/// Brings the comparison of a table up to what the run says. `asked`: what was asked for that the run has not heard
/// of.
pub(crate) fn apply_validation(
    table: &mut TableStatistics,
    known: Known<'_>,
    asked: Option<ValidationState>,
    now: EpochMs,
) {
    let mut validation = match known {
        Known::NotWanted => return,
        Known::Nothing if table.validation.state == ValidationState::NotEnabled => {
            TableValidation::of(ValidationState::PendingValidation)
        }
        Known::Nothing => table.validation.clone(),
        Known::So(known) => known.clone(),
    };
    if let Some(asked) = asked {
        validation.state = asked;
    }
    if table.validation != validation {
        table.validation = validation;
        table.updated_at = now;
    }
}

fn sum(one: ChangeCounts, other: ChangeCounts) -> ChangeCounts {
    ChangeCounts {
        inserts: one.inserts.saturating_add(other.inserts),
        updates: one.updates.saturating_add(other.updates),
        deletes: one.deletes.saturating_add(other.deletes),
        ddls: one.ddls.saturating_add(other.ddls),
    }
}

/// Brings the task's figures up to what the run says.
pub(crate) fn apply_task(
    task: &mut TaskStatistics,
    progress: &RunProgress,
    start: RunStart,
    now: EpochMs,
) {
    // A run that goes on knows nothing before it has reached both ends: what earlier runs did is as true as before.
    if start.resumes && progress.tables.is_empty() {
        return;
    }
    let states: Vec<TableState> = progress.tables.values().map(|table| table.state).collect();
    count_tables(task, &states);
    task.full_load_progress_percent = i32::from(progress.percent);
    if !start.loads {
        return;
    }
    task.full_load_started_at.get_or_insert(start.at);
    if progress.percent < 100 {
        task.full_load_finished_at = None;
    } else if progress.checkpoint.is_some() {
        // A task that follows its source goes on after its load.
        task.full_load_finished_at.get_or_insert(now);
    }
    if task.full_load_finished_at.is_none() {
        task.elapsed_ms = start.elapsed_ms.saturating_add(now.ms_since(start.at));
    }
}

/// Counts the task's tables by their states.
pub(crate) fn count_tables(task: &mut TaskStatistics, states: &[TableState]) {
    let count = |of: &[TableState]| {
        let count = states.iter().filter(|state| of.contains(state)).count();
        i32::try_from(count).unwrap_or(i32::MAX)
    };
    task.tables_loaded = count(&[TableState::Completed]);
    task.tables_loading = count(&[TableState::FullLoad, TableState::Reloading]);
    task.tables_queued = count(&[TableState::BeforeLoad, TableState::Cancelled]);
    task.tables_errored = count(&[TableState::Error]);
}

/// The last touch when the run has come to its end.
pub(crate) fn finish_task(
    task: &mut TaskStatistics,
    progress: &RunProgress,
    end: &RunEnd,
    now: EpochMs,
) {
    if *end == RunEnd::Finished(StopReason::FullLoadOnlyFinished) {
        task.full_load_progress_percent = 100;
        // A run that found everything loaded has finished nothing.
        let has_loaded = |table: &TableProgress| table.ended_at.is_some();
        if progress.tables.values().any(has_loaded) {
            task.full_load_finished_at = Some(now);
        } else {
            task.full_load_finished_at.get_or_insert(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_core::TableName;
    use whimbrel_store::TaskId;

    use super::*;

    fn progress(state: TableState, rows: i64) -> TableProgress {
        TableProgress {
            state,
            rows,
            error_rows: 0,
            started_at: Some(EpochMs(50)),
            ended_at: None,
            message: None,
            not_created: Vec::new(),
            applied: ChangeCounts::default(),
            captured: ChangeCounts::default(),
            reload_count: 0,
            reload_answer_count: 0,
        }
    }

    fn table() -> TableStatistics {
        TableStatistics::new(&TaskId("T".into()), "s", "t", EpochMs(0))
    }

    #[test]
    fn a_table_complete_before_the_resume_keeps_its_figures() {
        let mut table = table();
        apply_table(
            &mut table,
            &progress(TableState::Completed, 7),
            Default::default(),
            EpochMs(100),
        );
        let before = table.clone();
        // The run knows the rows from the record at the target, but not when they came.
        apply_table(
            &mut table,
            &progress(TableState::Completed, 7),
            Default::default(),
            EpochMs(200),
        );
        assert_eq!(table, before);
    }

    #[test]
    fn a_table_that_goes_on_keeps_the_time_it_began() {
        let mut table = table();
        apply_table(
            &mut table,
            &progress(TableState::Cancelled, 7),
            Default::default(),
            EpochMs(100),
        );
        let later = TableProgress {
            started_at: Some(EpochMs(500)),
            ..progress(TableState::FullLoad, 9)
        };
        apply_table(&mut table, &later, Default::default(), EpochMs(600));
        assert_eq!(
            (table.full_load_started_at, table.full_load_rows),
            (Some(EpochMs(50)), 9)
        );
    }

    fn start(resumes: bool) -> RunStart {
        RunStart {
            epoch: 1,
            at: EpochMs(1000),
            elapsed_ms: 300,
            resumes,
            loads: true,
        }
    }

    fn all_loaded(checkpoint: Option<&str>) -> RunProgress {
        let table = progress(TableState::Completed, 7);
        RunProgress {
            tables: [(TableName::new("s", "t"), table)].into(),
            percent: 100,
            checkpoint: checkpoint.map(str::to_owned),
            ..RunProgress::default()
        }
    }

    #[test]
    fn a_run_that_goes_on_and_has_reached_nothing_leaves_the_figures_as_they_are() {
        let mut task = TaskStatistics::default();
        apply_task(
            &mut task,
            &all_loaded(Some("x")),
            start(false),
            EpochMs(1500),
        );
        assert_eq!(
            (task.tables_loaded, task.full_load_finished_at),
            (1, Some(EpochMs(1500)))
        );
        let before = task.clone();
        apply_task(
            &mut task,
            &RunProgress::default(),
            start(true),
            EpochMs(1700),
        );
        assert_eq!(task, before);
        // It has found the tables, and not opened the log yet.
        apply_task(&mut task, &all_loaded(None), start(true), EpochMs(1800));
        apply_task(
            &mut task,
            &all_loaded(Some("x")),
            start(true),
            EpochMs(1900),
        );
        assert_eq!(task, before);
        let mut loading = all_loaded(Some("x"));
        loading.percent = 50;
        apply_task(&mut task, &loading, start(true), EpochMs(2000));
        assert_eq!(task.full_load_finished_at, None);
    }

    #[test]
    fn a_load_that_was_over_is_not_over_anew() {
        const DONE: RunEnd = RunEnd::Finished(StopReason::FullLoadOnlyFinished);
        let mut task = TaskStatistics::default();
        let mut loaded = all_loaded(None);
        finish_task(&mut task, &loaded, &DONE, EpochMs(1500));
        finish_task(&mut task, &loaded, &DONE, EpochMs(1600));
        assert_eq!(task.full_load_finished_at, Some(EpochMs(1500)));
        for table in loaded.tables.values_mut() {
            table.ended_at = Some(EpochMs(1690));
        }
        finish_task(&mut task, &loaded, &DONE, EpochMs(1700));
        assert_eq!(task.full_load_finished_at, Some(EpochMs(1700)));
    }

    #[test]
    fn a_task_that_only_follows_has_no_times_of_a_load() {
        let mut task = TaskStatistics::default();
        let start = RunStart {
            loads: false,
            ..start(false)
        };
        apply_task(&mut task, &all_loaded(Some("x")), start, EpochMs(1500));
        assert_eq!(
            (task.full_load_started_at, task.full_load_finished_at),
            (None, None)
        );
        assert_eq!((task.tables_loaded, task.elapsed_ms), (1, 0));
    }

    #[test]
    fn tables_are_counted_by_state_and_time_adds_up() {
        let tables = [
            TableState::Completed,
            TableState::FullLoad,
            TableState::BeforeLoad,
            TableState::Error,
            TableState::Completed,
        ];
        let tables = tables
            .into_iter()
            .enumerate()
            .map(|(n, state)| (TableName::new("s", format!("t{n}")), progress(state, 1)));
        let progress = RunProgress {
            tables: tables.collect(),
            percent: 40,
            ..RunProgress::default()
        };
        let mut task = TaskStatistics::default();
        let start = start(false);
        apply_task(&mut task, &progress, start, EpochMs(1500));
        assert_eq!(
            (
                task.tables_loaded,
                task.tables_loading,
                task.tables_queued,
                task.tables_errored
            ),
            (2, 1, 1, 1)
        );
        assert_eq!(
            (task.full_load_progress_percent, task.elapsed_ms),
            (40, 800)
        );
    }
}
