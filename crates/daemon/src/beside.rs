//! What a configuration made from a recipe needs beside it: a self-signed certificate, and an accounts file without accounts.
//!
//! Writes into places that are empty and replaces nothing.

use crate::auth::write_accounts;
use crate::certificate::make;
use crate::certificate::place::{self, Readers};
use crate::clock::Clock;
use relay::account::Accounts;
use relay::config::{CertificateSource, VirtualServer};
use std::path::PathBuf;

/// How long a self-signed certificate holds.
const DAYS: u16 = 730;

/// Makes what the virtual server needs and is not there; the files.
///
/// # Errors
/// One of them cannot be written.
pub fn make(server: &VirtualServer) -> Result<Vec<PathBuf>, String> {
    let mut written = Vec::new();
    for source in &server.access.certificates {
        let CertificateSource::Pem { file, key } = source else { continue };
        if file.exists() || key.exists() {
            continue;
        }
        let made = make::self_signed(&[server.delivery.fqdn.to_string()], DAYS, Clock::start().now())
            .map_err(|fault| fault.to_string())?;
        if let Some(folder) = file.parent() {
            place::private_folder(folder).map_err(|fault| fault.to_string())?;
        }
        place::write(key, made.key.as_bytes(), Readers::Owner).map_err(|fault| fault.to_string())?;
        place::write(file, made.text.as_bytes(), Readers::Everybody).map_err(|fault| fault.to_string())?;
        written.extend([file.clone(), key.clone()]);
    }
    let accounts = &server.access.accounts;
    if server.access.authentication.needs_accounts() && !accounts.exists() {
        write_accounts(accounts, &Accounts::new(None).print())
            .map_err(|error| format!("{} cannot be written: {error}", accounts.display()))?;
        written.push(accounts.clone());
    }
    Ok(written)
}
