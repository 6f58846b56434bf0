//! For tests: a certificate authority of our own, and a client that talks to an engine in memory.

use super::provider::provider;
use super::{Credentials, Inflow, Pair, TlsEngine, TlsFailure};
use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::io::{Read, Write};
use std::sync::Arc;

/// An authority that signs what a test asks for.
pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(crate) struct Signed {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, params: &CertificateParams, key: KeyPair) -> Signed {
        Signed { certificate: params.signed_by(&key, &self.issuer).unwrap(), key }
    }

    /// A server's or a client's certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Signed {
        self.sign(&params_for(names), KeyPair::generate().unwrap())
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        roots
    }
}

pub(crate) fn params_for(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, names.first().map_or("nobody", |name| name));
    params
}

impl Signed {
    pub(crate) fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    pub(crate) fn chain(&self, authority: &Authority) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.der().clone(), authority.certificate.der().clone()]
    }

    pub(crate) fn pair(&self, authority: &Authority) -> Arc<Pair> {
        let key = CertifiedKey::from_der(self.chain(authority), self.key_der(), &provider()).unwrap();
        Arc::new(Pair::new(key).unwrap())
    }
}

/// Credentials with one certificate for `mx.example.test`.
pub(crate) fn credentials() -> Arc<Credentials> {
    let authority = Authority::new("Test CA");
    let pair = authority.issue(&["mx.example.test"]).pair(&authority);
    Arc::new(Credentials::new(vec![pair], None).unwrap())
}

/// Trusts every server: what a client trusts is not our matter.
#[derive(Debug)]
struct Trusting {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

/// The versions that a client may speak.
pub(crate) type Versions = &'static [&'static rustls::SupportedProtocolVersion];
pub(crate) static ONLY_TLS12: Versions = &[&rustls::version::TLS12];
pub(crate) static ONLY_TLS13: Versions = &[&rustls::version::TLS13];

/// What a client says of itself.
pub(crate) struct Caller {
    pub(crate) versions: Versions,
    pub(crate) sni: &'static str,
    pub(crate) certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The signatures that it understands.
    pub(crate) schemes: Vec<SignatureScheme>,
}

impl Default for Caller {
    fn default() -> Caller {
        let schemes = provider().signature_verification_algorithms.supported_schemes();
        Caller { versions: rustls::ALL_VERSIONS, sni: "mx.example.test", certificate: None, schemes }
    }
}

impl Caller {
    pub(crate) fn config(self) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trusting { schemes: self.schemes }));
        match self.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        }
    }

    pub(crate) fn connect(self) -> ClientConnection {
        let name = ServerName::try_from(self.sni).unwrap();
        ClientConnection::new(Arc::new(self.config()), name).unwrap()
    }
}

/// An engine and a client, joined by memory.
pub(crate) struct Line {
    pub(crate) engine: TlsEngine,
    pub(crate) client: ClientConnection,
    /// What the engine has given out as plain octets.
    pub(crate) plain: Vec<u8>,
    heard: Vec<u8>,
}

impl Line {
    pub(crate) fn new(credentials: Arc<Credentials>, caller: Caller) -> Line {
        Line { engine: TlsEngine::new(credentials), client: caller.connect(), plain: Vec::new(), heard: Vec::new() }
    }

    /// What the client has to say, as it would be on the wire.
    pub(crate) fn client_speaks(&mut self) -> Vec<u8> {
        let mut wire = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut wire).unwrap();
        }
        wire
    }

    pub(crate) fn engine_hears(&mut self, octets: &[u8]) -> Result<Inflow, TlsFailure> {
        let plain = &mut self.plain;
        self.engine.read_tls(octets, &mut |chunk| plain.extend_from_slice(chunk))
    }

    /// Brings the engine's words to the client; what the client thinks of them.
    pub(crate) fn client_hears(&mut self) -> Result<(), rustls::Error> {
        let wire = self.engine.take_tls();
        let mut rest = &wire[..];
        while !rest.is_empty() {
            if self.client.read_tls(&mut rest).unwrap() == 0 {
                break;
            }
            self.client.process_new_packets()?;
            let _ = self.client.reader().read_to_end(&mut self.heard);
        }
        Ok(())
    }

    /// Lets both talk until neither has anything to say.
    pub(crate) fn settle(&mut self) -> Result<(), TlsFailure> {
        loop {
            let wire = self.client_speaks();
            let outcome = self.engine_hears(&wire).map(drop);
            let before = self.client.wants_write();
            let _ = self.client_hears();
            outcome?;
            if wire.is_empty() && !before && !self.client.wants_write() {
                return Ok(());
            }
        }
    }

    /// What the client has read.
    pub(crate) fn read(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.heard)
    }

    pub(crate) fn say(&mut self, octets: &[u8]) {
        self.client.set_buffer_limit(None);
        self.client.writer().write_all(octets).unwrap();
    }
}
