//! A running server, and starting, stopping and killing one.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::database::{TestDatabase, run_sql};
use crate::programs::{Home, make_dir};
use crate::shared::State;
use crate::tls::{FOREIGN_CA, Tls};
use crate::watchdog::{self, Watched, wait_until};
use crate::{Engine, mysql, postgres};

/// The user of every server, who may do everything there.
pub(crate) const USER: &str = "whimbrel";
/// Long enough that no log or message holds it by chance, so that tests can search for leaks.
pub(crate) const PASSWORD: &str = "whimbrel-test-password";

/// How long a server may take to start or stop; a loaded machine needs a good part of a minute.
const PATIENCE: Duration = Duration::from_mins(2);
/// Another process may take the port between our choice and the server's start.
const PORT_TRIES: u32 = 5;

/// A running database server.
#[derive(Debug)]
pub struct Server {
    /// Its engine.
    pub engine: Engine,
    /// Always the loopback address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// A user who may do everything, and signs in by password.
    pub user: String,
    /// The password of `user`.
    pub password: String,
    /// The certificate of the authority that signed the server's own, as PEM.
    pub ca_pem: PathBuf,
    private: Option<Private>,
}

/// How a private server differs from the shared ones.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// Keep what a crash must not lose (`fsync` and its like), as production servers do. Without it the
    /// server is faster and a crash of the machine, not of the server, loses data.
    pub durable: bool,
    /// More settings, in the words of the server's configuration file. They win over testkit's.
    pub settings: Vec<(String, String)>,
}

/// How to stop a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As its administrator would: open connections are ended, data is written.
    Clean,
    /// As a crash would.
    Kill,
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

/// The parts of a server that only this process uses. Dropping them stops it.
#[derive(Debug)]
struct Private {
    instance: Instance,
    options: ServerOptions,
    state: tempfile::TempDir,
    _users: File,
}

impl Server {
    /// A server of this engine, shared with other tests and other test processes. It is started, and its
    /// programs installed, if need be.
    pub fn get(engine: Engine) -> Result<Self> {
        crate::shared::get(engine).map(|record| Self::at(record, None))
    }

    /// A server that only the caller uses, stopped when dropped.
    pub fn private(engine: Engine) -> Result<Self> {
        Self::private_with(engine, ServerOptions::default())
    }

    /// A private server with settings of its own.
    pub fn private_with(engine: Engine, options: ServerOptions) -> Result<Self> {
        // Paths of sockets are limited to about 100 bytes, so a short name.
        let state = tempfile::Builder::new()
            .prefix("wk-")
            .tempdir()
            .context("make a folder")?;
        make_dir(state.path(), 0o755)?;
        let users = File::create(state.path().join("users")).context("make the lock file")?;
        users.lock_shared().context("hold the server")?;
        let tls = State::machine()?.tls()?;
        let instance = Instance::make(engine, state.path(), &tls)?;
        // The watchdog sees the death of this process within a second or two.
        let record = instance
            .start(state.path(), None, 1, &options, &tls)
            .inspect_err(|_| instance.remove())?;
        let private = Private {
            instance,
            options,
            state,
            _users: users,
        };
        Ok(Self::at(record, Some(private)))
    }

    fn at(record: Record, private: Option<Private>) -> Self {
        let Record {
            engine,
            host,
            port,
            user,
            password,
            ca_pem,
            ..
        } = record;
        Self {
            engine,
            host,
            port,
            user,
            password,
            ca_pem,
            private,
        }
    }

    /// A new, empty database with a name of its own that contains `hint`. It is dropped with the
    /// answer.
    pub fn database(&self, hint: &str) -> Result<TestDatabase> {
        TestDatabase::create(self.record(), hint)
    }

    /// The URL of the server's administrative database: `postgres`, `mysql`.
    pub fn url(&self) -> String {
        self.record().url
    }

    /// Runs SQL in the administrative database, as [`TestDatabase::sql`] does.
    pub fn sql(&self, sql: &str) -> Result<String> {
        run_sql(&self.record(), admin_database(self.engine), sql)
    }

    /// The certificate of an authority that did *not* sign the server's certificate, as PEM.
    pub fn foreign_ca_pem(&self) -> PathBuf {
        self.ca_pem.with_file_name(FOREIGN_CA)
    }

    /// Stops a private server. Its data and its port stay its own, for [`Server::start`].
    pub fn stop(&self, how: Stop) -> Result<()> {
        let private = self.own()?;
        private.instance.stop(private.state.path(), how)
    }

    /// Starts a private server that was stopped or killed.
    pub fn start(&self) -> Result<()> {
        let private = self.own()?;
        let tls = State::machine()?.tls()?;
        let state = private.state.path();
        private
            .instance
            .start(state, Some(self.port), 1, &private.options, &tls)?;
        Ok(())
    }

    /// Stops a private server cleanly and starts it again.
    pub fn restart(&self) -> Result<()> {
        self.stop(Stop::Clean)?;
        self.start()
    }

    /// Kills a private server, as a crash would.
    pub fn kill(&self) -> Result<()> {
        self.stop(Stop::Kill)
    }

    fn own(&self) -> Result<&Private> {
        self.private
            .as_ref()
            .context("only a private server may be stopped: others use this one")
    }

    fn record(&self) -> Record {
        let (engine, port) = (self.engine, self.port);
        let (host, user) = (self.host.clone(), self.user.clone());
        let (password, ca_pem) = (self.password.clone(), self.ca_pem.clone());
        let url = url(
            engine,
            &host,
            port,
            &user,
            &password,
            admin_database(engine),
        );
        Record {
            engine,
            host,
            port,
            user,
            password,
            ca_pem,
            url,
        }
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let state = self.state.path();
        if let Err(error) = self.instance.stop(state, Stop::Kill) {
            eprintln!("testkit: stop the private server: {error:#}");
        }
        self.instance.remove();
    }
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

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Removes the files of a server that does not run.
    pub(crate) fn remove(&self) {
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
        let command = self.home.command(signal, &program, &args);
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

    fn stop(&self, state: &Path, how: Stop) -> Result<()> {
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
