use serde_json::{Value, json};
use whimbrel_store::EpochMs;

use super::Harness;
use crate::operations::window;

/// Minutes between now and a window that is shut: more than any test takes, in either direction.
const FAR: u32 = 3 * 24 * 60;

struct Instance {
    harness: Harness,
    arn: String,
}

impl Instance {
    /// An instance whose window is shut.
    async fn new() -> Self {
        let harness = Harness::start();
        let arn = harness.instance("i").await;
        let instance = Self { harness, arn };
        let window = window::from_minute(window::minute_at(EpochMs::now()) + FAR);
        instance
            .modify(json!({"PreferredMaintenanceWindow": window}))
            .await;
        instance
    }

    fn request(&self, mut more: Value) -> Value {
        more["ReplicationInstanceArn"] = json!(self.arn);
        more
    }

    async fn modify(&self, change: Value) -> Value {
        let request = self.request(change);
        let answer = self.harness.ok("ModifyReplicationInstance", request).await;
        answer["ReplicationInstance"].clone()
    }

    /// Opens the window.
    async fn open(&self) {
        let window = window::from_minute(window::minute_at(EpochMs::now()));
        self.modify(json!({"PreferredMaintenanceWindow": window}))
            .await;
    }

    async fn opt(&self, opt_in: &str) -> Value {
        let request = self.request(json!({"ApplyAction": "db-upgrade", "OptInType": opt_in}));
        let answer = self
            .harness
            .ok("ApplyPendingMaintenanceAction", request)
            .await;
        answer["ResourcePendingMaintenanceActions"]["PendingMaintenanceActionDetails"][0].clone()
    }

    async fn until(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let page = self
            .harness
            .until("DescribeReplicationInstances", json!({}), |page| {
                let instance = &page["ReplicationInstances"][0];
                instance["ReplicationInstanceStatus"] == "available" && wanted(instance)
            })
            .await;
        page["ReplicationInstances"][0].clone()
    }

    async fn actions(&self) -> Value {
        let request = self.request(json!({}));
        let page = self
            .harness
            .ok("DescribePendingMaintenanceActions", request)
            .await;
        page["PendingMaintenanceActions"].clone()
    }
}

#[tokio::test]
async fn a_change_that_waits_is_applied_when_it_is_sent_again_to_apply_at_once() {
    let instance = Instance::new().await;
    let changed = instance.modify(json!({"AllocatedStorage": 77})).await;
    assert_eq!(changed["PendingModifiedValues"]["AllocatedStorage"], 77);
    let changed = instance
        .modify(json!({"AllocatedStorage": 77, "ApplyImmediately": true}))
        .await;
    assert_eq!(changed["ReplicationInstanceStatus"], "modifying");
    assert_eq!(changed["PendingModifiedValues"]["AllocatedStorage"], 77);
    let done = instance.until(|i| i["AllocatedStorage"] == 77).await;
    assert_eq!(done["PendingModifiedValues"], json!({}));
    let again = instance.request(json!({"AllocatedStorage": 77, "ApplyImmediately": true}));
    instance
        .harness
        .refused(
            "ModifyReplicationInstance",
            again,
            "InvalidParameterCombinationException",
        )
        .await;
}

#[tokio::test]
async fn what_waits_is_applied_once_the_window_is_open() {
    let instance = Instance::new().await;
    instance
        .modify(json!({"AllocatedStorage": 77, "EngineVersion": "3.6.0"}))
        .await;
    let waiting = instance.until(|_| true).await;
    assert_eq!(waiting["AllocatedStorage"], 50);
    instance.open().await;
    let done = instance.until(|i| i["AllocatedStorage"] == 77).await;
    assert_eq!(done["EngineVersion"], "3.6.0");
    assert_eq!(done["PendingModifiedValues"], json!({}));
    assert_eq!(instance.actions().await, json!([]));
}

#[tokio::test]
async fn an_upgrade_applied_by_its_action_leaves_other_changes_waiting() {
    let instance = Instance::new().await;
    instance
        .modify(json!({"AllocatedStorage": 77, "EngineVersion": "3.6.0"}))
        .await;
    let action = instance.opt("immediate").await;
    assert_eq!(action["OptInStatus"], "immediate");
    let done = instance.until(|i| i["EngineVersion"] == "3.6.0").await;
    assert_eq!(done["AllocatedStorage"], 50);
    assert_eq!(
        done["PendingModifiedValues"],
        json!({"AllocatedStorage": 77})
    );
}

#[tokio::test]
async fn an_upgrade_that_was_opted_out_of_passes_windows_over_until_it_is_opted_into() {
    let instance = Instance::new().await;
    instance
        .modify(json!({"AllocatedStorage": 77, "EngineVersion": "3.6.0"}))
        .await;
    let action = &instance.actions().await[0]["PendingMaintenanceActionDetails"][0];
    assert_eq!(action["OptInStatus"], "next-maintenance");
    assert!(action["CurrentApplyDate"].is_number());
    let action = instance.opt("undo-opt-in").await;
    assert_eq!(action["Action"], "db-upgrade");
    assert_eq!(
        (action.get("OptInStatus"), action.get("CurrentApplyDate")),
        (None, None)
    );
    instance.open().await;
    let done = instance.until(|i| i["AllocatedStorage"] == 77).await;
    assert_ne!(done["EngineVersion"], "3.6.0");
    assert_eq!(
        instance.opt("next-maintenance").await["OptInStatus"],
        "next-maintenance"
    );
    instance.until(|i| i["EngineVersion"] == "3.6.0").await;
}

#[tokio::test]
async fn a_crash_while_changes_are_applied_loses_none() {
    let instance = Instance::new().await;
    instance
        .modify(json!({"AllocatedStorage": 77, "ApplyImmediately": true}))
        .await;
    let instance = Instance {
        harness: instance.harness.after_a_crash(),
        arn: instance.arn,
    };
    instance.until(|i| i["AllocatedStorage"] == 77).await;
}

#[tokio::test]
async fn storage_is_counted_against_the_quota_when_it_grows() {
    let instance = Instance::new().await;
    for number in 0..4 {
        let request = json!({"ReplicationInstanceIdentifier": format!("large-{number}"), "ReplicationInstanceClass": "dms.t3.medium",
            "AllocatedStorage": 6144});
        instance
            .harness
            .ok("CreateReplicationInstance", request)
            .await;
    }
    let request = instance.request(json!({"AllocatedStorage": 6000}));
    instance
        .harness
        .refused(
            "ModifyReplicationInstance",
            request,
            "StorageQuotaExceededFault",
        )
        .await;
}
