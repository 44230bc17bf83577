use async_trait::async_trait;
use whimbrel_connector::{
    Assessed, ChangeLog, ConnectError, Connector, Error, Findings, LogWatch, ServerInfo, Source,
    StallWatch, Target,
};
use whimbrel_core::Engine;

use crate::assess;
use crate::catalog;
use crate::connect::{self, check, connect};
use crate::errors::general;
use crate::log::{FileWatch, MysqlLog, Voids};
use crate::options::Options;
use crate::source::MysqlSource;
use crate::target::{DiskWatch, MysqlTarget};
use crate::wire::Purpose;

/// Connects to a MySQL or MariaDB server in either role.
#[derive(Clone, Debug)]
pub struct MysqlConnector {
    options: Options,
    /// What streams of changes have found out, for those that come after them.
    voids: Voids,
}

impl MysqlConnector {
    /// A connector with these settings.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            voids: Voids::default(),
        }
    }
}

#[async_trait]
impl Connector for MysqlConnector {
    fn engine(&self) -> Engine {
        self.options.engine
    }

    fn describe(&self) -> String {
        self.options.describe()
    }

    async fn check(&self) -> Result<ServerInfo, ConnectError> {
        let mut connection = check(&self.options).await?;
        let info = ServerInfo {
            engine: connection.engine(),
            version: connection.version().to_owned(),
            tls: connection.tls().map(str::to_owned),
            identity: connect::identity(&self.options, &mut connection).await?,
        };
        // The answer is known; a failed farewell changes nothing.
        connection.quit().await.ok();
        Ok(info)
    }

    async fn schemas(&self) -> Result<Vec<String>, Error> {
        let mut connection = connect(&self.options, Purpose::Read).await?;
        catalog::databases(&mut connection)
            .await
            .map_err(|error| general(error, "list the databases"))
    }

    async fn source(&self) -> Result<Box<dyn Source>, Error> {
        let connection = connect(&self.options, Purpose::Read).await?;
        Ok(Box::new(MysqlSource::new(self.options.clone(), connection)))
    }

    async fn target(&self) -> Result<Box<dyn Target>, Error> {
        let connection = connect(&self.options, Purpose::Write).await?;
        Ok(Box::new(MysqlTarget::new(self.options.clone(), connection)))
    }

    async fn change_log(&self, task: &str) -> Result<Box<dyn ChangeLog>, Error> {
        let connection = connect(&self.options, Purpose::Read).await?;
        Ok(Box::new(MysqlLog::new(
            self.options.clone(),
            task,
            connection,
            Voids::clone(&self.voids),
        )))
    }

    fn log_watch(&self, _task: &str) -> Option<Box<dyn LogWatch>> {
        Some(Box::new(FileWatch::new(self.options.clone())))
    }

    fn stall_watch(&self) -> Option<Box<dyn StallWatch>> {
        Some(Box::new(DiskWatch::new(self.options.clone())))
    }

    async fn concerns(&self, asked: Assessed<'_>) -> Result<Findings, Error> {
        assess::findings(&self.options, asked).await
    }
}
