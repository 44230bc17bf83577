//! Foreign keys that stand in the way of emptying and filling tables that stay: they are put aside, and made again once the tables are loaded.
//!
//! ```text
//!  prepare:  BEGIN … note the definition, DROP CONSTRAINT, TRUNCATE … COMMIT      end of the load:  ADD … NOT VALID, VALIDATE, remove the note
//! ```
//!
//! A key is dropped in the very transaction that notes it, and its note goes once it is there again, so no crash loses it. Who forgets the task gets them
//! back as well.

use std::collections::HashSet;

use tracing::{info, warn};
use whimbrel_connector::{Error, KeyNotRestored, TaskFence};
use whimbrel_core::TableName;
use whimbrel_core::objects::ObjectKind;

use super::run;
use crate::errors::{general, of_object, of_table};
use crate::quote::{self, identifier, literal};
use crate::wire::Connection;

/// Part of the control tables.
pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_kept_key (
  task_name varchar(128) NOT NULL, table_owner text NOT NULL, table_name text NOT NULL, key_name text NOT NULL,
  definition text NOT NULL, is_validated boolean NOT NULL, PRIMARY KEY (task_name, table_owner, table_name, key_name));";

/// The keys of a table and those to it, where the user may drop them and make them again. Those of partitions belong to their root's.
const KEYS: &str = "
SELECT n.nspname, c.relname, k.conname, regexp_replace(pg_get_constraintdef(k.oid), ' NOT VALID$', ''), k.convalidated
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND $1::regclass IN (k.conrelid, k.confrelid) AND pg_has_role(c.relowner, 'USAGE')
  AND has_table_privilege(k.confrelid, 'REFERENCES')
ORDER BY 1, 2, 3";

/// A query that answers a row if keys of the table cannot be made without a look at its rows, which those of partitioned tables can since
/// version 18.
pub(super) fn demands_a_look(regclass: &str) -> String {
    format!(
        "SELECT 1 FROM pg_class WHERE oid = {regclass} AND relkind = 'p' AND current_setting('server_version_num')::int < 180000"
    )
}

/// Which keys stand in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InTheWay {
    /// Of filling the table: its own, and those to it.
    All,
    /// Of dropping it: those to it.
    OfOthers,
}

/// Puts the keys of a table and those of other tables of the task to it aside, within the open transaction.
pub(super) async fn put_aside(
    connection: &mut Connection,
    fence: &TaskFence,
    (source, target): (&TableName, &TableName),
    planned: &HashSet<TableName>,
    which: InTheWay,
) -> Result<(), Error> {
    let failed = |error| of_table(error, source, "put the foreign keys aside of");
    let keys = KEYS.replace("$1", &literal(&quote::table(target)));
    for row in connection.query(&keys).await.map_err(failed)? {
        let cell = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let table = TableName::new(cell(0), cell(1));
        let is_wanted = if table == *target {
            which == InTheWay::All
        } else {
            planned.contains(&table)
        };
        if !is_wanted {
            continue;
        }
        // What is there now counts, and not what an earlier run has noted under its name.
        let note = "INSERT INTO awsdms_control.awsdms_kept_key AS k VALUES ($1, $2, $3, $4, $5, $6::boolean)
            ON CONFLICT (task_name, table_owner, table_name, key_name) DO UPDATE SET definition = excluded.definition,
            is_validated = excluded.is_validated OR k.is_validated AND k.definition = excluded.definition";
        let (key, definition, is_validated) = (cell(2), cell(3), cell(4));
        let cells = [
            &fence.task,
            &table.schema,
            &table.name,
            &key,
            &definition,
            &is_validated,
        ];
        let cells = cells.map(|cell| Some(cell.as_str()));
        connection.query_with(note, &cells).await.map_err(failed)?;
        let drop = format!(
            "ALTER TABLE {} DROP CONSTRAINT {}",
            quote::table(&table),
            identifier(&key)
        );
        run(connection, source, "put a foreign key aside of", &drop).await?;
        info!(task = fence.task, %table, key, "a foreign key is put aside until the load is over, or the changes that follow it");
    }
    Ok(())
}

/// A table that is dropped takes its keys with it.
pub(super) async fn drop_notes(
    connection: &mut Connection,
    fence: &TaskFence,
    (source, target): (&TableName, &TableName),
) -> Result<(), Error> {
    let sql = "DELETE FROM awsdms_control.awsdms_kept_key WHERE task_name = $1 AND table_owner = $2 AND table_name = $3";
    let cells = [&fence.task, &target.schema, &target.name].map(|cell| Some(cell.as_str()));
    let dropped = connection.query_with(sql, &cells).await;
    dropped
        .map(drop)
        .map_err(|error| of_table(error, source, "remove the noted foreign keys of"))
}

/// Makes again what was put aside. What the server refuses stays noted, and is answered.
pub(super) async fn restore(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    let failed = |error| general(error, "read the foreign keys that were put aside");
    let sql = "SELECT table_owner, table_name, key_name, definition, is_validated FROM awsdms_control.awsdms_kept_key WHERE task_name = $1 ORDER BY 1, 2, 3";
    let rows = connection.query_with(sql, &[Some(&fence.task)]).await;
    let mut refused = Vec::new();
    for row in rows.map_err(failed)? {
        let cell = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let kept = KeptKey {
            table: TableName::new(cell(0), cell(1)),
            name: cell(2),
            definition: cell(3),
            is_validated: cell(4) == "t",
        };
        match kept.restore(connection, fence).await {
            Ok(()) => {}
            Err(Error::Table(fault)) => {
                warn!(task = fence.task, table = %kept.table, key = kept.name, error = fault.message, "a foreign key that was put aside is not whole again");
                refused.push(KeyNotRestored {
                    is_failure: true,
                    kind: ObjectKind::ForeignKey,
                    name: format!("{}.{}", kept.table, kept.name),
                    reason: fault.message,
                });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(refused)
}

struct KeptKey {
    table: TableName,
    name: String,
    definition: String,
    is_validated: bool,
}

impl KeptKey {
    async fn restore(&self, connection: &mut Connection, fence: &TaskFence) -> Result<(), Error> {
        let table = quote::table(&self.table);
        let name = identifier(&self.name);
        let regclass = literal(&table);
        let present = format!(
            "SELECT to_regclass({regclass}) IS NULL,
               EXISTS (SELECT FROM pg_constraint WHERE conrelid = to_regclass({regclass}) AND conname = {}),
               EXISTS ({})",
            literal(&self.name),
            demands_a_look(&format!("to_regclass({regclass})"))
        );
        let failed = |error| general(error, "look for a foreign key that was put aside");
        let rows = connection.query(&present).await.map_err(failed)?;
        let flags: Vec<bool> = rows
            .iter()
            .flatten()
            .map(|cell| cell.as_deref() == Some("t"))
            .collect();
        let (is_gone, is_there) = (flags.first() == Some(&true), flags.get(1) == Some(&true));
        let mut statements = Vec::new();
        let is_looked_at = flags.get(2) == Some(&true);
        if !is_gone && !is_there {
            let definition = &self.definition;
            let later = if is_looked_at { "" } else { " NOT VALID" };
            statements.push(format!(
                "ALTER TABLE {table} ADD CONSTRAINT {name} {definition}{later}"
            ));
        }
        if !is_gone && self.is_validated && !is_looked_at {
            statements.push(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {name}"));
        }
        for sql in statements {
            if let Err(error) = connection.query(&sql).await {
                return Err(match of_object(error, &self.table) {
                    Error::Table(mut fault) => {
                        fault.message = format!("{}; repeat with: {sql}", fault.message);
                        Error::Table(fault)
                    }
                    other => other,
                });
            }
        }
        let sql = "DELETE FROM awsdms_control.awsdms_kept_key WHERE task_name = $1 AND table_owner = $2 AND table_name = $3 AND key_name = $4";
        let cells = [
            &fence.task,
            &self.table.schema,
            &self.table.name,
            &self.name,
        ];
        let cells = cells.map(|cell| Some(cell.as_str()));
        let removed = connection.query_with(sql, &cells).await;
        removed
            .map(drop)
            .map_err(|error| general(error, "remove the note of a foreign key"))
    }
}
