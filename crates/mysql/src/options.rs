use std::time::Duration;

use whimbrel_core::{Engine, Secret};
use whimbrel_net::{InvalidUrl, ServerUrl, TlsMode, TlsSettings, UrlForm};

const URL: UrlForm = UrlForm {
    server: "a MySQL or MariaDB server",
    schemes: &["mysql", "mariadb"],
    begins: "mysql:// or mariadb://",
    example: "mysql://USER:PASSWORD@HOST/DATABASE",
};

/// Time to reach the server and sign in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Where a MySQL or MariaDB server is and how to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What the settings call the server. Which of the two it is, the connection finds out.
    pub engine: Engine,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<Secret>,
    /// Database to begin in. Tables of all databases are reached without one too.
    pub database: Option<String>,
    /// Encryption.
    pub tls: TlsMode,
    /// Certificate of the root to trust, as PEM; the machine's own roots without one.
    pub root_certificate: Option<String>,
    /// Time to reach the server and sign in.
    pub connect_timeout: Duration,
    /// Statements without rows to run on each connection once signed in, before the session is fixed. One that fails is logged, and
    /// the connection used.
    pub after_connect: Vec<String>,
}

impl Options {
    /// Options with the defaults for everything that is not given.
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        Self {
            engine: Engine::MySql,
            host: host.into(),
            port: Engine::MySql.default_port(),
            user: user.into(),
            password: None,
            database: None,
            tls: TlsMode::None,
            root_certificate: None,
            connect_timeout: CONNECT_TIMEOUT,
            after_connect: Vec::new(),
        }
    }

    /// Reads `mysql://user:password@host:port/database?sslmode=…&sslrootcert=FILE&connect_timeout=SECONDS`, or the same
    /// with `mariadb://`.
    ///
    /// Parts may be percent-encoded. Port and database may be left out.
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        let url = ServerUrl::parse(url, URL)?;
        let mut options = Self::new(url.host, url.user);
        if url.scheme == "mariadb" {
            options.engine = Engine::MariaDb;
        }
        options.port = url.port.unwrap_or(options.port);
        options.password = url.password;
        options.database = url.database;
        options.tls = url.tls;
        options.root_certificate = url.root_certificate;
        options.connect_timeout = url.connect_timeout.unwrap_or(options.connect_timeout);
        Ok(options)
    }

    /// What an encrypted connection is checked against.
    pub(crate) fn tls_settings(&self) -> TlsSettings<'_> {
        TlsSettings {
            host: &self.host,
            mode: self.tls,
            root_certificate: self.root_certificate.as_deref(),
        }
    }

    /// Host, port and database for messages.
    pub(crate) fn describe(&self) -> String {
        match &self.database {
            Some(database) => format!("{}:{}/{database}", self.host, self.port),
            None => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_the_engine_and_perhaps_a_database() {
        let options =
            Options::from_url("mariadb://ana@h:3399/shop?sslmode=require&connect_timeout=3")
                .unwrap();
        assert_eq!(options.engine, Engine::MariaDb);
        assert_eq!(
            (options.port, options.database.as_deref(), options.tls),
            (3399, Some("shop"), TlsMode::Require)
        );
        assert_eq!(options.connect_timeout.as_secs(), 3);
        let plain = Options::from_url("mysql://ana@h").unwrap();
        assert_eq!(
            (plain.engine, plain.port, plain.database),
            (Engine::MySql, 3306, None)
        );
    }
}
