//! What the catalog says of the objects of tables. Where the catalog's tables spoil quotes, the statement that makes the table has the text as it is.

mod definition;
mod references;
mod scripts;
mod sequences;
mod statistics;

use std::collections::{BTreeSet, HashMap};

use whimbrel_core::objects::{
    Check, ColumnDefault, Counter, CounterForm, NextNumber, OtherObject, SchemaObjects,
    TableObjects,
};
use whimbrel_core::{Engine, Table, TableName};

pub(crate) use self::definition::ColumnText;
use self::definition::{Definition, Item};
pub(crate) use self::scripts::{is_same_text, shown_text};
use super::name_of;
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// The tables under description.
struct Described {
    places: HashMap<TableName, usize>,
    objects: SchemaObjects,
    /// The databases they are in, as a list of literals.
    databases: String,
}

impl Described {
    fn new(engine: Engine, tables: &[Table]) -> Self {
        let names = || tables.iter().map(|table| table.name.clone());
        let databases: BTreeSet<String> =
            names().map(|name| quote::literal(&name.schema)).collect();
        Self {
            places: names().zip(0..).collect(),
            objects: SchemaObjects {
                tables: names()
                    .map(|name| TableObjects::new(engine, name))
                    .collect(),
                ..SchemaObjects::default()
            },
            databases: databases.into_iter().collect::<Vec<_>>().join(", "),
        }
    }

    /// The table that a row is about, by its first two columns, if it is under description.
    fn table(&mut self, row: &TextRow) -> Option<&mut TableObjects> {
        let place = self.places.get(&name_of(row)).copied()?;
        self.objects.tables.get_mut(place)
    }

    /// Runs a query in which `$1` stands for the databases.
    async fn rows(
        &self,
        connection: &mut Connection,
        sql: &str,
    ) -> Result<Vec<TextRow>, WireError> {
        connection.rows(&sql.replace("$1", &self.databases)).await
    }
}

/// Describes the objects of tables.
pub(crate) async fn schema_objects(
    connection: &mut Connection,
    tables: &[Table],
) -> Result<SchemaObjects, WireError> {
    let mut described = Described::new(connection.engine(), tables);
    if tables.is_empty() {
        return Ok(described.objects);
    }
    statistics::read(connection, &mut described).await?;
    references::read(connection, &mut described).await?;
    read_definitions(connection, tables, &mut described).await?;
    read_table_facts(connection, &mut described).await?;
    read_comments(connection, &mut described).await?;
    if connection.engine() == Engine::MariaDb {
        sequences::read(connection, &mut described).await?;
    }
    scripts::read(connection, &mut described).await?;
    Ok(described.objects)
}

/// Reads what only the statements that make the tables have as it is. A table that is gone, or may not be seen, stays as it is.
async fn read_definitions(
    connection: &mut Connection,
    tables: &[Table],
    described: &mut Described,
) -> Result<(), WireError> {
    let engine = connection.engine();
    for (table, objects) in tables.iter().zip(&mut described.objects.tables) {
        let sql = format!("SHOW CREATE TABLE {}", quote::table(&table.name));
        let row = match connection.row(&sql).await {
            Err(WireError::Server(_)) => continue,
            other => other?,
        };
        let text = row.map(|row| row.text(1).to_owned()).unwrap_or_default();
        let definition = Definition::parse(&text);
        for item in &definition.items {
            add_item(objects, item, engine);
        }
        if let Some(partitioning) = definition.partitioning {
            described.objects.others.push(OtherObject {
                what: "partitioning".to_owned(),
                name: table.name.to_string(),
                native: Some(partitioning.to_owned()),
                is_of_engine: false,
            });
        }
    }
    Ok(())
}

fn add_item(objects: &mut TableObjects, item: &Item<'_>, engine: Engine) {
    match item {
        Item::Index { name, rest } => {
            let mut indexes = objects.indexes.iter_mut();
            if let Some(index) = indexes.find(|index| index.name == *name) {
                index.native = Some((*rest).to_owned());
            }
        }
        Item::Check {
            name,
            condition,
            is_enforced,
        } => objects.checks.push(check(name, condition, *is_enforced)),
        Item::Column { name, attributes } => {
            let (default, on_update) = (
                attributes.default.as_deref(),
                attributes.on_update.as_deref(),
            );
            if default.is_some() || on_update.is_some() {
                objects.defaults.push(ColumnDefault {
                    column: name.clone(),
                    native: default.map(str::to_owned),
                    value: None,
                    on_update: on_update.map(str::to_owned),
                });
            }
            if attributes.is_numbered {
                objects.counters.push(Counter {
                    column: name.clone(),
                    form: CounterForm::AutoIncrement,
                    next: NextNumber::None,
                    increment: 1,
                    options: None,
                });
            }
            // A document in MariaDB is a text with such a check: it belongs to the type.
            let condition = attributes
                .check
                .as_deref()
                .filter(|_| engine == Engine::MariaDb);
            let of_type = format!("json_valid({})", quote::identifier(name));
            if let Some(condition) = condition.filter(|condition| **condition != of_type) {
                objects.checks.push(check(name, condition, true));
            }
        }
        Item::Other => {}
    }
}

fn check(name: &str, condition: &str, is_enforced: bool) -> Check {
    Check {
        name: name.to_owned(),
        native: condition.to_owned(),
        condition: None,
        is_enforced,
        is_validated: true,
    }
}

/// Comments of tables, and their next numbers.
async fn read_table_facts(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let sql = "SELECT table_schema, table_name, table_comment, auto_increment, table_type FROM information_schema.tables \
               WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema IN ($1)";
    for row in described.rows(connection, sql).await? {
        let versioned = (row.text(4) == "SYSTEM VERSIONED").then(|| name_of(&row));
        if let Some(table) = described.table(&row) {
            table.comment = Some(row.text(2).to_owned()).filter(|comment| !comment.is_empty());
            for counter in &mut table.counters {
                counter.next = row.number(3).map_or(NextNumber::None, NextNumber::Known);
            }
            let others = &mut described.objects.others;
            others.extend(versioned.map(|name| OtherObject {
                what: "system versioning".to_owned(),
                native: Some(format!(
                    "ALTER TABLE {} ADD SYSTEM VERSIONING",
                    quote::identifier(&name.name)
                )),
                name: name.to_string(),
                is_of_engine: false,
            }));
        }
    }
    Ok(())
}

async fn read_comments(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let sql = "SELECT table_schema, table_name, column_name, column_comment FROM information_schema.columns \
               WHERE column_comment <> '' AND table_schema IN ($1) ORDER BY table_schema, table_name, ordinal_position";
    for row in described.rows(connection, sql).await? {
        let comment = (row.text(2).to_owned(), row.text(3).to_owned());
        if let Some(table) = described.table(&row) {
            table.column_comments.push(comment);
        }
    }
    Ok(())
}
