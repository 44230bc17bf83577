//! Changes one after another: a prepared statement for each, all of a call in one write.

use std::sync::Arc;

use whimbrel_connector::{Error, SingleChange, SingleKind};
use whimbrel_core::{TableName, Value};

use super::shape::{Sameness, Shape};
use super::sql::{self, WholeRow};
use super::statements::{ColumnSet, Prepared, StatementKey, StatementKind, Statements};
use super::values::{check_width, encode, refuse};
use super::{CallError, PostgresApplier, Step, is_out_of_date};
use crate::errors::{bound_parameter, of_table};
use crate::target::load::key_text;
use crate::wire::{Pipeline, ServerError, WireError};

/// Changes are sent when there are this many bytes.
const PART_BYTES: usize = 256 << 10;

pub(super) async fn apply(
    applier: &mut PostgresApplier,
    changes: &[SingleChange<'_>],
) -> Result<Vec<u64>, Error> {
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let mut truncate = Truncate::ByTruncate;
    let mut may_retry = true;
    loop {
        let mut shapes: Vec<Arc<Shape>> = Vec::with_capacity(changes.len());
        for (index, change) in changes.iter().enumerate() {
            // Most changes are of the table of the one before: looking that up again compares all its columns.
            let before = index.checked_sub(1).map(|before| &changes[before]);
            let shape = match (before, shapes.last()) {
                (Some(before), Some(shape)) if std::ptr::eq(before.table, change.table) => {
                    Arc::clone(shape)
                }
                _ => applier.shape(change.table).await?,
            };
            shapes.push(shape);
        }
        let call = Call {
            changes,
            shapes,
            truncate,
        };
        let (step, error) = match call.applied(applier).await {
            Ok(counts) => return Ok(counts),
            Err(CallError::Error(error)) => return Err(error),
            Err(CallError::Refused(step, error)) => (step, error),
        };
        let change = match step {
            Step::Change(index) => &changes[index],
            _ => &changes[0],
        };
        let is_truncate = change.kind == SingleKind::Truncate;
        // A table to which a foreign key points is refused, even where such keys do not act.
        if is_truncate && error.code == "0A000" && truncate == Truncate::ByTruncate {
            truncate = Truncate::ByDelete;
        } else if may_retry && is_out_of_date(&error) {
            may_retry = false;
            let tables: Vec<TableName> = changes.iter().map(|c| c.table.name.clone()).collect();
            for table in &tables {
                applier.forget_shape(table);
            }
        } else {
            return Err(explain(step, error, &call));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truncate {
    ByTruncate,
    ByDelete,
}

struct Call<'a> {
    changes: &'a [SingleChange<'a>],
    shapes: Vec<Arc<Shape>>,
    truncate: Truncate,
}

impl Call<'_> {
    async fn applied(&self, applier: &mut PostgresApplier) -> Result<Vec<u64>, CallError> {
        applier.begin_call()?;
        if let Err(error) = self.put_together(applier).await {
            return Err(applier.give_up_call(error).await);
        }
        let counts = applier.end_call().await?;
        let mut touched = vec![0; self.changes.len()];
        for (step, count) in applier.steps.iter().zip(counts) {
            if let Step::Change(index) = *step {
                touched[index] = count;
            }
        }
        Ok(touched)
    }

    async fn put_together(&self, applier: &mut PostgresApplier) -> Result<(), Error> {
        let mut index = 0;
        while index < self.changes.len() {
            let run = self.changes[index..]
                .iter()
                .take_while(|change| change.kind == SingleKind::Truncate)
                .count();
            if run > 0 {
                self.truncate(applier, index..index + run)?;
                index += run;
                continue;
            }
            applier.steps.push(Step::Change(index));
            let mut writer = Writer {
                shape: &self.shapes[index],
                pipeline: &mut applier.pipeline,
                statements: &mut applier.statements,
                scratch: Vec::new(),
            };
            writer.change(&self.changes[index])?;
            index += 1;
            if applier.pipeline.len() >= PART_BYTES {
                applier.send_part().await?;
            }
        }
        Ok(())
    }

    /// Tables emptied one right after another may point to each other by foreign keys, so they go together.
    fn truncate(
        &self,
        applier: &mut PostgresApplier,
        range: std::ops::Range<usize>,
    ) -> Result<(), Error> {
        if self.truncate == Truncate::ByDelete {
            for index in range {
                let sql = format!("DELETE FROM {}", self.shapes[index].only);
                applier.run(Step::Change(index), &sql)?;
            }
            return Ok(());
        }
        let first = range.start;
        let names: Vec<&str> = range
            .map(|index| self.shapes[index].only.as_str())
            .collect();
        applier.run(
            Step::Change(first),
            &format!("TRUNCATE {}", names.join(", ")),
        )
    }
}

/// Writes one change into the pipeline.
struct Writer<'a> {
    shape: &'a Arc<Shape>,
    pipeline: &'a mut Pipeline,
    statements: &'a mut Statements,
    scratch: Vec<u8>,
}

impl Writer<'_> {
    fn change(&mut self, change: &SingleChange<'_>) -> Result<(), Error> {
        let rows = change.rows;
        let key = &change.table.primary_key;
        match change.kind {
            SingleKind::Insert { after } => rows.decode(after, &mut |new| self.insert(new)),
            SingleKind::Delete { before } => {
                rows.decode_old(before, key, &mut |old| self.delete(old))
            }
            SingleKind::Update {
                before: None,
                after,
            } => {
                if self.shape.table.primary_key.is_empty() {
                    let message = "an update tells neither a key nor the old row; set REPLICA IDENTITY FULL at the source";
                    return Err(Error::table(&self.shape.table.source.name, message));
                }
                rows.decode(after, &mut |new| self.update(new, new))
            }
            SingleKind::Update {
                before: Some(before),
                after,
            } => rows.decode_old(before, key, &mut |old| {
                rows.decode(after, &mut |new| self.update(old, new))
            }),
            SingleKind::Truncate => Ok(()),
        }
    }

    fn insert(&mut self, new: &[Value<'_>]) -> Result<(), Error> {
        check_width(self.shape, new)?;
        let key = self.key(StatementKind::Insert, ColumnSet::default(), None);
        let shape = Arc::clone(self.shape);
        let prepared = self
            .statements
            .get(key, self.pipeline, || sql::insert(&shape));
        self.bind(&prepared, new, new)
    }

    fn delete(&mut self, old: &[Value<'_>]) -> Result<(), Error> {
        check_width(self.shape, old)?;
        let find = self.find(old)?;
        let key = self.key(StatementKind::Delete, ColumnSet::default(), find.as_ref());
        let shape = Arc::clone(self.shape);
        let prepared = self.statements.get(key, self.pipeline, || match &find {
            None => sql::delete(&shape, None),
            Some(find) => find.with_row(|row| sql::delete(&shape, Some(row))),
        });
        self.bind(&prepared, old, old)
    }

    fn update(&mut self, old: &[Value<'_>], new: &[Value<'_>]) -> Result<(), Error> {
        check_width(self.shape, old)?;
        check_width(self.shape, new)?;
        let shape = Arc::clone(self.shape);
        let is_key_kept = shape
            .table
            .primary_key
            .iter()
            .all(|&column| old[column].is_identical(&new[column]));
        let mut set = ColumnSet::default();
        for (column, value) in new.iter().enumerate() {
            if !matches!(value, Value::NotSent) && (!is_key_kept || !shape.is_key(column)) {
                set.insert(column);
            }
        }
        shape.check_set(set.columns())?;
        let find = self.find(old)?;
        let key = self.key(StatementKind::Update, set.clone(), find.as_ref());
        let prepared = self.statements.get(key, self.pipeline, || {
            let set = set.columns();
            match &find {
                None => sql::update(&shape, &set, None),
                Some(find) => find.with_row(|row| sql::update(&shape, &set, Some(row))),
            }
        });
        self.bind(&prepared, old, new)
    }

    /// By what a row without a key is found. One of which nothing is known would be any row of the table.
    fn find(&self, old: &[Value<'_>]) -> Result<Option<Find>, Error> {
        if !self.shape.table.primary_key.is_empty() {
            return Ok(None);
        }
        let mut find = Find::default();
        for (column, value) in old.iter().enumerate() {
            match value {
                Value::NotSent => continue,
                Value::Null if self.shape.columns[column].sameness == Sameness::Equality => {
                    find.nulls.insert(column);
                }
                _ => {}
            }
            find.columns.insert(column);
        }
        if !old.is_empty() && old.iter().all(|value| matches!(value, Value::NotSent)) {
            let message = "a change tells nothing of the row that it is about; give the table at the source a REPLICA IDENTITY of columns that are not generated, and load it again";
            return Err(Error::table(&self.shape.table.source.name, message));
        }
        Ok(Some(find))
    }

    fn key(&self, kind: StatementKind, set: ColumnSet, find: Option<&Find>) -> StatementKey {
        let find = find.cloned().unwrap_or_default();
        StatementKey {
            shape: self.shape.number,
            kind,
            set,
            find: find.columns,
            nulls: find.nulls,
        }
    }

    fn bind(
        &mut self,
        prepared: &Prepared,
        old: &[Value<'_>],
        new: &[Value<'_>],
    ) -> Result<(), Error> {
        let shape = self.shape;
        let statement = &prepared.statement;
        let formats = statement
            .parameters
            .iter()
            .map(|&column| shape.columns[column].format());
        let bind = self.pipeline.begin_bind(&prepared.name, formats);
        for (place, &column) in statement.parameters.iter().enumerate() {
            let cells = if place < statement.set_count {
                new
            } else {
                old
            };
            let of = &shape.columns[column];
            encode(&cells[column], of, &mut self.scratch, self.pipeline.body())
                .map_err(|reason| refuse(shape, cells, column, reason))?;
        }
        self.pipeline
            .end_bind_and_execute(bind)
            .map_err(super::too_long)
    }
}

#[derive(Clone, Debug, Default)]
struct Find {
    columns: ColumnSet,
    nulls: ColumnSet,
}

impl Find {
    fn with_row<T>(&self, write: impl FnOnce(&WholeRow<'_>) -> T) -> T {
        let (columns, nulls) = (self.columns.columns(), self.nulls.columns());
        write(&WholeRow {
            columns: &columns,
            nulls: &nulls,
        })
    }
}

/// What the server refused, with the key of the change that it was.
fn explain(step: Step, error: Box<ServerError>, call: &Call<'_>) -> Error {
    let Step::Change(index) = step else {
        return of_table(
            WireError::Server(error),
            &call.changes[0].table.source.name,
            "apply changes to",
        );
    };
    let change = &call.changes[index];
    let parameter = bound_parameter(&error);
    let during = match change.kind {
        SingleKind::Insert { .. } => "insert into",
        SingleKind::Update { .. } => "update",
        SingleKind::Delete { .. } => "delete from",
        SingleKind::Truncate => "truncate",
    };
    let mut error = of_table(WireError::Server(error), &change.table.source.name, during);
    if let Error::Row(refusal) = &mut error {
        if let Some(key) = key_of(change) {
            refusal.key = Some(key);
        }
        if refusal.column.is_none() {
            refusal.column = parameter.and_then(|parameter| column_of(change, parameter));
        }
    }
    error
}

fn key_of(change: &SingleChange<'_>) -> Option<String> {
    let row = match change.kind {
        SingleKind::Insert { after } | SingleKind::Update { after, .. } => after,
        SingleKind::Delete { before } => before,
        SingleKind::Truncate => return None,
    };
    let mut key = None;
    let places = &change.table.primary_key;
    let decoded = change.rows.decode_old(row, places, &mut |cells| {
        key = key_text(change.table, cells);
        Ok(())
    });
    decoded.ok().and(key)
}

/// The column of a parameter, where that is the column's own place: a row that is inserted.
fn column_of(change: &SingleChange<'_>, parameter: usize) -> Option<String> {
    match change.kind {
        SingleKind::Insert { .. } => {
            let column = change.table.columns.get(parameter.checked_sub(1)?)?;
            Some(column.name.clone())
        }
        _ => None,
    }
}
