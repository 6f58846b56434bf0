//! Recipient → where it goes: Drop, a next hop, or nowhere.

pub mod mx;

use crate::config::HostPort;
use smtp::address::Domain;
use std::net::IpAddr;
use std::path::PathBuf;

/// Where the mail of one recipient goes next. Two that are equal share a queue and connections.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NextHop {
    /// Which hosts.
    pub hosts: Hosts,
    /// How to speak with them.
    pub protocol: Protocol,
}

/// Which hosts take it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Hosts {
    /// Those that the MX records of `domain` name (or its own address), at `port`; when they do not get through,
    /// `then` in order (the smart hosts, if they are used after direct delivery).
    Mx {
        /// The domain to look up.
        domain: Domain,
        /// The port.
        port: u16,
        /// Tried in order when direct delivery does not get through.
        then: Vec<HostPort>,
    },
    /// These in order; no MX look-up.
    Listed(Vec<HostPort>),
    /// An address literal in the recipient's address.
    Literal {
        /// The address.
        ip: IpAddr,
        /// The port.
        port: u16,
    },
    /// A Unix socket (LMTP).
    Unix(PathBuf),
}

/// How to speak with a next hop.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// EHLO, HELO if that is refused.
    Esmtp,
    /// HELO only.
    Helo,
    /// LHLO, and a reply for each recipient after the message (RFC 2033).
    Lmtp,
}
