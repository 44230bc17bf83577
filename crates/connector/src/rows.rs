use bytes::Bytes;
use whimbrel_core::Value;

use crate::{Error, PieceVisitor};

/// A wire format that a source can hand over and a target can take without decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RawFormat {
    /// PostgreSQL `COPY … (FORMAT binary)`: CopyData messages exactly as the server sent them, type byte and length
    /// included. The first block of a chunk begins with the format's signature, the last ends with its trailer. A message
    /// longer than a block may come as several, one block each, of which the first counts as the row and the others as none.
    PgCopyBinary,
    /// PostgreSQL `COPY … (FORMAT text)`: CopyData messages in the same way.
    PgCopyText,
}

/// A block's bytes in a raw format.
#[derive(Debug)]
pub struct RawRows<'a> {
    /// The format.
    pub format: RawFormat,
    /// Whole messages.
    pub bytes: &'a Bytes,
}

/// Called with the cells of each row, in the order of the columns that were asked for.
pub type RowVisitor<'v> = dyn FnMut(&[Value<'_>]) -> Result<(), Error> + Send + 'v;

/// Some rows of a chunk, in the source's wire format.
///
/// A block aims at a fixed size in bytes. A row larger than that is a block of its own where the rows are read decoded; in a raw format it
/// may be several blocks, each of whole messages and of nothing else, and read in parts it may be several blocks of pieces.
pub trait RowBlock: Send + Sync {
    /// How many rows begin here. 0 is possible (a raw block that only ends the format, or goes on with a long row).
    fn row_count(&self) -> usize;

    /// Bytes of the rows in the wire format, for progress and bounds.
    fn byte_count(&self) -> usize;

    /// The rows in the format that was asked for; `None` when the chunk is read decoded.
    fn raw(&self) -> Option<RawRows<'_>>;

    /// Decodes row after row and hands each to `visit`, which may stop by error.
    ///
    /// # Errors
    /// The visitor's; or [`Error::Row`] when a cell is not what its column type promises; or [`Error::Fatal`] for a raw
    /// block, which cannot be decoded.
    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error>;

    /// Whether the rows are the same whenever they are decoded, so that some bytes of one may be taken from one decoding and the rest from another.
    fn is_repeatable(&self) -> bool {
        true
    }

    /// As [`Self::decode`], without the first `skipped` rows, which are not looked at: one of them may be a row that cannot be read.
    ///
    /// # Errors
    /// As [`Self::decode`] has them.
    fn decode_from(&self, skipped: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut at = 0;
        self.decode(&mut |row| {
            at += 1;
            if at > skipped { visit(row) } else { Ok(()) }
        })
    }

    /// Whether the block is a part of a row that was asked for in parts ([`ReadFormat::InParts`](crate::ReadFormat::InParts)): it has no rows to decode,
    /// but pieces.
    fn is_part(&self) -> bool {
        false
    }

    /// Hands the pieces of a part to `visit`. Those of the parts that follow one another, up to the last column, are the row. May be called once.
    ///
    /// # Errors
    /// The visitor's; or [`Error::Row`] when a cell is not what its column type promises; or [`Error::Fatal`] for a block that is no part.
    fn pieces(&self, _visit: &mut PieceVisitor<'_>) -> Result<(), Error> {
        Err(Error::Fatal(
            "a block of whole rows was asked for pieces".to_owned(),
        ))
    }

    /// Hands over what can be read of a row that cannot be read whole: other cells are `NotSent`, and those that are not there are not known
    /// either.
    ///
    /// # Errors
    /// The visitor's.
    fn readable(&self, _at: usize, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        visit(&[])
    }
}
