//! Changes of every kind arrive, whole or in part, and a refused call leaves the transaction as it was.

use std::fmt::Write as _;

use whimbrel_connector::{AppliedCount, Error, RowRefusal};
use whimbrel_core::{Decimal, Timestamp, Value};

use crate::changes::{Do, Rig, Row, int, text};
use crate::support::ENGINES;

const PLAIN: &str = "create table t (id bigint primary key, a text, b int, c numeric(9,2));
    insert into t select i, 'old', i, i from generate_series(1, 5) i";

fn refusal(error: Error) -> RowRefusal {
    let Error::Row(refusal) = error else {
        panic!("{error:?}")
    };
    *refusal
}

fn decimal(text: &'static str) -> Value<'static> {
    Value::Decimal(Decimal::Text(text))
}

#[tokio::test]
async fn net_changes_of_every_kind_arrive() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, PLAIN).await;
        rig.begin().await;
        let count = rig
            .net(
                "t",
                vec![
                    vec![int(1), Value::NotSent, Value::NotSent, Value::NotSent],
                    vec![int(2), text("old"), int(2), decimal("2")],
                    vec![int(77), Value::Null, Value::Null, Value::Null],
                ],
                vec![
                    vec![int(3), text("new"), int(30), decimal("3.50")],
                    vec![int(4), Value::NotSent, Value::Null, Value::NotSent],
                    vec![int(5), text("five"), Value::NotSent, Value::NotSent],
                    vec![int(78), text("none"), int(1), Value::Null],
                ],
                vec![
                    vec![int(6), text("six"), int(6), decimal("-0.01")],
                    vec![int(1), Value::Null, Value::Null, Value::Null],
                ],
            )
            .await
            .unwrap();
        let expected = AppliedCount {
            deleted: 2,
            updated: 3,
            inserted: 2,
        };
        assert_eq!(count, expected);
        rig.commit().await;
        assert_eq!(
            rig.shown("select * from t order by id"),
            "1\tNULL\tNULL\tNULL\n3\tnew\t30\t3.50\n4\told\tNULL\t4.00\n5\tfive\t5\t5.00\n6\tsix\t6\t-0.01"
        );
    }
}

#[tokio::test]
async fn single_changes_of_every_kind_arrive_in_order() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, PLAIN).await;
        rig.begin().await;
        let row = |id, a, b| vec![int(id), text(a), int(b), decimal("1.00")];
        let some = |id, b: Value<'static>| vec![int(id), Value::NotSent, b, Value::NotSent];
        let counts = rig
            .single(vec![
                ("t", Do::Insert(row(6, "six", 6))),
                ("t", Do::Set(some(6, int(60)))),
                ("t", Do::Update(some(6, Value::NotSent), row(7, "seven", 7))),
                ("t", Do::Update(row(7, "seven", 7), row(7, "same key", 8))),
                ("t", Do::Delete(some(1, Value::NotSent))),
                ("t", Do::Delete(some(1, Value::NotSent))),
                ("t", Do::Insert(row(1, "again", 1))),
                ("t", Do::Set(some(99, Value::Null))),
                (
                    "t",
                    Do::Set(vec![int(2), Value::NotSent, Value::NotSent, Value::NotSent]),
                ),
                // A swap that works only one after another.
                ("t", Do::Update(row(3, "old", 3), row(-1, "old", 3))),
                ("t", Do::Update(row(4, "old", 4), row(3, "old", 4))),
                ("t", Do::Update(row(-1, "old", 3), row(4, "old", 3))),
            ])
            .await
            .unwrap();
        assert_eq!(counts, [1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1]);
        rig.commit().await;
        assert_eq!(
            rig.shown("select id, a, b from t order by id"),
            "1\tagain\t1\n2\told\t2\n3\told\t4\n4\told\t3\n5\told\t5\n7\tsame key\t8"
        );
    }
}

#[tokio::test]
async fn calls_of_one_transaction_see_each_other_and_become_visible_at_its_commit() {
    let mut rig = Rig::new(ENGINES[0], PLAIN).await;
    rig.begin().await;
    let row = |id, b| vec![int(id), Value::Null, int(b), Value::Null];
    for pass in 0..3 {
        let count = rig
            .net(
                "t",
                vec![row(1, 0)],
                vec![row(2, pass), row(3, pass)],
                vec![row(1, pass)],
            )
            .await
            .unwrap();
        assert_eq!((count.deleted, count.updated, count.inserted), (1, 2, 1));
    }
    rig.single(vec![("t", Do::Set(row(2, 9)))]).await.unwrap();
    assert_eq!(rig.shown("select sum(b) from t"), "15");
    rig.commit().await;
    assert_eq!(rig.shown("select b from t order by id"), "2\n9\n2\n4\n5");
    rig.begin().await;
    let count = rig
        .net("t", vec![row(1, 0)], vec![row(2, 1)], vec![])
        .await
        .unwrap();
    assert_eq!((count.deleted, count.updated), (1, 1));
    rig.applier.rollback().await.unwrap();
    rig.begin().await;
    let count = rig
        .net("t", vec![row(1, 0)], vec![row(2, 1)], vec![])
        .await
        .unwrap();
    assert_eq!((count.deleted, count.updated), (1, 1));
    rig.commit().await;
    assert_eq!(rig.shown("select b from t order by id"), "1\n2\n4\n5");
}

#[tokio::test]
async fn a_refused_call_leaves_the_transaction_as_it_was() {
    for engine in ENGINES {
        let mut rig = Rig::new(
            engine,
            "create table t (id bigint primary key, u int unique, v varchar(3) check (v <> 'bad'));
             insert into t values (1, 1, 'a'), (2, 2, 'b')",
        )
        .await;
        let row = |id, u, v| vec![int(id), int(u), text(v)];
        rig.begin().await;
        rig.net("t", vec![], vec![row(1, 1, "x")], vec![])
            .await
            .unwrap();
        // Two rows that swap a unique value cannot be updated by one statement.
        let swap = vec![row(1, 2, "x"), row(2, 1, "b")];
        let refused = refusal(rig.net("t", vec![], swap, vec![]).await.unwrap_err());
        assert!(refused.reason.contains("23505"), "{refused}");
        let insert = vec![row(3, 3, "c"), row(4, 4, "bad"), row(5, 5, "e")];
        let refused = refusal(rig.net("t", vec![], vec![], insert).await.unwrap_err());
        assert_eq!(refused.key.as_deref(), Some("(4)"), "{refused}");
        // Refused here, before anything is sent.
        let update = vec![row(1, 1, "long")];
        let refused = refusal(rig.net("t", vec![], update, vec![]).await.unwrap_err());
        assert_eq!(
            (refused.key.as_deref(), refused.column.as_deref()),
            (Some("(1)"), Some("v")),
            "{refused}"
        );
        let changes = vec![
            ("t", Do::Insert(row(7, 7, "g"))),
            ("t", Do::Update(row(1, 1, "x"), row(9, 1, "x"))),
            ("t", Do::Insert(row(8, 2, "h"))),
        ];
        let refused = refusal(rig.single(changes).await.unwrap_err());
        assert_eq!(refused.key.as_deref(), Some("(8)"), "{refused}");
        assert!(refused.reason.contains("23505"), "{refused}");
        let counts = rig
            .single(vec![
                ("t", Do::Set(row(1, 9, "y"))),
                ("t", Do::Set(row(2, 1, "b"))),
                ("t", Do::Set(row(1, 2, "y"))),
            ])
            .await
            .unwrap();
        assert_eq!(counts, [1, 1, 1]);
        rig.commit().await;
        assert_eq!(rig.shown("select * from t order by id"), "1\t2\ty\n2\t1\tb");
    }
}

#[tokio::test]
async fn a_value_that_the_server_refuses_is_named_by_key_and_column_but_not_shown() {
    let mut rig = Rig::new(
        ENGINES[0],
        "create table t (id int primary key, i inet, n int not null)",
    )
    .await;
    rig.begin().await;
    let bad = |id| vec![int(id), text("canary"), int(1)];
    let good = |id| vec![int(id), text("10.0.0.1"), int(1)];
    let inserts = vec![good(1), bad(2)];
    let by_net = rig.net("t", vec![], vec![], inserts).await.unwrap_err();
    let changes = vec![("t", Do::Insert(good(1))), ("t", Do::Insert(bad(2)))];
    let by_single = rig.single(changes).await.unwrap_err();
    for error in [by_net, by_single] {
        let refused = refusal(error);
        assert_eq!(
            (refused.key.as_deref(), refused.column.as_deref()),
            (Some("(2)"), Some("i")),
            "{refused}"
        );
        assert!(!refused.to_string().contains("canary"), "{refused}");
    }
    // The server does not say which row of a batch it was.
    let updates = vec![good(1), bad(2)];
    let refused = refusal(rig.net("t", vec![], updates, vec![]).await.unwrap_err());
    assert!(!refused.to_string().contains("canary"), "{refused}");
    let null = vec![vec![int(3), Value::Null, Value::Null]];
    let refused = refusal(rig.net("t", vec![], vec![], null).await.unwrap_err());
    assert_eq!(refused.column.as_deref(), Some("n"), "{refused}");
}

/// Types of keys, and two values of each.
fn keys() -> Vec<(&'static str, [Value<'static>; 2])> {
    let instant = |micros| Value::TimestampTz(Timestamp::Micros(micros));
    vec![
        ("text", [text("a"), text("Ä, b")]),
        ("varchar(9)", [text("a"), text("b ")]),
        ("char(5)", [text("a    "), text("b    ")]),
        ("uuid", [Value::Uuid([1; 16]), Value::Uuid([2; 16])]),
        ("numeric", [decimal("1.50"), decimal("-2")]),
        ("timestamptz", [instant(5), instant(-5)]),
        ("mood", [text("sad"), text("o'k")]),
        ("positive", [int(1), int(2)]),
        ("inet", [text("10.0.0.1"), text("::1")]),
        ("int[]", [text("{1,2}"), text("{}")]),
        ("bytea", [Value::Bytes(&[0, 1]), Value::Bytes(&[])]),
        ("boolean", [Value::Bool(true), Value::Bool(false)]),
        ("citext", [text("ABC"), text("x")]),
        ("caseless", [text("Abc"), text("b")]),
    ]
}

const KEY_TYPES: &str = "create extension citext; create type mood as enum ('sad', 'o''k');
    create domain positive as integer not null check (value > 0);
    create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    create domain caseless as text collate ci;";

/// Every way of applying finds the rows of a table `(k, v)`, and leaves it empty.
async fn finds_rows(rig: &mut Rig, table: &str, keys: &[Value<'static>; 2]) {
    let with = |v: Value<'static>| -> Vec<Row> { keys.iter().map(|&key| vec![key, v]).collect() };
    rig.net(table, vec![], vec![], with(text("in")))
        .await
        .unwrap();
    let count = rig
        .net(table, vec![], with(text("net")), vec![])
        .await
        .unwrap();
    assert_eq!(count.updated, 2, "{keys:?}");
    let set = with(text("single"))
        .into_iter()
        .map(|row| (table, Do::Set(row)));
    assert_eq!(rig.single(set.collect()).await.unwrap(), [1, 1], "{keys:?}");
    let delete = vec![(table, Do::Delete(with(Value::NotSent).remove(0)))];
    assert_eq!(rig.single(delete).await.unwrap(), [1], "{keys:?}");
    let count = rig
        .net(table, with(Value::NotSent), vec![], vec![])
        .await
        .unwrap();
    assert_eq!(count.deleted, 1, "{keys:?}");
}

#[tokio::test]
async fn keys_of_every_kind_find_their_rows() {
    for engine in ENGINES {
        let mut script = KEY_TYPES.to_owned();
        for (index, (ty, _)) in keys().iter().enumerate() {
            writeln!(
                script,
                "create table t{index} (k {ty} primary key, v text);"
            )
            .unwrap();
        }
        let mut rig = Rig::new(engine, &script).await;
        rig.begin().await;
        for (index, (_, keys)) in keys().iter().enumerate() {
            finds_rows(&mut rig, &format!("t{index}"), keys).await;
        }
        // Equality is that of the type, not of the bytes.
        for index in [12, 13] {
            let table = format!("t{index}");
            let row = |key| vec![text(key), text("v")];
            rig.net(&table, vec![], vec![], vec![row("ABC")])
                .await
                .unwrap();
            let count = rig
                .net(&table, vec![], vec![row("abc")], vec![])
                .await
                .unwrap();
            assert_eq!(count.updated, 1, "{table}");
            let set = vec![(table.as_str(), Do::Set(row("aBc")))];
            assert_eq!(rig.single(set).await.unwrap(), [1], "{table}");
        }
        rig.commit().await;
    }
}

#[tokio::test]
async fn keys_of_several_columns_find_their_rows() {
    for engine in ENGINES {
        let script = "create table t (x int, v text, a text, b int, primary key (b, a))";
        let mut rig = Rig::new(engine, script).await;
        let row = |a, b, v| vec![int(1), text(v), text(a), int(b)];
        let rows = vec![row("a", 1, "x"), row("a", 2, "x"), row("b", 1, "x")];
        rig.begin().await;
        rig.net("t", vec![], vec![], rows).await.unwrap();
        let updates = vec![row("a", 1, "y"), row("c", 1, "y")];
        let count = rig
            .net("t", vec![row("a", 2, "")], updates, vec![])
            .await
            .unwrap();
        assert_eq!((count.deleted, count.updated), (1, 1));
        let set = vec![("t", Do::Set(row("b", 1, "z")))];
        assert_eq!(rig.single(set).await.unwrap(), [1]);
        rig.commit().await;
        assert_eq!(
            rig.shown("select a, b, v from t order by 1"),
            "a\t1\ty\nb\t1\tz"
        );
    }
}

#[tokio::test]
async fn many_rows_of_many_masks_and_column_sets_arrive() {
    let columns: Vec<String> = (0..130).map(|i| format!("c{i} int default 0")).collect();
    let script = format!(
        "create table t (id int primary key, {}); insert into t (id) select generate_series(1, 600)",
        columns.join(", ")
    );
    let mut rig = Rig::new(ENGINES[1], &script).await;
    let row = |id: i64| -> Row {
        let cell = |column: i64| {
            if (id + column) % (id % 7 + 2) == 0 {
                int(id)
            } else {
                Value::NotSent
            }
        };
        std::iter::once(int(id)).chain((0..130).map(cell)).collect()
    };
    rig.begin().await;
    let count = rig
        .net("t", vec![], (1..=300).map(row).collect(), vec![])
        .await
        .unwrap();
    assert_eq!(count.updated, 300);
    // More kinds of statements than are kept.
    let sets: Vec<_> = (301..=600).map(|id| ("t", Do::Set(row(id)))).collect();
    assert_eq!(rig.single(sets).await.unwrap(), vec![1; 300]);
    let odd: Vec<_> = (301..=600)
        .map(|id| {
            let mut row = row(id);
            let place = usize::try_from(id % 129).unwrap() + 1;
            row[place] = int(id);
            row[place + 1] = if id % 2 == 0 { Value::NotSent } else { int(id) };
            ("t", Do::Set(row))
        })
        .collect();
    assert_eq!(rig.single(odd).await.unwrap(), vec![1; 300]);
    rig.commit().await;
    for id in [1, 150, 299] {
        let expected: Vec<_> = row(id)[1..]
            .iter()
            .map(|v| {
                if *v == Value::NotSent {
                    "0".to_owned()
                } else {
                    id.to_string()
                }
            })
            .collect();
        let shown = rig.shown(&format!("select * from t where id = {id}"));
        assert_eq!(shown, format!("{id}\t{}", expected.join("\t")));
    }
}
