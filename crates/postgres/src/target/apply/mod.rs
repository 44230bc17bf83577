//! Applying changes, exactly once.
//!
//! # Why a change is applied once, and never by a worker that was replaced
//!
//! The checkpoint is a column of the row that holds the task's epoch. The last statements of a transaction are one write:
//!
//! ```text
//! UPDATE … SET checkpoint = new WHERE task = ours AND epoch = ours   (fails when it finds no row)
//! COMMIT                                                            (passed over when that failed)
//! ```
//!
//! So the rows and the checkpoint become visible together or not at all, and only while the epoch is ours: a claim of the task
//! updates the same row, and thus either waits for the COMMIT that follows at once, or comes first, and then no row is found. A
//! worker that stops between its statements holds no lock on that row, since the UPDATE and the COMMIT reach the server together.
//! What it holds on rows of tables is released when its successor starts: it ends the sessions of older epochs.
//!
//! # Why a failed call leaves the transaction as it was
//!
//! All statements of a call are sent in one write, the first of them a savepoint, with one Sync at the end. When one fails, the
//! server passes over the rest, and one more exchange goes back to the savepoint. The statements that the call prepared are
//! forgotten with it.
//!
//! `begin` sends nothing: BEGIN and the check of the epoch travel ahead of the first call's statements. A task that is not ours any
//! more is therefore reported by the first call, or by `commit`. Nothing of the call has happened then, because a check that fails is
//! an error, and what follows it is passed over.

mod control;
mod net;
mod rows;
mod session;
mod shape;
mod single;
mod sql;
mod statements;
mod values;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use whimbrel_connector::{
    AppliedCount, Applier, ApplyException, ApplySettings, Checkpoint, Definition, Error, FedTable,
    Feeding, NetChanges, RecordChange, SingleChange, TargetTable, TaskFence,
};
use whimbrel_core::TableName;
use whimbrel_core::objects::ObjectSelection;

use super::control::{self as records, Held};
use crate::errors::{general, of_table};
use crate::wire::{Connection, Pipeline, ServerError, WireError};
use shape::Shape;
use statements::Statements;

/// Applies changes over one connection.
pub(super) struct PostgresApplier {
    connection: Connection,
    fence: TaskFence,
    transaction: Transaction,
    /// The call that is being put together.
    pipeline: Pipeline,
    steps: Vec<Step>,
    /// Whether a part of the call has been sent.
    is_call_sent: bool,
    /// Whether the savepoint of the last call is there still.
    is_undoable: bool,
    shapes: HashMap<TableName, Arc<Shape>>,
    shape_count: u32,
    statements: Statements,
    /// The table of refused changes, quoted.
    exceptions: String,
    /// What may be put aside for a definition.
    put_aside: ObjectSelection,
}

/// How things stand at the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Transaction {
    None,
    /// `begin` was called; the server hears of it with the first statement.
    Wanted,
    Open,
    /// It failed in a way that no savepoint mends.
    Failed,
    /// An exchange did not come to its end: the connection is of no use any more.
    Lost,
}

/// What each executed statement of a call is, so that a failure can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Begin,
    Fence,
    Savepoint,
    /// A statement about the call's table.
    Table(&'static str),
    /// A change of the call, by its index.
    Change(usize),
    Release,
}

/// Why a call failed. Unless it says that the transaction is gone, that is as before the call.
enum CallError {
    /// To be handed on as it is.
    Error(Error),
    /// The server refused a statement.
    Refused(Step, Box<ServerError>),
}

impl CallError {
    /// As an error of the applier.
    fn during(self, doing: &str) -> Error {
        match self {
            Self::Error(error) => error,
            Self::Refused(_, error) => general(WireError::Server(error), doing),
        }
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl PostgresApplier {
    /// Takes a fresh connection. Fails when the task is not ours.
    pub(super) async fn start(
        mut connection: Connection,
        fence: TaskFence,
        settings: &ApplySettings,
        is_warned: &AtomicBool,
    ) -> Result<Self, Error> {
        session::start(&mut connection, &fence, is_warned).await?;
        let exceptions = records::make_exceptions(&mut connection, settings).await?;
        Ok(Self {
            connection,
            fence,
            transaction: Transaction::None,
            pipeline: Pipeline::default(),
            steps: Vec::new(),
            is_call_sent: false,
            is_undoable: false,
            shapes: HashMap::new(),
            shape_count: 0,
            statements: Statements::new(settings.statements_kept_max),
            exceptions,
            put_aside: settings.put_aside.clone(),
        })
    }

    /// The target table as it is; read once.
    async fn shape(&mut self, table: &TargetTable) -> Result<Arc<Shape>, Error> {
        if let Some(shape) = self.shapes.get(&table.name)
            && shape.is_of(table)
        {
            return Ok(Arc::clone(shape));
        }
        self.forget_shape(&table.name);
        self.shape_count += 1;
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Lost);
        let shape = Shape::read(&mut self.connection, table, self.shape_count).await;
        self.transaction = match &shape {
            Err(Error::Transient(_)) => Transaction::Lost,
            _ => transaction,
        };
        let shape = Arc::new(shape?);
        self.shapes.insert(table.name.clone(), Arc::clone(&shape));
        Ok(shape)
    }

    /// Forgets what is known of a table that has another shape by now.
    fn forget_shape(&mut self, table: &TableName) {
        if let Some(shape) = self.shapes.remove(table) {
            self.statements.forget(shape.number);
        }
    }

    /// Begins to put a call together.
    fn begin_call(&mut self) -> Result<(), Error> {
        self.pipeline.clear();
        self.steps.clear();
        self.is_call_sent = false;
        match self.transaction {
            Transaction::Open => {}
            Transaction::Wanted => self.open_transaction()?,
            Transaction::None => {
                return Err(Error::Fatal(
                    "changes were applied without a transaction".to_owned(),
                ));
            }
            Transaction::Failed => return Err(Error::Transient(FAILED.to_owned())),
            Transaction::Lost => return Err(Error::Transient(LOST.to_owned())),
        }
        if std::mem::take(&mut self.is_undoable) {
            self.execute(Step::Savepoint, session::RELEASE)?;
        }
        self.statements.begin_call(&mut self.pipeline);
        self.execute(Step::Savepoint, session::SAVEPOINT)
    }

    fn open_transaction(&mut self) -> Result<(), Error> {
        self.execute(Step::Begin, session::BEGIN)?;
        let epoch = self.fence.epoch.to_string();
        let parameters = [self.fence.task.as_str(), &epoch];
        self.pipeline
            .execute(session::REQUIRE_FENCE, &parameters)
            .map_err(too_long)?;
        self.steps.push(Step::Fence);
        Ok(())
    }

    fn execute(&mut self, step: Step, statement: &str) -> Result<(), Error> {
        self.steps.push(step);
        self.pipeline.execute(statement, &[]).map_err(too_long)
    }

    fn run(&mut self, step: Step, sql: &str) -> Result<(), Error> {
        self.steps.push(step);
        self.pipeline.run(sql).map_err(too_long)
    }

    /// Sends what is there of a call, so that little of it is held in memory.
    async fn send_part(&mut self) -> Result<(), Error> {
        self.is_call_sent = true;
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Lost);
        let sent = self.connection.send_pipeline(&mut self.pipeline).await;
        sent.map_err(|error| general(error, "send changes"))?;
        self.transaction = transaction;
        Ok(())
    }

    /// Sends the rest of a call and waits for the answers: the rows touched by each step.
    async fn end_call(&mut self) -> Result<Vec<u64>, CallError> {
        self.execute(Step::Release, session::RELEASE)?;
        self.end_undoable_call().await
    }

    /// The same, and leaves the savepoint, which the next call takes away: so that it can be gone back to costs no exchange.
    async fn end_undoable_call(&mut self) -> Result<Vec<u64>, CallError> {
        let answers = self.exchange().await?;
        let Some(error) = answers.failure else {
            self.transaction = Transaction::Open;
            self.statements.call_done();
            return Ok(answers.counts);
        };
        let step = self
            .steps
            .get(answers.counts.len())
            .copied()
            .unwrap_or(Step::Release);
        Err(self.undo_call(step, error).await)
    }

    /// Gives up a call that could not be put together.
    async fn give_up_call(&mut self, error: Error) -> CallError {
        if self.transaction == Transaction::Lost {
            return error.into();
        }
        if !self.is_call_sent {
            self.pipeline.clear();
            self.statements.call_undone();
            return error.into();
        }
        // A COPY may wait for rows.
        self.pipeline.copy_fail();
        let answers = match self.exchange().await {
            Ok(answers) => answers,
            Err(lost) => return lost.into(),
        };
        let reached = answers.counts.len();
        let step = self.steps.get(reached).copied().unwrap_or(Step::Release);
        match answers.failure {
            // Not ours or not there any more: that is more than our own reason.
            Some(failure) if matches!(step, Step::Begin | Step::Fence | Step::Savepoint) => {
                self.undo_call(step, failure).await
            }
            _ => match self.undo_to_savepoint().await {
                Ok(()) => error.into(),
                Err(lost) => lost.into(),
            },
        }
    }

    /// Sends the pipeline with a Sync and collects the answers.
    async fn exchange(&mut self) -> Result<crate::wire::Answers, Error> {
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Lost);
        self.pipeline.sync();
        let failed = |error| general(error, "apply changes");
        self.connection
            .send_pipeline(&mut self.pipeline)
            .await
            .map_err(failed)?;
        let answers = self.connection.answers().await.map_err(failed)?;
        self.transaction = transaction;
        Ok(answers)
    }

    /// Puts the transaction back to where it was before a call in which a step failed.
    async fn undo_call(&mut self, step: Step, error: Box<ServerError>) -> CallError {
        match step {
            Step::Fence if records::says_not_ours(&error) => self.fenced().await.into(),
            Step::Begin | Step::Fence | Step::Savepoint => {
                self.transaction = Transaction::Failed;
                general(WireError::Server(error), "begin to apply changes").into()
            }
            _ if error.is_transient() && !is_out_of_date(&error) => {
                self.transaction = Transaction::Failed;
                CallError::Refused(step, error)
            }
            _ => match self.undo_to_savepoint().await {
                Ok(()) => CallError::Refused(step, error),
                Err(lost) => lost.into(),
            },
        }
    }

    /// Runs a statement of the open transaction that belongs to no call.
    async fn between_calls(&mut self, sql: &str) -> Result<(), Error> {
        // Released by the next call, it would take savepoints of others along; left, it ends with the transaction.
        self.is_undoable = false;
        match std::mem::replace(&mut self.transaction, Transaction::Lost) {
            Transaction::Open => {}
            Transaction::Failed => {
                self.transaction = Transaction::Failed;
                return Err(Error::Transient(FAILED.to_owned()));
            }
            Transaction::None | Transaction::Wanted | Transaction::Lost => {
                return Err(Error::Transient(LOST.to_owned()));
            }
        }
        let done = self.connection.query(sql).await;
        done.map_err(|error| general(error, MARKING))?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    async fn undo_to_savepoint(&mut self) -> Result<(), Error> {
        self.is_undoable = false;
        self.statements.call_undone();
        self.transaction = Transaction::Lost;
        let undone = self.connection.query(session::UNDO_CALL).await;
        undone.map_err(|error| match error {
            WireError::Server(error) => Error::Transient(format!("undo refused changes: {error}")),
            other => general(other, "undo refused changes"),
        })?;
        self.transaction = Transaction::Open;
        Ok(())
    }

    /// Leaves the transaction of a task that is not ours any more.
    async fn fenced(&mut self) -> Error {
        self.transaction = Transaction::Failed;
        if let Err(error) = self.roll_back().await {
            return error;
        }
        match records::check_fence(&mut self.connection, &self.fence, Held::Now).await {
            Err(error) => error,
            Ok(()) => Error::Transient(
                "the task's epoch could not be found at the target for a moment".to_owned(),
            ),
        }
    }

    async fn roll_back(&mut self) -> Result<(), Error> {
        self.is_undoable = false;
        match self.transaction {
            Transaction::None => return Ok(()),
            Transaction::Wanted => {}
            Transaction::Lost => return Err(Error::Transient(LOST.to_owned())),
            Transaction::Open | Transaction::Failed => {
                self.transaction = Transaction::Lost;
                let rolled_back = self.connection.query("ROLLBACK").await;
                rolled_back.map_err(|error| general(error, "roll back changes"))?;
            }
        }
        self.transaction = Transaction::None;
        self.statements.call_undone();
        Ok(())
    }

    /// Sends the checkpoint and the COMMIT in one write.
    async fn send_commit(&mut self, checkpoint: &Checkpoint) -> Result<(), CallError> {
        self.is_undoable = false;
        self.pipeline.clear();
        self.steps.clear();
        let epoch = self.fence.epoch.to_string();
        let checkpoint = checkpoint.to_text(&self.fence.task);
        let parameters = [self.fence.task.as_str(), &epoch, &checkpoint];
        let written = self
            .pipeline
            .execute(session::WRITE_CHECKPOINT, &parameters);
        written.map_err(too_long)?;
        self.steps.push(Step::Fence);
        // Without a transaction the checkpoint is one of its own.
        if self.transaction == Transaction::Open {
            self.execute(Step::Release, session::COMMIT)?;
        }
        let answers = self.exchange().await?;
        let step = self
            .steps
            .get(answers.counts.len())
            .copied()
            .unwrap_or(Step::Release);
        match answers.failure {
            None => Ok(()),
            Some(error) if step == Step::Fence && records::says_not_ours(&error) => {
                Err(self.fenced().await.into())
            }
            Some(error) => {
                self.transaction = Transaction::Failed;
                Err(CallError::Refused(step, error))
            }
        }
    }

    /// A failure that showed only at the end: a constraint that was deferred names its table.
    fn commit_error(&self, error: Box<ServerError>) -> Error {
        let (schema, name) = &error.table;
        let target = TableName::new(schema.clone(), name.clone());
        let known = self.shapes.get(&target);
        match known.map(|shape| &shape.table.source.name) {
            Some(table) => of_table(WireError::Server(error), table, "commit changes to"),
            // Of a table that refers to a changed one and was not changed itself.
            None if error.blames_row() && !target.name.is_empty() => {
                of_table(WireError::Server(error), &target, "commit changes to")
            }
            None => general(WireError::Server(error), "commit changes"),
        }
    }

    /// Has what waits for the commit checked, and wait again.
    async fn check_waiting(&mut self) -> Result<(), Error> {
        if self.transaction == Transaction::Wanted {
            return Ok(());
        }
        self.between_calls(session::BEGIN_CHECK).await?;
        self.transaction = Transaction::Lost;
        let checked = self.connection.query(session::CHECK).await;
        let refused = match checked {
            Ok(_) => None,
            Err(WireError::Server(error)) => Some(error),
            Err(error) => return Err(general(error, CHECKING)),
        };
        let undone = self.connection.query(session::END_CHECK).await;
        undone.map_err(|error| general(error, CHECKING))?;
        self.transaction = Transaction::Open;
        refused.map_or(Ok(()), |error| Err(self.commit_error(error)))
    }
}

const LOST: &str = "the connection to the target was lost earlier; open a new applier";
const CHECKING: &str = "check what waits for the commit";
const MARKING: &str = "mark a place in the open transaction";
const FAILED: &str = "the open transaction failed earlier; begin anew";

fn too_long(error: WireError) -> Error {
    general(error, "put changes together")
}

/// Whether a statement was made for a table that has changed since.
fn is_out_of_date(error: &ServerError) -> bool {
    matches!(
        error.code.as_str(),
        // Another result, no such table, column or function, another type, bytes of another length.
        "0A000" | "42P01" | "42703" | "42883" | "42804" | "42846" | "22P03" | "08P01"
    )
}

#[async_trait]
impl Applier for PostgresApplier {
    async fn begin(&mut self) -> Result<(), Error> {
        self.roll_back().await?;
        self.transaction = Transaction::Wanted;
        Ok(())
    }

    async fn apply_net(&mut self, changes: NetChanges<'_>) -> Result<AppliedCount, Error> {
        net::apply(self, changes).await
    }

    async fn undo_net(&mut self) -> Result<(), Error> {
        if self.transaction == Transaction::Open && self.is_undoable {
            return self.undo_to_savepoint().await;
        }
        Err(Error::Fatal(
            "net changes were to be taken back behind another call".to_owned(),
        ))
    }

    async fn apply_single(&mut self, changes: &[SingleChange<'_>]) -> Result<Vec<u64>, Error> {
        single::apply(self, changes).await
    }

    async fn mark(&mut self) -> Result<(), Error> {
        if self.transaction == Transaction::Wanted {
            self.statements(&[])
                .await
                .map_err(|error| error.during(MARKING))?;
        }
        self.between_calls("SAVEPOINT awsdms_mark").await
    }

    async fn drop_mark(&mut self) -> Result<(), Error> {
        self.between_calls("RELEASE SAVEPOINT awsdms_mark").await
    }

    async fn back_to_mark(&mut self) -> Result<(), Error> {
        let back = "ROLLBACK TO SAVEPOINT awsdms_mark; RELEASE SAVEPOINT awsdms_mark";
        self.between_calls(back).await
    }

    async fn record(&mut self, changes: &[RecordChange]) -> Result<(), Error> {
        self.record_changes(changes).await
    }

    async fn report(&mut self, exceptions: &[ApplyException]) -> Result<(), Error> {
        self.report_exceptions(exceptions).await
    }

    fn defines_in_transaction(&self) -> bool {
        true
    }

    async fn feed_also(
        &mut self,
        table: &TableName,
        feeding: Feeding,
    ) -> Result<Option<FedTable>, Error> {
        self.feed_one(table, feeding).await
    }

    async fn acting_references(
        &mut self,
        tables: &[TableName],
    ) -> Result<Vec<(TableName, String)>, Error> {
        self.references(tables).await
    }

    async fn define(&mut self, definition: &Definition) -> Result<(), Error> {
        self.change_definition(definition).await
    }

    async fn check_deferred(&mut self) -> Result<(), Error> {
        self.check_waiting().await
    }

    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error> {
        match self.transaction {
            Transaction::Open | Transaction::Wanted => {}
            Transaction::None => {
                return Err(Error::Fatal("a commit without a transaction".to_owned()));
            }
            Transaction::Failed => return Err(Error::Transient(FAILED.to_owned())),
            Transaction::Lost => return Err(Error::Transient(LOST.to_owned())),
        }
        match self.send_commit(checkpoint).await {
            Ok(()) => {
                self.transaction = Transaction::None;
                Ok(())
            }
            Err(CallError::Error(error)) => Err(error),
            Err(CallError::Refused(_, error)) => {
                self.roll_back().await?;
                Err(self.commit_error(error))
            }
        }
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        self.roll_back().await
    }
}
