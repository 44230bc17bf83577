use std::error::Error;
use std::fmt;

use crate::{FaultName, Operation};

/// The name of a fault on the wire: one that the model declares, or one that the service uses beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultCode {
    /// Declared by the model.
    Modelled(FaultName),
    /// A member's value is refused.
    InvalidParameterValue,
    /// Members that do not go together.
    InvalidParameterCombination,
    /// The body is not JSON, or a member has another type.
    Serialization,
    /// No such operation in the API.
    UnknownOperation,
    /// An operation of the API that this version does not have.
    NotBuilt,
    /// The request is not signed.
    MissingAuthenticationToken,
    /// The signature lacks a part.
    IncompleteSignature,
    /// The signature does not match, or has expired.
    InvalidSignature,
    /// The key is unknown.
    UnrecognizedClient,
    /// The key may not do this.
    AccessDenied,
    /// Too many requests.
    Throttling,
    /// The body is too large.
    RequestTooLarge,
    /// A failure of our own.
    InternalFailure,
}

impl FaultCode {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Modelled(name) => name.as_str(),
            Self::InvalidParameterValue => "InvalidParameterValueException",
            Self::InvalidParameterCombination => "InvalidParameterCombinationException",
            Self::Serialization => "SerializationException",
            Self::UnknownOperation => "UnknownOperationException",
            Self::NotBuilt => "NotImplementedException",
            Self::MissingAuthenticationToken => "MissingAuthenticationTokenException",
            Self::IncompleteSignature => "IncompleteSignatureException",
            Self::InvalidSignature => "InvalidSignatureException",
            Self::UnrecognizedClient => "UnrecognizedClientException",
            Self::AccessDenied => "AccessDeniedException",
            Self::Throttling => "ThrottlingException",
            Self::RequestTooLarge => "RequestEntityTooLargeException",
            Self::InternalFailure => "InternalFailure",
        }
    }

    /// The HTTP status: 400, as the service answers every refusal; 413 and 500 where HTTP has its own.
    pub fn http_status(self) -> u16 {
        match self {
            Self::RequestTooLarge => 413,
            Self::InternalFailure => 500,
            _ => 400,
        }
    }
}

/// An error that the API returns. What the user is told and what is only logged are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its name.
    pub code: FaultCode,
    /// What the user is told.
    pub message: String,
    /// The resource in the way, for faults that name it.
    pub resource_arn: Option<String>,
    /// For the log only.
    context: Option<String>,
}

impl Fault {
    /// A fault with its message.
    pub fn new(code: FaultCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            resource_arn: None,
            context: None,
        }
    }

    /// A fault of the model.
    pub fn modelled(name: FaultName, message: impl Into<String>) -> Self {
        Self::new(FaultCode::Modelled(name), message)
    }

    /// A refused value.
    pub fn invalid_value(message: impl Into<String>) -> Self {
        Self::new(FaultCode::InvalidParameterValue, message)
    }

    /// Names the resource in the way.
    #[must_use]
    pub fn with_resource(mut self, arn: impl Into<String>) -> Self {
        self.resource_arn = Some(arn.into());
        self
    }

    /// A failure of our own: the user learns that it happened, the log what it was, with all causes.
    pub fn internal(error: &dyn Error) -> Self {
        let mut context = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            context.push_str(": ");
            context.push_str(&error.to_string());
            cause = error.source();
        }
        let message = "The request failed because of an internal error. The server's log has the cause under the request id.";
        Self {
            context: Some(context),
            ..Self::new(FaultCode::InternalFailure, message)
        }
    }

    /// An operation that the API has and this version has not.
    pub fn not_built(operation: Operation) -> Self {
        Self::new(
            FaultCode::NotBuilt,
            format!(
                "The operation {} is not built in this version of Whimbrel. docs/api.md lists the operations that are.",
                operation.name()
            ),
        )
    }

    /// What happened, for the log.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.message)
    }
}

impl Error for Fault {}
