//! Where following begins and ends, as far as requests say so.

use whimbrel_connector::StartPoint;
use whimbrel_core::Engine;
use whimbrel_engine::StopTime;
use whimbrel_store::{Endpoint, EpochMs, MigrationType, ReplicationTask, Transaction};

use crate::cdc_points;
use crate::engine_catalog;
use crate::fault::{Fault, invalid_combination, invalid_value};

/// What a request says of where following begins and ends.
#[derive(Debug)]
pub(super) struct Points {
    start_time: Option<EpochMs>,
    start_position: Option<String>,
    stop: Stop,
}

#[derive(Debug)]
enum Stop {
    /// Nothing is said.
    AsBefore,
    /// What was said before is taken back.
    Nowhere,
    At(String),
}

impl Points {
    /// Checks what is given. An empty `CdcStopPosition` takes back an earlier one.
    pub(super) fn parse(
        start_time: Option<EpochMs>,
        start_position: Option<String>,
        stop_position: Option<String>,
    ) -> Result<Self, Fault> {
        if start_time.is_some() && start_position.is_some() {
            return Err(invalid_combination(
                "CdcStartTime and CdcStartPosition cannot both be given".to_owned(),
            ));
        }
        let stop = match stop_position {
            None => Stop::AsBefore,
            Some(position) if position.is_empty() => Stop::Nowhere,
            Some(position) if cdc_points::stop(&position).is_some() => Stop::At(position),
            Some(position) => {
                return Err(invalid_value(format!(
                    "Invalid CdcStopPosition {position}. It must be server_time:YYYY-MM-DDThh:mm:ss or commit_time:YYYY-MM-DDThh:mm:ss, or empty to have none"
                )));
            }
        };
        Ok(Self {
            start_time,
            start_position,
            stop,
        })
    }

    /// Gives the task what is given.
    pub(super) fn apply(self, task: &mut ReplicationTask) -> Result<(), Fault> {
        self.check_follows(task.migration_type)?;
        if self.start_time.is_some() || self.start_position.is_some() {
            task.cdc_start_time = self.start_time;
            task.cdc_start_position = self.start_position;
        }
        match self.stop {
            Stop::AsBefore => {}
            Stop::Nowhere => task.cdc_stop_position = None,
            Stop::At(position) => task.cdc_stop_position = Some(position),
        }
        Ok(())
    }

    /// Where following begins or ends is no matter of a load.
    fn check_follows(&self, migration_type: MigrationType) -> Result<(), Fault> {
        let is_any_given = self.start_time.is_some()
            || self.start_position.is_some()
            || matches!(self.stop, Stop::At(_));
        if is_any_given && migration_type == MigrationType::FullLoad {
            return Err(invalid_combination(
                "CdcStartTime, CdcStartPosition and CdcStopPosition apply only to tasks that follow changes".to_owned(),
            ));
        }
        Ok(())
    }

    /// A task that was to end at a time would end at once after it. Who gives such a time with the start may want just that.
    pub(super) fn check_stop_time(&self, task: &ReplicationTask) -> Result<(), Fault> {
        let kept = match &self.stop {
            Stop::AsBefore => task.cdc_stop_position.as_deref(),
            Stop::Nowhere | Stop::At(_) => None,
        };
        let kept = kept.filter(|_| task.migration_type != MigrationType::FullLoad);
        let now_us = EpochMs::now().0.saturating_mul(1000);
        match kept.and_then(cdc_points::stop) {
            Some(StopTime::Server(at_us)) if at_us <= now_us => Err(invalid_combination(format!(
                "The time of the task's CdcStopPosition {} has passed, so that it would stop at once: give a later one, or an empty one to follow without an end",
                kept.unwrap_or_default()
            ))),
            Some(StopTime::Server(_) | StopTime::Commit(_)) | None => Ok(()),
        }
    }
}

/// The log of PostgreSQL cannot be searched for a time.
pub(super) async fn check_start_time(
    transaction: &mut dyn Transaction,
    task: &ReplicationTask,
) -> Result<(), Fault> {
    let start = cdc_points::start(task.cdc_start_time, task.cdc_start_position.as_deref());
    if !matches!(start, Some(StartPoint::Time(_))) {
        return Ok(());
    }
    let source = transaction
        .find::<Endpoint>(task.source_endpoint_id.as_str())
        .await?;
    let engine = source.and_then(|source| engine_catalog::connects_to(&source.engine_name));
    if engine == Some(Engine::Postgres) {
        return Err(invalid_combination(
            "CdcStartTime cannot be used with a PostgreSQL source, whose log cannot be searched for a time: give CdcStartPosition, the LSN to begin at, or neither to begin now"
                .to_owned(),
        ));
    }
    Ok(())
}
