//! Asks an issuer for its keys over https: two small documents.

use super::keys::Keys;
use crate::https::{Bounds, Https, HttpsFault};
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// Octets of a document.
pub const DOCUMENT_MAX: usize = 1_024 * 1_024;
/// How long the provider may take for one document.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why an issuer cannot be asked at all.
#[derive(Debug)]
pub struct IssuerFault(HttpsFault);

impl fmt::Display for IssuerFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the issuer of tokens (oauth) cannot be asked: {}", self.0)
    }
}

impl std::error::Error for IssuerFault {}

pub(super) struct Fetcher(Https);

impl Fetcher {
    pub(super) fn new(authority: Option<&Path>) -> Result<Fetcher, IssuerFault> {
        Https::new(authority).map(Fetcher).map_err(IssuerFault)
    }

    /// The keys that the issuer publishes now, or why they are not to be had.
    pub(super) async fn keys(&self, issuer: &str) -> Result<Keys, String> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let document = self.get(&address).await?;
        let text = |key: &str| document.get(key).and_then(Value::as_str).unwrap_or_default();
        if text("issuer").trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(format!("{address} is another issuer's"));
        }
        let address = text("jwks_uri");
        if !address.starts_with("https://") {
            return Err(format!("{issuer} names no https address of its keys"));
        }
        let keys = Keys::read(&self.get(address).await?).filter(|keys| !keys.is_empty());
        keys.ok_or_else(|| format!("{address} has no keys that we can use"))
    }

    async fn get(&self, address: &str) -> Result<Value, String> {
        let answer = self.0.get(address, Bounds { time: TIMEOUT, octets: DOCUMENT_MAX }).await?;
        if answer.status != 200 {
            return Err(format!("{address}: it answers {}", answer.status));
        }
        serde_json::from_slice(&answer.body).map_err(|_| format!("{address}: the answer is no JSON"))
    }
}
