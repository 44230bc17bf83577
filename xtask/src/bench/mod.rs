//! `cargo x bench`: measurements against other ways to do the same.

mod cdc;
mod contenders;
mod floors;
mod full_load;
mod large;
mod latency;
mod machine;
mod measure;
mod report;
mod rules;
pub(crate) mod servers;
mod tpch;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Copy TPC-H tables between servers: Whimbrel, the engines' own clients, and other tools
    FullLoad(full_load::Args),
    /// Catch up with a source that went on alone: Whimbrel, and readers of the log that apply nothing
    Cdc(cdc::Args),
    /// Commit at a steady rate and see how soon each commit is visible: Whimbrel, and PostgreSQL's own subscription
    Latency(latency::Args),
    /// Follow a transaction and move values that are larger than memory should be, and see what memory that takes
    Large(large::Args),
    /// Load one table without rules and with each of several, and see what each costs
    Rules(rules::Args),
    /// Run one command and write down what it used; the other measurements use it
    #[command(hide = true)]
    Measure(measure::Args),
}

/// Runs a measurement.
pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::FullLoad(args) => full_load::run(args),
        Command::Cdc(args) => cdc::run(args),
        Command::Latency(args) => latency::run(args),
        Command::Large(args) => large::run(args),
        Command::Rules(args) => rules::run(args),
        Command::Measure(args) => measure::in_this_process(args),
    }
}
