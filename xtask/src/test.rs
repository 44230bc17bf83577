//! `cargo x test`: every test, against real servers that it starts and stops.

use std::fs;
use std::io::{BufRead, BufReader, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use whimbrel_testkit::{Engine, SERVERS_VARIABLE, State, install_programs};

use crate::python;
use crate::run::{cargo, status, step, tree};

/// When this process dies, its servers stop so many seconds later.
const UNUSED_MAX_S: u32 = 5;

/// A version that this tree's oldest compiler can build.
const NEXTEST: &str = "cargo-nextest@0.9.151";

/// Processes that run tests of the API, each with a service of its own. They wait most of the time.
const API_PROCESSES: &str = "4";

/// Which tests to run.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Missing packages are installed: those of the system as root or through `sudo -n`, \
    Python's into the cache folder ($WHIMBREL_CACHE_DIR). No server of the system is started or used."
)]
pub(crate) struct Args {
    /// Only the Rust tests
    #[arg(long, conflicts_with = "api")]
    rust: bool,
    /// Only the black-box tests of the API, in tests/api
    #[arg(long)]
    api: bool,
    /// Passed on to `cargo nextest run`, or with --api to `pytest`
    #[arg(last = true)]
    passed_on: Vec<String>,
}

/// A test runner's verdict, repeated at the end where it can be found.
struct Verdict {
    passed: bool,
    /// The runner's own closing lines.
    closing: Vec<String>,
}

/// Runs the tests and says at the end how they went.
pub(crate) fn run(args: &Args) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("whimbrel-test-").tempdir();
    let folder = folder.context("make a folder for the servers' state")?;
    // Not while a test waits for it.
    install_programs(&Engine::all())?;
    let servers = State::at(folder.path(), UNUSED_MAX_S)?.servers(&Engine::usual())?;
    let list = folder.path().join("servers.json");
    servers.write(&list)?;
    let verdicts = run_suites(args, &list);
    // Stopped before the verdict is printed, so that the verdict comes last.
    let state = State::at(folder.path(), UNUSED_MAX_S)?;
    for engine in Engine::all() {
        state.stop(engine)?;
    }
    let verdicts = verdicts?;
    println!();
    for line in verdicts.iter().flat_map(|verdict| &verdict.closing) {
        println!("{line}");
    }
    if verdicts.iter().any(|verdict| !verdict.passed) {
        bail!("tests failed");
    }
    Ok(())
}

fn run_suites(args: &Args, servers: &Path) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    if !args.api {
        verdicts.push(rust(&args.passed_on, servers)?);
    }
    if !args.rust {
        let pytest_args: &[String] = if args.api { &args.passed_on } else { &[] };
        verdicts.extend(api(pytest_args, servers)?);
    }
    Ok(verdicts)
}

fn rust(args: &[String], servers: &Path) -> Result<Verdict> {
    let mut command = if nextest() {
        let color = if std::io::stderr().is_terminal() {
            "always"
        } else {
            "never"
        };
        let run = [
            "nextest",
            "run",
            "--profile",
            if is_ci() { "ci" } else { "default" },
            "--workspace",
            "--locked",
            "--no-fail-fast",
            "--color",
            color,
        ];
        cargo(&run)
    } else {
        eprintln!("cargo-nextest is not there and cannot be installed: `cargo test` instead");
        cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])
    };
    command.args(args).env(SERVERS_VARIABLE, servers);
    watched(&mut command, |line| {
        line.contains("Summary [") || line.contains("test result: ")
    })
}

/// Whether a machine runs this for a verdict on a change, and nobody watches.
fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}

/// Whether `cargo nextest` is there, installed first if need be.
fn nextest() -> bool {
    let there = || {
        let mut probe = cargo(&["nextest", "--version"]);
        let probe = probe.stdout(Stdio::null()).stderr(Stdio::null()).status();
        probe.is_ok_and(|status| status.success())
    };
    if there() {
        return true;
    }
    // Without optimisation it is built in half the time, and waits for tests just as fast.
    let version = ["install", "--locked", "--debug", NEXTEST];
    let features = ["--no-default-features", "--features", "default-no-update"];
    let install = [&version[..], &features].concat();
    // Outside the tree, whose `rust-version` and lock file are not nextest's.
    let installed = status(cargo(&install).current_dir(std::env::temp_dir()));
    installed.is_ok_and(|status| status.success()) && there()
}

/// The black-box suite, if there is one, with the program as it is built for use: that of the Rust tests can be held and made to fail.
fn api(args: &[String], servers: &Path) -> Result<Option<Verdict>> {
    let suite = tree().join("tests/api");
    if !has_tests(&suite)? {
        eprintln!("no black-box tests in tests/api");
        return Ok(None);
    }
    step(&mut cargo(&[
        "build",
        "--package",
        "whimbrel-cli",
        "--locked",
    ]))?;
    let requirements = fs::read_to_string(suite.join("requirements.txt"));
    let requirements = requirements.context("read tests/api/requirements.txt")?;
    let bin = python::environment("tests", &requirements)?;
    let mut command = Command::new(bin.join("python"));
    command
        .args(["-m", "pytest", "-ra", "--color", color_word()])
        .args(["--reruns", if is_ci() { "1" } else { "0" }])
        .args(["--numprocesses", API_PROCESSES, "--dist", "worksteal"])
        .args(args)
        .current_dir(&suite)
        .env(SERVERS_VARIABLE, servers)
        .env("WHIMBREL_BINARY", binary()?)
        .env(
            "WHIMBREL_XTASK",
            std::env::current_exe().context("find this program")?,
        )
        .env("WHIMBREL_AWS_CLI", bin.join("aws"));
    watched(&mut command, |line| {
        line.contains(" in ")
            && [" passed", " failed", " error"]
                .iter()
                .any(|w| line.contains(w))
    })
    .map(Some)
}

fn color_word() -> &'static str {
    if std::io::stdout().is_terminal() {
        "yes"
    } else {
        "no"
    }
}

fn has_tests(suite: &Path) -> Result<bool> {
    let entries = match fs::read_dir(suite) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        entries => entries.context("look into tests/api")?,
    };
    let is_test = |path: &Path| {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        stem.starts_with("test_") && path.extension().is_some_and(|extension| extension == "py")
    };
    Ok(entries.flatten().any(|entry| is_test(&entry.path())))
}

/// The program that was built from this tree.
fn binary() -> Result<PathBuf> {
    crate::run::target_dir().map(|target| target.join("debug/whimbrel"))
}

/// Runs a test runner, passes its output on, and keeps its last verdict with the failures listed after it.
fn watched(command: &mut Command, is_verdict: impl Fn(&str) -> bool) -> Result<Verdict> {
    eprintln!("$ {}", crate::run::shown(command));
    let (reader, writer) = std::io::pipe().context("make a pipe")?;
    let errors = writer.try_clone().context("share the pipe")?;
    let child = command
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(errors)
        .spawn();
    // The command holds copies of the pipe's end, which would keep the reader waiting.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child.context("run the tests")?;
    let mut closing = Vec::new();
    for line in BufReader::new(reader).split(b'\n') {
        let line = line.context("read the tests' output")?;
        let line = String::from_utf8_lossy(&line).into_owned();
        println!("{line}");
        // `cargo test` gives a verdict for each of its programs, the others give one.
        if is_verdict(&line) && !line.contains("test result: ") {
            closing.clear();
        }
        if is_verdict(&line) || (!closing.is_empty() && is_failure(&line)) {
            closing.push(line);
        }
    }
    let passed = child.wait().context("wait for the tests")?.success();
    Ok(Verdict { passed, closing })
}

/// Whether the line is one of nextest's list of tests that failed, once or for good.
fn is_failure(line: &str) -> bool {
    const STATES: [&str; 6] = [
        "FAIL [",
        "FLAKY ",
        "TIMEOUT [",
        "SIGABRT [",
        "SIGSEGV [",
        "SIGKILL [",
    ];
    let line = line.trim_start();
    // A test that was tried more than once has `TRY 2 FAIL [` and the like.
    let state = line
        .strip_prefix("TRY ")
        .and_then(|rest| rest.split_once(' '));
    let line = state.map_or(line, |(_, state)| state);
    STATES.iter().any(|state| line.starts_with(state))
}
