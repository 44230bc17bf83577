use std::collections::HashMap;
use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use whimbrel_net::{Io, TlsFailure, TlsMode, encrypt, notice_silence};

use super::WireError;
use super::copy::{CopyBlock, Run};
use super::stream::{LONG_BYTES, Message, Stream, message_length};
use crate::options::Options;

/// A server that sends its log reads our answers all the time.
const SILENCE: Duration = Duration::from_mins(1);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// SQL and COPY.
    Queries,
    /// Commands of replication, and simple queries.
    Replication,
}

/// A row of text, as the simple and the extended query give it; `None` is NULL.
pub(crate) type TextRow = Vec<Option<String>>;

/// What went wrong before the server was ready for queries.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The server does not offer TLS.
    TlsNotOffered,
    Tls(TlsFailure),
    /// The server wants a way of signing in that is not supported, or a password that was not given.
    SignIn(String),
    Wire(WireError),
}

impl From<WireError> for StartError {
    fn from(error: WireError) -> Self {
        Self::Wire(error)
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::Wire(error.into())
    }
}

/// What the session is fixed to, whatever server, database or role have set. Set once signed in, because poolers refuse
/// most of these at sign-in.
///
/// Text forms depend on the first group. With `row_security` off, rows that a policy hides are an error instead of missing. A
/// commit must be durable. That a publication is gone is a mere warning, so warnings have to come. Keepalives let the server notice
/// within a minute that we are gone, and release our locks.
const SESSION: &str = "
SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC'; SET extra_float_digits = 3;
SET bytea_output = 'hex'; SET search_path = pg_catalog; SET xmloption = content; SET standard_conforming_strings = on;
SET row_security = off; SET default_transaction_read_only = off;
SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;
SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';
SELECT set_config(name, 'on', false) FROM pg_settings WHERE name = 'synchronous_commit' AND setting = 'off';
SET client_min_messages = warning; SET tcp_keepalives_idle = 20; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 4; SET jit = off";

/// Lets the server notice during a long statement that we are gone. Servers on some systems cannot, and refuse.
const SESSION_WISHES: &str = "SET client_connection_check_interval = '2s'";

/// A signed-in connection. One exchange at a time.
///
/// After an error of the server the connection is ready again, unless a method says otherwise; after any other error it
/// must be dropped. Dropping it in the middle of an exchange is safe: the server rolls back.
pub(crate) struct Connection {
    pub(super) stream: Stream,
    parameters: HashMap<String, String>,
    tls: Option<String>,
    /// Whether the server reads CopyData: only then does it answer CopyDone and CopyFail.
    is_copying_in: bool,
    /// Bytes of a long message that have not been handed over yet.
    pub(super) copy_out_left: usize,
}

impl Connection {
    /// Signs in over a fresh socket.
    pub(crate) async fn start(
        socket: TcpStream,
        options: &Options,
        purpose: Purpose,
    ) -> Result<Self, StartError> {
        if purpose == Purpose::Replication {
            notice_silence(&socket, SILENCE)?;
        }
        let io = match options.tls {
            TlsMode::None => Io::Plain(socket),
            _ => encrypted(socket, options).await?,
        };
        let mut connection = Self::over(io);
        connection.set_up(options, purpose).await?;
        Ok(connection)
    }

    pub(super) fn over(io: Io) -> Self {
        Self {
            tls: io.tls_version(),
            stream: Stream::new(io),
            parameters: HashMap::new(),
            is_copying_in: false,
            copy_out_left: 0,
        }
    }

    /// Signs in and fixes the session.
    pub(super) async fn set_up(
        &mut self,
        options: &Options,
        purpose: Purpose,
    ) -> Result<(), StartError> {
        self.sign_in(options, purpose).await?;
        if let Some(script) = &options.after_connect {
            match self.query(script).await {
                Ok(_) => {}
                Err(WireError::Server(error)) => {
                    // Statements may hold secrets, and so may what the server says of them.
                    let code = error.code;
                    tracing::warn!(code, "the after-connect script failed");
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.query(SESSION).await?;
        self.query(self.encoding()).await?;
        match self.query(SESSION_WISHES).await {
            Ok(_) | Err(WireError::Server(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Has texts arrive in UTF-8. A server that does not know in which encoding they are cannot convert them, and would refuse to send what is
    /// not UTF-8 without a word of the row: it sends bytes as they are, and decoding tells.
    fn encoding(&self) -> &'static str {
        match self.parameter("server_encoding") {
            Some("SQL_ASCII") => "SET client_encoding = 'SQL_ASCII'",
            _ => "SET client_encoding = 'UTF8'",
        }
    }

    pub(super) fn remember_parameter(&mut self, body: &[u8]) {
        let mut parts = body.split(|&byte| byte == 0).map(String::from_utf8_lossy);
        if let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            self.parameters
                .insert(name.into_owned(), value.into_owned());
        }
    }

    /// A parameter that the server reported, such as `server_version`.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// The server's major version; 0 when it does not say.
    pub(crate) fn major_version(&self) -> u32 {
        let version = self.parameter("server_version").unwrap_or_default();
        let digits = version.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// The TLS version in use.
    pub(crate) fn tls(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write(bytes).await?;
        self.stream.flush().await
    }

    /// Runs one or several statements and gives the rows of all of them.
    pub(crate) async fn query(&mut self, sql: &str) -> Result<Vec<TextRow>, WireError> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.send(&out).await?;
        self.rows().await
    }

    /// Runs one statement with parameters bound as text; `None` is NULL.
    pub(crate) async fn query_with(
        &mut self,
        sql: &str,
        parameters: &[Option<&str>],
    ) -> Result<Vec<TextRow>, WireError> {
        let mut out = BytesMut::new();
        frontend::parse("", sql, [], &mut out)?;
        frontend::bind(
            "",
            "",
            [],
            parameters,
            |parameter, out| match parameter {
                Some(text) => {
                    out.extend_from_slice(text.as_bytes());
                    Ok(postgres_protocol::IsNull::No)
                }
                None => Ok(postgres_protocol::IsNull::Yes),
            },
            [],
            &mut out,
        )
        .map_err(|_| WireError::protocol("parameters that do not fit a message"))?;
        frontend::execute("", 0, &mut out)?;
        frontend::sync(&mut out);
        self.send(&out).await?;
        self.rows().await
    }

    /// Collects rows until the server is ready; an error of the server is answered once it is.
    async fn rows(&mut self) -> Result<Vec<TextRow>, WireError> {
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            let Message { kind, body } = self.stream.message().await?;
            match kind {
                b'D' => rows.push(text_row(&body)?),
                b'E' => failure = Some(WireError::server(&body)),
                b'S' => self.remember_parameter(&body),
                b'Z' => return failure.map_or(Ok(rows), Err),
                b'T' | b'C' | b'I' | b'N' | b'1' | b'2' | b'n' | b's' | b'A' => {}
                other => return Err(unexpected(other, "a query")),
            }
        }
    }

    /// Begins `COPY … TO STDOUT`.
    pub(crate) async fn copy_out(&mut self, sql: &str) -> Result<(), WireError> {
        self.begin_copy(sql, b'H').await
    }

    /// Begins `COPY … FROM STDIN`.
    pub(crate) async fn copy_in(&mut self, sql: &str) -> Result<(), WireError> {
        self.begin_copy(sql, b'G').await?;
        self.is_copying_in = true;
        Ok(())
    }

    async fn begin_copy(&mut self, sql: &str, expected: u8) -> Result<(), WireError> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.send(&out).await?;
        loop {
            let Message { kind, body } = self.stream.message().await?;
            match kind {
                kind if kind == expected => return Ok(()),
                b'N' | b'S' => {}
                b'E' => {
                    let error = WireError::server(&body);
                    self.rows().await?;
                    return Err(error);
                }
                other => return Err(unexpected(other, "the start of a COPY")),
            }
        }
    }

    /// The next block of CopyData, of about `block_bytes`; `None` once the server has confirmed the end.
    pub(crate) async fn copy_out_block(
        &mut self,
        block_bytes: usize,
    ) -> Result<Option<CopyBlock>, WireError> {
        let mut run = Run::default();
        loop {
            run.extend(self.stream.inbox(), block_bytes)?;
            if run.byte_count >= block_bytes || (run.is_last && run.message_count > 0) {
                let bytes = self.stream.take(run.byte_count);
                return Ok(Some(CopyBlock {
                    bytes,
                    message_count: run.message_count,
                    is_part: false,
                }));
            }
            if run.is_last {
                if self.is_copy_out_over().await? {
                    return Ok(None);
                }
                run = Run::default();
                continue;
            }
            let begun = message_length(self.stream.inbox())?;
            if let Some(length) =
                begun.filter(|length| run.message_count == 0 && *length > LONG_BYTES)
            {
                return Ok(Some(CopyBlock {
                    bytes: self.stream.take_long(length).await?,
                    message_count: 1,
                    is_part: false,
                }));
            }
            self.stream.make_room(run.byte_count)?;
            self.stream.fill().await?;
        }
    }

    /// Takes the message that is not CopyData: the end, an error, or something to pass over.
    async fn is_copy_out_over(&mut self) -> Result<bool, WireError> {
        let Message { kind, body } = self.stream.message().await?;
        match kind {
            b'c' => {
                self.rows().await?;
                Ok(true)
            }
            b'N' | b'S' => Ok(false),
            b'E' => {
                let error = WireError::server(&body);
                self.rows().await?;
                Err(error)
            }
            other => Err(unexpected(other, "a COPY")),
        }
    }

    /// Sends bytes that are framed as CopyData already.
    pub(crate) async fn copy_in_framed(&mut self, messages: &[u8]) -> Result<(), WireError> {
        self.stream.write(messages).await
    }

    /// Ends the COPY; answers how many rows the server took.
    pub(crate) async fn copy_in_done(&mut self) -> Result<u64, WireError> {
        let mut out = BytesMut::new();
        frontend::copy_done(&mut out);
        self.end_copy_in(&out).await
    }

    /// Gives the COPY up, if one runs; the server then answers with an error, which is not one here.
    pub(crate) async fn copy_in_fail(&mut self) -> Result<(), WireError> {
        if !self.is_copying_in {
            return Ok(());
        }
        let mut out = BytesMut::new();
        frontend::copy_fail("given up", &mut out)?;
        match self.end_copy_in(&out).await {
            Ok(_) | Err(WireError::Server(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn end_copy_in(&mut self, message: &[u8]) -> Result<u64, WireError> {
        self.send(message).await?;
        let mut count = 0;
        let mut failure = None;
        loop {
            let Message { kind, body } = self.stream.message().await?;
            match kind {
                b'C' => count = row_count_of_tag(&body),
                b'E' => failure = Some(WireError::server(&body)),
                b'Z' => {
                    self.is_copying_in = false;
                    return failure.map_or(Ok(count), Err);
                }
                b'N' | b'S' => {}
                other => return Err(unexpected(other, "the end of a COPY")),
            }
        }
    }
}

async fn encrypted(mut socket: TcpStream, options: &Options) -> Result<Io, StartError> {
    let mut out = BytesMut::new();
    frontend::ssl_request(&mut out);
    socket.write_all(&out).await?;
    // Exactly one byte: anything after it would have been injected before the encryption.
    match socket.read_u8().await? {
        b'S' => {}
        b'N' => return Err(StartError::TlsNotOffered),
        _ => return Err(WireError::protocol("no answer to the request for TLS").into()),
    }
    let stream = encrypt(socket, options.tls_settings())
        .await
        .map_err(StartError::Tls)?;
    Ok(Io::Tls(Box::new(stream)))
}

pub(super) fn unexpected(kind: u8, during: &str) -> WireError {
    WireError::protocol(format!("message '{}' during {during}", kind.escape_ascii()))
}

/// `COPY 42` → 42.
pub(super) fn row_count_of_tag(tag: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(tag);
    let last = text.trim_end_matches('\0').rsplit(' ').next().unwrap_or("");
    last.parse().unwrap_or(0)
}

fn text_row(body: &[u8]) -> Result<TextRow, WireError> {
    let short = || WireError::protocol("a row that ends too early");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(short)?;
    let mut row = Vec::with_capacity(usize::from(u16::from_be_bytes(*count)));
    for _ in 0..u16::from_be_bytes(*count) {
        let (length, tail) = rest.split_first_chunk::<4>().ok_or_else(short)?;
        rest = tail;
        match usize::try_from(i32::from_be_bytes(*length)) {
            Err(_) => row.push(None),
            Ok(length) => {
                let (text, tail) = rest.split_at_checked(length).ok_or_else(short)?;
                rest = tail;
                let text = std::str::from_utf8(text)
                    .map_err(|_| WireError::protocol("text that is not UTF-8"))?;
                row.push(Some(text.to_owned()));
            }
        }
    }
    Ok(row)
}
