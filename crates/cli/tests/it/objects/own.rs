//! What the target has of its own: nothing of it is lost, and nothing of the source takes its name.

use whimbrel_testkit::{Engine, TestDatabase};

use crate::Said;
use crate::ends::{Ends, wait_until};

/// What is made by its text besides.
const ALL: &[&str] = &["--objects", "all"];

fn says(said: &Said, wanted: &str) {
    assert!(
        said.out.contains(wanted),
        "{wanted} is not in\n{}",
        said.out
    );
}

/// Views and routines, with owner, options, privileges and comments, one a line.
fn of_postgres(database: &TestDatabase) -> String {
    let sql = "set search_path = pg_catalog;
        select c.oid::regclass, relowner::regrole, (select array_agg(acl::text order by acl::text) from unnest(relacl) acl), reloptions, replace(pg_get_viewdef(c.oid), e'\\n', ' '), obj_description(c.oid, 'pg_class'),
          (select array_agg(attname || coalesce(attacl::text, '') || coalesce(col_description(c.oid, attnum), '') order by attnum) from pg_attribute where attrelid = c.oid and attnum > 0),
          (select array_agg(pg_get_triggerdef(t.oid) || tgenabled::text || coalesce(obj_description(t.oid, 'pg_trigger'), '') order by tgname) from pg_trigger t where tgrelid = c.oid),
          (select array_agg(pg_get_indexdef(indexrelid)) from pg_index where indrelid = c.oid), relispopulated
        from pg_class c where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace order by relname";
    let routines = "set search_path = pg_catalog;
        select oid::regprocedure, proowner::regrole, (select array_agg(acl::text order by acl::text) from unnest(proacl) acl), prosecdef, replace(pg_get_functiondef(oid), e'\\n', ' '), obj_description(oid, 'pg_proc')
        from pg_proc where pronamespace = 'public'::regnamespace order by oid::regprocedure::text";
    database.sql(sql).unwrap() + &database.sql(routines).unwrap()
}

const SOURCE: &str = "create table t (id int primary key, note text); insert into t values (1, 'a'), (2, 'b'); create table other (id int primary key);
    create view same as select id, note from t; create view seen as select id, note from t; create view above as select id from seen;
    create materialized view kept as select count(*) as n from t; create function rows_of(t) returns int language sql as 'select $1.id';
    create function free() returns int language sql as 'select 1'; create view apart as select 1 as one; create view on_other as select id from other;
    revoke execute on function free() from public; grant select on apart to public; grant select on on_other to public";

/// Everything that rests on the table is made anew by the source or by the target's users; two things of the target's own rest on none.
fn with_own(source: Engine, target: Engine, hint: &str) -> (Ends, String) {
    let ends = Ends::between(source, target, hint);
    ends.source.sql(SOURCE).unwrap();
    ends.run_well("migrate", ALL);
    let role = format!("{}_own", ends.target.name());
    ends.target
        .sql(&format!(
            "create role {role}; drop view above; drop view seen;
             create view seen with (security_barrier = true) as select id, note || '!' as note from t; create view above as select id + 0 as id from seen;
             alter view seen owner to {role}; grant select on t to {role}; grant select on seen to public; grant insert (id) on seen to {role} with grant option;
             comment on view seen is 'it''s own'; comment on column seen.note is 'louder';
             create function instead() returns trigger language plpgsql as 'begin return new; end';
             create trigger own instead of insert on seen for each row execute function instead(); comment on trigger own on seen is 'acts';
             grant select on same to {role}; comment on view same is 'own comment'; create unique index on kept (n); comment on materialized view kept is 'kept';
             create view only_here as select note from t; create function only_rows(t) returns setof seen language sql security definer as 'select * from seen';
             alter function only_rows(t) owner to {role}; revoke execute on function only_rows(t) from public; grant execute on function only_rows(t) to {role};
             create or replace function free() returns int language sql as 'select 2'; grant execute on function free() to public;
             create or replace view apart as select 2 as one; revoke select on apart from public"
        ))
        .unwrap();
    (ends, role)
}

fn postgres_keeps_its_own(source: Engine, target: Engine) {
    let (ends, role) = with_own(source, target, "own");
    let before = of_postgres(&ends.target);
    let said = ends.run_well("migrate", ALL);
    assert_eq!(of_postgres(&ends.target), before, "{}", said.out);
    for another in [
        "view public.seen",
        "view public.above",
        "view public.apart",
        "routine public.free() (function)",
    ] {
        says(
            &said,
            &format!("not made: {another}: another of that name is there"),
        );
    }
    says(
        &said,
        "not made: grant public.apart to everybody: the target has another object of that name",
    );
    for same in [
        "public.same",
        "public.kept",
        "public.on_other",
        "public.rows_of",
    ] {
        assert!(!said.out.contains(same), "{same} is in\n{}", said.out);
    }
    // The table's own privileges went with it.
    let grant = format!("grant select on t to {role}");
    ends.target.sql(&grant).unwrap();
    assert_eq!(
        ends.target.sql("select note from seen order by 1; select n from kept; select note from only_here order by 1").unwrap(),
        "a!\nb!\n2\na\nb\n"
    );
    assert_eq!(
        ends.target
            .sql("select to_regnamespace('awsdms_control')")
            .unwrap(),
        "NULL\n"
    );
}

#[test]
fn postgres_keeps_what_rests_on_tables_that_are_made_anew() {
    postgres_keeps_its_own(Engine::Postgres15, Engine::Postgres15);
}

#[test]
fn postgres_18_keeps_what_rests_on_tables_of_15() {
    postgres_keeps_its_own(Engine::Postgres15, Engine::Postgres18);
}

/// It is on record from before it is dropped, whenever the run breaks off.
#[test]
fn what_rests_on_tables_comes_back_after_a_crash() {
    let (ends, _) = with_own(Engine::Postgres15, Engine::Postgres15, "own_crash");
    let before = of_postgres(&ends.target);
    // Somebody reads a table, which cannot be dropped then.
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            ends.target
                .sql("begin; select * from other; select pg_sleep(120)")
        });
        let asleep =
            "from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
        let count = |what: &str| ends.target.sql(&format!("select count(*) {what}")).unwrap();
        wait_until(|| count(asleep) == "1\n");
        let running = ends.start(ALL);
        wait_until(|| count("from pg_views where viewname in ('only_here', 'on_other')") == "0\n");
        running.kill();
        let end = format!("select pg_terminate_backend(pid) {asleep}");
        ends.target.sql(&end).unwrap();
        holder.join().unwrap().unwrap_err();
    });
    ends.run_well("migrate", &["--objects", "all", "--resume"]);
    assert_eq!(of_postgres(&ends.target), before);
}

#[test]
fn what_cannot_come_back_is_told_and_stays_on_record() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "own_gone");
    ends.source
        .sql("create table t (id int primary key); insert into t values (1)")
        .unwrap();
    ends.target
        .sql("create table t (id int primary key, gone int); create view v as select gone from t")
        .unwrap();
    let said = ends.run("migrate", ALL);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    says(&said, "view public.v of the target: ");
    says(
        &said,
        "DELETE FROM awsdms_control.awsdms_kept_object WHERE object_name = 'public.v'",
    );
    says(&said, "CREATE VIEW public.v AS SELECT t.gone");
    assert_eq!(ends.arrived("t"), 1);
    let said = ends.run("forget", &[]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    says(&said, "not restored: view public.v: ");
    ends.target
        .sql("delete from awsdms_control.awsdms_kept_object where object_name = 'public.v'")
        .unwrap();
    ends.run_well("migrate", ALL);
    assert_eq!(
        ends.target
            .sql("select to_regnamespace('awsdms_control')")
            .unwrap(),
        "NULL\n"
    );
}

/// A trigger of the source's name acts on no row that is loaded, and is the target's own again.
#[test]
fn a_trigger_of_postgres_is_the_targets_own_again() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "own_act");
    let tables = "create table log (id int generated by default as identity primary key, what text); create table t (id int primary key);
        create function noted() returns trigger language plpgsql as $$begin insert into public.log (what) values (tg_argv[0]); return new; end$$";
    ends.source
        .sql(&format!(
            "{tables}; insert into t values (1), (2); create trigger note after insert on t for each row execute function noted('source');
             create rule r as on delete to t do instead nothing; create trigger quiet after insert on t for each row execute function noted('quiet')"
        ))
        .unwrap();
    ends.target
        .sql(&format!(
            "{tables}; create trigger note before insert on t for each row execute function noted('target'); alter table t enable always trigger note;
             comment on trigger note on t is 'own'; create rule r as on update to t do instead nothing; comment on rule r on t is 'own rule';
             create trigger quiet after insert on t for each row execute function noted('quiet'); alter table t disable trigger quiet"
        ))
        .unwrap();
    let acting = "select pg_get_triggerdef(oid), tgenabled, obj_description(oid, 'pg_trigger') from pg_trigger where tgrelid = 't'::regclass order by 1;
        select pg_get_ruledef(oid), ev_enabled, obj_description(oid, 'pg_rewrite') from pg_rewrite where ev_class = 't'::regclass";
    let before = ends.target.sql(acting).unwrap();
    let said = ends.run_well("migrate", &["--objects", "all", "--prepare", "truncate"]);
    assert_eq!(ends.target.sql(acting).unwrap(), before);
    assert_eq!((ends.arrived("t"), ends.arrived("log")), (2, 0));
    says(
        &said,
        "not made: trigger public.t.note: another of that name is there",
    );
    says(&said, "public.t.r (rule): another of that name is there");
    assert!(!said.out.contains("quiet"), "{}", said.out);
}

fn mysql_keeps_its_own_trigger(engine: Engine) {
    let ends = Ends::between(engine, engine, "own_act");
    let tables = "create table log (id int auto_increment primary key, what varchar(99)); create table t (id int primary key)";
    ends.source
        .sql(&format!(
            "{tables}; insert into t values (1), (2); create trigger note after insert on t for each row insert into log (what) values ('source');
             create function free() returns int no sql return 1; create sql security invoker view seen as select id from t"
        ))
        .unwrap();
    ends.target
        .sql(&format!(
            "{tables}; set sql_mode = 'ANSI_QUOTES'; create trigger \"note\" before insert on t for each row insert into \"log\" (what) values ('target');
             create function free() returns int no sql return 2; create sql security invoker view seen as select id + 1 as id from t"
        ))
        .unwrap();
    let acting = "select trigger_name, action_timing, action_statement, sql_mode, definer from information_schema.triggers where trigger_schema = database() order by 1;
        select view_definition from information_schema.views where table_schema = database(); select free()";
    let before = ends.target.sql(acting).unwrap();
    let said = ends.run_well("migrate", &["--objects", "all", "--prepare", "truncate"]);
    assert_eq!(ends.target.sql(acting).unwrap(), before);
    assert_eq!((ends.arrived("t"), ends.arrived("log")), (2, 0));
    let at = ends.source.name();
    for another in [
        format!("trigger {at}.t.note"),
        format!("view {at}.seen"),
        format!("{at}.free (function)"),
    ] {
        says(&said, &format!("{another}: another of that name is there"));
    }
    let kept = "select count(*) from information_schema.tables where table_schema = 'awsdms_control' and table_name = 'awsdms_kept_object'";
    let noted =
        "select count(*) from awsdms_control.awsdms_kept_object where table_owner = database()";
    if ends.target.sql(kept).unwrap() == "1\n" {
        assert_eq!(ends.target.sql(noted).unwrap(), "0\n");
    }
}

#[test]
fn a_trigger_of_mysql_is_the_targets_own_again() {
    mysql_keeps_its_own_trigger(Engine::Mysql97);
}

#[test]
fn a_trigger_of_mariadb_is_the_targets_own_again() {
    mysql_keeps_its_own_trigger(Engine::Mariadb1011);
}
