//! Makes keys, self-signed certificates and signing requests (PKCS #10, RFC 2986).
//!
//! Keys are ECDSA P-256: every client that speaks TLS 1.2 as we do understands them, and they cost the least in a handshake.

use jiff::civil::Date;
use jiff::{Timestamp as Instant, ToSpan};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use smtp::time::Timestamp;
use std::fmt;

/// The most that a common name may have (RFC 5280 §A.1).
const COMMON_NAME_MAX: usize = 64;

/// Something to write into files: PEM.
#[derive(Clone)]
pub struct Made {
    /// The certificate, or the request for one.
    pub text: String,
    /// The private key to it.
    pub key: String,
}

impl fmt::Debug for Made {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Made").field("text", &self.text).finish_non_exhaustive()
    }
}

/// Why none was made.
#[derive(Clone, Debug)]
pub struct MakeFault(String);

impl fmt::Display for MakeFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MakeFault {}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn by_library(error: rcgen::Error) -> MakeFault {
    MakeFault(format!("it cannot be made: {error}"))
}

/// A certificate for `names` that only its owner vouches for, from the day before `now` on for `days`.
///
/// # Errors
/// There is no name, or one is none.
pub fn self_signed(names: &[String], days: u16, now: Timestamp) -> Result<Made, MakeFault> {
    let mut params = params(names)?;
    let today =
        Instant::from_millisecond(now.0).unwrap_or(Instant::UNIX_EPOCH).to_zoned(jiff::tz::TimeZone::UTC).date();
    let at = |date: Option<Date>| {
        let date = date.unwrap_or(today);
        date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    // Clocks differ, and days begin elsewhere earlier.
    params.not_before = at(today.checked_sub(1.day()).ok());
    params.not_after = at(today.checked_add(i64::from(days).days()).ok());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().map_err(by_library)?;
    let certificate = params.self_signed(&key).map_err(by_library)?;
    Ok(Made { text: certificate.pem(), key: key.serialize_pem() })
}

/// A request to an authority for a certificate for `names`; with a new key, or with one in PEM.
///
/// # Errors
/// There is no name, or one is none, or the key cannot be used.
pub fn request(names: &[String], key: Option<&str>) -> Result<Made, MakeFault> {
    let params = params(names)?;
    let key = match key {
        Some(pem) => KeyPair::from_pem(pem).map_err(|error| {
            MakeFault(format!("the key cannot be used: {error}; it must be PKCS #8 (openssl pkey -in OLD -out NEW)"))
        })?,
        None => KeyPair::generate().map_err(by_library)?,
    };
    let request = params.serialize_request(&key).and_then(|request| request.pem()).map_err(by_library)?;
    Ok(Made { text: request, key: key.serialize_pem() })
}

/// The same request, as ACME wants it: DER.
pub(super) fn request_der(names: &[String]) -> Result<(Vec<u8>, String), MakeFault> {
    let key = KeyPair::generate().map_err(by_library)?;
    let request = params(names)?.serialize_request(&key).map_err(by_library)?;
    Ok((request.der().to_vec(), key.serialize_pem()))
}

fn params(names: &[String]) -> Result<CertificateParams, MakeFault> {
    let Some(first) = names.first() else { return Err(MakeFault("there is no name to certify".to_owned())) };
    let mut params = CertificateParams::default();
    for name in names {
        let not_ascii = |_| MakeFault(format!("{name} is no name in ASCII; write it as xn--…"));
        params.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(Ia5String::try_from(name.as_str()).map_err(not_ascii)?),
        });
    }
    params.distinguished_name = DistinguishedName::new();
    if first.len() <= COMMON_NAME_MAX {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Particulars;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_self_signed_certificate_says_what_it_was_asked_to() {
        let now = Timestamp::parse_rfc3339("2026-11-22T10:00:00Z").unwrap();
        let made = self_signed(&names(&["mx.example.com", "mail.example.com", "192.0.2.1"]), 90, now).unwrap();
        let der = CertificateDer::from_pem_slice(made.text.as_bytes()).unwrap();
        let read = Particulars::read(&der).unwrap();
        assert_eq!(&*read.subject, "CN=mx.example.com");
        assert!(read.is_self_signed());
        assert_eq!(*read.names, ["mx.example.com".into(), "mail.example.com".into()]);
        assert_eq!(read.not_before.rfc3339(), "2026-11-21T00:00:00.000Z");
        assert_eq!(read.not_after.rfc3339(), "2027-02-20T00:00:00.000Z");
        assert!(made.key.starts_with("-----BEGIN PRIVATE KEY-----"));
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn names_that_are_none_are_refused_and_long_ones_are_no_common_name() {
        let now = Timestamp(0);
        assert!(self_signed(&[], 90, now).unwrap_err().to_string().contains("no name"));
        assert!(self_signed(&names(&["mäx.example.com"]), 90, now).unwrap_err().to_string().contains("xn--"));
        let long = format!("{}.{}.example.com", "a".repeat(40), "b".repeat(40));
        let made = self_signed(&names(&[&long]), 90, now).unwrap();
        let der = CertificateDer::from_pem_slice(made.text.as_bytes()).unwrap();
        let read = Particulars::read(&der).unwrap();
        assert_eq!((&*read.subject, &*read.names[0]), ("", long.as_str()));
    }

    #[test]
    fn a_request_takes_a_key_that_is_there() {
        let first = request(&names(&["mx.example.com"]), None).unwrap();
        assert!(first.text.starts_with("-----BEGIN CERTIFICATE REQUEST-----"));
        let again = request(&names(&["mx.example.com"]), Some(&first.key)).unwrap();
        assert_eq!(first.key, again.key);
        assert!(request(&names(&["mx.example.com"]), Some("nothing")).is_err());
    }
}
