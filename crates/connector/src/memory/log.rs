//! The log of a database in memory: transactions in order, numbered from 1.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_core::{Column, Position, Table, TableName, Value, clock};

use super::{Call, Cell, Faults, MemoryDatabase, MemoryTable, Row, State};
use crate::{
    ChangeBlock, ChangeLog, ChangeRows, ChangeStream, Error, KeptLog, LogEvent, LogPlace, LogStart,
    LogWatch, RowAt, RowVisitor, SnapshotView, StartPoint, TableFault, TableId, TransactionMark,
};

/// One change of a transaction in memory. Rows are found by the table's key, or by all their cells when it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryChange {
    /// A row comes.
    Insert(TableName, Row),
    /// A row becomes another one. The log leaves out the cells of the given columns.
    Update {
        /// The table.
        table: TableName,
        /// The row as it was.
        before: Row,
        /// The row as it is.
        after: Row,
        /// Columns whose cells the log does not tell; they must be the same before and after.
        not_sent: Vec<usize>,
    },
    /// A row goes.
    Delete(TableName, Row),
    /// All rows go.
    Truncate(TableName),
    /// The table gets another definition, perhaps another name. Cells stay with the `id` of their column; those of a new column are
    /// its default as a text, or NULL.
    Alter(TableName, Box<Table>),
    /// The table comes to be, empty.
    Create(Box<Table>),
    /// The table goes.
    Drop(TableName),
}

/// A change, and what its table was before it.
pub(super) type Logged = (Option<Table>, MemoryChange);

impl MemoryChange {
    fn table(&self) -> &TableName {
        match self {
            Self::Insert(table, _)
            | Self::Update { table, .. }
            | Self::Delete(table, _)
            | Self::Truncate(table)
            | Self::Alter(table, _)
            | Self::Drop(table) => table,
            Self::Create(table) => &table.name,
        }
    }

    /// Makes the change to the tables of the database.
    fn make(&self, tables: &mut BTreeMap<TableName, MemoryTable>) {
        match self {
            Self::Drop(name) => {
                tables.remove(name);
            }
            Self::Create(table) => {
                let made = MemoryTable {
                    has_key: !table.primary_key.is_empty(),
                    table: (**table).clone(),
                    rows: Vec::new(),
                };
                tables.insert(table.name.clone(), made);
            }
            Self::Alter(name, to) => {
                if let Some(from) = tables.remove(name) {
                    tables.insert(to.name.clone(), altered(&from, to));
                }
            }
            rows => {
                if let Some(table) = tables.get_mut(rows.table()) {
                    rows.apply(table);
                }
            }
        }
    }

    fn apply(&self, table: &mut MemoryTable) {
        let mut remove = |row: &Row| {
            if let Some(place) = table.rows.iter().position(|known| known == row) {
                table.rows.swap_remove(place);
            }
        };
        match self {
            Self::Insert(_, row) => table.rows.push(row.clone()),
            Self::Update { before, after, .. } => {
                remove(before);
                table.rows.push(after.clone());
            }
            Self::Delete(_, row) => remove(row),
            Self::Truncate(_) => table.rows.clear(),
            Self::Alter(..) | Self::Create(_) | Self::Drop(_) => {}
        }
    }
}

fn altered(from: &MemoryTable, to: &Table) -> MemoryTable {
    let cell = |row: &Row, column: &Column| {
        let is_it = |old: &Column| match (old.id, column.id) {
            (Some(old), Some(new)) => old == new,
            _ => old.name == column.name,
        };
        let place = from.table.columns.iter().position(is_it);
        let filled = column.default.clone().map_or(Cell::Null, Cell::Text);
        place.map_or(filled, |place| row[place].clone())
    };
    let rows = from.rows.iter().map(|row| {
        let cells = to.columns.iter().map(|column| cell(row, column));
        cells.collect()
    });
    MemoryTable {
        rows: rows.collect(),
        has_key: from.has_key,
        table: to.clone(),
    }
}

impl MemoryDatabase {
    /// Commits a transaction: its changes are made, and go into the log.
    pub fn transact(&self, changes: Vec<MemoryChange>) {
        let mut state = self.lock();
        let mut logged = Vec::with_capacity(changes.len());
        for change in changes {
            let table = state.tables.get(change.table());
            let table = table.map(|table| table.table.clone());
            change.make(&mut state.tables);
            logged.push((table, change));
        }
        state.log.push(logged);
        drop(state);
        self.logged.notify_waiters();
    }

    /// How many transactions the log has.
    pub fn log_end(&self) -> u64 {
        self.lock().log.len() as u64
    }

    /// The position up to which a task has confirmed the log; `None` when the log is not kept for it.
    pub fn confirmed(&self, task: &str) -> Option<u64> {
        self.lock().kept.get(task).copied()
    }
}

pub(super) fn position(state: &State) -> Position {
    let rows: usize = state.tables.values().map(|table| table.rows.len()).sum();
    Position::new(format!("memory:{}:{rows}", state.log.len()))
}

/// The number of the last transaction before a position.
fn number(position: &Position) -> Result<u64, Error> {
    let number = position.as_str().split(':').nth(1);
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| Error::Fatal(format!("{position} is no position of memory")))
}

#[derive(Debug)]
struct Place(u64);

impl LogPlace for Place {
    fn position(&self) -> Position {
        Position::new(format!("memory:{}", self.0))
    }
}

#[derive(Debug)]
struct View(u64);

impl SnapshotView for View {
    fn holds(&self, transaction: TransactionMark) -> bool {
        transaction.0 <= self.0
    }
}

pub(super) struct MemoryLog {
    pub(super) database: MemoryDatabase,
    pub(super) faults: Faults,
    pub(super) task: String,
    /// The form of the stream that was opened last.
    pub(super) form: Option<u32>,
}

#[async_trait]
impl ChangeLog for MemoryLog {
    async fn old_rows_untold(&mut self, _: &[Table]) -> Result<Vec<TableFault>, Error> {
        Ok(Vec::new())
    }

    async fn prepare(&mut self, _tables: &[Table]) -> Result<LogStart, Error> {
        self.faults.hang(Call::LogPrepare).await;
        let start = self.faults.around(Call::LogPrepare, || {
            let mut state = self.database.lock();
            let end = state.log.len() as u64;
            let kept = *state.kept.entry(self.task.clone()).or_insert(end);
            Ok(LogStart {
                position: Place(kept).position(),
                refused: Vec::new(),
            })
        });
        // Others commit before the caller opens its snapshot.
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
        start
    }

    async fn locate(&mut self, start: &StartPoint) -> Result<Position, Error> {
        match start {
            StartPoint::Given(given) => {
                let position = Position::new(given.as_str());
                number(&position).map(|_| position)
            }
            StartPoint::Time(_) => Err(Error::Fatal("this log keeps no times".to_owned())),
        }
    }

    async fn reaches_back(&mut self, to: &Position) -> Result<(), Error> {
        let to = number(to)?;
        let kept = self.database.confirmed(&self.task);
        if kept.is_none_or(|kept| kept > to) {
            return Err(Error::Fatal(format!(
                "the log is kept from {kept:?}, but {to} is wanted: changes are lost"
            )));
        }
        Ok(())
    }

    async fn open(
        &mut self,
        tables: &[Table],
        from: &Position,
    ) -> Result<Box<dyn ChangeStream>, Error> {
        self.reaches_back(from).await?;
        self.form = Some(self.database.lock().form);
        self.faults.hang(Call::LogOpen).await;
        self.faults.around(Call::LogOpen, || {
            let from = number(from)?;
            Ok(Box::new(MemoryStream {
                database: self.database.clone(),
                faults: self.faults.clone(),
                task: self.task.clone(),
                tables: tables.iter().cloned().map(Some).collect(),
                described: false,
                next: from,
                pieces: VecDeque::new(),
            }) as Box<dyn ChangeStream>)
        })
    }

    async fn end(&mut self) -> Result<Position, Error> {
        Ok(Place(self.database.lock().log.len() as u64).position())
    }

    fn view(&self, snapshot: &Position) -> Result<Box<dyn SnapshotView>, Error> {
        Ok(Box::new(View(number(snapshot)?)))
    }

    fn view_to(&self, position: &Position) -> Result<Box<dyn SnapshotView>, Error> {
        self.view(position)
    }

    fn wants_another_form(&self) -> bool {
        let form = self.database.lock().form;
        self.form.is_some_and(|opened| opened != form)
    }

    fn is_past(&self, position: &Position, other: &Position) -> Result<bool, Error> {
        Ok(number(position)? > number(other)?)
    }

    async fn remove(&mut self) -> Result<(), Error> {
        self.faults.around(Call::LogRemove, || {
            self.database.lock().kept.remove(&self.task);
            Ok(())
        })
    }
}

struct MemoryStream {
    database: MemoryDatabase,
    faults: Faults,
    task: String,
    /// As they are at `next`; `None`: gone.
    tables: Vec<Option<Table>>,
    described: bool,
    /// Transactions already handed over.
    next: u64,
    /// Of a block that was cut.
    pieces: VecDeque<ChangeBlock>,
}

impl MemoryStream {
    /// The next piece of a block that was cut, once it may be told.
    async fn piece(&mut self) -> Option<ChangeBlock> {
        while !self.pieces.is_empty() {
            let logged = self.database.logged.notified();
            if self.database.may_tell_piece() {
                return self.pieces.pop_front();
            }
            logged.await;
        }
        None
    }

    /// Cuts a block where that is wanted.
    fn cut(&mut self, events: &[LogEvent], rows: Vec<Vec<Option<Cell>>>) {
        let rows = Arc::new(Rows(rows));
        let event_count = self
            .database
            .lock()
            .pieces
            .map_or(usize::MAX, |(count, _)| count);
        let pieces = events.chunks(event_count).map(|events| ChangeBlock {
            events: events.to_vec(),
            rows: Arc::clone(&rows) as Arc<dyn ChangeRows>,
        });
        self.pieces.extend(pieces);
    }
}

#[async_trait]
impl ChangeStream for MemoryStream {
    /// Up to three transactions to a block, as many as there are.
    async fn next(&mut self) -> Result<ChangeBlock, Error> {
        if let Some(piece) = self.piece().await {
            return Ok(piece);
        }
        let mut block = Block {
            tells_old_rows: self.database.lock().tells_old_rows,
            ..Block::default()
        };
        if !self.described {
            for (id, table) in (0..).zip(self.tables.iter().flatten()) {
                block.events.push(LogEvent::Table {
                    id: TableId(id),
                    table: Arc::new(table.clone()),
                });
            }
            self.described = true;
            if self.next < self.database.lock().log.len() as u64 {
                // As servers say that they are there.
                block.events.push(LogEvent::Idle {
                    place: Arc::new(Place(self.next)),
                    committed_at_us: None,
                });
            }
        }
        loop {
            let logged = self.database.logged.notified();
            let transaction = {
                let state = self.database.lock();
                let place = usize::try_from(self.next).unwrap_or(usize::MAX);
                state.log.get(place).cloned()
            };
            match transaction {
                Some(changes) => {
                    self.database.give_up_form()?;
                    if block.rows.is_empty() {
                        self.faults.around(Call::StreamNext, || Ok(()))?;
                    }
                    self.next += 1;
                    block.transaction(&mut self.tables, &changes, self.next);
                    if self.next.is_multiple_of(3) {
                        break;
                    }
                }
                None if !block.events.is_empty() => break,
                None => logged.await,
            }
        }
        if self.next == self.database.lock().log.len() as u64 {
            block.events.push(LogEvent::Idle {
                place: Arc::new(Place(self.next)),
                committed_at_us: None,
            });
        }
        self.cut(&block.events, block.rows);
        match self.piece().await {
            Some(piece) => Ok(piece),
            None => self.next().await,
        }
    }

    fn confirm(&mut self, position: &Position) {
        if let Ok(number) = number(position) {
            let mut state = self.database.lock();
            if let Some(kept) = state.kept.get_mut(&self.task) {
                *kept = number.max(*kept);
            }
        }
    }

    fn has_reached(&self, place: &dyn LogPlace, position: &Position) -> bool {
        match (number(&place.position()), number(position)) {
            (Ok(place), Ok(position)) => place >= position,
            _ => false,
        }
    }
}

/// Cells of row versions; `None` is not sent.
#[derive(Debug)]
struct Rows(Vec<Vec<Option<Cell>>>);

impl ChangeRows for Rows {
    fn byte_count(&self) -> usize {
        self.0.len() * 16
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let cells = &self.0[row.offset as usize];
        let values: Vec<Value<'_>> = cells
            .iter()
            .map(|cell| cell.as_ref().map_or(Value::NotSent, Cell::value))
            .collect();
        visit(&values)
    }
}

/// What is told of a table that the stream was not asked for.
fn created(change: &MemoryChange) -> Option<LogEvent> {
    let name = match change {
        MemoryChange::Create(table) => &table.name,
        MemoryChange::Alter(_, to) => &to.name,
        _ => return None,
    };
    Some(LogEvent::Created {
        table: name.clone(),
    })
}

#[derive(Default)]
struct Block {
    events: Vec<LogEvent>,
    rows: Vec<Vec<Option<Cell>>>,
    tells_old_rows: bool,
}

impl Block {
    fn transaction(&mut self, tables: &mut [Option<Table>], changes: &[Logged], number: u64) {
        let committed_at_us = clock::now_us();
        self.events.push(LogEvent::Begin {
            mark: TransactionMark(number, 0),
            committed_at_us: Some(committed_at_us),
        });
        for (logged, change) in changes {
            let id = logged.as_ref().and_then(|table| table.id);
            // A table is known by its number; by its name where it has none.
            let is_it = |table: &Option<Table>| {
                let table = table.as_ref();
                table.is_some_and(|table| match id {
                    Some(_) => table.id == id,
                    None => table.name == *change.table(),
                })
            };
            let place = tables.iter().position(is_it);
            let event = match place.and_then(|place| tables.get_mut(place)) {
                Some(table) => {
                    let id = TableId(u32::try_from(place.unwrap_or(0)).unwrap_or(u32::MAX));
                    if logged.is_some() && table != logged {
                        table.clone_from(logged);
                        let told = logged.clone().map(Arc::new);
                        self.events
                            .extend(told.map(|table| LogEvent::Table { id, table }));
                    }
                    self.event(table, id, change)
                }
                None => created(change),
            };
            self.events.extend(event);
        }
        self.events.push(LogEvent::Commit {
            place: Arc::new(Place(number)),
            committed_at_us,
        });
    }

    fn event(
        &mut self,
        at: &mut Option<Table>,
        table: TableId,
        change: &MemoryChange,
    ) -> Option<LogEvent> {
        let described = at.as_ref()?;
        let key = described.key_in_row();
        let whole = |row: &Row| row.iter().cloned().map(Some).collect::<Vec<_>>();
        // The key of the old row, as most sources tell it; all cells when there is no key.
        let is_told = self.tells_old_rows || key.is_empty();
        let key_of = |row: &Row| {
            let cells = row.iter().cloned().enumerate();
            cells
                .map(|(place, cell)| (is_told || key.contains(&place)).then_some(cell))
                .collect::<Vec<_>>()
        };
        Some(match change {
            MemoryChange::Alter(_, to) => {
                *at = Some((**to).clone());
                LogEvent::Table {
                    id: table,
                    table: Arc::new((**to).clone()),
                }
            }
            MemoryChange::Drop(_) => {
                *at = None;
                LogEvent::Dropped { table }
            }
            MemoryChange::Create(_) => return created(change),
            MemoryChange::Insert(_, row) => LogEvent::Insert {
                table,
                after: self.put(whole(row)),
            },
            MemoryChange::Delete(_, row) => LogEvent::Delete {
                table,
                before: self.put(key_of(row)),
            },
            MemoryChange::Truncate(_) => LogEvent::Truncate { table },
            MemoryChange::Update {
                before,
                after,
                not_sent,
                ..
            } => {
                let is_moved = is_told || key.iter().any(|&k| before[k] != after[k]);
                let before = is_moved.then(|| self.put(key_of(before)));
                let mut cells = whole(after);
                for &place in not_sent {
                    cells[place] = None;
                }
                LogEvent::Update {
                    table,
                    before,
                    after: self.put(cells),
                }
            }
        })
    }

    fn put(&mut self, cells: Vec<Option<Cell>>) -> RowAt {
        let is_whole = cells.iter().all(Option::is_some);
        self.rows.push(cells);
        RowAt {
            shape: 0,
            offset: u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX),
            is_whole,
        }
    }
}

/// Tells of the log what a test says.
pub(super) struct MemoryWatch {
    pub(super) database: MemoryDatabase,
    pub(super) faults: Faults,
}

#[async_trait]
impl LogWatch for MemoryWatch {
    async fn look(&mut self, _needed_from: &Position) -> Result<Option<KeptLog>, Error> {
        self.faults
            .around(Call::LogLook, || Ok(self.database.lock().kept_log.clone()))
    }
}
