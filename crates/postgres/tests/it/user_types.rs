//! Types that a database made itself are made at the target first.

use whimbrel_connector::{Error, RawFormat, TypeDefinition};
use whimbrel_core::ColumnType;
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair, all_tables, connector, load};

const SCRIPT: &str = r#"
    create schema "Odd ""one";
    create type "Odd ""one".mood as enum ('sad', 'o''k', 'happy "x"');
    create domain positive as integer not null check (value > 0) constraint small check (value < 1000);
    create domain posmood as "Odd ""one".mood default 'o''k';
    create type pair as (a integer, m "Odd ""one".mood, p numeric(5,2));
    create type outer_pair as (inner_pair pair, list positive[]);
    create domain ints as integer[] check (array_length(value, 1) < 9);
    create domain boxed as pair;
    create type floatspan as range (subtype = float8, subtype_diff = float8mi);
    create collation plain (provider = icu, locale = 'und');
    create domain shout as text collate plain check (value = upper(value));
    create table t (
        id integer primary key,
        mood "Odd ""one".mood,
        moods "Odd ""one".mood[],
        p positive,
        pm posmood,
        c pair,
        cs pair[],
        o outer_pair,
        span floatspan,
        spans floatspan_multirange,
        s shout,
        i ints,
        b boxed
    );
    insert into t values
        (1, 'o''k', '{sad,"happy \"x\"",NULL}', 5, 'sad', (1, 'sad', 2.5), array[(1, null, 1)::pair, null],
            ((7, 'happy "x"', 1), '{1,2}'), '[1.5,2)', '{[1,2),[5,9)}', 'ABC',
            '{1,2}', row(3, 'sad', 1.25));
    insert into t (id, p) values (2, 1);
"#;

#[tokio::test]
async fn enums_domains_composites_and_ranges_arrive() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "user_types");
            // Other object ids at the target: whatever carries one across would be wrong there.
            pair.target
                .sql("create type filler as enum ('x'); create table filler_table (f filler)")
                .unwrap();
            pair.source.sql(SCRIPT).unwrap();
            let loaded = pair.load(how).await.unwrap();
            assert_ne!(
                loaded[0].raw,
                Some(RawFormat::PgCopyBinary),
                "composites carry object ids"
            );
            pair.same_table("t");
            pair.same("select enum_range(null::\"Odd \"\"one\".mood)");
            let error = pair
                .target
                .sql("insert into t (id, p) values (9, -1)")
                .unwrap_err()
                .to_string();
            assert!(error.contains("positive"), "{error}");
        }
    }
}

#[tokio::test]
async fn types_are_made_once_and_loads_may_repeat() {
    let pair = Pair::on(Engine::Postgres15, "again");
    pair.source.sql(SCRIPT).unwrap();
    pair.load(How::RAW).await.unwrap();
    pair.load(How::RAW).await.unwrap();
    pair.same_table("t");
}

#[tokio::test]
async fn extensions_are_made_and_their_types_arrive() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "extensions");
            pair.source
                .sql(
                    "create schema ext; create extension hstore schema ext; create extension citext;
                     create table t (id int primary key, h ext.hstore, c citext, hs ext.hstore[], cube citext[]);
                     insert into t values (1, 'a=>1,b=>NULL,\"c d\"=>\"x\\\"y\"', 'MiXed', array['k=>v'::ext.hstore],
                        '{A,b}'), (2, null, null, null, null)",
                )
                .unwrap();
            pair.load(how).await.unwrap();
            pair.same_table("t");
        }
    }
}

#[tokio::test]
async fn collations_and_the_rest_of_a_type_arrive() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "collations");
        pair.source
            .sql(
                "create schema other;
                 create collation other.caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                 create collation plain (provider = libc, locale = 'C');
                 create domain word as text collate other.caseless;
                 create type part as (a text collate plain);
                 create type span as range (subtype = text, collation = plain, multirange_type_name = other.spans);
                 create type days as range (subtype = float8, subtype_diff = float8mi);
                 create table t (w word, p part, s span, m other.spans, x text collate other.caseless, c text collate \"C\", d days);
                 insert into t values ('A', row('b'), '[a,z)', '{[a,b)}', 'Z', 'c', '[1,2]')",
            )
            .unwrap();
        pair.load(How::RAW).await.unwrap();
        pair.same_table("t");
        pair.same("select w = 'a', x = 'z' from t; select collname, collprovider, collisdeterministic from pg_collation where oid >= 16384 order by 1");
        pair.same("select rngsubdiff::regproc, rngcollation::regcollation, rngmultitypid::regtype from pg_range where rngtypid >= 16384 order by 1, 2");
    }
}

#[tokio::test]
async fn an_enum_column_names_its_labels() {
    let pair = Pair::on(Engine::Postgres15, "labels");
    pair.source.sql(SCRIPT).unwrap();
    let tables = all_tables(&mut *pair.from.source().await.unwrap())
        .await
        .unwrap();
    let mood = tables[0]
        .columns
        .iter()
        .find(|column| column.name == "mood")
        .unwrap();
    let labels = ["sad", "o'k", "happy \"x\""].map(str::to_owned).to_vec();
    assert_eq!(mood.ty, ColumnType::Enum { labels });
    assert_eq!(mood.native, "\"Odd \"\"one\".mood");
}

#[tokio::test]
async fn tables_of_enums_alone_pass_through_as_binary() {
    let pair = Pair::on(Engine::Postgres15, "enum_raw");
    pair.source
        .sql("create type mood as enum ('sad', 'ok'); create table t as select 1 as id, 'ok'::mood as m")
        .unwrap();
    let loaded = pair.load(How::RAW).await.unwrap();
    assert_eq!(
        loaded[0].raw,
        Some(RawFormat::PgCopyBinary),
        "an enum travels as its label"
    );
    pair.same_table("t");
}

#[tokio::test]
async fn object_ids_that_mean_something_on_one_server_only_travel_by_name() {
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "names_of_objects");
            pair.target
                .sql("create table shifts_the_ids (id int)")
                .unwrap();
            pair.source
                .sql(
                    "create table a (id int); create table ids (c regclass, cs regclass[]); insert into ids values ('a', '{a,ids}');
                     create table acls as select relacl from pg_class where oid = 'pg_class'::regclass;
                     create table t (id int primary key, c regclass, cs regclass[], acl aclitem[], one aclitem, ns regnamespace);
                     insert into t values (1, 'a', '{a,t}', (select relacl from pg_class where oid = 'pg_class'::regclass),
                        (select relacl[1] from pg_class where oid = 'pg_class'::regclass), 'public')",
                )
                .unwrap();
            pair.load(how).await.unwrap();
            pair.same("select * from t; select * from ids; select * from acls");
        }
    }
}

#[tokio::test]
async fn rows_hidden_by_a_policy_are_an_error_and_not_left_out() {
    let pair = Pair::on(Engine::Postgres15, "policy");
    let role = format!("r_{}", pair.source.name());
    pair.source
        .sql(&format!(
            "create role {role} login password 'p'; create table t (id int); insert into t values (1), (2);
             alter table t enable row level security; create policy odd on t using (id = 1);
             grant select on t to {role}"
        ))
        .unwrap();
    let from = connector(&pair.source.url_as(&role, "p"));
    let error = load(&*from, &*pair.to, How::RAW).await.unwrap_err();
    assert!(matches!(&error, Error::Table(_)), "{error:?}");
    pair.source
        .sql(&format!("drop owned by {role}; drop role {role}"))
        .unwrap();
}

/// What a source says of `money`, for a target that counts it in so many of the smallest units. No other locale need be there for that.
fn counted_in(types: &[TypeDefinition], units: &str) -> Vec<TypeDefinition> {
    let count = |one: &TypeDefinition| TypeDefinition {
        name: one.name.clone(),
        sql: one.sql.replace("<> 100 ", &format!("<> {units} ")),
        is_demand: one.is_demand,
    };
    types.iter().map(count).collect()
}

#[tokio::test]
async fn money_that_counts_other_units_is_refused_where_a_table_has_some() {
    for (setup, has_money) in [
        ("create table t (id int, v money)", true),
        ("create table t (id int, v money[])", true),
        (
            "create domain price as money; create table t (id int, v price)",
            true,
        ),
        (
            "create type item as (name text, price money); create table t (id int, v item[])",
            true,
        ),
        ("create table t (id int, v numeric(9, 2))", false),
    ] {
        let pair = Pair::between(Engine::Postgres15, Engine::Postgres18, "money");
        pair.source.sql(setup).unwrap();
        let mut source = pair.from.source().await.unwrap();
        let mut target = pair.to.target().await.unwrap();
        let tables = all_tables(&mut *source).await.unwrap();
        let types = source.type_definitions(&tables).await.unwrap();
        let is_money = |one: &&TypeDefinition| one.name.starts_with("money of 2 digits");
        assert_eq!(
            types.iter().filter(is_money).count(),
            usize::from(has_money),
            "{types:?}"
        );
        assert_eq!(target.create_types(&types).await.unwrap(), []);
        let refused = target.create_types(&counted_in(&types, "1")).await;
        match refused {
            Ok(refused) => assert!(!has_money && refused.is_empty(), "{setup}"),
            Err(Error::Fatal(words)) => {
                assert!(has_money && words.contains("ALTER DATABASE"), "{words}");
            }
            Err(other) => panic!("{other}"),
        }
    }
}
