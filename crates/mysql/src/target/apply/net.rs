//! Net changes of a table, by statements over sets of rows.
//!
//! Keys that go and rows that change are loaded into a temporary table, whose columns have the types of the target's, and
//! joined with the target in one DELETE or UPDATE. Rows that come are loaded straight into the target. The temporary table is made
//! anew each time: emptying one by DELETE costs more, and TRUNCATE would commit.
//!
//! An UPDATE sets only the columns that were sent, so rows are gathered by which those are. Where that leaves few rows together,
//! statements for single rows are cheaper.

use std::collections::HashMap;
use std::sync::Arc;

use whimbrel_connector::{AppliedCount, Error, NetChanges, RowSet};
use whimbrel_core::{TableName, Value};

use super::MysqlApplier;
use super::cells::Cells;
use super::json;
use super::run::DOING;
use super::script::{Script, Step, StepKind, not_sent};
use super::stage;
use super::table::ApplyTable;
use crate::errors::of_table;
use crate::target::layout::Layout;
use crate::target::verdict;
use crate::wire::{Done, WireError};

/// Fewer rows than this are not worth the round trips of a temporary table.
const SET_ROWS_MIN: usize = 150;
/// Rows are turned into text by pieces of about so many bytes, which bounds the memory of a call.
const PIECE_BYTES: usize = 8 * 1024 * 1024;

/// Some rows as text, all with the same columns.
#[derive(Debug)]
struct Rows {
    kind: StepKind,
    columns: Vec<usize>,
    text: Vec<u8>,
    count: usize,
}

impl Rows {
    fn new(kind: StepKind, columns: Vec<usize>) -> Self {
        Self {
            kind,
            columns,
            text: Vec::new(),
            count: 0,
        }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text
            .strip_suffix(b"\n")
            .into_iter()
            .flat_map(|text| text.split(|&byte| byte == b'\n'))
    }
}

/// Gathers rows of one kind by the columns that they are written by.
struct Groups<'t> {
    table: &'t ApplyTable,
    kind: StepKind,
    by_columns: Vec<Rows>,
    /// For updates: the group for each set of columns that were sent, as a byte for each column.
    by_mask: HashMap<Vec<u8>, usize>,
    mask: Vec<u8>,
    /// The mask of the row before, and its group.
    last_mask: Vec<u8>,
    last: usize,
    byte_count: usize,
}

impl<'t> Groups<'t> {
    fn new(table: &'t ApplyTable, kind: StepKind) -> Self {
        let by_columns = match kind {
            StepKind::Update | StepKind::MakeWay => Vec::new(),
            StepKind::Delete => vec![Rows::new(kind, table.key().to_vec())],
            StepKind::Insert => vec![Rows::new(kind, (0..table.columns.len()).collect())],
        };
        Self {
            table,
            kind,
            by_columns,
            by_mask: HashMap::new(),
            mask: Vec::new(),
            last_mask: Vec::new(),
            last: 0,
            byte_count: 0,
        }
    }

    fn add(&mut self, values: &[Value<'_>]) -> Result<(), Error> {
        if self.kind == StepKind::Update {
            self.last = self.group_of(values)?;
        }
        let group = &mut self.by_columns[self.last];
        let before = group.text.len();
        let layout = &self.table.layout;
        layout.encode_some(values, &group.columns, &mut group.text)?;
        group.count += 1;
        self.byte_count += group.text.len() - before;
        Ok(())
    }

    fn group_of(&mut self, values: &[Value<'_>]) -> Result<usize, Error> {
        self.table.layout.check_width(values)?;
        self.mask.clear();
        let sent = values
            .iter()
            .map(|value| u8::from(!matches!(value, Value::NotSent)));
        self.mask.extend(sent);
        if self.mask == self.last_mask {
            return Ok(self.last);
        }
        self.last_mask.clone_from(&self.mask);
        if let Some(&group) = self.by_mask.get(&self.mask) {
            return Ok(group);
        }
        let key = self.table.key();
        if let Some(&column) = key.iter().find(|&&column| self.mask[column] == 0) {
            return Err(not_sent(self.table, column, "this part of the key"));
        }
        let columns = (0..self.mask.len()).filter(|&column| self.mask[column] == 1);
        let rows = Rows::new(StepKind::Update, columns.collect());
        self.by_mask
            .insert(self.mask.clone(), self.by_columns.len());
        self.by_columns.push(rows);
        Ok(self.by_columns.len() - 1)
    }
}

/// Turns rows into text from the row `first` on, until there is enough for a piece.
fn gather<'t>(
    table: &'t ApplyTable,
    kind: StepKind,
    set: &dyn RowSet,
    first: usize,
) -> Result<Groups<'t>, Error> {
    let mut groups = Groups::new(table, kind);
    let mut is_full = false;
    let visited = set.visit_behind(first, &mut |values| {
        groups.add(values)?;
        is_full = groups.byte_count >= PIECE_BYTES;
        if is_full {
            // Only an error stops the visit.
            return Err(Error::Fatal("enough for one piece".to_owned()));
        }
        Ok(())
    });
    if !is_full {
        visited?;
    }
    Ok(groups)
}

impl MysqlApplier {
    pub(super) async fn net(&mut self, changes: NetChanges<'_>) -> Result<AppliedCount, Error> {
        let sets = [
            (StepKind::Delete, changes.deletes),
            (StepKind::Update, changes.updates),
            (StepKind::Insert, changes.inserts),
        ];
        let mut applied = AppliedCount::default();
        if sets.iter().all(|(_, set)| set.row_count() == 0) {
            return Ok(applied);
        }
        let table = self.table(changes.table).await?;
        let finds_rows = changes.deletes.row_count() + changes.updates.row_count() > 0;
        if finds_rows && table.key().is_empty() {
            return Err(Error::table(
                &table.layout.source,
                "rows to be found by their key were given, and it has none",
            ));
        }
        let mut few: Vec<Rows> = Vec::new();
        for (kind, set) in sets {
            let mut first = 0;
            while first < set.row_count() {
                let gathered = gather(&table, kind, set, first)?.by_columns;
                let count: usize = gathered.iter().map(|rows| rows.count).sum();
                if count == 0 {
                    break;
                }
                first += count;
                for rows in gathered {
                    if rows.count < SET_ROWS_MIN || !self.session.can_load {
                        few.push(rows);
                        continue;
                    }
                    // In order: what goes makes room for what comes.
                    if rows.kind != StepKind::Delete {
                        self.run_few(&table, &mut few, &mut applied).await?;
                    }
                    self.run_set(&table, &rows, &mut applied).await?;
                }
                if first < set.row_count() {
                    self.run_few(&table, &mut few, &mut applied).await?;
                }
            }
        }
        self.run_few(&table, &mut few, &mut applied).await?;
        Ok(applied)
    }

    /// Applies rows by statements of their own, and forgets them.
    async fn run_few(
        &mut self,
        table: &Arc<ApplyTable>,
        few: &mut Vec<Rows>,
        applied: &mut AppliedCount,
    ) -> Result<(), Error> {
        let few = std::mem::take(few);
        if few.is_empty() {
            return Ok(());
        }
        let mut script = Script::default();
        let mut cells = Cells::default();
        let all = || {
            few.iter()
                .flat_map(|rows| rows.lines().map(move |line| (rows, line)))
        };
        for (number, (rows, line)) in all().enumerate() {
            cells.fill_from_line(table.columns.len(), &rows.columns, line);
            match rows.kind {
                StepKind::Insert => script.insert(table, &cells, number)?,
                StepKind::Update | StepKind::MakeWay => {
                    script.update(table, &cells, &cells, number)?;
                }
                StepKind::Delete => script.delete(table, &cells, number)?,
            }
        }
        let lines = |step: &Step| {
            let (mut lines, mut cells) = (Vec::new(), Cells::default());
            for (rows, line) in all().skip(step.rows.start).take(step.rows.len()) {
                cells.fill_from_line(table.columns.len(), &rows.columns, line);
                cells.append_line(&mut lines);
            }
            lines
        };
        let done = self.run(&script, &lines).await?;
        for (step, done) in script.steps.iter().zip(&done) {
            match step.kind {
                StepKind::Insert => applied.inserted += done.affected_rows,
                StepKind::Update => applied.updated += verdict::matched(done),
                StepKind::Delete => applied.deleted += done.affected_rows,
                StepKind::MakeWay => {}
            }
        }
        Ok(())
    }

    /// Applies rows by one statement.
    async fn run_set(
        &mut self,
        table: &ApplyTable,
        rows: &Rows,
        applied: &mut AppliedCount,
    ) -> Result<(), Error> {
        self.set_savepoint().await?;
        if rows.kind == StepKind::Insert {
            self.load(&table.layout, rows).await?;
            applied.inserted += rows.count as u64;
            return Ok(());
        }
        let schema = table.layout.target.schema.clone();
        let narrow = table
            .layout
            .narrowed(TableName::new(schema, stage::NAME), &rows.columns);
        let failed = |error| of_table(error, &narrow.source, "make a temporary table beside it");
        let sql = stage::create(&narrow);
        self.session
            .connection
            .script(sql.as_bytes(), &mut Vec::new())
            .await
            .map_err(failed)?;
        self.load(&narrow, rows).await?;
        let joined = stage::joined(table, &narrow);
        if rows.kind == StepKind::Delete {
            let sql = format!("DELETE t FROM {joined}");
            applied.deleted += self.join(&narrow, rows, &sql).await?.affected_rows;
            return Ok(());
        }
        for (way, condition) in json::ways_of_set(table, &rows.columns) {
            let sql = format!("UPDATE {joined} SET {way} WHERE {condition}");
            self.join(&narrow, rows, &sql).await?;
        }
        let assignments = stage::assignments(table, &rows.columns);
        let sql = format!("UPDATE {joined} SET {assignments}");
        applied.updated += verdict::matched(&self.join(&narrow, rows, &sql).await?);
        Ok(())
    }

    /// Loads rows into a table that has their columns.
    async fn load(&mut self, layout: &Layout, rows: &Rows) -> Result<(), Error> {
        let connection = &mut self.session.connection;
        let failed = |error| refusal_or(error, layout, &rows.text);
        connection.begin_load(&layout.load).await.map_err(failed)?;
        connection.load(&rows.text).await.map_err(failed)?;
        let done = connection.end_load().await.map_err(failed)?;
        let count = rows.count as u64;
        if verdict::is_clean(&done, count) {
            return Ok(());
        }
        let warnings = connection.rows(verdict::SHOW).await.map_err(failed)?;
        if verdict::is_only_advice(&done, count, &warnings) {
            return Ok(());
        }
        Err(verdict::refusal(layout, &rows.text, &done, &warnings).into())
    }

    /// Runs the statement that joins the temporary table with the target.
    async fn join(&mut self, stage: &Layout, rows: &Rows, sql: &str) -> Result<Done, Error> {
        let connection = &mut self.session.connection;
        let failed = |error| refusal_or(error, stage, &rows.text);
        let done = connection.execute(sql).await.map_err(failed)?;
        if done.warning_count > 0 {
            let warnings = connection.rows(verdict::SHOW).await.map_err(failed)?;
            if !verdict::is_advice(&done, &warnings) {
                return Err(verdict::refusal(stage, &rows.text, &done, &warnings).into());
            }
        }
        Ok(done)
    }
}

fn refusal_or(error: WireError, layout: &Layout, text: &[u8]) -> Error {
    match error {
        WireError::Server(error) if verdict::is_refusal(&error) => {
            verdict::explain(layout, text, error.code, &error.message).into()
        }
        error => of_table(error, &layout.source, DOING),
    }
}
