//! What is wrong with a host's certificate, in words for people: each kind has its own, and says what mends it.
//!
//! The words follow the host's name: "mx.example.com: its certificate expired on …". They travel through rustls as an error of ours.

use super::super::facts::ClientCertificate;
use super::super::particulars::{Particulars, Standing};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, OtherError};
use smtp::time::Timestamp;
use std::fmt;
use std::sync::Arc;

/// Names of a certificate that the words repeat.
const NAMES_SHOWN: usize = 5;

/// Why a certificate is not what was demanded.
#[derive(Debug)]
struct Distrust(String);

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Distrust {}

/// As rustls hands it on.
pub(super) fn error(words: String) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(Distrust(words)))))
}

/// The words of a fault, whoever found it.
pub(super) fn words(fault: &CertificateError) -> String {
    match fault {
        CertificateError::Other(OtherError(error)) if error.is::<Distrust>() => error.to_string(),
        CertificateError::BadSignature => {
            "the server does not hold the key of the certificate that it shows".to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// What verification against authorities found, in our own words.
pub(super) fn explained(found: Error, leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Error {
    let Error::InvalidCertificate(fault) = &found else { return found };
    let Some(particulars) = Particulars::read(leaf) else { return error("its certificate cannot be read".to_owned()) };
    let now = Timestamp(i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000));
    error(said_of(fault, leaf, &particulars, &name.to_str(), now))
}

#[allow(deprecated, reason = "rustls still gives these")]
fn said_of(
    fault: &CertificateError,
    leaf: &CertificateDer<'_>,
    its: &Particulars,
    name: &str,
    now: Timestamp,
) -> String {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => expired(its, now),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => not_yet(its, now),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            wrong_name(leaf, its, name)
        }
        CertificateError::UnknownIssuer => unknown(its),
        CertificateError::Revoked => format!("its certificate {} was revoked by its authority", its.fingerprint),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            format!("its certificate ({}) is not one for servers", its.subject)
        }
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
            "its certificate ({}, key {}), or one of those behind it, is signed in a way that is not safe any more, such as SHA-1",
            its.subject, its.key
        ),
        CertificateError::BadSignature => format!(
            "its certificate ({}, key {}) is not signed by the authority that it names ({}), or the authority's key is too weak",
            its.subject, its.key, its.issuer
        ),
        // An authority's own certificate, shown by a server: webpki has no other name for it.
        CertificateError::Other(_) if its.is_self_signed() => unknown(its),
        CertificateError::Other(other) => format!("its certificate ({}) cannot be used: {other}", its.subject),
        other => format!("its certificate ({}) cannot be used: {other}", its.subject),
    }
}

pub(super) fn expired(its: &Particulars, now: Timestamp) -> String {
    if its.standing(now) == Standing::Expired {
        return format!("its certificate ({}) expired on {}", its.subject, its.not_after.rfc3339());
    }
    format!("a certificate behind its own, of an authority that issued {}, has expired", its.subject)
}

pub(super) fn not_yet(its: &Particulars, now: Timestamp) -> String {
    let clock = "is the clock of this machine right?";
    if its.standing(now) == Standing::Future {
        return format!("its certificate ({}) holds only from {} on; {clock}", its.subject, its.not_before.rfc3339());
    }
    format!("a certificate behind its own, of an authority that issued {}, does not hold yet; {clock}", its.subject)
}

pub(super) fn wrong_name(leaf: &CertificateDer<'_>, its: &Particulars, name: &str) -> String {
    // The common name does not count (RFC 9525 §2).
    let names = ClientCertificate::read(leaf).map(|certificate| certificate.names).unwrap_or_default();
    if names.is_empty() {
        return format!("its certificate ({}) has no DNS name in it, and should have {name}", its.subject);
    }
    let mut shown = names.iter().take(NAMES_SHOWN).map(|name| &**name).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(NAMES_SHOWN).filter(|more| *more > 0) {
        shown.push_str(&format!(" and {more} more"));
    }
    format!("its certificate is for {shown}, not for {name}")
}

fn unknown(its: &Particulars) -> String {
    if its.is_self_signed() {
        return format!(
            "its certificate is self-signed ({}, {}); if it is the right one, name it with authority = \"FILE\"",
            its.subject, its.fingerprint
        );
    }
    format!(
        "its certificate was issued by {}, which is not trusted; if that authority is the right one, name its certificate with \
         authority = \"FILE\" (or the server does not send the certificates between)",
        its.issuer
    )
}
