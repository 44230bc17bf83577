use std::ops::{Deref, DerefMut};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::{Changes, Draft, Record, Resource, StoreError};

/// How often [`modify`](Store) starts again when another writer was faster. One process has one writer at a time, so only a store
/// shared by several processes ever comes to a second try.
const MODIFY_ATTEMPTS_MAX: usize = 8;

/// Durable state of the control plane.
///
/// Reads see the last commit. Writes go through a [`Transaction`]; there is one at a time, others wait for their turn, so a
/// transaction must be short and must not wait for anything outside the store.
///
/// The typed methods on `dyn Store` (`load`, `list`, `modify`, …) are what callers use.
#[async_trait]
pub trait Store: Send + Sync {
    /// The record with this id.
    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Record>, StoreError>;

    /// The record with this name.
    async fn get_by_name(
        &self,
        kind: &'static str,
        name: &str,
    ) -> Result<Option<Record>, StoreError>;

    /// Up to `limit` records with `seq > after_seq`, by ascending `seq`; with `parent`, only those that belong to it.
    async fn page(
        &self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Waits for the turn and begins a transaction. Dropped without commit, it leaves nothing behind.
    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError>;

    /// One state of the store, for several reads that belong together. It waits for nobody who writes; what would be written through it is
    /// never kept, since it cannot be committed.
    async fn view(&self) -> Result<Box<dyn Transaction>, StoreError>;

    /// What has changed so far, anew after every commit: what reconcilers wait on.
    fn watch(&self) -> watch::Receiver<Changes>;

    /// Waits for open work and closes files. Later calls fail.
    async fn close(&self);
}

/// Several reads and writes that become durable together.
#[async_trait]
pub trait Transaction: Send {
    /// The record with this id, as this transaction left it.
    async fn get(&mut self, kind: &'static str, id: &str) -> Result<Option<Record>, StoreError>;

    /// The record with this name, as this transaction left it.
    async fn get_by_name(
        &mut self,
        kind: &'static str,
        name: &str,
    ) -> Result<Option<Record>, StoreError>;

    /// Like [`Store::page`], as this transaction left it.
    async fn page(
        &mut self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// Inserts a record at version 1.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] when the id or the name is taken; the transaction can go on.
    async fn insert(&mut self, kind: &'static str, draft: Draft) -> Result<Record, StoreError>;

    /// Replaces a record that still has the expected version.
    ///
    /// # Errors
    /// [`StoreError::VersionConflict`], [`StoreError::NotFound`], or [`StoreError::AlreadyExists`] when the new name is taken;
    /// the transaction can go on.
    async fn update(
        &mut self,
        kind: &'static str,
        draft: Draft,
        expected_version: i64,
    ) -> Result<Record, StoreError>;

    /// Deletes a record; `false` when there was none.
    async fn delete(&mut self, kind: &'static str, id: &str) -> Result<bool, StoreError>;

    /// Deletes all records that belong to `parent`; returns how many.
    async fn delete_children(
        &mut self,
        kind: &'static str,
        parent: &str,
    ) -> Result<u64, StoreError>;

    /// Makes everything durable and wakes those who watch. When this fails, nothing was written.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// A resource with its place in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<R> {
    /// The resource.
    pub value: R,
    /// Its place in lists.
    pub seq: i64,
    /// The version that was read.
    pub version: i64,
}

impl<R> Deref for Stored<R> {
    type Target = R;

    fn deref(&self) -> &R {
        &self.value
    }
}

impl<R> DerefMut for Stored<R> {
    fn deref_mut(&mut self) -> &mut R {
        &mut self.value
    }
}

fn typed<R: Resource>(record: Record) -> Result<Stored<R>, StoreError> {
    let Record {
        id,
        doc,
        seq,
        version,
        ..
    } = record;
    match serde_json::from_value(doc) {
        Ok(value) => Ok(Stored {
            value,
            seq,
            version,
        }),
        Err(source) => Err(StoreError::Document {
            kind: R::KIND,
            id,
            source,
        }),
    }
}

fn typed_all<R: Resource>(records: Vec<Record>) -> Result<Vec<Stored<R>>, StoreError> {
    records.into_iter().map(typed).collect()
}

fn draft<R: Resource>(resource: &R) -> Result<Draft, StoreError> {
    let doc = resource
        .serialize(serde_json::value::Serializer)
        .map_err(|source| StoreError::Document {
            kind: R::KIND,
            id: resource.id().to_owned(),
            source,
        })?;
    Ok(Draft {
        id: resource.id().to_owned(),
        name: resource.name().to_owned(),
        parent: resource.parent().to_owned(),
        doc,
    })
}

fn not_found<R: Resource>(id: &str) -> StoreError {
    StoreError::NotFound {
        kind: R::KIND,
        id: id.to_owned(),
    }
}

impl dyn Store + '_ {
    /// The resource with this id.
    pub async fn find<R: Resource>(&self, id: &str) -> Result<Option<Stored<R>>, StoreError> {
        self.get(R::KIND, id).await?.map(typed).transpose()
    }

    /// The resource with this name.
    pub async fn find_by_name<R: Resource>(
        &self,
        name: &str,
    ) -> Result<Option<Stored<R>>, StoreError> {
        self.get_by_name(R::KIND, name)
            .await?
            .map(typed)
            .transpose()
    }

    /// All resources of a kind in the order of their creation.
    pub async fn list<R: Resource>(&self) -> Result<Vec<Stored<R>>, StoreError> {
        typed_all(self.page(R::KIND, None, 0, usize::MAX).await?)
    }

    /// All resources of a kind that belong to `parent`, in the order of their creation.
    pub async fn list_children<R: Resource>(
        &self,
        parent: &str,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        typed_all(self.page(R::KIND, Some(parent), 0, usize::MAX).await?)
    }

    /// Changes one resource in a transaction of its own: reads it, applies `change`, writes it. `None` when it is gone.
    ///
    /// `change` may run several times, when another process wrote in between. It answers whether there is anything to write.
    pub async fn modify<R: Resource>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut R) -> bool + Send,
    ) -> Result<Option<Stored<R>>, StoreError> {
        let mut attempt = 1;
        loop {
            let mut transaction = self.begin().await?;
            let Some(mut stored) = transaction.find::<R>(id).await? else {
                return Ok(None);
            };
            if !change(&mut stored.value) {
                return Ok(Some(stored));
            }
            match transaction.replace(&stored).await {
                Ok(written) => {
                    transaction.commit().await?;
                    return Ok(Some(written));
                }
                Err(StoreError::VersionConflict { .. }) if attempt < MODIFY_ATTEMPTS_MAX => {
                    attempt += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Inserts one resource in a transaction of its own.
    pub async fn create<R: Resource>(&self, resource: &R) -> Result<Stored<R>, StoreError> {
        let mut transaction = self.begin().await?;
        let stored = transaction.create(resource).await?;
        transaction.commit().await?;
        Ok(stored)
    }

    /// Deletes one resource in a transaction of its own; `false` when there was none.
    pub async fn remove<R: Resource>(&self, id: &str) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let was_there = transaction.delete(R::KIND, id).await?;
        transaction.commit().await?;
        Ok(was_there)
    }
}

impl dyn Transaction + '_ {
    /// The resource with this id.
    pub async fn find<R: Resource>(&mut self, id: &str) -> Result<Option<Stored<R>>, StoreError> {
        self.get(R::KIND, id).await?.map(typed).transpose()
    }

    /// The resource with this name.
    pub async fn find_by_name<R: Resource>(
        &mut self,
        name: &str,
    ) -> Result<Option<Stored<R>>, StoreError> {
        self.get_by_name(R::KIND, name)
            .await?
            .map(typed)
            .transpose()
    }

    /// All resources of a kind in the order of their creation.
    pub async fn list<R: Resource>(&mut self) -> Result<Vec<Stored<R>>, StoreError> {
        typed_all(self.page(R::KIND, None, 0, usize::MAX).await?)
    }

    /// All resources of a kind that belong to `parent`, in the order of their creation.
    pub async fn list_children<R: Resource>(
        &mut self,
        parent: &str,
    ) -> Result<Vec<Stored<R>>, StoreError> {
        typed_all(self.page(R::KIND, Some(parent), 0, usize::MAX).await?)
    }

    /// Inserts a resource.
    pub async fn create<R: Resource>(&mut self, resource: &R) -> Result<Stored<R>, StoreError> {
        typed(self.insert(R::KIND, draft(resource)?).await?)
    }

    /// Writes a resource back that still has the version it was read at.
    pub async fn replace<R: Resource>(
        &mut self,
        stored: &Stored<R>,
    ) -> Result<Stored<R>, StoreError> {
        typed(
            self.update(R::KIND, draft(&stored.value)?, stored.version)
                .await?,
        )
    }

    /// Inserts the resource, or replaces the one with its id whatever its version.
    pub async fn put<R: Resource>(&mut self, resource: &R) -> Result<Stored<R>, StoreError> {
        match self.get(R::KIND, resource.id()).await? {
            None => self.create(resource).await,
            Some(record) => typed(
                self.update(R::KIND, draft(resource)?, record.version)
                    .await?,
            ),
        }
    }

    /// Changes one resource inside this transaction.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when it is gone.
    pub async fn modify<R: Resource>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut R) + Send,
    ) -> Result<Stored<R>, StoreError> {
        let mut stored = self
            .find::<R>(id)
            .await?
            .ok_or_else(|| not_found::<R>(id))?;
        change(&mut stored.value);
        self.replace(&stored).await
    }
}
