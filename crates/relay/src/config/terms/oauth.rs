//! `auth` with `method = "oauth"`: by what right tokens are given, and where they are asked for.
//!
//! RFC 6749, RFC 7523, RFC 8628. Combinations that a provider is known to refuse are refused here, with what to write instead.

use super::auth::{bounded, demanded, missing, secret};
use super::keys::Keys;
use super::provider::{GOOGLE_SCOPE, GOOGLE_TOKENS, Provider};
use super::{BearerMechanism, Grant, OAuthClient};
use crate::config::read::{Fault, Reader, Table};
use crate::config::settings::Setting;

/// The words of `auth.grant`, in the order of the setting's range.
#[derive(Copy, Clone, PartialEq, Eq)]
enum Right {
    ClientSecret,
    ClientCertificate,
    DeviceCode,
    RefreshToken,
    ServiceAccount,
}

const RIGHTS: [Right; 5] =
    [Right::ClientSecret, Right::ClientCertificate, Right::DeviceCode, Right::RefreshToken, Right::ServiceAccount];

impl Right {
    /// The application acts in its own name.
    fn is_application(self) -> bool {
        matches!(self, Right::ClientSecret | Right::ClientCertificate)
    }
}

/// Tenants that stand for many: no application can act in their name.
const TENANTS_OF_MANY: [&str; 3] = ["common", "organizations", "consumers"];

pub(super) fn read<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    keys: &'static Keys,
    provider: Option<Provider>,
) -> Option<OAuthClient> {
    let user = demanded(reader, table, &keys.user, "user = \"relay@example.com\"");
    missing(
        reader,
        table,
        &keys.grant,
        "grant = \"client_secret\", \"device_code\" or another one of docs/settings.md",
    );
    let right = reader.choice(table, &keys.grant).and_then(|i| RIGHTS.get(i).copied())?;
    let tenant = tenant(reader, table, keys, provider, right);
    refuse_strange(reader, table, keys, provider, right);
    let client_id = match right {
        Right::ServiceAccount => bounded(reader, table, &keys.client_id).or_else(|| Some(Box::default())),
        _ => demanded(reader, table, &keys.client_id, "client_id = \"…\", the application's ID"),
    };
    let grant = grant(reader, table, keys, provider, right);
    let endpoint = |reader: &mut Reader<'s>, setting: &'static Setting, usual: Option<String>, is_demanded: bool| {
        if let Some(text) = reader.text(table, setting) {
            return reader.parsed(text, setting, https).map(|text| text.value);
        }
        if usual.is_none() && is_demanded {
            missing(reader, table, setting, &format!("{} = \"https://…\"", setting.key()));
        }
        usual.map(Box::from)
    };
    // A tenant that is missing is told once, not as an endpoint too.
    let told = provider == Some(Provider::Microsoft365) && tenant.is_none();
    let usual = provider.and_then(|provider| provider.token_endpoint(tenant.as_deref()));
    let usual = usual.or_else(|| (right == Right::ServiceAccount).then(|| GOOGLE_TOKENS.to_owned()));
    let token_endpoint = endpoint(reader, &keys.token_endpoint, usual, !told);
    let usual = provider.and_then(|provider| provider.device_endpoint(tenant.as_deref()));
    let by_device = right == Right::DeviceCode && provider != Some(Provider::Google);
    let usual = usual.filter(|_| right == Right::DeviceCode);
    let device_endpoint = endpoint(reader, &keys.device_endpoint, usual, by_device && !told);
    let mechanism = match reader.choice(table, &keys.mechanism) {
        Some(1) => BearerMechanism::Xoauth2,
        Some(2) => BearerMechanism::OauthBearer,
        _ => BearerMechanism::Any,
    };
    let scope = scope(reader, table, keys, provider, right);
    Some(OAuthClient {
        user: user?,
        mechanism,
        token_endpoint: token_endpoint?,
        device_endpoint,
        client_id: client_id?,
        scope: scope?,
        grant: grant?,
        authorities: reader.folder(table, &keys.auth_authority),
    })
}

fn grant<'s>(
    reader: &mut Reader<'s>,
    table: Table<'_, 's>,
    keys: &'static Keys,
    provider: Option<Provider>,
    right: Right,
) -> Option<Grant> {
    let file = |reader: &mut Reader<'s>, setting: &'static Setting, example: &str| {
        missing(reader, table, setting, example);
        reader.folder(table, setting)
    };
    match right {
        Right::ClientSecret => secret(reader, table, &keys.client_secret, true).map(Grant::ClientSecret),
        Right::ClientCertificate => {
            let certificate = file(reader, &keys.assertion_certificate, "certificate = \"tls/app.pem\"")?;
            let key = reader.folder(table, &keys.assertion_key).unwrap_or_else(|| certificate.clone());
            Some(Grant::ClientCertificate { certificate, key })
        }
        Right::DeviceCode => Some(Grant::DeviceCode { secret: secret(reader, table, &keys.client_secret, false) }),
        Right::RefreshToken => {
            // Google has a secret for every application, and no tokens without it.
            let of_client = secret(reader, table, &keys.client_secret, provider == Some(Provider::Google));
            let token = secret(reader, table, &keys.refresh_token, true)?;
            Some(Grant::RefreshToken { token, secret: of_client })
        }
        Right::ServiceAccount => {
            let file = file(reader, &keys.service_account, "service_account = \"google.json\"")?;
            Some(Grant::ServiceAccount { file })
        }
    }
}

fn tenant(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    keys: &'static Keys,
    provider: Option<Provider>,
    right: Right,
) -> Option<Box<str>> {
    if provider != Some(Provider::Microsoft365) {
        if let Some(span) = table.place_of(&keys.tenant) {
            let hint = "write provider = \"microsoft365\" in [[smart_host]], or take it out";
            reader.problems.note(span, "`tenant` has a meaning for Microsoft 365 alone", hint);
        }
        return None;
    }
    if !table.has(&keys.token_endpoint) {
        missing(reader, table, &keys.tenant, "tenant = \"contoso.onmicrosoft.com\", or its directory ID");
    }
    let tenant = bounded(reader, table, &keys.tenant)?;
    let hint = "write the directory (tenant) ID, or a domain of the tenant";
    if !tenant.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.') {
        reader.problems.note(table.span_of(&keys.tenant), format!("{tenant:?} is no tenant"), hint);
    } else if right.is_application() && TENANTS_OF_MANY.contains(&&*tenant) {
        let text = format!("an application sends for one tenant, and {tenant:?} is none");
        reader.problems.note(table.span_of(&keys.tenant), text, hint);
    }
    Some(tenant)
}

/// Notes settings of other grants, and grants that the provider does not know.
fn refuse_strange(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    keys: &'static Keys,
    provider: Option<Provider>,
    right: Right,
) {
    let strange: &[&Setting] = match right {
        Right::ClientSecret => &[
            &keys.assertion_certificate,
            &keys.assertion_key,
            &keys.refresh_token,
            &keys.service_account,
            &keys.device_endpoint,
        ],
        Right::ClientCertificate => {
            &[&keys.client_secret, &keys.refresh_token, &keys.service_account, &keys.device_endpoint]
        }
        Right::DeviceCode => {
            &[&keys.assertion_certificate, &keys.assertion_key, &keys.refresh_token, &keys.service_account]
        }
        Right::RefreshToken => {
            &[&keys.assertion_certificate, &keys.assertion_key, &keys.service_account, &keys.device_endpoint]
        }
        Right::ServiceAccount => &[
            &keys.client_secret,
            &keys.assertion_certificate,
            &keys.assertion_key,
            &keys.refresh_token,
            &keys.device_endpoint,
        ],
    };
    for setting in strange.iter().filter(|setting| table.has(setting)) {
        let text = format!("`{}` has no meaning beside this `grant`", setting.key());
        reader.problems.note(table.span_of(setting), text, "take it out");
    }
    if table.has(&keys.token_endpoint) {
        return;
    }
    let fault = match (provider, right) {
        (Some(Provider::Google), Right::ClientSecret | Right::ClientCertificate) => {
            "Google lets no application send in its own name"
        }
        (Some(Provider::Google), Right::DeviceCode) => "Google gives no device codes for mail",
        (Some(Provider::Microsoft365), Right::ServiceAccount) => {
            let hint = "write grant = \"client_secret\" or \"client_certificate\"";
            reader.problems.note(table.span_of(&keys.grant), "service accounts are Google's", hint);
            return;
        }
        _ => return,
    };
    reader.problems.note(table.span_of(&keys.grant), fault, "write grant = \"service_account\" or \"refresh_token\"");
}

fn scope(
    reader: &mut Reader<'_>,
    table: Table<'_, '_>,
    keys: &'static Keys,
    provider: Option<Provider>,
    right: Right,
) -> Option<Box<str>> {
    if let Some(text) = bounded(reader, table, &keys.scope) {
        return Some(text.split_whitespace().collect::<Vec<_>>().join(" ").into());
    }
    let usual = provider.map(|provider| provider.scope(right.is_application()));
    let usual = usual.or_else(|| (right == Right::ServiceAccount).then_some(GOOGLE_SCOPE));
    if usual.is_none() {
        missing(reader, table, &keys.scope, "scope = \"…\", as the identity provider names it");
    }
    usual.map(Box::from)
}

fn https(text: &str) -> Result<Box<str>, Fault> {
    let host = text.strip_prefix("https://").unwrap_or_default();
    if host.is_empty() || host.starts_with('/') || text.contains([' ', '#', '@']) {
        return Err(Fault::new("it is no https address", "write \"https://…\""));
    }
    Ok(text.into())
}
