//! The schemas of an endpoint's database.

use whimbrel_model as model;
use whimbrel_store::{EndpointStatus, SchemaRefresh, SchemaRefreshStatus};

use super::{endpoints, instances};
use crate::arn::ArnKind;
use crate::context::Context;
use crate::endpoint_config::new_attempt;
use crate::fault::{self, Fault, invalid_state};
use crate::listing::NamePageRequest;

pub(super) async fn refresh(
    context: &Context,
    message: model::RefreshSchemasMessage,
) -> Result<model::RefreshSchemasResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let endpoint = endpoints::find(context, &mut *transaction, &message.endpoint_arn).await?;
    let instance = instances::find(
        context,
        &mut *transaction,
        &message.replication_instance_arn,
    )
    .await?;
    instances::check_available(&instance)?;
    if endpoint.status == EndpointStatus::Deleting {
        return Err(invalid_state(format!(
            "Endpoint {} is being deleted.",
            endpoint.identifier
        )));
    }
    let old = transaction
        .find::<SchemaRefresh>(endpoint.id.as_str())
        .await?;
    if old
        .as_ref()
        .is_some_and(|old| old.status == SchemaRefreshStatus::Refreshing)
    {
        return Err(invalid_state(format!(
            "The schemas of the endpoint {} are already being refreshed.",
            endpoint.identifier
        )));
    }
    let old = old.map(|old| old.value);
    let refresh = SchemaRefresh {
        endpoint_id: endpoint.id.clone(),
        instance_id: instance.id.clone(),
        status: SchemaRefreshStatus::Refreshing,
        refreshed_at: old.as_ref().and_then(|old| old.refreshed_at),
        last_failure_message: None,
        attempt: new_attempt(),
        schemas: old.map(|old| old.schemas).unwrap_or_default(),
    };
    transaction.put(&refresh).await?;
    transaction.commit().await?;
    Ok(model::RefreshSchemasResponse {
        refresh_schemas_status: Some(to_wire(context, &refresh)),
    })
}

pub(super) async fn describe_status(
    context: &Context,
    message: model::DescribeRefreshSchemasStatusMessage,
) -> Result<model::DescribeRefreshSchemasStatusResponse, Fault> {
    let mut transaction = context.store.view().await?;
    let endpoint = endpoints::find(context, &mut *transaction, &message.endpoint_arn).await?;
    let refresh = transaction
        .find::<SchemaRefresh>(endpoint.id.as_str())
        .await?;
    let refresh = refresh.ok_or_else(|| {
        fault::not_found(format!(
            "The schemas of the endpoint {} were never refreshed.",
            endpoint.identifier
        ))
    })?;
    Ok(model::DescribeRefreshSchemasStatusResponse {
        refresh_schemas_status: Some(to_wire(context, &refresh)),
    })
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeSchemasMessage,
) -> Result<model::DescribeSchemasResponse, Fault> {
    let mut transaction = context.store.view().await?;
    let endpoint = endpoints::find(context, &mut *transaction, &message.endpoint_arn).await?;
    let page = NamePageRequest::parse(
        format!("schemas of {}", endpoint.id),
        message.max_records,
        message.marker.as_deref(),
    )?;
    let refresh = transaction
        .find::<SchemaRefresh>(endpoint.id.as_str())
        .await?;
    let schemas = refresh
        .map(|refresh| refresh.value.schemas)
        .unwrap_or_default();
    let (schemas, marker) = page.cut(schemas);
    Ok(model::DescribeSchemasResponse {
        marker,
        schemas: Some(schemas),
    })
}

fn to_wire(context: &Context, refresh: &SchemaRefresh) -> model::RefreshSchemasStatus {
    model::RefreshSchemasStatus {
        endpoint_arn: Some(
            context
                .home
                .arn(ArnKind::Endpoint, refresh.endpoint_id.as_str()),
        ),
        replication_instance_arn: Some(
            context
                .home
                .arn(ArnKind::Instance, refresh.instance_id.as_str()),
        ),
        status: Some(refresh.status.as_str().into()),
        last_refresh_date: refresh.refreshed_at.map(super::timestamp),
        last_failure_message: refresh.last_failure_message.clone(),
    }
}
