//! The log: one line for each thing that happened, written by a thread of its own.
//!
//! ```text
//! 2026-11-22T07:00:00.123Z delivered id=… to=… by=… said="250 2.0.0 Ok" after=12ms
//! ```
//!
//! [`Log::write`] prints the record into a line and puts it into a bounded channel; it never waits, whatever the
//! disk or the terminal does. The writer gathers lines for [`NAP`] and writes them in one go, so a line is at most about that
//! late. When the channel is full, lines are lost; they are counted, and the log says how many as soon as it can
//! (`log_lost lines=…`). A line that is the same as the one before it, but for the time, is not written again but
//! counted (`repeated times=…`), so that a fault which repeats a thousand times a second does not fill a disk.
//!
//! Which lines: [`Level`]. What they look like, and why no stranger can forge one: [`relay::record`]. Diagnostics that
//! are no records, our libraries' and our own, come from `tracing` through [`diagnostics`] into the same log as `note …`.

mod diagnostics;
mod writer;

use crate::clock::Clock;
use crate::counters::Counts;
use relay::record::{Level, Line, Record};
use smtp::time::Timestamp;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Lines that may wait for the writer: a tenth of a second's worth of the busiest relay.
const LINES_WAITING_MAX: usize = 16_384;
/// How long the writer gathers lines before it writes them.
const NAP: Duration = Duration::from_millis(25);
/// How long an ending program waits for its last lines to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// Where everybody reports what happened. Cheap to clone.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    /// Where what is noted is counted.
    counts: Option<Arc<Counts>>,
    /// ` server="…"`, if there are several; one for all clones of a virtual server's log.
    suffix: Option<Arc<RwLock<Box<str>>>>,
}

struct Shared {
    level: Level,
    clock: Clock,
    lines: SyncSender<Entry>,
    /// Lines that did not fit into the channel, or that could not be written.
    lost: Arc<AtomicU64>,
}

enum Entry {
    Line { at: Timestamp, text: String },
    Flush { done: SyncSender<()> },
}

/// Flushes the log when it goes out of scope: to be held until the program ends.
#[must_use]
pub struct Flush {
    log: Log,
}

impl Log {
    /// Starts the writer.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(level: Level, clock: Clock, target: Box<dyn Write + Send>) -> std::io::Result<(Log, Flush)> {
        let (lines, entries) = mpsc::sync_channel(LINES_WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = writer::Writer::new(target, Arc::clone(&lost), clock.clone());
        std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&entries))?;
        let log = Log { shared: Arc::new(Shared { level, clock, lines, lost }), suffix: None, counts: None };
        Ok((log.clone(), Flush { log }))
    }

    /// A log that nobody reads (tests).
    #[must_use]
    pub fn nowhere() -> Log {
        let (lines, _) = mpsc::sync_channel(0);
        let lost = Arc::new(AtomicU64::new(0));
        let clock = Clock::starting_at(Timestamp(0));
        Log { shared: Arc::new(Shared { level: Level::Quiet, clock, lines, lost }), suffix: None, counts: None }
    }

    /// The same log, its lines naming this virtual server: for configurations with several.
    #[must_use]
    pub fn of_server(&self, name: &str) -> Log {
        let suffix = Arc::new(RwLock::new(suffix(Some(name))));
        Log { shared: Arc::clone(&self.shared), suffix: Some(suffix), counts: self.counts.clone() }
    }

    /// From now on the lines of this virtual server's log name it so; `None`: it is the only one, and is not named.
    pub fn set_server(&self, name: Option<&str>) {
        if let Some(known) = &self.suffix {
            *known.write().unwrap_or_else(PoisonError::into_inner) = suffix(name);
        }
    }

    /// The same log; what is noted there is counted, whether it is written or not.
    #[must_use]
    pub fn counting(self, counts: Arc<Counts>) -> Log {
        Log { counts: Some(counts), ..self }
    }

    /// Where what is noted is counted, if it is.
    #[must_use]
    pub fn counts(&self) -> Option<&Arc<Counts>> {
        self.counts.as_ref()
    }

    /// Is a record of this level of use to anybody? For callers whose records cost something to make.
    #[must_use]
    pub fn wants(&self, level: Level) -> bool {
        self.counts.is_some() || self.shows(level)
    }

    /// Is a record of this level written?
    fn shows(&self, level: Level) -> bool {
        level <= self.shared.level
    }

    /// Notes what happened, now. Never waits.
    pub fn write(&self, record: &Record) {
        if let Some(counts) = &self.counts {
            counts.note(record);
        }
        if self.shows(record.level()) {
            let mut text = String::with_capacity(192);
            record.print(&mut text);
            self.send(text);
        }
    }

    /// Notes trouble that the operator should know of: what is wrong and what to do, in a sentence.
    pub fn alarm(&self, text: impl Into<Box<str>>) {
        self.write(&Record::Alarm { text: text.into() });
    }

    /// Lines lost so far, because the writer could not keep up or could not write.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    /// From now on, diagnostics of libraries and panics of our own go to this log too. Once in a process.
    pub fn take_diagnostics(&self) {
        diagnostics::install(self);
    }

    fn send(&self, mut text: String) {
        if let Some(suffix) = &self.suffix {
            text.push_str(&suffix.read().unwrap_or_else(PoisonError::into_inner));
        }
        let entry = Entry::Line { at: self.shared.clock.now(), text };
        match self.shared.lines.try_send(entry) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn suffix(name: Option<&str>) -> Box<str> {
    let mut suffix = String::new();
    if let Some(name) = name {
        let _ = Line::new(&mut suffix, "").field("server", &name);
    }
    suffix.into()
}

impl Flush {
    /// Waits until everything that was noted before is written, at most two seconds.
    pub fn flush(&self) {
        let until = Instant::now() + FLUSH_TIMEOUT;
        let (done, finished) = mpsc::sync_channel(1);
        let mut entry = Entry::Flush { done };
        loop {
            match self.log.shared.lines.try_send(entry) {
                Ok(()) => break,
                Err(TrySendError::Full(back)) if Instant::now() < until => {
                    entry = back;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return,
            }
        }
        let _ = finished.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
