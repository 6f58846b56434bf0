//! One outbound connection from its first parcel to its end: a task.
//!
//! Hosts are tried in order until one of them has said something about the first parcel; from then on the connection
//! belongs to that host and serves parcel after parcel, as long as new ones come within [`IDLE_KEEP`], and for [`SERVE_MAX`].
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
use super::open::{Opening, Session};
use super::reach;
use super::report::Report;
use super::talk::{Idle, Said, Talk};
use super::turn::Turn;
use super::wire::Wire;
use super::words;
use crate::sessions::{Entry, Live};
use relay::config::CONNECTIONS_CEILING;
use relay::envelope::{Failure, FailureKind};
use relay::parcel::{ConnectionId, Parcel, Taken};
use relay::record::Record;
use relay::route::protection::Protection;
use relay::scheduler::Target;
use smtp::client::{Accepted, Rejection, Trouble, TroubleKind, Why};
use smtp::reply::Reply;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// How long an open connection waits for its next parcel.
pub const IDLE_KEEP: Duration = Duration::from_secs(2);
/// A connection that never pauses begins anew after this, so that what has changed meanwhile counts for it as well: settings, what a
/// domain publishes, the addresses of its hosts.
pub const SERVE_MAX: Duration = Duration::from_secs(5 * 60);
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

/// What a connection needs, and where operators see it.
type Place<'a> = (&'a Shared, &'a Entry);

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
    let entry = shared.sessions.outbound(Target::Hop(parcel.hop.clone()).name(), shared.clock.now());
    // Reaching a host needs much state for a short while; serving needs little, for long.
    let reached = Box::pin(reach((&shared, &entry), &parcel, &mut report)).await;
    drop(parcel);
    if let Some(session) = reached {
        serve((&shared, &entry), session, &mut commands, &mut report).await;
    }
    drop(entry);
    commands.close();
    if let Ok(Command::Deliver(parcel)) = commands.try_recv() {
        report.hold(&parcel);
    }
}

/// Finds a host that has something to say about the first parcel; the open session, if it goes on.
async fn reach((shared, entry): Place<'_>, parcel: &Parcel, report: &mut Report) -> Option<Session> {
    let until = Instant::now() + REACH_MAX;
    let listeners: Vec<SocketAddr> = shared.server.general.addresses().collect();
    let delivery = &shared.server.delivery;
    let own = Own {
        fqdn: &delivery.fqdn,
        listeners: &listeners,
        mta_sts: delivery.mta_sts,
        mx_loopback: delivery.mx_loopback,
    };
    let mut candidates = Candidates::of(&parcel.hop, &shared.policies, &shared.cooling, own);
    let destination = Target::Hop(parcel.hop.clone()).name();
    let turn = shared.crowd.turn(&destination, delivery.connections_max.unwrap_or(CONNECTIONS_CEILING));
    loop {
        let found = {
            let finding = async { entry.unless_ended(pin!(candidates.next())).await };
            turn.unless_wanted(pin!(finding)).await
        };
        let Some(found) = found else {
            candidates.failed(words::not_found(turn.patience(), &destination));
            break;
        };
        let Some(Some(candidate)) = found else { break };
        let keys = candidates.keys(&candidate);
        match at_host((shared, entry), &turn, parcel, candidate, candidates.has_more(), until).await {
            Ok((mut session, results)) => {
                shared.cooling.served(&keys.host);
                shared.cooling.served(&keys.on_terms);
                report.attempted(&session.host, session.channel.as_ref(), results);
                return is_ready(&mut session.talk).await.then_some(session);
            }
            Err(failures) => {
                let is_final = entry.is_ended() || turn.is_given() || failures.iter().any(is_for_every_host);
                if !turn.is_given() && failures.iter().any(is_the_hosts) {
                    let of_terms = failures.iter().any(is_of_terms);
                    shared.cooling.failed(if of_terms { keys.on_terms } else { keys.host });
                }
                failures.into_iter().for_each(|failure| candidates.failed(failure));
                if is_final || Instant::now() > until {
                    break;
                }
            }
        }
    }
    if entry.is_ended() {
        // No failure of the destination's, which must not rest for it.
        let failure = words::ended(&Target::Hop(parcel.hop.clone()).name());
        let each = parcel.recipients.iter().map(|index| (*index, Err(failure.clone())));
        report.attempted(failure.host.as_deref().unwrap_or_default(), None, each.collect());
        return None;
    }
    // Whoever gave his place away has tried nothing: the parcel comes back as it was.
    if !turn.is_given() {
        report.not_reached(candidates.failure());
    }
    None
}

pub(super) type Answers = Vec<(u32, Result<Taken, Failure>)>;

/// Tries the first parcel at one host: at its addresses in turn.
pub(super) async fn at_host(
    (shared, entry): Place<'_>,
    turn: &Turn<'_>,
    parcel: &Parcel,
    mut candidate: Candidate,
    has_others: bool,
    until: Instant,
) -> Result<(Session, Answers), Vec<Failure>> {
    let timeout = shared.server.delivery.timeout;
    let protection = match protection_for(parcel, &candidate) {
        Ok(protection) => protection,
        Err(failure) => return Err(vec![failure]),
    };
    let mut failures = Vec::new();
    loop {
        let others = has_others || candidate.addresses.len() > 1;
        let call = timeout.min(if others { reach::CONNECT_AMONG_OTHERS } else { reach::CONNECT_ALONE });
        let label = candidate.addresses.front().map(|address| candidate.label(address)).unwrap_or_default();
        let connected = {
            let connecting = async { entry.unless_ended(pin!(reach::connect(&mut candidate, call))).await };
            turn.unless_wanted(pin!(connecting)).await
        };
        let Some(connected) = connected else {
            failures.push(words::not_answered(turn.patience(), &label));
            return Err(failures);
        };
        let (wire, address) = match connected {
            Some(Ok(connected)) => connected,
            Some(Err(unanswered)) => {
                unanswered.iter().for_each(|failure| note_unreached(shared, failure));
                failures.extend(unanswered);
                return Err(failures);
            }
            None => return Err(failures),
        };
        entry.set_host(&candidate.label(&address), wire.local());
        let has_others = has_others || !candidate.addresses.is_empty();
        let bound = if has_others { HELLO_AMONG_OTHERS } else { Duration::MAX };
        let opening = Opening {
            shared,
            live: entry,
            turn,
            protocol: parcel.hop.protocol,
            candidate: &candidate,
            address: &address,
            protection: &protection,
            call,
            bound,
        };
        match first(&opening, wire, parcel).await {
            Ok(tried) => return Ok(tried),
            Err(failure) => failures.push(failure),
        }
        let is_final = entry.is_ended() || turn.is_given() || failures.iter().any(is_for_every_host);
        if candidate.addresses.is_empty() || is_final || Instant::now() > until {
            return Err(failures);
        }
    }
}

fn note_unreached(shared: &Shared, failure: &Failure) {
    shared.log.write(&Record::Unreached { failure: Box::new(failure.clone()) });
}

/// A proof of who we are that was refused for good is not shown around: accounts are locked for that.
fn is_for_every_host(failure: &Failure) -> bool {
    failure.kind == FailureKind::Auth && failure.reply.as_ref().is_some_and(Reply::is_permanent)
}

/// Did the host not do, rather than the message or we ourselves?
fn is_the_hosts(failure: &Failure) -> bool {
    use FailureKind::{Auth, Refused, Tls, Unreachable};
    failure.host.is_some() && matches!(failure.kind, Auth | Refused | Tls | Unreachable)
}

/// Does it say nothing about mail on other terms?
fn is_of_terms(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Auth | FailureKind::Tls)
}

/// How the channel to the host must be for this message (RFC 8689 §4.2.1).
fn protection_for(parcel: &Parcel, candidate: &Candidate) -> Result<Arc<Protection>, Failure> {
    let protection = Arc::clone(&candidate.protection);
    if !parcel.envelope.demands_tls() || protection.meets_require_tls() {
        return Ok(protection);
    }
    Arc::unwrap_or_clone(protection).for_require_tls().map(Arc::new)
}

/// May the message go over this session? One that demands TLS goes where the host has proved who it is, and to hosts alone that
/// pass the demand on.
fn is_fit_for(parcel: &Parcel, session: &Session) -> bool {
    !parcel.envelope.demands_tls() || session.protection.meets_require_tls() && session.talk.extensions().require_tls
}

/// Opens a session and tries the first parcel over it.
async fn first(opening: &Opening<'_>, wire: Wire, parcel: &Parcel) -> Result<(Session, Answers), Failure> {
    let ended = || words::ended(&opening.candidate.label(opening.address));
    let opened = opening.live.unless_ended(pin!(opening.open(wire))).await.ok_or_else(ended)?;
    let mut session = opened.inspect_err(|failure| note_unreached(opening.shared, failure))?;
    opening.shared.log.write(&Record::Reached { host: session.host.clone(), channel: session.channel.clone() });
    if !is_fit_for(parcel, &session) {
        // The next host may.
        return Err(words::no_require_tls(&session.host));
    }
    match deliver(opening.shared, opening.live, &mut session, parcel).await {
        Tried::Answered(results) => Ok((session, results)),
        Tried::Unheard(failure) => Err(failure),
    }
}

/// Serves parcels until none comes, or the connection is of no more use.
async fn serve(
    (shared, entry): Place<'_>,
    mut session: Session,
    commands: &mut UnboundedReceiver<Command>,
    report: &mut Report,
) {
    let until = Instant::now() + SERVE_MAX;
    loop {
        match session.talk.idle(IDLE_KEEP, |cx| commands.poll_recv(cx)).await {
            Idle::Work(Some(Command::Deliver(parcel))) => {
                report.hold(&parcel);
                if !is_fit_for(&parcel, &session) {
                    // It comes back untried, and finds a connection of its own.
                    return goodbye(&mut session.talk).await;
                }
                match deliver(shared, entry, &mut session, &parcel).await {
                    Tried::Answered(results) => report.attempted(&session.host, session.channel.as_ref(), results),
                    Tried::Unheard(_) => return,
                }
                if !is_ready(&mut session.talk).await {
                    return;
                }
                if Instant::now() > until {
                    return goodbye(&mut session.talk).await;
                }
            }
            Idle::Work(Some(Command::Quit) | None) | Idle::Quiet => {
                return goodbye(&mut session.talk).await;
            }
            Idle::Over => return,
        }
    }
}

async fn goodbye(talk: &mut Talk) {
    talk.quit();
    // The machine waits a few seconds for the answer, and no longer.
    while !matches!(talk.next().await, Said::Closed | Said::Failed(_)) {}
}

/// After a message: may another one follow?
async fn is_ready(talk: &mut Talk) -> bool {
    matches!(talk.next().await, Said::Ready)
}

/// Offers the parcel to the server: in several transactions, if it takes fewer recipients at a time.
async fn deliver(shared: &Shared, live: &Live, session: &mut Session, parcel: &Parcel) -> Tried {
    let Session { talk, host, terms, .. } = session;
    let mut results: Answers = Vec::with_capacity(parcel.recipients.len());
    let mut recipients = parcel.recipients.clone();
    loop {
        let offered = *talk.extensions();
        let (transaction, content) = match message::prepare(shared, &offered, host, (parcel, terms), &recipients).await
        {
            Ok(prepared) => prepared,
            Err(failure) => {
                results.extend(recipients.iter().map(|index| (*index, Err(failure.clone()))));
                return Tried::Answered(results);
            }
        };
        let size = transaction.size;
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
        if progress {
            live.count(size);
        }
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
