use thiserror::Error;

use super::packet::{Malformed, Reader};

/// An error packet of the server.
///
/// Codes: <https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html>,
/// <https://mariadb.com/kb/en/mariadb-error-code-reference/>.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message} (error {code}, SQLSTATE {sqlstate})")]
pub(crate) struct MyError {
    pub(crate) code: u16,
    pub(crate) sqlstate: String,
    pub(crate) message: String,
}

impl MyError {
    /// Reads an error packet, its first byte (0xFF) included. Before sign-in the SQLSTATE is missing.
    pub(super) fn parse(payload: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        let code = reader.u16()?;
        let rest = reader.rest();
        let (sqlstate, message) = match rest.split_first() {
            Some((b'#', marked)) if marked.len() >= 5 => marked.split_at(5),
            _ => (&b"HY000"[..], rest),
        };
        Ok(Self {
            code,
            sqlstate: String::from_utf8_lossy(sqlstate).into_owned(),
            message: String::from_utf8_lossy(message).into_owned(),
        })
    }

    /// Whether a disk of the server has no room. Most codes tell only what could not be written and, in the message, the operating system's
    /// error 28 (ENOSPC), in the words of either server: `(OS errno 28 - No space left on device)`, `(Errcode: 28 "No space left on device")`,
    /// `Got error 28`.
    pub(crate) fn is_disk_full(&self) -> bool {
        let is_told = ["errno 28 ", "errno: 28 ", "Errcode: 28 ", "error 28 "]
            .iter()
            .any(|words| self.message.contains(words));
        // Of writing, creating and extending files, of tables and of temporary ones.
        let is_writing = matches!(self.code, 3 | 1004..=1006 | 1026 | 1030);
        matches!(self.code, 1021 | 1114 | 1878 | 3168) || (is_writing && is_told)
    }

    /// Whether the same statement may succeed later or on another connection: shutdown, killed connection, deadlock, lock
    /// wait, full disk or memory, too many connections, a server that takes no writes for a while.
    pub(crate) fn is_transient(&self) -> bool {
        // The same number stands for other options too.
        let is_read_only = self.code == 1290 && self.message.contains("read-only");
        let is_passing = matches!(
            self.code,
            1037 | 1038 | 1040 | 1041 | 1053 | 1077 | 1079 | 1135 | 1158
                ..=1161
                    | 1180
                    | 1203
                    | 1205
                    | 1206
                    | 1213
                    | 1226
                    | 1317
                    | 1927
                    | 1836
                    | 3024
                    | 3169
                    | 4031
        );
        is_passing || is_read_only || self.is_disk_full()
    }

    /// Whether the user lacks a privilege for the statement.
    pub(crate) fn is_denied(&self) -> bool {
        matches!(
            self.code,
            1044 | 1045 | 1095 | 1142 | 1143 | 1227 | 1290 | 1370
        )
    }

    /// Whether the table or database is not there.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self.code, 1049 | 1051 | 1146)
    }
}

/// Why an exchange with the server failed.
#[derive(Debug, Error)]
pub(crate) enum WireError {
    #[error("the connection to the server was lost: {0}")]
    Io(#[from] std::io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server sent something unexpected: {0}")]
    Protocol(String),
    #[error("{0}")]
    Server(Box<MyError>),
    /// It may still answer; nobody waits for that any more.
    #[error("the server did not answer within {} s", .0.as_secs())]
    Silent(std::time::Duration),
    /// Another exchange was given up half-way, so that what comes next on the connection is unknown.
    #[error("the connection was left in the middle of an exchange")]
    Unusable,
}

impl WireError {
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    /// The error of an error packet.
    pub(super) fn server(payload: &[u8]) -> Self {
        match MyError::parse(payload) {
            Ok(error) => Self::Server(Box::new(error)),
            Err(malformed) => malformed.into(),
        }
    }
}

impl From<Malformed> for WireError {
    fn from(_: Malformed) -> Self {
        Self::protocol("a packet that ends too early or holds an impossible length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_packets_are_read_with_and_without_sqlstate() {
        let error = MyError::parse(b"\xff\x15\x04#28000Access denied").unwrap();
        assert_eq!((error.code, error.sqlstate.as_str()), (1045, "28000"));
        assert_eq!(error.message, "Access denied");
        let early = MyError::parse(b"\xff\x10\x04Too many connections").unwrap();
        assert_eq!((early.code, early.sqlstate.as_str()), (1040, "HY000"));
        assert!(early.is_transient());
        assert!(MyError::parse(b"\xff\x10").is_err());
    }

    #[test]
    fn full_disks_are_known_by_code_or_by_the_error_of_the_operating_system() {
        let error = |code, message: &str| MyError {
            code,
            sqlstate: "HY000".to_owned(),
            message: message.to_owned(),
        };
        for (code, message) in [
            (1114, "The table 'big' is full"),
            (
                3,
                "Error writing file '/tmp/MLfd=23' (OS errno 28 - No space left on device)",
            ),
            (
                3,
                "Error writing file '/tmp/#sql/fd=46' (Errcode: 28 \"No space left on device\")",
            ),
            (
                1030,
                "Got error 28 \"No space left on device\" from storage engine InnoDB",
            ),
        ] {
            let error = error(code, message);
            assert!(error.is_disk_full() && error.is_transient(), "{error}");
        }
        for (code, message) in [
            (
                3,
                "Error writing file '/tmp/MLfd=23' (OS errno 5 - Input/output error)",
            ),
            (1062, "Duplicate entry 'error 28 ' for key 'PRIMARY'"),
        ] {
            assert!(!error(code, message).is_disk_full(), "{message}");
        }
    }
}
