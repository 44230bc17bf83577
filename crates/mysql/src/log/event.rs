//! Events of the binary log: their header and their kinds.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/page_protocol_replication_binlog_event.html>,
//! <https://mariadb.com/kb/en/replication-protocol/>

use crate::wire::{Malformed, Reader};

/// Bytes of the header of every event.
pub(super) const HEADER_BYTES: usize = 19;
/// Bytes of a checksum at the end of an event.
pub(super) const CHECKSUM_BYTES: usize = 4;
/// An event made up for us, which is not in the log's file.
pub(super) const FLAG_ARTIFICIAL: u16 = 0x20;
/// An event that a reader who does not know it may pass over.
const FLAG_IGNORABLE: u16 = 0x80;

/// What comes before the body of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Seconds since 1970.
    pub(super) seconds: u32,
    pub(super) kind: u8,
    /// The server that wrote it first.
    pub(super) server_id: u32,
    /// Of the whole event.
    pub(super) bytes: u32,
    /// Where the next event begins, its lower 32 bits; 0 for events that are not in the file.
    pub(super) next_offset: u32,
    pub(super) flags: u16,
}

impl Header {
    pub(super) fn parse(event: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(event);
        let seconds = reader.u32()?;
        let kind = reader.u8()?;
        let server_id = reader.u32()?;
        Ok(Self {
            seconds,
            kind,
            server_id,
            bytes: reader.u32()?,
            next_offset: reader.u32()?,
            flags: reader.u16()?,
        })
    }

    pub(super) fn is_artificial(&self) -> bool {
        self.flags & FLAG_ARTIFICIAL != 0
    }

    pub(super) fn is_ignorable(&self) -> bool {
        self.flags & FLAG_IGNORABLE != 0
    }
}

/// Numbers of the kinds of events.
pub(super) mod kind {
    pub(crate) const QUERY: u8 = 2;
    pub(crate) const STOP: u8 = 3;
    pub(crate) const ROTATE: u8 = 4;
    pub(crate) const INTVAR: u8 = 5;
    pub(crate) const APPEND_BLOCK: u8 = 9;
    pub(crate) const DELETE_FILE: u8 = 11;
    pub(crate) const RAND: u8 = 13;
    pub(crate) const USER_VAR: u8 = 14;
    pub(crate) const FORMAT_DESCRIPTION: u8 = 15;
    pub(crate) const XID: u8 = 16;
    pub(crate) const BEGIN_LOAD_QUERY: u8 = 17;
    pub(crate) const EXECUTE_LOAD_QUERY: u8 = 18;
    pub(crate) const TABLE_MAP: u8 = 19;
    pub(crate) const WRITE_ROWS_V1: u8 = 23;
    pub(crate) const UPDATE_ROWS_V1: u8 = 24;
    pub(crate) const DELETE_ROWS_V1: u8 = 25;
    pub(crate) const INCIDENT: u8 = 26;
    pub(crate) const HEARTBEAT: u8 = 27;
    pub(crate) const IGNORABLE: u8 = 28;
    pub(crate) const ROWS_QUERY: u8 = 29;
    pub(crate) const WRITE_ROWS: u8 = 30;
    pub(crate) const UPDATE_ROWS: u8 = 31;
    pub(crate) const DELETE_ROWS: u8 = 32;
    pub(crate) const GTID: u8 = 33;
    pub(crate) const ANONYMOUS_GTID: u8 = 34;
    pub(crate) const PREVIOUS_GTIDS: u8 = 35;
    pub(crate) const TRANSACTION_CONTEXT: u8 = 36;
    pub(crate) const VIEW_CHANGE: u8 = 37;
    pub(crate) const XA_PREPARE: u8 = 38;
    pub(crate) const PARTIAL_UPDATE_ROWS: u8 = 39;
    pub(crate) const TRANSACTION_PAYLOAD: u8 = 40;
    pub(crate) const HEARTBEAT_V2: u8 = 41;
    pub(crate) const GTID_TAGGED: u8 = 42;
    pub(crate) const MARIA_ANNOTATE: u8 = 160;
    pub(crate) const MARIA_CHECKPOINT: u8 = 161;
    pub(crate) const MARIA_GTID: u8 = 162;
    pub(crate) const MARIA_GTID_LIST: u8 = 163;
    pub(crate) const MARIA_START_ENCRYPTION: u8 = 164;
    pub(crate) const MARIA_QUERY_COMPRESSED: u8 = 165;
    pub(crate) const MARIA_WRITE_COMPRESSED_V1: u8 = 166;
    pub(crate) const MARIA_UPDATE_COMPRESSED_V1: u8 = 167;
    pub(crate) const MARIA_DELETE_COMPRESSED_V1: u8 = 168;
    pub(crate) const MARIA_WRITE_COMPRESSED: u8 = 169;
    pub(crate) const MARIA_UPDATE_COMPRESSED: u8 = 170;
    pub(crate) const MARIA_DELETE_COMPRESSED: u8 = 171;
}

/// What the rows of an event mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowsKind {
    Write,
    Update,
    Delete,
    /// An update whose JSON documents may be told as differences.
    PartialUpdate,
}

/// How the rows of an event are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowsForm {
    pub(super) kind: RowsKind,
    /// The head has a variable part.
    pub(super) has_extra: bool,
    pub(super) is_compressed: bool,
}

impl RowsForm {
    /// The form of a kind of event that holds rows.
    pub(super) fn of(kind: u8) -> Option<Self> {
        use RowsKind::{Delete, PartialUpdate, Update, Write};
        let (rows, has_extra, is_compressed) = match kind {
            kind::WRITE_ROWS_V1 => (Write, false, false),
            kind::UPDATE_ROWS_V1 => (Update, false, false),
            kind::DELETE_ROWS_V1 => (Delete, false, false),
            kind::WRITE_ROWS => (Write, true, false),
            kind::UPDATE_ROWS => (Update, true, false),
            kind::DELETE_ROWS => (Delete, true, false),
            kind::PARTIAL_UPDATE_ROWS => (PartialUpdate, true, false),
            kind::MARIA_WRITE_COMPRESSED_V1 => (Write, false, true),
            kind::MARIA_UPDATE_COMPRESSED_V1 => (Update, false, true),
            kind::MARIA_DELETE_COMPRESSED_V1 => (Delete, false, true),
            kind::MARIA_WRITE_COMPRESSED => (Write, true, true),
            kind::MARIA_UPDATE_COMPRESSED => (Update, true, true),
            kind::MARIA_DELETE_COMPRESSED => (Delete, true, true),
            _ => return None,
        };
        Some(Self {
            kind: rows,
            has_extra,
            is_compressed,
        })
    }
}

/// Whether the last four bytes of an event are the checksum of the others.
pub(super) fn has_valid_checksum(event: &[u8]) -> bool {
    event
        .split_last_chunk::<CHECKSUM_BYTES>()
        .is_some_and(|(bytes, checksum)| crc32fast::hash(bytes) == u32::from_le_bytes(*checksum))
}

/// What a FORMAT_DESCRIPTION event says of the events after it: whether they end in a checksum.
///
/// Its body: version (2 bytes), the server's version (50), a time (4), the length of headers (1), the lengths of the fixed
/// parts of each kind, then the algorithm of checksums (1: CRC32) and always a checksum of its own.
pub(super) fn describes_checksums(body_with_checksum: &[u8]) -> Result<bool, String> {
    const HEAD_BYTES: usize = 2 + 50 + 4 + 1;
    if body_with_checksum.len() < HEAD_BYTES + CHECKSUM_BYTES + 1 {
        return Err("a description of the log's format that is too short".to_owned());
    }
    let version = u16::from_le_bytes([body_with_checksum[0], body_with_checksum[1]]);
    let header_bytes = body_with_checksum[HEAD_BYTES - 1];
    if version != 4 || usize::from(header_bytes) != HEADER_BYTES {
        return Err(format!("a log of format {version}, not 4"));
    }
    match body_with_checksum[body_with_checksum.len() - CHECKSUM_BYTES - 1] {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(format!("checksums by an unknown algorithm ({other})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_cut_short_are_malformed() {
        let bytes = [
            1, 0, 0, 0, 30, 9, 0, 0, 0, 25, 0, 0, 0, 200, 0, 0, 0, 0x80, 0,
        ];
        let header = Header::parse(&bytes).unwrap();
        assert_eq!(
            (
                header.seconds,
                header.kind,
                header.bytes,
                header.next_offset
            ),
            (1, 30, 25, 200)
        );
        assert!(header.is_ignorable() && !header.is_artificial());
        assert!(Header::parse(&bytes[..18]).is_err());
    }

    #[test]
    fn checksums_are_told_from_other_bytes() {
        let mut event = b"some event".to_vec();
        let checksum = crc32fast::hash(&event);
        event.extend_from_slice(&checksum.to_le_bytes());
        assert!(has_valid_checksum(&event));
        event[0] ^= 1;
        assert!(!has_valid_checksum(&event) && !has_valid_checksum(b"abc"));
    }
}
