//! What is told of the log that a slot keeps.

use std::time::{Duration, Instant};

use whimbrel_connector::{Connector, KeptLog};
use whimbrel_core::Position;
use whimbrel_testkit::{Engine, Server, ServerOptions};

use crate::log_support::Captured;
use crate::support::{ENGINES, TASK, connector_with};

const TABLE: &str = "create table t (id int primary key, name text)";
/// About 40 MB of log.
const WRITE: &str = "insert into t select coalesce(max(id), 0) + i, repeat('x', 1000) from generate_series(1, 35000) i left join t on true group by i";

fn limited(engine: Engine) -> Server {
    let options = ServerOptions {
        settings: vec![("max_slot_wal_keep_size".to_owned(), "48MB".to_owned())],
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

async fn look(connector: &dyn Connector) -> Option<KeptLog> {
    let mut watch = connector.log_watch(TASK).unwrap();
    watch.look(&Position::new("0/1")).await.unwrap()
}

#[tokio::test]
async fn what_a_slot_keeps_is_measured_against_what_the_source_keeps_at_most() {
    for engine in ENGINES {
        let server = limited(engine);
        let mut log = Captured::on(&server, TABLE).await;
        let before = look(&*log.connector).await.unwrap();
        assert!(before.percent < 40, "{before:?}");
        log.database.sql(WRITE).unwrap();
        let kept = look(&*log.connector).await.unwrap();
        assert!(kept.percent >= 50, "{kept:?}");
        let name = log
            .database
            .sql("select slot_name from pg_replication_slots");
        for word in [name.unwrap().trim(), "MiB", "max_slot_wal_keep_size"] {
            assert!(kept.message.contains(word), "{word}: {kept:?}");
        }
        assert!(
            kept.remedy.contains("raise max_slot_wal_keep_size"),
            "{kept:?}"
        );

        // Nobody reads it.
        let unread = log.connector.unread_logs().await.unwrap();
        assert_eq!(unread.len(), 1, "{unread:?}");
        assert!(
            unread[0].message.contains("its task does not run"),
            "{unread:?}"
        );
        assert!(unread[0].remedy.contains("whimbrel forget"), "{unread:?}");

        // Once it is read and confirmed, the server lets go of it at its next notes of what is running.
        let end = log.log.end().await.unwrap();
        let mut reader = log.open().await;
        reader.until(&end).await.unwrap();
        assert_eq!(log.connector.unread_logs().await.unwrap(), []);
        let begun = Instant::now();
        loop {
            log.database
                .sql("checkpoint; insert into t values (-1, ''); delete from t where id = -1")
                .unwrap();
            let end = log.log.end().await.unwrap();
            reader.until(&end).await.unwrap();
            reader.stream.confirm(&end);
            let now = look(&*log.connector).await.unwrap();
            if now.percent < 40 {
                break;
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{now:?}");
        }
        drop(reader);
        log.log.remove().await.unwrap();
        assert_eq!(look(&*log.connector).await, None);
    }
}

#[tokio::test]
async fn without_a_limit_of_the_source_a_large_log_is_told_of() {
    for engine in ENGINES {
        let log = Captured::of(engine, TABLE).await;
        let watched =
            |most| connector_with(&log.database.url(), |options| options.kept_log_max = most);
        log.database.sql(WRITE).unwrap();
        let kept = look(&*watched(16 << 30)).await.unwrap();
        assert!(kept.percent < 40, "{kept:?}");
        let kept = look(&*watched(64 << 20)).await.unwrap();
        assert!(kept.percent >= 50, "{kept:?}");
        assert!(
            kept.message.contains("until the source's disk is full"),
            "{kept:?}"
        );
        assert!(
            kept.remedy
                .contains("why the target takes the changes so slowly"),
            "{kept:?}"
        );
    }
}
