//! Which log a place is of.
//!
//! An LSN is a number of bytes, and every server has written bytes of that number. What makes it a place is the history that led to it:
//!
//! 1. *The server.* It gives its system identifier, and a place of another one is none of this log's.
//! 2. *The timeline.* A standby that is promoted, and a server that is restored to a point in time, begin a new one. Its history tells where
//!    it left the old one: a place up to there is in both, a later one is not.
//! 3. *The last transaction.* Files of a server that are put back as they were go on under the same numbers, so that nothing but the log's
//!    content tells ([`super::witness`]).
//!
//! The server is asked on the very connection that streams: <https://www.postgresql.org/docs/18/protocol-replication.html>.

use std::fmt;

use whimbrel_connector::Error;

use super::place::{Lsn, Place};
use crate::errors::general;
use crate::wire::Connection;

const DOING: &str = "ask the source which log it writes";

/// The log that a server writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogId {
    /// The server's identifier, which copies of its files share.
    pub(super) system: u64,
    pub(super) timeline: u32,
}

impl LogId {
    /// Reads `SYSTEM:TIMELINE`.
    pub(super) fn parse(system: &str, timeline: &str) -> Option<Self> {
        Some(Self {
            system: system.parse().ok()?,
            timeline: timeline.parse().ok()?,
        })
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.system, self.timeline)
    }
}

/// Asks a server, by a connection for replication, which log it writes, and checks that a place is of it.
///
/// # Errors
/// [`Error::Fatal`] when it is of another one.
pub(super) async fn check(connection: &mut Connection, place: &Place) -> Result<LogId, Error> {
    let here = identify(connection).await?;
    let Some(log) = place.log else {
        return Ok(here);
    };
    if log.system != here.system {
        return Err(refusal(
            place.lsn,
            &format!(
                "the source is another server: its system identifier is {}, and the task has read the log of {}",
                here.system, log.system
            ),
        ));
    }
    if log.timeline > here.timeline {
        return Err(refusal(
            place.lsn,
            &format!(
                "the source writes timeline {}, and the task has read timeline {}: the source was restored from an older backup, or is a server that was replaced",
                here.timeline, log.timeline
            ),
        ));
    }
    if log.timeline < here.timeline {
        let history = history_of(connection, here.timeline).await?;
        let left = left_at(&history, log.timeline);
        check_switch(place.lsn, log, here, left)?;
        tracing::info!(
            timeline = here.timeline,
            place = %place.lsn,
            "the source was promoted, and its log goes on from the task's place"
        );
    }
    Ok(here)
}

/// Asks a server which log it writes.
async fn identify(connection: &mut Connection) -> Result<LogId, Error> {
    let rows = connection.query("IDENTIFY_SYSTEM").await;
    let rows = rows.map_err(|error| general(error, DOING))?;
    let id = match rows.first().map(Vec::as_slice) {
        Some([Some(system), Some(timeline), ..]) => LogId::parse(system, timeline),
        _ => None,
    };
    id.ok_or_else(|| {
        Error::Fatal(format!(
            "{DOING}: the answer to IDENTIFY_SYSTEM has no form that is known"
        ))
    })
}

async fn history_of(connection: &mut Connection, timeline: u32) -> Result<String, Error> {
    let rows = connection
        .query(&format!("TIMELINE_HISTORY {timeline}"))
        .await;
    let rows = rows.map_err(|error| general(error, "read the history of the source's timeline"))?;
    let content = rows
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().nth(1));
    Ok(content.flatten().unwrap_or_default())
}

/// Where a history left a timeline. Its lines are `TIMELINE<tab>LSN<tab>REASON`; comments begin with `#`.
pub(super) fn left_at(history: &str, timeline: u32) -> Option<Lsn> {
    history.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let number: u32 = words.next()?.parse().ok()?;
        let place = Lsn::parse(words.next()?)?;
        (number == timeline).then_some(place)
    })
}

fn check_switch(place: Lsn, was: LogId, is: LogId, left: Option<Lsn>) -> Result<(), Error> {
    match left {
        Some(left) if place <= left => Ok(()),
        Some(left) => Err(refusal(
            place,
            &format!(
                "the source's timeline {} left timeline {}, which the task has read, at {left}: the server that was promoted or restored lacks what was written between there and {place}",
                is.timeline, was.timeline
            ),
        )),
        None => Err(refusal(
            place,
            &format!(
                "the history of the source's timeline {} does not have timeline {}, which the task has read",
                is.timeline, was.timeline
            ),
        )),
    }
}

/// Why a place is not gone on from, and what to do.
pub(super) fn refusal(place: Lsn, why: &str) -> Error {
    Error::Fatal(format!(
        "the task cannot go on from {place}: {why}. Nothing was applied from there on; load the tables again, or give the source's address the server back that the task has read"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HISTORY: &str =
        "# comment\n1\t0/3000\tno recovery target specified\n\n2\t0/5000\tbefore 2026-11-26\n";

    fn id(timeline: u32) -> LogId {
        LogId {
            system: 7,
            timeline,
        }
    }

    #[test]
    fn a_history_tells_where_each_timeline_was_left() {
        assert_eq!(left_at(HISTORY, 1), Some(Lsn(0x3000)));
        assert_eq!(left_at(HISTORY, 2), Some(Lsn(0x5000)));
        assert_eq!(left_at(HISTORY, 3), None);
        assert_eq!(left_at("x\ty\n1", 1), None);
    }

    #[test]
    fn a_place_is_of_a_later_timeline_up_to_where_it_left_the_old_one() {
        let check = |place| check_switch(Lsn(place), id(1), id(3), left_at(HISTORY, 1));
        assert!(check(0x2FF8).is_ok() && check(0x3000).is_ok());
        let error = check(0x3008).unwrap_err().to_string();
        for words in ["0/3000 ", "0/3008", "load the tables again"] {
            assert!(error.contains(words.trim()), "{error}");
        }
        let error = check_switch(Lsn(1), id(4), id(5), left_at(HISTORY, 4));
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("does not have timeline 4")
        );
    }
}
