//! Views that were converted from the SQL of another engine.

use whimbrel_connector::objects::MadeView;
use whimbrel_connector::views::Converted;
use whimbrel_core::objects::{Again, Likeness};

use crate::catalog::shown_text;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, WireError};

/// The view that shows how the server prints another one's text. Readers of objects pass by names that begin so.
const SEEN: &str = "awsdms_seen";

pub(super) fn made(view: &Converted) -> MadeView {
    let schema = identifier(&view.name.schema);
    let seen = format!("{schema}.{}", identifier(SEEN));
    MadeView {
        exists: format!(
            "SELECT 1 FROM information_schema.tables WHERE table_schema = {} AND table_name = {}",
            literal(&view.name.schema),
            literal(&view.name.name)
        ),
        // Groups that a mode of the session refuses show when the view is read alone.
        proof: Some(format!("SELECT * FROM ({}) AS {SEEN} LIMIT 0", view.query)),
        likeness: Likeness {
            shown: format!("SHOW CREATE VIEW {schema}.{}", identifier(&view.name.name)),
            text: String::new(),
            again: Some(Again {
                sql: view.made_as("CREATE OR REPLACE", &seen),
                shown: format!("SHOW CREATE VIEW {seen}"),
            }),
            besides: vec![format!("DROP VIEW IF EXISTS {seen}")],
        },
        session: Vec::new(),
    }
}

/// Whether a view that is there is the same as one that was converted: the server prints both, the other from a view beside it, which is there for that long.
///
/// A run that is killed meanwhile leaves that view behind, and the next look takes it away.
pub(super) async fn is_same(
    connection: &mut Connection,
    likeness: &Likeness,
    again: &Again,
) -> Result<bool, WireError> {
    let Some(own) = shown_text(connection, &likeness.shown).await? else {
        // A table, or one that may not be seen.
        return Ok(false);
    };
    let made = connection.execute(&again.sql).await;
    let seen = match &made {
        Ok(_) => shown_text(connection, &again.shown).await?,
        Err(_) => None,
    };
    if connection.is_ready() {
        for drop in &likeness.besides {
            connection.execute(drop).await?;
        }
    }
    match made {
        // It cannot be what is there.
        Ok(_) | Err(WireError::Server(_)) => {}
        Err(error) => return Err(error),
    }
    let names = [&likeness.shown, &again.shown].map(|shown| own_name(shown));
    Ok(seen.is_some_and(|seen| without(&own.create, names[0]) == without(&seen.create, names[1])))
}

/// The quoted name behind the database's.
fn own_name(shown: &str) -> &str {
    let name = shown.rsplit_once("`.`").map_or("", |(_, name)| name);
    name.strip_suffix('`').unwrap_or(name)
}

/// A view's text without its name: with whose rights it reads, its columns, its query.
fn without<'t>(create: &'t str, name: &str) -> Option<(bool, &'t str)> {
    let (before, rest) = create.split_once(" VIEW ")?;
    let (_, rest) = rest.split_once(&format!("`{name}` "))?;
    Some((before.contains("SQL SECURITY INVOKER"), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_views_are_compared_without_their_names() {
        let one = "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`%` SQL SECURITY DEFINER VIEW `x`.`v` AS select 1 AS `a`";
        let other = "CREATE ALGORITHM=UNDEFINED DEFINER=`b`@`%` SQL SECURITY DEFINER VIEW `awsdms_seen` AS select 1 AS `a`";
        let name = own_name("SHOW CREATE VIEW `x`.`v`");
        assert_eq!(name, "v");
        assert!(without(one, name).is_some());
        assert_eq!(without(one, name), without(other, SEEN));
        let invokers = one.replace("DEFINER VIEW", "INVOKER VIEW");
        assert_ne!(without(&invokers, name), without(other, SEEN));
    }
}
