//! Definitions that change while they are followed.
//!
//! A change of a definition waits until everything before it is at the target; what comes behind it waits until it is done. Where the
//! target changes definitions within a transaction, it commits with the rows around it. Elsewhere the rows before it are
//! committed with their count and with what is about to be changed, the definition is changed, and should the process end before the next commit the
//! same change comes again. All but the last that were begun are done, whatever names tables have by now (they may exchange them within one transaction: `a` to `x`, `b` to `a`, `x` to
//! `b`); of the last one the target tells by its tables whether it is, because nothing came behind it ([`Again`]).
//!
//! The changes of such a part are told by their count when they come again, so that the tables that were followed then have to be followed until
//! the transaction is whole: without one of them the count would take changes of others for its own, and they would be lost. So no table leaves while the target has a part, whatever
//! asks for it: a user who wants it loaded again, a gap, or that it is another table by now, under the same name, which is found when a stream is opened
//! (then the stream is opened once more behind the transaction). One that is in error is followed on for the count alone
//! ([`FollowState::suspended_in_part`]), until the transaction is whole: the next stream is opened without it, and its record says so before that.
//!
//! A stream goes on telling the changes of a table that has left, until it is opened again without it. So those are in the count of a transaction if and only if a stream that is opened
//! in front of it tells them again: what is recorded of a table that left with an earlier transaction, or between two, is at the target before any part of this one, and its changes are
//! not counted; what is recorded of one that leaves with this transaction is held back until that is whole (or says that it is followed for the count), and its changes are counted, those
//! before it leaves and those behind. A batch of earlier transactions that leaves a table in error may be written when changes of this one have been read: those of the table are taken out of
//! its count again, and of that of the definition that waits for the batch. No part of this transaction is at the target then, because parts are written behind everything before them. A
//! definition of the table itself that waits there is not changed any more: what it records would say that the table is followed.
//!
//! A table that is loaded again is dropped at once, and its record goes with that. Where the target refuses the drop (a foreign key of another table
//! points to it, say), the table stays and the record goes all the same, in the same transaction: from there on nothing is applied to the table, and
//! its load begins when that transaction is committed. It prepares the table, or is refused the same and leaves it in error while the others go on;
//! a resume tries again. Should the process end before the commit, the change comes again and meets the record; behind it, a table without a record
//! is wanted anew when the stream is opened. So what the target says of a drop decides nothing about rows. Only a table under its own name may
//! stay: that of an earlier name nobody would prepare.
//!
//! That holds where foreign keys do not act on what is applied. Where they do (a session of PostgreSQL that may not set `session_replication_role`), a table
//! that stands still, dropped or not, has no rows that came since, and changes of tables that refer to them would be refused; the usual error policy
//! writes those down and leaves them out, and no load of the first table brings rows of another. So it is asked first whether such a key of a followed
//! table refers to one that is about to stand still, before anything of the barrier is done: a load that a user wants is refused then, and the table goes
//! on; a definition that takes a load ends the task behind everything before it, with the remedy, and a resume meets it again. A key that somebody makes
//! while a load runs is not seen, nor is a table that stands still because it is in error.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{error, info};
use whimbrel_connector::{
    Begun, Checkpoint, Definition, Error, Feeding, FollowState, PrepareMode, RecordChange, TableId,
    TargetTable,
};
use whimbrel_core::{Table, TableName};

use super::apply::{Control, Controlled, Standing};
use super::follow::Follower;
use super::reshape::{Reshape, reshape};
use super::tables::{Fate, StreamTable};
use crate::{RunError, TableState};

/// What stands between two changes.
pub(super) struct Barrier {
    /// Away while the target works on it.
    work: Option<(Vec<Definition>, Vec<RecordChange>)>,
    /// Changes of the transaction at hand that come before it.
    changes_before: u64,
    /// Definitions of the transaction at hand that are begun once it is done.
    begun: Vec<Begun>,
    /// There is no transaction at hand.
    commits: bool,
    /// The target's table may stay for its load.
    may_stay: bool,
    stands: Standing,
    /// Tables to be loaded once the records of their earlier load are gone.
    wanted: Vec<TableName>,
    /// The name at the target that the table gets.
    feeds: Option<TableName>,
    /// The table whose definition changes, with the name that it has then.
    defines: Option<(TableName, TableName)>,
    then: Then,
}

/// What the target had begun of the first transaction when the stream was opened, and which comes again with it.
#[derive(Debug)]
pub(super) struct Again {
    /// The target takes all definitions of a transaction back, or none.
    are_atomic: bool,
    /// The target has a part of a transaction whose end has not come: of the first one, or of the one at hand.
    is_awaited: bool,
    /// In their order.
    done: Vec<Begun>,
    /// It may not be done.
    last: Option<Begun>,
}

impl Again {
    pub(super) fn of(checkpoint: &Checkpoint, are_atomic: bool) -> Self {
        let mut done = checkpoint.begun.clone();
        Self {
            are_atomic,
            is_awaited: !checkpoint.is_whole(),
            last: done.pop(),
            done,
        }
    }

    /// Whether the target has a part of a transaction whose end has not come.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_awaited
    }

    /// The target got a part of the transaction at hand.
    fn split(&mut self) {
        self.is_awaited = true;
    }

    /// The end of a transaction has come.
    pub(super) fn come(&mut self) {
        self.is_awaited = false;
    }

    /// The first transaction is whole at the target.
    pub(super) fn is_over(&mut self) {
        self.done.clear();
        self.last = None;
    }

    /// Whether a definition is to be changed, which is written down as begun then. Those of a table that is in error by now never come again.
    fn begin(&mut self, definition: &Definition, is_done: bool, begun: &mut Vec<Begun>) -> bool {
        let this = match definition {
            Definition::Alter { before, after, .. } => Begun {
                id: before.source.id,
                table: before.name.clone(),
                to: Some(after.name.clone()),
            },
            Definition::Drop { table } => Begun {
                id: table.source.id,
                table: table.name.clone(),
                to: None,
            },
        };
        if let Some(place) = self.done.iter().position(|done| *done == this) {
            self.done.remove(place);
            return false;
        }
        if self.last.take_if(|last| *last == this).is_some() {
            return true;
        }
        if !is_done {
            begun.push(this);
        }
        !is_done
    }
}

/// What becomes of the table once the target is ready.
enum Then {
    /// A user wants them loaded again.
    LoadAgain(Vec<TableId>),
    FollowAs(TableId, Box<StreamTable>, Box<FollowState>),
    Leave(TableId),
    /// Its rows are loaded again.
    Reload(TableId),
}

impl Barrier {
    /// Whether it stands between transactions.
    pub(super) fn is_between(&self) -> bool {
        self.commits
    }

    /// Whether tables are loaded once it is over.
    pub(super) fn wants_loads(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Tables that a user wants loaded again, and whose records may still be there.
    pub(super) fn asked_for(&self) -> &[TableName] {
        match self.then {
            Then::LoadAgain(_) => &self.wanted,
            Then::FollowAs(..) | Then::Leave(_) | Then::Reload(_) => &[],
        }
    }

    /// Whether a record of the table comes of it: that it is followed in another shape, or why it is not any more.
    fn follows(&self, id: TableId) -> bool {
        let is_put = |change: &RecordChange| matches!(change, RecordChange::Put { .. });
        let records = self.work.as_ref().map(|(_, records)| records);
        let is_of = match self.then {
            Then::FollowAs(of, ..) | Then::Leave(of) => of == id,
            Then::LoadAgain(_) | Then::Reload(_) => false,
        };
        is_of && records.is_some_and(|records| records.iter().any(is_put))
    }

    /// Nothing is to be done for the table any more, which is in error by now.
    fn leave_out(&mut self, id: TableId) {
        self.work = Some((Vec::new(), Vec::new()));
        self.feeds = None;
        self.defines = None;
        self.then = Then::Leave(id);
    }

    /// The work, when everything before it is done. `checkpoint` is what is committed.
    pub(super) fn take_control(
        &mut self,
        mut checkpoint: Checkpoint,
        again: &mut Again,
    ) -> Option<Control> {
        let (mut definitions, records) = self.work.take()?;
        if !self.commits && !again.are_atomic {
            // What comes behind it is at the target: it was done, though nobody wrote that down (it was no definition then).
            let is_done = self.changes_before < checkpoint.changes_applied;
            definitions
                .retain(|definition| again.begin(definition, is_done, &mut checkpoint.begun));
            self.begun.clone_from(&checkpoint.begun);
            if definitions.is_empty() {
                self.feeds = None;
            }
        }
        Some(Control {
            definitions,
            records,
            feeds: self.feeds.take(),
            checkpoint: Checkpoint {
                changes_applied: self.changes_before.max(checkpoint.changes_applied),
                ..checkpoint
            },
            commits: self.commits,
            may_stay: self.may_stay,
            stands: std::mem::take(&mut self.stands),
        })
    }
}

impl Follower<'_> {
    /// A table is told, for the first time or anew.
    pub(super) fn described(&mut self, id: TableId, table: Arc<Table>) -> Result<(), RunError> {
        self.tables
            .tell(id, table, &*self.target, &self.spec.load)
            .map_err(RunError::Target)?;
        match self.tables.fate(id).map_err(RunError::Source)? {
            Fate::Redefine => return self.redefine(id),
            Fate::Apply(_) => {}
            // Away it may have got a name under which nobody looked for it.
            Fate::Held => {
                let told = self.tables.told(id).map_err(RunError::Source)?;
                if self.tables.is_away(id) {
                    self.created(told.name.clone());
                }
            }
        }
        Ok(())
    }

    /// The log tells rows of a table apart by other columns from here on. What came before is applied by the old ones first; neither the table
    /// nor its rows are others.
    pub(super) fn identified(&mut self, id: TableId, table: Arc<Table>) -> Result<(), RunError> {
        let planned = StreamTable::plan(&table, &*self.target, &self.spec.load);
        let told = self
            .tables
            .identify(id, table, planned.as_ref().ok().cloned());
        if !told.map_err(RunError::Source)? {
            return Ok(());
        }
        match planned {
            Ok(planned) => {
                let (state, _) = self.tables.followed_as(id).map_err(RunError::Source)?;
                let then = Then::FollowAs(id, Box::new(planned), Box::new(state));
                self.stand(Vec::new(), Vec::new(), then);
                Ok(())
            }
            Err(error) => self.suspend(id, &error.to_string()),
        }
    }

    /// Brings the target's table to what the source's is now.
    pub(super) fn redefine(&mut self, id: TableId) -> Result<(), RunError> {
        let told = self.tables.told(id).map_err(RunError::Source)?;
        let (state, before) = self.tables.followed_as(id).map_err(RunError::Source)?;
        if !self.spec.load.mappings.selects(&told.name) {
            info!(table = %before.name, now = %told.name, "the table has another name now, which the mappings do not select");
            self.leave(id, &before, Vec::new());
            return Ok(());
        }
        let after = match StreamTable::plan(&told, &*self.target, &self.spec.load) {
            Ok(after) => after,
            Err(error) => return self.suspend(id, &error.to_string()),
        };
        let is_renamed = before.name != after.name;
        let is_taken = |tables: &super::tables::StreamTables| {
            let other = tables.find(&after.name).filter(|other| *other != id);
            other.is_some_and(|other| !tables.is_away(other))
        };
        if is_renamed && (is_taken(&self.tables) || self.newcomers.has(&after.name)) {
            // Whoever looked later found it under its new name, and loads it.
            let definitions = self.dropping(&before);
            self.leave(id, &before, definitions);
            return Ok(());
        }
        let reshape = if before.is_ruled_like(&after) {
            reshape(&before.target, &after.target)
        } else {
            Reshape::Reload(
                "the mappings choose other rows of it, or hide other columns".to_owned(),
            )
        };
        match reshape {
            Reshape::InPlace(columns) => {
                if !self.spec.on_ddl.alters && (!columns.is_empty() || is_renamed) {
                    return self.suspend(id, "its definition changed at the source, and the task is told not to change it at the target (HandleSourceTableAltered); make the same change there and load the table again");
                }
                self.alter(id, &before, after, &state, columns);
                Ok(())
            }
            Reshape::Reload(why) if self.spec.may_reload() => {
                info!(table = %after.name, why, "the definition of the table changed so that its rows are loaded again");
                self.reload(id, &before, &after.name);
                Ok(())
            }
            Reshape::Reload(why) => self.suspend(id, &format!(
                "its definition changed at the source ({why}); make the same change at the target and load the table again"
            )),
        }
    }

    fn alter(
        &mut self,
        id: TableId,
        before: &StreamTable,
        after: StreamTable,
        state: &FollowState,
        columns: Vec<whimbrel_connector::ColumnChange>,
    ) {
        let state = FollowState {
            shape: after.target.source.clone(),
            ..state.clone()
        };
        let mut records = Vec::new();
        if before.name != after.name {
            records.push(RecordChange::Remove {
                table: before.name.clone(),
            });
        }
        records.push(RecordChange::Put {
            table: after.name.clone(),
            state: state.clone(),
        });
        let is_same = columns.is_empty() && before.target.name == after.target.name;
        let mut definitions = Vec::new();
        if !is_same {
            definitions.push(Definition::Alter {
                before: before.target.clone(),
                after: after.target.clone(),
                columns,
            });
        }
        if !is_same {
            info!(table = %after.name, "the definition of the table changed and is changed at the target");
        }
        let (was, is) = (&before.target.name, after.target.name.clone());
        let is_moved = *was != is;
        if is_moved {
            records.push(RecordChange::Unfed {
                table: was.clone(),
                now: Some(is.clone()),
            });
        }
        let names = (before.name.clone(), after.name.clone());
        let defines = (!is_same || names.0 != names.1).then_some(names);
        let then = Then::FollowAs(id, Box::new(after), Box::new(state));
        self.stand(definitions, records, then);
        if let Some(barrier) = &mut self.barrier {
            barrier.feeds = is_moved.then_some(is);
            barrier.defines = defines;
        }
    }

    /// The rows of a table are loaded again, under its name of now.
    fn reload(&mut self, id: TableId, before: &StreamTable, now: &TableName) {
        let records = [&before.name, now].map(|table| RecordChange::Remove {
            table: table.clone(),
        });
        let definitions = self.gives_way(&before.target);
        let is_renamed = before.name != *now;
        self.stand(definitions, records.into(), Then::Reload(id));
        self.defines(&before.name, now);
        self.want(vec![now.clone()], is_renamed);
        self.stand_still(&[id], vec![before.target.name.clone()]);
    }

    /// A table that will be made anew goes at once: should the source drop or rename it meanwhile, nothing stale stays.
    fn gives_way(&self, table: &TargetTable) -> Vec<Definition> {
        let is_made_anew = self.spec.load.prepare == PrepareMode::DropAndCreate && self.spec.loads;
        let drop = || Definition::Drop {
            table: table.clone(),
        };
        is_made_anew.then(drop).into_iter().collect()
    }

    /// The table is gone at the source.
    pub(super) fn dropped(&mut self, id: TableId) -> Result<(), RunError> {
        if self.tables.fate(id).map_err(RunError::Source)? == Fate::Held {
            // It is on its way already, or its rows were loaded later: then it was another table of this name.
            return Ok(());
        }
        let (_, before) = self.tables.followed_as(id).map_err(RunError::Source)?;
        info!(table = %before.name, "the table was dropped at the source");
        let definitions = self.dropping(&before);
        self.leave(id, &before, definitions);
        self.defines(&before.name, &before.name);
        Ok(())
    }

    /// A table has another name, in a log that knows it by its name alone.
    pub(super) fn renamed(&mut self, id: TableId, to: TableName) -> Result<(), RunError> {
        let told = self.tables.told(id).map_err(RunError::Source)?;
        match self.tables.fate(id).map_err(RunError::Source)? {
            Fate::Held if self.tables.is_away(id) => {
                self.created(to);
                Ok(())
            }
            // It was another table of this name then.
            Fate::Held => Ok(()),
            Fate::Apply(_) | Fate::Redefine => {
                self.reopens = true;
                let table = Table {
                    name: to,
                    ..(*told).clone()
                };
                self.described(id, Arc::new(table))
            }
        }
    }

    /// Rows of a table changed in a way that nobody told.
    pub(super) fn rewritten(&mut self, id: TableId, why: &str) -> Result<(), RunError> {
        if self.tables.fate(id).map_err(RunError::Source)? == Fate::Held {
            return Ok(());
        }
        self.read_again(id, why)
    }

    /// The rows of a table are not what the log makes of them.
    pub(super) fn read_again(&mut self, id: TableId, why: &str) -> Result<(), RunError> {
        if self.tables.is_away(id) {
            return Ok(());
        }
        let (_, before) = self.tables.followed_as(id).map_err(RunError::Source)?;
        if self.spec.may_reload() {
            info!(table = %before.name, why, "the rows of the table are loaded again");
            self.reload(id, &before, &before.name);
            return Ok(());
        }
        self.suspend(id, &format!("{why}; load the table again"))
    }

    /// A table came to be that nobody asked for, so far.
    pub(super) fn created(&mut self, table: TableName) {
        let is_known = self.tables.followed().any(|followed| *followed == table);
        let is_wanted =
            self.spec.load.mappings.selects(&table) && !is_known && !self.newcomers.has(&table);
        if is_wanted && !self.is_suspended(&table) {
            self.newcomers.want(table, &self.committed.position);
            self.start_newcomers();
        }
    }

    fn is_suspended(&self, table: &TableName) -> bool {
        let progress = self.progress.snapshot();
        let entry = progress.tables.get(table);
        entry.is_some_and(|entry| entry.state == TableState::Error)
    }

    /// What takes the target's table away, where the task may: others may have rows in it.
    fn dropping(&self, table: &StreamTable) -> Vec<Definition> {
        let is_ours = self.spec.load.feeding == Feeding::Alone;
        let table = (self.spec.on_ddl.drops && is_ours).then(|| table.target.clone());
        let drop = |table| Definition::Drop { table };
        table.map(drop).into_iter().collect()
    }

    fn leave(&mut self, id: TableId, before: &StreamTable, definitions: Vec<Definition>) {
        self.progress.update(&before.name, |entry| {
            entry.state = TableState::Dropped;
            entry.message = None;
        });
        let records = vec![
            RecordChange::Remove {
                table: before.name.clone(),
            },
            RecordChange::Unfed {
                table: before.target.name.clone(),
                now: None,
            },
        ];
        self.stand(definitions, records, Then::Leave(id));
    }

    /// Nothing is applied to the table any more, until it is loaded again.
    pub(super) fn suspend(&mut self, id: TableId, reason: &str) -> Result<(), RunError> {
        let (state, table) = self.tables.followed_as(id).map_err(RunError::Source)?;
        error!(table = %table.name, error = reason, "the table is followed no more");
        if self.spec.load.on_table_error == crate::TableErrorPolicy::StopTask {
            return Err(RunError::Table(format!("table {}: {reason}", table.name)));
        }
        self.progress.update(&table.name, |entry| {
            entry.state = TableState::Error;
            entry.message = Some(reason.to_owned());
        });
        let state = FollowState {
            suspended: Some(reason.to_owned()),
            ..state
        };
        let record = RecordChange::Put {
            table: table.name.clone(),
            state,
        };
        self.stand(Vec::new(), vec![record], Then::Leave(id));
        Ok(())
    }

    /// Loads tables once what the target holds back is done. `is_renamed`: under another name than they were followed by.
    fn want(&mut self, tables: Vec<TableName>, is_renamed: bool) {
        if let Some(barrier) = &mut self.barrier {
            barrier.wanted = tables;
            barrier.may_stay = !is_renamed;
        }
        self.progress.follow(|cdc| cdc.is_loading = true);
    }

    /// Tables of the target get no changes until they are loaded.
    fn stand_still(&mut self, ids: &[TableId], tables: Vec<TableName>) {
        let others = self.tables.targets_beside(ids);
        if let Some(barrier) = &mut self.barrier {
            barrier.stands = Standing { tables, others };
        }
    }

    /// The target has written down that the table is followed no more, or does so with the transaction at hand.
    pub(super) fn suspended(
        &mut self,
        table: &TableName,
        reason: String,
        is_of_open: bool,
    ) -> Result<(), Error> {
        self.progress.update(table, |entry| {
            entry.state = TableState::Error;
            entry.message = Some(reason);
        });
        let Some(id) = self.tables.find(table) else {
            return Ok(());
        };
        let barrier = self.barrier.as_mut();
        if let Some(barrier) = barrier.filter(|barrier| barrier.follows(id)) {
            barrier.leave_out(id);
        }
        if is_of_open {
            return self.tables.leave(id);
        }
        let counted = self.tables.has_left(id)?;
        if self.is_in_transaction {
            self.changes_in_transaction -= counted;
            if let Some(barrier) = self.barrier.as_mut().filter(|barrier| !barrier.commits) {
                barrier.changes_before -= counted;
            }
        }
        Ok(())
    }

    /// Stops taking in events until this is done.
    fn stand(&mut self, definitions: Vec<Definition>, records: Vec<RecordChange>, then: Then) {
        self.barrier = Some(Barrier {
            work: Some((definitions, records)),
            changes_before: self.changes_in_transaction,
            begun: Vec::new(),
            commits: !self.is_in_transaction,
            may_stay: false,
            stands: Standing::default(),
            wanted: Vec::new(),
            feeds: None,
            defines: None,
            then,
        });
    }

    /// What is done counts as a change of the table's definition, and the table has its new name then.
    fn defines(&mut self, before: &TableName, after: &TableName) {
        if let Some(barrier) = &mut self.barrier {
            barrier.defines = Some((before.clone(), after.clone()));
        }
    }

    /// Shows what is done, before a load begins that shows the table by its new name.
    fn defined(&mut self, barrier: &mut Barrier) {
        if let Some((before, after)) = barrier.defines.take() {
            self.uncommitted.define(before, after, self.progress);
        }
        if barrier.commits {
            self.uncommitted.show(None, self.progress);
        }
    }

    /// The target is ready: goes on behind the barrier.
    pub(super) fn controlled(&mut self, done: Controlled) -> Result<(), RunError> {
        let Some(mut barrier) = self.barrier.take() else {
            return Ok(());
        };
        if let Controlled::Done { .. } = done {
            self.defined(&mut barrier);
        }
        if let (Controlled::Refused { why, .. }, Then::LoadAgain(_)) = (&done, &barrier.then) {
            self.not_loaded_again(&std::mem::take(&mut barrier.wanted), why);
        }
        let wanted = std::mem::take(&mut barrier.wanted);
        if barrier.commits {
            for table in wanted {
                self.newcomers.want(table, &self.committed.position);
            }
        } else {
            let committed = &self.committed.position;
            self.newcomers.want_behind_open(wanted, committed);
            self.must_commit = true;
        }
        self.start_newcomers();
        let (Controlled::Done { is_split } | Controlled::Refused { is_split, .. }) = done;
        if is_split {
            self.uncommitted.show_rows(None, self.progress);
            // What was applied before the stream was opened stays so.
            let applied = &mut self.committed.changes_applied;
            *applied = barrier.changes_before.max(*applied);
            self.committed.begun = barrier.begun;
            self.again.split();
        }
        match (done, barrier.then) {
            (Controlled::Refused { why, .. }, Then::FollowAs(id, ..)) => {
                let (_, table) = self.tables.followed_as(id).map_err(RunError::Source)?;
                let target = &table.target.name;
                return self.suspend(id, &format!(
                    "its definition changed at the source, and the target table {target} refuses the same change: {why}; change it by hand and load the table again"
                ));
            }
            (Controlled::Refused { why, .. }, Then::Leave(_)) => {
                return Err(RunError::Table(format!(
                    "a table that was dropped at the source cannot be dropped at the target: {why}; drop what rests on it there and resume the task, or set HandleSourceTableDropped to false"
                )));
            }
            (Controlled::Refused { why, .. }, Then::Reload(id)) => {
                let (_, table) = self.tables.followed_as(id).map_err(RunError::Source)?;
                return Err(RunError::Table(format!(
                    "table {}: its rows are to be loaded again, and it cannot make way for that at the target: {why}. Mend that there, and resume the task",
                    table.name
                )));
            }
            (Controlled::Refused { .. }, Then::LoadAgain(_)) => {}
            (Controlled::Done { .. }, Then::FollowAs(id, shape, state)) => {
                self.tables
                    .follow_as(id, *shape, *state)
                    .map_err(RunError::Source)?;
            }
            (Controlled::Done { .. }, Then::Leave(id) | Then::Reload(id)) => {
                self.tables.leave(id).map_err(RunError::Source)?;
                self.spec.load.check_tables_in_error(self.progress)?;
            }
            (Controlled::Done { .. }, Then::LoadAgain(ids)) => {
                for id in ids {
                    self.tables.leave(id).map_err(RunError::Source)?;
                }
            }
        }
        if let Some(rows) = &self.rows {
            self.collector.begin_block(Arc::clone(rows));
        }
        self.go_on()
    }

    /// Tables go on as they are, though a user wants their rows loaded again.
    fn not_loaded_again(&self, tables: &[TableName], why: &str) {
        for table in tables {
            error!(%table, error = why, "the table is not loaded again");
            self.progress.update(table, |entry| {
                entry.message = Some(format!("not loaded again: {why}"));
                entry.reload_answer_count += 1;
            });
        }
    }

    /// Takes what users want loaded again.
    pub(super) fn ask_for_reloads(&mut self) -> Result<(), RunError> {
        if self.barrier.is_some() || self.is_in_transaction {
            // Asked again when it is done: nothing in the log would repeat it.
            return Ok(());
        }
        let mut records = Vec::new();
        let mut definitions = Vec::new();
        let mut wanted = Vec::new();
        let (mut left, mut targets) = (Vec::new(), Vec::new());
        for table in self.spec.reloads.take() {
            if self.newcomers.has(&table) {
                info!(%table, "the table is being loaded as it is");
                self.progress
                    .update(&table, |entry| entry.reload_answer_count += 1);
                continue;
            }
            if !self.spec.load.mappings.selects(&table) {
                let mappings = &self.spec.load.mappings;
                self.progress.gone(&BTreeSet::from([table]), true, mappings);
                continue;
            }
            if let Some(id) = self.tables.find(&table) {
                let (_, before) = self.tables.followed_as(id).map_err(RunError::Source)?;
                definitions.extend(self.gives_way(&before.target));
                if !self.tables.is_away(id) {
                    targets.push(before.target.name.clone());
                }
                left.push(id);
            }
            wanted.push(table.clone());
            records.push(RecordChange::Remove { table });
        }
        if !records.is_empty() {
            self.stand(definitions, records, Then::LoadAgain(left.clone()));
            self.want(wanted, false);
            self.stand_still(&left, targets);
        }
        Ok(())
    }

    /// Starts to load the tables that are wanted, if nothing is in the way.
    pub(super) fn start_newcomers(&mut self) {
        self.newcomers.start(self.spec, &self.committed.position);
        self.show_newcomers();
    }

    fn show_newcomers(&self) {
        let is_loading = !self.newcomers.is_idle();
        self.progress.follow(|cdc| cdc.is_loading = is_loading);
    }

    /// Whether tables are loaded that can join now: not within a transaction of which the target has a part already, and where nothing more is read, behind
    /// all that was.
    pub(super) fn may_rejoin(&self) -> bool {
        let is_applied = self.barrier.is_none()
            && !self.collector.has_changes()
            && self.collector.end().is_none();
        let reopens = self.is_at_reopening() && is_applied;
        let joins = self.newcomers.is_done && (self.ended.is_none() || is_applied);
        (joins || reopens) && self.committed.is_whole()
    }
}
