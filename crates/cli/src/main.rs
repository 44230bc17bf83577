//! The `whimbrel` command: parses, builds, runs, and answers an exit code.

mod address;
mod args;
mod assess;
mod check;
mod endpoint;
mod failure;
mod forget;
mod format;
mod interrupt;
mod keys;
mod logging;
mod migrate;
mod notes;
mod output;
mod progress;
mod selection;
mod serve;
mod validate;

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use args::{Cli, Command};
use failure::{Exit, Failure};
use logging::Screen;

/// Blocks of rows come and go on all threads; this allocator is quicker at that and gives memory back sooner.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A table that fails is shown by the display, and so is an alarm, and the summary lists objects; that the engine logs them too would say it twice.
const QUIET_LOG: &str = "warn,whimbrel_engine::full_load::coordinator=off,whimbrel_engine::cdc::log_watch=off,whimbrel_engine::objects::told=off";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &arguments).into(),
    };
    let screen = Screen::default();
    match run(&cli, &screen).and_then(output::checked) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            screen.print(&failure.text());
            failure.exit.into()
        }
    }
}

fn run(cli: &Cli, screen: &Screen) -> Result<Exit, Failure> {
    let default_log = match &cli.command {
        Command::Serve(_) => "info",
        _ => QUIET_LOG,
    };
    logging::start(&cli.log, default_log, screen)?;
    if let Command::Completions { shell } = &cli.command {
        let mut script = Vec::new();
        clap_complete::generate(*shell, &mut Cli::command(), "whimbrel", &mut script);
        output::print(&String::from_utf8_lossy(&script));
        return Ok(Exit::Done);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("the runtime cannot be started: {error}"),
            )
        })?;
    let exit = runtime.block_on(async {
        match &cli.command {
            Command::Migrate(args) => Box::pin(migrate::run(args, screen)).await,
            Command::Assess(args) => Box::pin(assess::run(args, screen)).await,
            Command::Validate(args) => Box::pin(validate::run(args, screen)).await,
            Command::Forget(args) => Box::pin(forget::run(args)).await,
            Command::Check(args) => Box::pin(check::run(args)).await,
            Command::Serve(args) => Box::pin(serve::run(args, screen)).await,
            Command::Keys(args) => Box::pin(keys::run(args)).await,
            Command::Completions { .. } => Ok(Exit::Done),
        }
    });
    // Connections that are being closed do not keep the command from ending.
    runtime.shutdown_background();
    exit
}

/// Prints why the command line was refused, or the help that it asks for.
fn refuse(error: &clap::Error, arguments: &[String]) -> Exit {
    let text = args::explain(error, arguments);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            output::print(&text);
            Exit::Done
        }
        _ => {
            Screen::default().print(&text);
            Exit::Usage
        }
    }
}
