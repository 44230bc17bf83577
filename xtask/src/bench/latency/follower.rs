//! Who carries the changes from the source to the target.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use whimbrel_testkit::Server;

use super::load::CREATE;
use crate::bench::measure::end_of;
use crate::bench::servers::{DATABASE, sql, sql_in, url};

/// The target's database of the native subscription, so that it and Whimbrel have a table each.
const NATIVE: &str = "native";

/// A way to follow changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Whimbrel,
    /// PostgreSQL's own subscription, with `synchronous_commit` as it is by default for these: off.
    Native,
    /// The same with `synchronous_commit = on`, which is how Whimbrel commits.
    NativeSynchronous,
}

impl Contender {
    /// Those who take part between these servers.
    pub(super) fn between(source: &Server, target: &Server) -> Vec<Self> {
        if source.engine.is_postgres() && target.engine.is_postgres() {
            vec![Self::Whimbrel, Self::NativeSynchronous, Self::Native]
        } else {
            vec![Self::Whimbrel]
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Whimbrel => "whimbrel",
            Self::Native => "subscription, synchronous_commit=off",
            Self::NativeSynchronous => "subscription, synchronous_commit=on",
        }
    }
}

/// The servers, and what is needed to follow between them.
#[derive(Debug)]
pub(super) struct Ends<'a> {
    pub(super) source: &'a Server,
    pub(super) target: &'a Server,
    pub(super) whimbrel: &'a Path,
    /// For logs.
    pub(super) folder: &'a Path,
}

/// Somebody who follows. Whimbrel is killed if it is dropped without [`Follower::stop`].
#[derive(Debug)]
pub(super) enum Follower<'a> {
    Whimbrel { child: Child, log: PathBuf },
    Native { target: &'a Server },
}

impl<'a> Ends<'a> {
    /// Brings the rows over, once, and makes the publication.
    pub(super) fn prepare(&self, contenders: &[Contender]) -> Result<()> {
        let status = self
            .migrate(&["--until-caught-up"])
            .status()
            .context("run whimbrel")?;
        ensure!(status.success(), "the first load ended with {status}");
        if contenders.contains(&Contender::Native) {
            sql(self.source, "create publication native for table t")?;
            sql(self.target, &format!("create database {NATIVE}"))?;
            sql_in(self.target, NATIVE, CREATE)?;
        }
        Ok(())
    }

    /// The database and the table of the target that the contender writes.
    pub(super) fn place(&self, contender: Contender) -> (&'static str, String) {
        match contender {
            Contender::Whimbrel if self.source.engine.is_postgres() => (DATABASE, "t".to_owned()),
            Contender::Whimbrel => (DATABASE, format!("{DATABASE}.t")),
            Contender::Native | Contender::NativeSynchronous => (NATIVE, "t".to_owned()),
        }
    }

    /// Starts the contender. It may take a while until it has caught up.
    pub(super) fn follow(&self, contender: Contender) -> Result<Follower<'a>> {
        let synchronous_commit = match contender {
            Contender::Whimbrel => return self.follow_by_whimbrel(),
            Contender::Native => "off",
            Contender::NativeSynchronous => "on",
        };
        let Server {
            host,
            port,
            user,
            password,
            ..
        } = self.source;
        sql_in(self.target, NATIVE, "truncate t")?;
        // Name and password of these servers need no quoting.
        let subscribe = format!(
            "create subscription native connection \
             'host={host} port={port} user={user} password={password} dbname={DATABASE} sslmode=disable' \
             publication native with (synchronous_commit = {synchronous_commit})"
        );
        sql_in(self.target, NATIVE, &subscribe)?;
        Ok(Follower::Native {
            target: self.target,
        })
    }

    fn follow_by_whimbrel(&self) -> Result<Follower<'a>> {
        let log = self.folder.join("whimbrel.log");
        let file = File::create(&log).context("make whimbrel's log")?;
        let child = self
            .migrate(&["--resume", "--follow"])
            .stdout(file.try_clone().context("share whimbrel's log")?)
            .stderr(file)
            .spawn()
            .context("run whimbrel")?;
        Ok(Follower::Whimbrel { child, log })
    }

    fn migrate(&self, how: &[&str]) -> Command {
        let mut command = Command::new(self.whimbrel);
        command
            .arg("migrate")
            .arg(url(self.source, self.source.engine.scheme(), ""))
            .arg(url(self.target, self.target.engine.scheme(), ""))
            .args(["--progress", "off"])
            .args(how)
            .stdin(Stdio::null());
        command
    }
}

impl Follower<'_> {
    /// What it says of itself, for an error.
    pub(super) fn says(&self) -> String {
        match self {
            Self::Whimbrel { log, .. } => end_of(log),
            Self::Native { .. } => "see the target's log".to_owned(),
        }
    }

    /// Ends it so that it can be started again.
    pub(super) fn stop(&mut self) -> Result<()> {
        match self {
            Self::Whimbrel { child, log } => {
                let ended = child.try_wait().context("look at whimbrel")?;
                ensure!(ended.is_none(), "whimbrel ended by itself: {}", end_of(log));
                let pid = Pid::from_raw(i32::try_from(child.id())?);
                kill(pid, Signal::SIGINT).context("stop whimbrel")?;
                child.wait().context("wait for whimbrel")?;
            }
            Self::Native { target } => {
                sql_in(target, NATIVE, "drop subscription native")?;
            }
        }
        Ok(())
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        if let Self::Whimbrel { child, .. } = self {
            // Does nothing to one that was stopped, or has ended.
            if let Err(error) = child.kill().and_then(|()| child.wait()) {
                eprintln!("end whimbrel: {error}");
            }
        }
    }
}
