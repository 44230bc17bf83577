//! Which task feeds which table of the target with changes. Whoever writes it down holds the lock of the control tables, so that no two tasks
//! feed one table, whenever they begin.

use whimbrel_connector::{Error, FedTable, TaskFence};
use whimbrel_core::TableName;

use super::control::{self, Held};
use crate::catalog::CONTROL_DATABASE as DATABASE;
use crate::errors::general;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

/// Tables named in one statement: far below `max_allowed_packet`, few round trips.
const TABLES_PER_STATEMENT: usize = 200;

const DOING: &str = "look which tasks feed the tables of the target";
const NOTING: &str = "note which tables the task feeds";

/// Of these tables, those that other tasks feed. What a task has that is not there any more is nobody's.
pub(super) async fn by_others(
    connection: &mut Connection,
    task: &str,
    tables: &[TableName],
) -> Result<Vec<FedTable>, Error> {
    let mut fed = Vec::new();
    for some in tables.chunks(TABLES_PER_STATEMENT) {
        let pairs = some.iter();
        let pairs =
            pairs.map(|name| format!("({}, {})", literal(&name.schema), literal(&name.name)));
        let sql = format!(
            "SELECT f.table_owner, f.table_name, f.task_name FROM {DATABASE}.awsdms_fed_table f \
             JOIN {DATABASE}.awsdms_task_epoch e ON e.task_name = f.task_name \
             WHERE f.task_name <> {} AND (f.table_owner, f.table_name) IN ({}) ORDER BY 1, 2",
            literal(task),
            pairs.collect::<Vec<_>>().join(", ")
        );
        let rows = match connection.rows(&sql).await {
            Ok(rows) => rows,
            Err(WireError::Server(error)) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(general(error, DOING)),
        };
        fed.extend(rows.iter().map(|row| FedTable {
            table: TableName::new(row.text(0), row.text(1)),
            task: row.text(2).to_owned(),
        }));
    }
    Ok(fed)
}

/// Notes what the task feeds, unless others feed some of it.
pub(super) async fn feed(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[TableName],
) -> Result<Vec<FedTable>, Error> {
    control::lock(connection).await?;
    let fed = feed_locked(connection, fence, tables).await;
    if connection.is_ready() {
        if fed.is_err() {
            connection
                .execute("ROLLBACK")
                .await
                .map_err(|error| general(error, "roll back"))?;
        }
        control::unlock(connection).await?;
    }
    fed
}

async fn feed_locked(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[TableName],
) -> Result<Vec<FedTable>, Error> {
    let doing = |error| general(error, NOTING);
    let others = by_others(connection, &fence.task, tables).await?;
    if !others.is_empty() {
        return Ok(others);
    }
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(doing)?;
    let task = literal(&fence.task);
    // The form for several tables would need a database of the session.
    let release = format!(
        "DELETE FROM {DATABASE}.awsdms_fed_table WHERE task_name = {task} \
         OR task_name NOT IN (SELECT task_name FROM {DATABASE}.awsdms_task_epoch)"
    );
    connection.execute(&release).await.map_err(doing)?;
    for some in tables.chunks(TABLES_PER_STATEMENT) {
        let rows = some.iter().map(|name| {
            let (schema, name) = (literal(&name.schema), literal(&name.name));
            format!("({schema}, {name}, {task})")
        });
        // Tables of one task that share a name at the target are refused elsewhere.
        let sql = format!(
            "REPLACE INTO {DATABASE}.awsdms_fed_table VALUES {}",
            rows.collect::<Vec<_>>().join(", ")
        );
        connection.execute(&sql).await.map_err(doing)?;
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.execute("COMMIT").await.map_err(doing)?;
    Ok(Vec::new())
}
