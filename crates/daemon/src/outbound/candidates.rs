//! The hosts of a next hop, one after the other: looked up only when it is their turn.
//!
//! Turns a [`NextHop`] into hosts with their addresses, best first, and remembers why each of them did not do. One that did
//! not do a moment ago ([`Cooling`]) is tried last; when it has cooled down it has its place again, so that mail comes back to the
//! first of several hosts. When nobody is
//! left, [`Candidates::failure`] says what to report: something that may work tomorrow before anything that is for good,
//! because one refusal must not return mail which another host will take.
//!
//! After direct delivery the smart hosts have their turn (`smart_host_use = "after_direct"`), also when the DNS knows
//! no such domain, as the old service did it; not when the domain says that it takes no mail, and not when its mail
//! would come back to us. Where a host that DNS names must not have the mail in clear text, the smart hosts do not get it so either:
//! whoever keeps us from the one could otherwise read it on the way to the other.
//!
//! Each comes with the protection that the channel to it must have. A host that must not be used, because what its domain has
//! published about TLS cannot be met, is none.
//!
//! Order and meaning of MX answers: [`relay::route::mx`]. Protection: [`crate::policy`]. Connecting: [`super::reach`].

use super::cooling::Cooling;
use super::ours::is_ours;
use crate::policy::Policies;
use relay::config::{HostPort, Terms};
use relay::envelope::{Failure, FailureKind};
use relay::route::mx::{self, Addresses, Exchanges};
use relay::route::protection::{Located, Protection, waive};
use relay::route::{Hosts, NextHop, Wish};
use smtp::address::{Domain, Host};
use smtp::reply::EnhancedStatus;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// A host to try.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    /// Who it is; `None`: a Unix socket.
    pub host: Option<Host>,
    /// At which port; 0: a Unix socket.
    pub port: u16,
    /// Where it is, in the order in which to try; at least one.
    pub addresses: VecDeque<Address>,
    /// On what terms.
    pub terms: Arc<Terms>,
    /// How the channel must be.
    pub protection: Arc<Protection>,
    /// How it may be where that fails, for mail whose senders waive what is published.
    pub waived: Option<Arc<Protection>>,
}

impl Candidate {
    /// `name [address]:port`, for people.
    pub(super) fn label(&self, address: &Address) -> Box<str> {
        match address {
            Address::Unix(path) => path.display().to_string().into(),
            Address::Ip(address) => label(self.host.as_ref().and_then(Host::domain), *address),
        }
    }

    /// What is remembered when it does not do, for mail with this wish.
    fn keys(&self, wish: Wish) -> Keys {
        let host: Box<str> = match (&self.host, self.addresses.front()) {
            (Some(host), _) => format!("{host}:{}", self.port).into(),
            (None, Some(address)) => self.label(address),
            (None, None) => Box::default(),
        };
        Keys { on_terms: format!("{host} {} {wish:?}", self.terms.owner).into(), host }
    }
}

/// By what a host is remembered that did not do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Keys {
    /// For everybody: who it is, at which port.
    pub host: Box<str>,
    /// For mail with the same wish on the same terms: what TLS or the log-on lacks may be no lack for others.
    pub on_terms: Box<str>,
}

/// How the channel to a host must be.
#[derive(Clone, Debug)]
struct Guarded {
    protection: Arc<Protection>,
    /// See [`Candidate::waived`].
    waived: Option<Arc<Protection>>,
}

impl Guarded {
    fn by_terms(terms: &Terms, host: &Host) -> Guarded {
        Guarded { protection: Arc::new(Protection::of_terms(terms.tls, host)), waived: None }
    }

    /// Never in clear text, whatever the terms.
    fn never_in_clear(self) -> Guarded {
        let protection = Arc::unwrap_or_clone(self.protection).never_in_clear();
        Guarded { protection: Arc::new(protection), waived: None }
    }

    /// As what is published has it; `waives`: as far as that works.
    fn by(
        published: Result<Protection, Failure>,
        waives: bool,
        (terms, host, located): (&Terms, &Host, &Located),
    ) -> Result<Guarded, Failure> {
        let (protection, waived) = match waives {
            false => (published?, None),
            true => waive(published, terms.tls, host, located)?,
        };
        Ok(Guarded { protection: Arc::new(protection), waived: waived.map(Arc::new) })
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Address {
    Ip(SocketAddr),
    Unix(PathBuf),
}

impl Address {
    /// `None`: a Unix socket.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self {
            Address::Ip(address) => Some(address.ip()),
            Address::Unix(_) => None,
        }
    }
}

/// Who we are, so that mail is not sent to ourselves, and what we heed.
#[derive(Debug)]
pub(super) struct Own<'a> {
    pub fqdn: &'a Domain,
    pub listeners: &'a [SocketAddr],
    /// What domains publish by MTA-STS.
    pub mta_sts: bool,
    /// Mail hosts on this machine, where the DNS names such.
    pub mx_loopback: bool,
}

/// See the module.
pub(super) struct Candidates<'a> {
    policies: &'a Policies,
    terms: &'a Arc<Terms>,
    /// Those of the listed hosts.
    listed_terms: &'a Arc<Terms>,
    wish: Wish,
    /// What is published about TLS holds nothing up.
    waives: bool,
    /// A host that DNS names must not have the mail in clear text.
    never_in_clear: bool,
    own: Own<'a>,
    direct: Option<Direct<'a>>,
    listed: VecDeque<&'a HostPort>,
    ready: VecDeque<Candidate>,
    cooling: &'a Cooling,
    /// Those that did not do a moment ago.
    postponed: VecDeque<Candidate>,
    failures: Vec<Failure>,
}

/// Direct delivery: the MX records of a domain.
struct Direct<'a> {
    domain: &'a Domain,
    port: u16,
    /// `None` until the MX records have been asked for.
    exchanges: Option<(Exchanges, Located)>,
    /// A host came out of it.
    tried: bool,
}

impl<'a> Candidates<'a> {
    pub(super) fn of(hop: &'a NextHop, policies: &'a Policies, cooling: &'a Cooling, own: Own<'a>) -> Candidates<'a> {
        let mut candidates = Candidates {
            policies,
            terms: &hop.terms,
            listed_terms: hop.then_terms.as_ref().unwrap_or(&hop.terms),
            wish: hop.wish,
            waives: hop.wish == Wish::Arrival,
            never_in_clear: false,
            own,
            direct: None,
            listed: VecDeque::new(),
            ready: VecDeque::new(),
            cooling,
            postponed: VecDeque::new(),
            failures: Vec::new(),
        };
        match &hop.hosts {
            Hosts::Mx { domain, port, then } => {
                candidates.direct = Some(Direct { domain, port: *port, exchanges: None, tried: false });
                candidates.listed = then.iter().collect();
            }
            Hosts::Listed(hosts) => candidates.listed = hosts.iter().collect(),
            Hosts::Literal { ip, port } => candidates.literal(*ip, *port),
            Hosts::Unix(path) => {
                // A socket of this machine bears this machine's name.
                let host = Host::Name(candidates.own.fqdn.clone());
                let Guarded { protection, waived } = Guarded::by_terms(&hop.terms, &host);
                let addresses = VecDeque::from([Address::Unix(path.clone())]);
                let terms = hop.terms.clone();
                candidates.ready.push_back(Candidate { host: None, port: 0, addresses, terms, protection, waived });
            }
        }
        candidates
    }

    /// The next one to try.
    pub(super) async fn next(&mut self) -> Option<Candidate> {
        loop {
            if let Some(candidate) = self.ready.pop_front() {
                let keys = self.keys(&candidate);
                if !self.cooling.is_hot(&keys.host) && !self.cooling.is_hot(&keys.on_terms) {
                    return Some(candidate);
                }
                self.postponed.push_back(candidate);
            } else if self.direct.is_some() {
                self.look_up_direct().await;
            } else if let Some(host) = self.listed.pop_front() {
                self.look_up_listed(host).await;
            } else {
                return self.postponed.pop_front();
            }
        }
    }

    /// By what it is remembered if it does not do.
    pub(super) fn keys(&self, candidate: &Candidate) -> Keys {
        candidate.keys(self.wish)
    }

    /// May there be others after this one? Then no long time is spent on it.
    pub(super) fn has_more(&self) -> bool {
        !self.ready.is_empty()
            || !self.postponed.is_empty()
            || !self.listed.is_empty()
            || self.direct.as_ref().and_then(|d| d.exchanges.as_ref()).is_some_and(|(hosts, _)| hosts.has_more())
    }

    /// The last one did not do.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    /// Why each of those did not do that did not.
    pub(super) fn failures(self) -> Vec<Failure> {
        self.failures
    }

    /// Why nobody was reached.
    pub(super) fn failure(mut self) -> Failure {
        // Trouble with a log-on or with TLS is somebody's to mend, and says more than what another host did not do either.
        let of_kind = |kind| self.failures.iter().rposition(|failure| failure.kind == kind);
        let mendable = of_kind(FailureKind::Auth).or_else(|| of_kind(FailureKind::Tls));
        let lasting = mendable.or_else(|| self.failures.iter().rposition(|failure| !failure.is_permanent()));
        match lasting.or(self.failures.len().checked_sub(1)) {
            Some(at) => self.failures.swap_remove(at),
            // A list without hosts; the settings allow none.
            None => local_trouble("There is no host to send this to. Check the route in this server's settings."),
        }
    }

    async fn look_up_direct(&mut self) {
        let Some(mut direct) = self.direct.take() else { return };
        let (mut exchanges, located) = match direct.exchanges.take() {
            Some(exchanges) => exchanges,
            None => {
                let (answer, located) = self.policies.resolver().mx(direct.domain).await;
                match Exchanges::read(direct.domain, answer, self.own.fqdn, &mut |n| fastrand::usize(..n)) {
                    Ok(exchanges) => (exchanges, located),
                    Err(failure) => return self.give_up_direct(failure),
                }
            }
        };
        let Some(names) = exchanges.next() else {
            if !direct.tried {
                self.give_up_direct(exchanges.failure());
            }
            return;
        };
        let (hosts, mut protections) = self.look_up_group(names, &located, direct.port).await;
        let is_strict = |found: &Result<Guarded, Failure>| match found {
            Ok(guarded) => !guarded.protection.allows_clear_text(),
            Err(failure) => failure.kind == FailureKind::Tls,
        };
        self.never_in_clear |= !self.waives && protections.values().any(is_strict);
        let (listeners, port) = (self.own.listeners, direct.port);
        let is_ours = |ip| is_ours(listeners, SocketAddr::new(ip, port));
        for target in exchanges.found(hosts, &is_ours, self.own.mx_loopback) {
            direct.tried = true;
            let address = SocketAddr::new(target.ip, port);
            match protections.get(&target.name) {
                Some(Ok(guarded)) => {
                    let (terms, guarded) = (Arc::clone(self.terms), guarded.clone());
                    self.add(Host::Name(target.name), address, terms, &guarded);
                }
                // Said once, whatever the number of its addresses.
                _ => self.failures.extend(protections.remove(&target.name).and_then(Result::err)),
            }
        }
        direct.exchanges = Some((exchanges, located));
        self.direct = Some(direct);
    }

    /// The addresses of equally preferred hosts, and how each must be protected, all asked for at the same time.
    async fn look_up_group(
        &self,
        names: Vec<Domain>,
        located: &Located,
        port: u16,
    ) -> (Vec<Addresses>, HashMap<Domain, Result<Guarded, Failure>>) {
        let mut hosts = Vec::with_capacity(names.len());
        let mut asked = tokio::task::JoinSet::new();
        for (at, name) in names.into_iter().enumerate() {
            let (policies, terms, located) = (self.policies.clone(), Arc::clone(self.terms), located.clone());
            let (mta_sts, waives) = (self.own.mta_sts, self.waives);
            asked.spawn(async move {
                let host = Host::Name(name.clone());
                let (addresses, protection) = tokio::join!(
                    policies.resolver().addresses(&name),
                    policies.protect(&terms, mta_sts, &located, &host, port)
                );
                (at, addresses, (name, Guarded::by(protection, waives, (&terms, &host, &located))))
            });
        }
        while let Some(answer) = asked.join_next().await {
            hosts.extend(answer.ok());
        }
        hosts.sort_by_key(|(at, ..)| *at);
        hosts.into_iter().map(|(_, addresses, protection)| (addresses, protection)).unzip()
    }

    fn give_up_direct(&mut self, failure: Failure) {
        let is_final = failure.kind == FailureKind::Loop || failure.status == mx::TAKES_NO_MAIL;
        if is_final {
            self.listed.clear();
        }
        self.failures.push(failure);
    }

    async fn look_up_listed(&mut self, host: &HostPort) {
        let name = match &host.host {
            Host::Literal(ip) => return self.literal(*ip, host.port),
            Host::Name(name) => name,
        };
        let (addresses, protection) = tokio::join!(
            self.policies.resolver().listed_addresses(name),
            self.policies.protect(self.listed_terms, self.own.mta_sts, &Located::Settings, &host.host, host.port)
        );
        let about = (&**self.listed_terms, &host.host, &Located::Settings);
        let guarded = match Guarded::by(protection, self.waives, about) {
            Ok(guarded) => guarded,
            Err(failure) => return self.failures.push(failure),
        };
        let failure = mx::unresolved(&addresses);
        let ips = mx::interleave(addresses.v6.unwrap_or_default(), addresses.v4.unwrap_or_default());
        if ips.is_empty() {
            self.failures.push(failure);
        }
        for ip in ips.into_iter().take(mx::ADDRESSES_MAX) {
            self.push(&host.host, SocketAddr::new(ip, host.port), &guarded);
        }
    }

    fn literal(&mut self, ip: IpAddr, port: u16) {
        let host = Host::Literal(ip);
        let guarded = Guarded::by_terms(self.listed_terms, &host);
        self.push(&host, SocketAddr::new(ip, port), &guarded);
    }

    /// One more address, behind the others of the same host.
    fn add(&mut self, host: Host, address: SocketAddr, terms: Arc<Terms>, guarded: &Guarded) {
        let (port, address) = (address.port(), Address::Ip(address));
        match self.ready.back_mut() {
            Some(last) if last.host.as_ref() == Some(&host) && last.port == port => last.addresses.push_back(address),
            _ => {
                let (host, Guarded { protection, waived }) = (Some(host), guarded.clone());
                let addresses = VecDeque::from([address]);
                self.ready.push_back(Candidate { host, port, addresses, terms, protection, waived });
            }
        }
    }

    fn push(&mut self, host: &Host, address: SocketAddr, guarded: &Guarded) {
        let label = label(host.domain(), address);
        if is_ours(self.own.listeners, address) {
            self.failures.push(loops(&label));
        } else if mx::is_usable(address.ip()) {
            let guarded = if self.never_in_clear { guarded.clone().never_in_clear() } else { guarded.clone() };
            self.add(host.clone(), address, Arc::clone(self.listed_terms), &guarded);
        } else {
            self.failures.push(unusable(&label));
        }
    }
}

fn label(name: Option<&Domain>, address: SocketAddr) -> Box<str> {
    let (ip, port) = (address.ip(), address.port());
    match name {
        Some(name) => format!("{name} [{ip}]:{port}").into(),
        None => format!("[{ip}]:{port}").into(),
    }
}

/// Threats D9: found before a single octet is sent.
pub(super) fn loops(label: &str) -> Failure {
    Failure {
        kind: FailureKind::Loop,
        status: EnhancedStatus(5, 4, 6),
        host: Some(label.into()),
        reply: None,
        text: format!(
            "The message would come back to this server: the next hop {label} is this server itself, or bears its name. Check the \
             route and the smart host in its settings; two servers need two names (delivery.fqdn)."
        )
        .into(),
    }
}

fn unusable(label: &str) -> Failure {
    Failure {
        kind: FailureKind::Dns,
        status: EnhancedStatus(5, 4, 4),
        host: Some(label.into()),
        reply: None,
        text: format!("No host can be at the address {label}.").into(),
    }
}

fn local_trouble(text: &str) -> Failure {
    Failure { kind: FailureKind::Local, status: EnhancedStatus(4, 3, 5), host: None, reply: None, text: text.into() }
}
