//! Reads certificates and keys from files: PEM and PFX (PKCS #12, RFC 7292).
//!
//! A file is taken as people have it: intermediate certificates in any order, the key in PKCS #8, PKCS #1 or SEC 1, beside the
//! certificate or in the same file. What cannot be used is refused with what to do about it. A private key or a password
//! that everybody on the machine may read is refused as well: it is to be taken for known. (A group may read it: that is how
//! Debian shares keys.)

use super::particulars::{Particulars, Standing};
use super::provider::provider;
use super::{Pair, TlsFault};
use relay::config::CertificateSource;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use smtp::time::Timestamp;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

/// Octets of a file with certificates or a key; a chain of a hundred certificates fits.
const FILE_MAX: u64 = 1024 * 1024;

/// A chain, its own certificate first, and the key to it.
pub(crate) struct Chain {
    /// DER.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// DER.
    pub(crate) key: PrivateKeyDer<'static>,
}

/// The files of one source.
pub(crate) fn files(source: &CertificateSource, acme: &Path) -> Vec<PathBuf> {
    match source {
        CertificateSource::Pem { file, key } if file == key => vec![file.clone()],
        CertificateSource::Pem { file, key } => vec![file.clone(), key.clone()],
        CertificateSource::Pfx { file, password_file } => std::iter::once(file).chain(password_file).cloned().collect(),
        CertificateSource::Acme(_) => vec![acme.to_owned()],
    }
}

/// The file of one source that has the certificate in it.
pub(crate) fn main_file<'s>(source: &'s CertificateSource, acme: &'s Path) -> &'s Path {
    match source {
        CertificateSource::Pem { file, .. } | CertificateSource::Pfx { file, .. } => file,
        CertificateSource::Acme(_) => acme,
    }
}

/// The chain and key of one source, whatever its dates. What ACME brings lies in one file, `acme`.
///
/// # Errors
/// It cannot be used, and why.
pub(crate) fn chain(source: &CertificateSource, acme: &Path) -> Result<Chain, TlsFault> {
    match source {
        CertificateSource::Pem { file, key } => from_pem(file, key),
        CertificateSource::Pfx { file, password_file } => from_pfx(file, password_file.as_deref()),
        CertificateSource::Acme(_) if !acme.exists() => {
            let words = "no certificate has been obtained yet; obtain it with: mailroot certificate acme";
            Err(TlsFault::Malformed { file: acme.to_owned(), words: words.to_owned() })
        }
        CertificateSource::Acme(_) => from_pem(acme, acme),
    }
}

/// The pair of one source, fit to be shown at `now`.
///
/// # Errors
/// It cannot be used, and why.
pub(crate) fn pair(source: &CertificateSource, acme: &Path, now: Timestamp) -> Result<Pair, TlsFault> {
    into_pair(chain(source, acme)?, main_file(source, acme), now)
}

fn into_pair(chain: Chain, file: &Path, now: Timestamp) -> Result<Pair, TlsFault> {
    let malformed = |words: String| TlsFault::Malformed { file: file.to_owned(), words };
    let particulars = chain.certificates.first().and_then(|leaf| Particulars::read(leaf));
    let Some(particulars) = particulars else { return Err(malformed("the certificate cannot be read".to_owned())) };
    let refused = match particulars.standing(now) {
        Standing::Valid => None,
        Standing::Expired => Some(format!(
            "the certificate of {} expired on {}; renew it, or make one for the meantime with: \
             mailroot certificate self-signed",
            particulars.subject,
            particulars.not_after.rfc3339()
        )),
        Standing::Future => Some(format!(
            "the certificate of {} holds only from {} on; is the clock of this machine right?",
            particulars.subject,
            particulars.not_before.rfc3339()
        )),
    };
    if let Some(words) = refused {
        return Err(malformed(words));
    }
    let key = CertifiedKey::from_der(chain.certificates, chain.key, &provider())
        .map_err(|error| malformed(format!("certificate and key cannot be used: {error}")))?;
    Pair::new(key).map_err(|error| malformed(format!("the certificate cannot be read: {error}")))
}

/// A chain and its key from PEM files, which may be the same.
///
/// # Errors
/// One of them cannot be used, or they do not belong together.
pub(crate) fn from_pem(file: &Path, key: &Path) -> Result<Chain, TlsFault> {
    let certificates = certificates(file)?;
    let key_der = private_key(key)?;
    arrange(certificates, key_der, file, key)
}

/// The certificates in a PEM file; at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let text = read(file)?;
    let malformed = |words: String| TlsFault::Malformed { file: file.to_owned(), words };
    let certificates: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates.map_err(|error| malformed(format!("it is no good PEM file: {error}")))?;
    if certificates.is_empty() {
        let words = if text.first() == Some(&0x30) {
            "it is no PEM file; if it is a PFX file write { pfx = … }, if it is a DER certificate convert it with: \
             openssl x509 -inform der -in FILE -out NEW"
        } else {
            "there is no certificate in it (a block that begins with -----BEGIN CERTIFICATE-----)"
        };
        return Err(malformed(words.to_owned()));
    }
    Ok(certificates)
}

/// The first private key in a PEM file.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let text = read_secret(file)?;
    let malformed = |words: String| TlsFault::Malformed { file: file.to_owned(), words };
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) if contains(&text, b"Proc-Type: 4,ENCRYPTED") => {
            drop(key);
            Err(malformed(encrypted(file)))
        }
        Ok(key) => Ok(key),
        Err(_) if contains(&text, b"ENCRYPTED") => Err(malformed(encrypted(file))),
        Err(pem::Error::NoItemsFound) => Err(malformed(
            "there is no private key in it (a block that begins with -----BEGIN PRIVATE KEY-----)".into(),
        )),
        Err(error) => Err(malformed(format!("it is no good PEM file: {error}"))),
    }
}

fn encrypted(file: &Path) -> String {
    let file = file.display();
    format!(
        "the key is encrypted, and a service has nobody to ask for the password; write it without one: \
         openssl pkey -in {file} -out NEW && chmod 600 NEW"
    )
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// A chain and its key from a PFX file.
///
/// # Errors
/// It cannot be read, the password is wrong, or there is no key in it, or none of its certificates belongs to that.
pub(crate) fn from_pfx(file: &Path, password_file: Option<&Path>) -> Result<Chain, TlsFault> {
    let password = match password_file {
        None => String::new(),
        Some(password_file) => {
            let text = read_secret(password_file)?;
            let line = text.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
            String::from_utf8(line.to_vec()).map_err(|_| TlsFault::Malformed {
                file: password_file.to_owned(),
                words: "the password is not in UTF-8".to_owned(),
            })?
        }
    };
    let octets = if password_file.is_some() && !password.is_empty() { read(file)? } else { read_secret(file)? };
    let malformed = |words: String| TlsFault::Malformed { file: file.to_owned(), words };
    let archive = p12_keystore::Pkcs12Archive::from_pkcs12(&octets, &password).map_err(|error| {
        malformed(match (&error, password_file) {
            (p12_keystore::error::Error::MacError(_), None) => {
                "it has a password; write that into a file and name it with password_file = …".to_owned()
            }
            (p12_keystore::error::Error::MacError(_), Some(password_file)) => {
                format!("the password in {} is not the one of this file", password_file.display())
            }
            _ if octets.starts_with(b"-----BEGIN") => "it is a PEM file; write { file = …, key = … }".to_owned(),
            _ => format!("it is no good PFX file: {error}"),
        })
    })?;
    let Some(key) = archive.keys.first() else {
        return Err(malformed("there is no private key in it; export it again, with the key".to_owned()));
    };
    let key = PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into();
    let certificates = archive.certs.iter().map(|bag| CertificateDer::from(bag.cert.as_der().to_vec())).collect();
    arrange(certificates, key, file, file)
}

/// Puts the certificate that belongs to the key first, and behind it each one's issuer, as TLS wants them.
fn arrange(
    mut certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    file: &Path,
    key_file: &Path,
) -> Result<Chain, TlsFault> {
    let unusable = |error: rustls::Error| TlsFault::Malformed {
        file: key_file.to_owned(),
        words: format!("its key cannot be used ({error}); ECDSA P-256 is a good choice, RSA needs 2048 bits or more"),
    };
    let signing = provider().key_provider.load_private_key(key.clone_key()).map_err(unusable)?;
    let own = certificates.iter().position(|certificate| belongs(certificate, &signing));
    let Some(own) = own else {
        return Err(TlsFault::Mismatch { certificate: file.to_owned(), key: key_file.to_owned() });
    };
    let mut ordered = vec![certificates.remove(own)];
    while let Some(next) = ordered.last().and_then(|last| issuer_among(last, &certificates)) {
        ordered.push(certificates.remove(next));
    }
    Ok(Chain { certificates: ordered, key })
}

fn belongs(certificate: &CertificateDer<'static>, key: &Arc<dyn SigningKey>) -> bool {
    CertifiedKey::new(vec![certificate.clone()], Arc::clone(key)).keys_match().is_ok()
}

fn issuer_among(of: &CertificateDer<'_>, among: &[CertificateDer<'static>]) -> Option<usize> {
    let (_, of) = X509Certificate::from_der(of).ok()?;
    if of.issuer() == of.subject() {
        return None;
    }
    among.iter().position(|candidate| {
        X509Certificate::from_der(candidate).is_ok_and(|(_, candidate)| candidate.subject() == of.issuer())
    })
}

/// The authorities in a PEM file.
///
/// # Errors
/// It cannot be read, or there is none in it.
pub(crate) fn authorities(file: &Path) -> Result<RootCertStore, TlsFault> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        add_root(&mut roots, &certificate, file)?;
    }
    Ok(roots)
}

fn add_root(roots: &mut RootCertStore, certificate: &CertificateDer<'static>, file: &Path) -> Result<(), TlsFault> {
    roots.add(certificate.clone()).map_err(|error| TlsFault::Malformed {
        file: file.to_owned(),
        words: format!("a certificate in it cannot be an authority: {error}"),
    })
}

/// Is it an authority's? Those of the first version do not say so.
fn may_sign(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, certificate)| certificate.version() == X509Version::V1 || certificate.is_ca())
}

/// Whom a file of authorities has us trust.
pub(crate) struct Trusted {
    /// Whose signatures count; may be nobody's.
    pub(crate) roots: Arc<RootCertStore>,
    /// All certificates of the file: a host may show one of them itself.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Which certificates do not count any more (blocks that begin with -----BEGIN X509 CRL-----).
    pub(crate) revoked: Vec<CertificateRevocationListDer<'static>>,
}

/// Authorities, hosts' own certificates and revocation lists in a PEM file.
///
/// # Errors
/// It cannot be read, or there is no certificate in it.
pub(crate) fn trusted(file: &Path) -> Result<Trusted, TlsFault> {
    let certificates = certificates(file)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates.iter().filter(|certificate| may_sign(certificate)) {
        add_root(&mut roots, certificate, file)?;
    }
    let lists: Result<Vec<_>, pem::Error> = CertificateRevocationListDer::pem_slice_iter(&read(file)?).collect();
    let revoked = lists.map_err(|error| TlsFault::Malformed {
        file: file.to_owned(),
        words: format!("a revocation list in it cannot be read: {error}"),
    })?;
    Ok(Trusted { roots: Arc::new(roots), certificates, revoked })
}

/// A file that holds no secret.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, TlsFault> {
    read_if(file, false)
}

/// A file that holds a secret, which others may not read.
pub(crate) fn read_secret(file: &Path) -> Result<Vec<u8>, TlsFault> {
    read_if(file, true)
}

fn read_if(file: &Path, secret: bool) -> Result<Vec<u8>, TlsFault> {
    let unreadable = |error| TlsFault::Unreadable { file: file.to_owned(), error };
    let opened = File::open(file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    // The file that was opened, not one that took its name since.
    if secret && metadata.permissions().mode() & 0o007 != 0 {
        return Err(TlsFault::Exposed { file: file.to_owned() });
    }
    let mut octets = Vec::new();
    opened.take(FILE_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > FILE_MAX {
        let words = format!("it is larger than {FILE_MAX} octets; that is no certificate");
        return Err(TlsFault::Malformed { file: file.to_owned(), words });
    }
    Ok(octets)
}
