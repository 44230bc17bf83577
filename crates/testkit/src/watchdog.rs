//! Runs a server under its watchdog, so that it cannot outlive its users.

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SCRIPT: &str = include_str!("watch.sh");

/// How often a wait below looks again.
const POLL: Duration = Duration::from_millis(20);

/// What a watchdog runs, and when it stops it.
#[derive(Debug, Clone)]
pub(crate) struct Watched<'a> {
    /// Folder with the lock file `users`; process ids and logs appear here.
    pub(crate) state: &'a Path,
    /// Seconds without a user before the server is stopped.
    pub(crate) unused_max_s: u32,
    /// Name of the signal that stops the server, without `SIG`.
    pub(crate) signal: &'a str,
    /// Folder removed once the server has stopped.
    pub(crate) instance: &'a Path,
    /// Program and arguments.
    pub(crate) command: &'a [String],
}

impl Watched<'_> {
    /// Starts the watchdog, which starts the server.
    pub(crate) fn start(&self) -> Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.state.join("watchdog.log"))
            .context("open the watchdog's log")?;
        // The watchdog before this one may be about to forget its server, and must not take this one's
        // files along.
        let starting =
            File::create(self.state.join("starting")).context("make the lock file of the start")?;
        starting.lock().context("wait for the watchdog before")?;
        for name in ["server.pid", "watchdog.pid"] {
            remove_if_there(&self.state.join(name))?;
        }
        // `setsid` makes a session of its own, so that a Ctrl-C in the terminal or a test runner
        // that kills the process group of a slow test does not take a shared server down.
        let status = Command::new("setsid")
            .args(["--fork", "sh", "-c", SCRIPT, "whimbrel-testkit-watchdog"])
            .arg(self.state)
            .arg(self.unused_max_s.to_string())
            .arg(self.signal)
            .arg(self.instance)
            .args(self.command)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the watchdog's log")?)
            .stderr(log)
            .status()
            .context("run `setsid`, from the package util-linux")?;
        if !status.success() {
            bail!("`setsid` could not start the watchdog: {status}");
        }
        wait_until(Duration::from_secs(10), || {
            self.state.join("watchdog.pid").exists()
        })
        .with_context(|| format!("the watchdog did not start:\n{}", last_lines(self.state)))
    }
}

/// The server's own process id, while its watchdog runs it.
pub(crate) fn server_pid(state: &Path) -> Option<i32> {
    read_pid(&state.join("server.pid")).filter(|pid| is_alive(*pid))
}

/// The process id of the watchdog of `state`, while it runs.
///
/// The id comes from a file that a restart of the machine may have left behind, so the process's
/// own command line has to name the folder too.
pub(crate) fn watchdog_pid(state: &Path) -> Option<i32> {
    let pid = read_pid(&state.join("watchdog.pid"))?;
    let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = command.split(|byte| *byte == 0);
    words
        .any(|word| word == state.as_os_str().as_encoded_bytes())
        .then_some(pid)
}

/// Whether the process is there (also when it belongs to another user).
pub(crate) fn is_alive(pid: i32) -> bool {
    !matches!(
        kill(Pid::from_raw(pid), None),
        Err(nix::errno::Errno::ESRCH)
    )
}

/// Sends `signal`; a process that is already gone is no error.
pub(crate) fn send(pid: i32, signal: Signal) -> Result<()> {
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("send {signal} to process {pid}")),
    }
}

/// Waits until `done` answers true.
pub(crate) fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() > deadline {
            bail!("nothing happened within {patience:?}");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Removes a file that may be missing.
pub(crate) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// The end of the server's log and the watchdog's, for error messages.
pub(crate) fn last_lines(state: &Path) -> String {
    const LINES: usize = 20;
    let mut lines = Vec::new();
    for name in ["watchdog.log", "server.log"] {
        let text = fs::read(state.join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let all: Vec<&str> = text.lines().collect();
        lines.extend(
            all[all.len().saturating_sub(LINES)..]
                .iter()
                .map(|line| (*line).to_owned()),
        );
    }
    lines.join("\n")
}

fn read_pid(path: &Path) -> Option<i32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}
