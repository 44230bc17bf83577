//! The decoders of bytes from outside, for the fuzz targets: none of them may panic, whatever it is given.

use whimbrel_connector::RowVisitor;
use whimbrel_core::Value;

use crate::{log, options, source, types, wire};

/// What a server says: the first byte chooses the exchange, the others are the server's.
pub async fn exchange(data: &[u8]) {
    wire::fuzz::exchange(data).await;
}

/// Rows of the binary protocol, as a source hands them over. The columns have every type there is.
pub fn rows(data: &[u8], visit: &mut RowVisitor<'_>) {
    source::fuzz::rows(data, visit);
}

/// The binary log. The first byte chooses the engine, and whether the rest is packets as the server sends them, or events with a byte for the kind
/// and two for the length before each.
pub fn log_stream(data: &[u8], visit: &mut RowVisitor<'_>) {
    log::fuzz::stream(data, visit);
}

/// The binary forms of documents, with the differences that a partial update tells, of decimals, of times and of compressed parts.
pub fn log_cells(data: &[u8]) {
    log::fuzz::cells(data);
}

/// What comes as text from the log, the catalog or a checkpoint: statements, positions, sets of ids, types.
pub fn words(data: &[u8]) {
    log::fuzz::words(data);
    types::fuzz::words(data);
}

/// Writes a value for whatever column there could be, and reads the cell back.
pub fn write(value: &Value<'_>) {
    types::fuzz::write(value);
}

/// An endpoint as a URL.
pub fn url(text: &str) {
    options::Options::from_url(text).ok();
}
