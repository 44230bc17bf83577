//! `whimbrel assess`.

use clap::Args;
use whimbrel_core::objects::ObjectSelection;

use super::{EXIT_CODES, PasswordArgs, Prepare, ShapeArgs, TableArgs, UrlText};

const EXAMPLES: &str = "\
URLs, passwords and tables are written as for `whimbrel migrate`: give the same options as there.
docs/assessments.md lists all checks.

Examples:
  whimbrel assess postgres://me@old/shop mariadb://me@new/shop
  whimbrel assess mysql://me@old/shop postgres://me@new/shop --follow --json
  whimbrel assess postgres://me@old/shop mysql://me@new/shop --sample 10000
";

/// Checks before a migration what would stand in its way: settings, privileges, types, keys, objects. Each finding has its remedy.
///
/// Nothing is written at either end. The exit code is 1 when a check fails or cannot be made; warnings and notes do not change it.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
pub(crate) struct AssessArgs {
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
    /// Checks also what a migration with --follow needs
    #[arg(long)]
    pub(crate) follow: bool,
    /// What is to be made beside rows and primary keys, as for `whimbrel migrate`
    #[arg(long, value_name = "KINDS", default_value = "all", value_parser = ObjectSelection::parse)]
    pub(crate) objects: ObjectSelection,
    /// Looks also at the values of about N rows of each table, as the source gives them, for those that the target's columns do not hold
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sample: Option<u64>,
    /// Looks also at the values of all rows; the source's server reads each table once
    #[arg(long)]
    pub(crate) full: bool,
    /// What a migration with the same --prepare would do with tables that are at the target
    #[arg(long, value_name = "MODE", default_value = "drop-and-create")]
    pub(crate) prepare: Prepare,
    /// Prints results as JSON on the standard output, one object per line
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}
