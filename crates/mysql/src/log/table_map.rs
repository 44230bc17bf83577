//! TABLE_MAP events: which table a number stands for in the rows that follow, and how its columns are packed.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/classmysql_1_1binlog_1_1event_1_1Table__map__event.html>

use whimbrel_core::Engine;

use super::codec::Packing;
use crate::wire::{Malformed, Reader};

/// Types as the log has them.
pub(super) mod logged {
    pub(crate) const TINY: u8 = 1;
    pub(crate) const SHORT: u8 = 2;
    pub(crate) const LONG: u8 = 3;
    pub(crate) const FLOAT: u8 = 4;
    pub(crate) const DOUBLE: u8 = 5;
    pub(crate) const TIMESTAMP: u8 = 7;
    pub(crate) const LONGLONG: u8 = 8;
    pub(crate) const INT24: u8 = 9;
    pub(crate) const DATE: u8 = 10;
    pub(crate) const TIME: u8 = 11;
    pub(crate) const DATETIME: u8 = 12;
    pub(crate) const YEAR: u8 = 13;
    pub(crate) const NEWDATE: u8 = 14;
    pub(crate) const VARCHAR: u8 = 15;
    pub(crate) const BIT: u8 = 16;
    pub(crate) const TIMESTAMP2: u8 = 17;
    pub(crate) const DATETIME2: u8 = 18;
    pub(crate) const TIME2: u8 = 19;
    pub(crate) const BLOB_COMPRESSED: u8 = 140;
    pub(crate) const VARCHAR_COMPRESSED: u8 = 141;
    pub(crate) const VECTOR: u8 = 242;
    pub(crate) const JSON: u8 = 245;
    pub(crate) const NEWDECIMAL: u8 = 246;
    pub(crate) const ENUM: u8 = 247;
    pub(crate) const SET: u8 = 248;
    pub(crate) const TINY_BLOB: u8 = 249;
    pub(crate) const BLOB: u8 = 252;
    pub(crate) const VAR_STRING: u8 = 253;
    pub(crate) const STRING: u8 = 254;
    pub(crate) const GEOMETRY: u8 = 255;
}

/// A column as the log announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LoggedColumn {
    /// The type; of ENUM and SET, which the log hides behind STRING, the real one.
    pub(super) kind: u8,
    /// Its measure: a length, digits, or bytes of a length, as the type has it.
    pub(super) meta: u16,
    /// When the server tells it.
    pub(super) unsigned: Option<bool>,
    /// The number of the collation, when the server tells it.
    pub(super) collation: Option<u32>,
    /// When the server tells it.
    pub(super) name: Option<String>,
}

impl LoggedColumn {
    /// The two bytes of the measure.
    pub(super) fn bytes(&self) -> [u8; 2] {
        self.meta.to_le_bytes()
    }

    /// Bytes of the length in front of a value.
    pub(super) fn prefix(&self) -> u8 {
        match self.kind {
            logged::STRING | logged::VARCHAR | logged::VAR_STRING | logged::VARCHAR_COMPRESSED => {
                if self.meta > 255 {
                    2
                } else {
                    1
                }
            }
            _ => self.bytes()[0].clamp(1, 4),
        }
    }

    pub(super) fn packing(&self) -> Packing {
        match self.kind {
            logged::BLOB_COMPRESSED | logged::VARCHAR_COMPRESSED => Packing::Compressed,
            _ => Packing::Plain,
        }
    }

    /// Whether values have exactly so many bytes, padding aside.
    pub(super) fn is_fixed(&self, bytes: u32) -> bool {
        self.kind == logged::STRING && u32::from(self.meta) == bytes
    }

    /// Whether values have up to so many bytes.
    pub(super) fn is_varying(&self, bytes: u32) -> bool {
        let meta = u32::from(self.meta);
        match self.kind {
            logged::VARCHAR | logged::VAR_STRING => meta == bytes,
            // One byte more tells how a value is packed.
            logged::VARCHAR_COMPRESSED => meta == bytes.saturating_add(1),
            _ => false,
        }
    }

    /// Whether this is a text or blob whose length has so many bytes.
    pub(super) fn is_blob(&self, prefix: u8) -> bool {
        matches!(self.kind, logged::BLOB | logged::BLOB_COMPRESSED)
            && self.meta == u16::from(prefix)
    }

    /// The type's name, for messages.
    pub(super) fn name(&self) -> String {
        let name = match self.kind {
            logged::TINY => "tinyint",
            logged::SHORT => "smallint",
            logged::INT24 => "mediumint",
            logged::LONG => "int",
            logged::LONGLONG => "bigint",
            logged::FLOAT => "float",
            logged::DOUBLE => "double",
            logged::NEWDECIMAL => {
                let [digits, scale] = self.bytes();
                return format!("decimal({digits},{scale})");
            }
            logged::DATE | logged::NEWDATE => "date",
            logged::TIME | logged::TIME2 => "time",
            logged::DATETIME | logged::DATETIME2 => "datetime",
            logged::TIMESTAMP | logged::TIMESTAMP2 => "timestamp",
            logged::YEAR => "year",
            logged::BIT => "bit",
            logged::JSON => "json",
            logged::ENUM => "an enum",
            logged::SET => "a set",
            logged::GEOMETRY => "a geometry",
            logged::VECTOR => "a vector",
            logged::TINY_BLOB..=logged::BLOB | logged::BLOB_COMPRESSED => "a text or blob",
            logged::STRING => return format!("a text or binary of {} bytes", self.meta),
            logged::VARCHAR | logged::VAR_STRING | logged::VARCHAR_COMPRESSED => {
                return format!("a text or binary of up to {} bytes", self.meta);
            }
            other => return format!("a column of type {other}"),
        };
        match self.unsigned {
            Some(true) => format!("{name} unsigned"),
            _ => name.to_owned(),
        }
    }

    fn is_numeric(&self) -> bool {
        matches!(
            self.kind,
            logged::TINY
                ..=logged::DOUBLE
                    | logged::LONGLONG
                    | logged::INT24
                    | logged::YEAR
                    | logged::NEWDECIMAL
        )
    }

    /// Whether the server tells the collation of such a column.
    fn is_character(&self, engine: Engine) -> bool {
        let is_blob = (logged::TINY_BLOB..=logged::BLOB).contains(&self.kind);
        let is_other = matches!(
            self.kind,
            logged::STRING
                | logged::VAR_STRING
                | logged::VARCHAR
                | logged::VECTOR
                | logged::BLOB_COMPRESSED
                | logged::VARCHAR_COMPRESSED
        );
        // To MariaDB a geometry is a blob, and so has a collation.
        let is_geometry = self.kind == logged::GEOMETRY && engine == Engine::MariaDb;
        is_blob || is_other || is_geometry
    }
}

/// A TABLE_MAP event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableMap<'a> {
    pub(super) id: u64,
    pub(super) schema: &'a [u8],
    pub(super) table: &'a [u8],
    /// The rest, from the count of columns on.
    rest: &'a [u8],
}

impl<'a> TableMap<'a> {
    /// Reads the names; the columns are read by [`Self::columns`], once for each table.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let id = table_id(&mut reader)?;
        reader.u16()?;
        let mut name = || -> Result<&'a [u8], Malformed> {
            let length = usize::from(reader.u8()?);
            let name = reader.bytes(length)?;
            reader.u8()?;
            Ok(name)
        };
        Ok(Self {
            id,
            schema: name()?,
            table: name()?,
            rest: reader.rest(),
        })
    }

    /// The columns.
    pub(super) fn columns(&self, engine: Engine) -> Result<Vec<LoggedColumn>, Malformed> {
        let mut reader = Reader::new(self.rest);
        let count = reader.length()?.ok_or(Malformed)?;
        let kinds = reader.bytes(count)?;
        let mut meta = Reader::new(reader.counted()?);
        let mut columns = Vec::with_capacity(count);
        for &kind in kinds {
            columns.push(column(kind, &mut meta)?);
        }
        reader.bytes(count.div_ceil(8))?;
        while !reader.is_empty() {
            let field = reader.u8()?;
            describe(&mut columns, engine, field, reader.counted()?)?;
        }
        Ok(columns)
    }
}

/// Numbers of tables have six bytes.
pub(super) fn table_id(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let mut wide = [0; 8];
    wide[..6].copy_from_slice(&reader.array::<6>()?);
    Ok(u64::from_le_bytes(wide))
}

fn column(kind: u8, meta: &mut Reader<'_>) -> Result<LoggedColumn, Malformed> {
    let (kind, meta) = match kind {
        logged::STRING => string(meta.array()?),
        logged::VARCHAR
        | logged::VAR_STRING
        | logged::VARCHAR_COMPRESSED
        | logged::BIT
        | logged::NEWDECIMAL
        | logged::ENUM
        | logged::SET => (kind, meta.u16()?),
        logged::FLOAT
        | logged::DOUBLE
        | logged::TIMESTAMP2
        | logged::DATETIME2
        | logged::TIME2
        | logged::BLOB_COMPRESSED
        | logged::VECTOR
        | logged::JSON
        | logged::TINY_BLOB..=logged::BLOB
        | logged::GEOMETRY => (kind, meta.u8()?.into()),
        _ => (kind, 0),
    };
    Ok(LoggedColumn {
        kind,
        meta,
        unsigned: None,
        collation: None,
        name: None,
    })
}

/// The real type and the length of a STRING. Of lengths beyond one byte, two bits lie turned over in the type's byte.
fn string([kind, length]: [u8; 2]) -> (u8, u16) {
    if kind & 0x30 == 0x30 {
        return (kind, length.into());
    }
    let high = u16::from((kind & 0x30) ^ 0x30) << 4;
    (kind | 0x30, high | u16::from(length))
}

/// A field of what servers tell beyond the types, when `binlog_row_metadata` has them.
fn describe(
    columns: &mut [LoggedColumn],
    engine: Engine,
    field: u8,
    value: &[u8],
) -> Result<(), Malformed> {
    const SIGNEDNESS: u8 = 1;
    const DEFAULT_CHARSET: u8 = 2;
    const COLUMN_CHARSET: u8 = 3;
    const COLUMN_NAME: u8 = 4;
    let mut reader = Reader::new(value);
    match field {
        SIGNEDNESS => {
            let numeric = columns.iter_mut().filter(|column| column.is_numeric());
            for (index, column) in numeric.enumerate() {
                let byte = value.get(index / 8).ok_or(Malformed)?;
                column.unsigned = Some(byte & (0x80 >> (index % 8)) != 0);
            }
        }
        DEFAULT_CHARSET => {
            let default = collation(&mut reader)?;
            let mut texts: Vec<&mut LoggedColumn> = columns
                .iter_mut()
                .filter(|column| column.is_character(engine))
                .collect();
            for column in &mut texts {
                column.collation = Some(default);
            }
            while !reader.is_empty() {
                let index = reader.length()?.ok_or(Malformed)?;
                let own = collation(&mut reader)?;
                texts.get_mut(index).ok_or(Malformed)?.collation = Some(own);
            }
        }
        COLUMN_CHARSET => {
            for column in columns
                .iter_mut()
                .filter(|column| column.is_character(engine))
            {
                column.collation = Some(collation(&mut reader)?);
            }
        }
        COLUMN_NAME => {
            for column in columns.iter_mut() {
                let name = reader.counted()?;
                column.name = Some(String::from_utf8_lossy(name).into_owned());
            }
        }
        // Labels, kinds of geometry, the key and visibility are the catalog's to tell.
        _ => return Ok(()),
    }
    // More than the columns need means that it was told of others than those taken for it. Bits are not taken here.
    if reader.is_empty() || field == SIGNEDNESS {
        Ok(())
    } else {
        Err(Malformed)
    }
}

fn collation(reader: &mut Reader<'_>) -> Result<u32, Malformed> {
    let id = reader.length()?.ok_or(Malformed)?;
    u32::try_from(id).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_beyond_a_byte_are_read_from_both() {
        assert_eq!(string([254, 40]), (logged::STRING, 40));
        assert_eq!(string([247, 1]), (logged::ENUM, 1));
        // 1020 bytes: 0x3FC.
        assert_eq!(string([0xFE ^ 0x30, 0xFC]), (logged::STRING, 1020));
    }

    #[test]
    fn columns_are_read_with_what_the_server_tells_of_them() {
        let body = [
            &[7, 0, 0, 0, 0, 0, 1, 0, 1, b's', 0, 1, b't', 0][..],
            &[3, logged::LONG, logged::VARCHAR, logged::NEWDECIMAL],
            &[4, 200, 0, 10, 2],
            &[0b111],
            &[1, 1, 0b1000_0000],
            &[2, 1, 45],
            &[4, 6, 1, b'a', 1, b'b', 1, b'c'],
        ]
        .concat();
        let map = TableMap::parse(&body).unwrap();
        assert_eq!((map.id, map.schema, map.table), (7, &b"s"[..], &b"t"[..]));
        let columns = map.columns(Engine::MySql).unwrap();
        assert_eq!(columns[0].unsigned, Some(true));
        assert_eq!(columns[2].unsigned, Some(false));
        assert_eq!((columns[1].meta, columns[1].collation), (200, Some(45)));
        assert_eq!(columns[2].bytes(), [10, 2]);
        assert_eq!(columns[1].name.as_deref(), Some("b"));
        for length in 0..body.len() {
            let cut = TableMap::parse(&body[..length]).and_then(|map| map.columns(Engine::MySql));
            // Behind the nullable bits each field may be missing.
            let is_border = [24, 27, 30].contains(&length);
            assert_eq!(cut.is_ok(), is_border, "{length}");
        }
    }
}
