//! The token of one smart host or domain: handed out while it is good, and what a flight brings.

use super::grant::{self, Gained};
use super::kept::{self, Kept, Stamp};
use super::plan::{Backoff, Span};
use super::provider::NotGranted;
use super::{Token, TokenFault};
use relay::advice::Remedy;
use relay::config::terms::{Grant, OAuthClient, Owner};
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The least age of a token that is replaced because a host has refused it: a new one a moment later would fare no better.
const REPLACED_AFTER: Duration = Duration::from_secs(30);
/// Failures of the provider's own after which the operator is told, when no good token is left.
const ALARM_AFTER: u32 = 4;

/// One owner's token.
pub(super) struct Slot {
    pub(super) owner: Owner,
    pub(super) client: OAuthClient,
    /// The name of its file, without the ending.
    pub(super) stem: String,
    state: Mutex<State>,
    /// Each time a flight has ended, or has found a good token.
    pub(super) landed: Notify,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    backoff: Backoff,
    /// Why the last flight brought nothing.
    fault: Option<TokenFault>,
    /// What the operator has been told to do about it; empty: to wait.
    alarmed: Option<Box<str>>,
    flying: bool,
    /// What the files were like when they were last read.
    seen: Option<Vec<Stamp>>,
    /// What could not be written.
    unwritten: Option<Kept>,
    /// The operator knows that the clocks differ, and that nothing can be kept.
    told_of_clock: bool,
    told_of_disk: bool,
}

struct Held {
    token: Token,
    span: Span,
    /// The host did not take it.
    refused: bool,
}

/// What is to be done for somebody who wants a token.
pub(super) enum Look {
    Have(Token),
    /// The same, and it is time to refresh it.
    HaveAndFly(Token),
    Fly,
    Wait,
    None(TokenFault),
}

/// What a flight's end means for others.
#[derive(Default)]
pub(super) struct Landing {
    /// What the operator has to know.
    pub(super) alarms: Vec<String>,
    /// There is a token again after there was none.
    pub(super) recovered: bool,
}

impl Slot {
    pub(super) fn new(owner: Owner, client: OAuthClient) -> Slot {
        let stem = kept::stem(&owner, &client);
        Slot { owner, client, stem, state: Mutex::default(), landed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is for somebody who wants a token now. Whoever is told to fly must do so.
    pub(super) fn look(&self, now: Timestamp) -> Look {
        let mut state = self.state();
        let good = state.held.as_ref().filter(|held| held.is_good(now));
        let good = good.map(|held| (held.token.clone(), held.span.is_due(now)));
        let may_fly = !state.flying && state.backoff.allows(now);
        let look = match (good, &state.fault) {
            (Some((token, true)), _) if may_fly => Look::HaveAndFly(token),
            (Some((token, _)), _) => Look::Have(token),
            (None, _) if may_fly => Look::Fly,
            (None, Some(fault)) if !state.flying => Look::None(fault.clone()),
            (None, _) => Look::Wait,
        };
        state.flying |= matches!(look, Look::HaveAndFly(_) | Look::Fly);
        look
    }

    /// Is it time to fly though nobody asks? A file that has changed makes it so at once. If so, the caller must.
    pub(super) fn wants_flight(&self, now: Timestamp, stamps: &[Stamp]) -> bool {
        let mut state = self.state();
        if state.flying {
            return false;
        }
        if state.seen.as_deref() != Some(stamps) {
            state.backoff = Backoff::default();
            state.flying = true;
            return true;
        }
        let is_well = state.held.as_ref().is_some_and(|held| held.is_good(now) && !held.span.is_due(now));
        state.flying = !is_well && state.backoff.allows(now);
        state.flying
    }

    /// For somebody who insists on a flight; false while there is one.
    pub(super) fn insist(&self) -> bool {
        !std::mem::replace(&mut self.state().flying, true)
    }

    /// The flight has ended, however.
    pub(super) fn ended(&self) {
        self.state().flying = false;
        self.landed.notify_waiters();
    }

    /// The host did not take this token. Will whoever asks next get another one?
    pub(super) fn refused(&self, token: &Token, now: Timestamp) -> bool {
        let mut state = self.state();
        match state.held.as_mut().filter(|held| held.token.0.equals(token.0.reveal())) {
            Some(held) => {
                held.refused = now >= held.span.from.plus(REPLACED_AFTER);
                held.refused
            }
            None => true,
        }
    }

    /// Why the last flight brought nothing, if the operator was told; and whether a good token is left all the same.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<(TokenFault, bool)> {
        let state = self.state();
        let fault = state.fault.clone().filter(|_| state.alarmed.is_some())?;
        Some((fault, state.held.as_ref().is_some_and(|held| held.is_good(now))))
    }

    /// Until when the token is good, if there is a good one.
    pub(super) fn good_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.state().held.as_ref().filter(|held| held.is_good(now)).map(|held| held.span.to)
    }

    /// The files were found like this, with this token. Is it good for a while, and better than ours?
    pub(super) fn adopt(&self, now: Timestamp, stamps: Vec<Stamp>, kept: Option<(&Secret, Span)>) -> (bool, Landing) {
        let mut state = self.state();
        let before = state.seen.as_ref().and_then(|seen| *seen.first()?);
        let is_gone = before.is_some() && stamps.first() == Some(&None);
        state.seen = Some(stamps);
        if is_gone {
            // Somebody has logged out.
            state.held = None;
        }
        let better = kept.filter(|(token, span)| {
            span.is_good(now)
                && state
                    .held
                    .as_ref()
                    .is_none_or(|held| span.from > held.span.from && !held.token.0.equals(token.reveal()))
        });
        let Some((token, span)) = better else { return (false, Landing::default()) };
        let recovered = state.hold(token.clone(), span);
        drop(state);
        self.landed.notify_waiters();
        (!span.is_due(now), Landing { recovered, ..Landing::default() })
    }

    /// A flight that asked at `began` has brought this.
    pub(super) fn gained(&self, began: Timestamp, gained: &Gained) -> Landing {
        let mut state = self.state();
        let recovered = state.hold(gained.granted.access.clone(), Span::new(began, gained.granted.life));
        let mut alarms = Vec::new();
        match gained.skew {
            Some(seconds) if !state.told_of_clock => {
                state.told_of_clock = true;
                let (by, how) = (seconds.unsigned_abs(), if seconds > 0 { "behind" } else { "ahead of" });
                alarms.push(format!(
                    "The clock of this machine is {by} seconds {how} that of the identity provider of {}. Set it (NTP): \
                     tokens are asked for by the provider's clock meanwhile.",
                    self.owner
                ));
            }
            Some(_) => {}
            None => state.told_of_clock = false,
        }
        Landing { alarms, recovered }
    }

    /// A flight has brought nothing.
    pub(super) fn failed(&self, now: Timestamp, refusal: &NotGranted) -> Landing {
        let fault = self.fault(refusal);
        let mut state = self.state();
        let is_refused = matches!(fault, TokenFault::Refused { .. });
        state.backoff.failed(now, is_refused && !refusal.is_ours, refusal.pause);
        let is_left = state.held.as_ref().is_some_and(|held| held.is_good(now));
        let is_due = is_refused || (!is_left && state.backoff.failures() >= ALARM_AFTER);
        let told: Box<str> = match &fault {
            TokenFault::Refused { advice, .. } => advice.clone(),
            TokenFault::Later { .. } => "".into(),
        };
        let mut alarms = Vec::new();
        // The words may have a time or a number in them: what is to be done says whether it is the same trouble.
        if is_due && state.alarmed.as_ref() != Some(&told) {
            state.alarmed = Some(told);
            let waits =
                if is_left { "Its mail will wait as soon as the token that is there ends." } else { "Its mail waits." };
            alarms.push(format!("The {}: {fault} {waits}", self.owner));
        }
        state.fault = Some(fault);
        Landing { alarms, recovered: false }
    }

    /// What there is to tell if tokens cannot be kept: once.
    pub(super) fn unkept(&self, fault: Option<&str>) -> Option<String> {
        let mut state = self.state();
        let told = std::mem::replace(&mut state.told_of_disk, fault.is_some());
        fault.filter(|_| !told).map(|fault| {
            format!(
                "The tokens of {} cannot be kept: {fault}. They are in memory only; a restart may need a new log-in.",
                self.owner
            )
        })
    }

    /// Why there is no token, for people.
    pub(super) fn fault(&self, refusal: &NotGranted) -> TokenFault {
        let why = refusal.why.clone();
        match refusal.remedy {
            Remedy::Wait => TokenFault::Later { why },
            Remedy::Mend(advice) => TokenFault::Refused { why, advice: advice.into() },
            Remedy::AgreeAgain => {
                let name = match &self.owner {
                    Owner::Server => "",
                    Owner::SmartHost(name) | Owner::Domain(name) => name,
                };
                TokenFault::Refused { why, advice: grant::agree_again(&self.client, name).into() }
            }
        }
    }

    /// The files that a new token may come of; the first one is that of the tokens.
    pub(super) fn files(&self, state: &std::path::Path) -> Vec<PathBuf> {
        let mut files = vec![kept::file(state, &self.stem)];
        let mut secrets = Vec::new();
        match &self.client.grant {
            Grant::ClientSecret(secret) => secrets.push(secret),
            Grant::ClientCertificate { certificate, key } => files.extend([certificate.clone(), key.clone()]),
            Grant::DeviceCode { secret } => secrets.extend(secret),
            Grant::RefreshToken { token, secret } => secrets.extend(std::iter::once(token).chain(secret)),
            Grant::ServiceAccount { file } => files.push(file.clone()),
        }
        files.extend(secrets.into_iter().filter_map(crate::secret::file));
        files.extend(self.client.authorities.clone());
        files
    }

    /// What could not be written to the disk: it is newer than what is there.
    pub(super) fn unwritten(&self) -> Option<Kept> {
        self.state().unwritten.clone()
    }

    pub(super) fn set_unwritten(&self, kept: Option<Kept>) {
        self.state().unwritten = kept;
    }

    /// Our own writing is no change.
    pub(super) fn wrote(&self, stamp: Stamp) {
        if let Some(first) = self.state().seen.as_mut().and_then(|seen| seen.first_mut()) {
            *first = stamp;
        }
    }
}

impl State {
    /// Holds a good token; was there none before?
    fn hold(&mut self, token: Secret, span: Span) -> bool {
        self.held = Some(Held { token: Token(token), span, refused: false });
        self.backoff = Backoff::default();
        self.alarmed = None;
        self.fault.take().is_some()
    }
}

impl Held {
    fn is_good(&self, now: Timestamp) -> bool {
        !self.refused && self.span.is_good(now)
    }
}
