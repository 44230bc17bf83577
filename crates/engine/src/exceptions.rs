//! Changes that were left out, in words for `awsdms_apply_exceptions`: a statement that does the same, as far as it can be told.
//!
//! A person may run it, on any engine. So a name or a value never ends before its quotes do, whether the server takes a backslash for an escape
//! (MySQL and MariaDB) or for itself (PostgreSQL): where that matters PostgreSQL's own forms for escapes are written, which the others refuse.

use std::borrow::Cow;

use whimbrel_connector::{ApplyException, Error, RowAt, SingleChange, SingleKind, TargetTable};
use whimbrel_core::{TableName, Value, write_text};

/// Longer values are cut here: what is written down helps to find the row, it does not keep it.
const VALUE_CHARS: usize = 200;

/// What is written down of a change, and why it was left out.
pub(crate) fn of(change: &SingleChange<'_>, error: &str) -> Result<ApplyException, Error> {
    let statement = match statement(change) {
        // The row cannot be had at all: a rule finds no value for it.
        Err(Error::Row(_)) => without_row(change),
        statement => statement?,
    };
    Ok(ApplyException {
        table: change.table.name.clone(),
        statement,
        error: error.to_owned(),
    })
}

/// The key of a change's row, as refusals have it; none of a table without one, and of a row that cannot be read.
pub(crate) fn key_of(change: &SingleChange<'_>) -> Option<String> {
    let row = match change.kind {
        SingleKind::Insert { after } => after,
        SingleKind::Update { before, after } => before.unwrap_or(after),
        SingleKind::Delete { before } => before,
        SingleKind::Truncate => return None,
    };
    let places = &change.table.primary_key;
    let mut key = Vec::new();
    let decoded = change.rows.decode_old(row, places, &mut |values| {
        for value in places.iter().filter_map(|&place| values.get(place)) {
            let between: &[u8] = if key.is_empty() { b"(" } else { b", " };
            key.extend_from_slice(between);
            write_text(value, &mut key);
        }
        Ok(())
    });
    decoded.ok().filter(|()| !key.is_empty())?;
    Some(format!("{})", String::from_utf8_lossy(&key)))
}

fn without_row(change: &SingleChange<'_>) -> String {
    let verb = match change.kind {
        SingleKind::Insert { .. } => "INSERT INTO",
        SingleKind::Update { .. } => "UPDATE",
        SingleKind::Delete { .. } => "DELETE FROM",
        SingleKind::Truncate => "TRUNCATE TABLE",
    };
    format!(
        "{verb} {} (a row for which a rule finds no value)",
        table_name(&change.table.name)
    )
}

fn statement(change: &SingleChange<'_>) -> Result<String, Error> {
    let table = change.table;
    let name = &table_name(&table.name);
    Ok(match change.kind {
        SingleKind::Insert { after } => insert_of(name, &cells(change, after)?),
        SingleKind::Update { before, after } => {
            let new = cells(change, after)?;
            let old =
                before.map_or_else(|| cells(change, after), |before| old_cells(change, before))?;
            format!(
                "UPDATE {name} SET {} WHERE {}",
                pairs(new.iter(), ", "),
                condition(table, &old)
            )
        }
        SingleKind::Delete { before } => {
            let old = old_cells(change, before)?;
            format!("DELETE FROM {name} WHERE {}", condition(table, &old))
        }
        SingleKind::Truncate => format!("TRUNCATE TABLE {name}"),
    })
}

/// The statement that would insert a row of a load.
pub(crate) fn insert(table: &TargetTable, row: &[Value<'_>]) -> String {
    let names = table.columns.iter().map(|column| column.name.as_str());
    let cells: Vec<Cell<'_>> = names.zip(row.iter().map(in_words)).collect();
    insert_of(&table_name(&table.name), &cells)
}

fn table_name(name: &TableName) -> String {
    if name.schema.is_empty() {
        return identifier(&name.name).into_owned();
    }
    format!("{}.{}", identifier(&name.schema), identifier(&name.name))
}

/// Plain names stand without quotes, as every engine takes them.
fn identifier(name: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
    if !name.is_empty() && name.chars().all(is_plain) {
        return Cow::Borrowed(name);
    }
    Cow::Owned(quoted(name, "U&", '"'))
}

/// Within quotes; `escaping` stands before those that have backslashes in them, each of which is doubled then.
fn quoted(text: &str, escaping: &str, quote: char) -> String {
    let doubled = text.replace(quote, &format!("{quote}{quote}"));
    if text.contains('\\') {
        format!("{escaping}{quote}{}{quote}", doubled.replace('\\', "\\\\"))
    } else {
        format!("{quote}{doubled}{quote}")
    }
}

fn insert_of(name: &str, cells: &[Cell<'_>]) -> String {
    let sent = cells
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let (names, values): (Vec<Cow<'_, str>>, Vec<&str>) = sent
        .map(|(name, value)| (identifier(name), value.as_str()))
        .unzip();
    format!(
        "INSERT INTO {name} ({}) VALUES ({})",
        names.join(", "),
        values.join(", ")
    )
}

type Cell<'t> = (&'t str, Option<String>);

/// Column by column; `None`: not sent.
fn cells<'t>(change: &SingleChange<'t>, row: RowAt) -> Result<Vec<Cell<'t>>, Error> {
    let names = change
        .table
        .columns
        .iter()
        .map(|column| column.name.as_str());
    let mut found = Vec::new();
    change.rows.decode(row, &mut |values| {
        found = names.clone().zip(values.iter().map(in_words)).collect();
        Ok(())
    })?;
    Ok(found)
}

/// Those of an old row, as far as they can be read, if its key can.
fn old_cells<'t>(change: &SingleChange<'t>, row: RowAt) -> Result<Vec<Cell<'t>>, Error> {
    let TargetTable {
        columns,
        primary_key,
        ..
    } = change.table;
    let mut found = Vec::new();
    change.rows.decode_old(row, primary_key, &mut |values| {
        let names = columns.iter().map(|column| column.name.as_str());
        found = names.zip(values.iter().map(in_words)).collect();
        Ok(())
    })?;
    Ok(found)
}

fn in_words(value: &Value<'_>) -> Option<String> {
    match value {
        Value::NotSent => None,
        Value::Null => Some("NULL".to_owned()),
        value => {
            let mut text = Vec::new();
            write_text(value, &mut text);
            let text = String::from_utf8_lossy(&text);
            let short: String = text.chars().take(VALUE_CHARS).collect();
            let cut = if short.len() < text.len() { "…" } else { "" };
            // Hexadecimal digits behind one backslash: no escape of theirs ends the text.
            if matches!(value, Value::Bytes(_)) {
                return Some(format!("'{short}{cut}'"));
            }
            Some(quoted(&(short + cut), "E", '\''))
        }
    }
}

/// By the key, or by all that was sent of a table without one.
fn condition(table: &TargetTable, cells: &[Cell<'_>]) -> String {
    let key = &table.primary_key;
    let places = (0..cells.len()).filter(|place| key.is_empty() || key.contains(place));
    pairs(places.map(|place| &cells[place]), " AND ")
}

fn pairs<'c, 't: 'c>(cells: impl Iterator<Item = &'c Cell<'t>>, between: &str) -> String {
    let sent = cells
        .filter_map(|(name, value)| Some(format!("{} = {}", identifier(name), value.as_ref()?)));
    sent.collect::<Vec<String>>().join(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_do_not_end_before_their_quotes_on_any_engine() {
        let table = TableName::new("shop", "zz\rdrop table victim; --");
        assert_eq!(table_name(&table), "shop.\"zz\rdrop table victim; --\"");
        assert_eq!(
            table_name(&TableName::new("shop", "Orders_1")),
            "shop.Orders_1"
        );
        assert_eq!(identifier("a\\\"b"), "U&\"a\\\\\"\"b\"");
        let text = |value| in_words(&value).unwrap();
        assert_eq!(text(Value::Text("it's")), "'it''s'");
        assert_eq!(
            text(Value::Text("\\'; drop table victim; -- ")),
            "E'\\\\''; drop table victim; -- '"
        );
        assert_eq!(text(Value::Bytes(&[0, 255])), "'\\x00ff'");
    }
}
