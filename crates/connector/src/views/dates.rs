//! Dates and times in quotes.

use super::ast::Expr;
use super::class::Class;
use super::query::{Done, Typed};

/// A value, which is a date or a time where it is a constant in quotes and compared with one.
pub(super) fn read(value: &Typed, beside: Class, text: &Expr) -> Done<Typed> {
    match (text, beside) {
        (Expr::Text(text), Class::Date | Class::Timestamp) => constant(text, beside),
        _ => Ok(value.clone()),
    }
}

/// A date or a time of day on a date, in the form that both engines read alike.
pub(super) fn constant(text: &str, class: Class) -> Done<Typed> {
    let date = text.get(..10).filter(|date| is_date(date));
    let date = date.ok_or_else(|| format!("it compares with {text:?}"))?;
    let rest = &text[10..];
    match (class, rest) {
        (Class::Date, "") => Ok(Typed::new(format!("DATE '{date}'"), class)),
        (Class::Timestamp, "") => Ok(Typed::new(format!("TIMESTAMP '{date} 00:00:00'"), class)),
        (Class::Timestamp, time) if time.strip_prefix(' ').is_some_and(is_time) => {
            Ok(Typed::new(format!("TIMESTAMP '{text}'"), class))
        }
        _ => Err(format!("it compares with {text:?}")),
    }
}

fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [year, month, day] = parts[..] else {
        return false;
    };
    let of = |part: &str, length: usize| digits(part).filter(|_| part.len() == length);
    let (Some(year), Some(month), Some(day)) = (of(year, 4), of(month, 2), of(day, 2)) else {
        return false;
    };
    // What is no day of the calendar the servers themselves refuse.
    year > 0 && (1..=12).contains(&month) && (1..=31).contains(&day)
}

fn is_time(text: &str) -> bool {
    let (time, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts[..] else {
        return false;
    };
    let below = |part: &str, end: u32| part.len() == 2 && digits(part).is_some_and(|of| of < end);
    below(hour, 24)
        && below(minute, 60)
        && below(second, 60)
        && fraction.len() <= 6
        && digits(fraction).is_some()
}

fn digits(text: &str) -> Option<u32> {
    let are_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    are_digits.then(|| text.parse().ok()).flatten()
}
