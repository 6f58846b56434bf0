//! The names of the methods, as EHLO lists them and AUTH asks for them.
//!
//! RFC 4422 §3.1, the IANA registry of SASL mechanisms; NTLM as [MS-SMTPNTLM] writes it, XOAUTH2 as Google and Microsoft do.

use std::fmt;

/// A method of AUTH.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mechanism {
    /// RFC 4616: the password itself, in one message.
    Plain,
    /// The password itself, in two messages; as old clients know it.
    Login,
    /// RFC 7677.
    ScramSha256,
    /// RFC 7677 with the channel bound in.
    ScramSha256Plus,
    /// RFC 2195: weak, and our own server has it not; for next hops that know nothing better.
    CramMd5,
    /// Integrated Windows: NTLM, raw or wrapped in SPNEGO.
    Ntlm,
    /// RFC 4752: Kerberos.
    Gssapi,
    /// A bearer token, in Google's form.
    Xoauth2,
    /// RFC 7628: a bearer token.
    OauthBearer,
    /// RFC 4422 appendix A: who one is, the channel has shown already.
    External,
}

impl Mechanism {
    /// All that we know, strongest first.
    pub const ALL: [Mechanism; 10] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::External,
        Mechanism::Gssapi,
        Mechanism::OauthBearer,
        Mechanism::Xoauth2,
        Mechanism::Ntlm,
        Mechanism::CramMd5,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// Those that our own server may have, strongest first: the order in which its EHLO lists them.
    pub const SERVED: [Mechanism; 9] = [
        Mechanism::ScramSha256Plus,
        Mechanism::ScramSha256,
        Mechanism::External,
        Mechanism::Gssapi,
        Mechanism::OauthBearer,
        Mechanism::Xoauth2,
        Mechanism::Ntlm,
        Mechanism::Plain,
        Mechanism::Login,
    ];

    /// The name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Mechanism::CramMd5 => "CRAM-MD5",
            Mechanism::Ntlm => "NTLM",
            Mechanism::Gssapi => "GSSAPI",
            Mechanism::Xoauth2 => "XOAUTH2",
            Mechanism::OauthBearer => "OAUTHBEARER",
            Mechanism::External => "EXTERNAL",
        }
    }

    /// The method of that name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The method of that name, if our own server may have it.
    #[must_use]
    pub fn parse_served(name: &str) -> Option<Mechanism> {
        Mechanism::parse(name).filter(|mechanism| Mechanism::SERVED.contains(mechanism))
    }

    /// Shows the password, or a token that is as good as one, to whoever reads the channel: wants TLS.
    #[must_use]
    pub fn is_clear_text(self) -> bool {
        matches!(self, Mechanism::Plain | Mechanism::Login) || self.is_token()
    }

    /// Shows a token, by which somebody else vouches for the client.
    #[must_use]
    pub fn is_token(self) -> bool {
        matches!(self, Mechanism::Xoauth2 | Mechanism::OauthBearer)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some of the methods.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
pub struct Mechanisms(u16);

impl Mechanisms {
    /// Not one.
    pub const NONE: Mechanisms = Mechanisms(0);

    /// Is it among them?
    #[must_use]
    pub fn contains(self, mechanism: Mechanism) -> bool {
        self.0 & (1 << mechanism as u16) != 0
    }

    /// None of them?
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// One more.
    pub fn insert(&mut self, mechanism: Mechanism) {
        self.0 |= 1 << mechanism as u16;
    }

    /// Strongest first.
    pub fn iter(self) -> impl Iterator<Item = Mechanism> {
        Mechanism::ALL.into_iter().filter(move |mechanism| self.contains(*mechanism))
    }
}

impl FromIterator<Mechanism> for Mechanisms {
    fn from_iter<I: IntoIterator<Item = Mechanism>>(mechanisms: I) -> Mechanisms {
        let mut found = Mechanisms::default();
        mechanisms.into_iter().for_each(|mechanism| found.insert(mechanism));
        found
    }
}

impl fmt::Display for Mechanisms {
    /// `PLAIN LOGIN`, strongest first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mechanism) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { " " })?;
            f.write_str(mechanism.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed_and_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(mechanism.name()), Some(mechanism));
            assert_eq!(Mechanism::parse(&mechanism.name().to_lowercase()), Some(mechanism));
        }
        for name in ["", "PLAIN ", "CRAM-MD", "SCRAM-SHA-256-PLU", "PLAIN\0", "АUTH"] {
            assert_eq!(Mechanism::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn our_server_has_all_but_the_weak_one() {
        let ours = |mechanism: &Mechanism| Mechanism::parse_served(mechanism.name()).is_some();
        let others: Vec<_> = Mechanism::ALL.into_iter().filter(|mechanism| !ours(mechanism)).collect();
        assert_eq!(others, [Mechanism::CramMd5]);
        assert!(Mechanism::SERVED.iter().eq(Mechanism::ALL.iter().filter(|mechanism| ours(mechanism))));
    }

    #[test]
    fn a_set_holds_what_was_put_in_strongest_first() {
        let some: Mechanisms = [Mechanism::Login, Mechanism::ScramSha256, Mechanism::Login].into_iter().collect();
        assert_eq!(some.to_string(), "SCRAM-SHA-256 LOGIN");
        assert!(some.contains(Mechanism::Login) && !some.contains(Mechanism::Plain) && !some.is_empty());
        assert!(Mechanisms::default().is_empty());
        assert!(Mechanism::ALL.into_iter().collect::<Mechanisms>().iter().eq(Mechanism::ALL));
    }

    #[test]
    fn those_that_show_the_secret_are_known() {
        let shown: Vec<_> = Mechanism::ALL.into_iter().filter(|m| m.is_clear_text()).map(Mechanism::name).collect();
        assert_eq!(shown, ["OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"]);
    }
}
