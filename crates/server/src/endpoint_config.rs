//! From the stored endpoint to what a connection needs.

use std::collections::BTreeMap;

use whimbrel_core::Engine;
use whimbrel_store::{Certificate, CertificateMaterial, Endpoint, EndpointId, VaultError};

use crate::context::Context;
use crate::data_plane::EndpointConfig;
use crate::engine_catalog::connects_to;

/// The path of the one secret that our engines have.
pub(crate) const PASSWORD: &str = "Password";

/// Why an endpoint cannot be connected to as it stands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointConfigError {
    #[error("the endpoint {0} is gone")]
    Gone(EndpointId),
    #[error(
        "the engine {0} is not supported by this version; see DescribeEndpointTypes for those that are"
    )]
    NotSupported(String),
    #[error("the certificate of the endpoint {0} is gone; import it again and modify the endpoint")]
    CertificateGone(String),
    #[error("the certificate of the endpoint {0} is an Oracle wallet; import a PEM certificate")]
    NotPem(String),
    #[error("the endpoint {identifier} has no {member}; modify the endpoint to give it one")]
    Missing {
        identifier: String,
        member: &'static str,
    },
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Store(#[from] whimbrel_store::StoreError),
}

impl EndpointConfigError {
    /// Whether the store itself failed, so that the same may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Store(_))
    }
}

/// What tells one test or refresh from every other, of this or any earlier connection between the same ends.
pub(crate) fn new_attempt() -> i64 {
    rand::random_range(0..i64::MAX)
}

/// The pairs of an attribute text, names in lower case; `None` when it is malformed.
pub(crate) fn parse_attributes(text: &str) -> Option<BTreeMap<String, String>> {
    text.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
        })
        .collect()
}

impl Context {
    /// Reads an endpoint with its certificate and opens its secrets.
    pub(crate) async fn endpoint_config(
        &self,
        id: &EndpointId,
    ) -> Result<EndpointConfig, EndpointConfigError> {
        let endpoint = self
            .store
            .find::<Endpoint>(id.as_str())
            .await?
            .ok_or_else(|| EndpointConfigError::Gone(id.clone()))?
            .value;
        if connects_to(&endpoint.engine_name).is_none() {
            return Err(EndpointConfigError::NotSupported(endpoint.engine_name));
        }
        let ca_pem = match &endpoint.certificate_id {
            None => None,
            Some(certificate) => {
                match self.store.find::<Certificate>(certificate.as_str()).await? {
                    None => return Err(EndpointConfigError::CertificateGone(endpoint.identifier)),
                    Some(certificate) => match certificate.value.material {
                        CertificateMaterial::Pem(pem) => Some(pem),
                        CertificateMaterial::Wallet(_) => {
                            return Err(EndpointConfigError::NotPem(endpoint.identifier));
                        }
                    },
                }
            }
        };
        let password = endpoint
            .secrets
            .get(PASSWORD)
            .map(|sealed| {
                self.vault
                    .open_secret(Endpoint::secret_context(&endpoint.id, PASSWORD), sealed)
            })
            .transpose()?;
        let missing = |member| EndpointConfigError::Missing {
            identifier: endpoint.identifier.clone(),
            member,
        };
        let default_port = connects_to(&endpoint.engine_name).map(Engine::default_port);
        let port = match endpoint.port {
            Some(port) => u16::try_from(port).ok(),
            None => default_port,
        };
        Ok(EndpointConfig {
            role: endpoint.role,
            server_name: endpoint
                .server_name
                .clone()
                .ok_or_else(|| missing("server name"))?,
            port: port.ok_or_else(|| missing("port"))?,
            username: endpoint.username.clone().unwrap_or_default(),
            password,
            database_name: endpoint
                .database_name
                .clone()
                .filter(|name| !name.is_empty()),
            ssl_mode: endpoint.ssl_mode,
            ca_pem,
            attributes: endpoint
                .extra_connection_attributes
                .as_deref()
                .and_then(parse_attributes)
                .unwrap_or_default(),
            settings: endpoint.settings.into_values().next().unwrap_or_default(),
            identifier: endpoint.identifier,
            engine_name: endpoint.engine_name,
        })
    }
}
