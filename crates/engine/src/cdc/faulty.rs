//! Tables that fail as a whole while they are followed: dropped at the target by hand, say, or altered so that no row fits any more.
//!
//! What the target had of the transaction at hand is rolled back with the error, so that the stream is opened again at the checkpoint, without
//! the table if it has failed before at this place. The others lose nothing and get nothing twice.

use std::collections::BTreeSet;

use tracing::{error, warn};
use whimbrel_connector::{Checkpoint, Error, LoadRecord, TableFault, Target, TaskFence};
use whimbrel_core::TableName;

use super::Run;
use super::apply::BatchWriter;
use super::follow::FollowEnd;
use super::session::put;
use crate::{RunError, TableErrorPolicy, TableState};

impl Run<'_> {
    /// Goes on without a table whose error ended the stream.
    pub(super) async fn without_faulty(
        &mut self,
        outcome: Result<FollowEnd, RunError>,
    ) -> Result<FollowEnd, RunError> {
        let error = match outcome {
            Err(error) => error,
            ended => return ended,
        };
        let (RunError::Source(Error::Table(fault)) | RunError::Target(Error::Table(fault))) =
            &error
        else {
            return Err(error);
        };
        match self.leave_alone(fault).await? {
            Some(end) => Ok(end),
            None => Err(error),
        }
    }

    /// Whether a table had not failed yet behind a checkpoint.
    fn fails_first(&mut self, table: &TableName, checkpoint: &Checkpoint) -> bool {
        match &mut self.faulted {
            Some((at, tables)) if at == checkpoint => tables.insert(table.clone()),
            other => {
                *other = Some((checkpoint.clone(), BTreeSet::from([table.clone()])));
                true
            }
        }
    }

    /// Writes down that nothing is applied to a table any more. `None` if its error ends the task.
    async fn leave_alone(&mut self, fault: &TableFault) -> Result<Option<FollowEnd>, RunError> {
        if self.hold.fence().is_none()
            || self.spec.load.on_table_error == TableErrorPolicy::StopTask
        {
            return Ok(None);
        }
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        // A commit of the stream that has ended may be under way still: it comes before the checkpoint is read, or it is fenced.
        let fence = self.claim(&mut *target).await?;
        let checkpoint = target.checkpoint(&fence).await.map_err(RunError::Target)?;
        let records = target
            .load_records(&fence)
            .await
            .map_err(RunError::Target)?;
        let is_followed = |record: &LoadRecord| {
            let state = record.follow.as_ref();
            state.is_some_and(|state| state.suspended.is_none())
        };
        let followed: Vec<LoadRecord> = records.into_iter().filter(is_followed).collect();
        let target_name = |record: &LoadRecord| self.spec.load.target_name(&record.table);
        let by_source = followed
            .iter()
            .position(|record| record.table == fault.table);
        let place = by_source.or_else(|| {
            followed
                .iter()
                .position(|record| target_name(record) == fault.table)
        });
        let record = place.and_then(|place| followed.into_iter().nth(place));
        let (Some(checkpoint), Some(record)) = (checkpoint, record) else {
            return Ok(None);
        };
        if self.fails_first(&record.table, &checkpoint) {
            // It may pass: everything since the checkpoint comes again.
            let wait = self.spec.load.retry.wait(1);
            warn!(table = %record.table, error = fault.message, wait_ms = wait.as_millis(), "the table failed; its changes are applied once more");
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
            return Ok(Some(FollowEnd::Rejoin));
        }
        error!(table = %record.table, error = fault.message, "the table is followed no more");
        let left = [(record, fault.message.clone())];
        self.suspend(&mut *target, &fence, &checkpoint, left)
            .await?;
        self.spec.load.check_tables_in_error(self.progress)?;
        Ok(Some(FollowEnd::Rejoin))
    }

    /// Writes down of tables, each with the reason, that nothing behind a checkpoint is applied to them.
    pub(super) async fn suspend(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
        checkpoint: &Checkpoint,
        tables: impl IntoIterator<Item = (LoadRecord, String)>,
    ) -> Result<(), RunError> {
        let mut changes = Vec::new();
        for (mut record, reason) in tables {
            changes.extend(put(&mut record, |state| {
                state.suspended = Some(reason.clone());
                state.suspended_in_part = !checkpoint.is_whole();
            }));
            self.progress.add([record.table.clone()]);
            self.progress.update(&record.table, |entry| {
                entry.state = TableState::Error;
                entry.message = Some(reason);
            });
        }
        if changes.is_empty() {
            return Ok(());
        }
        let applier = target.applier(fence, &self.spec.apply).await;
        let applier = applier.map_err(RunError::Target)?;
        let mut writer = BatchWriter::new(applier, self.spec, self.tally);
        let written = writer.record(&changes, checkpoint).await;
        written.map_err(RunError::Target)
    }
}
