//! Where following begins that is to begin at a time, or behind a set of transactions.
//!
//! The log is an ordered list of files, each of which tells when it was begun and which transactions came before it. So the file is found
//! by halving the list, and the place within it by going through the heads of its transactions.

use std::sync::Arc;

use whimbrel_connector::{Error, LogPlace};
use whimbrel_core::{Engine, Position};

use super::event::kind;
use super::feed::{Event, bad};
use super::gtid::{Before, GtidReader, GtidSet, GtidTrack, maria_ids};
use super::head::{Head, is_head};
use super::place::{FileId, LogFile, Parsed, Place};
use super::replica::FIRST_OFFSET;
use super::times::moment;
use super::walk::Walk;
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::source;
use crate::wire::{Connection, WireError};

const DOING: &str = "look for the start in the source's binary log";

fn failed(error: WireError) -> Error {
    general(error, DOING)
}

/// The log as it is when it is searched.
pub(super) struct Search<'a> {
    options: &'a Options,
    connection: &'a mut Connection,
    files: Vec<LogFile>,
    end: Parsed,
}

impl<'a> Search<'a> {
    pub(super) async fn begin(
        options: &'a Options,
        connection: &'a mut Connection,
    ) -> Result<Self, Error> {
        let end = source::current_position(connection).await.map_err(failed)?;
        let end = Parsed::without_ids(&end)?;
        let logs = connection.rows("SHOW BINARY LOGS").await.map_err(failed)?;
        let files = logs.iter().filter_map(|log| LogFile::new(log.text(0)));
        Ok(Self {
            options,
            connection,
            files: files.collect(),
            end,
        })
    }

    /// Before the first transaction that was committed at a time or later, by the seconds of the source's clock; the log's end if there is
    /// none yet. MariaDB only tells when the last statement of a transaction began, which is `COMMIT` itself unless it stands alone.
    pub(super) async fn time(&mut self, at_us: i64) -> Result<Position, Error> {
        let second = u64::try_from(at_us.div_euclid(1_000_000)).unwrap_or(0);
        let (mut low, mut high) = (0, self.files.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            // What was committed in the second in which a file was begun may be in the file before it.
            if self.begun_at_s(middle).await? < second {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(file) = low.checked_sub(1) else {
            let begun = self.begun_at_s(0).await?;
            return Err(Error::Fatal(format!(
                "the source's binary log begins at {}, but the task is to begin at {}: what was committed in between is not in the log. Load the tables again, and keep the log longer (binlog_expire_logs_seconds); or, if nothing is missing, give the log's beginning as FILE:OFFSET",
                moment(begun),
                moment(second)
            )));
        };
        let (place, ids) = self
            .scan(file, |head, event, _| head.committed_at_s(event) >= second)
            .await?;
        Ok(place.with(ids.as_ref()))
    }

    /// Behind the transactions of a set, if the log has just these before some place.
    pub(super) async fn ids(&mut self, wanted: &GtidSet) -> Result<Position, Error> {
        let (mut low, mut high) = (0, self.files.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if wanted.is_from(&self.before(middle).await?) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(file) = low.checked_sub(1) else {
            return Err(Error::Fatal(format!(
                "transactions that {wanted} lacks are no longer in the source's binary log; load the tables again, and keep the log longer (binlog_expire_logs_seconds)"
            )));
        };
        let is_there = |head: &Head, _: &Event, ids: &GtidTrack| {
            let next = head.gtid.as_ref();
            next.is_none_or(|next| wanted.ends_before(next, ids.set().as_ref()))
        };
        let (place, ids) = self.scan(file, is_there).await?;
        if !ids.as_ref().is_some_and(|ids| wanted.is_reached_by(ids)) {
            let there = ids.map_or_else(|| "none".to_owned(), |ids| ids.to_string());
            return Err(Error::Fatal(format!(
                "no place of the source's binary log has just the transactions {wanted} before it: up to the first that is none of them, at {}, it has {there}. Give the position as FILE:OFFSET",
                place.with(None)
            )));
        }
        Ok(place.with(ids.as_ref()))
    }

    /// When a file was begun, in seconds since 1970.
    async fn begun_at_s(&self, index: usize) -> Result<u64, Error> {
        let file = self.file(index)?;
        let begun = begun(self.options, file).await?;
        Ok(begun.seconds.into())
    }

    /// The transactions before a file.
    async fn before(&mut self, index: usize) -> Result<Before, Error> {
        let engine = self.connection.engine();
        let name = quote::literal(&self.files[index].name);
        let listed = self.listed(&name).await?;
        if engine != Engine::MariaDb {
            let set = GtidSet::parse(&listed, engine).ok_or_else(|| unreadable(&listed))?;
            let of_servers = Vec::new();
            return Ok(Before { set, of_servers });
        }
        // The list is shown in the order of its numbers, which does not tell the last one of each domain.
        let sql = format!("SELECT binlog_gtid_pos({name}, {FIRST_OFFSET})");
        let last = self.connection.row(&sql).await.map_err(failed)?;
        let last = last.map(|row| row.text(0).to_owned()).unwrap_or_default();
        Ok(Before {
            set: GtidSet::parse(&last, engine).ok_or_else(|| unreadable(&last))?,
            of_servers: maria_ids(&listed).ok_or_else(|| unreadable(&listed))?,
        })
    }

    /// The list of ids that stands at the beginning of a file.
    async fn listed(&mut self, name: &str) -> Result<String, Error> {
        let sql = format!("SHOW BINLOG EVENTS IN {name} LIMIT 4");
        let events = self.connection.rows(&sql).await.map_err(failed)?;
        let listed = events.iter().find_map(|event| match event.text(2) {
            "Previous_gtids" => Some(event.text(5)),
            "Gtid_list" => Some(event.text(5).trim_matches(['[', ']'])),
            _ => None,
        });
        Ok(listed.unwrap_or_default().to_owned())
    }

    fn file(&self, index: usize) -> Result<LogFile, Error> {
        let file = self.files.get(index).cloned();
        file.ok_or_else(|| bad("no files"))
    }

    /// The first transaction from a file on for which `is_it` holds, or the log's end, and the transactions before it.
    async fn scan(
        &mut self,
        index: usize,
        is_it: impl Fn(&Head, &Event, &GtidTrack) -> bool,
    ) -> Result<(Found, Option<GtidSet>), Error> {
        let mut ids = GtidTrack::new(Some(self.before(index).await?.set));
        let mut walk = Walk::open(self.options, self.file(index)?, FIRST_OFFSET.into()).await?;
        let mut reader = GtidReader::default();
        loop {
            let event = walk.next().await?;
            if is_head(event.header.kind) && !event.is_inner {
                let head = Head::read(&mut reader, &event)
                    .map_err(|_| bad("an event that ends too early"))?;
                if is_it(&head, &event, &ids) {
                    let place = Found {
                        file: Arc::clone(&walk.file.name),
                        offset: walk.start_of(&event),
                    };
                    return Ok((place, ids.set()));
                }
                head.gtid.into_iter().for_each(|gtid| ids.add(gtid));
            }
            if walk.has_reached(&self.end.file, self.end.offset) {
                let place = Found {
                    file: Arc::clone(&walk.file.name),
                    offset: walk.offset,
                };
                return Ok((place, ids.set()));
            }
        }
    }
}

fn unreadable(listed: &str) -> Error {
    Error::Fatal(format!(
        "the source's binary log lists transactions that cannot be read: {listed}"
    ))
}

/// When a file was begun.
pub(super) async fn begun(options: &Options, file: LogFile) -> Result<FileId, Error> {
    let mut walk = Walk::open(options, file, FIRST_OFFSET.into()).await?;
    loop {
        let event = walk.next().await?;
        if event.header.kind == kind::FORMAT_DESCRIPTION {
            return Ok(FileId::of(&event.header));
        }
    }
}

/// Checks that the file of a place is the one that the place tells, if it tells.
pub(super) async fn check_file(options: &Options, place: &Parsed) -> Result<(), Error> {
    match place.begun {
        Some(ours) => {
            let found = begun(options, place.file.clone()).await?;
            ours.check(&place.to_string(), found)
        }
        None => Ok(()),
    }
}

/// A position that tells which file it is in.
pub(crate) async fn bound(
    options: &Options,
    engine: Engine,
    position: &Position,
) -> Result<Position, Error> {
    let mut parsed = Parsed::new(position, engine)?;
    if parsed.begun.is_none() {
        parsed.begun = Some(begun(options, parsed.file.clone()).await?);
    }
    Ok(Place::from(parsed).position())
}

/// Between two transactions.
struct Found {
    file: Arc<str>,
    offset: u64,
}

impl Found {
    fn with(&self, ids: Option<&GtidSet>) -> Position {
        let ids = ids.map_or_else(String::new, ToString::to_string);
        source::written(&self.file, &self.offset.to_string(), &ids)
    }
}

/// A set of transactions in what a user gave, if it is one.
pub(super) fn ids_of(given: &str, engine: Engine) -> Option<GtidSet> {
    GtidSet::parse(given, engine).filter(|set| !set.is_empty())
}
