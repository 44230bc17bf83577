//! What stands in the way of an object, and what a resume makes of it.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::Value;
use whimbrel_testkit::Engine;

use super::{differences, filled, of_mysql, of_postgres};
use crate::ends::Ends;
use crate::whimbrel;

/// A row that refers to nothing, as sources have them whose keys were added late or whose checks were off.
fn orphan(source: Engine, target: Engine) -> Ends {
    let ends = Ends::between(source, target, "orphan");
    let tables = "create table p (id int primary key); create table c (id int primary key, p int); \
                  insert into p values (1); insert into c values (1, 1), (2, 77);";
    ends.source.sql(tables).unwrap();
    let add = if source.is_postgres() {
        "alter table c add constraint c_to_p foreign key (p) references p (id) not valid; \
         update pg_constraint set convalidated = true where conname = 'c_to_p'"
    } else {
        "set foreign_key_checks = 0; alter table c add constraint c_to_p foreign key (p) references p (id)"
    };
    ends.source.sql(add).unwrap();
    ends
}

fn is_told_and_mended(source: Engine, target: Engine) {
    let ends = orphan(source, target);
    let said = ends.run("migrate", &["--objects", "all"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let at = if source.is_postgres() {
        "public".to_owned()
    } else {
        ends.source.name().to_owned()
    };
    assert!(
        said.out
            .contains(&format!("error: foreign key {at}.c.c_to_p: ")),
        "{said:?}"
    );
    assert!(said.out.contains("repeat with: ALTER TABLE"), "{said:?}");
    assert!(
        said.err
            .contains("all rows are there, but 1 object could not be made"),
        "{said:?}"
    );
    assert_eq!((ends.arrived("p"), ends.arrived("c")), (1, 2));
    // Mended at the target, it is made by a resume, which reads no rows again.
    ends.target.sql("insert into p values (77)").unwrap();
    ends.run_well("migrate", &["--objects", "all", "--resume"]);
    ends.target.sql("insert into c values (3, 5)").unwrap_err();
    assert_eq!(ends.arrived("p"), 2);
}

#[test]
fn a_row_that_refers_to_nothing_is_told_by_postgres() {
    is_told_and_mended(Engine::Postgres15, Engine::Postgres15);
}

#[test]
fn a_row_that_refers_to_nothing_is_told_by_mariadb() {
    is_told_and_mended(Engine::Mariadb1011, Engine::Mariadb1011);
}

#[test]
fn a_row_that_refers_to_nothing_is_told_by_mysql() {
    is_told_and_mended(Engine::Mysql97, Engine::Mysql97);
}

#[test]
fn a_row_that_refers_to_nothing_is_told_across_engines() {
    is_told_and_mended(Engine::Mysql97, Engine::Postgres15);
}

/// Kills a migration once it has told of so many objects.
fn killed_after(ends: &Ends, count: usize) {
    let words = ends.words("migrate", &["--objects", "all", "--json", "--jobs", "1"]);
    let mut child = whimbrel(&words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = 0;
    while seen < count {
        let line = events.next().expect("it ended too early").unwrap();
        let event: Value = serde_json::from_str(&line).unwrap();
        seen += usize::from(event["event"] == "object");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// How many objects a dry run plans.
fn planned(ends: &Ends) -> usize {
    let said = ends.run_well("migrate", &["--objects", "all", "--dry-run", "--json"]);
    said.event("plan")["objects"]["made"]
        .as_array()
        .unwrap()
        .len()
}

fn a_killed_phase_goes_on(source: Engine, target: Engine) {
    let ends = filled(source, target, "killed");
    let count = planned(&ends);
    for after in [1, count / 2] {
        killed_after(&ends, after);
        // It may have been through before it was killed.
        let said = ends.run("migrate", &["--objects", "all", "--resume", "--json"]);
        let finished = said.event("finished");
        assert!(
            said.exit_code == Some(0)
                || finished["error"]
                    .as_str()
                    .unwrap()
                    .contains("nothing to resume"),
            "{said:?}"
        );
    }
    if source.is_postgres() && target.is_postgres() {
        assert_eq!(
            differences(&of_postgres(&ends.source), &of_postgres(&ends.target)),
            ""
        );
    } else {
        let fresh = filled(source, target, "fresh");
        fresh.run_well("migrate", &["--objects", "all"]);
        let of = |ends: &Ends| {
            if target.is_postgres() {
                of_postgres(&ends.target)
            } else {
                of_mysql(&ends.target)
            }
        };
        assert_eq!(differences(&of(&fresh), &of(&ends)), "");
    }
}

#[test]
fn a_phase_that_was_killed_goes_on_in_postgres() {
    a_killed_phase_goes_on(Engine::Postgres15, Engine::Postgres15);
}

#[test]
fn a_phase_that_was_killed_goes_on_in_mariadb() {
    a_killed_phase_goes_on(Engine::Postgres15, Engine::Mariadb1011);
}

#[test]
fn only_what_is_wanted_is_made() {
    let ends = filled(Engine::Postgres15, Engine::Postgres15, "some");
    ends.run_well("migrate", &["--objects", "none"]);
    let count = |sql: &str| ends.target.sql(sql).unwrap().trim().parse::<u32>().unwrap();
    let indexes = "select count(*) from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = 'public'::regnamespace and not indisprimary";
    let keys = "select count(*) from pg_constraint where contype = 'f'";
    assert_eq!((count(indexes), count(keys)), (0, 0));
    ends.run_well("migrate", &["--objects", "foreign-keys,indexes"]);
    assert_eq!((count(indexes), count(keys)), (10, 5));
    assert_eq!(
        count(
            "select count(*) from pg_constraint where contype = 'c' and connamespace = 'public'::regnamespace"
        ),
        0
    );
    let said = ends.run("migrate", &["--objects", "indices"]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
    assert!(said.err.contains("is no kind of object"), "{said:?}");
}

/// Rows swap a unique value in one transaction, which a batch may write in another order.
#[test]
fn what_follows_changes_gets_what_constrains_rows_at_its_end() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "follow");
    let tables = "create table p (id int primary key auto_increment, code int, note varchar(9) default 'x', unique key by_code (code), key by_note (note));
        create table c (id int primary key, p int, constraint to_p foreign key (p) references p (id));
        insert into p values (1, 10, 'a'), (2, 20, 'b'); insert into c values (1, 1);";
    ends.source.sql(tables).unwrap();
    let there = || of_postgres(&ends.target).join("\n");
    let mut running = ends.start(&["--objects", "all", "--follow"]);
    running = ends.wait_for_rows(running, "p", 2);
    crate::ends::wait_until(|| there().contains("by_note"));
    let early = there();
    assert!(
        !early.contains("by_code") && !early.contains("FOREIGN KEY"),
        "{early}"
    );
    ends.source
        .sql("begin; update p set code = 30 where id = 1; update p set code = 10 where id = 2; update p set code = 20 where id = 1; insert into p (code) values (40); commit")
        .unwrap();
    running = ends.wait_for_rows(running, "p", 3);
    running.kill();
    ends.run_well(
        "migrate",
        &["--objects", "all", "--resume", "--until-caught-up"],
    );
    let late = there();
    for wanted in [
        "CREATE UNIQUE INDEX by_code",
        "to_p FOREIGN KEY",
        "p.id integer true d",
        "p.note character varying(9) false  'x'",
    ] {
        assert!(late.contains(wanted), "{wanted} is not in\n{late}");
    }
    assert_eq!(
        ends.target
            .sql("insert into p (code) values (50) returning id, note")
            .unwrap(),
        "4\tx\n"
    );
    // Who follows on meets them.
    ends.target.sql("delete from p where id = 4").unwrap();
    ends.source
        .sql("begin; insert into p (id, code) values (7, 70); insert into c values (2, 7); update p set code = 30 where id = 1; update p set code = 20 where id = 2;
              update p set code = 10 where id = 1; commit")
        .unwrap();
    ends.run_well("migrate", &["--resume", "--until-caught-up"]);
    let all = "select id, code from p order by id";
    assert_eq!(ends.target.sql(all).unwrap(), ends.source.sql(all).unwrap());
    assert_eq!(ends.arrived("c"), 2);
}

/// The server copies a table for each statement that adds a key, so there is one; when it is refused, the others are made all the same.
#[test]
fn a_key_that_is_refused_among_others_of_its_table_is_told_alone() {
    for engine in [Engine::Mysql97, Engine::Mariadb1011] {
        let ends = Ends::between(engine, engine, "together");
        ends.source
            .sql("create table p (id int primary key); create table c (id int primary key, a int, b int, e int, constraint to_a foreign key (a) references p (id),
                    constraint to_b foreign key (b) references p (id), constraint to_e foreign key (e) references p (id), constraint less check (id < 50), constraint more check (id > 0));
                  insert into p values (1); insert into c values (1, 1, 1, 1)")
            .unwrap();
        ends.run_well("migrate", &[]);
        let there = || {
            let sql = "select group_concat(constraint_name order by 1) from information_schema.referential_constraints where constraint_schema = database()";
            ends.target.sql(sql).unwrap()
        };
        assert_eq!(there(), "to_a,to_b,to_e\n");
        ends.source
            .sql("set foreign_key_checks = 0; insert into c values (2, 1, 77, 1)")
            .unwrap();
        let said = ends.run("migrate", &[]);
        assert_eq!(said.exit_code, Some(1), "{said:?}");
        assert!(said.out.contains("1 failed"), "{said:?}");
        assert_eq!(there(), "to_a,to_e\n");
    }
}

#[test]
fn a_reference_to_a_table_that_stays_behind_is_listed() {
    let ends = filled(Engine::Postgres15, Engine::Mysql97, "behind");
    let said = ends.run_well(
        "migrate",
        &["--objects", "all", "--exclude", "public.parents"],
    );
    assert!(
        said.out
            .contains("which is not among the tables of this migration"),
        "{said:?}"
    );
    assert!(
        said.out
            .contains("FOREIGN KEY (`order`) REFERENCES `public`.`parents` (`id`)"),
        "{said:?}"
    );
}
