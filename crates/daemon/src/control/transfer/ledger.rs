//! What was carried into which queue before: a line of text for each message, `imported.log` in the state folder.
//!
//! ```text
//! 00063f1c2d3e4f50 0006614dfbea5dc9 2026-11-28T07:00:00.000Z Default SMTP Virtual Server
//! ```
//!
//! The id that it had, the one that it got, when, and where. The newest [`IMPORTED_MAX`] are kept. A line is written after its
//! message is durable: a crash in between forgets it, so that a second import would carry it in twice, and never not at all.

use relay::envelope::QueueId;
use smtp::time::Timestamp;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Messages that are remembered.
pub const IMPORTED_MAX: usize = 100_000;

/// See the module.
pub(super) struct Ledger {
    file: File,
    server: String,
    known: HashMap<QueueId, QueueId>,
}

impl Ledger {
    /// Reads what is known of this virtual server. `may_shorten`: nobody else has it open, whose lines would be lost.
    pub fn open(state: &Path, server: &str, may_shorten: bool) -> io::Result<Ledger> {
        let path = state.join("imported.log");
        let text = match fs::read(&path) {
            Ok(octets) => String::from_utf8_lossy(&octets).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let lines: Vec<&str> = text.lines().collect();
        let is_shortened = may_shorten && lines.len() > IMPORTED_MAX;
        if is_shortened {
            let kept = &lines[lines.len() - IMPORTED_MAX / 2..];
            let new = path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            kept.iter().try_for_each(|line| writeln!(file, "{line}"))?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
        }
        let entry = |line: &&str| {
            let mut parts = line.splitn(4, ' ');
            let (old, new) = (QueueId::parse(parts.next()?)?, QueueId::parse(parts.next()?)?);
            let _at = parts.next()?;
            (parts.next()? == server).then_some((old, new))
        };
        let known = lines.iter().filter_map(entry).collect();
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        // What is added must not become part of a line that was torn; a shortened file ends well already.
        if !is_shortened && !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n")?;
        }
        Ok(Ledger { file, server: server.to_owned(), known })
    }

    /// The id under which it was carried in before.
    pub fn before(&self, old: QueueId) -> Option<QueueId> {
        self.known.get(&old).copied()
    }

    /// It was carried in now.
    pub fn add(&mut self, old: QueueId, new: QueueId, now: Timestamp) -> io::Result<()> {
        self.known.insert(old, new);
        // All at once, so that a line is torn by a crash at most.
        self.file.write_all(format!("{old} {new} {} {}\n", now.rfc3339(), self.server).as_bytes())
    }

    /// Makes durable what was added.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_carried_in_is_known_where_it_was() {
        let state = tempfile::tempdir().unwrap();
        let open = |server: &str| Ledger::open(state.path(), server, true).unwrap();
        let mut ledger = open("Default SMTP");
        assert_eq!(ledger.before(QueueId(7)), None);
        ledger.add(QueueId(7), QueueId(70), Timestamp(0)).unwrap();
        ledger.sync().unwrap();
        assert_eq!(ledger.before(QueueId(7)), Some(QueueId(70)));
        assert_eq!(open("Default SMTP").before(QueueId(7)), Some(QueueId(70)));
        assert_eq!(open("Default").before(QueueId(7)), None, "another virtual server");
    }

    #[test]
    fn it_does_not_grow_for_ever_and_survives_damage() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("imported.log");
        let line = |n: usize| format!("{:016x} {:016x} x One\n", n, n + 1);
        let mut text: String = (0..=IMPORTED_MAX).map(line).collect();
        text.push_str("torn li");
        fs::write(&path, text).unwrap();
        let lines = || fs::read_to_string(&path).unwrap().lines().count();
        Ledger::open(state.path(), "One", false).unwrap();
        assert!(lines() > IMPORTED_MAX, "another import has it open");
        let ledger = Ledger::open(state.path(), "One", true).unwrap();
        assert_eq!(ledger.before(QueueId(IMPORTED_MAX as u64)), Some(QueueId(IMPORTED_MAX as u64 + 1)));
        assert!(lines() <= IMPORTED_MAX / 2);
    }

    #[test]
    fn a_torn_line_spoils_no_other() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("imported.log");
        fs::write(&path, format!("{:016x} {:016x} x One\n{:016x} {:01x}", 1, 10, 2, 2)).unwrap();
        Ledger::open(state.path(), "One", true).unwrap().add(QueueId(3), QueueId(30), Timestamp(0)).unwrap();
        let ledger = Ledger::open(state.path(), "One", true).unwrap();
        assert_eq!([1, 2, 3].map(|id| ledger.before(QueueId(id))), [Some(QueueId(10)), None, Some(QueueId(30))]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "whole files get no empty line");
    }
}
