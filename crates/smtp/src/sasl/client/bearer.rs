//! XOAUTH2 and OAUTHBEARER: a token of an identity provider. A server that does not like it says so in a challenge, wants an
//! answer of no interest, and then refuses.
//!
//! RFC 7628 §3.1, §3.2.3; XOAUTH2 as Google and Microsoft describe it for SMTP; RFC 6750 §2.1 (a token's characters).

use super::ClientFault;
use crate::reply::clean;
use crate::sasl::Secret;
use crate::sasl::bearer::TOKEN_MAX;
use crate::sasl::clear::name;

/// An exchange.
pub(super) struct Client {
    message: Secret,
    /// What is answered to a complaint.
    regret: &'static [u8],
    complaint: Option<Box<str>>,
}

impl Client {
    pub(super) fn xoauth2(user: &str, token: &Secret) -> Result<Client, ClientFault> {
        let (user, token) = (speakable(user)?, sound(token)?);
        let message = [b"user=", user.as_bytes(), b"\x01auth=Bearer ", token, b"\x01\x01"].concat();
        Ok(Client { message: Secret::new(message), regret: b"", complaint: None })
    }

    pub(super) fn oauthbearer(user: &str, token: &Secret, host: &str, port: u16) -> Result<Client, ClientFault> {
        let (user, host, token) = (speakable(user)?, speakable(host)?, sound(token)?);
        // `=` first, so that those of the other are not changed again.
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let head = format!("n,a={user},\x01host={host}\x01port={port}\x01auth=Bearer ");
        let message = [head.as_bytes(), token, b"\x01\x01"].concat();
        Ok(Client { message: Secret::new(message), regret: b"\x01", complaint: None })
    }

    pub(super) fn first(&self) -> Vec<u8> {
        self.message.reveal().to_vec()
    }

    pub(super) fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientFault> {
        if self.complaint.is_some() {
            return Err(ClientFault::Unasked);
        }
        self.complaint = Some(clean(challenge).into());
        Ok(self.regret.to_vec())
    }

    pub(super) fn complaint(&self) -> Option<&str> {
        self.complaint.as_deref().filter(|words| !words.is_empty())
    }
}

fn speakable(text: &str) -> Result<Box<str>, ClientFault> {
    name(text.as_bytes()).map_err(|_| ClientFault::Unspeakable)
}

fn sound(token: &Secret) -> Result<&[u8], ClientFault> {
    let octets = token.reveal();
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
    let sound = !octets.is_empty() && octets.len() <= TOKEN_MAX && octets.iter().all(is_token);
    if sound { Ok(octets) } else { Err(ClientFault::Unspeakable) }
}
