//! What foreign keys do when rows that they lead to go, or change their key.

use std::collections::HashMap;

use tracing::warn;
use whimbrel_core::TableName;

use crate::quote;
use crate::wire::{Connection, WireError};

/// The rules that the catalog tells of a key, or those in the statement that makes its table again. MariaDB shows the former only to users who
/// may do more with the table than read it (MDEV-32500).
#[derive(Default)]
pub(super) struct Rules {
    definitions: HashMap<TableName, Definition>,
}

/// What a key does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// At deletes and updates.
    Told(String, String),
    /// The user may not see it.
    Unseen,
    /// The table is not there any more.
    Gone,
}

/// The statement that makes a table.
enum Definition {
    Seen(String),
    Unseen,
    Gone,
}

impl Rules {
    /// What a key of a table does. `told`: what the catalog says of deletes and updates.
    pub(super) async fn of(
        &mut self,
        connection: &mut Connection,
        (table, key): (&TableName, &str),
        told: (Option<&str>, Option<&str>),
    ) -> Result<Rule, WireError> {
        if let (Some(on_delete), Some(on_update)) = told {
            return Ok(Rule::Told(on_delete.to_owned(), on_update.to_owned()));
        }
        if !self.definitions.contains_key(table) {
            let definition = definition(connection, table).await?;
            self.definitions.insert(table.clone(), definition);
        }
        Ok(match &self.definitions[table] {
            Definition::Gone => Rule::Gone,
            Definition::Unseen => Rule::Unseen,
            // Dropped since the catalog told it, or in a form that is not known: nobody is told that it does nothing.
            Definition::Seen(definition) => in_definition(definition, key)
                .map_or(Rule::Unseen, |(on_delete, on_update)| {
                    Rule::Told(on_delete, on_update)
                }),
        })
    }
}

async fn definition(
    connection: &mut Connection,
    table: &TableName,
) -> Result<Definition, WireError> {
    let sql = format!("SHOW CREATE TABLE {}", quote::table(table));
    match connection.row(&sql).await {
        Ok(Some(row)) => Ok(Definition::Seen(row.text(1).to_owned())),
        Ok(None) => Ok(Definition::Gone),
        Err(WireError::Server(error)) if error.is_missing() => Ok(Definition::Gone),
        Err(WireError::Server(error)) if !error.is_transient() => {
            warn!(%table, %error, "the foreign keys of the table cannot be seen");
            Ok(Definition::Unseen)
        }
        Err(error) => Err(error),
    }
}

/// The rules of a key in the statement that makes its table. What is not named is the default, RESTRICT.
fn in_definition(definition: &str, key: &str) -> Option<(String, String)> {
    let head = format!("\n  CONSTRAINT {} FOREIGN KEY (", quote::identifier(key));
    let (_, behind) = definition.split_once(&head)?;
    let line = behind.lines().next()?;
    let (_, words) = line.trim_end_matches(',').rsplit_once(')')?;
    let rule = |on: &str| {
        let behind = words.split_once(on).map(|(_, behind)| behind);
        let rules = ["CASCADE", "SET NULL", "SET DEFAULT", "NO ACTION"];
        let is_it = |rule: &&&str| behind.is_some_and(|behind| behind.starts_with(**rule));
        rules.iter().find(is_it).unwrap_or(&"RESTRICT").to_string()
    };
    Some((rule(" ON DELETE "), rule(" ON UPDATE ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_from_the_definition() {
        let definition = "CREATE TABLE `t` (\n  `a` int(11) COMMENT ' ON DELETE CASCADE',\n  KEY `k` (`a`),\n  \
             CONSTRAINT `one``)` FOREIGN KEY (`a`, `b)`) REFERENCES `p` (`x`, `y) ON DELETE CASCADE`) ON DELETE SET NULL ON UPDATE CASCADE,\n  \
             CONSTRAINT `two` FOREIGN KEY (`a`) REFERENCES `q` (`x`)\n) ENGINE=InnoDB";
        let rules = |key| in_definition(definition, key);
        let told =
            |on_delete: &str, on_update: &str| Some((on_delete.to_owned(), on_update.to_owned()));
        assert_eq!(rules("one`)"), told("SET NULL", "CASCADE"));
        assert_eq!(rules("two"), told("RESTRICT", "RESTRICT"));
        assert_eq!(rules("three"), None);
    }
}
