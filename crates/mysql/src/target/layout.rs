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
    pub(super) key: Vec<usize>,
    /// The statement that takes the rows.
    pub(super) load: String,
    /// The types of the columns, in SQL.
    pub(super) natives: Vec<String>,
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
            .map_err(|error| of_table(error, source, "look at the columns of the target table"))?;
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
        let mut natives = Vec::with_capacity(table.columns.len());
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
            natives.push(found.ty.native());
        }
        Ok(Self {
            source: source.clone(),
            target: table.name.clone(),
            load: load_statement(&quote::table(&table.name), &slots),
            slots,
            key: table.primary_key.clone(),
            natives,
        })
    }

    /// The layout of another table that has some of these columns, with the same names.
    pub(super) fn narrowed(&self, target: TableName, columns: &[usize]) -> Self {
        let pick = |index: &usize| self.slots.get(*index).cloned();
        let slots: Vec<Slot> = columns.iter().filter_map(pick).collect();
        let place = |key: &usize| columns.iter().position(|column| column == key);
        Self {
            source: self.source.clone(),
            load: load_statement(&quote::table(&target), &slots),
            target,
            slots,
            key: self.key.iter().filter_map(place).collect(),
            natives: columns
                .iter()
                .filter_map(|&index| self.natives.get(index).cloned())
                .collect(),
        }
    }

    /// Appends a row as LOAD DATA reads it.
    pub(super) fn encode(&self, values: &[Value<'_>], out: &mut Vec<u8>) -> Result<(), Error> {
        self.check_width(values)?;
        for (index, (value, slot)) in values.iter().zip(&self.slots).enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            if let Err(why) = encode_cell(value, slot, out) {
                return Err(self.refuse(values, value, slot, why));
            }
        }
        out.push(b'\n');
        Ok(())
    }

    /// Appends some of a row's cells as LOAD DATA reads them, as a row of their own.
    pub(super) fn encode_some(
        &self,
        values: &[Value<'_>],
        columns: &[usize],
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        self.check_width(values)?;
        for (place, &column) in columns.iter().enumerate() {
            if place > 0 {
                out.push(b'\t');
            }
            self.encode_at(values, column, out)?;
        }
        out.push(b'\n');
        Ok(())
    }

    /// Appends one cell of a row, whose width was checked, as LOAD DATA reads it.
    pub(super) fn encode_at(
        &self,
        values: &[Value<'_>],
        column: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let (value, slot) = (&values[column], &self.slots[column]);
        encode_cell(value, slot, out).map_err(|why| self.refuse(values, value, slot, why))
    }

    /// Checks that there is a cell for each column.
    pub(super) fn check_width(&self, values: &[Value<'_>]) -> Result<(), Error> {
        if values.len() == self.slots.len() {
            return Ok(());
        }
        Err(Error::Fatal(format!(
            "a row of {} cells for {} columns of table {}",
            values.len(),
            self.slots.len(),
            self.source
        )))
    }

    #[cold]
    pub(super) fn refuse(
        &self,
        values: &[Value<'_>],
        value: &Value<'_>,
        slot: &Slot,
        why: &str,
    ) -> Error {
        let mut refusal = RowRefusal::value(&self.source, &slot.name, value.kind(), why);
        refusal.key = self.key_of(values);
        refusal.into()
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
