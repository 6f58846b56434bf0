//! What went wrong with a next hop, as a [`Failure`]: kind, status, host, its own words, and a sentence for people.
//!
//! Names things, judges nothing: whether and when to try again is `settle`'s to say. The status of a refusal is the
//! server's own; where it gives none, its code's class with a detail only where the code has one meaning.
//!
//! RFC 3463; RFC 5321 §4.2.2, §4.2.3.

use crate::tls::TlsFault;
use relay::advice;
use relay::envelope::{Failure, FailureKind};
use relay::parcel::Taken;
use smtp::client::{Accepted, Rejection, Stage, Trouble, TroubleKind, Why};
use smtp::reply::{EnhancedStatus, Reply};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// The other side took it.
pub(super) fn taken(accepted: &Accepted) -> Taken {
    Taken { said: accepted.reply.one_line().into(), reports: accepted.reports }
}

/// Why `host` did not take it.
pub(super) fn rejected(rejection: Rejection, host: &str, stalled: bool) -> Failure {
    match rejection.why {
        Why::Said(reply) => {
            let status = if rejection.too_many { EnhancedStatus(4, 5, 3) } else { status_of(&reply) };
            let failure = refusal(host, status, reply, what_was_refused(rejection.stage));
            match wants_first(&failure) {
                Some(kind) if rejection.stage == Stage::Mail => {
                    let EnhancedStatus(_, subject, detail) = failure.status;
                    Failure { kind, status: EnhancedStatus(4, subject, detail), ..failure }
                }
                _ => failure,
            }
        }
        Why::Lost(trouble) => lost(&trouble, host, stalled),
        Why::Unfit { status, text } => Failure {
            kind: FailureKind::Unsupported,
            status,
            host: Some(host.into()),
            reply: None,
            text: format!("{host}: {text}").into(),
        },
    }
}

/// Does a refusal of the sender say that we must log on, or begin TLS, before anything else (530, and 538, 534, 535 by servers that do
/// not know better)? That concerns all mail there, and not this message.
fn wants_first(failure: &Failure) -> Option<FailureKind> {
    let reply = failure.reply.as_ref().filter(|reply| matches!(reply.code, 530 | 534 | 535 | 538))?;
    let starts_tls = reply.lines.iter().any(|line| line.to_ascii_uppercase().contains("STARTTLS"));
    Some(if starts_tls { FailureKind::Tls } else { FailureKind::Auth })
}

/// Why the session with `host` ended. `stalled`: it did not take the content in time.
pub(super) fn lost(trouble: &Trouble, host: &str, stalled: bool) -> Failure {
    let text = explained(format!("{host}: {}.", trouble.text.trim_end_matches('.')), trouble.reply.as_ref());
    let (kind, status) = match (trouble.kind, &trouble.reply) {
        (TroubleKind::Refused, Some(reply)) if trouble.stage == Stage::Greeting && shuts_us_out(reply) => {
            // It refuses us, knowing no message yet, and for no longer than its list or its maintenance lasts.
            let EnhancedStatus(_, subject, detail) = reply.status.unwrap_or(EnhancedStatus(4, 3, 2));
            (FailureKind::Refused, EnhancedStatus(4, subject, detail))
        }
        (TroubleKind::Refused | TroubleKind::Closing, Some(reply)) => (FailureKind::Refused, status_of(reply)),
        (TroubleKind::GivenUp, _) if !stalled => (FailureKind::Local, EnhancedStatus(4, 3, 0)),
        // Nothing was said that should not be heard; the channel could not be made as it must be.
        (TroubleKind::NoTls, _) => (FailureKind::Tls, EnhancedStatus(4, 7, 4)),
        (TroubleKind::TlsFailed | TroubleKind::Injected, _) => (FailureKind::Tls, EnhancedStatus(4, 7, 5)),
        (TroubleKind::NoAuth, _) => (FailureKind::Auth, EnhancedStatus(4, 7, 4)),
        (TroubleKind::AuthBroken, _) => (FailureKind::Auth, EnhancedStatus(4, 7, 0)),
        (TroubleKind::AuthRefused, reply) => {
            let said = reply.as_ref().and_then(|reply| reply.status);
            let EnhancedStatus(_, subject, detail) = said.unwrap_or(EnhancedStatus(4, 7, 8));
            (FailureKind::Auth, EnhancedStatus(4, subject, detail))
        }
        // The protocol was broken; which side did it does not matter to who waits for mail.
        (TroubleKind::NotSmtp | TroubleKind::OutOfTurn | TroubleKind::Flood, _) => {
            (FailureKind::Unreachable, EnhancedStatus(4, 5, 0))
        }
        _ => (FailureKind::Unreachable, EnhancedStatus(4, 4, 2)),
    };
    Failure { kind, status, host: Some(host.into()), reply: trouble.reply.clone(), text: text.into() }
}

/// A 5xx greeting, but not that of a host that never takes any mail (RFC 7504).
fn shuts_us_out(greeting: &Reply) -> bool {
    greeting.code >= 500 && !matches!(greeting.code, 521 | 556)
}

/// No connection to `host` could be made.
pub(super) fn not_connected(error: &io::Error, host: &str) -> Failure {
    // Out of files: our trouble, not the host's.
    let ours = matches!(error.raw_os_error(), Some(23 | 24));
    let (kind, status) = if ours {
        (FailureKind::Local, EnhancedStatus(4, 3, 0))
    } else {
        (FailureKind::Unreachable, EnhancedStatus(4, 4, 1))
    };
    let text = format!("No connection to {host}: {}.", without_number(error));
    Failure { kind, status, host: Some(host.into()), reply: None, text: text.into() }
}

/// It could not be found out in time where mail for `destination` goes.
pub(super) fn not_found(wait: Duration, destination: &str) -> Failure {
    Failure {
        kind: FailureKind::Dns,
        status: EnhancedStatus(4, 4, 3),
        host: None,
        reply: None,
        text: format!("The hosts of {destination} could not be looked up within {} s.", wait.as_secs()).into(),
    }
}

/// `host` did not answer the call.
pub(super) fn not_answered(wait: Duration, host: &str) -> Failure {
    Failure {
        kind: FailureKind::Unreachable,
        status: EnhancedStatus(4, 4, 1),
        host: Some(host.into()),
        reply: None,
        text: format!("No connection to {host}: no answer within {} s.", wait.as_secs()).into(),
    }
}

/// `host` answered the call, but did not get ready for mail in time.
pub(super) fn not_greeted(wait: Duration, host: &str) -> Failure {
    Failure {
        kind: FailureKind::Unreachable,
        status: EnhancedStatus(4, 4, 2),
        host: Some(host.into()),
        reply: None,
        text: format!("{host}: the server was not ready for mail within {} s.", wait.as_secs()).into(),
    }
}

/// There was no handshake with `host`: `why` follows its name.
pub(super) fn no_handshake(why: &str, host: &str) -> Failure {
    tls(EnhancedStatus(4, 7, 5), format!("{host}: {}.", why.trim_end_matches('.')), Some(host))
}

/// What TLS needs from us is not to be had; `host` was not asked.
pub(super) fn unfit_for_tls(fault: &TlsFault, host: &str) -> Failure {
    tls(EnhancedStatus(4, 3, 5), format!("TLS with {host} cannot be set up here: {fault}."), None)
}

fn tls(status: EnhancedStatus, text: String, host: Option<&str>) -> Failure {
    Failure { kind: FailureKind::Tls, status, host: host.map(Into::into), reply: None, text: text.into() }
}

/// What we log on to `host` with is not to be had; it was not shown to anybody.
pub(super) fn no_log_on(why: &str, host: &str) -> Failure {
    let text = format!("Logging on to {host} is not possible: {}.", why.trim_end_matches('.')).into();
    Failure { kind: FailureKind::Auth, status: EnhancedStatus(4, 7, 8), host: None, reply: None, text }
}

/// No connection to `host`: none of our own addresses is of its family.
pub(super) fn no_source(host: &str) -> Failure {
    not_called(format!(
        "No connection to {host}: the addresses that connections must come from (bind) are of another family."
    ))
}

/// No connection to `host`: `own` cannot be used.
pub(super) fn not_bound(own: IpAddr, error: &io::Error, host: &str) -> Failure {
    let why = without_number(error);
    not_called(format!("No connection to {host} from {own} (bind): {why}. Is that an address of this machine?"))
}

/// The operator's own setting: for now, because it is mended here.
fn not_called(text: String) -> Failure {
    Failure {
        kind: FailureKind::Unreachable,
        status: EnhancedStatus(4, 3, 5),
        host: None,
        reply: None,
        text: text.into(),
    }
}

/// A message that demands TLS (REQUIRETLS) cannot go to `host`, which does not know the demand (RFC 8689 §4.2.1).
pub(super) fn no_require_tls(host: &str) -> Failure {
    let text =
        format!("{host}: the message demands TLS all the way (REQUIRETLS), and the server does not know that demand.");
    unsupported(EnhancedStatus(5, 7, 30), text, host)
}

/// What ends with this was no failure of `host`'s: an operator wanted it so.
pub(super) const ENDED: &str = "an operator ended the connection";

/// An operator ended the connection to `host`.
pub(super) fn ended(host: &str) -> Failure {
    Failure { host: Some(host.into()), ..local(format!("{host}: {ENDED}.")) }
}

/// Our own trouble with a message.
pub(super) fn local(text: String) -> Failure {
    Failure { kind: FailureKind::Local, status: EnhancedStatus(4, 3, 0), host: None, reply: None, text: text.into() }
}

/// The message cannot be made fit for `host`.
pub(super) fn unsupported(status: EnhancedStatus, text: String, host: &str) -> Failure {
    Failure { kind: FailureKind::Unsupported, status, host: Some(host.into()), reply: None, text: text.into() }
}

fn refusal(host: &str, status: EnhancedStatus, reply: Reply, what: &str) -> Failure {
    Failure {
        kind: FailureKind::Refused,
        status,
        host: Some(host.into()),
        text: explained(format!("{host} refused {what}."), Some(&reply)).into(),
        reply: Some(reply),
    }
}

/// What happened, with what the reply means and what to do, if that is known.
fn explained(text: String, reply: Option<&Reply>) -> String {
    match reply.and_then(advice::of_reply) {
        Some(row) => format!("{text} {} {}", row.meaning, row.advice),
        None => text,
    }
}

fn what_was_refused(stage: Stage) -> &'static str {
    match stage {
        Stage::Greeting => "the connection",
        Stage::Hello => "to speak with us",
        Stage::StartTls | Stage::Handshake => "TLS",
        Stage::Auth => "to log us on",
        Stage::Mail => "the sender",
        Stage::Rcpt => "the recipient",
        Stage::Data | Stage::Content | Stage::Dot => "the message",
        Stage::Reset | Stage::Idle | Stage::Quit => "to go on",
    }
}

fn status_of(reply: &Reply) -> EnhancedStatus {
    if let Some(status) = reply.status {
        return status;
    }
    match reply.code {
        421 => EnhancedStatus(4, 3, 2),
        452 => EnhancedStatus(4, 3, 1),
        552 => EnhancedStatus(5, 2, 2),
        400..500 => EnhancedStatus(4, 5, 0),
        _ => EnhancedStatus(5, 5, 0),
    }
}

/// `Connection refused (os error 111)` without its end.
fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn said(code: u16, status: Option<EnhancedStatus>, stage: Stage) -> Rejection {
        let reply = Reply { code, status, lines: vec!["no".into()] };
        Rejection { stage, why: Why::Said(reply), too_many: false }
    }

    fn trouble(kind: TroubleKind, code: Option<u16>) -> Trouble {
        let reply = code.map(|code| Reply::plain(code, "bye"));
        Trouble { kind, stage: Stage::Dot, reply, text: "the server closed the session".into() }
    }

    #[test]
    fn a_refusal_keeps_the_servers_status_and_words() {
        let failure = rejected(said(550, Some(EnhancedStatus(5, 1, 1)), Stage::Rcpt), "mx.test [192.0.2.1]:25", false);
        assert_eq!(failure.kind, FailureKind::Refused);
        assert_eq!(failure.status, EnhancedStatus(5, 1, 1));
        assert_eq!(failure.reply.as_ref().unwrap().code, 550);
        assert_eq!(&*failure.text, "mx.test [192.0.2.1]:25 refused the recipient.");
    }

    #[test]
    fn a_refusal_that_is_known_is_explained() {
        let reply = Reply::new(550, 7, 60, "SMTP; Client does not have permissions to send as this sender");
        let rejection = Rejection { stage: Stage::Dot, why: Why::Said(reply), too_many: false };
        let failure = rejected(rejection, "mx", false);
        let words =
            "mx refused the message. The account that we log on as may not send as this sender. Give it the right";
        assert!(failure.text.starts_with(words), "{}", failure.text);
        let reply = Reply::new(432, 3, 2, "Concurrent connections limit exceeded");
        let trouble = Trouble { reply: Some(reply), ..trouble(TroubleKind::Closing, None) };
        assert!(lost(&trouble, "mx", false).text.contains("pacing.connections_max = 3"));
    }

    #[test]
    fn a_refusal_without_status_gets_its_class() {
        for (code, status) in [
            (421, "4.3.2"),
            (450, "4.5.0"),
            (452, "4.3.1"),
            (499, "4.5.0"),
            (500, "5.5.0"),
            (552, "5.2.2"),
            (554, "5.5.0"),
        ] {
            let failure = rejected(said(code, None, Stage::Dot), "mx", false);
            assert_eq!(failure.status.to_string(), status, "{code}");
            assert_eq!(failure.is_permanent(), code >= 500);
        }
    }

    #[test]
    fn too_many_recipients_is_never_for_good() {
        let many = Rejection { too_many: true, ..said(552, None, Stage::Rcpt) };
        assert_eq!(rejected(many, "mx", false).status, EnhancedStatus(4, 5, 3));
    }

    #[test]
    fn what_breaks_is_for_now() {
        use TroubleKind::{Closed, Closing, Flood, GivenUp, NotSmtp, OutOfTurn, Refused, TimedOut};
        for (kind, code, stalled, expected) in [
            (Closed, None, false, (FailureKind::Unreachable, "4.4.2")),
            (TimedOut, None, false, (FailureKind::Unreachable, "4.4.2")),
            (NotSmtp, None, false, (FailureKind::Unreachable, "4.5.0")),
            (OutOfTurn, Some(250), false, (FailureKind::Unreachable, "4.5.0")),
            (Flood, None, false, (FailureKind::Unreachable, "4.5.0")),
            (Closing, Some(421), false, (FailureKind::Refused, "4.3.2")),
            (Refused, Some(554), false, (FailureKind::Refused, "5.5.0")),
            (GivenUp, None, false, (FailureKind::Local, "4.3.0")),
            (GivenUp, None, true, (FailureKind::Unreachable, "4.4.2")),
        ] {
            let why = Why::Lost(Arc::new(trouble(kind, code)));
            let failure = rejected(Rejection { stage: Stage::Dot, why, too_many: false }, "mx", stalled);
            assert_eq!((failure.kind, &*failure.status.to_string()), expected, "{kind:?}");
            assert_eq!(failure.reply.map(|r| r.code), code);
        }
    }

    #[test]
    fn a_greeting_refuses_us_for_now_unless_the_host_never_takes_mail() {
        for (code, permanent) in [(554, false), (550, false), (421, false), (521, true), (556, true)] {
            let greeting = Trouble { stage: Stage::Greeting, ..trouble(TroubleKind::Refused, Some(code)) };
            assert_eq!(lost(&greeting, "mx", false).is_permanent(), permanent, "{code}");
        }
        let hello = Trouble { stage: Stage::Hello, ..trouble(TroubleKind::Refused, Some(550)) };
        assert!(lost(&hello, "mx", false).is_permanent(), "our name is wrong, and will be");
    }

    #[test]
    fn a_call_that_fails_says_why() {
        let failure = not_connected(&io::Error::from_raw_os_error(111), "mx.test [192.0.2.1]:25");
        assert_eq!(&*failure.text, "No connection to mx.test [192.0.2.1]:25: Connection refused.");
        assert_eq!((failure.kind, failure.status), (FailureKind::Unreachable, EnhancedStatus(4, 4, 1)));
        assert_eq!(not_connected(&io::Error::from_raw_os_error(24), "mx").kind, FailureKind::Local);
    }
}
