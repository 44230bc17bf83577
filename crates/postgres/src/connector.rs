use std::sync::Arc;

use async_trait::async_trait;
use whimbrel_connector::{
    Assessed, ChangeLog, ConnectError, Connector, Error, Findings, LogWatch, ServerInfo, Source,
    Target, UnreadLog,
};
use whimbrel_core::Engine;
use whimbrel_net::InvalidUrl;

use crate::log::{self, PostgresLog, Waited, Wishes};
use crate::options::Options;
use crate::source::PostgresSource;
use crate::target::{KnownTables, PostgresTarget};
use crate::wire::Connection;
use crate::{assess, catalog, connect, errors};

/// One PostgreSQL database as an endpoint.
#[derive(Clone, Debug)]
pub struct PostgresConnector {
    options: Arc<Options>,
    known: Arc<KnownTables>,
    /// Of the streams of changes to come.
    wishes: Arc<Wishes>,
    waited: Arc<Waited>,
}

impl PostgresConnector {
    /// An endpoint with these options. Nothing is connected yet.
    pub fn new(options: Options) -> Self {
        Self {
            options: Arc::new(options),
            known: Arc::default(),
            wishes: Arc::default(),
            waited: Arc::default(),
        }
    }

    /// An endpoint at a `postgres://` URL; see [`Options::from_url`].
    pub fn from_url(url: &str) -> Result<Self, InvalidUrl> {
        Options::from_url(url).map(Self::new)
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        connect::connect(&self.options).await
    }
}

#[async_trait]
impl Connector for PostgresConnector {
    fn engine(&self) -> Engine {
        Engine::Postgres
    }

    fn describe(&self) -> String {
        self.options.describe()
    }

    async fn check(&self) -> Result<ServerInfo, ConnectError> {
        let mut connection = self.connect().await?;
        connect::ping(&self.options, &mut connection).await?;
        Ok(ServerInfo {
            engine: Engine::Postgres,
            version: connection
                .parameter("server_version")
                .unwrap_or("unknown")
                .to_owned(),
            tls: connection.tls().map(str::to_owned),
            identity: connect::identity(&self.options, &mut connection).await?,
        })
    }

    async fn schemas(&self) -> Result<Vec<String>, Error> {
        let mut connection = self.connect().await?;
        let schemas = catalog::schemas(&mut connection).await;
        schemas.map_err(|error| errors::general(error, "read the schemas"))
    }

    async fn source(&self) -> Result<Box<dyn Source>, Error> {
        let connection = self.connect().await?;
        Ok(Box::new(PostgresSource::new(
            Arc::clone(&self.options),
            connection,
        )))
    }

    async fn target(&self) -> Result<Box<dyn Target>, Error> {
        let connection = self.connect().await?;
        Ok(Box::new(PostgresTarget::new(
            Arc::clone(&self.options),
            connection,
            Arc::clone(&self.known),
        )))
    }

    async fn change_log(&self, task: &str) -> Result<Box<dyn ChangeLog>, Error> {
        let connection = self.connect().await?;
        Ok(Box::new(PostgresLog::new(
            Arc::clone(&self.options),
            connection,
            task,
            Arc::clone(&self.wishes),
            Arc::clone(&self.waited),
        )))
    }

    fn log_watch(&self, task: &str) -> Option<Box<dyn LogWatch>> {
        Some(Box::new(log::watch_of(&self.options, task)))
    }

    async fn unread_logs(&self) -> Result<Vec<UnreadLog>, Error> {
        log::unread(&self.options).await
    }

    async fn concerns(&self, asked: Assessed<'_>) -> Result<Findings, Error> {
        let mut connection = self.connect().await?;
        Ok(assess::findings(&mut connection, asked).await)
    }
}
