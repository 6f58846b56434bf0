//! Ways to prove who one is: the methods of AUTH, as machines without a clock, a die or a store of accounts.
//!
//! [`Mechanism`] names them; [`client`] has the other side of each, for next hops that want to know who we are. Base64, `*` and the
//! limits of the exchange are the session's ([`crate::server`], [`crate::client`]): what comes here is decoded. Nothing here knows an account: what a machine needs of one (keys, a hash, a fresh challenge) is an
//! argument, and what it finds out is a value for whoever judges.
//!
//! RFC 4954, RFC 4422; IIS: Access tab, Authentication.

pub mod base64;
pub mod bearer;
pub mod clear;
pub mod client;
mod keyed;
pub mod mechanism;
pub mod ntlm;
pub mod scram;
pub mod secret;

pub use mechanism::{Mechanism, Mechanisms};
pub use secret::Secret;
