//! Every setting once: name, tab, label, unit, default, range, help.
//!
//! The reader takes defaults and ranges from here, the check its texts, `docs/settings.md` is [`markdown`] of it, and
//! forms and command lines to come read the same table. A setting is declared beside the code that reads it, in the
//! file of its property tab; [`ALL`] lists them in the order of the dialogs.

use super::quantity::{print_size, print_time};
use super::terms::keys;
use super::{access, authentication, certificate, console, inspection, rate, smart_hosts, state};
use super::{delivery, dns, domains, general, identity, messages, queue};
use std::fmt::Write;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name: the tables below `[[virtual_server]]` and the key, joined by dots (`messages.size_max`).
    pub name: &'static str,
    /// The property tab.
    pub tab: Tab,
    /// What the dialog of the old service called it, or would have.
    pub label: &'static str,
    /// What a value looks like.
    pub unit: Unit,
    /// What holds when it is not written.
    pub default: Preset,
    /// What a value may be.
    pub range: Range,
    /// What it does, for the operator.
    pub help: &'static str,
}

impl Setting {
    /// The last part of the name, as it stands in the file.
    #[must_use]
    pub fn key(&self) -> &'static str {
        self.name.rsplit('.').next().unwrap_or(self.name)
    }

    /// The default as a number; `None` where it is no number or "no limit".
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match self.default {
            Preset::Number(number) => Some(number),
            _ => None,
        }
    }
}

/// Property tabs, and the tables of the file that have none.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Tab {
    /// `[dns]`
    Dns,
    /// `[state]`
    State,
    /// `[console]`
    Console,
    /// `[[smart_host]]`
    SmartHost,
    /// `[[virtual_server]]` itself.
    Server,
    /// `[virtual_server.general]`
    General,
    /// `[virtual_server.access]`
    Access,
    /// `[virtual_server.messages]`
    Messages,
    /// `[virtual_server.delivery]`
    Delivery,
    /// `[virtual_server.queue]`
    Queue,
    /// `[[virtual_server.domain]]`
    Domain,
}

impl Tab {
    /// In the order of the manual.
    pub const ALL: &[Tab] = &[
        Tab::Server,
        Tab::General,
        Tab::Access,
        Tab::Messages,
        Tab::Delivery,
        Tab::Queue,
        Tab::Domain,
        Tab::SmartHost,
        Tab::Dns,
        Tab::State,
        Tab::Console,
    ];

    /// The table's head in the file.
    #[must_use]
    pub fn table(self) -> &'static str {
        match self {
            Tab::Dns => "[dns]",
            Tab::State => "[state]",
            Tab::Console => "[console]",
            Tab::SmartHost => "[[smart_host]]",
            Tab::Server => "[[virtual_server]]",
            Tab::General => "[virtual_server.general]",
            Tab::Access => "[virtual_server.access]",
            Tab::Messages => "[virtual_server.messages]",
            Tab::Delivery => "[virtual_server.delivery]",
            Tab::Queue => "[virtual_server.queue]",
            Tab::Domain => "[[virtual_server.domain]]",
        }
    }

    /// The last word of the table's head: `general`, `domain`.
    #[must_use]
    pub fn word(self) -> &'static str {
        let name = self.table().trim_matches(['[', ']']);
        name.rsplit('.').next().unwrap_or(name)
    }

    /// Its table stands at the top of the file, for all virtual servers.
    pub(crate) fn is_at_the_top(self) -> bool {
        matches!(self, Tab::Dns | Tab::State | Tab::Console | Tab::SmartHost)
    }
}

/// What a value looks like in the file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Unit {
    /// `"any words"`
    Text,
    /// `"2 MB"`
    Size,
    /// `"15 min"`
    Time,
    /// `20`
    Count,
    /// `true` or `false`
    Switch,
    /// One of the words that the range lists.
    Choice,
    /// `"mailroot"`: a folder; a relative one is looked for beside the configuration file.
    Folder,
    /// `"tls/mx.pem"`: a file; a relative one is looked for beside the configuration file.
    File,
    /// `"60/min"`
    Rate,
    /// `"192.0.2.1:25"`: address and port.
    Socket,
    /// A socket, or a table with it and what holds there.
    Listener,
    /// `"192.0.2.1"`, `"192.0.2.0/24"`, `"example.com"`
    Peer,
    /// The same, or a table with a client certificate.
    PeerOrCertificate,
    /// `{ MAIL = 512 }`
    Verbs,
    /// `"192.0.2.1"` or `"192.0.2.0/24"`.
    Network,
    /// `"192.0.2.1"`
    Address,
    /// `{ file = "…" }`, `{ env = "…" }` or `{ credential = "…" }`: where a secret is.
    Secret,
    /// `"example.com"`
    Domain,
    /// `"example.com"` or `"*.example.com"`
    Pattern,
    /// `"postmaster@example.com"`
    Mailbox,
    /// `"relay.example.com"`, `"[192.0.2.1]"`, either with `:port`.
    Host,
    /// `"mx"`, `"smtp://host:port"`, `"lmtp://host:port"`, `"lmtp+unix:/path"`, `"smart_host:name"`
    Route,
    /// A list of such values, at most so many.
    List(&'static Unit, usize),
}

/// What holds when a setting is not written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Preset {
    /// It must be written.
    Required,
    /// Octets, seconds or a plain number, as the unit says.
    Number(u64),
    /// Several of them.
    Numbers(&'static [u64]),
    /// No limit.
    Unlimited,
    /// A text, as it would be written.
    Text(&'static str),
    /// On or off.
    Switch(bool),
    /// It follows from something else, which is told here.
    Follows(&'static str),
}

/// What a value may be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Range {
    /// Whatever the unit allows.
    Any,
    /// Octets, seconds, a number, or for texts the length in characters; each item of a list.
    Between(u64, u64),
    /// The same, or `"unlimited"`.
    BetweenOrUnlimited(u64, u64),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// All settings, in the order of the manual.
pub static ALL: &[&Setting] = &joined([OWN, &keys::DOMAIN_ALL, &smart_hosts::ALL, &keys::SMART_HOST_ALL]);

/// How many there are.
const COUNT: usize = OWN.len() + smart_hosts::ALL.len() + 2 * keys::COUNT;

const fn joined(parts: [&[&'static Setting]; 4]) -> [&'static Setting; COUNT] {
    let mut all = [OWN[0]; COUNT];
    let (mut part, mut at) = (0, 0);
    while part < parts.len() {
        let mut item = 0;
        while item < parts[part].len() {
            all[at] = parts[part][item];
            (at, item) = (at + 1, item + 1);
        }
        part += 1;
    }
    all
}

/// Those that are not the same in two tables.
const OWN: &[&Setting] = &[
    &identity::NAME,
    &identity::HOME,
    &general::LISTEN,
    &general::LISTEN_ADDRESS,
    &general::LISTEN_TLS,
    &general::LISTEN_AUTHENTICATION_REQUIRED,
    &general::CONNECTIONS_MAX,
    &general::TIMEOUT,
    &general::BARE_NEWLINES,
    &general::GREETING_DELAY,
    &general::ERRORS_MAX,
    &general::REFUSALS_MAX,
    &access::ACCOUNTS,
    &certificate::FILE,
    &certificate::KEY,
    &certificate::PFX,
    &certificate::PASSWORD_FILE,
    &certificate::ACME,
    &certificate::DIRECTORY,
    &certificate::AGREE_TO_TERMS,
    &certificate::CONTACT,
    &certificate::DIRECTORY_AUTHORITY,
    &certificate::CHALLENGE,
    &certificate::CHALLENGE_LISTEN,
    &certificate::CLIENT_AUTHORITY,
    &access::CONNECTION_ONLY,
    &access::CONNECTION_ALL_EXCEPT,
    &access::ONLY,
    &access::ALL_EXCEPT,
    &access::AUTHENTICATED,
    &access::OPEN_RELAY,
    &access::REVERSE_DNS,
    &authentication::ANONYMOUS,
    &authentication::METHODS,
    &authentication::CLEAR_TEXT_FROM,
    &authentication::DEFAULT_LOGON_DOMAIN,
    &authentication::KEYTAB,
    &authentication::OAUTH_ISSUER,
    &authentication::OAUTH_AUDIENCE,
    &authentication::OAUTH_USER_CLAIM,
    &authentication::OAUTH_AUTHORITY,
    &authentication::LOCKOUT_AFTER,
    &authentication::LOCKOUT_FOR,
    &rate::CONNECTIONS_PER_ADDRESS,
    &rate::CONNECTIONS_PER_NETWORK,
    &rate::CONNECTIONS_AT_ONCE_PER_ADDRESS,
    &rate::MESSAGES_PER_ADDRESS,
    &rate::MESSAGES_PER_NETWORK,
    &rate::MESSAGES_PER_ACCOUNT,
    &inspection::VERBS,
    &inspection::EXTENSIONS,
    &messages::SIZE_MAX,
    &messages::SESSION_SIZE_MAX,
    &messages::MESSAGES_PER_CONNECTION,
    &messages::RECIPIENTS_MAX,
    &messages::NDR_COPY_TO,
    &messages::BADMAIL,
    &messages::ADD_FROM,
    &messages::DEFAULT_FROM,
    &messages::ADD_DATE,
    &messages::ADD_MESSAGE_ID,
    &messages::REWRITE_FROM,
    &delivery::RETRY,
    &delivery::GLITCH_EVERY,
    &delivery::GLITCH_TIMES,
    &delivery::DELAY_NOTICE,
    &delivery::EXPIRY,
    &delivery::LOCAL_DELAY_NOTICE,
    &delivery::LOCAL_EXPIRY,
    &delivery::CONNECTIONS_MAX,
    &delivery::CONNECTIONS_PER_DOMAIN_MAX,
    &delivery::TIMEOUT,
    &delivery::PORT,
    &delivery::HOP_COUNT_MAX,
    &delivery::MASQUERADE_DOMAIN,
    &delivery::MASQUERADE_FROM,
    &delivery::FQDN,
    &delivery::SMART_HOST,
    &delivery::SMART_HOST_USE,
    &delivery::TLS,
    &delivery::AUTHORITY,
    &delivery::MTA_STS,
    &delivery::MX_LOOPBACK,
    &delivery::BIND,
    &queue::MEMORY_MAX,
    &queue::JOURNAL_MAX,
    &queue::FREE_SPACE_MIN,
    &queue::STREAM_OVER,
    &queue::MESSAGES_MAX,
    &domains::NAME,
    &domains::KIND,
    &domains::ALLOW_RELAY,
    &domains::ROUTE,
    &domains::HELO_ONLY,
    &domains::DROP,
    &domains::QUOTA,
    &dns::SERVERS,
    &dns::DNSSEC,
    &dns::TRUST_ANCHOR,
    &state::FOLDER,
    &console::ENABLED,
    &console::LISTEN,
    &console::NAMES,
    &console::FILE,
    &console::KEY,
    &console::PFX,
    &console::PASSWORD_FILE,
    &console::SESSION_IDLE,
    &console::SESSION_MAX,
    &console::ADMINISTRATORS,
    &console::OPERATORS,
    &console::HELP_DESK,
    &console::AUDITORS,
];

/// The keys of a table, `prefix` being its name with a dot (`messages.`), each once.
pub(super) fn keys(tab: Tab, prefix: &str) -> Vec<&'static str> {
    let mut keys: Vec<&'static str> = Vec::new();
    for setting in ALL.iter().filter(|setting| setting.tab.is_at_the_top() == tab.is_at_the_top()) {
        let Some(rest) = setting.name.strip_prefix(prefix) else { continue };
        let key = rest.split('.').next().unwrap_or(rest);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

/// `docs/settings.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for tab in Tab::ALL {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## `{}`\n", tab.table());
        let of_tab = |setting: &&&Setting| setting.tab == *tab;
        for setting in ALL.iter().filter(of_tab).filter(|setting| twin(setting).is_none()) {
            let _ = write!(page, "\n### {}\n\n", setting.name);
            let _ = writeln!(page, "{}", setting.label);
            let _ = writeln!(page, "\n- Written as: {}", shape(setting.unit));
            let _ = writeln!(page, "- Default: {}", default_text(setting));
            if let Some(range) = range_text(setting) {
                let _ = writeln!(page, "- Allowed: {range}");
            }
            let _ = writeln!(page, "\n{}", setting.help);
        }
        let twins: Vec<_> = ALL.iter().filter(of_tab).filter(|setting| twin(setting).is_some()).collect();
        if !twins.is_empty() {
            let names: Vec<_> = twins.iter().map(|setting| format!("`{}`", setting.name)).collect();
            let _ = writeln!(page, "{TWINS}: {}.", names.join(", "));
        }
    }
    page
}

const TWINS: &str = "\n### Terms of its own\n\nA remote domain, and the default domain if it has a `route`, can have these settings of a \
`[[smart_host]]`, where each is described. With the route `\"smart_host:name\"` that smart host's hold, and the domain has none of its own";

/// The setting of `[[smart_host]]` that is the same as this one of a domain.
fn twin(setting: &Setting) -> Option<&'static Setting> {
    let key = setting.name.strip_prefix("domain.")?;
    keys::SMART_HOST_ALL.iter().find(|other| other.name.strip_prefix("smart_host.") == Some(key)).copied()
}

const INTRODUCTION: &str = "\
# Settings

This page is made from the table of settings in the source (`crates/relay/src/config`); a test holds them together.

`mailroot.toml` has one `[[virtual_server]]` for each virtual server; its tables bear the names of the property tabs.
Only `name` and `home` must be written. `mailroot check --config FILE` tells everything that is wrong with a file, and in
words what each virtual server would relay; a running server that is told to reload a bad file keeps the one it has.

Sizes are written with their unit: `\"2048 KB\"`, `\"2 MB\"`, `\"1 GB\"` (1 KB is 1,024 octets, as in the old dialogs). Times
likewise: `\"60 s\"`, `\"15 min\"`, `\"4 h\"`, `\"2 days\"`, `\"1 week\"`. Where no limit is allowed, it is written `\"unlimited\"` or
`\"none\"`. A relative folder is looked for beside the configuration file.

Defaults are those which the old service's setup wrote, unless they are unsafe today; each departure is told.
";

/// What a value looks like, in words with an example.
#[must_use]
pub fn shape(unit: Unit) -> String {
    match unit {
        Unit::Text => "text in quotes".to_owned(),
        Unit::Size => "a size, as `\"2 MB\"`".to_owned(),
        Unit::Time => "a time, as `\"15 min\"`".to_owned(),
        Unit::Count => "a number, as `20`".to_owned(),
        Unit::Switch => "`true` or `false`".to_owned(),
        Unit::Choice => "one of the words below".to_owned(),
        Unit::Folder => "a folder, as `\"mailroot\"`".to_owned(),
        Unit::File => "a file, as `\"tls/mx.pem\"`".to_owned(),
        Unit::Rate => "a number and a time, as `\"60/min\"` or `\"100/10 min\"`".to_owned(),
        Unit::Listener => "an address with its port, as `\"192.0.2.1:25\"`, or a table, as \
`{ address = \"0.0.0.0:587\", tls = \"starttls_required\" }`"
            .to_owned(),
        Unit::Peer => {
            "an address, a network or a domain, as `\"192.0.2.1\"`, `\"192.0.2.0/24\"` or `\"example.com\"`".to_owned()
        }
        Unit::PeerOrCertificate => "an address, a network or a domain, as `\"192.0.2.1\"`, `\"192.0.2.0/24\"` or \
`\"example.com\"`, or a client certificate, as `{ certificate = \"sha256:…\" }` or `{ certificate_name = \"app.example.com\" }`"
            .to_owned(),
        Unit::Verbs => "a table of verbs, each with a number of octets, as `{ MAIL = 512, RCPT = 512 }`".to_owned(),
        Unit::Socket => "an address with its port, as `\"192.0.2.1:25\"` or `\"[2001:db8::1]:25\"`".to_owned(),
        Unit::Network => "an address or a network, as `\"192.0.2.1\"` or `\"192.0.2.0/24\"`".to_owned(),
        Unit::Address => "an address, as `\"192.0.2.1\"` or `\"2001:db8::1\"`".to_owned(),
        Unit::Secret => "where it is, as `{ file = \"…\" }`, `{ env = \"…\" }` or `{ credential = \"…\" }`".to_owned(),
        Unit::Domain => "a domain, as `\"example.com\"`".to_owned(),
        Unit::Pattern => "a domain, as `\"example.com\"`, or all below one, as `\"*.example.com\"`".to_owned(),
        Unit::Mailbox => "an address, as `\"postmaster@example.com\"`".to_owned(),
        Unit::Host => "a host, as `\"relay.example.com\"` or `\"[192.0.2.1]:2525\"`".to_owned(),
        Unit::Route => "`\"mx\"`, `\"smtp://host:port\"`, `\"lmtp://host:port\"`, `\"lmtp+unix:/path\"` or \
`\"smart_host:name\"`"
            .to_owned(),
        Unit::List(unit, most) => format!("a list of at most {most}; each {}", shape(*unit)),
    }
}

/// A number as the file would have it.
#[must_use]
pub fn amount(unit: Unit, number: u64) -> String {
    match unit {
        Unit::Size => format!("\"{}\"", print_size(number)),
        Unit::Time => format!("\"{}\"", print_time(number)),
        Unit::Rate => format!("\"{number}/min\""),
        Unit::List(unit, _) => amount(*unit, number),
        _ => number.to_string(),
    }
}

fn default_text(setting: &Setting) -> String {
    match setting.default {
        Preset::Required => "none; it must be written".to_owned(),
        Preset::Number(number) => format!("`{}`", amount(setting.unit, number)),
        Preset::Numbers(numbers) => {
            let items: Vec<_> = numbers.iter().map(|n| amount(setting.unit, *n)).collect();
            format!("`[{}]`", items.join(", "))
        }
        Preset::Unlimited => "`\"unlimited\"`".to_owned(),
        Preset::Text(text) => format!("`{text}`"),
        Preset::Switch(on) => format!("`{on}`"),
        Preset::Follows(words) => words.to_owned(),
    }
}

/// What it may be, as the manual has it; `None`: whatever the unit allows.
pub(crate) fn range_text(setting: &Setting) -> Option<String> {
    match setting.range {
        Range::Any => None,
        Range::Between(least, most) if matches!(setting.unit, Unit::Text) => {
            Some(format!("{least} to {most} characters"))
        }
        Range::Between(least, most) => {
            Some(format!("`{}` to `{}`", amount(setting.unit, least), amount(setting.unit, most)))
        }
        Range::BetweenOrUnlimited(least, most) => {
            Some(format!("`{}` to `{}`, or `\"unlimited\"`", amount(setting.unit, least), amount(setting.unit, most)))
        }
        Range::OneOf(words) => Some(words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_whole_and_named_once() {
        let mut names: Vec<_> = ALL.iter().map(|setting| setting.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for setting in ALL {
            assert!(setting.help.ends_with('.') && setting.help.len() > 20, "{}", setting.name);
            assert!(!setting.label.is_empty(), "{}", setting.name);
        }
    }

    #[test]
    fn every_default_lies_in_its_range() {
        for setting in ALL {
            let numbers: Vec<u64> = match setting.default {
                Preset::Number(number) => vec![number],
                Preset::Numbers(numbers) => numbers.to_vec(),
                Preset::Unlimited => {
                    assert!(matches!(setting.range, Range::BetweenOrUnlimited(..)), "{}", setting.name);
                    continue;
                }
                Preset::Text(text) => {
                    if let Range::OneOf(words) = setting.range {
                        assert!(words.contains(&text.trim_matches('"')), "{}", setting.name);
                    }
                    continue;
                }
                _ => continue,
            };
            let (Range::Between(least, most) | Range::BetweenOrUnlimited(least, most)) = setting.range else {
                panic!("{} has a number but no range", setting.name);
            };
            assert!(numbers.iter().all(|n| (least..=most).contains(n)), "{}", setting.name);
        }
    }
}
