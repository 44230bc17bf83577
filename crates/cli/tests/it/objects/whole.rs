//! What is made by its text between servers of one engine, object by object, by the servers' own words.

use whimbrel_testkit::{Engine, TestDatabase};

use super::{differences, lines};
use crate::ends::Ends;

/// What is not made unless it is asked for.
const ALL: &[&str] = &["--objects", "all"];

/// Everything that a PostgreSQL database has by its text, one a line.
const OF_POSTGRES: &str = "
set search_path = pg_catalog;
with own as (select oid from pg_namespace where nspname in ('public', 'Only Views', 'app', 'elsewhere'))
select 'view ' || c.oid::regclass || c.relispopulated || coalesce(c.reloptions::text, '') || pg_get_viewdef(c.oid) from pg_class c where relkind in ('v', 'm') and relnamespace in (select oid from own)
union all select 'index ' || pg_get_indexdef(indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace in (select oid from own)
union all select 'routine ' || case when prokind = 'a' then oid::regprocedure::text else pg_get_functiondef(oid) end
  from pg_proc p where pronamespace in (select oid from own) and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
union all select 'trigger ' || tgenabled::text || pg_get_triggerdef(t.oid) from pg_trigger t join pg_class c on c.oid = tgrelid where not tgisinternal and c.relnamespace in (select oid from own)
union all select 'rule ' || pg_get_ruledef(r.oid) from pg_rewrite r join pg_class c on c.oid = ev_class where rulename <> '_RETURN' and c.relnamespace in (select oid from own)
union all select 'policy ' || concat_ws(' ', schemaname, tablename, policyname, permissive, roles, cmd, qual, with_check) from pg_policies
union all select 'secured ' || oid::regclass || relforcerowsecurity from pg_class where relrowsecurity
union all select 'grant ' || c.oid::regclass || ' ' || coalesce(g.rolname, 'public') || a.privilege_type || a.is_grantable
  from pg_class c, aclexplode(c.relacl) a left join pg_roles g on g.oid = a.grantee where c.relnamespace in (select oid from own) and a.grantee <> c.relowner
union all select 'grant ' || c.oid::regclass || '.' || t.attname || ' ' || coalesce(g.rolname, 'public') || a.privilege_type || a.is_grantable
  from pg_class c join pg_attribute t on t.attrelid = c.oid, aclexplode(t.attacl) a left join pg_roles g on g.oid = a.grantee where c.relnamespace in (select oid from own)
union all select 'grant ' || p.oid::regprocedure || ' ' || coalesce(g.rolname, 'public') || a.privilege_type
  from pg_proc p, aclexplode(p.proacl) a left join pg_roles g on g.oid = a.grantee where p.pronamespace in (select oid from own) and a.grantee <> p.proowner
union all select 'grant ' || n.oid::regnamespace || ' ' || coalesce(g.rolname, 'public') || a.privilege_type
  from pg_namespace n, aclexplode(n.nspacl) a left join pg_roles g on g.oid = a.grantee where n.oid in (select oid from own) and a.grantee <> n.nspowner
union all select 'comment ' || i.type || ' ' || i.identity || ' ' || d.description from pg_description d, pg_identify_object(d.classoid, d.objoid, d.objsubid) i
  where d.objoid >= 16384 and i.type not in ('extension') and not exists (select from pg_depend e where e.classid = d.classoid and e.objid = d.objoid and e.deptype = 'e')
union all select 'extension ' || extname || ' ' || extnamespace::regnamespace from pg_extension
union all select 'type ' || t.oid::regtype || t.typtype::text || t.typnotnull || coalesce(t.typdefault, '') || coalesce((select string_agg(enumlabel, ',' order by enumsortorder) from pg_enum where enumtypid = t.oid), '')
    || coalesce((select string_agg(attname || format_type(atttypid, atttypmod), ',' order by attnum) from pg_attribute where attrelid = t.typrelid), '')
    || coalesce((select string_agg(conname || pg_get_constraintdef(oid), ',') from pg_constraint where contypid = t.oid and contype = 'c'), '')
  from pg_type t left join pg_class c on c.oid = t.typrelid where t.typnamespace in (select oid from own) and (typtype in ('e', 'd') or typtype = 'c' and c.relkind = 'c')
union all select 'statistics ' || pg_get_statisticsobjdef(oid) from pg_statistic_ext";

fn of_postgres(database: &TestDatabase) -> Vec<String> {
    let rows = format!(
        "select replace(x, e'\\n', ' ') from ({}) y(x)",
        OF_POSTGRES.trim_start().split_once(';').unwrap().1
    );
    lines(
        &database
            .sql(&format!("set search_path = pg_catalog; {rows}"))
            .unwrap(),
    )
}

/// Both ends, with everything at the source. The target has the first of two roles, and the second only where both are of one server.
fn filled_postgres(source: Engine, target: Engine) -> (Ends, String) {
    let ends = Ends::between(source, target, "whole");
    let role = format!("{} \"role\"", ends.source.name());
    let gone = format!("{}_gone", ends.source.name());
    let quoted = format!("\"{}\"", role.replace('"', "\"\""));
    ends.source
        .sql(&format!("create role {quoted}; create role {gone}"))
        .unwrap();
    if source != target {
        ends.target.sql(&format!("create role {quoted}")).unwrap();
    }
    let fixture = include_str!("whole_postgres.sql");
    let fixture = fixture.replace("$role", &quoted).replace("$gone", &gone);
    ends.source.sql(&fixture).unwrap();
    (ends, gone)
}

fn postgres_keeps_everything(source: Engine, target: Engine) {
    let (ends, gone) = filled_postgres(source, target);
    let plain = |mut all: Vec<String>| {
        // Nobody can grant to whom there is not, and versions print queries in their own way.
        all.retain(|line| source == target || !line.contains(&gone));
        for line in all.iter_mut().filter(|_| source != target) {
            let query = [" SELECT", "BEGIN ATOMIC"]
                .iter()
                .filter_map(|word| line.find(word))
                .min();
            line.truncate(query.unwrap_or(line.len()));
        }
        all
    };
    let compare = || {
        differences(
            &plain(of_postgres(&ends.source)),
            &plain(of_postgres(&ends.target)),
        )
    };
    let said = ends.run_well("migrate", ALL);
    let listed = format!("not made: grant public.log to {gone}: the target has no role {gone}");
    assert_eq!(said.out.contains(&listed), source != target, "{}", said.out);
    assert!(!said.out.contains(" failed"), "{}", said.out);
    assert_eq!(compare(), "", "{}", said.out);
    let seen = "select * from \"Totals \"\"m\"\"\"; select * from aaa_on_views order by 1; select * from zzz_on_function; select total(n::int) from \"Totals \"\"m\"\"\";
        select * from \"Only Views\".far order by 1; select many(), of_view(3)";
    assert_eq!(
        ends.target.sql(seen).unwrap(),
        ends.source.sql(seen).unwrap()
    );
    // No trigger acted on rows that were loaded, and those that are made act.
    assert_eq!(ends.arrived("log"), 0);
    ends.target
        .sql("insert into \"Order\" (id, \"select\", amount) values (99, 'new', 5)")
        .unwrap();
    assert_eq!(
        ends.target.sql("select what from log").unwrap(),
        "INSERT new\n"
    );
    // Once more, over all that rests on the tables.
    ends.run_well("migrate", ALL);
    assert_eq!(compare(), "");
    assert_eq!(ends.arrived("log"), 0);
    // And into tables that stay, with their triggers.
    ends.run_well("migrate", &["--objects", "all", "--prepare", "truncate"]);
    assert_eq!(compare(), "");
    assert_eq!(ends.arrived("log"), 0);
}

#[test]
fn postgres_15_keeps_the_whole_schema() {
    postgres_keeps_everything(Engine::Postgres15, Engine::Postgres15);
}

#[test]
fn postgres_18_takes_the_whole_schema_of_15() {
    postgres_keeps_everything(Engine::Postgres15, Engine::Postgres18);
}

/// The object that the server gives a text for, without what a database's own name and defaults put into it.
fn of_mysql(database: &TestDatabase) -> Vec<String> {
    let kinds = [
        (
            "view",
            "select table_name from information_schema.views where table_schema = database()",
        ),
        (
            "function",
            "select routine_name from information_schema.routines where routine_type = 'FUNCTION' and routine_schema = database()",
        ),
        (
            "procedure",
            "select routine_name from information_schema.routines where routine_type = 'PROCEDURE' and routine_schema = database()",
        ),
        (
            "trigger",
            "select trigger_name from information_schema.triggers where trigger_schema = database()",
        ),
        (
            "event",
            "select event_name from information_schema.events where event_schema = database()",
        ),
    ];
    let mut all = Vec::new();
    for (kind, names) in kinds {
        for name in database.sql(names).unwrap().lines() {
            let quoted = name.replace('`', "``");
            let shown = database
                .sql(&format!("show create {kind} `{quoted}`"))
                .unwrap();
            // A trigger tells when it was made.
            let columns = shown
                .trim_end()
                .split('\t')
                .take(if kind == "trigger" { 6 } else { 9 });
            // The character set in which the statement came is the client's.
            let columns: Vec<&str> = columns
                .filter(|column| !matches!(*column, "utf8mb3" | "utf8mb4"))
                .collect();
            all.push(format!("{kind} {}", columns.join("\t")));
        }
    }
    let grants = "select concat_ws(' ', grantee, 'database', privilege_type, is_grantable) from information_schema.schema_privileges where replace(table_schema, '\\\\', '') = database()
        union all select concat_ws(' ', grantee, table_name, privilege_type, is_grantable) from information_schema.table_privileges where table_schema = database()
        union all select concat_ws(' ', grantee, table_name, column_name, privilege_type, is_grantable) from information_schema.column_privileges where table_schema = database()
        union all select concat_ws(' ', user, host, routine_name, proc_priv) from mysql.procs_priv where db = database()";
    all.extend(database.sql(grants).unwrap().lines().map(str::to_owned));
    all.sort();
    all
}

fn filled_mysql(source: Engine, target: Engine, hint: &str) -> Ends {
    let ends = Ends::between(source, target, hint);
    let user = format!(
        "'{}_u'@'%'",
        &ends.source.name()[..20.min(ends.source.name().len())]
    );
    for end in [&ends.source, &ends.target] {
        end.sql(&format!("create user if not exists {user}"))
            .unwrap();
    }
    ends.source
        .sql(&include_str!("whole_mysql.sql").replace("$user", &user))
        .unwrap();
    ends
}

fn mysql_keeps_everything(source: Engine, target: Engine) {
    let ends = filled_mysql(source, target, "whole");
    let said = ends.run_well("migrate", ALL);
    assert!(said.out.contains("note: event"), "{}", said.out);
    assert!(
        !said.out.contains("not made") && !said.out.contains("failed"),
        "{}",
        said.out
    );
    // Events wait until applications use the target.
    let on = "alter event `every day` enable";
    ends.target.sql(on).unwrap();
    let plain = |lines: Vec<String>| -> Vec<String> {
        let differing = |line: &String| {
            // Servers of another kind print types and modes their own way; names are compared there.
            if source == target {
                line.clone()
            } else {
                line.split('\t').next().unwrap().to_owned()
            }
        };
        lines.iter().map(differing).collect()
    };
    let compare = || {
        differences(
            &plain(of_mysql(&ends.source)),
            &plain(of_mysql(&ends.target)),
        )
    };
    assert_eq!(compare(), "", "{}", said.out);
    // No trigger acted on rows that were loaded, and those that are made act, in their order.
    assert_eq!(ends.arrived("log"), 1);
    ends.target
        .sql("insert into `Order` values (9, 'new', 5); call `add ``to`` log`('x'); call ansi()")
        .unwrap();
    assert_eq!(
        ends.target
            .sql("select what from log order by id")
            .unwrap()
            .replace("\\\\", "\\"),
        "first\nins new\nthen\nx; \"x\"\na\\\n"
    );
    assert_eq!(ends.target.sql("select `twice it`(4)").unwrap(), "8\n");
    // Once more, over what is there, and into tables that stay.
    ends.run_well("migrate", ALL);
    assert_eq!((compare(), ends.arrived("log")), (String::new(), 1));
    ends.run_well("migrate", &["--objects", "all", "--prepare", "truncate"]);
    assert_eq!((compare(), ends.arrived("log")), (String::new(), 1));
}

#[test]
fn mysql_keeps_the_whole_schema() {
    mysql_keeps_everything(Engine::Mysql97, Engine::Mysql97);
}

#[test]
fn mariadb_keeps_the_whole_schema() {
    mysql_keeps_everything(Engine::Mariadb1011, Engine::Mariadb1011);
}

#[test]
fn mysql_takes_the_whole_schema_of_mariadb() {
    mysql_keeps_everything(Engine::Mariadb1011, Engine::Mysql97);
}

#[test]
fn mariadb_takes_the_whole_schema_of_mysql() {
    mysql_keeps_everything(Engine::Mysql97, Engine::Mariadb1011);
}

/// What runs with the rights of somebody whom the target does not have would run there with other rights.
#[test]
fn what_runs_with_the_rights_of_nobody_is_listed() {
    let ends = Ends::between(Engine::Mysql97, Engine::Mariadb1011, "definer");
    let gone = format!(
        "{}_g",
        &ends.source.name()[..16.min(ends.source.name().len())]
    );
    ends.source
        .sql(&format!(
            "create user if not exists `{gone}`@`%`; create table t (id int primary key);
             create definer = `{gone}`@`%` sql security definer view v as select id from t;
             create definer = `{gone}`@`%` sql security invoker view w as select id from t;
             create definer = `{gone}`@`%` trigger acts before insert on t for each row set new.id = new.id"
        ))
        .unwrap();
    let said = ends.run_well("migrate", ALL);
    let at = ends.source.name();
    for wanted in [
        format!("not made: view {at}.v: it runs with the rights of '{gone}'@'%'"),
        format!("not made: trigger {at}.t.acts: it runs with the rights of '{gone}'@'%'"),
        format!("DEFINER=`{gone}`@`%` SQL SECURITY DEFINER VIEW `v`"),
    ] {
        assert!(
            said.out.contains(&wanted),
            "{wanted} is not in\n{}",
            said.out
        );
    }
    let made = "select table_name from information_schema.views where table_schema = database() order by table_name";
    assert_eq!(ends.target.sql(made).unwrap(), "w\n");
    // Once the account is there, a resume makes the rest.
    ends.target
        .sql(&format!("create user `{gone}`@`%`"))
        .unwrap();
    ends.run_well("migrate", ALL);
    assert_eq!(ends.target.sql(made).unwrap(), "v\nw\n");
    ends.target.sql(&format!("drop user `{gone}`@`%`")).unwrap();
}

#[test]
fn a_text_that_names_a_schema_of_another_name_is_listed() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "renamed");
    ends.source
        .sql("create schema app; create table app.t (id int primary key); create view app.v as select id from app.t;
              create function public.free() returns int language sql as 'select 1'; create function app.f() returns int language sql as 'select 1'")
        .unwrap();
    let said = ends.run_well("migrate", ALL);
    let reason = "its text names the schema app, which is public at the target";
    for wanted in [
        format!("not made: view app.v: {reason}"),
        format!("not made: function app.f(): {reason}"),
        "    CREATE VIEW app.v AS".to_owned(),
    ] {
        assert!(
            said.out.contains(&wanted),
            "{wanted} is not in\n{}",
            said.out
        );
    }
    assert_eq!(
        ends.target
            .sql("select count(*) from pg_views where schemaname = 'public'")
            .unwrap(),
        "0\n"
    );
}

#[test]
fn kinds_can_be_wanted_alone() {
    let (ends, _) = filled_postgres(Engine::Postgres15, Engine::Postgres15);
    let said = ends.run_well("migrate", &["--objects", "extensions,types,routines,views"]);
    assert!(!said.out.contains("not made"), "{}", said.out);
    let count = |sql: &str| ends.target.sql(sql).unwrap();
    assert_eq!(
        count("select count(*) from pg_trigger where not tgisinternal"),
        "0\n"
    );
    assert_eq!(count("select count(*) from pg_policy"), "0\n");
    assert_eq!(
        count("select count(*) from pg_views where schemaname = 'public'"),
        "3\n"
    );
}
