//! Numbers for columns: the servers have none, so that a column that gets another name is known by the words of the statement alone.

use whimbrel_core::{Column, Table};

use super::super::statement::ColumnWord;

/// Gives numbers to columns that have none.
pub(super) fn numbered(mut table: Table) -> Table {
    let mut next = next_number(&table);
    for column in &mut table.columns {
        if column.id.is_none() {
            column.id = Some(next);
            next += 1;
        }
    }
    table
}

fn next_number(table: &Table) -> u32 {
    let numbers = table.columns.iter().filter_map(|column| column.id);
    numbers.max().unwrap_or(0) + 1
}

/// The table as it is now, its columns with the numbers that they had before.
pub(super) fn carried(before: &Table, mut now: Table, words: &[ColumnWord]) -> Table {
    let mut next = next_number(before);
    now.id = before.id;
    for column in &mut now.columns {
        column.id = Some(number_before(before, column, words).unwrap_or_else(|| {
            next += 1;
            next - 1
        }));
    }
    now
}

/// Whether the words tell what became of the columns: one that came and one that went may be the same under another name, which nobody can tell unless they
/// name either.
pub(super) fn are_explained(before: &Table, now: &Table, words: &[ColumnWord]) -> bool {
    let has = |table: &Table, column: &Column| {
        let mut others = table.columns.iter();
        others.any(|other| other.id == column.id)
    };
    let is_named = |column: &Column, is_it: fn(&ColumnWord) -> Option<&str>| {
        let mut names = words.iter().filter_map(is_it);
        names.any(|name| is_same(name, &column.name))
    };
    let mut came = now.columns.iter().filter(|column| !has(before, column));
    let mut went = before.columns.iter().filter(|column| !has(now, column));
    came.all(|column| is_named(column, ColumnWord::added))
        || went.all(|column| is_named(column, ColumnWord::dropped))
}

/// The servers compare names of columns without regard to case.
fn is_same(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

fn number_before(before: &Table, column: &Column, words: &[ColumnWord]) -> Option<u32> {
    let renamed = words.iter().find_map(|word| match word {
        ColumnWord::Rename(from, to) if is_same(to, &column.name) => Some(from.as_str()),
        _ => None,
    });
    let was = renamed.unwrap_or(&column.name);
    let is_other = words.iter().any(|word| match word {
        // Of two columns of one name the old one went.
        ColumnWord::Drop(name) | ColumnWord::Rename(name, _) => {
            renamed.is_none() && is_same(name, was)
        }
        ColumnWord::Add(_) => false,
    });
    let found = before.columns.iter().find(|old| is_same(&old.name, was));
    found.filter(|_| !is_other).and_then(|old| old.id)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{ColumnType, Engine, Generation, TableName};

    use super::*;

    fn table(names: &[&str]) -> Table {
        let columns = names.iter().map(|name| Column {
            name: (*name).to_owned(),
            ty: ColumnType::Date,
            native: "date".to_owned(),
            nullable: true,
            generation: Generation::None,
            id: None,
            default: None,
        });
        Table {
            engine: Engine::MySql,
            name: TableName::new("d", "t"),
            columns: columns.collect(),
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn columns_that_may_be_renamed_unsaid_are_told() {
        let before = numbered(table(&["a", "b"]));
        let explained = |names: &[&str], words: &[ColumnWord]| {
            are_explained(&before, &carried(&before, table(names), words), words)
        };
        let add = |name: &str| ColumnWord::Add(name.to_owned());
        let drop = |name: &str| ColumnWord::Drop(name.to_owned());
        assert!(!explained(&["a", "c"], &[]));
        assert!(!explained(&["c", "d"], &[add("c"), drop("b")]));
        assert!(explained(&["a", "c"], &[add("C"), drop("B")]));
        assert!(explained(&["a"], &[]) && explained(&["a", "b", "c"], &[]));
        assert!(explained(&["a", "b"], &[drop("b"), add("b")]));
    }

    fn numbers(table: &Table) -> Vec<u32> {
        table
            .columns
            .iter()
            .filter_map(|column| column.id)
            .collect()
    }

    #[test]
    fn a_column_keeps_its_number_under_another_name_and_place() {
        let before = numbered(table(&["a", "b", "c"]));
        assert_eq!(numbers(&before), [1, 2, 3]);
        let words = [
            ColumnWord::Rename("A".to_owned(), "x".to_owned()),
            ColumnWord::Drop("b".to_owned()),
            ColumnWord::Add("b".to_owned()),
        ];
        let after = carried(&before, table(&["c", "x", "b", "d"]), &words);
        assert_eq!(numbers(&after), [3, 1, 4, 5]);
        let swap = [
            ColumnWord::Rename("a".to_owned(), "b".to_owned()),
            ColumnWord::Rename("b".to_owned(), "a".to_owned()),
        ];
        assert_eq!(
            numbers(&carried(&before, table(&["b", "a", "c"]), &swap)),
            [1, 2, 3]
        );
    }
}
