//! Values that do not fit a target's columns, counted by the server.

use whimbrel_connector::{Bounds, Error, Measured, Misfit, PROBE_CELLS, Probe};
use whimbrel_core::{ColumnType, Table};

use crate::errors::of_table;
use crate::quote;
use crate::wire::Connection;

const DOING: &str = "look for values that do not fit the target";

/// `rows`: how many are looked at, the first that the server gives; `None`: all.
pub(super) async fn find(
    connection: &mut Connection,
    table: &Table,
    columns: &[Measured],
    rows: Option<u64>,
) -> Result<Vec<Misfit>, Error> {
    let probes = probes(table, columns);
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    let found = connection.rows(&statement(table, &probes, rows)).await;
    let found = found.map_err(|error| of_table(error, &table.name, DOING))?;
    let Some(row) = found.first() else {
        return Ok(Vec::new());
    };
    let misfits = probes
        .into_iter()
        .enumerate()
        .filter_map(|(number, probe)| {
            let first = number * PROBE_CELLS;
            probe.misfit([row.get(first), row.get(first + 1), row.get(first + 2)])
        });
    Ok(misfits.collect())
}

/// One statement for all probes. Identifiers are quoted, and bounds are numbers that this crate or another connector has written.
fn statement(table: &Table, probes: &[Probe], rows: Option<u64>) -> String {
    let key = key(table);
    let cells = probes.iter().flat_map(|probe| {
        let Probe {
            condition, extreme, ..
        } = probe;
        let extreme = extreme.as_deref().unwrap_or("NULL");
        [
            format!("COALESCE(SUM({condition}), 0)"),
            extreme.to_owned(),
            format!("MIN(CASE WHEN {condition} THEN {key} END)"),
        ]
    });
    let cells = cells.collect::<Vec<_>>().join(", ");
    let name = quote::table(&table.name);
    match rows {
        Some(rows) => format!("SELECT {cells} FROM (SELECT * FROM {name} LIMIT {rows}) sampled"),
        None => format!("SELECT {cells} FROM {name}"),
    }
}

fn key(table: &Table) -> String {
    let names = table.primary_key.iter().filter_map(|&place| {
        let column = table.columns.get(place)?;
        let name = quote::identifier(&column.name);
        // Bytes are no text, and make none of what they are put together with.
        let is_bytes = matches!(
            column.ty,
            ColumnType::Binary { .. }
                | ColumnType::Varbinary { .. }
                | ColumnType::Blob { .. }
                | ColumnType::Bit { .. }
        );
        Some(if is_bytes {
            format!("HEX({name})")
        } else {
            name
        })
    });
    let names: Vec<String> = names.collect();
    match names.as_slice() {
        [] => "NULL".to_owned(),
        [one] => format!("CONCAT({one}, '')"),
        several => format!("CONCAT('(', CONCAT_WS(',', {}), ')')", several.join(", ")),
    }
}

fn probes(table: &Table, columns: &[Measured]) -> Vec<Probe> {
    let mut probes = Vec::new();
    for measured in columns {
        let found = table
            .columns
            .iter()
            .find(|column| column.name == measured.column);
        let Some(column) = found else { continue };
        let name = quote::identifier(&column.name);
        let asked = of_column(&name, &column.ty, &measured.bounds);
        probes.extend(asked.into_iter().map(|(what, condition, extreme)| Probe {
            column: column.name.clone(),
            what,
            condition: format!("COALESCE({condition}, 0)"),
            extreme,
        }));
    }
    probes
}

type Asked = (String, String, Option<String>);

fn of_column(name: &str, ty: &ColumnType, bounds: &Bounds) -> Vec<Asked> {
    let is_bytes = matches!(
        ty,
        ColumnType::Binary { .. } | ColumnType::Varbinary { .. } | ColumnType::Blob { .. }
    );
    let mut asked = Vec::new();
    let text = format!("CONVERT({name} USING utf8mb4)");
    let bytes = if is_bytes { name } else { &text };
    for (most, length, unit) in [
        (
            bounds.chars_max,
            format!("CHAR_LENGTH({name})"),
            "characters",
        ),
        (bounds.bytes_max, format!("LENGTH({bytes})"), "bytes"),
    ] {
        if let Some(most) = most {
            asked.push((
                format!("more than {most} {unit}"),
                format!("{length} > {most}"),
                Some(format!("CONCAT('the longest has ', MAX({length}))")),
            ));
        }
    }
    if let Some((least, greatest)) = &bounds.numbers {
        asked.push((
            format!("a number below {least} or above {greatest}"),
            format!("{name} < {least} OR {name} > {greatest}"),
            Some(format!("CONCAT('from ', MIN({name}), ' to ', MAX({name}))")),
        ));
    }
    if let Some(most) = bounds.scale_max {
        asked.push((
            format!("more than {most} digits behind the point"),
            format!("{name} <> TRUNCATE({name}, {most})"),
            None,
        ));
    }
    asked.extend(of_times(name, ty, bounds));
    if bounds.without.nul && !is_dated(ty) {
        asked.push((
            "the character NUL".to_owned(),
            format!("INSTR(CAST({text} AS BINARY), 0x00) > 0"),
            None,
        ));
    }
    asked
}

fn is_dated(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Date | ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. }
    )
}

fn of_times(name: &str, ty: &ColumnType, bounds: &Bounds) -> Vec<Asked> {
    let mut asked = Vec::new();
    let none = format!(
        "MONTH({name}) = 0 OR DAYOFMONTH({name}) = 0 OR DAYOFMONTH({name}) > DAYOFMONTH(LAST_DAY({name}))"
    );
    if bounds.without.nul && is_dated(ty) {
        asked.push(("a date that is none".to_owned(), none, None));
    }
    if let Some((first, last)) = bounds.years {
        asked.push((
            format!("a year before {first} or after {last}"),
            format!("YEAR({name}) < {first} OR YEAR({name}) > {last}"),
            Some(format!("CONCAT('from ', MIN({name}), ' to ', MAX({name}))")),
        ));
    }
    if bounds.without.durations {
        asked.push((
            "a time outside of a day".to_owned(),
            format!("TIME_TO_SEC({name}) < 0 OR TIME_TO_SEC({name}) > 86400"),
            Some(format!("CONCAT('from ', MIN({name}), ' to ', MAX({name}))")),
        ));
    }
    asked
}
