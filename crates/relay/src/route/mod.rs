//! Recipient → where it goes: Drop, a next hop, or nowhere.
//!
//! Decided afresh for each attempt, from the configuration of that moment, so a mended route moves waiting mail too. A remote
//! domain's route goes before the smart host, the smart host before DNS. Asks no DNS: what MX records say is judged
//! in [`mx`] when a connection is made. Does not ask who sent the message: that was [`crate::gate`]'s question.
//!
//! IIS: Delivery tab, Advanced (smart host, masquerade domain); SMTP domains, Route domain.

pub mod mta_sts;
pub mod mx;
pub mod protection;
pub mod revision;
pub mod tlsa;

use crate::config::terms::Owner;
use crate::config::{HostPort, RouteTo, SmartHost, SmartHostUse, Terms, Through, VirtualServer};
use crate::domain::Place;
use crate::envelope::{Envelope, Failure, FailureKind};
use crate::reason::{Reason, Value};
use smtp::address::{Domain, Host, Mailbox, ReversePath};
use smtp::reply::EnhancedStatus;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// What becomes of a recipient.
#[derive(Clone, PartialEq, Debug)]
pub enum Route {
    /// It goes to the Drop folder.
    Drop,
    /// It goes there.
    Hop(Arc<NextHop>),
    /// It can go nowhere.
    Refuse(Failure),
}

/// Where mail for this recipient goes.
#[must_use]
pub fn route(server: &VirtualServer, mailbox: &Mailbox) -> Route {
    decide(server, mailbox).0
}

/// The same, and what decided.
#[must_use]
pub fn decide<'a>(server: &'a VirtualServer, mailbox: &Mailbox) -> (Route, Reason<'a>) {
    let domain = match mailbox.host() {
        Host::Literal(ip) => return route_literal(server, *ip),
        Host::Name(domain) => domain,
    };
    match server.place(domain) {
        Place::Default | Place::Alias(_) => {
            let own = &server.default_domain;
            let because = |value| {
                let words = "a local domain: it goes where the default domain's mail goes";
                Reason::setting(server, "domain.route", value, words).domain(&own.name, false, "route")
            };
            match &own.route {
                None => (Route::Drop, because(Value::Word("the Drop folder"))),
                // An alias is the default domain under another name, so its mail follows the default domain's records.
                Some(to) => {
                    (hop(by_route(server, to, &own.name, own.terms.as_ref()), false), because(Value::Route(to)))
                }
            }
        }
        Place::Remote(remote) => {
            let own = remote.terms.as_ref();
            let Some(to) = &remote.route else {
                let (to, because) = by_server(server, domain, own);
                return (hop(to, remote.helo_only), because);
            };
            let pattern = &remote.pattern;
            let because =
                Reason::setting(server, "domain.route", Value::Route(to), "the remote domain has a route of its own")
                    .domain(&pattern.name, pattern.below, "route");
            (hop(by_route(server, to, domain, own), remote.helo_only), because)
        }
        Place::Foreign => {
            let (to, because) = by_server(server, domain, None);
            (hop(to, false), because)
        }
    }
}

fn hop(to: NextHop, helo_only: bool) -> Route {
    let protocol = if helo_only && to.protocol == Protocol::Esmtp { Protocol::Helo } else { to.protocol };
    Route::Hop(Arc::new(NextHop { protocol, ..to }))
}

/// Where a domain's own route leads, on the domain's own terms if it has any.
fn by_route(server: &VirtualServer, to: &RouteTo, domain: &Domain, own: Option<&Arc<Terms>>) -> NextHop {
    let (hosts, protocol) = match to {
        RouteTo::Mx => (direct(server, domain, Vec::new()), Protocol::Esmtp),
        RouteTo::Smtp(hosts) => (Hosts::Listed(hosts.clone()), Protocol::Esmtp),
        RouteTo::Lmtp(hosts) => (Hosts::Listed(hosts.clone()), Protocol::Lmtp),
        RouteTo::LmtpUnix(path) => (Hosts::Unix(path.clone()), Protocol::Lmtp),
        RouteTo::SmartHost(host) => return by_object(host),
    };
    NextHop {
        hosts,
        protocol,
        terms: own.unwrap_or(&server.delivery.terms).clone(),
        then_terms: None,
        wish: Wish::None,
    }
}

fn by_object(host: &SmartHost) -> NextHop {
    let hosts = Hosts::Listed(host.hosts.clone());
    NextHop { hosts, protocol: spoken(host), terms: host.terms.clone(), then_terms: None, wish: Wish::None }
}

fn spoken(host: &SmartHost) -> Protocol {
    if host.helo_only { Protocol::Helo } else { Protocol::Esmtp }
}

/// Where mail goes for a domain that has no route of its own, though it may have terms.
fn by_server<'a>(server: &'a VirtualServer, domain: &Domain, own: Option<&Arc<Terms>>) -> (NextHop, Reason<'a>) {
    let (listed, because) = by_smart_host(server);
    let own_or = |terms: &Arc<Terms>| own.unwrap_or(terms).clone();
    let to = match listed {
        // The configuration gives no domain terms against a smart host's; a plain list has none of its own.
        Some(to) => NextHop { terms: own_or(&to.terms), ..to },
        None => {
            let then_terms = match &server.delivery.smart_host {
                Through::SmartHost(host) => Some(host.terms.clone()),
                // A domain's terms are for the hosts that DNS names for it.
                Through::Hosts(_) => own.map(|_| server.delivery.terms.clone()),
                Through::Dns => None,
            };
            let hosts = direct(server, domain, server.delivery.smart_host.hosts().to_vec());
            let terms = own_or(&server.delivery.terms);
            NextHop { hosts, protocol: Protocol::Esmtp, terms, then_terms, wish: Wish::None }
        }
    };
    (to, because)
}

/// The smart host, if all mail goes there.
fn by_smart_host(server: &VirtualServer) -> (Option<NextHop>, Reason<'_>) {
    let delivery = &server.delivery;
    let by = |setting, value, words| Reason::setting(server, setting, value, words);
    let (to, value) = match &delivery.smart_host {
        Through::Dns => {
            let words = "there is no smart host: the hosts that DNS names take it";
            return (None, by("delivery.smart_host", Value::Hosts(&[]), words));
        }
        Through::Hosts(hosts) => {
            let listed = Hosts::Listed(hosts.clone());
            let terms = delivery.terms.clone();
            (
                NextHop { hosts: listed, protocol: Protocol::Esmtp, terms, then_terms: None, wish: Wish::None },
                Value::Hosts(hosts),
            )
        }
        Through::SmartHost(host) => (by_object(host), Value::Name(&host.name)),
    };
    match delivery.smart_host_use {
        SmartHostUse::Always => {
            let words = "the smart host takes what no domain's own route does";
            (Some(to), by("delivery.smart_host", value, words))
        }
        SmartHostUse::AfterDirect => {
            let words = "the hosts that DNS names take it, and the smart host what does not get through";
            (None, by("delivery.smart_host_use", Value::Word("after_direct"), words))
        }
    }
}

fn direct(server: &VirtualServer, domain: &Domain, then: Vec<HostPort>) -> Hosts {
    Hosts::Mx { domain: domain.clone(), port: server.delivery.port, then }
}

/// An address literal goes to the smart host if that takes everything, else to the address itself, unless that is us.
fn route_literal(server: &VirtualServer, ip: IpAddr) -> (Route, Reason<'_>) {
    let ip = ip.to_canonical();
    if let Some(fault) = server.literal_fault(ip) {
        let (kind, status) = match fault {
            LiteralFault::Ourselves => (FailureKind::Loop, EnhancedStatus(5, 4, 6)),
            LiteralFault::NoHost => (FailureKind::Dns, EnhancedStatus(5, 1, 2)),
        };
        let text = format!("Mail cannot be sent to {}: {fault}.", Host::Literal(ip)).into();
        let because = Reason::fixed(server, fault.to_string());
        return (Route::Refuse(Failure { kind, status, host: None, reply: None, text }), because);
    }
    let (listed, because) = by_smart_host(server);
    let to = listed.unwrap_or_else(|| NextHop {
        hosts: Hosts::Literal { ip, port: server.delivery.port },
        protocol: Protocol::Esmtp,
        terms: server.delivery.terms.clone(),
        then_terms: None,
        wish: Wish::None,
    });
    (hop(to, false), because)
}

/// Why no mail is sent to an address literal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LiteralFault {
    /// It is this machine: the mail would come back.
    Ourselves,
    /// No mail server can have it: link-local (where clouds keep their secrets), multicast, broadcast, `0.0.0.0/8`.
    NoHost,
}

impl std::fmt::Display for LiteralFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ourselves => "this address is this server itself",
            Self::NoHost => "no mail server has this address",
        })
    }
}

impl VirtualServer {
    /// Why no mail is sent to `user@[ip]`, as far as our own settings tell; `None` if it may be.
    #[must_use]
    pub fn literal_fault(&self, ip: IpAddr) -> Option<LiteralFault> {
        let ip = ip.to_canonical();
        let is_ours = || self.general.addresses().any(|address| address.ip().to_canonical() == ip);
        if ip.is_loopback() || ip.is_unspecified() || is_ours() {
            return Some(LiteralFault::Ourselves);
        }
        let is_nobodys = match ip {
            IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast() || ip.octets()[0] == 0,
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        (is_nobodys || ip.is_multicast()).then_some(LiteralFault::NoHost)
    }
}

/// The sender as a next hop with these terms sees it: the one that it insists on, or with the masquerade domain in the place of
/// a local one. The null sender stays null.
#[must_use]
pub fn masquerade(server: &VirtualServer, sender: &ReversePath, terms: &Terms) -> ReversePath {
    rewrite(server, sender, terms).0
}

/// The same, and what decided.
#[must_use]
pub fn rewrite<'a>(server: &'a VirtualServer, sender: &ReversePath, terms: &'a Terms) -> (ReversePath, Reason<'a>) {
    let mask = server.delivery.masquerade_domain.as_ref();
    let value = mask.map_or(Value::None, Value::Domain);
    let because = |words| Reason::setting(server, "delivery.masquerade_domain", value, words);
    let is_local = |mailbox: &Mailbox| mailbox.host().domain().is_some_and(|domain| server.place(domain).is_local());
    match (&terms.sender, mask, sender.mailbox()) {
        (Some(insisted), _, Some(_)) => {
            let because = because_of(server, insisted, &terms.owner);
            (ReversePath::Mailbox(insisted.clone()), because)
        }
        (None, None, _) => (sender.clone(), because("there is no masquerade domain: the sender stays as it is")),
        (_, _, None) => (sender.clone(), because("reports have no sender, and keep none")),
        (None, Some(mask), Some(mailbox)) if is_local(mailbox) => {
            let masked = ReversePath::Mailbox(mailbox.at(Host::Name(mask.clone())));
            (masked, because("a local sender goes out under the masquerade domain"))
        }
        (None, Some(_), Some(_)) => (sender.clone(), because("the sender is not local, and stays as it is")),
    }
}

fn because_of<'a>(server: &'a VirtualServer, insisted: &'a Mailbox, owner: &'a Owner) -> Reason<'a> {
    let setting = match owner {
        Owner::Domain(_) => "domain.sender",
        Owner::SmartHost(_) | Owner::Server => "smart_host.sender",
    };
    let words = "who takes it insists on this sender";
    Reason::setting(server, setting, Value::Mailbox(insisted), words).terms(owner, "sender")
}

/// Where the mail of one recipient goes next. Two that are equal share a queue and connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NextHop {
    /// Which hosts.
    pub hosts: Hosts,
    /// How to speak with them.
    pub protocol: Protocol,
    /// On what terms.
    pub terms: Arc<Terms>,
    /// On what terms with the hosts that follow those of DNS (`then` of [`Hosts::Mx`]), where they have their own.
    pub then_terms: Option<Arc<Terms>>,
    /// What the senders of this mail wish of the channel, beside the terms. A queue and connections of its own keep it apart from other mail:
    /// neither what one message may do without, nor what it demands in vain, is the others' business.
    pub wish: Wish,
}

/// What the senders of mail wish of the channel to a next hop.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Wish {
    /// Nothing: it is as the terms and what is published have it.
    None,
    /// TLS with a host that proves who it is, or not at all (REQUIRETLS).
    Tls,
    /// What is published is followed where that works, and holds nothing up where it does not (`TLS-Required: No`).
    Arrival,
}

impl NextHop {
    /// On the terms of mail that nobody has special terms for.
    #[must_use]
    pub fn plain(hosts: Hosts, protocol: Protocol) -> NextHop {
        NextHop { hosts, protocol, terms: Arc::new(Terms::plain()), then_terms: None, wish: Wish::None }
    }
}

impl NextHop {
    /// The same for a message with this envelope. The operator's own terms hold as ever, whatever it wishes.
    #[must_use]
    pub fn wished(self: Arc<NextHop>, envelope: &Envelope) -> Arc<NextHop> {
        let is_open = |terms: &Terms| protection::wants_keys(terms.tls);
        let wish = if envelope.demands_tls() {
            Wish::Tls
        } else if envelope.may_do_without_policies()
            && (is_open(&self.terms) || self.then_terms.as_deref().is_some_and(is_open))
        {
            Wish::Arrival
        } else {
            return self;
        };
        Arc::new(NextHop { wish, ..Arc::unwrap_or_clone(self) })
    }
}

impl Hash for NextHop {
    /// Hosts with several terms are few: the owner tells them apart well enough.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hosts.hash(state);
        self.protocol.hash(state);
        self.terms.owner.hash(state);
    }
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

impl std::fmt::Display for NextHop {
    /// For people: `mx example.com:25`, `[192.0.2.1]:25, two.test:25 (lmtp)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.hosts {
            Hosts::Mx { domain, port, then } => {
                write!(f, "mx {domain}:{port}")?;
                if then.is_empty() { Ok(()) } else { write!(f, ", then {}", listed(then)) }?;
            }
            Hosts::Listed(hosts) => f.write_str(&listed(hosts))?,
            Hosts::Literal { ip, port } => write!(f, "{}:{port}", Host::Literal(*ip))?,
            Hosts::Unix(path) => write!(f, "unix:{}", path.display())?,
        }
        match self.protocol {
            Protocol::Esmtp => Ok(()),
            Protocol::Helo => f.write_str(" (helo)"),
            Protocol::Lmtp => f.write_str(" (lmtp)"),
        }
    }
}

fn listed(hosts: &[HostPort]) -> String {
    hosts.iter().map(HostPort::to_string).collect::<Vec<_>>().join(", ")
}
