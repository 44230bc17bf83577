//! Applying one batch in one transaction of the target.

use std::collections::BTreeMap;

use tracing::{debug, warn};
use whimbrel_connector::{
    Applier, Checkpoint, Definition, Error, NetChanges, RecordChange, RowRefusal, RowSet as _,
    SingleKind,
};
use whimbrel_core::{Position, TableName};

use super::ApplyErrorPolicy;
use super::batch::Batch;
use super::fold::{NetKind, NetTable, Segment, Step, fold};

/// Up to so many changes are applied one by one in the order of the log: cheaper than staging them, and with less delay.
const SINGLES_MAX: usize = 50;
/// Changes sent at once when they are applied one by one.
const SINGLES_AT_ONCE: usize = 1000;

/// What a batch did to the rows of one table.
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
    /// Changes that met no row.
    pub misses: u64,
    /// Changes that the target refused.
    pub refused: u64,
}

impl ChangeCounts {
    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        self.inserts += other.inserts;
        self.updates += other.updates;
        self.deletes += other.deletes;
        self.ddls += other.ddls;
        self.misses += other.misses;
        self.refused += other.refused;
    }
}

/// What comes between two changes, or between two transactions.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) definitions: Vec<Definition>,
    pub(super) records: Vec<RecordChange>,
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
    policy: ApplyErrorPolicy,
}

impl BatchWriter {
    pub(super) fn new(applier: Box<dyn Applier>, policy: ApplyErrorPolicy) -> Self {
        Self {
            applier,
            is_open: false,
            policy,
        }
    }

    async fn open(&mut self) -> Result<(), Error> {
        if !self.is_open {
            self.applier.begin().await?;
            self.is_open = true;
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

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.applier.commit(checkpoint).await?;
        self.is_open = false;
        Ok(())
    }

    /// Does what comes between two changes. Where the target changes no definitions within a transaction, what is open is committed
    /// first, with the count of changes that it holds; the definitions are found done should they come again.
    pub(super) async fn control(&mut self, control: &Control) -> Result<Controlled, Error> {
        let defines = !control.definitions.is_empty();
        if control.commits && defines && !self.applier.defines_in_transaction() {
            // What comes between transactions does not come again: the record is there first.
            self.open().await?;
            self.applier.record(&control.records).await?;
            self.commit(&control.checkpoint).await?;
            for definition in &control.definitions {
                if let Err(Error::Table(fault)) = self.applier.define(definition).await {
                    warn!(table = %fault.table, fault.message, "the definition is not changed at the target");
                }
            }
            return Ok(Controlled::Done { is_split: false });
        }
        let is_split = defines && !self.applier.defines_in_transaction();
        if is_split {
            if self.is_open {
                self.commit(&control.checkpoint).await?;
            }
        } else {
            self.open().await?;
        }
        for definition in &control.definitions {
            match self.applier.define(definition).await {
                Err(Error::Table(fault)) => return Ok(Controlled::Refused(fault.message)),
                done => done?,
            }
        }
        self.open().await?;
        self.applier.record(&control.records).await?;
        if control.commits {
            self.commit(&control.checkpoint).await?;
        }
        Ok(Controlled::Done { is_split })
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
        if batch.changes.len() <= SINGLES_MAX {
            let all: Vec<u32> = (0..).take(batch.changes.len()).collect();
            self.in_order(batch, &all, &mut counts).await?;
        } else {
            for segment in fold(batch)? {
                self.segment(batch, segment, &mut counts).await?;
            }
        }
        if let Some(end) = &batch.end {
            let checkpoint = Checkpoint {
                kept_from,
                ..Checkpoint::at(end.place.position())
            };
            self.commit(&checkpoint).await?;
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
                let found = applied.deleted + applied.updated;
                let given = (deletes.row_count() + updates.row_count()) as u64;
                if found < given {
                    let misses = given - found;
                    warn!(table = %table.name, misses, "rows to be updated or deleted are not at the target");
                    counts.of(&table.name).misses += misses;
                }
                Ok(())
            }
            Err(Error::Row(refusal)) => {
                debug!(table = %table.name, %refusal, "net changes are refused; applying them in their order");
                self.in_order(batch, &net.changes, counts).await
            }
            Err(error) => Err(error),
        }
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
            let singles: Vec<_> = part.iter().map(|&index| batch.single(index)).collect();
            match self.applier.apply_single(&singles).await {
                Ok(touched) => counts.count_misses(part, &touched),
                Err(Error::Row(refusal)) => {
                    if let [index] = part {
                        self.refused(batch, *index, *refusal, counts)?;
                    } else {
                        let (first, second) = part.split_at(part.len() / 2);
                        parts.extend([second, first]);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn refused(
        &self,
        batch: &Batch,
        index: u32,
        refusal: RowRefusal,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        match self.policy {
            ApplyErrorPolicy::StopTask => Err(refusal.into()),
            ApplyErrorPolicy::LogError => {
                let name = &batch.table(&batch.changes[index as usize]).name;
                warn!(table = %name, %refusal, "the target refuses a change: it is left out, as the task's error policy says");
                counts.of(name).refused += 1;
                Ok(())
            }
        }
    }
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

    fn count_misses(&mut self, changes: &[u32], touched: &[u64]) {
        let batch = self.batch;
        for (&index, &touched) in changes.iter().zip(touched) {
            let change = &batch.changes[index as usize];
            if touched == 0 && change.kind != SingleKind::Truncate {
                let name = &batch.table(change).name;
                warn!(table = %name, "a row to be updated or deleted is not at the target");
                self.of(name).misses += 1;
            }
        }
    }
}
