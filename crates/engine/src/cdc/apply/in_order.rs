//! Changes in the order of the log, and what becomes of those that cannot be applied or meet no row.

use tracing::warn;
use whimbrel_connector::{
    ApplyException, Error, FollowState, RecordChange, RefusalKind, RowAt, RowRefusal, SingleChange,
    SingleKind,
};
use whimbrel_core::TableName;

use super::super::RowPolicy;
use super::super::batch::Batch;
use super::super::fold::NetKind;
use super::super::tables::StreamTable;
use super::{BatchWriter, Counts, HeldBack, SINGLES_AT_ONCE};
use crate::data_errors::Class;
use crate::exceptions;

/// Of a batch that lacks more rows of a table than these, their count is told instead of each: they would fill the table of exceptions, and each takes an exchange.
const NAMED_MAX: u64 = 1000;

impl BatchWriter {
    /// Whether the rows that were not there are to be told one by one.
    pub(super) fn names(&self, missing: Missing) -> bool {
        let told = |rows: MissingRows, policy| {
            if policy == RowPolicy::Ignore && self.errors.escalation.is_none() {
                0
            } else {
                rows.others
            }
        };
        let told = told(missing.updates, self.errors.missing_update)
            + told(missing.deletes, self.errors.missing_delete);
        (1..=NAMED_MAX).contains(&told)
    }

    /// Rows of net changes that were not there, by their number.
    pub(super) async fn report_missing(
        &mut self,
        table: &StreamTable,
        missing: Missing,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let kinds = [
            (missing.updates, NetKind::Update, self.errors.missing_update),
            (missing.deletes, NetKind::Delete, self.errors.missing_delete),
        ];
        for (rows, kind, policy) in kinds {
            counts.of(&table.name).take_back(kind, rows.in_order);
            let count = rows.others;
            if count == 0 {
                continue;
            }
            let verb = match kind {
                NetKind::Update => "UPDATE",
                NetKind::Delete | NetKind::Insert => "DELETE FROM",
            };
            counts.of(&table.name).leave_out_many(kind, count);
            let exception = ApplyException {
                table: table.target.name.clone(),
                statement: format!("{verb} {} (a batch of changes)", table.target.name),
                error: format!("{count} rows were not there"),
            };
            let policy = self.escalated(table, Class::Apply, count, policy);
            self.left_out(table, policy, exception).await?;
        }
        Ok(())
    }

    /// What becomes of a table of which changes are left out, with those that were left out before.
    fn escalated(
        &mut self,
        table: &StreamTable,
        class: Class,
        count: u64,
        policy: RowPolicy,
    ) -> RowPolicy {
        let escalation = match class {
            Class::Data => self.data_errors.escalation,
            Class::Apply => self.errors.escalation,
        };
        policy.escalated(escalation, self.tally.add(&table.name, class, count))
    }

    /// Applies changes in the order of the log. A change that is refused is found by halving.
    pub(super) async fn in_order(
        &mut self,
        batch: &Batch,
        changes: &[u32],
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let mut parts: Vec<&[u32]> = changes.chunks(SINGLES_AT_ONCE).rev().collect();
        while let Some(part) = parts.pop() {
            let wanted = self.followed(batch, part, counts);
            if wanted.is_empty() {
                continue;
            }
            let is_done = match self.apply_marked(batch, &wanted).await {
                Ok(Some(touched)) => {
                    self.missed(batch, &wanted, &touched, counts).await?;
                    true
                }
                Ok(None) => match *wanted {
                    [index] => {
                        self.insert_missing(batch, index, counts).await?;
                        true
                    }
                    _ => false,
                },
                Err(Error::Row(refusal)) => match *wanted {
                    [index] => {
                        self.refused(batch, index, *refusal, counts).await?;
                        true
                    }
                    _ => false,
                },
                Err(error) => return Err(error),
            };
            if !is_done {
                let (first, second) = part.split_at(part.len() / 2);
                parts.extend([second, first]);
            }
        }
        Ok(())
    }

    /// Applies changes in one call. `None`: an update met no row, which the task wants to be inserted, and nothing is applied: what comes behind it may be of the
    /// same row.
    async fn apply_marked(
        &mut self,
        batch: &Batch,
        changes: &[u32],
    ) -> Result<Option<Vec<u64>>, Error> {
        let singles: Vec<_> = changes.iter().map(|&index| batch.single(index)).collect();
        let asks = |index: &u32| {
            let change = &batch.changes[*index as usize];
            matches!(change.kind, SingleKind::Update { .. }) && !change.may_miss
        };
        if !self.errors.inserts_missing || !changes.iter().any(asks) {
            return self.applier.apply_single(&singles).await.map(Some);
        }
        self.applier.mark().await?;
        let touched = match self.applier.apply_single(&singles).await {
            Ok(touched) => touched,
            Err(error @ Error::Row(_)) => {
                self.applier.drop_mark().await?;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let is_missing = |(index, touched): (&u32, &u64)| *touched == 0 && asks(index);
        if changes.iter().zip(&touched).any(is_missing) {
            self.applier.back_to_mark().await?;
            return Ok(None);
        }
        self.applier.drop_mark().await?;
        Ok(Some(touched))
    }

    /// Inserts the row of an update that met none. Where the log has only a part of it, or the target refuses it, the policy for rows that are not there holds.
    async fn insert_missing(
        &mut self,
        batch: &Batch,
        index: u32,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        const PARTIAL: &str =
            "the row is not there, and the log has only a part of it to be inserted";
        let SingleKind::Update { after, .. } = batch.changes[index as usize].kind else {
            return self.missed(batch, &[index], &[0], counts).await;
        };
        if !after.is_whole {
            return self.not_there(batch, index, PARTIAL, counts).await;
        }
        let insert = SingleChange {
            kind: SingleKind::Insert { after },
            ..batch.single(index)
        };
        let refusal = match self.applier.apply_single(&[insert]).await {
            Ok(_) => return Ok(()),
            Err(Error::Row(refusal)) => refusal,
            Err(error) => return Err(error),
        };
        // Its key is new, and the row of that is there.
        if refusal.kind == RefusalKind::Constraint && self.overwrite(batch, index, after).await? {
            return Ok(());
        }
        let reason = format!("the row is not there, and cannot be inserted: {refusal}");
        self.not_there(batch, index, &reason, counts).await
    }

    /// Gives the row of a key another content. It is updated, not deleted and inserted: nothing that refers to it may be lost by it. `false`: no row has the key, the
    /// table has none, or the target refuses.
    async fn overwrite(&mut self, batch: &Batch, index: u32, after: RowAt) -> Result<bool, Error> {
        let table = batch.table(&batch.changes[index as usize]);
        if table.target.primary_key.is_empty() {
            return Ok(false);
        }
        let update = SingleChange {
            kind: SingleKind::Update {
                before: None,
                after,
            },
            ..batch.single(index)
        };
        match self.applier.apply_single(&[update]).await {
            Ok(touched) => Ok(touched.iter().any(|&touched| touched > 0)),
            Err(Error::Row(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Those of tables that are followed.
    fn followed(&self, batch: &Batch, changes: &[u32], counts: &mut Counts<'_>) -> Vec<u32> {
        if self.suspended.is_empty() {
            return changes.to_vec();
        }
        let is_followed = |index: &u32| {
            let change = &batch.changes[*index as usize];
            let name = &batch.table(change).name;
            let is_suspended = self.suspended.contains(name);
            if is_suspended {
                counts.of(name).leave_out(change.kind);
            }
            !is_suspended
        };
        changes.iter().copied().filter(is_followed).collect()
    }

    /// Changes that met no row.
    async fn missed(
        &mut self,
        batch: &Batch,
        changes: &[u32],
        touched: &[u64],
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        for (&index, &touched) in changes.iter().zip(touched) {
            let change = &batch.changes[index as usize];
            if touched > 0 {
                continue;
            }
            if change.may_miss {
                let table = batch.table(change);
                counts.of(&table.name).take_back_one(change.kind);
                continue;
            }
            self.not_there(batch, index, "the row is not there", counts)
                .await?;
        }
        Ok(())
    }

    /// Leaves out an update or delete that met no row.
    async fn not_there(
        &mut self,
        batch: &Batch,
        index: u32,
        reason: &str,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let change = &batch.changes[index as usize];
        let policy = match change.kind {
            SingleKind::Update { .. } => self.errors.missing_update,
            SingleKind::Delete { .. } => self.errors.missing_delete,
            SingleKind::Insert { .. } | SingleKind::Truncate => return Ok(()),
        };
        let table = batch.table(change);
        counts.of(&table.name).leave_out(change.kind);
        let exception = exceptions::of(&batch.single(index), reason)?;
        let policy = self.escalated(table, Class::Apply, 1, policy);
        self.left_out(table, policy, exception).await
    }

    pub(super) async fn refused(
        &mut self,
        batch: &Batch,
        index: u32,
        refusal: RowRefusal,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let change = &batch.changes[index as usize];
        if let SingleKind::Insert { after } = change.kind
            && self.errors.overwrites
            && refusal.kind == RefusalKind::Constraint
            && self.overwrite(batch, index, after).await?
        {
            return Ok(());
        }
        self.leave_out(batch, index, refusal, counts).await
    }

    /// A change that is refused is left out, as the policies say.
    pub(super) async fn leave_out(
        &mut self,
        batch: &Batch,
        index: u32,
        refusal: RowRefusal,
        counts: &mut Counts<'_>,
    ) -> Result<(), Error> {
        let change = &batch.changes[index as usize];
        let (class, policy) = match (self.data_errors.of_change(refusal.kind), change.kind) {
            (Some(policy), _) => (Class::Data, policy),
            (None, SingleKind::Insert { .. }) => (Class::Apply, self.errors.insert),
            (None, SingleKind::Update { .. }) => (Class::Apply, self.errors.update),
            (None, SingleKind::Delete { .. } | SingleKind::Truncate) => {
                (Class::Apply, self.errors.delete)
            }
        };
        if policy == RowPolicy::StopTask {
            return Err(refusal.into());
        }
        let table = batch.table(change);
        counts.of(&table.name).leave_out(change.kind);
        let exception = exceptions::of(&batch.single(index), &refusal.to_string())?;
        let policy = self.escalated(table, class, 1, policy);
        self.left_out(table, policy, exception).await
    }

    /// A change is left out: what is written down of it commits with the rows around it.
    async fn left_out(
        &mut self,
        table: &StreamTable,
        policy: RowPolicy,
        exception: ApplyException,
    ) -> Result<(), Error> {
        let reason = exception.error.clone();
        match policy {
            RowPolicy::Ignore => return Ok(()),
            RowPolicy::StopTask => {
                // Not an error of the table's own: the policy wants the task to end.
                return Err(Error::Fatal(format!(
                    "table {}: a change cannot be applied: {reason}; load the table again, or let the task's error policy leave such changes out",
                    table.name
                )));
            }
            RowPolicy::Report | RowPolicy::SuspendTable => {}
        }
        warn!(table = %table.name, error = reason, "a change is left out, as the task's error policy says; see awsdms_apply_exceptions");
        self.applier.report(&[exception]).await?;
        if policy == RowPolicy::SuspendTable {
            let reason = format!("a change could not be applied: {reason}; load the table again");
            let state = FollowState {
                has_joined: true,
                suspended: Some(reason.clone()),
                ..FollowState::loaded(table.target.source.clone())
            };
            let put = RecordChange::Put {
                table: table.name.clone(),
                state,
            };
            self.note(&[put]).await?;
            self.suspended.insert(table.name.clone());
            self.newly_suspended.push((table.name.clone(), reason));
        }
        Ok(())
    }
}

/// Suspensions as they commit with a part of a transaction; they are written again when the transaction is whole. With each goes what is recorded of the table under the names that it
/// had before in the same transaction, by which it would be followed on. A name that another table got later is none of those: that table is still followed by its record of before.
pub(super) fn in_part(
    held_back: &[HeldBack],
    renamed: &[(TableName, TableName)],
) -> Vec<RecordChange> {
    // What goes is in front: another of them may have got the name.
    let (mut changes, mut puts) = (Vec::new(), Vec::new());
    for held in held_back {
        let RecordChange::Put { table, state } = &held.change else {
            continue;
        };
        if state.suspended.is_none() {
            continue;
        }
        let mut name = table;
        for (from, to) in renamed[..held.renamed_before].iter().rev() {
            if to == name {
                let table = from.clone();
                changes.push(RecordChange::Remove { table });
                name = from;
            }
        }
        puts.push(RecordChange::Put {
            table: table.clone(),
            state: FollowState {
                suspended_in_part: true,
                ..state.clone()
            },
        });
    }
    changes.extend(puts);
    changes
}

/// Rows that were not there.
#[derive(Clone, Copy)]
pub(super) struct Missing {
    pub(super) updates: MissingRows,
    pub(super) deletes: MissingRows,
}

/// Rows of one kind of change.
#[derive(Clone, Copy)]
pub(super) struct MissingRows {
    /// So many need not be there.
    pub(super) in_order: u64,
    pub(super) others: u64,
}

#[cfg(test)]
mod tests {
    use whimbrel_core::{Engine, Table};

    use super::*;

    fn name(table: &str) -> TableName {
        TableName::new("s", table)
    }

    fn suspended(table: &str, renamed_before: usize) -> HeldBack {
        let shape = Table {
            engine: Engine::Postgres,
            name: name(table),
            columns: Vec::new(),
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        };
        let state = FollowState {
            suspended: Some("refused".to_owned()),
            ..FollowState::loaded(shape)
        };
        HeldBack {
            change: RecordChange::Put {
                table: name(table),
                state,
            },
            renamed_before,
        }
    }

    /// Two tables exchange their names; one of them is in error before that, or behind it.
    #[test]
    fn what_is_recorded_of_a_table_that_got_a_name_later_stays() {
        let ring = [("a", "x"), ("b", "a"), ("x", "b")];
        let renamed = ring.map(|(from, to)| (name(from), name(to)));
        let removed = |held: HeldBack| {
            let changes = in_part(&[held], &renamed).into_iter();
            let removed = changes.filter_map(|change| match change {
                RecordChange::Remove { table } => Some(table.name),
                _ => None,
            });
            removed.collect::<Vec<String>>()
        };
        assert!(removed(suspended("a", 0)).is_empty());
        assert_eq!(removed(suspended("x", 1)), ["a"]);
        assert_eq!(removed(suspended("a", 3)), ["b"]);
        assert_eq!(removed(suspended("b", 3)), ["x", "a"]);
    }
}
