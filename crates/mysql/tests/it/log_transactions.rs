//! Transactions of every kind, as the log tells them.

use whimbrel_connector::{Error, TransactionMark};
use whimbrel_testkit::{Engine, Server, TestDatabase};

use crate::log_support::{Seen, Tap, inserted, outline, updated};
use crate::support::ENGINES;

fn database(engine: Engine, hint: &str) -> TestDatabase {
    Server::get(engine).unwrap().database(hint).unwrap()
}

#[tokio::test]
async fn inserts_updates_and_deletes_come_as_whole_transactions() {
    for engine in ENGINES {
        let database = database(engine, "log_basic");
        database.sql("create table t (id int primary key, v varchar(20)); create table u (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql("begin; insert into t values (1, 'a'), (2, 'b'); insert into u values (7); update t set v = 'c' where id = 2; commit;
                  delete from t where id = 1; update t set id = 5")
            .unwrap();
        let seen = tap.seen(&start).await;
        assert_eq!(outline(&seen), "(+++~)(-)(~)", "{engine}");
        assert_eq!(
            inserted(&seen, "t"),
            [r#"[Int(1), Text("a")]"#, r#"[Int(2), Text("b")]"#]
        );
        let Seen::Update(_, before, after) = &seen[seen.len() - 2] else {
            panic!("{seen:?}")
        };
        assert_eq!(before.as_deref(), Some(r#"[Int(2), Text("c")]"#));
        assert_eq!(after, r#"[Int(5), Text("c")]"#);
    }
}

#[tokio::test]
async fn what_was_rolled_back_never_appears() {
    for engine in ENGINES {
        let database = database(engine, "log_rollback");
        database
            .sql("create table t (id int primary key, v longtext); create table m (id int primary key) engine = myisam;
                  create table n (i int primary key)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        // A table that cannot be rolled back, and temporary tables, make servers write groups that end in ROLLBACK or hold
        // ROLLBACK TO. MySQL with transaction ids refuses such a table within a transaction.
        let other = match engine {
            Engine::Mariadb1011 | Engine::Mariadb118 => "insert into m values (NUMBER)",
            _ => "do 0",
        };
        let other = |number: u32| other.replace("NUMBER", &number.to_string());
        let (one, two, three) = (other(1), other(2), other(3));
        let (make, drop) = match engine {
            Engine::Mariadb1011 | Engine::Mariadb118 => {
                ("create temporary table y (i int)", "drop temporary table y")
            }
            _ => ("do 0", "do 0"),
        };
        database
            .sql(&format!("begin; insert into t values (1, 'x'); rollback;
                  begin; insert into t values (2, 'x'); savepoint a; insert into t values (3, 'x'); rollback to a; insert into t values (4, 'x'); commit;
                  begin; insert into t values (5, 'x'); {one}; rollback;
                  begin; insert into t values (6, 'x'); savepoint b; insert into t values (7, 'x'); {make}; {two}; rollback to b; insert into t values (8, 'x'); commit;
                  begin; insert into t values (9, 'x'); {drop}; {three}; rollback;
                  insert into n values (1); insert into m values (4)"))
            .unwrap();
        let seen = tap.seen(&start).await;
        let ids: Vec<String> = inserted(&seen, "t")
            .iter()
            .map(|row| row[1..7].to_owned())
            .collect();
        assert_eq!(ids, ["Int(2)", "Int(4)", "Int(6)", "Int(8)"], "{engine}");
        let kept: &[&str] = match engine {
            Engine::Mariadb1011 | Engine::Mariadb118 => {
                &["[Int(1)]", "[Int(2)]", "[Int(3)]", "[Int(4)]"]
            }
            _ => &["[Int(4)]"],
        };
        assert_eq!(inserted(&seen, "m"), kept, "{engine}");
        assert_eq!(inserted(&seen, "n").len(), 1);
    }
}

#[tokio::test]
async fn a_long_transaction_that_ends_in_rollback_is_read_again_without_its_rows() {
    for engine in ENGINES {
        let database = database(engine, "log_long_rollback");
        database
            .sql("create table t (id int auto_increment primary key, v longtext); create table k (i int primary key)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let fill = "insert into t (v) values (repeat('x', 100000));".repeat(12);
        database
            .sql(&format!("begin; create temporary table y (i int); {fill} savepoint a; {fill} create temporary table z (i int); rollback to a; {fill} commit;
                  begin; {fill} drop temporary table y, z; rollback; insert into k values (1)"))
            .unwrap();
        let seen = tap.seen(&start).await;
        assert_eq!(inserted(&seen, "t").len(), 24, "{engine}");
        let loaded = tap.loaded("t").await;
        assert_eq!(inserted(&seen, "t"), loaded);
        assert_eq!(inserted(&seen, "k").len(), 1);
    }
}

#[tokio::test]
async fn transactions_in_two_phases_come_when_they_are_committed() {
    for engine in ENGINES {
        let database = database(engine, "log_xa");
        database
            .sql("create table t (id int primary key, v int)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let x = database.name().to_owned();
        database
            .sql(&format!("xa start '{x}a'; insert into t values (1, 1), (2, 2); update t set v = 3 where id = 1; xa end '{x}a'; xa prepare '{x}a'"))
            .unwrap();
        database.sql("insert into t values (10, 10)").unwrap();
        let middle = tap.log.end().await.unwrap();
        database.sql(&format!("xa commit '{x}a'")).unwrap();
        database
            .sql(&format!("xa start '{x}b'; insert into t values (3, 3); xa end '{x}b'; xa prepare '{x}b'; xa rollback '{x}b';
                           xa start '{x}c'; insert into t values (4, 4); xa end '{x}c'; xa commit '{x}c' one phase;
                           insert into t values (5, 5)"))
            .unwrap();
        let seen = tap.seen(&start).await;
        assert_eq!(outline(&seen), "(+)(++~)(+)(+)", "{engine}");
        assert_eq!(inserted(&seen, "t")[1], "[Int(1), Int(1)]");
        // Begun between the phases, the stream finds the rows by itself.
        let seen = tap.seen(&middle).await;
        assert_eq!(outline(&seen), "(++~)(+)(+)", "{engine}");
    }
}

#[tokio::test]
async fn truncations_and_definitions_come_in_their_place() {
    for engine in ENGINES {
        let database = database(engine, "log_ddl");
        database.sql("create table t (id int primary key, v int); create table other (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        tap.tables.retain(|table| table.name.name == "t");
        let start = tap.start().await;
        let end = tap.log.end().await.unwrap();
        let mut stream = tap.open(&start).await;
        let mut seen = Vec::new();
        let mut run = async |tap: &mut Tap, sql: &str| {
            database.sql(sql).unwrap();
            let end = tap.log.end().await.unwrap();
            seen.clear();
            tap.read_to(&mut *stream, &end, &mut seen).await.unwrap();
            seen.clone()
        };
        let _ = end;
        let seen = run(
            &mut tap,
            "insert into t values (1, 2); truncate table t; insert into t values (3, 4)",
        )
        .await;
        assert_eq!(outline(&seen), "(+)(0)(+)", "{engine}");
        let seen = run(
            &mut tap,
            "alter table t add column w varchar(9) default 'd' first",
        )
        .await;
        assert_eq!(outline(&seen), "(t)", "{engine}");
        let seen = run(
            &mut tap,
            "insert into t values ('x', 5, 6); update t set v = 7 where id = 3",
        )
        .await;
        assert_eq!(inserted(&seen, "t"), [r#"[Text("x"), Int(5), Int(6)]"#]);
        assert_eq!(updated(&seen, "t"), [r#"[Text("d"), Int(3), Int(7)]"#]);
        let seen = run(
            &mut tap,
            "alter table other add column x int; drop table other; create table more (i int)",
        )
        .await;
        let created = |name: &str| Seen::Ddl(name.to_owned(), "created".to_owned());
        assert!(
            outline(&seen) == "(D)" && seen[1] == created("more"),
            "{engine} {seen:?}"
        );
        let seen = run(&mut tap, "rename table t to t2, t2 to t").await;
        assert_eq!(outline(&seen), "(DD)", "{engine}");
        assert_eq!(
            seen[1..3],
            ["t2", "t"].map(|to| Seen::Ddl("t".to_owned(), to.to_owned()))
        );
        let seen = run(&mut tap, "drop table t; create table t (id int primary key, z date); insert into t values (1, '2020-01-01')").await;
        assert_eq!(outline(&seen), "(D)(D)(R)", "{engine}");
        let Seen::Rewritten(table, why) = &seen[7] else {
            panic!("{seen:?}")
        };
        assert!(table == "t" && why.contains("columns"), "{why}");
        let seen = run(
            &mut tap,
            &format!("drop database {0}; create database {0}", database.name()),
        )
        .await;
        assert_eq!(outline(&seen), "(D)", "{engine}");
    }
}

#[tokio::test]
async fn a_table_altered_more_often_than_the_stream_has_seen_is_to_be_loaded_again() {
    for engine in ENGINES {
        let database = database(engine, "log_stale");
        database
            .sql("create table t (id int primary key, v int)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql("alter table t add column w int; insert into t values (1, 2, 3); alter table t modify column w varchar(10)")
            .unwrap();
        let seen = tap.seen(&start).await;
        // The first statement finds the second ahead of it; the second is the last.
        assert_eq!(outline(&seen), "(R)(R)(t)", "{engine} {seen:?}");
        let Seen::Rewritten(table, why) = &seen[1] else {
            panic!("{seen:?}")
        };
        assert!(table == "t" && why.contains("altered again"), "{why}");
    }
}

/// By their types alone the columns could be taken for each other.
#[tokio::test]
async fn rows_from_before_columns_changed_places_are_never_read_with_the_new_ones() {
    for engine in ENGINES {
        let database = database(engine, "log_swapped");
        database
            .sql("create table t (id int primary key, a int, b int)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql("insert into t values (1, 2, 3); alter table t modify column a int after b; insert into t values (4, 6, 5)")
            .unwrap();
        // The stream is opened with the tables of its place, and the statement is the last in the log.
        let seen = tap.seen(&start).await;
        assert_eq!(outline(&seen), "(+)(t)(+)", "{engine} {seen:?}");
        assert_eq!(
            inserted(&seen, "t"),
            ["[Int(1), Int(2), Int(3)]", "[Int(4), Int(6), Int(5)]"]
        );
        database
            .sql("alter table t modify column a int after id")
            .unwrap();
        let seen = tap.seen(&start).await;
        assert_eq!(outline(&seen).matches('R').count(), 1, "{engine} {seen:?}");
        assert!(
            matches!(&seen[4], Seen::Rewritten(_, why) if why.contains("altered again")),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn a_transaction_of_many_rows_comes_in_bounded_blocks() {
    for engine in ENGINES {
        let database = database(engine, "log_big");
        database
            .sql("create table t (id int primary key, v varchar(100))")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let insert = match engine {
            Engine::Mariadb1011 | Engine::Mariadb118 => {
                "insert into t select seq, repeat('x', 50) from seq_1_to_200000"
            }
            _ => {
                "set cte_max_recursion_depth = 1000000; insert into t with recursive n (i) as (select 1 union all select i + 1 from n where i < 200000) select i, repeat('x', 50) from n"
            }
        };
        for compressed in [false, true] {
            let set = match (compressed, engine) {
                (true, Engine::Mysql97) => "set binlog_transaction_compression = on; ",
                _ => "",
            };
            database
                .sql(&format!("{set}delete from t; {insert}"))
                .unwrap();
        }
        let end = tap.log.end().await.unwrap();
        let mut stream = tap.open(&start).await;
        let (mut rows, mut commits, mut blocks) = (0, 0, 0);
        let mut is_empty = true;
        loop {
            let block = stream.next().await.unwrap();
            assert!(
                block.rows.byte_count() < 800_000,
                "{engine} {}",
                block.rows.byte_count()
            );
            blocks += 1;
            let mut is_end = false;
            for event in &block.events {
                match event {
                    whimbrel_connector::LogEvent::Insert { after, .. } => {
                        rows += 1;
                        is_empty = false;
                        block.rows.decode(*after, &mut |_| Ok(())).unwrap();
                    }
                    whimbrel_connector::LogEvent::Begin { .. } => is_empty = true,
                    whimbrel_connector::LogEvent::Delete { .. } => is_empty = false,
                    whimbrel_connector::LogEvent::Commit { place, .. } => {
                        commits += i32::from(!is_empty);
                        is_end = stream.has_reached(&**place, &end);
                    }
                    whimbrel_connector::LogEvent::Idle { place, .. } => {
                        is_end = stream.has_reached(&**place, &end);
                    }
                    _ => {}
                }
            }
            if is_end {
                break;
            }
        }
        assert!(blocks > 10);
        assert_eq!((rows, commits), (400_000, 3), "{engine}");
    }
}

#[tokio::test]
async fn statements_that_change_rows_as_text_are_never_passed_over() {
    for engine in ENGINES {
        // A server of its own, because such a statement ends every stream that meets it.
        let server = Server::private(engine).unwrap();
        let database = server.database("log_statement").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql("set binlog_format = 'STATEMENT'; insert into t values (1)")
            .unwrap();
        let error = tap.try_seen(&start).await.unwrap_err();
        assert!(
            matches!(error, Error::Fatal(_)) && error.to_string().contains("binlog_format = ROW"),
            "{error}"
        );
        database
            .sql("set global binlog_format = 'STATEMENT'")
            .unwrap();
        let error = tap.log.prepare(&tap.tables).await.unwrap_err();
        assert!(
            error.to_string().contains("binlog_format = 'ROW'"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn marks_grow_with_the_log() {
    for engine in ENGINES {
        let database = database(engine, "log_marks");
        database.sql("create table t (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database.sql("insert into t values (1); insert into t values (2); flush binary logs; insert into t values (3)").unwrap();
        let seen = tap.seen(&start).await;
        let marks: Vec<TransactionMark> = seen
            .iter()
            .filter_map(|seen| match seen {
                Seen::Begin(mark) => Some(*mark),
                _ => None,
            })
            .collect();
        assert_eq!(marks.len(), 3);
        assert!(marks.is_sorted_by_key(|mark| (mark.0, mark.1)), "{marks:?}");
        assert!(marks[2].0 > marks[1].0);
    }
}
