use bytes::Bytes;

use super::WireError;
use super::stream::{HEADER_BYTES, message_length};

/// Whole CopyData messages as the server sent them; or one that is a part of a longer message.
#[derive(Clone, Debug)]
pub(crate) struct CopyBlock {
    pub(crate) bytes: Bytes,
    /// How many messages of the server begin here: 0 for a part of one that began in an earlier block.
    pub(crate) message_count: usize,
    /// Whether it is a part of one message.
    pub(crate) is_part: bool,
}

impl CopyBlock {
    /// The payloads of the messages.
    pub(crate) fn messages(&self) -> Messages<'_> {
        Messages { bytes: &self.bytes }
    }
}

/// Walks over the payloads of CopyData messages.
#[derive(Clone, Debug)]
pub(crate) struct Messages<'a> {
    bytes: &'a [u8],
}

impl<'a> Iterator for Messages<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let length = message_length(self.bytes).ok().flatten()?;
        let (message, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        message.get(HEADER_BYTES..)
    }
}

/// A run of whole CopyData messages at the start of the bytes read so far. It remembers how far it looked, so that each
/// message is looked at once, however small the reads are.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) byte_count: usize,
    pub(super) message_count: usize,
    /// Whether the run ends here, so that waiting for more would be in vain: a message of another type follows, or one that is
    /// larger than a run should be and makes one of its own.
    pub(super) is_last: bool,
}

impl Run {
    /// Goes on over `bytes`, which begin where the run does, until it has about `bytes_max` (at least one message).
    pub(super) fn extend(&mut self, bytes: &[u8], bytes_max: usize) -> Result<(), WireError> {
        while self.byte_count < bytes_max {
            let rest = &bytes[self.byte_count..];
            let Some(length) = message_length(rest)? else {
                break;
            };
            let is_run_of_its_own = length > bytes_max && self.message_count > 0;
            if rest[0] != b'd' || is_run_of_its_own {
                self.is_last = true;
                break;
            }
            if rest.len() < length {
                break;
            }
            self.byte_count += length;
            self.message_count += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 4).unwrap();
        [&[kind][..], &length.to_be_bytes(), payload].concat()
    }

    #[test]
    fn a_run_ends_before_other_messages_and_before_half_ones() {
        let bytes = [
            message(b'd', b"one"),
            message(b'd', b""),
            message(b'c', b""),
        ]
        .concat();
        let mut run = Run::default();
        run.extend(&bytes[..7], 1 << 20).unwrap();
        assert_eq!((run.message_count, run.is_last), (0, false));
        run.extend(&bytes, 1 << 20).unwrap();
        assert_eq!(
            (run.message_count, run.byte_count, run.is_last),
            (2, 13, true)
        );
        let mut run = Run::default();
        run.extend(&bytes, 1).unwrap();
        assert_eq!(run.message_count, 1);
    }

    #[test]
    fn a_large_message_is_a_run_of_its_own() {
        let bytes = [
            message(b'd', b"one"),
            message(b'd', &[b'x'; 100]),
            message(b'd', b"two"),
        ]
        .concat();
        let mut run = Run::default();
        // Known by its head alone.
        run.extend(&bytes[..13], 50).unwrap();
        assert_eq!((run.message_count, run.is_last), (1, true));
        let mut run = Run::default();
        run.extend(&bytes[8..], 50).unwrap();
        assert_eq!((run.message_count, run.byte_count), (1, 105));
    }

    #[test]
    fn payloads_come_back_in_order() {
        let bytes = Bytes::from([message(b'd', b"one"), message(b'd', b"two")].concat());
        let block = CopyBlock {
            bytes,
            message_count: 2,
            is_part: false,
        };
        assert_eq!(block.messages().collect::<Vec<_>>(), [b"one", b"two"]);
    }

    #[test]
    fn a_length_out_of_range_is_refused() {
        assert!(Run::default().extend(&[b'd', 0, 0, 0, 3], 10).is_err());
        assert!(Run::default().extend(&[b'd', 0xFF, 0, 0, 0], 10).is_err());
    }
}
