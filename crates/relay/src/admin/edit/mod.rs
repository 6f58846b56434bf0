//! Changes to the text of `mailroot.toml` that keep its comments and its order: text in, text out.
//!
//! A change names a setting as docs/settings.md does and gives its value as the file would have it. What comes out is read
//! and checked as a whole before it is used ([`crate::config::Config::parse`]); here is only found out whether the change can be written down at
//! all: whether the virtual server, the domain and the setting exist, and whether the value is TOML. All changes of one
//! call are made, or none.
//!
//! Decides nothing about who may, and keeps no versions: the daemon does.

mod entries;
mod path;
#[cfg(test)]
mod tests;

pub use entries::{
    add_domain, add_server, remove_domain, remove_server, remove_smart_host, rename_domain, rename_server, set_domain,
    set_smart_host,
};

pub(super) use entries::server;

use super::Change;
use crate::config::settings::{self, Setting, Tab};
use std::fmt;
use toml_edit::DocumentMut;

/// Why a change cannot be written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EditFault {
    /// The file as it stands is no TOML: it is to be mended by hand first.
    Broken(String),
    /// There is no such virtual server, domain or smart host.
    Missing(String),
    /// There is one of that name already.
    Taken(String),
    /// There is no such setting, or not there.
    Unknown(String),
    /// The value is no TOML.
    Value(String),
}

impl fmt::Display for EditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EditFault::Broken(why) => {
                write!(f, "the configuration file is no TOML at the moment; mend it by hand first: {why}")
            }
            EditFault::Missing(what) => write!(f, "there is no {what}"),
            EditFault::Taken(what) => write!(f, "there is a {what} already"),
            EditFault::Unknown(name) => {
                write!(f, "there is no setting {name} here; docs/settings.md lists them all")
            }
            EditFault::Value(why) => {
                write!(f, "the value cannot be read: {why}. Texts stand in quotes (\"2 MB\"), lists in square brackets")
            }
        }
    }
}

impl std::error::Error for EditFault {}

/// Sets, or takes out, settings of a virtual server, or of the tables at the top of the file.
///
/// # Errors
/// One of the changes cannot be written down; nothing is changed then.
pub fn set(text: &str, server: Option<&str>, changes: &[Change]) -> Result<String, EditFault> {
    let mut document = document(text)?;
    for change in changes {
        let is_here =
            |tab: Tab| tab.is_at_the_top() == server.is_none() && !matches!(tab, Tab::Domain | Tab::SmartHost);
        if !is_known(&change.setting, |setting| is_here(setting.tab)) {
            return Err(EditFault::Unknown(change.setting.clone()));
        }
        let table = match server {
            Some(name) => entries::server(&mut document, name)?,
            None => document.as_table_mut(),
        };
        path::put(table, &change.setting, change.value.as_deref())?;
    }
    Ok(document.to_string())
}

/// What a setting says in the file, as TOML; `None`: it is not written there.
///
/// # Errors
/// The file is no TOML, or has no such virtual server; or there is no such setting.
pub fn get(text: &str, server: Option<&str>, setting: &str) -> Result<Option<String>, EditFault> {
    if !is_known(setting, |_| true) {
        return Err(EditFault::Unknown(setting.to_owned()));
    }
    let mut document = document(text)?;
    let table = match server {
        Some(name) => entries::server(&mut document, name)?,
        None => document.as_table_mut(),
    };
    Ok(path::take(table, setting))
}

/// The same for a setting of a domain, by its last word.
///
/// # Errors
/// The file is no TOML, or has no such virtual server or domain.
pub fn get_of_domain(text: &str, server: &str, domain: &str, setting: &str) -> Result<Option<String>, EditFault> {
    let mut document = document(text)?;
    let table = entries::domain(entries::server(&mut document, server)?, domain)?;
    Ok(path::take(table, setting.strip_prefix("domain.").unwrap_or(setting)))
}

/// What stands at a dotted path below a table, as TOML.
pub(super) fn value_at(table: &mut toml_edit::Table, path: &str) -> Option<String> {
    path::take(table, path)
}

/// The difference between two texts, line by line, with three lines around each change; empty: there is none.
#[must_use]
pub fn diff(before: &str, after: &str) -> String {
    if before == after {
        return String::new();
    }
    similar::TextDiff::from_lines(before, after).unified_diff().context_radius(3).header("before", "after").to_string()
}

pub(super) fn document(text: &str) -> Result<DocumentMut, EditFault> {
    text.parse().map_err(|error: toml_edit::TomlError| EditFault::Broken(error.message().to_owned()))
}

/// Is it a setting, or a table or list of settings (`access.certificate`), of those that `among` lets through?
fn is_known(name: &str, among: impl Fn(&Setting) -> bool) -> bool {
    settings::ALL
        .iter()
        .filter(|setting| among(setting))
        .any(|setting| setting.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')))
}
