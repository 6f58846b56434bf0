//! One session as others may see it, and the word by which it is ended.
//!
//! The session's own task writes: numbers without a lock, the rest under a lock of its own that nobody holds for long. Those who
//! look read the same. Whoever wants it ended sets a mark and wakes the task; the task watches for it wherever it waits for its peer.

use super::Registry;
use super::dialogue::Dialogue;
use futures_util::task::AtomicWaker;
use relay::admin::Direction;
use relay::admin::view::{DialogueLine, DialogueView, SessionView};
use smtp::minutes::Side;
use smtp::time::Timestamp;
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// What a session does when it does not speak SMTP.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// It speaks: the last command says what goes on.
    Talk,
    /// Inbound: the client's name is looked up. Outbound: the host is looked for and called.
    Connecting,
    /// TLS is being agreed upon.
    Handshake,
}

/// See the module.
pub struct Live {
    /// Where it is listed.
    registry: Arc<Registry>,
    id: u64,
    direction: Direction,
    since: Timestamp,
    phase: AtomicU8,
    ended: AtomicBool,
    messages: AtomicU32,
    octets: AtomicU64,
    task: AtomicWaker,
    told: Mutex<Told>,
}

/// What changes seldom, and the dialogue.
#[derive(Default)]
struct Told {
    peer: Peer,
    local: Option<SocketAddr>,
    user: Box<str>,
    /// Version and cipher suite.
    tls: Option<(&'static str, &'static str)>,
    destination: Option<Box<str>>,
    dialogue: Dialogue,
}

#[derive(Default)]
enum Peer {
    #[default]
    Unknown,
    Address(SocketAddr),
    Host(Box<str>),
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Live({}, {:?})", self.id, self.direction)
    }
}

impl Live {
    pub(super) fn inbound(
        registry: &Arc<Registry>,
        peer: SocketAddr,
        local: Option<SocketAddr>,
        now: Timestamp,
    ) -> Live {
        let told = Told { peer: Peer::Address(peer), local, ..Told::default() };
        Live::new(registry, Direction::Inbound, Phase::Talk, told, now)
    }

    pub(super) fn outbound(registry: &Arc<Registry>, destination: Box<str>, now: Timestamp) -> Live {
        let told = Told { destination: Some(destination), ..Told::default() };
        Live::new(registry, Direction::Outbound, Phase::Connecting, told, now)
    }

    fn new(registry: &Arc<Registry>, direction: Direction, phase: Phase, told: Told, since: Timestamp) -> Live {
        Live {
            id: registry.next(),
            registry: Arc::clone(registry),
            direction,
            since,
            phase: AtomicU8::new(phase as u8),
            ended: AtomicBool::new(false),
            messages: AtomicU32::new(0),
            octets: AtomicU64::new(0),
            task: AtomicWaker::new(),
            told: Mutex::new(told),
        }
    }

    /// It is listed no more.
    pub(super) fn leave(&self) {
        self.registry.remove(self.id);
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    pub(super) fn direction(&self) -> Direction {
        self.direction
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It does this now.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Who it is: an account, or a name in brackets that nobody has proved.
    pub fn set_user(&self, user: impl Into<Box<str>>) {
        self.told().user = user.into();
    }

    /// Outbound: whom it has reached, from which address of ours.
    pub fn set_host(&self, host: &str, local: Option<SocketAddr>) {
        let mut told = self.told();
        told.peer = Peer::Host(host.into());
        told.local = local;
    }

    /// The channel is under TLS.
    pub fn set_tls(&self, version: &'static str, cipher: &'static str) {
        self.told().tls = Some((version, cipher));
        self.set_phase(Phase::Talk);
    }

    /// A message was taken or handed over.
    pub fn count(&self, octets: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.octets.fetch_add(octets, Ordering::Relaxed);
    }

    /// How many messages that were.
    #[must_use]
    pub fn messages(&self) -> u64 {
        u64::from(self.messages.load(Ordering::Relaxed))
    }

    /// What was said, as [`smtp::minutes`] has it.
    pub fn note(&self, noted: &[u8], now: Timestamp) {
        if !noted.is_empty() {
            self.told().dialogue.add(noted, now.since(self.since));
        }
    }

    /// An operator ends it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.task.wake();
    }

    /// Has an operator ended it?
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Ready once it is ended. For one task at a time.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_ended() {
            return Poll::Ready(());
        }
        self.task.register(cx.waker());
        // It may have been ended in between.
        if self.is_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// What comes of `work`; `None`: it is ended before. What is ready at once is done in any case.
    ///
    /// Not an `async fn`: what such a function is given it would hold twice. So `work` is pinned by whoever has it.
    pub fn unless_ended<F: Future + Unpin>(&self, mut work: F) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_ended(cx).map(|()| None),
        })
    }

    pub(super) fn view(&self, now: Timestamp) -> SessionView {
        let told = self.told();
        SessionView {
            id: self.id.to_string(),
            direction: self.direction,
            user: told.user.to_string(),
            peer: match &told.peer {
                Peer::Unknown => String::new(),
                Peer::Address(address) => address.to_string(),
                Peer::Host(host) => host.to_string(),
            },
            local: told.local.map(|local| local.to_string()).unwrap_or_default(),
            since: self.since.rfc3339(),
            seconds: now.since(self.since).as_secs(),
            state: self.state(&told.dialogue),
            messages: self.messages(),
            octets: self.octets.load(Ordering::Relaxed),
            tls: told.tls.map(|(version, cipher)| format!("{version} {cipher}")),
            destination: told.destination.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn dialogue(&self, now: Timestamp) -> DialogueView {
        let session = self.view(now);
        let told = self.told();
        let lines = told.dialogue.lines(self.since).map(|said| DialogueLine {
            at: said.at.rfc3339(),
            ours: said.side == Side::Ours,
            text: String::from_utf8_lossy(said.line).into_owned(),
        });
        DialogueView { session, lines: lines.collect(), forgotten: told.dialogue.forgotten() }
    }

    /// In a word or two: what goes on.
    fn state(&self, dialogue: &Dialogue) -> String {
        if self.is_ended() {
            return "ending".into();
        }
        match self.phase.load(Ordering::Relaxed) {
            phase if phase == Phase::Connecting as u8 => return "connecting".into(),
            phase if phase == Phase::Handshake as u8 => return "TLS handshake".into(),
            _ => {}
        }
        if self.direction == Direction::Outbound && dialogue.is_empty() {
            // The host has not greeted yet.
            return "connecting".into();
        }
        let side = if self.direction == Direction::Inbound { Side::Theirs } else { Side::Ours };
        let mut last = "idle".to_owned();
        for said in dialogue.lines(self.since) {
            if said.side == side {
                last = verb(said.line, last);
            } else if last == "content" {
                // The message has its answer.
                last = "idle".into();
            }
        }
        if last == "content" || (side == Side::Ours && matches!(last.as_str(), "DATA" | "BDAT")) {
            last = if side == Side::Ours { "sending".into() } else { "DATA".into() };
        }
        last
    }
}

/// The verb of a line; a secret belongs to the command before it.
fn verb(line: &[u8], before: String) -> String {
    let word = String::from_utf8_lossy(line.split(|octet| *octet == b' ').next().unwrap_or_default()).into_owned();
    match word.as_str() {
        "***" | "*" => before,
        _ if line.starts_with(b"(no command") => before,
        _ if line.starts_with(b"(") => "content".into(),
        _ => word.to_ascii_uppercase(),
    }
}
