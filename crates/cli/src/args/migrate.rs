//! `whimbrel migrate`.

use clap::{Args, ValueEnum};
use whimbrel_connector::PrepareMode;
use whimbrel_core::objects::ObjectSelection;

use super::{EXIT_CODES, PasswordArgs, ShapeArgs, TableArgs, UrlText};
use crate::format;

/// A chunk below this is mostly the cost of its own transaction.
const CHUNK_BYTES_MIN: u64 = 64 * 1024;
const CHUNK_BYTES_MAX: u64 = 64 * 1024 * 1024 * 1024;

/// The engine takes no more.
pub(crate) const JOBS_MAX: u16 = 49;

/// Somebody waits at the terminal: a server that restarts is waited for, one that is gone is given up after some minutes.
const RETRIES: u32 = 9;

const EXAMPLES: &str = "\
URLs:
  postgres://USER:PASSWORD@HOST:PORT/DATABASE, mysql://… or mariadb://…,
  special characters as %xx (@ is %40).
  TLS: ?sslmode=require, verify-ca or verify-full, and &sslrootcert=FILE.
  A password in the URL shows in the list of processes. Without one, WHIMBREL_SOURCE_PASSWORD and
  WHIMBREL_TARGET_PASSWORD are used, or --source-password-file and --target-password-file.

Names at the target:
  A table keeps its name and its schema's name: database shop of MySQL becomes schema shop of PostgreSQL.
  A MySQL or MariaDB target URL with a database takes all tables into that database.
  --rename-schema and --target-schema change it.

Examples:
  whimbrel migrate postgres://me@old/shop postgres://me@new/shop
  whimbrel migrate mysql://me@old/shop postgres://me@new/shop --rename-schema shop=public
  whimbrel migrate mariadb://me@old/shop postgres://me@new/shop --tables 'shop.o%' --exclude shop.old
  whimbrel migrate … --dry-run           what would be done, with the SQL; changes nothing
  whimbrel migrate … --resume            after an interruption: finished chunks are not read again
  whimbrel migrate … --follow            load, then apply changes as they are committed, until Ctrl-C
  whimbrel migrate … --resume --follow   go on with that; tables that were still being loaded start anew
  whimbrel migrate … --resume --until-caught-up    the last changes before the switch, then end
  whimbrel forget SOURCE TARGET          when it is over: lets the source drop its log
";

/// Copies tables from one database to another, each row exactly as it is, and makes their indexes, keys and defaults.
///
/// The source is read under one consistent snapshot, in parallel chunks. The rows of a chunk and the record that it is done are
/// committed together, so that an interrupted migration can go on with --resume. With --follow the changes made since the snapshot
/// are applied too, each exactly once, in the order in which they were committed.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the command line"
)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
pub(crate) struct MigrateArgs {
    /// Where rows come from: postgres://, mysql:// or mariadb://
    pub(crate) source_url: UrlText,
    /// Where rows go
    pub(crate) target_url: UrlText,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    #[command(flatten)]
    pub(crate) passwords: PasswordArgs,
    /// What happens to tables that exist at the target
    #[arg(long, value_name = "MODE", default_value = "drop-and-create")]
    pub(crate) prepare: Prepare,
    /// Writes into tables that other tasks with this option feed with changes too, each with rows of its own keys; with --prepare do-nothing
    #[arg(long)]
    pub(crate) shared_target_tables: bool,
    /// Chunks loaded at once; each takes a connection at either end [default: by the machine, 2 to 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)))]
    pub(crate) jobs: Option<u16>,
    /// Aim for the size of a chunk, such as 64MiB or 1GiB
    #[arg(long, value_name = "SIZE", default_value = "128MiB", value_parser = chunk_bytes)]
    pub(crate) chunk_size: u64,
    /// Goes on after the load: applies the source's changes as they are committed, until Ctrl-C
    #[arg(long)]
    pub(crate) follow: bool,
    /// Ends once the changes that were made during the load are applied; with --resume, those made until now
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) until_caught_up: bool,
    /// Creates no primary keys
    #[arg(long)]
    pub(crate) no_keys: bool,
    /// What is made beside rows and primary keys: all (what has a text of its own between servers of one engine alone, and listed between others), tables
    /// (what belongs to tables alone; the rest is listed), none, or a list of these and converted-views (views of another engine, for review), extensions, types, routines, indexes, foreign-keys, checks, sequences, defaults, views, triggers, policies, events, grants, comments, statistics
    #[arg(long, value_name = "KINDS", default_value = "all", value_parser = ObjectSelection::parse)]
    pub(crate) objects: ObjectSelection,
    /// Ends at the first table in error, instead of going on with the others
    #[arg(long)]
    pub(crate) stop_on_error: bool,
    /// Times in a row that a lost connection or a full disk is tried again: after 1 second, then 2, 4, up to a minute
    #[arg(long, value_name = "N", default_value_t = RETRIES)]
    pub(crate) retries: u32,
    /// Prints the plan and the SQL, and changes nothing
    #[arg(long, conflicts_with = "resume")]
    pub(crate) dry_run: bool,
    /// Goes on with an interrupted migration of the same URLs and tables
    #[arg(long)]
    pub(crate) resume: bool,
    /// Prints events as JSON on the standard output, one object per line
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// How progress is shown on the standard error
    #[arg(
        long,
        value_name = "MODE",
        default_value = "auto",
        help_heading = "Output"
    )]
    pub(crate) progress: ProgressMode,
}

/// What happens to target tables before the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Prepare {
    /// Drops existing tables and creates them again
    DropAndCreate,
    /// Empties existing tables, creates missing ones
    Truncate,
    /// Leaves existing tables and their rows, creates missing ones
    DoNothing,
}

impl From<Prepare> for PrepareMode {
    fn from(prepare: Prepare) -> Self {
        match prepare {
            Prepare::DropAndCreate => Self::DropAndCreate,
            Prepare::Truncate => Self::Truncate,
            Prepare::DoNothing => Self::DoNothing,
        }
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressMode {
    /// Bars on a terminal, lines elsewhere, nothing with --json
    Auto,
    /// A bar per running table
    Bars,
    /// A line every ten seconds and for each table that is done
    Lines,
    /// Nothing
    Off,
}

fn chunk_bytes(text: &str) -> Result<u64, String> {
    let bytes = format::parse_bytes(text)?;
    if (CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&bytes) {
        Ok(bytes)
    } else {
        Err("a chunk has 64KiB to 64GiB".to_owned())
    }
}

impl MigrateArgs {
    /// Whether changes are applied after the load.
    pub(crate) fn follows(&self) -> bool {
        self.follow || self.until_caught_up
    }

    /// The chunks to load at once: as given, else as many as this machine has processors, within 2 and 8. More than that
    /// wait for the databases rather than for us.
    pub(crate) fn job_count(&self) -> usize {
        job_count(self.jobs)
    }
}

pub(super) fn job_count(given: Option<u16>) -> usize {
    given.map_or_else(
        || std::thread::available_parallelism().map_or(2, |cores| cores.get().clamp(2, 8)),
        usize::from,
    )
}
