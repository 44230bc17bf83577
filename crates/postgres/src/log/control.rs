//! The messages of `pgoutput` that say what becomes of transactions which are sent before they are committed: protocol 2 (in progress),
//! 3 (prepared) and 4 (the place and time of an abort, which only a server that streams in parallel tells).
//! Formats: <https://www.postgresql.org/docs/18/protocol-logicalrep-message-formats.html>.

use super::message::{Malformed, Reader};
use super::place::Lsn;

/// One such message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// What follows, up to the stop, belongs to a transaction that is in progress.
    StreamStart {
        transaction: u32,
        /// Whether nothing of it was sent before.
        is_first: bool,
    },
    StreamStop,
    StreamCommit {
        transaction: u32,
        end: Ending,
    },
    /// A transaction, or one of its sub-transactions, was rolled back.
    StreamAbort {
        transaction: u32,
        sub: u32,
    },
    /// A transaction that was streamed is prepared.
    StreamPrepare(Prepared),
    /// What follows, up to the prepare, belongs to a transaction that is prepared.
    BeginPrepare(Prepared),
    Prepare(Prepared),
    CommitPrepared {
        transaction: u32,
        name: String,
        end: Ending,
    },
    RollbackPrepared {
        transaction: u32,
    },
}

/// How a transaction was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    /// Where the commit record begins, and where it ends.
    pub(super) commit: Lsn,
    pub(super) end: Lsn,
    /// By the server's clock, in microseconds since 2000.
    pub(super) committed_at_us: i64,
}

/// A transaction that waits for its second phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    /// Where the record begins. A server that was told to forget what lies before a later place does not send the rows again.
    pub(super) at: Lsn,
    pub(super) transaction: u32,
    /// What users call it.
    pub(super) name: String,
}

impl Control {
    /// Takes a message apart; `None` when it is of another kind.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        let message = match reader.byte()? {
            b'S' => Self::StreamStart {
                transaction: reader.u32()?,
                is_first: reader.byte()? == 1,
            },
            b'E' => Self::StreamStop,
            b'c' => {
                let transaction = reader.u32()?;
                reader.skip(1)?;
                let end = ending(&mut reader)?;
                Self::StreamCommit { transaction, end }
            }
            b'A' => stream_abort(&mut reader)?,
            b'p' => Self::StreamPrepare(prepare(&mut reader)?),
            b'b' => Self::BeginPrepare(prepared(&mut reader)?),
            b'P' => Self::Prepare(prepare(&mut reader)?),
            b'K' => {
                reader.skip(1)?;
                let end = ending(&mut reader)?;
                Self::CommitPrepared {
                    transaction: reader.u32()?,
                    name: reader.text()?.to_owned(),
                    end,
                }
            }
            b'r' => {
                // Flags, the ends of both records, both times.
                reader.skip(1 + 4 * 8)?;
                let transaction = reader.u32()?;
                reader.text()?;
                Self::RollbackPrepared { transaction }
            }
            _ => return Ok(None),
        };
        reader.end()?;
        Ok(Some(message))
    }
}

/// Commit record, its end, the time.
pub(super) fn ending(reader: &mut Reader<'_>) -> Result<Ending, Malformed> {
    Ok(Ending {
        commit: Lsn(reader.u64()?),
        end: Lsn(reader.u64()?),
        committed_at_us: reader.u64()?.cast_signed(),
    })
}

fn stream_abort(reader: &mut Reader<'_>) -> Result<Control, Malformed> {
    let transaction = reader.u32()?;
    let sub = reader.u32()?;
    if reader.is_more() {
        // Place and time.
        reader.skip(8 + 8)?;
    }
    Ok(Control::StreamAbort { transaction, sub })
}

/// Flags of which none is in use come first.
fn prepare(reader: &mut Reader<'_>) -> Result<Prepared, Malformed> {
    reader.skip(1)?;
    prepared(reader)
}

fn prepared(reader: &mut Reader<'_>) -> Result<Prepared, Malformed> {
    let at = Lsn(reader.u64()?);
    // The end of the record, and the time.
    reader.skip(8 + 8)?;
    Ok(Prepared {
        at,
        transaction: reader.u32()?,
        name: reader.text()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(number: u8) -> [u8; 8] {
        [0, 0, 0, 0, 0, 0, 0, number]
    }

    /// One of each kind, as a server sends it.
    fn samples() -> Vec<(Vec<u8>, Control)> {
        let end = Ending {
            commit: Lsn(1),
            end: Lsn(2),
            committed_at_us: 3,
        };
        let places = [number(1), number(2), number(3)].concat();
        let prepared = || Prepared {
            at: Lsn(1),
            transaction: 7,
            name: "gid".to_owned(),
        };
        let named = [places.as_slice(), b"\0\0\0\x07gid\0"].concat();
        let abort = Control::StreamAbort {
            transaction: 7,
            sub: 9,
        };
        vec![
            (
                b"S\0\0\0\x07\x01".to_vec(),
                Control::StreamStart {
                    transaction: 7,
                    is_first: true,
                },
            ),
            (b"E".to_vec(), Control::StreamStop),
            (
                [b"c\0\0\0\x07\0".as_slice(), &places].concat(),
                Control::StreamCommit {
                    transaction: 7,
                    end,
                },
            ),
            (
                [b"A\0\0\0\x07\0\0\0\x09".as_slice(), &number(1), &number(2)].concat(),
                abort.clone(),
            ),
            (
                [b"p\0".as_slice(), &named].concat(),
                Control::StreamPrepare(prepared()),
            ),
            (
                [b"b".as_slice(), &named].concat(),
                Control::BeginPrepare(prepared()),
            ),
            (
                [b"P\0".as_slice(), &named].concat(),
                Control::Prepare(prepared()),
            ),
            (
                [b"K\0".as_slice(), &named].concat(),
                Control::CommitPrepared {
                    transaction: 7,
                    name: "gid".to_owned(),
                    end,
                },
            ),
            (
                [b"r\0".as_slice(), &number(1), &named].concat(),
                Control::RollbackPrepared { transaction: 7 },
            ),
            (b"A\0\0\0\x07\0\0\0\x09".to_vec(), abort),
        ]
    }

    #[test]
    fn every_kind_is_taken_apart() {
        for (bytes, expected) in samples() {
            assert_eq!(Control::parse(&bytes), Ok(Some(expected)), "{bytes:?}");
        }
        assert_eq!(Control::parse(b"I\0\0\0\x07N\0\0"), Ok(None));
    }

    #[test]
    fn no_beginning_of_a_message_is_a_message() {
        for (bytes, message) in samples() {
            for length in 0..bytes.len() {
                // The place and time of an abort may be left out.
                if length != 9 || !matches!(message, Control::StreamAbort { .. }) {
                    assert!(Control::parse(&bytes[..length]).is_err(), "{message:?}");
                }
            }
            let longer = [bytes.as_slice(), &[0]].concat();
            assert!(Control::parse(&longer).is_err(), "{message:?}");
        }
    }

    proptest! {
        #[test]
        fn a_broken_byte_never_panics(sample in 0..10_usize, place in 0..80_usize, byte: u8) {
            let mut bytes = samples().swap_remove(sample).0;
            let place = place % bytes.len();
            bytes[place] = byte;
            drop(Control::parse(&bytes));
        }
    }
}
