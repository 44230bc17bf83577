//! Tests connections that are `testing`, and removes those that are `deleting`.
//!
//! The answer of a test is written only while the connection still waits for that very attempt, so an answer that comes late,
//! to a test of settings that have changed since, changes nothing.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Semaphore;
use tracing::{info, warn};
use whimbrel_store::{
    Connection, ConnectionId, ConnectionStatus, InstanceStatus, ReplicationInstance, Resource as _,
};

use super::{PassError, Reconciler, UnderWay, chain};
use crate::connectors::time_limit;
use crate::context::Context;
use crate::data_plane::ConnectionFailure;

/// Tests at once: each costs one connection and waits for the network most of the time.
const TESTS_MAX: usize = 32;
/// With what the endpoint lets it take, longer than any connector's own time limit, which names its cause; this one only guards against a connector that hangs.
const TEST_TIMEOUT: Duration = Duration::from_mins(1);

type Attempt = (ConnectionId, i64);

pub(crate) struct Connections {
    context: Arc<Context>,
    under_way: UnderWay<Attempt>,
    slots: Arc<Semaphore>,
}

impl Connections {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        Self {
            context,
            under_way: UnderWay::default(),
            slots: Arc::new(Semaphore::new(TESTS_MAX)),
        }
    }

    fn start_test(&self, connection: Connection) {
        let Some(guard) = self
            .under_way
            .begin((connection.id.clone(), connection.attempt))
        else {
            return;
        };
        let (context, slots) = (Arc::clone(&self.context), Arc::clone(&self.slots));
        self.context.runs.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let result = test(&context, &connection).await;
            record(&context, &connection, result).await;
            drop(guard);
        });
    }
}

/// The answer of the database, or what kept us from asking. `None`: the store failed, so there is no answer yet.
async fn test(context: &Context, connection: &Connection) -> Option<Result<(), String>> {
    let endpoint = match context.endpoint_config(&connection.endpoint_id).await {
        Ok(endpoint) => endpoint,
        Err(error) if error.is_transient() => return None,
        Err(error) => {
            return Some(Err(failure_message(
                &chain(&error),
                "correct the endpoint and test again",
            )));
        }
    };
    let limit = time_limit(TEST_TIMEOUT, &endpoint);
    let result = tokio::time::timeout(limit, context.data_plane.test_connection(&endpoint)).await;
    Some(match result {
        Ok(Ok(())) => Ok(()),
        Ok(Err(ConnectionFailure { message, remedy })) => Err(failure_message(&message, &remedy)),
        Err(_) => {
            let message = format!(
                "{}:{} gave no answer within {} s",
                endpoint.server_name,
                endpoint.port,
                limit.as_secs()
            );
            Err(failure_message(&message, "check host, port and firewalls"))
        }
    })
}

/// The service's frame around our words.
fn failure_message(message: &str, remedy: &str) -> String {
    format!(
        "Test Endpoint failed: Application-Status: 1020912, Application-Message: {message}, Application-Detailed-Message: {remedy}"
    )
}

async fn record(context: &Context, connection: &Connection, result: Option<Result<(), String>>) {
    let Some(result) = result else {
        return;
    };
    let (status, message) = match result {
        Ok(()) => (ConnectionStatus::Successful, None),
        Err(message) => (ConnectionStatus::Failed, Some(message)),
    };
    info!(connection = %connection.id, %status, message, "connection tested");
    let written = context
        .store
        .modify::<Connection>(connection.id.as_str(), |stored| {
            let waits =
                stored.status == ConnectionStatus::Testing && stored.attempt == connection.attempt;
            if waits {
                stored.status = status;
                stored.last_failure_message.clone_from(&message);
            }
            waits
        })
        .await;
    if let Err(error) = written {
        warn!(connection = %connection.id, error = %chain(&error), "the result of a connection test could not be stored; it is tested again");
    }
}

#[async_trait]
impl Reconciler for Connections {
    fn name(&self) -> &'static str {
        "connections"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &[Connection::KIND, ReplicationInstance::KIND]
    }

    async fn pass(&self) -> Result<(), PassError> {
        for connection in self.context.store.list::<Connection>().await? {
            match connection.status {
                ConnectionStatus::Testing => {
                    let instance = self
                        .context
                        .store
                        .find::<ReplicationInstance>(connection.instance_id.as_str())
                        .await?;
                    // A test that was asked for waits out a reboot; one of an instance that is going is removed with it.
                    if instance.is_some_and(|instance| instance.status == InstanceStatus::Available)
                    {
                        self.start_test(connection.value);
                    }
                }
                ConnectionStatus::Deleting => {
                    self.context
                        .store
                        .remove::<Connection>(connection.value.id())
                        .await?;
                }
                ConnectionStatus::Successful | ConnectionStatus::Failed => {}
            }
        }
        Ok(())
    }
}
