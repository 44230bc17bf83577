use serde::{Deserialize, Serialize};

use super::Resource;
use super::wire::id_type;
use crate::{EpochMs, SealedSecret, SecretContext};

id_type! {
    /// The last part of a certificate's ARN.
    CertificateId
}

/// The certificate itself, in the form it was imported in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CertificateMaterial {
    /// One or more PEM blocks.
    Pem(String),
    /// An Oracle wallet, in base64. It may hold a private key.
    Wallet(SealedSecret),
}

/// An imported certificate: what endpoints trust when they verify their server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The last part of its ARN.
    pub id: CertificateId,
    /// The name that the user gave.
    pub identifier: String,
    /// The certificate.
    pub material: CertificateMaterial,
    /// When it was imported.
    pub created_at: EpochMs,
    /// Whose it is: the common name of the subject.
    pub owner: Option<String>,
    /// Valid from this moment.
    pub valid_from: Option<EpochMs>,
    /// Valid up to this moment.
    pub valid_to: Option<EpochMs>,
    /// How it was signed, such as `SHA256withRSA`.
    pub signing_algorithm: Option<String>,
    /// Bits of its public key.
    pub key_length: Option<i32>,
    /// The key that the request named for encryption at rest.
    pub kms_key_id: Option<String>,
}

impl Certificate {
    /// Where the wallet of the certificate of this id is sealed.
    pub fn wallet_context(id: &CertificateId) -> SecretContext<'_> {
        SecretContext {
            kind: Self::KIND,
            id: id.as_str(),
            field: "CertificateWallet",
        }
    }
}

impl Resource for Certificate {
    const KIND: &'static str = "certificate";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        &self.identifier
    }
}
