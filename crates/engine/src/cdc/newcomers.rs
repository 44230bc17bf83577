//! Tables that are loaded while others are followed.
//!
//! ```text
//!  wanted ──► the log is kept from here (checkpoint W) ──► load under a new snapshot V ──► the stream is opened again from W
//! ```
//!
//! Why they arrive exactly: from the moment a table is wanted its changes are left out, and every checkpoint says that the log is needed from
//! W on, so the source keeps it. V is opened later than W, and is of the log up to W at least, or is given up before anything is written
//! ([`whimbrel_connector::ChangeLog::view_reaches`]). So every transaction that V does not hold comes behind W. Once the
//! table is loaded the log is read again from W: the tables that were followed meanwhile hold everything up to the checkpoint
//! ([`whimbrel_connector::FollowState::applied_to`]), the newcomer holds what V holds, and both leave that out. The step that
//! turns back to W is one transaction of the target. A crash before it finds a loaded table that has not joined, and takes it.
//!
//! A task that goes on while some of its tables are not loaded, because a crash or a stop came between or because their load failed, is the same case: the stream is
//! opened with those that have joined, at its beginning the others are wanted, and W is what the checkpoint keeps, or the checkpoint itself. So those that
//! are followed do not wait for a table that cannot be read yet, or for a transaction at the source that a load has to wait for. A table is loaded under one view, so that
//! chunks of an interrupted load are loaded again; only where all were done, and the view is of the log up to the W of now, is the table gone on with. W is
//! another one once a load has failed and nobody needed the log for the table any more, and what lies between a view and W would be in neither. So that is asked before such a
//! record is gone on with, and once more before a table joins. Whatever ends the stream (an error, a table that has another name in a log that knows
//! tables by their names) ends the load of newcomers with it, and it begins again with the next stream. A task of which no table has
//! joined yet has nobody to wait: it goes on with its first load, and follows after it. One that ends by itself, with its load, with what came meanwhile or at some
//! time, loads them first, and does not end before tables that are on their way have joined: at a time to stop nothing more is read, what was read is
//! applied, and the stream is opened once more for those that were loaded, as far as the others have come.
//!
//! While the target has a part of a transaction nothing is wanted by what the source's catalog says: a table that the transaction renames is known by its old name
//! until the rest of it has come again, and would be taken for a new one, to be loaded on top of its own rows. The stream is opened once more behind the transaction, and what is
//! not loaded then is wanted as ever, with the log kept from the checkpoint that this takes. A crash in between finds the part again, or a whole checkpoint.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_connector::failpoint::{Point, reach};
use whimbrel_connector::{
    Background, Connector, Error, LoadRecord, LogStart, PrepareMode, RunningWait, Source,
    TaskFence, in_background,
};
use whimbrel_core::{Position, Table, TableName};

use super::CdcSpec;
use crate::feeding;
use crate::{FullLoadSpec, Joining, Progress, RunError, StartKind, TableState, run_full_load};

/// So long a table may be told by the log that others do not see yet.
const LACKED_FOR: Duration = Duration::from_secs(10);
/// Between looks whether they see it.
const LACKED_AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);
/// How often tables are described whose definitions change at the same time.
const DESCRIBED_MAX: u32 = 5;
/// A change of a definition is over by then, as a rule.
const DESCRIBED_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// Between looks whether others at the source have ended what is in the way.
const BUSY_WAIT: Duration = Duration::from_secs(5);
const REMEDY: &str = "end what is in the way, if it does not end by itself";
const OVER: &str = "nothing is in the way any more of tables that wait to be loaded";

/// What loading a newcomer takes.
#[derive(Clone)]
pub(super) struct LoadParts {
    pub(super) source: Arc<dyn Connector>,
    pub(super) target: Arc<dyn Connector>,
    pub(super) progress: Arc<Progress>,
    pub(super) stop: CancellationToken,
    pub(super) fence: TaskFence,
}

/// The tables that are to be loaded, and the load that is running.
pub(super) struct Newcomers {
    parts: LoadParts,
    wanted: BTreeSet<TableName>,
    loading: BTreeSet<TableName>,
    /// The log is needed from here on.
    pub(super) kept_from: Option<Position>,
    /// What an earlier load left of a wanted table is removed by a transaction that is not committed yet.
    is_blocked: bool,
    /// The tables that it wants.
    of_open: BTreeSet<TableName>,
    /// Answers whether there is a table to join. Dropped, what was open is rolled back, like in a crash.
    running: Option<Background<Result<bool, RunError>>>,
    /// Tables are loaded that have not joined.
    pub(super) is_done: bool,
    under_way: UnderWay,
}

/// What the checkpoint says, on its way to the target, of where the log is needed.
#[derive(Debug, PartialEq, Eq)]
enum UnderWay {
    /// None is on its way.
    Nothing,
    /// That nobody needs what is before it.
    LetsGo,
    Keeps(Position),
}

impl Newcomers {
    pub(super) fn new(
        parts: LoadParts,
        wanted: BTreeSet<TableName>,
        kept_from: Option<Position>,
    ) -> Self {
        Self {
            parts,
            wanted,
            loading: BTreeSet::new(),
            kept_from,
            is_blocked: false,
            of_open: BTreeSet::new(),
            running: None,
            is_done: false,
            under_way: UnderWay::Nothing,
        }
    }

    /// The target begins to work: what the checkpoint may say that comes with it.
    pub(super) fn begin_write(&mut self) -> Option<Position> {
        let kept_from = self.kept_from.clone();
        self.under_way = kept_from.clone().map_or(UnderWay::LetsGo, UnderWay::Keeps);
        kept_from
    }

    /// The target is done. Answers from where the log is needed: by what the target says, and by what it will say.
    pub(super) fn end_write(&mut self) -> Option<Position> {
        match std::mem::replace(&mut self.under_way, UnderWay::Nothing) {
            UnderWay::Keeps(position) => Some(position),
            UnderWay::LetsGo | UnderWay::Nothing => self.kept_from.clone(),
        }
    }

    /// Has a table loaded. Everything up to `committed` is at the target.
    pub(super) fn want(&mut self, table: TableName, committed: &Position) {
        info!(%table, "the table is loaded while the others are followed");
        self.kept_from.get_or_insert_with(|| committed.clone());
        self.wanted.insert(table);
    }

    /// Has tables loaded once the transaction at hand is committed: a load must not meet what is not committed yet, and the target holds locks until then.
    pub(super) fn want_behind_open(&mut self, tables: Vec<TableName>, committed: &Position) {
        self.is_blocked = true;
        for table in tables {
            self.of_open.insert(table.clone());
            self.want(table, committed);
        }
    }

    /// The transaction at hand is committed.
    pub(super) fn committed(&mut self) {
        self.is_blocked = false;
        self.of_open.clear();
    }

    /// Whether the transaction at hand wants tables.
    pub(super) fn has_of_open(&self) -> bool {
        !self.of_open.is_empty()
    }

    /// The transaction at hand is left out, and what it wants.
    pub(super) fn leave_out_open(&mut self) {
        self.is_blocked = false;
        for table in std::mem::take(&mut self.of_open) {
            self.wanted.remove(&table);
        }
    }

    /// Whether a table is being loaded or will be.
    pub(super) fn has(&self, table: &TableName) -> bool {
        self.wanted.contains(table) || self.loading.contains(table)
    }

    /// Whether no table is on its way.
    pub(super) fn is_idle(&self) -> bool {
        self.wanted.is_empty() && self.running.is_none() && !self.is_done
    }

    /// Starts the next load, if there is one to start.
    pub(super) fn start(&mut self, spec: &CdcSpec, committed: &Position) {
        if self.is_blocked || self.running.is_some() || self.is_done || self.wanted.is_empty() {
            return;
        }
        if self.under_way == UnderWay::LetsGo {
            // That checkpoint will be ahead of W.
            return;
        }
        self.kept_from.get_or_insert_with(|| committed.clone());
        let tables = std::mem::take(&mut self.wanted);
        self.loading.clone_from(&tables);
        let load = load(
            self.parts.clone(),
            spec.clone(),
            tables,
            self.kept_from.clone(),
        );
        self.running = Some(in_background("load further tables", load));
    }

    /// Waits for the running load; for ever without one.
    pub(super) async fn loaded(&mut self) -> Result<(), RunError> {
        let Some(running) = &mut self.running else {
            return std::future::pending().await;
        };
        let joined = running.await;
        self.running = None;
        let outcome = joined.map_err(|panic| {
            RunError::Table(format!("loading further tables ended abnormally: {panic}"))
        })?;
        self.is_done = outcome?;
        self.loading.clear();
        if self.is_idle() {
            // They are gone again or in error: nobody needs the log for them.
            self.kept_from = None;
        }
        Ok(())
    }
}

/// Has the log kept for the tables as well, and loads them. Answers whether any is loaded.
async fn load(
    parts: LoadParts,
    spec: CdcSpec,
    tables: BTreeSet<TableName>,
    not_before: Option<Position>,
) -> Result<bool, RunError> {
    reach(Point::NewcomerLoading).await;
    let (started, captured) = kept(&parts, &spec, &tables).await?;
    let mut wanted = tables;
    let mut target = parts.target.target().await.map_err(RunError::Target)?;
    let taken =
        feeding::take_what_is_free(&mut *target, &parts.fence, &spec.load, captured).await?;
    drop(target);
    let refused = started.refused.into_iter();
    let refused = refused.map(|fault| (fault.table, fault.message));
    for (table, message) in refused.chain(taken) {
        if wanted.remove(&table) {
            parts.progress.add([table.clone()]);
            parts.progress.update(&table, |entry| {
                entry.state = TableState::Error;
                entry.message = Some(message.clone());
                // Perhaps it was to be loaded again.
                entry.reload_answer_count += 1;
            });
        }
    }
    let load = FullLoadSpec {
        start: StartKind::Resume {
            completed: std::collections::HashSet::new(),
            needs_record: false,
        },
        is_followed: true,
        fails_without_tables: false,
        // A task without a load of its own never removes what is there.
        prepare: if spec.loads {
            spec.load.prepare
        } else {
            PrepareMode::DoNothing
        },
        joining: Some(Joining {
            fence: Some(parts.fence.clone()),
            tables: wanted,
            is_later: true,
            not_before,
            completed: std::collections::HashSet::new(),
        }),
        ..spec.load
    };
    let LoadParts {
        source,
        target,
        progress,
        stop,
        ..
    } = &parts;
    run_full_load(source, target, &load, progress, stop).await?;
    let mut target = target.target().await.map_err(RunError::Target)?;
    let records = target.load_records(&parts.fence).await;
    let mut records = records.map_err(RunError::Target)?.into_iter();
    let can_join = |record: LoadRecord| {
        record.is_finished && record.follow.is_some_and(|state| !state.has_joined)
    };
    Ok(records.any(can_join))
}

/// Has the log kept for the task's tables. Who is in the way may stay for long, such as a transaction that runs: the others are followed meanwhile, and it is tried
/// again for as long as that takes. A table may go or get another name between its description and the log: then they are described anew.
async fn kept(
    parts: &LoadParts,
    spec: &CdcSpec,
    wanted: &BTreeSet<TableName>,
) -> Result<(LogStart, Vec<Table>), RunError> {
    let mut source = parts.source.source().await.map_err(RunError::Source)?;
    // All of the task, under the names that they have now: one that the others know by an older name must not be left out.
    let is_captured = |name: &TableName| spec.load.mappings.selects(name);
    let log = parts.source.change_log(&spec.load.task).await;
    let mut log = log.map_err(RunError::Source)?;
    if let Some(wait) = spec.running_wait {
        // Whether the task may begin with transactions open was said of its start; tables that are followed do not end by one that joins.
        log.wait_for_running(RunningWait {
            fails: false,
            ..wait
        });
    }
    let (mut is_told, mut tries) = (false, 1);
    let kept = loop {
        let captured = seen(&mut *source, &is_captured, wanted).await?;
        match log.prepare(&captured).await {
            // However long it takes: nothing is wrong, and the others are followed meanwhile.
            Err(Error::Busy(message)) => {
                tell_waiting(parts, wanted, &message, is_told);
                is_told = true;
                tokio::time::sleep(BUSY_WAIT).await;
            }
            Err(Error::Transient(_)) if tries < DESCRIBED_MAX => {
                tries += 1;
                tokio::time::sleep(DESCRIBED_AGAIN_AFTER).await;
            }
            Ok(started) => break (started, captured),
            Err(error) => return Err(RunError::Source(error)),
        }
    };
    if is_told {
        for table in wanted {
            parts.progress.update(table, |entry| entry.message = None);
        }
        parts.progress.log_alarm(OVER.to_owned(), None);
    }
    Ok(kept)
}

/// The task's tables. A log may tell of one before others see it (PostgreSQL with a standby that its commits wait for): it is waited for, a while. Nobody would ask for it
/// again before the next stream. One that is gone again looks the same.
async fn seen(
    source: &mut dyn Source,
    is_captured: &(dyn Fn(&TableName) -> bool + Sync),
    wanted: &BTreeSet<TableName>,
) -> Result<Vec<Table>, RunError> {
    let until = Instant::now() + LACKED_FOR;
    let mut wait = DESCRIBED_AGAIN_AFTER;
    loop {
        let captured = source.tables(is_captured).await;
        let captured = captured.map_err(RunError::Source)?;
        let is_there = |name: &&TableName| captured.iter().any(|table| table.name == **name);
        let lacking = wanted.iter().filter(|name| !is_there(name));
        let lacking: Vec<String> = lacking.map(ToString::to_string).collect();
        if lacking.is_empty() {
            return Ok(captured);
        }
        if Instant::now() >= until {
            let tables = lacking.join(", ");
            warn!(
                tables,
                "the log told of tables that the source does not show; unless they are gone, they are loaded when the task goes on from its checkpoint again"
            );
            return Ok(captured);
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LACKED_AGAIN_AFTER_MAX);
    }
}

fn tell_waiting(parts: &LoadParts, wanted: &BTreeSet<TableName>, why: &str, is_told: bool) {
    for table in wanted {
        parts.progress.waits(table, why);
    }
    if is_told {
        return;
    }
    let tables: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let tables = tables.join(", ");
    warn!(
        tables,
        reason = why,
        "tables cannot be loaded yet, while the others are followed"
    );
    let message = format!("{tables} cannot be loaded yet, while the others are followed: {why}");
    parts.progress.log_alarm(message, Some(REMEDY.to_owned()));
}

#[cfg(test)]
mod tests {
    use whimbrel_connector::memory::{Faults, MemoryConnector, MemoryDatabase};
    use whimbrel_core::mapping::TableMappings;

    use super::*;

    fn newcomers() -> Newcomers {
        let connect = || -> Arc<dyn Connector> {
            Arc::new(MemoryConnector::new(MemoryDatabase::new(), Faults::none()))
        };
        let parts = LoadParts {
            source: connect(),
            target: connect(),
            progress: Arc::new(Progress::default()),
            stop: CancellationToken::new(),
            fence: TaskFence {
                task: "task".to_owned(),
                epoch: 1,
                holder: String::new(),
            },
        };
        Newcomers::new(parts, BTreeSet::new(), None)
    }

    /// A task that ends here is resumed from the checkpoint that the target has, and needs the log from where that says.
    #[test]
    fn the_log_is_kept_for_the_checkpoint_that_is_under_way() {
        let mut newcomers = newcomers();
        newcomers.kept_from = Some(Position::new("memory:6"));
        assert_eq!(newcomers.begin_write(), Some(Position::new("memory:6")));
        // The load ends meanwhile, and leaves nothing to join.
        newcomers.kept_from = None;
        assert_eq!(newcomers.end_write(), Some(Position::new("memory:6")));
        assert_eq!(newcomers.begin_write(), None);
        assert_eq!(newcomers.end_write(), None);
    }

    #[tokio::test]
    async fn no_load_begins_while_a_checkpoint_lets_the_log_go() {
        let mut newcomers = newcomers();
        let mappings = TableMappings::of_patterns(&[], &[]);
        let spec = CdcSpec::new(FullLoadSpec::new("task", mappings));
        let committed = Position::new("memory:6");
        assert_eq!(newcomers.begin_write(), None);
        newcomers.want(TableName::new("s", "t"), &committed);
        newcomers.start(&spec, &committed);
        assert!(newcomers.running.is_none());
        assert_eq!(newcomers.end_write(), Some(committed.clone()));
        newcomers.start(&spec, &committed);
        assert!(newcomers.running.is_some());
    }
}
