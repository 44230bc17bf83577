//! `cargo x demo`: a whole migration through the API, on throwaway servers.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use whimbrel_testkit::{Engine, Server};

use crate::bench::servers::{DATABASE, Role, Servers, clear_target};
use crate::python;
use crate::run::{cargo, status, step, tree};

const SOURCE: Engine = Engine::Mariadb1011;
const TARGET: Engine = Engine::Postgres15;
const REGION: &str = "us-east-1";
const KEY_ID: &str = "AKIADEMODEMODEMODEMO";
const SECRET: &str = "demonstration-secret-for-one-run-only-00";
/// A server on an idle machine listens within a second.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// Options of the demonstration.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "MariaDB and PostgreSQL are started on free ports in temporary folders and stopped at the end."
)]
pub(crate) struct Args {
    /// TPC-H scale factor of the data that is migrated
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
}

/// Shows a migration from MariaDB to PostgreSQL.
pub(crate) fn run(args: &Args) -> Result<()> {
    step(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "whimbrel-cli",
    ]))?;
    let whimbrel = binary()?;
    let requirements = tree().join("tests/api/requirements.txt");
    let requirements =
        std::fs::read_to_string(requirements).context("read the list of Python packages")?;
    let python = python::environment("tests", &requirements)?;

    let mut servers = Servers::new(args.scale);
    servers.start(SOURCE, Role::Source)?;
    servers.start(TARGET, Role::Target)?;
    let (source, target) = (
        servers.get(SOURCE, Role::Source)?,
        servers.get(TARGET, Role::Target)?,
    );
    clear_target(target)?;

    let folder = tempfile::Builder::new()
        .prefix("whimbrel-demo-")
        .tempdir()?;
    let service = Service::start(&whimbrel, folder.path())?;
    eprintln!("whimbrel serve answers at {}", service.url());
    let mut migrate = Command::new(python.join("python"));
    migrate.arg(tree().join("xtask/demo/migrate.py"));
    migrate
        .env("DEMO_API", service.url())
        .env("PATH", path_with(&python)?);
    migrate
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION);
    migrate
        .env("AWS_ACCESS_KEY_ID", KEY_ID)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    name_server(&mut migrate, "DEMO_SOURCE", source);
    name_server(&mut migrate, "DEMO_TARGET", target);
    step(&mut migrate)?;

    println!("\n== Every row of both ends compared");
    let compared = status(
        Command::new(&whimbrel)
            .arg("validate")
            .arg(url_without_password(source, "mariadb"))
            .arg(url_without_password(target, "postgres"))
            .env("WHIMBREL_SOURCE_PASSWORD", &source.password)
            .env("WHIMBREL_TARGET_PASSWORD", &target.password),
    )?;
    if !compared.success() {
        bail!("the two ends differ");
    }
    Ok(())
}

fn name_server(command: &mut Command, prefix: &str, server: &Server) {
    command
        .env(format!("{prefix}_HOST"), &server.host)
        .env(format!("{prefix}_PORT"), server.port.to_string())
        .env(format!("{prefix}_USER"), &server.user)
        .env(format!("{prefix}_PASSWORD"), &server.password)
        .env(format!("{prefix}_DATABASE"), DATABASE);
}

/// The search path with the environment's programs first.
fn path_with(bin: &Path) -> Result<std::ffi::OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(bin.to_owned()).chain(std::env::split_paths(&old));
    std::env::join_paths(folders).context("put the search path together")
}

/// The program that was built from this tree.
fn binary() -> Result<PathBuf> {
    crate::run::target_dir().map(|target| target.join("release/whimbrel"))
}

/// `whimbrel serve` on a free port, ended when dropped.
struct Service {
    child: Child,
    address: SocketAddr,
}

impl Service {
    fn start(whimbrel: &Path, data_dir: &Path) -> Result<Self> {
        // Taken from the system and given back at once: nobody else is likely to get it in between.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(whimbrel)
            .args([
                "serve",
                "--log-level",
                "warn",
                "--listen",
                &address.to_string(),
                "--region",
                REGION,
            ])
            .arg("--data-dir")
            .arg(data_dir.join("data"))
            .env("WHIMBREL_ADMIN_ACCESS_KEY_ID", KEY_ID)
            .env("WHIMBREL_ADMIN_SECRET_ACCESS_KEY", SECRET)
            .spawn()
            .context("start whimbrel serve")?;
        let mut service = Self { child, address };
        service.wait_until_it_listens()?;
        Ok(service)
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("whimbrel serve ended with {status}");
            }
            if Instant::now() > deadline {
                bail!("whimbrel serve does not listen at {}", self.address);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// A URL without the password, which goes by the environment: commands are shown.
fn url_without_password(server: &Server, scheme: &str) -> String {
    let Server {
        user, host, port, ..
    } = server;
    format!("{scheme}://{user}@{host}:{port}/{DATABASE}")
}

impl Drop for Service {
    fn drop(&mut self) {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        if let Err(error) = ended {
            eprintln!("whimbrel serve could not be ended: {error}");
        }
    }
}
