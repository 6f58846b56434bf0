//! The house rules that text can show: one module a family, each check with a test that plants the fault.
//!
//! What the compiler and clippy already keep (no unsafe code, no clock in `smtp` and `relay`, function length) is
//! not repeated here, but for the exceptions that somebody allows.

pub mod documents;
pub mod imports;
pub mod names;
pub mod owners;
pub mod ratchet;

use crate::source::Tree;
use std::fmt;

/// One thing that is out of order.
#[derive(PartialEq, Eq, Debug)]
pub struct Fault {
    /// The file.
    pub path: String,
    /// The line, if one is meant.
    pub line: Option<usize>,
    /// What is wrong and what to do.
    pub what: String,
}

impl Fault {
    /// A fault of a whole file.
    pub fn file(path: &str, what: impl Into<String>) -> Fault {
        Fault { path: path.to_owned(), line: None, what: what.into() }
    }

    /// A fault at a line.
    pub fn line(path: &str, line: usize, what: impl Into<String>) -> Fault {
        Fault { path: path.to_owned(), line: Some(line), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.what),
            None => write!(f, "{}: {}", self.path, self.what),
        }
    }
}

/// Everything that is out of order in the project.
pub fn faults(tree: &Tree) -> Vec<Fault> {
    let checks: &[fn(&Tree) -> Vec<Fault>] = &[
        names::opening,
        names::suffixes,
        names::leftovers,
        names::places,
        names::test_binaries,
        imports::crates,
        imports::outside,
        imports::reasons,
        owners::receipts,
        owners::verdicts,
        owners::outcomes,
        owners::shared_state,
        owners::waiting,
        ratchet::check,
        documents::paths,
        documents::guards,
        documents::rfcs,
        documents::settings,
        documents::limits,
    ];
    checks.iter().flat_map(|check| check(tree)).collect()
}

/// For the tests of the checks: this check finds exactly one fault in the planted tree, and none in the sound one.
#[cfg(test)]
pub fn finds(check: fn(&Tree) -> Vec<Fault>, sound: &[(&str, &str)], planted: &[(&str, &str)]) {
    let before = check(&Tree::of(sound));
    assert!(before.is_empty(), "found in the sound tree: {before:?}");
    let after = check(&Tree::of(planted));
    assert_eq!(after.len(), 1, "in the planted tree: {after:?}");
}
