mod open;

use proptest::prelude::*;
use whimbrel_core::{Column, ColumnType, Engine, Generation, TableName};

use super::super::spill::Spill;
use super::*;

fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).unwrap().to_be_bytes();
    [b"d", length.as_slice(), payload].concat()
}

fn change(message: &[u8]) -> Vec<u8> {
    frame(&[b"w".as_slice(), &[0; 24], message].concat())
}

fn keepalive(place: u64) -> Vec<u8> {
    frame(&[b"k".as_slice(), &place.to_be_bytes(), &[0; 9]].concat())
}

fn begin(commit: u64, transaction: u32) -> Vec<u8> {
    let (commit, id) = (commit.to_be_bytes(), transaction.to_be_bytes());
    change(&[b"B".as_slice(), &commit, &[0; 8], &id].concat())
}

fn commit(end: u64) -> Vec<u8> {
    change(&[b"C\0".as_slice(), &[0; 8], &end.to_be_bytes(), &[0; 8]].concat())
}

const RELATION: &[u8] = b"R\0\0\0\x07public\0t\0d\0\x01\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF";
const INSERT: &[u8] = b"I\0\0\0\x07N\0\x01b\0\0\0\x04\0\0\0\x05";

fn known() -> Known {
    let ty = ColumnType::Int {
        bits: 32,
        unsigned: false,
    };
    Known::Captured {
        id: TableId(3),
        table: Arc::new(Table {
            engine: Engine::Postgres,
            name: TableName::new("public", "t"),
            columns: vec![Column {
                name: "id".to_owned(),
                ty,
                native: "integer".to_owned(),
                nullable: false,
                generation: Generation::None,
                id: None,
                default: None,
            }],
            primary_key: vec![0],
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }),
        is_key: vec![true],
        news: News::Shape,
    }
}

/// One that keeps little in memory.
fn decoder(from: Lsn) -> Decoder {
    let spools = Spools::new(100, Spill::new(std::env::temp_dir(), u64::MAX), "us_ddl");
    let from = Place::from(from);
    let witness = Witness::new(&from, from.lsn);
    Decoder::new(
        (from, witness),
        "us_ddl".to_owned(),
        Vec::new(),
        spools,
        Arc::default(),
    )
}

/// The events of a stream, in short, and the values of its rows.
fn run(decoder: &mut Decoder, stream: &[Vec<u8>], known: &Known) -> Result<String, Error> {
    let mut told = String::new();
    decoder.feed(Bytes::from(stream.concat()));
    loop {
        match decoder.step()? {
            Step::Starved => return Ok(told),
            Step::Unknown(relation) => decoder.learn(&relation, known.clone()),
            Step::Disk(job) => decoder.done(job.run())?,
            Step::Defined(_) => decoder.defined(Vec::new())?,
            Step::Block(block) => {
                for event in block.events {
                    told.push_str(&in_short(&event, &*block.rows)?);
                }
            }
        }
    }
}

fn in_short(event: &LogEvent, rows: &dyn whimbrel_connector::ChangeRows) -> Result<String, Error> {
    let mut text = String::new();
    Ok(match event {
        LogEvent::Table { id, .. } => format!("T{} ", id.0),
        LogEvent::Begin { mark, .. } => format!("B{} ", mark.0),
        LogEvent::Insert { table, after } => {
            rows.decode(*after, &mut |values| {
                text = format!("I{}{values:?} ", table.0);
                Ok(())
            })?;
            text
        }
        LogEvent::Commit { place, .. } => format!("C{} ", place.position()),
        LogEvent::Idle { place, .. } => format!("idle {} ", place.position()),
        other => format!("{other:?} "),
    })
}

#[test]
fn transactions_are_told_with_their_tables_and_rows() {
    let mut decoder = decoder(Lsn(0));
    let stream = [
        keepalive(5),
        keepalive(6),
        begin(0x10, 700),
        change(RELATION),
        change(INSERT),
        keepalive(7),
        change(RELATION),
        change(INSERT),
        commit(0x20),
        keepalive(0x21),
    ];
    assert_eq!(
        run(&mut decoder, &stream, &known()).unwrap(),
        "idle 0/6 B700 T3 I3[Int(5)] I3[Int(5)] C0/20 idle 0/21 "
    );
    // What spans blocks goes on.
    let first = run(&mut decoder, &[begin(0x30, 701), keepalive(8)], &known());
    assert_eq!(first.unwrap(), "B701 ");
    let rest = run(&mut decoder, &[change(INSERT), commit(0x40)], &known());
    assert_eq!(rest.unwrap(), "I3[Int(5)] C0/40 ");
}

#[test]
fn transactions_that_were_applied_are_passed_over() {
    let mut decoder = decoder(Lsn(0x20));
    let stream = [
        begin(0x10, 700),
        change(RELATION),
        change(INSERT),
        commit(0x20),
        keepalive(3),
        begin(0x20, 701),
        change(INSERT),
        commit(0x30),
    ];
    assert_eq!(
        run(&mut decoder, &stream, &known()).unwrap(),
        "idle 0/20 B701 T3 I3[Int(5)] C0/30 "
    );
}

#[test]
fn tables_that_nobody_asked_for_are_left_out() {
    let mut decoder = decoder(Lsn(0));
    let stream = [begin(1, 7), change(RELATION), change(INSERT), commit(2)];
    assert_eq!(
        run(&mut decoder, &stream, &Known::Ignored).unwrap(),
        "B7 C0/2 "
    );
}

#[test]
fn what_is_not_understood_is_fatal_and_named() {
    let outside = [change(RELATION), change(INSERT)].to_vec();
    let cases = [
        (vec![change(b"X\0\0\0\x01\x01")], "type 'X'"),
        (vec![frame(b"z")], "type 'z'"),
        (vec![frame(b"")], "type 'none'"),
        (vec![frame(b"w")], "type 'w'"),
        (vec![frame(b"k")], "type 'k'"),
        (vec![begin(1, 7), change(INSERT)], "not described"),
        (vec![begin(1, 7), begin(1, 7)], "a transaction is open"),
        (vec![commit(1)], "no transaction"),
        (outside, "no transaction"),
        (
            vec![
                begin(1, 7),
                change(RELATION),
                change(b"I\0\0\0\x07N\0\x02nn"),
            ],
            "number of columns",
        ),
        (vec![b"d\0\0\0\x0Fw".to_vec()], "ends too early"),
    ];
    for (stream, expected) in cases {
        let mut decoder = decoder(Lsn(0));
        let error = run(&mut decoder, &stream, &known()).unwrap_err();
        assert!(matches!(error, Error::Fatal(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(place in 0..400_usize, byte: u8, cut in 0..400_usize) {
        let mut stream = [begin(0x10, 700), change(RELATION), change(INSERT), keepalive(7), commit(0x20)].concat();
        let place = place % stream.len();
        stream[place] = byte;
        stream.truncate(stream.len() - cut % 40);
        let mut decoder = decoder(Lsn(0));
        drop(run(&mut decoder, &[stream], &known()));
    }
}
