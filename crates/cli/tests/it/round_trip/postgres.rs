//! The built-in types of PostgreSQL.

use whimbrel_testkit::Engine;

use super::values::{
    bytes, clock, day_us, decimal, double, hex, int, json, single, text, uuid, zeros_and_ones,
};
use super::{Column, Form};
use crate::random::Random;

pub(super) const PREAMBLE: &str = "
    set timezone = 'UTC'; set client_min_messages = error;
    create type mood as enum ('sad', 'it''s \"ok\"', 'ünï, 𝄞');
    create domain positive as integer check (value > 0);
    create type pair as (a integer, b text);";

const PLAIN: Form = Form::Plain;
const TEXT: Form = Form::Text;
const MOMENT: Form = Form::Of(
    "to_char($, 'YYYY-MM-DD HH24:MI:SS.US')",
    "date_format($, '%Y-%m-%d %H:%i:%s.%f')",
);

const fn column(ty: &'static str, form: Form, value: fn(&mut Random, Engine) -> String) -> Column {
    Column { ty, value, form }
}

fn quoted(text: &str) -> String {
    format!("convert_from('\\x{}', 'UTF8')", hex(text.as_bytes()))
}

fn words(random: &mut Random) -> String {
    let text = text(random, 12, 60);
    quoted(&text)
}

/// One of these, where the target is PostgreSQL too, at times.
fn extreme(random: &mut Random, to: Engine, extremes: &[&'static str]) -> Option<&'static str> {
    (to.is_postgres() && random.one_in(3)).then(|| random.pick(extremes))
}

fn day(random: &mut Random, to: Engine) -> String {
    let extremes = [
        "infinity",
        "-infinity",
        "4713-01-01 BC",
        "5874897-12-31",
        "0001-02-29 BC",
    ];
    match extreme(random, to, &extremes) {
        Some(day) => format!("date '{day}'"),
        // 0001-01-01 to 9999-12-31.
        None => format!("date '2000-01-01' + ({})", int(random, -730_119, 2_921_939)),
    }
}

fn moment(random: &mut Random, to: Engine) -> String {
    let extremes = [
        "infinity",
        "-infinity",
        "4713-01-01 BC",
        "294276-12-31 23:59:59.999999",
        "0044-03-15 BC",
    ];
    match extreme(random, to, &extremes) {
        Some(moment) => format!("timestamp '{moment}'"),
        None => format!(
            "timestamp '2000-01-01' + ({}) * interval '1 day' + interval '{}'",
            int(random, -730_119, 2_921_939),
            clock(day_us(random))
        ),
    }
}

fn ends_of_range(random: &mut Random) -> (i128, i128) {
    let from = random.of(-1_000_000..=1_000_000);
    (from, from + random.of(0..=1000))
}

fn point(random: &mut Random) -> String {
    format!("point({}, {})", random.of(-99..=99), decimal(random, 3, 3))
}

/// Every type, the widest and the narrowest of its values, and random ones.
pub(super) fn columns() -> Vec<Column> {
    let mut columns = numbers();
    columns.extend(texts());
    columns.extend(times());
    columns.extend(others());
    columns.extend(shapes());
    columns.extend(multiranges());
    columns.extend(names_and_numbers());
    columns.extend(composed());
    columns
}

fn numbers() -> Vec<Column> {
    vec![
        column("boolean", Form::Of("$::int", "cast($ as char)"), |r, _| {
            r.pick(&["true", "false"]).to_owned()
        }),
        column("smallint", PLAIN, |r, _| int(r, -32768, 32767).to_string()),
        column("integer", PLAIN, |r, _| {
            int(r, i128::from(i32::MIN), i128::from(i32::MAX)).to_string()
        }),
        column("bigint", PLAIN, |r, _| {
            int(r, i128::from(i64::MIN), i128::from(i64::MAX)).to_string()
        }),
        column("oid", PLAIN, |r, _| {
            int(r, 0, i128::from(u32::MAX)).to_string()
        }),
        column(
            "numeric",
            Form::Of("$::numeric(65,30)::text", "cast($ as char)"),
            |r, to| match extreme(
                r,
                to,
                &[
                    "NaN",
                    "Infinity",
                    "-Infinity",
                    "1e131071",
                    "1e-16383",
                    "0.000",
                    "-0.10",
                ],
            ) {
                Some(number) => format!("numeric '{number}'"),
                None if to.is_postgres() => decimal(r, 400, 300),
                None => decimal(r, 34, 30),
            },
        ),
        column("numeric(12,2)", PLAIN, |r, _| decimal(r, 10, 2)),
        column("numeric(3,-2)", PLAIN, |r, _| {
            (int(r, -999, 999) * 100).to_string()
        }),
        column("real", Form::Float, |r, to| {
            match extreme(r, to, &["NaN", "Infinity", "-Infinity", "1e-45"]) {
                Some(number) => format!("real '{number}'"),
                None => format!("real '{}'", single(r, to)),
            }
        }),
        column("double precision", Form::Float, |r, to| {
            match extreme(r, to, &["NaN", "Infinity", "-Infinity"]) {
                Some(number) => format!("float8 '{number}'"),
                None => format!("float8 '{}'", double(r, to)),
            }
        }),
        column("money", TEXT, |r, _| {
            let cents = int(r, i128::from(i64::MIN) / 10 + 1, i128::from(i64::MAX) / 10);
            format!("({cents}::numeric / 100)::money")
        }),
    ]
}

fn texts() -> Vec<Column> {
    vec![
        column("\"char\"", TEXT, |r, _| {
            format!("'{}'::\"char\"", r.pick(&["", "x", "~", " "]))
        }),
        column("character(10)", TEXT, |r, _| quoted(&text(r, 10, 10))),
        column("character varying(20)", TEXT, |r, _| {
            quoted(&text(r, 20, 20))
        }),
        column("character varying", TEXT, |r, _| words(r)),
        column("text", TEXT, |r, _| match r.below(12) {
            0 => "repeat('𝄞 long ', 20000)".to_owned(),
            _ => words(r),
        }),
        column("name", TEXT, |r, _| quoted(&text(r, 15, 15))),
        column("bytea", Form::Bytes, |r, _| {
            format!("'\\x{}'::bytea", hex(&bytes(r, 300)))
        }),
        column("json", TEXT, |r, _| quoted(&json(r, 3)) + "::json"),
        column("jsonb", TEXT, |r, _| quoted(&json(r, 3)) + "::jsonb"),
        column("xml", TEXT, |r, _| {
            format!("'<a b=\"{}\">ö &amp; 𝄞</a>'::xml", r.bits())
        }),
        column(
            "bit(5)",
            Form::Of("$::text", "lpad(bin($ + 0), 5, '0')"),
            |r, _| format!("b'{}'", zeros_and_ones(r, 5)),
        ),
        column(
            "bit(64)",
            Form::Of("$::text", "lpad(bin($ + 0), 64, '0')"),
            |r, _| format!("b'{}'", zeros_and_ones(r, 64)),
        ),
        column("bit varying(9)", TEXT, |r, _| {
            format!("b'{}'", {
                let n = r.below(10);
                zeros_and_ones(r, n)
            })
        }),
        column("bit varying", TEXT, |r, _| {
            format!("b'{}'", {
                let n = r.below(200);
                zeros_and_ones(r, n)
            })
        }),
    ]
}

fn times() -> Vec<Column> {
    vec![
        column(
            "date",
            Form::Of("to_char($, 'YYYY-MM-DD')", "date_format($, '%Y-%m-%d')"),
            day,
        ),
        column(
            "time",
            Form::Of(
                "to_char($, 'HH24:MI:SS.US')",
                "time_format($, '%H:%i:%s.%f')",
            ),
            |r, _| match r.below(6) {
                0 => "time '24:00'".to_owned(),
                _ => format!("time '{}'", clock(day_us(r))),
            },
        ),
        column(
            "time(3)",
            Form::Of(
                "to_char($, 'HH24:MI:SS.US')",
                "time_format($, '%H:%i:%s.%f')",
            ),
            |r, _| format!("time '{}'", clock(day_us(r))),
        ),
        column("time with time zone", TEXT, |r, _| {
            let (hours, minutes) = (r.of(-15..=15), r.of(0..=59));
            format!("timetz '{}{hours:+03}:{minutes:02}'", clock(day_us(r)))
        }),
        column("timestamp", MOMENT, moment),
        // Half a millisecond less than the greatest would be rounded up to the year 10000.
        column("timestamp(3)", MOMENT, |r, to| {
            format!(
                "least(date_trunc('milliseconds', {}), '9999-12-31')",
                moment(r, to)
            )
        }),
        column(
            "timestamp with time zone",
            Form::Of(
                "to_char($ at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
                "date_format($, '%Y-%m-%d %H:%i:%s.%f')",
            ),
            |r, to| format!("({}) at time zone 'UTC'", moment(r, to)),
        ),
        column("interval", TEXT, |r, _| {
            let (months, days) = (
                int(r, -2_000_000_000, 2_000_000_000),
                int(r, i128::from(i32::MIN), i128::from(i32::MAX)),
            );
            let us = int(r, -9_000_000_000_000_000_000, 9_000_000_000_000_000_000);
            format!("interval '{months} months {days} days {us} microseconds'")
        }),
    ]
}

fn others() -> Vec<Column> {
    vec![
        column("uuid", PLAIN, |r, _| format!("uuid '{}'", uuid(r))),
        column(
            "inet",
            Form::Of(
                "encode(convert_to(abbrev($), 'UTF8'), 'hex')",
                "lower(hex($))",
            ),
            |r, _| match r.below(3) {
                0 => format!(
                    "inet '{:x}::{:x}/{}'",
                    r.below(65536),
                    r.below(65536),
                    r.below(129)
                ),
                1 => format!(
                    "inet '{}.{}.{}.{}'",
                    r.below(256),
                    r.below(256),
                    r.below(256),
                    r.below(256)
                ),
                _ => format!(
                    "inet '{}.{}.0.{}/{}'",
                    r.below(256),
                    r.below(256),
                    r.below(256),
                    r.below(33)
                ),
            },
        ),
        column("cidr", TEXT, |r, _| {
            format!(
                "set_masklen(inet '{}.{}.0.{}', {})::cidr",
                r.below(256),
                r.below(256),
                r.below(256),
                r.below(33)
            )
        }),
        column("macaddr", TEXT, |r, _| {
            format!("macaddr '{:012x}'", r.bits() >> 16)
        }),
        column("macaddr8", TEXT, |r, _| {
            format!("macaddr8 '{:016x}'", r.bits())
        }),
        column("pg_lsn", TEXT, |r, _| {
            format!("pg_lsn '{:X}/{:X}'", r.bits() >> 32, r.bits() >> 32)
        }),
        column("txid_snapshot", TEXT, |r, _| {
            let first = 1 + r.below(1000);
            format!("txid_snapshot '{first}:{}:{first}'", first + 9)
        }),
        column("cid", TEXT, |r, _| format!("cid '{}'", r.bits() >> 32)),
        column("int2vector", TEXT, |r, _| {
            format!("int2vector '1 {} {}'", r.of(-9..=9), r.below(32_768))
        }),
        column("oidvector", TEXT, |r, _| {
            format!("oidvector '23 {}'", r.bits() >> 32)
        }),
        column("refcursor", TEXT, |r, _| {
            format!("refcursor 'c_{}'", r.below(99))
        }),
        column("tsvector", TEXT, |r, _| {
            format!("setweight(to_tsvector('simple', {}), 'B')", words(r))
        }),
        column("tsquery", TEXT, |r, _| {
            format!("plainto_tsquery('simple', {})", words(r))
        }),
    ]
}

fn shapes() -> Vec<Column> {
    vec![
        column("point", TEXT, |r, _| point(r)),
        column("line", TEXT, |r, _| {
            format!("line '{{1,-{},{}}}'", r.below(9), r.below(9))
        }),
        column("lseg", TEXT, |r, _| {
            format!("lseg({}, {})", point(r), point(r))
        }),
        column("box", TEXT, |r, _| {
            format!("box({}, {})", point(r), point(r))
        }),
        column("path", TEXT, |r, _| {
            r.pick(&["path '[(0,0),(1.5,-1),(2,0)]'", "path '((0,0),(1,1e300))'"])
                .to_owned()
        }),
        column("polygon", TEXT, |r, _| {
            format!("polygon(box({}, {}))", point(r), point(r))
        }),
        column("circle", TEXT, |r, _| {
            format!("circle({}, {})", point(r), r.below(1000))
        }),
    ]
}

fn composed() -> Vec<Column> {
    vec![
        column("int4range", TEXT, |r, _| {
            let (from, to) = ends_of_range(r);
            r.pick(&["'empty'", "'(,)'", "'[3,)'"])
                .to_owned()
                .replace("'[3,)'", &format!("int4range({from}, {to}, '(]')"))
        }),
        column("int8range", TEXT, |r, _| {
            let (from, to) = ends_of_range(r);
            format!("int8range({from}, {to})")
        }),
        column("numrange", TEXT, |r, _| {
            let (from, to) = ends_of_range(r);
            format!("numrange({from} - 0.10, {to} + 0.250, '[]')")
        }),
        column("tsrange", TEXT, |r, to| {
            format!("tsrange({}, null)", moment(r, to))
        }),
        column("tstzrange", TEXT, |r, to| {
            format!(
                "tstzrange(null, ({}) at time zone 'UTC', '[]')",
                moment(r, to)
            )
        }),
        column("daterange", TEXT, |r, _| {
            format!(
                "daterange('2000-01-01', date '2000-01-02' + {})",
                r.below(1_000_000)
            )
        }),
        column("int4multirange", TEXT, |r, _| {
            let (from, to) = ends_of_range(r);
            format!("int4multirange(int4range({from}, {to}), int4range({to} + 5, {to} + 7))")
        }),
        column("integer[]", TEXT, |r, _| match r.below(5) {
            0 => "'{}'".to_owned(),
            1 => "'[2:3][-1:0]={{1,NULL},{-3,4}}'".to_owned(),
            _ => format!(
                "array[{}, null, {}]::int[]",
                int(r, -9, 9),
                int(r, i128::from(i32::MIN) + 1, i128::from(i32::MAX))
            ),
        }),
        column("text[]", TEXT, |r, _| {
            format!("array[[{}, null], ['NULL', {}]]", words(r), words(r))
        }),
        column("numeric(9,3)[]", TEXT, |r, _| {
            format!("array[{}, null]", decimal(r, 6, 3))
        }),
        column("jsonb[]", TEXT, |r, _| {
            format!("array[{}::jsonb]", quoted(&json(r, 2)))
        }),
        column("bytea[]", TEXT, |r, _| {
            format!("array['\\x{}'::bytea, null]", hex(&bytes(r, 20)))
        }),
        column("mood", TEXT, |r, _| {
            r.pick(&["'sad'", "'it''s \"ok\"'", "'ünï, 𝄞'"]).to_owned()
        }),
        column("positive", PLAIN, |r, _| {
            int(r, 1, i128::from(i32::MAX)).to_string()
        }),
        column("pair", TEXT, |r, _| {
            format!("row({}, {})::pair", int(r, -9, 9), words(r))
        }),
    ]
}

fn multiranges() -> Vec<Column> {
    vec![
        column("int8multirange", TEXT, |r, _| {
            let (from, to) = ends_of_range(r);
            format!("int8multirange(int8range({from}, {to}))")
        }),
        column("nummultirange", TEXT, |r, _| {
            let (from, to) = ends_of_range(r);
            format!("nummultirange(numrange({from}, {to} + 0.50), numrange({to} + 2, null))")
        }),
        column("tsmultirange", TEXT, |r, to| {
            format!("tsmultirange(tsrange({}, null))", moment(r, to))
        }),
        column("tstzmultirange", TEXT, |r, to| {
            let moment = moment(r, to);
            format!("tstzmultirange(tstzrange(null, ({moment}) at time zone 'UTC'))")
        }),
        column("datemultirange", TEXT, |r, _| {
            let days = r.below(1_000_000);
            format!("datemultirange(daterange('2000-01-01', date '2000-01-02' + {days}))")
        }),
    ]
}

/// Numbers of rows and transactions, and names of what every server has.
fn names_and_numbers() -> Vec<Column> {
    vec![
        column("jsonpath", TEXT, |r, _| {
            format!("'$.a[*] ? (@ > {})'::jsonpath", r.below(1000))
        }),
        column("pg_snapshot", TEXT, |r, _| {
            let first = 10 + r.below(1_000_000);
            format!("'{first}:{}:{}'::pg_snapshot", first + 9, first + 5)
        }),
        column("tid", TEXT, |r, _| {
            format!("'({},{})'::tid", r.below(1_000_000), 1 + r.below(200))
        }),
        column("xid", TEXT, |r, _| format!("'{}'::xid", r.bits() >> 32)),
        column("xid8", TEXT, |r, _| format!("'{}'::xid8", r.bits() >> 1)),
        column("regclass", TEXT, |_, _| "'pg_class'::regclass".to_owned()),
        column("regtype", TEXT, |_, _| "'integer'::regtype".to_owned()),
        column("regprocedure", TEXT, |_, _| {
            "'abs(integer)'::regprocedure".to_owned()
        }),
        column("regoperator", TEXT, |_, _| {
            "'+(integer,integer)'::regoperator".to_owned()
        }),
        column("regnamespace", TEXT, |_, _| {
            "'pg_catalog'::regnamespace".to_owned()
        }),
        column("regrole", TEXT, |_, _| "'pg_monitor'::regrole".to_owned()),
        column("regconfig", TEXT, |_, _| "'simple'::regconfig".to_owned()),
        column("regdictionary", TEXT, |_, _| {
            "'simple'::regdictionary".to_owned()
        }),
        column("regoper", TEXT, |_, _| {
            "'pg_catalog.||/'::regoper".to_owned()
        }),
        column("regproc", TEXT, |_, _| "'version'::regproc".to_owned()),
        column("regcollation", TEXT, |_, _| {
            "'\"C\"'::regcollation".to_owned()
        }),
    ]
}
