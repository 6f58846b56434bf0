//! GSSAPI in an exchange: whose ticket, and which account that is.
//!
//! The realm vouches for the principal `user@REALM`; let in is only whoever has an account: of that very name, or of the bare
//! one where `default_logon_domain` is the realm.

use super::{Denied, Exchange, State, Verdict, standing};
use crate::auth::kerberos::{Negotiation, Proved, Step};
use relay::account::Refusal;
use relay::record::Why;
use std::sync::{Mutex, PoisonError};

/// A challenge is out. The library's context may not be looked at by two threads at once, which an exchange could be.
pub(super) struct Underway(Mutex<Negotiation>);

impl Underway {
    pub(super) fn go_on(self) -> Negotiation {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exchange {
    pub(super) async fn gssapi(&mut self, negotiation: Negotiation, message: Vec<u8>) -> Verdict {
        let Some(kerberos) = &self.authenticator.kerberos else { return self.unavailable("there is no keytab") };
        let (negotiation, step) = kerberos.step(negotiation, message).await;
        match step {
            Step::Challenge(octets) => {
                self.state = State::Gssapi(Box::new(Underway(Mutex::new(negotiation))));
                Verdict::Challenge(octets)
            }
            Step::Proved(proved) => self.principal(proved).await,
            // Who it was meant to be is not known: the network is counted.
            Step::Wrong(why) => self.deny_network(Denied { why, account: "".into() }).await,
            Step::Malformed => self.malformed(),
            Step::Unavailable(why) => {
                self.refused("".into(), Why::Unavailable(why));
                Verdict::Refused(Refusal::Unavailable.reply())
            }
        }
    }

    async fn principal(&mut self, Proved { principal, act_as }: Proved) -> Verdict {
        let Some(roll) = self.authenticator.roll().await else { return self.unavailable("there are no accounts") };
        let key = roll.accounts.key(&principal);
        if let Err(locked) = self.leave(&key) {
            return self.locked(principal, locked).await;
        }
        match standing(&roll, &key, act_as.as_deref()) {
            Ok(account) => self.accept(account, &key),
            Err(why) => self.deny_network(Denied { why, account: principal }).await,
        }
    }
}
