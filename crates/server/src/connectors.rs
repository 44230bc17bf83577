//! From an endpoint to the connector of its engine: the one place that knows every engine.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_connector::{ConnectError, ConnectErrorKind, Connector};
use whimbrel_core::Engine;
use whimbrel_mysql::MysqlConnector;
use whimbrel_postgres::PostgresConnector;
use whimbrel_store::SslMode;

use crate::data_plane::EndpointConfig;
use crate::engine_catalog::{connects_to, supported};

/// Makes the connector of an endpoint. Checks its settings, connects to nothing.
pub fn make_connector(endpoint: &EndpointConfig) -> Result<Arc<dyn Connector>, ConnectError> {
    match connects_to(&endpoint.engine_name) {
        Some(Engine::Postgres) => Ok(Arc::new(PostgresConnector::new(postgres(endpoint)?))),
        Some(engine @ (Engine::MySql | Engine::MariaDb)) => {
            Ok(Arc::new(MysqlConnector::new(mysql(endpoint, engine)?)))
        }
        None => {
            let names: Vec<&str> = supported().map(|(name, _)| name).collect();
            Err(ConnectError {
                kind: ConnectErrorKind::InvalidSettings,
                message: format!(
                    "the engine {} is not supported by this version",
                    endpoint.engine_name
                ),
                remedy: format!("use one of {}", names.join(", ")),
            })
        }
    }
}

fn postgres(endpoint: &EndpointConfig) -> Result<whimbrel_postgres::Options, ConnectError> {
    use whimbrel_postgres::TlsMode;
    let mut options = whimbrel_postgres::Options::new(&endpoint.server_name, &endpoint.username);
    options.port = endpoint.port;
    options.password.clone_from(&endpoint.password);
    if let Some(database) = &endpoint.database_name {
        options.database.clone_from(database);
    }
    options.tls = match endpoint.ssl_mode {
        SslMode::None => TlsMode::None,
        SslMode::Require => TlsMode::Require,
        SslMode::VerifyCa => TlsMode::VerifyCa,
        SslMode::VerifyFull => TlsMode::VerifyFull,
    };
    options.root_certificate.clone_from(&endpoint.ca_pem);
    if let Some(timeout) = connect_timeout(endpoint)? {
        options.connect_timeout = timeout;
    }
    Ok(options)
}

fn mysql(
    endpoint: &EndpointConfig,
    engine: Engine,
) -> Result<whimbrel_mysql::Options, ConnectError> {
    use whimbrel_mysql::TlsMode;
    let mut options = whimbrel_mysql::Options::new(&endpoint.server_name, &endpoint.username);
    options.engine = engine;
    options.port = endpoint.port;
    options.password.clone_from(&endpoint.password);
    options.database.clone_from(&endpoint.database_name);
    options.tls = match endpoint.ssl_mode {
        SslMode::None => TlsMode::None,
        SslMode::Require => TlsMode::Require,
        SslMode::VerifyCa => TlsMode::VerifyCa,
        SslMode::VerifyFull => TlsMode::VerifyFull,
    };
    options.root_certificate.clone_from(&endpoint.ca_pem);
    if let Some(timeout) = connect_timeout(endpoint)? {
        options.connect_timeout = timeout;
    }
    Ok(options)
}

/// The extra connection attribute `ConnectionTimeout`, in seconds.
fn connect_timeout(endpoint: &EndpointConfig) -> Result<Option<Duration>, ConnectError> {
    let Some(text) = endpoint.attributes.get("connectiontimeout") else {
        return Ok(None);
    };
    match text.parse() {
        Ok(seconds @ 1..=300) => Ok(Some(Duration::from_secs(seconds))),
        Ok(_) | Err(_) => Err(ConnectError {
            kind: ConnectErrorKind::InvalidSettings,
            message: format!("the extra connection attribute ConnectionTimeout is {text}"),
            remedy: "give a number of seconds from 1 to 300".to_owned(),
        }),
    }
}
