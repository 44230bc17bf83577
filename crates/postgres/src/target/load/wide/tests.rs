use std::sync::Arc;

use whimbrel_connector::{KeyPolicy, TargetColumn};
use whimbrel_core::{ChunkId, ColumnType, Engine, Table, TableName};

use super::super::Format;
use super::*;

/// More than a cell needs to be cut.
const LONG_BYTES: usize = 64 * 1024;

fn column(wire: WireType) -> ActualColumn {
    ActualColumn {
        native: String::new(),
        wire,
        limit: Limit::None,
        is_text_only: false,
    }
}

fn open(format: Format) -> OpenChunk {
    let columns = format.columns().iter().enumerate();
    let name = TableName::new("s", "t");
    let table = TargetTable {
        name: name.clone(),
        source: Table {
            engine: Engine::MySql,
            name,
            columns: Vec::new(),
            primary_key: Vec::new(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        },
        shaped: None,
        columns: columns
            .map(|(place, _)| TargetColumn {
                name: format!("c{place}"),
                native: String::new(),
                source_type: ColumnType::Text { bytes_max: None },
                nullable: true,
            })
            .collect(),
        primary_key: Vec::new(),
        keys: KeyPolicy::Best,
        notes: Vec::new(),
    };
    OpenChunk {
        table,
        chunk: ChunkId(0),
        format,
        copy_sql: String::new(),
        statement_rows_max: u64::MAX,
        statement_rows: 0,
        rows: 0,
        bytes: 0,
        sifts: false,
        pieces: None,
    }
}

fn whole(row: &[Value<'_>], columns: &[ActualColumn], is_binary: bool) -> Vec<u8> {
    let mut out = Vec::new();
    if is_binary {
        out.extend_from_slice(&i16::try_from(row.len()).unwrap().to_be_bytes());
    }
    for (place, (value, column)) in row.iter().zip(columns).enumerate() {
        if is_binary {
            encode_binary(value, column.wire, &mut out).unwrap();
        } else {
            if place > 0 {
                out.push(b'\t');
            }
            encode_text(value, column.wire, &mut Vec::new(), &mut out).unwrap();
        }
    }
    if !is_binary {
        out.push(b'\n');
    }
    out
}

#[test]
fn windows_of_any_size_are_the_row() {
    let bytes: Vec<u8> = (0..=255).cycle().take(LONG_BYTES + 77).collect();
    let text = "a\tb\\c\nü".repeat(LONG_BYTES / 4);
    let document = format!("{{\"a\": \"{}\"}}", "x".repeat(LONG_BYTES));
    let row = [
        Value::Int(7),
        Value::Bytes(&bytes),
        Value::Null,
        Value::Text(&text),
        Value::Json(&document),
        Value::Text("short"),
        Value::Bytes(&bytes),
    ];
    let columns: Vec<ActualColumn> = [
        WireType::Int8,
        WireType::Bytea,
        WireType::Text,
        WireType::Text,
        WireType::Jsonb,
        WireType::Text,
        WireType::Bytea,
    ]
    .map(column)
    .into();
    let shared = Arc::new(columns);
    for format in [
        Format::Binary(Arc::clone(&shared)),
        Format::Text(Arc::clone(&shared)),
    ] {
        let expected = whole(&row, &shared, format.is_binary());
        let open = open(format);
        for window in [1000, 4096, LONG_BYTES, LONG_BYTES + 77, 1 << 30] {
            let mut cursor = RowCursor::with_windows(window);
            let mut writer = PieceWriter::default();
            let (mut out, mut is_over) = (Vec::new(), false);
            while !is_over {
                let mut made = Vec::new();
                let may_cut = |place: usize, value: &Value<'_>| open.may_cut(place, value);
                let next = cursor.next(&row, &may_cut, &mut |piece| {
                    writer.write(piece, &open, &mut made).unwrap();
                    Ok(())
                });
                is_over = next.unwrap();
                // Escapes take up to twice the room.
                assert!(is_over || made.len() <= 2 * window + 64, "{}", made.len());
                out.extend_from_slice(&made);
            }
            assert!(out == expected, "windows of {window}");
            assert!(writer.is_over);
        }
    }
}

#[test]
fn what_the_column_does_not_hold_is_refused_before_any_of_it_is_written() {
    let text = format!("{}\0", "a".repeat(LONG_BYTES));
    let open = open(Format::Binary(Arc::new(vec![column(WireType::Text)])));
    let mut out = Vec::new();
    let begin = Piece::Begin {
        of: Value::Text(&text),
        bytes: text.len(),
    };
    let mut writer = PieceWriter::default();
    assert!(writer.write(begin, &open, &mut out).is_err());
    assert!(out.len() < 8);
    // Of a text that nobody has whole it is seen where it comes.
    let mut writer = PieceWriter::default();
    let begin = Piece::Begin {
        of: Value::Text(""),
        bytes: text.len(),
    };
    writer.write(begin, &open, &mut out).unwrap();
    let (head, tail) = text.split_at(LONG_BYTES);
    let mut part = |text| writer.write(Piece::Part(Value::Text(text)), &open, &mut out);
    assert!(part(head).is_ok());
    assert!(part(tail).is_err());
}

#[test]
fn a_cell_has_the_bytes_that_were_announced() {
    let open = open(Format::Binary(Arc::new(vec![column(WireType::Bytea)])));
    let begun = || {
        let (mut writer, mut out) = (PieceWriter::default(), Vec::new());
        let begin = Piece::Begin {
            of: Value::Bytes(b""),
            bytes: 2,
        };
        writer.write(begin, &open, &mut out).unwrap();
        writer
    };
    let mut out = Vec::new();
    let too_many = begun().write(Piece::Part(Value::Bytes(b"abc")), &open, &mut out);
    assert!(too_many.is_err());
    let too_few = begun().write(Piece::Cell(Value::Null), &open, &mut out);
    assert!(too_few.is_err());
}
