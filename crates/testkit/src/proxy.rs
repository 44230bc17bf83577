//! A TCP proxy that breaks connections on command.
//!
//! ```text
//! client ──► accept ─┬─ pump: client to server ──► server
//!                    └─ pump: server to client ◄──
//! ```
//!
//! The fault in force is one value in a watch channel that every pump reads before each piece it passes
//! on, so a change takes effect at once on all connections, also on those that wait for bytes. A cut is
//! a count in the same value: a connection ends when the count differs from the one it began with.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Small enough that a throttled connection flows rather than jerks.
const PIECE_BYTES: usize = 16 * 1024;

/// What the proxy does to the bytes that pass it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fault {
    /// Nothing: everything passes.
    #[default]
    None,
    /// Connections are ended, and new ones end at once.
    Refuse,
    /// Connections stay open and no byte moves, until another fault is set.
    Stall,
    /// Half-open connections: what either end sends is taken and lost, as when a cable is pulled.
    Lose,
    /// What clients send reaches the server; what it answers is taken and lost.
    LoseAnswers,
    /// Every piece of bytes is on its way for so long.
    Delay {
        /// In each direction.
        ms: u32,
    },
    /// At most so many bytes per second in each direction of each connection.
    Throttle {
        /// The limit; not zero.
        bytes_per_s: u32,
    },
    /// Once so many more bytes have come from the server, all connections are cut and the fault is over.
    CutAfter {
        /// Bytes from the server, on all connections together, that still reach the clients.
        bytes: u64,
    },
}

/// A listening proxy in front of one server. Dropping it cuts its connections.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<SocketAddr>,
    setting: watch::Sender<Setting>,
    /// What is left of [`Fault::CutAfter`].
    left_bytes: AtomicU64,
    to_client_bytes: AtomicU64,
    to_server_bytes: AtomicU64,
    lost_bytes: AtomicU64,
    connections: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Setting {
    fault: Fault,
    cuts: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    ToServer,
    ToClient,
}

impl FaultProxy {
    /// Starts a proxy on a free port of the loopback address. Runs on the caller's tokio runtime.
    pub async fn start(server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            setting: watch::Sender::new(Setting::default()),
            left_bytes: AtomicU64::new(0),
            to_client_bytes: AtomicU64::new(0),
            to_server_bytes: AtomicU64::new(0),
            lost_bytes: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        #[expect(
            clippy::disallowed_methods,
            reason = "the proxy ends it when it is dropped"
        )]
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts a fault in force, in place of the one before.
    pub fn set(&self, fault: Fault) {
        if let Fault::CutAfter { bytes } = fault {
            self.shared.left_bytes.store(bytes, Ordering::SeqCst);
        }
        self.shared
            .setting
            .send_modify(|setting| setting.fault = fault);
    }

    /// Takes back a [`Fault::CutAfter`] that has not cut yet; other faults stay in force.
    pub fn disarm(&self) {
        self.shared.setting.send_if_modified(|setting| {
            let armed = matches!(setting.fault, Fault::CutAfter { .. });
            if armed {
                setting.fault = Fault::None;
            }
            armed
        });
    }

    /// Leads new connections to another server, as when an address moves.
    pub fn lead_to(&self, server: SocketAddr) {
        let leads_to = &self.shared.server;
        *leads_to.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Cuts every connection now. New ones pass as the fault in force allows.
    pub fn cut(&self) {
        self.shared.setting.send_modify(|setting| setting.cuts += 1);
    }

    /// Connections that clients made so far, whether they came through or not.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Bytes that [`Fault::Lose`] and [`Fault::LoseAnswers`] took and passed to nobody.
    pub fn lost_bytes(&self) -> u64 {
        self.shared.lost_bytes.load(Ordering::SeqCst)
    }

    /// Bytes passed on to the server and to the clients so far.
    pub fn passed_bytes(&self) -> (u64, u64) {
        let load = |count: &AtomicU64| count.load(Ordering::SeqCst);
        (
            load(&self.shared.to_server_bytes),
            load(&self.shared.to_client_bytes),
        )
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, which ends all connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            return;
        };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        connections.spawn(carry(client, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Carries one connection until either end closes it, or a fault ends it.
async fn carry(client: TcpStream, shared: Arc<Shared>) {
    let mut setting = shared.setting.subscribe();
    let cuts = setting.borrow().cuts;
    let until_cut = async move {
        let ended = |now: &Setting| now.cuts != cuts || now.fault == Fault::Refuse;
        // The sender lives as long as `shared`, so the wait ends for no other reason.
        setting.wait_for(ended).await.is_ok()
    };
    // A reset instead of an orderly end: that is what a cut looks like to the client.
    let reset_on_close = client.set_zero_linger();
    let both_ways = async {
        let address = shared.address();
        let server = TcpStream::connect(address).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        reset_on_close?;
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (mut from_server, mut to_server) = tokio::io::split(server);
        tokio::try_join!(
            pump(
                &mut from_client,
                &mut to_server,
                &shared,
                Direction::ToServer
            ),
            pump(
                &mut from_server,
                &mut to_client,
                &shared,
                Direction::ToClient
            ),
        )
    };
    tokio::select! {
        _ = until_cut => {}
        _ = both_ways => {}
    }
}

/// Passes bytes on in one direction. Both ends' orderly closes end the connection as an error of kind
/// [`io::ErrorKind::UnexpectedEof`], after what was read has been passed on.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    shared: &Shared,
    direction: Direction,
) -> io::Result<Infallible> {
    let mut setting = shared.setting.subscribe();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let fault = setting.borrow_and_update().fault;
        if fault == Fault::Stall {
            setting.changed().await.map_err(io::Error::other)?;
            continue;
        }
        let read = tokio::select! {
            read = from.read(&mut piece) => read?,
            _ = setting.changed() => continue,
        };
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = &piece[..read];
        match fault {
            // `Stall` and `Refuse` may have been set while this piece was read; it still passes.
            Fault::None | Fault::Stall | Fault::Refuse => to.write_all(bytes).await?,
            Fault::LoseAnswers if direction == Direction::ToServer => to.write_all(bytes).await?,
            Fault::Lose | Fault::LoseAnswers => {
                shared.lost_bytes.fetch_add(read as u64, Ordering::SeqCst);
                continue;
            }
            Fault::Delay { ms } => {
                tokio::time::sleep(Duration::from_millis(ms.into())).await;
                to.write_all(bytes).await?;
            }
            Fault::Throttle { bytes_per_s } => {
                to.write_all(bytes).await?;
                tokio::time::sleep(throttled(read, bytes_per_s)).await;
            }
            Fault::CutAfter { .. } if direction == Direction::ToServer => {
                to.write_all(bytes).await?;
            }
            Fault::CutAfter { .. } => shared.pass_until_cut(to, bytes).await?,
        }
        shared.count(direction, read);
    }
}

impl Shared {
    fn address(&self) -> SocketAddr {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes on what [`Fault::CutAfter`] still allows, and cuts when that is used up.
    async fn pass_until_cut(
        &self,
        to: &mut (impl AsyncWrite + Unpin),
        bytes: &[u8],
    ) -> io::Result<()> {
        let wanted = bytes.len() as u64;
        let take = |left: u64| Some(left.saturating_sub(wanted));
        let left = match self
            .left_bytes
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, take)
        {
            Ok(left) | Err(left) => left,
        };
        let allowed = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        to.write_all(&bytes[..allowed]).await?;
        to.flush().await?;
        if left <= wanted {
            self.setting.send_modify(|setting| {
                setting.fault = Fault::None;
                setting.cuts += 1;
            });
            // At once: what follows must not reach the client without what was held back.
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        Ok(())
    }

    fn count(&self, direction: Direction, bytes: usize) {
        let count = match direction {
            Direction::ToServer => &self.to_server_bytes,
            Direction::ToClient => &self.to_client_bytes,
        };
        count.fetch_add(bytes as u64, Ordering::SeqCst);
    }
}

fn throttled(bytes: usize, bytes_per_s: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / bytes_per_s.max(1)
}

#[cfg(test)]
mod tests;
