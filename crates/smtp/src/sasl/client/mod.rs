//! To prove to another server who we are: the methods of AUTH from the client's side.
//!
//! [`choose`] picks the method, a [`ClientExchange`] speaks it: [`ClientExchange::start`] gives the initial response, if the
//! method has one, [`ClientExchange::respond`] answers each challenge, and [`ClientExchange::finish`] says, when the server is
//! content, whether it has proved itself too, where the method has it do so. Base64, `*` and the number of challenges are the
//! session's ([`crate::client`]). Chance and time are arguments; a challenge is a stranger's, and so are the rounds that it asks
//! for, which are bounded.
//!
//! What proves who we are is wiped when the exchange is dropped, and is in no `Debug` output. Names and passwords are taken as
//! they are written, without SASLprep. GSSAPI is not here: it needs the system's library.
//!
//! RFC 4422, RFC 4954; RFC 4616, 2195, 5802, 7677, 7628; [MS-NLMP] §3.1.5. IIS: Delivery tab, Outbound Security.

mod bearer;
mod choose;
mod clear;
mod ntlm;
mod scram;

pub use choose::{Around, NoMethod, Wanted, choose};
pub use scram::{ITERATIONS_MAX, ITERATIONS_MIN};

use super::scram::Bindings;
use super::{Mechanism, Secret};
use std::fmt;

/// Whose account, and what proves that it is ours.
#[derive(Copy, Clone, Debug)]
pub struct Account<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Windows domain, for NTLM. `None`: what stands in the name before `\`, or the server's own.
    pub domain: Option<&'a str>,
    /// The password.
    pub password: &'a Secret,
}

/// What the exchange can know of the connection.
#[derive(Copy, Clone, Default)]
pub struct Channel<'a> {
    /// The server's name, as we look for it.
    pub host: &'a str,
    /// The TLS channel's names for itself, as far as it has any.
    pub bindings: Bindings<'a>,
    /// The server offers SCRAM-SHA-256-PLUS.
    pub plus_offered: bool,
}

/// What an exchange takes from outside: chance, fresh for each, and the time.
#[derive(Copy, Clone)]
pub struct Fresh {
    /// Nobody can guess it.
    pub chance: [u8; 24],
    /// Now, in the tenths of microseconds since 1601 that Windows counts.
    pub filetime: u64,
}

/// Why an exchange ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientFault {
    /// The challenge is none of this method's.
    Malformed,
    /// The method has nothing more to say.
    Unasked,
    /// The server wants a key made in so many rounds: too few to be safe, or too many to be sane.
    Rounds(u64),
    /// The server has not proved that it knows the account.
    Unproved,
    /// The server ends the exchange, and says why.
    Ended(Box<str>),
    /// The name or the secret cannot be said by this method.
    Unspeakable,
}

impl fmt::Display for ClientFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientFault::Malformed => f.write_str("the server's challenge makes no sense in this method"),
            ClientFault::Unasked => f.write_str("the server asks although everything is said"),
            ClientFault::Rounds(rounds) => write!(
                f,
                "the server wants a key made in {rounds} rounds, and {ITERATIONS_MIN} to {ITERATIONS_MAX} are taken"
            ),
            ClientFault::Unproved => {
                f.write_str("the server did not prove that it knows the account: it may be somebody else")
            }
            ClientFault::Ended(why) => write!(f, "the server ended the exchange: {why}"),
            ClientFault::Unspeakable => {
                f.write_str("the account's name or its secret is empty, or has characters that this method cannot say")
            }
        }
    }
}

impl std::error::Error for ClientFault {}

/// One exchange of AUTH.
pub struct ClientExchange {
    mechanism: Mechanism,
    method: Method,
}

enum Method {
    Plain(clear::Password),
    Login(clear::Login),
    CramMd5(clear::Password),
    Scram(Box<scram::Client>),
    Ntlm(Box<ntlm::Client>),
    Bearer(bearer::Client),
    External(Box<str>),
    /// Nothing more is to be said.
    Done,
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientExchange({})", self.mechanism)
    }
}

impl ClientExchange {
    /// By a password.
    ///
    /// # Errors
    /// The method cannot say this name or this password, or takes no password.
    pub fn by_password(
        mechanism: Mechanism,
        account: Account<'_>,
        channel: Channel<'_>,
        fresh: &Fresh,
    ) -> Result<ClientExchange, ClientFault> {
        let password = || clear::Password::new(account);
        let method = match mechanism {
            Mechanism::Plain => Method::Plain(password()?),
            Mechanism::Login => Method::Login(clear::Login::new(password()?)),
            Mechanism::CramMd5 => Method::CramMd5(password()?),
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                let binding = scram::Binding::of(mechanism, channel).ok_or(ClientFault::Unspeakable)?;
                Method::Scram(Box::new(scram::Client::new(password()?, &binding, &fresh.chance)))
            }
            Mechanism::Ntlm => Method::Ntlm(Box::new(ntlm::Client::new(account, channel, fresh)?)),
            Mechanism::Gssapi | Mechanism::Xoauth2 | Mechanism::OauthBearer | Mechanism::External => {
                return Err(ClientFault::Unspeakable);
            }
        };
        Ok(ClientExchange { mechanism, method })
    }

    /// XOAUTH2: by a token, for the mailbox `user`.
    ///
    /// # Errors
    /// The name or the token has characters that cannot be said.
    pub fn xoauth2(user: &str, token: &Secret) -> Result<ClientExchange, ClientFault> {
        let method = Method::Bearer(bearer::Client::xoauth2(user, token)?);
        Ok(ClientExchange { mechanism: Mechanism::Xoauth2, method })
    }

    /// OAUTHBEARER: by a token, for the mailbox `user`, at this host and port.
    ///
    /// # Errors
    /// The names or the token have characters that cannot be said.
    pub fn oauthbearer(user: &str, token: &Secret, host: &str, port: u16) -> Result<ClientExchange, ClientFault> {
        let method = Method::Bearer(bearer::Client::oauthbearer(user, token, host, port)?);
        Ok(ClientExchange { mechanism: Mechanism::OauthBearer, method })
    }

    /// EXTERNAL: by what the channel has shown already, our certificate. `act_as` is empty, or whom we want to act as.
    #[must_use]
    pub fn external(act_as: &str) -> ClientExchange {
        ClientExchange { mechanism: Mechanism::External, method: Method::External(act_as.into()) }
    }

    /// By which method.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The initial response; `None` if the server has the first word.
    pub fn start(&mut self) -> Option<Vec<u8>> {
        match &mut self.method {
            Method::Login(_) | Method::CramMd5(_) | Method::Done => return None,
            Method::Scram(client) => return Some(client.first()),
            Method::Ntlm(client) => return Some(client.negotiate()),
            Method::Bearer(client) => return Some(client.first()),
            Method::Plain(_) | Method::External(_) => {}
        }
        match std::mem::replace(&mut self.method, Method::Done) {
            Method::Plain(password) => Some(password.plain()),
            Method::External(act_as) => Some(act_as.as_bytes().to_vec()),
            _ => None,
        }
    }

    /// Answers a challenge. SCRAM computes here, for a good part of a second when the server wants many rounds.
    ///
    /// # Errors
    /// The exchange is to be given up.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientFault> {
        match &mut self.method {
            Method::Login(login) => login.respond(),
            Method::CramMd5(_) => match std::mem::replace(&mut self.method, Method::Done) {
                Method::CramMd5(password) => Ok(password.cram_md5(challenge)),
                _ => Err(ClientFault::Unasked),
            },
            Method::Scram(client) => client.respond(challenge),
            Method::Ntlm(client) => client.respond(challenge),
            Method::Bearer(client) => client.respond(challenge),
            Method::Plain(_) | Method::External(_) | Method::Done => Err(ClientFault::Unasked),
        }
    }

    /// The server is content: has it proved itself, if the method has it do so?
    ///
    /// # Errors
    /// It has not.
    pub fn finish(&self) -> Result<(), ClientFault> {
        match &self.method {
            Method::Scram(client) => client.finish(),
            _ => Ok(()),
        }
    }

    /// What the server said of a token before it refused it, fit to show: JSON with a status, as a rule.
    #[must_use]
    pub fn complaint(&self) -> Option<&str> {
        match &self.method {
            Method::Bearer(client) => client.complaint(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
