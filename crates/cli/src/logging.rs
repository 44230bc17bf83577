//! The log on the standard error, written around the progress bars that are there.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use whimbrel_core::visible_lines;

use crate::args::{LogArgs, LogFormat};
use crate::failure::Failure;

/// The standard error, shared between bars, log and messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Screen {
    bars: MultiProgress,
}

impl Screen {
    /// Where bars are added.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints a text above the bars: characters that would do something to a terminal are escapes.
    pub(crate) fn print(&self, text: &str) {
        // A standard error that nobody reads is no reason to fail.
        drop(self.write_all(visible_lines(text).as_bytes()));
    }

    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        self.bars.suspend(|| io::stderr().lock().write_all(bytes))
    }
}

/// One event of the log: taken together, so that no bar is drawn into it.
#[derive(Debug)]
pub(crate) struct LogLine {
    screen: Screen,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.screen.write_all(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Screen {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine {
            screen: self.clone(),
        }
    }
}

/// Starts the log. `default` is what is logged when the user says nothing.
pub(crate) fn start(args: &LogArgs, default: &str, screen: &Screen) -> Result<(), Failure> {
    let directives = args.log_level.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(directives).map_err(|error| {
        Failure::usage(format!(
            "--log-level {directives} is not understood: {error}"
        ))
        .with_help(
            "use error, warn, info, debug or trace, or directives such as whimbrel_engine=debug",
        )
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(screen.clone());
    let started = match args.log_format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log
            .with_ansi(io::IsTerminal::is_terminal(&io::stderr()))
            .try_init(),
    };
    started.map_err(|error| {
        Failure::new(
            crate::failure::Exit::Failed,
            format!("the log cannot be started: {error}"),
        )
    })
}
