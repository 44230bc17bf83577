//! Foreign keys by which rows change without a word in the binary log.

use whimbrel_core::{Engine, TableName};

use crate::wire::{Connection, WireError};

const SQL: &str = "
SELECT DISTINCT r.constraint_schema, r.table_name, k.referenced_table_schema, r.referenced_table_name
FROM information_schema.referential_constraints r
JOIN information_schema.key_column_usage k
  ON k.constraint_schema = r.constraint_schema AND k.constraint_name = r.constraint_name AND k.table_name = r.table_name
WHERE k.referenced_table_schema IS NOT NULL
  AND (r.delete_rule NOT IN ('NO ACTION', 'RESTRICT') OR r.update_rule NOT IN ('NO ACTION', 'RESTRICT'))";
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
    let rows = connection.rows(SQL).await?;
    let keys = rows.iter().map(|row| UnloggedKey {
        table: TableName::new(row.text(0), row.text(1)),
        cause: TableName::new(row.text(2), row.text(3)),
    });
    Ok(keys.collect())
}
