//! Reads values out of the parsed file, one setting at a time, by the table of settings.
//!
//! A reader never stops at a fault: it notes the problem where the value stands and goes on with the default; the
//! configuration that comes out is thrown away if anything was noted. Knows shapes, units and ranges; what
//! the values mean to each other is `check`'s business.

use super::problem::Problems;
use super::quantity::{self, QuantityError};
use super::settings::{self, Preset, Range as Allowed, Setting, Tab, Unit};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Octets of the source that are meant.
pub(super) type Span = Range<usize>;

/// A value together with where it stands.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

/// One table of the file, or the absence of one, in which case every setting has its default.
#[derive(Copy, Clone)]
pub(super) struct Table<'t, 's> {
    entries: Option<&'t DeTable<'s>>,
    /// Where complaints go that are about no single value.
    start: usize,
    end: usize,
}

impl<'t, 's> Table<'t, 's> {
    pub(super) fn new(entries: &'t DeTable<'s>, span: &Span) -> Table<'t, 's> {
        Table { entries: Some(entries), start: span.start, end: span.end }
    }

    pub(super) fn span(&self) -> Span {
        self.start..self.end
    }

    /// Its keys and values, if it is there.
    pub(super) fn entries(&self) -> Option<&'t DeTable<'s>> {
        self.entries
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'s>>> {
        self.entries.and_then(|entries| entries.iter().find(|(name, _)| name.get_ref() == key)).map(|(_, value)| value)
    }

    /// Where the value of `setting` stands, or the table if it is not written.
    pub(super) fn span_of(&self, setting: &Setting) -> Span {
        self.get(setting.key()).map_or_else(|| self.span(), Spanned::span)
    }

    /// Where the value of `setting` stands, if it is written.
    pub(super) fn place_of(&self, setting: &Setting) -> Option<Span> {
        self.get(setting.key()).map(Spanned::span)
    }

    pub(super) fn has(&self, setting: &Setting) -> bool {
        self.get(setting.key()).is_some()
    }

    fn keys(&self) -> impl Iterator<Item = (&'t str, Span)> {
        self.entries.into_iter().flat_map(|entries| entries.keys()).map(|key| (&**key.get_ref(), key.span()))
    }
}

/// Reads settings out of tables.
pub(super) struct Reader<'s> {
    pub(super) problems: Problems<'s>,
    folder: PathBuf,
}

impl<'s> Reader<'s> {
    /// `path` is the configuration file's; relative folders are taken from where it lies.
    pub(super) fn new(source: &'s str, path: &'s str) -> Reader<'s> {
        let folder = Path::new(path).parent().unwrap_or(Path::new("")).to_owned();
        Reader { problems: Problems::new(source, path), folder }
    }

    /// The table `key` of `parent`; an absent one if it is not there or is no table.
    pub(super) fn table<'t, 'v>(&mut self, parent: Table<'t, 'v>, key: &str, tab: Tab, prefix: &str) -> Table<'t, 'v> {
        let absent = Table { entries: None, ..parent };
        let Some(value) = parent.get(key) else { return absent };
        match value.get_ref() {
            DeValue::Table(entries) => {
                let table = Table::new(entries, &value.span());
                self.refuse_unknown(table, &settings::keys(tab, prefix), tab.table());
                table
            }
            other => {
                let text = format!("`{key}` must be a table, not {}", kind(other));
                let hint = if prefix.matches('.').count() > 1 {
                    let key = settings::keys(tab, prefix).first().copied().unwrap_or("key");
                    format!("write `{key} = …` in braces: `{{ {key} = … }}`")
                } else {
                    format!("write {} on a line of its own and its settings below", tab.table())
                };
                self.problems.note(value.span(), text, hint);
                absent
            }
        }
    }

    /// Notes each key of `table` that is not in `known`.
    pub(super) fn refuse_unknown(&mut self, table: Table<'_, '_>, known: &[&str], head: &str) {
        for (key, span) in table.keys().filter(|(key, _)| !known.contains(key)) {
            let text = format!("unknown setting {key:?} in {head}");
            self.problems.note(span, text, suggestion(key, known, head));
        }
    }

    fn value<'t, 'v>(&mut self, table: Table<'t, 'v>, setting: &Setting) -> Option<&'t Spanned<DeValue<'v>>> {
        let value = table.get(setting.key());
        if value.is_none() && setting.default == Preset::Required {
            let text = format!("`{}` is missing", setting.key());
            let hint = format!("write {} = …: {}", setting.key(), wanted(setting, setting.unit));
            self.problems.note(table.span(), text, hint);
        }
        value
    }

    fn wrong_type(&mut self, value: &Spanned<DeValue<'_>>, setting: &Setting, unit: Unit) {
        let text = format!("`{}` is {}", setting.name, kind(value.get_ref()));
        self.problems.note(value.span(), text, format!("write {}", wanted(setting, unit)));
    }

    /// A size, a time or a count; `None` means no limit.
    pub(super) fn limit(&mut self, table: Table<'_, '_>, setting: &Setting) -> Option<u64> {
        let Some(value) = self.value(table, setting) else { return setting.number() };
        if let (Some(word), Allowed::BetweenOrUnlimited(..)) = (value.get_ref().as_str(), setting.range)
            && quantity::is_unlimited(word)
        {
            return None;
        }
        self.quantity(value, setting, setting.unit).or(setting.number())
    }

    /// A size, a time or a count of a setting that always has one.
    pub(super) fn number(&mut self, table: Table<'_, '_>, setting: &Setting) -> u64 {
        self.limit(table, setting).unwrap_or_default()
    }

    /// A size, a time or a count within its range, or a problem.
    pub(super) fn quantity(&mut self, value: &Spanned<DeValue<'_>>, setting: &Setting, unit: Unit) -> Option<u64> {
        let number = match (unit, value.get_ref()) {
            (Unit::Count, DeValue::Integer(integer)) => {
                let digits = integer.as_str().replace('_', "");
                u64::from_str_radix(&digits, integer.radix()).ok()
            }
            (Unit::Count, DeValue::String(text)) if text.trim().parse::<u64>().is_ok() => {
                let text = text.trim();
                self.problems.note(
                    value.span(),
                    format!("`{}` is text", setting.name),
                    format!("write the number without quotes: {text}"),
                );
                return None;
            }
            (Unit::Size | Unit::Time, DeValue::String(text)) => {
                let parsed = if unit == Unit::Size { quantity::parse_size(text) } else { quantity::parse_time(text) };
                match parsed {
                    Ok(number) => Some(number),
                    Err(QuantityError::TooLarge) => None,
                    Err(error) => {
                        let what = if unit == Unit::Size { "size" } else { "time" };
                        let text = format!("`{}` is not a {what}: {error}", setting.name);
                        self.problems.note(value.span(), text, quantity_hint(text_number(value), setting, unit));
                        return None;
                    }
                }
            }
            (Unit::Size | Unit::Time, DeValue::Integer(_) | DeValue::Float(_)) => {
                let text = format!("`{}` needs its unit", setting.name);
                self.problems.note(value.span(), text, quantity_hint(text_number(value), setting, unit));
                return None;
            }
            _ => {
                self.wrong_type(value, setting, unit);
                return None;
            }
        };
        self.within(number, value.span(), setting, unit)
    }

    /// `number` if it is one and lies in the setting's range.
    fn within(&mut self, number: Option<u64>, span: Span, setting: &Setting, unit: Unit) -> Option<u64> {
        let (least, most, unlimited) = match setting.range {
            Allowed::Between(least, most) => (least, most, false),
            Allowed::BetweenOrUnlimited(least, most) => (least, most, true),
            Allowed::Any | Allowed::OneOf(_) => return number,
        };
        if let Some(number) = number.filter(|n| (least..=most).contains(n)) {
            return Some(number);
        }
        let text = format!("`{}` is out of its range", setting.name);
        let mut hint = format!("write {} to {}", settings::amount(unit, least), settings::amount(unit, most));
        if unlimited {
            hint.push_str(", or \"unlimited\"");
        }
        self.problems.note(span, text, hint);
        None
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, table: Table<'_, '_>, setting: &Setting) -> bool {
        let default = setting.default == Preset::Switch(true);
        let Some(value) = self.value(table, setting) else { return default };
        match value.get_ref() {
            DeValue::Boolean(on) => *on,
            _ => {
                self.wrong_type(value, setting, Unit::Switch);
                default
            }
        }
    }

    /// The text of a setting, if it is written and is one.
    pub(super) fn text<'t>(&mut self, table: Table<'t, '_>, setting: &Setting) -> Option<Placed<&'t str>> {
        let value = self.value(table, setting)?;
        self.text_of(value, setting, setting.unit)
    }

    /// The text of one value of `setting`: never empty, never with control characters.
    pub(super) fn text_of<'t>(
        &mut self,
        value: &'t Spanned<DeValue<'_>>,
        setting: &Setting,
        unit: Unit,
    ) -> Option<Placed<&'t str>> {
        let DeValue::String(text) = value.get_ref() else {
            self.wrong_type(value, setting, unit);
            return None;
        };
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            let what = if text.trim().is_empty() { "empty" } else { "not plain text: it has control characters" };
            let text = format!("`{}` is {what}", setting.name);
            self.problems.note(value.span(), text, format!("write {}", wanted(setting, unit)));
            return None;
        }
        Some(Placed { value: text, span: value.span() })
    }

    /// One of the words of the setting's range, as its number there.
    pub(super) fn choice(&mut self, table: Table<'_, '_>, setting: &Setting) -> Option<usize> {
        let Allowed::OneOf(words) = setting.range else { return None };
        let text = self.text(table, setting)?;
        let found = words.iter().position(|word| *word == text.value);
        if found.is_none() {
            let problem = format!("`{}` cannot be {:?}", setting.name, text.value);
            self.problems.note(text.span, problem, format!("write {}", any_of(words)));
        }
        found
    }

    /// The items of a list; `None` if it is not written. A single value counts as a list where `single` allows it.
    pub(super) fn items<'t, 'v>(
        &mut self,
        table: Table<'t, 'v>,
        setting: &Setting,
        single: bool,
    ) -> Option<Vec<&'t Spanned<DeValue<'v>>>> {
        let value = self.value(table, setting)?;
        let Unit::List(unit, most) = setting.unit else { return None };
        match value.get_ref() {
            DeValue::Array(items) if items.len() > most => {
                let text = format!("`{}` has {} items", setting.name, items.len());
                self.problems.note(value.span(), text, format!("write at most {most}"));
                None
            }
            DeValue::Array(items) => Some(items.iter().collect()),
            DeValue::String(text) if single => {
                let _ = text;
                Some(vec![value])
            }
            DeValue::String(text) => {
                let problem = format!("`{}` is text, not a list", setting.name);
                self.problems.note(value.span(), problem, format!("write it in brackets: [{text:?}]"));
                None
            }
            _ => {
                self.wrong_type(value, setting, Unit::List(unit, most));
                None
            }
        }
    }

    /// A list of texts, each turned into a value by `parse`, whose error is what to write instead.
    pub(super) fn list<T>(
        &mut self,
        table: Table<'_, '_>,
        setting: &Setting,
        single: bool,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<Placed<T>>> {
        let Unit::List(unit, _) = setting.unit else { return None };
        let items = self.items(table, setting, single)?;
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = self.text_of(item, setting, *unit) else { continue };
            values.extend(self.parsed(text, setting, &parse));
        }
        Some(values)
    }

    /// One text turned into a value by `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        text: Placed<&str>,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Placed<T>> {
        match parse(text.value) {
            Ok(value) => Some(Placed { value, span: text.span }),
            Err(fault) => {
                let problem = format!("{:?} is no value for `{}`: {}", text.value, setting.name, fault.text);
                self.problems.note(text.span, problem, fault.hint);
                None
            }
        }
    }

    /// A folder or file, made absolute against where the configuration lies.
    pub(super) fn folder(&mut self, table: Table<'_, '_>, setting: &Setting) -> Option<PathBuf> {
        let text = self.text(table, setting)?;
        self.path_of(text)
    }

    /// One text as a path, absolute as above.
    pub(super) fn path_of(&mut self, text: Placed<&str>) -> Option<PathBuf> {
        if is_windows_path(text.value) {
            self.problems.note(
                text.span,
                "this is a path of Windows, which here would be a folder of that very name",
                "write it as on this system, as \"/var/lib/mailroot\"",
            );
            return None;
        }
        Some(tidy(&self.folder.join(text.value)))
    }

    /// The same, with the name that it has when none is written.
    pub(super) fn path_or(&mut self, table: Table<'_, '_>, setting: &Setting, usual: &str) -> PathBuf {
        self.folder(table, setting).unwrap_or_else(|| tidy(&self.folder.join(usual)))
    }
}

/// `C:\Inetpub\Mailroot`, `C:/Mailroot`, `\\server\share`: copied from the old service's dialogs.
fn is_windows_path(text: &str) -> bool {
    let mut signs = text.chars();
    match (signs.next(), signs.next(), signs.next()) {
        (Some(drive), Some(':'), Some('\\' | '/')) => drive.is_ascii_alphabetic(),
        (Some('\\'), Some('\\'), _) => true,
        _ => false,
    }
}

/// Why a text is no value, and what to write instead.
pub(super) struct Fault {
    pub(super) text: String,
    pub(super) hint: String,
}

impl Fault {
    pub(super) fn new(text: impl Into<String>, hint: impl Into<String>) -> Fault {
        Fault { text: text.into(), hint: hint.into() }
    }
}

/// The path without `.` and with `..` resolved by its text: two paths that are equal now name one folder, links aside.
pub(super) fn tidy(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if clean.file_name().is_some() => {
                clean.pop();
            }
            Component::ParentDir if clean.has_root() => {}
            other => clean.push(other),
        }
    }
    clean
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a yes-or-no value",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// What a value of the setting looks like, for a hint.
fn wanted(setting: &Setting, unit: Unit) -> String {
    match setting.range {
        Allowed::OneOf(words) => any_of(words),
        _ => settings::shape(unit).replace('`', ""),
    }
}

fn any_of(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ")
}

/// The number that a value begins with, whatever follows.
fn text_number(value: &Spanned<DeValue<'_>>) -> Option<String> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.trim(),
        DeValue::Integer(integer) => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => return None,
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (end > 0 && end < 10).then(|| text[..end].to_owned())
}

/// What to write for a size or time whose number is `number`.
fn quantity_hint(number: Option<String>, setting: &Setting, unit: Unit) -> String {
    let example = match (number, unit) {
        (Some(n), Unit::Size) => format!("\"{n} KB\" or \"{n} MB\""),
        (Some(n), _) => format!("\"{n} s\", \"{n} min\", \"{n} h\" or \"{n} days\""),
        (None, Unit::Size) => "a size, as \"2048 KB\" or \"2 MB\"".to_owned(),
        (None, _) => "a time, as \"60 s\", \"15 min\", \"4 h\" or \"2 days\"".to_owned(),
    };
    match setting.range {
        Allowed::BetweenOrUnlimited(..) => format!("write {example}, or \"unlimited\""),
        _ => format!("write {example}"),
    }
}

/// The known key that was most likely meant, or where the key belongs, or all that are known.
fn suggestion(key: &str, known: &[&str], head: &str) -> String {
    let lower = key.to_lowercase();
    let close = known
        .iter()
        .map(|name| (if sorted(&lower) == sorted(name) { 0 } else { distance(&lower, name) }, name))
        .filter(|(d, name)| *d <= 1 + name.len() / 4)
        .min_by_key(|(d, _)| *d);
    if let Some((_, name)) = close {
        return format!("did you mean `{name}`?");
    }
    let tab = Tab::ALL.iter().find(|tab| tab.table().trim_matches(['[', ']']) == format!("virtual_server.{lower}"));
    if let Some(tab) = tab {
        return format!("write {} below its [[virtual_server]]", tab.table());
    }
    let elsewhere = || settings::ALL.iter().filter(|setting| setting.key() == lower && setting.tab != Tab::Server);
    let within = elsewhere().find(|setting| setting.tab.table() == head).and_then(|setting| {
        let (table, key) = setting.name.rsplit_once('.')?;
        Some((table.rsplit_once('.')?.1, key))
    });
    if let Some((table, key)) = within {
        return format!("write it within `{table}`: `{table} = {{ {key} = … }}`");
    }
    if let Some(setting) = elsewhere().next() {
        return format!("`{}` belongs to {}", setting.key(), setting.tab.table());
    }
    format!("known here: {}", known.join(", "))
}

/// The words of a key in order, as `max_size` and `size_max` have the same.
fn sorted(key: &str) -> Vec<&str> {
    let mut words: Vec<_> = key.split(['_', '-']).collect();
    words.sort_unstable();
    words
}

/// How many letters must be changed, added or left out (Levenshtein); `a` cut at 40 letters.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(40).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        assert_eq!(suggestion("size_max_", &["size_max", "badmail"], ""), "did you mean `size_max`?");
        assert_eq!(suggestion("Listen", &["listen"], ""), "did you mean `listen`?");
        assert_eq!(suggestion("max-size", &["size_max"], ""), "did you mean `size_max`?");
        assert_eq!(suggestion("general", &["dns"], ""), "write [virtual_server.general] below its [[virtual_server]]");
        assert_eq!(suggestion("size_max", &["listen"], ""), "`size_max` belongs to [virtual_server.messages]");
        assert_eq!(suggestion("frobnicate", &["listen", "timeout"], ""), "known here: listen, timeout");
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn paths_are_compared_by_their_text() {
        for (path, clean) in [("/a/./b/../c", "/a/c"), ("/../a", "/a"), ("a/../../b", "../b"), ("./a", "a")] {
            assert_eq!(tidy(Path::new(path)), PathBuf::from(clean), "{path}");
        }
    }
}
