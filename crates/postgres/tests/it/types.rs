//! Every built-in type arrives exactly, undecoded and decoded.

use std::fmt::Write as _;

use whimbrel_core::ColumnType;
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, Pair, all_tables};

/// A type and values of it, as SQL expressions that a cast to the type follows.
pub(crate) const CASES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["0", "-32768", "32767"]),
    ("integer", &["0", "-2147483648", "2147483647"]),
    (
        "bigint",
        &["0", "-9223372036854775808", "9223372036854775807"],
    ),
    (
        "real",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "1.1754944e-38",
            "3.4028235e38",
        ],
    ),
    (
        "double precision",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "'-0'",
            "5e-324",
            "0.1",
        ],
    ),
    (
        "numeric",
        &[
            "'NaN'",
            "'Infinity'",
            "'-Infinity'",
            "0",
            "0.000",
            "-1",
            "1e-16383",
            "1e131071",
            "123456789012345678901234567890.123456789012345678901234567890",
            "10000",
            "99990000.00010000",
            "-0.00000001",
            "1.50",
        ],
    ),
    ("numeric(12,2)", &["0", "-9999999999.99", "'NaN'"]),
    ("numeric(3,-2)", &["99900", "-100"]),
    ("numeric(2,5)", &["0.00099"]),
    ("money", &["'-92233720368547758.08'", "'1.23'"]),
    (
        "text",
        &[
            "''",
            "'Ö𝄞€'",
            "E'\\\\N'",
            "E'tab\\tline\\nreturn\\rback\\\\slash'",
            "repeat('x', 300000)",
        ],
    ),
    ("varchar", &["''", "'a '"]),
    ("varchar(5)", &["'abcde'", "'𝄞𝄞𝄞𝄞𝄞'", "'a  '"]),
    ("char(5)", &["'a'", "''", "'abcde'"]),
    ("\"char\"", &["'x'", "''"]),
    ("name", &["'a name'"]),
    (
        "bytea",
        &[
            "''",
            "'\\x00'",
            "'\\x000102feff5c27'",
            "decode(repeat('00ff', 100000), 'hex')",
        ],
    ),
    (
        "date",
        &[
            "'2000-01-01'",
            "'4713-01-01 BC'",
            "'5874897-12-31'",
            "'infinity'",
            "'-infinity'",
            "'0001-12-31 BC'",
        ],
    ),
    ("time", &["'00:00'", "'24:00'", "'23:59:59.999999'"]),
    ("time(3)", &["'12:34:56.789'"]),
    (
        "timetz",
        &[
            "'00:00+15:59:59'",
            "'24:00-15:59:59'",
            "'12:00:00.000001+05:30'",
        ],
    ),
    (
        "timestamp",
        &[
            "'2000-01-01'",
            "'4713-01-01 BC'",
            "'294276-12-31 23:59:59.999999'",
            "'infinity'",
            "'-infinity'",
        ],
    ),
    ("timestamp(0)", &["'1999-12-31 23:59:59'"]),
    (
        "timestamptz",
        &[
            "'2000-01-01 00:00+05'",
            "'294276-12-31 23:59:59.999999Z'",
            "'infinity'",
            "'-infinity'",
            "'0044-03-15 BC'",
        ],
    ),
    (
        "interval",
        &[
            "'0'",
            "'-13 mons +3 days -00:00:01.5'",
            "'178000000 years'",
            "'1 day -24:00:00'",
            "'-2147483648 days'",
        ],
    ),
    ("interval day to second(3)", &["'1 02:03:04.567'"]),
    (
        "uuid",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
        ],
    ),
    (
        "json",
        &["'{\"b\": 1,  \"a\": [1.0, null]}'", "'\"𝄞\"'", "'1e5'"],
    ),
    (
        "jsonb",
        &["'{\"b\": 1,  \"a\": [1.0, null]}'", "'\"𝄞\"'", "'1e5'"],
    ),
    ("jsonpath", &["'$.a[*] ? (@ > 1)'"]),
    ("xml", &["'<a b=\"1\">Ö</a>'"]),
    ("bit(1)", &["'0'", "'1'"]),
    ("bit(9)", &["'101010101'"]),
    ("bit varying", &["''", "'1'", "repeat('10', 500)"]),
    ("bit varying(7)", &["'1010'"]),
    (
        "inet",
        &[
            "'10.0.0.1'",
            "'10.0.0.1/8'",
            "'::1'",
            "'2001:db8::1/64'",
            "'0.0.0.0/0'",
        ],
    ),
    ("cidr", &["'10.0.0.0/8'", "'2001:db8::/32'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("point", &["'(1.5,-2)'", "'(NaN,Infinity)'"]),
    ("line", &["'{1,-1,0}'"]),
    ("lseg", &["'[(0,0),(1,1)]'"]),
    ("box", &["'(1,1),(0,0)'"]),
    ("path", &["'[(0,0),(1,1),(2,0)]'", "'((0,0),(1,1))'"]),
    ("polygon", &["'((0,0),(1,1),(2,0))'"]),
    ("circle", &["'<(0,0),2.5>'"]),
    ("tsvector", &["'''a'':1A fat:2B,4C cat:5D'", "''"]),
    ("tsquery", &["'fat & (rat | !cat:*A)'"]),
    ("int4range", &["'empty'", "'[1,5)'", "'(,)'", "'[3,)'"]),
    ("numrange", &["'(1.10,2.200]'"]),
    ("tsrange", &["'[2000-01-01 00:00,infinity]'"]),
    ("tstzrange", &["'[2000-01-01 00:00Z,)'"]),
    ("daterange", &["'[2000-01-01,2001-01-01)'"]),
    ("int8multirange", &["'{}'", "'{[1,3),[5,9)}'"]),
    (
        "integer[]",
        &["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,4}}'", "'[2:3]={7,8}'"],
    ),
    (
        "text[]",
        &[
            "'{\"a,b\",\"\",NULL,\"NULL\",\"q\\\"uote\\\\\"}'",
            "array['𝄞']",
        ],
    ),
    ("numeric(6,3)[]", &["'{1.5,NaN,NULL}'"]),
    (
        "timestamptz[]",
        &["'{infinity,2000-01-01 00:00:00.000001Z}'"],
    ),
    ("jsonb[]", &["array['{\"a\": \"x,y\"}'::jsonb]"]),
    ("bytea[]", &["array['\\x00ff'::bytea]"]),
    ("oid", &["0", "4294967295"]),
    ("xid", &["'4294967295'"]),
    ("xid8", &["'18446744073709551615'"]),
    ("cid", &["'7'"]),
    ("tid", &["'(4294967295,65535)'"]),
    ("pg_lsn", &["'FFFFFFFF/FFFFFFFF'", "'0/0'"]),
    ("pg_snapshot", &["'10:20:10,14,15'"]),
    ("txid_snapshot", &["'10:20:10,14,15'"]),
    ("refcursor", &["'a cursor'"]),
    ("regtype", &["'integer'"]),
    ("oidvector", &["'1 2 3'"]),
    ("int2vector", &["'1 2'"]),
];

pub(crate) fn table_name(index: usize) -> String {
    format!("t{index}")
}

/// A table per type: without a key, its rows numbered, with NULL as the last value.
fn create_script() -> String {
    create_script_with("")
}

/// The same, with further constraints in each table.
pub(crate) fn create_script_with(constraints: &str) -> String {
    let mut script = String::new();
    for (index, (ty, values)) in CASES.iter().enumerate() {
        let table = table_name(index);
        writeln!(
            script,
            "create table {table} (n integer not null, v {ty}{constraints});"
        )
        .unwrap();
        for (n, value) in values.iter().enumerate() {
            // The inner cast settles numbers; the outer one gives the column's own modifiers.
            writeln!(
                script,
                "insert into {table} values ({n}, {});",
                cast(value, ty)
            )
            .unwrap();
        }
        writeln!(
            script,
            "insert into {table} values ({}, null);",
            values.len()
        )
        .unwrap();
    }
    script
}

pub(crate) fn cast(value: &str, ty: &str) -> String {
    if value.starts_with('-') {
        format!("('{value}')::{ty}")
    } else {
        format!("({value})::{ty}")
    }
}

async fn every_type_arrives(from: Engine, to: Engine, how: How) {
    let pair = Pair::between(from, to, "types");
    pair.source.sql(&create_script()).unwrap();
    let loaded = pair.load(how).await.unwrap();
    assert_eq!(loaded.len(), CASES.len());
    let tables: Vec<String> = (0..CASES.len()).map(table_name).collect();
    pair.same_tables(&tables);
    for (index, (ty, values)) in CASES.iter().enumerate() {
        let table = loaded
            .iter()
            .find(|table| table.target.name.name == table_name(index));
        assert_eq!(
            table.map(|table| table.row_count),
            Some(values.len() as u64 + 1),
            "{ty}"
        );
    }
    if how.is_raw {
        assert!(loaded.iter().all(|table| table.raw.is_some()));
    }
}

#[tokio::test]
async fn every_type_arrives_undecoded() {
    for engine in ENGINES {
        every_type_arrives(engine, engine, How::RAW).await;
    }
}

#[tokio::test]
async fn every_type_arrives_decoded() {
    for engine in ENGINES {
        every_type_arrives(engine, engine, How::DECODED).await;
    }
}

#[tokio::test]
async fn every_type_arrives_on_another_version() {
    every_type_arrives(Engine::Postgres15, Engine::Postgres18, How::RAW).await;
    every_type_arrives(Engine::Postgres18, Engine::Postgres15, How::RAW).await;
    every_type_arrives(Engine::Postgres15, Engine::Postgres18, How::DECODED).await;
}

#[tokio::test]
async fn infinite_intervals_arrive_between_servers_that_have_them() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(Engine::Postgres18, "interval");
        pair.source
            .sql("create table t as select v::interval from (values ('infinity'), ('-infinity'), ('1 mon')) as x (v)")
            .unwrap();
        pair.load(how).await.unwrap();
        pair.same_table("t");
    }
}

/// A table of every common type with random values; the seed is printed.
fn random_script(seed: f64) -> String {
    format!(
        "select setseed({seed});
         create table r as select i as id,
            (random() * 4e9 - 2e9)::bigint::integer as i4,
            ((random() - 0.5) * 1.8e19)::numeric(20, 0)::bigint as i8,
            (random()::numeric * power(10::numeric, (random() * 60 - 30)::int))
                * (case when random() < 0.5 then -1 else 1 end) as n,
            round((random() * 1e12)::numeric, (random() * 9)::int) as scaled,
            (random() * 1e6)::real as f4,
            ((random() - 0.5) * power(10::float8, (random() * 600 - 300)::int)) as f8,
            date '2000-01-01' + (random() * 4000000 - 2000000)::int as d,
            timestamp '2000-01-01' + make_interval(secs => random() * 1e10 - 5e9) as ts,
            timestamptz '2000-01-01 00:00Z' + make_interval(secs => random() * 1e10 - 5e9) as tz,
            time '00:00' + make_interval(secs => random() * 86399) as tm,
            make_interval(months => (random() * 900 - 450)::int, days => (random() * 900 - 450)::int,
                secs => random() * 1e6 - 5e5) as iv,
            decode(md5(random()::text), 'hex') as b,
            case when random() < 0.2 then null else repeat(chr((random() * 900 + 33)::int), (random() * 40)::int) end as s,
            md5(random()::text)::uuid as u,
            jsonb_build_object('k', random(), 'l', md5(random()::text)) as j,
            (random() * 1e9)::bigint::bit(37) as bits,
            array[random()::numeric(12, 5), null] as a,
            random() < 0.5 as flag
         from generate_series(1, 3000) as i;
         alter table r add primary key (id);"
    )
}

#[tokio::test]
async fn random_rows_arrive_exactly() {
    let seed = f64::from(u32::try_from(whimbrel_testkit::seed() % 1_000_000).unwrap()) / 1e6;
    for engine in ENGINES {
        for how in [How::RAW, How::DECODED] {
            let pair = Pair::on(engine, "random");
            pair.source.sql(&random_script(seed)).unwrap();
            pair.load(how.chunk_bytes(64 << 10)).await.unwrap();
            pair.same_table("r");
        }
    }
}

#[tokio::test]
async fn common_types_have_their_own_column_type() {
    let pair = Pair::on(Engine::Postgres15, "columns");
    pair.source
        .sql(
            "create table t (a smallint, b bigint, c numeric(9,3), d numeric, e varchar(7), f text, g bytea,
                h timestamptz(3), i timestamp, j jsonb, k json, l uuid, m bit(3), n varbit, o inet, p integer[],
                q char(3), r boolean, s real, t interval, u time(0), v date)",
        )
        .unwrap();
    let tables = all_tables(&mut *pair.from.source().await.unwrap())
        .await
        .unwrap();
    let types: Vec<_> = tables[0]
        .columns
        .iter()
        .map(|column| column.ty.clone())
        .collect();
    let native = |kind: &str| ColumnType::Native {
        kind: kind.to_owned(),
    };
    let decimal = |precision| ColumnType::Decimal {
        precision,
        unsigned: false,
    };
    let int = |bits| ColumnType::Int {
        bits,
        unsigned: false,
    };
    let expected = [
        int(16),
        int(64),
        decimal(Some((9, 3))),
        decimal(None),
        ColumnType::Varchar { length: Some(7) },
        ColumnType::Text { bytes_max: None },
        ColumnType::Blob { bytes_max: None },
        ColumnType::TimestampTz { precision: 3 },
        ColumnType::Timestamp { precision: 6 },
        ColumnType::Json { binary: true },
        ColumnType::Json { binary: false },
        ColumnType::Uuid,
        ColumnType::Bit {
            length: Some(3),
            varying: false,
        },
        ColumnType::Bit {
            length: None,
            varying: true,
        },
        native("inet"),
        native("integer[]"),
        ColumnType::Char { length: 3 },
        ColumnType::Bool,
        ColumnType::Float32,
        ColumnType::Interval,
        ColumnType::Time { precision: 0 },
        ColumnType::Date,
    ];
    assert_eq!(types, expected);
}
