//! The account at an authority: made once, kept under the state folder.
//!
//! One file for each authority, `account-….pem`: the account's address at the authority, and its key, for the owner alone.

use super::AcmeFault;
use crate::certificate::place::{self, Readers};
use crate::tls::load::read_secret;
use crate::tls::sha256;
use instant_acme::{Account, AccountBuilder, ExternalAccountKey, NewAccount};
use relay::config::Acme;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use smtp::sasl::base64;
use std::fmt;
use std::path::{Path, PathBuf};

/// What ties a new account to a customer of the authority (external account binding, RFC 8555 §7.3.4).
pub struct Binding {
    id: String,
    key: Vec<u8>,
}

impl Binding {
    /// As the authority gives it: the key's name, and the key in base64 with the alphabet of URLs.
    ///
    /// # Errors
    /// The key is not in base64.
    pub fn parse(id: &str, key: &str) -> Result<Binding, AcmeFault> {
        let mut text = key.trim().trim_end_matches('=').replace('-', "+").replace('_', "/");
        while !text.len().is_multiple_of(4) {
            text.push('=');
        }
        match base64::decode(text.as_bytes()) {
            Some(key) if !key.is_empty() => Ok(Binding { id: id.to_owned(), key }),
            _ => Err(AcmeFault::Ours("the key of the external account binding is not in base64".to_owned())),
        }
    }
}

impl fmt::Debug for Binding {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The account at the authority of `acme`; a new one if there is none yet.
pub(super) async fn open(acme: &Acme, folder: &Path, binding: Option<&Binding>) -> Result<Account, AcmeFault> {
    let file = file(folder, &acme.directory);
    if file.exists() {
        return restore(acme, &file).await;
    }
    let contact = acme.contact.as_deref().map(|address| format!("mailto:{address}"));
    let contact: Vec<&str> = contact.as_deref().into_iter().collect();
    let new = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = binding.map(|binding| ExternalAccountKey::new(binding.id.clone(), &binding.key));
    let (account, credentials) = builder(acme)?.create(&new, acme.directory.to_string(), external.as_ref()).await?;
    let key = base64::encode(credentials.private_key().secret_pkcs8_der());
    let text = format!("account: {}\n-----BEGIN PRIVATE KEY-----\n{key}\n-----END PRIVATE KEY-----\n", account.id());
    place::write(&file, text.as_bytes(), Readers::Owner)?;
    Ok(account)
}

/// Where the account at an authority is kept.
pub(super) fn file(folder: &Path, directory: &str) -> PathBuf {
    let sum = sha256(directory.as_bytes());
    let name: String = sum.iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    folder.join(format!("account-{name}.pem"))
}

async fn restore(acme: &Acme, file: &Path) -> Result<Account, AcmeFault> {
    let broken = || {
        let file = file.display();
        AcmeFault::Ours(format!("{file} is no account of ours any more; remove it, and a new account will be made"))
    };
    let text = read_secret(file).map_err(|fault| AcmeFault::Ours(fault.to_string()))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| broken())?;
    let text = String::from_utf8_lossy(&text);
    let id = text.lines().find_map(|line| line.strip_prefix("account: ")).ok_or_else(broken)?;
    Ok(builder(acme)?.from_parts(id.to_owned(), key, acme.directory.to_string()).await?)
}

fn builder(acme: &Acme) -> Result<AccountBuilder, AcmeFault> {
    // The library asks for the process's cryptography, which is chosen here, once; a second time is no fault.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match &acme.directory_authority {
        None => Ok(Account::builder()?),
        Some(file) => {
            let unusable = |error| {
                AcmeFault::Ours(format!(
                    "{} is no authority for the directory: {}",
                    file.display(),
                    super::with_causes(&error)
                ))
            };
            Account::builder_with_root(file).map_err(unusable)
        }
    }
}
