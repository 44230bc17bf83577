//! Prepares tables one after another and queues their chunks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use tokio::sync::mpsc;
use tracing::info;
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    Error, FinishedChunk, LoadRecord, PrepareMode, ReadFormat, RecordedPlan, Target, TargetTable,
};
use whimbrel_core::mapping::Predicate;
use whimbrel_core::{ChunkId, Position, Table, TableName, clock};

use super::coordinator::{Attempt, Job, Shared, TableRun, is_followed_from, table_message};
use super::plan::{LoadPlan, PlannedTable};
use super::sift;
use crate::{LoadExceptions, RunError, TableState};

/// What a table is told that would have to start again although its rows are to be left alone.
const WOULD_DOUBLE: &str = "its load was interrupted with some of its rows at the target and cannot be gone on with, because \
    the table, its ranges or the settings of its values have changed since, or its changes are followed; loading it again would double those \
    rows, because what the target holds is to be left as it is: empty the table at the target and start anew without a resume, or let it be truncated or created";

/// Prepares tables one after another and queues their chunks.
pub(super) struct Feeder<'a> {
    pub(super) attempt: &'a Attempt<'a>,
    pub(super) shared: &'a Shared,
    pub(super) target: &'a mut Box<dyn Target>,
    pub(super) jobs: mpsc::Sender<Job>,
}

impl Feeder<'_> {
    pub(super) async fn feed(
        mut self,
        plan: LoadPlan,
        mut records: HashMap<TableName, LoadRecord>,
    ) -> Result<(), RunError> {
        self.recall(&plan, &records);
        for table in plan.tables {
            if self.shared.halt.is_cancelled() {
                return Ok(());
            }
            let name = table.source.name.clone();
            let record = records.remove(&name);
            match self.feed_table(table, record).await {
                Ok(()) => {}
                Err(RunError::Source(error) | RunError::Target(error))
                    if matches!(error, Error::Table(_) | Error::Row(_)) =>
                {
                    self.shared.fail_table(&name, &table_message(error));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn feed_table(
        &mut self,
        planned: PlannedTable,
        record: Option<LoadRecord>,
    ) -> Result<(), RunError> {
        let name = planned.source.name.clone();
        let target = match &planned.target {
            Ok(target) => target.clone(),
            Err(message) => {
                self.shared.fail_table(&name, message);
                return Ok(());
            }
        };
        self.shared.progress.update(&name, |entry| {
            entry.state = TableState::FullLoad;
            entry.started_at = Some(clock::now());
        });
        let record = match record {
            Some(record) if self.still_holds(&planned, &record).await? => record,
            Some(record) if self.would_double(&record) => {
                self.shared.fail_table(&name, WOULD_DOUBLE);
                return Ok(());
            }
            _ => self.prepare_at_last(&planned, &target).await?,
        };
        self.queue(planned, target, record).await
    }

    /// Whether the rows that an interrupted run has committed would stay beside those of a new start.
    fn would_double(&self, record: &LoadRecord) -> bool {
        self.attempt.spec.prepare == PrepareMode::DoNothing
            && record.chunks.iter().any(|chunk| chunk.done.is_some())
    }

    /// Tells the snapshot of all plans that it will be asked about.
    fn recall(&self, plan: &LoadPlan, records: &HashMap<TableName, LoadRecord>) {
        let recorded = plan.tables.iter().filter_map(|planned| {
            let record = records.get(&planned.source.name)?;
            // What stands in the way is told when it is the table's turn.
            self.recorded(planned, record).ok()?.ok()
        });
        self.shared.snapshot.recall(recorded.collect());
    }

    /// What the source has to be asked of a recorded load; without asking it, why the table starts again.
    fn recorded(
        &self,
        planned: &PlannedTable,
        record: &LoadRecord,
    ) -> Result<Result<RecordedPlan, &'static str>, RunError> {
        let table = &planned.source;
        let shaper = self.attempt.spec.shaper();
        if let Some(state) = &record.follow {
            if !shaper.is_that_of(&state.shape) {
                return Ok(Err(
                    "the settings of its values, or the rules for it, have changed",
                ));
            }
            if !is_defined_as(table, &state.shape) {
                return Ok(Err("its columns or its key have changed"));
            }
        }
        let shape = shaper.of_rows(table).map_err(RunError::Source)?;
        let filter = shape.as_ref().and_then(|shape| shape.filter());
        let Some(finished) = finished(planned, record, filter) else {
            return Ok(Err("its ranges are others"));
        };
        Ok(match &record.planned_at {
            Some(planned_at) if !finished.is_empty() => Ok(RecordedPlan {
                table: table.name.clone(),
                planned_at: planned_at.clone(),
                finished,
            }),
            _ => Err("no chunk of it was finished"),
        })
    }

    /// Whether a recorded plan may be gone on with. If so, that it holds under the snapshot of now is on record.
    async fn still_holds(
        &mut self,
        planned: &PlannedTable,
        record: &LoadRecord,
    ) -> Result<bool, RunError> {
        let name = &planned.source.name;
        if self.attempt.spec.is_followed {
            return Ok(self.is_loaded_as_described(name, record)
                && self.is_of_followed_log(name, record).await?);
        }
        let recorded = match self.recorded(planned, record)? {
            Ok(recorded) => recorded,
            Err(why) => {
                info!(table = %name, "{why} since its load was interrupted: it starts again");
                return Ok(false);
            }
        };
        let RecordedPlan {
            planned_at,
            finished,
            ..
        } = &recorded;
        let snapshot = &self.shared.snapshot;
        let holds = snapshot.plan_holds(&planned.source, planned_at, finished);
        if !holds.await.map_err(RunError::Source)? {
            info!(table = %name, "rows of its finished chunks may have changed since its load was interrupted: it starts again");
            return Ok(false);
        }
        if planned_at != self.shared.snapshot.position() {
            self.rebase_at_last(name).await?;
        }
        Ok(true)
    }

    /// A table that is followed has one view, and the new snapshot is another: only its keys may be left to build.
    fn is_loaded_as_described(&self, name: &TableName, record: &LoadRecord) -> bool {
        let shaper = self.attempt.spec.shaper();
        let mut state = record.follow.iter();
        if state.any(|state| !shaper.is_that_of(&state.shape)) {
            info!(table = %name, "the settings of its values, or the rules for it, have changed since its load was interrupted: it starts again");
            return false;
        }
        record.chunks.iter().all(|chunk| chunk.done.is_some())
    }

    /// Whether what its view does not hold is still told to it: the log is kept for a table no longer than until its load fails.
    async fn is_of_followed_log(
        &mut self,
        name: &TableName,
        record: &LoadRecord,
    ) -> Result<bool, RunError> {
        let Some(view) = &record.planned_at else {
            return Ok(false);
        };
        let is_followed = is_followed_from(self.attempt, view).await?;
        if !is_followed {
            info!(table = %name, %view, "its rows are older than the place from which its changes are followed: it starts again");
        }
        Ok(is_followed)
    }

    /// Notes that a table's plan holds under the snapshot of now, once the target is there.
    async fn rebase_at_last(&mut self, name: &TableName) -> Result<(), RunError> {
        loop {
            let seen = self.shared.outages();
            let position = self.shared.snapshot.position();
            let noted = self.target.rebase(&self.shared.fence, name, position).await;
            match noted.map_err(RunError::Target) {
                Err(met) if met.may_pass() => self.shared.renew(self.target, met, seen).await?,
                noted => return noted,
            }
        }
    }

    /// Prepares a table, once the target is there.
    async fn prepare_at_last(
        &mut self,
        planned: &PlannedTable,
        target: &TargetTable,
    ) -> Result<LoadRecord, RunError> {
        loop {
            let seen = self.shared.outages();
            match self.prepare(planned, target).await {
                Err(met @ RunError::Target(_)) if met.may_pass() => {
                    self.shared.renew(self.target, met, seen).await?;
                }
                prepared => return prepared,
            }
        }
    }

    /// How rows of a table that nothing is made of on their way are read, once the target is there.
    async fn format(
        &mut self,
        source: &Table,
        target: &TargetTable,
    ) -> Result<ReadFormat, RunError> {
        let offered = self.shared.snapshot.raw_formats(source);
        loop {
            let seen = self.shared.outages();
            let accepted = match self.target.raw_formats(target).await {
                Ok(accepted) => match offered.iter().find(|format| accepted.contains(format)) {
                    Some(format) => Ok(ReadFormat::Raw(*format)),
                    None => self.target.takes_parts(target).await.map(|takes_parts| {
                        if takes_parts {
                            ReadFormat::InParts
                        } else {
                            ReadFormat::Decoded
                        }
                    }),
                },
                Err(error) => Err(error),
            };
            match accepted.map_err(RunError::Target) {
                Err(met) if met.may_pass() => self.shared.renew(self.target, met, seen).await?,
                accepted => return accepted,
            }
        }
    }

    async fn prepare(
        &mut self,
        planned: &PlannedTable,
        target: &TargetTable,
    ) -> Result<LoadRecord, RunError> {
        let spec = self.attempt.spec;
        let source = &planned.source;
        let snapshot = &*self.shared.snapshot;
        let bounds = planned.split.chunks(snapshot, source, spec.chunk_bytes);
        let bounds = bounds.await.map_err(RunError::Source)?;
        let position: &Position = self.shared.snapshot.position();
        self.target
            .prepare(&self.shared.fence, target, spec.prepare, position, &bounds)
            .await
            .map_err(RunError::Target)?;
        if let Some(LoadExceptions { home }) = &spec.load_exceptions {
            let forgotten = sift::forgotten(&self.shared.fence.task, &target.name);
            let written = self.target.write_control(home.as_deref(), &forgotten).await;
            written.map_err(RunError::Target)?;
        }
        reach(Point::TablePrepared).await;
        let chunks = (0..)
            .zip(bounds)
            .map(|(id, bounds)| whimbrel_connector::ChunkRecord {
                id: ChunkId(id),
                bounds,
                done: None,
            });
        Ok(LoadRecord {
            table: source.name.clone(),
            planned_at: Some(position.clone()),
            follow: None,
            chunks: chunks.collect(),
            is_finished: false,
        })
    }

    async fn queue(
        &mut self,
        planned: PlannedTable,
        target: TargetTable,
        record: LoadRecord,
    ) -> Result<(), RunError> {
        let PlannedTable { source, split, .. } = planned;
        self.shared
            .progress
            .update(&source.name, |entry| entry.show(&record));
        let open: Vec<_> = record
            .chunks
            .iter()
            .filter(|chunk| chunk.done.is_none())
            .collect();
        let shape = self.attempt.spec.shaper().of_rows(&source);
        let shape = shape.map_err(RunError::Source)?;
        let is_exact = split.is_exact(&*self.shared.snapshot, &source);
        let format = if shape.is_none() && is_exact {
            self.format(&source, &target).await?
        } else {
            ReadFormat::Decoded
        };
        let table = Arc::new(TableRun {
            name: source.name.clone(),
            format,
            shape,
            split,
            is_exact,
            is_only_chunk: record.chunks.len() == 1,
            chunks_open: AtomicU32::new(u32::try_from(open.len()).unwrap_or(u32::MAX)),
            has_failed: AtomicBool::new(false),
            left_out: AtomicU64::new(0),
            source,
            target,
        });
        let mut jobs: Vec<Job> = open
            .into_iter()
            .map(|chunk| Job {
                table: Arc::clone(&table),
                chunk: Some((chunk.id, chunk.bounds.clone())),
            })
            .collect();
        if jobs.is_empty() {
            jobs.push(Job { table, chunk: None });
        }
        for job in jobs {
            tokio::select! {
                () = self.shared.halt.cancelled() => break,
                sent = self.jobs.send(job) => if sent.is_err() { break },
            }
        }
        Ok(())
    }
}

/// Whether a table is what it was when it was prepared at the target: otherwise its rows do not fit there, or are other ones than those of the
/// finished chunks though no row was written.
fn is_defined_as(now: &Table, then: &Table) -> bool {
    let columns = now.columns.iter().zip(&then.columns);
    let mut same = columns.map(|(now, then)| {
        (&now.name, &now.ty, &now.native) == (&then.name, &then.ty, &then.native)
            && (now.nullable, &now.generation) == (then.nullable, &then.generation)
    });
    now.columns.len() == then.columns.len()
        && same.all(|is_same| is_same)
        && now.primary_key == then.primary_key
        && now.key_prefixes == then.key_prefixes
}

/// The chunks that an interrupted load has committed, as the source knows them; `None` when some are of other ranges than those of now.
fn finished(
    planned: &PlannedTable,
    record: &LoadRecord,
    filter: Option<&Predicate>,
) -> Option<Vec<FinishedChunk>> {
    let chunks = record.chunks.iter();
    let parts = chunks.map(|chunk| Some((planned.split.part(&chunk.bounds)?, chunk.done)));
    // One that is open has to be read by the ranges that it was planned for, too.
    let parts: Vec<_> = parts.collect::<Option<_>>()?;
    let done = parts
        .into_iter()
        .filter_map(|(part, done)| Some((part, done?)));
    let chunks = done.map(|(part, commit)| FinishedChunk {
        bounds: part.bounds,
        filter: both(part.rows, filter),
        row_count: commit.row_count,
    });
    Some(chunks.collect())
}

/// Rows that are in a chunk and wanted.
pub(super) fn both(rows: Option<&Predicate>, filter: Option<&Predicate>) -> Option<Predicate> {
    match (rows, filter) {
        (Some(rows), Some(filter)) => Some(Predicate::All(vec![rows.clone(), filter.clone()])),
        (rows, filter) => rows.or(filter).cloned(),
    }
}
