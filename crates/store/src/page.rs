//! Page tokens: where a list was left off.
//!
//! A list is ordered by [`Record::seq`](crate::Record::seq), which an insert takes from a counter that never goes back. The token
//! holds the `seq` of the last item seen, so the next page starts right behind it whatever was inserted (behind the end) or deleted
//! (anywhere, the last item seen included) meanwhile: nothing is shown twice and nothing that stays is left out.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Raised when the layout changes: tokens of another version are refused instead of misread.
const VERSION: u8 = 1;
/// Enough to tell a mistyped or foreign token; it is no protection against forging, which would gain nothing.
const CHECKSUM_BYTES: usize = 6;

/// The place behind which the next page of a list starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageToken {
    /// The `seq` of the last item seen.
    pub after_seq: i64,
}

/// A page token that this list did not give out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the page token is not one that this list gave out")]
pub struct InvalidPageToken;

impl PageToken {
    /// The opaque text of the token. `scope` names the list; a token of another scope is refused.
    pub fn encode(self, scope: &str) -> String {
        encode(scope, &self.after_seq.to_be_bytes())
    }

    /// Reads a token that [`encode`](Self::encode) made for the same scope.
    pub fn decode(scope: &str, text: &str) -> Result<Self, InvalidPageToken> {
        let seq = decode(scope, text)?;
        let seq = seq.try_into().map_err(|_| InvalidPageToken)?;
        Ok(Self {
            after_seq: i64::from_be_bytes(seq),
        })
    }
}

/// As [`PageToken`], for a list ordered by name whose items have no `seq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameToken {
    /// The name of the last item seen.
    pub after_name: String,
}

impl NameToken {
    /// The opaque text of the token.
    pub fn encode(&self, scope: &str) -> String {
        encode(scope, self.after_name.as_bytes())
    }

    /// Reads a token that [`encode`](Self::encode) made for the same scope.
    pub fn decode(scope: &str, text: &str) -> Result<Self, InvalidPageToken> {
        let after_name = String::from_utf8(decode(scope, text)?).map_err(|_| InvalidPageToken)?;
        Ok(Self { after_name })
    }
}

fn encode(scope: &str, place: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(place);
    let checksum = checksum(scope, &bytes);
    bytes.extend_from_slice(&checksum);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(scope: &str, text: &str) -> Result<Vec<u8>, InvalidPageToken> {
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPageToken)?;
    let body_length = bytes.len().checked_sub(CHECKSUM_BYTES);
    let (body, sum) = bytes.split_at(body_length.ok_or(InvalidPageToken)?);
    match body.split_first() {
        Some((&VERSION, place)) if sum == checksum(scope, body) => Ok(place.to_vec()),
        _ => Err(InvalidPageToken),
    }
}

fn checksum(scope: &str, body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::new()
        .chain_update(scope)
        .chain_update([0])
        .chain_update(body)
        .finalize();
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_it_went() {
        for after_seq in [0, 1, i64::MAX] {
            let token = PageToken { after_seq };
            assert_eq!(
                PageToken::decode("connection", &token.encode("connection")),
                Ok(token)
            );
        }
    }

    #[test]
    fn a_name_comes_back_as_it_went_and_only_to_its_list() {
        for name in ["", "public", "Übersicht"] {
            let token = NameToken {
                after_name: name.to_owned(),
            };
            let text = token.encode("schemas of A");
            assert_eq!(NameToken::decode("schemas of A", &text), Ok(token));
            assert_eq!(
                NameToken::decode("schemas of B", &text),
                Err(InvalidPageToken)
            );
        }
    }

    #[test]
    fn foreign_and_mangled_tokens_are_refused() {
        let text = PageToken { after_seq: 7 }.encode("connection");
        assert_eq!(PageToken::decode("endpoint", &text), Err(InvalidPageToken));
        assert_eq!(
            PageToken::decode("connection", &text[1..]),
            Err(InvalidPageToken)
        );
        for text in ["", "x", "not a token", "AAAA", "MQ=="] {
            assert_eq!(
                PageToken::decode("connection", text),
                Err(InvalidPageToken),
                "{text}"
            );
        }
    }
}
