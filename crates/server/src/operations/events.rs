//! Events of instances and tasks.

use whimbrel_model as model;
use whimbrel_store::{EpochMs, Event, EventSource};

use crate::context::Context;
use crate::fault::{Fault, invalid_combination, invalid_value};
use crate::listing::{PageRequest, USUAL_PAGE};

/// Without any times, a request is for the last hour.
const DEFAULT_WINDOW_MINUTES: i64 = 60;
/// The service keeps events for two weeks; so do we.
pub(crate) const KEPT_MS: i64 = 14 * 24 * 60 * 60 * 1000;
const MS_PER_MINUTE: i64 = 60_000;

const INSTANCE_CATEGORIES: &[&str] = &[
    "configuration change",
    "creation",
    "deletion",
    "maintenance",
    "low storage",
    "failover",
    "failure",
];
const TASK_CATEGORIES: &[&str] = &[
    "configuration change",
    "state change",
    "creation",
    "deletion",
    "failure",
];

fn source_type(text: &str) -> Result<EventSource, Fault> {
    text.parse().map_err(|_| {
        invalid_value(format!(
            "Invalid SourceType {text}. Valid values: replication-instance, replication-task"
        ))
    })
}

fn window(
    message: &model::DescribeEventsMessage,
    now: EpochMs,
) -> Result<(EpochMs, EpochMs), Fault> {
    let start = message.start_time.map(super::epoch_ms);
    let end = message.end_time.map(super::epoch_ms);
    if message.duration.is_some() && (start.is_some() || end.is_some()) {
        return Err(invalid_combination(
            "Duration cannot be given together with StartTime or EndTime".to_owned(),
        ));
    }
    let minutes = message.duration.map_or(DEFAULT_WINDOW_MINUTES, i64::from);
    if minutes < 0 {
        return Err(invalid_value(format!(
            "Invalid Duration {minutes}. It must not be negative"
        )));
    }
    let end = end.unwrap_or(now);
    let start = start.unwrap_or_else(|| end.plus_ms(-minutes.saturating_mul(MS_PER_MINUTE)));
    if start > end {
        return Err(invalid_combination(
            "StartTime must not be after EndTime".to_owned(),
        ));
    }
    Ok((start, end))
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeEventsMessage,
) -> Result<model::DescribeEventsResponse, Fault> {
    let (start, end) = window(&message, EpochMs::now())?;
    let source = message
        .source_type
        .as_ref()
        .map(|text| source_type(text.as_str()))
        .transpose()?;
    if message.source_identifier.is_some() && source.is_none() {
        return Err(invalid_combination(
            "SourceIdentifier needs a SourceType".to_owned(),
        ));
    }
    let filters = super::filters(message.filters, &["replication-instance-id"])?;
    let page = PageRequest::parse(
        "events",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut events = context.store.list::<Event>().await?;
    events.retain(|event| {
        let is_of_source = source.is_none_or(|source| source == event.source)
            && message
                .source_identifier
                .as_ref()
                .is_none_or(|identifier| identifier.eq_ignore_ascii_case(&event.source_identifier));
        let has_category = match &message.event_categories {
            Some(wanted) if !wanted.is_empty() => event
                .categories
                .iter()
                .any(|category| wanted.contains(category)),
            _ => true,
        };
        let of_instance = filters.is_empty()
            || (event.source == EventSource::Instance
                && filters.match_item(|_| vec![event.source_identifier.as_str()]));
        (start..=end).contains(&event.at) && is_of_source && has_category && of_instance
    });
    let (events, marker) = page.cut(events);
    let events = events.into_iter().map(|event| model::Event {
        source_identifier: Some(event.source_identifier),
        source_type: Some(event.source.as_str().into()),
        message: Some(event.message),
        event_categories: Some(event.categories),
        date: Some(super::timestamp(event.at)),
    });
    Ok(model::DescribeEventsResponse {
        marker,
        events: Some(events.collect()),
    })
}

#[allow(clippy::unused_async, reason = "handlers have one form")]
pub(super) async fn describe_categories(
    _: &Context,
    message: model::DescribeEventCategoriesMessage,
) -> Result<model::DescribeEventCategoriesResponse, Fault> {
    let wanted = message
        .source_type
        .as_deref()
        .map(source_type)
        .transpose()?;
    let groups = [
        (EventSource::Instance, INSTANCE_CATEGORIES),
        (EventSource::Task, TASK_CATEGORIES),
    ];
    let groups = groups
        .into_iter()
        .filter(|(source, _)| wanted.is_none_or(|wanted| wanted == *source));
    let groups = groups.map(|(source, categories)| model::EventCategoryGroup {
        source_type: Some(source.to_string()),
        event_categories: Some(
            categories
                .iter()
                .map(|&category| category.to_owned())
                .collect(),
        ),
    });
    Ok(model::DescribeEventCategoriesResponse {
        event_category_group_list: Some(groups.collect()),
    })
}
