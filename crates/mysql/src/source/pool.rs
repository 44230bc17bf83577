//! The connections that share a snapshot's view.
//!
//! A view lives and dies with its connection. So a connection that a reader gave up in the middle of a result is not closed:
//! the next reader ends the result first, by KILL QUERY from another connection, which leaves the view open, and closes its statement.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;
use whimbrel_connector::Error;

use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, ResultColumn, Statement, WireError};

/// Statements to try until one does not fall to a kill that was meant for the one before.
const KILLED_TRIES: usize = 3;

/// The connections of a snapshot.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    idle: Mutex<Vec<Lent>>,
    /// One permit for each connection that lives and is not in use.
    permits: Arc<Semaphore>,
    living: Mutex<usize>,
}

struct Lent {
    connection: Connection,
    /// What it runs, or has run last.
    statement: Option<Statement>,
}

/// A connection on loan. Dropping it gives it back, if it is still of use.
pub(super) struct Loan {
    lent: Option<Lent>,
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Pool {
    pub(super) fn new(options: Options, connections: Vec<Connection>) -> Self {
        let count = connections.len();
        let idle = connections.into_iter().map(|connection| Lent {
            connection,
            statement: None,
        });
        let shared = Shared {
            options,
            idle: Mutex::new(idle.collect()),
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
            let lent = self
                .shared
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let mut loan = Loan {
                lent,
                permit: Some(permit),
                shared: Arc::clone(&self.shared),
            };
            match loan.end_statement().await {
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
        self.lent
            .as_ref()
            .is_some_and(|lent| lent.connection.is_ready() || lent.connection.has_rows())
    }

    pub(super) fn connection(&mut self) -> Result<&mut Connection, WireError> {
        let lent = self.lent.as_mut().ok_or(WireError::Unusable)?;
        Ok(&mut lent.connection)
    }

    /// Begins to run a statement, and answers which columns its rows have.
    pub(super) async fn run(&mut self, sql: &str) -> Result<Vec<ResultColumn>, WireError> {
        let lent = self.lent.as_mut().ok_or(WireError::Unusable)?;
        let statement = lent.connection.prepare(sql).await?;
        let statement = lent.statement.insert(statement);
        lent.connection.open(statement).await
    }

    /// Ends the statement that the reader before, or this one, left behind, with what is left of its result.
    pub(super) async fn end_statement(&mut self) -> Result<(), Error> {
        self.end_open_result().await?;
        if let Some(lent) = self.lent.as_mut()
            && let Some(statement) = lent.statement.take()
        {
            let closed = lent.connection.close(statement).await;
            closed.map_err(|error| general(error, "close a statement of the snapshot"))?;
        }
        Ok(())
    }

    async fn end_open_result(&mut self) -> Result<(), Error> {
        let options = &self.shared.options;
        let Some(Lent { connection, .. }) = self.lent.as_mut() else {
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
        match self.lent.take() {
            Some(lent) if is_alive => {
                self.shared
                    .idle
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(lent);
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

#[cfg(test)]
mod tests {
    use whimbrel_testkit::{Engine, Server};

    use super::*;

    async fn count(loan: &mut Loan, what: &str) -> u64 {
        let asked = format!("SHOW SESSION STATUS LIKE 'Com_stmt_{what}'");
        let row = loan.connection().unwrap().row(&asked).await.unwrap();
        row.unwrap().number(1).unwrap()
    }

    #[tokio::test]
    async fn statements_that_readers_leave_behind_are_closed() {
        for engine in [Engine::Mariadb1011, Engine::Mysql97] {
            let database = Server::get(engine).unwrap().database("loans").unwrap();
            let options = Options::from_url(&database.url()).unwrap();
            let connection = connect(&options, Purpose::Read).await.unwrap();
            let pool = Pool::new(options, vec![connection]);
            // Half-way, at the end, and where it did not even begin.
            let many = "WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT repeat('x', 9999) FROM n, n AS m";
            for sql in [many, "SELECT 1", "SELECT exp(99999)"] {
                let mut loan = pool.take().await.unwrap();
                let begun = loan.run(sql).await;
                if sql == many {
                    let connection = loan.connection().unwrap();
                    assert!(connection.block(1000).await.unwrap().is_some());
                } else if begun.is_ok() {
                    loan.connection().unwrap().drain().await.unwrap();
                }
            }
            let mut loan = pool.take().await.unwrap();
            assert_eq!(count(&mut loan, "prepare").await, 3);
            assert_eq!(count(&mut loan, "close").await, 3, "{engine}");
        }
    }
}
