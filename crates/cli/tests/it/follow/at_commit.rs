//! Constraints of a PostgreSQL target that wait for the commit, where they act on what is applied.

use whimbrel_testkit::Engine;

use super::process::Following;
use crate::ends::Ends;

/// Rows of `c` refer to rows of `p`, which shows at a commit, also in a session that acts as a replica.
const REFER: &str = "
alter table c add constraint refers foreign key (p) references p deferrable initially deferred;
do $$ declare name text; begin
  for name in select tgname from pg_trigger where tgrelid = 'c'::regclass loop
    execute format('alter table c enable always trigger %I', name);
  end loop; end $$";

/// Nothing is left out by default: the task ends with the change that is at fault, or, of a transaction that is too large to look for it, with what the target says.
#[test]
fn a_change_that_is_refused_at_the_commit_ends_the_task_with_its_name() {
    let ends = Ends::between(Engine::Mysql97, Engine::Postgres18, "at_commit");
    ends.source
        .sql("create table p (id int primary key); create table c (id int primary key, p int); insert into p values (1)")
        .unwrap();
    let options = ["--follow", "--json"];
    let again = ["--follow", "--json", "--resume"];
    let mut following = Following::start(&ends, &options);
    following.wait_until_caught_up();
    let many: Vec<String> = (100..400).map(|id| format!("({id}, 1)")).collect();
    let whole = "begin; insert into c values (1, 2); insert into p values (2); insert into c values (7, 99); commit";
    let large = format!("insert into c values {}, (9, 99)", many.join(", "));
    for (sql, key) in [(whole, "key (7)"), (&large, "key (99)")] {
        ends.target.sql(REFER).unwrap();
        ends.source.sql(sql).unwrap();
        let said = following.end();
        assert_eq!(said.exit_code, Some(4), "{said:?}");
        for word in ["refers", ".c", key, "at the commit"] {
            assert!(said.err.contains(word), "{word}: {said:?}");
        }
        let wrong = "c where p = 99";
        assert_eq!(ends.arrived(wrong), 0);
        ends.target
            .sql("alter table c drop constraint refers")
            .unwrap();
        following = Following::start(&ends, &again);
        following.wait_until("the rest is there", |_| ends.arrived(wrong) == 1);
        ends.source.sql("delete from c where p = 99").unwrap();
        following.wait_until("and goes again", |_| ends.arrived(wrong) == 0);
    }
    following.check_nothing_left_out();
    following.interrupt();
    ends.run_well("validate", &[]);
    ends.run_well("forget", &[]);
}
