//! Opening connections, and saying why one could not be opened.

use std::io::ErrorKind;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use whimbrel_connector::{ConnectError, ConnectErrorKind as Kind};

use crate::options::{Options, TlsMode};
use crate::wire::{Connection, Purpose, ServerError, StartError, TlsFailure, WireError};

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
            Kind::TimedOut,
            &format!("no answer within {} s", options.connect_timeout.as_secs()),
            "check that host and port are right and that no firewall drops the connection",
        )),
    }
}

/// Runs a trivial query.
pub(crate) async fn ping(
    options: &Options,
    connection: &mut Connection,
) -> Result<(), ConnectError> {
    match connection.query("SELECT 1").await {
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
    match connection.query(QUERY).await {
        Ok(rows) => Ok(rows.into_iter().flatten().flatten().next()),
        // Servers that only speak like PostgreSQL may not know these functions.
        Err(WireError::Server(_)) => Ok(None),
        Err(error) => Err(explain(options, StartError::Wire(error))),
    }
}

async fn connect_untimed(options: &Options, purpose: Purpose) -> Result<Connection, ConnectError> {
    let addresses: Vec<_> = match lookup_host((options.host.as_str(), options.port)).await {
        Ok(addresses) => addresses.collect(),
        Err(error) => {
            return Err(failure(
                options,
                Kind::NameNotResolved,
                &format!("the host name does not resolve: {error}"),
                "check the spelling of the host name and the name servers of this machine",
            ));
        }
    };
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                return Connection::start(socket, options, purpose)
                    .await
                    .map_err(|e| explain(options, e));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        None => failure(
            options,
            Kind::NameNotResolved,
            "the host name has no address",
            "check the host name",
        ),
        Some(error) => unreachable_host(options, &error),
    })
}

fn unreachable_host(options: &Options, error: &std::io::Error) -> ConnectError {
    match error.kind() {
        ErrorKind::ConnectionRefused => failure(
            options,
            Kind::PortClosed,
            "nothing listens at this port",
            "check the port, that the server runs, and its listen_addresses",
        ),
        ErrorKind::TimedOut => failure(
            options,
            Kind::TimedOut,
            "no answer",
            "check that host and port are right and that no firewall drops the connection",
        ),
        _ => failure(
            options,
            Kind::Other,
            &error.to_string(),
            "check the network between this machine and the server",
        ),
    }
}

fn failure(options: &Options, kind: Kind, what: &str, remedy: &str) -> ConnectError {
    ConnectError {
        kind,
        message: format!(
            "cannot connect to PostgreSQL at {}: {what}",
            options.describe()
        ),
        remedy: remedy.to_owned(),
    }
}

fn explain(options: &Options, error: StartError) -> ConnectError {
    match error {
        StartError::TlsNotOffered => failure(
            options,
            Kind::TlsRefused,
            "the server does not offer TLS",
            "switch on ssl at the server, or set the SSL mode to none",
        ),
        StartError::Tls(failed) => explain_tls(options, failed),
        StartError::SignIn(what) => failure(
            options,
            Kind::WrongPassword,
            &what,
            "check user name and password",
        ),
        StartError::Wire(WireError::Server(error)) => explain_server(options, &error),
        StartError::Wire(error) => failure(
            options,
            Kind::Other,
            &error.to_string(),
            "check that a PostgreSQL server listens at this port",
        ),
    }
}

fn explain_tls(options: &Options, failed: TlsFailure) -> ConnectError {
    match failed {
        TlsFailure::Settings(what) => failure(
            options,
            Kind::InvalidSettings,
            &what,
            "give the certificate of the authority that signed the server's, as PEM",
        ),
        TlsFailure::NotTrusted(what) => failure(
            options,
            Kind::CertificateNotTrusted,
            &format!("the server's certificate is not trusted: {what}"),
            "give the certificate of the authority that signed it, and for verify-full the host name it was made for",
        ),
        TlsFailure::Handshake(what) => failure(
            options,
            Kind::TlsRefused,
            &format!("the TLS handshake failed: {what}"),
            "check the TLS versions and ciphers that the server allows",
        ),
    }
}

fn explain_server(options: &Options, error: &ServerError) -> ConnectError {
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
            format!("grant user {user} the right to connect: GRANT CONNECT ON DATABASE … TO …"),
        ),
        "53300" => (
            Kind::TooManyConnections,
            "close other connections, or raise max_connections at the server".to_owned(),
        ),
        _ => (Kind::Other, "see the server's log".to_owned()),
    };
    failure(options, kind, &error.to_string(), &remedy)
}
