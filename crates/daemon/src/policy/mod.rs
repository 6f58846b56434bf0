//! What domains publish about TLS to their mail hosts, brought to those who decide by it.
//!
//! ```text
//!   outbound ── host, terms ──► Policies ──┬── keys ─────────► dns: TLSA records, as far as DNSSEC proves them
//!                                          ├── MTA-STS ──────► dns (the record) ── new? ──► https (the policy) ──► kept on disk
//!                                          └── relay::route::protection ──► how the channel must be, or why the host is not used
//! ```
//!
//! Asked for each host before anybody connects to it, and only where the terms leave room for what is published. Mail to one
//! domain may wait for its policy, for a minute at most and once; that to all others does not.
//!
//! Does not: decide ([`relay::route::protection`], [`relay::route::mta_sts`]), or connect ([`crate::outbound`]).
//!
//! RFC 7672 (DANE), RFC 8461 (MTA-STS).

mod fetch;
mod mta_sts;
mod shelf;
#[cfg(test)]
mod tests;

pub use mta_sts::MtaSts;

use crate::dns::Resolver;
use relay::config::Terms;
use relay::envelope::Failure;
use relay::route::mta_sts::Policy;
use relay::route::protection::{self, Keys, Located, Protection, Published};
use smtp::address::{Domain, Host};

/// Asks for what is published. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Policies {
    resolver: Resolver,
    mta_sts: MtaSts,
}

/// What was found about a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Findings {
    /// Its keys.
    pub keys: Keys,
    /// The MTA-STS policy that holds for its domain.
    pub policy: Option<Policy>,
    /// How the channel to it must be; or why it is not used.
    pub protection: Result<Protection, Failure>,
}

impl Policies {
    /// Asks these.
    #[must_use]
    pub fn new(resolver: Resolver, mta_sts: MtaSts) -> Policies {
        Policies { resolver, mta_sts }
    }

    /// Who answers what is asked of the DNS.
    #[must_use]
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// How the channel to a host at this port must be. `heed` is the operator's wish to heed MTA-STS.
    ///
    /// # Errors
    /// The host must not be used now, and why.
    pub async fn protect(
        &self,
        terms: &Terms,
        heed: bool,
        located: &Located,
        host: &Host,
        port: u16,
    ) -> Result<Protection, Failure> {
        self.look(terms, heed, located, host, port).await.protection
    }

    /// The same, with what was found.
    pub async fn look(&self, terms: &Terms, heed: bool, located: &Located, host: &Host, port: u16) -> Findings {
        let (keys, policy) = match published_name(host) {
            None => (Keys::NotAsked, None),
            Some(name) => tokio::join!(
                async {
                    if protection::wants_keys(terms.tls) {
                        self.resolver.keys(name, port).await
                    } else {
                        Keys::NotAsked
                    }
                },
                async {
                    let domain = if let Located::Mx { domain, .. } = located { domain } else { name };
                    let is_wanted = heed && protection::wants_policy(terms.tls, located);
                    if is_wanted { self.mta_sts.policy(&self.resolver, domain).await } else { None }
                }
            ),
        };
        let published = Published { located, keys: &keys, policy: policy.as_ref() };
        let protection = protection::protect(terms.tls, host, &published);
        Findings { keys, policy, protection }
    }
}

/// A name about which something can be published: not an address, and not a name that the search list completes.
fn published_name(host: &Host) -> Option<&Domain> {
    host.domain().filter(|name| name.as_str().contains('.'))
}
