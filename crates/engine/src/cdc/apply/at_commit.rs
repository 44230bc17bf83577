//! What the target refuses only at its commit: constraints that wait for it, and act on what is applied (a session of PostgreSQL that may not set
//! `session_replication_role`, or a constraint trigger that is enabled for replicas).
//!
//! Such a refusal names a constraint, not the change that violates it, and the whole transaction is gone with it. So the batch is applied once more, in the order of the
//! log, one transaction of the source after the other, and what waits for the commit is checked behind each ([`whimbrel_connector::Applier::check_deferred`]): within a
//! transaction such a constraint may be violated for a time, and between two it may not. Of a transaction that is refused it is tried without which of its
//! changes the target takes it. What is at fault is left out as the policies say, or the task ends with a message that names the change.
//!
//! - *Nothing is lost.* A change is left out only if its transaction is refused with it and taken without it, and only if each of the others then does what it did at the source: one that
//!   meets no row, or is refused, may do so for want of the one that was left out. Where one change alone is at fault, no other is left out. Where none alone is, all of the table that
//!   the target names are left out, and then each is taken again with which the transaction passes. Where that does not pass either, the task ends with what the target said.
//! - *Nothing comes twice.* All of this is one transaction of the target, which commits with the checkpoint as any other; a process that ends in it leaves what was before the batch.
//! - *It ends.* A transaction of more than [`TRACED_MAX`] changes, and one that the target has in part already, are not traced: the task ends with what the target said.

use std::collections::HashSet;
use std::ops::Range;

use tracing::warn;
use whimbrel_connector::{Error, RowRefusal, SingleKind};
use whimbrel_core::TableName;

use super::super::batch::Batch;
use super::{BatchWriter, Counts, HeldBack, SINGLES_AT_ONCE};
use crate::data_errors::Tally;
use crate::exceptions;

/// A transaction of more changes is not traced: each is tried, together with all others.
const TRACED_MAX: usize = 200;

/// What a writer knows of what it left out.
pub(super) struct Left {
    suspended: HashSet<TableName>,
    newly_suspended: Vec<(TableName, String)>,
    held_back: Vec<HeldBack>,
    tally: Tally,
}

/// A transaction that is tried without some of its changes.
struct Trial<'b> {
    batch: &'b Batch,
    all: &'b [u32],
    /// Changes that meet no row in any case: an earlier one was left out.
    missing: Vec<u32>,
}

impl BatchWriter {
    pub(super) fn left(&self) -> Left {
        Left {
            suspended: self.suspended.clone(),
            newly_suspended: self.newly_suspended.clone(),
            held_back: self.held_back.clone(),
            tally: self.tally.clone(),
        }
    }

    /// Forgets what was left out since; it was taken back.
    pub(super) fn set_left(&mut self, left: Left) {
        Left {
            suspended: self.suspended,
            newly_suspended: self.newly_suspended,
            held_back: self.held_back,
            tally: self.tally,
        } = left;
    }

    /// Applies a batch again that was refused at the commit, and leaves out what is at fault. Nothing is committed.
    pub(super) async fn apply_traced<'b>(
        &mut self,
        batch: &'b Batch,
        refusal: RowRefusal,
    ) -> Result<Counts<'b>, Error> {
        warn!(%refusal, "the target refuses a batch at its commit; it is applied again, one transaction of the source after the other");
        self.open().await?;
        let mut counts = Counts::of_batch(batch);
        let mut begin = 0;
        for &end in &batch.ends {
            self.transaction(batch, begin..end, &mut counts).await?;
            begin = end;
        }
        Ok(counts)
    }

    /// Applies a transaction of the source, without what is at fault if it is refused.
    async fn transaction(
        &mut self,
        batch: &Batch,
        changes: Range<u32>,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let all: Vec<u32> = changes.collect();
        let Some(refusal) = self.refusal(batch, &all).await? else {
            return self.in_order(batch, &all, counts).await;
        };
        let out = if all.len() > TRACED_MAX {
            None
        } else {
            self.at_fault(batch, &all, &refusal).await?
        };
        let Some(out) = out else {
            return Err(at_commit(refusal).into());
        };
        self.in_order(batch, &without(&all, &out), counts).await?;
        for index in out {
            let refusal = of_change(batch, index, &refusal);
            self.leave_out(batch, index, refusal, counts).await?;
        }
        match self.applier.check_deferred().await {
            Err(Error::Row(refusal)) => Err(at_commit(*refusal).into()),
            checked => checked,
        }
    }

    /// Those of the changes of a refused transaction without which all others are taken, if it can be told.
    async fn at_fault(
        &mut self,
        batch: &Batch,
        all: &[u32],
        refusal: &RowRefusal,
    ) -> Result<Option<Vec<u32>>, Error> {
        let is_named = |index: &&u32| {
            let table = batch.table(&batch.changes[**index as usize]);
            table.name == refusal.table || table.target.name == refusal.table
        };
        let (named, others): (Vec<&u32>, Vec<&u32>) = all.iter().partition(is_named);
        let trial = Trial {
            batch,
            all,
            missing: self.missing(batch, all).await?,
        };
        for &index in named.iter().chain(&others) {
            if self.is_taken_without(&trial, &[*index]).await? {
                return Ok(Some(vec![*index]));
            }
        }
        let mut out: Vec<u32> = named.into_iter().copied().collect();
        if !self.is_taken_without(&trial, &out).await? {
            return Ok(None);
        }
        for index in out.clone() {
            let fewer = without(&out, &[index]);
            if self.is_taken_without(&trial, &fewer).await? {
                out = fewer;
            }
        }
        Ok(Some(out))
    }

    /// Whether the target takes a transaction without some of its changes, and each of the others does what it did at the source. All is taken back.
    async fn is_taken_without(&mut self, trial: &Trial<'_>, out: &[u32]) -> Result<bool, Error> {
        self.applier.mark().await?;
        let is_taken = self.is_taken(trial, &without(trial.all, out)).await?;
        self.applier.back_to_mark().await?;
        Ok(is_taken)
    }

    async fn is_taken(&mut self, trial: &Trial<'_>, changes: &[u32]) -> Result<bool, Error> {
        let Some(missed) = self.missed_rows(trial.batch, changes).await? else {
            return Ok(false);
        };
        // What lacks its row may lack it for the change that is left out.
        if missed.iter().any(|index| !trial.missing.contains(index)) {
            return Ok(false);
        }
        match self.applier.check_deferred().await {
            Ok(()) => Ok(true),
            Err(Error::Row(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Those of a transaction that meet no row although none is left out. All is taken back.
    async fn missing(&mut self, batch: &Batch, all: &[u32]) -> Result<Vec<u32>, Error> {
        self.applier.mark().await?;
        let missed = self.missed_rows(batch, all).await?;
        self.applier.back_to_mark().await?;
        Ok(missed.unwrap_or_default())
    }

    /// Applies changes, and answers which of them met no row though they want one. `None`: one is refused.
    async fn missed_rows(
        &mut self,
        batch: &Batch,
        changes: &[u32],
    ) -> Result<Option<Vec<u32>>, Error> {
        let is_followed = |index: &&u32| {
            let table = batch.table(&batch.changes[**index as usize]);
            !self.suspended.contains(&table.name)
        };
        let wanted: Vec<u32> = changes.iter().filter(is_followed).copied().collect();
        let mut missed = Vec::new();
        for part in wanted.chunks(SINGLES_AT_ONCE) {
            let singles: Vec<_> = part.iter().map(|&index| batch.single(index)).collect();
            let touched = match self.applier.apply_single(&singles).await {
                Ok(touched) => touched,
                Err(Error::Row(_)) => return Ok(None),
                Err(error) => return Err(error),
            };
            let is_missed = |(index, touched): &(&u32, &u64)| {
                let change = &batch.changes[**index as usize];
                let wants_row = matches!(
                    change.kind,
                    SingleKind::Update { .. } | SingleKind::Delete { .. }
                );
                **touched == 0 && wants_row && !change.may_miss
            };
            let of_part = part.iter().zip(&touched).filter(is_missed);
            missed.extend(of_part.map(|(index, _)| *index));
        }
        Ok(Some(missed))
    }

    /// Why the target refuses a transaction at its commit, if it does. All is taken back.
    async fn refusal(&mut self, batch: &Batch, all: &[u32]) -> Result<Option<RowRefusal>, Error> {
        let (left, mut counts) = (self.left(), Counts::of_batch(batch));
        self.applier.mark().await?;
        self.in_order(batch, all, &mut counts).await?;
        let checked = self.applier.check_deferred().await;
        self.set_left(left);
        match checked {
            Ok(()) => self.applier.back_to_mark().await.map(|()| None),
            Err(Error::Row(refusal)) => {
                self.applier.back_to_mark().await?;
                Ok(Some(*refusal))
            }
            Err(error) => Err(error),
        }
    }
}

fn without(all: &[u32], out: &[u32]) -> Vec<u32> {
    let kept = all.iter().filter(|index| !out.contains(index));
    kept.copied().collect()
}

/// The refusal of a commit as one of the change that is at fault.
fn of_change(batch: &Batch, index: u32, refusal: &RowRefusal) -> RowRefusal {
    let change = &batch.changes[index as usize];
    RowRefusal {
        table: batch.table(change).name.clone(),
        key: exceptions::key_of(&batch.single(index)).or_else(|| refusal.key.clone()),
        ..at_commit(refusal.clone())
    }
}

/// A refusal that says when it came, and what to do.
pub(super) fn at_commit(refusal: RowRefusal) -> RowRefusal {
    RowRefusal {
        reason: format!(
            "{}, at the commit; drop the constraint until the cut-over, or grant the task's user SET on session_replication_role",
            refusal.reason
        ),
        ..refusal
    }
}
