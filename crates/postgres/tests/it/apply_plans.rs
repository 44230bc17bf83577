//! How the rows of a batch are found in the target's tables.

use std::time::{Duration, Instant};

use whimbrel_core::Value;

use crate::changes::{Rig, Row, int};
use crate::support::ENGINES;

const COUNT: i64 = 1200;

/// A server that believes a table to be empty, because what filled it was rolled back, or is not committed.
const BELIEVED_EMPTY: &str = "begin; insert into t select i % 3, i, 0, null from generate_series(1, 3000) i; rollback; vacuum (truncate off) t";

fn row(id: i64, v: Value<'static>) -> Row {
    vec![int(id % 3), int(id), v, int(7)]
}

/// How many rows the server has looked up by an index so far, as soon as it tells so many.
async fn looked_up(rig: &Rig, wanted: i64) {
    let begun = Instant::now();
    let count = || -> i64 {
        rig.shown("select sum(idx_scan) from pg_stat_user_indexes where relname = 't'")
            .parse()
            .unwrap()
    };
    while count() < wanted {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{} of {wanted}",
            count()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One that looks through the whole table for each row, or through all rows for each of the table, takes the square of the time.
#[tokio::test]
async fn rows_are_looked_up_by_their_key_whatever_the_server_believes_of_the_table() {
    let tables = [
        "create table t (part int, id int primary key, v int, w int)",
        "create table t (part int, id int, v int, w int, primary key (part, id)); create index on t (v)",
    ];
    for (engine, table) in ENGINES
        .iter()
        .flat_map(|engine| tables.map(|table| (*engine, table)))
    {
        let script = format!("{table}; alter table t set (autovacuum_enabled = off)");
        let mut rig = Rig::new(engine, &script).await;
        rig.pair.target.sql(BELIEVED_EMPTY).unwrap();
        let believed = "select relpages > 0 and reltuples = 0 from pg_class where relname = 't'";
        assert_eq!(rig.shown(believed), "t");
        let rows = |v: Value<'static>| (1..=COUNT).map(|id| row(id, v)).collect();
        rig.begin().await;
        rig.net("t", vec![], vec![], rows(int(0))).await.unwrap();
        rig.net("t", vec![], rows(int(1)), vec![]).await.unwrap();
        rig.net("t", vec![], rows(Value::NotSent), vec![])
            .await
            .unwrap();
        rig.net("t", rows(int(1)), vec![], vec![]).await.unwrap();
        rig.commit().await;
        looked_up(&rig, 3 * COUNT).await;
        assert_eq!(rig.shown("select count(*) from t"), "0");
    }
}
