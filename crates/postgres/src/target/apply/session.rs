use std::sync::atomic::{AtomicBool, Ordering};

use whimbrel_connector::{Error, TaskFence};

use crate::errors::general;
use crate::target::control::{self, Held};
use crate::target::sessions;
use crate::wire::{Connection, Pipeline, WireError};

/// Names of the statements that every transaction uses.
pub(super) const BEGIN: &str = "awsdms_begin";
pub(super) const REQUIRE_FENCE: &str = "awsdms_require_fence";
pub(super) const SAVEPOINT: &str = "awsdms_savepoint";
pub(super) const RELEASE: &str = "awsdms_release";
pub(super) const WRITE_CHECKPOINT: &str = "awsdms_write_checkpoint";
pub(super) const COMMIT: &str = "awsdms_commit";

/// Back to where the call began.
pub(super) const UNDO_CALL: &str =
    "ROLLBACK TO SAVEPOINT awsdms_call; RELEASE SAVEPOINT awsdms_call";

/// What waits for the commit is checked, and waits again: the server takes both back with the savepoint.
pub(super) const BEGIN_CHECK: &str = "SAVEPOINT awsdms_check";
pub(super) const CHECK: &str = "SET CONSTRAINTS ALL IMMEDIATE";
pub(super) const END_CHECK: &str =
    "ROLLBACK TO SAVEPOINT awsdms_check; RELEASE SAVEPOINT awsdms_check";

/// Settings of a session that applies changes.
///
/// Waiting for a lock of somebody else ends after a minute with an error that says so. A worker that stops in the middle of a
/// transaction loses it, with its locks, after five minutes.
///
/// Changes are few against what a table may hold, so rows are looked up by the key's index, one for each change: other ways of
/// joining are switched off, and pages cost nothing, as nobody knows how many of a batch lie together. So the plan does not
/// depend on what the server believes of the table when it is made, and it is made once. Where no index serves, hash joins are
/// switched on for the statement. What is sorted is a batch at most.
///
/// One way is left that no setting switches off: to go through an index of the table from end to end, and through the whole batch for each row. Of a table that the
/// server believes to be empty (it was when it was looked at, or what filled it was rolled back, or is not committed) that costs nothing, and in truth the square of
/// the rows. The server thinks of it because the index has the order of the joined columns; a column that equals an element of an array
/// (`= ANY (ARRAY[…])`) is looked up like any other and makes no such order. That takes a little longer, and is not done where the table was known to be large.
const SETTINGS: &str = "
SET lock_timeout = '60s'; SET idle_in_transaction_session_timeout = '5min';
SET default_transaction_isolation = 'read committed';
SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_material = off;
SET enable_memoize = off; SET random_page_cost = 0; SET seq_page_cost = 0.1; SET work_mem = '32MB'; SET plan_cache_mode = force_generic_plan";

/// Makes a signed-in connection a session that applies changes of a task that is ours.
pub(super) async fn start(
    connection: &mut Connection,
    fence: &TaskFence,
    is_warned: &AtomicBool,
) -> Result<(), Error> {
    let failed = |error| general(error, "start a session that applies changes");
    connection.query(SETTINGS).await.map_err(failed)?;
    act_as_replica(connection, is_warned).await?;
    control::check_fence(connection, fence, Held::Now).await?;
    sessions::end_older(connection, fence).await?;
    let mut pipeline = Pipeline::default();
    for (name, sql) in [
        (BEGIN, "BEGIN"),
        (REQUIRE_FENCE, control::REQUIRE_FENCE),
        (SAVEPOINT, "SAVEPOINT awsdms_call"),
        (RELEASE, "RELEASE SAVEPOINT awsdms_call"),
        (WRITE_CHECKPOINT, control::WRITE_CHECKPOINT),
        (COMMIT, "COMMIT"),
    ] {
        pipeline.parse(name, &control::with_mutations(sql), &[]);
    }
    pipeline.sync();
    connection
        .send_pipeline(&mut pipeline)
        .await
        .map_err(failed)?;
    let answers = connection.answers().await.map_err(failed)?;
    match answers.failure {
        None => Ok(()),
        Some(error) => Err(failed(WireError::Server(error))),
    }
}

/// Triggers and foreign keys have acted at the source already.
async fn act_as_replica(connection: &mut Connection, is_warned: &AtomicBool) -> Result<(), Error> {
    match connection
        .query("SET session_replication_role = replica")
        .await
    {
        Ok(_) => Ok(()),
        Err(WireError::Server(error)) if error.code == "42501" => {
            if !is_warned.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    "triggers and foreign keys of the target act on applied changes, because its user may not set session_replication_role; \
                     grant it (PostgreSQL 15 and later: GRANT SET ON PARAMETER session_replication_role TO …), or drop them until the cut-over"
                );
            }
            Ok(())
        }
        Err(error) => Err(general(error, "keep triggers from acting at the target")),
    }
}
