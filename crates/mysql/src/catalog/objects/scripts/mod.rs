//! What another MySQL or MariaDB makes by this one's own text: routines, views, triggers, events, privileges.
//!
//! The texts are those of `SHOW CREATE`, read with their database as the session's: names of it then stand without its name, as in what users wrote, and
//! the text holds in a database of another name.

mod definer;
mod grants;
mod named;
mod order;
mod shown;
mod unseen;

use std::collections::BTreeSet;

use whimbrel_core::TableName;
use whimbrel_core::objects::{Likeness, ObjectKind, ScriptTime, Scripted};

pub(crate) use self::shown::{is_same_text, shown_text};

use super::Described;
use crate::catalog::name_of;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let own = connection.row("SELECT database()").await?;
    let own = own.and_then(|row| row.get(0).map(str::to_owned));
    let tables = described.objects.tables.iter();
    let databases: BTreeSet<String> = tables.map(|table| table.table.schema.clone()).collect();
    for database in databases {
        let sql = format!("USE {}", identifier(&database));
        connection.execute(&sql).await?;
        for shown in &shown::ALL {
            read_shown(connection, described, shown).await?;
        }
        let unseen = unseen::kinds(connection, &database).await?;
        described.objects.others.extend(unseen);
        grants::read(connection, described, &database).await?;
    }
    if let Some(own) = own {
        connection
            .execute(&format!("USE {}", identifier(&own)))
            .await?;
    }
    Ok(())
}

/// Reads the objects of one kind in the session's database.
async fn read_shown(
    connection: &mut Connection,
    described: &mut Described,
    shown: &shown::Shown,
) -> Result<(), WireError> {
    let mut scripts = Vec::new();
    for row in connection.rows(shown.names).await? {
        let name = name_of(&row);
        let table = owner(&row, &name);
        let is_foreign = table
            .as_ref()
            .is_some_and(|table| !described.places.contains_key(table));
        if is_foreign || name.name.starts_with("awsdms_") {
            continue;
        }
        match shown.read(connection, &name).await? {
            Some(text) => {
                let taken = definer::take(&text.create, row.get(3) == Some("INVOKER"));
                scripts.push(script(shown, &name, table, (&text, taken)));
            }
            // It is gone, or may not be seen; it is listed all the same.
            None => described.objects.others.push(shown.hidden(&name)),
        }
    }
    described.objects.scripts.extend(order::sorted(scripts));
    Ok(())
}

/// The table that a trigger is of.
fn owner(row: &TextRow, name: &TableName) -> Option<TableName> {
    let table = row.get(2)?;
    Some(TableName::new(&name.schema, table))
}

fn script(
    shown: &shown::Shown,
    name: &TableName,
    table: Option<TableName>,
    (text, taken): (&shown::Text, definer::Taken),
) -> Scripted {
    let create = match shown.kind {
        ObjectKind::Event => shown::disabled(&taken.create),
        _ => taken.create.clone(),
    };
    let exists = shown.exists.replace("$n", &literal(&name.name));
    let display = match &table {
        Some(table) => format!("{table}.{}", name.name),
        None => name.to_string(),
    };
    let undo = table
        .as_ref()
        .map(|_| format!("DROP TRIGGER IF EXISTS {}", identifier(&name.name)));
    let note = (create != taken.create).then(|| {
        format!(
            "it is made switched off, so that it does not act beside the source's; once applications use the target: ALTER EVENT {} ENABLE",
            identifier(&name.name)
        )
    });
    let likeness = Likeness {
        shown: shown.shown(name),
        text: create.clone(),
        again: None,
        besides: Vec::new(),
    };
    Scripted {
        likeness: Some(likeness),
        schema: Some(name.schema.clone()),
        table,
        session: text.session.clone(),
        requires: taken.requires.into_iter().collect(),
        undo,
        when: if shown.kind == ObjectKind::Routine {
            ScriptTime::Loaded
        } else {
            ScriptTime::Ended
        },
        note,
        ..Scripted::new(shown.kind, shown.what, display, create, exists)
    }
}
