//! Whether the server waits for room on its disk.
//!
//! Both servers refuse rows that a table's file has no room for, but a commit that the binary log has no room for waits: they look again every
//! 60 seconds until somebody makes room, and tell that to their error log, once and then every ten minutes (`wait_for_free_space` in mysys/errors.c of
//! either). `KILL` does not end that wait. While it lasts, every commit, every definition and every question about the binary log waits
//! too; reading does not.
//!
//! MariaDB shows such a session as `Waiting for someone to free space`. MySQL shows it as any other that commits, so its error log is asked,
//! which not every user may read; without it only the time speaks.

use async_trait::async_trait;
use whimbrel_connector::{Error, Stall, StallWatch};

use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, TextRow, WireError};

/// Seconds after which a commit of MySQL is said to stand still although nothing else tells why. The largest take about as long.
const SUSPECT_AFTER_S: u64 = 30;
/// Seconds by which the moments of a wait and of its line in the error log may differ.
const SLACK_S: u64 = 5;

const REMEDY: &str = "make room on the disk of that server, where its binary log is; it looks again every minute, and the task goes on by itself";

/// Looks at one server.
pub(crate) struct DiskWatch {
    options: Options,
}

impl DiskWatch {
    pub(crate) fn new(options: Options) -> Self {
        Self { options }
    }
}

#[async_trait]
impl StallWatch for DiskWatch {
    async fn look(&mut self) -> Result<Option<Stall>, Error> {
        let mut connection = connect(&self.options, Purpose::Read).await?;
        let looked = look(&mut connection, &self.options.user).await;
        // The answer is known; a failed farewell changes nothing.
        connection.quit().await.ok();
        let waiting = looked.map_err(|error| general(error, "ask what the target waits for"))?;
        Ok(waiting.map(|waiting| waiting.stall(&self.options.describe())))
    }
}

/// A commit that waits.
#[derive(Debug, PartialEq, Eq)]
struct Waiting {
    seconds: u64,
    why: Why,
}

#[derive(Debug, PartialEq, Eq)]
enum Why {
    /// The server says so.
    FullDisk,
    /// So does its error log, in these words.
    Logged(String),
    /// Nothing tells.
    Unknown,
}

impl Waiting {
    fn stall(self, server: &str) -> Stall {
        let seconds = self.seconds;
        let (why, remedy) = match self.why {
            Why::FullDisk => (
                "its disk is full, and it waits for somebody to free space".to_owned(),
                REMEDY.to_owned(),
            ),
            Why::Logged(line) => (format!("its disk is full: {line}"), REMEDY.to_owned()),
            Why::Unknown => (
                "MySQL waits so, and tells it to nobody, while the disk of its binary log is full"
                    .to_owned(),
                format!(
                    "see whether that disk is full; if it is, {REMEDY}. With SELECT on performance_schema.error_log the user would be told for certain"
                ),
            ),
        };
        Stall {
            message: format!(
                "the target {server} has not answered a commit for {seconds} s: {why}"
            ),
            remedy,
        }
    }
}

async fn look(connection: &mut Connection, user: &str) -> Result<Option<Waiting>, WireError> {
    let sessions = connection.rows("SHOW PROCESSLIST").await?;
    match longest(&sessions, user) {
        Some(Waiting {
            seconds,
            why: Why::Unknown,
        }) => {
            let line = logged(connection, seconds + SLACK_S).await?;
            let why = line.map_or(Why::Unknown, Why::Logged);
            let is_told = why != Why::Unknown || seconds >= SUSPECT_AFTER_S;
            Ok(is_told.then_some(Waiting { seconds, why }))
        }
        told => Ok(told),
    }
}

/// The session that has waited longest, of those that may wait for room. What a commit waits for is not told: only those of the task's user count.
fn longest(sessions: &[TextRow], user: &str) -> Option<Waiting> {
    let waiting = sessions.iter().filter_map(|session| {
        let why = match session.text(6) {
            "Waiting for someone to free space" => Why::FullDisk,
            "waiting for handler commit" if session.text(1) == user => Why::Unknown,
            _ => return None,
        };
        let seconds = session.number(5).unwrap_or(0);
        Some(Waiting { seconds, why })
    });
    waiting.max_by_key(|waiting| waiting.seconds)
}

/// What the error log has told of a full disk in the last `seconds`; `None` too where it may not be read.
async fn logged(connection: &mut Connection, seconds: u64) -> Result<Option<String>, WireError> {
    let sql = format!(
        "SELECT data FROM performance_schema.error_log
         WHERE error_code = 'MY-000035' AND logged >= now(6) - INTERVAL {seconds} SECOND ORDER BY logged DESC LIMIT 1"
    );
    match connection.row(&sql).await {
        Ok(row) => Ok(row.map(|row| row.text(0).to_owned())),
        Err(WireError::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
