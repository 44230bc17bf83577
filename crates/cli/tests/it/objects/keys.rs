//! Keys that say more than which columns they have.

use serde_json::json;
use tempfile::NamedTempFile;
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

const KEYS: &str = "create table p (id int primary key, a int, b int, constraint late unique (a) include (b) deferrable initially deferred,
      constraint alike unique nulls not distinct (b), constraint apart exclude using hash (a with =));
    create table c (id int primary key, tenant int not null default 0, x int, unique (tenant, x));
    create table r (id int primary key, tenant int, x int, constraint to_c foreign key (tenant, x) references c (tenant, x) on delete set null (x))";

/// Other names of columns do not make another key of it.
#[test]
fn keys_of_renamed_columns_keep_what_they_say() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "keys_renamed");
    ends.source.sql(KEYS).unwrap();
    let renamed = |id: &str, table: &str, column: &str, value: &str| {
        json!({"rule-type": "transformation", "rule-id": id, "rule-name": id, "rule-target": "column", "rule-action": "rename", "value": value,
            "object-locator": {"schema-name": "public", "table-name": table, "column-name": column}})
    };
    let all = json!({"schema-name": "public", "table-name": "%"});
    let rules = json!({"rules": [
        {"rule-type": "selection", "rule-id": "1", "rule-name": "1", "object-locator": all, "rule-action": "include", "filters": []},
        renamed("2", "p", "a", "one"), renamed("3", "r", "x", "ex"),
    ]});
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules.to_string()).unwrap();
    let said = ends.run_well("migrate", &["--mappings", file.path().to_str().unwrap()]);
    says(
        &said,
        "not made: index public.p.apart: it serves a constraint whose columns have other names here",
    );
    let there = "select conname, pg_get_constraintdef(oid) from pg_constraint where contype in ('u', 'x', 'f') and connamespace = 'public'::regnamespace";
    let there = ends.target.sql(there).unwrap();
    for wanted in [
        "late\tUNIQUE (one) INCLUDE (b) DEFERRABLE INITIALLY DEFERRED",
        "alike\tUNIQUE NULLS NOT DISTINCT (b)",
        "to_c\tFOREIGN KEY (tenant, ex) REFERENCES c(tenant, x) ON DELETE SET NULL (ex)",
    ] {
        assert!(there.contains(wanted), "{wanted} is not in\n{there}");
    }
    assert!(!there.contains("apart"), "{there}");
}

#[test]
fn a_unique_key_that_could_be_deferred_is_told_in_mariadb() {
    let ends = Ends::between(Engine::Postgres15, Engine::Mariadb1011, "keys_deferred");
    ends.source
        .sql("create table p (id int primary key, a int, constraint late unique (a) deferrable)")
        .unwrap();
    let said = ends.run_well("migrate", &[]);
    let told =
        "public.p.late: it is looked at with each row here, and could be deferred at the source";
    says(&said, told);
}

/// Two texts that the source takes for one are two in PostgreSQL.
#[test]
fn keys_of_texts_that_agree_in_any_case_are_told() {
    let ends = Ends::between(Engine::Mysql97, Engine::Postgres15, "keys_of_texts");
    ends.source
        .sql(
            "create table t (id int primary key, any_case varchar(9) collate utf8mb4_0900_ai_ci, exact varchar(9) collate utf8mb4_0900_bin, n int,
               unique key on_any (any_case, n), unique key on_exact (exact), unique key on_n (n), key plain (any_case));
             create table k (code varchar(9) collate utf8mb4_0900_ai_ci primary key)",
        )
        .unwrap();
    let said = ends.run_well("migrate", &[]);
    let mut lines: Vec<&str> = said.out.lines().collect();
    lines.retain(|line| line.contains("keeps fewer texts apart at the source"));
    let has = |words: &str| lines.iter().any(|line| line.contains(words));
    let is_told = has(".t.on_any") && has("the primary key: it");
    assert!(is_told && lines.len() == 2, "{said:?}");
}

#[test]
fn what_a_primary_key_says_besides_its_columns_is_listed() {
    let ends = Ends::between(Engine::Postgres18, Engine::Postgres18, "keys_primary");
    ends.source
        .sql(
            "create table late (id int, constraint late_key primary key (id) deferrable); create table more (id int, b int, primary key (id) include (b));
             create table spans (id int4range, at daterange, constraint apart primary key (id, at without overlaps)); create table plain (id int primary key);
             insert into late values (1)",
        )
        .unwrap();
    let said = ends.run_well("migrate", &[]);
    let kind = "not made: primary key as it is at the source";
    for table in ["late", "more", "spans"] {
        says(&said, &format!("{kind} public.{table}: "));
    }
    let is_plain_told = said.out.contains(&format!("{kind} public.plain"));
    assert!(!is_plain_told, "{said:?}");
    says(&said, "PRIMARY KEY (id, at WITHOUT OVERLAPS)");
}
