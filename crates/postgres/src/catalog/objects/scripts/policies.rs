//! Row-level security: its policies, and whether a table has it.

use std::collections::HashMap;

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
select c.oid, n.nspname, c.relname, c.relforcerowsecurity, c.relrowsecurity, format('%I.%I', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.oid = any($1) and (c.relrowsecurity or c.relforcerowsecurity) order by n.nspname, c.relname";

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
        let statement = |word: &str, column: &str| {
            ScriptStatement::new(
                format!("ALTER TABLE {quoted} {word} ROW LEVEL SECURITY"),
                state(column),
            )
        };
        // One that is forced and off acts as soon as somebody switches it on.
        let forced = flag(&row, 3)?.then(|| statement("FORCE", "relforcerowsecurity"));
        let on = flag(&row, 4)?.then(|| statement("ENABLE", "relrowsecurity"));
        let mut script = Scripted::new(
            ObjectKind::Policy,
            "row-level security",
            format!("{schema}.{table}"),
            "",
            "",
        );
        script.table = scope.table(&row, 0);
        script.statements = on.into_iter().chain(forced).collect();
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

/// What must be there before others get rights on a table whose rows policies keep from them, by the tables' names as the server quotes them.
pub(super) async fn guards(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<HashMap<String, Vec<Requirement>>, WireError> {
    let mut secured = Vec::new();
    for row in scope.rows(connection, SECURED).await? {
        if flag(&row, 4)? {
            secured.push((text(&row, 0)?.to_owned(), text(&row, 5)?.to_owned()));
        }
    }
    let policies = POLICIES.replace("$shown", "''");
    let policies = scope.rows(connection, &policies).await?;
    let mut guards = HashMap::new();
    for (table, quoted) in secured {
        let mut requires = vec![must_be_on(&quoted)];
        let mut known = Vec::new();
        for row in &policies {
            if text(row, 0)? != table {
                continue;
            }
            if flag(row, 4)? {
                known.push(literal(text(row, 3)?));
            } else {
                requires.push(must_narrow(row)?);
            }
        }
        requires.push(must_not_open(&quoted, &known));
        guards.insert(quoted, requires);
    }
    Ok(guards)
}

fn must_be_on(quoted: &str) -> Requirement {
    Requirement {
        query: format!(
            "SELECT 1 FROM pg_class WHERE oid = to_regclass({}) AND relrowsecurity",
            literal(quoted)
        ),
        lacking: format!(
            "row-level security of {quoted}, which restricts it at the source, is not on at the target: see to that first, and make the objects again"
        ),
    }
}

/// A policy that the target alone has may let through what the source keeps.
fn must_not_open(quoted: &str, known: &[String]) -> Requirement {
    let others = match known {
        [] => String::new(),
        known => format!(" AND polname NOT IN ({})", known.join(", ")),
    };
    Requirement {
        query: format!(
            "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = to_regclass({}) AND polpermissive{others})",
            literal(quoted)
        ),
        lacking: format!(
            "the target has a policy of its own for {quoted}, which may let through what the source keeps: see whether the privilege is to be given there"
        ),
    }
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
