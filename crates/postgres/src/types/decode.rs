use whimbrel_core::{
    Bits, ColumnType, Date, Decimal, DecimalDigits, Interval, MICROS_PER_SECOND, Time, Timestamp,
    Value,
};

/// Of text that is not UTF-8: a database in `SQL_ASCII` takes any bytes, and its server cannot convert them.
pub(crate) const NOT_TEXT: &str = "bytes that are no text in UTF-8, which a database in SQL_ASCII may hold; correct them there, as convert_from does, or have such rows left out, as DataErrorPolicy can say";

/// Reads one cell of `COPY BINARY`. The error says what is wrong with its bytes.
///
/// Columns of [`ColumnType::Native`] and enums must come as text (the reader casts the former).
pub(crate) fn decode_cell<'a>(ty: &ColumnType, bytes: &'a [u8]) -> Result<Value<'a>, &'static str> {
    decode_cell_to(ty, bytes, |value| value)
}

/// As [`decode_cell`], and hands the value over where it is made: one that is returned is copied, which for most cells is more work than reading
/// them.
#[inline]
pub(crate) fn decode_cell_to<'a, R>(
    ty: &ColumnType,
    bytes: &'a [u8],
    take: impl FnOnce(Value<'a>) -> R,
) -> Result<R, &'static str> {
    Ok(match ty {
        ColumnType::Bool => take(Value::Bool(fixed::<1>(bytes)? != [0])),
        ColumnType::Int {
            bits: 16,
            unsigned: false,
        } => take(Value::Int(i16::from_be_bytes(fixed(bytes)?).into())),
        ColumnType::Int {
            bits: 32,
            unsigned: false,
        } => take(Value::Int(i32::from_be_bytes(fixed(bytes)?).into())),
        ColumnType::Int {
            bits: 64,
            unsigned: false,
        } => take(Value::Int(i64::from_be_bytes(fixed(bytes)?))),
        ColumnType::Int {
            bits: 32,
            unsigned: true,
        } => take(Value::UInt(u32::from_be_bytes(fixed(bytes)?).into())),
        ColumnType::Decimal { .. } => take(Value::Decimal(decimal(bytes)?)),
        ColumnType::Float32 => take(Value::Float32(f32::from_be_bytes(fixed(bytes)?))),
        ColumnType::Float64 => take(Value::Float64(f64::from_be_bytes(fixed(bytes)?))),
        ColumnType::Char { .. }
        | ColumnType::Varchar { .. }
        | ColumnType::Text { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Native { .. } => take(Value::Text(text(bytes)?)),
        ColumnType::Blob { .. } => take(Value::Bytes(bytes)),
        ColumnType::Bit { .. } => take(bits(bytes)?),
        ColumnType::Date => take(Value::Date(match i32::from_be_bytes(fixed(bytes)?) {
            i32::MIN => Date::NegInfinity,
            i32::MAX => Date::Infinity,
            days => Date::Days(days),
        })),
        ColumnType::Time { .. } => take(Value::Time(Time {
            micros: i64::from_be_bytes(fixed(bytes)?),
        })),
        ColumnType::TimeTz { .. } => take(time_with_zone(bytes)?),
        ColumnType::Timestamp { .. } => take(Value::Timestamp(timestamp(bytes)?)),
        ColumnType::TimestampTz { .. } => take(Value::TimestampTz(timestamp(bytes)?)),
        ColumnType::Interval => take(interval(bytes)?),
        ColumnType::Json { binary: false } => take(Value::Json(text(bytes)?)),
        ColumnType::Json { binary: true } => match bytes.split_first() {
            Some((1, document)) => take(Value::Json(text(document)?)),
            _ => return Err("unknown version of jsonb"),
        },
        ColumnType::Uuid => take(Value::Uuid(fixed(bytes)?)),
        ColumnType::Int { .. }
        | ColumnType::Binary { .. }
        | ColumnType::Varbinary { .. }
        | ColumnType::Year
        | ColumnType::Set { .. }
        | ColumnType::Geometry { .. } => return Err("not a type of PostgreSQL"),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], &'static str> {
    bytes.try_into().map_err(|_| "wrong length")
}

fn text(bytes: &[u8]) -> Result<&str, &'static str> {
    std::str::from_utf8(bytes).map_err(|_| NOT_TEXT)
}

fn timestamp(bytes: &[u8]) -> Result<Timestamp, &'static str> {
    Ok(match i64::from_be_bytes(fixed(bytes)?) {
        i64::MIN => Timestamp::NegInfinity,
        i64::MAX => Timestamp::Infinity,
        micros => Timestamp::Micros(micros),
    })
}

fn time_with_zone(bytes: &[u8]) -> Result<Value<'_>, &'static str> {
    let (micros, west) = bytes.split_first_chunk::<8>().ok_or("too short")?;
    let micros = i64::from_be_bytes(*micros);
    let east = i32::from_be_bytes(fixed(west)?)
        .checked_neg()
        .ok_or("zone out of range")?;
    Ok(Value::TimeTz(Time { micros }, east))
}

fn interval(bytes: &[u8]) -> Result<Value<'_>, &'static str> {
    let (micros, rest) = bytes.split_first_chunk::<8>().ok_or("too short")?;
    let (days, months) = rest.split_first_chunk::<4>().ok_or("too short")?;
    Ok(Value::Interval(Interval {
        micros: i64::from_be_bytes(*micros),
        days: i32::from_be_bytes(*days),
        months: i32::from_be_bytes(fixed(months)?),
    }))
}

fn bits(bytes: &[u8]) -> Result<Value<'_>, &'static str> {
    let (length, bytes) = bytes.split_first_chunk::<4>().ok_or("too short")?;
    let length = u32::try_from(i32::from_be_bytes(*length)).map_err(|_| "negative length")?;
    if bytes.len() != (length as usize).div_ceil(8) {
        return Err("wrong length");
    }
    Ok(Value::Bits(Bits { bytes, length }))
}

/// Group count, weight, sign, scale, groups: 16 bits each. `numeric_send` in `numeric.c`.
fn decimal(bytes: &[u8]) -> Result<Decimal<'_>, &'static str> {
    let (header, groups) = bytes.split_first_chunk::<8>().ok_or("too short")?;
    let field = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if groups.len() != usize::from(field(0)) * 2 {
        return Err("wrong length");
    }
    let negative = match field(4) {
        0x0000 => false,
        0x4000 => true,
        0xC000 => return Ok(Decimal::NaN),
        0xD000 => return Ok(Decimal::Infinity),
        0xF000 => return Ok(Decimal::NegInfinity),
        _ => return Err("unknown sign"),
    };
    let digits = DecimalDigits {
        negative,
        weight: i16::from_be_bytes([header[2], header[3]]),
        scale: field(6),
        groups,
    };
    Ok(Decimal::Groups(digits))
}

/// The longest time of day that PostgreSQL holds, 24:00.
pub(super) const TIME_MICROS_MAX: i64 = 86_400 * MICROS_PER_SECOND;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_do_not_fit_are_errors() {
        let types = [
            ColumnType::Bool,
            ColumnType::Int {
                bits: 64,
                unsigned: false,
            },
            ColumnType::Decimal {
                precision: None,
                unsigned: false,
            },
            ColumnType::Date,
            ColumnType::TimeTz { precision: 6 },
            ColumnType::Interval,
            ColumnType::Json { binary: true },
            ColumnType::Uuid,
            ColumnType::Bit {
                length: None,
                varying: true,
            },
        ];
        for ty in types {
            for length in [0, 2, 3, 7, 11] {
                assert!(
                    decode_cell(&ty, &vec![0xEE; length]).is_err(),
                    "{ty:?} {length}"
                );
            }
        }
    }
}
