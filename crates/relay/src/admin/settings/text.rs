//! What stands in a field, and what in the file: there and back.
//!
//! Whoever types a value writes `2 MB`, `yes`, or one address a line, and needs no quotes. Whatever he types becomes one value of TOML:
//! text that makes no sense becomes a text, which the check of the configuration then complains about in its own words.

use crate::config::quantity::is_unlimited;
use crate::config::quoted;
use crate::config::settings::{Setting, Unit};
use toml_edit::{InlineTable, Value};

/// What somebody typed, as a value of the file; `None`: nothing, so that the default holds.
#[must_use]
pub fn typed(setting: &Setting, text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| match setting.unit {
        Unit::List(unit, _) => list(*unit, text),
        unit => one(unit, text),
    })
}

/// What the file says, as one would type it.
#[must_use]
pub fn shown(setting: &Setting, toml: &str) -> String {
    let Ok(value) = toml.trim().parse::<Value>() else { return toml.to_owned() };
    match (setting.unit, &value) {
        (Unit::List(unit, _), Value::Array(items)) if !items.is_empty() => {
            items.iter().map(|item| item_shown(*unit, item)).collect::<Vec<_>>().join("\n")
        }
        (Unit::List(unit, _), Value::String(_)) => item_shown(*unit, &value),
        (Unit::Verbs, Value::InlineTable(verbs)) if !verbs.is_empty() => {
            let line = |(verb, most): (&str, &Value)| format!("{verb} {}", bare(most));
            verbs.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        (Unit::Secret, Value::InlineTable(place)) if place.len() == 1 => pairs(place),
        (Unit::Switch, Value::Boolean(on)) => if *on.value() { "yes" } else { "no" }.into(),
        (_, Value::String(text)) if !is_ambiguous(text.value()) => text.value().clone(),
        _ => bare(&value),
    }
}

/// The items of a list of tables, one a line.
pub(super) fn lines(toml: &str) -> String {
    match toml.parse::<Value>() {
        Ok(Value::Array(items)) => items.iter().map(bare).collect::<Vec<_>>().join("\n"),
        _ => toml.to_owned(),
    }
}

/// A list of tables from such lines.
pub(super) fn tables(text: &str) -> String {
    let items: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(table_or_text).collect();
    format!("[{}]", items.join(", "))
}

fn list(unit: Unit, text: &str) -> String {
    if matches!(text.parse::<Value>(), Ok(Value::Array(_))) {
        return text.to_owned();
    }
    let mut items = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if line.starts_with(['{', '"', '\'']) || unit == Unit::Listener {
            items.push(item(unit, line.trim_end_matches(',').trim_end()));
        } else {
            items.extend(
                line.split([',', ';']).map(str::trim).filter(|part| !part.is_empty()).map(|part| item(unit, part)),
            );
        }
    }
    match (unit, items.as_slice()) {
        // One alone does without the brackets, as the manual writes it.
        (Unit::Route | Unit::Host, [only]) => only.clone(),
        _ => format!("[{}]", items.join(", ")),
    }
}

fn item(unit: Unit, text: &str) -> String {
    match unit {
        Unit::Listener => listener(text),
        Unit::PeerOrCertificate => peer(text),
        unit => one(unit, text),
    }
}

/// One value that is no list.
fn one(unit: Unit, text: &str) -> String {
    match unit {
        Unit::Switch => match text.to_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => "true".into(),
            "no" | "false" | "off" | "0" => "false".into(),
            _ => string(text),
        },
        Unit::Count => {
            let digits: String =
                text.chars().filter(|c| !matches!(c, '_' | ',' | ' ' | '\u{a0}' | '\u{202f}')).collect();
            let is_number = digits.len() < 20 && digits.bytes().all(|octet| octet.is_ascii_digit());
            match digits.trim_start_matches('0') {
                _ if !is_number || digits.is_empty() => unlimited_or(text),
                "" => "0".into(),
                number => number.into(),
            }
        }
        Unit::Size | Unit::Time | Unit::Rate => unlimited_or(text),
        Unit::Verbs => verbs(text),
        Unit::Secret => secret(text),
        _ => string(text),
    }
}

fn unlimited_or(text: &str) -> String {
    let is_word = is_unlimited(text) || text.eq_ignore_ascii_case("no limit");
    if is_word { "\"unlimited\"".into() } else { string(text) }
}

/// A text; quotes that somebody typed as the file has them are no part of it.
fn string(text: &str) -> String {
    match text.parse::<Value>() {
        Ok(Value::String(string)) => quoted(string.value()),
        _ => quoted(text),
    }
}

/// `{ … }` if it is that, else a text.
fn table_or_text(text: &str) -> String {
    match text.parse::<Value>() {
        Ok(Value::InlineTable(_)) => text.to_owned(),
        _ => string(text),
    }
}

const REQUIRED: &str = "authentication_required";

/// `0.0.0.0:587 starttls_required authentication_required`
fn listener(text: &str) -> String {
    let mut words = text.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let address = words.next().unwrap_or(text);
    let mut fields = String::new();
    for word in words {
        match word {
            "plain" | "starttls" | "starttls_required" | "implicit" => {
                fields.push_str(&format!(", tls = {}", quoted(word)));
            }
            REQUIRED => fields.push_str(&format!(", {REQUIRED} = true")),
            _ => return table_or_text(text),
        }
    }
    if text.starts_with('{') {
        return table_or_text(text);
    }
    let table = format!("{{ address = {}{fields} }}", string(address));
    // A word that stands twice makes no table.
    match fields.as_str() {
        "" => string(address),
        _ if table.parse::<Value>().is_ok() => table,
        _ => string(text),
    }
}

/// `192.0.2.1`, `certificate sha256:…`, `certificate_name app.example.com`
fn peer(text: &str) -> String {
    if text.starts_with('{') {
        return table_or_text(text);
    }
    let named = |key: &str| {
        let rest = text.strip_prefix(key)?.trim_start_matches([' ', '\t', '=', ':']);
        (rest.len() < text.len() - key.len() && !rest.is_empty()).then(|| format!("{{ {key} = {} }}", string(rest)))
    };
    if text.to_ascii_lowercase().starts_with("sha256:") {
        return format!("{{ certificate = {} }}", quoted(text));
    }
    named("certificate_name").or_else(|| named("certificate")).unwrap_or_else(|| string(text))
}

/// `MAIL 512`, one a line.
fn verbs(text: &str) -> String {
    if matches!(text.parse::<Value>(), Ok(Value::InlineTable(_))) {
        return text.to_owned();
    }
    let mut table = InlineTable::new();
    for line in text.split(['\n', ',', ';']).map(str::trim).filter(|line| !line.is_empty()) {
        let (verb, most) = line.split_once([' ', '=', ':', '\t']).unwrap_or((line, ""));
        let most = most.trim_start_matches([' ', '=', ':', '\t']);
        let most = most.parse::<i64>().map_or_else(|_| Value::from(most), Value::from);
        table.insert(verb.trim(), most);
    }
    table.to_string()
}

/// `file tls/password`, `env NAME`, `credential NAME`; a path alone is a file. What is none of these is not taken for the secret
/// itself: it is a file of that name, which the check does not find.
fn secret(text: &str) -> String {
    if let Ok(Value::InlineTable(place)) = text.parse::<Value>() {
        return place.to_string();
    }
    let (word, rest) = text.split_once([' ', '=', ':', '\t']).unwrap_or(("", text));
    let rest = rest.trim_start_matches([' ', '=', ':', '\t']);
    match word.trim() {
        key @ ("file" | "env" | "credential") => format!("{{ {key} = {} }}", string(rest)),
        _ => format!("{{ file = {} }}", string(text)),
    }
}

fn item_shown(unit: Unit, item: &Value) -> String {
    match (unit, item) {
        (Unit::Listener, Value::InlineTable(table)) => listener_shown(table).unwrap_or_else(|| bare(item)),
        (Unit::PeerOrCertificate, Value::InlineTable(table)) if table.len() == 1 => pairs(table),
        (_, Value::String(text)) => {
            let plain = text.value();
            let is_split = plain.contains([',', ';']) || plain.trim() != plain || is_ambiguous(plain);
            if is_split { bare(item) } else { plain.clone() }
        }
        _ => bare(item),
    }
}

/// Would it be read as something else than the text that it is?
fn is_ambiguous(text: &str) -> bool {
    text.trim() != text
        || text.is_empty()
        || text.starts_with(['{', '[', '"', '\''])
        || text.chars().any(char::is_control)
}

fn listener_shown(table: &InlineTable) -> Option<String> {
    let mut text = table.get("address")?.as_str()?.to_owned();
    for (key, value) in table {
        match (key, value) {
            ("address", _) => {}
            ("tls", Value::String(word)) => text.push_str(&format!(" {}", word.value())),
            (REQUIRED, Value::Boolean(on)) if *on.value() => text.push_str(&format!(" {REQUIRED}")),
            (REQUIRED, Value::Boolean(_)) => {}
            _ => return None,
        }
    }
    // Only what reads back as the same is shown so.
    listener(&text).parse::<Value>().ok().filter(Value::is_inline_table).map(|_| text)
}

/// `file tls/password`
fn pairs(table: &InlineTable) -> String {
    let pair = |(key, value): (&str, &Value)| Some(format!("{key} {}", value.as_str()?));
    table
        .iter()
        .map(pair)
        .collect::<Option<Vec<_>>>()
        .map_or_else(|| table.to_string().trim().to_owned(), |all| all.join(" "))
}

/// As the file has it, in one line where it can be.
fn bare(value: &Value) -> String {
    let mut value = value.clone();
    value.decor_mut().clear();
    value.to_string()
}
