//! A running server, and starting, stopping and killing one.

use std::fs::File;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::Engine;
use crate::database::{TestDatabase, run_sql};
use crate::instance::{Copying, Instance, Record, admin_database, url};
use crate::programs::{Home, make_dir};
use crate::shared::State;
use crate::tls::FOREIGN_CA;

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
    /// A disk of so many megabytes, to be filled up: see [`Server::small_disk`].
    pub small_disk_mb: Option<u32>,
    /// More settings, in the words of the server's configuration file. They win over testkit's. For MySQL and MariaDB, `SMALL_DISK` stands
    /// for the folder of the small disk.
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
        // Tells the watchdog that the folder is of no use once the server is gone.
        File::create(state.path().join("private")).context("mark the folder as private")?;
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

    /// The words that run a script for the shell where the server's own programs are: below another root folder when
    /// this machine has none of that version, and as the user the server runs as. It stops at the first error.
    pub fn shell(&self, script: &str) -> Result<Vec<String>> {
        let args = ["-euc", script].map(str::to_owned);
        Ok(Home::of(self.engine)?.command("KILL", "/bin/sh", &args))
    }

    /// The certificate of an authority that did *not* sign the server's certificate, as PEM.
    pub fn foreign_ca_pem(&self) -> PathBuf {
        self.ca_pem.with_file_name(FOREIGN_CA)
    }

    /// The folder of the disk that [`ServerOptions::small_disk_mb`] asked for, as the server names it: for
    /// `create tablespace` in PostgreSQL, `data directory` in MySQL and MariaDB. A stop empties it.
    pub fn small_disk(&self) -> Result<String> {
        let private = self.own()?;
        private
            .options
            .small_disk_mb
            .context("the server was not given a small disk")?;
        Ok(private.instance.small_disk())
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

    /// Keeps a copy of the files of a private server that was stopped, in place of the copy before.
    pub fn keep_copy(&self) -> Result<()> {
        self.own()?.instance.copy(&Copying::Keep)
    }

    /// Puts the files of a private server that was stopped back as they were at [`Server::keep_copy`]: a restored backup, or a
    /// standby that had not heard of the last commits.
    pub fn put_copy_back(&self) -> Result<()> {
        self.own()?.instance.copy(&Copying::PutBack)
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
