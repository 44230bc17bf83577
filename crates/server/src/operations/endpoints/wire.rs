use serde_json::{Map, Value, json};
use whimbrel_model as model;
use whimbrel_store::Endpoint;

use super::settings::LOGIN;
use crate::arn::ArnKind;
use crate::context::Context;
use crate::engine_catalog;
use crate::fault::{self, Fault};

/// The endpoint as the API answers it. The engine's settings are kept as JSON under the names of the wire, so the answer is put
/// together as JSON too.
pub(super) fn to_wire(context: &Context, endpoint: &Endpoint) -> Result<model::Endpoint, Fault> {
    let certificate = endpoint.certificate_id.as_ref();
    let login = login_of(endpoint);
    let mut wire = json!({
        "EndpointIdentifier": endpoint.identifier,
        "EndpointType": endpoint.role.as_str(),
        "EngineName": endpoint.engine_name,
        "EngineDisplayName": engine_catalog::display_name(&endpoint.engine_name),
        "ExtraConnectionAttributes": endpoint.extra_connection_attributes,
        "Status": endpoint.status.as_str(),
        "KmsKeyId": endpoint.kms_key_id,
        "EndpointArn": context.home.arn(ArnKind::Endpoint, endpoint.id.as_str()),
        "CertificateArn": certificate.map(|id| context.home.arn(ArnKind::Certificate, id.as_str())),
        "SslMode": endpoint.ssl_mode.as_str(),
        "ServiceAccessRoleArn": endpoint.service_access_role_arn,
        "ExternalTableDefinition": endpoint.external_table_definition,
    });
    if let Value::Object(members) = &mut wire {
        members.extend(login.clone());
        members.extend(
            endpoint
                .settings
                .iter()
                .map(|(member, settings)| (member.clone(), Value::Object(settings.clone()))),
        );
        if let Some(member) = engine_catalog::settings_member(&endpoint.engine_name) {
            let tells_server = engine_catalog::tells_server(&endpoint.engine_name);
            let settings = members
                .entry(member)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(settings) = settings
                && tells_server
            {
                settings.extend(login);
            }
        }
        members.retain(|_, value| {
            !value.is_null() && value.as_object().is_none_or(|object| !object.is_empty())
        });
    }
    serde_json::from_value(wire).map_err(fault::internal)
}

fn login_of(endpoint: &Endpoint) -> Map<String, Value> {
    let values = [
        json!(endpoint.server_name),
        json!(endpoint.port),
        json!(endpoint.username),
        json!(endpoint.database_name),
    ];
    let pairs = LOGIN
        .iter()
        .zip(values)
        .map(|(name, value)| ((*name).to_owned(), value));
    pairs.filter(|(_, value)| !value.is_null()).collect()
}
