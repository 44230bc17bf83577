//! The task that owns the connection of a stream: it reads ahead by a bounded number of bytes, and tells the server that we live
//! and what was confirmed, whether anybody takes what it read or not.
//!
//! A server that has nothing to say is asked for an answer, which it gives at once, so that silence means that it is gone, or that
//! something on the way has forgotten the connection. While nobody takes what was read, nothing is read, and silence means nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use whimbrel_connector::{Background, Error, in_background};
use whimbrel_core::{DAYS_1970_TO_2000, MICROS_PER_DAY, clock};

use super::place::Lsn;
use crate::errors::general;
use crate::wire::{Replication, ServerError, WireError};

/// Bytes that wait to be taken: enough to keep the server busy while a batch is applied, little beside the batches themselves.
const QUEUE_BYTES: usize = 8 * 1024 * 1024;
/// A block is cut at about this size when nobody waits for it, so that what is queued fills its buffers.
const BLOCK_BYTES: usize = 256 * 1024;
/// The server hears from us at least this often.
const STATUS_EVERY: Duration = Duration::from_secs(10);
/// A silent server is given up after the limit that it has for silent readers, since it would give us up as well, but never later than this.
const SILENCE_MAX: Duration = Duration::from_mins(10);
/// One without a limit (`wal_sender_timeout = 0`) says nothing while it decodes a transaction of which nothing is published, however long
/// that takes. That its host is gone the system notices by itself.
const SILENCE_WITHOUT_LIMIT_MAX: Duration = Duration::from_hours(1);
/// A confirmation is told this long after the last word at the latest; not at once, because each costs the server some work.
const CONFIRM_WITHIN: Duration = Duration::from_millis(100);

/// The server sends each change as it decodes it. After this many small reads within [`PACE`] the next one waits for its end, so
/// that a server at full speed costs a few reads of many changes, while single transactions pass without delay.
const SMALL_READS: u32 = 16;
const PACE: Duration = Duration::from_millis(1);
const SMALL_READ_BYTES: usize = 8 * 1024;

/// A server that shuts down asks again at each answer, until everything is confirmed that it has logged, its own last words
/// included. So many questions about one place in so short a time are taken for that.
const FAREWELL_QUESTIONS: u32 = 16;
const FAREWELL_WITHIN: Duration = Duration::from_secs(1);

/// The taking end.
#[derive(Debug)]
pub(super) struct Feed {
    blocks: mpsc::UnboundedReceiver<Result<Bytes, Error>>,
    queue: Arc<Queue>,
    confirmed: watch::Sender<Lsn>,
    _pump: Background<()>,
}

#[derive(Debug, Default)]
struct Queue {
    byte_count: AtomicUsize,
    /// A block was taken.
    taken: Notify,
}

impl Feed {
    /// Starts to read what is published from behind what is confirmed. `server_timeout` is the time after which the server gives a silent reader up.
    pub(super) fn start(
        replication: Replication,
        (confirmed, publication): (Lsn, &str),
        server_timeout: Option<Duration>,
    ) -> Self {
        let (sender, blocks) = mpsc::unbounded_channel();
        let (confirm, confirmed) = watch::channel(confirmed);
        let queue = Arc::new(Queue::default());
        let silence_max =
            server_timeout.map_or(SILENCE_WITHOUT_LIMIT_MAX, |limit| limit.min(SILENCE_MAX));
        let pump = Pump {
            replication,
            publication: publication.to_owned(),
            queue: Arc::clone(&queue),
            confirmed,
            status_every: STATUS_EVERY.min(silence_max / 4),
            silence_max,
            spoke_at: Instant::now(),
            heard_at: Instant::now(),
            pace: Pace::default(),
            questions: Questions::default(),
        };
        let pumping = in_background("read the log", async move {
            let mut pump = pump;
            let error = match pump.run(&sender).await {
                Ok(()) => return,
                Err(error) => error,
            };
            // Nobody listens once the stream was dropped.
            drop(sender.send(Err(error)));
        });
        Self {
            blocks,
            queue,
            confirmed: confirm,
            _pump: pumping,
        }
    }

    /// The next whole messages. Dropping the call loses nothing.
    pub(super) async fn next(&mut self) -> Result<Bytes, Error> {
        match self.blocks.recv().await {
            Some(Ok(block)) => {
                self.queue
                    .byte_count
                    .fetch_sub(block.len(), Ordering::AcqRel);
                self.queue.taken.notify_one();
                Ok(block)
            }
            Some(Err(error)) => Err(error),
            None => Err(Error::Transient(
                "the stream of changes has ended".to_owned(),
            )),
        }
    }

    /// Lets the server forget what lies before this place.
    pub(super) fn confirm(&self, place: Lsn) {
        self.confirmed.send_if_modified(|confirmed| {
            let is_later = place > *confirmed;
            *confirmed = place.max(*confirmed);
            is_later
        });
    }
}

/// The reading end.
struct Pump {
    replication: Replication,
    /// The name of what is published.
    publication: String,
    queue: Arc<Queue>,
    confirmed: watch::Receiver<Lsn>,
    status_every: Duration,
    silence_max: Duration,
    spoke_at: Instant,
    /// When something came, or might not have been read.
    heard_at: Instant,
    pace: Pace,
    questions: Questions,
}

/// What the server asked lately: about which place, how often, since when.
#[derive(Debug, Default)]
struct Questions {
    place: u64,
    count: u32,
    since: Option<Instant>,
}

impl Questions {
    /// Counts one more; whether the server is shutting down.
    fn is_farewell(&mut self, place: u64, now: Instant) -> bool {
        match self.since {
            Some(since) if self.place == place && now < since + FAREWELL_WITHIN => self.count += 1,
            _ => {
                *self = Self {
                    place,
                    count: 1,
                    since: Some(now),
                }
            }
        }
        self.count >= FAREWELL_QUESTIONS
    }
}

/// How many small reads there were since when.
#[derive(Debug, Default)]
struct Pace {
    since: Option<Instant>,
    small_reads: u32,
}

impl Pace {
    fn count(&mut self, bytes: usize, now: Instant) {
        match self.since {
            Some(since) if now < since + PACE && bytes < SMALL_READ_BYTES => self.small_reads += 1,
            _ => {
                self.since = Some(now);
                self.small_reads = 0;
            }
        }
    }

    /// When to read next, if not now.
    fn pause(&mut self) -> Option<Instant> {
        if self.small_reads < SMALL_READS {
            return None;
        }
        self.since.map(|since| since + PACE)
    }

    fn go_on(&mut self) {
        *self = Self::default();
    }
}

/// What the stream ended with.
fn lost(error: WireError) -> Error {
    const DURING: &str = "read the source's log";
    match error {
        // It looks the publication up as it was at the time of each change.
        WireError::Server(error) if error.code == "42704" => Error::Fatal(format!(
            "{DURING}: {error}; the slot keeps changes from before the task's publication was made, or the publication was dropped, and PostgreSQL can tell none of those changes. Leave SlotName and CdcStartPosition out, so that the task makes its own slot and loads the tables; only if the target needs none of the changes, pass them over with pg_replication_slot_advance"
        )),
        error => general(error, DURING),
    }
}

impl Pump {
    /// Ends without error when nobody listens any more.
    async fn run(
        &mut self,
        blocks: &mpsc::UnboundedSender<Result<Bytes, Error>>,
    ) -> Result<(), Error> {
        loop {
            let ready = self.replication.look(BLOCK_BYTES).map_err(lost)?;
            let heard = self.replication.heard();
            if heard.wants_reply {
                if self.questions.is_farewell(heard.received, Instant::now()) {
                    return Err(Error::Transient(
                        "read the source's log: the server is shutting down".to_owned(),
                    ));
                }
                self.speak(heard.received).await?;
            }
            if self.may_hand_over(ready) {
                self.queue.byte_count.fetch_add(ready, Ordering::AcqRel);
                if blocks.send(Ok(self.replication.take_ready())).is_err() {
                    return Ok(());
                }
                continue;
            }
            if ready == 0 && self.replication.is_blocked() {
                let other = timeout(self.silence_max, self.replication.take_other()).await;
                let other = other.map_err(|_| self.silent())?;
                if let Some(notice) = other.map_err(lost)? {
                    check_notice(&notice, &self.publication)?;
                }
                continue;
            }
            let has_news = self.confirmed.has_changed().unwrap_or(false);
            let wait = if has_news {
                CONFIRM_WITHIN.min(self.status_every)
            } else {
                self.status_every
            };
            let may_read = ready < BLOCK_BYTES && !self.replication.is_blocked();
            let pause = self.pace.pause();
            if !may_read || pause.is_some() {
                self.heard_at = Instant::now();
            }
            tokio::select! {
                biased;
                () = sleep_until(self.spoke_at + wait) => self.speak(heard.received).await?,
                changed = watch_changes(&mut self.confirmed), if !has_news => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = self.queue.taken.notified(), if ready > 0 => {}
                () = sleep_until(pause.unwrap_or(self.spoke_at)), if pause.is_some() => {
                    self.pace.go_on();
                }
                read = self.replication.read(), if may_read && pause.is_none() => {
                    self.heard_at = Instant::now();
                    self.pace.count(read.map_err(lost)?, self.heard_at);
                }
                // Last: what has come is read first, however late.
                () = sleep_until(self.heard_at + self.silence_max), if may_read && pause.is_none() => {
                    return Err(self.silent());
                }
            }
        }
    }

    /// A block goes at once to whoever waits for it, and otherwise when it has its size and there is room.
    fn may_hand_over(&self, ready: usize) -> bool {
        let queued = self.queue.byte_count.load(Ordering::Acquire);
        let is_complete = ready >= BLOCK_BYTES || self.replication.is_blocked();
        ready > 0 && (queued == 0 || (is_complete && queued < QUEUE_BYTES))
    }

    /// Tells the server what was received and what was confirmed, and asks a silent one for an answer.
    async fn speak(&mut self, received: u64) -> Result<(), Error> {
        let confirmed = *self.confirmed.borrow_and_update();
        self.spoke_at = Instant::now();
        let is_silent = self.spoke_at >= self.heard_at + self.status_every / 2;
        let status = status(received, confirmed, is_silent);
        let sent = timeout(self.silence_max, self.replication.send(&status)).await;
        let sent = sent.map_err(|_| self.silent())?;
        sent.map_err(|error| general(error, "confirm the source's log"))
    }

    fn silent(&self) -> Error {
        Error::Transient(format!(
            "read the source's log: the source has said nothing for {} s, though it was asked to; the connection is given up",
            self.silence_max.as_secs()
        ))
    }
}

/// Waits for a confirmation, and leaves it to be seen by the next look.
async fn watch_changes(
    confirmed: &mut watch::Receiver<Lsn>,
) -> Result<(), watch::error::RecvError> {
    confirmed.changed().await?;
    confirmed.mark_changed();
    Ok(())
}

/// A standby status update: places written, flushed and applied, our clock, whether an answer is wanted.
///
/// Only what was confirmed counts as flushed, which is what the server goes by. What was received is told as written; if it were
/// not, the server would send a keepalive at every turn.
fn status(received: u64, confirmed: Lsn, wants_answer: bool) -> Vec<u8> {
    let clock_us = clock::now_us() - i64::from(DAYS_1970_TO_2000) * MICROS_PER_DAY;
    let mut message = Vec::with_capacity(34);
    message.push(b'r');
    message.extend_from_slice(&received.max(confirmed.0).to_be_bytes());
    message.extend_from_slice(&confirmed.0.to_be_bytes());
    message.extend_from_slice(&confirmed.0.to_be_bytes());
    message.extend_from_slice(&clock_us.to_be_bytes());
    message.push(u8::from(wants_answer));
    message
}

/// From version 18 on, a publication that is gone makes the server leave its changes out with a mere warning. Its words may be in any
/// language, but they name it; with the same code the server tells of standbys that it waits for.
fn check_notice(notice: &ServerError, publication: &str) -> Result<(), Error> {
    if notice.code == "55000" && notice.message.contains(publication) {
        return Err(Error::Fatal(format!(
            "read the source's log: {notice}; changes may be missing from here on: start the task again from the beginning"
        )));
    }
    tracing::debug!(%notice, "the source said something while its log was read");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_confirmed_is_told_as_flushed() {
        let message = status(9, Lsn(5), false);
        let place = |at: usize| u64::from_be_bytes(message[at..at + 8].try_into().unwrap());
        assert_eq!(message.len(), 34);
        assert_eq!((message[0], place(1), place(9), place(17)), (b'r', 9, 5, 5));
        assert_eq!(message[33], 0);
        let message = status(3, Lsn(5), true);
        assert_eq!((message[8], message[33]), (5, 1));
    }

    #[test]
    fn many_small_reads_are_followed_by_a_pause_and_large_ones_are_not() {
        let begun = Instant::now();
        let mut pace = Pace::default();
        for _ in 0..SMALL_READS {
            pace.count(100, begun);
            assert_eq!(pace.pause(), None);
        }
        pace.count(100, begun);
        assert_eq!(pace.pause(), Some(begun + PACE));
        pace.go_on();
        assert_eq!(pace.pause(), None);
        for _ in 0..100 {
            pace.count(100_000, begun);
        }
        assert_eq!(pace.pause(), None);
        for number in 0..100 {
            pace.count(100, begun + PACE * number / 4);
        }
        assert_eq!(pace.pause(), None);
    }

    #[test]
    fn a_server_that_asks_again_and_again_is_shutting_down() {
        let begun = Instant::now();
        let mut questions = Questions::default();
        for number in 1..FAREWELL_QUESTIONS {
            assert!(!questions.is_farewell(7, begun), "{number}");
        }
        assert!(!questions.is_farewell(8, begun));
        for _ in 2..FAREWELL_QUESTIONS {
            assert!(!questions.is_farewell(8, begun));
        }
        assert!(questions.is_farewell(8, begun));
        let mut questions = Questions::default();
        for number in 0..100 {
            assert!(!questions.is_farewell(7, begun + FAREWELL_WITHIN * number / 10));
        }
    }

    #[test]
    fn a_publication_that_is_gone_ends_the_stream() {
        let notice = |code: &str, message: &str| ServerError {
            code: code.to_owned(),
            message: message.to_owned(),
            ..ServerError::default()
        };
        let ends = |code: &str, message: &str| {
            let checked = check_notice(&notice(code, message), "of_a_task");
            matches!(checked, Err(Error::Fatal(_)))
        };
        assert!(ends("55000", "skipped loading publication \"of_a_task\""));
        assert!(ends("55000", "Publikation »of_a_task« wird übergangen"));
        assert!(!ends("00000", "hello of_a_task"));
        let standby = "replication slot \"standby\" specified in parameter \"synchronized_standby_slots\" does not have active_pid";
        assert!(!ends("55000", standby));
    }
}
