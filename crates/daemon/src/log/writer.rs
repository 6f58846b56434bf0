//! The thread behind the log: gathers lines, folds repeated ones, writes in one go, and says what was lost.

use super::{Entry, NAP};
use crate::clock::Clock;
use smtp::time::Timestamp;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

/// The buffer is written when it is this full, even before its time.
const BUFFER_MAX: usize = 128 * 1024;
/// A line that keeps repeating is told of at least this often.
const FOLD_FOR: Duration = Duration::from_secs(10);
/// How often, and after how long each time, a target that would block is tried again before its lines are given up.
const PATIENCE: (u32, Duration) = (100, Duration::from_millis(10));

pub(super) struct Writer {
    target: Box<dyn Write + Send>,
    clock: Clock,
    lost: Arc<AtomicU64>,
    /// How many of `lost` the log has told of.
    told: u64,
    buffer: Vec<u8>,
    /// Lines in `buffer`.
    lines: u64,
    /// The last write broke off, perhaps inside a line.
    torn: bool,
    last: String,
    repeats: u64,
    /// When the first of `repeats` came.
    repeats_since: Timestamp,
    date: Date,
}

impl Writer {
    pub(super) fn new(target: Box<dyn Write + Send>, lost: Arc<AtomicU64>, clock: Clock) -> Writer {
        Writer {
            target,
            clock,
            lost,
            told: 0,
            buffer: Vec::new(),
            lines: 0,
            torn: false,
            last: String::new(),
            repeats: 0,
            repeats_since: Timestamp(0),
            date: Date::default(),
        }
    }

    /// Until every [`super::Log`] is gone.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            let first = if self.repeats > 0 || self.lost.load(Ordering::Relaxed) > self.told {
                entries.recv_timeout(Duration::from_secs(1))
            } else {
                entries.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            let mut done = match first {
                Ok(entry) => self.take(entry),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if done.is_none() {
                std::thread::sleep(NAP);
            }
            while let Ok(entry) = entries.try_recv() {
                done = self.take(entry).or(done);
                if self.buffer.len() >= BUFFER_MAX {
                    self.write();
                }
            }
            self.finish_batch(done.is_some());
            if let Some(done) = done {
                let _ = done.try_send(());
            }
        }
        self.finish_batch(true);
    }

    fn take(&mut self, entry: Entry) -> Option<SyncSender<()>> {
        match entry {
            Entry::Flush { done } => return Some(done),
            Entry::Line { at, text } if text == self.last => {
                if self.repeats == 0 {
                    self.repeats_since = at;
                }
                self.repeats += 1;
            }
            Entry::Line { at, text } => {
                self.tell_repeats(at);
                self.line(at, &text);
                self.last = text;
            }
        }
        None
    }

    fn finish_batch(&mut self, flushing: bool) {
        let now = self.clock.now();
        if flushing || now.since(self.repeats_since) >= FOLD_FOR {
            self.tell_repeats(now);
        }
        let lost = self.lost.load(Ordering::Relaxed);
        if lost > self.told {
            self.line(now, &format!("log_lost lines={}", lost - self.told));
            self.lines -= 1; // this line may be lost without being counted
            if self.write() {
                self.told = lost;
            }
        }
        self.write();
    }

    fn tell_repeats(&mut self, at: Timestamp) {
        if self.repeats > 0 {
            let line = format!("repeated times={}", self.repeats);
            self.repeats = 0;
            self.line(at, &line);
        }
    }

    fn line(&mut self, at: Timestamp, text: &str) {
        if std::mem::take(&mut self.torn) {
            self.buffer.push(b'\n');
        }
        self.date.print(at, &mut self.buffer);
        self.buffer.push(b' ');
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(b'\n');
        self.lines += 1;
    }

    /// Writes the buffer; what cannot be written is lost, for mail does not wait for the log.
    fn write(&mut self) -> bool {
        let lines = std::mem::take(&mut self.lines);
        let written = write_patiently(&mut *self.target, &self.buffer);
        self.buffer.clear();
        if written.is_err() {
            self.torn = true;
            self.lost.fetch_add(lines, Ordering::Relaxed);
        }
        written.is_ok()
    }
}

fn write_patiently(target: &mut dyn Write, mut octets: &[u8]) -> io::Result<()> {
    let mut tries = 0;
    while !octets.is_empty() {
        match target.write(octets) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => octets = &octets[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock && tries < PATIENCE.0 => {
                tries += 1;
                std::thread::sleep(PATIENCE.1);
            }
            Err(e) => return Err(e),
        }
    }
    target.flush()
}

/// Prints times; remembers the second, of which there are many lines.
#[derive(Default)]
struct Date {
    second: Option<i64>,
    text: String,
}

impl Date {
    fn print(&mut self, at: Timestamp, out: &mut Vec<u8>) {
        let second = at.0.div_euclid(1_000);
        if self.second != Some(second) {
            self.second = Some(second);
            self.text = Timestamp(second * 1_000).rfc3339();
            // What is left is `2026-11-22T07:00:00.`
            self.text.truncate(self.text.len() - "000Z".len());
        }
        out.extend_from_slice(self.text.as_bytes());
        let _ = write!(out, "{:03}Z", at.0.rem_euclid(1_000));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_the_same_with_and_without_memory() {
        let mut date = Date::default();
        for at in [0, 1, 999, 1_000, 1_795_330_800_123, 1_795_330_800_007, 1_795_330_801_007, -1, -1_000] {
            let mut out = Vec::new();
            date.print(Timestamp(at), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), Timestamp(at).rfc3339());
        }
    }
}
