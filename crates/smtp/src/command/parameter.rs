//! The parameters of MAIL and RCPT: read, checked, each at most once.
//!
//! A parameter that is not offered, stands twice or holds nonsense fails its command; nothing is guessed or passed
//! on unread, as it would be the next hop's trouble and reach reports and queue files.
//!
//! RFC 5321 §4.1.1.11, §4.1.2; RFC 1870 §6 (SIZE), RFC 6152, 3030 (BODY), RFC 3461 §4 (DSN), RFC 4954 §5
//! (AUTH), RFC 6531 §3.4, RFC 8689 §2 (REQUIRETLS).

use super::xtext::xtext_decode;
use super::{BodyKind, CommandError, Notify, Ret};
use crate::address::Path;
use crate::extension::Extensions;

/// Characters of ENVID, as xtext (RFC 3461 §5.4).
pub const ENVID_MAX: usize = 100;
/// Characters of ORCPT with its type (RFC 3461 §5.4).
pub const ORCPT_MAX: usize = 500;

/// Characters of AUTH=, as xtext (RFC 4954 §3 lets MAIL grow by 500).
pub const SUBMITTER_MAX: usize = 500;

/// What followed the path of MAIL.
#[derive(Default)]
pub(super) struct MailParameters {
    pub(super) size: Option<u64>,
    pub(super) body: Option<BodyKind>,
    pub(super) utf8: Option<()>,
    pub(super) ret: Option<Ret>,
    pub(super) envid: Option<Box<str>>,
    pub(super) require_tls: Option<()>,
    /// AUTH=: somebody says who handed the message in first. Read and believed no further: we trust no peer to know.
    pub(super) submitter: Option<()>,
}

impl MailParameters {
    pub(super) fn parse(text: &str, offered: &Extensions) -> Result<MailParameters, CommandError> {
        let mut found = MailParameters::default();
        for (keyword, value) in parameters(text) {
            match keyword.to_ascii_uppercase().as_str() {
                "SIZE" if offered.size.is_some() => once(&mut found.size, value.and_then(size), "SIZE")?,
                "BODY" if offered.eight_bit || offered.binary => {
                    once(&mut found.body, value.and_then(body), "BODY")?;
                    let known = match found.body {
                        Some(BodyKind::EightBitMime) => offered.eight_bit,
                        Some(BodyKind::BinaryMime) => offered.binary,
                        Some(BodyKind::SevenBit) | None => true,
                    };
                    known.then_some(()).ok_or(CommandError::ParameterUnknown)?;
                }
                "SMTPUTF8" if offered.utf8 => once(&mut found.utf8, value.is_none().then_some(()), "SMTPUTF8")?,
                "RET" if offered.dsn => once(&mut found.ret, value.and_then(ret), "RET")?,
                "ENVID" if offered.dsn => once(&mut found.envid, value.and_then(envid), "ENVID")?,
                "REQUIRETLS" if offered.require_tls => {
                    once(&mut found.require_tls, value.is_none().then_some(()), "REQUIRETLS")?;
                }
                "AUTH" if offered.auth => once(&mut found.submitter, value.and_then(submitter), "AUTH")?,
                _ => return Err(CommandError::ParameterUnknown),
            }
        }
        Ok(found)
    }
}

/// What followed the path of RCPT.
#[derive(Default)]
pub(super) struct RcptParameters {
    pub(super) notify: Option<Notify>,
    pub(super) orcpt: Option<Box<str>>,
}

impl RcptParameters {
    pub(super) fn parse(text: &str, offered: &Extensions) -> Result<RcptParameters, CommandError> {
        let mut found = RcptParameters::default();
        for (keyword, value) in parameters(text) {
            match keyword.to_ascii_uppercase().as_str() {
                "NOTIFY" if offered.dsn => once(&mut found.notify, value.and_then(notify), "NOTIFY")?,
                "ORCPT" if offered.dsn => once(&mut found.orcpt, value.and_then(orcpt), "ORCPT")?,
                _ => return Err(CommandError::ParameterUnknown),
            }
        }
        Ok(found)
    }
}

/// `KEYWORD` or `KEYWORD=value`, separated by spaces.
fn parameters(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    })
}

/// Stores a value that was read; the keyword may neither come twice nor with a value that could not be read.
fn once<T>(place: &mut Option<T>, value: Option<T>, keyword: &'static str) -> Result<(), CommandError> {
    let value = value.ok_or(CommandError::Parameter(keyword))?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(CommandError::ParameterTwice(keyword)),
    }
}

/// A number beyond 2^64 is a size all the same: larger than any limit, so it saturates.
fn size(value: &str) -> Option<u64> {
    is_number(value).then(|| value.parse().unwrap_or(u64::MAX))
}

pub(super) fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

fn body(value: &str) -> Option<BodyKind> {
    match value.to_ascii_uppercase().as_str() {
        "7BIT" => Some(BodyKind::SevenBit),
        "8BITMIME" => Some(BodyKind::EightBitMime),
        "BINARYMIME" => Some(BodyKind::BinaryMime),
        _ => None,
    }
}

fn ret(value: &str) -> Option<Ret> {
    match value.to_ascii_uppercase().as_str() {
        "FULL" => Some(Ret::Full),
        "HDRS" => Some(Ret::Headers),
        _ => None,
    }
}

/// Decoded, it stands in a report's field: only printable ASCII may come out (RFC 3461 §4.4).
fn envid(value: &str) -> Option<Box<str>> {
    let decoded = xtext_decode(value)?;
    let printable = decoded.iter().all(|octet| matches!(octet, b' '..=b'~'));
    (!value.is_empty() && value.len() <= ENVID_MAX && printable).then(|| value.into())
}

/// `<>`, or an address; some write it in brackets.
fn submitter(value: &str) -> Option<()> {
    let decoded = xtext_decode(value).filter(|_| value.len() <= SUBMITTER_MAX)?;
    let text = std::str::from_utf8(&decoded).ok()?;
    let inner = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    let is_address = inner == Some("") || Path::parse(inner.unwrap_or(text)).is_ok();
    is_address.then_some(())
}

/// `type;address`. The type `utf-8` may carry characters beyond ASCII as they are (RFC 6533 §3).
fn orcpt(value: &str) -> Option<Box<str>> {
    let (kind, address) = value.split_once(';')?;
    let is_kind = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let valid = if address.is_ascii() {
        let decoded = xtext_decode(address)?;
        !decoded.is_empty() && !decoded.iter().any(u8::is_ascii_control)
    } else {
        let ascii: String = address.chars().filter(char::is_ascii).collect();
        kind.eq_ignore_ascii_case("utf-8")
            && xtext_decode(&ascii)?.iter().all(|octet| !octet.is_ascii_control())
            && !address.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    (is_kind && valid && value.len() <= ORCPT_MAX).then(|| value.into())
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::Never);
    }
    let (mut success, mut failure, mut delay) = (false, false, false);
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => success = true,
            "FAILURE" => failure = true,
            "DELAY" => delay = true,
            _ => return None,
        }
    }
    Some(Notify::On { success, failure, delay })
}
