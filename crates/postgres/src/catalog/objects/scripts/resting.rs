//! Views and routines that rest on tables, with all that is needed to make them again as they are: their text, owner, privileges, comments, and what acts on them.

use std::collections::{HashMap, HashSet};

use whimbrel_core::TableName;
use whimbrel_core::objects::{ObjectKind, Scripted};

use super::super::super::{oid_array, text};
use super::order::{Key, key};
use super::{Scope, code};
use crate::quote::{self, literal};
use crate::wire::{Connection, WireError};

/// Schemas of users. Those of others' temporary tables are among the server's own.
const SCHEMAS: &str = "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' and nspname !~ '^awsdms_'";

/// Tables by their quoted names, with their partitions, which go with them.
const TABLES: &str = "
select p.relid::oid from unnest($1::text[]) t(name), pg_partition_tree(to_regclass(t.name)) p
union select to_regclass(name)::oid from unnest($1::text[]) t(name) where to_regclass(name) is not null";

/// What views and routines have besides, in the order in which it is made: owner first, who then gives the privileges, once those are gone that default
/// privileges give to what is made anew.
const BESIDES: &str = "
with own as (
  select 'pg_class' as class, 'pg_class'::regclass as catalog, c.oid, c.relowner as owner, c.relacl as acl, c.oid::regclass::text as name,
    case c.relkind when 'm' then 'MATERIALIZED VIEW' else 'VIEW' end as word, 'TABLE' as granted
  from pg_class c where c.relkind in ('v', 'm') and c.relnamespace in (select oid from pg_namespace where nspname in ($2))
  union all
  select 'pg_proc', 'pg_proc'::regclass, p.oid, p.proowner, p.proacl, p.oid::regprocedure::text, 'ROUTINE', 'ROUTINE'
  from pg_proc p where p.pronamespace in (select oid from pg_namespace where nspname in ($2))
), parts as (
  select class, catalog, oid as of, oid from own
  union all select o.class, 'pg_trigger'::regclass, o.oid, t.oid from own o join pg_trigger t on o.class = 'pg_class' and t.tgrelid = o.oid
  union all select o.class, 'pg_rewrite'::regclass, o.oid, r.oid from own o join pg_rewrite r on o.class = 'pg_class' and r.ev_class = o.oid
  union all select o.class, 'pg_class'::regclass, o.oid, i.indexrelid from own o join pg_index i on o.class = 'pg_class' and i.indrelid = o.oid
)
select class, oid, 1, format('ALTER %s %s OWNER TO %I', word, name, pg_get_userbyid(owner)) from own
union all
select class, oid, 2, format('DO %L', format('DECLARE g record; BEGIN
  FOR g IN SELECT DISTINCT a.grantee FROM %s c, aclexplode(c.%s) a WHERE c.oid = %s AND a.grantee NOT IN (0, c.%s) LOOP
    EXECUTE ''REVOKE ALL ON %s %s FROM '' || quote_ident(pg_get_userbyid(g.grantee)); END LOOP; END', catalog, case class when 'pg_class' then 'relacl' else 'proacl' end,
  format(case class when 'pg_class' then '%L::regclass' else '%L::regprocedure' end, name), case class when 'pg_class' then 'relowner' else 'proowner' end,
  granted, replace(name, '''', ''''''))) from own
union all
select o.class, o.oid, 2, format('REVOKE ALL ON %s %s FROM PUBLIC, %I', granted, name, pg_get_userbyid(owner)) from own o where acl is not null
union all
select o.class, o.oid, 3, format('GRANT %s ON %s %s TO %s%s', string_agg(a.privilege_type, ', '), o.granted, o.name,
  case a.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end, case when a.is_grantable then ' WITH GRANT OPTION' else '' end)
from own o, aclexplode(o.acl) a group by o.class, o.oid, o.granted, o.name, a.grantee, a.is_grantable
union all
select o.class, o.oid, 4, format('GRANT %s (%I) ON %s TO %s%s', a.privilege_type, c.attname, o.name,
  case a.grantee when 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end, case when a.is_grantable then ' WITH GRANT OPTION' else '' end)
from own o join pg_attribute c on o.class = 'pg_class' and c.attrelid = o.oid and not c.attisdropped, aclexplode(c.attacl) a
union all
select o.class, o.oid, 5, pg_get_triggerdef(t.oid) || case t.tgenabled when 'O' then '' else format('; ALTER TABLE %s %s TRIGGER %I', o.name,
  case t.tgenabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, t.tgname) end
from own o join pg_trigger t on o.class = 'pg_class' and t.tgrelid = o.oid where not t.tgisinternal
union all
select o.class, o.oid, 5, rtrim(pg_get_ruledef(r.oid), ';') || case r.ev_enabled when 'O' then '' else format('; ALTER TABLE %s %s RULE %I', o.name,
  case r.ev_enabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, r.rulename) end
from own o join pg_rewrite r on o.class = 'pg_class' and r.ev_class = o.oid where r.rulename <> '_RETURN'
union all
select p.class, p.of, 6, format('COMMENT ON %s %s IS %L', upper(case when i.type like '% column' then 'column' else i.type end), i.identity, d.description)
from parts p join pg_description d on d.classoid = p.catalog and d.objoid = p.oid, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
order by 1, 2, 3";

/// The objects that may be given to who owns them now.
const OURS: &str = "
select 'pg_class', oid from pg_class where relkind in ('v', 'm') and pg_has_role(current_user, relowner, 'MEMBER')
union all select 'pg_proc', oid from pg_proc where oid >= 16384 and pg_has_role(current_user, proowner, 'MEMBER')";

/// One of them.
pub(crate) struct Resting {
    pub(crate) kind: ObjectKind,
    pub(crate) name: String,
    /// Gives a row when it is there.
    pub(crate) exists: String,
    pub(crate) undo: String,
    /// Makes it again, in one request.
    pub(crate) definition: String,
    /// Shows its text; empty: the server has none.
    pub(crate) shown: String,
    /// Making it computes rows.
    pub(crate) keeps_rows: bool,
}

/// Those that rest on tables, at whatever remove, each behind what it rests on. What belongs to an extension, or to somebody whom the user cannot give it back to,
/// is not among them.
pub(crate) async fn resting_on(
    connection: &mut Connection,
    tables: &[TableName],
) -> Result<Vec<Resting>, WireError> {
    let names: Vec<String> = tables
        .iter()
        .map(|table| literal(&quote::table(table)))
        .collect();
    let sql = TABLES.replace("$1", &format!("array[{}]", names.join(", ")));
    let mut dropped: HashSet<Key> = HashSet::new();
    for row in connection.query(&sql).await? {
        dropped.insert(("pg_class".to_owned(), text(&row, 0)?.to_owned()));
    }
    // Without a row none of them is there.
    if dropped.is_empty() {
        return Ok(Vec::new());
    }
    let mut schemas = Vec::new();
    for row in connection.query(SCHEMAS).await? {
        schemas.push(literal(text(&row, 0)?));
    }
    let scope = Scope {
        tables: oid_array(std::iter::empty()),
        schemas: schemas.join(", "),
        names: HashMap::new(),
    };
    let code = code::read(connection, &scope).await?;
    let rests = |key: &Key| {
        code.order
            .below(key)
            .into_iter()
            .any(|on| dropped.contains(on))
    };
    let resting: Vec<(Key, Scripted)> = code
        .scripts
        .into_iter()
        .filter(|(key, _)| rests(key))
        .collect();
    if resting.is_empty() {
        return Ok(Vec::new());
    }
    let mut ours = HashSet::new();
    for row in connection.query(OURS).await? {
        ours.insert(key(&row, 0)?);
    }
    let mut besides: HashMap<Key, Vec<String>> = HashMap::new();
    for row in scope.rows(connection, BESIDES).await? {
        let statements = besides.entry(key(&row, 0)?).or_default();
        statements.push(text(&row, 3)?.to_owned());
    }
    let described = resting
        .into_iter()
        .filter(|(key, _)| ours.contains(key))
        .filter_map(|(key, script)| {
            Some(describe(script, besides.remove(&key).unwrap_or_default()))?
        });
    Ok(described.collect())
}

fn describe(script: Scripted, besides: Vec<String>) -> Option<Resting> {
    let exists = script.statements.first()?.unless.clone();
    let keeps_rows = script.text().starts_with("CREATE MATERIALIZED VIEW");
    let mut parts = vec![script.text()];
    parts.extend(besides);
    Some(Resting {
        kind: script.kind,
        exists,
        undo: script.undo?,
        definition: parts.join(";\n"),
        shown: script.likeness.map(|seen| seen.shown).unwrap_or_default(),
        name: script.name,
        keeps_rows,
    })
}
