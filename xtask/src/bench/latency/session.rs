//! An engine's client program that stays open: a statement per line goes in, an answer per line comes out.
//!
//! A pipe and a program more than a driver would need, and no driver to depend on. Each way costs some tens of
//! microseconds, at both ends alike.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};
use whimbrel_testkit::Server;

use crate::bench::servers::shell_client_in;

/// The program, ended when dropped.
#[derive(Debug)]
pub(super) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    answer: String,
}

impl Session {
    /// Starts the program on a connection of its own.
    pub(super) fn open(server: &Server, database: &str) -> Result<Self> {
        let flags = if server.engine.is_postgres() {
            "-A -t"
        } else {
            // The second `n` flushes after each answer.
            "--batch -N -n"
        };
        let script = format!("exec {} {flags}", shell_client_in(server, database));
        let mut child = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("run the client")?;
        let input = child.stdin.take().context("write to the client")?;
        let output = child.stdout.take().context("read from the client")?;
        Ok(Self {
            child,
            input,
            output: BufReader::new(output),
            answer: String::new(),
        })
    }

    /// Sends statements that answer nothing.
    pub(super) fn tell(&mut self, statements: &str) -> Result<()> {
        // In one write, so that the program is woken once.
        self.input
            .write_all(format!("{statements}\n").as_bytes())
            .context("write to the client")
    }

    /// Sends a statement and waits for its answer of one line.
    pub(super) fn ask(&mut self, statement: &str) -> Result<&str> {
        self.tell(statement)?;
        self.answer.clear();
        let length = self
            .output
            .read_line(&mut self.answer)
            .context("read from the client")?;
        ensure!(length > 0, "the client ended without an answer");
        Ok(self.answer.trim_end())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        if self.child.kill().is_ok()
            && let Err(error) = self.child.wait()
        {
            eprintln!("wait for a client: {error}");
        }
    }
}
