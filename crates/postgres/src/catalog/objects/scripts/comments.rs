//! Comments on whatever has one beside tables and their columns.

use whimbrel_core::objects::{ObjectKind, Scripted};

use super::super::super::text;
use super::Scope;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

/// Kind and name are those of `pg_identify_object`, which are the words of `COMMENT ON` but for a few. Partitions have no names of their own here.
const COMMENTS: &str = "
with own as (
  select 'pg_class'::regclass as class, c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname in ($2) and (c.relkind in ('v', 'm', 'S', 'c')
    or c.relkind in ('i', 'I') and exists (select from pg_index i join pg_class t on t.oid = i.indrelid where i.indexrelid = c.oid and (t.oid = any($1) or t.relkind = 'm')))
  union all select 'pg_proc'::regclass, p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname in ($2) and p.proname !~ '^(awsdms_|whimbrel_.*_ddl$)'
  union all select 'pg_type'::regclass, t.oid from pg_type t join pg_namespace n on n.oid = t.typnamespace where n.nspname in ($2)
  union all select 'pg_trigger'::regclass, oid from pg_trigger where tgrelid = any($1)
  union all select 'pg_constraint'::regclass, oid from pg_constraint where conrelid = any($1)
  union all select 'pg_policy'::regclass, oid from pg_policy where polrelid = any($1)
  union all select 'pg_rewrite'::regclass, oid from pg_rewrite where ev_class = any($1)
  union all select 'pg_namespace'::regclass, oid from pg_namespace where nspname in ($2) and nspname <> 'public'
)
select case i.type when 'table constraint' then 'constraint' when 'view column' then 'column' when 'materialized view column' then 'column'
    when 'composite type column' then 'column' else i.type end, i.identity, d.description, i.type
from pg_description d join own o on o.class = d.classoid and o.oid = d.objoid, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
where not exists (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')
order by 1, 2";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<Vec<Scripted>, WireError> {
    let mut scripts = Vec::new();
    for row in scope.rows(connection, COMMENTS).await? {
        let (kind, identity, comment) = (text(&row, 0)?, text(&row, 1)?, text(&row, 2)?);
        let create = format!(
            "COMMENT ON {} {identity} IS {}",
            kind.to_uppercase(),
            literal(comment)
        );
        let exists = format!(
            "SELECT 1 FROM pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i WHERE d.objoid >= 16384 AND i.type = {} AND i.identity = {}",
            literal(text(&row, 3)?),
            literal(identity)
        );
        let name = format!("on {kind} {identity}");
        scripts.push(Scripted::new(
            ObjectKind::Comment,
            "comment",
            name,
            create,
            exists,
        ));
    }
    Ok(scripts)
}
