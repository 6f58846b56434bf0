//! The General tab: where to listen, how many may come, how long they may be silent.

use super::dns::socket;
use super::quantity::{DAY, MINUTE};
use super::read::{Placed, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{CONNECTIONS_CEILING, General};
use smtp::body::BareNewlines;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// `general.listen`
pub static LISTEN: Setting = Setting {
    name: "general.listen",
    tab: Tab::General,
    label: "IP address, Advanced: addresses and ports",
    unit: Unit::List(&Unit::Socket, 64),
    default: Preset::Text("[\"0.0.0.0:25\"]"),
    range: Range::Any,
    help: "`0.0.0.0` listens on all IPv4 addresses (the old \"All Unassigned\"), `[::]` on all IPv6 addresses and on those \
only; write both for both. No two listeners may overlap, within a virtual server or between them. Port 0 takes any free port, for tests.",
};

/// `general.connections_max`
pub static CONNECTIONS_MAX: Setting = Setting {
    name: "general.connections_max",
    tab: Tab::General,
    label: "Limit number of connections to",
    unit: Unit::Count,
    default: Preset::Number(1_000),
    range: Range::BetweenOrUnlimited(1, CONNECTIONS_CEILING as u64),
    help: "Inbound connections at a time; further ones get 421 and are closed. `\"unlimited\"` means 20000, the program's own \
bound. The old service had no limit unless the box was ticked, and then proposed 1000: here the box is ticked, because a relay \
without a limit can be brought down by anybody who reaches its port.",
};

/// `general.timeout`
pub static TIMEOUT: Setting = Setting {
    name: "general.timeout",
    tab: Tab::General,
    label: "Connection time-out",
    unit: Unit::Time,
    default: Preset::Number(10 * MINUTE),
    range: Range::Between(1, DAY),
    help: "Inactivity after which an inbound session ends with 421. RFC 5321 asks for at least 5 minutes.",
};

/// `general.bare_newlines`
pub static BARE_NEWLINES: Setting = Setting {
    name: "general.bare_newlines",
    tab: Tab::General,
    label: "Lines that do not end with CRLF",
    unit: Unit::Choice,
    default: Preset::Text("\"reject\""),
    range: Range::OneOf(&["reject", "normalize"]),
    help: "`\"reject\"` refuses a message with a bare LF. `\"normalize\"` turns a bare LF into CRLF, for old devices and scripts. A bare \
CR or a NUL is refused either way: repairing those lets a second message be smuggled past the next host. The old service let \
all of them through, which is unsafe today.",
};

/// What was read, and where the listeners stand in the file.
pub(super) fn read(reader: &mut Reader<'_>, table: Table<'_, '_>) -> (General, Vec<Placed<SocketAddr>>) {
    let listen = reader.list(table, &LISTEN, false, |text| socket(text, 25)).unwrap_or_else(|| {
        let value = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 25);
        vec![Placed { value, span: table.span() }]
    });
    let general = General {
        listen: listen.iter().map(|address| address.value).collect(),
        connections_max: reader.limit(table, &CONNECTIONS_MAX).and_then(|n| u32::try_from(n).ok()),
        timeout: Duration::from_secs(reader.number(table, &TIMEOUT)),
        bare_newlines: match reader.choice(table, &BARE_NEWLINES) {
            Some(1) => BareNewlines::Normalize,
            _ => BareNewlines::Reject,
        },
    };
    (general, listen)
}
