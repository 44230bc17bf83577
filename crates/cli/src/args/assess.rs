//! `whimbrel assess`.

use clap::Args;
use whimbrel_core::objects::ObjectSelection;

use super::{EXIT_CODES, PasswordArgs, ShapeArgs, TableArgs, UrlText};

const EXAMPLES: &str = "\
URLs, passwords and tables are written as for `whimbrel migrate`: give the same options as there.
docs/assessments.md lists all checks.

Examples:
  whimbrel assess postgres://me@old/shop mariadb://me@new/shop
  whimbrel assess mysql://me@old/shop postgres://me@new/shop --follow --json
";

/// Checks before a migration what would stand in its way: settings, privileges, types, keys, objects. Each finding has its remedy.
///
/// Nothing is written at either end. The exit code is 1 when a check fails; warnings and notes do not change it.
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
    /// Prints results as JSON on the standard output, one object per line
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
}
