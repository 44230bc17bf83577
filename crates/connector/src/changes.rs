//! Changes: from a source's log into a target.
//!
//! ```text
//!  ChangeLog ── prepare (keep the log from here on), open ──► ChangeStream ── ChangeBlock, ChangeBlock, …
//!                                                                 ▲                 │ engine: view rule, fold
//!                                      confirm, after the commit ─┘                 ▼
//!                                                     Applier: begin, apply …, commit(position of the last transaction)
//! ```
//!
//! A stream hands over committed transactions only, whole and in the order in which they became visible at the source, cut
//! into blocks of bounded size: a transaction may span any number of blocks. What a rolled-back transaction or savepoint
//! wrote never appears. The rows stay in the log's wire format until somebody asks to decode them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use whimbrel_core::{Position, Table, TableName};

use crate::{
    ApplyException, Checkpoint, Definition, Error, FedTable, Feeding, RecordChange, RowVisitor,
    TableFault, TargetTable,
};

/// The log of one source, as one task reads it.
///
/// Every method may be repeated: done twice, it leaves what once left.
#[async_trait]
pub trait ChangeLog: Send {
    /// Checks what capture needs, and makes the source keep its log for this task from now on (PostgreSQL: publication and
    /// slot). What exists from an earlier run is kept, with its position.
    ///
    /// A snapshot opened after this call, together with the log from the returned position on, misses nothing.
    ///
    /// # Errors
    /// [`Error::Fatal`] with the remedy when the server cannot be captured from at all.
    async fn prepare(&mut self, tables: &[Table]) -> Result<LogStart, Error>;

    /// How long [`Self::prepare`] waits for transactions that run at the source. Without it each source has a bound of its own.
    fn wait_for_running(&mut self, _wait: RunningWait) {}

    /// Those of the tables of which the log will not tell every cell of a row before an update, as the source is set now, with the remedy.
    async fn old_rows_untold(&mut self, tables: &[Table]) -> Result<Vec<TableFault>, Error>;

    /// Where following is to begin, as a position.
    ///
    /// # Errors
    /// [`Error::Fatal`] when the log has no such place, or no longer.
    async fn locate(&mut self, start: &StartPoint) -> Result<Position, Error>;

    /// Whether the log is the one that a position is of, and still has everything from there on, as far as can be told without reading it:
    /// asked before a task that goes on loads anything. A source that keeps its log for the task need not look for the latter.
    ///
    /// # Errors
    /// [`Error::Fatal`] as [`Self::open`] has it.
    async fn reaches_back(&mut self, _to: &Position) -> Result<(), Error> {
        Ok(())
    }

    /// Those of the tables, described by now, that may have been other ones behind `from`, with where to begin instead: of a log that tells rows by
    /// the order of their columns alone. Asked when a task begins at a place of its own, without rows that were loaded since.
    async fn altered_since(
        &mut self,
        _tables: &[Table],
        _from: &Position,
    ) -> Result<Vec<TableFault>, Error> {
        Ok(Vec::new())
    }

    /// Those of the followed tables of which changes may be missing in the log since their rows were read, because somebody changed what the source
    /// tells the task, and why. Each comes with the position of the view its rows were loaded under, if the task loaded them; the answer has
    /// their places in the list. Asked before [`Self::open`].
    async fn gaps(
        &mut self,
        _tables: &[(Table, Option<Position>)],
    ) -> Result<Vec<(TableId, String)>, Error> {
        Ok(Vec::new())
    }

    /// Streams changes of the tables, from `from` (exclusive: the position of the last transaction already applied). `tables` are as they
    /// were at `from`, which may be long ago; their numbers in the stream are their places here.
    ///
    /// # Errors
    /// [`Error::Fatal`] when the log no longer reaches back to the position, naming the gap: it is never skipped. So when it is another log
    /// than the position is of, by numbers that happen to be the same; the stream may be the one to tell, before it tells anything else.
    async fn open(
        &mut self,
        tables: &[Table],
        from: &Position,
    ) -> Result<Box<dyn ChangeStream>, Error>;

    /// Whether the stream that was opened last gave up because it has to be asked for in another form, which [`Self::open`] does from now
    /// on. That is no fault of the environment: it is opened again at once. `false` again as soon as it is; each form is given up once.
    fn wants_another_form(&self) -> bool {
        false
    }

    /// Whether the log tells that a table got another name, or went, at the place where that happened. Otherwise only the catalog knows, and
    /// only what holds now.
    async fn tells_names(&mut self) -> Result<bool, Error> {
        Ok(true)
    }

    /// The place of the log's end now.
    async fn end(&mut self) -> Result<Position, Error>;

    /// Makes sense of a snapshot's position, to tell which transactions its view holds.
    fn view(&self, snapshot: &Position) -> Result<Box<dyn SnapshotView>, Error>;

    /// A view that holds every transaction up to a position between two of them.
    fn view_to(&self, position: &Position) -> Result<Box<dyn SnapshotView>, Error>;

    /// Whether a snapshot's view is one of the log up to a position at least. A view may be older than what was read of the log before it was opened:
    /// of a transaction that waits for a standby between the log and its commit, or of another server behind the same address. What lies
    /// between would be in neither, so another view has to be opened.
    fn view_reaches(&self, snapshot: &Position, position: &Position) -> Result<bool, Error> {
        self.is_past(position, snapshot).map(|is_past| !is_past)
    }

    /// Whether a position lies behind another one.
    fn is_past(&self, position: &Position, other: &Position) -> Result<bool, Error>;

    /// Removes everything that [`Self::prepare`] made at the source.
    async fn remove(&mut self) -> Result<(), Error>;
}

/// How long transactions that run at the source are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunningWait {
    /// So long at most.
    pub limit: Duration,
    /// Whether it is [`Error::Fatal`] when they have not ended then; otherwise [`Error::Transient`].
    pub fails: bool,
}

/// Where following is to begin, as users say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartPoint {
    /// A place in the source's own notation, or a position that a checkpoint told.
    Given(String),
    /// Before the first transaction that was committed at this time or later: microseconds since 1970, by the source's clock.
    Time(i64),
}

/// What [`ChangeLog::prepare`] found.
#[derive(Debug)]
pub struct LogStart {
    /// The log is kept from here on.
    pub position: Position,
    /// Tables whose changes cannot be told from the log, with the remedy (no key and no replica identity).
    pub refused: Vec<TableFault>,
}

/// Which transactions a snapshot's view holds.
pub trait SnapshotView: Send + Sync + fmt::Debug {
    /// Whether the rows read under the snapshot include those of this transaction: then its changes to them are not applied.
    fn holds(&self, transaction: TransactionMark) -> bool;
}

/// Tells a transaction to the [`SnapshotView`]s of its own connector; means nothing elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionMark(pub u64, pub u64);

/// A running capture. Reads ahead by a bounded number of bytes, and answers the server's keepalives even while nobody calls.
#[async_trait]
pub trait ChangeStream: Send {
    /// Waits for what comes next. Dropping the call loses nothing.
    ///
    /// # Errors
    /// [`Error::Transient`] when the connection is lost: open a new stream at the last checkpoint. [`Error::Fatal`] for an
    /// event that is not understood: nothing is skipped.
    async fn next(&mut self) -> Result<ChangeBlock, Error>;

    /// Tells the source that everything up to here is durable at the target, so that the log may be dropped. Returns at once.
    fn confirm(&mut self, position: &Position);

    /// Whether a place of this log is at `position` or past it.
    fn has_reached(&self, place: &dyn LogPlace, position: &Position) -> bool;
}

/// A place between two transactions of the log. Its notation is only made when it is asked for.
pub trait LogPlace: Send + Sync + fmt::Debug {
    /// The position from which a stream goes on after this place.
    fn position(&self) -> Position;
}

/// Some events of the log in order, with the bytes that they lie in.
#[derive(Debug)]
pub struct ChangeBlock {
    /// The events.
    pub events: Vec<LogEvent>,
    /// Where the rows of these events, and of no others, are decoded.
    pub rows: Arc<dyn ChangeRows>,
}

/// A table of the stream: small numbers, given out by the stream, stable while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// One event of the log.
#[derive(Clone, Debug)]
pub enum LogEvent {
    /// The shape of a table from here on. Comes before the table's first change, and again whenever its name or its columns
    /// change; a column that keeps its `id` is the same one. Before the first transaction it tells what the stream was opened with.
    Table {
        /// Its number in what follows.
        id: TableId,
        /// Rows hold the values of its loaded columns, in catalog order.
        table: Arc<Table>,
    },
    /// From here on the log tells rows of a table apart by other columns, which it has as its key here. The table itself is what it was.
    Identified {
        /// Its number.
        id: TableId,
        /// With that key.
        table: Arc<Table>,
    },
    /// A transaction begins.
    Begin {
        /// For the rule of the view.
        mark: TransactionMark,
        /// When it was committed by the source's clock, in microseconds since 1970, where the log tells so before its rows.
        committed_at_us: Option<i64>,
    },
    /// A row came.
    Insert {
        /// Where.
        table: TableId,
        /// The row, whole.
        after: RowAt,
    },
    /// A row changed.
    Update {
        /// Where.
        table: TableId,
        /// The old row, or its key with the rest not sent. `None`: the key did not change and is in `after`.
        before: Option<RowAt>,
        /// The new row. Cells that did not change may be not sent.
        after: RowAt,
    },
    /// A row went.
    Delete {
        /// Where.
        table: TableId,
        /// The old row, or its key with the rest not sent.
        before: RowAt,
    },
    /// All rows of a table went.
    Truncate {
        /// Where.
        table: TableId,
    },
    /// A table went. Its number comes no more.
    Dropped {
        /// Which.
        table: TableId,
    },
    /// A table has another name from here on, in a log that knows tables by their names alone. Nothing of it comes behind the
    /// transaction: the stream is to be opened again there, with the table under its new name.
    Renamed {
        /// Which.
        table: TableId,
        /// What it is called now.
        to: TableName,
    },
    /// Changes of a table may be missing in the log, wherever this comes in it: somebody changed what the source tells the task. Its rows have to be
    /// read again, once no transaction is open.
    Gap {
        /// Which.
        table: TableId,
        /// How that came.
        why: String,
    },
    /// Rows of a table came, went or changed in a way that the log does not tell, or can be read no more. Nothing of it comes behind,
    /// unless its rows hold the transaction.
    Rewritten {
        /// Which.
        table: TableId,
        /// How.
        why: String,
    },
    /// A table came to be that the stream was not asked for, or got this name.
    Created {
        /// Its name.
        table: TableName,
    },
    /// The transaction is complete.
    Commit {
        /// The place right after it.
        place: Arc<dyn LogPlace>,
        /// When it was committed by the source's clock, in microseconds since 1970.
        committed_at_us: i64,
    },
    /// Nothing of interest came up to this place, which lies between transactions.
    Idle {
        /// The place.
        place: Arc<dyn LogPlace>,
        /// When the transaction before it was committed, of which nothing is of interest, in microseconds since 1970 by the source's clock. `None`: the
        /// log ends here, as far as the source tells.
        committed_at_us: Option<i64>,
    },
}

/// Where a row version lies within its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowAt {
    /// The table as which it is decoded: the index of a shape within the block's rows.
    pub shape: u32,
    /// Offset of its first byte.
    pub offset: u32,
    /// Whether every loaded column has a value or NULL: none is not sent.
    pub is_whole: bool,
}

/// The rows of a block.
pub trait ChangeRows: Send + Sync + fmt::Debug {
    /// Bytes held in memory, for bounds.
    fn byte_count(&self) -> usize;

    /// Decodes one row version and hands its cells, one for each loaded column, to `visit`.
    ///
    /// # Errors
    /// The visitor's; or [`Error::Row`] when a cell is not what its column's type promises.
    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error>;

    /// Decodes an old row version, which is there to find a row by its key, given by the places of the key's cells: others that cannot be read
    /// are not sent. So a change that mends or removes a row is not refused for what it takes away. Without a key, rows are found by all their
    /// cells, and all have to be readable.
    ///
    /// # Errors
    /// Those of [`Self::decode`], unless cells outside the key are to blame.
    fn decode_old(
        &self,
        row: RowAt,
        _key: &[usize],
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        self.decode(row, visit)
    }
}

/// Rows made elsewhere, to be written to one table: cells for each column of the target table, in order.
pub trait RowSet: Send + Sync {
    /// How many rows there are.
    fn row_count(&self) -> usize;

    /// Hands row after row to `visit`.
    ///
    /// # Errors
    /// The visitor's, or that of decoding a row.
    fn visit(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error>;

    /// Hands the rows behind the first `skipped` to `visit`. Whoever can skip rows without decoding them does.
    ///
    /// # Errors
    /// As [`RowSet::visit`].
    fn visit_behind(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut seen = 0;
        self.visit(&mut |cells| {
            seen += 1;
            if seen > skipped { visit(cells) } else { Ok(()) }
        })
    }
}

/// What became of a table's rows in a batch: at most one change per key, so that their order does not matter within a kind.
///
/// One key may be among those that go and those that come: a row that was there, or was not, and comes anew. To be applied in the order
/// deletes, updates, inserts.
#[derive(Clone, Copy)]
pub struct NetChanges<'a> {
    /// The table. Without a key, there are only rows that come.
    pub table: &'a TargetTable,
    /// Keys that go; cells outside the key may be not sent.
    pub deletes: &'a dyn RowSet,
    /// Rows that exist and keep their key; cells not sent stay as they are.
    pub updates: &'a dyn RowSet,
    /// Rows that come, whole.
    pub inserts: &'a dyn RowSet,
}

/// One change to be applied as a statement of its own.
#[derive(Clone, Copy)]
pub struct SingleChange<'a> {
    /// The table. Without a key the row is found by all cells that were sent, NULL equal to NULL, and one row is changed.
    pub table: &'a TargetTable,
    /// What happened.
    pub kind: SingleKind,
    /// Where the row versions are decoded.
    pub rows: &'a dyn ChangeRows,
}

/// What happened to one row, or to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SingleKind {
    /// The row comes.
    Insert {
        /// The row.
        after: RowAt,
    },
    /// The row changes.
    Update {
        /// The old row or key; `None` when the key is in `after` and unchanged.
        before: Option<RowAt>,
        /// The new row.
        after: RowAt,
    },
    /// The row goes.
    Delete {
        /// The old row or key.
        before: RowAt,
    },
    /// All rows go.
    Truncate,
}

/// How many rows of the target a call touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppliedCount {
    /// Rows removed.
    pub deleted: u64,
    /// Rows found for an update, changed by it or not.
    pub updated: u64,
    /// Rows added.
    pub inserted: u64,
}

/// Applies changes over one connection: `begin`, any number of `apply…`, `commit`.
///
/// The rows and the checkpoint become visible in one transaction. Dropping an applier, or beginning anew, rolls back.
/// Triggers and foreign keys of the target do not act where the target allows that to be said for a session.
#[async_trait]
pub trait Applier: Send {
    /// Opens a transaction. What it takes may travel with the first call after it.
    ///
    /// # Errors
    /// [`Error::Fenced`] when a later epoch owns the task, here or in any later call up to the commit: nothing was written, and nothing can
    /// be.
    async fn begin(&mut self) -> Result<(), Error>;

    /// Applies the net changes of one table by set-based statements.
    ///
    /// Counts smaller than the number of rows given mean that rows were not there: the caller decides.
    ///
    /// # Errors
    /// [`Error::Row`] when a value cannot be held or a constraint is violated. The open transaction has been put back to
    /// where it was before this call, and may be gone on with.
    async fn apply_net(&mut self, changes: NetChanges<'_>) -> Result<AppliedCount, Error>;

    /// Takes back what a call of [`Self::apply_net`] did that succeeded and was the last of all calls.
    async fn undo_net(&mut self) -> Result<(), Error>;

    /// Applies changes one after another in the given order, as few round trips as the protocol allows.
    ///
    /// Returns the count of rows touched for each change.
    ///
    /// # Errors
    /// As [`Self::apply_net`], all changes of the call undone.
    async fn apply_single(&mut self, changes: &[SingleChange<'_>]) -> Result<Vec<u64>, Error>;

    /// Marks where the open transaction is, for [`Self::back_to_mark`]. There is one mark at a time.
    async fn mark(&mut self) -> Result<(), Error>;

    /// Takes the mark away; what was applied since stays.
    async fn drop_mark(&mut self) -> Result<(), Error>;

    /// Undoes what was applied since the mark, and takes it away.
    async fn back_to_mark(&mut self) -> Result<(), Error>;

    /// Writes down within the open transaction what becomes of the task's tables.
    async fn record(&mut self, changes: &[RecordChange]) -> Result<(), Error>;

    /// Writes down within the open transaction what was refused.
    async fn report(&mut self, exceptions: &[ApplyException]) -> Result<(), Error>;

    /// Whether [`Self::define`] is part of the open transaction. Where it is not, it is called between transactions.
    fn defines_in_transaction(&self) -> bool;

    /// Notes that the task feeds one more table of the target ([`crate::Target::feed`]), before a table gets that name. Called where
    /// [`Self::define`] may be. Answers who else feeds it, and then nothing is noted.
    async fn feed_also(
        &mut self,
        table: &TableName,
        feeding: Feeding,
    ) -> Result<Option<FedTable>, Error>;

    /// Foreign keys that refer to one of these tables and act on what is applied: the table that has it, and its name. None where foreign
    /// keys do not act on this connection.
    async fn acting_references(
        &mut self,
        _tables: &[TableName],
    ) -> Result<Vec<(TableName, String)>, Error> {
        Ok(Vec::new())
    }

    /// Changes the definition of a table, as far as that has not been done already.
    ///
    /// # Errors
    /// [`Error::Table`] when the target refuses, in its own words. The open transaction may be gone on with.
    async fn define(&mut self, definition: &Definition) -> Result<(), Error>;

    /// Checks what the target would check at the commit: constraints that wait for it. Nothing is changed by it. A target without such constraints has nothing to
    /// check.
    ///
    /// # Errors
    /// [`Error::Row`] when such a constraint is violated; the open transaction may be gone on with.
    async fn check_deferred(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Commits the rows together with the checkpoint. On return both are durable.
    ///
    /// # Errors
    /// [`Error::Row`] when a constraint that waited for the commit is violated: the transaction is gone. [`Error::Fenced`];
    /// [`Error::Transient`] leaves the fate of the transaction unknown:
    /// [`crate::Target::checkpoint`] on a new connection tells.
    async fn commit(&mut self, checkpoint: &Checkpoint) -> Result<(), Error>;

    /// Gives the open transaction up.
    async fn rollback(&mut self) -> Result<(), Error>;
}
