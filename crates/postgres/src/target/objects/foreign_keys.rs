use std::collections::BTreeSet;

use whimbrel_connector::KeyPolicy;
use whimbrel_connector::objects::{ObjectStatement, Refused, keeps_key};
use whimbrel_core::objects::{ForeignKey, ObjectKind};

use super::super::kept_keys::demands_a_look;
use super::{Placed, Planning};
use crate::quote::{self, identifier, literal};

/// The key is added without a look at the rows, so that others can go on reading and writing, and then the rows are looked at: a row that refers to nothing
/// leaves a key that keeps out more of its kind, and is reported.
pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>, all: &[Placed<'_>]) {
    for key in &table.objects.foreign_keys {
        let name = planning.constraint_name(table, &key.name);
        let made = statements(planning, table, key, (&name, all));
        let step = planning.found.add(
            ObjectKind::ForeignKey,
            &table.objects.table,
            &key.name,
            made,
        );
        if let Some(step) = step {
            step.needs.push(key.referenced.clone());
            if !key.is_validated {
                step.note = Some(
                    "the source has never checked its rows, so they are not checked here either"
                        .to_owned(),
                );
            }
        }
    }
}

fn statements(
    planning: &Planning<'_>,
    table: &Placed<'_>,
    key: &ForeignKey,
    (name, all): (&str, &[Placed<'_>]),
) -> Result<Vec<ObjectStatement>, Refused> {
    let quoted = identifier(name);
    let Some(referenced) = planning.places.table(&key.referenced) else {
        let outside = format!(
            "it refers to {}, which is not among the tables of this migration",
            key.referenced
        );
        let add = definition(
            table,
            key,
            &quote::table(&key.referenced),
            &outside_columns(key),
        )?;
        return Err(Refused::with_statement(
            outside,
            format!("ALTER TABLE {} ADD CONSTRAINT {quoted} {add}", table.name),
        ));
    };
    let referenced = all
        .iter()
        .find(|placed| placed.target.name == referenced.name);
    let Some(referenced) = referenced else {
        return Err(Refused::because(
            "nothing is known of the table it refers to",
        ));
    };
    let add = definition(
        table,
        key,
        &referenced.name,
        &referenced.columns(&key.referenced_columns)?,
    )?;
    let add = format!("ALTER TABLE {} ADD CONSTRAINT {quoted} {add}", table.name);
    keeps_key(table.target, referenced.target, key)
        .map_err(|reason| Refused::with_statement(reason, add.clone()))?;
    if !is_key(referenced, &key.referenced_columns) {
        let reason = format!(
            "the columns it refers to in {} are not unique there, which this server demands",
            key.referenced
        );
        return Err(Refused::with_statement(reason, add));
    }
    let named = format!(
        "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND conrelid = {} AND conname = {}",
        table.regclass(),
        literal(name)
    );
    let exists = same_key(table, referenced, key, name)?;
    if !key.is_enforced {
        return Ok(vec![ObjectStatement::unless(
            format!("{add} NOT ENFORCED"),
            exists,
        )]);
    }
    let demands_a_look = demands_a_look(&table.regclass());
    let mut statements = vec![
        ObjectStatement::unless(
            format!("{add} NOT VALID"),
            format!("{exists} UNION ALL {demands_a_look}"),
        ),
        ObjectStatement::unless(add, exists.clone()),
    ];
    if key.is_validated {
        let validate = format!("ALTER TABLE {} VALIDATE CONSTRAINT {quoted}", table.name);
        statements.push(ObjectStatement::unless(
            validate,
            format!("{exists} AND convalidated UNION ALL SELECT 1 WHERE NOT EXISTS ({named})"),
        ));
    }
    Ok(statements)
}

/// Finds a key of its name, or of another between the same columns.
fn same_key(
    table: &Placed<'_>,
    referenced: &Placed<'_>,
    key: &ForeignKey,
    name: &str,
) -> Result<String, Refused> {
    let names = |placed: &Placed<'_>, columns: &[String]| {
        let names = columns.iter().map(|name| placed.column(name).map(literal));
        let names = names.collect::<Result<Vec<_>, _>>()?;
        Ok(format!("ARRAY[{}]", names.join(", ")))
    };
    let of = |numbers: &str, class: &str| {
        format!(
            "(SELECT array_agg(a.attname::text ORDER BY k.place) FROM unnest({numbers}) WITH ORDINALITY AS k(number, place) \
             JOIN pg_attribute a ON a.attrelid = {class} AND a.attnum = k.number)"
        )
    };
    Ok(format!(
        "SELECT 1 FROM pg_constraint WHERE contype = 'f' AND conrelid = {} AND (conname = {} OR (confrelid = {} AND {} = {} AND {} = {}))",
        table.regclass(),
        literal(name),
        referenced.regclass(),
        of("conkey", "conrelid"),
        names(table, &key.columns)?,
        of("confkey", "confrelid"),
        names(referenced, &key.referenced_columns)?,
    ))
}

fn outside_columns(key: &ForeignKey) -> String {
    let quoted: Vec<String> = key
        .referenced_columns
        .iter()
        .map(|name| identifier(name))
        .collect();
    quoted.join(", ")
}

fn definition(
    table: &Placed<'_>,
    key: &ForeignKey,
    referenced: &str,
    referenced_columns: &str,
) -> Result<String, Refused> {
    let columns = table.columns(&key.columns)?;
    let matches = if key.matches_full { " MATCH FULL" } else { "" };
    let some = if key.on_delete_columns.is_empty() {
        String::new()
    } else {
        format!(" ({})", table.columns(&key.on_delete_columns)?)
    };
    let deferral = key
        .deferral
        .as_ref()
        .map_or_else(String::new, |deferral| format!(" {deferral}"));
    Ok(format!(
        "FOREIGN KEY ({columns}) REFERENCES {referenced} ({referenced_columns}){matches} ON DELETE {}{some} ON UPDATE {}{deferral}",
        key.on_delete.as_str(),
        key.on_update.as_str()
    ))
}

/// Whether no two rows agree in these columns.
fn is_key(table: &Placed<'_>, columns: &[String]) -> bool {
    let wanted: BTreeSet<&str> = columns.iter().map(String::as_str).collect();
    let target = table.target;
    let key = target.primary_key.iter();
    let key: BTreeSet<&str> = key
        .filter_map(|&at| target.columns.get(at))
        .map(|column| column.name.as_str())
        .collect();
    let here: BTreeSet<&str> = columns
        .iter()
        .filter_map(|name| table.column(name).ok())
        .collect();
    let has_key = target.keys != KeyPolicy::None && !key.is_empty() && key == here;
    let mut unique = table
        .objects
        .indexes
        .iter()
        .filter(|index| index.is_unique && index.predicate.is_none());
    has_key
        || unique.any(|index| {
            let columns = index.columns();
            columns.is_some_and(|columns| columns.into_iter().collect::<BTreeSet<_>>() == wanted)
        })
}
