//! The command while it follows.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use whimbrel_connector::Mutation;
use whimbrel_connector::failpoint::Point;

use crate::ends::{Ends, comes_true, wait_until};
use crate::{Said, whimbrel};

/// What the command says of a change that meets no row. That it can be found is shown by a mutation.
const LEFT_OUT: &str = "a change is left out";

/// A point at which a command is held the `count`-th time it comes there, until it is let go.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) point: Point,
    count: u32,
    folder: TempDir,
}

impl Hold {
    pub(super) fn at(point: Point, count: u32) -> Self {
        Self {
            point,
            count,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("held")
    }

    fn wanted(&self) -> String {
        let (name, path) = (self.point.name(), self.path());
        format!("{name}:{}:{}", self.count, path.display())
    }

    /// Whether the command is there.
    pub(super) fn is_held(&self) -> bool {
        self.path().exists()
    }

    pub(super) fn let_go(&self) {
        std::fs::remove_file(self.path()).unwrap();
    }
}

/// What is wanted of a command for the sake of a test.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wishes<'a> {
    pub(super) hold: Option<&'a Hold>,
    pub(super) mutation: Option<Mutation>,
}

/// A command under way. What it says goes to files, so that it never waits for a reader. Killed with this value.
pub(super) struct Following {
    child: Child,
    files: TempDir,
}

impl Following {
    pub(super) fn start(ends: &Ends, options: &[&str]) -> Self {
        Self::start_with(ends, options, &Wishes::default())
    }

    pub(super) fn start_with(ends: &Ends, options: &[&str], wishes: &Wishes<'_>) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = |name| File::create(files.path().join(name)).unwrap();
        let mut command = whimbrel(&ends.words("migrate", options));
        if let Some(hold) = wishes.hold {
            command.env("WHIMBREL_HOLD", hold.wanted());
        }
        if let Some(mutation) = wishes.mutation {
            command.env("WHIMBREL_MUTATION", mutation.name());
        }
        let child = command
            .stdout(file("out"))
            .stderr(file("err"))
            .spawn()
            .unwrap();
        Self { child, files }
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.files.path().join(name)).unwrap()
    }

    /// What it wrote on the standard error.
    pub(super) fn err(&self) -> String {
        self.said("err")
    }

    /// A change that meets no row would be one that was applied twice, or after one that was left out.
    pub(super) fn check_nothing_left_out(&self) {
        let err = self.err();
        assert!(!err.contains(LEFT_OUT), "{err}");
    }

    /// The events so far.
    pub(super) fn events(&self) -> Vec<Value> {
        let out = self.said("out");
        // The last line may be half written.
        let whole = out.rfind('\n').map_or("", |end| &out[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for a condition. The command must not end before.
    pub(super) fn wait_until(&mut self, what: &str, mut condition: impl FnMut(&Self) -> bool) {
        let mut met = false;
        let is_over = comes_true(|| {
            met = condition(self);
            met || self.has_ended()
        });
        assert!(is_over, "waited too long until {what}: {self:?}");
        assert!(met, "it ended before {what}: {self:?}");
    }

    /// Waits until it has looked at both ends, and signals are its own.
    pub(super) fn wait_for_start(&mut self) {
        self.wait_until("it started", |it| {
            it.events().iter().any(|event| event["event"] == "start")
        });
    }

    /// The name of its task, which its control rows have.
    pub(super) fn task(&self) -> String {
        let events = self.events();
        let start = events.iter().find(|event| event["event"] == "start");
        start.unwrap()["task"].as_str().unwrap().to_owned()
    }

    /// Whether the load is over.
    pub(super) fn is_following(&self) -> bool {
        self.events()
            .iter()
            .any(|event| event["follow"].is_object())
    }

    pub(super) fn wait_until_caught_up(&mut self) {
        self.wait_until("it caught up", |it| {
            let events = it.events();
            events
                .iter()
                .rev()
                .find_map(|event| event["follow"]["caught_up"].as_bool())
                == Some(true)
        });
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> ExitStatus {
        wait_until(|| self.has_ended());
        self.child.wait().unwrap()
    }

    /// Waits for its end, and answers all that it said.
    pub(super) fn end(&mut self) -> Said {
        Said {
            exit_code: self.wait().code(),
            out: self.said("out"),
            err: self.said("err"),
        }
    }

    /// Ends it as a crash would.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as Ctrl-C would: while it loads (130), while it follows (0), or while it follows and tables are in error (1).
    pub(super) fn interrupt(&mut self) {
        self.wait_for_start();
        self.signal(Signal::SIGINT);
        let code = self.wait().code();
        assert!(matches!(code, Some(0 | 1 | 130)), "{code:?}: {self:?}");
    }
}

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}", self.said("out"), self.err())
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
