//! One round of comparisons, and one look at rows that differed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;
use tracing::{info, warn};
use whimbrel_connector::{Connector, Error, Source};
use whimbrel_core::{Table, TableName, clock};

use super::failures::write_of;
use super::look::Eyes;
use super::pending::PendingRow;
use super::tables::{Looking, Stage};
use super::{ValidationState, Validator};
use crate::RunError;
use crate::validate::{Compared, End, Layout, compare, unreadable};

/// Tables with more rows than these in all are not read under one snapshot. A server may hold a lock on the definition of each table that
/// was read until the snapshot ends, behind which an ALTER of the table waits, and everybody else behind the ALTER: these rows are read in
/// about a second.
const ROWS_TOGETHER_MAX: u64 = 100_000;

impl Validator {
    /// Compares tables that wait for it, under one snapshot of either end. `false`: none does, or none can be now.
    pub(super) async fn compare_waiting(&mut self) -> Result<bool, RunError> {
        let waiting = self.waiting();
        if waiting.is_empty() {
            return Ok(false);
        }
        for name in &waiting {
            if let Some(entry) = self.tables.get_mut(name) {
                entry.tell(ValidationState::PreparingTable, 0);
            }
        }
        self.show();
        // What was altered at the source by now is altered at the target too.
        if !self.applied().await? {
            return Ok(false);
        }
        let asked = to_describe(&waiting, &self.sizes);
        let source = describe(&self.source, &asked).await;
        let (mut from, here) = source.map_err(RunError::Source)?;
        for name in &asked {
            let table = here.iter().find(|table| table.name == *name);
            // One that is not there is not read.
            self.sizes.insert(name.clone(), table.map_or(0, rows_max));
        }
        let names = asked.iter().map(|name| self.spec.load.target_name(name));
        let target = describe(&self.target, &names.collect()).await;
        let (mut to, there) = target.map_err(RunError::Target)?;
        // Before anything is read: of what changes from now on nothing is missed.
        let together = read_together(&waiting, &self.sizes);
        let together = together.into_iter().filter(|name| asked.contains(*name));
        let wanted = together.filter_map(|name| {
            let (layout, from_bucket) = self.lay_out(name, &here, &there)?;
            Some((name, layout, from_bucket))
        });
        let wanted: Vec<_> = wanted.collect();
        let readers = self.spec.reader_count;
        let snapshot = from.snapshot(readers).await.map_err(RunError::Source)?;
        let source = End {
            snapshot,
            tables: here,
        };
        // Now the source's view is behind everything that is applied, and what differs is what changes at this very moment.
        if !self.applied().await? {
            return Ok(false);
        }
        let snapshot = to.snapshot(readers).await.map_err(RunError::Target)?;
        let target = End {
            snapshot,
            tables: there,
        };
        for (name, layout, from_bucket) in wanted {
            self.compare_one(name, layout, from_bucket, (&source, &target))
                .await?;
            self.hold_bounds();
            self.show();
        }
        Ok(true)
    }

    async fn compare_one(
        &mut self,
        name: &TableName,
        layout: Arc<Layout>,
        from_bucket: usize,
        (source, target): (&End, &End),
    ) -> Result<(), RunError> {
        // The run may have begun to load it again.
        self.see();
        let Some(entry) = self.tables.get_mut(name) else {
            return Ok(());
        };
        if !matches!(entry.stage, Stage::Waits { .. }) {
            return Ok(());
        }
        let estimate = layout.source.row_estimate.unwrap_or(0);
        entry.tell(ValidationState::PendingRecords, estimate);
        self.show();
        let readers = self.spec.reader_count;
        let compared = compare(source, target, &layout, readers, from_bucket).await;
        self.see();
        match compared {
            Ok(compared) => self.compared(name, layout, compared),
            Err(error) => {
                let reason = unreadable(error)?;
                self.table_failed(name, reason);
            }
        }
        Ok(())
    }

    /// It may have been altered at that very moment, or lost.
    fn table_failed(&mut self, name: &TableName, reason: String) {
        if let Some(entry) = self.tables.get_mut(name)
            && entry.is_under_way()
        {
            warn!(task = self.spec.load.task, table = %name, reason, "the table cannot be compared");
            entry.failed(reason);
        }
    }

    /// How the table's rows lie over each other, and the bucket from which to look into them. `None`: it cannot be compared.
    fn lay_out(
        &mut self,
        name: &TableName,
        here: &[Table],
        there: &[Table],
    ) -> Option<(Arc<Layout>, usize)> {
        let target_name = self.spec.load.target_name(name);
        let entry = self.tables.get_mut(name)?;
        let Stage::Waits { from_bucket } = entry.stage else {
            return None;
        };
        let here = here.iter().find(|table| table.name == *name);
        let there = there.iter().find(|table| table.name == target_name);
        let layout = match (here, there) {
            (None, _) => Err("the source has no such table".to_owned()),
            (Some(_), None) => Err(format!("the target has no table {target_name}")),
            (Some(here), Some(there)) => Layout::of(here, there, self.spec.load.shaper()),
        };
        let layout = match layout {
            Ok(layout) => Arc::new(layout),
            Err(reason) => {
                if self.spec.follows() {
                    // It may have been altered at the source since everything was applied.
                    entry.failed(reason);
                } else {
                    entry.end(ValidationState::Error, Some(reason));
                }
                return None;
            }
        };
        if !layout.has_key {
            let reason = "rows cannot be told apart without a primary key; whimbrel validate compares such tables as well";
            entry.end(ValidationState::NoPrimaryKey, Some(reason.to_owned()));
            return None;
        }
        if self.spec.follows() && layout.can_be_looked_up() {
            self.spec.touched.watch(name, &layout, from_bucket == 0);
        }
        if from_bucket == 0 {
            // What was written of an earlier comparison goes.
            entry.is_written = false;
        }
        Some((layout, from_bucket))
    }

    /// Takes a comparison in, unless the table was loaded again meanwhile.
    fn compared(&mut self, name: &TableName, layout: Arc<Layout>, compared: Compared) {
        let Some(entry) = self.tables.get_mut(name) else {
            return;
        };
        if !matches!(entry.stage, Stage::Waits { .. }) {
            return;
        }
        info!(task = self.spec.load.task, table = %name, rows = compared.source_row_count, differing = compared.rows.len(), "table compared");
        let now = Instant::now();
        let differing = compared.rows.len();
        let mut rows: Vec<PendingRow> = compared
            .rows
            .into_iter()
            .filter_map(|row| Some(PendingRow::new(row.key?, row.key_hash, now)))
            .collect();
        if rows.len() < differing {
            let reason = format!(
                "{differing} rows differed, and rows cannot be looked up by keys of floating-point numbers or documents, or of values that rules or settings change, to see whether they still do; compare both ends with whimbrel validate"
            );
            entry.end(ValidationState::Error, Some(reason));
            return;
        }
        // Two rows of one key differ twice.
        rows.dedup_by_key(|row| row.key_hash);
        entry.stage = Stage::Looks(Looking {
            layout,
            rows,
            next_bucket: compared.next_bucket,
        });
        entry.conclude();
    }

    /// Waits until the source's present is applied. `false`: not now.
    async fn applied(&mut self) -> Result<bool, RunError> {
        let mut eyes = self.eyes().await?;
        let applied = eyes.applied(&self.progress).await?;
        self.eyes = Some(eyes);
        Ok(applied)
    }

    /// The connections that look, taken out so that an error drops them.
    async fn eyes(&mut self) -> Result<Eyes, RunError> {
        if let Some(eyes) = self.eyes.take() {
            return Ok(eyes);
        }
        let followed_as = self.spec.follows().then_some(self.spec.load.task.as_str());
        Eyes::open(&self.source, &self.target, followed_as).await
    }

    /// Looks at rows of a table that are due.
    pub(super) async fn look_at(&mut self, name: &TableName) -> Result<(), RunError> {
        let Some((layout, rows)) = self.take_due(name) else {
            return Ok(());
        };
        let mut eyes = self.eyes().await?;
        if rows.iter().any(|row| row.is_on_its_way) {
            if !eyes.applied(&self.progress).await? {
                self.eyes = Some(eyes);
                self.put_off(name);
                return Ok(());
            }
            self.arrived();
        }
        let looked = eyes.look(&layout, &rows, &self.progress).await;
        self.see();
        let looks = match looked {
            Ok(Some(looks)) => looks,
            Ok(None) => {
                self.eyes = Some(eyes);
                self.put_off(name);
                return Ok(());
            }
            Err(error) => {
                let reason = unreadable(error)?;
                self.table_failed(name, reason);
                return Ok(());
            }
        };
        self.eyes = Some(eyes);
        let delays = self.spec.delays();
        if let Some(entry) = self.tables.get_mut(name) {
            entry.judge(&looks, delays, clock::now_us());
        }
        Ok(())
    }

    fn take_due(&self, name: &TableName) -> Option<(Arc<Layout>, Vec<PendingRow>)> {
        let Stage::Looks(looking) = &self.tables.get(name)?.stage else {
            return None;
        };
        let now = Instant::now();
        let due = looking.rows.iter().filter(|row| row.due <= now);
        let due = due.take(self.spec.keys_per_look.max(1));
        Some((Arc::clone(&looking.layout), due.cloned().collect()))
    }

    /// Tables are being loaded: rows are looked at when they are.
    fn put_off(&mut self, name: &TableName) {
        let later = Instant::now() + super::ASK_EVERY;
        if let Some(entry) = self.tables.get_mut(name)
            && let Stage::Looks(looking) = &mut entry.stage
        {
            for row in &mut looking.rows {
                row.due = row.due.max(later);
            }
        }
    }

    /// Writes failures to the table at the target that users read. Tells whether there were any to write.
    pub(super) async fn write_failures(&mut self) -> Result<bool, RunError> {
        let unwritten = self.tables.iter().find(|(_, entry)| !entry.is_written);
        let Some((name, entry)) = unwritten else {
            return Ok(false);
        };
        let name = name.clone();
        let write = write_of(&self.spec.load.task, &name, &entry.failures);
        let writer = match self.writer.take() {
            Some(writer) => Ok(writer),
            None => self.target.target().await,
        };
        let mut writer = writer.map_err(RunError::Target)?;
        let home = self.spec.control_schema.as_deref();
        let written = writer.write_control(home, &write).await;
        match written {
            Ok(()) => self.writer = Some(writer),
            Err(error @ (Error::Transient(_) | Error::Connect(_))) => {
                return Err(RunError::Target(error));
            }
            // They tell of the validation and are no part of it.
            Err(error) => {
                warn!(task = self.spec.load.task, table = %name, %error, "rows that differ cannot be written to the table that users read");
            }
        }
        if let Some(entry) = self.tables.get_mut(&name) {
            entry.is_written = true;
        }
        Ok(true)
    }
}

/// The tables that are read under one snapshot: small ones together, a large one alone.
fn read_together<'a>(
    waiting: impl IntoIterator<Item = &'a TableName>,
    sizes: &BTreeMap<TableName, u64>,
) -> Vec<&'a TableName> {
    let mut row_total = 0_u64;
    let fits = |(index, name): &(usize, &TableName)| {
        let rows = sizes.get(*name).copied().unwrap_or(ROWS_TOGETHER_MAX);
        row_total = row_total.saturating_add(rows);
        *index == 0 || row_total <= ROWS_TOGETHER_MAX
    };
    let together = waiting.into_iter().enumerate().take_while(fits);
    together.map(|(_, name)| name).collect()
}

/// The tables that this round needs described: those that were never, to learn their sizes, and of the others those that are read in it. So
/// each is described once or twice, however many wait.
fn to_describe(
    waiting: &BTreeSet<TableName>,
    sizes: &BTreeMap<TableName, u64>,
) -> BTreeSet<TableName> {
    let (known, unknown): (Vec<_>, Vec<_>) =
        waiting.iter().partition(|name| sizes.contains_key(*name));
    let together = read_together(known, sizes);
    together.into_iter().chain(unknown).cloned().collect()
}

/// A bound of a table's rows, by its bytes where its server has not counted them.
fn rows_max(table: &Table) -> u64 {
    /// What a row takes at least, its header included.
    const ROW_BYTES_MIN: u64 = 16;
    let by_bytes = table.byte_estimate.map(|bytes| bytes / ROW_BYTES_MIN);
    let rows = table.row_estimate.or(by_bytes);
    rows.unwrap_or(ROWS_TOGETHER_MAX)
}

/// Connects to an end and describes tables of it.
async fn describe(
    connector: &Arc<dyn Connector>,
    tables: &BTreeSet<TableName>,
) -> Result<(Box<dyn Source>, Vec<Table>), Error> {
    let mut source = connector.source().await?;
    let mut described = source.tables(&|name| tables.contains(name)).await?;
    if described.len() < tables.len() {
        // The others may be views that were loaded as tables.
        described.extend(source.views(&|name| tables.contains(name)).await?);
    }
    Ok((source, described))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many rounds, and so many descriptions, as tables of so many rows take.
    fn rounds(rows: &[u64]) -> (usize, usize) {
        let named = |(number, _)| TableName::new("s", format!("t{number:04}"));
        let mut waiting: BTreeSet<TableName> = rows.iter().enumerate().map(named).collect();
        let real: BTreeMap<_, _> = waiting.iter().cloned().zip(rows.iter().copied()).collect();
        let mut sizes = BTreeMap::new();
        let (mut round_count, mut description_count) = (0, 0);
        while !waiting.is_empty() {
            let asked = to_describe(&waiting, &sizes);
            let learnt = asked.iter().map(|name| (name.clone(), real[name]));
            sizes.extend(learnt);
            let together = read_together(&waiting, &sizes).into_iter();
            let together: Vec<_> = together
                .filter(|name| asked.contains(*name))
                .cloned()
                .collect();
            assert!(!together.is_empty());
            waiting.retain(|name| !together.contains(name));
            round_count += 1;
            description_count += asked.len();
        }
        (round_count, description_count)
    }

    #[test]
    fn many_tables_are_described_once_or_twice_each() {
        let (round_count, description_count) = rounds(&[ROWS_TOGETHER_MAX; 200]);
        assert_eq!(round_count, 200);
        assert!(description_count < 2 * 200, "{description_count}");
        let (round_count, description_count) = rounds(&[1000; 250]);
        assert_eq!(round_count, 3);
        assert!(description_count < 2 * 250, "{description_count}");
        assert_eq!(rounds(&[]), (0, 0));
    }
}
