//! By which method to prove who we are: the best that the server offers, that was asked for, and that gives nothing away.
//!
//! A password goes as it is only under TLS, unless the operator has allowed it otherwise; a token never goes without TLS.

use crate::sasl::{Mechanism, Mechanisms};
use std::fmt;

/// What is to prove who we are.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// A password, by the strongest method.
    Password,
    /// A password as it is: PLAIN or LOGIN.
    Basic,
    /// A password by SCRAM.
    Scram,
    /// A password by CRAM-MD5.
    CramMd5,
    /// A password by NTLM.
    Ntlm,
    /// A Kerberos ticket.
    Gssapi,
    /// Our certificate.
    External,
    /// A token, in either form.
    Token,
    /// A token by XOAUTH2.
    Xoauth2,
    /// A token by OAUTHBEARER.
    OauthBearer,
}

impl Wanted {
    /// The methods for it, best first.
    #[must_use]
    pub fn mechanisms(self) -> &'static [Mechanism] {
        match self {
            Wanted::Password => &[
                Mechanism::ScramSha256Plus,
                Mechanism::ScramSha256,
                Mechanism::Ntlm,
                Mechanism::CramMd5,
                Mechanism::Plain,
                Mechanism::Login,
            ],
            Wanted::Basic => &[Mechanism::Plain, Mechanism::Login],
            Wanted::Scram => &[Mechanism::ScramSha256Plus, Mechanism::ScramSha256],
            Wanted::CramMd5 => &[Mechanism::CramMd5],
            Wanted::Ntlm => &[Mechanism::Ntlm],
            Wanted::Gssapi => &[Mechanism::Gssapi],
            Wanted::External => &[Mechanism::External],
            Wanted::Token => &[Mechanism::Xoauth2, Mechanism::OauthBearer],
            Wanted::Xoauth2 => &[Mechanism::Xoauth2],
            Wanted::OauthBearer => &[Mechanism::OauthBearer],
        }
    }
}

/// What surrounds the exchange.
#[derive(Copy, Clone, PartialEq, Eq, Default, Debug)]
pub struct Around {
    /// The connection is under TLS.
    pub secure: bool,
    /// The TLS channel has a name that both sides can know ([`crate::sasl::scram::Bindings`]).
    pub bindable: bool,
    /// The operator lets a password go as it is without TLS.
    pub clear_text: bool,
}

/// Why there is no method.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoMethod {
    /// The server offers none of those.
    NotOffered {
        /// Those that would do.
        wanted: Mechanisms,
        /// Those that there are.
        offered: Mechanisms,
    },
    /// Those that there are would show the secret to whoever reads the line.
    NeedsTls(Mechanisms),
    /// The method binds the channel in, and the channel has no name.
    Unbound,
}

impl fmt::Display for NoMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoMethod::NotOffered { wanted, offered } if offered.is_empty() => {
                write!(f, "the server offers no way to log on, and {} is wanted", Or(*wanted))
            }
            NoMethod::NotOffered { wanted, offered } => {
                write!(f, "the server offers {offered} to log on, and {} is wanted", Or(*wanted))
            }
            NoMethod::NeedsTls(mechanisms) => {
                write!(f, "without TLS {} would show the secret to whoever reads the line", Or(*mechanisms))
            }
            NoMethod::Unbound => {
                f.write_str("the server offers only SCRAM-SHA-256-PLUS, and this TLS channel cannot be bound in")
            }
        }
    }
}

impl std::error::Error for NoMethod {}

/// `PLAIN or LOGIN`
struct Or(Mechanisms);

impl fmt::Display for Or {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(Mechanism::name).collect();
        f.write_str(&names.join(" or "))
    }
}

/// Chooses the method.
///
/// # Errors
/// There is none, and why.
pub fn choose(offered: Mechanisms, wanted: Wanted, around: Around) -> Result<Mechanism, NoMethod> {
    let candidates = wanted.mechanisms().iter().copied().filter(|mechanism| offered.contains(*mechanism));
    let usable = |mechanism: &Mechanism| {
        shows_nothing(*mechanism, around) && (*mechanism != Mechanism::ScramSha256Plus || around.bindable)
    };
    if let Some(best) = candidates.clone().find(usable) {
        return Ok(best);
    }
    let shown: Mechanisms = candidates.clone().filter(|mechanism| !shows_nothing(*mechanism, around)).collect();
    Err(if !shown.is_empty() {
        NoMethod::NeedsTls(shown)
    } else if candidates.count() > 0 {
        NoMethod::Unbound
    } else {
        NoMethod::NotOffered { wanted: wanted.mechanisms().iter().copied().collect(), offered }
    })
}

/// Does nobody who reads the line learn the secret?
fn shows_nothing(mechanism: Mechanism, around: Around) -> bool {
    match mechanism {
        _ if around.secure => true,
        Mechanism::Plain | Mechanism::Login => around.clear_text,
        // The channel is the proof, or what the channel carries is as good as the account.
        Mechanism::External | Mechanism::Xoauth2 | Mechanism::OauthBearer | Mechanism::ScramSha256Plus => false,
        Mechanism::ScramSha256 | Mechanism::CramMd5 | Mechanism::Ntlm | Mechanism::Gssapi => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLEAR: Around = Around { secure: false, bindable: false, clear_text: false };
    const ALLOWED: Around = Around { clear_text: true, ..CLEAR };
    const TLS: Around = Around { secure: true, bindable: true, clear_text: false };
    const UNBOUND: Around = Around { bindable: false, ..TLS };

    fn offered(names: &str) -> Mechanisms {
        names.split(' ').filter_map(Mechanism::parse).collect()
    }

    fn chosen(names: &str, wanted: Wanted, around: Around) -> String {
        choose(offered(names), wanted, around).map_or_else(|why| why.to_string(), |best| best.to_string())
    }

    #[test]
    fn the_strongest_that_both_sides_know() {
        let all = "LOGIN PLAIN CRAM-MD5 NTLM SCRAM-SHA-256 SCRAM-SHA-256-PLUS XOAUTH2 OAUTHBEARER GSSAPI EXTERNAL";
        for (names, wanted, around, best) in [
            (all, Wanted::Password, TLS, "SCRAM-SHA-256-PLUS"),
            (all, Wanted::Password, UNBOUND, "SCRAM-SHA-256"),
            (all, Wanted::Password, CLEAR, "SCRAM-SHA-256"),
            ("LOGIN PLAIN CRAM-MD5", Wanted::Password, TLS, "CRAM-MD5"),
            ("LOGIN NTLM", Wanted::Password, TLS, "NTLM"),
            ("LOGIN XOAUTH2", Wanted::Password, TLS, "LOGIN"),
            ("LOGIN PLAIN", Wanted::Password, ALLOWED, "PLAIN"),
            (all, Wanted::Basic, TLS, "PLAIN"),
            (all, Wanted::Scram, TLS, "SCRAM-SHA-256-PLUS"),
            (all, Wanted::CramMd5, CLEAR, "CRAM-MD5"),
            (all, Wanted::Ntlm, CLEAR, "NTLM"),
            (all, Wanted::Gssapi, CLEAR, "GSSAPI"),
            (all, Wanted::External, TLS, "EXTERNAL"),
            (all, Wanted::Token, TLS, "XOAUTH2"),
            ("PLAIN OAUTHBEARER", Wanted::Token, TLS, "OAUTHBEARER"),
            (all, Wanted::OauthBearer, TLS, "OAUTHBEARER"),
        ] {
            assert_eq!(chosen(names, wanted, around), best, "{names} {wanted:?} {around:?}");
        }
    }

    #[test]
    fn where_there_is_none_it_says_why() {
        for (names, wanted, around, why) in [
            ("", Wanted::Xoauth2, TLS, "the server offers no way to log on, and XOAUTH2 is wanted"),
            (
                "PLAIN LOGIN",
                Wanted::Token,
                TLS,
                "the server offers PLAIN LOGIN to log on, and OAUTHBEARER or XOAUTH2 is wanted",
            ),
            ("LOGIN", Wanted::Password, CLEAR, "without TLS LOGIN would show the secret to whoever reads the line"),
            (
                "SCRAM-SHA-256-PLUS",
                Wanted::Scram,
                UNBOUND,
                "the server offers only SCRAM-SHA-256-PLUS, and this TLS channel cannot be bound in",
            ),
        ] {
            assert_eq!(chosen(names, wanted, around), why);
        }
    }

    #[test]
    fn no_secret_is_shown_to_whoever_reads_the_line() {
        let wanted = [
            Wanted::Password,
            Wanted::Basic,
            Wanted::Scram,
            Wanted::CramMd5,
            Wanted::Ntlm,
            Wanted::Gssapi,
            Wanted::External,
            Wanted::Token,
            Wanted::Xoauth2,
            Wanted::OauthBearer,
        ];
        for set in 0..1 << Mechanism::ALL.len() {
            let offered: Mechanisms =
                (0..Mechanism::ALL.len()).filter(|bit| set & (1 << bit) != 0).map(|bit| Mechanism::ALL[bit]).collect();
            for wanted in wanted {
                for clear_text in [false, true] {
                    let Ok(best) = choose(offered, wanted, Around { clear_text, ..CLEAR }) else { continue };
                    assert!(offered.contains(best) && wanted.mechanisms().contains(&best));
                    let password = matches!(best, Mechanism::Plain | Mechanism::Login);
                    assert!(!best.is_clear_text() || (clear_text && password), "{best}");
                }
            }
        }
    }
}
