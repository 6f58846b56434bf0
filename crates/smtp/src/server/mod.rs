//! The receiving session as a state machine that sends, asks and hands over content.
//!
//! The driver owns the socket and the clock and loops: octets that arrived go to [`Session::receive`], then
//! [`Session::next`] is called until it gives `None`, and each [`Step`] is carried out before the next one is
//! fetched. While [`Session::wants_input`] is false the driver does not read, which is all the back-pressure there is;
//! by [`Session::deadline`] it calls `next` again even if nothing arrived.
//!
//! What is promised:
//! - A message is acknowledged by [`Session::queued`] alone, which takes the proof that it is on disk.
//! - Refused content is read to its true end, or the connection is closed: nothing in it is ever run as a command.
//! - Each accepted sender leads to exactly one of: `queued`, [`Step::Abandon`], or [`Step::Close`].
//! - The replies of a pipelined batch leave in one [`Step::Send`].
//! - Everything that a peer can make grow has a limit ([`Settings`] and the constants beside it); an idle session holds
//!   no buffer.
//!
//! - A peer that errs again and again is answered late: for so long nothing of it is read.
//! - What proves who a peer is stands in no `Debug` output and is wiped when it has been handed on.
//!
//! What it does not do: it judges no peer, proof, sender or recipient (it asks), counts no hops, writes no trace line, stores
//! nothing and encrypts nothing. ETRN and TURN are not offered.
//!
//! RFC 5321 §3, §4; RFC 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531, 8689. IIS: General, Access and Messages tabs, section 4
//! of its protocol.

mod access;
mod closing;
mod commands;
mod content;
mod inspection;
mod look;
mod offer;
mod question;
pub mod replies;
mod settings;

pub use closing::Closing;
pub use inspection::Inspection;
pub use offer::{AUTH_FAILURES_MAX, AUTH_LINE_MAX, AUTH_ROUNDS_MAX, Offer};
pub use question::{Answer, Question};
pub use settings::{
    COMMANDS_MAX, CONTENT_GRACE, CONTENT_RATE_MIN, DISCARD_MIN, DISCARD_UNLIMITED, ERRORS_MAX, INPUT_MAX, LINE_MAX,
    PIECE_MIN, RECIPIENTS_MAX, REFUSALS_MAX, REPLIES_MAX, SESSION_SIZE_MAX, SIZE_MAX, SLOW_AFTER, SLOW_BY, SWALLOW_MAX,
    Settings, TIMEOUT,
};

use crate::command::BodyKind;
use crate::extension::Extensions;
use crate::line::LineCutter;
use crate::minutes::Minutes;
use crate::reply::Reply;
use crate::time::Timestamp;
use bytes::{Bytes, BytesMut};
use content::{Chunk, Content, Discard, Skip};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Proof that a message is on disk. Outside tests only the spool's receipt implements it.
pub trait Durable {
    /// The message's name, as the reply and the log show it.
    fn id(&self) -> String;
}

/// What the driver has to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Write these octets.
    Send(Bytes),
    /// Decide, then call [`Session::answer`], or [`Session::queued`] after [`Question::Commit`].
    Ask(Question),
    /// Content of the message that was begun, as it is to be stored.
    Body(Bytes),
    /// The transaction died: forget its sender, its recipients and its content.
    Abandon,
    /// All that was to be sent in the clear has been: begin TLS with what the peer sends from now on, then call
    /// [`Session::secured`]. What was read before is forgotten, and so is who the peer said that it is.
    StartTls,
    /// Close the connection, and forget what is open. Nothing follows.
    Close(Closing),
}

/// One connection, from our greeting to its end.
pub struct Session {
    settings: Arc<Settings>,
    offer: Arc<Offer>,
    peer: IpAddr,
    /// What came and is not used up yet.
    input: BytesMut,
    /// Octets that the allocation behind `input` may have, so that a small rest does not keep a large one.
    allocated: usize,
    cutter: LineCutter,
    /// What goes out with the next `Send`.
    replies: Vec<u8>,
    phase: Phase,
    asked: Option<Asked>,
    /// HELO or EHLO was accepted.
    greeted: bool,
    /// AUTH was accepted.
    authenticated: bool,
    transaction: Option<Transaction>,
    tally: Tally,
    /// While content is read, from its first octet to its last.
    pace: Option<Pace>,
    /// When the peer last brought the session forward; the driver's own time is added to it.
    since: Timestamp,
    /// When the driver got a step that it has not come back from.
    away: Option<Timestamp>,
    /// Until then nothing is sent and nothing is read, because the peer erred so often.
    held: Option<Timestamp>,
    /// The reply that was just given is to be held back.
    slow: bool,
    /// [`Step::StartTls`] is due.
    tls_due: bool,
    /// The peer will send no more.
    input_ended: bool,
    draining: bool,
    /// [`Step::Abandon`] is due.
    abandoned: bool,
    /// What was said, if somebody looks on.
    minutes: Option<Box<Minutes>>,
}

/// What the octets that come next are.
#[derive(Debug)]
enum Phase {
    /// None that may come yet: our greeting is late.
    Unspoken,
    /// A command line.
    Command,
    /// Not looked at: HELO or EHLO was read, and is to be asked about.
    Hello { host: Box<str>, esmtp: bool },
    /// A response to the last of so many challenges.
    Auth { rounds: u8 },
    /// None of ours: STARTTLS was said, and TLS is not on yet.
    Handshake,
    /// Content after DATA.
    Dotted(Content),
    /// Content after BDAT.
    Chunk(Content, Chunk),
    /// All content is handed over: Commit is to be asked.
    Complete,
    /// Refused content after DATA.
    Discard(Discard),
    /// A refused chunk.
    Skip(Skip),
    /// Nothing: replies go out, then the connection ends.
    Closing(Closing),
    /// Nothing: it has ended.
    Closed,
}

/// The open question, with what its answer needs.
#[derive(Debug)]
enum Asked {
    Hello { esmtp: bool },
    Auth { rounds: u8 },
    Sender { transaction: Transaction, address: Box<str> },
    Recipient { address: Box<str> },
    Begin { chunk: Option<Chunk> },
    Commit,
}

/// From an accepted MAIL on.
#[derive(Debug)]
struct Transaction {
    body: BodyKind,
    utf8: bool,
    /// Accepted ones.
    recipients: u32,
    /// A recipient was refused.
    refused: bool,
    /// Content between two chunks.
    chunks: Option<Content>,
}

/// What is counted against the limits of [`Settings`].
#[derive(Default, Debug)]
struct Tally {
    /// Protocol errors in this session.
    errors: u32,
    /// Commands that brought no message forward, since the last message.
    commands: u32,
    /// Senders, recipients and messages refused, since the last message.
    refusals: u32,
    /// Octets of content in this session, refused content too.
    content: u64,
    /// AUTH exchanges in this session that failed.
    failures: u8,
}

/// How fast content comes.
#[derive(Debug)]
struct Pace {
    begun: Timestamp,
    octets: u64,
}

/// What became of a look at the input.
enum Progress {
    /// Something was used up: look again.
    Made,
    /// The driver is needed.
    Step(Step),
    /// More input is needed, or the session is over.
    Starved,
}

impl Session {
    /// A peer connected; the first step is our greeting.
    #[must_use]
    pub fn new(settings: Arc<Settings>, offer: Arc<Offer>, peer: IpAddr, now: Timestamp) -> Session {
        let greeting = replies::greeting(&settings);
        let mut session = Session::open(settings, offer, peer, Phase::Command, now);
        session.reply(&greeting);
        session
    }

    /// A peer connected; our greeting comes after [`Settings::greeting_delay`]. A peer that cannot wait is no mail server:
    /// it gets 554 instead.
    #[must_use]
    pub fn delayed(settings: Arc<Settings>, offer: Arc<Offer>, peer: IpAddr, now: Timestamp) -> Session {
        Session::open(settings, offer, peer, Phase::Unspoken, now)
    }

    /// A peer connected that is not let in: it is greeted with `reply`, 421 or 554, and that is all.
    #[must_use]
    pub fn refuse(settings: Arc<Settings>, peer: IpAddr, reply: &Reply, now: Timestamp) -> Session {
        let mut session = Session::open(settings, Arc::default(), peer, Phase::Closing(Closing::Refused), now);
        session.reply(reply);
        session
    }

    fn open(settings: Arc<Settings>, offer: Arc<Offer>, peer: IpAddr, phase: Phase, now: Timestamp) -> Session {
        let cutter = LineCutter::new(LINE_MAX, settings.bare_newlines);
        Session {
            settings,
            offer,
            peer,
            input: BytesMut::new(),
            allocated: 0,
            cutter,
            replies: Vec::new(),
            phase,
            asked: None,
            greeted: false,
            authenticated: false,
            transaction: None,
            tally: Tally::default(),
            pace: None,
            since: now,
            away: None,
            held: None,
            slow: false,
            tls_due: false,
            input_ended: false,
            draining: false,
            abandoned: false,
            minutes: None,
        }
    }

    /// Takes octets from the peer. Only to be called while [`Session::wants_input`].
    pub fn receive(&mut self, octets: &[u8]) {
        if self.is_deaf() {
            // A peer that we are closing on, or that is to begin TLS, may still be talking.
        } else if self.input.is_empty() {
            self.input = BytesMut::from(octets);
            self.allocated = octets.len();
        } else {
            self.input.extend_from_slice(octets);
            self.allocated = self.allocated.max(self.input.len());
        }
    }

    /// May the driver read from the peer now? Not while a question is open, TLS is to begin or an answer is held back, nor
    /// when enough waits already.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        let held = self.held.is_some();
        self.asked.is_none() && !held && !self.input_ended && !self.is_deaf() && self.input.len() < INPUT_MAX
    }

    /// The peer closed its side. What it sent before is still carried out and answered.
    pub fn receive_end(&mut self) {
        self.input_ended = true;
    }

    /// We shut down: the session ends with 421 before the next command, but a message whose content has begun is
    /// still taken.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// The next step; `None`: bring input, an answer, or time.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        if self.asked.is_some() {
            return None;
        }
        if let Some(then) = self.away.take() {
            self.excuse(now.since(then));
        }
        let step = self.step(now);
        self.away = step.as_ref().map(|_| now);
        step
    }

    fn step(&mut self, now: Timestamp) -> Option<Step> {
        if self.is_held(now) {
            return None;
        }
        while self.replies.len() < REPLIES_MAX {
            if std::mem::take(&mut self.abandoned) {
                return Some(Step::Abandon);
            }
            if std::mem::take(&mut self.slow) {
                self.held = Some(now.plus(SLOW_BY));
                return None;
            }
            match self.advance() {
                Progress::Made => self.since = now,
                Progress::Step(step) => {
                    self.since = now;
                    return Some(step);
                }
                Progress::Starved => break,
            }
        }
        self.release();
        if !self.replies.is_empty() {
            return Some(Step::Send(std::mem::take(&mut self.replies).into()));
        }
        if let Some(why) = self.conclude() {
            return Some(Step::Close(why));
        }
        if std::mem::take(&mut self.tls_due) { Some(Step::StartTls) } else { self.time_out(now) }
    }

    /// Is an answer still held back?
    fn is_held(&mut self, now: Timestamp) -> bool {
        match self.held {
            Some(until) if now < until => true,
            Some(_) => {
                // This time was ours.
                self.since = now;
                self.held = None;
                false
            }
            None => false,
        }
    }

    /// So long the driver decided, stored or wrote: the peer could do nothing.
    fn excuse(&mut self, time: Duration) {
        self.since = self.since.plus(time);
        self.pace.iter_mut().for_each(|pace| pace.begun = pace.begun.plus(time));
    }

    /// Answers the open question. An answer that does not fit it counts as a local error.
    pub fn answer(&mut self, answer: Answer) {
        let Some(asked) = self.asked.take() else { return };
        match (asked, answer) {
            (Asked::Hello { esmtp }, Answer::Accept) => {
                self.greeted = true;
                self.reply(&if esmtp {
                    replies::hello(&self.settings, self.peer, &self.offered(), &self.offer)
                } else {
                    replies::hello_plain(&self.settings, self.peer)
                });
            }
            (Asked::Auth { rounds }, Answer::Challenge(challenge)) => self.challenge(&challenge, rounds),
            (Asked::Auth { .. }, Answer::Accept) => {
                self.authenticated = true;
                self.reply(&replies::authenticated());
            }
            (Asked::Sender { transaction, address }, Answer::Accept) => {
                self.transaction = Some(transaction);
                self.reply(&replies::sender_accepted(&address));
            }
            (Asked::Recipient { address }, Answer::Accept) => {
                self.transaction.iter_mut().for_each(|transaction| transaction.recipients += 1);
                self.reply(&replies::recipient_accepted(&address));
            }
            (Asked::Begin { chunk }, Answer::Begun) => self.begin_content(chunk),
            (asked, Answer::Refuse(reply)) => self.refused(asked, reply),
            (asked, _) => self.refused(asked, replies::local_error()),
        }
    }

    /// Answers [`Question::Commit`]: the message is durable. The only way to the 250 after a message.
    pub fn queued<R: Durable>(&mut self, receipt: &R) {
        if !matches!(self.asked, Some(Asked::Commit)) {
            return;
        }
        self.asked = None;
        self.transaction = None;
        self.tally.commands = 0;
        self.tally.refusals = 0;
        self.reply(&replies::queued(&receipt.id()));
    }

    /// Call [`Session::next`] again by then.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        if self.asked.is_some() || self.is_deaf() {
            return Timestamp::NEVER;
        }
        if let Some(until) = self.held {
            return until;
        }
        if matches!(self.phase, Phase::Unspoken) {
            return self.since.plus(self.settings.greeting_delay);
        }
        let idle = self.since.plus(self.settings.timeout);
        match (&self.pace, self.settings.content_rate_min) {
            (None, _) | (_, 0) => idle,
            (Some(pace), rate) => {
                let earned = Duration::from_millis(pace.octets.saturating_mul(1_000) / u64::from(rate));
                idle.min(pace.begun.plus(self.settings.content_grace).plus(earned))
            }
        }
    }

    /// Is nothing that the peer sends for this session any more, or not yet?
    fn is_deaf(&self) -> bool {
        matches!(self.phase, Phase::Closing(_) | Phase::Closed | Phase::Handshake)
    }

    /// What this peer is offered now.
    fn offered(&self) -> Extensions {
        let all = Extensions {
            starttls: self.offer.starttls,
            auth: self.offer.has_auth(),
            require_tls: self.offer.secured,
            ..Extensions::ours(self.settings.message_max())
        };
        self.settings.inspection.limit(all)
    }

    /// Uses up some input. The phase is taken out; who goes on in it puts it back.
    fn advance(&mut self) -> Progress {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Command => self.command(),
            Phase::Unspoken => self.listen(),
            Phase::Auth { rounds } => self.auth_response(rounds),
            Phase::Hello { host, esmtp } => self.ask(Question::Hello { host, esmtp }, Asked::Hello { esmtp }),
            Phase::Dotted(content) => self.dotted(content),
            Phase::Chunk(content, chunk) => self.chunk(content, chunk),
            Phase::Complete => {
                self.pace = None;
                self.ask(Question::Commit, Asked::Commit)
            }
            Phase::Discard(discard) => self.discard(discard),
            Phase::Skip(skip) => self.skip(skip),
            deaf @ (Phase::Closing(_) | Phase::Closed | Phase::Handshake) => {
                self.phase = deaf;
                self.input.clear();
                Progress::Starved
            }
        }
    }

    /// Whoever speaks before he is greeted does not listen.
    fn listen(&mut self) -> Progress {
        if self.input.is_empty() {
            self.phase = Phase::Unspoken;
            return Progress::Starved;
        }
        self.close(&replies::talked_before_greeting(), Closing::Protocol);
        Progress::Made
    }

    fn ask(&mut self, question: Question, asked: Asked) -> Progress {
        self.asked = Some(asked);
        Progress::Step(Step::Ask(question))
    }

    /// A question was answered with no.
    fn refused(&mut self, asked: Asked, reply: Reply) {
        match asked {
            _ if reply.code == 421 => self.close(&reply, Closing::Refused),
            Asked::Hello { .. } | Asked::Sender { .. } => self.decline(&reply),
            Asked::Auth { .. } => self.auth_refused(&reply),
            Asked::Recipient { .. } => {
                self.transaction.iter_mut().for_each(|transaction| transaction.refused = true);
                self.decline(&reply);
            }
            Asked::Begin { chunk: None } | Asked::Commit => {
                self.abandon();
                self.reply(&reply);
            }
            Asked::Begin { chunk: Some(chunk) } => {
                self.abandon();
                self.skip_chunk(chunk.octets, reply);
            }
        }
    }

    /// Ends the transaction, if there is one, without a message.
    fn abandon(&mut self) {
        self.abandoned |= self.transaction.take().is_some();
    }

    /// Nothing is left to do: is it time to close?
    fn conclude(&mut self) -> Option<Closing> {
        let why = match self.phase {
            Phase::Closing(why) => why,
            Phase::Closed => return None,
            _ if self.input_ended => Closing::PeerClosed,
            _ => return None,
        };
        self.phase = Phase::Closed;
        Some(why)
    }

    fn time_out(&mut self, now: Timestamp) -> Option<Step> {
        if now < self.deadline() {
            return None;
        }
        if matches!(self.phase, Phase::Unspoken) {
            self.phase = Phase::Command;
            self.since = now;
            self.reply(&replies::greeting(&self.settings));
            return Some(Step::Send(std::mem::take(&mut self.replies).into()));
        }
        self.close(&replies::timed_out(&self.settings), Closing::TimedOut);
        Some(Step::Send(std::mem::take(&mut self.replies).into()))
    }

    /// Keeps no more memory than what waits needs.
    fn release(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
            self.allocated = 0;
        } else if self.input.len() < self.allocated {
            // Less than a line is left, and a buffer that was once split keeps the size that it had.
            self.input = BytesMut::from(self.input.as_ref());
            self.allocated = self.input.len();
        }
    }

    fn reply(&mut self, reply: &Reply) {
        let from = self.replies.len();
        reply.print(&mut self.replies);
        if let Some(minutes) = &mut self.minutes {
            minutes.note_reply(&self.replies[from..]);
        }
    }

    /// The last reply, then the end; what is open is forgotten.
    fn close(&mut self, reply: &Reply, why: Closing) {
        self.reply(reply);
        self.transaction = None;
        self.abandoned = false;
        self.pace = None;
        self.phase = Phase::Closing(why);
    }

    /// Answers a protocol error, or ends the session if there were too many.
    fn protest(&mut self, reply: &Reply) {
        self.tally.errors += 1;
        if self.tally.errors > self.settings.errors_max {
            self.close(&replies::too_many_errors(&self.settings), Closing::Limit);
        } else {
            self.slow |= self.tally.errors > SLOW_AFTER;
            self.reply(reply);
        }
    }

    /// Answers what policy or content made us refuse, or ends the session if there was too much.
    fn decline(&mut self, reply: &Reply) {
        self.tally.refusals += 1;
        if self.tally.refusals > self.settings.refusals_max {
            self.close(&replies::too_many_refusals(&self.settings), Closing::Limit);
        } else {
            self.slow |= self.tally.refusals > SLOW_AFTER;
            self.reply(reply);
        }
    }

    /// Answers a command that brings no message forward, or ends the session if there were too many.
    fn indulge(&mut self, reply: &Reply) {
        self.tally.commands += 1;
        if self.tally.commands > self.settings.commands_max {
            self.close(&replies::too_many_commands(&self.settings), Closing::Limit);
        } else {
            self.reply(reply);
        }
    }
}

#[cfg(test)]
mod tests;
