//! PostgreSQL's types: what columns mean, how cells are read from and written to `COPY`'s binary and text formats.
//!
//! Binary forms are those of the servers' send and receive functions (`src/backend/utils/adt` of PostgreSQL 15 to 18).

mod bounds;
mod decode;
mod encode;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod limit;
mod mapping;
mod text;
mod wire_type;

pub(crate) use bounds::bounds;
pub(crate) use decode::{NOT_TEXT, decode_cell, decode_cell_to};
pub(crate) use encode::{
    JSONB_VERSION, Refused, TOO_LARGE, check_plain, encode_binary, encode_text,
    encode_text_parameter, escape, plain,
};
pub(crate) use limit::{Limit, TOO_LONG};
pub(crate) use mapping::{native_type, notes, refusal};
pub(crate) use text::{decode_text, scratch_bytes};
pub(crate) use wire_type::WireType;

use whimbrel_core::ColumnType;

/// What the catalog says of a column's type, with domains followed to their base.
#[derive(Clone, Debug)]
pub(crate) struct CatalogType<'a> {
    pub(crate) oid: u32,
    pub(crate) modifier: i32,
    /// `format_type` without modifiers.
    pub(crate) name: &'a str,
    /// Labels if it is an enum.
    pub(crate) labels: Option<Vec<String>>,
}

impl CatalogType<'_> {
    /// The type in the terms that engines share. OIDs of built-in types never change:
    /// <https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_type.dat>.
    pub(crate) fn column_type(self) -> ColumnType {
        let length = || u32::try_from(self.modifier.checked_sub(4)?).ok();
        let precision = || {
            u8::try_from(self.modifier)
                .ok()
                .filter(|&digits| digits <= 6)
                .unwrap_or(6)
        };
        match self.oid {
            16 => ColumnType::Bool,
            17 => ColumnType::Blob { bytes_max: None },
            20 => ColumnType::Int {
                bits: 64,
                unsigned: false,
            },
            21 => ColumnType::Int {
                bits: 16,
                unsigned: false,
            },
            23 => ColumnType::Int {
                bits: 32,
                unsigned: false,
            },
            25 => ColumnType::Text { bytes_max: None },
            26 => ColumnType::Int {
                bits: 32,
                unsigned: true,
            },
            114 => ColumnType::Json { binary: false },
            700 => ColumnType::Float32,
            701 => ColumnType::Float64,
            1042 => length().map_or(ColumnType::Text { bytes_max: None }, |length| {
                ColumnType::Char { length }
            }),
            1043 => ColumnType::Varchar { length: length() },
            1082 => ColumnType::Date,
            1083 => ColumnType::Time {
                precision: precision(),
            },
            1114 => ColumnType::Timestamp {
                precision: precision(),
            },
            1184 => ColumnType::TimestampTz {
                precision: precision(),
            },
            1186 => ColumnType::Interval,
            1266 => ColumnType::TimeTz {
                precision: precision(),
            },
            1560 => ColumnType::Bit {
                length: u32::try_from(self.modifier).ok(),
                varying: false,
            },
            1562 => ColumnType::Bit {
                length: u32::try_from(self.modifier).ok(),
                varying: true,
            },
            1700 => ColumnType::Decimal {
                precision: numeric_precision(self.modifier),
                unsigned: false,
            },
            2950 => ColumnType::Uuid,
            3802 => ColumnType::Json { binary: true },
            _ => match self.labels {
                Some(labels) => ColumnType::Enum { labels },
                None => ColumnType::Native {
                    kind: self.name.to_owned(),
                },
            },
        }
    }
}

/// The modifier of `numeric(p,s)` holds the precision in its upper half and the scale, signed, in the low 11 bits.
fn numeric_precision(modifier: i32) -> Option<(u32, i32)> {
    let packed = u32::try_from(modifier.checked_sub(4)?).ok()?;
    let scale = i32::try_from(packed & 0x7FF).ok()?;
    Some((packed >> 16, (scale ^ 1024) - 1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(modifier: i32) -> ColumnType {
        CatalogType {
            oid: 1700,
            modifier,
            name: "numeric",
            labels: None,
        }
        .column_type()
    }

    #[test]
    fn a_modifier_that_is_none_limits_nothing() {
        let told = |oid| CatalogType {
            oid,
            modifier: i32::MIN,
            name: "any",
            labels: None,
        };
        let varchar = ColumnType::Varchar { length: None };
        assert_eq!(told(1043).column_type(), varchar);
        assert_eq!(
            told(1042).column_type(),
            ColumnType::Text { bytes_max: None }
        );
    }

    #[test]
    fn numeric_modifiers_hold_precision_and_signed_scale() {
        let decimal = |precision| ColumnType::Decimal {
            precision,
            unsigned: false,
        };
        assert_eq!(numeric(-1), decimal(None));
        assert_eq!(numeric(i32::MIN), decimal(None));
        assert_eq!(numeric((12 << 16 | 2) + 4), decimal(Some((12, 2))));
        assert_eq!(
            numeric((3 << 16 | (0x7FF & -2_i32)) + 4),
            decimal(Some((3, -2)))
        );
    }
}
