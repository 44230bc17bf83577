//! Loads that the world disturbs: connections cut, servers restarted, a table dropped. Each goes on by
//! itself, or ends with a clear error and goes on when it is told to; nothing is lost and nothing is there twice.

use whimbrel_testkit::{Engine, Fault, FaultProxy, Server};

use crate::Said;
use crate::ends::{Ends, Running};

const ROWS: u64 = 8_000;

const OPTIONS: [&str; 5] = ["--json", "--chunk-size", "64KiB", "--jobs", "2"];

/// Slow enough that a load is still under way when the test has seen its first rows.
const SLOW: Fault = Fault::Throttle {
    bytes_per_s: 300_000,
};

/// A table of many chunks, and a small one that is loaded after it.
pub(crate) fn tables(engine: Engine, rows: u64) -> String {
    let numbers = "select a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d as n from digits a, digits b, digits c, digits e, digits f";
    let analyze = if engine.is_postgres() {
        "analyze big;"
    } else {
        "analyze table big;"
    };
    format!(
        "create table digits (d int);
         insert into digits values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
         create table big (id int primary key, payload varchar(200) not null);
         insert into big select n, concat('row ', n, repeat('x', 120)) from ({numbers}) numbers where n < {rows};
         create table small (id int primary key);
         insert into small select d from digits;
         drop table digits;
         {analyze}"
    )
}

/// A load that is in the middle of `big`.
async fn half_way(ends: &mut Ends, options: &[&str]) -> (Running, FaultProxy) {
    let slow = ends.break_target().await;
    slow.set(SLOW);
    let running = ends.wait_for_rows(ends.start(options), "big", 500);
    (running, slow)
}

fn is_whole(ends: &Ends, said: &Said) {
    assert_eq!(said.exit_code, Some(0), "{said:?}");
    assert_eq!(said.event("finished")["rows"], ROWS + 10, "{said:?}");
    let said = ends.run_well("validate", &[]);
    assert!(said.out.contains("2 tables compared: 2 equal"), "{said:?}");
}

#[derive(Clone, Copy, PartialEq)]
enum Cut {
    Source,
    Target,
}

async fn a_cut_is_mended(from: Engine, to: Engine, cut: Cut) {
    let mut ends = Ends::between(from, to, "cut");
    ends.source.sql(&tables(from, ROWS)).unwrap();
    let source_proxy = ends.break_source().await;
    let (running, target_proxy) = half_way(&mut ends, &OPTIONS).await;
    match cut {
        Cut::Source => source_proxy.cut(),
        Cut::Target => target_proxy.cut(),
    }
    target_proxy.set(Fault::None);
    is_whole(&ends, &running.wait());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_source_may_be_cut_off_for_a_moment() {
    a_cut_is_mended(Engine::Postgres15, Engine::Mysql97, Cut::Source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_source_may_be_cut_off_for_a_moment() {
    a_cut_is_mended(Engine::Mysql97, Engine::Postgres15, Cut::Source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_target_may_be_cut_off_for_a_moment() {
    a_cut_is_mended(Engine::Mariadb1011, Engine::Postgres15, Cut::Target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_target_may_be_cut_off_for_a_moment() {
    a_cut_is_mended(Engine::Postgres15, Engine::Mysql97, Cut::Target).await;
}

async fn an_end_that_is_gone_is_named(from: Engine, to: Engine, cut: Cut) {
    let mut ends = Ends::between(from, to, "gone");
    ends.source.sql(&tables(from, ROWS)).unwrap();
    let source_proxy = ends.break_source().await;
    let options = [&OPTIONS[..], &["--retries", "1"]].concat();
    let (running, target_proxy) = half_way(&mut ends, &options).await;
    let (proxy, end) = match cut {
        Cut::Source => (&source_proxy, "source: "),
        Cut::Target => (&target_proxy, "target: "),
    };
    proxy.set(Fault::Refuse);
    let said = running.wait();
    assert!(matches!(said.exit_code, Some(3 | 4)), "{said:?}");
    let finished = said.event("finished");
    let error = finished["error"].as_str().unwrap();
    assert!(
        error.starts_with(end) && error.contains(&proxy.address().to_string()),
        "{error}"
    );
    let help = finished["help"].as_str().unwrap();
    assert!(help.contains("--resume"), "{help}");

    let kept = ends.arrived("big");
    assert!((1..ROWS).contains(&kept), "{kept}");
    target_proxy.set(Fault::None);
    source_proxy.set(Fault::None);
    let said = ends.run("migrate", &[&OPTIONS[..], &["--resume"]].concat());
    is_whole(&ends, &said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_gone_is_named_and_a_resume_goes_on() {
    an_end_that_is_gone_is_named(Engine::Mariadb1011, Engine::Postgres15, Cut::Source).await;
    an_end_that_is_gone_is_named(Engine::Postgres15, Engine::Postgres15, Cut::Source).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_gone_is_named_and_a_resume_goes_on() {
    an_end_that_is_gone_is_named(Engine::Postgres15, Engine::Mariadb1011, Cut::Target).await;
    an_end_that_is_gone_is_named(Engine::Mysql97, Engine::Postgres15, Cut::Target).await;
}

/// Both ends live on the server, so both are lost.
async fn a_restart_is_waited_for(engine: Engine) {
    let server = Server::private(engine).unwrap();
    let mut ends = Ends::on(&server, &server, "restart");
    ends.source.sql(&tables(engine, ROWS)).unwrap();
    let (running, proxy) = half_way(&mut ends, &OPTIONS).await;
    server.restart().unwrap();
    proxy.set(Fault::None);
    is_whole(&ends, &running.wait());
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_restart() {
    a_restart_is_waited_for(Engine::Postgres15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mariadb_may_restart() {
    a_restart_is_waited_for(Engine::Mariadb1011).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mysql_may_restart() {
    a_restart_is_waited_for(Engine::Mysql97).await;
}

/// A table that is dropped before its turn is in error; the others are whole.
async fn a_dropped_table_is_named(from: Engine, to: Engine) {
    let mut ends = Ends::between(from, to, "dropped");
    ends.source.sql(&tables(from, ROWS)).unwrap();
    let (running, proxy) = half_way(&mut ends, &OPTIONS).await;
    ends.source.sql("drop table small").unwrap();
    proxy.set(Fault::None);
    let said = running.wait();
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let events = said.events();
    let error = events
        .iter()
        .find(|event| event["state"] == "error")
        .unwrap();
    assert!(
        error["table"].as_str().unwrap().ends_with("small"),
        "{error}"
    );
    assert!(
        error["message"].as_str().unwrap().contains("small"),
        "{error}"
    );
    assert_eq!((ends.arrived("big"), ends.arrived("small")), (ROWS, 0));
    let said = ends.run_well("validate", &["--exclude", "%.small"]);
    assert!(said.out.contains("1 equal"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_at_postgres_is_named() {
    a_dropped_table_is_named(Engine::Postgres15, Engine::Postgres15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_at_mariadb_is_named() {
    a_dropped_table_is_named(Engine::Mariadb1011, Engine::Postgres15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_dropped_at_mysql_is_named() {
    a_dropped_table_is_named(Engine::Mysql97, Engine::Postgres15).await;
}
