//! Every built-in type, from end to end: the servers themselves say whether what arrived is what left.

use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, PAIRS, Pair};

/// Tables with every type that both flavours have, each with a key `id` up to 99.
pub(crate) const COMMON: &str = r#"
set sql_mode = 'ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO';
create table numbers (
  id int auto_increment primary key, t1 tinyint, t1u tinyint unsigned, b1 tinyint(1), s2 smallint, s2u smallint unsigned,
  m3 mediumint, m3u mediumint unsigned, i4 int, i4u int(5) unsigned zerofill, i8 bigint, i8u bigint unsigned,
  d0 decimal(5,0), d1 decimal(65,30), d2 decimal(10,10) unsigned, f float, f2 float(7,4), d double, du double unsigned);
insert into numbers values
  (0, -128, 0, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0,
   -99999, -99999999999999999999999999999999999.999999999999999999999999999999, 0, -3.4028234e38, -999.9999, -1.7976931348623157e308, 0),
  (1, 127, 255, 1, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807, 18446744073709551615,
   99999, 99999999999999999999999999999999999.999999999999999999999999999999, 0.9999999999, 3.4028234e38, 1.2345, 1.7976931348623157e308, 5e-324),
  (2, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0.000000000000000000000000000001, 0.5, 1.4e-45, 0.1, 0.1, 2.2250738585072014e-308),
  (4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.1, 16777.217, 0.30000000000000004, 1e22),
  (5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16777217, 0, -0.0, 9007199254740993);
create table times (
  id int primary key, d date, t0 time, t6 time(6), dt0 datetime, dt3 datetime(3), dt6 datetime(6),
  ts0 timestamp null, ts6 timestamp(6) null, y year);
insert into times values
  (1, '0000-00-00', '-838:59:59', '-838:59:59.000000', '0000-00-00 00:00:00', '0000-00-00 00:00:00.000', '0000-00-00 00:00:00', '0000-00-00 00:00:00', '0000-00-00 00:00:00', 0),
  (2, '9999-12-31', '838:59:59', '838:59:59.000000', '9999-12-31 23:59:59', '9999-12-31 23:59:59.999', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07', '2038-01-19 03:14:07.999999', 2155),
  (3, '2020-00-15', '00:00:00', '-00:00:00.000001', '2020-05-00 10:11:12', '0001-01-01 00:00:00.001', '1000-01-01 00:00:00.000001', '1970-01-01 00:00:01', '1970-01-01 00:00:01.000001', 1901),
  (4, '2023-02-31', '-00:00:01', '100:00:00.5', '2023-02-31 01:02:03', '2024-02-29 12:00:00.5', '0000-01-01 00:00:00', '2024-02-29 12:00:00', '2024-02-29 12:00:00.123456', 1999),
  (5, null, null, null, null, null, null, null, null, null);
create table texts (
  id int primary key, c char(10), v varchar(50) character set utf8mb4, l varchar(50) character set latin1,
  u3 varchar(50) character set utf8mb3, a varchar(50) character set ascii, k varchar(50) character set koi8r,
  w varchar(50) character set ucs2, w4 varchar(50) character set utf32, sj varchar(50) character set sjis, tt tinytext, t text, mt mediumtext, lt longtext,
  e enum('a','b''c','d,e','x\\y','n\nl','"q"',' s','t\tt','','2','ü') character set latin1,
  s set('p','q r','ä','it''s'));
insert into texts values
  (1, 'pad  ', 'trail  ', 'é€ÿ', 'Ωé', 'plain', 'привет', 'мир', 'x𝄞', 'カタ', 'tiny', 'text', 'medium', 'long', 'b''c', 'p,ä'),
  (2, '', '', '', '', '', '', '', '', '', '', '', '', '', '', ''),
  (3, '\\N', '\\\\N', 'a\tb', 'a\nb', 'a\\b', '\r', '\0', '\'"', '\\', '\t', '\n', '\\t', 'a\0b', 'n\nl', 'it''s'),
  (4, '𝄞🎵', '𝄞🎵', '\\.', 'NULL', 'null', 'x', 'x', 'x', 'x', 'x', '𝄞', '𝄞', '𝄞', 'x\\y', 'p,q r,ä,it''s'),
  (5, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
  (6, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', '2', 'q r'),
  (7, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'd,e', 'q r'),
  (8, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 't\tt', 'q r'),
  (9, 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'x', 'ü', 'q r');
create table bytes (
  id int primary key, b binary(4), vb varbinary(300), tb tinyblob, bl blob, mb mediumblob, lb longblob,
  b1 bit(1), b8 bit(8), b9 bit(9), b33 bit(33), b64 bit(64), g geometry, p point, ls linestring);
insert into bytes values
  (1, x'00000000', x'', x'', x'', x'', x'', b'0', b'0', b'0', b'0', b'0', st_geomfromtext('POINT(1 2)'), st_geomfromtext('POINT(-1.5 0.1)'), st_geomfromtext('LINESTRING(0 0,1 1,2 3)')),
  (2, x'0a095c27', x'0a0d095c2722001a4e5c4e', x'ff', x'fe00', x'80', x'0102', b'1', b'11111111', b'111111111', b'111111111111111111111111111111111', 18446744073709551615, st_geomfromtext('POLYGON((0 0,0 1,1 1,0 0))', 4326), null, null),
  (3, x'61', repeat(x'00', 300), null, null, null, repeat(x'5c', 100000), b'1', b'00001010', b'000001010', b'1001', 9, null, null, null),
  (4, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
"#;

/// What tells whether the rows of [`COMMON`] are the same, by table.
pub(crate) const CHECKS: [&str; 4] = [
    "select id, t1, t1u, b1, s2, s2u, m3, m3u, i4, i4u, i8, i8u, d0, d1, d2, f + 0e0, f2 + 0e0, d, du from numbers order by id",
    "select id, d, t0, t6, dt0, dt3, dt6, ts0, ts6, y from times order by id",
    "select id, hex(c), hex(v), hex(l), hex(u3), hex(a), hex(k), hex(w), hex(w4), hex(sj), hex(tt), hex(t), hex(mt), hex(lt), hex(e), e + 0, hex(s), s + 0 from texts order by id",
    "select id, hex(b), hex(vb), hex(tb), hex(bl), hex(mb), sha2(lb, 256), b1 + 0, b8 + 0, b9 + 0, b33 + 0, b64 + 0, hex(g), hex(p), hex(ls) from bytes order by id",
];

#[tokio::test]
async fn every_common_type_arrives_exactly_between_every_pair() {
    for (from, to) in PAIRS {
        let pair = Pair::between(from, to, "types");
        pair.source.sql(COMMON).unwrap();
        pair.load(How::PLAIN).await.unwrap();
        for check in CHECKS {
            pair.same(check);
        }
        let types = "select table_name, column_name, data_type, character_set_name, is_nullable, datetime_precision
            from information_schema.columns where table_schema = database() order by table_name, ordinal_position";
        pair.same(types);
    }
}

#[tokio::test]
async fn column_types_stay_to_the_letter_within_one_flavour() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "native");
        pair.source.sql(COMMON).unwrap();
        pair.load(How::PLAIN).await.unwrap();
        pair.same(
            "select table_name, column_name, column_type, collation_name, is_nullable, column_key
             from information_schema.columns where table_schema = database() order by table_name, ordinal_position",
        );
    }
}

#[tokio::test]
async fn json_arrives_between_every_pair() {
    for (from, to) in PAIRS {
        let pair = Pair::between(from, to, "json");
        pair.source
            .sql(r#"create table t (id int primary key, j json);
                insert into t values (1, '{"a": [1, 2.5, "x\\ny \\u00e9 𝄞", null, true]}'), (2, 'null'), (3, null),
                  (4, '[18446744073709551615, -9223372036854775808, 1e300, 0.1]'), (5, '"\\\\ \\t"')"#)
            .unwrap();
        pair.load(How::PLAIN).await.unwrap();
        pair.same("select id, json_extract(j, '$.a[2]'), json_length(j), json_valid(j), json_extract(j, '$[0]'), json_extract(j, '$[1]'), json_unquote(j) from t where id > 1 order by id");
        pair.same("select hex(json_unquote(json_extract(j, '$.a[2]'))) from t where id = 1");
    }
}

#[tokio::test]
async fn a_json_number_that_the_target_would_round_is_refused() {
    let pair = Pair::between(Engine::Mariadb1011, Engine::Mysql97, "json_number");
    pair.source
        .sql(r#"create table t (id int primary key, j json); insert into t values (7, '{"a": 0.12345678901234567890123}')"#)
        .unwrap();
    let error = pair.load(How::PLAIN).await.unwrap_err().to_string();
    assert!(
        error.contains("key (7)") && error.contains("column j") && !error.contains("0.123"),
        "{error}"
    );
}

#[tokio::test]
async fn types_of_one_flavour_arrive_there_exactly_and_elsewhere_as_their_text() {
    let setup = "create table t (u uuid primary key, i4 inet4, i6 inet6, z longtext compressed, inv int invisible default 3,
           g int as (inv * 2) stored, v int generated always as (inv + 1) virtual);
         insert into t (u, i4, i6, z, inv) values ('123e4567-e89b-12d3-a456-426655440000', '192.168.0.1', '2001:db8::ff00:42:8329', repeat('abc', 1000), 9),
           ('00000000-0000-0000-0000-000000000000', null, '::', '', null);
         create table history (id int primary key, x int) with system versioning;
         insert into history values (1, 1); update history set x = 2";
    for to in ENGINES {
        let pair = Pair::between(Engine::Mariadb1011, to, "mariadb_types");
        pair.source.sql(setup).unwrap();
        let loaded = pair.load(How::PLAIN).await.unwrap();
        assert_eq!(loaded.len(), 2);
        pair.same("select u, i4, i6, sha2(z, 256), inv from t order by cast(u as char)");
        pair.same("select id, x from history");
        if to.is_mariadb() {
            pair.same("select column_name, column_type from information_schema.columns where table_schema = database() and table_name = 't' and column_name in ('u', 'i4', 'i6', 'z')");
        } else {
            assert!(!loaded[1].target.notes.is_empty());
        }
    }
    for to in ENGINES {
        let pair = Pair::between(Engine::Mysql97, to, "mysql_types");
        pair.source
            .sql("create table t (id int primary key, v vector(3), g point not null srid 4326, x int, y int as (x + 1) stored, z varchar(9) collate utf8mb4_0900_as_cs);
                  insert into t (id, v, g, x, z) values (1, to_vector('[1,2.5,-3]'), st_srid(point(10, 20), 4326), 4, 'aä')")
            .unwrap();
        pair.load(How::PLAIN).await.unwrap();
        pair.same("select id, hex(v), hex(g), x, z from t");
    }
}

/// A source type, a target type that cannot hold the value, the value, and words of which the reason must hold one.
const UNHOLDABLE: &[(&str, &str, &str, &str)] = &[
    ("int", "tinyint", "300", "range"),
    ("varchar(20)", "varchar(3)", "'long text'", "cut|long"),
    ("varchar(20)", "char(9)", "'pad  '", "trailing"),
    (
        "varchar(20) character set utf8mb4",
        "varchar(20) character set latin1",
        "'𝄞'",
        "character",
    ),
    ("varchar(20)", "enum('1','b')", "'2'", "labels"),
    (
        "datetime(6)",
        "datetime",
        "'2020-01-01 00:00:00.5'",
        "fractional",
    ),
    (
        "datetime",
        "timestamp",
        "'1960-01-01 00:00:00'",
        "type|range",
    ),
    ("double", "float", "0.1", "round"),
    ("decimal(9,4)", "decimal(9,2)", "1.2345", ""),
    ("int", "int not null", "null", "NULL"),
    ("varbinary(9)", "binary(9)", "x'00'", "zeros"),
    ("varchar(9)", "int", "'12'", "kind"),
];

#[tokio::test]
async fn values_that_a_kept_table_cannot_hold_are_refused_by_table_key_and_column() {
    for engine in ENGINES {
        for (source, target, value, word) in UNHOLDABLE {
            let pair = Pair::on(engine, "refused");
            pair.source.sql(&format!("create table t (id int, w varchar(9), a {source}, primary key (w, id)); insert into t values (6, 'x', null), (7, 'y\\tz', {value})")).unwrap();
            pair.source
                .sql(if *value == "null" {
                    "delete from t where id = 6"
                } else {
                    "update t set a = null where id = 6"
                })
                .unwrap();
            pair.target
                .sql(&format!(
                    "create table t (a {target}, id int, w varchar(9), primary key (w, id))"
                ))
                .unwrap();
            let how = How::PLAIN.mode(whimbrel_connector::PrepareMode::DoNothing);
            let error = pair
                .load(how)
                .await
                .expect_err(&format!("{engine} {source} {target}"));
            let whimbrel_connector::Error::Row(refusal) = error else {
                panic!("{engine} {source} {target}: {error}")
            };
            assert_eq!(refusal.table.name, "t");
            assert_eq!(
                refusal.column.as_deref(),
                Some("a"),
                "{engine} {source} {target}: {refusal}"
            );
            assert_eq!(
                refusal.key.as_deref(),
                Some("(y\tz, 7)"),
                "{engine} {source} {target}: {refusal}"
            );
            assert!(
                word.split('|').any(|word| refusal.reason.contains(word)),
                "{engine} {source} {target}: {refusal}"
            );
            assert_eq!(
                pair.target.sql("select count(*) from t").unwrap(),
                "0\n",
                "rolled back"
            );
        }
    }
}

#[tokio::test]
async fn only_mariadb_makes_a_zero_of_the_negative_one() {
    for (to, arrived) in [
        (Engine::Mysql97, "-0\t-0\n"),
        (Engine::Mariadb1011, "0\t0\n"),
    ] {
        let pair = Pair::between(Engine::Mysql97, to, "negative_zero");
        let setup = "create table t (id int primary key, d double, f float); insert into t values (1, -0e0, -0e0)";
        pair.source.sql(setup).unwrap();
        let loaded = pair.load(How::PLAIN).await.unwrap();
        let select = "select concat(d), concat(f) from t";
        assert_eq!(pair.source.sql(select).unwrap(), "-0\t-0\n");
        assert_eq!(pair.target.sql(select).unwrap(), arrived, "{to}");
        let notes = &loaded[0].target.notes;
        let is_noted = notes.iter().any(|note| note.contains("negative zero"));
        assert_eq!(is_noted, to == Engine::Mariadb1011, "{notes:?}");
        // As LOAD DATA writes it, so do statements in words.
        pair.target.sql("update t set d = -0e0, f = -0e0").unwrap();
        assert_eq!(pair.target.sql(select).unwrap(), arrived, "{to}");
    }
}
