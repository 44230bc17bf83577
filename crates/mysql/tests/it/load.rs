use whimbrel_connector::{Error, PrepareMode};

use crate::support::{ENGINES, How, PAIRS, Pair};

const CANONICAL: &str = "select hex(cast(id as char)), hex(n), hex(x) from t order by id";

#[tokio::test]
async fn tables_arrive_whole_between_every_pair() {
    for (from, to) in PAIRS {
        let pair = Pair::between(from, to, "whole");
        pair.source
            .sql(
                "create table t (id int primary key, n varchar(40), x blob);
                 insert into t values (1, 'one', x'00ff0a095c275c4e'), (2, '', ''), (3, null, null),
                   (4, '\\\\N', '\\t'), (-5, 'ünï𝄞\\n\\r\\t\\\\', repeat('x', 60000));
                 create table nothing (a int)",
            )
            .unwrap();
        let loaded = pair.load(How::PLAIN).await.unwrap();
        let counts: Vec<u64> = loaded.iter().map(|table| table.row_count).collect();
        assert_eq!(counts, [0, 5], "{from} {to}");
        pair.same(CANONICAL);
    }
}

#[tokio::test]
async fn kept_tables_are_emptied_or_added_to_as_the_mode_says() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "modes");
        pair.source
            .sql("create table t (id int primary key, n varchar(9)); insert into t values (1, 'a')")
            .unwrap();
        pair.target.sql("create table t (N varchar(20) not null, extra int default 7, id bigint primary key); insert into t values ('old', 1, 9)").unwrap();
        pair.load(How::PLAIN.mode(PrepareMode::DoNothing))
            .await
            .unwrap();
        assert_eq!(
            pair.target.sql("select * from t order by id").unwrap(),
            "a\t7\t1\nold\t1\t9\n"
        );
        let again = pair
            .load(How::PLAIN.mode(PrepareMode::DoNothing))
            .await
            .unwrap_err();
        let Error::Row(refusal) = again else {
            panic!("{again}")
        };
        assert_eq!(refusal.key.as_deref(), Some("(1)"), "{refusal}");
        assert_eq!(pair.target.sql("select count(*) from t").unwrap(), "2\n");
        pair.load(How::PLAIN.mode(PrepareMode::Truncate))
            .await
            .unwrap();
        assert_eq!(pair.target.sql("select * from t").unwrap(), "a\t7\t1\n");
        pair.load(How::PLAIN).await.unwrap();
        assert_eq!(pair.target.sql("select * from t").unwrap(), "1\ta\n");
    }
}
