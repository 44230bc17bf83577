use std::io::{Error, ErrorKind};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, lookup_host};
use whimbrel_connector::ConnectErrorKind as Kind;

use crate::Cause;

/// Why no socket came about.
#[derive(Debug)]
pub enum Unreachable {
    /// The name servers do not know the host.
    NotResolved(Error),
    /// They know it, without an address.
    NoAddress,
    /// None of its addresses could be connected to; the last error.
    Refused(Error),
}

/// Connects to the first address of the host that answers. Takes as long as the system allows: callers set a limit.
///
/// What is written goes out at once. A peer that is gone is noticed after about a minute of silence; while something written is not acknowledged,
/// after as long as the system goes on to send it (Linux: `net.ipv4.tcp_retries2`, about a quarter of an hour).
pub async fn reach(host: &str, port: u16) -> Result<TcpStream, Unreachable> {
    let addresses = lookup_host((host, port))
        .await
        .map_err(Unreachable::NotResolved)?;
    let mut last = Unreachable::NoAddress;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(socket) => {
                prepare(&socket).map_err(Unreachable::Refused)?;
                return Ok(socket);
            }
            Err(error) => last = Unreachable::Refused(error),
        }
    }
    Err(last)
}

/// No limit for what is written and not acknowledged, on purpose: Linux counts the time for which a living peer takes nothing,
/// such as a server whose command waits for a lock.
fn prepare(socket: &TcpStream) -> std::io::Result<()> {
    // Commands are written whole; waiting to join them with others only costs time.
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(20))
        .with_interval(Duration::from_secs(10))
        .with_retries(4);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// Ends the connection once something written was not taken for so long. For connections whose peer always reads.
pub fn notice_silence(socket: &TcpStream, limit: Duration) -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    SockRef::from(socket).set_tcp_user_timeout(Some(limit))?;
    #[cfg(not(target_os = "linux"))]
    let (_, _) = (socket, limit);
    Ok(())
}

impl Unreachable {
    /// What to tell the user; `listens` is the server's setting that decides where it listens.
    pub fn cause(&self, listens: &str) -> Cause {
        match self {
            Self::NotResolved(error) => Cause::new(
                Kind::NameNotResolved,
                format!("the host name does not resolve: {error}"),
                "check the spelling of the host name and the name servers of this machine",
            ),
            Self::NoAddress => Cause::new(
                Kind::NameNotResolved,
                "the host name has no address",
                "check the host name",
            ),
            Self::Refused(error) => match error.kind() {
                ErrorKind::ConnectionRefused => Cause::new(
                    Kind::PortClosed,
                    "nothing listens at this port",
                    format!("check the port, that the server runs, and its {listens}"),
                ),
                ErrorKind::TimedOut => Cause::new(
                    Kind::TimedOut,
                    "no answer",
                    "check that host and port are right and that no firewall drops the connection",
                ),
                _ => Cause::new(
                    Kind::Other,
                    error.to_string(),
                    "check the network between this machine and the server",
                ),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_takes_nothing_for_a_while_is_no_lost_peer() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = reach("127.0.0.1", port).await.unwrap();
        assert!(SockRef::from(&socket).keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&socket).tcp_user_timeout().unwrap(), None);
        assert!(socket.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_closed_port_and_an_unknown_name_are_told_apart() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let closed = reach("127.0.0.1", port).await.unwrap_err().cause("bind");
        assert_eq!(closed.kind, Kind::PortClosed);
        assert!(closed.remedy.ends_with("and its bind"), "{closed:?}");
        let unknown = reach("no-such-host.invalid", port).await.unwrap_err();
        assert_eq!(unknown.cause("bind").kind, Kind::NameNotResolved);
    }
}
