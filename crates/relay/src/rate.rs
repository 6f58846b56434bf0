//! How often one address, one network or one account may come: connections, connections at a time, messages.
//!
//! A rate of `60/min` means 60 at once, and then one more for each second that has passed (a generic cell rate algorithm: for
//! each key one instant is kept, at which it would have its whole allowance again). Who asks too often loses nothing by it: a
//! refused one is not counted. Either all limits that apply take an event, or none counts it.
//!
//! Memory is bounded: of each kind at most [`KEYS_MAX`] keys are kept. Beyond that the one which would have its whole
//! allowance again soonest is forgotten, and so gets it at once: whoever fills the table up with fresh addresses pushes out those
//! who came least, never those who are over their limit. Connections at a time are as many keys as there are connections.
//!
//! Peers of the relay list are not counted by connections ([`crate::gate::is_listed`]): a mail server or a web farm may open
//! many. Knows no clock; an instant that goes back forgives, and never shuts anybody out.

use crate::config::{Rate, RateLimits};
use smtp::reply::Reply;
use smtp::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::IpAddr;

/// Addresses, networks or accounts of one limit that are kept in mind.
pub const KEYS_MAX: usize = 50_000;

/// A limit that was reached.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Limit {
    /// `access.rate.connections_per_address`
    ConnectionsPerAddress,
    /// `access.rate.connections_per_network`
    ConnectionsPerNetwork,
    /// `access.rate.connections_at_once_per_address`
    ConnectionsAtOncePerAddress,
    /// `access.rate.messages_per_address`
    MessagesPerAddress,
    /// `access.rate.messages_per_network`
    MessagesPerNetwork,
    /// `access.rate.messages_per_account`
    MessagesPerAccount,
}

impl Limit {
    /// The setting's name, for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Limit::ConnectionsPerAddress => "access.rate.connections_per_address",
            Limit::ConnectionsPerNetwork => "access.rate.connections_per_network",
            Limit::ConnectionsAtOncePerAddress => "access.rate.connections_at_once_per_address",
            Limit::MessagesPerAddress => "access.rate.messages_per_address",
            Limit::MessagesPerNetwork => "access.rate.messages_per_network",
            Limit::MessagesPerAccount => "access.rate.messages_per_account",
        }
    }

    /// What whoever reached it is told: 421 for a connection, 450 for a message.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Limit::ConnectionsPerAddress | Limit::ConnectionsPerNetwork => {
                Reply::new(421, 7, 0, "Too many connections from your network in a short time; try again later")
            }
            Limit::ConnectionsAtOncePerAddress => {
                Reply::new(421, 7, 0, "Too many connections from your address are open; close some and try again")
            }
            Limit::MessagesPerAddress | Limit::MessagesPerNetwork => {
                Reply::new(450, 7, 1, "Too many messages from your network in a short time; try again later")
            }
            Limit::MessagesPerAccount => {
                Reply::new(450, 7, 1, "Too many messages of your account in a short time; try again later")
            }
        }
    }
}

/// Who has come how often, for one virtual server.
#[derive(Debug)]
pub struct Rates {
    limits: RateLimits,
    connections_per_address: Counts<Origin>,
    connections_per_network: Counts<Origin>,
    messages_per_address: Counts<Origin>,
    messages_per_network: Counts<Origin>,
    messages_per_account: Counts<Box<str>>,
    at_once: HashMap<Origin, u32>,
    /// Those whose names are being asked for.
    waiting: HashMap<Origin, u32>,
}

impl Rates {
    /// Nobody has come yet.
    #[must_use]
    pub fn new(limits: RateLimits) -> Rates {
        Rates {
            limits,
            connections_per_address: Counts::default(),
            connections_per_network: Counts::default(),
            messages_per_address: Counts::default(),
            messages_per_network: Counts::default(),
            messages_per_account: Counts::default(),
            at_once: HashMap::new(),
            waiting: HashMap::new(),
        }
    }

    /// Other limits from now on; what was counted stays.
    pub fn set_limits(&mut self, limits: RateLimits) {
        self.limits = limits;
    }

    /// A connection of somebody who is not on the relay list. Each one that was taken must be [`Rates::closed`].
    ///
    /// # Errors
    /// The limit that is reached; nothing was counted then.
    pub fn connected(&mut self, address: IpAddr, now: Timestamp) -> Result<(), Limit> {
        let (host, network) = (Origin::host(address), Origin::network(address));
        let limits = self.limits;
        let open = self.at_once.get(&host).copied().unwrap_or(0);
        if limits.connections_at_once_per_address.is_some_and(|most| open >= most) {
            return Err(Limit::ConnectionsAtOncePerAddress);
        }
        let by_address = self.connections_per_address.next(&host, limits.connections_per_address, now);
        let by_network = self.connections_per_network.next(&network, limits.connections_per_network, now);
        let by_address = by_address.ok_or(Limit::ConnectionsPerAddress)?;
        let by_network = by_network.ok_or(Limit::ConnectionsPerNetwork)?;
        self.connections_per_address.set(host, by_address);
        self.connections_per_network.set(network, by_network);
        *self.at_once.entry(host).or_insert(0) += 1;
        Ok(())
    }

    /// A connection that was taken is closed.
    pub fn closed(&mut self, address: IpAddr) {
        leave(&mut self.at_once, address);
    }

    /// A connection of somebody whose name must be asked for before he is judged: until then nobody knows whether he counts, so
    /// those who wait have a count of their own. Whoever holds his answers back must not fill the house with it. Each one
    /// that was taken must be told of by [`Rates::waited`].
    ///
    /// # Errors
    /// The limit that is reached; nothing was counted then.
    pub fn waits(&mut self, address: IpAddr) -> Result<(), Limit> {
        let waiting = self.waiting.entry(Origin::host(address)).or_insert(0);
        if self.limits.connections_at_once_per_address.is_some_and(|most| *waiting >= most) {
            return Err(Limit::ConnectionsAtOncePerAddress);
        }
        *waiting += 1;
        Ok(())
    }

    /// Somebody who waited is judged, or gone.
    pub fn waited(&mut self, address: IpAddr) {
        leave(&mut self.waiting, address);
    }

    /// A message that somebody begins (MAIL), with his account if he has authenticated.
    ///
    /// # Errors
    /// The limit that is reached; nothing was counted then.
    pub fn message(&mut self, address: IpAddr, account: Option<&str>, now: Timestamp) -> Result<(), Limit> {
        let (host, network) = (Origin::host(address), Origin::network(address));
        let limits = self.limits;
        let by_address = self.messages_per_address.next(&host, limits.messages_per_address, now);
        let by_network = self.messages_per_network.next(&network, limits.messages_per_network, now);
        let account: Option<Box<str>> = account.map(|account| account.to_lowercase().into());
        let by_account =
            account.as_ref().map(|account| self.messages_per_account.next(account, limits.messages_per_account, now));
        let by_address = by_address.ok_or(Limit::MessagesPerAddress)?;
        let by_network = by_network.ok_or(Limit::MessagesPerNetwork)?;
        if by_account == Some(None) {
            return Err(Limit::MessagesPerAccount);
        }
        self.messages_per_address.set(host, by_address);
        self.messages_per_network.set(network, by_network);
        if let (Some(account), Some(Some(free))) = (account, by_account) {
            self.messages_per_account.set(account, free);
        }
        Ok(())
    }
}

fn leave(crowd: &mut HashMap<Origin, u32>, address: IpAddr) {
    let host = Origin::host(address);
    if let Some(open) = crowd.get_mut(&host) {
        *open = open.saturating_sub(1);
        if *open == 0 {
            crowd.remove(&host);
        }
    }
}

/// An address without the bits that do not count; IPv4 as IPv6 writes it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Origin(u128);

impl Origin {
    /// An IPv4 address, or an IPv6 /64: what a single machine has.
    fn host(address: IpAddr) -> Origin {
        Origin::masked(address, 0, 64)
    }

    /// An IPv4 /24, or an IPv6 /48: what a single customer has.
    fn network(address: IpAddr) -> Origin {
        Origin::masked(address, 8, 80)
    }

    fn masked(address: IpAddr, v4_bits: u32, v6_bits: u32) -> Origin {
        let (bits, free) = match address.to_canonical() {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), v4_bits),
            IpAddr::V6(v6) => (v6.to_bits(), v6_bits),
        };
        Origin(bits >> free << free)
    }
}

/// For each key the instant (microseconds) at which it has its whole allowance again. A key that is missing has it.
#[derive(Debug)]
struct Counts<K> {
    full_at: HashMap<K, i64>,
    /// The same, soonest first.
    order: BTreeSet<(i64, K)>,
}

impl<K> Default for Counts<K> {
    fn default() -> Counts<K> {
        Counts { full_at: HashMap::new(), order: BTreeSet::new() }
    }
}

impl<K: Clone + Ord + Hash> Counts<K> {
    /// When the key would have its whole allowance again if it took one more now; `None`: it may not. Without a rate it
    /// has it at any time.
    fn next(&self, key: &K, rate: Option<Rate>, now: Timestamp) -> Option<i64> {
        let Some(rate) = rate else { return Some(i64::MIN) };
        let now = now.0.saturating_mul(1_000);
        let period = i64::try_from(rate.period.as_micros()).unwrap_or(i64::MAX);
        let each = (period / i64::from(rate.count.max(1))).max(1);
        let most = now.saturating_add(period);
        // What is further off than a period, a clock that went back or an earlier rate has left behind.
        let full_at = self.full_at.get(key).copied().filter(|full_at| *full_at <= most).unwrap_or(now);
        let next = full_at.max(now).saturating_add(each);
        (next <= most).then_some(next)
    }

    fn set(&mut self, key: K, full_at: i64) {
        if full_at == i64::MIN {
            return;
        }
        if let Some(before) = self.full_at.insert(key.clone(), full_at) {
            self.order.remove(&(before, key.clone()));
        }
        self.order.insert((full_at, key));
        while self.full_at.len() > KEYS_MAX {
            let Some((_, key)) = self.order.pop_first() else { break };
            self.full_at.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    fn rate(count: u32, seconds: u64) -> Option<Rate> {
        Some(Rate { count, period: Duration::from_secs(seconds) })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn so_many_at_once_and_then_one_by_one() {
        let limits = RateLimits { connections_per_address: rate(60, 60), ..RateLimits::default() };
        let mut rates = Rates::new(limits);
        let taken = |rates: &mut Rates, now| (0..100).filter(|_| rates.connected(ip("192.0.2.1"), now).is_ok()).count();
        assert_eq!(taken(&mut rates, Timestamp(1_000_000)), 60);
        assert_eq!(rates.connected(ip("192.0.2.1"), Timestamp(1_000_999)), Err(Limit::ConnectionsPerAddress));
        assert_eq!(taken(&mut rates, Timestamp(1_001_000)), 1, "one for each second");
        assert_eq!(taken(&mut rates, Timestamp(1_011_000)), 10);
        assert_eq!(taken(&mut rates, Timestamp(9_000_000)), 60, "never more than the whole allowance");
        assert!(rates.connected(ip("192.0.2.2"), Timestamp(9_000_000)).is_ok(), "others are not concerned");
        assert_eq!(rates.connected(ip("::ffff:192.0.2.1"), Timestamp(9_000_000)), Err(Limit::ConnectionsPerAddress));
    }

    #[test]
    fn ipv6_counts_by_64_and_networks_together() {
        let limits = RateLimits {
            connections_per_address: rate(2, 60),
            connections_per_network: rate(3, 60),
            ..RateLimits::default()
        };
        let mut rates = Rates::new(limits);
        let now = Timestamp(0);
        assert_eq!(rates.connected(ip("2001:db8::1"), now), Ok(()));
        assert_eq!(rates.connected(ip("2001:db8::ffff:2"), now), Ok(()));
        assert_eq!(rates.connected(ip("2001:db8::3"), now), Err(Limit::ConnectionsPerAddress));
        assert_eq!(rates.connected(ip("2001:db8:0:1::1"), now), Ok(()));
        assert_eq!(rates.connected(ip("2001:db8:0:2::1"), now), Err(Limit::ConnectionsPerNetwork));
        assert_eq!(rates.connected(ip("2001:db8:1::1"), now), Ok(()));
        let mut rates = Rates::new(limits);
        for last in 1..=3 {
            assert_eq!(rates.connected(Ipv4Addr::new(192, 0, 2, last).into(), now), Ok(()));
        }
        assert_eq!(rates.connected(ip("192.0.2.4"), now), Err(Limit::ConnectionsPerNetwork));
        assert_eq!(rates.connected(ip("192.0.3.4"), now), Ok(()));
    }

    #[test]
    fn connections_at_a_time_are_given_back() {
        let limits = RateLimits { connections_at_once_per_address: Some(2), ..RateLimits::default() };
        let mut rates = Rates::new(limits);
        let (peer, now) = (ip("192.0.2.1"), Timestamp(0));
        assert_eq!([(); 3].map(|()| rates.connected(peer, now).is_ok()), [true, true, false]);
        rates.closed(peer);
        assert_eq!(rates.connected(peer, now), Ok(()));
        assert_eq!(rates.connected(peer, now), Err(Limit::ConnectionsAtOncePerAddress));
        rates.closed(peer);
        rates.closed(peer);
        rates.closed(peer);
        assert!(rates.at_once.is_empty(), "nothing is left behind");
    }

    #[test]
    fn those_who_wait_for_their_names_are_bounded_by_themselves() {
        let limits = RateLimits { connections_at_once_per_address: Some(2), ..RateLimits::default() };
        let mut rates = Rates::new(limits);
        let (peer, now) = (ip("192.0.2.1"), Timestamp(0));
        assert_eq!([(); 3].map(|()| rates.waits(peer).is_ok()), [true, true, false]);
        assert!(rates.waits(ip("192.0.2.2")).is_ok(), "others are not concerned");
        assert_eq!(rates.connected(peer, now), Ok(()), "they count once more when they are judged");
        rates.waited(peer);
        assert_eq!(rates.waits(peer), Ok(()));
        for peer in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
            rates.waited(ip(peer));
        }
        assert!(rates.waiting.is_empty(), "nothing is left behind");
    }

    #[test]
    fn a_refused_message_counts_nowhere() {
        let limits = RateLimits {
            messages_per_address: rate(10, 60),
            messages_per_account: rate(1, 60),
            ..RateLimits::default()
        };
        let mut rates = Rates::new(limits);
        let (peer, now) = (ip("192.0.2.1"), Timestamp(0));
        assert_eq!(rates.message(peer, Some("Anna"), now), Ok(()));
        for _ in 0..20 {
            assert_eq!(rates.message(peer, Some("anna"), now), Err(Limit::MessagesPerAccount));
        }
        let taken = (0..20).filter(|_| rates.message(peer, None, now).is_ok()).count();
        assert_eq!(taken, 9, "the address has its other nine");
        assert_eq!(rates.message(ip("192.0.2.2"), Some("ANNA"), now), Err(Limit::MessagesPerAccount));
    }

    #[test]
    fn a_clock_that_goes_back_shuts_nobody_out() {
        let mut rates = Rates::new(RateLimits { messages_per_address: rate(1, 60), ..RateLimits::default() });
        let peer = ip("192.0.2.1");
        assert_eq!(rates.message(peer, None, Timestamp(1_000_000_000)), Ok(()));
        assert!(rates.message(peer, None, Timestamp(1_000_000_001)).is_err());
        assert_eq!(rates.message(peer, None, Timestamp(0)), Ok(()));
        assert!(rates.message(peer, None, Timestamp(1)).is_err());
        // Nor does a rate for a longer time that was in force before.
        let mut rates = Rates::new(RateLimits { messages_per_address: rate(1, 86_400), ..RateLimits::default() });
        assert_eq!(rates.message(peer, None, Timestamp(0)), Ok(()));
        rates.set_limits(RateLimits { messages_per_address: rate(1, 60), ..RateLimits::default() });
        assert_eq!(rates.message(peer, None, Timestamp(1_000)), Ok(()));
        assert!(rates.message(peer, None, Timestamp(2_000)).is_err());
    }

    #[test]
    fn memory_is_bounded_and_the_heaviest_are_remembered() {
        let limits = RateLimits { messages_per_address: rate(3, 86_400), ..RateLimits::default() };
        let mut rates = Rates::new(limits);
        let heavy = ip("203.0.113.1");
        let now = Timestamp(0);
        for _ in 0..3 {
            assert_eq!(rates.message(heavy, None, now), Ok(()));
        }
        for n in 0..2 * KEYS_MAX as u128 {
            let flood = Ipv6Addr::from(0x2001_0db8 << 96 | n << 64);
            assert_eq!(rates.message(flood.into(), None, now), Ok(()));
        }
        assert_eq!(rates.messages_per_address.full_at.len(), KEYS_MAX);
        assert_eq!(rates.messages_per_address.order.len(), KEYS_MAX);
        assert_eq!(rates.message(heavy, None, now), Err(Limit::MessagesPerAddress), "nobody is washed out by a flood");
    }

    #[test]
    fn each_limit_has_its_setting_and_a_reply_that_may_be_tried_again() {
        use Limit::*;
        for limit in [
            ConnectionsPerAddress,
            ConnectionsPerNetwork,
            ConnectionsAtOncePerAddress,
            MessagesPerAddress,
            MessagesPerNetwork,
            MessagesPerAccount,
        ] {
            assert!(crate::config::settings::ALL.iter().any(|setting| setting.name == limit.name()), "{limit:?}");
            let wanted = if limit.name().contains("connections") { 421 } else { 450 };
            assert_eq!(limit.reply().code, wanted);
        }
    }
}
