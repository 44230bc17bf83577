//! Objects that are made by the source's own text.

use whimbrel_connector::objects::{ObjectStep, another_is_there, own_stands_aside};
use whimbrel_connector::{Error, TaskFence};
use whimbrel_core::objects::Likeness;

use super::super::kept_objects::{self, Aside};
use super::refusal;
use crate::errors::general;
use crate::wire::{Connection, TextRow, WireError};

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
) -> Result<bool, Error> {
    let Some(script) = &step.script else {
        return Ok(false);
    };
    let undo = script.undo.as_ref().zip(script.likeness.as_ref());
    let Some(((undo, likeness), made)) = undo.zip(step.statements.first()) else {
        return Ok(false);
    };
    let shown = connection.query(&likeness.shown).await;
    let shown = shown.map_err(|error| refusal(error, step, &likeness.shown))?;
    let Some(own) = first_cell(&shown) else {
        return Ok(false);
    };
    let mut definition = own.to_owned();
    for besides in &likeness.besides {
        let rows = connection.query(besides).await;
        for row in rows.map_err(|error| refusal(error, step, besides))? {
            definition.extend([";\n", row.first().and_then(Option::as_deref).unwrap_or("")]);
        }
    }
    let aside = Aside {
        kind: step.kind,
        name: &step.name,
        table: step.table.as_ref(),
        exists: made.unless.as_deref().unwrap_or_default(),
        undo,
        definition: &definition,
    };
    kept_objects::put_aside(connection, fence, &aside).await
}

/// Why an object is not made whose name is taken.
pub(super) async fn taken(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<Option<String>, Error> {
    let script = step.script.as_ref().zip(step.statements.first());
    let Some((script, first)) = script else {
        return Ok(None);
    };
    let exists = first.unless.as_deref().unwrap_or_default();
    if kept_objects::is_aside(connection, fence, exists).await? {
        return Ok(Some(own_stands_aside()));
    }
    let Some(likeness) = &script.likeness else {
        return Ok(None);
    };
    if !is_like(connection, step, likeness).await? {
        return Ok(Some(another_is_there(step)));
    }
    Ok(None)
}

/// Whether what is there, if there is something, is the same: by its text, or by how the server prints the source's text once it has read that.
async fn is_like(
    connection: &mut Connection,
    step: &ObjectStep,
    likeness: &Likeness,
) -> Result<bool, Error> {
    let shown = connection.query(&likeness.shown).await;
    let shown = shown.map_err(|error| refusal(error, step, &likeness.shown))?;
    let Some(own) = first_cell(&shown) else {
        return Ok(true);
    };
    let Some(again) = likeness.again.as_ref().filter(|_| own != likeness.text) else {
        return Ok(own == likeness.text);
    };
    let failed = |error| general(error, "compare an object with the source's");
    connection.query("BEGIN").await.map_err(failed)?;
    let made = match connection.query(&again.sql).await {
        Ok(_) => connection.query(&again.shown).await,
        Err(error) => Err(error),
    };
    let is_like = match made {
        Ok(rows) => first_cell(&rows) == Some(own),
        // It cannot be what is there.
        Err(WireError::Server(error)) if !error.is_transient() => false,
        Err(error) => return Err(failed(error)),
    };
    connection.query("ROLLBACK").await.map_err(failed)?;
    Ok(is_like)
}

fn first_cell(rows: &[TextRow]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}
