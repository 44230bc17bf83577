//! Tables that fail as a whole while they are followed: dropped at the target by hand, say, or altered so that no row fits any more.
//!
//! What the target had of the transaction at hand is rolled back with the error, so that the stream is opened again at the checkpoint, without
//! the table if it has failed before at this place. The others lose nothing and get nothing twice.

use std::collections::BTreeSet;

use tracing::{error, warn};
use whimbrel_connector::{Checkpoint, Error, LoadRecord, TableFault};
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
        let Some(fence) = self.hold.fence() else {
            return Ok(None);
        };
        if self.spec.load.on_table_error == TableErrorPolicy::StopTask {
            return Ok(None);
        }
        let mut target = self.target.target().await.map_err(RunError::Target)?;
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
        let (Some(checkpoint), Some(mut record)) = (checkpoint, record) else {
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
        let reason = fault.message.clone();
        let change = put(&mut record, |state| {
            state.suspended = Some(reason);
            state.suspended_in_part = checkpoint.changes_applied > 0;
        });
        let applier = target.applier(&fence, &self.spec.apply).await;
        let applier = applier.map_err(RunError::Target)?;
        let mut writer = BatchWriter::new(applier, self.spec, self.tally);
        let changes: Vec<_> = change.into_iter().collect();
        let written = writer.record(&changes, &checkpoint).await;
        written.map_err(RunError::Target)?;
        self.progress.update(&record.table, |entry| {
            entry.state = TableState::Error;
            entry.message = Some(fault.message.clone());
        });
        self.spec.load.check_tables_in_error(self.progress)?;
        Ok(Some(FollowEnd::Rejoin))
    }
}
