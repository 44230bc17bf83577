use std::net::IpAddr;

/// Who calls, and from where; made by the protocol once the signature holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// Unique for each request; answered in `x-amzn-RequestId` and logged.
    pub request_id: String,
    /// The key that signed.
    pub access_key_id: String,
    /// Who holds the key.
    pub principal: String,
    /// Twelve digits.
    pub account_id: String,
    /// The region of the signature's scope.
    pub region: String,
    /// The caller's address, where known.
    pub source_address: Option<IpAddr>,
    /// What the client calls itself.
    pub user_agent: String,
}
