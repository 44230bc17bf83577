//! A source and a target, the command between them, and what the servers themselves say of both.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use whimbrel_testkit::{Engine, FaultProxy, Server, TestDatabase};

use crate::{Said, run, whimbrel};

/// Far more than anything takes; a wait that is longer hangs.
const PATIENCE: Duration = Duration::from_mins(4);

/// An empty database at either end.
pub(crate) struct Ends {
    pub(crate) source: TestDatabase,
    pub(crate) target: TestDatabase,
    /// Where the command connects to: the databases themselves, or proxies before them.
    pub(crate) source_url: String,
    pub(crate) target_url: String,
}

impl Ends {
    pub(crate) fn between(source: Engine, target: Engine, hint: &str) -> Self {
        Self::on(
            &Server::get(source).unwrap(),
            &Server::get(target).unwrap(),
            hint,
        )
    }

    pub(crate) fn on(source: &Server, target: &Server, hint: &str) -> Self {
        let source = source.database(&format!("{hint}_s")).unwrap();
        let target = target.database(&format!("{hint}_t")).unwrap();
        Self {
            source_url: source.url(),
            target_url: target.url(),
            source,
            target,
        }
    }

    /// Puts a proxy before the source.
    pub(crate) async fn break_source(&mut self) -> FaultProxy {
        let (proxy, url) = proxied(&self.source_url).await;
        self.source_url = url;
        proxy
    }

    /// Puts a proxy before the target.
    pub(crate) async fn break_target(&mut self) -> FaultProxy {
        let (proxy, url) = proxied(&self.target_url).await;
        self.target_url = url;
        proxy
    }

    /// The words of a command between these ends. All tables end up in the target's own schema or database.
    pub(crate) fn words<'a>(&'a self, command: &'a str, options: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec![command, &self.source_url, &self.target_url];
        if self.target.engine().is_postgres() {
            words.extend(["--target-schema", "public"]);
        }
        words.extend(options);
        words
    }

    pub(crate) fn run(&self, command: &str, options: &[&str]) -> Said {
        run(&self.words(command, options))
    }

    pub(crate) fn run_well(&self, command: &str, options: &[&str]) -> Said {
        let said = self.run(command, options);
        assert_eq!(said.exit_code, Some(0), "{said:?}");
        said
    }

    /// Starts a migration and does not wait for it.
    pub(crate) fn start(&self, options: &[&str]) -> Running {
        Running::start(&self.words("migrate", options))
    }

    /// Starts one whose target's schema is among the options.
    pub(crate) fn start_with(&self, options: &[&str]) -> Running {
        let words = ["migrate", &self.source_url, &self.target_url];
        Running::start(&[&words, options].concat())
    }

    /// What the target counts, or none while it has no such table.
    pub(crate) fn arrived(&self, table: &str) -> u64 {
        let count = self.target.sql(&format!("select count(*) from {table}"));
        count.map_or(0, |count| count.trim().parse().unwrap())
    }

    /// Waits until so many rows are committed at the target. The migration must not be over then.
    pub(crate) fn wait_for_rows(&self, mut running: Running, table: &str, rows: u64) -> Running {
        wait_until(|| self.arrived(table) >= rows || running.has_ended());
        if running.has_ended() {
            let said = running.wait();
            panic!("it ended too early: {said:?}");
        }
        running
    }
}

/// A migration under way, killed with this value.
pub(crate) struct Running(Option<Child>);

impl Running {
    fn start(words: &[&str]) -> Self {
        let child = whimbrel(words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(Some(child))
    }

    fn child(&mut self) -> &mut Child {
        self.0.as_mut().unwrap()
    }

    fn has_ended(&mut self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child().kill().unwrap();
        self.child().wait().unwrap();
    }

    pub(crate) fn wait(mut self) -> Said {
        Said::of(self.0.take().unwrap().wait_with_output().unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended already.
            child.kill().ok();
            child.wait().ok();
        }
    }
}

pub(crate) fn wait_until(condition: impl FnMut() -> bool) {
    assert!(comes_true(condition), "waited too long");
}

/// Waits for a condition; `false` when it does not come true.
pub(crate) fn comes_true(mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while !condition() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        // Whoever asks takes the time of those who are asked.
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Waits until no transaction of a `PostgreSQL` server is older than the rows of a table: beside one they count as new, and other tests run
/// some on the same server.
pub(crate) fn settle(database: &TestDatabase, table: &str) {
    let is_settled = format!(
        "select bool_and(age(xmin) > age((pg_snapshot_xmin(pg_current_snapshot())::text::numeric % 4294967296)::text::xid)) from {table}"
    );
    wait_until(|| {
        !database.engine().is_postgres() || database.sql(&is_settled).unwrap().trim() == "t"
    });
}

async fn proxied(url: &str) -> (FaultProxy, String) {
    let (credentials, rest) = url.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let proxy = FaultProxy::start(server.parse::<SocketAddr>().unwrap())
        .await
        .unwrap();
    let url = format!("{credentials}@{}/{database}", proxy.address());
    (proxy, url)
}
