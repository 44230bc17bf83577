//! What is done with the values that decoders give, and the table and row that rules are tried with.

use whimbrel_connector::expression::Dialect;
use whimbrel_connector::views::Views;
use whimbrel_connector::{Error, KeyPolicy, TargetColumn, TargetTable};
use whimbrel_core::mapping::Conversion;
use whimbrel_core::{
    Column, ColumnType, Date, Decimal, Engine, Generation, RowHasher, Table, TableName, Timestamp,
    Value, write_text,
};

/// Does with the cells of a row what is done with them between a source and a target.
#[allow(clippy::unnecessary_wraps, reason = "it is a visitor of rows")]
pub(crate) fn check(row: &[Value<'_>]) -> Result<(), Error> {
    for (_, ty) in columns() {
        RowHasher::new().hash(row.iter().map(|value| (value, &ty)));
    }
    let mut text = Vec::new();
    for value in row {
        text.clear();
        write_text(value, &mut text);
        if let Value::Decimal(number) = value {
            number.write_groups(&mut text).ok();
        }
        convert(value);
        whimbrel_postgres::fuzz::write(value);
        whimbrel_mysql::fuzz::write(value);
    }
    Ok(())
}

fn convert(value: &Value<'_>) {
    let mut scratch = String::new();
    for (_, ty) in columns() {
        if let Some(conversion) = Conversion::to(&ty) {
            scratch.clear();
            conversion.convert(value, &mut scratch).ok();
        }
    }
}

/// A document as a value.
pub(crate) fn documents(text: &str) {
    check(&[Value::Json(text), Value::Text(text)]).ok();
}

/// Columns of all types that rules tell apart.
fn columns() -> [(&'static str, ColumnType); 10] {
    let decimal = ColumnType::Decimal {
        precision: Some((20, 4)),
        unsigned: false,
    };
    [
        (
            "id",
            ColumnType::Int {
                bits: 32,
                unsigned: false,
            },
        ),
        ("name", ColumnType::Varchar { length: Some(20) }),
        ("price", decimal),
        ("ratio", ColumnType::Float64),
        ("flag", ColumnType::Bool),
        ("day", ColumnType::Date),
        ("at", ColumnType::Timestamp { precision: 3 }),
        ("clock", ColumnType::Time { precision: 0 }),
        ("data", ColumnType::Blob { bytes_max: None }),
        ("note", ColumnType::Text { bytes_max: None }),
    ]
}

/// The table `s.t`.
pub(crate) fn table() -> Table {
    let columns = columns().into_iter().map(|(name, ty)| Column {
        name: name.to_owned(),
        ty,
        native: "text".to_owned(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    });
    Table {
        engine: Engine::Postgres,
        name: TableName::new("s", "t"),
        columns: columns.collect(),
        primary_key: vec![0],
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    }
}

/// A row of it.
pub(crate) fn row() -> [Value<'static>; 10] {
    [
        Value::Int(-7),
        Value::Text("Whimbrel é"),
        Value::Decimal(Decimal::from_text("123456789012.3400").unwrap_or(Decimal::NaN)),
        Value::Float64(1e300),
        Value::Bool(true),
        Value::Date(Date::Infinity),
        Value::Timestamp(Timestamp::NegInfinity),
        Value::Null,
        Value::Bytes(b"\0\xFF"),
        Value::Text(""),
    ]
}

/// Converts a view over that table.
pub(crate) fn views(text: &str) {
    for (engine, dialect) in [
        (Engine::Postgres, Dialect::Postgres),
        (Engine::MySql, Dialect::MySql),
    ] {
        let source = Table { engine, ..table() };
        let columns = source.columns.iter().map(|column| TargetColumn {
            name: column.name.clone(),
            native: column.native.clone(),
            source_type: column.ty.clone(),
            nullable: true,
        });
        let table = TargetTable {
            name: TableName::new("there", "t"),
            columns: columns.collect(),
            source,
            shaped: None,
            primary_key: vec![0],
            keys: KeyPolicy::Best,
            notes: Vec::new(),
        };
        let mut views = Views::new(&[table], dialect);
        if let Ok(converted) = views.convert(text, Some("s")) {
            converted.statement();
            converted.over();
        }
        let wrapped = format!("CREATE VIEW s.v AS {text}");
        views.convert(&wrapped, Some("s")).ok();
    }
}
