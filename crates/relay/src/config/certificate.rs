//! `access.certificate` and `access.client_certificate`: where certificates come from.
//!
//! Names files and authorities; whether a file can be read and a key fits shows when the virtual server starts, because
//! nothing here reads a disk. A listener whose certificate is not usable does not start, and the others do.
//!
//! IIS: Access tab, Secure communication.

use super::dns::socket;
use super::domains::plain_domain;
use super::read::{Fault, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use smtp::address::Domain;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use toml::Spanned;
use toml::de::DeValue;

/// Certificates of one virtual server.
pub const CERTIFICATES_MAX: usize = 100;

const fn setting(name: &'static str, label: &'static str, unit: Unit, default: Preset, help: &'static str) -> Setting {
    Setting { name, tab: Tab::Access, label, unit, default, range: Range::Any, help }
}

const NONE: Preset = Preset::Follows("none");

/// `access.certificate.file`
pub static FILE: Setting = setting(
    "access.certificate.file",
    "Certificate: file (PEM)",
    Unit::File,
    NONE,
    "The certificate and those between it and the root, in PEM. `certificate` is one table or a list of them, each with `file` and \
`key`, or `pfx`, or `acme`; the first one is shown to a client that names no server, the others to those that name one of \
their names (SNI). A file that changes is read again, and no session is dropped.",
);

/// `access.certificate.key`
pub static KEY: Setting = key(Tab::Access, "access.certificate.key");

/// `access.certificate.pfx`
pub static PFX: Setting = pfx(Tab::Access, "access.certificate.pfx", NONE);

/// `access.certificate.password_file`
pub static PASSWORD_FILE: Setting = password_file(Tab::Access, "access.certificate.password_file");

/// `access.certificate.acme`
pub static ACME: Setting = setting(
    "access.certificate.acme",
    "Certificate: obtained from an authority (ACME)",
    Unit::List(&Unit::Domain, 100),
    NONE,
    "The names to have certified, as `{ acme = [\"mx.example.com\"], agree_to_terms = true }`. `mailroot certificate acme` asks for the \
certificate; from then on it is renewed in time. It is kept under `state.folder`.",
);

/// `access.certificate.directory`
pub static DIRECTORY: Setting = setting(
    "access.certificate.directory",
    "ACME: directory of the authority",
    Unit::Text,
    Preset::Text("\"https://acme-v02.api.letsencrypt.org/directory\""),
    "The https address at which the authority is asked.",
);

/// `access.certificate.agree_to_terms`
pub static AGREE_TO_TERMS: Setting = setting(
    "access.certificate.agree_to_terms",
    "ACME: agree to the authority's terms of service",
    Unit::Switch,
    Preset::Switch(false),
    "Must be `true` with `acme`: the authority asks for it, and nobody but you can say it.",
);

/// `access.certificate.contact`
pub static CONTACT: Setting = setting(
    "access.certificate.contact",
    "ACME: mail address of whoever is responsible",
    Unit::Mailbox,
    NONE,
    "The authority writes there when something is wrong with the certificate.",
);

/// `access.certificate.directory_authority`
pub static DIRECTORY_AUTHORITY: Setting = setting(
    "access.certificate.directory_authority",
    "ACME: authority of the directory's certificate",
    Unit::File,
    Preset::Follows("the system's authorities"),
    "The certificate (PEM) that is trusted for the directory's https instead, for an authority of one's own.",
);

/// `access.certificate.challenge`
pub static CHALLENGE: Setting = Setting {
    name: "access.certificate.challenge",
    tab: Tab::Access,
    label: "ACME: how the names are proved",
    unit: Unit::Choice,
    default: Preset::Text("\"http-01\""),
    range: Range::OneOf(&["http-01", "tls-alpn-01"]),
    help: "`\"http-01\"`: the authority fetches a page from port 80 of each name. `\"tls-alpn-01\"`: it opens a TLS connection to port 443.",
};

/// `access.certificate.challenge_listen`
pub static CHALLENGE_LISTEN: Setting = setting(
    "access.certificate.challenge_listen",
    "ACME: where the proof is shown",
    Unit::Socket,
    Preset::Follows("`\"0.0.0.0:80\"`, or `\"0.0.0.0:443\"` for `tls-alpn-01`"),
    "Opened only while a certificate is being obtained.",
);

/// `access.client_certificate.authority`
pub static CLIENT_AUTHORITY: Setting = setting(
    "access.client_certificate.authority",
    "Client certificates: authorities",
    Unit::File,
    Preset::Follows("none: clients are not asked for a certificate"),
    "Certificates (PEM) of the authorities whose client certificates count, written as `client_certificate = { authority = \"…\" }`. \
Clients are asked for one and may do without. It is an identity for EXTERNAL and for entries of the relay list; a certificate of another \
authority is none.",
);

/// The file of a certificate's key, in whichever table.
pub(super) const fn key(tab: Tab, name: &'static str) -> Setting {
    let default = Preset::Follows("`file`, which may hold both");
    let help = "The private key, in PEM, not encrypted, readable by the service's account alone.";
    file(tab, name, "Certificate: private key (PEM)", default, help)
}

/// The file that holds a certificate and its key, in whichever table.
pub(super) const fn pfx(tab: Tab, name: &'static str, default: Preset) -> Setting {
    let help = "Certificate and key in one file (PKCS #12), as Windows exports them.";
    file(tab, name, "Certificate: file (PFX)", default, help)
}

/// The file of that one's password, in whichever table.
pub(super) const fn password_file(tab: Tab, name: &'static str) -> Setting {
    let default = Preset::Follows("no password");
    let help = "A file whose first line is the password, readable by the service's account alone.";
    file(tab, name, "Certificate: password of the PFX file", default, help)
}

const fn file(tab: Tab, name: &'static str, label: &'static str, default: Preset, help: &'static str) -> Setting {
    Setting { name, tab, label, unit: Unit::File, default, range: Range::Any, help }
}

/// Where one certificate comes from; paths are absolute.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum CertificateSource {
    /// PEM files.
    Pem {
        /// The chain.
        file: PathBuf,
        /// The private key.
        key: PathBuf,
    },
    /// A PKCS #12 file.
    Pfx {
        /// Chain and key.
        file: PathBuf,
        /// The file with its password; `None`: the password is empty.
        password_file: Option<PathBuf>,
    },
    /// An authority that is asked by ACME.
    Acme(Acme),
}

/// What to ask of an authority by ACME.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Acme {
    /// The names, at least one.
    pub names: Vec<Domain>,
    /// The authority's directory, https.
    pub directory: Box<str>,
    /// Whom it may write to.
    pub contact: Option<Box<str>>,
    /// Authorities for the directory's https, absolute; `None`: the system's.
    pub directory_authority: Option<PathBuf>,
    /// How the names are proved.
    pub challenge: AcmeChallenge,
    /// Where the proof is shown.
    pub challenge_listen: SocketAddr,
}

/// How names are proved.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum AcmeChallenge {
    /// A page on port 80.
    Http01,
    /// A certificate on port 443.
    TlsAlpn01,
}

/// Which client certificates count.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ClientCertificates {
    /// Certificates of the authorities, absolute.
    pub authority: PathBuf,
}

/// The certificates of `access.certificate`: one table, or a list of them.
pub(super) fn read<'s>(reader: &mut Reader<'s>, access: Table<'_, 's>) -> Vec<CertificateSource> {
    each(reader, access, HINT, source)
}

const HINT: &str = "write { file = \"…\", key = \"…\" }, { pfx = \"…\" } or { acme = [\"…\"] }";

/// The certificates of this table's `certificate`: one table, or a list of them, each read by `source`.
pub(super) fn each<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    hint: &str,
    source: impl Fn(&mut Reader<'s>, Table<'_, 's>) -> Option<CertificateSource>,
) -> Vec<CertificateSource> {
    let Some(value) = table.get("certificate") else { return Vec::new() };
    let items: Vec<&Spanned<DeValue<'s>>> = match value.get_ref() {
        DeValue::Array(items) if items.len() > CERTIFICATES_MAX => {
            let text = format!("{} certificates are too many", items.len());
            reader.problems.note(value.span(), text, format!("write at most {CERTIFICATES_MAX}"));
            return Vec::new();
        }
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    let mut sources = Vec::with_capacity(items.len());
    for item in items {
        if let DeValue::Table(entries) = item.get_ref() {
            sources.extend(source(reader, Table::new(entries, &item.span())));
        } else {
            reader.problems.note(item.span(), "a certificate is a table", hint);
        }
    }
    sources
}

/// A certificate in PEM files, by the settings of this table.
pub(super) fn pem(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    file: &Setting,
    key: &Setting,
) -> Option<CertificateSource> {
    let file = reader.folder(table, file)?;
    let key = reader.folder(table, key).unwrap_or_else(|| file.clone());
    Some(CertificateSource::Pem { file, key })
}

/// One in a PFX file.
pub(super) fn in_one_file(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    file: &Setting,
    password: &Setting,
) -> Option<CertificateSource> {
    let file = reader.folder(table, file)?;
    Some(CertificateSource::Pfx { file, password_file: reader.folder(table, password) })
}

fn source(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<CertificateSource> {
    let known = super::settings::keys(Tab::Access, "access.certificate.");
    reader.refuse_unknown(table, &known, "access.certificate");
    let given = [&FILE, &PFX, &ACME].map(|setting| table.has(setting));
    if given.iter().filter(|given| **given).count() != 1 {
        reader.problems.note(table.span(), "a certificate comes from one of `file`, `pfx` and `acme`", HINT);
        return None;
    }
    let own: (&Setting, &[&Setting]) = match given {
        [true, ..] => (&FILE, &[&KEY]),
        [_, true, _] => (&PFX, &[&PASSWORD_FILE]),
        _ => (&ACME, &[&DIRECTORY, &AGREE_TO_TERMS, &CONTACT, &DIRECTORY_AUTHORITY, &CHALLENGE, &CHALLENGE_LISTEN]),
    };
    for key in known.iter().filter(|key| table.get(key).is_some()) {
        if *key != own.0.key() && !own.1.iter().any(|setting| setting.key() == *key) {
            let text = format!("`{key}` has no meaning beside `{}`", own.0.key());
            reader.problems.note(table.get(key).map_or(table.span(), Spanned::span), text, "take it out");
        }
    }
    match given {
        [true, ..] => pem(reader, table, &FILE, &KEY),
        [_, true, _] => in_one_file(reader, table, &PFX, &PASSWORD_FILE),
        _ => acme(reader, table).map(CertificateSource::Acme),
    }
}

fn acme(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Option<Acme> {
    let names = reader.list(table, &ACME, true, plain_domain)?;
    let is_empty = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Array(items) if items.is_empty());
    if table.get(ACME.key()).is_some_and(is_empty) {
        reader.problems.note(table.span_of(&ACME), "there is no name to certify", "write acme = [\"mx.example.com\"]");
    }
    if !reader.switch(table, &AGREE_TO_TERMS) {
        let hint = "read the terms of the authority, and write agree_to_terms = true";
        reader.problems.note(table.span_of(&AGREE_TO_TERMS), "the authority asks you to agree to its terms", hint);
    }
    let directory = reader.text(table, &DIRECTORY).and_then(|text| reader.parsed(text, &DIRECTORY, https));
    let challenge = match reader.choice(table, &CHALLENGE) {
        Some(1) => AcmeChallenge::TlsAlpn01,
        _ => AcmeChallenge::Http01,
    };
    let port = if challenge == AcmeChallenge::Http01 { 80 } else { 443 };
    let listen = reader.text(table, &CHALLENGE_LISTEN);
    let listen = listen.and_then(|text| reader.parsed(text, &CHALLENGE_LISTEN, |text| socket(text, port)));
    let contact = reader.text(table, &CONTACT);
    let contact = contact.and_then(|text| reader.parsed(text, &CONTACT, super::domains::mailbox));
    Some(Acme {
        names: names.into_iter().map(|name| name.value).collect(),
        directory: directory.map_or_else(default_directory, |text| text.value),
        contact: contact.map(|mailbox| mailbox.value.to_string().into()),
        directory_authority: reader.folder(table, &DIRECTORY_AUTHORITY),
        challenge,
        challenge_listen: listen
            .map_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), |address| address.value),
    })
}

fn default_directory() -> Box<str> {
    match DIRECTORY.default {
        Preset::Text(text) => text.trim_matches('"').into(),
        _ => Box::default(),
    }
}

fn https(text: &str) -> Result<Box<str>, Fault> {
    if text.starts_with("https://") && !text.contains([' ', '#']) {
        Ok(text.into())
    } else {
        Err(Fault::new("it is no https address", "write \"https://…\""))
    }
}

/// `access.client_certificate`
pub(super) fn client<'s>(reader: &mut Reader<'s>, access: Table<'_, 's>) -> Option<ClientCertificates> {
    let value = access.get("client_certificate")?;
    let table = reader.table(access, "client_certificate", Tab::Access, "access.client_certificate.");
    if matches!(value.get_ref(), DeValue::Table(_)) && !table.has(&CLIENT_AUTHORITY) {
        let hint = "write client_certificate = { authority = \"tls/clients.pem\" }";
        reader.problems.note(table.span(), "`access.client_certificate.authority` is missing", hint);
    }
    let authority = reader.folder(table, &CLIENT_AUTHORITY)?;
    Some(ClientCertificates { authority })
}
