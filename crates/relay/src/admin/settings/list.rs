//! Domains and smart hosts with their settings.

use super::{view, views};
use crate::admin::DomainKind;
use crate::admin::edit::{self, EditFault};
use crate::admin::view::{DomainView, SettingView, SmartHostView};
use crate::config::settings::{self, Tab};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

/// The domains of a virtual server, in the file's order. `default` is the name of its default domain, which need not be written.
///
/// # Errors
/// The text is no TOML, or has no such virtual server.
pub fn domains(text: &str, server: &str, default: &str) -> Result<Vec<DomainView>, EditFault> {
    let mut document = edit::document(text)?;
    let tables = edit::server(&mut document, server)?.get_mut("domain").and_then(Item::as_array_of_tables_mut);
    let mut domains = Vec::new();
    for table in tables.into_iter().flat_map(ArrayOfTables::iter_mut) {
        let Some(name) = table.get("name").and_then(Item::as_str).map(str::to_owned) else { continue };
        let kind = match table.get("kind").and_then(Item::as_str) {
            Some("alias") => DomainKind::Alias,
            Some("remote") => DomainKind::Remote,
            _ => DomainKind::Default,
        };
        let route = route(kind, &strings(table.get("route")));
        let open = kind != DomainKind::Remote || table.get("allow_relay").and_then(Item::as_bool) == Some(true);
        domains.push(DomainView {
            name,
            kind,
            route,
            open,
            written: true,
            settings: domain_settings(kind, |key| edit::value_at(table, key)),
        });
    }
    if !domains.iter().any(|domain| domain.kind == DomainKind::Default) {
        let settings = domain_settings(DomainKind::Default, |_| None);
        let (kind, route) = (DomainKind::Default, route(DomainKind::Default, &[]));
        domains.insert(0, DomainView { name: default.into(), kind, route, open: true, written: false, settings });
    }
    Ok(domains)
}

/// The settings that a domain of this kind can have.
fn domain_settings(kind: DomainKind, mut read: impl FnMut(&str) -> Option<String>) -> Vec<SettingView> {
    let fits = |name: &str| match kind {
        DomainKind::Default => !matches!(name, "domain.allow_relay" | "domain.helo_only"),
        DomainKind::Alias => false,
        DomainKind::Remote => !matches!(name, "domain.drop" | "domain.quota"),
    };
    let wanted = |name: &str| !matches!(name, "domain.name" | "domain.kind") && fits(name);
    let read = |name: &str| read(name.strip_prefix("domain.").unwrap_or(name));
    views(|setting| setting.tab == Tab::Domain && wanted(setting.name), read)
}

/// Where mail for it goes, in words.
fn route(kind: DomainKind, routes: &[&str]) -> String {
    let named = |route: &&str| match *route {
        "mx" => "the hosts that DNS names (MX)".to_owned(),
        other => match other.split_once(':') {
            Some(("smart_host", name)) => format!("smart host {name}"),
            _ => other.to_owned(),
        },
    };
    match (kind, routes) {
        (DomainKind::Alias, _) => "as the default domain's mail".into(),
        (DomainKind::Default, []) => "the Drop folder".into(),
        (DomainKind::Remote, []) => "as all other mail".into(),
        (_, routes) => routes.iter().map(named).collect::<Vec<_>>().join(", else "),
    }
}

/// The settings that a smart host has, none of them written.
#[must_use]
pub fn of_new_smart_host() -> Vec<SettingView> {
    views(|setting| setting.tab == Tab::SmartHost && setting.name != "smart_host.name", |_| None)
}

/// The smart hosts, in the file's order.
///
/// # Errors
/// The text is no TOML.
pub fn smart_hosts(text: &str) -> Result<Vec<SmartHostView>, EditFault> {
    let document = edit::document(text)?;
    let mut hosts = Vec::new();
    for table in document.get("smart_host").and_then(Item::as_array_of_tables).into_iter().flatten() {
        let Some(name) = table.get("name").and_then(Item::as_str) else { continue };
        let mut own = table.clone();
        let settings = settings::ALL.iter().filter(|setting| setting.tab == Tab::SmartHost).skip(1);
        let read = |key: &str, own: &mut Table| edit::value_at(own, key.strip_prefix("smart_host.").unwrap_or(key));
        let settings = settings.map(|setting| view(setting, read(setting.name, &mut own).as_deref())).collect();
        hosts.push(SmartHostView { name: name.to_owned(), settings, used_by: used_by(&document, name) });
    }
    Ok(hosts)
}

/// Who names it.
fn used_by(document: &DocumentMut, name: &str) -> Vec<String> {
    let mut users = Vec::new();
    for server in document.get("virtual_server").and_then(Item::as_array_of_tables).into_iter().flatten() {
        let whose = server.get("name").and_then(Item::as_str).unwrap_or_default();
        let is_it = |other: &&str| other.eq_ignore_ascii_case(name);
        let delivery = server.get("delivery").and_then(|delivery| delivery.get("smart_host"));
        if strings(delivery).iter().any(is_it) {
            users.push(whose.to_owned());
        }
        for domain in server.get("domain").and_then(Item::as_array_of_tables).into_iter().flatten() {
            let routes = strings(domain.get("route"));
            if routes.iter().filter_map(|route| route.strip_prefix("smart_host:")).any(|other| is_it(&other)) {
                let domain = domain.get("name").and_then(Item::as_str).unwrap_or_default();
                users.push(format!("{domain} of {whose}"));
            }
        }
    }
    users
}

/// A text, or a list of them.
fn strings(item: Option<&Item>) -> Vec<&str> {
    match item.and_then(Item::as_value) {
        Some(Value::String(text)) => vec![text.value()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}
