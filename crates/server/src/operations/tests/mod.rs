//! Handlers and reconcilers together, over a store in memory and a data plane that does what the test says.

mod connection_tests;
mod instance_tests;
mod lifecycle;
mod quota_tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use whimbrel_model::{CallContext, Operation};
use whimbrel_store::{MemoryStore, Store, Vault};

use super::Service;
use crate::arn::Home;
use crate::context::Context;
use crate::data_plane::FakeDataPlane;
use crate::reconcile;

/// Everything waits for events, so a test that takes this long waits in vain.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service without a network.
pub(super) struct Harness {
    pub(super) context: Arc<Context>,
    pub(super) data_plane: FakeDataPlane,
    store: Arc<dyn Store>,
    vault: Arc<Vault>,
    shutdown: CancellationToken,
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Harness {
    pub(super) fn start() -> Self {
        Self::over(
            Arc::new(MemoryStore::default()),
            Arc::new(Vault::ephemeral()),
        )
    }

    fn over(store: Arc<dyn Store>, vault: Arc<Vault>) -> Self {
        let data_plane = FakeDataPlane::default();
        let home = Home {
            region: "eu-central-1".into(),
            account_id: "000000000000".into(),
        };
        let context = Context::new(
            Arc::clone(&store),
            Arc::clone(&vault),
            Arc::new(data_plane.clone()),
            home,
            std::env::temp_dir().join("whimbrel-assessments-of-no-test"),
        );
        let shutdown = CancellationToken::new();
        for reconciler in reconcile::all(&context) {
            #[allow(
                clippy::disallowed_methods,
                reason = "it ends with the shutdown, or with the test"
            )]
            tokio::spawn(reconcile::run(
                reconciler,
                Arc::clone(&context),
                shutdown.clone(),
            ));
        }
        Self {
            context,
            data_plane,
            store,
            vault,
            shutdown,
        }
    }

    /// What a process finds that is started after this one was killed: the same store, and nothing else.
    pub(super) fn after_a_crash(&self) -> Self {
        self.shutdown.cancel();
        Self::over(Arc::clone(&self.store), Arc::clone(&self.vault))
    }

    /// Makes a request; the answer, or the name and text of the fault.
    pub(super) async fn call(
        &self,
        operation: &str,
        request: Value,
    ) -> Result<Value, (String, String)> {
        call(&self.context, operation, request).await
    }

    /// Makes a request that is expected to succeed.
    pub(super) async fn ok(&self, operation: &str, request: Value) -> Value {
        match self.call(operation, request).await {
            Ok(answer) => answer,
            Err((code, message)) => panic!("{operation}: {code}: {message}"),
        }
    }

    /// Makes a request that is expected to be refused with this fault; gives its text.
    pub(super) async fn refused(&self, operation: &str, request: Value, code: &str) -> String {
        match self.call(operation, request).await {
            Ok(answer) => panic!("{operation} was expected to be refused: {answer}"),
            Err((found, message)) => {
                assert_eq!(found, code, "{message}");
                message
            }
        }
    }

    /// Repeats a request after every change in the store until the answer is as wanted.
    pub(super) async fn until(
        &self,
        operation: &str,
        request: Value,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let mut changes = self.store.watch();
        let wait = async {
            loop {
                changes.mark_unchanged();
                if let Ok(answer) = self.call(operation, request.clone()).await
                    && wanted(&answer)
                {
                    return answer;
                }
                drop(changes.changed().await);
            }
        };
        if let Ok(answer) = tokio::time::timeout(PATIENCE, wait).await {
            return answer;
        }
        panic!(
            "{operation} never answered as wanted, but {:?}",
            self.call(operation, request).await
        )
    }

    /// An available instance; its ARN.
    pub(super) async fn instance(&self, identifier: &str) -> String {
        // Not the newest version, so that there is one to upgrade to.
        let request = json!({
            "ReplicationInstanceIdentifier": identifier, "ReplicationInstanceClass": "dms.t3.medium", "EngineVersion": "3.5.4",
        });
        let made = self.ok("CreateReplicationInstance", request).await;
        let arn = made["ReplicationInstance"]["ReplicationInstanceArn"]
            .as_str()
            .unwrap()
            .to_owned();
        let filters = json!({"Filters": [{"Name": "replication-instance-arn", "Values": [arn]}]});
        self.until("DescribeReplicationInstances", filters, |page| {
            page["ReplicationInstances"][0]["ReplicationInstanceStatus"] == "available"
        })
        .await;
        arn
    }

    /// An endpoint on a server of this name; its ARN.
    pub(super) async fn endpoint(&self, role: &str, identifier: &str, server: &str) -> String {
        let request = json!({
            "EndpointIdentifier": identifier, "EndpointType": role, "EngineName": "postgres", "ServerName": server,
            "Port": 5432, "Username": "user", "Password": "planted-password", "DatabaseName": "database",
        });
        let made = self.ok("CreateEndpoint", request).await;
        made["Endpoint"]["EndpointArn"].as_str().unwrap().to_owned()
    }

    /// Tests a connection to its end; the connection.
    pub(super) async fn tested(&self, instance: &str, endpoint: &str) -> Value {
        let request = json!({"ReplicationInstanceArn": instance, "EndpointArn": endpoint});
        self.ok("TestConnection", request).await;
        let filters = json!({"Filters": [{"Name": "endpoint-arn", "Values": [endpoint]}]});
        let page = self
            .until("DescribeConnections", filters, |page| {
                page["Connections"][0]["Status"] != "testing"
            })
            .await;
        page["Connections"][0].clone()
    }
}

async fn call(
    context: &Arc<Context>,
    operation: &str,
    request: Value,
) -> Result<Value, (String, String)> {
    let caller = CallContext {
        request_id: "test".into(),
        access_key_id: "AKIATEST".into(),
        principal: "test".into(),
        account_id: "000000000000".into(),
        region: "eu-central-1".into(),
        source_address: None,
        user_agent: "test".into(),
    };
    let operation = *Operation::ALL
        .iter()
        .find(|known| known.name() == operation)
        .expect("the operation is one of the API");
    let answer =
        whimbrel_model::dispatch(&Service(Arc::clone(context)), operation, &caller, request).await;
    answer.map_err(|fault| {
        (
            fault.code.as_str().to_owned(),
            format!("{}{}", fault.message, fault.context().unwrap_or_default()),
        )
    })
}
