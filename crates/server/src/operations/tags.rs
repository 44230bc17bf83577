//! Tags of instances, endpoints, tasks, certificates, subnet groups and assessment runs.

use whimbrel_model as model;
use whimbrel_store::{
    AssessmentRun, Certificate, Endpoint, ReplicationInstance, ReplicationTask, Resource as _,
    SubnetGroup, Tag, TagSet, Transaction,
};

use crate::arn::ArnKind;
use crate::context::Context;
use crate::fault::{self, Fault, invalid_value};

const KEY_LENGTH_MAX: usize = 128;
const VALUE_LENGTH_MAX: usize = 256;
const TAGS_MAX: usize = 50;
const RESERVED: [&str; 2] = ["aws:", "dms:"];

fn checked(tag: model::Tag) -> Result<Tag, Fault> {
    let (key, value) = (tag.key.unwrap_or_default(), tag.value.unwrap_or_default());
    if !(1..=KEY_LENGTH_MAX).contains(&key.chars().count()) {
        return Err(invalid_value(format!(
            "A tag key must have 1 to {KEY_LENGTH_MAX} characters: \"{key}\""
        )));
    }
    if value.chars().count() > VALUE_LENGTH_MAX {
        return Err(invalid_value(format!(
            "The value of the tag {key} has more than {VALUE_LENGTH_MAX} characters"
        )));
    }
    if RESERVED.iter().any(|prefix| {
        key.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    }) {
        return Err(invalid_value(format!(
            "The tag key {key} begins with a reserved prefix (aws: or dms:)"
        )));
    }
    Ok(Tag { key, value })
}

/// Adds to the tags of a resource: a key that is there gets the new value.
async fn add(
    transaction: &mut dyn Transaction,
    arn: &str,
    given: Vec<model::Tag>,
) -> Result<(), Fault> {
    let old = transaction.find::<TagSet>(arn).await?;
    let mut set = old.map_or_else(
        || TagSet {
            arn: arn.to_owned(),
            tags: Vec::new(),
        },
        |stored| stored.value,
    );
    for tag in given {
        let tag = checked(tag)?;
        match set.tags.iter_mut().find(|old| old.key == tag.key) {
            Some(old) => old.value = tag.value,
            None => set.tags.push(tag),
        }
    }
    if set.tags.len() > TAGS_MAX {
        return Err(invalid_value(format!(
            "A resource may have at most {TAGS_MAX} tags, not {}",
            set.tags.len()
        )));
    }
    transaction.put(&set).await?;
    Ok(())
}

/// The tags of a resource that is being made.
pub(super) async fn create(
    transaction: &mut dyn Transaction,
    arn: &str,
    given: Option<Vec<model::Tag>>,
) -> Result<(), Fault> {
    match given {
        Some(given) if !given.is_empty() => add(transaction, arn, given).await,
        _ => Ok(()),
    }
}

async fn check_exists(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
) -> Result<(), Fault> {
    let kind = context.home.parse(arn).and_then(|(kind, id)| {
        let kind = match kind {
            ArnKind::Instance => ReplicationInstance::KIND,
            ArnKind::Endpoint => Endpoint::KIND,
            ArnKind::Task => ReplicationTask::KIND,
            ArnKind::Certificate => Certificate::KIND,
            ArnKind::SubnetGroup => SubnetGroup::KIND,
            ArnKind::AssessmentRun => AssessmentRun::KIND,
            ArnKind::IndividualAssessment => return None,
        };
        Some((kind, id))
    });
    let found = match kind {
        Some((kind, id)) => transaction.get(kind, id).await?,
        None => None,
    };
    found
        .map(|_| ())
        .ok_or_else(|| fault::not_found(format!("Resource {arn} not found.")))
}

pub(super) async fn add_to_resource(
    context: &Context,
    message: model::AddTagsToResourceMessage,
) -> Result<model::AddTagsToResourceResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    check_exists(context, &mut *transaction, &message.resource_arn).await?;
    add(&mut *transaction, &message.resource_arn, message.tags).await?;
    transaction.commit().await?;
    Ok(model::AddTagsToResourceResponse {})
}

pub(super) async fn remove_from_resource(
    context: &Context,
    message: model::RemoveTagsFromResourceMessage,
) -> Result<model::RemoveTagsFromResourceResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    check_exists(context, &mut *transaction, &message.resource_arn).await?;
    if let Some(mut set) = transaction.find::<TagSet>(&message.resource_arn).await? {
        set.tags.retain(|tag| !message.tag_keys.contains(&tag.key));
        transaction.replace(&set).await?;
        transaction.commit().await?;
    }
    Ok(model::RemoveTagsFromResourceResponse {})
}

pub(super) async fn list(
    context: &Context,
    message: model::ListTagsForResourceMessage,
) -> Result<model::ListTagsForResourceResponse, Fault> {
    let arns = match (message.resource_arn, message.resource_arn_list) {
        (Some(arn), None) => vec![arn],
        (None, Some(arns)) if !arns.is_empty() => arns,
        (Some(_), Some(_)) => {
            return Err(fault::invalid_combination(
                "ResourceArn and ResourceArnList cannot both be given".to_owned(),
            ));
        }
        (None, _) => {
            return Err(invalid_value(
                "ResourceArn or ResourceArnList must be given".to_owned(),
            ));
        }
    };
    let mut transaction = context.store.view().await?;
    let mut tags = Vec::new();
    for arn in arns {
        check_exists(context, &mut *transaction, &arn).await?;
        let set = transaction.find::<TagSet>(&arn).await?;
        tags.extend(
            set.into_iter()
                .flat_map(|set| set.value.tags)
                .map(|tag| model::Tag {
                    key: Some(tag.key),
                    value: Some(tag.value),
                    resource_arn: Some(arn.clone()),
                }),
        );
    }
    Ok(model::ListTagsForResourceResponse {
        tag_list: Some(tags),
    })
}
