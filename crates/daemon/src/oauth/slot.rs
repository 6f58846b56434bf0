//! The token of one smart host or domain: handed out while it is good, refreshed ahead of its end by one flight at a time.

use super::plan::{Backoff, Span};
use super::provider::{Granted, NotGranted};
use super::{Shared, Token, TokenFault, grant};
use relay::config::terms::{OAuthClient, Owner};
use smtp::time::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The least time between the tokens that a host has refused: a new one a moment later would fare no better.
const REPLACED_AFTER: Duration = Duration::from_secs(30);
/// Failures of the provider's own after which the operator is told, when no good token is left.
const ALARM_AFTER: u32 = 4;

/// One owner's token.
pub(super) struct Slot {
    owner: Owner,
    client: OAuthClient,
    state: Mutex<State>,
    /// Each time a flight has ended.
    landed: Notify,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    backoff: Backoff,
    /// Why the last flight brought nothing.
    fault: Option<TokenFault>,
    /// The advice that the operator has been given about it; empty: to wait.
    alarmed: Option<Box<str>>,
    flying: bool,
}

struct Held {
    token: Token,
    span: Span,
    /// The host did not take it.
    refused: bool,
}

/// What is to be done for somebody who wants a token.
enum Look {
    Have(Token),
    /// The same, and it is time to refresh it.
    HaveAndFly(Token),
    Fly,
    Wait,
    None(TokenFault),
}

impl Slot {
    pub(super) fn new(owner: Owner, client: OAuthClient) -> Slot {
        Slot { owner, client, state: Mutex::default(), landed: Notify::new() }
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn client(&self) -> &OAuthClient {
        &self.client
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The host did not take this token.
    pub(super) fn refused(&self, token: &Token, now: Timestamp) {
        let mut state = self.state();
        if let Some(held) = state.held.as_mut().filter(|held| held.token.0.equals(token.0.reveal())) {
            held.refused = now >= held.span.from.plus(REPLACED_AFTER);
        }
    }

    /// What is there; if that is to fly, whoever asked has to see to it.
    fn look(&self, now: Timestamp) -> Look {
        let mut state = self.state();
        let good = state.held.as_ref().filter(|held| !held.refused && held.span.is_good(now));
        let good = good.map(|held| (held.token.clone(), held.span.is_due(now)));
        let may_fly = !state.flying && state.backoff.allows(now);
        let look = match (good, &state.fault) {
            (Some((token, true)), _) if may_fly => Look::HaveAndFly(token),
            (Some((token, _)), _) => Look::Have(token),
            (None, _) if may_fly => Look::Fly,
            (None, Some(fault)) if !state.flying => Look::None(fault.clone()),
            (None, _) => Look::Wait,
        };
        state.flying |= may_fly && matches!(look, Look::HaveAndFly(_) | Look::Fly);
        look
    }

    /// A flight has ended.
    fn land(&self, shared: &Shared, began: Timestamp, outcome: Result<Granted, NotGranted>) {
        let now = shared.clock.now();
        let mut state = self.state();
        match outcome {
            Ok(granted) => {
                let span = Span::new(began, granted.life);
                let held = Some(Held { token: Token(granted.access), span, refused: false });
                *state = State { held, flying: state.flying, ..State::default() };
            }
            Err(NotGranted { why, advice, pause, .. }) => {
                state.backoff.failed(now, advice.is_some(), pause);
                let is_left = state.held.as_ref().is_some_and(|held| !held.refused && held.span.is_good(now));
                let is_due = advice.is_some() || (!is_left && state.backoff.failures() >= ALARM_AFTER);
                let told = advice.clone().unwrap_or_default();
                let fault = match advice {
                    Some(advice) => TokenFault::Refused { why, advice },
                    None => TokenFault::Later { why },
                };
                // The words may have a time in them, or a number: what is to be done says whether it is the same trouble.
                if is_due && state.alarmed.as_ref() != Some(&told) {
                    state.alarmed = Some(told);
                    let waits = if is_left { "will wait when the token that is there ends" } else { "waits" };
                    shared.log.alarm(format!("{}: {fault} Its mail {waits}.", self.owner));
                }
                state.fault = Some(fault);
            }
        }
    }
}

/// A good token, or why there is none.
pub(super) async fn bearer(slot: &Arc<Slot>, shared: &Arc<Shared>) -> Result<Token, TokenFault> {
    loop {
        let mut landed = std::pin::pin!(slot.landed.notified());
        landed.as_mut().enable();
        match slot.look(shared.clock.now()) {
            Look::Have(token) => return Ok(token),
            Look::HaveAndFly(token) => {
                fly(slot, shared);
                return Ok(token);
            }
            Look::None(fault) => return Err(fault),
            Look::Fly => fly(slot, shared),
            Look::Wait => {}
        }
        landed.await;
    }
}

/// Says, however the flight ends, that it has ended.
struct Flight(Arc<Slot>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.state().flying = false;
        self.0.landed.notify_waiters();
    }
}

/// A task of its own: whoever waited for it may give up, what it brings is kept.
fn fly(slot: &Arc<Slot>, shared: &Arc<Shared>) {
    let (flight, shared) = (Flight(Arc::clone(slot)), Arc::clone(shared));
    tokio::spawn(async move {
        let began = shared.clock.now();
        let outcome = grant::obtain(&flight.0.client).await;
        flight.0.land(&shared, began, outcome);
    });
}
