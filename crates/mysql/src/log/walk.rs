//! Going through the log without making sense of its rows, for what has to be looked up in it.

use whimbrel_connector::Error;

use super::event::kind;
use super::feed::{Event, Input, bad};
use super::place::{LogFile, widen};
use super::replica;
use crate::options::Options;
use crate::wire::{Malformed, Reader};

/// Gives every event, and knows where it lies.
pub(super) struct Walk {
    input: Input,
    /// The file of the last event.
    pub(super) file: LogFile,
    /// Behind the last event.
    pub(super) offset: u64,
}

impl Walk {
    /// Begins between two events.
    pub(super) async fn open(options: &Options, file: LogFile, offset: u64) -> Result<Self, Error> {
        Ok(Self {
            input: replica::dump(options, &file.name, offset).await?,
            file,
            offset: replica::first_offset(offset),
        })
    }

    /// Waits for the next event. At the log's end the server gives signs of life, which are events too.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        let event = loop {
            match self.input.next()? {
                Some(event) => break event,
                None => self.input.fill().await?,
            }
        };
        let header = &event.header;
        if header.kind == kind::ROTATE {
            let cut = |Malformed| bad("an event that ends too early");
            let mut reader = Reader::new(event.body());
            self.offset = reader.u64().map_err(cut)?;
            let name = String::from_utf8_lossy(reader.rest()).into_owned();
            self.file =
                LogFile::new(&name).ok_or_else(|| bad("a file whose name has no number"))?;
        } else if !event.is_inner && !header.is_artificial() && header.next_offset != 0 {
            self.offset = widen(self.offset, header.next_offset);
        }
        Ok(event)
    }

    /// Where the last event begins.
    pub(super) fn start_of(&self, event: &Event) -> u64 {
        self.offset.saturating_sub(event.header.bytes.into())
    }

    /// Whether everything before a place has been given.
    pub(super) fn has_reached(&self, file: &LogFile, offset: u64) -> bool {
        (self.file.number, self.offset) >= (file.number, offset)
    }
}
