//! The connections that share a snapshot's view.
//!
//! A view lives and dies with its connection. So a connection that a reader gave up in the middle of a result is not closed:
//! the next reader ends the result first, by KILL QUERY from another connection, which leaves the view open.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;
use whimbrel_connector::Error;

use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, WireError};

/// Statements to try until one does not fall to a kill that was meant for the one before.
const KILLED_TRIES: usize = 3;

/// The connections of a snapshot.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    idle: Mutex<Vec<Connection>>,
    /// One permit for each connection that lives and is not in use.
    permits: Arc<Semaphore>,
    living: Mutex<usize>,
}

/// A connection on loan. Dropping it gives it back, if it is still of use.
pub(super) struct Loan {
    connection: Option<Connection>,
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Pool {
    pub(super) fn new(options: Options, connections: Vec<Connection>) -> Self {
        let count = connections.len();
        let shared = Shared {
            options,
            idle: Mutex::new(connections),
            permits: Arc::new(Semaphore::new(count)),
            living: Mutex::new(count),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// A connection under the view, ready for a statement. Waits until one is free.
    pub(super) async fn take(&self) -> Result<Loan, Error> {
        loop {
            let permit = Arc::clone(&self.shared.permits)
                .acquire_owned()
                .await
                .map_err(|_| {
                    Error::Transient(
                        "all connections of the source's snapshot were lost".to_owned(),
                    )
                })?;
            let connection = self
                .shared
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let mut loan = Loan {
                connection,
                permit: Some(permit),
                shared: Arc::clone(&self.shared),
            };
            match loan.end_open_result().await {
                Ok(()) => return Ok(loan),
                Err(error) if loan.is_alive() => return Err(error),
                // Dropping the loan counts the connection as lost.
                Err(error) => warn!(%error, "a connection of the snapshot was lost"),
            }
        }
    }
}

impl Loan {
    fn is_alive(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.is_ready() || connection.has_rows())
    }

    pub(super) fn connection(&mut self) -> Result<&mut Connection, WireError> {
        self.connection.as_mut().ok_or(WireError::Unusable)
    }

    /// Ends a result that the reader before, or this one, left open.
    pub(super) async fn end_open_result(&mut self) -> Result<(), Error> {
        let options = &self.shared.options;
        let Some(connection) = self.connection.as_mut() else {
            return Err(Error::Transient(
                "the connection of the snapshot was lost".to_owned(),
            ));
        };
        if !connection.has_rows() {
            return Ok(());
        }
        let mut killer = connect(options, Purpose::Read).await?;
        let doing = "end a result that is not wanted any more";
        match killer
            .execute(&format!("KILL QUERY {}", connection.id()))
            .await
        {
            Ok(_) | Err(WireError::Server(_)) => {}
            Err(error) => return Err(general(error, doing)),
        }
        connection
            .drain()
            .await
            .map_err(|error| general(error, doing))?;
        for _ in 0..KILLED_TRIES {
            match connection.execute("DO 0").await {
                Ok(_) => return Ok(()),
                Err(WireError::Server(error)) if error.is_transient() => {}
                Err(error) => return Err(general(error, doing)),
            }
        }
        Err(Error::Transient(
            "the connection of the snapshot stays interrupted".to_owned(),
        ))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let is_alive = self.is_alive();
        match self.connection.take() {
            Some(connection) if is_alive => {
                self.shared
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(connection);
            }
            _ => {
                if let Some(permit) = self.permit.take() {
                    permit.forget();
                }
                let mut living = self
                    .shared
                    .living
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *living -= 1;
                if *living == 0 {
                    self.shared.permits.close();
                }
            }
        }
    }
}
