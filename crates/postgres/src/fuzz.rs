//! The decoders of bytes from outside, for the fuzz targets: none of them may panic, whatever it is given.

use whimbrel_connector::RowVisitor;
use whimbrel_core::Value;

use crate::{log, options, source, types, wire};

/// What a server says: the first byte chooses the exchange, the others are the server's.
pub async fn exchange(data: &[u8]) {
    wire::fuzz::exchange(data).await;
}

/// Rows of `COPY BINARY`, as a source hands them over. The columns have every type there is.
pub fn copy_rows(data: &[u8], visit: &mut RowVisitor<'_>) {
    source::fuzz::rows(data, visit);
}

/// A stream of the log: messages of `pgoutput`, and of it the rows. The first byte says whether the rest is the stream itself, or messages with a
/// byte for the length before each.
pub fn log_stream(data: &[u8], visit: &mut RowVisitor<'_>) {
    log::fuzz::stream(data, visit);
}

/// What comes as text from the catalog and the log, or from a checkpoint: positions, histories of timelines, definitions, types.
pub fn words(data: &[u8]) {
    log::fuzz::words(data);
    types::fuzz::words(data);
}

/// A cell in text form, read as each type.
pub fn text_cells(data: &[u8], visit: &mut RowVisitor<'_>) {
    types::fuzz::text_cells(data, visit);
}

/// Writes a value in every form, as whatever type a column could have.
pub fn write(value: &Value<'_>) {
    types::fuzz::write(value);
}

/// An endpoint as a URL.
pub fn url(text: &str) {
    options::Options::from_url(text).ok();
}
