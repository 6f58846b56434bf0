//! How often one may guess: wrong passwords are counted for each account and each network, answers to guessers become
//! slow, and too many wrong ones shut the account, or the network, for a while.
//!
//! Counted are names, not accounts: a name that does not exist is locked like one that does, so that a lock tells
//! nothing. A network is one IPv4 address or an IPv6 /64. A right password clears the account's count. Where an account has
//! logged on before, only its own wrong passwords from that very network lock it: neither what strangers guess from
//! elsewhere, nor a printer with an old password behind the same address, keeps its owner out.
//!
//! Memory is bounded ([`COUNTED_MAX`], [`FAMILIAR_MAX`]): whoever fills it up pushes out counts that would have ended
//! soonest, locks last. Knows no clock and no password: [`Lockout::check`] before a proof is looked at, and then
//! [`Lockout::right`] or [`Lockout::wrong`].

use super::AccountKey;
use smtp::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// Names and networks whose wrong passwords are remembered.
pub const COUNTED_MAX: usize = 20_000;
/// Pairs of an account and a network from which it has logged on.
pub const FAMILIAR_MAX: usize = 20_000;
/// The longest that an answer to a guesser is held back.
pub const DELAY_MAX: Duration = Duration::from_secs(8);
/// The answer to the first wrong password; each further one doubles it.
const DELAY_FIRST: Duration = Duration::from_millis(500);
/// For how long a network from which an account has logged on is familiar.
const FAMILIAR_FOR: Duration = Duration::from_secs(30 * 24 * 3_600);

/// `lockout = { after = 5, for = "15 min" }`
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct LockoutRule {
    /// Wrong passwords in a row until the lock.
    pub after: u32,
    /// How long it lasts, and how long a wrong password counts.
    pub lasts: Duration,
}

/// What is locked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Locked {
    /// The account, or a name that is none.
    Account,
    /// The client's network.
    Network,
}

/// What a wrong password brings.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Penalty {
    /// How long to hold the answer back.
    pub delay: Duration,
    /// What became locked by this one, and until when.
    pub locked: Option<(Locked, Timestamp)>,
}

/// An IPv4 address or an IPv6 /64.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PeerNetwork(IpAddr);

impl PeerNetwork {
    /// The network of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> PeerNetwork {
        match address.to_canonical() {
            IpAddr::V4(v4) => PeerNetwork(IpAddr::V4(v4)),
            IpAddr::V6(v6) => PeerNetwork(IpAddr::V6(Ipv6Addr::from(u128::from(v6) >> 64 << 64))),
        }
    }
}

impl std::fmt::Display for PeerNetwork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
enum Counted {
    Account(AccountKey),
    /// An account from a network that is familiar to it.
    Familiar(AccountKey, PeerNetwork),
    Network(PeerNetwork),
}

#[derive(Copy, Clone, Debug)]
struct Count {
    wrong: u32,
    /// When it is forgotten, and the lock (if it is one) ends.
    ends: Timestamp,
}

/// Counts of wrong passwords.
#[derive(Debug)]
pub struct Lockout {
    rule: LockoutRule,
    counts: Expiring<Counted, Count>,
    familiar: Expiring<(AccountKey, PeerNetwork), ()>,
}

impl Lockout {
    /// Nobody has guessed yet.
    #[must_use]
    pub fn new(rule: LockoutRule) -> Lockout {
        Lockout { rule, counts: Expiring::new(COUNTED_MAX), familiar: Expiring::new(FAMILIAR_MAX) }
    }

    /// Another rule from now on; what was counted stays.
    pub fn set_rule(&mut self, rule: LockoutRule) {
        self.rule = rule;
    }

    /// May a proof for this account from this network be looked at?
    ///
    /// # Errors
    /// What is locked, and until when.
    pub fn check(&mut self, account: &AccountKey, from: IpAddr, now: Timestamp) -> Result<(), (Locked, Timestamp)> {
        let network = PeerNetwork::of(from);
        self.counts.expire(now);
        self.familiar.expire(now);
        let of_account = self.of_account(account, network);
        let is_familiar = matches!(of_account, Counted::Familiar(..));
        let locks = [(Counted::Network(network), Locked::Network), (of_account, Locked::Account)];
        for (counted, what) in locks.into_iter().skip(usize::from(is_familiar)) {
            match self.counts.get(&counted) {
                Some(count) if count.wrong >= self.rule.after => return Err((what, count.ends)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The proof was right.
    pub fn right(&mut self, account: &AccountKey, from: IpAddr, now: Timestamp) {
        let network = PeerNetwork::of(from);
        self.counts.remove(&self.of_account(account, network));
        // The network's count stays: one right password among a thousand wrong ones is a guesser who has an account.
        self.familiar.put((account.clone(), network), (), (false, now.plus(FAMILIAR_FOR)));
    }

    /// The proof was wrong, or the account is none.
    pub fn wrong(&mut self, account: &AccountKey, from: IpAddr, now: Timestamp) -> Penalty {
        self.counts.expire(now);
        let of_account = self.of_account(account, PeerNetwork::of(from));
        self.penalty(Some(of_account), from, now)
    }

    /// Something was wrong that is no guess at an account's password (a token that has expired, a certificate without an account): it
    /// counts for the network alone, or it would lock out the account's owner.
    pub fn wrong_from(&mut self, from: IpAddr, now: Timestamp) -> Penalty {
        self.counts.expire(now);
        self.penalty(None, from, now)
    }

    fn penalty(&mut self, of_account: Option<Counted>, from: IpAddr, now: Timestamp) -> Penalty {
        let of_account = of_account.map(|counted| self.count(counted, now));
        let of_network = self.count(Counted::Network(PeerNetwork::of(from)), now);
        let wrong = of_network.wrong.max(of_account.map_or(0, |count| count.wrong));
        let newly = |count: &Count| count.wrong == self.rule.after;
        let locked = match of_account.filter(newly) {
            _ if newly(&of_network) => Some((Locked::Network, of_network.ends)),
            Some(count) => Some((Locked::Account, count.ends)),
            None => None,
        };
        let delay = DELAY_FIRST.saturating_mul(1 << wrong.saturating_sub(1).min(10)).min(DELAY_MAX);
        Penalty { delay, locked }
    }

    fn of_account(&self, account: &AccountKey, network: PeerNetwork) -> Counted {
        if self.familiar.get(&(account.clone(), network)).is_some() {
            Counted::Familiar(account.clone(), network)
        } else {
            Counted::Account(account.clone())
        }
    }

    fn count(&mut self, counted: Counted, now: Timestamp) -> Count {
        let wrong = self.counts.get(&counted).map_or(0, |count| count.wrong).saturating_add(1);
        let count = Count { wrong, ends: now.plus(self.rule.lasts) };
        self.counts.put(counted, count, (wrong >= self.rule.after, count.ends));
        count
    }
}

/// When an entry is forgotten, and whether it is worth keeping: those that are go last when room is needed.
type Rank = (bool, Timestamp);

/// A map that forgets: what has expired at once, and what comes first in rank when it is full.
#[derive(Debug)]
struct Expiring<K, V> {
    most: usize,
    entries: HashMap<K, (V, Rank)>,
    /// By time, those that are not worth keeping and those that are.
    order: [BTreeSet<(Timestamp, K)>; 2],
}

impl<K: Clone + Ord + Hash, V> Expiring<K, V> {
    fn new(most: usize) -> Expiring<K, V> {
        Expiring { most, entries: HashMap::new(), order: [BTreeSet::new(), BTreeSet::new()] }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(value, _)| value)
    }

    fn remove(&mut self, key: &K) {
        if let Some((_, (worth, ends))) = self.entries.remove(key) {
            self.order[usize::from(worth)].remove(&(ends, key.clone()));
        }
    }

    fn put(&mut self, key: K, value: V, rank: Rank) {
        self.remove(&key);
        while self.entries.len() >= self.most {
            let [first, last] = &mut self.order;
            let Some((_, pushed_out)) = first.pop_first().or_else(|| last.pop_first()) else { break };
            self.entries.remove(&pushed_out);
        }
        self.order[usize::from(rank.0)].insert((rank.1, key.clone()));
        self.entries.insert(key, (value, rank));
    }

    fn expire(&mut self, now: Timestamp) {
        for order in &mut self.order {
            while let Some((ends, _)) = order.first()
                && *ends <= now
                && let Some((_, key)) = order.pop_first()
            {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: LockoutRule = LockoutRule { after: 5, lasts: Duration::from_secs(900) };
    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const AWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

    fn key(name: &str) -> AccountKey {
        AccountKey::new(name, None)
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000).plus(Duration::from_secs(seconds))
    }

    /// An address of its own for each guess.
    fn stranger(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    #[test]
    fn an_account_is_locked_after_so_many_and_for_so_long() {
        let mut lockout = Lockout::new(RULE);
        for n in 0..5 {
            assert_eq!(lockout.check(&key("alice"), stranger(n), at(0)), Ok(()), "{n}");
            let penalty = lockout.wrong(&key("alice"), stranger(n), at(0));
            assert_eq!(penalty.locked, (n == 4).then_some((Locked::Account, at(900))), "{n}");
        }
        assert_eq!(lockout.check(&key("alice"), stranger(9), at(899)), Err((Locked::Account, at(900))));
        assert_eq!(lockout.check(&key("bob"), stranger(9), at(899)), Ok(()));
        assert_eq!(lockout.check(&key("alice"), stranger(9), at(900)), Ok(()));
    }

    #[test]
    fn a_network_is_locked_whatever_names_it_tries() {
        let mut lockout = Lockout::new(RULE);
        for n in 0..5 {
            let penalty = lockout.wrong(&key(&format!("user{n}")), HOME, at(0));
            assert_eq!(penalty.locked, (n == 4).then_some((Locked::Network, at(900))));
        }
        assert_eq!(lockout.check(&key("fresh"), HOME, at(1)), Err((Locked::Network, at(900))));
        assert_eq!(lockout.check(&key("fresh"), AWAY, at(1)), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_a_64_and_a_mapped_address_is_ipv4() {
        let mut lockout = Lockout::new(RULE);
        for n in 0..5 {
            lockout.wrong(&key(&n.to_string()), format!("2001:db8:1:2::{n}").parse().unwrap(), at(0));
        }
        assert!(lockout.check(&key("x"), "2001:db8:1:2:ffff::1".parse().unwrap(), at(1)).is_err());
        assert!(lockout.check(&key("x"), "2001:db8:1:3::1".parse().unwrap(), at(1)).is_ok());
        assert_eq!(PeerNetwork::of("::ffff:192.0.2.1".parse().unwrap()), PeerNetwork::of(HOME));
        assert_eq!(PeerNetwork::of("2001:db8:1:2:3::4".parse().unwrap()).to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn a_right_password_clears_the_accounts_count_and_not_the_networks() {
        let mut lockout = Lockout::new(RULE);
        for _ in 0..4 {
            lockout.wrong(&key("alice"), HOME, at(0));
        }
        lockout.right(&key("alice"), HOME, at(1));
        assert_eq!(lockout.wrong(&key("alice"), HOME, at(1)).locked, Some((Locked::Network, at(901))));
        assert!(lockout.check(&key("alice"), AWAY, at(2)).is_ok());
    }

    #[test]
    fn a_stranger_cannot_keep_the_owner_out() {
        let mut lockout = Lockout::new(RULE);
        lockout.right(&key("alice"), HOME, at(0));
        for n in 0..1_000 {
            lockout.wrong(&key("alice"), stranger(n), at(u64::from(n)));
        }
        assert!(lockout.check(&key("alice"), AWAY, at(1_000)).is_err());
        assert_eq!(lockout.check(&key("alice"), HOME, at(1_000)), Ok(()));
        // Nor does a device behind the same address that has an old password …
        for _ in 0..9 {
            lockout.wrong(&key("printer"), HOME, at(1_000));
        }
        assert!(lockout.check(&key("bob"), HOME, at(1_000)).is_err());
        assert_eq!(lockout.check(&key("alice"), HOME, at(1_000)), Ok(()));
        // … but the owner may not guess for ever at home either.
        for _ in 0..5 {
            lockout.wrong(&key("alice"), HOME, at(1_000));
        }
        assert!(lockout.check(&key("alice"), HOME, at(1_001)).is_err());
    }

    #[test]
    fn what_is_no_guess_counts_for_the_network_alone() {
        let mut lockout = Lockout::new(RULE);
        for n in 0..5 {
            assert_eq!(lockout.wrong_from(HOME, at(0)).locked, (n == 4).then_some((Locked::Network, at(900))));
        }
        assert!(lockout.check(&key("alice"), HOME, at(1)).is_err());
        assert!(lockout.check(&key("alice"), AWAY, at(1)).is_ok());
    }

    #[test]
    fn a_wrong_password_of_long_ago_does_not_count() {
        let mut lockout = Lockout::new(RULE);
        for n in 0..20 {
            assert_eq!(lockout.wrong(&key("alice"), HOME, at(n * 900)).locked, None, "{n}");
        }
    }

    #[test]
    fn answers_become_slower_up_to_a_bound() {
        let mut lockout = Lockout::new(LockoutRule { after: 100, ..RULE });
        let delays: Vec<u128> = (0..7).map(|_| lockout.wrong(&key("a"), HOME, at(0)).delay.as_millis()).collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        // A fresh name from the same network is not answered faster.
        assert_eq!(lockout.wrong(&key("b"), HOME, at(0)).delay, DELAY_MAX);
    }

    #[test]
    fn memory_is_bounded_and_locks_go_last() {
        let mut lockout = Lockout::new(RULE);
        for n in 0..5 {
            lockout.wrong(&key("alice"), stranger(n), at(0));
        }
        for n in 0..30_000 {
            lockout.wrong(&key(&format!("n{n}")), stranger(100 + n), at(1));
            lockout.right(&key(&format!("n{n}")), stranger(100 + n), at(1));
        }
        let ordered = |lockout: &Lockout| lockout.counts.order.iter().map(BTreeSet::len).sum::<usize>();
        assert!(lockout.counts.entries.len() <= COUNTED_MAX && ordered(&lockout) == lockout.counts.entries.len());
        assert!(lockout.familiar.entries.len() <= FAMILIAR_MAX);
        assert!(lockout.check(&key("alice"), AWAY, at(2)).is_err(), "the lock was pushed out");
        assert!(lockout.check(&key("alice"), AWAY, at(900)).is_ok());
        lockout.check(&key("x"), AWAY, at(902)).unwrap();
        assert!(lockout.counts.entries.is_empty() && ordered(&lockout) == 0);
    }
}
