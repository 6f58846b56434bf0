//! The operators and tokens of `operators.toml`: what is kept of each, and what a command changes.
//!
//! [`Roster::apply`] carries out a command on the list in memory, or says why not; the last administrator who can log on stays
//! one, whatever is asked for. Of passwords there are argon2id hashes, of tokens and links digests of what was
//! shown once. Reads no disk, knows no clock and no chance: they are arguments.
//!
//! IIS: the Security tab.

mod file;

pub use file::ROSTER_FILE_MAX;

use super::view::{OperatorView, TokenView};
use super::{Command, Role, Scope};
use crate::account::{AccountKey, Fault, NameFault, PasswordHash, check_name};
use smtp::time::Timestamp;
use std::fmt;
use std::time::Duration;

/// Operators of one file.
pub const OPERATORS_MAX: usize = 1_000;
/// Tokens of one file.
pub const TOKENS_MAX: usize = 1_000;
/// Days for which a token can be made.
pub const TOKEN_DAYS_MAX: u32 = 730;
/// Virtual servers that one operator or token lists.
pub const SCOPE_SERVERS_MAX: usize = 100;
/// For how long a link to set a password is good.
pub const INVITATION_LASTS: Duration = Duration::from_secs(24 * 3_600);

/// SHA-256 of a secret of 256 random bits: nobody guesses his way back.
pub type Digest = [u8; 32];

/// One operator.
#[derive(Clone, Debug)]
pub struct Entry {
    /// His name as it was written.
    pub name: Box<str>,
    /// What he may.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// He may not log on.
    pub disabled: bool,
    /// Without one he cannot log on.
    pub password: Option<PasswordHash>,
    /// A link by which he sets his password.
    pub invitation: Option<Invitation>,
    /// When he last logged on.
    pub last_log_on: Option<Timestamp>,
}

/// A link that is good for one time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invitation {
    /// Of the code in it.
    pub digest: Digest,
    /// Until when.
    pub until: Timestamp,
}

/// A program's token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// What it is called.
    pub name: Box<str>,
    /// What it allows.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// Of the token.
    pub digest: Digest,
    /// When it was made.
    pub made: Timestamp,
    /// By whom.
    pub by: Box<str>,
    /// When it ends.
    pub until: Timestamp,
}

/// All operators and tokens.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    operators: Vec<Entry>,
    tokens: Vec<Token>,
}

/// Why a change is not made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RosterFault {
    /// There is none of that name.
    Missing(String),
    /// There is one of that name already.
    Taken(String),
    /// The name cannot be one.
    Name(NameFault),
    /// What is asked for makes no sense; what to do.
    Invalid(&'static str),
    /// Nobody would be left who can change anything.
    LastAdministrator,
    /// There are too many.
    Full,
}

impl fmt::Display for RosterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RosterFault::Missing(what) => f.write_str(what),
            RosterFault::Taken(what) => write!(f, "there is {what} already"),
            RosterFault::Name(fault) => write!(f, "this name cannot be used: {fault}"),
            RosterFault::Invalid(text) => f.write_str(text),
            RosterFault::LastAdministrator => f.write_str(
                "he is the last administrator of the whole service who can log on: make another one first, with a password",
            ),
            RosterFault::Full => write!(f, "there are {OPERATORS_MAX} operators, or {TOKENS_MAX} tokens; remove one first"),
        }
    }
}

impl std::error::Error for RosterFault {}

/// What chance and the clock have to add to a command.
#[derive(Clone, Debug)]
pub struct Fresh<'a> {
    /// Now.
    pub now: Timestamp,
    /// Who gives it.
    pub by: &'a str,
    /// Of the secret that is made for it, if it needs one.
    pub digest: Digest,
}

impl Entry {
    /// One who cannot log on yet.
    #[must_use]
    pub fn new(name: &str, role: Role, scope: Scope) -> Entry {
        Entry { name: name.into(), role, scope, disabled: false, password: None, invitation: None, last_log_on: None }
    }

    /// Can he log on, and change everything?
    fn is_master(&self) -> bool {
        self.role == Role::Administrator && self.scope == Scope::All && !self.disabled && self.password.is_some()
    }

    /// As an operator who has proved who he is.
    #[must_use]
    pub fn operator(&self) -> super::Operator {
        super::Operator { name: self.name.to_string(), role: self.role, scope: self.scope.clone() }
    }
}

impl Roster {
    /// The operators, in the file's order.
    #[must_use]
    pub fn operators(&self) -> &[Entry] {
        &self.operators
    }

    /// The tokens, in the file's order.
    #[must_use]
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The operator of that name, in whichever case.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Entry> {
        let key = key(name);
        self.operators.iter().find(|entry| self::key(&entry.name) == key)
    }

    /// The same, to change him.
    pub fn find_mut(&mut self, name: &str) -> Option<&mut Entry> {
        let key = key(name);
        self.operators.iter_mut().find(|entry| self::key(&entry.name) == key)
    }

    /// A virtual server has another name from now on; did that concern anybody?
    pub fn server_renamed(&mut self, old: &str, new: &str) -> bool {
        let operators = self.operators.iter_mut().map(|entry| &mut entry.scope);
        let scopes = operators.chain(self.tokens.iter_mut().map(|token| &mut token.scope));
        let mut concerned = false;
        for scope in scopes {
            if let Scope::Servers(names) = scope {
                for name in names.iter_mut().filter(|name| name.as_str() == old) {
                    new.clone_into(name);
                    concerned = true;
                }
            }
        }
        concerned
    }

    /// The operator whose link this is, if it is still good.
    #[must_use]
    pub fn invited(&self, digest: &Digest, now: Timestamp) -> Option<&Entry> {
        let good = |entry: &&Entry| {
            !entry.disabled && entry.invitation.as_ref().is_some_and(|link| link.digest == *digest && now < link.until)
        };
        self.operators.iter().find(good)
    }

    /// The token, expired or not.
    #[must_use]
    pub fn token(&self, digest: &Digest) -> Option<&Token> {
        self.tokens.iter().find(|token| token.digest == *digest)
    }

    /// Can anybody log on who may change everything?
    #[must_use]
    pub fn has_master(&self) -> bool {
        self.operators.iter().any(Entry::is_master)
    }

    /// While nobody can log on: the first administrator (who is made if there is none), with a new link.
    pub fn welcome(&mut self, digest: Digest, now: Timestamp) -> Option<&Entry> {
        if self.operators.iter().any(|entry| entry.password.is_some()) {
            return None;
        }
        let whole = |entry: &Entry| entry.role == Role::Administrator && entry.scope == Scope::All && !entry.disabled;
        let at = self.operators.iter().position(whole).unwrap_or_else(|| {
            // The name may be another's, who is none.
            let name = ["administrator", "first-administrator"].into_iter().find(|name| self.find(name).is_none());
            self.operators.push(Entry::new(name.unwrap_or("root"), Role::Administrator, Scope::All));
            self.operators.len() - 1
        });
        let entry = self.operators.get_mut(at)?;
        entry.invitation = Some(Invitation { digest, until: now.plus(INVITATION_LASTS) });
        Some(entry)
    }

    /// Carries out a command about operators and tokens; `None`: it is about something else. In a sentence what was done.
    ///
    /// # Errors
    /// Why it is not done; the roster is as before.
    pub fn apply(&mut self, command: &Command, fresh: &Fresh<'_>) -> Option<Result<String, RosterFault>> {
        let mut after = self.clone();
        let done = after.change(command, fresh)?;
        Some(done.and_then(|text| {
            if self.has_master() && !after.has_master() {
                return Err(RosterFault::LastAdministrator);
            }
            *self = after;
            Ok(text)
        }))
    }

    fn change(&mut self, command: &Command, fresh: &Fresh<'_>) -> Option<Result<String, RosterFault>> {
        Some(match command {
            Command::OperatorAdd { name, role, scope } => self.add(name, *role, scope),
            Command::OperatorSet { name, role, scope, disabled } => self.set(name, *role, scope.as_ref(), *disabled),
            Command::OperatorRemove { name } => self.remove(name),
            Command::OperatorInvite { name } => self.invite(name, fresh),
            Command::OperatorLogOut { name } => match self.find(name) {
                Some(entry) => Ok(format!("{} is logged out everywhere", entry.name)),
                None => Err(no_operator(name)),
            },
            Command::TokenNew { name, role, scope, days } => self.add_token(name, *role, scope, *days, fresh),
            Command::TokenRevoke { name } => self.revoke(name),
            _ => return None,
        })
    }

    fn add(&mut self, name: &str, role: Role, scope: &Scope) -> Result<String, RosterFault> {
        check(name)?;
        check_scope(scope)?;
        if self.find(name).is_some() {
            return Err(RosterFault::Taken(format!("an operator \"{name}\"")));
        }
        if self.operators.len() >= OPERATORS_MAX {
            return Err(RosterFault::Full);
        }
        self.operators.push(Entry::new(name, role, scope.clone()));
        Ok(format!("{name} is an operator now, of the role {role} for {}; he has no password yet", words(scope)))
    }

    fn set(
        &mut self,
        name: &str,
        role: Option<Role>,
        scope: Option<&Scope>,
        disabled: Option<bool>,
    ) -> Result<String, RosterFault> {
        scope.map_or(Ok(()), check_scope)?;
        let entry = self.find_mut(name).ok_or_else(|| no_operator(name))?;
        entry.role = role.unwrap_or(entry.role);
        entry.scope = scope.unwrap_or(&entry.scope).clone();
        entry.disabled = disabled.unwrap_or(entry.disabled);
        if entry.disabled {
            entry.invitation = None;
        }
        let may = if entry.disabled { "; he may not log on" } else { "" };
        Ok(format!("{} has the role {} for {}{may}", entry.name, entry.role, words(&entry.scope)))
    }

    fn remove(&mut self, name: &str) -> Result<String, RosterFault> {
        let name = self.find(name).ok_or_else(|| no_operator(name))?.name.clone();
        self.operators.retain(|entry| entry.name != name);
        let before = self.tokens.len();
        // And those that were made by these.
        let mut makers = vec![key(&name)];
        while let Some(maker) = makers.pop() {
            for token in self.tokens.extract_if(.., |token| key(&token.by) == maker) {
                makers.push(key(&format!("token:{}", token.name)));
            }
        }
        let tokens = match before - self.tokens.len() {
            0 => String::new(),
            1 => "; a token that he made is worth nothing any more".into(),
            many => format!("; {many} tokens that he made are worth nothing any more"),
        };
        Ok(format!("{name} is no operator any more{tokens}"))
    }

    fn invite(&mut self, name: &str, fresh: &Fresh<'_>) -> Result<String, RosterFault> {
        let until = fresh.now.plus(INVITATION_LASTS);
        let entry = self.find_mut(name).ok_or_else(|| no_operator(name))?;
        if entry.disabled {
            return Err(RosterFault::Invalid("he may not log on: enable him first"));
        }
        entry.invitation = Some(Invitation { digest: fresh.digest, until });
        Ok(format!("by this link {} sets a password, one time, until {}", entry.name, until.rfc3339()))
    }

    fn add_token(
        &mut self,
        name: &str,
        role: Role,
        scope: &Scope,
        days: u32,
        fresh: &Fresh<'_>,
    ) -> Result<String, RosterFault> {
        check(name)?;
        check_scope(scope)?;
        if !(1..=TOKEN_DAYS_MAX).contains(&days) {
            return Err(RosterFault::Invalid("a token is good for 1 to 730 days"));
        }
        if self.tokens.iter().any(|token| key(&token.name) == key(name)) {
            return Err(RosterFault::Taken(format!("a token \"{name}\"")));
        }
        if self.tokens.len() >= TOKENS_MAX {
            return Err(RosterFault::Full);
        }
        let until = fresh.now.plus(Duration::from_secs(u64::from(days) * 24 * 3_600));
        self.tokens.push(Token {
            name: name.into(),
            role,
            scope: scope.clone(),
            digest: fresh.digest,
            made: fresh.now,
            by: fresh.by.into(),
            until,
        });
        Ok(format!("the token {name} allows what the role {role} may for {}, until {}", words(scope), until.rfc3339()))
    }

    fn revoke(&mut self, name: &str) -> Result<String, RosterFault> {
        let before = self.tokens.len();
        self.tokens.retain(|token| key(&token.name) != key(name));
        if self.tokens.len() == before {
            return Err(RosterFault::Missing(format!("token \"{name}\"")));
        }
        Ok(format!("the token {name} is worth nothing any more"))
    }

    /// The operators, for people; `sessions`: how many log-ons of an operator are in force.
    #[must_use]
    pub fn operator_views(&self, sessions: impl Fn(&str) -> u64) -> Vec<OperatorView> {
        let view = |entry: &Entry| OperatorView {
            name: entry.name.to_string(),
            role: entry.role,
            scope: entry.scope.clone(),
            disabled: entry.disabled,
            has_password: entry.password.is_some(),
            last_log_on: entry.last_log_on.map(Timestamp::rfc3339),
            sessions: sessions(&entry.name),
        };
        self.operators.iter().map(view).collect()
    }

    /// The tokens, for people.
    #[must_use]
    pub fn token_views(&self, now: Timestamp) -> Vec<TokenView> {
        let view = |token: &Token| TokenView {
            name: token.name.to_string(),
            role: token.role,
            scope: token.scope.clone(),
            made: token.made.rfc3339(),
            by: token.by.to_string(),
            until: token.until.rfc3339(),
            expired: now >= token.until,
        };
        self.tokens.iter().map(view).collect()
    }
}

/// What two spellings of a name have in common.
#[must_use]
pub fn key(name: &str) -> AccountKey {
    AccountKey::new(name, None)
}

/// Names of operators; those of users of the system (`unix:anna`) and of tokens (`token:backup`) look different.
fn check(name: &str) -> Result<(), RosterFault> {
    check_name(name).map_err(RosterFault::Name)?;
    if name.contains([':', '/']) {
        return Err(RosterFault::Invalid("a name has no : and no / in it"));
    }
    Ok(())
}

fn check_scope(scope: &Scope) -> Result<(), RosterFault> {
    match scope {
        Scope::Servers(names) if names.is_empty() => {
            Err(RosterFault::Invalid("name at least one virtual server, or all"))
        }
        Scope::Servers(names) if names.len() > SCOPE_SERVERS_MAX => {
            Err(RosterFault::Invalid("these are too many virtual servers; name at most 100, or all"))
        }
        _ => Ok(()),
    }
}

fn no_operator(name: &str) -> RosterFault {
    RosterFault::Missing(format!("operator \"{name}\""))
}

fn words(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".into(),
        Scope::Servers(names) => names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests;
