//! Which setting stands at a place of the configuration's text: so that what is wrong there can be told beside its field.

use toml_edit::{Document, Item, Table as TomlTable, TableLike, Value};

/// In which table of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Table {
    /// One at the top.
    Top,
    /// Of this virtual server.
    Server(String),
    /// This domain of this virtual server.
    Domain(String, String),
    /// This smart host.
    SmartHost(String),
}

/// A setting where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spot {
    /// Whose it is.
    pub table: Table,
    /// Its name, as docs/settings.md has it; empty: the table as a whole.
    pub setting: String,
}

/// The setting whose key or value is at this octet. `None`: none is, or the text is no TOML.
#[must_use]
pub fn spot(text: &str, at: usize) -> Option<Spot> {
    let document = Document::parse(text).ok()?;
    let root = document.as_table();
    for server in tables(root, "virtual_server") {
        let name = name(server);
        for domain in tables(server, "domain") {
            let table = Table::Domain(name.clone(), self::name(domain));
            if let Some(key) = within(domain, at) {
                return Some(Spot { table, setting: format!("domain.{key}") });
            }
            if heads(domain, at) {
                return Some(Spot { table, setting: String::new() });
            }
        }
        if let Some(setting) = within(server, at) {
            return Some(Spot { table: Table::Server(name), setting });
        }
        if heads(server, at) {
            return Some(Spot { table: Table::Server(name), setting: String::new() });
        }
    }
    for host in tables(root, "smart_host") {
        let table = Table::SmartHost(name(host));
        if let Some(key) = within(host, at) {
            return Some(Spot { table, setting: format!("smart_host.{key}") });
        }
        if heads(host, at) {
            return Some(Spot { table, setting: String::new() });
        }
    }
    within(root, at).map(|setting| Spot { table: Table::Top, setting })
}

fn tables<'t>(table: &'t TomlTable, key: &str) -> impl Iterator<Item = &'t TomlTable> {
    table.get(key).and_then(Item::as_array_of_tables).into_iter().flatten()
}

fn name(table: &TomlTable) -> String {
    table.get("name").and_then(Item::as_str).unwrap_or_default().to_owned()
}

/// Is it the line with the table's head?
fn heads(table: &TomlTable, at: usize) -> bool {
    table.span().is_some_and(|span| span.contains(&at))
}

/// The dotted name below this table of what stands at the octet.
fn within(table: &dyn TableLike, at: usize) -> Option<String> {
    for (key, item) in table.iter() {
        let is_key = table.key(key).and_then(toml_edit::Key::span).is_some_and(|span| span.contains(&at));
        let below = match item {
            Item::Table(below) => within(below, at).or_else(|| heads(below, at).then(String::new)),
            Item::Value(Value::InlineTable(below)) => {
                within(below, at).or_else(|| item.span().is_some_and(|span| span.contains(&at)).then(String::new))
            }
            Item::Value(value) => value.span().is_some_and(|span| span.contains(&at)).then(String::new),
            Item::ArrayOfTables(_) | Item::None => None,
        };
        match below {
            Some(below) if below.is_empty() => return Some(key.to_owned()),
            Some(below) => return Some(format!("{key}.{below}")),
            None if is_key => return Some(key.to_owned()),
            None => {}
        }
    }
    None
}
