//! What is not made is listed with the reason and a text, and what fails for good keeps nothing else from being there.

use whimbrel_testkit::{Engine, Server};

use crate::Said;
use crate::ends::Ends;

fn says(said: &Said, wanted: &[&str]) {
    for wanted in wanted {
        assert!(
            said.out.contains(wanted),
            "{wanted} is not in\n{}",
            said.out
        );
    }
}

/// Kinds and names of what a run lists as not made, from its last event.
fn listed(ends: &Ends, event: &str, options: &[&str]) -> Vec<(String, String, String)> {
    let said = ends.run_well("migrate", options);
    let said = said.event(event);
    let objects = said["objects"]["not_converted"].as_array().unwrap().clone();
    let text = |object: &serde_json::Value, member: &str| {
        object[member].as_str().unwrap_or_default().to_owned()
    };
    objects
        .iter()
        .map(|object| {
            (
                text(object, "kind"),
                text(object, "object"),
                text(object, "statement"),
            )
        })
        .collect()
}

fn lists_everything(source: Engine, target: Engine, fixture: &str, wanted: &[(&str, &str, &str)]) {
    let ends = Ends::between(source, target, "listed");
    ends.source.sql(fixture).unwrap();
    let at = if source.is_postgres() {
        "public".to_owned()
    } else {
        ends.source.name().to_owned()
    };
    let planned = listed(&ends, "plan", &["--dry-run", "--json"]);
    let said = ends.run_well("migrate", &[]);
    for (kind, name, text) in wanted {
        let name = name.replace('$', &at);
        let found = planned.iter().find(|(of, is, _)| of == kind && *is == name);
        let (_, _, statement) =
            found.unwrap_or_else(|| panic!("{kind} {name} is not in {planned:?}"));
        assert!(statement.contains(text), "{kind} {name}: {statement}");
        says(&said, &[&format!("not made: {kind} {name}: ")]);
    }
    says(&said, &[&format!("{} not converted", planned.len())]);
}

#[test]
fn all_that_postgres_has_by_its_text_is_listed_by_mysql() {
    let ends_role = "create role listed_role";
    Server::get(Engine::Postgres15)
        .unwrap()
        .sql(&format!(
            "do 'begin {ends_role}; exception when duplicate_object then null; end'"
        ))
        .unwrap();
    lists_everything(
        Engine::Postgres15,
        Engine::Mysql97,
        "create table t (id int primary key); create view \"A view\" as select id, now() as seen from t; create materialized view m as select 1 as one;
         create function f() returns trigger language plpgsql as 'begin return new; end'; create trigger \"tr ig\" before insert on t for each row execute function f();
         create rule r as on delete to t do instead nothing; create policy p on t using (id > 0); alter table t enable row level security;
         grant select on t to listed_role; create type c as (a int); create extension citext; comment on view \"A view\" is 'seen';
         create table u (id int primary key, t int constraint \"to t\" references t (id)); comment on constraint \"to t\" on u is 'refers';
         do 'begin perform lo_create(0); end'",
        &[
            ("view", "$.A view", "CREATE VIEW public.\"A view\" AS"),
            ("materialized view", "$.m", "CREATE MATERIALIZED VIEW public.m AS"),
            ("function", "$.f()", "begin return new; end"),
            ("trigger", "$.t.tr ig", "CREATE TRIGGER \"tr ig\" BEFORE INSERT ON public.t"),
            ("rule", "$.t.r", "DO INSTEAD NOTHING"),
            ("policy", "$.t.p", "CREATE POLICY \"p\" ON \"public\".\"t\" AS PERMISSIVE FOR ALL TO PUBLIC USING ((id > 0))"),
            ("row-level security", "$.t", "ENABLE ROW LEVEL SECURITY"),
            ("grant", "$.t to listed_role", "GRANT SELECT ON TABLE public.t TO \"listed_role\""),
            ("composite type", "$.c", "CREATE TYPE public.c AS (a integer)"),
            ("extension", "citext", "CREATE EXTENSION"),
            ("comment", "on view $.\"A view\"", "IS 'seen'"),
            ("comment", "on constraint \"to t\" on $.u", "IS 'refers'"),
            ("large objects", "of the database: columns of type oid get their numbers, not their contents", ""),
        ],
    );
}

#[test]
fn all_that_mysql_has_by_its_text_is_listed_by_postgres() {
    for engine in [Engine::Mysql97, Engine::Mariadb1011] {
        lists_everything(
            engine,
            Engine::Postgres15,
            "create table t (id int primary key); create view `A view` as select id, now() as seen from t; create function f() returns int no sql return 1;
             create procedure p() select 1; create trigger tr before insert on t for each row set new.id = 1; create event e on schedule every 1 day do select 1;
             create user if not exists listed_u; grant select on t to listed_u",
            &[
                ("view", "$.A view", "VIEW `A view` AS select"),
                ("function", "$.f", "return 1"),
                ("procedure", "$.p", "select 1"),
                ("trigger", "$.t.tr", "set new.id = 1"),
                ("event", "$.e", "DO select 1"),
                ("grant", "$.t to 'listed_u'@'%'", "GRANT SELECT ON `t` TO `listed_u`@`%`"),
            ],
        );
    }
}

/// A fault that no attempt gets past is told with the statement, and the rest is there.
#[test]
fn a_fault_that_lasts_while_an_object_is_made_keeps_nothing_else_back() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "lasting");
    ends.source
        .sql("create table t (id int primary key, a int, b int check (b > 0)); create index bad on t (a); create index good on t (b); insert into t values (1, 2, 3)")
        .unwrap();
    ends.target
        .sql("create function full_disk() returns event_trigger language plpgsql as $$ begin
                if exists (select from pg_event_trigger_ddl_commands() where object_identity = 'public.bad') then
                  raise exception 'no space left on device' using errcode = '53100'; end if; end $$;
              create event trigger full_disk on ddl_command_end when tag in ('CREATE INDEX') execute function full_disk()")
        .unwrap();
    let said = ends.run("migrate", &["--retries", "1"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    says(
        &said,
        &[
            "error: index public.t.bad: ",
            "no space left on device",
            "repeat with: CREATE INDEX",
        ],
    );
    assert!(
        said.err
            .contains("all rows are there, but 1 object could not be made"),
        "{said:?}"
    );
    let there = || {
        ends.target.sql("select string_agg(relname, ',' order by relname) from pg_class where relkind = 'i' and relname in ('bad', 'good')").unwrap()
    };
    assert_eq!((there().as_str(), ends.arrived("t")), ("good\n", 1));
    assert_eq!(
        ends.target
            .sql("select count(*) from pg_constraint where conname = 't_b_check'")
            .unwrap(),
        "1\n"
    );
    ends.target.sql("drop event trigger full_disk").unwrap();
    ends.run_well("migrate", &["--resume"]);
    assert_eq!(there(), "bad,good\n");
}

#[test]
fn a_migration_is_not_forgotten_well_while_a_key_is_not_whole() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "unwhole");
    let tables = "create table p (id int primary key); create table c (id int primary key, p int constraint to_p references p (id)); insert into p values (1); insert into c values (1, 1)";
    ends.source.sql(tables).unwrap();
    ends.target.sql(tables).unwrap();
    let running = ends.start(&["--prepare", "truncate", "--objects", "none", "--follow"]);
    let running = ends.wait_for_rows(running, "c", 1);
    ends.source.sql("insert into p values (2)").unwrap();
    let running = ends.wait_for_rows(running, "p", 2);
    running.kill();
    ends.target.sql("insert into c values (7, 77)").unwrap();
    let said = ends.run("forget", &[]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    says(
        &said,
        &[
            "not restored: foreign key public.c.to_p: ",
            "repeat with: ALTER TABLE",
        ],
    );
    assert!(
        said.err.contains("1 foreign key that it put aside"),
        "{said:?}"
    );
    // Mended, the key is whole by the next.
    ends.target.sql("delete from c where id = 7").unwrap();
    ends.run_well("forget", &[]);
    assert_eq!(
        ends.target
            .sql("select convalidated from pg_constraint where conname = 'to_p'")
            .unwrap(),
        "t\n"
    );
}

/// A sequence that has given its last number gives none at the target either.
#[test]
fn sequences_that_are_used_up_stay_so() {
    let fixtures = [
        (Engine::Postgres15, "create sequence s maxvalue 3; select nextval('s'), nextval('s'), nextval('s');
            create sequence down increment -1 minvalue -2; select nextval('down'), nextval('down');
            create table t (id int generated always as identity (maxvalue 2) primary key, n int); insert into t (n) values (1), (2)"),
        (Engine::Mariadb1011, "create sequence s maxvalue 3 nocache; select nextval(s), nextval(s), nextval(s);
            create sequence down start with -1 increment -1 minvalue -2 maxvalue -1 nocache; select nextval(down), nextval(down); create table t (id int primary key)"),
    ];
    for (source, fixture) in fixtures {
        for target in [Engine::Postgres15, Engine::Mariadb1011] {
            let ends = Ends::between(source, target, "usedup");
            ends.source.sql(fixture).unwrap();
            for options in [&[][..], &["--prepare", "truncate"]] {
                ends.run_well("migrate", options);
                for sequence in ["s", "down"] {
                    let next = if target.is_postgres() {
                        format!("select nextval('{sequence}')")
                    } else {
                        format!("select nextval({sequence})")
                    };
                    let given = ends.target.sql(&next);
                    assert!(
                        given.is_err(),
                        "{source:?} {target:?} {sequence}: {given:?}"
                    );
                }
            }
            if source.is_postgres() && target.is_postgres() {
                ends.target.sql("insert into t (n) values (3)").unwrap_err();
            }
        }
    }
}

/// Two sequences of one name would be one in silence.
#[test]
fn sequences_of_one_name_that_meet_in_one_database_are_told_apart() {
    let server = Server::get(Engine::Mariadb1011).unwrap();
    let other = server.database("meet_o").unwrap();
    let ends = Ends::between(Engine::Mariadb1011, Engine::Mariadb1011, "meet");
    ends.source
        .sql("create table a (id int primary key); create sequence numbers start with 5")
        .unwrap();
    other
        .sql("create table b (id int primary key); create sequence numbers start with 500")
        .unwrap();
    let tables = [
        format!("{}.a", ends.source.name()),
        format!("{}.b", other.name()),
    ];
    let options = [
        "--tables",
        &tables[0],
        "--tables",
        &tables[1],
        "--target-schema",
        ends.target.name(),
    ];
    let said = ends.run_well("migrate", &options);
    says(
        &said,
        &["is something else of the name", "not made: sequence"],
    );
    assert_eq!(
        said.out.matches("not made: sequence").count(),
        1,
        "{}",
        said.out
    );
}

/// Its rows of now are migrated, those of the past are not.
#[test]
fn system_versioning_is_listed() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "versioned");
    ends.source
        .sql("create table t (id int primary key) with system versioning; insert into t values (1)")
        .unwrap();
    let out = ends.run_well("migrate", &[]).out;
    assert!(out.contains("not made: system versioning"), "{out}");
    assert!(
        out.contains("ALTER TABLE `t` ADD SYSTEM VERSIONING"),
        "{out}"
    );
}

/// What a table is besides its columns.
#[test]
fn what_a_postgres_table_is_besides_is_listed() {
    let fixture = "create table parent (id int primary key); create table \"Child\" (a int) inherits (parent); create unlogged table quick (id int primary key);
         create table told (id int primary key, a int not null unique); alter table told replica identity using index told_a_key;
         create table whole (id int primary key); alter table whole replica identity full";
    let inherits = (
        "inheritance",
        "$.Child",
        "ALTER TABLE public.\"Child\" INHERIT public.parent",
    );
    let is_logged = ("unlogged table", "$.quick", "SET UNLOGGED");
    let told = ("replica identity", "$.told", "USING INDEX told_a_key");
    let whole = ("replica identity", "$.whole", "REPLICA IDENTITY FULL");
    let all = [inherits, is_logged, told, whole];
    lists_everything(Engine::Postgres15, Engine::Postgres15, fixture, &all);
    lists_everything(Engine::Postgres15, Engine::Mariadb1011, fixture, &all[..1]);
}
