use std::sync::Arc;

use whimbrel_connector::Error;
use whimbrel_core::{ColumnType, Table, Value};

use crate::shaping::{Shaped, Shaper};

/// How the rows of a table at the two ends lie over each other: cells are compared in the source's column order.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) source: Table,
    pub(crate) target: Table,
    /// Some rows of the source alone are compared, and get another shape before.
    pub(crate) shape: Option<Arc<Shaped>>,
    /// For each column that is compared: its name at the target, and the type that the target's cells are hashed under.
    pub(crate) columns: Vec<(String, ColumnType)>,
    /// For each of them, the type that the source's cells are hashed under.
    pub(crate) source_types: Vec<ColumnType>,
    /// For each of them, its place in the source's rows, once they have their shape.
    pub(crate) made_places: Vec<usize>,
    /// How many cells those have.
    pub(crate) made_width: usize,
    /// For each of them, its place in the target's rows.
    pub(crate) target_places: Vec<usize>,
    /// The same for every column that is made.
    places_found: Vec<usize>,
    /// Places of the key's columns among `columns`; all columns for a table without a key.
    pub(crate) key: Vec<usize>,
    pub(crate) has_key: bool,
    /// Columns that the source computes and the target does not have.
    pub(crate) not_at_target: Vec<String>,
}

impl Layout {
    /// Lays two tables over each other by column name.
    ///
    /// # Errors
    /// A column that the target lacks, or one that only the target has; or a rule that does not fit the table.
    pub(crate) fn of(source: &Table, target: &Table, shaper: Shaper<'_>) -> Result<Self, String> {
        for (end, table) in [("source", source), ("target", target)] {
            if let Some(why) = &table.obstacle {
                return Err(format!("at the {end}: {why}"));
            }
        }
        let shape = shaper.of(source).map_err(table_message)?;
        let wanted = shape.as_ref().map_or(source, |shape| shape.table());
        let target_columns: Vec<_> = target.loaded_columns().collect();
        let place_of = |name: &str| {
            let exact = target_columns.iter().position(|column| column.name == name);
            exact.or_else(|| {
                target_columns
                    .iter()
                    .position(|column| column.name.eq_ignore_ascii_case(name))
            })
        };
        let (mut columns, mut source_types) = (Vec::new(), Vec::new());
        let mut target_places = Vec::new();
        let mut made_places = Vec::new();
        let mut places_found = Vec::new();
        for (made, column) in wanted.loaded_columns().enumerate() {
            let place = place_of(&column.name)
                .ok_or_else(|| format!("the target table has no column {}", column.name))?;
            places_found.push(place);
            // What does not follow from the row alone is nothing to compare.
            let is_comparable = shape.as_ref().is_none_or(|shape| shape.is_comparable(made));
            if !is_comparable {
                continue;
            }
            made_places.push(made);
            let at_target = &target_columns[place].ty;
            columns.push((column.name.clone(), common_type(&column.ty, at_target)));
            source_types.push(column.ty.clone());
            target_places.push(place);
        }
        if target_columns.len() > places_found.len() {
            let extra = (0..target_columns.len()).find(|place| !places_found.contains(place));
            let name = extra.map_or("", |place| target_columns[place].name.as_str());
            return Err(format!(
                "the target table has a column {name} that the source lacks"
            ));
        }
        let key = wanted.key_in_row();
        let key: Option<Vec<usize>> = key
            .iter()
            .map(|place| made_places.iter().position(|made| made == place))
            .collect();
        let key = key.unwrap_or_default();
        let has_key = !key.is_empty();
        let made_width = wanted.loaded_columns().count();
        let not_at_target = computed_at_source(wanted, target);
        Ok(Self {
            source: source.clone(),
            target: target.clone(),
            shape,
            key: if has_key {
                key
            } else {
                (0..columns.len()).collect()
            },
            columns,
            source_types,
            made_places,
            made_width,
            target_places,
            places_found,
            has_key,
            not_at_target,
        })
    }
}

/// The names of columns that the source computes and the target does not have.
fn computed_at_source(source: &Table, target: &Table) -> Vec<String> {
    let is_absent = |name: &str| {
        let mut columns = target.columns.iter();
        !columns.any(|column| column.name.eq_ignore_ascii_case(name))
    };
    let computed = source.columns.iter().filter(|column| !column.is_loaded());
    let absent = computed.filter(|column| is_absent(&column.name));
    absent.map(|column| column.name.clone()).collect()
}

/// The error's text without the table's name in front.
fn table_message(error: Error) -> String {
    match error {
        Error::Table(fault) => fault.message,
        other => other.to_string(),
    }
}

impl Layout {
    /// Whether a row of the target is one that has gone at the source and stays, as a rule says.
    pub(crate) fn is_deleted(&self, row: &[Value<'_>]) -> bool {
        let cell = |made: usize| row.get(*self.places_found.get(made)?).copied();
        self.shape
            .as_ref()
            .is_some_and(|shape| shape.is_deleted(cell))
    }

    /// How many cells rows of the source have.
    pub(crate) fn source_width(&self) -> usize {
        match &self.shape {
            None => self.made_width,
            Some(shape) => shape.source_width(),
        }
    }

    /// Where a column is in rows of the source as it has them; `None` if its values are others there.
    pub(crate) fn source_place(&self, column: usize) -> Option<usize> {
        match &self.shape {
            None => Some(column),
            Some(shape) => shape.source_place(*self.made_places.get(column)?),
        }
    }

    /// Whether a row can be asked for by its key: engines do not agree on floating-point numbers, nor on documents.
    pub(crate) fn can_be_looked_up(&self) -> bool {
        let types = self.key.iter().map(|&column| &self.columns[column].1);
        self.has_key
            && self
                .key
                .iter()
                .all(|&column| self.source_place(column).is_some())
            && types.into_iter().all(|ty| {
                !matches!(
                    ty,
                    ColumnType::Float32 | ColumnType::Float64 | ColumnType::Json { .. }
                )
            })
    }
}

/// Padding counts only where both ends keep it: what the target fills up, or gives up, is none of the source's. Spaces of a source that keeps
/// them are values, and are missed where the target has given them up.
fn common_type(source: &ColumnType, target: &ColumnType) -> ColumnType {
    match target {
        ColumnType::Char { .. } => target.clone(),
        _ => source.clone(),
    }
}
