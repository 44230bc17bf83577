use std::any::Any;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::routing::{get, post};
use futures_util::FutureExt as _;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rand::Rng;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{error, info, warn};
use whimbrel_model::{CallContext, Dms, Fault, FaultCode, Operation, dispatch, unknown_members};

use crate::keys::KeyStore;
use crate::sigv4::{Signed, Verifier};
use crate::{json, respond};

/// Table mappings may have two megabytes, and their quotes are escaped within the request.
const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Of all large requests at once; those that come when it is taken wait.
const LARGE_BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of all others, which large ones must not hold up however slowly they come.
const SMALL_BODIES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest small body: most calls have some hundred bytes.
const SMALL_BODY_BYTES: usize = 64 * 1024;
/// What room is counted in.
const ROOM_BYTES: usize = 4096;
/// A client that takes longer to send its body is not heard.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Characters of an unknown name that are repeated in the answer.
const NAME_SHOWN_MAX: usize = 64;

/// How requests are checked.
#[derive(Clone)]
pub struct Config {
    /// The region that signatures must be for.
    pub region: String,
    /// The clock that signatures are checked against.
    pub clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

#[derive(Clone)]
struct Service {
    dms: Arc<dyn Dms>,
    verifier: Arc<Verifier>,
    bodies: Bodies,
}

/// The API's routes. Serve it with `into_make_service_with_connect_info::<SocketAddr>()` so that callers' addresses are known.
pub fn router(dms: Arc<dyn Dms>, keys: Arc<dyn KeyStore>, config: Config) -> Router {
    let service = Service {
        dms,
        verifier: Arc::new(Verifier::new(keys, config)),
        bodies: Bodies::new(),
    };
    Router::new()
        .route("/", post(call))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(service)
}

async fn call(State(service): State<Service>, request: Request) -> Response<Body> {
    let request_id = request_id();
    let answered = AssertUnwindSafe(run(&service, &request_id, request));
    let answered = answered.catch_unwind().await;
    match answered.unwrap_or_else(|panic| Err(panicked(&*panic))) {
        Ok(response) => response,
        Err(fault) => {
            if let Some(context) = fault.context() {
                error!(request_id, context, "internal failure");
            }
            respond::fault(&request_id, &fault)
        }
    }
}

/// A fault of ours must not look like a lost connection, which clients try again.
fn panicked(panic: &(dyn Any + Send)) -> Fault {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Fault::internal(&Panicked(text.unwrap_or("no reason").to_owned()))
}

#[derive(Debug, thiserror::Error)]
#[error("panicked: {0}")]
struct Panicked(String);

async fn run(
    service: &Service,
    request_id: &str,
    request: Request,
) -> Result<Response<Body>, Fault> {
    let source = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0.ip());
    let (parts, body) = request.into_parts();
    let signed = |body| Signed {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body,
    };
    // What nobody signed for this service is not read.
    service.verifier.check(&signed(&[]))?;
    let (_room, body) = tokio::time::timeout(BODY_TIMEOUT, service.bodies.read(body))
        .await
        .unwrap_or_else(|_| Err(not_arrived()))?;
    let caller = service.verifier.verify(&signed(&body)).await?;
    let operation = operation(&parts.headers)?;
    let body = json::parse(&body).map_err(|why| Fault::new(FaultCode::Serialization, why))?;
    let unknown = unknown_members(operation, &body);
    if !unknown.is_empty() {
        // As text with its control characters escaped: it came from outside.
        warn!(request_id, operation = operation.name(), members = ?unknown, "the operation has no such members; they are passed over");
    }
    let context = CallContext {
        request_id: request_id.to_owned(),
        access_key_id: caller.access_key_id,
        principal: caller.key.principal,
        account_id: caller.key.account_id,
        region: service.verifier.region().to_owned(),
        source_address: source,
        user_agent: text(&parts.headers, "user-agent")
            .unwrap_or("")
            .chars()
            .take(256)
            .collect(),
    };
    let answered = dispatch(&*service.dms, operation, &context, body).await;
    info!(
        request_id,
        operation = operation.name(),
        access_key_id = context.access_key_id,
        fault = answered.as_ref().err().map(|fault| fault.code.as_str()),
        "request"
    );
    Ok(respond::answer(request_id, &answered?))
}

/// Room for the bodies of all requests that are being answered.
#[derive(Clone)]
struct Bodies {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

impl Bodies {
    fn new() -> Self {
        let room = |bytes| Arc::new(Semaphore::new(bytes / ROOM_BYTES));
        Self {
            small: room(SMALL_BODIES_BYTES_MAX),
            large: room(LARGE_BODIES_BYTES_MAX),
        }
    }

    /// Reads a body once there is room for it, which it has as long as the permit lives.
    async fn read(&self, body: Body) -> Result<(OwnedSemaphorePermit, Vec<u8>), Fault> {
        let expected = body.size_hint().upper().unwrap_or(u64::MAX);
        let expected = usize::try_from(expected).unwrap_or(usize::MAX);
        let pieces = expected.min(BODY_BYTES_MAX).div_ceil(ROOM_BYTES);
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        let room = if expected <= SMALL_BODY_BYTES {
            &self.small
        } else {
            &self.large
        };
        let room = Arc::clone(room).acquire_many_owned(pieces).await;
        let room = room.map_err(|error| Fault::internal(&error))?;
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(body) => Ok((room, body.to_bytes().to_vec())),
            Err(error) if error.is::<LengthLimitError>() => Err(Fault::new(
                FaultCode::RequestTooLarge,
                format!("The request has more than {BODY_BYTES_MAX} bytes."),
            )),
            Err(_) => Err(not_arrived()),
        }
    }
}

fn not_arrived() -> Fault {
    Fault::new(
        FaultCode::Serialization,
        "The request's body did not arrive.",
    )
}

/// `X-Amz-Target: AmazonDMSv20160101.DescribeConnections`.
pub(crate) fn operation(headers: &HeaderMap) -> Result<Operation, Fault> {
    let unknown = |what: &str| Fault::new(FaultCode::UnknownOperation, what.to_owned());
    let target = text(headers, "x-amz-target")
        .ok_or_else(|| unknown("The request names no operation in X-Amz-Target."))?;
    let name = target
        .strip_prefix(Operation::TARGET_PREFIX)
        .and_then(|rest| rest.strip_prefix('.'))
        .ok_or_else(|| {
            unknown(&format!(
                "X-Amz-Target names no operation of {}.",
                Operation::TARGET_PREFIX
            ))
        })?;
    Operation::ALL
        .iter()
        .copied()
        .find(|operation| operation.name() == name)
        .ok_or_else(|| {
            let name: String = name.chars().take(NAME_SHOWN_MAX).collect();
            unknown(&format!("The API has no operation {name}."))
        })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A random id in the form clients show: 8-4-4-4-12 hexadecimal digits.
fn request_id() -> String {
    let hex = hex::encode(rand::rng().random::<[u8; 16]>());
    let groups = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    groups.join("-")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn bodies_wait_until_there_is_room() {
        let bodies = Bodies::new();
        let body = |bytes: usize| Body::new(Full::new(Bytes::from(vec![b'x'; bytes])));
        let mut held = Vec::new();
        for _ in 0..LARGE_BODIES_BYTES_MAX / BODY_BYTES_MAX {
            held.push(bodies.read(body(BODY_BYTES_MAX)).await.unwrap());
        }
        let too_much = bodies.read(body(BODY_BYTES_MAX));
        tokio::pin!(too_much);
        assert!(futures_util::poll!(&mut too_much).is_pending());
        let small = bodies.read(body(SMALL_BODY_BYTES)).await.unwrap();
        assert_eq!(small.1.len(), SMALL_BODY_BYTES);
        held.pop();
        assert_eq!(too_much.await.unwrap().1.len(), BODY_BYTES_MAX);
        let refused = bodies.read(body(BODY_BYTES_MAX + 1)).await.unwrap_err();
        assert_eq!(refused.code, FaultCode::RequestTooLarge);
    }
}
