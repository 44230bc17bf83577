use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The folder with the inputs of all targets.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

/// The inputs of a target, in the order of their names.
#[derive(Clone, Debug)]
pub struct Corpus(Vec<Vec<u8>>);

impl Corpus {
    /// Reads those of the target of this name.
    ///
    /// # Errors
    /// The folder or a file of it cannot be read.
    pub fn of(target: &str) -> Result<Self> {
        let folder = folder().join(target);
        let entries =
            fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry?.path());
        }
        paths.sort();
        let inputs = paths
            .iter()
            .map(|path| fs::read(path).with_context(|| format!("read {}", path.display())));
        inputs.collect::<Result<_>>().map(Self)
    }

    /// One after the other.
    pub fn inputs(&self) -> &[Vec<u8>] {
        &self.0
    }
}
