//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side: proves that we know the password, and has the server prove that it
//! knows the account.
//!
//! How many rounds the key is made in, the server says, whoever it is: with few it could guess the password from the proof,
//! with many it would have us compute for ever. A channel that we could bind in, at a server that does not offer it, is said
//! so in the first message (`y`), which the proof covers: a list of methods that was changed on its way is found out.
//!
//! RFC 5802 §5, §6, RFC 7677 (§4: at least 4,096 rounds).

use super::clear::Password;
use super::{Channel, ClientFault};
use crate::reply::clean;
use crate::sasl::keyed::Keyed;
use crate::sasl::scram::{is_extension, is_nonce, salted};
use crate::sasl::{Mechanism, base64};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The fewest rounds that we make a key in.
pub const ITERATIONS_MIN: u32 = 4_096;
/// The most rounds that we make a key in.
pub const ITERATIONS_MAX: u32 = 1_000_000;

/// How the channel comes into the exchange.
pub(super) struct Binding<'a> {
    /// `n,,`, `y,,` or `p=NAME,,`
    header: &'static str,
    channel: &'a [u8],
}

impl<'a> Binding<'a> {
    /// `None` if the channel is to be bound in and has no name.
    pub(super) fn of(mechanism: Mechanism, channel: Channel<'a>) -> Option<Binding<'a>> {
        let name = match (channel.bindings.exporter, channel.bindings.server_end_point) {
            (Some(name), _) => Some(("p=tls-exporter,,", name)),
            (None, Some(name)) => Some(("p=tls-server-end-point,,", name)),
            (None, None) => None,
        };
        match (mechanism, name) {
            (Mechanism::ScramSha256Plus, name) => name.map(|(header, channel)| Binding { header, channel }),
            (_, Some(_)) if !channel.plus_offered => Some(Binding { header: "y,,", channel: &[] }),
            _ => Some(Binding { header: "n,,", channel: &[] }),
        }
    }
}

/// An exchange.
pub(super) struct Client {
    /// The first message without its header.
    bare: Box<str>,
    nonce: Box<str>,
    header: &'static str,
    /// What the last message repeats: the header, and the channel's name.
    bound: Box<[u8]>,
    state: State,
}

enum State {
    /// The server is to say salt and rounds.
    Begun(Password),
    /// The server is to prove itself so.
    Claimed([u8; 32]),
    Proved,
    Over,
}

impl Client {
    pub(super) fn new(password: Password, binding: &Binding<'_>, chance: &[u8; 24]) -> Client {
        let nonce = base64::encode(chance);
        let account = password.account.replace('=', "=3D").replace(',', "=2C");
        Client {
            bare: format!("n={account},r={nonce}").into(),
            nonce: nonce.into(),
            header: binding.header,
            bound: [binding.header.as_bytes(), binding.channel].concat().into(),
            state: State::Begun(password),
        }
    }

    /// For published examples, whose nonces have other lengths.
    #[cfg(test)]
    pub(super) fn shorten_nonce(&mut self, characters: usize) {
        let cut = self.nonce.len() - characters;
        self.nonce = self.nonce[..characters].into();
        self.bare = self.bare[..self.bare.len() - cut].into();
    }

    pub(super) fn first(&self) -> Vec<u8> {
        [self.header.as_bytes(), self.bare.as_bytes()].concat()
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientFault> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begun(password) => {
                let (answer, expected) = self.prove(&password, challenge)?;
                self.state = State::Claimed(expected);
                Ok(answer)
            }
            State::Claimed(expected) => {
                judge(challenge, &expected)?;
                self.state = State::Proved;
                Ok(Vec::new())
            }
            State::Proved | State::Over => Err(ClientFault::Unasked),
        }
    }

    pub(super) fn finish(&self) -> Result<(), ClientFault> {
        if matches!(self.state, State::Proved) { Ok(()) } else { Err(ClientFault::Unproved) }
    }

    /// Our last message, and the server's proof that must follow.
    fn prove(&self, password: &Password, challenge: &[u8]) -> Result<(Vec<u8>, [u8; 32]), ClientFault> {
        let offer = Offer::read(challenge, &self.nonce)?;
        let salted = salted(&password.password, &offer.salt, offer.iterations);
        let keyed = Keyed::<Sha256>::new(&*salted);
        let client_key = Zeroizing::new(<[u8; 32]>::from(keyed.code(&[b"Client Key"])));
        let server_key = Zeroizing::new(<[u8; 32]>::from(keyed.code(&[b"Server Key"])));
        let last = format!("c={},r={}", base64::encode(&self.bound), offer.nonce);
        let signed: [&[u8]; 5] = [self.bare.as_bytes(), b",", challenge, b",", last.as_bytes()];
        let signature = Keyed::<Sha256>::new(&Sha256::digest(*client_key)).code(&signed);
        let mut proof = client_key;
        proof.iter_mut().zip(signature).for_each(|(octet, mask)| *octet ^= mask);
        let answer = format!("{last},p={}", base64::encode(&*proof)).into_bytes();
        Ok((answer, Keyed::<Sha256>::new(&*server_key).code(&signed).into()))
    }
}

/// The server's first message.
struct Offer<'c> {
    nonce: &'c str,
    salt: Vec<u8>,
    iterations: u32,
}

impl<'c> Offer<'c> {
    /// Reads `r=OURS-AND-ITS-OWN,s=SALT,i=ROUNDS`.
    fn read(challenge: &'c [u8], ours: &str) -> Result<Offer<'c>, ClientFault> {
        let text = std::str::from_utf8(challenge).map_err(|_| ClientFault::Malformed)?;
        if let Some(why) = text.strip_prefix("e=") {
            return Err(ClientFault::Ended(clean(why.as_bytes()).into()));
        }
        let mut fields = text.split(',');
        let nonce = fields.next().and_then(|field| field.strip_prefix("r="));
        let nonce = nonce.filter(|nonce| is_nonce(nonce) && nonce.len() > ours.len() && nonce.starts_with(ours));
        let salt = fields.next().and_then(|field| field.strip_prefix("s="));
        let salt = salt.and_then(|salt| base64::decode(salt.as_bytes())).filter(|salt| !salt.is_empty());
        let rounds = fields.next().and_then(|field| field.strip_prefix("i="));
        let rounds = rounds.filter(|rounds| rounds.bytes().all(|digit| digit.is_ascii_digit()));
        let rounds = rounds.and_then(|rounds| rounds.parse::<u64>().ok());
        let (Some(nonce), Some(salt), Some(rounds), true) = (nonce, salt, rounds, fields.all(is_extension)) else {
            return Err(ClientFault::Malformed);
        };
        let iterations = u32::try_from(rounds).ok().filter(|rounds| (ITERATIONS_MIN..=ITERATIONS_MAX).contains(rounds));
        Ok(Offer { nonce, salt, iterations: iterations.ok_or(ClientFault::Rounds(rounds))? })
    }
}

/// Is `v=…` the proof that was expected?
fn judge(challenge: &[u8], expected: &[u8; 32]) -> Result<(), ClientFault> {
    let text = std::str::from_utf8(challenge).map_err(|_| ClientFault::Malformed)?;
    if let Some(why) = text.strip_prefix("e=") {
        return Err(ClientFault::Ended(clean(why.as_bytes()).into()));
    }
    let mut fields = text.split(',');
    let proof = fields.next().and_then(|field| field.strip_prefix("v=")).ok_or(ClientFault::Malformed)?;
    let proof = base64::decode(proof.as_bytes()).filter(|_| fields.all(is_extension)).ok_or(ClientFault::Malformed)?;
    if bool::from(proof.as_slice().ct_eq(expected)) { Ok(()) } else { Err(ClientFault::Unproved) }
}
