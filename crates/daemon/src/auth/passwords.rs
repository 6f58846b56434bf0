//! Argon2id, off the threads of the sockets: at most one hash a core at a time, and a bound on how many wait.
//!
//! A name that has no account costs what an account costs: the same function runs with the same cost on a hash that
//! nobody's password has.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::rand;
use relay::account::{Accounts, Cost, PasswordHash};
use smtp::sasl::Secret;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// Passwords that wait to be checked; further ones are told to come back.
pub const PASSWORDS_WAITING_MAX: usize = 256;
/// What a new hash costs: RFC 9106 §4 leaves it to the machine; these are the figures that OWASP recommends.
pub const COST: Cost = Cost { memory: 19_456, passes: 2, lanes: 1 };
const SALT_OCTETS: usize = 16;
const HASH_OCTETS: usize = 32;

/// The place where passwords are checked; one for the whole program, cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    shared: Arc<Shared>,
}

struct Shared {
    cores: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Hashes computed so far.
    runs: AtomicU64,
}

/// The password could not be checked.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NotChecked {
    /// Too many wait already.
    Busy,
    /// The hash cannot be computed: no memory, or the program ends.
    Failed,
}

impl fmt::Display for NotChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NotChecked::Busy => "too many passwords wait to be checked",
            NotChecked::Failed => "the hash cannot be computed",
        })
    }
}

impl std::error::Error for NotChecked {}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
    }
}

impl Passwords {
    /// At most so many hashes at a time.
    #[must_use]
    pub fn new(at_once: usize) -> Passwords {
        let shared = Shared {
            cores: Arc::new(Semaphore::new(at_once.max(1))),
            waiting: AtomicUsize::new(0),
            runs: AtomicU64::new(0),
        };
        Passwords { shared: Arc::new(shared) }
    }

    /// How many hashes have been computed.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.shared.runs.load(Ordering::Relaxed)
    }

    /// Waits for a turn to compute a new hash ([`hash`]), which counts like a check.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn turn(&self) -> Result<Turn, NotChecked> {
        let place = Place::take(&self.shared)?;
        let core = Arc::clone(&self.shared.cores).acquire_owned().await.map_err(|_| NotChecked::Failed)?;
        drop(place);
        self.shared.runs.fetch_add(1, Ordering::Relaxed);
        Ok(Turn(core))
    }

    /// Is this the password? `before` is asked when it is this one's turn; without its leave nothing is computed. Until the
    /// answer's turn is dropped the next one has to wait: so a wrong password can be counted before another is looked at.
    ///
    /// # Errors
    /// The password was not looked at.
    pub async fn check<E>(
        &self,
        hash: PasswordHash,
        password: Secret,
        before: impl FnOnce() -> Result<(), E>,
    ) -> Result<Result<(bool, Turn), E>, NotChecked> {
        let place = Place::take(&self.shared)?;
        let core = Arc::clone(&self.shared.cores).acquire_owned().await.map_err(|_| NotChecked::Failed)?;
        if let Err(refused) = before() {
            return Ok(Err(refused));
        }
        drop(place);
        self.shared.runs.fetch_add(1, Ordering::Relaxed);
        let work = tokio::task::spawn_blocking(move || {
            // A core is taken until the work is done, even if the client has gone meanwhile.
            (is_right(&hash, &password), Turn(core))
        });
        match work.await {
            Ok((Some(right), turn)) => Ok(Ok((right, turn))),
            Ok((None, _)) | Err(_) => Err(NotChecked::Failed),
        }
    }
}

/// The turn of one whose password was looked at; the next one has it when this is dropped.
#[derive(Debug)]
pub struct Turn(#[allow(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

/// A place in the queue, given back however the waiting ends.
struct Place<'a>(&'a Shared);

impl<'a> Place<'a> {
    fn take(shared: &'a Shared) -> Result<Place<'a>, NotChecked> {
        if shared.waiting.fetch_add(1, Ordering::AcqRel) >= PASSWORDS_WAITING_MAX {
            shared.waiting.fetch_sub(1, Ordering::AcqRel);
            return Err(NotChecked::Busy);
        }
        Ok(Place(shared))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

fn is_right(hash: &PasswordHash, password: &Secret) -> Option<bool> {
    let computed = compute(hash.cost(), hash.salt(), password, hash.hash().reveal().len())?;
    Some(hash.hash().equals(&computed))
}

fn compute(cost: Cost, salt: &[u8], password: &Secret, octets: usize) -> Option<Zeroizing<Vec<u8>>> {
    let params = Params::new(cost.memory, cost.passes, cost.lanes, Some(octets)).ok()?;
    let mut out = Zeroizing::new(vec![0; octets]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password.reveal(), salt, &mut out)
        .ok()?;
    Some(out)
}

/// A new hash of a password, with a fresh salt. Takes its time: not for the threads of the sockets.
#[must_use]
pub fn hash(password: &Secret, cost: Cost) -> Option<PasswordHash> {
    let mut salt = [0; SALT_OCTETS];
    rand::fill(&mut salt).ok()?;
    let hash = compute(cost, &salt, password, HASH_OCTETS)?;
    PasswordHash::compose(cost, &salt, &hash)
}

/// A hash that no password has, as dear as those of the accounts: for names that have none.
pub(super) fn nobodys(accounts: &Accounts) -> Option<PasswordHash> {
    let mut costs: BTreeMap<Cost, usize> = BTreeMap::new();
    for hash in accounts.iter().filter_map(|account| account.password.as_ref()) {
        *costs.entry(hash.cost()).or_default() += 1;
    }
    let cost = costs.into_iter().max_by_key(|(_, accounts)| *accounts).map_or(COST, |(cost, _)| cost);
    let (mut salt, mut hash) = ([0; SALT_OCTETS], [0; HASH_OCTETS]);
    rand::fill(&mut salt).ok()?;
    rand::fill(&mut hash).ok()?;
    PasswordHash::compose(cost, &salt, &hash)
}

/// The same where there are no accounts to compare with: as dear as a new one.
#[must_use]
pub fn nobodys_hash() -> Option<PasswordHash> {
    nobodys(&Accounts::new(None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    const CHEAP: Cost = Cost { memory: 8, passes: 1, lanes: 1 };

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn the_function_is_argon2id() {
        // RFC 9106 §5.3 has a secret and associated octets; this one is from the reference program:
        // echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32
        let hash = PasswordHash::parse(
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        )
        .unwrap();
        assert_eq!(is_right(&hash, &secret("password")), Some(true));
        assert_eq!(is_right(&hash, &secret("passwore")), Some(false));
    }

    #[test]
    fn a_new_hash_knows_its_password_and_no_other() {
        let first = hash(&secret("s3cret"), CHEAP).unwrap();
        let second = hash(&secret("s3cret"), CHEAP).unwrap();
        assert_ne!(first.reveal(), second.reveal(), "the salt is fresh");
        assert_eq!(is_right(&first, &secret("s3cret")), Some(true));
        for wrong in ["", "s3cre", "s3cret ", "S3cret"] {
            assert_eq!(is_right(&first, &secret(wrong)), Some(false));
        }
    }

    #[test]
    fn nobodys_hash_costs_what_most_accounts_cost() {
        let mut accounts = Accounts::new(None);
        assert_eq!(nobodys(&accounts).unwrap().cost(), COST);
        for (name, cost) in [("a", CHEAP), ("b", COST), ("c", CHEAP)] {
            let mut account = relay::account::Account::new(name);
            account.password = PasswordHash::compose(cost, &[0; 16], &[0; 32]);
            accounts.put(account);
        }
        assert_eq!(nobodys(&accounts).unwrap().cost(), CHEAP);
    }

    #[tokio::test]
    async fn no_more_wait_than_may() {
        let passwords = Passwords::new(1);
        let hash = hash(&secret("x"), CHEAP).unwrap();
        let core = passwords.shared.cores.acquire().await.unwrap();
        let check = || passwords.check(hash.clone(), secret("x"), || Ok::<(), Infallible>(()));
        let mut waiting: Vec<_> = (0..PASSWORDS_WAITING_MAX).map(|_| Box::pin(check())).collect();
        for one in &mut waiting {
            assert!(futures_poll(one).is_none());
        }
        assert!(matches!(check().await, Err(NotChecked::Busy)));
        waiting.pop();
        assert!(futures_poll(&mut Box::pin(check())).is_none(), "a place was given back");
        drop(core);
        drop(waiting);
        assert!(matches!(check().await, Ok(Ok((true, _)))));
        assert_eq!(passwords.runs(), 1);
    }

    /// Looks once whether it is done.
    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn nothing_is_computed_without_leave() {
        let passwords = Passwords::new(1);
        let hash = hash(&secret("x"), CHEAP).unwrap();
        assert!(matches!(passwords.check(hash, secret("x"), || Err("locked")).await, Ok(Err("locked"))));
        assert_eq!(passwords.runs(), 0);
    }
}
