//! The rows of a chunk on their way from the reader to the loader.

use std::sync::Arc;

use whimbrel_connector::{ChunkReader, Error, Loader, RowBlock};
use whimbrel_core::mapping::Predicate;

use super::coordinator::{Shared, TableRun};
use super::segments::PartBlock;
use super::sift::Sifter;
use super::subtask::ChunkError;
use crate::shaping::ShapedBlock;

/// A block of this size is one large row. Two of them at once would be worth more memory than the time that is won.
const LARGE_BLOCK_BYTES: usize = 4 * 1024 * 1024;

/// A table, and the rows of it that are to be chosen among those of a chunk's blocks; `None`: all of them.
#[derive(Clone, Copy)]
pub(super) struct RowsOf<'a> {
    pub(super) table: &'a TableRun,
    pub(super) rows: Option<&'a Predicate>,
}

impl RowsOf<'_> {
    fn chosen(&self, block: Box<dyn RowBlock>) -> Result<Box<dyn RowBlock>, Error> {
        Ok(match self.rows {
            None => block,
            Some(rows) => Box::new(PartBlock::new(block, rows, &self.table.source)?),
        })
    }
}

/// Writes every block of a chunk.
pub(super) async fn pass_all(
    shared: &Shared,
    of_chunk: RowsOf<'_>,
    reader: &mut dyn ChunkReader,
    loader: &mut dyn Loader,
    counted: &mut Counted,
) -> Result<(), ChunkError> {
    let table = of_chunk.table;
    let mut next = reader.next().await.map_err(ChunkError::Source)?;
    while let Some(block) = next {
        let chosen = of_chunk.chosen(block);
        let block = chosen.and_then(|block| table.shaped(block));
        let block = block.map_err(ChunkError::Source)?;
        let (row_count, byte_count) = (block.row_count(), block.byte_count());
        next = pass(reader, loader, block).await?;
        shared.progress.count(&table.name, |entry| {
            counted.add(row_count as u64, byte_count as u64, entry);
        });
    }
    Ok(())
}

/// Writes the rows of a chunk that the target takes.
pub(super) async fn sift(
    shared: &Shared,
    of_chunk: RowsOf<'_>,
    reader: &mut dyn ChunkReader,
    loader: &mut dyn Loader,
    counted: &mut Counted,
) -> Result<(), ChunkError> {
    let mut sifter = Sifter {
        shared,
        table: of_chunk.table,
        exceptions: Vec::new(),
    };
    while let Some(block) = reader.next().await.map_err(ChunkError::Source)? {
        let block = of_chunk.chosen(block).map_err(ChunkError::Source)?;
        sifter.write(loader, block, counted).await?;
    }
    sifter.write_down().await
}

impl TableRun {
    /// The rows as the target is to have them.
    pub(super) fn shaped(&self, block: Box<dyn RowBlock>) -> Result<Box<dyn RowBlock>, Error> {
        Ok(match &self.shape {
            None => block,
            Some(shape) => Box::new(ShapedBlock::new(block, Arc::clone(shape))?),
        })
    }
}

/// Writes a block and answers the next, which is read meanwhile. Not beside a large row: of these one at a time is held.
async fn pass(
    reader: &mut dyn ChunkReader,
    loader: &mut dyn Loader,
    block: Box<dyn RowBlock>,
) -> Result<Option<Box<dyn RowBlock>>, ChunkError> {
    let (written, read) = if block.byte_count() < LARGE_BLOCK_BYTES {
        tokio::join!(loader.write(&*block), reader.next())
    } else {
        let written = loader.write(&*block).await;
        drop(block);
        written.map_err(ChunkError::Target)?;
        (Ok(()), reader.next().await)
    };
    written.map_err(ChunkError::Target)?;
    read.map_err(ChunkError::Source)
}

/// What of an open chunk has been shown in the progress.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) left_out: u64,
}

impl Counted {
    pub(super) fn add(&mut self, rows: u64, bytes: u64, entry: &mut crate::TableProgress) {
        self.rows += rows;
        self.bytes += bytes;
        entry.row_count += rows;
        entry.byte_count += bytes;
    }
}
