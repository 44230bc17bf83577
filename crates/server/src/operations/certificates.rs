//! Certificates that endpoints trust when they verify their server.

use std::ops::RangeInclusive;

use whimbrel_core::Secret;
use whimbrel_model as model;
use whimbrel_store::{
    Certificate, CertificateId, CertificateMaterial, Endpoint, EpochMs, Resource as _, Stored,
    TagSet, Transaction,
};

use super::tags;
use crate::arn::{ArnKind, random_id};
use crate::context::Context;
use crate::fault::{self, Fault, invalid_certificate, invalid_state, invalid_value};
use crate::identifier;
use crate::listing::PageRequest;
use crate::pem::{self, CertificateFacts};
use crate::quota::{self, Quota};

const PAGE: RangeInclusive<i32> = 1..=100;
const DEFAULT_PAGE: i32 = 10;

pub(super) async fn import(
    context: &Context,
    message: model::ImportCertificateMessage,
) -> Result<model::ImportCertificateResponse, Fault> {
    let identifier = identifier::certificate_identifier(&message.certificate_identifier)?;
    let id = CertificateId(random_id());
    let (material, facts) = match (message.certificate_pem, message.certificate_wallet) {
        (Some(pem), None) => {
            let pem = pem.expose().to_owned();
            let facts = pem::read(&pem).map_err(|reason| {
                invalid_certificate(format!("The certificate was not valid: {reason}"))
            })?;
            (CertificateMaterial::Pem(pem), facts)
        }
        (None, Some(wallet)) => (
            CertificateMaterial::Wallet(context.vault.seal(
                Certificate::wallet_context(&id),
                &Secret::new(wallet.expose()),
            )),
            CertificateFacts::default(),
        ),
        (Some(_), Some(_)) => {
            return Err(fault::invalid_combination(
                "CertificatePem and CertificateWallet cannot both be given".to_owned(),
            ));
        }
        (None, None) => {
            return Err(invalid_value(
                "CertificatePem or CertificateWallet must be given".to_owned(),
            ));
        }
    };
    let certificate = Certificate {
        id,
        identifier,
        material,
        created_at: EpochMs::now(),
        owner: facts.owner,
        valid_from: facts.valid_from,
        valid_to: facts.valid_to,
        signing_algorithm: facts.signing_algorithm,
        key_length: facts.key_length,
        kms_key_id: identifier::kms_key(message.kms_key_id)?,
    };
    let arn = context
        .home
        .arn(ArnKind::Certificate, certificate.id.as_str());
    let mut transaction = context.store.begin().await?;
    quota::check(
        Quota::Certificates,
        transaction.list::<Certificate>().await?.len(),
    )?;
    if let Err(error) = transaction.create(&certificate).await {
        return Err(fault::taken(
            context,
            &mut *transaction,
            error,
            ("Certificate", ArnKind::Certificate),
            &certificate,
        )
        .await);
    }
    tags::create(&mut *transaction, &arn, message.tags).await?;
    transaction.commit().await?;
    Ok(model::ImportCertificateResponse {
        certificate: Some(to_wire(context, &certificate)),
    })
}

pub(super) async fn describe(
    context: &Context,
    message: model::DescribeCertificatesMessage,
) -> Result<model::DescribeCertificatesResponse, Fault> {
    let filters = super::filters(message.filters, &["certificate-arn", "certificate-id"])?;
    let marker = message.marker.as_deref();
    let page = PageRequest::parse_with_default(
        "certificates",
        message.max_records,
        marker,
        PAGE,
        DEFAULT_PAGE,
    )?;
    let mut certificates = context.store.list::<Certificate>().await?;
    certificates.retain(|certificate| {
        let arn = context
            .home
            .arn(ArnKind::Certificate, certificate.id.as_str());
        filters.match_item(|name| {
            vec![if name == "certificate-arn" {
                arn.as_str()
            } else {
                certificate.identifier.as_str()
            }]
        })
    });
    if certificates.is_empty() && !filters.is_empty() {
        return Err(fault::not_found(
            "No Certificates found matching provided filters".to_owned(),
        ));
    }
    let (certificates, marker) = page.cut(certificates);
    let certificates = certificates
        .iter()
        .map(|certificate| to_wire(context, certificate))
        .collect();
    Ok(model::DescribeCertificatesResponse {
        marker,
        certificates: Some(certificates),
    })
}

pub(super) async fn delete(
    context: &Context,
    message: model::DeleteCertificateMessage,
) -> Result<model::DeleteCertificateResponse, Fault> {
    let mut transaction = context.store.begin().await?;
    let certificate = find(context, &mut *transaction, &message.certificate_arn).await?;
    let endpoints = transaction.list::<Endpoint>().await?;
    if let Some(endpoint) = endpoints
        .iter()
        .find(|endpoint| endpoint.certificate_id.as_ref() == Some(&certificate.id))
    {
        return Err(invalid_state(format!(
            "Certificate {} is in use by the endpoint {}. Modify the endpoint first.",
            certificate.identifier, endpoint.identifier
        )));
    }
    transaction
        .delete(Certificate::KIND, certificate.id.as_str())
        .await?;
    transaction
        .delete(
            TagSet::KIND,
            &context
                .home
                .arn(ArnKind::Certificate, certificate.id.as_str()),
        )
        .await?;
    transaction.commit().await?;
    Ok(model::DeleteCertificateResponse {
        certificate: Some(to_wire(context, &certificate)),
    })
}

/// The certificate that an ARN names.
pub(super) async fn find(
    context: &Context,
    transaction: &mut dyn Transaction,
    arn: &str,
) -> Result<Stored<Certificate>, Fault> {
    let found = match context.home.id_in(ArnKind::Certificate, arn) {
        Some(id) => transaction.find::<Certificate>(id).await?,
        None => None,
    };
    found.ok_or_else(|| fault::not_found(format!("Certificate {arn} not found.")))
}

fn to_wire(context: &Context, certificate: &Certificate) -> model::Certificate {
    let pem = match &certificate.material {
        CertificateMaterial::Pem(pem) => Some(pem.clone()),
        CertificateMaterial::Wallet(_) => None,
    };
    model::Certificate {
        certificate_identifier: Some(certificate.identifier.clone()),
        certificate_creation_date: Some(super::timestamp(certificate.created_at)),
        certificate_pem: pem,
        // It may hold a private key.
        certificate_wallet: None,
        certificate_arn: Some(
            context
                .home
                .arn(ArnKind::Certificate, certificate.id.as_str()),
        ),
        certificate_owner: certificate.owner.clone(),
        valid_from_date: certificate.valid_from.map(super::timestamp),
        valid_to_date: certificate.valid_to.map(super::timestamp),
        signing_algorithm: certificate.signing_algorithm.clone(),
        key_length: certificate.key_length,
        kms_key_id: certificate.kms_key_id.clone(),
    }
}
