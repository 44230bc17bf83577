//! The folder for what is costly to make and may be thrown away: folders of other releases, Python packages.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The cache folder, made if missing: `$WHIMBREL_CACHE_DIR`, else `$XDG_CACHE_HOME/whimbrel`, else
/// `~/.cache/whimbrel`.
pub fn cache_dir() -> Result<PathBuf> {
    let set = |name| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let dir = set("WHIMBREL_CACHE_DIR")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("whimbrel")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/whimbrel")))
        .context("no cache folder: set WHIMBREL_CACHE_DIR or HOME")?;
    std::fs::create_dir_all(&dir)
        .with_context(|| format!("make the cache folder {}", dir.display()))?;
    Ok(dir)
}
