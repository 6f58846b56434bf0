//! `auth`: how we prove who we are, as the file has it.
//!
//! A secret is named, never written: where one stands in the file itself it is refused, and hidden when the line is
//! drawn. A password that could go over the wire in clear text is refused unless the operator says so, a token always.
//!
//! IIS: Outbound Security.

use super::keys::Keys;
use super::oauth;
use super::provider::Provider;
use super::read::sub_table;
use super::{CertificateSource, ClientAuth, PasswordMethod, SecretSource, TlsPolicy};
use crate::config::read::{Reader, Table, tidy};
use crate::config::settings::{Range, Setting};
use toml::Spanned;
use toml::de::DeValue;

/// What authentication needs to know of the rest of the terms.
pub(super) struct Around<'a> {
    pub(super) keys: &'static Keys,
    pub(super) provider: Option<Provider>,
    pub(super) tls: TlsPolicy,
    pub(super) certificate: Option<&'a CertificateSource>,
}

/// The words of `auth.method`, in the order of the setting's range.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Method {
    Password(PasswordMethod),
    Gssapi,
    External,
    OAuth,
}

const METHODS: [Method; 8] = [
    Method::Password(PasswordMethod::Any),
    Method::Password(PasswordMethod::Basic),
    Method::Password(PasswordMethod::Scram),
    Method::Password(PasswordMethod::CramMd5),
    Method::Password(PasswordMethod::Ntlm),
    Method::Gssapi,
    Method::External,
    Method::OAuth,
];

pub(super) fn read<'s>(reader: &mut Reader<'s>, terms: Table<'_, 's>, around: &Around<'_>) -> Option<ClientAuth> {
    let keys = around.keys;
    let table = sub_table(reader, terms, "auth", &keys.method)?;
    if !table.has(&keys.method) {
        let text = format!("`{}` is missing", keys.method.name);
        let hint = "write method = \"password\", \"oauth\" or another one of docs/settings.md";
        reader.problems.note(table.span(), text, hint);
        return None;
    }
    let method = *METHODS.get(reader.choice(table, &keys.method)?)?;
    let word = table.get(keys.method.key()).and_then(|value| value.get_ref().as_str()).unwrap_or_default();
    refuse_stray(reader, table, &own_keys(keys, method), &format!("method = {word:?}"));
    refuse_in_clear(reader, (terms, table), method, around);
    match method {
        Method::Password(method) => {
            let user = demanded(reader, table, &keys.user, "user = \"relay@example.com\"");
            let password = secret(reader, table, &keys.password, true);
            Some(ClientAuth::Password {
                method,
                user: user?,
                domain: bounded(reader, table, &keys.domain),
                password: password?,
                in_clear: reader.switch(table, &keys.allow_clear_text),
            })
        }
        Method::Gssapi => {
            let keytab = reader.folder(table, &keys.keytab);
            Some(ClientAuth::Gssapi { keytab, principal: bounded(reader, table, &keys.principal) })
        }
        Method::External => {
            if around.certificate.is_none() && terms.get("certificate").is_none() {
                let hint = "write certificate = { file = \"…\", key = \"…\" } beside auth";
                reader.problems.note(table.span_of(&keys.method), "EXTERNAL needs a certificate to show", hint);
            }
            Some(ClientAuth::External)
        }
        Method::OAuth => {
            oauth::read(reader, table, keys, around.provider).map(|client| ClientAuth::OAuth(client.into()))
        }
    }
}

/// The settings that a method knows, beside `method` itself.
fn own_keys(keys: &'static Keys, method: Method) -> Vec<&'static Setting> {
    match method {
        Method::Password(PasswordMethod::Any) => {
            vec![&keys.user, &keys.password, &keys.domain, &keys.allow_clear_text]
        }
        Method::Password(PasswordMethod::Basic) => vec![&keys.user, &keys.password, &keys.allow_clear_text],
        Method::Password(PasswordMethod::Ntlm) => vec![&keys.user, &keys.password, &keys.domain],
        Method::Password(PasswordMethod::Scram | PasswordMethod::CramMd5) => vec![&keys.user, &keys.password],
        Method::Gssapi => vec![&keys.keytab, &keys.principal],
        Method::External => Vec::new(),
        Method::OAuth => vec![
            &keys.user,
            &keys.mechanism,
            &keys.grant,
            &keys.tenant,
            &keys.client_id,
            &keys.client_secret,
            &keys.assertion_certificate,
            &keys.assertion_key,
            &keys.refresh_token,
            &keys.service_account,
            &keys.token_endpoint,
            &keys.device_endpoint,
            &keys.scope,
            &keys.auth_authority,
        ],
    }
}

/// Notes settings of other methods.
fn refuse_stray(reader: &mut Reader<'_>, table: Table<'_, '_>, own: &[&'static Setting], beside: &str) {
    let Some(entries) = table.entries() else { return };
    let known = crate::config::settings::ALL.iter().filter(|setting| setting.name.starts_with("smart_host.auth."));
    for setting in known.filter(|setting| setting.key() != "method") {
        let is_own = own.iter().any(|one| one.key() == setting.key());
        let stray = entries.iter().find(|(key, _)| key.get_ref() == setting.key() && !is_own);
        if let Some((key, _)) = stray {
            let text = format!("`{}` has no meaning beside {beside}", setting.key());
            reader.problems.note(key.span(), text, "take it out");
        }
    }
}

/// Notes secrets that could be seen on the wire.
fn refuse_in_clear(
    reader: &mut Reader<'_>,
    (terms, table): (Table<'_, '_>, Table<'_, '_>),
    method: Method,
    around: &Around<'_>,
) {
    let keys = around.keys;
    let may_be_clear = matches!(around.tls, TlsPolicy::None | TlsPolicy::Opportunistic);
    let allowed = table.get(keys.allow_clear_text.key()).is_some_and(|on| on.get_ref().as_bool() == Some(true));
    let secure = "write tls = \"verified\"";
    let fault = match method {
        Method::Password(PasswordMethod::Any | PasswordMethod::Basic) if may_be_clear != allowed => {
            if allowed {
                let text = "TLS is certain here, so that a password in clear text need not be allowed";
                reader.problems.note(table.span_of(&keys.allow_clear_text), text, "take it out");
                return;
            }
            let hint = format!("{secure}; or, for a wire that nobody else can read, allow_clear_text = true");
            ("the password could go over the wire in clear text", hint)
        }
        Method::OAuth if may_be_clear => ("the token could go over the wire in clear text", secure.to_owned()),
        Method::External if may_be_clear => ("without TLS nobody sees our certificate", secure.to_owned()),
        _ => return,
    };
    let related = terms.place_of(&keys.tls).map(|span| (span, "TLS is not certain"));
    reader.problems.clash(table.span_of(&keys.method), fault.0, fault.1, related);
}

/// A text that must be there; `example` is what to write.
pub(super) fn demanded(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    setting: &'static Setting,
    example: &str,
) -> Option<Box<str>> {
    missing(reader, table, setting, example);
    bounded(reader, table, setting)
}

/// Notes that the setting is missing, if it is.
pub(super) fn missing(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &'static Setting, example: &str) {
    if !table.has(setting) {
        let text = format!("`{}` is missing", setting.name);
        reader.problems.note(table.span(), text, format!("write {example}"));
    }
}

/// A text that is not longer than its range allows, if it is written.
pub(super) fn bounded(reader: &mut Reader<'_>, table: Table<'_, '_>, setting: &'static Setting) -> Option<Box<str>> {
    let text = reader.text(table, setting)?;
    let Range::Between(least, most) = setting.range else { return Some(text.value.trim().into()) };
    if !(least..=most).contains(&(text.value.trim().chars().count() as u64)) {
        let problem = format!("`{}` is too long or too short", setting.name);
        reader.problems.note(text.span, problem, format!("write {least} to {most} characters"));
        return None;
    }
    Some(text.value.trim().into())
}

/// Where a secret is to be had.
pub(super) fn secret<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    setting: &'static Setting,
    is_demanded: bool,
) -> Option<SecretSource> {
    let key = setting.key();
    let example = format!("{key} = {{ file = \"…\" }}, {{ env = \"…\" }} or {{ credential = \"…\" }}");
    if is_demanded {
        missing(reader, table, setting, &example);
    }
    let value = table.get(key)?;
    let DeValue::Table(entries) = value.get_ref() else {
        let text =
            format!("`{}` says where the secret is; the secret itself does not stand in this file", setting.name);
        reader.problems.note(value.span(), text, format!("write {example}"));
        return None;
    };
    let places = Table::new(entries, &value.span());
    reader.refuse_unknown(places, &["file", "env", "credential"], &format!("`{}`", setting.name));
    let given: Vec<(&str, &Spanned<DeValue<'_>>)> =
        ["file", "env", "credential"].into_iter().filter_map(|place| Some((place, places.get(place)?))).collect();
    let [(place, value)] = given[..] else {
        let text = format!("`{}` has one place: `file`, `env` or `credential`", setting.name);
        reader.problems.note(places.span(), text, format!("write {example}"));
        return None;
    };
    let text = reader.text_of(value, setting, setting.unit)?;
    let fault = match place {
        "file" => return reader.path_of(text).map(|file| SecretSource::File(tidy(&file))),
        "env" if is_variable(text.value) => return Some(SecretSource::Environment(text.value.into())),
        "env" => ("no environment variable has such a name", "write its name, as \"SMTP_PASSWORD\""),
        _ if is_file_name(text.value) => return Some(SecretSource::Credential(text.value.into())),
        _ => ("a credential has a plain name", "write the name that LoadCredential gives it, as \"smtp-password\""),
    };
    reader.problems.note(text.span, format!("`{}`: {}", setting.name, fault.0), fault.1);
    None
}

fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_file_name(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('/')
}
