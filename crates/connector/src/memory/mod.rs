//! A database in memory, in both roles: the contracts in their simplest form, for tests of the engine and of the contracts
//! themselves.
//!
//! Transactions are real: a loader's rows and record become visible at its commit and not before. Faults can be planned for any
//! call ([`Faults`]), before or after its effect, as a lost connection would cause them.

mod apply;
mod define;
mod faults;
mod log;
mod source;
mod target;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use whimbrel_core::{Engine, Table, TableName, Value};

use crate::control_tables::{ControlTable, ControlValue};
use crate::{
    ApplyException, ChangeLog, Checkpoint, ConnectError, ConnectErrorKind, Connector, Error,
    Feeding, KeptLog, KeyNotRestored, LoadRecord, LogWatch, ServerInfo, Source, Stall, StallWatch,
    Target,
};
pub use faults::{Call, Faults, When};
pub use log::MemoryChange;

/// A cell of a table in memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// NULL.
    Null,
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
}

impl Cell {
    /// The cell as a value.
    pub fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Int(number) => Value::Int(*number),
            Self::Text(text) => Value::Text(text),
        }
    }

    /// What it counts for in chunks and blocks.
    fn byte_count(&self) -> usize {
        match self {
            Self::Null => 0,
            Self::Int(_) => 8,
            Self::Text(text) => text.len(),
        }
    }

    fn of(value: &Value<'_>) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(Self::Null),
            Value::Int(number) => Ok(Self::Int(*number)),
            Value::Text(text) => Ok(Self::Text((*text).to_owned())),
            other => Err(Error::Fatal(format!("memory holds no {}", other.kind()))),
        }
    }
}

/// A row of a table in memory.
pub type Row = Vec<Cell>;

/// The least that a row counts for.
const ROW_BYTES_MIN: usize = 16;

fn byte_count(row: &Row) -> usize {
    row.iter()
        .map(Cell::byte_count)
        .sum::<usize>()
        .max(ROW_BYTES_MIN)
}

/// A table and its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryTable {
    /// Its description.
    pub table: Table,
    /// Its rows in no particular order.
    pub rows: Vec<Row>,
    /// Whether it has a key, which then is checked.
    pub has_key: bool,
}

#[derive(Debug, Default)]
struct State {
    tables: BTreeMap<TableName, MemoryTable>,
    epochs: BTreeMap<String, (i64, String)>,
    records: BTreeMap<(String, TableName), LoadRecord>,
    /// Grows with each claim, in place of a clock.
    ticks: i64,
    /// Grows with each change of a table, in place of a log.
    changes: u64,
    /// How often each chunk was committed.
    commits: BTreeMap<(TableName, u32), u32>,
    /// Every transaction since the beginning.
    log: Vec<Vec<log::Logged>>,
    /// Tasks that the log is kept for, and what they have confirmed.
    kept: BTreeMap<String, u64>,
    checkpoints: BTreeMap<String, Checkpoint>,
    exceptions: Vec<ApplyException>,
    defines_in_transaction: bool,
    /// The log tells old rows whole, and not by their keys alone.
    tells_old_rows: bool,
    /// Streams tell blocks of so many events, and so many blocks before they wait.
    pieces: Option<(usize, usize)>,
    /// The form in which streams are told, and the first one in which they come to an end.
    form: u32,
    form_told: u32,
    /// Rows of the tables that users read.
    control: BTreeMap<&'static str, Vec<Vec<ControlValue>>>,
    /// Tables and the tasks that feed them.
    fed: BTreeMap<(TableName, String), Feeding>,
    /// Foreign keys that were put aside and cannot be made again.
    keys_refused: Vec<KeyNotRestored>,
    /// What a look at the log tells.
    kept_log: Option<KeptLog>,
    /// What the database says that it waits for.
    stall: Option<Stall>,
}

/// A database in memory, shared by its connectors.
#[derive(Clone, Debug, Default)]
pub struct MemoryDatabase {
    state: Arc<Mutex<State>>,
    logged: Arc<tokio::sync::Notify>,
}

impl MemoryDatabase {
    /// An empty database.
    pub fn new() -> Self {
        Self::default()
    }

    /// A database in which definitions change within transactions.
    #[must_use]
    pub fn defining_in_transactions(self) -> Self {
        self.lock().defines_in_transaction = true;
        self
    }

    /// A database whose log tells old rows whole, and not by their keys alone.
    #[must_use]
    pub fn telling_old_rows(self) -> Self {
        self.lock().tells_old_rows = true;
        self
    }

    /// A database whose streams break off so many times, to be opened in another form.
    #[must_use]
    pub fn told_in_form(self, number: u32) -> Self {
        self.lock().form_told = number;
        self
    }

    /// Has streams tell blocks of so many events, whether a transaction ends with them or not, and wait behind so many blocks.
    pub fn tell_in_pieces(&self, event_count: usize, block_count: usize) {
        self.lock().pieces = Some((event_count, block_count));
        self.logged.notify_waiters();
    }

    /// Has streams tell a transaction without changes in front of the last one, which nobody was told before.
    pub fn tell_empty_before_last(&self) {
        let mut state = self.lock();
        let place = state.log.len().saturating_sub(1);
        state.log.insert(place, Vec::new());
    }

    /// Whether another piece may be told, which it then is.
    fn may_tell_piece(&self) -> bool {
        let mut state = self.lock();
        let Some((_, left)) = &mut state.pieces else {
            return true;
        };
        let may = *left > 0;
        *left = left.saturating_sub(1);
        may
    }

    fn give_up_form(&self) -> Result<(), Error> {
        let mut state = self.lock();
        if state.form >= state.form_told {
            return Ok(());
        }
        state.form += 1;
        Err(Error::Transient(
            "the stream is to be opened in another form".to_owned(),
        ))
    }

    /// From now on these foreign keys cannot be made again at the end of a load.
    pub fn refuse_keys(&self, refused: Vec<KeyNotRestored>) {
        self.lock().keys_refused = refused;
    }

    /// Loses the log up to its end, as a server does that keeps its log by rules of its own.
    pub fn purge_log(&self) {
        let mut state = self.lock();
        let end = state.log.len() as u64;
        state.kept.values_mut().for_each(|kept| *kept = end);
    }

    /// Has looks at what the database waits for tell this from now on.
    pub fn tell_stall(&self, stall: Option<Stall>) {
        self.lock().stall = stall;
    }

    /// Has looks at the log tell this from now on.
    pub fn tell_kept_log(&self, kept_log: Option<KeptLog>) {
        self.lock().kept_log = kept_log;
    }

    /// The rows of a table that users read.
    pub fn control_rows(&self, table: &ControlTable) -> Vec<Vec<ControlValue>> {
        let state = self.lock();
        state.control.get(table.name).cloned().unwrap_or_default()
    }

    /// Adds a table with its rows, or replaces it.
    pub fn put(&self, table: MemoryTable) {
        let mut state = self.lock();
        state.changes += 1;
        state.tables.insert(table.table.name.clone(), table);
    }

    /// Removes a table.
    pub fn drop_table(&self, name: &TableName) {
        let mut state = self.lock();
        state.changes += 1;
        state.tables.remove(name);
    }

    /// Removes the tables of a schema.
    pub fn drop_schema(&self, schema: &str) {
        let mut state = self.lock();
        state.changes += 1;
        state.tables.retain(|name, _| name.schema != schema);
    }

    /// A table as it is; `None` if there is no such table.
    pub fn get(&self, name: &TableName) -> Option<MemoryTable> {
        self.lock().tables.get(name).cloned()
    }

    /// A table's rows, sorted; `None` if there is no such table.
    pub fn rows(&self, name: &TableName) -> Option<Vec<Row>> {
        let mut rows = self.lock().tables.get(name)?.rows.clone();
        rows.sort();
        Some(rows)
    }

    /// Whether nothing is left of any task's record.
    pub fn has_no_records(&self) -> bool {
        let state = self.lock();
        state.records.is_empty() && state.epochs.is_empty()
    }

    /// What targets have reported as refused, in order.
    pub fn exceptions(&self) -> Vec<ApplyException> {
        self.lock().exceptions.clone()
    }

    /// How often the most often committed chunk was committed.
    pub fn commits_of_one_chunk_max(&self) -> u32 {
        self.lock().commits.values().copied().max().unwrap_or(0)
    }

    /// Takes back what was loaded since the tables were prepared, as a standby does that was behind.
    pub fn put_back(&self) {
        let mut state = self.lock();
        let state = &mut *state;
        state.commits.clear();
        for record in state.records.values_mut() {
            record.is_finished = false;
            for chunk in &mut record.chunks {
                chunk.done = None;
            }
            if let Some(table) = state.tables.get_mut(&record.table) {
                table.rows.clear();
                table.has_key = false;
            }
        }
    }

    /// Takes everything back that a task did here, as if it had never begun.
    pub fn put_back_wholly(&self) {
        let mut state = self.lock();
        let loaded: Vec<TableName> = state
            .records
            .keys()
            .map(|(_, table)| table.clone())
            .collect();
        for table in loaded {
            state.tables.remove(&table);
        }
        state.records.clear();
        state.epochs.clear();
        state.checkpoints.clear();
        state.commits.clear();
        state.fed.clear();
    }

    /// Raises a task's epoch, as another worker that takes it over would.
    pub fn take_over(&self, task: &str) {
        let mut state = self.lock();
        state.ticks += 1_000_000;
        let epoch = state.ticks;
        state
            .epochs
            .insert(task.to_owned(), (epoch, epoch.to_string()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A database in memory as an endpoint.
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    database: MemoryDatabase,
    faults: Faults,
}

impl MemoryConnector {
    /// An endpoint whose calls fail as planned.
    pub fn new(database: MemoryDatabase, faults: Faults) -> Self {
        Self { database, faults }
    }
}

/// Tells of a standstill what a test says.
struct MemoryStall(MemoryDatabase);

#[async_trait]
impl StallWatch for MemoryStall {
    async fn look(&mut self) -> Result<Option<Stall>, Error> {
        Ok(self.0.lock().stall.clone())
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    /// Memory has no engine of its own; it stands in for PostgreSQL.
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }

    async fn check(&self) -> Result<ServerInfo, ConnectError> {
        let info = ServerInfo {
            engine: Engine::Postgres,
            version: "memory".to_owned(),
            tls: None,
            identity: Some(format!("{:p}", Arc::as_ptr(&self.database.state))),
        };
        let checked = self.faults.around(Call::Check, || Ok(info));
        checked.map_err(|error| ConnectError {
            kind: ConnectErrorKind::TimedOut,
            message: error.to_string(),
            remedy: "try again".to_owned(),
        })
    }

    async fn schemas(&self) -> Result<Vec<String>, Error> {
        let mut schemas: Vec<String> = self
            .database
            .lock()
            .tables
            .keys()
            .map(|name| name.schema.clone())
            .collect();
        schemas.dedup();
        Ok(schemas)
    }

    async fn source(&self) -> Result<Box<dyn Source>, Error> {
        self.faults.hang(Call::Connect).await;
        self.faults.around(Call::Connect, || {
            Ok(Box::new(source::MemorySource::new(
                self.database.clone(),
                self.faults.clone(),
            )) as Box<dyn Source>)
        })
    }

    async fn target(&self) -> Result<Box<dyn Target>, Error> {
        self.faults.hang(Call::Connect).await;
        self.faults.around(Call::Connect, || {
            Ok(Box::new(target::MemoryTarget::new(
                self.database.clone(),
                self.faults.clone(),
            )) as Box<dyn Target>)
        })
    }

    async fn change_log(&self, task: &str) -> Result<Box<dyn ChangeLog>, Error> {
        self.faults.hang(Call::Connect).await;
        self.faults.around(Call::Connect, || {
            Ok(Box::new(log::MemoryLog {
                database: self.database.clone(),
                faults: self.faults.clone(),
                task: task.to_owned(),
                form: None,
            }) as Box<dyn ChangeLog>)
        })
    }

    fn stall_watch(&self) -> Option<Box<dyn StallWatch>> {
        Some(Box::new(MemoryStall(self.database.clone())))
    }

    fn log_watch(&self, _task: &str) -> Option<Box<dyn LogWatch>> {
        Some(Box::new(log::MemoryWatch {
            database: self.database.clone(),
            faults: self.faults.clone(),
        }))
    }
}
