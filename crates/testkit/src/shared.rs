//! Servers shared between test processes: who starts them, where their addresses are.
//!
//! A state folder has one folder per engine:
//!
//! | file | meaning |
//! |---|---|
//! | `turn` | locked while a process looks for the server or starts it, so that only one does |
//! | `users` | share-locked by every process that uses the server, for as long as it lives |
//! | `keep` | present: the watchdog lets the server run although nobody uses it |
//! | `instance` | the folder with its data |
//! | `server.json` | its address, there once it has answered |
//!
//! A process takes its share of `users` *before* it reads `server.json`, and the watchdog removes
//! `server.json` *after* it has taken `users` for itself alone. So an address that was read belongs to a
//! server that is not about to be stopped.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde::{Deserialize, Serialize};

use crate::instance::{Instance, Record};
use crate::programs::make_dir;
use crate::tls::Tls;
use crate::watchdog::{self, wait_until};
use crate::{Engine, ServerOptions, packages};

/// The environment variable with the path of a [`SharedServers`] file.
pub const SERVERS_VARIABLE: &str = "WHIMBREL_TEST_SERVERS";
/// Names another state folder than the machine's.
const STATE_VARIABLE: &str = "WHIMBREL_TEST_STATE_DIR";

/// A developer runs tests again within minutes; starting the servers anew takes seconds.
const UNUSED_MAX_S: u32 = 600;

/// Servers that few tests use outlive the pause between two of these, and the run by no more than this.
const ON_DEMAND_UNUSED_MAX_S: u32 = 120;

/// A folder in which processes find, start and stop shared servers.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
    unused_max_s: u32,
}

/// A process's use of a shared server: while it is there, the server stays.
#[derive(Debug)]
pub(crate) struct Hold {
    record: Record,
    _users: File,
}

/// Running servers and where they are, for child processes: a JSON file, named in
/// [`SERVERS_VARIABLE`]. The servers stay while this value is there.
#[derive(Debug)]
pub struct SharedServers {
    state: PathBuf,
    holds: Vec<Hold>,
}

/// The file's content.
#[derive(Debug, Serialize, Deserialize)]
struct ServersFile {
    servers: Vec<Record>,
    /// The state folder where servers of other engines start when a test asks for one.
    state: PathBuf,
}

impl State {
    /// The state folder of this machine and user: `$WHIMBREL_TEST_STATE_DIR`, or a fixed place in the
    /// temp folder. Its servers stop ten minutes after their last use.
    pub fn machine() -> Result<Self> {
        let dir = env::var_os(STATE_VARIABLE).map_or_else(
            || env::temp_dir().join(format!("whimbrel-testkit-{}", Uid::effective())),
            PathBuf::from,
        );
        Self::at(&dir, UNUSED_MAX_S)
    }

    /// A state folder elsewhere, whose servers stop `unused_max_s` seconds after their last use.
    pub fn at(dir: &Path, unused_max_s: u32) -> Result<Self> {
        use std::os::unix::fs::MetadataExt;
        make_dir(dir, 0o755)?;
        let owner = fs::metadata(dir).context("look at the state folder")?.uid();
        if owner != Uid::effective().as_raw() {
            bail!(
                "{} belongs to user {owner}: set {STATE_VARIABLE}",
                dir.display()
            );
        }
        Ok(Self {
            dir: dir.to_owned(),
            unused_max_s,
        })
    }

    /// The servers of these engines, started if need be, each by a thread of its own.
    pub fn servers(&self, engines: &[Engine]) -> Result<SharedServers> {
        // First, so that the threads do not wait for one installation and then for the next.
        packages::ensure(packages::SERVERS)?;
        let holds = std::thread::scope(|scope| {
            let starts: Vec<_> = engines
                .iter()
                .map(|engine| scope.spawn(|| self.hold(*engine)))
                .collect();
            let join = |start: std::thread::ScopedJoinHandle<'_, Result<Hold>>| {
                start
                    .join()
                    .map_err(|_| anyhow::anyhow!("a server's start panicked"))?
            };
            starts.into_iter().map(join).collect::<Result<Vec<Hold>>>()
        })?;
        Ok(SharedServers {
            state: self.dir.clone(),
            holds,
        })
    }

    /// The URL of the engine's server, if it runs.
    pub fn running(&self, engine: Engine) -> Option<String> {
        self.running_record(engine).map(|record| record.url)
    }

    /// Lets the engine's running server run until [`State::stop`], used or not.
    pub fn keep(&self, engine: Engine) -> Result<()> {
        fs::write(self.engine_dir(engine).join("keep"), "").context("mark the server as kept")
    }

    /// Stops the engine's server, in use or not. Answers whether there was one.
    pub fn stop(&self, engine: Engine) -> Result<bool> {
        let dir = self.engine_dir(engine);
        let Some(pid) = watchdog::watchdog_pid(&dir) else {
            return Ok(false);
        };
        watchdog::send(pid, Signal::SIGTERM)?;
        wait_until(Duration::from_mins(1), || !watchdog::is_alive(pid))
            .with_context(|| format!("stop {engine}"))?;
        Ok(true)
    }

    pub(crate) fn tls(&self) -> Result<Tls> {
        Tls::in_dir(&self.dir.join("tls"))
    }

    /// Takes the caller's share of the engine's server, started if need be.
    pub(crate) fn hold(&self, engine: Engine) -> Result<Hold> {
        let dir = self.engine_dir(engine);
        make_dir(&dir, 0o755)?;
        let turn = lock_file(&dir.join("turn"))?;
        turn.lock()
            .with_context(|| format!("wait for another process that starts {engine}"))?;
        let users = lock_file(&dir.join("users"))?;
        users
            .lock_shared()
            .with_context(|| format!("wait for {engine} to stop"))?;
        if let Some(record) = self.running_record(engine) {
            return Ok(Hold {
                record,
                _users: users,
            });
        }
        // Something of an earlier server may still be there, if it hangs or has crashed.
        self.stop(engine)?;
        self.remove_leftovers(engine)?;
        for name in ["server.json", "server.log", "watchdog.log"] {
            watchdog::remove_if_there(&dir.join(name))?;
        }
        eprintln!("testkit: starting {engine}");
        let tls = self.tls()?;
        let instance = Instance::make(engine, &dir, &tls)?;
        fs::write(
            dir.join("instance"),
            instance.dir().as_os_str().as_encoded_bytes(),
        )
        .context("note the server's folder")?;
        let options = ServerOptions::default();
        let record = instance
            .start(&dir, None, self.unused_max_s, &options, &tls)
            .inspect_err(|_| instance.remove())?;
        let json = serde_json::to_vec_pretty(&record).context("write the server's address")?;
        fs::write(dir.join("server.json"), json).context("write the server's address")?;
        Ok(Hold {
            record,
            _users: users,
        })
    }

    /// Removes the files of a server whose watchdog was killed before it could.
    fn remove_leftovers(&self, engine: Engine) -> Result<()> {
        let note = self.engine_dir(engine).join("instance");
        let Ok(instance) = fs::read_to_string(&note) else {
            return Ok(());
        };
        match fs::remove_dir_all(&instance) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("remove {instance}"))
            }
            _ => watchdog::remove_if_there(&note),
        }
    }

    fn engine_dir(&self, engine: Engine) -> PathBuf {
        self.dir.join(engine.name())
    }

    fn running_record(&self, engine: Engine) -> Option<Record> {
        let dir = self.engine_dir(engine);
        watchdog::server_pid(&dir)?;
        let json = fs::read(dir.join("server.json")).ok()?;
        let record: Record = serde_json::from_slice(&json).ok()?;
        accepts(&record).then_some(record)
    }
}

impl SharedServers {
    /// Writes the file that [`SERVERS_VARIABLE`] is to point at.
    pub fn write(&self, path: &Path) -> Result<()> {
        let servers = self.holds.iter().map(|hold| hold.record.clone()).collect();
        let state = self.state.clone();
        let file = ServersFile { servers, state };
        let json = serde_json::to_vec_pretty(&file).context("list servers")?;
        fs::write(path, json).with_context(|| format!("write {}", path.display()))
    }

    /// The servers' URLs.
    pub fn urls(&self) -> impl Iterator<Item = (Engine, &str)> {
        self.holds
            .iter()
            .map(|hold| (hold.record.engine, hold.record.url.as_str()))
    }
}

/// The shared server of this engine: from the file of [`SERVERS_VARIABLE`], else started beside those, else of this machine.
pub(crate) fn get(engine: Engine) -> Result<Record> {
    static HELD: Mutex<BTreeMap<Engine, Hold>> = Mutex::new(BTreeMap::new());

    let named = named()?;
    let is_engine = |record: &&Record| record.engine == engine;
    if let Some(record) = named
        .as_ref()
        .and_then(|file| file.servers.iter().find(is_engine))
    {
        return Ok(record.clone());
    }
    // Held to the end of the process: tests come and go in it, and all use the same server.
    let mut in_use = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(hold) = in_use.get(&engine).filter(|hold| accepts(&hold.record)) {
        return Ok(hold.record.clone());
    }
    in_use.remove(&engine);
    let state = match named {
        Some(file) => State::at(&file.state, ON_DEMAND_UNUSED_MAX_S)?,
        None => State::machine()?,
    };
    let hold = state.hold(engine)?;
    let record = hold.record.clone();
    in_use.insert(engine, hold);
    Ok(record)
}

/// The file of [`SERVERS_VARIABLE`], if that is set.
fn named() -> Result<Option<ServersFile>> {
    let Some(path) = env::var_os(SERVERS_VARIABLE).map(PathBuf::from) else {
        return Ok(None);
    };
    let json =
        fs::read(&path).with_context(|| format!("{SERVERS_VARIABLE}: read {}", path.display()))?;
    let file = serde_json::from_slice(&json)
        .with_context(|| format!("{SERVERS_VARIABLE}: understand {}", path.display()))?;
    Ok(Some(file))
}

fn accepts(record: &Record) -> bool {
    let Ok(host) = record.host.parse() else {
        return false;
    };
    let address = SocketAddr::new(host, record.port);
    TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
}

fn lock_file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open the lock file {}", path.display()))
}
