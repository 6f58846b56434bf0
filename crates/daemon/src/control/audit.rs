//! The audit log: one line of JSON for each change that an operator made or was refused.
//!
//! `audit.log` in the state folder, readable by the service alone. It is written before the operator gets his answer, and turned
//! over to `audit.log.1` when it is long. No secret gets into it: passwords do not serialize, tokens are not in commands.

use super::Fault;
use relay::admin::settings::{conceal, presentable};
use relay::admin::view::{AuditRecord, Outcome, Page};
use relay::admin::{AuditFilter, Command, Operator};
use smtp::time::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Lines of one file; then a new one is begun, and the one before the last is forgotten.
pub const AUDIT_LINES_MAX: usize = 100_000;

/// See the module.
pub struct Audit {
    path: PathBuf,
    /// The open file, and its lines.
    open: Mutex<Option<(File, usize)>>,
}

impl Audit {
    /// In this state folder; nothing is opened yet.
    #[must_use]
    pub fn at(state: &Path) -> Audit {
        Audit { path: state.join("audit.log"), open: Mutex::new(None) }
    }

    /// Appends a record.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, record: &AuditRecord) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, lines)| *lines >= AUDIT_LINES_MAX) {
            *open = None;
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
        }
        let (file, lines) = match &mut *open {
            Some(open) => open,
            none => none.insert(self.begin()?),
        };
        file.write_all(&line)?;
        *lines += 1;
        file.sync_data()
    }

    fn begin(&self) -> io::Result<(File, usize)> {
        if let Some(folder) = self.path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        let lines = BufReader::new(File::open(&self.path)?).lines().count();
        Ok((file, lines))
    }

    /// Records that match, newest first; `before`: only those before this one, as the page before it said.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn page(&self, filter: &AuditFilter, before: Option<u64>, limit: usize) -> io::Result<Page<AuditRecord>> {
        let mut lines = Vec::new();
        for path in [self.path.with_extension("log.1"), self.path.clone()] {
            match fs::read_to_string(&path) {
                Ok(text) => lines.extend(text.lines().map(str::to_owned)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let end =
            before.and_then(|before| usize::try_from(before).ok()).map_or(lines.len(), |end| end.min(lines.len()));
        let found = lines[..end].iter().enumerate().rev().filter_map(|(number, line)| {
            let record: AuditRecord = serde_json::from_str(line).ok()?;
            filter.matches(&record).then_some((number, record))
        });
        // One more than fits says that there is a next page.
        let mut found: Vec<(usize, AuditRecord)> = found.take(limit + 1).collect();
        let next = (found.len() > limit).then(|| found.pop()).flatten().map(|(number, _)| (number + 1).to_string());
        Ok(Page { items: found.into_iter().map(|(_, record)| record).collect(), total: None, next })
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
    AuditRecord { server: command.server().map(str::to_owned), ..event(now, &by.name, from, &what, outcome) }
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
        who: who.into(),
        from: from.into(),
        server: None,
        what: what.into(),
        before,
        after,
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
