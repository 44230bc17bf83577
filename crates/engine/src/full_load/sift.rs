//! Leaving out the rows of a chunk that the target refuses, where the user wants that.
//!
//! A chunk is loaded whole first. Only when a row of it is refused is it read again, and each block of it written so that it can be undone by
//! itself: one that is refused is halved until the rows are found that are to blame. So nothing is slower where nothing is refused, and
//! memory is that of a block.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tracing::warn;
use whimbrel_connector::control_tables::{ControlValue, ControlWrite, LOAD_EXCEPTIONS};
use whimbrel_connector::{
    ApplyException, Error, Loader, RawRows, RowBlock, RowRefusal, RowVisitor,
};

use super::coordinator::{Shared, TableRun};
use super::rows::Counted;
use super::subtask::ChunkError;
use whimbrel_core::{TableName, clock};

use crate::exceptions;
use crate::{LoadExceptions, RowPolicy};

/// Rows that were left out and wait to be written down: few enough to be kept, enough that the statement for them costs nothing.
const EXCEPTIONS_MAX: usize = 100;

/// Some rows of a block.
struct Part {
    block: Arc<dyn RowBlock>,
    rows: Range<usize>,
}

impl RowBlock for Part {
    fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Their share, as far as that can be told without reading them.
    fn byte_count(&self) -> usize {
        let all = self.block.row_count().max(1);
        self.block.byte_count() / all * self.rows.len()
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn is_repeatable(&self) -> bool {
        self.block.is_repeatable()
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let (mut at, mut has_ended, mut is_refused) = (self.rows.start, false, false);
        let decoded = self.block.decode_from(self.rows.start, &mut |row| {
            if at >= self.rows.end {
                has_ended = true;
                return Err(Error::Fatal("the rows that are wanted end here".to_owned()));
            }
            at += 1;
            let visited = visit(row);
            is_refused = visited.is_err();
            visited
        });
        match decoded {
            Err(_) if has_ended => Ok(()),
            // A row behind those that are wanted is another part's.
            Err(Error::Row(_)) if at >= self.rows.end && !is_refused => Ok(()),
            other => other,
        }
    }
}

/// A chunk whose refused rows are left out.
pub(super) struct Sifter<'a> {
    pub(super) shared: &'a Shared,
    pub(super) table: &'a TableRun,
    pub(super) exceptions: Vec<ApplyException>,
}

impl Sifter<'_> {
    /// Writes the rows of a block that the target takes.
    pub(super) async fn write(
        &mut self,
        loader: &mut dyn Loader,
        block: Box<dyn RowBlock>,
        counted: &mut Counted,
    ) -> Result<(), ChunkError> {
        let block: Arc<dyn RowBlock> = Arc::from(block);
        let mut parts = Vec::new();
        parts.push(0..block.row_count());
        while let Some(rows) = parts.pop() {
            let part = || {
                self.table.shaped(Box::new(Part {
                    block: Arc::clone(&block),
                    rows: rows.clone(),
                }))
            };
            let written = match part() {
                Ok(part) if part.row_count() == 0 => continue,
                Ok(part) => {
                    let (rows, bytes) = (part.row_count(), part.byte_count());
                    let written = loader.write(&*part).await;
                    written.map(|()| (rows as u64, bytes as u64))
                }
                Err(error) => Err(error),
            };
            match written {
                Ok((rows, bytes)) => self.shared.progress.count(&self.table.name, |entry| {
                    counted.add(rows, bytes, entry);
                }),
                Err(Error::Row(refusal)) if rows.len() == 1 => {
                    let statement = self.statement(part());
                    self.leave_out(*refusal, statement, counted).await?;
                }
                Err(Error::Row(_)) => {
                    let middle = rows.start + rows.len() / 2;
                    parts.extend([middle..rows.end, rows.start..middle]);
                }
                Err(error) => return Err(ChunkError::Target(error)),
            }
        }
        Ok(())
    }

    /// What would have written a row.
    fn statement(&self, row: Result<Box<dyn RowBlock>, Error>) -> String {
        let mut statement = None;
        let read = row.and_then(|row| {
            row.decode(&mut |cells| {
                statement = Some(exceptions::insert(&self.table.target, cells));
                Ok(())
            })
        });
        match (read, statement) {
            (Ok(()), Some(statement)) => statement,
            _ => format!(
                "INSERT INTO {} (a row that cannot be read)",
                self.table.target.name
            ),
        }
    }

    async fn leave_out(
        &mut self,
        refusal: RowRefusal,
        statement: String,
        counted: &mut Counted,
    ) -> Result<(), ChunkError> {
        let data_errors = &self.shared.spec.data_errors;
        let policy = data_errors.of_row(refusal.kind);
        let Some(policy) = policy else {
            return Err(ChunkError::Target(refusal.into()));
        };
        let count = self.table.left_out.fetch_add(1, Ordering::Relaxed) + 1;
        self.shared.progress.count(&self.table.name, |entry| {
            counted.left_out += 1;
            entry.error_row_count += 1;
        });
        let error = refusal.to_string();
        if policy == RowPolicy::Report {
            warn!(%refusal, "a row is left out of the load, as the task's DataErrorPolicy says");
        }
        match policy.escalated(data_errors.escalation, count) {
            RowPolicy::Ignore => return Ok(()),
            RowPolicy::Report => {}
            RowPolicy::SuspendTable if policy.leaves_out() => {
                let many = format!(
                    "{count} rows were refused, which are too many by DataErrorEscalationCount; the last: {error}"
                );
                return Err(ChunkError::Target(Error::table(&self.table.name, many)));
            }
            RowPolicy::SuspendTable => return Err(ChunkError::Target(refusal.into())),
            RowPolicy::StopTask => return Err(ChunkError::Policy(refusal)),
        }
        self.exceptions.push(ApplyException {
            table: self.table.target.name.clone(),
            statement,
            error,
        });
        if self.exceptions.len() >= EXCEPTIONS_MAX {
            self.write_down().await?;
        }
        Ok(())
    }

    /// Writes down what was left out, before the chunk is committed: nothing is left out untold. A chunk that is loaded again is told of again.
    pub(super) async fn write_down(&mut self) -> Result<(), ChunkError> {
        let exceptions = std::mem::take(&mut self.exceptions);
        let Some(LoadExceptions { home }) = &self.shared.spec.load_exceptions else {
            return Ok(());
        };
        if exceptions.is_empty() {
            return Ok(());
        }
        let now = clock::now_us();
        let text = |text: &str| ControlValue::Text(text.to_owned());
        let rows = exceptions.iter().map(|exception| {
            vec![
                text(&self.shared.fence.task),
                text(&exception.table.schema),
                text(&exception.table.name),
                ControlValue::Time(now),
                text(&exception.statement),
                text(&exception.error),
            ]
        });
        let write = ControlWrite {
            table: &LOAD_EXCEPTIONS,
            replaces: Vec::new(),
            rows: rows.collect(),
        };
        let mut target = self.shared.target().await.map_err(ChunkError::Target)?;
        let written = target.write_control(home.as_deref(), &write).await;
        written.map_err(ChunkError::Target)?;
        self.shared.give_back(target).await;
        Ok(())
    }
}

/// What removes what was written down of earlier loads of a table.
pub(super) fn forgotten(task: &str, table: &TableName) -> ControlWrite {
    let text = |text: &str| ControlValue::Text(text.to_owned());
    ControlWrite {
        table: &LOAD_EXCEPTIONS,
        replaces: vec![text(task), text(&table.schema), text(&table.name)],
        rows: Vec::new(),
    }
}
