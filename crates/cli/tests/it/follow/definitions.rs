//! Definitions that change while they are followed, between real servers.

use std::time::{Duration, Instant};

use whimbrel_testkit::Engine;

use super::process::Following;
use crate::ends::Ends;

/// Far more than any step takes.
const PATIENCE: Duration = Duration::from_mins(3);

const LOOK_EVERY: Duration = Duration::from_millis(200);

const TABLES: &str = "create table a (id int primary key, name varchar(20), gone int);
    create table b (id int primary key, v varchar(20));
    create table c (id int primary key, v varchar(20));
    create table r (id int primary key, v varchar(20));
    insert into a values (1, 'one', 1), (2, 'two', 2); insert into r values (1, 'r1');
    insert into b values (1, 'b1'); insert into c values (1, 'c1')";

/// Each with rows before and behind it. What takes a reload stands beside what is done in place.
const STEPS: [&str; 14] = [
    "insert into a values (3, 'three', 3); alter table a add column note varchar(30); insert into a (id, name, gone, note) values (4, 'four', 4, 'new')",
    "alter table r rename column v to w",
    "update a set note = 'late' where id = 1; alter table a drop column gone; insert into a (id, name, note) values (5, 'five', null)",
    "alter table a rename column name to title; insert into a (id, title, note) values (6, 'six', 'x'); delete from a where id = 2",
    "insert into b values (2, 'b2'); alter table b add column filled int default 7; insert into b (id, v) values (3, 'b3'); update b set v = 'B1' where id = 1",
    "create table d (id int primary key, v varchar(20)); insert into d values (1, 'd1'); insert into d values (2, 'd2')",
    "update d set v = 'D1' where id = 1; insert into a (id, title) values (7, 'seven')",
    "insert into c values (2, 'c2'); alter table c rename to e; insert into e values (3, 'e3'); update e set v = 'E1' where id = 1",
    "insert into d values (3, 'd3'); drop table d; insert into a (id, title) values (8, 'eight')",
    "truncate table b; insert into b (id, v, filled) values (9, 'b9', 1)",
    "create table d (id int primary key, other date); insert into d values (1, '2024-02-29')",
    "alter table e add column note varchar(9); update e set note = 'n' where id = 3",
    "insert into d values (2, null); insert into a (id, title) values (9, 'nine')",
    // Other columns, and keys that both have.
    "create table q (id int primary key, v varchar(20)); insert into q values (1, 'q1'), (2, 'q2')",
];

/// Two tables exchange their names in one transaction.
fn exchange(from: Engine) -> &'static str {
    if from.is_postgres() {
        "begin; alter table q rename to x; alter table d rename to q; alter table x rename to d; insert into d values (9, 'now'); commit;
         update d set v = 'D2' where id = 2; insert into q values (9, null)"
    } else {
        "rename table q to x, d to q, x to d; insert into d values (9, 'now'); update d set v = 'D2' where id = 2; insert into q values (9, null)"
    }
}

fn tables(ends: &Ends, is_source: bool) -> Vec<String> {
    let database = if is_source {
        &ends.source
    } else {
        &ends.target
    };
    let schema = if database.engine().is_postgres() {
        "public".to_owned()
    } else {
        database.name().to_owned()
    };
    let sql = format!(
        "select table_name from information_schema.tables where table_schema = '{schema}' and table_name not like 'awsdms%'"
    );
    let mut names: Vec<String> = database
        .sql(&sql)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    names.sort();
    names
}

/// Equal tables with equal rows.
fn is_equal(ends: &Ends) -> bool {
    tables(ends, true) == tables(ends, false) && ends.run("validate", &[]).exit_code == Some(0)
}

pub(super) fn wait_until_equal(ends: &Ends, following: &mut Following, after: &str) {
    let began = Instant::now();
    while !is_equal(ends) {
        let is_late = began.elapsed() > PATIENCE;
        if is_late || following.has_ended() {
            let names = (tables(ends, true), tables(ends, false));
            let said = ends.run("validate", &[]);
            panic!("not equal after {after}\n{names:?}\n{said:?}\n{following:?}");
        }
        // What asks takes time from what is waited for.
        std::thread::sleep(LOOK_EVERY);
    }
}

fn followed(from: Engine, to: Engine, options: &[&str]) {
    let ends = Ends::between(from, to, "definitions");
    ends.source.sql(TABLES).unwrap();
    let options = [&["--follow", "--json"], options].concat();
    let mut following = Following::start(&ends, &options);
    following.wait_until("it followed", Following::is_following);
    for step in STEPS {
        ends.source.sql(step).unwrap();
        if step.contains("alter") || step.contains("drop") {
            wait_until_equal(&ends, &mut following, step);
        }
    }
    wait_until_equal(&ends, &mut following, "the end");
    for _ in 0..2 {
        ends.source.sql(exchange(from)).unwrap();
        wait_until_equal(&ends, &mut following, exchange(from));
        ends.source.sql("alter table q rename to y; alter table d rename to q; alter table y rename to d; delete from d where id = 9; delete from q where id = 9").unwrap();
        wait_until_equal(&ends, &mut following, "they exchange their names again");
    }
    if from.is_postgres() {
        // The type stays, the rows do not.
        let rewrite = "alter table e alter column v type varchar(20) using upper(v) || '!'; insert into e values (60, 'six', null)";
        ends.source.sql(rewrite).unwrap();
        wait_until_equal(&ends, &mut following, rewrite);
    } else {
        let partition = "create table p (id int primary key) partition by range (id) (partition low values less than (10), partition high values less than (20));
            insert into p values (1), (11); alter table p drop partition low; insert into p values (12)";
        ends.source.sql(partition).unwrap();
        wait_until_equal(&ends, &mut following, partition);
        let exchange = "create table x (id int primary key); insert into x values (15), (16); alter table p exchange partition high with table x;
            insert into x values (1)";
        ends.source.sql(exchange).unwrap();
        wait_until_equal(&ends, &mut following, exchange);
        let swap = "create table _b_new (id int primary key, v varchar(20), filled int, more date); insert into _b_new (id, v) select id, v from b;
            rename table b to _b_old, _b_new to b; insert into b (id, v) values (70, 'seventy')";
        ends.source.sql(swap).unwrap();
        wait_until_equal(&ends, &mut following, swap);
    }
    following.interrupt();

    // All at once, while nobody looks.
    ends.source
        .sql("insert into a (id, title) values (20, 'x'); alter table a add column more int; insert into a (id, title, more) values (21, 'y', 1);
              alter table a rename column more to most; insert into a (id, title, most) values (22, 'z', 2); alter table a drop column note;
              create table f (id int primary key); insert into f values (1); alter table e rename to g; insert into g values (50, 'g', null); drop table d")
        .unwrap();
    let options = [&options[..], &["--resume"]].concat();
    let mut following = Following::start(&ends, &options);
    following.wait_until("it followed", Following::is_following);
    wait_until_equal(&ends, &mut following, "what was done while it rested");
    following.interrupt();
    ends.run_well("forget", &[]);
}

macro_rules! pairs {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[test]
        fn $name() {
            followed(Engine::$from, Engine::$to, &[]);
        })*
    };
}

pairs! {
    definitions_from_postgres_to_postgres: Postgres15, Postgres18;
    definitions_from_postgres_to_mariadb: Postgres18, Mariadb1011;
    definitions_from_mysql_to_postgres: Mysql97, Postgres15;
    definitions_from_mariadb_to_postgres: Mariadb1011, Postgres18;
    definitions_from_mariadb_to_mysql: Mariadb1011, Mysql97;
    definitions_from_mysql_to_mysql: Mysql97, Mysql97;
}

/// Without a superuser nobody makes event triggers: the rows tell what their table is.
#[test]
fn definitions_are_seen_without_event_triggers_too() {
    let mut ends = Ends::between(Engine::Postgres15, Engine::Postgres18, "no_triggers");
    let role = format!("r_{}", ends.source.name());
    let make = |table: &str| {
        format!(
            "create table {table} (id int primary key, v varchar(20)); alter table {table} owner to {role}"
        )
    };
    ends.source
        .sql(&format!(
            "create role {role} login replication password 'a-password'; grant create on database {} to {role}; grant create on schema public to {role};
             {}; {}; insert into a values (1, 'one'); insert into b values (1, 'b1')",
            ends.source.name(),
            make("a"),
            make("b")
        ))
        .unwrap();
    let (scheme, rest) = ends.source_url.split_once("://").unwrap();
    let (_, server) = rest.split_once('@').unwrap();
    ends.source_url = format!("{scheme}://{role}:a-password@{server}");
    let mut following = Following::start(&ends, &["--follow", "--json"]);
    following.wait_until("it followed", Following::is_following);
    for step in [
        "insert into a values (2, 'two'); alter table a add column note varchar(9); update a set note = 'n' where id = 1",
        "alter table a rename column v to w; insert into a values (3, 'three', null)",
        "alter table a add column filled int default 5; insert into a (id) values (4)",
        "alter table a drop column note; update a set w = 'last' where id = 4",
    ] {
        ends.source.sql(step).unwrap();
        wait_until_equal(&ends, &mut following, step);
    }
    // Of a new table the catalog tells.
    let new = format!("{}; insert into c values (1, 'new')", make("c"));
    ends.source.sql(&new).unwrap();
    following.wait_until("the new table arrived", |_| ends.arrived("c") == 1);
    ends.source
        .sql("update c set v = 'newer'; insert into c values (2, null)")
        .unwrap();
    wait_until_equal(&ends, &mut following, "a table was made");
    let again = format!(
        "drop table b; {}; insert into b values (5, 'again')",
        make("b")
    );
    ends.source.sql(&again).unwrap();
    wait_until_equal(
        &ends,
        &mut following,
        "a table was made anew while it was followed",
    );
    let turned = format!(
        "alter table c rename to c_old; {}; insert into c values (1, 'turned'); update c_old set v = 'kept' where id = 1",
        make("c")
    );
    ends.source.sql(&turned).unwrap();
    wait_until_equal(&ends, &mut following, "a table took another one's name");
    following.interrupt();
    ends.source
        .sql(&format!(
            "drop table b; {}; insert into b values (7, 'another'); insert into a (id) values (9)",
            make("b")
        ))
        .unwrap();
    let mut following = Following::start(&ends, &["--follow", "--json", "--resume"]);
    following.wait_until("it followed", Following::is_following);
    wait_until_equal(&ends, &mut following, "a table was made anew");
    following.interrupt();
    ends.run_well("forget", &[]);
    let left = format!("drop owned by {role}; drop role {role}");
    ends.source.sql(&left).unwrap();
}

/// Columns of one type that change their names or places while nobody follows: rows before and behind are read each with the columns of their
/// place in the log, or the table is loaded again.
fn swapped(from: Engine, to: Engine) {
    let ends = Ends::between(from, to, "swapped");
    let table = |name: &str| {
        format!(
            "create table {name} (id int primary key, a int, b int); insert into {name} values (1, 10, 100)"
        )
    };
    for name in ["names", "places", "twice", "unsaid"] {
        ends.source.sql(&table(name)).unwrap();
    }
    let mut following = Following::start(&ends, &["--follow", "--json"]);
    following.wait_until_caught_up();
    following.interrupt();
    let insert = |name: &str, id: u32| format!("insert into {name} values ({id}, {id}0, {id}00)");
    for (name, alter) in [
        (
            "names",
            "alter table names rename column a to b, rename column b to a",
        ),
        ("places", "alter table places modify column a int after b"),
        (
            "twice",
            "alter table twice modify column a int after b; insert into twice values (9, 900, 90); alter table twice modify column a int after id",
        ),
        (
            "unsaid",
            "set sql_log_bin = 0; alter table unsaid modify column a int after b; set sql_log_bin = 1",
        ),
    ] {
        let sql = format!("{}; {alter}; {}", insert(name, 2), insert(name, 3));
        ends.source.sql(&sql).unwrap();
    }
    let mut following = Following::start(&ends, &["--follow", "--json", "--resume"]);
    following.wait_until_caught_up();
    wait_until_equal(&ends, &mut following, "columns were swapped");
    for name in ["names", "places", "twice", "unsaid"] {
        ends.source.sql(&insert(name, 4)).unwrap();
    }
    wait_until_equal(&ends, &mut following, "all was loaded");
    following.interrupt();
    ends.run_well("forget", &[]);
}

#[test]
fn columns_that_are_swapped_while_nobody_follows_keep_their_values_from_mysql() {
    swapped(Engine::Mysql97, Engine::Postgres18);
}

#[test]
fn columns_that_are_swapped_while_nobody_follows_keep_their_values_from_mariadb() {
    swapped(Engine::Mariadb1011, Engine::Mysql97);
}

/// MariaDB logs nothing of what a foreign key does to rows that refer to one that goes.
#[test]
fn a_table_that_gets_an_acting_key_is_in_error_and_the_others_go_on() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "acting");
    ends.source
        .sql(
            "create table p (id int primary key); create table c (id int primary key, p int);
             insert into p values (1), (2); insert into c values (10, 1), (20, 2)",
        )
        .unwrap();
    let options = ["--follow", "--json", "--objects", "tables"];
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    ends.source
        .sql(
            "alter table c add constraint acting foreign key (p) references p (id) on delete cascade;
             delete from p where id = 1; insert into p values (3)",
        )
        .unwrap();
    following.wait_until("the other table goes on", |_| {
        ends.target
            .sql("select string_agg(id::text, ' ' order by id) from p")
            .unwrap()
            == "2 3\n"
    });
    let name = format!("{}.c", ends.source.name());
    following.wait_until("the table is in error", |it| {
        let is_in_error = |event: &serde_json::Value| {
            event["event"] == "table"
                && event["table"] == name.as_str()
                && event["state"] == "error"
                && event.to_string().contains("does not write those changes")
        };
        it.events().iter().any(is_in_error)
    });
    following.interrupt();
    ends.run_well("forget", &[]);
}

/// What the words of a statement hide from who does not read its texts as the server does is read from the rows.
#[test]
fn columns_that_are_renamed_behind_an_odd_text_keep_their_values() {
    for engine in [Engine::Mysql97, Engine::Mariadb1011] {
        let ends = Ends::between(engine, Engine::Postgres15, "odd_text");
        ends.source
            .sql("create table t (id int primary key, a int, b int, d int); insert into t values (1, 2, 3, 4)")
            .unwrap();
        let mut following = Following::start(&ends, &["--follow", "--json"]);
        following.wait_until_caught_up();
        ends.source
            .sql(
                r#"alter table t modify a int comment "5\" disk", rename column b to c, modify d int comment "3\" disk"; insert into t values (2, 3, 4, 5);
                   set sql_mode = 'NO_BACKSLASH_ESCAPES'; alter table t modify a int comment 'C:\', rename column d to e; insert into t values (3, 4, 5, 6)"#,
            )
            .unwrap();
        wait_until_equal(&ends, &mut following, "the columns have other names");
        let rows = ends
            .target
            .sql("select id, a, c, e from t order by id")
            .unwrap();
        assert_eq!(rows.lines().next(), Some("1\t2\t3\t4"), "{engine}");
        following.interrupt();
        ends.run_well("forget", &[]);
    }
}

/// The drop of the target's table, which its reload begins with, is refused while a foreign key points to it: the table is in error, the others go on,
/// and once nobody refers to it any more it is loaded.
#[test]
fn a_table_that_others_refer_to_is_in_error_and_the_others_go_on() {
    let referring = "alter table c add constraint refers foreign key (a) references a";
    let theirs = "create table theirs (a int references a); insert into theirs values (1)";
    for (refer, release, is_within) in [
        (referring, "alter table c drop constraint refers", true),
        (theirs, "drop table theirs", false),
    ] {
        let ends = Ends::between(Engine::Postgres18, Engine::Postgres15, "referred");
        ends.source
            .sql(
                "create table a (id int primary key, v text); create table c (id int primary key, a int);
                 insert into a values (1, 'one'), (2, 'two')",
            )
            .unwrap();
        let options = ["--follow", "--json", "--objects", "tables"];
        let mut following = Following::start(&ends, &options);
        following.wait_until_caught_up();
        ends.target.sql(refer).unwrap();
        let (begin, commit) = if is_within {
            ("begin;", "; commit")
        } else {
            ("", "")
        };
        ends.source
            .sql(&format!(
                "{begin} insert into c values (1, 1); update a set v = 'changed' where id = 1; alter table a alter column v type text using v || '!';
                 insert into a values (3, 'behind'); insert into c values (2, 2); update a set v = 'again' where id = 2 {commit}; insert into c values (3, 1)"
            ))
            .unwrap();
        following.wait_until("the other table goes on", |_| ends.arrived("c") == 3);
        following.wait_until("the table is in error", |it| {
            let is_in_error = |event: &serde_json::Value| {
                event["event"] == "table"
                    && event["table"] == "public.a"
                    && event["state"] == "error"
            };
            it.events().iter().any(is_in_error)
        });
        // Its rows are those of before the definition changed.
        let rows = ends.target.sql("select v from a order by id").unwrap();
        assert_eq!(rows, "changed\ntwo\n");
        following.interrupt();
        ends.source
            .sql("insert into a values (4, 'four'); insert into c values (4, 4)")
            .unwrap();
        ends.target.sql(release).unwrap();
        let mut following = Following::start(&ends, &[&options[..], &["--resume"]].concat());
        following.wait_until("it followed", Following::is_following);
        wait_until_equal(&ends, &mut following, "nobody refers to it any more");
        following.interrupt();
        ends.run_well("forget", &[]);
    }
}

/// The user of the target may not keep foreign keys from acting, so that changes of a table would be refused whose rows refer to one that waits for its
/// load: the task ends before, with the remedy, and no row is left out.
#[test]
fn a_table_that_others_refer_to_does_not_stand_still_where_foreign_keys_act() {
    let mut ends = Ends::between(Engine::Postgres18, Engine::Postgres15, "acting");
    let user = format!("{}_plain", ends.target.name());
    ends.target
        .sql(&format!(
            "create role {user} login password 'a-password'; grant create on schema public to {user};
             do $$ begin execute format('grant create on database %I to {user}', current_database()); end $$"
        ))
        .unwrap();
    ends.target_url = ends.target.url_as(&user, "a-password");
    ends.source
        .sql(
            "create table a (id int primary key, v text); create table c (id int primary key, a int);
             insert into a values (1, 'one'), (2, 'two')",
        )
        .unwrap();
    let options = ["--follow", "--json", "--objects", "tables"];
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    let refer = "alter table c add constraint refers foreign key (a) references a";
    ends.target.sql(refer).unwrap();
    ends.source
        .sql(
            "insert into c values (1, 1); alter table a alter column v type text using v || '!';
             insert into a values (3, 'behind'); insert into c values (2, 3)",
        )
        .unwrap();
    let said = following.end();
    assert_eq!(said.exit_code, Some(4), "{said:?}");
    for word in ["refers", "public.c", "cannot make way", "public.a"] {
        assert!(said.err.contains(word), "{said:?}");
    }
    assert_eq!(ends.arrived("c"), 1);
    ends.target
        .sql("alter table c drop constraint refers")
        .unwrap();
    let mut following = Following::start(&ends, &[&options[..], &["--resume"]].concat());
    wait_until_equal(&ends, &mut following, "nobody refers to it any more");
    following.check_nothing_left_out();
    following.interrupt();
    ends.run_well("forget", &[]);
    ends.target
        .sql(&format!("drop owned by {user} cascade; drop role {user}"))
        .unwrap();
}
