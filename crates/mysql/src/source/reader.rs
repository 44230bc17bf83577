use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::{ChunkReader, Error, ReadFormat, ReadRequest, RowBlock};
use whimbrel_core::Table;

use super::block::{BlockLayout, MysqlBlock};
use super::filter;
use super::parts::PartReader;
use super::pool::Loan;
use super::range::KeyRange;
use super::texts;
use crate::errors::of_table;
use crate::quote;
use crate::types::RowDecoder;
use crate::wire::{ResultColumn, RowsOrPart};

const DOING: &str = "read rows of the table";

/// Reads chunks over one connection of the snapshot.
pub(super) struct MysqlReader {
    loan: Loan,
    open: Option<OpenChunk>,
}

struct OpenChunk {
    layout: Arc<BlockLayout>,
    block_bytes: usize,
    /// The row that comes in parts; `None` where rows come whole.
    parts: Option<PartReader>,
}

impl MysqlReader {
    pub(super) fn new(loan: Loan) -> Self {
        Self { loan, open: None }
    }
}

/// The rows of a chunk in the order of the primary key, in which the target's own key is built fastest.
fn select(table: &Table, range: &KeyRange, wanted: Option<String>) -> Result<String, Error> {
    let stale = || {
        Error::table(
            &table.name,
            "the chunk's range does not fit the table's key any more; start the load again",
        )
    };
    let condition = range.condition(table).ok_or_else(stale)?;
    let columns = texts::columns(table);
    let mut sql = format!("SELECT {columns} FROM {}", quote::table(&table.name));
    if let Some(partition) = &range.partition {
        sql.extend([" PARTITION (", &quote::identifier(partition), ")"]);
    }
    let (index, order) = range.reading_order(table, wanted.is_some());
    if let Some(index) = index {
        // Without the hint a server may read the whole table and sort it.
        sql.extend([" FORCE INDEX (", &quote::identifier(&index), ")"]);
    }
    let in_range = (!condition.is_empty()).then_some(condition);
    let conditions: Vec<String> = in_range.into_iter().chain(wanted).collect();
    if !conditions.is_empty() {
        sql.push_str(" WHERE ");
        sql.push_str(&conditions.join(" AND "));
    }
    if !order.is_empty() {
        sql.push_str(" ORDER BY ");
        sql.push_str(&quote::list(order.iter().map(String::as_str)));
    }
    Ok(sql)
}

/// How rows of all loaded columns are decoded that the server has announced so.
pub(super) fn layout(table: &Table, announced: &[ResultColumn]) -> Result<BlockLayout, Error> {
    let decoder = RowDecoder::new(table.loaded_columns(), announced).map_err(|what| {
        Error::table(
            &table.name,
            format!("it was altered since it was described ({what}); start the load again"),
        )
    })?;
    Ok(BlockLayout {
        table: table.clone(),
        decoder,
    })
}

#[async_trait]
impl ChunkReader for MysqlReader {
    async fn open(&mut self, request: ReadRequest<'_>) -> Result<(), Error> {
        let ReadRequest {
            table,
            bounds,
            filter,
            format,
            block_bytes,
        } = request;
        if format.raw().is_some() {
            return Err(Error::Fatal(
                "rows of MySQL and MariaDB can only be read decoded".to_owned(),
            ));
        }
        self.open = None;
        self.loan.end_statement().await?;
        let range = KeyRange::from_bounds(bounds)
            .ok_or_else(|| Error::table(&table.name, "the chunk's range cannot be understood"))?;
        let wanted = filter.and_then(|filter| filter::condition(filter, table));
        let sql = select(table, &range, wanted)?;
        let failed = |error| of_table(error, &table.name, DOING);
        let announced = self.loan.run(&sql).await.map_err(failed)?;
        let layout = layout(table, &announced)?;
        self.open = Some(OpenChunk {
            layout: Arc::new(layout),
            block_bytes,
            parts: (format == ReadFormat::InParts).then(PartReader::default),
        });
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Box<dyn RowBlock>>, Error> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let failed = |error| of_table(error, &open.layout.table.name, DOING);
        let connection = self.loan.connection().map_err(failed)?;
        let layout = Arc::clone(&open.layout);
        let Some(parts) = &mut open.parts else {
            let packets = connection.block(open.block_bytes).await.map_err(failed)?;
            return Ok(packets.map(|packets| boxed(MysqlBlock { layout, packets })));
        };
        let next = connection.block_in_parts(open.block_bytes).await;
        Ok(match next.map_err(failed)? {
            None => None,
            Some(RowsOrPart::Rows(packets)) => Some(boxed(MysqlBlock { layout, packets })),
            Some(RowsOrPart::Part(part)) => Some(boxed(parts.part(part, &layout)?)),
        })
    }
}

fn boxed(block: impl RowBlock + 'static) -> Box<dyn RowBlock> {
    Box::new(block)
}
