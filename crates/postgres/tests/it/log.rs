//! What the log tells of changes: rows, keys, transactions.

use crate::log_support::Captured;
use crate::support::ENGINES;

#[tokio::test]
async fn inserts_updates_and_deletes_are_told_in_order() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, "create table t (id int primary key, name text)").await;
        let told = log
            .told(
                "insert into t values (1, 'one'), (2, null);
                 update t set name = 'eins' where id = 1;
                 update t set id = 3 where id = 2;
                 delete from t where id = 1;",
            )
            .await;
        assert_eq!(
            told,
            [
                "insert t (1, one)",
                "insert t (2, null)",
                "update t (1, eins)",
                "update t (2, ?) → (3, null)",
                "delete t (1, ?)",
            ]
        );
    }
}
