//! Applying one batch in one transaction of the target.

mod at_commit;
mod counts;
mod in_order;

use std::collections::{BTreeMap, HashSet};

use tracing::{debug, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    Applier, Checkpoint, Definition, Error, FedTable, Feeding, NetChanges, RecordChange,
    RowSet as _,
};
use whimbrel_core::{Position, TableName};

use self::counts::Counts;
pub use self::counts::{ChangeCounts, LeftOut};
use self::in_order::{Missing, MissingRows, in_part};
use super::batch::Batch;
use super::fold::{NetKind, NetTable, Segment, Step, fold};
use super::{ApplyErrors, CdcSpec};
use crate::DataErrors;
use crate::data_errors::Tally;

/// Up to so many changes are applied one by one in the order of the log: cheaper than staging them, and with less delay.
const SINGLES_MAX: usize = 50;
/// Changes sent at once when they are applied one by one.
const SINGLES_AT_ONCE: usize = 1000;

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
    /// Tables that are to be dropped may stay if the target refuses: what is recorded of them holds all the same.
    pub(super) may_stay: bool,
    pub(super) stands: Standing,
}

/// Tables of the target that stand still from here on until they are loaded, and the others that are followed meanwhile.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    pub(super) tables: Vec<TableName>,
    pub(super) others: Vec<TableName>,
}

/// What became of a [`Control`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Controlled {
    Done {
        /// The transaction at hand may be at the target in part.
        is_split: bool,
    },
    /// The target refused a definition. Nothing is recorded.
    Refused {
        /// In these words.
        why: String,
        /// The transaction at hand may be at the target in part.
        is_split: bool,
    },
}

/// What becomes of a table with the transaction at hand.
#[derive(Clone, Debug)]
struct HeldBack {
    change: RecordChange,
    /// So many tables had got another name in it by then.
    renamed_before: usize,
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
    held_back: Vec<HeldBack>,
    /// Tables that have another name since, with that, in their order.
    renamed: Vec<(TableName, TableName)>,
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
            renamed: Vec::new(),
        }
    }

    /// Whether definitions are changed in the transaction of the rows around them.
    pub(super) fn defines_in_transaction(&self) -> bool {
        self.applier.defines_in_transaction()
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

    /// Takes back what is open, which nobody will commit.
    pub(super) async fn leave_out_open(&mut self) -> Result<(), Error> {
        self.held_back.clear();
        self.renamed.clear();
        if std::mem::take(&mut self.is_open) {
            self.applier.rollback().await?;
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
        if let [
            RecordChange::Remove { table },
            RecordChange::Put { table: to, .. },
            ..,
        ] = records
        {
            self.renamed.push((table.clone(), to.clone()));
        }
        let renamed_before = self.renamed.len();
        let held_back = records.iter().cloned().map(|change| HeldBack {
            change,
            renamed_before,
        });
        self.held_back.extend(held_back);
        Ok(())
    }

    /// Commits what is whole.
    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        let held_back = std::mem::take(&mut self.held_back).into_iter();
        let held_back: Vec<RecordChange> = held_back.map(|held| held.change).collect();
        self.renamed.clear();
        if !held_back.is_empty() {
            self.applier.record(&held_back).await?;
        }
        self.commit_part(checkpoint).await
    }

    async fn commit_part(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        reach(Point::ChangesApplied).await;
        // Whatever becomes of it, nothing is open behind it.
        self.is_open = false;
        self.applier.commit(checkpoint).await?;
        self.tally.commit();
        reach(Point::BatchCommitted).await;
        Ok(())
    }

    /// Does what comes between two changes. Where the target changes no definitions within a transaction, what is open is committed
    /// first, with the count of changes that it holds and with what is begun: see [`super::definitions`].
    pub(super) async fn control(&mut self, control: &Control) -> Result<Controlled, Error> {
        if let Some(why) = self.would_refuse(&control.stands).await? {
            let is_split = false;
            return Ok(Controlled::Refused { why, is_split });
        }
        let defines = !control.definitions.is_empty();
        if control.commits && defines && !self.applier.defines_in_transaction() {
            if let Some(why) = self.taken(control).await? {
                let is_split = false;
                return Ok(Controlled::Refused { why, is_split });
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
        self.open().await?;
        if is_split {
            let suspended = in_part(&self.held_back, &self.renamed);
            if !suspended.is_empty() {
                self.applier.record(&suspended).await?;
            }
            self.commit_part(&control.checkpoint).await?;
        }
        if let Some(why) = self.taken(control).await? {
            return Ok(Controlled::Refused { why, is_split });
        }
        for definition in &control.definitions {
            match self.define(definition).await {
                Err(Error::Table(fault)) if control.may_stay => {
                    warn!(table = %fault.table, fault.message, "the target table cannot be dropped and stays until a load prepares it; if the source drops the table before, drop it at the target");
                }
                Err(Error::Table(fault)) => {
                    let why = fault.message;
                    return Ok(Controlled::Refused { why, is_split });
                }
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

    /// Has changes applied in the order of the log from here on, if foreign keys between these tables of the target act on what is applied. Net changes go from table to table: one
    /// that comes in front of the row that it refers to is refused, and a row that goes in front of the one that was pointed elsewhere takes that with it.
    pub(super) async fn heed_references(&mut self, tables: &[TableName]) -> Result<(), Error> {
        let keys = self.applier.acting_references(tables).await?;
        let between = keys.iter().find(|(table, _)| tables.contains(table));
        if let Some((table, key)) = between.filter(|_| self.folds) {
            self.folds = false;
            warn!(%table, key, "foreign keys act on what is applied, so that changes are applied one by one, in the order of the source, which is slower; give the task's user at the target the right to set session_replication_role (PostgreSQL 15 and later: GRANT SET ON PARAMETER session_replication_role TO …)");
        }
        Ok(())
    }

    /// Why changes of others would be refused while some tables stand still, if they would: see [`super::definitions`].
    async fn would_refuse(&mut self, stands: &Standing) -> Result<Option<String>, Error> {
        let keys = self.applier.acting_references(&stands.tables).await?;
        let mut keys = keys.into_iter();
        let key = keys.find(|(table, _)| stands.others.contains(table));
        Ok(key.map(|(table, key)| format!(
            "foreign key {key} of {table} refers to it and acts on changes, so that changes of {table} would be refused until it is loaded; give the task's user at the target the right to set session_replication_role (PostgreSQL 15 and later: GRANT SET ON PARAMETER session_replication_role TO …), or drop the key until the cut-over"
        )))
    }

    /// Takes the name that a table gets, unless another task feeds a table of that name.
    async fn taken(&mut self, control: &Control) -> Result<Option<String>, Error> {
        let Some(table) = &control.feeds else {
            return Ok(None);
        };
        let other = self.applier.feed_also(table, self.feeding).await?;
        Ok(other.map(|FedTable { table, task }| format!("task {task} feeds {table} with changes")))
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
        let (has_earlier, before) = (self.is_open, self.left());
        self.open().await?;
        let mut counts = Counts::of_batch(batch);
        self.apply_rows(batch, &mut counts).await?;
        let Some(end) = &batch.end else {
            reach(Point::PartApplied).await;
            return Ok(counts.by_table);
        };
        if !batch.changes.is_empty() {
            reach(Point::RowsApplied).await;
        }
        let checkpoint = Checkpoint {
            kept_from,
            ..Checkpoint::at(end.place.position())
        };
        match self.commit(&checkpoint).await {
            Err(Error::Row(refusal)) if !has_earlier => {
                self.set_left(before);
                counts = self.apply_traced(batch, *refusal).await?;
                self.commit(&checkpoint).await?;
            }
            // What came before the batch is gone with it.
            Err(Error::Row(refusal)) => return Err(at_commit::at_commit(*refusal).into()),
            committed => committed?,
        }
        Ok(counts.by_table)
    }

    /// Applies the changes of a batch within the open transaction.
    async fn apply_rows(&mut self, batch: &Batch, counts: &mut Counts<'_>) -> Result<(), Error> {
        let is_small = batch.changes.len() <= SINGLES_MAX;
        if is_small || !self.folds || self.errors.inserts_missing {
            let all: Vec<u32> = (0..).take(batch.changes.len()).collect();
            self.in_order(batch, &all, counts).await?;
        } else {
            for segment in fold(batch)? {
                self.segment(batch, segment, counts).await?;
            }
        }
        Ok(())
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
            let name = &batch.tables[table.table as usize].name;
            for step in &table.steps {
                // A step may be what put the table into error.
                if self.suspended.contains(name) {
                    counts.leave_out_step(name, step);
                    continue;
                }
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
        let key = &table.target.primary_key;
        let deletes = net.rows(batch, key, NetKind::Delete);
        let updates = net.rows(batch, key, NetKind::Update);
        let inserts = net.rows(batch, key, NetKind::Insert);
        let changes = NetChanges {
            table: &table.target,
            deletes: &deletes,
            updates: &updates,
            inserts: &inserts,
        };
        match self.applier.apply_net(changes).await {
            Ok(applied) => {
                let missing = |kind, rows: usize, found: u64| {
                    let missing = (rows as u64).saturating_sub(found);
                    let in_order = missing.min(net.may_miss(kind));
                    MissingRows {
                        in_order,
                        others: missing - in_order,
                    }
                };
                let missing = Missing {
                    updates: missing(NetKind::Update, updates.row_count(), applied.updated),
                    deletes: missing(NetKind::Delete, deletes.row_count(), applied.deleted),
                };
                let does_otherwise =
                    |rows: MissingRows, kind| rows.others > 0 && net.does_otherwise(kind);
                if self.names(missing)
                    || does_otherwise(missing.updates, NetKind::Update)
                    || does_otherwise(missing.deletes, NetKind::Delete)
                {
                    // The target tells how many were not there, not which.
                    self.applier.undo_net().await?;
                    return self.in_order(batch, &net.changes, counts).await;
                }
                self.report_missing(table, missing, counts).await
            }
            Err(Error::Row(refusal)) => {
                debug!(table = %table.name, %refusal, "net changes are refused; applying them in their order");
                self.in_order(batch, &net.changes, counts).await
            }
            Err(error) => Err(error),
        }
    }
}
