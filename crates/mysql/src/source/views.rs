//! One consistent view of the whole server for many readers.
//!
//! InnoDB gives each connection a view of its own, and no view can be handed to another connection. So all views are opened
//! while nothing can commit. In order of preference:
//!
//! 1. `FLUSH TABLES WITH READ LOCK`: nothing commits while the views open and the position in the log is read; the lock is
//!    held for milliseconds. It needs RELOAD, and it waits for running statements: if they do not end within a few seconds
//!    the attempt is given up, because others queue behind a lock that is waited for.
//! 2. MariaDB: every view knows its own place in the log (`binlog_snapshot_position`). Views at the same place are the same
//!    view; they are opened again until all agree.
//! 3. `LOCK TABLES … READ` on the selected tables: a transaction that has written to one of them keeps us waiting until it
//!    has ended, and none can begin, so that for these tables all views are the same.
//! 4. A single reader, whose view is consistent in itself. The position is read before the view opens, so that the view may
//!    hold transactions past it. Tables are then read one after another.
//!
//! A lock costs others time, so it is held for seconds at most, whatever becomes of us, of the way to the server or of the server. Readers whose
//! view is not open by then are let go, and those read the tables whose view is: they all opened while nothing could commit. So a server that is
//! slow at that moment, or one reader's connection that is lost, costs readers and not the snapshot. Where no view has opened, the lock is given up, and
//! whoever asked may ask again.

use std::time::Duration;

use futures_util::future::{join_all, try_join_all};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use whimbrel_core::{Engine, Position, Table};

use super::position;
use crate::connect::IDLE_SECONDS;
use crate::quote;
use crate::wire::{Connection, WireError};

/// Seconds to wait for a lock behind which others queue.
const LOCK_WAIT_SECONDS: u32 = 3;
/// How long a lock may last.
#[derive(Clone, Copy)]
struct Limits {
    /// Time for the views to open, in seconds.
    views_s: u32,
    /// Seconds after which the server ends a session that holds the lock and says nothing, and with it the lock: our machine, or the way to
    /// it, may be gone. Longer than the views have, during which the session has nothing to say.
    idle_s: u32,
}

/// Nobody commits anything meanwhile, and so nothing keeps views from opening.
const OF_SERVER: Limits = Limits {
    views_s: 5,
    idle_s: 10,
};
/// Others write into all other tables, which may keep a server busy, and wait for none but these.
const OF_TABLES: Limits = Limits {
    views_s: 15,
    idle_s: 25,
};
/// Time for the answer to the statement that takes a lock; the server waits for several locks in turn. If we give up before it has them, its
/// session is idle once it has, and ends.
const LOCK_ANSWER: Duration = Duration::from_mins(2);
/// Time for the answer about the place in the log, and for giving a lock up.
const ANSWER: Duration = Duration::from_secs(4);
/// Attempts at the global lock, and at views that agree.
const LOCK_ATTEMPTS: usize = 2;
const AGREE_ATTEMPTS: usize = 10;

const OPEN_VIEW: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

/// Opens the views of the readers, some of which may be let go, and answers where in the log they are.
pub(super) async fn open_views(
    connection: &mut Connection,
    readers: &mut Vec<Connection>,
    (tables, views): (&[Table], &[Table]),
) -> Result<Position, WireError> {
    for _ in 0..LOCK_ATTEMPTS {
        match lock(connection, "FLUSH TABLES WITH READ LOCK", OF_SERVER).await {
            Ok(()) => return open_locked(connection, readers, OF_SERVER).await,
            Err(WireError::Server(error)) if error.is_denied() => {
                debug!(%error, "no global read lock");
                break;
            }
            Err(WireError::Server(error)) if error.is_transient() => {
                info!(%error, "the global read lock was not to be had in time");
            }
            Err(error) => return Err(error),
        }
    }
    if connection.engine() == Engine::MariaDb
        && let Some(position) = open_until_equal(readers).await?
    {
        return Ok(position);
    }
    // A view that cannot be locked does not keep the tables from it: it is read by one statement.
    let lists = [[tables, views].concat(), tables.to_vec()];
    for locked in lists.iter().filter(|locked| !locked.is_empty()) {
        let locks: Vec<String> = locked
            .iter()
            .map(|table| format!("{} READ", quote::table(&table.name)))
            .collect();
        let statement = format!("LOCK TABLES {}", locks.join(", "));
        match lock(connection, &statement, OF_TABLES).await {
            Ok(()) => return open_locked(connection, readers, OF_TABLES).await,
            Err(WireError::Server(error)) => info!(%error, "the selected tables cannot be locked"),
            Err(error) => return Err(error),
        }
    }
    warn!(
        "no lock is allowed at the source: a single reader reads the tables; grant RELOAD to read in parallel"
    );
    readers.truncate(1);
    let position = position::current(connection).await?;
    open_all(readers).await?;
    Ok(position::inexact(&position))
}

async fn open_all(readers: &mut [Connection]) -> Result<(), WireError> {
    try_join_all(readers.iter_mut().map(|reader| reader.execute(OPEN_VIEW))).await?;
    Ok(())
}

/// Takes a lock that the server gives up by itself once it has not heard from us for as long as the limits say.
async fn lock(
    connection: &mut Connection,
    statement: &str,
    limits: Limits,
) -> Result<(), WireError> {
    connection
        .execute(&format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS}, SESSION wait_timeout = {}",
            limits.idle_s
        ))
        .await?;
    let locked = within(LOCK_ANSWER, connection.execute(statement)).await;
    if let Err(WireError::Server(_)) = &locked {
        outlive_silence(connection).await?;
    }
    locked.map(drop)
}

/// Opens the views while `connection` holds a lock, and releases the lock whatever happens. Where the server does not hear of that, it
/// releases the lock itself: `connection` is of no use then.
///
/// The lock was held while each of the views opened, because its session tells the position afterwards.
async fn open_locked(
    connection: &mut Connection,
    readers: &mut Vec<Connection>,
    limits: Limits,
) -> Result<Position, WireError> {
    let limit = Duration::from_secs(limits.views_s.into());
    let opened = match open_in_time(readers, limit).await {
        Ok(()) => within(ANSWER, position::current(connection)).await,
        Err(error) => Err(error),
    };
    let unlocked = within(ANSWER, async {
        connection.execute("UNLOCK TABLES").await?;
        outlive_silence(connection).await
    })
    .await;
    // What went wrong first says more.
    let position = opened?;
    unlocked?;
    Ok(position)
}

/// Opens the views of the readers and lets those go whose view is not open in time.
///
/// # Errors
/// [`WireError::Silent`] when there is none left; the first of what else befell a reader.
async fn open_in_time(readers: &mut Vec<Connection>, limit: Duration) -> Result<(), WireError> {
    let wanted = readers.len();
    let opening = readers.drain(..).map(|mut reader| async move {
        let opened = within(limit, reader.execute(OPEN_VIEW)).await;
        opened.map(|_| reader)
    });
    for opened in join_all(opening).await {
        match opened {
            Ok(reader) => readers.push(reader),
            Err(WireError::Silent(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if readers.is_empty() {
        return Err(WireError::Silent(limit));
    }
    if readers.len() < wanted {
        warn!(
            wanted,
            readers = readers.len(),
            "views of the source did not open in time; fewer readers read the tables"
        );
    }
    Ok(())
}

/// Takes back that the server closes a connection that is silent for a short time.
async fn outlive_silence(connection: &mut Connection) -> Result<(), WireError> {
    let setting = format!("SET SESSION wait_timeout = {IDLE_SECONDS}");
    connection.execute(&setting).await?;
    Ok(())
}

/// Waits so long for an answer, and no longer.
async fn within<T>(
    limit: Duration,
    asked: impl Future<Output = Result<T, WireError>>,
) -> Result<T, WireError> {
    let answered = timeout(limit, asked).await;
    answered.unwrap_or(Err(WireError::Silent(limit)))
}

/// Opens views until all are at one place of the log. `None` when they never are, or the server keeps no log.
async fn open_until_equal(readers: &mut [Connection]) -> Result<Option<Position>, WireError> {
    for _ in 0..AGREE_ATTEMPTS {
        open_all(readers).await?;
        let places = try_join_all(readers.iter_mut().map(place)).await?;
        let Some(first) = places.first().filter(|place| !place.0.is_empty()) else {
            return Ok(None);
        };
        if places.iter().all(|place| place == first) {
            let (file, offset) = first.clone();
            let gtids = position::binlog_gtid_pos(&mut readers[0], &file, &offset).await?;
            return Ok(Some(position::written(&file, &offset, &gtids)));
        }
    }
    Ok(None)
}

/// The place in the log of a reader's view: file and offset.
async fn place(reader: &mut Connection) -> Result<(String, String), WireError> {
    let rows = reader.rows("SHOW STATUS LIKE 'binlog_snapshot_%'").await?;
    let find = |name: &str| {
        let row = rows
            .iter()
            .find(|row| row.text(0).eq_ignore_ascii_case(name));
        row.map(|row| row.text(1).to_owned()).unwrap_or_default()
    };
    let offset = find("binlog_snapshot_position");
    // It becomes part of a statement, so it must be a number.
    let offset = offset
        .parse::<u64>()
        .map(|offset| offset.to_string())
        .unwrap_or_default();
    Ok((find("binlog_snapshot_file"), offset))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use whimbrel_testkit::{Engine, Fault, FaultProxy, Server, TestDatabase};

    use super::*;
    use crate::connect::connect;
    use crate::options::Options;
    use crate::wire::Purpose;

    const ENGINES: [Engine; 2] = [Engine::Mariadb1011, Engine::Mysql97];
    const LOCK: &str = "LOCK TABLES t READ";

    fn database(engine: Engine) -> TestDatabase {
        let database = Server::get(engine).unwrap().database("held").unwrap();
        database.sql("create table t (id int primary key)").unwrap();
        database
    }

    async fn open(url: &str) -> Connection {
        let options = Options::from_url(url).unwrap();
        connect(&options, Purpose::Read).await.unwrap()
    }

    async fn proxy(database: &TestDatabase) -> (FaultProxy, String) {
        let url = database.url();
        let (_, rest) = url.split_once('@').unwrap();
        let (server, _) = rest.split_once('/').unwrap();
        let proxy = FaultProxy::start(server.parse().unwrap()).await.unwrap();
        let through = url.replace(server, &proxy.address().to_string());
        (proxy, through)
    }

    /// Another session's statement, which waits as long as the table is locked.
    async fn write(writer: &mut Connection, limit: Duration) {
        let written = timeout(limit, writer.execute("insert into t values (1)")).await;
        written.expect("the lock is held").unwrap();
    }

    async fn idle_seconds(connection: &mut Connection) -> String {
        let row = connection.row("SELECT @@wait_timeout").await.unwrap();
        row.unwrap().text(0).to_owned()
    }

    const LONG: Duration = Duration::from_secs(15);

    #[tokio::test]
    async fn a_lock_does_not_wait_for_readers_that_are_gone() {
        for engine in ENGINES {
            let database = database(engine);
            let (proxy, through) = proxy(&database).await;
            let mut connection = open(&database.url()).await;
            let mut readers = vec![open(&through).await, open(&through).await];
            lock(&mut connection, LOCK, OF_SERVER).await.unwrap();
            proxy.set(Fault::Lose);
            let began = Instant::now();
            let error = open_locked(&mut connection, &mut readers, OF_SERVER).await;
            let error = error.unwrap_err();
            assert!(matches!(error, WireError::Silent(_)), "{error}");
            assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
            write(&mut open(&database.url()).await, LONG).await;
            assert_eq!(idle_seconds(&mut connection).await, "31536000");
        }
    }

    /// What is committed behind the lock is in none of their views, and what was before in all of them.
    #[tokio::test]
    async fn readers_whose_view_opened_in_time_read_without_the_others() {
        for engine in ENGINES {
            let database = database(engine);
            database.sql("insert into t values (7)").unwrap();
            let (proxy, through) = proxy(&database).await;
            let mut connection = open(&database.url()).await;
            let url = database.url();
            let mut readers = vec![open(&url).await, open(&through).await, open(&url).await];
            lock(&mut connection, LOCK, OF_SERVER).await.unwrap();
            proxy.set(Fault::Lose);
            let position = open_locked(&mut connection, &mut readers, OF_SERVER).await;
            let position = position.unwrap();
            write(&mut open(&database.url()).await, LONG).await;
            assert_ne!(position::current(&mut connection).await.unwrap(), position);
            assert_eq!(readers.len(), 2);
            for reader in &mut readers {
                let row = reader.row("select group_concat(id) from t").await.unwrap();
                assert_eq!(row.unwrap().text(0), "7");
            }
            assert_eq!(idle_seconds(&mut connection).await, "31536000");
        }
    }

    #[tokio::test]
    async fn a_lock_goes_with_the_network_of_its_holder() {
        for engine in ENGINES {
            let database = database(engine);
            let (proxy, through) = proxy(&database).await;
            let mut writer = open(&database.url()).await;
            let mut connection = open(&through).await;
            let mut readers = vec![open(&database.url()).await];
            lock(&mut connection, LOCK, OF_SERVER).await.unwrap();
            proxy.set(Fault::Lose);
            open_locked(&mut connection, &mut readers, OF_SERVER)
                .await
                .unwrap_err();
            // It is still open here, and its end was told to nobody.
            write(&mut writer, Duration::from_mins(1)).await;
            drop((connection, proxy));
        }
    }

    #[tokio::test]
    async fn a_lock_that_is_refused_leaves_the_session_as_it_was() {
        for engine in ENGINES {
            let database = database(engine);
            let mut connection = open(&database.url()).await;
            let refused = lock(&mut connection, "LOCK TABLES nothing READ", OF_TABLES).await;
            assert!(matches!(refused, Err(WireError::Server(_))));
            assert_eq!(idle_seconds(&mut connection).await, "31536000");
        }
    }
}
