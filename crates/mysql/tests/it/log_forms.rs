//! The forms in which servers may write their logs: what they leave out, compress or add.

use whimbrel_core::objects::ReferenceAction;
use whimbrel_testkit::{Engine, Server, ServerOptions};

use crate::log_support::{Seen, Tap, inserted, outline, updated};
use crate::log_types::{law_on, split};
use crate::support::ENGINES;
use crate::types::COMMON;

fn server_with(engine: Engine, settings: &[(&str, &str)]) -> Server {
    let settings = settings
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let options = ServerOptions {
        settings,
        ..ServerOptions::default()
    };
    Server::private_with(engine, options).unwrap()
}

const MIXED: &str = "create table mixed (id int primary key, y1 year, u1 bigint unsigned, p point, f float, t varchar(9), e enum('a'), d decimal(9,2) unsigned, y2 year, i int, b blob, c char(80) character set utf8mb4)";

#[tokio::test]
async fn logs_that_tell_all_of_their_columns_are_captured_as_tables_are_loaded() {
    for engine in ENGINES {
        let server = server_with(engine, &[("binlog-row-metadata", "FULL")]);
        let database = server.database("log_full_metadata").unwrap();
        let (make, fill) = split(COMMON);
        let own = match engine {
            Engine::Mariadb1011 | Engine::Mariadb118 => {
                "create table own (id int primary key, z longtext compressed, zv varchar(300) compressed character set latin1, u uuid, x varchar(9) character set latin1);"
            }
            _ => {
                "create table own (id int primary key, v vector(3), j json, x varchar(9) character set latin1);"
            }
        };
        let rows = match engine {
            Engine::Mariadb1011 | Engine::Mariadb118 => {
                "insert into own values (1, 'z', 'é', uuid(), 'é');"
            }
            _ => "insert into own values (1, to_vector('[1,2,3]'), '[1]', 'é');",
        };
        let make = format!("{make}{MIXED};{own}");
        let fill = format!(
            "{fill}insert into mixed values (1, 2020, 18446744073709551615, point(1, 2), 1.5, 'x', 'a', 1.5, 1999, -1, 'b', 'ü');{rows}"
        );
        law_on(&database, &make, &fill).await;
    }
}

#[tokio::test]
async fn columns_are_found_by_name_when_the_log_tells_names() {
    for engine in ENGINES {
        let server = server_with(engine, &[("binlog-row-metadata", "FULL")]);
        let database = server.database("log_names").unwrap();
        database
            .sql("create table t (id int primary key, a int, b int)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database.sql("insert into t values (1, 2, 3); alter table t rename column a to c; alter table t rename column b to a; alter table t rename column c to b").unwrap();
        // A description that is newer than the log.
        tap = Tap::on(&database).await;
        let seen = tap.seen(&start).await;
        // Both have the same columns, so that each cell is found where its name is.
        assert_eq!(
            inserted(&seen, "t"),
            ["[Int(1), Int(3), Int(2)]"],
            "{engine}"
        );
    }
}

/// Where the server does not log what its foreign keys do, the tables that they change are refused; elsewhere it is captured.
#[tokio::test]
async fn what_foreign_keys_change_is_captured_or_refused() {
    for engine in ENGINES {
        let server = server_with(engine, &[]);
        let database = server.database("log_cascade").unwrap();
        database
            .sql("create table p (id int primary key);
                  create table c (id int primary key, p int, foreign key (p) references p (id) on delete set null on update cascade);
                  create table plain (id int primary key, p int, foreign key (p) references p (id));
                  insert into p values (1); insert into c values (10, 1)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.log.prepare(&tap.tables).await.unwrap();
        if engine.is_mariadb() {
            assert_eq!(start.refused.len(), 1, "{:?}", start.refused);
            assert_eq!(start.refused[0].table.name, "c");
            assert!(start.refused[0].message.contains("SET NULL"));
            continue;
        }
        assert_eq!(start.refused, []);
        database.sql("update p set id = 2; delete from p").unwrap();
        let seen = tap.seen(&start.position).await;
        assert_eq!(outline(&seen), "(~~)(~-)", "{engine}");
    }
}

/// MariaDB shows what foreign keys do only to users who may do more with a table than read it.
#[tokio::test]
async fn what_foreign_keys_change_is_refused_to_a_user_who_may_only_read() {
    for engine in ENGINES.into_iter().filter(|engine| engine.is_mariadb()) {
        let database = Server::get(engine).unwrap().database("log_reader").unwrap();
        let name = database.name();
        let user = &name[name.len().saturating_sub(30)..];
        database
            .sql(&format!(
                "create table p (id int primary key);
                 create table c (id int primary key, p int, foreign key (p) references p (id) on delete cascade);
                 create table plain (id int primary key, p int, foreign key (p) references p (id));
                 create user `{user}` identified by 'a-secret'; grant select on `{name}`.* to `{user}`;
                 grant replication slave, binlog monitor, reload on *.* to `{user}`"
            ))
            .unwrap();
        let url = database.url_as(user, "a-secret");
        let mut tap = Tap::of(&url, name).await;
        let start = tap.log.prepare(&tap.tables).await.unwrap();
        assert_eq!(start.refused.len(), 1, "{:?}", start.refused);
        assert_eq!(start.refused[0].table.name, "c");
        let mut source = tap.connector.source().await.unwrap();
        let tables = source.objects(&tap.tables).await.unwrap().tables;
        let keys = tables.iter().flat_map(|table| &table.foreign_keys);
        let rules: Vec<ReferenceAction> = keys.map(|key| key.on_delete).collect();
        assert_eq!(rules, [ReferenceAction::Cascade, ReferenceAction::Restrict]);
        // What is hidden of one table keeps no other from being followed.
        database
            .sql(&format!(
                "revoke select on `{name}`.* from `{user}`; grant select on plain to `{user}`; grant select (id, p) on c to `{user}`"
            ))
            .unwrap();
        let mut tap = Tap::of(&url, name).await;
        let obstructed = tap.tables.iter().filter(|table| table.obstacle.is_some());
        let obstructed: Vec<&str> = obstructed.map(|table| table.name.name.as_str()).collect();
        assert_eq!(obstructed, ["c"]);
        tap.log.prepare(&tap.tables).await.unwrap();
        tap.connector
            .source()
            .await
            .unwrap()
            .objects(&tap.tables)
            .await
            .unwrap();
        database.sql(&format!("drop user `{user}`")).unwrap();
    }
}

/// Statements are in the log as the client sent them.
#[tokio::test]
async fn statements_are_understood_in_any_character_set() {
    for engine in ENGINES {
        let server = server_with(engine, &[]);
        let database = server.database("log_words").unwrap();
        database
            .sql("create table größe (id int primary key, a int, b int); create table ร้าน (id int primary key)")
            .unwrap();
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database
            .sql("truncate table ร้าน;
                  set @told = 'truncate table größe'; set character_set_client = latin1, collation_connection = latin1_swedish_ci; prepare p from @told; execute p; set names utf8mb4;
                  set @told = 'alter table größe modify a int after b'; set character_set_client = latin1, collation_connection = latin1_swedish_ci; prepare p from @told; execute p;")
            .unwrap();
        let seen = tap.seen(&start).await;
        let truncated = seen.iter().filter_map(|seen| match seen {
            Seen::Truncate(table) => Some(table.as_str()),
            _ => None,
        });
        let truncated: Vec<&str> = truncated.collect();
        assert_eq!(truncated, ["ร้าน", "größe"], "{engine}");
        let is_told = |seen: &Seen| matches!(seen, Seen::Table(name, ..) if name == "größe");
        assert!(seen.iter().any(is_told), "{engine}: {seen:?}");
    }
}

#[tokio::test]
async fn minimal_images_leave_unchanged_cells_unsent() {
    for engine in ENGINES {
        for image in ["MINIMAL", "NOBLOB"] {
            let server = server_with(engine, &[("binlog-row-image", image)]);
            let database = server.database("log_minimal").unwrap();
            database
                .sql("create table t (id int primary key, a int default 7, b text, c varchar(9) not null default 'c', g int as (a + 1) stored, d datetime default current_timestamp);
                      create table nokey (a int)")
                .unwrap();
            let mut tap = Tap::on(&database).await;
            let start = tap.log.prepare(&tap.tables).await.unwrap();
            assert_eq!(start.refused.len(), 1);
            assert!(
                start.refused[0].table.name == "nokey"
                    && start.refused[0].message.contains("binlog_row_image = FULL")
            );
            tap.tables.retain(|table| table.name.name == "t");
            let start = start.position;
            database
                .sql("insert into t (id, a, b, c, d) values (1, 2, 'b', 'x', '2020-01-01'); update t set a = 3; update t set b = null; update t set id = 9; delete from t")
                .unwrap();
            let seen = tap.seen(&start).await;
            assert_eq!(outline(&seen), "(+)(~)(~)(~)(-)", "{engine}");
            let rows = updated(&seen, "t");
            assert!(
                rows[0].contains("Int(3)") && rows[0].contains("NotSent"),
                "{rows:?}"
            );
            assert!(rows[1].contains("Null"), "{rows:?}");
            assert!(rows[2].contains("Int(9)"), "{rows:?}");
            let Seen::Update(_, Some(before), _) = &seen[seen.len() - 5] else {
                panic!("{seen:?}")
            };
            assert!(
                before.starts_with("[Int(1), ") && before.contains("NotSent"),
                "{before}"
            );
            let Some(Seen::Delete(_, before)) = seen.iter().rev().nth(1) else {
                panic!()
            };
            assert!(before.starts_with("[Int(9), "), "{before}");
            // Rows that come are whole, whatever the statement left out.
            for round in 0..2 {
                let middle = tap.log.end().await.unwrap();
                database
                    .sql("insert into t (id) values (2); insert into t (id, b) values (3, 'x'); replace into t (id, a) values (4, 9)")
                    .unwrap();
                let seen = tap.seen(&middle).await;
                let loaded = tap.loaded("t").await;
                assert_eq!(inserted(&seen, "t"), loaded, "{engine} {image} {round}");
                database
                    .sql("delete from t; alter table t alter column a set default 8")
                    .unwrap();
            }
            // Nobody knows what an expression gave.
            let middle = tap.log.end().await.unwrap();
            database
                .sql("alter table t add column x varchar(40) default (concat('a', 1)); insert into t (id) values (2)")
                .unwrap();
            match tap.try_seen(&middle).await {
                Err(error) => assert!(
                    error.to_string().contains("binlog_row_image = FULL"),
                    "{error}"
                ),
                Ok(seen) => assert_eq!(inserted(&seen, "t"), tap.loaded("t").await),
            }
        }
    }
}

#[tokio::test]
async fn compressed_logs_are_captured_as_tables_are_loaded() {
    let settings: [(Engine, &[(&str, &str)]); 2] = [
        (
            Engine::Mariadb1011,
            &[
                ("log-bin-compress", "ON"),
                ("log-bin-compress-min-len", "10"),
            ],
        ),
        (Engine::Mysql97, &[("binlog-transaction-compression", "ON")]),
    ];
    for (engine, settings) in settings {
        let server = server_with(engine, settings);
        let database = server.database("log_compressed").unwrap();
        let (make, fill) = split(COMMON);
        let make = format!("{make}create table wide (id int primary key, v longtext);");
        let fill = format!(
            "{fill}insert into wide values (1, repeat('compress', 100000)), (2, repeat('x', 3000000));"
        );
        law_on(&database, &make, &fill).await;
        let mut tap = Tap::on(&database).await;
        let start = tap.start().await;
        database.sql("begin; update wide set v = repeat('abc', 10); delete from wide where id = 1; commit; truncate table wide").unwrap();
        assert_eq!(outline(&tap.seen(&start).await), "(~~-)(0)", "{engine}");
    }
}

#[tokio::test]
async fn partial_documents_are_made_whole() {
    let server = server_with(
        Engine::Mysql97,
        &[
            ("binlog-row-value-options", "PARTIAL_JSON"),
            ("binlog-transaction-compression", "ON"),
        ],
    );
    let database = server.database("log_partial").unwrap();
    database
        .sql(r#"create table t (id int primary key, j json, k json, v varchar(9));
               insert into t values (1, '{"a": [1, 2, {"b": "0123456789012345678901234567890123456789"}], "long key": "value value value", "n": null}', '[1, 2, 3]', 'x'),
                 (2, null, '{}', 'y'), (3, '[]', '["padding padding padding padding", "padding padding padding padding"]', 'z')"#)
        .unwrap();
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    let changes = [
        r#"j = json_set(j, '$.a[1]', 'new', '$."long key"', json_object('x', 1.5))"#,
        "j = json_remove(j, '$.a[0]', '$.n')",
        "j = json_replace(j, '$.a[1].b', 'short'), k = json_remove(k, '$[0]')",
        "j = json_set(j, '$.q', 1), v = 'w'",
        "j = json_replace(j, '$.q', 2)",
        "v = 'only'",
        "id = id + 10",
    ];
    for change in changes {
        let middle = tap.log.end().await.unwrap();
        database.sql(&format!("update t set {change}")).unwrap();
        let mut captured = updated(&tap.seen(&middle).await, "t");
        captured.sort();
        let mut loaded = tap.loaded("t").await;
        loaded.sort();
        // Rows that a statement did not change are not in the log.
        assert!(!captured.is_empty(), "{change}");
        for row in &captured {
            assert!(loaded.contains(row), "{change}: {row} in {loaded:?}");
        }
    }
    assert!(!tap.seen(&start).await.is_empty());
    // Without the old document there is nothing to apply differences to.
    let middle = tap.log.end().await.unwrap();
    database
        .sql("set binlog_row_image = 'MINIMAL'; update t set j = json_replace(j, '$.q', 5) where id = 11")
        .unwrap();
    match tap.try_seen(&middle).await {
        Err(error) => assert!(
            error.to_string().contains("binlog_row_image = FULL"),
            "{error}"
        ),
        Ok(seen) => {
            let loaded = tap.loaded("t").await;
            assert!(
                updated(&seen, "t")[0].contains(r#"\"q\": 5"#),
                "{seen:?} {loaded:?}"
            );
        }
    }
}

#[tokio::test]
async fn tagged_and_anonymous_transactions_advance_the_position() {
    let server = Server::get(Engine::Mysql97).unwrap();
    let database = server.database("log_tagged").unwrap();
    database.sql("create table t (id int primary key)").unwrap();
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    database
        .sql("set gtid_next = 'automatic:whimbrel_tag'; insert into t values (1); insert into t values (2); set gtid_next = 'automatic'; insert into t values (3)")
        .unwrap();
    let seen = tap.seen(&start).await;
    assert_eq!(outline(&seen), "(+)(+)(+)");
    let Some(Seen::Commit(last)) = seen.last() else {
        panic!()
    };
    let end = tap.log.end().await.unwrap();
    assert!(last.as_str().contains("whimbrel_tag:"), "{last}");
    let gtids = |text: &str| {
        text.split_once(';')
            .map(|(_, gtids)| gtids.to_owned())
            .unwrap()
    };
    let check = format!(
        "select gtid_subset('{}', '{}'), gtid_subset('{}', @@global.gtid_executed)",
        gtids(last.as_str()),
        gtids(end.as_str()),
        gtids(last.as_str())
    );
    assert_eq!(database.sql(&check).unwrap(), "1\t1\n");
    let off = server_with(
        Engine::Mysql97,
        &[("gtid-mode", "OFF"), ("enforce-gtid-consistency", "OFF")],
    );
    let database = off.database("log_anonymous").unwrap();
    database.sql("create table t (id int primary key); create table m (id int primary key) engine = myisam").unwrap();
    let mut tap = Tap::on(&database).await;
    let start = tap.start().await;
    database.sql("begin; insert into t values (1); insert into m values (1); rollback; begin; insert into t values (2); insert into m values (2); commit").unwrap();
    let seen = tap.seen(&start).await;
    assert_eq!(inserted(&seen, "t"), ["[Int(2)]"]);
    assert_eq!(inserted(&seen, "m"), ["[Int(1)]", "[Int(2)]"]);
    assert!(!start.as_str().contains(';'));
}
