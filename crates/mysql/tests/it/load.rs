use whimbrel_connector::{Error, KeyPolicy, PrepareMode};
use whimbrel_testkit::Engine;

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

/// Between servers of one engine the columns that the server computes are there, and compute the same.
#[tokio::test]
async fn computed_columns_are_computed_at_the_target_too() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "computed");
        pair.source
            .sql(
                "create table t (id int primary key, a varchar(20), \
                   k varchar(60) character set latin1 generated always as (concat(a, ' it''s (', '\\\\', \"q\", id)) stored, \
                   `v)` int generated always as (length(a) + 1) virtual, z int);
                 insert into t (id, a, z) values (1, 'one', 5), (2, null, null)",
            )
            .unwrap();
        pair.load(How::PLAIN).await.unwrap();
        pair.same("select * from t order by id");
        pair.target
            .sql("insert into t (id, a) values (3, 'later')")
            .unwrap();
        let computed = pair
            .target
            .sql("select k, `v)` from t where id = 3")
            .unwrap();
        assert!(computed.starts_with("later it's ("), "{computed}");
        assert!(computed.ends_with("q3\t6\n"), "{computed}");
    }
}

/// Elsewhere they are left out, and said to be.
#[tokio::test]
async fn computed_columns_of_another_engine_are_noted() {
    let pair = Pair::between(Engine::Mariadb1011, Engine::Mysql97, "noted");
    pair.source
        .sql("create table t (id int, g int as (id * 2) stored, primary key (id))")
        .unwrap();
    let mut source = pair.from.source().await.unwrap();
    let target = pair.to.target().await.unwrap();
    let tables = pair.tables(&mut *source).await.unwrap();
    let name = pair.target_name(&tables[0]);
    let planned = target
        .plan_table(&tables[0], name, KeyPolicy::Best)
        .unwrap();
    assert_eq!(
        planned.notes,
        ["column g: it is computed by the source and is not created"]
    );
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

/// What `CommitRate` promises: no statement takes more rows. The target's log has a map of the table for each statement.
#[tokio::test]
async fn a_bound_on_rows_makes_as_many_statements() {
    for engine in ENGINES {
        let pair = Pair::on(engine, "statements");
        pair.source
            .sql(
                "create table t (id int primary key, n varchar(40), x blob);
                 insert into t with recursive i as (select 1 id union all select id + 1 from i where id < 50)
                   select id, 'n', 'x' from i",
            )
            .unwrap();
        let status = match engine {
            Engine::Mysql97 => "show binary log status",
            _ => "show master status",
        };
        let status = pair.target.sql(status).unwrap();
        let mut place = status.split('\t');
        let (file, offset) = (place.next().unwrap(), place.next().unwrap());
        let how = How {
            statement_rows_max: Some(7),
            ..How::PLAIN
        };
        let loaded = pair.load(how).await.unwrap();
        assert_eq!((loaded[0].chunk_count, loaded[0].row_count), (1, 50));
        let events = format!("show binlog events in '{file}' from {offset}");
        let events = pair.target.sql(&events).unwrap();
        let of_table = format!("({}.t)", pair.target.name());
        let maps = events
            .lines()
            .filter(|event| event.contains("Table_map") && event.contains(&of_table));
        assert_eq!(maps.count(), 8, "{engine}");
        pair.same(CANONICAL);
    }
}
