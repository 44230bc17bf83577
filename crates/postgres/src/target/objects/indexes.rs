use whimbrel_connector::objects::{ObjectStatement, Refused, keeps_values, keeps_values_of_text};
use whimbrel_core::ColumnType;
use whimbrel_core::objects::{Index, IndexMethod, IndexPart, IndexedValue, ObjectKind};

use super::super::plan;
use super::{Placed, Planning};
use crate::quote::{identifier, literal};

pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    for index in &table.objects.indexes {
        let name = planning.names.take(
            &table.target.name.schema,
            &index.name,
            &table.target.name.name,
        );
        let made = statement(table, index, &name).map(|sql| {
            let exists = exists(table, index, (&name, &sql));
            vec![ObjectStatement::unless(sql, exists)]
        });
        let step = planning
            .found
            .add(ObjectKind::Index, &table.objects.table, &index.name, made);
        if let Some(step) = step {
            // A batch of changes may pass through states in which two rows agree.
            step.waits_for_end = index.is_unique || index.constraint.is_some();
            step.note = note(table, index, &name);
        }
    }
}

/// An index of its name, or of another and the same definition: the server prints that as it stands in the statement, but for quotes.
fn exists(table: &Placed<'_>, index: &Index, (name, sql): (&str, &str)) -> String {
    let mut indexes = table.objects.indexes.iter();
    let is_alike = |other: &&Index| {
        other.parts == index.parts
            && other.is_unique == index.is_unique
            && other.predicate == index.predicate
            && other.included == index.included
    };
    let has_twin = indexes.by_ref().filter(is_alike).count() > 1;
    let native = index.native.as_deref().filter(|_| table.is_same_engine);
    let definition = match (native, sql.split_once(&format!(" ON {} (", table.name))) {
        (Some(native), _) if table.takes_text(native) => Some(format!(" {native}")),
        (_, Some((_, parts))) => Some(format!(" USING btree ({parts}")),
        _ => None,
    };
    let same = definition.filter(|_| !has_twin).map(|definition| {
        let definition = literal(&definition.replace('"', ""));
        format!(
            " OR (NOT i.indisprimary AND i.indisunique = {} \
             AND right(replace(pg_get_indexdef(i.indexrelid), '\"', ''), length({definition})) = {definition})",
            index.is_unique
        )
    });
    format!(
        "SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
         WHERE i.indrelid = {} AND i.indisvalid AND (c.relname = {}{})",
        table.regclass(),
        literal(name),
        same.unwrap_or_default()
    )
}

fn statement(table: &Placed<'_>, index: &Index, name: &str) -> Result<String, Refused> {
    let quoted = identifier(name);
    if index.is_unique || index.constraint.is_some() {
        let shape = keeps_values(table.target, columns_of(index));
        let shape = shape.and_then(|()| {
            let mut texts = texts_of(index);
            texts.try_for_each(|text| keeps_values_of_text(table.target, text))
        });
        shape.map_err(|reason| Refused::with_statement(reason, by_hand(table, index, &quoted)))?;
    }
    let native = index.native.as_ref();
    if let Some(native) = native.filter(|native| table.takes_text(native)) {
        return Ok(match &index.constraint {
            Some(constraint) => format!(
                "ALTER TABLE {} ADD CONSTRAINT {quoted} {constraint}",
                table.name
            ),
            None => format!(
                "CREATE {}INDEX {quoted} ON {} {native}",
                unique(index),
                table.name
            ),
        });
    }
    convert(table, index, &quoted)
}

fn columns_of(index: &Index) -> impl Iterator<Item = &str> {
    index.parts.iter().filter_map(|part| match &part.value {
        IndexedValue::Column(name) => Some(name.as_str()),
        IndexedValue::Expression(_) => None,
    })
}

/// The texts of the source's SQL in an index.
fn texts_of(index: &Index) -> impl Iterator<Item = &str> {
    let expressions = index.parts.iter().filter_map(|part| match &part.value {
        IndexedValue::Column(_) => None,
        IndexedValue::Expression(text) => Some(text.as_str()),
    });
    expressions.chain(index.predicate.as_deref())
}

fn unique(index: &Index) -> &'static str {
    if index.is_unique { "UNIQUE " } else { "" }
}

/// An index of another engine, or of columns that have other names here, put together from its parts.
fn convert(table: &Placed<'_>, index: &Index, name: &str) -> Result<String, Refused> {
    let by_hand = |reason: &str| Refused::with_statement(reason, by_hand(table, index, name));
    match &index.method {
        IndexMethod::BTree | IndexMethod::Hash => {}
        IndexMethod::FullText => {
            return Err(by_hand(
                "full-text search works otherwise here: an index serves the expressions of its own queries",
            ));
        }
        IndexMethod::Spatial => return Err(by_hand("geometries are kept as bytes here")),
        IndexMethod::Other(method) => {
            return Err(by_hand(&format!(
                "it is an index of method {method}, whose columns have other names here"
            )));
        }
    }
    if index.predicate.is_some() {
        return Err(by_hand("its condition is an expression of the source"));
    }
    let parts = index
        .parts
        .iter()
        .map(|part| convert_part(table, part).map_err(|reason| by_hand(&reason)));
    let parts = parts.collect::<Result<Vec<_>, _>>()?.join(", ");
    let included = if index.included.is_empty() {
        String::new()
    } else {
        format!(" INCLUDE ({})", table.columns(&index.included)?)
    };
    let nulls = if index.nulls_agree {
        " NULLS NOT DISTINCT"
    } else {
        ""
    };
    if let Some(constraint) = &index.constraint {
        return match constraint.strip_prefix("UNIQUE ") {
            Some(_) => Ok(format!(
                "ALTER TABLE {} ADD CONSTRAINT {name} UNIQUE{nulls} ({parts}){included}{}",
                table.name,
                deferral(constraint)
            )),
            None => Err(by_hand(
                "it serves a constraint whose columns have other names here",
            )),
        };
    }
    Ok(format!(
        "CREATE {}INDEX {name} ON {} ({parts}){included}{nulls}",
        unique(index),
        table.name
    ))
}

/// What a constraint says behind its columns of when rows are held to it.
fn deferral(constraint: &str) -> &str {
    let kinds = [" DEFERRABLE INITIALLY DEFERRED", " DEFERRABLE"];
    let mut kinds = kinds.into_iter();
    kinds.find(|kind| constraint.ends_with(kind)).unwrap_or("")
}

fn convert_part(table: &Placed<'_>, part: &IndexPart) -> Result<String, String> {
    if let Some(peculiarity) = &part.peculiarity {
        return Err(format!("it has the {peculiarity} of the source"));
    }
    let IndexedValue::Column(column) = &part.value else {
        return Err("it indexes an expression of the source".to_owned());
    };
    let name = identifier(table.column(column).map_err(|refused| refused.reason)?);
    let planned = table.planned(column);
    if planned.is_some_and(|planned| planned.native == "json") {
        return Err("a json column cannot be indexed here".to_owned());
    }
    let value = match part.prefix {
        None => name,
        // Agrees for two values exactly when their beginnings do, as at the source.
        Some(length) if planned.is_some_and(|planned| is_binary(&planned.source_type)) => {
            format!("substring({name} from 1 for {length})")
        }
        Some(length) => format!("\"left\"({name}, {length})"),
    };
    let order = if part.is_descending { " DESC" } else { "" };
    Ok(format!("{value}{order}"))
}

fn is_binary(ty: &ColumnType) -> bool {
    matches!(
        ty,
        ColumnType::Binary { .. } | ColumnType::Varbinary { .. } | ColumnType::Blob { .. }
    )
}

/// What to begin from for an index that is not made.
fn by_hand(table: &Placed<'_>, index: &Index, name: &str) -> String {
    if index.method == IndexMethod::FullText {
        let names = index.parts.iter().filter_map(|part| match &part.value {
            IndexedValue::Column(column) => table.column(column).ok(),
            IndexedValue::Expression(_) => None,
        });
        let names: Vec<String> = names
            .map(|name| format!("coalesce({}, '')", identifier(name)))
            .collect();
        return format!(
            "CREATE INDEX {name} ON {} USING gin (to_tsvector('simple', {}))",
            table.name,
            names.join(" || ' ' || ")
        );
    }
    if let Some(constraint) = &index.constraint {
        return format!(
            "ALTER TABLE {} ADD CONSTRAINT {name} {constraint}",
            table.name
        );
    }
    let parts = index.parts.iter().map(|part| match &part.value {
        IndexedValue::Column(column) => identifier(table.column(column).unwrap_or(column)),
        IndexedValue::Expression(text) => format!("({text})"),
    });
    let parts: Vec<String> = parts.collect();
    let method = match &index.method {
        IndexMethod::Other(method) => format!("USING {} ", identifier(method)),
        IndexMethod::BTree | IndexMethod::Hash | IndexMethod::FullText | IndexMethod::Spatial => {
            String::new()
        }
    };
    let predicate = index.predicate.as_ref();
    let predicate = predicate.map_or_else(String::new, |predicate| format!(" WHERE {predicate}"));
    format!(
        "CREATE {}INDEX {name} ON {} {method}({}){predicate}",
        unique(index),
        table.name,
        parts.join(", ")
    )
}

fn note(table: &Placed<'_>, index: &Index, name: &str) -> Option<String> {
    let mut notes = Vec::new();
    if index.name != *name {
        notes.push(format!("its name here is {name}, because names of indexes differ within a schema and have at most 63 bytes"));
    }
    if index.parts.iter().any(|part| part.prefix.is_some()) {
        notes.push("the beginnings of values are indexed as an expression, which queries must use to be served by it".to_owned());
    }
    if index.is_ignored {
        notes.push("the source does not use it; this server does".to_owned());
    }
    let columns = &table.target.source.columns;
    let agrees_otherwise = |name: &str| {
        let column = columns.iter().find(|column| column.name == name);
        column.is_some_and(plan::agrees_otherwise)
    };
    if !table.is_same_engine && index.is_unique && columns_of(index).any(agrees_otherwise) {
        notes.push(plan::agrees_by_bytes("it"));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}
