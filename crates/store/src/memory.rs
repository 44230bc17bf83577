use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard, RwLock, watch};

use crate::{Changes, Draft, Record, Store, StoreError, Transaction};

#[derive(Clone, Debug, Default)]
struct State {
    last_seq: i64,
    records: BTreeMap<(&'static str, String), Record>,
}

/// A store that forgets everything at the end of the process, for tests.
#[derive(Debug)]
pub struct MemoryStore {
    /// Held by the open transaction, so that there is one at a time.
    turn: Arc<Mutex<()>>,
    committed: Arc<RwLock<State>>,
    changes: Arc<watch::Sender<Changes>>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self {
            turn: Arc::default(),
            committed: Arc::default(),
            changes: Arc::new(watch::Sender::new(Changes::default())),
        }
    }
}

impl State {
    fn get(&self, kind: &'static str, id: &str) -> Option<Record> {
        self.records.get(&(kind, id.to_owned())).cloned()
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Record> {
        self.records
            .range((kind, String::new())..)
            .take_while(move |(key, _)| key.0 == kind)
            .map(|(_, record)| record)
    }

    fn get_by_name(&self, kind: &'static str, name: &str) -> Option<Record> {
        self.of_kind(kind)
            .find(|record| record.name == name)
            .cloned()
    }

    fn page(
        &self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Vec<Record> {
        let mut records: Vec<&Record> = self
            .of_kind(kind)
            .filter(|record| {
                record.seq > after_seq && parent.is_none_or(|parent| parent == record.parent)
            })
            .collect();
        records.sort_by_key(|record| record.seq);
        records.into_iter().take(limit).cloned().collect()
    }

    fn check_name(&self, kind: &'static str, draft: &Draft) -> Result<(), StoreError> {
        match self.get_by_name(kind, &draft.name) {
            Some(other) if other.id != draft.id => Err(StoreError::AlreadyExists {
                kind,
                name: draft.name.clone(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.committed.read().await.get(kind, id))
    }

    async fn get_by_name(
        &self,
        kind: &'static str,
        name: &str,
    ) -> Result<Option<Record>, StoreError> {
        Ok(self.committed.read().await.get_by_name(kind, name))
    }

    async fn page(
        &self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(self
            .committed
            .read()
            .await
            .page(kind, parent, after_seq, limit))
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let turn = Arc::clone(&self.turn).lock_owned().await;
        let state = self.committed.read().await.clone();
        Ok(Box::new(MemoryTransaction {
            turn: Some(turn),
            state,
            committed: Arc::clone(&self.committed),
            changes: Arc::clone(&self.changes),
            touched: BTreeSet::new(),
        }))
    }

    async fn view(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let state = self.committed.read().await.clone();
        Ok(Box::new(MemoryTransaction {
            turn: None,
            state,
            committed: Arc::clone(&self.committed),
            changes: Arc::clone(&self.changes),
            touched: BTreeSet::new(),
        }))
    }

    fn watch(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    async fn close(&self) {}
}

struct MemoryTransaction {
    /// Who has it may commit.
    turn: Option<OwnedMutexGuard<()>>,
    /// The state with the writes of this transaction.
    state: State,
    committed: Arc<RwLock<State>>,
    changes: Arc<watch::Sender<Changes>>,
    /// The kinds that were written.
    touched: BTreeSet<&'static str>,
}

#[async_trait]
impl Transaction for MemoryTransaction {
    async fn get(&mut self, kind: &'static str, id: &str) -> Result<Option<Record>, StoreError> {
        Ok(self.state.get(kind, id))
    }

    async fn get_by_name(
        &mut self,
        kind: &'static str,
        name: &str,
    ) -> Result<Option<Record>, StoreError> {
        Ok(self.state.get_by_name(kind, name))
    }

    async fn page(
        &mut self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        Ok(self.state.page(kind, parent, after_seq, limit))
    }

    async fn insert(&mut self, kind: &'static str, draft: Draft) -> Result<Record, StoreError> {
        if self.state.get(kind, &draft.id).is_some() {
            return Err(StoreError::AlreadyExists {
                kind,
                name: draft.id,
            });
        }
        self.state.check_name(kind, &draft)?;
        self.state.last_seq += 1;
        let Draft {
            id,
            name,
            parent,
            doc,
        } = draft;
        let record = Record {
            id,
            name,
            parent,
            seq: self.state.last_seq,
            version: 1,
            doc,
        };
        self.state
            .records
            .insert((kind, record.id.clone()), record.clone());
        self.touched.insert(kind);
        Ok(record)
    }

    async fn update(
        &mut self,
        kind: &'static str,
        draft: Draft,
        expected_version: i64,
    ) -> Result<Record, StoreError> {
        let Some(old) = self.state.get(kind, &draft.id) else {
            return Err(StoreError::NotFound { kind, id: draft.id });
        };
        if old.version != expected_version {
            return Err(StoreError::VersionConflict { kind, id: draft.id });
        }
        self.state.check_name(kind, &draft)?;
        let Draft {
            id,
            name,
            parent,
            doc,
        } = draft;
        let record = Record {
            id,
            name,
            parent,
            seq: old.seq,
            version: old.version + 1,
            doc,
        };
        self.state
            .records
            .insert((kind, record.id.clone()), record.clone());
        self.touched.insert(kind);
        Ok(record)
    }

    async fn delete(&mut self, kind: &'static str, id: &str) -> Result<bool, StoreError> {
        self.touched.insert(kind);
        Ok(self.state.records.remove(&(kind, id.to_owned())).is_some())
    }

    async fn delete_children(
        &mut self,
        kind: &'static str,
        parent: &str,
    ) -> Result<u64, StoreError> {
        self.touched.insert(kind);
        let before = self.state.records.len();
        self.state
            .records
            .retain(|key, record| key.0 != kind || record.parent != parent);
        Ok((before - self.state.records.len()) as u64)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            turn,
            state,
            committed,
            changes,
            touched,
        } = *self;
        let Some(_turn) = turn else {
            return Err(StoreError::View);
        };
        *committed.write().await = state;
        changes.send_modify(|changes| changes.add(&touched));
        Ok(())
    }
}
