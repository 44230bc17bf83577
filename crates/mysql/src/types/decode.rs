//! Rows of the binary protocol as values.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/page_protocol_binary_resultset.html>

use whimbrel_core::{
    Bits, CivilDate, Column, ColumnType, Date, Decimal, MICROS_PER_DAY, MICROS_PER_SECOND, Time,
    Timestamp, Value,
};

use crate::wire::{Malformed, Reader, ResultColumn};

mod parts;

pub(crate) use parts::BinaryRow;

/// How the cells of one column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Int8,
    UInt8,
    Int16,
    UInt16,
    Int32,
    UInt32,
    Int64,
    UInt64,
    Float32,
    Float64,
    Decimal,
    Text,
    Bytes,
    Json,
    Uuid,
    Bits(u32),
    Date,
    Time,
    Timestamp,
    TimestampTz,
}

/// Reads the rows of one query.
#[derive(Clone, Debug)]
pub(crate) struct RowDecoder {
    cells: Vec<Cell>,
    has_shifted_bits: bool,
}

/// A cell that is not what its column promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadCell {
    /// Position in the row.
    pub(crate) column: usize,
    pub(crate) what: &'static str,
}

/// Bit strings whose bits had to be moved to the front of their bytes, in the order in which rows hold them.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShiftedBits {
    strings: Vec<[u8; 8]>,
}

impl RowDecoder {
    /// A decoder for the columns as the catalog described them and as the server now announces them.
    ///
    /// # Errors
    /// The name of the first column that is another than described.
    pub(crate) fn new<'a>(
        described: impl IntoIterator<Item = &'a Column>,
        announced: &[ResultColumn],
    ) -> Result<Self, String> {
        let described: Vec<&Column> = described.into_iter().collect();
        if described.len() != announced.len() {
            return Err(format!(
                "{} columns instead of {}",
                announced.len(),
                described.len()
            ));
        }
        let cells = described
            .iter()
            .zip(announced)
            .map(|(column, now)| cell(&column.ty, now).ok_or_else(|| column.name.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let has_shifted_bits = cells
            .iter()
            .any(|cell| matches!(cell, Cell::Bits(length) if !length.is_multiple_of(8)));
        Ok(Self {
            cells,
            has_shifted_bits,
        })
    }

    /// Moves the bits of all rows to where [`Bits`] wants them. Costs nothing for tables without odd bit columns.
    pub(crate) fn shift_bits<'r>(
        &self,
        rows: impl Iterator<Item = &'r [u8]>,
    ) -> Result<ShiftedBits, BadCell> {
        let mut shifted = ShiftedBits::default();
        if !self.has_shifted_bits {
            return Ok(shifted);
        }
        for row in rows {
            let mut reader =
                RowReader::new(row, self.cells.len()).map_err(|Malformed| BadCell {
                    column: 0,
                    what: CUT_SHORT,
                })?;
            for (column, cell) in self.cells.iter().enumerate() {
                if reader.is_null(column) {
                    continue;
                }
                let bad = |Malformed| BadCell {
                    column,
                    what: CUT_SHORT,
                };
                match cell {
                    Cell::Bits(length) if !length.is_multiple_of(8) => {
                        let bytes = reader.cells.counted().map_err(bad)?;
                        shifted.strings.push(shift(bytes, *length));
                    }
                    other => skip(*other, &mut reader.cells).map_err(bad)?,
                }
            }
        }
        Ok(shifted)
    }

    /// Appends the row's values.
    pub(crate) fn decode<'a>(
        &self,
        row: &'a [u8],
        shifted: &mut impl Iterator<Item = &'a [u8; 8]>,
        values: &mut Vec<Value<'a>>,
    ) -> Result<(), BadCell> {
        let mut reader = RowReader::new(row, self.cells.len()).map_err(|Malformed| BadCell {
            column: 0,
            what: CUT_SHORT,
        })?;
        for (column, &cell) in self.cells.iter().enumerate() {
            if reader.is_null(column) {
                values.push(Value::Null);
                continue;
            }
            // Where it is made: one that is returned is copied, which for most cells is more work than reading them.
            let take = |value| values.push(value);
            decode_cell_to(cell, &mut reader.cells, shifted, take)
                .map_err(|what| BadCell { column, what })?;
        }
        if reader.cells.is_empty() {
            Ok(())
        } else {
            Err(BadCell {
                column: self.cells.len().saturating_sub(1),
                what: "more bytes than the row's columns hold",
            })
        }
    }
}

impl RowDecoder {
    /// The cells of a row, of which some cannot be read: they are `NotSent`, and so are bit strings.
    pub(crate) fn readable<'a>(&self, row: &'a [u8]) -> Vec<Value<'a>> {
        let Ok(mut reader) = RowReader::new(row, self.cells.len()) else {
            return Vec::new();
        };
        let cells = self.cells.iter().enumerate();
        let values = cells.map(|(column, &cell)| {
            if reader.is_null(column) {
                return Value::Null;
            }
            let mut shifted = std::iter::empty();
            decode_cell(cell, &mut reader.cells, &mut shifted).unwrap_or(Value::NotSent)
        });
        values.collect()
    }
}

impl ShiftedBits {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8; 8]> {
        self.strings.iter()
    }
}

/// Of text that its character set does not allow.
pub(crate) const NOT_TEXT: &str = "bytes that are no text in the column's character set; correct them there, or have such rows left out, as DataErrorPolicy can say";

const CUT_SHORT: &str = "a row that ends too early";

/// The NULL bits and the cells of a row.
struct RowReader<'a> {
    nulls: &'a [u8],
    cells: Reader<'a>,
}

impl<'a> RowReader<'a> {
    fn new(row: &'a [u8], column_count: usize) -> Result<Self, Malformed> {
        let mut cells = Reader::new(row);
        if cells.u8()? != 0 {
            return Err(Malformed);
        }
        // The first two bits are not used in results.
        let nulls = cells.bytes((column_count + 2).div_ceil(8))?;
        Ok(Self { nulls, cells })
    }

    #[inline]
    fn is_null(&self, column: usize) -> bool {
        let bit = column + 2;
        self.nulls[bit / 8] & (1 << (bit % 8)) != 0
    }
}

/// Type bytes: <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/field__types_8h.html>.
mod kind {
    pub(super) const TINY: u8 = 1;
    pub(super) const SHORT: u8 = 2;
    pub(super) const LONG: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const DOUBLE: u8 = 5;
    pub(super) const TIMESTAMP: u8 = 7;
    pub(super) const LONGLONG: u8 = 8;
    pub(super) const INT24: u8 = 9;
    pub(super) const DATE: u8 = 10;
    pub(super) const TIME: u8 = 11;
    pub(super) const DATETIME: u8 = 12;
    pub(super) const YEAR: u8 = 13;
    pub(super) const NEWDATE: u8 = 14;
    pub(super) const VARCHAR: u8 = 15;
    pub(super) const BIT: u8 = 16;
    pub(super) const VECTOR: u8 = 242;
    pub(super) const JSON: u8 = 245;
    pub(super) const NEWDECIMAL: u8 = 246;
}

/// How to read the cells of a column, if the server still announces what the catalog described.
fn cell(ty: &ColumnType, now: &ResultColumn) -> Option<Cell> {
    let is_string = matches!(
        now.kind,
        kind::VARCHAR | kind::VECTOR | kind::JSON | 247..=255
    );
    let cell = match (ty, now.kind, now.is_unsigned) {
        (ColumnType::Int { bits, unsigned }, kind, now) if *unsigned == now => {
            match (bits, kind, unsigned) {
                (8, kind::TINY, false) => Cell::Int8,
                (8, kind::TINY, true) => Cell::UInt8,
                (16, kind::SHORT, false) => Cell::Int16,
                (16, kind::SHORT, true) => Cell::UInt16,
                (24, kind::INT24, false) | (32, kind::LONG, false) => Cell::Int32,
                (24, kind::INT24, true) | (32, kind::LONG, true) => Cell::UInt32,
                (64, kind::LONGLONG, false) => Cell::Int64,
                (64, kind::LONGLONG, true) => Cell::UInt64,
                _ => return None,
            }
        }
        (ColumnType::Year, kind::YEAR | kind::SHORT, _) => Cell::Int16,
        (ColumnType::Float32, kind::FLOAT, _) => Cell::Float32,
        (ColumnType::Float64, kind::DOUBLE, _) => Cell::Float64,
        (ColumnType::Decimal { .. }, kind::NEWDECIMAL, _) => Cell::Decimal,
        (
            ColumnType::Bit {
                length: Some(length),
                ..
            },
            kind::BIT,
            _,
        ) => Cell::Bits(*length),
        (ColumnType::Date, kind::DATE | kind::NEWDATE, _) => Cell::Date,
        (ColumnType::Time { .. }, kind::TIME, _) => Cell::Time,
        (ColumnType::Timestamp { .. }, kind::DATETIME, _) => Cell::Timestamp,
        (ColumnType::TimestampTz { .. }, kind::TIMESTAMP, _) => Cell::TimestampTz,
        (ColumnType::Json { .. }, _, _) if is_string => Cell::Json,
        (ColumnType::Uuid, _, _) if is_string => Cell::Uuid,
        (
            ColumnType::Binary { .. }
            | ColumnType::Varbinary { .. }
            | ColumnType::Blob { .. }
            | ColumnType::Geometry { .. },
            _,
            _,
        ) if is_string => Cell::Bytes,
        (
            ColumnType::Char { .. }
            | ColumnType::Varchar { .. }
            | ColumnType::Text { .. }
            | ColumnType::Enum { .. }
            | ColumnType::Set { .. }
            | ColumnType::Native { .. },
            _,
            _,
        ) if is_string => Cell::Text,
        _ => return None,
    };
    Some(cell)
}

fn skip(cell: Cell, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let length = match cell {
        Cell::Int8 | Cell::UInt8 => 1,
        Cell::Int16 | Cell::UInt16 => 2,
        Cell::Int32 | Cell::UInt32 | Cell::Float32 => 4,
        Cell::Int64 | Cell::UInt64 | Cell::Float64 => 8,
        Cell::Decimal
        | Cell::Text
        | Cell::Bytes
        | Cell::Json
        | Cell::Uuid
        | Cell::Bits(_)
        | Cell::Date
        | Cell::Time
        | Cell::Timestamp
        | Cell::TimestampTz => reader.length()?.ok_or(Malformed)?,
    };
    reader.bytes(length).map(|_| ())
}

fn decode_cell<'a>(
    cell: Cell,
    reader: &mut Reader<'a>,
    shifted: &mut impl Iterator<Item = &'a [u8; 8]>,
) -> Result<Value<'a>, &'static str> {
    decode_cell_to(cell, reader, shifted, |value| value)
}

#[inline]
fn decode_cell_to<'a, R>(
    cell: Cell,
    reader: &mut Reader<'a>,
    shifted: &mut impl Iterator<Item = &'a [u8; 8]>,
    take: impl FnOnce(Value<'a>) -> R,
) -> Result<R, &'static str> {
    Ok(match cell {
        Cell::Int8 => take(Value::Int(i8::from_le_bytes(fixed(reader)?).into())),
        Cell::UInt8 => take(Value::UInt(u8::from_le_bytes(fixed(reader)?).into())),
        Cell::Int16 => take(Value::Int(i16::from_le_bytes(fixed(reader)?).into())),
        Cell::UInt16 => take(Value::UInt(u16::from_le_bytes(fixed(reader)?).into())),
        Cell::Int32 => take(Value::Int(i32::from_le_bytes(fixed(reader)?).into())),
        Cell::UInt32 => take(Value::UInt(u32::from_le_bytes(fixed(reader)?).into())),
        Cell::Int64 => take(Value::Int(i64::from_le_bytes(fixed(reader)?))),
        Cell::UInt64 => take(Value::UInt(u64::from_le_bytes(fixed(reader)?))),
        Cell::Float32 => take(Value::Float32(f32::from_le_bytes(fixed(reader)?))),
        Cell::Float64 => take(Value::Float64(f64::from_le_bytes(fixed(reader)?))),
        Cell::Bytes => take(Value::Bytes(counted(reader)?)),
        Cell::Text => take(Value::Text(text(reader)?)),
        Cell::Json => take(Value::Json(text(reader)?)),
        Cell::Decimal => take(Value::Decimal(decimal(reader)?)),
        Cell::Uuid => take(Value::Uuid(uuid(text(reader)?)?)),
        Cell::Bits(length) => take(Value::Bits(
            bits(reader, length, shifted).map_err(cut_short)?,
        )),
        Cell::Date => take(Value::Date(timestamp(reader).map_err(cut_short)?.date())),
        Cell::Timestamp => take(Value::Timestamp(
            timestamp(reader).map_err(cut_short)?.timestamp(),
        )),
        Cell::TimestampTz => take(Value::TimestampTz(
            timestamp(reader).map_err(cut_short)?.timestamp(),
        )),
        Cell::Time => take(Value::Time(time(reader).map_err(cut_short)?)),
    })
}

fn cut_short(Malformed: Malformed) -> &'static str {
    CUT_SHORT
}

#[inline]
fn fixed<const N: usize>(reader: &mut Reader<'_>) -> Result<[u8; N], &'static str> {
    reader.array().map_err(cut_short)
}

#[inline]
fn counted<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], &'static str> {
    reader.counted().map_err(cut_short)
}

#[inline]
fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, &'static str> {
    std::str::from_utf8(counted(reader)?).map_err(|_| NOT_TEXT)
}

#[inline]
fn decimal<'a>(reader: &mut Reader<'a>) -> Result<Decimal<'a>, &'static str> {
    let bytes = counted(reader)?;
    if let Some(short) = Decimal::short(bytes) {
        return Ok(short);
    }
    let text = std::str::from_utf8(bytes).ok();
    text.and_then(|text| Decimal::from_text(text).ok())
        .ok_or("a decimal that is not one")
}

fn uuid(text: &str) -> Result<[u8; 16], &'static str> {
    const BAD: &str = "a UUID that is not one";
    let mut out = [0; 16];
    let mut digits = text
        .bytes()
        .filter(|&byte| byte != b'-')
        .map(|byte| char::from(byte).to_digit(16));
    for byte in &mut out {
        let (Some(Some(high)), Some(Some(low))) = (digits.next(), digits.next()) else {
            return Err(BAD);
        };
        *byte = u8::try_from(high << 4 | low).map_err(|_| BAD)?;
    }
    if digits.next().is_some() {
        Err(BAD)
    } else {
        Ok(out)
    }
}

fn bits<'a>(
    reader: &mut Reader<'a>,
    length: u32,
    shifted: &mut impl Iterator<Item = &'a [u8; 8]>,
) -> Result<Bits<'a>, Malformed> {
    let bytes = reader.counted()?;
    if length.is_multiple_of(8) {
        return Ok(Bits { bytes, length });
    }
    let moved = shifted.next().ok_or(Malformed)?;
    Ok(Bits {
        bytes: &moved[..length.div_ceil(8).min(8) as usize],
        length,
    })
}

/// The server sends a bit string as a number, its last bit lowest; ours begins at the highest bit of the first byte.
fn shift(bytes: &[u8], length: u32) -> [u8; 8] {
    let number = bytes
        .iter()
        .take(8)
        .fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
    (number << (64 - length.clamp(1, 64))).to_be_bytes()
}

/// A date and time in its parts; all zero when the server sent none.
#[derive(Clone, Copy, Default)]
struct Parts {
    year: u16,
    month: u8,
    day: u8,
    micros: i64,
}

impl Parts {
    fn days(self) -> Option<i32> {
        CivilDate {
            year: i32::from(self.year),
            month: self.month,
            day: self.day,
        }
        .to_days()
    }

    fn date(self) -> Date {
        let Self {
            year, month, day, ..
        } = self;
        self.days()
            .map_or(Date::Zero { year, month, day }, Date::Days)
    }

    fn timestamp(self) -> Timestamp {
        let Self {
            year,
            month,
            day,
            micros,
        } = self;
        match self.days() {
            Some(days) => Timestamp::Micros(i64::from(days) * MICROS_PER_DAY + micros),
            None => Timestamp::Zero {
                year,
                month,
                day,
                micros,
            },
        }
    }
}

/// 0, 4, 7 or 11 bytes: nothing for all zero, the date, with seconds, with microseconds.
fn timestamp(reader: &mut Reader<'_>) -> Result<Parts, Malformed> {
    let mut fields = Reader::new(reader.counted()?);
    let mut parts = Parts::default();
    if fields.is_empty() {
        return Ok(parts);
    }
    parts.year = fields.u16()?;
    parts.month = fields.u8()?;
    parts.day = fields.u8()?;
    if !fields.is_empty() {
        parts.micros = clock(&mut fields)?;
    }
    Ok(parts)
}

/// Hours, minutes and seconds, then microseconds if there are any.
fn clock(fields: &mut Reader<'_>) -> Result<i64, Malformed> {
    let [hours, minutes, seconds] = fields.array()?.map(i64::from);
    let micros = if fields.is_empty() {
        0
    } else {
        i64::from(fields.u32()?)
    };
    Ok((hours * 3600 + minutes * 60 + seconds) * MICROS_PER_SECOND + micros)
}

/// 0, 8 or 12 bytes: sign, days, hours, minutes, seconds, microseconds.
fn time(reader: &mut Reader<'_>) -> Result<Time, Malformed> {
    let mut fields = Reader::new(reader.counted()?);
    if fields.is_empty() {
        return Ok(Time { micros: 0 });
    }
    let is_negative = fields.u8()? != 0;
    let days = i64::from(fields.u32()?);
    let whole = days.checked_mul(MICROS_PER_DAY).ok_or(Malformed)?;
    let micros = whole.checked_add(clock(&mut fields)?).ok_or(Malformed)?;
    Ok(Time {
        micros: if is_negative { -micros } else { micros },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::Generation;

    fn decoder(types: &[(ColumnType, u8, bool)]) -> RowDecoder {
        let described: Vec<Column> = types
            .iter()
            .map(|(ty, ..)| Column {
                name: "c".to_owned(),
                ty: ty.clone(),
                native: String::new(),
                nullable: true,
                generation: Generation::None,
                id: None,
                default: None,
            })
            .collect();
        let announced: Vec<ResultColumn> = types
            .iter()
            .map(|&(_, kind, is_unsigned)| ResultColumn {
                name: "c".to_owned(),
                kind,
                is_unsigned,
            })
            .collect();
        RowDecoder::new(&described, &announced).unwrap()
    }

    #[test]
    fn odd_bit_strings_move_to_the_front_of_their_bytes() {
        assert_eq!(shift(&[0x01, 0x01], 9), [0x80, 0x80, 0, 0, 0, 0, 0, 0]);
        assert_eq!(shift(&[1], 1)[0], 0x80);
        let decoder = decoder(&[(
            ColumnType::Bit {
                length: Some(9),
                varying: false,
            },
            kind::BIT,
            true,
        )]);
        let row = [0, 0, 2, 1, 1];
        let shifted = decoder.shift_bits(std::iter::once(&row[..])).unwrap();
        let mut values = Vec::new();
        decoder
            .decode(&row, &mut shifted.iter(), &mut values)
            .unwrap();
        assert_eq!(
            values,
            [Value::Bits(Bits {
                bytes: &[0x80, 0x80],
                length: 9
            })]
        );
    }

    #[test]
    fn rows_cut_anywhere_are_errors() {
        let decoder = decoder(&[
            (
                ColumnType::Int {
                    bits: 32,
                    unsigned: false,
                },
                kind::LONG,
                false,
            ),
            (ColumnType::Text { bytes_max: None }, 252, false),
            (
                ColumnType::Timestamp { precision: 6 },
                kind::DATETIME,
                false,
            ),
        ]);
        let row = [0, 0, 1, 0, 0, 0, 2, b'h', b'i', 4, 0xE4, 0x07, 2, 29];
        let mut values = Vec::new();
        decoder
            .decode(&row, &mut std::iter::empty(), &mut values)
            .unwrap();
        assert_eq!(values[1], Value::Text("hi"));
        assert_eq!(
            values[2],
            Value::Timestamp(Timestamp::Micros(7364 * MICROS_PER_DAY))
        );
        for length in 0..row.len() {
            let cut = decoder.decode(&row[..length], &mut std::iter::empty(), &mut Vec::new());
            assert!(cut.is_err(), "{length}");
        }
        let long = [&row[..], &[0]].concat();
        assert!(
            decoder
                .decode(&long, &mut std::iter::empty(), &mut Vec::new())
                .is_err()
        );
    }

    #[test]
    fn a_duration_of_more_days_than_can_be_counted_is_malformed() {
        let read = |days: u32| {
            let cell = [&[12, 0], &days.to_le_bytes()[..], &[1, 2, 3, 4, 0, 0, 0]].concat();
            time(&mut Reader::new(&cell)).map(|time| time.micros)
        };
        assert_eq!(read(34), Ok(34 * MICROS_PER_DAY + 3_723_000_004));
        assert!(read(u32::MAX).is_err());
    }

    #[test]
    fn zero_dates_and_long_durations_are_kept() {
        let decoder = decoder(&[
            (ColumnType::Date, kind::DATE, false),
            (ColumnType::Date, kind::DATE, false),
            (ColumnType::Time { precision: 6 }, kind::TIME, false),
        ]);
        let row = [
            0, 0, 0, 4, 0xE4, 0x07, 0, 15, 12, 1, 34, 0, 0, 0, 22, 59, 59, 0x3F, 0x42, 0x0F, 0,
        ];
        let mut values = Vec::new();
        decoder
            .decode(&row, &mut std::iter::empty(), &mut values)
            .unwrap();
        assert_eq!(
            values,
            [
                Value::Date(Date::Zero {
                    year: 0,
                    month: 0,
                    day: 0
                }),
                Value::Date(Date::Zero {
                    year: 2020,
                    month: 0,
                    day: 15
                }),
                Value::Time(Time {
                    micros: -3_020_399_999_999
                }),
            ]
        );
    }
}
