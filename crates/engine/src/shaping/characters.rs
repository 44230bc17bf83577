//! Characters that become others before anything else is made of a row, as the settings say: what expressions, masks and conversions see
//! has the new ones already. Filters choose rows by what the source has.

use std::sync::Arc;

use whimbrel_core::characters::CharacterRules;
use whimbrel_core::{ColumnType, Table, Value};

use super::shaped::{From, Shaped};
use super::{BY_SETTINGS, Shaping};

/// The rules, and the columns of a table that they are for.
#[derive(Debug)]
pub(super) struct Characters {
    rules: Arc<CharacterRules>,
    /// Places in rows of the source.
    places: Vec<usize>,
}

/// Types whose values are free text. Labels are parts of their types, and documents have a form of their own.
fn is_text(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. } => true,
        ColumnType::Native { kind } => kind == "citext",
        _ => false,
    }
}

impl Shaped {
    /// Has characters become others in the table's texts, if the settings say so.
    pub(super) fn replace_characters(&mut self, settings: &Shaping, source: &Table) {
        let Some(rules) = settings
            .characters
            .as_ref()
            .filter(|rules| !rules.is_empty())
        else {
            return;
        };
        let columns = source.loaded_columns().enumerate();
        let texts: Vec<_> = columns.filter(|(_, column)| is_text(&column.ty)).collect();
        if texts.is_empty() {
            return;
        }
        let names: Vec<&str> = texts
            .iter()
            .map(|(_, column)| column.name.as_str())
            .collect();
        self.notes.push(format!(
            "{BY_SETTINGS} texts of {}: {rules}",
            names.join(", ")
        ));
        let places: Vec<usize> = texts.iter().map(|(place, _)| *place).collect();
        for pick in &mut self.picks {
            pick.cell.has_others = match pick.from {
                From::Source(place) | From::Before(place) => places.contains(&place),
                From::Expression(_) => false,
            };
        }
        self.characters = Some(Characters {
            rules: Arc::clone(rules),
            places,
        });
    }

    /// The texts of a source's row that become others. Rows that stay as they are cost no memory.
    pub(super) fn replaced(&self, row: &[Value<'_>]) -> Replaced {
        let Some(Characters { rules, places }) = &self.characters else {
            return Replaced::default();
        };
        let replaced = places.iter().filter_map(|&place| match row.get(place) {
            Some(Value::Text(text)) => Some((place, rules.apply(text)?)),
            _ => None,
        });
        Replaced(replaced.collect())
    }
}

/// Texts by their places in a row.
#[derive(Debug, Default)]
pub(super) struct Replaced(Vec<(usize, String)>);

impl Replaced {
    /// The row with these texts; `None`: it stays as it is.
    pub(super) fn row<'v>(&'v self, row: &[Value<'v>]) -> Option<Vec<Value<'v>>> {
        if self.0.is_empty() {
            return None;
        }
        let mut cells = row.to_vec();
        for (place, text) in &self.0 {
            if let Some(cell) = cells.get_mut(*place) {
                *cell = Value::Text(text);
            }
        }
        Some(cells)
    }
}
