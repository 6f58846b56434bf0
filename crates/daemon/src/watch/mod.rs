//! The pickup service: files that programs put into the Pickup folder are handed in as messages.
//!
//! One thread for each virtual server. It hears of files from the system ([`signs`]), looks through the folder at the
//! start and now and then, waits until a file is complete ([`sightings`], [`writers`]), makes it its own by moving it
//! ([`pickup_folder`]), hands it in ([`submit`]), and removes it. Files come in the order in which they were put there, a
//! batch at a time, so that memory does not depend on how many there are.
//!
//! **Neither lost nor doubled.** A file is moved into our own folder under the id that its message will have ([`claim`]),
//! and that is durable before anything is handed in; it is removed only after the message is durable. Whenever the service
//! ends in between, the next start finds the file there, and the id tells whether the store has the message.
//!
//! **What is no message** goes into Badmail with the reason. What is no ordinary file is left alone. When the store takes
//! nothing (disk low, queue full), files wait in Pickup; when they cannot be removed, they are remembered and not sent again.
//!
//! What a file means is decided in [`relay::pickup`].
//!
//! IIS: "Pickup"; threats: 2.9, D5, K15, K16.

mod claim;
mod handed_in;
mod pickup_folder;
mod sightings;
mod signs;
mod submit;
#[cfg(test)]
mod tests;
mod writers;

use crate::clock::Clock;
use crate::local::folder::Look;
use crate::local::{BadFile, Local};
use crate::log::Log;
use crate::store::Store;
use claim::Claim;
use pickup_folder::{NotTaken, PickupFolder, Taken, unfit};
use relay::config::VirtualServer;
use relay::envelope::Origin;
use relay::pickup::Unreadable;
use relay::record::Record;
use sightings::{Patience, Sightings, Verdict};
use signs::{Ear, Speaker};
use std::collections::{HashMap, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime};
use submit::{Fate, Submitter};
use tokio::runtime::Handle;
use tokio::sync::watch as flag;
use writers::Writers;

/// Files that wait are looked at again not more often than this.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Files taken together.
const BATCH_FILES: usize = 128;
/// Octets of files taken together.
const BATCH_OCTETS: u64 = 16 << 20;
/// Names left alone that are remembered, so that each is logged once.
const LEFT_MAX: usize = 10_000;
/// For how long a second name is nothing to speak of: it is how some programs put a finished file in place.
const LINK_PAUSE: Duration = Duration::from_secs(5);

/// The pickup service of a virtual server. It runs until it is stopped.
pub struct Watch {
    orders: Sender<Arc<VirtualServer>>,
    speaker: Speaker,
    stopping: Arc<AtomicBool>,
    ended: flag::Receiver<bool>,
}

impl Watch {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(
        server: &Arc<VirtualServer>,
        store: Store,
        local: Local,
        clock: Clock,
        log: Log,
        runtime: Handle,
    ) -> io::Result<Watch> {
        Watch::start_with(server, store, local, clock, log, runtime, Patience::USUAL)
    }

    fn start_with(
        server: &Arc<VirtualServer>,
        store: Store,
        local: Local,
        clock: Clock,
        log: Log,
        runtime: Handle,
        patience: Patience,
    ) -> io::Result<Watch> {
        let (orders, inbox) = channel();
        let (end, ended) = flag::channel(false);
        let stopping = Arc::new(AtomicBool::new(false));
        let submitter = Submitter::new(server, store, clock, log.clone(), runtime, Arc::clone(&stopping));
        let home = server.home.clone();
        let service = Service::new(home, inbox, submitter, local, log, Arc::clone(&stopping), patience);
        let speaker = service.ear.speaker();
        thread::Builder::new().name("pickup".into()).spawn(move || {
            service.run();
            let _ = end.send(true);
        })?;
        Ok(Watch { orders, speaker, stopping, ended })
    }

    /// Another configuration holds from now on (the home stays), here and for local delivery.
    pub fn configure(&self, server: Arc<VirtualServer>) {
        let _ = self.orders.send(server);
        self.speaker.wake();
    }

    /// Tells it to end soon: after the file that it has in hand, in the midst of a large one. Does not wait.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.speaker.wake();
    }

    /// Returns when it has ended.
    pub async fn ended(&self) {
        // An error means that the thread is gone, which is what we wait for.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop();
    }
}

/// What the thread has.
struct Service {
    home: PathBuf,
    folder: Option<PickupFolder>,
    ear: Ear,
    orders: Receiver<Arc<VirtualServer>>,
    sightings: Sightings,
    writers: Writers,
    patience: Patience,
    submitter: Submitter,
    local: Local,
    log: Log,
    stopping: Arc<AtomicBool>,
    /// What was left alone, by identity: since when, and whether the log has said so.
    left: HashMap<(u64, u64), (Instant, bool)>,
    /// What the log has been told of files that are laid aside, each once.
    aside: HashSet<String>,
    /// From then on there may be claimed files to go on with.
    go_on_at: Option<Instant>,
    /// Nothing is taken before this.
    paused: Option<Instant>,
    /// The trouble that was last told of.
    trouble: Option<String>,
}

impl Service {
    fn new(
        home: PathBuf,
        orders: Receiver<Arc<VirtualServer>>,
        submitter: Submitter,
        local: Local,
        log: Log,
        stopping: Arc<AtomicBool>,
        patience: Patience,
    ) -> Service {
        Service {
            home,
            folder: None,
            ear: Ear::new(),
            orders,
            sightings: Sightings::new(patience),
            writers: Writers::new(Instant::now()),
            patience,
            submitter,
            local,
            log,
            stopping,
            left: HashMap::new(),
            aside: HashSet::new(),
            go_on_at: Some(Instant::now()),
            paused: None,
            trouble: None,
        }
    }

    fn run(mut self) {
        let mut rescan_at = Instant::now();
        let mut look_at: Option<Instant> = None;
        while !self.stopping.load(Ordering::Relaxed) {
            let until = look_at.map_or(rescan_at, |at| at.min(rescan_at));
            let until = self.paused.map_or(until, |at| until.max(at));
            let heard = self.ear.hear(until);
            for server in self.orders.try_iter() {
                self.submitter.configure(&server);
                self.local.configure(server);
            }
            let now = Instant::now();
            let mut names: Vec<OsString> = Vec::new();
            for (name, told) in heard.signs {
                self.sightings.tell(&name, told, now);
                names.push(name);
            }
            if heard.lost {
                self.sightings.forget_signs(now);
            }
            if self.is_paused(now) {
                // What was told is remembered; the look through the folder that follows finds the names.
                rescan_at = now;
                continue;
            }
            let whole = heard.lost || now >= rescan_at;
            if whole {
                rescan_at = now + self.patience.rescan;
            } else if look_at.is_some_and(|at| at <= now) {
                names.extend(self.sightings.names().map(OsStr::to_owned));
            }
            look_at = match self.round(whole, names) {
                Ok(Next { more: true, .. }) => {
                    rescan_at = now;
                    None
                }
                Ok(Next { look_at, .. }) => look_at.map(|at| at.max(now + LOOK_PAUSE)),
                Err(e) => {
                    self.pause(format!("Pickup in {} cannot be read: {e}.", self.home.display()));
                    None
                }
            };
        }
    }

    /// Looks at the whole folder or at these names, and takes what is ready.
    fn round(&mut self, whole: bool, names: Vec<OsString>) -> io::Result<Next> {
        if whole {
            self.open_folder()?;
            self.go_on()?;
        }
        if self.paused.is_some() {
            return Ok(Next::default());
        }
        let mut next = Next::default();
        let found = match &self.folder {
            Some(folder) if whole => {
                let (found, more) = folder.scan()?;
                next.more = more;
                if !more {
                    self.forget_the_gone(&found);
                }
                found
            }
            Some(folder) => look_at_each(folder, names, &mut self.sightings),
            None => Vec::new(),
        };
        let mut ready = self.complete(found, whole, &mut next);
        let had_any = !ready.is_empty();
        while !ready.is_empty() && self.paused.is_none() && !self.stopping.load(Ordering::Relaxed) {
            let batch = self.take(&mut ready)?;
            self.hand_in(batch);
            self.listen_meanwhile(&mut next);
        }
        // If nothing could be taken of a folder with more than we look at, looking again at once would not help.
        next.more &= had_any;
        Ok(next)
    }

    /// Opens the folder if it is not open, or not the one any more that its path leads to.
    fn open_folder(&mut self) -> io::Result<()> {
        if self.folder.as_ref().is_some_and(PickupFolder::is_in_place) {
            return Ok(());
        }
        self.folder = None;
        let folder = PickupFolder::open(&self.home)?;
        if let Err(e) = self.ear.listen(folder.path()) {
            self.log.alarm(format!(
                "The system does not tell of changes in {} ({e}); it is looked through every {} seconds instead.",
                folder.path().display(),
                self.patience.rescan.as_secs()
            ));
        }
        self.sightings.forget_signs(Instant::now());
        self.folder = Some(folder);
        Ok(())
    }

    /// Between batches: so that words do not pile up while many files are handled.
    fn listen_meanwhile(&mut self, next: &mut Next) {
        let now = Instant::now();
        let heard = self.ear.hear(now);
        for (name, told) in heard.signs {
            self.sightings.tell(&name, told, now);
            next.soon(now);
        }
        if heard.lost {
            self.sightings.forget_signs(now);
            next.more = true;
        }
    }

    /// Those of them that may be taken now. Notes when to look again at others.
    fn complete(&mut self, found: Vec<(OsString, Look)>, whole: bool, next: &mut Next) -> VecDeque<(OsString, Look)> {
        // One time for all, so that of two files the older one is never the later one to be ready.
        let now = Instant::now();
        let judged = found.into_iter().filter_map(|(name, look)| {
            let verdict = self.judge(&name, &look, now, next)?;
            Some((name, look, verdict))
        });
        let judged = judged.collect();
        let local = self.folder.as_ref().is_some_and(PickupFolder::is_local);
        self.writers.keep_unheld(judged, (whole, local), |at| next.soon(at)).into()
    }

    /// Does it look complete? If not, notes when to look again.
    fn judge(&mut self, name: &OsStr, look: &Look, now: Instant, next: &mut Next) -> Option<Verdict> {
        if let Some(why) = unfit(look) {
            self.leave(name, look, why);
            return None;
        }
        let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok().and_then(|now| {
            let changed = Duration::new(u64::try_from(look.changed.0).ok()?, u32::try_from(look.changed.1).ok()?);
            now.checked_sub(changed)
        });
        match self.sightings.judge(name, look, age, now) {
            Verdict::NotBefore(at) => {
                next.soon(at);
                None
            }
            verdict => Some(verdict),
        }
    }

    /// Makes the next files our own, durably.
    fn take(&mut self, ready: &mut VecDeque<(OsString, Look)>) -> io::Result<Vec<Taken>> {
        let mut batch = Vec::new();
        let mut octets = 0;
        while batch.len() < BATCH_FILES && octets < BATCH_OCTETS {
            let Some((name, look)) = ready.pop_front() else { break };
            let id = match self.submitter.begin() {
                Ok(id) => id,
                Err(reply) => {
                    self.pause(format!("Pickup waits: {reply}."));
                    break;
                }
            };
            let Some(folder) = &mut self.folder else { break };
            match folder.take(&name, &look, id) {
                Ok(taken) => {
                    octets += taken.look.size;
                    self.sightings.forget(&name);
                    batch.push(taken);
                }
                Err(NotTaken::Gone) => self.sightings.forget(&name),
                Err(NotTaken::Busy) => self.sightings.distrust(&name, Instant::now()),
                Err(NotTaken::LeftAlone(why)) => self.leave(&name, &look, why),
                Err(NotTaken::Unopened(e)) => self.leave(&name, &look, &format!("cannot be opened ({e})")),
                Err(NotTaken::Failed(e)) => {
                    self.pause(format!("A file in Pickup cannot be taken: {e}."));
                    break;
                }
            }
        }
        if let (Some(folder), false) = (&self.folder, batch.is_empty()) {
            // Not handed in, they are found again as claimed files.
            folder.sync().inspect_err(|_| self.go_on_at = Some(Instant::now()))?;
        }
        Ok(batch)
    }

    /// Names that are not in the folder any more are not waited for.
    fn forget_the_gone(&mut self, found: &[(OsString, Look)]) {
        if self.sightings.len() == 0 && self.left.is_empty() {
            return;
        }
        let names: HashSet<&OsStr> = found.iter().map(|(name, _)| name.as_os_str()).collect();
        self.sightings.retain(|name| names.contains(name));
        let here: HashSet<(u64, u64)> = found.iter().map(|(_, look)| look.identity).collect();
        self.left.retain(|identity, _| here.contains(identity));
    }

    /// It is nothing for us; the log says so once.
    fn leave(&mut self, name: &OsStr, look: &Look, why: &str) {
        self.sightings.forget(name);
        if self.left.len() >= LEFT_MAX && !self.left.contains_key(&look.identity) {
            return;
        }
        let (since, told) = self.left.entry(look.identity).or_insert((Instant::now(), false));
        let too_early = look.regular && look.links > 1 && since.elapsed() < LINK_PAUSE;
        if !*told && !too_early {
            *told = true;
            let name = smtp::reply::clean(name.as_encoded_bytes());
            self.log.alarm(format!("{name} in Pickup {why} and is left alone."));
        }
    }

    /// Takes nothing for a while. The log says why, once for each reason.
    fn pause(&mut self, why: String) {
        self.paused = Some(Instant::now() + self.patience.pause);
        self.go_on_at = self.paused;
        if self.trouble.as_ref() != Some(&why) {
            self.log.alarm(format!("{why} It is tried again every {} seconds.", self.patience.pause.as_secs()));
            self.trouble = Some(why);
        }
    }

    fn is_paused(&mut self, now: Instant) -> bool {
        match self.paused {
            Some(until) if now < until => true,
            Some(_) => {
                self.paused = None;
                false
            }
            None => {
                self.trouble = None;
                false
            }
        }
    }
}

/// When to look again.
#[derive(Default)]
struct Next {
    /// At the files that wait.
    look_at: Option<Instant>,
    /// The folder has more than was looked at.
    more: bool,
}

impl Next {
    fn soon(&mut self, at: Instant) {
        self.look_at = Some(self.look_at.map_or(at, |other| other.min(at)));
    }
}

/// How these names look now, in the order of their change times. Those that are gone are forgotten.
fn look_at_each(folder: &PickupFolder, mut names: Vec<OsString>, sightings: &mut Sightings) -> Vec<(OsString, Look)> {
    names.sort_unstable();
    names.dedup();
    let mut found: Vec<(OsString, Look)> = Vec::with_capacity(names.len());
    for name in names {
        match folder.look_visible(&name) {
            Some(look) => found.push((name, look)),
            None => sightings.forget(&name),
        }
    }
    found.sort_by(|(a, x), (b, y)| (x.changed, a).cmp(&(y.changed, b)));
    found
}
