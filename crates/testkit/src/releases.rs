//! Folders with packages of other Debian releases, for server versions that this machine's release lacks.
//!
//! `debootstrap` makes a small system in the cache folder, and the servers' packages are unpacked into
//! it but never configured: their scripts would want a running system, and only the programs are
//! needed. The programs run by `chroot`, so the machine's own libraries stay as they are.
//!
//! It is made under a temporary name and renamed when complete, so that an interrupted one is never
//! used, and under a lock, so that one process makes it while others wait.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::cache::cache_dir;
use crate::npm::{self, Programs};
use crate::packages::{self, Root};

/// Where the servers of all users keep their data, below a release's folder.
pub(crate) const INSTANCES: &str = "srv/whimbrel";

/// A release of Debian, with what is taken from it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release {
    /// Its name, as the archive spells it.
    suite: &'static str,
    /// Changes when what is in the folder changes, so that an older one is left alone.
    folder: &'static str,
    packages: &'static [&'static str],
    /// What comes from elsewhere, because no release has it.
    foreign: &'static [Programs],
    /// Programs that all these bring.
    proofs: &'static [&'static str],
}

/// Debian 13, and PostgreSQL 16.
pub(crate) const TRIXIE: Release = Release {
    suite: "trixie",
    folder: "trixie-2",
    packages: &[
        "postgresql-17",
        "mariadb-server-core",
        "mariadb-client-core",
    ],
    foreign: &[npm::POSTGRES16],
    proofs: &[
        "usr/sbin/mariadbd",
        "usr/bin/mariadb-install-db",
        "usr/lib/postgresql/16/bin/postgres",
        "usr/lib/postgresql/17/bin/postgres",
    ],
};

/// What will be the next release.
pub(crate) const SID: Release = Release {
    suite: "sid",
    folder: "sid-1",
    packages: &["postgresql-18", "mysql-server-core", "mysql-client-core"],
    foreign: &[],
    proofs: &["usr/sbin/mysqld", "usr/lib/postgresql/18/bin/postgres"],
};

impl Release {
    /// The folder, made first if it is missing.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        let cache = cache_dir()?;
        let folder = cache.join(self.folder);
        if folder.exists() {
            return Ok(folder);
        }
        let suite = self.suite;
        let lock = OpenOptions::new()
            .create(true)
            .append(true)
            .open(cache.join(format!("{suite}.lock")));
        let lock = lock.with_context(|| format!("open the lock file of the {suite} folder"))?;
        lock.lock()
            .with_context(|| format!("wait for another process that makes the {suite} folder"))?;
        if !folder.exists() {
            packages::ensure(packages::RELEASES)?;
            eprintln!(
                "testkit: making {}, once; it takes a few minutes",
                folder.display()
            );
            self.make(&cache, &folder)
                .with_context(|| format!("make {}", folder.display()))?;
        }
        Ok(folder)
    }

    fn make(&self, cache: &Path, folder: &Path) -> Result<()> {
        let root =
            Root::reach().context("only root can run debootstrap, and `sudo -n` does not work: run `sudo -v` first, or this once as root")?;
        let draft = cache.join(format!("{}.incomplete", self.folder));
        let at = draft.display().to_string();
        root.run(&["rm", "-rf", &at])?;
        // Without one, it takes its own.
        let mirror = mirror();
        let bootstrap = ["debootstrap", "--variant=minbase", self.suite, &at];
        root.run(&[&bootstrap[..], mirror.as_deref().as_slice()].concat())?;
        root.run(&["cp", "/etc/resolv.conf", &format!("{at}/etc/resolv.conf")])?;
        // A mirror may be a snapshot, whose index is past its date.
        let apt = [
            "chroot",
            &at,
            "apt-get",
            "-q",
            "-o",
            "Acquire::Check-Valid-Until=false",
        ];
        root.run(&[&apt[..], &["update"]].concat())?;
        let download = [
            "install",
            "-y",
            "--no-install-recommends",
            "--download-only",
        ];
        root.run(&[&apt[..], &download, self.packages].concat())?;
        let unpack = "dpkg --unpack --force-depends /var/cache/apt/archives/*.deb && ldconfig && \
                      apt-get clean && rm -rf /var/lib/apt/lists/* && \
                      mkdir -p /srv/whimbrel /var/lib/mysql-files && \
                      chmod 1777 /srv/whimbrel /var/lib/mysql-files";
        root.run(&["chroot", &at, "sh", "-c", unpack])?;
        for programs in self.foreign {
            programs.unpack(&root, &draft)?;
        }
        for program in self.proofs {
            if !draft.join(program).exists() {
                bail!(
                    "neither {} nor what comes from elsewhere brought /{program}",
                    self.packages.join(", ")
                );
            }
        }
        root.run(&["mv", &at, &folder.display().to_string()])
    }
}

/// The archive that this machine's own packages come from, where its address can be told.
fn mirror() -> Option<String> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir("/etc/apt/sources.list.d") {
        let mut more: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        more.sort();
        files.append(&mut more);
    }
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .find_map(|text| archive_in(&text).or_else(|| listed_in(&text)))
}

/// The first archive of a list of mirrors that a sources file refers to.
fn listed_in(text: &str) -> Option<String> {
    let lists = text.split_whitespace();
    let lists = lists.filter_map(|word| word.strip_prefix("mirror+file:"));
    let mut texts = lists.filter_map(|list| fs::read_to_string(list).ok());
    texts.find_map(|list| {
        list.split_whitespace()
            .find(|word| is_archive(word))
            .map(str::to_owned)
    })
}

fn is_archive(word: &str) -> bool {
    word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian")
}

/// The first URI of a Debian archive in a sources file of either format. Archives of security updates
/// and of other makers hold no releases.
fn archive_in(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| line.starts_with("deb ") || line.to_lowercase().starts_with("uris:"))
        .flat_map(str::split_whitespace)
        .find(|word| is_archive(word))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archive_is_found_in_either_format_of_apt() {
        let lines =
            "# deb http://old/debian x\ndeb [signed-by=k] http://mirror.test/debian bookworm main";
        assert_eq!(
            archive_in(lines).as_deref(),
            Some("http://mirror.test/debian")
        );
        let stanza = "Types: deb\nURIs: http://mirror.test/debian/\nSuites: bookworm\n";
        assert_eq!(
            archive_in(stanza).as_deref(),
            Some("http://mirror.test/debian/")
        );
    }

    #[test]
    fn archive_is_found_in_a_list_of_mirrors() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("mirrors");
        let mirrors =
            "http://mirror.test/debian-security\thigh\nhttp://mirror.test/debian/\tpriority:1\n";
        fs::write(&list, mirrors).unwrap();
        let list = list.display();
        let stanza =
            format!("URIs: mirror+file:/no/such/list mirror+file:{list}\nSuites: bookworm\n");
        assert_eq!(archive_in(&stanza), None);
        assert_eq!(
            listed_in(&stanza).as_deref(),
            Some("http://mirror.test/debian/")
        );
        assert_eq!(listed_in("URIs: http://mirror.test/debian"), None);
    }

    #[test]
    fn archives_without_releases_are_passed_over() {
        assert_eq!(archive_in("URIs: http://mirror.test/debian-security"), None);
        assert_eq!(
            archive_in("deb http://packages.test/cloud stable main"),
            None
        );
    }
}
