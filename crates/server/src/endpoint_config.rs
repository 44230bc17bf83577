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
    #[error(
        "the endpoint {0} takes its login from Secrets Manager, which this version does not ask; give it a server name, user name and password"
    )]
    SecretsManager(String),
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

/// The pairs of an attribute text, names in lower case; `None` when it is malformed. A value that is quoted as a whole loses its quotes.
pub(crate) fn parse_attributes(text: &str) -> Option<BTreeMap<String, String>> {
    split_unquoted(text)?
        .into_iter()
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((
                name.trim().to_ascii_lowercase(),
                unquoted(value.trim()).to_owned(),
            ))
        })
        .collect()
}

fn unquoted(value: &str) -> &str {
    for quote in ['"', '\''] {
        let inner = value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
            return inner;
        }
    }
    value
}

/// The parts between semicolons that stand outside of quotes; `None` when a quote does not end.
pub(crate) fn split_unquoted(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::new();
    let mut begin = 0;
    let mut open: Option<char> = None;
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match open {
            Some(_) if is_escaped => is_escaped = false,
            Some('\'' | '"') if letter == '\\' => is_escaped = true,
            Some(quote) if letter == quote => open = None,
            None if matches!(letter, '\'' | '"' | '`') => open = Some(letter),
            None if letter == ';' => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            Some(_) | None => {}
        }
    }
    parts.push(&text[begin..]);
    open.is_none().then_some(parts)
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
        let structure = endpoint.settings.values().next();
        if structure.is_some_and(|settings| settings.contains_key("SecretsManagerSecretId")) {
            return Err(EndpointConfigError::SecretsManager(endpoint.identifier));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_parted_at_semicolons_outside_of_quotes() {
        let parsed = parse_attributes(
            r#"Initstmt="SET a = 1; SET b = ';'"; afterConnectScript=SET session_replication_role='replica';X= ;"#,
        )
        .unwrap();
        let pairs: Vec<_> = parsed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                (
                    "afterconnectscript",
                    "SET session_replication_role='replica'"
                ),
                ("initstmt", "SET a = 1; SET b = ';'"),
                ("x", ""),
            ]
        );
        assert_eq!(parse_attributes("a='b"), None);
        assert_eq!(parse_attributes("a"), None);
        assert_eq!(parse_attributes("a='x' + 'y'").unwrap()["a"], "'x' + 'y'");
    }

    #[test]
    fn statements_are_parted_at_semicolons_outside_of_quotes() {
        assert_eq!(
            split_unquoted("SET a = 'it\\';s'; SET `b;` = 1"),
            Some(vec!["SET a = 'it\\';s'", " SET `b;` = 1"])
        );
        assert_eq!(split_unquoted("SET a = 'x"), None);
    }
}
