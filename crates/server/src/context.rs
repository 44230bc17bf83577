use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use whimbrel_store::{Store, Vault};

use crate::arn::Home;
use crate::data_plane::DataPlane;
use crate::runs::Runs;

/// What handlers and reconcilers share.
pub(crate) struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) data_plane: Arc<dyn DataPlane>,
    pub(crate) home: Home,
    /// Where results of assessments are kept.
    pub(crate) results: PathBuf,
    pub(crate) runs: Runs,
    /// Wakes the reconcilers for what is not in the store: a run that is over.
    pub(crate) wake: watch::Sender<u64>,
}

impl Context {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        vault: Arc<Vault>,
        data_plane: Arc<dyn DataPlane>,
        home: Home,
        results: PathBuf,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            vault,
            data_plane,
            home,
            results,
            runs: Runs::default(),
            wake: watch::Sender::new(0),
        })
    }

    /// Over an empty store in memory, and a data plane of which nothing is asked.
    #[cfg(test)]
    pub(crate) fn of_test() -> Arc<Self> {
        let home = Home {
            region: "eu-central-1".into(),
            account_id: "000000000000".into(),
        };
        Self::new(
            Arc::new(whimbrel_store::MemoryStore::default()),
            Arc::new(Vault::ephemeral()),
            Arc::new(crate::data_plane::FakeDataPlane::default()),
            home,
            std::env::temp_dir().join("whimbrel-assessments-of-no-test"),
        )
    }

    /// The key that stands for our own encryption at rest where the API names a KMS key.
    pub(crate) fn default_kms_key(&self) -> String {
        format!(
            "arn:aws:kms:{}:{}:alias/aws/dms",
            self.home.region, self.home.account_id
        )
    }

    /// Lets all reconcilers look again.
    pub(crate) fn wake(&self) {
        self.wake.send_modify(|count| *count += 1);
    }
}
