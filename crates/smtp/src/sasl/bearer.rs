//! XOAUTH2 and OAUTHBEARER: a token that an identity provider has signed, in the two forms in which clients send it.
//!
//! Only the form is read here; whether the token holds is another matter. When it does not, the client is told why in a
//! challenge ([`failure`]), answers it with nothing of interest, and is refused then.
//!
//! RFC 7628 (OAUTHBEARER); XOAUTH2 as Google and Microsoft describe it for IMAP and SMTP.

use super::Secret;
use super::clear::{Malformed, name};
use zeroize::Zeroize;

/// Octets of a token.
pub const TOKEN_MAX: usize = 8_192;

/// What a client shows.
#[derive(Debug)]
pub struct Bearer {
    /// Whose token it says it is; XOAUTH2 always says so.
    pub user: Option<Box<str>>,
    /// The token.
    pub token: Secret,
}

/// Reads XOAUTH2's message: `user=NAME ^A auth=Bearer TOKEN ^A ^A`.
///
/// # Errors
/// It is none.
pub fn xoauth2(mut message: Vec<u8>) -> Result<Bearer, Malformed> {
    let bearer = read_xoauth2(&message);
    message.zeroize();
    bearer
}

fn read_xoauth2(message: &[u8]) -> Result<Bearer, Malformed> {
    let inner = message.strip_prefix(b"user=").and_then(|rest| rest.strip_suffix(b"\x01\x01")).ok_or(Malformed)?;
    let mut parts = inner.split(|octet| *octet == 1);
    let (Some(user), Some(auth), None) = (parts.next(), parts.next(), parts.next()) else { return Err(Malformed) };
    let auth = auth.strip_prefix(b"auth=").ok_or(Malformed)?;
    Ok(Bearer { user: Some(name(user)?), token: token(auth)? })
}

/// Reads OAUTHBEARER's message: `n,a=NAME, ^A auth=Bearer TOKEN ^A ^A`, with other keys (`host`, `port`) between.
///
/// # Errors
/// It is none.
pub fn oauthbearer(mut message: Vec<u8>) -> Result<Bearer, Malformed> {
    let bearer = read_oauthbearer(&message);
    message.zeroize();
    bearer
}

fn read_oauthbearer(message: &[u8]) -> Result<Bearer, Malformed> {
    let inner = message.strip_suffix(b"\x01\x01").ok_or(Malformed)?;
    let mut parts = inner.split(|octet| *octet == 1);
    let header = parts.next().and_then(|header| std::str::from_utf8(header).ok()).ok_or(Malformed)?;
    let mut fields = header.split(',');
    let (Some("n" | "y"), Some(user), Some(""), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(Malformed);
    };
    let user = match user.strip_prefix("a=") {
        Some(user) => Some(name(user.replace("=2C", ",").replace("=3D", "=").as_bytes())?),
        None if user.is_empty() => None,
        None => return Err(Malformed),
    };
    let mut found = None;
    for part in parts {
        let at = part.iter().position(|octet| *octet == b'=').ok_or(Malformed)?;
        let (key, value) = (&part[..at], &part[at + 1..]);
        if key.is_empty() || !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(Malformed);
        }
        if key == b"auth" && found.replace(token(value)?).is_some() {
            return Err(Malformed);
        }
    }
    Ok(Bearer { user, token: found.ok_or(Malformed)? })
}

/// `Bearer TOKEN` (RFC 6750 §2.1).
fn token(value: &[u8]) -> Result<Secret, Malformed> {
    let (scheme, token) = value.split_at_checked(7).ok_or(Malformed)?;
    let is_token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-._~+/=".contains(octet);
    let sound = scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty() && token.len() <= TOKEN_MAX;
    if !sound || !token.iter().all(is_token) {
        return Err(Malformed);
    }
    Ok(Secret::new(token.to_vec()))
}

/// What a client is told of a token that does not hold (RFC 7628 §3.2.2).
#[must_use]
pub fn failure() -> Vec<u8> {
    br#"{"status":"invalid_token","schemes":"bearer"}"#.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let google = xoauth2(
            b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01".to_vec(),
        )
        .unwrap();
        assert_eq!(google.user.as_deref(), Some("someuser@example.com"));
        assert_eq!(google.token.text(), Some("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"));
        // RFC 7628 §4.1
        let rfc = oauthbearer(b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01".to_vec()).unwrap();
        assert_eq!(
            (rfc.user.as_deref(), rfc.token.text()),
            (Some("user@example.com"), Some("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="))
        );
        assert!(oauthbearer(b"n,,\x01auth=bearer x\x01\x01".to_vec()).unwrap().user.is_none());
        assert_eq!(
            oauthbearer(b"y,a=a=2Cb=3Dc,\x01auth=Bearer x\x01\x01".to_vec()).unwrap().user.as_deref(),
            Some("a,b=c")
        );
        assert!(!format!("{google:?}").contains("ya29"));
    }

    #[test]
    fn every_field_is_checked() {
        let long = format!("user=a\x01auth=Bearer {}\x01\x01", "x".repeat(TOKEN_MAX + 1));
        for message in [
            "",
            "user=a",
            "user=a\x01\x01",
            "user=a\x01auth=Bearer x\x01",
            "user=\x01auth=Bearer x\x01\x01",
            "user=a\x01auth=Basic x\x01\x01",
            "user=a\x01auth=Bearer \x01\x01",
            "user=a\x01auth=Bearer x y\x01\x01",
            "user=a\x01auth=Bearer x\x01b=c\x01\x01",
            "user=a\n\x01auth=Bearer x\x01\x01",
            "user=a\x01auth=Bear\x01\x01",
            "user=a\x01auth=Bearer x\r\n\x01\x01",
            "usr=a\x01auth=Bearer x\x01\x01",
            &long,
        ] {
            assert!(xoauth2(message.as_bytes().to_vec()).is_err(), "{message:?}");
        }
        for message in [
            "",
            "\x01\x01",
            "n,,\x01\x01",
            "n,,\x01auth=Bearer x\x01",
            "p=tls-exporter,,\x01auth=Bearer x\x01\x01",
            "n,,x\x01auth=Bearer x\x01\x01",
            "n,b=c,\x01auth=Bearer x\x01\x01",
            "n,a=,\x01auth=Bearer x\x01\x01",
            "n,\x01auth=Bearer x\x01\x01",
            "n,,\x01auth\x01\x01",
            "n,,\x01=x\x01auth=Bearer x\x01\x01",
            "n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01",
            "n,,\x01host=a\x01\x01",
            "n,,\x01a1=b\x01auth=Bearer x\x01\x01",
        ] {
            assert!(oauthbearer(message.as_bytes().to_vec()).is_err(), "{message:?}");
        }
        assert!(oauthbearer(b"n,a=\xff,\x01auth=Bearer x\x01\x01".to_vec()).is_err());
    }

    #[test]
    fn the_answer_to_a_bad_token_is_json() {
        assert!(failure().starts_with(b"{\"status\":\"invalid_token\""));
    }
}
