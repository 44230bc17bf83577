//! Row-level security: its policies, and whether a table has it.

use whimbrel_core::objects::{Again, Likeness, ObjectKind, Requirement, ScriptStatement, Scripted};

use super::super::super::{flag, text};
use super::super::{names, optional};
use super::{Scope, role_exists};
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// A role of number 0 is everybody.
const POLICIES: &str = "
select p.polrelid, n.nspname, c.relname, p.polname, p.polpermissive, p.polcmd, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
  (select coalesce(json_agg(r.rolname order by r.rolname), '[]') from pg_roles r where r.oid = any(p.polroles)), $shown
from pg_policy p join pg_class c on c.oid = p.polrelid join pg_namespace n on n.oid = c.relnamespace
where p.polrelid = any($1) order by n.nspname, c.relname, p.polpermissive, p.polname";

/// All that tells a policy from another of its name.
const SHOWN: &str = "concat_ws(' ', p.polpermissive, p.polcmd, (select string_agg(r.rolname, ',' order by r.rolname) from pg_roles r where r.oid = any(p.polroles)),
  'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid))";

const SECURED: &str = "
select c.oid, n.nspname, c.relname, c.relforcerowsecurity
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any($1) and c.relrowsecurity order by n.nspname, c.relname";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<Vec<Scripted>, WireError> {
    let mut scripts = Vec::new();
    // Without a policy it lets nothing through, so a policy that is not made opens nothing.
    for row in scope.rows(connection, SECURED).await? {
        let (schema, table) = (text(&row, 1)?, text(&row, 2)?);
        let quoted = format!("{}.{}", identifier(schema), identifier(table));
        let state = |column: &str| {
            let quoted = literal(&quoted);
            format!("SELECT 1 FROM pg_class WHERE oid = to_regclass({quoted}) AND {column}")
        };
        let mut script = Scripted::new(
            ObjectKind::Policy,
            "row-level security",
            format!("{schema}.{table}"),
            format!("ALTER TABLE {quoted} ENABLE ROW LEVEL SECURITY"),
            state("relrowsecurity"),
        );
        script.table = scope.table(&row, 0);
        if flag(&row, 3)? {
            script.statements.push(ScriptStatement::new(
                format!("ALTER TABLE {quoted} FORCE ROW LEVEL SECURITY"),
                state("relforcerowsecurity"),
            ));
        }
        scripts.push(script);
    }
    let mut restrictive = Vec::new();
    // Those that narrow come first: what the others open is then narrowed from the start.
    for row in scope
        .rows(connection, &POLICIES.replace("$shown", SHOWN))
        .await?
    {
        let mut script = policy(scope, &row)?;
        if flag(&row, 4)? {
            let of_table = restrictive
                .iter()
                .filter(|(table, _)| *table == script.table);
            let narrowing = of_table.map(|(_, narrows)| Requirement::clone(narrows));
            script.requires.extend(narrowing);
        } else {
            restrictive.push((script.table.clone(), must_narrow(&row)?));
        }
        scripts.push(script);
    }
    Ok(scripts)
}

/// A restrictive policy that is not there, for whatever reason, leaves its table more open than at the source.
fn must_narrow(row: &TextRow) -> Result<Requirement, WireError> {
    let (schema, table, name) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
    Ok(Requirement {
        query: format!("{} AND NOT polpermissive", exists(schema, table, name)),
        lacking: format!(
            "the restrictive policy {name} of {schema}.{table} is not there, without which the table would be more open than at the source: see to that \
             policy first, and make the objects again"
        ),
    })
}

fn exists(schema: &str, table: &str, name: &str) -> String {
    let quoted = format!("{}.{}", identifier(schema), identifier(table));
    format!(
        "SELECT 1 FROM pg_policy WHERE polrelid = to_regclass({}) AND polname = {}",
        literal(&quoted),
        literal(name)
    )
}

fn policy(scope: &Scope, row: &TextRow) -> Result<Scripted, WireError> {
    let (schema, table, name) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
    let quoted = format!("{}.{}", identifier(schema), identifier(table));
    let kind = if flag(row, 4)? {
        "PERMISSIVE"
    } else {
        "RESTRICTIVE"
    };
    let command = match text(row, 5)? {
        "r" => "SELECT",
        "a" => "INSERT",
        "w" => "UPDATE",
        "d" => "DELETE",
        _ => "ALL",
    };
    let roles = names(row, 8)?;
    let listed: Vec<String> = roles.iter().map(|role| identifier(role)).collect();
    let to = if listed.is_empty() {
        "PUBLIC".to_owned()
    } else {
        listed.join(", ")
    };
    let mut create = format!(
        "CREATE POLICY {} ON {quoted} AS {kind} FOR {command} TO {to}",
        identifier(name)
    );
    if let Some(shown) = optional(row, 6) {
        create = format!("{create} USING ({shown})");
    }
    if let Some(written) = optional(row, 7) {
        create = format!("{create} WITH CHECK ({written})");
    }
    let exists = exists(schema, table, name);
    let shown = format!(
        "SELECT {SHOWN} FROM pg_policy p WHERE polrelid = to_regclass({}) AND polname = {}",
        literal(&quoted),
        literal(name)
    );
    Ok(Scripted {
        table: scope.table(row, 0),
        likeness: Some(Likeness {
            text: text(row, 9)?.to_owned(),
            again: Some(Again {
                sql: format!("DROP POLICY {} ON {quoted}; {create}", identifier(name)),
                shown: shown.clone(),
            }),
            besides: Vec::new(),
            shown,
        }),
        requires: roles.iter().map(|role| Requirement {
            query: role_exists(role),
            lacking: format!("the target has no role {role}, whom it is for: make the role there, and make the objects again"),
        }).collect(),
        ..Scripted::new(ObjectKind::Policy, "policy", format!("{schema}.{table}.{name}"), create, exists)
    })
}
