//! What is known about a TLS channel once its handshake is done.

use aws_lc_rs::digest;
use std::fmt;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// A version of TLS that we speak.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl TlsVersion {
    /// As it is written in `Received:` fields and logs: `TLSv1.3`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }
}

/// What is known about a TLS channel once its handshake is done.
#[derive(Clone)]
pub struct TlsFacts {
    /// The version agreed upon.
    pub version: TlsVersion,
    /// The cipher suite by its registered name: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The name that the client asked for, in lower case.
    pub sni: Option<Box<str>>,
    /// The channel binding `tls-exporter` (RFC 9266), which TLS 1.2 has not: there a client need not know the extended
    /// master secret, without which two channels may have one exporter.
    pub exporter: Option<[u8; 32]>,
    /// The channel binding `tls-server-end-point` (RFC 5929 §4). Empty if it is not defined for our certificate, whose
    /// signature then knows no hash (Ed25519).
    pub server_end_point: Arc<[u8]>,
    /// The client's certificate, if it showed one of an authority that the operator trusts. Any other is none.
    pub client_certificate: Option<ClientCertificate>,
}

impl fmt::Debug for TlsFacts {
    /// Without the channel bindings, which SCRAM takes as proof of the channel.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsFacts")
            .field("version", &self.version.name())
            .field("cipher", &self.cipher)
            .field("sni", &self.sni)
            .field("client_certificate", &self.client_certificate)
            .finish_non_exhaustive()
    }
}

/// A certificate by which a client has proved who it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientCertificate {
    /// SHA-256 over its DER form.
    pub sha256: [u8; 32],
    /// Its DNS names (in lower case) and mail addresses, from the subject's alternative names.
    pub names: Vec<Box<str>>,
    /// Its subject, as RFC 4514 writes it: `CN=printer,O=Example`.
    pub subject: Box<str>,
}

impl ClientCertificate {
    /// What a DER certificate says; `None` if it cannot be read, which verification does not let happen.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<ClientCertificate> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten().map(|names| &names.value.general_names);
        let names = names.into_iter().flatten().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into()),
            GeneralName::RFC822Name(address) => Some((*address).into()),
            _ => None,
        });
        Some(ClientCertificate {
            sha256: sha256(der),
            names: names.collect(),
            subject: certificate.subject().to_string().into(),
        })
    }

    /// The fingerprint as an operator writes it: `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.sha256)
    }
}

/// `sha256:` and 64 hexadecimal digits.
pub(crate) fn fingerprint(sha256: &[u8]) -> String {
    sha256.iter().fold("sha256:".to_owned(), |text, octet| text + &format!("{octet:02x}"))
}

/// SHA-256 over `octets`.
pub(crate) fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    sum.copy_from_slice(digest::digest(&digest::SHA256, octets).as_ref());
    sum
}

/// The channel binding `tls-server-end-point` of a certificate: its hash by the algorithm of its own signature, but SHA-256
/// instead of MD5 and SHA-1; empty where that is not defined (RFC 5929 §4.1).
pub(super) fn end_point(der: &[u8]) -> Arc<[u8]> {
    const SHA384: &str = "2.16.840.1.101.3.4.2.2";
    const SHA512: &str = "2.16.840.1.101.3.4.2.3";
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Arc::from([]) };
    let algorithm = match SignatureAlgorithm::try_from(&certificate.signature_algorithm) {
        Ok(SignatureAlgorithm::ED25519) => return Arc::from([]),
        Ok(SignatureAlgorithm::RSASSA_PSS(how)) => match how.hash_algorithm_oid().to_id_string().as_str() {
            SHA384 => &digest::SHA384,
            SHA512 => &digest::SHA512,
            _ => &digest::SHA256,
        },
        _ => match certificate.signature_algorithm.algorithm.to_id_string().as_str() {
            // sha384WithRSAEncryption, ecdsa-with-SHA384
            "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &digest::SHA384,
            // sha512WithRSAEncryption, ecdsa-with-SHA512
            "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &digest::SHA512,
            _ => &digest::SHA256,
        },
    };
    Arc::from(digest::digest(algorithm, der).as_ref())
}
