use bytes::Bytes;
use tokio::net::TcpStream;
use whimbrel_core::Engine;
use whimbrel_net::Io;

use super::packet::Reader;
use super::parts::RowLeft;
use super::rows::{END, ERROR, Front, front};
use super::sign_in::{SignedIn, StartError, sign_in};
use super::stream::{HEADER_BYTES, READ_BYTES, Stream};
use super::{ResultColumn, RowPackets, TextRow, WireError};
use crate::options::Options;

/// First byte of a request for a file of ours.
const INFILE: u8 = 0xFB;
/// LOAD DATA is sent in packets of this size: far below the smallest `max_allowed_packet` in use.
const INFILE_PART_BYTES: usize = 128 * 1024;

/// The most columns of a result: the protocol numbers those of a statement in two bytes.
const COLUMNS_MAX: usize = 65_535;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Reading: the server is never offered a file.
    Read,
    /// Writing, LOAD DATA LOCAL included.
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit = 0x01,
    Query = 0x03,
    Ping = 0x0E,
    BinlogDump = 0x12,
    RegisterReplica = 0x15,
    StatementPrepare = 0x16,
    StatementExecute = 0x17,
    StatementClose = 0x19,
    SetOption = 0x1B,
}

/// What comes next on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Our next command.
    Ready,
    /// Rows of a result.
    Rows,
    /// Our rows of a LOAD DATA.
    Loading,
    /// Nothing good: an exchange failed or was given up half-way.
    Unusable,
}

/// The server's word that a statement is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) affected_rows: u64,
    /// The server's status flags.
    pub(crate) status: u16,
    /// At most 65,535.
    pub(crate) warning_count: u16,
    /// `Records: 3  Deleted: 0  Skipped: 0  Warnings: 0` after LOAD DATA, in English whatever the server's language.
    pub(crate) info: String,
}

impl Done {
    fn parse(payload: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(payload);
        reader.u8()?;
        let affected_rows = reader.length()?.unwrap_or(0) as u64;
        reader.length()?;
        let status = reader.u16()?;
        let warning_count = reader.u16()?;
        // Servers put the length in front of the text, though the documents say otherwise.
        let rest = reader.rest();
        let counted = reader.counted().ok().filter(|_| reader.is_empty());
        let info = String::from_utf8_lossy(counted.unwrap_or(rest)).into_owned();
        Ok(Self {
            affected_rows,
            status,
            warning_count,
            info,
        })
    }

    /// Whether the answer of another statement of the same script follows.
    fn has_more(&self) -> bool {
        const MORE_RESULTS: u16 = 0x0008;
        self.status & MORE_RESULTS != 0
    }
}

/// The answer to one statement of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) done: Done,
    /// Few.
    pub(crate) rows: Vec<TextRow>,
}

/// A prepared statement without parameters.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    id: u32,
}

/// A signed-in connection. One exchange at a time.
///
/// A call whose future is dropped leaves the connection unusable, with the exception of [`Self::block`].
pub(crate) struct Connection {
    pub(super) stream: Stream,
    pub(super) state: State,
    /// What is left of a row that is handed over in parts.
    pub(super) row_left: Option<RowLeft>,
    engine: Engine,
    version: String,
    id: u32,
    tls: Option<String>,
}

impl Connection {
    /// Signs in over a connected socket.
    pub(crate) async fn start(
        socket: TcpStream,
        options: &Options,
        purpose: Purpose,
    ) -> Result<Self, StartError> {
        let signed_in = Box::pin(sign_in(
            Io::Plain(socket),
            options,
            purpose == Purpose::Write,
        ))
        .await?;
        let SignedIn {
            stream,
            greeting,
            tls,
        } = signed_in;
        Ok(Self {
            stream,
            state: State::Ready,
            row_left: None,
            engine: greeting.engine,
            version: greeting.version,
            id: greeting.connection_id,
            tls,
        })
    }

    /// A connection that is signed in, to a server of MySQL.
    #[cfg(feature = "fuzz")]
    pub(super) fn over(stream: Stream) -> Self {
        Self {
            stream,
            state: State::Ready,
            row_left: None,
            engine: Engine::MySql,
            version: String::new(),
            id: 0,
            tls: None,
        }
    }

    /// Which of the two answers.
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// The version as the server prints it.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// The server's number for this connection.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// The version of TLS; `None` for plain.
    pub(crate) fn tls(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    /// Whether a command can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// Whether rows of a result are still to come.
    pub(crate) fn has_rows(&self) -> bool {
        self.state == State::Rows
    }

    /// Sends a command. The state is `Unusable` until its answer has been read.
    pub(super) async fn command(&mut self, command: Command, body: &[u8]) -> Result<(), WireError> {
        if self.state != State::Ready {
            return Err(WireError::Unusable);
        }
        self.state = State::Unusable;
        let mut payload = Vec::with_capacity(1 + body.len());
        payload.push(command as u8);
        payload.extend_from_slice(body);
        self.stream.restart_sequence();
        self.stream.send(&payload).await
    }

    /// The next packet; an error packet ends the exchange.
    pub(super) async fn packet(&mut self) -> Result<Bytes, WireError> {
        let packet = self.stream.packet().await?;
        if packet.first() == Some(&ERROR) {
            self.state = State::Ready;
            return Err(WireError::server(&packet));
        }
        Ok(packet)
    }

    /// Runs a statement that gives no rows.
    pub(crate) async fn execute(&mut self, sql: &str) -> Result<Done, WireError> {
        self.command(Command::Query, sql.as_bytes()).await?;
        let packet = self.packet().await?;
        match packet.first() {
            Some(0x00) => {
                let done = Done::parse(&packet)?;
                self.state = State::Ready;
                Ok(done)
            }
            Some(&INFILE) => Err(refused_file()),
            _ => Err(WireError::protocol(
                "rows in answer to a statement that gives none",
            )),
        }
    }

    /// Runs a query and collects its rows, which must be few.
    pub(crate) async fn rows(&mut self, sql: &str) -> Result<Vec<TextRow>, WireError> {
        self.command(Command::Query, sql.as_bytes()).await?;
        let first = self.packet().await?;
        let column_count = column_count(&first)?;
        for _ in 0..column_count {
            self.packet().await?;
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.packet().await?;
            if packet.first() == Some(&END) && packet.len() < 0xFF_FFFF {
                self.state = State::Ready;
                return Ok(rows);
            }
            rows.push(TextRow::parse(&packet, column_count)?);
        }
    }

    /// Lets the session take scripts.
    pub(crate) async fn allow_scripts(&mut self) -> Result<(), WireError> {
        const MULTI_STATEMENTS_ON: [u8; 2] = [0, 0];
        self.command(Command::SetOption, &MULTI_STATEMENTS_ON)
            .await?;
        self.packet().await?;
        self.state = State::Ready;
        Ok(())
    }

    /// Runs statements with semicolons between them, all in one round trip.
    ///
    /// The server stops at the first that fails: none after it is run, and `answers` gains those of the ones before it.
    pub(crate) async fn script(
        &mut self,
        sql: &[u8],
        answers: &mut Vec<Answer>,
    ) -> Result<(), WireError> {
        self.command(Command::Query, sql).await?;
        loop {
            let answer = self.answer().await?;
            let has_more = answer.done.has_more();
            answers.push(answer);
            if !has_more {
                self.state = State::Ready;
                return Ok(());
            }
        }
    }

    async fn answer(&mut self) -> Result<Answer, WireError> {
        let first = self.packet().await?;
        if first.first() == Some(&0x00) {
            return Ok(Answer {
                done: Done::parse(&first)?,
                rows: Vec::new(),
            });
        }
        let column_count = column_count(&first)?;
        for _ in 0..column_count {
            self.packet().await?;
        }
        let mut rows = Vec::new();
        loop {
            let packet = self.packet().await?;
            if packet.first() == Some(&END) && packet.len() < 0xFF_FFFF {
                let done = Done::parse(&packet)?;
                return Ok(Answer { done, rows });
            }
            rows.push(TextRow::parse(&packet, column_count)?);
        }
    }

    /// The first row of a query.
    pub(crate) async fn row(&mut self, sql: &str) -> Result<Option<TextRow>, WireError> {
        Ok(self.rows(sql).await?.into_iter().next())
    }

    /// Prepares a query without parameters.
    pub(crate) async fn prepare(&mut self, sql: &str) -> Result<Statement, WireError> {
        self.command(Command::StatementPrepare, sql.as_bytes())
            .await?;
        let packet = self.packet().await?;
        let mut reader = Reader::new(&packet);
        if reader.u8()? != 0 {
            return Err(WireError::protocol(
                "no statement in answer to its preparation",
            ));
        }
        let id = reader.u32()?;
        let column_count = usize::from(reader.u16()?);
        let parameter_count = usize::from(reader.u16()?);
        // The columns are announced again when the statement runs, and only then are they sure.
        for _ in 0..parameter_count + column_count {
            self.packet().await?;
        }
        self.state = State::Ready;
        Ok(Statement { id })
    }

    /// Runs a prepared query; its rows, in the binary protocol, are then taken by [`Self::block`].
    ///
    /// Answers the columns as they are now: a table altered since the preparation may have given others.
    pub(crate) async fn open(
        &mut self,
        statement: &Statement,
    ) -> Result<Vec<ResultColumn>, WireError> {
        let mut body = [0; 9];
        body[..4].copy_from_slice(&statement.id.to_le_bytes());
        // No cursor; run once.
        body[5] = 1;
        self.command(Command::StatementExecute, &body).await?;
        let first = self.packet().await?;
        let column_count = column_count(&first)?;
        let mut columns = Vec::with_capacity(column_count);
        for _ in 0..column_count {
            columns.push(ResultColumn::parse(&self.packet().await?)?);
        }
        self.state = State::Rows;
        Ok(columns)
    }

    /// Some rows of the open result, about `block_bytes` of them, or `None` at its end. Cancel safe.
    pub(crate) async fn block(
        &mut self,
        block_bytes: usize,
    ) -> Result<Option<RowPackets>, WireError> {
        if self.state != State::Rows {
            return if self.state == State::Ready {
                Ok(None)
            } else {
                Err(WireError::Unusable)
            };
        }
        let (mut scanned, mut row_count) = (0, 0);
        self.stream.reserve(block_bytes + READ_BYTES);
        loop {
            match front(&self.stream.inbox()[scanned..]) {
                Front::Row(bytes) if row_count == 0 || scanned + bytes <= block_bytes => {
                    scanned += bytes;
                    row_count += 1;
                }
                Front::Row(_) | Front::LongRow | Front::Last if row_count > 0 => break,
                Front::Unfinished(bytes) if row_count > 0 && scanned + bytes > block_bytes => break,
                Front::Unfinished(bytes) => {
                    self.stream.reserve(scanned + bytes + READ_BYTES);
                    self.fill().await?;
                }
                Front::LongRow => return self.long_row().await.map(Some),
                Front::Row(_) | Front::Last => return self.end_rows().await,
            }
        }
        Ok(Some(RowPackets::Packets {
            bytes: self.stream.take(scanned),
            row_count,
        }))
    }

    /// Waits for more bytes; when none come, nothing good will. Cancel safe.
    pub(super) async fn fill(&mut self) -> Result<(), WireError> {
        let filled = self.stream.fill().await;
        if filled.is_err() {
            self.state = State::Unusable;
        }
        filled
    }

    /// Waits until so many bytes have come and were not taken. Cancel safe.
    pub(super) async fn fill_to(&mut self, bytes: usize) -> Result<(), WireError> {
        while self.stream.inbox().len() < bytes {
            self.fill().await?;
        }
        Ok(())
    }

    pub(super) async fn long_row(&mut self) -> Result<RowPackets, WireError> {
        // A dropped future would lose the parts read so far.
        self.state = State::Unusable;
        let row = self.stream.packet().await?;
        self.state = State::Rows;
        Ok(RowPackets::LongRow(row))
    }

    pub(super) async fn end_rows(&mut self) -> Result<Option<RowPackets>, WireError> {
        // Whole in the inbox, so it does not wait.
        self.packet().await?;
        self.state = State::Ready;
        Ok(None)
    }

    /// Reads the open result to its end, or to the server's word that it ends early, and throws it away.
    pub(crate) async fn drain(&mut self) -> Result<(), WireError> {
        loop {
            match self.block_in_parts(READ_BYTES).await {
                Ok(Some(_)) => {}
                Ok(None) | Err(WireError::Server(_)) => return Ok(()),
                Err(error) => {
                    self.state = State::Unusable;
                    return Err(error);
                }
            }
        }
    }

    /// Gives a prepared statement up. The server does not answer.
    pub(crate) async fn close(&mut self, statement: Statement) -> Result<(), WireError> {
        self.command(Command::StatementClose, &statement.id.to_le_bytes())
            .await?;
        self.state = State::Ready;
        Ok(())
    }

    /// Sends a LOAD DATA LOCAL and waits until the server asks for its rows.
    pub(crate) async fn begin_load(&mut self, sql: &str) -> Result<(), WireError> {
        self.command(Command::Query, sql.as_bytes()).await?;
        match self.packet().await?.first() {
            Some(&INFILE) => {
                self.state = State::Loading;
                Ok(())
            }
            _ => Err(WireError::protocol(
                "no request for rows in answer to LOAD DATA",
            )),
        }
    }

    /// Sends rows of the open LOAD DATA. They may be cut anywhere.
    pub(crate) async fn load(&mut self, rows: &[u8]) -> Result<(), WireError> {
        if self.state != State::Loading {
            return Err(WireError::Unusable);
        }
        self.state = State::Unusable;
        for part in rows.chunks(INFILE_PART_BYTES) {
            self.stream.send(part).await?;
        }
        self.state = State::Loading;
        Ok(())
    }

    /// Ends the rows of the open LOAD DATA and waits for the verdict.
    pub(crate) async fn end_load(&mut self) -> Result<Done, WireError> {
        if self.state != State::Loading {
            return Err(WireError::Unusable);
        }
        self.state = State::Unusable;
        self.stream.send(&[]).await?;
        let packet = self.packet().await?;
        if packet.first() != Some(&0x00) {
            return Err(WireError::protocol("no verdict on LOAD DATA"));
        }
        let done = Done::parse(&packet)?;
        self.state = State::Ready;
        Ok(done)
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> Result<(), WireError> {
        self.command(Command::Ping, &[]).await?;
        self.packet().await?;
        self.state = State::Ready;
        Ok(())
    }

    /// Takes leave. The server closes the connection.
    pub(crate) async fn quit(mut self) -> Result<(), WireError> {
        self.command(Command::Quit, &[]).await
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

fn column_count(first: &[u8]) -> Result<usize, WireError> {
    match first.first() {
        Some(0x00) | None => Err(WireError::protocol("no rows in answer to a query")),
        Some(&INFILE) => Err(refused_file()),
        Some(_) => match Reader::new(first).length()? {
            Some(count) if count <= COLUMNS_MAX => Ok(count),
            _ => Err(WireError::protocol(
                "rows of more columns than a server has",
            )),
        },
    }
}

fn refused_file() -> WireError {
    WireError::protocol("a request for a file of this machine that nobody offered; it was refused")
}

// The header of a packet is what the inbox must hold before a result's front can be told.
const _: () = assert!(HEADER_BYTES < READ_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_read_with_counted_and_bare_info() {
        let head = [0, 3, 0, 2, 0, 1, 0];
        let counted = [&head[..], &[10], b"Records: 3"].concat();
        let bare = [&head[..], b"Records: 3"].concat();
        for payload in [counted, bare] {
            let done = Done::parse(&payload).unwrap();
            assert_eq!((done.affected_rows, done.warning_count), (3, 1));
            assert_eq!(done.info, "Records: 3");
        }
        assert!(Done::parse(&head[..4]).is_err());
    }
}
