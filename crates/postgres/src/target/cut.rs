//! Where the rows of a block are cut into statements, when a statement may have only so many.

use std::ops::Range;

/// Type byte and length of CopyData.
pub(super) const FRAME_BYTES: usize = 5;

/// Whole CopyData messages that belong to one statement. Those after the first belong to a statement each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Range<usize>,
    pub(super) rows: u64,
}

/// Makes room for type and length of a message.
pub(super) fn start_frame(messages: &mut Vec<u8>) {
    messages.extend_from_slice(b"d\0\0\0\0");
}

/// Fills in the length of the message that began at `start`; `None` when it is too long to be one.
pub(super) fn end_frame(messages: &mut [u8], start: usize) -> Option<()> {
    let length = i32::try_from(messages.len() - start - 1).ok()?;
    let place = messages.get_mut(start + 1..start + FRAME_BYTES)?;
    place.copy_from_slice(&length.to_be_bytes());
    Some(())
}

/// Cuts messages of a row each. What stands before the first row or after the last belongs to the message of one, or comes last.
pub(super) fn of_messages(bytes: &[u8], rows: u64, room: u64, rows_max: u64) -> Vec<Piece> {
    if rows <= room {
        return vec![Piece {
            bytes: 0..bytes.len(),
            rows,
        }];
    }
    let mut pieces = Vec::new();
    let (mut at, mut left, mut room) = (0, rows, room);
    while left > 0 {
        let rows = left.min(if room > 0 { room } else { rows_max });
        left -= rows;
        let end = if left == 0 {
            bytes.len()
        } else {
            after(bytes, at, rows)
        };
        pieces.push(Piece {
            bytes: at..end,
            rows,
        });
        (at, room) = (end, 0);
    }
    pieces
}

/// Where the message ends that is `count` messages further.
fn after(bytes: &[u8], mut at: usize, count: u64) -> usize {
    for _ in 0..count {
        let length = bytes.get(at + 1..at + FRAME_BYTES);
        let length = length.and_then(|length| length.first_chunk::<4>());
        let length = length.map_or(0, |length| u32::from_be_bytes(*length) as usize);
        at = (at + 1 + length).min(bytes.len());
    }
    at
}

/// Messages in the making, one for each statement.
pub(super) struct Pieces {
    done: Vec<Piece>,
    start: usize,
    rows: u64,
    room: u64,
    rows_max: u64,
    is_too_long: bool,
}

impl Pieces {
    /// For a statement that may have `room` more rows, and others after it.
    pub(super) fn new(room: u64, rows_max: u64) -> Self {
        Self {
            done: Vec::new(),
            start: 0,
            rows: 0,
            room: if room > 0 { room } else { rows_max },
            rows_max,
            is_too_long: false,
        }
    }

    /// Begins the first message.
    pub(super) fn open_frame(&mut self, messages: &mut Vec<u8>) {
        self.start = messages.len();
        start_frame(messages);
    }

    /// Counts a row that is encoded next, in a message of its own where a statement ends before it.
    pub(super) fn next_row(&mut self, messages: &mut Vec<u8>) {
        if self.rows == self.room {
            self.close_frame(messages);
            self.room = self.rows_max;
            self.open_frame(messages);
        }
        self.rows += 1;
    }

    fn close_frame(&mut self, messages: &mut [u8]) {
        self.is_too_long |= end_frame(messages, self.start).is_none();
        self.done.push(Piece {
            bytes: self.start..messages.len(),
            rows: self.rows,
        });
        self.rows = 0;
    }

    /// The messages; `None` when one is longer than a message can be.
    pub(super) fn finish(mut self, messages: &mut [u8]) -> Option<Vec<Piece>> {
        self.close_frame(messages);
        (!self.is_too_long).then_some(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(payloads: &[&[u8]]) -> Vec<u8> {
        let mut all = Vec::new();
        for payload in payloads {
            let start = all.len();
            start_frame(&mut all);
            all.extend_from_slice(payload);
            end_frame(&mut all, start).unwrap();
        }
        all
    }

    fn rows_of(pieces: &[Piece]) -> Vec<u64> {
        pieces.iter().map(|piece| piece.rows).collect()
    }

    #[test]
    fn messages_are_cut_between_rows_and_what_is_no_row_stays_with_the_last() {
        let bytes = messages(&[b"header row1", b"row2", b"", b"row4", b"row5", b"trailer"]);
        let pieces = of_messages(&bytes, 5, 1, 2);
        assert_eq!(rows_of(&pieces), [1, 2, 2]);
        let cut: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| bytes[piece.bytes.clone()].to_vec())
            .collect();
        assert_eq!(cut, bytes);
        assert_eq!(bytes[pieces[0].bytes.clone()], messages(&[b"header row1"]));
        assert_eq!(
            bytes[pieces[2].bytes.clone()],
            messages(&[b"row4", b"row5", b"trailer"])
        );
        assert_eq!(rows_of(&of_messages(&bytes, 5, 0, 2)), [2, 2, 1]);
        assert_eq!(rows_of(&of_messages(&bytes, 5, 5, 5)), [5]);
        assert_eq!(
            rows_of(&of_messages(&messages(&[b"trailer"]), 0, 0, 5)),
            [0]
        );
    }

    #[test]
    fn encoded_rows_get_a_message_for_each_statement() {
        let mut bytes = Vec::new();
        let mut pieces = Pieces::new(1, 2);
        pieces.open_frame(&mut bytes);
        for row in [b"a", b"b", b"c", b"d"] {
            pieces.next_row(&mut bytes);
            bytes.extend_from_slice(row);
        }
        let pieces = pieces.finish(&mut bytes).unwrap();
        assert_eq!(rows_of(&pieces), [1, 2, 1]);
        assert_eq!(bytes, messages(&[b"a", b"bc", b"d"]));
        let mut bytes = Vec::new();
        let mut pieces = Pieces::new(0, 3);
        pieces.open_frame(&mut bytes);
        pieces.next_row(&mut bytes);
        assert_eq!(rows_of(&pieces.finish(&mut bytes).unwrap()), [1]);
    }
}
