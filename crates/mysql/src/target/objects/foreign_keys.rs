use whimbrel_connector::objects::{ObjectStatement, Refused, keeps_key};
use whimbrel_core::Engine;
use whimbrel_core::objects::{ForeignKey, ObjectKind, ReferenceAction};

use super::{Placed, Planning};
use crate::quote::{self, identifier, literal};

pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>, all: &[Placed<'_>]) {
    for key in &table.objects.foreign_keys {
        let name = planning.names.take(
            &table.target.name.schema,
            &key.name,
            &table.target.name.name,
        );
        let made = statement(planning, table, key, (&name, all));
        let step = planning.found.add(
            ObjectKind::ForeignKey,
            &table.objects.table,
            &key.name,
            made,
        );
        if let Some(step) = step {
            step.needs.push(key.referenced.clone());
            step.note = note(key, &name);
        }
    }
}

fn statement(
    planning: &Planning<'_>,
    table: &Placed<'_>,
    key: &ForeignKey,
    (name, all): (&str, &[Placed<'_>]),
) -> Result<Vec<ObjectStatement>, Refused> {
    let columns = table.columns(&key.columns)?;
    let referenced = planning.places.table(&key.referenced);
    let referenced =
        referenced.and_then(|target| all.iter().find(|placed| placed.target.name == target.name));
    let Some(referenced) = referenced else {
        let outside = quote::list(key.referenced_columns.iter().map(String::as_str));
        let add = definition(
            table,
            key,
            name,
            &columns,
            &format!("{} ({outside})", quote::table(&key.referenced)),
        );
        let reason = format!(
            "it refers to {}, which is not among the tables of this migration",
            key.referenced
        );
        return Err(Refused::with_statement(reason, add));
    };
    let place = format!(
        "{} ({})",
        referenced.name,
        referenced.columns(&key.referenced_columns)?
    );
    let add = definition(table, key, name, &columns, &place);
    if let Some(reason) = obstacle(table, key, referenced) {
        return Err(Refused::with_statement(reason, add));
    }
    let pairs = key.columns.iter().zip(&key.referenced_columns);
    let pairs = pairs.map(|(column, other)| {
        let (column, other) = (table.column(column)?, referenced.column(other)?);
        Ok(format!("{column}>{other}"))
    });
    let pairs = pairs.collect::<Result<Vec<_>, _>>()?;
    // One of its name, or of another between the same columns.
    let exists = format!(
        "SELECT 1 FROM (SELECT constraint_name AS name, max(referenced_table_schema) AS place, max(referenced_table_name) AS other, \
         group_concat(column_name, '>', referenced_column_name ORDER BY ordinal_position) AS pairs FROM information_schema.key_column_usage \
         WHERE {} AND referenced_table_name IS NOT NULL GROUP BY constraint_name) AS found \
         WHERE found.name = {} OR (found.place = {} AND found.other = {} AND found.pairs = {})",
        table.is_it("table_schema"),
        literal(name),
        literal(&referenced.target.name.schema),
        literal(&referenced.target.name.name),
        literal(&pairs.join(","))
    );
    Ok(vec![ObjectStatement::unless(add, exists)])
}

fn definition(
    table: &Placed<'_>,
    key: &ForeignKey,
    name: &str,
    columns: &str,
    referenced: &str,
) -> String {
    format!(
        "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({columns}) REFERENCES {referenced} ON DELETE {} ON UPDATE {}",
        table.name,
        identifier(name),
        key.on_delete.as_str(),
        key.on_update.as_str()
    )
}

/// What this server does not have, or holds otherwise.
fn obstacle(table: &Placed<'_>, key: &ForeignKey, referenced: &Placed<'_>) -> Option<String> {
    if let Err(reason) = keeps_key(table.target, referenced.target, key) {
        return Some(reason);
    }
    let actions = [key.on_delete, key.on_update];
    if actions.contains(&ReferenceAction::SetDefault) && table.objects.engine == Engine::Postgres {
        return Some("InnoDB has no SET DEFAULT".to_owned());
    }
    if !key.on_delete_columns.is_empty() {
        return Some(
            "SET NULL changes all columns of a key here, and some at the source".to_owned(),
        );
    }
    if key.matches_full && key.columns.len() > 1 {
        return Some("a row with some NULLs among the key's columns is taken here, and refused at the source (MATCH FULL)".to_owned());
    }
    if !key.is_enforced || !key.is_validated {
        return Some("the source does not hold all rows to it".to_owned());
    }
    let is_long = |table: &Placed<'_>, name: &String| {
        let native = table
            .planned(name)
            .map(|column| column.native.to_lowercase());
        native.is_some_and(|native| {
            native
                .split_whitespace()
                .next()
                .is_some_and(|ty| ty.ends_with("text") || ty.ends_with("blob"))
        })
    };
    let mut columns = key.columns.iter().map(|name| is_long(table, name));
    let mut others = key
        .referenced_columns
        .iter()
        .map(|name| is_long(referenced, name));
    if columns.any(|long| long) || others.any(|long| long) {
        return Some("its columns are texts or bytes without a length here, which a key cannot be made of; give them a length first".to_owned());
    }
    None
}

fn note(key: &ForeignKey, name: &str) -> Option<String> {
    let mut notes = Vec::new();
    if key.deferral.is_some() {
        notes.push(
            "it is looked at with each row here, and could be deferred at the source".to_owned(),
        );
    }
    if key.name != *name {
        notes.push(format!(
            "its name here is {name}, because names of foreign keys differ within a database"
        ));
    }
    (!notes.is_empty()).then(|| notes.join("; "))
}
