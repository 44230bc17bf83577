//! Where transactions that are not over are kept: on disk, with little in memory, and nothing of it stays.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use whimbrel_connector::{Error, LogEvent};
use whimbrel_testkit::Engine;

use crate::log_open_support::{
    GATE, TABLE, WAITING, changes, gated, go_on, open, pieces, rows, told_rows,
};
use crate::support::{ENGINES, peak_kb};

/// The bytes of files of a folder that this process holds open.
fn held(dir: &Path) -> u64 {
    let files = std::fs::read_dir("/proc/self/fd").unwrap();
    let paths = files.filter_map(|file| Some(file.ok()?.path()));
    let is_there =
        |path: &PathBuf| std::fs::read_link(path).is_ok_and(|target| target.starts_with(dir));
    let sizes = paths.filter(is_there);
    sizes
        .filter_map(|path| Some(std::fs::metadata(path).ok()?.size()))
        .sum()
}

/// The file has no name while rows are in it, so that nothing stays of a process that is killed; and it goes when they are told.
#[tokio::test]
async fn a_large_transaction_lies_in_a_file_without_a_name_and_goes_with_its_commit() {
    const COUNT: u32 = 200_000;
    for engine in ENGINES {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_owned();
        let script = format!("{TABLE} {GATE}");
        let mut log = open(engine, &script, |options| options.spool_dir = path).await;
        let before = peak_kb();
        let mut reader = log.open().await;
        let large = format!("begin; {}", rows(1, COUNT).replace("100", "1000"));
        let session = gated(&log.database, &large, "commit;");
        let mut small = 0;
        log.eventually(WAITING, |answer| answer == "1").await;
        while held(dir.path()) < u64::from(COUNT) * 1000 / 2 {
            // What is committed meanwhile is told meanwhile.
            let sql = "insert into t values (-1, 0, 'y'); delete from t where id = -1";
            log.database.sql(sql).unwrap();
            small += reader.transactions(2).await.unwrap().len();
        }
        assert!(small >= 2);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        go_on(&log.database, vec![session]);
        let (mut count, mut is_over) = (0, false);
        while !is_over {
            let block = reader.block().await.unwrap();
            let inserts = block
                .events
                .iter()
                .filter(|event| matches!(event, LogEvent::Insert { .. }));
            count += inserts.count();
            is_over = count >= COUNT as usize
                && block
                    .events
                    .iter()
                    .any(|event| matches!(event, LogEvent::Commit { .. }));
        }
        assert_eq!(count, COUNT as usize);
        // The next thing that comes finds the file given back.
        let sql = "insert into t values (0, 0, 'z')";
        log.database.sql(sql).unwrap();
        reader.transactions(1).await.unwrap();
        assert_eq!(held(dir.path()), 0);
        let grown = peak_kb() - before;
        assert!(grown < 64 * 1024, "memory grew by {grown} KB");
    }
}

#[tokio::test]
async fn where_there_is_no_room_the_source_keeps_the_rows() {
    let script = format!("{TABLE} {GATE}");
    for (dir, bytes_max, why) in [
        (std::env::temp_dir(), 1_000_000, "it may take 1 MB"),
        ("/nonexistent/folder".into(), u64::MAX, "No such file"),
    ] {
        let set = |options: &mut whimbrel_postgres::Options| {
            options.spool_dir = dir;
            options.spool_bytes_max = bytes_max;
        };
        let mut log = open(Engine::Postgres18, &script, set).await;
        let mut reader = log.open().await;
        let session = gated(
            &log.database,
            &format!("begin; {}", rows(1, 20_000)),
            "commit;",
        );
        pieces(&log, 1).await;
        let error = loop {
            if let Err(error) = reader.block().await {
                break error;
            }
        };
        let is_told = |text: &str| {
            [why, "WHIMBREL_SPOOL_DIR", "whole transactions"]
                .iter()
                .all(|part| text.contains(part))
        };
        assert!(
            matches!(&error, Error::Transient(text) if is_told(text)),
            "{error}"
        );
        go_on(&log.database, vec![session]);
        let told = changes(log.everything().await);
        assert!(told == [told_rows(1, 20_000)], "other rows");
    }
}
