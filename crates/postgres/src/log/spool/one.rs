//! What one transaction has sent.

use std::collections::{HashMap, HashSet, VecDeque};

use bytes::{BufMut, Bytes, BytesMut};

use super::super::message::Malformed;
use super::super::spill::{Extent, SLOT_BYTES, Spill};
use super::{ARRIVAL, RECORD_HEAD_BYTES};

/// Where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cut {
    pub(super) chunk: usize,
    pub(super) offset: usize,
}

#[derive(Debug)]
pub(super) enum Chunk {
    Memory(Bytes),
    /// `keep`: how many of its bytes were not rolled back.
    Disk {
        extent: Extent,
        keep: usize,
    },
}

/// A description of a table that came with a transaction in progress.
#[derive(Debug)]
pub(super) struct Description {
    /// Its first record.
    at: Cut,
    /// When it came last.
    pub(super) arrival: u64,
    /// The message, without what makes it part of the transaction.
    pub(super) raw: Vec<u8>,
}

/// What one transaction has sent.
#[derive(Debug, Default)]
pub(super) struct Spool {
    pub(super) chunks: VecDeque<Chunk>,
    /// The chunk that grows.
    pub(super) tail: BytesMut,
    /// Bytes in memory.
    pub(super) memory: usize,
    /// So many of the first chunks are on the disk.
    pub(super) spilled: usize,
    /// The first record of each sub-transaction, and these in their order.
    pub(super) subs: HashMap<u32, Cut>,
    pub(super) sub_order: Vec<u32>,
    /// Messages of ours.
    pub(super) messages: Vec<Cut>,
    /// The descriptions of tables that came with it in progress, where it may be prepared: each shape of each table once.
    pub(super) descriptions: HashMap<u32, Vec<Description>>,
    /// Tables that were written down with a prepared transaction.
    pub(super) described: HashSet<u32>,
}

impl Spool {
    /// Where the next record goes.
    pub(super) fn room(&mut self, bytes: usize) -> Cut {
        if !self.tail.is_empty() && self.tail.len() + bytes > SLOT_BYTES {
            self.close();
        }
        Cut {
            chunk: self.chunks.len(),
            offset: self.tail.len(),
        }
    }

    fn close(&mut self) {
        let next = BytesMut::with_capacity(SLOT_BYTES);
        let tail = std::mem::replace(&mut self.tail, next).freeze();
        self.chunks.push_back(Chunk::Memory(tail));
    }

    pub(super) fn push(&mut self, kind: u8, rest: &[u8]) -> Result<(), Malformed> {
        let length = u32::try_from(1 + rest.len()).map_err(|_| "it is longer than 4 GiB")?;
        self.tail.put_u32(length);
        self.tail.put_u8(kind);
        self.tail.put_slice(rest);
        self.memory += RECORD_HEAD_BYTES + 1 + rest.len();
        Ok(())
    }

    pub(super) fn push_relation(&mut self, arrival: u64, rest: &[u8]) -> Result<(), Malformed> {
        self.push(ARRIVAL, &arrival.to_be_bytes())?;
        self.push(b'R', rest)
    }

    /// Notes the description that a record holds.
    pub(super) fn describe(&mut self, at: Cut, arrival: u64, rest: &[u8]) {
        let id = rest.first_chunk::<4>();
        let id = id.map_or(0, |id| u32::from_be_bytes(*id));
        let of_table = self.descriptions.entry(id).or_default();
        let mut known = of_table.iter_mut();
        match known.find(|known| known.raw.get(1..) == Some(rest)) {
            Some(known) => known.arrival = arrival,
            None => of_table.push(Description {
                at,
                arrival,
                raw: [b"R", rest].concat(),
            }),
        }
    }

    /// Takes back everything from a record on.
    pub(super) fn truncate(&mut self, cut: Cut, spill: &mut Spill) {
        self.descriptions.retain(|_, of_table| {
            of_table.retain(|known| known.at < cut);
            !of_table.is_empty()
        });
        if cut.chunk == self.chunks.len() {
            self.memory -= self.tail.len() - cut.offset;
            self.tail.truncate(cut.offset);
        } else {
            self.memory -= self.tail.len();
            self.tail.clear();
            while self.chunks.len() > cut.chunk + usize::from(cut.offset > 0) {
                match self.chunks.pop_back() {
                    Some(Chunk::Memory(bytes)) => self.memory -= bytes.len(),
                    Some(Chunk::Disk { extent, .. }) => spill.release(extent),
                    None => {}
                }
            }
            if cut.offset > 0 {
                match self.chunks.back_mut() {
                    Some(Chunk::Memory(bytes)) => {
                        self.memory -= bytes.len() - cut.offset;
                        bytes.truncate(cut.offset);
                    }
                    Some(Chunk::Disk { keep, .. }) => *keep = cut.offset.min(*keep),
                    None => {}
                }
            }
        }
        self.spilled = self.spilled.min(self.chunks.len());
        while let Some(sub) = self.sub_order.pop() {
            if self.subs.get(&sub).is_some_and(|first| *first < cut) {
                self.sub_order.push(sub);
                break;
            }
            self.subs.remove(&sub);
        }
    }

    /// Takes the oldest chunk that is in memory.
    pub(super) fn oldest(&mut self) -> Option<&mut Chunk> {
        if self.spilled == self.chunks.len() && !self.tail.is_empty() {
            self.close();
        }
        let chunk = self.chunks.get_mut(self.spilled)?;
        self.spilled += 1;
        Some(chunk)
    }

    pub(super) fn discard(self, spill: &mut Spill) {
        for chunk in self.chunks {
            if let Chunk::Disk { extent, .. } = chunk {
                spill.release(extent);
            }
        }
    }
}
