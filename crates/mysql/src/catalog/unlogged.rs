//! Foreign keys by which rows change without a word in the binary log.

use whimbrel_core::{Engine, TableName};

use super::name_of;
use super::rules::Rules;
use crate::wire::{Connection, WireError};

const SQL: &str = "
SELECT DISTINCT k.table_schema, k.table_name, k.constraint_name, k.referenced_table_schema, k.referenced_table_name, r.delete_rule, r.update_rule
FROM information_schema.key_column_usage k
LEFT JOIN information_schema.referential_constraints r
  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
WHERE k.referenced_table_name IS NOT NULL
  AND (r.delete_rule IS NULL OR r.delete_rule NOT IN ('NO ACTION', 'RESTRICT') OR r.update_rule NOT IN ('NO ACTION', 'RESTRICT'))";
/// "Unknown system variable".
const NO_SUCH_SETTING: u16 = 1193;

/// A foreign key that changes rows of `table` when rows of `cause` go, or change their key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnloggedKey {
    pub(crate) table: TableName,
    pub(crate) cause: TableName,
}

/// The foreign keys with an action that the log does not tell.
///
/// The storage engine follows them by itself, and only the rows of the cause are logged. Newer servers of MySQL, which have the
/// setting `innodb_native_foreign_keys`, follow them above the storage engine and log what they do, unless it is on (seen on 9.7).
pub(crate) async fn unlogged_keys(
    connection: &mut Connection,
) -> Result<Vec<UnloggedKey>, WireError> {
    if connection.engine() == Engine::MySql {
        match connection.row("SELECT @@innodb_native_foreign_keys").await {
            Ok(Some(row)) if row.text(0) == "0" => return Ok(Vec::new()),
            Ok(_) => {}
            Err(WireError::Server(error)) if error.code == NO_SUCH_SETTING => {}
            Err(error) => return Err(error),
        }
    }
    let (mut rules, mut keys) = (Rules::default(), Vec::new());
    for row in connection.rows(SQL).await? {
        let (table, told) = (name_of(&row), (row.get(5), row.get(6)));
        let rules = rules.of(connection, (&table, row.text(2)), told).await?;
        if rules.is_some_and(|(on_delete, on_update)| acts(&on_delete) || acts(&on_update)) {
            let cause = TableName::new(row.text(3), row.text(4));
            keys.push(UnloggedKey { table, cause });
        }
    }
    Ok(keys)
}

fn acts(rule: &str) -> bool {
    !matches!(rule, "NO ACTION" | "RESTRICT")
}
