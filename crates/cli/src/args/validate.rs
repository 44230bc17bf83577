//! `whimbrel validate` and `whimbrel check`.

use std::path::PathBuf;

use clap::Args;

use super::migrate::{JOBS_MAX, job_count};
use super::{EXIT_CODES, PasswordArgs, ShapeArgs, TableArgs, UrlText};

const VALIDATE_EXAMPLES: &str = "\
URLs, passwords and tables are written as for `whimbrel migrate`: give the same options as there.

Examples:
  whimbrel validate postgres://me@old/shop postgres://me@new/shop
  whimbrel validate mysql://me@old/shop postgres://me@new/shop --rename-schema shop=public --differences 100
";

const CHECK_EXAMPLES: &str = "\
Examples:
  whimbrel check 'postgres://me:secret@db.example.net:5432/shop?sslmode=verify-full&sslrootcert=ca.pem'
  WHIMBREL_PASSWORD=secret whimbrel check mysql://me@db.example.net/shop
";

/// Compares every row of the selected tables at both ends, and names by key what differs.
///
/// Both ends are read under one snapshot each. Nothing is written.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{VALIDATE_EXAMPLES}\n{EXIT_CODES}"))]
pub(crate) struct ValidateArgs {
    /// Where rows came from: postgres://, mysql:// or mariadb://
    pub(crate) source_url: UrlText,
    /// Where rows went
    pub(crate) target_url: UrlText,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) shape: ShapeArgs,
    #[command(flatten)]
    pub(crate) passwords: PasswordArgs,
    /// Chunks read at once from each end [default: by the machine, 2 to 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=i64::from(JOBS_MAX)))]
    jobs: Option<u16>,
    /// The most differences to name for a table
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) differences: u32,
    /// Prints results as JSON on the standard output, one object per line
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}

impl ValidateArgs {
    /// The chunks to read at once.
    pub(crate) fn job_count(&self) -> usize {
        job_count(self.jobs)
    }
}

const CHECK_EXIT_CODES: &str = "\
Exit codes:
  0    the database can be used
  2    the arguments are wrong
  3    no connection could be made, or one that is of no use
  130  interrupted";

/// Makes a connection as a migration would, and tells what answered or what to do.
#[derive(Clone, Debug, Args)]
#[command(after_help = CHECK_EXIT_CODES, after_long_help = format!("{CHECK_EXAMPLES}\n{CHECK_EXIT_CODES}"))]
pub(crate) struct CheckArgs {
    /// The database: postgres://, mysql:// or mariadb://
    pub(crate) url: UrlText,
    /// File whose first line is the password; WHIMBREL_PASSWORD is used otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// Prints the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
