//! `mailroot set`, `get`, `domain` and `config`: the configuration of a running service, through its checks.

use super::table::table;
use super::{Place, escape, run};
use crate::cli::say;
use clap::{Args, Subcommand, ValueEnum};
use relay::admin::view::VersionView;
use relay::admin::{Change, Command, DomainKind, NewDomain};
use std::process::ExitCode;

/// `mailroot set SETTING VALUE`
#[derive(Args, Debug)]
pub(in crate::cli) struct Set {
    /// The setting, as docs/settings.md names it: messages.size_max
    setting: String,
    /// The value as in the file: '"5 MB"', 20, true, '["127.0.0.1"]'; a text may do without its quotes
    #[arg(required_unless_present = "unset")]
    value: Option<String>,
    /// Take the setting out, so that its default holds
    #[arg(long, conflicts_with = "value")]
    unset: bool,
    /// For the tables at the top of the file (dns, state)
    #[arg(long)]
    top: bool,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// `mailroot get SETTING`
#[derive(Args, Debug)]
pub(in crate::cli) struct Get {
    /// The setting, as docs/settings.md names it
    setting: String,
    /// For the tables at the top of the file (dns, state)
    #[arg(long)]
    top: bool,
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
    /// Change settings of a domain
    Set {
        /// As the file has it
        name: String,
        /// Settings: allow_relay=true; an empty value takes one out
        #[arg(required = true, value_parser = pair)]
        settings: Vec<(String, String)>,
        #[command(flatten)]
        place: Place,
    },
    /// Give a domain another name
    Rename {
        /// As the file has it
        name: String,
        new: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove a domain
    Remove {
        /// As the file has it
        name: String,
        #[command(flatten)]
        place: Place,
    },
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

/// A value as TOML: what is none is a text without its quotes.
fn toml(value: &str) -> String {
    let is_toml = value.parse::<toml_edit::Value>().is_ok();
    if is_toml { value.to_owned() } else { relay::config::quoted(value) }
}

fn changes(settings: &[(String, String)]) -> Vec<Change> {
    let change = |(setting, value): &(String, String)| Change {
        setting: setting.clone(),
        value: (!value.is_empty()).then(|| toml(value)),
    };
    settings.iter().map(change).collect()
}

pub(in crate::cli) fn set(set: &Set) -> ExitCode {
    let change = Change { setting: set.setting.clone(), value: set.value.as_deref().map(toml) };
    run(&set.place, |desk| async move {
        let server = (!set.top).then(|| desk.server.clone());
        let command = Command::Set { server, changes: vec![change] };
        if set.dry_run {
            desk.tell(&desk.client.command(&command, true).await?);
            return Ok(());
        }
        desk.command(&command).await
    })
}

pub(in crate::cli) fn get(get: &Get) -> ExitCode {
    run(&get.place, |desk| async move {
        let rest = format!("/settings/{}", escape(&get.setting));
        let address = if get.top { rest } else { desk.address(&rest) };
        let value: Option<String> = desk.client.get(&address).await?;
        desk.print(&value, |value| {
            format!("{}\n", value.as_deref().unwrap_or("(not written; its default holds: docs/settings.md)"))
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
        DomainCommand::Add { name, kind, settings, place } => {
            let kind = match kind {
                Kind::Default => DomainKind::Default,
                Kind::Alias => DomainKind::Alias,
                Kind::Remote => DomainKind::Remote,
            };
            let new = NewDomain { name: name.clone(), kind, changes: changes(settings) };
            order(place, Box::new(move |server| Command::DomainAdd { server, new }))
        }
        DomainCommand::Set { name, settings, place } => {
            let (domain, changes) = (name.clone(), changes(settings));
            order(place, Box::new(move |server| Command::DomainSet { server, domain, changes }))
        }
        DomainCommand::Rename { name, new, place } => {
            let (domain, name) = (name.clone(), new.clone());
            order(place, Box::new(move |server| Command::DomainRename { server, domain, name }))
        }
        DomainCommand::Remove { name, place } => {
            let domain = name.clone();
            order(place, Box::new(move |server| Command::DomainRemove { server, domain }))
        }
    }
}

pub(in crate::cli) fn config(command: &ConfigCommand) -> ExitCode {
    // The file is of the whole service: no virtual server needs to be named.
    let whole = |place: &Place| Place { server: Some(String::new()), ..place.clone() };
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
    fn a_text_may_do_without_its_quotes() {
        for (given, meant) in [
            ("5 MB", "\"5 MB\""),
            ("20", "20"),
            ("true", "true"),
            ("[\"a\"]", "[\"a\"]"),
            ("\"x\"", "\"x\""),
            ("mx", "\"mx\""),
        ] {
            assert_eq!(toml(given), meant);
        }
    }
}
