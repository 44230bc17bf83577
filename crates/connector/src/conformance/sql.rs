use std::fmt::Write as _;

use super::{Change, Fixture, Kind};
use crate::memory::{Cell, Row};

/// How an engine spells the few statements that the fixtures need.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Encloses names; doubled within them.
    pub quote: char,
    /// The types for [`Kind::Int`], [`Kind::Name`] and [`Kind::Text`].
    pub types: [&'static str; 3],
    /// Whether a backslash in a literal must be doubled.
    pub escapes_backslash: bool,
    /// What brings the statistics of a table up to date: `analyze`.
    pub analyze: &'static str,
    /// What follows the name of a schema that is dropped with its tables: `cascade`.
    pub drop_schema_end: &'static str,
}

impl Dialect {
    /// The statements that make the changes, in a database whose tables need no schema before their names.
    pub fn script(&self, changes: &[Change<'_>]) -> String {
        let mut script = String::new();
        for change in changes {
            let statement = match change {
                Change::Create(fixture) => self.create(fixture),
                Change::Insert(_, []) => continue,
                Change::Insert(table, rows) => self.insert(table, rows),
                Change::Delete(table) => format!("delete from {}", self.name(table)),
                Change::Drop(table) => format!("drop table {}", self.name(table)),
                Change::View(view, table) => format!(
                    "create view {} as select * from {}",
                    self.name(view),
                    self.name(table)
                ),
                Change::DropSchema(schema) => {
                    format!("drop schema {} {}", self.name(schema), self.drop_schema_end)
                }
            };
            writeln!(script, "{statement};").expect("a String takes everything");
        }
        script
    }

    fn name(&self, name: &str) -> String {
        let quote = self.quote;
        let doubled = name.replace(quote, &format!("{quote}{quote}"));
        format!("{quote}{doubled}{quote}")
    }

    fn create(&self, fixture: &Fixture) -> String {
        let [int, name, text] = self.types;
        let mut lines: Vec<String> = Vec::new();
        for column in &fixture.columns {
            let native = match column.kind {
                Kind::Int => int,
                Kind::Name => name,
                Kind::Text => text,
            };
            let null = if column.nullable { "" } else { " not null" };
            lines.push(format!("{} {native}{null}", self.name(column.name)));
        }
        if !fixture.key.is_empty() {
            let key: Vec<String> = fixture.key.iter().map(|column| self.name(column)).collect();
            lines.push(format!("primary key ({})", key.join(", ")));
        }
        format!(
            "create table {} ({})",
            self.name(fixture.name),
            lines.join(", ")
        )
    }

    fn insert(&self, table: &str, rows: &[Row]) -> String {
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let cells: Vec<String> = row.iter().map(|cell| self.literal(cell)).collect();
                format!("({})", cells.join(", "))
            })
            .collect();
        let table = self.name(table);
        format!(
            "insert into {table} values {}; {} {table}",
            rows.join(", "),
            self.analyze
        )
    }

    fn literal(&self, cell: &Cell) -> String {
        match cell {
            Cell::Null => "null".to_owned(),
            Cell::Int(number) => number.to_string(),
            Cell::Text(text) => {
                let text = text.replace('\'', "''");
                let text = if self.escapes_backslash {
                    // Clients may rewrite the end of a line, but not an escape.
                    text.replace('\\', "\\\\")
                        .replace('\r', "\\r")
                        .replace('\n', "\\n")
                } else {
                    text
                };
                format!("'{text}'")
            }
        }
    }
}
