//! Rows as the server sent them, and rows of text for the catalog.

use bytes::Bytes;

use super::WireError;
use super::packet::Reader;
use super::stream::{HEADER_BYTES, PART_BYTES_MAX, part_length};

/// First byte of the packet that ends a result.
pub(super) const END: u8 = 0xFE;
/// First byte of an error packet.
pub(super) const ERROR: u8 = 0xFF;

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResultColumn {
    pub(crate) name: String,
    /// Type byte: <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/field__types_8h.html>.
    pub(crate) kind: u8,
    pub(crate) is_unsigned: bool,
}

impl ResultColumn {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, WireError> {
        const UNSIGNED: u16 = 0x20;
        let mut reader = Reader::new(payload);
        // Catalog, schema, alias and name of the table.
        for _ in 0..4 {
            reader.counted()?;
        }
        let name = String::from_utf8_lossy(reader.counted()?).into_owned();
        // The column's own name, and the length of what follows.
        reader.counted()?;
        reader.u8()?;
        // Character set and display length.
        reader.bytes(6)?;
        let kind = reader.u8()?;
        let is_unsigned = reader.u16()? & UNSIGNED != 0;
        Ok(Self {
            name,
            kind,
            is_unsigned,
        })
    }
}

/// What lies at the front of some bytes of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Front {
    /// A row of one packet, that long with its header.
    Row(usize),
    /// A row too long for one packet.
    LongRow,
    /// The packet that ends the result, or an error packet.
    Last,
    /// Too little to tell; with its header, the packet has that many bytes.
    Unfinished(usize),
}

/// Looks at the packet at the front of `bytes`.
pub(super) fn front(bytes: &[u8]) -> Front {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Front::Unfinished(HEADER_BYTES);
    };
    let length = part_length(*header);
    let whole = HEADER_BYTES + length;
    let Some(&first) = bytes.get(HEADER_BYTES) else {
        return Front::Unfinished(whole.max(HEADER_BYTES + 1));
    };
    if length == PART_BYTES_MAX {
        return Front::LongRow;
    }
    if bytes.len() < whole {
        return Front::Unfinished(whole);
    }
    // Rows of the binary protocol begin with a zero, so both bytes are free to mean the end. A row of text may begin with
    // 0xFE only when its first cell has 16 MiB, and is then a long row.
    match first {
        END | ERROR => Front::Last,
        _ => Front::Row(whole),
    }
}

/// Rows in packets as the server sent them.
#[derive(Clone, Debug)]
pub(crate) enum RowPackets {
    /// Packets with their headers, each one row.
    Packets {
        /// The packets.
        bytes: Bytes,
        /// How many there are.
        row_count: usize,
    },
    /// The one row of several packets, joined and without headers.
    LongRow(Bytes),
}

impl RowPackets {
    pub(crate) fn row_count(&self) -> usize {
        match self {
            Self::Packets { row_count, .. } => *row_count,
            Self::LongRow(_) => 1,
        }
    }

    pub(crate) fn byte_count(&self) -> usize {
        match self {
            Self::Packets { bytes, .. } | Self::LongRow(bytes) => bytes.len(),
        }
    }

    /// The rows, without headers.
    pub(crate) fn iter(&self) -> RowIter<'_> {
        match self {
            Self::Packets { bytes, .. } => RowIter {
                packets: bytes,
                long: None,
            },
            Self::LongRow(bytes) => RowIter {
                packets: &[],
                long: Some(bytes),
            },
        }
    }
}

/// Goes through the rows of a block.
#[derive(Debug)]
pub(crate) struct RowIter<'a> {
    packets: &'a [u8],
    long: Option<&'a [u8]>,
}

impl<'a> Iterator for RowIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(long) = self.long.take() {
            return Some(long);
        }
        let (header, rest) = self.packets.split_first_chunk::<HEADER_BYTES>()?;
        let (row, rest) = rest.split_at_checked(part_length(*header))?;
        self.packets = rest;
        Some(row)
    }
}

/// A row of the text protocol, for small answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextRow(Vec<Option<String>>);

impl TextRow {
    pub(super) fn parse(payload: &[u8], column_count: usize) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        let mut cells = Vec::with_capacity(column_count);
        for _ in 0..column_count {
            let cell = reader.counted_or_null()?.map(|bytes| {
                String::from_utf8(bytes.to_vec())
                    .map_err(|_| WireError::protocol("text that is not UTF-8"))
            });
            cells.push(cell.transpose()?);
        }
        Ok(Self(cells))
    }

    /// The cell's text; `None` for NULL and for cells that are not there.
    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        self.0.get(index).and_then(Option::as_deref)
    }

    /// The cell's text, empty for NULL.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.get(index).unwrap_or_default()
    }

    /// The cell as a number, if it is one.
    pub(crate) fn number<T: std::str::FromStr>(&self, index: usize) -> Option<T> {
        self.get(index)?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(payload: &[u8]) -> Vec<u8> {
        let [a, b, c, ..] = payload.len().to_le_bytes();
        [&[a, b, c, 1][..], payload].concat()
    }

    #[test]
    fn the_front_of_a_result_is_told_apart() {
        assert_eq!(front(&packet(&[0, 1, 2])), Front::Row(7));
        assert_eq!(front(&packet(&[0, 1, 2])[..6]), Front::Unfinished(7));
        assert_eq!(front(&[]), Front::Unfinished(4));
        assert_eq!(front(&packet(&[0xFE, 0, 0])), Front::Last);
        assert_eq!(front(&packet(&[0xFF, 0, 0])), Front::Last);
        assert_eq!(front(&[0xFF, 0xFF, 0xFF, 1, 0]), Front::LongRow);
    }

    #[test]
    fn blocks_give_their_rows_back() {
        let bytes: Vec<u8> = [packet(b"one"), packet(b""), packet(b"three")].concat();
        let block = RowPackets::Packets {
            bytes: bytes.into(),
            row_count: 3,
        };
        assert_eq!(
            block.iter().collect::<Vec<_>>(),
            [&b"one"[..], b"", b"three"]
        );
        let long = RowPackets::LongRow(Bytes::from_static(b"long"));
        assert_eq!(long.iter().collect::<Vec<_>>(), [b"long"]);
        let cut = RowPackets::Packets {
            bytes: Bytes::from_static(&[9, 0, 0, 1, 2]),
            row_count: 1,
        };
        assert_eq!(cut.iter().count(), 0);
    }

    #[test]
    fn text_rows_keep_null_and_empty_apart() {
        let row = TextRow::parse(&[0xFB, 0, 2, b'4', b'2'], 3).unwrap();
        assert_eq!(
            (row.get(0), row.get(1), row.number::<u32>(2)),
            (None, Some(""), Some(42))
        );
        assert!(TextRow::parse(&[5, b'a'], 1).is_err());
        assert!(TextRow::parse(&[1, 0xC3], 1).is_err());
    }
}
