//! Applying one batch in one transaction of the target.

use std::collections::{BTreeMap, HashSet};

use tracing::{debug, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    Applier, ApplyException, Checkpoint, Definition, Error, FedTable, Feeding, FollowState,
    NetChanges, RecordChange, RefusalKind, RowAt, RowRefusal, RowSet as _, SingleChange,
    SingleKind,
};
use whimbrel_core::{Position, TableName};

use super::batch::Batch;
use super::fold::{NetKind, NetTable, Segment, Step, TableSteps, fold};
use super::tables::StreamTable;
use super::{ApplyErrors, CdcSpec, RowPolicy};
use crate::data_errors::{Class, Tally};
use crate::{DataErrors, exceptions};

/// Up to so many changes are applied one by one in the order of the log: cheaper than staging them, and with less delay.
const SINGLES_MAX: usize = 50;
/// Changes sent at once when they are applied one by one.
const SINGLES_AT_ONCE: usize = 1000;

/// What batches did to the rows of one table. What was left out is in no other count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChangeCounts {
    /// Rows inserted.
    pub inserts: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Changes of the table's definition, truncations among them.
    pub ddls: u64,
    /// Changes that were left out, because the target refused them or has no such row.
    pub left_out: LeftOut,
}

/// Changes that were captured and not applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Inserts.
    pub inserts: u64,
    /// Updates.
    pub updates: u64,
    /// Deletes.
    pub deletes: u64,
}

impl ChangeCounts {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.inserts += other.inserts;
        self.updates += other.updates;
        self.deletes += other.deletes;
        self.ddls += other.ddls;
        self.left_out.inserts += other.left_out.inserts;
        self.left_out.updates += other.left_out.updates;
        self.left_out.deletes += other.left_out.deletes;
    }

    /// What was captured, applied or not.
    #[must_use]
    pub fn captured(&self) -> Self {
        Self {
            inserts: self.inserts + self.left_out.inserts,
            updates: self.updates + self.left_out.updates,
            deletes: self.deletes + self.left_out.deletes,
            ddls: self.ddls,
            left_out: LeftOut::default(),
        }
    }

    fn leave_out_many(&mut self, kind: NetKind, count: u64) {
        let (applied, left_out) = match kind {
            NetKind::Update => (&mut self.updates, &mut self.left_out.updates),
            NetKind::Delete | NetKind::Insert => (&mut self.deletes, &mut self.left_out.deletes),
        };
        *applied = applied.saturating_sub(count);
        *left_out += count;
    }

    /// So many were counted of rows that were not there, and need not be.
    fn take_back(&mut self, kind: NetKind, count: u64) {
        let counted = match kind {
            NetKind::Update => &mut self.updates,
            NetKind::Delete | NetKind::Insert => &mut self.deletes,
        };
        *counted = counted.saturating_sub(count);
    }

    fn take_back_one(&mut self, kind: SingleKind) {
        match kind {
            SingleKind::Update { .. } => self.take_back(NetKind::Update, 1),
            SingleKind::Delete { .. } => self.take_back(NetKind::Delete, 1),
            SingleKind::Insert { .. } | SingleKind::Truncate => {}
        }
    }

    /// One that was counted was not applied.
    fn leave_out(&mut self, kind: SingleKind) {
        let (applied, left_out) = match kind {
            SingleKind::Insert { .. } => (&mut self.inserts, &mut self.left_out.inserts),
            SingleKind::Update { .. } => (&mut self.updates, &mut self.left_out.updates),
            SingleKind::Delete { .. } => (&mut self.deletes, &mut self.left_out.deletes),
            SingleKind::Truncate => return,
        };
        *applied = applied.saturating_sub(1);
        *left_out += 1;
    }
}

/// What comes between two changes, or between two transactions.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) definitions: Vec<Definition>,
    pub(super) records: Vec<RecordChange>,
    /// The name at the target that a table gets.
    pub(super) feeds: Option<TableName>,
    /// What is committed if anything is; the transaction at hand, if there is one, lies behind it.
    pub(super) checkpoint: Checkpoint,
    /// There is no transaction at hand.
    pub(super) commits: bool,
}

/// What became of a [`Control`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Controlled {
    Done {
        /// The transaction at hand may be at the target in part.
        is_split: bool,
    },
    /// The target refused a definition, in these words. Nothing is recorded.
    Refused(String),
}

/// Applies batches over one applier.
pub(super) struct BatchWriter {
    applier: Box<dyn Applier>,
    /// A piece of a transaction was applied that goes on in the next batch.
    is_open: bool,
    errors: ApplyErrors,
    data_errors: DataErrors,
    /// Large batches are applied in sets.
    folds: bool,
    /// How many changes were left out since the run began.
    tally: Tally,
    /// Whether the task shares its tables with others.
    feeding: Feeding,
    /// Tables that are followed no more; the follower hears of them with the batch.
    suspended: HashSet<TableName>,
    newly_suspended: Vec<(TableName, String)>,
    /// What is written down when the source's transaction is whole. Where a definition commits a part of it, the part must be found with
    /// the tables as they were at its beginning.
    held_back: Vec<RecordChange>,
}

impl BatchWriter {
    pub(super) fn new(applier: Box<dyn Applier>, spec: &CdcSpec, tally: &Tally) -> Self {
        Self {
            applier,
            is_open: false,
            errors: spec.on_apply_error,
            data_errors: spec.load.data_errors,
            folds: spec.folds,
            tally: tally.renewed(),
            feeding: spec.load.feeding,
            suspended: HashSet::new(),
            newly_suspended: Vec::new(),
            held_back: Vec::new(),
        }
    }

    /// Tables that are followed no more since the last call, with the reason.
    pub(super) fn take_suspended(&mut self) -> Vec<(TableName, String)> {
        std::mem::take(&mut self.newly_suspended)
    }

    async fn open(&mut self) -> Result<(), Error> {
        if !self.is_open {
            reach(Point::BatchGathered).await;
            self.applier.begin().await?;
            self.is_open = true;
            reach(Point::BatchBegun).await;
        }
        Ok(())
    }

    /// Writes down what becomes of tables, in a transaction of its own.
    pub(super) async fn record(
        &mut self,
        records: &[RecordChange],
        checkpoint: &Checkpoint,
    ) -> Result<(), Error> {
        self.open().await?;
        self.applier.record(records).await?;
        self.commit(checkpoint).await
    }

    /// Notes what becomes of tables with the transaction at hand.
    async fn note(&mut self, records: &[RecordChange]) -> Result<(), Error> {
        if self.applier.defines_in_transaction() {
            return self.applier.record(records).await;
        }
        self.held_back.extend_from_slice(records);
        Ok(())
    }

    /// Commits what is whole.
    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let held_back = std::mem::take(&mut self.held_back);
        if !held_back.is_empty() {
            self.applier.record(&held_back).await?;
        }
        self.commit_part(checkpoint).await
    }

    async fn commit_part(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        reach(Point::ChangesApplied).await;
        self.applier.commit(checkpoint).await?;
        self.tally.commit();
        self.is_open = false;
        reach(Point::BatchCommitted).await;
        Ok(())
    }

    /// Does what comes between two changes. Where the target changes no definitions within a transaction, what is open is committed
    /// first, with the count of changes that it holds; the definitions are found done should they come again.
    pub(super) async fn control(&mut self, control: &Control) -> Result<Controlled, Error> {
        let defines = !control.definitions.is_empty();
        if control.commits && defines && !self.applier.defines_in_transaction() {
            if let Some(refused) = self.taken(control).await? {
                return Ok(refused);
            }
            // What comes between transactions does not come again: the record is there first.
            self.open().await?;
            self.applier.record(&control.records).await?;
            self.commit(&control.checkpoint).await?;
            for definition in &control.definitions {
                match self.define(definition).await {
                    Err(Error::Table(fault)) => {
                        warn!(table = %fault.table, fault.message, "the definition is not changed at the target");
                    }
                    done => done?,
                }
            }
            return Ok(Controlled::Done { is_split: false });
        }
        let is_split = defines && !self.applier.defines_in_transaction();
        if is_split {
            if self.is_open {
                let suspended: Vec<_> = self.held_back.iter().filter_map(in_part).collect();
                if !suspended.is_empty() {
                    self.applier.record(&suspended).await?;
                }
                self.commit_part(&control.checkpoint).await?;
            }
        } else {
            self.open().await?;
        }
        if let Some(refused) = self.taken(control).await? {
            return Ok(refused);
        }
        for definition in &control.definitions {
            match self.define(definition).await {
                Err(Error::Table(fault)) => return Ok(Controlled::Refused(fault.message)),
                done => done?,
            }
        }
        self.open().await?;
        self.note(&control.records).await?;
        if control.commits {
            self.commit(&control.checkpoint).await?;
        }
        Ok(Controlled::Done { is_split })
    }

    /// Takes the name that a table gets, unless another task feeds a table of that name.
    async fn taken(&mut self, control: &Control) -> Result<Option<Controlled>, Error> {
        let Some(table) = &control.feeds else {
            return Ok(None);
        };
        let other = self.applier.feed_also(table, self.feeding).await?;
        Ok(other.map(|FedTable { table, task }| {
            Controlled::Refused(format!("task {task} feeds {table} with changes"))
        }))
    }

    async fn define(&mut self, definition: &Definition) -> Result<(), Error> {
        reach(Point::DefinitionChanging).await;
        self.applier.define(definition).await?;
        reach(Point::DefinitionChanged).await;
        Ok(())
    }

    /// Applies a batch; with an end, commits it with the checkpoint.
    pub(super) async fn apply(
        &mut self,
        batch: &Batch,
        kept_from: Option<Position>,
    ) -> Result<BTreeMap<TableName, ChangeCounts>, Error> {
        self.open().await?;
        let mut counts = Counts {
            batch,
            by_table: BTreeMap::new(),
        };
        counts.count_all();
        let is_small = batch.changes.len() <= SINGLES_MAX;
        if is_small || !self.folds || self.errors.inserts_missing {
            let all: Vec<u32> = (0..).take(batch.changes.len()).collect();
            self.in_order(batch, &all, &mut counts).await?;
        } else {
            for segment in fold(batch)? {
                self.segment(batch, segment, &mut counts).await?;
            }
        }
        if let Some(end) = &batch.end {
            if !batch.changes.is_empty() {
                reach(Point::RowsApplied).await;
            }
            let checkpoint = Checkpoint {
                kept_from,
                ..Checkpoint::at(end.place.position())
            };
            self.commit(&checkpoint).await?;
        } else {
            reach(Point::PartApplied).await;
        }
        Ok(counts.by_table)
    }

    async fn segment(
        &mut self,
        batch: &Batch,
        segment: Segment,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let tables = match segment {
            Segment::Truncate(changes) => return self.in_order(batch, &changes, counts).await,
            Segment::Tables(tables) => tables,
        };
        for table in tables {
            if self
                .suspended
                .contains(&batch.tables[table.table as usize].name)
            {
                counts.leave_out_all(&table);
                continue;
            }
            for step in &table.steps {
                match step {
                    Step::InOrder(changes) => self.in_order(batch, changes, counts).await?,
                    Step::Net(net) => self.net(batch, table.table, net, counts).await?,
                }
            }
        }
        Ok(())
    }

    /// Applies net changes; where the target refuses them together, the changes that they were made of in their order.
    async fn net(
        &mut self,
        batch: &Batch,
        table: u32,
        net: &NetTable,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let table = &batch.tables[table as usize];
        let deletes = net.rows(batch, NetKind::Delete);
        let updates = net.rows(batch, NetKind::Update);
        let inserts = net.rows(batch, NetKind::Insert);
        let changes = NetChanges {
            table: &table.target,
            deletes: &deletes,
            updates: &updates,
            inserts: &inserts,
        };
        match self.applier.apply_net(changes).await {
            Ok(applied) => {
                let mut missing = |kind, rows: usize, found: u64| {
                    let missing = (rows as u64).saturating_sub(found);
                    let in_order = missing.min(net.may_miss(kind));
                    counts.of(&table.name).take_back(kind, in_order);
                    missing - in_order
                };
                let missing = Missing {
                    updates: missing(NetKind::Update, updates.row_count(), applied.updated),
                    deletes: missing(NetKind::Delete, deletes.row_count(), applied.deleted),
                };
                self.report_missing(table, missing, counts).await
            }
            Err(Error::Row(refusal)) => {
                debug!(table = %table.name, %refusal, "net changes are refused; applying them in their order");
                self.in_order(batch, &net.changes, counts).await
            }
            Err(error) => Err(error),
        }
    }

    /// Rows of net changes that were not there: the target tells how many, not which.
    async fn report_missing(
        &mut self,
        table: &StreamTable,
        missing: Missing,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let kinds = [
            (missing.updates, NetKind::Update, self.errors.missing_update),
            (missing.deletes, NetKind::Delete, self.errors.missing_delete),
        ];
        for (count, kind, policy) in kinds {
            if count == 0 {
                continue;
            }
            let verb = match kind {
                NetKind::Update => "UPDATE",
                NetKind::Delete | NetKind::Insert => "DELETE FROM",
            };
            counts.of(&table.name).leave_out_many(kind, count);
            let exception = ApplyException {
                table: table.target.name.clone(),
                statement: format!("{verb} {} (a batch of changes)", table.target.name),
                error: format!("{count} rows were not there"),
            };
            let policy = self.escalated(table, Class::Apply, count, policy);
            self.left_out(table, policy, exception).await?;
        }
        Ok(())
    }

    /// What becomes of a table of which changes are left out, with those that were left out before.
    fn escalated(
        &mut self,
        table: &StreamTable,
        class: Class,
        count: u64,
        policy: RowPolicy,
    ) -> RowPolicy {
        let escalation = match class {
            Class::Data => self.data_errors.escalation,
            Class::Apply => self.errors.escalation,
        };
        policy.escalated(escalation, self.tally.add(&table.name, class, count))
    }

    /// Applies changes in the order of the log. A change that is refused is found by halving.
    async fn in_order(
        &mut self,
        batch: &Batch,
        changes: &[u32],
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let mut parts: Vec<&[u32]> = changes.chunks(SINGLES_AT_ONCE).rev().collect();
        while let Some(part) = parts.pop() {
            let wanted = self.followed(batch, part, counts);
            if wanted.is_empty() {
                continue;
            }
            let is_done = match self.apply_marked(batch, &wanted).await {
                Ok(Some(touched)) => {
                    self.missed(batch, &wanted, &touched, counts).await?;
                    true
                }
                Ok(None) => match *wanted {
                    [index] => {
                        self.insert_missing(batch, index, counts).await?;
                        true
                    }
                    _ => false,
                },
                Err(Error::Row(refusal)) => match *wanted {
                    [index] => {
                        self.refused(batch, index, *refusal, counts).await?;
                        true
                    }
                    _ => false,
                },
                Err(error) => return Err(error),
            };
            if !is_done {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
        Ok(())
    }

    /// Applies changes in one call. `None`: an update met no row, which the task wants to be inserted, and nothing is applied: what comes behind it may be of the
    /// same row.
    async fn apply_marked(
        &mut self,
        batch: &Batch,
        changes: &[u32],
    ) -> Result<Option<Vec<u64>>, Error> {
        let singles: Vec<_> = changes.iter().map(|&index| batch.single(index)).collect();
        let asks = |index: &u32| {
            let change = &batch.changes[*index as usize];
            matches!(change.kind, SingleKind::Update { .. }) && !change.may_miss
        };
        if !self.errors.inserts_missing || !changes.iter().any(asks) {
            return self.applier.apply_single(&singles).await.map(Some);
        }
        self.applier.mark().await?;
        let touched = match self.applier.apply_single(&singles).await {
            Ok(touched) => touched,
            Err(error @ Error::Row(_)) => {
                self.applier.drop_mark().await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let is_missing = |(index, touched): (&u32, &u64)| *touched == 0 && asks(index);
        if changes.iter().zip(&touched).any(is_missing) {
            self.applier.back_to_mark().await?;
            return Ok(None);
        }
        self.applier.drop_mark().await?;
        Ok(Some(touched))
    }

    /// Inserts the row of an update that met none. Where the log has only a part of it, or the target refuses it, the policy for rows that are not there holds.
    async fn insert_missing(
        &mut self,
        batch: &Batch,
        index: u32,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let SingleKind::Update { after, .. } = batch.changes[index as usize].kind else {
            return self.missed(batch, &[index], &[0], counts).await;
        };
        if !after.is_whole {
            return self.missed(batch, &[index], &[0], counts).await;
        }
        let insert = SingleChange {
            kind: SingleKind::Insert { after },
            ..batch.single(index)
        };
        match self.applier.apply_single(&[insert]).await {
            Ok(_) => Ok(()),
            // Its key is new, and the row of that is there.
            Err(Error::Row(_)) if self.overwrite(batch, index, after).await? => Ok(()),
            Err(Error::Row(_)) => self.missed(batch, &[index], &[0], counts).await,
            Err(error) => Err(error),
        }
    }

    /// Gives the row of a key another content. It is updated, not deleted and inserted: nothing that refers to it may be lost by it. `false`: no row has the key, or
    /// the target refuses.
    async fn overwrite(&mut self, batch: &Batch, index: u32, after: RowAt) -> Result<bool, Error> {
        let update = SingleChange {
            kind: SingleKind::Update {
                before: None,
                after,
            },
            ..batch.single(index)
        };
        match self.applier.apply_single(&[update]).await {
            Ok(touched) => Ok(touched.iter().any(|&touched| touched > 0)),
            Err(Error::Row(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Those of tables that are followed.
    fn followed(&self, batch: &Batch, changes: &[u32], counts: &mut Counts<'_>) -> Vec<u32> {
        if self.suspended.is_empty() {
            return changes.to_vec();
        }
        let is_followed = |index: &u32| {
            let change = &batch.changes[*index as usize];
            let name = &batch.table(change).name;
            let is_suspended = self.suspended.contains(name);
            if is_suspended {
                counts.of(name).leave_out(change.kind);
            }
            !is_suspended
        };
        changes.iter().copied().filter(is_followed).collect()
    }

    /// Changes that met no row.
    async fn missed(
        &mut self,
        batch: &Batch,
        changes: &[u32],
        touched: &[u64],
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        for (&index, &touched) in changes.iter().zip(touched) {
            let change = &batch.changes[index as usize];
            let policy = match change.kind {
                SingleKind::Update { .. } => self.errors.missing_update,
                SingleKind::Delete { .. } => self.errors.missing_delete,
                SingleKind::Insert { .. } | SingleKind::Truncate => continue,
            };
            if touched > 0 {
                continue;
            }
            let table = batch.table(change);
            if change.may_miss {
                counts.of(&table.name).take_back_one(change.kind);
                continue;
            }
            counts.of(&table.name).leave_out(change.kind);
            let exception = exceptions::of(&batch.single(index), "the row is not there")?;
            let policy = self.escalated(table, Class::Apply, 1, policy);
            self.left_out(table, policy, exception).await?;
        }
        Ok(())
    }

    async fn refused(
        &mut self,
        batch: &Batch,
        index: u32,
        refusal: RowRefusal,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let change = &batch.changes[index as usize];
        if let SingleKind::Insert { after } = change.kind
            && self.errors.overwrites
            && refusal.kind == RefusalKind::Constraint
            && self.overwrite(batch, index, after).await?
        {
            return Ok(());
        }
        let (class, policy) = match (self.data_errors.of_change(refusal.kind), change.kind) {
            (Some(policy), _) => (Class::Data, policy),
            (None, SingleKind::Insert { .. }) => (Class::Apply, self.errors.insert),
            (None, SingleKind::Update { .. }) => (Class::Apply, self.errors.update),
            (None, SingleKind::Delete { .. } | SingleKind::Truncate) => {
                (Class::Apply, self.errors.delete)
            }
        };
        if policy == RowPolicy::StopTask {
            return Err(refusal.into());
        }
        let table = batch.table(change);
        counts.of(&table.name).leave_out(change.kind);
        let exception = exceptions::of(&batch.single(index), &refusal.to_string())?;
        let policy = self.escalated(table, class, 1, policy);
        self.left_out(table, policy, exception).await
    }

    /// A change is left out: what is written down of it commits with the rows around it.
    async fn left_out(
        &mut self,
        table: &StreamTable,
        policy: RowPolicy,
        exception: ApplyException,
    ) -> Result<(), Error> {
        let reason = exception.error.clone();
        match policy {
            RowPolicy::Ignore => return Ok(()),
            RowPolicy::StopTask => {
                // Not an error of the table's own: the policy wants the task to end.
                return Err(Error::Fatal(format!(
                    "table {}: a change cannot be applied: {reason}; load the table again, or let the task's error policy leave such changes out",
                    table.name
                )));
            }
            RowPolicy::Report | RowPolicy::SuspendTable => {}
        }
        warn!(table = %table.name, error = reason, "a change is left out, as the task's error policy says; see awsdms_apply_exceptions");
        self.applier.report(&[exception]).await?;
        if policy == RowPolicy::SuspendTable {
            let reason = format!("a change could not be applied: {reason}; load the table again");
            let state = FollowState {
                has_joined: true,
                suspended: Some(reason.clone()),
                ..FollowState::loaded(table.target.source.clone())
            };
            let put = RecordChange::Put {
                table: table.name.clone(),
                state,
            };
            self.note(&[put]).await?;
            self.suspended.insert(table.name.clone());
            self.newly_suspended.push((table.name.clone(), reason));
        }
        Ok(())
    }
}

/// A suspension as it commits with a part of a transaction; it is written again when the transaction is whole.
fn in_part(change: &RecordChange) -> Option<RecordChange> {
    let RecordChange::Put { table, state } = change else {
        return None;
    };
    state.suspended.as_ref()?;
    Some(RecordChange::Put {
        table: table.clone(),
        state: FollowState {
            suspended_in_part: true,
            ..state.clone()
        },
    })
}

/// Rows that were not there.
#[derive(Clone, Copy)]
struct Missing {
    updates: u64,
    deletes: u64,
}

struct Counts<'b> {
    batch: &'b Batch,
    by_table: BTreeMap<TableName, ChangeCounts>,
}

impl Counts<'_> {
    fn of(&mut self, name: &TableName) -> &mut ChangeCounts {
        if !self.by_table.contains_key(name) {
            self.by_table.insert(name.clone(), ChangeCounts::default());
        }
        self.by_table
            .get_mut(name)
            .expect("it was just made sure of")
    }

    /// Counts what the log says happened.
    fn count_all(&mut self) {
        let batch = self.batch;
        let mut by_index = vec![ChangeCounts::default(); batch.tables.len()];
        for change in &batch.changes {
            let counts = &mut by_index[change.table as usize];
            match change.kind {
                SingleKind::Insert { .. } => counts.inserts += 1,
                SingleKind::Update { .. } => counts.updates += 1,
                SingleKind::Delete { .. } => counts.deletes += 1,
                SingleKind::Truncate => counts.ddls += 1,
            }
        }
        for (table, counts) in batch.tables.iter().zip(&by_index) {
            if *counts != ChangeCounts::default() {
                self.of(&table.name).add(counts);
            }
        }
    }

    /// Nothing of a table was applied.
    fn leave_out_all(&mut self, table: &TableSteps) {
        let batch = self.batch;
        let name = &batch.tables[table.table as usize].name;
        for step in &table.steps {
            let changes = match step {
                Step::Net(net) => &net.changes,
                Step::InOrder(changes) => changes,
            };
            for &index in changes {
                let kind = batch.changes[index as usize].kind;
                self.of(name).leave_out(kind);
            }
        }
    }
}
