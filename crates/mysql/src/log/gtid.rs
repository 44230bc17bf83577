//! Sets of global transaction ids, as far as a position must tell them.
//!
//! They say what has been read, for people, for other tools and to recognise a server that is not the one the position came
//! from. Which events come next, file and offset say.

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::sync::Arc;

use whimbrel_core::Engine;

use crate::wire::{Malformed, Reader};

/// The name of a series of MySQL's ids: the server's UUID and a tag, empty without one.
type Series = ([u8; 16], String);

/// The id of one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gtid {
    MySql {
        series: Arc<Series>,
        number: u64,
    },
    Maria {
        domain: u32,
        server: u32,
        number: u64,
    },
}

/// A set of ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GtidSet {
    /// Inclusive ranges in order for each series.
    MySql(BTreeMap<Series, Vec<(u64, u64)>>),
    /// The last id of each domain.
    Maria(BTreeMap<u32, (u32, u64)>),
}

impl GtidSet {
    /// Reads a set; `None` when it is none of the engine's.
    pub(super) fn parse(text: &str, engine: Engine) -> Option<Self> {
        if engine == Engine::MariaDb {
            let ids = maria_ids(text)?.into_iter();
            let domains = ids.map(|(domain, server, number)| (domain, (server, number)));
            return Some(Self::Maria(domains.collect()));
        }
        let mut set = Self::MySql(BTreeMap::new());
        for part in parts(text) {
            let mut fields = part.split(':').map(str::trim);
            let uuid = parse_uuid(fields.next()?)?;
            let mut tag = String::new();
            for field in fields {
                if field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                    tag = field.to_ascii_lowercase();
                    continue;
                }
                let (from, to) = field.split_once('-').unwrap_or((field, field));
                let (from, to) = (from.parse().ok()?, to.parse().ok()?);
                (from <= to).then_some(())?;
                set.add_range((uuid, tag.clone()), from, to);
            }
        }
        Some(set)
    }

    fn add_range(&mut self, series: Series, from: u64, to: u64) {
        let Self::MySql(all) = self else { return };
        let ranges = all.entry(series).or_default();
        // Mostly the last range grows by one.
        if let Some(last) = ranges.last_mut()
            && from >= last.0
            && from <= last.1.saturating_add(1)
        {
            last.1 = last.1.max(to);
            return;
        }
        ranges.push((from, to));
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for &(from, to) in ranges.iter() {
            match joined.last_mut() {
                Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        *ranges = joined;
    }

    /// Adds an id.
    pub(super) fn add(&mut self, gtid: &Gtid) {
        match (&mut *self, gtid) {
            (Self::MySql(_), Gtid::MySql { series, number }) => {
                self.add_range(Series::clone(series), *number, *number);
            }
            (
                Self::Maria(domains),
                Gtid::Maria {
                    domain,
                    server,
                    number,
                },
            ) => {
                domains.insert(*domain, (*server, *number));
            }
            _ => {}
        }
    }

    /// Whether an id can only stand in a log before the place of this set. Numbers of `MariaDB` tell nothing of it: where a domain has several
    /// servers and is not strict, they go down as well as up. So only the last id of a domain is known to be before it.
    pub(super) fn is_passed(&self, gtid: &Gtid) -> bool {
        match (self, gtid) {
            (Self::MySql(all), Gtid::MySql { series, number }) => {
                all.get(&**series).is_some_and(|ranges| {
                    ranges
                        .iter()
                        .any(|(from, to)| (from..=to).contains(&number))
                })
            }
            (
                Self::Maria(domains),
                Gtid::Maria {
                    domain,
                    server,
                    number,
                },
            ) => domains.get(domain) == Some(&(*server, *number)),
            _ => false,
        }
    }

    /// Whether a log in which `before` has been read, and of which `next` comes next, is at the place of this set, or can no longer come to it.
    pub(super) fn ends_before(&self, next: &Gtid, before: Option<&Self>) -> bool {
        match (self, next) {
            (
                Self::Maria(domains),
                Gtid::Maria {
                    domain,
                    server,
                    number,
                },
            ) => {
                let is_behind = domains
                    .get(domain)
                    .is_some_and(|(ours, last)| ours == server && number > last);
                is_behind || before == Some(self)
            }
            _ => !self.is_passed(next),
        }
    }

    /// Whether a log in which these ids have been read is at the place of this set, if [`Self::ends_before`] told to stop there.
    pub(super) fn is_reached_by(&self, read: &Self) -> bool {
        match self {
            Self::MySql(_) => self.is_within(read),
            Self::Maria(_) => self == read,
        }
    }

    /// Whether the place of this set can be in a file that begins after `before`, or in one after it. The numbers of one server only go up.
    pub(super) fn is_from(&self, before: &Before) -> bool {
        let (Self::Maria(ours), Self::Maria(last)) = (self, &before.set) else {
            return before.set.is_within(self);
        };
        let is_from = |(domain, (server, number)): (&u32, &(u32, u64))| {
            let mut ids = before.of_servers.iter();
            let same = ids.find(|id| (id.0, id.1) == (*domain, *server));
            same.is_none_or(|id| {
                id.2 < *number || (id.2 == *number && last.get(domain) == Some(&(*server, *number)))
            })
        };
        last.keys().all(|domain| ours.contains_key(domain)) && ours.iter().all(is_from)
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::MySql(all) => all.is_empty(),
            Self::Maria(domains) => domains.is_empty(),
        }
    }

    /// Whether every id of this set is in `other`.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::MySql(ours), Self::MySql(theirs)) => ours.iter().all(|(series, ranges)| {
                let theirs = theirs.get(series).map(Vec::as_slice).unwrap_or_default();
                ranges.iter().all(|(from, to)| {
                    theirs
                        .iter()
                        .any(|(first, last)| first <= from && to <= last)
                })
            }),
            (Self::Maria(ours), Self::Maria(theirs)) => ours.iter().all(|(domain, (_, number))| {
                theirs.get(domain).is_some_and(|(_, last)| number <= last)
            }),
            _ => false,
        }
    }
}

/// The transactions before a file of the log.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) set: GtidSet,
    /// Of MariaDB, domain, server and number of the last transaction of each server in each domain.
    pub(super) of_servers: Vec<(u32, u32, u64)>,
}

fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Domain, server and number of each id of a list.
pub(super) fn maria_ids(text: &str) -> Option<Vec<(u32, u32, u64)>> {
    let read = |part: &str| {
        let mut fields = part.split('-');
        let domain = fields.next()?.parse().ok()?;
        let server = fields.next()?.parse().ok()?;
        let number = fields.next()?.parse().ok()?;
        fields.next().is_none().then_some((domain, server, number))
    };
    parts(text).map(read).collect()
}

impl fmt::Display for GtidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        match self {
            Self::Maria(domains) => {
                for (domain, (server, number)) in domains {
                    write!(f, "{separator}{domain}-{server}-{number}")?;
                    separator = ",";
                }
            }
            Self::MySql(all) => {
                let mut before = None;
                for ((uuid, tag), ranges) in all {
                    if before != Some(uuid) {
                        f.write_str(separator)?;
                        write_uuid(f, uuid)?;
                    }
                    before = Some(uuid);
                    if !tag.is_empty() {
                        write!(f, ":{tag}")?;
                    }
                    for (from, to) in ranges {
                        write!(f, ":{from}")?;
                        if to != from {
                            write!(f, "-{to}")?;
                        }
                    }
                    separator = ",";
                }
            }
        }
        Ok(())
    }
}

/// A set that grows, cheap to remember at every transaction: a base, and a run of ids since.
#[derive(Clone, Debug)]
pub(super) struct GtidTrack {
    base: Option<Arc<GtidSet>>,
    run: Option<Run>,
}

/// Ids one after another of one series or domain, both ends included.
#[derive(Clone, Debug)]
struct Run {
    first: Gtid,
    last: Gtid,
}

impl GtidTrack {
    /// `None`: the position names no ids, and none are kept.
    pub(super) fn new(base: Option<GtidSet>) -> Self {
        Self {
            base: base.map(Arc::new),
            run: None,
        }
    }

    pub(super) fn add(&mut self, gtid: Gtid) {
        let Some(base) = &mut self.base else {
            return;
        };
        if let Some(run) = &mut self.run {
            let follows = match (&run.last, &gtid) {
                (
                    Gtid::MySql { series, number },
                    Gtid::MySql {
                        series: next,
                        number: next_number,
                    },
                ) => series == next && number.checked_add(1) == Some(*next_number),
                (Gtid::Maria { domain, .. }, Gtid::Maria { domain: next, .. }) => domain == next,
                _ => false,
            };
            if follows {
                run.last = gtid;
                return;
            }
            run.put_into(Arc::make_mut(base));
        }
        self.run = Some(Run {
            first: gtid.clone(),
            last: gtid,
        });
    }

    /// The whole set.
    pub(super) fn set(&self) -> Option<GtidSet> {
        let mut set = GtidSet::clone(self.base.as_ref()?);
        if let Some(run) = &self.run {
            run.put_into(&mut set);
        }
        Some(set)
    }
}

impl Run {
    fn put_into(&self, set: &mut GtidSet) {
        if let (
            Gtid::MySql { series, number },
            Gtid::MySql {
                number: to_number, ..
            },
        ) = (&self.first, &self.last)
        {
            set.add_range(Series::clone(series), *number, *to_number);
        } else {
            set.add(&self.last);
        }
    }
}

/// Reads the ids of MySQL's events, keeping the name of the last series, which most events share.
#[derive(Debug, Default)]
pub(super) struct GtidReader {
    last: Option<Arc<Series>>,
}

/// What the event at the head of a MySQL transaction tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MySqlHead {
    pub(super) gtid: Gtid,
    /// Microseconds since 1970 at which this server committed; 0 when not told.
    pub(super) committed_at_us: u64,
}

impl GtidReader {
    fn series(&mut self, uuid: [u8; 16], tag: &str) -> Arc<Series> {
        match &self.last {
            Some(last) if last.0 == uuid && last.1 == tag => Arc::clone(last),
            _ => Arc::clone(self.last.insert(Arc::new((uuid, tag.to_owned())))),
        }
    }

    /// The body of GTID and ANONYMOUS_GTID: flags, UUID, number, then (5.7 and later) one byte, two numbers of the
    /// parallel applier, and times.
    pub(super) fn untagged(&mut self, body: &[u8]) -> Result<MySqlHead, Malformed> {
        const TIME_BITS: u64 = (1 << 55) - 1;
        let mut reader = Reader::new(body);
        reader.u8()?;
        let uuid = reader.array()?;
        let number = reader.u64()?;
        let mut committed_at_us = 0;
        // The byte says that the two numbers follow; the highest bit of the time, that the original's follows it.
        if reader.u8().is_ok_and(|byte| byte == 2) && reader.bytes(16).is_ok() {
            let mut wide = [0; 8];
            wide[..7].copy_from_slice(&reader.array::<7>().unwrap_or_default());
            committed_at_us = u64::from_le_bytes(wide) & TIME_BITS;
        }
        Ok(MySqlHead {
            gtid: Gtid::MySql {
                series: self.series(uuid, ""),
                number,
            },
            committed_at_us,
        })
    }

    /// The body of GTID_TAGGED: numbered fields of numbers of variable length.
    /// <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/PageLibsMysqlSerialization.html>
    pub(super) fn tagged(&mut self, body: &[u8]) -> Result<MySqlHead, Malformed> {
        let mut reader = Reader::new(body);
        // Version of the format, length, and the last field that may not be passed over.
        for _ in 0..3 {
            number(&mut reader)?;
        }
        let (mut uuid, mut gno, mut tag, mut committed_at_us) = ([0; 16], 0, String::new(), 0);
        while !reader.is_empty() {
            match number(&mut reader)? {
                1 => {
                    for byte in &mut uuid {
                        *byte = u8::try_from(number(&mut reader)?).map_err(|_| Malformed)?;
                    }
                }
                2 => gno = signed(number(&mut reader)?),
                3 => {
                    let length = usize::try_from(number(&mut reader)?).map_err(|_| Malformed)?;
                    tag = String::from_utf8_lossy(reader.bytes(length)?).into_owned();
                }
                0 | 4 | 5 => {
                    number(&mut reader)?;
                }
                6 => committed_at_us = number(&mut reader)?,
                _ => break,
            }
        }
        Ok(MySqlHead {
            gtid: Gtid::MySql {
                series: self.series(uuid, &tag),
                number: u64::try_from(gno).map_err(|_| Malformed)?,
            },
            committed_at_us,
        })
    }
}

/// A number whose first byte ends in as many ones as bytes follow.
fn number(reader: &mut Reader<'_>) -> Result<u64, Malformed> {
    let first = reader.u8()?;
    let more = first.trailing_ones();
    let mut value = 0;
    for (index, &byte) in reader.bytes(more as usize)?.iter().enumerate() {
        value |= u64::from(byte) << (8 * index);
    }
    if more >= 7 {
        // With seven bytes to come nothing of the first is left, with eight neither.
        return Ok(value);
    }
    let low_bits = 7 - more;
    Ok(value << low_bits | u64::from(first) >> (more + 1))
}

/// The lowest bit of a signed number is its sign.
fn signed(coded: u64) -> i64 {
    let magnitude = (coded >> 1).cast_signed();
    if coded & 1 == 0 {
        magnitude
    } else {
        !magnitude
    }
}

fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let mut digits = text.chars().filter(|&c| c != '-').map(|c| c.to_digit(16));
    let mut uuid = [0; 16];
    for byte in &mut uuid {
        *byte = u8::try_from(digits.next()?? << 4 | digits.next()??).ok()?;
    }
    digits.next().is_none().then_some(uuid)
}

fn write_uuid(f: &mut fmt::Formatter<'_>, uuid: &[u8; 16]) -> fmt::Result {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            f.write_char('-')?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
    const B: &str = "4e11fa47-71ca-11e1-9e33-c80aa9429562";

    fn mysql(text: &str) -> GtidSet {
        GtidSet::parse(text, Engine::MySql).unwrap()
    }

    fn id(uuid: &str, number: u64) -> Gtid {
        let series = Arc::new((parse_uuid(uuid).unwrap(), String::new()));
        Gtid::MySql { series, number }
    }

    #[test]
    fn sets_are_read_and_written_in_one_form() {
        let text = format!("{A}:1-5:7,{B}:1-2:domain:1-9");
        assert_eq!(mysql(&text).to_string(), text);
        assert_eq!(
            mysql(&format!("{}:3:1-2,{B}:9", A.to_uppercase())).to_string(),
            format!("{A}:1-3,{B}:9")
        );
        let maria = GtidSet::parse("1-1-5, 0-2-77", Engine::MariaDb).unwrap();
        assert_eq!(maria.to_string(), "0-2-77,1-1-5");
        for bad in ["x", "3e11:1", &format!("{A}:5-1"), &format!("{A}0:1")] {
            assert_eq!(GtidSet::parse(bad, Engine::MySql), None, "{bad}");
        }
        assert_eq!(GtidSet::parse("0-1", Engine::MariaDb), None);
    }

    #[test]
    fn a_track_gives_the_set_with_every_id_added() {
        let mut track = GtidTrack::new(Some(mysql(&format!("{A}:1-5"))));
        for number in [6, 7, 9, 8] {
            track.add(id(A, number));
        }
        track.add(id(B, 1));
        let set = track.set().unwrap();
        assert_eq!(set.to_string(), format!("{A}:1-9,{B}:1"));
        assert!(set.is_passed(&id(A, 8)) && !set.is_passed(&id(A, 10)));
        assert!(mysql(&format!("{A}:2-3")).is_within(&set) && !set.is_within(&mysql(A)));
        let mut track = GtidTrack::new(None);
        track.add(id(A, 1));
        assert_eq!(track.set(), None);
    }

    #[test]
    fn numbers_of_variable_length_are_read() {
        let read = |bytes: &[u8]| number(&mut Reader::new(bytes));
        assert_eq!(read(&[0b0000_0110]), Ok(3));
        assert_eq!(read(&[0b0000_0101, 2]), Ok(2 << 6 | 1));
        assert_eq!(read(&[0xFF, 1, 0, 0, 0, 0, 0, 0, 0x80]), Ok(1 << 63 | 1));
        assert_eq!(read(&[0xFF, 1]), Err(Malformed));
        assert_eq!((signed(0), signed(2), signed(1), signed(3)), (0, 1, -1, -2));
    }
}
