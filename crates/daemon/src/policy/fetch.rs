//! One policy, fetched over https as RFC 8461 §3.3 wants it: from `mta-sts.DOMAIN`, whose certificate must bear that name, without
//! following redirections, as plain text, within a minute.

use crate::dns::Resolver;
use crate::https::{Bounds, Https};
use relay::route::mta_sts::{POLICY_MAX, Policy};
use smtp::address::Domain;
use std::path::PathBuf;
use std::time::Duration;

/// From the look-up of the name to the last octet.
pub(super) const FETCH_MAX: Duration = Duration::from_secs(60);

/// Where and how.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    /// 443, but in tests.
    pub port: u16,
    /// Trusted instead of the system's authorities; in tests only.
    pub authorities: Option<PathBuf>,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Fetch {
    fn default() -> Fetch {
        Fetch { port: 443, authorities: None, time: FETCH_MAX }
    }
}

impl Fetch {
    /// The policy that `domain` (A-labels) publishes now.
    ///
    /// # Errors
    /// It is not to be had, and why.
    pub(super) async fn policy(&self, resolver: Resolver, domain: &Domain) -> Result<Policy, String> {
        let authorities = self.authorities.clone();
        // Reads the system's authorities: files.
        let https = tokio::task::spawn_blocking(move || Https::asking(resolver, authorities.as_deref()));
        let https = https.await.map_err(|error| error.to_string())?.map_err(|fault| fault.to_string())?;
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let address = format!("https://mta-sts.{domain}{port}/.well-known/mta-sts.txt");
        let answer = https.get(&address, Bounds { time: self.time, octets: POLICY_MAX }).await?;
        if answer.status != 200 {
            return Err(format!("{address} answers {}", answer.status));
        }
        if &*answer.media_type != "text/plain" {
            return Err(format!("{address} is no plain text, but '{}'", answer.media_type));
        }
        Policy::parse(&answer.body).map_err(|fault| format!("{address} has no policy: {fault}"))
    }
}
