//! What becomes of changes: every kind, with and without keys.

use whimbrel_connector::Error;

use crate::apply_support::{Applying, Cell, Change, Row, refusal, row};
use crate::support::{ENGINES, Pair};

/// More rows than are worth a statement each.
const MANY: i64 = 400;

const PLAIN: &str = "create table t (id int primary key, n varchar(40), x int)";

fn many(of: impl Fn(i64) -> Row) -> Vec<Row> {
    (1..=MANY).map(of).collect()
}

#[tokio::test]
async fn net_changes_of_few_and_of_many_rows_leave_the_same() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "net"), PLAIN).await;
        it.begin().await;
        it.net(vec![], vec![], many(|id| row![id, "old", id]))
            .await
            .unwrap();
        let deletes =
            |from: i64, to: i64| (from..to).map(|id| row![id, Cell::NOT_SENT, Cell::NOT_SENT]);
        // Half of the updates tell only one of the columns.
        let updates = |from: i64, to: i64| {
            (from..to).map(|id| match id % 3 {
                0 => row![id, "new", -id],
                1 => row![id, Cell::NOT_SENT, -id],
                _ => row![id, "new", Cell::NOT_SENT],
            })
        };
        let inserts = |from: i64, to: i64| (from..to).map(|id| row![id, Cell::NULL, 0]);
        let (few, lots) = (1..10, 10..190);
        for range in [few, lots] {
            let (a, b) = (range.start, range.end);
            let n = b - a;
            let applied = it
                .net(
                    deletes(a, b).chain([row![9999, "", 0]]).collect(),
                    updates(190 + a, 190 + b)
                        .chain([row![8888, "", 0]])
                        .collect(),
                    inserts(1000 + a, 1000 + b).collect(),
                )
                .await
                .unwrap();
            let n = n.unsigned_abs();
            assert_eq!(
                (applied.deleted, applied.updated, applied.inserted),
                (n, n, n),
                "{engine}"
            );
        }
        it.commit().await;
        assert_eq!(
            it.ask("select count(*), count(n), sum(id < 190), sum(id > 1000) from t"),
            "400,211,0,189"
        );
        let wrong = "select count(*) from t where id between 191 and 379
            and not (n <=> if(id % 3 = 1, 'old', 'new') and x <=> if(id % 3 = 2, id, -id))";
        assert_eq!(it.ask(wrong), "0", "{engine}");
        // Told again, all rows are found though none changes.
        it.begin().await;
        let applied = it
            .net(vec![], updates(191, 380).collect(), vec![])
            .await
            .unwrap();
        assert_eq!(applied.updated, 189);
        it.applier.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn single_changes_act_in_their_order() {
    for engine in ENGINES {
        let mut it = Applying::to_table(
            Pair::on(engine, "single"),
            "create table t (id int primary key, n varchar(9) unique, x int)",
        )
        .await;
        it.begin().await;
        let changes = vec![
            Change::Insert(row![1, "a", 1]),
            Change::Insert(row![2, "b", 2]),
            Change::Insert(row![3, "c", 3]),
            // Two values of a unique column change places over a third.
            Change::Update(None, row![1, "tmp", Cell::NOT_SENT]),
            Change::Update(None, row![2, "a", Cell::NOT_SENT]),
            Change::Update(None, row![1, "b", Cell::NOT_SENT]),
            // The key itself.
            Change::Update(
                Some(row![3, Cell::NOT_SENT, Cell::NOT_SENT]),
                row![4, "d", 4],
            ),
            Change::Update(
                Some(row![3, Cell::NOT_SENT, Cell::NOT_SENT]),
                row![5, "e", 5],
            ),
            Change::Update(None, row![4, Cell::NOT_SENT, Cell::NOT_SENT]),
            Change::Delete(row![9, Cell::NOT_SENT, Cell::NOT_SENT]),
            Change::Insert(row![9, Cell::NULL, Cell::NULL]),
            Change::Delete(row![9, "not looked at", 7]),
        ];
        let counts = it.single(changes).await.unwrap();
        assert_eq!(counts, [1, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1]);
        it.commit().await;
        assert_eq!(it.ask("select * from t order by id"), "1,b,1 2,a,2 4,d,4");
        it.begin().await;
        let counts = it
            .single(vec![Change::Truncate, Change::Insert(row![7, "g", 7])])
            .await
            .unwrap();
        assert_eq!(counts, [3, 1]);
        it.applier.rollback().await.unwrap();
        assert_eq!(
            it.ask("select count(*) from t"),
            "3",
            "emptying is part of the transaction"
        );
        assert_eq!(
            it.applier.apply_single(&[]).await.unwrap_err().to_string(),
            "changes were applied without an open transaction"
        );
    }
}

#[tokio::test]
async fn a_row_without_a_key_is_found_by_its_values_and_goes_once() {
    for engine in ENGINES {
        let setup =
            "create table t (a varchar(9) collate utf8mb4_general_ci, f float, d double, x int)";
        let mut it = Applying::to_table(Pair::on(engine, "keyless"), setup).await;
        let tenth = Cell::Plain(whimbrel_core::Value::Float32(0.1));
        let double = Cell::Plain(whimbrel_core::Value::Float64(0.1 + 0.2));
        let row = |a: Cell, x: Cell| vec![a, tenth.clone(), double.clone(), x];
        it.begin().await;
        let null = Cell::NULL;
        let inserts = [
            row("a".into(), 1.into()),
            row("a".into(), 1.into()),
            row("a".into(), 1.into()),
            row("A".into(), 1.into()),
            row("a ".into(), 1.into()),
            row(null.clone(), null.clone()),
            row(null.clone(), null.clone()),
        ];
        it.single(inserts.into_iter().map(Change::Insert).collect())
            .await
            .unwrap();
        let changes = vec![
            Change::Delete(row("a".into(), 1.into())),
            Change::Delete(row(null.clone(), null.clone())),
            Change::Update(Some(row("A".into(), 1.into())), row("B".into(), 2.into())),
            Change::Update(
                Some(row("a ".into(), 1.into())),
                row(Cell::NOT_SENT, null.clone()),
            ),
            Change::Update(Some(row("a".into(), 1.into())), row("c".into(), 1.into())),
            Change::Update(Some(row("x".into(), 1.into())), row("c".into(), 1.into())),
            Change::Delete(row(null.clone(), 1.into())),
        ];
        assert_eq!(it.single(changes).await.unwrap(), [1, 1, 1, 1, 1, 0, 0]);
        it.commit().await;
        let rest = it.ask(
            "select concat('[', coalesce(a, '-'), ']'), x from t order by a is null, binary a",
        );
        assert_eq!(rest, "[B],2 [a],1 [a ],NULL [c],1 [-],NULL", "{engine}");
        // Rows that come need no key, whatever their number; rows to be found do.
        it.begin().await;
        for count in [1, 200] {
            let inserts = vec![row("a".into(), 1.into()); count];
            let applied = it.net(vec![], vec![], inserts).await.unwrap();
            assert_eq!(applied.inserted, count as u64);
        }
        let deletes = vec![row("a".into(), 1.into())];
        let error = it.net(deletes, vec![], vec![]).await.unwrap_err();
        assert!(matches!(error, Error::Table(_)), "{error}");
        let error = it
            .single(vec![Change::Update(None, row("a".into(), 1.into()))])
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no key"), "{error}");
    }
}

#[tokio::test]
async fn what_violates_a_constraint_is_refused_and_the_transaction_goes_on() {
    for engine in ENGINES {
        let setup = "create table t (id int primary key, u int unique, c varchar(3) not null)";
        let mut it = Applying::to_table(Pair::on(engine, "refused"), setup).await;
        it.pair
            .target
            .sql("alter table t add unique key u (u), add constraint positive check (u > 0)")
            .unwrap();
        it.begin().await;
        it.net(vec![], vec![], many(|id| row![id, id, "x"]))
            .await
            .unwrap();

        // Values change places, which works in no order of single rows.
        let swap = |count: i64| {
            (1..=count).map(|id| {
                row![
                    id,
                    if id % 2 == 0 { id - 1 } else { id + 1 },
                    Cell::NOT_SENT
                ]
            })
        };
        for count in [4, 300] {
            let error = it
                .net(vec![row![400, 0, ""]], swap(count).collect(), vec![])
                .await
                .unwrap_err();
            assert!(refusal(error).reason.contains("same key u"));
        }
        it.net(vec![row![400, 0, ""]], vec![row![1, 1000, "y"]], vec![])
            .await
            .unwrap();
        it.commit().await;
        assert_eq!(
            it.ask("select count(*), sum(id = u), sum(c = 'y') from t"),
            "399,398,1",
            "{engine}"
        );
    }
}

#[tokio::test]
async fn a_refused_row_is_told_by_key_and_column() {
    for engine in ENGINES {
        let setup = "create table t (id int primary key, u int unique, c varchar(3) not null)";
        let mut it = Applying::to_table(Pair::on(engine, "refusal"), setup).await;
        it.pair
            .target
            .sql("alter table t add unique key u (u), add constraint positive check (u > 0)")
            .unwrap();
        it.begin().await;
        let rows = many(|id| row![id, id, "x"]);
        it.net(vec![], vec![], rows).await.unwrap();
        let lots = |bad: Row| -> Vec<Row> {
            let rows = (500..700).map(|id| row![id, id, "x"]);
            rows.chain([bad]).collect()
        };
        let gone = || vec![row![1, 0, ""]];
        // Updates, inserts, and what is told of the refused row.
        let cases = [
            (vec![], vec![row![2, 900, "x"]], "(2)", None),
            (vec![], lots(row![2, 900, "x"]), "(2)", None),
            (vec![], lots(row![800, 900, "long"]), "(800)", Some("c")),
            (vec![row![7, 900, "long"]], vec![], "(7)", Some("c")),
            (vec![row![7, -1, "x"]], vec![], "(7)", None),
            (vec![], vec![row![900, 900, Cell::NULL]], "(900)", Some("c")),
            (vec![], lots(row![9, 9, Cell::NOT_SENT]), "(9)", Some("c")),
        ];
        for (updates, inserts, key, column) in cases {
            let found = refusal(it.net(gone(), updates, inserts).await.unwrap_err());
            assert_eq!(found.key.as_deref(), Some(key), "{engine}: {found}");
            assert_eq!(found.column.as_deref(), column, "{engine}: {found}");
            assert!(!found.reason.contains("error "), "{engine}: {found}");
        }
        let changes = vec![
            Change::Insert(row![900, 900, "x"]),
            Change::Update(None, row![8, 9, Cell::NOT_SENT]),
        ];
        let found = refusal(it.single(changes).await.unwrap_err());
        assert_eq!(found.key.as_deref(), Some("(8)"), "{found}");
        it.commit().await;
        assert_eq!(it.ask("select count(*), sum(id = u) from t"), "400,400");
    }
}

#[tokio::test]
async fn numbers_generated_columns_and_cycles_of_foreign_keys_are_as_the_source_says() {
    for engine in ENGINES {
        let setup = "create table t (id bigint auto_increment primary key, p bigint, x int, g int as (x + 1) stored)";
        let mut it = Applying::to_table(Pair::on(engine, "cycle"), setup).await;
        it.pair
            .target
            .sql("drop table t;
                  create table t (id bigint auto_increment primary key, p bigint, at timestamp not null default '2000-01-01' on update current_timestamp, x int, g int as (x + 1) stored, foreign key (p) references t (id) on delete cascade on update cascade);
                  insert into t (id, p, x) values (90, null, 0), (91, 90, 0)")
            .unwrap();
        it.begin().await;
        // 0 is no wish for the next number; rows refer to later rows, and to none.
        it.net(
            vec![],
            vec![],
            vec![row![0, 1, 1], row![1, 2, 2], row![2, 0, 0]],
        )
        .await
        .unwrap();
        it.net(
            vec![],
            vec![],
            (100..400).map(|id| row![id, id + 1, 0]).collect(),
        )
        .await
        .unwrap();
        assert_eq!(
            it.single(vec![Change::Insert(row![3, 77, 77])])
                .await
                .unwrap(),
            [1]
        );
        it.net(
            vec![row![90, Cell::NOT_SENT, Cell::NOT_SENT]],
            vec![],
            vec![],
        )
        .await
        .unwrap();
        it.commit().await;
        assert_eq!(
            it.ask("select id, p, g from t where id < 100 order by id"),
            "0,1,2 1,2,3 2,0,1 3,77,78 91,90,1",
            "{engine}"
        );
        assert_eq!(it.ask("select count(*) from t"), "305");
    }
}

#[tokio::test]
async fn columns_that_the_server_sets_by_itself_stay_as_they_were_sent() {
    for engine in ENGINES {
        let setup = "create table t (id int primary key, n int, at timestamp null)";
        let mut it = Applying::to_table(Pair::on(engine, "on_update"), setup).await;
        it.pair
            .target
            .sql("alter table t modify at timestamp null on update current_timestamp")
            .unwrap();
        it.begin().await;
        it.net(vec![], vec![], many(|id| row![id, id, Cell::NULL]))
            .await
            .unwrap();
        it.net(vec![], many(|id| row![id, -id, Cell::NOT_SENT]), vec![])
            .await
            .unwrap();
        it.net(vec![], vec![row![1, 7, Cell::NOT_SENT]], vec![])
            .await
            .unwrap();
        it.single(vec![Change::Update(None, row![2, 7, Cell::NOT_SENT])])
            .await
            .unwrap();
        it.commit().await;
        assert_eq!(
            it.ask("select count(*), sum(n = 7), count(at) from t"),
            "400,2,0",
            "{engine}"
        );
    }
}

#[tokio::test]
async fn tables_that_cannot_be_applied_to_say_what_to_do() {
    for engine in ENGINES {
        let mut it = Applying::to_table(Pair::on(engine, "engine"), PLAIN).await;
        it.pair.target.sql("alter table t engine = myisam").unwrap();
        it.begin().await;
        let error = it
            .net(vec![], vec![], vec![row![1, "a", 1]])
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Table(_)) && error.to_string().contains("ENGINE = InnoDB"),
            "{error}"
        );
        it.pair.target.sql("drop table t").unwrap();
        let error = it
            .single(vec![Change::Insert(row![1, "a", 1])])
            .await
            .unwrap_err();
        assert!(matches!(&error, Error::Table(_)), "{error}");
        // A table altered meanwhile is looked at anew.
        it.pair
            .target
            .sql("create table t (x bigint, n text, id bigint primary key, more int default 5)")
            .unwrap();
        it.single(vec![Change::Insert(row![1, "a", 1])])
            .await
            .unwrap();
        it.commit().await;
        assert_eq!(it.ask("select * from t"), "1,a,1,5");
    }
}
