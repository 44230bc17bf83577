//! Which task feeds which table of the target with changes. The key of the control table sees to it that no two do, whenever they begin.

use whimbrel_connector::{Error, FedTable, Feeding, TaskFence};
use whimbrel_core::TableName;

use super::control::{self, Held, text};
use crate::errors::general;
use crate::quote::literal;
use crate::wire::Connection;

/// Parameters: task, tables as JSON, whether those who feed together count. What a task has that is not there any more is nobody's.
const OF_OTHERS: &str = "
SELECT f.table_owner, f.table_name, f.task_name
FROM (SELECT table_owner, table_name, task_name FROM awsdms_control.awsdms_fed_table
  UNION ALL SELECT table_owner, table_name, task_name FROM awsdms_control.awsdms_shared_table WHERE $3::boolean) f
JOIN awsdms_control.awsdms_task_epoch e USING (task_name)
JOIN json_array_elements($2::json) w ON (f.table_owner, f.table_name) = (w->>0, w->>1)
WHERE f.task_name <> $1 ORDER BY 1, 2, 3";

/// One after another: what one task has alone another must not begin to share. Also whoever notes a single table waits for this.
pub(super) const LOCK: &str =
    "LOCK TABLE awsdms_control.awsdms_fed_table IN SHARE ROW EXCLUSIVE MODE";

/// What the task had. Parameter: task.
const RELEASE: [&str; 2] = [
    "DELETE FROM awsdms_control.awsdms_fed_table WHERE task_name = $1",
    "DELETE FROM awsdms_control.awsdms_shared_table WHERE task_name = $1",
];

/// Takes tables that no other task has, in the order of the key, so that two tasks that want the same tables wait for each other in one
/// direction alone. `task` and `list`, the tables as JSON, are SQL.
fn take(task: &str, list: &str, feeding: Feeding) -> String {
    let tables = format!(
        "SELECT DISTINCT w->>0, w->>1, {task} FROM json_array_elements({list}::json) w ORDER BY 1, 2"
    );
    match feeding {
        Feeding::Alone => format!(
            "INSERT INTO awsdms_control.awsdms_fed_table AS f (table_owner, table_name, task_name) {tables}
             ON CONFLICT (table_owner, table_name) DO UPDATE SET task_name = excluded.task_name
             WHERE NOT EXISTS (SELECT FROM awsdms_control.awsdms_task_epoch e WHERE e.task_name = f.task_name)"
        ),
        Feeding::Together => format!(
            "INSERT INTO awsdms_control.awsdms_shared_table (table_owner, table_name, task_name) {tables} ON CONFLICT DO NOTHING"
        ),
    }
}

/// Takes one table, without parameters.
pub(super) fn take_sql(task: &str, table: &TableName, feeding: Feeding) -> String {
    let list = literal(&list(std::slice::from_ref(table)));
    take(&literal(task), &list, feeding)
}

/// Gives one table back, without parameters.
pub(super) fn release_sql(key: &str) -> Vec<String> {
    let tables = ["awsdms_fed_table", "awsdms_shared_table"];
    let delete = |table| {
        format!(
            "DELETE FROM awsdms_control.{table} WHERE (task_name, table_owner, table_name) = ({key})"
        )
    };
    tables.map(delete).into()
}

const DOING: &str = "look which tasks feed the tables of the target";
pub(super) const NOTING: &str = "note which tables the task feeds";

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
    feeding: Feeding,
) -> Result<Vec<FedTable>, Error> {
    let list = list(tables);
    let counts_shared = (feeding == Feeding::Alone).to_string();
    let parameters = [Some(task), Some(&*list), Some(&*counts_shared)];
    let rows = match connection.query_with(OF_OTHERS, &parameters).await {
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
    feeding: Feeding,
) -> Result<Vec<FedTable>, Error> {
    let doing = |error| general(error, NOTING);
    let list = list(tables);
    let task = Some(fence.task.as_str());
    let begin = format!("BEGIN; SET LOCAL lock_timeout = '60s'; {LOCK}");
    connection.query(&begin).await.map_err(doing)?;
    for sql in RELEASE {
        let released = connection.query_with(sql, &[task]).await;
        released.map_err(doing)?;
    }
    let sql = take("$1", "$2", feeding);
    let taken = connection.query_with(&sql, &[task, Some(&list)]).await;
    taken.map_err(doing)?;
    let others = by_others(connection, &fence.task, tables, feeding).await?;
    if !others.is_empty() {
        connection.query("ROLLBACK").await.map_err(doing)?;
        return Ok(others);
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map_err(doing)?;
    Ok(Vec::new())
}
