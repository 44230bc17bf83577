//! Private servers can be killed and started again, and no server outlives those who use it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use whimbrel_testkit::{Engine, Server, ServerOptions, State};

/// Set in the process that [`server_stops_when_the_process_that_uses_it_is_killed`] starts and kills.
const VICTIM: &str = "WHIMBREL_TESTKIT_VICTIM";

fn comes_back_with_its_rows(engine: Engine) {
    let server = Server::private(engine).unwrap();
    let database = server.database("crash").unwrap();
    database
        .sql("create table t (id int primary key); insert into t values (1)")
        .unwrap();
    server.kill().unwrap();
    assert!(database.sql("select * from t").is_err());
    server.start().unwrap();
    assert_eq!(database.sql("select * from t").unwrap(), "1\n");
    server.restart().unwrap();
    assert_eq!(database.sql("select * from t").unwrap(), "1\n");
    let port = server.port;
    drop(database);
    drop(server);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn postgres15_comes_back_with_its_rows_after_a_kill() {
    comes_back_with_its_rows(Engine::Postgres15);
}

#[test]
fn postgres18_comes_back_with_its_rows_after_a_kill() {
    comes_back_with_its_rows(Engine::Postgres18);
}

#[test]
fn mariadb1011_comes_back_with_its_rows_after_a_kill() {
    comes_back_with_its_rows(Engine::Mariadb1011);
}

#[test]
fn mysql97_comes_back_with_its_rows_after_a_kill() {
    comes_back_with_its_rows(Engine::Mysql97);
}

/// The watchdog of the stopped server is still about when the next one starts.
#[test]
fn comes_back_as_often_as_it_is_restarted() {
    let server = Server::private(Engine::Postgres15).unwrap();
    for _ in 0..12 {
        server.restart().unwrap();
        server.kill().unwrap();
        server.start().unwrap();
        assert_eq!(server.sql("select 1").unwrap(), "1\n");
    }
}

#[test]
fn settings_of_a_private_server_win() {
    let settings = vec![("wal_level".to_owned(), "replica".to_owned())];
    let options = ServerOptions {
        settings,
        ..Default::default()
    };
    let server = Server::private_with(Engine::Postgres15, options).unwrap();
    assert_eq!(server.sql("show wal_level").unwrap(), "replica\n");
}

#[test]
fn small_disk_fills_up() {
    let options = ServerOptions {
        small_disk_mb: Some(10),
        ..Default::default()
    };
    let server = Server::private_with(Engine::Postgres15, options).unwrap();
    let place = server.small_disk().unwrap();
    server
        .sql(&format!("create tablespace small location '{place}'"))
        .unwrap();
    let database = server.database("full").unwrap();
    let fill = "create table t (id int) tablespace small; \
        insert into t select generate_series(1, 1000000)";
    let error = database.sql(fill).unwrap_err().to_string();
    assert!(error.contains("No space left on device"), "{error}");
}

#[test]
fn shared_server_cannot_be_stopped_by_one_test() {
    let server = Server::get(Engine::Postgres15).unwrap();
    let error = server.kill().unwrap_err().to_string();
    assert!(error.contains("private"), "{error}");
}

#[test]
fn server_stops_when_the_process_that_uses_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    // The servers run as another user.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lifetime::victim_holds_a_server", "--nocapture"])
        .env(VICTIM, dir.path())
        .env("TMPDIR", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let address = dir.path().join("port");
    wait_until("the victim has its server", || address.exists());
    let port: u16 = std::fs::read_to_string(&address).unwrap().parse().unwrap();
    assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    victim.kill().unwrap();
    victim.wait().unwrap();
    wait_until("the server is gone", || {
        TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    let instances = || {
        let dir = std::fs::read_dir(dir.path().join("state/postgres15")).unwrap();
        dir.flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("i-"))
            .count()
    };
    wait_until("its data is gone", || instances() == 0);
    let private = || {
        let dir = std::fs::read_dir(dir.path()).unwrap();
        dir.flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("wk-"))
            .count()
    };
    wait_until("the private server's folder is gone", || private() == 0);
}

/// Does nothing unless another test runs it in a process of its own.
#[test]
fn victim_holds_a_server() {
    let Some(dir) = std::env::var_os(VICTIM) else {
        return;
    };
    let dir = Path::new(&dir);
    let killed = Server::private(Engine::Postgres15).unwrap();
    killed.kill().unwrap();
    let _running = Server::private(Engine::Postgres15).unwrap();
    let state = State::at(&dir.join("state"), 1).unwrap();
    let servers = state.servers(&[Engine::Postgres15]).unwrap();
    let url = servers.urls().next().unwrap().1.to_owned();
    let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    std::fs::write(dir.join("port.new"), port).unwrap();
    std::fs::rename(dir.join("port.new"), dir.join("port")).unwrap();
    loop {
        std::thread::park();
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(3);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
