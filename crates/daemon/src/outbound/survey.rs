//! The hosts of a next hop as a delivery would meet them, for somebody who asks: in order, with their addresses, and how the
//! channel to each must be.
//!
//! Walks along the same [`super::candidates`] as a delivery, to their end, so that the two cannot disagree. Sends no mail.

use super::candidates::{Address, Candidate, Candidates, Own};
use super::cooling::Cooling;
use super::probe::Probe;
use crate::policy::{Findings, Policies};
use relay::config::{Terms, VirtualServer};
use relay::envelope::Failure;
use relay::route::protection::{Located, Protection};
use relay::route::{Hosts, NextHop};
use smtp::address::{Domain, Host};
use std::net::SocketAddr;
use std::sync::Arc;

/// What was found.
#[derive(Debug)]
pub struct Survey {
    /// How far the MX records are proven; `None`: nobody asks for them.
    pub mx: Option<Located>,
    /// Those that would be tried, in order. (Of equal ones the order is another each time.)
    pub stops: Vec<Stop>,
    /// What was found about those with a name, each once, and about those that are not used.
    pub findings: Vec<(Domain, Findings)>,
    /// Why the others are not tried.
    pub failures: Vec<Failure>,
}

/// One address.
#[derive(Debug)]
pub struct Stop {
    /// `name [address]:port`.
    pub label: Box<str>,
    /// The host's name.
    pub name: Option<Domain>,
    /// How the channel must be.
    pub protection: Arc<Protection>,
    /// What it said, once it was asked ([`super::probe`]).
    pub probe: Option<Probe>,
    pub(super) candidate: Arc<Candidate>,
    pub(super) address: Address,
}

/// Looks all hosts up.
pub async fn survey(server: &VirtualServer, hop: &NextHop, policies: &Policies) -> Survey {
    let listeners: Vec<SocketAddr> = server.general.addresses().collect();
    let delivery = &server.delivery;
    let own = Own {
        fqdn: &delivery.fqdn,
        listeners: &listeners,
        mta_sts: delivery.mta_sts,
        mx_loopback: delivery.mx_loopback,
    };
    let cooling = Cooling::default();
    let mut candidates = Candidates::of(hop, policies, &cooling, own);
    let mut stops = Vec::new();
    while let Some(candidate) = candidates.next().await {
        let candidate = Arc::new(candidate);
        let name = candidate.host.as_ref().and_then(Host::domain);
        stops.extend(candidate.addresses.iter().map(|address| Stop {
            label: candidate.label(address),
            name: name.cloned(),
            protection: Arc::clone(&candidate.protection),
            probe: None,
            candidate: Arc::clone(&candidate),
            address: address.clone(),
        }));
    }
    let failures = candidates.failures();
    let mx = match &hop.hosts {
        // The answer is in the cache.
        Hosts::Mx { domain, .. } => Some(policies.resolver().mx(domain).await.1),
        _ => None,
    };
    let mut findings: Vec<(Domain, Findings)> = Vec::new();
    let refused = failures.iter().filter_map(|failure| Domain::parse(failure.host.as_deref()?).ok());
    for name in stops.iter().filter_map(|stop| stop.name.clone()).chain(refused) {
        if findings.iter().all(|(known, _)| *known != name) {
            let (located, port, terms) = place(hop, &name, mx.as_ref());
            let found = policies.look(terms, delivery.mta_sts, located, &Host::Name(name.clone()), port).await;
            findings.push((name, found));
        }
    }
    Survey { mx, stops, findings, failures }
}

/// How we know of a host, its port, and on what terms it gets mail.
fn place<'a>(hop: &'a NextHop, name: &Domain, mx: Option<&'a Located>) -> (&'a Located, u16, &'a Arc<Terms>) {
    const SETTINGS: &Located = &Located::Settings;
    let (listed, terms_of_listed) = match &hop.hosts {
        Hosts::Mx { then, .. } => (then, hop.then_terms.as_ref().unwrap_or(&hop.terms)),
        Hosts::Listed(hosts) => (hosts, &hop.terms),
        Hosts::Literal { port, .. } => return (SETTINGS, *port, &hop.terms),
        Hosts::Unix(_) => return (SETTINGS, 0, &hop.terms),
    };
    if let Some(host) = listed.iter().find(|host| host.host.domain() == Some(name)) {
        return (SETTINGS, host.port, terms_of_listed);
    }
    match (&hop.hosts, mx) {
        (Hosts::Mx { port, .. }, Some(located)) => (located, *port, &hop.terms),
        _ => (SETTINGS, 0, &hop.terms),
    }
}
