//! Opening connections, fixing their sessions, and saying why one could not be opened.

use std::time::Duration;

use tokio::time::timeout;
use whimbrel_connector::{ConnectError, ConnectErrorKind as Kind};
use whimbrel_core::Engine;
use whimbrel_net::{Cause, TlsMode, Unreachable, notice_silence, reach};

use crate::options::Options;
use crate::wire::{Connection, MyError, Purpose, StartError, WireError};

/// Time after which a source that does not take what we send is given up.
const SILENCE: Duration = Duration::from_mins(1);

/// Seconds that a server lets a session of ours be silent. A year: a load may wait for the other end for a long time, and says itself
/// when it gives up.
pub(crate) const IDLE_SECONDS: u32 = 31_536_000;

/// Connects, signs in and fixes the session.
pub(crate) async fn connect(
    options: &Options,
    purpose: Purpose,
) -> Result<Connection, ConnectError> {
    match timeout(
        options.connect_timeout,
        Box::pin(connect_untimed(options, purpose)),
    )
    .await
    {
        Ok(connected) => connected,
        Err(_) => Err(failure(
            options,
            Cause::new(
                Kind::TimedOut,
                format!("no answer within {} s", options.connect_timeout.as_secs()),
                "check that host and port are right and that no firewall drops the connection",
            ),
        )),
    }
}

/// Connects, and asks the server for a sign of life.
pub(crate) async fn check(options: &Options) -> Result<Connection, ConnectError> {
    let mut connection = connect(options, Purpose::Read).await?;
    match answer(options, connection.ping()).await? {
        Ok(()) => Ok(connection),
        Err(error) => Err(explain(options, StartError::Wire(error))),
    }
}

/// What a server answers that has signed us in; it may take as long as connecting may.
async fn answer<T>(options: &Options, asked: impl Future<Output = T>) -> Result<T, ConnectError> {
    timeout(options.connect_timeout, asked).await.map_err(|_| {
        failure(
            options,
            Cause::new(
                Kind::TimedOut,
                "no answer after signing in",
                "check the server's load and log",
            ),
        )
    })
}

async fn connect_untimed(options: &Options, purpose: Purpose) -> Result<Connection, ConnectError> {
    let socket = reach(&options.host, options.port)
        .await
        .map_err(|error| failure(options, error.cause("bind_address")))?;
    // A server that is read from takes our few words at once.
    if purpose == Purpose::Read {
        notice_silence(&socket, SILENCE)
            .map_err(|error| failure(options, Unreachable::Refused(error).cause("bind_address")))?;
    }
    let mut connection = Connection::start(socket, options, purpose)
        .await
        .map_err(|error| explain(options, error))?;
    run_after_connect(&mut connection, options).await?;
    fix_session(&mut connection, purpose)
        .await
        .map_err(|error| explain(options, StartError::Wire(error)))?;
    Ok(connection)
}

async fn run_after_connect(
    connection: &mut Connection,
    options: &Options,
) -> Result<(), ConnectError> {
    // Named by their numbers: statements may hold secrets, and so may what the server says of them.
    for (number, statement) in (1..).zip(&options.after_connect) {
        match connection.execute(statement).await {
            Ok(_) => {}
            Err(WireError::Server(error)) => {
                let code = error.code;
                tracing::warn!(
                    code,
                    number,
                    "a statement of the after-connect script failed"
                );
            }
            Err(WireError::Protocol(_)) => {
                return Err(failure(
                    options,
                    Cause::new(
                        Kind::InvalidSettings,
                        format!("statement {number} of the after-connect script gives rows"),
                        "take it out of the script",
                    ),
                ));
            }
            Err(error) => return Err(explain(options, StartError::Wire(error))),
        }
    }
    Ok(())
}

/// The server's code for a variable that it does not have.
const UNKNOWN_VARIABLE: u16 = 1193;

/// What tells this server from every other, as far as it says. Servers restored from one backup share their unique id, but not
/// their host.
pub(crate) async fn identity(
    options: &Options,
    connection: &mut Connection,
) -> Result<Option<String>, ConnectError> {
    let own = match connection.engine() {
        Engine::MariaDb => "@@server_uid",
        Engine::MySql | Engine::Postgres => "@@server_uuid",
    };
    // Older releases of MariaDB have no id.
    for id in [own, "''"] {
        let query = format!("SELECT CONCAT_WS(' ', {id}, @@hostname, @@port, @@datadir)");
        match answer(options, connection.row(&query)).await? {
            Ok(row) => return Ok(row.and_then(|row| row.get(0).map(str::to_owned))),
            Err(WireError::Server(error)) if error.code == UNKNOWN_VARIABLE => {}
            Err(error) => return Err(explain(options, StartError::Wire(error))),
        }
    }
    Ok(None)
}

/// Fixes everything that the meaning of statements and cells depends on, whatever the server's defaults are.
async fn fix_session(connection: &mut Connection, purpose: Purpose) -> Result<(), WireError> {
    connection
        .execute("SET NAMES utf8mb4 COLLATE utf8mb4_bin")
        .await?;
    let sql_mode = match purpose {
        // Dates that a table holds can be compared with, whether they exist or not.
        Purpose::Read => "ALLOW_INVALID_DATES",
        // Zero and invalid dates are rows of the source like any other; 0 in a numbered column is 0.
        Purpose::Write => {
            "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES"
        }
    };
    let isolation = match purpose {
        Purpose::Read => "REPEATABLE READ",
        Purpose::Write => "READ COMMITTED",
    };
    let mut settings = format!(
        "SET SESSION time_zone = '+00:00', SESSION sql_mode = '{sql_mode}', SESSION autocommit = 1, \
         SESSION wait_timeout = {IDLE_SECONDS}, SESSION net_read_timeout = {IDLE_SECONDS}, \
         SESSION net_write_timeout = {IDLE_SECONDS}, SESSION sql_select_limit = DEFAULT"
    );
    let (own, wishes): (&str, &[&str]) = match connection.engine() {
        Engine::MariaDb => (
            ", SESSION max_statement_time = 0, SESSION sql_quote_show_create = 1, SESSION idle_transaction_timeout = 0, \
             SESSION idle_readonly_transaction_timeout = 0, SESSION idle_write_transaction_timeout = 0",
            &["explicit_defaults_for_timestamp = 1"],
        ),
        Engine::MySql | Engine::Postgres => (
            ", SESSION max_execution_time = 0, SESSION information_schema_stats_expiry = 0, \
             SESSION sql_quote_show_create = 1",
            &[
                "sql_generate_invisible_primary_key = 0",
                "explicit_defaults_for_timestamp = 1",
            ],
        ),
    };
    settings.push_str(own);
    if purpose == Purpose::Write {
        // Unique checks stay on: without them InnoDB may take duplicates into secondary keys, and MariaDB loads slower.
        settings.push_str(", SESSION foreign_key_checks = 0, SESSION unique_checks = 1");
    }
    connection.execute(&settings).await?;
    connection
        .execute(&format!(
            "SET SESSION TRANSACTION ISOLATION LEVEL {isolation}"
        ))
        .await?;
    if purpose == Purpose::Write {
        for wish in wishes {
            // Only privileged users may set these, and only unusual servers have them otherwise.
            match connection.execute(&format!("SET SESSION {wish}")).await {
                Ok(_) | Err(WireError::Server(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn failure(options: &Options, cause: Cause) -> ConnectError {
    let engine = match options.engine {
        Engine::MariaDb => "MariaDB",
        Engine::MySql | Engine::Postgres => "MySQL",
    };
    cause.at(&format!("{engine} at {}", options.describe()))
}

fn explain(options: &Options, error: StartError) -> ConnectError {
    let cause = match error {
        StartError::TlsNotOffered => Cause::new(
            Kind::TlsRefused,
            "the server does not offer TLS",
            "give the server a certificate (ssl_cert and ssl_key), or set the SSL mode to none",
        ),
        StartError::Tls(failed) => failed.cause(),
        StartError::Plugin(what) => Cause::new(
            Kind::Other,
            what,
            "create the user with caching_sha2_password or mysql_native_password",
        ),
        StartError::Wire(WireError::Server(error)) => explain_server(options, &error),
        StartError::Wire(error) => Cause::new(
            Kind::Other,
            error.to_string(),
            "check that a MySQL or MariaDB server listens at this port",
        ),
    };
    failure(options, cause)
}

fn explain_server(options: &Options, error: &MyError) -> Cause {
    let user = &options.user;
    let (kind, remedy) = match error.code {
        1045 if options.tls == TlsMode::None => (
            Kind::WrongPassword,
            format!(
                "check the password of user {user}, the hosts it may come from, and whether the server lets it in only over TLS"
            ),
        ),
        1045 | 1698 => (
            Kind::WrongPassword,
            format!("check the password of user {user} and the hosts it may come from"),
        ),
        1049 => (
            Kind::UnknownDatabase,
            "create the database, or name another".to_owned(),
        ),
        1044 | 1142 | 1227 => (
            Kind::MissingPrivilege,
            format!("grant user {user} its rights on the database: GRANT … ON … TO …"),
        ),
        1130 | 1129 => (
            Kind::NotAllowed,
            format!(
                "create user {user} for this machine's address ('{user}'@'%' is every address); after too many failed attempts run FLUSH HOSTS"
            ),
        ),
        3159 => (
            Kind::NotAllowed,
            "the server lets clients in only over TLS: set the SSL mode to verify-ca, with the certificate of its authority (in a URL, sslmode=require does too)".to_owned(),
        ),
        1820 | 1862 | 3118 | 4151 => (
            Kind::NotAllowed,
            format!("unlock user {user} or renew its password at the server"),
        ),
        1040 | 1203 | 1226 => (
            Kind::TooManyConnections,
            "close other connections, or raise max_connections at the server".to_owned(),
        ),
        _ => (Kind::Other, "see the server's log".to_owned()),
    };
    Cause::new(kind, error.to_string(), remedy)
}
