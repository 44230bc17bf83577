//! Opening connections, and saying why one could not be opened.

use tokio::time::timeout;
use whimbrel_connector::{ConnectError, ConnectErrorKind as Kind};
use whimbrel_net::{Cause, TlsMode, reach};

use crate::options::Options;
use crate::quote;
use crate::wire::{Connection, Purpose, ServerError, StartError, WireError};

/// Connects and signs in.
pub(crate) async fn connect(options: &Options) -> Result<Connection, ConnectError> {
    connect_for(options, Purpose::Queries).await
}

/// Connects and signs in, for queries or for replication.
pub(crate) async fn connect_for(
    options: &Options,
    purpose: Purpose,
) -> Result<Connection, ConnectError> {
    match timeout(options.connect_timeout, connect_untimed(options, purpose)).await {
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

/// Runs a trivial query.
pub(crate) async fn ping(
    options: &Options,
    connection: &mut Connection,
) -> Result<(), ConnectError> {
    match answer(options, connection.query("SELECT 1")).await? {
        Ok(_) => Ok(()),
        Err(error) => Err(explain(options, StartError::Wire(error))),
    }
}

/// What tells this database from every other. The moment at which the server started is part of it: servers restored from
/// one backup share all the rest.
pub(crate) async fn identity(
    options: &Options,
    connection: &mut Connection,
) -> Result<Option<String>, ConnectError> {
    const QUERY: &str =
        "SELECT concat_ws(' ', extract(epoch FROM pg_postmaster_start_time()), oid, datname)
        FROM pg_database WHERE datname = current_database()";
    match answer(options, connection.query(QUERY)).await? {
        Ok(rows) => Ok(rows.into_iter().flatten().flatten().next()),
        // Servers that only speak like PostgreSQL may not know these functions.
        Err(WireError::Server(error))
            if matches!(error.code.as_str(), "42883" | "42703" | "42P01" | "0A000") =>
        {
            Ok(None)
        }
        Err(error) => Err(explain(options, StartError::Wire(error))),
    }
}

async fn connect_untimed(options: &Options, purpose: Purpose) -> Result<Connection, ConnectError> {
    let socket = reach(&options.host, options.port)
        .await
        .map_err(|error| failure(options, error.cause("listen_addresses")))?;
    Connection::start(socket, options, purpose)
        .await
        .map_err(|error| explain(options, error))
}

fn failure(options: &Options, cause: Cause) -> ConnectError {
    cause.at(&format!("PostgreSQL at {}", options.describe()))
}

fn explain(options: &Options, error: StartError) -> ConnectError {
    let cause = match error {
        StartError::TlsNotOffered => Cause::new(
            Kind::TlsRefused,
            "the server does not offer TLS",
            "switch on ssl at the server, or set the SSL mode to none",
        ),
        StartError::Tls(failed) => failed.cause(),
        StartError::SignIn(what) => {
            Cause::new(Kind::WrongPassword, what, "check user name and password")
        }
        StartError::Wire(WireError::Server(error)) => explain_server(options, &error),
        StartError::Wire(error) => Cause::new(
            Kind::Other,
            error.to_string(),
            "check that a PostgreSQL server listens at this port",
        ),
    };
    failure(options, cause)
}

fn explain_server(options: &Options, error: &ServerError) -> Cause {
    let user = &options.user;
    let (kind, remedy) = match error.code.as_str() {
        "28P01" => (Kind::WrongPassword, format!("check the password of user {user}")),
        "28000" if error.message.contains("role") && error.message.contains("does not exist") => {
            (Kind::WrongPassword, format!("check the user name {user}"))
        }
        "28000" if options.tls == TlsMode::None && error.message.contains("no encryption") => (
            Kind::NotAllowed,
            "the server lets this user in only over TLS, or not at all: set the SSL mode to require, or add a line to pg_hba.conf".to_owned(),
        ),
        "28000" => (
            Kind::NotAllowed,
            "add a line for this user, database and address to the server's pg_hba.conf".to_owned(),
        ),
        "3D000" => (Kind::UnknownDatabase, format!("create database {}, or name another", options.database)),
        "42501" => (
            Kind::MissingPrivilege,
            format!(
                "grant user {user} the right to connect: GRANT CONNECT ON DATABASE {} TO {}",
                quote::identifier(&options.database),
                quote::identifier(&options.user)
            ),
        ),
        "53300" => (
            Kind::TooManyConnections,
            "close other connections, or raise max_connections at the server".to_owned(),
        ),
        _ => (Kind::Other, "see the server's log".to_owned()),
    };
    Cause::new(kind, error.to_string(), remedy)
}
