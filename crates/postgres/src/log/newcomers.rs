//! Tables that come to be at a source which does not tell so in its log, because event triggers could not be made: its catalog is looked at
//! instead. What is found is told as the log would tell it, in some place of the stream behind the statement that made the table; where, does not
//! matter, because its rows are loaded, and the log of its changes is kept from then on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
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
    ids: HashSet<u32>,
}

/// Looks at the catalog at times. Dropped, it ends.
#[derive(Debug)]
pub(super) struct CatalogLook {
    found: mpsc::Receiver<Vec<TableName>>,
    looking: JoinHandle<()>,
}

impl CatalogLook {
    /// Tables that are followed need not be told of.
    pub(super) fn start(options: &Arc<Options>, followed: &[Arc<Table>]) -> Self {
        let (tell, found) = mpsc::channel(LISTS_MAX);
        let known = Known {
            names: followed.iter().map(|table| table.name.clone()).collect(),
            ids: followed.iter().filter_map(|table| table.id).collect(),
        };
        Self {
            found,
            looking: tokio::spawn(look(Arc::clone(options), known, tell)),
        }
    }

    /// Waits for tables that are new. Dropping the call loses nothing.
    pub(super) async fn next(&mut self) -> Vec<TableName> {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }
}

impl Drop for CatalogLook {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look(options: Arc<Options>, mut known: Known, tell: mpsc::Sender<Vec<TableName>>) {
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
        let new: Vec<TableName> = rows
            .iter()
            .filter_map(|row| new_of_row(row, &mut known))
            .collect();
        if !new.is_empty() && tell.send(new).await.is_err() {
            return;
        }
    }
}

/// A table that was not known before and can be published, which only its owner can have done.
fn new_of_row(row: &TextRow, known: &mut Known) -> Option<TableName> {
    let text = |place: usize| row.get(place).and_then(Option::as_deref);
    let id: u32 = text(3)?.parse().ok()?;
    let table = TableName::new(text(0)?, text(1)?);
    if known.ids.contains(&id) || !known.names.insert(table.clone()) {
        return None;
    }
    if text(2) == Some("t") {
        return Some(table);
    }
    tracing::debug!(%table, "a new table is not followed: the user at the source must own it to have its changes published");
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_told_of_once_and_only_if_it_can_be_published() {
        let row = |cells: [&str; 4]| cells.map(|cell| Some(cell.to_owned())).to_vec();
        let mut known = Known {
            names: HashSet::from([TableName::new("s", "old")]),
            ids: HashSet::from([7]),
        };
        let mut new = |cells| new_of_row(&row(cells), &mut known);
        assert_eq!(new(["s", "old", "t", "7"]), None);
        let renamed = ["s", "other", "t", "7"];
        assert_eq!(new(renamed), None, "a followed table with another name");
        let added = Some(TableName::new("s", "new"));
        assert_eq!(new(["s", "new", "t", "8"]), added);
        assert_eq!(new(["s", "new", "t", "8"]), None);
        assert_eq!(new(["s", "theirs", "f", "9"]), None);
    }
}
