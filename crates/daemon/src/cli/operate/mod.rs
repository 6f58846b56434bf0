//! `mailroot server`, `session`, `destination`, `queue`, `badmail`, `set`, `get`, `domain`, `config`, `operator` and others: what a running service
//! shows and does.
//!
//! Each asks the service on its control socket ([`crate::control::client`]) and prints a table for people, or with `--json` what came
//! for programs. What concerns many messages is counted first and asked about, unless `--yes` is given. Exit codes: 0 done, 1 not
//! done (and why), 2 the command line is wrong.

mod configuration;
mod counters;
mod destination;
mod folder;
mod live;
mod operator;
mod progress;
mod queue;
mod server;
mod session;
mod table;
mod top;
mod transfer;

pub(super) use configuration::{
    Audit, ConfigCommand, DomainCommand, Get, Set, SmartHostCommand, audit, config, domain, get, set, smart_host,
};
pub(super) use counters::{Alarms, Counters, alarms, counters};
pub(super) use destination::{DestinationCommand, main as destination};
pub(super) use folder::{BadmailCommand, FolderCommand, badmail, folder};
pub(super) use operator::{OperatorCommand, main as operator};
pub(super) use queue::{QueueCommand, main as queue};
pub(super) use server::{ServerCommand, main as server};
pub(super) use session::{SessionCommand, main as session};
pub(super) use top::{Top, main as top};

use super::{complain, load, say};
use crate::control::client::{Client, Unanswered};
use crate::service::ConfigFile;
use clap::Args;
use progress::Progress;
use relay::admin::Command;
use relay::admin::view::Outcome;
use serde::Serialize;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// The service that is meant.
#[derive(Args, Clone, Debug)]
pub(super) struct Place {
    /// The configuration of the running service [default: $MAILROOT_CONFIG, else /etc/mailroot/mailroot.toml]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The virtual server [default: the only one]
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
    /// Print JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Why a command comes to nothing.
pub(super) enum Failure {
    /// The service, or the way to it.
    Service(Unanswered),
    /// Told already.
    Told(ExitCode),
    /// In a sentence.
    Text(String),
}

impl From<Unanswered> for Failure {
    fn from(unanswered: Unanswered) -> Failure {
        Failure::Service(unanswered)
    }
}

/// Somebody who speaks with the service.
pub(super) struct Desk {
    pub client: Client,
    /// The virtual server that is meant.
    pub server: String,
    pub json: bool,
}

impl Place {
    fn path(&self) -> PathBuf {
        let named = self.config.clone().or_else(|| std::env::var_os("MAILROOT_CONFIG").map(PathBuf::from));
        named.unwrap_or_else(|| "/etc/mailroot/mailroot.toml".into())
    }

    fn desk(&self) -> Result<Desk, Failure> {
        let (_, loaded) = load(&ConfigFile::new(&self.path())).map_err(Failure::Told)?;
        let names: Vec<&str> = loaded.config.servers.iter().map(|server| &*server.name).collect();
        let server = match (&self.server, names.as_slice()) {
            (Some(name), _) => name.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, several) => {
                let text = format!("There are several virtual servers; name one with --server: {}", several.join(", "));
                return Err(Failure::Text(text));
            }
        };
        Ok(Desk { client: Client::new(&loaded.config.state), server, json: self.json })
    }
}

/// Runs what speaks with the service, and says how it went.
fn run<F: Future<Output = Result<(), Failure>>>(place: &Place, work: impl FnOnce(Desk) -> F) -> ExitCode {
    let outcome = place.desk().and_then(|desk| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Text(format!("The system gives no event queue: {error}.")))?;
        runtime.block_on(work(desk))
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Told(code)) => code,
        Err(Failure::Text(text)) => {
            complain(&format!("{text}\n"));
            ExitCode::FAILURE
        }
        Err(Failure::Service(unanswered)) => {
            complain(&format!("Not done: {unanswered}.\n"));
            ExitCode::FAILURE
        }
    }
}

impl Desk {
    /// The address of something of the virtual server: `/queue`.
    fn address(&self, rest: &str) -> String {
        format!("/servers/{}{rest}", escape(&self.server))
    }

    /// Prints what came: as it is for programs, else as `people` has it.
    fn print<T: Serialize>(&self, value: &T, people: impl FnOnce(&T) -> String) {
        if self.json {
            // Views always serialize; a program that reads nothing has its exit code.
            say(&format!("{}\n", serde_json::to_string_pretty(value).unwrap_or_default()));
        } else {
            say(&people(value));
        }
    }

    async fn command(&self, command: &Command) -> Result<(), Failure> {
        let outcome = self.client.command(command, false).await?;
        self.end(&outcome)
    }

    /// The same for work that may take its time; `counted`: how many messages it concerns, if that is known.
    async fn long_command(&self, command: &Command, what: &'static str, counted: Option<u64>) -> Result<(), Failure> {
        let outcome = self.carried_out(command, what, counted).await?;
        self.end(&outcome)
    }

    /// Carries out a command about messages, and shows how far it is.
    async fn carried_out(
        &self,
        command: &Command,
        what: &'static str,
        counted: Option<u64>,
    ) -> Result<Outcome, Failure> {
        let mut progress = Progress::new(what, self.json);
        if !progress.is_shown() {
            return Ok(self.client.command(command, false).await?);
        }
        let all = match counted {
            Some(all) => all,
            None => self.client.command(command, true).await?.count,
        };
        progress.tell(0, Some(all), &format!("0 of {all} messages"));
        let told = |done: u64| progress.tell(done, Some(all), &format!("{done} of {all} messages"));
        Ok(self.client.command_told(command, told).await?)
    }

    /// Tells what came of a command.
    fn end(&self, outcome: &Outcome) -> Result<(), Failure> {
        self.tell(outcome);
        if outcome.troubles.is_empty() { Ok(()) } else { Err(Failure::Told(ExitCode::FAILURE)) }
    }

    fn tell(&self, outcome: &Outcome) {
        self.print(outcome, |outcome| {
            let mut text = format!("{}\n", outcome.text);
            text.push_str(&outcome.diff);
            outcome.secret.iter().for_each(|secret| text.push_str(&format!("{secret}\n")));
            outcome.restarts.iter().for_each(|line| text.push_str(&format!("{line}\n")));
            outcome.troubles.iter().for_each(|line| text.push_str(&format!("trouble: {line}\n")));
            text
        });
    }

    /// Asks before something that concerns many things is done; `yes`: it was said already.
    /// Gives how many these are, if that was counted.
    async fn agreed(&self, command: &Command, yes: bool) -> Result<Option<u64>, Failure> {
        if yes {
            return Ok(None);
        }
        let preview = self.client.command(command, true).await?;
        self.confirmed(&preview.text)?;
        Ok(Some(preview.count))
    }

    /// Asks a person; `what` would happen.
    fn confirmed(&self, what: &str) -> Result<(), Failure> {
        if !io::stdin().is_terminal() {
            return Err(Failure::Text(format!("{what}; nothing was done. Add --yes to do it without a question.")));
        }
        complain(&format!("{what}. Go on? [y/N] "));
        let _ = io::stderr().flush();
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line);
        if read.is_ok() && matches!(line.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
        Err(Failure::Text("Nothing was done.".into()))
    }
}

/// A text as one part of an address.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push_str(&format!("%{octet:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_place_in_an_address() {
        assert_eq!(escape("Default SMTP/../x?y#z&ü"), "Default%20SMTP%2F..%2Fx%3Fy%23z%26%C3%BC");
    }
}
