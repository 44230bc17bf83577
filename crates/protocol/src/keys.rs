use async_trait::async_trait;
use thiserror::Error;
use whimbrel_model::SecretText;

/// A key that may sign requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// The secret part.
    pub secret: SecretText,
    /// Who holds the key.
    pub principal: String,
    /// The holder's account: twelve digits.
    pub account_id: String,
}

/// The keys could not be looked up.
#[derive(Debug, Error)]
#[error("look up an access key")]
pub struct KeyStoreError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Where keys are looked up, once for each request, by any number of requests at once.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// The active key with this id; `None` when there is none or it was switched off.
    async fn find(&self, access_key_id: &str) -> Result<Option<AccessKey>, KeyStoreError>;
}
