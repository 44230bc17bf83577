//! Rows among the events, and the tables that they are of.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{Error, LogEvent, RowAt, TableId};
use whimbrel_core::TableName;

use super::super::block::Builder;
use super::super::defaults::Defaults;
use super::super::event::{RowsForm, RowsKind};
use super::super::feed::{Event, bad};
use super::super::inflate::event_part;
use super::super::layout::{Form, Image, Layout};
use super::super::place::Place;
use super::super::table_map::{TableMap, table_id};
use super::maps::Mapped;
use super::{Assembler, NO_TABLE, Need, malformed, number};
use crate::wire::{Malformed, Reader};

impl Assembler {
    /// Says which table a number stands for.
    pub(super) fn table_map(&mut self, body: &[u8]) -> Result<Need, Error> {
        let map = TableMap::parse(body).map_err(malformed)?;
        if self.maps.says(map.id, body) {
            return Ok(Need::Nothing);
        }
        let target = match self.find_logged(&map) {
            None => None,
            Some(index) => {
                let table = &self.captured[index].table;
                let columns = map.columns(self.engine).map_err(malformed)?;
                match Layout::new(table, &columns, self.engine, &self.charsets) {
                    Ok(layout) => Some((number(index), Arc::new(layout))),
                    Err(what) => {
                        self.disagree(index, &what)?;
                        None
                    }
                }
            }
        };
        let mapped = Mapped {
            body: body.to_vec(),
            target,
            images: Vec::new(),
        };
        self.maps.insert(map.id, mapped);
        Ok(Need::Nothing)
    }

    fn find_logged(&self, map: &TableMap<'_>) -> Option<usize> {
        let schema = std::str::from_utf8(map.schema).ok()?;
        // Most tables of a server may be in databases that nobody asked for.
        if !self.folds_case && !self.schemas.contains(schema) {
            return None;
        }
        self.find(&TableName::new(
            schema,
            std::str::from_utf8(map.table).ok()?,
        ))
    }

    /// Rows of another shape than that of the table: nothing is guessed.
    fn disagree(&mut self, index: usize, what: &str) -> Result<(), Error> {
        let Place { file, offset, .. } = &self.place;
        let why = format!(
            "the binary log at {}:{offset} holds {what}: the table was another one then, and what it was is not known (binlog_row_metadata = FULL at the source makes the log tell more)",
            file.name
        );
        self.begin()?;
        let table = number(index);
        self.builder.events.push(LogEvent::Rewritten { table, why });
        Ok(())
    }

    /// An event with rows.
    pub(super) fn rows(&mut self, form: RowsForm, event: &Event) -> Result<Need, Error> {
        let body = event.body();
        let mut reader = Reader::new(body);
        let (id, ends_statement) = head(&mut reader, form).map_err(malformed)?;
        let Some(mapped) = self.maps.of_rows(id, ends_statement) else {
            if id == NO_TABLE {
                return Ok(Need::Nothing);
            }
            return Err(bad("rows of a table that it does not name before"));
        };
        let Some((table, layout)) = mapped.target.clone() else {
            return Ok(Need::Nothing);
        };
        let transaction = self.transaction.as_mut();
        let transaction = transaction.ok_or_else(|| bad("rows outside of a transaction"))?;
        let order = transaction.row_events;
        transaction.row_events += 1;
        if transaction.is_prepared || transaction.voids.iter().any(|void| void.contains(&order)) {
            return Ok(Need::Nothing);
        }
        let count = reader.length().map_err(malformed)?.unwrap_or(0);
        if count != layout.column_count() {
            return Err(bad("rows of another count of columns than their table"));
        }
        let bits = count.div_ceil(8);
        let first = mapped.image(&layout, reader.bytes(bits).map_err(malformed)?);
        let second = match form.kind {
            RowsKind::Update | RowsKind::PartialUpdate => {
                Some(mapped.image(&layout, reader.bytes(bits).map_err(malformed)?))
            }
            RowsKind::Write | RowsKind::Delete => None,
        };
        let mut defaults = None;
        if form.kind == RowsKind::Write && !first.is_whole {
            defaults.clone_from(&self.captured[table.0 as usize].defaults);
            let Some(defaults) = &defaults else {
                transaction.row_events -= 1;
                return Ok(Need::Defaults(layout.table.name.clone()));
            };
            check_defaults(&first, defaults)?;
        }
        let (buffer, start, end) = if form.is_compressed {
            let mut plain = Vec::new();
            event_part(reader.rest(), &mut plain)
                .ok_or_else(|| bad("compressed rows that cannot be read"))?;
            let end = plain.len();
            (Bytes::from(plain), 0, end)
        } else {
            (
                event.buffer.clone(),
                event.end - reader.rest().len(),
                event.end,
            )
        };
        self.tell(table.0 as usize);
        self.begin()?;
        let rows = Rows {
            kind: form.kind,
            table,
            first,
            second,
            defaults,
            buffer,
        };
        let put = rows.put(&mut self.builder, start, end);
        put.map(|()| Need::Nothing).ok_or_else(|| {
            bad(&format!(
                "rows of table {} that end too early",
                layout.table.name
            ))
        })
    }
}

/// Checks that the cells that a new row lacks are known.
fn check_defaults(image: &Image, defaults: &Defaults) -> Result<(), Error> {
    let Some(column) = image.unknown(defaults) else {
        return Ok(());
    };
    Err(Error::table(
        &image.layout.table.name,
        format!(
            "a statement left column {column} of a new row to its default, which the log does not hold and the catalog does not tell; set binlog_row_image = FULL at the source, and load the table again"
        ),
    ))
}

/// The table's number, and whether the statement ends with these rows.
fn head(reader: &mut Reader<'_>, form: RowsForm) -> Result<(u64, bool), Malformed> {
    const STATEMENT_ENDS: u16 = 1;
    let id = table_id(reader)?;
    let flags = reader.u16()?;
    if form.has_extra {
        // The length counts itself.
        let extra = usize::from(reader.u16()?).checked_sub(2);
        reader.bytes(extra.ok_or(Malformed)?)?;
    }
    Ok((id, flags & STATEMENT_ENDS != 0))
}

impl Mapped {
    fn image(&mut self, layout: &Arc<Layout>, bits: &[u8]) -> Arc<Image> {
        if let Some(known) = self.images.iter().find(|image| image.bits == bits) {
            return Arc::clone(known);
        }
        let image = Arc::new(Image::new(layout, bits));
        self.images.push(Arc::clone(&image));
        image
    }
}

/// The rows of one event.
struct Rows {
    kind: RowsKind,
    table: TableId,
    first: Arc<Image>,
    second: Option<Arc<Image>>,
    /// Of the cells that new rows lack.
    defaults: Option<Arc<Defaults>>,
    buffer: Bytes,
}

impl Rows {
    /// Adds an event for each row. `None` when they end too early.
    fn put(&self, builder: &mut Builder, start: usize, end: usize) -> Option<()> {
        let table = self.table;
        let first = Arc::clone(&self.first);
        let form = match &self.defaults {
            Some(defaults) => Form::Defaulted(first, Arc::clone(defaults)),
            None => Form::Plain(first),
        };
        let shape = builder.shape(&self.buffer, form);
        let is_partial = self.kind == RowsKind::PartialUpdate;
        let second = self.second.as_ref().map(|second| {
            let form = if is_partial {
                Form::Partial {
                    before: Arc::clone(&self.first),
                    after: Arc::clone(second),
                }
            } else {
                Form::Plain(Arc::clone(second))
            };
            (second, builder.shape(&self.buffer, form))
        });
        let at = |shape, offset: usize, image: &Image| {
            Some(RowAt {
                shape,
                offset: u32::try_from(offset).ok()?,
                is_whole: image.is_whole,
            })
        };
        let mut offset = start;
        while offset < end {
            let mut row = at(shape, offset, &self.first)?;
            row.is_whole |= self.defaults.is_some();
            let first_offset = offset;
            offset += self.first.extent(self.buffer.get(offset..end)?)?;
            let event = match (&second, self.kind) {
                (Some((image, shape)), _) => {
                    let rest = self.buffer.get(offset..end)?;
                    let (from, bytes) = if is_partial {
                        (first_offset, image.partial_extent(rest)?)
                    } else {
                        (offset, image.extent(rest)?)
                    };
                    offset += bytes;
                    LogEvent::Update {
                        table,
                        before: Some(row),
                        after: at(*shape, from, image)?,
                    }
                }
                (None, RowsKind::Write) => LogEvent::Insert { table, after: row },
                (None, _) => LogEvent::Delete { table, before: row },
            };
            builder.events.push(event);
            if offset == first_offset {
                // Rows without cells and bits would never end.
                return None;
            }
        }
        Some(())
    }
}
