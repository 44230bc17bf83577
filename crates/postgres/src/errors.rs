//! From the server's errors to what the engine can do about them.

use whimbrel_connector::{Error, RefusalKind, RowRefusal};
use whimbrel_core::TableName;

use crate::wire::{ServerError, WireError};

/// An error of an exchange that is about no single table.
pub(crate) fn general(error: WireError, during: &str) -> Error {
    match error {
        WireError::Server(error) if error.is_denied() => Error::Fatal(format!(
            "{during}: {}; grant the user this privilege",
            with_detail(&error)
        )),
        WireError::Server(error) if !error.is_transient() => {
            Error::Fatal(format!("{during}: {}", with_detail(&error)))
        }
        WireError::Protocol(_) => Error::Fatal(format!("{during}: {error}")),
        other => Error::Transient(format!("{during}: {other}")),
    }
}

/// An error of an exchange about one table.
pub(crate) fn of_table(error: WireError, table: &TableName, during: &str) -> Error {
    match error {
        WireError::Server(error) if error.is_transient() => {
            Error::Transient(format!("{during} table {table}: {error}"))
        }
        WireError::Server(error) if error.blames_row() => refused_row(&error, table).into(),
        WireError::Server(error) => {
            let remedy = match error.code.as_str() {
                "42P01" => {
                    "; the table was dropped or renamed: exclude it, or start the load again"
                }
                "42703" => "; the table was altered: start its load again",
                "42501" => "; grant the user the missing privilege",
                "2BP01" => "; drop what depends on it first, or prepare with truncate",
                _ => "",
            };
            Error::table(table, format!("{during}: {}{remedy}", with_detail(&error)))
        }
        WireError::Protocol(_) => Error::Fatal(format!("{during} table {table}: {error}")),
        other => Error::Transient(format!("{during} table {table}: {other}")),
    }
}

/// An error of a statement that makes an object of a table. A row that stands in its way is named by its key, not shown.
pub(crate) fn of_object(error: WireError, table: &TableName) -> Error {
    match error {
        WireError::Server(error) if !error.is_transient() => {
            let key = key_of_detail(&error.detail).filter(|_| error.blames_row());
            let key = key.map_or_else(String::new, |key| format!(", key {key}"));
            Error::table(table, format!("{}{key}", with_detail(&error)))
        }
        other => general(other, "make an object at the target"),
    }
}

fn with_detail(error: &ServerError) -> String {
    // The detail of a data error quotes the row's values, which are not for messages and logs.
    if error.detail.is_empty() || error.blames_row() {
        error.to_string()
    } else {
        format!("{error}: {}", error.detail)
    }
}

/// A row that the server refused, without its values.
fn refused_row(error: &ServerError, table: &TableName) -> RowRefusal {
    let place = CopyPlace::find(&error.context);
    let column = match (error.column.as_str(), &place) {
        ("", Some(place)) => place.column.map(str::to_owned),
        ("", None) => None,
        (name, _) => Some(name.to_owned()),
    };
    let row = place.map_or_else(String::new, |place| {
        format!(", in row {} of the statement", place.line)
    });
    RowRefusal {
        table: table.clone(),
        key: key_of_detail(&error.detail),
        column,
        kind: kind(&error.code),
        reason: format!(
            "the target refused the row: {} (SQLSTATE {}){row}",
            without_values(error),
            error.code
        ),
    }
}

fn kind(sqlstate: &str) -> RefusalKind {
    match sqlstate {
        "22001" => RefusalKind::TooLong,
        code if code.starts_with("23") => RefusalKind::Constraint,
        _ => RefusalKind::Value,
    }
}

/// The row, counted from 1, at which a COPY stopped.
pub(crate) fn copy_row(error: &ServerError) -> Option<u64> {
    CopyPlace::find(&error.context).map(|place| place.line)
}

/// The parameter, counted from 1, that could not be bound. Its value, which stands behind it, never leaves this function.
pub(crate) fn bound_parameter(error: &ServerError) -> Option<usize> {
    let line = error
        .context
        .lines()
        .find(|line| line.contains(" portal"))?;
    let (_, rest) = line.split_once(" parameter $")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}

/// Where a COPY stopped.
struct CopyPlace<'a> {
    line: u64,
    column: Option<&'a str>,
}

impl<'a> CopyPlace<'a> {
    /// Reads the line `COPY t, line 5, column x: "value"` of an error's context. The value never leaves this function.
    fn find(context: &'a str) -> Option<Self> {
        let place = context.lines().find(|line| line.starts_with("COPY "))?;
        let (_, rest) = place.split_once(", line ")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (line, rest) = rest.split_at(digits);
        let column = rest.strip_prefix(", column ").map(|rest| {
            let ends = [": \"", ": null input"].map(|end| rest.find(end));
            let end = ends.into_iter().flatten().min().unwrap_or(rest.len());
            &rest[..end]
        });
        Some(Self {
            line: line.parse().ok()?,
            column,
        })
    }
}

/// Data exceptions (class 22) quote the value in their message; constraint violations quote only names.
fn without_values(error: &ServerError) -> String {
    if !error.code.starts_with("22") {
        return error.message.clone();
    }
    if let Some(words) = of_encoding(error) {
        return words;
    }
    match (error.message.find('"'), error.message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!(
                "{}\"…\"{}",
                &error.message[..first],
                &error.message[last + 1..]
            )
        }
        _ => error.message.clone(),
    }
}

/// Of a character that an encoding lacks, and of bytes that are none in it: the message tells them, and names the encodings in quotes.
fn of_encoding(error: &ServerError) -> Option<String> {
    let mut names = error.message.split('"').skip(1).step_by(2);
    match error.code.as_str() {
        "22P05" => {
            let (from, to) = (names.next()?, names.next()?);
            Some(format!(
                "a character of a text in {from} has no equivalent in the encoding {to}; replace such characters as CharacterSetSettings can, or use a database in UTF8"
            ))
        }
        "22021" => Some(format!(
            "bytes of a text are none in the encoding {}; correct them at the source",
            names.next()?
        )),
        _ => None,
    }
}

/// A unique violation says `Key (a, b)=(1, 2) already exists.`
fn key_of_detail(detail: &str) -> Option<String> {
    let (_, rest) = detail.strip_prefix("Key (")?.split_once(")=")?;
    let end = rest.rfind(')')?;
    Some(rest[..=end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> TableName {
        TableName::new("s", "t")
    }

    #[test]
    fn a_refused_row_is_named_by_column_and_key_but_not_by_its_values() {
        let error = ServerError {
            code: "22001".to_owned(),
            message: "value too long for type character varying(3)".to_owned(),
            context: "COPY t, line 7, column name: \"canary\"".to_owned(),
            ..ServerError::default()
        };
        let text = of_table(WireError::Server(Box::new(error)), &table(), "load").to_string();
        assert!(
            text.contains("column name") && text.contains("in row 7"),
            "{text}"
        );
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(
            key_of_detail("Key (a, b)=(1, x) already exists."),
            Some("(1, x)".to_owned())
        );
    }

    #[test]
    fn the_place_is_found_behind_other_context_and_values_stay_out() {
        let error = ServerError {
            code: "22P02".to_owned(),
            message: "invalid input syntax for type integer: \"canary\"".to_owned(),
            context: "JSON data, line 1: canary\nCOPY t, line 3, column a b: \"canary, line 9, column z\"".to_owned(),
            ..ServerError::default()
        };
        let refusal = refused_row(&error, &table());
        assert_eq!(refusal.column.as_deref(), Some("a b"));
        assert_eq!(
            refusal.reason,
            "the target refused the row: invalid input syntax for type integer: \"…\" (SQLSTATE 22P02), in row 3 of the statement"
        );
        let place = CopyPlace::find("COPY t, line 8, column n: null input").unwrap();
        assert_eq!((place.line, place.column), (8, Some("n")));
        assert_eq!(CopyPlace::find("COPY t, line 8").unwrap().column, None);
    }

    #[test]
    fn shutdown_and_full_disks_are_transient() {
        for code in ["57P01", "53100", "40001", "08006"] {
            let error = ServerError {
                code: code.to_owned(),
                ..ServerError::default()
            };
            let error = of_table(WireError::Server(Box::new(error)), &table(), "load");
            assert!(matches!(error, Error::Transient(_)), "{code}");
        }
    }
}
