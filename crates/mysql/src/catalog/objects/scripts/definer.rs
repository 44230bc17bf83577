//! With whose rights an object runs.
//!
//! An object that runs with its definer's rights is made with that definer or not at all: made by the migration's user, it would run with rights that
//! it never had. One that runs with the rights of whoever calls it needs no definer.

use whimbrel_core::objects::Requirement;

use crate::quote::literal;

/// A statement with its definer dealt with.
pub(super) struct Taken {
    pub(super) create: String,
    pub(super) requires: Option<Requirement>,
}

/// `is_invoker`: it runs with the rights of whoever calls it.
pub(super) fn take(create: &str, is_invoker: bool) -> Taken {
    let as_it_is = || Taken {
        create: create.to_owned(),
        requires: None,
    };
    // It stands before everything that a user may have named.
    let Some((start, rest)) = create.split_once(" DEFINER=") else {
        return as_it_is();
    };
    let Some((user, rest)) = quoted(rest) else {
        return as_it_is();
    };
    // A role of MariaDB has no host.
    let (host, rest) = rest
        .strip_prefix('@')
        .and_then(quoted)
        .unwrap_or((String::new(), rest));
    if is_invoker {
        return Taken {
            create: format!("{start}{rest}"),
            requires: None,
        };
    }
    let who = format!("'{user}'@'{host}'");
    Taken {
        create: create.to_owned(),
        requires: Some(Requirement {
            query: account_exists(&who),
            lacking: format!(
                "it runs with the rights of {who}, an account that the target does not have, or that its user may not see: make that account there and make \
                 the objects again, or make it by hand with another DEFINER"
            ),
        }),
    }
}

/// Every account has a row, and whoever may not see others sees the own one.
pub(super) fn account_exists(who: &str) -> String {
    format!(
        "SELECT 1 FROM information_schema.user_privileges WHERE grantee = {} LIMIT 1",
        literal(who)
    )
}

/// A name in quotes, and what is behind it. Texts in which `"` is a quote of names have those.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '`' | '"'))?;
    let rest = &text[1..];
    let mut name = String::new();
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            name.push(quote);
        } else {
            return Some((name, &rest[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definer_has_to_be_there() {
        let taken = take(
            "CREATE ALGORITHM=UNDEFINED DEFINER=`a``b`@`%` SQL SECURITY DEFINER VIEW `v` AS select 1",
            false,
        );
        let requires = taken.requires.unwrap();
        assert!(
            requires.query.contains(r"'\'a`b\'@\'%\''")
                || requires.query.contains("'''a`b''@''%'''"),
            "{requires:?}"
        );
        assert!(taken.create.contains("DEFINER=`a``b`@`%`"));
    }

    #[test]
    fn what_runs_with_the_rights_of_its_caller_needs_no_definer() {
        let taken = take(
            "CREATE ALGORITHM=UNDEFINED DEFINER=`a`@`%` SQL SECURITY INVOKER VIEW `v` AS select 1",
            true,
        );
        assert_eq!(
            taken.create,
            "CREATE ALGORITHM=UNDEFINED SQL SECURITY INVOKER VIEW `v` AS select 1"
        );
        assert!(taken.requires.is_none());
        let taken = take(
            "CREATE DEFINER=\"a\"@\"%\" PROCEDURE \"p\"() select 1",
            false,
        );
        assert!(taken.requires.unwrap().lacking.contains("'a'@'%'"));
    }
}
