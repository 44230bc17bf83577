//! A database of its own for each test, and SQL run in it by the engine's command-line client.

use std::io::Write;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::Engine;
use crate::instance::{Record, admin_database, url};
use crate::postgres::psql;

/// Leaves room for the parts that make a name unique below PostgreSQL's 63 bytes.
const HINT_CHARS_MAX: usize = 24;

/// An empty database, dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
    server: Record,
}

impl TestDatabase {
    pub(crate) fn create(server: Record, hint: &str) -> Result<Self> {
        let name = unique_name(hint);
        // The name is made of letters, digits and underscores alone, so it needs no quoting.
        run_sql(
            &server,
            admin_database(server.engine),
            &format!("create database {name}"),
        )
        .with_context(|| format!("create the test database {name}"))?;
        Ok(Self { name, server })
    }

    /// Its name: lower-case letters, digits and underscores.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The engine it lives on.
    pub fn engine(&self) -> Engine {
        self.server.engine
    }

    /// Its URL with the user who may do everything: `postgres://user:password@host:port/name`, and
    /// likewise `mysql://` and `mariadb://`.
    pub fn url(&self) -> String {
        self.url_as(&self.server.user, &self.server.password)
    }

    /// Its URL with another user, whose name and password need no percent-encoding.
    pub fn url_as(&self, user: &str, password: &str) -> String {
        let Record {
            engine, host, port, ..
        } = &self.server;
        url(*engine, host, *port, user, password, &self.name)
    }

    /// Runs the statements with `psql` or `mariadb`, up to the first that fails.
    ///
    /// Answers the rows of all of them: a line per row, columns separated by tabs, NULL as `NULL`, no
    /// headings. (The MySQL client escapes tabs and line ends inside values, `psql` does not.)
    pub fn sql(&self, statements: &str) -> Result<String> {
        run_sql(&self.server, &self.name, statements)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let force = if self.server.engine.is_postgres() {
            " with (force)"
        } else {
            ""
        };
        let mut drop = format!("drop database if exists {}{force}", self.name);
        if self.server.engine.is_postgres() {
            // A slot that a failed test left keeps the server's log, and its database.
            let slots = format!("from pg_replication_slots where database = '{}'", self.name);
            drop.insert_str(
                0,
                &format!("select pg_terminate_backend(active_pid, 5000) {slots} and active; select pg_drop_replication_slot(slot_name) {slots}; "),
            );
        }
        // A test may have killed its server or hold a lock; the watchdog removes everything anyhow.
        if let Err(error) = run_sql(&self.server, admin_database(self.server.engine), &drop) {
            eprintln!("testkit: drop the test database {}: {error:#}", self.name);
        }
    }
}

/// Runs statements in a database and answers what they print.
pub(crate) fn run_sql(server: &Record, database: &str, statements: &str) -> Result<String> {
    let mut command = client(server, database);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run the client {}", command.get_program().display()))?;
    let mut input = child.stdin.take().context("write to the client")?;
    // Written beside the reading of the answer, so that neither waits for the other for ever.
    let written = thread::scope(|scope| {
        let writer = scope.spawn(move || input.write_all(statements.as_bytes()));
        let output = child.wait_with_output();
        (output, writer.join())
    });
    let output = written.0.context("wait for the client")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    if let Ok(Err(error)) = written.1 {
        return Err(error).context("write to the client");
    }
    String::from_utf8(output.stdout).context("the client printed bytes that are not UTF-8")
}

fn client(server: &Record, database: &str) -> Command {
    let port = server.port.to_string();
    if server.engine.is_postgres() {
        let mut command = Command::new(psql());
        command
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args([
                "--field-separator=\t",
                "--pset=null=NULL",
                "--set=ON_ERROR_STOP=1",
            ])
            .args([
                "--host",
                &server.host,
                "--port",
                &port,
                "--username",
                &server.user,
            ])
            .args(["--dbname", database])
            .env("PGPASSWORD", &server.password)
            .env("PGCLIENTENCODING", "UTF8")
            .env("PGCONNECT_TIMEOUT", "30")
            .env("PGSSLMODE", "disable");
        for name in ["PGOPTIONS", "PGSSLROOTCERT", "PGSERVICE", "PGTZ"] {
            command.env_remove(name);
        }
        return command;
    }
    let mut command = Command::new("mariadb");
    command
        .args([
            "--no-defaults",
            "--protocol=tcp",
            "--ssl",
            "--batch",
            "--skip-column-names",
        ])
        .args([
            "--default-character-set=utf8mb4",
            "--local-infile=1",
            "--connect-timeout=30",
        ])
        .args([
            "--host",
            &server.host,
            "--port",
            &port,
            "--user",
            &server.user,
            database,
        ])
        .env("MYSQL_PWD", &server.password)
        // The system's certificates are of no use here, and reading them takes three quarters of a call.
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/nonexistent");
    command
}

/// A name no other test has, on this machine and in this run.
fn unique_name(hint: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let hint: String = hint
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '_'
            }
        })
        .take(HINT_CHARS_MAX)
        .collect();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    #[expect(
        clippy::disallowed_methods,
        reason = "any time will do, and this crate stands alone"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.subsec_micros());
    format!("t_{hint}_{}_{now}_{count}", process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_distinct_and_short_enough() {
        let long = "Ünïcode and \"quotes\"; and far more than any name could hold";
        let (one, two) = (unique_name(long), unique_name(long));
        assert_ne!(one, two);
        assert!(one.len() <= 63, "{one}");
        assert!(
            one.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        );
    }
}
