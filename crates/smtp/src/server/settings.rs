//! The limits of a receiving session: what a virtual server sets, and what is fixed.
//!
//! Everything that a peer can make grow has its limit here, with its unit. Fixed ones protect memory and are larger
//! than any honest peer needs; the others are an operator's choice, and the constants are their defaults.
//!
//! RFC 5321 §4.5.3; IIS: General, Messages tabs.

use super::inspection::Inspection;
use crate::address::Domain;
use crate::body::BareNewlines;
use std::time::Duration;

/// Octets of a command line, CRLF included. RFC 5321 asks for 512; a source route, ORCPT and the rest need more.
pub const LINE_MAX: u32 = 2_048;
/// Octets of one over-long line that are swallowed before the connection is closed.
pub const SWALLOW_MAX: u64 = 1 << 20;
/// Octets of input held; [`Session::wants_input`](super::Session::wants_input) is false from there on. What one call
/// of [`Session::receive`](super::Session::receive) brings may come on top.
pub const INPUT_MAX: usize = 64 << 10;
/// Octets of replies after which they are sent although more commands wait, so that a peer that asks much and reads
/// little is not answered into memory.
pub const REPLIES_MAX: usize = 16 << 10;
/// Octets of content that are gathered before they are handed over, so that a peer that sends octet by octet does not
/// make the store hold a piece for each.
pub const PIECE_MIN: usize = 2 << 10;
/// Octets of refused content that are read to find its end, at least; the message size limit if that is more.
pub const DISCARD_MIN: u64 = 1 << 20;
/// Octets of refused content that are read to find its end where the size of messages has no limit.
pub const DISCARD_UNLIMITED: u64 = 64 << 20;

/// Octets of one message, unless set otherwise.
pub const SIZE_MAX: u64 = 2_048 << 10;
/// Octets of all messages of one connection, unless set otherwise.
pub const SESSION_SIZE_MAX: u64 = 10_240 << 10;
/// Recipients of one message, unless set otherwise; RFC 5321 §4.5.3.1.8 asks for 100.
pub const RECIPIENTS_MAX: u32 = 100;
/// How long a command may be waited for, unless set otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(600);
/// How long content may take beside what its octets earn it, unless set otherwise.
pub const CONTENT_GRACE: Duration = Duration::from_secs(600);
/// Octets of content a second that a peer must keep up, unless set otherwise.
pub const CONTENT_RATE_MIN: u32 = 500;
/// Protocol errors in one session, unless set otherwise.
pub const ERRORS_MAX: u32 = 20;
/// Commands that bring no message forward, since the last message, unless set otherwise.
pub const COMMANDS_MAX: u32 = 100;
/// Senders, recipients and messages refused since the last message, unless set otherwise.
pub const REFUSALS_MAX: u32 = 50;

/// Errors in one session, and refusals since the last message, from which on each further one is answered late.
pub const SLOW_AFTER: u32 = 10;
/// How late.
pub const SLOW_BY: Duration = Duration::from_secs(1);

/// What one virtual server is called and lets its peers do. Shared by all its sessions; never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Our name in the greeting and in replies.
    pub fqdn: Domain,
    /// Completes a bare local part.
    pub default_domain: Domain,
    /// Octets of one message; `None`: no limit.
    pub size_max: Option<u64>,
    /// Octets of all messages of one connection; `None`: no limit.
    pub session_size_max: Option<u64>,
    /// Recipients of one message; further ones get 452 and are to be sent in another transaction.
    pub recipients_max: u32,
    /// What to do with a bare LF.
    pub bare_newlines: BareNewlines,
    /// How long a whole command, or the next octets of content, may be waited for.
    pub timeout: Duration,
    /// How long the content of a message may take beside what its octets earn it.
    pub content_grace: Duration,
    /// Octets of content that earn another second; zero: no minimum, [`Settings::timeout`] alone counts.
    pub content_rate_min: u32,
    /// Protocol errors in one session; the next one ends it.
    pub errors_max: u32,
    /// Commands that bring no message forward (RSET, NOOP, VRFY, HELP, EHLO), since the last message.
    pub commands_max: u32,
    /// Senders, recipients and messages refused since the last message.
    pub refusals_max: u32,
    /// How long those wait for our greeting who get it late ([`Session::delayed`](super::Session::delayed)).
    pub greeting_delay: Duration,
    /// Which verbs and extensions there are.
    pub inspection: Inspection,
}

impl Settings {
    /// Names, and the default of everything else.
    #[must_use]
    pub fn new(fqdn: Domain, default_domain: Domain) -> Settings {
        Settings {
            fqdn,
            default_domain,
            size_max: Some(SIZE_MAX),
            session_size_max: Some(SESSION_SIZE_MAX),
            recipients_max: RECIPIENTS_MAX,
            bare_newlines: BareNewlines::default(),
            timeout: TIMEOUT,
            content_grace: CONTENT_GRACE,
            content_rate_min: CONTENT_RATE_MIN,
            errors_max: ERRORS_MAX,
            commands_max: COMMANDS_MAX,
            refusals_max: REFUSALS_MAX,
            greeting_delay: Duration::ZERO,
            inspection: Inspection::default(),
        }
    }

    /// Octets that a message may have: what does not fit into a session does not fit at all.
    #[must_use]
    pub fn message_max(&self) -> Option<u64> {
        match (self.size_max, self.session_size_max) {
            (Some(message), Some(session)) => Some(message.min(session)),
            (message, session) => message.or(session),
        }
    }

    /// Octets of refused content that are read to find its end.
    pub(super) fn discard_max(&self) -> u64 {
        self.message_max().map_or(DISCARD_UNLIMITED, |max| max.max(DISCARD_MIN))
    }
}
