//! What stands in the way of tables that are dropped, or would act on rows that are written: it is put aside, and made again as it was.
//!
//! ```text
//!  BEGIN … note how it is made, DROP VIEW … COMMIT        end of the load:  BEGIN … CREATE VIEW, owner, privileges, comments, remove the note … COMMIT
//! ```
//!
//! As with foreign keys, an object goes in the transaction that notes it, and its note goes in the one that makes it again, so no crash loses it. While one is noted, the
//! source's of its name is not made: it would take the place of what the target had.

use tracing::{info, warn};
use whimbrel_connector::{Error, KeyNotRestored, TaskFence};
use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, ObjectSelection};

use super::control::{self, Held, text};
use crate::catalog::{Resting, resting_on};
use crate::errors::general;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

/// Part of the control tables. The table is named where an object is part of one, and goes with it.
pub(super) const CREATE: &str = "
CREATE TABLE IF NOT EXISTS awsdms_control.awsdms_kept_object (
  task_name varchar(128) NOT NULL, is_there text NOT NULL, kind text NOT NULL, object_name text NOT NULL, table_owner text, table_name text,
  place bigint GENERATED ALWAYS AS IDENTITY, definition text NOT NULL, shown text, own text, is_refused boolean NOT NULL DEFAULT false,
  for_definition boolean NOT NULL DEFAULT false, PRIMARY KEY (task_name, is_there));
DO 'BEGIN IF NOT EXISTS (SELECT FROM pg_attribute WHERE attname = ''shown'' AND attrelid = ''awsdms_control.awsdms_kept_object''::regclass)
  THEN ALTER TABLE awsdms_control.awsdms_kept_object ADD COLUMN shown text, ADD COLUMN own text, ADD COLUMN is_refused boolean NOT NULL DEFAULT false,
    ADD COLUMN for_definition boolean NOT NULL DEFAULT false;
  END IF; END';";

/// How long others may be in the way. Who waits for them keeps yet others waiting.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '60s'";

/// How messages about it begin.
const DOING: &str = "put aside what rests on tables that are made anew";

/// Something to put aside.
pub(super) struct Kept<'a> {
    pub(super) kind: ObjectKind,
    pub(super) name: &'a str,
    /// The table that it is part of.
    pub(super) table: Option<&'a TableName>,
    /// A query that gives a row when it is there.
    pub(super) exists: &'a str,
    pub(super) undo: &'a str,
    pub(super) definition: &'a str,
    /// A query that shows its text; empty: there is none.
    pub(super) shown: &'a str,
}

/// An object that stands aside.
pub(super) struct Noted {
    pub(super) task: String,
    pub(super) definition: String,
    /// The server took it no more when it was to be made again.
    pub(super) is_refused: bool,
}

/// Puts the views and routines aside that rest on tables which are about to be dropped. Those that cannot go stay, and their table says so.
pub(super) async fn clear_way(
    connection: &mut Connection,
    fence: &TaskFence,
    tables: &[TableName],
    wanted: &ObjectSelection,
) -> Result<(), Error> {
    let resting = resting_on(connection, tables).await;
    let resting = resting.map_err(|error| general(error, DOING))?;
    // Those that others rest on go last.
    for object in resting
        .iter()
        .rev()
        .filter(|object| wanted.has(object.kind))
    {
        let kept = Kept {
            kind: object.kind,
            name: &object.name,
            table: None,
            exists: &object.exists,
            undo: &object.undo,
            definition: &object.definition,
            shown: &object.shown,
        };
        put_aside(connection, fence, &kept).await?;
    }
    Ok(())
}

/// What becomes of views and routines within a transaction that changes the definition of a table they rest on.
#[derive(Default)]
pub(super) struct Detour {
    /// Notes and drops them.
    pub(super) aside: Vec<String>,
    /// Makes those again that rest on nothing that is gone, and removes their notes. The others, and views that keep their rows, which would have to be computed, stay
    /// noted until no more changes follow.
    pub(super) again: Vec<String>,
}

/// The statements by which views and routines that rest on a table make way for a change of its definition.
pub(super) async fn resting_sql(
    connection: &mut Connection,
    fence: &TaskFence,
    table: &TableName,
    wanted: &ObjectSelection,
) -> Result<Detour, Error> {
    let resting = resting_on(connection, std::slice::from_ref(table)).await;
    let resting = resting.map_err(|error| general(error, DOING))?;
    let mut detour = Detour::default();
    for object in resting
        .iter()
        .rev()
        .filter(|object| wanted.has(object.kind))
    {
        let own = match object.shown.as_str() {
            "" => None,
            shown => shown_text(connection, shown)
                .await
                .map_err(|error| general(error, DOING))?,
        };
        let values = [
            fence.task.as_str(),
            &object.exists,
            object.kind.as_str(),
            &object.name,
            &object.definition,
            &object.shown,
        ]
        .map(literal)
        .join(", ");
        let own = own.as_deref().map_or_else(|| "NULL".to_owned(), literal);
        detour.aside.push(format!(
            "INSERT INTO awsdms_control.awsdms_kept_object (task_name, is_there, kind, object_name, definition, shown, own, for_definition)
             VALUES ({values}, {own}, true) ON CONFLICT (task_name, is_there) DO UPDATE SET definition = excluded.definition, shown = excluded.shown,
             own = excluded.own, is_refused = false, for_definition = true, place = DEFAULT"
        ));
        detour.aside.push(object.undo.clone());
        if !object.keeps_rows {
            detour.again.push(again_sql(fence, object));
        }
    }
    detour
        .again
        .push("SET LOCAL check_function_bodies = off".to_owned());
    // What others rest on comes first.
    detour.again.reverse();
    Ok(detour)
}

/// Makes an object again and removes its note, or does neither where the server refuses it.
fn again_sql(fence: &TaskFence, object: &Resting) -> String {
    let body = format!(
        "BEGIN EXECUTE {}; DELETE FROM awsdms_control.awsdms_kept_object WHERE task_name = {} AND is_there = {}; EXCEPTION WHEN OTHERS THEN NULL; END",
        literal(&object.definition),
        literal(&fence.task),
        literal(&object.exists)
    );
    format!("DO {}", literal(&body))
}

/// Names the objects that stand aside for definitions that were followed.
pub(super) async fn aside_for_definitions(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<String>, Error> {
    let sql = "SELECT object_name FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 AND for_definition ORDER BY place";
    let rows = connection.query_with(sql, &[Some(&fence.task)]).await;
    let rows = rows.map_err(|error| general(error, "look for what was put aside"))?;
    rows.iter()
        .map(|row| text(row, 0).map(str::to_owned))
        .collect()
}

/// Notes how an object is made, and drops it. Answers why it stays: the server does not let it go, or would not take it back.
pub(super) async fn put_aside(
    connection: &mut Connection,
    fence: &TaskFence,
    kept: &Kept<'_>,
) -> Result<Option<String>, Error> {
    let gone = put_aside_within(connection, fence, kept).await;
    if matches!(gone, Ok(None)) {
        info!(
            task = fence.task,
            object = kept.name,
            "it stands aside until the rows are there, and is made again as it was"
        );
        return Ok(None);
    }
    let ended = connection.query("ROLLBACK").await;
    let gone = gone?;
    ended.map_err(|error| general(error, "roll back"))?;
    Ok(gone)
}

async fn put_aside_within(
    connection: &mut Connection,
    fence: &TaskFence,
    kept: &Kept<'_>,
) -> Result<Option<String>, Error> {
    let failed = |error| general(error, DOING);
    connection.query("BEGIN").await.map_err(failed)?;
    connection.query(LOCK_TIMEOUT).await.map_err(failed)?;
    control::check_fence(connection, fence, Held::Now).await?;
    let own = match kept.shown {
        "" => None,
        shown => shown_text(connection, shown).await.map_err(failed)?,
    };
    // What is there now counts, and not what an earlier run has noted under its name.
    let note = "INSERT INTO awsdms_control.awsdms_kept_object (task_name, is_there, kind, object_name, table_owner, table_name, definition, shown, own)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (task_name, is_there) DO UPDATE SET definition = excluded.definition,
        shown = excluded.shown, own = excluded.own, is_refused = false, for_definition = false, place = DEFAULT";
    let cells = [
        Some(fence.task.as_str()),
        Some(kept.exists),
        Some(kept.kind.as_str()),
        Some(kept.name),
        kept.table.map(|table| table.schema.as_str()),
        kept.table.map(|table| table.name.as_str()),
        Some(kept.definition),
        Some(kept.shown),
        own.as_deref(),
    ];
    connection.query_with(note, &cells).await.map_err(failed)?;
    let gone = match connection.query(kept.undo).await {
        Ok(_) => rehearse(connection, kept.definition).await,
        Err(error) => Err(error),
    };
    match gone {
        Ok(()) => {}
        // One that stays is no reason to let nothing else go: its table says what is in the way.
        Err(WireError::Server(error)) if error.is_lasting() || error.is_lock_timeout() => {
            warn!(object = kept.name, %error, "the object stays, because it cannot be dropped and made again");
            return Ok(Some(error.to_string()));
        }
        Err(error) => return Err(failed(error)),
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map_err(failed)?;
    Ok(None)
}

/// Makes an object again and takes that back: whether the user may, and the server can.
async fn rehearse(connection: &mut Connection, definition: &str) -> Result<(), WireError> {
    connection
        .query("SAVEPOINT awsdms_again; SET LOCAL check_function_bodies = off")
        .await?;
    connection.query(definition).await?;
    connection
        .query("ROLLBACK TO SAVEPOINT awsdms_again")
        .await
        .map(drop)
}

async fn shown_text(connection: &mut Connection, sql: &str) -> Result<Option<String>, WireError> {
    let rows = connection.query(sql).await?;
    Ok(rows.into_iter().flatten().next().flatten())
}

/// The object that has this query, where some task has noted one.
pub(super) async fn noted(
    connection: &mut Connection,
    exists: &str,
) -> Result<Option<Noted>, Error> {
    let sql = "SELECT task_name, definition, is_refused FROM awsdms_control.awsdms_kept_object WHERE is_there = $1 ORDER BY is_refused, place LIMIT 1";
    let rows = connection.query_with(sql, &[Some(exists)]).await;
    let rows = rows.map_err(|error| general(error, "look for what was put aside"))?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Noted {
        task: text(row, 0)?.to_owned(),
        definition: text(row, 1)?.to_owned(),
        is_refused: text(row, 2)? == "t",
    }))
}

/// Removes the note of an object.
pub(super) async fn drop_note(
    connection: &mut Connection,
    fence: &TaskFence,
    exists: &str,
) -> Result<(), WireError> {
    let sql =
        "DELETE FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 AND is_there = $2";
    let cells = [Some(fence.task.as_str()), Some(exists)];
    connection.query_with(sql, &cells).await.map(drop)
}

/// A table that is dropped takes what is part of it along.
pub(super) async fn drop_notes(
    connection: &mut Connection,
    fence: &TaskFence,
    target: &TableName,
) -> Result<(), Error> {
    let sql = "DELETE FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 AND table_owner = $2 AND table_name = $3";
    let cells = [&fence.task, &target.schema, &target.name].map(|cell| Some(cell.as_str()));
    let dropped = connection.query_with(sql, &cells).await;
    dropped
        .map(drop)
        .map_err(|error| general(error, "remove what was noted of a table that is dropped"))
}

/// Makes again what was put aside, the last first: others may rest on it. What the server refuses stays noted, and is answered.
///
/// What it rests on may be gone because an object before it waits for a lock or a right, and comes back with the next try: so nothing counts as lost behind such a one.
pub(super) async fn restore(
    connection: &mut Connection,
    fence: &TaskFence,
) -> Result<Vec<KeyNotRestored>, Error> {
    let sql = "SELECT is_there, kind, object_name, definition, coalesce(shown, ''), own, for_definition FROM awsdms_control.awsdms_kept_object WHERE task_name = $1 ORDER BY place DESC";
    let rows = connection.query_with(sql, &[Some(&fence.task)]).await;
    let rows = rows.map_err(|error| general(error, "read what was put aside"))?;
    let mut refused = Vec::new();
    let mut some_wait = false;
    for row in rows {
        let (exists, kind) = (text(&row, 0)?, text(&row, 1)?);
        let (name, definition) = (text(&row, 2)?, text(&row, 3)?);
        let kept = Note {
            exists,
            definition,
            shown: text(&row, 4)?,
            own: control::cell(&row, 5),
        };
        let Err(Unmade { reason, why }) = restore_one(connection, fence, &kept).await? else {
            continue;
        };
        some_wait |= why == Why::Waits;
        if why == Why::Lost && !some_wait {
            mark_refused(connection, fence, exists).await?;
        }
        warn!(
            task = fence.task,
            object = name,
            error = reason,
            "what was put aside is not whole again"
        );
        let known = ObjectKind::ALL.into_iter();
        let kind = known.into_iter().find(|known| known.as_str() == kind);
        refused.push(KeyNotRestored {
            // What the source's definitions took away is told, and fails nothing.
            is_failure: text(&row, 6)? != "t",
            kind: kind.unwrap_or(ObjectKind::View),
            name: name.to_owned(),
            reason: format!(
                "{reason}; if it is not wanted any more: {}; else repeat with: {definition}",
                remove_sql(name)
            ),
        });
    }
    Ok(refused)
}

/// What a user runs who gives up an object.
pub(super) fn remove_sql(name: &str) -> String {
    format!(
        "DELETE FROM awsdms_control.awsdms_kept_object WHERE object_name = {}",
        literal(name)
    )
}

/// The source's may take its place from now on.
async fn mark_refused(
    connection: &mut Connection,
    fence: &TaskFence,
    exists: &str,
) -> Result<(), Error> {
    let sql = "UPDATE awsdms_control.awsdms_kept_object SET is_refused = true WHERE task_name = $1 AND is_there = $2";
    let cells = [Some(fence.task.as_str()), Some(exists)];
    let marked = connection.query_with(sql, &cells).await;
    marked
        .map(drop)
        .map_err(|error| general(error, "note what cannot be made again"))
}

/// Why an object is not made again.
struct Unmade {
    reason: String,
    why: Why,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// What it rests on is not there.
    Lost,
    /// Another has its name.
    Taken,
    /// A lock or a missing right, for one, may pass.
    Waits,
}

/// The server's codes for columns, tables and routines that are not there. That for types is also that for roles, which come and go by themselves.
const GONE: [&str; 3] = ["42703", "42P01", "42883"];

/// A note.
struct Note<'a> {
    exists: &'a str,
    definition: &'a str,
    /// Shows the text of what has its name, if it has one.
    shown: &'a str,
    /// What that showed.
    own: Option<&'a str>,
}

/// All of it in one transaction.
async fn restore_one(
    connection: &mut Connection,
    fence: &TaskFence,
    kept: &Note<'_>,
) -> Result<Result<(), Unmade>, Error> {
    let failed = |error| general(error, "make again what was put aside");
    connection.query("BEGIN").await.map_err(failed)?;
    let made = restore_within(connection, kept).await;
    let refusal = match made {
        Ok(None) => {
            let noted = drop_note(connection, fence, kept.exists).await;
            noted.map_err(failed)?;
            control::check_fence(connection, fence, Held::UntilCommit).await?;
            connection.query("COMMIT").await.map_err(failed)?;
            return Ok(Ok(()));
        }
        Ok(Some(reason)) => Ok(Unmade {
            reason,
            why: Why::Taken,
        }),
        Err(WireError::Server(error)) if error.is_lasting() || error.is_lock_timeout() => {
            Ok(Unmade {
                reason: error.to_string(),
                why: if GONE.contains(&error.code.as_str()) {
                    Why::Lost
                } else {
                    Why::Waits
                },
            })
        }
        Err(error) => Err(failed(error)),
    };
    let ended = connection.query("ROLLBACK").await;
    let refusal = refusal?;
    ended.map_err(failed)?;
    Ok(Err(refusal))
}

/// Makes it, unless it is there. Answers why not where another has its name.
async fn restore_within(
    connection: &mut Connection,
    kept: &Note<'_>,
) -> Result<Option<String>, WireError> {
    connection.query(LOCK_TIMEOUT).await?;
    if !connection.query(kept.exists).await?.is_empty() {
        let is_known = !kept.shown.is_empty() && kept.own.is_some();
        if is_known && shown_text(connection, kept.shown).await?.as_deref() != kept.own {
            let another = "another of that name was made meanwhile, with another text, and stays";
            return Ok(Some(another.to_owned()));
        }
        return Ok(None);
    }
    connection
        .query("SET LOCAL check_function_bodies = off")
        .await?;
    connection.query(kept.definition).await?;
    Ok(None)
}
