//! Who is in: the number of inbound sessions of one virtual server, and the word to leave when it stops.

use crate::sessions::Registry;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The inbound sessions of one virtual server.
#[derive(Debug)]
pub struct Sessions {
    open: AtomicUsize,
    ceiling: usize,
    draining: AtomicBool,
    /// Wakes the sessions when `draining` is set.
    drain: Notify,
    /// Wakes whoever waits for the last session to end.
    emptied: Notify,
    /// The sessions themselves, for operators.
    registry: Arc<Registry>,
}

impl Sessions {
    /// None yet. `files` is how many files this virtual server's inbound connections may hold open.
    #[must_use]
    pub fn new(files: usize) -> Arc<Sessions> {
        Sessions::listed(files, Registry::new())
    }

    /// The same, seen by operators in this registry.
    #[must_use]
    pub fn listed(files: usize, registry: Arc<Registry>) -> Arc<Sessions> {
        Arc::new(Sessions {
            open: AtomicUsize::new(0),
            ceiling: files.max(1),
            draining: AtomicBool::new(false),
            drain: Notify::new(),
            emptied: Notify::new(),
            registry,
        })
    }

    /// How many are in.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The sessions themselves, as operators see them.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// How many may be in, whatever the configuration says.
    #[must_use]
    pub fn ceiling(&self) -> usize {
        self.ceiling
    }

    /// One more is in, until the seat is dropped, also by a panic.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Seat {
        self.open.fetch_add(1, Ordering::Relaxed);
        Seat { sessions: Arc::clone(self) }
    }

    /// Asks everybody to leave at the next border between commands.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::SeqCst);
        self.drain.notify_waiters();
    }

    /// Returns when nobody is in.
    pub async fn emptied(&self) {
        loop {
            // To be made before the look at the count: a seat that is dropped in between is noticed.
            let emptied = self.emptied.notified();
            if self.open.load(Ordering::SeqCst) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// One session's place among the [`Sessions`].
#[derive(Debug)]
pub struct Seat {
    sessions: Arc<Sessions>,
}

impl Seat {
    /// Is the service stopping?
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.sessions.draining.load(Ordering::SeqCst)
    }

    /// Where operators see the session.
    #[must_use]
    pub fn registry(&self) -> &Arc<Registry> {
        &self.sessions.registry
    }

    /// Wakes whoever has polled it when the service stops; [`Seat::is_draining`] is to be asked after the first poll.
    pub fn drained(&self) -> Notified<'_> {
        self.sessions.drain.notified()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.sessions.open.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.sessions.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_last_one_out_wakes_those_who_wait() {
        let sessions = Sessions::new(100);
        sessions.emptied().await;
        let seats = [sessions.enter(), sessions.enter()];
        assert_eq!(sessions.open(), 2);
        let waiting = tokio::spawn({
            let sessions = Arc::clone(&sessions);
            async move { sessions.emptied().await }
        });
        tokio::task::yield_now().await;
        let [first, last] = seats;
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(last);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn everybody_hears_of_the_drain() {
        let sessions = Sessions::new(100);
        let seat = sessions.enter();
        let drained = seat.drained();
        assert!(!seat.is_draining());
        let mut drained = std::pin::pin!(drained);
        drained.as_mut().enable();
        sessions.drain();
        tokio::time::timeout(Duration::from_secs(5), drained).await.unwrap();
        assert!(seat.is_draining());
        assert!(sessions.enter().is_draining(), "who comes late sees it at once");
    }

    #[test]
    fn a_seat_is_left_by_a_panic_too() {
        let sessions = Sessions::new(100);
        let seat = sessions.enter();
        let left = std::thread::spawn(move || {
            let _seat = seat;
            panic!("planted");
        });
        assert!(left.join().is_err());
        assert_eq!(sessions.open(), 0);
    }
}
