//! What users write for the service to read, for the fuzz targets: none of it may make it panic, whatever it is.

use serde_json::{Map, Value};
use whimbrel_core::Secret;
use whimbrel_store::{EndpointRole, EpochMs, SslMode};

use crate::data_plane::EndpointConfig;
use crate::endpoint_config::parse_attributes;
use crate::{cdc_points, identifier, make_connector, pem};

/// Certificates in PEM.
pub fn certificates(text: &str) {
    pem::read(text).ok();
}

/// Where changes begin and stop, and identifiers.
pub fn points(text: &str) {
    cdc_points::stop(text);
    cdc_points::start(None, Some(text));
    cdc_points::start(Some(EpochMs(i64::MAX)), None);
    identifier::task_identifier(text).ok();
    identifier::resource_identifier(text).ok();
    identifier::kms_key(Some(text.to_owned())).ok();
}

/// An endpoint's settings, as JSON or as extra connection attributes.
pub fn endpoint(text: &str) {
    let settings: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    let attributes = parse_attributes(text).unwrap_or_default();
    let config = |role, engine_name: &str| EndpointConfig {
        identifier: "e".to_owned(),
        role,
        engine_name: engine_name.to_owned(),
        server_name: "host".to_owned(),
        port: 1,
        username: "user".to_owned(),
        password: Some(Secret::new("password")),
        database_name: None,
        ssl_mode: SslMode::None,
        ca_pem: None,
        attributes: attributes.clone(),
        settings: settings.clone().unwrap_or_default(),
    };
    for role in [EndpointRole::Source, EndpointRole::Target] {
        for engine_name in ["postgres", "mysql", "mariadb"] {
            let config = config(role, engine_name);
            make_connector(&config).ok();
            config.single_database();
        }
    }
}
