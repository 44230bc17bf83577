//! The files and the process of one server: made, started, stopped, removed.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};

use crate::database::run_sql;
use crate::programs::{Home, NOBODY, make_dir};
use crate::tls::Tls;
use crate::watchdog::{self, Watched, wait_until};
use crate::{Engine, ServerOptions, Stop, mysql, postgres};

/// The user of every server, who may do everything there.
pub(crate) const USER: &str = "whimbrel";
/// Long enough that no log or message holds it by chance, so that tests can search for leaks.
pub(crate) const PASSWORD: &str = "whimbrel-test-password";

/// How long a server may take to start or stop; a loaded machine needs a good part of a minute.
const PATIENCE: Duration = Duration::from_mins(2);
/// Another process may take the port between our choice and the server's start.
const PORT_TRIES: u32 = 5;

/// Where the small disk is, in the server's folder.
pub(crate) const SMALL_DISK: &str = "small-disk";

/// Which way the files of a server are copied.
#[derive(Debug)]
pub(crate) enum Copying {
    Keep,
    PutBack,
}

/// The address of a server, as processes hand it to each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) engine: Engine,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) ca_pem: PathBuf,
    /// URL of the server's own administrative database.
    pub(crate) url: String,
}

/// A server's files, whether it runs or not.
#[derive(Debug)]
pub(crate) struct Instance {
    engine: Engine,
    home: Home,
    dir: PathBuf,
}

impl Instance {
    /// Makes the files of a new server.
    pub(crate) fn make(engine: Engine, state: &Path, tls: &Tls) -> Result<Self> {
        let home = Home::of(engine)?;
        let dir = home.make_instance_dir(state)?;
        let made = if engine.is_postgres() {
            postgres::initialise(engine, &home, &dir, tls)
        } else {
            mysql::initialise(engine, &home, &dir, tls)
        };
        let instance = Self { engine, home, dir };
        match made {
            Ok(()) => Ok(instance),
            Err(error) => {
                instance.remove();
                Err(error).with_context(|| format!("make the data folder of {engine}"))
            }
        }
    }

    /// Starts the server under a watchdog, on `port` or a free one, and waits until it answers.
    pub(crate) fn start(
        &self,
        state: &Path,
        port: Option<u16>,
        unused_max_s: u32,
        options: &ServerOptions,
        tls: &Tls,
    ) -> Result<Record> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = port.map_or_else(free_port, Ok)?;
            self.launch(state, port, unused_max_s, options)?;
            let record = self.record(port, tls);
            match self.wait_until_it_answers(state, &record) {
                Ok(()) => return Ok(record),
                Err(error) if tries == PORT_TRIES => return Err(error),
                Err(_) if watchdog::server_pid(state).is_none() => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where the small disk is, as the server names it.
    pub(crate) fn small_disk(&self) -> String {
        self.home.inside(&self.dir.join(SMALL_DISK))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Copies the files of a server that does not run, beside them or back.
    pub(crate) fn copy(&self, how: &Copying) -> Result<()> {
        let copy = self.dir.with_extension("copy");
        let (from, to) = match how {
            Copying::Keep => (&self.dir, &copy),
            Copying::PutBack => (&copy, &self.dir),
        };
        if to.exists() {
            std::fs::remove_dir_all(to).with_context(|| format!("remove {}", to.display()))?;
        }
        let copied = Command::new("cp").arg("-a").args([from, to]).status();
        let copied = copied.context("run cp")?;
        if !copied.success() {
            bail!("copy {}: {copied}", from.display());
        }
        Ok(())
    }

    /// Removes the files of a server that does not run.
    pub(crate) fn remove(&self) {
        // Most servers have no copy.
        std::fs::remove_dir_all(self.dir.with_extension("copy")).ok();
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("testkit: remove {}: {error}", self.dir.display());
        }
    }

    fn launch(
        &self,
        state: &Path,
        port: u16,
        unused_max_s: u32,
        options: &ServerOptions,
    ) -> Result<()> {
        let configure = if self.engine.is_postgres() {
            postgres::configure
        } else {
            mysql::configure
        };
        let (program, args) = configure(self.engine, &self.home, &self.dir, port, options)?;
        // Throwaway data needs no clean stop. PostgreSQL's `QUIT` ends its children at once too.
        let signal = if self.engine.is_postgres() {
            "QUIT"
        } else {
            "KILL"
        };
        let mut command = self.home.command(signal, &program, &args);
        if let Some(size_mb) = options.small_disk_mb {
            command = self.with_small_disk(size_mb, command)?;
        }
        let instance = &self.dir;
        Watched {
            state,
            unused_max_s,
            signal,
            instance,
            command: &command,
        }
        .start()
    }

    /// Puts a file system of its own, which only the server sees, in the server's folder.
    fn with_small_disk(&self, size_mb: u32, command: Vec<String>) -> Result<Vec<String>> {
        let dir = self.dir.join(SMALL_DISK);
        make_dir(&dir, 0o755)?;
        let dir = dir.display().to_string();
        let is_root = Uid::effective().is_root();
        // Another user mounts as the root of a user namespace, where that is the only name that this user has.
        let owner = if is_root { NOBODY } else { 0 };
        let script = format!(
            "mount -t tmpfs -o size={size_mb}m,uid={owner},gid={owner} tmpfs \"$1\" && shift && exec \"$@\""
        );
        let mut words: Vec<String> = Vec::new();
        let mut say = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
        say(&["unshare", "--mount"]);
        if !is_root {
            say(&["--user", "--map-root-user"]);
        }
        say(&["sh", "-c", &script, "sh", &dir]);
        if !is_root {
            // PostgreSQL refuses to run as that root, so the server is this user again.
            let user = format!("--map-user={}", Uid::effective());
            let group = format!("--map-group={}", Gid::effective());
            say(&["unshare", "--user", &user, &group]);
        }
        words.extend(command);
        Ok(words)
    }

    fn record(&self, port: u16, tls: &Tls) -> Record {
        let host = Ipv4Addr::LOCALHOST.to_string();
        Record {
            engine: self.engine,
            url: url(
                self.engine,
                &host,
                port,
                USER,
                PASSWORD,
                admin_database(self.engine),
            ),
            host,
            port,
            user: USER.to_owned(),
            password: PASSWORD.to_owned(),
            ca_pem: tls.ca_pem(),
        }
    }

    fn wait_until_it_answers(&self, state: &Path, record: &Record) -> Result<()> {
        let mut answer = Ok(String::new());
        let mut gone = false;
        let waited = wait_until(PATIENCE, || {
            gone = watchdog::watchdog_pid(state).is_none();
            answer = run_sql(record, admin_database(self.engine), "select 1");
            gone || answer.is_ok()
        });
        if gone || waited.is_err() {
            let log = watchdog::last_lines(state);
            let error = answer
                .err()
                .map(|error| format!("{error:#}"))
                .unwrap_or_default();
            bail!(
                "{} did not start: {error}\nits log ends:\n{log}",
                self.engine
            );
        }
        Ok(())
    }

    /// Stops the server, if it runs. Its files stay.
    pub(crate) fn stop(&self, state: &Path, how: Stop) -> Result<()> {
        let Some(server) = watchdog::server_pid(state) else {
            return Ok(());
        };
        let signal = match how {
            Stop::Clean if self.engine.is_postgres() => Signal::SIGINT,
            Stop::Clean => Signal::SIGTERM,
            Stop::Kill => Signal::SIGKILL,
        };
        watchdog::send(server, signal)?;
        wait_until(PATIENCE, || !watchdog::is_alive(server))
            .with_context(|| format!("stop {}", self.engine))
    }
}

/// The database that every server of the engine has.
pub(crate) fn admin_database(engine: Engine) -> &'static str {
    if engine.is_postgres() {
        "postgres"
    } else {
        "mysql"
    }
}

/// A connection URL. Names and passwords of testkit need no percent-encoding.
pub(crate) fn url(
    engine: Engine,
    host: &str,
    port: u16,
    user: &str,
    password: &str,
    database: &str,
) -> String {
    format!(
        "{}://{user}:{password}@{host}:{port}/{database}",
        engine.scheme()
    )
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("look for a free port")?;
    Ok(listener
        .local_addr()
        .context("look for a free port")?
        .port())
}
