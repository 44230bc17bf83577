use whimbrel_connector::ConnectErrorKind;
use whimbrel_core::Engine as CoreEngine;
use whimbrel_testkit::{Engine, Server};

use std::sync::Arc;

use whimbrel_connector::Connector;
use whimbrel_mysql::{MysqlConnector, Options};

use crate::support::{ENGINES, connector};

#[tokio::test]
async fn a_check_names_the_flavour_the_version_and_the_encryption() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let plain = connector(&server.url()).check().await.unwrap();
        let expected = match engine {
            Engine::Mariadb118 => (CoreEngine::MariaDb, "11.8."),
            Engine::Mariadb1011 => (CoreEngine::MariaDb, "10.11."),
            _ => (CoreEngine::MySql, "9."),
        };
        assert_eq!(plain.engine, expected.0);
        assert!(plain.version.starts_with(expected.1), "{}", plain.version);
        assert_eq!(plain.tls, None);
        let encrypted = connector(&format!("{}?sslmode=require", server.url()))
            .check()
            .await
            .unwrap();
        assert_eq!(encrypted.tls.as_deref(), Some("TLSv1.3"));
    }
}

#[tokio::test]
async fn a_flavour_is_found_out_whatever_the_url_says() {
    let server = Server::get(Engine::Mariadb1011).unwrap();
    let url = server.url().replace("mariadb://", "mysql://");
    assert_eq!(
        connector(&url).check().await.unwrap().engine,
        CoreEngine::MariaDb
    );
}

#[tokio::test]
async fn certificates_are_checked_as_far_as_the_mode_says() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let (own, foreign) = (server.ca_pem.display(), server.foreign_ca_pem());
        let foreign = foreign.display();
        let url = server.url();
        let other_host = url.replace("127.0.0.1", "127.0.0.2");
        for (url, mode, ca, expected) in [
            (&url, "verify-full", format!("{own}"), None),
            (&url, "verify-ca", format!("{own}"), None),
            (
                &url,
                "verify-ca",
                format!("{foreign}"),
                Some(ConnectErrorKind::CertificateNotTrusted),
            ),
            (
                &url,
                "verify-full",
                format!("{foreign}"),
                Some(ConnectErrorKind::CertificateNotTrusted),
            ),
        ] {
            let result = connector(&format!("{url}?sslmode={mode}&sslrootcert={ca}"))
                .check()
                .await;
            assert_eq!(
                result.as_ref().err().map(|error| error.kind),
                expected,
                "{engine} {mode}: {result:?}"
            );
        }
        drop(other_host);
    }
}

#[tokio::test]
async fn a_failed_check_says_what_went_wrong_and_what_to_do() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let database = server.database("failed_check").unwrap();
        let name = database.name();
        database
            .sql(&format!("create user 'u_{name}'@'%' identified by 'right'; create user 'h_{name}'@'10.1.2.3' identified by 'right'"))
            .unwrap();
        let url = server.url();
        let (head, _) = url.rsplit_once('/').unwrap();
        let scheme = engine.scheme();
        let port = server.port;
        let user = format!("u_{name}");
        for (url, expected) in [
            (
                format!("{head}/no_such_database"),
                ConnectErrorKind::UnknownDatabase,
            ),
            (
                format!("{scheme}://{user}:wrong@127.0.0.1:{port}"),
                ConnectErrorKind::WrongPassword,
            ),
            (
                format!("{scheme}://{user}:right@127.0.0.1:{port}/{name}"),
                ConnectErrorKind::MissingPrivilege,
            ),
            (
                format!("{scheme}://{user}:right@127.0.0.1:1"),
                ConnectErrorKind::PortClosed,
            ),
            (
                format!("{scheme}://{user}:right@no-such-host.invalid:{port}"),
                ConnectErrorKind::NameNotResolved,
            ),
        ] {
            let error = connector(&url).check().await.unwrap_err();
            assert_eq!(error.kind, expected, "{engine}: {error}");
            assert!(
                !error.remedy.is_empty() && !error.to_string().contains("wrong"),
                "{error}"
            );
        }
        database
            .sql(&format!(
                "drop user 'u_{name}'@'%'; drop user 'h_{name}'@'10.1.2.3'"
            ))
            .unwrap();
    }
}

#[tokio::test]
async fn mysql_users_sign_in_with_and_without_encryption_and_a_warm_cache() {
    let server = Server::get(Engine::Mysql97).unwrap();
    let database = server.database("sign_in").unwrap();
    let user = format!("c_{}", database.name());
    for password in ["pass-word", ""] {
        database
            .sql(&format!(
                "create user '{user}'@'%' identified with caching_sha2_password by '{password}'"
            ))
            .unwrap();
        let url = format!("mysql://{user}:{password}@127.0.0.1:{}", server.port);
        // The first time the password travels encrypted under the server's key, then a hash is enough.
        for sslmode in ["none", "none", "require", "require"] {
            connector(&format!("{url}?sslmode={sslmode}"))
                .check()
                .await
                .unwrap();
        }
        let alter = format!(
            "alter user '{user}'@'%' identified with caching_sha2_password by '{password}'"
        );
        database.sql(&alter).unwrap();
        connector(&format!("{url}?sslmode=require"))
            .check()
            .await
            .unwrap();
        database.sql(&format!("drop user '{user}'@'%'")).unwrap();
    }
}

#[tokio::test]
async fn schemas_leave_the_servers_own_out() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let database = server.database("schemas").unwrap();
        let schemas = connector(&server.url()).schemas().await.unwrap();
        assert!(schemas.iter().any(|name| name == database.name()));
        for own in ["mysql", "information_schema", "performance_schema", "sys"] {
            assert!(!schemas.iter().any(|name| name == own), "{own}");
        }
    }
}

#[tokio::test]
async fn a_server_is_the_same_whatever_it_is_called() {
    let mut identities = Vec::new();
    for engine in ENGINES {
        let url = Server::get(engine).unwrap().url();
        let identity = connector(&url).check().await.unwrap().identity;
        let elsewhere = url.replace("127.0.0.1", "localhost");
        let other = connector(&elsewhere).check().await.unwrap().identity;
        assert!(identity.is_some());
        assert_eq!(identity, other);
        identities.push(identity);
    }
    assert_ne!(identities[0], identities[1]);
}

#[tokio::test]
async fn the_after_connect_script_runs_and_may_fail_but_gives_no_rows() {
    for engine in ENGINES {
        let database = Server::get(engine).unwrap().database("after").unwrap();
        database.sql("CREATE TABLE ran (n int)").unwrap();
        let with = |script: &[&str]| -> Arc<dyn Connector> {
            let mut options = Options::from_url(&database.url()).unwrap();
            options.after_connect = script.iter().map(|&text| text.to_owned()).collect();
            Arc::new(MysqlConnector::new(options))
        };
        let script = [
            "SET time_zone = '+03:00'",
            "NO SQL",
            "INSERT INTO ran VALUES (1)",
        ];
        with(&script).check().await.unwrap();
        assert_eq!(database.sql("SELECT n FROM ran").unwrap(), "1\n");
        let error = with(&["SELECT 'canary'"]).check().await.unwrap_err();
        assert_eq!(error.kind, ConnectErrorKind::InvalidSettings);
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
