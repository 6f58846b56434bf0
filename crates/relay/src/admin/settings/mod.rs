//! The settings as an operator sees them: the table of settings beside what the configuration's text says.
//!
//! For a virtual server, for the tables at the top, for a domain, for a smart host: one [`SettingView`] for each setting of the
//! table, with all that a form needs. [`typed`] turns what somebody typed into a field into a value of the file, [`shown`]
//! goes the other way; [`spot`] says which setting stands at a place of the text. Whether a value is good, only
//! the check of the whole configuration says.
//!
//! No secret gets out of here: of a password the file says where it is, and whatever else stands there is shown as
//! [`HIDDEN`].

mod conceal;
mod list;
mod spot;
#[cfg(test)]
mod tests;
mod text;

pub use conceal::{conceal, presentable};
pub use list::{domains, of_new_smart_host, smart_hosts};
pub use spot::{Spot, Table as SpotTable, spot};
pub use text::{shown, typed};

use super::edit::{self, EditFault};
use super::view::SettingView;
use crate::config::settings::{self, Preset, Range, Setting, Tab, Unit, amount};
use toml_edit::Value;

/// What is shown in the place of a secret.
pub const HIDDEN: &str = "\"set\"";

/// The tabs of a virtual server, in the order of the dialogs.
pub const SERVER_TABS: &[Tab] = &[Tab::Server, Tab::General, Tab::Access, Tab::Messages, Tab::Delivery, Tab::Queue];

/// All settings of a virtual server, in the order of the manual.
///
/// # Errors
/// The text is no TOML, or has no such virtual server.
pub fn of_server(text: &str, server: &str) -> Result<Vec<SettingView>, EditFault> {
    let mut document = edit::document(text)?;
    let table = edit::server(&mut document, server)?;
    Ok(views(|setting| SERVER_TABS.contains(&setting.tab), |name| edit::value_at(table, name)))
}

/// The name of the first virtual server.
#[must_use]
pub fn first_server(text: &str) -> Option<String> {
    let document = edit::document(text).ok()?;
    let tables = document.get("virtual_server")?.as_array_of_tables()?;
    tables.get(0)?.get("name")?.as_str().map(str::to_owned)
}

/// All settings of the tables at the top of the file, smart hosts aside.
///
/// # Errors
/// The text is no TOML.
pub fn at_the_top(text: &str) -> Result<Vec<SettingView>, EditFault> {
    let mut document = edit::document(text)?;
    let is_here = |setting: &Setting| setting.tab.is_at_the_top() && setting.tab != Tab::SmartHost;
    Ok(views(is_here, |name| edit::value_at(document.as_table_mut(), name)))
}

/// The setting of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Setting> {
    settings::ALL.iter().find(|setting| setting.name == name).copied()
}

/// What somebody typed into the field of a setting, as a value of the file; `None`: there is no such setting.
/// Within: `None`: nothing was typed, so that the default holds.
#[must_use]
pub fn change(name: &str, text: &str) -> Option<Option<String>> {
    if name == CERTIFICATE {
        return Some((!text.trim().is_empty()).then(|| text::tables(text)));
    }
    find(name).map(|setting| typed(setting, text))
}

/// One view for each setting that `wanted` lets through.
fn views(wanted: impl Fn(&Setting) -> bool, mut read: impl FnMut(&str) -> Option<String>) -> Vec<SettingView> {
    let mut views = Vec::new();
    for setting in settings::ALL.iter().filter(|setting| wanted(setting)) {
        views.push(view(setting, read(setting.name).as_deref()));
    }
    // Several certificates are a list of tables: it is shown as one, and its parts are told of only.
    if let Some(at) = views.iter().position(|view| view.name == CERTIFICATE_FIRST)
        && let Some(list) = read(CERTIFICATE).filter(|value| is_list(value))
    {
        for part in views.iter_mut().filter(|view| view.name.starts_with(CERTIFICATE_PARTS)) {
            part.within = Some(CERTIFICATE.into());
        }
        views.insert(at, certificates(&list));
    }
    views
}

const CERTIFICATE: &str = "access.certificate";
const CERTIFICATE_PARTS: &str = "access.certificate.";
const CERTIFICATE_FIRST: &str = "access.certificate.file";

fn certificates(list: &str) -> SettingView {
    SettingView {
        name: CERTIFICATE.into(),
        tab: Tab::Access.word().into(),
        label: "Certificates".into(),
        kind: "list".into(),
        choices: Vec::new(),
        range: String::new(),
        default: "none".into(),
        value: Some(list.to_owned()),
        text: text::lines(list),
        written_as: "tables, one a line, as { file = \"tls/mx.pem\", key = \"tls/mx.key\" }".into(),
        help: "Several certificates; a client gets the one that has the name which it asks for.".into(),
        restarts: false,
        within: None,
    }
}

fn is_list(toml: &str) -> bool {
    matches!(toml.parse::<Value>(), Ok(Value::Array(_)))
}

/// One setting, with what the file says.
#[must_use]
pub fn view(setting: &Setting, value: Option<&str>) -> SettingView {
    let value = value.map(|toml| if setting.unit == Unit::Secret { place_of_secret(toml) } else { toml.to_owned() });
    let choices = match setting.range {
        Range::OneOf(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        _ => Vec::new(),
    };
    SettingView {
        name: setting.name.into(),
        tab: setting.tab.word().into(),
        label: setting.label.into(),
        kind: kind(setting).into(),
        choices,
        range: plain(&settings::range_text(setting).unwrap_or_default()),
        default: default(setting),
        text: value.as_deref().map(|toml| shown(setting, toml)).unwrap_or_default(),
        value,
        written_as: plain(&settings::shape(setting.unit)),
        help: plain(setting.help),
        restarts: restarts(setting),
        within: within(setting).map(str::to_owned),
    }
}

/// What a field for it looks like.
fn kind(setting: &Setting) -> &'static str {
    match setting.unit {
        Unit::Size => "size",
        Unit::Time => "time",
        Unit::Count => "number",
        Unit::Switch => "yes_no",
        Unit::Choice => "choice",
        Unit::List(..) => "list",
        Unit::Verbs => "table",
        Unit::Secret => "secret",
        _ => "text",
    }
}

/// What holds if it is not written, in words.
fn default(setting: &Setting) -> String {
    match setting.default {
        Preset::Required => "none: it must be written".into(),
        Preset::Switch(on) => if on { "yes" } else { "no" }.into(),
        Preset::Number(number) => plain_value(setting, &amount(setting.unit, number)),
        Preset::Numbers(numbers) => {
            let items: Vec<_> = numbers.iter().map(|number| amount(setting.unit, *number)).collect();
            shown(setting, &format!("[{}]", items.join(", "))).replace('\n', ", ")
        }
        Preset::Unlimited => "unlimited".into(),
        Preset::Text("[]") => "an empty list".into(),
        Preset::Text(toml) => plain_value(setting, toml),
        Preset::Follows(words) => plain(words),
    }
}

fn plain_value(setting: &Setting, toml: &str) -> String {
    shown(setting, toml).replace('\n', ", ")
}

/// Without the manual's marks for what stands in the file, and without the quotes of a text that stands alone.
fn plain(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for (number, part) in words.split('`').enumerate() {
        let bare = part.strip_prefix('"').and_then(|part| part.strip_suffix('"')).filter(|bare| !bare.contains('"'));
        out.push_str(bare.filter(|_| number % 2 == 1).unwrap_or(part));
    }
    out
}

/// A listener is one item of a list: its parts are not written by themselves.
fn within(setting: &Setting) -> Option<&'static str> {
    setting.name.starts_with("general.listen.").then_some("general.listen")
}

/// Changing it starts a virtual server anew.
fn restarts(setting: &Setting) -> bool {
    setting.tab == Tab::Queue || setting.name == "home"
}

/// Where the secret is, if that is what is written.
fn place_of_secret(toml: &str) -> String {
    let is_place = |value: &Value| {
        let table = value.as_inline_table()?;
        let known = |(key, value): (&str, &Value)| matches!(key, "file" | "env" | "credential") && value.is_str();
        (table.len() == 1 && table.iter().all(known)).then_some(())
    };
    match toml.parse::<Value>() {
        Ok(value) if is_place(&value).is_some() => toml.to_owned(),
        _ => HIDDEN.to_owned(),
    }
}
