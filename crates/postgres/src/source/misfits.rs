//! Values that do not fit a target's columns, counted by the server.

use whimbrel_connector::{Bounds, Error, Measured, Misfit, PROBE_CELLS, Probe};
use whimbrel_core::{ColumnType, Table};

use crate::errors::of_table;
use crate::quote;
use crate::wire::Connection;

const DOING: &str = "look for values that do not fit the target";
/// A sample is drawn from so many times the rows that are wanted, as blocks are more or less full.
const DRAWN: u64 = 4;

/// `rows`: about how many are looked at; `None`: all.
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
    let failed = |error| of_table(error, &table.name, DOING);
    let from = from(table, rows);
    let found = connection.query(&statement(table, &probes, &from)).await;
    let found = match found {
        // Views and foreign tables have no blocks to draw from.
        Err(_) if from.contains("TABLESAMPLE") => {
            let from = limited(table, "", rows);
            connection.query(&statement(table, &probes, &from)).await
        }
        found => found,
    };
    let found = found.map_err(failed)?;
    let row = found.first().cloned().unwrap_or_default();
    let cell = |place: usize| row.get(place).and_then(Option::as_deref);
    let misfits = probes
        .into_iter()
        .enumerate()
        .filter_map(|(number, probe)| {
            let first = number * PROBE_CELLS;
            probe.misfit([cell(first), cell(first + 1), cell(first + 2)])
        });
    Ok(misfits.collect())
}

/// One statement for all probes. Identifiers are quoted, and bounds are numbers that this crate or another connector has written.
fn statement(table: &Table, probes: &[Probe], from: &str) -> String {
    let key = key(table);
    let cells = probes.iter().flat_map(|probe| {
        let Probe {
            condition, extreme, ..
        } = probe;
        let extreme = extreme.as_deref().unwrap_or("null::text");
        [
            format!("count(*) filter (where {condition})"),
            format!("({extreme})"),
            format!("min({key}) filter (where {condition})"),
        ]
    });
    format!(
        "select {} from {from}",
        cells.collect::<Vec<_>>().join(", ")
    )
}

fn key(table: &Table) -> String {
    let names = table.primary_key.iter().filter_map(|&place| {
        let column = table.columns.get(place)?;
        Some(quote::identifier(&column.name))
    });
    let names: Vec<String> = names.collect();
    match names.as_slice() {
        [] => "null::text".to_owned(),
        [one] => format!("{one}::text"),
        several => format!("row({})::text", several.join(", ")),
    }
}

fn from(table: &Table, rows: Option<u64>) -> String {
    let Some(wanted) = rows else {
        return quote::table(&table.name);
    };
    let drawn = wanted.saturating_mul(DRAWN);
    let sample = match table.row_estimate {
        Some(there) if there > drawn => {
            // Hundredths of a percent, and never nothing.
            let share = (drawn.saturating_mul(10_000) / there).max(1);
            format!(" TABLESAMPLE SYSTEM ({}.{:02})", share / 100, share % 100)
        }
        _ => String::new(),
    };
    limited(table, &sample, rows)
}

fn limited(table: &Table, sample: &str, rows: Option<u64>) -> String {
    let name = quote::table(&table.name);
    match rows {
        Some(rows) => format!("(select * from {name}{sample} limit {rows}) as sampled"),
        None => name,
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
            condition,
            extreme,
        }));
    }
    probes
}

type Asked = (String, String, Option<String>);

fn of_column(name: &str, ty: &ColumnType, bounds: &Bounds) -> Vec<Asked> {
    let is_dated = matches!(
        ty,
        ColumnType::Date | ColumnType::Timestamp { .. } | ColumnType::TimestampTz { .. }
    );
    let mut asked = of_lengths(name, ty, bounds);
    if is_dated {
        asked.extend(of_dates(name, bounds));
    } else {
        asked.extend(of_numbers(name, ty, bounds));
    }
    asked
}

fn of_lengths(name: &str, ty: &ColumnType, bounds: &Bounds) -> Vec<Asked> {
    let is_bytes = matches!(
        ty,
        ColumnType::Binary { .. } | ColumnType::Varbinary { .. } | ColumnType::Blob { .. }
    );
    let bytes = if is_bytes {
        format!("octet_length({name})")
    } else {
        format!("octet_length({name}::text)")
    };
    let chars = format!("char_length({name}::text)");
    let lengths = [
        (bounds.chars_max, chars, "characters"),
        (bounds.bytes_max, bytes, "bytes"),
    ];
    let asked = lengths.into_iter().filter_map(|(most, length, unit)| {
        let most = most?;
        Some((
            format!("more than {most} {unit}"),
            format!("{length} > {most}"),
            Some(format!("'the longest has ' || max({length})")),
        ))
    });
    asked.collect()
}

fn of_numbers(name: &str, ty: &ColumnType, bounds: &Bounds) -> Vec<Asked> {
    let may_be_infinite = matches!(
        ty,
        ColumnType::Float32 | ColumnType::Float64 | ColumnType::Decimal { .. }
    );
    // Told apart from the others, as NaN is greater than all.
    let infinite = if may_be_infinite {
        format!("{name}::text in ('NaN', 'Infinity', '-Infinity')")
    } else {
        "false".to_owned()
    };
    let mut asked = Vec::new();
    if let Some((least, greatest)) = &bounds.numbers {
        let finite = format!("filter (where not {infinite})");
        asked.push((
            format!("a number below {least} or above {greatest}"),
            format!("not {infinite} and ({name} < {least} or {name} > {greatest})"),
            Some(format!(
                "'from ' || min({name}) {finite} || ' to ' || max({name}) {finite}"
            )),
        ));
    }
    if let Some(most) = bounds.scale_max {
        let digits = format!("scale(trim_scale({name}::numeric))");
        asked.push((
            format!("more than {most} digits behind the point"),
            format!("{digits} > {most}"),
            Some(format!("'the most are ' || max({digits})")),
        ));
    }
    if bounds.without.infinite {
        asked.push(("an infinite value or NaN".to_owned(), infinite, None));
    }
    asked
}

fn of_dates(name: &str, bounds: &Bounds) -> Vec<Asked> {
    let finite = format!("isfinite({name})");
    let mut asked = Vec::new();
    if bounds.without.infinite {
        let what = "an infinite value or NaN".to_owned();
        asked.push((what, format!("not {finite}"), None));
    }
    if let Some((first, last)) = bounds.years {
        let year = format!("extract(year from {name})");
        // The year before 1 is -1 here.
        let first_here = if first <= 0 { first - 1 } else { first };
        asked.push((
            format!("a year before {first} or after {last}"),
            format!("{finite} and ({year} < {first_here} or {year} > {last})"),
            Some(format!(
                "'from ' || min({name}) filter (where {finite}) || ' to ' || max({name}) filter (where {finite})"
            )),
        ));
    }
    asked
}
