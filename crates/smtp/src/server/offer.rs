//! What one peer is offered beside the commands that everybody has: TLS, and ways to prove who it is.
//!
//! The driver knows the listener, the certificate and the accounts; the session only keeps the rules. Before STARTTLS and
//! after it there are two offers: the second one comes with [`Session::secured`](super::Session::secured).
//!
//! RFC 3207, RFC 4954, RFC 8689; IIS: Access tab, Authentication and Secure communication.

use crate::sasl::Mechanism;

/// Lines of an AUTH exchange may have so many octets, CRLF included (RFC 4954 §4).
pub const AUTH_LINE_MAX: u32 = 12_288;
/// Challenges of one AUTH exchange.
pub const AUTH_ROUNDS_MAX: u8 = 12;
/// AUTH exchanges of one session that may fail; the next one that does ends it.
pub const AUTH_FAILURES_MAX: u8 = 3;

/// What TLS and AUTH mean for one peer now. Shared, and never changes. The default offers neither.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Offer {
    /// STARTTLS is to be had.
    pub starttls: bool,
    /// Nothing but EHLO, NOOP and QUIT goes before STARTTLS.
    pub tls_required: bool,
    /// The session is under TLS. Only then may the peer demand it onwards (REQUIRETLS; RFC 8689 §2).
    pub secured: bool,
    /// The methods that AUTH has now.
    pub mechanisms: Vec<Mechanism>,
    /// Those that it has under TLS only, while there is none: whoever asks for one gets 538, and what it sent is not looked
    /// at.
    pub under_tls: Vec<Mechanism>,
    /// MAIL only after AUTH.
    pub auth_required: bool,
}

impl Offer {
    /// Is TLS to be begun before anything else?
    pub(super) fn wants_tls(&self) -> bool {
        self.tls_required && !self.secured
    }

    /// Has the peer any way to AUTH, be it after STARTTLS?
    pub(super) fn has_auth(&self) -> bool {
        !self.mechanisms.is_empty() || !self.under_tls.is_empty()
    }
}
