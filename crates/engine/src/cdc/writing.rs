//! A piece of work under way at the target, beside which the log is read ahead.

use std::collections::BTreeMap;

use whimbrel_connector::{Background, Error, in_background};
use whimbrel_core::{Position, TableName};

use super::apply::{BatchWriter, ChangeCounts, Control, Controlled};
use super::batch::{Batch, BatchEnd};
use crate::RunError;

pub(super) type Applied = Result<Done, Error>;

/// What became of a piece of work.
#[derive(Debug)]
pub(super) enum Done {
    /// Counts by table, and tables that are followed no more, with the reason.
    Batch(BTreeMap<TableName, ChangeCounts>, Vec<(TableName, String)>),
    Control(Controlled),
}

pub(super) enum Work {
    Batch(Batch),
    Control(Control),
}

/// Work under way at the target.
pub(super) struct Writing {
    /// A follower that goes away takes its batch with it: it is rolled back, like in a crash.
    task: Background<(BatchWriter, Applied)>,
    end: Option<BatchEnd>,
    transaction_count: u64,
    byte_count: u64,
}

impl Writing {
    pub(super) fn start(mut writer: BatchWriter, work: Work, kept_from: Option<Position>) -> Self {
        let (end, transaction_count, byte_count) = match &work {
            Work::Batch(batch) => (
                batch.end.clone(),
                batch.transaction_count(),
                batch.byte_count(),
            ),
            Work::Control(_) => (None, 0, 0),
        };
        let task = in_background("apply", async move {
            let applied = match work {
                Work::Batch(batch) => {
                    let applied = writer.apply(&batch, kept_from).await;
                    applied.map(|counts| Done::Batch(counts, writer.take_suspended()))
                }
                Work::Control(control) => writer.control(&control).await.map(Done::Control),
            };
            (writer, applied)
        });
        Self {
            task,
            end,
            transaction_count,
            byte_count,
        }
    }
}

/// Work that is over.
pub(super) struct Finished {
    pub(super) writer: BatchWriter,
    pub(super) applied: Applied,
    /// Where the batch ended, and how many transactions ended in it.
    pub(super) end: Option<BatchEnd>,
    pub(super) transaction_count: u64,
    pub(super) byte_count: u64,
}

/// Waits for running work. Called only while there is some.
pub(super) async fn finished(writing: &mut Option<Writing>) -> Result<Finished, RunError> {
    let Some(running) = writing else {
        return std::future::pending().await;
    };
    let joined = (&mut running.task).await;
    let (end, transaction_count, byte_count) = (
        running.end.take(),
        running.transaction_count,
        running.byte_count,
    );
    *writing = None;
    let (writer, applied) = joined
        .map_err(|panic| RunError::Table(format!("applying changes ended abnormally: {panic}")))?;
    Ok(Finished {
        writer,
        applied,
        end,
        transaction_count,
        byte_count,
    })
}
