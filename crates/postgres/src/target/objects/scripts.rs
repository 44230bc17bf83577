//! Objects that are made by the source's own text.

use tracing::warn;
use whimbrel_connector::objects::ObjectStep;
use whimbrel_connector::{Error, TaskFence};

use super::super::control::{self, Held};
use super::{is_needless, refusal};
use crate::wire::{Connection, WireError};

/// The server's code for what the user may not do.
const NOT_ALLOWED: &str = "42501";

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

/// Takes an object away, if it is there.
pub(in super::super) async fn unmake(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<bool, Error> {
    let undo = step.script.as_ref().and_then(|script| script.undo.as_ref());
    let Some((undo, made)) = undo.zip(step.statements.first()) else {
        return Ok(false);
    };
    control::check_fence(connection, fence, Held::Now).await?;
    if !is_needless(connection, step, made).await? {
        return Ok(false);
    }
    // What could not be made again stays.
    if lacks(connection, step).await?.is_some() {
        warn!(
            object = step.name,
            "the object stays, because it could not be made again"
        );
        return Ok(false);
    }
    match connection.query(undo).await {
        Ok(_) => Ok(true),
        Err(WireError::Server(error)) if error.code == NOT_ALLOWED => {
            warn!(object = step.name, %error, "the object stays, and acts");
            Ok(false)
        }
        // What rests on it stands in the way of its table too, which says so; what is of another kind is not its like.
        Err(WireError::Server(error)) if matches!(error.code.as_str(), "2BP01" | "42809") => {
            Ok(false)
        }
        Err(error) => Err(refusal(error, step, undo)),
    }
}
