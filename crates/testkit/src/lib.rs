//! Real database servers, and faults, for tests.
//!
//! [`Server::get`] answers a running server of an [`Engine`]; all test processes share it.
//! [`Server::private`] starts one for a single test, which may kill and restart it.
//! [`Server::database`] makes an empty database that lives as long as its [`TestDatabase`].
//! [`FaultProxy`] stands between a client and a server and breaks the connection on command.
//!
//! ```no_run
//! use whimbrel_testkit::{Engine, Server};
//!
//! # fn main() -> anyhow::Result<()> {
//! let server = Server::get(Engine::Postgres15)?;
//! let database = server.database("orders")?;
//! database.sql("create table t (id int primary key); insert into t values (1)")?;
//! assert_eq!(database.sql("select id from t")?, "1\n");
//! # Ok(()) }
//! ```
//!
//! # Who owns a server, and when it stops
//!
//! Every server is the child of a watchdog, a small shell script in a session of its own (see
//! `watch.sh`). Whoever uses the server holds a shared lock on a file; the kernel drops the lock
//! when that process ends, in whatever way. The watchdog stops the server and removes its files once
//! nobody has held the lock for a while. If the watchdog itself is killed, the kernel kills the
//! server. So nothing is left behind, and no server that testkit did not start is ever touched:
//! ports are free ones, all files are in folders of their own, and only the loopback address is used.
//!
//! Tests on one machine share servers through a state folder in the system's temp folder. `cargo x
//! test` starts its servers in a folder of its own and names them in the file that
//! `WHIMBREL_TEST_SERVERS` points at; [`Server::get`] then takes them from there.
//!
//! What is missing on the machine is installed ([`packages`]); when that is not possible the error
//! names the packages. A test without its server fails; it is never skipped.

mod cache;
mod database;
mod engine;
mod instance;
mod mysql;
mod npm;
pub mod packages;
mod postgres;
mod programs;
mod proxy;
mod releases;
mod seed;
mod server;
mod shared;
mod tls;
mod watchdog;

pub use cache::cache_dir;
pub use database::TestDatabase;
pub use engine::Engine;
pub use postgres::psql;
pub use programs::install_programs;
pub use proxy::{Fault, FaultProxy};
pub use seed::{SEED_VARIABLE, seed};
pub use server::{Server, ServerOptions, Stop};
pub use shared::{SERVERS_VARIABLE, SharedServers, State};
