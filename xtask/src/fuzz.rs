//! `cargo x fuzz`: looks for bytes that break what reads bytes from outside.
//!
//! libFuzzer makes the inputs and is guided by the code that they reach. It learns that from counters that the compiler puts into our own crates:
//! this program stands before `rustc` for them ([`as_compiler`]), so that other crates are built once for this and for everything else. The
//! stable compiler has all that it takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::run::{cargo, status, step, target_dir, tree};

/// Says that this program stands before the compiler.
const COMPILES: &str = "WHIMBREL_FUZZ_COMPILES";
/// Names the target to the program that looks.
const TARGET: &str = "WHIMBREL_FUZZ_TARGET";
/// The counters that libFuzzer reads, and what comparisons compare.
const COUNTERS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Copt-level=2",
    // Counters of one crate are to stay beside each other.
    "-Ccodegen-units=1",
];
/// The longest input, in bytes.
const INPUT_BYTES_MAX: u32 = 4096;
/// One that takes longer, in seconds, goes in circles.
const INPUT_SECONDS_MAX: u32 = 10;
/// Of the whole program: what a target allocates is bounded more narrowly by itself.
const PROGRAM_MIB_MAX: u32 = 4096;

/// What to look at, and for how long.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An input that breaks a target is kept and named; `--input FILE` gives it once more. Mend what it found, and put it into \
    crates/fuzz/corpus/TARGET, from where the tests take it."
)]
pub(crate) struct Args {
    /// The target, a folder of crates/fuzz/corpus; each in turn without one
    target: Option<String>,
    /// How long to look, for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Of the chance by which inputs are made
    #[arg(long, default_value_t = 1)]
    seed: u32,
    /// Gives the target this input alone
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

/// Looks at one target or at all, to the end even if one of them breaks.
pub(crate) fn run(args: &Args) -> Result<()> {
    let targets = match &args.target {
        Some(target) => vec![target.clone()],
        None => names()?,
    };
    let program = build()?;
    let found = target_dir()?.join("fuzz");
    let mut broken = Vec::new();
    for target in targets {
        if !look(args, &target, &program, &found)? {
            broken.push(target);
        }
    }
    if !broken.is_empty() {
        bail!(
            "broken: {}; the inputs are in {}",
            broken.join(", "),
            found.display()
        );
    }
    Ok(())
}

/// Whether this program is to stand before the compiler.
pub(crate) fn is_compiler() -> bool {
    std::env::var_os(COMPILES).is_some()
}

/// Runs the compiler that the arguments name, with counters in what it makes.
pub(crate) fn as_compiler() -> Result<ExitCode> {
    let mut words = std::env::args_os().skip(1);
    let mut command = Command::new(words.next().context("no compiler is named")?);
    command.args(words);
    let makes_code = std::env::args_os().any(|word| word == "--crate-name");
    if makes_code {
        command.args(COUNTERS);
    }
    let ended = command.status().context("run the compiler")?;
    Ok(if ended.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn corpus() -> PathBuf {
    tree().join("crates/fuzz/corpus")
}

fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus()).context("read the corpus")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the program that looks, and answers where it is.
fn build() -> Result<PathBuf> {
    let arguments = [
        "build",
        "--workspace",
        "--bin",
        "whimbrel-fuzz",
        "--features",
        "whimbrel-fuzz/guided",
    ];
    step(
        cargo(&arguments)
            .env("RUSTC_WORKSPACE_WRAPPER", std::env::current_exe()?)
            .env(COMPILES, "1"),
    )?;
    // A later build without counters would put another one in its place.
    let built = target_dir()?.join("debug/whimbrel-fuzz");
    let program = target_dir()?.join("fuzz/whimbrel-fuzz");
    fs::create_dir_all(target_dir()?.join("fuzz")).context("make a folder for what is found")?;
    fs::copy(&built, &program).with_context(|| format!("copy {}", built.display()))?;
    Ok(program)
}

/// Looks at one target; answers whether it holds.
fn look(args: &Args, target: &str, program: &Path, found: &Path) -> Result<bool> {
    let seeds = corpus().join(target);
    if !seeds.is_dir() {
        bail!("there is no target {target}, only {}", names()?.join(", "));
    }
    let mut command = Command::new(program);
    command.env(TARGET, target).current_dir(tree());
    if let Some(input) = &args.input {
        return Ok(status(command.arg(input))?.success());
    }
    let grown = found.join(target);
    fs::create_dir_all(&grown).with_context(|| format!("make {}", grown.display()))?;
    command.args([
        format!("-max_total_time={}", args.seconds),
        format!("-seed={}", args.seed),
        format!("-max_len={INPUT_BYTES_MAX}"),
        format!("-timeout={INPUT_SECONDS_MAX}"),
        format!("-rss_limit_mb={PROGRAM_MIB_MAX}"),
        format!("-artifact_prefix={}/{target}-", found.display()),
        "-print_final_stats=1".to_owned(),
        "-verbosity=0".to_owned(),
    ]);
    command.arg(grown).arg(seeds);
    Ok(status(&mut command)?.success())
}
