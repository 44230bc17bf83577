use thiserror::Error;

/// An ErrorResponse of the server. Empty fields were not sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerError {
    /// SQLSTATE.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) detail: String,
    pub(crate) hint: String,
    /// Call stack of the server's modules; for COPY the line and column.
    pub(crate) context: String,
    pub(crate) column: String,
    /// Schema and name of the table that it is about.
    pub(crate) table: (String, String),
}

impl ServerError {
    /// Reads the fields of an ErrorResponse. Unknown fields are left out, broken ones end the list.
    pub(crate) fn parse(mut body: &[u8]) -> Self {
        let mut error = Self::default();
        while let Some((&field, rest)) = body.split_first() {
            let Some(end) = memchr::memchr(0, rest) else {
                break;
            };
            let text = String::from_utf8_lossy(&rest[..end]).into_owned();
            match field {
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = text,
                b'H' => error.hint = text,
                b'W' => error.context = text,
                b'c' => error.column = text,
                b's' => error.table.0 = text,
                b't' => error.table.1 = text,
                _ => {}
            }
            body = &rest[end + 1..];
        }
        error
    }

    /// Whether the same statement may succeed later or on another connection: connection and resource trouble, shutdown,
    /// deadlock, serialisation, cancellation, a server that takes no writes for a while. Classes: <https://www.postgresql.org/docs/18/errcodes-appendix.html>.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.code.get(..2), Some("08" | "40" | "53" | "57" | "58"))
            || self.code == "55P03"
            || self.is_read_only()
    }

    /// Whether another attempt at a statement of a user's text meets the same: a file that a function needs is not there by itself a minute later.
    pub(crate) fn is_lasting(&self) -> bool {
        !self.is_transient() || self.code == "58P01"
    }

    /// Whether the server takes no writes, as a standby does until it is promoted.
    fn is_read_only(&self) -> bool {
        self.code == "25006"
    }

    /// Whether others kept a lock for longer than the session waits.
    pub(crate) fn is_lock_timeout(&self) -> bool {
        self.code == "55P03"
    }

    /// Whether the user lacks a privilege.
    pub(crate) fn is_denied(&self) -> bool {
        self.code == "42501"
    }

    /// Whether the data of a row is to blame: data exceptions and constraint violations.
    pub(crate) fn blames_row(&self) -> bool {
        matches!(self.code.get(..2), Some("22" | "23"))
    }
}

impl std::fmt::Display for ServerError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)?;
        if !self.hint.is_empty() {
            write!(f, "; {}", self.hint)?;
        }
        match self.code.as_str() {
            _ if self.is_read_only() => f.write_str("; the server takes no writes: promote it if it is a standby, or let the endpoint lead to the primary"),
            // Its hint says what to do.
            "53100" if self.hint.is_empty() => f.write_str("; make room on the disk of that server"),
            "53300" => f.write_str("; close other connections, or raise max_connections at the server"),
            _ => Ok(()),
        }
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
    Server(Box<ServerError>),
}

impl WireError {
    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self::Protocol(what.into())
    }

    pub(crate) fn server(body: &[u8]) -> Self {
        Self::Server(Box::new(ServerError::parse(body)))
    }
}
