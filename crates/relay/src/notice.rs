//! Who is told of what: the report, Badmail entry or silence that follows a settlement.
//!
//! Never a report about a report: a message from `<>` that fails goes to Badmail (RFC 5321 §6.1, RFC 3461 §6.2).
//!
//! RFC 3461 §4, §5.2; RFC 8689 §5; IIS: Messages tab, "Send copy of Non-Delivery Report to".

use crate::badmail::BadmailReason;
use crate::config::VirtualServer;
use crate::envelope::{Envelope, Failure, FailureKind, Origin, Recipient};
use crate::queue::{ReportJob, ReportKind};
use crate::subject::subject;
use smtp::address::{Host, Mailbox, ReversePath};
use smtp::command::{Notify, Ret};
use smtp::header::scan;
use smtp::reply::EnhancedStatus;
use smtp::report::{self, About, Kind, Original, Report};
use smtp::time::Timestamp;

/// What becomes of recipients that failed for good in one attempt.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Notices {
    /// The sender is told.
    pub report: Vec<(u32, Failure)>,
    /// There is nobody to tell.
    pub badmail: Vec<(u32, Failure)>,
    /// The sender asked not to be told (NOTIFY=NEVER, or without FAILURE).
    pub silent: Vec<u32>,
}

/// Sorts the failed recipients of `envelope`.
#[must_use]
pub fn of_failures(envelope: &Envelope, failed: Vec<(u32, Failure)>) -> Notices {
    let mut notices = Notices::default();
    for (index, failure) in failed {
        let wanted = envelope.recipients.get(index as usize).is_some_and(|r| r.notify.failure());
        if envelope.sender.is_null() {
            notices.badmail.push((index, failure));
        } else if wanted {
            notices.report.push((index, failure));
        } else {
            notices.silent.push(index);
        }
    }
    notices
}

/// The recipients whose sender is to hear of a delay: still waiting, not told before, and wanting to know.
#[must_use]
pub fn wants_delay_notice(envelope: &Envelope, waiting: &[u32]) -> Vec<u32> {
    if envelope.sender.is_null() {
        return Vec::new();
    }
    let wants = |i: &&u32| {
        envelope
            .recipients
            .get(**i as usize)
            .is_some_and(|r| !r.delay_noticed && r.notify.delay() && !r.fate.is_final())
    };
    waiting.iter().filter(wants).copied().collect()
}

/// Which Badmail counter a failure without an addressee falls under.
#[must_use]
pub fn badmail_reason(envelope: &Envelope, failure: &Failure) -> BadmailReason {
    match (&envelope.origin, failure.kind) {
        (_, FailureKind::Loop) => BadmailReason::HopCountExceeded,
        (Origin::Report { .. }, _) => BadmailReason::NdrOfDsn,
        _ if envelope.sender.is_null() => BadmailReason::NdrOfDsn,
        _ => BadmailReason::GeneralFailure,
    }
}

/// Octets of the original that whoever composes a report has to read at most.
pub const ORIGINAL_READ_MAX: usize = report::ORIGINAL_MAX + 1;

/// A report, ready to be accepted as a new message.
#[derive(Clone, PartialEq, Debug)]
pub struct Notice {
    /// Its content.
    pub content: Vec<u8>,
    /// From `<>` to the sender of the original; a report of failure also to [`crate::config::Messages::ndr_copy_to`].
    pub envelope: Envelope,
}

/// Composes the report that the job asks for, at `now`. `original` is the beginning of the message that it is about,
/// [`ORIGINAL_READ_MAX`] octets or all of it. `None` if that message has no sender: then nobody may be told.
#[must_use]
pub fn compose(job: &ReportJob, original: &[u8], server: &VirtualServer, now: Timestamp, seed: u64) -> Option<Notice> {
    let about = &job.envelope;
    let to = about.sender.mailbox()?.clone();
    let header_alone = about.ret == Some(Ret::Headers) || about.require_tls;
    let whole = !header_alone && original.len() <= report::ORIGINAL_MAX;
    let composed = report::compose(&Report {
        kind: kind(&job.kind),
        from: postmaster(server)?,
        to: to.clone(),
        reporting_mta: server.delivery.fqdn.clone(),
        received_from_mta: match &about.origin {
            Origin::Smtp { helo, .. } => Some(helo.clone()),
            Origin::Pickup { .. } | Origin::Report { .. } => None,
        },
        arrived: about.arrived,
        envid: about.envid.clone(),
        recipients: abouts(job),
        original: if whole { Original::Full(original) } else { Original::Headers(original) },
        original_utf8: about.utf8,
        now,
        seed,
    });
    let copy = server.messages.ndr_copy_to.clone().filter(|_| matches!(job.kind, ReportKind::Failed(_)));
    // Whoever gets the report needs no copy of it.
    let copy = copy.filter(|copy| *copy != to);
    let recipients = std::iter::once(to).chain(copy).map(|address| recipient(address, now)).collect();
    let envelope = Envelope {
        size: composed.octets.len() as u64,
        body: composed.body,
        utf8: composed.utf8,
        // It tells what the original was about, so it is protected like that (RFC 8689 §5).
        require_tls: about.require_tls,
        subject: subject(&scan(&composed.octets)),
        ..Envelope::new(ReversePath::Null, recipients, Origin::Report { about: job.id }, now)
    };
    Some(Notice { content: composed.octets, envelope })
}

/// A report tells nobody about its own failure: it goes to Badmail.
fn recipient(address: Mailbox, now: Timestamp) -> Recipient {
    Recipient { notify: Notify::Never, delay_noticed: true, ..Recipient::new(address, now) }
}

fn postmaster(server: &VirtualServer) -> Option<Mailbox> {
    Mailbox::new("postmaster", Host::Name(server.default_domain.name.clone())).ok()
}

fn kind(kind: &ReportKind) -> Kind {
    match kind {
        ReportKind::Failed(_) => Kind::Failed,
        ReportKind::Delayed(_) => Kind::Delayed,
        ReportKind::Relayed(_) => Kind::Relayed,
        ReportKind::Delivered(_) => Kind::Delivered,
    }
}

fn abouts(job: &ReportJob) -> Vec<About> {
    let blank = |index: u32, status: EnhancedStatus, text: &str| {
        let recipient = job.envelope.recipients.get(index as usize)?;
        Some(About {
            address: recipient.address.clone(),
            orcpt: recipient.orcpt.clone(),
            status,
            reply: None,
            host: None,
            text: text.into(),
            attempted: job.envelope.attempts.iter().rev().find(|a| a.recipients.contains(&index)).map(|a| a.at),
            retry_until: None,
        })
    };
    let failed = |index: u32, failure: &Failure| {
        let about = blank(index, failure.status, &failure.text)?;
        Some(About { reply: failure.reply.clone(), host: failure.host.clone(), ..about })
    };
    let late = |index: u32, failure: Option<&Failure>, until: Timestamp| {
        let about = blank(index, EnhancedStatus(4, 4, 7), failure.map_or("", |f| &f.text))?;
        let (reply, host) = failure.map(|f| (f.reply.clone(), f.host.clone())).unwrap_or_default();
        Some(About { reply, host, retry_until: Some(until), ..about })
    };
    match &job.kind {
        ReportKind::Failed(who) => who.iter().filter_map(|(i, f)| failed(*i, f)).collect(),
        ReportKind::Delayed(who) => who.iter().filter_map(|(i, f, until)| late(*i, f.as_ref(), *until)).collect(),
        ReportKind::Relayed(who) => {
            who.iter().filter_map(|(i, said)| blank(*i, EnhancedStatus(2, 0, 0), said)).collect()
        }
        ReportKind::Delivered(who) => who.iter().filter_map(|i| blank(*i, EnhancedStatus(2, 1, 5), "")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::envelope::QueueId;
    use crate::parcel::Place;

    use std::sync::Arc;

    fn told(ret: Option<Ret>, require_tls: bool) -> (Envelope, String) {
        let text = "[[virtual_server]]\nname = \"test\"\nhome = \"home\"\n";
        let config = Config::parse(text, "/etc/mailroot.toml", "relay.test").unwrap();
        let sender = ReversePath::Mailbox(Mailbox::parse("a@src.test").unwrap());
        let recipients = vec![recipient(Mailbox::parse("b@dest.test").unwrap(), Timestamp(0))];
        let envelope = Envelope::new(sender, recipients, Origin::Pickup { file: "x".into() }, Timestamp(0));
        let envelope = Envelope { size: 10, ret, require_tls, ..envelope };
        let (status, text) = (EnhancedStatus(5, 7, 30), "no".into());
        let failure = Failure { kind: FailureKind::Unsupported, status, host: None, reply: None, text };
        let kind = ReportKind::Failed(vec![(0, failure)]);
        let job = ReportJob { id: QueueId(1), envelope: Arc::new(envelope), place: Place::File, kind };
        let original = b"Subject: plan\r\n\r\nthe plan itself\r\n";
        let notice = compose(&job, original, &config.servers[0], Timestamp(0), 1).unwrap();
        (notice.envelope, String::from_utf8(notice.content).unwrap())
    }

    #[test]
    fn a_report_is_protected_like_what_it_is_about() {
        for (ret, require_tls, whole) in
            [(None, false, true), (Some(Ret::Full), false, true), (None, true, false), (Some(Ret::Full), true, false)]
        {
            let (envelope, content) = told(ret, require_tls);
            assert_eq!((envelope.require_tls, envelope.demands_tls()), (require_tls, false));
            assert!(content.contains("Subject: plan"));
            assert_eq!(content.contains("the plan itself"), whole, "{ret:?} {require_tls}");
        }
    }
}
