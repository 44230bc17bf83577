//! The command line as types. Its texts are what `--help` shows.

mod assess;
mod forget;
mod migrate;
mod refusal;
mod service;
mod shape;
mod tables;
mod validate;

pub(crate) use assess::AssessArgs;
pub(crate) use forget::ForgetArgs;
pub(crate) use migrate::{MigrateArgs, Prepare, ProgressMode};
pub(crate) use refusal::explain;
pub(crate) use service::{KeysArgs, KeysCommand, ServeArgs};
pub(crate) use shape::ShapeArgs;
pub(crate) use tables::{PasswordArgs, TableArgs, UrlText};
pub(crate) use validate::{CheckArgs, ValidateArgs};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// What every exit code means, shown by each command's help.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0    all done; for validate: no difference; for assess: no check failed
  1    some tables are in error, or some of their objects could not be made; for validate: differences, or tables that cannot be compared; for assess: a check failed
  2    the arguments are wrong, no table matches them, or there is nothing to resume
  3    no connection to a database could be made
  4    it failed otherwise
  130  interrupted";

/// Migrates PostgreSQL, MySQL and MariaDB databases, and serves the AWS DMS API.
#[derive(Debug, Parser)]
#[command(
    name = "whimbrel",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = concat!(
        "Examples:\n",
        "  whimbrel check postgres://me:secret@db.example.net/shop\n",
        "  whimbrel migrate mysql://me@old.example.net/shop postgres://me@new.example.net/shop --dry-run\n",
        "  whimbrel serve --data-dir /var/lib/whimbrel\n\n",
        "`whimbrel help COMMAND` has the options and examples of each command."
    )
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Options of the log.
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// The commands. Those with arguments of their own are described there.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Migrate(Box<MigrateArgs>),
    Assess(Box<AssessArgs>),
    Validate(Box<ValidateArgs>),
    Forget(Box<ForgetArgs>),
    Check(Box<CheckArgs>),
    Serve(Box<ServeArgs>),
    Keys(Box<KeysArgs>),
    /// Writes a shell's completion script to the standard output
    #[command(
        after_help = "Examples:\n  whimbrel completions bash > /etc/bash_completion.d/whimbrel\n  whimbrel completions zsh  > ~/.zfunc/_whimbrel"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What is logged to the standard error, and how.
#[derive(Clone, Debug, Args)]
pub(crate) struct LogArgs {
    /// What to log: error, warn, info, debug, trace, or directives such as `whimbrel_engine=debug` [default: warn; serve: info]
    #[arg(
        long,
        value_name = "LEVEL",
        env = "WHIMBREL_LOG_LEVEL",
        global = true,
        help_heading = "Logging"
    )]
    pub(crate) log_level: Option<String>,
    /// Form of the log on the standard error
    #[arg(
        long,
        value_name = "FORMAT",
        env = "WHIMBREL_LOG_FORMAT",
        global = true,
        default_value = "text",
        help_heading = "Logging"
    )]
    pub(crate) log_format: LogFormat,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

#[cfg(test)]
mod tests;
