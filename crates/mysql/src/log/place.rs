//! Places in the log, and what a snapshot's view holds.
//!
//! A place is the number at the end of the file's name and an offset. The servers number their files upwards and write each
//! from its start to its end, so that places are ordered as the transactions were committed; and a snapshot's place is read
//! while nothing commits, so that its view holds exactly the transactions that begin before it.
//!
//! The number of a file begins anew after `RESET BINARY LOGS AND GTIDS`; that such a position is not gone on from, the ids of
//! its transactions show.

use std::fmt;
use std::sync::Arc;

use whimbrel_connector::{Error, LogPlace, SnapshotView, TransactionMark};
use whimbrel_core::{Engine, Position};

use super::gtid::{GtidSet, GtidTrack};

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LogFile {
    pub(super) name: Arc<str>,
    /// The number at the end of its name.
    pub(super) number: u64,
}

impl LogFile {
    /// `None` when the name does not end in a number.
    pub(super) fn new(name: &str) -> Option<Self> {
        let (_, digits) = name.rsplit_once('.')?;
        Some(Self {
            name: name.into(),
            number: digits.parse().ok()?,
        })
    }
}

/// A position that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) file: LogFile,
    pub(super) offset: u64,
    /// The transaction ids that the position names, if it names any.
    pub(super) gtids: Option<GtidSet>,
}

impl Parsed {
    /// Reads `file:offset` and, behind a semicolon, the ids.
    pub(super) fn new(position: &Position, engine: Engine) -> Result<Self, Error> {
        Self::try_new(position.as_str(), engine).ok_or_else(|| {
            Error::Fatal(format!(
                "cannot read the position `{position}` in the binary log; give it as FILE:OFFSET, such as binlog.000002:157, with the set of transaction ids behind a semicolon if it is known, or as such a set alone"
            ))
        })
    }

    fn try_new(text: &str, engine: Engine) -> Option<Self> {
        let (place, gtids) = match text.split_once(';') {
            Some((place, gtids)) => (place, Some(gtids)),
            None => (text, None),
        };
        let (file, offset) = place.rsplit_once(':')?;
        Some(Self {
            file: LogFile::new(file)?,
            offset: offset.parse().ok()?,
            gtids: match gtids {
                Some(gtids) => Some(GtidSet::parse(gtids, engine)?),
                None => None,
            },
        })
    }

    /// Reads where a position lies, whatever stands behind its semicolon.
    pub(super) fn without_ids(position: &Position) -> Result<Self, Error> {
        let place = position.as_str().split(';').next().unwrap_or_default();
        Self::new(&Position::new(place), Engine::MySql)
    }

    pub(super) fn mark(&self) -> TransactionMark {
        TransactionMark(self.file.number, self.offset)
    }
}

/// A place between two transactions.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: LogFile,
    pub(super) offset: u64,
    pub(super) gtids: GtidTrack,
}

impl LogPlace for Place {
    fn position(&self) -> Position {
        let place = format!("{}:{}", self.file.name, self.offset);
        Position::new(match self.gtids.set() {
            Some(set) if !set.is_empty() => format!("{place};{set}"),
            _ => place,
        })
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.name, self.offset)
    }
}

/// The whole offset of which a header holds the lower 32 bits, given one before it: within a file offsets only grow.
pub(super) fn widen(before: u64, low: u32) -> u64 {
    const WRAP: u64 = 1 << 32;
    let next = (before & !(WRAP - 1)) | u64::from(low);
    if next < before && before - next > WRAP / 2 {
        next + WRAP
    } else {
        next.max(before)
    }
}

/// The transactions that begin before a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    pub(super) end: TransactionMark,
}

impl SnapshotView for View {
    fn holds(&self, transaction: TransactionMark) -> bool {
        let TransactionMark(file, offset) = transaction;
        (file, offset) < (self.end.0, self.end.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_come_back_as_they_were() {
        for text in [
            "binlog.000002:157",
            "my.bin-log.1000000:4294967296;3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
        ] {
            let parsed = Parsed::new(&Position::new(text), Engine::MySql).unwrap();
            let place = Place {
                file: parsed.file.clone(),
                offset: parsed.offset,
                gtids: GtidTrack::new(parsed.gtids.clone()),
            };
            assert_eq!(place.position().as_str(), text);
        }
        for bad in [
            "none",
            "0/16B3748",
            "binlog:4",
            "binlog.x:4",
            "binlog.1:",
            "b.1:4;x",
        ] {
            assert!(
                Parsed::new(&Position::new(bad), Engine::MySql).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn offsets_beyond_four_gigabytes_are_told_by_their_order() {
        assert_eq!(widen(100, 200), 200);
        assert_eq!(widen(0xFFFF_FF00, 16), 0x1_0000_0010);
        assert_eq!(widen(0x1_0000_0010, 0x20), 0x1_0000_0020);
        assert_eq!(widen(200, 100), 200);
    }

    #[test]
    fn a_view_holds_what_begins_before_it() {
        let view = View {
            end: TransactionMark(3, 100),
        };
        assert!(view.holds(TransactionMark(2, 900)) && view.holds(TransactionMark(3, 99)));
        assert!(!view.holds(TransactionMark(3, 100)) && !view.holds(TransactionMark(4, 4)));
    }
}
