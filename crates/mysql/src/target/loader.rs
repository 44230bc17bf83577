//! Loading chunks by LOAD DATA LOCAL INFILE.
//!
//! A chunk is one transaction of several LOAD DATA statements. Each is kept small enough that its text stays in memory until
//! the server has answered, so that a refused row can be named; but rows flow to the server while the statement is open.

use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::{ChunkCommit, ChunkLoad, Error, Loader, RowBlock, RowCursor, TaskFence};
use whimbrel_core::ChunkId;

use super::control::{self, Held};
use super::layout::Layout;
use super::verdict;
use crate::errors::{general, of_table};
use crate::wire::{Connection, WireError};

mod wide;

use wide::PieceWriter;
pub(super) use wide::takes_parts;

/// Text of a LOAD DATA statement, but for the last block: a round trip per so many bytes costs nothing to speak of.
const STATEMENT_BYTES: usize = 2 * 1024 * 1024;

/// Room for text that is kept from statement to statement.
const TEXT_BYTES_KEPT: usize = 2 * STATEMENT_BYTES;

const DOING: &str = "load rows into the target table";

/// Writes chunks over one connection.
pub(super) struct MysqlLoader {
    connection: Connection,
    fence: TaskFence,
    /// Of the table loaded last: most chunks in a row are of one table.
    layout: Option<Arc<Layout>>,
    open: Option<OpenChunk>,
}

struct OpenChunk {
    layout: Arc<Layout>,
    chunk: ChunkId,
    /// The most rows of one statement.
    rows_max: u64,
    /// Rows of the open statement as text.
    text: Vec<u8>,
    /// How much of it the server has been sent.
    sent: usize,
    /// Rows in `text`.
    statement_rows: u64,
    is_loading: bool,
    /// Each block is taken whole or not at all.
    sifts: bool,
    /// A row that has been begun and goes in parts.
    pieces: Option<PieceWriter>,
    total: ChunkCommit,
}

/// Where statements end within the text of a block, with their rows.
struct Cut {
    at: usize,
    rows: u64,
}

impl MysqlLoader {
    pub(super) fn new(connection: Connection, fence: TaskFence) -> Self {
        Self {
            connection,
            fence,
            layout: None,
            open: None,
        }
    }

    async fn layout(&mut self, load: &ChunkLoad<'_>) -> Result<Arc<Layout>, Error> {
        match &self.layout {
            Some(layout)
                if layout.target == load.table.name && layout.source == load.table.source.name =>
            {
                Ok(Arc::clone(layout))
            }
            _ => {
                let layout = Arc::new(Layout::read(&mut self.connection, load.table).await?);
                self.layout = Some(Arc::clone(&layout));
                Ok(layout)
            }
        }
    }

    /// Rolls back after an error; the error is what matters, so one of the rollback only leaves the connection unusable.
    async fn give_up(&mut self, error: Error) -> Error {
        if let Err(second) = self.roll_back().await {
            tracing::debug!(error = %second, "the rollback failed too");
        }
        error
    }

    async fn roll_back(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        if open.is_loading {
            // The statement must come to its end before the server listens again.
            match self.connection.end_load().await {
                Ok(_) | Err(WireError::Server(_)) => {}
                Err(error) => return Err(general(error, DOING)),
            }
        }
        self.connection
            .execute("ROLLBACK")
            .await
            .map(drop)
            .map_err(|error| general(error, "roll back"))
    }
}

impl OpenChunk {
    /// Appends the block's rows to the text; answers where statements must end.
    fn encode(&mut self, block: &dyn RowBlock) -> Result<Vec<Cut>, Error> {
        let Self {
            layout,
            text,
            rows_max,
            statement_rows,
            ..
        } = self;
        let mut cuts = Vec::new();
        if block.byte_count() >= STATEMENT_BYTES {
            // One large row. Its text is about as long; growing by doubling would hold it several times.
            text.reserve_exact(block.byte_count() + block.byte_count() / 16);
        }
        block.decode(&mut |values| {
            if *statement_rows == *rows_max {
                cuts.push(Cut {
                    at: text.len(),
                    rows: *statement_rows,
                });
                *statement_rows = 0;
            }
            layout.encode(values, text)?;
            *statement_rows += 1;
            Ok(())
        })?;
        Ok(cuts)
    }

    fn failed(&self, error: WireError) -> Error {
        of_table(error, &self.layout.source, DOING)
    }

    /// Sends what has not been sent, up to `end`.
    async fn send(&mut self, connection: &mut Connection, end: usize) -> Result<(), Error> {
        if self.sent >= end {
            return Ok(());
        }
        if !self.is_loading {
            connection
                .begin_load(&self.layout.load)
                .await
                .map_err(|error| self.failed(error))?;
            self.is_loading = true;
        }
        connection
            .load(&self.text[self.sent..end])
            .await
            .map_err(|error| self.failed(error))?;
        self.sent = end;
        Ok(())
    }

    /// Ends the open statement after `cut`, and checks that the server took every row as it was.
    async fn end_statement(&mut self, connection: &mut Connection, cut: Cut) -> Result<(), Error> {
        self.send(connection, cut.at).await?;
        if !self.is_loading {
            return Ok(());
        }
        self.is_loading = false;
        let text = &self.text[..cut.at];
        let done = match connection.end_load().await {
            Ok(done) => done,
            Err(WireError::Server(error))
                if matches!(error.sqlstate.get(..2), Some("22" | "23")) =>
            {
                return Err(
                    verdict::explain(&self.layout, text, error.code, &error.message).into(),
                );
            }
            Err(error) => return Err(self.failed(error)),
        };
        if !verdict::is_clean(&done, cut.rows) {
            let warnings = connection
                .rows(verdict::SHOW)
                .await
                .map_err(|error| self.failed(error))?;
            if !verdict::is_only_advice(&done, cut.rows, &warnings) {
                return Err(verdict::refusal(&self.layout, text, &done, &warnings).into());
            }
        }
        self.total.row_count += cut.rows;
        self.text.drain(..cut.at);
        // A large row's room is not kept for small ones.
        self.text.shrink_to(TEXT_BYTES_KEPT);
        self.sent = 0;
        Ok(())
    }

    async fn write(
        &mut self,
        connection: &mut Connection,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        if block.is_part() {
            return self.write_part(connection, block).await;
        }
        self.check_between_rows()?;
        if let Some(cursor) = RowCursor::of(block) {
            return self.write_wide(connection, block, cursor).await;
        }
        let cuts = self.encode(block)?;
        self.send_cut(connection, cuts).await?;
        if self.text.len() >= STATEMENT_BYTES {
            self.end_last(connection).await?;
        } else {
            self.send(connection, self.text.len()).await?;
        }
        self.total.byte_count += block.byte_count() as u64;
        Ok(())
    }

    /// Writes a block in statements of its own, to be undone without the rest of the chunk.
    async fn write_sifted(
        &mut self,
        connection: &mut Connection,
        block: &dyn RowBlock,
    ) -> Result<(), Error> {
        let before = self.total;
        let cuts = match self.encode(block) {
            Ok(cuts) => cuts,
            Err(error) => {
                self.drop_text();
                return Err(error);
            }
        };
        self.run(connection, "SAVEPOINT sifted").await?;
        let written = async {
            self.send_cut(connection, cuts).await?;
            self.end_last(connection).await
        };
        match written.await {
            Ok(()) => self.total.byte_count += block.byte_count() as u64,
            Err(Error::Row(refusal)) => {
                self.total = before;
                self.drop_text();
                self.run(connection, "ROLLBACK TO SAVEPOINT sifted").await?;
                return Err(Error::Row(refusal));
            }
            Err(error) => return Err(error),
        }
        self.run(connection, "RELEASE SAVEPOINT sifted").await
    }

    /// Forgets the rows that were not taken.
    fn drop_text(&mut self) {
        self.text.clear();
        self.sent = 0;
        self.statement_rows = 0;
    }

    async fn run(&self, connection: &mut Connection, sql: &str) -> Result<(), Error> {
        let done = connection.execute(sql).await;
        done.map(drop).map_err(|error| self.failed(error))
    }

    /// Ends the statement that is open, with all rows that there are.
    async fn end_last(&mut self, connection: &mut Connection) -> Result<(), Error> {
        let cut = Cut {
            at: self.text.len(),
            rows: self.statement_rows,
        };
        self.end_statement(connection, cut).await?;
        self.statement_rows = 0;
        Ok(())
    }

    /// Ends statements where a bound on their rows wants it.
    async fn send_cut(&mut self, connection: &mut Connection, cuts: Vec<Cut>) -> Result<(), Error> {
        let mut gone = 0;
        for Cut { at, rows } in cuts {
            self.end_statement(
                connection,
                Cut {
                    at: at - gone,
                    rows,
                },
            )
            .await?;
            gone = at;
        }
        Ok(())
    }

    /// Ends the last statement and writes the record of the chunk.
    async fn complete(
        &mut self,
        connection: &mut Connection,
        fence: &TaskFence,
    ) -> Result<ChunkCommit, Error> {
        self.check_between_rows()?;
        self.end_last(connection).await?;
        let source = &self.layout.source;
        let recorded = control::record_chunk(connection, fence, source, self.chunk, self.total)
            .await
            .map_err(|error| of_table(error, source, "record a chunk"))?;
        control::check_fence(connection, fence, Held::UntilCommit).await?;
        if !recorded {
            return Err(Error::record_lost(source));
        }
        Ok(self.total)
    }
}

#[async_trait]
impl Loader for MysqlLoader {
    async fn begin(&mut self, load: ChunkLoad<'_>) -> Result<(), Error> {
        self.roll_back().await?;
        let source = &load.table.source.name;
        if load.raw.is_some() {
            return Err(Error::Fatal(
                "MySQL and MariaDB take decoded rows only".to_owned(),
            ));
        }
        control::check_fence(&mut self.connection, &self.fence, Held::Now).await?;
        let layout = self.layout(&load).await?;
        self.connection
            .execute("START TRANSACTION")
            .await
            .map_err(|error| of_table(error, source, DOING))?;
        self.open = Some(OpenChunk {
            layout,
            chunk: load.chunk,
            rows_max: load
                .statement_rows_max
                .map_or(u64::MAX, |rows| u64::from(rows.max(1))),
            text: Vec::new(),
            sent: 0,
            statement_rows: 0,
            is_loading: false,
            sifts: load.sifts,
            pieces: None,
            total: ChunkCommit {
                row_count: 0,
                byte_count: 0,
            },
        });
        Ok(())
    }

    async fn write(&mut self, block: &dyn RowBlock) -> Result<(), Error> {
        let Some(open) = &mut self.open else {
            return Err(Error::Fatal(
                "rows were written without an open chunk".to_owned(),
            ));
        };
        let sifts = open.sifts;
        let written = if sifts {
            open.write_sifted(&mut self.connection, block).await
        } else {
            open.write(&mut self.connection, block).await
        };
        match written {
            Ok(()) => Ok(()),
            Err(Error::Row(refusal)) if sifts => Err(Error::Row(refusal)),
            Err(error) => Err(self.give_up(error).await),
        }
    }

    async fn commit(&mut self) -> Result<ChunkCommit, Error> {
        let Some(open) = &mut self.open else {
            return Err(Error::Fatal("there is no open chunk to commit".to_owned()));
        };
        let completed = open.complete(&mut self.connection, &self.fence).await;
        let total = match completed {
            Ok(total) => total,
            Err(error) => return Err(self.give_up(error).await),
        };
        let source = open.layout.source.clone();
        self.open = None;
        self.connection
            .execute("COMMIT")
            .await
            .map_err(|error| of_table(error, &source, "commit a chunk"))?;
        Ok(total)
    }

    async fn rollback(&mut self) -> Result<(), Error> {
        self.roll_back().await
    }
}
