//! The event at the head of every transaction.

use super::event::{HEADER_BYTES, kind};
use super::feed::Event;
use super::gtid::{Gtid, GtidReader};
use crate::wire::{Malformed, Reader};

/// What the head of a transaction tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// `None` for a transaction without a name.
    pub(super) gtid: Option<Gtid>,
    /// Microseconds since 1970; 0 when only the header's seconds tell.
    pub(super) committed_at_us: u64,
    /// It ends by an event of its own, not after one statement. MySQL tells this by what comes next.
    pub(super) is_open: bool,
    /// Of XA: when it ends it is only prepared. MySQL tells this at its end.
    pub(super) is_prepared: bool,
    /// Its statement has altered nothing: it tells that an alteration begins, which replicas then make as well, or that it came to nothing.
    pub(super) is_announced: bool,
}

/// Whether a transaction begins with events of this kind.
pub(super) fn is_head(kind: u8) -> bool {
    matches!(
        kind,
        kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIA_GTID
    )
}

impl Head {
    /// Reads an event for which [`is_head`] holds.
    pub(super) fn read(reader: &mut GtidReader, event: &Event) -> Result<Self, Malformed> {
        let body = event.body();
        match event.header.kind {
            kind::MARIA_GTID => maria(event),
            kind::GTID_TAGGED => {
                let head = reader.tagged(body)?;
                Ok(Self::of_mysql(Some(head.gtid), head.committed_at_us))
            }
            other => {
                let head = reader.untagged(body)?;
                let gtid = (other == kind::GTID).then_some(head.gtid);
                Ok(Self::of_mysql(gtid, head.committed_at_us))
            }
        }
    }

    fn of_mysql(gtid: Option<Gtid>, committed_at_us: u64) -> Self {
        Self {
            gtid,
            committed_at_us,
            is_open: false,
            is_prepared: false,
            is_announced: false,
        }
    }

    /// When it was committed, in seconds since 1970: the least that every server tells.
    pub(super) fn committed_at_s(&self, event: &Event) -> u64 {
        match self.committed_at_us {
            0 => event.header.seconds.into(),
            micros => micros / 1_000_000,
        }
    }
}

fn maria(event: &Event) -> Result<Head, Malformed> {
    const STANDS_ALONE: u8 = 1;
    const GROUP_COMMIT: u8 = 2;
    const PREPARED_XA: u8 = 64;
    const COMPLETED_XA: u8 = 128;
    // `Gtid_log_event` of MariaDB 10.8 and later, with `binlog_alter_two_phase`. What is not written is zero.
    const START_ALTER: u8 = 2;
    const ROLLBACK_ALTER: u8 = 8;
    let mut reader = Reader::new(event.body());
    let number = reader.u64()?;
    let domain = reader.u32()?;
    let flags = reader.u8()?;
    if flags & GROUP_COMMIT != 0 {
        reader.u64()?;
    }
    if flags & (PREPARED_XA | COMPLETED_XA) != 0 {
        reader.u32()?;
        let bytes = usize::from(reader.u8()?) + usize::from(reader.u8()?);
        reader.bytes(bytes)?;
    }
    let more_flags = reader.rest().first().copied().unwrap_or(0);
    Ok(Head {
        gtid: Some(Gtid::Maria {
            domain,
            server: server_id(event),
            number,
        }),
        committed_at_us: 0,
        is_open: flags & STANDS_ALONE == 0,
        is_prepared: flags & PREPARED_XA != 0,
        is_announced: more_flags & (START_ALTER | ROLLBACK_ALTER) != 0,
    })
}

/// The id of the server that wrote an event, from its header.
fn server_id(event: &Event) -> u32 {
    let header = event.start.saturating_sub(HEADER_BYTES);
    let bytes = event.buffer.get(header + 5..header + 9);
    bytes
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
