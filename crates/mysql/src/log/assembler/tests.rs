use bytes::Bytes;
use proptest::prelude::*;
use whimbrel_core::{Column, ColumnType, Generation, Position};

use super::super::event::Header;
use super::super::gtid::GtidTrack;
use super::super::place::Parsed;
use super::maps::MAPS_MAX;
use super::*;

fn column(name: &str, ty: ColumnType, native: &str) -> Column {
    Column {
        name: name.to_owned(),
        ty,
        native: native.to_owned(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    }
}

fn assembler(skips_to: u64) -> Assembler {
    let int = ColumnType::Int {
        bits: 32,
        unsigned: false,
    };
    let table = Table {
        engine: Engine::MySql,
        name: TableName::new("s", "t"),
        columns: vec![
            column("id", int, "int"),
            column("j", ColumnType::Json { binary: true }, "json"),
            column(
                "b",
                ColumnType::Blob {
                    bytes_max: Some(255),
                },
                "tinyblob",
            ),
        ],
        primary_key: vec![0],
        id: None,
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    };
    let parsed = Parsed::new(&Position::new("b.000001:4"), Engine::MySql).unwrap();
    Assembler::new(Start {
        engine: Engine::MySql,
        charsets: Charsets::default(),
        tables: vec![table],
        folds_case: false,
        place: Place {
            file: parsed.file,
            offset: parsed.offset,
            begun: parsed.begun,
            gtids: GtidTrack::new(None),
        },
        skips_to,
        unlogged: Vec::new(),
        voids: Voids::default(),
    })
}

fn event(kind: u8, body: &[u8]) -> Event {
    Event {
        header: Header {
            seconds: 0,
            kind,
            server_id: 1,
            bytes: 100,
            next_offset: 1000,
            flags: 0,
        },
        buffer: Bytes::copy_from_slice(body),
        start: 0,
        end: body.len(),
        is_inner: false,
    }
}

/// The head of a transaction and the table's number, 7.
fn begun() -> Assembler {
    let mut assembler = assembler(4);
    let head = event(kind::ANONYMOUS_GTID, &[0; 60]);
    assert_eq!(assembler.event(&head).unwrap(), Need::Nothing);
    let map = [
        &[7, 0, 0, 0, 0, 0, 1, 0, 1, b's', 0, 1, b't', 0][..],
        &[3, 3, 245, 252, 2, 4, 1, 0b111],
    ]
    .concat();
    let map = event(kind::TABLE_MAP, &map);
    assert_eq!(assembler.event(&map).unwrap(), Need::Nothing);
    assembler
}

const ROWS_HEAD: [u8; 11] = [7, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3];

#[test]
fn rows_become_a_transaction_with_its_end() {
    let mut assembler = begun();
    let rows = [&ROWS_HEAD[..], &[0b111, 0b110, 5, 0, 0, 0]].concat();
    assembler.event(&event(kind::WRITE_ROWS, &rows)).unwrap();
    assembler.event(&event(kind::XID, &[0; 8])).unwrap();
    let block = assembler.take_block().unwrap();
    let [
        LogEvent::Table { .. },
        LogEvent::Begin { .. },
        LogEvent::Insert { after, .. },
        LogEvent::Commit { .. },
    ] = &block.events[..]
    else {
        panic!("{:?}", block.events)
    };
    let mut text = String::new();
    let mut visit = |values: &[whimbrel_core::Value<'_>]| {
        text = format!("{values:?}");
        Ok(())
    };
    block.rows.decode(*after, &mut visit).unwrap();
    assert_eq!(text, "[Int(5), Null, Null]");
}

/// A statement names all of its tables before its rows.
#[test]
fn numbers_are_forgotten_between_statements_alone() {
    let mut assembler = begun();
    let named = |number: u16, assembler: &mut Assembler| {
        let number = number.to_le_bytes();
        let map = [
            &[
                number[0], number[1], 0, 0, 0, 0, 1, 0, 1, b'x', 0, 1, b't', 0,
            ][..],
            &[3, 3, 245, 252, 2, 4, 1, 0b111],
        ]
        .concat();
        assembler.event(&event(kind::TABLE_MAP, &map)).unwrap();
    };
    for number in 8..8 + u16::try_from(MAPS_MAX).unwrap() {
        named(number, &mut assembler);
    }
    let rows = [&ROWS_HEAD[..], &[0b111, 0b110, 5, 0, 0, 0]].concat();
    assembler.event(&event(kind::WRITE_ROWS, &rows)).unwrap();
    assert!(assembler.maps.len() > MAPS_MAX);
    named(8, &mut assembler);
    named(9999, &mut assembler);
    assert!(assembler.maps.len() <= 2, "{}", assembler.maps.len());
}

#[test]
fn what_lies_before_a_place_beyond_four_gigabytes_is_passed_over() {
    let mut assembler = assembler(5 << 30);
    let mut seen = Vec::new();
    for gigabytes in 1_u64..7 {
        let mut head = event(kind::ANONYMOUS_GTID, &[0; 60]);
        // The lower 32 bits are what a header holds.
        head.header.next_offset = u32::try_from(((gigabytes << 30) + 100) & 0xFFFF_FFFF).unwrap();
        let mut end = event(kind::XID, &[0; 8]);
        end.header.next_offset = head.header.next_offset + 100;
        assembler.event(&head).unwrap();
        if let Some(transaction) = &assembler.transaction {
            seen.push(transaction.mark);
        }
        assembler.event(&end).unwrap();
    }
    assert_eq!(
        seen,
        [TransactionMark(1, 5 << 30), TransactionMark(1, 6 << 30)]
    );
}

#[test]
fn kinds_of_events_that_nobody_knows_are_errors_unless_they_may_be_passed_over() {
    let mut unknown = event(99, &[]);
    assert!(begun().event(&unknown).is_err());
    unknown.header.flags = 0x80;
    assert!(begun().event(&unknown).is_ok());
}

proptest! {
    #[test]
    fn garbage_never_panics(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..80), inner: bool) {
        let mut assembler = begun();
        let mut garbage = event(kind, &body);
        garbage.is_inner = inner;
        assembler.event(&garbage).ok();
        assembler.take_block();
    }

    #[test]
    fn rows_of_garbage_never_panic(
        kind in prop::sample::select(vec![kind::WRITE_ROWS, kind::UPDATE_ROWS, kind::DELETE_ROWS, kind::PARTIAL_UPDATE_ROWS, kind::MARIA_UPDATE_COMPRESSED]),
        body in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let mut assembler = begun();
        let body = [&ROWS_HEAD[..], &[0b111, 0b111], &body].concat();
        assembler.event(&event(kind, &body)).ok();
        let Some(block) = assembler.take_block() else { return Ok(()) };
        for event in &block.events {
            if let LogEvent::Insert { after: row, .. } | LogEvent::Update { after: row, .. } | LogEvent::Delete { before: row, .. } = event {
                block.rows.decode(*row, &mut |_| Ok(())).ok();
            }
        }
    }
}
