//! Change capture from PostgreSQL's log.
//!
//! ```text
//!  prepare:  publication ──► slot (keeps the log from S)          snapshot: LSN;xmin:xmax:xip,…
//!  open:     side connection (catalog)                                            │
//!            walsender ══ CopyBoth ══► Feed (task: reads ahead, answers, confirms)│
//!                                       │ whole messages                          ▼
//!                                       └──► Decoder ──► events ──► engine: does the view hold the transaction?
//! ```
//!
//! Why every transaction is in a snapshot's view or comes from the stream, whatever runs meanwhile:
//!
//! 1. *A new slot.* It is made once the publication is committed. The server makes it only after every transaction that was
//!    running then is over, visible to every snapshot taken later; transactions that commit behind its consistent point come from
//!    it, with all their changes, decoded with a catalog in which the publication is there.
//!    One that begins while the slot is made, and whose commit lies before that point, is waited for where it waits for a standby
//!    ([`slot::wait_for_commits`]): no snapshot sees it before.
//! 2. *A table that joins later.* The publication is changed, and then the transactions that were running are waited for in
//!    the same way ([`slot::wait_for_running`]): their changes from before may not be in the stream, but they are in every
//!    snapshot taken after. That this wait is due outlives the process ([`settled`]). Older servers need more than that ([`stale`]).
//!    So are those whose commit waits for a synchronous standby: it is in the log, and may have been read there, before any snapshot sees it.
//! 3. *Both at once.* What is in both is told apart by transaction id, not by place ([`place::View`]).
//! 4. *Later.* The slot lets go only of what was confirmed, which is what the target has committed. A slot that is gone, lost, or
//!    further than the target is an error that names the gap ([`slot`]); none is ever made in its place, because the slot's
//!    position would then be past the target's, which is what `open` checks.
//! 5. *In the same log.* A position names the log that it is of: the server, its timeline, and the last transaction before it. What tells
//!    another one is found before anything is told ([`history`], [`witness`]).
//!
//! The server tells commits in the order of their records; a stream that begins at the end of one goes on with the next. Small transactions
//! come whole at their commit. Those for which the server has no memory (`logical_decoding_work_mem`) come in pieces while they run, from
//! version 15 on, and are kept here, on disk when they are large, until their commit is told ([`decoder`] has the argument, [`spool`] and
//! [`relations`] what is less than obvious). So nothing is told of what was rolled back, to a savepoint or wholly.
//!
//! *Two phases.* The slot of a task is made without `two_phase`: then a prepared transaction is sent when COMMIT PREPARED is, as any other,
//! and one that is rolled back never. A slot that a user made with `two_phase` sends the rows at PREPARE and at the commit a mere word, also to
//! a reader that did not get the rows (`ReorderBufferFinishPrepared`: only what was prepared before `two_phase` was on is sent again).
//! So what is prepared is kept, the slot is not let go past the oldest that is not applied ([`spool::Spools::let_go`]), and is read from where
//! it stands, not from the task's place. When another reader has taken the rows nevertheless, that is an error which names the transaction.
//!
//! *Origins.* Changes that another replication wrote at the source are told as all others (`origin 'any'`, the default): the target is to be
//! what the source is. Where they came from is read and passed over.
//!
//! Definitions come as messages that event triggers write ([`ddl`]), or, where these cannot be made, with the next row of the table; new tables are
//! then found by looks at the catalog ([`newcomers`]).
//!
//! Tables that somebody takes out of the publication are found by looks at the catalog too ([`members`]).
//!
//! What the log does not tell: TRUNCATE, DETACH and DROP of a single partition. Truncating the partitioned table itself is told.

mod control;
mod ddl;
mod decoder;
mod feed;
mod form;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod heartbeat;
mod history;
mod identity;
mod members;
mod message;
mod newcomers;
mod place;
mod publication;
mod relation;
mod relations;
pub(crate) mod requirements;
mod rows;
mod settled;
mod slot;
mod spill;
mod spool;
mod stale;
mod stream;
mod watch;
mod witness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use whimbrel_connector::{
    ChangeLog, ChangeStream, Error, LogEvent, LogPlace, LogStart, RunningWait, SnapshotView,
    StartPoint, TableFault, TableId,
};
use whimbrel_core::{Position, Table, TableName};

use crate::connect::{connect, connect_for};
use crate::errors::general;
use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, Purpose, WireError};
use decoder::Decoder;
use feed::Feed;
use form::{Form, TIMEOUT, start_sql, timeout_of};
use heartbeat::Heartbeat;
use history::LogId;
use identity::{Identities, Identity};
use members::MembersLook;
use newcomers::CatalogLook;
use place::{Last, Lsn, Place, UpTo, View};
use publication::Publication;
use relation::{Describer, Key};
pub(crate) use settled::Waited;
use settled::{State, Waits};
use slot::Slot;
use spill::Spill;
use spool::Spools;
use stream::{ANSWER_WITHIN, PostgresStream};
pub(crate) use watch::{SlotWatch, unread};
use witness::Witness;

/// How often a slot that another reader takes first is waited for again.
const OPEN_ATTEMPTS: usize = 5;

/// The log of a database, as one task reads it.
pub(crate) struct PostgresLog {
    options: Arc<Options>,
    /// Away during an exchange, so that one that was cut off is not gone on with.
    connection: Option<Connection>,
    /// Of publication, event triggers, and slot, unless that was given.
    name: String,
    wishes: Arc<Wishes>,
    /// The wishes that the last stream was opened with.
    heeded: Option<Heeded>,
    running: RunningWait,
    /// The publication's rows of tables that have no gap.
    members: members::Rows,
    waited: Arc<Waited>,
    /// Those that were given up.
    waits: Arc<Waits>,
}

/// [`Wishes`] as they were when a stream was opened. They only grow, and a process that begins anew learns them anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heeded {
    text: bool,
    whole: bool,
}

impl Wishes {
    fn now(&self) -> Heeded {
        Heeded {
            text: self.text.load(Ordering::Relaxed),
            whole: self.whole.load(Ordering::Relaxed),
        }
    }
}

/// What looks after the slot of a task.
pub(crate) fn watch_of(options: &Arc<Options>, task: &str) -> SlotWatch {
    let slot = options.slot.clone();
    let slot = slot.unwrap_or_else(|| name_of(task, &options.database));
    SlotWatch {
        options: Arc::clone(options),
        slot,
    }
}

/// What streams to come are to look like, because of what an earlier one met.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    /// A type has come that is read as text.
    text: Arc<AtomicBool>,
    /// Transactions are to be sent whole.
    whole: Arc<AtomicBool>,
}

/// The log that is there.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Its beginning.
    from: Lsn,
    is_two_phase: bool,
}

/// A stream that was begun.
struct Begun {
    /// The place that it goes on from, in the log that is there.
    from: Place,
    witness: Witness,
    feed: Feed,
    is_two_phase: bool,
}

impl PostgresLog {
    pub(crate) fn new(
        options: Arc<Options>,
        connection: Connection,
        task: &str,
        wishes: Arc<Wishes>,
        waited: Arc<Waited>,
    ) -> Self {
        let name = name_of(task, &options.database);
        Self {
            options,
            connection: Some(connection),
            name,
            wishes,
            heeded: None,
            running: slot::RUNNING_WAIT,
            members: members::Rows::new(),
            waited,
            waits: Arc::default(),
        }
    }

    /// The slot that is read.
    fn slot(&self) -> &str {
        self.options.slot.as_deref().unwrap_or(&self.name)
    }

    /// Finds the slot, or the reason why a slot that was given cannot be read.
    async fn find_slot(&self, connection: &mut Connection) -> Result<Option<Kept>, Error> {
        let found = Slot::find(connection, self.slot()).await?;
        if found.is_none() && self.options.slot.is_some() {
            let name = self.slot();
            return Err(Error::Fatal(format!(
                "replication slot {name}, which SlotName names, is not at the source; make it with pg_create_logical_replication_slot('{name}', 'pgoutput'), or leave SlotName out"
            )));
        }
        let kept = |slot: Slot| {
            Ok(Kept {
                from: slot.check(self.slot())?,
                is_two_phase: slot.is_two_phase,
            })
        };
        found.map(kept).transpose()
    }

    /// A slot that the task makes keeps nothing of what is past.
    async fn check_not_past(&mut self, from: Lsn) -> Result<(), Error> {
        let mut connection = self.connection().await?;
        let rows = connection.query("SELECT pg_current_wal_insert_lsn()").await;
        let rows = rows.map_err(|error| general(error, "read the place of the log's end"))?;
        self.connection = Some(connection);
        let end = rows.into_iter().flatten().flatten().next();
        let end = Lsn::of(&Position::new(end.unwrap_or_default()))?;
        if from < end {
            return Err(Error::Fatal(format!(
                "the task cannot begin at {from}: the log of PostgreSQL is kept for slots alone, and a new one begins at {end}. Name a slot that reaches back in SlotName, go on with resume-processing, or leave CdcStartPosition out"
            )));
        }
        Ok(())
    }

    async fn connection(&mut self) -> Result<Connection, Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => Ok(connect(&self.options).await?),
        }
    }

    /// A connection for replication to the server whose log a place is of, and that log.
    async fn reader(&self, place: &Place) -> Result<(Connection, LogId), Error> {
        let mut connection = connect_for(&self.options, Purpose::Replication).await?;
        let log = history::check(&mut connection, place).await?;
        Ok((connection, log))
    }

    /// Starts to stream, once no other reader is there.
    async fn start(
        &self,
        side: &mut Connection,
        reader: (Connection, LogId),
        from: &Place,
        form: Form,
    ) -> Result<Begun, Error> {
        let during = "begin to stream the source's log";
        let mut reader = Some(reader);
        for _ in 0..OPEN_ATTEMPTS {
            slot::free(side, self.slot()).await?;
            // Only now: a reader that was there may have heard until its end what was confirmed to it.
            let kept = self.kept(side, from.lsn).await?;
            let witness = Witness::new(from, kept.from);
            // What was prepared before the task's place, and is committed behind it, comes from where the slot stands.
            let begin = if kept.is_two_phase {
                kept.from
            } else {
                witness.begin()
            };
            let sql = start_sql(self.slot(), &self.name, begin, form);
            let (mut connection, log) = match reader.take() {
                Some(reader) => reader,
                None => self.reader(from).await?,
            };
            let rows = connection.query(TIMEOUT).await;
            let rows = rows.map_err(|error| general(error, during))?;
            let started = timeout(ANSWER_WITHIN, connection.start_replication(&sql)).await;
            match started.map_err(|_| stream::silent(during))? {
                Ok(replication) => {
                    // Whatever comes behind the place is told from now on.
                    let none_since = Last {
                        commit: from.lsn,
                        committed_at_us: None,
                    };
                    return Ok(Begun {
                        from: Place {
                            lsn: from.lsn,
                            log: Some(log),
                            last: from.last.or(Some(none_since)),
                        },
                        witness,
                        is_two_phase: kept.is_two_phase,
                        // Nothing is confirmed before the task says so: tables that are loaded have the log kept from before this.
                        feed: Feed::start(replication, (kept.from, &self.name), timeout_of(&rows)),
                    });
                }
                // Another reader was faster.
                Err(WireError::Server(error)) if error.code == "55006" => {}
                Err(error) => return Err(general(error, during)),
            }
        }
        Err(Error::Transient(format!(
            "{during}: replication slot {} is being read by another process again and again",
            self.slot()
        )))
    }

    /// Waits for what the publication of `tables`, as it is now, leaves out of the log or the slot; makes the slot if there is none. Answers from
    /// where on the log is kept.
    async fn settled(
        &mut self,
        connection: &mut Connection,
        kept: Option<Lsn>,
        tables: &BTreeMap<TableName, String>,
    ) -> Result<Lsn, Error> {
        let name = &self.name;
        let state = State::read(connection, name).await?;
        let is_settled = state.is_settled(name, &self.waited);
        let mut are_readers_told = true;
        let from = match kept {
            None => {
                let from = slot::create(connection, name, self.running).await?;
                // Their records may lie before the slot's place, and the server waits for those alone that began before it made the slot.
                slot::wait_for_commits(connection, self.running).await?;
                from
            }
            Some(kept) if is_settled => {
                slot::wait_for_commits(connection, self.running).await?;
                kept
            }
            Some(kept) => {
                let waits = Waits::of(&mut self.waits, &state);
                slot::wait_for_running(connection, self.running, &waits.running).await?;
                if stale::is_possible(connection).await? {
                    are_readers_told =
                        waits.renewed.has_begun() || stale::renew(connection, name, tables).await?;
                    if are_readers_told {
                        slot::wait_for_running(connection, self.running, &waits.renewed).await?;
                    }
                }
                kept
            }
        };
        if !is_settled {
            self.waited.note(name, &state);
            // Where readers are not, the next process tries to tell them.
            if are_readers_told {
                state.settle(connection, name).await?;
            }
        }
        Ok(from)
    }

    /// The slot, if it reaches back to a place.
    async fn kept(&self, side: &mut Connection, from: Lsn) -> Result<Kept, Error> {
        let end = log_end(side).await?;
        let Some(kept) = self.find_slot(side).await? else {
            return Err(slot::missing(&self.name, from, end));
        };
        slot::check_reach(self.slot(), kept.from, from)?;
        if from > end {
            return Err(Error::Fatal(format!(
                "the source's log ends at {end}, before {from}, up to which the target has its changes: the source is another server, or was restored from a backup; load the tables again"
            )));
        }
        Ok(kept)
    }

    /// Checks that the log holds everything from `from` on for these tables.
    async fn check(&self, side: &mut Connection, tables: &[Table], from: Lsn) -> Result<(), Error> {
        let name = &self.name;
        self.kept(side, from).await?;
        let Some(publication) = Publication::find(side, name).await? else {
            return Err(Error::Fatal(format!(
                "publication {name} was dropped, so that changes may be missing from {from} on; remove what the task left at the source, and load the tables again"
            )));
        };
        // Others that are not in it are told by `gaps`.
        let missing =
            |table: &&Table| table.id.is_none() && !publication.tables.contains(&table.name);
        for table in tables.iter().filter(missing) {
            tracing::warn!(table = %table.name, "its changes are not published: it was dropped or renamed, or cannot be captured");
        }
        Ok(())
    }
}

/// Those of the tables whose changes the log cannot tell, with the remedy.
pub(crate) async fn refused_tables(
    connection: &mut Connection,
    tables: &[Table],
) -> Result<Vec<TableFault>, Error> {
    let identities = Identities::read(connection, tables).await?;
    let refusals = tables
        .iter()
        .filter_map(|table| identities.refusal(&table.name));
    Ok(refusals.collect())
}

#[async_trait]
impl ChangeLog for PostgresLog {
    fn wait_for_running(&mut self, wait: RunningWait) {
        self.running = wait;
    }

    async fn prepare(&mut self, tables: &[Table]) -> Result<LogStart, Error> {
        let mut connection = self.connection().await?;
        let name = &self.name;
        let found = self.find_slot(&mut connection).await?;
        let kept = found.map(|kept| kept.from);
        requirements::check(&mut connection, kept.is_none()).await?;
        if let Some(kept) = kept
            && self.options.slot.is_none()
            && Publication::find(&mut connection, name).await?.is_none()
        {
            return Err(Error::Fatal(format!(
                "replication slot {name} is there but its publication is not, so that changes since {kept} may be missing; remove what the task left at the source, and load the tables again"
            )));
        }
        let identities = Identities::read(&mut connection, tables).await?;
        let refused = tables
            .iter()
            .filter_map(|table| identities.refusal(&table.name))
            .collect();
        let usable = identities.usable(tables);
        Publication::ensure(&mut connection, name, &usable).await?;
        if self.options.captures_ddl {
            ddl::install(&mut connection, name, &self.options.ddl_schema).await?;
        }
        let position = self.settled(&mut connection, kept, &usable).await?;
        self.connection = Some(connection);
        let place = Place::from(position);
        let (_, log) = self.reader(&place).await?;
        Ok(LogStart {
            position: Place {
                log: Some(log),
                ..place
            }
            .position(),
            refused,
        })
    }

    async fn old_rows_untold(&mut self, tables: &[Table]) -> Result<Vec<TableFault>, Error> {
        let mut connection = self.connection().await?;
        let identities = Identities::read(&mut connection, tables).await?;
        self.connection = Some(connection);
        let untold = tables
            .iter()
            .filter(|table| !identities.tells_old_rows(&table.name));
        let faults = untold.map(|table| TableFault {
            table: table.name.clone(),
            message: format!(
                "the log tells its rows before an update by their key alone, and rules of the table mappings ask for other columns of them; {}",
                old_rows_remedy(table, &identities)
            ),
        });
        Ok(faults.collect())
    }

    async fn locate(&mut self, start: &StartPoint) -> Result<Position, Error> {
        match start {
            StartPoint::Given(given) => {
                let place = Place::of(&Position::new(given.as_str()))?;
                let mut connection = self.connection().await?;
                requirements::check(&mut connection, false).await?;
                self.connection = Some(connection);
                let (_, log) = self.reader(&place).await?;
                if self.options.slot.is_none() {
                    self.check_not_past(place.lsn).await?;
                }
                let log = Some(log);
                Ok(Place { log, ..place }.position())
            }
            StartPoint::Time(_) => Err(Error::Fatal(
                "the log of PostgreSQL cannot be searched for a time; give the LSN to begin at, or begin now".to_owned(),
            )),
        }
    }

    /// Of the log itself the stream tells; see [`witness`].
    async fn reaches_back(&mut self, to: &Position) -> Result<(), Error> {
        self.reader(&Place::of(to)?).await.map(drop)
    }

    async fn gaps(
        &mut self,
        tables: &[(Table, Option<Position>)],
    ) -> Result<Vec<(TableId, String)>, Error> {
        let mut seen = Vec::with_capacity(tables.len());
        for (table, view) in tables {
            seen.push((table, view.as_ref().map(View::of).transpose()?));
        }
        let mut connection = self.connection().await?;
        let (gaps, members) = members::gaps(&mut connection, &self.name, &seen).await?;
        self.connection = Some(connection);
        self.members = members;
        Ok(gaps)
    }

    async fn open(
        &mut self,
        tables: &[Table],
        from: &Position,
    ) -> Result<Box<dyn ChangeStream>, Error> {
        let from = Place::of(from)?;
        // First, since whatever else another server lacks would be told in its place.
        let reader = self.reader(&from).await?;
        let mut side = connect(&self.options).await?;
        self.check(&mut side, tables, from.lsn).await?;
        let identities = Identities::read(&mut side, tables).await?;
        let keys = tables.iter().map(Key::of).collect();
        let tables: Vec<Arc<Table>> = tables
            .iter()
            .map(|table| Arc::new(with_key(table, identities.of(&table.name))))
            .collect();
        let wishes = self.wishes.now();
        self.heeded = Some(wishes);
        let takes_open = self.options.takes_open_transactions;
        let form = Form::new(side.major_version(), &tables, wishes, takes_open);
        let spools = Spools::new(
            self.options.open_memory_max,
            Spill::new(self.options.spool_dir.clone(), self.options.spool_bytes_max),
            &ddl::prefix(&self.name),
        );
        let looks = self.options.captures_ddl && !ddl::is_installed(&mut side, &self.name).await?;
        let Begun {
            from,
            witness,
            feed,
            is_two_phase,
        } = self.start(&mut side, reader, &from, form).await?;
        let spools = if is_two_phase {
            spools
        } else {
            spools.of_one_phase()
        };
        let first = (0..).zip(&tables).map(|(id, table)| LogEvent::Table {
            id: TableId(id),
            table: Arc::clone(table),
        });
        let members = MembersLook::start(&self.options, &self.name, &tables, &self.members);
        let catalog = looks.then(|| CatalogLook::start(&self.options, &tables));
        Ok(Box::new(PostgresStream {
            feed,
            decoder: Decoder::new(
                (from, witness),
                ddl::prefix(&self.name),
                first.collect(),
                spools,
                Arc::clone(&self.wishes.whole),
            ),
            describer: Describer::new(
                Arc::clone(&self.options),
                side,
                tables,
                keys,
                form.is_binary,
                Arc::clone(&self.wishes.text),
            ),
            catalog,
            members,
            unknown: None,
            disk: None,
            _heartbeat: self
                .options
                .heartbeat
                .map(|every| Heartbeat::start(&self.options, every)),
        }))
    }

    fn wants_another_form(&self) -> bool {
        self.heeded
            .is_some_and(|heeded| heeded != self.wishes.now())
    }

    async fn tells_names(&mut self) -> Result<bool, Error> {
        let mut connection = self.connection().await?;
        let are_there = ddl::is_installed(&mut connection, &self.name).await?;
        self.connection = Some(connection);
        Ok(are_there)
    }

    /// Commits an empty message first: then everything that was committed before is in the log on disk, even where commits do not
    /// wait for that, and the stream comes to this place without waiting for somebody else's transaction.
    async fn end(&mut self) -> Result<Position, Error> {
        let mut connection = self.connection().await?;
        match connection
            .query("SELECT pg_logical_emit_message(true, 'whimbrel', '')")
            .await
        {
            // Who may not write messages waits for others to write something.
            Ok(_) | Err(WireError::Server(_)) => {}
            Err(error) => return Err(general(error, "find the end of the source's log")),
        }
        let end = log_end(&mut connection).await?;
        self.connection = Some(connection);
        Ok(Place::from(end).position())
    }

    fn view(&self, snapshot: &Position) -> Result<Box<dyn SnapshotView>, Error> {
        Ok(Box::new(View::of(snapshot)?))
    }

    fn view_to(&self, position: &Position) -> Result<Box<dyn SnapshotView>, Error> {
        Ok(Box::new(UpTo(Lsn::of(position)?)))
    }

    fn view_reaches(&self, snapshot: &Position, position: &Position) -> Result<bool, Error> {
        View::of(snapshot).map(|view| view.reaches(position))
    }

    fn is_past(&self, position: &Position, other: &Position) -> Result<bool, Error> {
        Ok(Lsn::of(position)? > Lsn::of(other)?)
    }

    /// The slot goes first: a publication without a slot harms nobody, a slot without a publication cannot be read.
    async fn remove(&mut self) -> Result<(), Error> {
        let mut connection = self.connection().await?;
        if self.options.slot.is_none() {
            slot::drop_slot(&mut connection, &self.name).await?;
        }
        publication::drop_publication(&mut connection, &self.name).await?;
        ddl::remove(&mut connection, &self.name).await?;
        self.connection = Some(connection);
        Ok(())
    }
}

async fn log_end(connection: &mut Connection) -> Result<Lsn, Error> {
    let rows = connection.query("SELECT pg_current_wal_flush_lsn()").await;
    let rows = rows.map_err(|error| general(error, "find the end of the source's log"))?;
    slot::first_lsn(&rows)
        .ok_or_else(|| Error::Fatal("the source's log has no end that it tells".to_owned()))
}

/// What has the log tell all of a table's rows before an update.
fn old_rows_remedy(table: &Table, identities: &Identities) -> String {
    if identities.takes_full(&table.name) {
        let name = quote::table(&table.name);
        format!("run ALTER TABLE {name} REPLICA IDENTITY FULL at the source")
    } else {
        "leave these rules out: more cannot be told of a table with a DEFERRABLE primary key, or, in PostgreSQL 18 and later, with generated columns".to_owned()
    }
}

/// The table with the key that its changes are told by.
fn with_key(table: &Table, identity: Option<&Identity>) -> Table {
    let mut table = table.clone();
    if let Some(Identity::Key(columns)) = identity {
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        table.primary_key = relation::key_by(&table, &names);
    }
    table
}

/// The name of slot and publication: unique among the tasks and databases of a server, and a word that needs no quotes. Of the 63
/// bytes that the server takes, the task's name gets what is left.
fn name_of(task: &str, database: &str) -> String {
    const READABLE_CHARS: usize = 32;
    let readable: String = task
        .chars()
        .take(READABLE_CHARS)
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '_',
        })
        .collect();
    let mut hash = Sha256::new();
    hash.update(task);
    hash.update([0]);
    hash.update(database);
    let digits = hash
        .finalize()
        .iter()
        .take(8)
        .fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
    format!("whimbrel_{readable}_{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_of_the_server_and_differ_by_task_and_database() {
        let name = name_of("Önly-a test: DROP \"x\"", "shop");
        assert!(name.starts_with("whimbrel__nly_a_test__drop"), "{name}");
        assert!(
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        );
        assert_ne!(name, name_of("Önly-a test: DROP \"x\"", "other"));
        assert_ne!(name_of("a b", "d"), name_of("a_b", "d"));
        assert!(name_of(&"long ".repeat(40), "d").len() <= 63);
        assert_eq!(name_of("t", "d"), name_of("t", "d"));
    }
}
