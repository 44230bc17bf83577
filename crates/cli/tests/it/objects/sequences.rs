//! Sequences that do not number a column by themselves.

use whimbrel_testkit::Engine;

use crate::ends::Ends;

/// A default that makes something of a number stays what it is.
#[test]
fn a_default_that_makes_something_of_a_number_is_kept() {
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "sequences");
    ends.source
        .sql(
            "create sequence inv; create sequence \"odd 'one\"; create sequence tens;
             create table t (id serial primary key, small smallserial, cast_one int default nextval('\"odd ''one\"')::int,
               invoice text default 'INV-' || nextval('inv'), tens bigint default nextval('tens') * 10);
             alter sequence inv owned by t.invoice; alter sequence \"odd 'one\" owned by t.cast_one; alter sequence tens owned by t.tens;
             insert into t default values; insert into t default values",
        )
        .unwrap();
    ends.run_well("migrate", &[]);
    let owned = "select pg_get_serial_sequence('t', c) from unnest(array['id', 'small', 'cast_one', 'invoice', 'tens']) c";
    for database in [&ends.source, &ends.target] {
        database.sql("insert into t default values").unwrap();
        let row = database.sql("select * from t where id = 3").unwrap();
        assert_eq!(row, "3\t3\t3\tINV-3\t30\n");
        assert_eq!(
            database.sql(owned).unwrap(),
            "public.t_id_seq\npublic.t_small_seq\npublic.\"odd 'one\"\npublic.inv\npublic.tens\n"
        );
    }
}

/// A schema may have nothing but a sequence.
#[test]
fn what_is_in_schemas_without_tables_is_made_or_listed() {
    let fixture = "create schema numbers; create sequence numbers.s start 5; select nextval('numbers.s'); create collation numbers.german (locale = 'C');
        create table t (id bigint primary key default nextval('numbers.s'))";
    let ends = Ends::between(Engine::Postgres15, Engine::Postgres15, "sequences_of");
    ends.source.sql(fixture).unwrap();
    let said = ends.run_well("migrate", &["--objects", "tables"]);
    let is_listed = |words: &str| said.out.contains(words);
    assert!(
        is_listed("not made: collation numbers.german: "),
        "{said:?}"
    );
    let given = "insert into t default values returning id";
    assert_eq!(ends.target.sql(given).unwrap(), "6\n");
    let across = Ends::between(Engine::Postgres15, Engine::Mariadb1011, "sequences_of");
    across.source.sql(fixture).unwrap();
    let said = across.run_well("migrate", &[]);
    let listed = "not made: sequence numbers.s: no table of its schema is migrated";
    assert!(said.out.contains(listed), "{said:?}");
}
