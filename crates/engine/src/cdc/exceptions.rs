//! Changes that were left out, in words for `awsdms_apply_exceptions`: a statement that does the same, as far as it can be told.

use whimbrel_connector::{ApplyException, Error, RowAt, SingleChange, SingleKind, TargetTable};
use whimbrel_core::{Value, write_text};

/// Longer values are cut here: what is written down helps to find the row, it does not keep it.
const VALUE_CHARS: usize = 200;

/// What is written down of a change, and why it was left out.
pub(super) fn of(change: &SingleChange<'_>, error: &str) -> Result<ApplyException, Error> {
    let table = change.table;
    let name = &table.name;
    let statement = match change.kind {
        SingleKind::Insert { after } => {
            let cells = cells(change, after)?;
            let sent = cells
                .iter()
                .filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let (names, values): (Vec<&str>, Vec<&str>) =
                sent.map(|(name, value)| (*name, value.as_str())).unzip();
            format!(
                "INSERT INTO {name} ({}) VALUES ({})",
                names.join(", "),
                values.join(", ")
            )
        }
        SingleKind::Update { before, after } => {
            let new = cells(change, after)?;
            let old =
                before.map_or_else(|| cells(change, after), |before| cells(change, before))?;
            format!(
                "UPDATE {name} SET {} WHERE {}",
                pairs(new.iter(), ", "),
                condition(table, &old)
            )
        }
        SingleKind::Delete { before } => {
            let old = cells(change, before)?;
            format!("DELETE FROM {name} WHERE {}", condition(table, &old))
        }
        SingleKind::Truncate => format!("TRUNCATE TABLE {name}"),
    };
    Ok(ApplyException {
        table: name.clone(),
        statement,
        error: error.to_owned(),
    })
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
            Some(format!("'{}{cut}'", short.replace('\'', "''")))
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
    let sent = cells.filter_map(|(name, value)| Some(format!("{name} = {}", value.as_ref()?)));
    sent.collect::<Vec<String>>().join(between)
}
