//! Kinds of objects that the server tells only to users with a privilege: without it nobody knows whether there are any.

use whimbrel_core::objects::OtherObject;

use crate::catalog::sight::GRANTEE;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// With the privilege that shows them, on the database or everywhere, and those that do so only everywhere.
const KINDS: [(&str, &str, &[&str]); 3] = [
    ("triggers", "TRIGGER", &[]),
    ("events", "EVENT", &[]),
    (
        "functions and procedures",
        "EXECUTE",
        &["SELECT", "SHOW_ROUTINE", "SHOW CREATE ROUTINE"],
    ),
];

/// The kinds of which the user cannot see any in a database, each with the remedy. The privileges of a role are not told by name, so nothing is said of a user
/// who has one.
pub(super) async fn kinds(
    connection: &mut Connection,
    database: &str,
) -> Result<Vec<OtherObject>, WireError> {
    let role = connection
        .row("SELECT nullif(current_role(), 'NONE')")
        .await?;
    if role.is_some_and(|row| row.get(0).is_some()) {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT privilege_type, 1 FROM information_schema.user_privileges WHERE grantee = {GRANTEE} \
         UNION SELECT privilege_type, 0 FROM information_schema.schema_privileges WHERE grantee = {GRANTEE} AND {} LIKE table_schema",
        literal(database)
    );
    let granted = connection.rows(&sql).await?;
    let shows = |row: &TextRow, privilege: &str, everywhere: &[&str]| {
        row.text(0) == privilege || (row.text(1) == "1" && everywhere.contains(&row.text(0)))
    };
    let unseen = KINDS.iter().filter(|(_, privilege, everywhere)| {
        let mut granted = granted.iter();
        !granted.any(|row| shows(row, privilege, everywhere))
    });
    Ok(unseen
        .map(|(what, privilege, _)| OtherObject {
            what: format!("{what}, which the source's user may not see, if there are any,"),
            name: format!("of {database}"),
            native: Some(format!(
                "GRANT {privilege} ON {}.* TO …",
                identifier(database)
            )),
            is_of_engine: false,
        })
        .collect())
}
