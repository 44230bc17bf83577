//! The service's own names of types, which rules use.

use super::MappingError;
use super::node::Node;
use crate::ColumnType;

/// A type that a rule gives to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataType {
    /// Its name.
    pub name: TypeName,
    length: Option<u32>,
    precision: Option<u32>,
    scale: Option<u32>,
}

/// The service's types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the service's")]
pub enum TypeName {
    Bytes,
    Date,
    Time,
    Datetime,
    Int1,
    Int2,
    Int4,
    Int8,
    Numeric,
    Real4,
    Real8,
    String,
    Uint1,
    Uint2,
    Uint4,
    Uint8,
    Wstring,
    Blob,
    Nclob,
    Clob,
    Boolean,
    /// `set`, `list`, `map` and `tuple`, which wide-column stores alone have.
    Collection,
}

const NAMES: &[(&str, TypeName)] = &[
    ("bytes", TypeName::Bytes),
    ("date", TypeName::Date),
    ("time", TypeName::Time),
    ("datetime", TypeName::Datetime),
    ("int1", TypeName::Int1),
    ("int2", TypeName::Int2),
    ("int4", TypeName::Int4),
    ("int8", TypeName::Int8),
    ("numeric", TypeName::Numeric),
    ("real4", TypeName::Real4),
    ("real8", TypeName::Real8),
    ("string", TypeName::String),
    ("uint1", TypeName::Uint1),
    ("uint2", TypeName::Uint2),
    ("uint4", TypeName::Uint4),
    ("uint8", TypeName::Uint8),
    ("wstring", TypeName::Wstring),
    ("blob", TypeName::Blob),
    ("nclob", TypeName::Nclob),
    ("clob", TypeName::Clob),
    ("boolean", TypeName::Boolean),
    ("set", TypeName::Collection),
    ("list", TypeName::Collection),
    ("map", TypeName::Collection),
    ("tuple", TypeName::Collection),
];

/// The longest text and the most digits that a rule may ask for: more than any target has.
const LENGTH_MAX: u64 = i32::MAX.unsigned_abs() as u64;
const PRECISION_MAX: u64 = 1000;

/// The type's name as a locator or a rule writes it.
pub(super) fn read_name(name: &Node<'_>) -> Result<TypeName, MappingError> {
    name.word(NAMES)
}

impl DataType {
    pub(super) fn read(node: &Node<'_>) -> Result<Self, MappingError> {
        let node = node.clone().object("an object with the member type")?;
        let number = |member: &str, least, most| {
            let node = node.member(member);
            // Consoles write empty text for what they leave out.
            if node.optional_text().is_ok_and(|text| text == Some("")) {
                return Ok(None);
            }
            let number = node.optional_count(least, most)?;
            Ok::<_, MappingError>(number.and_then(|number| u32::try_from(number).ok()))
        };
        let name = read_name(&node.member("type"))?;
        let read = Self {
            name,
            length: number("length", 0, LENGTH_MAX)?,
            precision: number("precision", 0, PRECISION_MAX)?,
            scale: number("scale", 0, PRECISION_MAX)?,
        };
        match name {
            TypeName::Bytes | TypeName::String | TypeName::Wstring
                if read.length.is_none_or(|length| length == 0) =>
            {
                Err(node
                    .member("length")
                    .fault("the length of the type, at least 1"))
            }
            TypeName::Numeric if read.precision.is_none_or(|digits| digits == 0) => Err(node
                .member("precision")
                .fault("the count of digits of a numeric, at least 1")),
            TypeName::Numeric if read.scale > read.precision => Err(node
                .member("scale")
                .fault("no more digits behind the point than there are in all")),
            TypeName::Collection => Err(node.member("type").fault_saying(
                "set, list, map and tuple exist on wide-column stores alone.",
                "a type that relational targets have",
            )),
            _ => Ok(read),
        }
    }

    /// What a column of that type holds.
    pub fn column_type(&self) -> ColumnType {
        let int = |bits, unsigned| ColumnType::Int { bits, unsigned };
        // The service counts to seven digits of a second or more, engines to six.
        let precision = u8::try_from(self.scale.unwrap_or(6).min(6)).unwrap_or(6);
        match self.name {
            TypeName::Bytes => ColumnType::Varbinary {
                length: self.length.unwrap_or_default(),
            },
            TypeName::Date => ColumnType::Date,
            TypeName::Time => ColumnType::Time { precision },
            TypeName::Datetime => ColumnType::Timestamp { precision },
            TypeName::Int1 => int(8, false),
            TypeName::Int2 => int(16, false),
            TypeName::Int4 => int(32, false),
            TypeName::Int8 => int(64, false),
            TypeName::Uint1 => int(8, true),
            TypeName::Uint2 => int(16, true),
            TypeName::Uint4 => int(32, true),
            TypeName::Uint8 => int(64, true),
            TypeName::Numeric => ColumnType::Decimal {
                precision: self.precision.map(|precision| {
                    (
                        precision,
                        i32::try_from(self.scale.unwrap_or_default()).unwrap_or_default(),
                    )
                }),
                unsigned: false,
            },
            TypeName::Real4 => ColumnType::Float32,
            TypeName::Real8 => ColumnType::Float64,
            TypeName::String | TypeName::Wstring => ColumnType::Varchar {
                length: self.length,
            },
            TypeName::Blob => ColumnType::Blob { bytes_max: None },
            TypeName::Clob | TypeName::Nclob | TypeName::Collection => {
                ColumnType::Text { bytes_max: None }
            }
            TypeName::Boolean => ColumnType::Bool,
        }
    }
}

/// The bytes above which the service takes a type for a large object.
const INLINE_BYTES_MAX: u64 = 65_535;

/// Whether the service takes the type for a large object.
pub fn is_lob(ty: &ColumnType) -> bool {
    match ty {
        ColumnType::Text { bytes_max } | ColumnType::Blob { bytes_max } => {
            bytes_max.is_none_or(|bytes| bytes > INLINE_BYTES_MAX)
        }
        ColumnType::Json { .. } | ColumnType::Geometry { .. } => true,
        ColumnType::Native { kind } => {
            kind.ends_with("[]") || matches!(kind.as_str(), "citext" | "hstore" | "xml")
        }
        _ => false,
    }
}

/// The service's word for the type of such columns.
pub fn type_word(ty: &ColumnType) -> &'static str {
    let mut words = NAMES.iter();
    words
        .find(|(_, name)| name.is_of(ty))
        .map_or("string", |(word, _)| word)
}

impl TypeName {
    /// Whether it is the service's type for such columns. Text types are one: the source's characters are all Unicode.
    pub fn is_of(self, ty: &ColumnType) -> bool {
        let is_text = matches!(self, Self::String | Self::Wstring);
        match ty {
            ColumnType::Bool => self == Self::Boolean,
            ColumnType::Int { bits, unsigned } => {
                let (signed_name, unsigned_name) = match bits {
                    ..=8 => (Self::Int1, Self::Uint1),
                    9..=16 => (Self::Int2, Self::Uint2),
                    17..=32 => (Self::Int4, Self::Uint4),
                    _ => (Self::Int8, Self::Uint8),
                };
                self == if *unsigned {
                    unsigned_name
                } else {
                    signed_name
                }
            }
            ColumnType::Year => self == Self::Int2,
            ColumnType::Decimal { .. } => self == Self::Numeric,
            ColumnType::Float32 => self == Self::Real4,
            ColumnType::Float64 => self == Self::Real8,
            ColumnType::Date => self == Self::Date,
            ColumnType::Time { .. } => self == Self::Time,
            ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. } => self == Self::Datetime,
            ColumnType::Binary { .. } | ColumnType::Varbinary { .. } => self == Self::Bytes,
            ColumnType::Blob { .. } | ColumnType::Geometry { .. } => {
                if is_lob(ty) {
                    self == Self::Blob
                } else {
                    self == Self::Bytes
                }
            }
            _ if is_lob(ty) => matches!(self, Self::Clob | Self::Nclob),
            _ => is_text,
        }
    }
}
