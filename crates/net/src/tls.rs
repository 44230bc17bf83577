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
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use whimbrel_connector::ConnectErrorKind as Kind;

use crate::Cause;

/// How a connection is encrypted, and what is checked: the API's `SslMode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Not at all.
    None,
    /// Encrypted, whoever answers.
    Require,
    /// Encrypted, and the certificate leads to a trusted root.
    VerifyCa,
    /// Encrypted, and the certificate leads to a trusted root and is for this host.
    VerifyFull,
}

/// What an encrypted connection is checked against.
#[derive(Clone, Copy, Debug)]
pub struct TlsSettings<'a> {
    /// Name or address that the certificate must be for.
    pub host: &'a str,
    /// What is checked.
    pub mode: TlsMode,
    /// Certificate of the root to trust, as PEM; the machine's own roots without one.
    pub root_certificate: Option<&'a str>,
}

/// Why no encrypted connection came about.
#[derive(Debug)]
pub enum TlsFailure {
    /// The root certificate of the settings cannot be used.
    Settings(String),
    /// The certificate is not trusted, or is for another host.
    NotTrusted(String),
    /// The handshake failed otherwise.
    Handshake(String),
}

impl TlsFailure {
    /// What to tell the user.
    pub fn cause(self) -> Cause {
        match self {
            Self::Settings(what) => Cause::new(
                Kind::InvalidSettings,
                what,
                "give the certificate of the authority that signed the server's, as PEM",
            ),
            Self::NotTrusted(what) => Cause::new(
                Kind::CertificateNotTrusted,
                format!("the server's certificate is not trusted: {what}"),
                "give the certificate of the authority that signed it, and for verify-full the host name it was made for",
            ),
            Self::Handshake(what) => Cause::new(
                Kind::TlsRefused,
                format!("the TLS handshake failed: {what}"),
                "check the TLS versions and ciphers that the server allows",
            ),
        }
    }
}

/// Encrypts a connection in the way the mode asks for; [`TlsMode::None`] is taken as [`TlsMode::Require`], for those who ask must
/// want it.
pub async fn encrypt(
    socket: TcpStream,
    settings: TlsSettings<'_>,
) -> Result<TlsStream<TcpStream>, TlsFailure> {
    let name = ServerName::try_from(settings.host.to_owned())
        .map_err(|_| TlsFailure::Settings(format!("{} is not a host name", settings.host)))?;
    let connector = TlsConnector::from(Arc::new(config(settings)?));
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

fn config(settings: TlsSettings<'_>) -> Result<ClientConfig, TlsFailure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsFailure::Settings(error.to_string()))?;
    let verifier: Arc<dyn ServerCertVerifier> = match settings.mode {
        TlsMode::None | TlsMode::Require => Arc::new(AnyCertificate { provider }),
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let roots = Arc::new(roots(settings.root_certificate)?);
            let inner = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|error| TlsFailure::Settings(error.to_string()))?;
            let checks_name = settings.mode == TlsMode::VerifyFull;
            Arc::new(TrustedCertificate { inner, checks_name })
        }
    };
    Ok(builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth())
}

/// The certificate of the settings, or those that the machine trusts.
fn roots(given: Option<&str>) -> Result<RootCertStore, TlsFailure> {
    let mut roots = RootCertStore::empty();
    let certificates = match given {
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
