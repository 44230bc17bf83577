use std::path::Path;
use std::sync::Arc;

use crate::{DataDir, KeySource, SqliteStore, Store, StoreError, Vault, VaultError};

/// The store of a single process, or of one beside it: a locked data directory with an SQLite file and its vault.
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

    /// The same for short work beside a service that has the directory: then its store is used with it, through transactions of
    /// its own. Without such a service the directory is locked as by [`Self::open`].
    ///
    /// # Errors
    /// [`StoreError::Missing`] when no service was ever started there; [`StoreError::DataDirInUse`] when the other process has another version
    /// of the store, or is still setting it up.
    pub async fn open_beside(path: &Path, key: &KeySource) -> Result<Self, VaultError> {
        if !DataDir::was_opened(path) {
            return Err(StoreError::Missing(path.to_owned()).into());
        }
        let in_use = match Self::open(path, key).await {
            Err(VaultError::Store(in_use @ StoreError::DataDirInUse { .. })) => in_use,
            opened => return opened,
        };
        let data_dir = DataDir::of_another(path);
        let Some(store) = SqliteStore::open_current(&data_dir.store_file()).await? else {
            return Err(in_use.into());
        };
        if !Vault::is_set_up(&store).await? {
            return Err(in_use.into());
        }
        let vault = Vault::open(&data_dir, &store, key).await?;
        Ok(Self {
            store: Arc::new(store),
            vault: Arc::new(vault),
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

    /// The data directory. Where this process has locked it, it stays locked as long as this value lives.
    pub fn data_dir(&self) -> &DataDir {
        &self.data_dir
    }
}
