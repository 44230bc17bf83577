//! Which changes at the source keep an interrupted load from going on with its finished chunks.

use std::collections::BTreeSet;

use whimbrel_connector::{FinishedChunk, RecordedPlan, Snapshot};
use whimbrel_core::{ChunkBounds, Position, Table};
use whimbrel_testkit::{Engine, Server, ServerOptions, TestDatabase};

use crate::chunks::read;
use crate::support::{ENGINES, connector};

const ROWS: u32 = 2000;
const CHUNK_BYTES: u64 = 16 << 10;

/// Makes table `t` of many rows, of which `n` is the number.
fn make(columns: &str, key: &str) -> String {
    format!(
        "create table digits (d int); insert into digits values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
         create table t ({columns}, n int not null, payload varchar(100) not null default 'x');
         insert into t select {key}, n, repeat('y', 90) from (select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + 1 n from digits a, digits b, digits c, digits e) numbers where n <= {ROWS};
         analyze table t"
    )
}

/// A load of table `t` that was interrupted once its first chunks were committed.
struct Interrupted<'d> {
    database: &'d TestDatabase,
    url: String,
    planned_at: Position,
    finished: Vec<FinishedChunk>,
    /// Of the rows of the finished chunks.
    numbers: BTreeSet<u64>,
}

impl<'d> Interrupted<'d> {
    async fn new(database: &'d TestDatabase) -> Self {
        Self::at(database, database.url()).await
    }

    async fn at(database: &'d TestDatabase, url: String) -> Self {
        let (snapshot, table) = opened(database, &url).await;
        let plan = snapshot.plan(&table, CHUNK_BYTES).await.unwrap();
        // Without a key that can be cut, all of the table is one.
        let done = &plan[..(plan.len() / 2).max(1)];
        let mut numbers = BTreeSet::new();
        for bounds in done {
            numbers.extend(read(&*snapshot, &table, bounds).await);
        }
        let finish = |bounds: &ChunkBounds| FinishedChunk {
            bounds: bounds.clone(),
            filter: None,
            row_count: 0,
        };
        Self {
            database,
            url,
            planned_at: snapshot.position().clone(),
            finished: done.iter().map(finish).collect(),
            numbers,
        }
    }

    /// Whether the load may go on. `is_told`: the snapshot knows all loads that it is asked about.
    async fn asked(&self, is_told: bool) -> bool {
        let (snapshot, table) = opened(self.database, &self.url).await;
        if is_told {
            snapshot.recall(vec![RecordedPlan {
                table: table.name.clone(),
                planned_at: self.planned_at.clone(),
                finished: self.finished.clone(),
            }]);
        }
        let holds = snapshot.plan_holds(&table, &self.planned_at, &self.finished);
        holds.await.unwrap()
    }

    async fn holds(&self) -> bool {
        self.asked(true).await
    }
}

async fn opened(database: &TestDatabase, url: &str) -> (Box<dyn Snapshot>, Table) {
    let mut source = connector(url).source().await.unwrap();
    let tables = source.tables(&|name| name.schema == database.name()).await;
    let table = tables.unwrap().into_iter().find(|t| t.name.name == "t");
    let snapshot = source.snapshot(1).await.unwrap();
    (snapshot, table.unwrap())
}

/// Makes the table, interrupts its load, changes something, and asks.
async fn holds_after(engine: Engine, columns: &str, key: &str, change: &str) -> bool {
    let database = Server::get(engine).unwrap().database("changed").unwrap();
    database.sql(&make(columns, key)).unwrap();
    let interrupted = Interrupted::new(&database).await;
    database.sql(change).unwrap();
    interrupted.holds().await
}

#[tokio::test]
async fn rows_that_changed_in_open_chunks_alone_cost_nothing() {
    for engine in ENGINES {
        for change in [
            "do 1",
            "insert into t values (100000, 0, 'late')",
            "update t set payload = 'late' where id = 1999",
            "delete from t where id = 1999",
            "update t set id = 100000 where id = 1999",
            "replace into t values (1999, 0, 'again')",
            "begin; update t set payload = 'no' where id = 2; rollback",
            "set session binlog_row_image = 'minimal'; update t set payload = 'late' where id = 1999; delete from t where id = 1998; insert into t (id, n) values (100000, 0)",
            "create table beside (id int primary key); insert into beside values (2); drop table beside",
        ] {
            let holds = holds_after(engine, "id int primary key", "n", change).await;
            assert!(holds, "{engine}: {change}");
        }
    }
}

#[tokio::test]
async fn a_row_that_changed_in_a_finished_chunk_lets_the_table_start_again() {
    for engine in ENGINES {
        for change in [
            "update t set payload = 'late' where id = 2",
            "delete from t where id = 2",
            "insert into t values (-7, 0, 'early')",
            // Out of its range, and into it.
            "update t set id = 100000 where id = 2",
            "update t set id = -7 where id = 1999",
            "begin; update t set payload = 'late' where id = 1999; update t set payload = 'late' where id = 2; commit",
            "set session binlog_row_image = 'minimal'; update t set payload = 'late' where id = 2",
            "set session binlog_row_image = 'minimal'; update t set id = -7 where id = 1999",
            "set session binlog_row_image = 'minimal'; delete from t where id = 2",
        ] {
            let holds = holds_after(engine, "id int primary key", "n", change).await;
            assert!(!holds, "{engine}: {change}");
        }
    }
}

#[tokio::test]
async fn a_statement_that_is_about_the_table_lets_it_start_again() {
    for engine in ENGINES {
        for change in [
            "alter table t add column later int default 7",
            "alter table t modify payload varchar(200) not null default 'x'",
            // The catalog of now tells nothing of these.
            "alter table t modify payload varchar(95) not null default 'x'; alter table t modify payload varchar(100) not null default 'x'",
            "rename table t to u; rename table u to t",
            "truncate table t",
            "create table u like t; rename table t to v, u to t",
        ] {
            let holds = holds_after(engine, "id int primary key", "n", change).await;
            assert!(!holds, "{engine}: {change}");
        }
    }
}

/// The first and the last rows by each kind of key: the first are in finished chunks, the last in open ones.
#[tokio::test]
async fn keys_of_whole_numbers_are_told_apart_and_no_others() {
    for engine in ENGINES {
        for (columns, key, is_told_apart) in [
            (
                "id bigint unsigned primary key",
                "18446744073709549615 + n",
                true,
            ),
            ("id bigint primary key", "n * 1000003 - 1000000000", true),
            ("id smallint unsigned primary key", "63000 + n", true),
            (
                "a int not null, b int not null, primary key (a, b)",
                "7, n",
                true,
            ),
            (
                "a int not null, b int not null, primary key (a, b)",
                "n, 7",
                true,
            ),
            ("u int not null unique", "n", true),
            (
                "id varchar(20) primary key",
                "concat('k', 100000 + n)",
                false,
            ),
            ("id decimal(20,2) primary key", "n", false),
            (
                "id date primary key",
                "date_add('2000-01-01', interval n day)",
                false,
            ),
            ("id int", "n", false),
        ] {
            for (number, is_finished) in [(3, true), (ROWS - 3, false)] {
                let change = format!("update t set payload = 'late' where n = {number}");
                let holds = holds_after(engine, columns, key, &change).await;
                let expected = is_told_apart && !is_finished;
                assert_eq!(holds, expected, "{engine} {columns}: row {number}");
            }
        }
    }
}

/// Whatever row is touched, the answer is that of where it was read.
#[tokio::test]
async fn a_plan_holds_exactly_while_no_row_of_a_finished_chunk_changed() {
    for engine in ENGINES {
        let columns = "a bigint unsigned not null, b int not null, primary key (a, b)";
        let key = "if(n % 3 = 0, 18446744073709551615, n % 5), if(n % 2, -n, n)";
        let database = Server::get(engine).unwrap().database("exactly").unwrap();
        database.sql(&make(columns, key)).unwrap();
        let mut seen = [0, 0];
        for number in (1..=ROWS).step_by(83) {
            let interrupted = Interrupted::new(&database).await;
            let change = format!("update t set payload = concat(payload, '.') where n = {number}");
            database.sql(&change).unwrap();
            let is_finished = interrupted.numbers.contains(&u64::from(number));
            seen[usize::from(is_finished)] += 1;
            assert_eq!(interrupted.holds().await, !is_finished, "{engine} {number}");
        }
        assert!(seen.iter().all(|&count| count > 3), "{seen:?}");
    }
}

#[tokio::test]
async fn a_load_that_the_snapshot_was_not_told_of_is_asked_about_as_a_whole() {
    for engine in ENGINES {
        let database = Server::get(engine).unwrap().database("untold").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let interrupted = Interrupted::new(&database).await;
        assert!(interrupted.asked(false).await);
        let change = "update t set payload = 'late' where id = 1999";
        database.sql(change).unwrap();
        assert!(!interrupted.asked(false).await);
        assert!(interrupted.asked(true).await);
    }
}

/// Rows that go with those of another table: MariaDB's log does not tell which.
#[tokio::test]
async fn rows_that_change_by_a_foreign_key_are_seen() {
    for engine in ENGINES {
        let columns = "id int primary key, p int, foreign key (p) references p (id) on delete cascade on update cascade";
        let parent = format!(
            "create table p (id int primary key); insert into p select n from (select a.d + b.d * 10 + c.d * 100 + e.d * 1000 + 1 n from digits a, digits b, digits c, digits e) numbers where n <= {ROWS};"
        );
        let sql = make(columns, "n, n");
        let (digits, rest) = sql.split_once("create table t").unwrap();
        let sql = format!("{digits}{parent}create table t{rest}");
        for (change, holds) in [
            ("delete from p where id = 2", false),
            ("update p set id = 90000 where id = 2", false),
            // Where the log tells of it, it is known to be a row of an open chunk.
            ("delete from p where id = 1999", engine == Engine::Mysql97),
        ] {
            let database = Server::get(engine).unwrap().database("cascade").unwrap();
            database.sql(&sql).unwrap();
            let interrupted = Interrupted::new(&database).await;
            database.sql(change).unwrap();
            assert_eq!(interrupted.holds().await, holds, "{engine}: {change}");
        }
    }
}

/// Rows that are taken back behind what was handed over of them: they are read once more, and not for ever.
#[tokio::test]
async fn a_long_transaction_that_was_rolled_back_in_part_keeps_no_load_from_going_on() {
    for engine in ENGINES {
        let database = Server::get(engine).unwrap().database("in_part").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let interrupted = Interrupted::new(&database).await;
        let fill = |from: u32| {
            format!(
                "insert into t select {from} + a.d + b.d * 10 + c.d * 100 + e.d * 1000, 0, repeat('z', 90) from digits a, digits b, digits c, digits e;"
            )
        };
        database
            .sql(&format!(
                "begin; create temporary table y (i int); {} savepoint a; {} create temporary table z (i int); rollback to a; {} commit",
                fill(100_000),
                fill(200_000),
                fill(300_000)
            ))
            .unwrap();
        assert!(interrupted.holds().await, "{engine}");
        let change = "update t set payload = 'late' where id = 2";
        database.sql(change).unwrap();
        assert!(!interrupted.holds().await, "{engine}");
    }
}

#[tokio::test]
async fn a_log_that_cannot_be_read_lets_every_table_start_again() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("unreadable").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let interrupted = Interrupted::new(&database).await;
        assert!(interrupted.holds().await, "{engine}");
        database
            .sql("set session binlog_format = 'statement'; update t set payload = 'late' where id = 1999")
            .unwrap();
        assert!(!interrupted.holds().await, "{engine}: a statement");

        let interrupted = Interrupted::new(&database).await;
        let file = interrupted.planned_at.as_str().split(':').next().unwrap();
        database
            .sql("flush binary logs; flush binary logs")
            .unwrap();
        assert!(interrupted.holds().await, "{engine}: another file");
        // A server keeps a file until it needs it no more for its own recovery.
        for _ in 0..1000 {
            let logs = database.sql("show binary logs").unwrap();
            if !logs.contains(file) {
                break;
            }
            let last = logs.lines().last().unwrap();
            let last = last.split_whitespace().next().unwrap();
            database
                .sql(&format!("flush engine logs; purge binary logs to '{last}'"))
                .unwrap();
        }
        assert!(!interrupted.holds().await, "{engine}: purged");
    }
}

/// The same file and offset in another life of the log, and without ids that would tell.
#[tokio::test]
async fn a_log_that_was_begun_anew_is_not_taken_for_one_in_which_nothing_happened() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("anew").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let reset = match engine {
            Engine::Mariadb1011 => "reset master",
            _ => "reset binary logs and gtids",
        };
        database.sql(reset).unwrap();
        let second = || database.sql("select unix_timestamp()").unwrap();
        let begun = second();
        let interrupted = Interrupted::new(&database).await;
        assert!(interrupted.holds().await, "{engine}");
        database
            .sql("update t set payload = 'late' where id = 2")
            .unwrap();
        while second() == begun {
            tokio::task::yield_now().await;
        }
        database.sql(reset).unwrap();
        let (snapshot, _) = opened(&database, &database.url()).await;
        let place = |position: &Position| position.as_str().split('@').next().map(str::to_owned);
        assert_eq!(place(snapshot.position()), place(&interrupted.planned_at));
        assert!(!interrupted.holds().await, "{engine}");
    }
}

#[tokio::test]
async fn who_may_not_read_the_log_goes_on_while_nothing_happens() {
    for engine in ENGINES {
        let server = Server::private(engine).unwrap();
        let database = server.database("quiet").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let status = match engine {
            Engine::Mariadb1011 => "binlog monitor",
            _ => "replication client",
        };
        database
            .sql(&format!(
                "create user reader identified by 'secret'; grant reload, {status} on *.* to reader; grant select on {}.* to reader",
                database.name()
            ))
            .unwrap();
        let url = database.url_as("reader", "secret");
        let interrupted = Interrupted::at(&database, url).await;
        assert!(!interrupted.planned_at.as_str().contains('@'));
        assert!(interrupted.holds().await, "{engine}");
        database
            .sql("update t set payload = 'late' where id = 1999")
            .unwrap();
        assert!(!interrupted.holds().await, "{engine}");
    }
}

/// What comes from others is not in its log, or what is run from a database that the log leaves out.
#[tokio::test]
async fn a_log_that_leaves_things_out_tells_nothing() {
    for engine in ENGINES {
        let (relays, follow, stop) = match engine {
            Engine::Mysql97 => (
                "log-replica-updates",
                "change replication source to source_host = '127.0.0.1', source_port = 9",
                "reset replica all",
            ),
            _ => (
                "log-slave-updates",
                "change master to master_host = '127.0.0.1', master_port = 9",
                "reset slave all",
            ),
        };
        let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let options = ServerOptions {
            settings: vec![set(relays, "OFF")],
            ..ServerOptions::default()
        };
        let server = Server::private_with(engine, options).unwrap();
        let database = server.database("relays").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let interrupted = Interrupted::new(&database).await;
        database.sql(follow).unwrap();
        assert!(!interrupted.holds().await, "{engine}: a replica");
        database.sql(stop).unwrap();
        assert!(interrupted.holds().await, "{engine}: no replica");

        let options = ServerOptions {
            settings: vec![set("binlog-ignore-db", "besides")],
            ..ServerOptions::default()
        };
        let server = Server::private_with(engine, options).unwrap();
        let database = server.database("limited").unwrap();
        database.sql(&make("id int primary key", "n")).unwrap();
        let interrupted = Interrupted::new(&database).await;
        assert!(interrupted.holds().await, "{engine}: nothing happened");
        let name = database.name();
        let unsaid = format!(
            "create database besides; use besides; truncate {name}.t; use {name}; create table later (id int)"
        );
        database.sql(&unsaid).unwrap();
        assert!(!interrupted.holds().await, "{engine}: a limited log");
    }
}
