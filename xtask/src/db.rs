//! `cargo x db`: throwaway database servers to work with.

use anyhow::{Context, Result};
use clap::Subcommand;
use whimbrel_testkit::{Engine, Server, ServerOptions, State};

/// What to do with the servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start servers and print their URLs; they run until `db down`
    ///
    /// They listen on free ports of the loopback address, keep their data in temporary folders, and are
    /// the ones that `cargo test` uses. No other server of the machine is touched.
    Up {
        /// postgres15, postgres16, postgres17, postgres18, mariadb1011, mariadb118, mysql97; the usual four if none is named
        #[arg(value_parser = engine)]
        engines: Vec<Engine>,
    },
    /// Stop the servers and remove their data
    Down {
        /// The servers to stop; all of them if none is named
        #[arg(value_parser = engine)]
        engines: Vec<Engine>,
    },
    /// Print which servers run, and their URLs
    Status,
    /// Start a server with a small disk, print where it is, and stop it when the standard input ends
    #[command(hide = true)]
    SmallDisk {
        #[arg(value_parser = engine)]
        engine: Engine,
        /// Its size
        megabytes: u32,
        /// More settings of the server, as NAME=VALUE
        settings: Vec<String>,
    },
}

/// Starts, stops or lists the machine's throwaway servers.
pub(crate) fn run(command: &Command) -> Result<()> {
    let state = State::machine()?;
    match command {
        Command::Up { engines } => {
            let servers = state.servers(&or(engines, &Engine::usual()))?;
            for (engine, url) in servers.urls() {
                state.keep(engine)?;
                println!("{:<12} {url}", engine.name());
            }
        }
        Command::Down { engines } => {
            for engine in or(engines, &Engine::all()) {
                let stopped = if state.stop(engine)? {
                    "stopped"
                } else {
                    "was not running"
                };
                println!("{:<12} {stopped}", engine.name());
            }
        }
        Command::SmallDisk {
            engine,
            megabytes,
            settings,
        } => return small_disk(*engine, *megabytes, settings),
        Command::Status => {
            for engine in Engine::all() {
                let url = state.running(engine);
                println!(
                    "{:<12} {}",
                    engine.name(),
                    url.as_deref().unwrap_or("not running")
                );
            }
        }
    }
    Ok(())
}

/// For tests in other languages, which fill the disk up.
fn small_disk(engine: Engine, megabytes: u32, settings: &[String]) -> Result<()> {
    let setting = |setting: &String| {
        let (name, value) = setting.split_once('=').context("a setting has no `=`")?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let options = ServerOptions {
        small_disk_mb: Some(megabytes),
        settings: settings.iter().map(setting).collect::<Result<_>>()?,
        ..Default::default()
    };
    let server = Server::private_with(engine, options)?;
    let place = server.small_disk()?;
    let Server {
        host,
        port,
        user,
        password,
        ca_pem,
        ..
    } = &server;
    println!(
        "{}",
        serde_json::json!({
            "server": {
                "engine": engine.name(), "host": host, "port": port, "user": user, "password": password,
                "ca_pem": ca_pem, "url": server.url(),
            },
            "small_disk": place,
        })
    );
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())
        .context("wait for the input to end")?;
    Ok(())
}

fn or(engines: &[Engine], none: &[Engine]) -> Vec<Engine> {
    if engines.is_empty() {
        none.to_vec()
    } else {
        engines.to_vec()
    }
}

/// The engine of this name, for the command line.
pub(crate) fn engine(name: &str) -> Result<Engine> {
    Engine::from_name(name).with_context(|| {
        let names: Vec<_> = Engine::all().into_iter().map(Engine::name).collect();
        format!("there is no engine `{name}`, only {}", names.join(", "))
    })
}
