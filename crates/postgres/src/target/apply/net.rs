//! Net changes of one table, by set-based statements: deletes and updates join the table with arrays of values, inserts are copied.
//!
//! Arrays rather than a staging table: a temporary table costs as much to empty at each commit as a few hundred changes, for every
//! table that has one, and needs a privilege. The plans are made once, and lead through the key's index whatever the table's and
//! the batch's size (see [`super::session`]).

use std::sync::Arc;

use whimbrel_connector::{AppliedCount, Error, NetChanges, RowSet};
use whimbrel_core::Value;

use super::rows::Batch;
use super::shape::Shape;
use super::sql::{self, Statement};
use super::statements::{ColumnSet, StatementKey, StatementKind};
use super::values::{check_width, refuse};
use super::{CallError, PostgresApplier, Step, is_out_of_date, too_long};
use crate::errors::{copy_row, of_table};
use crate::target::load::{BINARY_HEADER, BINARY_TRAILER, key_text};
use crate::types::{Refused, encode_binary, encode_text};
use crate::wire::{Begun, Pipeline, ServerError, WireError};

/// Rows are sent when there are this many bytes.
const PART_BYTES: usize = 8 << 20;
/// One message of rows to be copied; the server's own reading goes by 64 KiB.
const FRAME_BYTES: usize = 64 << 10;

pub(super) async fn apply(
    applier: &mut PostgresApplier,
    changes: NetChanges<'_>,
) -> Result<AppliedCount, Error> {
    let found_by_key = changes.deletes.row_count() + changes.updates.row_count();
    if found_by_key > 0 && changes.table.primary_key.is_empty() {
        return Err(Error::Fatal(
            "net changes of rows were given for a table without a key".to_owned(),
        ));
    }
    let mut may_retry = true;
    loop {
        let shape = applier.shape(changes.table).await?;
        let (step, error) = match applied(applier, &shape, changes).await {
            Ok(count) => return Ok(count),
            Err(CallError::Error(error)) => return Err(error),
            Err(CallError::Refused(step, error)) => (step, error),
        };
        if !may_retry || !is_out_of_date(&error) {
            return Err(explain(step, error, changes));
        }
        applier.forget_shape(&changes.table.name);
        may_retry = false;
    }
}

async fn applied(
    applier: &mut PostgresApplier,
    shape: &Arc<Shape>,
    changes: NetChanges<'_>,
) -> Result<AppliedCount, CallError> {
    applier.begin_call()?;
    if let Err(error) = put_together(applier, shape, changes).await {
        return Err(applier.give_up_call(error).await);
    }
    let counts = applier.end_undoable_call().await?;
    applier.is_undoable = true;
    let mut count = AppliedCount::default();
    for (step, touched) in applier.steps.iter().zip(counts) {
        match *step {
            Step::Table(DELETE) => count.deleted += touched,
            Step::Table(UPDATE) => count.updated += touched,
            Step::Table(INSERT) => count.inserted += touched,
            _ => {}
        }
    }
    Ok(count)
}

const DELETE: &str = "delete rows of";
const UPDATE: &str = "update rows of";
const INSERT: &str = "insert rows into";

async fn put_together(
    applier: &mut PostgresApplier,
    shape: &Arc<Shape>,
    changes: NetChanges<'_>,
) -> Result<(), Error> {
    if changes.updates.row_count() > 0 {
        let columns = 0..shape.columns.len();
        shape.check_set(columns.filter(|&column| !shape.is_key(column)))?;
    }
    let has_joins = changes.deletes.row_count() + changes.updates.row_count() > 0;
    let needs_hash = has_joins && !shape.has_key_index;
    if needs_hash {
        applier.run(
            Step::Table("prepare to change"),
            "SET LOCAL enable_hashjoin = on",
        )?;
    }
    let mut join = Join::new(applier, shape);
    join.rows(changes.deletes, Kind::Delete).await?;
    join.rows(changes.updates, Kind::Update).await?;
    if needs_hash {
        applier.run(
            Step::Table("prepare to change"),
            "SET LOCAL enable_hashjoin = off",
        )?;
    }
    if changes.inserts.row_count() > 0 {
        applier.run(Step::Table(INSERT), &sql::copy_table(shape))?;
        copy(applier, shape, changes.inserts).await?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Delete,
    Update,
}

/// Deletes and updates on their way.
struct Join<'a> {
    applier: &'a mut PostgresApplier,
    shape: &'a Arc<Shape>,
    deletes: Batch,
    whole: Batch,
    masked: Batch,
}

impl<'a> Join<'a> {
    fn new(applier: &'a mut PostgresApplier, shape: &'a Arc<Shape>) -> Self {
        let all: Vec<usize> = (0..shape.columns.len()).collect();
        Self {
            applier,
            shape,
            deletes: Batch::new(shape.table.primary_key.clone(), false),
            whole: Batch::new(all.clone(), false),
            masked: Batch::new(all, true),
        }
    }

    /// Takes rows, and sends them whenever there are enough.
    async fn rows(&mut self, rows: &dyn RowSet, kind: Kind) -> Result<(), Error> {
        if rows.row_count() == 0 {
            return Ok(());
        }
        let mut gone = 0;
        loop {
            let mut byte_count = 0;
            let visited = rows.visit_behind(gone, &mut |cells| {
                if byte_count >= PART_BYTES {
                    return Err(Error::Fatal("enough rows for now".to_owned()));
                }
                gone += 1;
                byte_count += self.take(cells, kind)?;
                Ok(())
            });
            let is_full = visited.is_err() && byte_count >= PART_BYTES;
            if !is_full {
                visited?;
            }
            self.execute()?;
            if !is_full {
                return Ok(());
            }
            self.applier.send_part().await?;
        }
    }

    /// Takes a row; answers how many bytes it takes.
    fn take(&mut self, cells: &[Value<'_>], kind: Kind) -> Result<usize, Error> {
        check_width(self.shape, cells)?;
        let is_lacking = |(column, value): (usize, &Value<'_>)| {
            matches!(value, Value::NotSent) && !self.shape.is_key(column)
        };
        let batch = match kind {
            Kind::Delete => &mut self.deletes,
            Kind::Update if cells.iter().enumerate().any(is_lacking) => &mut self.masked,
            Kind::Update => &mut self.whole,
        };
        let before = batch.byte_count();
        let pushed = batch.push(self.shape, cells);
        pushed.map_err(|(column, reason)| refuse(self.shape, cells, column, reason))?;
        Ok(batch.byte_count() - before)
    }

    /// Puts a statement for each kind of rows into the pipeline.
    fn execute(&mut self) -> Result<(), Error> {
        type Write = fn(&Shape) -> Statement;
        let batches: [(&mut Batch, StatementKind, &'static str, Write); 3] = [
            (
                &mut self.deletes,
                StatementKind::NetDelete,
                DELETE,
                sql::net_delete,
            ),
            (
                &mut self.whole,
                StatementKind::NetUpdate,
                UPDATE,
                sql::net_update,
            ),
            (
                &mut self.masked,
                StatementKind::NetMasked,
                UPDATE,
                sql::net_update_masked,
            ),
        ];
        for (batch, kind, during, write) in batches {
            if batch.is_empty() {
                continue;
            }
            let key = StatementKey {
                shape: self.shape.number,
                kind,
                set: ColumnSet::default(),
                find: ColumnSet::default(),
                nulls: ColumnSet::default(),
            };
            let PostgresApplier {
                statements,
                pipeline,
                steps,
                ..
            } = &mut *self.applier;
            let prepared = statements.get(key, pipeline, || write(self.shape));
            steps.push(Step::Table(during));
            batch.execute(self.shape, &prepared.name, &prepared.statement, pipeline)?;
        }
        Ok(())
    }
}

/// Copies rows into the table. The COPY is in the pipeline already.
async fn copy(
    applier: &mut PostgresApplier,
    shape: &Shape,
    rows: &dyn RowSet,
) -> Result<(), Error> {
    if !shape.is_text {
        push_piece(&mut applier.pipeline, &BINARY_HEADER)?;
    }
    let mut gone = 0;
    loop {
        let mut part = CopyPart {
            shape,
            pipeline: &mut applier.pipeline,
            scratch: Vec::new(),
            frame: None,
            count: 0,
            is_full: false,
        };
        let visited = rows.visit_behind(gone, &mut |cells| part.row(cells));
        part.end_frame()?;
        if !part.is_full {
            visited?;
            break;
        }
        gone += part.count;
        applier.send_part().await?;
    }
    if !shape.is_text {
        push_piece(&mut applier.pipeline, &BINARY_TRAILER)?;
    }
    applier.pipeline.copy_done();
    Ok(())
}

fn push_piece(pipeline: &mut Pipeline, bytes: &[u8]) -> Result<(), Error> {
    let frame = pipeline.begin_copy_data();
    pipeline.body().extend_from_slice(bytes);
    pipeline.end(frame).map_err(too_long)
}

/// As many rows as are sent at a time.
struct CopyPart<'a> {
    shape: &'a Shape,
    pipeline: &'a mut Pipeline,
    scratch: Vec<u8>,
    /// The open message and where its rows begin.
    frame: Option<(Begun, usize)>,
    count: usize,
    is_full: bool,
}

impl CopyPart<'_> {
    fn row(&mut self, cells: &[Value<'_>]) -> Result<(), Error> {
        if self.pipeline.len() >= PART_BYTES {
            self.is_full = true;
            return Err(Error::Fatal("enough rows for now".to_owned()));
        }
        self.count += 1;
        let shape = self.shape;
        check_width(shape, cells)?;
        if self.frame.is_none() {
            self.frame = Some((self.pipeline.begin_copy_data(), self.pipeline.len()));
        }
        let encoded = if shape.is_text {
            self.text(cells)
        } else {
            self.binary(cells)
        };
        encoded.map_err(|(column, reason)| refuse(shape, cells, column, reason))?;
        match self.frame {
            Some((_, start)) if self.pipeline.len() - start >= FRAME_BYTES => self.end_frame(),
            _ => Ok(()),
        }
    }

    fn end_frame(&mut self) -> Result<(), Error> {
        match self.frame.take() {
            Some((frame, _)) => self.pipeline.end(frame).map_err(|_| {
                Error::table(&self.shape.table.source.name, "a row is longer than 1 GiB")
            }),
            None => Ok(()),
        }
    }

    fn binary(&mut self, cells: &[Value<'_>]) -> Result<(), (usize, Refused)> {
        let count = u16::try_from(cells.len()).map_err(|_| (0, "too many columns"))?;
        let out = self.pipeline.body();
        out.extend_from_slice(&count.to_be_bytes());
        for (index, (value, column)) in cells.iter().zip(&self.shape.columns).enumerate() {
            let checked = column.actual.limit.check(value);
            checked
                .and_then(|()| encode_binary(value, column.actual.wire, out))
                .map_err(|reason| (index, reason))?;
        }
        Ok(())
    }

    fn text(&mut self, cells: &[Value<'_>]) -> Result<(), (usize, Refused)> {
        let out = self.pipeline.body();
        for (index, (value, column)) in cells.iter().zip(&self.shape.columns).enumerate() {
            if index > 0 {
                out.push(b'\t');
            }
            let checked = column.actual.limit.check(value);
            checked
                .and_then(|()| encode_text(value, column.actual.wire, &mut self.scratch, out))
                .map_err(|reason| (index, reason))?;
        }
        out.push(b'\n');
        Ok(())
    }
}

/// What the server refused, with the key of the row where the server says which row it was.
fn explain(step: Step, error: Box<ServerError>, changes: NetChanges<'_>) -> Error {
    let during = match step {
        Step::Table(during) => during,
        _ => "apply changes to",
    };
    let row = copy_row(&error);
    let mut error = of_table(WireError::Server(error), &changes.table.source.name, during);
    if let (Error::Row(refusal), Some(row)) = (&mut error, row)
        && refusal.key.is_none()
    {
        refusal.key = key_of_insert(changes, row);
    }
    error
}

/// The key of the inserted row with this number, counted from 1.
fn key_of_insert(changes: NetChanges<'_>, row: u64) -> Option<String> {
    let mut key = None;
    let mut at = 0;
    let visited = changes.inserts.visit(&mut |cells| {
        at += 1;
        if at == row {
            key = key_text(changes.table, cells);
            return Err(Error::Fatal("found".to_owned()));
        }
        Ok(())
    });
    visited.err().and(key)
}
