//! Addresses of pages: names of virtual servers, files and messages as parts of a URL.
//!
//! A name may be anything that an operator or a stranger chose; here it becomes one segment, whatever is in it.

use std::fmt::Write as _;

/// The address that has these segments: `["servers", "Default SMTP Virtual Server", "queue"]`.
#[must_use]
pub fn of(segments: &[&str]) -> String {
    let mut path = String::new();
    for segment in segments {
        path.push('/');
        escape(segment, &mut path);
    }
    path
}

/// The address of something of a virtual server: `server("One", &["queue"])`.
#[must_use]
pub fn server(name: &str, rest: &[&str]) -> String {
    let mut path = of(&["servers", name]);
    path.push_str(&if rest.is_empty() { String::new() } else { of(rest) });
    path
}

/// `name=value&…` behind a question mark; values that are empty are left out. Empty if nothing is left.
#[must_use]
pub fn query(fields: &[(&str, &str)]) -> String {
    let mut query = String::new();
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        query.push(if query.is_empty() { '?' } else { '&' });
        escape(name, &mut query);
        query.push('=');
        escape(value, &mut query);
    }
    query
}

/// All but unreserved characters as `%XX`. (No file is called `..`, and no message.)
fn escape(text: &str, out: &mut String) {
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-_.~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{octet:02X}");
        }
    }
}

/// What was escaped; none: it was not, or is no text.
pub(crate) fn plain(escaped: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_segment() {
        assert_eq!(of(&[]), "");
        assert_eq!(server("Default SMTP", &["queue"]), "/servers/Default%20SMTP/queue");
        assert_eq!(of(&["a/b.eml", "x?y#z%", "ä\r\n"]), "/a%2Fb.eml/x%3Fy%23z%25/%C3%A4%0D%0A");
        assert_eq!(query(&[("sender", "a&b=c"), ("reason", ""), ("after", "1")]), "?sender=a%26b%3Dc&after=1");
        assert_eq!(query(&[("sender", "")]), "");
    }
}
