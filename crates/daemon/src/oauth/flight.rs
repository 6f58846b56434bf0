//! A flight: from the file of an owner's tokens to the identity provider and back, one at a time for each owner.
//!
//! ```text
//!   claim ── read what is kept ──► good, and newer than ours? ── held, done
//!                                      │ no
//!                                      ▼
//!                              ask the provider ── keep it ── held
//! ```
//!
//! It is a task of its own, so that what a provider has given is kept even when whoever waited has gone. A new refresh token is on
//! the disk before its access token is handed out. Where the disk is of no use, tokens live in memory, and the operator is told.

use super::kept::{self, Claim, Kept, Stamp};
use super::plan::Span;
use super::provider::NotGranted;
use super::slot::{Look, Slot};
use super::{Shared, Token, TokenFault, grant};
use relay::config::terms::Grant;
use std::sync::Arc;

/// A good token, or why there is none. Flies if need be.
pub(super) async fn bearer(slot: &Arc<Slot>, shared: &Arc<Shared>) -> Result<Token, TokenFault> {
    loop {
        let mut landed = std::pin::pin!(slot.landed.notified());
        landed.as_mut().enable();
        match slot.look(shared.clock.now()) {
            Look::Have(token) => return Ok(token),
            Look::HaveAndFly(token) => {
                begin(slot, shared);
                return Ok(token);
            }
            Look::None(fault) => return Err(fault),
            Look::Fly => begin(slot, shared),
            Look::Wait => {}
        }
        landed.await;
    }
}

/// A token that was obtained just now, whatever there is; until when it is good.
pub(super) async fn anew(slot: &Arc<Slot>, shared: &Arc<Shared>) -> Result<Token, TokenFault> {
    loop {
        let mut landed = std::pin::pin!(slot.landed.notified());
        landed.as_mut().enable();
        if slot.insist() {
            break;
        }
        landed.await;
    }
    let flight = Flight { slot: Arc::clone(slot), shared: Arc::clone(shared) };
    let outcome = fly(slot, shared, true).await;
    drop(flight);
    match outcome {
        Ok(()) => bearer(slot, shared).await,
        Err(refusal) => Err(slot.fault(&refusal)),
    }
}

/// Says, however the flight ends, that it has ended.
struct Flight {
    slot: Arc<Slot>,
    shared: Arc<Shared>,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Not to be tried again at once, for ever.
            let refusal = NotGranted::passing("None could be obtained, by a fault in Mailroot itself.".to_owned());
            self.slot.failed(self.shared.clock.now(), &refusal);
        }
        self.slot.ended();
    }
}

/// Begins a flight for which the slot has given leave.
pub(super) fn begin(slot: &Arc<Slot>, shared: &Arc<Shared>) {
    let flight = Flight { slot: Arc::clone(slot), shared: Arc::clone(shared) };
    tokio::spawn(async move {
        let Flight { slot, shared } = &flight;
        if let Err(refusal) = fly(slot, shared, false).await {
            shared.land(slot, slot.failed(shared.clock.now(), &refusal));
        }
    });
}

async fn fly(slot: &Arc<Slot>, shared: &Arc<Shared>, anew: bool) -> Result<(), NotGranted> {
    let state = shared.folder();
    let claim = match Claim::wait(&state, &slot.stem, &slot.owner).await {
        Ok(claim) => Some(claim),
        Err(fault) if needs_no_memory(&slot.client.grant) || slot.unwritten().is_some() => {
            shared.alarm(slot.unkept(Some(&fault.to_string())));
            None
        }
        Err(fault) => return Err(unkeepable(&fault.to_string())),
    };
    let files = slot.files(&state);
    let found = grant::on_the_disk(move || {
        // First what they are like, then what is in them: a change in between is seen later.
        let stamps: Vec<Stamp> = files.iter().map(|file| kept::stamp(file)).collect();
        (stamps, kept::read(&files[0]))
    });
    let (stamps, kept) = found.await?;
    let kept = match kept {
        Ok(kept) => slot.unwritten().unwrap_or(kept),
        Err(_) if claim.is_none() => slot.unwritten().unwrap_or_default(),
        Err(fault) => return Err(unkeepable(&fault.to_string())),
    };
    let now = shared.clock.now();
    let access = kept.access.as_ref().map(|(token, span)| (token, *span));
    let (is_enough, landing) = slot.adopt(now, stamps, access);
    shared.land(slot, landing);
    if is_enough && !anew {
        return Ok(());
    }
    let gained = grant::obtain(&slot.client, &kept, now).await?;
    let span = Span::new(now, gained.granted.life);
    if !span.is_good(shared.clock.now()) {
        let why = format!("{} gives a token that has ended already.", slot.client.token_endpoint);
        return Err(NotGranted::passing(why));
    }
    let new = Kept {
        access: Some((gained.granted.access.clone(), span)),
        refresh: gained.granted.refresh.clone(),
        seed: gained.seed,
    };
    match claim {
        Some(claim) => keep(slot, shared, claim, new).await?,
        None => slot.set_unwritten(Some(new)),
    }
    shared.land(slot, slot.gained(now, &gained));
    Ok(())
}

/// Keeps what was given on the disk; in memory, as long as that is not to be had.
pub(super) async fn keep(slot: &Slot, shared: &Shared, claim: Claim, new: Kept) -> Result<(), NotGranted> {
    let (written, new) = grant::on_the_disk(move || {
        let written = claim.write(&new).map(|()| kept::stamp(claim.file()));
        (written, new)
    })
    .await?;
    match written {
        Ok(stamp) => {
            slot.wrote(stamp);
            slot.set_unwritten(None);
            slot.unkept(None);
        }
        Err(fault) => {
            slot.set_unwritten(Some(new));
            shared.alarm(slot.unkept(Some(&fault.to_string())));
        }
    }
    Ok(())
}

/// Can a token be had without one that was kept?
fn needs_no_memory(grant: &Grant) -> bool {
    match grant {
        Grant::ClientSecret(_) | Grant::ClientCertificate { .. } | Grant::ServiceAccount { .. } => true,
        Grant::DeviceCode { .. } | Grant::RefreshToken { .. } => false,
    }
}

fn unkeepable(fault: &str) -> NotGranted {
    NotGranted::lasting(
        format!("What was kept of former tokens is not to be had: {fault}."),
        "Mend it and the mail goes on.",
    )
}
