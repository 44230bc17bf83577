use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::{ChunkReader, Error, RawFormat, ReadFormat, ReadRequest, RowBlock};
use whimbrel_core::{ColumnType, Table, TableName};

use super::chunk::ChunkRange;
use super::filter::Conditions;
use super::parts::PartReader;
use super::rows::{PgRows, RowLayout};
use super::snapshot::import_sql;
use crate::connect::connect;
use crate::errors::{general, of_table};
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, WireError};

/// Where a reader's connection stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Under the snapshot, no COPY running.
    Idle,
    /// In the middle of a COPY.
    Copying,
    /// The transaction was aborted by an error of the server.
    Aborted,
}

/// Reads chunks under an imported snapshot.
pub(super) struct PostgresReader {
    options: Arc<Options>,
    snapshot: String,
    connection: Connection,
    state: State,
    open: Option<OpenChunk>,
}

/// The header and the trailer of COPY are in no row, and are found in one part.
const PART_BYTES_MIN: usize = 64;

struct OpenChunk {
    table: TableName,
    /// What to ask once the rows are read, and the answer to expect: the file, and how many columns are what they were.
    origin: Option<(String, [u32; 2])>,
    layout: Arc<RowLayout>,
    block_bytes: usize,
    format: ReadFormat,
    /// The row that comes in parts and is looked into.
    parts: PartReader,
}

impl PostgresReader {
    pub(super) async fn open(options: Arc<Options>, snapshot: String) -> Result<Self, Error> {
        let connection = under_snapshot(&options, &snapshot).await?;
        Ok(Self {
            options,
            snapshot,
            connection,
            state: State::Idle,
            open: None,
        })
    }

    /// Brings the connection back under the snapshot, whatever happened on it.
    async fn recover(&mut self) -> Result<(), Error> {
        match self.state {
            State::Idle => {}
            // The rest of the rows would have to be read first: a new connection is cheaper.
            State::Copying => {
                self.connection = under_snapshot(&self.options, &self.snapshot).await?;
            }
            State::Aborted => {
                let sql = format!("ROLLBACK; {}", import_sql(&self.snapshot));
                self.connection.query(&sql).await.map_err(snapshot_lost)?;
            }
        }
        self.state = State::Idle;
        Ok(())
    }

    /// Checks that the rows were read from the file that the chunk was planned for, and from the columns that it was planned for.
    ///
    /// TRUNCATE empties a table for older snapshots too, and VACUUM FULL or CLUSTER give rows other places: both begin a new file. A column
    /// that took the place or the name of another one does not, and is read for the rows of older snapshots.
    /// COPY keeps its lock on the table to the end of our transaction, so asking after it covers the whole of it.
    async fn check_origin(&mut self) -> Result<(), Error> {
        let Some(OpenChunk {
            table,
            origin: Some((sql, expected)),
            ..
        }) = self.open.take()
        else {
            return Ok(());
        };
        let rows = match self.connection.query(&sql).await {
            Ok(rows) => rows,
            Err(error) => return Err(self.fail(error, &table)),
        };
        let told = rows.iter().flatten().flatten();
        let told: Vec<Option<u32>> = told.map(|number| number.parse().ok()).collect();
        let why = match told[..] {
            [Some(file), Some(columns)] if [file, columns] == expected => return Ok(()),
            [Some(file), _] if file == expected[0] => {
                "columns of it were dropped or renamed (ALTER TABLE) while it was read; load it again"
            }
            _ => {
                "it was truncated or written anew (TRUNCATE, VACUUM FULL, CLUSTER, ALTER TABLE) while it was read; load it again"
            }
        };
        Err(Error::table(&table, why))
    }

    fn fail(&mut self, error: WireError, table: &TableName) -> Error {
        self.state = match error {
            WireError::Server(_) => State::Aborted,
            _ => State::Copying,
        };
        of_table(error, table, "read")
    }
}

async fn under_snapshot(options: &Options, snapshot: &str) -> Result<Connection, Error> {
    let mut connection = connect(options).await?;
    connection
        .query(&import_sql(snapshot))
        .await
        .map_err(snapshot_lost)?;
    Ok(connection)
}

/// The exporter's connection may be gone, and its snapshot with it: a new attempt takes a new one.
fn snapshot_lost(error: WireError) -> Error {
    match error {
        WireError::Server(error) => {
            Error::Transient(format!("the snapshot can no longer be imported: {error}"))
        }
        other => general(other, "import the snapshot"),
    }
}

#[async_trait]
impl ChunkReader for PostgresReader {
    async fn open(&mut self, request: ReadRequest<'_>) -> Result<(), Error> {
        self.open = None;
        self.recover().await?;
        let range = ChunkRange::parse(request.bounds)?;
        let filter = request.filter;
        let conditions = Conditions {
            table: request.table,
            is_utf8: self.connection.parameter("server_encoding") == Some("UTF8"),
        };
        let filter = filter.and_then(|filter| conditions.of(filter));
        let sql = copy_sql(request.table, &range, request.format, filter);
        self.state = State::Copying;
        if let Err(error) = self.connection.copy_out(&sql).await {
            return Err(self.fail(error, &request.table.name));
        }
        self.open = Some(OpenChunk {
            table: request.table.name.clone(),
            origin: origin(request.table, &range),
            layout: Arc::new(RowLayout::new(request.table, request.format)),
            block_bytes: request.block_bytes,
            format: request.format,
            parts: PartReader::default(),
        });
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Box<dyn RowBlock>>, Error> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let block = if open.format == ReadFormat::Decoded {
            self.connection.copy_out_block(open.block_bytes).await
        } else {
            // Nobody looks into the rows, or into no more than the cells of theirs, so that long ones need not be whole.
            let part_bytes = open.block_bytes.max(PART_BYTES_MIN);
            self.connection.copy_out_parts(part_bytes).await
        };
        match block {
            Ok(Some(block)) if open.format == ReadFormat::InParts && block.is_part => {
                let part = open.parts.part(&block, &open.layout)?;
                Ok(Some(Box::new(part)))
            }
            Ok(Some(block)) => Ok(Some(Box::new(PgRows {
                block,
                layout: Arc::clone(&open.layout),
            }))),
            Ok(None) => {
                open.parts.end(&open.layout)?;
                self.state = State::Idle;
                self.check_origin().await?;
                Ok(None)
            }
            Err(error) => {
                let table = open.table.clone();
                self.open = None;
                Err(self.fail(error, &table))
            }
        }
    }
}

/// Asks for the number of the file that the chunk's relation has now, and how many of the columns that are loaded have the names that they have
/// under the snapshot. `None` for a relation without a file.
///
/// A query of the catalog is answered as of the snapshot, and functions that name an object as of now. Of another type than it was described with
/// a column is only in a new file, or its values are the same bytes.
fn origin(table: &Table, range: &ChunkRange) -> Option<(String, [u32; 2])> {
    let file = range.file?;
    let relation = quote::table(range.partition.as_ref().unwrap_or(&table.name));
    let relation = quote::literal(&relation);
    let names: Vec<String> = table
        .loaded_columns()
        .map(|column| quote::literal(&column.name))
        .collect();
    let sql = format!(
        "SELECT pg_relation_filenode({relation}::regclass), (
             SELECT count(*) FROM pg_attribute a, pg_identify_object_as_address('pg_class'::regclass, a.attrelid, a.attnum) now
             WHERE a.attrelid = {relation}::regclass AND a.attname = ANY (ARRAY[{}]::name[]) AND a.attname = now.object_names[3])",
        names.join(", ")
    );
    Some((sql, [file, u32::try_from(names.len()).ok()?]))
}

/// What is selected of a row: decoded ones hold as text what no decoder knows.
pub(super) fn columns_sql(table: &Table, is_decoded: bool) -> String {
    let columns = table.loaded_columns().map(|column| {
        let name = quote::identifier(&column.name);
        match &column.ty {
            // A cast of `inet` adds the length of the mask even where it is full; everywhere else a value looks as its
            // type's output function writes it, which is what this answers.
            ColumnType::Native { kind } if is_decoded && kind == "inet" => {
                format!("pg_catalog.abbrev({name}::inet)")
            }
            ColumnType::Native { .. } if is_decoded => format!("{name}::text"),
            _ => name,
        }
    });
    columns.collect::<Vec<String>>().join(", ")
}

/// The COPY that reads a chunk. Names come from the catalog and pass through `quote`; the range holds numbers only.
fn copy_sql(
    table: &Table,
    range: &ChunkRange,
    format: ReadFormat,
    filter: Option<String>,
) -> String {
    let relation = quote::table(range.partition.as_ref().unwrap_or(&table.name));
    let is_decoded = format.raw().is_none();
    let columns = columns_sql(table, is_decoded);
    let format = match format.raw() {
        None | Some(RawFormat::PgCopyBinary) => "binary",
        Some(RawFormat::PgCopyText) => "text",
    };
    // COPY of a table itself skips the executor. It takes no expressions, no table without columns, and no partitioned table,
    // which is what a chunk without a file names.
    let is_table = range.is_whole() && range.file.is_some() && filter.is_none();
    if is_table && !is_decoded && !columns.is_empty() {
        return format!("COPY {relation} ({columns}) TO STDOUT (FORMAT {format})");
    }
    let in_range = (!range.is_whole()).then(|| range.condition());
    let conditions: Vec<String> = in_range.into_iter().chain(filter).collect();
    let condition = if conditions.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", conditions.join(" AND "))
    };
    format!("COPY (SELECT {columns} FROM ONLY {relation}{condition}) TO STDOUT (FORMAT {format})")
}
