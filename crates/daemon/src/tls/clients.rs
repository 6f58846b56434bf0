//! Whose certificates, shown by clients, say who they are.
//!
//! A certificate of an authority that the operator trusts is an identity. Any other one (of somebody else, out of date, not
//! for clients) is none, and no reason to end the handshake: mail servers show the certificate that they have to whoever asks,
//! and would come back in clear text. Either way a client proves in the handshake that it holds the key.
//!
//! RFC 5246 §7.4.6, RFC 8446 §4.4.2.4.

use super::TlsFault;
use super::provider::provider;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// The authorities of clients' certificates.
#[derive(Clone, Debug)]
pub(super) struct Clients(Arc<dyn ClientCertVerifier>);

impl Clients {
    /// Certificates of these authorities are identities.
    ///
    /// # Errors
    /// There is no authority.
    pub fn of(roots: RootCertStore) -> Result<Clients, TlsFault> {
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .allow_unauthenticated()
            .build()
            .map_or_else(
                |error| {
                    Err(TlsFault::Missing { words: format!("the certificates of clients cannot be verified: {error}") })
                },
                |verifier| Ok(Clients(verifier)),
            )
    }

    /// What the handshake asks: it takes whatever certificate the client holds the key of.
    pub fn lenient(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Lenient(Arc::clone(&self.0)))
    }

    /// Is this chain an identity now?
    #[must_use]
    pub fn know(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> bool {
        let Some((leaf, others)) = chain.split_first() else { return false };
        self.0.verify_client_cert(leaf, others, now).is_ok()
    }
}

/// Takes every certificate; everything else is asked of the one within.
#[derive(Debug)]
struct Lenient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
