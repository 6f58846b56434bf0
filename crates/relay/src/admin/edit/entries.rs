//! Virtual servers, domains and smart hosts: found, added, renamed, removed.

use super::{EditFault, document, is_known, path};
use crate::admin::recipe::Recipe;
use crate::admin::{Change, DomainKind, NewDomain, NewServer, settings};
use crate::config::general::LISTEN;
use crate::config::settings::Tab;
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, value};

/// The table of a virtual server.
pub(in crate::admin) fn server<'d>(document: &'d mut DocumentMut, name: &str) -> Result<&'d mut Table, EditFault> {
    named(document.get_mut("virtual_server"), name)
        .ok_or_else(|| EditFault::Missing(format!("virtual server \"{name}\"")))
}

/// The table of a domain.
pub(super) fn domain<'d>(server: &'d mut Table, name: &str) -> Result<&'d mut Table, EditFault> {
    named(server.get_mut("domain"), name).ok_or_else(|| EditFault::Missing(format!("domain \"{name}\"")))
}

fn named<'d>(item: Option<&'d mut Item>, name: &str) -> Option<&'d mut Table> {
    item?.as_array_of_tables_mut()?.iter_mut().find(|table| is_named(table, name))
}

fn is_named(table: &Table, name: &str) -> bool {
    table.get("name").and_then(Item::as_str).is_some_and(|own| own.eq_ignore_ascii_case(name))
}

fn has(item: Option<&Item>, name: &str) -> bool {
    item.and_then(Item::as_array_of_tables).is_some_and(|tables| tables.iter().any(|table| is_named(table, name)))
}

/// The list of tables of that name, made where it is missing.
fn tables<'t>(table: &'t mut Table, key: &str) -> Result<&'t mut ArrayOfTables, EditFault> {
    let item = table.entry(key).or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    // `domain = []` is an empty list as well.
    if item.as_array().is_some_and(Array::is_empty) {
        *item = Item::ArrayOfTables(ArrayOfTables::new());
    }
    let inline = format!("list of {key} entries as tables: write each as [[…{key}]]");
    item.as_array_of_tables_mut().ok_or(EditFault::Missing(inline))
}

fn remove(item: Option<&mut Item>, name: &str) -> bool {
    let Some(tables) = item.and_then(Item::as_array_of_tables_mut) else { return false };
    let before = tables.len();
    tables.retain(|table| !is_named(table, name));
    tables.len() < before
}

/// Adds a virtual server, as its recipe has it if there is one.
///
/// # Errors
/// The name is taken, there is no such recipe, or the file is no TOML.
pub fn add_server(text: &str, new: &NewServer) -> Result<String, EditFault> {
    let mut document = document(text)?;
    if has(document.get("virtual_server"), &new.name) {
        return Err(EditFault::Taken(format!("virtual server \"{}\"", new.name)));
    }
    // Lists in one line cannot be added to from below.
    tables(document.as_table_mut(), "virtual_server")?;
    let template = match new.recipe.as_deref() {
        Some(word) => Recipe::named(word)
            .ok_or_else(|| EditFault::Missing(format!("recipe \"{word}\"")))?
            .own(&new.default_domain),
        None => format!(
            "[[virtual_server]]\nname = \"\"\nhome = \"\"\n\n  [[virtual_server.domain]]\n  name = {}\n  kind = \"default\"\n",
            crate::config::quoted(&new.default_domain)
        ),
    };
    let mut own: DocumentMut = self::document(&template)?;
    let tables = own.get_mut("virtual_server").and_then(Item::as_array_of_tables_mut);
    if let Some(table) = tables.and_then(|tables| tables.get_mut(0)) {
        path::put(table, "name", Some(&crate::config::quoted(&new.name)))?;
        path::put(table, "home", Some(&crate::config::quoted(&new.home)))?;
        // Without an address the recipe's hold, or the default's.
        if let Some(listen) = settings::typed(&LISTEN, &new.listen.join("\n")) {
            path::put(table, "general.listen", Some(&listen))?;
        }
    }
    // A table with a head of its own may stand anywhere: behind all others, with the comments that it came with.
    let gap = if text.is_empty() {
        ""
    } else if text.ends_with('\n') {
        "\n"
    } else {
        "\n\n"
    };
    Ok(format!("{text}{gap}{}", own.to_string().trim_start()))
}

/// Gives a virtual server another name.
///
/// # Errors
/// There is none of the old name or one of the new, or the file is no TOML.
pub fn rename_server(text: &str, name: &str, new: &str) -> Result<String, EditFault> {
    let mut document = document(text)?;
    if !name.eq_ignore_ascii_case(new) && has(document.get("virtual_server"), new) {
        return Err(EditFault::Taken(format!("virtual server \"{new}\"")));
    }
    path::put(server(&mut document, name)?, "name", Some(&crate::config::quoted(new)))?;
    Ok(document.to_string())
}

/// Takes a virtual server out of the file.
///
/// # Errors
/// There is none of that name, or the file is no TOML.
pub fn remove_server(text: &str, name: &str) -> Result<String, EditFault> {
    let mut document = document(text)?;
    if !remove(document.get_mut("virtual_server"), name) {
        return Err(EditFault::Missing(format!("virtual server \"{name}\"")));
    }
    Ok(document.to_string())
}

/// Adds a domain. A new default domain turns the one before into an alias, as the old service did.
///
/// # Errors
/// There is no such virtual server, the name is taken, a setting is unknown, or the file is no TOML.
pub fn add_domain(text: &str, server_name: &str, new: &NewDomain) -> Result<String, EditFault> {
    let mut document = document(text)?;
    let server = server(&mut document, server_name)?;
    if has(server.get("domain"), &new.name) {
        return Err(EditFault::Taken(format!("domain \"{}\"", new.name)));
    }
    let mut table = Table::new();
    table.insert("name", value(&new.name));
    let kind = match new.kind {
        DomainKind::Default => "default",
        DomainKind::Alias => "alias",
        DomainKind::Remote => "remote",
    };
    table.insert("kind", value(kind));
    put_all(&mut table, Tab::Domain, "domain.", &new.changes)?;
    let domains = tables(server, "domain")?;
    if new.kind == DomainKind::Default {
        for old in domains.iter_mut().filter(|old| old.get("kind").and_then(Item::as_str) == Some("default")) {
            old.insert("kind", value("alias"));
            // An alias has no settings of its own: they go over to the new one unless it brings its own.
            for key in ["route", "drop", "quota"] {
                if let Some(item) = old.remove(key)
                    && !table.contains_key(key)
                {
                    table.insert(key, item);
                }
            }
        }
    }
    domains.push(table);
    Ok(document.to_string())
}

/// Changes settings of a domain.
///
/// # Errors
/// There is no such virtual server, domain or setting, a value is no TOML, or the file is none.
pub fn set_domain(text: &str, server_name: &str, name: &str, changes: &[Change]) -> Result<String, EditFault> {
    let mut document = document(text)?;
    let table = domain(server(&mut document, server_name)?, name)?;
    put_all(table, Tab::Domain, "domain.", changes)?;
    Ok(document.to_string())
}

/// Gives a domain another name.
///
/// # Errors
/// There is none of the old name or one of the new, or the file is no TOML.
pub fn rename_domain(text: &str, server_name: &str, name: &str, new: &str) -> Result<String, EditFault> {
    let mut document = document(text)?;
    let server = server(&mut document, server_name)?;
    if !name.eq_ignore_ascii_case(new) && has(server.get("domain"), new) {
        return Err(EditFault::Taken(format!("domain \"{new}\"")));
    }
    path::put(domain(server, name)?, "name", Some(&crate::config::quoted(new)))?;
    Ok(document.to_string())
}

/// Removes a domain.
///
/// # Errors
/// There is no such virtual server or domain, or the file is no TOML.
pub fn remove_domain(text: &str, server_name: &str, name: &str) -> Result<String, EditFault> {
    let mut document = document(text)?;
    let server = server(&mut document, server_name)?;
    if !remove(server.get_mut("domain"), name) {
        return Err(EditFault::Missing(format!("domain \"{name}\"")));
    }
    Ok(document.to_string())
}

/// Changes settings of a smart host, which is made if there is none of that name.
///
/// # Errors
/// There is no such setting, a value is no TOML, or the file is none.
pub fn set_smart_host(text: &str, name: &str, changes: &[Change]) -> Result<String, EditFault> {
    let mut document = document(text)?;
    let root = document.as_table_mut();
    if !has(root.get("smart_host"), name) {
        let mut table = Table::new();
        table.insert("name", value(name));
        tables(root, "smart_host")?.push(table);
    }
    let table =
        named(root.get_mut("smart_host"), name).ok_or_else(|| EditFault::Missing(format!("smart host \"{name}\"")))?;
    put_all(table, Tab::SmartHost, "smart_host.", changes)?;
    Ok(document.to_string())
}

/// Removes a smart host.
///
/// # Errors
/// There is none of that name, or the file is no TOML.
pub fn remove_smart_host(text: &str, name: &str) -> Result<String, EditFault> {
    let mut document = document(text)?;
    if !remove(document.get_mut("smart_host"), name) {
        return Err(EditFault::Missing(format!("smart host \"{name}\"")));
    }
    Ok(document.to_string())
}

/// Settings of a table in a list: `route` and `domain.route` are the same.
fn put_all(table: &mut Table, tab: Tab, prefix: &str, changes: &[Change]) -> Result<(), EditFault> {
    for change in changes {
        let key = change.setting.strip_prefix(prefix).unwrap_or(&change.setting);
        if key == "name" || !is_known(&format!("{prefix}{key}"), |setting| setting.tab == tab) {
            return Err(EditFault::Unknown(change.setting.clone()));
        }
        path::put(table, key, change.value.as_deref())?;
    }
    Ok(())
}
