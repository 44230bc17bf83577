//! What rules make of tables and rows.

use std::sync::atomic::Ordering;

use whimbrel_connector::{RawRows, RowBlock, RowVisitor};
use whimbrel_core::{Column, ColumnType, Engine, Generation, Value};

use super::*;

const INT4: ColumnType = ColumnType::Int {
    bits: 32,
    unsigned: false,
};
const TEXT: ColumnType = ColumnType::Text { bytes_max: None };

/// `s.t (id int4 primary key, name text, n int4)`
fn table() -> Table {
    let column = |(name, ty): (&str, &ColumnType)| Column {
        name: name.to_owned(),
        native: "its own".to_owned(),
        ty: ty.clone(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    };
    Table {
        engine: Engine::Postgres,
        name: TableName::new("s", "t"),
        columns: [("id", &INT4), ("name", &TEXT), ("n", &INT4)]
            .map(column)
            .into(),
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

/// A rule for columns, as far as it is not the same in all.
fn rule(id: u32, column: &str, rest: &str) -> String {
    format!(
        r#"{{"rule-type": "transformation", "rule-id": {id}, "rule-target": "column",
            "object-locator": {{"schema-name": "s", "table-name": "t", "column-name": "{column}"}}, {rest}}}"#
    )
}

fn shaped(settings: &Shaping, rules: &[String]) -> Arc<Shaped> {
    let document = format!(
        r#"{{"rules": [{{"rule-type": "selection", "rule-id": 1, "rule-action": "include",
            "object-locator": {{"schema-name": "%", "table-name": "%"}}}}, {}]}}"#,
        rules.join(", ")
    );
    let mappings = TableMappings::parse(&document).unwrap();
    let mappings = &mappings;
    let shape = Shaper {
        settings,
        mappings,
        target_schema: None,
    }
    .of(&table());
    shape.unwrap().unwrap()
}

fn rows(shape: &Shaped, event: Event<'_>, row: &[Value<'_>]) -> Result<String, Error> {
    let mut seen = String::new();
    shape.row_of(event, row, &mut Scratch::default(), &mut |row| {
        seen = format!("{row:?}");
        Ok(())
    })?;
    Ok(seen)
}

const ROW: [Value<'static>; 3] = [Value::Int(7), Value::Text("seven"), Value::Int(70)];

#[test]
fn a_wider_type_keeps_its_values_but_not_its_bytes() {
    let wider = rule(
        2,
        "n",
        r#""rule-action": "change-data-type", "data-type": {"type": "int8"}"#,
    );
    let shape = shaped(&Shaping::default(), &[wider]);
    assert!(shape.touches_rows() && !shape.changes_cells());
    assert_eq!(shape.table().columns[2].native, "");
    let notes = ["by the rules, the values of column n become whole numbers of 64 bits"];
    assert_eq!(shape.notes(), notes);
}

#[test]
fn a_value_that_does_not_fit_is_told_by_key_column_and_kind() {
    let narrower = rule(
        2,
        "n",
        r#""rule-action": "change-data-type", "data-type": {"type": "int1"}"#,
    );
    let shape = shaped(&Shaping::default(), &[narrower]);
    assert_eq!(
        rows(&shape, Event::LOAD, &ROW).unwrap(),
        "[Int(7), Text(\"seven\"), Int(70)]"
    );
    let too_large = [Value::Int(8), Value::Null, Value::Int(4711)];
    let error = rows(&shape, Event::LOAD, &too_large).unwrap_err();
    assert_eq!(
        error.to_string(),
        "table s.t, key (8), column n: the target cannot hold this integer: it is out of range"
    );
    assert!(matches!(error, Error::Row(_)));
}

#[test]
fn before_images_are_what_was_before_an_update() {
    let images = rule(
        2,
        "%",
        r#""rule-action": "add-before-image-columns", "before-image-def": {"column-prefix": "BI_", "column-filter": "all"}"#,
    );
    let shape = shaped(&Shaping::default(), &[images]);
    let names: Vec<&str> = shape
        .table()
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(names, ["id", "name", "n", "BI_id", "BI_name", "BI_n"]);
    assert!(shape.asks_for_events() && !shape.is_comparable(3) && shape.is_comparable(2));
    let loaded = rows(&shape, Event::LOAD, &ROW).unwrap();
    assert_eq!(
        loaded,
        "[Int(7), Text(\"seven\"), Int(70), Null, Null, Null]"
    );
    let before = [Value::Int(6), Value::Null, Value::Int(60)];
    let update = |before| Event {
        operation: Operation::Update,
        before,
        change: None,
    };
    let updated = rows(&shape, update(Some(&before)), &ROW).unwrap();
    assert_eq!(
        updated,
        "[Int(7), Text(\"seven\"), Int(70), Int(6), Null, Int(60)]"
    );
    assert!(shape.tells_event(&ROW, update(Some(&before))));
    let key_alone = [Value::Int(6), Value::NotSent, Value::NotSent];
    assert!(!shape.tells_event(&ROW, update(Some(&key_alone))));
    assert!(!shape.tells_event(&ROW, update(None)));
    let key = rule(
        2,
        "%",
        r#""rule-action": "add-before-image-columns", "before-image-def": {"column-prefix": "BI_"}"#,
    );
    let shape = shaped(&Shaping::default(), &[key]);
    assert!(
        shape.tells_event(&ROW, update(Some(&key_alone))) && shape.tells_event(&ROW, update(None))
    );
    let updated = rows(&shape, update(None), &ROW).unwrap();
    assert_eq!(updated, "[Int(7), Text(\"seven\"), Int(70), Int(7)]");
}

#[test]
fn of_a_row_that_goes_its_flag_alone_changes() {
    let added = r#"{"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "add-column",
        "object-locator": {"schema-name": "s", "table-name": "t"}, "value": "op",
        "expression": "operation_indicator('D','U','I')", "data-type": {"type": "string", "length": 1}}"#;
    let shape = shaped(&Shaping::default(), &[added.to_owned()]);
    assert!(shape.keeps_deleted() && !shape.is_comparable(3));
    let goes = Event {
        operation: Operation::Delete,
        ..Event::LOAD
    };
    let gone = rows(&shape, goes, &ROW).unwrap();
    assert_eq!(gone, "[Int(7), NotSent, NotSent, Text(\"D\")]");
    let key_alone = [Value::Int(7), Value::NotSent, Value::NotSent];
    assert_eq!(rows(&shape, goes, &key_alone).unwrap(), gone);
    assert!(shape.tells_event(&key_alone, goes));
    let flagged = |flag| shape.is_deleted(|column| (column == 3).then_some(Value::Text(flag)));
    assert!(flagged("D") && !flagged("U"));
}

/// One row, which is there whenever it is looked at.
struct One;

impl RowBlock for One {
    fn row_count(&self) -> usize {
        1
    }

    fn byte_count(&self) -> usize {
        1
    }

    fn raw(&self) -> Option<RawRows<'_>> {
        None
    }

    fn decode(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        visit(&ROW)
    }
}

#[test]
fn a_row_of_which_an_expression_makes_another_each_time_is_told() {
    for (expression, is_repeatable) in [
        ("$name || 'x'", true),
        ("random() || $name", false),
        ("$AR_H_TIMESTAMP || $name", false),
        ("datetime('now') || $name", false),
    ] {
        let added = format!(
            r#"{{"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "add-column",
            "object-locator": {{"schema-name": "s", "table-name": "t"}}, "value": "x",
            "expression": "{expression}", "data-type": {{"type": "clob"}}}}"#
        );
        let shape = shaped(&Shaping::default(), &[added]);
        let block = ShapedBlock::new(Box::new(One), shape).unwrap();
        assert_eq!(block.is_repeatable(), is_repeatable, "{expression}");
    }
}

#[test]
fn what_a_row_loses_is_counted_once_however_often_it_is_looked_at() {
    let settings = Shaping {
        lob_bytes_max: Some(3),
        on_cut: OnCut::Cut,
        ..Shaping::default()
    };
    let longer = rule(
        2,
        "n",
        r#""rule-action": "change-data-type", "data-type": {"type": "int8"}"#,
    );
    let shape = shaped(&settings, &[longer]);
    let block = ShapedBlock::new(Box::new(One), Arc::clone(&shape)).unwrap();
    for _ in 0..3 {
        block.decode(&mut |_| Ok(())).unwrap();
    }
    assert_eq!(shape.lossy_count.load(Ordering::Relaxed), 1);
}

#[test]
fn what_an_expression_needs_is_told_or_the_table_cannot_be_followed() {
    let added = r#"{"rule-type": "transformation", "rule-id": 2, "rule-target": "column", "rule-action": "add-column",
        "object-locator": {"schema-name": "s", "table-name": "t"}, "value": "x",
        "expression": "$n || $name", "data-type": {"type": "clob"}}"#;
    let shape = shaped(&Shaping::default(), &[added.to_owned()]);
    assert_eq!(
        rows(&shape, Event::LOAD, &ROW).unwrap(),
        "[Int(7), Text(\"seven\"), Int(70), Text(\"70seven\")]"
    );
    let update = Event {
        operation: Operation::Update,
        ..Event::LOAD
    };
    let partly = [Value::Int(7), Value::NotSent, Value::Int(71)];
    assert!(shape.tells_event(&ROW, update) && !shape.tells_event(&partly, update));
    // None of its columns changed.
    let unchanged = [Value::Int(7), Value::NotSent, Value::NotSent];
    assert!(shape.tells_event(&unchanged, update));
    assert_eq!(
        rows(&shape, update, &unchanged).unwrap(),
        "[Int(7), NotSent, NotSent, NotSent]"
    );
    let making = shape.making_of("x").unwrap();
    assert!(making.contains("$n || $name"), "{making}");
    assert_eq!(shape.making_of("n"), None);
}

#[test]
fn large_objects_follow_the_table_s_own_settings() {
    let of_table = |lob: &str| {
        format!(
            r#"{{"rule-type": "table-settings", "rule-id": 2, "lob-settings": {lob},
            "object-locator": {{"schema-name": "s", "table-name": "t"}}}}"#
        )
    };
    let settings = Shaping {
        lob_bytes_max: Some(3),
        ..Shaping::default()
    };
    let long = "x".repeat(2000);
    let row = [Value::Int(7), Value::Text(&long), Value::Null];
    for (lob, length) in [
        (r#"{"mode": "limited", "bulk-max-size": "1"}"#, 1024),
        (r#"{"mode": "unlimited"}"#, 2000),
    ] {
        let shape = shaped(&settings, &[of_table(lob)]);
        let cut = rows(&shape, Event::LOAD, &row).unwrap();
        // One more is in the name of the variant.
        assert_eq!(cut.matches('x').count(), length + 1, "{lob}");
    }
    let shape = shaped(&settings, &[of_table(r#"{"mode": "none"}"#)]);
    assert_eq!(rows(&shape, Event::LOAD, &row).unwrap(), "[Int(7), Null]");
}
