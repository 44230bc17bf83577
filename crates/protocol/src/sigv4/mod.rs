//! Signatures of version 4, checked.
//!
//! Order: algorithm, parts, scope, time, key, signature, body. The time and the scope cost nothing to check; an unknown key takes the
//! same path as a known one, with a secret that nobody has, so that ids cannot be found out by time. Rules:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>.

mod canonical;
mod parts;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hmac::{Hmac, Mac};
use http::{HeaderMap, Method, Uri};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use whimbrel_model::{Fault, FaultCode, SecretText};

use crate::keys::{AccessKey, KeyStore};
use crate::router::Config;
use parts::Parts;

/// A signature holds this long before and after its time.
const SKEW_MAX: Duration = Duration::from_mins(5);
const SERVICE: &str = "dms";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// Headers that a signature must cover when they are given, the host in any case: a target that was not signed could be exchanged on the way.
const ALWAYS_SIGNED: [&str; 3] = ["host", "x-amz-date", "x-amz-target"];

/// What is signed.
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

/// Who signed.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) access_key_id: String,
    pub(crate) key: AccessKey,
}

pub(crate) struct Verifier {
    keys: Arc<dyn KeyStore>,
    config: Config,
}

fn refuse(code: FaultCode, message: impl Into<String>) -> Fault {
    Fault::new(code, message)
}

impl Verifier {
    pub(crate) fn new(keys: Arc<dyn KeyStore>, config: Config) -> Self {
        Self { keys, config }
    }

    pub(crate) fn region(&self) -> &str {
        &self.config.region
    }

    /// Checks what can be told without the body: that there is a signature for this service, of this time.
    pub(crate) fn check(&self, signed: &Signed<'_>) -> Result<(), Fault> {
        self.parts(signed).map(drop)
    }

    fn parts(&self, signed: &Signed<'_>) -> Result<Parts, Fault> {
        let parts = Parts::of(signed)?;
        self.check_scope(&parts)?;
        self.check_time(&parts)?;
        check_signed_headers(&parts, signed)?;
        Ok(parts)
    }

    /// Checks a request's signature and answers who made it.
    pub(crate) async fn verify(&self, signed: &Signed<'_>) -> Result<Caller, Fault> {
        let parts = self.parts(signed)?;
        let found = self.keys.find(&parts.access_key_id).await;
        let found = found.map_err(|error| Fault::internal(&error))?;
        let nobody = SecretText::new("a secret that no key has");
        let secret = found.as_ref().map_or(&nobody, |key| &key.secret);
        let body_hash = hex::encode(Sha256::digest(signed.body));
        let canonical = canonical::request(&parts, signed, &body_hash)?;
        let expected = signature(secret, &parts, &canonical);
        let is_right = bool::from(expected.as_bytes().ct_eq(parts.signature.as_bytes()));
        let Some(key) = found else {
            return Err(refuse(
                FaultCode::UnrecognizedClient,
                "The security token included in the request is invalid.",
            ));
        };
        if !is_right {
            return Err(refuse(
                FaultCode::InvalidSignature,
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
            ));
        }
        check_body(signed.headers, &body_hash)?;
        if parts.has_session_token {
            return Err(refuse(
                FaultCode::UnrecognizedClient,
                "Session tokens are not issued here. Sign with an access key of this server alone.",
            ));
        }
        Ok(Caller {
            access_key_id: parts.access_key_id,
            key,
        })
    }

    fn check_scope(&self, parts: &Parts) -> Result<(), Fault> {
        let wrong = |what: String| Err(refuse(FaultCode::InvalidSignature, what));
        if parts.service != SERVICE {
            return wrong(format!(
                "Credential should be scoped to correct service: '{SERVICE}'."
            ));
        }
        if parts.region != self.config.region {
            return wrong(format!(
                "Credential should be scoped to a valid region, not '{}': this server is '{}'.",
                parts.region, self.config.region
            ));
        }
        if !parts.time.starts_with(&parts.date) {
            return wrong("Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP.".to_owned());
        }
        Ok(())
    }

    fn check_time(&self, parts: &Parts) -> Result<(), Fault> {
        let now = (self.config.clock)();
        let signed_at = parts.signed_at;
        let valid_until = signed_at + parts.valid_for.unwrap_or(SKEW_MAX);
        let problem = if now > valid_until {
            "expired"
        } else if now + SKEW_MAX < signed_at {
            "not yet current"
        } else {
            return Ok(());
        };
        Err(refuse(
            FaultCode::InvalidSignature,
            format!(
                "Signature {problem}: it was made at {}, and the server's clock is {}. Set the clock of the client.",
                parts.time,
                parts::format_time(now)
            ),
        ))
    }
}

fn check_signed_headers(parts: &Parts, signed: &Signed<'_>) -> Result<(), Fault> {
    for name in ALWAYS_SIGNED {
        let is_given = signed.headers.contains_key(name);
        if (is_given || name == "host") && !parts.signed_headers.iter().any(|signed| signed == name)
        {
            return Err(refuse(
                FaultCode::InvalidSignature,
                format!("'{name}' must be a 'SignedHeader' in the AWS Authorization."),
            ));
        }
    }
    Ok(())
}

/// The hash of the body is part of what is signed; a header that says otherwise is a lie, or asks not to sign the body.
fn check_body(headers: &HeaderMap, body_hash: &str) -> Result<(), Fault> {
    match headers
        .get("x-amz-content-sha256")
        .map(http::HeaderValue::as_bytes)
    {
        None => Ok(()),
        Some(given) if given == body_hash.as_bytes() => Ok(()),
        Some(_) => Err(refuse(
            FaultCode::InvalidSignature,
            "The x-amz-content-sha256 header does not match the body. Unsigned bodies are not accepted.",
        )),
    }
}

fn hmac(key: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn string_to_sign(parts: &Parts, canonical_request: &str) -> String {
    format!(
        "{ALGORITHM}\n{}\n{}/{}/{}/aws4_request\n{}",
        parts.time,
        parts.date,
        parts.region,
        parts.service,
        hex::encode(Sha256::digest(canonical_request))
    )
}

fn signature(secret: &SecretText, parts: &Parts, canonical_request: &str) -> String {
    let date = hmac(
        format!("AWS4{}", secret.expose()).as_bytes(),
        parts.date.as_bytes(),
    );
    let region = hmac(&date, parts.region.as_bytes());
    let service = hmac(&region, parts.service.as_bytes());
    let key = hmac(&service, b"aws4_request");
    hex::encode(hmac(
        &key,
        string_to_sign(parts, canonical_request).as_bytes(),
    ))
}

/// The time that a request was signed at as a point in time.
fn point_in_time(seconds_since_1970: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds_since_1970)
}
