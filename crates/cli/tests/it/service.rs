use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{run, run_well, whimbrel};

/// A service that is stopped when the test ends, however it ends.
struct Service {
    process: Child,
    out: BufReader<ChildStdout>,
}

impl Service {
    fn start(data_dir: &str) -> Self {
        let mut process = whimbrel(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        Self { process, out }
    }

    /// The `export` lines that are printed at the first start.
    fn exports(&mut self) -> Vec<String> {
        let lines = self.out.by_ref().lines().map(Result::unwrap);
        lines
            .filter(|line| line.starts_with("export "))
            .take(5)
            .collect()
    }

    fn terminate(mut self) -> Option<i32> {
        kill(
            Pid::from_raw(i32::try_from(self.process.id()).unwrap()),
            Signal::SIGTERM,
        )
        .unwrap();
        self.process.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn the_first_start_tells_a_key_and_keys_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data");
    let data_dir = data_dir.to_str().unwrap();
    let mut service = Service::start(data_dir);
    let exports = service.exports();
    let (_, id) = exports[0].split_once("AWS_ACCESS_KEY_ID=").unwrap();
    assert!(exports[2].contains("AWS_REGION=us-east-1"));
    assert!(exports[4].contains("AWS_ENDPOINT_URL_DATABASE_MIGRATION_SERVICE=http://127.0.0.1:"));
    let said = run_well(&["keys", "list", "--data-dir", data_dir]);
    assert!(said.out.contains(id), "{said:?}");
    let said = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data_dir]);
    assert_eq!(said.exit_code, Some(4), "{said:?}");
    assert!(
        said.err.contains("open") && said.err.contains("help: stop it first"),
        "{said:?}"
    );

    let made = run_well(&[
        "keys",
        "create",
        "--description",
        "ci",
        "--json",
        "--data-dir",
        data_dir,
    ]);
    let made = made.events()[0].clone();
    let second = made["access_key_id"].as_str().unwrap();
    assert_eq!(made["secret_access_key"].as_str().unwrap().len(), 40);
    let said = run_well(&["keys", "list", "--data-dir", data_dir]);
    assert!(
        said.out.contains(id) && said.out.contains(second) && said.out.contains("ci"),
        "{said:?}"
    );
    run_well(&["keys", "delete", second, "--data-dir", data_dir]);
    let said = run(&["keys", "delete", second, "--data-dir", data_dir]);
    assert_eq!(said.exit_code, Some(4), "{said:?}");
    let said = run(&[
        "keys",
        "create",
        "--description",
        "administrator",
        "--data-dir",
        data_dir,
    ]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
    assert_eq!(service.terminate(), Some(0));
    let mistyped = format!("{data_dir}-mistyped");
    let said = run(&["keys", "list", "--data-dir", &mistyped]);
    assert_eq!(said.exit_code, Some(4), "{said:?}");
    assert!(said.err.contains("--data-dir"), "{said:?}");
}

#[test]
fn a_service_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let said = run(&["serve", "--account-id", "12", "--data-dir", data_dir]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run(&["serve", "--listen", &address, "--data-dir", data_dir]);
    assert_eq!(said.exit_code, Some(4), "{said:?}");
    assert!(
        said.err.contains(&address) && said.err.contains("help: stop what listens"),
        "{said:?}"
    );
    // What did not start has made no key that nobody was told.
    let mut service = Service::start(data_dir);
    assert_eq!(service.exports().len(), 5);
    assert_eq!(service.terminate(), Some(0));
    let said = whimbrel(&["serve", "--data-dir", data_dir])
        .env("WHIMBREL_ADMIN_ACCESS_KEY_ID", "AKIA1")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(2));
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        assert!(
            run_well(&["completions", shell]).out.contains("migrate"),
            "{shell}"
        );
    }
}
