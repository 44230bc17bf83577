//! The publication: which tables' changes the server puts into our stream.

use std::collections::BTreeMap;

use whimbrel_connector::Error;
use whimbrel_core::TableName;

use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// What is published of each table. Changes of partitions come as changes of their table.
const WITH: &str =
    "publish = 'insert, update, delete, truncate', publish_via_partition_root = true";

/// Whether it publishes what we need, no more and no less.
const SETTINGS: &str = "
select pubinsert and pubupdate and pubdelete and pubtruncate and pubviaroot, puballtables
from pg_publication where pubname = ";

/// The tables, and whether some of their rows or columns are left out.
const MEMBERS: &str = "
select n.nspname, c.relname, m.prqual is not null or m.prattrs is not null
from pg_publication p join pg_publication_rel m on m.prpubid = p.oid
join pg_class c on c.oid = m.prrelid join pg_namespace n on n.oid = c.relnamespace
where p.pubname = ";

/// A publication as the catalog has it.
#[derive(Debug)]
pub(super) struct Publication {
    /// Whether its settings are ours.
    is_sound: bool,
    /// Tables that it publishes whole.
    pub(super) tables: Vec<TableName>,
    /// Tables of which it leaves something out.
    partial: Vec<TableName>,
}

impl Publication {
    pub(super) async fn find(
        connection: &mut Connection,
        name: &str,
    ) -> Result<Option<Self>, Error> {
        let failed = |error| general(error, "read the publication of the task");
        let sql = format!("{SETTINGS}{}", quote::literal(name));
        let rows = connection.query(&sql).await.map_err(failed)?;
        let Some(settings) = rows.first() else {
            return Ok(None);
        };
        let is =
            |row: &TextRow, place: usize| row.get(place).and_then(Option::as_deref) == Some("t");
        if is(settings, 1) {
            return Err(Error::Fatal(format!(
                "publication {name} was made by somebody else, for all tables: drop it, and start the task again"
            )));
        }
        let mut publication = Self {
            is_sound: is(settings, 0),
            tables: Vec::new(),
            partial: Vec::new(),
        };
        let sql = format!("{MEMBERS}{}", quote::literal(name));
        for row in connection.query(&sql).await.map_err(failed)? {
            let mut names = row.iter().flatten().cloned();
            let (Some(schema), Some(table)) = (names.next(), names.next()) else {
                return Err(failed(WireError::protocol(
                    "a published table without a name",
                )));
            };
            let table = TableName::new(schema, table);
            if is(&row, 2) {
                publication.partial.push(table);
            } else {
                publication.tables.push(table);
            }
        }
        Ok(Some(publication))
    }

    /// Makes it publish these tables too, given with their quoted names.
    ///
    /// None is ever taken out while the task lives: one that was renamed since the names were read would be lost. What is
    /// published and not asked for costs little.
    pub(super) async fn ensure(
        connection: &mut Connection,
        name: &str,
        tables: &BTreeMap<TableName, String>,
    ) -> Result<(), Error> {
        let found = Self::find(connection, name).await?;
        let sql = match &found {
            None => create_sql(name, tables),
            Some(found) => found.alter_sql(name, tables),
        };
        for statement in sql {
            connection
                .query(&statement)
                .await
                .map_err(|error| explain(error, name))?;
        }
        Ok(())
    }

    /// Those that are not published whole.
    fn missing<'a>(
        &self,
        tables: &'a BTreeMap<TableName, String>,
    ) -> BTreeMap<&'a TableName, &'a str> {
        let missing = tables
            .iter()
            .filter(|(table, _)| !self.tables.contains(table));
        missing
            .map(|(table, quoted)| (table, quoted.as_str()))
            .collect()
    }

    fn alter_sql(&self, name: &str, tables: &BTreeMap<TableName, String>) -> Vec<String> {
        let name = quote::identifier(name);
        let mut sql = Vec::new();
        if !self.is_sound {
            sql.push(format!("ALTER PUBLICATION {name} SET ({WITH})"));
        }
        let missing = self.missing(tables);
        let partial = missing.keys().filter(|table| self.partial.contains(table));
        let partial: Vec<&str> = partial
            .filter_map(|table| missing.get(*table).copied())
            .collect();
        // In one request, which is one transaction: a table that is followed is published at any moment.
        let mut members = Vec::new();
        if !partial.is_empty() {
            members.push(format!(
                "ALTER PUBLICATION {name} DROP TABLE {}",
                list(partial)
            ));
        }
        if !missing.is_empty() {
            let missing = list(missing.into_values());
            members.push(format!("ALTER PUBLICATION {name} ADD TABLE {missing}"));
        }
        if !members.is_empty() {
            sql.push(members.join("; "));
        }
        sql
    }
}

/// Removes the publication, if there is one.
pub(super) async fn drop_publication(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let sql = format!("DROP PUBLICATION IF EXISTS {}", quote::identifier(name));
    connection
        .query(&sql)
        .await
        .map_err(|error| explain(error, name))?;
    Ok(())
}

fn create_sql(name: &str, tables: &BTreeMap<TableName, String>) -> Vec<String> {
    let name = quote::identifier(name);
    let tables = if tables.is_empty() {
        String::new()
    } else {
        format!(" FOR TABLE {}", list(tables.values().map(String::as_str)))
    };
    vec![format!("CREATE PUBLICATION {name}{tables} WITH ({WITH})")]
}

/// Tables that inherit from others are tables of their own; partitions are published with their table in any case.
fn list<'a>(tables: impl IntoIterator<Item = &'a str>) -> String {
    let tables = tables.into_iter().map(|table| format!("ONLY {table}"));
    tables.collect::<Vec<String>>().join(", ")
}

fn explain(error: WireError, name: &str) -> Error {
    let remedy = match &error {
        WireError::Server(error) if error.code == "42501" => {
            "; the user must own the tables and have the privilege CREATE on the database to publish them"
        }
        _ => "",
    };
    // Another process of ours did the same just now, perhaps one that was killed and whose statement went on; or a table, or its schema, went or
    // got another name since it was described.
    let may_pass = matches!(&error, WireError::Server(error) if matches!(error.code.as_str(), "42710" | "23505" | "42P01" | "3F000"));
    match general(error, &format!("publish the tables by publication {name}")) {
        Error::Fatal(message) if may_pass => Error::Transient(message),
        Error::Fatal(message) => Error::Fatal(format!("{message}{remedy}")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: &[&str]) -> BTreeMap<TableName, String> {
        let name = |name: &&str| TableName::new("s", *name);
        let entry = |table: TableName| (table.clone(), quote::table(&table));
        names.iter().map(name).map(entry).collect()
    }

    #[test]
    fn a_publication_follows_the_tables_of_the_task() {
        let publication = |is_sound, names: &[&str], partial: &[&str]| Publication {
            is_sound,
            tables: tables(names).into_keys().collect(),
            partial: tables(partial).into_keys().collect(),
        };
        let wanted = tables(&["a", "b"]);
        let cases = [
            (publication(true, &["a", "b"], &[]), 0),
            (publication(true, &["a", "b", "c"], &[]), 0),
            (publication(true, &["a"], &[]), 1),
            (publication(true, &["a"], &["b"]), 1),
            (publication(false, &["a", "b"], &[]), 1),
        ];
        for (publication, expected) in cases {
            let sql = publication.alter_sql("p", &wanted);
            assert_eq!(sql.len(), expected, "{publication:?}");
        }
        let sql = publication(false, &["a"], &[])
            .alter_sql("p", &wanted)
            .join(";");
        assert!(sql.contains("SET (publish"), "{sql}");
        assert!(sql.ends_with("ADD TABLE ONLY \"s\".\"b\""), "{sql}");
        let sql = publication(true, &["a"], &["b"]).alter_sql("p", &wanted);
        assert_eq!(
            sql,
            [
                "ALTER PUBLICATION \"p\" DROP TABLE ONLY \"s\".\"b\"; ALTER PUBLICATION \"p\" ADD TABLE ONLY \"s\".\"b\""
            ]
        );
        let kept = publication(true, &["a", "b"], &[]).alter_sql("p", &tables(&["a"]));
        assert!(kept.is_empty(), "{kept:?}");
        assert!(!create_sql("p", &tables(&[]))[0].contains("FOR TABLE"));
    }
}
