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
    /// All of them, strongest first: the order in which EHLO lists them.
    pub const ALL: [Mechanism; 9] = [
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed_and_in_any_case() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::parse(mechanism.name()), Some(mechanism));
            assert_eq!(Mechanism::parse(&mechanism.name().to_lowercase()), Some(mechanism));
        }
        for name in ["", "PLAIN ", "CRAM-MD5", "SCRAM-SHA-256-PLU", "PLAIN\0", "АUTH"] {
            assert_eq!(Mechanism::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn those_that_show_the_secret_are_known() {
        let shown: Vec<_> = Mechanism::ALL.into_iter().filter(|m| m.is_clear_text()).map(Mechanism::name).collect();
        assert_eq!(shown, ["OAUTHBEARER", "XOAUTH2", "PLAIN", "LOGIN"]);
    }
}
