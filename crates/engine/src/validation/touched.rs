//! Rows that were changed since their table was compared: they are looked at like rows that differed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use whimbrel_connector::{ChangeRows, KeyCell, RowAt, SingleKind};
use whimbrel_core::{RowHash, TableName, Value};

use crate::shaping::Scratch;
use crate::validate::{Layout, RowView, Side};

/// Keys of one table that wait for their look. Looks take some thousand keys a second, so that these are seconds of changes; each is
/// some hundred bytes at most.
pub(super) const KEYS_MAX: usize = 20_000;
/// The same of all tables: a minute of changes, and some megabytes.
const KEYS_TOTAL_MAX: usize = 100_000;

/// The rows that the log has told of, by table, until the validator takes them.
#[derive(Debug, Default)]
pub struct Touched(Mutex<Tables>);

#[derive(Debug, Default)]
struct Tables {
    watched: BTreeMap<TableName, Watched>,
    /// How many keys they have.
    key_count: usize,
}

#[derive(Debug)]
struct Watched {
    layout: Arc<Layout>,
    keys: HashMap<RowHash, Vec<KeyCell>>,
    /// Room for keys, by what there is for all tables.
    keys_max: usize,
    missed: u64,
    /// Something happened that no key tells of.
    is_redefined: bool,
}

/// What became of a table since the last look.
pub(super) struct Changed {
    pub(super) layout: Arc<Layout>,
    pub(super) keys: HashMap<RowHash, Vec<KeyCell>>,
    /// Rows whose keys were not kept.
    pub(super) missed: u64,
    /// Its definition changed, or all its rows went.
    pub(super) is_redefined: bool,
}

impl Touched {
    /// Keys of this table are kept from now on. `is_anew`: those that were kept before are of no use, because the table is compared from
    /// the beginning.
    pub(super) fn watch(&self, table: &TableName, layout: &Arc<Layout>, is_anew: bool) {
        let mut tables = self.lock();
        if let Some(watched) = tables.watched.get_mut(table).filter(|_| !is_anew) {
            watched.layout = Arc::clone(layout);
            return;
        }
        tables.leave(table);
        let watched = Watched {
            layout: Arc::clone(layout),
            keys: HashMap::new(),
            keys_max: 0,
            missed: 0,
            is_redefined: false,
        };
        tables.watched.insert(table.clone(), watched);
    }

    /// Keys of this table are of no use any more.
    pub(super) fn leave(&self, table: &TableName) {
        self.lock().leave(table);
    }

    /// What happened to a table since the last call, if anything.
    pub(super) fn take(&self, table: &TableName) -> Option<Changed> {
        let mut tables = self.lock();
        let Tables { watched, key_count } = &mut *tables;
        let watched = watched.get_mut(table)?;
        if watched.keys.is_empty() && watched.missed == 0 && !watched.is_redefined {
            return None;
        }
        *key_count -= watched.keys.len();
        Some(Changed {
            layout: Arc::clone(&watched.layout),
            keys: std::mem::take(&mut watched.keys),
            missed: std::mem::take(&mut watched.missed),
            is_redefined: std::mem::take(&mut watched.is_redefined),
        })
    }

    /// Keeps the keys that a change of the log is about. Where they cannot be told, the table is compared again: that a task validates must
    /// not end it.
    pub(crate) fn note(&self, table: &TableName, kind: SingleKind, rows: &dyn ChangeRows) {
        let mut tables = self.lock();
        let Tables { watched, key_count } = &mut *tables;
        let Some(watched) = watched.get_mut(table) else {
            return;
        };
        let (before_it, room) = (watched.keys.len(), KEYS_TOTAL_MAX - *key_count);
        watched.keys_max = KEYS_MAX.min(before_it + room);
        let is_told = match kind {
            SingleKind::Insert { after } => watched.row(after, rows) == Told::Yes,
            SingleKind::Delete { before } => watched.row(before, rows) == Told::Yes,
            SingleKind::Update { before, after } => {
                let before = before.map(|before| watched.row(before, rows));
                match (before, watched.row(after, rows)) {
                    (Some(Told::OtherShape), _) | (_, Told::OtherShape) => false,
                    (_, Told::Yes) => true,
                    // A key that is not sent with the new row is the old one.
                    (before, Told::No) => before == Some(Told::Yes),
                }
            }
            SingleKind::Truncate => false,
        };
        watched.is_redefined |= !is_told;
        *key_count += watched.keys.len() - before_it;
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn leave(&mut self, table: &TableName) {
        let left = self.watched.remove(table);
        self.key_count -= left.map_or(0, |watched| watched.keys.len());
    }
}

/// Whether a row of the log tells its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Yes,
    No,
    /// It is one of another definition of the table than was compared.
    OtherShape,
}

impl Watched {
    fn row(&mut self, row: RowAt, rows: &dyn ChangeRows) -> Told {
        let layout = Arc::clone(&self.layout);
        let mut view = RowView::new(&layout, Side::Source);
        let mut scratch = Scratch::default();
        let mut told = Told::OtherShape;
        let decoded = rows.decode(row, &mut |row| {
            if row.len() != layout.source_width() {
                return Ok(());
            }
            let mut take = |row: &[Value<'_>]| {
                told = match view.key(row) {
                    Some((hash, key)) => {
                        self.keep(hash, key);
                        Told::Yes
                    }
                    None => Told::No,
                };
                Ok(())
            };
            match layout.shape.as_deref() {
                None => take(row),
                Some(shape) => shape.row(row, &mut scratch, &mut take),
            }
        });
        if decoded.is_err() {
            return Told::OtherShape;
        }
        told
    }

    fn keep(&mut self, hash: RowHash, key: Vec<KeyCell>) {
        if self.keys.len() < self.keys_max {
            self.keys.insert(hash, key);
        } else if !self.keys.contains_key(&hash) {
            self.missed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::{Error, RowVisitor};
    use whimbrel_core::mapping::TableMappings;
    use whimbrel_core::{Column, ColumnType, Engine, Generation, Table};

    use super::*;
    use crate::shaping::Shaper;

    /// Rows of one number, which is their place.
    #[derive(Debug)]
    struct Numbers;

    impl ChangeRows for Numbers {
        fn byte_count(&self) -> usize {
            0
        }

        fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
            visit(&[Value::Int(row.offset.into())])
        }
    }

    fn layout() -> Arc<Layout> {
        let id = Column {
            name: "id".to_owned(),
            ty: ColumnType::Int {
                bits: 64,
                unsigned: false,
            },
            native: "bigint".to_owned(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        };
        let table = Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: vec![id],
            primary_key: vec![0],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        };
        let shaper = Shaper {
            settings: &crate::Shaping::default(),
            mappings: &TableMappings::of_patterns(&[], &[]),
            target_schema: None,
        };
        Arc::new(Layout::of(&table, &table, shaper).unwrap())
    }

    #[test]
    fn keys_of_all_tables_together_are_bounded() {
        let (touched, layout) = (Touched::default(), layout());
        let names: Vec<TableName> = (0..10)
            .map(|number| TableName::new("s", format!("t{number}")))
            .collect();
        let insert = |table: &TableName, offset| {
            let after = RowAt {
                shape: 0,
                offset,
                is_whole: true,
            };
            touched.note(table, SingleKind::Insert { after }, &Numbers);
        };
        for name in &names {
            touched.watch(name, &layout, true);
            (0..15_000).for_each(|offset| insert(name, offset));
        }
        let taken = |name| {
            let changed = touched.take(name);
            changed.map_or((0, 0), |changed| (changed.keys.len(), changed.missed))
        };
        // What was taken, and whose table is left, makes room.
        touched.leave(&names[1]);
        assert_eq!(taken(&names[0]), (15_000, 0));
        (0..30_000).for_each(|offset| insert(&names[2], offset));
        assert_eq!(taken(&names[2]), (20_000, 10_000));
        let rest: Vec<_> = names[3..].iter().map(taken).collect();
        let (kept, missed) = rest
            .iter()
            .fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        assert_eq!((kept, missed), (KEYS_TOTAL_MAX - 45_000, 50_000));
    }
}
