//! Which tables changed between two snapshots, as the binary log tells it.

use std::collections::{HashMap, HashSet};

use tokio::sync::Mutex;
use tracing::info;
use whimbrel_connector::{ChangeLog, ChangeStream, Error, LogEvent, TableId};
use whimbrel_core::{Position, Table, TableName};

use super::position;
use crate::catalog::{self, UnloggedKey};
use crate::connect::connect;
use crate::errors::general;
use crate::log::{self, MysqlLog, Voids};
use crate::options::Options;
use crate::wire::{Purpose, WireError};

const DOING: &str = "look for changes since the load was interrupted";

/// Answers whether tables changed since an earlier position and up to a snapshot's.
pub(super) struct Changed {
    options: Options,
    tables: Vec<Table>,
    up_to: Position,
    /// The log is read once for each position asked of.
    found: Mutex<HashMap<Position, Found>>,
}

/// Tables that changed; `None` when it cannot be told.
type Found = Option<HashSet<TableName>>;

impl Changed {
    pub(super) fn new(options: Options, tables: Vec<Table>, up_to: Position) -> Self {
        Self {
            options,
            tables,
            up_to,
            found: Mutex::default(),
        }
    }

    /// Whether the table changed, or may have.
    pub(super) async fn since(&self, from: &Position, table: &TableName) -> Result<bool, Error> {
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
        let is_unchanged = found
            .get(from)
            .and_then(Option::as_ref)
            .is_some_and(|changed| !changed.contains(table));
        Ok(!is_unchanged)
    }

    async fn scan(&self, from: &Position) -> Result<HashSet<TableName>, Error> {
        for position in [from, &self.up_to] {
            if !position::is_exact(position) || !position::is_known(position) {
                return Err(Error::Fatal(format!(
                    "cannot {DOING}: the place in the binary log is not known exactly ({position}); grant RELOAD, and the privilege to see the log's status, to the source's user"
                )));
            }
        }
        let mut connection = connect(&self.options, Purpose::Read).await?;
        let failed = |error: WireError| general(error, DOING);
        let keys = catalog::unlogged_keys(&mut connection)
            .await
            .map_err(failed)?;
        let ours: HashSet<&TableName> = self.tables.iter().map(|table| &table.name).collect();
        let causes = causes(&ours, &keys);
        let is_other = |name: &TableName| causes.contains(name) && !ours.contains(name);
        let others = catalog::tables(&mut connection, &is_other).await;
        let tables = [self.tables.clone(), others.map_err(failed)?].concat();

        let mut changed = causes;
        for table in &tables {
            changed.remove(&table.name);
        }
        let left_out = log::left_out(&mut connection, &tables).await?;
        changed.extend(left_out.into_iter().map(|fault| fault.table));
        if *from != self.up_to {
            let mut log = MysqlLog::new(self.options.clone(), "", connection, Voids::default());
            let stream = log.open(&tables, from).await?;
            read_until(stream, &self.up_to, &mut changed).await?;
        }
        spread(&mut changed, &keys);
        Ok(changed)
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

/// Adds the tables that change with those in `changed`.
fn spread(changed: &mut HashSet<TableName>, keys: &[UnloggedKey]) {
    loop {
        let before = changed.len();
        for key in keys {
            if changed.contains(&key.cause) {
                changed.insert(key.table.clone());
            }
        }
        if changed.len() == before {
            return;
        }
    }
}

/// Reads the log up to a place and adds the tables that it names changes of.
async fn read_until(
    mut stream: Box<dyn ChangeStream>,
    up_to: &Position,
    changed: &mut HashSet<TableName>,
) -> Result<(), Error> {
    let mut names: HashMap<TableId, TableName> = HashMap::new();
    loop {
        let block = stream.next().await?;
        for event in block.events {
            let id = match event {
                LogEvent::Table { id, table } | LogEvent::Identified { id, table } => {
                    names.insert(id, table.name.clone());
                    continue;
                }
                LogEvent::Created { table } => {
                    changed.insert(table);
                    continue;
                }
                LogEvent::Dropped { table }
                | LogEvent::Renamed { table, .. }
                | LogEvent::Rewritten { table, .. }
                | LogEvent::Insert { table, .. }
                | LogEvent::Update { table, .. }
                | LogEvent::Delete { table, .. }
                | LogEvent::Truncate { table } => table,
                LogEvent::Commit { place, .. } | LogEvent::Idle { place, .. } => {
                    if stream.has_reached(&*place, up_to) {
                        return Ok(());
                    }
                    continue;
                }
                LogEvent::Begin { .. } => continue,
            };
            if let Some(name) = names.get(&id)
                && !changed.contains(name)
            {
                changed.insert(name.clone());
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
        };
        let keys = [
            key("lines", "orders"),
            key("orders", "customers"),
            key("tree", "tree"),
        ];
        let lines = name("lines");
        let causes = causes(&HashSet::from([&lines]), &keys);
        assert_eq!(causes, HashSet::from([name("orders"), name("customers")]));
        let mut changed = HashSet::from([name("customers")]);
        spread(&mut changed, &keys);
        assert_eq!(
            changed,
            HashSet::from([name("customers"), name("orders"), lines])
        );
    }
}
