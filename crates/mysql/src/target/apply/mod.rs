//! Applying changes, exactly once.
//!
//! ```text
//!  begin   START TRANSACTION, look at the epoch ─┐
//!  apply   SAVEPOINT, statements …               ├─ one transaction of the server
//!  commit  checkpoint (if the epoch is ours), COMMIT ─┘
//! ```
//!
//! Why it is right:
//!
//! - **Rows and checkpoint together.** All tables are InnoDB's (others are refused), nothing between `START TRANSACTION` and
//!   `COMMIT` commits by itself (rows are removed by DELETE instead of TRUNCATE, and only temporary tables are made), so a
//!   crash at any point leaves both or neither.
//! - **Nothing after an error.** Statements travel many at a time, as a script in one packet: the server runs none after one
//!   that failed. So when a deadlock takes the whole transaction away, what follows cannot run outside of it, and the COMMIT
//!   that follows the checkpoint is only reached when the epoch was found to be ours. The epoch's row is locked from that
//!   statement to the COMMIT in the same packet, so a worker that stops anywhere never keeps others from claiming the task.
//! - **One call, all or nothing.** Each call sets a savepoint first and goes back to it on error. A transaction that the
//!   server has given up is told by its lacking the savepoint, and is then over for the caller too.
//! - **Nobody holds rows for ever.** An applier holds a named lock of the server for its task, see [`session`]: its successor
//!   finds it there, and ends its connection.
//! - **Exact values.** Every cell is written by the encoder of the load, into LOAD DATA or, as a literal whose escapes mean the
//!   same, into a statement. A warning of the server is a refusal unless it is known to say nothing of the rows.
//! - **Exact keys.** Where a collation takes different texts for equal, rows are also compared byte by byte.
//!
//! Triggers of the target cannot be switched off for a session and do act: a warning in the log names them.

mod cells;
mod define;
mod json;
mod net;
mod run;
mod script;
mod session;
mod single;
mod stage;
mod table;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::{
    AppliedCount, Applier, ApplyException, ApplySettings, Checkpoint, Definition, Error, FedTable,
    Feeding, NetChanges, RecordChange, SingleChange, TargetTable, TaskFence,
};
use whimbrel_core::TableName;

use self::session::Session;
use self::table::ApplyTable;
use super::{control, fed};
use crate::errors::general;
use crate::options::Options;
use crate::wire::WireError;

/// The savepoint of a call.
const SAVEPOINT: &str = "SAVEPOINT whimbrel";
const BACK_TO_SAVEPOINT: &str = "ROLLBACK TO SAVEPOINT whimbrel";
const MARKING: &str = "mark a place in the open transaction";

/// Applies changes over one connection.
pub(super) struct MysqlApplier {
    session: Session,
    fence: TaskFence,
    /// By name at the target. Forgotten when a call fails: the table may have been altered. Where a row is refused, once in a transaction: it is looked for by more calls.
    tables: HashMap<TableName, Arc<ApplyTable>>,
    /// Tables whose triggers were told.
    told: HashSet<TableName>,
    open: Option<OpenTransaction>,
    /// The table of refused changes, in SQL.
    exceptions: String,
}

#[derive(Debug, Default)]
struct OpenTransaction {
    /// Whether the running call has set its savepoint.
    has_savepoint: bool,
    /// Whether tables were looked at again for a refused row.
    has_looked_again: bool,
}

impl MysqlApplier {
    pub(super) async fn start(
        options: &Options,
        fence: &TaskFence,
        settings: &ApplySettings,
    ) -> Result<Self, Error> {
        let mut session = Session::start(options, fence).await?;
        Ok(Self {
            exceptions: control::make_exceptions(&mut session.connection, settings).await?,
            session,
            fence: fence.clone(),
            tables: HashMap::new(),
            told: HashSet::new(),
            open: None,
        })
    }

    /// Begins a call within the open transaction.
    fn enter(&mut self) -> Result<(), Error> {
        match &mut self.open {
            Some(open) => {
                open.has_savepoint = false;
                Ok(())
            }
            None if self.session.connection.is_ready() => Err(Error::Fatal(
                "changes were applied without an open transaction".to_owned(),
            )),
            None => Err(general(WireError::Unusable, "apply changes")),
        }
    }

    /// Ends a call: after an error the transaction is where it was, or over when it cannot be gone on with.
    async fn leave<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let is_of_row = matches!(error, Error::Row(_));
        let open = self.open.as_mut();
        let has_looked =
            open.is_some_and(|open| std::mem::replace(&mut open.has_looked_again, is_of_row));
        if !is_of_row || !has_looked {
            self.tables.clear();
        }
        let can_go_on = matches!(error, Error::Row(_) | Error::Table(_) | Error::Fatal(_));
        if !can_go_on || !self.session.connection.is_ready() {
            return Err(self.give_up(error).await);
        }
        if self.open.as_ref().is_some_and(|open| open.has_savepoint)
            && let Err(second) = self.session.connection.execute(BACK_TO_SAVEPOINT).await
        {
            let lost = Error::Transient(format!(
                "the transaction is gone after an error ({error}): {second}"
            ));
            return Err(self.give_up(lost).await);
        }
        Err(error)
    }

    /// Rolls back after an error; the error is what matters.
    async fn give_up(&mut self, error: Error) -> Error {
        if let Err(second) = self.roll_back().await {
            tracing::debug!(error = %second, "the rollback failed too");
        }
        error
    }

    async fn roll_back(&mut self) -> Result<(), Error> {
        if self.open.take().is_none() {
            return Ok(());
        }
        self.session
            .connection
            .execute("ROLLBACK")
            .await
            .map(drop)
            .map_err(|error| general(error, "roll back"))
    }

    /// Runs statements within the open transaction.
    async fn statements(&mut self, sql: &[String], doing: &str) -> Result<(), Error> {
        self.enter()?;
        for statement in sql {
            if let Err(error) = self.session.connection.execute(statement).await {
                let error = general(error, doing);
                return Err(self.give_up(error).await);
            }
        }
        Ok(())
    }

    /// What is known of a table, looked up when it is new or another than before.
    async fn table(&mut self, table: &TargetTable) -> Result<Arc<ApplyTable>, Error> {
        if let Some(known) = self.tables.get(&table.name)
            && known.planned == *table
        {
            return Ok(Arc::clone(known));
        }
        let connection = &mut self.session.connection;
        let read = Arc::new(ApplyTable::read(connection, table).await?);
        if !self.told.contains(&table.name) {
            table::warn_of_triggers(connection, table).await?;
            self.told.insert(table.name.clone());
        }
        self.tables.insert(table.name.clone(), Arc::clone(&read));
        Ok(read)
    }
}

#[async_trait]
impl Applier for MysqlApplier {
    async fn begin(&mut self) -> Result<(), Error> {
        let mut sql = String::new();
        if self.open.take().is_some() {
            sql.push_str("ROLLBACK;");
        }
        sql.push_str("START TRANSACTION;");
        sql.push_str(&control::epoch_of(&self.fence.task, ""));
        let mut answers = Vec::new();
        let begun = self
            .session
            .connection
            .script(sql.as_bytes(), &mut answers)
            .await;
        // Even when the epoch could not be read, a transaction may be open.
        self.open = Some(OpenTransaction::default());
        let fenced = match begun {
            Ok(()) => control::compare(
                &self.fence,
                answers.last().and_then(|answer| answer.rows.first()),
            ),
            Err(WireError::Server(error)) if error.is_missing() => {
                control::compare(&self.fence, None)
            }
            Err(error) => Err(general(error, "begin a transaction at the target")),
        };
        match fenced {
            Ok(()) => Ok(()),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    async fn apply_net(&mut self, changes: NetChanges<'_>) -> Result<AppliedCount, Error> {
        self.enter()?;
        let applied = self.net(changes).await;
        self.leave(applied).await
    }

    async fn undo_net(&mut self) -> Result<(), Error> {
        // A call that had nothing to do has set none.
        if !self.open.as_ref().is_some_and(|open| open.has_savepoint) {
            return Ok(());
        }
        self.statements(&[BACK_TO_SAVEPOINT.to_owned()], MARKING)
            .await
    }

    async fn apply_single(&mut self, changes: &[SingleChange<'_>]) -> Result<Vec<u64>, Error> {
        self.enter()?;
        let applied = self.single(changes).await;
        self.leave(applied).await
    }

    async fn mark(&mut self) -> Result<(), Error> {
        // One of the same name replaces it.
        self.statements(&["SAVEPOINT awsdms_mark".to_owned()], MARKING)
            .await
    }

    async fn drop_mark(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn back_to_mark(&mut self) -> Result<(), Error> {
        self.statements(&["ROLLBACK TO SAVEPOINT awsdms_mark".to_owned()], MARKING)
            .await
    }

    async fn record(&mut self, changes: &[RecordChange]) -> Result<(), Error> {
        let sql: Vec<String> = changes
            .iter()
            .flat_map(|change| control::record_sql(&self.fence, change))
            .collect();
        self.statements(&sql, "record what becomes of the task's tables")
            .await
    }

    async fn report(&mut self, exceptions: &[ApplyException]) -> Result<(), Error> {
        let sql = exceptions
            .iter()
            .map(|exception| control::exception_sql(&self.fence, &self.exceptions, exception));
        let sql: Vec<String> = sql.collect();
        self.statements(&sql, "write down changes that were refused")
            .await
    }

    fn defines_in_transaction(&self) -> bool {
        false
    }

    async fn feed_also(
        &mut self,
        table: &TableName,
        feeding: Feeding,
    ) -> Result<Option<FedTable>, Error> {
        if self.open.is_some() {
            return Err(Error::Fatal(
                "a table is to be noted within an open transaction".to_owned(),
            ));
        }
        let connection = &mut self.session.connection;
        let others = fed::feed_also(connection, &self.fence, table, feeding).await?;
        Ok(others.into_iter().next())
    }

    async fn define(&mut self, definition: &Definition) -> Result<(), Error> {
        self.change_definition(definition).await
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        self.enter()?;
        let sql = format!(
            "{};COMMIT",
            control::write_checkpoint(&self.fence, checkpoint)
        );
        let mut answers = Vec::new();
        let connection = &mut self.session.connection;
        let error = match connection.script(sql.as_bytes(), &mut answers).await {
            Ok(()) => {
                self.open = None;
                return Ok(());
            }
            Err(error) => error,
        };
        let error = match error {
            WireError::Server(server) if answers.is_empty() && control::is_fenced(&server) => {
                let fence = &self.fence;
                let now = control::check_fence(connection, fence, control::Held::Now).await;
                let failed = general(WireError::Server(server), "write the checkpoint");
                now.err().unwrap_or(failed)
            }
            other => general(other, "commit changes at the target"),
        };
        Err(self.give_up(error).await)
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        self.roll_back().await
    }
}
