//! Which settings reach beyond the virtual server that they stand in: folders, files, secrets, and what all servers share.
//!
//! Whoever administers some virtual servers alone must not read the service's own files by a folder, or a secret by the place
//! of one, or send by a smart host with somebody else's log-on. What he may write is listed: a setting that is unknown, or of
//! a new unit, is not among it.
//!
//! IIS: the Security tab.

use super::{Change, Command};
use crate::config::settings::{self, Setting, Unit};
use toml_edit::Value;

/// Tables that are not his, whatever stands in them: where to log on, and as whom, and by whose word.
const TABLES: [&str; 5] =
    ["access.certificate", "access.authentication.oauth", "domain.certificate", "domain.auth", "domain.dkim"];

/// Does it change nothing but what stays within its virtual server?
pub(super) fn stays_within(command: &Command) -> bool {
    match command {
        Command::Set { changes, .. } => changes.iter().all(|change| change_stays("", change)),
        // Who has the log-on of a domain could have it sent to a host of his by another route.
        Command::DomainSet { changes, .. } => {
            changes.iter().all(|change| name_in("domain.", change) != "domain.route" && change_stays("domain.", change))
        }
        Command::DomainAdd { new, .. } => new.changes.iter().all(|change| change_stays("domain.", change)),
        _ => true,
    }
}

fn change_stays(prefix: &str, change: &Change) -> bool {
    let name = name_in(prefix, change);
    let Some(value) = &change.value else { return all_stay(&name) };
    // What is no TOML is refused by whoever writes it down; it says why.
    value.trim().parse::<Value>().map_or_else(|_| all_stay(&name), |value| value_stays(&name, &value))
}

/// The setting as the manual names it: `route` and `domain.route` are the same.
fn name_in(prefix: &str, change: &Change) -> String {
    format!("{prefix}{}", change.setting.strip_prefix(prefix).unwrap_or(&change.setting))
}

/// A value at the place of a setting, or of a table of settings.
fn value_stays(name: &str, value: &Value) -> bool {
    if !all_stay(name) {
        return false;
    }
    if let Some(setting) = settings::ALL.iter().find(|setting| setting.name == name) {
        return fits(setting.unit, value);
    }
    let parts = value.as_inline_table();
    parts.is_some_and(|parts| parts.iter().all(|(key, part)| value_stays(&format!("{name}.{key}"), part)))
}

/// The setting, or all that the table of that name could have in it.
fn all_stay(name: &str) -> bool {
    let is_below = |setting: &&&Setting| {
        setting.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let mut found = settings::ALL.iter().filter(is_below).peekable();
    found.peek().is_some() && found.all(|setting| setting_stays(setting))
}

fn setting_stays(setting: &Setting) -> bool {
    let is_in =
        |table: &&str| setting.name.strip_prefix(*table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    // A new name has a command of its own, by which its operators go along.
    setting.name != "name" && !TABLES.iter().any(is_in) && unit_stays(setting.unit)
}

fn unit_stays(unit: Unit) -> bool {
    match unit {
        Unit::Text
        | Unit::Size
        | Unit::Time
        | Unit::Count
        | Unit::Switch
        | Unit::Choice
        | Unit::Rate
        | Unit::Socket
        | Unit::Listener
        | Unit::Peer
        | Unit::PeerOrCertificate
        | Unit::Verbs
        | Unit::Network
        | Unit::Address
        | Unit::Domain
        | Unit::Pattern
        | Unit::Mailbox
        | Unit::Host
        | Unit::Route => true,
        Unit::Folder | Unit::File | Unit::Secret => false,
        Unit::List(unit, _) => unit_stays(*unit),
    }
}

/// No more in the value than the unit has: no tables in it but those known here, no smart host of all, no socket in a folder.
fn fits(unit: Unit, value: &Value) -> bool {
    let known: &[&str] = match unit {
        Unit::List(inner, _) => {
            return value
                .as_array()
                .map_or_else(|| fits(*inner, value), |items| items.iter().all(|item| fits(*inner, item)));
        }
        Unit::Listener => &["address", "tls", "authentication_required"],
        Unit::PeerOrCertificate => &["certificate", "certificate_name"],
        Unit::Verbs => return value.as_inline_table().is_none_or(|verbs| verbs.iter().all(|(_, most)| is_plain(most))),
        Unit::Route | Unit::Host => {
            return value.as_str().is_some_and(|text| {
                let text = text.to_lowercase();
                !text.contains("smart_host:") && !text.contains("unix:")
            });
        }
        _ => &[],
    };
    match value {
        Value::InlineTable(parts) => parts.iter().all(|(key, part)| known.contains(&key) && is_plain(part)),
        Value::Array(_) => false,
        _ => true,
    }
}

fn is_plain(value: &Value) -> bool {
    !value.is_inline_table() && !value.is_array()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{Denied, DomainKind, NewDomain, Operator, Role, Scope, may};

    fn change(setting: &str, value: &str) -> Change {
        Change { setting: setting.into(), value: Some(value.into()) }
    }

    fn by(scope: Scope, command: &Command) -> Result<(), Denied> {
        may(&Operator { name: "anna".into(), role: Role::Administrator, scope }, command)
    }

    /// By an administrator of this virtual server; one of everything may in any case.
    fn his(command: &Command) -> bool {
        assert_eq!(by(Scope::All, command), Ok(()));
        match by(Scope::Servers(vec!["One".into()]), command) {
            Ok(()) => true,
            Err(denied) => {
                assert_eq!(denied, Denied::Reach);
                false
            }
        }
    }

    fn set(setting: &str, value: &str) -> bool {
        his(&Command::Set { server: Some("One".into()), changes: vec![change(setting, value)] })
    }

    fn domain(setting: &str, value: &str) -> bool {
        let (server, changes) = ("One".to_owned(), vec![change("quota", "\"1 GB\""), change(setting, value)]);
        let new = NewDomain { name: "b.example".into(), kind: DomainKind::Default, changes: changes.clone() };
        let added = his(&Command::DomainAdd { server: server.clone(), new });
        assert_eq!(added, his(&Command::DomainSet { server, domain: "b.example".into(), changes }));
        added
    }

    #[test]
    fn an_administrator_of_some_virtual_servers_names_no_files_folders_secrets_or_smart_hosts() {
        for (setting, value) in [
            ("home", "\"/var/lib/mailroot/state\""),
            ("name", "\"Two\""),
            ("messages.badmail", "\"state\""),
            ("messages", "{ badmail = \"state\" }"),
            ("messages", "{ size_max = \"2 MB\" }"),
            ("access.accounts", "\"state/operators.toml\""),
            ("access.certificate", "[{ file = \"a\", key = \"b\" }]"),
            ("access.certificate.file", "\"a\""),
            ("access.authentication", "{ keytab = \"a\" }"),
            ("access", "{ accounts = \"a\" }"),
            ("delivery", "{ authority = \"a\" }"),
            ("delivery.authority", "\"a\""),
            ("delivery.smart_host", "\"smart_host:office\""),
            ("delivery.smart_host", "{ auth = { password = { file = \"a\" } } }"),
            ("delivery.fqdn", "{ file = \"a\" }"),
            ("general.listen", "[{ address = \"0.0.0.0:25\", file = \"a\" }]"),
            ("unheard.of", "1"),
        ] {
            assert!(!set(setting, value), "{setting} = {value}");
        }
        for (setting, value) in [
            ("drop", "\"state\""),
            ("domain.drop", "\"state\""),
            ("auth", "{ method = \"password\", user = \"u\", password = { file = \"state/operators.toml\" } }"),
            ("auth.password", "{ env = \"HOME\" }"),
            ("auth.user", "\"u\""),
            ("certificate", "{ file = \"a\", key = \"b\" }"),
            ("authority", "\"a\""),
            ("route", "\"smart_host:office\""),
            ("route", "\" Smart_Host:office\""),
            ("route", "\"lmtp+unix:/run/other.sock\""),
        ] {
            assert!(!domain(setting, value), "{setting} = {value}");
        }
        let out = |setting: &str| Command::Set {
            server: Some("One".into()),
            changes: vec![Change { setting: setting.into(), value: None }],
        };
        assert!(!his(&out("access.accounts")) && !his(&out("delivery")) && his(&out("messages.size_max")));
    }

    #[test]
    fn he_changes_what_stays_within_them() {
        for (setting, value) in [
            ("messages.size_max", "\"2 MB\""),
            (
                "access.relay.only",
                "[\"192.0.2.1\", { certificate = \"sha256:00\" }, { certificate_name = \"a.example\" }]",
            ),
            ("access.relay", "{ only = [\"192.0.2.1\"] }"),
            ("general.listen", "[\"0.0.0.0:25\", { address = \"0.0.0.0:587\", tls = \"starttls\" }]"),
            ("general.listen", "\"0.0.0.0:25\""),
            ("access.inspection.verbs", "{ MAIL = 512 }"),
            ("access.authentication.lockout", "{ after = 5, for = \"15 min\" }"),
            ("access.authentication.methods", "[\"PLAIN\"]"),
            ("delivery.smart_host", "\"relay.example.com\""),
            ("delivery.smart_host", "[\"a.example.com\", \"b.example.com:26\"]"),
        ] {
            assert!(set(setting, value), "{setting} = {value}");
        }
        assert!(domain("allow_relay", "true"));
        for route in ["route", "domain.route"] {
            let (server, changes) = ("One".to_owned(), vec![change(route, "\"smtp://mx.example.com\"")]);
            let new = NewDomain { name: "b.example".into(), kind: DomainKind::Remote, changes: changes.clone() };
            assert!(his(&Command::DomainAdd { server: server.clone(), new }), "it has no log-on");
            let command = Command::DomainSet { server, domain: "b.example".into(), changes };
            assert!(!his(&command), "its log-on may be somebody else's: {route}");
        }
        assert!(domain("tls", "\"verified\"") && domain("quota", "\"unlimited\""));
    }
}
