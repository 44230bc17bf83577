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
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.after_seq.to_be_bytes());
        let checksum = checksum(scope, &bytes);
        bytes.extend_from_slice(&checksum);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that [`encode`](Self::encode) made for the same scope.
    pub fn decode(scope: &str, text: &str) -> Result<Self, InvalidPageToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidPageToken)?;
        let (body, sum) = bytes.split_at_checked(9).ok_or(InvalidPageToken)?;
        if body[0] != VERSION || sum != checksum(scope, body) {
            return Err(InvalidPageToken);
        }
        let seq = body[1..].try_into().map_err(|_| InvalidPageToken)?;
        Ok(Self {
            after_seq: i64::from_be_bytes(seq),
        })
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
