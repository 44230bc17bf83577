//! All checks there are.

use whimbrel_core::Engine;

/// What a finding of a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The task cannot run, or not with what was found.
    Failure,
    /// The task runs, and something of it may go wrong or be missing.
    Warning,
    /// Good to know.
    Note,
}

impl Severity {
    /// Its name in results: `failure`, `warning`, `note`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// Which end a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The source.
    Source,
    /// The target.
    Target,
    /// Either.
    Either,
}

/// When a check is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// For tasks that follow changes.
    WithChanges,
    /// Where some of the rows are to be read.
    Sampled,
    /// Where all rows are to be read.
    Full,
}

/// The rows whose values are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// About so many of each table.
    pub sampled: Option<u64>,
    /// All.
    pub all: bool,
}

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// What it asks.
    pub title: &'static str,
    /// What its findings come to.
    pub severity: Severity,
    /// The engines of the end that it looks at.
    pub engines: &'static [Engine],
    /// That end.
    pub place: Place,
    /// When it is made.
    pub when: When,
    /// Whether it asks of the task's tables, so that it cannot be made where these are not known.
    pub is_of_tables: bool,
}

impl Check {
    /// Whether it is made for a task between these engines that reads these values.
    pub fn applies(
        &self,
        (source, target): (Engine, Engine),
        is_followed: bool,
        values: Values,
    ) -> bool {
        let is_made = match self.when {
            When::Always => true,
            When::WithChanges => is_followed,
            When::Sampled => values.sampled.is_some(),
            When::Full => values.all,
        };
        let is_of = |engine| self.engines.contains(&engine);
        let is_there = match self.place {
            Place::Source => is_of(source),
            Place::Target => is_of(target),
            Place::Either => is_of(source) || is_of(target),
        };
        is_there && is_made
    }

    /// The check of this name.
    pub fn of_name(name: &str) -> Option<&'static Self> {
        CHECKS.iter().find(|check| check.name == name)
    }
}

const ALL: &[Engine] = &[Engine::Postgres, Engine::MySql, Engine::MariaDb];
const POSTGRES: &[Engine] = &[Engine::Postgres];
const MYSQL: &[Engine] = &[Engine::MySql, Engine::MariaDb];

const fn check(
    name: &'static str,
    title: &'static str,
    severity: Severity,
    (engines, place): (&'static [Engine], Place),
) -> Check {
    Check {
        name,
        title,
        severity,
        engines,
        place,
        when: When::Always,
        is_of_tables: false,
    }
}

impl Check {
    const fn when(self, when: When) -> Self {
        Self { when, ..self }
    }

    const fn of_tables(self) -> Self {
        Self {
            is_of_tables: true,
            ..self
        }
    }
}

use Place::{Either, Source, Target};
use Severity::{Failure, Note, Warning};
use When::{Full, Sampled, WithChanges};

/// All checks, in the order of their results.
#[rustfmt::skip]
pub static CHECKS: &[Check] = &[
    check("all-check-source-selection-rules", "Do the rules select a table of the source?", Failure, (ALL, Source)).of_tables(),
    check("table-not-migratable", "Can every table be made at the target, with types for all of its columns?", Failure, (ALL, Source)).of_tables(),
    check("unsupported-data-types-in-source", "Has the target a type for every column?", Failure, (ALL, Source)).of_tables(),
    check("source-tables-outside-snapshot", "Are all tables of storage engines that keep snapshots?", Warning, (ALL, Source)).of_tables(),
    check("types-changed", "Do columns get types at the target that hold less than, or other than, those of the source?", Note, (ALL, Target)).of_tables(),
    check("values-not-fitting-sampled", "Do the values of some rows of each table fit the columns of the target?", Failure, (ALL, Source)).when(Sampled).of_tables(),
    check("values-not-fitting", "Do the values of all rows fit the columns of the target?", Failure, (ALL, Source)).when(Full).of_tables(),
    check("postgres-check-limited-lob-size", "Where large objects are limited, do the values of some rows keep to that?", Warning, (ALL, Source)).when(Sampled).of_tables(),
    check("table-with-no-primary-key-or-unique-constraint", "Does every table have a primary key, or a unique one without NULL?", Warning, (ALL, Source)).of_tables(),
    check("table-with-lob-but-without-primary-key-or-unique-constraint", "Do tables with large values have one?", Warning, (ALL, Source)).of_tables(),
    check("changes-without-primary-key", "Has every table that has a unique key a primary one?", Note, (ALL, Source)).when(WithChanges).of_tables(),
    check("target-table-has-unique-key-or-primary-key-for-cdc", "Have the tables that are at the target already, and kept, a key?", Warning, (ALL, Target)).when(WithChanges).of_tables(),
    check("all-check-secondary-constraints", "Are the tables that are at the target already, and kept, without constraints?", Warning, (ALL, Target)).of_tables(),
    check("postgres-check-target-secondary-indexes", "Are they without indexes?", Warning, (POSTGRES, Target)).of_tables(),
    check("mysql-check-secondary-indexes", "Are they without indexes?", Warning, (MYSQL, Target)).of_tables(),
    check("postgres-check-similar-table-name", "Do tables have names that differ in more than upper and lower case?", Warning, (MYSQL, Target)).of_tables(),
    check("target-disk-room", "Has the target's disk room for the tables?", Failure, (ALL, Target)).of_tables(),
    check("unsupported-objects", "Are all indexes, keys, views, routines and other objects of the tables made at the target?", Warning, (ALL, Source)).of_tables(),
    check("source-log-unread", "Does the source keep no log for tasks that do not run?", Warning, (ALL, Source)),
    check("postgres-check-dbversion", "Is the server PostgreSQL 15 or later?", Warning, (POSTGRES, Either)),
    check("postgres-check-select-object-privileges", "May the user read every table?", Failure, (POSTGRES, Source)).of_tables(),
    check("postgres-check-row-security", "Does the user see all rows, whatever the policies of tables say?", Failure, (POSTGRES, Source)).of_tables(),
    check("postgres-check-source-standby", "Is the source the primary server?", Failure, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-wallevel", "Is wal_level logical?", Failure, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-replication-slots-count", "Is a replication slot free?", Failure, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-maxwalsenders", "Is a WAL sender free?", Failure, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-replication-privileges", "May the user read the log?", Failure, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-replica-identity", "Does the log tell rows of every table apart?", Failure, (POSTGRES, Source)).when(WithChanges).of_tables(),
    check("postgres-check-maxslot-wal-keep-size", "Does the source keep its log for as long as the task needs it?", Warning, (POSTGRES, Source)).when(WithChanges),
    check("source-disk-room", "Does the log that is kept leave room on the source's disk?", Note, (ALL, Source)).when(WithChanges),
    check("postgres-check-walsenderstimeout", "Is wal_sender_timeout 10 seconds or more?", Warning, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-for-logical-decoding-work-mem", "Is logical_decoding_work_mem 16 MB or more?", Warning, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-longrunningtxn", "Does no transaction run for more than 10 minutes?", Warning, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-preparedtxn", "Is no transaction left prepared?", Warning, (POSTGRES, Source)).when(WithChanges),
    check("postgres-check-ddl-event-trigger", "May the user make the event triggers by which changed definitions are told?", Warning, (POSTGRES, Source)).when(WithChanges),
    check("all-check-target-read-replica", "Does the target take writes?", Failure, (ALL, Target)),
    check("postgres-check-target-privileges", "May the user make schemas and tables at the target, and replace those that are there?", Failure, (POSTGRES, Target)).of_tables(),
    check("postgres-check-session-replication-role", "Do triggers and foreign keys of the target rest while changes are applied?", Warning, (POSTGRES, Target)).when(WithChanges),
    check("mysql-check-supported-version", "Is the server MySQL 8.0 or MariaDB 10.11, or later?", Warning, (MYSQL, Either)),
    check("mysql-check-select-privileges", "May the user read every table?", Failure, (MYSQL, Source)).of_tables(),
    check("mysql-check-10k-tables", "Do the rules select no more than 10,000 tables?", Warning, (MYSQL, Source)).of_tables(),
    check("mysql-check-binlog-enabled", "Does the source write a binary log?", Failure, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-binlog-format", "Does the binary log hold rows?", Failure, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-replication-privileges", "May the user read the binary log?", Failure, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-binlog-holds-table", "Does the binary log tell every change of every table?", Failure, (MYSQL, Source)).when(WithChanges).of_tables(),
    check("mysql-check-cascade-constraints", "Are all changes that foreign keys make by themselves in the log?", Failure, (MYSQL, Source)).when(WithChanges).of_tables(),
    check("mysql-check-binlog-image", "Does the binary log hold whole rows?", Warning, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-server-id", "Does the source have a server_id?", Failure, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-expire-logs-days", "Does the source keep its binary log for a day or more?", Warning, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-source-replica", "Does a source that is a replica log what comes from its own source?", Warning, (MYSQL, Source)).when(WithChanges),
    check("mysql-check-target-localinfile-set", "Does the target allow LOAD DATA LOCAL?", Failure, (MYSQL, Target)),
    check("mysql-check-target-privileges", "May the user make and fill tables at the target?", Failure, (MYSQL, Target)).of_tables(),
    check("mysql-check-max-allowed-packet-lob", "Does the target take values of 16 MiB and more?", Warning, (MYSQL, Target)),
];
