//! `Domain`, `Host`, `Mailbox`, `Path`: parse once, print exactly.
//!
//! A domain is normalised when it is parsed (lower case, no trailing dot); a local part is kept octet for octet,
//! quotes included, because only its own host may interpret it (RFC 5321 §2.3.11). Nothing here decides whether an
//! address is ours.
//!
//! RFC 5321 §4.1.2, §4.1.3, §4.5.3.1; RFC 6531 §3.3 (UTF-8); RFC 1035 §2.3.4.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Octets of a local part, quotes included (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_MAX: usize = 64;
/// Octets of a domain (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_MAX: usize = 255;
/// Octets of a path without its brackets; 254 fit in RFC 5321's 256 with them.
pub const PATH_MAX: usize = 254;
/// Octets of what may stand in the brackets with a source route, which is stripped.
pub const ROUTED_PATH_MAX: usize = 1_000;

/// Why a text is no address.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum AddressError {
    /// Nothing where something must stand.
    Empty,
    /// A part is longer than its limit.
    TooLong,
    /// The local part is neither a dot-string nor a quoted string.
    LocalPart,
    /// The domain is not made of labels.
    Domain,
    /// The address literal is not one.
    Literal,
    /// A domain is missing where it is required.
    NoDomain,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the address is empty",
            Self::TooLong => "the address is too long",
            Self::LocalPart => "the part before the @ is not valid; put it in quotes if it has special characters",
            Self::Domain => "the domain is not valid",
            Self::Literal => "the address literal is not valid; write [192.0.2.1] or [IPv6:2001:db8::1]",
            Self::NoDomain => "the address has no domain",
        })
    }
}

impl std::error::Error for AddressError {}

/// A domain name: lower case, without trailing dot, labels of 1 to 63 octets. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Parses a name; a trailing dot is taken off, upper case becomes lower case.
    ///
    /// Underscores are let through, as hosts in the field have them. Labels beyond ASCII are U-labels (RFC 6531);
    /// of those, letters, digits and marks are let through, but no other forms of the full stop.
    ///
    /// # Errors
    /// [`AddressError::Empty`], [`AddressError::TooLong`] or [`AddressError::Domain`].
    pub fn parse(text: &str) -> Result<Domain, AddressError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > DOMAIN_MAX {
            return Err(AddressError::TooLong);
        }
        if !text.split('.').all(is_label) || is_dotted_quad(text) {
            return Err(AddressError::Domain);
        }
        let lower = text.to_lowercase();
        // A few letters grow: what was accepted must read back from the disk.
        if lower.len() > text.len() && (lower.len() > DOMAIN_MAX || !lower.split('.').all(is_label)) {
            return Err(AddressError::TooLong);
        }
        Ok(Domain(lower.into()))
    }

    /// The name in lower case without trailing dot.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is this `parent` itself or below it, at a label's border?
    #[must_use]
    pub fn is_within(&self, parent: &Domain) -> bool {
        self == parent || self.is_below(parent)
    }

    /// Is this a proper sub-domain of `parent`?
    #[must_use]
    pub fn is_below(&self, parent: &Domain) -> bool {
        self.0.strip_suffix(parent.as_str()).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
    }

    /// Only ASCII, so that it can be sent without SMTPUTF8?
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.0.is_ascii()
    }
}

fn is_label(label: &str) -> bool {
    let ends = |c: Option<char>| c.is_some_and(|c| c != '-');
    (1..=63).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_' || is_beyond_ascii_label(c))
        && ends(label.chars().next())
        && ends(label.chars().last())
}

/// Letters and digits beyond ASCII. Full-width forms and the ideographic full stops map to ASCII in IDNA and would
/// let one name look like another, so they are refused.
fn is_beyond_ascii_label(c: char) -> bool {
    !c.is_ascii()
        && !matches!(c, '\u{FF00}'..='\u{FFEF}' | '\u{3002}' | '\u{2024}' | '\u{00AD}' | '\u{200B}'..='\u{200F}')
        && (c.is_alphanumeric() || is_mark(c))
}

/// Combining marks, as scripts that write vowels with them need.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{0300}'..='\u{036F}' | '\u{0591}'..='\u{05C7}' | '\u{0610}'..='\u{061A}' | '\u{064B}'..='\u{065F}'
        | '\u{0900}'..='\u{0903}' | '\u{093A}'..='\u{094F}' | '\u{0E31}'..='\u{0E4E}' | '\u{3099}' | '\u{309A}')
}

/// `192.0.2.1` without brackets: a name of digits only does not exist and is a way to hide an address.
fn is_dotted_quad(text: &str) -> bool {
    text.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit())) && text.contains('.')
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// What stands after the `@`, after HELO, or in a route: a name or an address literal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Host {
    /// `mail.example.com`
    Name(Domain),
    /// `[192.0.2.1]` or `[IPv6:2001:db8::1]`
    Literal(IpAddr),
}

impl Host {
    /// Parses a domain name or a literal in brackets (RFC 5321 §4.1.3).
    ///
    /// # Errors
    /// As [`Domain::parse`], or [`AddressError::Literal`].
    pub fn parse(text: &str) -> Result<Host, AddressError> {
        let Some(inner) = text.strip_prefix('[') else { return Domain::parse(text).map(Host::Name) };
        let inner = inner.strip_suffix(']').ok_or(AddressError::Literal)?;
        let ip = match inner.get(..5) {
            Some(tag) if tag.eq_ignore_ascii_case("ipv6:") => {
                inner[5..].parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| AddressError::Literal)?
            }
            _ => inner.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| AddressError::Literal)?,
        };
        Ok(Host::Literal(ip))
    }

    /// The name, if it is one.
    #[must_use]
    pub fn domain(&self) -> Option<&Domain> {
        match self {
            Host::Name(domain) => Some(domain),
            Host::Literal(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(domain) => domain.fmt(f),
            Host::Literal(IpAddr::V4(ip)) => write!(f, "[{ip}]"),
            Host::Literal(IpAddr::V6(ip)) => write!(f, "[IPv6:{ip}]"),
        }
    }
}

/// `local-part@host`, the local part exactly as it was written.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    local: Box<str>,
    host: Host,
}

impl Mailbox {
    /// Parses `local@host`, without brackets.
    ///
    /// # Errors
    /// What is wrong with it; [`AddressError::NoDomain`] for a bare local part.
    pub fn parse(text: &str) -> Result<Mailbox, AddressError> {
        let path = Path::parse(text)?;
        let host = path.host.ok_or(AddressError::NoDomain)?;
        Ok(Mailbox { local: path.local, host })
    }

    /// A mailbox of a checked local part and host, as `postmaster@` one of ours.
    ///
    /// # Errors
    /// The local part is not valid.
    pub fn new(local: &str, host: Host) -> Result<Mailbox, AddressError> {
        check_local(local)?;
        Ok(Mailbox { local: local.into(), host })
    }

    /// The local part as written, quotes included.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// What stands after the `@`.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The same local part at another host (masquerade, alias).
    #[must_use]
    pub fn at(&self, host: Host) -> Mailbox {
        Mailbox { local: self.local.clone(), host }
    }

    /// Only ASCII, so that it can be sent without SMTPUTF8?
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii() && self.host.domain().is_none_or(Domain::is_ascii)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.host)
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// What stands between `<` and `>` in RCPT or MAIL: a mailbox whose domain may be missing. A source route is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    local: Box<str>,
    host: Option<Host>,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.local)?;
        self.host.iter().try_for_each(|host| write!(f, "@{host}"))
    }
}

impl Path {
    /// Parses the inside of the brackets; `@a,@b:user@host` loses its route (RFC 5321 §4.1.1.3, appendix C).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Path, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.len() > ROUTED_PATH_MAX {
            return Err(AddressError::TooLong);
        }
        let text = strip_route(text)?;
        if text.len() > PATH_MAX {
            return Err(AddressError::TooLong);
        }
        let (local, host) = match split_at_sign(text) {
            Some((local, host)) => (local, Some(Host::parse(host)?)),
            None => (text, None),
        };
        check_local(local)?;
        Ok(Path { local: local.into(), host })
    }

    /// The mailbox; a bare local part gets `default` for its domain, as the old service did.
    #[must_use]
    pub fn complete(self, default: &Domain) -> Mailbox {
        let host = self.host.unwrap_or_else(|| Host::Name(default.clone()));
        Mailbox { local: self.local, host }
    }

    /// Has it no domain?
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.host.is_none()
    }

    /// The local part as written, quotes included.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }
}

fn strip_route(text: &str) -> Result<&str, AddressError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let (route, rest) = text.split_once(':').ok_or(AddressError::LocalPart)?;
    for hop in route.split(',') {
        Host::parse(hop.strip_prefix('@').ok_or(AddressError::Domain)?)?;
    }
    if rest.is_empty() { Err(AddressError::Empty) } else { Ok(rest) }
}

/// Splits at the `@` that ends the local part: the first one outside a quoted string.
fn split_at_sign(text: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'@' if !quoted => return Some((&text[..i], &text[i + 1..])),
            _ => {}
        }
    }
    None
}

fn check_local(local: &str) -> Result<(), AddressError> {
    if local.is_empty() {
        return Err(AddressError::Empty);
    }
    if local.len() > LOCAL_PART_MAX {
        return Err(AddressError::TooLong);
    }
    let valid = match local.strip_prefix('"') {
        Some(rest) => is_quoted(rest),
        None => local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext)),
    };
    if valid { Ok(()) } else { Err(AddressError::LocalPart) }
}

/// The rest of a quoted string after its first quote.
fn is_quoted(rest: &str) -> bool {
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return chars.next().is_none() && rest.len() > 1,
            '\\' => match chars.next() {
                Some(' '..='~') => {}
                _ => return false,
            },
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => return false,
            _ => {}
        }
    }
    false
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "!#$%&'*+-/=?^_`{|}~".contains(c)
        || (!c.is_ascii() && !c.is_control() && !c.is_whitespace() && c != '\u{FFFD}')
}

/// The sender of the envelope: a mailbox, or nobody (`<>`), as reports have it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ReversePath {
    /// `<>`: no report may be made about this message.
    Null,
    /// Reports go here.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// The mailbox, if there is one.
    #[must_use]
    pub fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Is it `<>`?
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, ReversePath::Null)
    }
}

impl fmt::Display for ReversePath {
    /// Without brackets; the null sender prints as nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReversePath::Null => Ok(()),
            ReversePath::Mailbox(mailbox) => mailbox.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(text: &str) -> Domain {
        Domain::parse(text).unwrap()
    }

    #[test]
    fn domains_are_normalised() {
        assert_eq!(domain("Example.COM.").as_str(), "example.com");
        assert_eq!(domain("localhost").as_str(), "localhost");
        assert_eq!(domain("Bücher.Test").as_str(), "bücher.test");
        for bad in
            ["", ".", "a..b", "-a.b", "a-.b", "a b", "192.0.2.1", "a.1", "[1.2.3.4]", "ａ.test", "a。test", "a\0b"]
        {
            assert!(Domain::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Domain::parse(&"a".repeat(64)).is_err());
        assert_eq!(Domain::parse(&"İ".repeat(31)), Err(AddressError::TooLong), "two octets each become three");
        assert_eq!(domain(domain("İx.test").as_str()), domain("İx.test"));
        assert!(Domain::parse(&["a"; 129].join(".")).is_err());
    }

    #[test]
    fn sub_domains_end_at_a_label() {
        assert!(domain("a.example.com").is_below(&domain("example.com")));
        assert!(!domain("notexample.com").is_below(&domain("example.com")));
        assert!(!domain("example.com").is_below(&domain("example.com")));
        assert!(domain("example.com").is_within(&domain("example.com")));
    }

    #[test]
    fn mailboxes_keep_their_local_part() {
        for text in [
            "a@b.test",
            "\"a b\"@b.test",
            "\"a@b\"@c.test",
            "\"a\\\"b\"@b.test",
            "A.B+c@b.test",
            "a@[192.0.2.1]",
            "a@[IPv6:2001:db8::1]",
            "küche@b.test",
            "v%out@local.test",
            "o'neil/x@b.test",
        ] {
            assert_eq!(Mailbox::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c.test",
            "a..b@c.test",
            ".a@c.test",
            "a.@c.test",
            "\"a@c.test",
            "\"\"@c.test",
            "\"a\"b@c.test",
            "a@b@c.test",
            "a@[300.1.1.1]",
            "a@[::1]",
            "a@[3325256711]",
            "a,b@c.test",
            "a@b.test>",
            "a@192.0.2.1",
            "(c)a@b.test",
            "a@b.test:25",
            "\"a\u{0}\"@b.test",
            "a\u{2028}@b.test",
        ] {
            assert!(Mailbox::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lengths_have_limits() {
        assert!(Mailbox::parse(&format!("{}@b.test", "a".repeat(64))).is_ok());
        assert_eq!(Mailbox::parse(&format!("{}@b.test", "a".repeat(65))), Err(AddressError::TooLong));
        assert!(Path::parse(&"@".repeat(60_000)).is_err());
    }

    #[test]
    fn source_routes_are_stripped() {
        let path = Path::parse("@one.test,@two.test:user@three.test").unwrap();
        assert_eq!(path.complete(&domain("x.test")).to_string(), "user@three.test");
        assert!(Path::parse("@one.test:").is_err());
        assert!(Path::parse("@one.test").is_err());
        assert!(Path::parse("@one test:user@three.test").is_err());
    }

    #[test]
    fn bare_local_parts_are_completed() {
        let path = Path::parse("Postmaster").unwrap();
        assert!(path.is_bare());
        assert_eq!(path.complete(&domain("x.test")).to_string(), "Postmaster@x.test");
    }
}
