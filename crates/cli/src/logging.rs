//! The log on the standard error, written around the progress bars that are there.

use std::io::{self, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
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

/// What is logged. A word alone has to be a level: the library takes any other for the name of a part of the program, and logs nothing else.
fn filter(directives: &str) -> Result<EnvFilter, Failure> {
    let refused = |why: String| {
        Failure::usage(format!("--log-level {directives} is not understood: {why}")).with_help(
            "use off, error, warn, info, debug or trace, or directives such as warn,whimbrel_engine=debug",
        )
    };
    let mut words = directives.split(',').map(str::trim);
    let is_level = |word: &str| word.is_empty() || word.parse::<LevelFilter>().is_ok();
    if let Some(word) = words.find(|word| !word.contains(['=', '[']) && !is_level(word)) {
        return Err(refused(format!("{word} is no level")));
    }
    EnvFilter::try_new(directives).map_err(|error| refused(error.to_string()))
}

/// Starts the log. `default` is what is logged when the user says nothing.
pub(crate) fn start(args: &LogArgs, default: &str, screen: &Screen) -> Result<(), Failure> {
    let filter = filter(args.log_level.as_deref().unwrap_or(default))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_with_those_that_are() {
        for taken in [
            "off",
            "WARN",
            "info",
            "",
            "warn,whimbrel_engine=debug",
            "hyper[{x}]=trace, error",
        ] {
            assert!(filter(taken).is_ok(), "{taken}");
        }
        for refused in [
            "nonsense",
            "warning",
            "warn,whimbrel_engine",
            "whimbrel_engine=loud",
        ] {
            let failure = filter(refused).unwrap_err().text();
            assert!(
                failure.contains(&format!("--log-level {refused} is not understood"))
                    && failure.contains("use off, error, warn, info, debug or trace"),
                "{failure}"
            );
        }
    }
}
