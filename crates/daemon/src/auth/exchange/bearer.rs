//! XOAUTH2 and OAUTHBEARER in an exchange: a token instead of a password.
//!
//! Who has a token that holds is let in without an account of our own: the provider vouches for him. An account of that
//! name, if there is one, says whether he may, and as whom he may send.

use super::{Denied, Exchange, State, Verdict};
use crate::auth::oauth::TokenFault;
use relay::account::{Identity, Refusal};
use relay::record::Why;
use smtp::sasl::Mechanism;
use smtp::sasl::bearer::{self, Bearer};

impl Exchange {
    pub(super) async fn bearer(&mut self, message: Vec<u8>) -> Verdict {
        let read = match self.mechanism {
            Mechanism::Xoauth2 => bearer::xoauth2(message),
            _ => bearer::oauthbearer(message),
        };
        let Ok(Bearer { user, token }) = read else { return self.malformed() };
        let claimed = user.clone().unwrap_or_default();
        let (Some(roll), Some(issuer)) = (self.authenticator.roll().await, &self.authenticator.issuer) else {
            return self.unavailable("there is no issuer");
        };
        let key = roll.accounts.key(&claimed);
        if let Err(locked) = self.leave(&key) {
            return self.locked(claimed, locked).await;
        }
        let named = match issuer.user(&token).await {
            Ok(named) => named,
            Err(TokenFault::Unavailable(why)) => {
                self.refused(claimed, Why::Unavailable(why));
                return Verdict::Refused(Refusal::Unavailable.reply());
            }
            Err(TokenFault::Wrong(why)) => {
                return self.token_refused(Denied { why: Why::Token(why), account: claimed }).await;
            }
        };
        let named_key = roll.accounts.key(&named);
        if user.is_some() && named_key != key {
            return self.token_refused(Denied { why: Why::ActsAs, account: claimed }).await;
        }
        match roll.accounts.find_key(&named_key) {
            Some(account) if account.disabled => {
                self.token_refused(Denied { why: Why::Disabled, account: named }).await
            }
            Some(account) => self.accept(account, &named_key),
            None => {
                let identity = Identity { account: named, mechanism: self.mechanism, may_send_as: Vec::new() };
                self.accept_as(identity, &named_key)
            }
        }
    }

    /// Tells the client why in a challenge; the refusal follows its answer.
    async fn token_refused(&mut self, denied: Denied) -> Verdict {
        // The name that was claimed is not counted: an expired token would lock out its owner.
        match self.deny_network(denied).await {
            Verdict::Refused(reply) => {
                self.state = State::TokenRefused(reply);
                Verdict::Challenge(bearer::failure())
            }
            other => other,
        }
    }
}
