//! Whether the user sees tables whole. The catalog lists only columns on which the user has a privilege, and says nothing of the others.

use std::collections::HashSet;

use whimbrel_core::{Engine, TableName};

use crate::quote;
use crate::wire::{Connection, MyError, WireError};

/// The user of a session as the catalog names who has privileges.
pub(super) const GRANTEE: &str = "(SELECT concat(quote(left(u, char_length(u) - char_length(h) - 1)), '@', quote(h)) \
     FROM (SELECT current_user() AS u, substring_index(current_user(), '@', -1) AS h) AS me)";

/// "View references invalid table(s) or column(s) or function(s) or definer/invoker of view lack rights to use them".
const VIEW_OF_WHAT_IS_GONE: u16 = 1356;

/// Where a privilege on more than a table lets the user see all columns; elsewhere the server is asked.
pub(super) enum Sight {
    /// Everywhere.
    Whole,
    /// In these databases.
    Databases(HashSet<String>),
}

impl Sight {
    /// Looks for the user's privileges. Those of roles are not among them: who has these alone has each table asked for.
    pub(super) async fn of_user(connection: &mut Connection) -> Result<Self, WireError> {
        let granted = |of: &str, on: &str| {
            format!(
                "SELECT {of} FROM information_schema.{on} WHERE privilege_type = 'SELECT' AND grantee = {GRANTEE}"
            )
        };
        let everywhere = connection.rows(&granted("1", "user_privileges")).await?;
        if !everywhere.is_empty() {
            return Ok(Self::Whole);
        }
        let databases = granted("table_schema", "schema_privileges");
        let databases = connection.rows(&databases).await?;
        // As patterns. One that stands for several names is equal to none, and the tables there are asked for.
        let names = databases.iter().map(|row| row.text(0).replace("\\_", "_"));
        Ok(Self::Databases(names.collect()))
    }

    /// Whether the server is asked for some tables.
    pub(super) fn asks(&self) -> bool {
        matches!(self, Self::Databases(_))
    }

    /// Why not all of a table's columns are seen, with the remedy; `None`: they are.
    pub(super) async fn obstacle(
        &self,
        connection: &mut Connection,
        table: &TableName,
        is_view: bool,
    ) -> Result<Option<String>, WireError> {
        match self {
            Self::Whole => return Ok(None),
            Self::Databases(names) if names.contains(&table.schema) => return Ok(None),
            Self::Databases(_) => {}
        }
        let quoted = quote::table(table);
        match connection
            .rows(&format!("SELECT * FROM {quoted} LIMIT 0"))
            .await
        {
            Err(WireError::Server(error)) if error.is_denied() => Ok(Some(format!(
                "the user may not read all of its columns ({}); GRANT SELECT ON {quoted} to the user, or exclude the table",
                error.message
            ))),
            Err(WireError::Server(error)) if error.is_transient() => {
                let message = format!(
                    "nobody can tell yet whether the user may read all columns of {quoted}: {}; if another session locks it, end that session",
                    error.message
                );
                Err(WireError::Server(Box::new(MyError { message, ..*error })))
            }
            Ok(_) if is_view || connection.engine() == Engine::MySql => Ok(None),
            Ok(_) => unseen_keys(connection, &quoted).await,
            Err(WireError::Server(error))
                if error.is_missing() || error.code == VIEW_OF_WHAT_IS_GONE =>
            {
                Ok(None)
            }
            Err(WireError::Server(error)) => Ok(Some(format!(
                "nobody can tell whether the user may read all of its columns ({}); mend that, or exclude the table",
                error.message
            ))),
            Err(error) => Err(error),
        }
    }
}

/// MariaDB lists a table's keys to nobody who has privileges on its columns alone, be that all of them, nor shows such a user its definition.
async fn unseen_keys(
    connection: &mut Connection,
    quoted: &str,
) -> Result<Option<String>, WireError> {
    match connection.row(&format!("SHOW CREATE TABLE {quoted}")).await {
        Err(WireError::Server(error)) if error.is_denied() => Ok(Some(format!(
            "the user may not see its keys ({}); GRANT SELECT ON {quoted} to the user, or exclude the table",
            error.message
        ))),
        Ok(_) | Err(WireError::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
