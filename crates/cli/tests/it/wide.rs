//! Rows that are too long for a block pass in parts: they arrive as they are, and one that is refused is named.

use whimbrel_testkit::{Engine, TestDatabase};

use crate::charsets::names_the_row;
use crate::ends::Ends;

/// So many times [`SOME`] is far more than a block.
const TIMES: usize = 100_000;
/// Characters of every length, and such that are escaped on the way.
const SOME: &str = "ü€😀\\\t\n";

/// A long text, as an expression of the server's SQL.
fn long_text(engine: Engine) -> String {
    let escaped = SOME
        .replace('\\', "\\\\")
        .replace('\t', "\\t")
        .replace('\n', "\\n");
    let prefix = if engine.is_postgres() { "E" } else { "" };
    format!("repeat({prefix}'{escaped}', {TIMES})")
}

/// A long document, which no server writes otherwise than it is given.
fn long_document() -> String {
    "concat('{\"a\":  \"', repeat('ü€😀', 100000), '\", \"b\": [1,2 ], \"b\": 1e400}')".to_owned()
}

/// What stands in a table of texts: their bytes, told by each server.
fn told(at: &TestDatabase, columns: &[&str]) -> String {
    let cells = columns.iter().map(|column| {
        if at.engine().is_postgres() {
            format!("encode(sha256(convert_to({column}::text, 'UTF8')), 'hex'), octet_length({column}::text)")
        } else {
            format!("sha2({column}, 256), length({column})")
        }
    });
    let cells = cells.collect::<Vec<_>>().join(", ");
    at.sql(&format!("select id, {cells} from t order by id"))
        .unwrap()
}

/// Loads, and nothing a second time: a row that was refused in parts would be tried whole.
fn moves_at_once(ends: &Ends) {
    let said = ends.run_well("migrate", &[]);
    assert!(!said.err.contains("loaded again"), "{said:?}");
}

/// Long texts beside short ones, an empty one and NULL, in columns of these types.
fn texts(from: Engine, to: Engine, types: &[&str], long: &[&str]) {
    let ends = Ends::between(from, to, "wide");
    let names: Vec<String> = (0..types.len()).map(|place| format!("c{place}")).collect();
    let columns = names.iter().zip(types);
    let columns: Vec<String> = columns.map(|(name, ty)| format!("{name} {ty}")).collect();
    let row = |id: usize| {
        let cells = long.iter().enumerate();
        let cells = cells.map(|(place, long)| match (id + place) % 4 {
            0 => "null".to_owned(),
            1 if !long.contains('{') => "''".to_owned(),
            _ => (*long).to_owned(),
        });
        format!("({id}, {})", cells.collect::<Vec<_>>().join(", "))
    };
    let rows: Vec<String> = (1..=5).map(row).collect();
    ends.source
        .sql(&format!(
            "create table t (id int primary key, {}); insert into t values {}",
            columns.join(", "),
            rows.join(", ")
        ))
        .unwrap();
    moves_at_once(&ends);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let arrived = told(&ends.target, &names);
    assert_eq!(arrived.lines().count(), 5);
    assert_eq!(arrived, told(&ends.source, &names), "{from} {to}");
}

#[test]
fn long_texts_arrive_in_parts_between_all_engines() {
    const MYSQL: &str = "longtext character set utf8mb4";
    for (from, to) in [
        (Engine::Mysql97, Engine::Postgres15),
        (Engine::Mariadb1011, Engine::Postgres18),
        (Engine::Mysql97, Engine::Mariadb1011),
        (Engine::Postgres15, Engine::Mysql97),
        (Engine::Postgres18, Engine::Mariadb1011),
    ] {
        let ty = if from.is_postgres() { "text" } else { MYSQL };
        let long = long_text(from);
        texts(from, to, &[ty, ty, ty], &[&long, &long, &long]);
    }
}

#[test]
fn long_documents_and_texts_of_other_types_arrive_in_parts() {
    let long = long_text(Engine::Postgres18);
    let xml = "xmlelement(name a, repeat('ü€😀', 100000))";
    let document = format!("{}::json", long_document());
    texts(
        Engine::Postgres18,
        Engine::Mariadb1011,
        &["varchar", "xml", "json", "text[]"],
        &[
            &long,
            xml,
            &document,
            "array_fill('ü€😀'::text, '{100000}')",
        ],
    );
    // Documents that are texts at both ends, in parts; in another form at the target, whole.
    let long = long_text(Engine::Mariadb1011);
    let document = long_document();
    for to in [Engine::Postgres15, Engine::Mariadb1011] {
        texts(
            Engine::Mariadb1011,
            to,
            &["json", "longtext character set utf8mb4"],
            &[&document, &long],
        );
    }
}

/// Geometries are byte strings, on their way and at PostgreSQL.
#[test]
fn long_geometries_arrive_in_parts() {
    for to in [Engine::Mariadb1011, Engine::Postgres15] {
        let ends = Ends::between(Engine::Mysql97, to, "wide_bytes");
        ends.source
            .sql(
                "create table t (id int primary key, g geometry, b longblob);
                 insert into t values (1, st_geomfromtext(concat('LINESTRING(', repeat('1 2,', 60000), '3 4)')), x'00'), (2, null, repeat(x'00ff5c090a', 400000)),
                     (3, st_geomfromtext('POINT(1 2)'), '')",
            )
            .unwrap();
        moves_at_once(&ends);
        let told = |at: &TestDatabase| {
            let cells = ["g", "b"].map(|column| {
                if at.engine().is_postgres() {
                    format!("encode(sha256({column}), 'hex'), length({column})")
                } else {
                    // The same bytes under another name, because these have functions of their own.
                    format!("sha2(cast({column} as binary), 256), length({column})")
                }
            });
            let sql = format!("select id, {} from t order by id", cells.join(", "));
            at.sql(&sql).unwrap()
        };
        assert_eq!(told(&ends.target), told(&ends.source), "{to}");
    }
}

/// A row in parts of which a cell is refused that comes behind its key or in front of it.
#[test]
fn a_row_in_parts_that_is_refused_is_named_by_its_key() {
    for target in [Engine::Mysql97, Engine::Mariadb1011] {
        let ends = Ends::between(Engine::Mysql97, target, "wide_refused");
        ends.source
            .sql(
                "create table t (id int primary key, b longblob, at datetime(6));
                 insert into t values (1, 'b', '2024-01-01'), (2, repeat('x', 2000000), '2024-01-01 00:00:00.5'), (3, 'b', '2024-01-01')",
            )
            .unwrap();
        ends.target
            .sql("create table t (id int primary key, b longblob, at datetime)")
            .unwrap();
        let said = ends.run("migrate", &["--prepare", "do-nothing"]);
        assert!(said.err.contains("loaded again in whole rows"), "{said:?}");
        names_the_row(&said, "(2)", "at", "fewer digits of fractional seconds");
        assert_eq!(ends.arrived("t"), 0);
    }
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres15, "wide_refused");
    ends.source
        .sql(
            "create table t (v longtext, id int primary key);
             insert into t values ('v', 1), (concat(repeat('x', 2000000), '\\0'), 2), ('v', 3)",
        )
        .unwrap();
    let said = ends.run("migrate", &[]);
    names_the_row(&said, "(2)", "v", "cannot hold the character NUL");
    assert_eq!(ends.arrived("t"), 0);
}
