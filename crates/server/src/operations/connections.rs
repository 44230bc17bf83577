//! Connections: whether an instance reaches an endpoint's database.
//!
//! TestConnection only writes that a test is wanted; [`crate::reconcile`] makes it.

use whimbrel_model as model;
use whimbrel_store::{
    Connection, ConnectionId, ConnectionStatus, Endpoint, EndpointStatus, ReplicationInstance,
    ReplicationTask,
};

use super::{endpoints, instances};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::endpoint_config::new_attempt;
use crate::fault::{self, Fault, invalid_state};
use crate::listing::{Filters, PageRequest, USUAL_PAGE};
use crate::quota::{self, InstanceQuota};
use crate::task_lifecycle;

const ENDPOINT_FILTER: &str = "endpoint-arn";
const INSTANCE_FILTER: &str = "replication-instance-arn";

pub(super) async fn test(
    context: &Context,
    message: model::TestConnectionMessage,
) -> Result<model::TestConnectionResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let instance = instances::find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    let endpoint = endpoints::find(context, &mut *transaction, &message.endpoint_arn).await?;
    instances::check_available(&instance)?;
    if endpoint.status == EndpointStatus::Deleting {
        return Err(invalid_state(format!(
            "Endpoint {} is being deleted.",
            endpoint.identifier
        )));
    }
    let id = ConnectionId::of(&instance.id, &endpoint.id);
    let old = transaction.find::<Connection>(id.as_str()).await?;
    match old.as_ref().map(|old| old.status) {
        Some(ConnectionStatus::Testing) => {
            return Err(invalid_state(format!(
                "Connection between the replication instance {} and the endpoint {} is already being tested.",
                instance.identifier, endpoint.identifier
            )));
        }
        Some(ConnectionStatus::Deleting) => {
            return Err(invalid_state(
                "The connection is being deleted. Test it again in a moment.".to_owned(),
            ));
        }
        Some(ConnectionStatus::Successful | ConnectionStatus::Failed) => {}
        None => {
            let mut connections = transaction.list::<Connection>().await?;
            connections.retain(|connection| connection.instance_id == instance.id);
            let used = connections.len();
            quota::check_on_instance(InstanceQuota::Endpoints, &instance, used)?;
        }
    }
    let connection = Connection {
        id,
        instance_id: instance.id.clone(),
        endpoint_id: endpoint.id.clone(),
        status: ConnectionStatus::Testing,
        last_failure_message: None,
        attempt: new_attempt(),
        endpoint_revision: endpoint.revision,
    };
    transaction.put(&connection).await?;
    transaction.commit().await?;
    Ok(model::TestConnectionResponse {
        connection: Some(to_wire(context, &connection, &instance, &endpoint)),
    })
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeConnectionsMessage,
) -> Result<model::DescribeConnectionsResponse, Fault> {
    let filters = super::filters(message.filters, &[ENDPOINT_FILTER, INSTANCE_FILTER])?;
    let page = PageRequest::parse(
        "connections",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    // One transaction, so that every connection is seen with its ends.
    let mut transaction = context.store.view().await?;
    let mut connections = transaction.list::<Connection>().await?;
    connections.retain(|connection| {
        let endpoint = context
            .home
            .arn(ArnKind::Endpoint, connection.endpoint_id.as_str());
        let instance = context
            .home
            .arn(ArnKind::Instance, connection.instance_id.as_str());
        filters.match_item(|name| {
            vec![if name == ENDPOINT_FILTER {
                endpoint.as_str()
            } else {
                instance.as_str()
            }]
        })
    });
    if connections.is_empty() {
        check_filtered_exist(context, &mut *transaction, &filters).await?;
    }
    let (connections, marker) = page.cut(connections);
    let mut wire = Vec::with_capacity(connections.len());
    for connection in connections {
        let instance = transaction
            .find::<ReplicationInstance>(connection.instance_id.as_str())
            .await?;
        let endpoint = transaction
            .find::<Endpoint>(connection.endpoint_id.as_str())
            .await?;
        if let (Some(instance), Some(endpoint)) = (instance, endpoint) {
            wire.push(to_wire(context, &connection, &instance, &endpoint));
        }
    }
    Ok(model::DescribeConnectionsResponse {
        marker,
        connections: Some(wire),
    })
}

/// An end without connections is an empty list; an end that does not exist is not found.
async fn check_filtered_exist(
    context: &Context,
    transaction: &mut dyn whimbrel_store::Transaction,
    filters: &Filters,
) -> Result<(), Fault> {
    for (filter, kind) in [
        (ENDPOINT_FILTER, ArnKind::Endpoint),
        (INSTANCE_FILTER, ArnKind::Instance),
    ] {
        let Some(arns) = filters.values(filter) else {
            continue;
        };
        let mut any = false;
        for id in arns.iter().filter_map(|arn| context.home.id_in(kind, arn)) {
            any |= match kind {
                ArnKind::Endpoint => transaction.find::<Endpoint>(id).await?.is_some(),
                _ => transaction.find::<ReplicationInstance>(id).await?.is_some(),
            };
        }
        if !any {
            return Err(fault::not_found(
                "No Connections found matching provided filters".to_owned(),
            ));
        }
    }
    Ok(())
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteConnectionMessage,
) -> Result<model::DeleteConnectionResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let instance = instances::find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    let endpoint = endpoints::find(context, &mut *transaction, &message.endpoint_arn).await?;
    let id = ConnectionId::of(&instance.id, &endpoint.id);
    let connection = transaction.find::<Connection>(id.as_str()).await?;
    let mut connection = connection.ok_or_else(|| {
        fault::not_found(format!(
            "Connection between the replication instance {} and the endpoint {} not found.",
            instance.identifier, endpoint.identifier
        ))
    })?;
    if connection.status == ConnectionStatus::Deleting {
        return Err(invalid_state(
            "The connection is already being deleted.".to_owned(),
        ));
    }
    let tasks = transaction.list::<ReplicationTask>().await?;
    let uses = |task: &ReplicationTask| {
        task.instance_id == instance.id
            && (task.source_endpoint_id == endpoint.id || task.target_endpoint_id == endpoint.id)
    };
    if let Some(task) = tasks
        .iter()
        .find(|task| uses(task) && task_lifecycle::is_active(task.status))
    {
        return Err(invalid_state(format!(
            "The connection is in use by the replication task {}. Stop the task first.",
            task.identifier
        )));
    }
    connection.status = ConnectionStatus::Deleting;
    let connection = transaction.replace(&connection).await?;
    transaction.commit().await?;
    Ok(model::DeleteConnectionResponse {
        connection: Some(to_wire(context, &connection, &instance, &endpoint)),
    })
}

fn to_wire(
    context: &Context,
    connection: &Connection,
    instance: &ReplicationInstance,
    endpoint: &Endpoint,
) -> model::Connection {
    model::Connection {
        replication_instance_arn: Some(context.home.arn(ArnKind::Instance, instance.id.as_str())),
        endpoint_arn: Some(context.home.arn(ArnKind::Endpoint, endpoint.id.as_str())),
        status: Some(connection.status.to_string()),
        last_failure_message: connection.last_failure_message.clone(),
        endpoint_identifier: Some(endpoint.identifier.clone()),
        replication_instance_identifier: Some(instance.identifier.clone()),
    }
}
