//! What the gate says, and why.

use crate::reason::Reason;
use smtp::reply::Reply;

/// What the gate says, and why.
#[derive(Clone, Debug)]
pub struct Verdict<'a> {
    /// Yes, or the reply that refuses.
    pub outcome: Result<(), Reply>,
    /// What decided.
    pub because: Reason<'a>,
}

impl<'a> Verdict<'a> {
    pub(super) fn yes(because: Reason<'a>) -> Verdict<'a> {
        Verdict { outcome: Ok(()), because }
    }

    pub(super) fn no(reply: Reply, because: Reason<'a>) -> Verdict<'a> {
        Verdict { outcome: Err(reply), because }
    }

    /// Yes?
    #[must_use]
    pub fn is_yes(&self) -> bool {
        self.outcome.is_ok()
    }
}
