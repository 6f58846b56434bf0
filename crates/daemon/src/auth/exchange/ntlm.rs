//! NTLM in an exchange: whose NT hash, and which channel.

use super::{Denied, Exchange, State, Verdict, standing};
use crate::auth::accounts_file::Roll;
use aws_lc_rs::rand;
use relay::account::{Account, AccountKey, NtHash};
use relay::record::Why;
use smtp::sasl::Secret;
use smtp::sasl::ntlm::{Acceptor, Claim, NtlmFault};
use smtp::time::Timestamp;

/// Milliseconds from 1601, where Windows begins to count, to 1970.
const WINDOWS_EPOCH_MS: i64 = 11_644_473_600_000;

impl Exchange {
    pub(super) fn ntlm_first(&mut self, message: &[u8]) -> Verdict {
        let mut nonce = [0; 8];
        if rand::fill(&mut nonce).is_err() {
            return self.unavailable("the system gives no random numbers");
        }
        let now = filetime(self.authenticator.clock.now());
        match Acceptor::challenge(message, &self.authenticator.plan.host, nonce, now) {
            Ok((acceptor, challenge)) => {
                self.state = State::Ntlm(Box::new(acceptor));
                Verdict::Challenge(challenge)
            }
            Err(_) => self.malformed(),
        }
    }

    pub(super) async fn ntlm_last(&mut self, acceptor: Acceptor, message: &[u8]) -> Verdict {
        let Some(roll) = self.authenticator.roll().await else { return self.unavailable("there are no accounts") };
        let Ok(claim) = acceptor.read(message) else { return self.malformed() };
        let (key, name) = whose(&roll, &claim);
        // Guesses are counted for the bare name, whatever the domain: it may mean the same account, and where a name has none, a
        // lock that went by domain would tell that.
        let counted = roll.accounts.key(&claim.user);
        if let Err(locked) = self.leave(&counted) {
            return self.locked(name, locked).await;
        }
        let hash = roll.accounts.find_key(&key).and_then(|account| account.nt_hash.as_ref());
        // Computed for everybody; nobody's hash is all zeroes.
        let nobodys = Secret::new(vec![0; 16]);
        let end_point = self.channel.tls.as_ref().map(|tls| &*tls.server_end_point);
        let proof = claim.judge(hash.map_or(&nobodys, |NtHash(hash)| hash), end_point);
        let outcome = match (proof, standing(&roll, &key, None)) {
            (_, Err(why)) => Err(why),
            (_, Ok(Account { nt_hash: None, .. })) => Err(Why::NoKey),
            (Err(NtlmFault::Channel), _) => Err(Why::Channel),
            (Err(NtlmFault::Wrong), _) => Err(Why::WrongProof),
            (Ok(()), Ok(account)) => Ok(account),
        };
        match outcome {
            Ok(account) => self.accept(account, &counted),
            Err(why) => self.deny(&counted, Denied { why, account: name }).await,
        }
    }
}

/// The account that is meant: of that domain if there is one, else of that bare name, since what a client takes for the domain
/// is often the name of a machine.
fn whose(roll: &Roll, claim: &Claim) -> (AccountKey, Box<str>) {
    let bare = roll.accounts.key(&claim.user);
    if claim.domain.is_empty() {
        return (bare, claim.user.clone());
    }
    let name: Box<str> = format!("{}\\{}", claim.domain, claim.user).into();
    let whole = roll.accounts.key(&format!("{}@{}", claim.user, claim.domain));
    let is_bare = roll.accounts.find_key(&whole).is_none() && roll.accounts.find_key(&bare).is_some();
    (if is_bare { bare } else { whole }, name)
}

fn filetime(now: Timestamp) -> u64 {
    u64::try_from(now.0.saturating_add(WINDOWS_EPOCH_MS)).unwrap_or(0).saturating_mul(10_000)
}
