//! Who may do what at the target: never more than at the source, at no moment.

use whimbrel_testkit::Engine;

use crate::Said;
use crate::ends::Ends;

const ALL: &[&str] = &["--objects", "all"];

fn says(said: &Said, wanted: &str) {
    assert!(
        said.out.contains(wanted),
        "{wanted} is not in\n{}",
        said.out
    );
}

/// What nobody may run is closed by what makes it, not by the privileges that come last.
#[test]
fn a_function_that_is_closed_is_made_closed() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "closed");
    ends.source
        .sql(
            "create table t (id int primary key); create function shut() returns int language sql as 'select 1'; revoke execute on function shut() from public;
             create procedure done() language plpgsql as 'begin end'; revoke all on procedure done() from public;
             create function open() returns int language sql as 'select 1'; create aggregate summed (int) (sfunc = int4pl, stype = int, initcond = '0');
             revoke execute on function summed(int) from public",
        )
        .unwrap();
    // Without privileges, as a run leaves it that breaks off before them.
    ends.run_well("migrate", &["--objects", "routines"]);
    let closed = "select proname, exists (select from aclexplode(proacl) a where a.grantee = 0) or proacl is null from pg_proc
        where pronamespace = 'public'::regnamespace order by 1";
    assert_eq!(
        ends.target.sql(closed).unwrap(),
        "done\tf\nopen\tt\nshut\tf\nsummed\tf\n"
    );
}

/// What runs with the rights of its owner has the owner that it had, or is not made.
#[test]
fn what_runs_with_the_rights_of_its_owner_has_that_owner() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "owner");
    let (here, gone) = (
        format!("{}_here", ends.source.name()),
        format!("{}_gone", ends.source.name()),
    );
    ends.source
        .sql(&format!("create role {here}; create role {gone}"))
        .unwrap();
    ends.target.sql(&format!("create role {here}")).unwrap();
    ends.source
        .sql(&format!(
            "create table t (id int primary key); insert into t values (1), (2); alter table t enable row level security;
             create policy own on t to {here} using (id > 1); grant select on t to {here}, {gone}; create table free (id int primary key);
             create function as_here() returns bigint language sql security definer as 'select count(*) from public.t'; alter function as_here() owner to {here};
             create function as_gone() returns int language sql security definer as 'select 1'; alter function as_gone() owner to {gone};
             create function as_caller() returns int language sql as 'select 1'; alter function as_caller() owner to {gone};
             create view seen_by_here as select id from t; alter view seen_by_here owner to {here};
             create view seen_by_gone as select id from t; alter view seen_by_gone owner to {gone};
             create materialized view filled_by_here as select 1 as id from t; grant create on schema public to {here}; alter materialized view filled_by_here owner to {here};
             create view invoked with (security_invoker = true) as select id from t; alter view invoked owner to {gone};
             create view plain as select id from free; alter view plain owner to {gone}"
        ))
        .unwrap();
    let said = ends.run_well("migrate", ALL);
    let owners = "select relname, pg_get_userbyid(relowner) = current_user from pg_class where relkind in ('v', 'm') and relnamespace = 'public'::regnamespace
        union all select proname, pg_get_userbyid(proowner) = current_user from pg_proc where pronamespace = 'public'::regnamespace order by 1";
    assert_eq!(
        ends.target.sql(owners).unwrap(),
        "as_caller\tt\nas_here\tf\ninvoked\tt\nplain\tt\nseen_by_here\tf\n",
        "{}",
        said.out
    );
    let seen = |sql: &str| ends.target.sql(sql).unwrap();
    assert_eq!(seen("select id from seen_by_here"), "2\n");
    assert_eq!(seen("select as_here()"), "1\n");
    for wanted in [
        format!(
            "not made: routine public.as_gone() (function): it runs with the rights of {gone}, a role"
        ),
        format!("not made: view public.seen_by_gone: it runs with the rights of {gone}, a role"),
        format!("OWNER TO \"{gone}\""),
        // It is filled with what its owner sees, who may see the table once it has the privileges.
        "not made: view public.filled_by_here (materialized view): ".to_owned(),
    ] {
        says(&said, &wanted);
    }
    // By now it may.
    let said = ends.run_well("migrate", &["--objects", "all", "--prepare", "truncate"]);
    let count = ends.target.sql("select count(*) from filled_by_here");
    assert_eq!(count.ok().as_deref(), Some("1\n"), "{}", said.out);
}

/// By default all is brought that can be; what the user may not make is no failure of the rows.
#[test]
fn a_user_with_few_rights_brings_the_rows_and_is_told_of_the_rest() {
    let mut ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "few");
    let user = format!("{}_few", ends.target.name());
    ends.source
        .sql(
            "create table t (id int primary key); insert into t values (1), (2); create view seen as select id from t;
             create function untrusted() returns int language internal as 'pg_backend_pid'; create function above() returns int language sql as 'select public.untrusted()';
             create function rights() returns int language sql security definer as 'select 1'; create view on_untrusted as select public.untrusted() as n",
        )
        .unwrap();
    ends.target
        .sql(&format!(
            "create role {user} login password 'a-password'; grant create on schema public to {user};
             do $$ begin execute format('grant create on database %I to {user}', current_database()); end $$"
        ))
        .unwrap();
    ends.target_url = ends.target.url_as(&user, "a-password");
    let said = ends.run_well("migrate", &["--objects", "all"]);
    assert_eq!((ends.arrived("t"), ends.arrived("seen")), (2, 2));
    for wanted in [
        "not made: routine public.untrusted() (function): make it: permission denied for language internal",
        "not made: routine public.rights() (function): it runs with the rights of ",
        "not made: view public.on_untrusted: ",
    ] {
        says(&said, wanted);
    }
    assert!(!said.out.contains("failed"), "{}", said.out);
    // With what belongs to tables alone it is not tried.
    let said = ends.run_well("migrate", &["--prepare", "truncate", "--objects", "tables"]);
    says(
        &said,
        "not made: function public.rights(): it runs at the target",
    );
}

/// Without a policy that narrows, those that open would let more through than at the source.
#[test]
fn a_table_without_its_restrictive_policy_stays_shut() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "narrow");
    let gone = format!("{}_gone", ends.source.name());
    ends.source
        .sql(&format!(
            "create role {gone}; create table t (id int primary key); create table u (id int primary key);
             create policy opens on t using (true); create policy narrows on t as restrictive for select to {gone}, public using (id > 1);
             alter table t enable row level security; alter policy narrows on t to {gone};
             create policy opens on u using (true); create policy a_narrows on u as restrictive using (id > 1); alter table u enable row level security"
        ))
        .unwrap();
    let said = ends.run_well("migrate", ALL);
    let policies = "select c.relname, p.polname from pg_policy p join pg_class c on c.oid = p.polrelid order by 1, 2";
    assert_eq!(
        ends.target.sql(policies).unwrap(),
        "u\ta_narrows\nu\topens\n",
        "{}",
        said.out
    );
    assert_eq!(
        ends.target
            .sql("select relname, relrowsecurity from pg_class where relname in ('t', 'u') order by 1")
            .unwrap(),
        "t\tt\nu\tt\n"
    );
    says(
        &said,
        &format!("not made: policy public.t.narrows: the target has no role {gone}"),
    );
    says(
        &said,
        "not made: policy public.t.opens: the restrictive policy narrows of public.t is not there",
    );
    ends.target.sql(&format!("create role {gone}")).unwrap();
    ends.run_well("migrate", ALL);
    assert_eq!(
        ends.target.sql(policies).unwrap(),
        "t\tnarrows\nt\topens\nu\ta_narrows\nu\topens\n"
    );
}

fn grants_are_exact(source: Engine, target: Engine) {
    let ends = Ends::between(source, target, "grant_s");
    let (from, to) = (ends.source.name(), ends.target.name());
    assert!(from.contains('_') && to.contains('_'), "{from} {to}");
    let user = format!("'{}_g'@'%'", &from[..20.min(from.len())]);
    for end in [&ends.source, &ends.target] {
        end.sql(&format!("create user if not exists {user}"))
            .unwrap();
    }
    let (exact, start) = (from.replace('_', "\\_"), &from[..from.len() - 1]);
    let upper = from.to_uppercase();
    ends.source
        .sql(&format!(
            "create table t (id int primary key); create database `{upper}`; create table `{upper}`.t (id int primary key);
             grant select, insert on `{exact}`.* to {user}; grant update on `{start}%`.* to {user}; grant index on `{start}_`.* to {user};
             grant delete on `{upper}`.* to {user}; grant alter on `{upper}`.t to {user}; grant trigger on `{upper}`.* to {user} with grant option"
        ))
        .unwrap();
    let said = ends.run_well("migrate", ALL);
    // The client doubles backslashes.
    let held = format!(
        "select replace(table_schema, '\\\\', '!'), group_concat(privilege_type order by privilege_type), max(is_grantable)
         from information_schema.schema_privileges where grantee = \"{user}\" group by 1"
    );
    let wanted = format!("{}\tINSERT,SELECT\tNO\n", to.replace('_', "!_"));
    assert_eq!(ends.target.sql(&held).unwrap(), wanted, "{}", said.out);
    for pattern in [
        format!("UPDATE on `{start}%`"),
        format!("INDEX on `{start}_`"),
    ] {
        says(
            &said,
            &format!(
                "not made: grant on all databases whose names match a pattern, {pattern} to {user}: "
            ),
        );
    }
    assert!(
        !said.out.contains(&upper) && !said.out.contains("DELETE on"),
        "{}",
        said.out
    );
    // Once more: it is there.
    let said = ends.run_well("migrate", ALL);
    says(&said, "objects: 1 made, 1 were there, 2 not converted");
    ends.source
        .sql(&format!("drop database `{upper}`; drop user {user}"))
        .unwrap();
    ends.target.sql(&format!("drop user {user}")).unwrap();
}

#[test]
fn grants_of_mysql_are_on_no_other_database() {
    grants_are_exact(Engine::Mysql97, Engine::Mariadb1011);
}

#[test]
fn grants_of_mariadb_are_on_no_other_database() {
    grants_are_exact(Engine::Mariadb1011, Engine::Mysql97);
}

/// The servers tell some things only to users who may do more than read; nothing is left out in silence for that.
#[test]
fn what_a_reader_may_not_see_is_said() {
    for engine in [Engine::Mysql97, Engine::Mariadb1011] {
        let mut ends = Ends::between(engine, Engine::Postgres15, "reader");
        let name = ends.source.name().to_owned();
        let user = format!("r_{}", &name[name.len().saturating_sub(20)..]);
        ends.source
            .sql(&format!(
                "create table p (id int primary key); create table c (id int primary key, p int, foreign key (p) references p (id) on delete cascade);
                 create trigger acting before insert on c for each row set new.p = 1;
                 create user {user} identified by 'a-secret'; grant select on {name}.* to {user}"
            ))
            .unwrap();
        ends.source_url = ends.source.url_as(&user, "a-secret");
        let said = ends.run_well("migrate", &["--dry-run"]);
        for words in [
            "\"p\" (\"id\") ON DELETE CASCADE".to_owned(),
            "triggers, which the source's user may not see".to_owned(),
            format!("GRANT TRIGGER ON `{name}`.* TO"),
            format!("GRANT EXECUTE ON `{name}`.* TO"),
        ] {
            says(&said, &words);
        }
        ends.source
            .sql(&format!("grant select on *.* to {user}"))
            .unwrap();
        let said = ends.run_well("migrate", &["--dry-run", "--tables", &format!("{name}.%")]);
        says(&said, "triggers, which the source's user may not see");
        let routines = "functions and procedures, which";
        assert!(!said.out.contains(routines), "{}", said.out);
        ends.source
            .sql(&format!("grant all on {name}.* to {user}"))
            .unwrap();
        let said = ends.run_well("migrate", &["--dry-run"]);
        assert!(!said.out.contains("if there are any"), "{}", said.out);
        assert!(said.out.contains("acting"), "{}", said.out);
        ends.source.sql(&format!("drop user {user}")).unwrap();
    }
}
