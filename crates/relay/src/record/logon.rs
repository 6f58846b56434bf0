//! What happened when somebody wanted to log on: the lines by which an operator sees guessers.

use super::{Level, Line};
use crate::account::lockout::Locked;
use smtp::sasl::Mechanism;
use smtp::time::Timestamp;
use std::net::IpAddr;

/// Why a log-on was refused: the client is told less (see [`crate::account::Refusal`]).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// There is no account of that name.
    NoAccount,
    /// The account is disabled.
    Disabled,
    /// The proof does not hold.
    WrongProof,
    /// The account has no key for this method.
    NoKey,
    /// It is locked out; nothing was looked at.
    Locked(Locked),
    /// It wanted to act as somebody else.
    ActsAs,
    /// The proof is bound to another channel: somebody may sit in between.
    Channel,
    /// A token does not hold, for this reason.
    Token(&'static str),
    /// The message does not belong to the method.
    Malformed,
    /// It could not be checked, for this reason.
    Unavailable(Box<str>),
}

/// One attempt to log on, or what came of several.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Logon {
    /// Somebody is who he says.
    Accepted {
        /// The account.
        account: Box<str>,
        /// How it was proved.
        mechanism: Mechanism,
        /// The client's address.
        peer: IpAddr,
    },
    /// Somebody is not let in.
    Refused {
        /// The name that was claimed; empty if none was.
        account: Box<str>,
        /// How it should have been proved.
        mechanism: Mechanism,
        /// The client's address.
        peer: IpAddr,
        /// Why.
        why: Why,
    },
    /// Too many wrong passwords: nothing more is looked at.
    LockedOut {
        /// What is locked: the account's name, or the network.
        what: Box<str>,
        /// The client's address that brought it about.
        peer: IpAddr,
        /// Until when.
        until: Timestamp,
    },
}

impl Logon {
    pub(super) fn level(&self) -> Level {
        match self {
            Logon::LockedOut { .. } => Level::Quiet,
            Logon::Accepted { .. } | Logon::Refused { .. } => Level::Info,
        }
    }

    pub(super) fn print(&self, out: &mut String) {
        match self {
            Logon::Accepted { account, mechanism, peer } => {
                let line = Line::new(out, "logon").field("account", account);
                line.field("method", mechanism).field("peer", peer);
            }
            Logon::Refused { account, mechanism, peer, why } => {
                let line = Line::new(out, "logon_refused").field("account", account);
                let line = line.field("method", mechanism).field("peer", peer).field("why", &why.word());
                if let Why::Unavailable(detail) = why {
                    line.field("detail", detail);
                } else if let Why::Token(detail) = why {
                    line.field("detail", detail);
                }
            }
            Logon::LockedOut { what, peer, until } => {
                let line = Line::new(out, "locked_out").field("what", what);
                line.field("peer", peer).field("until", &until.rfc3339());
            }
        }
    }
}

impl Why {
    fn word(&self) -> &'static str {
        match self {
            Why::NoAccount => "no_such_account",
            Why::Disabled => "disabled",
            Why::WrongProof => "wrong_password",
            Why::NoKey => "no_key_for_method",
            Why::Locked(Locked::Account) => "account_locked",
            Why::Locked(Locked::Network) => "network_locked",
            Why::ActsAs => "acts_as_another",
            Why::Channel => "bound_to_another_channel",
            Why::Token(_) => "token",
            Why::Malformed => "malformed",
            Why::Unavailable(_) => "unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Record;
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn lines() {
        let account = || "alice".into();
        for (logon, level, line) in [
            (
                Logon::Accepted { account: account(), mechanism: Mechanism::Plain, peer: PEER },
                Level::Info,
                "logon account=alice method=PLAIN peer=192.0.2.1",
            ),
            (
                Logon::Refused { account: "a b".into(), mechanism: Mechanism::Login, peer: PEER, why: Why::WrongProof },
                Level::Info,
                "logon_refused account=\"a b\" method=LOGIN peer=192.0.2.1 why=wrong_password",
            ),
            (
                Logon::Refused {
                    account: account(),
                    mechanism: Mechanism::Xoauth2,
                    peer: PEER,
                    why: Why::Unavailable("no answer".into()),
                },
                Level::Info,
                "logon_refused account=alice method=XOAUTH2 peer=192.0.2.1 why=unavailable detail=\"no answer\"",
            ),
            (
                Logon::LockedOut { what: account(), peer: PEER, until: Timestamp(0) },
                Level::Quiet,
                "locked_out what=alice peer=192.0.2.1 until=1970-01-01T00:00:00.000Z",
            ),
        ] {
            let record = Record::Logon(logon);
            assert_eq!((record.level(), record.to_string().as_str()), (level, line));
        }
    }
}
