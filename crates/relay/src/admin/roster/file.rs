//! `operators.toml`: text to roster, roster to text.
//!
//! ```toml
//! [[operator]]
//! name = "anna"
//! role = "administrator"
//! servers = ["Default SMTP Virtual Server"]     # absent: all
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…$…"
//! ```
//!
//! A fault names the line, and never shows a value: most of them are secrets.

use super::{Digest, Entry, Fault, Invitation, OPERATORS_MAX, Roster, TOKENS_MAX, Token};
use crate::account::PasswordHash;
use crate::admin::{Role, Scope};
use crate::config::quoted;
use smtp::sasl::Secret;
use smtp::time::Timestamp;
use std::fmt::Write;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Octets of the file.
pub const ROSTER_FILE_MAX: usize = 4 * 1_024 * 1_024;
const OPERATOR_KEYS: [&str; 8] =
    ["name", "role", "servers", "disabled", "password", "invitation", "invitation_until", "last_log_on"];
const TOKEN_KEYS: [&str; 7] = ["name", "role", "servers", "digest", "made", "by", "until"];

const HEAD: &str = "\
# The operators of the console and the tokens of programs, written by the service: change them by `mailroot operator` or in the
# console. Whoever can read this file can try passwords against it: it must be readable by the service alone (chmod 600).
";

impl Roster {
    /// Reads a whole file.
    ///
    /// # Errors
    /// All faults, in the file's order.
    pub fn parse(text: &str) -> Result<Roster, Vec<Fault>> {
        let mut reader = Reader { text, faults: Vec::new() };
        let (root, faults) = DeTable::parse_recoverable(text);
        for fault in &faults {
            reader.note(&fault.span().unwrap_or(0..0), format!("this is not TOML: {}", fault.message()));
        }
        let mut roster = Roster::default();
        if faults.is_empty() {
            reader.roster(root.get_ref(), &mut roster);
        }
        if reader.faults.is_empty() { Ok(roster) } else { Err(reader.faults) }
    }

    /// The file's text. What is parsed from it is the same; comments of the file that was read are not in it.
    #[must_use]
    pub fn print(&self) -> Secret {
        let mut out = HEAD.to_owned();
        for entry in &self.operators {
            print_operator(entry, &mut out);
        }
        for token in &self.tokens {
            let _ = writeln!(out, "\n[[token]]\nname = {}\nrole = \"{}\"", quoted(&token.name), token.role);
            print_scope(&token.scope, &mut out);
            let _ = writeln!(out, "digest = \"{}\"\nmade = \"{}\"", hex(&token.digest), token.made.rfc3339());
            let _ = writeln!(out, "by = {}\nuntil = \"{}\"", quoted(&token.by), token.until.rfc3339());
        }
        Secret::new(out.into_bytes())
    }
}

fn print_operator(entry: &Entry, out: &mut String) {
    // Writing into a String does not fail.
    let _ = writeln!(out, "\n[[operator]]\nname = {}\nrole = \"{}\"", quoted(&entry.name), entry.role);
    print_scope(&entry.scope, out);
    if entry.disabled {
        out.push_str("disabled = true\n");
    }
    if let Some(hash) = &entry.password {
        let _ = writeln!(out, "password = {}", quoted(hash.reveal()));
    }
    if let Some(link) = &entry.invitation {
        let (digest, until) = (hex(&link.digest), link.until.rfc3339());
        let _ = writeln!(out, "invitation = \"{digest}\"\ninvitation_until = \"{until}\"");
    }
    if let Some(at) = entry.last_log_on {
        let _ = writeln!(out, "last_log_on = \"{}\"", at.rfc3339());
    }
}

fn print_scope(scope: &Scope, out: &mut String) {
    if let Scope::Servers(names) = scope {
        let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        let _ = writeln!(out, "servers = [{}]", names.join(", "));
    }
}

struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

type Items<'t, 's> = &'t DeTable<'s>;

impl Reader<'_> {
    fn note(&mut self, span: &Range<usize>, text: impl Into<Box<str>>) {
        let before = self.text.get(..span.start).unwrap_or_default();
        self.faults.push(Fault { line: before.matches('\n').count() + 1, text: text.into() });
    }

    fn roster(&mut self, root: Items<'_, '_>, roster: &mut Roster) {
        for (key, value) in root {
            let (word, most): (_, usize) = match &**key.get_ref() {
                "operator" => ("operator", OPERATORS_MAX),
                "token" => ("token", TOKENS_MAX),
                _ => {
                    self.note(&key.span(), "unknown entry: write [[operator]] or [[token]]");
                    continue;
                }
            };
            let DeValue::Array(items) = value.get_ref() else {
                self.note(&value.span(), format!("write [[{word}]], in two brackets"));
                continue;
            };
            if items.len() > most {
                self.note(&value.span(), format!("more than {most} of [[{word}]]"));
                continue;
            }
            for item in items {
                let DeValue::Table(table) = item.get_ref() else {
                    self.note(&item.span(), format!("write [[{word}]] and its entries below"));
                    continue;
                };
                if word == "operator" {
                    self.operator(table, &item.span(), roster);
                } else {
                    self.token(table, &item.span(), roster);
                }
            }
        }
    }

    fn operator(&mut self, table: Items<'_, '_>, whole: &Range<usize>, roster: &mut Roster) {
        self.refuse_unknown(table, &OPERATOR_KEYS);
        let Some((name, role, scope)) = self.head(table, whole) else { return };
        let mut entry = Entry::new(name, role, scope);
        if let Some(value) = get(table, "disabled") {
            match value.get_ref() {
                DeValue::Boolean(disabled) => entry.disabled = *disabled,
                _ => self.note(&value.span(), "`disabled` is true or false"),
            }
        }
        entry.password = self.value(table, "password", "an argon2id hash: $argon2id$v=19$…", PasswordHash::parse);
        let digest = self.value(table, "invitation", "64 hexadecimal digits", digest);
        let until = self.value(table, "invitation_until", TIME, Timestamp::parse_rfc3339);
        entry.invitation = digest.zip(until).map(|(digest, until)| Invitation { digest, until });
        entry.last_log_on = self.value(table, "last_log_on", TIME, Timestamp::parse_rfc3339);
        if roster.find(name).is_some() {
            self.note(whole, "an operator of this name is there already");
        }
        roster.operators.push(entry);
    }

    fn token(&mut self, table: Items<'_, '_>, whole: &Range<usize>, roster: &mut Roster) {
        self.refuse_unknown(table, &TOKEN_KEYS);
        let head = self.head(table, whole);
        let digest = self.value(table, "digest", "64 hexadecimal digits", digest);
        let made = self.value(table, "made", TIME, Timestamp::parse_rfc3339);
        let until = self.value(table, "until", TIME, Timestamp::parse_rfc3339);
        let by = self.value(table, "by", "a name", |text| Some(Box::from(text)));
        let (Some((name, role, scope)), Some(digest), Some(made), Some(until)) = (head, digest, made, until) else {
            if self.faults.is_empty() {
                self.note(whole, "a token has `name`, `role`, `digest`, `made` and `until`");
            }
            return;
        };
        if roster.tokens.iter().any(|token| super::key(&token.name) == super::key(name)) {
            self.note(whole, "a token of this name is there already");
        }
        roster.tokens.push(Token { name: name.into(), role, scope, digest, made, by: by.unwrap_or_default(), until });
    }

    fn head<'t>(&mut self, table: &'t DeTable<'_>, whole: &Range<usize>) -> Option<(&'t str, Role, Scope)> {
        let Some(DeValue::String(name)) = get(table, "name").map(Spanned::get_ref) else {
            self.note(whole, "there is no name: write name = \"…\"");
            return None;
        };
        if let Err(fault) = super::check(name) {
            self.note(whole, format!("the name cannot be used: {fault}"));
            return None;
        }
        let words = "administrator, operator, help_desk or auditor";
        let Some(role) = self.value(table, "role", words, Role::parse) else {
            if get(table, "role").is_none() {
                self.note(whole, format!("there is no role: write role = {words}"));
            }
            return None;
        };
        let scope = match get(table, "servers") {
            None => Scope::All,
            Some(value) => self.servers(value)?,
        };
        Some((name, role, scope))
    }

    fn servers(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Scope> {
        let names = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect(),
            _ => None,
        };
        let scope = names.map(Scope::Servers).filter(|scope| super::check_scope(scope).is_ok());
        if scope.is_none() {
            self.note(&value.span(), "`servers` is a list of names of virtual servers; leave it out for all");
        }
        scope
    }

    fn refuse_unknown(&mut self, table: Items<'_, '_>, known: &[&str]) {
        for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            self.note(&key.span(), format!("unknown entry; known: {}", known.join(", ")));
        }
    }

    /// A value whose text is not shown when it is wrong.
    fn value<T>(
        &mut self,
        table: Items<'_, '_>,
        key: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = get(table, key)?;
        let parsed = value.get_ref().as_str().and_then(parse);
        if parsed.is_none() {
            self.note(&value.span(), format!("`{key}` is not {wanted}"));
        }
        parsed
    }
}

const TIME: &str = "a time, as 2026-11-28T12:00:00Z";

fn get<'t, 's>(table: &'t DeTable<'s>, key: &str) -> Option<&'t Spanned<DeValue<'s>>> {
    table.iter().find(|(name, _)| &**name.get_ref() == key).map(|(_, value)| value)
}

fn hex(digest: &Digest) -> String {
    digest.iter().fold(String::new(), |mut out, octet| {
        let _ = write!(out, "{octet:02x}");
        out
    })
}

fn digest(text: &str) -> Option<Digest> {
    if text.len() != 64 || !text.bytes().all(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (at, octet) in digest.iter_mut().enumerate() {
        *octet = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}
