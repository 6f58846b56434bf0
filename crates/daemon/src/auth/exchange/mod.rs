//! One AUTH command: what the client sends, in; challenge, identity or refusal, out.
//!
//! Where a proof is judged, the order is the same for all methods: the lock-out is asked first, then the proof is
//! looked at, then the lock-out is told, and a wrong proof is answered late.

mod bearer;
mod external;
#[cfg(feature = "kerberos")]
mod gssapi;
mod ntlm;
mod scram;

use super::accounts_file::Roll;
use super::{Authenticator, ChannelFacts, NotChecked};
use relay::account::lockout::{DELAY_MAX, Locked, PeerNetwork, Penalty};
use relay::account::{Account, AccountKey, Identity, Refusal};
use relay::record::{Logon, Record, Why};
use smtp::reply::Reply;
use smtp::sasl::Mechanism;
use smtp::sasl::clear::{self, Credentials, Login, LoginStep};
use smtp::sasl::ntlm::Acceptor;
use smtp::time::Timestamp;
use std::net::IpAddr;
use std::sync::Arc;

/// What an exchange says to what the client sent.
#[derive(Debug)]
pub enum Verdict {
    /// Send this (not yet in base64) and bring the answer.
    Challenge(Vec<u8>),
    /// Somebody is who he says.
    Accepted(Identity),
    /// He is not, or it cannot be said.
    Refused(Reply),
}

/// One AUTH command.
pub struct Exchange {
    authenticator: Arc<Authenticator>,
    mechanism: Mechanism,
    peer: IpAddr,
    channel: ChannelFacts,
    /// The client was offered the form of SCRAM that is bound to the channel.
    plus_offered: bool,
    state: State,
}

enum State {
    /// The initial response, if there is one, comes next.
    Begun,
    /// The one message, or the first of several, was asked for.
    Asked,
    Login(Login),
    Scram(Box<scram::Waiting>),
    Ntlm(Box<Acceptor>),
    #[cfg(feature = "kerberos")]
    Gssapi(Box<gssapi::Underway>),
    /// The proof holds, ours was sent, and the client answers that with nothing.
    ScramLast(Box<scram::Proved>),
    /// The client was told why its token does not hold, and answers that with nothing of interest.
    TokenRefused(Reply),
    /// Nothing more is expected.
    Done,
}

/// What is to be said, and to whom it is denied.
struct Denied {
    why: Why,
    account: Box<str>,
}

impl Exchange {
    pub(super) fn new(
        authenticator: Arc<Authenticator>,
        mechanism: Mechanism,
        offered: &[Mechanism],
        peer: IpAddr,
        channel: ChannelFacts,
    ) -> Exchange {
        let state = if offered.contains(&mechanism) { State::Begun } else { State::Done };
        let plus_offered = offered.contains(&Mechanism::ScramSha256Plus);
        Exchange { authenticator, mechanism, peer, channel, plus_offered, state }
    }

    /// Takes the initial response first (`None` if AUTH had none), then each answer to a challenge. May take seconds: a wrong
    /// proof is answered late.
    pub async fn step(&mut self, response: Option<Vec<u8>>) -> Verdict {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Begun => self.begin(response).await,
            State::Asked => self.message(response.unwrap_or_default()).await,
            State::Login(login) => self.login(login, response.unwrap_or_default()).await,
            State::Scram(waiting) => self.scram_last(*waiting, &response.unwrap_or_default()).await,
            State::Ntlm(acceptor) => self.ntlm_last(*acceptor, &response.unwrap_or_default()).await,
            #[cfg(feature = "kerberos")]
            State::Gssapi(negotiation) => self.gssapi(negotiation.go_on(), response.unwrap_or_default()).await,
            State::ScramLast(proved) => self.scram_done(*proved, &response.unwrap_or_default()),
            State::TokenRefused(reply) => Verdict::Refused(reply),
            State::Done => Verdict::Refused(Refusal::Unusable.reply()),
        }
    }

    async fn begin(&mut self, initial: Option<Vec<u8>>) -> Verdict {
        match (self.mechanism, initial) {
            (Mechanism::Login, initial) => match Login::begin(initial) {
                Ok((login, LoginStep::Ask(question))) => {
                    self.state = State::Login(login);
                    Verdict::Challenge(question.to_vec())
                }
                Ok((_, LoginStep::Done(credentials))) => self.password(credentials).await,
                Err(_) => self.malformed(),
            },
            (_, Some(message)) => self.message(message).await,
            (_, None) => {
                self.state = State::Asked;
                Verdict::Challenge(Vec::new())
            }
        }
    }

    /// The one message, or the first of several.
    async fn message(&mut self, message: Vec<u8>) -> Verdict {
        match self.mechanism {
            Mechanism::Plain => self.plain(message).await,
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => self.scram_first(&message).await,
            Mechanism::External => self.external(&message).await,
            Mechanism::Xoauth2 | Mechanism::OauthBearer => self.bearer(message).await,
            Mechanism::Ntlm => self.ntlm_first(&message),
            #[cfg(feature = "kerberos")]
            Mechanism::Gssapi => self.gssapi(super::kerberos::Negotiation::new(), message).await,
            #[cfg(not(feature = "kerberos"))]
            Mechanism::Gssapi => Verdict::Refused(Refusal::Unusable.reply()),
            Mechanism::Login | Mechanism::CramMd5 => Verdict::Refused(Refusal::Unusable.reply()),
        }
    }

    async fn plain(&mut self, message: Vec<u8>) -> Verdict {
        match clear::plain(message) {
            Ok(credentials) => self.password(credentials).await,
            Err(_) => self.malformed(),
        }
    }

    async fn login(&mut self, mut login: Login, answer: Vec<u8>) -> Verdict {
        match login.step(answer) {
            Ok(LoginStep::Ask(question)) => {
                self.state = State::Login(login);
                Verdict::Challenge(question.to_vec())
            }
            Ok(LoginStep::Done(credentials)) => self.password(credentials).await,
            Err(_) => self.malformed(),
        }
    }

    /// Judges a password. One hash is computed, whether the account exists or not.
    async fn password(&mut self, credentials: Credentials) -> Verdict {
        let Some(roll) = self.authenticator.roll().await else {
            return self.unavailable("there are no accounts");
        };
        let Credentials { act_as, account: name, password } = credentials;
        let key = roll.accounts.key(&name);
        let standing = standing(&roll, &key, act_as.as_deref());
        let hash = roll.accounts.find_key(&key).and_then(|account| account.password.as_ref());
        let (hash, no_key) = hash.map_or((&roll.nobodys, true), |hash| (hash, false));
        let leave = || self.leave(&key);
        let checked = self.authenticator.passwords.check(hash.clone(), password, leave).await;
        let (right, turn) = match checked {
            Ok(Err(locked)) => return self.locked(name, locked).await,
            Err(fault) => return self.busy(name, fault),
            Ok(Ok(checked)) => checked,
        };
        let why = match standing {
            Err(why) => why,
            Ok(_) if no_key => Why::NoKey,
            Ok(account) if right => return self.accept(account, &key),
            Ok(_) => Why::WrongProof,
        };
        // Counted before the next guess is looked at, so that many connections at once do not buy more of them.
        let penalty = self.count(&key);
        drop(turn);
        self.punish(penalty, Denied { why, account: name }).await
    }

    /// May a proof for this account be looked at?
    fn leave(&self, key: &AccountKey) -> Result<(), (Locked, Timestamp)> {
        let now = self.authenticator.clock.now();
        self.authenticator.lockout().check(key, self.peer, now)
    }

    fn identity(&self, account: &Account) -> Identity {
        let may_send_as = account.may_send_as.clone();
        Identity { account: account.name.clone(), mechanism: self.mechanism, may_send_as }
    }

    fn accept(&self, account: &Account, key: &AccountKey) -> Verdict {
        self.accept_as(self.identity(account), key)
    }

    fn accept_as(&self, identity: Identity, key: &AccountKey) -> Verdict {
        let now = self.authenticator.clock.now();
        self.authenticator.lockout().right(key, self.peer, now);
        let (account, mechanism) = (identity.account.clone(), self.mechanism);
        self.note(Logon::Accepted { account, mechanism, peer: self.peer });
        Verdict::Accepted(identity)
    }

    /// Counts a wrong proof, and answers late.
    async fn deny(&self, key: &AccountKey, denied: Denied) -> Verdict {
        let penalty = self.count(key);
        self.punish(penalty, denied).await
    }

    fn count(&self, key: &AccountKey) -> Penalty {
        let now = self.authenticator.clock.now();
        self.authenticator.lockout().wrong(key, self.peer, now)
    }

    /// The same for what is no guess at an account's password: only the network is counted.
    async fn deny_network(&self, denied: Denied) -> Verdict {
        let now = self.authenticator.clock.now();
        let penalty = self.authenticator.lockout().wrong_from(self.peer, now);
        self.punish(penalty, denied).await
    }

    async fn punish(&self, penalty: Penalty, Denied { why, account }: Denied) -> Verdict {
        self.refused(account.clone(), why);
        if let Some((what, until)) = penalty.locked {
            let what = match what {
                Locked::Account => account,
                Locked::Network => PeerNetwork::of(self.peer).to_string().into(),
            };
            self.note(Logon::LockedOut { what, peer: self.peer, until });
        }
        tokio::time::sleep(penalty.delay).await;
        Verdict::Refused(Refusal::Wrong.reply())
    }

    async fn locked(&self, account: Box<str>, (what, _): (Locked, Timestamp)) -> Verdict {
        self.refused(account, Why::Locked(what));
        tokio::time::sleep(DELAY_MAX).await;
        Verdict::Refused(Refusal::Locked.reply())
    }

    fn busy(&self, account: Box<str>, fault: NotChecked) -> Verdict {
        self.refused(account, Why::Unavailable(fault.to_string().into()));
        Verdict::Refused(Refusal::Unavailable.reply())
    }

    fn unavailable(&self, detail: &str) -> Verdict {
        self.refused("".into(), Why::Unavailable(detail.into()));
        Verdict::Refused(Refusal::Unavailable.reply())
    }

    fn malformed(&self) -> Verdict {
        self.refused("".into(), Why::Malformed);
        Verdict::Refused(Refusal::Malformed.reply())
    }

    fn refused(&self, account: Box<str>, why: Why) {
        self.note(Logon::Refused { account, mechanism: self.mechanism, peer: self.peer, why });
    }

    fn note(&self, logon: Logon) {
        self.authenticator.log.write(&Record::Logon(logon));
    }
}

/// The account of that key, if it may log on; `act_as` may name nobody but it.
fn standing<'r>(roll: &'r Roll, key: &AccountKey, act_as: Option<&str>) -> Result<&'r Account, Why> {
    let account = roll.accounts.find_key(key).ok_or(Why::NoAccount)?;
    if account.disabled {
        return Err(Why::Disabled);
    }
    if act_as.is_some_and(|other| roll.accounts.key(other) != *key) {
        return Err(Why::ActsAs);
    }
    Ok(account)
}
