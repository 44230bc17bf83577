//! From an address to the connector of its engine.

use std::sync::Arc;

use whimbrel_connector::Connector;
use whimbrel_core::Engine;
use whimbrel_postgres::PostgresConnector;

use crate::address::Address;
use crate::failure::Failure;

/// The connector of an address. Connects to nothing yet.
pub(crate) fn connector(address: &Address) -> Result<Arc<dyn Connector>, Failure> {
    let url = address.expose();
    match address.engine() {
        Engine::Postgres => PostgresConnector::from_url(url.expose())
            .map(|connector| Arc::new(connector) as Arc<dyn Connector>)
            .map_err(|error| Failure::usage(error.to_string())),
        Engine::MySql | Engine::MariaDb => Err(Failure::usage(
            "this version does not connect to MySQL and MariaDB",
        )),
    }
}
