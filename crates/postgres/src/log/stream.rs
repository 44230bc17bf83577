use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;
use whimbrel_connector::{ChangeBlock, ChangeStream, Error, LogEvent, LogPlace};
use whimbrel_core::Position;

use super::ddl::DdlMessage;
use super::decoder::{Decoder, Step};
use super::feed::Feed;
use super::heartbeat::Heartbeat;
use super::members::MembersLook;
use super::message::RelationMessage;
use super::newcomers::{CatalogLook, Found};
use super::place::Lsn;
use super::relation::Describer;
use super::rows::LogRows;
use super::spill::Done;

/// A source that takes longer for what it has at hand is gone.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_mins(1);

pub(super) fn silent(during: &str) -> Error {
    Error::Transient(format!(
        "{during}: the source has not answered within {} s",
        ANSWER_WITHIN.as_secs()
    ))
}

/// A running capture.
pub(super) struct PostgresStream {
    pub(super) feed: Feed,
    pub(super) decoder: Decoder,
    pub(super) describer: Describer,
    /// The table that the decoder waits to be told of.
    pub(super) unknown: Option<RelationMessage>,
    /// What the decoder waits for.
    pub(super) disk: Option<JoinHandle<io::Result<Done>>>,
    /// Finds new tables, where the log does not tell of them.
    pub(super) catalog: Option<CatalogLook>,
    /// Finds tables that are taken out of the publication.
    pub(super) members: MembersLook,
    /// Ends with the stream.
    pub(super) _heartbeat: Option<Heartbeat>,
}

/// Waits for new tables; for ever where the log tells of them.
async fn found(catalog: &mut Option<CatalogLook>) -> Found {
    match catalog {
        Some(catalog) => catalog.next().await,
        None => std::future::pending().await,
    }
}

/// What the stream tells of what the catalog has.
///
/// # Errors
/// [`Error::Transient`] where the stream has to begin with what the catalog has.
fn told(found: Found) -> Result<ChangeBlock, Error> {
    let tables = match found {
        Found::New(tables) => tables,
        Found::Replaced(table) => {
            return Err(Error::Transient(format!(
                "table {table} is another one by now, and the source has no event triggers of this task that would have told so; the log is read anew, without the one that was there"
            )));
        }
    };
    let events = tables.into_iter();
    let events = events.map(|table| LogEvent::Created { table });
    Ok(without_rows(events.collect()))
}

fn without_rows(events: Vec<LogEvent>) -> ChangeBlock {
    ChangeBlock {
        events,
        rows: Arc::new(LogRows::default()),
    }
}

#[async_trait]
impl ChangeStream for PostgresStream {
    /// What was read lies in the decoder at all times, so that nothing is lost with a dropped call.
    async fn next(&mut self) -> Result<ChangeBlock, Error> {
        loop {
            if let Some(relation) = &self.unknown {
                let known = timeout(ANSWER_WITHIN, self.describer.describe(relation)).await;
                let known = known.map_err(|_| silent("describe a table of the log"))??;
                if let Some(relation) = self.unknown.take() {
                    self.decoder.learn(&relation, known);
                }
            }
            if let Some(disk) = &mut self.disk {
                let done = disk.await.map_err(io::Error::other).flatten();
                self.disk = None;
                self.decoder.done(done)?;
            }
            match self.decoder.step()? {
                Step::Block(block) => return Ok(block),
                Step::Unknown(relation) => self.unknown = Some(relation),
                Step::Defined(content) => {
                    let events = self.describer.define(DdlMessage::parse(&content)?)?;
                    self.decoder.defined(events)?;
                }
                Step::Disk(job) => self.disk = Some(spawn_blocking(move || job.run())),
                Step::Starved => tokio::select! {
                    block = self.feed.next() => self.decoder.feed(block?),
                    found = found(&mut self.catalog) => return told(found),
                    gaps = self.members.next() => return gaps.map(without_rows),
                },
            }
        }
    }

    fn confirm(&mut self, position: &Position) {
        match Lsn::of(position) {
            Ok(place) => self.feed.confirm(self.decoder.let_go(place)),
            Err(error) => tracing::warn!(%error, "a position cannot be confirmed"),
        }
    }

    fn has_reached(&self, place: &dyn LogPlace, position: &Position) -> bool {
        Lsn::of(&place.position()).is_ok_and(|place| place.has_reached(position))
    }
}
