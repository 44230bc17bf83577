//! Net changes of one table, by set-based statements.

use whimbrel_connector::{AppliedCount, Error, NetChanges, RowRefusal, RowSet};
use whimbrel_core::Value;

use super::shape::Shape;
use super::sql;
use super::staging::{Preparation, StagingNames};
use super::{CallError, PostgresApplier, Step, is_out_of_date};
use crate::errors::{copy_row, of_table};
use crate::target::load::{BINARY_HEADER, BINARY_TRAILER, key_text};
use crate::types::{Refused, encode_binary, encode_text};
use crate::wire::{Begun, Pipeline, ServerError, WireError};

/// Rows are sent when there are this many bytes. A set that is larger is visited once more for each part.
const PART_BYTES: usize = 8 << 20;
/// One message of rows; the server's own reading goes by 64 KiB.
const FRAME_BYTES: usize = 64 << 10;

pub(super) async fn apply(
    applier: &mut PostgresApplier,
    changes: NetChanges<'_>,
) -> Result<AppliedCount, Error> {
    let finds_rows = changes.deletes.row_count() + changes.updates.row_count() > 0;
    if finds_rows && changes.table.primary_key.is_empty() {
        return Err(Error::Fatal(
            "rows to be found by their key were given for a table without one".to_owned(),
        ));
    }
    let mut may_retry = true;
    loop {
        let shape = applier.shape(changes.table).await?;
        let error = match applied(applier, &shape, changes).await {
            Ok(count) => return Ok(count),
            Err(CallError::Error(error)) => return Err(error),
            Err(CallError::Refused(step, error)) => (step, error),
        };
        match error {
            (_, error) if may_retry && is_out_of_date(&error) => {
                applier.forget_shape(&changes.table.name);
                may_retry = false;
            }
            (step, error) => return Err(explain(step, error, changes)),
        }
    }
}

/// Rows of each kind.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    deletes: usize,
    whole_updates: usize,
    masked_updates: usize,
}

async fn applied(
    applier: &mut PostgresApplier,
    shape: &Shape,
    changes: NetChanges<'_>,
) -> Result<AppliedCount, CallError> {
    applier.begin_call()?;
    let first_step = applier.steps.len();
    if let Err(error) = put_together(applier, shape, changes).await {
        return Err(applier.give_up_call(error).await);
    }
    let counts = applier.end_call().await?;
    let mut count = AppliedCount::default();
    for (step, touched) in applier.steps.iter().zip(counts).skip(first_step) {
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
const STAGE: &str = "stage changes to";

async fn put_together(
    applier: &mut PostgresApplier,
    shape: &Shape,
    changes: NetChanges<'_>,
) -> Result<(), Error> {
    if changes.deletes.row_count() + changes.updates.row_count() > 0 {
        let (staging, tally) = stage(applier, shape, changes).await?;
        if !shape.has_key_index {
            applier.run(Step::Table(STAGE), "SET LOCAL enable_hashjoin = on")?;
        }
        if tally.deletes > 0 {
            applier.run(Step::Table(DELETE), &sql::delete_staged(shape, &staging))?;
        }
        if tally.whole_updates > 0 {
            applier.run(
                Step::Table(UPDATE),
                &sql::update_staged_whole(shape, &staging),
            )?;
        }
        if tally.masked_updates > 0 {
            applier.run(
                Step::Table(UPDATE),
                &sql::update_staged_masked(shape, &staging),
            )?;
        }
        if !shape.has_key_index {
            applier.run(Step::Table(STAGE), "SET LOCAL enable_hashjoin = off")?;
        }
    }
    if changes.inserts.row_count() > 0 {
        applier.run(Step::Table(INSERT), &sql::copy_table(shape))?;
        let mut copy = Copy::begin(applier, shape);
        copy.rows(changes.inserts, Kind::Insert).await?;
        copy.end()?;
    }
    Ok(())
}

/// Copies deletes and updates into the staging table.
async fn stage(
    applier: &mut PostgresApplier,
    shape: &Shape,
    changes: NetChanges<'_>,
) -> Result<(StagingNames, Tally), Error> {
    let (staging, preparation) = applier.staging.take(shape);
    match preparation {
        Preparation::Nothing => {}
        Preparation::Create => {
            if let Some(oldest) = applier.staging.evict() {
                applier.run(
                    Step::Table(STAGE),
                    &format!("DROP TABLE IF EXISTS {oldest}"),
                )?;
            }
            applier.run(Step::Table(STAGE), &sql::create_staging(shape, &staging))?;
        }
        Preparation::Empty => {
            applier.run(Step::Table(STAGE), &format!("TRUNCATE {}", staging.table))?;
        }
    }
    applier.run(Step::Table(STAGE), &sql::copy_staging(shape, &staging))?;
    let mut copy = Copy::begin(applier, shape);
    copy.rows(changes.deletes, Kind::Delete).await?;
    copy.rows(changes.updates, Kind::Update).await?;
    let tally = copy.tally;
    copy.end()?;
    Ok((staging, tally))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A row of the table itself; the others are rows of the staging table.
    Insert,
    Delete,
    Update,
}

/// The rows of one COPY.
struct Copy<'a> {
    applier: &'a mut PostgresApplier,
    shape: &'a Shape,
    tally: Tally,
    scratch: Vec<u8>,
}

impl<'a> Copy<'a> {
    fn begin(applier: &'a mut PostgresApplier, shape: &'a Shape) -> Self {
        if !shape.is_text {
            let frame = applier.pipeline.begin_copy_data();
            applier.pipeline.body().extend_from_slice(&BINARY_HEADER);
            applier.pipeline.end(frame).expect("a header is short");
        }
        Self {
            applier,
            shape,
            tally: Tally::default(),
            scratch: Vec::new(),
        }
    }

    /// Encodes rows, and sends them whenever there are enough: then the set is visited again, past those that are gone.
    async fn rows(&mut self, rows: &dyn RowSet, kind: Kind) -> Result<(), Error> {
        if rows.row_count() == 0 {
            return Ok(());
        }
        let mut gone = 0;
        loop {
            let mut part = Part {
                shape: self.shape,
                kind,
                pipeline: &mut self.applier.pipeline,
                tally: &mut self.tally,
                scratch: &mut self.scratch,
                frame: None,
                skipped: gone,
                seen: 0,
                is_full: false,
            };
            let visited = rows.visit(&mut |cells| part.row(cells));
            part.end_frame()?;
            if !part.is_full {
                return visited;
            }
            gone = part.seen;
            self.applier.send_part().await?;
        }
    }

    fn end(self) -> Result<(), Error> {
        let pipeline = &mut self.applier.pipeline;
        if !self.shape.is_text {
            let frame = pipeline.begin_copy_data();
            pipeline.body().extend_from_slice(&BINARY_TRAILER);
            pipeline.end(frame).map_err(super::too_long)?;
        }
        pipeline.copy_done();
        Ok(())
    }
}

/// As many rows as are sent at a time.
struct Part<'a> {
    shape: &'a Shape,
    kind: Kind,
    pipeline: &'a mut Pipeline,
    tally: &'a mut Tally,
    scratch: &'a mut Vec<u8>,
    frame: Option<(Begun, usize)>,
    /// Rows that were sent before.
    skipped: usize,
    seen: usize,
    is_full: bool,
}

impl Part<'_> {
    fn row(&mut self, cells: &[Value<'_>]) -> Result<(), Error> {
        if self.pipeline.len() >= PART_BYTES {
            self.is_full = true;
            return Err(Error::Fatal("enough rows for now".to_owned()));
        }
        self.seen += 1;
        if self.seen <= self.skipped {
            return Ok(());
        }
        let shape = self.shape;
        if cells.len() != shape.columns.len() {
            let message = "rows with another number of cells than the target table has columns";
            return Err(Error::table(&shape.table.source.name, message));
        }
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
            Some((frame, _)) => self.pipeline.end(frame).map_err(super::too_long),
            None => Ok(()),
        }
    }

    /// Counts a staged row; answers its mask unless it is whole.
    fn classify(&mut self, cells: &[Value<'_>]) -> Option<Vec<u8>> {
        if self.kind == Kind::Delete {
            self.tally.deletes += 1;
            return None;
        }
        let is_sent = |column: usize| !matches!(cells[column], Value::NotSent);
        if (0..cells.len()).all(|column| is_sent(column) || self.shape.is_key(column)) {
            self.tally.whole_updates += 1;
            return None;
        }
        self.tally.masked_updates += 1;
        let mut mask = vec![0; cells.len().div_ceil(8)];
        for column in (0..cells.len()).filter(|&column| is_sent(column)) {
            mask[column / 8] |= 1 << (column % 8);
        }
        Some(mask)
    }

    /// What is written for a cell of a staged row: all that a delete needs is its key.
    fn staged<'v>(&self, cells: &[Value<'v>], column: usize) -> Value<'v> {
        let value = cells[column];
        match self.kind {
            Kind::Insert => value,
            _ if self.shape.is_key(column) => value,
            Kind::Delete => Value::Null,
            Kind::Update if matches!(value, Value::NotSent) => Value::Null,
            Kind::Update => value,
        }
    }

    fn binary(&mut self, cells: &[Value<'_>]) -> Result<(), (usize, Refused)> {
        let extra = if self.kind == Kind::Insert { 0 } else { 3 };
        let count = u16::try_from(cells.len() + extra).map_err(|_| (0, "too many columns"))?;
        self.pipeline.body().extend_from_slice(&count.to_be_bytes());
        if self.kind != Kind::Insert {
            let mask = self.classify(cells);
            let is_delete = u8::from(self.kind == Kind::Delete);
            let is_whole = u8::from(mask.is_none());
            let out = self.pipeline.body();
            out.extend_from_slice(&[0, 0, 0, 1, is_delete, 0, 0, 0, 1, is_whole]);
            let mask = mask.as_deref().map_or(Value::Null, Value::Bytes);
            encode_binary(&mask, crate::types::WireType::Bytea, out)
                .map_err(|reason| (0, reason))?;
        }
        for (index, column) in self.shape.columns.iter().enumerate() {
            let value = self.staged(cells, index);
            let checked = column.actual.limit.check(&value);
            checked
                .and_then(|()| encode_binary(&value, column.actual.wire, self.pipeline.body()))
                .map_err(|reason| (index, reason))?;
        }
        Ok(())
    }

    fn text(&mut self, cells: &[Value<'_>]) -> Result<(), (usize, Refused)> {
        if self.kind != Kind::Insert {
            let mask = self.classify(cells);
            let is_delete = if self.kind == Kind::Delete { "t" } else { "f" };
            let is_whole = if mask.is_none() { "t" } else { "f" };
            let out = self.pipeline.body();
            out.extend_from_slice(format!("{is_delete}\t{is_whole}\t").as_bytes());
            let mask = mask.as_deref().map_or(Value::Null, Value::Bytes);
            encode_text(&mask, crate::types::WireType::Bytea, self.scratch, out)
                .map_err(|reason| (0, reason))?;
            out.extend_from_slice(if cells.is_empty() { b"" } else { b"\t" });
        }
        for (index, column) in self.shape.columns.iter().enumerate() {
            if index > 0 {
                self.pipeline.body().push(b'\t');
            }
            let value = self.staged(cells, index);
            let out = self.pipeline.body();
            let checked = column.actual.limit.check(&value);
            checked
                .and_then(|()| encode_text(&value, column.actual.wire, self.scratch, out))
                .map_err(|reason| (index, reason))?;
        }
        self.pipeline.body().push(b'\n');
        Ok(())
    }
}

/// A value that the column cannot hold.
pub(super) fn refuse(shape: &Shape, cells: &[Value<'_>], column: usize, reason: Refused) -> Error {
    let table = &shape.table;
    let name = &table.columns[column].name;
    let mut refusal = RowRefusal::value(&table.source.name, name, cells[column].kind(), reason);
    refusal.key = key_text(table, cells);
    refusal.into()
}

/// What the server refused, with the key of the row where the server says which row it was.
fn explain(step: Step, error: Box<ServerError>, changes: NetChanges<'_>) -> Error {
    let during = match step {
        Step::Table(during) => during,
        _ => "apply changes to",
    };
    let row = copy_row(&error);
    let lacks_temporary = error.code == "42501" && step == Step::Table(STAGE);
    let source = &changes.table.source.name;
    let mut error = of_table(WireError::Server(error), source, during);
    if lacks_temporary {
        let message = format!("{error}; grant TEMPORARY on the database and SELECT on the table");
        return Error::table(source, message);
    }
    if let (Error::Row(refusal), Some(row)) = (&mut error, row)
        && refusal.key.is_none()
    {
        let sets = match step {
            Step::Table(INSERT) => vec![changes.inserts],
            _ => vec![changes.deletes, changes.updates],
        };
        refusal.key = key_of_row(changes, &sets, row);
    }
    error
}

/// The key of the row with this number, counted from 1.
fn key_of_row(changes: NetChanges<'_>, sets: &[&dyn RowSet], row: u64) -> Option<String> {
    let mut key = None;
    let mut at = 0;
    for set in sets {
        let visited = set.visit(&mut |cells| {
            at += 1;
            if at == row {
                key = key_text(changes.table, cells);
                return Err(Error::Fatal("found".to_owned()));
            }
            Ok(())
        });
        if visited.is_err() {
            break;
        }
    }
    key
}
