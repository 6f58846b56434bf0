//! Brings certificates in: a PFX file becomes a PEM pair.

use crate::tls::load;
use crate::tls::{Particulars, TlsFault};
use rustls::pki_types::PrivateKeyDer;
use smtp::sasl::base64;
use std::fmt;
use std::path::Path;

/// What a PFX file has in it.
pub struct Imported {
    /// What its certificate says.
    pub particulars: Particulars,
    /// The chain, the own certificate first; PEM.
    pub chain: String,
    /// How many certificates that are.
    pub certificates: usize,
    /// The private key, PEM (PKCS #8).
    pub key: String,
}

impl fmt::Debug for Imported {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Imported").field("particulars", &self.particulars).finish_non_exhaustive()
    }
}

/// Reads a PFX file; its password is the first line of `password_file`.
///
/// # Errors
/// It cannot be used, and why.
pub fn import(pfx: &Path, password_file: Option<&Path>) -> Result<Imported, TlsFault> {
    let chain = load::from_pfx(pfx, password_file)?;
    let malformed = |words: &str| TlsFault::Malformed { file: pfx.to_owned(), words: words.to_owned() };
    let particulars = chain.certificates.first().and_then(|leaf| Particulars::read(leaf));
    let particulars = particulars.ok_or_else(|| malformed("the certificate cannot be read"))?;
    let label = match &chain.key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Ok(Imported {
        particulars,
        chain: chain.certificates.iter().map(|certificate| pem("CERTIFICATE", certificate)).collect(),
        certificates: chain.certificates.len(),
        key: pem(label, chain.key.secret_der()),
    })
}

/// RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}
