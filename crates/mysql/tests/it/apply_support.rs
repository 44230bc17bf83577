//! Changes made by hand, and an applier to give them to.

use std::fmt;

use whimbrel_connector::{
    AppliedCount, Applier, ApplySettings, ChangeRows, Checkpoint, Error, NetChanges, ReadFormat,
    ReadRequest, RowAt, RowSet, RowVisitor, SingleChange, SingleKind, Target, TargetTable,
    TaskFence,
};
use whimbrel_core::{Bits, Decimal, Position, Value};

use crate::support::{How, Pair};

/// A value that nothing else holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// One that borrows nothing.
    Plain(Value<'static>),
    Text(String),
    Json(String),
    Decimal(String),
    Bytes(Vec<u8>),
    Bits(Vec<u8>, u32),
}

impl Cell {
    pub(crate) const NOT_SENT: Self = Self::Plain(Value::NotSent);
    pub(crate) const NULL: Self = Self::Plain(Value::Null);

    pub(crate) fn of(value: &Value<'_>) -> Self {
        match *value {
            Value::Text(text) => Self::Text(text.to_owned()),
            Value::Json(text) => Self::Json(text.to_owned()),
            Value::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
            Value::Bits(bits) => Self::Bits(bits.bytes.to_vec(), bits.length),
            Value::Decimal(number) => {
                let mut text = Vec::new();
                number.write_text(&mut text);
                Self::Decimal(String::from_utf8(text).unwrap())
            }
            Value::Null => Self::NULL,
            Value::NotSent => Self::NOT_SENT,
            Value::Bool(flag) => Self::Plain(Value::Bool(flag)),
            Value::Int(number) => Self::Plain(Value::Int(number)),
            Value::UInt(number) => Self::Plain(Value::UInt(number)),
            Value::Float32(number) => Self::Plain(Value::Float32(number)),
            Value::Float64(number) => Self::Plain(Value::Float64(number)),
            Value::Date(date) => Self::Plain(Value::Date(date)),
            Value::Time(time) => Self::Plain(Value::Time(time)),
            Value::TimeTz(time, offset) => Self::Plain(Value::TimeTz(time, offset)),
            Value::Timestamp(at) => Self::Plain(Value::Timestamp(at)),
            Value::TimestampTz(at) => Self::Plain(Value::TimestampTz(at)),
            Value::Interval(interval) => Self::Plain(Value::Interval(interval)),
            Value::Uuid(bytes) => Self::Plain(Value::Uuid(bytes)),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => *value,
            Self::Text(text) => Value::Text(text),
            Self::Json(text) => Value::Json(text),
            Self::Decimal(text) => Value::Decimal(Decimal::from_text(text).unwrap()),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Bits(bytes, length) => Value::Bits(Bits {
                bytes,
                length: *length,
            }),
        }
    }
}

impl From<i64> for Cell {
    fn from(number: i64) -> Self {
        Self::Plain(Value::Int(number))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

pub(crate) type Row = Vec<Cell>;

/// A row of anything that can be a cell.
macro_rules! row {
    ($($cell:expr),* $(,)?) => { vec![$($crate::apply_support::Cell::from($cell)),*] };
}
pub(crate) use row;

/// Rows made by hand: the offset of a row is its number.
#[derive(Clone, Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows", self.0.len())
    }
}

impl Rows {
    /// Adds a row; answers where it is.
    pub(crate) fn push(&mut self, row: Row) -> RowAt {
        let is_whole = !row.contains(&Cell::NOT_SENT);
        self.0.push(row);
        RowAt {
            shape: 0,
            offset: u32::try_from(self.0.len() - 1).unwrap(),
            is_whole,
        }
    }
}

impl ChangeRows for Rows {
    fn byte_count(&self) -> usize {
        self.0.len()
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let values: Vec<Value<'_>> = self.0[row.offset as usize]
            .iter()
            .map(Cell::value)
            .collect();
        visit(&values)
    }
}

impl RowSet for Rows {
    fn row_count(&self) -> usize {
        self.0.len()
    }

    fn visit(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        for row in &self.0 {
            let values: Vec<Value<'_>> = row.iter().map(Cell::value).collect();
            visit(&values)?;
        }
        Ok(())
    }
}

/// One change made by hand.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Insert(Row),
    Update(Option<Row>, Row),
    Delete(Row),
    Truncate,
}

/// A target with an applier and one table.
pub(crate) struct Applying {
    // First, so that its transaction is gone when the database is dropped.
    pub(crate) applier: Box<dyn Applier>,
    pub(crate) target: Box<dyn Target>,
    pub(crate) fence: TaskFence,
    pub(crate) table: TargetTable,
    pub(crate) pair: Pair,
}

impl Applying {
    /// Runs `setup` at the source, and copies the definition of its only table to the target, as a load would.
    pub(crate) async fn to_table(pair: Pair, setup: &str) -> Self {
        pair.source.sql(setup).unwrap();
        let loaded = pair.load(How::PLAIN).await.unwrap();
        let table = loaded.into_iter().next().unwrap().target;
        Self::to(pair, table).await
    }

    pub(crate) async fn to(pair: Pair, table: TargetTable) -> Self {
        let mut target = pair.to.target().await.unwrap();
        let fence = target.claim(&pair.task).await.unwrap();
        let applier = target
            .applier(&fence, &ApplySettings::default())
            .await
            .unwrap();
        Self {
            applier,
            target,
            fence,
            table,
            pair,
        }
    }

    /// Net changes within the open transaction.
    pub(crate) async fn net(
        &mut self,
        deletes: Vec<Row>,
        updates: Vec<Row>,
        inserts: Vec<Row>,
    ) -> Result<AppliedCount, Error> {
        let (deletes, updates, inserts) = (Rows(deletes), Rows(updates), Rows(inserts));
        self.applier
            .apply_net(NetChanges {
                table: &self.table,
                deletes: &deletes,
                updates: &updates,
                inserts: &inserts,
            })
            .await
    }

    /// Changes one after another within the open transaction.
    pub(crate) async fn single(&mut self, changes: Vec<Change>) -> Result<Vec<u64>, Error> {
        let mut rows = Rows::default();
        let kinds: Vec<SingleKind> = changes
            .into_iter()
            .map(|change| match change {
                Change::Insert(after) => SingleKind::Insert {
                    after: rows.push(after),
                },
                Change::Update(before, after) => SingleKind::Update {
                    before: before.map(|row| rows.push(row)),
                    after: rows.push(after),
                },
                Change::Delete(before) => SingleKind::Delete {
                    before: rows.push(before),
                },
                Change::Truncate => SingleKind::Truncate,
            })
            .collect();
        let changes: Vec<SingleChange<'_>> = kinds
            .into_iter()
            .map(|kind| SingleChange {
                table: &self.table,
                kind,
                rows: &rows,
            })
            .collect();
        self.applier.apply_single(&changes).await
    }

    pub(crate) async fn begin(&mut self) {
        self.applier.begin().await.unwrap();
    }

    pub(crate) async fn commit(&mut self) {
        self.applier
            .commit(&Checkpoint::at(Position::new("here")))
            .await
            .unwrap();
    }

    /// What a query answers at the target, lines joined by spaces.
    pub(crate) fn ask(&self, query: &str) -> String {
        let answer = self.pair.target.sql(query).unwrap();
        answer.trim_end().replace('\t', ",").replace('\n', " ")
    }
}

/// The refusal in an error.
pub(crate) fn refusal(error: Error) -> whimbrel_connector::RowRefusal {
    match error {
        Error::Row(refusal) => *refusal,
        other => panic!("not a refused row: {other:?}"),
    }
}

/// All rows of a table of the source, in order of its key.
pub(crate) async fn rows_of(pair: &Pair, table: &whimbrel_core::Table) -> Vec<Row> {
    let mut source = pair.from.source().await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    let chunks = snapshot.plan(table, u64::MAX).await.unwrap();
    let mut reader = snapshot.reader().await.unwrap();
    let mut rows = Vec::new();
    for bounds in &chunks {
        reader
            .open(ReadRequest {
                table,
                bounds,
                filter: None,
                format: ReadFormat::Decoded,
                block_bytes: 1 << 16,
            })
            .await
            .unwrap();
        while let Some(block) = reader.next().await.unwrap() {
            block
                .decode(&mut |values| {
                    rows.push(values.iter().map(Cell::of).collect());
                    Ok(())
                })
                .unwrap();
        }
    }
    rows
}
