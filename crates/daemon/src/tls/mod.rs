//! Transport Layer Security (RFC 3207, RFC 8314): octets under encryption, and who is shown to whom. Of inbound sessions here; of
//! outbound ones in [`client`].
//!
//! [`TlsEngine`] turns the octets of a socket into plain ones and back without a socket of its own; [`TlsFacts`] is what
//! it knows about its channel after the handshake; [`Credentials`] are the certificates that a listener shows, chosen by the
//! name that the client asks for, and [`Certificates`] where they come from. It promises TLS 1.2 and 1.3 only, with forward secrecy and authenticated ciphers only; and an
//! idle channel without buffers of its own beyond rustls' smallest. It never asks the clock: rustls does, for the
//! expiry of client certificates and tickets.

mod certificates;
pub mod client;
mod clients;
mod credentials;
mod engine;
mod facts;
mod fault;
mod flow;
mod keeper;
pub(crate) mod load;
mod particulars;
mod provider;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use certificates::{Certificates, NoCertificate, WARN_DAYS, acme_file, expiry_mark};
pub use credentials::{Credentials, Pair};
pub use engine::TlsEngine;
pub(crate) use facts::sha256;
pub use facts::{ClientCertificate, TlsFacts, TlsVersion};
pub use fault::TlsFault;
pub use flow::{Inflow, TlsFailure};
pub use keeper::{Keeper, LOOK_EVERY};
pub use particulars::{Particulars, Standing};
pub(crate) use provider::provider;
