use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::options::{Options, TlsMode};

/// Why no encrypted connection came about.
#[derive(Debug)]
pub(crate) enum TlsFailure {
    /// The root certificate of the settings cannot be used.
    Settings(String),
    /// The certificate is not trusted, or is for another host.
    NotTrusted(String),
    /// The handshake failed otherwise.
    Handshake(String),
}

/// Encrypts a connection in the way the mode asks for.
pub(super) async fn encrypt(
    socket: TcpStream,
    options: &Options,
) -> Result<TlsStream<TcpStream>, TlsFailure> {
    let name = ServerName::try_from(options.host.clone())
        .map_err(|_| TlsFailure::Settings(format!("{} is not a host name", options.host)))?;
    let connector = TlsConnector::from(Arc::new(config(options)?));
    connector.connect(name, socket).await.map_err(|error| {
        let text = error.to_string();
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Error>())
        {
            Some(Error::InvalidCertificate(_)) => TlsFailure::NotTrusted(text),
            _ => TlsFailure::Handshake(text),
        }
    })
}

fn config(options: &Options) -> Result<ClientConfig, TlsFailure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFailure::Settings(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match options.tls {
        TlsMode::None | TlsMode::Require => Arc::new(AnyCertificate { provider }),
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let roots = Arc::new(roots(options)?);
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| TlsFailure::Settings(error.to_string()))?;
            let checks_name = options.tls == TlsMode::VerifyFull;
            Arc::new(TrustedCertificate { inner, checks_name })
        }
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The certificate of the settings, or those that the machine trusts.
fn roots(options: &Options) -> Result<RootCertStore, TlsFailure> {
    let mut roots = RootCertStore::empty();
    let certificates = match &options.root_certificate {
        Some(pem) => CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| {
                TlsFailure::Settings(format!("the root certificate is not PEM: {error}"))
            })?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    for certificate in certificates {
        roots.add(certificate).map_err(|error| {
            TlsFailure::Settings(format!("the root certificate cannot be used: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(TlsFailure::Settings(
            "there is no root certificate to check against".to_owned(),
        ));
    }
    Ok(roots)
}

/// `tls-server-end-point` of RFC 5929: the server's certificate, hashed as its own signature was, but never with less than
/// SHA-256.
pub(super) fn end_point(certificates: &[CertificateDer<'_>]) -> Option<Vec<u8>> {
    let der = certificates.first()?;
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    match certificate
        .signature_algorithm
        .algorithm
        .to_id_string()
        .as_str()
    {
        // MD5 and SHA-1 with RSA, SHA-1 with ECDSA, and SHA-256 with either.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(der).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Sha384::digest(der).to_vec()),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Sha512::digest(der).to_vec()),
        // RSA-PSS and Ed25519 name no single hash.
        _ => None,
    }
}

/// `require`: encrypts, and trusts whoever answers, as PostgreSQL's clients do under that name.
#[derive(Debug)]
struct AnyCertificate {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// `verify-ca` and `verify-full`: the chain must lead to a root; only the latter asks whose certificate it is.
#[derive(Debug)]
struct TrustedCertificate {
    inner: Arc<WebPkiServerVerifier>,
    checks_name: bool,
}

impl ServerCertVerifier for TrustedCertificate {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self
            .inner
            .verify_server_cert(certificate, intermediates, name, ocsp, now)
        {
            // The name is checked after the chain, so only the name is left to forgive.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.checks_name => Ok(ServerCertVerified::assertion()),
            Ok(verified) => {
                if self.checks_name {
                    verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                }
                Ok(verified)
            }
            Err(error) => Err(error),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
