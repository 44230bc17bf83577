//! Reads the schemas of endpoints whose refresh was asked for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tracing::{info, warn};
use whimbrel_store::{EpochMs, Resource as _, SchemaRefresh, SchemaRefreshStatus};

use super::{PassError, Reconciler, UnderWay, chain};
use crate::connectors::time_limit;
use crate::context::Context;

/// Reading the names of schemas is quick even on large catalogs; this guards against a server that hangs.
const READ_TIMEOUT: Duration = Duration::from_mins(2);

pub(crate) struct SchemaRefreshes {
    context: Arc<Context>,
    /// Endpoint and attempt.
    under_way: UnderWay<(String, i64)>,
}

impl SchemaRefreshes {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            under_way: UnderWay::default(),
        }
    }
}

/// `None`: the store failed, so there is no answer yet.
async fn read(context: &Context, refresh: &SchemaRefresh) -> Option<Result<Vec<String>, String>> {
    let endpoint = match context.endpoint_config(&refresh.endpoint_id).await {
        Ok(endpoint) => endpoint,
        Err(error) if error.is_transient() => return None,
        Err(error) => return Some(Err(chain(&error))),
    };
    let limit = time_limit(READ_TIMEOUT, &endpoint);
    Some(
        match tokio::time::timeout(limit, context.data_plane.list_schemas(&endpoint)).await {
            Ok(Ok(schemas)) => Ok(schemas),
            Ok(Err(failure)) => Err(failure.to_string()),
            Err(_) => Err(format!(
                "{}:{} gave no answer within {} s; check host, port and firewalls, and what the server is busy with",
                endpoint.server_name,
                endpoint.port,
                limit.as_secs()
            )),
        },
    )
}

async fn record(context: &Context, refresh: &SchemaRefresh, result: Result<Vec<String>, String>) {
    let written = context
        .store
        .modify::<SchemaRefresh>(refresh.endpoint_id.as_str(), |stored| {
            if stored.status != SchemaRefreshStatus::Refreshing || stored.attempt != refresh.attempt
            {
                return false;
            }
            match &result {
                Ok(schemas) => {
                    stored.status = SchemaRefreshStatus::Successful;
                    stored.schemas.clone_from(schemas);
                    stored.refreshed_at = Some(EpochMs::now());
                    stored.last_failure_message = None;
                }
                Err(message) => {
                    stored.status = SchemaRefreshStatus::Failed;
                    stored.last_failure_message = Some(message.clone());
                }
            }
            true
        })
        .await;
    if let Err(error) = written {
        warn!(endpoint = %refresh.endpoint_id, error = %chain(&error), "the schemas could not be stored; they are read again");
    }
}

#[async_trait]
impl Reconciler for SchemaRefreshes {
    fn name(&self) -> &'static str {
        "schema refresh"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[SchemaRefresh::KIND]
    }

    async fn pass(&self) -> Result<(), PassError> {
        for refresh in self.context.store.list::<SchemaRefresh>().await? {
            let refresh = refresh.value;
            if refresh.status != SchemaRefreshStatus::Refreshing {
                continue;
            }
            let Some(guard) = self
                .under_way
                .begin((refresh.endpoint_id.0.clone(), refresh.attempt))
            else {
                continue;
            };
            let context = Arc::clone(&self.context);
            self.context.runs.spawn(async move {
                if let Some(result) = read(&context, &refresh).await {
                    info!(endpoint = %refresh.endpoint_id, schemas = ?result.as_ref().map(Vec::len), "schemas read");
                    record(&context, &refresh, result).await;
                }
                drop(guard);
            });
        }
        Ok(())
    }
}
