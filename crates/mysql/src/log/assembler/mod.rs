//! From events to committed transactions.
//!
//! ```text
//!            GTID                 BEGIN, or a flag of the id           XID, COMMIT
//!  between ───────► headed ─────────────────────────────────► open ─────────────────► between
//!     ▲                │ a statement that stands alone          │ ROLLBACK, prepare of XA
//!     └────────────────┴────────────────────────────────────────┴──────────────► between, taken back
//! ```
//!
//! The servers write a transaction to their log when it commits, so what is in the log is committed, with three exceptions:
//! a group that ends in ROLLBACK, parts that a later `ROLLBACK TO` undoes, and groups that an XA transaction has only
//! prepared. The rows of these are taken back out of the block while they are still in it. When some have been handed over
//! already, the stream ends in a transient error, and what was found out is kept for the next one ([`Voids`]), which passes
//! over those rows. So nothing rolled back is ever part of a transaction that was handed over whole, and no transaction needs
//! to be held until its end is seen.
//!
//! The rows of a prepared transaction are read again from the log when its `XA COMMIT` comes; see `prepared`.

mod columns;
mod maps;
mod rows;
#[cfg(test)]
mod tests;
mod words;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use whimbrel_connector::{ChangeBlock, Error, LogEvent, TableId, TransactionMark};
use whimbrel_core::{Engine, Table, TableName};

use super::block::Builder;
use super::charset::Charsets;
use super::defaults::Defaults;
use super::event::{Header, RowsForm, kind};
use super::feed::{Event, bad};
use super::gtid::{Gtid, GtidReader};
use super::head::Head;
use super::place::{FileId, LogFile, Place, widen};
use super::statement::ColumnWord;
use crate::wire::{Malformed, Reader};

use self::maps::Maps;
pub(super) use self::words::{statement_of, xa_id};

/// The number in an event that only ends a statement.
const NO_TABLE: u64 = 0x00FF_FFFF;

/// Rows of transactions that are no part of them: ranges of the events that hold rows. Kept for as long as the connector lives,
/// because a task opens the log anew after an error.
pub(crate) type Voids = Arc<Mutex<HashMap<VoidKey, Vec<Range<u64>>>>>;

/// A transaction: its mark, its time, and the checksum of the event at its head, so that the log of another life of the server
/// is never taken for this one.
pub(crate) type VoidKey = (u64, u64, u32, u32);

/// What the stream must do before the assembler can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The next event.
    Nothing,
    /// The table's description, by [`Assembler::describe`]; then the same event again.
    Description(TableName),
    /// The table's defaults, by [`Assembler::put_defaults`]; then the same event again.
    Defaults(TableName),
    /// The rows of this prepared transaction, between [`Assembler::event`] calls, then [`Assembler::end_prepared`].
    Prepared(String),
}

/// A captured table.
#[derive(Debug)]
struct Captured {
    name: TableName,
    table: Arc<Table>,
    /// Asked for when a new row lacks cells.
    defaults: Option<Arc<Defaults>>,
    /// What a statement made of its columns, until it is described.
    words: Vec<ColumnWord>,
    /// Its shape was told since it was described.
    is_told: bool,
    /// It was dropped or renamed.
    is_gone: bool,
}

/// Where the `Begin` of a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    No,
    /// In the block being filled.
    At(usize),
    HandedOver,
}

struct Transaction {
    mark: TransactionMark,
    gtid: Option<Gtid>,
    begun: Begun,
    /// It ends by an event of its own, not after one statement.
    is_open: bool,
    /// Of XA: when it ends it is only prepared.
    is_prepared: bool,
    /// Its statement has altered nothing.
    is_announced: bool,
    committed_at_us: u64,
    /// How many events with rows there were.
    row_events: u64,
    key: VoidKey,
    voids: Vec<Range<u64>>,
    /// Name, index of the next event if it is in the block, and count of events with rows.
    savepoints: Vec<(String, Option<usize>, u64)>,
}

/// What the assembler begins with.
pub(super) struct Start {
    pub(super) engine: Engine,
    pub(super) charsets: Charsets,
    pub(super) tables: Vec<Table>,
    /// Names are the same whatever their case.
    pub(super) folds_case: bool,
    /// Where the events begin that come: the place to go on from, or before it.
    pub(super) place: Place,
    /// The place to go on from.
    pub(super) skips_to: u64,
    /// Tables that were altered without the log's knowledge.
    pub(super) unlogged: Vec<TableName>,
    pub(super) voids: Voids,
}

/// Makes transactions of events.
pub(super) struct Assembler {
    engine: Engine,
    pub(super) charsets: Charsets,
    folds_case: bool,
    captured: Vec<Captured>,
    by_name: HashMap<TableName, usize>,
    schemas: HashSet<String>,
    maps: Maps,
    place: Place,
    /// Events before it are passed over, of a log that could not be read from the place itself.
    skips_to: u64,
    /// The log went on in a file whose beginning has not come yet.
    is_new_file: bool,
    reader: GtidReader,
    has_read_gtid: bool,
    transaction: Option<Transaction>,
    builder: Builder,
    /// A place past the last commit up to which nothing of interest came, and when what came was committed; no time at the log's end.
    idle: Option<(Place, Option<i64>)>,
    /// The time of the last event that tells one, in seconds since 1970.
    seconds: u32,
    to_describe: Vec<TableName>,
    /// When the statement that needed descriptions ends its transaction: the time in its header.
    ends_at: Option<u32>,
    voids: Voids,
    /// Where prepared transactions begin.
    pub(super) prepared: HashMap<String, (LogFile, u64)>,
    /// The time in the header of an XA COMMIT whose rows are being read.
    replays: Option<u32>,
}

fn malformed(_: Malformed) -> Error {
    bad("an event that ends too early")
}

impl Assembler {
    pub(super) fn new(start: Start) -> Self {
        let fold = |name: &TableName| fold(name, start.folds_case);
        let by_name = start
            .tables
            .iter()
            .enumerate()
            .map(|(index, table)| (fold(&table.name), index))
            .collect();
        let schemas = start
            .tables
            .iter()
            .map(|table| fold(&table.name).schema)
            .collect();
        let captured = start.tables.into_iter().map(|table| Captured {
            name: table.name.clone(),
            table: Arc::new(columns::numbered(table)),
            defaults: None,
            words: Vec::new(),
            is_told: false,
            is_gone: false,
        });
        let mut made = Self {
            engine: start.engine,
            charsets: start.charsets,
            folds_case: start.folds_case,
            captured: captured.collect(),
            by_name,
            schemas,
            maps: Maps::default(),
            skips_to: start.skips_to,
            is_new_file: false,
            place: start.place,
            reader: GtidReader::default(),
            has_read_gtid: false,
            transaction: None,
            builder: Builder::default(),
            idle: None,
            seconds: 0,
            to_describe: Vec::new(),
            ends_at: None,
            voids: start.voids,
            prepared: HashMap::new(),
            replays: None,
        };
        // Before anything else, so that the numbers of all columns are known from the beginning.
        for index in 0..made.captured.len() {
            made.tell(index);
        }
        for index in start
            .unlogged
            .iter()
            .filter_map(|name| made.find(name))
            .collect::<Vec<_>>()
        {
            made.builder.events.push(LogEvent::Rewritten {
                table: number(index),
                why: "its columns are not those whose changes were applied last, and the binary log does not tell since when (it was altered with sql_log_bin switched off)".to_owned(),
            });
        }
        made
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// What has come so far.
    pub(super) fn take_block(&mut self) -> Option<ChangeBlock> {
        let begun = self
            .transaction
            .as_ref()
            .map(|transaction| transaction.begun);
        if let Some((place, committed_at_us)) = self.idle.take()
            && matches!(begun, None | Some(Begun::No))
        {
            let place = Arc::new(place);
            self.builder.events.push(LogEvent::Idle {
                place,
                committed_at_us,
            });
        }
        let block = self.builder.finish()?;
        if let Some(transaction) = &mut self.transaction {
            if matches!(transaction.begun, Begun::At(_)) {
                transaction.begun = Begun::HandedOver;
            }
            for savepoint in &mut transaction.savepoints {
                savepoint.1 = None;
            }
        }
        Some(block)
    }

    /// What must be described before the next event is looked at, or a statement's end that waited for it.
    pub(super) fn pending(&mut self) -> Need {
        if let Some(name) = self.to_describe.last() {
            return Need::Description(name.clone());
        }
        if let Some(seconds) = self.ends_at.take() {
            self.commit(seconds);
        }
        Need::Nothing
    }

    /// Takes an event. When it asks for something, the same event must come again afterwards, except for `Prepared`.
    pub(super) fn event(&mut self, event: &Event) -> Result<Need, Error> {
        let start = self.advance(event);
        let is_everywhere = matches!(event.header.kind, kind::ROTATE | kind::FORMAT_DESCRIPTION);
        if start < self.skips_to && self.replays.is_none() && !is_everywhere {
            return Ok(Need::Nothing);
        }
        let body = event.body();
        match event.header.kind {
            kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIA_GTID => {
                self.head(event, start)?;
            }
            kind::QUERY | kind::MARIA_QUERY_COMPRESSED => return self.query(event),
            kind::XID => self.commit(event.header.seconds),
            kind::XA_PREPARE => self.prepare(body, event.header.seconds)?,
            kind::TABLE_MAP => return self.table_map(body),
            kind::ROTATE => self.rotate(body)?,
            kind::HEARTBEAT | kind::HEARTBEAT_V2 => self.rest(None),
            kind::FORMAT_DESCRIPTION => self.describe_file(&event.header)?,
            // What they say is said elsewhere too, or matters to replicas alone.
            kind::STOP
            | kind::INTVAR
            | kind::RAND
            | kind::USER_VAR
            | kind::IGNORABLE
            | kind::ROWS_QUERY
            | kind::PREVIOUS_GTIDS
            | kind::TRANSACTION_CONTEXT
            | kind::VIEW_CHANGE
            | kind::TRANSACTION_PAYLOAD
            | kind::MARIA_ANNOTATE
            | kind::MARIA_CHECKPOINT
            | kind::MARIA_GTID_LIST
            | kind::MARIA_START_ENCRYPTION => {}
            kind::INCIDENT => {
                return Err(bad(
                    "the source's note that it has lost changes (an incident): load the tables again",
                ));
            }
            kind::BEGIN_LOAD_QUERY
            | kind::EXECUTE_LOAD_QUERY
            | kind::APPEND_BLOCK
            | kind::DELETE_FILE => {
                return Err(statement_error("LOAD DATA"));
            }
            other => match RowsForm::of(other) {
                Some(form) => return self.rows(form, event),
                None if event.header.is_ignorable() => {}
                None => return Err(bad(&format!("an event of an unknown kind ({other})"))),
            },
        }
        Ok(Need::Nothing)
    }

    /// Moves the place behind an event, and answers where the event begins.
    fn advance(&mut self, event: &Event) -> u64 {
        let header = &event.header;
        if header.seconds != 0 {
            self.seconds = header.seconds;
        }
        let is_in_file = header.next_offset != 0
            && !event.is_inner
            && !header.is_artificial()
            && self.replays.is_none()
            && !matches!(
                header.kind,
                kind::HEARTBEAT | kind::HEARTBEAT_V2 | kind::ROTATE
            );
        if is_in_file {
            self.place.offset = widen(self.place.offset, header.next_offset);
            return self.place.offset.saturating_sub(header.bytes.into());
        }
        self.place.offset
    }

    /// The event at the head of a transaction.
    fn head(&mut self, event: &Event, start: u64) -> Result<(), Error> {
        if self.replays.is_some() {
            return Ok(());
        }
        self.abandon()?;
        let head = Head::read(&mut self.reader, event).map_err(malformed)?;
        if !std::mem::replace(&mut self.has_read_gtid, true)
            && let (Some(gtid), Some(known)) = (&head.gtid, self.place.gtids.set())
            && known.is_passed(gtid)
        {
            return Err(Error::Fatal(format!(
                "cannot go on from {}:{start}: the transaction there is one of those that the position already holds, so the log is not the one the position was taken from; load the tables again",
                self.place.file.name
            )));
        }
        let mark = TransactionMark(self.place.file.number, start);
        let checksum = crc32fast::hash(event.body());
        let key = (mark.0, mark.1, event.header.seconds, checksum);
        let voids = self.voids.lock().unwrap_or_else(PoisonError::into_inner);
        self.transaction = Some(Transaction {
            mark,
            gtid: head.gtid,
            begun: Begun::No,
            is_open: head.is_open,
            is_prepared: head.is_prepared,
            is_announced: head.is_announced,
            committed_at_us: head.committed_at_us,
            row_events: 0,
            key,
            voids: voids.get(&key).cloned().unwrap_or_default(),
            savepoints: Vec::new(),
        });
        Ok(())
    }

    /// A transaction without an end: the server crashed while it wrote it, and has rolled it back.
    fn abandon(&mut self) -> Result<(), Error> {
        if self.transaction.is_some() && self.replays.is_none() {
            self.void(0)?;
            self.transaction = None;
        }
        Ok(())
    }

    fn rotate(&mut self, body: &[u8]) -> Result<(), Error> {
        if self.replays.is_some() {
            return Ok(());
        }
        let mut reader = Reader::new(body);
        let offset = reader.u64().map_err(malformed)?;
        let name = String::from_utf8_lossy(reader.rest()).into_owned();
        if *name == *self.place.file.name {
            // Told at the beginning, where a log is read from.
            return Ok(());
        }
        self.abandon()?;
        self.place.file = LogFile::new(&name)
            .ok_or_else(|| bad("the name of a next file that does not end in a number"))?;
        self.place.offset = offset;
        self.place.begun = None;
        self.is_new_file = true;
        self.skips_to = 0;
        self.maps.clear();
        Ok(())
    }

    /// The event at the head of a file, which comes wherever in the file reading begins.
    fn describe_file(&mut self, header: &Header) -> Result<(), Error> {
        if !header.is_artificial() && header.next_offset != 0 {
            self.abandon()?;
        }
        self.maps.clear();
        if self.replays.is_some() {
            return Ok(());
        }
        let begun = FileId::of(header);
        let known = *self.place.begun.get_or_insert(begun);
        known.check(&format!("{:?}", self.place), begun)?;
        if std::mem::take(&mut self.is_new_file) {
            // Not before, so that no place is told that does not tell its file.
            self.rest(Some(committed_at_us(0, self.seconds)));
        }
        Ok(())
    }

    /// Notes a place between transactions, and when what came before it was committed.
    fn rest(&mut self, committed_at_us: Option<i64>) {
        if self.transaction.is_none() && !self.is_new_file {
            self.idle = Some((self.place.clone(), committed_at_us));
        }
    }

    /// Begins to hand over the transaction at hand.
    fn begin(&mut self) -> Result<(), Error> {
        let transaction = self.transaction.as_mut();
        let transaction = transaction.ok_or_else(|| bad("rows outside of a transaction"))?;
        if transaction.begun == Begun::No {
            transaction.begun = Begun::At(self.builder.events.len());
            let (mark, head_s) = (transaction.mark, transaction.key.2);
            let committed_at_us = committed_at_us(transaction.committed_at_us, head_s);
            self.builder.events.push(LogEvent::Begin {
                mark,
                committed_at_us: Some(committed_at_us),
            });
        }
        Ok(())
    }

    fn commit(&mut self, seconds: u32) {
        let Some(transaction) = self.transaction.take() else {
            return;
        };
        if let Some(gtid) = transaction.gtid {
            self.place.gtids.add(gtid);
        }
        let committed_at_us = committed_at_us(transaction.committed_at_us, seconds);
        if transaction.begun == Begun::No {
            self.rest(Some(committed_at_us));
            return;
        }
        self.idle = None;
        self.builder.events.push(LogEvent::Commit {
            place: Arc::new(self.place.clone()),
            committed_at_us,
        });
    }

    /// Ends a transaction whose rows do not count.
    fn roll_back(&mut self) -> Result<(), Error> {
        self.void(0)?;
        let gtid = self
            .transaction
            .take()
            .and_then(|transaction| transaction.gtid);
        if let Some(gtid) = gtid {
            self.place.gtids.add(gtid);
        }
        self.rest(Some(committed_at_us(0, self.seconds)));
        Ok(())
    }

    /// Takes the rows of the transaction at hand back, from so many events with rows on.
    fn void(&mut self, from: u64) -> Result<(), Error> {
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        let is_it = |savepoint: &&(String, Option<usize>, u64)| savepoint.2 == from;
        let savepoint = transaction
            .savepoints
            .iter()
            .find(is_it)
            .and_then(|it| it.1);
        let index = match transaction.begun {
            Begun::No => return Ok(()),
            Begun::At(begin) if from == 0 => Some(begin),
            // Without an index the savepoint is older than the block, and so older than every row in it.
            Begun::At(begin) => Some(savepoint.map_or(begin, |at| at.max(begin))),
            Begun::HandedOver => savepoint.filter(|_| from > 0),
        };
        if let Some(index) = index {
            self.builder.take_back(index);
            if transaction.begun == Begun::At(index) {
                transaction.begun = Begun::No;
            }
            return Ok(());
        }
        let mark = transaction.mark;
        let range = from..transaction.row_events;
        let mut voids = self.voids.lock().unwrap_or_else(PoisonError::into_inner);
        voids.entry(transaction.key).or_default().push(range);
        Err(Error::Transient(format!(
            "the transaction at {}:{} was rolled back in part or whole, which the log tells only behind its rows; it is read again without them",
            self.place.file.name, mark.1
        )))
    }

    fn find(&self, name: &TableName) -> Option<usize> {
        self.by_name.get(&fold(name, self.folds_case)).copied()
    }

    /// Tells the shape of a table, if it has changed since it was told.
    fn tell(&mut self, index: usize) {
        let captured = &mut self.captured[index];
        if !std::mem::replace(&mut captured.is_told, true) {
            self.builder.events.push(LogEvent::Table {
                id: number(index),
                table: Arc::clone(&captured.table),
            });
        }
    }

    /// The table as it was last described.
    pub(super) fn table(&self, name: &TableName) -> Option<Arc<Table>> {
        Some(Arc::clone(&self.captured[self.find(name)?].table))
    }

    /// Takes the defaults of a table.
    pub(super) fn put_defaults(&mut self, name: &TableName, defaults: Defaults) {
        if let Some(index) = self.find(name) {
            self.captured[index].defaults = Some(Arc::new(defaults));
        }
    }

    /// Takes what the catalog says of a table that a statement altered; `None` when that is no answer for this place of the log.
    pub(super) fn describe(&mut self, name: &TableName, table: Option<Table>) {
        self.to_describe.retain(|other| other != name);
        let Some(index) = self.find(name) else { return };
        let id = number(index);
        let captured = &mut self.captured[index];
        let words = std::mem::take(&mut captured.words);
        let Some(table) = table else {
            self.builder.events.push(LogEvent::Rewritten {
                table: id,
                why: "it was altered again before its earlier definition was read".to_owned(),
            });
            return;
        };
        let table = columns::carried(&captured.table, table, &words);
        if !columns::are_explained(&captured.table, &table, &words) {
            self.builder.events.push(LogEvent::Rewritten {
                table: id,
                why: "columns of it came and others went, and the words of the statement do not tell whether they are the same under other names".to_owned(),
            });
        }
        captured.defaults = None;
        if *captured.table != table {
            captured.table = Arc::new(table);
            captured.is_told = false;
        }
        self.maps.forget(id);
        self.tell(index);
    }
}

/// In microseconds since 1970, of which some servers tell the seconds alone.
fn committed_at_us(told_us: u64, header_s: u32) -> i64 {
    match told_us {
        0 => i64::from(header_s) * 1_000_000,
        told => told.cast_signed(),
    }
}

fn number(index: usize) -> TableId {
    TableId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn fold(name: &TableName, folds_case: bool) -> TableName {
    if folds_case {
        TableName::new(name.schema.to_lowercase(), name.name.to_lowercase())
    } else {
        name.clone()
    }
}
fn statement_error(what: &str) -> Error {
    Error::Fatal(format!(
        "cannot read the source's binary log: it holds {what} as a statement instead of rows; set binlog_format = ROW globally and in every session that writes, and load the tables again"
    ))
}
