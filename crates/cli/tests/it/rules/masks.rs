//! Digits that become others at random.

use serde_json::json;
use whimbrel_testkit::Engine;

use super::{Ruled, of_column};

const PAIRS: [(Engine, Engine); 2] = [
    (Engine::Postgres18, Engine::Mariadb1011),
    (Engine::Mariadb1011, Engine::Postgres18),
];

fn randomized(source: Engine, target: Engine, columns: &[&str]) -> Ruled {
    Ruled::new(source, target, |schema| {
        let rule = json!({"rule-action": "data-masking-digits-randomize"});
        let columns = (3..).zip(columns);
        columns
            .map(|(id, column)| of_column(id, schema, column, &rule))
            .collect()
    })
}

const CARD: &str = "4111-1111-1111-1111 x 12345678901234567890";

fn form(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "9")
}

#[test]
fn digits_become_others_of_their_form_and_type() {
    for (source, target) in PAIRS {
        let ruled = randomized(
            source,
            target,
            &["card", "body", "small", "big", "part", "money"],
        );
        ruled.source("create table t (id int primary key, card varchar(60), body text, small smallint, big bigint, part numeric(5, 5), money numeric(12, 2), other int)");
        let extremes = [
            "32767, 9223372036854775807, 0.99999, -9999999999.99",
            "-32768, -9223372036854775808, -0.00001, 0",
            "0, 10, 0, 0.5",
            "null, null, null, null",
        ];
        for (id, numbers) in (1..).zip(extremes) {
            ruled.source(&format!(
                "insert into t values ({id}, '{CARD}', 'no. 7 é {CARD}', {numbers}, 0)"
            ));
        }
        ruled.source("insert into t (id, other) select id + 10, 1 from t");
        ruled.moved_and_compared(&format!(
            "update t set other = 5 where id = 1; update t set card = '{CARD}', small = 32767 where id = 11; delete from t where id = 12;
             insert into t (id, card) values (20, 'id 00')"
        ));
        let cards = ruled.target("select card from t where id in (1, 2, 3, 4, 11) order by id");
        for card in cards.lines() {
            assert_eq!(form(card), form(CARD), "{source} {target}");
            // One in 10^36 is the same.
            assert_ne!(card, CARD);
        }
        assert_eq!(cards.lines().count(), 5);
        // The mask is on what is there, and on nothing else.
        assert_eq!(
            ruled.target("select count(*) from t where small is null and body is null and id > 10"),
            "3\n"
        );
        assert_eq!(ruled.target("select other from t where id = 1"), "5\n");
        let seen = ruled.target("select count(*) from t where id < 5 and part between -1 and 1 and abs(money) < 10000000000");
        assert_eq!(seen, "3\n");
        // What is not masked is compared all the same.
        ruled.source("update t set other = 77 where id = 2");
        assert_ne!(ruled.run("validate", &[]).exit_code, Some(0));
    }
}

#[test]
fn changes_are_not_looked_for_by_random_digits() {
    for (source, target) in PAIRS {
        for (columns, table) in [
            ("id", "create table t (id varchar(40) primary key, a int)"),
            ("id", "create table t (id varchar(40), a int)"),
        ] {
            let ruled = randomized(source, target, &[columns]);
            ruled.source(&format!("{table}; insert into t values ('1234567890-12345678901234567890', 1), ('no digits', 2)"));
            let said = ruled.run("migrate", &["--until-caught-up"]);
            assert_ne!(said.exit_code, Some(0));
            assert!(
                format!("{said:?}").contains("give it random digits"),
                "{said:?}"
            );
            ruled.run_well("migrate", &[]);
            ruled.run_well("validate", &[]);
            assert_eq!(ruled.target("select count(*) from t where id = 'no digits' or id like '__________-____________________'"), "2\n");
            assert_eq!(
                ruled.target("select count(*) from t where id like '1234567890-1%'"),
                "0\n"
            );
        }
    }
}
