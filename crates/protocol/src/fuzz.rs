//! Requests, for the fuzz targets: none may make the server panic, whatever it says.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use whimbrel_model::{CallContext, Dms, Operation, SecretText, dispatch, unknown_members};

use crate::json;
use crate::keys::{AccessKey, KeyStore, KeyStoreError};
use crate::router::{Config, operation};
use crate::sigv4::{Signed, Verifier};

/// When requests are read, in seconds since 1970; those of the fixture were signed then.
const NOW: u64 = 1_793_536_560;

struct OneKey;

#[async_trait]
impl KeyStore for OneKey {
    async fn find(&self, id: &str) -> Result<Option<AccessKey>, KeyStoreError> {
        Ok((id == "AKIDEXAMPLE").then(|| AccessKey {
            secret: SecretText::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            principal: "me".to_owned(),
            account_id: "000000000000".to_owned(),
        }))
    }
}

/// Every operation as it is where nothing is built.
struct Nothing;

impl Dms for Nothing {}

/// A request: a line with the path, one for each header, an empty one, and the body. The body is read whether or not the signature holds.
pub async fn request(data: &[u8]) {
    let (head, body) = head_and_body(data);
    let head = String::from_utf8_lossy(head);
    let mut lines = head.lines();
    let Ok(uri) = lines.next().unwrap_or_default().parse::<Uri>() else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let signed = Signed {
        method: &Method::POST,
        uri: &uri,
        headers: &headers,
        body,
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    let config = Config {
        region: "eu-west-1".to_owned(),
        clock: Arc::new(move || now),
    };
    let verifier = Verifier::new(Arc::new(OneKey), config);
    verifier.check(&signed).ok();
    verifier.verify(&signed).await.ok();
    let operation = operation(&headers).unwrap_or(Operation::CreateReplicationTask);
    if let Ok(body) = json::parse(body) {
        unknown_members(operation, &body);
        dispatch(&Nothing, operation, &context(), body).await.ok();
    }
}

fn head_and_body(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let end = end.unwrap_or(data.len());
    (&data[..end], data.get(end + 2..).unwrap_or_default())
}

fn context() -> CallContext {
    CallContext {
        request_id: "1".to_owned(),
        access_key_id: "1".to_owned(),
        principal: "me".to_owned(),
        account_id: "000000000000".to_owned(),
        region: "eu-west-1".to_owned(),
        source_address: None,
        user_agent: String::new(),
    }
}
