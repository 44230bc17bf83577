//! One stream of the log: which tables it follows, from where, and what their rows hold already.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use tracing::{error, info, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    ChangeLog, Checkpoint, Definition, Error, Feeding, FollowState, LoadRecord, Mutation,
    PrepareMode, RecordChange, SnapshotView, TableId, Target, TaskFence,
};
use whimbrel_core::{Position, Table, TableName};

use super::apply::{BatchWriter, Control, Controlled, Standing};
use super::batch::Collector;
use super::definitions::Again;
use super::follow::{FollowEnd, Follower, Until};
use super::latency::WaitingSince;
use super::newcomers::{LoadParts, Newcomers};
use super::tables::{FollowedTable, StreamTable, StreamTables};
use super::uncommitted::Uncommitted;
use super::{CdcOutcome, Run, is_of, unless_stopped};
use crate::{RunError, TableErrorPolicy, TableState};

/// Why the changes of a table are gone that would join at a place behind its view.
const OLDER: &str = "its rows are older than the place from which the log is kept";

/// Where a stream begins, and the tables that it follows.
struct Session {
    checkpoint: Checkpoint,
    followed: Vec<LoadRecord>,
    /// Tables that are loaded, whether they are followed or not.
    loaded: Vec<LoadRecord>,
    /// Tables whose load did not come to its end.
    interrupted: Vec<LoadRecord>,
    /// Tables that were dropped and made again while nobody followed.
    made_anew: Vec<LoadRecord>,
    /// Tables are loaded, other ones by now or nobody's yet, and wait until the target has no part of a transaction: then the stream is opened again.
    waits_for_whole: bool,
}

impl Session {
    fn is_made_anew(&self, table: &TableName) -> bool {
        self.made_anew.iter().any(|record| record.table == *table)
    }

    /// Finds tables that are other ones by now under the same name, and follows them no more: they are loaded like new ones. Where the log
    /// tells so as well, it tells it of a table that nobody follows. One that only has another name, which the log tells, is followed on.
    fn take_out_made_anew(&mut self, selected: &[Table], tells_names: bool) {
        let is_made_anew = |record: &LoadRecord| {
            let Some(id) = record.follow.as_ref().and_then(|state| state.shape.id) else {
                return false;
            };
            let is_gone = !selected.iter().any(|table| table.id == Some(id));
            let mut same_name = selected.iter().filter(|table| table.name == record.table);
            let has_lost_name = same_name.any(|table| table.id.is_some_and(|now| now != id));
            has_lost_name && (is_gone || !tells_names)
        };
        if !self.checkpoint.is_whole() {
            // Their changes are in its count, and have to come once more.
            self.waits_for_whole |= self.loaded.iter().any(is_made_anew);
            return;
        }
        let (anew, loaded) = std::mem::take(&mut self.loaded)
            .into_iter()
            .partition(is_made_anew);
        self.loaded = loaded;
        self.made_anew = anew;
        for LoadRecord { table, .. } in &self.made_anew {
            info!(%table, "the table was dropped and made again at the source");
        }
        let mut followed = std::mem::take(&mut self.followed);
        followed.retain(|record| !self.is_made_anew(&record.table));
        self.followed = followed;
    }
}

impl<'a> Run<'a> {
    /// Opens a stream at the checkpoint, with all tables that are loaded, and follows it.
    pub(super) async fn follow(
        &mut self,
        log: &mut dyn ChangeLog,
        until: Option<Position>,
    ) -> Result<FollowEnd, RunError> {
        let opened = unless_stopped(self.stop, Box::pin(self.open(log, until))).await?;
        let Some((mut follower, writer)) = opened else {
            return Ok(FollowEnd::Run(CdcOutcome::Stopped));
        };
        let outcome = follower.run(writer).await;
        if let Some(barrier) = &follower.barrier {
            // Nothing but the request says so.
            self.spec.reloads.ask(barrier.asked_for().iter().cloned());
        }
        self.batches_committed += follower.batches_committed;
        let committed = follower.committed.clone();
        let uncommitted = std::mem::take(&mut follower.uncommitted);
        self.cut_off.leave(committed, uncommitted);
        // With it goes what is open at the target.
        drop(follower);
        if !matches!(outcome, Ok(FollowEnd::Run(_))) {
            // Until the next stream says otherwise.
            self.progress.follow(|cdc| {
                cdc.is_loading = true;
                cdc.is_caught_up = false;
            });
        }
        self.without_faulty(outcome).await
    }

    /// Opens a stream at the checkpoint, and takes in the tables that are loaded by now.
    async fn open(
        &mut self,
        log: &mut dyn ChangeLog,
        until: Option<Position>,
    ) -> Result<(Follower<'a>, BatchWriter), RunError> {
        let mut target = self.target.target().await.map_err(RunError::Target)?;
        let fence = self.claim(&mut *target).await?;
        reach(Point::FollowerClaimed).await;
        let applier = target.applier(&fence, &self.spec.apply).await;
        let applier = applier.map_err(RunError::Target)?;
        let mut writer = BatchWriter::new(applier, self.spec, self.tally);
        let mut session = self.join(log, &mut *target, &mut writer, &fence).await?;
        reach(Point::TablesJoined).await;
        let selected = self.selected().await?;
        let tells_names = log.tells_names().await.map_err(RunError::Source)?;
        session.take_out_made_anew(&selected, tells_names);
        self.leave_shared(&mut *target, &fence, &mut session)
            .await?;
        if let Some(control) = self.leftovers(&session, &selected, &*target)? {
            clear_away(&mut writer, &control).await?;
        }
        let wanted = self.not_loaded(&mut session, selected);
        let checkpoint = session.checkpoint.clone();
        let (shapes, gaps) = shapes_and_gaps(log, &session.followed).await?;
        let ahead = ahead(&*log, &session.followed, &checkpoint.position)?;
        let tables = followed(&*log, std::mem::take(&mut session.followed))?;
        let tables =
            StreamTables::new(tables, &*target, &self.spec.load).map_err(RunError::Target)?;
        let heeded = writer.heed_references(&tables.targets_beside(&[])).await;
        heeded.map_err(RunError::Target)?;
        let stream = log
            .open(&shapes, &checkpoint.position)
            .await
            .map_err(RunError::Source)?;
        info!(task = fence.task, position = %checkpoint.position, tables = shapes.len(), "following the log of the source");
        self.show_opened(&shapes, &session);
        reach(Point::StreamOpen).await;
        let newcomers = self.newcomers(&session, wanted, fence);
        let again = Again::of(&checkpoint, writer.defines_in_transaction());
        let mut follower = Follower {
            spec: self.spec,
            progress: self.progress,
            stop: self.stop,
            target,
            stream,
            tables,
            collector: Collector::default(),
            until: until.map(Until::from),
            ended: None,
            ahead,
            batches_committed: 0,
            applied_before: checkpoint.changes_applied,
            committed: checkpoint,
            rows: None,
            is_in_transaction: false,
            must_commit: false,
            piece_of: 0,
            reopens: false,
            gaps,
            waiting: VecDeque::new(),
            barrier: None,
            newcomers,
            gathered_since: None,
            changed_at: None,
            failure: None,
            changes_in_transaction: 0,
            waiting_since: WaitingSince::default(),
            uncommitted: Uncommitted::default(),
            again,
        };
        follower.start_newcomers();
        follower.go_on()?;
        Ok((follower, writer))
    }

    fn show_opened(&self, shapes: &[Table], session: &Session) {
        self.progress
            .add(shapes.iter().map(|table| table.name.clone()));
        self.show_followed(shapes, session);
        self.show_suspended(&session.loaded);
        let checkpoint = &session.checkpoint;
        let recovery = checkpoint
            .kept_from
            .as_ref()
            .unwrap_or(&checkpoint.position);
        self.progress.follow(|cdc| {
            cdc.checkpoint = Some(checkpoint.position.as_str().to_owned());
            cdc.recovery = Some(recovery.as_str().to_owned());
        });
    }

    /// Tables that are followed and shown in error or gone: what made them that was taken back with its transaction, and comes again or does not.
    fn show_followed(&self, shapes: &[Table], session: &Session) {
        let progress = self.progress.snapshot();
        let is_suspended = |record: &LoadRecord| {
            let state = record.follow.as_ref();
            state.is_some_and(|state| state.suspended.is_some())
        };
        let has_left = |table: &&Table| {
            let entry = progress.tables.get(&table.name);
            let is_shown = entry.is_some_and(|entry| {
                matches!(entry.state, TableState::Error | TableState::Dropped)
            });
            let mut records = session.loaded.iter().filter(|record| is_suspended(record));
            is_shown && !records.any(|record| record.table == table.name)
        };
        for table in shapes.iter().filter(has_left) {
            self.progress.update(&table.name, |entry| {
                entry.state = TableState::Completed;
                entry.message = None;
            });
        }
    }

    /// The tables that are to be loaded while the others are followed.
    fn newcomers(
        &self,
        session: &Session,
        wanted: BTreeSet<TableName>,
        fence: TaskFence,
    ) -> Newcomers {
        let parts = LoadParts {
            source: Arc::clone(self.source),
            target: Arc::clone(self.target),
            progress: Arc::clone(self.progress),
            stop: self.stop.clone(),
            fence,
        };
        let checkpoint = &session.checkpoint;
        let kept_from = if session.waits_for_whole {
            // What they lack lies behind the checkpoint of now, which moves on with the others before they join.
            let kept_from = checkpoint.kept_from.as_ref();
            Some(kept_from.unwrap_or(&checkpoint.position).clone())
        } else {
            // Of a table that is wanted no more nobody would ever say so.
            let kept_from = checkpoint.kept_from.clone();
            kept_from.filter(|_| !wanted.is_empty())
        };
        let mut newcomers = Newcomers::new(parts, wanted, kept_from);
        newcomers.is_done = session.waits_for_whole;
        newcomers
    }

    /// Takes tables in that have been loaded since the last stream: see [`super::newcomers`].
    async fn join(
        &mut self,
        log: &mut dyn ChangeLog,
        target: &mut dyn Target,
        writer: &mut BatchWriter,
        fence: &TaskFence,
    ) -> Result<Session, RunError> {
        let checkpoint = target.checkpoint(fence).await.map_err(RunError::Target)?;
        let mut checkpoint = checkpoint.ok_or(RunError::NothingToResume)?;
        self.cut_off.settle(&checkpoint);
        let records = target.load_records(fence).await.map_err(RunError::Target)?;
        let (finished, interrupted): (Vec<_>, Vec<_>) = records
            .into_iter()
            .partition(|record| record.is_finished && record.follow.is_some());
        let mut loaded = finished.clone();
        for record in &loaded {
            self.spec.load.check_shape(record)?;
        }
        let (mut followed, newcomers): (Vec<_>, Vec<_>) = finished
            .into_iter()
            .partition(|record| record.follow.as_ref().is_some_and(|state| state.has_joined));
        let waits_for_whole = !newcomers.is_empty() && !checkpoint.is_whole();
        let counted = counted_no_more(&mut followed, &checkpoint);
        if !counted.is_empty() {
            let recorded = writer.record(&counted, &checkpoint).await;
            recorded.map_err(RunError::Target)?;
        }
        if !newcomers.is_empty() && !waits_for_whole {
            let (lost, taken, from) = if let Some(gap) = self.gap(log, &checkpoint).await? {
                let lost = self.lost(newcomers, &gap, &mut loaded);
                (lost, Vec::new(), checkpoint.position)
            } else {
                let (newcomers, older) = by_view(&*log, newcomers, &checkpoint)?;
                let lost = self.lost(older, OLDER, &mut loaded);
                self.lost_before
                    .retain(|table| !newcomers.iter().any(|record| record.table == *table));
                let (taken, from) = taken_in(&*log, &mut followed, newcomers, &checkpoint)?;
                (lost, taken, from)
            };
            checkpoint = Checkpoint::at(from);
            let changes = [lost.as_slice(), &taken].concat();
            let recorded = writer.record(&changes, &checkpoint).await;
            recorded.map_err(RunError::Target)?;
            // Once it is written down: a resume does not meet it again.
            self.lost_before.extend(removed(&lost));
            self.check_lost(&lost)?;
        }
        followed.retain(|record| {
            let state = record.follow.as_ref();
            state.is_some_and(|state| state.suspended.is_none() || state.suspended_in_part)
        });
        Ok(Session {
            checkpoint,
            followed,
            loaded,
            interrupted,
            made_anew: Vec::new(),
            waits_for_whole,
        })
    }

    /// Why the log cannot be read again for tables that were loaded meanwhile, if it cannot: the source may have purged it.
    async fn gap(
        &self,
        log: &mut dyn ChangeLog,
        checkpoint: &Checkpoint,
    ) -> Result<Option<String>, RunError> {
        let Some(from) = &checkpoint.kept_from else {
            return Ok(None);
        };
        // Where the log cannot be read at all, nothing is known of the tables.
        let there = log.reaches_back(&checkpoint.position).await;
        there.map_err(RunError::Source)?;
        match log.reaches_back(from).await {
            Ok(()) => Ok(None),
            Err(Error::Fatal(gap)) => Ok(Some(gap)),
            Err(error) => Err(RunError::Source(error)),
        }
    }

    /// Tables whose changes since their load are gone: they are loaded again where the task may do that, else they are in error. The others go on. One that is lost
    /// again before it has joined is in error too: its source purges the log faster than it loads, and would have it loaded for ever.
    fn lost(
        &mut self,
        newcomers: Vec<LoadRecord>,
        gap: &str,
        loaded: &mut Vec<LoadRecord>,
    ) -> Vec<RecordChange> {
        let mut changes = Vec::new();
        for mut record in newcomers {
            let table = record.table.clone();
            let mut reason = format!("the changes made since its load began are gone: {gap}");
            let may_reload = self.spec.may_reload();
            if may_reload && !self.lost_before.contains(&table) {
                warn!(%table, reason, "the table is loaded again");
                loaded.retain(|record| record.table != table);
                changes.push(RecordChange::Remove { table });
                continue;
            }
            if may_reload {
                reason.push_str("; it was loaded again for that once already: have the source keep its log for longer than the table takes to load, and load the table again");
            }
            error!(%table, reason, "the table cannot join those that are followed");
            self.progress.add([table.clone()]);
            self.progress.update(&table, |entry| {
                entry.state = TableState::Error;
                entry.message = Some(reason.clone());
            });
            changes.extend(put(&mut record, |state| {
                state.has_joined = true;
                state.suspended = Some(reason);
            }));
        }
        changes
    }

    /// Ends the task where its policy says so of tables that are in error now.
    fn check_lost(&self, changes: &[RecordChange]) -> Result<(), RunError> {
        let lost = changes.iter().find_map(|change| match change {
            RecordChange::Put { table, state } => Some((table, state.suspended.as_ref()?)),
            _ => None,
        });
        let Some((table, reason)) = lost else {
            return Ok(());
        };
        if self.spec.load.on_table_error == TableErrorPolicy::StopTask {
            return Err(RunError::Table(format!(
                "table {table}: {reason}; load the table again"
            )));
        }
        self.spec.load.check_tables_in_error(self.progress)
    }

    /// A table that is another one by now, and into which other tasks write too, cannot be loaded: its rows of before are among theirs.
    async fn leave_shared(
        &self,
        target: &mut dyn Target,
        fence: &TaskFence,
        session: &mut Session,
    ) -> Result<(), RunError> {
        if self.spec.load.feeding == Feeding::Alone {
            return Ok(());
        }
        let reason = "it was dropped and made again at the source; delete its rows of before at the target, which it shares with other tasks, and load it again";
        let left = std::mem::take(&mut session.made_anew).into_iter();
        let left = left.map(|record| (record, reason.to_owned()));
        self.suspend(target, fence, &session.checkpoint, left).await
    }

    /// The task's tables as the source has them now.
    async fn selected(&self) -> Result<Vec<Table>, RunError> {
        let mut source = self.source.source().await.map_err(RunError::Source)?;
        let mappings = &self.spec.load.mappings;
        let selected = source.tables(&|name| mappings.selects(name)).await;
        selected.map_err(RunError::Source)
    }

    /// What removes the rest of interrupted loads of tables that are gone at the source, and the records of those that the mappings select no more.
    fn leftovers(
        &self,
        session: &Session,
        selected: &[Table],
        target: &dyn Target,
    ) -> Result<Option<Control>, RunError> {
        let is_gone =
            |record: &&LoadRecord| !selected.iter().any(|table| table.name == record.table);
        let drops = self.spec.on_ddl.drops && self.spec.load.feeding == Feeding::Alone;
        let may_drop = drops && self.spec.load.prepare == PrepareMode::DropAndCreate;
        let mut control = Control {
            definitions: Vec::new(),
            records: Vec::new(),
            feeds: None,
            checkpoint: session.checkpoint.clone(),
            commits: true,
            may_stay: true,
            stands: Standing::default(),
        };
        let interrupted = session.interrupted.iter().filter(is_gone);
        let is_selected = |record: &LoadRecord| self.spec.load.mappings.selects(&record.table);
        let interrupted = interrupted.map(|record| (record, may_drop && is_selected(record)));
        // The log tells of their end too, but of a table that nobody follows.
        let made_anew = session.made_anew.iter();
        let made_anew = made_anew.map(|record| (record, drops));
        for (record, may_drop) in interrupted.chain(made_anew) {
            let why = if is_selected(record) {
                "it is gone at the source"
            } else {
                "the table mappings do not select it any more"
            };
            info!(table = %record.table, may_drop, why, "the record of a table is removed");
            control.records.push(RecordChange::Remove {
                table: record.table.clone(),
            });
            let Some(state) = record.follow.as_ref().filter(|_| may_drop) else {
                continue;
            };
            let planned = StreamTable::plan(&state.shape, target, &self.spec.load);
            let table = planned.map_err(RunError::Target)?.target;
            control.definitions.push(Definition::Drop { table });
        }
        Ok(Some(control).filter(|control| !control.records.is_empty()))
    }

    /// Tables of the task that came to be while nobody looked. Those that could not be loaded are not tried again by themselves.
    fn not_loaded(&self, session: &mut Session, selected: Vec<Table>) -> BTreeSet<TableName> {
        let wanted = self.lacking(session, selected);
        if session.checkpoint.is_whole() || wanted.is_empty() {
            return wanted;
        }
        // One of them may be followed under another name, which the rest of the transaction tells.
        session.waits_for_whole = true;
        BTreeSet::new()
    }

    fn lacking(&self, session: &Session, selected: Vec<Table>) -> BTreeSet<TableName> {
        let progress = self.progress.snapshot();
        let is_wanted = |table: &Table| {
            let entry = progress.tables.get(&table.name);
            let has_failed = entry.is_some_and(|entry| entry.state == TableState::Error);
            let may_try = !has_failed || session.is_made_anew(&table.name);
            may_try && !session.loaded.iter().any(|record| is_of(record, table))
        };
        let wanted = selected.into_iter().filter(is_wanted);
        wanted.map(|table| table.name).collect()
    }
}

async fn clear_away(writer: &mut BatchWriter, control: &Control) -> Result<(), RunError> {
    let done = writer.control(control).await.map_err(RunError::Target)?;
    if let Controlled::Refused { why, .. } = done {
        warn!(
            why,
            "what an interrupted load left of a table that is gone stays at the target"
        );
    }
    Ok(())
}

/// Tables whose view has reached the place from where the log is read for them, and the others: what lies between would be in neither. A load asks the same before it
/// writes, of the place that it is told; the checkpoint may name a later one after a crash.
fn by_view(
    log: &dyn ChangeLog,
    newcomers: Vec<LoadRecord>,
    checkpoint: &Checkpoint,
) -> Result<(Vec<LoadRecord>, Vec<LoadRecord>), RunError> {
    let from = checkpoint.kept_from.as_ref();
    let from = from.unwrap_or(&checkpoint.position);
    let (mut reaching, mut older) = (Vec::new(), Vec::new());
    for record in newcomers {
        let view = record.planned_at.as_ref();
        let reaches = view.map(|view| log.view_reaches(view, from)).transpose();
        if reaches.map_err(RunError::Source)?.unwrap_or(true) {
            reaching.push(record);
        } else {
            older.push(record);
        }
    }
    Ok((reaching, older))
}

/// The tables whose records are removed.
fn removed(changes: &[RecordChange]) -> impl Iterator<Item = TableName> {
    changes.iter().filter_map(|change| match change {
        RecordChange::Remove { table } => Some(table.clone()),
        _ => None,
    })
}

/// Tables in error that were followed for the count of a part, which is whole by now. It is written down before a stream is opened without them: another part is counted without
/// them, and would be told with them otherwise.
fn counted_no_more(followed: &mut [LoadRecord], checkpoint: &Checkpoint) -> Vec<RecordChange> {
    let is_counted = |record: &&mut LoadRecord| {
        let state = record.follow.as_ref();
        checkpoint.is_whole() && state.is_some_and(|state| state.suspended_in_part)
    };
    let counted = followed.iter_mut().filter(is_counted);
    let changes = counted.filter_map(|record| put(record, |state| state.suspended_in_part = false));
    changes.collect()
}

/// Takes loaded tables in, and answers from where the log is read again; what the others hold of it is noted.
fn taken_in(
    log: &dyn ChangeLog,
    followed: &mut Vec<LoadRecord>,
    newcomers: Vec<LoadRecord>,
    checkpoint: &Checkpoint,
) -> Result<(Vec<RecordChange>, Position), RunError> {
    let from = checkpoint.kept_from.clone();
    let from = from.filter(|_| !Mutation::LaterPosition.is_on());
    let from = from.unwrap_or_else(|| checkpoint.position.clone());
    let mut changes = Vec::new();
    if from != checkpoint.position {
        for record in &mut *followed {
            changes.extend(applied_to(log, record, &checkpoint.position)?);
        }
    }
    for mut record in newcomers {
        changes.extend(put(&mut record, |state| state.has_joined = true));
        followed.push(record);
    }
    Ok((changes, from))
}

/// Changes the state of a table, and says so.
pub(super) fn put(
    record: &mut LoadRecord,
    change: impl FnOnce(&mut FollowState),
) -> Option<RecordChange> {
    let state = record.follow.as_mut()?;
    change(state);
    Some(RecordChange::Put {
        table: record.table.clone(),
        state: state.clone(),
    })
}

/// Notes that a table holds everything up to a position. While the log is being read again it holds more than that.
fn applied_to(
    log: &dyn ChangeLog,
    record: &mut LoadRecord,
    position: &Position,
) -> Result<Option<RecordChange>, RunError> {
    let before = record
        .follow
        .as_ref()
        .and_then(|state| state.applied_to.as_ref());
    let holds_more = before.map(|before| log.is_past(before, position));
    if holds_more.transpose().map_err(RunError::Source)? == Some(true) {
        return Ok(None);
    }
    Ok(put(record, |state| {
        state.applied_to = Some(position.clone());
    }))
}

/// The tables as they are at the checkpoint, and those of which changes may be missing in the log.
async fn shapes_and_gaps(
    log: &mut dyn ChangeLog,
    followed: &[LoadRecord],
) -> Result<(Vec<Table>, Vec<(TableId, String)>), RunError> {
    let loaded = followed.iter().filter_map(|record| {
        let state = record.follow.as_ref()?;
        Some((state.shape.clone(), record.planned_at.clone()))
    });
    let loaded: Vec<(Table, Option<Position>)> = loaded.collect();
    let gaps = log.gaps(&loaded).await.map_err(RunError::Source)?;
    Ok((loaded.into_iter().map(|(shape, _)| shape).collect(), gaps))
}

/// The last place up to which a table holds everything though the log is read again from before it.
fn ahead(
    log: &dyn ChangeLog,
    followed: &[LoadRecord],
    from: &Position,
) -> Result<Option<Position>, RunError> {
    let mut last = None;
    let states = followed.iter().filter_map(|record| record.follow.as_ref());
    for position in states.filter_map(|state| state.applied_to.as_ref()) {
        let is_past = log.is_past(position, last.unwrap_or(from));
        if is_past.map_err(RunError::Source)? {
            last = Some(position);
        }
    }
    Ok(last.cloned())
}

/// What the rows of each table hold already.
fn followed(log: &dyn ChangeLog, records: Vec<LoadRecord>) -> Result<Vec<FollowedTable>, RunError> {
    let mut tables = Vec::new();
    for record in records {
        let Some(state) = record.follow else { continue };
        let mut views: Vec<Box<dyn SnapshotView>> = Vec::new();
        if let Some(planned_at) = &record.planned_at {
            views.push(log.view(planned_at).map_err(RunError::Source)?);
        }
        if let Some(position) = &state.applied_to {
            views.push(log.view_to(position).map_err(RunError::Source)?);
        }
        tables.push(FollowedTable { state, views });
    }
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::Connector as _;
    use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase};
    use whimbrel_core::{Engine, Table};

    use super::*;

    fn record() -> LoadRecord {
        let shape = Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: Vec::new(),
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        };
        LoadRecord {
            table: shape.name.clone(),
            planned_at: None,
            chunks: Vec::new(),
            is_finished: true,
            follow: Some(FollowState::loaded(shape)),
        }
    }

    #[tokio::test]
    async fn a_table_does_not_join_behind_its_view() {
        let connector = MemoryConnector::new(MemoryDatabase::new(), Faults::none());
        let log = connector.change_log("task").await.unwrap();
        let mut loaded = record();
        loaded.planned_at = Some(Position::new("memory:7:30"));
        let at = |number: u32| Position::new(format!("memory:{number}"));
        let joins = |checkpoint: Checkpoint| {
            let (reaching, older) = by_view(&*log, vec![loaded.clone()], &checkpoint).unwrap();
            assert_eq!(reaching.len() + older.len(), 1);
            !reaching.is_empty()
        };
        assert!(joins(Checkpoint::at(at(7))));
        assert!(!joins(Checkpoint::at(at(8))));
        assert!(joins(Checkpoint {
            kept_from: Some(at(6)),
            ..Checkpoint::at(at(9))
        }));
    }

    /// A second table joins while the log is being read again for a first one: what was applied then is not applied again.
    #[tokio::test]
    async fn what_a_table_holds_is_never_taken_back_to_an_earlier_position() {
        let connector = MemoryConnector::new(MemoryDatabase::new(), Faults::none());
        let log = connector.change_log("task").await.unwrap();
        let mut record = record();
        let mut at = |number: u32| {
            let position = Position::new(format!("memory:{number}"));
            let changed = applied_to(&*log, &mut record, &position).unwrap();
            let state = record.follow.clone().unwrap();
            (changed.is_some(), state.applied_to.unwrap().to_string())
        };
        assert_eq!(at(7), (true, "memory:7".to_owned()));
        assert_eq!(at(5), (false, "memory:7".to_owned()));
        assert_eq!(at(11), (true, "memory:11".to_owned()));
    }
}
