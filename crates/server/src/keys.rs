//! Access keys: what requests are signed with.

use std::sync::Arc;

use async_trait::async_trait;
use rand::Rng as _;
use whimbrel_model::SecretText;
use whimbrel_protocol::{KeyStore, KeyStoreError};
use whimbrel_store::{
    AccessKey, AccessKeyId, EpochMs, Resource as _, Secret, Store, StoreError, Vault, VaultError,
};

use crate::context::Context;

const ID_PREFIX: &str = "AKIA";
const ID_RANDOM_LENGTH: usize = 16;
const ID_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_LENGTH: usize = 40;
const SECRET_ALPHABET: &[u8; 64] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The description of the key that a service is set up with, which is replaced where another is given at its start. No other key may have it.
pub const ADMINISTRATOR: &str = "administrator";

/// Both halves of an access key, as they are told once.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// What a request names.
    pub id: String,
    /// What it is signed with.
    pub secret: Secret,
}

fn random_text(alphabet: &[u8], length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| char::from(alphabet[rng.random_range(0..alphabet.len())]))
        .collect()
}

impl KeyPair {
    fn random() -> Self {
        Self {
            id: format!("{ID_PREFIX}{}", random_text(ID_ALPHABET, ID_RANDOM_LENGTH)),
            secret: Secret::new(random_text(SECRET_ALPHABET, SECRET_LENGTH)),
        }
    }

    fn sealed(&self, vault: &Vault, description: &str) -> AccessKey {
        let id = AccessKeyId(self.id.clone());
        AccessKey {
            secret: vault.seal(AccessKey::secret_context(&id), &self.secret),
            id,
            description: description.to_owned(),
            created_at: EpochMs::now(),
        }
    }
}

/// Makes a new key and stores it.
pub async fn create_key(
    store: &dyn Store,
    vault: &Vault,
    description: &str,
) -> Result<KeyPair, StoreError> {
    let pair = KeyPair::random();
    store.create(&pair.sealed(vault, description)).await?;
    Ok(pair)
}

/// All keys, oldest first, without their secrets.
pub async fn list_keys(store: &dyn Store) -> Result<Vec<AccessKey>, StoreError> {
    Ok(store
        .list::<AccessKey>()
        .await?
        .into_iter()
        .map(|stored| stored.value)
        .collect())
}

/// Removes a key; `false` when there is none with this id. Requests signed with it are refused from now on.
pub async fn remove_key(store: &dyn Store, id: &str) -> Result<bool, StoreError> {
    store.remove::<AccessKey>(id).await
}

/// The secret half of a key; `None` when there is no such key.
pub async fn secret_of(
    store: &dyn Store,
    vault: &Vault,
    id: &str,
) -> Result<Option<Secret>, VaultError> {
    let Some(key) = store.find::<AccessKey>(id).await? else {
        return Ok(None);
    };
    vault
        .open_secret(AccessKey::secret_context(&key.id), &key.secret)
        .map(Some)
}

/// The keys of the store, for those who verify signatures.
pub(crate) struct StoredKeys(pub(crate) Arc<Context>);

#[async_trait]
impl KeyStore for StoredKeys {
    async fn find(
        &self,
        access_key_id: &str,
    ) -> Result<Option<whimbrel_protocol::AccessKey>, KeyStoreError> {
        let secret = secret_of(&*self.0.store, &self.0.vault, access_key_id).await;
        let secret = secret.map_err(|error| KeyStoreError(Box::new(error)))?;
        Ok(secret.map(|secret| whimbrel_protocol::AccessKey {
            secret: SecretText::new(secret.expose()),
            principal: format!(
                "arn:aws:iam::{}:user/{access_key_id}",
                self.0.home.account_id
            ),
            account_id: self.0.home.account_id.clone(),
        }))
    }
}

/// Sees to it that there is an administrator key: the given one, in whose place earlier ones end, or at the first start a new one,
/// which is returned to be told once.
pub(crate) async fn ensure_administrator(
    store: &dyn Store,
    vault: &Vault,
    given: Option<&KeyPair>,
) -> Result<Option<KeyPair>, StoreError> {
    if let Some(pair) = given {
        let mut transaction = store.begin().await?;
        for earlier in transaction.list::<AccessKey>().await? {
            if earlier.description == ADMINISTRATOR && earlier.id.0 != pair.id {
                transaction.delete(AccessKey::KIND, &earlier.id.0).await?;
            }
        }
        transaction.put(&pair.sealed(vault, ADMINISTRATOR)).await?;
        transaction.commit().await?;
        return Ok(None);
    }
    if !store.list::<AccessKey>().await?.is_empty() {
        return Ok(None);
    }
    create_key(store, vault, ADMINISTRATOR).await.map(Some)
}

#[cfg(test)]
mod tests {
    use whimbrel_store::MemoryStore;

    use super::*;

    #[tokio::test]
    async fn an_administrator_key_is_made_once() {
        let (store, vault) = (MemoryStore::default(), Vault::ephemeral());
        let made = ensure_administrator(&store, &vault, None)
            .await
            .unwrap()
            .unwrap();
        assert!(made.id.starts_with("AKIA") && made.id.len() == 20);
        assert!(
            ensure_administrator(&store, &vault, None)
                .await
                .unwrap()
                .is_none()
        );
        let secret = secret_of(&store, &vault, &made.id).await.unwrap().unwrap();
        assert_eq!(secret.expose(), made.secret.expose());
    }

    #[tokio::test]
    async fn a_given_key_ends_the_administrator_key_before_it_and_no_other() {
        let (store, vault) = (MemoryStore::default(), Vault::ephemeral());
        let made = ensure_administrator(&store, &vault, None).await.unwrap();
        let other = create_key(&store, &vault, "of a pipeline").await.unwrap();
        let pair = KeyPair {
            id: "AKIAGIVEN".into(),
            secret: Secret::new("secret"),
        };
        ensure_administrator(&store, &vault, Some(&pair))
            .await
            .unwrap();
        let is_there = async |id: &str| secret_of(&store, &vault, id).await.unwrap().is_some();
        assert!(!is_there(&made.unwrap().id).await);
        assert!(is_there(&other.id).await && is_there("AKIAGIVEN").await);
    }

    #[tokio::test]
    async fn a_given_key_replaces_an_earlier_secret() {
        let (store, vault) = (MemoryStore::default(), Vault::ephemeral());
        for secret in ["first", "second"] {
            let pair = KeyPair {
                id: "AKIAGIVEN".into(),
                secret: Secret::new(secret),
            };
            assert!(
                ensure_administrator(&store, &vault, Some(&pair))
                    .await
                    .unwrap()
                    .is_none()
            );
        }
        assert_eq!(
            secret_of(&store, &vault, "AKIAGIVEN")
                .await
                .unwrap()
                .unwrap()
                .expose(),
            "second"
        );
        assert!(remove_key(&store, "AKIAGIVEN").await.unwrap());
        assert!(
            secret_of(&store, &vault, "AKIAGIVEN")
                .await
                .unwrap()
                .is_none()
        );
    }
}
