//! Exchanges with a server that says what it likes.

use std::io::Cursor;
use std::time::Duration;

use whimbrel_core::Secret;
use whimbrel_net::Io;

use super::RowsOrPart;
use super::connection::{Connection, State};
use super::sign_in::sign_in;
use super::stream::Stream;
use crate::options::Options;

/// Small, so that a short input has several blocks.
const BLOCK_BYTES: usize = 64;

/// The first byte chooses what is asked, the others are all that the server says.
pub(crate) async fn exchange(data: &[u8]) {
    let Some((&asked, said)) = data.split_first() else {
        return;
    };
    let io = Io::Script(Cursor::new(said.to_vec()));
    if asked % 8 == 0 {
        let mut options = Options::new("host", "user");
        options.password = Some(Secret::new("password"));
        sign_in(io, &options, true).await.ok();
        return;
    }
    let mut connection = Connection::over(Stream::new(io));
    match asked % 8 {
        1 => while connection.execute("DO 0").await.is_ok() {},
        2 => while connection.rows("SELECT 1").await.is_ok() {},
        3 => {
            let mut answers = Vec::new();
            connection.script(b"DO 0; DO 0", &mut answers).await.ok();
        }
        4 => {
            connection.begin_load("LOAD").await.ok();
            connection.load(b"1\n").await.ok();
            connection.end_load().await.ok();
        }
        5 => {
            let dump = connection.begin_dump(1, ("b.000001", 4), Duration::from_mins(1));
            dump.await.ok();
            while let Ok(Some(packets)) = connection.arrived(BLOCK_BYTES).await {
                assert_eq!(packets.iter().count(), packets.row_count());
            }
        }
        _ => read(&mut connection).await,
    }
    if connection.state == State::Rows {
        connection.drain().await.ok();
    }
}

async fn read(connection: &mut Connection) {
    let Ok(statement) = connection.prepare("SELECT 1").await else {
        return;
    };
    if connection.open(&statement).await.is_err() {
        return;
    }
    while let Ok(Some(next)) = connection.block_in_parts(BLOCK_BYTES).await {
        if let RowsOrPart::Rows(packets) = next {
            assert_eq!(packets.iter().count(), packets.row_count());
        }
    }
    connection.close(statement).await.ok();
}
