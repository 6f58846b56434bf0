//! Passwords of operators: proved, set by a link, changed.
//!
//! A name that nobody has costs the same hash and gets the same words as a wrong password; guesses are counted for each name and
//! each network, and answers to guessers become slow.

use super::{Operators, digest, no_chance};
use crate::auth::{self, NotChecked};
use crate::control::{Control, Fault, ending, whole};
use relay::account::PasswordHash;
use relay::account::lockout::LockoutRule;
use relay::admin::roster::{Roster, key};
use relay::admin::view::Outcome;
use relay::admin::{Denied, Operator, Role, Scope};
use smtp::sasl::Secret;
use smtp::sasl::clear::PASSWORD_MAX;
use smtp::time::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// Wrong passwords in a row until a name, or a network, must wait.
pub const LOCKOUT: LockoutRule = LockoutRule { after: 10, lasts: Duration::from_secs(15 * 60) };
/// Characters of an operator's password, at least.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;

/// Somebody whose password was proved, or set, and which one that was.
#[derive(Clone, Debug)]
pub struct Proven {
    /// Who.
    pub operator: Operator,
    /// What his password's hash was then; without one nobody is logged on.
    pub(super) hash: Option<PasswordHash>,
}

/// Why somebody is not logged on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The name, or the password, or both; and whether that was the one too many.
    Wrong {
        /// Until when nothing more is looked at.
        locked: Option<Timestamp>,
    },
    /// Too many were wrong before; until when.
    Locked(Timestamp),
    /// Too many others wait, or the system has no memory for it.
    Busy,
}

impl Operators {
    /// Is this the password of this operator? Then he is logged on as far as we are concerned.
    ///
    /// # Errors
    /// Why not.
    pub async fn prove(&self, name: &str, password: Secret, from: IpAddr) -> Result<Proven, Refused> {
        let (shared, who) = (&self.shared, key(name));
        let entry = self.looked_up(name).await;
        let hash = entry.as_ref().and_then(|entry| entry.1.clone());
        let is_real = hash.is_some();
        let hash = hash.or_else(|| shared.nobodys.clone()).ok_or(Refused::Busy)?;
        let leave = || shared.lockout().check(&who, from, shared.clock.now());
        leave().map_err(|(_, until)| Refused::Locked(until))?;
        match shared.passwords.check(hash, password, leave).await {
            Ok(Ok((true, turn))) if is_real => {
                shared.lockout().right(&who, from, shared.clock.now());
                drop(turn);
                entry.map(|(operator, hash)| Proven { operator, hash }).ok_or(Refused::Wrong { locked: None })
            }
            Ok(Ok((_, turn))) => {
                let penalty = shared.lockout().wrong(&who, from, shared.clock.now());
                drop(turn);
                tokio::time::sleep(penalty.delay).await;
                Err(Refused::Wrong { locked: penalty.locked.map(|(_, until)| until) })
            }
            Ok(Err((_, until))) => Err(Refused::Locked(until)),
            Err(NotChecked::Busy | NotChecked::Failed) => Err(Refused::Busy),
        }
    }

    /// The operator of that name who may log on, and his password's hash, by the file as it is now.
    async fn looked_up(&self, name: &str) -> Option<(Operator, Option<PasswordHash>)> {
        let (operators, name) = (self.clone(), name.to_owned());
        let look = tokio::task::spawn_blocking(move || {
            let kept = operators.shared.usable().ok()?;
            let entry = kept.roster.find(&name).filter(|entry| !entry.disabled)?;
            Some((entry.operator(), entry.password.clone()))
        });
        look.await.ok().flatten()
    }

    /// Logs him on: a ticket that nobody had before. It is noted when that was. Nobody is, if the password that was proved is not his any
    /// more, or he may not log on.
    pub async fn begin(&self, proven: &Proven) -> Option<super::Ticket> {
        let (operators, Proven { operator, hash }) = (self.clone(), proven.clone());
        let begun = tokio::task::spawn_blocking(move || {
            let (shared, now) = (&operators.shared, operators.shared.clock.now());
            let mut kept = shared.usable().ok()?;
            let mut roster = kept.roster.clone();
            let entry = roster
                .find_mut(&operator.name)
                .filter(|entry| !entry.disabled && same(entry.password.as_ref(), hash.as_ref()))?;
            entry.last_log_on = Some(now);
            // A disk that is full keeps nobody out.
            let _ = shared.write(&mut kept, roster);
            // While nobody can change him: whoever does so then ends this log-on too.
            let ticket = shared.sessions().begin(&operator.name, now);
            drop(kept);
            ticket
        });
        begun.await.ok().flatten()
    }

    /// Whose link this is, if it is good.
    #[must_use]
    pub fn invited(&self, code: &str) -> Option<String> {
        let now = self.shared.clock.now();
        self.shared.current().roster.invited(&digest(code), now).map(|entry| entry.name.to_string())
    }

    /// Sets a password by a link, which is used up by it.
    ///
    /// # Errors
    /// The link is not good any more, or the password is none.
    pub async fn accept(&self, code: &str, password: &Secret, from: IpAddr) -> Result<Proven, Fault> {
        check(password)?;
        let digest = digest(code);
        let over = || Fault::NotFound("such link any more: it was used, or is over, or there is a newer one".into());
        self.invited(code).ok_or_else(over)?;
        let stored = self.store(password.clone(), move |roster, now| {
            let name = roster.invited(&digest, now).map(|entry| entry.name.to_string()).ok_or_else(over)?;
            let entry = roster.find_mut(&name).ok_or_else(over)?;
            entry.invitation = None;
            Ok(entry.name.to_string())
        });
        let proven = stored.await?;
        // From there he logs on: no stranger's guesses keep him out.
        self.shared.lockout().right(&key(&proven.operator.name), from, self.shared.clock.now());
        Ok(proven)
    }

    /// Hashes a password, off the sockets' threads, and keeps it for whom `whose` names.
    async fn store(
        &self,
        password: Secret,
        whose: impl FnOnce(&mut Roster, Timestamp) -> Result<String, Fault> + Send + 'static,
    ) -> Result<Proven, Fault> {
        let busy = |_| Fault::Unavailable("too many passwords wait to be hashed; try again in a moment".into());
        let turn = self.shared.passwords.turn().await.map_err(busy)?;
        let operators = self.clone();
        let stored = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let hash = auth::hash(&password, auth::COST).ok_or_else(no_chance)?;
            let mut kept = operators.shared.usable()?;
            let mut roster = kept.roster.clone();
            let name = whose(&mut roster, operators.shared.clock.now())?;
            let missing = || Fault::NotFound(format!("operator \"{name}\""));
            let entry = roster.find_mut(&name).ok_or_else(missing)?;
            entry.password = Some(hash.clone());
            let operator = entry.operator();
            operators.shared.write(&mut kept, roster)?;
            drop(kept);
            // Whoever has stolen the old one is out.
            operators.shared.sessions().end_all(&name);
            Ok(Proven { operator, hash: Some(hash) })
        });
        stored.await.map_err(|_| ending())?
    }
}

/// Is it the hash that was proved?
fn same(now: Option<&PasswordHash>, then: Option<&PasswordHash>) -> bool {
    now.map(PasswordHash::reveal) == then.map(PasswordHash::reveal)
}

/// Can this be a password?
fn check(password: &Secret) -> Result<(), Fault> {
    let text = password.text().filter(|text| text.len() <= PASSWORD_MAX && !text.contains(char::is_control));
    if text.is_some_and(|text| text.chars().count() >= PASSWORD_CHARACTERS_MIN) {
        return Ok(());
    }
    let text = format!(
        "a password has at least {PASSWORD_CHARACTERS_MIN} characters, at most {PASSWORD_MAX} octets, and no control characters"
    );
    Err(Fault::invalid(text))
}

impl Control {
    /// Gives an operator a new password, and logs him out everywhere. One's own needs the `current` one; an administrator of everything
    /// sets those of others, and whoever comes by the socket as one.
    ///
    /// # Errors
    /// He may not, or the password is none, or the current one is wrong.
    pub async fn set_password(
        &self,
        by: &Operator,
        from: &str,
        name: &str,
        current: Option<Secret>,
        new: Secret,
    ) -> Result<Outcome, Fault> {
        let (control, by, from, name) = (self.clone(), by.clone(), from.to_owned(), name.to_owned());
        let work = async move {
            let done = control.change_password(&by, &from, &name, current, new).await;
            control.note(&by.name, &from, &format!("password of {name}"), &done).await;
            done
        };
        whole(work).await
    }

    async fn change_password(
        &self,
        by: &Operator,
        from: &str,
        name: &str,
        current: Option<Secret>,
        new: Secret,
    ) -> Result<Outcome, Fault> {
        let operators = self.operators_house();
        let is_own = key(&by.name) == key(name);
        if !is_own && (by.role != Role::Administrator || by.scope != Scope::All) {
            let denied = if by.role == Role::Administrator { Denied::Scope } else { Denied::Role(by.role) };
            return Err(Fault::Denied(denied));
        }
        check(&new)?;
        if is_own {
            let current = current.ok_or_else(|| Fault::invalid("the current password is missing"))?;
            let address = from.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]));
            operators.prove(name, current, address).await.map_err(|refused| match refused {
                Refused::Wrong { .. } => Fault::invalid("the current password is wrong"),
                Refused::Locked(_) => Fault::Conflict("too many wrong passwords; try again in some minutes".into()),
                Refused::Busy => Fault::Unavailable("too many passwords wait to be checked".into()),
            })?;
        }
        let wanted = name.to_owned();
        let stored = operators.store(new, move |roster, _| {
            let missing = || Fault::NotFound(format!("operator \"{wanted}\""));
            let entry = roster.find_mut(&wanted).ok_or_else(missing)?;
            entry.invitation = None;
            Ok(entry.name.to_string())
        });
        let proven = stored.await?;
        let text = format!("{} has a new password, and is logged out everywhere", proven.operator.name);
        Ok(Outcome { text, count: 1, ..Outcome::default() })
    }
}
