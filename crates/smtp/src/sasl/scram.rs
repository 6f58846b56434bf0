//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side: the client proves that it knows the password, we prove that we
//! know the account, and nobody who listens, or who has stolen our keys, learns the password by it.
//!
//! [`ClientFirst::read`] takes the client's first message, [`ClientFirst::challenge`] answers with what is kept of the
//! account ([`Keys`]; for a name that has none, [`Keys::pretend`]), [`Server::last`] judges the proof. The PLUS form binds the
//! TLS channel in by `tls-exporter` or `tls-server-end-point`; `tls-unique` we cannot have.
//!
//! RFC 5802, RFC 7677; RFC 9266 (tls-exporter), RFC 5929 (tls-server-end-point). SASLprep of the name is left to the
//! look-up, which folds names its own way; that of the password, to whoever makes the keys.

use super::clear::name;
use super::keyed::Keyed;
use super::{Secret, base64};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Octets of a nonce that a client sends.
pub const NONCE_MAX: usize = 256;
/// Rounds of the key derivation for new accounts.
pub const ITERATIONS: u32 = 100_000;

/// What is kept of an account (RFC 5802 §3).
#[derive(Clone)]
pub struct Keys {
    /// Rounds of the derivation.
    pub iterations: u32,
    /// The salt.
    pub salt: Box<[u8]>,
    /// H(ClientKey): checks the client's proof.
    pub stored_key: [u8; 32],
    /// Proves that we know the account.
    pub server_key: [u8; 32],
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(…)")
    }
}

impl Keys {
    /// The keys of a password (already prepared by SASLprep).
    #[must_use]
    pub fn derive(password: &Secret, salt: &[u8], iterations: u32) -> Keys {
        let salted = salted(password, salt, iterations);
        let keyed = Keyed::<Sha256>::new(&*salted);
        let client_key = keyed.code(&[b"Client Key"]);
        Keys {
            iterations,
            salt: salt.into(),
            stored_key: Sha256::digest(client_key).into(),
            server_key: keyed.code(&[b"Server Key"]).into(),
        }
    }

    /// Keys for a name that has none: the same ones each time for the same name, as an account would have, and no password
    /// fits them. `secret` is ours alone.
    #[must_use]
    pub fn pretend(secret: &Secret, account: &str) -> Keys {
        let keyed = Keyed::<Sha256>::new(secret.reveal());
        let made = |what: &str| -> [u8; 32] { keyed.code(&[what.as_bytes(), &[0], account.as_bytes()]).into() };
        let (stored_key, server_key) = (made("stored key"), made("server key"));
        Keys { iterations: ITERATIONS, salt: made("salt")[..16].into(), stored_key, server_key }
    }
}

/// Hi(password, salt, i): PBKDF2 with one block.
pub(super) fn salted(password: &Secret, salt: &[u8], iterations: u32) -> Zeroizing<[u8; 32]> {
    let keyed = Keyed::<Sha256>::new(password.reveal());
    let mut last: [u8; 32] = keyed.code(&[salt, &1u32.to_be_bytes()]).into();
    let mut sum = Zeroizing::new(last);
    for _ in 1..iterations {
        last = keyed.code(&[&last]).into();
        sum.iter_mut().zip(last).for_each(|(sum, octet)| *sum ^= octet);
    }
    sum
}

/// The channel's names for itself, as far as it has any.
#[derive(Copy, Clone, Default)]
pub struct Bindings<'a> {
    /// `tls-exporter`
    pub exporter: Option<&'a [u8]>,
    /// `tls-server-end-point`
    pub server_end_point: Option<&'a [u8]>,
}

/// Which of the two methods was asked for, and what else there was to ask for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Form {
    /// SCRAM-SHA-256, where the PLUS form was offered too: a client that would have liked it was deceived.
    PlainWithPlusOffered,
    /// SCRAM-SHA-256, alone.
    Plain,
    /// SCRAM-SHA-256-PLUS.
    Plus,
}

/// Why an exchange ends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum ScramFault {
    /// The message is none of SCRAM's.
    Malformed,
    /// The channel is not the one that the client sees: somebody sits in between.
    Channel,
    /// The proof does not hold.
    Wrong,
}

/// The client's first message.
pub struct ClientFirst {
    /// The account.
    pub account: Box<str>,
    /// Whom it wants to act as, if it said so.
    pub act_as: Option<Box<str>>,
    bare: Box<[u8]>,
    nonce: Box<str>,
    /// What the last message must repeat: the header, and the channel's name.
    bound: Vec<u8>,
}

impl ClientFirst {
    /// Reads `p=tls-exporter,a=boss,n=user,r=nonce`.
    ///
    /// # Errors
    /// It is none, or it does not fit the method or the channel.
    pub fn read(message: &[u8], form: Form, bindings: Bindings<'_>) -> Result<ClientFirst, ScramFault> {
        let text = std::str::from_utf8(message).map_err(|_| ScramFault::Malformed)?;
        let mut parts = text.splitn(3, ',');
        let (Some(flag), Some(act_as), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(ScramFault::Malformed);
        };
        let channel = channel(flag, form, bindings)?;
        let act_as = match act_as {
            "" => None,
            text => Some(text.strip_prefix("a=").and_then(saslname).ok_or(ScramFault::Malformed)?),
        };
        // `m=` before the name would be an extension that must be understood; there is none.
        let mut fields = bare.split(',');
        let account = fields.next().and_then(|field| field.strip_prefix("n=")).and_then(saslname);
        let nonce = fields.next().and_then(|field| field.strip_prefix("r=")).filter(|nonce| is_nonce(nonce));
        let (Some(account), Some(nonce)) = (account, nonce) else { return Err(ScramFault::Malformed) };
        if !fields.all(is_extension) {
            return Err(ScramFault::Malformed);
        }
        let mut bound = message[..message.len() - bare.len()].to_vec();
        bound.extend_from_slice(channel);
        Ok(ClientFirst { account, act_as, bare: bare.as_bytes().into(), nonce: nonce.into(), bound })
    }

    /// Answers with the salt and the rounds. `chance` is fresh and ours.
    #[must_use]
    pub fn challenge(self, keys: Keys, chance: &[u8; 18]) -> (Server, Vec<u8>) {
        let nonce = format!("{}{}", self.nonce, base64::encode(chance));
        let first = format!("r={nonce},s={},i={}", base64::encode(&keys.salt), keys.iterations).into_bytes();
        let server =
            Server { keys, bare: self.bare, bound: self.bound, nonce: nonce.into(), first: first.clone().into() };
        (server, first)
    }
}

/// What the channel must be called, by the client's flag.
fn channel<'b>(flag: &str, form: Form, bindings: Bindings<'b>) -> Result<&'b [u8], ScramFault> {
    match (flag, form) {
        ("n", Form::Plain | Form::PlainWithPlusOffered) | ("y", Form::Plain) => Ok(&[]),
        // The client can bind the channel and was told that we cannot: the list was changed on its way (RFC 5802 §6).
        ("y", Form::PlainWithPlusOffered) => Err(ScramFault::Channel),
        ("p=tls-exporter", Form::Plus) => bindings.exporter.ok_or(ScramFault::Malformed),
        ("p=tls-server-end-point", Form::Plus) => bindings.server_end_point.ok_or(ScramFault::Malformed),
        _ => Err(ScramFault::Malformed),
    }
}

/// A name in which `,` is `=2C` and `=` is `=3D`.
fn saslname(text: &str) -> Option<Box<str>> {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('=');
    plain.push_str(parts.next()?);
    for part in parts {
        let (sign, rest) =
            part.strip_prefix("2C").map(|rest| (',', rest)).or(part.strip_prefix("3D").map(|r| ('=', r)))?;
        plain.push(sign);
        plain.push_str(rest);
    }
    name(plain.as_bytes()).ok()
}

pub(super) fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.len() <= NONCE_MAX && text.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b',')
}

/// `x=value`
pub(super) fn is_extension(field: &str) -> bool {
    matches!(field.as_bytes(), [letter, b'=', _, ..] if letter.is_ascii_alphabetic() && *letter != b'm')
}

/// An exchange that waits for the proof.
pub struct Server {
    keys: Keys,
    bare: Box<[u8]>,
    bound: Vec<u8>,
    nonce: Box<str>,
    first: Box<[u8]>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server(…)")
    }
}

impl Server {
    /// Judges `c=…,r=…,p=…`. Our own proof, `v=…`, if the client's holds.
    ///
    /// # Errors
    /// It does not, or the message is none.
    pub fn last(self, message: &[u8]) -> Result<Vec<u8>, ScramFault> {
        let text = std::str::from_utf8(message).map_err(|_| ScramFault::Malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(ScramFault::Malformed)?;
        let proof = base64::decode(proof.as_bytes()).and_then(|proof| <[u8; 32]>::try_from(proof).ok());
        let mut fields = without_proof.split(',');
        let bound = fields.next().and_then(|field| field.strip_prefix("c="));
        let bound = bound.and_then(|bound| base64::decode(bound.as_bytes()));
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let (Some(proof), Some(bound), Some(nonce), true) = (proof, bound, nonce, fields.all(is_extension)) else {
            return Err(ScramFault::Malformed);
        };
        if nonce != &*self.nonce {
            return Err(ScramFault::Malformed);
        }
        if !bool::from(bound.as_slice().ct_eq(&self.bound)) {
            return Err(ScramFault::Channel);
        }
        let signed: [&[u8]; 5] = [&self.bare, b",", &self.first, b",", without_proof.as_bytes()];
        let signature = Keyed::<Sha256>::new(&self.keys.stored_key).code(&signed);
        let mut client_key = Zeroizing::new(proof);
        client_key.iter_mut().zip(signature).for_each(|(octet, mask)| *octet ^= mask);
        let stored_key = Sha256::digest(*client_key);
        if !bool::from(stored_key.ct_eq(&self.keys.stored_key)) {
            return Err(ScramFault::Wrong);
        }
        let ours = Keyed::<Sha256>::new(&self.keys.server_key).code(&signed);
        Ok(format!("v={}", base64::encode(&ours)).into_bytes())
    }
}

#[cfg(test)]
mod tests;
