use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::wire::{id_type, wire_enum};
use super::{CertificateId, Resource};
use crate::{EpochMs, SealedSecret, SecretContext};

id_type! {
    /// The last part of an endpoint's ARN.
    EndpointId
}

wire_enum! {
    /// Which end of a migration an endpoint is.
    pub enum EndpointRole {
        /// Rows and changes are read from it.
        Source = "source",
        /// Rows and changes are written to it.
        Target = "target",
    }
}

wire_enum! {
    /// Whether an endpoint can be used.
    pub enum EndpointStatus {
        /// Set by CreateEndpoint: an endpoint is usable at once.
        Active = "active",
        /// Set by DeleteEndpoint; the reconciler removes the endpoint once its connections are gone.
        Deleting = "deleting",
    }
}

wire_enum! {
    /// How the connection to the database is protected.
    pub enum SslMode {
        /// Plain.
        None = "none",
        /// Encrypted, the certificate not verified.
        Require = "require",
        /// Encrypted, the certificate verified against the endpoint's or the system's authorities.
        VerifyCa = "verify-ca",
        /// As `verify-ca`, and the certificate must be for the host.
        VerifyFull = "verify-full",
    }
}

/// The stored connection settings of one end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The last part of its ARN.
    pub id: EndpointId,
    /// The name that the user gave.
    pub identifier: String,
    /// Source or target.
    pub role: EndpointRole,
    /// The engine by its API name.
    pub engine_name: String,
    /// Host name or address of the server.
    pub server_name: Option<String>,
    /// Its port.
    pub port: Option<i32>,
    /// Who signs in.
    pub username: Option<String>,
    /// The database (`MySQL`: usually empty).
    pub database_name: Option<String>,
    /// `name=value;…`, as given.
    pub extra_connection_attributes: Option<String>,
    /// Protection of the connection.
    pub ssl_mode: SslMode,
    /// The certificate to trust, if not those of the system.
    pub certificate_id: Option<CertificateId>,
    /// As given.
    pub kms_key_id: Option<String>,
    /// As given.
    pub service_access_role_arn: Option<String>,
    /// As given.
    pub external_table_definition: Option<String>,
    /// The engine's own settings by the name of their API member (`PostgreSQLSettings`), secret members left out.
    pub settings: BTreeMap<String, Map<String, Value>>,
    /// Secret members by their path (`Password`, `PostgreSQLSettings.Password`), sealed for [`Endpoint::secret_context`].
    pub secrets: BTreeMap<String, SealedSecret>,
    /// Whether it can be used.
    pub status: EndpointStatus,
    /// Grows with every modification, so that a connection test can be told from one of other settings.
    pub revision: i64,
    /// When it was made.
    pub created_at: EpochMs,
}

impl Endpoint {
    /// The place that a secret member of this endpoint is sealed for.
    pub fn secret_context<'a>(id: &'a EndpointId, path: &'a str) -> SecretContext<'a> {
        SecretContext {
            kind: Self::KIND,
            id: id.as_str(),
            field: path,
        }
    }
}

impl Resource for Endpoint {
    const KIND: &'static str = "endpoint";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        &self.identifier
    }
}
