//! The canonical form of a request, which is what gets signed.

use std::fmt::Write;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use whimbrel_model::{Fault, FaultCode};

use super::parts::Parts;
use super::{Signed, refuse};

/// Everything but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const ENCODED_IN_PATH: &AsciiSet = &ENCODED.remove(b'/');

/// Method, path, query, signed headers, their names, hash of the body: a line each, the headers' own lines between.
pub(super) fn request(
    parts: &Parts,
    signed: &Signed<'_>,
    body_hash: &str,
) -> Result<String, Fault> {
    let mut request = format!(
        "{}\n{}\n{}\n",
        signed.method,
        path(signed.uri.path()),
        query(parts, signed)
    );
    for name in &parts.signed_headers {
        writeln!(request, "{name}:{}", header(name, signed)?).expect("writing to text cannot fail");
    }
    write!(request, "\n{}\n{body_hash}", parts.signed_headers.join(";"))
        .expect("writing to text cannot fail");
    Ok(request)
}

/// The path as it was sent, encoded once more, as every service but S3 has it.
fn path(path: &str) -> String {
    let path = if path.is_empty() { "/" } else { path };
    utf8_percent_encode(path, ENCODED_IN_PATH).to_string()
}

/// Names and values encoded anew and sorted; the signature itself is left out.
fn query(parts: &Parts, signed: &Signed<'_>) -> String {
    let encoded = |text: &str| {
        let decoded: Vec<u8> = percent_decode_str(text).collect();
        percent_encoding::percent_encode(&decoded, ENCODED).to_string()
    };
    let mut pairs: Vec<(String, String)> = signed
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !(parts.is_presigned && *name == "X-Amz-Signature"))
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// A header's values joined by commas, without outer blanks, inner runs of blanks as one.
fn header(name: &str, signed: &Signed<'_>) -> Result<String, Fault> {
    let mut values = Vec::new();
    for value in signed.headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
            refuse(
                FaultCode::InvalidSignature,
                format!("The header '{name}' is not text."),
            )
        })?;
        values.push(
            text.split([' ', '\t'])
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
        );
    }
    // HTTP/1.1 in absolute form may leave the host to the request line.
    if values.is_empty() && name == "host" {
        values.extend(signed.uri.authority().map(ToString::to_string));
    }
    if values.is_empty() {
        return Err(refuse(
            FaultCode::InvalidSignature,
            format!("The signed header '{name}' is not in the request."),
        ));
    }
    Ok(values.join(","))
}
