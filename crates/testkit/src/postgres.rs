//! How a PostgreSQL server is made and configured.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Engine;
use crate::ServerOptions;
use crate::instance::{PASSWORD, USER};
use crate::programs::{Home, write_owned};
use crate::tls::Tls;

/// Settings of every server: enough room for change capture and parallel tests, TCP on the loopback
/// address alone, TLS allowed but not required.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("wal_level", "logical"),
    ("max_connections", "200"),
    ("max_wal_senders", "50"),
    ("max_replication_slots", "50"),
    ("max_logical_replication_workers", "20"),
    ("max_prepared_transactions", "20"),
    ("password_encryption", "scram-sha-256"),
    ("ssl", "on"),
    ("ssl_cert_file", "server.pem"),
    ("ssl_key_file", "server.key"),
    // Inside a release's folder there may be no usable /dev/shm.
    ("dynamic_shared_memory_type", "mmap"),
];

/// Speed bought with what only a crash of the machine needs. Commits still reach the kernel, because tests
/// kill servers and look for what was committed.
const CARELESS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("max_wal_size", "4GB"),
];

/// Makes the data folder in `instance`, with one superuser who signs in by password.
pub(crate) fn initialise(engine: Engine, home: &Home, instance: &Path, tls: &Tls) -> Result<()> {
    let password = instance.join("password");
    write_owned(&password, PASSWORD.as_bytes())?;
    let args = [
        format!("--pgdata={}", home.inside(&instance.join("data"))),
        format!("--username={USER}"),
        format!("--pwfile={}", home.inside(&password)),
        "--auth=scram-sha-256".to_owned(),
        "--encoding=UTF8".to_owned(),
        "--locale=C.UTF-8".to_owned(),
        "--no-sync".to_owned(),
    ];
    home.run(&program(engine, "initdb")?, &args)?;
    for (from, to) in [
        (tls.server_pem(), "server.pem"),
        (tls.server_key(), "server.key"),
    ] {
        let bytes = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
        write_owned(&instance.join("data").join(to), &bytes)?;
    }
    Ok(())
}

/// Writes the settings and answers the program and arguments that run the server.
///
/// They go to the file, not to the command line, so that a test's `alter system` wins over them.
pub(crate) fn configure(
    engine: Engine,
    home: &Home,
    instance: &Path,
    port: u16,
    options: &ServerOptions,
) -> Result<(String, Vec<String>)> {
    let mut text = format!("\nport = {port}\n");
    let careless = if options.durable { &[] } else { CARELESS };
    let own = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in SETTINGS.iter().chain(careless).copied().chain(own) {
        text.extend([name, " = '", &value.replace('\'', "''"), "'\n"]);
    }
    let file = instance.join("data/postgresql.conf");
    OpenOptions::new()
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", file.display()))?;
    let args = vec!["-D".to_owned(), home.inside(&instance.join("data"))];
    Ok((program(engine, "postgres")?, args))
}

/// The client itself where it is, because Debian's command of the name is a Perl script that looks for it for much longer than most
/// statements take.
pub fn psql() -> &'static str {
    const CLIENT: &str = "/usr/lib/postgresql/15/bin/psql";
    if Path::new(CLIENT).exists() {
        CLIENT
    } else {
        "psql"
    }
}

fn program(engine: Engine, name: &str) -> Result<String> {
    let version = match engine.run()? {
        Engine::Postgres18 => 18,
        Engine::Postgres17 => 17,
        Engine::Postgres16 => 16,
        _ => 15,
    };
    Ok(format!("/usr/lib/postgresql/{version}/bin/{name}"))
}
