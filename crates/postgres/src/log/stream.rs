use std::io;

use async_trait::async_trait;
use tokio::task::{JoinHandle, spawn_blocking};
use whimbrel_connector::{ChangeBlock, ChangeStream, Error, LogPlace};
use whimbrel_core::Position;

use super::ddl::DdlMessage;
use super::decoder::{Decoder, Step};
use super::feed::Feed;
use super::heartbeat::Heartbeat;
use super::message::RelationMessage;
use super::place::Lsn;
use super::relation::Describer;
use super::spill::Done;

/// A running capture.
pub(super) struct PostgresStream {
    pub(super) feed: Feed,
    pub(super) decoder: Decoder,
    pub(super) describer: Describer,
    /// The table that the decoder waits to be told of.
    pub(super) unknown: Option<RelationMessage>,
    /// What the decoder waits for.
    pub(super) disk: Option<JoinHandle<io::Result<Done>>>,
    /// Ends with the stream.
    pub(super) _heartbeat: Option<Heartbeat>,
}

#[async_trait]
impl ChangeStream for PostgresStream {
    /// What was read lies in the decoder at all times, so that nothing is lost with a dropped call.
    async fn next(&mut self) -> Result<ChangeBlock, Error> {
        loop {
            if let Some(relation) = &self.unknown {
                let known = self.describer.describe(relation).await?;
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
                Step::Starved => {
                    let block = self.feed.next().await?;
                    self.decoder.feed(block);
                }
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
        Lsn::parse(place.position().as_str()).is_some_and(|place| place.has_reached(position))
    }
}
