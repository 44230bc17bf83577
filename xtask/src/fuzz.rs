//! `cargo x fuzz`: the tests of the fuzz targets, for as long as you like and with other seeds.

use anyhow::{Result, bail};

use crate::run::{cargo, status};

/// What to look at, and for how long.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An input that breaks a target is printed. Mend what it found, and put it into crates/fuzz/corpus/TARGET, from where every run takes it. \
    The same seed makes the same inputs."
)]
pub(crate) struct Args {
    /// The target, a folder of crates/fuzz/corpus; all of them without one
    target: Option<String>,
    /// How long to look, for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Of the chance by which inputs are made
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Looks at one target or at all, to the end even if one of them breaks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut command = cargo(&[
        "test",
        "--workspace",
        "--test",
        "targets",
        "--no-fail-fast",
        "--",
    ]);
    if let Some(target) = &args.target {
        command.args(["--exact", &target.replace('-', "_")]);
    }
    // One after the other: what they allocate is counted together.
    command.arg("--test-threads=1");
    command.env("WHIMBREL_FUZZ_SECONDS", args.seconds.to_string());
    command.env("WHIMBREL_FUZZ_SEED", args.seed.to_string());
    if !status(&mut command)?.success() {
        bail!("a target broke, or there is none of that name");
    }
    Ok(())
}
