//! Columns of texts, as they are read: in UTF-8, or not at all.
//!
//! A server that converts text puts a question mark in the place of what its character set does not allow, or has no character for,
//! or ends the text there, and says nothing. So it is asked whether there are as many characters and question marks behind the conversion
//! as before it; if not, it sends a byte that is not UTF-8 instead, at which decoding stops. What the log gives for the same cell is refused too (`log::charset`).

use whimbrel_core::{Column, ColumnType, Table};

use super::range::TextForm;
use crate::quote;

/// The list of the table's loaded columns for a SELECT.
pub(super) fn columns(table: &Table) -> String {
    let columns: Vec<String> = table.loaded_columns().map(column).collect();
    columns.join(", ")
}

fn column(column: &Column) -> String {
    let name = quote::identifier(&column.name);
    let is_text = matches!(
        column.ty,
        ColumnType::Char { .. } | ColumnType::Varchar { .. } | ColumnType::Text { .. }
    );
    match TextForm::of(column).filter(|_| is_text) {
        None => name,
        Some(form) => match form.charset {
            // It comes as it is, and decoding looks at every byte.
            "utf8mb4" => name,
            // The same bytes, unless it is converted.
            "utf8mb3" | "utf8" => format!("CAST({name} AS BINARY)"),
            charset => checked(&name, charset),
        },
    }
}

/// `charset` is a name (see [`TextForm`]), and each set has a collation `…_bin`.
fn checked(name: &str, charset: &str) -> String {
    let converted = format!("CONVERT({name} USING utf8mb4)");
    let marks = |text: &str, collation: &str| {
        format!("CHAR_LENGTH({text}) - CHAR_LENGTH(REPLACE({text} COLLATE {collation}, '?', ''))")
    };
    let before = marks(name, &format!("{charset}_bin"));
    let behind = marks(&converted, "utf8mb4_bin");
    format!(
        "IF(CHAR_LENGTH({name}) <=> CHAR_LENGTH({converted}) AND (INSTR({converted}, '?') = 0 OR ({before}) <=> ({behind})), \
         CAST({converted} AS BINARY), X'FF')"
    )
}
