//! PLAIN and LOGIN: the password as it is. Only for channels that nobody reads (see [`super::Mechanism::is_clear_text`]).
//!
//! RFC 4616 (PLAIN). LOGIN was never more than an Internet-Draft (draft-murchison-sasl-login); clients take its two
//! questions by their order, a few by their words, so these are the words that the old service and nearly all others say.

use super::Secret;
use std::fmt;
use zeroize::Zeroize;

/// Octets of an account's name, or of an authorization identity.
pub const ACCOUNT_NAME_MAX: usize = 255;
/// Octets of a password (RFC 4616 wants at least 255).
pub const PASSWORD_MAX: usize = 1_024;

/// LOGIN's first question.
const USER_NAME: &[u8] = b"Username:";
/// LOGIN's second question.
const PASSWORD: &[u8] = b"Password:";

/// What a client says about itself, not yet believed.
#[derive(Debug)]
pub struct Credentials {
    /// Whom it wants to act as, if it said so.
    pub act_as: Option<Box<str>>,
    /// The account.
    pub account: Box<str>,
    /// The password.
    pub password: Secret,
}

/// The message is not what the method wants at this point.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the message does not belong to this method")
    }
}

impl std::error::Error for Malformed {}

/// Reads PLAIN's message: `[authzid] NUL authcid NUL password`.
///
/// # Errors
/// It has not two NULs, an empty or too long part, or is not UTF-8.
pub fn plain(mut message: Vec<u8>) -> Result<Credentials, Malformed> {
    let credentials = split_plain(&message);
    message.zeroize();
    credentials
}

fn split_plain(message: &[u8]) -> Result<Credentials, Malformed> {
    let mut parts = message.split(|octet| *octet == 0);
    let (Some(act_as), Some(account), Some(password), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed);
    };
    let act_as = if act_as.is_empty() { None } else { Some(name(act_as)?) };
    Ok(Credentials { act_as, account: name(account)?, password: self::password(password.to_vec())? })
}

/// An account's name: UTF-8, not empty, not too long, without control characters.
pub(super) fn name(octets: &[u8]) -> Result<Box<str>, Malformed> {
    let text = std::str::from_utf8(octets).map_err(|_| Malformed)?;
    if text.is_empty() || text.len() > ACCOUNT_NAME_MAX || text.chars().any(char::is_control) {
        return Err(Malformed);
    }
    Ok(text.into())
}

fn password(octets: Vec<u8>) -> Result<Secret, Malformed> {
    let secret = Secret::new(octets);
    let length = secret.reveal().len();
    if length == 0 || length > PASSWORD_MAX || secret.reveal().contains(&0) || secret.text().is_none() {
        return Err(Malformed);
    }
    Ok(secret)
}

/// LOGIN: asks for the name, then for the password.
#[derive(Debug)]
pub enum Login {
    /// Nothing is known yet.
    Begun,
    /// The name has come.
    Named(Box<str>),
}

/// What LOGIN says next.
#[derive(Debug)]
pub enum LoginStep {
    /// Ask this and bring the answer.
    Ask(&'static [u8]),
    /// All has come.
    Done(Credentials),
}

impl Login {
    /// Takes the initial response (the name, as a few clients send it), or none.
    ///
    /// # Errors
    /// The name cannot be one.
    pub fn begin(initial: Option<Vec<u8>>) -> Result<(Login, LoginStep), Malformed> {
        match initial.filter(|name| !name.is_empty()) {
            None => Ok((Login::Begun, LoginStep::Ask(USER_NAME))),
            Some(octets) => Ok((Login::Named(name(trimmed(&octets))?), LoginStep::Ask(PASSWORD))),
        }
    }

    /// Takes the next answer.
    ///
    /// # Errors
    /// The name or the password cannot be one.
    pub fn step(&mut self, answer: Vec<u8>) -> Result<LoginStep, Malformed> {
        match self {
            Login::Begun => {
                *self = Login::Named(name(trimmed(&answer))?);
                Ok(LoginStep::Ask(PASSWORD))
            }
            Login::Named(account) => {
                let password = password(answer)?;
                Ok(LoginStep::Done(Credentials { act_as: None, account: account.clone(), password }))
            }
        }
    }
}

/// A few old clients end the name with a NUL, as the questions of the draft end.
fn trimmed(octets: &[u8]) -> &[u8] {
    octets.strip_suffix(&[0]).unwrap_or(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_plain() {
        // RFC 4616 §4
        let tim = plain(b"\0tim\0tanstaaftanstaaf".to_vec()).unwrap();
        assert_eq!((tim.act_as, &*tim.account, tim.password.reveal()), (None, "tim", &b"tanstaaftanstaaf"[..]));
        let kurt = plain(b"Ursel\0Kurt\0xipj3plmq".to_vec()).unwrap();
        assert_eq!(kurt.act_as.as_deref(), Some("Ursel"));
        assert_eq!((&*kurt.account, kurt.password.reveal()), ("Kurt", &b"xipj3plmq"[..]));
        let utf8 = plain("\0andré\0pä$$".as_bytes().to_vec()).unwrap();
        assert_eq!((&*utf8.account, utf8.password.text()), ("andré", Some("pä$$")));
    }

    #[test]
    fn plain_refuses_every_field_out_of_range() {
        let long = "x".repeat(256);
        let longest = "p".repeat(1_025);
        for message in [
            "".to_owned(),
            "\0".to_owned(),
            "\0\0".to_owned(),
            "\0\0secret".to_owned(),
            "\0tim\0".to_owned(),
            "tim\0secret".to_owned(),
            "\0tim\0secret\0".to_owned(),
            "\0tim\0sec\0ret".to_owned(),
            format!("\0{long}\0secret"),
            format!("{long}\0tim\0secret"),
            format!("\0tim\0{longest}"),
            "\0ti\nm\0secret".to_owned(),
            "ti\rm\0tim\0secret".to_owned(),
        ] {
            assert_eq!(plain(message.clone().into_bytes()).err(), Some(Malformed), "{message:?}");
        }
        assert!(plain(b"\0tim\0\xff\xfe".to_vec()).is_err());
        assert!(plain(b"\0t\xffm\0secret".to_vec()).is_err());
    }

    fn ask(step: &LoginStep) -> &'static [u8] {
        match step {
            LoginStep::Ask(question) => question,
            LoginStep::Done(_) => panic!("done too early"),
        }
    }

    #[test]
    fn login_asks_twice() {
        let (mut login, first) = Login::begin(None).unwrap();
        assert_eq!(ask(&first), USER_NAME);
        assert_eq!(ask(&login.step(b"tim\0".to_vec()).unwrap()), PASSWORD);
        let LoginStep::Done(tim) = login.step(b"secret".to_vec()).unwrap() else { panic!() };
        assert_eq!((&*tim.account, tim.password.reveal()), ("tim", &b"secret"[..]));
    }

    #[test]
    fn login_takes_the_name_at_once() {
        let (mut login, first) = Login::begin(Some(b"tim".to_vec())).unwrap();
        assert_eq!(ask(&first), PASSWORD);
        assert!(matches!(login.step(b"secret".to_vec()).unwrap(), LoginStep::Done(_)));
    }

    #[test]
    fn login_refuses_what_is_no_name_and_no_password() {
        for name in [&b""[..], b"\0", b"a\0b", b"\xff", b"a\nb"] {
            let (mut login, _) = Login::begin(None).unwrap();
            assert!(login.step(name.to_vec()).is_err(), "{name:?}");
        }
        for password in [&b""[..], b"a\0b", b"\xff", &[b'x'; 1_025]] {
            let (mut login, _) = Login::begin(Some(b"tim".to_vec())).unwrap();
            assert!(login.step(password.to_vec()).is_err(), "{password:?}");
        }
    }

    #[test]
    fn the_password_is_not_printed() {
        let tim = plain(b"\0tim\0secret".to_vec()).unwrap();
        assert!(!format!("{tim:?}").contains("secret"));
        assert!(!format!("{tim:?}").contains("115, 101"));
    }
}
