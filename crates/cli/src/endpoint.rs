//! From an address to the connector of its engine.

use std::error::Error;
use std::sync::Arc;

use whimbrel_connector::Connector;
use whimbrel_core::Engine;
use whimbrel_mysql::MysqlConnector;
use whimbrel_postgres::PostgresConnector;

use crate::address::Address;
use crate::failure::Failure;

/// The connector of an address. Connects to nothing yet.
pub(crate) fn connector(address: &Address) -> Result<Arc<dyn Connector>, Failure> {
    let url = address.expose();
    let url = url.expose();
    Ok(match address.engine() {
        Engine::Postgres => Arc::new(PostgresConnector::new(
            whimbrel_postgres::Options::from_url(url).map_err(|error| refused(&error))?,
        )),
        Engine::MySql | Engine::MariaDb => Arc::new(MysqlConnector::new(
            whimbrel_mysql::Options::from_url(url).map_err(|error| refused(&error))?,
        )),
    })
}

/// The connectors name the part of a URL that they refuse, never the password.
fn refused(error: &impl Error) -> Failure {
    Failure::usage(error.to_string())
}
