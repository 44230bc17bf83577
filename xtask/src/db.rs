//! `cargo x db`: throwaway database servers to work with.

use anyhow::{Context, Result};
use clap::Subcommand;
use whimbrel_testkit::{Engine, State};

/// What to do with the servers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start servers and print their URLs; they run until `db down`
    ///
    /// They listen on free ports of the loopback address, keep their data in temporary folders, and are
    /// the ones that `cargo test` uses. No other server of the machine is touched.
    Up {
        /// postgres15, postgres17, postgres18, mariadb1011, mariadb118, mysql97; the usual four if none is named
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
