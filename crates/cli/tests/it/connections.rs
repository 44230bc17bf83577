use std::net::TcpListener;

use whimbrel_testkit::{Engine, Server};

use crate::{run, run_well, whimbrel};

fn closed_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

#[test]
fn a_check_tells_engine_version_and_schemas() {
    for (engine, name) in [
        (Engine::Postgres15, "postgres"),
        (Engine::Mariadb1011, "mariadb"),
    ] {
        let database = Server::get(engine).unwrap().database("cli_check").unwrap();
        database.sql("create table t (a int)").unwrap();
        let said = run_well(&["check", &database.url()]);
        assert!(
            said.out.contains(name) && said.out.contains("TLS"),
            "{said:?}"
        );
        let schema = if engine.is_postgres() {
            "public"
        } else {
            database.name()
        };
        let said = run_well(&["check", &database.url(), "--json"]);
        let found = &said.events()[0];
        assert_eq!(found["engine"], name);
        assert!(
            found["schemas"]
                .as_array()
                .unwrap()
                .contains(&schema.into()),
            "{found}"
        );
        assert!(!said.out.contains("whimbrel-test-password"));
    }
}

#[test]
fn connections_that_fail_say_what_to_do_and_exit_with_3() {
    for engine in [Engine::Postgres15, Engine::Mariadb1011] {
        let server = Server::get(engine).unwrap();
        let database = server.database("cli_fail").unwrap();
        let wrong = database.url_as(&server.user, "canary-wrong");
        let scheme = engine.scheme();
        let closed = format!("{scheme}://me:canary@127.0.0.1:{}/x", closed_port());
        let unknown = format!("{scheme}://me:canary@host.invalid/x");
        for (url, word) in [(&wrong, "password"), (&closed, "port"), (&unknown, "host")] {
            let said = run(&["check", url]);
            assert_eq!(said.exit_code, Some(3), "{said:?}");
            assert!(
                said.err.starts_with("error: ") && said.err.contains("\n  help: "),
                "{said:?}"
            );
            assert!(
                said.err.contains(word) && !said.err.contains("canary"),
                "{said:?}"
            );
        }
        let good = database.url();
        for ends in [[&good, &closed], [&closed, &good]] {
            for command in ["migrate", "validate"] {
                let said = run(&[command, ends[0], ends[1]]);
                assert_eq!(said.exit_code, Some(3), "{said:?}");
            }
        }
    }
}

#[test]
fn passwords_come_from_the_environment_and_from_files() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let database = server.database("cli_password").unwrap();
    let url = database.url_as(&server.user, "").replace(":@", "@");
    let with_variable = |value: &str| {
        whimbrel(&["check", &url])
            .env("WHIMBREL_PASSWORD", value)
            .output()
            .unwrap()
            .status
            .code()
    };
    assert_eq!(with_variable(&server.password), Some(0));
    assert_eq!(with_variable("wrong"), Some(3));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, format!("{}\n", server.password)).unwrap();
    let path = file.path().to_str().unwrap();
    run_well(&["check", &url, "--password-file", path]);
    let said = run(&["check", &url, "--password-file", "/nonexistent"]);
    assert_eq!(said.exit_code, Some(2), "{said:?}");
}
