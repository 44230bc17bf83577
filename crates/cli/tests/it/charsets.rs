//! Texts in other character sets than UTF-8, at either end: the same characters by load, by insert and by update, and nothing replaced in
//! silence.

use whimbrel_testkit::{Engine, Server};

use crate::Said;
use crate::ends::Ends;

const MYSQLS: [Engine; 2] = [Engine::Mariadb1011, Engine::Mysql97];

/// A further database of a server of PostgreSQL, in another encoding; it goes with this value.
struct Encoded<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> Encoded<'a> {
    fn new(server: &'a Server, base: &str, encoding: &str) -> Self {
        let name = format!("{base}_{}", encoding.to_lowercase());
        server
            .sql(&format!(
                "create database {name} encoding '{encoding}' locale 'C' template template0"
            ))
            .unwrap();
        Self { server, name }
    }

    fn url(&self) -> String {
        let url = self.server.url();
        let (start, _) = url.rsplit_once('/').unwrap();
        format!("{start}/{}", self.name)
    }

    /// Runs SQL over a connection of this database's own encoding.
    fn sql(&self, sql: &str) -> String {
        let script = format!(
            "psql -X -q -A -t -v ON_ERROR_STOP=1 '{}' <<'END_OF_SQL'\n{sql}\nEND_OF_SQL",
            self.url()
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Encoded<'_> {
    fn drop(&mut self) {
        let slots = format!("from pg_replication_slots where database = '{}'", self.name);
        let dropped = self
            .server
            .sql(&format!(
                "select pg_terminate_backend(active_pid, 5000) {slots} and active; select pg_drop_replication_slot(slot_name) {slots}"
            ))
            .and_then(|_| self.server.sql(&format!("drop database {} with (force)", self.name)));
        if let Err(error) = dropped {
            eprintln!("cannot drop {}: {error:#}", self.name);
        }
    }
}

/// A row that cannot be moved ended its table, and was named.
#[track_caller]
pub(crate) fn names_the_row(said: &Said, key: &str, column: &str, words: &str) {
    assert_ne!(said.exit_code, Some(0), "{said:?}");
    let place = format!("key {key}, column {column}: ");
    let line = said.err.lines().chain(said.out.lines());
    let line = line
        .filter(|line| line.contains(&place))
        .find(|line| line.contains(words));
    assert!(line.is_some(), "no {place}… {words}: {said:?}");
}

const ROW: &str = "'aé€ÿ?', 'aé€', 'жЫ№?', '中a?國', '日本ｱ?', 'яж?', 'я𝄞?', '𝄞é?', '𝄞', 'ไทย?', 'ok?', 'łżö', x'00ff81', x'ff'";

#[test]
fn every_set_of_mysql_arrives_alike_by_load_insert_and_update() {
    for source in MYSQLS {
        for target in [Engine::Postgres18, Engine::Mariadb1011] {
            let ends = Ends::between(source, target, "sets");
            ends.source
                .sql(&format!(
                    "create table t (id int primary key, l1 varchar(20) character set latin1, u3 varchar(20) character set utf8mb3,
                       r varchar(20) character set cp1251, g text character set gbk, s varchar(20) character set sjis,
                       u2 varchar(20) character set ucs2, u16 varchar(20) character set utf16, u32 char(20) character set utf32,
                       le varchar(20) character set utf16le, th varchar(20) character set tis620, a varchar(20) character set ascii,
                       l2 mediumtext character set latin2, b varbinary(20), cb varchar(20) character set binary);
                     insert into t values (1, {ROW}), (2, '?','?','?','?','?','?','?','?','?','?','?','?','?','?'),
                       (3, null,null,null,null,null,null,null,null,null,null,null,null,null,null), (4, '','','','','','','','','','','','','','')"
                ))
                .unwrap();
            ends.run_well("migrate", &["--until-caught-up"]);
            ends.source
                .sql(&format!(
                    "insert into t values (11, {ROW}), (12, '?','?','?','?','?','?','?','?','?','?','?','?','?','?');
                     insert into t (id) values (21); update t set l1 = 'x' where id = 4;
                     update t a join t b on b.id = 1 set a.l1 = b.l1, a.u3 = b.u3, a.r = b.r, a.g = b.g, a.s = b.s, a.u2 = b.u2, a.u16 = b.u16,
                       a.u32 = b.u32, a.le = b.le, a.th = b.th, a.a = b.a, a.l2 = b.l2, a.b = b.b, a.cb = b.cb where a.id = 21"
                ))
                .unwrap();
            ends.run_well("migrate", &["--until-caught-up", "--resume"]);
            ends.run_well("validate", &[]);
            let rows = ends
                .target
                .sql("select l1, u3, r, g, s, u2, u16, u32, le, th, a, l2 from t where id in (1, 11, 21)")
                .unwrap();
            let row = "aé€ÿ?\taé€\tжЫ№?\t中a?國\t日本ｱ?\tяж?\tя𝄞?\t𝄞é?\t𝄞\tไทย?\tok?\tłżö\n";
            assert_eq!(rows, row.repeat(3), "{source} {target}");
        }
    }
}

/// Bytes that a column takes and its character set gives no meaning: declared set, bytes, and the servers that take them.
const NO_TEXT: &[(&str, &str, &[Engine])] = &[
    ("cp1251", "619862", &MYSQLS),
    ("gbk", "A6C061", &MYSQLS),
    ("ucs2", "0061D800", &MYSQLS),
    ("ascii", "61C3A9", &[Engine::Mariadb1011]),
];

#[test]
fn bytes_that_are_no_text_are_told_in_a_load() {
    for source in MYSQLS {
        for target in [Engine::Postgres15, Engine::Mariadb1011] {
            for (set, bytes, takers) in NO_TEXT.iter().filter(|no_text| no_text.2.contains(&source))
            {
                assert!(!takers.is_empty());
                let ends = Ends::between(source, target, "no_text");
                ends.source
                    .sql(&format!(
                        "create table good (id int primary key, v varchar(20) character set {set}); insert into good values (1, 'a?');
                         create table t (v varchar(20) character set {set}, k varchar(5), id int, primary key (k, id));
                         set sql_mode = ''; insert into t values ('fine?', 'a', 1), (_{set} x'{bytes}', 'b', 7)"
                    ))
                    .unwrap();
                let said = ends.run("migrate", &[]);
                names_the_row(
                    &said,
                    "(b, 7)",
                    "v",
                    "no text in the column's character set",
                );
                assert_eq!(
                    ends.target.sql("select v from good").unwrap(),
                    "a?\n",
                    "{set}"
                );
                assert_eq!(ends.arrived("t"), 0, "{set}");
            }
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_told_in_changes() {
    for source in MYSQLS {
        for (set, bytes, _) in NO_TEXT.iter().filter(|no_text| no_text.2.contains(&source)) {
            let ends = Ends::between(source, Engine::Postgres18, "no_text");
            ends.source
                .sql(&format!(
                    "create table t (v varchar(20) character set {set}, id int primary key); insert into t values ('fine?', 1)"
                ))
                .unwrap();
            ends.run_well("migrate", &["--until-caught-up"]);
            ends.source
                .sql(&format!(
                    "set sql_mode = ''; insert into t values ('x', 2); insert into t values (_{set} x'{bytes}', 7)"
                ))
                .unwrap();
            let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
            names_the_row(&said, "(7)", "v", "no text in the column's character set");
        }
    }
}

/// What is bad in a row goes with the change that mends it, or with the row. Of a key it is needed.
#[test]
fn a_change_that_mends_or_removes_a_row_is_not_refused_for_what_it_takes_away() {
    for (source, target) in [
        (Engine::Mariadb1011, Engine::Postgres18),
        (Engine::Mariadb1011, Engine::Mysql97),
        (Engine::Mysql97, Engine::Postgres15),
        (Engine::Mysql97, Engine::Mariadb1011),
    ] {
        let (set, bytes, _) = NO_TEXT
            .iter()
            .find(|no_text| no_text.2.contains(&source))
            .unwrap();
        for others in [0, 200] {
            let ends = Ends::between(source, target, "mended");
            ends.source
                .sql(&format!(
                    "create table t (v varchar(20) character set {set}, id int primary key, n int);
                     create table k (v varchar(20) character set {set} primary key); insert into t values ('fine?', 1, 0)"
                ))
                .unwrap();
            ends.run_well("migrate", &["--until-caught-up"]);
            // As an earlier version may have taken them, or a load with replaced characters.
            ends.source
                .sql(&format!(
                    "set sql_mode = ''; set sql_log_bin = 0; insert into t values (_{set} x'{bytes}', 7, 0), (_{set} x'{bytes}', 8, 0); insert into k values (_{set} x'{bytes}')"
                ))
                .unwrap();
            ends.target
                .sql("insert into t values ('?', 7, 0), ('?', 8, 0)")
                .unwrap();
            let rows =
                (0..others).map(|id| format!("insert into t values ('x', {}, 0);", 100 + id));
            ends.source
                .sql(&format!(
                    "begin; {} update t set n = 1 where id = 1; update t set v = 'mended' where id = 7; delete from t where id = 8; commit",
                    rows.collect::<String>()
                ))
                .unwrap();
            let said = ends.run_well("migrate", &["--until-caught-up", "--resume"]);
            assert!(!said.err.contains("left out"), "{said:?}");
            assert_eq!(
                ends.target
                    .sql("select v, id, n from t where id < 100 order by id")
                    .unwrap(),
                "fine?\t1\t1\nmended\t7\t0\n"
            );
            ends.source.sql("delete from k").unwrap();
            let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
            assert_ne!(said.exit_code, Some(0), "the key is needed: {said:?}");
            assert!(
                said.err.contains("no text in the column's character set"),
                "{said:?}"
            );
        }
    }
}

/// Whole old rows are in the log of PostgreSQL where the replica identity says so.
#[test]
fn bytes_of_sql_ascii_do_not_refuse_the_change_that_takes_them_away() {
    let server = Server::get(Engine::Postgres15).unwrap();
    for target in [Engine::Postgres18, Engine::Mysql97] {
        for others in [0, 200] {
            let mut ends = Ends::between(Engine::Postgres15, target, "mended");
            let source = Encoded::new(&server, ends.source.name(), "SQL_ASCII");
            ends.source_url = source.url();
            source.sql(
                "create table t (id int primary key, v text); alter table t replica identity full; insert into t values (1, 'a')",
            );
            ends.run_well("migrate", &["--until-caught-up"]);
            let publication = source.sql("select pubname from pg_publication");
            let publication = publication.trim();
            source.sql(&format!(
                "alter publication {publication} drop table t; set client_encoding = 'SQL_ASCII';
                 insert into t values (7, E'caf\\xe9'), (8, E'caf\\xe9'); alter publication {publication} add table only t;
                 begin; insert into t select 100 + g, 'x' from generate_series(1, {others}) g;
                 update t set v = 'mended' where id = 7; delete from t where id = 8; commit"
            ));
            ends.target
                .sql("insert into t values (7, '?'), (8, '?')")
                .unwrap();
            let said = ends.run_well("migrate", &["--until-caught-up", "--resume"]);
            assert!(!said.err.contains("left out"), "{said:?}");
            assert_eq!(
                ends.target
                    .sql("select id, v from t where id < 100 order by id")
                    .unwrap(),
                "1\ta\n7\tmended\n"
            );
        }
    }
}

#[test]
fn databases_of_postgres_in_other_encodings_arrive_in_utf8() {
    let server = Server::get(Engine::Postgres15).unwrap();
    for (encoding, text) in [
        ("LATIN1", "aéÿ"),
        ("EUC_JP", "日本ｱ"),
        ("SQL_ASCII", "aé日𝄞"),
    ] {
        for target in [Engine::Postgres18, Engine::Mysql97] {
            let mut ends = Ends::between(Engine::Postgres15, target, "encoded");
            let source = Encoded::new(&server, ends.source.name(), encoding);
            ends.source_url = source.url();
            let insert = |id: u32| {
                format!(
                    "insert into t values ('k{text}{id}', '{text}', '{text}', array['{text}'], '{{\"a\": \"{text}\"}}')"
                )
            };
            let client = "set client_encoding = 'UTF8';";
            source.sql(&format!(
                "{client} create table t (k varchar(30) primary key, v text, c char(30), a text[], j json); {}", insert(1)
            ));
            ends.run_well("migrate", &["--until-caught-up"]);
            source.sql(&format!(
                "{client} {}; insert into t (k, v) values ('k{text}3', 'x'); insert into t (k, v) values ('k{text}4', 'x');
                 update t set v = '{text}', c = '{text}', a = array['{text}'], j = '{{\"a\": \"{text}\"}}' where k = 'k{text}3'; delete from t where k = 'k{text}4'",
                insert(2)
            ));
            ends.run_well("migrate", &["--until-caught-up", "--resume"]);
            ends.run_well("validate", &[]);
            let rows = ends
                .target
                .sql("select k, v, trim(c) from t order by k")
                .unwrap();
            let rows_expected = (1..=3)
                .map(|id| format!("k{text}{id}\t{text}\t{text}\n"))
                .collect::<Vec<_>>()
                .concat();
            assert_eq!(rows, rows_expected, "{encoding} {target}");
        }
    }
}

#[test]
fn bytes_of_sql_ascii_that_are_not_utf8_are_told() {
    let server = Server::get(Engine::Postgres18).unwrap();
    for target in [Engine::Postgres15, Engine::Mariadb1011] {
        let mut ends = Ends::between(Engine::Postgres18, target, "sql_ascii");
        let source = Encoded::new(&server, ends.source.name(), "SQL_ASCII");
        ends.source_url = source.url();
        let bad = "set client_encoding = 'SQL_ASCII'; insert into t values (7, E'caf\\xe9')";
        source.sql(&format!(
            "create table t (id int primary key, v text); insert into t values (1, 'a'); {bad}"
        ));
        let said = ends.run("migrate", &[]);
        names_the_row(&said, "(7)", "v", "bytes that are no text in UTF-8");
        source.sql("delete from t where id = 7");
        ends.run_well("migrate", &["--until-caught-up", "--prepare", "truncate"]);
        source.sql(bad);
        let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
        names_the_row(&said, "(7)", "v", "bytes that are no text in UTF-8");
    }
}

#[test]
fn bytes_of_sql_ascii_that_are_not_utf8_are_told_of_a_row_in_parts() {
    let server = Server::get(Engine::Postgres18).unwrap();
    for (b, v) in [
        ("repeat('b', 1000000)", "E'caf\\xe9'"),
        ("'b'", "repeat('v', 1000000) || E'caf\\xe9'"),
    ] {
        let mut ends = Ends::between(Engine::Postgres18, Engine::Mariadb1011, "sql_ascii_wide");
        let source = Encoded::new(&server, ends.source.name(), "SQL_ASCII");
        ends.source_url = source.url();
        source.sql(&format!(
            "create table t (id int primary key, b text, v text); set client_encoding = 'SQL_ASCII'; insert into t values (1, 'b', 'a'), (7, {b}, {v})"
        ));
        let said = ends.run("migrate", &[]);
        names_the_row(&said, "(7)", "v", "bytes that are no text in UTF-8");
    }
}

#[test]
fn an_encoding_of_the_target_takes_what_it_has_and_the_rest_is_told() {
    let server = Server::get(Engine::Postgres18).unwrap();
    for source in [Engine::Postgres15, Engine::Mariadb1011] {
        let mut ends = Ends::between(source, Engine::Postgres18, "to_latin1");
        let target = Encoded::new(&server, ends.target.name(), "LATIN1");
        ends.target_url = target.url();
        ends.source.sql("create table t (id int primary key, v varchar(20)); insert into t values (1, 'aé')").unwrap();
        ends.run_well("migrate", &["--until-caught-up"]);
        ends.source.sql("insert into t values (2, 'ÿ')").unwrap();
        ends.run_well("migrate", &["--until-caught-up", "--resume"]);
        ends.run_well("validate", &[]);
        assert_eq!(
            target.sql("set client_encoding = 'UTF8'; select v from t order by id"),
            "aé\nÿ\n"
        );

        ends.source.sql("insert into t values (7, '5€')").unwrap();
        let lacks = "no equivalent in the encoding LATIN1; replace such characters";
        let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
        names_the_row(&said, "(7)", "v", lacks);
        // Of a load the server tells the column and the number of the row.
        let said = ends.run("migrate", &["--prepare", "truncate"]);
        assert_ne!(said.exit_code, Some(0));
        assert!(
            said.err.contains("column v: the target refused the row: ") && said.err.contains(lacks),
            "{said:?}"
        );

        let replaced = [
            "--replace-character",
            "20AC=45",
            "--replace-outside",
            "ISO-8859-1=3F",
        ];
        ends.run_well(
            "migrate",
            &[
                &replaced[..],
                &["--until-caught-up", "--prepare", "truncate"],
            ]
            .concat(),
        );
        ends.source.sql("insert into t values (8, '6€ж')").unwrap();
        ends.run_well(
            "migrate",
            &[&replaced[..], &["--until-caught-up", "--resume"]].concat(),
        );
        ends.run_well("validate", &replaced);
        assert_eq!(
            target.sql("set client_encoding = 'UTF8'; select v from t order by id"),
            "aé\nÿ\n5E\n6E?\n"
        );
    }
}

#[test]
fn a_target_in_sql_ascii_takes_utf8() {
    let server = Server::get(Engine::Postgres15).unwrap();
    for source in [Engine::Postgres18, Engine::Mysql97] {
        let mut ends = Ends::between(source, Engine::Postgres15, "to_ascii");
        let target = Encoded::new(&server, ends.target.name(), "SQL_ASCII");
        ends.target_url = target.url();
        ends.source.sql("create table t (id int primary key, v varchar(20)); insert into t values (1, 'aé𝄞')").unwrap();
        ends.run_well("migrate", &["--until-caught-up"]);
        ends.source.sql("insert into t values (2, 'aé𝄞')").unwrap();
        ends.run_well("migrate", &["--until-caught-up", "--resume"]);
        ends.run_well("validate", &[]);
        assert_eq!(target.sql("select v from t order by id"), "aé𝄞\naé𝄞\n");
    }
}

#[test]
fn a_column_of_the_target_takes_what_its_set_has_and_the_rest_is_told() {
    for target in MYSQLS {
        for source in [Engine::Postgres15, Engine::Mariadb1011] {
            let ends = Ends::between(source, target, "to_set");
            ends.source.sql("create table t (id int primary key, v varchar(20)); insert into t values (1, 'aé€')").unwrap();
            ends.target
                .sql("create table t (id int primary key, v varchar(20) character set latin1)")
                .unwrap();
            ends.run_well("migrate", &["--until-caught-up", "--prepare", "truncate"]);
            ends.source.sql("insert into t values (2, 'ÿ')").unwrap();
            ends.run_well("migrate", &["--until-caught-up", "--resume"]);
            ends.run_well("validate", &[]);
            ends.source.sql("insert into t values (7, 'ж')").unwrap();
            let said = ends.run("migrate", &["--until-caught-up", "--resume"]);
            names_the_row(&said, "(7)", "v", "character set lacks a character");
            let said = ends.run("migrate", &["--prepare", "truncate"]);
            names_the_row(&said, "(7)", "v", "character set lacks a character");
            let replaced = ["--replace-outside", "windows-1252=3F"];
            ends.run_well(
                "migrate",
                &[
                    &replaced[..],
                    &["--until-caught-up", "--prepare", "truncate"],
                ]
                .concat(),
            );
            ends.source
                .sql("insert into t values (8, 'яé'); update t set v = 'bы' where id = 2")
                .unwrap();
            ends.run_well(
                "migrate",
                &[&replaced[..], &["--until-caught-up", "--resume"]].concat(),
            );
            ends.run_well("validate", &replaced);
            assert_eq!(
                ends.target.sql("select v from t order by id").unwrap(),
                "aé€\nb?\n?\n?é\n"
            );
        }
    }
}

#[test]
fn characters_become_others_in_keys_and_texts_and_nowhere_else() {
    for (source, target) in [
        (Engine::Postgres15, Engine::Postgres18),
        (Engine::Mariadb1011, Engine::Postgres15),
        (Engine::Mysql97, Engine::Mariadb1011),
    ] {
        let ends = Ends::between(source, target, "characters");
        ends.source
            .sql(
                "create table t (k varchar(20) primary key, v text, j json); create table plain (id int primary key, n int);
                 insert into plain values (1, 2);
                 insert into t values ('b1', 'bab´', '{\"b\": 1}'), ('2', null, null), ('3𝄞', '𝄞x', null), ('gone´', '', null)",
            )
            .unwrap();
        let options = [
            "--replace-character",
            "62=61",
            "--replace-character",
            "U+00B4=0027",
            "--replace-character",
            "78=0",
            "--replace-outside",
            "UTF-16=0",
        ];
        let said = ends.run_well("migrate", &[&options[..], &["--dry-run"]].concat());
        assert!(
            said.out.contains("characters U+0062 become U+0061"),
            "{said:?}"
        );
        ends.run_well("migrate", &[&options[..], &["--until-caught-up"]].concat());
        ends.run_well("validate", &options);
        ends.source
            .sql(
                "insert into t values ('b4', 'bb', '{\"b\": 1}'); update t set v = 'xb' where k = 'b1'; update t set k = 'moved𝄞b' where k = '3𝄞';
                 delete from t where k = 'gone´'",
            )
            .unwrap();
        ends.run_well(
            "migrate",
            &[&options[..], &["--until-caught-up", "--resume"]].concat(),
        );
        ends.run_well("validate", &options);
        let rows = ends.target.sql("select k, v from t order by k").unwrap();
        assert_eq!(
            rows, "2\tNULL\na1\ta\na4\taa\nmoveda\t\n",
            "{source} {target}"
        );
        assert!(
            ends.target
                .sql("select j from t where k = 'a4'")
                .unwrap()
                .contains("\"b\"")
        );
        assert_ne!(ends.run("validate", &[]).exit_code, Some(0));
    }
}

#[test]
fn two_keys_that_become_one_are_told() {
    let ends = Ends::between(Engine::Postgres15, Engine::Mariadb1011, "one_key");
    ends.source
        .sql("create table t (k varchar(20) primary key); insert into t values ('a'), ('b')")
        .unwrap();
    let said = ends.run("migrate", &["--replace-character", "62=61"]);
    assert_ne!(said.exit_code, Some(0));
    assert!(said.err.contains("key"), "{said:?}");
    assert_eq!(ends.arrived("t"), 0);
}

#[test]
fn a_character_that_postgres_cannot_hold_can_be_removed() {
    let ends = Ends::between(Engine::Mariadb1011, Engine::Postgres18, "nul");
    ends.source
        .sql("create table t (id int primary key, v varchar(9)); insert into t values (1, concat('a', char(0), 'b'))")
        .unwrap();
    assert_ne!(ends.run("migrate", &[]).exit_code, Some(0));
    ends.run_well("migrate", &["--replace-character", "0000=0"]);
    assert_eq!(ends.target.sql("select v from t").unwrap(), "ab\n");
}

#[test]
fn what_is_no_rule_for_characters_is_refused() {
    for (option, value, words) in [
        ("--replace-character", "62", "two code points"),
        ("--replace-character", "D800=62", "two code points"),
        (
            "--replace-outside",
            "ISO-8859-1",
            "a character set and a code point",
        ),
        ("--replace-outside", "EBCDIC=3F", "us-ascii, iso-8859-1"),
    ] {
        let said = crate::run(&[
            "migrate",
            "postgres://u@h/d",
            "postgres://u@h/e",
            option,
            value,
        ]);
        assert_eq!(said.exit_code, Some(2), "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
    }
}
