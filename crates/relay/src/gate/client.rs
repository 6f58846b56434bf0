//! Whom the gate judges: what is known of a client, and from where it is known.

use super::Identity;
use crate::config::Listener;
use smtp::address::Domain;
use std::net::IpAddr;

/// A client at one moment of its session. What is not known yet, or was not proved, is missing.
#[derive(Copy, Clone, Debug)]
pub struct Client<'a> {
    /// Its address, as the socket has it.
    pub address: IpAddr,
    /// Where it came in.
    pub listener: Listener,
    /// Its name in DNS.
    pub name: &'a PeerName,
    /// What TLS says of it; `None`: it speaks without.
    pub tls: Option<TlsIdentity<'a>>,
    /// Who it has proved to be.
    pub identity: Option<&'a Identity>,
    /// What it calls itself. Nobody is believed for that.
    pub helo: Option<&'a str>,
}

impl<'a> Client<'a> {
    /// Somebody who has just connected and of whom nothing else is known.
    #[must_use]
    pub fn stranger(address: IpAddr, listener: Listener) -> Client<'a> {
        Client { address, listener, name: &PeerName::NotAsked, tls: None, identity: None, helo: None }
    }
}

/// What TLS says of a client.
#[derive(Copy, Clone, Debug, Default)]
pub struct TlsIdentity<'a> {
    /// The certificate that it showed, if it was verified.
    pub certificate: Option<CertificateIdentity<'a>>,
    /// The channel has an exporter (RFC 9266), as in TLS 1.3, by which a proof can be bound to it.
    pub exporter: bool,
}

/// A client certificate of an authority that the operator trusts.
#[derive(Copy, Clone, Debug)]
pub struct CertificateIdentity<'a> {
    /// SHA-256 over its DER form.
    pub sha256: &'a [u8; 32],
    /// The names in it.
    pub names: &'a [Box<str>],
    /// Its subject, for people.
    pub subject: &'a str,
}

/// A client's name, as reverse DNS has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum PeerName {
    /// Nobody has asked.
    #[default]
    NotAsked,
    /// The address has this name, and the name has this address.
    Confirmed(Domain),
    /// The address has names, and none of them has this address.
    Unconfirmed,
    /// The address has no name.
    None,
    /// The DNS did not answer: whether there is a name is not known.
    Unanswered,
}

impl PeerName {
    /// The name, if it may be believed.
    #[must_use]
    pub fn confirmed(&self) -> Option<&Domain> {
        match self {
            PeerName::Confirmed(name) => Some(name),
            _ => None,
        }
    }
}

impl std::fmt::Display for PeerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PeerName::NotAsked => f.write_str("not asked for"),
            PeerName::Confirmed(name) => name.fmt(f),
            PeerName::Unconfirmed => f.write_str("not confirmed"),
            PeerName::None => f.write_str("none"),
            PeerName::Unanswered => f.write_str("the DNS did not answer"),
        }
    }
}
