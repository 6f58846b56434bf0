//! Refreshes tokens ahead of their end though no mail asks for them, and notices what others have done: a new log-in, a
//! secret that was replaced.
//!
//! Looks every two seconds. So an operator hears of a grant that is over before mail has to wait, and the mail goes on at
//! once after a new log-in.

use super::flight;
use super::kept::{self, Claim, Stamp};
use super::slot::Slot;
use super::{Shared, grant};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often it looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Ends when nobody has the tokens any more.
pub(super) async fn keep(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        look(&shared).await;
    }
}

/// One look at all slots.
pub(super) async fn look(shared: &Arc<Shared>) {
    let again = std::mem::take(&mut *super::lock(&shared.again));
    again.iter().for_each(|owner| shared.tell(owner));
    let (slots, state) = (shared.slots(), shared.folder());
    let files: Vec<_> = slots.iter().map(|slot| slot.files(&state)).collect();
    let stamped = move || files.iter().map(|files| files.iter().map(|file| kept::stamp(file)).collect()).collect();
    let Ok(stamps) = grant::on_the_disk::<Vec<Vec<Stamp>>>(stamped).await else { return };
    for (slot, stamps) in slots.iter().zip(stamps) {
        if slot.wants_flight(shared.clock.now(), &stamps) {
            flight::begin(slot, shared);
        } else if slot.unwritten().is_some() {
            write_again(slot, shared).await;
        }
    }
}

/// Perhaps the disk is well again.
async fn write_again(slot: &Arc<Slot>, shared: &Arc<Shared>) {
    let (state, stem, owner) = (shared.folder(), slot.stem.clone(), slot.owner.clone());
    let taken = grant::on_the_disk(move || Claim::take(&state, &stem, &owner)).await;
    if let Ok(Ok(Some(claim))) = taken
        && let Some(kept) = slot.unwritten()
    {
        let _ = flight::keep(slot, shared, claim, kept).await;
    }
}
