//! What `migrate` and `validate` have in common: both ends, their passwords, and which tables.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

use crate::address::redact;

/// A URL as it was given. It is read later, by code whose errors do not repeat it: the parser of the
/// command line would print the whole text, password included.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UrlText(String);

impl UrlText {
    /// The text, password and all.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for UrlText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for UrlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

/// Files with passwords, for those who keep them out of URLs and environments.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PasswordArgs {
    /// File whose first line is the source's password
    #[arg(long, value_name = "FILE", help_heading = "Passwords")]
    pub(crate) source_password_file: Option<PathBuf>,
    /// File whose first line is the target's password
    #[arg(long, value_name = "FILE", help_heading = "Passwords")]
    pub(crate) target_password_file: Option<PathBuf>,
}

/// Which tables, under which names.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct TableArgs {
    /// Tables to include, as SCHEMA.TABLE with % for any characters and _ for one; several times, or comma-separated [default: all
    /// tables; of a MySQL or MariaDB URL with a database, those of that database]
    #[arg(
        long,
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "Tables"
    )]
    pub(crate) tables: Vec<String>,
    /// Tables to leave out, written like --tables
    #[arg(
        long,
        value_name = "PATTERN",
        value_delimiter = ',',
        help_heading = "Tables"
    )]
    pub(crate) exclude: Vec<String>,
    /// Gives schema (MySQL: database) A the name B at the target; several times
    #[arg(long, value_name = "A=B", help_heading = "Tables")]
    pub(crate) rename_schema: Vec<String>,
    /// Puts all tables into this schema (MySQL: database) of the target [default: the source's schema or database name; for a MySQL or
    /// MariaDB target URL with a database, that database, unless --rename-schema is given]
    #[arg(
        long,
        value_name = "SCHEMA",
        conflicts_with = "rename_schema",
        help_heading = "Tables"
    )]
    pub(crate) target_schema: Option<String>,
    /// A file of table mappings, as the API takes them: which tables and rows, under which names, with which columns
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["tables", "exclude", "rename_schema"],
        help_heading = "Tables"
    )]
    pub(crate) mappings: Option<PathBuf>,
}
