//! Foreign keys of a PostgreSQL target that act on what is applied.

use whimbrel_testkit::Engine;

use super::process::Following;
use crate::ends::{Ends, wait_until};

/// In the order of their names the table that refers comes first.
const TABLES: &str = "create table parents (id int primary key, v int); create table a_children (id int primary key, parent int, v int);
    create table staff (id int primary key, boss int)";

/// They act in a session that acts as a replica, too.
const REFER: &str = "
alter table a_children add constraint of_parent foreign key (parent) references parents on delete cascade;
alter table staff add constraint of_boss foreign key (boss) references staff on delete cascade;
do $$ declare t record; begin
  for t in select tgrelid::regclass as name, tgname from pg_trigger where tgconstraint > 0 loop
    execute format('alter table %s enable always trigger %I', t.name, t.tgname);
  end loop; end $$";

/// More than are applied one by one in any case.
const MANY: u32 = 60;

fn rows(from: u32, row: impl Fn(u32) -> String) -> String {
    let rows: Vec<String> = (from..from + MANY).map(row).collect();
    rows.join(", ")
}

/// Rows come with those that they refer to, and go to others before the first are deleted.
fn transactions() -> [String; 4] {
    [
        format!(
            "begin; insert into parents values {}; insert into a_children values {}; commit",
            rows(1, |id| format!("({id}, 0)")),
            rows(1, |id| format!("({id}, {id}, 0)"))
        ),
        format!(
            "begin; insert into staff values {}; insert into staff values {}; commit",
            rows(1, |id| format!("({id}, null)")),
            rows(1001, |id| format!("({id}, {})", id - 1000))
        ),
        format!(
            "begin; insert into parents values {}; update a_children set parent = parent + 1000; delete from parents where id < 1000; commit",
            rows(1001, |id| format!("({id}, 0)"))
        ),
        format!(
            "begin; insert into staff values {}; update staff set boss = boss + 2000 where id > 1000 and id < 2000; delete from staff where id < 1000; commit",
            rows(2001, |id| format!("({id}, null)"))
        ),
    ]
}

#[test]
fn changes_come_in_order_where_foreign_keys_act() {
    let ends = Ends::between(Engine::Mysql97, Engine::Postgres18, "acting_keys");
    ends.source.sql(TABLES).unwrap();
    let mut following = Following::start(&ends, &["--follow", "--json"]);
    following.wait_until_caught_up();
    following.interrupt();
    ends.target.sql(REFER).unwrap();
    let mut following = Following::start(&ends, &["--follow", "--json", "--resume"]);
    following.wait_until("it followed", Following::is_following);
    for sql in transactions() {
        ends.source.sql(&sql).unwrap();
        wait_until(|| ends.run("validate", &[]).exit_code == Some(0));
        assert!(!following.has_ended(), "{following:?}");
    }
    assert!(
        following.err().contains("in the order of the source"),
        "{following:?}"
    );
    following.check_nothing_left_out();
    following.interrupt();
    ends.run_well("forget", &[]);
}
