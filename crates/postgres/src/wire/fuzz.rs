//! Exchanges with a server that says what it likes.

use std::io::Cursor;

use whimbrel_core::Secret;
use whimbrel_net::Io;

use super::connection::{Connection, Purpose};
use crate::options::Options;

/// Small, so that a short input has several blocks.
const BLOCK_BYTES: usize = 64;

/// The first byte chooses what is asked, the others are all that the server says.
pub(crate) async fn exchange(data: &[u8]) {
    let Some((&asked, said)) = data.split_first() else {
        return;
    };
    let mut connection = Connection::over(Io::Script(Cursor::new(said.to_vec())));
    match asked % 7 {
        0 => {
            let mut options = Options::new("host", "user");
            options.password = Some(Secret::new("password"));
            options.after_connect = Some("SELECT 1".to_owned());
            connection.set_up(&options, Purpose::Queries).await.ok();
            connection.major_version();
        }
        1 => while connection.query("SELECT 1").await.is_ok() {},
        2 => {
            connection.copy_out("COPY").await.ok();
            while let Ok(Some(block)) = connection.copy_out_block(BLOCK_BYTES).await {
                assert!(block.messages().count() >= block.message_count);
            }
        }
        3 => {
            connection.copy_out("COPY").await.ok();
            while let Ok(Some(part)) = connection.copy_out_parts(BLOCK_BYTES).await {
                assert!(part.messages().count() >= part.message_count);
            }
        }
        4 => {
            connection.copy_in("COPY").await.ok();
            connection.copy_in_done().await.ok();
            connection.copy_in_fail().await.ok();
        }
        5 => while connection.answers().await.is_ok() {},
        _ => replication(connection).await,
    }
}

async fn replication(connection: Connection) {
    let Ok(mut replication) = connection.start_replication("START").await else {
        return;
    };
    loop {
        if replication.look(BLOCK_BYTES).is_err() {
            return;
        }
        let ready = replication.take_ready();
        replication.heard();
        let goes_on = if replication.is_blocked() {
            replication.take_other().await.is_ok()
        } else {
            !ready.is_empty() || replication.read().await.is_ok()
        };
        if !goes_on {
            return;
        }
    }
}
