//! Followed tables that somebody takes out of the publication, wholly or in part, though the task follows them.
//!
//! The server keeps none of their changes back for the task then, and nothing in the log says so. A table like that has a *gap*: its rows are to be read again. It is
//! found by what the catalog has of it:
//!
//! - *Not in the publication, or in part* (a filter, a list of columns, a publication that leaves out kinds of changes): there may be a gap now.
//! - *In it, but since later than its rows were read*: it was out of it for a time. The transaction that made it a member is the catalog row's `xmin`; a member of ours is
//!   waited for before any view is opened ([`super::settled`]), so that the view of the table's load holds it. One that the view does not hold came
//!   later, and what went before is not known. No memory of ours is needed for that, and none is lost in a crash.
//! - *In a publication that was altered since its rows were read*: it may have left out kinds of changes for a time. The row of the publication has its `xmin` too, and a
//!   table that joins or goes leaves that row alone (seen at 15 and 18), so that in a task's life nobody writes it but who alters the kinds of changes, the owner or the name. A load
//!   that finds the kinds altered puts them right ([`super::publication`]); the row has that transaction then, so that what is right again does not hide what
//!   was missing from the tables that were loaded before, whenever the process ends. An owner that is another by now costs a load that was not needed.
//!
//! That is asked when a stream is opened, and from then on at times ([`MembersLook`]), by the numbers of the catalog's rows since then. A crash between a finding and what the
//! engine makes of it finds the same when the stream is opened again: the load that mends it makes the table a member first, and its view is later.
//!
//! What is not found: a table without a load of the task's own (a task of changes alone) that went and came, or whose publication was altered and put back, while no stream was
//! open; one that did so more than 2^31
//! transactions after its load, because the catalog has 32 bits of their ids.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use whimbrel_connector::{Background, Error, LogEvent, TableId, in_background};
use whimbrel_core::Table;

use super::place::View;
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, TextRow};

/// Nobody does such a thing by the second, and what is missing is read again whenever it is found.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What is published of each of some tables; a table that is gone has no row.
const MEMBERS: &str = "
SELECT c.oid, m.oid, m.xmin, m.prqual IS NOT NULL OR m.prattrs IS NOT NULL, p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot,
       pg_snapshot_xmax(pg_current_snapshot()), p.xmin
FROM pg_class c JOIN pg_publication p ON p.pubname = $name LEFT JOIN pg_publication_rel m ON m.prpubid = p.oid AND m.prrelid = c.oid
WHERE c.oid = ANY ($ids::oid[])";

/// Whether there is a publication at all.
const PUBLICATION: &str = "SELECT pubname FROM pg_publication WHERE pubname = $name";

/// What is published of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Member {
    /// Its row in the catalog, and the transaction that made it; `None`: it has none.
    row: Option<(u32, u32)>,
    is_partial: bool,
    /// Whether the publication tells all kinds of changes.
    is_sound: bool,
    /// The transaction that altered the publication last.
    altered: u32,
    /// An id that no transaction had when it was asked.
    next: u64,
}

impl Member {
    fn of_row(row: &TextRow) -> Option<(u32, Self)> {
        let text = |place: usize| row.get(place).and_then(Option::as_deref);
        let number = |place: usize| -> Option<u32> { text(place)?.parse().ok() };
        let member = Self {
            row: number(1).zip(number(2)),
            is_partial: text(3) == Some("t"),
            is_sound: text(4) == Some("t"),
            next: text(5)?.parse().ok()?,
            altered: number(6)?,
        };
        Some((number(0)?, member))
    }

    /// Why changes may be missing that came since the rows of `view`, or since the catalog said `before`.
    fn gap(self, view: Option<&View>, before: Option<Known>) -> Option<&'static str> {
        let Some((row, transaction)) = self.row else {
            return Some("somebody took it out of the task's publication");
        };
        if self.is_partial {
            return Some(
                "somebody had the task's publication leave out some of its rows or columns",
            );
        }
        if !self.is_sound {
            return Some("somebody had the task's publication leave out some kinds of changes");
        }
        let is_later =
            |transaction| view.is_some_and(|view| view.is_before(transaction, self.next));
        if is_later(transaction) || before.is_some_and(|before| before.row != row) {
            return Some(
                "somebody took it out of the task's publication, and it was put back since",
            );
        }
        (is_later(self.altered) || before.is_some_and(|before| before.altered != self.altered))
            .then_some("somebody altered the task's publication, which may have left out some kinds of changes since")
    }
}

/// Nothing is published any more. From version 18 on the server says so only when it comes to a change.
async fn is_gone(connection: &mut Connection, name: &str) -> Result<bool, Error> {
    let sql = PUBLICATION.replace("$name", &quote::literal(name));
    let rows = connection.query(&sql).await;
    let rows = rows.map_err(|error| general(error, "look for the publication of the task"))?;
    Ok(rows.is_empty())
}

/// What is published of tables, by their ids.
async fn members(
    connection: &mut Connection,
    name: &str,
    tables: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, Member>, Error> {
    let ids: Vec<String> = tables.map(|id| id.to_string()).collect();
    let ids = quote::literal(&format!("{{{}}}", ids.join(",")));
    let sql = MEMBERS.replace("$name", &quote::literal(name));
    let rows = connection.query(&sql.replace("$ids", &ids)).await;
    let rows = rows.map_err(|error| general(error, "read the publication of the task"))?;
    Ok(rows.iter().filter_map(Member::of_row).collect())
}

/// What the catalog said of a member that had no gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    row: u32,
    altered: u32,
}

/// Of members that have no gap, by the table's id.
pub(super) type Rows = HashMap<u32, Known>;

/// Of tables, each with the view of its load, those with a gap, and why; and what the others are known by from now on.
pub(super) async fn gaps(
    connection: &mut Connection,
    name: &str,
    tables: &[(&Table, Option<View>)],
) -> Result<(Vec<(TableId, String)>, Rows), Error> {
    let ids = tables.iter().filter_map(|(table, _)| table.id);
    let members = members(connection, name, ids).await?;
    let (mut gaps, mut rows) = (Vec::new(), Rows::new());
    for (place, (table, view)) in (0..).zip(tables) {
        let Some((id, member)) = table.id.and_then(|id| Some((id, members.get(&id)?))) else {
            continue;
        };
        match (member.gap(view.as_ref(), None), member.row) {
            (Some(why), _) => gaps.push((TableId(place), why.to_owned())),
            (None, Some((row, _))) => {
                let altered = member.altered;
                rows.insert(id, Known { row, altered });
            }
            (None, None) => {}
        }
    }
    Ok((gaps, rows))
}

/// Looks at the publication at times. Dropped, it ends.
#[derive(Debug)]
pub(super) struct MembersLook {
    found: mpsc::Receiver<Result<Vec<LogEvent>, Error>>,
    _looking: Background<()>,
}

impl MembersLook {
    /// Looks after the tables of a stream that [`gaps`] found without one.
    pub(super) fn start(
        options: &Arc<Options>,
        name: &str,
        tables: &[Arc<Table>],
        rows: &Rows,
    ) -> Self {
        let (tell, found) = mpsc::channel(1);
        let followed = (0..).zip(tables).filter_map(|(place, table)| {
            let id = table.id?;
            Some((id, (TableId(place), *rows.get(&id)?)))
        });
        let look = look(
            Arc::clone(options),
            name.to_owned(),
            followed.collect(),
            tell,
        );
        Self {
            found,
            _looking: in_background("look at the publication", look),
        }
    }

    /// Waits for tables with a gap. Dropping the call loses nothing.
    ///
    /// # Errors
    /// [`Error::Fatal`] where the publication was dropped.
    pub(super) async fn next(&mut self) -> Result<Vec<LogEvent>, Error> {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }
}

/// `followed`: by id, the table's number in the stream, and what the catalog said of it. Each is told of once.
async fn look(
    options: Arc<Options>,
    name: String,
    mut followed: HashMap<u32, (TableId, Known)>,
    tell: mpsc::Sender<Result<Vec<LogEvent>, Error>>,
) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let members = match looked(&options, &name, &followed).await {
            Ok(Some(members)) => members,
            Ok(None) => {
                let gone = Error::Fatal(format!(
                    "the task's publication {name} was dropped at the source, which tells no changes since then; remove what the task left at the source, and start the task again from the beginning, so that it loads the tables"
                ));
                // Nobody listens once the stream was dropped.
                drop(tell.send(Err(gone)).await);
                return;
            }
            Err(error) => {
                tracing::info!(%error, "the publication of the task could not be looked at; it is looked at again in its time");
                continue;
            }
        };
        let mut gaps = Vec::new();
        followed.retain(|id, (table, before)| {
            let member = members.get(id);
            let gap = member.and_then(|member| member.gap(None, Some(*before)));
            gaps.extend(gap.map(|why| LogEvent::Gap {
                table: *table,
                why: why.to_owned(),
            }));
            gap.is_none()
        });
        if !gaps.is_empty() && tell.send(Ok(gaps)).await.is_err() {
            return;
        }
    }
}

/// What is published by now of the tables that are followed; `None`: there is no publication.
async fn looked(
    options: &Options,
    name: &str,
    followed: &HashMap<u32, (TableId, Known)>,
) -> Result<Option<HashMap<u32, Member>>, Error> {
    let mut connection = connect(options).await?;
    if is_gone(&mut connection, name).await? {
        return Ok(None);
    }
    let ids = followed.keys().copied();
    members(&mut connection, name, ids).await.map(Some)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::Position;

    use super::*;

    #[test]
    fn a_member_has_a_gap_unless_it_is_whole_and_older_than_the_rows() {
        let view = View::of(&Position::new("0/5000;100:110:")).unwrap();
        let whole = Member {
            row: Some((7, 99)),
            is_partial: false,
            is_sound: true,
            altered: 98,
            next: 120,
        };
        let known = Known {
            row: 7,
            altered: 98,
        };
        let gap = |member: Member| member.gap(Some(&view), Some(known)).is_some();
        assert!(!gap(whole));
        let changed = [
            Member { row: None, ..whole },
            Member {
                row: Some((7, 110)),
                ..whole
            },
            Member {
                row: Some((8, 99)),
                ..whole
            },
            Member {
                is_partial: true,
                ..whole
            },
            Member {
                is_sound: false,
                ..whole
            },
            Member {
                altered: 111,
                ..whole
            },
            Member {
                altered: 97,
                ..whole
            },
        ];
        for member in changed {
            assert!(gap(member), "{member:?}");
        }
        let put_right = Member {
            altered: 111,
            ..whole
        };
        assert!(put_right.gap(Some(&view), None).is_some());
        assert_eq!(put_right.gap(None, None), None);
    }
}
