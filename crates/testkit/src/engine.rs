//! The engines and versions that tests run against.

use std::env;
use std::fmt;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::releases::{Release, SID, TRIXIE};

/// The environment variable that runs tests written for one version on another: `postgres15=postgres17 mariadb1011=mariadb118`.
const INSTEAD_VARIABLE: &str = "WHIMBREL_TEST_INSTEAD";

/// A database engine at a version: one column of the test matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL 15, from the machine's own packages.
    Postgres15,
    /// PostgreSQL 16, from npm, below Debian 13.
    Postgres16,
    /// PostgreSQL 17, from Debian 13.
    Postgres17,
    /// PostgreSQL 18, from Debian sid.
    Postgres18,
    /// MariaDB 10.11, from the machine's own packages.
    Mariadb1011,
    /// MariaDB 11.8, from Debian 13.
    Mariadb118,
    /// MySQL 9.7, from Debian sid.
    Mysql97,
}

impl Engine {
    /// Every engine of the matrix.
    pub const fn all() -> [Self; 7] {
        [
            Self::Postgres15,
            Self::Postgres16,
            Self::Postgres17,
            Self::Postgres18,
            Self::Mariadb1011,
            Self::Mariadb118,
            Self::Mysql97,
        ]
    }

    /// Those that most tests use; the others start when a test asks for them.
    pub const fn usual() -> [Self; 4] {
        [
            Self::Postgres15,
            Self::Postgres18,
            Self::Mariadb1011,
            Self::Mysql97,
        ]
    }

    /// The lower-case name used in folders, files and on the command line, `postgres15` for one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgres15 => "postgres15",
            Self::Postgres16 => "postgres16",
            Self::Postgres17 => "postgres17",
            Self::Postgres18 => "postgres18",
            Self::Mariadb1011 => "mariadb1011",
            Self::Mariadb118 => "mariadb118",
            Self::Mysql97 => "mysql97",
        }
    }

    /// The scheme of this engine's URLs: `postgres`, `mariadb` or `mysql`.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres15 | Self::Postgres16 | Self::Postgres17 | Self::Postgres18 => "postgres",
            Self::Mariadb1011 | Self::Mariadb118 => "mariadb",
            Self::Mysql97 => "mysql",
        }
    }

    /// Whether this is PostgreSQL rather than MySQL or MariaDB.
    pub const fn is_postgres(self) -> bool {
        matches!(
            self,
            Self::Postgres15 | Self::Postgres16 | Self::Postgres17 | Self::Postgres18
        )
    }

    /// Whether this is MariaDB, of any version.
    pub const fn is_mariadb(self) -> bool {
        matches!(self, Self::Mariadb1011 | Self::Mariadb118)
    }

    /// The engine whose programs run where a test asks for this one: another one where [`INSTEAD_VARIABLE`] says so.
    pub(crate) fn run(self) -> Result<Self> {
        let instead = env::var(INSTEAD_VARIABLE).unwrap_or_default();
        for pair in instead.split_whitespace() {
            let engines = pair
                .split_once('=')
                .and_then(|(asked, run)| Some((Self::from_name(asked)?, Self::from_name(run)?)));
            let (asked, run) = engines
                .filter(|(asked, run)| asked.scheme() == run.scheme())
                .with_context(|| format!("{INSTEAD_VARIABLE}: understand `{pair}`"))?;
            if asked == self {
                return Ok(run);
            }
        }
        Ok(self)
    }

    /// The release of Debian that the server's programs come from, if they are not this machine's own.
    pub(crate) const fn release(self) -> Option<&'static Release> {
        match self {
            Self::Postgres15 | Self::Mariadb1011 => None,
            Self::Postgres16 | Self::Postgres17 | Self::Mariadb118 => Some(&TRIXIE),
            Self::Postgres18 | Self::Mysql97 => Some(&SID),
        }
    }

    /// The engine called `name`, as [`Engine::name`] spells it.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|engine| engine.name() == name)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_found_by_its_name() {
        for engine in Engine::all() {
            assert_eq!(Engine::from_name(engine.name()), Some(engine));
        }
        assert_eq!(Engine::from_name("oracle"), None);
    }
}
