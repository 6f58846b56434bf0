//! Drives one inbound session: octets from the socket into [`smtp::server::Session`], its steps back into deeds.
//!
//! The machine says what to write, what to ask and what to keep; the [`Desk`] and the store answer; this room only
//! carries between them, in order, one step at a time. It promises:
//!
//! - An idle connection holds no buffer: octets are read into a buffer of the *thread*, and the task is small (a test
//!   holds its size).
//! - What the machine cannot take yet is not read, and while a reply waits to be written nothing is: a peer that does not
//!   read our replies, or sends faster than the disk writes, is slowed down by TCP.
//! - One write for each batch of replies, tried at once; only what the socket does not take waits.
//! - One timer, moved only when it would ring too late. A write that does not get on ends the session, too.
//! - An operator ends it at any time ([`crate::sessions`]), whatever the peer does or does not.
//! - A message is taken over only by [`Store::commit`](crate::store::Store::commit), whose receipt the machine demands
//!   for its 250. Before that, whatever happens, nothing is kept.
//! - A fault in here ends this session and no other: each is a task of its own.

mod guest;
mod refusals;
mod timer;
mod welcome;
mod wire;

#[cfg(test)]
mod tests;

use crate::desk::{Desk, DoorId, Turn};
use crate::listen::Seat;
use crate::sessions::Live;
use guest::Guest;
use relay::record::{Level, Record};
use smtp::server::{Closing, Question, Session, Step};
use std::future::Future;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use timer::Timer;
use tokio::net::TcpStream;
use tokio::sync::futures::Notified;
use wire::{Moved, Wire};

/// Somebody who has connected, and where.
#[derive(Copy, Clone, Debug)]
pub struct Caller {
    /// From where.
    pub address: SocketAddr,
    /// At which listener.
    pub door: DoorId,
}

/// Serves one connection from our greeting to its end. Who is judged by name comes with the `turn` of
/// those who wait, and gets another when the name is known.
///
/// Not an `async fn`: what such a function is given it would hold twice.
pub fn serve(
    stream: TcpStream,
    caller: Caller,
    turn: Option<Turn>,
    desk: Arc<Desk>,
    seat: Seat,
) -> impl Future<Output = ()> + Send {
    let entry = seat.registry().inbound(caller.address, stream.local_addr().ok(), desk.clock().now());
    let mut guest = Guest::new(caller, turn, desk, Arc::clone(&entry));
    note_connected(&guest, &stream);
    let mut wire = Wire::new(stream);
    async move {
        let how = converse(&mut guest, &mut wire, &seat, &entry).await;
        drop(entry);
        guest.forget_message();
        note_disconnected(&guest, how);
        if how == Closing::Ended && !wire.is_flushed() {
            // It reads nothing: nobody waits until it does.
            return wire.cut();
        }
        wire.say_goodbye();
        if !matches!(how, Closing::Quit | Closing::PeerClosed) {
            // More may be on its way from the peer; closing at once could destroy our last reply before it is read.
            Box::pin(wire.close_lingering()).await;
        }
    }
}

fn note_connected(guest: &Guest, stream: &TcpStream) {
    let log = guest.desk().log();
    if log.wants(Level::Debug)
        && let Ok(local) = stream.local_addr()
    {
        log.write(&Record::Connected { peer: guest.caller().address, local });
    }
}

fn note_disconnected(guest: &Guest, how: Closing) {
    let log = guest.desk().log();
    if log.wants(Level::Debug) {
        let messages = guest.messages();
        log.write(&Record::Disconnected { peer: guest.caller().address, messages, how: closing_word(how).into() });
    }
}

/// Not an `async fn`, either.
fn converse(guest: &mut Guest, wire: &mut Wire, seat: &Seat, live: &Live) -> impl Future<Output = Closing> + Send {
    use Question::{Auth, AuthResponse, Begin, Commit};
    let clock = guest.desk().clock().clone();
    async move {
        let mut session = match first(guest, wire, live).await {
            Ok(session) => session,
            Err(how) => return how,
        };
        session.keep_minutes();
        let mut now = clock.now();
        let mut timer = Timer::new(clock.instant(session.deadline()));
        let mut drained = pin!(seat.drained());
        let mut leaving = Leaving::NotAsked;
        loop {
            // Nothing new is begun while the peer has not taken our last replies.
            let step = if wire.is_flushed() { session.next(now) } else { None };
            match step {
                Some(Step::Send(replies)) => {
                    guest.note_refusals(&replies);
                    live.note(&session.minutes(), now);
                    if wire.send(replies).is_err() {
                        return Closing::PeerClosed;
                    }
                    continue;
                }
                // What may wait is boxed, so that a session which only waits for its peer does not hold room for what that needs.
                Some(
                    step @ (Step::Ask(Begin | Commit | Auth { .. } | AuthResponse(_)) | Step::Body(_) | Step::StartTls),
                ) => {
                    if let Err(how) = Box::pin(attend_to(guest, wire, &mut session, live, step)).await {
                        return how;
                    }
                    now = clock.now();
                    continue;
                }
                Some(Step::Ask(question)) => {
                    session.answer(guest.answer(question));
                    continue;
                }
                Some(Step::Abandon) => {
                    guest.forget_message();
                    continue;
                }
                Some(Step::Close(how)) => return how,
                None => live.note(&session.minutes(), now),
            }
            let due = if wire.is_flushed() { session.deadline() } else { now.plus(guest.desk().settings().timeout) };
            timer.set_to(clock.instant(due));
            let woken = poll_fn(|cx| {
                if live.poll_ended(cx).is_ready() {
                    Poll::Ready(Woken::Ended)
                } else if leaving.poll(cx, seat, drained.as_mut()).is_ready() {
                    Poll::Ready(Woken::Drained)
                } else if let Poll::Ready(moved) = wire.poll(cx, &mut session) {
                    Poll::Ready(Woken::Wire(moved))
                } else {
                    timer.poll(cx).map(|()| Woken::Time)
                }
            })
            .await;
            now = clock.now();
            match woken {
                Woken::Wire(Moved::End) => session.receive_end(),
                Woken::Wire(Moved::Broken) => return Closing::PeerClosed,
                // The peer reads nothing: there is no use in telling it.
                Woken::Time if !wire.is_flushed() => return Closing::TimedOut,
                Woken::Drained => session.drain(),
                Woken::Ended => return part(guest, wire, &mut session),
                Woken::Wire(Moved::Received | Moved::Flushed) | Woken::Time => {}
            }
        }
    }
}

/// An operator ends the session: tells the peer so, if that can be done without waiting for it.
fn part(guest: &mut Guest, wire: &mut Wire, session: &mut Session) -> Closing {
    if !wire.is_flushed() {
        return Closing::Ended;
    }
    let now = guest.desk().clock().now();
    session.end();
    while let Some(step) = session.next(now) {
        match step {
            Step::Send(replies) => {
                guest.note_refusals(&replies);
                if wire.send(replies).is_err() || !wire.is_flushed() {
                    break;
                }
            }
            Step::Abandon => guest.forget_message(),
            _ => break,
        }
    }
    Closing::Ended
}

/// The same as [`attend`], broken off when an operator ends the session; but a message that is complete gets its answer.
async fn attend_to(
    guest: &mut Guest,
    wire: &mut Wire,
    session: &mut Session,
    live: &Live,
    step: Step,
) -> Result<(), Closing> {
    if matches!(step, Step::Ask(_)) {
        live.note(&session.minutes(), guest.desk().clock().now());
    }
    let is_handshake = matches!(step, Step::StartTls);
    let is_commit = matches!(step, Step::Ask(Question::Commit));
    let attended = {
        let attending = pin!(attend(guest, wire, session, step));
        if is_commit { Some(attending.await) } else { live.unless_ended(attending).await }
    };
    match attended {
        Some(done) => done,
        None if is_handshake => Err(Closing::Ended),
        None => Err(part(guest, wire, session)),
    }
}

/// Carries out what may have to wait for the disk, for a core, or for TLS.
async fn attend(guest: &mut Guest, wire: &mut Wire, session: &mut Session, step: Step) -> Result<(), Closing> {
    match step {
        Step::Body(chunk) => guest.keep(chunk).await,
        Step::Ask(Question::Begin) => session.answer(guest.begin().await),
        Step::Ask(Question::Commit) => match guest.commit().await {
            Ok(receipt) => session.queued(&receipt),
            Err(refused) => session.answer(refused),
        },
        Step::Ask(question) => session.answer(Box::pin(guest.prove(question)).await),
        Step::StartTls => {
            let early = Box::pin(welcome::secure(guest, wire)).await?;
            session.secured(guest.offer(), guest.desk().clock().now());
            if !early.is_empty() {
                session.receive(&early);
            }
        }
        Step::Send(_) | Step::Abandon | Step::Close(_) => {}
    }
    Ok(())
}

/// The session, at the point of its greeting.
async fn first(guest: &mut Guest, wire: &mut Wire, live: &Live) -> Result<Session, Closing> {
    if welcome::takes_time(guest) {
        let welcomed = live.unless_ended(Box::pin(welcome::welcome(guest, wire)));
        return welcomed.await.unwrap_or(Err(Closing::Ended));
    }
    Ok(guest.session())
}

/// Whether this session knows that the service stops.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Leaving {
    /// It does not watch for the word yet.
    NotAsked,
    /// It watches.
    Watching,
    /// It knows.
    Told,
}

impl Leaving {
    /// Ready once, when the service stops.
    fn poll(&mut self, cx: &mut Context<'_>, seat: &Seat, drained: Pin<&mut Notified<'_>>) -> Poll<()> {
        if *self == Leaving::NotAsked {
            // Once is enough: the task, and so the one to wake, stays the same.
            *self = Leaving::Watching;
            let _ = drained.poll(cx);
        }
        if *self == Leaving::Watching && seat.is_draining() {
            *self = Leaving::Told;
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// What a waiting session was woken by.
enum Woken {
    Wire(Moved),
    Time,
    Drained,
    Ended,
}

fn closing_word(how: Closing) -> &'static str {
    match how {
        Closing::Quit => "quit",
        Closing::PeerClosed => "vanished",
        Closing::TimedOut => "timed_out",
        Closing::Refused => "refused",
        Closing::Limit => "limit",
        Closing::Protocol => "protocol",
        Closing::Tls => "tls",
        Closing::Drained => "stopping",
        Closing::Ended => "ended",
    }
}
