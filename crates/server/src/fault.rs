//! Why a request is refused.
//!
//! A [`Fault`] is what the user is told. An error of our own surroundings (the store) is kept apart: it is logged in full and answered as
//! an internal failure without detail.

use whimbrel_model::{Fault as WireFault, FaultCode, FaultName};
use whimbrel_store::{Resource, StoreError, Transaction};

use crate::arn::ArnKind;
use crate::context::Context;

/// A refusal, or a failure of our own.
#[derive(Debug)]
pub(crate) enum Fault {
    /// What the user is told.
    Refused {
        code: FaultCode,
        message: String,
        /// The resource that is in the way, for faults that name it.
        resource_arn: Option<String>,
    },
    /// Something of ours failed.
    Internal(Box<dyn std::error::Error + Send + Sync>),
}

impl From<Fault> for WireFault {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused {
                code,
                message,
                resource_arn,
            } => {
                let fault = Self::new(code, message);
                match resource_arn {
                    Some(arn) => fault.with_resource(arn),
                    None => fault,
                }
            }
            Fault::Internal(error) => Self::internal(&*error),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Internal(Box::new(error))
    }
}

pub(crate) fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::Internal(Box::new(error))
}

fn refused(code: FaultCode, message: impl Into<String>) -> Fault {
    Fault::Refused {
        code,
        message: message.into(),
        resource_arn: None,
    }
}

pub(crate) fn invalid_value(message: impl Into<String>) -> Fault {
    refused(FaultCode::InvalidParameterValue, message)
}

pub(crate) fn invalid_combination(message: impl Into<String>) -> Fault {
    refused(FaultCode::InvalidParameterCombination, message)
}

pub(crate) fn invalid_state(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::InvalidResourceStateFault),
        message,
    )
}

pub(crate) fn not_found(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::ResourceNotFoundFault),
        message,
    )
}

pub(crate) fn invalid_certificate(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::InvalidCertificateFault),
        message,
    )
}

pub(crate) fn invalid_subnet(message: impl Into<String>) -> Fault {
    refused(FaultCode::Modelled(FaultName::InvalidSubnet), message)
}

pub(crate) fn too_few_zones(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::ReplicationSubnetGroupDoesNotCoverEnoughAZs),
        message,
    )
}

pub(crate) fn subnet_in_use(message: impl Into<String>) -> Fault {
    refused(FaultCode::Modelled(FaultName::SubnetAlreadyInUse), message)
}

pub(crate) fn key_not_accessible(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::KMSKeyNotAccessibleFault),
        message,
    )
}

pub(crate) fn quota_exceeded(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::ResourceQuotaExceededFault),
        message,
    )
}

pub(crate) fn storage_quota_exceeded(message: impl Into<String>) -> Fault {
    refused(
        FaultCode::Modelled(FaultName::StorageQuotaExceededFault),
        message,
    )
}

/// What an insert or update failed with: a name that is taken is the user's to know, anything else is ours.
/// The fault names the resource that is in the way.
pub(crate) async fn taken<R: Resource>(
    context: &Context,
    transaction: &mut dyn Transaction,
    error: StoreError,
    (what, kind): (&str, ArnKind),
    resource: &R,
) -> Fault {
    if !matches!(error, StoreError::AlreadyExists { .. }) {
        return error.into();
    }
    let name = resource.name();
    let (id, message) = match transaction.find_by_name::<R>(name).await {
        Ok(Some(there)) => (
            there.id().to_owned(),
            format!("{what} {name} already exists."),
        ),
        Ok(None) => {
            let id = resource.id().to_owned();
            let message = format!("{what} with the resource identifier {id} already exists.");
            (id, message)
        }
        Err(error) => return error.into(),
    };
    Fault::Refused {
        code: FaultCode::Modelled(FaultName::ResourceAlreadyExistsFault),
        message,
        resource_arn: Some(context.home.arn(kind, &id)),
    }
}
