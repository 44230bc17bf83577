//! A target whose disk is full: what it refuses ends the run with words that say so, what it waits for is told while it waits, and once there is
//! room everything arrives.

use whimbrel_testkit::{Engine, Server, ServerOptions};

use crate::bad_input::tables;
use crate::ends::{Ends, wait_until};

/// About 9 MB.
const ROWS: u64 = 60_000;
const OPTIONS: [&str; 5] = ["--json", "--jobs", "2", "--prepare", "do-nothing"];
const SMALL_CHUNKS: [&str; 2] = ["--chunk-size", "1MiB"];
const MAKE_ROOM: &str = "make room on the disk";

/// A server with a disk of 40 MB. `SMALL_DISK` in a setting is its folder.
fn server(engine: Engine, settings: &[(&str, &str)]) -> Server {
    let settings = settings.iter();
    let options = ServerOptions {
        small_disk_mb: Some(40),
        settings: settings
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Default::default()
    };
    Server::private_with(engine, options).unwrap()
}

/// Fills the small disk of a MySQL or MariaDB server up to some megabytes, past the binary log.
fn filler(place: &str) -> String {
    format!(
        "set sql_log_bin = 0;
         create table filler (b longblob) data directory = '{place}';
         set @b = repeat('x', 3000000);
         insert into filler values (@b), (@b), (@b), (@b), (@b), (@b), (@b), (@b), (@b), (@b), (@b);"
    )
}

/// `remedy`: how users of the engine are told to make room.
fn is_refused(ends: &Ends, make_full: &str, options: &[&str], remedy: &str) {
    ends.source
        .sql(&tables(ends.source.engine(), ROWS))
        .unwrap();
    ends.target.sql(make_full).unwrap();
    let options = [&OPTIONS[..], options].concat();
    let said = ends.run("migrate", &[&options[..], &["--retries", "0"]].concat());
    assert!(matches!(said.exit_code, Some(1 | 4)), "{said:?}");
    let error = said.event("finished")["error"].to_string();
    let is_named = error.contains("No space left") || error.contains("is full");
    assert!(is_named && error.contains("big"), "{said:?}");
    assert!(error.contains(remedy), "{said:?}");
    assert!(ends.arrived("big") < ROWS);

    ends.target.sql("drop table filler").unwrap();
    ends.run_well("migrate", &[&options[..], &["--resume"]].concat());
    is_equal(ends);
}

fn is_equal(ends: &Ends) {
    let said = ends.run_well("validate", &[]);
    assert!(said.out.contains("2 tables compared: 2 equal"), "{said:?}");
}

#[test]
fn a_full_disk_of_postgres_is_named_and_a_resume_goes_on_once_there_is_space() {
    let server = server(Engine::Postgres15, &[]);
    let ends = Ends::on(&Server::get(Engine::Mariadb1011).unwrap(), &server, "disk");
    let place = server.small_disk().unwrap();
    server
        .sql(&format!("create tablespace little location '{place}'"))
        .unwrap();
    is_refused(
        &ends,
        "create table filler (b text) tablespace little;
         alter table filler alter b set storage external;
         insert into filler select repeat('x', 1000000) from generate_series(1, 33);
         create table big (id int primary key using index tablespace little, payload varchar(200) not null) tablespace little",
        &SMALL_CHUNKS,
        "free disk space",
    );
}

/// The table's file lies on the small disk.
fn a_full_disk_of(engine: Engine, settings: &[(&str, &str)]) {
    let server = server(engine, settings);
    let ends = Ends::on(&Server::get(Engine::Postgres15).unwrap(), &server, "disk");
    let place = server.small_disk().unwrap();
    is_refused(
        &ends,
        &format!(
            "{} create table big (id int primary key, payload varchar(200) not null) data directory = '{place}'",
            filler(&place)
        ),
        &SMALL_CHUNKS,
        MAKE_ROOM,
    );
}

#[test]
fn a_full_disk_of_mariadb_is_named_and_a_resume_goes_on_once_there_is_space() {
    a_full_disk_of(Engine::Mariadb1011, &[]);
}

#[test]
fn a_full_disk_of_mysql_is_named_and_a_resume_goes_on_once_there_is_space() {
    a_full_disk_of(Engine::Mysql97, &[("innodb-directories", "SMALL_DISK")]);
}

/// There lies what a transaction writes to the binary log, where that is more than the server keeps in memory.
#[test]
fn a_full_disk_for_temporary_files_of_mysql_is_named_too() {
    let settings = [
        ("innodb-directories", "SMALL_DISK"),
        ("tmpdir", "SMALL_DISK"),
    ];
    let server = server(Engine::Mysql97, &settings);
    let ends = Ends::on(&Server::get(Engine::Postgres15).unwrap(), &server, "disk");
    let place = server.small_disk().unwrap();
    let full = format!(
        "{} create table big (id int primary key, payload varchar(200) not null)",
        filler(&place)
    );
    is_refused(&ends, &full, &["--chunk-size", "100MiB"], MAKE_ROOM);
}

/// The server waits for room in its binary log, and answers nothing meanwhile.
fn a_full_binary_log_is_waited_for(engine: Engine, settings: &[(&str, &str)]) {
    let settings = [&[("log-bin", "SMALL_DISK/binlog")], settings].concat();
    let server = server(engine, &settings);
    let ends = Ends::on(&Server::get(Engine::Postgres15).unwrap(), &server, "log");
    ends.source
        .sql(&tables(ends.source.engine(), ROWS))
        .unwrap();
    let place = server.small_disk().unwrap();
    ends.target.sql(&filler(&place)).unwrap();
    let running = ends.start(&[&OPTIONS[..], &SMALL_CHUNKS].concat());
    let stands_still = |session: &str| {
        let cells: Vec<&str> = session.split('\t').collect();
        let states = [
            "waiting for handler commit",
            "Waiting for someone to free space",
        ];
        states.contains(&cells[6]) && cells[5].parse().is_ok_and(|seconds: u64| seconds > 3)
    };
    wait_until(|| {
        let sessions = server.sql("show processlist").unwrap();
        sessions.lines().any(stands_still)
    });
    // It looks for room a minute after it found none, and not before.
    ends.target
        .sql("set sql_log_bin = 0; drop table filler")
        .unwrap();
    let said = running.wait();
    assert_eq!(said.exit_code, Some(0), "{said:?}");
    let alarm = said.event("target_alarm");
    let (message, help) = (alarm["message"].to_string(), alarm["help"].to_string());
    assert!(message.contains("disk is full"), "{alarm}");
    assert!(help.contains(MAKE_ROOM), "{alarm}");
    is_equal(&ends);
}

#[test]
fn a_full_binary_log_of_mysql_is_told_of_and_waited_for() {
    let settings = [
        ("innodb-directories", "SMALL_DISK"),
        ("performance-schema", "ON"),
    ];
    a_full_binary_log_is_waited_for(Engine::Mysql97, &settings);
}

#[test]
fn a_full_binary_log_of_mariadb_is_told_of_and_waited_for() {
    a_full_binary_log_is_waited_for(Engine::Mariadb118, &[]);
}
