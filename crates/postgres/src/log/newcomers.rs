//! Tables that come to be at a source which does not tell so in its log, because event triggers could not be made: its catalog is looked at
//! instead. What is found is told as the log would tell it, in some place of the stream behind the statement that made the table; where, does not
//! matter, because its rows are loaded, and the log of its changes is kept from then on. A followed table whose name another one has by now ends the
//! stream: opened again, it begins with what the catalog has.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use whimbrel_connector::{Background, in_background};
use whimbrel_core::{Table, TableName};

use crate::catalog;
use crate::connect::connect;
use crate::options::Options;
use crate::wire::{TextRow, WireError};

/// Tables are made seldom, and nobody waits for them by the second.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Lists that wait for a stream that is not read. More are not made meanwhile.
const LISTS_MAX: usize = 1;

/// Tables that are known.
#[derive(Debug)]
struct Known {
    names: HashSet<TableName>,
    /// Those that are followed. One that has another name now is no new table: its next row tells the name.
    followed: HashMap<u32, TableName>,
}

/// What the catalog has that was not known.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Tables that can be published.
    New(Vec<TableName>),
    /// The name of a table that is followed belongs to another one.
    Replaced(TableName),
}

/// Looks at the catalog at times. Dropped, it ends.
#[derive(Debug)]
pub(super) struct CatalogLook {
    found: mpsc::Receiver<Found>,
    _looking: Background<()>,
}

impl CatalogLook {
    /// Tables that are followed need not be told of.
    pub(super) fn start(options: &Arc<Options>, followed: &[Arc<Table>]) -> Self {
        let (tell, found) = mpsc::channel(LISTS_MAX);
        let of_id = |table: &Arc<Table>| Some((table.id?, table.name.clone()));
        let known = Known {
            names: followed.iter().map(|table| table.name.clone()).collect(),
            followed: followed.iter().filter_map(of_id).collect(),
        };
        Self {
            found,
            _looking: in_background(
                "look for new tables",
                look(Arc::clone(options), known, tell),
            ),
        }
    }

    /// Waits for tables that are new. Dropping the call loses nothing.
    pub(super) async fn next(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }
}

async fn look(options: Arc<Options>, mut known: Known, tell: mpsc::Sender<Found>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let looked = match connect(&options).await {
            Ok(mut connection) => {
                let looked = catalog::names_with_owners(&mut connection).await;
                looked.map_err(|error: WireError| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let rows = match looked {
            Ok(rows) => rows,
            Err(error) => {
                tracing::info!(%error, "the source's catalog could not be looked at for new tables; it is looked at again in its time");
                continue;
            }
        };
        let rows: Vec<Row> = rows.iter().filter_map(Row::read).collect();
        let found = known.replaced(&rows).map_or_else(
            || Found::New(rows.iter().filter_map(|row| known.new_of(row)).collect()),
            Found::Replaced,
        );
        if found != Found::New(Vec::new()) && tell.send(found).await.is_err() {
            return;
        }
    }
}

/// A table of the catalog.
struct Row {
    name: TableName,
    id: u32,
    is_owned: bool,
}

impl Row {
    fn read(row: &TextRow) -> Option<Self> {
        let text = |place: usize| row.get(place).and_then(Option::as_deref);
        Some(Self {
            name: TableName::new(text(0)?, text(1)?),
            id: text(3)?.parse().ok()?,
            is_owned: text(2) == Some("t"),
        })
    }
}

impl Known {
    /// A followed table's name that another table has.
    fn replaced(&self, rows: &[Row]) -> Option<TableName> {
        let is_other = |row: &&Row| {
            let mut followed = self.followed.iter();
            followed.any(|(id, name)| *name == row.name && *id != row.id)
        };
        rows.iter().find(is_other).map(|row| row.name.clone())
    }

    /// A table that was not known before and can be published, which only its owner can have done.
    fn new_of(&mut self, row: &Row) -> Option<TableName> {
        let table = row.name.clone();
        if self.followed.contains_key(&row.id) || !self.names.insert(table.clone()) {
            return None;
        }
        if row.is_owned {
            return Some(table);
        }
        tracing::debug!(%table, "a new table is not followed: the user at the source must own it to have its changes published");
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, id: u32) -> Row {
        Row {
            name: TableName::new("s", name),
            id,
            is_owned: name != "theirs",
        }
    }

    fn known() -> Known {
        let old = TableName::new("s", "old");
        Known {
            names: HashSet::from([old.clone()]),
            followed: HashMap::from([(7, old)]),
        }
    }

    #[test]
    fn a_table_is_told_of_once_and_only_if_it_can_be_published() {
        let mut known = known();
        assert_eq!(known.new_of(&row("old", 7)), None);
        let renamed = row("other", 7);
        assert_eq!(known.new_of(&renamed), None, "followed, with another name");
        assert_eq!(known.replaced(&[renamed]), None);
        let added = Some(TableName::new("s", "new"));
        assert_eq!(known.new_of(&row("new", 8)), added);
        assert_eq!(known.new_of(&row("new", 8)), None);
        assert_eq!(known.new_of(&row("theirs", 9)), None);
    }

    #[test]
    fn a_table_in_place_of_a_followed_one_is_found() {
        let old = Some(TableName::new("s", "old"));
        assert_eq!(known().replaced(&[row("old", 7), row("new", 8)]), None);
        assert_eq!(known().replaced(&[row("old", 9)]), old);
        assert_eq!(known().replaced(&[row("old_2024", 7), row("old", 9)]), old);
    }
}
