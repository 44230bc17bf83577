//! Where an engine's programs come from, and how they are run.
//!
//! PostgreSQL refuses to run as root, and the others should not, so for root every server program
//! runs as `nobody`. Programs of another Debian release run with its folder
//! as their root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::unistd::Uid;

use crate::{Engine, packages, releases};

/// Debian's fixed ids of `nobody` and `nogroup`, the same on the machine and in the folders of releases.
pub(crate) const NOBODY: u32 = 65534;

/// Installs the programs of these engines where they are missing, which may take minutes.
pub fn install_programs(engines: &[Engine]) -> Result<()> {
    engines
        .iter()
        .try_for_each(|engine| Home::of(*engine).map(drop))
}

/// Where an engine's programs are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Home {
    /// Installed on this machine.
    Machine,
    /// In a folder that becomes the root folder of the programs.
    Folder(PathBuf),
}

impl Home {
    /// The home of the engine's programs, which are installed first if missing.
    pub(crate) fn of(engine: Engine) -> Result<Self> {
        packages::ensure(packages::SERVERS)?;
        match engine.run()?.release() {
            Some(release) => release.folder().map(Self::Folder),
            None => Ok(Self::Machine),
        }
    }

    /// A new folder that the engine's programs can read and write, below `parent` when they run on
    /// the machine itself.
    pub(crate) fn make_instance_dir(&self, parent: &Path) -> Result<PathBuf> {
        let parent = match self {
            Self::Machine => parent.to_owned(),
            Self::Folder(root) => root.join(releases::INSTANCES),
        };
        let dir = tempfile::Builder::new()
            .prefix("i-")
            .tempdir_in(&parent)
            .with_context(|| format!("make a folder in {}", parent.display()))?
            .keep();
        own(&dir, 0o700)?;
        Ok(dir)
    }

    /// The path as the programs see it.
    pub(crate) fn inside(&self, path: &Path) -> String {
        let path = match self {
            Self::Machine => path.to_owned(),
            Self::Folder(root) => Path::new("/").join(path.strip_prefix(root).unwrap_or(path)),
        };
        path.display().to_string()
    }

    /// The command that runs `program` with `args` as an unprivileged user, and ends with `signal`
    /// if the process that started it dies.
    pub(crate) fn command(&self, signal: &str, program: &str, args: &[String]) -> Vec<String> {
        let root = Uid::effective().is_root();
        let mut command: Vec<String> = Vec::new();
        let mut say = |words: &[&str]| command.extend(words.iter().map(|word| (*word).to_owned()));
        // Locale, time zone and client settings of the machine must not show in a test.
        say(&[
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL=C.UTF-8",
            "TZ=UTC",
        ]);
        match self {
            Self::Folder(dir) if root => say(&["chroot", &dir.display().to_string()]),
            // Another user may change the root folder in a user namespace, and is `nobody` there, because
            // PostgreSQL wants to find its user in the folder's list of users.
            Self::Folder(dir) => {
                let dir = dir.display().to_string();
                let (user, group) = (
                    format!("--map-user={NOBODY}"),
                    format!("--map-group={NOBODY}"),
                );
                say(&[
                    "unshare",
                    "--user",
                    &user,
                    &group,
                    "--keep-caps",
                    "--root",
                    &dir,
                ]);
            }
            Self::Machine => {}
        }
        say(&["setpriv", "--pdeathsig", signal]);
        if root {
            let id = NOBODY.to_string();
            say(&["--reuid", &id, "--regid", &id, "--clear-groups"]);
        }
        say(&[program]);
        command.extend(args.iter().cloned());
        command
    }

    /// Runs a program that prepares a server, to its end.
    pub(crate) fn run(&self, program: &str, args: &[String]) -> Result<()> {
        let words = self.command("KILL", program, args);
        let output = Command::new(&words[0])
            .args(&words[1..])
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("run `{program}`"))?;
        if !output.status.success() {
            let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
            let (out, err) = (said(&output.stdout), said(&output.stderr));
            bail!("`{program}` ended with {}:\n{out}{err}", output.status);
        }
        Ok(())
    }
}

/// Makes the folder and those above it, with exactly the permission `mode` whatever the umask.
pub(crate) fn make_dir(dir: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::create_dir_all(dir)
        .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(mode)))
        .with_context(|| format!("make the folder {}", dir.display()))
}

/// Writes a file that the servers' user owns and nobody else reads.
pub(crate) fn write_owned(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| format!("write {}", path.display()))?;
    own(path, 0o600)
}

/// Hands a file or folder over to the user that the servers run as.
fn own(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    if Uid::effective().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY))
            .with_context(|| format!("give {} to nobody", path.display()))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("set the permissions of {}", path.display()))
}
