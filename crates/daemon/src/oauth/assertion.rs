//! Assertions that we sign: instead of a client secret, and as a Google service account.
//!
//! With a certificate as Microsoft Entra ID wants it (PS256, the certificate's SHA-256 as `x5t#S256`); with the key of
//! a service account as Google does (RS256, the key's name as `kid`). They hold for a few minutes, and from a minute before now on, as clocks differ.
//!
//! RFC 7523 §3, RFC 7515 §4.1.8, RFC 7518 §3.

use super::provider::NotGranted;
use crate::secret;
use crate::tls::load;
use crate::tls::sha256;
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use smtp::sasl::{Secret, base64};
use smtp::time::Timestamp;
use std::path::Path;
use x509_parser::der_parser::der::parse_der;
use zeroize::{Zeroize, Zeroizing};

/// How long an assertion holds.
const HOLDS_SECONDS: i64 = 540;
/// And from how long before now on.
const EARLIER_SECONDS: i64 = 60;

/// A key that signs, and how it is named.
pub(super) struct Signer {
    key: EncodingKey,
    header: Header,
    issuer: Box<str>,
    subject: Box<str>,
    scope: Option<Box<str>>,
}

impl Signer {
    /// Of the client with this certificate. Touches the disk.
    pub(super) fn of_client(client_id: &str, certificate: &Path, key: &Path) -> Result<Signer, NotGranted> {
        let chain = load::from_pem(certificate, key).map_err(|fault| mend(&fault.to_string()))?;
        let (algorithm, key) = signing_key(&chain.key, true).ok_or_else(|| {
            mend(&format!(
                "{}: a key of this kind cannot sign here; make one with RSA, 2048 bits or more",
                key.display()
            ))
        })?;
        let leaf = chain.certificates.first().map_or(&[][..], |leaf: &CertificateDer<'_>| leaf);
        let header = Header { x5t_s256: Some(url_safe(&sha256(leaf))), ..Header::new(algorithm) };
        Ok(Signer { key, header, issuer: client_id.into(), subject: client_id.into(), scope: None })
    }

    /// Of a service account with this key file, for this user. Touches the disk.
    pub(super) fn of_service_account(file: &Path, user: &str, scope: &str) -> Result<Signer, NotGranted> {
        let text = secret::whole(file).map_err(|fault| mend(&fault.to_string()))?;
        let unusable = |what: &str| {
            mend(&format!("{}: {what}; it must be the JSON file that Google makes for a key", file.display()))
        };
        let mut document: Value = serde_json::from_slice(text.reveal()).map_err(|_| unusable("it is no JSON"))?;
        let pem = match document.get_mut("private_key").map(Value::take) {
            Some(Value::String(pem)) => Zeroizing::new(pem),
            _ => return Err(unusable("it has no private_key")),
        };
        let member = |name: &str| document.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let issuer = member("client_email").ok_or_else(|| unusable("it has no client_email"))?;
        let key =
            PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| unusable("its private_key cannot be read"))?;
        let (algorithm, key) =
            signing_key(&key, false).ok_or_else(|| unusable("its private_key is of a strange kind"))?;
        let header = Header { kid: member("private_key_id").map(Into::into), ..Header::new(algorithm) };
        Ok(Signer { key, header, issuer: issuer.into(), subject: user.into(), scope: Some(scope.into()) })
    }

    /// An assertion for the provider at `audience`, as of `now`.
    pub(super) fn sign(&self, audience: &str, now: Timestamp) -> Result<Secret, NotGranted> {
        let ours = || NotGranted::passing("No assertion could be signed, by a fault in Mailroot itself.".to_owned());
        let mut number = [0; 16];
        rand::fill(&mut number).map_err(|_| ours())?;
        let seconds = now.0.div_euclid(1_000);
        let mut claims = json!({
            "iss": &*self.issuer,
            "sub": &*self.subject,
            "aud": audience,
            "iat": seconds - EARLIER_SECONDS,
            "nbf": seconds - EARLIER_SECONDS,
            "exp": seconds + HOLDS_SECONDS,
            "jti": number.iter().map(|octet| format!("{octet:02x}")).collect::<String>(),
        });
        if let Some(scope) = &self.scope {
            claims["scope"] = json!(&**scope);
        }
        let signed = jsonwebtoken::encode(&self.header, &claims, &self.key).map_err(|_| ours())?;
        Ok(Secret::new(signed.into_bytes()))
    }
}

fn mend(fault: &str) -> NotGranted {
    NotGranted::lasting(format!("{fault}."), "Mend it and the mail goes on.")
}

/// The algorithm that fits a key, and the key as the library wants it.
fn signing_key(key: &PrivateKeyDer<'_>, padded: bool) -> Option<(Algorithm, EncodingKey)> {
    let rsa = if padded { Algorithm::PS256 } else { Algorithm::RS256 };
    let der = key.secret_der();
    if let PrivateKeyDer::Pkcs1(_) = key {
        return Some((rsa, EncodingKey::from_rsa_der(der)));
    }
    let curves =
        [(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING), (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING)];
    for (algorithm, curve) in curves {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(curve, der) {
            return Some((algorithm, EncodingKey::from_ec_der(pair.to_pkcs8v1().ok()?.as_ref())));
        }
    }
    let inner = pkcs1_in(der)?;
    Some((rsa, EncodingKey::from_rsa_der(&inner)))
}

/// The RSA key within PKCS #8 (RFC 5958 §2): version, algorithm, then the key in an octet string.
fn pkcs1_in(der: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    const RSA: &str = "1.2.840.113549.1.1.1";
    let (_, key) = parse_der(der).ok()?;
    let parts = key.as_sequence().ok()?;
    let algorithm = parts.get(1)?.as_sequence().ok()?.first()?.as_oid().ok()?;
    (algorithm.to_id_string() == RSA).then(|| parts.get(2)?.as_slice().ok().map(|key| Zeroizing::new(key.to_vec())))?
}

/// Base64 with the alphabet of URLs and without padding (RFC 7515 §2).
pub(super) fn url_safe(octets: &[u8]) -> String {
    let mut text = base64::encode(octets);
    let safe = text.trim_end_matches('=').replace('+', "-").replace('/', "_");
    text.zeroize();
    safe
}
