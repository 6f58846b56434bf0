//! When a certificate is to be renewed, and when it is tried again after it failed.

use crate::tls::Particulars;
use relay::config::Acme;
use smtp::time::Timestamp;

/// The first wait after a failure; each next one is twice as long …
const FIRST_WAIT_MS: i64 = 3600 * 1000;
/// … but no longer than this.
const LONGEST_WAIT_MS: i64 = 24 * 3600 * 1000;

/// Is it time? When a third of its life is left, or when it does not have all the names that it should.
#[must_use]
pub fn is_due(particulars: &Particulars, acme: &Acme, now: Timestamp) -> bool {
    let life = particulars.not_after.0.saturating_sub(particulars.not_before.0);
    let left = particulars.not_after.0.saturating_sub(now.0);
    let lacks_name = acme.names.iter().any(|name| !particulars.names.iter().any(|own| **own == *name.as_str()));
    left <= life / 3 || lacks_name
}

/// How an authority is spared after failures.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Backoff {
    failures: u32,
    again: Option<Timestamp>,
}

impl Backoff {
    /// May it be tried at `now`?
    #[must_use]
    pub fn allows(&self, now: Timestamp) -> bool {
        self.again.is_none_or(|again| now >= again)
    }

    /// It went well at `now`. Even so the authority is left alone for a while: a clock that is wrong, or a certificate that is not
    /// what was asked for, must not make us ask without end.
    pub fn succeeded(&mut self, now: Timestamp) {
        *self = Backoff { failures: 0, again: Some(Timestamp(now.0.saturating_add(FIRST_WAIT_MS))) };
    }

    /// It failed at `now`; when it is tried again.
    pub fn failed(&mut self, now: Timestamp) -> Timestamp {
        let wait = FIRST_WAIT_MS.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT_MS);
        self.failures = self.failures.saturating_add(1);
        let again = Timestamp(now.0.saturating_add(wait));
        self.again = Some(again);
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::address::Domain;

    #[test]
    fn it_is_due_when_a_third_is_left_or_a_name_is_missing() {
        let day = |days: i64| Timestamp(days * 24 * 3600 * 1000);
        let particulars = Particulars {
            subject: "CN=a.test".into(),
            issuer: "CN=CA".into(),
            names: vec!["a.test".into(), "b.test".into()],
            not_before: day(0),
            not_after: day(90),
            fingerprint: "sha256:".into(),
            key: "ECDSA P-256".into(),
        };
        let acme = |names: &[&str]| Acme {
            names: names.iter().map(|name| Domain::parse(name).unwrap()).collect(),
            directory: "https://ca.test/".into(),
            contact: None,
            directory_authority: None,
            challenge: relay::config::AcmeChallenge::Http01,
            challenge_listen: "127.0.0.1:80".parse().unwrap(),
        };
        assert!(!is_due(&particulars, &acme(&["a.test"]), day(59)));
        assert!(is_due(&particulars, &acme(&["a.test"]), day(60)));
        assert!(is_due(&particulars, &acme(&["a.test"]), day(100)));
        assert!(!is_due(&particulars, &acme(&["b.test", "a.test"]), day(1)));
        assert!(is_due(&particulars, &acme(&["a.test", "c.test"]), day(1)));
    }

    #[test]
    fn waits_double_up_to_a_day() {
        let mut backoff = Backoff::default();
        assert!(backoff.allows(Timestamp(0)));
        let hours: Vec<i64> = (0..8).map(|_| backoff.failed(Timestamp(0)).0 / 3_600_000).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24, 24]);
        let again = backoff.failed(Timestamp(0));
        assert!(!backoff.allows(Timestamp(again.0 - 1)) && backoff.allows(again));
        (0..100).for_each(|_| {
            let _ = backoff.failed(Timestamp(0));
        });
        assert_eq!(backoff.failed(Timestamp(0)).0 / 3_600_000, 24);
        backoff.succeeded(Timestamp(0));
        assert!(!backoff.allows(Timestamp(3_599_999)) && backoff.allows(Timestamp(3_600_000)));
        assert_eq!(backoff.failed(Timestamp(0)).0 / 3_600_000, 1);
    }
}
