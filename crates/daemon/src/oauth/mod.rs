//! Tokens for the hosts that want OAuth 2.0: obtained, kept, refreshed ahead of their end, and shared by all connections.
//!
//! ```text
//!   outbound ── bearer ──► Tokens ── slot of owner and client ──► a token that is good ──────────► Token
//!                                        │ none, or its end is near
//!                                        ▼
//!                                     flight (one at a time, a task of its own) ── grant ── provider, over https
//! ```
//!
//! Whoever asks gets a good token at once, or waits for the one flight that is under way, which goes on even if nobody waits any more.
//! While the token is good it is refreshed beside the mail, which does not wait. What cannot be obtained
//! is a [`TokenFault`]: the mail of that host waits, that of all others does not. No token is in a log, an error or a debug form.
//!
//! RFC 6749 (OAuth 2.0), RFC 6750 (bearer tokens).

mod fault;
mod grant;
mod plan;
mod provider;
mod slot;

pub use fault::TokenFault;

use crate::clock::Clock;
use crate::log::Log;
use relay::config::terms::{OAuthClient, Owner};
use slot::Slot;
use smtp::sasl::Secret;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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

struct Shared {
    slots: Mutex<Vec<Arc<Slot>>>,
    log: Log,
    clock: Clock,
}

impl Tokens {
    /// None yet.
    #[must_use]
    pub fn new(log: Log, clock: Clock) -> Tokens {
        Tokens { shared: Arc::new(Shared { slots: Mutex::default(), log, clock }) }
    }

    /// A token that is good now. Waits for one to be obtained if need be, for half a minute at most.
    ///
    /// # Errors
    /// There is none, and why. It is not asked for again by each caller: after a failure there is a pause.
    pub async fn bearer(&self, owner: &Owner, client: &OAuthClient) -> Result<Token, TokenFault> {
        slot::bearer(&self.slot(owner, client), &self.shared).await
    }

    /// The host did not take this token: unless a newer one is there already, another one is obtained for whoever asks next.
    pub fn refused(&self, owner: &Owner, token: &Token) {
        let slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.iter().filter(|slot| slot.owner() == owner).for_each(|slot| slot.refused(token, self.shared.clock.now()));
    }

    fn slot(&self, owner: &Owner, client: &OAuthClient) -> Arc<Slot> {
        let mut slots = self.shared.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.iter().find(|slot| slot.owner() == owner && slot.client() == client) {
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
