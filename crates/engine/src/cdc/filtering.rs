//! What becomes of changes to a table of which only some rows arrive.
//!
//! The target has exactly the rows that the filter selects, so a change is judged by both versions of its row:
//!
//! ```text
//!  old \ new    in                         out             not known
//!  in           update                     delete          see below
//!  out          insert                     nothing         see below
//!  not known    delete, if there; insert   delete, if there
//! ```
//!
//! A log may tell of the old row no more than its key, and of the new one no cells that did not change. What the new row does not tell is
//! taken from the old one. Where the filter looks at cells that neither tells, all of which are unchanged, the row is in if and only if it
//! was: an update, if the row is there. Where some of them changed and others are not told, or a row comes in whose cells are not all
//! told, nobody can say what belongs at the target: the table is followed no more, with what to set at the source.

use whimbrel_connector::{ChangeRows, Error, RowAt, SingleKind};
use whimbrel_core::{Engine, Value};

use crate::shaping::{Operation, Shaped, Wanted, filled};

/// A change to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) kind: SingleKind,
    /// Its row may not be there, which is in order.
    pub(super) may_miss: bool,
    /// The new row's cells that were not told are those of this version.
    pub(super) filled_from: Option<RowAt>,
    /// What happened at the source, where something else is done here.
    pub(super) operation: Option<Operation>,
}

/// What a change of the log asks for at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Nothing,
    One(Wish),
    /// The row that may be there goes, and comes anew.
    Replaced(Wish, Wish),
    /// The log does not tell enough.
    Undecidable,
}

impl Wish {
    pub(super) fn sure(kind: SingleKind) -> Self {
        Self {
            kind,
            may_miss: false,
            filled_from: None,
            operation: None,
        }
    }

    /// The row that arrives with what it was before, as far as that is told, and what happened to it.
    pub(super) fn arriving(&self) -> Option<(RowAt, Option<RowAt>, Operation)> {
        let (row, older, operation) = match self.kind {
            SingleKind::Insert { after } => (after, self.filled_from, Operation::Insert),
            SingleKind::Update { before, after } => (after, before, Operation::Update),
            SingleKind::Delete { .. } | SingleKind::Truncate => return None,
        };
        Some((row, older, self.operation.unwrap_or(operation)))
    }

    pub(super) fn perhaps(kind: SingleKind) -> Self {
        Self {
            may_miss: true,
            ..Self::sure(kind)
        }
    }
}

/// Judges a change by the filter of its table.
pub(super) fn judged(
    shape: &Shaped,
    rows: &dyn ChangeRows,
    kind: SingleKind,
) -> Result<Judged, Error> {
    Ok(match kind {
        SingleKind::Truncate => Judged::One(Wish::sure(kind)),
        SingleKind::Insert { after } => match of_row(rows, after, |row| shape.wants(row))? {
            Wanted::Yes => Judged::One(Wish::sure(kind)),
            Wanted::No => Judged::Nothing,
            Wanted::Unknown => Judged::Undecidable,
        },
        SingleKind::Delete { before } => match of_old(shape, rows, before, |row| shape.wants(row))?
        {
            Wanted::Yes => Judged::One(Wish::sure(kind)),
            Wanted::No => Judged::Nothing,
            Wanted::Unknown => Judged::One(Wish::perhaps(kind)),
        },
        SingleKind::Update { before, after } => updated(shape, rows, before, after)?,
    })
}

fn updated(
    shape: &Shaped,
    rows: &dyn ChangeRows,
    before: Option<RowAt>,
    after: RowAt,
) -> Result<Judged, Error> {
    let kind = SingleKind::Update { before, after };
    let new = match before {
        Some(before) => of_merged(shape, rows, (before, after), |row| shape.wants(row))?,
        None => of_row(rows, after, |row| shape.wants(row))?,
    };
    let old = match before {
        Some(before) => of_old(shape, rows, before, |row| shape.wants(row))?,
        // The key is as it was, and so is what the filter looks at.
        None if shape.filters_by_key() => new,
        None => Wanted::Unknown,
    };
    let goes = SingleKind::Delete {
        before: before.unwrap_or(after),
    };
    Ok(match (old, new) {
        (Wanted::Yes, Wanted::Yes) => Judged::One(Wish::sure(kind)),
        (Wanted::Yes, Wanted::No) => Judged::One(Wish::sure(goes)),
        (Wanted::No, Wanted::No) => Judged::Nothing,
        (Wanted::Unknown, Wanted::No) => Judged::One(Wish::perhaps(goes)),
        (Wanted::No, Wanted::Yes) => match comes(shape, rows, before, after)? {
            Some(comes) => Judged::One(comes),
            None => Judged::Undecidable,
        },
        (Wanted::Unknown, Wanted::Yes) => match comes(shape, rows, before, after)? {
            Some(comes) => Judged::Replaced(Wish::perhaps(goes), comes),
            None => Judged::Undecidable,
        },
        (_, Wanted::Unknown) if is_untold(shape, rows, after)? => Judged::One(Wish::perhaps(kind)),
        (_, Wanted::Unknown) => Judged::Undecidable,
    })
}

/// A row that comes in by an update, if all its cells are told.
fn comes(
    shape: &Shaped,
    rows: &dyn ChangeRows,
    before: Option<RowAt>,
    after: RowAt,
) -> Result<Option<Wish>, Error> {
    let comes = Wish {
        operation: Some(Operation::Update),
        // What it was before is looked at then, even if the new row is told.
        filled_from: before.filter(|_| shape.asks_for_events()),
        ..Wish::sure(SingleKind::Insert {
            after: RowAt {
                is_whole: true,
                ..after
            },
        })
    };
    if after.is_whole || of_row(rows, after, |row| shape.is_told(row))? {
        return Ok(Some(comes));
    }
    let Some(before) = before else {
        return Ok(None);
    };
    let is_told = of_merged(shape, rows, (before, after), |row| shape.is_told(row))?;
    Ok(is_told.then_some(Wish {
        filled_from: Some(before),
        ..comes
    }))
}

/// Looks at an old row: what cannot be read of it is not told, unless it is of its key.
fn of_old<T: Send>(
    shape: &Shaped,
    rows: &dyn ChangeRows,
    at: RowAt,
    look: impl Fn(&[Value<'_>]) -> T + Sync,
) -> Result<T, Error> {
    let mut found = None;
    rows.decode_old(at, shape.key_in_row(), &mut |row| {
        found = Some(look(row));
        Ok(())
    })?;
    found.ok_or_else(nothing_decoded)
}

/// Looks at a row.
fn of_row<T: Send>(
    rows: &dyn ChangeRows,
    at: RowAt,
    look: impl Fn(&[Value<'_>]) -> T + Sync,
) -> Result<T, Error> {
    let mut found = None;
    rows.decode(at, &mut |row| {
        found = Some(look(row));
        Ok(())
    })?;
    found.ok_or_else(nothing_decoded)
}

/// Looks at a new row whose cells that were not told are those of the old one.
fn of_merged<T: Send>(
    shape: &Shaped,
    rows: &dyn ChangeRows,
    (before, after): (RowAt, RowAt),
    look: impl Fn(&[Value<'_>]) -> T + Sync,
) -> Result<T, Error> {
    let mut found = None;
    rows.decode(after, &mut |new| {
        if !new.iter().any(|cell| matches!(cell, Value::NotSent)) {
            found = Some(look(new));
            return Ok(());
        }
        rows.decode_old(before, shape.key_in_row(), &mut |old| {
            found = Some(look(&filled(new, old)));
            Ok(())
        })
    })?;
    found.ok_or_else(nothing_decoded)
}

fn nothing_decoded() -> Error {
    Error::Fatal("a row of the log was not decoded".to_owned())
}

/// Whether the new row tells nothing of what the filter looks at: then none of it changed.
fn is_untold(shape: &Shaped, rows: &dyn ChangeRows, after: RowAt) -> Result<bool, Error> {
    of_row(rows, after, |row| {
        let columns = shape.filter().map(|filter| filter.columns());
        let mut places = columns.iter().flatten().map(|column| column.place);
        places.all(|place| matches!(row.get(place), Some(Value::NotSent)))
    })
}

/// What to do where the log does not tell enough.
pub(super) fn remedy(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "the log does not tell enough of a changed row to say whether the filter of the table mappings selects it and what is in it; run ALTER TABLE … REPLICA IDENTITY FULL at the source and load the table again"
        }
        Engine::MySql | Engine::MariaDb => {
            "the log does not tell enough of a changed row to say whether the filter of the table mappings selects it and what is in it; set binlog_row_image = FULL at the source and load the table again"
        }
    }
}
