//! One outbound connection from its first parcel to its end: a task.
//!
//! Hosts are tried in order until one of them has said something about the first parcel; from then on the connection
//! belongs to that host and serves parcel after parcel, as long as new ones come within [`IDLE_KEEP`].
//!
//! ```text
//!   candidate ── connect ── greeting, EHLO ── first parcel ──┐
//!       ▲  └──────── failed ─────┴─ nothing said about it    │
//!       └────────────────┘                                   ▼
//!                                  ┌── Attempted ── RSET? ── idle ── next parcel ──┐
//!                                  └────────────────▲──────────┴── QUIT ── Closed ─┘
//! ```
//!
//! The next host has its turn when no connection can be made, when greeting or EHLO are refused, and when the connection
//! breaks, or ends with 421, before anything was said about MAIL. Once MAIL has an answer, that host's words count.
//! On a connection that has served before, the same signs mean that its time was over: the parcel comes back untried and goes to another connection.
//! After the last octet of a message and without a reply nobody knows whether it was taken: it counts as not taken and is
//! sent again, because twice is better than never (RFC 5321 §6.1).

use super::Shared;
use super::candidates::{Candidate, Candidates, Own};
use super::message;
use super::reach;
use super::report::Report;
use super::talk::{Idle, Said, Talk};
use super::words;
use relay::envelope::Failure;
use relay::parcel::{ConnectionId, Parcel, Taken};
use relay::route::Protocol;
use smtp::client::{Accepted, Rejection, Settings, Trouble, TroubleKind, Why};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// How long an open connection waits for its next parcel.
pub const IDLE_KEEP: Duration = Duration::from_secs(2);
/// How long a host may take for greeting and EHLO when there are others to try.
const HELLO_AMONG_OTHERS: Duration = Duration::from_secs(60);
/// After this no further host is tried for the first parcel.
const REACH_MAX: Duration = Duration::from_secs(10 * 60);

/// What the queue wants of an open connection.
#[derive(Debug)]
pub(super) enum Command {
    Deliver(Parcel),
    Quit,
}

/// What came of one parcel.
enum Tried {
    /// Each recipient has an answer.
    Answered(Vec<(u32, Result<Taken, Failure>)>),
    /// The connection was of no more use before the server had said anything about it.
    Unheard(Failure),
}

/// Runs the connection; ends when the queue has been told that it is closed.
pub(super) async fn run(
    shared: Arc<Shared>,
    connection: ConnectionId,
    parcel: Parcel,
    mut commands: UnboundedReceiver<Command>,
) {
    let mut report = Report::new(connection, shared.events.clone(), shared.clock.clone());
    report.hold(&parcel);
    // Reaching a host needs much state for a short while; serving needs little, for long.
    let reached = Box::pin(reach(&shared, &parcel, &mut report)).await;
    drop(parcel);
    if let Some((talk, host)) = reached {
        serve(&shared, talk, &host, &mut commands, &mut report).await;
    }
    commands.close();
    if let Ok(Command::Deliver(parcel)) = commands.try_recv() {
        report.hold(&parcel);
    }
}

/// Finds a host that has something to say about the first parcel; the open session, if it goes on.
async fn reach(shared: &Shared, parcel: &Parcel, report: &mut Report) -> Option<(Talk, Box<str>)> {
    let began = Instant::now();
    let listeners: Vec<SocketAddr> = shared.server.general.addresses().collect();
    let delivery = &shared.server.delivery;
    let own = Own {
        fqdn: &delivery.fqdn,
        listeners: &listeners,
        mta_sts: delivery.mta_sts,
        mx_loopback: delivery.mx_loopback,
    };
    let settings = Arc::new(settings(shared, parcel.hop.protocol));
    let mut candidates = Candidates::of(&parcel.hop, &shared.policies, own);
    while let Some(candidate) = candidates.next().await {
        let host = &candidate.label;
        match first(shared, &settings, &candidate, candidates.has_more(), parcel).await {
            Ok((mut talk, results)) => {
                report.attempted(host, results);
                return is_ready(&mut talk).await.then_some((talk, candidate.label));
            }
            Err(failure) => candidates.failed(failure),
        }
        if began.elapsed() > REACH_MAX {
            break;
        }
    }
    report.not_reached(candidates.failure());
    None
}

pub(super) fn settings(shared: &Shared, protocol: Protocol) -> Settings {
    let protocol = match protocol {
        Protocol::Esmtp => smtp::client::Protocol::Esmtp,
        Protocol::Helo => smtp::client::Protocol::Helo,
        Protocol::Lmtp => smtp::client::Protocol::Lmtp,
    };
    Settings::plain(shared.server.delivery.fqdn.as_str(), protocol, shared.server.delivery.timeout)
}

pub(super) type Answers = Vec<(u32, Result<Taken, Failure>)>;

/// Tries the first parcel at one host.
pub(super) async fn first(
    shared: &Shared,
    settings: &Arc<Settings>,
    candidate: &Candidate,
    has_others: bool,
    parcel: &Parcel,
) -> Result<(Talk, Answers), Failure> {
    let host = &candidate.label;
    let wire = reach::connect(candidate, has_others, settings.timeout).await?;
    let mut talk = Talk::new(wire, settings, shared.clock.now());
    let hello = if has_others { HELLO_AMONG_OTHERS } else { Duration::MAX };
    match tokio::time::timeout(hello, talk.next()).await {
        Ok(Said::Ready) => {}
        Ok(Said::Failed(trouble)) => return Err(words::lost(&trouble, host, false)),
        // The machine says nothing else before its first transaction.
        Ok(Said::Done(_) | Said::Closed) => return Err(words::local("The session ended before it began.".into())),
        Err(_) => return Err(words::not_greeted(hello, host)),
    }
    match deliver(shared, &mut talk, host, parcel).await {
        Tried::Answered(results) => Ok((talk, results)),
        Tried::Unheard(failure) => Err(failure),
    }
}

/// Serves parcels until none comes, or the connection is of no more use.
async fn serve(
    shared: &Shared,
    mut talk: Talk,
    host: &str,
    commands: &mut UnboundedReceiver<Command>,
    report: &mut Report,
) {
    loop {
        match talk.idle(IDLE_KEEP, |cx| commands.poll_recv(cx)).await {
            Idle::Work(Some(Command::Deliver(parcel))) => {
                report.hold(&parcel);
                match deliver(shared, &mut talk, host, &parcel).await {
                    Tried::Answered(results) => report.attempted(host, results),
                    Tried::Unheard(_) => return,
                }
                if !is_ready(&mut talk).await {
                    return;
                }
            }
            Idle::Work(Some(Command::Quit) | None) | Idle::Quiet => {
                talk.quit();
                // The machine waits a few seconds for the answer, and no longer.
                while !matches!(talk.next().await, Said::Closed | Said::Failed(_)) {}
                return;
            }
            Idle::Over => return,
        }
    }
}

/// After a message: may another one follow?
async fn is_ready(talk: &mut Talk) -> bool {
    matches!(talk.next().await, Said::Ready)
}

/// Offers the parcel to the server: in several transactions, if it takes fewer recipients at a time.
async fn deliver(shared: &Shared, talk: &mut Talk, host: &str, parcel: &Parcel) -> Tried {
    let mut results: Answers = Vec::with_capacity(parcel.recipients.len());
    let mut recipients = parcel.recipients.clone();
    loop {
        let offered = *talk.extensions();
        let (transaction, content) = match message::prepare(shared, &offered, host, parcel, &recipients).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                results.extend(recipients.iter().map(|index| (*index, Err(failure.clone()))));
                return Tried::Answered(results);
            }
        };
        talk.begin(transaction, content);
        let answers = match talk.next().await {
            Said::Done(answers) => answers,
            // The machine promises an answer for everybody before anything else.
            _ => Vec::new(),
        };
        if results.is_empty()
            && let Some(trouble) = unheard(&answers, talk)
        {
            return Tried::Unheard(words::lost(trouble, host, talk.has_stalled()));
        }
        let progress = answers.iter().any(Result::is_ok);
        let mut too_many = Vec::new();
        let mut answers = answers.into_iter();
        for index in recipients {
            match answers.next() {
                Some(Ok(accepted)) => results.push((index, Ok(words::taken(&accepted)))),
                Some(Err(rejection)) if rejection.too_many && progress => too_many.push((index, rejection)),
                Some(Err(rejection)) => {
                    results.push((index, Err(words::rejected(rejection, host, talk.has_stalled()))));
                }
                None => results.push((index, Err(words::local("The session gave no answer.".into())))),
            }
        }
        // The rest at once, in another transaction; each takes at least one off (RFC 5321 §4.5.3.1.10).
        if too_many.is_empty() {
            return Tried::Answered(results);
        }
        if !is_ready(talk).await {
            let late = too_many.into_iter().map(|(index, why)| (index, Err(words::rejected(why, host, false))));
            results.extend(late);
            return Tried::Answered(results);
        }
        recipients = too_many.into_iter().map(|(index, _)| index).collect();
    }
}

/// Was the connection lost before the server had said anything about the message? Then another host, or another
/// connection, may have it at once. The trouble, if so.
fn unheard<'a>(answers: &'a [Result<Accepted, Rejection>], talk: &Talk) -> Option<&'a Trouble> {
    let mut lost = answers.iter().map(|answer| match answer {
        Err(Rejection { why: Why::Lost(trouble), .. }) => Some(&**trouble),
        _ => None,
    });
    let trouble = lost.next()??;
    let own_doing = trouble.kind == TroubleKind::GivenUp && !talk.has_stalled();
    if lost.any(|other| other.is_none()) || own_doing {
        return None;
    }
    let goodbye = match &trouble.reply {
        Some(reply) if trouble.kind == TroubleKind::Closing => reply.lines.len(),
        _ => 0,
    };
    (talk.lines_heard() <= goodbye).then_some(trouble)
}
