//! What a view can read at the target: tables of the migration, and views that were converted before it.

use std::collections::HashMap;

use whimbrel_core::TableName;

use super::class::{Class, Natives};
use crate::TargetTable;
use crate::expression::Dialect;
use crate::objects::column_at_target;

#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its name at the source.
    pub(super) source: String,
    /// Its name at the target; `None`: it is not there.
    pub(super) target: Option<String>,
    pub(super) class: Class,
    /// The type that it has at the target where the migration makes its table; `None`: it is no table's.
    pub(super) native: Option<String>,
    /// Whether its values arrive as others.
    pub(super) is_changed: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// At the target.
    pub(super) name: TableName,
    pub(super) columns: Vec<Column>,
    /// The columns of the primary key, by their names at the source.
    pub(super) key: Vec<String>,
    pub(super) origin: Origin,
}

/// What a shape is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Table {
        /// Whether some rows of the source do not arrive.
        leaves_out_rows: bool,
    },
    View,
}

/// By schema and name at the source.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: HashMap<(String, String), Result<Shape, String>>,
}

impl Shapes {
    pub(super) fn of(tables: &[TargetTable], source: Dialect) -> Self {
        let mut shapes = Self::default();
        let mut natives = Natives::default();
        for table in tables {
            let shape = shape(table, source, &mut natives);
            shapes.add(&table.source.name, Ok(shape));
        }
        shapes
    }

    pub(super) fn add(&mut self, name: &TableName, shape: Result<Shape, String>) {
        let place = (name.schema.clone(), name.name.clone());
        self.known.insert(place, shape);
    }

    pub(super) fn find(&self, schema: &str, name: &str) -> Result<&Shape, String> {
        match self.known.get(&(schema.to_owned(), name.to_owned())) {
            Some(Ok(shape)) => Ok(shape),
            Some(Err(why)) => Err(format!("it reads the view {schema}.{name}, and {why}")),
            None => Err(format!(
                "it reads {schema}.{name}, which is no table of the migration"
            )),
        }
    }
}

fn shape(table: &TargetTable, source: Dialect, natives: &mut Natives) -> Shape {
    let columns = table.source.columns.iter().map(|column| {
        let target = column_at_target(table, &column.name, false);
        let planned = table
            .columns
            .iter()
            .find(|one| Some(one.name.as_str()) == target);
        let is_changed = table.columns_changed().any(|name| name == column.name);
        Column {
            source: column.name.clone(),
            target: target.map(str::to_owned),
            class: match planned {
                Some(planned) if !is_changed => Class::of(column, planned, source, natives),
                _ => Class::Opaque,
            },
            native: planned.map(|planned| planned.native.clone()),
            is_changed,
        }
    });
    let columns = columns.collect();
    let key = table.source.primary_key.iter();
    let key = key.filter_map(|&place| table.source.columns.get(place));
    Shape {
        name: table.name.clone(),
        columns,
        key: key.map(|column| column.name.clone()).collect(),
        origin: Origin::Table {
            leaves_out_rows: table.leaves_out_rows(),
        },
    }
}
