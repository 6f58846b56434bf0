//! One session with one server: the machine [`smtp::client::Session`] and the octets of its connection, brought together.
//!
//! [`Talk::next`] carries out what the machine wants (write, read, wait) until it has something to tell: ready for work, what
//! became of a message, or the end. Commands and the content that follows them leave in one write.
//!
//! Promises: every wait has an end. For a reply it is the machine's own deadline; for the content, each block must be
//! taken within [`Settings::block_timeout`]. While a write waits for the peer, its words are read all the same, so that two
//! sides that both write never wait for each other, and a refusal in the middle of a message is heard. When a connection
//! breaks, what the peer said before is read first: its reason is worth more than "connection reset".
//!
//! Does not: choose hosts ([`super::candidates`]), decide how the channel is protected and who we are ([`super::open`]), open content
//! ([`super::message`]), or name failures ([`super::words`]).
//!
//! RFC 5321 §4.5.3.2 (time-outs), §4.2.1.

use super::alarm::Alarm;
use super::wire::{Pieces, Wire};
use super::words;
use crate::sessions::{Live, Phase};
use crate::store::Content;
use crate::tls::TlsFailure;
use crate::tls::client::{ClientEngine, ClientFacts};
use smtp::client::{Accepted, Form, Rejection, Session, Settings, Step, Stuffer, Transaction, Trouble};
use smtp::extension::Extensions;
use smtp::reply::Reply;
use smtp::sasl::{Mechanism, Mechanisms};
use smtp::time::Timestamp;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Reads of what a broken connection still holds.
const LAST_READS_MAX: usize = 64;
/// Octets of the peer's words that are kept for somebody who wants them.
const WORDS_MAX: usize = 16 * 1024;

/// What the machine had to tell.
#[derive(Debug)]
pub(super) enum Said {
    /// The server is ready for TLS: [`Talk::shake_hands`], or [`Talk::no_tls`].
    StartTls,
    /// Prove who we are by one of these: [`Talk::authenticate`] or [`Talk::no_auth`].
    Authenticate(Mechanisms),
    /// Answer it: [`Talk::respond`] or [`Talk::cancel_auth`].
    Challenge(Vec<u8>),
    /// The server is content: [`Talk::confirm_auth`] or [`Talk::cancel_auth`].
    Authenticated,
    /// Bring a message, or say goodbye.
    Ready,
    /// What became of each recipient.
    Done(Vec<Result<Accepted, Rejection>>),
    /// The connection is of no more use.
    Failed(Trouble),
    /// All is said.
    Closed,
}

/// How a wait between two messages ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Idle<C> {
    /// With work.
    Work(C),
    /// It was long enough.
    Quiet,
    /// The server ended the session, or what it said makes no sense: nothing can be sent over it any more.
    Over,
}

/// See the module.
pub(super) struct Talk {
    wire: Wire,
    session: Session,
    alarm: Alarm,
    watch: Watch,
    block_timeout: Duration,
    out: Pieces,
    content: Option<Content>,
    size: u64,
    /// The machine waits for a message or a goodbye.
    ready: bool,
    /// A step of the machine that came while something else was being done.
    stash: Option<Step>,
    heard: Heard,
    stalled: bool,
    /// Where operators look on, and by whose word the session ends.
    live: Option<Arc<Live>>,
}

impl Talk {
    /// Over a connection that was just made.
    pub(super) fn new(wire: Wire, settings: &Arc<Settings>, now: Timestamp) -> Talk {
        let watch = Watch::start(now);
        let session = Session::new(settings.clone(), now);
        let alarm = Alarm::new(watch.instant(session.deadline()));
        Talk {
            wire,
            session,
            alarm,
            watch,
            block_timeout: settings.block_timeout(),
            out: Pieces::default(),
            content: None,
            size: 0,
            ready: false,
            stash: None,
            heard: Heard::default(),
            stalled: false,
            live: None,
        }
    }

    /// From now on operators look on, and may end it.
    pub(super) fn show(&mut self, live: &Arc<Live>) {
        self.session.keep_minutes();
        self.live = Some(Arc::clone(live));
    }

    /// Over a connection on which these octets have come already: a server under TLS may greet with its last words of the
    /// handshake.
    pub(super) fn hear(&mut self, early: &[u8]) {
        take(&mut self.session, &mut self.heard, early);
    }

    /// From now on the peer's words are kept.
    pub(super) fn keep_words(&mut self) {
        self.heard.words = Some(Vec::new());
    }

    /// What was kept since the last call.
    pub(super) fn take_words(&mut self) -> Vec<u8> {
        self.heard.words.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The certificate that the peer has shown, in DER.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        self.wire.certificate()
    }

    /// Shakes hands: answers [`Said::StartTls`].
    pub(super) async fn shake_hands(&mut self, engine: ClientEngine) {
        self.note_minutes();
        self.live.iter().for_each(|live| live.set_phase(Phase::Handshake));
        let deadline = self.watch.instant(self.session.deadline());
        let shaken = tokio::time::timeout_at(deadline, self.wire.shake_hands(engine)).await;
        self.live.iter().for_each(|live| live.set_phase(Phase::Talk));
        match shaken {
            Ok(Ok(early)) => {
                self.session.secured(self.watch.now());
                self.hear(&early);
            }
            Ok(Err(why)) => self.session.tls_failed(&why),
            Err(_) => self.session.tls_failed("the server did not finish the TLS handshake in time"),
        }
    }

    /// TLS cannot be begun from this side: answers [`Said::StartTls`].
    pub(super) fn no_tls(&mut self, why: &str) {
        self.session.tls_failed(why);
    }

    /// Begins an exchange of AUTH; answers [`Said::Authenticate`].
    pub(super) fn authenticate(&mut self, mechanism: Mechanism, initial: Option<Vec<u8>>) {
        self.session.authenticate(mechanism, initial);
    }

    /// Nothing that is offered will do; answers [`Said::Authenticate`].
    pub(super) fn no_auth(&mut self, why: &str) {
        self.session.no_auth(why);
    }

    /// Answers [`Said::Challenge`].
    pub(super) fn respond(&mut self, response: Vec<u8>) {
        self.session.respond(response);
    }

    /// The server has proved itself, or need not; answers [`Said::Authenticated`].
    pub(super) fn confirm_auth(&mut self) {
        self.session.confirm_auth();
    }

    /// Gives the exchange up; answers [`Said::Challenge`] and [`Said::Authenticated`].
    pub(super) fn cancel_auth(&mut self, why: &str) {
        self.session.cancel_auth(why);
    }

    /// Is the channel under TLS?
    pub(super) fn is_secure(&self) -> bool {
        self.session.is_secure()
    }

    /// By which words the server refused the STARTTLS that it offers, if the session went on without it.
    pub(super) fn tls_refusal(&self) -> Option<&Reply> {
        self.session.tls_refusal()
    }

    /// What is known about the TLS channel, if there is one.
    pub(super) fn facts(&self) -> Option<Arc<ClientFacts>> {
        self.wire.facts()
    }

    /// What broke the TLS channel, if something did.
    pub(super) fn tls_failure(&self) -> Option<&TlsFailure> {
        self.wire.tls_failure()
    }

    /// What the server offers.
    pub(super) fn extensions(&self) -> &Extensions {
        self.session.extensions()
    }

    /// Begins a message; then [`Talk::next`] until [`Said::Done`].
    pub(super) fn begin(&mut self, transaction: Transaction, content: Content) {
        self.heard.lines = 0;
        self.ready = false;
        self.size = transaction.size;
        self.content = Some(content);
        self.session.begin(transaction);
    }

    /// Lines that the server has said since the last message was begun.
    pub(super) fn lines_heard(&self) -> usize {
        self.heard.lines
    }

    /// Was the connection given up because the server did not take the content?
    pub(super) fn has_stalled(&self) -> bool {
        self.stalled
    }

    /// What the server calls itself.
    pub(super) fn peer_name(&self) -> &str {
        self.session.peer_name()
    }

    /// Says goodbye; then [`Talk::next`].
    pub(super) fn quit(&mut self) {
        self.ready = false;
        self.session.quit();
    }

    /// Goes on until there is something to tell.
    pub(super) async fn next(&mut self) -> Said {
        if self.ready {
            return Said::Ready;
        }
        loop {
            let step = self.stash.take().or_else(|| self.session.next(self.watch.now()));
            self.note_minutes();
            match step {
                Some(Step::Send(octets)) => self.out.push(octets),
                Some(Step::Content(form)) => self.send_content(form).await,
                None if self.out.is_empty() => self.read().await,
                None => {
                    self.write(false).await;
                }
                Some(last) => {
                    let said = match last {
                        Step::StartTls => Said::StartTls,
                        Step::Authenticate { offered } => Said::Authenticate(offered),
                        Step::Challenge(challenge) => Said::Challenge(challenge),
                        Step::Authenticated => Said::Authenticated,
                        Step::Ready => Said::Ready,
                        Step::Done(results) => Said::Done(results),
                        Step::Failed(trouble) => Said::Failed(trouble),
                        _ => Said::Closed,
                    };
                    match said {
                        Said::Ready => self.ready = true,
                        Said::Failed(_) | Said::Closed => self.write_last().await,
                        _ => {}
                    }
                    return said;
                }
            }
        }
    }

    /// Waits for work, at most for `keep`. `work` is polled for it.
    pub(super) async fn idle<C>(
        &mut self,
        keep: Duration,
        mut work: impl FnMut(&mut Context<'_>) -> Poll<C>,
    ) -> Idle<C> {
        self.alarm.set(Instant::now() + keep);
        loop {
            let Talk { wire, session, alarm, live, .. } = self;
            // The server first: work that comes in the same moment as its goodbye must not be begun.
            let woken = poll_fn(|cx| {
                if let Poll::Ready(read) = wire.poll_read(cx, |octets| session.receive(octets)) {
                    return Poll::Ready(Err(read));
                }
                if poll_ended(live.as_ref(), cx).is_ready() {
                    return Poll::Ready(Ok(Idle::Over));
                }
                if let Poll::Ready(work) = work(cx) {
                    return Poll::Ready(Ok(Idle::Work(work)));
                }
                alarm.poll_ring(cx).map(|()| Ok(Idle::Quiet))
            })
            .await;
            match woken {
                Ok(Idle::Over) => {
                    self.ready = false;
                    self.session.give_up(words::ENDED);
                    // A QUIT that nobody waits for.
                    let _ = self.next().await;
                    return Idle::Over;
                }
                Ok(idle) => return idle,
                Err(read) => self.note_read(&read),
            }
            if self.session.next(self.watch.now()).is_some() {
                return Idle::Over;
            }
        }
    }

    async fn read(&mut self) {
        self.alarm.set(self.watch.instant(self.session.deadline()));
        let Talk { wire, session, alarm, heard, live, .. } = self;
        let did = poll_fn(|cx| {
            // What has come counts, whoever ends the session: it may be the 250 after the message.
            if let Poll::Ready(read) = wire.poll_read(cx, |octets| take(session, heard, octets)) {
                return Poll::Ready(Did::Read(read));
            }
            if poll_ended(live.as_ref(), cx).is_ready() {
                return Poll::Ready(Did::End);
            }
            // The machine sees for itself that its deadline has come.
            alarm.poll_ring(cx).map(|()| Did::Wait)
        })
        .await;
        match did {
            Did::Read(read) => self.note_read(&read),
            Did::End => self.session.give_up(words::ENDED),
            Did::Wrote(_) | Did::Wait => {}
        }
    }

    fn note_minutes(&mut self) {
        if let Some(live) = &self.live {
            live.note(&self.session.minutes(), self.watch.now());
        }
    }

    fn note_read(&mut self, read: &io::Result<usize>) {
        if !matches!(read, Ok(1..)) {
            self.session.receive_end();
        }
    }

    /// Writes all that waits to be written, and reads meanwhile if the peer does not take it at once. `false` if the
    /// machine wants something else now, or the connection is broken.
    async fn write(&mut self, content: bool) -> bool {
        let deadline = self.watch.instant(self.session.deadline());
        while !self.out.is_empty() {
            self.alarm.set(if content { Instant::now() + self.block_timeout } else { deadline });
            let Talk { wire, session, alarm, out, heard, live, .. } = self;
            let done = poll_fn(|cx| {
                if poll_ended(live.as_ref(), cx).is_ready() {
                    let read = wire.poll_read(cx, |octets| take(session, heard, octets));
                    return Poll::Ready(match read {
                        Poll::Ready(read) => Did::Read(read),
                        Poll::Pending => Did::End,
                    });
                }
                if let Poll::Ready(written) = wire.poll_write(cx, out) {
                    return Poll::Ready(Did::Wrote(written));
                }
                if let Poll::Ready(read) = wire.poll_read(cx, |octets| take(session, heard, octets)) {
                    return Poll::Ready(Did::Read(read));
                }
                alarm.poll_ring(cx).map(|()| Did::Wait)
            })
            .await;
            match done {
                Did::Wrote(Ok(())) => continue,
                Did::Wrote(Err(_)) => {
                    self.read_last().await;
                    self.out.clear();
                    return false;
                }
                Did::Read(read) => self.note_read(&read),
                Did::End => self.session.give_up(words::ENDED),
                Did::Wait if content => {
                    self.stalled = true;
                    let wait = self.block_timeout.as_secs();
                    self.session.content_failed(&format!("the server took nothing of the message for {wait} s"));
                }
                Did::Wait => {}
            }
            self.stash = self.session.next(self.watch.now());
            match &self.stash {
                None => {}
                // The machine goes on talking: behind what is not yet written.
                Some(Step::Send(_) | Step::Content(_)) => return false,
                Some(_) => {
                    self.out.clear();
                    return false;
                }
            }
        }
        true
    }

    /// Hands over as much as the kernel takes at once: a QUIT that nobody waits for.
    async fn write_last(&mut self) {
        let Talk { wire, out, .. } = self;
        poll_fn(|cx| {
            while !out.is_empty() {
                if !matches!(wire.poll_write(cx, out), Poll::Ready(Ok(()))) {
                    break;
                }
            }
            wire.say_goodbye(cx);
            Poll::Ready(())
        })
        .await;
        self.out.clear();
    }

    /// The connection is broken: what the peer said before that.
    async fn read_last(&mut self) {
        let Talk { wire, session, heard, .. } = self;
        poll_fn(|cx| {
            for _ in 0..LAST_READS_MAX {
                if !matches!(wire.poll_read(cx, |octets| take(session, heard, octets)), Poll::Ready(Ok(1..))) {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
        self.session.receive_end();
    }

    /// Writes the content, its commands before it if they wait, and tells the machine how it went.
    async fn send_content(&mut self, form: Form) {
        let Some(mut content) = self.content.take() else {
            return self.session.content_failed("the message is wanted twice");
        };
        let mut stuffer = (form == Form::Dotted).then(Stuffer::new);
        let mut left = self.size;
        let mut next = content.next().await;
        if matches!(next, Ok(None)) && left > 0 {
            return self.content_lost(&io::Error::other("there is none"));
        }
        loop {
            let chunk = match next {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(e) => return self.content_lost(&e),
            };
            // One ahead, so that the last piece and what ends the message leave together.
            next = content.next().await;
            let is_last = matches!(next, Ok(None));
            // Not an octet more than BDAT has promised, and not the end of a message that is not whole: what would
            // follow might be taken for commands, what is missing would be lost.
            left = match left.checked_sub(chunk.len() as u64) {
                Some(left) if left == 0 || !is_last => left,
                _ => return self.content_lost(&io::Error::other("its length is not the one that was noted")),
            };
            self.out.push(match &mut stuffer {
                Some(stuffer) => stuffer.chunk(chunk),
                None => chunk,
            });
            if !is_last && !self.write_content().await {
                return;
            }
        }
        if let Some(stuffer) = stuffer {
            self.out.push(stuffer.finish());
        }
        if self.write_content().await {
            self.session.content_sent();
        }
    }

    async fn write_content(&mut self) -> bool {
        let written = self.write(true).await;
        if !written && matches!(self.stash, Some(Step::Send(_) | Step::Content(_))) {
            // The machine says nothing in the middle of a message; if it did, nobody would know how far it went.
            self.stash = None;
            self.content_lost(&io::Error::other("the session lost its order"));
        }
        written
    }

    fn content_lost(&mut self, error: &io::Error) {
        self.out.clear();
        self.session.content_failed(&format!("the message cannot be read from the queue: {error}"));
    }
}

/// What came from the peer, besides what the machine makes of it.
#[derive(Default)]
struct Heard {
    /// Line ends that came since the last message was begun.
    lines: usize,
    /// Its words, for somebody who wants them.
    words: Option<Vec<u8>>,
}

fn take(session: &mut Session, heard: &mut Heard, octets: &[u8]) {
    heard.lines += octets.iter().filter(|octet| **octet == b'\n').count();
    if let Some(words) = &mut heard.words {
        words.extend_from_slice(&octets[..octets.len().min(WORDS_MAX - words.len())]);
    }
    session.receive(octets);
}

/// What a write that waits was woken by.
enum Did {
    Wrote(io::Result<()>),
    Read(io::Result<usize>),
    Wait,
    /// An operator ends the session.
    End,
}

fn poll_ended(live: Option<&Arc<Live>>, cx: &mut Context<'_>) -> Poll<()> {
    live.map_or(Poll::Pending, |live| live.poll_ended(cx))
}

/// Time for the machine, from the runtime's own clock, so that its deadlines and our timers cannot disagree.
#[derive(Copy, Clone, Debug)]
struct Watch {
    began: Timestamp,
    at: Instant,
}

impl Watch {
    fn start(now: Timestamp) -> Watch {
        Watch { began: now, at: Instant::now() }
    }

    fn now(self) -> Timestamp {
        self.began.plus(self.at.elapsed())
    }

    fn instant(self, at: Timestamp) -> Instant {
        // "Never" is a year here: a timer takes no such distance.
        const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
        self.at + at.since(self.began).min(FAR)
    }
}
