//! An authority of the test's own, with certificates as good or as bad as a test wants them.

use super::Site;
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CustomExtension, DnType, IsCa, Issuer, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;

pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// What a server shows.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    /// Chain and key, as files have them.
    pem: (String, String),
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    /// Its certificate as a file: what is trusted.
    pub fn file(&self, site: &Site, name: &str) -> PathBuf {
        site.folder.write(name, self.certificate.pem())
    }

    /// A certificate for these names, signed by it; the chain goes along.
    pub fn issue(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |_| {})
    }

    /// The same; it ended in 2021.
    pub fn expired(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_with(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let chain = vec![certificate.der().clone(), self.certificate.der().clone()];
        let pem = (certificate.pem() + &self.certificate.pem(), key.serialize_pem());
        Identity { chain, key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(), pem }
    }

    /// The same; it says that whoever does not bring a fresh answer of its authority is not to be believed (RFC 7633), and where
    /// a list of what was revoked is to be had: nowhere.
    pub fn doubtful(&self, names: &[&str]) -> Identity {
        self.issue_with(names, |params| {
            // SEQUENCE { INTEGER 5 }: status_request
            let must_staple = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
            params.custom_extensions.push(must_staple);
            let nowhere = vec!["http://127.0.0.1:9/revoked.crl".to_owned()];
            params.crl_distribution_points.push(CrlDistributionPoint { uris: nowhere });
        })
    }

    /// Its list of what it has revoked: this.
    pub fn revokes(&self, identity: &Identity) -> String {
        let (_, certificate) = x509_parser::parse_x509_certificate(&identity.chain[0]).unwrap();
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(certificate.raw_serial().to_vec()),
            revocation_time: date_time_ymd(2025, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2025, 1, 1),
            next_update: date_time_ymd(2080, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// `2 0 1 …`: this authority, as a TLSA record has it.
    pub fn tlsa(&self) -> String {
        format!("2 0 1 {}", hex(self.certificate.der()))
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, *names.first().unwrap_or(&"nobody"));
    params
}

impl Identity {
    /// Signed by nobody but itself.
    pub fn self_signed(names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names).self_signed(&key).unwrap();
        let pem = (certificate.pem(), key.serialize_pem());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Identity { chain: vec![certificate.der().clone()], key, pem }
    }

    /// As files, the key for its owner alone: chain and key.
    pub fn files(&self, site: &Site, name: &str) -> (PathBuf, PathBuf) {
        let chain = site.folder.write(&format!("{name}.pem"), &self.pem.0);
        let key = site.folder.write(&format!("{name}.key"), &self.pem.1);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        (chain, key)
    }

    /// For a server that shows this.
    pub fn server(&self) -> Arc<ServerConfig> {
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(config.with_single_cert(self.chain.clone(), self.key.clone_key()).unwrap())
    }

    /// `3 1 1 …`: its key, as a TLSA record has it.
    pub fn tlsa(&self) -> String {
        let (_, certificate) = x509_parser::parse_x509_certificate(&self.chain[0]).unwrap();
        format!("3 1 1 {}", hex(certificate.tbs_certificate.subject_pki.raw))
    }
}

/// The SHA-256 of these octets.
fn hex(octets: &[u8]) -> String {
    let mut text = String::new();
    for octet in digest(&SHA256, octets).as_ref() {
        let _ = write!(text, "{octet:02x}");
    }
    text
}
