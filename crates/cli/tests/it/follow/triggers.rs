//! Triggers of a target that cannot be switched off.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

#[test]
fn triggers_are_told_once_however_many_calls_look_for_a_refused_row() {
    for engine in [Engine::Mysql97, Engine::Mariadb1011] {
        let ends = Ends::between(Engine::Postgres15, engine, "triggers");
        ends.source
            .sql("create table t (id int primary key, v int)")
            .unwrap();
        ends.run_well("migrate", &["--until-caught-up"]);
        ends.target
            .sql("create trigger marks before insert on t for each row set new.v = 7; insert into t values (170, 0)")
            .unwrap();
        ends.source
            .sql("insert into t select n, 0 from generate_series(1, 200) n")
            .unwrap();
        let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
        assert_eq!(said.exit_code, Some(4), "{said:?}");
        assert!(said.err.contains("key (170)"), "{said:?}");
        let told = said.err.matches("triggers of the target act").count();
        assert_eq!(told, 1, "{said:?}");
        ends.run_well("forget", &[]);
    }
}
