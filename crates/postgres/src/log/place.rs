//! Places in the log, and what a snapshot's view holds.
//!
//! A place is an LSN, and every transaction lies at the LSN of its commit record. A view is exact only by transaction ids: a
//! transaction becomes visible somewhat after its commit record was written, so the order of the log says nothing about
//! snapshots taken in between. A view therefore names the ids that were not over ([`View`]).

use std::fmt;

use whimbrel_connector::{Error, LogPlace, SnapshotView, TransactionMark};
use whimbrel_core::Position;

use super::history::LogId;

/// Bytes of a page of the log, and the lengths of a page's head: that of any page, and that of the first of a file.
const PAGE_BYTES: u64 = 8192;
const PAGE_HEADS: [u64; 2] = [24, 40];

/// A byte of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lsn(pub(crate) u64);

impl Lsn {
    /// Reads `X/Y`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (high, low) = text.split_once('/')?;
        let half = |digits: &str| {
            let is_hex = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u32::from_str_radix(digits, 16).ok())?
        };
        Some(Self(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }

    /// Reads a position between transactions, whatever tells its log.
    pub(super) fn of(position: &Position) -> Result<Self, Error> {
        Place::of(position).map(|place| place.lsn)
    }

    /// The same place, named as the end of what lies before it: right behind the head of a page is no other place than before it.
    fn as_end(self) -> Self {
        let in_page = self.0 % PAGE_BYTES;
        if PAGE_HEADS.contains(&in_page) {
            Self(self.0 - in_page)
        } else {
            self
        }
    }

    /// Whether everything before `position`, of a place or of a snapshot, lies before this place.
    pub(super) fn has_reached(self, position: &Position) -> bool {
        let lsn = position.as_str().split([';', '@']).next();
        lsn.and_then(Self::parse)
            .is_some_and(|lsn| self >= lsn.as_end())
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The last transaction with changes before a place, or where the log was begun to be read, if none has come since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// Where its commit record begins.
    pub(super) commit: Lsn,
    /// By the server's clock, in microseconds since 2000; `None` when it is no transaction.
    pub(super) committed_at_us: Option<i64>,
}

/// Stands for no time.
const NO_TIME: &str = "-";

/// A place between two transactions, and what tells its log from every other.
///
/// Written as `LSN@SYSTEM:TIMELINE:COMMIT:TIME`; what is not known is left out from the end on. Users, and earlier versions, give the LSN alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lsn: Lsn,
    pub(super) log: Option<LogId>,
    pub(super) last: Option<Last>,
}

impl Place {
    /// Reads a position between transactions.
    pub(super) fn of(position: &Position) -> Result<Self, Error> {
        Self::parse(position.as_str()).ok_or_else(|| {
            Error::Fatal(format!(
                "cannot read the position `{position}` in the log of a PostgreSQL server; give it as an LSN, such as 16/B374D848, or as a checkpoint tells it"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (lsn, log) = match text.split_once('@') {
            Some((lsn, log)) => (lsn, Some(log)),
            None => (text, None),
        };
        let mut place = Self {
            lsn: Lsn::parse(lsn)?,
            log: None,
            last: None,
        };
        let Some(log) = log else {
            return Some(place);
        };
        let words: Vec<&str> = log.split(':').collect();
        match words.as_slice() {
            [system, timeline] => place.log = Some(LogId::parse(system, timeline)?),
            [system, timeline, commit, time] => {
                place.log = Some(LogId::parse(system, timeline)?);
                place.last = Some(Last {
                    commit: Lsn::parse(commit)?,
                    committed_at_us: match *time {
                        NO_TIME => None,
                        time => Some(time.parse().ok()?),
                    },
                });
            }
            _ => return None,
        }
        Some(place)
    }
}

impl From<Lsn> for Place {
    fn from(lsn: Lsn) -> Self {
        Self {
            lsn,
            log: None,
            last: None,
        }
    }
}

impl LogPlace for Place {
    fn position(&self) -> Position {
        let Self { lsn, log, last } = self;
        let Some(log) = log else {
            return Position::new(lsn.to_string());
        };
        let Some(last) = last else {
            return Position::new(format!("{lsn}@{log}"));
        };
        let commit = last.commit;
        Position::new(match last.committed_at_us {
            Some(time) => format!("{lsn}@{log}:{commit}:{time}"),
            None => format!("{lsn}@{log}:{commit}:{NO_TIME}"),
        })
    }
}

/// How the stream names a transaction to a [`View`]: by its id and by the LSN of its commit record.
pub(super) fn mark(transaction: u32, commit: Lsn) -> TransactionMark {
    TransactionMark(u64::from(transaction), commit.0)
}

/// What a snapshot saw, read from its position `LSN;xmin:xmax:xip,xip…`.
///
/// The second part is the server's `pg_current_snapshot()`: ids below `xmin` were over, those from `xmax` on had not begun, those
/// listed in between were running. A rolled-back transaction never comes from the stream, so that what was over is what is held.
/// The log names transactions by 32 of the id's 64 bits. The LSN is that of the log's end after the snapshot was taken: what commits
/// behind it cannot be held, and what commits before it is as close to the snapshot as one server's ids must be anyway, so that 32
/// bits tell it from every other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    end: Lsn,
    xmin: u64,
    xmax: u64,
    running: Vec<u64>,
}

impl View {
    pub(super) fn of(snapshot: &Position) -> Result<Self, Error> {
        Self::parse(snapshot.as_str()).ok_or_else(|| {
            Error::Fatal(format!(
                "the position `{snapshot}` of a snapshot does not say which transactions the snapshot held, so it is not known which changes are to be applied to the table; load the table again"
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (end, snapshot) = text.split_once(';')?;
        let mut parts = snapshot.split(':');
        let mut number = || parts.next()?.parse().ok();
        let (xmin, xmax) = (number()?, number()?);
        let list = parts.next()?;
        let mut running: Vec<u64> = match list {
            "" => Vec::new(),
            list => list
                .split(',')
                .map(|id| id.parse().ok())
                .collect::<Option<_>>()?,
        };
        running.sort_unstable();
        (parts.next().is_none() && xmin <= xmax).then_some(Self {
            end: Lsn::parse(end)?,
            xmin,
            xmax,
            running,
        })
    }

    /// Whether the log had come to a position when the snapshot was taken.
    pub(super) fn reaches(&self, position: &Position) -> bool {
        self.end.has_reached(position)
    }

    /// Whether a transaction that is over, of whose id 32 bits are known, was not over when the snapshot was taken; `next` is an id that none has yet.
    /// `false` also where so many ids have gone since the snapshot that the bits do not tell.
    pub(super) fn is_before(&self, transaction: u32, next: u64) -> bool {
        let id = self.widen(u64::from(transaction));
        let was_over =
            id < self.xmin || (id < self.xmax && self.running.binary_search(&id).is_err());
        let tell = next.saturating_sub(self.xmax) < 1 << 31;
        // One that is yet to come is an old one.
        tell && !was_over && id < next
    }

    /// The 64-bit id next to `xmax` with these low 32 bits.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        reason = "arithmetic modulo 2^32, as the server does it"
    )]
    fn widen(&self, transaction: u64) -> u64 {
        let ahead = (transaction as u32).wrapping_sub(self.xmax as u32) as i32;
        self.xmax.wrapping_add_signed(i64::from(ahead))
    }
}

impl SnapshotView for View {
    fn holds(&self, transaction: TransactionMark) -> bool {
        let TransactionMark(id, commit) = transaction;
        if Lsn(commit) >= self.end.as_end() {
            return false;
        }
        let id = self.widen(id);
        id < self.xmin || (id < self.xmax && self.running.binary_search(&id).is_err())
    }
}

/// What is held up to a place between two transactions.
#[derive(Clone, Copy, Debug)]
pub(super) struct UpTo(pub(super) Lsn);

impl SnapshotView for UpTo {
    /// A record that begins before the end of one that is held is that one or an earlier one.
    fn holds(&self, TransactionMark(_, commit): TransactionMark) -> bool {
        Lsn(commit) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(text: &str) -> Position {
        Position::new(text)
    }

    #[test]
    fn places_are_written_and_read_as_the_server_does() {
        for text in ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(Lsn::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "1", "/", "1/", "/1", "+1/2", "100000000/0", "0/0;1:1:"] {
            assert_eq!(Lsn::parse(text), None, "{text}");
        }
        let error = Lsn::of(&position("binlog.000001:4")).unwrap_err();
        assert!(error.to_string().contains("give it as an LSN"), "{error}");
    }

    #[test]
    fn positions_tell_their_log_if_it_is_known() {
        for text in [
            "16/B374D848",
            "16/B374D848@7512345678901234567:1",
            "16/B374D848@7512345678901234567:12:16/B374D7F0:846123456789012",
            "0/8@1:1:0/1:-5",
            "0/8@1:1:0/1:-",
        ] {
            let place = Place::of(&position(text)).unwrap();
            assert_eq!(place.position().as_str(), text);
            assert_eq!(Lsn::of(&position(text)).unwrap(), place.lsn);
            assert!(place.lsn.has_reached(&position(text)));
        }
        for text in [
            "0/8@",
            "0/8@1",
            "0/8@1:1:",
            "0/8@1:1:0/1",
            "0/8@1:-1",
            "0/8@1:1:0/1:5:6",
            "@1:1",
        ] {
            assert!(Place::of(&position(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn a_place_behind_the_head_of_a_page_is_the_end_of_the_page_before() {
        let place = Lsn(5 * PAGE_BYTES);
        assert!(place.has_reached(&Place::from(Lsn(5 * PAGE_BYTES + 24)).position()));
        assert!(place.has_reached(&position("0/A028;7:9:7")));
        assert!(!place.has_reached(&Place::from(Lsn(5 * PAGE_BYTES + 32)).position()));
        assert!(!place.has_reached(&position("nonsense")));
    }

    #[test]
    fn a_view_holds_what_was_over_and_nothing_that_ran() {
        let view = View::of(&position("0/5000;100:110:100,104")).unwrap();
        let holds = |id| view.holds(mark(id, Lsn(0x4000)));
        let held: Vec<u32> = (98..112).filter(|&id| holds(id)).collect();
        assert_eq!(held, [98, 99, 101, 102, 103, 105, 106, 107, 108, 109]);
        assert!(!view.holds(mark(99, Lsn(0x5000))), "it commits later");
    }

    #[test]
    fn a_transaction_behind_a_view_is_told_from_one_that_is_long_over() {
        let view = View::of(&position("0/5000;100:110:100,104")).unwrap();
        let behind: Vec<u32> = (98..130).filter(|&id| view.is_before(id, 120)).collect();
        let expected: Vec<u32> = [100, 104].into_iter().chain(110..120).collect();
        assert_eq!(behind, expected);
        assert!(!view.is_before(115, 1 << 40), "the bits do not tell");
        let view = View::of(&position("1/0;4294967400:4294967400:")).unwrap();
        assert!(view.is_before(105, 4_294_967_500));
        assert!(!view.is_before(u32::MAX, 4_294_967_500));
        assert!(
            !view.is_before(1 << 30, 4_294_967_500),
            "of an earlier round"
        );
    }

    #[test]
    fn ids_are_told_apart_where_32_bits_begin_anew() {
        let view = View::of(&position("1/0;4294967290:4294967300:4294967296")).unwrap();
        let holds = |id: u32| view.holds(mark(id, Lsn(5)));
        assert!(holds(u32::MAX) && holds(1) && holds(3) && holds(u32::MAX - 100));
        assert!(!holds(0) && !holds(4) && !holds(2000));
    }

    #[test]
    fn positions_of_other_kinds_are_no_views() {
        for text in [
            "0/5000",
            "0/5000;1:2",
            "0/5000;2:1:",
            "x;1:2:",
            "0/5000;1:2:x",
            "0/5000;1:2:1:1",
        ] {
            let error = View::of(&position(text)).unwrap_err();
            assert!(error.to_string().contains("load the table again"), "{text}");
        }
    }
}
