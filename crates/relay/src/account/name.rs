//! Names of accounts: what may be one, and which spellings mean the same one.

use smtp::sasl::clear::ACCOUNT_NAME_MAX;
use std::fmt;

/// Why a text cannot be an account's name.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum NameFault {
    /// Nothing, or blanks only.
    Empty,
    /// Over [`ACCOUNT_NAME_MAX`] octets.
    TooLong,
    /// It has characters that nobody can type or see.
    Invisible,
    /// It begins or ends with a blank.
    Blank,
    /// A part beside the `@` or the `\` is empty, or there are several.
    Parts,
}

impl fmt::Display for NameFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameFault::Empty => f.write_str("the name is empty"),
            NameFault::TooLong => write!(f, "the name is longer than {ACCOUNT_NAME_MAX} octets"),
            NameFault::Invisible => f.write_str("the name has control or invisible characters"),
            NameFault::Blank => f.write_str("the name begins or ends with a blank"),
            NameFault::Parts => f.write_str("write `name`, `name@domain` or `DOMAIN\\name`"),
        }
    }
}

impl std::error::Error for NameFault {}

/// May this be an account's name?
///
/// # Errors
/// Why not.
pub fn check(name: &str) -> Result<(), NameFault> {
    if name.trim().is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > ACCOUNT_NAME_MAX {
        return Err(NameFault::TooLong);
    }
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
    };
    if name.chars().any(invisible) {
        return Err(NameFault::Invisible);
    }
    if name.trim() != name {
        return Err(NameFault::Blank);
    }
    let signs = name.matches(['@', '\\']).count();
    if signs > 1 || name.split(['@', '\\']).any(|part| part.trim().is_empty()) {
        return Err(NameFault::Parts);
    }
    Ok(())
}

/// What two spellings of one name have in common: lower case, `name@domain`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct AccountKey(Box<str>);

impl AccountKey {
    /// The key of a name; `default_domain` completes a bare one (IIS: default domain).
    #[must_use]
    pub fn new(name: &str, default_domain: Option<&str>) -> AccountKey {
        let whole = match (name.split_once('\\'), default_domain) {
            (Some((domain, user)), _) => format!("{user}@{domain}"),
            (None, Some(domain)) if !name.contains('@') => format!("{name}@{domain}"),
            (None, _) => name.to_owned(),
        };
        AccountKey(whole.to_lowercase().into())
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name() {
        let key = |name: &str| AccountKey::new(name, Some("corp.example"));
        for name in ["alice", "ALICE", "Alice@Corp.Example", "CORP.EXAMPLE\\alice", "corp.example\\Alice"] {
            assert_eq!(key(name).as_str(), "alice@corp.example");
        }
        assert_ne!(key("alice@other.example"), key("alice"));
        let bare = |name: &str| AccountKey::new(name, None);
        assert_eq!(bare("Alice"), bare("alice"));
        assert_ne!(bare("alice"), bare("alice@corp.example"));
        assert_eq!(bare("CORP\\alice"), bare("alice@corp"));
        assert_eq!(bare("ANDRÉ"), bare("andré"));
    }

    #[test]
    fn what_may_be_a_name() {
        for good in ["a", "alice", "alice@corp.example", "CORP\\alice", "Jane Doe", "andré", "o'neill", "a+b.c-d_e"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let long = "x".repeat(256);
        for (bad, fault) in [
            ("", NameFault::Empty),
            (" ", NameFault::Empty),
            (&*long, NameFault::TooLong),
            ("a\nb", NameFault::Invisible),
            ("a\0", NameFault::Invisible),
            ("ali\u{200b}ce", NameFault::Invisible),
            ("\u{202e}alice", NameFault::Invisible),
            (" alice", NameFault::Blank),
            ("alice ", NameFault::Blank),
            ("a@b@c", NameFault::Parts),
            ("a\\b@c", NameFault::Parts),
            ("@corp", NameFault::Parts),
            ("alice@", NameFault::Parts),
            ("\\alice", NameFault::Parts),
        ] {
            assert_eq!(check(bad), Err(fault), "{bad:?}");
        }
    }
}
