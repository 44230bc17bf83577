use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use whimbrel_core::{Engine, Secret};
use whimbrel_net::{InvalidUrl, ServerUrl, TlsMode, TlsSettings, UrlForm};

const URL: UrlForm = UrlForm {
    server: "a PostgreSQL server",
    schemes: &["postgres", "postgresql"],
    begins: "postgres://",
    example: "postgres://USER:PASSWORD@HOST/DATABASE",
};

/// Time to reach the server and sign in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// See [`Options::open_memory_max`].
const OPEN_MEMORY_MAX: usize = 16 * 1024 * 1024;

/// Folder and megabytes of [`Options::spool_dir`] and [`Options::spool_bytes_max`], where others are wanted.
const SPOOL_DIR: &str = "WHIMBREL_SPOOL_DIR";
const SPOOL_MAX_MB: &str = "WHIMBREL_SPOOL_MAX_MB";
const SPOOL_BYTES_MAX: u64 = 64 << 30;
/// Many times what a server keeps for itself (`max_wal_size`, 1 GiB unless told otherwise).
const KEPT_LOG_MAX: u64 = 16 << 30;

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
    /// Bytes of log that are taken for the most a source has room for, where it keeps any amount of it for a slot: half of it is told of.
    pub kept_log_max: u64,
}

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
            kept_log_max: KEPT_LOG_MAX,
        }
    }

    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=FILE&connect_timeout=SECONDS`.
    ///
    /// Parts may be percent-encoded. The database defaults to the user's name.
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        let url = ServerUrl::parse(url, URL)?;
        let mut options = Self::new(url.host, url.user);
        options.port = url.port.unwrap_or(options.port);
        options.password = url.password;
        options.database = url.database.unwrap_or(options.database);
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
    fn a_url_without_a_database_means_that_of_the_user() {
        let options = Options::from_url("postgresql://ana@h:6543?connect_timeout=3").unwrap();
        assert_eq!(
            (options.user.as_str(), options.database.as_str()),
            ("ana", "ana")
        );
        assert_eq!((options.port, options.connect_timeout.as_secs()), (6543, 3));
        let options = Options::from_url("postgres://ana@h/shop?sslmode=verify-ca").unwrap();
        assert_eq!(
            (options.database.as_str(), options.tls, options.port),
            ("shop", TlsMode::VerifyCa, 5432)
        );
    }
}
