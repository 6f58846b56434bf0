//! PLAIN, LOGIN and CRAM-MD5: the password as it is, or hidden by a hash that hides little.
//!
//! RFC 4616; draft-murchison-sasl-login (the two questions are taken by their order, as their words differ); RFC 2195.

use super::{Account, ClientFault};
use crate::sasl::Secret;
use crate::sasl::clear::{PASSWORD_MAX, name};
use crate::sasl::keyed::Keyed;
use md5::Md5;
use std::fmt::Write;

/// An account and its password, fit to be said.
pub(super) struct Password {
    pub(super) account: Box<str>,
    pub(super) password: Secret,
}

impl Password {
    pub(super) fn new(account: Account<'_>) -> Result<Password, ClientFault> {
        let octets = account.password.reveal();
        let sound = !octets.is_empty() && octets.len() <= PASSWORD_MAX && !octets.contains(&0);
        let name = name(account.name.as_bytes()).map_err(|_| ClientFault::Unspeakable)?;
        if sound {
            Ok(Password { account: name, password: account.password.clone() })
        } else {
            Err(ClientFault::Unspeakable)
        }
    }

    /// PLAIN's message.
    pub(super) fn plain(&self) -> Vec<u8> {
        [b"\0", self.account.as_bytes(), b"\0", self.password.reveal()].concat()
    }

    /// The answer to CRAM-MD5's challenge, whatever it is.
    pub(super) fn cram_md5(&self, challenge: &[u8]) -> Vec<u8> {
        let code = Keyed::<Md5>::new(self.password.reveal()).code(&[challenge]);
        let mut answer = format!("{} ", self.account);
        for octet in code {
            let _ = write!(answer, "{octet:02x}");
        }
        answer.into_bytes()
    }
}

/// LOGIN.
pub(super) struct Login {
    password: Password,
    /// Questions that were answered.
    answered: u8,
}

impl Login {
    pub(super) fn new(password: Password) -> Login {
        Login { password, answered: 0 }
    }

    pub(super) fn respond(&mut self) -> Result<Vec<u8>, ClientFault> {
        self.answered += 1;
        match self.answered {
            1 => Ok(self.password.account.as_bytes().to_vec()),
            2 => Ok(self.password.password.reveal().to_vec()),
            _ => {
                self.answered = 2;
                Err(ClientFault::Unasked)
            }
        }
    }
}
