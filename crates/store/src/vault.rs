//! Secrets at rest.
//!
//! Envelope encryption with AES-256-GCM: every secret is sealed under a fresh data key, the data key under the master key. Both
//! seals are bound to the place of the secret ([`SecretContext`]), so a sealed secret that is copied to another resource or field
//! does not open there. A fresh data key per secret makes a repeated nonce harmless in practice, and lets a master key be replaced
//! without touching the secrets themselves.
//!
//! The master key comes from the environment or from a key file beside the store. A value sealed at first start tells a wrong key
//! at once, before anything is written under it.

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::RngCore as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use whimbrel_core::Secret;
use zeroize::Zeroizing;

use crate::data_dir::read_if_there;
use crate::{DataDir, Resource, Store, StoreError};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const SEALED_KEY_BYTES: usize = NONCE_BYTES + KEY_BYTES + TAG_BYTES;
const FORMAT: &str = "v1:";
/// The variable that holds the master key for installations that keep it outside the data directory.
const MASTER_KEY_VARIABLE: &str = "WHIMBREL_MASTER_KEY";
const CHECK_TEXT: &str = "whimbrel master key check";

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// The key file of the data directory, made at the first start.
    File,
    /// Given by the operator: 32 bytes in base64.
    Given(Secret),
}

impl KeySource {
    /// The variable `WHIMBREL_MASTER_KEY` when set, else the key file.
    pub fn from_env() -> Self {
        match std::env::var(MASTER_KEY_VARIABLE) {
            Ok(text) if !text.trim().is_empty() => Self::Given(Secret::new(text)),
            _ => Self::File,
        }
    }
}

/// What went wrong with keys and secrets.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The key is not 32 bytes in base64.
    #[error(
        "the master key from {origin} is not 32 bytes in base64; make one with: openssl rand -base64 32"
    )]
    MalformedKey {
        /// The variable or file.
        origin: String,
    },
    /// The store was written under another key.
    #[error(
        "the store's secrets were written under another master key than the one from {origin}; start with the key that the store was made with"
    )]
    WrongKey {
        /// The variable or file.
        origin: String,
    },
    /// The key file is gone but the store has secrets.
    #[error(
        "the key file {path} is missing but the store holds secrets written under it; restore the file or set WHIMBREL_MASTER_KEY"
    )]
    MissingKey {
        /// The key file.
        path: String,
    },
    /// A sealed secret does not open: it was damaged, or moved from another place.
    #[error("the stored secret {context} cannot be opened; it was damaged or moved")]
    Damaged {
        /// The place of the secret.
        context: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The place of a secret: which field of which resource.
#[derive(Clone, Copy, Debug)]
pub struct SecretContext<'a> {
    /// The kind of the resource.
    pub kind: &'a str,
    /// The id of the resource.
    pub id: &'a str,
    /// The path of the field.
    pub field: &'a str,
}

impl fmt::Display for SecretContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.id, self.field)
    }
}

impl SecretContext<'_> {
    /// Bytes that no other context gives: every part is preceded by its length.
    fn bytes(&self, purpose: u8) -> Vec<u8> {
        let mut bytes = vec![purpose];
        for part in [self.kind, self.id, self.field] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// An encrypted secret as it stands in a document.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SealedSecret(String);

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedSecret(***)")
    }
}

/// Seals and opens secrets under the master key.
pub struct Vault {
    master: Aes256Gcm,
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

/// The sealed value that tells whether the master key is the right one.
#[derive(Debug, Serialize, Deserialize)]
struct KeyCheck {
    sealed: SealedSecret,
}

impl Resource for KeyCheck {
    const KIND: &'static str = "key-check";

    fn id(&self) -> &'static str {
        "master"
    }

    fn name(&self) -> &'static str {
        "master"
    }
}

const CHECK_CONTEXT: SecretContext<'static> = SecretContext {
    kind: "key-check",
    id: "master",
    field: "sealed",
};

impl Vault {
    /// A vault under this master key.
    pub fn new(master_key: &[u8; KEY_BYTES]) -> Self {
        Self {
            master: Aes256Gcm::new(master_key.into()),
        }
    }

    /// A vault under a random key that nobody keeps, for tests with a store in memory.
    pub fn ephemeral() -> Self {
        Self::new(&random_key())
    }

    /// Gets the master key, making the key file at the first start, and checks that it is the store's.
    ///
    /// # Errors
    /// Everything but [`VaultError::Store`] means that the process must not start.
    pub async fn open(
        data_dir: &DataDir,
        store: &dyn Store,
        source: &KeySource,
    ) -> Result<Self, VaultError> {
        let check = store.find::<KeyCheck>(CHECK_CONTEXT.id).await?;
        let path = data_dir.key_file();
        let (key, origin) = match source {
            KeySource::Given(text) => (
                parse_key(text.expose(), MASTER_KEY_VARIABLE)?,
                MASTER_KEY_VARIABLE.to_owned(),
            ),
            KeySource::File => {
                let origin = path.display().to_string();
                let text = match read_if_there(&path)? {
                    Some(text) => Zeroizing::new(text),
                    None if check.is_some() => return Err(VaultError::MissingKey { path: origin }),
                    None => {
                        let text = Zeroizing::new(STANDARD.encode(random_key().as_slice()) + "\n");
                        data_dir.create_private(&path, &text)?;
                        text
                    }
                };
                (parse_key(&text, &origin)?, origin)
            }
        };
        let vault = Self::new(&key);
        if let Some(check) = check {
            match vault.open_secret(CHECK_CONTEXT, &check.sealed) {
                Ok(text) if text.expose() == CHECK_TEXT => {}
                _ => return Err(VaultError::WrongKey { origin }),
            }
        } else {
            let sealed = vault.seal(CHECK_CONTEXT, &Secret::new(CHECK_TEXT));
            store.create(&KeyCheck { sealed }).await?;
        }
        Ok(vault)
    }

    /// Whether the store has been used with a master key: then [`Self::open`] writes nothing.
    pub(crate) async fn is_set_up(store: &dyn Store) -> Result<bool, StoreError> {
        Ok(store.find::<KeyCheck>(CHECK_CONTEXT.id).await?.is_some())
    }

    /// Encrypts a secret for its place.
    pub fn seal(&self, context: SecretContext<'_>, secret: &Secret) -> SealedSecret {
        let data_key = random_key();
        let mut bytes = encrypt(&self.master, &context.bytes(b'k'), data_key.as_slice());
        let cipher = Aes256Gcm::new(data_key.as_slice().into());
        bytes.extend(encrypt(
            &cipher,
            &context.bytes(b's'),
            secret.expose().as_bytes(),
        ));
        SealedSecret(format!("{FORMAT}{}", STANDARD.encode(bytes)))
    }

    /// Decrypts the secret of a place.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when it was not sealed for this place under this key.
    pub fn open_secret(
        &self,
        context: SecretContext<'_>,
        sealed: &SealedSecret,
    ) -> Result<Secret, VaultError> {
        self.try_open(context, sealed)
            .ok_or_else(|| VaultError::Damaged {
                context: context.to_string(),
            })
    }

    fn try_open(&self, context: SecretContext<'_>, sealed: &SealedSecret) -> Option<Secret> {
        let bytes = STANDARD.decode(sealed.0.strip_prefix(FORMAT)?).ok()?;
        let (sealed_key, sealed_text) = bytes.split_at_checked(SEALED_KEY_BYTES)?;
        let data_key = Zeroizing::new(decrypt(&self.master, &context.bytes(b'k'), sealed_key)?);
        let cipher = Aes256Gcm::new_from_slice(&data_key).ok()?;
        let text = decrypt(&cipher, &context.bytes(b's'), sealed_text)?;
        String::from_utf8(text).ok().map(Secret::new)
    }
}

fn random_key() -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    rand::rng().fill_bytes(key.as_mut_slice());
    key
}

fn parse_key(text: &str, origin: &str) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    let malformed = || VaultError::MalformedKey {
        origin: origin.to_owned(),
    };
    let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| malformed())?);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() != KEY_BYTES {
        return Err(malformed());
    }
    key.copy_from_slice(&bytes);
    Ok(key)
}

/// The nonce, then the ciphertext with its tag.
fn encrypt(cipher: &Aes256Gcm, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_BYTES];
    rand::rng().fill_bytes(&mut nonce);
    let sealed = cipher
        .encrypt(Nonce::from_slice(&nonce), Payload { msg: plain, aad })
        .expect("AES-GCM encrypts anything below 64 GB");
    [nonce.as_slice(), &sealed].concat()
}

fn decrypt(cipher: &Aes256Gcm, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, msg) = sealed.split_at_checked(NONCE_BYTES)?;
    cipher
        .decrypt(Nonce::from_slice(nonce), Payload { msg, aad })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: SecretContext<'static> = SecretContext {
        kind: "endpoint",
        id: "E1",
        field: "Password",
    };

    #[test]
    fn a_secret_opens_at_its_place_only() {
        let vault = Vault::ephemeral();
        let sealed = vault.seal(PLACE, &Secret::new("geheim"));
        assert_eq!(
            vault.open_secret(PLACE, &sealed).unwrap().expose(),
            "geheim"
        );
        for place in [
            SecretContext { id: "E2", ..PLACE },
            SecretContext {
                field: "Other",
                ..PLACE
            },
            SecretContext {
                kind: "access-key",
                ..PLACE
            },
        ] {
            assert!(vault.open_secret(place, &sealed).is_err());
        }
        assert!(Vault::ephemeral().open_secret(PLACE, &sealed).is_err());
    }

    #[test]
    fn damaged_secrets_are_errors() {
        let vault = Vault::ephemeral();
        let sealed = vault.seal(PLACE, &Secret::new("geheim"));
        for length in 0..sealed.0.len() {
            assert!(
                vault
                    .open_secret(PLACE, &SealedSecret(sealed.0[..length].to_owned()))
                    .is_err()
            );
        }
    }

    #[test]
    fn secrets_print_as_nothing() {
        let vault = Vault::ephemeral();
        assert_eq!(format!("{vault:?}"), "Vault(***)");
        assert_eq!(
            format!("{:?}", vault.seal(PLACE, &Secret::new("x"))),
            "SealedSecret(***)"
        );
    }
}
