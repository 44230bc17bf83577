//! Privileges of roles. Whoever owns an object at the source needs none there; at the target the migration's user owns it.

use std::collections::HashMap;

use whimbrel_core::objects::{Likeness, ObjectKind, Requirement, Scripted};

use super::super::super::{flag, text};
use super::super::{names, optional};
use super::{Scope, role_exists};
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// One row for each object, role and right to pass on. The list of privileges is read at the target by the same expression: `acl`.
const GRANTS: &str = "
with own as (
  select case when c.relkind = 'S' then 'SEQUENCE' else 'TABLE' end as word, format('%I.%I', n.nspname, c.relname) as quoted, n.nspname || '.' || c.relname as name,
    '' as columns, c.relacl as acl, c.relowner as owner,
    format('SELECT relacl FROM pg_class WHERE oid = to_regclass(%L)', format('%I.%I', n.nspname, c.relname)) as query
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relacl is not null and (c.oid = any($1) or c.relkind in ('v', 'm', 'S') and n.nspname in ($2))
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
  union all
  select 'TABLE', format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname || '.' || a.attname, format(' (%I)', a.attname), a.attacl, c.relowner,
    format('SELECT attacl FROM pg_attribute WHERE attrelid = to_regclass(%L) AND attname = %L', format('%I.%I', n.nspname, c.relname), a.attname)
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  where a.attacl is not null and not a.attisdropped and (c.oid = any($1) or c.relkind in ('v', 'm') and n.nspname in ($2))
  union all
  select case p.prokind when 'p' then 'PROCEDURE' else 'FUNCTION' end, p.oid::regprocedure::text, p.oid::regprocedure::text, '', p.proacl, p.proowner,
    format('SELECT coalesce(proacl, acldefault(''f'', proowner)) FROM pg_proc WHERE oid::regprocedure::text = %L', p.oid::regprocedure::text)
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where p.proacl is not null and n.nspname in ($2) and p.proname !~ '^(awsdms_|whimbrel_.*_ddl$)'
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  union all
  select 'SCHEMA', format('%I', nspname), nspname, '', nspacl, nspowner, format('SELECT nspacl FROM pg_namespace WHERE nspname = %L', nspname)
  from pg_namespace where nspacl is not null and nspname in ($2)
  union all
  select 'TYPE', t.oid::regtype::text, t.oid::regtype::text, '', t.typacl, t.typowner,
    format('SELECT coalesce(typacl, acldefault(''T'', typowner)) FROM pg_type WHERE oid::regtype::text = %L', t.oid::regtype::text)
  from pg_type t join pg_namespace n on n.oid = t.typnamespace
  where t.typacl is not null and n.nspname in ($2) and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')
)
select o.word, o.quoted, o.name, o.columns, o.query, r.rolname, a.is_grantable, json_agg(a.privilege_type order by a.privilege_type), false
from own o cross join lateral aclexplode(o.acl) a left join pg_roles r on r.oid = a.grantee
where a.grantee <> o.owner and (a.grantee = 0 or r.oid is not null)
  and not (o.word = 'SCHEMA' and o.name = 'public' and a.grantee = 0)
group by 1, 2, 3, 4, 5, 6, 7
union all
select o.word, o.quoted, o.name, '', o.query, null, false, json_build_array(case o.word when 'TYPE' then 'USAGE' else 'EXECUTE' end), true
from own o where o.word in ('FUNCTION', 'PROCEDURE', 'TYPE') and not exists (select from aclexplode(o.acl) a where a.grantee = 0)
order by 3, 6 nulls first, 7";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
    (likenesses, guards): (
        &HashMap<String, Likeness>,
        &HashMap<String, Vec<Requirement>>,
    ),
) -> Result<Vec<Scripted>, WireError> {
    let rows = scope.rows(connection, GRANTS).await?;
    let of_row = |row: &TextRow| {
        // What is granted on a view or routine is not for another of its name.
        let quoted = text(row, 1)?;
        let likeness = likenesses.get(quoted).cloned();
        let mut script = script(row)?;
        // What is granted on a table that policies restrict is not for one that they do not.
        let is_of_table = text(row, 0)? == "TABLE" && !flag(row, 8)?;
        let guards = guards.get(quoted).filter(|_| is_of_table);
        script
            .requires
            .extend(guards.into_iter().flatten().cloned());
        Ok(Scripted { likeness, ..script })
    };
    rows.iter().map(of_row).collect()
}

fn script(row: &TextRow) -> Result<Scripted, WireError> {
    let (word, quoted, name) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
    let (columns, acl, role) = (text(row, 3)?, text(row, 4)?, optional(row, 5));
    let (is_passed_on, privileges, is_revoked) = (flag(row, 6)?, names(row, 7)?, flag(row, 8)?);
    let listed: Vec<String> = privileges
        .iter()
        .map(|privilege| format!("{privilege}{columns}"))
        .collect();
    let listed = listed.join(", ");
    let who = role
        .as_deref()
        .map_or_else(|| "PUBLIC".to_owned(), identifier);
    let number = role.as_deref().map_or_else(
        || "0".to_owned(),
        |role| {
            format!(
                "(SELECT oid FROM pg_roles WHERE rolname = {})",
                literal(role)
            )
        },
    );
    let wanted: Vec<String> = privileges.iter().map(|name| literal(name)).collect();
    let wanted = wanted.join(", ");
    let held = format!(
        "FROM aclexplode(({acl})) a WHERE a.grantee = {number} AND a.privilege_type IN ({wanted})"
    );
    let whose = role.as_deref().unwrap_or("everybody");
    let (sql, unless, name) = if is_revoked {
        (
            format!("REVOKE {listed} ON {word} {quoted} FROM PUBLIC"),
            format!("SELECT 1 WHERE NOT EXISTS (SELECT 1 {held})"),
            format!("{name}, none to everybody"),
        )
    } else {
        let option = if is_passed_on {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let passed = if is_passed_on {
            " AND a.is_grantable"
        } else {
            ""
        };
        (
            format!("GRANT {listed} ON {word} {quoted} TO {who}{option}"),
            format!(
                "SELECT 1 {held}{passed} HAVING count(DISTINCT a.privilege_type) = {}",
                privileges.len()
            ),
            format!(
                "{name} to {whose}{}",
                if is_passed_on { ", to pass on" } else { "" }
            ),
        )
    };
    let mut script = Scripted::new(ObjectKind::Grant, "grant", name, sql, unless);
    script.requires.extend(role.iter().map(|role| Requirement {
        query: role_exists(role),
        lacking: format!(
            "the target has no role {role}: make the role there, and make the objects again"
        ),
    }));
    Ok(script)
}
