//! Reads what an imported certificate says of itself.

use whimbrel_store::EpochMs;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;
use x509_parser::public_key::PublicKey;

/// What is told of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    pub(crate) owner: Option<String>,
    pub(crate) valid_from: Option<EpochMs>,
    pub(crate) valid_to: Option<EpochMs>,
    pub(crate) signing_algorithm: Option<String>,
    pub(crate) key_length: Option<i32>,
}

/// Checks a text of one or more PEM certificates and reads the first.
///
/// # Errors
/// What is wrong, for the user.
pub(crate) fn read(text: &str) -> Result<CertificateFacts, String> {
    let mut first = None;
    for pem in Pem::iter_from_buffer(text.as_bytes()) {
        let pem = pem.map_err(|error| format!("it is not PEM: {error}"))?;
        if pem.label != "CERTIFICATE" {
            return Err(format!(
                "it holds a {} where a CERTIFICATE belongs",
                pem.label.to_lowercase()
            ));
        }
        let certificate = pem
            .parse_x509()
            .map_err(|error| format!("it is not an X.509 certificate: {error}"))?;
        first.get_or_insert_with(|| facts(&certificate));
    }
    first.ok_or_else(|| "it holds no PEM block".to_owned())
}

fn facts(certificate: &X509Certificate<'_>) -> CertificateFacts {
    let moment = |seconds: i64| EpochMs(seconds.saturating_mul(1000));
    let owner = certificate
        .subject()
        .iter_common_name()
        .find_map(|name| name.as_str().ok());
    CertificateFacts {
        owner: owner.map(str::to_owned),
        valid_from: Some(moment(certificate.validity().not_before.timestamp())),
        valid_to: Some(moment(certificate.validity().not_after.timestamp())),
        signing_algorithm: signing_algorithm(
            &certificate.signature_algorithm.algorithm.to_id_string(),
        )
        .map(str::to_owned),
        key_length: key_length(certificate),
    }
}

/// The names that the service uses, by object identifier (RFC 8017, RFC 5758, RFC 8410).
fn signing_algorithm(oid: &str) -> Option<&'static str> {
    match oid {
        "1.2.840.113549.1.1.4" => Some("MD5withRSA"),
        "1.2.840.113549.1.1.5" => Some("SHA1withRSA"),
        "1.2.840.113549.1.1.10" => Some("RSASSA-PSS"),
        "1.2.840.113549.1.1.11" => Some("SHA256withRSA"),
        "1.2.840.113549.1.1.12" => Some("SHA384withRSA"),
        "1.2.840.113549.1.1.13" => Some("SHA512withRSA"),
        "1.2.840.10045.4.3.2" => Some("SHA256withECDSA"),
        "1.2.840.10045.4.3.3" => Some("SHA384withECDSA"),
        "1.2.840.10045.4.3.4" => Some("SHA512withECDSA"),
        "1.3.101.112" => Some("Ed25519"),
        _ => None,
    }
}

fn key_length(certificate: &X509Certificate<'_>) -> Option<i32> {
    let bits = match certificate.public_key().parsed().ok()? {
        PublicKey::RSA(key) => key.key_size(),
        PublicKey::EC(point) => point.key_size(),
        _ => return None,
    };
    i32::try_from(bits).ok().filter(|bits| *bits > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told_apart() {
        for (text, words) in [
            ("", "no PEM block"),
            ("nonsense", "no PEM block"),
            (
                "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "not an X.509",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "private key",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
