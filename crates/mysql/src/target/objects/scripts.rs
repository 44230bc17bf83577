//! Objects that are made by the source's own text, in a session in which it means the same.

use tracing::debug;
use whimbrel_connector::objects::{
    Aside, ObjectOutcome, ObjectStep, Script, another_is_there, own_stands_aside,
};
use whimbrel_connector::{Error, TaskFence};
use whimbrel_core::Engine;
use whimbrel_core::objects::{Again, Likeness, ObjectKind, Requirement};

use super::super::control::{self, Held};
use super::super::kept_objects;
use super::{needed, refusal, refused, run, views};
use crate::catalog::{is_same_text, shown_text};
use crate::errors::general;
use crate::quote;
use crate::wire::{Connection, WireError};

/// The server's codes for what a text rests on and is not there (databases, columns, tables, collations, routines, what views rest on, definers,
/// sequences), for functions and triggers that a server with a binary log takes from few, and for what another version does not understand (syntax, settings and
/// their values, features).
pub(super) const LACKING: [u16; 14] = [
    1049, 1054, 1064, 1146, 1193, 1231, 1235, 1273, 1305, 1356, 1418, 1419, 1449, 4091,
];

/// The server's code for a collation that it does not have.
const UNKNOWN_COLLATION: u16 = 1273;

/// What is made or taken away by a text does not have others wait for long behind it.
pub(in super::super) const SHORT_WAITS: &str = "SET SESSION lock_wait_timeout = 60";
pub(in super::super) const DEFAULT_WAITS: &str = "SET SESSION lock_wait_timeout = DEFAULT";
/// The server's code for a wait that was too long.
pub(in super::super) const LOCK_WAIT_TIMEOUT: u16 = 1205;

/// A row if the session's user may make the trigger `$n` again as it is: with its definer, and in a server with a binary log. What a role gives is not counted.
const MAY_MAKE_AGAIN: &str = "
SELECT 1 FROM information_schema.triggers t JOIN (
  SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = concat('''', left(current_user(), char_length(current_user()) - locate('@', reverse(current_user()))),
    '''@''', substring_index(current_user(), '@', -1), '''')) p
WHERE t.trigger_schema = database() AND t.trigger_name = $n
GROUP BY t.definer
HAVING (t.definer = current_user() OR max(p.privilege_type IN ('SUPER', 'SET_USER_ID', 'SET_ANY_DEFINER', 'SET USER')) = 1)
  AND (t.definer = current_user() OR max(p.privilege_type = 'SYSTEM_USER') = 1 OR NOT EXISTS (SELECT 1 FROM information_schema.user_privileges d
    WHERE d.privilege_type = 'SYSTEM_USER' AND d.grantee = concat('''', left(t.definer, char_length(t.definer) - locate('@', reverse(t.definer))), '''@''',
      substring_index(t.definer, '@', -1), '''')))
  AND (NOT @@log_bin OR @@log_bin_trust_function_creators OR max(p.privilege_type = 'SUPER') = 1)";

/// Keeps what texts need otherwise, and puts it back.
const KEEP: &str = "SET @awsdms_mode = @@sql_mode, @awsdms_zone = @@time_zone, @awsdms_collation = @@collation_connection";
const RESTORE: &str = "SET sql_mode = @awsdms_mode, time_zone = @awsdms_zone, collation_connection = @awsdms_collation";

/// A grant on the session's database names that: `ON *` would take the name for a pattern, which matches others where it has a `_` or `%`.
pub(super) fn on_database(sql: &str, database: &str) -> String {
    let parts = sql.strip_prefix("GRANT ").and_then(|rest| {
        let (privileges, who) = rest.split_once(" ON * TO ")?;
        // Those on a whole database are words of the server alone.
        (!privileges.contains('`')).then_some((privileges, who))
    });
    let Some((privileges, who)) = parts else {
        return sql.to_owned();
    };
    let exact = quote::identifier(
        &database
            .replace('\\', "\\\\")
            .replace('_', "\\_")
            .replace('%', "\\%"),
    );
    format!("GRANT {privileges} ON {exact}.* TO {who}")
}

pub(super) async fn make(
    connection: &mut Connection,
    step: &ObjectStep,
    script: &Script,
) -> Result<ObjectOutcome, Error> {
    set_waits(connection, SHORT_WAITS).await?;
    let made = make_within(connection, step, script).await;
    if connection.is_ready() {
        set_waits(connection, DEFAULT_WAITS).await?;
    }
    made
}

pub(in super::super) async fn set_waits(
    connection: &mut Connection,
    sql: &str,
) -> Result<(), Error> {
    let set = connection.execute(sql).await;
    set.map(drop)
        .map_err(|error| general(error, "limit the wait for locks"))
}

async fn make_within(
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
    if let Some(taken) = taken(connection, step, script).await? {
        return Ok(ObjectOutcome::Lacks(taken));
    }
    if let Some(why) = takes_names_as_they_are(connection, step).await? {
        return Ok(ObjectOutcome::Lacks(why));
    }
    let mut outcome = ObjectOutcome::Kept;
    for statement in &step.statements {
        // The queries are written for the session's own mode of SQL.
        let Some(sql) = needed(connection, step, statement).await? else {
            continue;
        };
        let session = (&script.session[..], script.may_be_refused);
        let made = run_with(connection, session, &sql).await;
        if let Err(error) = made
            && (!connection.is_ready() || needed(connection, step, statement).await?.is_some())
        {
            return refused(error, step, &sql);
        }
        outcome = ObjectOutcome::Made;
    }
    Ok(outcome)
}

/// Why a grant on a database is not given by a server with `partial_revokes`: to it an escaped name is another one, and a name without escapes would be a
/// pattern as soon as that is switched off. It may also keep from an account what the grant would give.
async fn takes_names_as_they_are(
    connection: &mut Connection,
    step: &ObjectStep,
) -> Result<Option<String>, Error> {
    let mut grants = step.statements.iter().map(|made| made.sql.as_str());
    let grant = grants
        .find(|sql| sql.contains("`.* TO "))
        .filter(|_| step.kind == ObjectKind::Grant && connection.engine() == Engine::MySql);
    let Some(grant) = grant else {
        return Ok(None);
    };
    // Servers before 8.0.16 have no such variable.
    let sql = "SHOW VARIABLES LIKE 'partial_revokes'";
    let row = connection.row(sql).await;
    let row = row.map_err(|error| refusal(error, step, sql))?;
    let is_on = row.is_some_and(|row| row.text(1).eq_ignore_ascii_case("ON"));
    Ok(is_on.then(|| {
        format!(
            "the server has partial_revokes on, where names of databases hold no patterns and need no escapes: see what the account is denied there, and grant it by hand; to begin from: {}",
            grant.replace("\\_", "_").replace("\\%", "%")
        )
    }))
}

/// Why an object is not made whose name is taken.
async fn taken(
    connection: &mut Connection,
    step: &ObjectStep,
    script: &Script,
) -> Result<Option<String>, Error> {
    if step.kind == ObjectKind::Trigger {
        let name = own_name(step);
        if let Some((task, database)) = kept_objects::noted_by(connection, name).await? {
            let remove = kept_objects::remove_sql(&database, name);
            return Ok(Some(own_stands_aside(&task, &remove)));
        }
        // The name may be that of another table's: triggers of a database share one set of names.
        let first = step.statements.first();
        if let Some(first) = first
            && needed(connection, step, first).await?.is_none()
            && !is_of_table(connection, step).await?
        {
            return Ok(Some(another_is_there(step)));
        }
    }
    if let Some((likeness, again)) = script
        .likeness
        .as_ref()
        .and_then(|likeness| Some((likeness, likeness.again.as_ref()?)))
    {
        return converted(connection, step, (likeness, again)).await;
    }
    // Another kind of server prints another text of the same.
    let likeness = script.likeness.as_ref().filter(|_| !script.may_be_refused);
    let Some(likeness) = likeness else {
        return Ok(None);
    };
    let own = shown_text(connection, &likeness.shown).await;
    let own = own.map_err(|error| refusal(error, step, &likeness.shown))?;
    // What is not there is no other. What may not be seen is taken for the same.
    let is_another = own.is_some_and(|own| !is_same_text(&own.create, &likeness.text));
    Ok(is_another.then(|| another_is_there(step)))
}

/// Why a view that was converted is not made: another has its name.
async fn converted(
    connection: &mut Connection,
    step: &ObjectStep,
    (likeness, again): (&Likeness, &Again),
) -> Result<Option<String>, Error> {
    let Some(first) = step.statements.first() else {
        return Ok(None);
    };
    if needed(connection, step, first).await?.is_some() {
        let cleared = views::clear(connection, likeness, again).await;
        cleared.map_err(|error| refusal(error, step, &again.shown))?;
        return Ok(None);
    }
    let is_same = views::is_same(connection, likeness, again).await;
    let is_same = is_same.map_err(|error| refusal(error, step, &again.sql))?;
    Ok((!is_same).then(|| another_is_there(step)))
}

/// Whether the trigger that has the name of one is of the same table.
async fn is_of_table(connection: &mut Connection, step: &ObjectStep) -> Result<bool, Error> {
    let table = step.table.as_ref().map(|table| table.name.as_str());
    let sql = format!(
        "SELECT 1 FROM information_schema.triggers WHERE trigger_schema = database() AND trigger_name = {} AND event_object_table = {}",
        quote::literal(own_name(step)),
        quote::literal(table.unwrap_or_default())
    );
    let found = connection.row(&sql).await;
    found
        .map(|row| row.is_some())
        .map_err(|error| refusal(error, step, &sql))
}

/// Whether the user may make the trigger again that has the name of one.
async fn may_make_again(connection: &mut Connection, step: &ObjectStep) -> Result<bool, Error> {
    let sql = MAY_MAKE_AGAIN.replace("$n", &quote::literal(own_name(step)));
    let found = connection.row(&sql).await;
    found
        .map(|row| row.is_some())
        .map_err(|error| refusal(error, step, &sql))
}

/// The trigger's name without its table's.
fn own_name(step: &ObjectStep) -> &str {
    let table = step.table.as_ref().map(ToString::to_string);
    let name = table.and_then(|table| step.name.strip_prefix(&table)?.strip_prefix('.'));
    name.unwrap_or(&step.name)
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
pub(in super::super) async fn run_with(
    connection: &mut Connection,
    (session, may_be_refused): (&[String], bool),
    sql: &str,
) -> Result<(), WireError> {
    if session.is_empty() {
        return run(connection, sql).await;
    }
    connection.execute(KEEP).await?;
    let mut made = Ok(());
    for setting in session {
        if made.is_ok() {
            made = set(connection, setting, may_be_refused).await;
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

/// Takes a trigger away, if it is there, and notes it as it is.
pub(in super::super) async fn unmake(
    connection: &mut Connection,
    fence: &TaskFence,
    step: &ObjectStep,
) -> Result<Aside, Error> {
    let Some(script) = &step.script else {
        return Ok(Aside::Absent);
    };
    let (Some(undo), Some(likeness), Some(made)) =
        (&script.undo, &script.likeness, step.statements.first())
    else {
        return Ok(Aside::Absent);
    };
    control::check_fence(connection, fence, Held::Now).await?;
    let is_missing = enter(connection, step, script).await?.is_some();
    if is_missing || needed(connection, step, made).await?.is_some() {
        return Ok(Aside::Absent);
    }
    if !is_of_table(connection, step).await? {
        debug!(
            object = step.name,
            "a trigger of another table has its name, and acts on none of its rows"
        );
        return Ok(Aside::Absent);
    }
    if !may_make_again(connection, step).await? {
        return Ok(Aside::Stays(
            "the user could not make it again: that takes the right to name its definer, and SUPER or log_bin_trust_function_creators where the server has a \
             binary log"
                .to_owned(),
        ));
    }
    if !kept_objects::note(connection, fence, &likeness.shown, own_name(step)).await? {
        return Ok(Aside::Stays(
            "its text may not be seen: grant the user TRIGGER on its table".to_owned(),
        ));
    }
    set_waits(connection, SHORT_WAITS).await?;
    let gone = connection.execute(undo).await;
    if connection.is_ready() {
        set_waits(connection, DEFAULT_WAITS).await?;
    }
    match gone {
        Ok(_) => Ok(Aside::Gone),
        Err(WireError::Server(error))
            if !error.is_transient() || error.code == LOCK_WAIT_TIMEOUT =>
        {
            Ok(Aside::Stays(error.to_string()))
        }
        Err(error) => Err(general(error, &format!("take {} away", step.name))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_on_a_database_is_on_no_other() {
        let named = on_database("GRANT SELECT, INSERT ON * TO `u`@`%`", "my_d%b");
        assert_eq!(named, r"GRANT SELECT, INSERT ON `my\_d\%b`.* TO `u`@`%`");
        for other in [
            "GRANT SELECT (` ON * TO `) ON `t` TO `u`@`%`",
            "CREATE PROCEDURE p() GRANT SELECT ON * TO u",
        ] {
            assert_eq!(on_database(other, "my_db"), other);
        }
    }
}
