//! Settings of servers.

use whimbrel_testkit::{Engine, Server, ServerOptions};

use super::{Assessed, PLAIN, database};

fn server_with(engine: Engine, settings: &[(&str, &str)]) -> Server {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = ServerOptions {
        settings: settings.collect(),
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

const OF_POSTGRES: [&str; 7] = [
    "postgres-check-wallevel",
    "postgres-check-replication-slots-count",
    "postgres-check-maxwalsenders",
    "postgres-check-maxslot-wal-keep-size",
    "postgres-check-walsenderstimeout",
    "postgres-check-preparedtxn",
    "postgres-check-replica-identity",
];

#[test]
fn settings_of_a_postgres_source() {
    let server = server_with(
        Engine::Postgres15,
        &[
            ("wal_level", "replica"),
            ("max_replication_slots", "0"),
            ("max_wal_senders", "0"),
            ("max_slot_wal_keep_size", "64MB"),
            ("wal_sender_timeout", "1s"),
            ("max_prepared_transactions", "2"),
        ],
    );
    let (source, target) = (server.database("s").unwrap(), database(Engine::Mysql97));
    source.sql(PLAIN).unwrap();
    source
        .sql("create unlogged table unlogged (id int primary key)")
        .unwrap();
    source
        .sql("begin; insert into plain values (1); prepare transaction 'left'")
        .unwrap();
    let assessed = Assessed::of(&source.url(), &target.url(), &["--follow"]);
    let [wal, slots, senders, kept, timeout, prepared, identity] = OF_POSTGRES;
    assessed.finds(wal, "failure", &["wal_level is replica", "ALTER SYSTEM"]);
    assessed.finds(slots, "failure", &["all 0 replication slots"]);
    assessed.finds(senders, "failure", &["all 0 WAL senders"]);
    assessed.finds(kept, "warning", &["beyond 64 MB"]);
    assessed.finds(timeout, "warning", &["1000 ms"]);
    assessed.finds(prepared, "warning", &["transaction left"]);
    assessed.finds(identity, "failure", &["public.unlogged"]);

    let healthy = database(Engine::Postgres15);
    healthy.sql(PLAIN).unwrap();
    let assessed = Assessed::of(&healthy.url(), &target.url(), &["--follow"]);
    assessed.is_quiet(&OF_POSTGRES);
    assessed.finds("source-disk-room", "note", &["max_slot_wal_keep_size"]);
}

const OF_MARIADB: [&str; 3] = [
    "mysql-check-binlog-format",
    "mysql-check-binlog-image",
    "mysql-check-expire-logs-days",
];

#[test]
fn settings_of_a_mariadb_source() {
    let server = server_with(
        Engine::Mariadb1011,
        &[
            ("binlog-format", "STATEMENT"),
            ("binlog-row-image", "MINIMAL"),
            ("binlog-expire-logs-seconds", "3600"),
        ],
    );
    let (source, target) = (server.database("s").unwrap(), database(Engine::Postgres15));
    source.sql(PLAIN).unwrap();
    let assessed = Assessed::of(&source.url(), &target.url(), &["--follow"]);
    let [format, image, expiry] = OF_MARIADB;
    assessed.finds(format, "failure", &["does not hold rows"]);
    assessed.finds(image, "warning", &["MINIMAL"]);
    assessed.finds(expiry, "warning", &["3600 seconds"]);

    let healthy = database(Engine::Mariadb1011);
    healthy.sql(PLAIN).unwrap();
    let assessed = Assessed::of(&healthy.url(), &target.url(), &["--follow"]);
    assessed.is_quiet(&OF_MARIADB);
    assessed.is_quiet(&["mysql-check-binlog-enabled", "mysql-check-server-id"]);
}

#[test]
fn a_source_without_a_binary_log() {
    let server = server_with(Engine::Mysql97, &[("disable-log-bin", "1")]);
    let (source, target) = (server.database("s").unwrap(), database(Engine::Postgres15));
    source.sql(PLAIN).unwrap();
    let assessed = Assessed::of(&source.url(), &target.url(), &["--follow"]);
    let name = "mysql-check-binlog-enabled";
    assessed.finds(name, "failure", &["writes no binary log"]);
    let assessed = Assessed::of(&source.url(), &target.url(), &[]);
    assert_eq!(assessed.said.exit_code, Some(0), "{:?}", assessed.said);
}

#[test]
fn settings_of_a_mariadb_target() {
    const CHECKS: [&str; 3] = [
        "mysql-check-target-localinfile-set",
        "all-check-target-read-replica",
        "mysql-check-max-allowed-packet-lob",
    ];
    let source = database(Engine::Postgres15);
    source.sql(PLAIN).unwrap();
    let server = server_with(
        Engine::Mariadb1011,
        &[
            ("local-infile", "0"),
            ("read-only", "1"),
            ("max-allowed-packet", "1M"),
        ],
    );
    let target = server.database("t").unwrap();
    let assessed = Assessed::of(&source.url(), &target.url(), &[]);
    let [infile, read_only, packet] = CHECKS;
    assessed.finds(infile, "failure", &["local_infile = 1"]);
    assessed.finds(read_only, "failure", &["read-only"]);
    assessed.finds(packet, "warning", &["1048576 bytes"]);
    let healthy = database(Engine::Mariadb1011);
    let assessed = Assessed::of(&source.url(), &healthy.url(), &[]);
    assessed.is_quiet(&CHECKS);
}
