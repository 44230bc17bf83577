//! The standard output, whose reader may go away at any time: that ends no migration.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;
use whimbrel_core::visible_lines;

/// Prints a text for people: characters that would do something to a terminal are escapes.
pub(crate) fn print(text: &str) {
    print_exactly(&visible_lines(text));
}

/// Prints a script, whose statements have their names exactly, unless people read it.
pub(crate) fn print_script(script: &str) {
    if std::io::stdout().is_terminal() {
        print(script);
    } else {
        print_exactly(script);
    }
}

/// Prints one JSON object on a line of its own.
pub(crate) fn print_json(value: &Value) {
    print_exactly(&format!("{value}\n"));
}

fn print_exactly(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody is there to be told when the reader is gone.
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}
