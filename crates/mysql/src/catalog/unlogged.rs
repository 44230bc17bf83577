//! Foreign keys by which rows change without a word in the binary log.

use std::collections::BTreeSet;

use whimbrel_core::{Engine, TableName};

use super::rules::{Rule, Rules};
use super::{Scope, name_of};
use crate::wire::{Connection, WireError};

const SQL: &str = "
SELECT DISTINCT k.table_schema, k.table_name, k.constraint_name, k.referenced_table_schema, k.referenced_table_name, r.delete_rule, r.update_rule
FROM information_schema.key_column_usage k
LEFT JOIN information_schema.referential_constraints r
  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name AND $its
WHERE k.referenced_table_name IS NOT NULL AND $of
  AND (r.delete_rule IS NULL OR r.delete_rule NOT IN ('NO ACTION', 'RESTRICT') OR r.update_rule NOT IN ('NO ACTION', 'RESTRICT'))";
/// "Unknown system variable".
const NO_SUCH_SETTING: u16 = 1193;

/// A foreign key that changes rows of `table` when rows of `cause` go, or change their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnloggedKey {
    pub(crate) table: TableName,
    pub(crate) cause: TableName,
    /// Whether the user sees what it does; if not, it may do so.
    pub(crate) is_seen: bool,
}

/// The foreign keys with an action that the log does not tell: of some tables, or of all.
///
/// The storage engine follows them by itself, and only the rows of the cause are logged. Newer servers of MySQL, which have the
/// setting `innodb_native_foreign_keys`, follow them above the storage engine and log what they do, unless it is on (seen on 9.7).
pub(crate) async fn unlogged_keys(
    connection: &mut Connection,
    tables: Option<&BTreeSet<&TableName>>,
) -> Result<Vec<UnloggedKey>, WireError> {
    if connection.engine() == Engine::MySql {
        match connection.row("SELECT @@innodb_native_foreign_keys").await {
            Ok(Some(row)) if row.text(0) == "0" => return Ok(Vec::new()),
            Ok(_) => {}
            Err(WireError::Server(error)) if error.code == NO_SUCH_SETTING => {}
            Err(error) => return Err(error),
        }
    }
    let named = tables.into_iter().flatten();
    let databases = named.map(|table| table.schema.clone()).collect();
    let scope = match tables {
        None => Scope::User,
        Some(tables) => match tables.first() {
            None => return Ok(Vec::new()),
            Some(only) if tables.len() == 1 => Scope::Table(only),
            Some(_) => Scope::Databases(&databases),
        },
    };
    // Servers open all tables of all databases for a side that is not named.
    let sql = SQL
        .replace("$of", &scope.condition("k.table_schema", "k.table_name"))
        .replace(
            "$its",
            &scope.condition("r.constraint_schema", "r.table_name"),
        );
    let (mut rules, mut keys) = (Rules::default(), Vec::new());
    for row in connection.rows(&sql).await? {
        let (table, told) = (name_of(&row), (row.get(5), row.get(6)));
        if tables.is_some_and(|tables| !tables.contains(&table)) {
            continue;
        }
        let rule = rules.of(connection, (&table, row.text(2)), told).await?;
        let may_act = match &rule {
            Rule::Told(on_delete, on_update) => acts(on_delete) || acts(on_update),
            Rule::Unseen => true,
            Rule::Gone => false,
        };
        if may_act {
            keys.push(UnloggedKey {
                table,
                cause: TableName::new(row.text(3), row.text(4)),
                is_seen: rule != Rule::Unseen,
            });
        }
    }
    Ok(keys)
}

fn acts(rule: &str) -> bool {
    !matches!(rule, "NO ACTION" | "RESTRICT")
}
