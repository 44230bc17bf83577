//! The columns of a target table as they are, and how rows are written for them.

use whimbrel_connector::{Error, RowRefusal, TargetTable};
use whimbrel_core::{ColumnType, Generation, TableName, Value};

use crate::catalog;
use crate::errors::of_table;
use crate::quote;
use crate::types::{Slot, encode_cell, load_statement, unescape};
use crate::wire::Connection;

/// How rows of one table are written.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The table at the source, for messages.
    pub(super) source: TableName,
    /// The table at the target.
    pub(super) target: TableName,
    pub(super) slots: Vec<Slot>,
    /// The key's columns within a row.
    key: Vec<usize>,
    /// The statement that takes the rows.
    pub(super) load: String,
}

impl Layout {
    /// Looks at the table's columns.
    ///
    /// # Errors
    /// [`Error::Table`] when a column is missing or computed.
    pub(super) async fn read(
        connection: &mut Connection,
        table: &TargetTable,
    ) -> Result<Self, Error> {
        let source = &table.source.name;
        let columns = catalog::columns(connection, &table.name)
            .await
            .map_err(|error| {
                of_table(error, source, "look at the columns of the target table of")
            })?;
        let refuse = |what: String| {
            Error::table(
                source,
                format!("the table {} at the target {what}", table.name),
            )
        };
        if columns.is_empty() {
            return Err(refuse("is gone".to_owned()));
        }
        if table.columns.is_empty() {
            return Err(Error::table(
                source,
                "all columns are computed: there is nothing to load",
            ));
        }
        let mut slots = Vec::with_capacity(table.columns.len());
        for wanted in &table.columns {
            // The servers compare names of columns without regard to case.
            let name = wanted.name.to_lowercase();
            let found = columns
                .iter()
                .find(|column| column.name.to_lowercase() == name);
            let found = found.ok_or_else(|| {
                refuse(format!(
                    "has no column {}; add it, or let the table be dropped",
                    wanted.name
                ))
            })?;
            if found.generation == Generation::Computed {
                return Err(refuse(format!(
                    "computes column {} itself, so it cannot be loaded",
                    wanted.name
                )));
            }
            slots.push(Slot::new(found, &wanted.source_type, connection.engine()));
        }
        Ok(Self {
            source: source.clone(),
            target: table.name.clone(),
            load: load_statement(&quote::table(&table.name), &slots),
            slots,
            key: table.primary_key.clone(),
        })
    }

    /// Appends a row as LOAD DATA reads it.
    pub(super) fn encode(&self, values: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
        if values.len() != self.slots.len() {
            return Err(Error::Fatal(format!(
                "a row of {} cells for {} columns of table {}",
                values.len(),
                self.slots.len(),
                self.source
            )));
        }
        for (index, (value, slot)) in values.iter().zip(&self.slots).enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            if let Err(why) = encode_cell(value, slot, out) {
                let mut refusal = RowRefusal::value(&self.source, &slot.name, value.kind(), why);
                refusal.key = self.key_of(values);
                return Err(refusal.into());
            }
        }
        out.push(b'\n');
        Ok(())
    }

    fn key_of(&self, values: &[Value<'_>]) -> Option<String> {
        let mut text = Vec::new();
        for (place, &index) in self.key.iter().enumerate() {
            if place > 0 {
                text.extend_from_slice(b", ");
            }
            whimbrel_core::write_text(values.get(index)?, &mut text);
        }
        (!self.key.is_empty()).then(|| format!("({})", String::from_utf8_lossy(&text)))
    }

    /// The keys of the rows in encoded text, one after another, each as its cells.
    pub(super) fn keys_in<'t>(&'t self, text: &'t [u8]) -> impl Iterator<Item = Vec<String>> + 't {
        let lines = text
            .strip_suffix(b"\n")
            .unwrap_or(text)
            .split(|&byte| byte == b'\n');
        lines.map(|line| {
            let cells: Vec<&[u8]> = line.split(|&byte| byte == b'\t').collect();
            self.key
                .iter()
                .filter_map(|&i| Some(self.cell_text(i, cells.get(i)?)))
                .collect()
        })
    }

    fn cell_text(&self, index: usize, cell: &[u8]) -> String {
        let bytes = unescape(cell);
        let is_binary = self.slots.get(index).is_some_and(|slot| {
            matches!(
                slot.source_type,
                ColumnType::Binary { .. }
                    | ColumnType::Varbinary { .. }
                    | ColumnType::Blob { .. }
                    | ColumnType::Bit { .. }
            )
        });
        if is_binary {
            bytes
                .iter()
                .fold("\\x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        } else {
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}
