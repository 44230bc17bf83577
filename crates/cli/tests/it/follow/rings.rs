//! Tables that exchange their names within one transaction, at a target that commits each definition by itself, and a process that is killed
//! between any two of them.

use whimbrel_connector::failpoint::Point;
use whimbrel_testkit::Engine;

use super::definitions::wait_until_equal;
use super::process::{Following, Hold, Wishes};
use crate::ends::Ends;

/// Keys that tell whose rows they are.
const TABLES: &str = "create table a (id int primary key, v varchar(20)); create table b (id int primary key, v varchar(20));
    create table c (id int primary key, v varchar(20));
    create table n1 (id int primary key, v varchar(20)); create table n2 (id int primary key, v varchar(20));
    insert into n1 values (301, 'n1'); insert into n2 values (401, 'n2');
    insert into a values (1, 'a1'); insert into b values (101, 'b1'); insert into c values (201, 'c1')";

/// Definitions of one ring.
const RENAMES: u32 = 4;

/// The first has no row before it, and the last three have rows between them where the source's transactions may.
fn ring(from: Engine, turn: u32) -> String {
    let id = 1000 + 10 * turn;
    let rows = format!(
        "update a set v = concat(v, '+'); insert into a values ({id}, 'a'); insert into b values ({}, 'b'); insert into c values ({}, 'c')",
        id + 1,
        id + 2
    );
    if from.is_postgres() {
        format!(
            "begin; alter table a rename to x; insert into x values ({}, 'x'); alter table b rename to a; insert into a values ({}, 'y');
             alter table c rename to b; alter table x rename to c; {rows}; commit",
            id + 3,
            id + 4
        )
    } else {
        format!("rename table a to x, b to a, c to b, x to c; {rows}")
    }
}

/// A table goes, and another takes its name.
fn replaced(from: Engine, by: &str) -> String {
    if from.is_postgres() {
        format!(
            "begin; drop table c; alter table {by} rename to c; insert into c values (9999, 'c'); commit"
        )
    } else {
        format!("rename table c to o, {by} to c; insert into c values (9999, 'c'); drop table o")
    }
}

/// Kills the command the `count`-th time that it comes to a point, and goes on.
fn killed(ends: &Ends, point: Point, count: u32, sql: &str) {
    let options = ["--follow", "--json", "--resume"];
    let hold = Hold::at(point, count);
    let wishes = Wishes {
        hold: Some(&hold),
        ..Wishes::default()
    };
    let mut following = Following::start_with(ends, &options, &wishes);
    following.wait_until("it followed", Following::is_following);
    ends.source.sql(sql).unwrap();
    following.wait_until(point.name(), |_| hold.is_held());
    following.kill();
    let mut following = Following::start(ends, &options);
    let what = format!("a kill at {} number {count}", point.name());
    wait_until_equal(ends, &mut following, &what);
    assert!(
        !following.err().contains("loaded again"),
        "{what}: {following:?}"
    );
    following.interrupt();
}

fn exchanged(from: Engine, to: Engine) {
    let ends = Ends::between(from, to, "rings");
    ends.source.sql(TABLES).unwrap();
    let mut following = Following::start(&ends, &["--follow", "--json"]);
    following.wait_until("it followed", Following::is_following);
    following.interrupt();
    let mut turn = 0;
    for point in [Point::DefinitionChanging, Point::DefinitionChanged] {
        for count in 1..=RENAMES {
            turn += 1;
            killed(&ends, point, count, &ring(from, turn));
        }
    }
    killed(&ends, Point::DefinitionChanging, 2, &replaced(from, "n1"));
    killed(&ends, Point::DefinitionChanged, 2, &replaced(from, "n2"));
    ends.run_well("forget", &[]);
}

macro_rules! pairs {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[test]
        fn $name() {
            exchanged(Engine::$from, Engine::$to);
        })*
    };
}

pairs! {
    names_in_a_ring_from_postgres_to_mariadb: Postgres18, Mariadb1011;
    names_in_a_ring_from_mysql_to_mysql: Mysql97, Mysql97;
    names_in_a_ring_from_mariadb_to_postgres: Mariadb1011, Postgres15;
}
