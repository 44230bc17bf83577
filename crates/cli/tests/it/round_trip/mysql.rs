//! The built-in types of MySQL and MariaDB.

use whimbrel_testkit::Engine;

use super::values::{
    bytes, clock, decimal, double, hex, int, json, single, text, uuid, zeros_and_ones,
};
use super::{Column, Form};
use crate::random::Random;

/// Dates that no calendar has are values here.
pub(super) const PREAMBLE: &str = "
    set sql_mode = 'STRICT_TRANS_TABLES,ALLOW_INVALID_DATES', time_zone = '+00:00';
    set names utf8mb4;";

const PLAIN: Form = Form::Plain;
const TEXT: Form = Form::Text;
const BYTES: Form = Form::Bytes;
const MOMENT: Form = Form::Of(
    "to_char($, 'YYYY-MM-DD HH24:MI:SS.US')",
    "date_format($, '%Y-%m-%d %H:%i:%s.%f')",
);
const CLOCK: Form = Form::Of(
    "to_char($, 'HH24:MI:SS.US')",
    // `time_format` writes no hours beyond 99 on MySQL, so it is asked for the fraction alone.
    "concat(if($ < 0, '-', ''), lpad(abs(time_to_sec($)) div 3600, 2, '0'), time_format($, ':%i:%s.%f'))",
);

const fn column(ty: &'static str, form: Form, value: fn(&mut Random, Engine) -> String) -> Column {
    Column { ty, value, form }
}

fn quoted(text: &str) -> String {
    format!("convert(x'{}' using utf8mb4)", hex(text.as_bytes()))
}

/// Text; with a zero character in it where the target can hold one.
fn words(random: &mut Random, to: Engine, chars_max: usize) -> String {
    let mut words = text(random, 12, chars_max);
    if !to.is_postgres() && random.one_in(4) && words.chars().count() < chars_max {
        words.push('\0');
    }
    quoted(&words)
}

fn blob(random: &mut Random, bytes_max: usize) -> String {
    format!("x'{}'", hex(&bytes(random, bytes_max)))
}

/// One of these, where the target is of the family too, at times.
fn extreme(random: &mut Random, to: Engine, extremes: &[&'static str]) -> Option<String> {
    (!to.is_postgres() && random.one_in(3)).then(|| format!("'{}'", random.pick(extremes)))
}

fn day(random: &mut Random, to: Engine) -> String {
    extreme(
        random,
        to,
        &[
            "0000-00-00",
            "2023-02-31",
            "2020-00-15",
            "2020-05-00",
            "0000-01-01",
        ],
    )
    .unwrap_or_else(|| {
        format!(
            "date_add('0001-01-01', interval {} day)",
            int(random, 0, 3_652_058)
        )
    })
}

fn moment(random: &mut Random, to: Engine) -> String {
    extreme(
        random,
        to,
        &[
            "0000-00-00 00:00:00",
            "2023-02-31 01:02:03",
            "2020-05-00 10:11:12",
        ],
    )
    .unwrap_or_else(|| {
        let day = int(random, 0, 3_652_058);
        let s = int(random, 0, 86_399);
        format!("date_add(date_add('0001-01-01', interval {day} day), interval {s} second)")
    })
}

fn moment_us(random: &mut Random, to: Engine) -> String {
    let us = int(random, 0, 999_999);
    match moment(random, to) {
        fixed if fixed.starts_with('\'') => fixed,
        moment => format!("date_add({moment}, interval {us} microsecond)"),
    }
}

fn duration(random: &mut Random, to: Engine) -> String {
    let us = if to.is_postgres() {
        int(random, 0, 86_400_000_000)
    } else {
        int(random, -3_020_399_000_000, 3_020_399_000_000)
    };
    format!("'{}'", clock(us))
}

/// Every type, the widest and the narrowest of its values, and random ones.
pub(super) fn columns(engine: Engine) -> Vec<Column> {
    let mut columns = numbers();
    columns.extend(texts());
    columns.extend(times());
    columns.extend(others());
    if engine == Engine::Mysql97 {
        columns.push(column("vector(3)", BYTES, |r, _| {
            format!(
                "to_vector('[{}, -0.5, {}]')",
                r.of(-9..=9),
                decimal(r, 3, 3)
            )
        }));
    } else {
        columns.push(column("uuid", PLAIN, |r, _| format!("'{}'", uuid(r))));
        columns.push(column(
            "inet4",
            Form::Of("host($)", "cast($ as char)"),
            |r, _| {
                format!(
                    "'{}.{}.{}.{}'",
                    r.below(256),
                    r.below(256),
                    r.below(256),
                    r.below(256)
                )
            },
        ));
        columns.push(column(
            "inet6",
            Form::Of("host($)", "cast($ as char)"),
            |r, _| {
                format!(
                    "'{:x}::{:x}:{:x}'",
                    1 + r.below(65535),
                    1 + r.below(65535),
                    r.below(65536)
                )
            },
        ));
    }
    if engine == Engine::Mariadb118 {
        columns.push(column("vector(3)", BYTES, |r, _| {
            format!(
                "vec_fromtext('[{}, -0.5, 0.{}]')",
                r.of(-9..=9),
                r.below(1000)
            )
        }));
    }
    columns
}

fn numbers() -> Vec<Column> {
    vec![
        column("tinyint", PLAIN, |r, _| int(r, -128, 127).to_string()),
        column("tinyint(1)", PLAIN, |r, _| int(r, -128, 127).to_string()),
        column("tinyint unsigned", PLAIN, |r, _| int(r, 0, 255).to_string()),
        column("smallint", PLAIN, |r, _| int(r, -32768, 32767).to_string()),
        column("smallint unsigned", PLAIN, |r, _| {
            int(r, 0, 65535).to_string()
        }),
        column("mediumint", PLAIN, |r, _| {
            int(r, -8_388_608, 8_388_607).to_string()
        }),
        column("mediumint unsigned", PLAIN, |r, _| {
            int(r, 0, 16_777_215).to_string()
        }),
        column("int", PLAIN, |r, _| {
            int(r, i128::from(i32::MIN), i128::from(i32::MAX)).to_string()
        }),
        column("int unsigned", PLAIN, |r, _| {
            int(r, 0, i128::from(u32::MAX)).to_string()
        }),
        column("bigint", PLAIN, |r, _| {
            int(r, i128::from(i64::MIN), i128::from(i64::MAX)).to_string()
        }),
        column("bigint unsigned", PLAIN, |r, _| {
            int(r, 0, i128::from(u64::MAX)).to_string()
        }),
        column("decimal(10,2)", PLAIN, |r, _| decimal(r, 8, 2)),
        column("decimal(65,30)", PLAIN, |r, _| decimal(r, 35, 30)),
        column("decimal(65,0)", PLAIN, |r, _| decimal(r, 65, 0)),
        column("float", Form::Float, single),
        column("double", Form::Float, double),
        column("bit(1)", Form::Of("$::text", "bin($ + 0)"), |r, _| {
            format!("b'{}'", zeros_and_ones(r, 1))
        }),
        column(
            "bit(64)",
            Form::Of("$::text", "lpad(bin($ + 0), 64, '0')"),
            |r, _| format!("b'{}'", zeros_and_ones(r, 64)),
        ),
        // The year 0000 is a number like the others elsewhere.
        column(
            "year",
            Form::Of("$::text", "cast($ + 0 as char)"),
            |r, _| match r.below(9) {
                0 => "0".to_owned(),
                _ => int(r, 1901, 2155).to_string(),
            },
        ),
    ]
}

fn texts() -> Vec<Column> {
    vec![
        column("char(10) character set utf8mb4", TEXT, |r, to| {
            words(r, to, 10)
        }),
        column("varchar(60) character set utf8mb4", TEXT, |r, to| {
            words(r, to, 60)
        }),
        column("varchar(60) character set latin1", TEXT, |r, _| {
            quoted(r.pick(&["", "é€ÿ", "a\tb\\", "\\N", "Straße \u{1}", " x "]))
        }),
        column("varchar(60) character set ucs2", TEXT, |r, _| {
            quoted(r.pick(&["", "мир", "\u{feff}a", "カタ", "\u{1}"]))
        }),
        column("tinytext character set utf8mb4", TEXT, |r, to| {
            words(r, to, 60)
        }),
        column("text character set utf8mb4", TEXT, |r, to| words(r, to, 60)),
        column("mediumtext character set utf8mb4", TEXT, |r, to| {
            words(r, to, 60)
        }),
        column("longtext character set utf8mb4", TEXT, |r, to| {
            match r.below(12) {
                0 => "repeat('𝄞 long ', 20000)".to_owned(),
                _ => words(r, to, 60),
            }
        }),
        column(
            "enum('a','b''c','d,e','x\\\\y','','2','ü')",
            TEXT,
            |r, _| {
                r.pick(&["'a'", "'b''c'", "'d,e'", "'x\\\\y'", "''", "'2'", "'ü'"])
                    .to_owned()
            },
        ),
        column("set('p','q r','ä','it''s')", TEXT, |r, _| {
            r.below(16).to_string()
        }),
        column("json", TEXT, |r, _| quoted(&json(r, 3))),
    ]
}

fn times() -> Vec<Column> {
    vec![
        column(
            "date",
            Form::Of("to_char($, 'YYYY-MM-DD')", "date_format($, '%Y-%m-%d')"),
            day,
        ),
        column("time", CLOCK, |r, to| {
            duration(r, to).split('.').next().unwrap().to_owned() + "'"
        }),
        column("time(6)", CLOCK, duration),
        column("datetime", MOMENT, moment),
        column("datetime(6)", MOMENT, moment_us),
        column(
            "timestamp(6) null",
            Form::Of(
                "to_char($ at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
                "date_format($, '%Y-%m-%d %H:%i:%s.%f')",
            ),
            |r, _| {
                let (s, us) = (int(r, 1, i128::from(i32::MAX)), int(r, 0, 999_999));
                format!(
                    "date_add(date_add('1970-01-01', interval {s} second), interval {us} microsecond)"
                )
            },
        ),
    ]
}

fn others() -> Vec<Column> {
    vec![
        column("binary(8)", BYTES, |r, _| blob(r, 8)),
        column("varbinary(300)", BYTES, |r, _| blob(r, 300)),
        column("tinyblob", BYTES, |r, _| blob(r, 255)),
        column("blob", BYTES, |r, _| blob(r, 300)),
        column("mediumblob", BYTES, |r, _| blob(r, 300)),
        column("longblob", BYTES, |r, _| match r.below(12) {
            0 => "repeat(x'005c0a', 50000)".to_owned(),
            _ => blob(r, 300),
        }),
        column("geometry", BYTES, |r, _| {
            format!(
                "st_geomfromtext('LINESTRING({} 0, 1.5 {}, 2 3)', {})",
                r.of(-9..=9),
                r.of(-9..=9),
                r.pick(&["0", "4326"])
            )
        }),
        column("point", BYTES, |r, _| {
            format!("point({}, {})", r.of(-99..=99), decimal(r, 3, 3))
        }),
        column("linestring", BYTES, |r, _| {
            format!("st_geomfromtext('LINESTRING(0 {}, 2 3)')", r.of(-99..=99))
        }),
        column("polygon", BYTES, |r, _| {
            format!(
                "st_geomfromtext('POLYGON((0 0,{0} 0,{0} {0},0 0))')",
                1 + r.below(99)
            )
        }),
        column("multipoint", BYTES, |r, _| {
            format!("st_geomfromtext('MULTIPOINT(1 1,{} 2)')", r.of(-99..=99))
        }),
        column("multilinestring", BYTES, |r, _| {
            format!(
                "st_geomfromtext('MULTILINESTRING((0 0,1 {}),(2 2,3 3))')",
                r.of(-99..=99)
            )
        }),
        column("multipolygon", BYTES, |r, _| {
            format!(
                "st_geomfromtext('MULTIPOLYGON(((0 0,{0} 0,{0} {0},0 0)))')",
                1 + r.below(99)
            )
        }),
        column("geometrycollection", BYTES, |r, _| {
            format!(
                "st_geomfromtext('GEOMETRYCOLLECTION(POINT(1 {}),LINESTRING(0 0,1 1))')",
                r.of(-99..=99)
            )
        }),
    ]
}
