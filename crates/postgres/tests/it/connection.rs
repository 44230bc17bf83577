//! A connection test names what is wrong.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use whimbrel_connector::{ConnectError, ConnectErrorKind, Connector as _};
use whimbrel_core::Engine as EngineName;
use whimbrel_postgres::{Options, PostgresConnector};
use whimbrel_testkit::{Engine, Fault, FaultProxy, Server};

use crate::support::{ENGINES, connector};

async fn failure(url: &str) -> ConnectError {
    let error = connector(url).check().await.unwrap_err();
    assert!(
        !format!("{error:?} {error}").contains("canary"),
        "{error:?}"
    );
    error
}

#[tokio::test]
async fn a_good_endpoint_is_described() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let info = connector(&server.url()).check().await.unwrap();
        assert_eq!((info.engine, info.tls), (EngineName::Postgres, None));
        let version = engine.name().trim_start_matches("postgres");
        assert!(info.version.contains(version), "{}", info.version);
    }
}

#[tokio::test]
async fn tls_is_used_and_checked_as_asked() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let url = |mode: &str, ca: &std::path::Path| {
            format!(
                "{}?sslmode={mode}&sslrootcert={}",
                server.url(),
                ca.display()
            )
        };
        for mode in ["require", "verify-ca", "verify-full"] {
            let info = connector(&url(mode, &server.ca_pem)).check().await.unwrap();
            assert_eq!(info.tls.as_deref(), Some("TLSv1.3"), "{mode}");
        }
        for mode in ["verify-ca", "verify-full"] {
            let error = failure(&url(mode, &server.foreign_ca_pem())).await;
            assert_eq!(
                error.kind,
                ConnectErrorKind::CertificateNotTrusted,
                "{error}"
            );
        }
    }
}

/// Listens at an address that is not in the servers' certificate and passes everything on.
async fn elsewhere(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0))
        .await
        .unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut onward = TcpStream::connect(server).await.unwrap();
            drop(copy_bidirectional(&mut client, &mut onward).await);
        }
    });
    address
}

#[tokio::test]
async fn only_verify_full_asks_whose_certificate_it_is() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let address = elsewhere(format!("{}:{}", server.host, server.port).parse().unwrap()).await;
    let url = |mode: &str| {
        let (user, password) = (&server.user, &server.password);
        let ca = server.ca_pem.display();
        format!("postgres://{user}:{password}@{address}/postgres?sslmode={mode}&sslrootcert={ca}")
    };
    let info = connector(&url("verify-ca")).check().await.unwrap();
    assert!(info.tls.is_some());
    let error = connector(&url("verify-full")).check().await.unwrap_err();
    assert_eq!(
        error.kind,
        ConnectErrorKind::CertificateNotTrusted,
        "{error}"
    );
}

#[tokio::test]
async fn wrong_passwords_users_and_databases_are_told_apart() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let database = server.database("sign_in").unwrap();
        let error = failure(&database.url_as(&server.user, "canary")).await;
        assert_eq!(error.kind, ConnectErrorKind::WrongPassword, "{error}");
        assert!(error.to_string().contains(&server.user), "{error}");
        let error = failure(&database.url_as("nobody_of_that_name", "canary")).await;
        assert_eq!(error.kind, ConnectErrorKind::WrongPassword, "{error}");
        let url = database.url().replace(database.name(), "no_such_database");
        let error = failure(&url).await;
        assert_eq!(error.kind, ConnectErrorKind::UnknownDatabase, "{error}");
        assert!(error.to_string().contains("no_such_database"), "{error}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_connect_lacks_a_privilege() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let database = server.database("no_connect").unwrap();
    let role = format!("r_{}", database.name());
    database
        .sql(&format!(
            "create role {role} login password 'canary'; \
             revoke connect on database {} from public;",
            database.name()
        ))
        .unwrap();
    let error = failure(&database.url_as(&role, "canary")).await;
    assert_eq!(error.kind, ConnectErrorKind::MissingPrivilege, "{error}");
    database.sql(&format!("drop role {role}")).unwrap();
}

#[tokio::test]
async fn a_port_without_a_server_is_closed() {
    let port = {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = failure(&format!("postgres://a:canary@127.0.0.1:{port}/d")).await;
    assert_eq!(error.kind, ConnectErrorKind::PortClosed, "{error}");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_named() {
    let error = failure("postgres://a:canary@no-such-host.invalid/d").await;
    assert_eq!(error.kind, ConnectErrorKind::NameNotResolved, "{error}");
    assert!(
        error.to_string().contains("no-such-host.invalid"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_times_out() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let address: SocketAddr = format!("{}:{}", server.host, server.port).parse().unwrap();
    let proxy = FaultProxy::start(address).await.unwrap();
    proxy.set(Fault::Stall);
    let url = format!(
        "postgres://a:canary@{}/d?connect_timeout=1",
        proxy.address()
    );
    let started = std::time::Instant::now();
    let error = failure(&url).await;
    assert_eq!(error.kind, ConnectErrorKind::TimedOut, "{error}");
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// A message of the server.
fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}

/// Signs a client in, takes all its statements but the first question, and is silent then.
async fn sign_in_and_fall_silent(mut socket: TcpStream) {
    let mut heard = [0; 4096];
    assert!(socket.read(&mut heard).await.unwrap() > 0);
    let told: Vec<u8> = [
        ("server_version", "15.0"),
        ("server_encoding", "UTF8"),
        ("client_encoding", "UTF8"),
        ("standard_conforming_strings", "on"),
        ("integer_datetimes", "on"),
    ]
    .iter()
    .flat_map(|(name, value)| message(b'S', format!("{name}\0{value}\0").as_bytes()))
    .collect();
    let ready = message(b'Z', b"I");
    let signed_in = [message(b'R', &[0; 4]), told, ready.clone()].concat();
    socket.write_all(&signed_in).await.unwrap();
    loop {
        let count = socket.read(&mut heard).await.unwrap();
        let asked = String::from_utf8_lossy(&heard[..count]).into_owned();
        if count == 0 {
            return;
        }
        if !asked.contains("SELECT 1") {
            let done = [message(b'C', b"SET\0"), ready.clone()].concat();
            socket.write_all(&done).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_behind_the_sign_in_is_told() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = async {
        let (socket, _) = listener.accept().await.unwrap();
        sign_in_and_fall_silent(socket).await;
    };
    let url = format!("postgres://a:canary@{address}/d?sslmode=disable&connect_timeout=1");
    let (error, ()) = tokio::join!(failure(&url), server);
    assert_eq!(error.kind, ConnectErrorKind::TimedOut, "{error}");
    assert!(error.to_string().contains("after signing in"), "{error}");
}

/// Answers the first message of every client with fixed bytes.
async fn fake_server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut first = [0; 1024];
            if socket.read(&mut first).await.is_ok_and(|count| count > 0) {
                // The client may be gone already; then the test fails by itself.
                drop(socket.write_all(&answer).await);
                drop(socket.shutdown().await);
            }
        }
    });
    address
}

fn error_response(code: &str, text: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{code}\0M{text}\0\0");
    message(b'E', body.as_bytes())
}

#[tokio::test]
async fn refusals_of_the_server_have_their_kinds() {
    let cases = [
        (
            "28000",
            "no pg_hba.conf entry for host \"10.0.0.1\"",
            ConnectErrorKind::NotAllowed,
        ),
        (
            "53300",
            "sorry, too many clients already",
            ConnectErrorKind::TooManyConnections,
        ),
        (
            "42501",
            "permission denied for database \"d\"",
            ConnectErrorKind::MissingPrivilege,
        ),
        (
            "57P03",
            "the database system is starting up",
            ConnectErrorKind::Other,
        ),
    ];
    for (code, message, kind) in cases {
        let address = fake_server(error_response(code, message)).await;
        let error = failure(&format!("postgres://a:canary@{address}/d")).await;
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_never_talked_to_in_plain() {
    let address = fake_server(b"N".to_vec()).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!("postgres://a:canary@{address}/d?sslmode={mode}");
        let error = failure(&url).await;
        let expected = [
            ConnectErrorKind::TlsRefused,
            ConnectErrorKind::InvalidSettings,
        ];
        assert!(expected.contains(&error.kind), "{error:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_no_postgresql_are_an_error() {
    let answers: [&[u8]; 5] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"R\x00\x00\x00\x04",
        b"R\x7f\xff\xff\xff\x00",
        b"E\x00\x00\x00\x05\x53",
        b"",
    ];
    for answer in answers {
        let address = fake_server(answer.to_vec()).await;
        let error = failure(&format!("postgres://a:canary@{address}/d")).await;
        assert_eq!(error.kind, ConnectErrorKind::Other, "{error}");
    }
}

#[tokio::test]
async fn a_database_is_the_same_whatever_its_server_is_called_and_no_other_is() {
    for engine in ENGINES {
        let server = Server::get(engine).unwrap();
        let (one, two) = (
            server.database("one").unwrap(),
            server.database("two").unwrap(),
        );
        let identity = connector(&one.url()).check().await.unwrap().identity;
        let elsewhere = one.url().replace("127.0.0.1", "localhost");
        let same = connector(&elsewhere).check().await.unwrap().identity;
        let other = connector(&two.url()).check().await.unwrap().identity;
        assert!(identity.is_some());
        assert_eq!(identity, same);
        assert_ne!(identity, other);
    }
}

#[tokio::test]
async fn the_after_connect_script_runs_first_and_may_fail() {
    for engine in ENGINES {
        let database = Server::get(engine).unwrap().database("after").unwrap();
        database.sql("create table public.ran (n int)").unwrap();
        for script in [
            "set DateStyle = 'SQL, DMY'; insert into public.ran values (1)",
            "no sql",
        ] {
            let mut options = Options::from_url(&database.url()).unwrap();
            options.after_connect = Some(script.to_owned());
            PostgresConnector::new(options).check().await.unwrap();
        }
        assert_eq!(database.sql("select n from public.ran").unwrap(), "1\n");
    }
}
