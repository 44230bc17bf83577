//! Sign-in: what each plugin of the server wants to see of the password.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/page_protocol_connection_phase_authentication_methods.html>

use rsa::pkcs8::DecodePublicKey;
use rsa::{Oaep, RsaPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A sign-in plugin that we can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    Native,
    CachingSha2,
    Sha256,
    /// The password itself: only over a connection whose other end is proven.
    Clear,
}

impl Plugin {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "mysql_native_password" => Some(Self::Native),
            "caching_sha2_password" => Some(Self::CachingSha2),
            "sha256_password" => Some(Self::Sha256),
            "mysql_clear_password" => Some(Self::Clear),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Clear => "mysql_clear_password",
        }
    }

    /// The byte that asks for the server's public key.
    pub(super) fn key_request(self) -> u8 {
        match self {
            Self::CachingSha2 => 2,
            Self::Native | Self::Sha256 | Self::Clear => 1,
        }
    }
}

/// Proof of the password without the password: SHA-1 twice over.
pub(super) fn native_proof(password: &str, nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha1::digest(password);
    let twice = Sha1::digest(once);
    let mask = Sha1::new()
        .chain_update(nonce)
        .chain_update(twice)
        .finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// Proof of the password without the password: SHA-256 twice over.
pub(super) fn caching_sha2_proof(password: &str, nonce: &[u8]) -> Vec<u8> {
    if password.is_empty() {
        return Vec::new();
    }
    let once = Sha256::digest(password);
    let twice = Sha256::digest(once);
    let mask = Sha256::new()
        .chain_update(twice)
        .chain_update(nonce)
        .finalize();
    once.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

/// The password with the zero byte that ends it.
pub(super) fn clear(password: &str) -> Vec<u8> {
    let mut out = password.as_bytes().to_vec();
    out.push(0);
    out
}

/// The password masked with the nonce and encrypted under the server's public key.
///
/// # Errors
/// In words, when the key cannot be used.
pub(super) fn encrypted(password: &str, nonce: &[u8], key_pem: &[u8]) -> Result<Vec<u8>, String> {
    let unusable =
        |error: &dyn std::fmt::Display| format!("the server's public key cannot be used: {error}");
    if nonce.is_empty() {
        return Err(unusable(&"there is no nonce"));
    }
    let der = SubjectPublicKeyInfoDer::from_pem_slice(key_pem).map_err(|error| unusable(&error))?;
    let key = RsaPublicKey::from_public_key_der(&der).map_err(|error| unusable(&error))?;
    let masked: Vec<u8> = clear(password)
        .iter()
        .zip(nonce.iter().cycle())
        .map(|(a, b)| a ^ b)
        .collect();
    key.encrypt(&mut rsa::rand_core::OsRng, Oaep::new::<Sha1>(), &masked)
        .map_err(|error| unusable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_can_check_a_native_proof() {
        // The server knows SHA1(SHA1(password)) and must come to the same from the proof.
        let (password, nonce) = ("w", b"12345678901234567890");
        let twice = Sha1::digest(Sha1::digest(password));
        let mask = Sha1::new()
            .chain_update(nonce)
            .chain_update(twice)
            .finalize();
        let once: Vec<u8> = native_proof(password, nonce)
            .iter()
            .zip(mask)
            .map(|(a, b)| a ^ b)
            .collect();
        assert_eq!(Sha1::digest(once), twice);
    }

    #[test]
    fn no_password_has_an_empty_proof() {
        assert!(native_proof("", b"nonce").is_empty());
        assert!(caching_sha2_proof("", b"nonce").is_empty());
    }

    #[test]
    fn a_broken_public_key_is_an_error() {
        assert!(encrypted("w", b"nonce", b"not a key").is_err());
        assert!(encrypted("w", b"nonce", &[0xFF, 0xFE]).is_err());
    }
}
