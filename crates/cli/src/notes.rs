//! What a user should know of tables, told once for all tables that it is true of.

use std::collections::HashMap;

use whimbrel_core::{TableName, visible};

use crate::format;

/// Tables that a line names; of more it says how many.
const NAMED_MAX: usize = 3;

/// A line for each note, in the order in which they come first.
pub(crate) fn lines<'a>(notes: impl IntoIterator<Item = (&'a TableName, &'a str)>) -> Vec<String> {
    let mut order: Vec<(&str, Vec<&TableName>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (table, note) in notes {
        let place = *places.entry(note).or_insert(order.len());
        if place == order.len() {
            order.push((note, Vec::new()));
        }
        order[place].1.push(table);
    }
    let lines = order.iter();
    lines
        .map(|(note, tables)| format!("note: {}: {note}", names(tables)))
        .collect()
}

fn names(tables: &[&TableName]) -> String {
    let named = tables.iter().take(NAMED_MAX);
    let named: Vec<String> = named
        .map(|name| visible(&name.to_string()).into_owned())
        .collect();
    let named = named.join(", ");
    match tables.len().saturating_sub(NAMED_MAX) {
        0 => named,
        more => format!("{named} and {}", format::things(more, "other table")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_many_tables_is_one_line() {
        let tables = ["a", "b", "c", "d"].map(|name| TableName::new("s", name));
        let [a, b, c, d] = &tables;
        let told = lines([(a, "x"), (b, "y"), (b, "x"), (c, "x"), (d, "x")]);
        assert_eq!(
            told,
            ["note: s.a, s.b, s.c and 1 other table: x", "note: s.b: y"]
        );
    }
}
