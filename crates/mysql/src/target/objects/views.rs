//! Views that were converted from the SQL of another engine.

use whimbrel_connector::objects::MadeView;
use whimbrel_connector::views::{Converted, ReadTable};
use whimbrel_core::objects::{Again, Likeness, Requirement};

use crate::catalog::shown_text;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, WireError};

/// The view that shows how the server prints another one's text. Readers of objects pass by names that begin so.
const SEEN: &str = "awsdms_seen";

/// What MySQL has switched on unless somebody changes that, and the sessions of a migration have not: a view whose groups do not decide its columns can be made and not be read.
const STRICT: &str = "SET sql_mode = concat(@@sql_mode, ',ONLY_FULL_GROUP_BY')";

/// In MySQL.
pub(super) fn made_strictly(view: &Converted) -> MadeView {
    MadeView {
        session: vec![STRICT.to_owned()],
        ..made(view)
    }
}

/// In MariaDB, which does not see that a key decides all columns, and has no such mode unless somebody wants it.
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
        requires: view.reads.tables.values().flat_map(requires).collect(),
        session: Vec::new(),
    }
}

/// What a table that a view reads must be: a table, and its columns of the types and collations that a load makes, or of such that calculate and compare alike.
fn requires(table: &ReadTable) -> Vec<Requirement> {
    let place = format!(
        "table_schema = {} AND table_name = {}",
        literal(&table.name.schema),
        literal(&table.name.name)
    );
    let is_table = Requirement {
        query: format!(
            "SELECT 1 FROM information_schema.tables WHERE {place} AND table_type = 'BASE TABLE'"
        ),
        lacking: format!("{} that it reads is no plain table here", table.name),
    };
    let of_column = |(column, native): (&String, &String)| Requirement {
        query: format!(
            "SELECT 1 FROM information_schema.columns WHERE {place} AND column_name = {} AND {}",
            literal(column),
            is_like(native)
        ),
        lacking: format!(
            "its column {column} of {} is of another type or collation here than {native}, for which it was converted",
            table.name
        ),
    };
    let columns = table.columns.iter().map(of_column);
    [is_table].into_iter().chain(columns).collect()
}

/// A condition on a column: its type is this one, or another that does the same. Texts of any length are texts, but for those that lose spaces at their end, and whole numbers are
/// calculated with in 64 bits.
fn is_like(native: &str) -> String {
    const TEXTS: &str = "'varchar', 'tinytext', 'text', 'mediumtext', 'longtext'";
    const WHOLE: [&str; 5] = ["tinyint", "smallint", "mediumint", "int", "bigint"];
    let (ty, collation) = match native.split_once(" CHARACTER SET ") {
        Some((ty, set)) => (ty, set.rsplit_once(" COLLATE ").map(|(_, name)| name)),
        None => (native, None),
    };
    let word = ty.split(['(', ' ']).next().unwrap_or_default();
    let is_unsigned = ty.ends_with(" unsigned");
    let is_ty = if word == "varchar" || word.ends_with("text") {
        format!("data_type IN ({TEXTS})")
    } else if WHOLE.contains(&word) {
        let not = if is_unsigned { "" } else { "NOT " };
        format!(
            "data_type IN ('{}') AND column_type {not}LIKE '%unsigned%' AND column_type NOT LIKE '%zerofill%'",
            WHOLE.join("', '")
        )
    } else if matches!(word, "enum" | "set" | "json") {
        // Its labels are those that were loaded, and no other; to MariaDB documents are texts.
        format!("data_type IN ({}, 'longtext')", literal(word))
    } else {
        // No fraction of a second is not shown.
        format!("column_type = {}", literal(ty.trim_end_matches("(0)")))
    };
    match collation {
        Some(name) => format!("{is_ty} AND collation_name = {}", literal(name)),
        None => is_ty,
    }
}

/// Whether a view that is there is the same as one that was converted: the server prints both, the other from a view beside it, which is there for that long.
///
/// A run that is killed meanwhile leaves that view behind, and the next one takes it away, whether it looks or makes.
pub(super) async fn is_same(
    connection: &mut Connection,
    likeness: &Likeness,
    again: &Again,
) -> Result<bool, WireError> {
    let Some(own) = shown_text(connection, &likeness.shown).await? else {
        // A table, or one that may not be seen.
        return Ok(false);
    };
    let seen = match connection.execute(&again.sql).await {
        Ok(_) => shown_text(connection, &again.shown).await,
        // It cannot be what is there.
        Err(WireError::Server(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    // Whatever was answered: it is there. A session that is lost leaves it to the next look.
    let mut dropped = Ok(());
    if connection.is_ready() {
        for drop in &likeness.besides {
            dropped = dropped.and(connection.execute(drop).await.map(|_| ()));
        }
    }
    let seen = seen?;
    dropped?;
    let names = [&likeness.shown, &again.shown].map(|shown| own_name(shown));
    Ok(seen.is_some_and(|seen| without(&own.create, names[0]) == without(&seen.create, names[1])))
}

/// Takes away what a run left that was killed while it looked at a view, which was dropped since.
pub(super) async fn clear(
    connection: &mut Connection,
    likeness: &Likeness,
    again: &Again,
) -> Result<(), WireError> {
    if shown_text(connection, &again.shown).await?.is_some() {
        for drop in &likeness.besides {
            connection.execute(drop).await?;
        }
    }
    Ok(())
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
    fn types_that_do_the_same_are_alike() {
        let text = is_like("varchar(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin");
        assert!(text.contains("'longtext'"), "{text}");
        assert!(
            text.ends_with("collation_name = 'utf8mb4_0900_bin'"),
            "{text}"
        );
        assert!(is_like("bigint").contains("NOT LIKE '%unsigned%'"));
        assert!(is_like("int unsigned").contains("column_type LIKE '%unsigned%'"));
        assert_eq!(is_like("datetime(0)"), "column_type = 'datetime'");
        assert_eq!(is_like("decimal(12,2)"), "column_type = 'decimal(12,2)'");
        assert_eq!(is_like("point"), "column_type = 'point'");
    }

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
