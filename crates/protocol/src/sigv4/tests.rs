use std::time::SystemTime;

use async_trait::async_trait;
use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::*;
use crate::keys::KeyStoreError;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// 2026-11-01T12:36:00Z, the time of the fixture's signatures.
const SIGNED_AT: u64 = 1_793_536_560;

/// Requests signed by the signer of botocore.
const FIXTURE: &str = include_str!("fixture.json");

struct OneKey;

#[async_trait]
impl KeyStore for OneKey {
    async fn find(&self, id: &str) -> Result<Option<AccessKey>, KeyStoreError> {
        Ok((id == ID).then(|| AccessKey {
            secret: SecretText::new(SECRET),
            principal: "me".to_owned(),
            account_id: "000000000000".to_owned(),
        }))
    }
}

#[derive(Clone)]
struct Request {
    name: String,
    uri: Uri,
    headers: HeaderMap,
    body: String,
}

fn requests() -> Vec<Request> {
    let fixture: Vec<Value> = serde_json::from_str(FIXTURE).unwrap();
    fixture
        .iter()
        .map(|request| {
            let headers = request["headers"].as_object().unwrap().iter();
            Request {
                name: request["name"].as_str().unwrap().to_owned(),
                uri: request["uri"].as_str().unwrap().parse().unwrap(),
                headers: headers
                    .map(|(name, value)| {
                        let value = HeaderValue::from_str(value.as_str().unwrap()).unwrap();
                        (name.parse::<HeaderName>().unwrap(), value)
                    })
                    .collect(),
                body: request["body"].as_str().unwrap().to_owned(),
            }
        })
        .collect()
}

async fn verify_at(request: &Request, seconds: u64, region: &str) -> Result<Caller, Fault> {
    let now: SystemTime = point_in_time(seconds);
    let config = Config {
        region: region.to_owned(),
        clock: Arc::new(move || now),
    };
    let signed = Signed {
        method: &Method::POST,
        uri: &request.uri,
        headers: &request.headers,
        body: request.body.as_bytes(),
    };
    Verifier::new(Arc::new(OneKey), config)
        .verify(&signed)
        .await
}

async fn code(request: &Request) -> Option<&'static str> {
    verify_at(request, SIGNED_AT, "eu-west-1")
        .await
        .err()
        .map(|fault| fault.code.as_str())
}

#[tokio::test]
async fn signatures_of_botocore_hold() {
    for request in requests() {
        let verified = verify_at(&request, SIGNED_AT, "eu-west-1").await;
        assert_eq!(verified.unwrap().access_key_id, ID, "{}", request.name);
    }
}

#[tokio::test]
async fn any_altered_byte_is_refused() {
    for request in requests() {
        let mut body = request.clone();
        body.body.push(' ');
        assert_eq!(
            code(&body).await,
            Some("InvalidSignatureException"),
            "{}",
            request.name
        );
        for name in request.headers.keys() {
            let mut altered = request.clone();
            let value = altered.headers.get_mut(name).unwrap();
            let mut bytes = value.as_bytes().to_vec();
            let last = bytes
                .iter_mut()
                .rev()
                .find(|byte| byte.is_ascii_alphanumeric())
                .unwrap();
            *last = if *last == b'0' { b'1' } else { b'0' };
            *value = HeaderValue::from_bytes(&bytes).unwrap();
            let is_signed = name != "content-length";
            assert_eq!(
                code(&altered).await.is_some(),
                is_signed,
                "{} {name}",
                request.name
            );
        }
    }
}

#[tokio::test]
async fn an_altered_query_is_refused() {
    for request in requests()
        .into_iter()
        .filter(|request| request.uri.query().is_some())
    {
        let mut altered = request.clone();
        altered.uri = request.uri.to_string().replace('2', "3").parse().unwrap();
        assert!(code(&altered).await.is_some(), "{}", request.name);
    }
}

#[tokio::test]
async fn signatures_hold_for_five_minutes_either_way() {
    let request = &requests()[0];
    for (seconds, holds) in [(-301, false), (-300, true), (300, true), (301, false)] {
        let at = SIGNED_AT.checked_add_signed(seconds).unwrap();
        assert_eq!(
            verify_at(request, at, "eu-west-1").await.is_ok(),
            holds,
            "{seconds}"
        );
    }
    let presigned = &requests()[3];
    assert!(
        verify_at(presigned, SIGNED_AT + 600, "eu-west-1")
            .await
            .is_ok()
    );
    assert!(
        verify_at(presigned, SIGNED_AT + 601, "eu-west-1")
            .await
            .is_err()
    );
}

#[tokio::test]
async fn other_regions_and_unknown_keys_are_refused() {
    let request = &requests()[0];
    let fault = verify_at(request, SIGNED_AT, "us-east-1")
        .await
        .unwrap_err();
    assert!(fault.message.contains("us-east-1"), "{}", fault.message);
    let mut unknown = request.clone();
    let header = request.headers["authorization"]
        .to_str()
        .unwrap()
        .replace(ID, "AKIDOTHER");
    unknown
        .headers
        .insert("authorization", HeaderValue::from_str(&header).unwrap());
    assert_eq!(code(&unknown).await, Some("UnrecognizedClientException"));
}

#[tokio::test]
async fn missing_parts_are_named() {
    let request = &requests()[0];
    let mut none = request.clone();
    none.headers.remove("authorization");
    assert_eq!(
        code(&none).await,
        Some("MissingAuthenticationTokenException")
    );
    for (header, expected) in [
        (
            "AWS4-HMAC-SHA512 Credential=a",
            "IncompleteSignatureException",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a",
            "IncompleteSignatureException",
        ),
        ("AWS4-HMAC-SHA256", "IncompleteSignatureException"),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/aws4_request, SignedHeaders=host, Signature=",
            "IncompleteSignatureException",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0",
            "InvalidSignatureException",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261031/eu-west-1/dms/aws4_request, SignedHeaders=host, Signature=0",
            "InvalidSignatureException",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/20261101/eu-west-1/dms/aws4_request, SignedHeaders=host, Signature=0",
            "InvalidSignatureException",
        ),
    ] {
        let mut broken = request.clone();
        broken
            .headers
            .insert("authorization", HeaderValue::from_static(header));
        assert_eq!(code(&broken).await, Some(expected), "{header}");
    }
}

#[tokio::test]
async fn an_unsigned_body_is_refused() {
    let mut request = requests()[0].clone();
    request.headers.insert(
        "x-amz-content-sha256",
        HeaderValue::from_static("UNSIGNED-PAYLOAD"),
    );
    assert_eq!(code(&request).await, Some("InvalidSignatureException"));
}
