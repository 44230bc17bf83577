use serde::{Deserialize, Serialize};

use super::Resource;
use super::wire::id_type;
use crate::{EpochMs, SealedSecret, SecretContext};

id_type! {
    /// The public half of an access key: what a request names.
    AccessKeyId
}

/// A key that requests are signed with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessKey {
    /// What a request names.
    pub id: AccessKeyId,
    /// The secret half, sealed for [`AccessKey::secret_context`].
    pub secret: SealedSecret,
    /// What the key is for, in the words of who made it.
    pub description: String,
    /// When it was made.
    pub created_at: EpochMs,
}

impl AccessKey {
    /// The place that the secret half of this key is sealed for.
    pub fn secret_context(id: &AccessKeyId) -> SecretContext<'_> {
        SecretContext {
            kind: Self::KIND,
            id: id.as_str(),
            field: "secret",
        }
    }
}

impl Resource for AccessKey {
    const KIND: &'static str = "access-key";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn name(&self) -> &str {
        self.id.as_str()
    }
}
