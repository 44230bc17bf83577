//! What the server says of the rows of a LOAD DATA.
//!
//! LOAD DATA LOCAL cannot stop half-way, so it turns errors into warnings, even in strict mode: a value that does not fit is
//! changed, a row whose key is taken is left out. So the counts that it reports must be those of the rows that were sent,
//! without a warning; otherwise the warnings tell which row was to blame, and the transaction is rolled back.

use whimbrel_connector::{RefusalKind, RowRefusal};

use super::layout::Layout;
use crate::wire::{Done, MyError, TextRow};

/// Warnings to ask for.
pub(super) const SHOW: &str = "SHOW WARNINGS LIMIT 64";

/// Whether every row was taken as it was sent.
pub(super) fn is_clean(done: &Done, row_count: u64) -> bool {
    let counts = counts(&done.info);
    done.warning_count == 0
        && done.affected_rows == row_count
        && counts == Some([row_count, 0, 0, 0])
}

/// Records, deleted, skipped, warnings.
fn counts(info: &str) -> Option<[u64; 4]> {
    let numbers = info
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let numbers: Vec<u64> = numbers.map_while(|digits| digits.parse().ok()).collect();
    numbers.try_into().ok()
}

/// Whether all warnings say nothing of the rows: features that will go away one day, replication by statements.
pub(super) fn is_advice(done: &Done, warnings: &[TextRow]) -> bool {
    const ADVICE: [&str; 6] = ["1287", "1592", "1681", "3719", "3778", "3720"];
    usize::from(done.warning_count) == warnings.len()
        && warnings
            .iter()
            .all(|warning| ADVICE.contains(&warning.text(1)))
}

/// Whether the verdict is clean but for warnings that are advice.
pub(super) fn is_only_advice(done: &Done, row_count: u64, warnings: &[TextRow]) -> bool {
    let counts_fit = counts(&done.info).is_some_and(|[records, deleted, skipped, _]| {
        records == row_count && deleted == 0 && skipped == 0
    });
    counts_fit && done.affected_rows == row_count && is_advice(done, warnings)
}

/// The rows that an UPDATE found, changed or not: the first number of what it says.
pub(super) fn matched(done: &Done) -> u64 {
    let digits = done
        .info
        .split(|c: char| !c.is_ascii_digit())
        .find(|digits| !digits.is_empty());
    digits
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(done.affected_rows)
}

/// Whether an error is about the rows of the statement, and not about the statement.
pub(super) fn is_refusal(error: &MyError) -> bool {
    !error.is_transient()
        && (matches!(error.sqlstate.get(..2), Some("22" | "23")) || reason(error.code).is_some())
}

/// Says which row was refused and why. `text` holds the rows of the statement as they were sent.
pub(super) fn refusal(
    layout: &Layout,
    text: &[u8],
    done: &Done,
    warnings: &[TextRow],
) -> RowRefusal {
    // Warnings of other levels than notes first: a note may be a consequence.
    let first = warnings
        .iter()
        .find(|warning| warning.text(0) != "Note")
        .or(warnings.first());
    let Some(first) = first else {
        return RowRefusal {
            table: layout.source.clone(),
            key: None,
            column: None,
            kind: RefusalKind::Value,
            reason: format!(
                "the server took {} rows and says nothing of the others",
                done.affected_rows
            ),
        };
    };
    explain(
        layout,
        text,
        first.text(1).parse().unwrap_or(0),
        first.text(2),
    )
}

/// Puts a server's message in words of our own: its own hold the value.
pub(super) fn explain(layout: &Layout, text: &[u8], code: u16, message: &str) -> RowRefusal {
    let row: Option<usize> = message.rsplit_once(" row ").and_then(|(_, number)| {
        number
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .ok()
    });
    let column =
        column_in(message).filter(|name| layout.slots.iter().any(|slot| slot.name == *name));
    let is_duplicate = matches!(code, 1022 | 1062 | 1586);
    let key = match row {
        Some(row) => layout.keys_in(text).nth(row.saturating_sub(1)),
        None if is_duplicate => duplicate_entry(message)
            .and_then(|entry| layout.keys_in(text).find(|key| key.join("-") == entry)),
        None => None,
    };
    let key = key.and_then(|cells| written(&cells));
    let reason = match reason(code) {
        Some(reason) if is_duplicate => format!("{reason}{}", duplicate_key(message)),
        Some(reason) => reason.to_owned(),
        None => format!("the target's server refused it with error {code}"),
    };
    RowRefusal {
        table: layout.source.clone(),
        key,
        column,
        kind: kind(code),
        reason,
    }
}

/// The key of the only row of a text.
pub(super) fn only_key(layout: &Layout, text: &[u8]) -> Option<String> {
    layout
        .keys_in(text)
        .next()
        .and_then(|cells| written(&cells))
}

fn written(key: &[String]) -> Option<String> {
    (!key.is_empty()).then(|| format!("({})", key.join(", ")))
}

fn kind(code: u16) -> RefusalKind {
    match code {
        1265 | 1406 => RefusalKind::TooLong,
        1022 | 1048 | 1062 | 1263 | 1364 | 1452 | 1526 | 1586 | 1748 | 3819 | 4025 => {
            RefusalKind::Constraint
        }
        _ => RefusalKind::Value,
    }
}

fn reason(code: u16) -> Option<&'static str> {
    Some(match code {
        1022 | 1062 | 1586 => "another row of the target has the same key",
        1048 | 1263 => "the target's column does not take NULL",
        1261 | 1262 => "the target's server split the row otherwise than it was sent",
        1264 | 1690 => "the target cannot hold this value: it is out of the column's range",
        1265 => "the target cannot hold this value: the column would cut it or change it",
        1292 | 1411 | 1525 => {
            "the target cannot hold this value: it is not one of the column's type"
        }
        1300 | 1366 => {
            "the target cannot hold this value: it is not one of the column's type, or the column's character set lacks a character"
        }
        1364 => "the target has a column without a default that the source does not fill",
        1406 => "the target cannot hold this value: it is too long for the column",
        1416 | 3516 | 3643 => "the target cannot hold this geometry",
        1452 => "the row it refers to by a foreign key is missing at the target",
        1748 | 1526 => "the target has no partition for the row",
        3140 | 3141 | 3144 | 3156 => "the target cannot hold this JSON document",
        3819 | 4025 => "a check constraint of the target forbids the row",
        3923 | 3157 => "the target cannot hold this JSON document: it is nested too deeply",
        _ => return None,
    })
}

/// The column's name in `… for column 'a' at row 1`, or `` for column `s`.`t`.`a` at row 1``.
fn column_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("olumn ")?;
    let (name, _) = rest.split_once(" at row ")?;
    if let Some(inner) = name
        .strip_prefix('\'')
        .and_then(|name| name.strip_suffix('\''))
    {
        return Some(inner.to_owned());
    }
    let last = name.rsplit_once(".`").map_or(name, |(_, last)| last);
    Some(last.trim_matches('`').replace("``", "`"))
}

/// The key's values in `Duplicate entry '1-2' for key 't.PRIMARY'`.
fn duplicate_entry(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once('\'')?;
    rest.rsplit_once("' for key ").map(|(entry, _)| entry)
}

/// The index that is to blame, if it is not the primary key.
fn duplicate_key(message: &str) -> String {
    let name = message
        .rsplit_once(" for key ")
        .map_or("", |(_, name)| name.trim_matches('\''));
    let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
    if name.is_empty() || name == "PRIMARY" {
        String::new()
    } else {
        format!(" {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(affected_rows: u64, info: &str) -> Done {
        Done {
            affected_rows,
            info: info.to_owned(),
            ..Done::default()
        }
    }

    #[test]
    fn only_a_verdict_of_all_rows_is_clean() {
        assert!(is_clean(
            &done(3, "Records: 3  Deleted: 0  Skipped: 0  Warnings: 0"),
            3
        ));
        assert!(!is_clean(
            &done(3, "Records: 3  Deleted: 0  Skipped: 0  Warnings: 0"),
            4
        ));
        assert!(!is_clean(
            &done(2, "Records: 3  Deleted: 0  Skipped: 1  Warnings: 1"),
            3
        ));
        assert!(!is_clean(
            &done(3, "Records: 3  Deleted: 0  Skipped: 0  Warnings: 1"),
            3
        ));
        assert!(!is_clean(&done(3, ""), 3));
    }

    #[test]
    fn columns_and_keys_are_found_in_messages_of_both_flavours() {
        assert_eq!(
            column_in("Data too long for column 'a b' at row 2").as_deref(),
            Some("a b")
        );
        let mariadb = "Incorrect integer value: 'x' for column `s`.`t`.`a` at row 1";
        assert_eq!(column_in(mariadb).as_deref(), Some("a"));
        assert_eq!(
            duplicate_entry("Duplicate entry 'it's-2' for key 't.PRIMARY'"),
            Some("it's-2")
        );
        assert_eq!(
            duplicate_key("Duplicate entry '1' for key 't.by_name'"),
            " by_name"
        );
        assert_eq!(duplicate_key("Duplicate entry '1' for key 'PRIMARY'"), "");
    }
}
