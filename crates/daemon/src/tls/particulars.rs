//! What a certificate says of itself, for people and for the check of its dates.

use super::credentials::names_of;
use super::facts::{fingerprint, sha256};
use smtp::time::Timestamp;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::public_key::PublicKey;

/// What a certificate says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Particulars {
    /// Whose it is: `CN=mx.example.com`.
    pub subject: Box<str>,
    /// Who issued it.
    pub issuer: Box<str>,
    /// The DNS names that it holds for, in lower case.
    pub names: Vec<Box<str>>,
    /// It holds from here …
    pub not_before: Timestamp,
    /// … to here.
    pub not_after: Timestamp,
    /// SHA-256 over its DER form, as `sha256:…`.
    pub fingerprint: Box<str>,
    /// The kind of its key: `ECDSA P-256`, `RSA 2048`.
    pub key: Box<str>,
}

/// How a certificate stands with the time.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Not yet.
    Future,
    /// It holds.
    Valid,
    /// Not any more.
    Expired,
}

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 3600 * 1000;

impl Particulars {
    /// Reads a DER certificate; `None` if it is none.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Particulars> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let at = |time: x509_parser::time::ASN1Time| Timestamp(time.timestamp().saturating_mul(1_000));
        Some(Particulars {
            subject: certificate.subject().to_string().into(),
            issuer: certificate.issuer().to_string().into(),
            names: names_of(&certificate),
            not_before: at(certificate.validity().not_before),
            not_after: at(certificate.validity().not_after),
            fingerprint: fingerprint(&sha256(der)).into(),
            key: kind_of_key(&certificate).into(),
        })
    }

    /// Did nobody but the owner sign it?
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// How it stands at `now`.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        if now < self.not_before {
            Standing::Future
        } else if now > self.not_after {
            Standing::Expired
        } else {
            Standing::Valid
        }
    }

    /// Whole days from `now` to its end; negative after it.
    #[must_use]
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.0.saturating_sub(now.0).div_euclid(DAY_MS)
    }
}

fn kind_of_key(certificate: &X509Certificate<'_>) -> String {
    let key = certificate.public_key();
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => format!("RSA {}", rsa.key_size()),
        Ok(PublicKey::EC(point)) => format!("ECDSA P-{}", point.key_size()),
        _ if key.algorithm.algorithm.to_id_string() == "1.3.101.112" => "Ed25519".to_owned(),
        _ => "unknown".to_owned(),
    }
}
