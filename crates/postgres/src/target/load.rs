use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::{
    ChunkCommit, ChunkLoad, Error, Loader, RawFormat, RefusalKind, RowBlock, RowCursor, RowRefusal,
    TargetTable, TaskFence,
};
use whimbrel_core::{ChunkId, Value};

use super::control::{self, Held};
use super::cut;
use super::{ActualColumn, KnownTables, run};
use crate::errors::of_table;
use crate::quote::{self, identifier};
use crate::types::TOO_LONG;
use crate::wire::Connection;

mod rows;
mod wide;

use rows::RowEncoder;
pub(super) use rows::key_text;
use wide::PieceWriter;
pub(super) use wide::takes_parts;

/// Begins and ends a binary COPY: `copyto.c`.
pub(super) const BINARY_HEADER: [u8; 19] = *b"PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0";
pub(super) const BINARY_TRAILER: [u8; 2] = [0xFF, 0xFF];

/// Around a block that may be undone.
const SET_ASIDE: &str = "SAVEPOINT sifted";
const PUT_BACK: &str = "ROLLBACK TO SAVEPOINT sifted";
const KEEP: &str = "RELEASE SAVEPOINT sifted";

/// Room for messages that is kept from block to block.
const MESSAGE_BYTES_KEPT: usize = 1024 * 1024;

/// Loads chunks by COPY, each in one transaction with its record.
pub(super) struct PostgresLoader {
    connection: Connection,
    fence: TaskFence,
    known: Arc<KnownTables>,
    open: Option<OpenChunk>,
    /// CopyData messages in the making, kept for their memory.
    message: Vec<u8>,
}

struct OpenChunk {
    table: TargetTable,
    chunk: ChunkId,
    format: Format,
    copy_sql: String,
    /// The most rows of one statement.
    statement_rows_max: u64,
    /// Rows of the running statement, and of the whole chunk.
    statement_rows: u64,
    rows: u64,
    bytes: u64,
    /// Each block is taken whole or not at all.
    sifts: bool,
    /// A row that has been begun and comes in parts.
    pieces: Option<PieceWriter>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    Raw(RawFormat),
    /// Encoded here as COPY BINARY.
    Binary(Arc<Vec<ActualColumn>>),
    /// Encoded here as COPY text, because a column's type has no encoder of its own.
    Text(Arc<Vec<ActualColumn>>),
}

impl Format {
    /// Whether rows stand between a header and a trailer.
    fn is_binary(&self) -> bool {
        self.name() == "binary"
    }

    /// The columns that rows are encoded for here.
    fn columns(&self) -> &[ActualColumn] {
        match self {
            Self::Raw(_) => &[],
            Self::Binary(columns) | Self::Text(columns) => columns,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Raw(RawFormat::PgCopyBinary) | Self::Binary(_) => "binary",
            Self::Raw(RawFormat::PgCopyText) | Self::Text(_) => "text",
        }
    }
}

impl PostgresLoader {
    pub(super) fn new(connection: Connection, fence: TaskFence, known: Arc<KnownTables>) -> Self {
        Self {
            connection,
            fence,
            known,
            open: None,
            message: Vec::new(),
        }
    }

    async fn format_of(&mut self, load: &ChunkLoad<'_>) -> Result<Format, Error> {
        if let Some(raw) = load.raw {
            if load.sifts {
                return Err(Error::Fatal(
                    "rows that are sifted are to be decoded".to_owned(),
                ));
            }
            return Ok(Format::Raw(raw));
        }
        let columns = self.known.columns(&mut self.connection, load.table).await?;
        let needs_text = columns.iter().any(|column| column.is_text_only);
        Ok(if needs_text {
            Format::Text(columns)
        } else {
            Format::Binary(columns)
        })
    }

    async fn start_statement(&mut self, open: &OpenChunk) -> Result<(), Error> {
        let copied = self.connection.copy_in(&open.copy_sql).await;
        copied.map_err(|error| of_table(error, &open.table.source.name, "begin to load"))
    }

    /// Begins a statement for rows that are encoded here.
    async fn start_rows(&mut self, open: &OpenChunk) -> Result<(), Error> {
        self.start_statement(open).await?;
        if let Format::Binary(_) = open.format {
            self.send(open, &framed(&BINARY_HEADER)).await?;
        }
        Ok(())
    }

    /// Ends a statement of rows that were encoded here.
    async fn end_rows(&mut self, open: &mut OpenChunk) -> Result<(), Error> {
        if let Format::Binary(_) = open.format {
            self.send(open, &framed(&BINARY_TRAILER)).await?;
        }
        self.end_statement(open).await
    }

    async fn end_statement(&mut self, open: &mut OpenChunk) -> Result<(), Error> {
        let source = &open.table.source.name;
        let taken = self.connection.copy_in_done().await;
        let taken = taken.map_err(|error| of_table(error, source, "load"))?;
        if taken != open.statement_rows {
            return Err(Error::table(
                source,
                format!(
                    "the target took {taken} of {} rows; see its log",
                    open.statement_rows
                ),
            ));
        }
        open.rows += taken;
        open.statement_rows = 0;
        Ok(())
    }

    /// Goes on in another statement.
    async fn cut(&mut self, open: &mut OpenChunk) -> Result<(), Error> {
        if open.format.is_binary() {
            self.send(open, &framed(&BINARY_TRAILER)).await?;
        }
        self.end_statement(open).await?;
        self.start_statement(open).await?;
        if open.format.is_binary() {
            self.send(open, &framed(&BINARY_HEADER)).await?;
        }
        Ok(())
    }

    /// Sends whole CopyData messages.
    async fn send(&mut self, open: &OpenChunk, messages: &[u8]) -> Result<(), Error> {
        let sent = self.connection.copy_in_framed(messages).await;
        sent.map_err(|error| of_table(error, &open.table.source.name, "load"))
    }

    /// Encodes the block's rows into messages, one for each statement that they belong to.
    fn encode(&mut self, open: &OpenChunk, block: &dyn RowBlock) -> Result<Vec<cut::Piece>, Error> {
        let mut encoder = RowEncoder {
            open,
            scratch: Vec::new(),
        };
        let message = &mut self.message;
        // Rows are about as long here as where they come from; growing by doubling would hold a large one several times.
        message.reserve(block.byte_count() + block.byte_count() / 16);
        let mut pieces = cut::Pieces::new(open.room(), open.statement_rows_max);
        pieces.open_frame(message);
        block.decode(&mut |row| {
            pieces.next_row(message);
            encoder.row(row, message)
        })?;
        pieces
            .finish(message)
            .ok_or_else(|| Error::table(&open.table.source.name, "a row is longer than 1 GiB"))
    }

    async fn write_encoded(
        &mut self,
        open: &mut OpenChunk,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        open.check_between_rows()?;
        self.message.clear();
        let pieces = self.encode(open, block)?;
        let mut message = std::mem::take(&mut self.message);
        self.write_pieces(open, &message, &pieces).await?;
        // A large row's room is not kept for small ones.
        message.clear();
        message.shrink_to(MESSAGE_BYTES_KEPT);
        self.message = message;
        Ok(())
    }

    /// Writes a block in statements of its own, to be undone without the rest of the chunk.
    async fn write_sifted(
        &mut self,
        open: &mut OpenChunk,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        self.message.clear();
        // Before the server hears of it: what is refused here costs it nothing.
        let pieces = self.encode(open, block)?;
        let message = std::mem::take(&mut self.message);
        let source = open.table.source.name.clone();
        let rows_before = open.rows;
        run(&mut self.connection, &source, "load", SET_ASIDE).await?;
        let written = async {
            self.start_rows(open).await?;
            self.write_pieces(open, &message, &pieces).await?;
            self.end_rows(open).await
        };
        let written = written.await;
        match &written {
            Ok(()) => open.bytes += block.byte_count() as u64,
            Err(Error::Row(_)) => {
                open.rows = rows_before;
                open.statement_rows = 0;
                let failed = self.connection.copy_in_fail().await;
                failed.map_err(|error| of_table(error, &source, "give up rows of"))?;
                run(&mut self.connection, &source, "load", PUT_BACK).await?;
            }
            Err(_) => return written,
        }
        run(&mut self.connection, &source, "load", KEEP).await?;
        self.message = message;
        self.message.clear();
        self.message.shrink_to(MESSAGE_BYTES_KEPT);
        written
    }

    async fn write_pieces(
        &mut self,
        open: &mut OpenChunk,
        messages: &[u8],
        pieces: &[cut::Piece],
    ) -> Result<(), Error> {
        for piece in pieces {
            if piece.rows > 0 && open.room() == 0 {
                self.cut(open).await?;
            }
            self.send(open, &messages[piece.bytes.clone()]).await?;
            open.statement_rows += piece.rows;
        }
        Ok(())
    }

    async fn write_block(
        &mut self,
        open: &mut OpenChunk,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        match block.raw() {
            Some(raw) => {
                let rows = block.row_count() as u64;
                let pieces =
                    cut::of_messages(raw.bytes, rows, open.room(), open.statement_rows_max);
                self.write_pieces(open, raw.bytes, &pieces).await?;
            }
            None if block.is_part() => self.write_part(open, block).await?,
            None => match RowCursor::of(block) {
                Some(cursor) => self.write_wide(open, block, cursor).await?,
                None => self.write_encoded(open, block).await?,
            },
        }
        open.bytes += block.byte_count() as u64;
        Ok(())
    }

    async fn commit_open(&mut self, open: &mut OpenChunk) -> Result<ChunkCommit, Error> {
        if !open.sifts {
            self.end_rows(open).await?;
        }
        let source = &open.table.source.name;
        let commit = ChunkCommit {
            row_count: open.rows,
            byte_count: open.bytes,
        };
        let recorded = control::record_chunk(
            &mut self.connection,
            &self.fence,
            source,
            open.chunk,
            commit,
        )
        .await
        .map_err(|error| of_table(error, source, "record a chunk of"))?;
        // Last, so that the task is held no longer than the commit takes.
        control::check_fence(&mut self.connection, &self.fence, Held::UntilCommit).await?;
        if !recorded {
            return Err(Error::record_lost(source));
        }
        run(&mut self.connection, source, "commit a chunk of", "COMMIT").await?;
        Ok(commit)
    }
}

/// A short payload as a CopyData message.
fn framed(payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(cut::FRAME_BYTES + payload.len());
    cut::start_frame(&mut message);
    message.extend_from_slice(payload);
    cut::end_frame(&mut message, 0).expect("a header and a trailer are short");
    message
}

impl OpenChunk {
    /// How many more rows the running statement may have.
    fn room(&self) -> u64 {
        self.statement_rows_max.saturating_sub(self.statement_rows)
    }

    fn refuse(&self, row: &[Value<'_>], index: usize, reason: &str) -> Error {
        let table = &self.table;
        let name = table.columns.get(index);
        let mut refusal = RowRefusal::value(
            &table.source.name,
            name.map_or("", |column| column.name.as_str()),
            row.get(index).unwrap_or(&Value::Null).kind(),
            reason,
        );
        if reason == TOO_LONG {
            refusal.kind = RefusalKind::TooLong;
        }
        refusal.key = key_text(table, row);
        refusal.into()
    }
}

/// The COPY of a chunk. `FREEZE` marks rows as old at once; the server allows it where the table was emptied in the same
/// transaction, so that nobody can see them too early.
fn copy_sql(table: &TargetTable, format: &Format, freezes: bool) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| identifier(&column.name))
        .collect();
    let freeze = if freezes { ", FREEZE" } else { "" };
    // An empty list is no SQL; without a list the same columns are meant.
    let list = if columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", columns.join(", "))
    };
    format!(
        "COPY {}{list} FROM STDIN (FORMAT {}{freeze})",
        quote::table(&table.name),
        format.name()
    )
}

#[async_trait]
impl Loader for PostgresLoader {
    async fn begin(&mut self, load: ChunkLoad<'_>) -> Result<(), Error> {
        self.rollback().await?;
        let format = self.format_of(&load).await?;
        let source = &load.table.source.name;
        run(&mut self.connection, source, "begin to load", "BEGIN").await?;
        let empties = load.is_only_chunk && self.known.is_emptied(&load.table.name);
        let open = OpenChunk {
            // The server freezes only what is written outside of savepoints.
            copy_sql: copy_sql(load.table, &format, empties && !load.sifts),
            table: load.table.clone(),
            chunk: load.chunk,
            format,
            statement_rows_max: load
                .statement_rows_max
                .map_or(u64::MAX, |rows| u64::from(rows.max(1))),
            statement_rows: 0,
            rows: 0,
            bytes: 0,
            sifts: load.sifts,
            pieces: None,
        };
        self.message.clear();
        let begun = async {
            control::check_fence(&mut self.connection, &self.fence, Held::Now).await?;
            if empties {
                // No partitioned table is marked as emptied.
                let sql = format!("TRUNCATE ONLY {}", quote::table(&load.table.name));
                run(&mut self.connection, source, "empty", &sql).await?;
            }
            if load.sifts {
                return Ok(());
            }
            self.start_rows(&open).await
        };
        if let Err(error) = begun.await {
            if !matches!(error, Error::Transient(_)) {
                run(&mut self.connection, source, "roll back", "ROLLBACK").await?;
            }
            return Err(error);
        }
        self.open = Some(open);
        Ok(())
    }

    async fn write(&mut self, block: &dyn RowBlock) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else {
            return Err(Error::Fatal(
                "a block was written without an open chunk".to_owned(),
            ));
        };
        let sifts = open.sifts;
        let written = if sifts {
            self.write_sifted(&mut open, block).await
        } else {
            self.write_block(&mut open, block).await
        };
        self.open = Some(open);
        match written {
            Err(Error::Row(refusal)) if sifts => Err(Error::Row(refusal)),
            Err(error) if !matches!(error, Error::Transient(_)) => {
                self.rollback().await?;
                Err(error)
            }
            other => other,
        }
    }

    async fn commit(&mut self) -> Result<ChunkCommit, Error> {
        if let Some(Err(error)) = self.open.as_ref().map(OpenChunk::check_between_rows) {
            self.rollback().await?;
            return Err(error);
        }
        let Some(mut open) = self.open.take() else {
            return Err(Error::Fatal("a commit without an open chunk".to_owned()));
        };
        let committed = self.commit_open(&mut open).await;
        if let Err(error) = &committed
            && !matches!(error, Error::Transient(_))
        {
            run(
                &mut self.connection,
                &open.table.source.name,
                "roll back",
                "ROLLBACK",
            )
            .await?;
        }
        committed
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let source = &open.table.source.name;
        let failed = self.connection.copy_in_fail().await;
        failed.map_err(|error| of_table(error, source, "give up the load of"))?;
        run(&mut self.connection, source, "roll back", "ROLLBACK").await
    }
}
