//! The one place where names and texts become part of SQL.

use whimbrel_core::TableName;

/// A quoted identifier. PostgreSQL allows every character but NUL, which no catalog holds; it is left out here so that none can
/// cut the statement short.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// Schema and table, both quoted.
pub(crate) fn table(name: &TableName) -> String {
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// A quoted text. The escape form is used so that the result does not depend on `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    let escaped = text
        .replace('\0', "")
        .replace('\\', "\\\\")
        .replace('\'', "''");
    if escaped.contains('\\') {
        format!("E'{escaped}'")
    } else {
        format!("'{escaped}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_are_doubled() {
        assert_eq!(
            identifier(r#"a"b; drop table x --"#),
            r#""a""b; drop table x --""#
        );
        assert_eq!(literal(r"it's"), "'it''s'");
        assert_eq!(literal(r"a\' or 1=1"), r"E'a\\'' or 1=1'");
        assert_eq!(table(&TableName::new("S", "t.x")), r#""S"."t.x""#);
    }
}
