//! The stage between source and target in which rows get another shape, for users who ask for it.
//!
//! ```text
//!  Table ──► Shaping::of ──► Shaped: the table as the target is to have it, and what becomes of each cell
//!                              │
//!  rows of the load, of the log and of comparisons ──► the same rows in that shape
//! ```
//!
//! What a load, the log and a comparison give of a row passes here alike, so that changes meet the rows that were loaded. What is kept of a
//! table at the target stays the source's own description: its shape follows from that and from the rules, at any place of the log.
//! Tables without anything to shape pass by untouched.

mod cell;
mod rows;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;
use whimbrel_connector::{Error, KeyPolicy, RowVisitor, Target, TargetTable};
use whimbrel_core::{Column, ColumnType, Engine, Table, TableName, Value};

use cell::CellShape;
pub(crate) use rows::{ShapedBlock, ShapedRows};

/// Digits of the numbers to which the service rounds those of any length, in all and behind the point.
const ROUNDED_DIGITS: u32 = 28;
const ROUNDED_SCALE: i32 = 6;

/// What a user wants to be different at the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// Long texts and byte strings are cut to so many bytes.
    pub lob_bytes_max: Option<usize>,
    /// A value that would be cut is an error of its table instead.
    pub fails_on_cut: bool,
    /// Booleans of PostgreSQL arrive as the texts `true` and `false`.
    pub booleans_as_text: bool,
    /// What becomes of numbers of PostgreSQL that may have any length.
    pub unbounded_numbers: UnboundedNumbers,
}

/// What becomes of numbers of any length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnboundedNumbers {
    /// They arrive as they are.
    #[default]
    Exact,
    /// As text with all their digits.
    AsText,
    /// Rounded to `numeric(28,6)`, as the service does.
    Rounded,
}

/// A table in another shape.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// As the target is to have it.
    table: Table,
    /// For each loaded column.
    cells: Vec<CellShape>,
    fails_on_cut: bool,
    /// Values that lost something, so far.
    lossy_count: AtomicU64,
}

impl Shaping {
    /// The table in its shape at the target; `None` when it stays as it is.
    pub(crate) fn of(&self, table: &Table) -> Option<Arc<Shaped>> {
        let mut shaped = table.clone();
        shaped.notes.retain(|note| !is_of_shape(note));
        let mut cells = Vec::new();
        for (place, column) in shaped.columns.iter_mut().enumerate() {
            if column.is_loaded() {
                let is_key = table.primary_key.contains(&place);
                cells.push(self.column(column, table.engine, is_key));
            }
        }
        let is_shaped = cells.iter().any(|cell| *cell != CellShape::Keep);
        is_shaped.then(|| {
            Arc::new(Shaped {
                table: shaped,
                cells,
                fails_on_cut: self.fails_on_cut,
                lossy_count: AtomicU64::new(0),
            })
        })
    }

    /// Gives a column its new type, and answers what becomes of its cells.
    fn column(&self, column: &mut Column, engine: Engine, is_key: bool) -> CellShape {
        if let Some((cell, ty, native)) = self.retyped(&column.ty, engine) {
            if is_key && matches!(cell, CellShape::Rounded { .. }) {
                // Two keys could become one.
                return CellShape::Keep;
            }
            column.ty = ty;
            column.native = native;
            return cell;
        }
        match self.lob_bytes_max {
            // A part of a key tells no rows apart.
            Some(bytes_max) if !is_key && is_lob(&column.ty) => CellShape::Cut { bytes_max },
            _ => CellShape::Keep,
        }
    }

    /// What becomes of a type that rules change.
    fn retyped(&self, ty: &ColumnType, engine: Engine) -> Option<(CellShape, ColumnType, String)> {
        let is_boolean = *ty == ColumnType::Bool;
        let is_unbounded = matches!(
            ty,
            ColumnType::Decimal {
                precision: None,
                ..
            }
        );
        if engine != Engine::Postgres {
            None
        } else if is_boolean && self.booleans_as_text {
            let ty = ColumnType::Varchar { length: Some(5) };
            Some((
                CellShape::BooleanText,
                ty,
                "character varying(5)".to_owned(),
            ))
        } else if is_unbounded && self.unbounded_numbers == UnboundedNumbers::AsText {
            let ty = ColumnType::Text { bytes_max: None };
            Some((CellShape::NumberText, ty, "text".to_owned()))
        } else if is_unbounded && self.unbounded_numbers == UnboundedNumbers::Rounded {
            let ty = ColumnType::Decimal {
                precision: Some((ROUNDED_DIGITS, ROUNDED_SCALE)),
                unsigned: false,
            };
            let cell = CellShape::Rounded {
                scale: ROUNDED_SCALE.unsigned_abs() as usize,
            };
            let native = format!("numeric({ROUNDED_DIGITS},{ROUNDED_SCALE})");
            Some((cell, ty, native))
        } else {
            None
        }
    }

    /// The source's own description, with notes of the shape that its rows get: so a record at the target tells how they were loaded.
    pub(crate) fn described(&self, table: &Table) -> Table {
        let mut described = table.clone();
        described.notes.retain(|note| !is_of_shape(note));
        if let Some(shaped) = self.of(table) {
            described.notes.extend(shaped.notes());
        }
        described
    }

    /// Whether a table that was described under some rules has the same shape under these.
    pub(crate) fn is_that_of(&self, described: &Table) -> bool {
        self.described(described).notes == described.notes
    }

    /// Plans the target's table. What is kept of the source in it is its own description.
    pub(crate) fn plan(
        &self,
        target: &dyn Target,
        table: &Table,
        name: TableName,
        keys: KeyPolicy,
    ) -> Result<TargetTable, Error> {
        let Some(shaped) = self.of(table) else {
            return target.plan_table(table, name, keys);
        };
        let mut planned = target.plan_table(&shaped.table, name, keys)?;
        planned.source = self.described(table);
        planned.notes.extend(shaped.notes());
        Ok(planned)
    }
}

/// How notes of a shape begin.
const BY_SETTINGS: &str = "by the settings,";

fn is_of_shape(note: &str) -> bool {
    note.starts_with(BY_SETTINGS)
}

/// Types without a length to speak of: what the service takes for large objects. Documents are none here, because a part of one is no
/// document.
fn is_lob(ty: &ColumnType) -> bool {
    const TEXT_BYTES: u64 = 65_535;
    match ty {
        ColumnType::Text { bytes_max } | ColumnType::Blob { bytes_max } => {
            bytes_max.is_none_or(|bytes| bytes > TEXT_BYTES)
        }
        ColumnType::Native { kind } => kind == "citext",
        _ => false,
    }
}

impl Shaped {
    /// The types of the loaded columns at the target.
    pub(crate) fn types(&self) -> impl Iterator<Item = &ColumnType> {
        self.table.loaded_columns().map(|column| &column.ty)
    }

    /// As the target is to have it.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    fn notes(&self) -> impl Iterator<Item = String> {
        let columns = self.table.loaded_columns().zip(&self.cells);
        columns.filter_map(|(column, cell)| {
            let becomes = cell.note()?;
            Some(format!("{BY_SETTINGS} column {}: {becomes}", column.name))
        })
    }

    /// Hands a row on in its shape.
    pub(crate) fn row(
        &self,
        row: &[Value<'_>],
        scratch: &mut String,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        scratch.clear();
        // Texts that are made first, since values only borrow them.
        let mut made = Vec::new();
        for (value, cell) in row.iter().zip(&self.cells) {
            if let Value::Decimal(number) = value
                && let Some(is_rounded) = cell.write(number, scratch)
            {
                made.push(scratch.len());
                self.count(is_rounded);
            }
        }
        let (mut begin, mut ends) = (0, made.into_iter());
        let mut shaped = Vec::with_capacity(row.len());
        for (place, (value, cell)) in row.iter().zip(&self.cells).enumerate() {
            let text = match value {
                Value::Decimal(_) if cell.makes_text() => ends.next().map(|end| {
                    let text = &scratch[begin..end];
                    begin = end;
                    text
                }),
                _ => None,
            };
            let (value, is_cut) = cell.value(value, text)?;
            if is_cut && self.fails_on_cut {
                return Err(self.refused(place));
            }
            self.count(is_cut);
            shaped.push(value);
        }
        visit(&shaped)
    }

    fn refused(&self, place: usize) -> Error {
        let column = self.table.loaded_columns().nth(place);
        let column = column.map_or("", |column| column.name.as_str());
        Error::Fatal(format!(
            "table {}: column {column} has a value longer than LobMaxSize, and FailTasksOnLobTruncation is set; give a larger LobMaxSize, and load the tables again",
            self.table.name
        ))
    }

    /// Tells of values that lose something, not of each.
    fn count(&self, is_lossy: bool) {
        if !is_lossy {
            return;
        }
        let count = self.lossy_count.fetch_add(1, Ordering::Relaxed) + 1;
        let is_power_of_ten = 10_u64.pow(count.ilog10()) == count;
        if is_power_of_ten {
            warn!(table = %self.table.name, count, "values were cut or rounded, as the settings LobMaxSize and MapUnboundedNumericAsString say");
        }
    }
}

#[cfg(test)]
mod tests;
