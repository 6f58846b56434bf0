//! What the system tells about the Pickup folder, as a bounded channel of words.
//!
//! The system's own thread puts words in and never waits: if the service is behind, words are dropped, which is itself
//! noted ([`Heard::lost`]); then the folder is looked through, and nothing that was told counts any more. If the system
//! tells nothing at all (it has run out of watches, the folder is on another computer), the periodic look remains.

use super::sightings::{Sign, Told};
use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind, RenameMode};
use notify::{Config, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// Words that may wait.
const WORDS_MAX: usize = 65_536;
/// Words taken at a time, so that files are handled between them.
const HEARD_MAX: usize = 4_096;

/// One thing that was told.
#[derive(Debug)]
enum Word {
    /// About this name.
    Of(OsString, Told),
    /// Somebody wants something else of us: look around.
    Wake,
}

/// The other end: for the system's thread, and for those who stop the service.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    words: SyncSender<Word>,
    lost: Arc<AtomicBool>,
}

/// Where words arrive.
#[derive(Debug)]
pub(crate) struct Ear {
    words: Receiver<Word>,
    lost: Arc<AtomicBool>,
    speaker: Speaker,
    watcher: Option<RecommendedWatcher>,
}

/// What was told since the last time.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Names, each with what was told, in the order of telling.
    pub signs: Vec<(OsString, Told)>,
    /// Something was told that got lost.
    pub lost: bool,
}

impl Ear {
    /// An ear that hears nothing yet.
    pub fn new() -> Ear {
        let (sender, words) = sync_channel(WORDS_MAX);
        let lost = Arc::new(AtomicBool::new(false));
        let speaker = Speaker { words: sender, lost: Arc::clone(&lost) };
        Ear { words, lost, speaker, watcher: None }
    }

    /// For those who have something to say.
    pub fn speaker(&self) -> Speaker {
        self.speaker.clone()
    }

    /// From now on hears of this folder, and of no other.
    pub fn listen(&mut self, folder: &Path) -> notify::Result<()> {
        self.watcher = None;
        let speaker = self.speaker();
        let mut watcher = RecommendedWatcher::new(move |told| speaker.pass_on(told), Config::default())?;
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        self.watcher = Some(watcher);
        Ok(())
    }

    /// Waits until something is told or the time has come.
    pub fn hear(&self, until: Instant) -> Heard {
        let mut heard = Heard::default();
        let wait = until.saturating_duration_since(Instant::now());
        match self.words.recv_timeout(wait) {
            Ok(word) => heard.take(word),
            Err(RecvTimeoutError::Timeout) => {}
            // There is always a speaker in this struct; but if there were none, there would be no hurry either.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(wait.min(Duration::from_secs(1))),
        }
        while heard.signs.len() < HEARD_MAX {
            match self.words.try_recv() {
                Ok(word) => heard.take(word),
                Err(_) => break,
            }
        }
        heard.lost = self.lost.swap(false, Ordering::Relaxed);
        heard
    }
}

impl Heard {
    fn take(&mut self, word: Word) {
        match word {
            Word::Of(name, told) => self.signs.push((name, told)),
            Word::Wake => {}
        }
    }
}

impl Speaker {
    /// Makes whoever listens look around.
    pub fn wake(&self) {
        // If there is no room, there is enough to wake up for.
        let _ = self.words.try_send(Word::Wake);
    }

    fn pass_on(&self, told: notify::Result<notify::Event>) {
        let Ok(event) = told else { return self.lose() };
        if event.need_rescan() {
            self.lose();
        }
        let Some(told) = told_by(&event) else { return };
        for path in &event.paths {
            if let Some(name) = path.file_name()
                && self.words.try_send(Word::Of(name.to_owned(), told)).is_err()
            {
                self.lose();
            }
        }
    }

    fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
        self.wake();
    }
}

/// What an event says about the name, if it says anything that matters here.
fn told_by(event: &notify::Event) -> Option<Told> {
    let sign = match event.kind {
        EventKind::Create(CreateKind::Folder) => return None,
        EventKind::Create(_) => Sign::Created,
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Sign::Closed,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => return Some(Told::Left(event.tracker()?)),
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
            return Some(event.tracker().map_or(Told::Sign(Sign::Moved), Told::Came));
        }
        EventKind::Modify(ModifyKind::Data(_)) => Sign::Written,
        // A second name has gone, a right was given: worth another look.
        EventKind::Modify(ModifyKind::Metadata(_)) => Sign::Unseen,
        EventKind::Remove(_) => return Some(Told::Gone),
        _ => return None,
    };
    Some(Told::Sign(sign))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// What is told until `enough` says so, at most ten seconds.
    fn hear(ear: &Ear, mut enough: impl FnMut(&[(OsString, Told)]) -> bool) -> Vec<(OsString, Told)> {
        let until = Instant::now() + Duration::from_secs(10);
        let mut all = Vec::new();
        while !enough(&all) {
            assert!(Instant::now() < until, "{all:?}");
            all.extend(ear.hear(until).signs);
        }
        all
    }

    fn last_of(all: &[(OsString, Told)], name: &str) -> Sign {
        let known = |sign: Sign, (_, told): &(OsString, Told)| match told {
            Told::Sign(told) => sign.then(*told),
            Told::Came(_) => Sign::Moved,
            Told::Left(_) | Told::Gone => Sign::Unseen,
        };
        all.iter().filter(|(told, _)| told == name).fold(Sign::Unseen, known)
    }

    #[test]
    fn the_three_ways_to_write_a_file_can_be_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
        let mut ear = Ear::new();
        ear.listen(folder.path()).unwrap();
        let mut open = std::fs::File::create(folder.path().join("open.eml")).unwrap();
        open.write_all(b"From: ").unwrap();
        std::fs::write(folder.path().join("closed.eml"), "From: a@b.test\n").unwrap();
        std::fs::write(elsewhere.path().join("x"), "From: a@b.test\n").unwrap();
        std::fs::rename(elsewhere.path().join("x"), folder.path().join("moved.eml")).unwrap();
        let told = hear(&ear, |all| last_of(all, "moved.eml") == Sign::Moved);
        assert_eq!(last_of(&told, "open.eml"), Sign::Written);
        assert_eq!(last_of(&told, "closed.eml"), Sign::Closed);
        drop(open);
        hear(&ear, |all| last_of(all, "open.eml") == Sign::Closed);
    }

    #[test]
    fn what_cannot_be_told_is_noted() {
        let ear = Ear::new();
        let speaker = ear.speaker();
        let path = Path::new("/x/name").to_owned();
        let event = notify::Event::new(EventKind::Create(CreateKind::File)).add_path(path);
        for _ in 0..WORDS_MAX {
            speaker.pass_on(Ok(event.clone()));
        }
        assert!(!ear.hear(Instant::now()).lost);
        for _ in 0..=HEARD_MAX {
            speaker.pass_on(Ok(event.clone()));
        }
        assert!(ear.hear(Instant::now()).lost);
        assert!(!ear.hear(Instant::now()).lost, "told once");
    }
}
