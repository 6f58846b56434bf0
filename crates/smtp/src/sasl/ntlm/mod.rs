//! NTLM, the server's side: Integrated Windows without a domain controller. Version 2 alone; version 1 and LM prove nothing
//! today.
//!
//! [`Acceptor::challenge`] answers the client's first message, [`Acceptor::read`] takes the second one and gives a [`Claim`], whose
//! proof is judged with the account's NT hash ([`Claim::judge`]): first the response itself, in constant time, then the integrity
//! code over all three messages where the client says that it has made one, then the channel that the client has seen. What
//! the client says of those two is covered by the response, so nobody in between can take it out.
//!
//! Every length and offset in a message is a stranger's: all reading goes through [`wire`]. Tokens may come raw, as AUTH NTLM has
//! them, or wrapped in SPNEGO ([`spnego`]); the answer is wrapped as the question was.
//!
//! [MS-NLMP] §2.2, §3.2.5, §3.3.2, §3.4; [MS-SMTPNTLM]; RFC 4178 (SPNEGO). The NT hash is as good as the password.

mod spnego;
pub(super) mod wire;

use super::Secret;
use super::clear::{ACCOUNT_NAME_MAX, Malformed};
use super::keyed::Keyed;
use md4::Md4;
use md5::Md5;
use sha2::Digest;
use spnego::Wrapping;
use subtle::ConstantTimeEq;
use wire::{Fields, Letters, pairs, put_pair, utf16};
use zeroize::Zeroizing;

/// Octets of a message of NTLM.
pub const MESSAGE_MAX: usize = 8_192;

pub(super) const SIGNATURE: &[u8; 8] = b"NTLMSSP\0";

pub(super) mod flag {
    pub(in crate::sasl) const UNICODE: u32 = 0x1;
    pub(in crate::sasl) const OEM: u32 = 0x2;
    pub(in crate::sasl) const REQUEST_TARGET: u32 = 0x4;
    pub(in crate::sasl) const SIGN: u32 = 0x10;
    pub(in crate::sasl) const NTLM: u32 = 0x200;
    pub(in crate::sasl) const ALWAYS_SIGN: u32 = 0x8000;
    pub(in crate::sasl) const TARGET_SERVER: u32 = 0x2_0000;
    pub(in crate::sasl) const EXTENDED_SECURITY: u32 = 0x8_0000;
    pub(in crate::sasl) const TARGET_INFO: u32 = 0x80_0000;
    pub(in crate::sasl) const VERSION: u32 = 0x200_0000;
    pub(in crate::sasl) const KEYS_128: u32 = 0x2000_0000;
    pub(in crate::sasl) const KEY_EXCHANGE: u32 = 0x4000_0000;
    pub(in crate::sasl) const KEYS_56: u32 = 0x8000_0000;
}

/// Kinds of attribute-value pairs ([MS-NLMP] §2.2.2.1).
pub(super) mod pair {
    pub(in crate::sasl) const END: u16 = 0;
    pub(in crate::sasl) const COMPUTER: u16 = 1;
    pub(in crate::sasl) const DOMAIN: u16 = 2;
    pub(in crate::sasl) const DNS_COMPUTER: u16 = 3;
    pub(in crate::sasl) const DNS_DOMAIN: u16 = 4;
    pub(in crate::sasl) const FLAGS: u16 = 6;
    pub(in crate::sasl) const TIMESTAMP: u16 = 7;
    pub(in crate::sasl) const TARGET_NAME: u16 = 9;
    pub(in crate::sasl) const CHANNEL: u16 = 10;
}

/// The client says that its last message carries an integrity code.
pub(super) const HAS_CODE: u32 = 0x2;
/// Where the integrity code stands in the last message.
pub(super) const CODE: std::ops::Range<usize> = 72..88;

/// The NT hash of a password: MD4 over its UTF-16.
#[must_use]
pub fn nt_hash(password: &str) -> Secret {
    let octets = Zeroizing::new(utf16(password));
    Secret::new(Md4::digest(&*octets).to_vec())
}

/// An exchange whose challenge is out.
pub struct Acceptor {
    wrapping: Wrapping,
    letters: Letters,
    negotiate: Vec<u8>,
    challenge: Vec<u8>,
    nonce: [u8; 8],
}

impl Acceptor {
    /// Answers the client's first message. `host` is our name; `nonce` is fresh; `filetime` is now, in the tenths of microseconds
    /// since 1601 that Windows counts.
    ///
    /// # Errors
    /// The message is none, or the client cannot do what we need.
    pub fn challenge(
        message: &[u8],
        host: &str,
        nonce: [u8; 8],
        filetime: u64,
    ) -> Result<(Acceptor, Vec<u8>), Malformed> {
        if message.len() > MESSAGE_MAX {
            return Err(Malformed);
        }
        let (wrapping, negotiate) = spnego::unwrap_first(message).ok_or(Malformed)?;
        let fields = Fields::read(negotiate, 1).ok_or(Malformed)?;
        let asked = fields.u32(12).ok_or(Malformed)?;
        if asked & (flag::UNICODE | flag::OEM) == 0 || asked & flag::NTLM == 0 {
            return Err(Malformed);
        }
        let letters = if asked & flag::UNICODE == 0 { Letters::Ascii } else { Letters::Utf16 };
        let challenge = challenge(asked, letters, host, nonce, filetime);
        let answer = wrapping.wrap(&challenge);
        Ok((Acceptor { wrapping, letters, negotiate: negotiate.to_vec(), challenge, nonce }, answer))
    }

    /// Takes the client's second message.
    ///
    /// # Errors
    /// The message is none, or an answer of version 1.
    pub fn read(self, message: &[u8]) -> Result<Claim, Malformed> {
        if message.len() > MESSAGE_MAX {
            return Err(Malformed);
        }
        let authenticate = self.wrapping.unwrap_next(message).ok_or(Malformed)?;
        Claim::read(self, authenticate).ok_or(Malformed)
    }
}

fn challenge(asked: u32, letters: Letters, host: &str, nonce: [u8; 8], filetime: u64) -> Vec<u8> {
    let flags = match letters {
        Letters::Utf16 => flag::UNICODE,
        Letters::Ascii => flag::OEM,
    } | flag::REQUEST_TARGET
        | flag::NTLM
        | flag::ALWAYS_SIGN
        | flag::TARGET_SERVER
        | flag::EXTENDED_SECURITY
        | flag::TARGET_INFO
        | flag::VERSION
        | asked & (flag::SIGN | flag::KEYS_128 | flag::KEYS_56 | flag::KEY_EXCHANGE);
    // A NetBIOS name has at most 15 characters.
    let short: String = host.split('.').next().unwrap_or(host).chars().take(15).collect::<String>().to_uppercase();
    let domain = host.split_once('.').map_or(host, |(_, domain)| domain);
    let target = letters.write(&short);
    let mut pairs = Vec::new();
    put_pair(&mut pairs, pair::DOMAIN, &utf16(&short));
    put_pair(&mut pairs, pair::COMPUTER, &utf16(&short));
    put_pair(&mut pairs, pair::DNS_DOMAIN, &utf16(domain));
    put_pair(&mut pairs, pair::DNS_COMPUTER, &utf16(host));
    put_pair(&mut pairs, pair::TIMESTAMP, &filetime.to_le_bytes());
    put_pair(&mut pairs, pair::END, &[]);
    let mut out = SIGNATURE.to_vec();
    out.extend(2u32.to_le_bytes());
    wire::put_field(&mut out, target.len(), 56);
    out.extend(flags.to_le_bytes());
    out.extend(nonce);
    out.extend([0; 8]);
    wire::put_field(&mut out, pairs.len(), 56 + target.len());
    // Version 10.0, revision 15 of NTLM: clients only show it.
    out.extend([10, 0, 0, 0, 0, 0, 0, 15]);
    out.extend(target);
    out.extend(pairs);
    out
}

/// Why a claim does not hold.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NtlmFault {
    /// The response is not this account's, or the messages were changed on their way.
    Wrong,
    /// The client has seen another channel: somebody sits in between.
    Channel,
}

/// Who the client says it is, and its proof, not yet judged.
pub struct Claim {
    /// The account's name.
    pub user: Box<str>,
    /// Its domain as the client sees it: often our own name, or the client's.
    pub domain: Box<str>,
    acceptor: Acceptor,
    authenticate: Vec<u8>,
    /// What the response is made over: times, chance, the pairs.
    blob: Vec<u8>,
    proof: [u8; 16],
    session_key: Vec<u8>,
    exchanges_key: bool,
    has_code: bool,
    channel: Option<[u8; 16]>,
}

impl Claim {
    fn read(acceptor: Acceptor, message: &[u8]) -> Option<Claim> {
        let fields = Fields::read(message, 3)?;
        let response = fields.payload(20)?;
        // Shorter ones are of version 1.
        let (proof, blob) = response.split_at_checked(16).filter(|(_, blob)| blob.len() >= 32)?;
        if blob[..2] != [1, 1] {
            return None;
        }
        let flags = fields.u32(60)?;
        let user = acceptor.letters.read(fields.payload(36)?)?;
        let domain = acceptor.letters.read(fields.payload(28)?)?;
        let too_long = user.len() + domain.len() >= ACCOUNT_NAME_MAX;
        if user.is_empty() || too_long || [&user, &domain].iter().any(|name| name.chars().any(char::is_control)) {
            return None;
        }
        let mut said = 0;
        let mut channel = None;
        for (kind, value) in pairs(&blob[28..])? {
            match kind {
                pair::FLAGS => said = u32::from_le_bytes(value.try_into().ok()?),
                pair::CHANNEL => channel = Some(<[u8; 16]>::try_from(value).ok()?),
                _ => {}
            }
        }
        let has_code = said & HAS_CODE != 0;
        if has_code && message.len() < CODE.end {
            return None;
        }
        let exchanges_key = flags & flag::KEY_EXCHANGE != 0;
        let session_key = if exchanges_key { fields.payload(52)?.to_vec() } else { Vec::new() };
        if exchanges_key && session_key.len() != 16 {
            return None;
        }
        Some(Claim {
            user: user.into(),
            domain: domain.into(),
            authenticate: message.to_vec(),
            blob: blob.to_vec(),
            proof: proof.try_into().ok()?,
            session_key,
            exchanges_key,
            has_code,
            channel: channel.filter(|channel| *channel != [0; 16]),
            acceptor,
        })
    }

    /// Does the claim hold, by the account's NT hash and the channel's `tls-server-end-point` (if it is under TLS)?
    ///
    /// # Errors
    /// It does not.
    pub fn judge(&self, nt_hash: &Secret, end_point: Option<&[u8]>) -> Result<(), NtlmFault> {
        let name: String = self.user.chars().map(upper).collect();
        let owner = utf16(&format!("{name}{}", self.domain));
        let key = Zeroizing::new(<[u8; 16]>::from(Keyed::<Md5>::new(nt_hash.reveal()).code(&[&owner])));
        let keyed = Keyed::<Md5>::new(&*key);
        let proof = keyed.code(&[&self.acceptor.nonce, &self.blob]);
        let proved = bool::from(proof.ct_eq(&self.proof));
        let base = Zeroizing::new(<[u8; 16]>::from(keyed.code(&[&self.proof])));
        let intact = !self.has_code || self.is_intact(&base);
        if !proved || !intact {
            return Err(NtlmFault::Wrong);
        }
        match (self.channel, end_point) {
            (Some(seen), Some(ours)) if !bool::from(seen.ct_eq(&channel_name(ours))) => Err(NtlmFault::Channel),
            (Some(_), None) => Err(NtlmFault::Channel),
            _ => Ok(()),
        }
    }

    /// Is the code over the three messages right?
    fn is_intact(&self, base: &[u8; 16]) -> bool {
        let mut exported = Zeroizing::new(*base);
        if self.exchanges_key {
            let mut key = Zeroizing::new([0; 16]);
            key.copy_from_slice(&self.session_key);
            rc4(base, &mut *key);
            exported = key;
        }
        let (head, rest) = self.authenticate.split_at(CODE.start);
        let (code, tail) = rest.split_at(CODE.len());
        let messages: [&[u8]; 5] = [&self.acceptor.negotiate, &self.acceptor.challenge, head, &[0; 16], tail];
        Keyed::<Md5>::new(&*exported).code(&messages).ct_eq(code).into()
    }
}

/// Upper case as Windows has it: one unit for one.
pub(super) fn upper(c: char) -> char {
    let mut upper = c.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// MD5 over `gss_channel_bindings_struct` with no addresses (RFC 2743 §1.1.6, RFC 5929 §4).
pub(super) fn channel_name(end_point: &[u8]) -> [u8; 16] {
    const PREFIX: &[u8] = b"tls-server-end-point:";
    let length = u32::try_from(PREFIX.len() + end_point.len()).unwrap_or(u32::MAX);
    Md5::new()
        .chain_update([0; 16])
        .chain_update(length.to_le_bytes())
        .chain_update(PREFIX)
        .chain_update(end_point)
        .finalize()
        .into()
}

/// RC4: only to wrap and unwrap the session key, as the protocol has it.
pub(super) fn rc4(key: &[u8; 16], octets: &mut [u8]) {
    let mut state: [u8; 256] = std::array::from_fn(|i| i.to_le_bytes()[0]);
    let mut j = 0u8;
    for i in 0..256 {
        j = j.wrapping_add(state[i]).wrapping_add(key[i % 16]);
        state.swap(i, usize::from(j));
    }
    let (mut i, mut j) = (0u8, 0u8);
    for octet in octets {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        *octet ^= state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))];
    }
}

#[cfg(test)]
mod tests;
