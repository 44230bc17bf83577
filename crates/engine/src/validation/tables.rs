//! The tables of a run as its validator knows them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use whimbrel_core::{RowHash, TableName};

use super::failures::Failure;
use super::pending::{Delays, Judgement, Look, PendingRow};
use super::touched::{Changed, KEYS_MAX};
use super::{TableValidation, ValidationState, Validator};
use crate::validate::{Layout, ROWS_COMPARED_MAX};
use crate::{TableProgress, TableState};

const GONE: &str = "the table is gone at the source";
/// Faults in a row after which a table is given up.
const FAULTS_MAX: u32 = 4;
/// An alteration that is being made passes while a table rests; each rest is longer than the one before by this.
const FAULT_WAIT: Duration = Duration::from_secs(5);

/// Where a table is.
pub(super) enum Stage {
    /// It is being loaded, or was not begun.
    Loads,
    /// It is to be compared; buckets before this one have been looked into.
    Waits { from_bucket: usize },
    /// Rows that differed are looked at again.
    Looks(Looking),
    /// What can be said is said.
    Done,
}

/// Rows that are looked at again.
pub(super) struct Looking {
    pub(super) layout: Arc<Layout>,
    pub(super) rows: Vec<PendingRow>,
    /// The comparison is to go on from this bucket.
    pub(super) next_bucket: Option<usize>,
}

/// A table.
pub(super) struct Entry {
    pub(super) stage: Stage,
    shown: TableValidation,
    /// How often it was loaded again when it was last seen.
    reload_count: u32,
    /// Its rows were loaded in this run.
    is_loaded_here: bool,
    pub(super) failures: Vec<Failure>,
    /// The target's table that users read has these failures.
    pub(super) is_written: bool,
    /// Rows that kept changing, by the hashes of their keys: some bytes for each.
    suspended: HashSet<RowHash>,
    /// How often in a row it could not be read for a reason that lies in the table.
    faults: u32,
    /// It is compared again after this time.
    rests_until: Option<Instant>,
    /// The run has it in error.
    is_in_error: bool,
    /// Rows that changed and were not looked at.
    missed: u64,
}

impl Entry {
    fn new(reload_count: u32) -> Self {
        Self {
            stage: Stage::Loads,
            shown: TableValidation::default(),
            reload_count,
            is_loaded_here: false,
            failures: Vec::new(),
            is_written: true,
            suspended: HashSet::new(),
            faults: 0,
            rests_until: None,
            is_in_error: false,
            missed: 0,
        }
    }

    /// The table as users see it.
    pub(super) fn shown(&self) -> TableValidation {
        let mut shown = self.shown.clone();
        shown.reload_count = self.reload_count;
        if let Stage::Looks(looking) = &self.stage {
            shown.pending = looking.rows.len() as u64;
        }
        if shown.state.is_final() && !self.is_written {
            // Whoever reads that rows differ is to find them.
            shown.state = ValidationState::PendingRecords;
        }
        shown
    }

    /// Whether something is being found out about it.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Waits { .. } | Stage::Looks(_))
    }

    /// It is to be compared from the beginning.
    pub(super) fn begin_anew(&mut self, state: ValidationState) {
        self.stage = Stage::Waits { from_bucket: 0 };
        self.failures.clear();
        self.suspended.clear();
        self.faults = 0;
        self.rests_until = None;
        self.missed = 0;
        self.shown = TableValidation {
            state,
            request_count: self.shown.request_count,
            ..TableValidation::default()
        };
    }

    /// Shows what is being done.
    pub(super) fn tell(&mut self, state: ValidationState, pending: u64) {
        self.shown.state = state;
        self.shown.pending = pending;
    }

    /// Nothing more is done.
    pub(super) fn end(&mut self, state: ValidationState, details: Option<String>) {
        self.stage = Stage::Done;
        self.shown.state = state;
        self.shown.pending = 0;
        self.shown.details = details;
        self.count();
    }

    /// Takes in what was seen of some rows.
    pub(super) fn judge(&mut self, looks: &HashMap<RowHash, Look>, delays: Delays, now_us: i64) {
        let Stage::Looks(looking) = &mut self.stage else {
            return;
        };
        let now = Instant::now();
        let columns = looking.layout.columns.iter();
        let columns: Vec<&str> = columns.map(|(name, _)| name.as_str()).collect();
        let before = self.failures.clone();
        let (failures, suspended) = (&mut self.failures, &mut self.suspended);
        looking.rows.retain_mut(|row| {
            let Some(look) = looks.get(&row.key_hash) else {
                return true;
            };
            let judgement = row.judge(look, delays, now);
            if judgement == Judgement::Open {
                return true;
            }
            // Whatever was said of it before is over.
            failures.retain(|failure| !failure.is_of(&row.key));
            suspended.remove(&row.key_hash);
            match judgement {
                Judgement::Failed => {
                    failures.push(Failure::of(row.key.clone(), look, &columns, now_us));
                }
                Judgement::Suspended => {
                    suspended.insert(row.key_hash);
                }
                Judgement::Equal | Judgement::Open => {}
            }
            false
        });
        self.faults = 0;
        self.is_written &= self.failures == before;
        self.conclude();
    }

    /// Rows were looked at: what can be said now.
    pub(super) fn conclude(&mut self) {
        self.count();
        let Stage::Looks(looking) = &self.stage else {
            return;
        };
        let found = if !self.failures.is_empty() {
            Some(ValidationState::MismatchedRecords)
        } else if !self.suspended.is_empty() {
            Some(ValidationState::SuspendedRecords)
        } else {
            None
        };
        if !looking.rows.is_empty() {
            self.shown.state = found.unwrap_or(ValidationState::PendingRecords);
        } else if let Some(from_bucket) = looking.next_bucket {
            self.stage = Stage::Waits { from_bucket };
        } else {
            let (well, details) = if self.missed > 0 {
                let details = format!(
                    "{} rows changed faster than they could be looked at, and were not; ask for the table again with ReloadTables validate-only",
                    self.missed
                );
                (ValidationState::PendingRevalidation, Some(details))
            } else {
                (ValidationState::Validated, unwatched(&looking.layout))
            };
            self.end(found.unwrap_or(well), details);
        }
    }

    /// Rows have changed.
    fn touched(&mut self, changed: Changed, due: Instant) {
        let is_worth_it = matches!(
            self.shown.state,
            ValidationState::Validated
                | ValidationState::MismatchedRecords
                | ValidationState::SuspendedRecords
                | ValidationState::PendingRecords
        );
        if !is_worth_it {
            return;
        }
        self.missed += changed.missed;
        if matches!(self.stage, Stage::Done) {
            self.stage = Stage::Looks(Looking {
                layout: changed.layout,
                rows: Vec::new(),
                next_bucket: None,
            });
        }
        if let Stage::Looks(looking) = &mut self.stage {
            let mut keys = changed.keys;
            for row in &mut looking.rows {
                row.is_on_its_way |= keys.remove(&row.key_hash).is_some();
            }
            let room = KEYS_MAX.saturating_sub(looking.rows.len());
            self.missed += keys.len().saturating_sub(room) as u64;
            let rows = keys.into_iter().take(room);
            let rows = rows.map(|(hash, key)| PendingRow::touched(key, hash, due));
            looking.rows.extend(rows);
        }
        self.conclude();
    }

    fn count(&mut self) {
        self.shown.failed = self.failures.len() as u64;
        self.shown.suspended = self.suspended.len() as u64;
    }

    /// It could not be read, for a reason that lies in the table: it is compared again, and given up where that does not help.
    pub(super) fn failed(&mut self, reason: String) {
        let faults = self.faults + 1;
        if faults >= FAULTS_MAX {
            self.end(ValidationState::Error, Some(reason));
        } else {
            self.begin_anew(self.shown.state);
            self.faults = faults;
            self.rests_until = Some(Instant::now() + FAULT_WAIT * faults);
        }
    }

    /// Takes in what the run says of the table.
    fn see(&mut self, table: &TableProgress, known: Option<&TableValidation>) {
        let is_loaded_again = self.reload_count != table.reload_count;
        self.reload_count = table.reload_count;
        let was_in_error = self.is_in_error;
        self.is_in_error = matches!(
            table.state,
            TableState::Error | TableState::Dropped | TableState::Missing
        );
        match table.state {
            TableState::BeforeLoad | TableState::FullLoad | TableState::Cancelled => {
                self.is_loaded_here = true;
                self.begin_anew(ValidationState::PendingValidation);
                self.stage = Stage::Loads;
            }
            TableState::Error | TableState::Dropped | TableState::Missing => {
                if self.shown.state != ValidationState::TableError {
                    self.begin_anew(ValidationState::TableError);
                }
                let why = table.message.clone();
                self.end(
                    ValidationState::TableError,
                    why.or_else(|| Some(GONE.to_owned())),
                );
            }
            TableState::Completed => {
                let is_back = matches!(self.stage, Stage::Loads) || was_in_error;
                // What was said of rows that are not there any more is of no use.
                let known = known.filter(|_| !self.is_loaded_here);
                let known = known.filter(|known| is_back && known.state.is_kept());
                match known.filter(|_| table.reload_count == 0) {
                    Some(known) => {
                        self.stage = Stage::Done;
                        self.shown = known.clone();
                    }
                    None if is_back || is_loaded_again => {
                        self.begin_anew(ValidationState::PendingValidation);
                    }
                    None => {}
                }
            }
        }
    }
}

/// What a user should know of a table whose later changes are not looked at.
fn unwatched(layout: &Layout) -> Option<String> {
    let why = "rows that change later are not looked at, because they cannot be looked up by keys of floating-point numbers or documents, or of values \
               that rules or settings change; ask for the table again with ReloadTables validate-only";
    (!layout.can_be_looked_up()).then(|| why.to_owned())
}

impl Validator {
    /// Takes in what the run has done since.
    pub(super) fn see(&mut self) {
        let tables = self.progress.snapshot().tables;
        self.tables.retain(|name, _| tables.contains_key(name));
        for (name, table) in &tables {
            let known = self.spec.known.get(name);
            let entry = self.tables.entry(name.clone());
            let entry = entry.or_insert_with(|| Entry::new(table.reload_count));
            entry.see(table, known.filter(|_| !self.spec.follows()));
            if matches!(entry.stage, Stage::Loads) || entry.is_in_error {
                self.spec.touched.leave(name);
            }
            if self.asked.remove(name) {
                entry.shown.request_count += 1;
                if matches!(table.state, TableState::Completed) {
                    entry.begin_anew(ValidationState::PendingRevalidation);
                }
            }
        }
    }

    /// Has rows looked at that have changed since their table was compared.
    pub(super) fn take_touched(&mut self) {
        let first_look = Instant::now() + self.spec.first_look_after;
        for (name, entry) in &mut self.tables {
            // While it is compared they wait: the comparison gives it rows of its own to look at.
            if matches!(entry.stage, Stage::Loads | Stage::Waits { .. }) {
                continue;
            }
            let Some(changed) = self.spec.touched.take(name) else {
                continue;
            };
            if changed.is_redefined {
                entry.begin_anew(ValidationState::PendingRevalidation);
                continue;
            }
            entry.touched(changed, first_look);
        }
    }

    pub(super) fn take_requests(&mut self) {
        self.asked.extend(self.spec.requests.take());
    }

    /// Ends what has more rows that differ than are wanted.
    pub(super) fn hold_bounds(&mut self) {
        let table_max = self.spec.table_failures_max;
        for entry in self.tables.values_mut() {
            if entry.is_under_way() && entry.failures.len() as u64 > table_max {
                let why = format!(
                    "more than {table_max} rows differ (TableFailureMaxCount): the rest of the table is not looked at"
                );
                entry.end(ValidationState::TableError, Some(why));
            }
        }
        let max = self.spec.failures_max;
        let failed: u64 = self.tables.values().map(|entry| entry.shown.failed).sum();
        if failed <= max {
            return;
        }
        for entry in self
            .tables
            .values_mut()
            .filter(|entry| entry.is_under_way())
        {
            let why = format!(
                "more than {max} rows of the task differ (FailureMaxCount): its validation is suspended; put them right, and ask for the table again with ReloadTables validate-only"
            );
            entry.end(ValidationState::Error, Some(why));
        }
    }

    /// Whether rows that are to be looked at may become more.
    pub(super) fn has_room(&self) -> bool {
        let rows = self.tables.values().map(|entry| match &entry.stage {
            Stage::Looks(looking) => looking.rows.len() as u64,
            Stage::Loads | Stage::Waits { .. } | Stage::Done => 0,
        });
        rows.sum::<u64>() < ROWS_COMPARED_MAX
    }

    /// Tables that are to be compared.
    pub(super) fn waiting(&self) -> BTreeSet<TableName> {
        let now = Instant::now();
        let waits = |entry: &Entry| {
            let rests = entry.rests_until.is_some_and(|until| until > now);
            matches!(entry.stage, Stage::Waits { .. }) && !rests
        };
        let waiting = self.tables.iter().filter(|(_, entry)| waits(entry));
        waiting.map(|(name, _)| name.clone()).collect()
    }

    /// Everything is applied that the log had told of: rows that it told of are as the target has them.
    pub(super) fn arrived(&mut self) {
        for entry in self.tables.values_mut() {
            if let Stage::Looks(looking) = &mut entry.stage {
                for row in &mut looking.rows {
                    row.is_on_its_way = false;
                }
            }
        }
    }

    /// A table with rows that are to be looked at now.
    pub(super) fn due(&self, now: Instant) -> Option<TableName> {
        let first = self.first_due()?;
        (first.0 <= now).then(|| first.1.clone())
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.first_due().map(|(at, _)| at)
    }

    fn first_due(&self) -> Option<(Instant, &TableName)> {
        let looks = self.tables.iter().filter_map(|(name, entry)| {
            let Stage::Looks(looking) = &entry.stage else {
                return None;
            };
            let first = looking.rows.iter().map(|row| row.due).min()?;
            Some((first, name))
        });
        looks.min_by_key(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase};
    use whimbrel_connector::{Connector, KeyCell};
    use whimbrel_core::mapping::TableMappings;
    use whimbrel_core::{Column, ColumnType, Engine, Generation, Table};

    use super::super::pending::Seen;
    use super::*;
    use crate::shaping::Shaper;
    use crate::{FullLoadSpec, Progress, ValidationSpec};

    const KEY: RowHash = RowHash(7);

    fn table() -> Table {
        let id = Column {
            name: "id".to_owned(),
            ty: ColumnType::Text { bytes_max: None },
            native: "text".to_owned(),
            nullable: false,
            generation: Generation::None,
            id: None,
            default: None,
        };
        Table {
            engine: Engine::Postgres,
            name: TableName::new("s", "t"),
            columns: vec![id],
            primary_key: vec![0],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    fn looking(layout: &Arc<Layout>) -> Stage {
        let key = vec![KeyCell::Number("7".into())];
        Stage::Looks(Looking {
            layout: Arc::clone(layout),
            rows: vec![PendingRow::new(key, KEY, Instant::now())],
            next_bucket: None,
        })
    }

    fn looks(cells: [u128; 3]) -> HashMap<RowHash, Look> {
        let [source, target, source_after] = cells.map(|cell| {
            Some(Seen {
                cells: vec![RowHash(cell)],
                texts: vec![cell.to_string()],
            })
        });
        let look = Look {
            source,
            target,
            source_after,
        };
        HashMap::from([(KEY, look)])
    }

    fn layout() -> Arc<Layout> {
        let shaper = Shaper {
            settings: &crate::Shaping::default(),
            mappings: &TableMappings::of_patterns(&[], &[]),
            target_schema: None,
        };
        let table = table();
        Arc::new(Layout::of(&table, &table, shaper).unwrap())
    }

    fn validator() -> Validator {
        let end = MemoryConnector::new(MemoryDatabase::new(), Faults::none());
        let end: Arc<dyn Connector> = Arc::new(end);
        let mappings = TableMappings::of_patterns(&[], &[]);
        let spec = ValidationSpec {
            load: FullLoadSpec::new("task", mappings),
            control_schema: None,
            reader_count: 1,
            keys_per_look: 1000,
            failures_max: 1000,
            table_failures_max: 1000,
            delays: None,
            first_look_after: Duration::ZERO,
            touched: Arc::default(),
            known: BTreeMap::new(),
            requests: Arc::default(),
        };
        Validator::new(&end, &end, spec, &Arc::new(Progress::new()))
    }

    #[test]
    fn no_further_table_is_compared_while_many_rows_of_all_are_to_be_looked_at() {
        let mut validator = validator();
        let layout = layout();
        let looks = |rows: u64| {
            let row = |number: u64| {
                let key = vec![KeyCell::Number(number.to_string())];
                PendingRow::new(key, RowHash(number.into()), Instant::now())
            };
            let mut entry = Entry::new(0);
            entry.stage = Stage::Looks(Looking {
                layout: Arc::clone(&layout),
                rows: (0..rows).map(row).collect(),
                next_bucket: None,
            });
            entry
        };
        for table in ["a", "b"] {
            assert!(validator.may_compare());
            let entry = looks(ROWS_COMPARED_MAX / 2);
            validator.tables.insert(TableName::new("s", table), entry);
        }
        assert!(!validator.may_compare());
        let less = looks(ROWS_COMPARED_MAX / 2 - 1);
        validator.tables.insert(TableName::new("s", "b"), less);
        assert!(validator.may_compare());
    }

    #[test]
    fn a_suspended_row_that_is_seen_again_counts_as_what_it_is_then() {
        let layout = layout();
        let mut entry = Entry::new(0);
        let delays = Delays {
            failure: Duration::ZERO,
            suspend: Duration::ZERO,
        };
        let mut seen = |cells| {
            entry.stage = looking(&layout);
            entry.judge(&looks(cells), delays, 0);
            entry.is_written = true;
            let shown = entry.shown();
            (shown.state, shown.suspended, shown.failed)
        };
        let (suspended, failed) = ((1, 0), (0, 1));
        let counts = |seen: (ValidationState, u64, u64)| (seen.1, seen.2);
        assert_eq!(counts(seen([1, 2, 3])), suspended);
        assert_eq!(counts(seen([4, 2, 5])), suspended);
        assert_eq!(counts(seen([5, 2, 5])), failed);
        assert_eq!(counts(seen([6, 2, 7])), suspended);
        assert_eq!(seen([8, 8, 8]).0, ValidationState::Validated);
        assert_eq!((entry.shown().suspended, entry.failures.len()), (0, 0));
    }
}
