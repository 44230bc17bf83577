//! The servers of a measurement: private ones that keep what a crash must not lose, as in production.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use whimbrel_testkit::{Engine, Server, ServerOptions};

use super::tpch::{TABLES, Table};
use crate::run::output;

/// The database that is copied from, and the one that is copied to.
pub(crate) const DATABASE: &str = "bench";

/// Sizes for a machine of a few gigabytes: the tables of scale 1 fit into memory, so that reading the
/// source costs no disk, and no checkpoint falls into one run and not into the next.
const POSTGRES: &[(&str, &str)] = &[
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "30min"),
    ("maintenance_work_mem", "512MB"),
    // TLS on a loopback connection would measure the cipher.
    ("ssl", "off"),
];
const MARIADB: &[(&str, &str)] = &[
    ("innodb-buffer-pool-size", "2G"),
    ("innodb-log-file-size", "2G"),
];
const MYSQL: &[(&str, &str)] = &[
    ("innodb-buffer-pool-size", "2G"),
    ("innodb-redo-log-capacity", "2G"),
];

/// The settings of a measured server.
pub(crate) fn options(engine: Engine) -> Vec<(String, String)> {
    let settings = match engine {
        Engine::Mariadb1011 | Engine::Mariadb118 => MARIADB,
        Engine::Mysql97 => MYSQL,
        Engine::Postgres15 | Engine::Postgres16 | Engine::Postgres17 | Engine::Postgres18 => {
            POSTGRES
        }
    };
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.iter().map(owned).collect()
}

/// Starts a server of this engine with an empty [`DATABASE`].
pub(crate) fn start(engine: Engine) -> Result<Server> {
    eprintln!("starting {engine}");
    let server = Server::private_with(
        engine,
        ServerOptions {
            durable: true,
            settings: options(engine),
            ..Default::default()
        },
    )?;
    server.sql(&format!("create database {DATABASE};"))?;
    Ok(server)
}

/// A statement to run first, and what a `select` reads the numbers `i` from 1 to `last` from.
pub(crate) fn numbers(engine: Engine, last: u64) -> (&'static str, String) {
    let recursive = format!(
        "(with recursive s(i) as (select 1 union all select i + 1 from s where i < {last}) select i from s) s"
    );
    match engine {
        Engine::Mysql97 => ("set cte_max_recursion_depth = 1000000;", recursive),
        Engine::Mariadb1011 | Engine::Mariadb118 => {
            ("set max_recursive_iterations = 1000000;", recursive)
        }
        Engine::Postgres15 | Engine::Postgres16 | Engine::Postgres17 | Engine::Postgres18 => {
            ("", format!("generate_series(1, {last}) as s(i)"))
        }
    }
}

/// The server's version, without the compiler and the platform that PostgreSQL adds.
pub(crate) fn version(server: &Server) -> Result<String> {
    let version = server.sql("select version()")?;
    let words = version.trim().split(" on ").next().unwrap_or_default();
    Ok(words.trim_start_matches("PostgreSQL ").to_owned())
}

/// Tables of a smaller scale need no large servers.
const SMALL_BELOW: f64 = 0.5;

/// Which of the two servers of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Source,
    Target,
}

/// Servers started so far, each used by all cases that need it.
#[derive(Debug)]
pub(crate) struct Servers {
    scale: f64,
    running: BTreeMap<(Engine, Role), Server>,
    row_counts: BTreeMap<&'static str, u64>,
}

impl Servers {
    pub(crate) fn new(scale: f64) -> Self {
        Self {
            scale,
            running: BTreeMap::new(),
            row_counts: BTreeMap::new(),
        }
    }

    /// Starts the engine's server of this role; a source is filled with all tables and their keys.
    pub(crate) fn start(&mut self, engine: Engine, role: Role) -> Result<()> {
        if self.running.contains_key(&(engine, role)) {
            return Ok(());
        }
        // Small tables fit into the memory that servers take anyway, of a small machine too.
        let settings = if self.scale < SMALL_BELOW {
            Vec::new()
        } else {
            options(engine)
        };
        eprintln!("starting {engine} as {role:?}");
        let server = Server::private_with(
            engine,
            ServerOptions {
                durable: true,
                settings,
                ..Default::default()
            },
        )?;
        if role == Role::Source {
            self.fill(&server)
                .with_context(|| format!("fill {engine} with tables"))?;
        }
        self.running.insert((engine, role), server);
        Ok(())
    }

    /// A server that [`Servers::start`] started.
    pub(crate) fn get(&self, engine: Engine, role: Role) -> Result<&Server> {
        self.running
            .get(&(engine, role))
            .context("the server was not started")
    }

    /// Rows in these tables of a source.
    pub(crate) fn row_count(&self, tables: &[&Table]) -> u64 {
        tables
            .iter()
            .filter_map(|table| self.row_counts.get(table.name))
            .sum()
    }

    fn fill(&mut self, server: &Server) -> Result<()> {
        server.sql(&format!("create database {DATABASE};"))?;
        for table in TABLES {
            eprintln!("loading {} into {}", table.name, server.engine);
            // MySQL keeps rows in the order of their key, PostgreSQL builds the key faster afterwards.
            let postgres = server.engine.is_postgres();
            let create = if postgres {
                table.create()
            } else {
                table.create_with_key()
            };
            sql(server, &create)?;
            let count = self.load(server, table)?;
            self.row_counts.insert(table.name, count);
            if postgres {
                sql(server, &table.add_key())?;
            }
        }
        if server.engine.is_postgres() {
            sql(server, "vacuum (freeze, analyze);")?;
            sql(server, "checkpoint;")?;
        } else {
            let names: Vec<_> = TABLES.iter().map(|table| table.name).collect();
            sql(server, &format!("analyze table {};", names.join(", ")))?;
        }
        Ok(())
    }

    fn load(&self, server: &Server, table: &Table) -> Result<u64> {
        let name = table.name;
        let statement = if server.engine.is_postgres() {
            format!("copy {name} from stdin (delimiter '|')")
        } else {
            format!(
                "load data local infile '/dev/stdin' into table {name} fields terminated by '|'"
            )
        };
        let mut child = client(server, DATABASE, &statement)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .context("run the client")?;
        let input = child.stdin.take().context("write to the client")?;
        let written = table.write_rows(self.scale, input);
        if !child.wait().context("wait for the client")?.success() {
            bail!("the client could not load {name}");
        }
        written
    }
}

/// Empties a target and has it write out what is left of the run before, so that it is not counted to
/// the next.
pub(crate) fn clear_target(server: &Server) -> Result<()> {
    if server.engine.is_postgres() {
        server.sql(&format!("drop database if exists {DATABASE} with (force);"))?;
        server.sql(&format!("create database {DATABASE};"))?;
        server.sql("checkpoint;")?;
        return Ok(());
    }
    // A tool may name the target's database after the source's schema.
    for name in [DATABASE, "public"] {
        server.sql(&format!("drop database if exists {name};"))?;
    }
    server.sql(&format!("create database {DATABASE};"))?;
    Ok(())
}

/// Rows that arrived in these tables, in whichever schema the tool has put them.
pub(crate) fn count_rows(server: &Server, tables: &[&Table]) -> Result<u64> {
    let mut total = 0;
    for table in tables {
        let name = table.name;
        let find = format!(
            "select table_schema from information_schema.tables where table_name = '{name}' \
             and table_schema not like 'pg%'"
        );
        for schema in sql(server, &find)?.lines() {
            let count = sql(server, &format!("select count(*) from {schema}.{name}"))?;
            total += count
                .trim()
                .parse::<u64>()
                .context("understand a count of rows")?;
        }
    }
    Ok(total)
}

/// The database's URL, with the scheme that the tool wants and without TLS.
pub(crate) fn url(server: &Server, scheme: &str, query: &str) -> String {
    url_in(server, DATABASE, scheme, query)
}

fn url_in(server: &Server, database: &str, scheme: &str, query: &str) -> String {
    let Server {
        host,
        port,
        user,
        password,
        ..
    } = server;
    format!("{scheme}://{user}:{password}@{host}:{port}/{database}{query}")
}

/// The engine's client as words for the shell; it asks for no password and uses no TLS.
pub(crate) fn shell_client(server: &Server) -> String {
    shell_client_in(server, DATABASE)
}

/// The same in another database than [`DATABASE`].
pub(crate) fn shell_client_in(server: &Server, database: &str) -> String {
    let Server {
        host,
        port,
        user,
        password,
        ..
    } = server;
    if server.engine.is_postgres() {
        let url = url_in(server, database, "postgres", "?sslmode=disable");
        return format!("psql -X -q -v ON_ERROR_STOP=1 '{url}'");
    }
    format!(
        "mariadb --no-defaults --protocol=tcp --skip-ssl --local-infile=1 \
         --default-character-set=utf8mb4 -h {host} -P {port} -u {user} -p{password} {database}"
    )
}

pub(crate) fn sql(server: &Server, statement: &str) -> Result<String> {
    sql_in(server, DATABASE, statement)
}

/// Runs the statement in another database than [`DATABASE`].
pub(crate) fn sql_in(server: &Server, database: &str, statement: &str) -> Result<String> {
    output(&mut client(server, database, statement))
}

fn client(server: &Server, database: &str, statement: &str) -> Command {
    let flags = if server.engine.is_postgres() {
        "-A -t -c"
    } else {
        "--batch -N -e"
    };
    let mut command = Command::new("sh");
    // The statement is an argument of the script, so nothing in it is read by the shell.
    command.args([
        "-c",
        &format!("exec {} {flags} \"$1\"", shell_client_in(server, database)),
        "sh",
        statement,
    ]);
    command
}
