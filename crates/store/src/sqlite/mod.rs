//! The embedded store: one SQLite file in the data directory.
//!
//! WAL with `synchronous=FULL`: a commit that was answered survives a power cut, readers never wait for the writer. All writes of a
//! process go through one connection, so `BEGIN IMMEDIATE` waits only for another process, which writes seldom and little.

mod migrate;
mod sql;

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use tokio::sync::watch;

use crate::{Changes, Draft, Record, Store, StoreError, Transaction};

/// Reads are short and from memory mostly; more connections than this would only wait for the same two cores.
const READ_CONNECTIONS_MAX: u32 = 4;
/// Only another process (`whimbrel keys`, a backup, a shell) can hold the file; it gets this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    changes: Arc<watch::Sender<Changes>>,
}

impl SqliteStore {
    /// Opens the file, makes it when missing, and brings its schema up to date.
    ///
    /// The caller holds the lock of the data directory: no other process may bring the schema up to date.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        keep_to_owner(file)?;
        let options = options(file).create_if_missing(true);
        let writer = writer(options.clone()).await?;
        migrate::run(&writer).await?;
        Self::with(writer, options).await
    }

    /// Opens a file that another process has open; `None` when there is none, or not with the schema of this program.
    pub(crate) async fn open_current(file: &Path) -> Result<Option<Self>, StoreError> {
        if !file.exists() {
            return Ok(None);
        }
        let options = options(file);
        let writer = writer(options.clone()).await?;
        if !migrate::is_current(&writer).await? {
            writer.close().await;
            return Ok(None);
        }
        Self::with(writer, options).await.map(Some)
    }

    async fn with(writer: SqlitePool, options: SqliteConnectOptions) -> Result<Self, StoreError> {
        let readers = SqlitePoolOptions::new()
            .max_connections(READ_CONNECTIONS_MAX)
            .connect_with(options)
            .await
            .map_err(database("open its file"))?;
        Ok(Self {
            writer,
            readers,
            changes: Arc::new(watch::Sender::new(Changes::default())),
        })
    }
}

/// Makes the file and those beside it its owner's alone, whatever the folder allows: SQLite gives the others the rights of the first.
fn keep_to_owner(file: &Path) -> Result<(), StoreError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| StoreError::Io {
            action: "keep others from reading",
            path,
            source,
        }
    };
    let mut create = OpenOptions::new();
    let opened = create.append(true).create(true).mode(0o600).open(file);
    opened.map_err(failed(file))?;
    for suffix in ["", "-wal", "-shm"] {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        let path = Path::new(&path);
        match fs::set_permissions(path, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(path)(error)),
            _ => {}
        }
    }
    Ok(())
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY_TIMEOUT)
}

async fn writer(options: SqliteConnectOptions) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await
        .map_err(database("open its file"))
}

fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |source| StoreError::Database { action, source }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, kind: &'static str, id: &str) -> Result<Option<Record>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(database("read"))?;
        select_one(&mut connection, sql::GET, kind, id).await
    }

    async fn get_by_name(
        &self,
        kind: &'static str,
        name: &str,
    ) -> Result<Option<Record>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(database("read"))?;
        select_one(&mut connection, sql::GET_BY_NAME, kind, name).await
    }

    async fn page(
        &self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(database("read"))?;
        select_page(&mut connection, kind, parent, after_seq, limit).await
    }

    async fn begin(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let inner = self
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(database("begin a transaction"))?;
        Ok(Box::new(SqliteTransaction {
            inner,
            changes: Arc::clone(&self.changes),
            touched: BTreeSet::new(),
            is_view: false,
        }))
    }

    async fn view(&self) -> Result<Box<dyn Transaction>, StoreError> {
        let inner = self.readers.begin().await.map_err(database("read"))?;
        Ok(Box::new(SqliteTransaction {
            inner,
            changes: Arc::clone(&self.changes),
            touched: BTreeSet::new(),
            is_view: true,
        }))
    }

    fn watch(&self) -> watch::Receiver<Changes> {
        self.changes.subscribe()
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

struct SqliteTransaction {
    inner: sqlx::Transaction<'static, sqlx::Sqlite>,
    changes: Arc<watch::Sender<Changes>>,
    /// The kinds that were written.
    touched: BTreeSet<&'static str>,
    is_view: bool,
}

impl SqliteTransaction {
    async fn check_name(&mut self, kind: &'static str, draft: &Draft) -> Result<(), StoreError> {
        match self.get_by_name(kind, &draft.name).await? {
            Some(other) if other.id != draft.id => Err(StoreError::AlreadyExists {
                kind,
                name: draft.name.clone(),
            }),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Transaction for SqliteTransaction {
    async fn get(&mut self, kind: &'static str, id: &str) -> Result<Option<Record>, StoreError> {
        select_one(&mut self.inner, sql::GET, kind, id).await
    }

    async fn get_by_name(
        &mut self,
        kind: &'static str,
        name: &str,
    ) -> Result<Option<Record>, StoreError> {
        select_one(&mut self.inner, sql::GET_BY_NAME, kind, name).await
    }

    async fn page(
        &mut self,
        kind: &'static str,
        parent: Option<&str>,
        after_seq: i64,
        limit: usize,
    ) -> Result<Vec<Record>, StoreError> {
        select_page(&mut self.inner, kind, parent, after_seq, limit).await
    }

    async fn insert(&mut self, kind: &'static str, draft: Draft) -> Result<Record, StoreError> {
        // The counter's row stays locked until the commit, so on a shared store too numbers become visible in their order:
        // a reader that saw number n will never find a smaller one appear.
        let seq: i64 = sqlx::query(sql::NEXT_SEQ)
            .fetch_one(&mut *self.inner)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(database("count a new resource"))?;
        let Draft {
            id,
            name,
            parent,
            doc,
        } = draft;
        let inserted = sqlx::query(sql::INSERT)
            .bind(kind)
            .bind(&id)
            .bind(&name)
            .bind(&parent)
            .bind(seq)
            .bind(doc.to_string())
            .execute(&mut *self.inner)
            .await
            .map_err(database("insert a resource"))?;
        if inserted.rows_affected() == 0 {
            return Err(StoreError::AlreadyExists { kind, name });
        }
        self.touched.insert(kind);
        Ok(Record {
            id,
            name,
            parent,
            seq,
            version: 1,
            doc,
        })
    }

    async fn update(
        &mut self,
        kind: &'static str,
        draft: Draft,
        expected_version: i64,
    ) -> Result<Record, StoreError> {
        let Some(old) = self.get(kind, &draft.id).await? else {
            return Err(StoreError::NotFound { kind, id: draft.id });
        };
        if old.name != draft.name {
            self.check_name(kind, &draft).await?;
        }
        let Draft {
            id,
            name,
            parent,
            doc,
        } = draft;
        let updated = sqlx::query(sql::UPDATE)
            .bind(kind)
            .bind(&id)
            .bind(&name)
            .bind(&parent)
            .bind(doc.to_string())
            .bind(expected_version)
            .execute(&mut *self.inner)
            .await
            .map_err(database("update a resource"))?;
        if updated.rows_affected() == 0 {
            return Err(StoreError::VersionConflict { kind, id });
        }
        self.touched.insert(kind);
        Ok(Record {
            id,
            name,
            parent,
            seq: old.seq,
            version: expected_version + 1,
            doc,
        })
    }

    async fn delete(&mut self, kind: &'static str, id: &str) -> Result<bool, StoreError> {
        let deleted = sqlx::query(sql::DELETE)
            .bind(kind)
            .bind(id)
            .execute(&mut *self.inner)
            .await
            .map_err(database("delete a resource"))?;
        self.touched.insert(kind);
        Ok(deleted.rows_affected() > 0)
    }

    async fn delete_children(
        &mut self,
        kind: &'static str,
        parent: &str,
    ) -> Result<u64, StoreError> {
        let deleted = sqlx::query(sql::DELETE_CHILDREN)
            .bind(kind)
            .bind(parent)
            .execute(&mut *self.inner)
            .await
            .map_err(database("delete resources"))?;
        self.touched.insert(kind);
        Ok(deleted.rows_affected())
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        let Self {
            inner,
            changes,
            touched,
            is_view,
        } = *self;
        if is_view {
            return Err(StoreError::View);
        }
        inner.commit().await.map_err(database("commit"))?;
        changes.send_modify(|changes| changes.add(&touched));
        Ok(())
    }
}

async fn select_one(
    connection: &mut SqliteConnection,
    statement: &'static str,
    kind: &'static str,
    key: &str,
) -> Result<Option<Record>, StoreError> {
    let row = sqlx::query(statement)
        .bind(kind)
        .bind(key)
        .fetch_optional(connection)
        .await
        .map_err(database("read a resource"))?;
    row.map(|row| record(kind, &row)).transpose()
}

async fn select_page(
    connection: &mut SqliteConnection,
    kind: &'static str,
    parent: Option<&str>,
    after_seq: i64,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let query = match parent {
        None => sqlx::query(sql::PAGE)
            .bind(kind)
            .bind(after_seq)
            .bind(limit),
        Some(parent) => sqlx::query(sql::PAGE_OF_PARENT)
            .bind(kind)
            .bind(after_seq)
            .bind(limit)
            .bind(parent),
    };
    let rows = query
        .fetch_all(connection)
        .await
        .map_err(database("list resources"))?;
    rows.iter().map(|row| record(kind, row)).collect()
}

fn record(kind: &'static str, row: &SqliteRow) -> Result<Record, StoreError> {
    let read = || -> Result<(Record, String), sqlx::Error> {
        let record = Record {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            parent: row.try_get(2)?,
            seq: row.try_get(3)?,
            version: row.try_get(4)?,
            doc: serde_json::Value::Null,
        };
        Ok((record, row.try_get(5)?))
    };
    let (mut record, doc) = read().map_err(database("read a resource"))?;
    match serde_json::from_str(&doc) {
        Ok(doc) => {
            record.doc = doc;
            Ok(record)
        }
        Err(source) => Err(StoreError::Document {
            kind,
            id: record.id,
            source,
        }),
    }
}
