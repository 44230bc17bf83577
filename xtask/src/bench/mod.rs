//! bench
use anyhow::Result;
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    FullLoad,
}
pub(crate) fn run(_args: &Command) -> Result<()> {
    Ok(())
}
