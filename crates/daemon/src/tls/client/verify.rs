//! Who the other side must be, checked in the handshake: anybody, the bearer of a name, the holder of a key that the DNS names.
//!
//! Anybody: not even the signature is looked at, since whoever sits in the middle can sign with a key of his own; so keys that
//! are too weak to prove anything still give a channel, which is better than clear text. Otherwise the server must
//! hold the key of the certificate that it shows, and the certificate must be as demanded.
//!
//! RFC 5280 §6 and RFC 9525 by webpki; RFC 7672 §3.1 (DANE-EE: the key alone counts; DANE-TA: chain, dates and one of the names).

use super::super::load::Trusted;
use super::super::particulars::{Particulars, Standing};
use super::super::provider::provider;
use super::super::sha256;
use super::distrust;
use aws_lc_rs::digest;
use relay::route::protection::Dane;
use relay::route::tlsa::{DaneMatching, DaneRecord, DaneSelector, DaneUsage};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use smtp::time::Timestamp;
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whoever it is.
#[derive(Debug)]
pub(super) struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = algorithms().supported_schemes();
        schemes.extend([SignatureScheme::RSA_PKCS1_SHA1, SignatureScheme::ECDSA_SHA1_Legacy]);
        schemes
    }
}

/// The bearer of the name that is asked for, with a certificate that leads to one of these authorities, or is itself in
/// their file: devices have certificates that nobody but they signed.
#[derive(Debug)]
pub(super) struct Bearer {
    /// `None`: there are only hosts' own certificates.
    authorities: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
}

impl Bearer {
    pub(super) fn new(trusted: Trusted) -> Result<Bearer, rustls::client::VerifierBuilderError> {
        if trusted.roots.is_empty() {
            return Ok(Bearer { authorities: None, own: trusted.certificates });
        }
        let builder = WebPkiServerVerifier::builder_with_provider(trusted.roots, provider());
        // The lists are those that the operator has, and need not be of all authorities.
        let builder = builder.with_crls(trusted.revoked).allow_unknown_revocation_status();
        let authorities = builder.only_check_end_entity_revocation().build()?;
        Ok(Bearer { authorities: Some(authorities), own: trusted.certificates })
    }
}

impl ServerCertVerifier for Bearer {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.own.iter().any(|own| own == leaf) {
            return stands_for(leaf, name, now);
        }
        let verified = match &self.authorities {
            Some(authorities) => authorities.verify_server_cert(leaf, others, name, ocsp, now),
            None => Err(CertificateError::UnknownIssuer.into()),
        };
        verified.map_err(|error| distrust::explained(error, leaf, name, now))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Dates and name of a certificate that is trusted as it is.
fn stands_for(leaf: &CertificateDer<'_>, name: &ServerName<'_>, now: UnixTime) -> Result<ServerCertVerified, Error> {
    let unreadable = || distrust::error("its certificate cannot be read".to_owned());
    let its = Particulars::read(leaf).ok_or_else(unreadable)?;
    let at = Timestamp(i64::try_from(now.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000));
    match its.standing(at) {
        Standing::Expired => return Err(distrust::error(distrust::expired(&its, at))),
        Standing::Future => return Err(distrust::error(distrust::not_yet(&its, at))),
        Standing::Valid => {}
    }
    let parsed = ParsedCertificate::try_from(leaf)?;
    match verify_server_name(&parsed, name) {
        Ok(()) => Ok(ServerCertVerified::assertion()),
        Err(_) => Err(distrust::error(distrust::wrong_name(leaf, &its, &name.to_str()))),
    }
}

/// The holder of a key that the domain's TLSA records name.
#[derive(Debug)]
pub(super) struct Holder {
    dane: Dane,
    /// The names of [`Dane::names`] as certificates have them.
    names: Vec<ServerName<'static>>,
}

impl Holder {
    pub(super) fn new(dane: Dane) -> Holder {
        let names = dane.names.iter().filter_map(super::setup::name_of).collect();
        Holder { dane, names }
    }

    fn records(&self, usage: DaneUsage) -> impl Iterator<Item = &DaneRecord> {
        self.dane.records.iter().filter(move |record| record.usage == usage)
    }

    /// The authorities that records name, among the certificates that the server has sent, or in the records themselves.
    fn anchors(&self, others: &[CertificateDer<'_>]) -> RootCertStore {
        let mut anchors = RootCertStore::empty();
        for record in self.records(DaneUsage::TrustAnchor) {
            if record.selector == DaneSelector::Certificate && record.matching == DaneMatching::Whole {
                // What is no certificate can be no authority.
                let _ = anchors.add(CertificateDer::from(record.data.to_vec()));
            }
            for other in others.iter().filter(|other| fits(record, other)) {
                let _ = anchors.add(other.clone().into_owned());
            }
        }
        anchors
    }
}

impl ServerCertVerifier for Holder {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.records(DaneUsage::EndEntity).any(|record| fits(record, leaf)) {
            return Ok(ServerCertVerified::assertion());
        }
        let anchors = self.anchors(others);
        if anchors.is_empty() {
            let its = Particulars::read(leaf).map(|its| its.fingerprint).unwrap_or_default();
            let words = format!(
                "none of the {} TLSA records of {} fits its certificate ({its}); the domain's owner must publish the new key, \
                 or the host is not the right one",
                self.dane.records.len(),
                name.to_str()
            );
            return Err(distrust::error(words));
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        let algorithms = algorithms();
        verify_server_cert_signed_by_trust_anchor(&parsed, &anchors, others, now, algorithms.all)
            .map_err(|error| distrust::explained(error, leaf, name, now))?;
        if self.names.iter().any(|name| verify_server_name(&parsed, name).is_ok()) {
            return Ok(ServerCertVerified::assertion());
        }
        let wanted: Vec<_> = self.names.iter().map(ServerName::to_str).collect();
        let its = Particulars::read(leaf);
        Err(distrust::error(its.map_or_else(
            || "its certificate cannot be read".to_owned(),
            |its| distrust::wrong_name(leaf, &its, &wanted.join(" or ")),
        )))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, leaf, signed, &algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signed, &algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        algorithms().supported_schemes()
    }
}

/// Is it this certificate that the record speaks of?
fn fits(record: &DaneRecord, certificate: &CertificateDer<'_>) -> bool {
    let parsed;
    let part: &[u8] = match record.selector {
        DaneSelector::Certificate => certificate,
        DaneSelector::PublicKey => match X509Certificate::from_der(certificate) {
            Ok((_, read)) => {
                parsed = read;
                parsed.tbs_certificate.subject_pki.raw
            }
            Err(_) => return false,
        },
    };
    match record.matching {
        DaneMatching::Whole => *part == *record.data,
        DaneMatching::Sha256 => sha256(part) == *record.data,
        DaneMatching::Sha512 => *digest::digest(&digest::SHA512, part).as_ref() == *record.data,
    }
}

fn algorithms() -> WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}
