//! `[console]`: where operators log on by a browser or a program, for how long, and which users of this system are operators.
//!
//! Elsewhere than on loopback it is under TLS or not at all: a password that travels in the clear is no password. Whether a
//! certificate can be read and a group exists shows when the service starts, because nothing here reads a disk.
//!
//! IIS: the Security tab, and where the HTML manager listened.

use super::certificate::{self, CertificateSource};
use super::dns::socket;
use super::domains::plain_domain;
use super::read::{Fault, Placed, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use crate::admin::Role;
use smtp::address::Domain;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the console listens unless something else is written.
pub const PORT: u16 = 8025;

/// `[console]`
#[derive(Clone, PartialEq, Debug)]
pub struct Console {
    /// Is there one?
    pub enabled: bool,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// Certificates; with one, TLS is spoken everywhere.
    pub certificates: Vec<CertificateSource>,
    /// Names by which browsers reach it, beside those in the certificates.
    pub names: Vec<Domain>,
    /// After so long without a request an operator is logged out.
    pub session_idle: Duration,
    /// After so long he is logged out in any case.
    pub session_max: Duration,
    /// Groups of this system, by what their members may on the control socket.
    pub groups: Vec<(Role, Box<str>)>,
}

const fn setting(name: &'static str, label: &'static str, unit: Unit, default: Preset, help: &'static str) -> Setting {
    Setting { name, tab: Tab::Console, label, unit, default, range: Range::Any, help }
}

/// `console.enabled`
pub static ENABLED: Setting = setting(
    "console.enabled",
    "Console in the browser",
    Unit::Switch,
    Preset::Switch(true),
    "Pages for operators, and the API for programs. The command line does not need it: it has a socket of its own in `state.folder`.",
);

/// `console.listen`
pub static LISTEN: Setting = setting(
    "console.listen",
    "Addresses of the console",
    Unit::List(&Unit::Socket, 16),
    Preset::Text("[\"127.0.0.1:8025\"]"),
    "Where the console listens. Other addresses than those of this machine's loopback need `console.certificate`.",
);

/// `console.names`
pub static NAMES: Setting = setting(
    "console.names",
    "Names of the console",
    Unit::List(&Unit::Domain, 100),
    Preset::Follows("the names in the certificate, `localhost`, and the addresses"),
    "Names by which browsers reach the console, beside its addresses, `localhost` and the names in its certificate: that of a proxy in front of \
it, for one. A request under any other name is refused, so that no foreign page can reach the console by a name of its own.",
);

const NONE: Preset = Preset::Follows("none: only loopback addresses are possible");

/// `console.certificate.file`
pub static FILE: Setting = setting(
    "console.certificate.file",
    "Certificate: file (PEM)",
    Unit::File,
    NONE,
    "The certificate and those between it and the root, in PEM: `certificate = { file = \"tls/console.pem\", key = \"tls/console.key\" }`, or a \
list of them. With it TLS is spoken on all addresses of the console. A file that changes is read again.",
);

/// `console.certificate.key`
pub static KEY: Setting = certificate::key(Tab::Console, "console.certificate.key");

/// `console.certificate.pfx`
pub static PFX: Setting = certificate::pfx(Tab::Console, "console.certificate.pfx", NONE);

/// `console.certificate.password_file`
pub static PASSWORD_FILE: Setting = certificate::password_file(Tab::Console, "console.certificate.password_file");

/// `console.session_idle`
pub static SESSION_IDLE: Setting = Setting {
    name: "console.session_idle",
    tab: Tab::Console,
    label: "Log out after inactivity of",
    unit: Unit::Time,
    default: Preset::Number(30 * 60),
    range: Range::Between(60, 24 * 3_600),
    help: "An operator who has asked for nothing for so long must log on again. A page that only refreshes itself does not count.",
};

/// `console.session_max`
pub static SESSION_MAX: Setting = Setting {
    name: "console.session_max",
    tab: Tab::Console,
    label: "Log out in any case after",
    unit: Unit::Time,
    default: Preset::Number(12 * 3_600),
    range: Range::Between(60, 7 * 24 * 3_600),
    help: "An operator must log on again after so long, whatever he does.",
};

const fn group(name: &'static str, label: &'static str, help: &'static str) -> Setting {
    setting(name, label, Unit::List(&Unit::Text, 16), Preset::Follows("none"), help)
}

/// `console.groups.administrators`
pub static ADMINISTRATORS: Setting = group(
    "console.groups.administrators",
    "Groups of administrators",
    "Groups of this system whose members are administrators on the control socket, by which the command line speaks with the service: \
`groups = { administrators = [\"mailroot-admins\"] }`. Root and the service's own user always are. With any group the socket can be opened by every \
user of this system, and the service looks at who it is.",
);

/// `console.groups.operators`
pub static OPERATORS: Setting = group(
    "console.groups.operators",
    "Groups of operators",
    "The same for operators: sessions, queue, folders, start, stop and pause.",
);

/// `console.groups.help_desk`
pub static HELP_DESK: Setting = group(
    "console.groups.help_desk",
    "Groups of the help desk",
    "The same for the help desk, which sees and changes nothing.",
);

/// `console.groups.auditors`
pub static AUDITORS: Setting = group(
    "console.groups.auditors",
    "Groups of auditors",
    "The same for auditors, who see everything, the audit log too.",
);

const GROUPS: [(Role, &Setting); 4] = [
    (Role::Administrator, &ADMINISTRATORS),
    (Role::Operator, &OPERATORS),
    (Role::HelpDesk, &HELP_DESK),
    (Role::Auditor, &AUDITORS),
];

pub(super) fn read<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>) -> Console {
    let enabled = reader.switch(table, &ENABLED);
    let listen = reader.list(table, &LISTEN, true, |text| socket(text, PORT));
    let certificates = certificate::each(reader, table, CERTIFICATE, source);
    let names = reader.list(table, &NAMES, true, plain_domain).unwrap_or_default();
    let console = Console {
        enabled,
        listen: match &listen {
            Some(listen) => listen.iter().map(|address| address.value).collect(),
            None => vec![(Ipv4Addr::LOCALHOST, PORT).into()],
        },
        certificates,
        names: names.into_iter().map(|name| name.value).collect(),
        session_idle: Duration::from_secs(reader.number(table, &SESSION_IDLE)),
        session_max: Duration::from_secs(reader.number(table, &SESSION_MAX)),
        groups: groups(reader, table),
    };
    refuse_clear_text(reader, table, &listen.unwrap_or_default(), &console);
    if console.session_idle > console.session_max {
        let hint = "write a shorter session_idle, or a longer session_max";
        reader.problems.note(table.span_of(&SESSION_IDLE), "`session_idle` is longer than `session_max`", hint);
    }
    console
}

/// Notes addresses at which passwords would travel in the clear, and such as are there twice.
fn refuse_clear_text(reader: &mut Reader<'_>, table: Table<'_, '_>, listen: &[Placed<SocketAddr>], console: &Console) {
    // What is wrong with a certificate has been told; it was meant to be one.
    let has_certificate = !console.certificates.is_empty() || table.get("certificate").is_some();
    for (number, address) in listen.iter().enumerate() {
        if !address.value.ip().to_canonical().is_loopback() && !has_certificate {
            let text = format!("at {} passwords would travel in the clear", address.value);
            let hint = "write certificate = { file = \"…\", key = \"…\" } below [console], or listen on 127.0.0.1 only";
            reader.problems.note(address.span.clone(), text, hint);
        }
        if listen[..number].iter().any(|earlier| earlier.value == address.value) {
            reader.problems.note(address.span.clone(), format!("{} is there twice", address.value), "take one out");
        }
    }
}

const CERTIFICATE: &str = "write { file = \"…\", key = \"…\" } or { pfx = \"…\" }";

fn source(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<CertificateSource> {
    let known = super::settings::keys(Tab::Console, "console.certificate.");
    reader.refuse_unknown(table, &known, "console.certificate");
    if table.has(&FILE) == table.has(&PFX) {
        reader.problems.note(table.span(), "a certificate comes from one of `file` and `pfx`", CERTIFICATE);
        return None;
    }
    let (alien, own) = if table.has(&FILE) { (&PASSWORD_FILE, &FILE) } else { (&KEY, &PFX) };
    if let Some(span) = table.place_of(alien) {
        let text = format!("`{}` has no meaning beside `{}`", alien.key(), own.key());
        reader.problems.note(span, text, "take it out");
    }
    if table.has(&PFX) {
        return certificate::in_one_file(reader, table, &PFX, &PASSWORD_FILE);
    }
    certificate::pem(reader, table, &FILE, &KEY)
}

fn groups(reader: &mut Reader<'_>, console: Table<'_, '_>) -> Vec<(Role, Box<str>)> {
    let table = reader.table(console, "groups", Tab::Console, "console.groups.");
    let name = |text: &str| match text.contains([':', ',', '/', ' ']) {
        false => Ok(Box::<str>::from(text)),
        true => Err(Fault::new("no group has such a name", "write its name, as \"mailroot-admins\"")),
    };
    let mut groups = Vec::new();
    for (role, setting) in GROUPS {
        let names = reader.list(table, setting, true, name).unwrap_or_default();
        groups.extend(names.into_iter().map(|name| (role, name.value)));
    }
    groups
}
