//! Numbers, by their exact decimal digits.

use std::fmt::Write;

use super::{Converted, NO_SUCH};
use crate::mapping::Number;
use crate::{Bits, Decimal, Value};

const NO_NUMBER: &str = "it is no number";
const NOT_WHOLE: &str = "it has digits behind the point";
const TOO_LARGE: &str = "it is out of range";
const NOT_EXACT: &str = "it has more digits than that type can tell apart";
/// Digits that the exponent of a floating-point number can move the point by.
const EXPONENT_MAX: i32 = 1100;

pub(super) fn to_bool<'v>(value: &Value<'_>) -> Result<Value<'v>, &'static str> {
    let flag = match value {
        Value::Bool(flag) => *flag,
        Value::Text("true" | "t" | "1") => true,
        Value::Text("false" | "f" | "0") => false,
        Value::Text(_) => return Err("it is neither true nor false"),
        _ => match whole(value)? {
            0 => false,
            1 => true,
            _ => return Err("it is neither 0 nor 1"),
        },
    };
    Ok(Value::Bool(flag))
}

pub(super) fn to_int<'v>(
    value: &Value<'_>,
    bits: u8,
    unsigned: bool,
) -> Result<Value<'v>, &'static str> {
    let number = whole(value)?;
    let bits = u32::from(bits.clamp(8, 64));
    let (least, most) = if unsigned {
        (0, (1_i128 << bits) - 1)
    } else {
        (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1)
    };
    if !(least..=most).contains(&number) {
        return Err(TOO_LARGE);
    }
    if unsigned {
        u64::try_from(number)
            .map(Value::UInt)
            .map_err(|_| TOO_LARGE)
    } else {
        i64::try_from(number).map(Value::Int).map_err(|_| TOO_LARGE)
    }
}

/// A number without digits behind the point.
fn whole(value: &Value<'_>) -> Result<i128, &'static str> {
    match value {
        Value::Int(number) => return Ok(i128::from(*number)),
        Value::UInt(number) => return Ok(i128::from(*number)),
        Value::Bool(flag) => return Ok(i128::from(*flag)),
        Value::Bits(bits) => return of_bits(bits),
        _ => {}
    }
    let text = digits(value)?;
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return Err(NOT_WHOLE);
    }
    whole.parse().map_err(|_| TOO_LARGE)
}

fn of_bits(bits: &Bits<'_>) -> Result<i128, &'static str> {
    if bits.length > 64 {
        return Err(TOO_LARGE);
    }
    let join = |number: i128, bit: bool| number << 1 | i128::from(bit);
    Ok(bits.iter().fold(0, join))
}

/// A number as `[-]digits[.digits]`.
fn digits(value: &Value<'_>) -> Result<String, &'static str> {
    match value {
        Value::Int(number) => Ok(number.to_string()),
        Value::UInt(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(u8::from(*flag).to_string()),
        Value::Float32(number) if number.is_finite() => Ok(number.to_string()),
        Value::Float64(number) if number.is_finite() => Ok(number.to_string()),
        Value::Decimal(number @ (Decimal::Text(_) | Decimal::Groups(_) | Decimal::Short(_))) => {
            let mut text = Vec::new();
            number.write_text(&mut text);
            String::from_utf8(text).map_err(|_| NO_NUMBER)
        }
        Value::Text(text) => plain(text).ok_or(NO_NUMBER),
        Value::Float32(_) | Value::Float64(_) | Value::Decimal(_) => Err(NO_NUMBER),
        _ => Err(NO_SUCH),
    }
}

/// A number's text without blanks around it, a plus or an exponent; `None` where it is none.
fn plain(text: &str) -> Option<String> {
    let text = text.trim_matches(' ');
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    if exponent.abs() > EXPONENT_MAX {
        return None;
    }
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let moved = usize::try_from(exponent.unsigned_abs()).ok()?;
    let (whole, fraction) = if exponent >= 0 {
        let fraction = format!("{fraction:0<moved$}");
        let (up, rest) = fraction.split_at(moved);
        (format!("{whole}{up}"), rest.to_owned())
    } else {
        let padded = format!("{whole:0>width$}", width = moved + 1);
        let (rest, down) = padded.split_at(padded.len() - moved);
        (rest.to_owned(), format!("{down}{fraction}"))
    };
    let mut plain = format!("{sign}{whole}");
    if !fraction.is_empty() {
        write!(plain, ".{fraction}").ok()?;
    }
    Some(plain)
}

pub(super) fn to_decimal<'v>(
    value: &Value<'v>,
    precision: Option<(u32, i32)>,
    out: &mut String,
) -> Result<Converted<'v>, &'static str> {
    if let Value::Decimal(Decimal::NaN | Decimal::Infinity | Decimal::NegInfinity) = value {
        // Whether there are such is for the target to say.
        return Ok(Converted::Value(*value));
    }
    let text = digits(value)?;
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", text.as_str()),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let whole = whole.trim_start_matches('0');
    if let Some((digits, scale)) = precision {
        let scale = usize::try_from(scale).map_err(|_| NO_SUCH)?;
        let significant = fraction.trim_end_matches('0');
        if significant.len() > scale {
            return Err("it has more digits behind the point");
        }
        if whole.len()
            > usize::try_from(digits)
                .map_err(|_| NO_SUCH)?
                .saturating_sub(scale)
        {
            return Err("it has more digits before the point");
        }
        push(out, sign, whole, &fraction[..fraction.len().min(scale)]);
    } else {
        push(out, sign, whole, fraction);
    }
    Ok(Converted::Decimal)
}

fn push(out: &mut String, sign: &str, whole: &str, fraction: &str) {
    let is_zero = whole.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    out.push_str(if is_zero { "" } else { sign });
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

/// `is_by_digits`: a longer number is the shorter one whose shortest digits are its own.
pub(super) fn to_float32<'v>(
    value: &Value<'_>,
    is_by_digits: bool,
) -> Result<Value<'v>, &'static str> {
    let single = match value {
        Value::Float32(number) => *number,
        Value::Float64(number) if !number.is_finite() => of_special(*number),
        Value::Float64(number) => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "what is lost is looked for"
            )]
            let single = *number as f32;
            let has_same_digits = || single.to_string() == number.to_string();
            if f64::from(single).to_bits() != number.to_bits()
                && !(is_by_digits && has_same_digits())
            {
                return Err(NOT_EXACT);
            }
            single
        }
        _ => match special(value) {
            Some(number) => of_special(number),
            None => read(value, |number: &f32| number.is_finite())?,
        },
    };
    Ok(Value::Float32(single))
}

pub(super) fn to_float64<'v>(value: &Value<'_>) -> Result<Value<'v>, &'static str> {
    Ok(Value::Float64(match value {
        Value::Float64(number) => *number,
        Value::Float32(number) => f64::from(*number),
        _ => match special(value) {
            Some(number) => number,
            None => read(value, |number: &f64| number.is_finite())?,
        },
    }))
}

/// The floating-point number whose shortest digits are the value's.
fn read<F: std::str::FromStr + ToString>(
    value: &Value<'_>,
    is_finite: impl Fn(&F) -> bool,
) -> Result<F, &'static str> {
    let text = digits(value)?;
    let number: F = text.parse().map_err(|_| NO_NUMBER)?;
    if !is_finite(&number) {
        return Err(TOO_LARGE);
    }
    let is_same = Number::read(&number.to_string()) == Number::read(&text);
    is_same.then_some(number).ok_or(NOT_EXACT)
}

fn special(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Decimal(Decimal::NaN) | Value::Text("NaN") => Some(f64::NAN),
        Value::Decimal(Decimal::Infinity) | Value::Text("Infinity") => Some(f64::INFINITY),
        Value::Decimal(Decimal::NegInfinity) | Value::Text("-Infinity") => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

fn of_special(number: f64) -> f32 {
    if number.is_nan() {
        f32::NAN
    } else if number > 0.0 {
        f32::INFINITY
    } else {
        f32::NEG_INFINITY
    }
}
