//! Who somebody has proved to be, and the senders that he may use.

use crate::config::DomainPattern;
use smtp::address::{Domain, Host, Mailbox};
use smtp::sasl::Mechanism;
use std::fmt;

/// Who a client has proved to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The account: as the operator wrote it, or as the provider that vouches for it names it.
    pub account: Box<str>,
    /// How it was proved.
    pub mechanism: Mechanism,
    /// The senders that it may use; empty: any.
    pub may_send_as: Vec<SenderPattern>,
}

impl Identity {
    /// May it use this sender?
    #[must_use]
    pub fn may_send_as(&self, sender: &Mailbox) -> bool {
        self.may_send_as.is_empty() || self.may_send_as.iter().any(|pattern| pattern.matches(sender))
    }
}

/// `alice@example.com`, `*@example.com` or `*@*.example.com`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SenderPattern {
    /// The local part; `None`: any.
    local: Option<Box<str>>,
    domain: DomainPattern,
}

impl SenderPattern {
    /// Reads a pattern; `None` if it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<SenderPattern> {
        let (local, domain) = text.rsplit_once('@')?;
        let (below, name) = domain.strip_prefix("*.").map_or((false, domain), |name| (true, name));
        let domain = DomainPattern { name: Domain::parse(name).ok()?, below };
        if local == "*" {
            return Some(SenderPattern { local: None, domain });
        }
        let mailbox = Mailbox::new(local, Host::Name(domain.name.clone())).ok()?;
        // A `*` inside would look like a pattern and be none.
        (!below && !local.contains('*')).then(|| SenderPattern { local: Some(mailbox.local().into()), domain })
    }

    /// Is the sender one of these? The local part's case does not matter: no provider has two accounts that differ by it.
    #[must_use]
    pub fn matches(&self, sender: &Mailbox) -> bool {
        let Host::Name(domain) = sender.host() else { return false };
        self.domain.matches(domain)
            && self.local.as_ref().is_none_or(|local| local.to_lowercase() == sender.local().to_lowercase())
    }
}

impl fmt::Display for SenderPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local.as_deref().unwrap_or("*"), self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_what_they_say_and_no_more() {
        for (pattern, yes, no) in [
            (
                "alice@example.com",
                &["alice@example.com", "Alice@EXAMPLE.com", "alice@example.com."][..],
                &[
                    "bob@example.com",
                    "alice@a.example.com",
                    "alice@example.org",
                    "\"alice\"@example.com",
                    "alicex@example.com",
                ][..],
            ),
            (
                "*@example.com",
                &["x@example.com", "\"a b\"@example.com"],
                &["x@a.example.com", "x@[192.0.2.1]", "x@xexample.com"],
            ),
            ("*@*.example.com", &["x@a.example.com", "x@b.a.example.com"], &["x@example.com", "x@aexample.com"]),
        ] {
            let parsed = SenderPattern::parse(pattern).unwrap();
            assert_eq!(parsed.to_string(), pattern);
            for sender in yes {
                assert!(parsed.matches(&Mailbox::parse(sender).unwrap()), "{pattern} {sender}");
            }
            for sender in no {
                assert!(!parsed.matches(&Mailbox::parse(sender).unwrap()), "{pattern} {sender}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "",
            "*",
            "@",
            "alice",
            "@example.com",
            "*@",
            "*@*",
            "a*@example.com",
            "*@*.*.com",
            "alice@*.example.com",
            "a b@example.com",
            "x@[192.0.2.1]",
        ] {
            assert_eq!(SenderPattern::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn no_pattern_means_any_sender() {
        let mut identity = Identity { account: "alice".into(), mechanism: Mechanism::Plain, may_send_as: Vec::new() };
        let bob = Mailbox::parse("bob@example.com").unwrap();
        assert!(identity.may_send_as(&bob));
        identity.may_send_as.extend(SenderPattern::parse("alice@example.com"));
        assert!(!identity.may_send_as(&bob));
        identity.may_send_as.extend(SenderPattern::parse("*@example.com"));
        assert!(identity.may_send_as(&bob));
    }
}
