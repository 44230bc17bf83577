//! What requests ask for, checked.

use whimbrel_core::Engine;
use whimbrel_engine::assess::{ALL_VALUES, CHECKS, Values};
use whimbrel_model as model;
use whimbrel_store::{Endpoint, MigrationType, ReplicationTask, ResultLocation, Transaction};

use crate::context::Context;
use crate::engine_catalog;
use crate::fault::{self, Fault, invalid_combination, invalid_state, invalid_value};
use crate::listing::PageRequest;
use crate::operations::{instances, tasks};

/// The longest name of a folder on disk.
const NAME_BYTES_MAX: usize = 255;
const KMS: &str = "SSE_KMS";
const ENCRYPTION_MODES: [&str; 2] = ["SSE_S3", KMS];

/// What StartReplicationTaskAssessmentRun asks for.
pub(super) struct AskedRun {
    pub(super) name: String,
    pub(super) location: ResultLocation,
    /// The names of the checks, in their order.
    pub(super) checks: Vec<&'static str>,
}

impl AskedRun {
    pub(super) fn parse(
        message: model::StartReplicationTaskAssessmentRunMessage,
        engines: (Engine, Engine),
        migration_type: MigrationType,
    ) -> Result<Self, Fault> {
        let checks = chosen(
            &applicable_names(engines, migration_type),
            &message.include_only.unwrap_or_default(),
            &message.exclude.unwrap_or_default(),
        )?;
        let name = message.assessment_run_name;
        check_segment("AssessmentRunName", &name)?;
        let role_arn = message.service_access_role_arn;
        if !role_arn.starts_with("arn:") || !role_arn.contains(":role/") {
            return Err(invalid_value(format!(
                "Invalid ServiceAccessRoleArn {role_arn}. It must be the ARN of a role"
            )));
        }
        check_bucket(&message.result_location_bucket)?;
        let folder = message
            .result_location_folder
            .filter(|folder| !folder.is_empty());
        for segment in folder
            .iter()
            .flat_map(|folder| folder.trim_matches('/').split('/'))
        {
            check_segment("ResultLocationFolder", segment)?;
        }
        let (mode, key) = (message.result_encryption_mode, message.result_kms_key_arn);
        check_encryption(mode.as_deref(), key.as_deref())?;
        Ok(Self {
            name,
            location: ResultLocation {
                role_arn,
                bucket: message.result_location_bucket,
                folder,
                encryption_mode: mode,
                kms_key_arn: key,
            },
            checks,
        })
    }
}

/// The names of all checks that a run can be told to make.
fn applicable_names(engines: (Engine, Engine), migration_type: MigrationType) -> Vec<&'static str> {
    let values = Values {
        sampled: Some(1),
        all: true,
    };
    let follows = migration_type != MigrationType::FullLoad;
    let applicable = CHECKS
        .iter()
        .filter(|check| check.applies(engines, follows, values));
    applicable.map(|check| check.name).collect()
}

/// Those that are asked for. One that reads all rows is made where it is named alone.
fn chosen(
    applicable: &[&'static str],
    include_only: &[String],
    exclude: &[String],
) -> Result<Vec<&'static str>, Fault> {
    if !include_only.is_empty() && !exclude.is_empty() {
        return Err(invalid_combination(
            "IncludeOnly and Exclude cannot both be given".to_owned(),
        ));
    }
    for name in include_only.iter().chain(exclude) {
        if !applicable.contains(&name.as_str()) {
            return Err(invalid_value(format!(
                "The individual assessment {name} is not applicable to the task. DescribeApplicableIndividualAssessments lists those that are"
            )));
        }
    }
    let named = |names: &[String], check: &str| names.iter().any(|name| name == check);
    let is_chosen = |check: &&'static str| {
        if include_only.is_empty() {
            **check != *ALL_VALUES && !named(exclude, check)
        } else {
            named(include_only, check)
        }
    };
    let chosen: Vec<&'static str> = applicable
        .iter()
        .copied()
        .filter(|check| is_chosen(check))
        .collect();
    if chosen.is_empty() {
        return Err(invalid_value(
            "Exclude leaves no individual assessment to run".to_owned(),
        ));
    }
    Ok(chosen)
}

/// The rule of the service for names of buckets, which makes them names of folders too.
fn check_bucket(bucket: &str) -> Result<(), Fault> {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = bucket.as_bytes();
    let is_bucket = (3..=63).contains(&bytes.len())
        && bytes
            .iter()
            .all(|&byte| is_word(byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().copied().is_some_and(is_word)
        && bytes.last().copied().is_some_and(is_word)
        && !bucket.contains("..");
    if is_bucket {
        return Ok(());
    }
    Err(invalid_value(format!(
        "Invalid ResultLocationBucket {bucket}. A bucket's name has 3 to 63 lower-case letters, digits, hyphens and single periods, and begins and ends with a letter or digit"
    )))
}

/// A name that becomes one of a folder: nothing that leads elsewhere.
fn check_segment(member: &str, segment: &str) -> Result<(), Fault> {
    let leads_elsewhere = matches!(segment, "" | "." | "..") || segment.contains('/');
    if leads_elsewhere || segment.len() > NAME_BYTES_MAX || segment.chars().any(char::is_control) {
        return Err(invalid_value(format!(
            "Invalid {member} {segment:?}. Its parts must have 1 to {NAME_BYTES_MAX} bytes without control characters, and must not be . or .."
        )));
    }
    Ok(())
}

fn check_encryption(mode: Option<&str>, key: Option<&str>) -> Result<(), Fault> {
    if let Some(mode) = mode.filter(|mode| !ENCRYPTION_MODES.contains(mode)) {
        return Err(invalid_value(format!(
            "Invalid ResultEncryptionMode {mode}. Valid values: {}",
            ENCRYPTION_MODES.join(", ")
        )));
    }
    if (mode == Some(KMS)) != key.is_some() {
        return Err(invalid_combination(
            "ResultKmsKeyArn is required with the ResultEncryptionMode SSE_KMS, and with no other"
                .to_owned(),
        ));
    }
    Ok(())
}

/// The engines of a task's ends.
pub(super) async fn engines_of(
    transaction: &mut dyn Transaction,
    task: &ReplicationTask,
) -> Result<(Engine, Engine), Fault> {
    let mut engines = Vec::new();
    for id in [&task.source_endpoint_id, &task.target_endpoint_id] {
        let endpoint = transaction.find::<Endpoint>(id.as_str()).await?;
        let endpoint =
            endpoint.ok_or_else(|| invalid_state("An endpoint of the task is gone".to_owned()))?;
        let engine = engine_catalog::connects_to(&endpoint.engine_name).ok_or_else(|| {
            invalid_state(format!(
                "The task cannot be assessed: the engine {} of the endpoint {} is not supported by this version",
                endpoint.engine_name, endpoint.identifier
            ))
        })?;
        engines.push(engine);
    }
    Ok((engines[0], engines[1]))
}

/// DescribeApplicableIndividualAssessments.
pub(in crate::operations) async fn applicable(
    context: &Context,
    message: model::DescribeApplicableIndividualAssessmentsMessage,
) -> Result<model::DescribeApplicableIndividualAssessmentsResponse, Fault> {
    let page = PageRequest::parse(
        "applicable assessments",
        message.max_records,
        message.marker.as_deref(),
        1..=i32::MAX,
    )?;
    if let Some(arn) = &message.replication_config_arn {
        return Err(fault::not_found(format!(
            "Replication Config {arn} not found."
        )));
    }
    let asked = (
        message.replication_instance_arn.as_deref(),
        message.source_engine_name.as_deref(),
        message.target_engine_name.as_deref(),
        message.migration_type.as_deref(),
    );
    let mut transaction = context.store.view().await?;
    let (engines, migration_type) = match (message.replication_task_arn.as_deref(), asked) {
        (Some(arn), (None, None, None, None)) => {
            let task = tasks::find(context, &mut *transaction, arn).await?;
            (
                engines_of(&mut *transaction, &task).await?,
                task.migration_type,
            )
        }
        (None, (Some(instance), Some(source), Some(target), Some(migration_type))) => {
            instances::find(context, &mut *transaction, instance).await?;
            let engines = (engine_of(source)?, engine_of(target)?);
            (engines, tasks::migration_type(migration_type)?)
        }
        _ => {
            return Err(invalid_combination(
                "Give ReplicationTaskArn alone, or all of ReplicationInstanceArn, SourceEngineName, TargetEngineName and MigrationType".to_owned(),
            ));
        }
    };
    let (names, marker) = page.cut_fixed(applicable_names(engines, migration_type));
    Ok(model::DescribeApplicableIndividualAssessmentsResponse {
        individual_assessment_names: Some(names.into_iter().map(str::to_owned).collect()),
        marker,
    })
}

fn engine_of(name: &str) -> Result<Engine, Fault> {
    engine_catalog::connects_to(name).ok_or_else(|| {
        invalid_value(format!(
            "The engine {name} is not one that this version assesses; DescribeEndpointTypes lists those that are"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["a", "my run", "2026-11-28", "é"] {
            assert!(check_segment("m", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a\0", "a\nb", &"x".repeat(256)] {
            assert!(check_segment("m", bad).is_err(), "{bad:?}");
        }
        for bad in ["", "ab", "-ab", "Abc", "a..b", "../x", "a/b", "abc."] {
            assert!(check_bucket(bad).is_err(), "{bad}");
        }
        assert!(check_bucket("my-results.1").is_ok());
    }

    #[test]
    fn all_rows_are_read_where_that_is_asked_for() {
        let applicable =
            applicable_names((Engine::Postgres, Engine::MySql), MigrationType::FullLoad);
        let usual = chosen(&applicable, &[], &[]).unwrap();
        assert!(!usual.contains(&ALL_VALUES));
        assert_eq!(usual.len() + 1, applicable.len());
        let named = chosen(&applicable, &[ALL_VALUES.to_owned()], &[]).unwrap();
        assert_eq!(named, [ALL_VALUES]);
        let all: Vec<String> = usual.iter().map(|&name| name.to_owned()).collect();
        assert!(chosen(&applicable, &[], &all).is_err());
    }
}
