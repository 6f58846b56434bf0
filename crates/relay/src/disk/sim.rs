//! A disk in memory that lies as real ones may: the twin of the real disk for the crash tests and the simulator.
//!
//! It keeps two states: what the program sees, and what would be there after a power cut. Only a sync carries things
//! over. [`SimDisk::after_power_cut`] gives the disk that the next start finds, and the caller says how cruel the cut
//! is ([`Cut`]): which of the unsynced names survive, each by itself, and what becomes of each unsynced block of 512
//! octets: lost, kept, torn in the middle, or garbage. It is as strict as POSIX allows and stricter than ext4 is.
//!
//! It can also fail: power off at call *n*, an error at call *n*, no room. After a failed sync, what it covered is lost
//! for good, and a later sync that succeeds does not bring it back; that is how Linux behaves, and why the spool is
//! poisoned then. And it can leave out the *n*-th sync and say "done", which is how a test shows that each one is needed.
//!
//! Everything follows from the calls and the seed: the same life, the same disk.

mod inode;

pub use inode::SECTOR;

use super::{Disk, Space};
use inode::Inode;
use std::cell::{RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::sync::Arc;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk {
    shared: Rc<RefCell<Shared>>,
}

#[derive(Default)]
struct Shared {
    state: State,
    plan: Plan,
    calls: u64,
    /// Each call, and the state before it, if they are recorded.
    moments: Option<Vec<(String, State)>>,
    /// Each sync that was asked for, if that is recorded: the number of its call, and its name.
    syncs: Vec<(u64, String)>,
    syncs_asked: usize,
    off: bool,
}

/// What is to go wrong.
#[derive(Default)]
struct Plan {
    cut_at: Option<u64>,
    fail_at: Option<(u64, io::ErrorKind)>,
    ignored_sync: Option<usize>,
    room: Option<u64>,
    weather: Option<Weather>,
}

/// Calls on files of the folder fail now and then; syncs, lists and the journal are spared.
struct Weather {
    kind: io::ErrorKind,
    percent: u64,
    chance: u64,
}

#[derive(Clone, Default)]
struct State {
    files: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending: Vec<NameChange>,
}

#[derive(Clone)]
struct NameChange {
    from: Option<String>,
    to: Option<(String, usize)>,
    /// A sync that covered it has failed.
    doomed: bool,
}

/// Files by name, with their octets.
pub type Contents = BTreeMap<String, Arc<Vec<u8>>>;

/// An open file on a [`SimDisk`].
#[derive(Copy, Clone, Debug)]
pub struct SimFile(usize);

/// How cruel a power cut is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Cut {
    /// Bit *i*: the *i*-th unsynced change of names survives (from the 64th on: as bit 63 says).
    pub names: u64,
    /// What becomes of unsynced octets.
    pub octets: Fate,
}

/// What becomes of unsynced octets in a power cut.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fate {
    /// None arrived.
    Lost,
    /// All arrived.
    Kept,
    /// The first half of the sectors arrived, the middle one in part.
    First,
    /// Only the second half did.
    Last,
    /// Each sector by itself, by this seed: lost, kept, torn or garbage; the length anywhere between.
    Mixed(u64),
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> SimDisk {
        SimDisk::default()
    }

    fn of(state: State) -> SimDisk {
        SimDisk { shared: Rc::new(RefCell::new(Shared { state, ..Shared::default() })) }
    }

    fn open_up(&self) -> RefMut<'_, Shared> {
        self.shared.borrow_mut()
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.open_up().calls
    }

    /// The power goes during call number `call` (from 1): it and all that follow fail.
    pub fn cut_power_at(&self, call: u64) {
        self.open_up().plan.cut_at = Some(call);
    }

    /// Call number `call` fails with this error; a write may have been done in part.
    pub fn fail_at(&self, call: u64, error: io::ErrorKind) {
        self.open_up().plan.fail_at = Some((call, error));
    }

    /// The `nth` sync (from 0) does nothing and says that it did.
    pub fn ignore_sync(&self, nth: usize) {
        self.open_up().plan.ignored_sync = Some(nth);
    }

    /// So many octets fit on the disk; `None`: any number.
    pub fn set_room(&self, octets: Option<u64>) {
        self.open_up().plan.room = octets;
    }

    /// From now on so many in a hundred calls that make, read, write, rename or remove a file of the Queue folder fail with
    /// this error, drawn from the seed; nobody's octets are lost. `None`: all is well again.
    pub fn set_weather(&self, kind: Option<io::ErrorKind>, percent: u64, seed: u64) {
        self.open_up().plan.weather = kind.map(|kind| Weather { kind, percent, chance: seed | 1 });
    }

    /// From now on each call's moment is kept for [`SimDisk::moment`].
    pub fn record(&self) {
        self.open_up().moments = Some(Vec::new());
    }

    /// The disk as it is when the power goes during the `call`-th call since [`SimDisk::record`] (from 1), before
    /// anybody knows what survives; one call more than there were is the disk as it is now.
    #[must_use]
    pub fn moment(&self, call: usize) -> Option<SimDisk> {
        let shared = self.open_up();
        let moments = shared.moments.as_ref()?;
        // During call n: what it changed is there for the taking, but nothing that it made durable counts yet.
        let after = moments.get(call).map_or(&shared.state, |(_, state)| state);
        match moments.get(call - 1) {
            Some((_, before)) => Some(SimDisk::of(during(before, after))),
            None => (call == moments.len() + 1).then(|| SimDisk::of(shared.state.clone())),
        }
    }

    /// The calls since [`SimDisk::record`], in words.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        self.open_up().moments.iter().flatten().map(|(what, _)| what.clone()).collect()
    }

    /// The syncs that were asked for since [`SimDisk::record`]: number of the call, and what was synced.
    #[must_use]
    pub fn syncs(&self) -> Vec<(u64, String)> {
        self.open_up().syncs.clone()
    }

    /// Changes of names that a power cut now could lose.
    #[must_use]
    pub fn unsynced_names(&self) -> usize {
        self.open_up().state.pending.len()
    }

    /// Could a power cut now lose octets?
    #[must_use]
    pub fn has_unsynced_octets(&self) -> bool {
        self.open_up().state.files.iter().any(Inode::has_unsynced)
    }

    /// The disk that the next start finds if the power goes now.
    #[must_use]
    pub fn after_power_cut(&self, cut: Cut) -> SimDisk {
        let shared = self.open_up();
        let mut names = shared.state.durable_names.clone();
        for (i, change) in shared.state.pending.iter().enumerate() {
            if cut.names >> i.min(63) & 1 == 1 {
                change.apply(&mut names);
            }
        }
        let mut files = Vec::with_capacity(shared.state.files.len());
        for (i, file) in shared.state.files.iter().enumerate() {
            let octets = file.after_power_cut(cut.octets, i as u64);
            files.push(Inode::durable(octets));
        }
        SimDisk::of(State { files, durable_names: names.clone(), names, pending: Vec::new() })
    }

    /// All files with their octets, as the program sees them: to compare two disks.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let shared = self.open_up();
        shared.state.names.iter().map(|(name, i)| (name.clone(), shared.state.files[*i].shared())).collect()
    }

    /// Turns bits of a file over, as an old disk does: durable, unnoticed.
    ///
    /// # Errors
    /// There is no such file, or it is not so long.
    pub fn rot(&self, name: &str, offset: usize, bits: u8) -> io::Result<()> {
        let mut shared = self.open_up();
        let file = shared.file(name)?;
        shared.state.files[file].rot(offset, bits)
    }

    /// Counts the call; fails it if that is the plan.
    fn call(&self, what: impl FnOnce() -> String) -> io::Result<RefMut<'_, Shared>> {
        let mut shared = self.open_up();
        if shared.off {
            return Err(power_is_off());
        }
        shared.calls += 1;
        if let Shared { moments: Some(moments), state, .. } = &mut *shared {
            moments.push((what(), state.clone()));
        }
        if shared.plan.cut_at == Some(shared.calls) {
            shared.off = true;
        }
        Ok(shared)
    }
}

fn power_is_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the power is off")
}

/// The state while a call is under way: seen as after it, durable as before it.
fn during(before: &State, after: &State) -> State {
    let mut state = after.clone();
    for (file, earlier) in state.files.iter_mut().zip(&before.files) {
        file.as_before_sync(earlier);
    }
    for file in state.files.iter_mut().skip(before.files.len()) {
        file.as_before_sync(&Inode::default());
    }
    state.durable_names.clone_from(&before.durable_names);
    if after.pending.len() < before.pending.len() {
        state.pending.clone_from(&before.pending);
    }
    state
}

impl State {
    /// Files that no name leads to, now or after any power cut, take no memory.
    fn forget_nameless(&mut self) {
        let pending = self.pending.iter().filter_map(|change| change.to.as_ref().map(|(_, file)| file));
        let named: BTreeSet<usize> =
            self.names.values().chain(self.durable_names.values()).chain(pending).copied().collect();
        for (i, file) in self.files.iter_mut().enumerate() {
            if !file.octets().is_empty() && !named.contains(&i) {
                *file = Inode::default();
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        if let Some(from) = &self.from {
            names.remove(from);
        }
        if let Some((to, file)) = &self.to {
            names.insert(to.clone(), *file);
        }
    }

    fn is_in(&self, folder: &str) -> bool {
        self.from.iter().chain(self.to.iter().map(|(to, _)| to)).any(|name| folder_of(name) == folder)
    }
}

fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

impl Shared {
    /// The error that was planned for this call, or the one that a cut in the middle of it gives.
    fn planned_error(&mut self) -> io::Result<()> {
        if self.off {
            return Err(power_is_off());
        }
        match self.plan.fail_at {
            Some((call, kind)) if call == self.calls => Err(io::Error::new(kind, "a planned fault")),
            _ => Ok(()),
        }
    }

    /// The error that the weather has for this name.
    fn squall(&mut self, name: &str) -> io::Result<()> {
        let Some(weather) = self.plan.weather.as_mut().filter(|_| folder_of(name).is_empty()) else { return Ok(()) };
        weather.chance = weather.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fails = (weather.chance >> 33) % 100 < weather.percent;
        if fails { Err(io::Error::new(weather.kind, "bad weather")) } else { Ok(()) }
    }

    /// The same for an open file.
    fn squall_in(&mut self, file: usize) -> io::Result<()> {
        if self.plan.weather.is_none() {
            return Ok(());
        }
        let name = self.state.names.iter().find(|(_, i)| **i == file).map(|(name, _)| name.clone());
        name.map_or(Ok(()), |name| self.squall(&name))
    }

    fn file(&self, name: &str) -> io::Result<usize> {
        self.state.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, from: Option<&str>, to: Option<(&str, usize)>) {
        let to = to.map(|(name, file)| (name.to_owned(), file));
        let change = NameChange { from: from.map(str::to_owned), to, doomed: false };
        change.apply(&mut self.state.names);
        self.state.pending.push(change);
    }

    fn used(&self) -> u64 {
        self.state.names.values().map(|i| self.state.files[*i].octets().len() as u64).sum()
    }

    /// Writes; what fits, when there is no room for all; half of it, when the call is to fail.
    fn write(&mut self, file: usize, offset: u64, octets: &[u8]) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let grows = (offset + octets.len()).saturating_sub(self.state.files[file].octets().len()) as u64;
        // What was allotted before can be written to on a full disk too.
        let is_full = grows > 0 && self.plan.room.is_some_and(|room| self.used() + grows > room);
        let outcome = self.planned_error().and_then(|()| self.squall_in(file));
        // When the power goes, all of it is under way; when it fails, half of it was done.
        let done = if is_full || (outcome.is_err() && !self.off) { octets.len() / 2 } else { octets.len() };
        self.state.files[file].write(offset, &octets[..done]);
        outcome?;
        if is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    /// Is this sync to be left out? Notes it.
    fn is_ignored(&mut self, what: impl FnOnce(&State) -> String) -> bool {
        let nth = self.syncs_asked;
        self.syncs_asked += 1;
        if self.moments.is_some() {
            self.syncs.push((self.calls, what(&self.state)));
        }
        self.plan.ignored_sync == Some(nth)
    }

    fn sync(&mut self, files: &[usize]) -> io::Result<()> {
        let what = |state: &State| {
            let names = state.names.iter().filter(|(_, i)| files.contains(i)).map(|(name, _)| name.as_str());
            format!("octets of {}", names.collect::<Vec<_>>().join(", "))
        };
        if self.is_ignored(what) {
            return Ok(());
        }
        if let Err(error) = self.planned_error() {
            for i in files.iter().filter(|_| !self.off) {
                self.state.files[*i].sync_failed();
            }
            return Err(error);
        }
        for i in files {
            self.state.files[*i].sync();
        }
        Ok(())
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn create(&self, name: &str) -> io::Result<Self::File> {
        let mut shared = self.call(|| format!("create {name}"))?;
        if shared.state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        shared.squall(name)?;
        let outcome = shared.planned_error();
        if outcome.is_err() && !shared.off {
            outcome?;
        }
        let file = shared.state.files.len();
        shared.state.files.push(Inode::default());
        shared.change(None, Some((name, file)));
        shared.planned_error()?;
        Ok(SimFile(file))
    }

    fn open(&self, name: &str) -> io::Result<Self::File> {
        let mut shared = self.call(|| format!("open {name}"))?;
        shared.planned_error()?;
        shared.squall(name)?;
        shared.file(name).map(SimFile)
    }

    fn open_to_write(&self, name: &str) -> io::Result<Self::File> {
        self.open(name)
    }

    fn append(&self, file: &Self::File, octets: &[u8]) -> io::Result<()> {
        let mut shared = self.call(|| format!("append {} octets to #{}", octets.len(), file.0))?;
        let end = shared.state.files[file.0].octets().len() as u64;
        shared.write(file.0, end, octets)
    }

    fn write_at(&self, file: &Self::File, offset: u64, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let octets = parts.iter().flat_map(|part| part.iter().copied()).collect::<Vec<u8>>();
        self.call(|| format!("write {} octets at {offset} of #{}", octets.len(), file.0))?
            .write(file.0, offset, &octets)
    }

    fn read_at(&self, file: &Self::File, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut shared = self.call(|| format!("read {} octets at {offset} of #{}", into.len(), file.0))?;
        shared.planned_error()?;
        shared.squall_in(file.0)?;
        let octets = shared.state.files[file.0].octets();
        let rest = usize::try_from(offset).ok().and_then(|from| octets.get(from..)).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn len(&self, file: &Self::File) -> io::Result<u64> {
        let mut shared = self.call(|| format!("length of #{}", file.0))?;
        shared.planned_error()?;
        Ok(shared.state.files[file.0].octets().len() as u64)
    }

    fn sync(&self, file: &Self::File) -> io::Result<()> {
        self.call(|| format!("sync #{}", file.0))?.sync(&[file.0])
    }

    fn sync_many(&self, files: &[Self::File]) -> io::Result<()> {
        let files: Vec<usize> = files.iter().map(|file| file.0).collect();
        self.call(|| format!("sync {files:?}"))?.sync(&files)
    }

    fn sync_names(&self, folder: &str) -> io::Result<()> {
        let mut shared = self.call(|| format!("sync names of '{folder}'"))?;
        if shared.is_ignored(|_| format!("names of '{folder}'")) {
            return Ok(());
        }
        if let Err(error) = shared.planned_error() {
            if !shared.off {
                shared.state.pending.iter_mut().filter(|c| c.is_in(folder)).for_each(|c| c.doomed = true);
            }
            return Err(error);
        }
        let pending = std::mem::take(&mut shared.state.pending);
        for change in pending {
            if change.is_in(folder) && !change.doomed {
                change.apply(&mut shared.state.durable_names);
            } else {
                shared.state.pending.push(change);
            }
        }
        if shared.moments.is_none() {
            shared.state.forget_nameless();
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut shared = self.call(|| format!("rename {from} {to}"))?;
        let file = shared.file(from)?;
        shared.squall(from)?;
        let outcome = shared.planned_error();
        if outcome.is_ok() || shared.off {
            shared.change(Some(from), Some((to, file)));
        }
        outcome
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut shared = self.call(|| format!("remove {name}"))?;
        shared.file(name)?;
        shared.squall(name)?;
        let outcome = shared.planned_error();
        if outcome.is_ok() || shared.off {
            shared.change(Some(name), None);
        }
        outcome
    }

    fn list(&self, folder: &str, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut shared = self.call(|| format!("list '{folder}'"))?;
        shared.planned_error()?;
        let names: Vec<String> = shared.state.names.keys().filter(|name| folder_of(name) == folder).cloned().collect();
        drop(shared);
        for name in names {
            each(name.rsplit_once('/').map_or(name.as_str(), |(_, last)| last));
        }
        Ok(())
    }

    fn free_space(&self) -> io::Result<Space> {
        let mut shared = self.call(|| "free space".to_owned())?;
        shared.planned_error()?;
        let octets = shared.plan.room.map_or(u64::MAX, |room| room.saturating_sub(shared.used()));
        Ok(Space { octets, files: None })
    }

    fn preallocate(&self, file: &Self::File, octets: u64) -> io::Result<()> {
        let mut shared = self.call(|| format!("preallocate {octets} octets of #{}", file.0))?;
        let zeros = vec![0; usize::try_from(octets).map_err(|_| io::ErrorKind::FileTooLarge)?];
        shared.write(file.0, 0, &zeros)?;
        shared.state.files[file.0].sync();
        Ok(())
    }
}
