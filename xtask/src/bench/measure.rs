//! What a command uses: wall time, processor time and peak memory of its whole process tree.
//!
//! The kernel keeps these sums for the children that a process has waited for. A process that has run one
//! command knows that command's share exactly, so every measured command gets such a process: this
//! program again, with the hidden subcommand `bench measure`. (Its own memory is a few megabytes, which
//! is the least that a measured peak can show.)

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

/// Arguments of the hidden subcommand.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to write the numbers, as JSON
    #[arg(long)]
    report: PathBuf,
    /// Where to write the command's output
    #[arg(long)]
    log: PathBuf,
    /// The command
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

/// What one run used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// From start to end.
    pub(crate) wall_s: f64,
    /// User and system time of all processes.
    pub(crate) cpu_s: f64,
    /// Resident set of the largest process, not of all together.
    pub(crate) peak_mb: f64,
}

/// A command to measure, with the environment it needs beside this process's own.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) words: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
}

impl Measured {
    /// A script for the shell, which stops at the first error.
    pub(crate) fn script(text: &str) -> Self {
        let words = ["bash", "-euo", "pipefail", "-c", text];
        Self {
            words: words.map(str::to_owned).to_vec(),
            environment: Vec::new(),
        }
    }

    /// A program with its arguments.
    pub(crate) fn program(words: &[&str]) -> Self {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            words,
            environment: Vec::new(),
        }
    }

    /// Adds a variable to the environment.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs the command in `folder` and measures it. A failure tells the end of its output.
    pub(crate) fn run(&self, folder: &Path, patience: Duration) -> Result<Usage> {
        let (report, log) = (folder.join("usage.json"), folder.join("output.log"));
        // Not by its path: a build during a long measurement puts another program there.
        let status = Command::new("/proc/self/exe")
            .args(["bench", "measure", "--report"])
            .arg(&report)
            .arg("--log")
            .arg(&log)
            .args([
                "--",
                "timeout",
                "--kill-after=10",
                &patience.as_secs().to_string(),
            ])
            .args(&self.words)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .status()
            .context("run this program to measure another")?;
        if !status.success() {
            bail!("{}", end_of(&log));
        }
        let json = fs::read(&report).context("read what the command used")?;
        serde_json::from_slice(&json).context("understand what the command used")
    }
}

/// Runs the command as the only child of this process, and writes down what it used.
pub(crate) fn in_this_process(args: &Args) -> Result<()> {
    let log = File::create(&args.log).context("make the command's log")?;
    let start = Instant::now();
    let status = Command::new(&args.command[0])
        .args(&args.command[1..])
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("share the command's log")?)
        .stderr(log)
        .status()
        .with_context(|| format!("run `{}`", args.command[0]))?;
    let wall_s = start.elapsed().as_secs_f64();
    let used = getrusage(UsageWho::RUSAGE_CHILDREN).context("ask what the command used")?;
    let cpu_s = seconds(used.user_time()) + seconds(used.system_time());
    // The kernel counts in KiB.
    let peak_mb = f64::from(u32::try_from(used.max_rss()).unwrap_or(u32::MAX)) * 1024.0 / 1e6;
    let json = serde_json::to_vec(&Usage {
        wall_s,
        cpu_s,
        peak_mb,
    })?;
    fs::write(&args.report, json).context("write what the command used")?;
    if !status.success() {
        bail!("the command ended with {status}");
    }
    Ok(())
}

fn seconds(time: TimeVal) -> f64 {
    Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0)).as_secs_f64()
        + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0)).as_secs_f64()
}

/// The last lines of a log.
pub(crate) fn end_of(log: &Path) -> String {
    const LINES: usize = 8;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `run` starts this program again, which in a test is the test runner; so only the inner half is
    /// tested here.
    #[test]
    fn processor_time_of_the_whole_tree_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let script =
            "for i in 1 2; do (i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); done) & done; wait";
        let args = Args {
            report: folder.path().join("usage.json"),
            log: folder.path().join("log"),
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
        };
        in_this_process(&args).unwrap();
        let usage: Usage = serde_json::from_slice(&fs::read(&args.report).unwrap()).unwrap();
        assert!(
            usage.cpu_s > 0.01 && usage.wall_s > 0.01 && usage.peak_mb > 0.5,
            "{usage:?}"
        );
    }
}
