//! SQLite with nothing in it, and nothing that an expression could reach: no tables, no files, no settings, no functions but those that the
//! service names; with bounds on steps and memory.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use whimbrel_core::Value;

use super::functions::{ALLOWED, IndicatorPlace, define};
use crate::shaping::event::Operation;

/// Longest text or blob: more than any value that a row should be computed of, and few enough that each subtask may have some.
const BYTES_MAX: i32 = 64 * 1024 * 1024;
/// How deep an expression may be nested. SQLite's own bound is 1,000.
const DEPTH_MAX: i32 = 200;
/// Longest pattern of LIKE and GLOB, whose time may grow with its power.
const PATTERN_BYTES_MAX: i32 = 1000;
/// Steps of SQLite's machine between two looks at the count of them.
const STEPS_AT_ONCE: i32 = 1000;
/// Thousands of steps for one value. Expressions have no loops: hardly any takes more than a hundred steps.
const THOUSANDS_OF_STEPS_MAX: u32 = 100;

/// One connection of SQLite for expressions alone.
pub(super) struct Sandbox {
    connection: Connection,
    place: IndicatorPlace,
    thousands: Arc<AtomicU32>,
    /// What the expression that is being prepared calls, and what of it is not allowed.
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    called: BTreeSet<String>,
    queries: usize,
    refused: Option<String>,
}

/// A parameter of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Argument<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(Cow<'a, str>),
    Blob(&'a [u8]),
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").finish_non_exhaustive()
    }
}

impl Sandbox {
    /// A sandbox for so many expressions, each of which is prepared once.
    ///
    /// # Errors
    /// SQLite's words, where there is no memory for it.
    pub(super) fn new(expression_count: usize) -> Result<Self, String> {
        let sandbox = Self::open().map_err(|error| error.to_string())?;
        sandbox
            .connection
            .set_prepared_statement_cache_capacity(expression_count);
        Ok(sandbox)
    }

    fn open() -> Result<Self, rusqlite::Error> {
        // Used by one thread at a time, which the type sees to.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_MEMORY
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_in_memory_with_flags(flags)?;
        for (limit, most) in [
            (Limit::SQLITE_LIMIT_LENGTH, BYTES_MAX),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, DEPTH_MAX),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 1),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 0),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, most)?;
        }
        let sandbox = Self {
            connection,
            place: Arc::new(AtomicU8::new(0)),
            thousands: Arc::default(),
            seen: Arc::default(),
        };
        define(&sandbox.connection, &sandbox.place)?;
        let thousands = Arc::clone(&sandbox.thousands);
        let is_over = move || thousands.fetch_add(1, Ordering::Relaxed) >= THOUSANDS_OF_STEPS_MAX;
        sandbox
            .connection
            .progress_handler(STEPS_AT_ONCE, Some(is_over))?;
        let seen = Arc::clone(&sandbox.seen);
        sandbox
            .connection
            .authorizer(Some(move |context: AuthContext<'_>| {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.allows(&context.action)
            }))?;
        Ok(sandbox)
    }

    /// Prepares an expression. Answers what it calls, in lower case.
    ///
    /// # Errors
    /// What was expected.
    pub(super) fn check(&self, sql: &str) -> Result<BTreeSet<String>, String> {
        // What ran before is not of this one.
        *self.seen() = Seen::default();
        let prepared = self.connection.prepare(sql).map(drop);
        let seen = std::mem::take(&mut *self.seen());
        match (prepared, seen.refused) {
            (_, Some(refused)) => Err(format!(
                "an expression of columns, variables, operators and the functions that docs/mappings.md names: {refused} is none of these"
            )),
            (Err(error), None) => Err(format!("an expression in SQLite's language: {error}")),
            (Ok(()), None) => Ok(seen.called),
        }
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a query of one value and hands it to `take`.
    ///
    /// # Errors
    /// That of an argument; or why there is no value.
    pub(super) fn run<'a>(
        &mut self,
        sql: &str,
        operation: Operation,
        arguments: impl Iterator<Item = Result<Argument<'a>, String>>,
        take: &mut dyn FnMut(Value<'_>),
    ) -> Result<(), String> {
        let place = match operation {
            Operation::Delete => 0,
            Operation::Update => 1,
            Operation::Load | Operation::Insert => 2,
        };
        self.place.store(place, Ordering::Relaxed);
        self.thousands.store(0, Ordering::Relaxed);
        self.seen().queries = 0;
        let mut statement = self.connection.prepare_cached(sql).map_err(in_words)?;
        for (number, argument) in (1..).zip(arguments) {
            let argument = argument?;
            statement
                .raw_bind_parameter(number, argument.bound())
                .map_err(in_words)?;
        }
        let mut rows = statement.raw_query();
        let row = rows.next().map_err(in_words)?;
        let row = row.ok_or("no row came back")?;
        take(match row.get_ref(0).map_err(in_words)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Int(number),
            ValueRef::Real(number) => Value::Float64(number),
            ValueRef::Text(text) => {
                Value::Text(std::str::from_utf8(text).map_err(|_| "it is no text in UTF-8")?)
            }
            ValueRef::Blob(bytes) => Value::Bytes(bytes),
        });
        Ok(())
    }
}

impl Seen {
    fn allows(&mut self, action: &AuthAction<'_>) -> Authorization {
        let refused = match action {
            AuthAction::Select if self.queries == 0 => {
                self.queries += 1;
                return Authorization::Allow;
            }
            AuthAction::Function { function_name } => {
                let name = function_name.to_ascii_lowercase();
                if ALLOWED.contains(&name.as_str()) {
                    self.called.insert(name);
                    return Authorization::Allow;
                }
                format!("function {name}")
            }
            AuthAction::Select => "a query".to_owned(),
            _ => "what reads a table or changes something".to_owned(),
        };
        self.refused.get_or_insert(refused);
        Authorization::Deny
    }
}

impl Argument<'_> {
    fn bound(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands it over")]
fn in_words(error: rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => "it takes too many steps".to_owned(),
        Some(ErrorCode::TooBig) => {
            format!("a text or blob of it is longer than {BYTES_MAX} bytes")
        }
        _ => error.to_string(),
    }
}
