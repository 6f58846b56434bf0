//! Who is logged on: in memory, so that a restart logs everybody out; of the cookies nothing but digests is kept.

use crate::tls::sha256;
use relay::account::AccountKey;
use relay::admin::roster::{Digest, key};
use smtp::time::Timestamp;
use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

/// Log-ons in force; the one that was idle for the longest goes first.
pub const SESSIONS_MAX: usize = 2_000;
/// Of one operator.
pub const SESSIONS_OF_ONE_MAX: usize = 50;

/// How long a log-on holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Lasting {
    /// Without a request.
    pub idle: Duration,
    /// In any case.
    pub longest: Duration,
}

impl Default for Lasting {
    fn default() -> Lasting {
        Lasting { idle: Duration::from_secs(1_800), longest: Duration::from_secs(12 * 3_600) }
    }
}

/// One log-on.
#[derive(Clone, Debug)]
struct Session {
    who: AccountKey,
    began: Timestamp,
    last: Timestamp,
    csrf: Box<str>,
}

/// What the browser gets.
#[derive(Clone)]
pub struct Ticket {
    /// For the cookie.
    pub cookie: String,
    /// For forms.
    pub csrf: String,
}

/// All log-ons.
#[derive(Default)]
pub(super) struct Sessions {
    all: HashMap<Digest, Session>,
    pub(super) lasting: Lasting,
}

/// A secret of 256 random bits, as text; `None`: the system has no random numbers.
#[must_use]
pub fn fresh_secret() -> Option<String> {
    let mut octets = [0; 32];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(octets.iter().fold(String::with_capacity(64), |mut text, octet| {
        // Writing into a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    }))
}

/// What is kept of a secret.
#[must_use]
pub fn digest(secret: &str) -> Digest {
    sha256(secret.as_bytes())
}

impl Sessions {
    /// Logs somebody on, under a name that nobody had before.
    pub(super) fn begin(&mut self, name: &str, now: Timestamp) -> Option<Ticket> {
        let (cookie, csrf, who) = (fresh_secret()?, fresh_secret()?, key(name));
        self.expire(now);
        if self.of(&who) >= SESSIONS_OF_ONE_MAX {
            self.push_out(|session| session.who == who);
        }
        if self.all.len() >= SESSIONS_MAX {
            self.push_out(|_| true);
        }
        let session = Session { who, began: now, last: now, csrf: csrf.as_str().into() };
        self.all.insert(digest(&cookie), session);
        Some(Ticket { cookie, csrf })
    }

    fn push_out(&mut self, whose: impl Fn(&Session) -> bool) {
        let among = self.all.iter().filter(|(_, session)| whose(session));
        if let Some(oldest) = among.min_by_key(|(_, session)| session.last).map(|(digest, _)| *digest) {
            self.all.remove(&oldest);
        }
    }

    fn expire(&mut self, now: Timestamp) {
        let Lasting { idle, longest } = self.lasting;
        self.all.retain(|_, session| now.since(session.last) < idle && now.since(session.began) < longest);
    }

    /// Whose log-on it is, and what goes into his forms. `active`: he has asked for something himself.
    pub(super) fn find(&mut self, cookie: &Digest, now: Timestamp, active: bool) -> Option<(AccountKey, String)> {
        let Lasting { idle, longest } = self.lasting;
        let session = self.all.get_mut(cookie)?;
        if now.since(session.last) >= idle || now.since(session.began) >= longest {
            self.all.remove(cookie);
            return None;
        }
        if active {
            session.last = now;
        }
        Some((session.who.clone(), session.csrf.to_string()))
    }

    pub(super) fn end(&mut self, cookie: &Digest) {
        self.all.remove(cookie);
    }

    /// Logs an operator out everywhere; how many log-ons that were.
    pub(super) fn end_all(&mut self, name: &str) -> u64 {
        let (who, before) = (key(name), self.all.len());
        self.all.retain(|_, session| session.who != who);
        (before - self.all.len()) as u64
    }

    pub(super) fn count(&mut self, name: &str, now: Timestamp) -> u64 {
        self.expire(now);
        self.of(&key(name)) as u64
    }

    fn of(&self, who: &AccountKey) -> usize {
        self.all.values().filter(|session| session.who == *who).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_log_on_ends_when_it_is_idle_and_in_any_case() {
        let lasting = Lasting { idle: Duration::from_secs(60), longest: Duration::from_secs(100) };
        let mut sessions = Sessions { lasting, ..Sessions::default() };
        let ticket = sessions.begin("Anna", at(0)).unwrap();
        let cookie = digest(&ticket.cookie);
        assert_eq!(sessions.find(&cookie, at(50), true), Some((key("anna"), ticket.csrf.clone())));
        assert!(sessions.find(&cookie, at(99), false).is_some());
        assert!(sessions.find(&cookie, at(100), true).is_none(), "12 hours, or what is set");
        let cookie = digest(&sessions.begin("anna", at(0)).unwrap().cookie);
        assert!(sessions.find(&cookie, at(59), false).is_some());
        assert!(sessions.find(&cookie, at(60), false).is_none(), "a page that refreshes itself does not count");
    }

    #[test]
    fn everybody_has_his_own_and_not_too_many() {
        let mut sessions = Sessions::default();
        let first = sessions.begin("anna", at(0)).unwrap();
        let bert = sessions.begin("bert", at(0)).unwrap();
        for n in 0..SESSIONS_OF_ONE_MAX as u64 {
            let ticket = sessions.begin("anna", at(1 + n)).unwrap();
            assert!(ticket.cookie != first.cookie && ticket.csrf != first.csrf && ticket.cookie.len() == 64);
        }
        assert_eq!(sessions.count("ANNA", at(60)), SESSIONS_OF_ONE_MAX as u64);
        assert!(sessions.find(&digest(&first.cookie), at(60), true).is_none(), "the oldest was pushed out");
        assert!(sessions.find(&digest(&bert.cookie), at(60), true).is_some());
        assert_eq!(sessions.end_all("anna"), SESSIONS_OF_ONE_MAX as u64);
        assert_eq!((sessions.count("anna", at(60)), sessions.count("bert", at(60))), (0, 1));
        sessions.end(&digest(&bert.cookie));
        assert!(sessions.find(&digest(&bert.cookie), at(60), true).is_none());
    }
}
