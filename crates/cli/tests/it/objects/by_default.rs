//! Everything travels by default between servers of PostgreSQL: no run fails by it, nothing of the target's own is lost, and nothing is more open than it was.

use whimbrel_testkit::Engine;

use crate::Said;
use crate::ends::Ends;

fn says(said: &Said, wanted: &str) {
    assert!(
        said.out.contains(wanted),
        "{wanted} is not in\n{}",
        said.out
    );
}

fn postgres(hint: &str) -> Ends {
    Ends::between(Engine::Postgres15, Engine::Postgres15, hint)
}

/// A function of rows of a table, or a view of it, would keep its columns from being dropped.
#[test]
fn what_rests_on_tables_waits_while_changes_are_followed() {
    let ends = postgres("waits");
    ends.source
        .sql(
            "create table t (id int primary key, gone int); insert into t values (1, 1); create view seen as select id from t;
             create function first_of(t) returns int language sql as 'select $1.id'; create function counted() returns bigint begin atomic select count(*) from t; end",
        )
        .unwrap();
    let made = "select count(*) from pg_class where relname = 'seen' union all select count(*) from pg_proc where proname in ('first_of', 'counted')";
    let running = ends.start(&["--follow"]);
    let running = ends.wait_for_rows(running, "t", 1);
    ends.source
        .sql("alter table t drop column gone; insert into t values (2)")
        .unwrap();
    let running = ends.wait_for_rows(running, "t", 2);
    assert_eq!(ends.target.sql(made).unwrap(), "0\n0\n");
    running.kill();
    ends.run_well("migrate", &["--resume", "--until-caught-up"]);
    assert_eq!(ends.target.sql(made).unwrap(), "1\n2\n");
    assert_eq!(
        ends.target
            .sql("select first_of(t), counted() from t order by 1")
            .unwrap(),
        "1\t2\n2\t2\n"
    );
    ends.run_well("forget", &[]);
}

/// Who follows on after that end meets the views. They stand aside for a definition, and come back as the source has them.
#[test]
fn views_stand_aside_for_definitions_that_are_followed() {
    let ends = postgres("follow_on");
    ends.source
        .sql(
            "create table t (id int primary key, gone int); insert into t values (1, 1); create view seen as select id, gone from t;
             create view above as select id from seen",
        )
        .unwrap();
    let running = ends.start(&["--follow"]);
    let running = ends.wait_for_rows(running, "t", 1);
    running.kill();
    ends.run_well("migrate", &["--resume", "--until-caught-up"]);
    assert_eq!(ends.arrived("above"), 1);
    ends.target
        .sql("create view own as select id * 2 as id from t; create view apart as select 1 as one")
        .unwrap();
    ends.source
        .sql(
            "drop view above; drop view seen; alter table t drop column gone; create view seen as select id from t; create view above as select id from seen;
             insert into t values (2)",
        )
        .unwrap();
    let running = ends.start(&["--resume", "--follow"]);
    let running = ends.wait_for_rows(running, "t", 2);
    let views = "select viewname from pg_views where schemaname = 'public' order by 1";
    // What does without the column is made again with the definition.
    assert_eq!(ends.target.sql(views).unwrap(), "apart\nown\n");
    running.kill();
    let said = ends.run_well("migrate", &["--resume", "--until-caught-up"]);
    assert_eq!(
        ends.target.sql(views).unwrap(),
        "above\napart\nown\nseen\n",
        "{}",
        said.out
    );
    assert_eq!(
        ends.target
            .sql("select max(id) from own; select count(*) from above")
            .unwrap(),
        "4\n2\n"
    );
    // So they do for a table that is loaded again.
    ends.source
        .sql("alter table t add column filled int not null default 3; insert into t values (5, 4)")
        .unwrap();
    ends.run_well("migrate", &["--resume", "--until-caught-up"]);
    assert_eq!(
        ends.target.sql("select sum(filled) from t").unwrap(),
        "10\n"
    );
    assert_eq!(ends.target.sql(views).unwrap(), "above\napart\nown\nseen\n");
    ends.run_well("forget", &[]);
}

/// The user may drop a trigger of the own table, and may not run the function that it calls.
#[test]
fn a_trigger_that_the_user_could_not_make_again_stays() {
    let mut ends = postgres("rehearse");
    let user = format!("{}_few", ends.target.name());
    let tables = "create table log (what text); create table t (id int primary key);
        create function noted() returns trigger language plpgsql security definer as $$begin insert into public.log values ('own'); return new; end$$;
        create trigger note after insert on t for each row execute function noted()";
    ends.source
        .sql(&format!("{tables}; insert into t values (1), (2)"))
        .unwrap();
    ends.target
        .sql(&format!(
            "create role {user} login password 'a-password'; {tables}; revoke execute on function noted() from public; alter table t owner to {user};
             do $$ begin execute format('grant create on database %I to {user}', current_database()); end $$"
        ))
        .unwrap();
    let shown = "select tgname, tgenabled, pg_get_triggerdef(oid) from pg_trigger where tgrelid = 't'::regclass";
    let before = ends.target.sql(shown).unwrap();
    ends.target_url = ends.target.url_as(&user, "a-password");
    let said = ends.run_well(
        "migrate",
        &["--prepare", "truncate", "--tables", "public.t"],
    );
    says(
        &said,
        "note: trigger public.t.note at the target: it stayed, and acted on the rows that were written",
    );
    says(&said, "the user cannot drop it and make it again");
    assert_eq!(ends.target.sql(shown).unwrap(), before);
    assert_eq!(ends.arrived("t"), 2);
    // Nothing is left on record.
    assert_eq!(
        ends.target
            .sql("select to_regclass('awsdms_control.awsdms_kept_object')")
            .unwrap(),
        "NULL\n"
    );
}

/// The view that an earlier run made cannot be made again once the source's has changed together with its table.
#[test]
fn a_view_that_changed_at_the_source_takes_the_place_of_its_older_self() {
    let ends = postgres("changed");
    ends.source
        .sql("create table t (id int primary key, old int); insert into t values (1, 2); create view v as select old from t; create view w as select old from v")
        .unwrap();
    ends.run_well("migrate", &[]);
    ends.source
        .sql("drop view w; drop view v; alter table t rename old to new; create view v as select new from t; create view w as select new from v")
        .unwrap();
    let said = ends.run_well("migrate", &[]);
    says(
        &said,
        "note: view public.v: what the target had of that name cannot be made any more, and gave way to the source's; it was: CREATE VIEW public.v AS SELECT t.old",
    );
    assert_eq!(ends.target.sql("select new from w").unwrap(), "2\n");
    let said = ends.run_well("migrate", &[]);
    assert!(!said.out.contains("gave way"), "{}", said.out);
}

/// While a table is in error what rests on it stands aside. Who makes another of its name meanwhile is told, and nothing is forgotten.
#[test]
fn what_stands_aside_waits_for_tables_in_error_and_is_never_dropped_silently() {
    let ends = postgres("aside");
    ends.source
        .sql("create table t (id int primary key); insert into t values (1); create table u (id int primary key)")
        .unwrap();
    ends.target
        .sql(
            "create table t (id int primary key); create table u (id int primary key); create table outside (id int references u);
             create view v as select id from t; create view kept as select id + 1 as id from t",
        )
        .unwrap();
    // A key of a table that is not migrated is in the way of one of both.
    let said = ends.run("migrate", &[]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let views = "select viewname from pg_views where schemaname = 'public' order by 1";
    assert_eq!(ends.target.sql(views).unwrap(), "");
    ends.target
        .sql("drop table outside; create view v as select 'another' as id")
        .unwrap();
    let said = ends.run("migrate", &["--resume"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    says(
        &said,
        "view public.v of the target: another of that name was made meanwhile, with another text, and stays",
    );
    assert_eq!(ends.target.sql(views).unwrap(), "kept\nv\n");
    assert_eq!(ends.target.sql("select id from v").unwrap(), "another\n");
    assert_eq!(ends.target.sql("select id from kept").unwrap(), "2\n");
    ends.target
        .sql("drop view v; create view v as select id from t")
        .unwrap();
    ends.run_well("migrate", &["--resume"]);
    assert_eq!(
        ends.target
            .sql("select to_regnamespace('awsdms_control')")
            .unwrap(),
        "NULL\n"
    );
}

/// A privilege on a table is given behind what restricts it, and not where the target lets more through.
#[test]
fn privileges_wait_for_row_level_security() {
    let ends = postgres("secured");
    let role = format!("{}_r", ends.source.name());
    ends.source
        .sql(&format!(
            "create role {role}; create table t (id int primary key, note text); insert into t values (1, 'a'); alter table t enable row level security;
             create policy known on t using (id > 1); grant select on t to {role}; grant update (note) on t to {role};
             create table u (id int primary key); alter table u force row level security"
        ))
        .unwrap();
    let said = ends.run_well("migrate", &["--objects", "grants"]);
    let held = format!("select has_any_column_privilege('{role}', 't', 'select, update')");
    says(
        &said,
        &format!("not made: grant public.t to {role}: row-level security of public.t"),
    );
    assert_eq!(ends.target.sql(&held).unwrap(), "f\n", "{}", said.out);
    ends.target
        .sql("alter table t enable row level security; create policy more on t using (true)")
        .unwrap();
    let said = ends.run_well("migrate", &["--prepare", "truncate"]);
    says(&said, "the target has a policy of its own");
    assert_eq!(ends.target.sql(&held).unwrap(), "f\n");
    ends.target.sql("drop policy more on t").unwrap();
    ends.run_well("migrate", &["--prepare", "truncate"]);
    assert_eq!(ends.target.sql(&held).unwrap(), "t\n");
    let forced =
        "select relrowsecurity, relforcerowsecurity from pg_class where oid = 'u'::regclass";
    assert_eq!(ends.target.sql(forced).unwrap(), "f\tt\n");
}

/// A function that runs with its owner's rights is another one where it has another owner.
#[test]
fn the_same_text_of_another_owner_is_another() {
    let ends = postgres("whose");
    let name = ends.source.name();
    let (owner, reader) = (format!("{name}_o"), format!("{name}_r"));
    let function = "create function f() returns int language sql security definer as 'select 1'; revoke execute on function f() from public";
    ends.source
        .sql(&format!(
            "create role {owner}; create role {reader}; create table t (id int primary key); {function}; grant execute on function f() to {reader};
             alter function f() owner to {owner}"
        ))
        .unwrap();
    ends.target.sql(function).unwrap();
    let said = ends.run_well("migrate", &[]);
    says(
        &said,
        "not made: routine public.f() (function): another of that name is there",
    );
    let held = format!("select has_function_privilege('{reader}', 'f()', 'execute')");
    assert_eq!(ends.target.sql(&held).unwrap(), "f\n", "{}", said.out);
    ends.target
        .sql(&format!("alter function f() owner to {owner}"))
        .unwrap();
    ends.run_well("migrate", &[]);
    assert_eq!(ends.target.sql(&held).unwrap(), "t\n");
}

/// Default privileges hold for what is made anew, and not for what comes back.
#[test]
fn what_comes_back_is_no_more_open_than_before() {
    let ends = postgres("acl");
    let role = format!("{}_r", ends.target.name());
    ends.source
        .sql("create table t (id int primary key)")
        .unwrap();
    ends.target
        .sql(&format!(
            "create role {role}; create table t (id int primary key); create view v as select id from t; create function f(t) returns int language sql as 'select 1';
             grant select on v to public; create view plain as select id from t;
             alter default privileges grant all on tables to {role}; alter default privileges grant execute on functions to {role}"
        ))
        .unwrap();
    ends.run_well("migrate", &[]);
    let held = format!(
        "select has_table_privilege('{role}', 'plain', 'select'), has_table_privilege('{role}', 'v', 'insert'),
         (select count(*) from pg_proc, aclexplode(proacl) a where proname = 'f' and a.grantee = '{role}'::regrole)"
    );
    assert_eq!(ends.target.sql(&held).unwrap(), "f\tf\t0\n");
}

/// A file that another version does not have is no fault that passes by.
#[test]
fn what_needs_a_file_that_is_not_there_is_told() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "file");
    ends.source
        .sql(
            "create table t (id int primary key); insert into t values (1);
             create function mapped(out int, out timestamptz, out xid) returns setof record language c as '$libdir/old_snapshot', 'pg_old_snapshot_time_mapping';
             create materialized view filled as select count(*) as n from mapped(); create view seen as select id from t",
        )
        .unwrap();
    let said = ends.run_well("migrate", &["--retries", "0"]);
    says(&said, "not made: view public.filled (materialized view): ");
    says(&said, "old_snapshot");
    assert_eq!((ends.arrived("t"), ends.arrived("seen")), (1, 1));
}

/// Whoever reads a view holds back who would see whether it is the source's, and is not held back for long.
#[test]
fn a_view_that_others_have_locked_is_left_alone() {
    let ends = postgres("locked");
    ends.source
        .sql("create table t (id int primary key); insert into t values (1); create view v as select id from t")
        .unwrap();
    ends.target
        .sql("create table t (id int primary key); create view v as select id + 1 as id from t")
        .unwrap();
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| {
            ends.target
                .sql("begin; lock table v in access share mode; select pg_sleep(600)")
        });
        let asleep =
            "from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()";
        crate::ends::wait_until(|| {
            ends.target
                .sql(&format!("select count(*) {asleep}"))
                .unwrap()
                == "1\n"
        });
        let said = ends.run_well("migrate", &["--prepare", "do-nothing"]);
        says(
            &said,
            "not made: view public.v: one of that name is there, and others have it locked",
        );
        let end = format!("select pg_terminate_backend(pid) {asleep}");
        ends.target.sql(&end).unwrap();
        holder.join().unwrap().unwrap_err();
    });
    assert_eq!(ends.target.sql("select id from v").unwrap(), "2\n");
}

/// Between servers of different kinds the default makes what belongs to tables, and lists the rest; views that can be converted are listed so, and made where that is asked for.
#[test]
fn between_engines_converted_views_are_made_where_that_is_asked_for() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Mariadb1011),
        (Engine::Mysql97, Engine::Postgres18),
    ] {
        let ends = Ends::between(source, target, "kinds");
        ends.source.sql(super::fixture(source)).unwrap();
        let views = format!(
            "select count(*) from information_schema.views where table_schema in ('public', '{}')",
            ends.target.name()
        );
        let said = ends.run_well("migrate", &["--objects", "tables"]);
        says(&said, "not made: view ");
        assert_eq!(ends.target.sql(&views).unwrap(), "0\n");
        let said = ends.run_well("migrate", &[]);
        says(&said, "and is to be reviewed: run the statement");
        assert_eq!(ends.target.sql(&views).unwrap(), "0\n");
        let said = ends.run_well("migrate", &["--objects", "all,converted-views"]);
        says(&said, "lookout: review: it was converted from the SQL of");
        assert_eq!(ends.target.sql(&views).unwrap(), "1\n");
    }
}

/// Names go into the queries that look for objects, and none of them is a place where another goes.
#[test]
fn names_with_signs_of_places_are_names() {
    let ends = postgres("places");
    // Ends the literal in which it would stand, if it were put into the name of the table.
    let trigger = r#""||chr(34)); drop table victim; --""#;
    let function =
        "create function still() returns trigger language plpgsql as 'begin return new; end'";
    ends.source
        .sql(&format!(
            "{function}; create table \"x$n\" (id int primary key); create table \"$t$1$2\" (id int primary key); insert into \"x$n\" values (1); insert into \"$t$1$2\" values (1);
             create trigger {trigger} before insert on \"x$n\" for each row execute function still(); create trigger \"$n\" before insert on \"$t$1$2\" for each row execute function still()"
        ))
        .unwrap();
    ends.target.sql("create table victim (id int)").unwrap();
    ends.run_well("migrate", &["--tables", "public.%"]);
    ends.run_well(
        "migrate",
        &["--tables", "public.%", "--prepare", "truncate"],
    );
    let triggers =
        "select count(*) from pg_trigger where not tgisinternal; select count(*) from victim";
    assert_eq!(ends.target.sql(triggers).unwrap(), "2\n0\n");
}
