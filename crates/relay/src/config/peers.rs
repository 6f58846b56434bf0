//! Lists of peers: "only the list below", "all except the list below".
//!
//! An entry is an address, a network, a domain (it and every name below it), or a client certificate. A domain stands for
//! peers whose address has a name there *and* whose name has that address (forward-confirmed reverse DNS); it is asked for
//! only where such an entry exists. When the DNS does not answer, no domain matches.
//!
//! IIS: Access tab, Connection control and Relay restrictions: single computer, group of computers, domain.

use super::Network;
use super::domains::plain_domain;
use super::read::{Fault, Placed, Reader, Table};
use super::settings::{Setting, Unit};
use smtp::address::Domain;
use std::fmt;
use std::net::IpAddr;
use toml::Spanned;
use toml::de::DeValue;

/// "Only the list below" or "all except the list below".
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AccessList {
    /// Only these.
    Only(Vec<Entry>),
    /// All but these.
    AllExcept(Vec<Entry>),
}

impl AccessList {
    /// The entries, whatever the sense of the list.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match self {
            AccessList::Only(entries) | AccessList::AllExcept(entries) => entries,
        }
    }

    /// Does it have an entry for which the peer's name must be known?
    #[must_use]
    pub fn needs_name(&self) -> bool {
        self.entries().iter().any(|entry| matches!(entry, Entry::Domain(_)))
    }
}

/// One line of such a list.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Entry {
    /// An address or a network.
    Network(Network),
    /// A domain and all below it.
    Domain(Domain),
    /// A client certificate, by its fingerprint.
    Certificate(Fingerprint),
    /// A client certificate of a trusted authority, by a name in it; in lower case.
    CertificateName(Box<str>),
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Network(network) => network.fmt(f),
            Entry::Domain(domain) => domain.fmt(f),
            Entry::Certificate(print) => write!(f, "the certificate {print}"),
            Entry::CertificateName(name) => write!(f, "the certificate of {name}"),
        }
    }
}

/// SHA-256 of a certificate in DER.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// A text that is no fingerprint; printed, what to write.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct NoFingerprint;

impl fmt::Display for NoFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "write \"sha256:\" and the 64 hexadecimal digits that \
             `openssl x509 -noout -fingerprint -sha256 -in FILE` prints",
        )
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = NoFingerprint;

    /// Reads `sha256:` and 64 hexadecimal digits, with or without colons between them.
    fn from_str(text: &str) -> Result<Fingerprint, NoFingerprint> {
        let text = text.trim();
        let digits = text.get(..7).filter(|head| head.eq_ignore_ascii_case("sha256:")).and_then(|_| text.get(7..));
        let digits: Vec<u32> =
            digits.ok_or(NoFingerprint)?.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let given = text.chars().skip(7).filter(|c| *c != ':').count();
        if digits.len() != 64 || given != 64 {
            return Err(NoFingerprint);
        }
        let mut octets = [0; 32];
        for (octet, pair) in octets.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = u8::try_from(pair[0] << 4 | pair[1]).unwrap_or_default();
        }
        Ok(Fingerprint(octets))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A list as it was read: its entries with their places, and whether each of them could be read.
pub(super) struct Draft {
    pub(super) entries: Vec<Placed<Entry>>,
    pub(super) is_whole: bool,
}

/// The entries of a list setting; `None` if it is not written.
pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &'static Setting) -> Option<Draft> {
    let Unit::List(unit, _) = setting.unit else { return None };
    let items = reader.items(table, setting, true)?;
    let mut entries = Vec::with_capacity(items.len());
    let given = items.len();
    for item in items {
        entries.extend(match item.get_ref() {
            DeValue::Table(_) if *unit == Unit::PeerOrCertificate => certificate(reader, item, setting),
            _ => reader.text_of(item, setting, *unit).and_then(|text| reader.parsed(text, setting, entry)),
        });
    }
    let is_whole = entries.len() == given;
    Some(Draft { entries, is_whole })
}

/// `{ certificate = "sha256:…" }` or `{ certificate_name = "…" }`
fn certificate(
    reader: &mut Reader<'_>,
    item: &Spanned<DeValue<'_>>,
    setting: &'static Setting,
) -> Option<Placed<Entry>> {
    let DeValue::Table(entries) = item.get_ref() else { return None };
    let table = Table::new(entries, &item.span());
    reader.refuse_unknown(table, &["certificate", "certificate_name"], setting.name);
    let value = |key: &str| table.get(key);
    match (value("certificate"), value("certificate_name")) {
        (Some(print), None) => {
            let text = reader.text_of(print, setting, Unit::Text)?;
            let print = reader.parsed(text, setting, |text| {
                text.parse().map_err(|error: NoFingerprint| Fault::new("it is no fingerprint", error.to_string()))
            })?;
            Some(Placed { value: Entry::Certificate(print.value), span: item.span() })
        }
        (None, Some(name)) => {
            let text = reader.text_of(name, setting, Unit::Text)?;
            let name = reader.parsed(text, setting, certificate_name)?;
            Some(Placed { value: Entry::CertificateName(name.value), span: item.span() })
        }
        _ => {
            let hint = "write { certificate = \"sha256:…\" } or { certificate_name = \"app.example.com\" }";
            reader.problems.note(item.span(), "an entry names one certificate, in one way", hint);
            None
        }
    }
}

fn certificate_name(text: &str) -> Result<Box<str>, Fault> {
    let name = text.trim().to_lowercase();
    if name.contains('*') {
        return Err(Fault::new("an asterisk has no meaning here", "write the name as it stands in the certificate"));
    }
    Ok(name.into())
}

/// An address, a network or a domain.
fn entry(text: &str) -> Result<Entry, Fault> {
    let text = text.trim();
    if text.is_empty() || text.chars().all(|c| c == '.' || c == '*') {
        let hint = "write addresses, networks and domains; for everybody write `all_except = []`";
        return Err(Fault::new("every name ends so", hint));
    }
    let is_numeric = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    let looks_like_address = text.contains(['/', ':', '['])
        || text.parse::<IpAddr>().is_ok()
        || text.trim_end_matches('.').rsplit('.').next().is_some_and(is_numeric);
    if looks_like_address {
        return Network::parse(text).map(Entry::Network);
    }
    if let Some(name) = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')) {
        return Err(Fault::new("a domain stands for all below it anyway", format!("write \"{name}\"")));
    }
    plain_domain(text).map(Entry::Domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_entry(text: &str) -> String {
        entry(text).map_or_else(|fault| format!("{}: {}", fault.text, fault.hint), |entry| entry.to_string())
    }

    #[test]
    fn entries_are_addresses_networks_and_domains() {
        for (text, entry) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("Example.COM.", "example.com"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(read_entry(text), entry);
        }
        for (text, words) in [
            (".", "every name ends so"),
            ("*", "every name ends so"),
            ("*.", "every name ends so"),
            ("*.example.com", "write \"example.com\""),
            (".example.com", "write \"example.com\""),
            ("10.0.0", "no address and no network"),
            ("10.0.0.0/255.0.0.0", "\"10.0.0.0/8\""),
            ("192.0.2.1:25", "no address and no network"),
        ] {
            let read = read_entry(text);
            assert!(read.contains(words), "{text}: {read}");
        }
    }

    #[test]
    fn fingerprints_are_read_as_the_tools_print_them() {
        let plain = format!("sha256:{}", "0a".repeat(32));
        let colons = format!("SHA256:{}", ["0A"; 32].join(":"));
        for text in [&plain, &colons] {
            assert_eq!(text.parse().ok(), Some(Fingerprint([10; 32])), "{text}");
        }
        assert_eq!(Fingerprint([10; 32]).to_string(), plain);
        for text in
            ["", "sha256:", "sha1:00", &plain[..70], &format!("{plain}0"), &"0a".repeat(32), "sha256:é", "sha25é:"]
        {
            assert_eq!(text.parse::<Fingerprint>(), Err(NoFingerprint), "{text}");
        }
    }
}
