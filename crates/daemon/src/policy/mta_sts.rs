//! MTA-STS: the policies that domains publish over https, fetched when their record says that there is a new one, and kept.
//!
//! What is to be done about a domain says [`relay::route::mta_sts::decide`]; here it is done: one fetch at a time for each domain, in a
//! task of its own, for which only mail to that domain waits, and not even that if the old policy only grows old. A policy
//! that was fetched is on disk before long and survives a restart; it holds for as long as it said, whatever its
//! domain's servers say since. A fetch that fails is told of in the log and not tried again for five minutes.

use super::fetch::Fetch;
use super::shelf::{KEPT_MAX, Shelf};
use crate::clock::Clock;
use crate::dns::{Resolver, ascii};
use crate::log::Log;
use relay::record::Record;
use relay::route::mta_sts::{self, Kept, Known, Policy, Step};
use relay::route::mx::DnsFault;
use smtp::address::Domain;
use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Domains that are known about without looking on the disk.
pub(super) const DOMAINS_MAX: usize = 10_000;
/// How long the DNS may take for a domain's record; mail does not wait longer for what most domains do not have.
pub(super) const RECORD_MAX: Duration = Duration::from_secs(5);

/// The policies of this process. Cheap to clone; all clones share them.
#[derive(Clone)]
pub struct MtaSts {
    shared: Arc<Shared>,
}

struct Shared {
    domains: Mutex<HashMap<Domain, Arc<Entry>>>,
    shelf: Shelf,
    fetch: Fetch,
    /// The operator knows that policies cannot be kept.
    told: AtomicBool,
    log: Log,
    clock: Clock,
}

/// One domain.
struct Entry {
    domain: Domain,
    state: Mutex<State>,
    /// A fetch has ended.
    landed: Notify,
}

#[derive(Default)]
struct State {
    known: Known,
    /// The disk was asked.
    is_read: bool,
    /// A fetch is under way.
    flying: bool,
}

impl MtaSts {
    /// Keeps policies in the folder `mta-sts` of the state folder, made when there is one to keep.
    #[must_use]
    pub fn new(state: &Path, log: Log, clock: Clock) -> MtaSts {
        MtaSts::with(Shelf::new(state, KEPT_MAX), Fetch::default(), log, clock)
    }

    /// For a look beside the service: knows what it has kept, and writes nothing.
    #[must_use]
    pub fn reading(state: &Path, clock: Clock) -> MtaSts {
        MtaSts::with(Shelf::new(state, 0), Fetch::default(), Log::nowhere(), clock)
    }

    pub(super) fn with(shelf: Shelf, fetch: Fetch, log: Log, clock: Clock) -> MtaSts {
        let (domains, told) = (Mutex::default(), AtomicBool::new(false));
        MtaSts { shared: Arc::new(Shared { domains, shelf, fetch, told, log, clock }) }
    }

    /// The policy that holds for a domain now. May wait for it to be fetched, a minute at most.
    pub async fn policy(&self, resolver: &Resolver, domain: &Domain) -> Option<Policy> {
        let domain = ascii(domain)?;
        let record = record(resolver, &domain).await;
        let entry = self.entry(&domain);
        entry.read(&self.shared).await;
        loop {
            let mut landed = std::pin::pin!(entry.landed.notified());
            landed.as_mut().enable();
            match entry.look(&record, &self.shared) {
                Look::Have(policy) => return policy,
                Look::HaveAndFly(policy, id) => {
                    fly(&entry, &self.shared, resolver.clone(), id);
                    return policy;
                }
                Look::Fly(id) => fly(&entry, &self.shared, resolver.clone(), id),
                Look::Wait => {}
            }
            landed.await;
        }
    }

    fn entry(&self, domain: &Domain) -> Arc<Entry> {
        let mut domains = self.shared.domains.lock().unwrap_or_else(PoisonError::into_inner);
        if domains.len() >= DOMAINS_MAX && !domains.contains_key(domain) {
            // What is worth knowing is on the disk; who is being waited for stays.
            domains.retain(|_, entry| entry.state().flying);
        }
        let new = || Arc::new(Entry { domain: domain.clone(), state: Mutex::default(), landed: Notify::new() });
        Arc::clone(domains.entry(domain.clone()).or_insert_with(new))
    }
}

impl fmt::Debug for MtaSts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MtaSts")
    }
}

/// What the domain's record says.
async fn record(resolver: &Resolver, domain: &Domain) -> mta_sts::Record {
    let Ok(name) = Domain::parse(&format!("_mta-sts.{domain}")) else { return mta_sts::Record::None };
    let answer = tokio::time::timeout(RECORD_MAX, resolver.texts(&name)).await;
    match answer.unwrap_or_else(|_| Err(DnsFault::Unanswered("time-out".into()))) {
        Ok(texts) => mta_sts::record_id(&texts).map_or(mta_sts::Record::None, mta_sts::Record::Id),
        Err(DnsFault::NoSuchName | DnsFault::NoRecords) => mta_sts::Record::None,
        Err(DnsFault::Unanswered(_)) => mta_sts::Record::Unanswered,
    }
}

/// What whoever asks may do.
enum Look {
    Have(Option<Policy>),
    HaveAndFly(Option<Policy>, Box<str>),
    Fly(Box<str>),
    Wait,
}

impl Entry {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks on the disk, the first time.
    async fn read(&self, shared: &Arc<Shared>) {
        if self.state().is_read {
            return;
        }
        let (shelf, domain, now) = (shared.shelf.clone(), self.domain.clone(), shared.clock.now());
        let kept = tokio::task::spawn_blocking(move || shelf.find(&domain, now)).await.ok().flatten();
        let mut state = self.state();
        if !state.is_read {
            state.is_read = true;
            state.known.kept = kept;
        }
    }

    fn look(&self, record: &mta_sts::Record, shared: &Shared) -> Look {
        let now = shared.clock.now();
        let mut state = self.state();
        let step = mta_sts::decide(&state.known, record, now);
        let mta_sts::Record::Id(id) = record else {
            return Look::Have(mta_sts::in_force(&state.known, now).cloned());
        };
        let may_fly = !state.flying;
        match step {
            Step::Fetch if may_fly => {
                state.flying = true;
                Look::Fly(id.clone())
            }
            Step::Fetch => Look::Wait,
            Step::Refresh if may_fly => {
                state.flying = true;
                Look::HaveAndFly(mta_sts::in_force(&state.known, now).cloned(), id.clone())
            }
            Step::Refresh | Step::Use => Look::Have(mta_sts::in_force(&state.known, now).cloned()),
        }
    }
}

/// Says, however the flight ends, that it has ended.
struct Flight(Arc<Entry>);

impl Drop for Flight {
    fn drop(&mut self) {
        self.0.state().flying = false;
        self.0.landed.notify_waiters();
    }
}

/// A task of its own: whoever waited for it may give up, what it brings is kept.
fn fly(entry: &Arc<Entry>, shared: &Arc<Shared>, resolver: Resolver, id: Box<str>) {
    let (flight, shared) = (Flight(Arc::clone(entry)), Arc::clone(shared));
    tokio::spawn(async move {
        let domain = &flight.0.domain;
        let outcome = shared.fetch.policy(resolver, domain).await;
        let now = shared.clock.now();
        let told = outcome.as_ref().map(|policy| policy.mode.word()).map_err(|why| why.as_str().into());
        shared.log.write(&Record::Policy { domain: domain.clone(), outcome: told });
        match outcome {
            Ok(policy) => {
                let kept = Kept { policy, id, fetched: now };
                let known = Known { kept: Some(kept.clone()), failed: None };
                flight.0.state().known = known;
                keep(&shared, domain.clone(), kept).await;
            }
            Err(_) => flight.0.state().known.failed = Some((id, now)),
        }
    });
}

/// On the disk; told of once if that cannot be.
async fn keep(shared: &Arc<Shared>, domain: Domain, kept: Kept) {
    let inner = Arc::clone(shared);
    let write = move || inner.shelf.keep(&domain, &kept, inner.clock.now());
    match tokio::task::spawn_blocking(write).await {
        Ok(Err(why)) if !shared.told.swap(true, Ordering::Relaxed) => shared.log.alarm(why),
        Ok(Ok(())) => shared.told.store(false, Ordering::Relaxed),
        _ => {}
    }
}
