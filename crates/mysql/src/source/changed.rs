//! Which tables changed between two snapshots, as the binary log tells it, and whether in chunks that are finished.
//!
//! A load goes on with a table's finished chunks if what they gave under the earlier snapshot is what they hold under the later one. The log
//! between both tells every change of a row with its key, so the answer is "yes" if and only if it tells none of a finished chunk:
//!
//! - A row that came, went or changed in a range that is open costs nothing: that is read under the later snapshot anyhow.
//! - A key that changed is a row that went and one that came ([`FinishedRanges::may_hold`] looks at both).
//! - What may change any row without telling which makes the whole table changed: every statement that alters, empties, replaces or renames it (as
//!   the catalog of now is no answer for an earlier place, such a statement is not looked at any closer), rows that do not fit the table of now, keys
//!   that are not compared here, and foreign keys by which rows change untold, where *any* row of the other table was touched.
//! - Where the log cannot be read, was purged or begun anew, or holds a statement instead of rows, all tables are changed.
//!
//! A transaction that was rolled back may count as a change. None that was committed is overlooked, because both positions are between two
//! transactions, exact, and of the same log, and each transaction is either in the earlier view or behind its position.

use std::collections::{HashMap, HashSet};
use std::sync::{OnceLock, PoisonError};

use tokio::sync::Mutex;
use tracing::info;
use whimbrel_connector::{
    ChangeBlock, ChangeLog, ChangeStream, Error, FinishedChunk, LogEvent, RecordedPlan, TableId,
};
use whimbrel_core::{Position, Table, TableName};

use super::finished::FinishedRanges;
use super::position;
use crate::catalog::{self, UnloggedKey};
use crate::connect::connect;
use crate::errors::general;
use crate::log::{self, MysqlLog, Voids};
use crate::options::Options;
use crate::wire::{Connection, Purpose, WireError};

const DOING: &str = "look for changes since the load was interrupted";

/// Answers whether tables changed since an earlier position and up to a snapshot's.
pub(super) struct Changed {
    options: Options,
    tables: Vec<Table>,
    up_to: Position,
    /// What is going to be asked about.
    recorded: OnceLock<Vec<RecordedPlan>>,
    /// The log is read once for each position asked of.
    found: Mutex<HashMap<Position, Found>>,
}

/// Tables that changed; `None` when it cannot be told.
type Found = Option<HashMap<TableName, Change>>;

/// What became of the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Some changed, none of them in a chunk that its recorded plan has as finished.
    Beside,
    /// Some of a finished chunk changed, or any may have.
    Within,
}

impl Changed {
    pub(super) fn new(options: Options, tables: Vec<Table>, up_to: Position) -> Self {
        Self {
            options,
            tables,
            up_to,
            recorded: OnceLock::new(),
            found: Mutex::default(),
        }
    }

    /// Takes in what is going to be asked about. What is not told here is asked about whole tables.
    pub(super) fn recall(&self, plans: Vec<RecordedPlan>) {
        // Told once; a second time would come too late for answers that were given.
        self.recorded.get_or_init(|| plans);
    }

    /// The recorded plans of a position.
    fn plans<'a>(&'a self, from: &'a Position) -> impl Iterator<Item = &'a RecordedPlan> {
        let plans = self.recorded.get().into_iter().flatten();
        plans.filter(move |plan| plan.planned_at == *from)
    }

    /// Whether rows of the finished chunks of a table changed, or may have.
    pub(super) async fn since(
        &self,
        from: &Position,
        table: &TableName,
        finished: &[FinishedChunk],
    ) -> Result<bool, Error> {
        let mut found = self.found.lock().await;
        if !found.contains_key(from) {
            let scanned = match self.scan(from).await {
                Ok(changed) => Some(changed),
                Err(error @ (Error::Transient(_) | Error::Connect(_))) => return Err(error),
                Err(error) => {
                    info!(%from, %error, "tables that were not finished start again, because nobody can tell whether they changed");
                    None
                }
            };
            found.insert(from.clone(), scanned);
        }
        let Some(Some(changed)) = found.get(from) else {
            return Ok(true);
        };
        let mut plans = self.plans(from);
        Ok(match changed.get(table) {
            None => false,
            Some(Change::Beside) => {
                !plans.any(|plan| plan.table == *table && plan.finished == *finished)
            }
            Some(Change::Within) => true,
        })
    }

    async fn scan(&self, from: &Position) -> Result<HashMap<TableName, Change>, Error> {
        for position in [from, &self.up_to] {
            if !position::is_exact(position) || !position::is_known(position) {
                return Err(Error::Fatal(format!(
                    "cannot {DOING}: the place in the binary log is not known exactly ({position}); grant RELOAD, and the privilege to see the log's status, to the source's user"
                )));
            }
            // The same place twice is one without a look into the log, for which a user may lack the right.
            if *from != self.up_to && !log::tells_its_file(position) {
                return Err(Error::Fatal(format!(
                    "cannot {DOING}: it is not known which log the place is of ({position}); grant REPLICATION SLAVE to the source's user"
                )));
            }
        }
        let mut connection = connect(&self.options, Purpose::Read).await?;
        let failed = |error: WireError| general(error, DOING);
        let keys = catalog::unlogged_keys(&mut connection, None)
            .await
            .map_err(failed)?;
        let ours: HashSet<&TableName> = self.tables.iter().map(|table| &table.name).collect();
        let causes = causes(&ours, &keys);
        let is_other = |name: &TableName| causes.contains(name) && !ours.contains(name);
        let others = catalog::tables(&mut connection, &is_other).await;
        let tables = [self.tables.clone(), others.map_err(failed)?].concat();

        let mut unseen = causes;
        for table in &tables {
            unseen.remove(&table.name);
        }
        let left_out = log::left_out(&mut connection, &tables).await?;
        unseen.extend(left_out.into_iter().map(|fault| fault.table));
        if *from != self.up_to && log::is_limited(&mut connection).await? {
            // TRUNCATE and its like, run from a database that is left out, are not in it.
            unseen.extend(tables.iter().map(|table| table.name.clone()));
        }
        let finished = self.plans(from).filter_map(|plan| {
            let table = tables.iter().find(|table| table.name == plan.table)?;
            let ranges = FinishedRanges::new(table, &plan.finished)?;
            Some((plan.table.clone(), ranges))
        });
        let mut tally = Tally {
            names: HashMap::new(),
            finished: finished.collect(),
            changed: unseen
                .into_iter()
                .map(|table| (table, Change::Within))
                .collect(),
        };
        if *from != self.up_to {
            self.read(&tables, from, connection, &mut tally).await?;
        }
        spread(&mut tally.changed, &keys);
        Ok(tally.changed)
    }

    /// Reads the log from one position to the other. Where it holds rows that were rolled back behind what was handed over, once more: those
    /// rows count as changes, which costs a table at most and loses none.
    async fn read(
        &self,
        tables: &[Table],
        from: &Position,
        connection: Connection,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let voids = Voids::default();
        let known = || {
            let voids = voids.lock().unwrap_or_else(PoisonError::into_inner);
            voids.values().map(Vec::len).sum::<usize>()
        };
        let options = self.options.clone();
        let mut log = MysqlLog::of_one_definition(options, connection, Voids::clone(&voids));
        loop {
            let before = known();
            let stream = log.open(tables, from).await?;
            match tally.read_until(stream, &self.up_to).await {
                Err(Error::Transient(_)) if known() > before => {}
                read => return read,
            }
        }
    }
}

/// What the log has told so far.
struct Tally {
    names: HashMap<TableId, TableName>,
    /// The finished chunks of tables whose rows can be told apart by them.
    finished: HashMap<TableName, FinishedRanges>,
    changed: HashMap<TableName, Change>,
}

impl Tally {
    /// Reads the log up to a place.
    async fn read_until(
        &mut self,
        mut stream: Box<dyn ChangeStream>,
        up_to: &Position,
    ) -> Result<(), Error> {
        // Each stream tells them anew.
        self.names.clear();
        loop {
            let block = stream.next().await?;
            for event in &block.events {
                let (LogEvent::Commit { place, .. } | LogEvent::Idle { place, .. }) = event else {
                    self.take(event, &block);
                    continue;
                };
                if stream.has_reached(&**place, up_to) {
                    return Ok(());
                }
            }
        }
    }

    fn take(&mut self, event: &LogEvent, block: &ChangeBlock) {
        let id = match event {
            LogEvent::Table { id, table } | LogEvent::Identified { id, table } => {
                // Its first description is the one that the log was opened with.
                if self.names.insert(*id, table.name.clone()).is_some() {
                    self.changed.insert(table.name.clone(), Change::Within);
                }
                return;
            }
            LogEvent::Created { table } => {
                self.changed.insert(table.clone(), Change::Within);
                return;
            }
            LogEvent::Dropped { table }
            | LogEvent::Renamed { table, .. }
            | LogEvent::Gap { table, .. }
            | LogEvent::Rewritten { table, .. }
            | LogEvent::Insert { table, .. }
            | LogEvent::Update { table, .. }
            | LogEvent::Delete { table, .. }
            | LogEvent::Truncate { table } => table,
            LogEvent::Begin { .. } | LogEvent::Commit { .. } | LogEvent::Idle { .. } => return,
        };
        let Some(name) = self.names.get(id) else {
            return;
        };
        let so_far = self.changed.get(name);
        if so_far == Some(&Change::Within) {
            return;
        }
        let ranges = self.finished.get(name);
        let change = if ranges.is_none_or(|ranges| ranges.may_hold(event, &*block.rows)) {
            Change::Within
        } else {
            Change::Beside
        };
        if so_far != Some(&change) {
            self.changed.insert(name.clone(), change);
        }
    }
}

/// The tables that may change some of `tables`, directly or through others.
fn causes(tables: &HashSet<&TableName>, keys: &[UnloggedKey]) -> HashSet<TableName> {
    let mut causes: HashSet<TableName> = HashSet::new();
    loop {
        let before = causes.len();
        for key in keys {
            if tables.contains(&key.table) || causes.contains(&key.table) {
                causes.insert(key.cause.clone());
            }
        }
        if causes.len() == before {
            return causes;
        }
    }
}

/// Adds the tables whose rows may change with any of those that did.
fn spread(changed: &mut HashMap<TableName, Change>, keys: &[UnloggedKey]) {
    let mut is_more = true;
    while is_more {
        is_more = false;
        for key in keys {
            if changed.contains_key(&key.cause) {
                let before = changed.insert(key.table.clone(), Change::Within);
                is_more |= before != Some(Change::Within);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(table: &str) -> TableName {
        TableName::new("shop", table)
    }

    #[test]
    fn changes_spread_along_keys_that_are_followed() {
        let key = |table: &str, cause: &str| UnloggedKey {
            table: name(table),
            cause: name(cause),
            is_seen: true,
        };
        let keys = [
            key("lines", "orders"),
            key("orders", "customers"),
            key("tree", "tree"),
        ];
        let lines = name("lines");
        let causes = causes(&HashSet::from([&lines]), &keys);
        assert_eq!(causes, HashSet::from([name("orders"), name("customers")]));
        let mut changed = HashMap::from([(name("customers"), Change::Beside)]);
        spread(&mut changed, &keys);
        let expected = [
            (name("customers"), Change::Beside),
            (name("orders"), Change::Within),
            (lines, Change::Within),
        ];
        assert_eq!(changed, HashMap::from(expected));
    }

    #[test]
    fn a_table_that_refers_to_itself_may_change_anywhere() {
        let tree = UnloggedKey {
            table: name("tree"),
            cause: name("tree"),
            is_seen: true,
        };
        let mut changed = HashMap::from([(name("tree"), Change::Beside)]);
        spread(&mut changed, &[tree]);
        assert_eq!(changed[&name("tree")], Change::Within);
    }
}
