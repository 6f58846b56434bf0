//! The General tab: where to listen, how many may come, how long they may be silent.

use super::dns::socket;
use super::quantity::{DAY, MINUTE};
use super::read::{Placed, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use super::{CONNECTIONS_CEILING, General, Listener, ListenerTls};
use smtp::body::BareNewlines;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use toml::de::DeValue;

/// `general.listen`
pub static LISTEN: Setting = Setting {
    name: "general.listen",
    tab: Tab::General,
    label: "IP address, Advanced: addresses and ports",
    unit: Unit::List(&Unit::Listener, 64),
    default: Preset::Text("[\"0.0.0.0:25\"]"),
    range: Range::Any,
    help: "`0.0.0.0` listens on all IPv4 addresses (the old \"All Unassigned\"), `[::]` on all IPv6 addresses and on those \
only; write both for both. No two listeners may overlap, within a virtual server or between them. Port 0 takes any free port, for tests. \
A listener that differs from the others is a table with `address` and what holds there.",
};

/// `general.listen.address`
pub static LISTEN_ADDRESS: Setting = Setting {
    name: "general.listen.address",
    tab: Tab::General,
    label: "IP address, Advanced: the address and port of one listener",
    unit: Unit::Socket,
    default: Preset::Follows("must be written, where a listener is a table"),
    range: Range::Any,
    help: "As `listen = [\"0.0.0.0:25\", { address = \"0.0.0.0:587\", tls = \"starttls_required\", authentication_required = true }]`.",
};

/// `general.listen.tls`
pub static LISTEN_TLS: Setting = Setting {
    name: "general.listen.tls",
    tab: Tab::General,
    label: "Secure communication of one listener: require TLS encryption",
    unit: Unit::Choice,
    default: Preset::Follows(
        "`\"starttls\"` if the virtual server has a certificate (`access.certificate`), else `\"plain\"`",
    ),
    range: Range::OneOf(&["plain", "starttls", "starttls_required", "implicit"]),
    help: "`\"plain\"` has no TLS; `\"starttls\"` offers it; `\"starttls_required\"` takes no mail without it (530 5.7.0); `\"implicit\"` \
begins with it, as on port 465. A listener that asks for TLS and has no usable certificate is not opened; the others are.",
};

/// `general.listen.authentication_required`
pub static LISTEN_AUTHENTICATION_REQUIRED: Setting = Setting {
    name: "general.listen.authentication_required",
    tab: Tab::General,
    label: "Authentication of one listener: nobody without",
    unit: Unit::Switch,
    default: Preset::Switch(false),
    range: Range::Any,
    help: "Here nobody may send without having authenticated, as on a submission port; MAIL gets 530 5.7.0.",
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

/// `general.greeting_delay`
pub static GREETING_DELAY: Setting = Setting {
    name: "general.greeting_delay",
    tab: Tab::General,
    label: "Wait before the greeting",
    unit: Unit::Time,
    default: Preset::Number(0),
    range: Range::Between(0, MINUTE),
    help: "A client that may not relay waits so long for the greeting; one that speaks before it is sent away with 554 5.5.1, as programs that \
send spam do. A few seconds are enough; 0 s turns it off.",
};

/// `general.errors_max`
pub static ERRORS_MAX: Setting = Setting {
    name: "general.errors_max",
    tab: Tab::General,
    label: "Limit number of protocol errors of a session to",
    unit: Unit::Count,
    default: Preset::Number(20),
    range: Range::Between(1, 10_000),
    help: "Then the session ends with 421 4.7.0. The old service had no limit.",
};

/// `general.refusals_max`
pub static REFUSALS_MAX: Setting = Setting {
    name: "general.refusals_max",
    tab: Tab::General,
    label: "Limit number of refused addresses and messages of a session to",
    unit: Unit::Count,
    default: Preset::Number(50),
    range: Range::Between(1, 10_000),
    help: "Refused or unknown recipients, senders and messages since the last message that was taken; then the session ends with 421 4.7.0, \
so that nobody can try addresses by the thousand.",
};

/// What was read, and where the listeners stand in the file.
pub(super) fn read<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    has_certificate: bool,
) -> (General, Vec<Placed<Listener>>) {
    let usual = if has_certificate { ListenerTls::StartTls } else { ListenerTls::Plain };
    let listen = listeners(reader, table, usual);
    let count = |reader: &mut Reader<'s>, setting| u32::try_from(reader.number(table, setting)).unwrap_or(u32::MAX);
    let general = General {
        listen: listen.iter().map(|listener| listener.value).collect(),
        connections_max: reader.limit(table, &CONNECTIONS_MAX).and_then(|n| u32::try_from(n).ok()),
        timeout: Duration::from_secs(reader.number(table, &TIMEOUT)),
        bare_newlines: match reader.choice(table, &BARE_NEWLINES) {
            Some(1) => BareNewlines::Normalize,
            _ => BareNewlines::Reject,
        },
        greeting_delay: Duration::from_secs(reader.number(table, &GREETING_DELAY)),
        errors_max: count(reader, &ERRORS_MAX),
        refusals_max: count(reader, &REFUSALS_MAX),
    };
    (general, listen)
}

fn listeners<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>, usual: ListenerTls) -> Vec<Placed<Listener>> {
    let plain = |address| Listener { address, tls: usual, authentication_required: false };
    let Some(items) = reader.items(table, &LISTEN, false) else {
        let value = plain(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 25));
        return vec![Placed { value, span: table.span() }];
    };
    let mut listeners = Vec::with_capacity(items.len());
    for item in items {
        if let DeValue::Table(entries) = item.get_ref() {
            listeners.extend(listener(reader, Table::new(entries, &item.span()), usual));
            continue;
        }
        let text = reader.text_of(item, &LISTEN, Unit::Listener);
        let address = text.and_then(|text| reader.parsed(text, &LISTEN, |text| socket(text, 25)));
        listeners.extend(address.map(|address| Placed { value: plain(address.value), span: address.span }));
    }
    listeners
}

/// `{ address = "0.0.0.0:587", tls = "starttls_required", authentication_required = true }`
fn listener(reader: &mut Reader<'_>, table: Table<'_, '_>, usual: ListenerTls) -> Option<Placed<Listener>> {
    reader.refuse_unknown(table, &super::settings::keys(Tab::General, "general.listen."), "general.listen");
    if !table.has(&LISTEN_ADDRESS) {
        let hint = "write { address = \"0.0.0.0:587\", tls = \"starttls_required\" }";
        reader.problems.note(table.span(), "`general.listen.address` is missing", hint);
    }
    let address = reader.text(table, &LISTEN_ADDRESS);
    let address = address.and_then(|text| reader.parsed(text, &LISTEN_ADDRESS, |text| socket(text, 25)));
    let tls = match reader.choice(table, &LISTEN_TLS) {
        Some(0) => ListenerTls::Plain,
        Some(1) => ListenerTls::StartTls,
        Some(2) => ListenerTls::StartTlsRequired,
        Some(_) => ListenerTls::Implicit,
        None => usual,
    };
    let authentication_required = reader.switch(table, &LISTEN_AUTHENTICATION_REQUIRED);
    let address = address?;
    Some(Placed { value: Listener { address: address.value, tls, authentication_required }, span: table.span() })
}
