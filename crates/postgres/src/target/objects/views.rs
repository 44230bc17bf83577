//! Views that were converted from the SQL of another engine.

use whimbrel_connector::objects::MadeView;
use whimbrel_connector::views::{Converted, ReadTable};
use whimbrel_core::objects::{Again, Likeness, Requirement};

use crate::quote::literal;

/// Whether a view that has its name is the same shows when it is made over that one in a transaction that is rolled back.
pub(super) fn made(view: &Converted) -> MadeView {
    let quoted = format!("{}.{}", plain(&view.name.schema), plain(&view.name.name));
    let quoted = literal(&quoted);
    let shown = format!(
        "SELECT relkind::text || coalesce(array_to_string(reloptions, ','), '') || coalesce(pg_get_viewdef(oid), '') FROM pg_class WHERE oid = to_regclass({quoted})"
    );
    MadeView {
        // As what rests on a table has it that stands aside: by that its note is found.
        exists: format!("SELECT 1 WHERE to_regclass({quoted}) IS NOT NULL"),
        proof: None,
        likeness: Likeness {
            shown: shown.clone(),
            text: String::new(),
            again: Some(Again {
                sql: view.over(),
                shown,
            }),
            besides: Vec::new(),
        },
        requires: view.reads.tables.values().flat_map(requires).collect(),
        session: Vec::new(),
    }
}

/// What a table that a view reads must be: one without rows of others, or rows that some do not see, and the columns of the types that a load makes, or of such
/// that calculate and compare alike.
fn requires(table: &ReadTable) -> Vec<Requirement> {
    let name = literal(&crate::quote::table(&table.name));
    let is_alone = Requirement {
        query: format!(
            "SELECT 1 FROM pg_class c WHERE c.oid = to_regclass({name}) AND c.relkind IN ('r', 'p') AND NOT c.relrowsecurity \
             AND (c.relkind = 'p' OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid))"
        ),
        lacking: format!(
            "the table {} that it reads is no plain table here: others inherit from it, or it has row-level security",
            table.name
        ),
    };
    let of_column = |(column, native): (&String, &String)| Requirement {
        query: format!(
            "SELECT 1 FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation \
             WHERE a.attrelid = to_regclass({name}) AND a.attname = {} AND NOT a.attisdropped AND coalesce(c.collisdeterministic, true) AND {}",
            literal(column),
            is_like(native)
        ),
        lacking: format!(
            "its column {column} of {} is of another type or collation here than {native}, for which it was converted",
            table.name
        ),
    };
    let columns = table.columns.iter().map(of_column);
    [is_alone].into_iter().chain(columns).collect()
}

/// A condition on a column: its type is this one, or another that does the same. Texts of any length are texts, and whole numbers are calculated with in `bigint`.
fn is_like(native: &str) -> String {
    let own = "format_type(a.atttypid, a.atttypmod)";
    if native == "text" || native.starts_with("character varying") {
        format!("({own} = 'text' OR {own} LIKE 'character varying%')")
    } else if matches!(native, "smallint" | "integer" | "bigint") {
        format!("{own} IN ('smallint', 'integer', 'bigint')")
    } else {
        format!("{own} = {}", literal(native))
    }
}

/// A name in quotes where it needs some, as `%I` of the server's `format` has it, but for names that are keywords.
fn plain(name: &str) -> String {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let is_plain = begins
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain {
        name.to_owned()
    } else {
        crate::quote::identifier(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_that_do_the_same_are_alike() {
        assert!(is_like("character varying(20)").contains("= 'text' OR"));
        assert!(is_like("integer").contains("'bigint'"));
        assert!(is_like("numeric(20,0)").ends_with("= 'numeric(20,0)'"));
    }
}
