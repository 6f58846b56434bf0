//! `mailroot set`, `get`, `domain` and `config`: the configuration of a running service, through its checks.

use super::table::table;
use super::{Failure, Place, escape, run};
use crate::cli::{complain, say};
use clap::{Args, Subcommand, ValueEnum};
use relay::admin::view::{AuditRecord, DomainView, Page, SettingView, SmartHostView, VersionView};
use relay::admin::{Change, Command, DomainKind, NewDomain, settings};
use relay::config::settings::Tab;
use std::process::ExitCode;

/// `mailroot set [SERVER] SETTING VALUE`
#[derive(Args, Debug)]
#[command(
    override_usage = "mailroot set [OPTIONS] [SERVER] SETTING VALUE\n       mailroot set [OPTIONS] --unset [SERVER] SETTING"
)]
pub(in crate::cli) struct Set {
    /// The virtual server, if there are several; the setting, as docs/settings.md names it (messages.size_max); its value as one
    /// types it ("5 MB", 20, yes) or as in the file ('["127.0.0.1"]')
    #[arg(required = true, num_args = 1..=3, value_name = "WORDS")]
    words: Vec<String>,
    /// Take the setting out, so that its default holds
    #[arg(long)]
    unset: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// `mailroot get [SERVER] [SETTING]`
#[derive(Args, Debug)]
#[command(override_usage = "mailroot get [OPTIONS] [[SERVER] SETTING]\n       mailroot get [OPTIONS] [SERVER] TAB")]
pub(in crate::cli) struct Get {
    /// The virtual server, if there are several; a setting, as docs/settings.md names it, or a tab, as messages; without both all
    /// settings are listed
    #[arg(num_args = 0..=2, value_name = "WORDS")]
    words: Vec<String>,
    /// Only those that are written in the file
    #[arg(long)]
    written: bool,
    #[command(flatten)]
    place: Place,
}

/// `mailroot audit`
#[derive(Args, Debug)]
pub(in crate::cli) struct Audit {
    /// Part of the name of whoever did it
    #[arg(long, value_name = "TEXT")]
    who: Option<String>,
    /// Part of what was done, or of what was before or after
    #[arg(long, value_name = "TEXT")]
    what: Option<String>,
    /// done, refused or failed
    #[arg(long, value_name = "WORD")]
    outcome: Option<String>,
    /// At most so many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    limit: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum SmartHostCommand {
    /// List the smart hosts, and who uses them
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Show what is written for one
    Show(Named),
    /// Add one, or change its settings: hosts=smtp.example.com:587 tls=required
    Set(Assigned),
    /// Remove one that nobody uses any more
    Remove(Named),
}

/// One of several.
#[derive(Args, Debug)]
pub(in crate::cli) struct Named {
    /// Its name, as the list has it
    name: String,
    #[command(flatten)]
    place: Place,
}

/// What is to be said about one of several.
#[derive(Args, Debug)]
pub(in crate::cli) struct Assigned {
    /// Its name, as the list has it
    name: String,
    /// Settings, as SETTING=VALUE; an empty value takes one out
    #[arg(required = true, value_parser = pair)]
    settings: Vec<(String, String)>,
    #[command(flatten)]
    place: Place,
}

#[derive(Copy, Clone, ValueEnum, Debug)]
pub(in crate::cli) enum Kind {
    Default,
    Alias,
    Remote,
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum DomainCommand {
    /// List the domains: type, where their mail goes, who may send there
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Add a domain
    Add {
        /// example.com, *.example.com
        name: String,
        /// Local (default), alias or remote
        #[arg(long, value_enum)]
        kind: Kind,
        /// Settings: route=smtp://mail.example.com:25
        #[arg(value_parser = pair)]
        settings: Vec<(String, String)>,
        #[command(flatten)]
        place: Place,
    },
    /// Change settings of a domain: allow_relay=true
    Set(Assigned),
    /// Give a domain another name
    Rename {
        /// Its name, as the list has it
        name: String,
        new: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a domain
    Remove(Named),
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum ConfigCommand {
    /// How the file on disk differs from the one in force
    Diff {
        #[command(flatten)]
        place: Place,
    },
    /// Take the file as it stands into force (as SIGHUP does)
    Reload {
        #[command(flatten)]
        place: Place,
    },
    /// Earlier versions: when, who, what
    History {
        #[command(flatten)]
        place: Place,
    },
    /// Go back to an earlier version
    Rollback {
        /// Its number
        version: u64,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Place,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write SETTING=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// A value as TOML: what is none is as somebody types it.
fn toml(setting: &str, value: &str) -> String {
    if value.parse::<toml_edit::Value>().is_ok() {
        return value.to_owned();
    }
    settings::change(setting, value).flatten().unwrap_or_else(|| relay::config::quoted(value))
}

/// Changes of a table whose settings the manual has under `prefix`.
fn changes(prefix: &str, settings: &[(String, String)]) -> Vec<Change> {
    let change = |(setting, value): &(String, String)| {
        let name = format!("{prefix}{}", setting.strip_prefix(prefix).unwrap_or(setting));
        Change { setting: setting.clone(), value: (!value.is_empty()).then(|| toml(&name, value)) }
    };
    settings.iter().map(change).collect()
}

/// Does it stand in a table at the top of the file?
fn is_at_the_top(name: &str) -> bool {
    let table = name.split('.').next().unwrap_or(name);
    let tab = settings::find(name).map(|setting| setting.tab);
    let tab = tab.or_else(|| Tab::ALL.iter().copied().find(|tab| tab.word() == table));
    tab.is_some_and(|tab| !settings::SERVER_TABS.contains(&tab))
}

/// With the virtual server that stands before a setting, if one does; and with none for what stands at the top of the file.
fn placed(place: &Place, server: Option<&String>, top: bool) -> Result<Place, ExitCode> {
    match (server, &place.server) {
        (Some(_), Some(_)) => {
            complain("Name the virtual server once: before the setting, or with --server.\n");
            Err(ExitCode::from(2))
        }
        (Some(server), None) => Ok(Place { server: Some(server.clone()), ..place.clone() }),
        // Of the whole service: no virtual server needs to be named.
        (None, None) if top => Ok(Place { server: Some(String::new()), ..place.clone() }),
        (None, _) => Ok(place.clone()),
    }
}

pub(in crate::cli) fn set(set: &Set) -> ExitCode {
    let (server, setting, value) = match (set.words.as_slice(), set.unset) {
        ([setting], true) => (None, setting, None),
        ([server, setting], true) => (Some(server), setting, None),
        ([setting, value], false) => (None, setting, Some(value)),
        ([server, setting, value], false) => (Some(server), setting, Some(value)),
        _ => {
            complain("Write: mailroot set [SERVER] SETTING VALUE, or with --unset without a value.\n");
            return ExitCode::from(2);
        }
    };
    let top = is_at_the_top(setting);
    let place = match placed(&set.place, server, top) {
        Ok(place) => place,
        Err(code) => return code,
    };
    let change = Change { setting: setting.clone(), value: value.map(|value| toml(setting, value)) };
    run(&place, |desk| async move {
        let server = (!top).then(|| desk.server.clone());
        let command = Command::Set { server, changes: vec![change] };
        if set.dry_run {
            desk.tell(&desk.client.command(&command, true).await?);
            return Ok(());
        }
        desk.command(&command).await
    })
}

pub(in crate::cli) fn get(get: &Get) -> ExitCode {
    let (server, what) = match get.words.as_slice() {
        [] => (None, None),
        [what] => (None, Some(what)),
        [server, what, ..] => (Some(server), Some(what)),
    };
    let top = what.is_some_and(|what| is_at_the_top(what));
    let place = match placed(&get.place, server, top) {
        Ok(place) => place,
        Err(code) => return code,
    };
    let is_tab = |what: &str| Tab::ALL.iter().any(|tab| tab.word() == what);
    run(&place, |desk| async move {
        let address = |rest: &str| if top { rest.to_owned() } else { desk.address(rest) };
        if let Some(setting) = what.filter(|what| !is_tab(what)) {
            let value: Option<String> = desk.client.get(&address(&format!("/settings/{}", escape(setting)))).await?;
            desk.print(&value, |value| {
                format!("{}\n", value.as_deref().unwrap_or("(not written; its default holds: docs/settings.md)"))
            });
            return Ok(());
        }
        let tab = what.map(|tab| format!("?tab={}", escape(tab))).unwrap_or_default();
        let mut views: Vec<SettingView> = desk.client.get(&address(&format!("/settings{tab}"))).await?;
        views.retain(|view| view.within.is_none() && (!get.written || view.value.is_some()));
        desk.print(&views, |views| settings_table(views));
        Ok(())
    })
}

fn settings_table(views: &[SettingView]) -> String {
    let row = |view: &SettingView| {
        let value = view.text.replace('\n', ", ");
        vec![view.name.clone(), if view.value.is_none() { "-".into() } else { value }, view.default.clone()]
    };
    table(&["SETTING", "VALUE", "DEFAULT"], &views.iter().map(row).collect::<Vec<_>>())
}

pub(in crate::cli) fn audit(audit: &Audit) -> ExitCode {
    let whole = whole(&audit.place);
    run(&whole, |desk| async move {
        let mut address = format!("/audit?limit={}", audit.limit);
        let server = audit.place.server.clone();
        let fields = [("who", &audit.who), ("text", &audit.what), ("outcome", &audit.outcome), ("server", &server)];
        for (name, value) in fields {
            if let Some(value) = value {
                address.push_str(&format!("&{name}={}", escape(value)));
            }
        }
        let page: Page<AuditRecord> = desk.client.get(&address).await?;
        desk.print(&page, |page| {
            let row = |record: &AuditRecord| {
                let server = record.server.clone().unwrap_or_default();
                vec![
                    record.at.clone(),
                    record.who.clone(),
                    record.from.clone(),
                    server,
                    record.outcome.clone(),
                    record.what.clone(),
                ]
            };
            table(&["AT", "WHO", "FROM", "SERVER", "OUTCOME", "WHAT"], &page.items.iter().map(row).collect::<Vec<_>>())
        });
        Ok(())
    })
}

pub(in crate::cli) fn smart_host(command: &SmartHostCommand) -> ExitCode {
    match command {
        SmartHostCommand::List { place } => run(&whole(place), |desk| async move {
            let hosts: Vec<SmartHostView> = desk.client.get("/smart-hosts").await?;
            desk.print(&hosts, |hosts| {
                let says = |host: &SmartHostView, key: &str| {
                    let view = host.settings.iter().find(|view| view.name == format!("smart_host.{key}"));
                    view.map(|view| view.text.replace('\n', ", ")).filter(|text| !text.is_empty())
                };
                let row = |host: &SmartHostView| {
                    let hosts = says(host, "hosts").or_else(|| says(host, "provider")).unwrap_or_default();
                    let (tls, user) =
                        (says(host, "tls").unwrap_or_default(), says(host, "auth.user").unwrap_or_default());
                    vec![host.name.clone(), hosts, tls, user, host.used_by.join(", ")]
                };
                table(&["NAME", "HOSTS", "TLS", "USER", "USED BY"], &hosts.iter().map(row).collect::<Vec<_>>())
            });
            Ok(())
        }),
        SmartHostCommand::Show(Named { name, place }) => run(&whole(place), |desk| async move {
            let hosts: Vec<SmartHostView> = desk.client.get("/smart-hosts").await?;
            let host = hosts.into_iter().find(|host| host.name.eq_ignore_ascii_case(name));
            let host = host.ok_or_else(|| Failure::Text(format!("There is no smart host {name:?}.")))?;
            desk.print(&host, |host| {
                let written: Vec<_> = host.settings.iter().filter(|view| view.value.is_some()).cloned().collect();
                settings_table(&written)
            });
            Ok(())
        }),
        SmartHostCommand::Set(Assigned { name, settings, place }) => {
            let command = Command::SmartHostSet { smart_host: name.clone(), changes: changes("smart_host.", settings) };
            run(&whole(place), |desk| async move { desk.command(&command).await })
        }
        SmartHostCommand::Remove(Named { name, place }) => {
            let command = Command::SmartHostRemove { smart_host: name.clone() };
            run(&whole(place), |desk| async move { desk.command(&command).await })
        }
    }
}

/// The service as a whole: no virtual server needs to be named.
fn whole(place: &Place) -> Place {
    Place { server: Some(String::new()), ..place.clone() }
}

fn domains(place: &Place) -> ExitCode {
    run(place, |desk| async move {
        let domains: Vec<DomainView> = desk.client.get(&desk.address("/domains")).await?;
        desk.print(&domains, |domains| {
            let row = |domain: &DomainView| {
                let kind = match domain.kind {
                    DomainKind::Default => "default",
                    DomainKind::Alias => "alias",
                    DomainKind::Remote => "remote",
                };
                let open = if domain.open { "everybody" } else { "who may relay" };
                vec![domain.name.clone(), kind.into(), domain.route.clone(), open.into()]
            };
            table(&["DOMAIN", "TYPE", "MAIL GOES TO", "OPEN TO"], &domains.iter().map(row).collect::<Vec<_>>())
        });
        Ok(())
    })
}

pub(in crate::cli) fn domain(command: &DomainCommand) -> ExitCode {
    let order = |place: &Place, command: Box<dyn FnOnce(String) -> Command>| {
        run(place, |desk| async move {
            let command = command(desk.server.clone());
            desk.command(&command).await
        })
    };
    match command {
        DomainCommand::List { place } => domains(place),
        DomainCommand::Add { name, kind, settings, place } => {
            let kind = match kind {
                Kind::Default => DomainKind::Default,
                Kind::Alias => DomainKind::Alias,
                Kind::Remote => DomainKind::Remote,
            };
            let new = NewDomain { name: name.clone(), kind, changes: changes("domain.", settings) };
            order(place, Box::new(move |server| Command::DomainAdd { server, new }))
        }
        DomainCommand::Set(Assigned { name, settings, place }) => {
            let (domain, changes) = (name.clone(), changes("domain.", settings));
            order(place, Box::new(move |server| Command::DomainSet { server, domain, changes }))
        }
        DomainCommand::Rename { name, new, place } => {
            let (domain, name) = (name.clone(), new.clone());
            order(place, Box::new(move |server| Command::DomainRename { server, domain, name }))
        }
        DomainCommand::Remove(Named { name, place }) => {
            let domain = name.clone();
            order(place, Box::new(move |server| Command::DomainRemove { server, domain }))
        }
    }
}

pub(in crate::cli) fn config(command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Diff { place } => run(&whole(place), |desk| async move {
            let diff: String = desk.client.get("/config/diff").await?;
            say(if diff.is_empty() { "the file on disk is in force\n" } else { &diff });
            Ok(())
        }),
        ConfigCommand::Reload { place } => {
            run(&whole(place), |desk| async move { desk.command(&Command::ConfigReload).await })
        }
        ConfigCommand::History { place } => run(&whole(place), |desk| async move {
            let versions: Vec<VersionView> = desk.client.get("/config/versions").await?;
            desk.print(&versions, |versions| {
                let row = |view: &VersionView| {
                    let current = if view.current { "*" } else { "" };
                    vec![view.version.to_string(), current.into(), view.at.clone(), view.who.clone(), view.what.clone()]
                };
                table(&["VERSION", "", "AT", "WHO", "WHAT"], &versions.iter().map(row).collect::<Vec<_>>())
            });
            Ok(())
        }),
        ConfigCommand::Rollback { version, dry_run, place } => run(&whole(place), |desk| async move {
            let command = Command::ConfigRollback { version: *version };
            if *dry_run {
                desk.tell(&desk.client.command(&command, true).await?);
                return Ok(());
            }
            desk.command(&command).await
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_as_one_types_it_or_as_the_file_has_it() {
        for (setting, given, meant) in [
            ("messages.size_max", "5 MB", "\"5 MB\""),
            ("messages.recipients_max", "20", "20"),
            ("access.reverse_dns", "yes", "true"),
            ("access.relay.only", "[\"a\"]", "[\"a\"]"),
            ("access.relay.only", "10.0.0.1, 10.0.0.2", "[\"10.0.0.1\", \"10.0.0.2\"]"),
            ("delivery.fqdn", "\"x\"", "\"x\""),
            ("domain.route", "mx", "\"mx\""),
            ("what.is.that", "mx", "\"mx\""),
        ] {
            assert_eq!(toml(setting, given), meant);
        }
        assert_eq!(
            changes("domain.", &[("quota".into(), "5 MB".into()), ("route".into(), String::new())])[1].value,
            None
        );
        assert!(is_at_the_top("dns.servers") && is_at_the_top("dns") && is_at_the_top("console.listen"));
        assert!(!is_at_the_top("messages.size_max") && !is_at_the_top("messages") && !is_at_the_top("name"));
    }
}
