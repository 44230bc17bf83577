//! What a view can read at the target: tables of the migration, and views that were converted before it.

use std::collections::HashMap;

use whimbrel_core::TableName;

use super::class::Class;
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
}

#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// At the target.
    pub(super) name: TableName,
    pub(super) columns: Vec<Column>,
    /// The columns of the primary key, by their names at the source.
    pub(super) key: Vec<String>,
}

/// By schema and name at the source.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: HashMap<(String, String), Result<Shape, String>>,
}

impl Shapes {
    pub(super) fn of(tables: &[TargetTable], source: Dialect) -> Self {
        let mut shapes = Self::default();
        for table in tables {
            shapes.add(&table.source.name, Ok(shape(table, source)));
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

fn shape(table: &TargetTable, source: Dialect) -> Shape {
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
                Some(planned) if !is_changed => Class::of(column, planned, source),
                _ => Class::Opaque,
            },
        }
    });
    let key = table.source.primary_key.iter();
    let key = key.filter_map(|&place| table.source.columns.get(place));
    Shape {
        name: table.name.clone(),
        columns: columns.collect(),
        key: key.map(|column| column.name.clone()).collect(),
    }
}
