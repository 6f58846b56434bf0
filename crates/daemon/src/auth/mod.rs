//! Who is it? The methods of AUTH with everything that they need of the world: the accounts file, the cores that hash
//! passwords, chance, the clock, the keys of an identity provider.
//!
//! A virtual server has one [`Authenticator`]. For each AUTH command it makes an [`Exchange`], which is handed what the client
//! sends and gives a [`Verdict`]: a challenge, an identity or a refusal. It promises: no difference, in words or in cost,
//! between a wrong password and a name that nobody has; no more guesses than the lock-out allows, counted over all
//! connections; and nothing of a password, key or token in a log or an error. It does not decide what an identity may do
//! or by which methods it may prove itself ([`relay::gate`]), and knows nothing of base64 and lines ([`smtp::server`]).
//!
//! RFC 4954; IIS: Access tab, Authentication.

mod accounts_file;
mod exchange;
mod fault;
mod foresight;
#[cfg(feature = "kerberos")]
mod kerberos;
#[cfg(not(feature = "kerberos"))]
#[path = "without_kerberos.rs"]
mod kerberos;
mod oauth;
mod passwords;

pub use accounts_file::{AccountsLock, fresh_salt_key, read_accounts, write_accounts};
pub use exchange::{Exchange, Verdict};
pub use fault::{AuthFault, KeytabFault};
pub use foresight::{faults, means, notes};
pub use kerberos::prepare_kerberos;
#[cfg(feature = "kerberos")]
pub(crate) use kerberos::{CLIENT_KEYTAB_VARIABLE, named as named_keytab, words as kerberos_words};
pub use oauth::{CLOCK_SKEW_MAX, Issuer, IssuerFault, KEYS_KEPT_MAX, TokenFault};
pub use passwords::{COST, NotChecked, PASSWORDS_WAITING_MAX, Passwords, Turn, hash, nobodys_hash};

use crate::clock::Clock;
use crate::log::Log;
use crate::tls::TlsFacts;
use accounts_file::{AccountsFile, Roll};
use kerberos::Kerberos;
use relay::account::Identity;
use relay::account::lockout::{Lockout, LockoutRule};
use relay::config::{OAuth, VirtualServer};
use relay::gate::Means;
use smtp::sasl::Mechanism;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is known about the connection.
#[derive(Clone, Debug, Default)]
pub struct ChannelFacts {
    /// About its TLS channel, if it has one.
    pub tls: Option<Arc<TlsFacts>>,
}

/// What the operator wants of authentication.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The methods that are on.
    pub methods: Vec<Mechanism>,
    /// Completes bare names.
    pub default_domain: Option<Box<str>>,
    /// The accounts file.
    pub accounts: PathBuf,
    /// Kerberos keys of the service.
    pub keytab: Option<PathBuf>,
    /// Our name, which NTLM shows and Kerberos has keys for.
    pub host: Box<str>,
    /// Whose tokens are taken.
    pub oauth: Option<OAuth>,
    /// How many guesses.
    pub lockout: LockoutRule,
}

/// Proves who clients are, for one virtual server.
pub struct Authenticator {
    plan: Plan,
    /// `None`: no method that is on looks into it.
    accounts: Option<AccountsFile>,
    /// `None`: no tokens are taken.
    issuer: Option<Issuer>,
    /// `None`: no tickets are taken.
    kerberos: Option<Kerberos>,
    /// Why a method that is on is not offered.
    fault: Option<AuthFault>,
    passwords: Passwords,
    lockout: Arc<Mutex<Lockout>>,
    log: Log,
    clock: Clock,
}

impl Plan {
    /// What the configuration of a virtual server wants.
    #[must_use]
    pub fn of(server: &VirtualServer) -> Plan {
        let wanted = &server.access.authentication;
        Plan {
            methods: wanted.methods.clone(),
            default_domain: wanted.default_logon_domain.clone(),
            accounts: server.access.accounts.clone(),
            keytab: wanted.keytab.clone(),
            host: server.delivery.fqdn.as_str().into(),
            oauth: wanted.oauth.clone(),
            lockout: LockoutRule { after: wanted.lockout.after, lasts: wanted.lockout.lasts },
        }
    }
}

impl Authenticator {
    /// Makes everything ready that the plan needs. `before` is the one that is replaced: what it knows of guessers stays known.
    ///
    /// # Errors
    /// Why a method that is on cannot work, and what to do.
    pub fn open(
        plan: Plan,
        passwords: Passwords,
        log: Log,
        clock: Clock,
        before: Option<&Authenticator>,
    ) -> Result<Arc<Authenticator>, AuthFault> {
        let accounts = if plan.methods.is_empty() {
            None
        } else {
            let needed = plan.methods.iter().any(|method| !method.is_token());
            Some(AccountsFile::open(&plan.accounts, needed, plan.default_domain.as_deref(), log.clone())?)
        };
        let takes_tokens = plan.methods.iter().any(|method| method.is_token());
        let issuer = match &plan.oauth {
            Some(wanted) if takes_tokens => {
                Some(Issuer::new(wanted.clone(), clock.clone()).map_err(AuthFault::Issuer)?)
            }
            _ => None,
        };
        let kerberos = plan.methods.contains(&Mechanism::Gssapi).then(|| Kerberos::open(&plan)).transpose();
        let (kerberos, fault) = kerberos.map_or_else(|fault| (None, Some(fault)), |kerberos| (kerberos, None));
        let lockout = match before {
            Some(before) => Arc::clone(&before.lockout),
            None => Arc::new(Mutex::new(Lockout::new(plan.lockout))),
        };
        let authenticator = Authenticator { plan, accounts, issuer, kerberos, fault, passwords, lockout, log, clock };
        authenticator.lockout().set_rule(authenticator.plan.lockout);
        Ok(Arc::new(authenticator))
    }

    /// Why a method that is on is not offered, though the others are.
    #[must_use]
    pub fn fault(&self) -> Option<&AuthFault> {
        self.fault.as_ref()
    }

    /// What the methods have to work with now.
    #[must_use]
    pub fn means(&self) -> Means {
        Means {
            nt_hashes: self.accounts.as_ref().is_some_and(|file| file.last_read().has_nt_hashes),
            tickets: self.kerberos.is_some(),
            tokens: self.issuer.is_some(),
        }
    }

    /// Begins an exchange for one AUTH command. Nothing comes of it if its method is not among those that the client is `offered`.
    #[must_use]
    pub fn begin(
        self: &Arc<Self>,
        mechanism: Mechanism,
        offered: &[Mechanism],
        peer: IpAddr,
        channel: &ChannelFacts,
    ) -> Exchange {
        Exchange::new(Arc::clone(self), mechanism, offered, peer, channel.clone())
    }

    /// May somebody who has proved who he is go on? Not, once his account is disabled or removed.
    pub async fn still_knows(self: &Arc<Self>, identity: &Identity) -> bool {
        let Some(roll) = self.roll().await else { return true };
        match roll.accounts.find(&identity.account) {
            Some(account) => !account.disabled,
            // A token, or a ticket, vouches for whom no account is needed.
            None => identity.mechanism.is_token() || identity.mechanism == Mechanism::Gssapi,
        }
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The accounts as they are now.
    async fn roll(self: &Arc<Self>) -> Option<Arc<Roll>> {
        let file = self.accounts.as_ref()?;
        if !file.is_stale() {
            return Some(file.last_read());
        }
        let this = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || this.accounts.as_ref().map(AccountsFile::now)).await;
        read.ok().flatten().or_else(|| Some(file.last_read()))
    }
}

#[cfg(test)]
mod tests;
