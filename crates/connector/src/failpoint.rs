//! Named places in the course of a task where a test can hold the process, to strike it or what it talks to right there.
//!
//! A build with the feature `faults` that finds `WHIMBREL_HOLD=name:count:path` in its environment makes the file `path` when it comes
//! to the point `name` for the `count`-th time, and goes on once the file is gone. Whoever sees the file can kill the process, stop it,
//! cut its connections or restart a server, and knows what was done before and what was not. Without the feature, and in a release
//! build whatever its features, there is nothing at the points.

/// A point. The names in the comments are those of [`Point::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// `log-kept`: the source keeps its log; no checkpoint is written.
    LogKept,
    /// `first-checkpoint`: the first checkpoint is at the target; nothing is loaded.
    FirstCheckpoint,
    /// `snapshot-open`: the view of the load is open; no table is prepared.
    SnapshotOpen,
    /// `table-prepared`: a table and the record of its plan are made; it has no rows.
    TablePrepared,
    /// `chunk-written`: the rows of a chunk are sent and not committed.
    ChunkWritten,
    /// `chunk-committed`: a chunk is committed, and nobody knows of it.
    ChunkCommitted,
    /// `table-finishing`: all chunks of a table are committed; it has no keys.
    TableFinishing,
    /// `table-finished`: a table has its keys.
    TableFinished,
    /// `follower-claimed`: whoever follows has claimed the task; no table has joined.
    FollowerClaimed,
    /// `tables-joined`: the loaded tables are taken in; no stream is open.
    TablesJoined,
    /// `stream-open`: the log is about to be read from the checkpoint on.
    StreamOpen,
    /// `batch-gathered`: a batch is about to be written; no transaction is open at the target.
    BatchGathered,
    /// `batch-begun`: a transaction is wanted at the target; it has no changes.
    BatchBegun,
    /// `part-applied`: a part of a transaction larger than a batch is applied and not committed.
    PartApplied,
    /// `rows-applied`: the changes of rows of a batch are applied and not committed.
    RowsApplied,
    /// `changes-applied`: a batch, with rows or without, is about to be committed with the checkpoint.
    ChangesApplied,
    /// `batch-committed`: changes and checkpoint are committed, and nobody knows of it.
    BatchCommitted,
    /// `position-confirmed`: the source was told how far its log may be let go.
    PositionConfirmed,
    /// `definition-changing`: everything before a definition is applied; it has not been changed.
    DefinitionChanging,
    /// `definition-changed`: a definition was changed at the target; it is not recorded.
    DefinitionChanged,
    /// `newcomer-loading`: a table is about to be loaded while the others are followed.
    NewcomerLoading,
    /// `rejoining`: such a table is loaded; the stream is about to be opened again.
    Rejoining,
}

impl Point {
    /// All points, in the order in which a task first comes to them.
    pub const ALL: [Self; 22] = [
        Self::LogKept,
        Self::FirstCheckpoint,
        Self::SnapshotOpen,
        Self::TablePrepared,
        Self::ChunkWritten,
        Self::ChunkCommitted,
        Self::TableFinishing,
        Self::TableFinished,
        Self::FollowerClaimed,
        Self::TablesJoined,
        Self::StreamOpen,
        Self::BatchGathered,
        Self::BatchBegun,
        Self::PartApplied,
        Self::RowsApplied,
        Self::ChangesApplied,
        Self::BatchCommitted,
        Self::PositionConfirmed,
        Self::DefinitionChanging,
        Self::DefinitionChanged,
        Self::NewcomerLoading,
        Self::Rejoining,
    ];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogKept => "log-kept",
            Self::FirstCheckpoint => "first-checkpoint",
            Self::SnapshotOpen => "snapshot-open",
            Self::TablePrepared => "table-prepared",
            Self::ChunkWritten => "chunk-written",
            Self::ChunkCommitted => "chunk-committed",
            Self::TableFinishing => "table-finishing",
            Self::TableFinished => "table-finished",
            Self::FollowerClaimed => "follower-claimed",
            Self::TablesJoined => "tables-joined",
            Self::StreamOpen => "stream-open",
            Self::BatchGathered => "batch-gathered",
            Self::BatchBegun => "batch-begun",
            Self::PartApplied => "part-applied",
            Self::RowsApplied => "rows-applied",
            Self::ChangesApplied => "changes-applied",
            Self::BatchCommitted => "batch-committed",
            Self::PositionConfirmed => "position-confirmed",
            Self::DefinitionChanging => "definition-changing",
            Self::DefinitionChanged => "definition-changed",
            Self::NewcomerLoading => "newcomer-loading",
            Self::Rejoining => "rejoining",
        }
    }
}

/// Goes on: nothing is here.
#[cfg(not(all(feature = "faults", debug_assertions)))]
#[inline]
pub fn reach(_: Point) -> std::future::Ready<()> {
    std::future::ready(())
}

#[cfg(all(feature = "faults", debug_assertions))]
pub use armed::reach;

#[cfg(all(feature = "faults", debug_assertions))]
mod armed {
    use std::path::{Path, PathBuf};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use super::Point;

    const VARIABLE: &str = "WHIMBREL_HOLD";
    const LOOK_EVERY: Duration = Duration::from_millis(2);

    struct Hold {
        name: String,
        count: u32,
        path: PathBuf,
        reached: AtomicU32,
    }

    static HOLD: LazyLock<Option<Hold>> = LazyLock::new(|| {
        let wanted = std::env::var(VARIABLE).ok()?;
        Some(parse(&wanted).unwrap_or_else(|| panic!("{VARIABLE}={wanted} is not name:count:path")))
    });

    fn parse(wanted: &str) -> Option<Hold> {
        let mut parts = wanted.splitn(3, ':');
        let name = parts.next()?.to_owned();
        Point::ALL.iter().find(|point| point.name() == name)?;
        Some(Hold {
            name,
            count: parts.next()?.parse().ok()?,
            path: Path::new(parts.next()?).to_owned(),
            reached: AtomicU32::new(0),
        })
    }

    /// Waits here if a test wants it.
    ///
    /// # Panics
    /// When what the test wants makes no sense.
    pub async fn reach(point: Point) {
        let Some(hold) = HOLD.as_ref().filter(|hold| hold.name == point.name()) else {
            return;
        };
        if hold.reached.fetch_add(1, Ordering::Relaxed) + 1 != hold.count {
            return;
        }
        std::fs::write(&hold.path, point.name()).expect("the file of WHIMBREL_HOLD can be made");
        while hold.path.exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn what_is_wanted_has_a_known_name_a_count_and_a_path() {
            let hold = parse("batch-committed:3:/tmp/a:b").unwrap();
            assert_eq!((hold.name.as_str(), hold.count), ("batch-committed", 3));
            assert_eq!(hold.path, Path::new("/tmp/a:b"));
            for wrong in [
                "",
                "batch-committed",
                "batch-committed:x:/tmp",
                "other:1:/tmp",
            ] {
                assert!(parse(wrong).is_none(), "{wrong}");
            }
        }
    }
}
