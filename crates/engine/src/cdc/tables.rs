//! The tables of a stream: what they are, what they were when their changes were last applied, and what their rows hold already.

use std::collections::HashMap;
use std::sync::Arc;

use whimbrel_connector::{
    Error, FollowState, SnapshotView, TableId, Target, TargetTable, TransactionMark,
};
use whimbrel_core::{Column, ColumnType, Engine, Table, TableName};

use super::reshape::is_same_column;
use crate::FullLoadSpec;
use crate::shaping::Shaped;

/// A table of the stream in one of its shapes.
#[derive(Clone, Debug)]
pub(super) struct StreamTable {
    pub(super) name: TableName,
    pub(super) target: TargetTable,
    /// The key's columns within a row, with their types; empty without a key.
    pub(super) key: Vec<(usize, ColumnType)>,
    /// Some rows alone arrive, or rows get another shape on their way.
    pub(super) shape: Option<Arc<Shaped>>,
}

impl StreamTable {
    pub(super) fn plan(
        table: &Table,
        target: &dyn Target,
        spec: &FullLoadSpec,
    ) -> Result<Self, Error> {
        spec.untellable(table)?;
        let target = spec.plan_table(table, target)?;
        let shape = spec.shaper().of_rows(table)?;
        let loaded = target.model().loaded_columns();
        let loaded: Vec<&ColumnType> = loaded.map(|column| &column.ty).collect();
        let key = target.primary_key.iter();
        let key = key.map(|&place| (place, loaded[place].clone())).collect();
        Ok(Self {
            name: table.name.clone(),
            target,
            key,
            shape,
        })
    }

    /// Whether the mappings choose its rows by the same filter, and make the columns that both have of the same.
    pub(super) fn is_ruled_like(&self, other: &Self) -> bool {
        let filter = |table: &Self| {
            let shape = table.shape.as_ref()?;
            shape.filter().map(ToString::to_string)
        };
        let made = |table: &Self, column: &Column| table.shape.as_ref()?.making_of(&column.name);
        let mut columns = self.target.model().loaded_columns();
        let is_made_like = columns.all(|column| {
            let mut others = other.target.model().loaded_columns();
            let same = others.find(|other| is_same_column(column, other));
            same.is_none_or(|same| made(self, column) == made(other, same))
        });
        is_made_like && filter(self) == filter(other)
    }
}

/// A table that is followed when a stream is opened.
pub(super) struct FollowedTable {
    pub(super) state: FollowState,
    /// What its rows hold: a transaction that any of these holds is left out for it.
    pub(super) views: Vec<Box<dyn SnapshotView>>,
}

/// What to do with a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Apply it, as a change of this shape.
    Apply(u32),
    /// Its rows hold it, or nobody follows it any more.
    Held,
    /// The table was altered: that comes first.
    Redefine,
}

struct Entry {
    state: FollowState,
    /// The shape of the target's table.
    applied: u32,
    /// As the stream told it last.
    told: Arc<Table>,
    is_altered: bool,
    /// It is being loaded, suspended or gone.
    is_away: bool,
    views: Vec<Box<dyn SnapshotView>>,
    /// The transaction for which `fate` was found out.
    seen: u64,
    fate: Fate,
    /// The transaction in which it left: what is recorded of that commits with it.
    left_in: u64,
    /// How many of its changes are in the count of which transaction.
    counted: (u64, u64),
}

impl Entry {
    /// Whether its rows hold the transaction.
    fn is_held(&self, transaction: TransactionMark) -> bool {
        self.views.iter().any(|view| view.holds(transaction))
    }
}

/// The tables of a stream, by their numbers there.
pub(super) struct StreamTables {
    entries: Vec<Entry>,
    /// Every shape that came, in order; changes point here.
    shapes: Vec<Arc<StreamTable>>,
    by_name: HashMap<TableName, TableId>,
    /// The transaction being read, and its number.
    transaction: Option<TransactionMark>,
    number: u64,
}

impl StreamTables {
    /// The tables with which a stream is opened, in this order.
    pub(super) fn new(
        tables: Vec<FollowedTable>,
        target: &dyn Target,
        spec: &FullLoadSpec,
    ) -> Result<Self, Error> {
        let mut made = Self {
            entries: Vec::with_capacity(tables.len()),
            shapes: Vec::with_capacity(tables.len()),
            by_name: HashMap::new(),
            transaction: None,
            number: 1,
        };
        for (number, FollowedTable { state, views }) in (0..).zip(tables) {
            let shape = StreamTable::plan(&state.shape, target, spec)?;
            made.by_name.insert(shape.name.clone(), TableId(number));
            made.entries.push(Entry {
                told: Arc::new(state.shape.clone()),
                is_away: state.suspended.is_some(),
                state,
                applied: number,
                is_altered: false,
                views,
                seen: 0,
                fate: Fate::Held,
                left_in: 0,
                counted: (0, 0),
            });
            made.shapes.push(Arc::new(shape));
        }
        Ok(made)
    }

    /// Every shape so far.
    pub(super) fn shapes(&self) -> &[Arc<StreamTable>] {
        &self.shapes
    }

    fn entry(&mut self, id: TableId) -> Result<&mut Entry, Error> {
        self.entries.get_mut(id.0 as usize).ok_or_else(|| {
            Error::Fatal("the log names a table that it has not described".to_owned())
        })
    }

    /// The table of this name, if it is one of the stream.
    pub(super) fn find(&self, name: &TableName) -> Option<TableId> {
        self.by_name.get(name).copied()
    }

    /// Tables that the stream was opened with and that are still followed.
    pub(super) fn followed(&self) -> impl Iterator<Item = &TableName> {
        let entries = self.entries.iter().filter(|entry| !entry.is_away);
        entries.map(|entry| &entry.state.shape.name)
    }

    /// The names at the target of tables that are followed, but for these.
    pub(super) fn targets_beside(&self, left: &[TableId]) -> Vec<TableName> {
        let entries = (0..).zip(&self.entries);
        let others = entries.filter(|(id, entry)| !entry.is_away && !left.contains(&TableId(*id)));
        let shapes = others.map(|(_, entry)| &self.shapes[entry.applied as usize]);
        shapes.map(|shape| shape.target.name.clone()).collect()
    }

    /// What is known of a table, and its present shape at the target.
    pub(super) fn followed_as(
        &mut self,
        id: TableId,
    ) -> Result<(FollowState, Arc<StreamTable>), Error> {
        let entry = self.entry(id)?;
        let (state, applied) = (entry.state.clone(), entry.applied);
        Ok((state, Arc::clone(&self.shapes[applied as usize])))
    }

    /// Takes the shape of a table from here on.
    pub(super) fn tell(
        &mut self,
        id: TableId,
        table: Arc<Table>,
        target: &dyn Target,
        spec: &FullLoadSpec,
    ) -> Result<(), Error> {
        let transaction = self.transaction;
        let entry = self.entry(id)?;
        entry.seen = 0;
        let number = entry.applied as usize;
        let is_held = transaction.is_none_or(|mark| entry.is_held(mark));
        let applied = &self.shapes[number].target.source;
        let is_counted_anew =
            is_held && table.engine != Engine::Postgres && is_same(&unnumbered(applied), &table);
        if transaction.is_none() || is_counted_anew {
            // What the stream was opened with, perhaps with a key by which the log tells rows apart; or a definition that comes again,
            // and whose columns have other numbers now, because they are counted by the reader of the log.
            self.shapes[number] = Arc::new(StreamTable::plan(&table, target, spec)?);
        }
        let is_altered = !is_same(&self.shapes[number].target.source, &table);
        let entry = self.entry(id)?;
        entry.is_altered = is_altered;
        entry.told = table;
        Ok(())
    }

    /// Takes other columns by which rows of a table are told apart, in the shape that has them as its key, if there can be one. Whether changes
    /// of it wait for that.
    pub(super) fn identify(
        &mut self,
        id: TableId,
        table: Arc<Table>,
        planned: Option<StreamTable>,
    ) -> Result<bool, Error> {
        let transaction = self.transaction;
        let entry = self.entry(id)?;
        entry.seen = 0;
        entry.told = table;
        let is_held = transaction.is_none_or(|mark| entry.is_held(mark));
        if entry.is_away || entry.is_altered || !is_held {
            return Ok(!entry.is_away && !entry.is_altered);
        }
        // No change was taken in that is of the shape of before.
        let number = entry.applied as usize;
        match planned {
            Some(planned) => self.shapes[number] = Arc::new(planned),
            None => return Ok(true),
        }
        Ok(false)
    }

    /// The table as the stream told it last.
    pub(super) fn told(&mut self, id: TableId) -> Result<Arc<Table>, Error> {
        self.entry(id).map(|entry| Arc::clone(&entry.told))
    }

    /// From here on changes are applied in this shape.
    pub(super) fn follow_as(
        &mut self,
        id: TableId,
        shape: StreamTable,
        state: FollowState,
    ) -> Result<(), Error> {
        let number = u32::try_from(self.shapes.len()).unwrap_or(u32::MAX);
        self.by_name.retain(|_, known| *known != id);
        self.by_name.insert(shape.name.clone(), id);
        let entry = self.entry(id)?;
        entry.state = state;
        entry.applied = number;
        entry.is_altered = false;
        entry.seen = 0;
        self.shapes.push(Arc::new(shape));
        Ok(())
    }

    /// From here on its changes are left out. It leaves with the present transaction, or between two.
    pub(super) fn leave(&mut self, id: TableId) -> Result<(), Error> {
        let number = self.number;
        let entry = self.entry(id)?;
        if !entry.is_away {
            entry.left_in = number;
        }
        entry.is_away = true;
        entry.seen = 0;
        Ok(())
    }

    /// It has left with a transaction that lies before the present one. Answers how many of its changes are in the count of this one, where they do not belong.
    pub(super) fn has_left(&mut self, id: TableId) -> Result<u64, Error> {
        let number = self.number;
        let entry = self.entry(id)?;
        entry.is_away = true;
        entry.seen = 0;
        if entry.left_in == number {
            entry.left_in = 0;
        }
        let (counted_in, counted) = std::mem::take(&mut entry.counted);
        let is_told_again = entry.state.suspended_in_part;
        Ok(if counted_in == number && !is_told_again {
            counted
        } else {
            0
        })
    }

    /// Counts a change in the present transaction, if that would be told again after a cut: the stream is opened without tables that left before. One that was left in error
    /// in an earlier part is followed for the count.
    pub(super) fn counts(&mut self, id: TableId) -> Result<bool, Error> {
        let number = self.number;
        let entry = self.entry(id)?;
        if entry.is_away && entry.left_in != number && !entry.state.suspended_in_part {
            return Ok(false);
        }
        let (counted_in, counted) = entry.counted;
        let before = if counted_in == number { counted } else { 0 };
        entry.counted = (number, before + 1);
        Ok(true)
    }

    /// The number of the transaction that was begun last.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Whether its changes are left out for good, or until it is loaded.
    pub(super) fn is_away(&self, id: TableId) -> bool {
        let entry = self.entries.get(id.0 as usize);
        entry.is_some_and(|entry| entry.is_away)
    }

    /// A transaction begins.
    pub(super) fn begin(&mut self, mark: TransactionMark) {
        self.transaction = Some(mark);
        self.number += 1;
    }

    /// What becomes of a change to a table in the present transaction.
    ///
    /// # Errors
    /// [`Error::Fatal`] for a table that the stream has not described.
    pub(super) fn fate(&mut self, id: TableId) -> Result<Fate, Error> {
        let (number, transaction) = (self.number, self.transaction);
        let entry = self.entry(id)?;
        if entry.seen != number {
            entry.seen = number;
            entry.fate = if entry.is_away || transaction.is_some_and(|mark| entry.is_held(mark)) {
                Fate::Held
            } else if entry.is_altered {
                Fate::Redefine
            } else {
                Fate::Apply(entry.applied)
            };
        }
        Ok(entry.fate)
    }
}

/// Whether nothing that is kept of a table has changed. Numbers that one of them lacks do not count.
fn is_same(known: &Table, told: &Table) -> bool {
    let mut columns = known.columns.iter().zip(&told.columns);
    known.name == told.name
        && known.columns.len() == told.columns.len()
        && columns.all(|(known, told)| {
            Column {
                id: told.id.or(known.id),
                ..known.clone()
            } == Column {
                id: told.id.or(known.id),
                ..told.clone()
            } && (known.id.is_none() || told.id.is_none() || known.id == told.id)
        })
        && known.primary_key == told.primary_key
        && known.obstacle == told.obstacle
}

/// The table without the numbers of its columns.
fn unnumbered(table: &Table) -> Table {
    let mut table = table.clone();
    for column in &mut table.columns {
        column.id = None;
    }
    table
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::Connector as _;
    use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase};
    use whimbrel_core::Generation;
    use whimbrel_core::mapping::TableMappings;

    use super::*;

    #[derive(Debug)]
    struct UpTo(u64);

    impl SnapshotView for UpTo {
        fn holds(&self, transaction: TransactionMark) -> bool {
            transaction.0 <= self.0
        }
    }

    fn table(columns: &[&str]) -> Table {
        let columns = columns.iter().map(|name| Column {
            name: (*name).to_owned(),
            ty: ColumnType::Text { bytes_max: None },
            native: "text".to_owned(),
            nullable: true,
            generation: Generation::None,
            id: None,
            default: None,
        });
        Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: columns.collect(),
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_table_altered_within_what_its_rows_hold_is_redefined_by_the_first_change_past_it() {
        let target = MemoryConnector::new(MemoryDatabase::new(), Faults::none());
        let target = target.target().await.unwrap();
        let spec = FullLoadSpec::new("task", TableMappings::of_patterns(&[], &[]));
        let followed = FollowedTable {
            state: FollowState::loaded(table(&["a", "b"])),
            views: vec![Box::new(UpTo(5))],
        };
        let mut tables = StreamTables::new(vec![followed], &*target, &spec).unwrap();
        let id = TableId(0);
        let tell = |tables: &mut StreamTables, columns: &[&str]| {
            let told = Arc::new(table(columns));
            tables.tell(id, told, &*target, &spec).unwrap();
        };
        tables.begin(TransactionMark(4, 0));
        tell(&mut tables, &["a"]);
        assert_eq!(tables.fate(id).unwrap(), Fate::Held);
        tables.begin(TransactionMark(6, 0));
        assert_eq!(tables.fate(id).unwrap(), Fate::Redefine);
        tell(&mut tables, &["a", "b"]);
        assert_eq!(tables.fate(id).unwrap(), Fate::Apply(0));
        tables.leave(id).unwrap();
        assert_eq!(tables.fate(id).unwrap(), Fate::Held);
        assert!(tables.fate(TableId(1)).is_err());
    }
}
