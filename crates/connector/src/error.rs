use thiserror::Error;
use whimbrel_core::{Table, TableName, Value, ValueKind, shown_key, visible, write_text};

/// Why a connection could not be made. The kinds are those that a connection test tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// The host name does not resolve.
    NameNotResolved,
    /// Nothing listens at the port.
    PortClosed,
    /// No answer within the time limit.
    TimedOut,
    /// The server does not offer TLS, or the handshake failed.
    TlsRefused,
    /// The server's certificate is not trusted, or is for another host.
    CertificateNotTrusted,
    /// User name or password are wrong.
    WrongPassword,
    /// The server does not let this client in (host rules).
    NotAllowed,
    /// The database does not exist.
    UnknownDatabase,
    /// The user lacks a privilege.
    MissingPrivilege,
    /// The server has no connection to spare.
    TooManyConnections,
    /// The endpoint's own settings are wrong.
    InvalidSettings,
    /// Anything else; the server's words are in the message.
    Other,
}

/// A connection that could not be made: what was tried, what went wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}; {remedy}")]
pub struct ConnectError {
    /// What went wrong, as the test tells it apart.
    pub kind: ConnectErrorKind,
    /// What was tried and what happened: lower case, without a full stop, without secrets.
    pub message: String,
    /// What to do about it: lower case, without a full stop.
    pub remedy: String,
}

/// What stands in the way of a row. Users may want each kind to be treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// A value that cannot be read, or that the target's column cannot hold.
    Value,
    /// A value that the target's column holds in part only.
    TooLong,
    /// The other rows of the target, or what is demanded of a row there: a key, a reference, a check, NULL where none is allowed.
    Constraint,
}

/// A row that the target refused, or that cannot be written for it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("table {}{}{}: {reason}", shown_name(.table), .key.as_deref().map(|k| format!(", key {}", shown_key(k))).unwrap_or_default(), .column.as_deref().map(|c| format!(", column {}", visible(c))).unwrap_or_default())]
pub struct RowRefusal {
    /// The table at the source.
    pub table: TableName,
    /// The row's key as `(a, b)`, if the table has one and the row could be found: all of it. The message has as much as a line bears.
    pub key: Option<String>,
    /// The column, when a single one is to blame.
    pub column: Option<String>,
    /// What stands in the way.
    pub kind: RefusalKind,
    /// What cannot be held and why, with the kind of value but not the value itself.
    pub reason: String,
}

impl RowRefusal {
    /// A row of the source that cannot be read, with what could be read of its key: cells that could not are `NotSent`.
    pub fn unreadable(
        table: &Table,
        cells: &[Value<'_>],
        column: Option<String>,
        reason: String,
    ) -> Self {
        Self {
            table: table.name.clone(),
            key: key_text(table, cells),
            column,
            kind: RefusalKind::Value,
            reason,
        }
    }

    /// A value that the column of the target cannot hold.
    pub fn value(table: &TableName, column: &str, kind: ValueKind, why: &str) -> Self {
        Self {
            table: table.clone(),
            key: None,
            column: Some(column.to_owned()),
            kind: RefusalKind::Value,
            reason: format!("the target cannot hold this {kind}: {why}"),
        }
    }
}

fn shown_name(table: &TableName) -> String {
    visible(&table.to_string()).into_owned()
}

/// A row's key as `(a, b)`; `None` where the table has none or a cell of it is not told.
fn key_text(table: &Table, cells: &[Value<'_>]) -> Option<String> {
    let key = table.key_in_row();
    if key.is_empty() {
        return None;
    }
    let mut text = Vec::new();
    for (place, column) in key.into_iter().enumerate() {
        text.extend_from_slice(if place == 0 { b"(" } else { b", " });
        let cell = cells.get(column).filter(|cell| **cell != Value::NotSent)?;
        write_text(cell, &mut text);
    }
    text.push(b')');
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// Something wrong with one table: the others go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("table {}: {message}", shown_name(.table))]
pub struct TableFault {
    /// The table at the source.
    pub table: TableName,
    /// What went wrong and what to do.
    pub message: String,
}

/// What an operation of a source or a target failed with. The variant says what can be done next.
#[derive(Debug, Error)]
pub enum Error {
    /// No connection could be made.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// An open connection was lost, or the server is shutting down, out of disk or memory, or reports a deadlock or timeout:
    /// the same call on a new connection may succeed. The fate of an unanswered commit is unknown.
    #[error("{0}")]
    Transient(String),
    /// Others have to end first what they do there. Nothing is wrong, and the same call succeeds once they have.
    #[error("{0}")]
    Busy(String),
    /// A row was refused. The open chunk was rolled back.
    #[error(transparent)]
    Row(Box<RowRefusal>),
    /// The table cannot be read or written as it is (dropped, altered, missing privilege, constraint).
    #[error(transparent)]
    Table(Box<TableFault>),
    /// Another epoch owns the task: stop at once, touch nothing more.
    #[error("{}", fenced(*ours, *theirs))]
    Fenced {
        /// The epoch this worker holds.
        ours: i64,
        /// The epoch found in the target; [`NOBODY`] for a task that is not there.
        theirs: i64,
    },
    /// Anything that no repetition will mend, with what to do.
    #[error("{0}")]
    Fatal(String),
}

/// Stands for the epoch of a task that has none: later than every epoch, because whoever forgot it owned it.
pub const NOBODY: i64 = i64::MAX;

fn fenced(ours: i64, theirs: i64) -> String {
    if theirs == NOBODY {
        format!(
            "the target has no record of the task any more, which this worker runs under epoch {ours}: it was forgotten there, or the target was put back to before its start"
        )
    } else if theirs < ours {
        format!(
            "the target's epoch {theirs} is from before this worker's {ours}: the target was put back, or fails over to a standby that was behind"
        )
    } else {
        format!(
            "the task was taken over by another worker: this worker's epoch {ours} is older than the target's {theirs}; let that worker go on, or stop it and resume the task"
        )
    }
}

impl Error {
    /// Whether the target is as it was before this worker claimed the task. Its record and checkpoint are as old as its rows, and the task is
    /// gone on with from there. Should another worker have claimed it from there meanwhile, one of the two loses it to the other;
    /// rows of both never meet, because every commit asks for its own epoch.
    pub const fn is_put_back(&self) -> bool {
        matches!(self, Self::Fenced { ours, theirs } if *theirs < *ours)
    }

    /// Whether the task is another worker's.
    pub const fn is_taken_over(&self) -> bool {
        matches!(self, Self::Fenced { ours, theirs } if *theirs > *ours)
    }

    /// The target's record is not as this worker left it: it does not have any more what it had confirmed of a table's load, or has what
    /// nobody had confirmed yet. The record tells what is missing, which is loaded by the next try.
    pub fn record_lost(table: &TableName) -> Self {
        Self::Transient(format!(
            "the target has lost what it had confirmed of the load of table {table}: it was put back, or fails over to a standby that was behind"
        ))
    }

    /// A fault of one table.
    pub fn table(table: &TableName, message: impl Into<String>) -> Self {
        Self::Table(Box::new(TableFault {
            table: table.clone(),
            message: message.into(),
        }))
    }
}

impl From<RowRefusal> for Error {
    fn from(refusal: RowRefusal) -> Self {
        Self::Row(Box::new(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_its_row_on_one_line_of_bounded_length_and_keeps_the_key() {
        let key = format!("(a\u{1b}[31mRED\nline2{})", "x".repeat(150_000));
        let table = TableName::new("s", "t\rdrop");
        let mut refusal = RowRefusal::value(&table, "c\nd", Value::Text("").kind(), "why");
        refusal.key = Some(key.clone());
        let message = refusal.to_string();
        assert!(
            message.starts_with("table s.t\\rdrop, key (a\\u{1b}[31mRED\\nline2xxx"),
            "{message}"
        );
        assert!(
            message.ends_with(
                "x… and 149817 more characters, column c\\nd: the target cannot hold this text: why"
            ),
            "{message}"
        );
        assert_eq!(refusal.key, Some(key));
        let fault = Error::table(&table, "gone").to_string();
        assert_eq!(fault, "table s.t\\rdrop: gone");
    }
}
