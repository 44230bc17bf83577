use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::routing::{get, post};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use rand::Rng;
use tracing::{error, info, warn};
use whimbrel_model::{CallContext, Dms, Fault, FaultCode, Operation, dispatch, unknown_members};

use crate::keys::KeyStore;
use crate::sigv4::{Signed, Verifier};
use crate::{json, respond};

/// Table mappings may have two megabytes, and their quotes are escaped within the request.
const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;
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
}

/// The API's routes. Serve it with `into_make_service_with_connect_info::<SocketAddr>()` so that callers' addresses are known.
pub fn router(dms: Arc<dyn Dms>, keys: Arc<dyn KeyStore>, config: Config) -> Router {
    let service = Service {
        dms,
        verifier: Arc::new(Verifier::new(keys, config)),
    };
    Router::new()
        .route("/", post(call))
        .route("/health", get(|| async { "ok\n" }))
        .with_state(service)
}

async fn call(State(service): State<Service>, request: Request) -> Response<Body> {
    let request_id = request_id();
    match run(&service, &request_id, request).await {
        Ok(response) => response,
        Err(fault) => {
            if let Some(context) = fault.context() {
                error!(request_id, context, "internal failure");
            }
            respond::fault(&request_id, &fault)
        }
    }
}

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
    let body = read(body).await?;
    let signed = Signed {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        body: &body,
    };
    let caller = service.verifier.verify(&signed).await?;
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

async fn read(body: Body) -> Result<Vec<u8>, Fault> {
    let limited = Limited::new(body, BODY_BYTES_MAX).collect();
    match tokio::time::timeout(BODY_TIMEOUT, limited).await {
        Ok(Ok(body)) => Ok(body.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Fault::new(
            FaultCode::RequestTooLarge,
            format!("The request has more than {BODY_BYTES_MAX} bytes."),
        )),
        Ok(Err(_)) | Err(_) => Err(Fault::new(
            FaultCode::Serialization,
            "The request's body did not arrive.",
        )),
    }
}

/// `X-Amz-Target: AmazonDMSv20160101.DescribeConnections`.
fn operation(headers: &HeaderMap) -> Result<Operation, Fault> {
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
