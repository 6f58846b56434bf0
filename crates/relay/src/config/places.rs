//! Where in the file each setting of a virtual server stands, so that an answer can name file and line.
//!
//! A side table, by name: what a setting means does not depend on its line. That is why all [`Places`] are equal: a
//! reload which only moves lines restarts nothing.

use super::read::Span;
use super::terms::Owner;
use smtp::address::Domain;
use std::fmt;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// A line of the configuration.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a str,
    /// The line, counted from 1.
    pub line: u32,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The lines of one virtual server's settings.
#[derive(Clone, Default)]
pub struct Places {
    file: Arc<str>,
    /// Names and lines, by name. Items of a list are `name[0]`, settings of a domain `domain(*.example.com).route`, those of a
    /// smart host, which all virtual servers share, `smart_host(office).sender`.
    lines: Arc<[(Box<str>, u32)]>,
}

impl Places {
    /// The line on which the setting is written; `None`: it is not written.
    #[must_use]
    pub fn of(&self, setting: &str) -> Option<Place<'_>> {
        let at = self.lines.binary_search_by(|(name, _)| (**name).cmp(setting)).ok()?;
        self.lines.get(at).map(|(_, line)| Place { file: &self.file, line: *line })
    }

    /// The line of an item of a list, or of the list if it is no list but a single value.
    #[must_use]
    pub fn item(&self, setting: &str, index: usize) -> Option<Place<'_>> {
        self.of(&format!("{setting}[{index}]")).or_else(|| self.of(setting))
    }

    /// The line of a key of a table that is an item of a list, if it is written.
    #[must_use]
    pub fn key(&self, setting: &str, index: usize, key: &str) -> Option<Place<'_>> {
        self.of(&format!("{setting}[{index}].{key}"))
    }

    /// The line of a domain's setting (`route`), if it is written; with `below`, of all below the name.
    #[must_use]
    pub fn domain(&self, name: &Domain, below: bool, key: &str) -> Option<Place<'_>> {
        self.of(&format!("domain({}{name}).{key}", if below { "*." } else { "" }))
    }

    /// The line of a setting that belongs to terms (`sender`), if it is written.
    #[must_use]
    pub fn terms(&self, owner: &Owner, key: &str) -> Option<Place<'_>> {
        match owner {
            Owner::Server => self.of(&format!("delivery.{key}")),
            Owner::SmartHost(name) => self.of(&format!("smart_host({name}).{key}")),
            Owner::Domain(pattern) => self.of(&format!("domain({pattern}).{key}")),
        }
    }
}

impl PartialEq for Places {
    /// Lines are not settings.
    fn eq(&self, _: &Places) -> bool {
        true
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Places({}, {} lines)", self.file, self.lines.len())
    }
}

/// Finds the places of virtual servers in one text.
pub(super) struct Surveyor {
    file: Arc<str>,
    /// Where each line begins.
    starts: Vec<usize>,
    /// Lines of what all virtual servers share.
    shared: Vec<(Box<str>, u32)>,
}

impl Surveyor {
    pub(super) fn new(source: &str, path: &str, root: &DeTable<'_>) -> Surveyor {
        let ends = source.bytes().enumerate().filter(|(_, octet)| *octet == b'\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        let mut surveyor = Surveyor { file: path.into(), starts, shared: Vec::new() };
        let mut shared = Vec::new();
        if let Some((_, hosts)) = root.iter().find(|(key, _)| key.get_ref() == "smart_host") {
            surveyor.value(hosts.get_ref(), "smart_host", &mut shared);
        }
        surveyor.shared = shared;
        surveyor
    }

    /// All settings of one `[[virtual_server]]`.
    pub(super) fn survey(&self, server: &DeTable<'_>) -> Places {
        let mut lines = self.shared.clone();
        self.table(server, "", &mut lines);
        lines.sort_unstable();
        lines.dedup_by(|later, first| later.0 == first.0);
        Places { file: Arc::clone(&self.file), lines: lines.into() }
    }

    fn table(&self, table: &DeTable<'_>, prefix: &str, lines: &mut Vec<(Box<str>, u32)>) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            // The key's line: a value in three quotes begins where its key stands, and a table where its head does.
            lines.push((name.as_str().into(), self.line(&key.span())));
            self.value(value.get_ref(), &name, lines);
        }
    }

    fn value(&self, value: &DeValue<'_>, name: &str, lines: &mut Vec<(Box<str>, u32)>) {
        match value {
            DeValue::Table(table) => self.table(table, &format!("{name}."), lines),
            DeValue::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let own = match item.get_ref() {
                        DeValue::Table(table) if name == "domain" => own_name(table),
                        DeValue::Table(table) if name == "smart_host" => {
                            name_of(table).map(|own| format!("smart_host({own})"))
                        }
                        _ => None,
                    };
                    let item_name = own.unwrap_or_else(|| format!("{name}[{index}]"));
                    lines.push((item_name.as_str().into(), self.line(&item.span())));
                    self.value(item.get_ref(), &item_name, lines);
                }
            }
            _ => {}
        }
    }

    fn line(&self, span: &Span) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= span.start)).unwrap_or(u32::MAX)
    }
}

/// `domain(example.com)`: domains have no order that means anything, but names.
fn own_name(table: &DeTable<'_>) -> Option<String> {
    let text = name_of(table)?;
    let (head, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let name = Domain::parse(name).ok()?;
    Some(format!("domain({head}{name})"))
}

fn name_of<'t>(table: &'t DeTable<'_>) -> Option<&'t str> {
    table.iter().find(|(key, _)| key.get_ref() == "name").and_then(|(_, value)| value.get_ref().as_str())
}
