//! Keys that hold only the beginnings of values.

use whimbrel_connector::KeyPolicy;
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, How, PAIRS, Pair};

const TABLES: &str = "
    create table one (k text not null, v int, primary key (k(10)));
    insert into one values ('aaaaaaaaaa', 1), ('aaaaaaaaab and much more than ten', 2), ('', 3), ('\u{20ac}\u{20ac}', 4);
    create table two (v varchar(20), b blob not null, id int not null, n varchar(300) not null, primary key (n(5), id, b(3)));
    insert into two values ('x', 'abcdef', 1, 'name one'), ('y', 'abcdef', 2, 'name two'), ('z', '\\0\\1', 2, repeat('n', 300));";

/// What the server itself says of the key: its columns in order, and how much of each belongs to it.
const KEY: &str =
    "select table_name, column_name, coalesce(sub_part, 'whole') from information_schema.statistics
    where index_name = 'PRIMARY' and table_schema = database() order by table_name, seq_in_index";

#[tokio::test]
async fn they_are_created_as_they_were() {
    for (from, to) in PAIRS {
        for keys in [KeyPolicy::Best, KeyPolicy::AfterLoad] {
            let pair = Pair::between(from, to, "prefix");
            pair.source.sql(TABLES).unwrap();
            pair.load(How { keys, ..How::PLAIN }).await.unwrap();
            let made = pair.same(KEY);
            assert_eq!(made, "one\tk\t10\ntwo\tn\t5\ntwo\tid\twhole\ntwo\tb\t3\n");
            pair.same("select hex(k), v from one order by hex(k)");
            pair.same("select v, hex(b), id, n from two order by v");
        }
    }
}

#[tokio::test]
async fn documents_cannot_be_part_of_a_key_everywhere() {
    let pair = Pair::between(Engine::Mariadb1011, Engine::Mysql97, "prefix_json");
    pair.source
        .sql("create table t (j json not null, primary key (j(20))); insert into t values ('{\"a\": 1}')")
        .unwrap();
    let loaded = pair.load(How::PLAIN).await.unwrap();
    assert_eq!(pair.target.sql(KEY).unwrap(), "");
    let notes = loaded[0].target.notes.join("\n");
    assert!(notes.contains("JSON column"), "{notes}");
}

/// Their order is not that of the values, so that no range of values is one of the key.
#[tokio::test]
async fn they_are_not_split_by_but_another_key_is() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "prefix_chunks");
        pair.source
            .sql(
                "create table digits (d int); insert into digits values (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
                 create table alone (k text not null, n int not null, filler char(100), primary key (k(10)));
                 insert into alone select concat(a.d, b.d, c.d, e.d, ' and more'), a.d + b.d * 10 + c.d * 100 + e.d * 1000, repeat('x', 100)
                   from digits a, digits b, digits c, digits e;
                 create table other like alone; alter table other add unique (n); insert into other select * from alone;
                 analyze table alone, other; drop table digits",
            )
            .unwrap();
        let loaded = pair.load(How::PLAIN.chunk_bytes(64 << 10)).await.unwrap();
        let counts: Vec<usize> = loaded.iter().map(|table| table.chunk_count).collect();
        assert_eq!(counts[0], 1, "{engine}");
        assert!((3..100).contains(&counts[1]), "{engine} {counts:?}");
        for table in ["alone", "other"] {
            pair.same(&format!(
                "select count(*), sum(n), count(distinct k) from {table}"
            ));
        }
    }
}
