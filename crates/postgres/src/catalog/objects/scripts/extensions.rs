//! Extensions, and schemas without tables.

use whimbrel_core::objects::{ObjectKind, Requirement, ScriptStatement, ScriptTime, Scripted};

use super::super::super::text;
use super::Scope;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, WireError};

const EXTENSIONS: &str = "
select e.extname, n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where e.extname <> 'plpgsql' order by e.oid";

/// Schemas of the migration that have no tables: those of tables are made with them.
const SCHEMAS: &str = "
select n.nspname from pg_namespace n
where n.nspname in ($2) and n.nspname <> 'public' and not exists (select from pg_class c where c.relnamespace = n.oid and c.relkind in ('r', 'p'))
order by n.nspname";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<Vec<Scripted>, WireError> {
    let mut scripts = Vec::new();
    for row in scope.rows(connection, EXTENSIONS).await? {
        scripts.push(extension(text(&row, 0)?, text(&row, 1)?));
    }
    for row in scope.rows(connection, SCHEMAS).await? {
        let name = text(&row, 0)?;
        let made = schema(name);
        scripts.push(Scripted {
            when: ScriptTime::BeforeTypes,
            ..Scripted::new(ObjectKind::Type, "schema", name, made.sql, made.unless)
        });
    }
    Ok(scripts)
}

fn schema(name: &str) -> ScriptStatement {
    ScriptStatement::new(
        format!("CREATE SCHEMA {}", identifier(name)),
        format!(
            "SELECT 1 FROM pg_namespace WHERE nspname = {}",
            literal(name)
        ),
    )
}

/// With its schema, which another user may have given it.
fn extension(name: &str, place: &str) -> Scripted {
    let is_there = format!(
        "SELECT 1 FROM pg_extension WHERE extname = {}",
        literal(name)
    );
    let create = format!(
        "CREATE EXTENSION {} WITH SCHEMA {} CASCADE",
        identifier(name),
        identifier(place)
    );
    let mut script = Scripted::new(ObjectKind::Extension, "extension", name, create, &is_there);
    if place != "pg_catalog" {
        let mut needed = schema(place);
        needed.unless = format!("{} UNION ALL {is_there}", needed.unless);
        script.statements.insert(0, needed);
    }
    script.when = ScriptTime::BeforeTypes;
    script.requires.push(Requirement {
        query: format!(
            "SELECT 1 FROM pg_available_extensions WHERE name = {0} UNION ALL {is_there}",
            literal(name)
        ),
        lacking: format!(
            "the target's server does not have the files of the extension {name}: install its package there, and make the objects again"
        ),
    });
    script
}
