//! The standard output, whose reader may go away at any time: that ends no migration. Anything else that keeps a text from being written is told at the end.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use serde_json::{Value, json};
use whimbrel_core::visible_lines;

use crate::failure::{Exit, Failure};

/// The first text that could not be written: why.
static FAULT: OnceLock<io::Error> = OnceLock::new();

/// Prints a text for people: characters that would do something to a terminal are escapes.
pub(crate) fn print(text: &str) {
    print_exactly(&visible_lines(text));
}

/// Prints a script, whose statements have their names exactly, unless people read it.
pub(crate) fn print_script(script: &str) {
    if io::stdout().is_terminal() {
        print(script);
    } else {
        print_exactly(script);
    }
}

/// Prints one JSON object on a line of its own.
pub(crate) fn print_json(value: &Value) {
    print_exactly(&format!("{value}\n"));
}

/// Prints the last event of a command that has failed.
pub(crate) fn print_failed(failure: &Failure) {
    print_json(&json!({
        "event": "finished",
        "exit_code": failure.exit.code(),
        "error": failure.message,
        "help": failure.help,
    }));
}

/// Whether a text is lost, for whatever reason: a secret that is shown once is then shown to nobody.
pub(crate) fn is_lost() -> bool {
    FAULT.get().is_some()
}

/// The exit of a command that wrote to the standard output. One that has not been able to is no success, unless its reader went away by itself.
pub(crate) fn checked(exit: Exit) -> Result<Exit, Failure> {
    match FAULT.get() {
        Some(fault) if exit == Exit::Done && fault.kind() != io::ErrorKind::BrokenPipe => {
            let message = format!("the standard output cannot be written: {fault}");
            Err(Failure::new(Exit::Failed, message)
                .with_help("what the command does is done, but not all of it was told: see to the place where its output goes"))
        }
        _ => Ok(exit),
    }
}

fn print_exactly(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(fault) = written {
        FAULT.get_or_init(|| fault);
    }
}
