//! The standard output, whose reader may go away at any time: that ends no migration.

use std::io::Write as _;

use serde_json::Value;

/// Prints a text.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is there to be told when the reader is gone.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Prints one JSON object on a line of its own.
pub(crate) fn print_json(value: &Value) {
    print(&format!("{value}\n"));
}
