//! The tables of a stream: their shape, their place at the target, and the view that their loaded rows come from.

use std::collections::HashMap;
use std::sync::Arc;

use whimbrel_connector::{
    Error, LoadRecord, SnapshotView, TableId, Target, TargetTable, TransactionMark,
};
use whimbrel_core::{ColumnType, Table, TableName};

use crate::FullLoadSpec;

/// A table of the stream in one of its shapes.
#[derive(Debug)]
pub(super) struct StreamTable {
    pub(super) name: TableName,
    pub(super) target: TargetTable,
    /// The key's columns within a row, with their types; empty without a key.
    pub(super) key: Vec<(usize, ColumnType)>,
}

/// The tables that a stream has named so far.
#[derive(Default)]
pub(super) struct StreamTables {
    /// Every shape that came, in order; changes point here.
    shapes: Vec<Arc<StreamTable>>,
    /// The present shape of each table of the stream.
    by_id: HashMap<TableId, u32>,
    /// What the loaded rows hold already.
    views: HashMap<TableName, Box<dyn SnapshotView>>,
    /// By shape: whether the transaction being read is to be left out for its table.
    skipped: Vec<bool>,
    /// The transaction being read.
    transaction: Option<TransactionMark>,
}

/// What to do with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Apply it, as a change of this shape.
    Apply(u32),
    /// The loaded rows hold it.
    Held,
}

impl StreamTables {
    pub(super) fn new(
        records: &[LoadRecord],
        view: impl Fn(&LoadRecord) -> Result<Box<dyn SnapshotView>, Error>,
    ) -> Result<Self, Error> {
        let mut views = HashMap::new();
        for record in records {
            views.insert(record.table.clone(), view(record)?);
        }
        Ok(Self {
            views,
            ..Self::default()
        })
    }

    /// Every shape so far.
    pub(super) fn shapes(&self) -> &[Arc<StreamTable>] {
        &self.shapes
    }

    /// Takes the shape of a table from here on. Returns the shape before, if it was another.
    pub(super) fn describe(
        &mut self,
        id: TableId,
        table: &Arc<Table>,
        target: &dyn Target,
        spec: &FullLoadSpec,
    ) -> Result<Option<Arc<StreamTable>>, Error> {
        let before = self
            .by_id
            .get(&id)
            .map(|&shape| Arc::clone(&self.shapes[shape as usize]));
        if before
            .as_ref()
            .is_some_and(|known| known.target.source == **table)
        {
            return Ok(None);
        }
        let target = target.plan_table(table, spec.target_name(&table.name), spec.keys)?;
        let loaded: Vec<&ColumnType> = table.loaded_columns().map(|column| &column.ty).collect();
        let key = target.primary_key.iter();
        let key = key.map(|&place| (place, loaded[place].clone())).collect();
        let shape = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        self.shapes.push(Arc::new(StreamTable {
            name: table.name.clone(),
            target,
            key,
        }));
        // A table may be described anew in the middle of a transaction.
        let is_held = |mark| self.holds(&table.name, mark);
        self.skipped.push(self.transaction.is_some_and(is_held));
        self.by_id.insert(id, shape);
        Ok(before)
    }

    /// A transaction begins: for which tables do the loaded rows hold it?
    pub(super) fn begin(&mut self, mark: TransactionMark) {
        self.transaction = Some(mark);
        let skipped = self.shapes.iter();
        self.skipped = skipped.map(|shape| self.holds(&shape.name, mark)).collect();
    }

    fn holds(&self, table: &TableName, mark: TransactionMark) -> bool {
        self.views.get(table).is_some_and(|view| view.holds(mark))
    }

    /// What becomes of a change to a table in the present transaction.
    ///
    /// # Errors
    /// [`Error::Fatal`] for a table that the stream has not described.
    pub(super) fn fate(&self, id: TableId) -> Result<Fate, Error> {
        let shape = *self.by_id.get(&id).ok_or_else(|| {
            Error::Fatal("the log names a table that it has not described".to_owned())
        })?;
        Ok(if self.skipped[shape as usize] {
            Fate::Held
        } else {
            Fate::Apply(shape)
        })
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase};
    use whimbrel_connector::{ChunkRecord, Connector as _};
    use whimbrel_core::mapping::TableMappings;
    use whimbrel_core::{Engine, Position};

    use super::*;

    #[derive(Debug)]
    struct UpTo(u64);

    impl SnapshotView for UpTo {
        fn holds(&self, transaction: TransactionMark) -> bool {
            transaction.0 <= self.0
        }
    }

    #[tokio::test]
    async fn a_table_described_within_a_transaction_is_left_out_of_it_all_the_same() {
        let record = LoadRecord {
            table: TableName::new("s", "t"),
            planned_at: Position::new("5"),
            chunks: Vec::<ChunkRecord>::new(),
            is_finished: true,
        };
        let mut tables = StreamTables::new(&[record], |_| Ok(Box::new(UpTo(5)))).unwrap();
        let target = MemoryConnector::new(MemoryDatabase::new(), Faults::none());
        let target = target.target().await.unwrap();
        let spec = FullLoadSpec::new("task", TableMappings::of_patterns(&[], &[]));
        let table = |estimate| {
            Arc::new(Table {
                engine: Engine::Postgres,
                name: TableName::new("s", "t"),
                columns: Vec::new(),
                primary_key: Vec::new(),
                key_prefixes: Vec::new(),
                row_estimate: Some(estimate),
                byte_estimate: None,
                outside_snapshot: None,
                notes: Vec::new(),
            })
        };
        for (mark, fate) in [(5, Fate::Held), (6, Fate::Apply(1))] {
            tables.begin(TransactionMark(mark, 0));
            tables
                .describe(TableId(0), &table(mark), &*target, &spec)
                .unwrap();
            assert_eq!(tables.fate(TableId(0)).unwrap(), fate);
        }
    }
}
