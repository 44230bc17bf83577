//! Which task feeds which table of the target with changes. The key of the control table sees to it that no two do, whenever they begin.

use whimbrel_connector::{Error, FedTable, TaskFence};
use whimbrel_core::TableName;

use super::control::{self, Held, text};
use crate::errors::general;
use crate::wire::Connection;

/// Parameters: task, tables as JSON. What a task has that is not there any more is nobody's.
const OF_OTHERS: &str = "
SELECT f.table_owner, f.table_name, f.task_name
FROM awsdms_control.awsdms_fed_table f
JOIN awsdms_control.awsdms_task_epoch e USING (task_name)
JOIN json_array_elements($2::json) w ON (f.table_owner, f.table_name) = (w->>0, w->>1)
WHERE f.task_name <> $1 ORDER BY 1, 2";

/// In the order of the key, so that two tasks that want the same tables wait for each other in one direction alone.
/// Parameters: task, tables as JSON.
const TAKE: &str = "
INSERT INTO awsdms_control.awsdms_fed_table AS f (table_owner, table_name, task_name)
SELECT DISTINCT w->>0, w->>1, $1 FROM json_array_elements($2::json) w ORDER BY 1, 2
ON CONFLICT (table_owner, table_name) DO UPDATE SET task_name = excluded.task_name
WHERE NOT EXISTS (SELECT FROM awsdms_control.awsdms_task_epoch e WHERE e.task_name = f.task_name)";

const DOING: &str = "look which tasks feed the tables of the target";

fn list(tables: &[TableName]) -> String {
    let pairs = tables.iter();
    let pairs = pairs.map(|table| serde_json::json!([table.schema, table.name]));
    serde_json::Value::Array(pairs.collect()).to_string()
}

/// Of these tables, those that other tasks feed.
pub(super) async fn by_others(
    connection: &mut Connection,
    task: &str,
    tables: &[TableName],
) -> Result<Vec<FedTable>, Error> {
    let list = list(tables);
    let rows = match connection
        .query_with(OF_OTHERS, &[Some(task), Some(&list)])
        .await
    {
        Ok(rows) => rows,
        Err(error) if control::is_missing(&error) => Vec::new(),
        Err(error) => return Err(general(error, DOING)),
    };
    let fed = rows.iter().map(|row| {
        Ok(FedTable {
            table: TableName::new(text(row, 0)?, text(row, 1)?),
            task: text(row, 2)?.to_owned(),
        })
    });
    fed.collect()
}

/// Notes what the task feeds, unless others feed some of it. To be rolled back by the caller on an error.
pub(super) async fn feed(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[TableName],
) -> Result<Vec<FedTable>, Error> {
    let doing = |error| general(error, "note which tables the task feeds");
    let list = list(tables);
    let task = Some(fence.task.as_str());
    connection
        .query("BEGIN; SET LOCAL lock_timeout = '60s'")
        .await
        .map_err(doing)?;
    let release = "DELETE FROM awsdms_control.awsdms_fed_table WHERE task_name = $1";
    connection
        .query_with(release, &[task])
        .await
        .map_err(doing)?;
    let taken = connection.query_with(TAKE, &[task, Some(&list)]).await;
    taken.map_err(doing)?;
    let others = by_others(connection, &fence.task, tables).await?;
    if !others.is_empty() {
        connection.query("ROLLBACK").await.map_err(doing)?;
        return Ok(others);
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map_err(doing)?;
    Ok(Vec::new())
}
