//! Which task feeds which table of the target with changes. Whoever writes it down holds the lock of the control tables, so that no two tasks
//! feed one table, whenever they begin.

use whimbrel_connector::{Error, FedTable, Feeding, TaskFence};
use whimbrel_core::TableName;

use super::control::{self, Held};
use crate::catalog::CONTROL_DATABASE as DATABASE;
use crate::errors::general;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

/// Tables named in one statement: far below `max_allowed_packet`, few round trips.
const TABLES_PER_STATEMENT: usize = 200;

/// What tasks feed alone, and together.
const NOTES: [&str; 2] = ["awsdms_fed_table", "awsdms_shared_table"];

const DOING: &str = "look which tasks feed the tables of the target";
const NOTING: &str = "note which tables the task feeds";

/// Whether names that differ in case alone are one table of the server. The notes have such names in small letters; the server's own rules
/// for other letters than those of ASCII are much like ours, and one collision too many is told to the user.
pub(super) async fn folds_case(connection: &mut Connection) -> Result<bool, WireError> {
    let row = connection.row("SELECT @@lower_case_table_names").await?;
    Ok(row.is_some_and(|row| row.text(0) != "0"))
}

fn folded(name: &TableName, folds: bool) -> TableName {
    if folds {
        TableName::new(name.schema.to_lowercase(), name.name.to_lowercase())
    } else {
        name.clone()
    }
}

/// Of these tables, those that other tasks feed. What a task has that is not there any more is nobody's.
pub(super) async fn by_others(
    connection: &mut Connection,
    task: &str,
    tables: &[TableName],
    feeding: Feeding,
) -> Result<Vec<FedTable>, Error> {
    let doing = |error| general(error, DOING);
    let folds = folds_case(connection).await.map_err(doing)?;
    let columns = if folds {
        "lower(f.table_owner), lower(f.table_name)"
    } else {
        "f.table_owner, f.table_name"
    };
    let notes = match feeding {
        Feeding::Alone => format!(
            "(SELECT * FROM {DATABASE}.awsdms_fed_table UNION ALL SELECT * FROM {DATABASE}.awsdms_shared_table)"
        ),
        Feeding::Together => format!("{DATABASE}.awsdms_fed_table"),
    };
    let mut fed = Vec::new();
    for some in tables.chunks(TABLES_PER_STATEMENT) {
        let pairs = some.iter().map(|name| {
            let name = folded(name, folds);
            format!("({}, {})", literal(&name.schema), literal(&name.name))
        });
        let sql = format!(
            "SELECT {columns}, f.task_name FROM {notes} f \
             JOIN {DATABASE}.awsdms_task_epoch e ON e.task_name = f.task_name \
             WHERE f.task_name <> {} AND ({columns}) IN ({}) ORDER BY 1, 2, 3",
            literal(task),
            pairs.collect::<Vec<_>>().join(", ")
        );
        let rows = match connection.rows(&sql).await {
            Ok(rows) => rows,
            Err(WireError::Server(error)) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(doing(error)),
        };
        for row in &rows {
            let found = TableName::new(row.text(0), row.text(1));
            let meant = some.iter().filter(|name| folded(name, folds) == found);
            fed.extend(meant.map(|name| FedTable {
                table: name.clone(),
                task: row.text(2).to_owned(),
            }));
        }
    }
    Ok(fed)
}

/// What the notes hold no more. A name that is the same to the server as the one of now stays.
pub(super) fn unfed_sql(task: &str, table: &TableName, now: Option<&TableName>) -> Vec<String> {
    let stays = now.map_or_else(String::new, |now| {
        format!(
            " AND NOT (@@lower_case_table_names <> 0 AND (lower(table_owner), lower(table_name)) = (lower({}), lower({})))",
            literal(&now.schema),
            literal(&now.name)
        )
    });
    let (schema, name) = (literal(&table.schema), literal(&table.name));
    let delete = |notes| {
        format!(
            "DELETE FROM {DATABASE}.{notes} WHERE task_name = {} AND \
             ((table_owner, table_name) = ({schema}, {name}) OR (@@lower_case_table_names <> 0 \
             AND (table_owner, table_name) = (lower({schema}), lower({name})))){stays}",
            literal(task)
        )
    };
    NOTES.map(delete).into()
}

/// Notes one more table, unless another task feeds it. Nothing is open.
pub(super) async fn feed_also(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
    feeding: Feeding,
) -> Result<Vec<FedTable>, Error> {
    let tables = std::slice::from_ref(table);
    exclusively(connection, async |connection| {
        feed_locked(connection, fence, tables, feeding, &[]).await
    })
    .await
}

/// Notes what the task feeds, unless others feed some of it.
pub(super) async fn feed(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[TableName],
    feeding: Feeding,
) -> Result<Vec<FedTable>, Error> {
    let release = NOTES.map(|notes| {
        format!(
            "DELETE FROM {DATABASE}.{notes} WHERE task_name = {} \
             OR task_name NOT IN (SELECT task_name FROM {DATABASE}.awsdms_task_epoch)",
            literal(&fence.task)
        )
    });
    exclusively(connection, async |connection| {
        feed_locked(connection, fence, tables, feeding, &release).await
    })
    .await
}

/// Under the lock of the control tables.
async fn exclusively(
    connection: &mut Connection,
    notes: impl AsyncFnOnce(&mut Connection) -> Result<Vec<FedTable>, Error>,
) -> Result<Vec<FedTable>, Error> {
    control::lock(connection).await?;
    let fed = notes(connection).await;
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
    feeding: Feeding,
    release: &[String],
) -> Result<Vec<FedTable>, Error> {
    let doing = |error| general(error, NOTING);
    let folds = folds_case(connection).await.map_err(doing)?;
    let others = by_others(connection, &fence.task, tables, feeding).await?;
    if !others.is_empty() {
        return Ok(others);
    }
    connection
        .execute("START TRANSACTION")
        .await
        .map_err(doing)?;
    let task = literal(&fence.task);
    for sql in release {
        connection.execute(sql).await.map_err(doing)?;
    }
    let notes = match feeding {
        Feeding::Alone => NOTES[0],
        Feeding::Together => NOTES[1],
    };
    for some in tables.chunks(TABLES_PER_STATEMENT) {
        let rows = some.iter().map(|name| {
            let name = folded(name, folds);
            let (schema, name) = (literal(&name.schema), literal(&name.name));
            format!("({schema}, {name}, {task})")
        });
        // Tables of one task that share a name at the target are refused elsewhere.
        let sql = format!(
            "REPLACE INTO {DATABASE}.{notes} VALUES {}",
            rows.collect::<Vec<_>>().join(", ")
        );
        connection.execute(&sql).await.map_err(doing)?;
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.execute("COMMIT").await.map_err(doing)?;
    Ok(Vec::new())
}
