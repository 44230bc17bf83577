//! Places in the log, and what a snapshot's view holds.
//!
//! A place is the number at the end of the file's name and an offset. The servers number their files upwards and write each
//! from its start to its end, so that places are ordered as the transactions were committed; and a snapshot's place is read
//! while nothing commits, so that its view holds exactly the transactions that begin before it.
//!
//! The number of a file begins anew after `RESET BINARY LOGS AND GTIDS`; that such a position is not gone on from, the ids of
//! its transactions show, and when the file was begun.
//!
//! A server never writes on in a file of an earlier life: it begins one with the next number whenever it starts. So a place is of the log
//! that a task has read if and only if its file was begun at the same time by the same server ([`FileId`]): a server whose files were put back
//! as they were, and that has written on, has other files from there on, and so has another server. Transaction ids alone would not tell: a
//! server that was put back gives the same ones to other transactions.

use std::fmt;
use std::sync::Arc;

use whimbrel_connector::{Error, LogPlace, SnapshotView, TransactionMark};
use whimbrel_core::{Engine, Position};

use super::event::Header;
use super::gtid::{GtidSet, GtidTrack};
use super::times::moment;

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

/// When a file of the log was begun, and by which server: what the event at its beginning tells, whose header servers send unchanged
/// wherever a log is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    /// Since 1970, by the server's clock.
    pub(super) seconds: u32,
    /// By `server_id`.
    pub(super) server: u32,
}

impl FileId {
    /// Of the event that describes a file's format.
    pub(super) fn of(header: &Header) -> Self {
        Self {
            seconds: header.seconds,
            server: header.server_id,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (seconds, server) = text.split_once('-')?;
        Some(Self {
            seconds: seconds.parse().ok()?,
            server: server.parse().ok()?,
        })
    }

    /// Checks that a file is the one that a place is in.
    pub(super) fn check(self, place: &str, found: Self) -> Result<(), Error> {
        if self == found {
            return Ok(());
        }
        Err(Error::Fatal(format!(
            "the task cannot go on from {place}: the file of the source's binary log was begun by server {} at {}, and the one that the task has read by server {} at {}. The source was restored from a backup and has written on, its log was reset, or it is another server. Nothing was applied from there on; load the tables again, or give the source's address the server back that the task has read",
            found.server,
            moment(found.seconds.into()),
            self.server,
            moment(self.seconds.into()),
        )))
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.seconds, self.server)
    }
}

/// A position that was taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub(super) file: LogFile,
    pub(super) offset: u64,
    /// Of the file, if the position names it.
    pub(super) begun: Option<FileId>,
    /// The transaction ids that the position names, if it names any.
    pub(super) gtids: Option<GtidSet>,
}

impl Parsed {
    /// Reads `file:offset`, behind an at sign what tells the file from others of its name, and behind a semicolon the ids.
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
        let (offset, begun) = match offset.split_once('@') {
            Some((offset, begun)) => (offset, Some(FileId::parse(begun)?)),
            None => (offset, None),
        };
        Some(Self {
            file: LogFile::new(file)?,
            offset: offset.parse().ok()?,
            begun,
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

impl fmt::Display for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.name, self.offset)
    }
}

/// A place between two transactions.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) file: LogFile,
    pub(super) offset: u64,
    /// `None` before the file's beginning was told.
    pub(super) begun: Option<FileId>,
    pub(super) gtids: GtidTrack,
}

impl From<Parsed> for Place {
    fn from(parsed: Parsed) -> Self {
        Self {
            file: parsed.file,
            offset: parsed.offset,
            begun: parsed.begun,
            gtids: GtidTrack::new(parsed.gtids),
        }
    }
}

impl LogPlace for Place {
    fn position(&self) -> Position {
        let (file, offset) = (&self.file.name, self.offset);
        let begun = self.begun.map(|begun| format!("@{begun}"));
        let begun = begun.unwrap_or_default();
        let ids = self.gtids.set().filter(|set| !set.is_empty());
        let ids = ids.map(|set| format!(";{set}")).unwrap_or_default();
        Position::new(format!("{file}:{offset}{begun}{ids}"))
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
            "a@b.000002:157@1764200000-4294967295",
            "binlog.000002:157@1764200000-1;3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5",
        ] {
            let parsed = Parsed::new(&Position::new(text), Engine::MySql).unwrap();
            assert_eq!(Place::from(parsed).position().as_str(), text);
        }
        for bad in [
            "none",
            "0/16B3748",
            "binlog:4",
            "binlog.x:4",
            "binlog.1:",
            "b.1:4;x",
            "b.1:4@",
            "b.1:4@5",
            "b.1:4@5-x",
            "b.1:4@4294967296-1",
        ] {
            assert!(
                Parsed::new(&Position::new(bad), Engine::MySql).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_file_is_told_from_another_of_its_name() {
        let begun = |text| FileId::parse(text).unwrap();
        let ours = begun("1764200000-1");
        ours.check("b.1:4", begun("1764200000-1")).unwrap();
        for other in ["1764200001-1", "1764200000-2"] {
            let error = ours.check("b.1:4", begun(other)).unwrap_err().to_string();
            for words in ["from b.1:4", "2025-11-26", "load the tables again"] {
                assert!(error.contains(words), "{error}");
            }
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
