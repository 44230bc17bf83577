use std::path::Path;
use std::sync::Arc;

use crate::{DataDir, KeySource, SqliteStore, Store, Vault, VaultError};

/// The store of a single process: a locked data directory with an SQLite file and its vault.
#[derive(Debug)]
pub struct Embedded {
    store: Arc<SqliteStore>,
    vault: Arc<Vault>,
    data_dir: DataDir,
}

impl Embedded {
    /// Locks the directory, opens the store and checks the master key.
    pub async fn open(path: &Path, key: &KeySource) -> Result<Self, VaultError> {
        let data_dir = DataDir::open(path)?;
        let store = Arc::new(SqliteStore::open(&data_dir.store_file()).await?);
        let vault = Arc::new(Vault::open(&data_dir, store.as_ref(), key).await?);
        Ok(Self {
            store,
            vault,
            data_dir,
        })
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    /// The vault.
    pub fn vault(&self) -> Arc<Vault> {
        Arc::clone(&self.vault)
    }

    /// The data directory. It stays locked as long as this value lives.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }
}
