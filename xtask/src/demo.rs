//! `cargo x demo`: a whole migration through the API, on throwaway servers.

use anyhow::{Result, bail};

/// Options of the demonstration.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// TPC-H scale factor of the data that is migrated
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
}

/// Shows a migration from MariaDB to PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<()> {
    bail!(
        "the demonstration at scale {} is not written yet",
        args.scale
    )
}
