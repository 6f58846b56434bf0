//! `[dns]`: whom to ask.

use super::Dns;
use super::read::{Fault, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
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
    Dns { servers: servers.unwrap_or_default().into_iter().map(|server| server.value).collect() }
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
