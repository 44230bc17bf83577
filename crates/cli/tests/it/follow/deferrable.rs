//! Primary keys that several rows may have for a while.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

const SHIFTED: [(&str, u32); 2] = [("few", 10), ("many", 100)];

/// The log tells 1 → 2 before 2 → 3: whoever follows these rows by their key takes one for the other.
#[test]
fn a_table_whose_primary_key_becomes_deferrable_is_in_error_and_no_row_is_taken_for_another() {
    for (from, to) in [
        (Engine::Postgres15, Engine::Postgres18),
        (Engine::Postgres18, Engine::Postgres15),
    ] {
        let ends = Ends::between(from, to, "deferrable");
        ends.source
            .sql("create table good (id int primary key)")
            .unwrap();
        for (table, rows) in SHIFTED {
            ends.source
                .sql(&format!(
                    "create table {table} (id int primary key, v text); alter table {table} replica identity full;
                     insert into {table} select n, 'row ' || n from generate_series(1, {rows}) n"
                ))
                .unwrap();
        }
        ends.run_well("migrate", &["--until-caught-up"]);
        for (table, _) in SHIFTED {
            ends.source
                .sql(&format!(
                    "alter table {table} drop constraint {table}_pkey, add primary key (id) deferrable; update {table} set id = id + 1"
                ))
                .unwrap();
        }
        ends.source.sql("insert into good values (1)").unwrap();
        let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        assert_eq!(ends.arrived("good"), 1, "{said:?}");
        for (table, rows) in SHIFTED {
            let remedy = "REPLICA IDENTITY FULL: several rows";
            assert!(said.err.contains(remedy), "{table}: {said:?}");
            let as_loaded = format!("{table} where v = 'row ' || id");
            assert_eq!(ends.arrived(&as_loaded), u64::from(rows), "{said:?}");
        }
        ends.run("forget", &[]);
    }
}

#[test]
fn a_table_with_a_deferrable_primary_key_is_refused_before_anything_starts() {
    let ends = Ends::between(Engine::Postgres18, Engine::Postgres15, "late");
    ends.source
        .sql("create table late (id int primary key deferrable, v text); insert into late values (1, 'a'), (2, 'b')")
        .unwrap();
    for sql in ["select 1", "alter table late replica identity full"] {
        ends.source.sql(sql).unwrap();
        let said = ends.run("migrate", &["--follow"]);
        assert_ne!(said.exit_code, Some(0), "{said:?}");
        assert!(said.err.contains("one that is not DEFERRABLE"), "{said:?}");
        assert!(
            said.err.contains("REPLICA IDENTITY USING INDEX"),
            "{said:?}"
        );
    }
    ends.source
        .sql("alter table late drop constraint late_pkey, add primary key (id)")
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up"]);
    ends.source
        .sql("update late set id = -id; update late set id = 3 + id")
        .unwrap();
    ends.run_well("migrate", &["--until-caught-up", "--resume"]);
    ends.run_well("validate", &[]);
    ends.run_well("forget", &[]);
}
