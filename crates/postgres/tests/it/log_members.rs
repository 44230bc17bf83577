//! What somebody does to the publication of a task, found by what the catalog has of it.

use whimbrel_core::Position;

use crate::log_support::{Captured, tables};
use crate::support::ENGINES;

async fn view(log: &Captured) -> Position {
    let mut source = log.connector.source().await.unwrap();
    let snapshot = source.snapshot(1).await.unwrap();
    snapshot.position().clone()
}

/// Whether changes of the first table may be missing since a view.
async fn has_gap(log: &mut Captured, view: &Position) -> bool {
    let loaded = [(log.tables[0].clone(), Some(view.clone()))];
    !log.log.gaps(&loaded).await.unwrap().is_empty()
}

fn alter(log: &Captured, kinds: &str) {
    let name = log.database.sql("select pubname from pg_publication");
    let name = name.unwrap().trim().to_owned();
    let sql = format!("alter publication {name} set (publish = '{kinds}')");
    log.database.sql(&sql).unwrap();
}

#[tokio::test]
async fn a_publication_that_is_right_again_hides_nothing_from_tables_that_were_loaded_before() {
    for engine in ENGINES {
        let mut log = Captured::of(engine, "create table t (id int primary key)").await;
        let loaded = view(&log).await;
        assert!(!has_gap(&mut log, &loaded).await);
        log.database
            .sql("create table u (id int primary key)")
            .unwrap();
        let all = tables(&*log.connector).await;
        log.log.prepare(&all).await.unwrap();
        assert!(
            !has_gap(&mut log, &loaded).await,
            "a table that joins alters nothing"
        );
        alter(&log, "delete");
        assert!(has_gap(&mut log, &loaded).await);
        // As a load does that begins.
        log.log.prepare(&all).await.unwrap();
        assert!(has_gap(&mut log, &loaded).await, "{engine}");
        let loaded = view(&log).await;
        assert!(!has_gap(&mut log, &loaded).await);
        alter(&log, "delete");
        alter(&log, "insert, update, delete, truncate");
        assert!(has_gap(&mut log, &loaded).await, "{engine}");
    }
}
