//! Python packages, in environments of their own in the cache folder.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, OpenOptions};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use whimbrel_testkit::{cache_dir, packages};

use crate::run::step;

/// Written last, so that an interrupted installation is done again.
const COMPLETE: &str = "complete";

/// The `bin` folder of an environment that holds exactly `requirements`, made if it is missing.
///
/// The folder's name says what is in it, so other requirements make another environment.
pub(crate) fn environment(name: &str, requirements: &str) -> Result<PathBuf> {
    let lock = cache_dir()?.join("python.lock");
    let lock = OpenOptions::new().create(true).append(true).open(lock);
    let lock = lock.context("open the lock file of the Python environments")?;
    lock.lock()
        .context("wait for another process that makes a Python environment")?;
    if let Some(bin) = existing(name, requirements)? {
        return Ok(bin);
    }
    let folder = folder(name, requirements)?;
    make(&folder, requirements).with_context(|| format!("make the Python environment `{name}`"))?;
    fs::write(folder.join(COMPLETE), "").context("mark the Python environment as complete")?;
    Ok(folder.join("bin"))
}

/// The `bin` folder of such an environment, if it is there already.
pub(crate) fn existing(name: &str, requirements: &str) -> Result<Option<PathBuf>> {
    let folder = folder(name, requirements)?;
    Ok(folder.join(COMPLETE).exists().then(|| folder.join("bin")))
}

/// Lets everybody run the file.
pub(crate) fn make_executable(program: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", program.display()))
}

fn folder(name: &str, requirements: &str) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    requirements.hash(&mut hasher);
    Ok(cache_dir()?.join(format!("python-{name}-{:016x}", hasher.finish())))
}

fn make(folder: &Path, requirements: &str) -> Result<()> {
    if !has_venv() {
        // Debian keeps the module apart from the interpreter.
        packages::install(&["python3", "python3-venv"])?;
    }
    step(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    )?;
    let list = folder.join("requirements.txt");
    fs::write(&list, requirements).context("write the list of Python packages")?;
    let pip = folder.join("bin/pip");
    let quiet = [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ];
    step(Command::new(pip).args(quiet).arg(&list))
}

fn has_venv() -> bool {
    let mut probe = Command::new("python3");
    probe
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
