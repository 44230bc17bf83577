//! `whimbrel forget`.

use clap::Args;

use super::{EXIT_CODES, PasswordArgs, TableArgs, UrlText};

const EXAMPLES: &str = "\
URLs, passwords and tables are written as for `whimbrel migrate`: give the same options as there.

Examples:
  whimbrel forget postgres://me@old/shop postgres://me@new/shop
  whimbrel forget postgres://me@old/shop postgres://me@new/shop --task whimbrel-aa28f3b402cc0cd0f077190f
";

/// Ends a migration for good: the source need not keep its log for it any more, and the target loses its record.
///
/// Rows stay as they are. Foreign keys of the target that the migration put aside are made again; those that cannot be are named, and the exit code is 1.
/// Afterwards --resume is not possible. A PostgreSQL source keeps every byte of its log until the migration
/// that follows it goes on or is forgotten.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXIT_CODES, after_long_help = format!("{EXAMPLES}\n{EXIT_CODES}"))]
pub(crate) struct ForgetArgs {
    /// Where rows came from: postgres://, mysql:// or mariadb://
    pub(crate) source_url: UrlText,
    /// Where rows went
    pub(crate) target_url: UrlText,
    /// Forget the task of this name, whatever its URLs and tables were, as messages and `start` events tell it
    #[arg(long, value_name = "NAME")]
    pub(crate) task: Option<String>,
    #[command(flatten)]
    pub(crate) tables: TableArgs,
    #[command(flatten)]
    pub(crate) passwords: PasswordArgs,
}
