//! Tokens for the hosts that want OAuth 2.0: obtained, kept, refreshed ahead of their end, and shared by all connections.
//!
//! ```text
//!   outbound ── bearer ──► Tokens ── slot of owner and client ──► a good token
//!                                        │ none, or its end is near         ▲
//!                                        ▼                                  │
//!                 flight, one at a time: kept ── grant ── provider ── kept ─┘
//!                                        ▲ (file)         (https)    (file)
//!                 keeper ────────────────┘ every two seconds: is one due, has a file changed?
//! ```
//!
//! Whoever asks gets a good token at once, or waits for the one [`flight`] that is under way, which goes on even if nobody waits any
//! more. While the token is good it is refreshed beside the mail, which does not wait. What cannot be obtained
//! is a [`TokenFault`]: the mail of that host waits, that of all others does not, and the operator is told what to do.
//! Tokens are kept under the state folder ([`kept`]), for restarts and for `mailroot oauth`. No token is in a log, an error or
//! a debug form.
//!
//! RFC 6749 (OAuth 2.0), RFC 6750 (bearer tokens).

mod assertion;
mod device;
mod fault;
mod flight;
mod grant;
mod keeper;
mod kept;
mod plan;
mod provider;
mod slot;
mod status;
#[cfg(test)]
mod tests;

pub use device::{LoginPrompt, log_in};
pub use fault::TokenFault;
pub use status::{Status, facts, log_out, status};

use crate::clock::Clock;
use crate::log::Log;
use relay::config::terms::{OAuthClient, Owner, Terms};
use relay::config::{ClientAuth, Config};
use slot::{Landing, Slot};
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// An access token. Its value is in no debug form.
#[derive(Clone)]
pub struct Token(Secret);

impl Token {
    /// Its value, for XOAUTH2 and OAUTHBEARER.
    #[must_use]
    pub fn secret(&self) -> &Secret {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The tokens of this process. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct Tokens {
    shared: Arc<Shared>,
}

/// Is told whose tokens are good again; whether it wants to hear of the next ones.
type Hearer = Box<dyn Fn(&Owner) -> bool + Send + Sync>;

/// Whose tokens a configuration wants, and how they are obtained: those of smart hosts, then those of each virtual server.
#[must_use]
pub fn wanted(config: &Config) -> Vec<(Owner, OAuthClient)> {
    let mut wanted: Vec<(Owner, OAuthClient)> = Vec::new();
    for (owner, client) in config.terms().filter_map(|terms| client(terms)) {
        if !wanted.iter().any(|(other, theirs)| *other == owner && *theirs == *client) {
            wanted.push((owner, client.clone()));
        }
    }
    wanted
}

fn client(terms: &Terms) -> Option<(Owner, &OAuthClient)> {
    match &terms.auth {
        Some(ClientAuth::OAuth(client)) => Some((terms.owner.clone(), client)),
        _ => None,
    }
}

struct Shared {
    state: Mutex<PathBuf>,
    slots: Mutex<Vec<Arc<Slot>>>,
    hearers: Mutex<Vec<Hearer>>,
    /// Whom the hearers are told of once more with the keeper's next look: they may have learned of the trouble after its end.
    again: Mutex<Vec<Owner>>,
    is_kept: AtomicBool,
    log: Log,
    clock: Clock,
}

impl Tokens {
    /// Those that are kept under this state folder. Nothing is read or asked yet.
    #[must_use]
    pub fn new(state: &Path, log: Log, clock: Clock) -> Tokens {
        let shared = Shared {
            state: Mutex::new(state.to_owned()),
            slots: Mutex::default(),
            hearers: Mutex::default(),
            again: Mutex::default(),
            is_kept: AtomicBool::new(false),
            log,
            clock,
        };
        Tokens { shared: Arc::new(shared) }
    }

    /// From now on these are wanted, and no others: they are obtained and refreshed though no mail asks for them. To be called
    /// on the runtime.
    pub fn configure(&self, state: &Path, wanted: &[(Owner, OAuthClient)]) {
        let moved = std::mem::replace(&mut *lock(&self.shared.state), state.to_owned()) != state;
        lock(&self.shared.slots).retain(|slot| {
            !moved && wanted.iter().any(|(owner, client)| slot.owner == *owner && slot.client == *client)
        });
        for (owner, client) in wanted {
            self.slot(owner, client);
        }
        if !wanted.is_empty() && !self.shared.is_kept.swap(true, Ordering::Relaxed) {
            tokio::spawn(keeper::keep(Arc::downgrade(&self.shared)));
        }
    }

    /// Will be told whose tokens are good again, after there were none; until it answers no.
    pub fn tell(&self, hearer: impl Fn(&Owner) -> bool + Send + Sync + 'static) {
        lock(&self.shared.hearers).push(Box::new(hearer));
    }

    /// A token that is good now. Waits for one to be obtained if need be, a minute at the most.
    ///
    /// # Errors
    /// There is none, and why. After a failure there is a pause in which the provider is not asked: then this
    /// answers at once.
    pub async fn bearer(&self, owner: &Owner, client: &OAuthClient) -> Result<Token, TokenFault> {
        flight::bearer(&self.slot(owner, client), &self.shared).await
    }

    /// A token that was obtained just now, and until when it is good; for `mailroot oauth test`.
    ///
    /// # Errors
    /// There is none, and why.
    pub async fn anew(&self, owner: &Owner, client: &OAuthClient) -> Result<(Token, Timestamp), TokenFault> {
        let slot = self.slot(owner, client);
        let token = flight::anew(&slot, &self.shared).await?;
        let now = self.shared.clock.now();
        Ok((token, slot.good_until(now).unwrap_or(now)))
    }

    /// The host did not take this token: unless a newer one is there already, or it is a new one itself, another one is obtained for
    /// whoever asks next. Is it worth asking?
    pub fn refused(&self, owner: &Owner, token: &Token) -> bool {
        let now = self.shared.clock.now();
        let slots = self.shared.slots();
        // All of them are told.
        let answers: Vec<bool> =
            slots.iter().filter(|slot| slot.owner == *owner).map(|slot| slot.refused(token, now)).collect();
        answers.contains(&true)
    }

    /// Those who get no token, of which the operator was told: why, and whether a good one is left.
    #[must_use]
    pub fn troubles(&self) -> Vec<(Owner, TokenFault, bool)> {
        let now = self.shared.clock.now();
        let slots = self.shared.slots();
        slots
            .iter()
            .filter_map(|slot| slot.trouble(now).map(|(fault, left)| (slot.owner.clone(), fault, left)))
            .collect()
    }

    fn slot(&self, owner: &Owner, client: &OAuthClient) -> Arc<Slot> {
        let mut slots = lock(&self.shared.slots);
        if let Some(slot) = slots.iter().find(|slot| slot.owner == *owner && slot.client == *client) {
            return Arc::clone(slot);
        }
        let slot = Arc::new(Slot::new(owner.clone(), client.clone()));
        slots.push(Arc::clone(&slot));
        slot
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Shared {
    fn folder(&self) -> PathBuf {
        lock(&self.state).clone()
    }

    fn slots(&self) -> Vec<Arc<Slot>> {
        lock(&self.slots).clone()
    }

    fn alarm(&self, text: Option<String>) {
        text.into_iter().for_each(|text| self.log.alarm(text));
    }

    /// Passes on what a flight's end means for others.
    fn land(&self, slot: &Slot, landing: Landing) {
        landing.alarms.into_iter().for_each(|text| self.log.alarm(text));
        if landing.recovered {
            self.tell(&slot.owner);
            lock(&self.again).push(slot.owner.clone());
        }
    }

    fn tell(&self, owner: &Owner) {
        lock(&self.hearers).retain(|hearer| hearer(owner));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
