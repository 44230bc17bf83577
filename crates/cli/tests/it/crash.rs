//! The command killed at random moments, again and again: every row arrives once, and finished chunks are not read twice.

use whimbrel_testkit::{Engine, Fault};

use crate::ends::{Ends, settle, wait_until};
use crate::random::Random;

const ROWS: u64 = 12_000;
const LOOSE_ROWS: u64 = 3_000;
const KILLS: usize = 3;

/// The least chunk; `big` has dozens of them.
const OPTIONS: [&str; 5] = ["--json", "--chunk-size", "64KiB", "--jobs", "2"];

/// Slow enough that a whole load takes a few seconds, and kills fall into the middle of it.
const SLOW: Fault = Fault::Throttle {
    bytes_per_s: 500_000,
};

const DIGITS: &str = "
    create table digits (d int primary key);
    insert into digits values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);";

/// A table of many chunks, one without a key that has each row twice, and a small one. `mark` shows what has been loaded
/// again.
fn tables(engine: Engine) -> String {
    let numbers = "select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d as n from digits a, digits b, digits c, digits e, digits f";
    let analyze = if engine.is_postgres() {
        // A vacuum would tell small rows of room in pages that are loaded already.
        "analyze; alter table big set (autovacuum_enabled = off);"
    } else {
        "analyze table big; analyze table loose; analyze table digits;"
    };
    format!(
        "{DIGITS}
         create table big (id int primary key, mark varchar(9) not null, payload varchar(200) not null);
         insert into big select n, 'source', concat('row ', n, repeat('x', 120)) from ({numbers}) numbers where n < {ROWS} order by n;
         create table loose (n int, mark varchar(9) not null, payload varchar(200));
         insert into loose select n % {half}, 'source', concat('row ', n % {half}) from ({numbers}) numbers where n < {LOOSE_ROWS};
         {analyze}",
        half = LOOSE_ROWS / 2
    )
}

/// Numbers that differ if any row differs, is missing or is there twice.
fn sums(engine: Engine) -> &'static str {
    if engine.is_postgres() {
        "select count(*), count(distinct id), sum(id), sum(('x' || left(encode(sha256(convert_to(concat(id, mark, payload), 'UTF8')), 'hex'), 8))::bit(32)::bigint) from big;
         select count(*), count(distinct n), sum(n), sum(('x' || left(encode(sha256(convert_to(concat(n, mark, payload), 'UTF8')), 'hex'), 8))::bit(32)::bigint) from loose;
         select count(*), sum(d) from digits"
    } else {
        "select count(*), count(distinct id), sum(id), sum(cast(conv(left(sha2(concat(id, mark, payload), 256), 8), 16, 10) as unsigned)) from big;
         select count(*), count(distinct n), sum(n), sum(cast(conv(left(sha2(concat(n, mark, payload), 256), 8), 16, 10) as unsigned)) from loose;
         select count(*), sum(d) from digits"
    }
}

/// Rows of both tables that were there at an earlier mark.
fn kept(ends: &Ends) -> (u64, u64) {
    (
        ends.arrived("big where mark = 'kept'"),
        ends.arrived("loose where mark = 'kept'"),
    )
}

/// Marks all rows that are there. A chunk that is loaded again loses the mark.
fn mark(ends: &Ends) -> (u64, u64) {
    for table in ["big", "loose"] {
        let update = format!("update {table} set mark = 'kept'");
        // The table may not be there yet.
        if ends.arrived(table) > 0 {
            ends.target.sql(&update).unwrap();
        }
    }
    kept(ends)
}

async fn killed_again_and_again(from: Engine, to: Engine) {
    let mut random = Random::announced();
    let mut ends = Ends::between(from, to, "crash");
    ends.source.sql(&tables(from)).unwrap();
    settle(&ends.source, "big");
    let proxy = ends.break_target().await;
    proxy.set(SLOW);
    let mut moments: Vec<u64> = (0..KILLS).map(|_| 1 + random.bits() % (ROWS / 2)).collect();
    moments.sort_unstable();
    eprintln!("{from} to {to}: killed once {moments:?} rows are there");

    let resumed = [&OPTIONS[..], &["--resume"]].concat();
    let mut marked = (0, 0);
    for (number, &rows) in moments.iter().enumerate() {
        let options = if number == 0 { &OPTIONS[..] } else { &resumed };
        let running = ends.wait_for_rows(ends.start(options), "big", rows);
        running.kill();
        assert_eq!(kept(&ends), marked, "rows were loaded again");
        marked = mark(&ends);
    }
    assert!(marked.0 > 0);
    proxy.set(Fault::None);
    let said = ends.run_well("migrate", &resumed);
    assert_eq!(
        said.event("finished")["rows"],
        ROWS + LOOSE_ROWS + 10,
        "{said:?}"
    );
    assert_eq!(kept(&ends), marked, "rows were loaded again");

    ends.target
        .sql("update big set mark = 'source'; update loose set mark = 'source'")
        .unwrap();
    let sum = |at: &whimbrel_testkit::TestDatabase| at.sql(sums(at.engine())).unwrap();
    assert_eq!(sum(&ends.source), sum(&ends.target));
    let said = ends.run_well("validate", &[]);
    assert!(said.out.contains("3 tables compared: 3 equal"), "{said:?}");
}

/// What goes on at a source that stays in use while its load is interrupted.
const MEANWHILE: [&str; 5] = [
    "update big set id = id + 1000000 where id % 1000 = 0",
    "delete from big where id % 1000 = 1",
    FIRST_AND_LAST,
    "update big set payload = 'changed' where id = 2",
    AT_THE_END,
];
/// Gives every row a value that no log tells.
const ALTERED: &str = "alter table big add column later int not null default 7";
/// Of PostgreSQL's table these come behind all others, whatever their keys.
const FIRST_AND_LAST: &str = "insert into big (id, mark, payload) values (-7, 'source', 'late'), (2000000, 'source', 'late')";
/// In chunks that are still open.
const AT_THE_END: &str = "delete from big where id = 11999; insert into big (id, mark, payload) values (3000000, 'source', 'late')";

/// Each kind of change alone, so that none hides another. Those in chunks that were still open do not make the finished ones be read again.
async fn resumed_after_changes(from: Engine, to: Engine) {
    let resumed = [&OPTIONS[..], &["--resume"]].concat();
    for change in MEANWHILE.into_iter().chain([ALTERED]) {
        let keeps = change == AT_THE_END || from == Engine::Postgres15 && change == FIRST_AND_LAST;
        let mut ends = Ends::between(from, to, "meanwhile");
        ends.source.sql(&tables(from)).unwrap();
        settle(&ends.source, "big");
        let proxy = ends.break_target().await;
        proxy.set(SLOW);
        ends.wait_for_rows(ends.start(&OPTIONS), "big", ROWS / 2)
            .kill();
        mark(&ends);
        ends.source.sql(change).unwrap();
        proxy.set(Fault::None);
        ends.run_well("migrate", &resumed);
        let kept = ends.arrived("big where mark = 'kept'");
        assert_eq!(kept > 0, keeps, "{change}: {kept} rows were kept");
        ends.target
            .sql("update big set mark = 'source'; update loose set mark = 'source'")
            .unwrap();
        let sum = |at: &whimbrel_testkit::TestDatabase| at.sql(sums(at.engine())).unwrap();
        assert_eq!(sum(&ends.source), sum(&ends.target), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_after_changes_at_postgres() {
    resumed_after_changes(Engine::Postgres15, Engine::Mariadb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_after_changes_at_mariadb() {
    resumed_after_changes(Engine::Mariadb1011, Engine::Postgres15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_after_changes_at_mysql() {
    resumed_after_changes(Engine::Mysql97, Engine::Postgres15).await;
}

/// What changed before a chunk was read is in it, whichever attempt has read it: killed twice, with a change in between to rows that the second
/// attempt has read, the third one reads neither's chunks again.
async fn resumed_twice_after_a_change(from: Engine, to: Engine) {
    const CHANGED: &str = "big where id = 6000";
    // Seconds lie between the moments of interest, also where whoever looks for them is slow.
    const SLOWER: Fault = Fault::Throttle {
        bytes_per_s: 150_000,
    };
    let resumed = [&OPTIONS[..], &["--resume"]].concat();
    let mut ends = Ends::between(from, to, "twice");
    ends.source.sql(&tables(from)).unwrap();
    if from.is_postgres() {
        // The new version of a row finds room in the page of the old one.
        let roomy = "alter table big set (fillfactor = 60)";
        ends.source.sql(roomy).unwrap();
        ends.source.sql("vacuum full big").unwrap();
    }
    settle(&ends.source, "big");
    let proxy = ends.break_target().await;
    proxy.set(SLOWER);
    ends.wait_for_rows(ends.start(&OPTIONS), "big", ROWS / 6)
        .kill();
    assert_eq!(ends.arrived(CHANGED), 0, "the first attempt came too far");
    let change = format!(
        "update {}",
        CHANGED.replace("where", "set payload = 'changed' where")
    );
    ends.source.sql(&change).unwrap();
    settle(&ends.source, "big");
    ends.wait_for_rows(ends.start(&resumed), "big", ROWS * 7 / 12)
        .kill();
    assert_eq!(ends.arrived(CHANGED), 1, "the second one not far enough");
    let marked = mark(&ends);
    assert!(marked.0 >= ROWS * 7 / 12, "{marked:?}");
    proxy.set(Fault::None);
    let said = ends.run_well("migrate", &resumed);
    assert_eq!(kept(&ends), marked, "rows were loaded again: {said:?}");
    ends.target
        .sql("update big set mark = 'source'; update loose set mark = 'source'")
        .unwrap();
    let sum = |at: &whimbrel_testkit::TestDatabase| at.sql(sums(at.engine())).unwrap();
    assert_eq!(sum(&ends.source), sum(&ends.target));
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_twice_after_a_change_at_postgres() {
    resumed_twice_after_a_change(Engine::Postgres15, Engine::Mysql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_twice_after_a_change_at_mariadb() {
    resumed_twice_after_a_change(Engine::Mariadb1011, Engine::Postgres15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumed_twice_after_a_change_at_mysql() {
    resumed_twice_after_a_change(Engine::Mysql97, Engine::Mariadb1011).await;
}

/// The target is away in the middle of a table that goes on to be written at its source: the load waits, and goes on under its snapshot.
async fn goes_on_after_an_outage(from: Engine, to: Engine) {
    let mut ends = Ends::between(from, to, "outage");
    ends.source.sql(&tables(from)).unwrap();
    let proxy = ends.break_target().await;
    proxy.set(SLOW);
    let running = ends.wait_for_rows(ends.start(&OPTIONS), "big", ROWS / 2);
    proxy.set(Fault::Refuse);
    let marked = mark(&ends);
    for change in MEANWHILE {
        ends.source.sql(change).unwrap();
    }
    // It is asked for again after all that.
    let before = proxy.connections();
    wait_until(|| proxy.connections() > before);
    proxy.set(Fault::None);
    let said = running.wait();
    assert_eq!(said.exit_code, Some(0), "{said:?}");
    assert_eq!(kept(&ends), marked, "rows were loaded again: {said:?}");
    let of_snapshot = format!("big where id between 0 and {}", ROWS - 1);
    let arrived = (ends.arrived(&of_snapshot), ends.arrived("big"));
    assert_eq!(arrived, (ROWS, ROWS), "{said:?}");
    assert_eq!(ends.arrived("loose"), LOOSE_ROWS);
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_after_an_outage_from_postgres() {
    goes_on_after_an_outage(Engine::Postgres15, Engine::Mysql97).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_after_an_outage_from_mariadb() {
    goes_on_after_an_outage(Engine::Mariadb1011, Engine::Postgres15).await;
}

macro_rules! pairs {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            killed_again_and_again(Engine::$from, Engine::$to).await;
        })*
    };
}

pairs! {
    killed_from_postgres_to_postgres: Postgres15, Postgres15;
    killed_from_postgres_to_mariadb: Postgres15, Mariadb1011;
    killed_from_postgres_to_mysql: Postgres15, Mysql97;
    killed_from_mariadb_to_postgres: Mariadb1011, Postgres15;
    killed_from_mariadb_to_mariadb: Mariadb1011, Mariadb1011;
    killed_from_mariadb_to_mysql: Mariadb1011, Mysql97;
    killed_from_mysql_to_postgres: Mysql97, Postgres15;
    killed_from_mysql_to_mariadb: Mysql97, Mariadb1011;
    killed_from_mysql_to_mysql: Mysql97, Mysql97;
}
