use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::StoreError;

fn lock_file(path: &Path) -> PathBuf {
    path.join("lock")
}

/// The directory that holds everything a Whimbrel process keeps on disk, locked for this process.
///
/// The lock is the kernel's on an open file: it ends with the process however that ends, so a stale lock cannot exist.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// `None` beside the process that has the lock.
    _lock: Option<File>,
}

impl DataDir {
    /// Makes the directory when missing (readable by its owner alone) and locks it.
    ///
    /// # Errors
    /// [`StoreError::DataDirInUse`] when another process has it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let io = |action, path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io {
                action,
                path,
                source,
            }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(io("create the data directory", path))?;
        let lock_path = lock_file(path);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(io("open the lock file", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let pid = lock
                    .read_to_string(&mut text)
                    .ok()
                    .and_then(|_| text.trim().parse().ok());
                return Err(StoreError::DataDirInUse {
                    path: path.to_owned(),
                    pid,
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(io("lock", &lock_path)(source));
            }
        }
        lock.set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()))
            .map_err(io("write the lock file", &lock_path))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: Some(lock),
        })
    }

    /// Whether a process has, or ever had, this directory.
    pub(crate) fn was_opened(path: &Path) -> bool {
        lock_file(path).exists()
    }

    /// A directory that another process has locked, for what can be done beside it: nothing in it may be made anew.
    pub(crate) fn of_another(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            _lock: None,
        }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file of the embedded store.
    pub fn store_file(&self) -> PathBuf {
        self.path.join("store.sqlite")
    }

    /// The file of the master key.
    pub fn key_file(&self) -> PathBuf {
        self.path.join("master.key")
    }

    /// Writes a new file that only its owner can read: whole and durable, or not at all.
    pub(crate) fn create_private(&self, path: &Path, content: &str) -> Result<(), StoreError> {
        let temporary = path.with_extension("new");
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|source| StoreError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    }
}

/// Reads a small file; `None` when there is none.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<String>, StoreError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(StoreError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_second_opener_is_told_who_has_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let error = DataDir::open(&path).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("in use by another whimbrel process"),
            "{text}"
        );
        assert!(
            text.contains(&format!("pid {}", std::process::id())),
            "{text}"
        );
        drop(first);
        DataDir::open(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}
