//! EXTERNAL in an exchange: the account whose name the client's certificate has.
//!
//! The certificate was verified by the handshake, against the operator's authority; here its names (DNS names and mail
//! addresses of the subject's alternative names) are looked for among the accounts. There must be an account: an
//! authority may sign for many who have no business here.

use super::{Denied, Exchange, Verdict, standing};
use relay::record::Why;

/// Octets of the name that a client wants to act as.
const ACT_AS_MAX: usize = smtp::sasl::clear::ACCOUNT_NAME_MAX;

impl Exchange {
    pub(super) async fn external(&mut self, message: &[u8]) -> Verdict {
        let Some(roll) = self.authenticator.roll().await else { return self.unavailable("there are no accounts") };
        let act_as = match std::str::from_utf8(message) {
            Ok(text) if text.len() <= ACT_AS_MAX && !text.contains(char::is_control) => text,
            _ => return self.malformed(),
        };
        let certificate = self.channel.tls.as_ref().and_then(|tls| tls.client_certificate.clone());
        let names = certificate.map(|certificate| certificate.names).unwrap_or_default();
        let keys = names.iter().map(|name| roll.accounts.key(name));
        // The one that it names, if the certificate has it; else the first that is an account.
        let wanted = (!act_as.is_empty()).then(|| roll.accounts.key(act_as));
        let found = match &wanted {
            Some(wanted) => keys.clone().find(|key| key == wanted),
            None => keys.clone().find(|key| roll.accounts.find_key(key).is_some()),
        };
        let account: Box<str> =
            if act_as.is_empty() { names.first().cloned().unwrap_or_default() } else { act_as.into() };
        let Some(key) = found else {
            let why = if wanted.is_some() { Why::ActsAs } else { Why::NoAccount };
            return self.deny_network(Denied { why, account }).await;
        };
        if let Err(locked) = self.leave(&key) {
            return self.locked(account, locked).await;
        }
        match standing(&roll, &key, None) {
            Ok(account) => self.accept(account, &key),
            Err(why) => self.deny_network(Denied { why, account }).await,
        }
    }
}
