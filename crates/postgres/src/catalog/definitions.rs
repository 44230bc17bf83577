use std::collections::{HashMap, HashSet};

use whimbrel_connector::TypeDefinition;

use super::{number, oid_array, text};
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// Types reach others by element, base type, attribute and range subtype; a chain longer than this is a loop of the catalog.
const DEPTH_MAX: usize = 32;

/// For each type: id, schema, name, kind, element, base, relation of a composite, extension and its schema, subtype of a range.
const TYPES: &str = "
select t.oid, n.nspname, t.typname, t.typtype, t.typelem, t.typbasetype, t.typrelid,
       e.extname, en.nspname, coalesce(r.rngsubtype, mr.rngtypid, 0), t.typcategory = 'A'
from pg_type t join pg_namespace n on n.oid = t.typnamespace
left join pg_range r on r.rngtypid = t.oid
left join pg_range mr on mr.rngmultitypid = t.oid
left join pg_depend d on d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e'
left join pg_extension e on e.oid = d.refobjid left join pg_namespace en on en.oid = e.extnamespace
where t.oid = any($1)";

/// The types of a composite's attributes.
const ATTRIBUTES: &str = "
select a.attrelid, a.atttypid from pg_attribute a where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped";

/// The SQL after the name in CREATE TYPE or CREATE DOMAIN. The server's own functions do the quoting. Left out are constraints of
/// domains that were never checked, which rows may violate, and functions of ranges that the database made itself.
const BODIES: &str = "
select t.oid, case t.typtype
  when 'e' then 'AS ENUM (' || coalesce((select string_agg(quote_literal(x.enumlabel), ', ' order by x.enumsortorder)
                                         from pg_enum x where x.enumtypid = t.oid), '') || ')'
  when 'c' then 'AS (' || coalesce((
       select string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) || coalesce(
           case when a.attcollation <> u.typcollation then format(' COLLATE %I.%I', cn.nspname, co.collname) end, ''), ', ' order by a.attnum)
       from pg_attribute a join pg_type u on u.oid = a.atttypid
       left join pg_collation co on co.oid = a.attcollation left join pg_namespace cn on cn.oid = co.collnamespace
       where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped), '') || ')'
  when 'r' then (
       select 'AS RANGE (SUBTYPE = ' || format_type(r.rngsubtype, null)
         || coalesce(case when r.rngcollation <> u.typcollation then format(', COLLATION = %I.%I', cn.nspname, co.collname) end, '')
         || case when r.rngsubdiff <> 0 and r.rngsubdiff < 16384 then ', SUBTYPE_DIFF = ' || r.rngsubdiff::regproc else '' end
         || format(', MULTIRANGE_TYPE_NAME = %I.%I)', mn.nspname, m.typname)
       from pg_range r join pg_type u on u.oid = r.rngsubtype
       join pg_type m on m.oid = r.rngmultitypid join pg_namespace mn on mn.oid = m.typnamespace
       left join pg_collation co on co.oid = r.rngcollation left join pg_namespace cn on cn.oid = co.collnamespace
       where r.rngtypid = t.oid)
  when 'd' then (
       select 'AS ' || format_type(t.typbasetype, t.typtypmod)
         || coalesce(case when t.typcollation <> u.typcollation then format(' COLLATE %I.%I', cn.nspname, co.collname) end, '')
         || coalesce(' DEFAULT ' || pg_get_expr(t.typdefaultbin, 0), '') || case when t.typnotnull then ' NOT NULL' else '' end
         || coalesce((select string_agg(' CONSTRAINT ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid), '' order by c.conname)
                      from pg_constraint c where c.contypid = t.oid and c.contype = 'c' and c.convalidated), '')
       from pg_type u left join pg_collation co on co.oid = t.typcollation left join pg_namespace cn on cn.oid = co.collnamespace
       where u.oid = t.typbasetype)
  end
from pg_type t where t.oid = any($1)";

/// The collations that the database made itself, of the tables in `$1` and of the types in `$2`. Their catalog differs between
/// versions, so the row is read as JSON.
const COLLATIONS: &str = "
with used as (
  select attcollation as oid from pg_attribute where attrelid = any($1) and attnum > 0
  union select typcollation from pg_type where oid = any($2)
  union select a.attcollation from pg_type t join pg_attribute a on a.attrelid = t.typrelid where t.oid = any($2)
  union select rngcollation from pg_range where rngtypid = any($2)
)
select n.nspname, c.collname, format('CREATE COLLATION IF NOT EXISTS %I.%I (PROVIDER = %s, ', n.nspname, c.collname,
         case c.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end)
  || case when c.collprovider in ('i', 'b')
          then format('LOCALE = %L', coalesce(j->>'colllocale', j->>'colliculocale'))
          else format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype) end
  || case when j->>'collicurules' <> '' then format(', RULES = %L', j->>'collicurules') else '' end
  || case when c.collisdeterministic then ')' else ', DETERMINISTIC = false)' end
from used join pg_collation c using (oid) join pg_namespace n on n.oid = c.collnamespace, to_jsonb(c) j
where c.oid >= 16384
order by 1, 2";

/// The types `money` and `money[]`.
const MONEY: [u32; 2] = [790, 791];

/// How many of the smallest units one unit of `money` has here: a power of ten, of as many digits after the point as `lc_monetary` says.
const MONEY_UNITS: &str = "select ('x' || encode(cash_send('1'::money), 'hex'))::bit(64)::bigint";

struct CatalogEntry {
    schema: String,
    name: String,
    kind: char,
    extension: Option<(String, String)>,
    needs: Vec<u32>,
    /// Made together with another type (an array, a multirange), so not by a statement of its own.
    is_implied: bool,
}

/// The types that columns of these tables need on another server, each after those it needs itself.
pub(crate) async fn type_definitions(
    connection: &mut Connection,
    table_oids: impl Iterator<Item = u32>,
) -> Result<Vec<TypeDefinition>, WireError> {
    let tables = oid_array(table_oids);
    let sql = format!(
        "select distinct a.atttypid from pg_attribute a
         where a.attnum > 0 and not a.attisdropped and a.attrelid = any({tables}) order by 1"
    );
    let rows = connection.query(&sql).await?;
    let wanted: Vec<u32> = rows
        .iter()
        .map(|row| number(row, 0))
        .collect::<Result<_, _>>()?;
    let entries = read_entries(connection, &wanted).await?;
    let has_money = {
        let needed = entries.values().flat_map(|entry| &entry.needs);
        wanted.iter().chain(needed).any(|oid| MONEY.contains(oid))
    };
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    for oid in wanted {
        visit(oid, &entries, &mut seen, &mut order, 0);
    }
    let own = order.iter().copied().filter(|oid| {
        entries
            .get(oid)
            .is_some_and(|entry| entry.extension.is_none() && !entry.is_implied)
    });
    let bodies = read_bodies(connection, own).await?;
    let mut all = collations(connection, &tables, &order).await?;
    if has_money {
        all.insert(0, money(connection).await?);
    }
    all.extend(definitions(&order, &entries, &bodies));
    Ok(all)
}

/// Every server has `money`, and keeps it as a count of smallest units, which travels as it is: a hundredth of a dollar would arrive as a yen. So what
/// "makes" it refuses a database that counts in other units.
async fn money(connection: &mut Connection) -> Result<TypeDefinition, WireError> {
    let sql = format!("{MONEY_UNITS}, current_setting('lc_monetary')");
    let rows = connection.query(&sql).await?;
    let Some(row) = rows.first() else {
        return Err(WireError::protocol("no answer about money"));
    };
    let (units, locale): (u64, &str) = (number(row, 0)?, text(row, 1)?);
    let digits = units.checked_ilog10().unwrap_or(0);
    let words = format!(
        "values of type money have {digits} digits after the point at the source and another number of digits at the target, so that they would become \
         other amounts; give the target's database the source's lc_monetary, which is {locale} (ALTER DATABASE ... SET lc_monetary = ...), or leave such columns out"
    );
    let check = format!(
        "BEGIN IF ({MONEY_UNITS}) <> {units} THEN RAISE EXCEPTION USING MESSAGE = {}; END IF; END",
        literal(&words)
    );
    Ok(TypeDefinition {
        name: format!("money of {digits} digits after the point"),
        sql: format!("DO {}", literal(&check)),
        is_demand: true,
    })
}

/// Collations need nothing but their schema, so they come first.
async fn collations(
    connection: &mut Connection,
    tables: &str,
    types: &[u32],
) -> Result<Vec<TypeDefinition>, WireError> {
    let sql = COLLATIONS
        .replace("$1", tables)
        .replace("$2", &oid_array(types.iter().copied()));
    let rows = connection.query(&sql).await?;
    let definition = |row: &TextRow| {
        let (schema, name, create) = (text(row, 0)?, text(row, 1)?, text(row, 2)?);
        Ok(TypeDefinition {
            name: format!("collation {schema}.{name}"),
            sql: format!("{}; {create}", create_schema(schema)),
            is_demand: false,
        })
    };
    rows.iter().map(definition).collect()
}

fn create_schema(name: &str) -> String {
    format!("CREATE SCHEMA IF NOT EXISTS {}", identifier(name))
}

/// Built-in types have ids below this (`FirstNormalObjectId`) and exist everywhere.
fn is_user_defined(oid: u32) -> bool {
    oid >= 16_384
}

async fn read_entries(
    connection: &mut Connection,
    wanted: &[u32],
) -> Result<HashMap<u32, CatalogEntry>, WireError> {
    let mut entries = HashMap::new();
    let mut open: Vec<u32> = wanted
        .iter()
        .copied()
        .filter(|&oid| is_user_defined(oid))
        .collect();
    for _ in 0..DEPTH_MAX {
        if open.is_empty() {
            break;
        }
        let rows = connection
            .query(&TYPES.replace("$1", &oid_array(open.iter().copied())))
            .await?;
        let mut composites = HashMap::new();
        for row in &rows {
            let (oid, entry, relation) = entry(row)?;
            if relation != 0 {
                composites.insert(relation, oid);
            }
            entries.insert(oid, entry);
        }
        let attributes = ATTRIBUTES.replace("$1", &oid_array(composites.keys().copied()));
        for row in connection.query(&attributes).await? {
            let owner = composites
                .get(&number(&row, 0)?)
                .and_then(|oid| entries.get_mut(oid));
            if let Some(entry) = owner {
                entry.needs.push(number(&row, 1)?);
            }
        }
        let mut next: Vec<u32> = entries
            .values()
            .flat_map(|entry| entry.needs.clone())
            .collect();
        next.retain(|oid| is_user_defined(*oid) && !entries.contains_key(oid));
        next.sort_unstable();
        next.dedup();
        open = next;
    }
    Ok(entries)
}

fn entry(row: &TextRow) -> Result<(u32, CatalogEntry, u32), WireError> {
    let optional = |column: usize| row.get(column).and_then(Option::clone);
    let kind = text(row, 3)?.chars().next().unwrap_or('b');
    let relation: u32 = number(row, 6)?;
    let needs = [number(row, 4)?, number(row, 5)?, number(row, 9)?];
    let entry = CatalogEntry {
        schema: text(row, 1)?.to_owned(),
        name: text(row, 2)?.to_owned(),
        kind,
        extension: optional(7).zip(optional(8)),
        needs: needs.into_iter().filter(|&oid| oid != 0).collect(),
        is_implied: (kind == 'b' && text(row, 10)? == "t") || kind == 'm',
    };
    Ok((number(row, 0)?, entry, relation))
}

fn visit(
    oid: u32,
    entries: &HashMap<u32, CatalogEntry>,
    seen: &mut HashSet<u32>,
    order: &mut Vec<u32>,
    depth: usize,
) {
    let Some(entry) = entries.get(&oid) else {
        return;
    };
    if depth > DEPTH_MAX || !seen.insert(oid) {
        return;
    }
    if entry.extension.is_none() {
        for &needed in &entry.needs {
            visit(needed, entries, seen, order, depth + 1);
        }
    }
    order.push(oid);
}

async fn read_bodies(
    connection: &mut Connection,
    oids: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, String>, WireError> {
    let rows = connection
        .query(&BODIES.replace("$1", &oid_array(oids)))
        .await?;
    let body = |row: &TextRow| Some((number(row, 0).ok()?, row.get(1)?.clone()?));
    Ok(rows.iter().filter_map(body).collect())
}

fn definitions(
    order: &[u32],
    entries: &HashMap<u32, CatalogEntry>,
    bodies: &HashMap<u32, String>,
) -> Vec<TypeDefinition> {
    let mut made = HashSet::new();
    let mut definitions = Vec::new();
    for oid in order {
        let entry = &entries[oid];
        if let Some((extension, home)) = &entry.extension {
            let name = identifier(extension);
            let sql = format!(
                "{}; CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {}",
                create_schema(home),
                identifier(home)
            );
            if made.insert(extension.clone()) {
                definitions.push(TypeDefinition {
                    name: format!("extension {extension}"),
                    sql,
                    is_demand: false,
                });
            }
        } else if let (false, Some(body)) = (entry.is_implied, bodies.get(oid)) {
            let full = format!("{}.{}", identifier(&entry.schema), identifier(&entry.name));
            let what = if entry.kind == 'd' { "DOMAIN" } else { "TYPE" };
            let create = literal(&format!("CREATE {what} {full} {body}"));
            let sql = format!(
                "{}; DO {} ",
                create_schema(&entry.schema),
                literal(&format!(
                    "BEGIN IF to_regtype({}) IS NULL THEN EXECUTE {create}; END IF; END",
                    literal(&full)
                ))
            );
            let name = format!("{} {}.{}", what.to_lowercase(), entry.schema, entry.name);
            definitions.push(TypeDefinition {
                name,
                sql,
                is_demand: false,
            });
        }
    }
    definitions
}
