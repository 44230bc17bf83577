//! Text and bytes.

use super::{Converted, NO_SUCH, write_value};
use crate::Value;

/// From here on floating-point numbers are written with an exponent, as servers do.
const PLAIN_FROM: f64 = 1e-5;
const PLAIN_BELOW: f64 = 1e15;

pub(super) fn to_text<'v>(
    value: &Value<'v>,
    chars_max: Option<u32>,
    is_padded: bool,
    out: &mut String,
) -> Result<Converted<'v>, &'static str> {
    let begin = out.len();
    let borrowed = match *value {
        Value::Text(text) if is_padded => Some(text.trim_end_matches(' ')),
        Value::Text(text) | Value::Json(text) => Some(text),
        Value::Bytes(_) => {
            return Err("bytes have no text of their own; an expression with hex() makes one");
        }
        Value::Float32(number) => {
            write_float(
                f64::from(number),
                &number.to_string(),
                &format!("{number:e}"),
                out,
            );
            None
        }
        Value::Float64(number) => {
            write_float(number, &number.to_string(), &format!("{number:e}"), out);
            None
        }
        _ => {
            let mut text = Vec::new();
            write_value(value, &mut text);
            out.push_str(std::str::from_utf8(&text).map_err(|_| NO_SUCH)?);
            None
        }
    };
    let text = borrowed.unwrap_or(&out[begin..]);
    let max = chars_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    // No text has more characters than bytes.
    if text.len() > max && text.chars().count() > max {
        return Err("it has more characters");
    }
    Ok(match borrowed {
        Some(text) => Converted::Value(Value::Text(text)),
        None => Converted::Text,
    })
}

/// The shortest digits that read back to the same bits.
fn write_float(number: f64, plain: &str, scientific: &str, out: &mut String) {
    let size = number.abs();
    let is_plain = size == 0.0 || (PLAIN_FROM..PLAIN_BELOW).contains(&size);
    out.push_str(if number.is_nan() {
        "NaN"
    } else if number.is_infinite() && number > 0.0 {
        "Infinity"
    } else if number.is_infinite() {
        "-Infinity"
    } else if is_plain {
        plain
    } else {
        scientific
    });
}

pub(super) fn to_bytes<'v>(
    value: &Value<'v>,
    bytes_max: Option<u32>,
) -> Result<Value<'v>, &'static str> {
    let bytes = match *value {
        Value::Bytes(bytes) => bytes,
        Value::Text(text) | Value::Json(text) => text.as_bytes(),
        _ => return Err(NO_SUCH),
    };
    let max = bytes_max.map_or(usize::MAX, |max| usize::try_from(max).unwrap_or(usize::MAX));
    if bytes.len() > max {
        return Err("it has more bytes");
    }
    Ok(Value::Bytes(bytes))
}
