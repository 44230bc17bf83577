//! Where the rows of an XA transaction lie that was prepared before the stream began.
//!
//! Its `XA COMMIT` only names it; its rows stand where it was prepared, which may be long before. So the log is searched from
//! its oldest file on. That is slow, and rare: a commit of a transaction that was prepared before a restart of the task.

use whimbrel_connector::Error;
use whimbrel_core::Engine;

use super::assembler::xa_id;
use super::event::kind;
use super::feed::bad;
use super::place::{LogFile, Place, widen};
use super::replica::{self, FIRST_OFFSET};
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Malformed, Purpose, Reader};

/// Finds the place of the last prepare of `id` before `end`.
pub(super) async fn find(
    options: &Options,
    id: &str,
    end: &Place,
) -> Result<(LogFile, u64), Error> {
    let failed = |error| {
        general(
            error,
            "look for a prepared transaction in the source's binary log",
        )
    };
    let mut connection = connect(options, Purpose::Read).await?;
    debug_assert!(
        connection.engine() != Engine::Postgres,
        "the wire is that of MySQL"
    );
    let logs = connection.rows("SHOW BINARY LOGS").await.map_err(failed)?;
    let first = logs.first().and_then(|log| LogFile::new(log.text(0)));
    let mut file = first.ok_or_else(|| bad("no files"))?;
    connection.quit().await.ok();
    let mut input = replica::dump(options, &file.name, FIRST_OFFSET.into()).await?;
    let (mut found, mut head, mut offset) = (None, 0, u64::from(FIRST_OFFSET));
    loop {
        let Some(event) = input.next()? else {
            input.fill().await?;
            continue;
        };
        let header = &event.header;
        if header.kind == kind::ROTATE {
            let mut reader = Reader::new(event.body());
            offset = reader
                .u64()
                .map_err(|Malformed| bad("an event that ends too early"))?;
            let name = String::from_utf8_lossy(reader.rest()).into_owned();
            file = LogFile::new(&name).ok_or_else(|| bad("a file whose name has no number"))?;
        } else if !event.is_inner && !header.is_artificial() && header.next_offset != 0 {
            offset = widen(offset, header.next_offset);
            let is_head = matches!(
                header.kind,
                kind::GTID | kind::ANONYMOUS_GTID | kind::GTID_TAGGED | kind::MARIA_GTID
            );
            if is_head {
                head = offset.saturating_sub(header.bytes.into());
            }
        }
        if header.kind == kind::XA_PREPARE
            && xa_id(event.body()).is_ok_and(|(other, _)| other == id)
        {
            found = Some((file.clone(), head));
        }
        if (file.number, offset) >= (end.file.number, end.offset) {
            return found.ok_or_else(|| {
                Error::Fatal(format!(
                    "cannot read the rows of the prepared transaction {id}, which is committed at {end:?}: it was prepared before the oldest file of the source's binary log; load the tables again"
                ))
            });
        }
    }
}
