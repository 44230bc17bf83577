use whimbrel_connector::TargetColumn;
use whimbrel_connector::objects::{ObjectStatement, Refused, keeps_values_of_text};
use whimbrel_core::Engine;
use whimbrel_core::objects::{Index, IndexMethod, IndexPart, IndexedValue, ObjectKind};

use super::{Placed, Planning};
use crate::quote::{identifier, literal};

/// The longest key of `InnoDB` in its default row format.
const KEY_BYTES_MAX: u32 = 3072;
/// Bytes of a character in utf8mb4.
const CHAR_BYTES: u32 = 4;
/// Bytes of a value of any type that has no length of its own.
const FIXED_BYTES: u32 = 40;

pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    for index in &table.objects.indexes {
        let place = table.name.clone();
        let name = planning
            .index_names
            .take(&place, &index.name, &table.target.name.name);
        let exists = exists(table, index, &name);
        let (made, note) = match statement(table, index, &name) {
            Ok((sql, note)) => (Ok(vec![ObjectStatement::unless(sql, exists)]), note),
            Err(refused) => (Err(refused), None),
        };
        let step = planning
            .found
            .add(ObjectKind::Index, &table.objects.table, &index.name, made);
        if let Some(step) = step {
            // A batch of changes may pass through states in which two rows agree.
            step.waits_for_end = index.is_unique;
            step.note = note;
        }
    }
}

/// Finds an index of its name, or of another and the same columns.
fn exists(table: &Placed<'_>, index: &Index, name: &str) -> String {
    let part = |part: &IndexPart| {
        let IndexedValue::Column(column) = &part.value else {
            return None;
        };
        let column = table.column(column).ok()?;
        let order = if part.is_descending { "D" } else { "A" };
        Some(format!("{column}:{}{order}", part.prefix.unwrap_or(0)))
    };
    let mut indexes = table.objects.indexes.iter();
    let is_alike =
        |other: &&Index| other.parts == index.parts && other.is_unique == index.is_unique;
    let has_twin = indexes.by_ref().filter(is_alike).count() > 1;
    let is_plain = matches!(index.method, IndexMethod::BTree | IndexMethod::Hash);
    let parts = index.parts.iter().map(part).collect::<Option<Vec<_>>>();
    let parts = parts.filter(|_| is_plain && !has_twin);
    let same = parts.map(|parts| {
        format!(
            " OR (found.uniqueness = {} AND found.name <> 'PRIMARY' AND found.kind NOT IN ('FULLTEXT', 'SPATIAL', 'VECTOR') AND found.parts = {})",
            u8::from(!index.is_unique),
            literal(&parts.join(","))
        )
    });
    format!(
        "SELECT 1 FROM (SELECT index_name AS name, max(non_unique) AS uniqueness, max(index_type) AS kind, \
         group_concat(coalesce(column_name, ''), ':', coalesce(sub_part, 0), coalesce(collation, 'A') ORDER BY seq_in_index) AS parts \
         FROM information_schema.statistics WHERE {} GROUP BY index_name) AS found WHERE found.name = {}{}",
        table.is_it("table_schema"),
        literal(name),
        same.unwrap_or_default()
    )
}

/// The method of MariaDB's indexes of vectors, from 11.7 on.
const VECTOR: &str = "VECTOR";

type Converted = (String, Option<String>);

fn statement(table: &Placed<'_>, index: &Index, name: &str) -> Result<Converted, Refused> {
    let kind = match &index.method {
        IndexMethod::FullText => "FULLTEXT ",
        IndexMethod::Spatial => "SPATIAL ",
        IndexMethod::Other(method) if method == VECTOR => "VECTOR ",
        IndexMethod::BTree | IndexMethod::Hash | IndexMethod::Other(_) if index.is_unique => {
            "UNIQUE "
        }
        IndexMethod::BTree | IndexMethod::Hash | IndexMethod::Other(_) => "",
    };
    let add = |rest: &str| {
        format!(
            "ALTER TABLE {} ADD {kind}KEY {} {rest}",
            table.name,
            identifier(name)
        )
    };
    let refused = |reason: String| Refused::with_statement(reason, add(&by_hand(table, index)));
    if index.is_unique {
        for part in &index.parts {
            match &part.value {
                IndexedValue::Column(name) => table.keeps_value(name),
                IndexedValue::Expression(text) => keeps_values_of_text(table.target, text),
            }
            .map_err(refused)?;
        }
    }
    let native = index.native.as_ref();
    if let Some(native) = native.filter(|native| table.takes_text(native)) {
        return Ok((add(native), None));
    }
    check(table, index).map_err(refused)?;
    let (parts, mut notes) = convert_parts(table, index).map_err(refused)?;
    if !index.included.is_empty() {
        notes.push("the columns that the source's index holds without searching them are left out, because indexes here have none");
    }
    if index.is_ignored {
        notes.push("the source does not use it; this server does");
    }
    let constraint = index.constraint.as_deref().unwrap_or_default();
    if constraint.ends_with(" DEFERRABLE") || constraint.ends_with(" INITIALLY DEFERRED") {
        notes.push("it is looked at with each row here, and could be deferred at the source");
    }
    Ok((
        add(&format!("({})", parts.join(", "))),
        (!notes.is_empty()).then(|| notes.join("; ")),
    ))
}

/// Whether indexes of its kind are made here.
fn check(table: &Placed<'_>, index: &Index) -> Result<(), String> {
    let is_family = table.objects.engine != Engine::Postgres;
    match &index.method {
        IndexMethod::BTree | IndexMethod::Hash => {}
        IndexMethod::FullText | IndexMethod::Spatial if is_family => {}
        IndexMethod::FullText | IndexMethod::Spatial => {
            return Err("it is an index of another engine's kind".to_owned());
        }
        IndexMethod::Other(method) => {
            return Err(format!("there are no indexes of method {method} here"));
        }
    }
    if let Some(constraint) = index
        .constraint
        .as_ref()
        .filter(|text| !text.starts_with("UNIQUE "))
    {
        return Err(format!(
            "it serves a constraint that this server does not have: {constraint}"
        ));
    }
    if index.predicate.is_some() {
        return Err("an index here holds all rows, and it holds only some".to_owned());
    }
    if index.nulls_agree {
        return Err("NULLs do not agree with each other in unique indexes here".to_owned());
    }
    Ok(())
}

fn convert_parts(
    table: &Placed<'_>,
    index: &Index,
) -> Result<(Vec<String>, Vec<&'static str>), String> {
    let has_length = matches!(index.method, IndexMethod::BTree | IndexMethod::Hash);
    let takes_any_length = index.is_unique && table.engine == Engine::MariaDb;
    let share = KEY_BYTES_MAX / u32::try_from(index.parts.len().max(1)).unwrap_or(KEY_BYTES_MAX);
    let columns = index
        .parts
        .iter()
        .map(|part| column(table, part))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes: u32 = columns
        .iter()
        .zip(&index.parts)
        .map(|(column, part)| bytes_of(column, part))
        .fold(0, u32::saturating_add);
    let is_too_long = has_length && !takes_any_length && bytes > KEY_BYTES_MAX;
    if is_too_long && index.is_unique {
        return Err("its values may be longer than the 3072 bytes of a key here, and their beginnings alone need not differ".to_owned());
    }
    let mut notes = Vec::new();
    let mut parts = Vec::new();
    for (column, part) in columns.iter().zip(&index.parts) {
        let prefix = match part.prefix {
            Some(length) => Some(length),
            None if is_too_long && bytes_of(column, part) > share => Some(share / unit(column)),
            None => None,
        };
        if prefix != part.prefix {
            notes.push("only the beginnings of long values are indexed, because a key here has at most 3072 bytes");
        }
        let prefix = prefix
            .filter(|_| has_length)
            .map_or_else(String::new, |length| format!("({length})"));
        let order = if part.is_descending { " DESC" } else { "" };
        parts.push(format!("{}{prefix}{order}", identifier(&column.name)));
    }
    notes.dedup();
    Ok((parts, notes))
}

fn column<'a>(table: &Placed<'a>, part: &IndexPart) -> Result<&'a TargetColumn, String> {
    if let Some(peculiarity) = &part.peculiarity {
        return Err(format!("it has the {peculiarity} of the source"));
    }
    let IndexedValue::Column(name) = &part.value else {
        return Err("it indexes an expression of the source".to_owned());
    };
    let column = table
        .planned(name)
        .ok_or_else(|| format!("its column {name} is not at the target, or computed"))?;
    let native = column.native.to_lowercase();
    if native == "json" {
        return Err(format!(
            "its column {name} holds documents, which cannot be indexed"
        ));
    }
    if table.objects.engine == Engine::Postgres && native.starts_with("geometry") {
        return Err(format!("its column {name} holds geometries"));
    }
    Ok(column)
}

/// The most bytes of a key that the column takes.
fn bytes_of(column: &TargetColumn, part: &IndexPart) -> u32 {
    if let Some(length) = part.prefix {
        return length.saturating_mul(unit(column));
    }
    let native = column.native.to_lowercase();
    let is_long = native
        .split_whitespace()
        .next()
        .is_some_and(|ty| ty.ends_with("text") || ty.ends_with("blob"));
    if is_long {
        return u32::MAX;
    }
    let length = native
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'));
    let length = length.and_then(|(length, _)| length.parse::<u32>().ok());
    match length {
        Some(length)
            if native.starts_with("varchar")
                || native.starts_with("char")
                || native.contains("binary") =>
        {
            length.saturating_mul(unit(column))
        }
        _ => FIXED_BYTES,
    }
}

/// Bytes of what its lengths count.
fn unit(column: &TargetColumn) -> u32 {
    let native = column.native.to_lowercase();
    let is_bytes = native.contains("blob")
        || native.contains("binary")
        || native.contains("character set ascii");
    if is_bytes { 1 } else { CHAR_BYTES }
}

/// What to begin from for an index that is not made.
fn by_hand(table: &Placed<'_>, index: &Index) -> String {
    let parts = index.parts.iter().map(|part| match &part.value {
        IndexedValue::Column(name) => identifier(table.column(name).unwrap_or(name)),
        IndexedValue::Expression(text) => format!("(({text}))"),
    });
    let parts: Vec<String> = parts.collect();
    format!("({})", parts.join(", "))
}
