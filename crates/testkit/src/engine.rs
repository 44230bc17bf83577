//! The engines and versions that tests run against.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A database engine at a version: one column of the test matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// PostgreSQL 15, from the machine's own packages.
    Postgres15,
    /// PostgreSQL 18, from the sid folder.
    Postgres18,
    /// MariaDB 10.11, from the machine's own packages.
    Mariadb1011,
    /// MySQL 9.7, from the sid folder.
    Mysql97,
}

impl Engine {
    /// Every engine of the matrix.
    pub const fn all() -> [Self; 4] {
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
            Self::Postgres18 => "postgres18",
            Self::Mariadb1011 => "mariadb1011",
            Self::Mysql97 => "mysql97",
        }
    }

    /// The scheme of this engine's URLs: `postgres`, `mariadb` or `mysql`.
    pub const fn scheme(self) -> &'static str {
        match self {
            Self::Postgres15 | Self::Postgres18 => "postgres",
            Self::Mariadb1011 => "mariadb",
            Self::Mysql97 => "mysql",
        }
    }

    /// Whether this is PostgreSQL rather than MySQL or MariaDB.
    pub const fn is_postgres(self) -> bool {
        matches!(self, Self::Postgres15 | Self::Postgres18)
    }

    /// Whether the server comes from the sid folder rather than from the machine's packages.
    pub const fn from_sid(self) -> bool {
        matches!(self, Self::Postgres18 | Self::Mysql97)
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
