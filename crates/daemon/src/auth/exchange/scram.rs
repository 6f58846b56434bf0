//! SCRAM in an exchange: which keys, and what is bound in.

use super::{Denied, Exchange, State, Verdict, standing};
use crate::auth::accounts_file::Roll;
use aws_lc_rs::rand;
use relay::account::{Account, AccountKey, Identity};
use relay::record::Why;
use smtp::sasl::Mechanism;
use smtp::sasl::scram::{Bindings, ClientFirst, Form, Keys, ScramFault, Server};
use std::sync::Arc;

/// The challenge is out.
pub(super) struct Waiting {
    server: Server,
    roll: Arc<Roll>,
    key: AccountKey,
    /// The name as the client wrote it.
    account: Box<str>,
    act_as: Option<Box<str>>,
}

/// The proof holds.
pub(super) struct Proved {
    identity: Identity,
    key: AccountKey,
}

impl Exchange {
    pub(super) async fn scram_first(&mut self, message: &[u8]) -> Verdict {
        let Some(roll) = self.authenticator.roll().await else { return self.unavailable("there are no accounts") };
        let first = match ClientFirst::read(message, self.form(), self.bindings()) {
            Ok(first) => first,
            Err(ScramFault::Channel) => {
                let account = "".into();
                return self.deny_network(Denied { why: Why::Channel, account }).await;
            }
            Err(_) => return self.malformed(),
        };
        let key = roll.accounts.key(&first.account);
        // Made for everybody, so that those who have an account take no less time.
        let pretended = Keys::pretend(roll.pretence(), key.as_str());
        let keys = roll.accounts.find_key(&key).and_then(|account| account.scram.clone()).unwrap_or(pretended);
        let mut chance = [0; 18];
        if rand::fill(&mut chance).is_err() {
            return self.unavailable("the system gives no random numbers");
        }
        let (account, act_as) = (first.account.clone(), first.act_as.clone());
        let (server, challenge) = first.challenge(keys, &chance);
        self.state = State::Scram(Box::new(Waiting { server, roll, key, account, act_as }));
        Verdict::Challenge(challenge)
    }

    pub(super) async fn scram_last(&mut self, waiting: Waiting, message: &[u8]) -> Verdict {
        let Waiting { server, roll, key, account, act_as } = waiting;
        if let Err(locked) = self.leave(&key) {
            return self.locked(account, locked).await;
        }
        let proof = server.last(message);
        let outcome = match (proof, standing(&roll, &key, act_as.as_deref())) {
            (Err(ScramFault::Malformed), _) => return self.malformed(),
            (Err(ScramFault::Channel), _) => Err(Why::Channel),
            (_, Err(why)) => Err(why),
            (_, Ok(Account { scram: None, .. })) => Err(Why::NoKey),
            (Err(ScramFault::Wrong), _) => Err(Why::WrongProof),
            (Ok(ours), Ok(account)) => Ok((ours, account)),
        };
        match outcome {
            Ok((ours, account)) => {
                let identity = self.identity(account);
                self.state = State::ScramLast(Box::new(Proved { identity, key }));
                Verdict::Challenge(ours)
            }
            Err(why) => self.deny(&key, Denied { why, account }).await,
        }
    }

    pub(super) fn scram_done(&mut self, proved: Proved, message: &[u8]) -> Verdict {
        if message.is_empty() { self.accept_as(proved.identity, &proved.key) } else { self.malformed() }
    }

    fn form(&self) -> Form {
        match self.mechanism {
            Mechanism::ScramSha256Plus => Form::Plus,
            _ if self.plus_offered => Form::PlainWithPlusOffered,
            _ => Form::Plain,
        }
    }

    fn bindings(&self) -> Bindings<'_> {
        let Some(tls) = &self.channel.tls else { return Bindings::default() };
        let end_point = Some(&*tls.server_end_point).filter(|octets| !octets.is_empty());
        Bindings { exporter: tls.exporter.as_ref().map(<[u8; 32]>::as_slice), server_end_point: end_point }
    }
}
