//! TLS of outbound connections (RFC 3207, RFC 8314): octets under encryption, and whether the other side is who it should be.
//!
//! [`ClientEngine`] turns octets of a socket into plain ones and back without a socket of its own; [`ClientFacts`] is what it knows
//! about its channel. What a handshake needs comes from [`ClientSetups`]: who is trusted, which certificate of our own is
//! shown, which sessions can be taken up again; for each owner of terms and each demand apart, so that a session
//! which was made with anybody is never taken up where a name is demanded.
//!
//! Promises: TLS 1.2 and 1.3 only; a certificate that is not as demanded ends the handshake before a word of SMTP is said, also in a
//! session that is taken up again; each kind of wrong certificate has its own words, which say what to do.
//!
//! Does not: decide what is demanded ([`relay::route::protection`]), ask whether a certificate was revoked (unless the file of
//! authorities has a revocation list in it), read clocks (rustls does).

mod distrust;
mod engine;
mod setup;
mod verify;

#[cfg(test)]
mod tests;

pub use engine::{ClientEngine, ClientFacts};
pub use setup::{ClientSetup, ClientSetups};
