//! Row hashes that come out equal for equal rows, whatever engines they were read from.
//!
//! Each cell is brought to a canonical form first: numbers of every type to their shortest decimal text, blank-padded
//! text without its padding, JSON with sorted keys, everything that only one engine has a type for to its text form.
//! The hash is 128 bits of two independent multiply-and-fold passes over that form. It guards against accident, not
//! against an adversary who may choose rows.

use crate::{Bits, ColumnType, Value, canonical_json, write_text};

/// A row's hash. Sums of row hashes compare sets of rows without regard to order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowHash(pub u128);

/// Hashes rows; keeps its buffer between rows, so that hashing does not allocate for most types.
#[derive(Debug, Default)]
pub struct RowHasher {
    form: Vec<u8>,
    cell: Vec<u8>,
}

impl RowHasher {
    /// A hasher with empty buffers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The hash of the given cells. `columns` pairs each with its type at its own end.
    pub fn hash<'v>(
        &mut self,
        cells: impl Iterator<Item = (&'v Value<'v>, &'v ColumnType)>,
    ) -> RowHash {
        self.form.clear();
        for (value, ty) in cells {
            self.cell.clear();
            let class = write_canonical(value, ty, &mut self.cell);
            let length = u32::try_from(self.cell.len()).unwrap_or(u32::MAX);
            self.form.push(class);
            self.form.extend_from_slice(&length.to_le_bytes());
            self.form.extend_from_slice(&self.cell);
        }
        RowHash(
            (u128::from(fold(&self.form, 0x9E37_79B9_7F4A_7C15)) << 64)
                | u128::from(fold(&self.form, 0xD6E8_FEB8_6659_FD93)),
        )
    }
}

/// Multiplies 64-bit words into a state and folds both halves of the product together.
fn fold(bytes: &[u8], seed: u64) -> u64 {
    let mix = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let folded = (product as u64) ^ ((product >> 64) as u64);
        folded
    };
    let mut state = seed;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state =
            mix(state ^ u64::from_le_bytes(*word), 0xA076_1D64_78BD_642F).rotate_left(23) ^ seed;
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    state = mix(state ^ u64::from_le_bytes(last), 0xE703_7ED1_A0B4_28DB);
    mix(state ^ bytes.len() as u64, seed | 1)
}

/// Writes the canonical form and returns its class: values of different classes are never equal.
fn write_canonical(value: &Value<'_>, ty: &ColumnType, out: &mut Vec<u8>) -> u8 {
    match value {
        Value::Null | Value::NotSent => 0,
        Value::Bool(flag) => {
            out.push(if *flag { b'1' } else { b'0' });
            b'n'
        }
        Value::Int(_) | Value::UInt(_) | Value::Decimal(_) => {
            write_text(value, out);
            trim_number(out);
            b'n'
        }
        Value::Float32(number) => {
            // Adding zero takes the sign from a negative zero: SQL calls both equal, and MariaDB holds only one of them.
            let bits = if number.is_nan() {
                f32::NAN
            } else {
                *number + 0.0
            }
            .to_bits();
            out.extend_from_slice(&bits.to_le_bytes());
            b'f'
        }
        Value::Float64(number) => {
            let bits = if number.is_nan() {
                f64::NAN
            } else {
                *number + 0.0
            }
            .to_bits();
            out.extend_from_slice(&bits.to_le_bytes());
            b'd'
        }
        Value::Text(text) => {
            let text = match ty {
                ColumnType::Char { .. } => text.trim_end_matches(' '),
                _ => text,
            };
            out.extend_from_slice(text.as_bytes());
            b't'
        }
        Value::Json(text) => {
            write_json(text, out);
            b't'
        }
        Value::Bytes(bytes) => {
            out.extend_from_slice(bytes);
            b'b'
        }
        Value::Bits(bits) => {
            write_bits(bits, out);
            b't'
        }
        // A zone adds nothing to an instant that is always in UTC.
        Value::Timestamp(timestamp) | Value::TimestampTz(timestamp) => {
            write_text(&Value::Timestamp(*timestamp), out);
            b't'
        }
        Value::Date(_)
        | Value::Time(_)
        | Value::TimeTz(..)
        | Value::Interval(_)
        | Value::Uuid(_) => {
            write_text(value, out);
            b't'
        }
    }
}

fn write_bits(bits: &Bits<'_>, out: &mut Vec<u8>) {
    out.extend(bits.iter().map(|bit| if bit { b'1' } else { b'0' }));
}

/// `1.500` and `1.5` are one number, and so are `-0` and `0`.
fn trim_number(out: &mut Vec<u8>) {
    if out.contains(&b'.') {
        while out.last() == Some(&b'0') {
            out.pop();
        }
        if out.last() == Some(&b'.') {
            out.pop();
        }
    }
    if out.as_slice() == b"-0" {
        out.remove(0);
    }
}

/// A document of which no form can be told stays as it is written.
fn write_json(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    if canonical_json::write(text, out).is_none() {
        out.truncate(start);
        out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Decimal, Timestamp};

    const TEXT: ColumnType = ColumnType::Text { bytes_max: None };

    fn hash(values: &[Value<'_>]) -> RowHash {
        RowHasher::new().hash(values.iter().map(|value| (value, &TEXT)))
    }

    #[test]
    fn a_number_is_equal_in_every_type() {
        let one = hash(&[Value::Int(1)]);
        for value in [
            Value::UInt(1),
            Value::Bool(true),
            Value::Decimal(Decimal::Text("1.000")),
        ] {
            assert_eq!(hash(&[value]), one, "{value:?}");
        }
        assert_ne!(hash(&[Value::Text("1")]), one);
    }

    #[test]
    fn a_negative_zero_equals_zero() {
        assert_eq!(hash(&[Value::Float64(-0.0)]), hash(&[Value::Float64(0.0)]));
        assert_eq!(hash(&[Value::Float32(-0.0)]), hash(&[Value::Float32(0.0)]));
        assert_ne!(hash(&[Value::Float64(-1.0)]), hash(&[Value::Float64(1.0)]));
    }

    #[test]
    fn null_empty_and_moved_text_differ() {
        let rows = [
            hash(&[Value::Null, Value::Null]),
            hash(&[Value::Text(""), Value::Null]),
            hash(&[Value::Null, Value::Text("")]),
            hash(&[Value::Text("ab"), Value::Text("c")]),
            hash(&[Value::Text("a"), Value::Text("bc")]),
        ];
        for (i, a) in rows.iter().enumerate() {
            assert!(rows[i + 1..].iter().all(|b| a != b), "row {i}");
        }
    }

    #[test]
    fn json_is_compared_by_content() {
        assert_eq!(
            hash(&[Value::Json(r#"{"b": [1, 2.50], "a": null}"#)]),
            hash(&[Value::Json(r#"{"a":null,"b":[1,2.5]}"#)])
        );
        assert_ne!(hash(&[Value::Json("[1,2]")]), hash(&[Value::Json("[2,1]")]));
    }

    #[test]
    fn an_instant_equals_its_wall_clock_in_utc() {
        let instant = Timestamp::Micros(123_456);
        assert_eq!(
            hash(&[Value::Timestamp(instant)]),
            hash(&[Value::TimestampTz(instant)])
        );
    }
}
