use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::prelude::{FromDer, X509Certificate};

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
