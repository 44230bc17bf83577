//! `docs/types.md` says what becomes of every type; this writes it from what the connectors plan, on real servers.

use std::fmt::Write;
use std::path::Path;

use whimbrel_connector::{Connector, KeyPolicy, Target};
use whimbrel_core::{Table, TableName};
use whimbrel_mysql::MysqlConnector;
use whimbrel_postgres::PostgresConnector;
use whimbrel_testkit::{Engine, Server, TestDatabase};

const POSTGRES: &[&str] = &[
    "boolean",
    "smallint",
    "integer",
    "bigint",
    "oid",
    "numeric",
    "numeric(12,2)",
    "numeric(3,-2)",
    "real",
    "double precision",
    "money",
    "\"char\"",
    "character(10)",
    "character varying(20)",
    "character varying",
    "text",
    "name",
    "bytea",
    "date",
    "time(3) without time zone",
    "time with time zone",
    "timestamp(3) without time zone",
    "timestamp with time zone",
    "interval",
    "uuid",
    "json",
    "jsonb",
    "xml",
    "bit(5)",
    "bit varying(9)",
    "bit varying",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "tsvector",
    "tsquery",
    "jsonpath",
    "pg_lsn",
    "pg_snapshot",
    "txid_snapshot",
    "tid",
    "xid",
    "xid8",
    "cid",
    "int2vector",
    "oidvector",
    "refcursor",
    "aclitem",
    "regclass",
    "regcollation",
    "regconfig",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
    "integer[]",
    "text[]",
    "mood",
    "positive",
    "pair",
];
const BOTH: &[&str] = &[
    "tinyint",
    "tinyint(1)",
    "tinyint unsigned",
    "smallint",
    "smallint unsigned",
    "mediumint",
    "mediumint unsigned",
    "int",
    "int unsigned",
    "bigint",
    "bigint unsigned",
    "decimal(10,2)",
    "decimal(65,30)",
    "float",
    "double",
    "bit(1)",
    "bit(64)",
    "char(10)",
    "varchar(100)",
    "tinytext",
    "text",
    "mediumtext",
    "longtext",
    "binary(8)",
    "varbinary(20)",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "date",
    "time(3)",
    "datetime",
    "datetime(6)",
    "timestamp(3) null",
    "year",
    "enum('a','b')",
    "set('a','b')",
    "json",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
];
const MYSQL_ONLY: &[&str] = &["vector(3)"];
const MARIADB_ONLY: &[&str] = &["uuid", "inet4", "inet6"];

const HEAD: &str = "# What becomes of each type

For each engine as a source: the type of the column that a load creates at each engine as a target. Values arrive exactly, or the row is
refused with an error that names the table, the key, the column and the kind of value; three things alone are kept in another form of the same value: the negative zero of floating point, which MariaDB
keeps as zero; white space and the order of names in documents, which MySQL's `json` and PostgreSQL's `jsonb` do not keep; and what MySQL's `json` holds beyond JSON, which leaves the server as text (decimals
become doubles, dates, times and bytes strings). Between two servers of one engine columns keep their exact types,
and columns that the source computes are computed at the target too; elsewhere these are left out, and a note says so.

Where a note stands below a table, a target's type does not hold every value of the source's, or holds it in another form. Types that only
PostgreSQL has (ranges, arrays, network addresses and so on) arrive elsewhere as the text that PostgreSQL itself writes for them, which reads back there.
Instants (`timestamp with time zone`, MySQL `timestamp`) are read in UTC.

This page is tested against the code: `WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-cli types_page` writes it anew.
";

fn connector(database: &TestDatabase) -> Box<dyn Connector> {
    let url = database.url();
    if database.engine().is_postgres() {
        Box::new(PostgresConnector::from_url(&url).unwrap())
    } else {
        Box::new(MysqlConnector::new(
            whimbrel_mysql::Options::from_url(&url).unwrap(),
        ))
    }
}

/// The tables of a database that has one for each type, in the order of the types.
async fn describe(engine: Engine, types: &[&str]) -> Vec<Table> {
    let database = Server::get(engine).unwrap().database("types").unwrap();
    let mut sql = String::new();
    if engine.is_postgres() {
        sql.push_str("create type mood as enum ('sad', 'happy'); create domain positive as integer check (value > 0); create type pair as (a integer, b text);\n");
    }
    for (index, ty) in types.iter().enumerate() {
        writeln!(sql, "create table t{index:03} (v {ty});").unwrap();
    }
    database.sql(&sql).unwrap();
    let schema = if engine.is_postgres() {
        "public".to_owned()
    } else {
        database.name().to_owned()
    };
    let is_ours = move |name: &TableName| name.schema == schema;
    let tables = connector(&database)
        .source()
        .await
        .unwrap()
        .tables(&is_ours)
        .await
        .unwrap();
    assert_eq!(tables.len(), types.len());
    tables
}

struct Targets {
    databases: Vec<TestDatabase>,
    targets: Vec<Box<dyn Target>>,
}

impl Targets {
    async fn connect() -> Self {
        let mut all = Self {
            databases: Vec::new(),
            targets: Vec::new(),
        };
        for engine in [Engine::Postgres18, Engine::Mysql97, Engine::Mariadb1011] {
            let database = Server::get(engine).unwrap().database("types").unwrap();
            all.targets
                .push(connector(&database).target().await.unwrap());
            all.databases.push(database);
        }
        all
    }

    /// A section of the page: a line for each type, and the notes below.
    fn section(&self, title: &str, types: &[&str], tables: &[Table]) -> String {
        let mut section = format!(
            "\n## From {title}\n\n| type | PostgreSQL | MySQL | MariaDB |\n|---|---|---|---|\n"
        );
        let mut notes = String::new();
        for (ty, table) in types.iter().zip(tables) {
            let mut cells = Vec::new();
            for target in &self.targets {
                let name = TableName::new("s", "t");
                let planned = target.plan_table(table, name, KeyPolicy::Best).unwrap();
                for note in planned.notes {
                    let note = note.strip_prefix("column v: ").unwrap_or(&note).to_owned();
                    writeln!(notes, "- `{ty}` to {}: {note}", target.engine()).unwrap();
                }
                cells.push(format!(
                    "`{}`",
                    planned.columns[0].native.replace('|', "\\|")
                ));
            }
            writeln!(section, "| `{ty}` | {} |", cells.join(" | ")).unwrap();
        }
        if !notes.is_empty() {
            section.push('\n');
            section.push_str(&notes);
        }
        section
    }
}

#[tokio::test]
async fn the_page_says_what_becomes_of_every_type() {
    let targets = Targets::connect().await;
    let mysql = [BOTH, MYSQL_ONLY].concat();
    let mariadb = [BOTH, MARIADB_ONLY].concat();
    let mut page = HEAD.to_owned();
    for (title, engine, types) in [
        ("PostgreSQL", Engine::Postgres18, POSTGRES),
        ("MySQL", Engine::Mysql97, mysql.as_slice()),
        ("MariaDB", Engine::Mariadb1011, mariadb.as_slice()),
    ] {
        page.push_str(&targets.section(title, types, &describe(engine, types).await));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/types.md");
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(path).unwrap() == page,
        "docs/types.md is out of date"
    );
}
