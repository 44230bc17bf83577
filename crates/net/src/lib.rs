//! What connectors share below their protocols: URLs, sockets, and their encryption.
//!
//! Nothing here speaks to a server; the wire clients do, over an [`Io`].

mod cause;
mod io;
mod long_buffer;
mod reach;
mod row_scanner;
mod scanned_part;
mod tls;
mod url;

pub use cause::Cause;
pub use io::Io;
pub use long_buffer::LongBuffer;
pub use reach::{Unreachable, notice_silence, reach};
pub use row_scanner::{BadRow, CellHead, CutAs, Found, RowFraming, RowScanner, ScanFault, Scanned};
pub use scanned_part::{PartCells, ScannedPart};
pub use tls::{TlsFailure, TlsMode, TlsSettings, encrypt};
pub use url::{InvalidUrl, ServerUrl, UrlForm};
