use whimbrel_core::{Column, ColumnType, Decimal, Engine, Generation, Value};

use super::*;

fn of(settings: &Shaping, table: &Table) -> Option<Arc<Shaped>> {
    let mappings = TableMappings::of_patterns(&[], &[]);
    let mappings = &mappings;
    Shaper {
        settings,
        mappings,
        target_schema: None,
    }
    .of(table)
    .unwrap()
}

fn column(name: &str, ty: ColumnType) -> Column {
    Column {
        name: name.to_owned(),
        native: format!("{ty:?}"),
        ty,
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    }
}

fn table(engine: Engine, columns: Vec<Column>) -> Table {
    Table {
        engine,
        name: TableName::new("s", "t"),
        columns,
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

const TEXT: ColumnType = ColumnType::Text { bytes_max: None };
const ANY_NUMBER: ColumnType = ColumnType::Decimal {
    precision: None,
    unsigned: false,
};

fn everything() -> Table {
    let computed = Column {
        generation: Generation::Computed,
        ..column("computed", ColumnType::Bool)
    };
    let columns = vec![
        column("key", TEXT),
        computed,
        column("flag", ColumnType::Bool),
        column("any", ANY_NUMBER),
        column("note", TEXT),
        column("document", ColumnType::Json { binary: true }),
    ];
    table(Engine::Postgres, columns)
}

fn shaped(shaping: &Shaping, row: &[Value<'_>]) -> Vec<String> {
    let shape = of(shaping, &everything()).unwrap();
    let mut seen = Vec::new();
    let mut take = |row: &[Value<'_>]| {
        seen = row.iter().map(|value| format!("{value:?}")).collect();
        Ok(())
    };
    shape.row(row, &mut Scratch::default(), &mut take).unwrap();
    seen
}

#[test]
fn each_rule_shapes_its_cells_and_no_others() {
    let number = Value::Decimal(Decimal::Text("1.23456789"));
    let row = [
        Value::Text("a long key"),
        Value::Bool(true),
        number,
        Value::Text("a long note"),
        Value::Json("{\"long\": 1}"),
    ];
    let all = Shaping {
        lob_bytes_max: Some(3),
        on_cut: OnCut::Cut,
        booleans_as_text: true,
        unbounded_numbers: UnboundedNumbers::AsText,
        characters: None,
    };
    let wanted = [
        "Text(\"a long key\")",
        "Text(\"true\")",
        "Text(\"1.23456789\")",
        "Text(\"a l\")",
        "Json(\"{\\\"long\\\": 1}\")",
    ];
    assert_eq!(shaped(&all, &row), wanted);
    let rounding = Shaping {
        unbounded_numbers: UnboundedNumbers::Rounded,
        ..Shaping::default()
    };
    assert!(shaped(&rounding, &row)[2].contains("1.234568"));
    let untouched = [
        Value::NotSent,
        Value::NotSent,
        Value::Null,
        Value::NotSent,
        Value::Null,
    ];
    let same = untouched.map(|value| format!("{value:?}"));
    assert_eq!(shaped(&all, &untouched), same);
}

#[test]
fn a_value_that_would_be_cut_can_be_an_error() {
    let strict = Shaping {
        lob_bytes_max: Some(3),
        on_cut: OnCut::StopTask,
        ..Shaping::default()
    };
    let shape = of(&strict, &everything()).unwrap();
    let row = |note| {
        [
            Value::Null,
            Value::Null,
            Value::Null,
            Value::Text(note),
            Value::Null,
        ]
    };
    let put = |note| shape.row(&row(note), &mut Scratch::default(), &mut |_| Ok(()));
    put("abc").unwrap();
    let error = put("abcd").unwrap_err().to_string();
    assert!(
        error.contains("column note") && error.contains("LobMaxSize"),
        "{error}"
    );
}

#[test]
fn the_target_s_table_has_other_types() {
    let all = Shaping {
        lob_bytes_max: Some(3),
        on_cut: OnCut::Cut,
        booleans_as_text: true,
        unbounded_numbers: UnboundedNumbers::Rounded,
        characters: None,
    };
    let shape = of(&all, &everything()).unwrap();
    let natives: Vec<&str> = shape
        .table()
        .columns
        .iter()
        .map(|column| column.native.as_str())
        .collect();
    let unchanged = everything();
    let natives_before: Vec<&str> = unchanged
        .columns
        .iter()
        .map(|column| column.native.as_str())
        .collect();
    assert_eq!(natives[2..4], ["character varying(5)", "numeric(28,6)"]);
    assert_eq!(
        (natives[0], natives[1]),
        (natives_before[0], natives_before[1])
    );
    assert_eq!(natives[4..], natives_before[4..]);
    assert_eq!(shape.notes().len(), 3);
}

#[test]
fn keys_are_never_cut_or_rounded() {
    let lossy = Shaping {
        lob_bytes_max: Some(3),
        unbounded_numbers: UnboundedNumbers::Rounded,
        ..Shaping::default()
    };
    for ty in [TEXT, ANY_NUMBER] {
        let of_key = table(Engine::Postgres, vec![column("key", ty)]);
        assert!(of(&lossy, &of_key).is_none());
    }
}

#[test]
fn tables_without_anything_to_shape_pass_by() {
    assert!(of(&Shaping::default(), &everything()).is_none());
    let all = Shaping {
        lob_bytes_max: Some(3),
        on_cut: OnCut::Cut,
        booleans_as_text: true,
        unbounded_numbers: UnboundedNumbers::AsText,
        characters: None,
    };
    let short = ColumnType::Text {
        bytes_max: Some(65_535),
    };
    let columns = vec![
        column("key", TEXT),
        column("note", short),
        column("flag", ColumnType::Bool),
        column("number", ANY_NUMBER),
    ];
    assert!(of(&all, &table(Engine::MySql, columns)).is_none());
}
