//! The machine itself: greeting, EHLO, transactions one after another, RSET between them where it is needed, QUIT. TLS and
//! AUTH, between EHLO and the first transaction, stand in [`super::access`].

use super::access::Auth;
use super::inbox::{Heard, Inbox, NoReply};
use super::transfer::{Next, Transfer};
use super::{Fit, Form, Protocol, Settings, Stage, Step, Transaction, Trouble, TroubleKind, command, fit};
use crate::extension::Extensions;
use crate::minutes::{self, Minutes, SECRET, Side};
use crate::reply::Reply;
use crate::time::Timestamp;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// Characters of a peer's line that the text of a trouble repeats.
const QUOTED_MAX: usize = 128;

/// One connection to a next hop, from its greeting to its end.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) state: State,
    pub(super) inbox: Inbox,
    /// What the driver has not yet been told.
    pub(super) steps: VecDeque<Step>,
    pub(super) extensions: Extensions,
    peer_name: Box<str>,
    /// The wire is under TLS.
    pub(super) secure: bool,
    /// By which words the peer refused the STARTTLS that it offers.
    pub(super) tls_refusal: Option<Box<Reply>>,
    deadline: Timestamp,
    /// Something was begun or ended since `now` was last known: the deadline is to be set anew.
    rearm: bool,
    /// The peer has closed its side.
    pub(super) ended: bool,
    /// What was said, if somebody looks on.
    pub(super) minutes: Option<Minutes>,
}

#[derive(Debug)]
pub(super) enum State {
    Greeting,
    Hello(Protocol),
    StartTls,
    /// The driver shakes hands.
    Handshake,
    Auth(Box<Auth>),
    Idle,
    /// Begun by the driver; nothing is said yet.
    Begun(Box<Transfer>),
    Transfer(Box<Transfer>),
    Reset,
    /// Wanted by the driver; not said yet.
    QuitWanted,
    Quit,
    Over,
}

impl Session {
    /// A session over a connection that was just made: waits for the peer's greeting.
    #[must_use]
    pub fn new(settings: Arc<Settings>, now: Timestamp) -> Session {
        let mut session = Session {
            secure: settings.secure,
            settings,
            tls_refusal: None,
            state: State::Greeting,
            inbox: Inbox::default(),
            steps: VecDeque::new(),
            extensions: Extensions::default(),
            peer_name: Box::default(),
            deadline: Timestamp::NEVER,
            rearm: false,
            ended: false,
            minutes: None,
        };
        session.arm(now);
        session
    }

    /// Takes what was read from the peer. Ask [`Session::next`] until it says `None` before reading more.
    pub fn receive(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Over) {
            self.inbox.push(octets);
        }
    }

    /// The peer closed its side, or the connection broke.
    pub fn receive_end(&mut self) {
        self.ended = true;
    }

    /// What the driver has to do next; `None`: bring input, or come back at the deadline.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        if std::mem::take(&mut self.rearm) {
            self.arm(now);
        }
        loop {
            if let Some(step) = self.steps.pop_front() {
                if self.steps.is_empty() {
                    self.steps = VecDeque::new();
                }
                return Some(step);
            }
            if !self.turn(now) {
                return None;
            }
        }
    }

    /// When to call [`Session::next`] at the latest. Never, while content is being written: the driver bounds each
    /// write by [`Settings::block_timeout`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// What the peer offers; known after the first [`Step::Ready`].
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// What the peer calls itself in its reply to EHLO: whoever it is, if it is our own name we speak with ourselves.
    #[must_use]
    pub fn peer_name(&self) -> &str {
        &self.peer_name
    }

    /// Is the wire under TLS?
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// By which words the peer refused the STARTTLS that it offers, if the session went on without it.
    #[must_use]
    pub fn tls_refusal(&self) -> Option<&Reply> {
        self.tls_refusal.as_deref()
    }

    /// Begins a transaction; allowed after [`Step::Ready`]. A [`Step::Done`] follows, whatever happens.
    pub fn begin(&mut self, transaction: Transaction) {
        let mut transfer = Box::new(Transfer::new(transaction, &self.extensions, self.settings.protocol));
        if !matches!(self.state, State::Idle) {
            let text = "the connection was not ready for another message".into();
            let trouble = Trouble { kind: TroubleKind::GivenUp, stage: Stage::Idle, reply: None, text };
            self.steps.push_back(Step::Done(transfer.results(Some(&Arc::new(trouble)))));
            return;
        }
        if let Fit::Refused { status, text } = fit(&self.extensions, transfer.transaction()) {
            transfer.unfit(status, &text);
        } else if fit(&self.extensions, transfer.transaction()) == Fit::NeedsSevenBit {
            let text = "The next mail server takes 7-bit lines only, and the message was not converted.";
            transfer.unfit(crate::reply::EnhancedStatus(5, 6, 3), text);
        }
        self.state = State::Begun(transfer);
    }

    /// All of the content that [`Step::Content`] asked for is written. Call it before giving in what was read after.
    pub fn content_sent(&mut self) {
        if let State::Transfer(transfer) = &mut self.state {
            transfer.content_sent();
            self.rearm = true;
            let size = transfer.transaction().size;
            if let Some(minutes) = &mut self.minutes {
                minutes.note_content(Side::Ours, size);
            }
        }
    }

    /// The content cannot be had, or not to its end: the connection must be cut, so that no half message is taken.
    pub fn content_failed(&mut self, why: &str) {
        if matches!(self.state, State::Transfer(_)) {
            self.fail(TroubleKind::GivenUp, None, why.into());
        }
    }

    /// Ends the session: with QUIT when nothing is under way, else at once.
    pub fn quit(&mut self) {
        match self.state {
            State::Idle => self.state = State::QuitWanted,
            State::Over | State::QuitWanted | State::Quit => {}
            _ => self.fail(TroubleKind::GivenUp, None, "the connection was given up by this side".into()),
        }
    }

    /// Ends the session at once, whatever goes on: this side wants it no more, and `why` says so. What is not answered counts as
    /// lost; a QUIT that nobody waits for is said where the peer expects a command.
    pub fn give_up(&mut self, why: &str) {
        match self.state {
            State::Over => {}
            State::Idle | State::QuitWanted => self.leave(TroubleKind::GivenUp, None, why.into()),
            _ => self.fail(TroubleKind::GivenUp, None, why.into()),
        }
    }

    /// From now on what is said is noted, for [`Session::minutes`].
    pub fn keep_minutes(&mut self) {
        self.minutes = Some(Minutes::default());
    }

    /// What was said since the last call, as [`minutes::lines`] reads it; empty: nothing, or nobody looks on.
    #[must_use]
    pub fn minutes(&mut self) -> Vec<u8> {
        self.minutes.as_mut().map(Minutes::take).unwrap_or_default()
    }

    fn note(&mut self, side: Side, line: &[u8]) {
        if let Some(minutes) = &mut self.minutes {
            minutes.note(side, line);
        }
    }

    fn note_reply(&mut self, reply: &Reply) {
        let Some(minutes) = &mut self.minutes else { return };
        let mut printed = Vec::new();
        if matches!(self.state, State::Auth(_)) {
            // Some servers repeat what they do not understand.
            Reply { lines: vec![SECRET.into()], ..*reply }.print(&mut printed);
        } else {
            reply.print(&mut printed);
        }
        printed.split_inclusive(|&octet| octet == b'\n').for_each(|line| minutes.note(Side::Theirs, line));
    }

    fn note_commands(&mut self, commands: &[u8]) {
        let is_auth = matches!(self.state, State::Auth(_));
        let Some(minutes) = &mut self.minutes else { return };
        for line in commands.split_inclusive(|&octet| octet == b'\n') {
            match line.trim_ascii_end() {
                b"*" => minutes.note(Side::Ours, b"*"),
                said if said.starts_with(b"AUTH") => minutes.note(Side::Ours, &minutes::auth(said)),
                _ if is_auth => minutes.note(Side::Ours, SECRET.as_bytes()),
                said => minutes.note(Side::Ours, said),
            }
        }
    }

    /// Does one thing; `false` if there is nothing to do.
    fn turn(&mut self, now: Timestamp) -> bool {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Over => return false,
            State::QuitWanted => {
                self.state = State::Quit;
                self.say("QUIT\r\n".to_owned(), now);
                return true;
            }
            State::Begun(mut transfer) => {
                let next = transfer.next(&self.extensions);
                self.state = State::Transfer(transfer);
                self.go_on(next, now);
                return true;
            }
            State::Auth(mut auth) => {
                let due = auth.due();
                self.state = State::Auth(auth);
                if let Some(line) = due {
                    self.say(line.into_bytes(), now);
                    return true;
                }
            }
            State::Handshake if !self.inbox.is_empty() => {
                self.state = State::Handshake;
                self.injected();
                return true;
            }
            state => self.state = state,
        }
        match self.inbox.next(matches!(&self.state, State::Auth(auth) if auth.waits_for_peer())) {
            Ok(Some(Heard::Reply(reply))) => {
                self.note_reply(&reply);
                self.heard(reply, now);
            }
            Ok(Some(Heard::Challenge(text))) => {
                self.note(Side::Theirs, format!("334 {SECRET}").as_bytes());
                self.challenged(&text);
            }
            Err(NoReply::Garbage(line)) => {
                let line: String = line.chars().take(QUOTED_MAX).collect();
                self.fail(TroubleKind::NotSmtp, None, format!("the server said what is no SMTP reply: \"{line}\""));
            }
            Err(NoReply::Flood) => {
                self.fail(TroubleKind::Flood, None, "the server sent a reply without an end".to_owned());
            }
            Ok(None) if self.ended => {
                let text = format!("the server closed the connection {}", self.stage().when());
                self.fail(TroubleKind::Closed, None, text);
            }
            Ok(None) if now >= self.deadline => {
                let stage = self.stage();
                let wait = self.wait(stage).as_secs();
                let text = format!("the server was silent for {wait} s {}", stage.when());
                self.fail(TroubleKind::TimedOut, None, text);
            }
            Ok(None) => return false,
        }
        true
    }

    fn heard(&mut self, reply: Reply, now: Timestamp) {
        if reply.code == 421 && !matches!(self.state, State::Quit) {
            let text = format!("the server closed the session {}", self.stage().when());
            return self.fail(TroubleKind::Closing, Some(reply), text);
        }
        match &mut self.state {
            State::Greeting if reply.code == 220 => self.hello(self.settings.protocol, now),
            State::Greeting => self.refused(reply, "the server refused the connection"),
            State::Hello(protocol) => {
                let protocol = *protocol;
                self.heard_hello(protocol, &reply, now);
            }
            State::StartTls => self.heard_start_tls(reply, now),
            State::Auth(_) => self.heard_auth(reply),
            State::Transfer(transfer) => {
                let next = transfer.heard(reply, &self.extensions);
                self.go_on(next, now);
            }
            State::Reset if reply.is_positive() => self.idle(),
            State::Reset => self.refused(reply, "the server refused to begin anew"),
            State::Idle | State::Begun(_) | State::Handshake => self.unasked(reply),
            State::QuitWanted | State::Quit | State::Over => self.close(),
        }
    }

    fn heard_hello(&mut self, protocol: Protocol, reply: &Reply, now: Timestamp) {
        if reply.is_positive() {
            if protocol != Protocol::Helo {
                self.extensions = Extensions::parse(reply);
            }
            let name = reply.lines.first().and_then(|line| line.split_whitespace().next()).unwrap_or_default();
            self.peer_name = name.into();
            self.protect(now);
        } else if reply.is_permanent() && protocol == Protocol::Esmtp {
            self.hello(Protocol::Helo, now);
        } else {
            self.refused(reply.clone(), "the server refused to speak with us");
        }
    }

    pub(super) fn hello(&mut self, protocol: Protocol, now: Timestamp) {
        self.state = State::Hello(protocol);
        self.say(command::hello(protocol, &self.settings.hello), now);
    }

    pub(super) fn idle(&mut self) {
        self.state = State::Idle;
        self.deadline = Timestamp::NEVER;
        self.steps.push_back(Step::Ready);
    }

    /// Carries out what the transaction wants next.
    fn go_on(&mut self, next: Next, now: Timestamp) {
        match next {
            Next::Wait => self.arm(now),
            Next::Say(commands, content) => {
                if self.say(commands, now) && content == Some(Form::Chunk) {
                    self.steps.push_back(Step::Content(Form::Chunk));
                }
            }
            Next::Content(form) => {
                if !self.surprised() {
                    self.arm(now);
                    self.steps.push_back(Step::Content(form));
                }
            }
            Next::OutOfTurn(text, reply) => self.fail(TroubleKind::OutOfTurn, Some(reply), text.to_owned()),
            Next::Finished => self.finish(now),
        }
    }

    /// Everybody has an answer.
    fn finish(&mut self, now: Timestamp) {
        let State::Transfer(transfer) = std::mem::replace(&mut self.state, State::Reset) else { return };
        let reset = transfer.needs_reset();
        self.steps.push_back(Step::Done(transfer.results(None)));
        if reset {
            self.say("RSET\r\n".to_owned(), now);
        } else {
            self.idle();
        }
    }

    /// Sends commands when no reply is due; `false` if the peer has spoken unasked, which ends the session.
    pub(super) fn say(&mut self, commands: impl Into<Bytes>, now: Timestamp) -> bool {
        if self.surprised() {
            return false;
        }
        let commands = commands.into();
        self.note_commands(&commands);
        self.steps.push_back(Step::Send(commands));
        self.arm(now);
        true
    }

    /// Did the peer speak although no reply was due? Such a reply would be taken for the next command's.
    fn surprised(&mut self) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        match self.inbox.reply() {
            Ok(Some(reply)) if reply.code == 421 => {
                self.fail(TroubleKind::Closing, Some(reply), "the server closed the session".to_owned());
            }
            Ok(Some(reply)) => self.unasked(reply),
            Ok(None) | Err(_) => {
                let rest: String = self.inbox.rest().chars().take(QUOTED_MAX).collect();
                let text = format!("the server spoke without being asked: \"{rest}\"");
                self.fail(TroubleKind::OutOfTurn, None, text);
            }
        }
        true
    }

    pub(super) fn unasked(&mut self, reply: Reply) {
        self.fail(TroubleKind::OutOfTurn, Some(reply), "the server spoke without being asked".to_owned());
    }

    /// The peer said no to the session as a whole.
    fn refused(&mut self, reply: Reply, text: &str) {
        if reply.is_transient() || reply.is_permanent() {
            self.leave(TroubleKind::Refused, Some(reply), text.to_owned());
        } else {
            self.meaningless(reply);
        }
    }

    pub(super) fn meaningless(&mut self, reply: Reply) {
        self.fail(TroubleKind::NotSmtp, Some(reply), "the server gave an answer without meaning".to_owned());
    }

    /// Ends the session in trouble, while the peer still expects a QUIT.
    pub(super) fn leave(&mut self, kind: TroubleKind, reply: Option<Reply>, text: String) {
        self.note(Side::Ours, b"QUIT");
        self.steps.push_back(Step::Send(Bytes::from_static(b"QUIT\r\n")));
        self.fail(kind, reply, text);
    }

    /// Ends the session in trouble; a transaction under way is answered first.
    pub(super) fn fail(&mut self, kind: TroubleKind, reply: Option<Reply>, text: String) {
        let stage = self.stage();
        let trouble = Trouble { kind, stage, reply, text: text.into() };
        self.deadline = Timestamp::NEVER;
        self.inbox = Inbox::default();
        match std::mem::replace(&mut self.state, State::Over) {
            State::QuitWanted | State::Quit => self.steps.push_back(Step::Close),
            State::Over => {}
            State::Begun(transfer) | State::Transfer(transfer) => {
                let shared = Arc::new(trouble);
                self.steps.push_back(Step::Done(transfer.results(Some(&shared))));
                self.steps.push_back(Step::Failed(Arc::unwrap_or_clone(shared)));
            }
            State::Greeting
            | State::Hello(_)
            | State::StartTls
            | State::Handshake
            | State::Auth(_)
            | State::Idle
            | State::Reset => self.steps.push_back(Step::Failed(trouble)),
        }
    }

    fn close(&mut self) {
        self.state = State::Over;
        self.deadline = Timestamp::NEVER;
        self.steps.push_back(Step::Close);
    }

    fn stage(&self) -> Stage {
        match &self.state {
            State::Greeting => Stage::Greeting,
            State::Hello(_) => Stage::Hello,
            State::StartTls => Stage::StartTls,
            State::Handshake => Stage::Handshake,
            State::Auth(_) => Stage::Auth,
            State::Idle | State::Over => Stage::Idle,
            State::Begun(transfer) | State::Transfer(transfer) => transfer.stage(),
            State::Reset => Stage::Reset,
            State::QuitWanted | State::Quit => Stage::Quit,
        }
    }

    fn wait(&self, stage: Stage) -> std::time::Duration {
        self.settings.timeout.min(stage.wait())
    }

    /// The driver takes as long as it takes: it may have to fetch a token first.
    pub(super) fn wait_for_driver(&mut self) {
        self.deadline = Timestamp::NEVER;
    }

    pub(super) fn arm(&mut self, now: Timestamp) {
        self.deadline = match self.stage() {
            Stage::Idle | Stage::Content => Timestamp::NEVER,
            stage => now.plus(self.wait(stage)),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<Session>() <= 400, "{}", size_of::<Session>());
        let settings = Settings::plain("x.test", Protocol::Esmtp, std::time::Duration::from_secs(1));
        let mut session = Session::new(Arc::new(settings), Timestamp(0));
        session.receive(b"220 mx.test\r\n");
        while session.next(Timestamp(0)).is_some() {}
        session.receive(b"250 mx.test\r\n");
        assert_eq!(session.next(Timestamp(0)), Some(Step::Ready));
        assert_eq!((session.steps.capacity(), session.inbox.capacity()), (0, 0));
        assert_eq!(session.peer_name(), "mx.test");
    }
}
