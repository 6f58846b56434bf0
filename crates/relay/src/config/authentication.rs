//! `[virtual_server.access.authentication]`: how clients may prove who they are.
//!
//! Reads the settings and refuses what could never work (a method without what it needs). Whether a method can be offered to
//! a given client (TLS, a keytab that can be read, an identity provider) shows at run time.
//!
//! IIS: Access tab, Authentication: Anonymous (the only one that is on), Basic, Integrated Windows.

use super::Network;
use super::certificate::ClientCertificates;
use super::read::{Fault, Reader, Table};
use super::settings::{Preset, Range, Setting, Tab, Unit};
use smtp::sasl::Mechanism;
use std::path::PathBuf;
use std::time::Duration;

/// `access.authentication.anonymous`
pub static ANONYMOUS: Setting = Setting {
    name: "access.authentication.anonymous",
    tab: Tab::Access,
    label: "Authentication: Anonymous access",
    unit: Unit::Switch,
    default: Preset::Switch(true),
    range: Range::Any,
    help: "Off: nobody may send without having authenticated; MAIL gets 530 5.7.0. Single listeners can ask for it with \
`authentication_required`.",
};

/// `access.authentication.methods`
pub static METHODS: Setting = Setting {
    name: "access.authentication.methods",
    tab: Tab::Access,
    label: "Authentication: Basic, Integrated Windows and others",
    unit: Unit::List(&Unit::Text, 9),
    default: Preset::Text("[]"),
    range: Range::Any,
    help: "Some of PLAIN, LOGIN (the old Basic), SCRAM-SHA-256, SCRAM-SHA-256-PLUS, NTLM and GSSAPI (Integrated Windows), XOAUTH2, \
OAUTHBEARER, EXTERNAL (by client certificate). None is on by default, as in the old service. What is not usable at the moment (PLAIN \
and LOGIN without TLS, EXTERNAL without a certificate) is not offered.",
};

/// `access.authentication.clear_text_from`
pub static CLEAR_TEXT_FROM: Setting = Setting {
    name: "access.authentication.clear_text_from",
    tab: Tab::Access,
    label: "Basic authentication without TLS",
    unit: Unit::List(&Unit::Network, 1_000),
    default: Preset::Text("[]"),
    range: Range::Any,
    help: "Networks from which PLAIN and LOGIN are taken without TLS, for old devices on a wire that nobody else can read. Everybody else \
gets 538 5.7.11 before a password is asked for.",
};

/// `access.authentication.default_logon_domain`
pub static DEFAULT_LOGON_DOMAIN: Setting = Setting {
    name: "access.authentication.default_logon_domain",
    tab: Tab::Access,
    label: "Default domain",
    unit: Unit::Text,
    default: Preset::Follows("none"),
    range: Range::Between(1, 255),
    help: "Completes an account name that is given bare: `anna` becomes `anna@DOMAIN`.",
};

/// `access.authentication.keytab`
pub static KEYTAB: Setting = Setting {
    name: "access.authentication.keytab",
    tab: Tab::Access,
    label: "Integrated Windows: Kerberos keys of the service",
    unit: Unit::File,
    default: Preset::Follows("none; it must be written where GSSAPI is on"),
    range: Range::Any,
    help: "The keytab with the key of `smtp/NAME@REALM`, where NAME is `delivery.fqdn`. Needs a program that was built with Kerberos \
(docs/authentication.md). All virtual servers share one.",
};

/// `access.authentication.oauth.issuer`
pub static OAUTH_ISSUER: Setting = Setting {
    name: "access.authentication.oauth.issuer",
    tab: Tab::Access,
    label: "OAuth: issuer of the tokens",
    unit: Unit::Text,
    default: Preset::Follows("none; it must be written where XOAUTH2 or OAUTHBEARER is on"),
    range: Range::Between(1, 500),
    help: "An https address, as it stands in the tokens' `iss`; its keys are found through `/.well-known/openid-configuration` there.",
};

/// `access.authentication.oauth.audience`
pub static OAUTH_AUDIENCE: Setting = Setting {
    name: "access.authentication.oauth.audience",
    tab: Tab::Access,
    label: "OAuth: audience of the tokens",
    unit: Unit::Text,
    default: Preset::Follows("none; it must be written where XOAUTH2 or OAUTHBEARER is on"),
    range: Range::Between(1, 500),
    help: "What the tokens' `aud` must be: a token that was made for another service opens nothing here.",
};

/// `access.authentication.oauth.user_claim`
pub static OAUTH_USER_CLAIM: Setting = Setting {
    name: "access.authentication.oauth.user_claim",
    tab: Tab::Access,
    label: "OAuth: claim with the account's name",
    unit: Unit::Text,
    default: Preset::Text("\"email\""),
    range: Range::Between(1, 100),
    help: "The claim of a token whose value is the account's name, as `email`, `upn` or `preferred_username`.",
};

/// `access.authentication.oauth.authority`
pub static OAUTH_AUTHORITY: Setting = Setting {
    name: "access.authentication.oauth.authority",
    tab: Tab::Access,
    label: "OAuth: authority of the issuer's certificate",
    unit: Unit::File,
    default: Preset::Follows("the system's authorities"),
    range: Range::Any,
    help: "Certificates (PEM) of the authorities that are trusted for the issuer's https instead, for a provider of one's own.",
};

/// `access.authentication.lockout.after`
pub static LOCKOUT_AFTER: Setting = Setting {
    name: "access.authentication.lockout.after",
    tab: Tab::Access,
    label: "Account lockout: after wrong passwords",
    unit: Unit::Count,
    default: Preset::Number(5),
    range: Range::Between(1, 1_000),
    help: "Wrong passwords for one account, or from one network (an IPv4 address, an IPv6 /64), after which it is not listened to for a while, \
written as `lockout = { after = 5, for = \"15 min\" }`. Where an account has logged on before, only its own wrong passwords from there lock it: \
a stranger cannot keep its owner out.",
};

/// `access.authentication.lockout.for`
pub static LOCKOUT_FOR: Setting = Setting {
    name: "access.authentication.lockout.for",
    tab: Tab::Access,
    label: "Account lockout: for how long",
    unit: Unit::Time,
    default: Preset::Number(900),
    range: Range::Between(1, 86_400),
    help: "How long the account, or the network, must wait.",
};

/// How clients may prove who they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authentication {
    /// Whoever has not may send all the same.
    pub anonymous: bool,
    /// The methods, in the file's order.
    pub methods: Vec<Mechanism>,
    /// Where PLAIN and LOGIN are taken without TLS.
    pub clear_text_from: Vec<Network>,
    /// Completes a bare account name.
    pub default_logon_domain: Option<Box<str>>,
    /// Kerberos keys of the service, absolute.
    pub keytab: Option<PathBuf>,
    /// Whose tokens are taken.
    pub oauth: Option<OAuth>,
    /// How many wrong passwords are too many.
    pub lockout: Lockout,
}

impl Authentication {
    /// Must there be an accounts file? Not where tokens alone are taken: the provider vouches for those who have no account. One
    /// that is there is looked into for every method.
    #[must_use]
    pub fn needs_accounts(&self) -> bool {
        self.methods.iter().any(|method| !method.is_token())
    }
}

/// Whose tokens are taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OAuth {
    /// Their `iss`, without a slash at its end.
    pub issuer: Box<str>,
    /// Their `aud`.
    pub audience: Box<str>,
    /// The claim with the account's name.
    pub user_claim: Box<str>,
    /// Authorities for the issuer's https, absolute; `None`: the system's.
    pub authority: Option<PathBuf>,
}

/// How many wrong passwords are too many.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Lockout {
    /// So many,
    pub after: u32,
    /// and then nothing for so long.
    pub lasts: Duration,
}

pub(super) fn read<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    client_certificates: Option<&ClientCertificates>,
) -> Authentication {
    let lockout = reader.table(table, "lockout", Tab::Access, "access.authentication.lockout.");
    let authentication = Authentication {
        anonymous: reader.switch(table, &ANONYMOUS),
        methods: methods(reader, table),
        clear_text_from: reader
            .list(table, &CLEAR_TEXT_FROM, true, Network::parse)
            .unwrap_or_default()
            .into_iter()
            .map(|network| network.value)
            .collect(),
        default_logon_domain: reader.text(table, &DEFAULT_LOGON_DOMAIN).map(|text| text.value.trim().into()),
        keytab: reader.folder(table, &KEYTAB),
        oauth: oauth(reader, table),
        lockout: Lockout {
            after: u32::try_from(reader.number(lockout, &LOCKOUT_AFTER)).unwrap_or(u32::MAX),
            lasts: Duration::from_secs(reader.number(lockout, &LOCKOUT_FOR)),
        },
    };
    refuse_useless(reader, table, &authentication, client_certificates);
    authentication
}

fn methods(reader: &mut Reader<'_>, table: Table<'_, '_>) -> Vec<Mechanism> {
    let parse = |text: &str| {
        Mechanism::parse_served(text.trim()).ok_or_else(|| {
            let known: Vec<&str> = Mechanism::SERVED.into_iter().map(Mechanism::name).collect();
            match text.trim().to_ascii_uppercase().as_str() {
                "ANONYMOUS" => Fault::new(
                    "whoever knows nothing would count as authenticated, and might relay",
                    "take it out; `anonymous = true` lets everybody send to local domains",
                ),
                "CRAM-MD5" | "DIGEST-MD5" => {
                    Fault::new("it needs passwords that are kept readable", "write \"SCRAM-SHA-256\"")
                }
                "NEGOTIATE" | "GSS-SPNEGO" => Fault::new("it goes by other names here", "write \"GSSAPI\" or \"NTLM\""),
                _ => Fault::new("there is no such method", format!("those there are: {}", known.join(", "))),
            }
        })
    };
    let mut methods = Vec::new();
    for method in reader.list(table, &METHODS, false, parse).unwrap_or_default() {
        if methods.contains(&method.value) {
            reader.problems.note(method.span, format!("{} stands twice", method.value), "leave one of them");
        } else {
            methods.push(method.value);
        }
    }
    methods
}

fn oauth<'s>(reader: &mut Reader<'s>, table: Table<'_, 's>) -> Option<OAuth> {
    let is_written = table.get("oauth").is_some();
    let table = reader.table(table, "oauth", Tab::Access, "access.authentication.oauth.");
    if !is_written {
        return None;
    }
    let issuer = reader.text(table, &OAUTH_ISSUER).and_then(|text| reader.parsed(text, &OAUTH_ISSUER, issuer));
    let audience = reader.text(table, &OAUTH_AUDIENCE).map(|text| text.value.into());
    let user_claim = reader.text(table, &OAUTH_USER_CLAIM).map_or("email", |text| text.value).into();
    let authority = reader.folder(table, &OAUTH_AUTHORITY);
    for setting in [&OAUTH_ISSUER, &OAUTH_AUDIENCE] {
        if !table.has(setting) {
            let text = format!("`{}` is missing", setting.name);
            let hint = "write oauth = { issuer = \"https://…\", audience = \"…\" }";
            reader.problems.note(table.span(), text, hint);
        }
    }
    Some(OAuth { issuer: issuer?.value, audience: audience?, user_claim, authority })
}

fn issuer(text: &str) -> Result<Box<str>, Fault> {
    let text = text.trim().trim_end_matches('/');
    let host = text.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || text.contains(['?', '#', ' ']) {
        return Err(Fault::new("it is no https address", "write it as it stands in the tokens: \"https://…\""));
    }
    Ok(text.into())
}

/// Notes methods that lack what they need, and demands that nobody could meet.
fn refuse_useless(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    authentication: &Authentication,
    client_certificates: Option<&ClientCertificates>,
) {
    let methods = &authentication.methods;
    let has = |one: Mechanism| methods.contains(&one);
    let lacks: [(bool, &str, &str); 3] = [
        (
            has(Mechanism::Gssapi) && authentication.keytab.is_none() && !table.has(&KEYTAB),
            "GSSAPI needs the keys of the service",
            "write keytab = \"…\", or leave GSSAPI out",
        ),
        (
            (has(Mechanism::Xoauth2) || has(Mechanism::OauthBearer)) && table.get("oauth").is_none(),
            "XOAUTH2 and OAUTHBEARER need an issuer of tokens",
            "write oauth = { issuer = \"https://…\", audience = \"…\" }, or leave them out",
        ),
        (
            has(Mechanism::External) && client_certificates.is_none(),
            "EXTERNAL needs client certificates",
            "write access.client_certificate = { authority = \"…\" }, or leave EXTERNAL out",
        ),
    ];
    for (_, text, hint) in lacks.into_iter().filter(|(lacks, ..)| *lacks) {
        reader.problems.note(table.span_of(&METHODS), text, hint);
    }
    if !authentication.anonymous && methods.is_empty() {
        let text = "nobody could send: authentication is asked for, and there is no method";
        reader.problems.note(
            table.span_of(&ANONYMOUS),
            text,
            "write methods = [\"PLAIN\", \"SCRAM-SHA-256\"] or others",
        );
    }
}
