//! What the DNS says about a domain → the hosts that take its mail, in order, or why there are none.
//!
//! A small machine without sockets: the driver (`daemon::outbound`) brings the MX answer to [`Exchanges::read`], then
//! asks for one group of equally preferred names after the other with [`Exchanges::next`], looks their addresses up,
//! and gets from [`Exchanges::found`] the targets to try. A worse group is looked up only when the better one did not
//! get through, so that the dead name server of a backup host delays nobody.
//!
//! Promises: better preference first, equal ones in random order; at most [`HOSTS_MAX`] names and [`ADDRESSES_MAX`]
//! addresses whatever the answer holds; a host that is this server ends the list (mail must never travel to equally or
//! less preferred hosts from there, RFC 5321 §5.1), so that no mail can go in circles; a server that did not answer is
//! never taken for a domain that does not exist. Chance is an argument, and so is the knowledge of our own addresses.
//!
//! Does not: look anything up, connect, or say what a failure means for the message (`settle`).
//!
//! RFC 5321 §5.1 (MX order, own name, implicit MX), RFC 7505 (null MX), RFC 3463 (status codes).

use crate::envelope::{Failure, FailureKind};
use smtp::address::Domain;
use smtp::reply::EnhancedStatus;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// Names of hosts that are taken from one MX answer, the best ones.
pub const HOSTS_MAX: usize = 20;
/// Addresses that are tried for one domain.
pub const ADDRESSES_MAX: usize = 50;

/// The status of a domain that takes no mail (RFC 7505 §4.2): nobody else will take it either.
pub const TAKES_NO_MAIL: EnhancedStatus = EnhancedStatus(5, 1, 10);

/// Why a look-up brought no record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsFault {
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name exists, without records of this type (NODATA).
    NoRecords,
    /// No usable answer: time-out, SERVFAIL, REFUSED, nonsense. In words.
    Unanswered(Box<str>),
}

/// The records that a look-up brought, at least one; or why there are none.
pub type Answer<T> = Result<Vec<T>, DnsFault>;

/// One MX record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MxRecord {
    /// Lower is better.
    pub preference: u16,
    /// The host's name as the DNS has it, without trailing dot; empty for the root, which means "no mail".
    pub exchange: Box<str>,
}

/// The addresses of one host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// The host.
    pub name: Domain,
    /// Its AAAA records.
    pub v6: Answer<IpAddr>,
    /// Its A records.
    pub v4: Answer<IpAddr>,
}

/// A host to connect to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// Its name in the DNS.
    pub name: Domain,
    /// Its address.
    pub ip: IpAddr,
}

/// The hosts of one domain, best first; see the module.
#[derive(Debug)]
pub struct Exchanges {
    domain: Domain,
    /// Names of equal preference, best group first.
    groups: VecDeque<Vec<Domain>>,
    /// The domain has no MX records: its own address takes the mail.
    implicit: bool,
    addresses_left: usize,
    troubles: Troubles,
}

/// What was met on the way; decides the failure if nobody could be tried.
#[derive(Debug, Default)]
struct Troubles {
    /// A host that is this server: its name.
    ourselves: Option<Domain>,
    /// A name whose addresses could not be looked up now, and why.
    unanswered: Option<(Domain, Box<str>)>,
    /// An address at which no host can be, or at which mail is not sent to one.
    unusable: Option<(Domain, IpAddr)>,
}

impl Exchanges {
    /// Reads the answer to the MX look-up of `domain`. `fqdn` is our own name; `chance(n)` is a random number below `n`.
    ///
    /// # Errors
    /// The domain does not exist (5.1.2), takes no mail (5.1.10), has only MX records that name no host (5.4.4) or
    /// this server (5.4.6), or the DNS did not answer (4.4.3).
    pub fn read(
        domain: &Domain,
        answer: Answer<MxRecord>,
        fqdn: &Domain,
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Exchanges, Failure> {
        let mut exchanges = Exchanges {
            domain: domain.clone(),
            groups: VecDeque::new(),
            implicit: false,
            addresses_left: ADDRESSES_MAX,
            troubles: Troubles::default(),
        };
        match answer {
            Ok(records) => exchanges.take(records, fqdn, chance)?,
            Err(DnsFault::NoRecords) => {
                exchanges.implicit = true;
                exchanges.groups.push_back(vec![domain.clone()]);
            }
            Err(DnsFault::NoSuchName) => return Err(no_such_domain(domain)),
            Err(DnsFault::Unanswered(why)) => return Err(unanswered(domain, &why)),
        }
        if exchanges.groups.is_empty() { Err(exchanges.failure()) } else { Ok(exchanges) }
    }

    fn take(
        &mut self,
        mut records: Vec<MxRecord>,
        fqdn: &Domain,
        chance: &mut dyn FnMut(usize) -> usize,
    ) -> Result<(), Failure> {
        if !records.is_empty() && records.iter().all(|r| is_null(&r.exchange)) {
            return Err(takes_no_mail(&self.domain));
        }
        // Shuffling everything before a stable sort shuffles exactly those that are equal.
        for i in (1..records.len()).rev() {
            records.swap(i, chance(i + 1).min(i));
        }
        records.sort_by_key(|r| r.preference);
        let mut seen: Vec<Domain> = Vec::new();
        let mut preference = None;
        for record in records {
            // A null MX beside others, an IP address as text, octets that no host name has: no host.
            let Ok(name) = Domain::parse(&record.exchange) else { continue };
            if name == *fqdn {
                if preference == Some(record.preference) {
                    self.groups.pop_back();
                }
                self.troubles.ourselves = Some(name);
                break;
            }
            if seen.len() == HOSTS_MAX || seen.contains(&name) {
                continue;
            }
            seen.push(name.clone());
            match self.groups.back_mut() {
                Some(group) if preference == Some(record.preference) => group.push(name),
                _ => self.groups.push_back(vec![name]),
            }
            preference = Some(record.preference);
        }
        Ok(())
    }

    /// The next names to look up: all of one preference, in the order in which to try them. `None`: no more.
    #[expect(clippy::should_implement_trait, reason = "the look-ups between two calls change what follows")]
    pub fn next(&mut self) -> Option<Vec<Domain>> {
        if self.addresses_left == 0 {
            return None;
        }
        self.groups.pop_front()
    }

    /// Are there names that were not asked for yet?
    #[must_use]
    pub fn has_more(&self) -> bool {
        self.addresses_left > 0 && !self.groups.is_empty()
    }

    /// What the look-ups of the names from [`Exchanges::next`] brought → the targets to try now, in order: host after
    /// host, of each the IPv6 and IPv4 addresses in turn. `is_ours` says whether this server listens at an address;
    /// `loopback`, whether the DNS may send us to other servers of this machine.
    pub fn found(&mut self, hosts: Vec<Addresses>, is_ours: &dyn Fn(IpAddr) -> bool, loopback: bool) -> Vec<Target> {
        let mut targets = Vec::new();
        for host in hosts {
            let Addresses { name, v6, v4 } = host;
            for fault in [&v6, &v4].into_iter().filter_map(|answer| answer.as_ref().err()) {
                if let DnsFault::Unanswered(why) = fault {
                    self.troubles.unanswered.get_or_insert((name.clone(), why.clone()));
                }
            }
            for ip in interleave(v6.unwrap_or_default(), v4.unwrap_or_default()) {
                if is_ours(ip) {
                    self.troubles.ourselves = Some(name);
                    self.groups.clear();
                    return Vec::new();
                }
                if is_usable(ip) && !is_link_local(ip) && (loopback || !ip.to_canonical().is_loopback()) {
                    targets.push(Target { name: name.clone(), ip });
                } else {
                    self.troubles.unusable.get_or_insert((name.clone(), ip));
                }
            }
        }
        targets.truncate(self.addresses_left);
        self.addresses_left -= targets.len();
        targets
    }

    /// Why there was nobody to try; for when all groups are through and none brought a target.
    #[must_use]
    pub fn failure(&self) -> Failure {
        let domain = &self.domain;
        // Something that may be different tomorrow goes before anything that is for good.
        if let Some((name, why)) = &self.troubles.unanswered {
            return unanswered(name, why);
        }
        if let Some(name) = &self.troubles.ourselves {
            return dns(
                FailureKind::Loop,
                EnhancedStatus(5, 4, 6),
                format!(
                    "The mail for {domain} would come back to this server: the DNS names {name}, which is this server, \
                     as its mail host, but this server is not set up to take mail for {domain}. Either add the domain \
                     here or correct its MX records."
                ),
            );
        }
        if let Some((name, ip)) = &self.troubles.unusable
            && ip.to_canonical().is_loopback()
        {
            return no_route(format!(
                "The mail host {name} of {domain} has the address {ip}, which is that of whatever machine asks, and this \
                 server sends no mail there (delivery.mx_loopback). Its DNS records need to be corrected."
            ));
        }
        if let Some((name, ip)) = &self.troubles.unusable {
            return no_route(format!(
                "The mail host {name} of {domain} has the address {ip}, at which no host can be. Its DNS records \
                 need to be corrected."
            ));
        }
        if self.implicit {
            return dns(
                FailureKind::Dns,
                EnhancedStatus(5, 1, 2),
                format!("The domain {domain} has no mail host: neither MX nor address records. Check its spelling."),
            );
        }
        no_route(format!("The MX records of {domain} name no host that has an address; they need to be corrected."))
    }
}

fn is_null(exchange: &str) -> bool {
    exchange.is_empty() || exchange == "."
}

/// IPv6 first, then in turn, so that a family that does not work here costs one time-out and not many.
#[must_use]
pub fn interleave(v6: Vec<IpAddr>, v4: Vec<IpAddr>) -> Vec<IpAddr> {
    let mut both = Vec::with_capacity(v6.len() + v4.len());
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    loop {
        let pair = [v6.next(), v4.next()];
        if pair == [None, None] {
            return both;
        }
        both.extend(pair.into_iter().flatten());
    }
}

/// May a host be at this address? Not at "any", a group, or everybody: connecting there would reach this machine or
/// many. (Whoever may write into the DNS of a domain must not make us knock at other doors: of what it names, link-local
/// addresses, where clouds keep their secrets, are never used, and loopback addresses only where `delivery.mx_loopback` says
/// so. Private addresses are those of the sites that use them in their own DNS.)
#[must_use]
pub fn is_usable(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !(ip.octets()[0] == 0 || ip.is_multicast() || ip == Ipv4Addr::BROADCAST),
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_multicast()),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

fn dns(kind: FailureKind, status: EnhancedStatus, text: String) -> Failure {
    Failure { kind, status, host: None, reply: None, text: text.into() }
}

fn no_route(text: String) -> Failure {
    dns(FailureKind::Dns, EnhancedStatus(5, 4, 4), text)
}

/// NXDOMAIN.
fn no_such_domain(domain: &Domain) -> Failure {
    dns(
        FailureKind::Dns,
        EnhancedStatus(5, 1, 2),
        format!("The domain {domain} does not exist. Check the spelling of the address."),
    )
}

/// RFC 7505.
fn takes_no_mail(domain: &Domain) -> Failure {
    dns(
        FailureKind::Dns,
        TAKES_NO_MAIL,
        format!("The domain {domain} takes no mail: its DNS says so with a null MX record."),
    )
}

fn unanswered(name: &Domain, why: &str) -> Failure {
    dns(FailureKind::Dns, EnhancedStatus(4, 4, 3), format!("The DNS gave no answer about {name} ({why})."))
}

/// Why a host that was named without MX look-up (a smart host) has no address.
#[must_use]
pub fn unresolved(host: &Addresses) -> Failure {
    let name = &host.name;
    for fault in [&host.v4, &host.v6].into_iter().filter_map(|answer| answer.as_ref().err()) {
        if let DnsFault::Unanswered(why) = fault {
            return unanswered(name, why);
        }
    }
    // The operator's own setting names a host that is not there: for now, because it is mended here, not by the sender.
    dns(
        FailureKind::Dns,
        EnhancedStatus(4, 4, 4),
        format!("The next host {name} has no address in the DNS. Check its name in this server's settings."),
    )
}

#[cfg(test)]
mod tests;
