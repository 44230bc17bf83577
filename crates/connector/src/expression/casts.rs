//! Casts of PostgreSQL that leave a value what it is. Every other one has no words of its own on the other engines, so that it is not read.

use whimbrel_core::ColumnType;
use whimbrel_core::objects::{Expression, Literal};

/// Types whose values are their characters.
const TEXT_TYPES: [&str; 2] = ["text", "character varying"];
const WHOLE_TYPES: [&str; 3] = ["smallint", "integer", "bigint"];
const NUMBER_TYPES: [&str; 6] = [
    "smallint",
    "integer",
    "bigint",
    "numeric",
    "double precision",
    "real",
];
/// Types whose constants are no plain text elsewhere.
const OTHER_TYPES: [&str; 3] = ["bytea", "regclass", "geometry"];
/// Whole numbers of more bits are rounded by a `double precision`.
const BITS_OF_DOUBLE: u8 = 53;

/// What a value is cast to.
pub(super) struct CastType {
    /// Its name, in full and in lower case.
    pub(super) name: String,
    /// Lengths, or digits, in parentheses.
    pub(super) bounds: Vec<usize>,
}

impl CastType {
    pub(super) fn is_list_of_texts(&self) -> bool {
        let element = self.name.strip_suffix("[]");
        self.bounds.is_empty() && element.is_some_and(is_text_type)
    }
}

fn is_text_type(name: &str) -> bool {
    TEXT_TYPES.contains(&name) || name == "bpchar"
}

/// A constant in quotes, which is of this type.
pub(super) fn typed(text: String, ty: &CastType) -> Option<Expression> {
    let name = ty.name.as_str();
    let literal = if NUMBER_TYPES.contains(&name) {
        if !keeps_number(&text, ty) {
            return None;
        }
        Literal::Number(text)
    } else if name == "boolean" {
        match text.as_str() {
            "t" | "true" => Literal::Bool(true),
            "f" | "false" => Literal::Bool(false),
            _ => return None,
        }
    } else if name == "bpchar" {
        // Blanks at its end count for nothing.
        Literal::Text(text.trim_end_matches(' ').to_owned())
    } else {
        // 'now' and 'infinity' are times, and no texts.
        let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '-');
        let mut times = ["date", "timestamp", "time"].iter();
        let is_time = times.any(|time| name.starts_with(time));
        let is_other = OTHER_TYPES.contains(&name) || name.contains("bit");
        if is_other || (is_word && is_time) || !ty.bounds.is_empty() {
            return None;
        }
        Literal::Text(text)
    };
    Some(Expression::Literal(literal))
}

/// A value that is cast, where it stays the same.
pub(super) fn unchanged<'t>(
    value: Expression,
    ty: &CastType,
    type_of: &dyn Fn(&str) -> Option<&'t ColumnType>,
) -> Option<Expression> {
    let name = ty.name.as_str();
    let stays = match &value {
        Expression::Literal(Literal::Null) => true,
        Expression::Literal(Literal::Text(text)) => fits(text, ty),
        Expression::Literal(Literal::Number(digits)) => keeps_number(digits, ty),
        Expression::Literal(Literal::Bits(bits)) => {
            let length = ty.bounds.first();
            name.contains("bit") && length.is_none_or(|length| bits.len() == *length)
        }
        Expression::Column(column) => {
            ty.bounds.is_empty() && type_of(column).is_some_and(|of| widens(of, name))
        }
        _ => false,
    };
    stays.then_some(value)
}

/// Whether a text is not cut by its new length.
fn fits(text: &str, ty: &CastType) -> bool {
    match (ty.name.as_str(), ty.bounds.as_slice()) {
        (name, []) => is_text_type(name),
        ("character varying", [length]) => text.chars().count() <= *length,
        ("character", [length]) => text.chars().count() == *length,
        _ => false,
    }
}

/// Whether every value of a column is one of the new type, and the same.
fn widens(of: &ColumnType, name: &str) -> bool {
    match of {
        // Of `character` a cast takes the blanks at the end.
        ColumnType::Varchar { .. } | ColumnType::Text { .. } | ColumnType::Enum { .. } => {
            TEXT_TYPES.contains(&name)
        }
        ColumnType::Int { bits, .. } => match name {
            "smallint" => *bits <= 16,
            "integer" => *bits <= 32,
            "bigint" | "numeric" => true,
            "double precision" => *bits <= BITS_OF_DOUBLE,
            _ => false,
        },
        ColumnType::Decimal { .. } => name == "numeric",
        ColumnType::Float32 | ColumnType::Float64 => name == "double precision",
        _ => false,
    }
}

/// Whether a text is a number (digits, with a sign, a point and an exponent: `NaN` is none) that a type does not round.
fn keeps_number(text: &str, ty: &CastType) -> bool {
    let (mantissa, exponent) = split(text, &['e', 'E']);
    let (whole, fraction) = split(mantissa, &['.']);
    let is_plain =
        is_whole(whole) && fraction.is_none_or(are_digits) && exponent.is_none_or(is_whole);
    let is_kept = match (ty.name.as_str(), ty.bounds.as_slice()) {
        ("numeric" | "double precision", []) => true,
        ("numeric", [_, scale @ ..]) => {
            let scale = scale.first().copied().unwrap_or(0);
            exponent.is_none() && fraction.map_or(0, str::len) <= scale
        }
        // Elsewhere it is compared as the number that it reads.
        ("real", []) => text.parse::<f32>().ok().map(f64::from) == text.parse::<f64>().ok(),
        (name, []) if WHOLE_TYPES.contains(&name) => fraction.is_none() && exponent.is_none(),
        _ => false,
    };
    is_plain && is_kept
}

fn split<'t>(text: &'t str, at: &[char]) -> (&'t str, Option<&'t str>) {
    text.split_once(at)
        .map_or((text, None), |(before, behind)| (before, Some(behind)))
}

fn is_whole(text: &str) -> bool {
    are_digits(text.strip_prefix(['+', '-']).unwrap_or(text))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
