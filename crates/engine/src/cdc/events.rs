//! Changes of tables with columns that are made of more than a row's cells: expressions, what was there before an update, and a flag for
//! rows that have gone at the source and stay at the target.
//!
//! An expression needs every column that it names. A log may leave out those that did not change; the old row has them then, or nobody does:
//! the table is followed no more, with what to set at the source.

use whimbrel_connector::{ChangeRows, Error, RowAt, SingleKind};
use whimbrel_core::{Engine, Value};

use super::filtering::Wish;
use crate::shaping::{Event, Operation, Shaped, filled};

/// What is to be done at the target for a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    One(Wish),
    /// One after another. A row that may be there goes first: it had gone at the source, and its key is another's now.
    InOrder(Vec<Wish>),
    /// The log does not tell enough.
    Undecidable,
}

/// Looks at a change of a table that asks for events.
pub(super) fn asked(shape: &Shaped, rows: &dyn ChangeRows, wish: Wish) -> Result<Asked, Error> {
    let wish = match wish.kind {
        SingleKind::Delete { before } if shape.keeps_deleted() => {
            return Ok(Asked::One(Wish {
                kind: SingleKind::Update {
                    before: None,
                    after: RowAt {
                        is_whole: false,
                        ..before
                    },
                },
                operation: Some(Operation::Delete),
                ..wish
            }));
        }
        SingleKind::Insert { after } if shape.keeps_deleted() => {
            if !is_told(shape, rows, &wish)? {
                return Ok(Asked::Undecidable);
            }
            return Ok(Asked::InOrder(vec![flagged_goes(after), wish]));
        }
        SingleKind::Update {
            before: Some(before),
            after,
        } if shape.keeps_deleted() => {
            let moved = moved(shape, rows, before, after)?;
            if moved != Moved::No && is_told(shape, rows, &wish)? {
                let wishes = moved_wishes(wish, moved == Moved::Whole, before, after);
                return Ok(Asked::InOrder(wishes));
            }
            wish
        }
        _ => wish,
    };
    Ok(if is_told(shape, rows, &wish)? {
        Asked::One(wish)
    } else {
        Asked::Undecidable
    })
}

/// The row of this key, which had gone at the source.
fn flagged_goes(key: RowAt) -> Wish {
    Wish::perhaps(SingleKind::Delete { before: key })
}

/// What becomes of an update whose row gets the key that a row may have had before.
///
/// Where all is told, the row goes from its old key and comes to the new one: a target to which both are one key (they may differ in case
/// alone) takes that as well. Where it is not, nothing but an update keeps the other cells.
fn moved_wishes(update: Wish, is_whole: bool, before: RowAt, after: RowAt) -> Vec<Wish> {
    if !is_whole || update.may_miss {
        return vec![flagged_goes(after), update];
    }
    let comes = Wish {
        kind: SingleKind::Insert {
            after: RowAt {
                is_whole: true,
                ..after
            },
        },
        filled_from: Some(before),
        operation: update.operation.or(Some(Operation::Update)),
        ..update
    };
    let goes = Wish::sure(SingleKind::Delete { before });
    vec![goes, flagged_goes(after), comes]
}

/// Whether an update gives its row another key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moved {
    No,
    Partly,
    /// And the log tells the whole row.
    Whole,
}

fn moved(
    shape: &Shaped,
    rows: &dyn ChangeRows,
    before: RowAt,
    after: RowAt,
) -> Result<Moved, Error> {
    let mut told = None;
    rows.decode(after, &mut |new: &[Value<'_>]| {
        rows.decode(before, &mut |old| {
            told = Some(if !shape.moves(new, old) {
                Moved::No
            } else if shape.is_told(&filled(new, old)) {
                Moved::Whole
            } else {
                Moved::Partly
            });
            Ok(())
        })
    })?;
    told.ok_or_else(|| Error::Fatal("a row of the log was not decoded".to_owned()))
}

/// Whether the log tells all that the row's columns are made of.
fn is_told(shape: &Shaped, rows: &dyn ChangeRows, wish: &Wish) -> Result<bool, Error> {
    let Some((after, older, operation)) = wish.arriving() else {
        return Ok(true);
    };
    let event = Event {
        operation,
        before: None,
        change: None,
    };
    let mut told = None;
    rows.decode(after, &mut |new: &[Value<'_>]| {
        let Some(older) = older else {
            told = Some(shape.tells_event(new, event));
            return Ok(());
        };
        rows.decode(older, &mut |old| {
            let event = Event {
                before: Some(old),
                ..event
            };
            told = Some(shape.tells_event(&filled(new, old), event));
            Ok(())
        })
    })?;
    told.ok_or_else(|| Error::Fatal("a row of the log was not decoded".to_owned()))
}

/// What to do where the log does not tell enough.
pub(super) fn remedy(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => {
            "the log does not tell enough of a changed row for the columns that rules add; run ALTER TABLE … REPLICA IDENTITY FULL at the source and load the table again"
        }
        Engine::MySql | Engine::MariaDb => {
            "the log does not tell enough of a changed row for the columns that rules add; set binlog_row_image = FULL at the source and load the table again"
        }
    }
}
