//! The binary log, the cells in it, and the texts that name its places.

use bytes::Bytes;
use whimbrel_connector::{ChangeBlock, LogEvent, LogPlace, RowVisitor};
use whimbrel_core::{Engine, Position, Table, TableName};

use super::assembler::{Assembler, Need, Start, Voids};
use super::charset::Charsets;
use super::defaults::Defaults;
use super::event::Header;
use super::feed::{Event, Input};
use super::gtid::{GtidSet, GtidTrack};
use super::inflate;
use super::json_diff::write_changed;
use super::jsonb::write_text;
use super::numbers::{decimal_bytes, write_decimal, write_double};
use super::place::{Parsed, Place};
use super::statement::Statement;
use super::table_map::TableMap;
use super::times::TimeForm;
use crate::types;
use crate::wire::RowPackets;

/// An input is short, and so is what becomes of it: one that asks for more goes in circles.
const STEPS_MAX: usize = 100_000;

/// See [`crate::fuzz::log_stream`].
pub(crate) fn stream(data: &[u8], visit: &mut RowVisitor<'_>) {
    let Some((&form, rest)) = data.split_first() else {
        return;
    };
    let engine = if form & 1 == 0 {
        Engine::MySql
    } else {
        Engine::MariaDb
    };
    let mut assembler = assembler(engine);
    if form & 2 == 0 {
        let mut input = Input::of(RowPackets::Packets {
            bytes: Bytes::copy_from_slice(rest),
            row_count: 1,
        });
        while let Ok(Some(event)) = input.next() {
            if take(&mut assembler, engine, &event).is_none() {
                break;
            }
        }
    } else {
        for event in events(rest, form & 4 != 0) {
            if take(&mut assembler, engine, &event).is_none() {
                break;
            }
        }
    }
    if let Some(block) = assembler.take_block() {
        decode(&block, visit);
    }
}

/// Events with their kind and length before them.
fn events(mut rest: &[u8], is_inner: bool) -> impl Iterator<Item = Event> {
    let mut next_offset = 1000_u32;
    std::iter::from_fn(move || {
        let (&[kind, low, high], tail) = rest.split_first_chunk::<3>()?;
        let length = usize::from(u16::from_le_bytes([low, high])).min(tail.len());
        let (body, tail) = tail.split_at(length);
        rest = tail;
        next_offset = next_offset.wrapping_add(100);
        Some(Event {
            header: Header {
                seconds: 1,
                kind,
                server_id: 1,
                bytes: 100,
                next_offset,
                flags: 0,
            },
            buffer: Bytes::copy_from_slice(body),
            start: 0,
            end: body.len(),
            is_inner,
        })
    })
}

/// Gives an event and whatever it asks for; `None` where the log ends by an error.
fn take(assembler: &mut Assembler, engine: Engine, event: &Event) -> Option<()> {
    for _ in 0..STEPS_MAX {
        if let Need::Description(name) = assembler.pending() {
            assembler.describe(&name, Some(table(engine)));
            continue;
        }
        match assembler.event(event).ok()? {
            Need::Nothing => return Some(()),
            Need::Description(name) => assembler.describe(&name, Some(table(engine))),
            Need::Defaults(name) => {
                let columns = assembler.table(&name)?.columns.len();
                assembler.put_defaults(&name, Defaults::nulls(columns));
            }
            Need::Prepared(id) => {
                assembler.end_prepared(&id);
                return Some(());
            }
        }
    }
    panic!("an event that asks for the same again and again");
}

fn assembler(engine: Engine) -> Assembler {
    let place = Parsed::new(&Position::new("b.000001:4"), engine).expect("a position");
    Assembler::new(Start {
        engine,
        charsets: Charsets::default(),
        tables: vec![table(engine)],
        folds_case: false,
        place: Place {
            file: place.file,
            offset: place.offset,
            begun: place.begun,
            gtids: GtidTrack::new(None),
        },
        skips_to: 4,
        unlogged: Vec::new(),
        voids: Voids::default(),
    })
}

fn table(engine: Engine) -> Table {
    let columns = types::fuzz::columns().into_iter();
    Table {
        engine,
        name: TableName::new("s", "t"),
        columns: columns.map(|(column, _)| column).collect(),
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

fn decode(block: &ChangeBlock, visit: &mut RowVisitor<'_>) {
    for event in &block.events {
        let (before, after) = match event {
            LogEvent::Insert { after, .. } => (None, Some(after)),
            LogEvent::Update { before, after, .. } => (before.as_ref(), Some(after)),
            LogEvent::Delete { before, .. } => (Some(before), None),
            _ => (None, None),
        };
        if let Some(&row) = before {
            block.rows.decode_old(row, &[0], visit).ok();
        }
        if let Some(&row) = after {
            block.rows.decode(row, visit).ok();
        }
    }
}

/// See [`crate::fuzz::log_cells`].
pub(crate) fn cells(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else {
        return;
    };
    let mut out = Vec::new();
    match choice % 8 {
        0 => drop(write_text(rest, &mut out)),
        1 => {
            let (old, differences) = halves(rest);
            write_changed(old, differences, &mut out).ok();
        }
        2 => {
            if let Some((&[precision, scale], packed)) = rest.split_first_chunk::<2>() {
                decimal_bytes(precision, scale);
                write_decimal(packed, precision, scale, choice & 8 != 0, &mut out);
            }
        }
        3 => times(rest),
        4 => drop(inflate::event_part(rest, &mut out)),
        5 => payload(rest),
        6 => {
            if let Some(number) = rest.first_chunk() {
                write_double(f64::from_le_bytes(*number), &mut out);
            }
        }
        _ => {
            for engine in [Engine::MySql, Engine::MariaDb] {
                if let Ok(map) = TableMap::parse(rest) {
                    map.columns(engine).ok();
                }
            }
        }
    }
}

/// What stands before a length of one byte's worth, and what behind.
fn halves(data: &[u8]) -> (&[u8], &[u8]) {
    let (&length, rest) = data.split_first().unwrap_or((&0, &[]));
    rest.split_at(usize::from(length).min(rest.len()))
}

fn times(cell: &[u8]) {
    for digits in 0..=6 {
        for form in [
            TimeForm::Time(digits),
            TimeForm::DateTime(digits),
            TimeForm::Instant(digits),
            TimeForm::MariaTime(digits),
            TimeForm::MariaDateTime(digits),
            TimeForm::MariaInstant(digits),
        ] {
            read(form, cell);
        }
    }
    for form in [
        TimeForm::Date,
        TimeForm::OldTime,
        TimeForm::OldDateTime,
        TimeForm::OldInstant,
    ] {
        read(form, cell);
    }
}

/// A cell is as long as its form.
fn read(form: TimeForm, cell: &[u8]) {
    if let Some(cell) = cell.get(..form.byte_count()) {
        form.read(cell);
    }
}

fn payload(body: &[u8]) {
    if let Ok(mut payload) = inflate::Payload::new(&Bytes::copy_from_slice(body)) {
        while let Ok(Some(_)) = payload.next() {}
    }
}

/// See [`crate::fuzz::words`].
pub(crate) fn words(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    Statement::new(&text, "s");
    for engine in [Engine::MySql, Engine::MariaDb] {
        if let Some(set) = GtidSet::parse(&text, engine) {
            // What is written is what is read.
            let again = GtidSet::parse(&set.to_string(), engine);
            assert_eq!(again.as_ref(), Some(&set));
            assert!(set.is_within(&set));
        }
        if let Ok(parsed) = Parsed::new(&Position::new(text.as_ref()), engine) {
            parsed.mark();
            let place = Place::from(parsed);
            let written = place.position();
            let again = Parsed::new(&written, engine).map(Place::from);
            assert_eq!(again.ok().map(|place| place.position()), Some(written));
        }
    }
}
