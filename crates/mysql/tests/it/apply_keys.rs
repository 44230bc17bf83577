//! Rows are found by their keys, and only by them.

use crate::apply_support::{Applying, Cell, Change, refusal, row};
use crate::support::{ENGINES, Pair};

/// Definitions of a key, and two values of it that are not the same.
#[expect(clippy::too_many_lines, reason = "a table")]
fn keys() -> Vec<(&'static str, Vec<Cell>, Vec<Cell>)> {
    use whimbrel_core::{Date, Timestamp, Value};
    let decimal = |text: &str| vec![Cell::Decimal(text.to_owned())];
    vec![
        (
            "k bigint unsigned",
            vec![Cell::Plain(Value::UInt(u64::MAX))],
            vec![Cell::Plain(Value::UInt(u64::MAX - 1))],
        ),
        (
            "k varchar(9) collate utf8mb4_general_ci",
            vec!["a".into()],
            vec!["b".into()],
        ),
        (
            "k varchar(9) collate utf8mb4_bin",
            vec!["a".into()],
            vec!["A".into()],
        ),
        (
            "k varchar(9) character set latin1",
            vec!["é".into()],
            vec!["è'\\".into()],
        ),
        (
            "k char(9) character set utf8mb3",
            vec!["x".into()],
            vec!["y".into()],
        ),
        (
            "k varchar(9) character set utf32",
            vec!["𝄞".into()],
            vec!["y".into()],
        ),
        (
            "k varbinary(9)",
            vec![Cell::Bytes(vec![0, 255, 39])],
            vec![Cell::Bytes(vec![0, 255, 39, 0])],
        ),
        (
            "k binary(2)",
            vec![Cell::Bytes(vec![0, 92])],
            vec![Cell::Bytes(vec![0, 0])],
        ),
        (
            "k decimal(30,10)",
            decimal("12345678901234567890.0000000001"),
            decimal("12345678901234567890.0000000002"),
        ),
        (
            "k double",
            vec![Cell::Plain(Value::Float64(0.1))],
            vec![Cell::Plain(Value::Float64(0.1 + 1e-17 + 2e-17))],
        ),
        (
            "k float",
            vec![Cell::Plain(Value::Float32(0.1))],
            vec![Cell::Plain(Value::Float32(0.100_000_01))],
        ),
        (
            "k datetime(6)",
            vec![Cell::Plain(Value::Timestamp(Timestamp::Micros(1)))],
            vec![Cell::Plain(Value::Timestamp(Timestamp::Zero {
                year: 0,
                month: 0,
                day: 0,
                micros: 0,
            }))],
        ),
        (
            "k date",
            vec![Cell::Plain(Value::Date(Date::Days(1)))],
            vec![Cell::Plain(Value::Date(Date::Zero {
                year: 2023,
                month: 2,
                day: 31,
            }))],
        ),
        ("k year", vec![Cell::from(0)], vec![Cell::from(2000)]),
        (
            "k bit(64)",
            vec![Cell::Bits(vec![255; 8], 64)],
            vec![Cell::Bits(vec![0; 8], 64)],
        ),
        ("k enum('a','b','1')", vec!["1".into()], vec!["a".into()]),
        ("k set('a','b')", vec!["a,b".into()], vec!["".into()]),
        (
            "k int, l varchar(20)",
            vec![Cell::from(1), "x".into()],
            vec![Cell::from(1), "y".into()],
        ),
    ]
}

#[tokio::test]
async fn rows_are_found_by_keys_of_every_kind() {
    for engine in ENGINES {
        let mut all = keys();
        if engine.is_mariadb() {
            let uuid = |last| {
                vec![Cell::Plain(whimbrel_core::Value::Uuid([
                    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, last,
                ]))]
            };
            all.push(("k uuid", uuid(1), uuid(2)));
            all.push((
                "k varchar(9) collate utf8mb4_nopad_bin",
                vec!["a".into()],
                vec!["a ".into()],
            ));
        } else {
            all.push((
                "k varchar(9) collate utf8mb4_0900_bin",
                vec!["a".into()],
                vec!["a ".into()],
            ));
        }
        for (definition, one, other) in all {
            let names = if definition.contains("l varchar") {
                "k, l"
            } else {
                "k"
            };
            let setup = format!("create table t ({definition}, n int, primary key ({names}))");
            let mut it = Applying::to_table(Pair::on(engine, "keys"), &setup).await;
            let row = |key: &[Cell], n: i64| [key, &[Cell::from(n)]].concat();
            for is_net in [true, false] {
                it.begin().await;
                let changes = vec![Change::Insert(row(&one, 1)), Change::Insert(row(&other, 2))];
                assert_eq!(
                    it.single(changes).await.unwrap(),
                    [1, 1],
                    "{engine} {definition}"
                );
                if is_net {
                    // Through the temporary table, with rows that are not there.
                    let applied = it
                        .net(vec![], vec![row(&one, 3); 200], vec![])
                        .await
                        .unwrap();
                    assert_eq!(applied.updated, 1, "{engine} {definition}");
                    let applied = it
                        .net(vec![row(&other, 0); 200], vec![], vec![])
                        .await
                        .unwrap();
                    assert_eq!(applied.deleted, 1, "{engine} {definition}");
                } else {
                    let changes = vec![
                        Change::Update(None, row(&one, 3)),
                        Change::Delete(row(&other, 0)),
                    ];
                    assert_eq!(
                        it.single(changes).await.unwrap(),
                        [1, 1],
                        "{engine} {definition}"
                    );
                }
                it.commit().await;
                assert_eq!(it.ask("select n from t"), "3", "{engine} {definition}");
                it.pair.target.sql("delete from t").unwrap();
            }
        }
    }
}

#[tokio::test]
async fn keys_that_only_a_collation_takes_for_equal_are_told_apart() {
    for engine in ENGINES {
        for (collation, other) in [
            ("utf8mb4_general_ci", "A"),
            ("utf8mb4_bin", "a "),
            ("utf8mb4_general_ci", "á"),
        ] {
            let setup =
                format!("create table t (k varchar(9) collate {collation} primary key, n int)");
            let mut it = Applying::to_table(Pair::on(engine, "collation"), &setup).await;
            it.begin().await;
            it.net(vec![], vec![], vec![row!["a", 1]]).await.unwrap();
            assert_eq!(
                it.single(vec![
                    Change::Update(None, row![other, 2]),
                    Change::Delete(row![other, 2])
                ])
                .await
                .unwrap(),
                [0, 0]
            );
            let applied = it
                .net(vec![row![other, 0]; 200], vec![row![other, 2]; 200], vec![])
                .await
                .unwrap();
            assert_eq!(
                (applied.deleted, applied.updated),
                (0, 0),
                "{engine} {collation}"
            );
            for inserts in [
                vec![row![other, 2]],
                (0..200)
                    .map(|n| {
                        row![
                            if n == 0 {
                                other.to_owned()
                            } else {
                                n.to_string()
                            }
                            .as_str(),
                            n
                        ]
                    })
                    .collect(),
            ] {
                let refusal = refusal(it.net(vec![], vec![], inserts).await.unwrap_err());
                assert!(refusal.reason.contains("same key"), "{refusal}");
            }
            it.commit().await;
            assert_eq!(it.ask("select * from t"), "a,1");
        }
    }
}
