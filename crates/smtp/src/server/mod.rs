//! The receiving session as a state machine that sends, asks and hands over content.

use crate::address::Domain;
use crate::body::BareNewlines;
use crate::command::{MailFrom, RcptTo};
use crate::reply::Reply;
use crate::time::Timestamp;
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Protocol errors before 421, unless set otherwise.
pub const ERRORS_MAX: u32 = 20;
/// Commands without a message before 421, unless set otherwise.
pub const COMMANDS_MAX: u32 = 100;
/// Senders and recipients refused without a message before 421, unless set otherwise.
pub const REFUSALS_MAX: u32 = 50;
/// Octets a second of content that a peer must keep up, unless set otherwise.
pub const CONTENT_RATE_MIN: u32 = 500;

/// What one virtual server lets its peers do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in the greeting and in replies.
    pub fqdn: Domain,
    /// Completes a bare local part.
    pub default_domain: Domain,
    /// Octets of one message.
    pub size_max: Option<u64>,
    /// Octets of all messages of one connection.
    pub session_size_max: Option<u64>,
    /// Recipients of one message.
    pub recipients_max: u32,
    /// What to do with a bare LF.
    pub bare_newlines: BareNewlines,
    /// How long a command, or the next octets of content, may be waited for.
    pub timeout: Duration,
    /// How long content may take beside what [`Settings::content_rate_min`] gives it.
    pub content_grace: Duration,
    /// Octets a second of content that a peer must keep up.
    pub content_rate_min: u32,
    /// Protocol errors in one session.
    pub errors_max: u32,
    /// Commands that bring no message forward, since the last message.
    pub commands_max: u32,
    /// Senders and recipients refused by policy, since the last message.
    pub refusals_max: u32,
}

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
    /// Decide, then call [`Session::answer`] or [`Session::queued`].
    Ask(Question),
    /// Content of the message that was begun.
    Body(Bytes),
    /// The transaction died: forget sender, recipients and content.
    Abandon,
    /// Close the connection. Nothing follows.
    Close(Closing),
}

/// What the session cannot decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// The peer introduced itself.
    Hello {
        /// What it calls itself: visible ASCII, otherwise unchecked.
        host: Box<str>,
        /// EHLO, not HELO.
        esmtp: bool,
    },
    /// May this sender send?
    Sender(MailFrom),
    /// May this recipient be written to?
    Recipient(RcptTo),
    /// Is there room for a message?
    Begin,
    /// The content is complete: make it durable, then call [`Session::queued`].
    Commit,
}

/// The driver's answer to a [`Question`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Yes, to Hello, Sender and Recipient.
    Accept,
    /// No, and the peer is told so.
    Refuse(Reply),
    /// Yes, to Begin.
    Begun,
}

/// Why a session ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Closing {
    /// The peer said QUIT.
    Quit,
    /// The peer closed the connection.
    PeerClosed,
    /// The peer was too slow.
    TimedOut,
    /// The peer was refused at its connection.
    Refused,
    /// A limit was reached.
    Limit,
    /// The peer broke the protocol in a way that leaves no safe way on.
    Protocol,
    /// We shut down.
    Drained,
}

/// One connection, from our greeting to its end.
#[derive(Debug)]
pub struct Session {
    greeting: Option<Bytes>,
}

impl Session {
    /// Begins with the greeting.
    #[must_use]
    pub fn new(settings: Arc<Settings>, peer: IpAddr, now: Timestamp) -> Session {
        let _ = (peer, now);
        Session { greeting: Some(format!("421 4.3.2 {} is being built\r\n", settings.fqdn).into()) }
    }
    /// Greets with a refusal and closes.
    #[must_use]
    pub fn refuse(settings: Arc<Settings>, peer: IpAddr, reply: &Reply, now: Timestamp) -> Session {
        let _ = (settings, peer, now);
        let mut wire = Vec::new();
        reply.print(&mut wire);
        Session { greeting: Some(wire.into()) }
    }
    /// Takes octets from the peer.
    pub fn receive(&mut self, octets: &[u8]) {
        let _ = octets;
    }
    /// May the driver read from the peer now?
    #[must_use]
    pub fn wants_input(&self) -> bool {
        true
    }
    /// The peer closed its side.
    pub fn receive_end(&mut self) {}
    /// The next step; `None`: bring input, an answer, or time.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        let _ = now;
        self.greeting.take().map(Step::Send)
    }
    /// Answers the open question.
    pub fn answer(&mut self, answer: Answer) {
        let _ = answer;
    }
    /// The message is durable: the only way to the 250 after it.
    pub fn queued<R: Durable>(&mut self, receipt: &R) {
        let _ = receipt.id();
    }
    /// Call [`Session::next`] again by then.
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        Timestamp::NEVER
    }
    /// We shut down: 421 at the next border between commands.
    pub fn drain(&mut self) {}
}
