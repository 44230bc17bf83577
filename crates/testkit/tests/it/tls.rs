//! Every server offers TLS with a certificate of the test authority.

use std::process::Command;

use whimbrel_testkit::{Engine, Server, psql};

#[test]
fn postgres_is_verified_by_its_authority_and_not_by_a_foreign_one() {
    for engine in [Engine::Postgres15, Engine::Postgres18] {
        let server = Server::get(engine).unwrap();
        let psql = |ca: &std::path::Path| {
            let url = format!(
                "{}?sslmode=verify-full&sslrootcert={}",
                server.url(),
                ca.display()
            );
            Command::new(psql())
                .args([&url, "-c", "select 1"])
                .output()
                .unwrap()
        };
        let good = psql(&server.ca_pem);
        assert!(
            good.status.success(),
            "{}",
            String::from_utf8_lossy(&good.stderr)
        );
        assert!(!psql(&server.foreign_ca_pem()).status.success());
    }
}

#[test]
fn mysql_and_mariadb_are_verified_by_their_authority_and_not_by_a_foreign_one() {
    for engine in [Engine::Mariadb1011, Engine::Mysql97] {
        let server = Server::get(engine).unwrap();
        let client = |ca: &std::path::Path| {
            Command::new("mariadb")
                .args([
                    "--no-defaults",
                    "--protocol=tcp",
                    "--ssl-verify-server-cert",
                ])
                .arg(format!("--ssl-ca={}", ca.display()))
                .args(["--host", "localhost", "--port", &server.port.to_string()])
                .args(["--user", &server.user, "--execute", "select 1"])
                .env("MYSQL_PWD", &server.password)
                .output()
                .unwrap()
        };
        let good = client(&server.ca_pem);
        assert!(
            good.status.success(),
            "{engine}: {}",
            String::from_utf8_lossy(&good.stderr)
        );
        assert!(!client(&server.foreign_ca_pem()).status.success());
    }
}
