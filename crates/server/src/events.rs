//! What happened to instances and tasks, for DescribeEvents.

use whimbrel_store::{EpochMs, Event, EventSource, ReplicationInstance, ReplicationTask};

use crate::arn::random_id;

pub(crate) fn task_event(task: &ReplicationTask, category: &str, message: &str) -> Event {
    event(EventSource::Task, &task.identifier, category, message)
}

pub(crate) fn instance_event(
    instance: &ReplicationInstance,
    category: &str,
    message: &str,
) -> Event {
    event(
        EventSource::Instance,
        &instance.identifier,
        category,
        message,
    )
}

fn event(source: EventSource, identifier: &str, category: &str, message: &str) -> Event {
    Event {
        id: random_id(),
        source_identifier: identifier.to_owned(),
        source,
        message: message.to_owned(),
        categories: vec![category.to_owned()],
        at: EpochMs::now(),
    }
}
