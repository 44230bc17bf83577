use std::sync::Arc;

use whimbrel_core::{ColumnType, Table};

use crate::Shaping;
use crate::shaping::Shaped;

/// How the rows of a table at the two ends lie over each other: cells are compared in the source's column order.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) source: Table,
    pub(super) target: Table,
    /// Rows of the source get another shape before they are compared.
    pub(super) shape: Option<Arc<Shaped>>,
    /// For each loaded column of the source: its name, and the type that both ends' cells are hashed under.
    pub(super) columns: Vec<(String, ColumnType)>,
    /// For each of them, its place in the target's rows.
    pub(super) target_places: Vec<usize>,
    /// Places of the key's columns among `columns`; all columns for a table without a key.
    pub(super) key: Vec<usize>,
    pub(super) has_key: bool,
}

impl Layout {
    /// Lays two tables over each other by column name.
    ///
    /// # Errors
    /// A column that the target lacks, or one that only the target has.
    pub(super) fn of(source: &Table, target: &Table, shaping: Shaping) -> Result<Self, String> {
        let shape = shaping.of(source);
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
        let mut columns = Vec::new();
        let mut target_places = Vec::new();
        for column in wanted.loaded_columns() {
            let place = place_of(&column.name)
                .ok_or_else(|| format!("the target table has no column {}", column.name))?;
            let at_target = &target_columns[place].ty;
            columns.push((column.name.clone(), common_type(&column.ty, at_target)));
            target_places.push(place);
        }
        if target_columns.len() > columns.len() {
            let extra = (0..target_columns.len()).find(|place| !target_places.contains(place));
            let name = extra.map_or("", |place| target_columns[place].name.as_str());
            return Err(format!(
                "the target table has a column {name} that the source lacks"
            ));
        }
        let key = source.key_in_row();
        let has_key = !key.is_empty();
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
            target_places,
            has_key,
        })
    }
}

/// Padding counts only where both ends keep it.
fn common_type(source: &ColumnType, target: &ColumnType) -> ColumnType {
    match target {
        ColumnType::Char { .. } => target.clone(),
        _ => source.clone(),
    }
}
