//! Objects that are made by the source's own text.

use tracing::warn;
use whimbrel_connector::objects::{
    Aside, ObjectOutcome, ObjectStep, another_is_there, own_stands_aside,
};
use whimbrel_connector::{Error, TaskFence};
use whimbrel_core::objects::Likeness;

use super::super::control::{self, Held};
use super::super::kept_objects::{self, Kept};
use super::{is_needless, refusal, refused};
use crate::errors::general;
use crate::wire::{Connection, TextRow, WireError};

/// To see whether an object is the source's takes the lock of one who changes it. Nobody waits long behind that, and what cannot be seen is told.
const LOOK: &str = "BEGIN; SET LOCAL lock_timeout = '5s'";

/// What a user has to provide before an object can be made, with its statements.
pub(super) async fn lacks(
    connection: &mut Connection,
    step: &ObjectStep,
) -> Result<Option<String>, Error> {
    let requires = step.script.iter().flat_map(|script| &script.requires);
    for requirement in requires {
        let found = connection.query(&requirement.query).await;
        if found
            .map_err(|error| refusal(error, step, &requirement.query))?
            .is_empty()
        {
            return Ok(Some(format!("{}; {}", requirement.lacking, repeat(step))));
        }
    }
    Ok(None)
}

fn repeat(step: &ObjectStep) -> String {
    let statements: Vec<&str> = step
        .statements
        .iter()
        .map(|made| made.sql.trim_end())
        .collect();
    format!("repeat with: {}", statements.join("; "))
}

/// Takes an object away, if it is there, and notes it as it is.
pub(in super::super) async fn unmake(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<Aside, Error> {
    let Some(script) = &step.script else {
        return Ok(Aside::Absent);
    };
    let undo = script.undo.as_ref().zip(script.likeness.as_ref());
    let Some(((undo, likeness), made)) = undo.zip(step.statements.first()) else {
        return Ok(Aside::Absent);
    };
    let shown = connection.query(&likeness.shown).await;
    let shown = shown.map_err(|error| refusal(error, step, &likeness.shown))?;
    let Some(own) = first_cell(&shown) else {
        return Ok(Aside::Absent);
    };
    let mut definition = own.to_owned();
    for besides in &likeness.besides {
        let rows = connection.query(besides).await;
        for row in rows.map_err(|error| refusal(error, step, besides))? {
            definition.extend([";\n", row.first().and_then(Option::as_deref).unwrap_or("")]);
        }
    }
    let kept = Kept {
        kind: step.kind,
        name: &step.name,
        table: step.table.as_ref(),
        exists: made.unless.as_deref().unwrap_or_default(),
        undo,
        definition: &definition,
        shown: &likeness.shown,
    };
    let stays = kept_objects::put_aside(connection, fence, &kept).await?;
    Ok(stays.map_or(Aside::Gone, |error| {
        Aside::Stays(format!(
            "the user cannot drop it and make it again ({error}): load as a user who may, or disable it until no more changes follow"
        ))
    }))
}

/// What has an object's name.
pub(super) enum Place {
    /// Nothing, or the very same.
    Free,
    /// Another, or it cannot be told: why the source's is not made.
    Taken(String),
    /// What the target had stands aside and cannot be made again: how it was made.
    Lost(String),
}

/// What has the name of an object.
pub(super) async fn taken(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<Place, Error> {
    let script = step.script.as_ref().zip(step.statements.first());
    let Some((script, first)) = script else {
        return Ok(Place::Free);
    };
    let exists = first.unless.as_deref().unwrap_or_default();
    if let Some(noted) = kept_objects::noted(connection, exists).await? {
        if noted.is_refused && noted.task == fence.task {
            return Ok(Place::Lost(noted.definition));
        }
        let remove = kept_objects::remove_sql(&step.name);
        return Ok(Place::Taken(own_stands_aside(&noted.task, &remove)));
    }
    let Some(likeness) = &script.likeness else {
        return Ok(Place::Free);
    };
    Ok(match is_like(connection, step, likeness).await? {
        Seen::Same => Place::Free,
        Seen::Another => Place::Taken(another_is_there(step)),
        Seen::Locked => Place::Taken(format!(
            "one of that name is there, and others have it locked, so that it cannot be told whether it is the same: make the objects again, or {}",
            repeat(step)
        )),
    })
}

/// Makes the source's object in the place of one that the target had and cannot be made again, whose note goes in the same transaction.
pub(super) async fn replace(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
    definition: &str,
) -> Result<ObjectOutcome, Error> {
    let made = replace_within(connection, fence, step).await;
    if let Ok(None) = made {
        warn!(
            object = step.name,
            definition, "what the target had of that name is replaced by the source's"
        );
        return Ok(ObjectOutcome::Replaced(format!(
            "what the target had of that name cannot be made any more, and gave way to the source's; it was: {definition}"
        )));
    }
    let ended = connection.query("ROLLBACK").await;
    let refusal = made?;
    ended.map_err(|error| general(error, "roll back"))?;
    match refusal {
        Some((error, sql)) => refused(error, step, &sql),
        None => Ok(ObjectOutcome::Kept),
    }
}

/// Answers what the server refused, with the statement.
async fn replace_within(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<Option<(WireError, String)>, Error> {
    let failed = |error| general(error, "replace what the target had");
    connection.query("BEGIN").await.map_err(failed)?;
    let exists = step.statements.first();
    let exists = exists.and_then(|first| first.unless.as_deref());
    kept_objects::drop_note(connection, fence, exists.unwrap_or_default())
        .await
        .map_err(failed)?;
    for statement in &step.statements {
        if is_needless(connection, step, statement).await? {
            continue;
        }
        if let Err(error) = connection.query(&statement.sql).await {
            return Ok(Some((error, statement.sql.clone())));
        }
    }
    control::check_fence(connection, fence, Held::UntilCommit).await?;
    connection.query("COMMIT").await.map_err(failed)?;
    Ok(None)
}

/// What the look at an object found.
enum Seen {
    /// The source's, or nothing.
    Same,
    Another,
    /// Others have it locked.
    Locked,
}

/// Whether what is there, if there is something, is the same: by its text, or by how the server prints the source's text once it has read that.
async fn is_like(
    connection: &mut Connection,
    step: &ObjectStep,
    likeness: &Likeness,
) -> Result<Seen, Error> {
    let shown = connection.query(&likeness.shown).await;
    let shown = shown.map_err(|error| refusal(error, step, &likeness.shown))?;
    let Some(own) = first_cell(&shown) else {
        return Ok(Seen::Same);
    };
    if own == likeness.text {
        return Ok(Seen::Same);
    }
    let Some(again) = &likeness.again else {
        return Ok(Seen::Another);
    };
    let failed = |error| general(error, "compare an object with the source's");
    connection.query(LOOK).await.map_err(failed)?;
    let made = match connection.query(&again.sql).await {
        Ok(_) => connection.query(&again.shown).await,
        Err(error) => Err(error),
    };
    let seen = match made {
        Ok(rows) if first_cell(&rows) == Some(own) => Ok(Seen::Same),
        Ok(_) => Ok(Seen::Another),
        Err(WireError::Server(error)) if error.is_lock_timeout() => Ok(Seen::Locked),
        // It cannot be what is there.
        Err(WireError::Server(error)) if error.is_lasting() => Ok(Seen::Another),
        Err(error) => Err(failed(error)),
    };
    // Whatever the server said: the next statement of this connection must not find itself in this transaction.
    let ended = connection.query("ROLLBACK").await;
    let seen = seen?;
    ended.map_err(failed)?;
    Ok(seen)
}

fn first_cell(rows: &[TextRow]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}
