use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;
use whimbrel_core::{Engine, Secret};

/// Time to reach the server and sign in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// How a connection is encrypted, and what is checked: the API's `SslMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    None,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, and the certificate leads to a trusted root.
    VerifyCa,
    /// Encrypted, and the certificate leads to a trusted root and is for this host.
    VerifyFull,
}

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

/// A connection URL that cannot be understood. The text never holds the password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidUrl(pub String);

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
        let invalid =
            |what: &str| InvalidUrl(format!("the URL of a MySQL or MariaDB server {what}"));
        let url = Url::parse(url).map_err(|error| invalid(&format!("cannot be read: {error}")))?;
        let engine = match url.scheme() {
            "mysql" => Engine::MySql,
            "mariadb" => Engine::MariaDb,
            _ => return Err(invalid("must begin with mysql:// or mariadb://")),
        };
        let decode = |part: &str, name: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| invalid(&format!("has a {name} that is not UTF-8")))
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("must name a host"))?;
        let user = decode(url.username(), "user")?;
        if user.is_empty() {
            return Err(invalid(
                "must name a user: mysql://USER:PASSWORD@HOST/DATABASE",
            ));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut options = Self::new(decode(host, "host")?, user);
        options.engine = engine;
        options.port = url.port().unwrap_or(options.port);
        options.password = url
            .password()
            .map(|text| decode(text, "password"))
            .transpose()?
            .map(Secret::new);
        let database = decode(url.path().trim_start_matches('/'), "database")?;
        options.database = Some(database).filter(|database| !database.is_empty());
        for (name, value) in url.query_pairs() {
            options.set(&name, &value).map_err(|what| invalid(&what))?;
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "sslmode" => {
                self.tls = match value {
                    "none" | "disable" => TlsMode::None,
                    "require" => TlsMode::Require,
                    "verify-ca" => TlsMode::VerifyCa,
                    "verify-full" => TlsMode::VerifyFull,
                    _ => {
                        return Err(format!(
                            "has sslmode={value}; use none, require, verify-ca or verify-full"
                        ));
                    }
                };
            }
            "sslrootcert" => {
                let pem = std::fs::read_to_string(value).map_err(|error| {
                    format!("names a root certificate {value} that cannot be read: {error}")
                })?;
                self.root_certificate = Some(pem);
            }
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|&seconds| seconds > 0);
                let seconds = seconds.ok_or_else(|| {
                    "has a connect_timeout that is no number of seconds".to_owned()
                })?;
                self.connect_timeout = Duration::from_secs(seconds);
            }
            _ => {
                return Err(format!(
                    "has an unknown parameter {name}; known are sslmode, sslrootcert and connect_timeout"
                ));
            }
        }
        Ok(())
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
    fn urls_are_read_with_their_escapes() {
        let options = Options::from_url(
            "mariadb://an%40na:p%2Fw%20d@db.example.net:3399/my%20shop?sslmode=verify-full&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(
            (options.user.as_str(), options.database.as_deref()),
            ("an@na", Some("my shop"))
        );
        assert_eq!(options.password, Some(Secret::new("p/w d")));
        assert_eq!((options.port, options.tls), (3399, TlsMode::VerifyFull));
        assert_eq!(options.engine, Engine::MariaDb);
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
        let plain = Options::from_url("mysql://ana@[::1]").unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.database),
            ("::1", 3306, None)
        );
    }

    #[test]
    fn errors_of_urls_never_show_the_password() {
        for url in [
            "postgres://u:hidden@h/d",
            "mysql://u:hidden@h/d?sslmode=maybe",
            "mysql://:hidden@h/d",
        ] {
            let error = Options::from_url(url).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
    }
}
