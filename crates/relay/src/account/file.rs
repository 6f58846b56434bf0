//! `accounts.toml`: text to accounts, accounts to text.
//!
//! ```toml
//! salt_key = "…"
//!
//! [[account]]
//! name = "alice"
//! password = "$argon2id$v=19$m=19456,t=2,p=1$…$…"
//! scram = { iterations = 100000, salt = "…", stored_key = "…", server_key = "…" }
//! may_send_as = ["alice@example.com", "*@lists.example.com"]
//! ```
//!
//! A fault names the line and the account, and never shows a value: most of them are secrets.

use super::name::check;
use super::secrets::{SCRAM_ITERATIONS_MAX, SCRAM_ITERATIONS_MIN};
use super::{Account, Accounts, NtHash, PasswordHash, ScramKeys, SenderPattern};
use crate::config::quoted;
use smtp::sasl::{Secret, base64};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Octets of an accounts file.
pub const ACCOUNTS_FILE_MAX: usize = 16 * 1_024 * 1_024;
/// Accounts of one file.
pub const ACCOUNTS_MAX: usize = 20_000;
/// Senders that one account lists.
pub const SENDERS_MAX: usize = 100;
/// Faults that are told of one file.
const FAULTS_TOLD_MAX: usize = 20;
const KEYS: [&str; 6] = ["name", "disabled", "password", "scram", "nt_hash", "may_send_as"];
const SCRAM_KEYS: [&str; 4] = ["iterations", "salt", "stored_key", "server_key"];

const HEAD: &str = "\
# The accounts of this relay, written by `mailroot account`. Whoever can read this file can try passwords against it: it must
# be readable by the service alone (chmod 600). It may be edited; the service takes a change over by itself.
";

/// What is wrong with an accounts file, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, and what to write instead.
    pub text: Box<str>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.text)
    }
}

impl Accounts {
    /// Reads a whole file; `default_domain` completes bare names (two accounts may not come to the same name by it).
    ///
    /// # Errors
    /// All faults, at most twenty, in the file's order.
    pub fn parse(text: &str, default_domain: Option<&str>) -> Result<Accounts, Vec<Fault>> {
        let mut reader = Reader { ends: text.match_indices('\n').map(|(end, _)| end).collect(), faults: Vec::new() };
        if text.len() > ACCOUNTS_FILE_MAX {
            reader.note(&(0..0), format!("the file is larger than {} MB", ACCOUNTS_FILE_MAX >> 20));
            return Err(reader.faults);
        }
        let (root, faults) = DeTable::parse_recoverable(text);
        for fault in &faults {
            reader.note(&fault.span().unwrap_or(0..0), format!("this is not TOML: {}", fault.message()));
        }
        let mut accounts = Accounts::new(default_domain);
        if faults.is_empty() {
            reader.accounts(root.get_ref(), &mut accounts);
        }
        if reader.faults.is_empty() {
            return Ok(accounts);
        }
        reader.faults.sort_by_key(|fault| fault.line);
        Err(reader.faults)
    }

    /// The file's text. What is parsed from it is the same; comments of the file that was read are not in it.
    #[must_use]
    pub fn print(&self) -> Secret {
        let mut text = HEAD.to_owned();
        if let Some(key) = &self.salt_key {
            let _ = writeln!(text, "salt_key = \"{}\"", base64::encode(key.reveal()));
        }
        for account in self.iter() {
            print(account, &mut text);
        }
        Secret::new(text.into_bytes())
    }
}

fn print(account: &Account, out: &mut String) {
    // Writing into a String does not fail.
    let _ = writeln!(out, "\n[[account]]\nname = {}", quoted(&account.name));
    if account.disabled {
        out.push_str("disabled = true\n");
    }
    if let Some(hash) = &account.password {
        let _ = writeln!(out, "password = {}", quoted(hash.reveal()));
    }
    if let Some(keys) = &account.scram {
        let _ = writeln!(
            out,
            "scram = {{ iterations = {}, salt = \"{}\", stored_key = \"{}\", server_key = \"{}\" }}",
            keys.iterations,
            base64::encode(&keys.salt),
            base64::encode(&keys.stored_key),
            base64::encode(&keys.server_key)
        );
    }
    if let Some(NtHash(hash)) = &account.nt_hash {
        out.push_str("# as good as the password itself: for NTLM\nnt_hash = \"");
        for octet in hash.reveal() {
            let _ = write!(out, "{octet:02x}");
        }
        out.push_str("\"\n");
    }
    if !account.may_send_as.is_empty() {
        let list: Vec<String> = account.may_send_as.iter().map(|sender| quoted(&sender.to_string())).collect();
        let _ = writeln!(out, "may_send_as = [{}]", list.join(", "));
    }
}

struct Reader {
    /// Where lines end. Each account asks for its own, so they are not to be counted each time.
    ends: Vec<usize>,
    faults: Vec<Fault>,
}

impl Reader {
    fn line(&self, span: &Range<usize>) -> usize {
        self.ends.partition_point(|end| *end < span.start) + 1
    }

    fn note(&mut self, span: &Range<usize>, text: impl Into<Box<str>>) {
        if self.faults.len() < FAULTS_TOLD_MAX {
            self.faults.push(Fault { line: self.line(span), text: text.into() });
        }
    }

    fn accounts(&mut self, root: &DeTable<'_>, accounts: &mut Accounts) {
        accounts.salt_key = self.salt_key(root);
        for key in root.keys().filter(|key| !["account", "salt_key"].contains(&&**key.get_ref())) {
            self.note(&key.span(), format!("unknown entry {:?}: an account begins with [[account]]", key.get_ref()));
        }
        let Some((_, list)) = root.iter().find(|(key, _)| &**key.get_ref() == "account") else { return };
        let DeValue::Array(items) = list.get_ref() else {
            self.note(&list.span(), "write [[account]], in two brackets");
            return;
        };
        if items.len() > ACCOUNTS_MAX {
            self.note(&list.span(), format!("{} accounts; {ACCOUNTS_MAX} are the most", items.len()));
            return;
        }
        let mut lines = BTreeMap::new();
        for item in items {
            let DeValue::Table(table) = item.get_ref() else {
                self.note(&item.span(), "an account is a table: write [[account]] and its entries below");
                continue;
            };
            let Some(account) = self.account(table, &item.span()) else { continue };
            let line = self.line(&item.span());
            if let Some(before) = lines.insert(accounts.key(&account.name), line) {
                self.note(&item.span(), format!("account {:?} is there already, in line {before}", account.name));
            }
            accounts.put(account);
        }
    }

    fn account(&mut self, table: &DeTable<'_>, whole: &Range<usize>) -> Option<Account> {
        let Some(value) = get(table, "name") else {
            self.note(whole, "the account has no name: write name = \"…\"");
            return None;
        };
        let name = self.string(value, "name")?;
        if let Err(fault) = check(name) {
            self.note(&value.span(), format!("{name:?} cannot be an account: {fault}"));
            return None;
        }
        self.refuse_unknown(table, &KEYS, name);
        let mut account = Account::new(name);
        if let Some(value) = get(table, "disabled") {
            match value.get_ref() {
                DeValue::Boolean(on) => account.disabled = *on,
                _ => self.note(&value.span(), format!("`disabled` of {name:?} is true or false")),
            }
        }
        account.password =
            self.secret(table, "password", name, "an argon2id hash: $argon2id$v=19$…", PasswordHash::parse);
        account.nt_hash = self.secret(table, "nt_hash", name, "32 hexadecimal digits", nt_hash);
        account.scram = self.scram(table, name);
        account.may_send_as = self.senders(table, name);
        Some(account)
    }

    fn salt_key(&mut self, root: &DeTable<'_>) -> Option<Secret> {
        let value = get(root, "salt_key")?;
        let text = self.string(value, "salt_key")?;
        let key = base64::decode(text.as_bytes()).filter(|key| key.len() == 32).map(Secret::new);
        if key.is_none() {
            self.note(&value.span(), "`salt_key` is not 32 octets in base64; leave it out to get a new one");
        }
        key
    }

    fn refuse_unknown(&mut self, table: &DeTable<'_>, known: &[&str], name: &str) {
        for key in table.keys().filter(|key| !known.contains(&&**key.get_ref())) {
            let text = format!("unknown entry {:?} of {name:?}; known: {}", key.get_ref(), known.join(", "));
            self.note(&key.span(), text);
        }
    }

    fn string<'t>(&mut self, value: &'t Spanned<DeValue<'_>>, what: &str) -> Option<&'t str> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text);
        }
        self.note(&value.span(), format!("`{what}` is text: write it in quotes"));
        None
    }

    /// A value whose text is not shown when it is wrong.
    fn secret<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        name: &str,
        wanted: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let value = get(table, key)?;
        let text = self.string(value, key)?;
        let parsed = parse(text);
        if parsed.is_none() {
            self.note(
                &value.span(),
                format!("`{key}` of {name:?} is not {wanted}; set it with: mailroot account passwd"),
            );
        }
        parsed
    }

    fn scram(&mut self, table: &DeTable<'_>, name: &str) -> Option<ScramKeys> {
        let value = get(table, "scram")?;
        let DeValue::Table(keys) = value.get_ref() else {
            self.note(&value.span(), format!("`scram` of {name:?} is a table: {{ {} }}", SCRAM_KEYS.join(" = …, ")));
            return None;
        };
        self.refuse_unknown(keys, &SCRAM_KEYS, name);
        let missing: Vec<&str> = SCRAM_KEYS.into_iter().filter(|key| get(keys, key).is_none()).collect();
        if !missing.is_empty() {
            self.note(&value.span(), format!("`scram` of {name:?} lacks {}", missing.join(", ")));
            return None;
        }
        let iterations = self.iterations(get(keys, "iterations")?, name);
        let key = |octets: Vec<u8>| <[u8; 32]>::try_from(octets).ok();
        let salt = |octets: Vec<u8>| (8..=64).contains(&octets.len()).then_some(octets);
        let decode = |text: &str| base64::decode(text.as_bytes());
        let salt = self.secret(keys, "salt", name, "8 to 64 octets in base64", |text| decode(text).and_then(salt));
        let stored = self.secret(keys, "stored_key", name, "32 octets in base64", |text| decode(text).and_then(key));
        let server = self.secret(keys, "server_key", name, "32 octets in base64", |text| decode(text).and_then(key));
        Some(ScramKeys { iterations: iterations?, salt: salt?.into(), stored_key: stored?, server_key: server? })
    }

    fn iterations(&mut self, value: &Spanned<DeValue<'_>>, name: &str) -> Option<u32> {
        let number = match value.get_ref() {
            DeValue::Integer(integer) => u32::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|n| (SCRAM_ITERATIONS_MIN..=SCRAM_ITERATIONS_MAX).contains(n));
        if number.is_none() {
            let text = format!("`iterations` of {name:?} must be {SCRAM_ITERATIONS_MIN} to {SCRAM_ITERATIONS_MAX}");
            self.note(&value.span(), text);
        }
        number
    }

    fn senders(&mut self, table: &DeTable<'_>, name: &str) -> Vec<SenderPattern> {
        let Some(value) = get(table, "may_send_as") else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.note(&value.span(), format!("`may_send_as` of {name:?} is a list: [\"alice@example.com\"]"));
            return Vec::new();
        };
        if items.is_empty() || items.len() > SENDERS_MAX {
            let text = format!("`may_send_as` of {name:?} has 1 to {SENDERS_MAX} senders; leave it out to allow any");
            self.note(&value.span(), text);
        }
        let mut senders = Vec::new();
        for item in items {
            let Some(text) = self.string(item, "may_send_as") else { continue };
            match SenderPattern::parse(text) {
                Some(pattern) => senders.push(pattern),
                None => self.note(
                    &item.span(),
                    format!("{text:?} is no sender of {name:?}: write \"alice@example.com\" or \"*@example.com\""),
                ),
            }
        }
        senders
    }
}

fn get<'t, 's>(table: &'t DeTable<'s>, key: &str) -> Option<&'t Spanned<DeValue<'s>>> {
    table.iter().find(|(name, _)| &**name.get_ref() == key).map(|(_, value)| value)
}

fn nt_hash(text: &str) -> Option<NtHash> {
    if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let octets = (0..16).map(|i| u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()).collect::<Option<Vec<u8>>>();
    octets.map(|octets| NtHash(Secret::new(octets)))
}
