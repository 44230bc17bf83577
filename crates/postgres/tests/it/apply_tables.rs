//! Tables with peculiarities: no key, identities, computed columns, triggers, foreign keys, partitions.

use std::time::{Duration, Instant};

use whimbrel_connector::{ApplySettings, Checkpoint, Error};
use whimbrel_core::{Decimal, Position, Value};

use crate::changes::{Do, Rig, Row, int, text};
use crate::support::ENGINES;

const SAME: &str = "
    create table t (a int, b text, n numeric, j json, f float8);
    insert into t select 1, 'x', 1.0, '{\"a\": 1}', '-0' from generate_series(1, 3);
    insert into t values (1, 'x', 1.00, '{\"a\": 1}', '-0'), (1, 'x', 1.0, '{\"a\":1}', '-0'), (1, 'x', 1.0, '{\"a\": 1}', 0);
    insert into t values (null, null, null, null, null), (null, null, null, null, null), (1, null, null, null, 'NaN')";

#[tokio::test]
async fn of_rows_that_are_the_same_exactly_one_goes() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, SAME).await;
        let row = |n, j, f| {
            vec![
                int(1),
                text("x"),
                Value::Decimal(Decimal::Text(n)),
                Value::Json(j),
                Value::Float64(f),
            ]
        };
        let same = || row("1.0", "{\"a\": 1}", -0.0);
        let nulls = || vec![Value::Null; 5];
        rig.begin().await;
        let counts = rig
            .single(vec![
                ("t", Do::Delete(same())),
                ("t", Do::Update(same(), row("2", "[]", 5.0))),
                ("t", Do::Delete(row("1.00", "{\"a\": 1}", -0.0))),
                ("t", Do::Delete(row("1.0", "{\"a\":1}", -0.0))),
                ("t", Do::Delete(row("1.0", "{\"a\": 1}", 0.0))),
                ("t", Do::Delete(row("1.000", "{\"a\": 1}", 0.0))),
                ("t", Do::Delete(nulls())),
                (
                    "t",
                    Do::Update(
                        nulls(),
                        vec![
                            int(5),
                            Value::NotSent,
                            Value::NotSent,
                            Value::NotSent,
                            Value::NotSent,
                        ],
                    ),
                ),
                ("t", Do::Delete(nulls())),
                (
                    "t",
                    Do::Delete(vec![
                        int(1),
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        Value::Float64(f64::NAN),
                    ]),
                ),
                ("t", Do::Insert(nulls())),
            ])
            .await
            .unwrap();
        assert_eq!(counts, [1, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1]);
        rig.commit().await;
        assert_eq!(
            rig.shown("select * from t order by a"),
            "1\tx\t1.0\t{\"a\": 1}\t-0\n1\tx\t2\t[]\t5\n5\tNULL\tNULL\tNULL\tNULL\nNULL\tNULL\tNULL\tNULL\tNULL"
        );
        let error = rig.single(vec![("t", Do::Set(same()))]).await.unwrap_err();
        assert!(
            matches!(error, Error::Fatal(_)),
            "without a transaction: {error:?}"
        );
        rig.begin().await;
        let error = rig.single(vec![("t", Do::Set(same()))]).await.unwrap_err();
        assert!(matches!(error, Error::Table(_)), "{error:?}");
    }
}

#[tokio::test]
async fn rows_without_a_key_are_found_in_partitions_and_by_index() {
    let mut rig = Rig::new(
        ENGINES[0],
        "create table t (a int, b text) partition by list (a);
         create table t1 partition of t for values in (1); create table t2 partition of t for values in (2);
         create table k (a int primary key, b text) partition by range (a);
         create table k1 partition of k for values from (0) to (10); create table k2 partition of k for values from (10) to (20);
         create table i (a int, b text); create index on i (a);
         insert into t select 1 + i % 2, 'x' from generate_series(1, 8) i;
         insert into k select i, 'x' from generate_series(1, 15) i;
         insert into i select i, 'x' from generate_series(1, 2000) i; analyze",
    )
    .await;
    let row = |a| vec![int(a), text("x")];
    rig.begin().await;
    let counts = rig
        .single(vec![
            ("t", Do::Delete(row(1))),
            ("t", Do::Update(row(2), vec![int(1), text("moved")])),
            ("i", Do::Delete(row(77))),
            ("k", Do::Update(row(5), vec![int(16), text("moved")])),
        ])
        .await
        .unwrap();
    assert_eq!(counts, [1, 1, 1, 1]);
    let count = rig
        .net(
            "k",
            vec![row(1), row(11)],
            vec![vec![int(12), text("new")]],
            vec![row(0), row(18)],
        )
        .await
        .unwrap();
    assert_eq!((count.deleted, count.updated, count.inserted), (2, 1, 2));
    rig.commit().await;
    assert_eq!(
        rig.shown("select a, b, count(*) from t group by 1, 2 order by 1, 2"),
        "1\tmoved\t1\n1\tx\t3\n2\tx\t3"
    );
    assert_eq!(
        rig.shown("select count(*), sum(a), count(*) filter (where b <> 'x') from k"),
        "15\t137\t2"
    );
    assert_eq!(rig.shown("select count(*) from i"), "1999");
}

#[tokio::test]
async fn a_key_without_an_index_finds_its_rows_by_a_scan_for_all() {
    for engine in ENGINES {
        let script = "create table t (a int, b text, v int, primary key (a, b));
            insert into t select i, i, 0 from generate_series(1, 60000) i";
        let mut rig = Rig::new(engine, script).await;
        let drop = "alter table t drop constraint t_pkey; create index on t (v)";
        rig.pair.target.sql(drop).unwrap();
        let text = |number: i64| Value::Text(number.to_string().leak());
        let rows = |range: std::ops::Range<i64>| -> Vec<Row> {
            range.map(|i| vec![int(i), text(i), int(1)]).collect()
        };
        let start = Instant::now();
        rig.begin().await;
        let deletes = rows(1..2001);
        let count = rig
            .net("t", deletes, rows(2001..4001), vec![])
            .await
            .unwrap();
        assert_eq!((count.deleted, count.updated), (2000, 2000));
        rig.commit().await;
        assert_eq!(rig.shown("select count(*), sum(v) from t"), "58000\t2000");
        // A scan for each row would take minutes.
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "{:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn identities_keep_the_values_of_the_source() {
    for engine in ENGINES {
        let mut rig = Rig::new(
            engine,
            "create table a (id bigint generated always as identity primary key, v text);
             create table d (id bigint generated by default as identity primary key, v text);
             create table n (k int primary key, id bigint generated always as identity, v text);",
        )
        .await;
        rig.pair
            .target
            .sql("alter table n add column extra text default 'kept'")
            .unwrap();
        rig.begin().await;
        let row = |id, v| vec![int(id), text(v)];
        for table in ["a", "d"] {
            rig.net(table, vec![], vec![], vec![row(100, "a"), row(200, "b")])
                .await
                .unwrap();
            rig.net(
                table,
                vec![row(200, "")],
                vec![row(100, "net")],
                vec![row(300, "c")],
            )
            .await
            .unwrap();
            let counts = rig
                .single(vec![
                    (table, Do::Insert(row(400, "d"))),
                    (table, Do::Set(row(300, "set"))),
                    (table, Do::Update(row(400, "d"), row(500, "moved"))),
                ])
                .await
                .unwrap();
            assert_eq!(counts, [1, 1, 1]);
        }
        let row = |k, id, v| vec![int(k), id, v];
        let net = |k, id, v| row(k, int(id), text(v));
        rig.net(
            "n",
            vec![],
            vec![],
            vec![net(1, 10, "a"), net(2, 20, "b"), net(3, 30, "c")],
        )
        .await
        .unwrap();
        let updates = vec![
            net(1, 11, "net"),
            row(2, Value::NotSent, text("masked")),
            row(3, int(33), Value::NotSent),
        ];
        let count = rig.net("n", vec![], updates, vec![]).await.unwrap();
        assert_eq!(count.updated, 3);
        let counts = rig
            .single(vec![("n", Do::Set(row(1, int(12), Value::NotSent)))])
            .await
            .unwrap();
        assert_eq!(counts, [1]);
        rig.commit().await;
        for table in ["a", "d"] {
            assert_eq!(
                rig.shown(&format!("select * from {table} order by 1")),
                "100\tnet\n300\tset\n500\tmoved"
            );
        }
        assert_eq!(
            rig.shown("select * from n order by 1"),
            "1\t12\tnet\tkept\n2\t20\tmasked\tkept\n3\t33\tc\tkept"
        );
    }
}

#[tokio::test]
async fn computed_columns_are_computed_by_the_target() {
    for engine in ENGINES {
        let mut rig = Rig::new(
            engine,
            "create table t (id int primary key, twice int generated always as (a * 2) stored, a int)",
        )
        .await;
        let row = |id, a| vec![int(id), int(a)];
        rig.begin().await;
        rig.net("t", vec![], vec![], vec![row(1, 1), row(2, 2)])
            .await
            .unwrap();
        rig.net("t", vec![], vec![row(1, 5)], vec![]).await.unwrap();
        rig.single(vec![
            ("t", Do::Set(row(2, 6))),
            ("t", Do::Insert(row(3, 7))),
        ])
        .await
        .unwrap();
        rig.commit().await;
        assert_eq!(
            rig.shown("select * from t order by id"),
            "1\t10\t5\n2\t12\t6\n3\t14\t7"
        );
    }
}

const TRIGGERED: &str = "
    create table log (what text);
    create function log() returns trigger language plpgsql as $$ begin insert into public.log values (tg_op); return null; end $$;
    create table t (id int primary key, parent int references t, other int);
    create table u (id int primary key, t int references t on delete cascade deferrable initially deferred);
    alter table t add foreign key (other) references u;
    create trigger x after insert or update or delete on t for each row execute function log();";

#[tokio::test]
async fn triggers_and_foreign_keys_do_not_act() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, TRIGGERED).await;
        let t = |id, parent, other| vec![int(id), int(parent), int(other)];
        let u = |id, t| vec![int(id), int(t)];
        rig.begin().await;
        // Children before their parents, and both ways round.
        rig.net("t", vec![], vec![], vec![t(1, 2, 10), t(2, 1, 20)])
            .await
            .unwrap();
        rig.net("u", vec![], vec![], vec![u(10, 1), u(20, 2)])
            .await
            .unwrap();
        rig.commit().await;
        rig.begin().await;
        rig.net("t", vec![t(1, 0, 0)], vec![t(2, 2, 20)], vec![])
            .await
            .unwrap();
        rig.single(vec![
            ("t", Do::Insert(t(3, 99, 99))),
            ("t", Do::Delete(t(3, 0, 0))),
        ])
        .await
        .unwrap();
        rig.commit().await;
        assert_eq!(rig.shown("select count(*) from log"), "0");
        assert_eq!(rig.shown("select * from u order by 1"), "10\t1\n20\t2");
        rig.begin().await;
        let counts = rig
            .single(vec![
                ("t", Do::Truncate),
                ("u", Do::Truncate),
                ("t", Do::Insert(t(5, 5, 5))),
            ])
            .await
            .unwrap();
        assert_eq!(counts[2], 1);
        // Alone, the server refuses to truncate a table to which a key points.
        rig.single(vec![
            ("u", Do::Insert(u(1, 1))),
            ("u", Do::Truncate),
            ("t", Do::Insert(t(6, 6, 6))),
            ("t", Do::Truncate),
        ])
        .await
        .unwrap();
        rig.commit().await;
        assert_eq!(
            rig.shown("select (select count(*) from t), (select count(*) from u)"),
            "0\t0"
        );
    }
}

#[tokio::test]
async fn a_user_without_privileges_applies_where_nothing_acts() {
    for engine in ENGINES {
        let rig = Rig::new(engine, "create table p (v text primary key); create table t (id int primary key, v text references p deferrable initially deferred)").await;
        let role = rig.pair.target.name().to_owned();
        rig.pair
            .target
            .sql(&format!(
                "create role {role} login password 'secret'; revoke temporary on database {role} from public; grant create on database {role} to {role};
                 alter table t owner to {role}; grant all on schema public to {role};
                 grant all on schema awsdms_control to {role}; grant all on all tables in schema awsdms_control to {role}"
            ))
            .unwrap();
        let Rig {
            pair,
            tables,
            fence,
            ..
        } = rig;
        let mut target = crate::support::connector(&pair.target.url_as(&role, "secret"))
            .target()
            .await
            .unwrap();
        let applier = target
            .applier(&fence, &ApplySettings::default())
            .await
            .unwrap();
        let mut rig = Rig {
            pair,
            target,
            fence,
            applier,
            tables,
        };
        rig.begin().await;
        let row = |id, v| vec![int(id), text(v)];
        rig.net("t", vec![], vec![], vec![row(1, "a"), row(2, "b")])
            .await
            .unwrap();
        let error = rig
            .applier
            .commit(&Checkpoint::at(Position::new("1/1")))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Row(row) if row.table.name == "t"),
            "{error:?}"
        );
        rig.pair
            .target
            .sql("alter table t drop constraint t_v_fkey")
            .unwrap();
        rig.begin().await;
        rig.net("t", vec![], vec![], vec![row(1, "a"), row(2, "b")])
            .await
            .unwrap();
        rig.net("t", vec![row(1, "")], vec![row(2, "c")], vec![])
            .await
            .unwrap();
        rig.commit().await;
        assert_eq!(rig.shown("select * from t"), "2\tc");
        drop(rig.applier);
        rig.pair
            .target
            .sql(&format!(
                "reassign owned by {role} to current_user; drop owned by {role}; drop role {role}"
            ))
            .unwrap();
    }
}

#[tokio::test]
async fn a_table_that_was_altered_is_looked_at_again() {
    for engine in ENGINES {
        let mut rig = Rig::new(engine, "create table t (id int primary key, a int, b text); insert into t values (1, 1, 'x'), (2, 2, 'y')").await;
        let row = |id, a, b| vec![int(id), int(a), text(b)];
        rig.begin().await;
        rig.net("t", vec![], vec![row(1, 5, "x")], vec![])
            .await
            .unwrap();
        rig.single(vec![
            ("t", Do::Set(row(2, 5, "y"))),
            ("t", Do::Insert(row(3, 3, "z"))),
        ])
        .await
        .unwrap();
        rig.commit().await;
        for alter in [
            "alter table t alter a type bigint, alter id type bigint",
            "alter table t alter a type text, add column c int default 7",
            "alter table t alter a type int using a::int, drop column c",
            "drop table t; create table t (b text, a numeric, id int primary key); insert into t values ('x', 1, 1), ('y', 1, 2), ('z', 1, 3)",
        ] {
            rig.pair.target.sql(alter).unwrap();
            rig.begin().await;
            let is_text = alter.contains("a type text");
            if !is_text {
                let count = rig
                    .net("t", vec![], vec![row(1, 6, "n")], vec![row(9, 9, "i")])
                    .await
                    .unwrap();
                assert_eq!((count.updated, count.inserted), (1, 1), "{alter}");
                let counts = rig
                    .single(vec![
                        ("t", Do::Set(row(2, 7, "s"))),
                        ("t", Do::Delete(row(9, 9, ""))),
                    ])
                    .await
                    .unwrap();
                assert_eq!(counts, [1, 1], "{alter}");
            }
            rig.commit().await;
            if !is_text {
                assert_eq!(
                    rig.shown("select id, a, b from t order by id")
                        .lines()
                        .take(2)
                        .collect::<Vec<_>>(),
                    ["1\t6\tn", "2\t7\ts"],
                    "{alter}"
                );
            }
        }
        rig.pair.target.sql("alter table t drop column a").unwrap();
        rig.begin().await;
        let error = rig
            .net("t", vec![], vec![row(1, 1, "x")], vec![])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Table(_)), "{error:?}");
        let error = rig
            .single(vec![("t", Do::Set(row(1, 1, "x")))])
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Table(_)), "{error:?}");
        rig.applier.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_change_without_any_value_of_its_row_is_refused() {
    let script = "create table t (a int); insert into t values (1), (2)";
    let mut rig = Rig::new(ENGINES[0], script).await;
    let nothing = || vec![Value::NotSent];
    for change in [Do::Delete(nothing()), Do::Update(nothing(), vec![int(5)])] {
        rig.begin().await;
        let error = rig.single(vec![("t", change)]).await.unwrap_err();
        let Error::Table(fault) = error else {
            panic!("{error:?}");
        };
        assert!(fault.message.contains("REPLICA IDENTITY"), "{fault:?}");
        rig.applier.rollback().await.unwrap();
    }
    assert_eq!(rig.shown("select count(*), sum(a) from t"), "2\t3");
}

#[tokio::test]
async fn changes_of_a_table_leave_alone_the_tables_that_inherit_from_it() {
    for engine in ENGINES {
        let script = "create table parent (id int primary key, v text);
            create table child (primary key (id)) inherits (parent);
            create table heap (id int, v text); create table heir () inherits (heap);
            create table always (id int primary key, n int generated always as identity, v text);
            create table ever () inherits (always);
            insert into parent select i, 'p' from generate_series(1, 9) i; insert into child select i, 'c' from generate_series(1, 9) i;
            insert into heir values (1, 'c'), (2, 'c'); insert into heap values (1, 'c'), (2, 'c');
            insert into always (id, v) values (1, 'p'); insert into ever (id, n, v) values (1, 7, 'c')";
        let mut rig = Rig::new(engine, script).await;
        let row = |id, v| vec![int(id), text(v)];
        rig.begin().await;
        let counts = rig
            .single(vec![
                ("parent", Do::Delete(row(1, "p"))),
                ("parent", Do::Set(row(2, "new"))),
                ("parent", Do::Set(vec![int(3), Value::NotSent])),
                ("heap", Do::Delete(row(1, "c"))),
                ("heap", Do::Delete(row(1, "c"))),
                ("heap", Do::Update(row(2, "c"), row(2, "new"))),
                ("heap", Do::Update(row(2, "c"), row(2, "new"))),
                ("always", Do::Set(vec![int(1), int(5), text("new")])),
            ])
            .await
            .unwrap();
        assert_eq!(counts, [1, 1, 1, 1, 0, 1, 0, 1]);
        let partial = vec![int(6), Value::NotSent];
        let count = rig
            .net(
                "parent",
                vec![row(4, "p")],
                vec![row(5, "new"), partial],
                Vec::new(),
            )
            .await
            .unwrap();
        assert_eq!((count.deleted, count.updated), (1, 2));
        rig.commit().await;
        assert_eq!(
            rig.shown("select string_agg(id || v, ' ' order by id) from only parent"),
            "2new 3p 5new 6p 7p 8p 9p"
        );
        assert_eq!(rig.shown("select n, v from only always"), "5\tnew");
        let inherited = "select (select count(*) from child where v = 'c'), (select count(*) from heir where v = 'c'), (select n from ever)";
        assert_eq!(rig.shown(inherited), "9\t2\t7");
        rig.begin().await;
        rig.single(vec![("parent", Do::Truncate)]).await.unwrap();
        rig.commit().await;
        assert_eq!(rig.shown(inherited), "9\t2\t7");
        assert_eq!(rig.shown("select count(*) from only parent"), "0");
    }
}

#[tokio::test]
async fn a_row_that_would_have_to_go_and_come_back_takes_no_children_with_it() {
    for engine in ENGINES {
        let script = "create table t (id int primary key, n int generated always as identity, v text);
            create table kept (id int references t on delete cascade);
            do $$ declare name text; begin
              for name in select tgname from pg_trigger where tgrelid = 't'::regclass loop execute format('alter table t enable always trigger %I', name); end loop;
            end $$;
            insert into t (id, v) values (1, 'a'), (2, 'b'); insert into kept values (1), (2)";
        let mut rig = Rig::new(engine, script).await;
        let row = |v| vec![int(1), int(1), text(v)];
        rig.begin().await;
        let told = rig.single(vec![("t", Do::Set(row("new")))]).await;
        rig.applier.rollback().await.unwrap();
        rig.begin().await;
        let net = rig.net("t", vec![], vec![row("new")], vec![]).await;
        rig.applier.rollback().await.unwrap();
        for error in [told.map(drop), net.map(drop)] {
            let Err(Error::Table(fault)) = error else {
                panic!("{error:?}");
            };
            let message = fault.message;
            assert!(message.contains("SET GENERATED BY DEFAULT"), "{message}");
        }
        // What leaves the numbered column alone is an update.
        rig.begin().await;
        let partial = vec![int(1), Value::NotSent, text("new")];
        rig.single(vec![("t", Do::Set(partial))]).await.unwrap();
        rig.commit().await;
        assert_eq!(rig.shown("select count(*) from kept"), "2");
        assert_eq!(rig.shown("select v from t where id = 1"), "new");
        rig.pair
            .target
            .sql("alter table t alter n set generated by default")
            .unwrap();
    }
}
