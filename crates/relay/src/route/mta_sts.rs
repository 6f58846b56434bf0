//! MTA-STS: what a domain says over https about TLS to its mail hosts.
//!
//! Texts to values and back ([`Policy::parse`], [`record_id`], [`Kept`]), whether a host is one of the policy's
//! ([`Policy::names`]), and what is to be done about a domain now ([`decide`]): use what is kept, or fetch. An old policy
//! holds until its age is over, whatever became of the domain's record or its https server since; that is what makes it
//! of use against somebody who can suppress both.
//!
//! Does not: look up, fetch or keep anything (`daemon::policy`); say what a policy means for a host
//! ([`super::protection`]).
//!
//! RFC 8461 §3.1 (the record), §3.2 (the policy), §3.3 (fetching), §4.1 (names of hosts), §5 (when it is applied).

use smtp::address::Domain;
use smtp::time::Timestamp;
use std::time::Duration;

/// Octets of a policy.
pub const POLICY_MAX: usize = 64 * 1_024;
/// Patterns of hosts in a policy that are looked at.
pub const PATTERNS_MAX: usize = 200;
/// A policy is kept at most so long (RFC 8461 §3.2: about a year),
pub const MAX_AGE_MAX: Duration = Duration::from_secs(31_557_600);
/// and at least so long, that a `max_age` of nothing does not mean a fetch for each message.
const MAX_AGE_MIN: Duration = Duration::from_secs(5 * 60);
/// After a fetch that failed, the next one waits so long (RFC 8461 §3.3).
pub const FETCH_AGAIN: Duration = Duration::from_secs(5 * 60);
/// Characters of a record's id.
const ID_MAX: usize = 32;

/// What a domain demands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// How seriously.
    pub mode: Mode,
    /// How long it holds.
    pub max_age: Duration,
    /// Its mail hosts.
    pub hosts: Vec<HostPattern>,
}

/// How seriously a policy is meant.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Mail goes to its hosts alone, with TLS and a certificate that proves the host; or it waits.
    Enforce,
    /// The same would be wished; mail goes as if there were no policy.
    Testing,
    /// There is none any more.
    None,
}

impl Mode {
    /// As the policy has it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        }
    }
}

/// `mx1.example.com` or `*.example.com`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPattern {
    name: Domain,
    /// One label stands before the name.
    wildcard: bool,
}

impl HostPattern {
    fn parse(text: &str) -> Option<HostPattern> {
        let (wildcard, name) = match text.strip_prefix("*.") {
            Some(name) => (true, name),
            None => (false, text),
        };
        Domain::parse(name).ok().map(|name| HostPattern { name, wildcard })
    }

    /// Is this host meant? A wildcard stands for one label, not for none and not for two.
    #[must_use]
    pub fn matches(&self, host: &Domain) -> bool {
        if !self.wildcard {
            return *host == self.name;
        }
        host.as_str().split_once('.').is_some_and(|(first, rest)| !first.is_empty() && rest == self.name.as_str())
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.wildcard { "*." } else { "" }, self.name)
    }
}

/// Why a text is no policy.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NoPolicy {
    /// It is longer than [`POLICY_MAX`], or no text.
    NoText,
    /// It does not begin with, or has not, `version: STSv1`.
    Version,
    /// `mode` is missing, or none of the three.
    Mode,
    /// `max_age` is missing, or no number.
    MaxAge,
    /// It names no host, though its mode needs one.
    NoHost,
    /// An `mx` is no name of a host.
    Host,
}

impl std::fmt::Display for NoPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            NoPolicy::NoText => "it is too long, or no text",
            NoPolicy::Version => "it lacks 'version: STSv1'",
            NoPolicy::Mode => "it lacks a 'mode' of enforce, testing or none",
            NoPolicy::MaxAge => "it lacks a 'max_age' in seconds",
            NoPolicy::NoHost => "it names no 'mx'",
            NoPolicy::Host => "an 'mx' in it is no host's name",
        })
    }
}

impl Policy {
    /// Reads what the https server gave.
    ///
    /// # Errors
    /// It is no policy, and why.
    pub fn parse(octets: &[u8]) -> Result<Policy, NoPolicy> {
        if octets.len() > POLICY_MAX {
            return Err(NoPolicy::NoText);
        }
        let text = std::str::from_utf8(octets).map_err(|_| NoPolicy::NoText)?;
        let (mut version, mut mode, mut max_age, mut hosts) = (None, None, None, Vec::new());
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let value = value.trim_matches([' ', '\t']);
            // Of a key that comes twice the first counts, but for mx.
            match key {
                "version" => _ = version.get_or_insert(value),
                "mode" => _ = mode.get_or_insert(value),
                "max_age" => _ = max_age.get_or_insert(value),
                "mx" if hosts.len() < PATTERNS_MAX => hosts.push(HostPattern::parse(value).ok_or(NoPolicy::Host)?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(NoPolicy::Version);
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            _ => return Err(NoPolicy::Mode),
        };
        let max_age = max_age.and_then(seconds).ok_or(NoPolicy::MaxAge)?;
        if hosts.is_empty() && mode != Mode::None {
            return Err(NoPolicy::NoHost);
        }
        Ok(Policy { mode, max_age, hosts })
    }

    /// Is this one of its hosts?
    #[must_use]
    pub fn names(&self, host: &Domain) -> bool {
        self.hosts.iter().any(|pattern| pattern.matches(host))
    }
}

/// One to ten digits.
fn seconds(text: &str) -> Option<Duration> {
    let is_number = (1..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok().map(Duration::from_secs)).flatten()
}

/// The id in the record at `_mta-sts.DOMAIN`, of which these are the texts; `None` if the domain has no policy: no such record, or
/// more than one, or one without an id.
#[must_use]
pub fn record_id<T: AsRef<[u8]>>(texts: &[T]) -> Option<Box<str>> {
    let mut records = texts.iter().filter_map(|text| std::str::from_utf8(text.as_ref()).ok()).filter_map(fields);
    let (record, None) = (records.next()?, records.next()) else { return None };
    let id = record.split(';').find_map(|field| field.trim_matches([' ', '\t']).strip_prefix("id="))?;
    let is_id = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id.then(|| id.into())
}

/// What stands behind `v=STSv1;`.
fn fields(text: &str) -> Option<&str> {
    text.strip_prefix("v=STSv1")?.trim_start_matches([' ', '\t']).strip_prefix(';')
}

/// A policy that was fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// What it says.
    pub policy: Policy,
    /// The record's id when it was fetched.
    pub id: Box<str>,
    /// When.
    pub fetched: Timestamp,
}

impl Kept {
    /// Does it still hold?
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        now.since(self.fetched) < self.age_max()
    }

    fn age_max(&self) -> Duration {
        self.policy.max_age.clamp(MAX_AGE_MIN, MAX_AGE_MAX)
    }

    /// Half of its time is over: a new one is fetched before that matters to anybody.
    fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.fetched) >= self.age_max() / 2
    }

    /// As text, for a file.
    #[must_use]
    pub fn print(&self) -> String {
        let Policy { mode, max_age, hosts } = &self.policy;
        let mut text = format!("id: {}\nfetched: {}\n", self.id, self.fetched.rfc3339());
        text.push_str(&format!("version: STSv1\nmode: {}\nmax_age: {}\n", mode.word(), max_age.as_secs()));
        hosts.iter().for_each(|host| text.push_str(&format!("mx: {host}\n")));
        text.push_str("end\n");
        text
    }

    /// Reads what [`Kept::print`] writes; `None` for anything else. What claims to be of the future is of `now`.
    #[must_use]
    pub fn parse(text: &str, now: Timestamp) -> Option<Kept> {
        let whole = text.strip_suffix("end\n")?;
        let value = |key: &str| whole.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
        let policy = Policy::parse(whole.as_bytes()).ok()?;
        let fetched = Timestamp::parse_rfc3339(value("fetched")?)?.min(now);
        Some(Kept { policy, id: value("id")?.into(), fetched })
    }
}

/// What is known of a domain.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Known {
    /// The last policy that was fetched.
    pub kept: Option<Kept>,
    /// The last fetch that brought none: of which id, and when.
    pub failed: Option<(Box<str>, Timestamp)>,
}

/// What its record says now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// There is one, with this id.
    Id(Box<str>),
    /// There is none.
    None,
    /// The DNS did not answer.
    Unanswered,
}

/// What is to be done about a domain.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing: what is kept is used, if it holds.
    Use,
    /// What is kept is used, and a new one is fetched meanwhile.
    Refresh,
    /// A new one is fetched first; if that fails, what is kept is used, if it holds.
    Fetch,
}

/// What is to be done, when `record` is what the DNS says.
#[must_use]
pub fn decide(known: &Known, record: &Record, now: Timestamp) -> Step {
    let Record::Id(id) = record else { return Step::Use };
    let kept = known.kept.as_ref().filter(|kept| kept.holds(now));
    let is_new = kept.is_none_or(|kept| kept.id != *id);
    let has_just_failed = known.failed.as_ref().is_some_and(|(of, at)| of == id && now.since(*at) < FETCH_AGAIN);
    match kept {
        _ if has_just_failed => Step::Use,
        _ if is_new => Step::Fetch,
        Some(kept) if kept.is_old(now) => Step::Refresh,
        _ => Step::Use,
    }
}

/// The policy that holds now.
#[must_use]
pub fn in_force(known: &Known, now: Timestamp) -> Option<&Policy> {
    let kept = known.kept.as_ref().filter(|kept| kept.holds(now))?;
    (kept.policy.mode != Mode::None).then_some(&kept.policy)
}

#[cfg(test)]
mod tests;
