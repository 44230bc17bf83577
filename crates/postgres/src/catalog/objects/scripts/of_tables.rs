//! Triggers, rules and extended statistics of tables and views.

use whimbrel_core::objects::{Again, Likeness, ObjectKind, ScriptStatement, ScriptTime, Scripted};

use super::super::super::text;
use super::super::optional;
use super::Scope;
use crate::quote::{identifier, literal};
use crate::wire::{Connection, TextRow, WireError};

/// Those of partitions belong to their root's. Views of the schemas have triggers too.
const TRIGGERS: &str = "
select t.tgrelid, n.nspname, c.relname, t.tgname, pg_get_triggerdef(t.oid), t.tgenabled
from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_namespace n on n.oid = c.relnamespace
where not t.tgisinternal and t.tgparentid = 0 and (t.tgrelid = any($1) or c.relkind = 'v' and n.nspname in ($2))
order by n.nspname, c.relname, t.tgname";

const RULES: &str = "
select r.ev_class, n.nspname, c.relname, r.rulename, rtrim(pg_get_ruledef(r.oid), ';'), r.ev_enabled
from pg_rewrite r join pg_class c on c.oid = r.ev_class join pg_namespace n on n.oid = c.relnamespace
where r.rulename <> '_RETURN' and (r.ev_class = any($1) or c.relkind = 'v' and n.nspname in ($2))
order by n.nspname, c.relname, r.rulename";

const STATISTICS: &str = "
select s.stxrelid, n.nspname, s.stxname, pg_get_statisticsobjdef(s.oid)
from pg_statistic_ext s join pg_namespace n on n.oid = s.stxnamespace
where s.stxrelid = any($1) order by n.nspname, s.stxname";

pub(super) async fn read(
    connection: &mut Connection,
    scope: &Scope,
) -> Result<Vec<Scripted>, WireError> {
    let mut scripts = Vec::new();
    for row in scope.rows(connection, TRIGGERS).await? {
        scripts.push(acting(scope, &row, &TRIGGER)?);
    }
    for row in scope.rows(connection, RULES).await? {
        scripts.push(acting(scope, &row, &RULE)?);
    }
    for row in scope.rows(connection, STATISTICS).await? {
        let (schema, name) = (text(&row, 1)?, text(&row, 2)?);
        let exists = format!(
            "SELECT 1 FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace WHERE n.nspname = {} AND s.stxname = {}",
            literal(schema),
            literal(name)
        );
        scripts.push(Scripted {
            table: scope.table(&row, 0),
            when: ScriptTime::Loaded,
            ..Scripted::new(
                ObjectKind::Index,
                "extended statistics",
                format!("{schema}.{name}"),
                text(&row, 3)?,
                exists,
            )
        });
    }
    Ok(scripts)
}

/// Something that acts when rows are written.
struct Acting {
    word: &'static str,
    what: &'static str,
    /// What to select from to find it, by literals of its table and name.
    found: fn(&str, &str) -> String,
    /// Its text, the statement that lets it act as it does, and that of its comment.
    shown: &'static str,
    set: &'static str,
    comment: &'static str,
    enabled: &'static str,
}

const TRIGGER: Acting = Acting {
    word: "TRIGGER",
    what: "trigger",
    found: |table, name| {
        format!("pg_trigger WHERE tgrelid = to_regclass({table}) AND tgname = {name}")
    },
    shown: "pg_get_triggerdef(oid)",
    set: "format('ALTER TABLE %s %s TRIGGER %I', tgrelid::regclass, case tgenabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, tgname)",
    comment: "'COMMENT ON TRIGGER ' || quote_ident(tgname) || ' ON ' || tgrelid::regclass || ' IS ' || quote_literal(obj_description(oid, 'pg_trigger'))",
    enabled: "tgenabled",
};

const RULE: Acting = Acting {
    word: "RULE",
    what: "rule",
    found: |table, name| {
        format!("pg_rewrite WHERE ev_class = to_regclass({table}) AND rulename = {name}")
    },
    shown: "rtrim(pg_get_ruledef(oid), ';')",
    set: "format('ALTER TABLE %s %s RULE %I', ev_class::regclass, case ev_enabled when 'D' then 'DISABLE' when 'R' then 'ENABLE REPLICA' else 'ENABLE ALWAYS' end, rulename)",
    comment: "'COMMENT ON RULE ' || quote_ident(rulename) || ' ON ' || ev_class::regclass || ' IS ' || quote_literal(obj_description(oid, 'pg_rewrite'))",
    enabled: "ev_enabled",
};

fn acting(scope: &Scope, row: &TextRow, acting: &Acting) -> Result<Scripted, WireError> {
    let (schema, table, name) = (text(row, 1)?, text(row, 2)?, text(row, 3)?);
    let quoted = format!("{}.{}", identifier(schema), identifier(table));
    let found = (acting.found)(&literal(&quoted), &literal(name));
    let what = acting.what;
    let mut script = Scripted::new(
        ObjectKind::Trigger,
        what,
        format!("{schema}.{table}.{name}"),
        text(row, 4)?,
        format!("SELECT 1 FROM {found}"),
    );
    script.table = scope.table(row, 0);
    let shown = format!("SELECT {} FROM {found}", acting.shown);
    script.likeness = Some(Likeness {
        text: text(row, 4)?.to_owned(),
        again: Some(Again {
            sql: text(row, 4)?.replacen("CREATE ", "CREATE OR REPLACE ", 1),
            shown: shown.clone(),
        }),
        besides: vec![
            format!(
                "SELECT {} FROM {found} AND {} <> 'O'",
                acting.set, acting.enabled
            ),
            format!(
                "SELECT {0} FROM {found} AND {0} IS NOT NULL",
                acting.comment
            ),
        ],
        shown,
    });
    // What belongs to a view stands in the way of no rows.
    script.undo = script.table.as_ref().map(|_| {
        let word = acting.word;
        format!("DROP {word} IF EXISTS {} ON {quoted}", identifier(name))
    });
    let state = optional(row, 5).unwrap_or_default();
    let how = match state.as_str() {
        "D" => "DISABLE",
        "R" => "ENABLE REPLICA",
        "A" => "ENABLE ALWAYS",
        _ => return Ok(script),
    };
    script.statements.push(ScriptStatement::new(
        format!(
            "ALTER TABLE {quoted} {how} {} {}",
            acting.word,
            identifier(name)
        ),
        format!(
            "SELECT 1 FROM {found} AND {} = {}",
            acting.enabled,
            literal(&state)
        ),
    ));
    Ok(script)
}
