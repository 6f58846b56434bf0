//! `[dns]`: whom to ask, and whether to believe.

use super::read::{Fault, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{Dns, Dnssec};
use std::net::{IpAddr, SocketAddr};

/// `dns.servers`
pub static SERVERS: Setting = Setting {
    name: "dns.servers",
    tab: Tab::Dns,
    label: "DNS servers",
    unit: Unit::List(&Unit::Socket, 8),
    default: Preset::Follows("the system's"),
    range: Range::Any,
    help: "Resolvers to ask, in order. Each is an address with its port; the port is usually 53.",
};

/// `dns.dnssec`
pub static DNSSEC: Setting = Setting {
    name: "dns.dnssec",
    tab: Tab::Dns,
    label: "DNSSEC",
    unit: Unit::Choice,
    default: Preset::Text("\"off\""),
    range: Range::OneOf(&["off", "validate", "trust_ad"]),
    help: "How signed answers are checked. `\"validate\"`: here. `\"trust_ad\"`: by the resolvers of `dns.servers`, which say so in their \
answers (AD); only for one on this machine, or behind a way that nobody can tamper with. Unless it is off, certificates that domains publish in \
DNS (DANE) are demanded from their mail hosts.",
};

/// `dns.trust_anchor`
pub static TRUST_ANCHOR: Setting = Setting {
    name: "dns.trust_anchor",
    tab: Tab::Dns,
    label: "DNSSEC: trust anchor",
    unit: Unit::File,
    default: Preset::Follows("the keys of the root"),
    range: Range::Any,
    help: "A file with the DNSKEY records that `dnssec = \"validate\"` begins with, as in a zone file, for a root of one's own.",
};

pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Dns {
    let servers = reader.list(table, &SERVERS, false, |text| {
        socket(text, 53).and_then(|address| match address {
            address if address.port() == 0 => Err(Fault::new("port 0 is no port", "write port 53, or its own")),
            address if address.ip().is_unspecified() => {
                Err(Fault::new("nobody can be reached there", "write the resolver's address"))
            }
            address => Ok(address),
        })
    });
    let dnssec = match reader.choice(table, &DNSSEC) {
        Some(1) => Dnssec::Validate,
        Some(2) => Dnssec::TrustAd,
        _ => Dnssec::Off,
    };
    let trust_anchor = reader.folder(table, &TRUST_ANCHOR);
    if let Some(span) = table.place_of(&TRUST_ANCHOR).filter(|_| dnssec != Dnssec::Validate) {
        let text = "`dns.trust_anchor` has no meaning unless signatures are checked here";
        reader.problems.note(span, text, "write dnssec = \"validate\", or take it out");
    }
    Dns { servers: servers.unwrap_or_default().into_iter().map(|server| server.value).collect(), dnssec, trust_anchor }
}

/// An address with its port; `usual` is shown when the port is missing.
pub(super) fn socket(text: &str, usual: u16) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let hint = format!("write \"{}\"", SocketAddr::new(ip, usual));
        return Err(Fault::new("the port is missing", hint));
    }
    if let Some(port) = text.strip_prefix("*:").or_else(|| text.strip_prefix(':'))
        && port.parse::<u16>().is_ok()
    {
        return Err(Fault::new("the address is missing", format!("write \"0.0.0.0:{port}\" for all addresses")));
    }
    Err(Fault::new(
        "it is no address with a port",
        format!("write an address, not a name, as \"192.0.2.1:{usual}\" or \"[2001:db8::1]:{usual}\""),
    ))
}
