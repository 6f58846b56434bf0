//! Why there is no token: for now, or until somebody does something.

use relay::envelope::{Failure, FailureKind};
use smtp::reply::EnhancedStatus;
use std::fmt;

/// Why there is no token. Neither ends a message: it waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenFault {
    /// The identity provider cannot be reached, or has trouble of its own. It is asked again by itself.
    Later {
        /// What went wrong, a sentence.
        why: Box<str>,
    },
    /// It gives us none, and that will stay so until somebody does something.
    Refused {
        /// What went wrong, a sentence.
        why: Box<str>,
        /// What to do, a sentence.
        advice: Box<str>,
    },
}

impl TokenFault {
    /// What this means for the mail to `host`: it waits.
    #[must_use]
    pub fn failure(&self, host: Option<&str>) -> Failure {
        let detail = if matches!(self, TokenFault::Later { .. }) { 0 } else { 8 };
        Failure {
            kind: FailureKind::Auth,
            status: EnhancedStatus(4, 7, detail),
            host: host.map(Into::into),
            reply: None,
            text: self.to_string().into(),
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenFault::Later { why } => write!(f, "There is no token for now: {why}"),
            TokenFault::Refused { why, advice } => write!(f, "There is no token: {why} {advice}"),
        }
    }
}

impl std::error::Error for TokenFault {}
