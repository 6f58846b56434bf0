//! The sessions that go on now, inbound and outbound, to be looked at and to be ended.
//!
//! Each virtual server has one [`Registry`]. A session enters it when it begins and leaves it with its [`Entry`]; in between only its
//! own [`Live`] is touched, so that nobody waits for a lock that others hold. Ending takes effect at once, whatever the peer does:
//! - inbound: 421 4.3.2 if it can still be written, then the connection is closed; a message that is not durable yet is forgotten,
//!   one whose 250 is due still gets it;
//! - outbound: the connection is closed; the message under way counts as failed for now, and waits in the queue.
//!
//! What is kept of a dialogue is little ([`DIALOGUE_MAX`]) and without secrets.
//!
//! IIS: Current Sessions; Terminate, Terminate All.

mod dialogue;
mod live;

pub use dialogue::DIALOGUE_MAX;
pub use live::{Live, Phase};

use relay::admin::Direction;
use relay::admin::view::{DialogueView, SessionView};
use smtp::time::Timestamp;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sessions of one virtual server.
#[derive(Debug, Default)]
pub struct Registry {
    live: Mutex<HashMap<u64, Arc<Live>>>,
    numbers: Numbers,
}

/// The numbers of sessions, one row for the whole process: a virtual server that is started anew begins with none that an operator
/// may have seen before.
#[derive(Clone, Debug, Default)]
pub struct Numbers(Arc<AtomicU64>);

/// A session's place in the registry; it leaves with this.
#[derive(Debug)]
pub struct Entry {
    live: Arc<Live>,
}

impl Registry {
    /// Without sessions, and alone in its process.
    #[must_use]
    pub fn new() -> Arc<Registry> {
        Arc::default()
    }

    /// Without sessions; they get numbers of this row.
    #[must_use]
    pub fn numbered(numbers: &Numbers) -> Arc<Registry> {
        Arc::new(Registry { numbers: numbers.clone(), ..Registry::default() })
    }

    /// A client has come in.
    #[must_use]
    pub fn inbound(self: &Arc<Self>, peer: SocketAddr, local: Option<SocketAddr>, now: Timestamp) -> Entry {
        self.enter(Live::inbound(self, peer, local, now))
    }

    /// We connect to a host of this destination.
    #[must_use]
    pub fn outbound(self: &Arc<Self>, destination: Box<str>, now: Timestamp) -> Entry {
        self.enter(Live::outbound(self, destination, now))
    }

    fn next(&self) -> u64 {
        self.numbers.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn enter(&self, live: Live) -> Entry {
        let live = Arc::new(live);
        self.locked().insert(live.id(), Arc::clone(&live));
        Entry { live }
    }

    fn remove(&self, id: u64) {
        let gone = self.locked().remove(&id);
        // Not under the lock.
        drop(gone);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<u64, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of this direction, or all; in the order in which they came.
    fn all(&self, direction: Option<Direction>) -> Vec<Arc<Live>> {
        let is_wanted = |live: &&Arc<Live>| direction.is_none_or(|direction| live.direction() == direction);
        let mut all: Vec<_> = self.locked().values().filter(is_wanted).cloned().collect();
        all.sort_unstable_by_key(|live| live.id());
        all
    }

    fn get(&self, id: &str) -> Option<Arc<Live>> {
        self.locked().get(&id.parse().ok()?).cloned()
    }

    /// What there is to see, in the order in which they came.
    #[must_use]
    pub fn views(&self, direction: Option<Direction>, now: Timestamp) -> Vec<SessionView> {
        self.all(direction).iter().map(|live| live.view(now)).collect()
    }

    /// One with its dialogue; `None`: it has ended.
    #[must_use]
    pub fn dialogue(&self, id: &str, now: Timestamp) -> Option<DialogueView> {
        Some(self.get(id)?.dialogue(now))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self, direction: Option<Direction>) -> usize {
        match direction {
            None => self.locked().len(),
            some => self.all(some).len(),
        }
    }

    /// Ends one; `false`: it has ended already.
    pub fn end(&self, id: &str) -> bool {
        self.get(id).inspect(|live| live.end()).is_some()
    }

    /// Ends those of this direction, or all; how many.
    pub fn end_all(&self, direction: Option<Direction>) -> usize {
        let all = self.all(direction);
        all.iter().for_each(|live| live.end());
        all.len()
    }
}

impl Deref for Entry {
    type Target = Arc<Live>;

    fn deref(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.live.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::minutes::{Minutes, Side};

    fn peer() -> SocketAddr {
        "192.0.2.1:1025".parse().unwrap()
    }

    #[test]
    fn who_has_ended_is_seen_no_more() {
        let registry = Registry::new();
        let one = registry.inbound(peer(), None, Timestamp(0));
        let two = registry.outbound("far.test".into(), Timestamp(0));
        assert_eq!(registry.count(None), 2);
        let views = registry.views(None, Timestamp(5_000));
        assert_eq!((views[0].id.as_str(), views[0].seconds, views[0].peer.as_str()), ("1", 5, "192.0.2.1:1025"));
        assert_eq!((views[1].state.as_str(), views[1].destination.as_deref()), ("connecting", Some("far.test")));
        assert_eq!(registry.views(Some(Direction::Outbound), Timestamp(0)).len(), 1);
        assert!(registry.end("1") && one.is_ended() && !two.is_ended());
        drop(one);
        assert!(!registry.end("1") && registry.dialogue("1", Timestamp(0)).is_none());
        assert!(!registry.end("../2"));
        assert_eq!(registry.end_all(Some(Direction::Inbound)), 0);
        assert_eq!(registry.end_all(None), 1);
        drop(two);
        assert_eq!(registry.count(None), 0);
    }

    #[test]
    fn a_virtual_server_that_is_started_anew_counts_on() {
        let numbers = Numbers::default();
        let before = Registry::numbered(&numbers);
        let _one = before.inbound(peer(), None, Timestamp(0));
        let other = Registry::numbered(&numbers);
        let _two = other.inbound(peer(), None, Timestamp(0));
        let after = Registry::numbered(&numbers);
        let _three = after.inbound(peer(), None, Timestamp(0));
        assert_eq!(after.views(None, Timestamp(0))[0].id, "3");
        assert!(!after.end("1") && !after.end("2"));
    }

    #[test]
    fn the_last_command_says_what_goes_on() {
        let registry = Registry::new();
        let entry = registry.inbound(peer(), None, Timestamp(0));
        let state = |lines: &[(Side, &str)]| {
            let mut minutes = Minutes::default();
            lines.iter().for_each(|(side, line)| minutes.note(*side, line.as_bytes()));
            entry.note(&minutes.take(), Timestamp(10));
            registry.views(None, Timestamp(20))[0].state.clone()
        };
        use Side::{Ours, Theirs};
        assert_eq!(state(&[(Ours, "220 mx.test")]), "idle");
        assert_eq!(state(&[(Theirs, "ehlo c.test"), (Ours, "250 mx.test")]), "EHLO");
        assert_eq!(state(&[(Theirs, "AUTH LOGIN"), (Ours, "334 ***"), (Theirs, "***")]), "AUTH");
        assert_eq!(state(&[(Theirs, "DATA"), (Ours, "354 go")]), "DATA");
        assert_eq!(state(&[(Theirs, "(12 octets)")]), "DATA");
        assert_eq!(state(&[(Ours, "250 queued")]), "idle");
        assert_eq!(registry.dialogue("1", Timestamp(20)).unwrap().lines.len(), 10);
    }

    #[tokio::test]
    async fn work_ends_with_its_session() {
        let registry = Registry::new();
        let entry = registry.inbound(peer(), None, Timestamp(0));
        assert_eq!(entry.unless_ended(Box::pin(async { 7 })).await, Some(7));
        let live = Arc::clone(&entry);
        let waiting = tokio::spawn(async move { live.unless_ended(std::future::pending::<()>()).await });
        tokio::task::yield_now().await;
        registry.end("1");
        assert_eq!(waiting.await.unwrap(), None);
        assert_eq!(entry.unless_ended(Box::pin(async { 7 })).await, Some(7), "what is ready is done");
    }

    #[test]
    fn what_is_kept_of_an_idle_session_is_little() {
        assert!(size_of::<Live>() <= 320, "{}", size_of::<Live>());
    }
}
