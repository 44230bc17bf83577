//! Rules may change values and leave rows out: what then constrains others than the source's own is listed.

use serde_json::json;
use tempfile::NamedTempFile;
use whimbrel_testkit::Engine;

use super::{of_mysql, of_postgres};
use crate::ends::Ends;

fn constraints_are_listed(source: Engine, target: Engine) {
    let ends = Ends::between(source, target, "shaped");
    ends.source
        .sql("create table p (id int primary key, code varchar(20) not null, kind int); create unique index by_code on p (code); create index plain on p (code);
              alter table p add constraint short check (char_length(code) < 9); alter table p add constraint positive check (kind > 0);
              create table c (id int primary key, p int, code varchar(20)); alter table c add constraint to_p foreign key (p) references p (id);
              alter table c add constraint to_code foreign key (code) references p (code);
              create table q (id int primary key, c int); alter table q add constraint to_c foreign key (c) references c (id);
              insert into p values (1, 'a1', 1), (2, 'a2', 2); insert into c values (1, 1, 'a1'), (2, 2, 'a2'); insert into q values (1, 1)")
        .unwrap();
    let schema = if source.is_postgres() {
        "public"
    } else {
        ends.source.name()
    };
    let table = |table: &str| json!({"schema-name": schema, "table-name": table});
    let column = json!({"schema-name": schema, "table-name": "p", "column-name": "code"});
    let filter = json!([{"filter-type": "source", "column-name": "id", "filter-conditions": [{"filter-operator": "lte", "value": "1"}]}]);
    let rules = json!({"rules": [
        {"rule-type": "selection", "rule-id": "1", "rule-name": "1", "object-locator": table("p"), "rule-action": "include", "filters": filter},
        {"rule-type": "selection", "rule-id": "2", "rule-name": "2", "object-locator": table("c"), "rule-action": "include", "filters": []},
        {"rule-type": "selection", "rule-id": "4", "rule-name": "4", "object-locator": table("q"), "rule-action": "include", "filters": []},
        {"rule-type": "transformation", "rule-id": "3", "rule-name": "3", "rule-target": "column", "object-locator": column,
         "rule-action": "data-masking-digits-mask", "value": "#"},
    ]});
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rules.to_string()).unwrap();
    let mut words = vec!["--mappings", file.path().to_str().unwrap()];
    if !target.is_postgres() {
        words.extend(["--target-schema", ends.target.name()]);
    }
    let said = ends.run_well("migrate", &words);
    let there = if target.is_postgres() {
        of_postgres(&ends.target)
    } else {
        of_mysql(&ends.target)
    };
    let there = there.join("\n");
    for kept in ["plain", "positive", "to_c"] {
        assert!(there.contains(kept), "{kept} is not in\n{there}");
    }
    for (left, why) in [
        ("index", "by_code"),
        ("check", "short"),
        ("foreign key", "to_p"),
        ("foreign key", "to_code"),
    ] {
        let table = if why.starts_with("to_") { "c" } else { "p" };
        let line = format!("not made: {left} {schema}.{table}.{why}: ");
        assert!(said.out.contains(&line), "{line} is not in {said:?}");
    }
    for left in [
        "by_code",
        "short",
        "`to_p` FOREIGN",
        "to_p FOREIGN",
        "to_code` FOREIGN",
        "to_code FOREIGN",
    ] {
        assert!(!there.contains(left), "{left} is in\n{there}");
    }
    assert!(said.out.contains("a filter leaves rows of"), "{said:?}");
    assert!(
        said.out
            .contains("the values of its column code arrive as others"),
        "{said:?}"
    );
    assert_eq!((ends.arrived("p"), ends.arrived("c")), (1, 2));
}

#[test]
fn constraints_on_what_rules_change_are_listed_in_postgres() {
    constraints_are_listed(Engine::Postgres15, Engine::Postgres15);
}

#[test]
fn constraints_on_what_rules_change_are_listed_in_mysql() {
    constraints_are_listed(Engine::Mysql97, Engine::Mysql97);
}

#[test]
fn constraints_on_what_rules_change_are_listed_across_engines() {
    constraints_are_listed(Engine::Mariadb1011, Engine::Postgres15);
}
