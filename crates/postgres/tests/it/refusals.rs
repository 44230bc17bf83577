//! What the target cannot hold is an error that names table and column, never a truncation.

use whimbrel_connector::{
    ChunkLoad, Error, KeyPolicy, PrepareMode, RawRows, RowBlock, RowRefusal, RowVisitor,
};
use whimbrel_core::{
    ChunkBounds, ChunkId, Column, ColumnType, Date, Engine as EngineName, Generation, Position,
    Table, TableName, Time, Timestamp, Value,
};
use whimbrel_testkit::Engine;

use crate::support::{How, Pair, TASK};

/// Rows of one column, as another engine's source would hand them over.
struct OneColumn(Vec<Value<'static>>);

impl RowBlock for OneColumn {
    fn row_count(&self) -> usize {
        self.0.len()
    }

    fn byte_count(&self) -> usize {
        0
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.0
            .iter()
            .try_for_each(|value| visit(std::slice::from_ref(value)))
    }
}

fn table_of(ty: ColumnType) -> Table {
    let column = Column {
        name: "the column".to_owned(),
        ty,
        native: "some type".to_owned(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    };
    Table {
        engine: EngineName::MySql,
        name: TableName::new("shop", "wares"),
        columns: vec![column],
        primary_key: Vec::new(),
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    }
}

/// Loads one value of a type of MySQL, and answers what the target then shows.
async fn put(pair: &Pair, ty: ColumnType, value: Value<'static>) -> Result<String, Error> {
    let mut target = pair.to.target().await?;
    let fence = target.claim(TASK).await?;
    let table = target.plan_table(
        &table_of(ty),
        TableName::new("shop", "wares"),
        KeyPolicy::Best,
    )?;
    let chunks = [ChunkBounds {
        range: "all".to_owned(),
        row_estimate: 1,
    }];
    let position = Position::new("somewhere");
    target
        .prepare(
            &fence,
            &table,
            PrepareMode::DropAndCreate,
            &position,
            &chunks,
        )
        .await?;
    let mut loader = target.loader(&fence).await?;
    let load = ChunkLoad {
        table: &table,
        chunk: ChunkId(0),
        is_only_chunk: true,
        raw: None,
        statement_rows_max: None,
        sifts: false,
    };
    loader.begin(load).await?;
    loader.write(&OneColumn(vec![Value::Null, value])).await?;
    loader.commit().await?;
    drop(loader);
    target.finish(&fence, &table).await?;
    let shown = pair
        .target
        .sql("select * from shop.wares offset 1")
        .unwrap();
    Ok(shown.trim_end_matches('\n').to_owned())
}

fn refusal(error: Error) -> RowRefusal {
    let Error::Row(refusal) = error else {
        panic!("{error:?}")
    };
    *refusal
}

#[tokio::test]
async fn values_without_a_place_are_refused_by_column_and_kind() {
    let zero = Date::Zero {
        year: 0,
        month: 0,
        day: 0,
    };
    let zero_time = Timestamp::Zero {
        year: 2020,
        month: 0,
        day: 1,
        micros: 0,
    };
    let cases = [
        (
            ColumnType::Text { bytes_max: None },
            Value::Text("a\0canary"),
        ),
        (
            ColumnType::Json { binary: true },
            Value::Json("{\"a\": \"\\u0000canary\"}"),
        ),
        (ColumnType::Date, Value::Date(zero)),
        (
            ColumnType::Timestamp { precision: 0 },
            Value::Timestamp(zero_time),
        ),
        (
            ColumnType::TimestampTz { precision: 0 },
            Value::TimestampTz(zero_time),
        ),
        (
            ColumnType::Time { precision: 0 },
            Value::Time(Time {
                micros: -3_020_399_000_000,
            }),
        ),
        (ColumnType::Text { bytes_max: None }, Value::NotSent),
        (
            ColumnType::Enum {
                labels: vec!["a".to_owned()],
            },
            Value::NotSent,
        ),
    ];
    let pair = Pair::on(Engine::Postgres15, "refusals");
    for (ty, value) in cases {
        let error = put(&pair, ty.clone(), value).await.unwrap_err();
        let text = error.to_string();
        let refusal = refusal(error);
        assert_eq!(refusal.table, TableName::new("shop", "wares"), "{ty:?}");
        assert_eq!(
            refusal.column.as_deref(),
            Some("the column"),
            "{ty:?}: {text}"
        );
        assert!(!text.contains("canary"), "{text}");
        assert_eq!(
            pair.target.sql("select count(*) from shop.wares").unwrap(),
            "0\n",
            "{ty:?}"
        );
    }
}

#[tokio::test]
async fn extreme_values_of_other_engines_arrive() {
    let int = |bits, unsigned| ColumnType::Int { bits, unsigned };
    let cases = [
        (int(8, false), Value::Int(-128), "-128"),
        (int(8, true), Value::UInt(255), "255"),
        (int(16, true), Value::UInt(65_535), "65535"),
        (int(32, true), Value::UInt(4_294_967_295), "4294967295"),
        (int(64, true), Value::UInt(u64::MAX), "18446744073709551615"),
        (int(64, false), Value::Int(i64::MIN), "-9223372036854775808"),
        (ColumnType::Year, Value::Int(2155), "2155"),
        (ColumnType::Bool, Value::Bool(true), "t"),
        (ColumnType::Char { length: 3 }, Value::Text("a"), "a"),
        (
            ColumnType::Varchar { length: Some(3) },
            Value::Text("𝄞𝄞𝄞"),
            "𝄞𝄞𝄞",
        ),
        (
            ColumnType::Binary { length: 2 },
            Value::Bytes(&[0, 255]),
            "\\x00ff",
        ),
        (
            ColumnType::Set {
                labels: vec!["a".to_owned(), "b".to_owned()],
            },
            Value::Text("a,b"),
            "a,b",
        ),
        (
            ColumnType::Time { precision: 0 },
            Value::Time(Time {
                micros: 86_399_000_000,
            }),
            "23:59:59",
        ),
        (
            ColumnType::Json { binary: false },
            Value::Json("{\"a\": 1}"),
            "{\"a\": 1}",
        ),
    ];
    let pair = Pair::on(Engine::Postgres18, "extremes");
    for (ty, value, expected) in cases {
        assert_eq!(
            put(&pair, ty.clone(), value).await.unwrap(),
            expected,
            "{ty:?}"
        );
    }
}

#[tokio::test]
async fn a_value_too_long_for_a_table_that_was_there_is_refused() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::on(Engine::Postgres15, "too_long");
        pair.source.sql("create table t (id int primary key, v text); insert into t values (1, 'ok'), (2, 'canary')").unwrap();
        pair.target
            .sql("create table t (id int primary key, v varchar(3))")
            .unwrap();
        let error = pair
            .load(how.mode(PrepareMode::Truncate))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(!text.contains("canary"), "{text}");
        let refusal = refusal(error);
        assert_eq!(
            (refusal.table.name.as_str(), refusal.column.as_deref()),
            ("t", Some("v")),
            "{text}"
        );
        assert_eq!(pair.target.sql("select count(*) from t").unwrap(), "0\n");
    }
}

#[tokio::test]
async fn values_that_a_narrower_table_would_round_or_cut_are_refused() {
    let cases = [
        ("numeric(9,3)", "1.234", "numeric(9,2)"),
        ("numeric", "0.5", "numeric(9)"),
        ("timestamp", "'2000-01-01 00:00:00.5'", "timestamp(0)"),
        ("timestamp", "'2000-01-01 12:00'", "date"),
        ("text", "'ab  '", "varchar(3)"),
        ("double precision", "0.1", "real"),
        ("timestamptz", "'2000-01-01 00:00Z'", "time"),
    ];
    for (from, value, to) in cases {
        let pair = Pair::on(Engine::Postgres15, "narrower");
        pair.source
            .sql(&format!(
                "create table t (v {from}, other inet); insert into t values ({value})"
            ))
            .unwrap();
        pair.target
            .sql(&format!("create table t (v {to}, other inet)"))
            .unwrap();
        let error = pair
            .load(How::RAW.mode(PrepareMode::Truncate))
            .await
            .unwrap_err();
        let refusal = refusal(error);
        assert_eq!(
            refusal.column.as_deref(),
            Some("v"),
            "{from} to {to}: {refusal}"
        );
    }
}

#[tokio::test]
async fn an_infinite_interval_is_refused_by_a_server_that_has_none() {
    for how in [How::RAW, How::DECODED] {
        let pair = Pair::between(Engine::Postgres18, Engine::Postgres15, "infinite");
        pair.source
            .sql("create table t as select 'infinity'::interval as v")
            .unwrap();
        let refusal = refusal(pair.load(how).await.unwrap_err());
        assert_eq!(refusal.column.as_deref(), Some("v"), "{refusal}");
    }
}
