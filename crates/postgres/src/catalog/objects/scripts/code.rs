//! Views and routines.

use std::collections::HashMap;

use whimbrel_core::objects::{ObjectKind, OtherObject, ScriptStatement, ScriptTime, Scripted};

use super::super::super::text;
use super::super::optional;
use super::Scope;
use super::order::{Key, Order, key};
use crate::quote::literal;
use crate::wire::{Connection, TextRow, WireError};

const VIEWS: &str = "
select 'pg_class', c.oid, case c.relkind when 'v' then 'view' else 'materialized view' end, format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname,
  format('CREATE %s %I.%I%s AS %s%s', case c.relkind when 'v' then 'VIEW' else 'MATERIALIZED VIEW' end, n.nspname, c.relname,
    coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', ''), rtrim(ltrim(pg_get_viewdef(c.oid)), ';'),
    case when c.relkind = 'm' and not c.relispopulated then ' WITH NO DATA' else '' end)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('v', 'm') and n.nspname in ($2) and c.relname !~ '^awsdms_'
  and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
order by n.nspname, c.relname";

/// Aggregates have no text at the server; those of the plain kind are put together.
const ROUTINES: &str = "
select 'pg_proc', p.oid, case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end, p.oid::regprocedure::text, p.oid::regprocedure::text,
  case when p.prokind <> 'a' then pg_get_functiondef(p.oid)
  when a.aggkind = 'n' and a.aggmtransfn = 0 and a.aggserialfn = 0 then
    format('CREATE AGGREGATE %I.%I(%s) (SFUNC = %s, STYPE = %s', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid), a.aggtransfn, format_type(a.aggtranstype, null))
    || case when a.aggtransspace <> 0 then format(', SSPACE = %s', a.aggtransspace) else '' end
    || case when a.aggfinalfn <> 0 then format(', FINALFUNC = %s', a.aggfinalfn) || case when a.aggfinalextra then ', FINALFUNC_EXTRA' else '' end
       || format(', FINALFUNC_MODIFY = %s', case a.aggfinalmodify when 'r' then 'READ_ONLY' when 's' then 'SHAREABLE' else 'READ_WRITE' end) else '' end
    || case when a.aggcombinefn <> 0 then format(', COMBINEFUNC = %s', a.aggcombinefn) else '' end
    || case when a.agginitval is not null then format(', INITCOND = %L', a.agginitval) else '' end
    || case when a.aggsortop <> 0 then format(', SORTOP = OPERATOR(%s)', a.aggsortop::regoper) else '' end
    || format(', PARALLEL = %s)', case p.proparallel when 's' then 'SAFE' when 'r' then 'RESTRICTED' else 'UNSAFE' end)
  end
from pg_proc p join pg_namespace n on n.oid = p.pronamespace left join pg_aggregate a on a.aggfnoid = p.oid
where n.nspname in ($2) and p.proname !~ '^(awsdms_|whimbrel_.*_ddl$)'
  and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype in ('e', 'i'))
order by 4";

/// What views have besides: indexes of those that keep their rows, and defaults of columns.
const OF_VIEWS: &str = "
select i.indrelid, pg_get_indexdef(i.indexrelid), format('SELECT 1 WHERE to_regclass(%L) IS NOT NULL', format('%I.%I', n.nspname, c.relname))
from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace join pg_class v on v.oid = i.indrelid
where v.relkind = 'm' and n.nspname in ($2)
union all
select d.adrelid, format('ALTER VIEW %I.%I ALTER COLUMN %I SET DEFAULT %s', n.nspname, v.relname, a.attname, pg_get_expr(d.adbin, d.adrelid)),
  format('SELECT 1 FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE d.adrelid = to_regclass(%L) AND a.attname = %L',
    format('%I.%I', n.nspname, v.relname), a.attname)
from pg_attrdef d join pg_class v on v.oid = d.adrelid join pg_namespace n on n.oid = v.relnamespace
join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
where v.relkind = 'v' and n.nspname in ($2)
order by 1, 2";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<(Vec<Scripted>, Vec<OtherObject>), WireError> {
    let order = Order::read(connection, scope).await?;
    let mut rows = scope.rows(connection, ROUTINES).await?;
    let views = scope.rows(connection, VIEWS).await?;
    let view_keys = views
        .iter()
        .map(|row| key(row, 0))
        .collect::<Result<Vec<Key>, _>>()?;
    rows.extend(views);
    let mut of_views: HashMap<String, Vec<ScriptStatement>> = HashMap::new();
    for row in scope.rows(connection, OF_VIEWS).await? {
        let statement = ScriptStatement::new(text(&row, 1)?, text(&row, 2)?);
        of_views
            .entry(text(&row, 0)?.to_owned())
            .or_default()
            .push(statement);
    }
    let (mut scripts, mut others) = (HashMap::new(), Vec::new());
    for row in &rows {
        let key = key(row, 0)?;
        match script(row, &order, &view_keys)? {
            Ok(mut script) => {
                if key.0 == "pg_class" {
                    script
                        .statements
                        .extend(of_views.remove(&key.1).unwrap_or_default());
                }
                scripts.insert(key, script);
            }
            Err(other) => others.push(other),
        }
    }
    let keys = rows
        .iter()
        .map(|row| key(row, 0))
        .collect::<Result<Vec<Key>, _>>()?;
    let sorted = order.sorted(&keys);
    let scripts = sorted
        .iter()
        .filter_map(|key| scripts.remove(key))
        .collect();
    Ok((scripts, others))
}

fn script(
    row: &TextRow,
    order: &Order,
    views: &[Key],
) -> Result<Result<Scripted, OtherObject>, WireError> {
    let (what, quoted, name) = (text(row, 2)?, text(row, 3)?, text(row, 4)?);
    let Some(create) = optional(row, 5) else {
        return Ok(Err(OtherObject {
            what: what.to_owned(),
            name: name.to_owned(),
            native: None,
        }));
    };
    let key = key(row, 0)?;
    if key.0 == "pg_class" {
        let exists = format!(
            "SELECT 1 WHERE to_regclass({}) IS NOT NULL",
            literal(quoted)
        );
        let word = if what == "view" {
            "VIEW"
        } else {
            "MATERIALIZED VIEW"
        };
        return Ok(Ok(Scripted {
            undo: Some(format!("DROP {word} IF EXISTS {quoted}")),
            ..Scripted::new(ObjectKind::View, what, name, create, exists)
        }));
    }
    let exists = format!(
        "SELECT 1 FROM pg_proc WHERE oid::regprocedure::text = {} AND oid >= 16384",
        literal(quoted)
    );
    let mut script = Scripted::new(ObjectKind::Routine, what, name, create, exists);
    let below = order.below(&key);
    if below.iter().any(|below| views.contains(below)) {
        script.behind = Some(ObjectKind::View);
    } else if below.iter().any(|below| below.0 == "pg_class") {
        script.when = ScriptTime::Loaded;
    } else {
        // Columns that the server computes may rest on it.
        script.when = ScriptTime::BeforeTables;
    }
    // Its table or view cannot be dropped while it is there.
    if script.when != ScriptTime::BeforeTables {
        let word = match what {
            "procedure" => "PROCEDURE",
            "aggregate" => "AGGREGATE",
            _ => "FUNCTION",
        };
        script.undo = Some(format!("DROP {word} IF EXISTS {quoted}"));
    }
    Ok(Ok(script))
}
