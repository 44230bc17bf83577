//! What the settings of a task make of columns.

use std::sync::Arc;

use whimbrel_core::characters::CharacterRules;
use whimbrel_core::{Column, ColumnType, Engine};

use super::cell::{CellShape, Make};

/// Digits of the numbers to which the service rounds those of any length, in all and behind the point.
const ROUNDED_DIGITS: u32 = 28;
const ROUNDED_SCALE: i32 = 6;

/// What a user wants to be different at the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shaping {
    /// Long texts and byte strings are cut to so many bytes.
    pub lob_bytes_max: Option<usize>,
    /// What becomes of a value that is too long for that.
    pub on_cut: OnCut,
    /// Booleans of PostgreSQL arrive as the texts `true` and `false`.
    pub booleans_as_text: bool,
    /// What becomes of numbers of PostgreSQL that may have any length.
    pub unbounded_numbers: UnboundedNumbers,
    /// Characters of texts become others, before anything else is made of a row.
    pub characters: Option<Arc<CharacterRules>>,
}

/// What a value does that is to be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnCut {
    /// It is cut; the log tells how many were.
    #[default]
    Cut,
    /// Its table is put into error.
    SuspendTable,
    /// The task ends.
    StopTask,
}

/// What becomes of numbers of any length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnboundedNumbers {
    /// They arrive as they are.
    #[default]
    Exact,
    /// As text with all their digits.
    AsText,
    /// Rounded to `numeric(28,6)`, as the service does.
    Rounded,
}

impl Shaping {
    /// Gives a column its new type, and answers what becomes of its cells. The type of a column that rules change stays as they say.
    pub(super) fn column(
        &self,
        column: &mut Column,
        engine: Engine,
        is_key: bool,
        by_rules: CellShape,
    ) -> CellShape {
        let bytes_max = self
            .lob_bytes_max
            // A part of a key tells no rows apart.
            .filter(|_| !is_key && is_lob(&column.ty));
        let retyped = self
            .retyped(&column.ty, engine)
            .filter(|_| by_rules.is_same());
        let Some((make, ty, native)) = retyped else {
            return CellShape {
                bytes_max,
                ..by_rules
            };
        };
        if is_key && matches!(make, Make::Rounded { .. }) {
            // Two keys could become one.
            return by_rules;
        }
        column.ty = ty;
        column.native = native;
        CellShape { make, ..by_rules }
    }

    /// What becomes of a type that rules change.
    fn retyped(&self, ty: &ColumnType, engine: Engine) -> Option<(Make, ColumnType, String)> {
        let is_boolean = *ty == ColumnType::Bool;
        let is_unbounded = matches!(
            ty,
            ColumnType::Decimal {
                precision: None,
                ..
            }
        );
        if engine != Engine::Postgres {
            None
        } else if is_boolean && self.booleans_as_text {
            let ty = ColumnType::Varchar { length: Some(5) };
            Some((Make::BooleanText, ty, "character varying(5)".to_owned()))
        } else if is_unbounded && self.unbounded_numbers == UnboundedNumbers::AsText {
            let ty = ColumnType::Text { bytes_max: None };
            Some((Make::NumberText, ty, "text".to_owned()))
        } else if is_unbounded && self.unbounded_numbers == UnboundedNumbers::Rounded {
            let ty = ColumnType::Decimal {
                precision: Some((ROUNDED_DIGITS, ROUNDED_SCALE)),
                unsigned: false,
            };
            let make = Make::Rounded {
                scale: ROUNDED_SCALE.unsigned_abs() as usize,
            };
            let native = format!("numeric({ROUNDED_DIGITS},{ROUNDED_SCALE})");
            Some((make, ty, native))
        } else {
            None
        }
    }
}

/// Types without a length to speak of: what the service takes for large objects. Documents are none here, because a part of one is no
/// document.
fn is_lob(ty: &ColumnType) -> bool {
    const TEXT_BYTES: u64 = 65_535;
    match ty {
        ColumnType::Text { bytes_max } | ColumnType::Blob { bytes_max } => {
            bytes_max.is_none_or(|bytes| bytes > TEXT_BYTES)
        }
        ColumnType::Native { kind } => kind == "citext",
        _ => false,
    }
}
