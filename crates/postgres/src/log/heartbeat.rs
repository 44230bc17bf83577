//! Something to read for a quiet source: without it the slot of a database in which nothing happens keeps the log of all the others.

use std::sync::Arc;
use std::time::Duration;

use whimbrel_connector::{Background, in_background};

use crate::connect::connect;
use crate::options::Options;
use crate::wire::WireError;

/// Writes a message into the log at times; needs no table. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Heartbeat {
    _beating: Background<()>,
}

impl Heartbeat {
    pub(super) fn start(options: &Arc<Options>, every: Duration) -> Self {
        Self {
            _beating: in_background("heartbeat", beat(Arc::clone(options), every)),
        }
    }
}

async fn beat(options: Arc<Options>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let beaten = match connect(&options).await {
            Ok(mut connection) => {
                let sql = "SELECT pg_logical_emit_message(true, 'whimbrel_heartbeat', '')";
                connection
                    .query(sql)
                    .await
                    .map(drop)
                    .map_err(|error: WireError| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = beaten {
            tracing::warn!(%error, "no heartbeat could be written into the source's log; the next one is tried in its time");
        }
    }
}
