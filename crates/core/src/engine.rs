use std::fmt;

use serde::{Deserialize, Serialize};

/// A database engine that Whimbrel connects to.
///
/// `MySQL` and `MariaDB` are engines of their own: they share a protocol, but not all types, collations or log events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL 15 or later.
    Postgres,
    /// MySQL 8.0 or later.
    MySql,
    /// MariaDB 10.11 or later.
    MariaDb,
}

impl Engine {
    /// The engine's name in the API and in URLs: `postgres`, `mysql` or `mariadb`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::MariaDb => "mariadb",
        }
    }

    /// The port a server listens on when none is given.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql | Self::MariaDb => 3306,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
