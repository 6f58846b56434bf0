//! Why there is no token: for now, or until somebody does something.

use std::fmt;

/// Why there is no token. Neither ends a message: it waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenFault {
    /// The identity provider cannot be reached, or has trouble of its own. It is asked again by itself.
    Later {
        /// What went wrong, in a sentence.
        why: Box<str>,
    },
    /// It gives us none, and that will stay so until somebody does something.
    Refused {
        /// What went wrong, in a sentence.
        why: Box<str>,
        /// What to do, in a sentence.
        advice: Box<str>,
    },
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFault::Later { why } => write!(f, "No token for now: {why}"),
            TokenFault::Refused { why, advice } => write!(f, "No token: {why} {advice}"),
        }
    }
}

impl std::error::Error for TokenFault {}
