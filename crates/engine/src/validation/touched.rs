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

/// The rows that the log has told of, by table, until the validator takes them.
#[derive(Debug, Default)]
pub struct Touched(Mutex<BTreeMap<TableName, Watched>>);

#[derive(Debug)]
struct Watched {
    layout: Arc<Layout>,
    keys: HashMap<RowHash, Vec<KeyCell>>,
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
        if let Some(watched) = tables.get_mut(table).filter(|_| !is_anew) {
            watched.layout = Arc::clone(layout);
            return;
        }
        let watched = Watched {
            layout: Arc::clone(layout),
            keys: HashMap::new(),
            missed: 0,
            is_redefined: false,
        };
        tables.insert(table.clone(), watched);
    }

    /// Keys of this table are of no use any more.
    pub(super) fn leave(&self, table: &TableName) {
        self.lock().remove(table);
    }

    /// What happened to a table since the last call, if anything.
    pub(super) fn take(&self, table: &TableName) -> Option<Changed> {
        let mut tables = self.lock();
        let watched = tables.get_mut(table)?;
        if watched.keys.is_empty() && watched.missed == 0 && !watched.is_redefined {
            return None;
        }
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
        let Some(watched) = tables.get_mut(table) else {
            return;
        };
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
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TableName, Watched>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        if self.keys.len() < KEYS_MAX {
            self.keys.insert(hash, key);
        } else if !self.keys.contains_key(&hash) {
            self.missed += 1;
        }
    }
}
