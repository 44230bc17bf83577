//! Installs what the machine lacks, from its own package sources.
//!
//! Debian starts a server when its package is installed. That must not happen here: it would take a
//! well-known port and outlive the tests. So MariaDB's server comes as `mariadb-server-core`, which has
//! programs only, and while PostgreSQL is installed its scripts are told to make no cluster and all
//! packages' scripts to start no service. Both measures are removed afterwards.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use crate::cache::cache_dir;

/// A Debian package and how to see that it is there.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Its name.
    pub name: &'static str,
    /// A file it brings: an absolute path, or the name of a program on the search path.
    pub proof: &'static str,
}

const fn package(name: &'static str, proof: &'static str) -> Package {
    Package { name, proof }
}

/// What the test servers of the machine itself need.
pub const SERVERS: &[Package] = &[
    package("postgresql-15", "/usr/lib/postgresql/15/bin/postgres"),
    package("postgresql-client-15", "psql"),
    package("mariadb-server-core", "/usr/sbin/mariadbd"),
    package("mariadb-client", "mariadb"),
    package("openssl", "openssl"),
];

/// What makes the folders of other releases.
pub(crate) const RELEASES: &[Package] = &[package("debootstrap", "/usr/sbin/debootstrap")];

/// Installs those packages that are missing: as root, or through `sudo` where it asks no password.
///
/// # Errors
/// Names the packages when they cannot be installed.
pub fn ensure(packages: &[Package]) -> Result<()> {
    if missing(packages).is_empty() {
        return Ok(());
    }
    let _lock = lock()?;
    // Another process may have installed them meanwhile.
    install_now(&missing(packages))
}

/// Installs packages, there or not, as [`ensure`] does.
///
/// # Errors
/// Names the packages when they cannot be installed.
pub fn install(names: &[&str]) -> Result<()> {
    let _lock = lock()?;
    install_now(names)
}

fn lock() -> Result<File> {
    let path = cache_dir()?.join("packages.lock");
    let file = OpenOptions::new().create(true).append(true).open(path);
    let file = file.context("open the lock file of the package installation")?;
    file.lock()
        .context("wait for another process that installs packages")?;
    Ok(file)
}

fn install_now(names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let list = names.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("these Debian packages are missing, install what is like them here: {list}");
    }
    let Some(root) = Root::reach() else {
        bail!(
            "packages are missing, this is not root and `sudo -n` does not work: run `sudo -v` first, or `apt-get install {list}` as root"
        );
    };
    eprintln!("testkit: installing {list}");
    install_as(&root, names).with_context(|| format!("run `apt-get install {list}` yourself"))
}

/// Whether the program is on the search path.
pub fn has_program(name: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn missing(packages: &[Package]) -> Vec<&'static str> {
    let there = |package: &&Package| {
        let proof = package.proof;
        if proof.starts_with('/') {
            Path::new(proof).exists()
        } else {
            has_program(proof)
        }
    };
    packages
        .iter()
        .filter(|package| !there(package))
        .map(|package| package.name)
        .collect()
}

fn install_as(root: &Root, names: &[&str]) -> Result<()> {
    root.run(&["apt-get", "-q", "update"])?;
    let _services = Measure::put(
        root,
        "/usr/sbin/policy-rc.d",
        "#!/bin/sh\n# A test run installs packages: start no service. Removed right after.\nexit 101\n",
    )?;
    let _clusters = Measure::put(
        root,
        "/etc/postgresql-common/createcluster.d/whimbrel-tests.conf",
        "create_main_cluster = false\n",
    )?;
    let install = ["apt-get", "-q", "install", "-y", "--no-install-recommends"];
    root.run(&[&install[..], names].concat())
}

/// How commands become root.
pub(crate) enum Root {
    /// This process is root.
    Already,
    /// `sudo` works without a password.
    Sudo,
}

impl Root {
    /// The way to become root without asking anybody, if there is one.
    pub(crate) fn reach() -> Option<Self> {
        if Uid::effective().is_root() {
            return Some(Self::Already);
        }
        let mut sudo = Command::new("sudo");
        sudo.args(["-n", "true"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sudo.status()
            .is_ok_and(|status| status.success())
            .then_some(Self::Sudo)
    }

    /// Runs a command as root. Its output, often thousands of lines, shows only if it fails.
    pub(crate) fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = match self {
            Self::Already => Command::new("env"),
            Self::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "env"]);
                sudo
            }
        };
        let output = command
            .args(["DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"])
            .args(words)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run `{}`", words.join(" ")))?;
        if !output.status.success() {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            bail!(
                "`{}` ended with {}:\n{said}",
                words.join(" "),
                output.status
            );
        }
        Ok(())
    }
}

/// A file that is there during an installation only. One that was there before is left alone.
struct Measure<'a> {
    root: &'a Root,
    path: Option<PathBuf>,
}

impl<'a> Measure<'a> {
    fn put(root: &'a Root, path: &str, content: &str) -> Result<Self> {
        let path = Path::new(path);
        if path.exists() {
            return Ok(Self { root, path: None });
        }
        let draft = tempfile::NamedTempFile::new().context("make a file")?;
        fs::write(draft.path(), content).context("write a file")?;
        let (from, to) = (
            draft.path().display().to_string(),
            path.display().to_string(),
        );
        root.run(&["install", "-D", "-m", "755", &from, &to])?;
        Ok(Self {
            root,
            path: Some(path.to_owned()),
        })
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = self.root.run(&["rm", "-f", &path.display().to_string()])
        {
            eprintln!("testkit: {error:#}: remove {} yourself", path.display());
        }
    }
}
