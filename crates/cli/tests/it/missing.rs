//! What rules name and the user does not see: nothing of it is passed over.

use serde_json::Value;
use whimbrel_testkit::Engine;

use crate::ends::Ends;
use crate::run;

const PAIRS: [(Engine, Engine); 3] = [
    (Engine::Postgres15, Engine::Mariadb1011),
    (Engine::Mysql97, Engine::Postgres15),
    (Engine::Mariadb1011, Engine::Mysql97),
];

fn schema(ends: &Ends) -> String {
    if ends.source.engine().is_postgres() {
        "public".to_owned()
    } else {
        ends.source.name().to_owned()
    }
}

/// The last event of each table.
fn of_table(events: &[Value], name: &str) -> Value {
    let of_name = |event: &&Value| event["event"] == "table" && event["table"] == name;
    events.iter().rfind(of_name).unwrap().clone()
}

#[test]
fn a_table_that_is_named_and_not_there_is_told() {
    for (from, to) in PAIRS {
        let ends = Ends::between(from, to, "missing");
        let sql = "create table a_1 (id int primary key); insert into a_1 values (1); create view seen as select * from a_1";
        ends.source.sql(sql).unwrap();
        let schema = schema(&ends);
        let names = format!("{schema}.a_1,{schema}.nosuch,{schema}.seen,nowhere.%");
        let said = ends.run("migrate", &["--json", "--tables", &names]);
        assert_eq!(said.exit_code, Some(1), "{said:?}");
        let events = said.events();
        assert_eq!(
            of_table(&events, &format!("{schema}.a_1"))["state"],
            "completed"
        );
        for missing in ["nosuch", "seen"] {
            let event = of_table(&events, &format!("{schema}.{missing}"));
            assert_eq!(event["state"], "missing", "{event}");
            assert!(
                event.to_string().contains("grant the user SELECT"),
                "{event}"
            );
        }
        let finished = said.event("finished");
        assert_eq!(finished["outcome"], "tables_missing", "{finished}");
        assert_eq!(finished["tables"]["missing"], 2, "{finished}");
        assert!(
            finished["error"].as_str().unwrap().contains("2 tables"),
            "{finished}"
        );
        let compared = ends.run("validate", &["--tables", &names]);
        assert_eq!(compared.exit_code, Some(1), "{compared:?}");
        let is_told = |line: &str| line.contains(".nosuch") && line.contains(": no such table");
        assert!(compared.out.lines().any(is_told), "{compared:?}");
        let found = format!("{schema}.a_1,nowhere.%");
        let compared = ends.run("validate", &["--tables", &found]);
        assert_eq!(compared.exit_code, Some(1), "{compared:?}");
        let words = "error      nowhere.%: no table of the source matches";
        assert!(compared.out.contains(words), "{compared:?}");
        let dry = ends.run("migrate", &["--dry-run", "--tables", &names]);
        assert_eq!(dry.exit_code, Some(1), "{dry:?}");
        assert!(
            dry.out
                .contains(&format!("-- error: {schema}.nosuch: no such")),
            "{dry:?}"
        );
        assert!(
            dry.out.contains("-- note: no table matches nowhere.%"),
            "{dry:?}"
        );
        let assessed = ends.run("assess", &["--tables", &names]);
        assert_eq!(assessed.exit_code, Some(1), "{assessed:?}");
        assert!(assessed.out.contains("nosuch"), "{assessed:?}");
        // What is left out by its name is not missed, and a pattern may find nothing.
        let excluded = format!("{schema}.nosuch,{schema}.seen");
        let options = [
            "--tables",
            &names,
            "--exclude",
            &excluded,
            "--prepare",
            "drop-and-create",
        ];
        ends.run_well("migrate", &options);
    }
}

#[test]
fn a_table_whose_columns_are_hidden_is_in_error() {
    for (engine, to) in [
        (Engine::Mysql97, Engine::Postgres15),
        (Engine::Mariadb1011, Engine::Postgres15),
    ] {
        let mut ends = Ends::between(engine, to, "hidden");
        let name = ends.source.name().to_owned();
        let user = format!("h_{}", &name[name.len().saturating_sub(20)..]);
        let user = user.as_str();
        ends.source
            .sql(&format!(
                "create table part (id int primary key, shown int, hidden int); insert into part values (1, 2, 3);
                 create table whole (id int primary key); insert into whole values (1);
                 create user {user} identified by 'a-secret'; grant select (id, shown) on {name}.part to {user};
                 grant select on {name}.whole to {user}"
            ))
            .unwrap();
        ends.source_url = ends.source.url_as(user, "a-secret");
        let said = ends.run("migrate", &["--json"]);
        assert_eq!(said.exit_code, Some(1), "{said:?}");
        let events = said.events();
        let part = of_table(&events, &format!("{name}.part"));
        assert_eq!(part["state"], "error", "{part}");
        assert!(part.to_string().contains("GRANT SELECT ON"), "{part}");
        assert_eq!(
            of_table(&events, &format!("{name}.whole"))["state"],
            "completed"
        );
        let grants = ["select on {}.part", "select on {}.*", "select on *.*"];
        for grant in grants.map(|grant| grant.replace("{}", &name)) {
            let sql = format!("grant {grant} to {user}");
            ends.source.sql(&sql).unwrap();
            ends.run_well("migrate", &["--prepare", "drop-and-create"]);
            let hidden = ends.target.sql("select hidden from part").unwrap();
            assert_eq!(hidden.trim(), "3", "{grant}");
            let revoked = sql.replace("grant", "revoke").replace(" to ", " from ");
            ends.source.sql(&revoked).unwrap();
        }
        let columns = format!("grant select (id, shown) on {name}.part to {user}");
        ends.source.sql(&columns).unwrap();
        // At the target, too, columns that are not seen are not taken for ones that are not there.
        let (there, target_url) = (ends.source.url(), ends.source_url.clone());
        let compared = run(&[
            "validate",
            &there,
            &target_url,
            "--tables",
            &format!("{name}.part"),
        ]);
        assert_eq!(compared.exit_code, Some(1), "{compared:?}");
        assert!(
            compared.out.contains("may not read all of its columns"),
            "{compared:?}"
        );
        ends.source.sql(&format!("drop user {user}")).unwrap();
    }
}

#[test]
fn columns_that_the_target_does_not_compute_are_said_not_to_be_compared() {
    for (from, to) in [
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Mariadb1011, Engine::Postgres15),
        (Engine::Mysql97, Engine::Mysql97),
    ] {
        let ends = Ends::between(from, to, "computed");
        let sql = "create table t (id int primary key, twice int generated always as (id * 2) stored); insert into t (id) values (4)";
        ends.source.sql(sql).unwrap();
        ends.run_well("migrate", &[]);
        let text = ends.run_well("validate", &[]).out;
        let json = ends.run_well("validate", &["--json"]).event("table");
        if from == to {
            assert!(!text.contains("twice"), "{text}");
            assert_eq!(json["not_compared"], serde_json::json!([]));
        } else {
            assert!(text.contains("does not have them: twice"), "{text}");
            assert_eq!(json["not_compared"], serde_json::json!(["twice"]));
        }
    }
}
