//! What expressions may call: the functions that the service names, three of which SQLite does not have.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};
use sha2::{Digest, Sha256};

/// Tells the change by which a row came.
pub(super) const INDICATOR: &str = "operation_indicator";

/// All that may be called; `like` and `glob` are what the operators of these names call.
pub(super) const ALLOWED: &[&str] = &[
    "lower",
    "upper",
    "ltrim",
    "rtrim",
    "trim",
    "replace",
    "substr",
    "substring",
    "instr",
    "length",
    "hex",
    "quote",
    "char",
    "unicode",
    "replacechars",
    "randomblob",
    "zeroblob",
    "abs",
    "random",
    "round",
    "max",
    "min",
    "coalesce",
    "ifnull",
    "nullif",
    "date",
    "time",
    "datetime",
    "julianday",
    "strftime",
    "hash_sha256",
    INDICATOR,
    "like",
    "glob",
];

/// Which of the arguments of the indicator is meant.
pub(super) type IndicatorPlace = Arc<AtomicU8>;

pub(super) fn define(connection: &Connection, place: &IndicatorPlace) -> Result<(), Error> {
    let pure = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    connection.create_scalar_function("replaceChars", 3, pure, |context| {
        let [Some(text), Some(from), Some(to)] = texts(context)? else {
            return Ok(None);
        };
        Ok(Some(replaced(&text, &from, &to)))
    })?;
    connection.create_scalar_function("hash_sha256", 1, pure, |context| {
        Ok(bytes(context.get_raw(0)).map(|bytes| {
            let mut hash = String::with_capacity(64);
            for byte in Sha256::digest(bytes) {
                for half in [byte >> 4, byte & 15] {
                    hash.extend(char::from_digit(u32::from(half), 16));
                }
            }
            hash.to_ascii_uppercase()
        }))
    })?;
    let place = Arc::clone(place);
    // Its value is another one for each row: it is not deterministic.
    connection.create_scalar_function(INDICATOR, 3, FunctionFlags::SQLITE_UTF8, move |context| {
        context.get::<Value>(usize::from(place.load(Ordering::Relaxed)))
    })
}

fn texts<const N: usize>(context: &Context<'_>) -> Result<[Option<String>; N], Error> {
    let mut texts = [const { None }; N];
    for (place, text) in texts.iter_mut().enumerate() {
        *text = match bytes(context.get_raw(place)) {
            None => None,
            Some(bytes) => Some(
                String::from_utf8(bytes).map_err(|error| Error::UserFunctionError(error.into()))?,
            ),
        };
    }
    Ok(texts)
}

/// A value's text, as SQLite itself would write it; a blob's bytes.
fn bytes(value: ValueRef<'_>) -> Option<Vec<u8>> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
        ValueRef::Real(number) => Some(format!("{number:?}").into_bytes()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.to_vec()),
    }
}

/// Each character of `text` that stands somewhere in `from` becomes the one that stands there in `to`, or its first.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let to: Vec<char> = to.chars().collect();
    let new = |c: char| match from.chars().position(|other| other == c) {
        None => Some(c),
        Some(place) => to.get(place).or(to.first()).copied(),
    };
    text.chars().filter_map(new).collect()
}
