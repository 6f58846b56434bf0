//! The part for programs: message/delivery-status, or message/global-delivery-status when an address is beyond ASCII.
//!
//! RFC 3464 §2.1–§2.3; RFC 6533 §3 and §4; RFC 3461 §4.2, §4.4 and §6.3 (ENVID and ORCPT come as xtext).

use super::{About, Report, broken, one_line};
use std::fmt::Write;

/// Octets of a remote reply in Diagnostic-Code.
const DIAGNOSTIC_MAX: usize = 2_000;
/// Octets of any other value.
const VALUE_MAX: usize = 600;
/// Where a line is folded.
const WIDTH: usize = 76;

/// The part's type and its fields.
pub(super) fn fields(report: &Report<'_>) -> (&'static str, String) {
    let global = is_global(report);
    let mut out = Fields { text: String::new(), global };
    out.add("Reporting-MTA", "dns;", report.reporting_mta.as_str(), VALUE_MAX);
    if let Some(envid) = report.envid.as_deref().and_then(from_xtext) {
        out.add("Original-Envelope-Id", "", &envid, VALUE_MAX);
    }
    if let Some(name) = report.received_from_mta.as_deref().filter(|name| !name.trim().is_empty()) {
        out.add("Received-From-MTA", "dns;", name, VALUE_MAX);
    }
    out.add("Arrival-Date", "", &report.arrived.rfc5322(), VALUE_MAX);
    for about in &report.recipients {
        out.text.push_str("\r\n");
        out.recipient(report, about);
    }
    let content_type = if global { "message/global-delivery-status" } else { "message/delivery-status" };
    (content_type, out.text)
}

/// Must the fields be able to hold UTF-8? Only an address makes it so; a remote host's words do not.
pub(super) fn is_global(report: &Report<'_>) -> bool {
    report
        .recipients
        .iter()
        .any(|about| !about.address.is_ascii() || about.orcpt.as_deref().is_some_and(|orcpt| !orcpt.is_ascii()))
}

struct Fields {
    text: String,
    global: bool,
}

impl Fields {
    fn recipient(&mut self, report: &Report<'_>, about: &About) {
        if let Some((kind, address)) = about.orcpt.as_deref().and_then(original_recipient) {
            self.add("Original-Recipient", &format!("{kind};"), &address, VALUE_MAX);
        }
        let kind = if about.address.is_ascii() { "rfc822;" } else { "utf-8;" };
        self.add("Final-Recipient", kind, &about.address.to_string(), VALUE_MAX);
        let _ = write!(self.text, "Action: {}\r\nStatus: {}\r\n", report.kind.action(), about.status);
        if let Some(host) = about.host.as_deref().and_then(host_name) {
            self.add("Remote-MTA", "dns;", host, VALUE_MAX);
        }
        if let Some(reply) = &about.reply {
            self.add("Diagnostic-Code", "smtp;", &reply.one_line(), DIAGNOSTIC_MAX);
        }
        if let Some(attempted) = about.attempted {
            self.add("Last-Attempt-Date", "", &attempted.rfc5322(), VALUE_MAX);
        }
        if let Some(until) = about.retry_until {
            self.add("Will-Retry-Until", "", &until.rfc5322(), VALUE_MAX);
        }
    }

    /// One field, folded, with nothing in its value that could end it.
    fn add(&mut self, name: &str, prefix: &str, value: &str, max: usize) {
        let mut value = one_line(value.trim(), max);
        if !self.global {
            value = value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        }
        let line = format!("{name}: {prefix}{value}");
        self.text.push_str(&broken(&line, WIDTH).join("\r\n "));
        self.text.push_str("\r\n");
    }
}

/// The name, or the address in brackets, of `name [address]:port`; `None` for what is neither, as a socket's path.
fn host_name(host: &str) -> Option<&str> {
    let first = host.split_whitespace().next()?;
    let end = match first.starts_with('[') {
        true => first.find(']')? + 1,
        false => first.find(':').unwrap_or(first.len()),
    };
    let name = &first[..end];
    let is_host = |c: char| c.is_alphanumeric() || "-._[]:".contains(c);
    (!name.is_empty() && name.chars().all(is_host)).then_some(name)
}

/// ORCPT's address type and address, decoded; `None` if it is not of that form.
fn original_recipient(orcpt: &str) -> Option<(String, String)> {
    let (kind, address) = orcpt.split_once(';')?;
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if kind.is_empty() || kind.len() > 64 || !kind.bytes().all(is_atom) || address.is_empty() {
        return None;
    }
    // A utf-8 address has its own escapes, which stay (RFC 6533 §3).
    let address = if kind.eq_ignore_ascii_case("utf-8") { address.to_owned() } else { from_xtext(address)? };
    Some((kind.to_ascii_lowercase(), address))
}

/// Undoes xtext: `+2B` is `+` (RFC 3461 §4). What is not ASCII or a control character then is shown as `?`.
fn from_xtext(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(plus) = rest.find('+') {
        out.push_str(&rest[..plus]);
        let digits = rest.get(plus + 1..plus + 3)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let octet = u8::from_str_radix(digits, 16).ok()?;
        out.push(if (0x20..0x7f).contains(&octet) { char::from(octet) } else { '?' });
        rest = &rest[plus + 3..];
    }
    out.push_str(rest);
    (!out.is_empty()).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xtext_is_undone_and_made_harmless() {
        assert_eq!(from_xtext("a+2Bb+40c").as_deref(), Some("a+b@c"));
        assert_eq!(from_xtext("a+0D+0AX: y+00").as_deref(), Some("a??X: y?"));
        assert_eq!(from_xtext("+C3+BC").as_deref(), Some("??"));
        for bad in ["+", "a+2", "+zz", "+2é", ""] {
            assert_eq!(from_xtext(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address() {
        for (host, name) in [
            ("mx.test [192.0.2.1]:25", Some("mx.test")),
            ("mx.test:25", Some("mx.test")),
            ("[192.0.2.1]:25", Some("[192.0.2.1]")),
            ("[IPv6:2001:db8::1]:25", Some("[IPv6:2001:db8::1]")),
            ("mx.test", Some("mx.test")),
            ("/run/lmtp", None),
            ("a;b", None),
            ("", None),
        ] {
            assert_eq!(host_name(host), name);
        }
    }

    #[test]
    fn an_original_recipient_has_a_type() {
        let some = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(original_recipient("RFC822;a+2Bb@c.test"), some("rfc822", "a+b@c.test"));
        assert_eq!(original_recipient("utf-8;a+b\\x{FC}@c.test"), some("utf-8", "a+b\\x{FC}@c.test"));
        for bad in ["a@b.test", ";a@b.test", "rfc822;", "rfc 822;a", "r\r\n;x"] {
            assert_eq!(original_recipient(bad), None, "{bad}");
        }
    }
}
