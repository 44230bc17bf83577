//! How a MySQL or MariaDB server is made and configured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::Engine;
use crate::ServerOptions;
use crate::instance::{PASSWORD, SMALL_DISK, USER};
use crate::programs::{Home, make_dir, write_owned};
use crate::tls::Tls;

/// Settings of every server: binary log on as change capture needs it, LOAD DATA LOCAL allowed, TCP on
/// the loopback address alone. What a test of defaults may look at is left at its default.
const SETTINGS: &[(&str, &str)] = &[
    ("bind-address", "127.0.0.1"),
    ("skip-name-resolve", "1"),
    ("max-connections", "200"),
    ("character-set-server", "utf8mb4"),
    ("default-time-zone", "+00:00"),
    ("server-id", "1"),
    ("log-bin", "binlog"),
    ("binlog-format", "ROW"),
    ("local-infile", "1"),
    ("performance-schema", "OFF"),
];

/// Speed bought with what only a crash of the machine needs. Commits still reach the kernel, because tests
/// kill servers and look for what was committed.
const CARELESS: &[(&str, &str)] = &[
    ("innodb-flush-log-at-trx-commit", "2"),
    ("innodb-doublewrite", "0"),
    ("sync-binlog", "0"),
];

/// Makes the data folder in `instance`, and the statements that make the user at the first start.
pub(crate) fn initialise(engine: Engine, home: &Home, instance: &Path, tls: &Tls) -> Result<()> {
    let data = home.inside(&instance.join("data"));
    if engine == Engine::Mysql97 {
        let args = [
            "--no-defaults",
            "--initialize-insecure",
            "--innodb-doublewrite=0",
        ];
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.push(format!("--datadir={data}"));
        home.run("/usr/sbin/mysqld", &args)?;
    } else {
        let args = [
            "--no-defaults",
            // The folder of another release knows no names of hosts.
            "--force",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ];
        let mut args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        args.push(format!("--datadir={data}"));
        args.push(format!("--tmpdir={}", own_tmp(home, instance)?));
        home.run("/usr/bin/mariadb-install-db", &args)?;
    }
    // Not in the binary log: a test that reads the log from its start must not meet it.
    let statements = format!(
        "set sql_log_bin = 0;\n\
         create user if not exists '{USER}'@'%' identified by '{PASSWORD}';\n\
         grant all privileges on *.* to '{USER}'@'%' with grant option;\n"
    );
    write_owned(&instance.join("init.sql"), statements.as_bytes())?;
    let files = [
        (tls.ca_pem(), "ca.pem"),
        (tls.server_pem(), "server.pem"),
        (tls.server_key(), "server.key"),
    ];
    for (from, to) in files {
        let bytes = fs::read(&from).with_context(|| format!("read {}", from.display()))?;
        write_owned(&instance.join(to), &bytes)?;
    }
    Ok(())
}

/// Makes the instance's own folder for temporary tables: a MariaDB that starts clears the one that it is given, of other servers' too.
fn own_tmp(home: &Home, instance: &Path) -> Result<String> {
    let tmp = instance.join("tmp");
    make_dir(&tmp, 0o1777)?;
    Ok(home.inside(&tmp))
}

/// Writes the settings and answers the program and arguments that run the server.
pub(crate) fn configure(
    engine: Engine,
    home: &Home,
    instance: &Path,
    port: u16,
    options: &ServerOptions,
) -> Result<(String, Vec<String>)> {
    let inside = |name: &str| home.inside(&instance.join(name));
    own_tmp(home, instance)?;
    let mut text = format!("[mysqld]\nport={port}\n");
    let places = [
        ("datadir", "data"),
        ("tmpdir", "tmp"),
        ("socket", "mysqld.sock"),
        ("pid-file", "mysqld.pid"),
        ("init-file", "init.sql"),
        ("ssl-ca", "ca.pem"),
        ("ssl-cert", "server.pem"),
        ("ssl-key", "server.key"),
    ];
    for (name, place) in places {
        push_line(&mut text, name, &inside(place));
    }
    if engine == Engine::Mysql97 {
        text.push_str("mysqlx=OFF\n");
    }
    let careless = if options.durable { &[] } else { CARELESS };
    let own = options
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in SETTINGS.iter().chain(careless).copied().chain(own) {
        let value = value.replace("SMALL_DISK", &inside(SMALL_DISK));
        push_line(&mut text, name, &value);
    }
    write_owned(&instance.join("my.cnf"), text.as_bytes())?;
    let program = if engine == Engine::Mysql97 {
        "/usr/sbin/mysqld"
    } else {
        "/usr/sbin/mariadbd"
    };
    Ok((
        program.to_owned(),
        vec![format!("--defaults-file={}", inside("my.cnf"))],
    ))
}

fn push_line(text: &mut String, name: &str, value: &str) {
    text.extend([name, "=", value, "\n"]);
}
