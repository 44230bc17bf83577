//! The validation of a task's tables: what the settings want of it, and how it runs beside the rest.
//!
//! A full load compares once everything is loaded, and gives way to tables that are to be loaded again. A task that follows changes
//! compares beside it, over connections of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use whimbrel_connector::{Background, in_background};
use whimbrel_core::TableName;
use whimbrel_engine::{
    Delays, FullLoadSpec, ProgressSnapshot, Reloads, TableState, ValidationSpec,
    ValidationState as Seen, Validator,
};
use whimbrel_store::{TableValidation, ValidationState};

use super::engine::Signals;
use super::{TaskSpec, ValidationProgress};

/// Each reads over a connection of its own at both ends, so that more would be taken from those who use the databases.
const READERS_MAX: usize = 32;
/// Statements that name more rows are slower to plan than rows are to read.
const KEYS_PER_LOOK_MAX: usize = 500;

/// What a task wants of its validation, if anything.
pub(super) fn spec_of(
    spec: &TaskSpec,
    load: &FullLoadSpec,
    requests: &Arc<Reloads>,
) -> Option<ValidationSpec> {
    let settings = spec.settings.validation.as_ref()?;
    let bounded =
        |number: u32, max: usize| usize::try_from(number).unwrap_or(usize::MAX).clamp(1, max);
    let known = spec.validated.iter();
    Some(ValidationSpec {
        load: load.clone(),
        control_schema: spec.settings.control_tables.schema.clone(),
        reader_count: bounded(settings.thread_count, READERS_MAX),
        keys_per_look: bounded(settings.partition_size, KEYS_PER_LOOK_MAX),
        failures_max: settings.failures_max.into(),
        table_failures_max: settings.table_failures_max.into(),
        delays: spec.following.as_ref().map(|_| Delays {
            failure: settings.failure_delay,
            suspend: settings.suspend_delay,
        }),
        first_look_after: settings.query_delay,
        touched: Arc::default(),
        known: known
            .filter_map(|(name, known)| Some((name.clone(), engine_validation(known)?)))
            .collect(),
        requests: Arc::clone(requests),
    })
}

/// A validator at work beside a run.
pub(super) struct Validating {
    stop: CancellationToken,
    task: Background<()>,
}

impl Validating {
    pub(super) fn start(validator: Validator) -> Self {
        let stop = CancellationToken::new();
        let task = in_background("validation", validator.keep_up(stop.clone()));
        Self { stop, task }
    }

    /// The run is over: nothing is compared any more.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the validation ended abnormally");
        }
    }
}

/// How the validation of a full load came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// Something is known of every table, or tables are to be loaded again.
    ForNow,
    Stopped,
}

/// Compares what is loaded.
pub(super) async fn settle(validator: &mut Validator, signals: &Signals) -> Settled {
    let reloads = &signals.requests.reloads;
    loop {
        tokio::select! {
            () = signals.stop.cancelled() => return Settled::Stopped,
            () = validator.settle() => return Settled::ForNow,
            () = reloads.asked() => if !reloads.is_empty() {
                return Settled::ForNow;
            }
        }
    }
}

/// How far the comparison of each table is.
pub(super) fn progress_of(snapshot: &ProgressSnapshot) -> BTreeMap<TableName, ValidationProgress> {
    let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let validations = snapshot.validations.iter().map(|(name, table)| {
        let is_of_this_load = snapshot.tables.get(name).is_some_and(|load| {
            load.reload_count == table.reload_count && !is_on_its_way(load.state)
        });
        let known = if is_of_this_load {
            TableValidation {
                state: state(table.state),
                pending: signed(table.pending),
                failed: signed(table.failed),
                suspended: signed(table.suspended),
                details: table.details.clone(),
            }
        } else {
            TableValidation::of(ValidationState::PendingValidation)
        };
        let progress = ValidationProgress {
            known,
            request_count: table.request_count,
        };
        (name.clone(), progress)
    });
    validations.collect()
}

fn is_on_its_way(state: TableState) -> bool {
    matches!(
        state,
        TableState::BeforeLoad | TableState::FullLoad | TableState::Cancelled
    )
}

fn state(state: Seen) -> ValidationState {
    match state {
        Seen::PendingValidation => ValidationState::PendingValidation,
        Seen::PreparingTable => ValidationState::PreparingTable,
        Seen::PendingRecords => ValidationState::PendingRecords,
        Seen::Validated => ValidationState::Validated,
        Seen::MismatchedRecords => ValidationState::MismatchedRecords,
        Seen::SuspendedRecords => ValidationState::SuspendedRecords,
        Seen::NoPrimaryKey => ValidationState::NoPrimaryKey,
        Seen::TableError => ValidationState::TableError,
        Seen::Error => ValidationState::Error,
        Seen::PendingRevalidation => ValidationState::PendingRevalidation,
    }
}

/// What an earlier run found out, as the engine has it.
fn engine_validation(known: &TableValidation) -> Option<whimbrel_engine::TableValidation> {
    let state = match known.state {
        ValidationState::NotEnabled => return None,
        ValidationState::PendingValidation => Seen::PendingValidation,
        ValidationState::PreparingTable => Seen::PreparingTable,
        ValidationState::PendingRecords => Seen::PendingRecords,
        ValidationState::Validated => Seen::Validated,
        ValidationState::MismatchedRecords => Seen::MismatchedRecords,
        ValidationState::SuspendedRecords => Seen::SuspendedRecords,
        ValidationState::NoPrimaryKey => Seen::NoPrimaryKey,
        ValidationState::TableError => Seen::TableError,
        ValidationState::Error => Seen::Error,
        ValidationState::PendingRevalidation => Seen::PendingRevalidation,
    };
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    Some(whimbrel_engine::TableValidation {
        state,
        pending: 0,
        failed: count(known.failed),
        suspended: count(known.suspended),
        details: known.details.clone(),
        request_count: 0,
        reload_count: 0,
    })
}
