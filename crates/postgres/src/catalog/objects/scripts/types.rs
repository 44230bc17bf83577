//! Types that users make, other than those of the columns that are migrated: these are made with their tables.

use whimbrel_core::objects::{ObjectKind, OtherObject, ScriptTime, Scripted};

use super::super::super::text;
use super::super::optional;
use super::Scope;
use crate::quote::literal;
use crate::wire::{Connection, WireError};

/// Left out are those that nothing but tables uses, none of which is migrated: they come with these tables.
const TYPES: &str = "
select t.oid::regtype::text, case t.typtype when 'c' then 'composite type' when 'e' then 'enum' when 'd' then 'domain' when 'r' then 'range type' else 'type' end,
  case t.typtype
  when 'c' then format('CREATE TYPE %I.%I AS (%s)', n.nspname, t.typname, (
    select string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod))
        || case when a.attcollation <> ct.typcollation then format(' COLLATE %I.%I', cn.nspname, co.collname) else '' end, ', ' order by a.attnum)
    from pg_attribute a join pg_type ct on ct.oid = a.atttypid left join pg_collation co on co.oid = a.attcollation
    left join pg_namespace cn on cn.oid = co.collnamespace
    where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped))
  when 'e' then format('CREATE TYPE %I.%I AS ENUM (%s)', n.nspname, t.typname, (
    select string_agg(quote_literal(e.enumlabel), ', ' order by e.enumsortorder) from pg_enum e where e.enumtypid = t.oid))
  when 'd' then format('CREATE DOMAIN %I.%I AS %s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod))
    || (select coalesce(max(format(' COLLATE %I.%I', cn.nspname, co.collname)), '') from pg_collation co join pg_namespace cn on cn.oid = co.collnamespace,
        pg_type bt where co.oid = t.typcollation and bt.oid = t.typbasetype and bt.typcollation <> t.typcollation)
    || coalesce(' DEFAULT ' || pg_get_expr(t.typdefaultbin, 0), '') || case when t.typnotnull then ' NOT NULL' else '' end
    || coalesce((select string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' order by k.conname)
                 from pg_constraint k where k.contypid = t.oid and k.contype = 'c'), '')
  end
from pg_type t join pg_namespace n on n.oid = t.typnamespace left join pg_class c on c.oid = t.typrelid
where n.nspname in ($2) and (t.typtype in ('e', 'd', 'r') or t.typtype = 'c' and c.relkind = 'c' or t.typtype = 'b' and t.typelem = 0)
  and not exists (select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype in ('e', 'i'))
  and not exists (select from pg_attribute a where a.attrelid = any($1) and a.attnum > 0 and a.atttypid in (t.oid, t.typarray))
  and (not exists (select from pg_attribute a join pg_class r on r.oid = a.attrelid where r.relkind in ('r', 'p') and a.attnum > 0 and a.atttypid in (t.oid, t.typarray))
    or exists (
      select from pg_depend d where d.refclassid = 'pg_type'::regclass and d.refobjid in (t.oid, t.typarray) and d.deptype <> 'i'
      and not (d.classid = 'pg_class'::regclass and exists (select from pg_class r where r.oid = d.objid and r.relkind in ('r', 'p') and r.oid <> all($1)))
      and not (d.classid = 'pg_attrdef'::regclass and exists (select from pg_attrdef f where f.oid = d.objid and f.adrelid <> all($1)))
      and not (d.classid = 'pg_constraint'::regclass and exists (select from pg_constraint k where k.oid = d.objid and (k.contypid = t.oid or k.conrelid <> 0 and k.conrelid <> all($1))))))
order by t.oid";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<(Vec<Scripted>, Vec<OtherObject>), WireError> {
    let (mut scripts, mut others) = (Vec::new(), Vec::new());
    for row in scope.rows(connection, TYPES).await? {
        let (name, what) = (text(&row, 0)?, text(&row, 1)?);
        let Some(create) = optional(&row, 2) else {
            others.push(OtherObject {
                what: what.to_owned(),
                name: name.to_owned(),
                native: None,
                is_of_engine: false,
            });
            continue;
        };
        let exists = format!(
            "SELECT 1 FROM pg_type WHERE oid::regtype::text = {}",
            literal(name)
        );
        scripts.push(Scripted {
            when: ScriptTime::BeforeTables,
            ..Scripted::new(ObjectKind::Type, what, name, create, exists)
        });
    }
    Ok((scripts, others))
}
