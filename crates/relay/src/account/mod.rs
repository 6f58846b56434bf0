//! Who may log on: the accounts of `accounts.toml`, who somebody is once he has logged on, and how often one may guess.
//!
//! [`Accounts::parse`] turns the file into accounts or into all its faults, each with its line; [`Accounts::print`] writes
//! it back. What is kept of a password cannot be turned back into it: an argon2id hash for PLAIN and LOGIN, keys for
//! SCRAM, and an NT hash only where somebody asked for it, because that one *is* as good as the password.
//! [`lockout`] counts wrong passwords. Reads no disk and computes no hash: that costs time and is the daemon's.
//!
//! IIS: Access tab, Authentication (which asked Windows; here the relay has a list of its own).

mod file;
mod identity;
pub mod lockout;
mod name;
mod refusal;
mod secrets;

pub use file::{ACCOUNTS_FILE_MAX, ACCOUNTS_MAX, Fault, SENDERS_MAX};
pub use identity::{Identity, SenderPattern};
pub use name::{AccountKey, NameFault, check as check_name};
pub use refusal::Refusal;
pub use secrets::{Cost, NtHash, PasswordHash};
pub use smtp::sasl::scram::Keys as ScramKeys;

use smtp::sasl::Secret;
use std::collections::BTreeMap;

/// One account.
#[derive(Clone, Debug)]
pub struct Account {
    /// The name as the operator wrote it.
    pub name: Box<str>,
    /// May not log on for now.
    pub disabled: bool,
    /// For PLAIN and LOGIN; without one, neither gets in.
    pub password: Option<PasswordHash>,
    /// For SCRAM-SHA-256; without them, it does not get in.
    pub scram: Option<ScramKeys>,
    /// For NTLM; without one, it does not get in.
    pub nt_hash: Option<NtHash>,
    /// The senders that it may use; empty: any.
    pub may_send_as: Vec<SenderPattern>,
}

impl Account {
    /// An account that nobody can log on to yet.
    #[must_use]
    pub fn new(name: &str) -> Account {
        Account {
            name: name.into(),
            disabled: false,
            password: None,
            scram: None,
            nt_hash: None,
            may_send_as: Vec::new(),
        }
    }
}

/// All accounts of one file.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// In the file's order.
    list: Vec<Account>,
    /// Where in the list a name is.
    index: BTreeMap<AccountKey, usize>,
    /// Completes bare names.
    default_domain: Option<Box<str>>,
    /// From this come the salts that SCRAM shows for names that have no account, so that they stay the same over the years
    /// as those of accounts do.
    pub salt_key: Option<Secret>,
}

impl Accounts {
    /// No accounts; `default_domain` completes bare names when they are looked for (IIS: default domain).
    #[must_use]
    pub fn new(default_domain: Option<&str>) -> Accounts {
        Accounts { default_domain: default_domain.map(Into::into), ..Accounts::default() }
    }

    /// The key under which a name is looked for.
    #[must_use]
    pub fn key(&self, name: &str) -> AccountKey {
        AccountKey::new(name, self.default_domain.as_deref())
    }

    /// The account of that name, in whichever of its spellings: upper or lower case, `DOMAIN\name` or `name@domain`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Account> {
        self.find_key(&self.key(name))
    }

    /// The account of that key.
    #[must_use]
    pub fn find_key(&self, key: &AccountKey) -> Option<&Account> {
        self.index.get(key).and_then(|at| self.list.get(*at))
    }

    /// In the file's order.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.list.iter()
    }

    /// Has some account an NT hash?
    #[must_use]
    pub fn have_nt_hashes(&self) -> bool {
        self.list.iter().any(|account| account.nt_hash.is_some())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts an account in the place of the one of the same name, or at the end.
    pub fn put(&mut self, account: Account) {
        let key = self.key(&account.name);
        let known = self.index.get(&key).and_then(|at| self.list.get_mut(*at));
        match known {
            Some(place) => *place = account,
            None => {
                self.index.insert(key, self.list.len());
                self.list.push(account);
            }
        }
    }

    /// Takes an account out; `None` if there is none of that name.
    pub fn remove(&mut self, name: &str) -> Option<Account> {
        let at = self.index.remove(&self.key(name))?;
        for place in self.index.values_mut().filter(|place| **place > at) {
            *place -= 1;
        }
        Some(self.list.remove(at))
    }
}

#[cfg(test)]
mod tests;
