use whimbrel_core::{ColumnType, TableName};

use super::*;
use crate::types::Slot;

/// More than a cell needs to be cut.
const LONG_BYTES: usize = 64 * 1024;

fn layout(kinds: Vec<SlotKind>) -> Layout {
    let name = TableName::new("s", "t");
    let slots = kinds
        .into_iter()
        .map(|kind| Slot::for_test(kind, ColumnType::Text { bytes_max: None }));
    Layout {
        source: name.clone(),
        target: name,
        slots: slots.collect(),
        key: vec![0],
        load: String::new(),
        natives: Vec::new(),
    }
}

/// Writes a row window by window; answers its text, and the row as it is kept.
fn in_windows(row: &[Value<'_>], layout: &Layout, window: usize) -> (Vec<u8>, Vec<u8>) {
    let mut cursor = RowCursor::with_windows(window);
    let mut writer = PieceWriter::default();
    let (mut out, mut is_over) = (Vec::new(), false);
    while !is_over {
        let mut made = Vec::new();
        let may_cut =
            |place: usize, value: &Value<'_>| plain(value, &layout.slots[place]).is_some();
        let next = cursor.next(row, &may_cut, &mut |piece| {
            writer.write(piece, layout, row, &mut made)
        });
        is_over = next.unwrap();
        // Escapes take up to twice the room.
        assert!(is_over || made.len() <= 2 * window + 64, "{}", made.len());
        out.extend_from_slice(&made);
    }
    assert!(writer.is_over);
    (out, writer.outline)
}

#[test]
fn windows_of_any_size_are_the_row() {
    let bytes: Vec<u8> = (0..=255).cycle().take(LONG_BYTES + 77).collect();
    let text = "a\tb\\c\nü€😀\0".repeat(LONG_BYTES / 4);
    let document = format!("{{\"a\": \"{}\"}}", "x\\n".repeat(LONG_BYTES));
    let row = [
        Value::Int(7),
        Value::Bytes(&bytes),
        Value::Null,
        Value::Text(&text),
        Value::Json(&document),
        Value::Json(&document),
        Value::Text("short\t"),
        Value::Text(""),
        Value::Text(&text),
        Value::Bytes(&bytes),
    ];
    let layout = layout(vec![
        SlotKind::Int,
        SlotKind::Bytes,
        SlotKind::Text,
        SlotKind::Text,
        SlotKind::JsonText,
        SlotKind::JsonBinary,
        SlotKind::Text,
        SlotKind::Text,
        SlotKind::Native,
        SlotKind::Geometry,
    ]);
    let mut expected = Vec::new();
    layout.encode(&row, &mut expected).unwrap();
    for window in [1000, 4096, LONG_BYTES, LONG_BYTES + 77, 1 << 30] {
        let (out, outline) = in_windows(&row, &layout, window);
        assert!(out == expected, "windows of {window}");
        assert_eq!(outline, b"7\t\t\\N\t\t\t\tshort\\t\t\t\t\n");
    }
}

#[test]
fn what_the_column_does_not_hold_is_refused_before_any_of_it_is_written() {
    let document = format!("{{\"a\": \"{}\", \"a\": 1}}", "x".repeat(LONG_BYTES));
    let layout = layout(vec![SlotKind::Int, SlotKind::JsonBinary]);
    let row = [Value::Int(7), Value::Json(&document)];
    let mut writer = PieceWriter::default();
    let mut out = Vec::new();
    let cell = Piece::Cell(row[0]);
    writer.write(cell, &layout, &row, &mut out).unwrap();
    let begin = Piece::Begin {
        of: row[1],
        bytes: document.len(),
    };
    let refused = writer.write(begin, &layout, &row, &mut out).unwrap_err();
    assert!(refused.to_string().contains("(7)"), "{refused}");
    assert_eq!(out, b"7\t");
}

#[test]
fn a_cell_has_the_bytes_that_were_announced() {
    let layout = layout(vec![SlotKind::Bytes]);
    let begun = || {
        let mut writer = PieceWriter::default();
        let begin = Piece::Begin {
            of: Value::Bytes(b""),
            bytes: 2,
        };
        writer.write(begin, &layout, &[], &mut Vec::new()).unwrap();
        writer
    };
    let write =
        |writer: &mut PieceWriter, piece| writer.write(piece, &layout, &[], &mut Vec::new());
    assert!(write(&mut begun(), Piece::Part(Value::Bytes(b"abc"))).is_err());
    assert!(write(&mut begun(), Piece::Cell(Value::Null)).is_err());
    assert!(write(&mut begun(), Piece::Part(Value::Text("ab"))).is_ok());
    let mut writer = begun();
    write(&mut writer, Piece::Part(Value::Bytes(b"ab"))).unwrap();
    assert!(writer.is_over);
    assert!(write(&mut writer, Piece::Cell(Value::Null)).is_err());
}
