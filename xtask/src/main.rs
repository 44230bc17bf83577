//! `cargo x`: the one door to every development task. Continuous integration runs the same commands.

mod bench;
mod check;
mod db;
mod demo;
mod fuzz;
mod python;
mod run;
mod test;
mod tidy;
mod torture;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Development tasks of Whimbrel.
#[derive(Debug, Parser)]
#[command(name = "cargo x", bin_name = "cargo x", disable_version_flag = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Format the code
    Fmt {
        /// Change nothing, fail if something is not formatted
        #[arg(long)]
        check: bool,
    },
    /// All that needs no server: format, lints, tidy, generated code
    Check,
    /// Run every test, against real servers that it starts and stops
    Test(test::Args),
    /// Write the code that is generated from the service model
    Codegen {
        /// Change nothing, fail if the checked-in code differs
        #[arg(long)]
        check: bool,
        /// Passed on to the generator
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Throwaway database servers to work with
    #[command(subcommand)]
    Db(db::Command),
    /// Show a whole migration through the API, from an empty machine
    Demo(demo::Args),
    /// Measure
    #[command(subcommand)]
    Bench(bench::Command),
    /// Test change capture under faults for as long as you like
    Torture(torture::Args),
    /// Look for bytes that break what reads bytes from outside
    Fuzz(fuzz::Args),
    /// Check sizes, dependency arrows and forbidden words
    Tidy,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Fmt { check } => check::fmt(check),
        Task::Check => check::all(),
        Task::Test(args) => test::run(&args),
        Task::Codegen { check, args } => check::codegen(check, args),
        Task::Db(command) => db::run(&command),
        Task::Demo(args) => demo::run(&args),
        Task::Bench(command) => bench::run(&command),
        Task::Torture(args) => torture::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Tidy => tidy::run(),
    }
}
