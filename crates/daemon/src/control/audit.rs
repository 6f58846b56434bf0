//! The audit log: one line of JSON for each change that an operator made or was refused.
//!
//! `audit.log` in the state folder, readable by the service alone, has what was done; `refused.log` what was refused or failed, so that
//! whoever is refused again and again pushes out nothing that was done. A record is written before the operator gets his answer; a file
//! is turned over (`audit.log.1`) when it is long, and read from its end in pieces. No secret gets into it: passwords do
//! not serialize, tokens are not in commands.

use super::Fault;
use relay::admin::settings::{conceal, presentable};
use relay::admin::view::{AuditRecord, Outcome, Page};
use relay::admin::{AuditFilter, Command, Operator};
use smtp::time::Timestamp;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// Lines of one file; then a new one is begun, and the one before the last is forgotten.
pub const AUDIT_LINES_MAX: usize = 100_000;
/// Octets of one file; the same.
pub const AUDIT_OCTETS_MAX: u64 = 64 * 1_024 * 1_024;
/// Octets of each part of a record: who, from where, what, before, after.
pub const AUDIT_PART_MAX: usize = 4 * 1_024;
/// Octets of a line that is read; a longer one is passed over.
const LINE_MAX: usize = 1_024 * 1_024;
/// Octets that are read at once.
const PIECE: u64 = 64 * 1_024;

/// See the module.
pub struct Audit {
    done: Book,
    refused: Book,
}

/// Where a page begins: so far each of the two files was not read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    done: u64,
    refused: u64,
}

impl FromStr for Place {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Place, Self::Err> {
        let (done, refused) = text.split_once('.').unwrap_or((text, ""));
        Ok(Place { done: done.parse()?, refused: refused.parse()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.done, self.refused)
    }
}

impl Audit {
    /// In this state folder; nothing is opened yet.
    #[must_use]
    pub fn at(state: &Path) -> Audit {
        Audit { done: Book::at(state.join("audit.log")), refused: Book::at(state.join("refused.log")) }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, record: &AuditRecord) -> io::Result<()> {
        let book = if record.outcome == "done" { &self.done } else { &self.refused };
        book.write(record)
    }

    /// Records that match, newest first; `before`: only those before this place, as the page before it said.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn page(
        &self,
        filter: &AuditFilter,
        before: Option<Place>,
        limit: usize,
    ) -> io::Result<Page<AuditRecord>> {
        let mut done = self.done.backwards(before.map(|place| place.done))?;
        let mut refused = self.refused.backwards(before.map(|place| place.refused))?;
        let mut place = Place { done: done.end(), refused: refused.end() };
        let (mut a, mut b) = (done.matching(filter)?, refused.matching(filter)?);
        let mut items = Vec::new();
        while items.len() < limit {
            let is_done = match (&a, &b) {
                (None, None) => break,
                (Some((_, a)), Some((_, b))) => a.at >= b.at,
                (a, _) => a.is_some(),
            };
            let (book, next, at) =
                if is_done { (&mut done, &mut a, &mut place.done) } else { (&mut refused, &mut b, &mut place.refused) };
            let following = book.matching(filter)?;
            if let Some((start, record)) = std::mem::replace(next, following) {
                *at = start;
                items.push(record);
            }
        }
        let next = (a.is_some() || b.is_some()).then(|| place.to_string());
        Ok(Page { items, total: None, next })
    }
}

/// A file, and the one before it.
struct Book {
    path: PathBuf,
    open: Mutex<Option<Open>>,
    lines_max: usize,
    octets_max: u64,
}

struct Open {
    file: File,
    lines: usize,
    octets: u64,
}

impl Book {
    fn at(path: PathBuf) -> Book {
        Book { path, open: Mutex::new(None), lines_max: AUDIT_LINES_MAX, octets_max: AUDIT_OCTETS_MAX }
    }

    fn older(&self) -> PathBuf {
        self.path.with_extension("log.1")
    }

    fn write(&self, record: &AuditRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut begun = match open.take() {
            Some(begun) => begun,
            None => self.begin()?,
        };
        let octets = begun.octets.saturating_add(line.len() as u64);
        if begun.lines >= self.lines_max || begun.octets > 0 && octets > self.octets_max {
            fs::rename(&self.path, self.older())?;
            begun = self.begin()?;
        }
        begun.lines += 1;
        begun.octets += line.len() as u64;
        let Open { file, .. } = open.insert(begun);
        file.write_all(&line)?;
        file.sync_data()
    }

    fn begin(&self) -> io::Result<Open> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        let octets = file.metadata()?.len();
        let (mut lines, mut reader) = (0, BufReader::with_capacity(64 * 1_024, File::open(&self.path)?));
        loop {
            let piece = reader.fill_buf()?;
            if piece.is_empty() {
                return Ok(Open { file, lines, octets });
            }
            lines += piece.iter().filter(|octet| **octet == b'\n').count();
            let length = piece.len();
            reader.consume(length);
        }
    }

    /// From the end, or from there on.
    fn backwards(&self, before: Option<u64>) -> io::Result<Backwards> {
        let (mut files, mut length) = (Vec::new(), 0);
        for path in [self.older(), self.path.clone()] {
            match File::open(&path) {
                Ok(file) => {
                    let octets = file.metadata()?.len();
                    files.push((length, file));
                    length += octets;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let at = before.map_or(length, |before| before.min(length));
        Ok(Backwards { files, at, tail: Vec::new() })
    }
}

/// The lines of a book, the last one first; a piece of it is in memory.
struct Backwards {
    /// Where each file begins in the whole.
    files: Vec<(u64, File)>,
    /// What is before it was not read.
    at: u64,
    /// What was read from there on, and not given yet.
    tail: Vec<u8>,
}

impl Backwards {
    fn end(&self) -> u64 {
        self.at + self.tail.len() as u64
    }

    /// The next record that matches, and where it begins.
    fn matching(&mut self, filter: &AuditFilter) -> io::Result<Option<(u64, AuditRecord)>> {
        while let Some((start, line)) = self.line()? {
            if let Ok(record) = serde_json::from_slice::<AuditRecord>(&line)
                && filter.matches(&record)
            {
                return Ok(Some((start, record)));
            }
        }
        Ok(None)
    }

    fn line(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        loop {
            // The last octet is the line's own end.
            let inner = self.tail.len().saturating_sub(1);
            if let Some(sign) = self.tail[..inner].iter().rposition(|octet| *octet == b'\n') {
                let line = self.tail.split_off(sign + 1);
                return Ok(Some((self.end(), line)));
            }
            if self.at == 0 {
                let line = std::mem::take(&mut self.tail);
                return Ok((!line.is_empty()).then_some((0, line)));
            }
            // What is left of a line that is too long is no record.
            if self.tail.len() > LINE_MAX {
                self.tail.clear();
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        let Some((begin, file)) = self.files.iter().rev().find(|(begin, _)| *begin < self.at) else {
            self.at = 0;
            return Ok(());
        };
        let from = self.at.saturating_sub(PIECE).max(*begin);
        let mut piece = vec![0; usize::try_from(self.at - from).unwrap_or_default()];
        file.read_exact_at(&mut piece, from - begin)?;
        piece.append(&mut self.tail);
        (self.at, self.tail) = (from, piece);
        Ok(())
    }
}

/// As much of it as a record takes; how much more there was is told.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(AUDIT_PART_MAX);
    match text.len() - end {
        0 => text.to_owned(),
        more => format!("{}…+{more} octets", &text[..end]),
    }
}

/// What is written down about a command.
pub(super) fn record(
    now: Timestamp,
    by: &Operator,
    from: &str,
    command: &Command,
    outcome: &Result<Outcome, Fault>,
) -> AuditRecord {
    let what = serde_json::to_string(&presentable(command)).unwrap_or_default();
    AuditRecord { server: command.server().map(cut), ..event(now, &by.name, from, &what, outcome) }
}

/// What is written down about something that is no command.
pub(super) fn event(
    now: Timestamp,
    who: &str,
    from: &str,
    what: &str,
    outcome: &Result<Outcome, Fault>,
) -> AuditRecord {
    let (word, before, after) = match outcome {
        Ok(outcome) => {
            let diff = conceal(&outcome.diff);
            ("done", removed(&diff), Some(added(&diff).unwrap_or(outcome.text.clone())))
        }
        Err(Fault::Denied(denied)) => ("refused", None, Some(denied.to_string())),
        Err(Fault::Refused(why)) => ("refused", None, Some(why.clone())),
        Err(fault) => ("failed", None, Some(fault.to_string())),
    };
    AuditRecord {
        at: now.rfc3339(),
        who: cut(who),
        from: cut(from),
        server: None,
        what: cut(what),
        before: before.as_deref().map(cut),
        after: after.as_deref().map(cut),
        outcome: word.into(),
    }
}

fn removed(diff: &str) -> Option<String> {
    lines(diff, '-', "---")
}

fn added(diff: &str) -> Option<String> {
    lines(diff, '+', "+++")
}

fn lines(diff: &str, sign: char, head: &str) -> Option<String> {
    let lines: Vec<&str> = diff.lines().filter(|line| line.starts_with(sign) && !line.starts_with(head)).collect();
    (!lines.is_empty()).then(|| lines.iter().map(|line| line[1..].trim()).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(n: i64, text: &str, outcome: &str) -> AuditRecord {
        let done = Ok(Outcome { text: text.into(), ..Outcome::default() });
        AuditRecord {
            outcome: outcome.into(),
            ..event(Timestamp(1_800_000_000_000 + n), "anna", "socket", "it", &done)
        }
    }

    fn all(audit: &Audit, limit: usize) -> Vec<String> {
        let (mut found, mut place) = (Vec::new(), None);
        loop {
            let page = audit.page(&AuditFilter::default(), place, limit).unwrap();
            assert!(page.items.len() <= limit);
            found.extend(page.items.into_iter().filter_map(|record| record.after));
            match page.next {
                Some(next) => place = Some(next.parse().unwrap()),
                None => return found,
            }
        }
    }

    #[test]
    fn pages_go_back_over_both_files_by_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut audit = Audit::at(folder.path());
        audit.done.lines_max = 50;
        for n in 0..90 {
            let outcome = if n % 3 == 0 { "refused" } else { "done" };
            audit.write(&entry(n, &format!("{n} {}", "x".repeat(3_000)), outcome)).unwrap();
        }
        assert!(audit.done.older().exists() && !audit.refused.older().exists());
        for limit in [1, 7, 100] {
            let numbers: Vec<u64> =
                all(&audit, limit).iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
            assert_eq!(numbers, (0..90).rev().collect::<Vec<u64>>());
        }
        assert!("7".parse::<Place>().is_err() && "1.2".parse::<Place>().is_ok());
    }

    #[test]
    fn refusals_push_out_nothing_that_was_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut audit = Audit::at(folder.path());
        (audit.done.lines_max, audit.refused.lines_max) = (10, 10);
        audit.write(&entry(0, "a change", "done")).unwrap();
        for n in 1..100 {
            audit.write(&entry(n, "no", if n % 2 == 0 { "refused" } else { "failed" })).unwrap();
        }
        let found = all(&audit, 1_000);
        assert_eq!(found.last().map(String::as_str), Some("a change"));
        assert!(found.len() <= 21, "{}", found.len());
    }

    #[test]
    fn neither_a_part_nor_a_file_grows_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut audit = Audit::at(folder.path());
        audit.done.octets_max = 100_000;
        let long = "ä".repeat(1_000_000);
        for n in 0..30 {
            audit.write(&entry(n, &long, "done")).unwrap();
        }
        let records = all(&audit, 1_000);
        assert!(records.len() > 20 && records.iter().all(|text| text.len() < AUDIT_PART_MAX + 40), "{}", records.len());
        assert!(records[0].ends_with(&format!("…+{} octets", 2_000_000 - AUDIT_PART_MAX)), "{}", records[0]);
        for path in [&audit.done.path, &audit.done.older()] {
            assert!(fs::metadata(path).unwrap().len() <= 100_000);
        }
        // A line of an earlier version may be of any length: it is passed over.
        let mut file = OpenOptions::new().append(true).open(&audit.done.path).unwrap();
        writeln!(file, "{{\"at\":\"{}\"}}", "x".repeat(3 * LINE_MAX)).unwrap();
        assert_eq!(all(&audit, 1_000), records);
    }
}
