//! One value at a dotted path below a table: set, taken out, read.

use super::EditFault;
use toml_edit::{InlineTable, Item, Table, TableLike, Value};

/// Writes `value` at `path`, or takes out what stands there. A comment behind the old value stays.
pub(super) fn put(table: &mut Table, path: &str, value: Option<&str>) -> Result<(), EditFault> {
    let parsed = match value {
        Some(text) => Some(text.trim().parse::<Value>().map_err(|error| EditFault::Value(first_line(&error)))?),
        None => None,
    };
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = match &parsed {
        Some(_) => Some(made(table, parents, path)?),
        None => existing(table, parents),
    };
    match (parent, parsed) {
        (Some(parent), Some(value)) => write(parent, key, value),
        (Some(parent), None) => {
            parent.remove(key);
            remove_empty(table, parents);
        }
        (None, _) => {}
    }
    Ok(())
}

/// What stands at `path`, as TOML in one line where it has no line breaks of its own.
pub(super) fn take(table: &mut Table, path: &str) -> Option<String> {
    let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
    match existing(table, parents)?.get(key)? {
        Item::Value(value) => {
            let mut value = value.clone();
            value.decor_mut().clear();
            Some(value.to_string())
        }
        Item::Table(table) => Some(table.clone().into_inline_table().to_string()),
        Item::ArrayOfTables(tables) => Some(tables.clone().into_array().to_string()),
        Item::None => None,
    }
}

fn write(parent: &mut dyn TableLike, key: &str, mut value: Value) {
    match parent.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(other) => *other = Item::Value(value),
        None => {
            parent.insert(key, Item::Value(value));
        }
    }
}

/// The table below, made where it is missing.
fn made<'t>(table: &'t mut Table, parents: &str, path: &str) -> Result<&'t mut dyn TableLike, EditFault> {
    let mut at: &mut dyn TableLike = table;
    for (depth, key) in parents.split('.').filter(|key| !key.is_empty()).enumerate() {
        let item = at.entry(key).or_insert_with(|| {
            // A tab is a table with a head of its own; what is below it stands in one line.
            if depth == 0 { Item::Table(Table::new()) } else { Item::Value(Value::InlineTable(InlineTable::new())) }
        });
        at = item.as_table_like_mut().ok_or_else(|| EditFault::Unknown(path.to_owned()))?;
    }
    Ok(at)
}

fn existing<'t>(table: &'t mut Table, parents: &str) -> Option<&'t mut dyn TableLike> {
    let mut at: &mut dyn TableLike = table;
    for key in parents.split('.').filter(|key| !key.is_empty()) {
        at = at.get_mut(key)?.as_table_like_mut()?;
    }
    Some(at)
}

/// Inline tables that hold nothing any more are taken out; tables with a head stay, with their comments.
fn remove_empty(table: &mut Table, parents: &str) {
    let mut path = parents;
    while let Some((above, key)) = path.rsplit_once('.') {
        let Some(parent) = existing(table, above) else { return };
        let is_empty = parent.get(key).and_then(Item::as_inline_table).is_some_and(InlineTable::is_empty);
        if !is_empty {
            return;
        }
        parent.remove(key);
        path = above;
    }
}

fn first_line(error: &toml_edit::TomlError) -> String {
    error.message().lines().next().unwrap_or("it is no TOML").to_owned()
}
