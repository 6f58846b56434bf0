//! Strangers that take our mail: hosts with moods, each behind the real receiving machine.

use crate::chance::Chance;
use relay::envelope::{Failure, FailureKind, QueueId};
use relay::parcel::Taken;
use smtp::body::BareNewlines;
use smtp::client::{self, Rejection, Why};
use smtp::reply::{EnhancedStatus, Reply};
use smtp::server::Settings;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How a host behaves at the moment.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Mood {
    /// Takes everything.
    Kind,
    /// Nobody answers.
    Dead,
    /// Greets with 421.
    Busy,
    /// Puts off every sender.
    DefersSender,
    /// Puts off a message from a sender it has not seen, once.
    Greylists,
    /// Refuses some recipients for good, puts off others.
    PicksRecipients,
    /// Refuses some messages after their content.
    DislikesContent,
    /// Cuts connections after some octets.
    Cuts,
    /// Wants less mail.
    Hurried,
    /// Has too many connections, now and then.
    Crowded,
    /// Its certificate is wrong.
    BadCertificate,
    /// Our password is wrong.
    KnowsUsNot,
}

const MOODS: [Mood; 12] = [
    Mood::Kind,
    Mood::Dead,
    Mood::Busy,
    Mood::DefersSender,
    Mood::Greylists,
    Mood::PicksRecipients,
    Mood::DislikesContent,
    Mood::Cuts,
    Mood::Hurried,
    Mood::Crowded,
    Mood::BadCertificate,
    Mood::KnowsUsNot,
];

/// A mail host somewhere in the world.
#[derive(Debug)]
pub struct Peer {
    /// The domain that it serves.
    pub domain: Box<str>,
    /// How it behaves.
    pub mood: Mood,
    greylisted: HashSet<QueueId>,
}

impl Peer {
    /// A kind host.
    #[must_use]
    pub fn new(domain: &str) -> Peer {
        Peer { domain: domain.into(), mood: Mood::Kind, greylisted: HashSet::new() }
    }

    /// Takes on another mood.
    pub fn sway(&mut self, chance: &mut Chance) {
        let pick = chance.below(MOODS.len() as u64 + 3);
        self.mood = usize::try_from(pick).ok().and_then(|n| MOODS.get(n)).copied().unwrap_or(Mood::Kind);
    }

    /// The rules of its receiving machine.
    #[must_use]
    pub fn settings(&self) -> Arc<Settings> {
        settings(&format!("mx.{}", self.domain), &self.domain)
    }

    /// Why no channel to it is as our terms want it, if that is so.
    #[must_use]
    pub fn protection(&self) -> Option<Failure> {
        let (kind, status, text) = match self.mood {
            Mood::BadCertificate => (FailureKind::Tls, EnhancedStatus(5, 7, 10), "The certificate is wrong."),
            Mood::KnowsUsNot => (FailureKind::Auth, EnhancedStatus(5, 7, 8), "The password is wrong."),
            _ => return None,
        };
        Some(Failure { kind, status, host: None, reply: None, text: text.into() })
    }

    /// What it says to a sender.
    pub fn judge_sender(&mut self, about: QueueId) -> Option<Reply> {
        match self.mood {
            Mood::Hurried => Some(Reply::new(451, 7, 500, "Server busy, slow down")),
            Mood::DefersSender => Some(Reply::new(451, 7, 1, "Not now")),
            Mood::Greylists if self.greylisted.insert(about) => Some(Reply::new(450, 7, 1, "Come back later")),
            _ => None,
        }
    }

    /// What it says to a recipient.
    #[must_use]
    pub fn judge_recipient(&self, chance: &mut Chance) -> Option<Reply> {
        if self.mood != Mood::PicksRecipients {
            return None;
        }
        match chance.below(4) {
            0 => Some(Reply::new(550, 1, 1, "No such user")),
            1 => Some(Reply::new(452, 2, 2, "Mailbox full")),
            _ => None,
        }
    }

    /// What it says to a content.
    #[must_use]
    pub fn judge_content(&self, chance: &mut Chance) -> Option<Reply> {
        if self.mood != Mood::DislikesContent {
            return None;
        }
        match chance.below(3) {
            0 => Some(Reply::new(554, 6, 0, "We do not like it")),
            1 => Some(Reply::new(451, 3, 0, "Try again")),
            _ => None,
        }
    }

    /// After how many octets it cuts a new connection.
    #[must_use]
    pub fn cuts_after(&self, chance: &mut Chance) -> Option<u64> {
        (self.mood == Mood::Cuts).then(|| chance.below(3_000))
    }
}

/// The rules of a receiving machine of that name.
#[must_use]
pub fn settings(fqdn: &str, domain: &str) -> Arc<Settings> {
    let name = |text: &str| smtp::address::Domain::parse(text).unwrap_or_else(|_| unreachable_name());
    Arc::new(Settings {
        size_max: Some(10_000_000),
        session_size_max: None,
        recipients_max: 100,
        bare_newlines: BareNewlines::Reject,
        timeout: Duration::from_secs(300),
        content_grace: Duration::from_secs(300),
        content_rate_min: 500,
        errors_max: 20,
        commands_max: 100,
        refusals_max: 50,
        ..Settings::new(name(fqdn), name(domain))
    })
}

/// What the sending machine says of a recipient, as an outcome.
pub(crate) fn judged(result: Result<client::Accepted, Rejection>) -> Result<Taken, Failure> {
    let rejection = match result {
        Ok(accepted) => {
            return Ok(Taken { said: accepted.reply.one_line().into(), reports: accepted.reports });
        }
        Err(rejection) => rejection,
    };
    let (kind, status, reply) = match rejection.why {
        Why::Said(reply) => (FailureKind::Refused, smtp::report::status(&reply), Some(reply)),
        Why::Lost(_) => (FailureKind::Unreachable, EnhancedStatus(4, 4, 2), None),
        Why::Unfit { status, .. } => (FailureKind::Unsupported, status, None),
    };
    Err(Failure { kind, status, host: Some("peer".into()), reply, text: "The peer did not take it.".into() })
}

/// Nobody could be reached; `known`: the name is known.
pub(crate) fn no_host(known: bool) -> Failure {
    let (kind, status) = if known {
        (FailureKind::Unreachable, EnhancedStatus(4, 4, 1))
    } else {
        (FailureKind::Dns, EnhancedStatus(5, 1, 2))
    };
    Failure { kind, status, host: None, reply: None, text: "No host answers.".into() }
}

#[allow(clippy::panic, reason = "the simulator writes its own names: a bad one is a mistake in it")]
fn unreachable_name() -> smtp::address::Domain {
    panic!("a name in the simulator is not a domain name")
}
