//! Views that were converted from the SQL of another engine.

use whimbrel_connector::objects::MadeView;
use whimbrel_connector::views::Converted;
use whimbrel_core::objects::{Again, Likeness};

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
        session: Vec::new(),
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
