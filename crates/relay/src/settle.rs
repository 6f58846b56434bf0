//! What the outcome of a delivery attempt means for each recipient.
//!
//! The only place that turns replies and network faults into *delivered*, *again at T* or *failed*, and that says
//! whether a fault concerns one message or its whole destination. Reads no clock and writes nothing: the queue
//! ([`crate::queue`]) carries the verdicts out, [`crate::notice`] says who is told.
//!
//! RFC 5321 §4.2.1 (4yz, 5yz), §4.5.4.1 (retry); RFC 3463; IIS: Delivery tab, Outbound.

use crate::config::{Delivery, Terms};
use crate::envelope::{Envelope, Failure, FailureKind};
use crate::retry::{Ladder, Patience};
use smtp::reply::{EnhancedStatus, Reply};
use smtp::time::Timestamp;
use std::time::Duration;

/// What an attempt means for one recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the other side's now.
    Delivered,
    /// Try again then.
    Again(Timestamp),
    /// It will not work: tell the sender.
    Failed(Failure),
}

/// What a failure says about its whole destination, not only about the message that met it.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Concern {
    /// It takes no more connections beside those that we have.
    Crowded,
    /// No host of it answers, or none wants to speak with us now.
    Down,
    /// It wants less mail for a while.
    SlowDown,
    /// The channel cannot be protected as our terms want it.
    Tls,
    /// We cannot prove who we are.
    Auth,
}

/// How long a destination rests that said "slow down", when its terms do not say.
pub const SLOW_DOWN: Duration = Duration::from_secs(5 * 60);

/// How long a destination on these terms rests after it said "slow down".
#[must_use]
pub fn slow_down(terms: &Terms) -> Duration {
    terms.pacing.slow_down.unwrap_or(SLOW_DOWN).max(Duration::from_secs(1))
}

/// What the answer that a message got says about its destination; `None`: it concerns that message alone.
#[must_use]
pub fn concern(failure: &Failure) -> Option<Concern> {
    match failure.kind {
        FailureKind::Tls => Some(Concern::Tls),
        FailureKind::Auth => Some(Concern::Auth),
        FailureKind::Refused => haste(failure),
        _ => None,
    }
}

/// Words by which servers say that too much comes, or too fast.
const TOO_FAST: [&str; 15] = [
    "too many messages",
    "too many recipients",
    "too many mails",
    "too much mail",
    "too fast",
    "too quickly",
    "too busy",
    "server busy",
    "rate limit",
    "rate-limit",
    "ratelimit",
    "rate exceeded",
    "limit exceeded",
    "throttl",
    "slow down",
];

/// Words by which servers say that there are too many connections.
const TOO_MANY_AT_ONCE: [&str; 4] =
    ["concurrent", "too many connections", "connections from your", "too many simultaneous"];

/// Did the other side say that it is asked for too much? What it says about an address (4.1.x), a mailbox (4.2.x) or a content
/// (4.6.x) concerns the message, whatever the words; so does greylisting, which wants to see that one message again.
fn haste(failure: &Failure) -> Option<Concern> {
    let reply = failure.reply.as_ref()?;
    let own = reply.status.map_or((0, 0), |status| (status.1, status.2));
    if !matches!(reply.code, 421 | 432 | 450..=452) || matches!(own.0, 1 | 2 | 6) || wants_another_transaction(failure)
    {
        return None;
    }
    let words = reply.lines.join(" ").to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|some| words.contains(some));
    if says(&["greylist", "graylist"]) {
        return None;
    }
    if says(&TOO_MANY_AT_ONCE) {
        return Some(Concern::Crowded);
    }
    let by_code = match reply.code {
        432 => true,
        // Not 4.3.2: so speaks a server that shuts down, too.
        421 => matches!(own, (7, _) | (4, 5)),
        // Microsoft's "server busy" and its limits by reputation are 4.7.500 and above.
        451 => matches!(own, (4, 5) | (7, 500..)),
        _ => false,
    };
    (by_code || says(&TOO_FAST)).then_some(Concern::SlowDown)
}

/// Judges one recipient's failure: its `tries`-th, this one counted. It had gone to another host on these terms, or (`None`)
/// to Drop. What concerns the whole destination lets the message wait with it: its own ladder is not climbed. Where there are only
/// too many connections the destination does not rest, so the message waits for itself, a glitch long.
#[must_use]
pub fn failure(
    failure: &Failure,
    tries: u16,
    arrived: Timestamp,
    now: Timestamp,
    terms: Option<&Terms>,
    policy: &Delivery,
) -> Verdict {
    if failure.is_permanent() {
        return Verdict::Failed(failure.clone());
    }
    if Patience::of(policy, terms).is_over(arrived, now) {
        return Verdict::Failed(expired(Some(failure), now.since(arrived)));
    }
    let ladder = Ladder::of(policy, terms);
    Verdict::Again(match concern(failure) {
        Some(Concern::Crowded) => now.plus(ladder.wait(1)),
        Some(_) => now,
        None => now.plus(ladder.wait(tries)),
    })
}

/// The failure of a recipient whose time is over: 4.4.7, as the old service reported it, with the last trouble's
/// words so that the sender learns the cause. Where the channel could not be protected, or we not prove who we are, the status
/// says that.
#[must_use]
pub fn expired(last: Option<&Failure>, age: Duration) -> Failure {
    let text = match last {
        Some(last) if last.kind == FailureKind::Operator => {
            format!("It could not be delivered within {}. {}", in_words(age), last.text)
        }
        Some(last) => format!("It could not be delivered within {}. The last attempt: {}", in_words(age), last.text),
        None => format!("It could not be delivered within {}.", in_words(age)),
    };
    let status = match last {
        Some(Failure {
            kind: FailureKind::Tls | FailureKind::Auth,
            status: EnhancedStatus(_, subject, detail),
            ..
        }) => EnhancedStatus(4, *subject, *detail),
        _ => EnhancedStatus(4, 4, 7),
    };
    Failure {
        kind: FailureKind::Expired,
        status,
        host: last.and_then(|l| l.host.clone()),
        reply: last.and_then(|l| l.reply.clone()),
        text: text.into(),
    }
}

/// The last trouble of a recipient that still waits, as the envelope remembers it.
#[must_use]
pub fn last_trouble(envelope: &Envelope, recipient: u32) -> Option<Failure> {
    let attempt = envelope.attempts.iter().rev().find(|a| a.recipients.contains(&recipient))?;
    let Some(reply) = Reply::parse(&attempt.said) else {
        let (kind, status) = (FailureKind::Unreachable, EnhancedStatus(4, 4, 1));
        return Some(Failure { kind, status, host: None, reply: None, text: attempt.said.clone() });
    };
    Some(Failure {
        kind: FailureKind::Refused,
        status: reply.status.unwrap_or(EnhancedStatus(4, 5, 0)),
        host: Some(attempt.host.clone()),
        reply: Some(reply),
        text: format!("{} did not take it.", attempt.host).into(),
    })
}

/// Why mail waits for a destination that an operator has suspended: what the sender of mail that expires there is told.
#[must_use]
pub fn suspended(destination: &str) -> Failure {
    Failure {
        kind: FailureKind::Operator,
        status: EnhancedStatus(4, 3, 2),
        host: None,
        reply: None,
        text: format!("The administrator has suspended deliveries to {destination}.").into(),
    }
}

/// The failure of mail that an operator returns to its sender.
#[must_use]
pub fn returned() -> Failure {
    Failure {
        kind: FailureKind::Operator,
        status: EnhancedStatus(5, 3, 0),
        host: None,
        reply: None,
        text: "The administrator of the mail system has returned the message.".into(),
    }
}

/// Does the failure show that the connection it came over is of no more use?
#[must_use]
pub fn ends_connection(failure: &Failure) -> bool {
    let of_itself = matches!(failure.kind, FailureKind::Unreachable | FailureKind::Tls | FailureKind::Auth);
    of_itself || failure.reply.as_ref().is_some_and(|r| r.code == 421)
}

/// Did the other side only say that it takes no more recipients at once? Together with a recipient that it took,
/// another transaction at once will bring it the rest (RFC 5321 §4.5.3.1.10; IIS: "Limit number of recipients").
#[must_use]
pub fn wants_another_transaction(failure: &Failure) -> bool {
    failure.kind == FailureKind::Refused && failure.status == EnhancedStatus(4, 5, 3)
}

/// A length of time as people say it, rounded down: `2 days`, `12 h`, `15 min`, `5 s`.
#[must_use]
pub fn in_words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> Failure {
        let (code, rest) = line.split_once(' ').unwrap();
        let (first, text) = rest.split_once(' ').unwrap();
        let status = EnhancedStatus::parse(first);
        let text = if status.is_some() { text } else { rest };
        let reply = Reply { code: code.parse().unwrap(), status, lines: vec![text.to_owned().into()] };
        Failure {
            kind: FailureKind::Refused,
            status: status.unwrap_or(EnhancedStatus(4, 5, 0)),
            host: None,
            reply: Some(reply),
            text: "x".into(),
        }
    }

    /// What servers are known to say.
    #[test]
    fn who_wants_less_mail_is_told_from_who_dislikes_a_message() {
        let slow = Some(Concern::SlowDown);
        let crowded = Some(Concern::Crowded);
        for (line, expected) in [
            ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", slow),
            ("432 4.3.2 Concurrent connections limit exceeded", crowded),
            ("451 4.7.500 Server busy. Please try again later", slow),
            ("451 4.7.650 The mail server has been temporarily rate limited due to IP reputation", slow),
            ("421 4.7.28 Our system has detected an unusual rate of mail from this address", slow),
            ("421 4.7.0 Try again later, closing connection", slow),
            ("421 4.3.2 Connection rate limit exceeded", slow),
            ("421 4.4.5 Server busy, try again later", slow),
            ("421 4.7.0 Too many concurrent SMTP connections; please try again later", crowded),
            ("421 Error: too many connections from 192.0.2.1", crowded),
            ("450 4.7.1 Error: too much mail from 192.0.2.1", slow),
            ("452 4.3.1 Too many messages in this hour", slow),
            ("450 Requested action not taken: slow down", slow),
            ("421 Closing down", None),
            ("421 4.3.2 Service shutting down", None),
            ("421 4.4.2 Error: timeout exceeded", None),
            ("450 4.2.1 The user you are trying to contact is receiving mail too quickly", None),
            ("452 4.2.2 The mailbox is over quota", None),
            ("452 4.3.1 Insufficient system storage", None),
            ("452 4.5.3 Too many recipients", None),
            ("451 4.7.1 Greylisting in action, please come back later", None),
            ("450 4.7.1 Client is greylisted; rate limited", None),
            ("451 4.3.0 Temporary lookup failure", None),
            ("451 4.7.1 Please try again later", None),
            ("554 5.7.1 Rate limit exceeded", None),
        ] {
            assert_eq!(concern(&said(line)), expected, "{line}");
        }
    }

    #[test]
    fn what_expires_behind_tls_or_a_log_on_says_so() {
        let day = Duration::from_secs(86_400);
        let mut last = said("454 4.7.0 Temporary authentication failure");
        last.kind = FailureKind::Auth;
        assert_eq!(expired(Some(&last), day).status, EnhancedStatus(4, 7, 0));
        last.kind = FailureKind::Tls;
        last.status = EnhancedStatus(5, 7, 10);
        let over = expired(Some(&last), day);
        assert_eq!((over.status, over.is_permanent()), (EnhancedStatus(4, 7, 10), true));
        assert!(!last.is_permanent(), "it waits, whatever its status");
        assert_eq!(expired(Some(&suspended("far.test")), day).status, EnhancedStatus(4, 4, 7));
        assert_eq!(
            &*expired(Some(&suspended("far.test")), day).text,
            "It could not be delivered within 24 h. The administrator has suspended deliveries to far.test."
        );
    }
}
