//! The memory of a load is bounded by bytes, whatever the size of the table, and a large row costs that row.

use std::fs::File;
use std::time::Duration;

use whimbrel_testkit::{Engine, Server, ServerOptions, TestDatabase};

use crate::ends::Ends;
use crate::whimbrel;

/// Often enough to see the peak of a load of a second.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Runs a migration and answers the most memory that it ever had, in KiB. The kernel forgets it with the process, so it is looked at
/// while that lives.
fn peak_kib(ends: &Ends, options: &[&str]) -> u64 {
    let said = tempfile::NamedTempFile::new().unwrap();
    let file = || File::options().append(true).open(said.path()).unwrap();
    let mut child = whimbrel(&ends.words("migrate", options))
        .stdout(file())
        .stderr(file())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::park_timeout(LOOK_EVERY);
    }
    let said = std::fs::read_to_string(said.path()).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
    peak
}

/// A table of so many rows, of nearly a thousand bytes each, made by the server.
fn fill(ends: &Ends, rows: u32) {
    let numbers = if ends.source.engine().is_postgres() {
        format!("generate_series(1, {rows}) n")
    } else {
        let digits = "(select 0 d union all select 1 union all select 2 union all select 3 union all select 4
            union all select 5 union all select 6 union all select 7 union all select 8 union all select 9)";
        format!(
            "(select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d n
              from {digits} a, {digits} b, {digits} c, {digits} e, {digits} f, {digits} g) numbers where n < {rows}"
        )
    };
    let hash = if ends.source.engine().is_postgres() {
        "encode(sha256(int4send(n)), 'hex')"
    } else {
        "sha2(n, 256)"
    };
    ends.source
        .sql(&format!(
            "drop table if exists t; create table t (id int primary key, a varchar(2000));
             insert into t select n, repeat({hash}, 15) from {numbers}"
        ))
        .unwrap();
    let analyze = if ends.source.engine().is_postgres() {
        "analyze t"
    } else {
        "analyze table t"
    };
    ends.source.sql(analyze).unwrap();
}

fn tables(from: Engine, to: Engine) {
    let ends = Ends::between(from, to, "memory");
    // Both tables have far more chunks than there are jobs.
    let options = ["--jobs", "2", "--chunk-size", "2MiB"];
    fill(&ends, 50_000);
    let small = peak_kib(&ends, &options);
    fill(&ends, 500_000);
    let large = peak_kib(&ends, &options);
    eprintln!("{from} to {to}: {small} KiB for 50 MB, {large} KiB for 500 MB");
    assert!(large < 100 * 1024, "{small} {large} KiB");
    assert!(large < small + 20 * 1024, "{small} {large} KiB");
    assert_eq!(ends.arrived("t"), 500_000);
}

#[test]
fn a_table_ten_times_as_large_takes_no_more_from_postgres_to_postgres() {
    tables(Engine::Postgres15, Engine::Postgres18);
}

#[test]
fn a_table_ten_times_as_large_takes_no_more_from_postgres_to_mariadb() {
    tables(Engine::Postgres15, Engine::Mariadb1011);
}

#[test]
fn a_table_ten_times_as_large_takes_no_more_from_mysql_to_postgres() {
    tables(Engine::Mysql97, Engine::Postgres15);
}

fn server(engine: Engine) -> Server {
    let settings: &[(&str, &str)] = match engine {
        Engine::Mysql97 => &[
            ("max-allowed-packet", "256M"),
            ("innodb-redo-log-capacity", "1G"),
        ],
        Engine::Mariadb1011 | Engine::Mariadb118 => &[
            ("max-allowed-packet", "256M"),
            ("innodb-log-file-size", "1G"),
        ],
        _ => &[],
    };
    let settings = settings.iter();
    let settings = settings.map(|&(name, value)| (name.to_owned(), value.to_owned()));
    let options = ServerOptions {
        settings: settings.collect(),
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

/// What a load of rows of 64 MiB takes, with all that belongs to the command itself.
const PEAK_KIB: u64 = 56 * 1024;

/// Rows of every byte 262,144 times, between small ones: one, then several in a row. None is held whole.
fn rows(from: Engine, to: Engine) {
    let (source, target) = (server(from), server(to));
    let ends = Ends::on(&source, &target, "wide");
    let bytes = (0..=255_u8).map(|byte| format!("{byte:02x}"));
    let bytes = bytes.collect::<Vec<_>>().concat();
    let (ty, value) = if from.is_postgres() {
        ("bytea", format!("decode(repeat('{bytes}', 262144), 'hex')"))
    } else {
        ("longblob", format!("repeat(x'{bytes}', 262144)"))
    };
    ends.source
        .sql(&format!(
            "create table t (id int primary key, b {ty}, e int); insert into t values (1, 'small', 1);
             insert into t values (2, {value}, 2); insert into t values (3, 'small', 3)"
        ))
        .unwrap();
    let one = peak_kib(&ends, &[]);
    ends.source
        .sql(&format!(
            "insert into t values (4, {value}, 4); insert into t values (5, {value}, 5)"
        ))
        .unwrap();
    let three = peak_kib(&ends, &["--jobs", "1"]);
    eprintln!("{from} to {to}: {one} KiB for a row of 64 MiB, {three} KiB for three");
    assert!(one < PEAK_KIB, "{one} KiB");
    assert!(three < PEAK_KIB, "{three} KiB");
    assert_eq!(ends.arrived("t"), 5);
    let at = |end: &TestDatabase| {
        let hash = if end.engine().is_postgres() {
            "encode(sha256(b), 'hex')"
        } else {
            "sha2(b, 256)"
        };
        let sql = format!("select id, length(b), {hash}, e from t order by id");
        end.sql(&sql).unwrap()
    };
    assert_eq!(at(&ends.source), at(&ends.target));
}

/// Where nothing looks into the rows, no row is held whole.
#[test]
fn values_far_larger_than_the_bound_pass_from_postgres_to_postgres() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "parts");
    let bytes = (0..=255_u8).map(|byte| format!("{byte:02x}"));
    let bytes = bytes.collect::<Vec<_>>().concat();
    ends.source
        .sql(&format!(
            "create table t (id int primary key, b bytea, e text);
             alter table t alter b set storage external, alter e set storage external;
             insert into t values (1, 'small', 'small');
             insert into t select n, decode(repeat('{bytes}', 781250), 'hex'), 'small' from generate_series(2, 3) n;
             insert into t values (4, 'small', repeat('größer', 25000000)), (5, 'small', 'small')"
        ))
        .unwrap();
    let peak = peak_kib(&ends, &["--jobs", "1"]);
    eprintln!("{peak} KiB for values of 200 MB");
    assert!(peak < 64 * 1024, "{peak} KiB");
    assert_eq!(ends.arrived("t"), 5);
    let told = |end: &TestDatabase| {
        end.sql("select id, length(b), md5(b), octet_length(e), md5(e) from t order by id")
            .unwrap()
    };
    assert_eq!(told(&ends.source), told(&ends.target));
}

/// A document of 64 MB, or something else, beside a text that might be long too. What the load takes at most, with all that belongs to the command itself.
fn documents(from: Engine, to: Engine, (ty, document): (&str, &str), peak_max_kib: u64) {
    let (source, target) = (server(from), server(to));
    let ends = Ends::on(&source, &target, "documents");
    let text = if from.is_postgres() {
        "text"
    } else {
        "longtext"
    };
    ends.source
        .sql(&format!(
            "create table t (id int primary key, d {ty}, v {text}); insert into t values (1, {document}, 'small')"
        ))
        .unwrap();
    let peak = peak_kib(&ends, &[]);
    eprintln!("{from} to {to}: {peak} KiB for a {ty} of 64 MB");
    assert!(peak < peak_max_kib, "{peak} KiB");
    let length = if to.is_postgres() {
        "octet_length(d::text)"
    } else {
        "length(d)"
    };
    let length = ends.target.sql(&format!("select {length} from t")).unwrap();
    assert!(length.trim().parse::<u64>().unwrap() > 64_000_000);
}

/// Such a row is held whole once.
const HELD_KIB: u64 = 128 * 1024;

#[test]
fn a_long_document_from_postgres_to_mysql() {
    documents(
        Engine::Postgres15,
        Engine::Mysql97,
        ("jsonb", "jsonb_build_object('a', repeat('x', 64000000))"),
        HELD_KIB,
    );
}

#[test]
fn a_long_document_from_mysql_to_postgres() {
    documents(
        Engine::Mysql97,
        Engine::Postgres15,
        ("json", "json_object('a', repeat('x', 64000000))"),
        HELD_KIB,
    );
}

/// What is a text at both ends passes in parts, whatever its type.
#[test]
fn a_long_document_that_is_a_text_from_postgres_to_mariadb() {
    documents(
        Engine::Postgres15,
        Engine::Mariadb1011,
        (
            "json",
            "concat('{\"a\": \"', repeat('x', 64000000), '\"}')::json",
        ),
        PEAK_KIB,
    );
}

#[test]
fn a_long_document_that_is_a_text_from_mariadb_to_postgres() {
    documents(
        Engine::Mariadb1011,
        Engine::Postgres15,
        ("json", "concat('{\"a\": \"', repeat('x', 64000000), '\"}')"),
        PEAK_KIB,
    );
}

#[test]
fn a_long_varchar_from_postgres_to_mysql() {
    documents(
        Engine::Postgres15,
        Engine::Mysql97,
        ("varchar", "repeat('x', 64000001)"),
        PEAK_KIB,
    );
}

#[test]
fn a_long_geometry_from_mysql_to_postgres() {
    // A line of four million points.
    let line = "st_geomfromwkb(concat(x'010200000000093d00', repeat(x'000000000000f03f0000000000000040', 4000000)))";
    documents(
        Engine::Mysql97,
        Engine::Postgres15,
        ("geometry", line),
        PEAK_KIB,
    );
}

macro_rules! wide {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[test]
        fn $name() {
            rows(Engine::$from, Engine::$to);
        })*
    };
}

wide! {
    a_wide_row_from_postgres_to_postgres: Postgres15, Postgres15;
    a_wide_row_from_postgres_to_mysql: Postgres15, Mysql97;
    a_wide_row_from_mariadb_to_postgres: Mariadb1011, Postgres15;
    a_wide_row_from_mysql_to_mariadb: Mysql97, Mariadb1011;
}
