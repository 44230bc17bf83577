//! A certificate authority for tests, and the certificate of every test server.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The certificate of another authority, which signed nothing.
pub(crate) const FOREIGN_CA: &str = "foreign-ca.pem";
/// Ten years: nothing in a test should depend on the day it runs.
const DAYS: &str = "3650";

/// The files of one authority and of the servers' certificate, which is good for `localhost` and
/// 127.0.0.1.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    dir: PathBuf,
}

impl Tls {
    /// The files in `dir`, made by the first caller.
    pub(crate) fn in_dir(dir: &Path) -> Result<Self> {
        let tls = Self {
            dir: dir.to_owned(),
        };
        crate::programs::make_dir(dir, 0o755)?;
        let turn =
            File::create(dir.join("turn")).context("make the lock file of the certificates")?;
        turn.lock()
            .context("wait for another process that makes the certificates")?;
        // The server's certificate is made last, so its presence says that all is there.
        if !tls.server_pem().exists() {
            tls.make()?;
        }
        Ok(tls)
    }

    /// The certificate of the authority.
    pub(crate) fn ca_pem(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    pub(crate) fn server_pem(&self) -> PathBuf {
        self.dir.join("server.pem")
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.dir.join("server.key")
    }

    fn make(&self) -> Result<()> {
        self.make_authority("ca", "Whimbrel test authority")?;
        self.make_authority("foreign-ca", "Whimbrel foreign test authority")?;
        let request = [
            "req",
            "-new",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-keyout",
            "server.key",
        ];
        self.openssl(
            &[
                &request[..],
                &["-subj", "/CN=localhost", "-out", "server.csr"],
            ]
            .concat(),
        )?;
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n\
                     basicConstraints=critical,CA:FALSE\n";
        fs::write(self.dir.join("server.ext"), names).context("write the certificate's names")?;
        let sign = [
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
        ];
        let rest = ["-CAcreateserial", "-days", DAYS, "-extfile", "server.ext"];
        self.openssl(&[&sign[..], &rest, &["-out", "server.pem.new"]].concat())?;
        fs::rename(self.dir.join("server.pem.new"), self.server_pem())
            .context("put the server's certificate in place")
    }

    fn make_authority(&self, name: &str, subject: &str) -> Result<()> {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN={subject}");
        let new = [
            "req", "-x509", "-nodes", "-newkey", "rsa:2048", "-days", DAYS,
        ];
        self.openssl(
            &[
                &new[..],
                &["-subj", &subject, "-keyout", &key, "-out", &pem],
            ]
            .concat(),
        )
    }

    fn openssl(&self, args: &[&str]) -> Result<()> {
        let output = Command::new("openssl")
            .args(args)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .context("run `openssl`, from the package openssl")?;
        if !output.status.success() {
            bail!(
                "`openssl {}`: {}",
                args[0],
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}
