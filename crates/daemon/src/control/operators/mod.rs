//! Operators, their log-ons and tokens in the running service: `operators.toml` in the state folder ([`relay::admin::roster`]).
//!
//! Read at start, and again when somebody has changed it by hand; written whole or not at all, for the service's eyes only. A
//! file that cannot be read lets nobody in and is never overwritten: the operating system's word on the control socket is
//! enough to mend it. Passwords are proved where those of accounts are ([`crate::auth::Passwords`]), and guesses are counted
//! the same way ([`relay::account::lockout`]), so a stranger can keep nobody out who logs on from where he
//! did before, nor anybody who gets a link (`mailroot operator invite`).

mod log_on;
mod sessions;

pub use log_on::{LOCKOUT, PASSWORD_CHARACTERS_MIN, Proven, Refused};
pub use sessions::{Lasting, SESSIONS_MAX, SESSIONS_OF_ONE_MAX, Ticket, digest, fresh_secret};

use super::{Control, Fault, ending};
use crate::auth::{self, Passwords};
use crate::clock::Clock;
use crate::log::Log;
use crate::secret;
use relay::account::PasswordHash;
use relay::account::lockout::Lockout;
use relay::admin::roster::{Fresh, Roster, RosterFault};
use relay::admin::view::{OperatorView, Outcome, TokenView};
use relay::admin::{Command, Operator, Sight, may_see};
use sessions::Sessions;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The file's name in the state folder.
pub const FILE: &str = "operators.toml";
/// What a program's token begins with, so that people and scanners know what it is.
pub const TOKEN_PREFIX: &str = "mailroot-";
/// So often requests look whether somebody has changed the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// See the module; cheap to clone.
#[derive(Clone)]
pub struct Operators {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    kept: Mutex<Kept>,
    sessions: Mutex<Sessions>,
    lockout: Mutex<Lockout>,
    /// What is checked where there is no password.
    nobodys: Option<PasswordHash>,
    passwords: Passwords,
    /// Where the console is, for links: `http://127.0.0.1:8025`.
    address: Mutex<String>,
    /// Why it is not where it should be.
    troubles: Mutex<Vec<String>>,
    log: Log,
    clock: Clock,
}

/// The file as it was read or written last.
#[derive(Default)]
struct Kept {
    roster: Roster,
    stamp: Option<Stamp>,
    /// When a request last looked whether it is another one.
    looked: Option<Instant>,
    /// Why it cannot be used.
    trouble: Option<String>,
}

/// By this a changed file is told from an unchanged one: its number, size, and when it changed.
type Stamp = (u64, u64, i64, i64);

fn stamp(path: &Path) -> Option<Stamp> {
    fs::metadata(path).ok().map(|file| (file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}

impl Operators {
    /// In this state folder. What is wrong with the file is in the log.
    #[must_use]
    pub fn open(state: &Path, passwords: Passwords, log: Log, clock: Clock) -> Operators {
        let shared = Shared {
            path: state.join(FILE),
            kept: Mutex::default(),
            sessions: Mutex::default(),
            lockout: Mutex::new(Lockout::new(LOCKOUT)),
            nobodys: auth::nobodys_hash(),
            passwords,
            address: Mutex::default(),
            troubles: Mutex::default(),
            log,
            clock,
        };
        let operators = Operators { shared: Arc::new(shared) };
        operators.shared.read_if_changed(&mut operators.shared.kept());
        operators
    }

    /// Links lead there from now on.
    pub fn set_address(&self, address: &str) {
        address.clone_into(&mut self.shared.address.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What is wrong with the console's door, each in a sentence.
    pub fn set_troubles(&self, troubles: Vec<String>) {
        *self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner) = troubles;
    }

    /// What an operator should see to: the door, and the file.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let mut troubles = self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner).clone();
        troubles.extend(self.shared.kept().trouble.iter().map(|trouble| format!("{trouble}.")));
        troubles
    }

    fn link(&self, code: &str) -> String {
        format!("{}/invite/{code}", self.shared.address.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// While nobody can log on: a new link for the first administrator. Waits for the disk.
    #[must_use]
    pub fn welcome(&self) -> Option<String> {
        let code = fresh_secret()?;
        let now = self.shared.clock.now();
        let mut kept = self.shared.kept();
        self.shared.read_if_changed(&mut kept);
        if kept.trouble.is_some() {
            return None;
        }
        let mut roster = kept.roster.clone();
        roster.welcome(digest(&code), now)?;
        match self.shared.write(&mut kept, roster) {
            Ok(()) => Some(self.link(&code)),
            Err(fault) => {
                self.shared.log.alarm(format!("Nobody can log on to the console: {fault}."));
                None
            }
        }
    }

    /// How long log-ons hold from now on.
    pub fn set_lasting(&self, lasting: Lasting) {
        self.shared.sessions().lasting = lasting;
    }

    /// Carries out a command about operators and tokens; `None`: it is about something else. Waits for the disk.
    #[must_use]
    pub fn carry_out(&self, command: &Command, by: &Operator, dry_run: bool) -> Option<Result<Outcome, Fault>> {
        let concerns = matches!(
            command,
            Command::OperatorAdd { .. }
                | Command::OperatorSet { .. }
                | Command::OperatorRemove { .. }
                | Command::OperatorInvite { .. }
                | Command::OperatorLogOut { .. }
                | Command::TokenNew { .. }
                | Command::TokenRevoke { .. }
        );
        concerns.then(|| self.change(command, by, dry_run))
    }

    fn change(&self, command: &Command, by: &Operator, dry_run: bool) -> Result<Outcome, Fault> {
        let secret = fresh_secret().ok_or_else(no_chance)?;
        let secret = match command {
            Command::TokenNew { .. } => Some(format!("{TOKEN_PREFIX}{secret}")),
            Command::OperatorInvite { .. } => Some(secret),
            _ => None,
        };
        let mut kept = self.shared.usable()?;
        let mut roster = kept.roster.clone();
        let fresh = Fresh {
            now: self.shared.clock.now(),
            by: &by.name,
            digest: secret.as_deref().map(digest).unwrap_or_default(),
        };
        let text = match roster.apply(command, &fresh) {
            Some(done) => done.map_err(fault)?,
            None => return Err(Fault::invalid("this command is not about operators")),
        };
        if dry_run {
            return Ok(Outcome { text, count: 1, ..Outcome::default() });
        }
        if !matches!(command, Command::OperatorLogOut { .. }) {
            self.shared.write(&mut kept, roster)?;
        }
        drop(kept);
        if let Command::OperatorSet { name, .. } | Command::OperatorRemove { name } | Command::OperatorLogOut { name } =
            command
        {
            self.shared.sessions().end_all(name);
        }
        let secret = match command {
            Command::OperatorInvite { .. } => secret.map(|code| self.link(&code)),
            _ => secret,
        };
        Ok(Outcome { text, count: 1, secret, ..Outcome::default() })
    }

    /// A virtual server has another name: whoever had to do with it has so under the new one. Waits for the disk.
    ///
    /// # Errors
    /// The file cannot be used or written.
    pub fn server_renamed(&self, old: &str, new: &str) -> Result<(), Fault> {
        let mut kept = self.shared.usable()?;
        let mut roster = kept.roster.clone();
        if roster.server_renamed(old, new) { self.shared.write(&mut kept, roster) } else { Ok(()) }
    }

    /// The operator whose log-on this cookie is, and what goes into his forms. `active`: he asks himself, not a page that
    /// refreshes itself.
    #[must_use]
    pub fn session(&self, cookie: &str, active: bool) -> Option<(Operator, String)> {
        let found = self.shared.sessions().find(&digest(cookie), self.shared.clock.now(), active);
        let (who, csrf) = found?;
        let kept = self.shared.current();
        let entry = kept.roster.find(who.as_str()).filter(|entry| !entry.disabled)?;
        Some((entry.operator(), csrf))
    }

    /// Ends one log-on.
    pub fn log_out(&self, cookie: &str) {
        self.shared.sessions().end(&digest(cookie));
    }

    /// What a token allows, or that of a known one which has expired.
    #[must_use]
    pub fn token(&self, token: &str) -> Option<Result<Operator, Box<str>>> {
        let kept = self.shared.current();
        let found = kept.roster.token(&digest(token))?;
        if self.shared.clock.now() >= found.until {
            return Some(Err(found.name.clone()));
        }
        Some(Ok(Operator { name: format!("token:{}", found.name), role: found.role, scope: found.scope.clone() }))
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roster as it is on disk, or was a second ago: for what each request asks. One that cannot be read changes nothing.
    fn current(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept();
        if kept.looked.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            kept.looked = Some(Instant::now());
            self.read_if_changed(&mut kept);
        }
        kept
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lockout(&self) -> MutexGuard<'_, Lockout> {
        self.lockout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The roster as it is on disk now, to be changed.
    fn usable(&self) -> Result<MutexGuard<'_, Kept>, Fault> {
        let mut kept = self.kept();
        self.read_if_changed(&mut kept);
        match &kept.trouble {
            Some(trouble) => Err(Fault::Conflict(trouble.clone())),
            None => Ok(kept),
        }
    }

    fn read_if_changed(&self, kept: &mut Kept) {
        let now = stamp(&self.path);
        if now == kept.stamp {
            return;
        }
        kept.stamp = now;
        let read = match now {
            None => Ok(Roster::default()),
            Some(_) => read(&self.path),
        };
        match read {
            Ok(roster) => (kept.roster, kept.trouble) = (roster, None),
            Err(trouble) => {
                self.log.alarm(format!(
                    "{trouble}. Until it is mended nobody new gets in, and no operator can be changed."
                ));
                kept.trouble = Some(trouble);
            }
        }
    }

    fn write(&self, kept: &mut Kept, roster: Roster) -> Result<(), Fault> {
        let written = (|| {
            if let Some(folder) = self.path.parent() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            auth::write_accounts(&self.path, &roster.print())
        })();
        written.map_err(|error| {
            Fault::Unavailable(format!("{} cannot be written: {error}; nothing was changed", self.path.display()))
        })?;
        (kept.roster, kept.stamp) = (roster, stamp(&self.path));
        Ok(())
    }
}

fn read(path: &Path) -> Result<Roster, String> {
    let whole = secret::whole(path).map_err(|fault| fault.to_string())?;
    let text = whole.text().ok_or_else(|| format!("{} is not in UTF-8", path.display()))?;
    Roster::parse(text).map_err(|faults| {
        let lines: Vec<String> = faults.iter().take(3).map(ToString::to_string).collect();
        format!("{} cannot be used: {}", path.display(), lines.join("; "))
    })
}

fn fault(fault: RosterFault) -> Fault {
    match fault {
        RosterFault::Missing(what) => Fault::NotFound(what),
        RosterFault::Taken(_) | RosterFault::LastAdministrator => Fault::Conflict(fault.to_string()),
        RosterFault::Name(_) | RosterFault::Invalid(_) | RosterFault::Full => Fault::invalid(fault.to_string()),
    }
}

fn no_chance() -> Fault {
    Fault::Unavailable("the system gives no random numbers".into())
}

/// Carries out a command about operators and tokens; `None`: it is another's.
pub(super) async fn carry_out(
    control: &Control,
    by: &Operator,
    command: &Command,
    dry_run: bool,
) -> Option<Result<Outcome, Fault>> {
    let (operators, command, by) = (control.operators_house().clone(), command.clone(), by.clone());
    let done = tokio::task::spawn_blocking(move || operators.carry_out(&command, &by, dry_run)).await;
    done.unwrap_or_else(|_| Some(Err(ending())))
}

#[cfg(test)]
mod tests;

impl Control {
    /// The operators.
    ///
    /// # Errors
    /// He may not see them.
    pub async fn operators(&self, by: &Operator) -> Result<Vec<OperatorView>, Fault> {
        may_see(by, Sight::Operators, None)?;
        let operators = self.operators_house().clone();
        let views = tokio::task::spawn_blocking(move || {
            let roster = operators.shared.usable()?.roster.clone();
            let (now, mut sessions) = (operators.shared.clock.now(), operators.shared.sessions());
            let counts: Vec<u64> = roster.operators().iter().map(|entry| sessions.count(&entry.name, now)).collect();
            let of = |name: &str| roster.operators().iter().position(|entry| &*entry.name == name);
            Ok(roster.operator_views(|name| of(name).and_then(|at| counts.get(at)).copied().unwrap_or(0)))
        });
        views.await.map_err(|_| ending())?
    }

    /// The tokens.
    ///
    /// # Errors
    /// He may not see them.
    pub async fn tokens(&self, by: &Operator) -> Result<Vec<TokenView>, Fault> {
        may_see(by, Sight::Operators, None)?;
        let operators = self.operators_house().clone();
        let views = tokio::task::spawn_blocking(move || {
            let now = operators.shared.clock.now();
            Ok(operators.shared.usable()?.roster.token_views(now))
        });
        views.await.map_err(|_| ending())?
    }
}
