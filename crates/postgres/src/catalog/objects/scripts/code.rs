//! Views and routines.

use std::collections::{HashMap, HashSet};

use whimbrel_core::objects::{
    Again, Likeness, ObjectKind, OtherObject, Requirement, ScriptStatement, ScriptTime, Scripted,
};

use super::super::super::{flag, text};
use super::super::optional;
use super::order::{Key, Order, key};
use super::{Scope, role_exists};
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

const VIEWS: &str = "
select 'pg_class', c.oid, case c.relkind when 'v' then 'view' else 'materialized view' end, format('%I.%I', n.nspname, c.relname), n.nspname || '.' || c.relname,
  format('CREATE %s %I.%I%s AS %s%s', case c.relkind when 'v' then 'VIEW' else 'MATERIALIZED VIEW' end, n.nspname, c.relname,
    coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', ''), rtrim(ltrim(pg_get_viewdef(c.oid)), ';'),
    case when c.relkind = 'm' and not c.relispopulated then ' WITH NO DATA' else '' end),
  o.rolname, not (o.rolsuper or o.rolbypassrls or coalesce((select option_value::bool from pg_options_to_table(c.reloptions) where option_name = 'security_invoker'), false)),
  c.relkind = 'm' and c.relispopulated, pg_get_viewdef(c.oid), coalesce(array_to_string(c.reloptions, ','), ''),
  (select min(case when t.relrowsecurity and i.invokes then 'it reads with the rights of its caller, and which rows of ' || t.oid::regclass || ' these are is decided by row-level security, which works otherwise here'
       when t.relkind = 'r' and exists (select from pg_inherits h where h.inhparent = t.oid) then 'it reads ' || t.oid::regclass || ' with the rows of tables that inherit from it, which are tables of their own here' end)
   from pg_rewrite r join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
   join pg_class t on t.oid = d.refobjid,
   lateral (select coalesce((select option_value::bool from pg_options_to_table(c.reloptions) where option_name = 'security_invoker'), false) as invokes) i
   where r.ev_class = c.oid and t.oid <> c.oid)
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles o on o.oid = c.relowner
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
  end,
  o.rolname, p.prosecdef, p.proacl is not null and not exists (select from aclexplode(p.proacl) a where a.grantee = 0)
from pg_proc p join pg_namespace n on n.oid = p.pronamespace join pg_roles o on o.oid = p.proowner left join pg_aggregate a on a.aggfnoid = p.oid
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

/// All views and routines of the schemas.
pub(super) struct Code {
    /// Each behind what it rests on.
    pub(super) scripts: Vec<(Key, Scripted)>,
    pub(super) others: Vec<OtherObject>,
    pub(super) order: Order,
    /// By their quoted names.
    pub(super) likenesses: HashMap<String, Likeness>,
}

pub(super) async fn read(connection: &mut Connection, scope: &Scope) -> Result<Code, WireError> {
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
    let mut likenesses = HashMap::new();
    for row in &rows {
        let key = key(row, 0)?;
        match script(row, &order, &view_keys)? {
            Ok(mut script) => {
                let quoted = text(row, 3)?.to_owned();
                likenesses.extend(script.likeness.clone().map(|likeness| (quoted, likeness)));
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
        .into_iter()
        .filter_map(|key| scripts.remove(&key).map(|script| (key, script)))
        .collect();
    Ok(Code {
        scripts,
        others,
        order,
        likenesses,
    })
}

/// Its kind, options, query, and its owner where that matters tell a view from another, and from a table of its name. One that keeps its rows cannot be made
/// over itself, so its query is seen in a view of the session.
fn of_view(row: &TextRow, what: &str, owner: &Owner<'_>) -> Result<Likeness, WireError> {
    let (quoted, create) = (text(row, 3)?, text(row, 5)?);
    let (query, options) = (text(row, 9)?, text(row, 10)?);
    let whose = owner.shown("relowner");
    let shown = |view: &str| {
        format!(
            "SELECT relkind::text || {whose} || coalesce(array_to_string(reloptions, ','), '') || coalesce(pg_get_viewdef({view}), '') FROM pg_class WHERE oid = to_regclass({})",
            literal(quoted)
        )
    };
    let kind = if what == "view" { "v" } else { "m" };
    let again = if what == "view" {
        let over = create.replacen("CREATE VIEW", "CREATE OR REPLACE VIEW", 1);
        Again {
            sql: owner.with(&over, "VIEW", quoted),
            shown: shown("oid"),
        }
    } else {
        Again {
            sql: format!("CREATE TEMPORARY VIEW awsdms_seen AS {query}"),
            shown: shown("to_regclass('pg_temp.awsdms_seen')"),
        }
    };
    Ok(Likeness {
        shown: shown("oid"),
        text: format!("{kind}{}{options}{query}", owner.text()),
        again: Some(again),
        besides: Vec::new(),
    })
}

fn script(
    row: &TextRow,
    order: &Order,
    views: &[Key],
) -> Result<Result<Scripted, OtherObject>, WireError> {
    let (what, name) = (text(row, 2)?, text(row, 4)?);
    let Some(create) = optional(row, 5) else {
        return Ok(Err(OtherObject {
            what: what.to_owned(),
            name: name.to_owned(),
            native: None,
            is_of_engine: false,
        }));
    };
    let key = key(row, 0)?;
    let owner = Owner::of(row, order, &key)?;
    if key.0 == "pg_class" {
        view(row, &create, &owner).map(Ok)
    } else {
        routine(row, create, &owner, &order.below(&key), views).map(Ok)
    }
}

fn view(row: &TextRow, create: &str, owner: &Owner<'_>) -> Result<Scripted, WireError> {
    let (what, quoted, name) = (text(row, 2)?, text(row, 3)?, text(row, 4)?);
    let exists = format!(
        "SELECT 1 WHERE to_regclass({}) IS NOT NULL",
        literal(quoted)
    );
    let word = if what == "view" {
        "VIEW"
    } else {
        "MATERIALIZED VIEW"
    };
    let mut create = owner.with(create, word, quoted);
    if owner.is_needed && flag(row, 8)? {
        // It was filled with what the migration's user sees, whose session refuses what policies would leave out.
        create = format!(
            "{create};\nSELECT set_config('row_security', 'on', true);\nREFRESH MATERIALIZED VIEW {quoted}"
        );
    }
    Ok(Scripted {
        undo: Some(format!("DROP {word} IF EXISTS {quoted}")),
        requires: owner.requires(),
        likeness: Some(of_view(row, what, owner)?),
        foreign_bar: optional(row, 11),
        ..Scripted::new(ObjectKind::View, what, name, create, exists)
    })
}

fn routine(
    row: &TextRow,
    create: String,
    owner: &Owner<'_>,
    below: &HashSet<&Key>,
    views: &[Key],
) -> Result<Scripted, WireError> {
    let (what, quoted, name) = (text(row, 2)?, text(row, 3)?, text(row, 4)?);
    // In the transaction that makes it: everybody may run a function that nothing else is said of.
    let plain = create;
    let create = if flag(row, 8)? {
        format!(
            "{};\nREVOKE ALL ON ROUTINE {quoted} FROM PUBLIC",
            plain.trim_end()
        )
    } else {
        plain.clone()
    };
    let create = owner.with(&create, "ROUTINE", quoted);
    let exists = format!(
        "SELECT 1 FROM pg_proc WHERE oid::regprocedure::text = {} AND oid >= 16384",
        literal(quoted)
    );
    let mut script = Scripted::new(ObjectKind::Routine, what, name, create, exists);
    script.requires = owner.requires();
    // The server has no text of aggregates.
    script.likeness = (what != "aggregate").then(|| {
        let shown = format!(
            "SELECT {} || pg_get_functiondef(oid) FROM pg_proc WHERE oid::regprocedure::text = {}",
            owner.shown("proowner"),
            literal(quoted)
        );
        Likeness {
            // It says CREATE OR REPLACE.
            again: Some(Again {
                sql: owner.with(&plain, "ROUTINE", quoted),
                shown: shown.clone(),
            }),
            text: format!("{}{plain}", owner.text()),
            shown,
            besides: Vec::new(),
        }
    });
    if below.iter().any(|below| views.contains(below)) {
        script.behind = Some(ObjectKind::View);
    } else if below.iter().any(|below| below.0 == "pg_class") {
        // While it is there the columns and tables that it rests on cannot go, as they may where changes are followed.
        script.when = ScriptTime::Ended;
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
    Ok(script)
}

/// Whose rights an object runs with.
struct Owner<'a> {
    role: &'a str,
    /// At the target it must be that role's too. What runs with the rights of its caller, and a view, belongs to the migration's user as the tables do that
    /// it reads.
    is_needed: bool,
}

impl<'a> Owner<'a> {
    fn of(row: &'a TextRow, order: &Order, key: &Key) -> Result<Self, WireError> {
        let (role, counts) = (text(row, 6)?, flag(row, 7)?);
        // Policies let through what the owner of a view may see.
        let is_secured = || {
            let mut below = order.below(key).into_iter();
            below.any(|below| order.is_secured_from(below, role))
        };
        Ok(Self {
            role,
            is_needed: counts && (key.0 == "pg_proc" || is_secured()),
        })
    }

    /// Both in one transaction.
    fn with(&self, create: &str, word: &str, quoted: &str) -> String {
        if self.is_needed {
            let (create, role) = (create.trim_end(), identifier(self.role));
            format!("{create};\nALTER {word} {quoted} OWNER TO {role}")
        } else {
            create.to_owned()
        }
    }

    /// An expression of SQL for the owner of what is there, where that decides with whose rights it runs.
    ///
    /// The one whose name is taken keeps its owner while it is seen how the source's text is printed, so the same text of another owner needs a look of its own.
    fn shown(&self, column: &str) -> String {
        if self.is_needed {
            format!("pg_get_userbyid({column}) || ': '")
        } else {
            "''".to_owned()
        }
    }

    /// What that expression gives at the source.
    fn text(&self) -> String {
        if self.is_needed {
            format!("{}: ", self.role)
        } else {
            String::new()
        }
    }

    fn requires(&self) -> Vec<Requirement> {
        if !self.is_needed {
            return Vec::new();
        }
        let role = self.role;
        vec![Requirement {
            query: format!(
                "{} AND pg_has_role(current_user, oid, 'MEMBER')",
                role_exists(role)
            ),
            lacking: format!(
                "it runs with the rights of {role}, a role that the target does not have, or that its user is no member of: make the role there or the \
                 user its member and make the objects again, or make it by hand with another owner"
            ),
        }]
    }
}
