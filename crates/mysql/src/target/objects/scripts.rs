//! Objects that are made by the source's own text, in a session in which it means the same.

use tracing::warn;
use whimbrel_connector::objects::{ObjectOutcome, ObjectStep, Script};
use whimbrel_connector::{Error, TaskFence};
use whimbrel_core::Engine;
use whimbrel_core::objects::Requirement;

use super::super::control::{self, Held};
use super::{needed, refusal, refused, run};
use crate::errors::general;
use crate::wire::{Connection, WireError};

/// The server's codes for what a text rests on and is not there (databases, columns, tables, collations, routines, what views rest on, definers,
/// sequences), and for functions and triggers that a server with a binary log takes from few.
pub(super) const LACKING: [u16; 10] = [1049, 1054, 1146, 1273, 1305, 1356, 1418, 1419, 1449, 4091];

/// The server's code for a collation that it does not have.
const UNKNOWN_COLLATION: u16 = 1273;

/// Keeps what texts need otherwise, and puts it back.
const KEEP: &str = "SET @awsdms_mode = @@sql_mode, @awsdms_zone = @@time_zone, @awsdms_collation = @@collation_connection";
const RESTORE: &str = "SET sql_mode = @awsdms_mode, time_zone = @awsdms_zone, collation_connection = @awsdms_collation";

pub(super) async fn make(
    connection: &mut Connection,
    step: &ObjectStep,
    script: &Script,
) -> Result<ObjectOutcome, Error> {
    if let Some(missing) = enter(connection, step, script).await? {
        return Ok(ObjectOutcome::Lacks(missing));
    }
    if let Some(requirement) = lacking(connection, step, script).await? {
        let statements: Vec<&str> = step
            .statements
            .iter()
            .map(|made| made.sql.as_str())
            .collect();
        return Ok(ObjectOutcome::Lacks(format!(
            "{}; repeat with: {}",
            requirement.lacking,
            statements.join("; ")
        )));
    }
    let mut outcome = ObjectOutcome::Kept;
    for statement in &step.statements {
        // The queries are written for the session's own mode of SQL.
        let Some(sql) = needed(connection, step, statement).await? else {
            continue;
        };
        let made = run_in(connection, script, &sql).await;
        if let Err(error) = made
            && (!connection.is_ready() || needed(connection, step, statement).await?.is_some())
        {
            return refused(error, step, &sql);
        }
        outcome = ObjectOutcome::Made;
    }
    Ok(outcome)
}

/// What a user has to provide before the object can be made.
async fn lacking<'s>(
    connection: &mut Connection,
    step: &ObjectStep,
    script: &'s Script,
) -> Result<Option<&'s Requirement>, Error> {
    for requirement in &script.requires {
        let found = connection.row(&requirement.query).await;
        let found = found.map_err(|error| refusal(error, step, &requirement.query))?;
        if found.is_none() {
            return Ok(Some(requirement));
        }
    }
    Ok(None)
}

/// Makes the object's database the one in which names are looked up. Answers what is missing.
async fn enter(
    connection: &mut Connection,
    step: &ObjectStep,
    script: &Script,
) -> Result<Option<String>, Error> {
    let Some(enter) = &script.enter else {
        return Ok(None);
    };
    match connection.execute(enter).await {
        Ok(_) => Ok(None),
        Err(WireError::Server(error)) if error.is_missing() => Ok(Some(error.to_string())),
        Err(error) => Err(refusal(error, step, enter)),
    }
}

/// Runs a statement in the session that its text needs.
async fn run_in(connection: &mut Connection, script: &Script, sql: &str) -> Result<(), WireError> {
    if script.session.is_empty() {
        return run(connection, sql).await;
    }
    connection.execute(KEEP).await?;
    let mut made = Ok(());
    for setting in &script.session {
        if made.is_ok() {
            made = set(connection, setting, script.may_be_refused).await;
        }
    }
    if made.is_ok() {
        made = run(connection, sql).await;
    }
    if connection.is_ready() {
        connection.execute(RESTORE).await?;
    }
    made
}

/// A setting of another server may have names that this one does not know: a mode that concerns GRANT alone, a collation of constants, which gives way to
/// that of whatever they are compared with.
async fn set(connection: &mut Connection, setting: &str, is_other: bool) -> Result<(), WireError> {
    let setting = if connection.engine() == Engine::MySql {
        setting
            .replace("NO_AUTO_CREATE_USER,", "")
            .replace(",NO_AUTO_CREATE_USER", "")
    } else {
        setting.to_owned()
    };
    match connection.execute(&setting).await {
        Err(WireError::Server(error)) if is_other && error.code == UNKNOWN_COLLATION => Ok(()),
        done => done.map(drop),
    }
}

/// Takes an object away, if it is there.
pub(in super::super) async fn unmake(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<bool, Error> {
    let Some(script) = &step.script else {
        return Ok(false);
    };
    let Some((undo, made)) = script.undo.as_ref().zip(step.statements.first()) else {
        return Ok(false);
    };
    control::check_fence(connection, fence, Held::Now).await?;
    let is_missing = enter(connection, step, script).await?.is_some();
    if is_missing || needed(connection, step, made).await?.is_some() {
        return Ok(false);
    }
    // What could not be made again stays.
    if lacking(connection, step, script).await?.is_some() {
        warn!(
            object = step.name,
            "the object stays, because it could not be made again"
        );
        return Ok(false);
    }
    match connection.execute(undo).await {
        Ok(_) => Ok(true),
        Err(WireError::Server(error)) if error.is_denied() => {
            warn!(object = step.name, %error, "the object stays, and acts");
            Ok(false)
        }
        Err(error) => Err(general(error, &format!("take {} away", step.name))),
    }
}
