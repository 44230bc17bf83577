//! Folding: from changes in order to what became of each key.
//!
//! Within one transaction of the target only the last state of a row can be seen, so of all changes of a key just the net change
//! counts. Why folding keeps the result: per key it tracks whether the row was there before (known from the kind of the
//! first change) and which row versions make up its present state; a cell that was not sent is looked up in the version
//! before, and when no version has it, the target's own cell stays. Different keys of one table do not touch each other,
//! so net changes may be written in any order: deletes first, so that values of unique columns are free again.
//!
//! Of a table of which some rows alone arrive, a row that goes or changes may not have been there. One that went so and came again is
//! deleted and inserted, and not updated.
//!
//! Where a net change meets no row that should be there, it may not be what its changes would have done (an update for a delete and an insert, a delete for a row
//! that changes its key). Then the net changes are taken back, and the changes applied as they came.
//!
//! A change that cannot be expressed so (no key, a moved key with cells that nobody sent, an order that a correct source does not
//! produce) is applied as it came, between the folded changes before and after it.
//!
//! Keys are one key if they are equal as values. Those in several forms (`1.0` and `1.00`, zeros of two signs) are told apart besides: a change
//! that gives its row the key in another form is applied as it came, because net updates leave the key's cells as they are. That is an update of
//! such a key, or a row that comes with the key of one that was there before the batch and went. So an entry of a row that was there has the key
//! in one form from its first version to its last.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use whimbrel_connector::{ChangeRows, Error, RowAt, RowSet, RowVisitor, SingleKind};
use whimbrel_core::{ColumnType, RowHash, RowHasher, Value};

use super::batch::{Batch, Change, Located};
use super::tables::StreamTable;

/// Changes of one table, in steps that must be applied one after another.
pub(super) struct TableSteps {
    pub(super) table: u32,
    pub(super) steps: Vec<Step>,
}

pub(super) enum Step {
    /// At most one change per key.
    Net(NetTable),
    /// Indexes of changes, to be applied as they came.
    InOrder(Vec<u32>),
}

/// Net changes by key, and the changes that they were made of.
#[derive(Default)]
pub(super) struct NetTable {
    entries: Vec<Entry>,
    places: HashMap<RowHash, u32, BuildHasherDefault<KeyHasher>>,
    /// Indexes of the folded changes, in order.
    pub(super) changes: Vec<u32>,
    /// Whether the rows that its changes meet may not be there. The target tells how many rows it met and not which, so that a row that
    /// has to be there is not counted with those that need not.
    may_miss: Option<bool>,
    /// A row changes its key in it.
    moves_rows: bool,
}

/// Whether a row was there before the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    Absent,
    There,
    /// The filter of its table may have selected it, or not.
    PerhapsThere,
}

impl Was {
    /// As a change tells it that meets the row first.
    fn met(may_miss: bool) -> Self {
        if may_miss {
            Self::PerhapsThere
        } else {
            Self::There
        }
    }
}

/// What became of one key.
struct Entry {
    was: Was,
    is_there: bool,
    /// It went and came again as another row.
    is_anew: bool,
    /// Where the key's cells are.
    key: Located,
    /// The row's versions, oldest first; a later one may leave out cells of an earlier one.
    first: Located,
    later: Vec<Located>,
}

/// Row hashes are hashes already.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, hash: u128) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the low half is hash enough"
        )]
        let low = hash as u64;
        self.0 = low;
    }
}

/// A truncation separates what came before it from what came after.
pub(super) enum Segment {
    Tables(Vec<TableSteps>),
    /// Indexes of truncations that follow each other.
    Truncate(Vec<u32>),
}

/// Folds a batch.
pub(super) fn fold(batch: &Batch) -> Result<Vec<Segment>, Error> {
    let mut segments = Vec::new();
    let mut folder = Folder::new(batch);
    let mut truncations = Vec::new();
    for index in 0..u32::try_from(batch.changes.len()).unwrap_or(u32::MAX) {
        if batch.changes[index as usize].kind == SingleKind::Truncate {
            folder.flush_into(&mut segments);
            truncations.push(index);
            continue;
        }
        if !truncations.is_empty() {
            segments.push(Segment::Truncate(std::mem::take(&mut truncations)));
        }
        folder.push(index)?;
    }
    if !truncations.is_empty() {
        segments.push(Segment::Truncate(truncations));
    }
    folder.flush_into(&mut segments);
    Ok(segments)
}

struct Folder<'b> {
    batch: &'b Batch,
    /// By the table's index in the batch.
    tables: Vec<Option<TableSteps>>,
    hasher: RowHasher,
}

impl<'b> Folder<'b> {
    fn new(batch: &'b Batch) -> Self {
        Self {
            batch,
            tables: batch.tables.iter().map(|_| None).collect(),
            hasher: RowHasher::new(),
        }
    }

    fn flush_into(&mut self, segments: &mut Vec<Segment>) {
        let tables: Vec<TableSteps> = self.tables.iter_mut().filter_map(Option::take).collect();
        if !tables.is_empty() {
            segments.push(Segment::Tables(tables));
        }
    }

    fn push(&mut self, index: u32) -> Result<(), Error> {
        let change = self.batch.changes[index as usize];
        let table = &self.batch.tables[change.table as usize];
        let steps = self.tables[change.table as usize].get_or_insert_with(|| TableSteps {
            table: change.table,
            steps: Vec::new(),
        });
        let at = |row| Located {
            block: change.block,
            row,
        };
        let mut keys = Keys {
            hasher: &mut self.hasher,
            table,
            block: change.block,
            blocks: &self.batch.blocks,
        };
        let is_folded = if table.key.is_empty() {
            match change.kind {
                // Rows without a key can be many alike: only coming rows have no order among themselves.
                SingleKind::Insert { after } => {
                    steps.net_of_inserts().add(at(after), index);
                    true
                }
                _ => false,
            }
        } else {
            steps.net_of(&change).push(index, &change, at, &mut keys)?
        };
        if !is_folded {
            steps.in_order(index);
        }
        Ok(())
    }
}

impl TableSteps {
    fn net(&mut self) -> &mut NetTable {
        if !matches!(self.steps.last(), Some(Step::Net(_))) {
            self.steps.push(Step::Net(NetTable::default()));
        }
        match self.steps.last_mut() {
            Some(Step::Net(net)) => net,
            _ => unreachable!("a net step was just made sure of"),
        }
    }

    /// The net changes that a change can be folded into.
    fn net_of(&mut self, change: &Change) -> &mut NetTable {
        let meets_a_row = matches!(
            change.kind,
            SingleKind::Update { .. } | SingleKind::Delete { .. }
        );
        if !meets_a_row {
            return self.net();
        }
        let others = self.net().may_miss.unwrap_or(change.may_miss);
        if others != change.may_miss {
            self.steps.push(Step::Net(NetTable::default()));
        }
        let net = self.net();
        net.may_miss = Some(change.may_miss);
        net
    }

    fn net_of_inserts(&mut self) -> &mut NetTable {
        self.net()
    }

    fn in_order(&mut self, index: u32) {
        match self.steps.last_mut() {
            Some(Step::InOrder(changes)) => changes.push(index),
            _ => self.steps.push(Step::InOrder(vec![index])),
        }
    }
}

/// Hashes and compares the keys of rows.
struct Keys<'a> {
    hasher: &'a mut RowHasher,
    table: &'a StreamTable,
    /// That of the change at hand.
    block: u32,
    blocks: &'a [Arc<dyn ChangeRows>],
}

/// Which version of a row is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Old,
    New,
}

impl Keys<'_> {
    /// The hash of a row's key; `None` when a cell of it was not sent, or the row cannot be had.
    fn of(&mut self, row: RowAt, version: Version) -> Result<Option<RowHash>, Error> {
        let (hasher, table) = (&mut *self.hasher, self.table);
        let rows = &self.blocks[self.block as usize];
        let mut hash = None;
        let mut look = |cells: &[Value<'_>]| {
            let key = || table.key.iter().map(|&(place, ref ty)| (&cells[place], ty));
            if !key().any(|(cell, _)| matches!(cell, Value::NotSent)) {
                hash = Some(hasher.hash(key()));
            }
            Ok(())
        };
        let decoded = match version {
            Version::Old => rows.decode_old(row, &table.target.primary_key, &mut look),
            Version::New => rows.decode(row, &mut look),
        };
        match decoded {
            // A rule finds no value for it: that is told where it is applied by itself.
            Err(Error::Row(_)) => Ok(None),
            decoded => decoded.map(|()| hash),
        }
    }

    /// Whether rows whose keys are equal have them in the same form.
    fn are_alike(&self, one: Located, other: Located) -> Result<bool, Error> {
        let (table, blocks) = (self.table, self.blocks);
        let has_forms = |(_, ty): &(usize, ColumnType)| {
            matches!(
                ty,
                ColumnType::Decimal { .. }
                    | ColumnType::Float32
                    | ColumnType::Float64
                    | ColumnType::Char { .. }
                    | ColumnType::Json { .. }
            )
        };
        if !table.key.iter().any(has_forms) {
            return Ok(true);
        }
        let key = &table.target.primary_key;
        let rows = |at: Located| &blocks[at.block as usize];
        let mut are_alike = true;
        rows(one).decode_old(one.row, key, &mut |one| {
            rows(other).decode_old(other.row, key, &mut |other| {
                let mut places = table.key.iter().map(|&(place, _)| place);
                are_alike = places.all(|place| one[place].is_identical(&other[place]));
                Ok(())
            })
        })?;
        Ok(are_alike)
    }
}

impl NetTable {
    /// A row of a table without a key.
    fn add(&mut self, row: Located, index: u32) {
        self.entries.push(Entry::inserted(row, Vec::new()));
        self.changes.push(index);
    }

    /// Folds a change in. `false`: it cannot be expressed as a net change, and nothing was done.
    fn push(
        &mut self,
        index: u32,
        change: &Change,
        at: impl Fn(RowAt) -> Located,
        keys: &mut Keys<'_>,
    ) -> Result<bool, Error> {
        let may_miss = change.may_miss;
        let is_folded = match change.kind {
            SingleKind::Insert { after } => match keys.of(after, Version::New)? {
                Some(key) => {
                    self.may_come(key, at(after), keys)? && self.insert(key, at(after), Vec::new())
                }
                None => false,
            },
            SingleKind::Delete { before } => match keys.of(before, Version::Old)? {
                Some(key) => self.delete(key, at(before), may_miss),
                None => false,
            },
            SingleKind::Update { before, after } => {
                let new = keys.of(after, Version::New)?;
                let old = match before {
                    Some(before) => keys.of(before, Version::Old)?,
                    None => new,
                };
                match (before, old, new) {
                    // The key was not sent again.
                    (_, Some(old), None) => self.update(old, at(after), before.map(&at), may_miss),
                    (_, Some(old), Some(new)) if old == new => {
                        let is_alike = match before {
                            Some(before) => keys.are_alike(at(before), at(after))?,
                            None => true,
                        };
                        is_alike && self.update(old, at(after), None, may_miss)
                    }
                    (Some(before), Some(old), Some(new)) if !may_miss => {
                        self.may_come(new, at(after), keys)?
                            && self.move_key(old, new, at(before), at(after))
                    }
                    _ => false,
                }
            }
            SingleKind::Truncate => false,
        };
        if is_folded {
            self.changes.push(index);
        }
        Ok(is_folded)
    }

    fn find(&mut self, key: RowHash) -> Option<&mut Entry> {
        let place = *self.places.get(&key)?;
        self.entries.get_mut(place as usize)
    }

    fn add_entry(&mut self, key: RowHash, entry: Entry) {
        let place = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.places.insert(key, place);
        self.entries.push(entry);
    }

    /// Whether a row may come in the place of one with an equal key that went: the target is given no other form of the key then.
    fn may_come(&mut self, key: RowHash, row: Located, keys: &Keys<'_>) -> Result<bool, Error> {
        match self.find(key) {
            Some(entry) if entry.was != Was::Absent && !entry.is_there => {
                keys.are_alike(entry.key, row)
            }
            _ => Ok(true),
        }
    }

    fn insert(&mut self, key: RowHash, first: Located, later: Vec<Located>) -> bool {
        match self.find(key) {
            Some(entry) if entry.is_there => return false,
            Some(entry) => {
                entry.is_there = true;
                entry.is_anew = true;
                entry.first = first;
                entry.later = later;
            }
            None => self.add_entry(key, Entry::inserted(first, later)),
        }
        true
    }

    fn delete(&mut self, key: RowHash, before: Located, may_miss: bool) -> bool {
        match self.find(key) {
            // It is known not to be there.
            Some(entry) if !entry.is_there => return may_miss,
            Some(entry) => {
                entry.is_there = false;
                entry.key = before;
                entry.later.clear();
            }
            None => self.add_entry(
                key,
                Entry {
                    was: Was::met(may_miss),
                    is_there: false,
                    is_anew: false,
                    key: before,
                    first: before,
                    later: Vec::new(),
                },
            ),
        }
        true
    }

    /// `key_row` has the key's cells when `after` does not.
    fn update(
        &mut self,
        key: RowHash,
        after: Located,
        key_row: Option<Located>,
        may_miss: bool,
    ) -> bool {
        match self.find(key) {
            // It is known not to be there.
            Some(entry) if !entry.is_there => return may_miss,
            Some(entry) => entry.change(after),
            None => {
                let mut entry = Entry {
                    was: Was::met(may_miss),
                    is_there: true,
                    is_anew: false,
                    key: key_row.unwrap_or(after),
                    first: key_row.unwrap_or(after),
                    later: Vec::new(),
                };
                if key_row.is_some() {
                    entry.later.push(after);
                }
                self.add_entry(key, entry);
            }
        }
        true
    }

    /// A row that changes its key goes from one and comes to another.
    fn move_key(&mut self, old: RowHash, new: RowHash, before: Located, after: Located) -> bool {
        if self.find(new).is_some_and(|entry| entry.is_there) {
            return false;
        }
        let versions = match self.find(old) {
            Some(entry) if !entry.is_there => return false,
            _ if after.row.is_whole => Some((after, Vec::new())),
            Some(entry) if entry.first.row.is_whole => {
                let mut later = entry.later.clone();
                later.push(after);
                Some((entry.first, later))
            }
            _ if before.row.is_whole => Some((before, vec![after])),
            _ => None,
        };
        let Some((first, later)) = versions else {
            return false;
        };
        self.moves_rows = true;
        self.delete(old, before, false) && self.insert(new, first, later)
    }

    /// Whether net changes of a kind that meet no row may be made of changes that would have done otherwise: a row that goes and comes again is one that
    /// changes, and comes all the same where it was not there; one that changes its key is one that goes and one that comes, and does not come then.
    pub(super) fn does_otherwise(&self, missing: NetKind) -> bool {
        match missing {
            NetKind::Update => {
                let mut entries = self.entries.iter();
                entries.any(|entry| entry.is_anew && entry.takes(NetKind::Update))
            }
            NetKind::Delete => self.moves_rows,
            NetKind::Insert => false,
        }
    }

    /// How many rows of a kind may not be there, which is in order.
    pub(super) fn may_miss(&self, kind: NetKind) -> u64 {
        let entries = self.entries.iter();
        entries
            .filter(|entry| entry.was == Was::PerhapsThere && entry.takes(kind))
            .count() as u64
    }

    /// The net changes of one kind.
    pub(super) fn rows<'a>(
        &'a self,
        batch: &'a Batch,
        key: &'a [usize],
        kind: NetKind,
    ) -> NetRows<'a> {
        let wanted = |entry: &&Entry| entry.takes(kind);
        NetRows {
            entries: self.entries.iter().filter(wanted).collect(),
            kind,
            key,
            blocks: &batch.blocks,
        }
    }
}

/// What is to be done for a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NetKind {
    Delete,
    Update,
    Insert,
}

impl Entry {
    fn inserted(first: Located, later: Vec<Located>) -> Self {
        Self {
            was: Was::Absent,
            is_there: true,
            is_anew: true,
            key: first,
            first,
            later,
        }
    }

    fn change(&mut self, after: Located) {
        if after.row.is_whole {
            self.first = after;
            self.later.clear();
        } else {
            self.later.push(after);
        }
    }

    /// Whether a row of this kind is made of it.
    fn takes(&self, kind: NetKind) -> bool {
        let was_there = self.was != Was::Absent;
        // An update would not find the row, or find another one.
        let is_replaced = self.was == Was::PerhapsThere && self.is_there && self.is_anew;
        match kind {
            NetKind::Delete => was_there && (!self.is_there || is_replaced),
            NetKind::Update => was_there && self.is_there && !is_replaced,
            NetKind::Insert => self.is_there && (!was_there || is_replaced),
        }
    }
}

/// Rows of one kind of net change.
pub(super) struct NetRows<'a> {
    entries: Vec<&'a Entry>,
    kind: NetKind,
    /// Of its table.
    key: &'a [usize],
    blocks: &'a [Arc<dyn ChangeRows>],
}

impl RowSet for NetRows<'_> {
    fn row_count(&self) -> usize {
        self.entries.len()
    }

    fn visit(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.visit_behind(0, visit)
    }

    fn visit_behind(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        for entry in self.entries.iter().skip(skipped) {
            match (self.kind, entry.later.split_last()) {
                (NetKind::Delete, _) => {
                    let Located { block, row } = entry.key;
                    self.blocks[block as usize].decode_old(row, self.key, visit)?;
                }
                (_, None) => self.decode(entry.first, visit)?,
                (_, Some((last, between))) => {
                    self.decode(*last, &mut |cells| {
                        self.merge(cells, entry.first, between, visit)
                    })?;
                }
            }
        }
        Ok(())
    }
}

impl NetRows<'_> {
    fn decode(&self, at: Located, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.blocks[at.block as usize].decode(at.row, visit)
    }

    /// Fills the cells that were not sent from the versions before, the latest first.
    fn merge(
        &self,
        cells: &[Value<'_>],
        first: Located,
        between: &[Located],
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let (earlier, rest) = match between.split_last() {
            Some((last, rest)) => (*last, Some(rest)),
            None => (first, None),
        };
        self.decode(earlier, &mut |older| {
            let merged: Vec<Value<'_>> = cells
                .iter()
                .zip(older)
                .map(|(cell, old)| match cell {
                    Value::NotSent => *old,
                    sent => *sent,
                })
                .collect();
            match rest {
                Some(rest) => self.merge(&merged, first, rest, visit),
                None => visit(&merged),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How the changes lie in steps, by their number in each.
    fn steps(changes: &[(bool, bool)]) -> Vec<usize> {
        let row = RowAt {
            shape: 0,
            offset: 0,
            is_whole: true,
        };
        let mut steps = TableSteps {
            table: 0,
            steps: Vec::new(),
        };
        for &(is_insert, may_miss) in changes {
            let kind = if is_insert {
                SingleKind::Insert { after: row }
            } else {
                SingleKind::Delete { before: row }
            };
            let change = Change {
                table: 0,
                block: 0,
                kind,
                may_miss,
            };
            steps.net_of(&change).changes.push(0);
        }
        let counts = steps.steps.iter().map(|step| match step {
            Step::Net(net) => net.changes.len(),
            Step::InOrder(changes) => changes.len(),
        });
        counts.collect()
    }

    #[test]
    fn a_row_that_has_to_be_there_is_not_counted_with_those_that_need_not() {
        let (comes, goes, goes_perhaps) = ((true, false), (false, false), (false, true));
        assert_eq!(steps(&[comes, goes, comes, goes]), [4]);
        assert_eq!(
            steps(&[goes_perhaps, comes, goes_perhaps, goes, goes, comes]),
            [3, 3]
        );
        assert_eq!(steps(&[goes, goes_perhaps, goes]), [1, 1, 1]);
    }
}
