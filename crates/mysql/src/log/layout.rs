//! How the rows of a table lie in the log, and rows of a block.
//!
//! A row of the log names nothing: it is bits for the cells that are NULL, then cells. Which columns it has, the event says
//! that it came in; what their cells mean, a [`Layout`] made of the event's TABLE_MAP and of the catalog, which must agree.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{ChangeRows, Error, RowAt, RowRefusal, RowVisitor};
use whimbrel_core::{Engine, Table, Value};

use super::charset::Charsets;
use super::codec::Codec;
use super::defaults::Defaults;
use super::json_diff;
use super::table_map::LoggedColumn;
use crate::wire::Reader;

/// How the rows of a table lie in the log.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) table: Arc<Table>,
    columns: Vec<LayoutColumn>,
    loaded_count: usize,
    json_count: usize,
}

#[derive(Debug)]
struct LayoutColumn {
    codec: Codec,
    /// Index within a row of loaded columns; `None` for columns that are not loaded.
    slot: Option<usize>,
    name: String,
}

impl Layout {
    /// Brings the columns of the log and of the catalog together: by name when the log has names, else by order.
    ///
    /// # Errors
    /// Where the two disagree.
    pub(super) fn new(
        table: &Arc<Table>,
        now: &[LoggedColumn],
        engine: Engine,
        charsets: &Charsets,
    ) -> Result<Self, String> {
        if now.len() != table.columns.len() {
            return Err(format!(
                "{} columns where the catalog has {}",
                now.len(),
                table.columns.len()
            ));
        }
        let mut slots = Vec::with_capacity(table.columns.len());
        let mut loaded_count = 0;
        for column in &table.columns {
            slots.push(column.is_loaded().then_some(loaded_count));
            loaded_count += usize::from(column.is_loaded());
        }
        let mut columns = Vec::with_capacity(now.len());
        for (order, logged) in now.iter().enumerate() {
            let index = match &logged.name {
                Some(name) => table
                    .columns
                    .iter()
                    .position(|column| column.name == *name)
                    .ok_or_else(|| format!("a column {name} that the catalog does not have"))?,
                None => order,
            };
            let column = &table.columns[index];
            let codec = Codec::new(column, logged, engine, charsets)
                .map_err(|what| format!("column {}: {what}", column.name))?;
            columns.push(LayoutColumn {
                codec,
                slot: slots[index],
                name: column.name.clone(),
            });
        }
        let json_count = columns
            .iter()
            .filter(|column| matches!(column.codec, Codec::Jsonb(_)))
            .count();
        Ok(Self {
            table: Arc::clone(table),
            columns,
            loaded_count,
            json_count,
        })
    }

    pub(super) fn column_count(&self) -> usize {
        self.columns.len()
    }
}

/// The rows of a layout that have the same columns.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) layout: Arc<Layout>,
    /// The event's own bits for the columns that are there.
    pub(super) bits: Vec<u8>,
    /// Indexes of those columns.
    present: Vec<usize>,
    /// Whether every loaded column is there.
    pub(super) is_whole: bool,
    may_make: bool,
}

thread_local! {
    /// Values that cannot be borrowed are written here; kept from row to row, so that a row costs no allocation for them.
    static MADE: RefCell<(Vec<u8>, Vec<usize>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}
/// What the buffer for made values may keep between rows.
const MADE_BYTES_KEPT: usize = 1 << 20;

/// Where cells come from that are not in the row itself.
enum Rest<'a> {
    None,
    Defaults(&'a Defaults),
    Old(Partial<'a>),
}

impl<'a> Rest<'a> {
    fn old_document(&self, layout: &Layout, index: usize) -> Option<Result<&'a [u8], Bad>> {
        match self {
            Self::Old(partial) => partial.old_document(layout, index),
            Self::None | Self::Defaults(_) => None,
        }
    }
}

/// Marks the cells of the row that are differences to an old document.
struct Partial<'a> {
    bits: &'a [u8],
    /// The old row.
    before: (&'a Image, &'a [u8]),
}

impl Image {
    /// `bits` has one bit for each column, those past the last ignored.
    pub(super) fn new(layout: &Arc<Layout>, bits: &[u8]) -> Self {
        let is_present = |index: &usize| {
            bits.get(index / 8)
                .is_some_and(|byte| byte & 1 << (index % 8) != 0)
        };
        let present: Vec<usize> = (0..layout.columns.len()).filter(is_present).collect();
        let columns = || present.iter().map(|&index| &layout.columns[index]);
        let loaded = columns().filter(|column| column.slot.is_some()).count();
        let may_make = columns().any(|column| column.slot.is_some() && column.codec.may_make());
        Self {
            layout: Arc::clone(layout),
            bits: bits.to_vec(),
            is_whole: loaded == layout.loaded_count,
            may_make,
            present,
        }
    }

    /// The first loaded column that is not there and whose default is not known.
    pub(super) fn unknown(&self, defaults: &Defaults) -> Option<&str> {
        let columns = self.layout.columns.iter().enumerate();
        let missing = columns.filter(|(index, _)| !self.present.contains(index));
        let mut unknown = missing.filter_map(|(_, column)| {
            let slot = column.slot?;
            (!defaults.is_known(slot)).then_some(column.name.as_str())
        });
        unknown.next()
    }

    /// Bytes of the row at the front, if it is whole.
    pub(super) fn extent(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.present.len().div_ceil(8);
        let nulls = bytes.get(..at)?;
        for (bit, &index) in self.present.iter().enumerate() {
            if !is_set(nulls, bit) {
                at += self.layout.columns[index].codec.extent(bytes.get(at..)?)?;
            }
        }
        Some(at)
    }

    /// Bytes of the head and the row of a partial update at the front, if they are whole.
    pub(super) fn partial_extent(&self, bytes: &[u8]) -> Option<usize> {
        let (_, row) = self.partial_head(bytes)?;
        Some(bytes.len() - row.len() + self.extent(row)?)
    }

    /// The bits for partial documents, if there are any, and the row behind them.
    fn partial_head<'a>(&self, bytes: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
        const HOLDS_PARTIAL_JSON: usize = 1;
        let mut reader = Reader::new(bytes);
        let options = reader.length().ok()??;
        if options & !HOLDS_PARTIAL_JSON != 0 {
            return None;
        }
        let count = if options == 0 {
            0
        } else {
            self.layout.json_count.div_ceil(8)
        };
        let bits = reader.bytes(count).ok()?;
        Some((bits, reader.rest()))
    }

    /// Calls `each` with the layout's index and the content of every present cell that is loaded; NULL has no content.
    #[inline]
    fn cells<'a>(
        &self,
        row: &'a [u8],
        mut each: impl FnMut(usize, Option<&'a [u8]>) -> Result<(), Bad>,
    ) -> Result<(), Bad> {
        const CUT: Bad = Bad {
            column: 0,
            what: "a row that ends too early",
        };
        let mut at = self.present.len().div_ceil(8);
        let nulls = row.get(..at).ok_or(CUT)?;
        for (bit, &index) in self.present.iter().enumerate() {
            let column = &self.layout.columns[index];
            let content = if is_set(nulls, bit) {
                None
            } else {
                let rest = row.get(at..).ok_or(CUT)?;
                let extent = column.codec.extent(rest).ok_or(CUT)?;
                at += extent;
                Some(column.codec.content(&rest[..extent]))
            };
            if column.slot.is_some() {
                each(index, content)?;
            }
        }
        Ok(())
    }

    /// Decodes the row at the front of `bytes`. `key`: the cells that are needed, if not all are.
    fn decode(
        &self,
        row: &[u8],
        (rest, key): (&Rest<'_>, Option<&[usize]>),
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let (mut made, mut ends) = MADE.take();
        made.clear();
        ends.clear();
        let result = self.decode_with(row, (rest, key), (&mut made, &mut ends), visit);
        made.clear();
        made.shrink_to(MADE_BYTES_KEPT);
        MADE.set((made, ends));
        result
    }

    fn decode_with(
        &self,
        row: &[u8],
        (rest, key): (&Rest<'_>, Option<&[usize]>),
        (made, ends): (&mut Vec<u8>, &mut Vec<usize>),
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let columns = &self.layout.columns;
        let refuse = |bad: Bad| self.refusal(bad, row);
        let is_needed = |index: usize| {
            let slot = columns[index].slot;
            key.is_none_or(|key| slot.is_some_and(|slot| key.contains(&slot)))
        };
        let mut lacking = Vec::new();
        // Values are written out first, because none can be borrowed while others are still added.
        if self.may_make {
            self.cells(row, |index, content| {
                if let Some(content) = content {
                    let codec = &columns[index].codec;
                    let begun = made.len();
                    let written = match rest.old_document(&self.layout, index) {
                        Some(old) => json_diff::write_changed(old?, content, made).map_err(
                            |_| "differences of a document in JSON that cannot be applied",
                        ),
                        None => codec.make(content, made),
                    };
                    match written {
                        Err(_) if !is_needed(index) => {
                            made.truncate(begun);
                            lacking.push(index);
                        }
                        written => written.map_err(|what| Bad {
                            column: index,
                            what,
                        })?,
                    }
                }
                ends.push(made.len());
                Ok(())
            })
            .map_err(refuse)?;
        }
        let mut values = vec![Value::NotSent; self.layout.loaded_count];
        let mut start = 0;
        let mut ends = ends.iter();
        self.cells(row, |index, content| {
            let LayoutColumn { codec, slot, .. } = &columns[index];
            let end = ends.next().copied().unwrap_or(start);
            let written = &made[start..end];
            start = end;
            let value = match content {
                None => Value::Null,
                Some(_) if lacking.contains(&index) => Value::NotSent,
                Some(content) => match codec.value(content, written) {
                    Err(_) if !is_needed(index) => Value::NotSent,
                    value => value.map_err(|what| Bad {
                        column: index,
                        what,
                    })?,
                },
            };
            if let Some(value_at) = slot.and_then(|slot| values.get_mut(slot)) {
                *value_at = value;
            }
            Ok(())
        })
        .map_err(refuse)?;
        if let Rest::Defaults(defaults) = rest {
            defaults.fill(&mut values);
        }
        visit(&values)
    }

    fn refusal(&self, bad: Bad, row: &[u8]) -> Error {
        let column = self.layout.columns.get(bad.column);
        let column = column.map(|column| column.name.clone());
        let reason = format!("the source's log holds {}", bad.what);
        let mut made = Vec::new();
        let cells = self.readable(row, &mut made);
        RowRefusal::unreadable(&self.layout.table, &cells, column, reason).into()
    }

    /// The cells of a row, of which some cannot be read: they are `NotSent`.
    fn readable<'a>(&'a self, row: &'a [u8], made: &'a mut Vec<Vec<u8>>) -> Vec<Value<'a>> {
        let columns = &self.layout.columns;
        let mut contents = Vec::new();
        let read = self.cells(row, |index, content| {
            let mut written = Vec::new();
            let is_made = content
                .is_none_or(|content| columns[index].codec.make(content, &mut written).is_ok());
            made.push(written);
            contents.push((index, content, is_made));
            Ok(())
        });
        let mut values = vec![Value::NotSent; self.layout.loaded_count];
        if read.is_err() {
            return values;
        }
        for ((index, content, is_made), written) in contents.into_iter().zip(made.iter()) {
            let LayoutColumn { codec, slot, .. } = &columns[index];
            let value = match content {
                None => Some(Value::Null),
                Some(content) if is_made => codec.value(content, written).ok(),
                Some(_) => None,
            };
            let slot = slot.and_then(|slot| values.get_mut(slot));
            if let (Some(value), Some(slot)) = (value, slot) {
                *slot = value;
            }
        }
        values
    }
}

/// A cell that cannot be read.
#[derive(Clone, Copy, Debug)]
struct Bad {
    column: usize,
    what: &'static str,
}

impl<'a> Partial<'a> {
    /// The old document when the cell of a column is differences to it.
    fn old_document(&self, layout: &Layout, index: usize) -> Option<Result<&'a [u8], Bad>> {
        let is_json = |column: &&LayoutColumn| matches!(column.codec, Codec::Jsonb(_));
        let column = layout.columns.get(index).filter(is_json)?;
        let order = layout.columns[..index].iter().filter(is_json).count();
        if !is_set(self.bits, order) {
            return None;
        }
        let (image, row) = self.before;
        let mut old = None;
        let found = image.cells(row, |at, content| {
            if at == index {
                old = content;
            }
            Ok(())
        });
        debug_assert!(
            column.slot.is_some(),
            "documents are only computed for loaded columns"
        );
        Some(found.and_then(|()| {
            old.ok_or(Bad {
                column: index,
                what: "differences of a document in JSON without the document: set binlog_row_image = FULL there, or leave PARTIAL_JSON out of binlog_row_value_options, and load the table again",
            })
        }))
    }
}

#[inline]
fn is_set(bits: &[u8], index: usize) -> bool {
    bits.get(index / 8)
        .is_some_and(|byte| byte & 1 << (index % 8) != 0)
}

/// How the rows of a shape are decoded.
#[derive(Clone, Debug)]
pub(super) enum Form {
    Plain(Arc<Image>),
    /// A new row of which some cells have their defaults.
    Defaulted(Arc<Image>, Arc<Defaults>),
    /// The new row of a partial update; it is found behind the old one, at whose first byte the row begins.
    Partial {
        before: Arc<Image>,
        after: Arc<Image>,
    },
}

/// A shape of a block's rows.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Which of the block's buffers.
    pub(super) buffer: usize,
    pub(super) form: Form,
}

/// The rows of a block, in the log's own bytes.
#[derive(Debug, Default)]
pub(super) struct LogRows {
    pub(super) buffers: Vec<Bytes>,
    pub(super) shapes: Vec<Shape>,
}

impl ChangeRows for LogRows {
    fn byte_count(&self) -> usize {
        self.buffers.iter().map(Bytes::len).sum()
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.decode_needed(row, None, visit)
    }

    fn decode_old(
        &self,
        row: RowAt,
        key: &[usize],
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        self.decode_needed(row, Some(key).filter(|key| !key.is_empty()), visit)
    }
}

impl LogRows {
    fn decode_needed(
        &self,
        row: RowAt,
        key: Option<&[usize]>,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let lost =
            || Error::Fatal("cannot decode a row of the log: it is of another block".to_owned());
        let shape = self.shapes.get(row.shape as usize).ok_or_else(lost)?;
        let bytes = self
            .buffers
            .get(shape.buffer)
            .and_then(|buffer| buffer.get(row.offset as usize..))
            .ok_or_else(lost)?;
        match &shape.form {
            Form::Plain(image) => image.decode(bytes, (&Rest::None, key), visit),
            Form::Defaulted(image, defaults) => {
                image.decode(bytes, (&Rest::Defaults(defaults), None), visit)
            }
            Form::Partial { before, after } => {
                let cut = || {
                    Error::Fatal(
                        "cannot decode a partial update of the log: it ends too early".to_owned(),
                    )
                };
                let old = before.extent(bytes).ok_or_else(cut)?;
                let (bits, new) = after.partial_head(&bytes[old..]).ok_or_else(cut)?;
                let partial = Partial {
                    bits,
                    before: (before, bytes),
                };
                after.decode(new, (&Rest::Old(partial), None), visit)
            }
        }
    }
}
