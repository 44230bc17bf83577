//! A stream of the log, and the texts that name its places.

use std::sync::Arc;

use bytes::Bytes;
use whimbrel_connector::{ChangeBlock, LogEvent, RowVisitor, TableId};
use whimbrel_core::{Engine, Position, Table, TableName};

use super::ddl::DdlMessage;
use super::decoder::{Decoder, Known, News, Step};
use super::history::{LogId, left_at};
use super::message::RelationMessage;
use super::place::{Lsn, Place, View};
use super::spill::Spill;
use super::spool::Spools;
use super::witness::Witness;
use crate::types;

/// Little, so that a short input overflows it.
const MEMORY_BYTES: usize = 512;
const FILE_BYTES: u64 = 1 << 20;
const PREFIX: &str = "whimbrel";

/// See [`crate::fuzz::log_stream`].
pub(crate) fn stream(data: &[u8], visit: &mut RowVisitor<'_>) {
    let Some((&form, rest)) = data.split_first() else {
        return;
    };
    let spools = Spools::new(
        MEMORY_BYTES,
        Spill::new(std::env::temp_dir(), FILE_BYTES),
        PREFIX,
    );
    let from = Place::from(Lsn(0));
    let witness = Witness::new(&from, from.lsn);
    let mut decoder = Decoder::new(
        (from, witness),
        PREFIX.to_owned(),
        Vec::new(),
        spools,
        Arc::default(),
    );
    if form & 1 == 0 {
        run(&mut decoder, Bytes::copy_from_slice(rest), visit);
        return;
    }
    let mut rest = rest;
    while let Some((&length, tail)) = rest.split_first() {
        let (message, tail) = tail.split_at(usize::from(length).min(tail.len()));
        rest = tail;
        if run(&mut decoder, framed(message), visit).is_none() {
            return;
        }
    }
}

/// A message as the server sends it: a change, or what it is already.
fn framed(message: &[u8]) -> Bytes {
    let head: &[u8] = match message.first() {
        Some(b'k') => &[],
        _ => &[
            b'w', 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 9,
        ],
    };
    let length = u32::try_from(4 + head.len() + message.len()).unwrap_or(u32::MAX);
    Bytes::from([b"d".as_slice(), &length.to_be_bytes(), head, message].concat())
}

/// Goes to the end of some bytes of the stream; `None` where it ends by an error.
fn run(decoder: &mut Decoder, bytes: Bytes, visit: &mut RowVisitor<'_>) -> Option<()> {
    decoder.feed(bytes);
    loop {
        match decoder.step().ok()? {
            Step::Starved => return Some(()),
            Step::Block(block) => decode(&block, visit),
            Step::Unknown(relation) => {
                let known = known(&relation);
                decoder.learn(&relation, known);
            }
            Step::Defined(content) => {
                DdlMessage::parse(&content).ok();
                decoder.defined(Vec::new()).ok()?;
            }
            Step::Disk(job) => decoder.done(job.run()).ok()?,
        }
    }
}

/// A table of the columns that the log names; of some nobody wants to know.
fn known(relation: &RelationMessage) -> Known {
    if relation.id % 8 == 7 {
        return Known::Ignored;
    }
    let types = relation
        .columns
        .iter()
        .map(|column| types::fuzz::column_type(column.type_oid, column.type_modifier));
    let table = Table {
        engine: Engine::Postgres,
        name: TableName::new(&relation.schema, &relation.name),
        columns: types.map(types::fuzz::column).collect(),
        primary_key: Vec::new(),
        id: Some(relation.id),
        key_prefixes: Vec::new(),
        row_estimate: None,
        byte_estimate: None,
        outside_snapshot: None,
        obstacle: None,
        notes: Vec::new(),
    };
    Known::Captured {
        id: TableId(relation.id),
        table: Arc::new(table),
        is_key: relation
            .columns
            .iter()
            .map(|column| column.is_key)
            .collect(),
        news: match relation.identity {
            b'n' => News::Nothing,
            b'i' => News::Identity,
            _ => News::Shape,
        },
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

/// See [`crate::fuzz::words`].
pub(crate) fn words(data: &[u8]) {
    DdlMessage::parse(data).ok();
    let text = String::from_utf8_lossy(data);
    let position = Position::new(text.as_ref());
    if let Ok(place) = Place::of(&position) {
        // What is written is what is read.
        let written = whimbrel_connector::LogPlace::position(&place);
        assert_eq!(Place::of(&written).ok().as_ref(), Some(&place));
        place.lsn.has_reached(&position);
    }
    if let Ok(view) = View::of(&position) {
        view.reaches(&position);
        for (transaction, next) in [(0, 0), (3, u64::MAX), (u32::MAX, 1 << 33)] {
            view.is_before(transaction, next);
        }
    }
    left_at(&text, 1);
    if let Some((system, timeline)) = text.split_once(' ') {
        LogId::parse(system, timeline);
    }
}
