//! Change capture from the binary log.
//!
//! ```text
//!  socket ─► feed (reads ahead, bounded) ─► input (checksums, inflates) ─► assembler (transactions) ─► blocks
//!                                                                             ▲
//!                                                    catalog ─► layouts ──────┘
//! ```
//!
//! Why nothing is lost and nothing comes twice: a stream begins at a place between two transactions and hands over the
//! transactions behind it in the log's order, each with the place behind it. Every event is either understood, or of a kind
//! known to matter to nobody, or an error; its checksum is verified; and a log that no longer reaches back to the place is
//! refused by the server. Which transactions a snapshot holds, places tell exactly, and whether a log is the one that was read before; see
//! `place`.
//!
//! Why values are what a full load gives: rows are only decoded by a layout on which the log and the catalog agree, and
//! every form of value has a test that compares both ways on real servers.
//!
//! A stream is opened with the tables as they were at its place, and each announcement of a table's rows is compared with them. The
//! catalog only knows what a table is now: when a stream meets the definition of a table it asks the catalog, once that has what the log
//! tells, and takes its answer only if nothing later in the log defines the table again ([`ahead`]). Where log and table do not agree the
//! rows are to be loaded again; nothing is guessed.
//!
//! *Columns are those of the place.* Unless `binlog_row_metadata` is FULL a row names no column: two columns of one type that changed places or
//! names are told apart by what the table was there alone. No history of definitions by position is kept beyond one entry for each table,
//! the shape that the target has with the checkpoint, because no other is ever needed:
//!
//! - *Before that place*, rows come again only for tables that hold them already (the log is read again for one that was loaded meanwhile); such
//!   rows are passed over, and not decoded.
//! - *Behind it*, each definition comes in the log before the rows that it is for. The catalog's answer is that definition if nothing follows it up
//!   to the log's end; otherwise the table is loaded again, and its next shape is that of the load. To make the columns out of the
//!   statement's text instead would mean to have the parsers of all versions of two servers.
//! - *Not in the log* is what somebody altered with `sql_log_bin` switched off. When a stream is opened, tables are compared with the catalog, and
//!   one that differs though no statement tells is loaded again ([`since`]). While a stream runs such a statement is only seen where the count
//!   or the types of the columns change, or with FULL metadata.
//! - *A place that a user gives* for a task without a load comes with the tables of now: one that was altered in between is refused ([`since`]).

mod ahead;
mod assembler;
mod block;
mod charset;
mod checks;
mod codec;
mod defaults;
mod event;
mod feed;
mod fit;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod gtid;
mod head;
mod inflate;
mod json_diff;
mod jsonb;
mod layout;
mod locate;
mod numbers;
mod place;
mod prepared;
mod relay;
mod replica;
mod since;
mod statement;
mod stream;
mod table_map;
mod times;
mod walk;
mod watch;

use async_trait::async_trait;
use whimbrel_connector::{
    ChangeLog, ChangeStream, Error, LogStart, SnapshotView, StartPoint, TableFault,
};
use whimbrel_core::{Position, Table};

pub(crate) use self::assembler::Voids;
use self::assembler::{Assembler, Start};
use self::charset::Charsets;
pub(crate) use self::checks::{findings, is_limited, left_out};
use self::gtid::GtidTrack;
use self::locate::Search;
pub(crate) use self::locate::bound;
use self::place::{Parsed, Place, View};
use self::stream::MysqlStream;
pub(crate) use self::watch::FileWatch;
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::source;
use crate::wire::{Connection, Purpose, WireError};

/// The binary log of a server, as one task reads it.
pub(crate) struct MysqlLog {
    options: Options,
    task: String,
    connection: Option<Connection>,
    /// What earlier streams have found out of transactions that were rolled back.
    voids: Voids,
    /// Whether statements that alter tables are followed.
    follows_definitions: bool,
}

impl MysqlLog {
    pub(crate) fn new(options: Options, task: &str, connection: Connection, voids: Voids) -> Self {
        Self {
            options,
            task: task.to_owned(),
            connection: Some(connection),
            voids,
            follows_definitions: true,
        }
    }

    /// One to which a table that is altered is another: it is told as rewritten, and the catalog is not asked what became of it.
    pub(crate) fn of_one_definition(
        options: Options,
        connection: Connection,
        voids: Voids,
    ) -> Self {
        Self {
            follows_definitions: false,
            ..Self::new(options, "", connection, voids)
        }
    }

    /// A connection for questions. One that failed half-way is replaced.
    async fn connection(&mut self) -> Result<&mut Connection, Error> {
        let connection = match self.connection.take() {
            Some(connection) if connection.is_ready() => connection,
            _ => connect(&self.options, Purpose::Read).await?,
        };
        Ok(self.connection.insert(connection))
    }

    async fn current(&mut self) -> Result<Position, Error> {
        let failed = |error: WireError| general(error, "read the place of the log's end");
        let connection = self.connection().await?;
        let position = match source::current_position(connection).await {
            // The server may have ended the connection while nobody asked.
            Err(WireError::Io(_) | WireError::Closed) => {
                self.connection = None;
                source::current_position(self.connection().await?).await
            }
            other => other,
        };
        position.map_err(failed)
    }
}

#[async_trait]
impl ChangeLog for MysqlLog {
    async fn prepare(&mut self, tables: &[Table]) -> Result<LogStart, Error> {
        self.connection().await?;
        let options = self.options.clone();
        let found = checks::check(&options, self.connection().await?, tables).await?;
        tracing::debug!(task = %self.task, "the source's log can be captured from");
        let position = self.current().await?;
        let engine = self.connection().await?.engine();
        Ok(LogStart {
            position: locate::bound(&options, engine, &position).await?,
            refused: found,
        })
    }

    async fn old_rows_untold(&mut self, tables: &[Table]) -> Result<Vec<TableFault>, Error> {
        if checks::tells_old_rows(self.connection().await?).await? {
            return Ok(Vec::new());
        }
        let fault = |table: &Table| {
            TableFault {
            table: table.name.clone(),
            message: "the log does not tell all of its rows before an update, for which rules of the table mappings ask; set binlog_row_image = FULL at the source".to_owned(),
        }
        };
        Ok(tables.iter().map(fault).collect())
    }

    async fn locate(&mut self, start: &StartPoint) -> Result<Position, Error> {
        let options = self.options.clone();
        let connection = self.connection().await?;
        let engine = connection.engine();
        let position = match start {
            StartPoint::Time(at_us) => {
                let mut search = Search::begin(&options, connection).await?;
                search.time(*at_us).await?
            }
            StartPoint::Given(given) => {
                if let Some(ids) = locate::ids_of(given, engine) {
                    let mut search = Search::begin(&options, connection).await?;
                    search.ids(&ids).await?
                } else {
                    let position = Position::new(given.as_str());
                    self.reaches_back(&position).await?;
                    position
                }
            }
        };
        locate::bound(&options, engine, &position).await
    }

    async fn reaches_back(&mut self, to: &Position) -> Result<(), Error> {
        let connection = self.connection().await?;
        let parsed = Parsed::new(to, connection.engine())?;
        checks::reaches_back(connection, &parsed).await?;
        locate::check_file(&self.options, &parsed).await
    }

    async fn altered_since(
        &mut self,
        tables: &[Table],
        from: &Position,
    ) -> Result<Vec<TableFault>, Error> {
        let options = self.options.clone();
        let connection = self.connection().await?;
        let parsed = Parsed::without_ids(from)?;
        since::altered(&options, connection, tables, &parsed).await
    }

    async fn open(
        &mut self,
        tables: &[Table],
        from: &Position,
    ) -> Result<Box<dyn ChangeStream>, Error> {
        let voids = Voids::clone(&self.voids);
        let connection = self.connection().await?;
        let engine = connection.engine();
        let parsed = Parsed::new(from, engine)?;
        checks::reaches_back(connection, &parsed).await?;
        let failed = |error| general(error, "read the character sets of the source");
        let mut charsets = Charsets::load(connection).await.map_err(failed)?;
        for name in tables.iter().flat_map(codec_charsets) {
            charsets.prepare(connection, name).await.map_err(failed)?;
        }
        let folds_case = connection
            .row("SELECT @@lower_case_table_names")
            .await
            .map_err(failed)?
            .is_some_and(|row| row.text(0) != "0");
        let options = self.options.clone();
        let connection = self.connection().await?;
        let unlogged = since::unlogged(&options, connection, tables, &parsed).await?;
        let start = Start {
            engine,
            charsets,
            tables: tables.to_vec(),
            folds_case,
            place: Place {
                file: parsed.file.clone(),
                offset: replica::first_offset(parsed.offset),
                begun: parsed.begun,
                gtids: GtidTrack::new(parsed.gtids.clone()),
            },
            skips_to: parsed.offset,
            unlogged,
            voids,
        };
        let input = replica::dump(&self.options, &parsed.file.name, parsed.offset).await?;
        let assembler = Assembler::new(start);
        let options = self.options.clone();
        let mut stream = MysqlStream::new(options, input, assembler);
        stream.follows_definitions = self.follows_definitions;
        Ok(Box::new(stream))
    }

    async fn end(&mut self) -> Result<Position, Error> {
        self.current().await
    }

    fn view(&self, snapshot: &Position) -> Result<Box<dyn SnapshotView>, Error> {
        if !source::is_exact(snapshot) {
            return Err(Error::Fatal(
                "the rows were loaded without a lock, so that nobody can tell which changes they hold already; grant RELOAD, or LOCK TABLES \
                 on the tables, to the source's user, and load them again"
                    .to_owned(),
            ));
        }
        let parsed = Parsed::without_ids(snapshot)?;
        Ok(Box::new(View { end: parsed.mark() }))
    }

    fn view_to(&self, position: &Position) -> Result<Box<dyn SnapshotView>, Error> {
        let parsed = Parsed::without_ids(position)?;
        Ok(Box::new(View { end: parsed.mark() }))
    }

    fn is_past(&self, position: &Position, other: &Position) -> Result<bool, Error> {
        let mark = |position| Parsed::without_ids(position).map(|parsed| parsed.mark());
        let (position, other) = (mark(position)?, mark(other)?);
        Ok((position.0, position.1) > (other.0, other.1))
    }

    /// Servers keep their logs by their own rules; nothing was made there.
    async fn remove(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Whether a position tells its file from another one of the same name.
pub(crate) fn tells_its_file(position: &Position) -> bool {
    Parsed::without_ids(position).is_ok_and(|parsed| parsed.begun.is_some())
}

/// The character sets that a table's columns need.
fn codec_charsets(table: &Table) -> impl Iterator<Item = &str> {
    table.columns.iter().filter_map(fit::charset_name)
}
