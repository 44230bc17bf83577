//! From an endpoint to the connector of its engine: the one place that knows every engine.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_connector::{ConnectError, ConnectErrorKind, Connector};
use whimbrel_core::Engine;
use whimbrel_mysql::MysqlConnector;
use whimbrel_net::TlsMode;
use whimbrel_postgres::PostgresConnector;
use whimbrel_store::{EndpointRole, SslMode};

use crate::data_plane::EndpointConfig;
use crate::endpoint_config::split_unquoted;
use crate::engine_catalog::{connects_to, supported};

/// Makes the connector of an endpoint. Checks its settings, connects to nothing.
pub fn make_connector(endpoint: &EndpointConfig) -> Result<Arc<dyn Connector>, ConnectError> {
    refuse_what_is_not_built(endpoint)?;
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

/// Settings that say how to sign in or what the server is, and that would be wrong to pass over.
fn refuse_what_is_not_built(endpoint: &EndpointConfig) -> Result<(), ConnectError> {
    for (name, value, remedy) in [
        (
            "AuthenticationMethod",
            "iam",
            "set it to password and give the endpoint one",
        ),
        (
            "DatabaseMode",
            "babelfish",
            "set it to default to write to the server as to any PostgreSQL",
        ),
    ] {
        if endpoint
            .setting(name)
            .is_some_and(|given| given.eq_ignore_ascii_case(value))
        {
            return Err(ConnectError {
                kind: ConnectErrorKind::InvalidSettings,
                message: format!(
                    "the endpoint setting {name} {value} is not supported by this version"
                ),
                remedy: remedy.to_owned(),
            });
        }
    }
    Ok(())
}

pub(crate) fn postgres(
    endpoint: &EndpointConfig,
) -> Result<whimbrel_postgres::Options, ConnectError> {
    let mut options = whimbrel_postgres::Options::new(&endpoint.server_name, &endpoint.username);
    options.port = endpoint.port;
    options.password.clone_from(&endpoint.password);
    if let Some(database) = &endpoint.database_name {
        options.database.clone_from(database);
    }
    options.tls = tls_mode(endpoint.ssl_mode);
    options.root_certificate.clone_from(&endpoint.ca_pem);
    if let Some(timeout) = connect_timeout(endpoint)? {
        options.connect_timeout = timeout;
    }
    options.after_connect = endpoint.setting("AfterConnectScript");
    if endpoint.role == EndpointRole::Source {
        options.captures_ddl = endpoint.switch("CaptureDdls") != Some(false);
        if let Some(schema) = endpoint.setting("DdlArtifactsSchema") {
            options.ddl_schema = schema;
        }
        options.slot = endpoint.setting("SlotName");
        options.heartbeat = heartbeat(endpoint)?;
    }
    Ok(options)
}

fn tls_mode(mode: SslMode) -> TlsMode {
    match mode {
        SslMode::None => TlsMode::None,
        SslMode::Require => TlsMode::Require,
        SslMode::VerifyCa => TlsMode::VerifyCa,
        SslMode::VerifyFull => TlsMode::VerifyFull,
    }
}

/// How often something is written into the log of a quiet source; the frequency is in minutes.
fn heartbeat(endpoint: &EndpointConfig) -> Result<Option<Duration>, ConnectError> {
    const DEFAULT_MINUTES: u64 = 5;
    if endpoint.switch("HeartbeatEnable") != Some(true) {
        return Ok(None);
    }
    let minutes = match endpoint.setting("HeartbeatFrequency") {
        None => Some(DEFAULT_MINUTES),
        Some(given) => given.trim().parse().ok().filter(|minutes| *minutes > 0),
    };
    let seconds = minutes.and_then(|minutes: u64| minutes.checked_mul(60));
    let seconds = seconds.ok_or_else(|| ConnectError {
        kind: ConnectErrorKind::InvalidSettings,
        message: "the endpoint setting HeartbeatFrequency is no number of minutes".to_owned(),
        remedy: "give it as a whole number from 1 on".to_owned(),
    })?;
    Ok(Some(Duration::from_secs(seconds)))
}

pub(crate) fn mysql(
    endpoint: &EndpointConfig,
    engine: Engine,
) -> Result<whimbrel_mysql::Options, ConnectError> {
    let mut options = whimbrel_mysql::Options::new(&endpoint.server_name, &endpoint.username);
    options.engine = engine;
    options.port = endpoint.port;
    options.password.clone_from(&endpoint.password);
    options.database.clone_from(&endpoint.database_name);
    options.tls = tls_mode(endpoint.ssl_mode);
    options.root_certificate.clone_from(&endpoint.ca_pem);
    if let Some(timeout) = connect_timeout(endpoint)? {
        options.connect_timeout = timeout;
    }
    options.after_connect = after_connect(endpoint)?;
    Ok(options)
}

/// The statements of `AfterConnectScript` and of the attribute `Initstmt`, in this order.
fn after_connect(endpoint: &EndpointConfig) -> Result<Vec<String>, ConnectError> {
    let mut statements = Vec::new();
    for name in ["AfterConnectScript", "Initstmt"] {
        let Some(script) = endpoint.setting(name) else {
            continue;
        };
        let parts = split_unquoted(&script).ok_or_else(|| ConnectError {
            kind: ConnectErrorKind::InvalidSettings,
            message: format!("the endpoint setting {name} has a quote that does not end"),
            remedy: "close it".to_owned(),
        })?;
        let parts = parts.into_iter().map(str::trim);
        statements.extend(parts.filter(|part| !part.is_empty()).map(str::to_owned));
    }
    Ok(statements)
}

/// How long all that is asked of an endpoint may take: what is usual, and what the user lets signing in and the first answer take beside it.
pub(crate) fn time_limit(usual: Duration, endpoint: &EndpointConfig) -> Duration {
    let connecting = connect_timeout(endpoint).ok().flatten();
    usual + 2 * connecting.unwrap_or_default()
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
