//! How the channel to one mail host must be protected: what the operator wants, and what the domain has published.
//!
//! Asked for each host of a next hop before anybody connects ([`protect`]). In this order, and the first that has something to
//! say decides:
//!
//! 1. The operator's terms (`tls`). `none`, `verified` and `implicit` are complete; nothing published changes how the channel is
//!    then made. `opportunistic` and `required` leave room for what follows, which makes them stricter and never weaker.
//! 2. DANE: signed TLSA records of a host whose name is known from the settings or from signed MX records. TLS with a key that
//!    they name; where none of them is of use, TLS with anybody (or as MTA-STS has it). A host whose records cannot be had, though they may exist, is not used.
//! 3. MTA-STS in mode `enforce`: the host must be one of the policy's, with a certificate of the public authorities that bears its
//!    name. It holds for `verified`, too, where it says which hosts are the domain's. A policy that does not name a host of the settings
//!    is not about it: the operator's routing goes first.
//! 4. DANE for a host that unsigned MX records name (RFC 7672 §2.2.1 leaves that to us): better than nothing.
//! 5. TLS as the terms have it.
//!
//! A message that demands TLS (REQUIRETLS) asks for more than that: [`Protection::for_require_tls`]. One whose sender waives it
//! (`TLS-Required: No`) follows what is published where that works, and goes on the operator's terms where it does not: [`waive`].
//!
//! Promises: never less than the terms; a host that must not be used is a [`Failure`] for now (4.7.5), so that mail waits until it is
//! mended. Does not: look anything up (`daemon::policy`), or see a certificate (`daemon::tls`).
//!
//! RFC 7672 §2, §3; RFC 8461 §4, §5; RFC 8689 §4.2; IIS: Delivery tab, Outbound Security, TLS encryption.

use super::mta_sts::{Mode, Policy};
use super::tlsa::{self, DaneRecord, Tlsa};
use crate::config::TlsPolicy;
use crate::envelope::{Failure, FailureKind};
use smtp::address::{Domain, Host};
use smtp::reply::EnhancedStatus;

/// How the channel to a host must be.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Protection {
    /// Under which protection mail may go.
    pub channel: Channel,
    /// TLS from the first octet, instead of STARTTLS.
    pub implicit: bool,
    /// The name to ask for in the handshake (SNI); `None`: the host is known by its address alone.
    pub server_name: Option<Domain>,
    /// The host's name is known for sure: from the settings, from signed records, or from an MTA-STS policy that names it.
    pub is_located: bool,
    /// Who wanted it so.
    pub because: Because,
    /// The domain tries an MTA-STS policy out (mode `testing`): is the host one of its hosts?
    pub testing: Option<bool>,
}

/// Under which protection mail may go to a host.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Channel {
    /// In clear text, without asking for TLS.
    Clear,
    /// By TLS with anybody where it is offered; in clear text where it is not, or where the handshake fails.
    Opportunistic,
    /// By TLS with anybody. Never in clear text.
    Encrypted,
    /// By TLS, with a certificate that leads to an authority (the terms', or the system's) and bears this name (or address).
    Authority {
        /// The name.
        name: Host,
    },
    /// By TLS, with a certificate that one of these records fits.
    Dane(Dane),
}

/// What DANE demands of a certificate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Dane {
    /// At least one; it is enough that one fits.
    pub records: Vec<DaneRecord>,
    /// Under a record of an authority (DANE-TA) the host's certificate must bear one of these, the TLSA base domain first.
    pub names: Vec<Domain>,
}

/// Who wanted the channel so.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Because {
    /// The operator's terms.
    Terms,
    /// Signed TLSA records.
    Dane,
    /// Signed TLSA records, none of which is of use: TLS, whoever the host is.
    DaneUnusable,
    /// The domain's MTA-STS policy.
    MtaSts,
    /// The message, which demands TLS.
    RequireTls,
    /// The hosts that DNS names, in whose place this one takes the mail, must not have it in clear text.
    Instead,
}

/// How we know that a host takes a domain's mail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Located {
    /// From our settings.
    Settings,
    /// From the domain's MX records, or because it has none and is its own host.
    Mx {
        /// The domain whose mail it is.
        domain: Domain,
        /// What it is an alias of (CNAME), if the alias is signed.
        alias: Option<Domain>,
        /// Proven by DNSSEC.
        secure: bool,
    },
}

/// What the DNS says about the keys of a host, as far as DNSSEC proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Keys {
    /// Nobody asked: DNSSEC is off, or the terms leave no room.
    NotAsked,
    /// The host's addresses or its TLSA records are not signed: what they say counts for nothing.
    Insecure,
    /// There are none, and that is proven.
    None,
    /// These, proven.
    Found {
        /// Where they were found, without `_25._tcp.`: the host, or what it is an alias of.
        base: Domain,
        /// All of them, of use or not.
        records: Vec<Tlsa>,
    },
    /// No answer, or one that is proven wrong (bogus): in words.
    Failed(Box<str>),
}

/// What is known about a host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Published<'a> {
    /// How we know it.
    pub located: &'a Located,
    /// Its keys.
    pub keys: &'a Keys,
    /// The MTA-STS policy that holds for its domain.
    pub policy: Option<&'a Policy>,
}

/// How the channel to `host` must be.
///
/// # Errors
/// It must not be used now, and why.
pub fn protect(tls: TlsPolicy, host: &Host, published: &Published<'_>) -> Result<Protection, Failure> {
    let by_terms = by_terms(tls, host, published.located);
    let Host::Name(name) = host else { return Ok(by_terms) };
    let is_about = |policy: &&Policy| *published.located != Located::Settings || policy.names(name);
    let of_mode = |mode| published.policy.filter(is_about).filter(|policy| policy.mode == mode);
    let (enforced, tested) = (of_mode(Mode::Enforce), of_mode(Mode::Testing));
    let by_terms = Protection { testing: tested.map(|policy| policy.names(name)), ..by_terms };
    match tls {
        TlsPolicy::None => return Ok(Protection { testing: None, ..by_terms }),
        TlsPolicy::Verified | TlsPolicy::Implicit => {
            return match enforced {
                Some(policy) => by_policy(policy, name, published.located, by_terms),
                None => Ok(by_terms),
            };
        }
        TlsPolicy::Opportunistic | TlsPolicy::Required => {}
    }
    let is_located = by_terms.is_located;
    match (published.keys, enforced) {
        // Unsigned MX records can lead anywhere, so that the policy, which names the hosts, is worth more than the host's keys.
        (_, Some(policy)) if !is_located => by_policy(policy, name, published.located, by_terms),
        (Keys::Failed(why), _) => Err(no_keys(name, why)),
        (Keys::Found { base, records }, enforced) => {
            let usable = tlsa::usable(records);
            match enforced {
                // Keys that are of no use prove nothing: then the policy may.
                Some(policy) if usable.is_empty() => by_policy(policy, name, published.located, by_terms),
                _ => Ok(by_dane(base, usable, published.located, by_terms)),
            }
        }
        (_, Some(policy)) => by_policy(policy, name, published.located, by_terms),
        (Keys::NotAsked | Keys::Insecure | Keys::None, None) => Ok(by_terms),
    }
}

/// The same for mail whose senders waive what is published (RFC 8689 §4.2.2): how the channel is tried first, and how it may be where that
/// fails, if that makes a difference. The operator's terms are never lowered.
///
/// # Errors
/// The operator's own terms leave no room, and what is published says that the host must not be used.
pub fn waive(
    published: Result<Protection, Failure>,
    tls: TlsPolicy,
    host: &Host,
    located: &Located,
) -> Result<(Protection, Option<Protection>), Failure> {
    if !wants_keys(tls) {
        return published.map(|protection| (protection, None));
    }
    let by_terms = by_terms(tls, host, located);
    Ok(match published {
        Err(_) => (by_terms, None),
        Ok(strict) if strict.channel == by_terms.channel => (strict, None),
        Ok(strict) => (strict, Some(by_terms)),
    })
}

/// Can a host's keys change anything?
#[must_use]
pub fn wants_keys(tls: TlsPolicy) -> bool {
    matches!(tls, TlsPolicy::Opportunistic | TlsPolicy::Required)
}

/// Can an MTA-STS policy change anything?
#[must_use]
pub fn wants_policy(tls: TlsPolicy, located: &Located) -> bool {
    wants_keys(tls) || tls != TlsPolicy::None && *located != Located::Settings
}

/// What the operator wants.
fn by_terms(tls: TlsPolicy, host: &Host, located: &Located) -> Protection {
    Protection {
        channel: match tls {
            TlsPolicy::None => Channel::Clear,
            TlsPolicy::Opportunistic => Channel::Opportunistic,
            TlsPolicy::Required => Channel::Encrypted,
            TlsPolicy::Verified | TlsPolicy::Implicit => Channel::Authority { name: host.clone() },
        },
        implicit: tls == TlsPolicy::Implicit,
        server_name: host.domain().cloned(),
        is_located: matches!(located, Located::Settings | Located::Mx { secure: true, .. }),
        because: Because::Terms,
        testing: None,
    }
}

fn by_dane(base: &Domain, records: Vec<DaneRecord>, located: &Located, by_terms: Protection) -> Protection {
    if records.is_empty() {
        return Protection { channel: Channel::Encrypted, because: Because::DaneUnusable, ..by_terms };
    }
    let mut names = vec![base.clone()];
    let also: Vec<&Domain> = match located {
        Located::Settings => by_terms.server_name.iter().collect(),
        Located::Mx { domain, alias, secure: true } => [Some(domain), alias.as_ref()].into_iter().flatten().collect(),
        // A domain that anybody can lead to this host says nothing about it, unless it is the host itself.
        Located::Mx { domain, .. } => by_terms.server_name.iter().filter(|name| *name == domain).collect(),
    };
    for name in also {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let server_name = Some(base.clone());
    Protection { channel: Channel::Dane(Dane { records, names }), server_name, because: Because::Dane, ..by_terms }
}

fn by_policy(policy: &Policy, host: &Domain, located: &Located, by_terms: Protection) -> Result<Protection, Failure> {
    if !policy.names(host) {
        return Err(not_in_policy(host, located));
    }
    Ok(Protection {
        channel: Channel::Authority { name: Host::Name(host.clone()) },
        is_located: true,
        because: Because::MtaSts,
        ..by_terms
    })
}

impl Protection {
    /// As the terms alone have it, for a host of the settings: for Unix sockets, and where nothing can be published.
    #[must_use]
    pub fn of_terms(tls: TlsPolicy, host: &Host) -> Protection {
        by_terms(tls, host, &Located::Settings)
    }

    /// Does mail go in clear text if there is no other way?
    #[must_use]
    pub fn allows_clear_text(&self) -> bool {
        matches!(self.channel, Channel::Clear | Channel::Opportunistic)
    }

    /// The channel for mail that other hosts were not to have in clear text: so this one may not either.
    #[must_use]
    pub fn never_in_clear(self) -> Protection {
        if !self.allows_clear_text() {
            return self;
        }
        Protection { channel: Channel::Encrypted, because: Because::Instead, ..self }
    }

    /// Is it proven who the host is?
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        matches!(self.channel, Channel::Authority { .. } | Channel::Dane(_))
    }

    /// May a message go over this channel that demands TLS (REQUIRETLS)? The host must be known for sure and prove who it is.
    #[must_use]
    pub fn meets_require_tls(&self) -> bool {
        self.is_located && self.is_authenticated()
    }

    /// The channel for a message that demands TLS: one that asks for the host's certificate, if none is asked for yet.
    ///
    /// # Errors
    /// It cannot be known which host takes the domain's mail (unsigned MX records and no MTA-STS policy), or the operator
    /// wants clear text.
    pub fn for_require_tls(self) -> Result<Protection, Failure> {
        if self.meets_require_tls() {
            return Ok(self);
        }
        match &self.server_name {
            Some(name) if self.is_located && self.channel != Channel::Clear => {
                let name = Host::Name(name.clone());
                Ok(Protection { channel: Channel::Authority { name }, because: Because::RequireTls, ..self })
            }
            _ => Err(not_for_require_tls(&self)),
        }
    }
}

impl std::fmt::Display for Protection {
    /// For people: what is demanded, and why.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.channel {
            Channel::Clear => f.write_str("clear text")?,
            Channel::Opportunistic => f.write_str("TLS with anybody if it is offered, else clear text")?,
            Channel::Encrypted => f.write_str("TLS with anybody")?,
            Channel::Authority { name } => write!(f, "TLS, and an authority's certificate for {name}")?,
            Channel::Dane(_) => f.write_str("TLS, and a certificate that fits its TLSA records")?,
        }
        if self.implicit {
            f.write_str(", from the first octet")?;
        }
        f.write_str(match self.because {
            Because::Terms => ": as the settings have it",
            Because::Dane => ": its TLSA records are signed (DANE)",
            Because::DaneUnusable => ": its TLSA records are signed (DANE), but none of them is of use for mail",
            Because::MtaSts => ": its domain's MTA-STS policy wants it so",
            Because::RequireTls => ": the message demands it (REQUIRETLS)",
            Because::Instead => ": the hosts that DNS names, which are tried before it, must have it so",
        })?;
        match self.testing {
            None => Ok(()),
            Some(true) => f.write_str(" (its domain tries an MTA-STS policy out, which names it)"),
            Some(false) => f.write_str(" (its domain tries an MTA-STS policy out, which does not name it)"),
        }
    }
}

fn no_keys(host: &Domain, why: &str) -> Failure {
    let text = format!(
        "The mail host {host} may have published keys that mail to it must be encrypted with, but the DNS gives no proven answer \
         about them ({why}), so it is not used. Its DNSSEC or its name servers need to be mended."
    );
    no_tls(host, text)
}

fn not_in_policy(host: &Domain, located: &Located) -> Failure {
    let domain = match located {
        Located::Settings => host,
        Located::Mx { domain, .. } => domain,
    };
    let text = format!(
        "The mail host {host} is not used: the MTA-STS policy of {domain} does not name it. Either the MX records are not what the \
         domain's owner wants, or the policy needs to be corrected."
    );
    no_tls(host, text)
}

/// RFC 8689 §4.2.1; for good, because it is the message that asks for more than there is.
fn not_for_require_tls(protection: &Protection) -> Failure {
    let text = match (&protection.channel, &protection.server_name) {
        (Channel::Clear, _) => {
            "The message demands TLS (REQUIRETLS), but this server is set up to reach its next host in clear text."
                .to_owned()
        }
        (_, Some(name)) => format!(
            "The message demands TLS (REQUIRETLS), but nothing proves that {name} is the recipient's mail host: its domain has \
             neither signed MX records nor an MTA-STS policy."
        ),
        (_, None) => {
            "The message demands TLS (REQUIRETLS), but the next host is known by its address alone, and has no name \
                      to prove."
                .to_owned()
        }
    };
    let host = protection.server_name.as_ref().map(|name| name.as_str().into());
    Failure { kind: FailureKind::Unsupported, status: EnhancedStatus(5, 7, 10), host, reply: None, text: text.into() }
}

fn no_tls(host: &Domain, text: String) -> Failure {
    let (kind, status) = (FailureKind::Tls, EnhancedStatus(4, 7, 5));
    Failure { kind, status, host: Some(host.as_str().into()), reply: None, text: text.into() }
}

#[cfg(test)]
mod tests;
