use std::sync::atomic::{AtomicU64, Ordering};

use tracing::warn;
use whimbrel_connector::{Error, RefusalKind, RowRefusal, RowVisitor, ShapedTable};
use whimbrel_core::mapping::{LobMode, Mask, Predicate, Segments};
use whimbrel_core::{ColumnType, Engine, Table, Value, write_text};

use super::cell::{CellShape, Loss, Make, NoCell};
use super::characters::Characters;
use super::event::{Event, Operation};
use super::expression::Expressions;
use super::scratch::{Cell, Scratch};
use super::{BY_RULES, BY_SETTINGS, OnCut};

/// A table in another shape.
#[derive(Debug)]
pub(crate) struct Shaped {
    /// As the target is to have it.
    pub(super) table: Table,
    /// Where the cells of its loaded columns come from.
    pub(super) picks: Vec<Pick>,
    /// Those of the columns that are added.
    pub(super) expressions: Expressions,
    /// The rows that arrive; `None`: all.
    pub(super) filter: Option<RowFilter>,
    /// For each column of the table, the rule that gave it its name.
    pub(super) named_by: Vec<Option<u64>>,
    /// Changes of the log find their rows: it tells the columns of the key, or of a table without one all.
    pub(super) finds_rows: bool,
    /// What rules do with it, whatever settings make of it.
    pub(super) ruled: ByRules,
    pub(super) notes: Vec<String>,
    pub(super) on_cut: OnCut,
    /// What becomes of characters in rows of the source.
    pub(super) characters: Option<Characters>,
    /// What rules say of its large objects, whatever the settings do.
    pub(super) lob: Option<LobMode>,
    /// The partitions that are loaded, where some may not be.
    pub(super) listed: Option<Segments>,
    /// How many loaded columns the source's table has.
    pub(super) source_width: usize,
    /// Their types.
    pub(super) source_types: Vec<ColumnType>,
    /// The places of the source's key among them.
    pub(super) key_in_row: Vec<usize>,
    /// Values that lost something, so far.
    pub(super) lossy_count: AtomicU64,
}

/// Which rows arrive.
#[derive(Debug)]
pub(super) struct RowFilter {
    pub(super) predicate: Predicate,
    /// Whether all that it looks at is in the source's key.
    pub(super) is_by_key: bool,
}

/// What rules do with a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByRules {
    /// There are none for it, or they change nothing.
    Untouched,
    Shaped,
    /// They give a column another type, among others.
    Retyped,
}

/// Where the cells of a column come from, and what becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pick {
    pub(super) from: From,
    pub(super) cell: CellShape,
}

/// Where the cells of a column come from. Places are in rows of the source's loaded columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    Source(usize),
    /// What was there before an update.
    Before(usize),
    /// The value of the expression of this number.
    Expression(usize),
}

impl Pick {
    /// The place of a cell of the row itself.
    pub(super) fn place(&self) -> Option<usize> {
        match self.from {
            From::Source(place) => Some(place),
            From::Before(_) | From::Expression(_) => None,
        }
    }
}

/// Whether a row is one of those that arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Yes,
    No,
    /// That depends on cells that were not sent.
    Unknown,
}

impl Shaped {
    /// As the target is to have it.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// What the target is told of it.
    pub(super) fn model(&self) -> ShapedTable {
        ShapedTable {
            table: self.table.clone(),
            source_places: self.picks.iter().map(Pick::place).collect(),
            // Characters become others in every text alike: what refers to another text, or is another one, still does and is.
            keeps_values: self
                .picks
                .iter()
                .map(|pick| pick.cell.is_same_but_for_characters())
                .collect(),
            leaves_out_rows: self.filter.is_some() || self.listed.is_some(),
        }
    }

    /// The partitions whose rows arrive; `None`: all.
    pub(crate) fn listed_partitions(&self) -> Option<&Segments> {
        self.listed.as_ref()
    }

    /// The rows that arrive; `None`: all.
    pub(crate) fn filter(&self) -> Option<&Predicate> {
        self.filter.as_ref().map(|filter| &filter.predicate)
    }

    /// Whether the cells of the target's column at this place are as long, or as great, as the source's, though perhaps of another type.
    pub(crate) fn keeps_measure(&self, place: usize) -> bool {
        self.picks.get(place).is_some_and(|pick| {
            let is_kept = matches!(pick.cell.make, Make::Same | Make::Converted(_));
            is_kept && pick.cell.mask.is_none() && pick.cell.bytes_max.is_none()
        })
    }

    /// The bytes after which cells of the target's column at this place end, where they are the source's up to there.
    pub(crate) fn cut_after(&self, place: usize) -> Option<u64> {
        let cell = self.picks.get(place)?.cell;
        let bytes_max = cell.bytes_max?;
        let is_source_s = matches!(cell.make, Make::Same) && cell.mask.is_none();
        is_source_s.then(|| u64::try_from(bytes_max).unwrap_or(u64::MAX))
    }

    /// Whether changes find their rows, in a log that tells old rows by their keys.
    pub(crate) fn finds_rows(&self) -> bool {
        self.finds_rows
    }

    /// Whether a row of the source arrives.
    pub(crate) fn wants(&self, row: &[Value<'_>]) -> Wanted {
        match self
            .filter()
            .map_or(Some(true), |filter| filter.selects(row))
        {
            Some(true) => Wanted::Yes,
            Some(false) => Wanted::No,
            None => Wanted::Unknown,
        }
    }

    /// Whether all that the filter looks at is in the source's key.
    pub(crate) fn filters_by_key(&self) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.is_by_key)
    }

    /// Whether a row of the source tells every cell that arrives.
    pub(crate) fn is_told(&self, row: &[Value<'_>]) -> bool {
        let is_told = |place: usize| row.get(place).is_some_and(|cell| *cell != Value::NotSent);
        let mut cells = self.picks.iter().filter_map(Pick::place);
        cells.all(is_told) && self.expressions.inputs().all(is_told)
    }

    /// Whether an update gives its row another key at the target, and tells it.
    pub(crate) fn moves(&self, new: &[Value<'_>], old: &[Value<'_>]) -> bool {
        let key = self.table.key_in_row().into_iter();
        let places = key.filter_map(|column| self.picks.get(column)?.place());
        let cells: Vec<_> = places
            .map(|place| (new.get(place), old.get(place)))
            .collect();
        let is_told = cells
            .iter()
            .all(|(new, _)| new.is_some_and(|cell| *cell != Value::NotSent));
        is_told && cells.iter().any(|(new, old)| new != old)
    }

    /// Whether what becomes of a row depends on the change that it came by, or on cells that a log may leave out.
    pub(crate) fn asks_for_events(&self) -> bool {
        self.has_before_images() || !self.expressions.is_empty()
    }

    /// Whether rows that go at the source stay at the target.
    pub(crate) fn keeps_deleted(&self) -> bool {
        self.expressions.keep_deleted()
    }

    /// Whether updates are of use only where the log tells more of the old row than its key.
    pub(crate) fn needs_old_rows(&self) -> bool {
        let mut picks = self.picks.iter();
        picks.any(
            |pick| matches!(pick.from, From::Before(place) if !self.key_in_row.contains(&place)),
        )
    }

    fn has_before_images(&self) -> bool {
        let mut picks = self.picks.iter();
        picks.any(|pick| matches!(pick.from, From::Before(_)))
    }

    /// Whether a change tells all that the columns are made of. `row` is the new row, filled up from the old one; `before` the old one.
    pub(crate) fn tells_event(&self, row: &[Value<'_>], event: Event<'_>) -> bool {
        let is_told = |place: usize| row.get(place).is_some_and(|cell| *cell != Value::NotSent);
        let was_told = |place: usize| match event.before {
            Some(before) => before
                .get(place)
                .is_some_and(|cell| *cell != Value::NotSent),
            None => self.key_in_row.contains(&place),
        };
        let before_images = self.picks.iter().all(|pick| match pick.from {
            From::Before(place) => event.operation != Operation::Update || was_told(place),
            From::Source(_) | From::Expression(_) => true,
        });
        before_images
            && match event.operation {
                // A row that stays as it went is told by its key alone.
                Operation::Delete => true,
                Operation::Update => self.expressions.are_told_or_same(is_told),
                Operation::Load | Operation::Insert => self.expressions.inputs().all(is_told),
            }
    }

    /// Whether a column's values follow from the row at the source alone, so that they can be compared.
    pub(crate) fn is_comparable(&self, column: usize) -> bool {
        self.picks.get(column).is_none_or(|pick| match pick.from {
            From::Source(_) => pick.cell.mask != Some(Mask::RandomDigits),
            From::Before(_) => false,
            From::Expression(number) => self.expressions.is_pure(number),
        })
    }

    /// Whether a row of a load becomes the same whenever it is looked at; random digits do within a process.
    pub(super) fn is_repeatable(&self) -> bool {
        self.picks.iter().all(|pick| match pick.from {
            From::Source(_) | From::Before(_) => true,
            From::Expression(number) => self.expressions.is_pure(number),
        })
    }

    /// Whether a row of the target is one that has gone at the source. `cell` gives its cells by the place of their columns.
    pub(crate) fn is_deleted<'v>(&self, cell: impl Fn(usize) -> Option<Value<'v>>) -> bool {
        self.keeps_deleted()
            && self.picks.iter().enumerate().any(|(column, pick)| {
                let flag = match pick.from {
                    From::Expression(number) => self.expressions.deleted_flag(number),
                    From::Source(_) | From::Before(_) => None,
                };
                flag.is_some_and(|flag| cell(column).is_some_and(|cell| in_text(&cell) == flag))
            })
    }

    /// Where the source's key is in rows of the source.
    pub(crate) fn key_in_row(&self) -> &[usize] {
        &self.key_in_row
    }

    /// How many cells rows of the source have.
    pub(crate) fn source_width(&self) -> usize {
        self.source_width
    }

    /// Where a column's cells are in rows of the source, if they arrive as they are there.
    pub(crate) fn source_place(&self, column: usize) -> Option<usize> {
        let pick = self.picks.get(column)?;
        pick.place().filter(|_| pick.cell.is_same())
    }

    /// Where the cells of columns are made of, in rows of the source; none if that is not the row's own cells alone.
    pub(super) fn source_places(&self, columns: &[usize]) -> Vec<usize> {
        let places = columns
            .iter()
            .map(|&column| self.picks.get(column).and_then(Pick::place));
        places.collect::<Option<_>>().unwrap_or_default()
    }

    /// What a column at the target is made of and how, in words that are others for another making.
    pub(crate) fn making_of(&self, name: &str) -> Option<String> {
        let mut columns = self.table.loaded_columns().zip(&self.picks);
        let (_, pick) = columns.find(|(column, _)| column.name == name)?;
        let of_expression = match pick.from {
            From::Source(_) if pick.cell.is_same() => return None,
            From::Expression(number) => self.expressions.text(number),
            From::Source(_) | From::Before(_) => "",
        };
        let types = self
            .inputs_of(pick)
            .map(|place| self.source_types.get(place));
        let types: Vec<_> = types.collect();
        let kind = match pick.from {
            From::Source(_) => "value",
            From::Before(_) => "value before",
            From::Expression(_) => "expression",
        };
        Some(format!("{kind} {of_expression} {:?} {types:?}", pick.cell))
    }

    /// The places that a column is made of.
    fn inputs_of<'a>(&'a self, pick: &'a Pick) -> impl Iterator<Item = usize> + 'a {
        let (own, number) = match pick.from {
            From::Source(place) | From::Before(place) => (Some(place), None),
            From::Expression(number) => (None, Some(number)),
        };
        let of_expression = number.map(|number| self.expressions.inputs_of(number));
        own.into_iter().chain(of_expression.into_iter().flatten())
    }

    /// What a user should know of it.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether all cells of the source arrive as they came, in their places.
    pub(super) fn picks_all_as_they_are(&self) -> bool {
        let mut picks = self.picks.iter().enumerate();
        self.picks.len() == self.source_width
            && picks.all(|(place, pick)| pick.place() == Some(place) && pick.cell.is_same())
    }

    /// Whether rows change, or some are left out. The bytes of a value are others in another type, though it is the same value.
    pub(crate) fn touches_rows(&self) -> bool {
        self.filter.is_some() || self.ruled == ByRules::Retyped || self.changes_cells()
    }

    /// Whether rows that arrive differ from those of the source.
    pub(crate) fn changes_cells(&self) -> bool {
        !self.picks_all_as_they_are()
    }

    pub(super) fn note_cells(&mut self) {
        let columns = self.table.loaded_columns().zip(&self.picks);
        let notes = columns.flat_map(|(column, pick)| {
            let by = if self.lob.is_some() {
                BY_RULES
            } else {
                BY_SETTINGS
            };
            let of_column = move |becomes| format!("{by} column {}: {becomes}", column.name);
            pick.cell.notes().map(of_column)
        });
        let notes: Vec<String> = notes.collect();
        self.notes.extend(notes);
    }

    /// Refuses names that are one to the target. PostgreSQL tells them apart by case, the others do not.
    pub(super) fn check_names(&self, engine: Engine) -> Result<(), Error> {
        if engine == Engine::Postgres {
            return Ok(());
        }
        let columns = &self.table.columns;
        for (place, column) in columns.iter().enumerate() {
            let folded = column.name.to_lowercase();
            let same = |other: &usize| columns[*other].name.to_lowercase() == folded;
            let Some(other) = (0..place).find(same) else {
                continue;
            };
            let rule = self.named_by[place].or(self.named_by[other]);
            let rule = rule.map_or_else(
                || "the table".to_owned(),
                |id| format!("rule {id} of the table mappings"),
            );
            return Err(Error::table(
                &self.table.name,
                format!(
                    "{rule} would give it two columns {} and {}, which are one name at the target, where case does not count; give one of them another name",
                    columns[other].name, column.name
                ),
            ));
        }
        Ok(())
    }

    /// Hands a row on in its shape.
    ///
    /// # Errors
    /// The visitor's; [`Error::Row`] for a value that its column cannot hold, or that an expression does not give.
    pub(crate) fn row(
        &self,
        row: &[Value<'_>],
        scratch: &mut Scratch,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        self.row_of(Event::LOAD, row, scratch, visit)
    }

    /// Hands a row of a change on in its shape.
    ///
    /// # Errors
    /// As [`Self::row`] has them.
    pub(crate) fn row_of(
        &self,
        event: Event<'_>,
        row: &[Value<'_>],
        scratch: &mut Scratch,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        if row.len() != self.source_width {
            return Err(Error::Fatal(format!(
                "a row of {} cells for {} columns of table {}",
                row.len(),
                self.source_width,
                self.table.name
            )));
        }
        let replaced = self.replaced(row);
        let replaced = replaced.row(row);
        let row = replaced.as_deref().unwrap_or(row);
        let texts_before = event.before.map(|before| self.replaced(before));
        let old_row = texts_before
            .as_ref()
            .zip(event.before)
            .and_then(|(texts, before)| texts.row(before));
        let event = Event {
            before: old_row.as_deref().or(event.before),
            ..event
        };
        scratch.clear();
        let mut evaluator = self.expressions.evaluator();
        let mut cells = Vec::with_capacity(self.picks.len());
        for (place, pick) in self.picks.iter().enumerate() {
            let cell = match pick.from {
                From::Expression(number) => evaluator.value(number, event, row, scratch),
                From::Source(from) => self.cell(pick.cell, &row[from], scratch),
                From::Before(from) => self.cell(pick.cell, &before(event, row, from), scratch),
            };
            let cell = cell.map_err(|no_cell| self.no_cell(no_cell, place, row))?;
            cells.push(cell);
        }
        drop(evaluator);
        if event.operation == Operation::Delete && self.keeps_deleted() {
            self.leave_as_is(&mut cells);
        }
        let shaped: Vec<Value<'_>> = cells.iter().map(|cell| cell.value(scratch)).collect();
        visit(&shaped)
    }

    /// Hands on what a row was before a change, to find it by: what is added to rows is not told of it.
    pub(crate) fn old_row(
        &self,
        row: &[Value<'_>],
        scratch: &mut Scratch,
        visit: &mut RowVisitor<'_>,
    ) -> Result<(), Error> {
        let replaced = self.replaced(row);
        let replaced = replaced.row(row);
        let row = replaced.as_deref().unwrap_or(row);
        scratch.clear();
        let mut cells = Vec::with_capacity(self.picks.len());
        for (place, pick) in self.picks.iter().enumerate() {
            let value = pick.place().and_then(|place| row.get(place));
            let cell = self.cell(pick.cell, value.unwrap_or(&Value::NotSent), scratch);
            cells.push(cell.map_err(|no_cell| self.no_cell(no_cell, place, row))?);
        }
        let old: Vec<Value<'_>> = cells.iter().map(|cell| cell.value(scratch)).collect();
        visit(&old)
    }

    fn cell<'v>(
        &self,
        shape: CellShape,
        value: &Value<'v>,
        scratch: &mut Scratch,
    ) -> Result<Cell<'v>, NoCell> {
        let (cell, loss) = shape.cell(value, scratch)?;
        self.count(loss, scratch)?;
        Ok(cell)
    }

    /// Of a row that has gone at the source its key and what is added alone change.
    fn leave_as_is(&self, cells: &mut [Cell<'_>]) {
        let key = self.table.key_in_row();
        for (place, (cell, pick)) in cells.iter_mut().zip(&self.picks).enumerate() {
            if !key.contains(&place) && !matches!(pick.from, From::Expression(_)) {
                *cell = Cell::AsItIs(Value::NotSent);
            }
        }
    }

    fn no_cell(&self, no_cell: NoCell, place: usize, row: &[Value<'_>]) -> Error {
        let column = self.table.loaded_columns().nth(place);
        let column = column.map_or("", |column| column.name.as_str());
        let (kind, why) = match no_cell {
            NoCell::Refused(error) => (error.kind, error.why.to_owned()),
            NoCell::TooLong => return self.too_long(column),
            NoCell::NoValue(why) => {
                return Error::from(RowRefusal {
                    table: self.table.name.clone(),
                    key: self.key_text(row),
                    column: Some(column.to_owned()),
                    kind: RefusalKind::Value,
                    reason: format!("its expression gives no value: {why}"),
                });
            }
            NoCell::NotYet => {
                return Error::table(
                    &self.table.name,
                    format!(
                        "column {column} is made of the commit of a change, which is told behind its rows, and a transaction is too large to wait for it in memory; load the table again, or leave $AR_H_STREAM_POSITION, $AR_H_CHANGE_SEQ and the variables of time out of its expression"
                    ),
                );
            }
            NoCell::Failed(error) => return error,
        };
        Error::from(RowRefusal {
            key: self.key_text(row),
            ..RowRefusal::value(&self.table.name, column, kind, &why)
        })
    }

    /// The row's key as messages name it; `None` where it is not told, or hidden.
    fn key_text(&self, row: &[Value<'_>]) -> Option<String> {
        let mut key = vec![b'('];
        for (number, place) in self.table.key_in_row().into_iter().enumerate() {
            if number > 0 {
                key.extend_from_slice(b", ");
            }
            let pick = self
                .picks
                .get(place)
                .filter(|pick| pick.cell.mask.is_none())?;
            let value = row.get(pick.place()?)?;
            if *value == Value::NotSent {
                return None;
            }
            write_text(value, &mut key);
        }
        key.push(b')');
        let key = String::from_utf8_lossy(&key).into_owned();
        (key != "()").then_some(key)
    }

    /// An error of rows that are decoded, without a key that rules hide.
    pub(super) fn without_hidden_key(&self, error: Error) -> Error {
        let Error::Row(mut refusal) = error else {
            return error;
        };
        if self.hides_key() {
            refusal.key = None;
        }
        Error::Row(refusal)
    }

    /// Whether rules hide a part of the key.
    pub(crate) fn hides_key(&self) -> bool {
        let is_hidden = |pick: &Pick| {
            let place = pick.place();
            pick.cell.mask.is_some() && place.is_some_and(|place| self.key_in_row.contains(&place))
        };
        self.picks.iter().any(is_hidden)
    }

    /// Of a value that may not be cut.
    fn too_long(&self, column: &str) -> Error {
        let table = &self.table.name;
        let what = format!("column {column} has a value longer than LobMaxSize");
        let remedy = "give a larger LobMaxSize, and load the tables again";
        if self.on_cut == OnCut::SuspendTable {
            return Error::table(
                table,
                format!("{what}, and DataTruncationErrorPolicy is SUSPEND_TABLE; {remedy}"),
            );
        }
        Error::Fatal(format!(
            "table {table}: {what}, and FailTasksOnLobTruncation is set or DataTruncationErrorPolicy is STOP_TASK; {remedy}"
        ))
    }

    /// Tells of values that lose something, not of each.
    fn count(&self, loss: Loss, scratch: &Scratch) -> Result<(), NoCell> {
        if loss.is_cut && self.on_cut != OnCut::Cut {
            return Err(NoCell::TooLong);
        }
        if (!loss.is_cut && !loss.is_rounded) || scratch.is_another_look {
            return Ok(());
        }
        let count = self.lossy_count.fetch_add(1, Ordering::Relaxed) + 1;
        let is_power_of_ten = 10_u64.pow(count.ilog10()) == count;
        if is_power_of_ten {
            warn!(table = %self.table.name, count, "values were cut or rounded, as the settings LobMaxSize and MapUnboundedNumericAsString say");
        }
        Ok(())
    }
}

/// What a cell was before an update; NULL where there was none.
fn before<'v>(event: Event<'v>, row: &[Value<'v>], place: usize) -> Value<'v> {
    match (event.operation, event.before) {
        (Operation::Update, Some(before)) => before.get(place).copied().unwrap_or(Value::NotSent),
        // The key is as it was.
        (Operation::Update, None) => row.get(place).copied().unwrap_or(Value::NotSent),
        (Operation::Load | Operation::Insert, _) => Value::Null,
        (Operation::Delete, _) => Value::NotSent,
    }
}

fn in_text(value: &Value<'_>) -> String {
    let mut text = Vec::new();
    write_text(value, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// A note of what rules make of a table.
pub(super) fn by_rules(what: &str) -> String {
    format!("{BY_RULES} {what}")
}
