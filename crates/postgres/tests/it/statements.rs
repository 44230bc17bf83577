//! A bound on the rows of a statement holds on every way that rows travel.

use whimbrel_connector::{PrepareMode, RawFormat};
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair};

/// The server tells of each statement how many rows it had.
const TARGET: &str = "
    create table statements (rows bigint);
    create function note() returns trigger language plpgsql as
      $$ begin insert into public.statements select count(*) from new_rows; return null; end $$;
    create trigger note after insert on t referencing new table as new_rows for each statement execute function note();
    alter table t enable always trigger note;";

/// Rows of a type that travels as COPY BINARY, and of one that does as text.
const TYPES: [(&str, RawFormat); 2] = [
    ("text", RawFormat::PgCopyBinary),
    ("pair", RawFormat::PgCopyText),
];

fn pair(engine: Engine, ty: &str) -> Pair {
    let pair = Pair::on(engine, "statements");
    let table = format!("create type pair as (a int, b text); create table t (id int, v {ty});");
    pair.source
        .sql(&format!(
            "{table} insert into t select i, cast('(' || i || ',x)' as {ty}) from generate_series(1, 1000) i"
        ))
        .unwrap();
    pair.target.sql(&format!("{table} {TARGET}")).unwrap();
    pair
}

/// Loads the rows, and answers how many statements there were and the most rows of one.
async fn statements(pair: &Pair, how: How, raw: Option<RawFormat>) -> String {
    pair.target.sql("truncate t, statements").unwrap();
    let how = how.mode(PrepareMode::DoNothing);
    let loaded = pair.load(how).await.unwrap();
    assert_eq!(loaded[0].raw, raw);
    pair.same("select id, v::text from t order by id");
    let told = "select count(*), sum(rows), max(rows) from statements";
    pair.target.sql(told).unwrap()
}

#[tokio::test]
async fn a_statement_has_no_more_rows_than_it_may() {
    for engine in ENGINES {
        for (ty, format) in TYPES {
            let pair = pair(engine, ty);
            for how in [How::RAW, How::DECODED] {
                let raw = how.is_raw.then_some(format);
                // Blocks of a few rows, and one that has all.
                for (block_bytes, rows_max) in [(300, 7), (300, 100), (1 << 20, 7), (1 << 20, 1000)]
                {
                    let how = How {
                        block_bytes,
                        statement_rows_max: Some(rows_max),
                        ..how
                    };
                    let count = 1000_u32.div_ceil(rows_max);
                    let told = statements(&pair, how, raw).await;
                    assert_eq!(
                        told,
                        format!("{count}\t1000\t{rows_max}\n"),
                        "{engine} {ty} {how:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn without_a_bound_a_chunk_is_one_statement() {
    let pair = pair(Engine::Postgres15, "text");
    for (how, raw) in [
        (How::RAW, Some(RawFormat::PgCopyBinary)),
        (How::DECODED, None),
    ] {
        assert_eq!(statements(&pair, how, raw).await, "1\t1000\t1000\n");
    }
}

/// The table is emptied and its rows are frozen by the transaction that loads them, statement after statement.
#[tokio::test]
async fn a_bound_holds_where_rows_are_frozen() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(Engine::Postgres18, "frozen");
        pair.source
            .sql(
                "create table t (id int primary key); insert into t select generate_series(1, 100)",
            )
            .unwrap();
        let how = How {
            statement_rows_max: Some(9),
            ..how
        };
        pair.load(how).await.unwrap();
        pair.same_table("t");
    }
}

/// Long rows among short ones, as a source hands them over that keeps none of them whole.
fn long_rows(engine: Engine, ty: &str) -> Pair {
    let pair = pair(engine, ty);
    pair.source
        .sql(&format!(
            "truncate t; insert into t
             select i, cast('(' || i || ',' || repeat(chr(97 + i % 26), 1 + i * i % 5000) || ')' as {ty}) from generate_series(1, 300) i"
        ))
        .unwrap();
    pair
}

#[tokio::test]
async fn rows_in_parts_arrive_whole_and_no_statement_ends_within_one() {
    for engine in ENGINES {
        for (ty, format) in TYPES {
            let pair = long_rows(engine, ty);
            for (block_bytes, rows_max) in [(16, 7), (100, 1), (300, 7), (300, 300), (5000, 299)] {
                let how = How {
                    block_bytes,
                    statement_rows_max: Some(rows_max),
                    ..How::RAW
                };
                let count = 300_u32.div_ceil(rows_max);
                let told = statements(&pair, how, Some(format)).await;
                let expected = format!("{count}\t300\t{rows_max}\n");
                assert_eq!(told, expected, "{engine} {ty} {how:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_among_rows_in_parts_is_told_and_leaves_nothing() {
    for (ty, _) in TYPES {
        let pair = long_rows(Engine::Postgres15, ty);
        let how = How {
            block_bytes: 100,
            ..How::RAW
        };
        let how = how.mode(PrepareMode::DoNothing);
        pair.target
            .sql("alter table t add constraint short check (length(v::text) < 4000)")
            .unwrap();
        let error = pair.load(how).await.unwrap_err().to_string();
        assert!(error.contains("short"), "{error}");
        assert_eq!(pair.target.sql("select count(*) from t").unwrap(), "0\n");
        pair.target
            .sql("alter table t drop constraint short")
            .unwrap();
        pair.load(how).await.unwrap();
        pair.same("select id, v::text from t order by id");
    }
}
