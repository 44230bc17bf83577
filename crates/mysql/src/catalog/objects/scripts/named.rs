//! Which database a grant names. The server takes such a name for a pattern, in which `_` and `%` stand for others unless a backslash is before them.

use crate::wire::{Connection, WireError};

/// How the server compares names of databases.
#[derive(Clone, Copy)]
pub(super) enum Case {
    /// Upper and lower case differ.
    Differs,
    /// They are one.
    IsOne,
}

impl Case {
    pub(super) async fn read(connection: &mut Connection) -> Result<Self, WireError> {
        let row = connection.row("SELECT @@lower_case_table_names").await?;
        Ok(match row.as_ref().map(|row| row.text(0)) {
            Some("0") => Self::Differs,
            _ => Self::IsOne,
        })
    }

    fn folded(self, name: &str) -> String {
        match self {
            Self::Differs => name.to_owned(),
            Self::IsOne => name.to_lowercase(),
        }
    }

    /// Whether two names are of one database.
    pub(super) fn is_same(self, one: &str, other: &str) -> bool {
        self.folded(one) == self.folded(other)
    }

    /// Whether a grant names this database: with its wildcards escaped, or as it is. A name with a backslash cannot be told from one with escapes.
    pub(super) fn exactly(self, given: &str, database: &str) -> bool {
        let is_plain = !database.contains('\\');
        is_plain && (self.is_same(given, database) || self.is_same(given, &escaped(database)))
    }

    /// Whether a grant is on this database, and others perhaps.
    pub(super) fn matches(self, pattern: &str, database: &str) -> bool {
        let pattern: Vec<char> = self.folded(pattern).chars().collect();
        let name: Vec<char> = self.folded(database).chars().collect();
        let mut parts = Vec::new();
        let mut chars = pattern.into_iter();
        while let Some(c) = chars.next() {
            parts.push(match c {
                '%' => Part::Any,
                '_' => Part::One,
                '\\' => Part::Exactly(chars.next().unwrap_or('\\')),
                c => Part::Exactly(c),
            });
        }
        // Which beginnings of the pattern match what has been read of the name.
        let mut open = vec![false; parts.len() + 1];
        open[0] = true;
        pass_any(&parts, &mut open);
        for c in name {
            let mut next = vec![false; parts.len() + 1];
            for (at, part) in parts.iter().enumerate().filter(|(at, _)| open[*at]) {
                match part {
                    Part::Any => next[at] = true,
                    Part::One => next[at + 1] = true,
                    Part::Exactly(wanted) => next[at + 1] |= *wanted == c,
                }
            }
            pass_any(&parts, &mut next);
            open = next;
        }
        open[parts.len()]
    }
}

enum Part {
    Any,
    One,
    Exactly(char),
}

/// `%` stands for nothing too.
fn pass_any(parts: &[Part], open: &mut [bool]) {
    for (at, part) in parts.iter().enumerate() {
        open[at + 1] |= open[at] && matches!(part, Part::Any);
    }
}

/// A name that matches itself alone.
fn escaped(database: &str) -> String {
    database
        .replace('\\', "\\\\")
        .replace('_', "\\_")
        .replace('%', "\\%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_names_a_database_exactly() {
        let case = Case::Differs;
        assert!(case.exactly("my_db", "my_db") && case.exactly(r"my\_db", "my_db"));
        assert!(case.exactly(r"a\_b\%", "a_b%"));
        assert!(!case.exactly("my%", "my_db") && !case.exactly("my__b", "my_db"));
        assert!(!case.exactly("My_db", "my_db") && Case::IsOne.exactly("My_db", "my_db"));
        assert!(!case.exactly(r"a\_b", r"a\_b"));
    }

    #[test]
    fn a_pattern_matches_as_the_server_says() {
        let case = Case::Differs;
        for pattern in ["%", "my%", "my_db", "my_d_", "%_db", "m%d%", r"my\_db"] {
            assert!(case.matches(pattern, "my_db"), "{pattern}");
        }
        for pattern in ["", "my", r"my\_", "_my_db", r"my\%db", "My%"] {
            assert!(!case.matches(pattern, "my_db"), "{pattern}");
        }
        assert!(Case::IsOne.matches("MY%", "my_db"));
    }
}
