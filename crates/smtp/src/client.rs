//! The sending session: a machine that speaks ESMTP, plain SMTP or LMTP to a next hop, and says of each recipient
//! what became of it.
//!
//! The driver owns the socket and the clock. It gives the machine what it reads ([`Session::receive`]), asks for the
//! next [`Step`] until there is none, carries it out, and asks again when there is input or when
//! [`Session::deadline`] has come:
//!
//! ```text
//!   new ─ Send(EHLO) ┬ Ready ─ begin(transaction) ─ Send(MAIL RCPT RCPT DATA) ─ Content ─ content_sent() ─ Done ─┐
//!                        ▲                                                                       (Send(RSET))    │
//!                        └───────────────────────────────────────────────────────────────────────────────────────┘
//!   anywhere: (Done) ─ Failed         Ready ─ quit() ─ Send(QUIT) ─ Close
//! ```
//!
//! Before the first Ready, where the settings ask for it:
//!
//! ```text
//!   Send(STARTTLS) ─ StartTls ─ secured() ─ Send(EHLO) ─┐          ┌── Challenge ─ respond() ── Send ──┐
//!        ▲      └ (refused, and clear text allowed) ────┤          ▼                                   │
//!       EHLO ───────────────────────────────────────────┴─ Authenticate ─ authenticate() ─ Send(AUTH) ─┴─ Authenticated ─ confirm_auth() ─ Ready
//! ```
//!
//! Promises:
//! - Every transaction that was begun gets exactly one [`Step::Done`] with one result for each recipient, in their
//!   order, whatever the peer does. A recipient counts as accepted only by the peer's own positive reply to the
//!   content.
//! - What the peer says is bounded and cleaned before it is kept; a peer that says what nobody asked is left.
//! - Nothing is sent that the peer did not offer to understand, and no octet of an address or parameter can end a
//!   command.
//! - A batch of commands leaves in one [`Step::Send`] where the peer offers PIPELINING.
//! - Nothing that the peer said in the clear is believed under TLS, and what it says between its 220 to STARTTLS and the
//!   handshake ends the session ([`TroubleKind::Injected`]). Where TLS is required, no sender and no secret goes without it.
//! - What is said to prove who we are stands in no `Debug` output, and is wiped when it has been sent.
//!
//! It does not judge (settle does), resolve names, choose hosts, or retry; it encrypts nothing and knows no secret: the driver
//! shakes hands, chooses the method of AUTH, and answers its challenges ([`crate::sasl::client`]).
//!
//! RFC 5321 §3.3, §4.5.3.2 (time-outs), §4.5.4.1; RFC 2033 (LMTP); RFC 2920 (pipelining); RFC 3030 (BDAT); RFC 1870,
//! 3461, 6152, 6531, 8689 (parameters); RFC 3207 (STARTTLS); RFC 4954 (AUTH).

mod access;
mod command;
mod fit;
mod inbox;
mod session;
mod stuffer;
mod transfer;

pub use access::CHALLENGES_MAX;
pub use fit::{Fit, fit};
pub use session::Session;
pub use stuffer::Stuffer;

use crate::address::{Mailbox, ReversePath};
use crate::command::{BodyKind, Notify, Ret};
use crate::reply::{EnhancedStatus, Reply};
use crate::sasl::Mechanisms;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How to speak with a next hop, and for how long to wait.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name after EHLO, HELO or LHLO.
    pub hello: Box<str>,
    /// Which protocol.
    pub protocol: Protocol,
    /// How long the peer may be silent. No step waits longer than RFC 5321 §4.5.3.2 asks for.
    pub timeout: Duration,
    /// Is the channel to be protected by STARTTLS?
    pub start_tls: StartTls,
    /// Does the driver have something to prove who we are? Then that is done before the first [`Step::Ready`], or the session
    /// fails.
    pub auth: bool,
    /// The wire is under TLS from the first octet.
    pub secure: bool,
}

impl Settings {
    /// In the clear, whoever we are.
    #[must_use]
    pub fn plain(hello: &str, protocol: Protocol, timeout: Duration) -> Settings {
        Settings { hello: hello.into(), protocol, timeout, start_tls: StartTls::Never, auth: false, secure: false }
    }

    /// How long the driver may take to write one block of content before it gives the peer up.
    #[must_use]
    pub fn block_timeout(&self) -> Duration {
        self.timeout.min(Duration::from_secs(3 * 60))
    }
}

/// How to speak.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// EHLO, and HELO if that is refused.
    Esmtp,
    /// HELO at once, no extensions.
    Helo,
    /// LHLO, and a reply for each recipient after the content.
    Lmtp,
}

/// Is STARTTLS said?
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum StartTls {
    /// No.
    Never,
    /// If it is offered; the session goes on in the clear if it is not, or if the peer refuses it.
    WhenOffered,
    /// Nothing else is said without it.
    Required,
}

/// A message for some recipients, all of whom this peer may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// The sender.
    pub sender: ReversePath,
    /// At least one.
    pub recipients: Vec<Addressee>,
    /// Octets of the content, exactly.
    pub size: u64,
    /// What the content may hold.
    pub body: BodyKind,
    /// It needs SMTPUTF8: an address or the header is not ASCII.
    pub utf8: bool,
    /// RET=, passed on where the peer offers DSN.
    pub ret: Option<Ret>,
    /// ENVID=, as xtext.
    pub envid: Option<Box<str>>,
    /// REQUIRETLS: to nobody who does not offer it, but for a report, which goes without then. Whether the channel is protected well enough is the driver's to see to
    /// (RFC 8689 §4.2.1).
    pub require_tls: bool,
}

/// One recipient of a [`Transaction`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addressee {
    /// The address.
    pub address: Mailbox,
    /// NOTIFY=, passed on where the peer offers DSN.
    pub notify: Notify,
    /// ORCPT= as it came.
    pub orcpt: Option<Box<str>>,
}

/// What the driver does next.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    /// Write these octets. Together with the [`Step::Content`] that may follow at once, if there is one.
    Send(Bytes),
    /// The peer is ready for TLS: shake hands, with what it sends from now on, then call [`Session::secured`], or
    /// [`Session::tls_failed`]. All by [`Session::deadline`]. What was read before must not come into the channel.
    StartTls,
    /// Prove who we are by one of these methods: [`Session::authenticate`], or [`Session::no_auth`].
    Authenticate {
        /// Those that the peer lists and that we know.
        offered: Mechanisms,
    },
    /// The peer asks this: [`Session::respond`], or [`Session::cancel_auth`].
    Challenge(Vec<u8>),
    /// The peer is content with our proof. If the method has the peer prove itself too, see whether it has; then
    /// [`Session::confirm_auth`], or [`Session::cancel_auth`].
    Authenticated,
    /// Nothing is under way: bring [`Session::begin`] or [`Session::quit`].
    Ready,
    /// Write the content, then call [`Session::content_sent`]. While writing, read, and give what comes to
    /// [`Session::receive`]; if [`Session::next`] then says [`Step::Done`], stop writing.
    Content(Form),
    /// What became of each recipient, in the order of the transaction.
    Done(Vec<Result<Accepted, Rejection>>),
    /// The connection cannot be used any more: close it. Nothing follows.
    Failed(Trouble),
    /// Close the connection: all is said. Nothing follows.
    Close,
}

/// How the content goes over the wire.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// Lines, with dots doubled and CRLF.CRLF behind them: see [`Stuffer`].
    Dotted,
    /// As it is, exactly as many octets as [`Transaction::size`] says.
    Chunk,
}

/// The peer took the message for this recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its words.
    pub reply: Reply,
    /// It offers DSN and was told when the sender wants a report: the duty to report is now its own (RFC 3461 §5.2.1).
    pub reports: bool,
}

/// The peer did not take the message for this recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rejection {
    /// At which step.
    pub stage: Stage,
    /// Why.
    pub why: Why,
    /// The peer takes no more recipients in one transaction: another transaction, soon, may bring it there
    /// (RFC 5321 §4.5.3.1.10, where 552 means the same).
    pub too_many: bool,
}

/// Why a recipient was not reached.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// The peer said no.
    Said(Reply),
    /// The connection was lost before the peer's answer. If that was at [`Stage::Content`] or [`Stage::Dot`], the
    /// peer may have taken the message all the same.
    Lost(Arc<Trouble>),
    /// The peer lacks what the message needs; it was not asked.
    Unfit {
        /// For the report.
        status: EnhancedStatus,
        /// One sentence for people.
        text: Box<str>,
    },
}

/// What made a connection unusable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// While what was waited for.
    pub stage: Stage,
    /// The peer's words, if it had any.
    pub reply: Option<Reply>,
    /// One sentence for people.
    pub text: Box<str>,
}

/// Kinds of [`Trouble`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum TroubleKind {
    /// The peer serves nobody, or not us: it refused at its greeting, at EHLO and HELO, or at RSET.
    Refused,
    /// The peer said 421: it closes.
    Closing,
    /// The peer closed without a word.
    Closed,
    /// The peer was silent for too long.
    TimedOut,
    /// What the peer said is not SMTP.
    NotSmtp,
    /// The peer answered what was not asked, or out of turn.
    OutOfTurn,
    /// The peer's reply does not end.
    Flood,
    /// We gave up: the content could not be read, or the driver said QUIT in the middle.
    GivenUp,
    /// TLS is required, and the peer does not offer it, or refused it (then with its words).
    NoTls,
    /// Something was said between the peer's 220 to STARTTLS and the handshake: by whoever sits in between, most likely.
    Injected,
    /// The handshake failed, or the driver does not trust the other side.
    TlsFailed,
    /// Who we are can be proved by no method that the peer offers.
    NoAuth,
    /// The peer refused our proof.
    AuthRefused,
    /// The exchange made no sense, or the peer failed to prove itself.
    AuthBroken,
}

/// The steps of a session, each with its own wait.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Waiting for 220.
    Greeting,
    /// EHLO, HELO or LHLO.
    Hello,
    /// STARTTLS, waiting for 220.
    StartTls,
    /// The handshake of TLS.
    Handshake,
    /// AUTH.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, waiting for 354.
    Data,
    /// The content is being sent.
    Content,
    /// All content is sent, waiting for the word that counts.
    Dot,
    /// RSET.
    Reset,
    /// Nothing is under way.
    Idle,
    /// QUIT.
    Quit,
}

impl Stage {
    /// How long RFC 5321 §4.5.3.2 has us wait.
    fn wait(self) -> Duration {
        Duration::from_secs(match self {
            Stage::Greeting | Stage::Hello | Stage::StartTls | Stage::Mail | Stage::Rcpt | Stage::Reset => 5 * 60,
            // Four messages, and no disk behind them.
            Stage::Handshake => 60,
            // For AUTH there is no rule; many servers hold the answer to a wrong password back, none for longer.
            Stage::Auth | Stage::Data => 2 * 60,
            Stage::Content => 3 * 60,
            Stage::Dot => 10 * 60,
            // Nothing depends on the answer.
            Stage::Quit => 5,
            Stage::Idle => u64::MAX / 1_000,
        })
    }
}

impl Stage {
    /// As in "the server closed the connection …".
    fn when(self) -> &'static str {
        match self {
            Stage::Greeting => "before it greeted",
            Stage::Hello => "before it answered EHLO",
            Stage::StartTls => "before it answered STARTTLS",
            Stage::Handshake => "in the middle of the TLS handshake",
            Stage::Auth => "before it answered AUTH",
            Stage::Mail => "before it answered MAIL FROM",
            Stage::Rcpt => "before it answered RCPT TO",
            Stage::Data => "before it answered DATA",
            Stage::Content => "in the middle of the message",
            Stage::Dot => "before it answered for the message",
            Stage::Reset => "before it answered RSET",
            Stage::Idle => "between two messages",
            Stage::Quit => "before it answered QUIT",
        }
    }
}

impl fmt::Debug for Step {
    /// Without what is sent and asked: it may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Send(octets) => write!(f, "Send({} octets)", octets.len()),
            Step::StartTls => f.write_str("StartTls"),
            Step::Authenticate { offered } => write!(f, "Authenticate({offered})"),
            Step::Challenge(octets) => write!(f, "Challenge({} octets)", octets.len()),
            Step::Authenticated => f.write_str("Authenticated"),
            Step::Ready => f.write_str("Ready"),
            Step::Content(form) => write!(f, "Content({form:?})"),
            Step::Done(results) => f.debug_tuple("Done").field(results).finish(),
            Step::Failed(trouble) => f.debug_tuple("Failed").field(trouble).finish(),
            Step::Close => f.write_str("Close"),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match &self.reply {
            Some(reply) => write!(f, ": {reply}"),
            None => Ok(()),
        }
    }
}
