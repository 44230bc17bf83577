//! What is told of the files of the log that a task still needs.

use std::time::{Duration, Instant};

use whimbrel_testkit::{Server, ServerOptions};

use crate::log_support::Tap;
use crate::support::ENGINES;

/// A server is asked whether files are too old when a file is begun, and not before.
#[tokio::test]
async fn the_age_of_a_file_that_is_needed_is_measured_against_what_the_source_keeps() {
    for engine in ENGINES {
        let options = ServerOptions {
            settings: vec![("binlog-expire-logs-seconds".to_owned(), "8".to_owned())],
            ..ServerOptions::default()
        };
        let server = Server::private_with(engine, options).unwrap();
        let database = server.database("log_watch").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        let mut watch = tap.connector.log_watch("a task").unwrap();
        // The file that is being written stays, however old it is.
        assert_eq!(watch.look(&start).await.unwrap(), None, "{engine}");
        database
            .sql("flush binary logs; insert into t values (1)")
            .unwrap();
        let begun = Instant::now();
        let kept = loop {
            let kept = watch.look(&start).await.unwrap().unwrap();
            if kept.percent >= 50 {
                break kept;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(1),
                "{engine}: {kept:?}"
            );
        };
        let file = start.as_str().split(':').next().unwrap();
        for word in [file, "8 s", "binlog_expire_logs_seconds"] {
            assert!(kept.message.contains(word), "{engine}: {word}: {kept:?}");
        }
        assert!(kept.remedy.contains("SET GLOBAL"), "{engine}: {kept:?}");
        let end = tap.log.end().await.unwrap();
        assert_eq!(watch.look(&end).await.unwrap(), None, "{engine}");
        database
            .sql("flush binary logs; purge binary logs before now() + interval 1 day")
            .unwrap();
        let gone = watch.look(&start).await.unwrap().unwrap();
        assert!(
            gone.percent == 100 && gone.message.contains("no longer has"),
            "{engine}: {gone:?}"
        );
        // A server that keeps its log for ever is no reason to worry.
        let end = tap.log.end().await.unwrap();
        database
            .sql("set global binlog_expire_logs_seconds = 0; flush binary logs")
            .unwrap();
        assert_eq!(watch.look(&end).await.unwrap(), None, "{engine}");
    }
}
