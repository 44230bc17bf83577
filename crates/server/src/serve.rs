//! Builds everything, starts it, and ends it in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use whimbrel_connector::{Background, in_background};
use whimbrel_core::clock;
use whimbrel_store::{Embedded, KeySource, StoreError, VaultError};

use crate::arn::Home;
use crate::context::Context;
use crate::data_plane::DataPlane;
use crate::keys::{self, KeyPair};
use crate::operations::Service;
use crate::reconcile;

/// A run rolls open chunks back when it is stopped; one that hangs on a dead server is left to the kernel, and resumed later.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// What `serve` needs to know.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where everything is kept. Made when missing.
    pub data_dir: PathBuf,
    /// The region in ARNs and in the scope of signatures.
    pub region: String,
    /// The account in ARNs: twelve digits.
    pub account_id: String,
    /// Where the master key comes from.
    pub master_key: KeySource,
    /// The administrator's key; without one, one is made at the first start.
    pub administrator: Option<KeyPair>,
}

/// Why the service cannot start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The account is not twelve digits.
    #[error("the account id {0} is not valid; give twelve digits")]
    AccountId(String),
    /// The region has characters that no region has.
    #[error(
        "the region {0} is not valid; give lower-case letters, digits and hyphens, such as eu-central-1"
    )]
    Region(String),
    /// The address is taken or not ours.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The data directory, the store or the master key.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A service under way.
pub struct RunningServer {
    address: SocketAddr,
    new_administrator: Option<KeyPair>,
    context: Arc<Context>,
    shutdown: CancellationToken,
    reconcilers: JoinSet<()>,
    listener: Background<()>,
    /// Holds the lock of the data directory.
    _embedded: Embedded,
}

impl RunningServer {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The administrator key that this first start has made, to be told once.
    pub fn new_administrator(&self) -> Option<&KeyPair> {
        self.new_administrator.as_ref()
    }

    /// Ends the service: no more requests, no more passes, every run stopped and its figures written. Running tasks go on with the
    /// next start.
    pub async fn shut_down(mut self) {
        info!("shutting down");
        self.shutdown.cancel();
        let ended = async {
            // Reconcilers first: one that still passes could begin a run after all were asked to stop.
            while self.reconcilers.join_next().await.is_some() {}
            self.context.runs.stop_all();
            tokio::join!(self.context.runs.finished(), self.listener)
        };
        if tokio::time::timeout(STOP_PATIENCE, ended).await.is_err() {
            warn!("work under way did not end in time; it is done again after the next start");
        }
        self.context.store.close().await;
    }
}

fn check(config: &ServeConfig) -> Result<(), ServeError> {
    let id = &config.account_id;
    if id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ServeError::AccountId(id.clone()));
    }
    let region = &config.region;
    let is_region = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if region.is_empty() || !region.bytes().all(is_region) {
        return Err(ServeError::Region(region.clone()));
    }
    Ok(())
}

/// Starts the service on the embedded store.
pub async fn serve(
    config: ServeConfig,
    data_plane: Arc<dyn DataPlane>,
) -> Result<RunningServer, ServeError> {
    check(&config)?;
    let embedded = Embedded::open(&config.data_dir, &config.master_key).await?;
    let (store, vault) = (embedded.store(), embedded.vault());
    let listen_error = |source| ServeError::Listen {
        address: config.listen,
        source,
    };
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    // Behind all that may fail: a key that is made is told once, by a service that has started.
    let new_administrator =
        keys::ensure_administrator(&*store, &vault, config.administrator.as_ref()).await?;
    let home = Home {
        region: config.region,
        account_id: config.account_id,
    };
    let context = Context::new(
        store,
        vault,
        data_plane,
        home,
        config.data_dir.join("assessments"),
    );

    let shutdown = CancellationToken::new();
    let mut reconcilers = JoinSet::new();
    for reconciler in reconcile::all(&context) {
        reconcilers.spawn(reconcile::supervise(
            reconciler,
            Arc::clone(&context),
            shutdown.clone(),
        ));
    }
    let protocol = whimbrel_protocol::Config {
        region: context.home.region.clone(),
        clock: Arc::new(clock::now),
    };
    let keys = Arc::new(keys::StoredKeys(Arc::clone(&context)));
    let router = whimbrel_protocol::router(Arc::new(Service(Arc::clone(&context))), keys, protocol);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let stopped = shutdown.clone().cancelled_owned();
    let listener = in_background("listener", async move {
        if let Err(error) = axum::serve(listener, service)
            .with_graceful_shutdown(stopped)
            .await
        {
            tracing::error!(%error, "the listener failed");
        }
    });
    info!(%address, "whimbrel listens");
    Ok(RunningServer {
        address,
        new_administrator,
        context,
        shutdown,
        reconcilers,
        listener,
        _embedded: embedded,
    })
}
