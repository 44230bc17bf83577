//! What an applier writes beside the rows, and the definitions that it changes: statements of the open transaction like any other.

use tracing::warn;
use whimbrel_connector::{
    ApplyException, ColumnChange, Definition, Error, FedTable, Feeding, RecordChange, TargetTable,
};
use whimbrel_core::TableName;

use super::super::fed;
use super::super::kept_objects::{self, Detour};
use super::{CallError, PostgresApplier, Step, Transaction};
use crate::errors::{general, of_table};
use crate::quote::{self, identifier, literal};
use crate::wire::WireError;

/// The server's code for a statement that others depend on what it drops.
const DEPENDENT_OBJECTS: &str = "2BP01";

/// Foreign keys that act on this connection and refer to one of `$names`, which are literals: those of which a trigger fires.
const REFERENCES: &str = "
SELECT n.nspname, c.relname, k.conname
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE k.contype = 'f' AND k.confrelid = ANY (SELECT to_regclass(name) FROM unnest(ARRAY[$names]) name)
  AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = k.oid
    AND t.tgenabled IN ('A', CASE current_setting('session_replication_role') WHEN 'replica' THEN 'R' ELSE 'O' END))
ORDER BY 1, 2, 3";

impl PostgresApplier {
    /// What has the views and routines make way that rest on a table, in the transaction that changes its definition.
    async fn resting(&mut self, table: &TableName) -> Result<Detour, Error> {
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Lost);
        let detour =
            kept_objects::resting_sql(&mut self.connection, &self.fence, table, &self.put_aside)
                .await?;
        self.transaction = transaction;
        Ok(detour)
    }

    /// Tells which of them could not come back at once.
    async fn tell_aside(&mut self) -> Result<(), Error> {
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Lost);
        let aside = kept_objects::aside_for_definitions(&mut self.connection, &self.fence).await?;
        self.transaction = transaction;
        for object in aside {
            warn!(
                task = self.fence.task,
                object,
                "it stands aside for a definition that was followed, and is made again when no more changes follow"
            );
        }
        Ok(())
    }

    /// Runs statements as one call.
    pub(super) async fn statements(&mut self, sql: &[String]) -> Result<(), CallError> {
        self.begin_call()?;
        for statement in sql {
            self.run(Step::Table("change"), statement)?;
        }
        self.end_call().await.map(drop)
    }

    pub(super) async fn record_changes(&mut self, changes: &[RecordChange]) -> Result<(), Error> {
        let task = self.fence.task.clone();
        let sql: Vec<String> = changes
            .iter()
            .flat_map(|change| record_sql(&task, change))
            .collect();
        self.control(&sql, "record what becomes of the task's tables")
            .await
    }

    pub(super) async fn feed_one(
        &mut self,
        table: &TableName,
        feeding: Feeding,
    ) -> Result<Option<FedTable>, Error> {
        let task = self.fence.task.clone();
        // Asked first, under the lock: the transaction goes on where the answer is no.
        self.control(&[fed::LOCK.to_owned()], fed::NOTING).await?;
        let tables = std::slice::from_ref(table);
        let others = fed::by_others(&mut self.connection, &task, tables, feeding);
        if let Some(other) = others.await?.into_iter().next() {
            return Ok(Some(other));
        }
        self.control(&[fed::take_sql(&task, table, feeding)], fed::NOTING)
            .await?;
        Ok(None)
    }

    pub(super) async fn report_exceptions(
        &mut self,
        exceptions: &[ApplyException],
    ) -> Result<(), Error> {
        let (task, home) = (self.fence.task.clone(), self.exceptions.clone());
        let sql = exceptions
            .iter()
            .map(|exception| exception_sql(&task, &home, exception));
        let sql: Vec<String> = sql.collect();
        self.control(&sql, "write down changes that were refused")
            .await
    }

    /// Those that the server does not enforce, as versions from 18 on can be told, do not act either.
    pub(super) async fn references(
        &mut self,
        tables: &[TableName],
    ) -> Result<Vec<(TableName, String)>, Error> {
        if tables.is_empty() {
            return Ok(Vec::new());
        }
        let names = tables.iter().map(|table| literal(&quote::table(table)));
        let sql = REFERENCES.replace("$names", &names.collect::<Vec<String>>().join(", "));
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Lost);
        let rows = self.connection.query(&sql).await;
        let rows = rows.map_err(|error| general(error, "find foreign keys of the target"))?;
        self.transaction = transaction;
        let keys = rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter().flatten();
            let table = TableName::new(cells.next()?, cells.next()?);
            Some((table, cells.next()?))
        });
        Ok(keys.collect())
    }

    async fn control(&mut self, sql: &[String], during: &str) -> Result<(), Error> {
        let done = self.statements(sql).await;
        done.map_err(|error| error.during(during))
    }

    pub(super) async fn change_definition(&mut self, definition: &Definition) -> Result<(), Error> {
        let (sql, tables, source) = match definition {
            Definition::Drop { table } => (
                vec![format!(
                    "DROP TABLE IF EXISTS {}",
                    quote::table(&table.name)
                )],
                [&table.name, &table.name],
                &table.source.name,
            ),
            Definition::Alter {
                before,
                after,
                columns,
            } => (
                alter_sql(before, after, columns),
                [&before.name, &after.name],
                &before.source.name,
            ),
        };
        let mut changed = self.statements(&sql).await;
        if matches!(&changed, Err(CallError::Refused(_, error)) if error.code == DEPENDENT_OBJECTS)
        {
            let Detour { aside, mut again } = self.resting(tables[0]).await?;
            if !aside.is_empty() {
                if matches!(definition, Definition::Drop { .. }) {
                    again.clear();
                }
                changed = self.statements(&[aside, sql, again].concat()).await;
            }
            if changed.is_ok() {
                self.tell_aside().await?;
            }
        }
        for table in tables {
            self.forget_shape(table);
        }
        match changed {
            Ok(()) => Ok(()),
            Err(CallError::Error(error)) => Err(error),
            Err(CallError::Refused(_, error)) => {
                let during = "change the definition at the target of";
                Err(of_table(WireError::Server(error), source, during))
            }
        }
    }
}

/// Names and texts are literals.
fn record_sql(task: &str, change: &RecordChange) -> Vec<String> {
    let key = |table: &TableName| [task, &table.schema, &table.name].map(literal).join(", ");
    match change {
        RecordChange::Put { table, state } => vec![format!(
            "INSERT INTO awsdms_control.awsdms_load_table (task_name, table_owner, table_name, planned_at, is_finished, follow_state)
             VALUES ({}, '', true, {}) ON CONFLICT (task_name, table_owner, table_name) DO UPDATE SET follow_state = excluded.follow_state",
            key(table),
            literal(&state.to_text())
        )],
        RecordChange::Remove { table } => ["awsdms_load_chunk", "awsdms_load_table"]
            .map(|name| {
                format!(
                    "DELETE FROM awsdms_control.{name} WHERE (task_name, table_owner, table_name) = ({})",
                    key(table)
                )
            })
            .into(),
        RecordChange::Unfed { table, .. } => fed::release_sql(&key(table)),
    }
}

/// The column names are the service's, which writes them in capitals on this engine.
fn exception_sql(task: &str, home: &str, exception: &ApplyException) -> String {
    let ApplyException {
        table,
        statement,
        error,
    } = exception;
    let values = [task, &table.schema, &table.name].map(literal).join(", ");
    format!(
        "INSERT INTO {home} (\"TASK_NAME\", \"TABLE_OWNER\", \"TABLE_NAME\", \"ERROR_TIME\", \"STATEMENT\", \"ERROR\")
         VALUES ({values}, (clock_timestamp() AT TIME ZONE 'UTC'), {}, {})",
        literal(statement),
        literal(error)
    )
}

/// One statement for each change, as a new name needs one of its own. Types are SQL already.
fn alter_sql(before: &TargetTable, after: &TargetTable, columns: &[ColumnChange]) -> Vec<String> {
    let mut sql = Vec::new();
    if before.name.schema != after.name.schema {
        let schema = identifier(&after.name.schema);
        sql.push(format!("CREATE SCHEMA IF NOT EXISTS {schema}"));
        sql.push(format!(
            "ALTER TABLE {} SET SCHEMA {schema}",
            quote::table(&before.name)
        ));
    }
    if before.name.name != after.name.name {
        let moved = TableName::new(&after.name.schema, &before.name.name);
        let to = identifier(&after.name.name);
        sql.push(format!(
            "ALTER TABLE {} RENAME TO {to}",
            quote::table(&moved)
        ));
    }
    let name = quote::table(&after.name);
    let column = |table: &TargetTable, place: usize| identifier(&table.columns[place].name);
    for change in columns {
        let what = match *change {
            ColumnChange::Add { after: place } => {
                let native = &after.columns[place].native;
                format!("ADD COLUMN {} {native}", column(after, place))
            }
            ColumnChange::Drop { before: place } => {
                format!("DROP COLUMN {}", column(before, place))
            }
            ColumnChange::Rename {
                before: from,
                after: to,
            } => {
                format!(
                    "RENAME COLUMN {} TO {}",
                    column(before, from),
                    column(after, to)
                )
            }
            ColumnChange::Nullable { after: place } => {
                let verb = if after.columns[place].nullable {
                    "DROP"
                } else {
                    "SET"
                };
                format!("ALTER COLUMN {} {verb} NOT NULL", column(after, place))
            }
        };
        sql.push(format!("ALTER TABLE {name} {what}"));
    }
    sql
}
