//! Endpoints: the stored connection settings of one end.
//!
//! Login and engine settings may come in two places, beside each other and inside the engine's own structure; they are kept in one and
//! answered in both. Secrets leave the message before anything else is done with it and are kept sealed.

mod settings;
mod wire;

use whimbrel_model as model;
use whimbrel_store::{
    CertificateId, Connection, ConnectionStatus, Endpoint, EndpointId, EndpointRole,
    EndpointStatus, EpochMs, ReplicationTask, Resource as _, SchemaRefresh, SchemaRefreshStatus,
    SslMode, Stored, Transaction,
};

use self::settings::Given;
use self::wire::to_wire;
use super::{certificates, tags};
use crate::arn::{ArnKind, random_id};
use crate::context::Context;
use crate::endpoint_config::{PASSWORD, new_attempt, parse_attributes};
use crate::engine_catalog::{self, engine_names};
use crate::fault::{self, Fault, invalid_state, invalid_value};
use crate::identifier;
use crate::listing::{Filters, PageRequest, USUAL_PAGE};
use crate::quota::{self, Quota};
use crate::task_lifecycle;

pub(super) async fn create(
    context: &Context,
    message: model::CreateEndpointMessage,
) -> Result<model::CreateEndpointResponse, Fault> {
    let given = Given::of_create(&message)?;
    let id = EndpointId(match &message.resource_identifier {
        Some(text) => identifier::resource_identifier(text)?,
        None => random_id(),
    });
    let mut endpoint = Endpoint {
        identifier: identifier::endpoint_identifier(&message.endpoint_identifier)?,
        role: role(message.endpoint_type.as_str())?,
        engine_name: check_engine_name(&message.engine_name)?,
        server_name: None,
        port: None,
        username: None,
        database_name: None,
        extra_connection_attributes: message.extra_connection_attributes,
        ssl_mode: ssl_mode(message.ssl_mode.as_deref())?,
        certificate_id: None,
        kms_key_id: Some(
            identifier::kms_key(message.kms_key_id)?.unwrap_or_else(|| context.default_kms_key()),
        ),
        service_access_role_arn: message.service_access_role_arn,
        external_table_definition: message.external_table_definition,
        settings: std::collections::BTreeMap::new(),
        secrets: std::collections::BTreeMap::new(),
        status: EndpointStatus::Active,
        revision: 1,
        created_at: EpochMs::now(),
        id,
    };
    given.apply(context, &mut endpoint, settings::Mode::Merge)?;
    let mut transaction = context.store.begin().await?;
    endpoint.certificate_id = certificate(
        context,
        &mut *transaction,
        message.certificate_arn.as_deref(),
    )
    .await?;
    check(&endpoint)?;
    quota::check(
        Quota::Endpoints,
        transaction.list::<Endpoint>().await?.len(),
    )?;
    let arn = context.home.arn(ArnKind::Endpoint, endpoint.id.as_str());
    if let Err(error) = transaction.create(&endpoint).await {
        return Err(fault::taken(
            context,
            &mut *transaction,
            error,
            ("Endpoint", ArnKind::Endpoint),
            &endpoint,
        )
        .await);
    }
    tags::create(&mut *transaction, &arn, message.tags).await?;
    transaction.commit().await?;
    Ok(model::CreateEndpointResponse {
        endpoint: Some(to_wire(context, &endpoint)?),
    })
}

fn role(text: &str) -> Result<EndpointRole, Fault> {
    text.parse().map_err(|_| {
        invalid_value(format!(
            "Invalid EndpointType {text}. Valid values: source, target"
        ))
    })
}

fn ssl_mode(text: Option<&str>) -> Result<SslMode, Fault> {
    let Some(text) = text else {
        return Ok(SslMode::None);
    };
    text.parse().map_err(|_| {
        invalid_value(format!(
            "Invalid SslMode {text}. Valid values: none, require, verify-ca, verify-full"
        ))
    })
}

/// The name as it is kept, in lower case.
pub(super) fn check_engine_name(name: &str) -> Result<String, Fault> {
    let lower = name.to_ascii_lowercase();
    if engine_names().any(|known| known == lower) {
        return Ok(lower);
    }
    Err(invalid_value(format!(
        "Invalid EngineName {name}. Valid values: {}",
        engine_names().collect::<Vec<_>>().join(", ")
    )))
}

/// The certificate that an ARN names; an empty text names none.
async fn certificate(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: Option<&str>,
) -> Result<Option<CertificateId>, Fault> {
    match arn.filter(|arn| !arn.is_empty()) {
        None => Ok(None),
        Some(arn) => {
            if !arn.starts_with("arn:") || !arn.contains(":dms:") || !arn.contains(":cert:") {
                return Err(invalid_value(format!(
                    "Invalid CertificateArn {arn}. It must be the ARN of an imported certificate"
                )));
            }
            Ok(Some(
                certificates::find(context, transaction, arn)
                    .await?
                    .id
                    .clone(),
            ))
        }
    }
}

/// What must hold whatever an endpoint is made or changed by.
fn check(endpoint: &Endpoint) -> Result<(), Fault> {
    let uses_secrets_manager = settings::member(endpoint, settings::SECRET_ID).is_some();
    let needs_user = settings::member(endpoint, "AuthType").is_none_or(|kind| kind != "no");
    let login = [
        ("serverName", endpoint.server_name.as_deref()),
        ("userName", endpoint.username.as_deref()),
    ];
    if engine_catalog::has_login(&endpoint.engine_name) {
        for (name, value) in login {
            let is_blank = value.is_none_or(|value| value.trim().is_empty());
            let is_needed = name != "userName" || needs_user;
            if is_blank && is_needed && !uses_secrets_manager {
                return Err(invalid_value(format!(
                    "The parameter {name} must be provided and must not be blank."
                )));
            }
        }
        let has_password = endpoint.secrets.contains_key(PASSWORD);
        let has_login = has_password || login.iter().any(|(_, value)| value.is_some());
        if uses_secrets_manager && has_login {
            return Err(fault::invalid_combination(
                "A Secrets Manager secret and a server name, user name or password cannot both be given".to_owned(),
            ));
        }
    }
    if endpoint
        .port
        .is_some_and(|port| !(1..=65535).contains(&port))
    {
        return Err(invalid_value(
            "The parameter port must be between 1 and 65535.".to_owned(),
        ));
    }
    let attributes = endpoint
        .extra_connection_attributes
        .as_deref()
        .unwrap_or_default();
    let Some(attributes) = parse_attributes(attributes) else {
        return Err(invalid_value(
            "ExtraConnectionAttributes must be name=value pairs separated by semicolons".to_owned(),
        ));
    };
    // Attributes are answered as they were given, secrets never.
    if let Some(name) = attributes.keys().find(|name| settings::is_secret(name)) {
        return Err(invalid_value(format!(
            "The extra connection attribute {name} would be shown to whoever describes the endpoint: give it as a parameter or in the engine's settings"
        )));
    }
    let modes = engine_catalog::ssl_modes(&endpoint.engine_name);
    if !modes.contains(&endpoint.ssl_mode) {
        let modes: Vec<&str> = modes.iter().map(|mode| mode.as_str()).collect();
        return Err(invalid_value(format!(
            "SslMode {} is not valid for the engine {}. Valid values: {}",
            endpoint.ssl_mode,
            endpoint.engine_name,
            modes.join(", ")
        )));
    }
    let Some(engine) = engine_catalog::connects_to(&endpoint.engine_name) else {
        return Ok(());
    };
    if let Some(name) = attributes
        .keys()
        .find(|name| !engine_catalog::knows_attribute(engine, name))
    {
        return Err(invalid_value(format!(
            "The extra connection attribute {name} is not valid for the engine {}",
            endpoint.engine_name
        )));
    }
    settings::check(endpoint, engine, &attributes)
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeEndpointsMessage,
) -> Result<model::DescribeEndpointsResponse, Fault> {
    let filters = super::filters(
        message.filters,
        &[
            "endpoint-arn",
            "endpoint-type",
            "endpoint-id",
            "engine-name",
        ],
    )?;
    let page = PageRequest::parse(
        "endpoints",
        message.max_records,
        message.marker.as_deref(),
        USUAL_PAGE,
    )?;
    let mut endpoints = context.store.list::<Endpoint>().await?;
    endpoints.retain(|endpoint| matches(context, &filters, endpoint));
    if endpoints.is_empty() && !filters.is_empty() {
        return Err(fault::not_found(
            "No Endpoints found matching provided filters".to_owned(),
        ));
    }
    let (endpoints, marker) = page.cut(endpoints);
    let endpoints = endpoints
        .iter()
        .map(|endpoint| to_wire(context, endpoint))
        .collect::<Result<_, _>>()?;
    Ok(model::DescribeEndpointsResponse {
        marker,
        endpoints: Some(endpoints),
    })
}

fn matches(context: &Context, filters: &Filters, endpoint: &Endpoint) -> bool {
    let arn = context.home.arn(ArnKind::Endpoint, endpoint.id.as_str());
    filters.match_item(|name| {
        vec![match name {
            "endpoint-arn" => arn.as_str(),
            "endpoint-type" => endpoint.role.as_str(),
            "endpoint-id" => endpoint.identifier.as_str(),
            _ => endpoint.engine_name.as_str(),
        }]
    })
}

pub(super) async fn modify(
    context: &Context,
    message: model::ModifyEndpointMessage,
) -> Result<model::ModifyEndpointResponse, Fault> {
    let given = Given::of_modify(&message)?;
    let mut transaction = context.store.begin().await?;
    let mut endpoint = find(context, &mut *transaction, &message.endpoint_arn).await?;
    check_modifiable(&mut *transaction, &endpoint).await?;
    let before = endpoint.value.clone();
    if settings::member(&endpoint, settings::SECRET_ID).is_some() {
        // One that an earlier version took beside the secret, and that is of no use.
        endpoint.secrets.remove(PASSWORD);
    }
    if let Some(text) = message.endpoint_type {
        change_role(&mut *transaction, &mut endpoint, role(text.as_str())?).await?;
    }
    if let Some(name) = message.engine_name {
        endpoint.engine_name = check_engine_name(&name)?;
    }
    if let Some(mode) = message.ssl_mode {
        endpoint.ssl_mode = ssl_mode(Some(mode.as_str()))?;
    }
    if let Some(attributes) = message.extra_connection_attributes {
        endpoint.extra_connection_attributes = Some(attributes);
    }
    if let Some(role_arn) = message.service_access_role_arn {
        endpoint.service_access_role_arn = Some(role_arn);
    }
    if let Some(definition) = message.external_table_definition {
        endpoint.external_table_definition = Some(definition);
    }
    if message.certificate_arn.is_some() {
        endpoint.certificate_id = certificate(
            context,
            &mut *transaction,
            message.certificate_arn.as_deref(),
        )
        .await?;
    }
    let mode = if message.exact_settings == Some(true) {
        settings::Mode::Replace
    } else {
        settings::Mode::Merge
    };
    given.apply(context, &mut endpoint, mode)?;
    check(&endpoint)?;
    if endpoint.value != before {
        endpoint.revision += 1;
        reset_connections(&mut *transaction, &endpoint).await?;
        reset_schemas(&mut *transaction, &endpoint).await?;
    }
    if let Some(name) = message.endpoint_identifier {
        endpoint.identifier = identifier::endpoint_identifier(&name)?;
    }
    let endpoint = match transaction.replace(&endpoint).await {
        Ok(stored) => stored,
        Err(error) => {
            return Err(fault::taken(
                context,
                &mut *transaction,
                error,
                ("Endpoint", ArnKind::Endpoint),
                &endpoint.value,
            )
            .await);
        }
    };
    transaction.commit().await?;
    Ok(model::ModifyEndpointResponse {
        endpoint: Some(to_wire(context, &endpoint)?),
    })
}

async fn check_modifiable(
    transaction: &mut dyn Transaction,
    endpoint: &Endpoint,
) -> Result<(), Fault> {
    if endpoint.status == EndpointStatus::Deleting {
        return Err(invalid_state(format!(
            "Endpoint {} is being deleted.",
            endpoint.identifier
        )));
    }
    let tasks = transaction.list::<ReplicationTask>().await?;
    match tasks
        .iter()
        .find(|task| uses(task, endpoint) && task_lifecycle::is_active(task.status))
    {
        Some(task) => Err(invalid_state(format!(
            "Endpoint {} cannot be modified because the replication task {} is using it. Stop the task first.",
            endpoint.identifier, task.identifier
        ))),
        None => Ok(()),
    }
}

/// A task that has the endpoint at one of its ends cannot have it at the other.
async fn change_role(
    transaction: &mut dyn Transaction,
    endpoint: &mut Endpoint,
    role: EndpointRole,
) -> Result<(), Fault> {
    let tasks = transaction.list::<ReplicationTask>().await?;
    match tasks.iter().find(|task| uses(task, endpoint)) {
        Some(task) if role != endpoint.role => Err(invalid_state(format!(
            "Endpoint {} cannot become a {role} endpoint because it is the {} of the replication task {}. Delete the task first.",
            endpoint.identifier, endpoint.role, task.identifier
        ))),
        _ => {
            endpoint.role = role;
            Ok(())
        }
    }
}

fn uses(task: &ReplicationTask, endpoint: &Endpoint) -> bool {
    task.source_endpoint_id == endpoint.id || task.target_endpoint_id == endpoint.id
}

/// What was tested were other settings: results are forgotten, and a test under way is made again.
async fn reset_connections(
    transaction: &mut dyn Transaction,
    endpoint: &Endpoint,
) -> Result<(), Fault> {
    for mut connection in transaction
        .list_children::<Connection>(endpoint.id.as_str())
        .await?
    {
        match connection.status {
            ConnectionStatus::Testing => {
                connection.attempt = new_attempt();
                connection.endpoint_revision = endpoint.revision;
                transaction.replace(&connection).await?;
            }
            ConnectionStatus::Successful | ConnectionStatus::Failed => {
                transaction
                    .delete(Connection::KIND, connection.id.as_str())
                    .await?;
            }
            ConnectionStatus::Deleting => {}
        }
    }
    Ok(())
}

/// Schemas that are being read are read again, of what the endpoint leads to now.
async fn reset_schemas(
    transaction: &mut dyn Transaction,
    endpoint: &Endpoint,
) -> Result<(), Fault> {
    let refresh = transaction
        .find::<SchemaRefresh>(endpoint.id.as_str())
        .await?;
    if let Some(mut refresh) =
        refresh.filter(|refresh| refresh.status == SchemaRefreshStatus::Refreshing)
    {
        refresh.attempt = new_attempt();
        transaction.replace(&refresh).await?;
    }
    Ok(())
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteEndpointMessage,
) -> Result<model::DeleteEndpointResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let mut endpoint = find(context, &mut *transaction, &message.endpoint_arn).await?;
    if endpoint.status == EndpointStatus::Deleting {
        return Err(invalid_state(format!(
            "Endpoint {} is already being deleted.",
            endpoint.identifier
        )));
    }
    let tasks = transaction.list::<ReplicationTask>().await?;
    if let Some(task) = tasks.iter().find(|task| uses(task, &endpoint)) {
        return Err(invalid_state(format!(
            "Endpoint {} cannot be deleted because it is part of the replication task {}. Delete the task first.",
            endpoint.identifier, task.identifier
        )));
    }
    endpoint.status = EndpointStatus::Deleting;
    let endpoint = transaction.replace(&endpoint).await?;
    for mut connection in transaction
        .list_children::<Connection>(endpoint.id.as_str())
        .await?
    {
        connection.status = ConnectionStatus::Deleting;
        transaction.replace(&connection).await?;
    }
    transaction.commit().await?;
    Ok(model::DeleteEndpointResponse {
        endpoint: Some(to_wire(context, &endpoint)?),
    })
}

/// The endpoint that an ARN names.
pub(super) async fn find(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
) -> Result<Stored<Endpoint>, Fault> {
    let found = match context.home.id_in(ArnKind::Endpoint, arn) {
        Some(id) => transaction.find::<Endpoint>(id).await?,
        None => None,
    };
    found.ok_or_else(|| fault::not_found(format!("Endpoint {arn} not found.")))
}
