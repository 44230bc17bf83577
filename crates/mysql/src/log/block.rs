//! The block that is being filled.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{ChangeBlock, LogEvent};

use super::layout::{Form, Image, LogRows, Shape};

/// Events of a block are at most so many; rows of no bytes would have no bound else.
const EVENTS_MAX: usize = 1 << 16;
/// Bytes of a block, inflated ones included; a single larger buffer is a block of its own.
const BYTES_MAX: usize = 384 << 10;
/// How far back a buffer is looked for.
const BUFFERS_NEAR: usize = 4;

/// Events and the buffers that their rows lie in.
#[derive(Debug, Default)]
pub(super) struct Builder {
    pub(super) events: Vec<LogEvent>,
    rows: LogRows,
    /// Shapes by buffer and by the images they are made of.
    shapes: HashMap<(usize, [usize; 2]), u32>,
    /// Of the buffers.
    bytes: usize,
    /// The capacity that the last block needed.
    usual: usize,
}

impl Builder {
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= EVENTS_MAX || self.bytes >= BYTES_MAX
    }

    /// The number of a shape whose rows lie in `buffer`.
    pub(super) fn shape(&mut self, buffer: &Bytes, form: Form) -> u32 {
        let is_it =
            |known: &Bytes| known.as_ptr() == buffer.as_ptr() && known.len() == buffer.len();
        // A few back: pieces that were inflated may come between the events of one buffer.
        let near = self.rows.buffers.len().saturating_sub(BUFFERS_NEAR);
        let known = self.rows.buffers[near..].iter().rposition(is_it);
        let buffer = known.map_or_else(
            || {
                self.bytes += buffer.len();
                self.rows.buffers.push(buffer.clone());
                self.rows.buffers.len() - 1
            },
            |at| near + at,
        );
        let address = |image: &Arc<Image>| Arc::as_ptr(image).addr();
        let images = match &form {
            Form::Plain(image) => [address(image), 0],
            Form::Defaulted(image, defaults) => [address(image), Arc::as_ptr(defaults).addr()],
            Form::Partial { before, after } => [address(before), address(after)],
        };
        if let Some(&known) = self.shapes.get(&(buffer, images)) {
            return known;
        }
        let number = u32::try_from(self.rows.shapes.len()).unwrap_or(u32::MAX);
        self.rows.shapes.push(Shape { buffer, form });
        self.shapes.insert((buffer, images), number);
        number
    }

    /// Takes events back, from an index on. Shapes of tables stay told.
    pub(super) fn take_back(&mut self, from: usize) {
        let mut index = 0;
        self.events.retain(|event| {
            index += 1;
            index <= from || matches!(event, LogEvent::Table { .. })
        });
    }

    /// The block, if there is anything in it.
    pub(super) fn finish(&mut self) -> Option<ChangeBlock> {
        self.bytes = 0;
        if self.events.is_empty() {
            // Rows that were taken back need no bytes.
            self.rows = LogRows::default();
            self.shapes.clear();
            return None;
        }
        self.usual = self.events.len();
        self.shapes.clear();
        Some(ChangeBlock {
            events: std::mem::replace(&mut self.events, Vec::with_capacity(self.usual)),
            rows: Arc::new(std::mem::take(&mut self.rows)),
        })
    }
}
