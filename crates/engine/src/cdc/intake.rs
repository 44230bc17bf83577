//! What the stream gives, event by event: whose change it is, what it asks for at the target, and where a transaction ends.

use std::sync::Arc;

use tokio::time::Instant;
use whimbrel_connector::{Error, Feeding, LogEvent, LogPlace, SingleKind, TableId};
use whimbrel_core::{Engine, clock};

use super::CdcOutcome;
use super::OnTruncate;
use super::batch::BatchEnd;
use super::events::{self, Asked};
use super::filtering::{self, Judged, Wish, judged};
use super::follow::Follower;
use super::latency::latency_ms;
use super::tables::Fate;
use crate::RunError;

impl Follower<'_> {
    pub(super) fn event(&mut self, event: LogEvent) -> Result<(), RunError> {
        match event {
            LogEvent::Table { id, table } => self.described(id, table),
            LogEvent::Identified { id, table } => self.identified(id, table),
            LogEvent::Begin {
                mark,
                committed_at_us,
            } => {
                if self.is_past_limit(committed_at_us) && !self.again.is_awaited() {
                    self.end_at_limit();
                    return Ok(());
                }
                self.tables.begin(mark);
                self.waiting_since.open(committed_at_us);
                self.is_in_transaction = true;
                self.changes_in_transaction = 0;
                Ok(())
            }
            LogEvent::Insert { table, after } => self.change(table, SingleKind::Insert { after }),
            LogEvent::Update {
                table,
                before,
                after,
            } => self.change(table, SingleKind::Update { before, after }),
            LogEvent::Delete { table, before } => self.change(table, SingleKind::Delete { before }),
            LogEvent::Truncate { table } => self.change(table, SingleKind::Truncate),
            LogEvent::Dropped { table } => self.dropped(table),
            LogEvent::Renamed { table, to } => self.renamed(table, to),
            LogEvent::Rewritten { table, why } => self.rewritten(table, &why),
            LogEvent::Created { table } => {
                self.created(table);
                Ok(())
            }
            LogEvent::Gap { table, why } => {
                self.gaps.push((table, why));
                Ok(())
            }
            LogEvent::Commit {
                place,
                committed_at_us,
            } => {
                self.commit(place, committed_at_us);
                Ok(())
            }
            LogEvent::Idle {
                place,
                committed_at_us,
            } => {
                self.idle(place, committed_at_us);
                Ok(())
            }
        }
    }

    fn change(&mut self, table: TableId, kind: SingleKind) -> Result<(), RunError> {
        match self.tables.fate(table).map_err(RunError::Source)? {
            Fate::Apply(shape) => {
                self.count_change(table)?;
                let was_applied = self.changes_in_transaction <= self.applied_before;
                let on_truncate = self.spec.on_ddl.on_truncate;
                let is_left_out = kind == SingleKind::Truncate && on_truncate == OnTruncate::Keep;
                if kind == SingleKind::Truncate && !was_applied && on_truncate == OnTruncate::Fail {
                    self.fail_on_truncate(table)?;
                    return Ok(());
                }
                let is_shared = self.spec.load.feeding == Feeding::Together;
                if kind == SingleKind::Truncate && is_shared && !was_applied && !is_left_out {
                    return self.suspend(table, "it was truncated at the source, and other tasks have rows in its table at the target (SharedTargetTables); delete its rows there and load the table again, or set HandleSourceTableTruncated to false");
                }
                if !was_applied && !is_left_out {
                    self.touch(shape, kind);
                    return self.wish(table, shape, kind);
                }
            }
            Fate::Held => self.count_change(table)?,
            Fate::Redefine => {
                self.waiting.push_front(change_event(table, kind));
                self.redefine(table)?;
            }
        }
        Ok(())
    }

    /// Counts a change of the transaction at hand by which a part of it is told: see [`super::definitions`].
    fn count_change(&mut self, table: TableId) -> Result<(), RunError> {
        let counts = self.tables.counts(table).map_err(RunError::Source)?;
        self.changes_in_transaction += u64::from(counts);
        Ok(())
    }

    /// The task ends with an error once everything before is applied.
    fn fail_on_truncate(&mut self, table: TableId) -> Result<(), RunError> {
        let (_, table) = self.tables.followed_as(table).map_err(RunError::Source)?;
        self.failure = Some(RunError::Table(format!(
            "table {} was truncated at the source, which is to end the task (ApplyErrorFailOnTruncationDdl); set that to false and resume it, so that HandleSourceTableTruncated decides",
            table.name
        )));
        self.end(CdcOutcome::Stopped);
        Ok(())
    }

    /// Takes what a change asks for at the target, which has some rows of a table alone where the mappings say so.
    fn wish(&mut self, table: TableId, shape: u32, kind: SingleKind) -> Result<(), RunError> {
        let as_it_is = || Judged::One(Wish::sure(kind));
        let shaped = self.tables.shapes()[shape as usize].shape.clone();
        let judged = match (&shaped, &self.rows) {
            (Some(shaped), Some(rows)) if shaped.filter().is_some() => {
                match judged(shaped, &**rows, kind) {
                    // A row that cannot be read is told where it is applied, as the policies say.
                    Err(Error::Row(_)) => as_it_is(),
                    judged => judged.map_err(RunError::Source)?,
                }
            }
            _ => as_it_is(),
        };
        match judged {
            Judged::Nothing => Ok(()),
            Judged::One(wish) => self.take_wish(table, shape, wish),
            Judged::Replaced(goes, comes) => {
                self.take_wish(table, shape, goes)?;
                self.take_wish(table, shape, comes)
            }
            Judged::Undecidable => self.cannot_tell(table, filtering::remedy),
        }
    }

    /// Takes what is to be done for a change; of a table whose columns are made of more than a row's cells, what that asks for.
    fn take_wish(&mut self, table: TableId, shape: u32, wish: Wish) -> Result<(), RunError> {
        let shaped = self.tables.shapes()[shape as usize].shape.clone();
        let cells = shaped.filter(|shaped| shaped.changes_cells());
        let asked = match (&cells, &self.rows) {
            (Some(cells), Some(rows)) if cells.asks_for_events() => {
                match events::asked(cells, &**rows, wish) {
                    Err(Error::Row(_)) => Asked::One(wish),
                    asked => asked.map_err(RunError::Source)?,
                }
            }
            _ => Asked::One(wish),
        };
        match asked {
            Asked::One(wish) => self.collector.push(shape, wish, cells.as_ref()),
            Asked::InOrder(wishes) => {
                for wish in wishes {
                    self.collector.push(shape, wish, cells.as_ref());
                }
            }
            Asked::Undecidable => return self.cannot_tell(table, events::remedy),
        }
        Ok(())
    }

    /// Follows a table no more whose log does not tell enough.
    fn cannot_tell(
        &mut self,
        table: TableId,
        remedy: fn(Engine) -> &'static str,
    ) -> Result<(), RunError> {
        let (_, followed) = self.tables.followed_as(table).map_err(RunError::Source)?;
        self.suspend(table, remedy(followed.target.source.engine))
    }

    /// Keeps which rows change, for a task that validates.
    fn touch(&self, shape: u32, kind: SingleKind) {
        if let (Some(touched), Some(rows)) = (&self.spec.touched, &self.rows) {
            let table = &self.tables.shapes()[shape as usize].target.source.name;
            touched.note(table, kind, &**rows);
        }
    }

    /// Nothing of the task's came up to a place.
    fn idle(&mut self, place: Arc<dyn LogPlace>, committed_at_us: Option<i64>) {
        self.pass(&*place);
        // A place in front of a transaction that the target has a part of says nothing of that part, and would take its place.
        if !self.again.is_awaited() {
            self.collector.idle(place);
            if self.is_past_limit(committed_at_us) {
                // And nothing that was committed earlier will come.
                return self.end_at_limit();
            }
        }
        let latency_ms = self.waiting_since.rest(committed_at_us);
        self.progress
            .follow(|cdc| cdc.source_latency_ms = latency_ms);
    }

    /// All before a place is taken in.
    fn pass(&mut self, place: &dyn LogPlace) {
        let stream = &self.stream;
        self.ahead.take_if(|ahead| stream.has_reached(place, ahead));
    }

    /// Whether the transaction at hand is an empty one in front of that of which the target has a part: a server may tell it the second time and not the first (one of others in a stream of
    /// transactions in progress). Its place must not take that of the part, as in [`Self::idle`]. A transaction in which a definition changed is not empty, and that of the part
    /// has changes or definitions: the last one that was begun comes again. Only where its table was left in error since, and nothing else is in the transaction, nothing of it
    /// comes; the part is waited for until the next transaction with changes then, of which none counts as applied.
    fn is_in_front_of_part(&self) -> bool {
        self.again.is_awaited() && self.changes_in_transaction == 0 && !self.must_commit
    }

    fn commit(&mut self, place: Arc<dyn LogPlace>, committed_at_us: i64) {
        let is_past_limit = self.is_past_limit(Some(committed_at_us));
        if is_past_limit && !self.has_defined() {
            return self.end_at_limit();
        }
        if self.is_in_front_of_part() {
            self.is_in_transaction = false;
            self.waiting_since.close(committed_at_us, self.has_part());
            return self.pass(&*place);
        }
        self.again.come();
        if self.changes_in_transaction > 0 {
            self.changed_at = Some(Instant::now());
            self.applied_before = 0;
        }
        self.waiting_since.close(committed_at_us, self.has_part());
        self.changes_in_transaction = 0;
        self.is_in_transaction = false;
        self.pass(&*place);
        self.collector.commit(BatchEnd {
            place,
            committed_at_us,
            received_at_us: clock::now_us(),
        });
        if is_past_limit {
            self.end_at_limit();
        }
        self.end_if_time_is_up();
        let waiting_count = self.collector.size().1 as u64;
        let latency_ms = latency_ms(committed_at_us);
        self.progress.follow(|cdc| {
            cdc.source_latency_ms = latency_ms;
            cdc.received_at_us = Some(committed_at_us);
            cdc.waiting_count = waiting_count;
        });
    }
}

/// A change as the stream told it.
fn change_event(table: TableId, kind: SingleKind) -> LogEvent {
    match kind {
        SingleKind::Insert { after } => LogEvent::Insert { table, after },
        SingleKind::Update { before, after } => LogEvent::Update {
            table,
            before,
            after,
        },
        SingleKind::Delete { before } => LogEvent::Delete { table, before },
        SingleKind::Truncate => LogEvent::Truncate { table },
    }
}
