//! The one place where names and values become SQL text.
//!
//! Every session has a `sql_mode` of ours, without ANSI_QUOTES and NO_BACKSLASH_ESCAPES (see `connect`); names are safe in
//! either mode, and literals hold no backslash that is not doubled.

use whimbrel_core::TableName;

/// A name in back-ticks, which are doubled inside.
pub(crate) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Database and table.
pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// A string literal in the session's character set, utf8mb4.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// Names in back-ticks with commas between.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(identifier)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_doubled() {
        assert_eq!(
            identifier("a`b; drop table x -- "),
            "`a``b; drop table x -- `"
        );
        assert_eq!(literal(r"it's"), "'it''s'");
        assert_eq!(literal(r"a\' or 1=1"), r"'a\\'' or 1=1'");
        assert_eq!(table(&TableName::new("S", "t.x")), "`S`.`t.x`");
        assert_eq!(list(["a", "b`"]), "`a`, `b```");
    }
}
