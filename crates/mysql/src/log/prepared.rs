//! Where the rows of an XA transaction lie that was prepared before the stream began.
//!
//! Its `XA COMMIT` only names it; its rows stand where it was prepared, which may be long before. So the log is searched from
//! its oldest file on. That is slow, and rare: a commit of a transaction that was prepared before a restart of the task.

use whimbrel_connector::Error;
use whimbrel_core::Engine;

use super::assembler::xa_id;
use super::event::kind;
use super::feed::bad;
use super::head::is_head;
use super::place::{LogFile, Place};
use super::replica::FIRST_OFFSET;
use super::walk::Walk;
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::Purpose;

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
    let first = first.ok_or_else(|| bad("no files"))?;
    connection.quit().await.ok();
    let mut walk = Walk::open(options, first, FIRST_OFFSET.into()).await?;
    let (mut found, mut head) = (None, 0);
    loop {
        let event = walk.next().await?;
        if is_head(event.header.kind) && !event.is_inner {
            head = walk.start_of(&event);
        }
        if event.header.kind == kind::XA_PREPARE
            && xa_id(event.body()).is_ok_and(|(other, _)| other == id)
        {
            found = Some((walk.file.clone(), head));
        }
        if walk.has_reached(&end.file, end.offset) {
            return found.ok_or_else(|| {
                Error::Fatal(format!(
                    "cannot read the rows of the prepared transaction {id}, which is committed at {end:?}: it was prepared before the oldest file of the source's binary log; load the tables again"
                ))
            });
        }
    }
}
