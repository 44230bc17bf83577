use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;
use whimbrel_core::{Engine, Secret};

/// Time to reach the server and sign in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// See [`Options::open_memory_max`].
const OPEN_MEMORY_MAX: usize = 16 * 1024 * 1024;

/// Folder and megabytes of [`Options::spool_dir`] and [`Options::spool_bytes_max`], where others are wanted.
const SPOOL_DIR: &str = "WHIMBREL_SPOOL_DIR";
const SPOOL_MAX_MB: &str = "WHIMBREL_SPOOL_MAX_MB";
const SPOOL_BYTES_MAX: u64 = 64 << 30;

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

/// Where a PostgreSQL server is and how to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Role.
    pub user: String,
    /// Its password, if it has one.
    pub password: Option<Secret>,
    /// Database.
    pub database: String,
    /// Encryption.
    pub tls: TlsMode,
    /// Certificate of the root to trust, as PEM; the machine's own roots without one.
    pub root_certificate: Option<String>,
    /// Time to reach the server and sign in.
    pub connect_timeout: Duration,
    /// SQL to run on each connection once signed in, before the session is fixed. One that fails is logged, and the connection used.
    pub after_connect: Option<String>,
    /// Whether changes of definitions are captured where the source lets event triggers be made.
    pub captures_ddl: bool,
    /// Schema of the function that these need.
    pub ddl_schema: String,
    /// How often something is written into the log of a source that is followed, so that a quiet one can let go of it.
    pub heartbeat: Option<Duration>,
    /// A replication slot that exists and is to be read, instead of one that the task makes.
    pub slot: Option<String>,
    /// Whether a source is asked to send large transactions while they run, from version 15 on.
    pub takes_open_transactions: bool,
    /// Bytes of these that are held in memory, all together; the rest is held on disk.
    pub open_memory_max: usize,
    /// Where that is: `WHIMBREL_SPOOL_DIR`, or the system's folder for temporary files.
    pub spool_dir: PathBuf,
    /// How many bytes it may take there, for each stream: `WHIMBREL_SPOOL_MAX_MB`, or 64 GiB. The source keeps what is more.
    pub spool_bytes_max: u64,
}

/// A connection URL that cannot be understood. The text never holds the password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidUrl(pub String);

impl Options {
    /// Options with the defaults for everything that is not given.
    pub fn new(host: impl Into<String>, user: impl Into<String>) -> Self {
        let user = user.into();
        Self {
            host: host.into(),
            port: Engine::Postgres.default_port(),
            database: user.clone(),
            user,
            password: None,
            tls: TlsMode::None,
            root_certificate: None,
            connect_timeout: CONNECT_TIMEOUT,
            after_connect: None,
            captures_ddl: true,
            ddl_schema: "public".to_owned(),
            heartbeat: None,
            slot: None,
            takes_open_transactions: true,
            open_memory_max: OPEN_MEMORY_MAX,
            spool_dir: spool_dir(std::env::var_os(SPOOL_DIR)),
            spool_bytes_max: spool_bytes_max(std::env::var(SPOOL_MAX_MB).ok().as_deref()),
        }
    }

    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=FILE&connect_timeout=SECONDS`.
    ///
    /// Parts may be percent-encoded. The database defaults to the user's name.
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        let invalid = |what: &str| InvalidUrl(format!("the URL of a PostgreSQL server {what}"));
        let url = Url::parse(url).map_err(|error| invalid(&format!("cannot be read: {error}")))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(invalid("must begin with postgres://"));
        }
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
                "must name a user: postgres://USER:PASSWORD@HOST/DATABASE",
            ));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let mut options = Self::new(decode(host, "host")?, user);
        options.port = url.port().unwrap_or(options.port);
        options.password = url
            .password()
            .map(|text| decode(text, "password"))
            .transpose()?
            .map(Secret::new);
        let database = decode(url.path().trim_start_matches('/'), "database")?;
        if !database.is_empty() {
            options.database = database;
        }
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
        format!("{}:{}/{}", self.host, self.port, self.database)
    }
}

fn spool_dir(given: Option<OsString>) -> PathBuf {
    given
        .filter(|given| !given.is_empty())
        .map_or_else(std::env::temp_dir, PathBuf::from)
}

fn spool_bytes_max(given: Option<&str>) -> u64 {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return SPOOL_BYTES_MAX;
    };
    if let Ok(megabytes) = given.parse::<u64>() {
        return megabytes.saturating_mul(1_000_000);
    }
    tracing::warn!(
        "{SPOOL_MAX_MB} is `{given}`, which is no number of megabytes: the default is taken"
    );
    SPOOL_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_for_transactions_has_a_place_and_a_bound() {
        assert_eq!(spool_dir(Some("/data".into())), PathBuf::from("/data"));
        assert_eq!(spool_dir(Some("".into())), std::env::temp_dir());
        assert_eq!(spool_dir(None), std::env::temp_dir());
        assert_eq!(spool_bytes_max(Some("500")), 500_000_000);
        assert_eq!(spool_bytes_max(Some("0")), 0);
        assert_eq!(spool_bytes_max(Some("much")), SPOOL_BYTES_MAX);
        assert_eq!(spool_bytes_max(None), SPOOL_BYTES_MAX);
    }

    #[test]
    fn urls_are_read_with_their_escapes() {
        let options = Options::from_url(
            "postgresql://an%40na:p%2Fw%20d@db.example.net:6543/my%20shop?sslmode=verify-full&connect_timeout=3",
        )
        .unwrap();
        assert_eq!(
            (options.user.as_str(), options.database.as_str()),
            ("an@na", "my shop")
        );
        assert_eq!(options.password, Some(Secret::new("p/w d")));
        assert_eq!((options.port, options.tls), (6543, TlsMode::VerifyFull));
        assert_eq!(options.connect_timeout, Duration::from_secs(3));
        assert!(!format!("{options:?}").contains("p/w d"));
        assert_eq!(
            Options::from_url("postgres://me@[::1]").unwrap().host,
            "::1"
        );
    }

    #[test]
    fn wrong_urls_say_what_is_wrong_and_keep_the_password() {
        for (url, expected) in [
            ("mysql://a:canary@b/c", "must begin with"),
            ("postgres://:canary@h/c", "must name a user"),
            (
                "postgres://a:canary@h/c?sslmode=prefer",
                "use none, require",
            ),
            ("postgres://a:canary@h/c?x=1", "unknown parameter x"),
            (
                "postgres://a:canary@h/c?sslrootcert=/nonexistent",
                "cannot be read",
            ),
            ("postgres://a:canary@h:99999/c", "cannot be read"),
        ] {
            let error = Options::from_url(url).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
