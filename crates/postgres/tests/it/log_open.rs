//! Transactions that are sent while they run tell the same as those that are sent whole at their commit.

use whimbrel_connector::{Error, LogEvent};

use crate::log_open_support::{
    Both, GATE, TABLE, WAITING, changes, gated, go_on, open, pieces, rows, told_rows,
};
use crate::support::ENGINES;

#[tokio::test]
async fn what_is_rolled_back_to_savepoints_is_left_out_of_a_transaction_that_is_sent_in_pieces() {
    for engine in ENGINES {
        let mut both = Both::of(engine, TABLE).await;
        let some = |from| rows(from, 2000);
        both.open
            .database
            .sql(&format!(
                "begin; {} savepoint a; {} savepoint b; {} rollback to b; {} rollback to a; {}
                 savepoint c; {} release c; savepoint d; {} update t set a = 1 where id < 500; rollback to d;
                 update t set a = 2 where id <= 3; delete from t where id = 4; commit;
                 begin; {} savepoint e; {} rollback;
                 begin; insert into t values (1, 1, 'the key of a row that was rolled back') on conflict do nothing;
                 insert into t values (30000, 1, 'last'); commit",
                some(1), some(3001), some(6001), some(9001), some(12001), some(15001), some(18001), some(21001), some(24001)
            ))
            .unwrap();
        let told = both.same().await;
        assert_eq!(told.len(), 2);
        let survivors = [1, 12001, 15001].map(|from| told_rows(from, 2000)).concat();
        assert!(told[0][..6000] == survivors, "other rows or another order");
        assert_eq!(told[0].len(), 6000 + 4);
        assert_eq!(told[0][6003], "delete t (4, ?, ?)");
        assert_eq!(told[1], ["insert t (30000, 1, last)"]);
        pieces(&both.open, 11).await;
    }
}

#[tokio::test]
async fn transactions_whose_pieces_alternate_are_told_in_the_order_of_their_commits() {
    for engine in ENGINES {
        let mut both = Both::of(engine, &format!("{TABLE} {GATE}")).await;
        let session = |from: u32, end: &str| {
            let (kept, gone) = (rows(from, 2000), rows(from + 2000, 2000));
            let first = format!("begin; {kept} savepoint s; {gone} rollback to s;");
            let then = format!("{} {end};", rows(from + 4000, 3000));
            gated(&both.open.database, &first, &then)
        };
        let sessions = vec![
            session(100_000, "commit"),
            session(200_000, "commit"),
            session(300_000, "rollback"),
        ];
        both.open.eventually(WAITING, |answer| answer == "3").await;
        let mut reader = both.open.open().await;
        let small = "insert into t values (1, 1, 'small')";
        both.open.database.sql(small).unwrap();
        let first = reader.transactions(1).await.unwrap();
        assert_eq!(first[0].changes, ["insert t (1, 1, small)"]);
        // All three have sent something.
        pieces(&both.open, 3).await;
        go_on(&both.open.database, sessions);
        let end = both.open.log.end().await.unwrap();
        let rest = reader.until(&end).await.unwrap();
        drop(reader);
        let large = rest.iter().find(|told| !told.changes.is_empty());
        let behind_first = large.unwrap().position.clone();
        let told = both.same().await;
        let rest = changes(rest);
        assert!(told[1..] == rest, "another reader is told something else");
        assert_eq!(rest.len(), 2);
        let mut expected = [100_000, 200_000]
            .map(|from| [told_rows(from, 2000), told_rows(from + 4000, 3000)].concat());
        if rest[0][0] != expected[0][0] {
            expected.reverse();
        }
        assert!(rest == expected, "other rows or another order");
        // From a place between the two commits on, with the pieces of both before it.
        let mut reader = both.open.open_at(&behind_first).await.unwrap();
        let second = changes(reader.until(&end).await.unwrap());
        assert!(second == expected[1..], "not the second alone");
    }
}

#[tokio::test]
async fn definitions_values_not_sent_and_truncation_keep_their_place_in_a_transaction_sent_in_pieces()
 {
    for engine in ENGINES {
        let script = format!(
            "{TABLE} create table u (id int primary key, long text); alter table u alter long set storage external;
             insert into u select i, repeat('y', 5000) from generate_series(1, 50) i; create table v (id int primary key)"
        );
        let mut both = Both::of(engine, &script).await;
        let rows = "insert into t (id, a) select (select coalesce(max(id), 0) from t) + i, 7 from generate_series(1, 3000) i;";
        both.open
            .database
            .sql(&format!(
                "begin; {rows} alter table t add c int default 5; {rows} update u set id = -id; update u set long = 'short' where id = -3;
                 alter table t rename a to z; insert into t (id, z) select -i, 8 from generate_series(1, 3000) i;
                 create table w (id int primary key); insert into w values (1); drop table v;
                 truncate u, t; insert into t (id, z) select i, 9 from generate_series(1, 3000) i;
                 alter table t drop b; insert into t (id, z) select -i, 9 from generate_series(1, 3000) i; commit;
                 insert into t values (100000, 1, 2)"
            ))
            .unwrap();
        let told = both.same().await;
        assert_eq!(told.len(), 2);
        let place = |what: &str| {
            let found = told[0].iter().position(|change| change.starts_with(what));
            found.unwrap_or_else(|| panic!("{what} is not told"))
        };
        let order = [
            "insert t (1, 7, null)",
            "table t (id bigint, a integer, b text, c integer)",
            "insert t (3001, 7, null, 5)",
            "update u (1, ?) → (-1, ?)",
            "table t (id bigint, z integer, b text, c integer)",
            "insert t (-1, 8, null, 5)",
            "create public.w",
            "drop v",
            "truncate u",
            "insert t (1, 9, null, 5)",
            "table t (id bigint, z integer, c integer)",
            "insert t (-1, 9, 5)",
        ];
        let places = order.map(place);
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(told[1], ["insert t (100000, 1, 2)"]);
        pieces(&both.open, 11).await;
    }
}

/// The pieces do not say whether a message was rolled back with a sub-transaction: the log is read again, whole transactions only.
#[tokio::test]
async fn a_definition_that_is_rolled_back_to_a_savepoint_is_told_by_whole_transactions() {
    for engine in ENGINES {
        let script = format!("{TABLE} {GATE}");
        let mut both = Both::of(engine, &script).await;
        let some = |at: u32| rows(at, 3000).replace("into t", "into t (id, a, b)");
        let session = gated(
            &both.open.database,
            &format!(
                "begin; {} savepoint s; alter table t add c int default 5; {}",
                some(1),
                some(5001)
            ),
            &format!("rollback to s; {} commit;", some(10_001)),
        );
        let mut reader = both.open.open().await;
        both.open.eventually(WAITING, |answer| answer == "1").await;
        // The definition has been sent.
        pieces(&both.open, 5).await;
        go_on(&both.open.database, vec![session]);
        let end = both.open.log.end().await.unwrap();
        let error = reader.until(&end).await.unwrap_err();
        assert!(
            matches!(&error, Error::Transient(text) if text.contains("asked for whole transactions")),
            "{error}"
        );
        assert!(both.open.log.wants_another_form());
        let told = both.same().await;
        let survivors = [1, 10_001].map(|from| told_rows(from, 3000)).concat();
        assert!(told == [survivors], "other rows, or another column");
    }
}

#[tokio::test]
async fn a_reader_that_is_replaced_in_the_middle_of_a_transaction_is_sent_all_of_it_again() {
    for engine in ENGINES {
        let mut both = Both::of(engine, &format!("{TABLE} {GATE}")).await;
        let session = gated(
            &both.open.database,
            &format!("begin; {}", rows(1, 3000)),
            &format!("{} commit;", rows(3001, 3000)),
        );
        both.open.eventually(WAITING, |answer| answer == "1").await;
        for round in 1..3 {
            let mut reader = both.open.open().await;
            // A transaction that is over meanwhile is told, and may be confirmed: what is open commits behind it.
            let small = "insert into t values (-1, 0, 'y'); delete from t where id = -1";
            both.open.database.sql(small).unwrap();
            pieces(&both.open, round).await;
            let told = reader.transactions(1).await.unwrap();
            assert_eq!(told[0].changes.len(), 1);
            reader.stream.confirm(&told[0].position);
            both.open.start = told[0].position.clone();
        }
        let mut reader = both.open.open().await;
        go_on(&both.open.database, vec![session]);
        // One that goes away when it was handed a part of the transaction.
        let mut count = 0;
        while count < 1000 {
            let block = reader.block().await.unwrap();
            let inserts = block.events.iter();
            count += inserts
                .filter(|event| matches!(event, LogEvent::Insert { .. }))
                .count();
            assert!(
                !block
                    .events
                    .iter()
                    .any(|event| { matches!(event, LogEvent::Commit { .. }) && count >= 1000 })
            );
        }
        drop(reader);
        let end = both.open.log.end().await.unwrap();
        let mut reader = both.open.open().await;
        let told = changes(reader.until(&end).await.unwrap());
        let large: Vec<_> = told.into_iter().filter(|told| told.len() > 1).collect();
        assert!(large == [told_rows(1, 6000)], "not all of it, once");
    }
}

/// The server has put much of the sub-transaction on its own disk when the stream begins.
#[tokio::test]
async fn a_sub_transaction_that_began_before_the_stream_and_is_rolled_back_is_left_out() {
    for engine in ENGINES {
        let mut log = open(engine, &format!("{TABLE} {GATE}"), |_| ()).await;
        let session = gated(
            &log.database,
            &format!(
                "begin; insert into t values (1, 1, 'kept'); savepoint s; {}",
                rows(100, 20_000)
            ),
            &format!(
                "{} rollback to s; insert into t values (2, 2, 'kept'); {} commit;",
                rows(50_000, 20_000),
                rows(100_000, 20_000)
            ),
        );
        log.eventually(WAITING, |answer| answer == "1").await;
        let from = log.log.end().await.unwrap();
        go_on(&log.database, vec![session]);
        let end = log.log.end().await.unwrap();
        let mut reader = log.open_at(&from).await.unwrap();
        let told = changes(reader.until(&end).await.unwrap()).concat();
        assert_eq!(
            told[..2],
            ["insert t (1, 1, kept)", "insert t (2, 2, kept)"]
        );
        assert!(told[2..] == told_rows(100_000, 20_000), "other rows");
    }
}
