use whimbrel_core::objects::OtherObject;

use super::super::text;
use super::{Described, optional};
use crate::wire::{Connection, WireError};

/// What belongs to tables, and is not made. Of a primary key that is what its columns do not say.
const OF_TABLES: &str = "
select 'partitioning', n.nspname || '.' || c.relname, 'PARTITION BY ' || pg_get_partkeydef(c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'p' and c.oid = any($1)
union all
select 'inheritance', n.nspname || '.' || c.relname, format('ALTER TABLE %I.%I INHERIT %I.%I', n.nspname, c.relname, pn.nspname, p.relname)
from pg_inherits h join pg_class c on c.oid = h.inhrelid join pg_namespace n on n.oid = c.relnamespace
join pg_class p on p.oid = h.inhparent join pg_namespace pn on pn.oid = p.relnamespace
where c.oid = any($1)
union all
select 'primary key as it is at the source', n.nspname || '.' || c.relname,
       format('ALTER TABLE %I.%I ADD CONSTRAINT %I %s', n.nspname, c.relname, k.conname, pg_get_constraintdef(k.oid))
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace join pg_index i on i.indexrelid = k.conindid
where k.contype = 'p' and c.oid = any($1)
  and (k.condeferrable or i.indnatts > i.indnkeyatts or coalesce((to_jsonb(k)->>'conperiod')::bool, false))
union all
select 'index that was never finished', n.nspname || '.' || ic.relname, pg_get_indexdef(i.indexrelid)
from pg_index i join pg_class ic on ic.oid = i.indexrelid join pg_namespace n on n.oid = ic.relnamespace
where not i.indisvalid and i.indrelid = any($1)
order by 1, 2";

/// What belongs to tables, is not made, and has no meaning to servers of other engines.
const OF_ENGINE: &str = "
select 'unlogged table', n.nspname || '.' || c.relname, format('ALTER TABLE %I.%I SET UNLOGGED', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relpersistence = 'u' and c.oid = any($1)
union all
select 'replica identity', n.nspname || '.' || c.relname, format('ALTER TABLE %I.%I REPLICA IDENTITY %s', n.nspname, c.relname,
  case c.relreplident when 'f' then 'FULL' when 'n' then 'NOTHING' else 'USING INDEX ' || quote_ident((
    select ic.relname from pg_index i join pg_class ic on ic.oid = i.indexrelid where i.indrelid = c.oid and i.indisreplident)) end)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relreplident <> 'd' and c.oid = any($1)
order by 1, 2";

/// What lives in schemas, and what belongs to the database, unless an extension brought it.
const OF_SCHEMAS: &str = "
select o.what, o.name, o.native from (
  select 'foreign table' as what, n.nspname || '.' || c.relname as name, null as native, 'pg_class'::regclass as class, c.oid
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'f' and n.nspname in ($2)
  union all
  select 'operator', o.oid::regoperator::text, null, 'pg_operator'::regclass, o.oid from pg_operator o join pg_namespace n on n.oid = o.oprnamespace where n.nspname in ($2)
  union all
  select 'operator class', n.nspname || '.' || o.opcname, null, 'pg_opclass'::regclass, o.oid from pg_opclass o join pg_namespace n on n.oid = o.opcnamespace where n.nspname in ($2)
  union all
  select 'collation', n.nspname || '.' || o.collname, null, 'pg_collation'::regclass, o.oid from pg_collation o join pg_namespace n on n.oid = o.collnamespace where n.nspname in ($2)
  union all
  select 'text search configuration', n.nspname || '.' || o.cfgname, null, 'pg_ts_config'::regclass, o.oid from pg_ts_config o join pg_namespace n on n.oid = o.cfgnamespace where n.nspname in ($2)
  union all
  select 'text search dictionary', n.nspname || '.' || o.dictname, null, 'pg_ts_dict'::regclass, o.oid from pg_ts_dict o join pg_namespace n on n.oid = o.dictnamespace where n.nspname in ($2)
  union all
  select 'cast', format_type(c.castsource, null) || ' to ' || format_type(c.casttarget, null), null, 'pg_cast'::regclass, c.oid from pg_cast c where c.oid >= 16384
  union all
  select 'event trigger', e.evtname, null, 'pg_event_trigger'::regclass, e.oid from pg_event_trigger e where e.evtname !~ '^(awsdms_|whimbrel_.*_(end|drop|new)$)'
  union all
  select 'foreign server', s.srvname, null, 'pg_foreign_server'::regclass, s.oid from pg_foreign_server s
  union all
  select 'large objects', 'of the database: columns of type oid get their numbers, not their contents', null, null, null where exists (select from pg_largeobject_metadata)
  union all
  select 'default privileges', pg_get_userbyid(a.defaclrole) || coalesce(' in ' || n.nspname, ''), array_to_string(a.defaclacl, ', '), 'pg_default_acl'::regclass, a.oid
  from pg_default_acl a left join pg_namespace n on n.oid = a.defaclnamespace
) o
where not exists (select from pg_depend d where d.classid = o.class and d.objid = o.oid and d.deptype = 'e')
order by 1, 2";

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    for (sql, is_of_engine) in [(OF_TABLES, false), (OF_ENGINE, true), (OF_SCHEMAS, false)] {
        for row in &described.rows(connection, sql).await? {
            described.objects.others.push(OtherObject {
                what: text(row, 0)?.to_owned(),
                name: text(row, 1)?.to_owned(),
                native: optional(row, 2),
                is_of_engine,
            });
        }
    }
    Ok(())
}
