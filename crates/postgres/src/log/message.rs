//! The messages of `pgoutput` that tell changes, taken apart without copying. What a transaction that is sent before its commit adds to
//! them, its number behind the type, is taken off before ([`super::spool`]); the messages about such transactions are [`super::control`].
//! Formats: <https://www.postgresql.org/docs/18/protocol-logicalrep-message-formats.html>.

use super::control::{self, Ending};
use super::place::Lsn;

/// Why bytes are no message.
pub(super) type Malformed = &'static str;

const CUT: Malformed = "it ends too early";

/// One message. Offsets count from its first byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Begin {
        /// Where the commit record begins.
        commit: Lsn,
        /// By the server's clock, in microseconds since 2000.
        committed_at_us: i64,
        transaction: u32,
    },
    Commit(Ending),
    Relation(RelationMessage),
    Insert {
        relation: u32,
        new: TupleAt,
    },
    Update {
        relation: u32,
        old: Option<OldTuple>,
        new: TupleAt,
    },
    Delete {
        relation: u32,
        old: OldTuple,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Written by `pg_logical_emit_message`.
    Logical {
        prefix: String,
        /// Where its content is.
        content: std::ops::Range<usize>,
    },
    /// What tells nothing about rows: origins and names of types.
    Other,
}

impl Message {
    /// Whether a transaction that has it is not empty: servers send it with all of its changes, whatever the form of the stream.
    pub(super) fn is_change(&self) -> bool {
        match self {
            Self::Insert { .. }
            | Self::Update { .. }
            | Self::Delete { .. }
            | Self::Truncate { .. }
            | Self::Logical { .. } => true,
            Self::Begin { .. } | Self::Commit(_) | Self::Relation(_) | Self::Other => false,
        }
    }
}

/// A table as it was at this point of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelationMessage {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) name: String,
    /// Replica identity as the catalog has it: `d`, `f`, `i` or `n`.
    pub(super) identity: u8,
    pub(super) columns: Vec<RelationColumn>,
}

/// A column whose values are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelationColumn {
    pub(super) is_key: bool,
    pub(super) name: String,
    pub(super) type_oid: u32,
    pub(super) type_modifier: i32,
}

/// A row version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TupleAt {
    pub(super) offset: usize,
    pub(super) column_count: u16,
    /// Whether no column is left out as unchanged.
    pub(super) is_whole: bool,
}

/// The row version before a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OldTuple {
    pub(super) tuple: TupleAt,
    /// Only the columns of the replica identity have values; the others are sent as NULL, whatever they held.
    pub(super) is_key: bool,
}

impl Message {
    /// Takes a whole message apart.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.byte()? {
            b'B' => begin(&mut reader)?,
            b'C' => commit(&mut reader)?,
            b'R' => Self::Relation(relation(&mut reader)?),
            b'I' => insert(&mut reader)?,
            b'U' => update(&mut reader)?,
            b'D' => delete(&mut reader)?,
            b'T' => truncate(&mut reader)?,
            // Their formats differ in what nobody here needs.
            b'M' => logical(&mut reader)?,
            b'O' | b'Y' => return Ok(Self::Other),
            _ => return Err("this type of message is not known"),
        };
        reader.end()?;
        Ok(message)
    }
}

fn begin(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let commit = Lsn(reader.u64()?);
    let committed_at_us = reader.u64()?.cast_signed();
    let transaction = reader.u32()?;
    Ok(Message::Begin {
        commit,
        committed_at_us,
        transaction,
    })
}

fn commit(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    // Flags of which none is in use.
    reader.skip(1)?;
    control::ending(reader).map(Message::Commit)
}

fn relation(reader: &mut Reader<'_>) -> Result<RelationMessage, Malformed> {
    let id = reader.u32()?;
    let schema = match reader.text()? {
        // So the protocol shortens it.
        "" => "pg_catalog",
        schema => schema,
    };
    let schema = schema.to_owned();
    let name = reader.text()?.to_owned();
    let identity = reader.byte()?;
    let count = reader.u16()?;
    let mut columns = Vec::with_capacity(usize::from(count).min(1_600));
    for _ in 0..count {
        columns.push(RelationColumn {
            is_key: reader.byte()? & 1 != 0,
            name: reader.text()?.to_owned(),
            type_oid: reader.u32()?,
            type_modifier: reader.u32()?.cast_signed(),
        });
    }
    Ok(RelationMessage {
        id,
        schema,
        name,
        identity,
        columns,
    })
}

fn insert(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let relation = reader.u32()?;
    reader.expect(b'N')?;
    let new = reader.tuple()?;
    if !new.is_whole {
        return Err("a new row lacks values");
    }
    Ok(Message::Insert { relation, new })
}

fn update(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let relation = reader.u32()?;
    let old = match reader.byte()? {
        b'N' => None,
        kind => {
            let old = old_tuple(reader, kind)?;
            reader.expect(b'N')?;
            Some(old)
        }
    };
    let new = reader.tuple()?;
    Ok(Message::Update { relation, old, new })
}

fn delete(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let relation = reader.u32()?;
    let kind = reader.byte()?;
    let old = old_tuple(reader, kind)?;
    Ok(Message::Delete { relation, old })
}

fn old_tuple(reader: &mut Reader<'_>, kind: u8) -> Result<OldTuple, Malformed> {
    let is_key = match kind {
        b'K' => true,
        b'O' => false,
        _ => return Err("this kind of row version is not known"),
    };
    Ok(OldTuple {
        tuple: reader.tuple()?,
        is_key,
    })
}

fn truncate(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    let count = reader.u32()?;
    // CASCADE and RESTART IDENTITY: the tables that CASCADE reached are listed themselves.
    reader.skip(1)?;
    let relations = (0..count).map(|_| reader.u32());
    Ok(Message::Truncate {
        relations: relations.collect::<Result<_, _>>()?,
    })
}

fn logical(reader: &mut Reader<'_>) -> Result<Message, Malformed> {
    // Whether it belongs to a transaction, and where it begins.
    reader.skip(1 + 8)?;
    let prefix = reader.text()?.to_owned();
    let length = reader.u32()? as usize;
    let start = reader.at;
    reader.skip(length)?;
    Ok(Message::Logical {
        prefix,
        content: start..reader.at,
    })
}

/// Walks over the bytes of a message.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn is_more(&self) -> bool {
        self.at < self.bytes.len()
    }

    pub(super) fn end(&self) -> Result<(), Malformed> {
        if self.is_more() {
            return Err("it goes on after its end");
        }
        Ok(())
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], Malformed> {
        let rest = self.bytes.get(self.at..).ok_or(CUT)?;
        let chunk = rest.first_chunk::<N>().ok_or(CUT)?;
        self.at += N;
        Ok(chunk)
    }

    pub(super) fn skip(&mut self, count: usize) -> Result<(), Malformed> {
        let at = self.at.checked_add(count).ok_or(CUT)?;
        if at > self.bytes.len() {
            return Err(CUT);
        }
        self.at = at;
        Ok(())
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        self.chunk::<1>().map(|[byte]| *byte)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.chunk().map(|bytes| u16::from_be_bytes(*bytes))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Malformed> {
        self.chunk().map(|bytes| u64::from_be_bytes(*bytes))
    }

    fn expect(&mut self, expected: u8) -> Result<(), Malformed> {
        if self.byte()? == expected {
            Ok(())
        } else {
            Err("this kind of row version is not known")
        }
    }

    /// Text up to a NUL.
    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let rest = self.bytes.get(self.at..).ok_or(CUT)?;
        let end = memchr::memchr(0, rest).ok_or(CUT)?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| "a name that is not valid UTF-8")
    }

    /// Steps over a row version, checking its lengths.
    fn tuple(&mut self) -> Result<TupleAt, Malformed> {
        let offset = self.at;
        let column_count = self.u16()?;
        let mut is_whole = true;
        for _ in 0..column_count {
            match self.byte()? {
                b'b' | b't' => {
                    let length = self.u32()? as usize;
                    self.skip(length)?;
                }
                b'n' => {}
                b'u' => is_whole = false,
                _ => return Err("this kind of column is not known"),
            }
        }
        Ok(TupleAt {
            offset,
            column_count,
            is_whole,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn relation_bytes() -> Vec<u8> {
        let mut bytes = b"R\0\0\0\x07public\0t\0d\0\x02\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF".to_vec();
        bytes.extend_from_slice(b"\0name\0\0\0\x04\x13\0\0\0\x09");
        bytes
    }

    /// One of each type, as a server sends it.
    fn samples() -> Vec<Vec<u8>> {
        let begin = [b"B".as_slice(), &[0; 7], &[9], &[0; 8], &[0, 0, 1, 2]].concat();
        let commit = [b"C\0".as_slice(), &[0; 8], &[0; 7], &[12], &[0; 7], &[3]].concat();
        vec![
            begin,
            commit,
            relation_bytes(),
            b"I\0\0\0\x07N\0\x02b\0\0\0\x01xn".to_vec(),
            b"U\0\0\0\x07K\0\x02b\0\0\0\x01xnN\0\x02b\0\0\0\x01yu".to_vec(),
            b"U\0\0\0\x07N\0\x01t\0\0\0\x02ab".to_vec(),
            b"D\0\0\0\x07O\0\x01n".to_vec(),
            b"T\0\0\0\x02\x03\0\0\0\x07\0\0\0\x08".to_vec(),
            b"M\x01\0\0\0\0\0\0\0\x09us\0\0\0\0\x02{}".to_vec(),
            b"Oxx".to_vec(),
        ]
    }

    #[test]
    fn every_type_of_message_is_taken_apart() {
        let parsed: Vec<Message> = samples()
            .iter()
            .map(|bytes| Message::parse(bytes).unwrap())
            .collect();
        let tuple = |offset, column_count, is_whole| TupleAt {
            offset,
            column_count,
            is_whole,
        };
        let Message::Relation(relation) = &parsed[2] else {
            panic!("{:?}", parsed[2]);
        };
        assert_eq!((relation.id, relation.identity), (7, b'd'));
        assert_eq!(
            (relation.schema.as_str(), relation.name.as_str()),
            ("public", "t")
        );
        assert!(relation.columns[0].is_key && !relation.columns[1].is_key);
        assert_eq!(relation.columns[0].type_modifier, -1);
        assert_eq!(relation.columns[1].type_oid, 1043);
        let old = OldTuple {
            tuple: tuple(6, 2, true),
            is_key: true,
        };
        let expected = [
            Message::Begin {
                commit: Lsn(9),
                committed_at_us: 0,
                transaction: 0x102,
            },
            Message::Commit(Ending {
                commit: Lsn(0),
                end: Lsn(12),
                committed_at_us: 3,
            }),
            Message::Relation(relation.clone()),
            Message::Insert {
                relation: 7,
                new: tuple(6, 2, true),
            },
            Message::Update {
                relation: 7,
                old: Some(old),
                new: tuple(16, 2, false),
            },
            Message::Update {
                relation: 7,
                old: None,
                new: tuple(6, 1, true),
            },
            Message::Delete {
                relation: 7,
                old: OldTuple {
                    tuple: tuple(6, 1, true),
                    is_key: false,
                },
            },
            Message::Truncate {
                relations: vec![7, 8],
            },
            Message::Logical {
                prefix: "us".to_owned(),
                content: 17..19,
            },
            Message::Other,
        ];
        assert_eq!(parsed, expected);
    }

    #[test]
    fn no_beginning_of_a_message_is_a_message() {
        for bytes in samples().iter().take(9) {
            for length in 0..bytes.len() {
                assert!(
                    Message::parse(&bytes[..length]).is_err(),
                    "{bytes:?} {length}"
                );
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(Message::parse(&longer).is_err(), "{bytes:?}");
        }
        assert!(Message::parse(b"S\0\0\0\0").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(kind in prop::sample::select(b"BCRIUDTOYMxS".to_vec()), rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = [&[kind][..], &rest].concat();
            if let Ok(Message::Insert { new, .. }) = Message::parse(&bytes) {
                prop_assert!(new.offset < bytes.len());
            }
        }

        #[test]
        fn a_broken_byte_never_panics(sample in 0..9_usize, place in 0..200_usize, byte: u8) {
            let mut bytes = samples().swap_remove(sample);
            let place = place % bytes.len();
            bytes[place] = byte;
            drop(Message::parse(&bytes));
        }
    }
}
