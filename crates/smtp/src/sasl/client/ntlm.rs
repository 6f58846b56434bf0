//! NTLM, the client's side: version 2 alone, with the integrity code over all three messages and the channel bound in, where the
//! server is one that knows of them (it says the time in its challenge).
//!
//! What the server says is a stranger's: its pairs are read by [`wire`] and copied into the response, which covers them.
//!
//! [MS-NLMP] §2.2.1, §2.2.2.7, §3.1.5.1, §3.3.2, §3.4.4; [MS-SMTPNTLM]. RFC 5929 §4 (tls-server-end-point).

use super::{Account, Channel, ClientFault, Fresh};
use crate::sasl::Secret;
use crate::sasl::clear::name;
use crate::sasl::keyed::Keyed;
use crate::sasl::ntlm::wire::{self, Fields, Letters, pairs, put_pair, utf16};
use crate::sasl::ntlm::{CODE, HAS_CODE, MESSAGE_MAX, SIGNATURE, channel_name, flag, nt_hash, pair, rc4, upper};
use md5::Md5;
use zeroize::Zeroizing;

/// What we ask for, as clients of Windows do.
const ASKED: u32 = flag::UNICODE
    | flag::OEM
    | flag::REQUEST_TARGET
    | flag::SIGN
    | flag::NTLM
    | flag::ALWAYS_SIGN
    | flag::EXTENDED_SECURITY
    | flag::VERSION
    | flag::KEYS_128
    | flag::KEY_EXCHANGE
    | flag::KEYS_56;

/// Version 10.0, revision 15 of NTLM: servers only show it.
const VERSION: [u8; 8] = [10, 0, 0, 0, 0, 0, 0, 15];

/// An exchange.
pub(super) struct Client {
    user: Box<str>,
    domain: Box<str>,
    hash: Secret,
    /// The service as Windows calls it.
    target: Box<str>,
    /// The channel's name; zeroes if it has none.
    channel: [u8; 16],
    fresh: Fresh,
    negotiate: Vec<u8>,
    answered: bool,
}

/// What the response is made of.
struct Ours {
    key: Zeroizing<[u8; 16]>,
    nonce: [u8; 8],
}

impl Client {
    pub(super) fn new(account: Account<'_>, channel: Channel<'_>, fresh: &Fresh) -> Result<Client, ClientFault> {
        let (domain, user) = match (account.domain, account.name.split_once('\\')) {
            (Some(domain), _) => (domain, account.name),
            (None, Some((domain, user))) => (domain, user),
            (None, None) => ("", account.name),
        };
        let is_speakable = |text: &str| name(text.as_bytes()).is_ok();
        let password = account.password.text().filter(|password| !password.is_empty());
        let (Some(password), true) = (password, is_speakable(user) && (domain.is_empty() || is_speakable(domain)))
        else {
            return Err(ClientFault::Unspeakable);
        };
        let mut negotiate = SIGNATURE.to_vec();
        negotiate.extend(1u32.to_le_bytes());
        negotiate.extend(ASKED.to_le_bytes());
        // Neither our domain nor our name: nobody needs them.
        negotiate.extend([0; 16]);
        negotiate.extend(VERSION);
        Ok(Client {
            user: user.into(),
            domain: domain.into(),
            hash: nt_hash(password),
            target: format!("SMTPSVC/{}", channel.host).into(),
            channel: channel.bindings.server_end_point.map_or([0; 16], channel_name),
            fresh: *fresh,
            negotiate,
            answered: false,
        })
    }

    pub(super) fn negotiate(&self) -> Vec<u8> {
        self.negotiate.clone()
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientFault> {
        if std::mem::replace(&mut self.answered, true) {
            return Err(ClientFault::Unasked);
        }
        if challenge.len() > MESSAGE_MAX {
            return Err(ClientFault::Malformed);
        }
        self.authenticate(challenge).ok_or(ClientFault::Malformed)
    }

    fn authenticate(&self, challenge: &[u8]) -> Option<Vec<u8>> {
        let fields = Fields::read(challenge, 2)?;
        let offered = fields.u32(20)?;
        let nonce: [u8; 8] = challenge.get(24..32)?.try_into().ok()?;
        let letters = if offered & flag::UNICODE == 0 { Letters::Ascii } else { Letters::Utf16 };
        let info = if offered & flag::TARGET_INFO == 0 { &[][..] } else { fields.payload(40)? };
        let (info, time) = self.answer_to(info)?;
        let ours = Ours { key: owner_key(&self.hash, &self.user, &self.domain), nonce: self.nonce() };
        let (response, base) = ours.respond(nonce, time.unwrap_or(self.fresh.filetime), &info);
        // Whoever says the time has no use for the old response.
        let old = if time.is_some() { vec![0; 24] } else { ours.respond_as_lm(nonce) };
        let flags = agreed(offered, letters);
        let (exported, sent) = self.session_key(flags, &base);
        let mut message = self.message(letters, flags, [&old, &response, &sent]);
        if time.is_some() {
            let code = Keyed::<Md5>::new(&*exported).code(&[&self.negotiate, challenge, &message]);
            message[CODE].copy_from_slice(&code);
        }
        Some(message)
    }

    fn nonce(&self) -> [u8; 8] {
        let mut nonce = [0; 8];
        nonce.copy_from_slice(&self.fresh.chance[..8]);
        nonce
    }

    /// The server's pairs with ours, and the time if it says it.
    fn answer_to(&self, info: &[u8]) -> Option<(Vec<u8>, Option<u64>)> {
        let theirs = if info.is_empty() { Vec::new() } else { pairs(info)? };
        let value = |kind| theirs.iter().find(|(known, _)| *known == kind).map(|(_, value)| *value);
        let time = value(pair::TIMESTAMP).map(|time| time.try_into().map(u64::from_le_bytes)).transpose().ok()?;
        let said = value(pair::FLAGS).map_or(Ok(0), |said| said.try_into().map(u32::from_le_bytes)).ok()?;
        let mut answer = Vec::new();
        let is_ours = |kind: u16| time.is_some() && [pair::FLAGS, pair::CHANNEL, pair::TARGET_NAME].contains(&kind);
        for (kind, value) in theirs.iter().filter(|(kind, _)| !is_ours(*kind)) {
            put_pair(&mut answer, *kind, value);
        }
        if time.is_some() {
            put_pair(&mut answer, pair::FLAGS, &(said | HAS_CODE).to_le_bytes());
            put_pair(&mut answer, pair::CHANNEL, &self.channel);
            put_pair(&mut answer, pair::TARGET_NAME, &utf16(&self.target));
        }
        put_pair(&mut answer, pair::END, &[]);
        Some((answer, time))
    }

    /// The key that the integrity code is made with, and what of it goes to the server.
    fn session_key(&self, flags: u32, base: &[u8; 16]) -> (Zeroizing<[u8; 16]>, Vec<u8>) {
        if flags & flag::KEY_EXCHANGE == 0 || flags & flag::SIGN == 0 {
            return (Zeroizing::new(*base), Vec::new());
        }
        let mut key = Zeroizing::new([0; 16]);
        key.copy_from_slice(&self.fresh.chance[8..]);
        let mut sent = *key;
        rc4(base, &mut sent);
        (key, sent.to_vec())
    }

    fn message(&self, letters: Letters, flags: u32, [old, response, sent]: [&Vec<u8>; 3]) -> Vec<u8> {
        let (domain, user) = (letters.write(&self.domain), letters.write(&self.user));
        let mut message = SIGNATURE.to_vec();
        message.extend(3u32.to_le_bytes());
        let mut payload = Vec::new();
        // Our name (the fifth) is nobody's business.
        for part in [old, response, &domain, &user, &Vec::new(), sent] {
            wire::put_field(&mut message, part.len(), CODE.end + payload.len());
            payload.extend_from_slice(part);
        }
        message.extend(flags.to_le_bytes());
        message.extend(VERSION);
        message.extend([0; 16]);
        message.extend(payload);
        message
    }
}

impl Ours {
    /// The response of version 2, and the key that it makes.
    fn respond(&self, nonce: [u8; 8], time: u64, info: &[u8]) -> (Vec<u8>, Zeroizing<[u8; 16]>) {
        let mut blob = vec![1, 1, 0, 0, 0, 0, 0, 0];
        blob.extend(time.to_le_bytes());
        blob.extend(self.nonce);
        blob.extend([0; 4]);
        blob.extend_from_slice(info);
        blob.extend([0; 4]);
        let keyed = Keyed::<Md5>::new(&*self.key);
        let proof = keyed.code(&[&nonce, &blob]);
        let base = Zeroizing::new(<[u8; 16]>::from(keyed.code(&[&proof])));
        ([&proof[..], &blob].concat(), base)
    }

    /// The response that older servers look at.
    fn respond_as_lm(&self, nonce: [u8; 8]) -> Vec<u8> {
        let proof = Keyed::<Md5>::new(&*self.key).code(&[&nonce, &self.nonce]);
        [&proof[..], &self.nonce].concat()
    }
}

/// The account's key of version 2.
fn owner_key(hash: &Secret, user: &str, domain: &str) -> Zeroizing<[u8; 16]> {
    let name: String = user.chars().map(upper).collect();
    Zeroizing::new(Keyed::<Md5>::new(hash.reveal()).code(&[&utf16(&format!("{name}{domain}"))]).into())
}

/// What both sides can.
fn agreed(offered: u32, letters: Letters) -> u32 {
    let agreed = ASKED & offered & !(flag::UNICODE | flag::OEM) | offered & flag::TARGET_INFO;
    agreed | if letters == Letters::Utf16 { flag::UNICODE } else { flag::OEM }
}

#[cfg(test)]
mod tests;
