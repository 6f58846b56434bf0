//! `mailroot oauth …`: list, login, logout, test.
//!
//! They work beside a running service, which notices within seconds what they do. No token is ever printed.

use super::{complain, load, say};
use crate::clock::Clock;
use crate::log::Log;
use crate::oauth::{self, LoginPrompt, Status, Tokens};
use crate::service::ConfigFile;
use clap::{Args, Subcommand};
use relay::config::Config;
use relay::config::terms::{Grant, OAuthClient, Owner};
use serde_json::{Value, json};
use smtp::time::Timestamp;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(super) enum OAuth {
    /// List the smart hosts and domains that want tokens, and how they stand
    List {
        #[command(flatten)]
        place: Place,
        /// For programs: a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Log in to one whose grant is a device code: prints an address and a code, and waits until somebody has entered it there
    Login {
        #[command(flatten)]
        which: Which,
    },
    /// Forget the tokens of one
    Logout {
        #[command(flatten)]
        which: Which,
    },
    /// Obtain a token for one now, and say what it is good for
    Test {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Args, Debug)]
pub(super) struct Place {
    /// The configuration, mailroot.toml
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

#[derive(Args, Debug)]
pub(super) struct Which {
    /// The smart host's name, or the remote domain as it is written
    name: String,
    #[command(flatten)]
    place: Place,
}

/// Whose tokens, how they are obtained, and where they are kept.
struct Target {
    owner: Owner,
    client: OAuthClient,
    state: PathBuf,
}

/// Why nothing came of it: said already, or a sentence.
enum Ended {
    Said(ExitCode),
    Words(String),
}

impl<E: std::fmt::Display> From<E> for Ended {
    fn from(error: E) -> Ended {
        Ended::Words(error.to_string())
    }
}

pub(super) fn run(command: &OAuth) -> ExitCode {
    let ended = match command {
        OAuth::List { place, json } => list(place, *json),
        OAuth::Login { which } => target(which).and_then(|target| log_in(&target)),
        OAuth::Logout { which } => target(which).and_then(|target| log_out(&target)),
        OAuth::Test { which } => target(which).and_then(|target| test(&target)),
    };
    match ended {
        Ok(code) | Err(Ended::Said(code)) => code,
        Err(Ended::Words(words)) => {
            complain(&format!("{words}\n"));
            ExitCode::FAILURE
        }
    }
}

fn read(place: &Place) -> Result<Config, Ended> {
    load(&ConfigFile::new(&place.config)).map(|(_, loaded)| loaded.config).map_err(Ended::Said)
}

/// The name by which one is chosen.
fn name_of(owner: &Owner) -> &str {
    match owner {
        Owner::Server => "",
        Owner::SmartHost(name) | Owner::Domain(name) => name,
    }
}

fn target(which: &Which) -> Result<Target, Ended> {
    let config = read(&which.place)?;
    let wanted = oauth::wanted(&config);
    let named = |(owner, _): &&(Owner, OAuthClient)| name_of(owner).eq_ignore_ascii_case(&which.name);
    // A smart host goes before a domain of that name; of domains in several virtual servers, the first.
    match wanted.iter().find(named) {
        Some((owner, client)) => {
            Ok(Target { owner: owner.clone(), client: client.clone(), state: config.state.clone() })
        }
        None if wanted.is_empty() => Err(Ended::Words(
            "No smart host and no remote domain of this configuration has auth = { method = \"oauth\", … }.".to_owned(),
        )),
        None => {
            let known: Vec<_> = wanted.iter().map(|(owner, _)| format!("\"{}\"", name_of(owner))).collect();
            Err(Ended::Words(format!(
                "\"{}\" wants no tokens by this configuration; those that do: {}.",
                which.name,
                known.join(", ")
            )))
        }
    }
}

/// How a grant is called in the configuration.
fn grant_name(grant: &Grant) -> &'static str {
    match grant {
        Grant::ClientSecret(_) => "client_secret",
        Grant::ClientCertificate { .. } => "client_certificate",
        Grant::DeviceCode { .. } => "device_code",
        Grant::RefreshToken { .. } => "refresh_token",
        Grant::ServiceAccount { .. } => "service_account",
    }
}

/// How one stands, in a word for programs and a sentence for people.
fn standing(client: &OAuthClient, status: &Status, now: Timestamp) -> (&'static str, String) {
    let is_good = status.until.filter(|until| *until > now);
    match (is_good, &status.fault) {
        (_, Some(fault)) => ("unusable", format!("what is kept cannot be used: {fault}")),
        (Some(until), None) => ("good", format!("token good until {}", until.rfc3339())),
        (None, None) if matches!(client.grant, Grant::DeviceCode { .. }) && !status.has_refresh => {
            ("logged_out", "nobody has logged in".to_owned())
        }
        (None, None) => ("none", "no token yet; one is obtained when the service runs".to_owned()),
    }
}

fn list(place: &Place, as_json: bool) -> Result<ExitCode, Ended> {
    let (config, now) = (read(place)?, Clock::start().now());
    let listed: Vec<_> = oauth::wanted(&config)
        .into_iter()
        .map(|(owner, client)| (oauth::status(&config.state, &owner, &client), owner, client))
        .collect();
    let mut text = String::new();
    let mut array = Vec::new();
    let mut all_good = true;
    for (status, owner, client) in &listed {
        let (word, words) = standing(client, status, now);
        all_good &= word != "unusable" && word != "logged_out";
        text.push_str(&format!(
            "{owner}\n  {}, {}, as {}\n  {words}\n",
            grant_name(&client.grant),
            client.token_endpoint,
            client.user
        ));
        array.push(json!({
            "owner": owner.to_string(),
            "name": name_of(owner),
            "grant": grant_name(&client.grant),
            "user": &*client.user,
            "client_id": &*client.client_id,
            "token_endpoint": &*client.token_endpoint,
            "standing": word,
            "until": status.until.map(Timestamp::rfc3339),
            "has_refresh_token": status.has_refresh,
            "fault": status.fault,
        }));
    }
    if as_json {
        text = format!("{:#}\n", Value::Array(array));
    } else if listed.is_empty() {
        text = "No smart host and no remote domain wants tokens.\n".to_owned();
    }
    say(&text);
    Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn log_in(target: &Target) -> Result<ExitCode, Ended> {
    let advice = match &target.client.grant {
        Grant::DeviceCode { .. } => None,
        Grant::RefreshToken { .. } => Some("put its refresh token where auth.refresh_token says"),
        Grant::ClientSecret(_) => Some("put its secret where auth.client_secret says"),
        Grant::ClientCertificate { .. } => Some("register its certificate at the identity provider"),
        Grant::ServiceAccount { .. } => Some("put the key of its service account where auth.service_account says"),
    };
    if let Some(advice) = advice {
        let (owner, name) = (&target.owner, name_of(&target.owner));
        return Err(Ended::Words(format!(
            "The {owner} has grant = \"{}\": nobody needs to log in. Instead, {advice}; then: mailroot oauth test {name}",
            grant_name(&target.client.grant)
        )));
    }
    let clock = Clock::start();
    let show = |prompt: &LoginPrompt| {
        say(&format!(
            "To let Mailroot send as {}, open this address in a browser, on any machine, and enter the code:\n\n  {}\n  {}\n\n\
             Log in there as {}. The code is good for {} minutes. Waiting …\n",
            target.client.user,
            prompt.address,
            prompt.code,
            target.client.user,
            prompt.lasts.as_secs().div_ceil(60)
        ));
    };
    runtime()?.block_on(oauth::log_in(&target.state, &target.owner, &target.client, &clock, show))?;
    say(&format!("Logged in. A running service goes on with the mail of {} within seconds.\n", target.owner));
    Ok(ExitCode::SUCCESS)
}

fn log_out(target: &Target) -> Result<ExitCode, Ended> {
    let count = oauth::log_out(&target.state, &target.owner)?;
    say(&match count {
        0 => format!("No tokens of {} are kept.\n", target.owner),
        _ => format!(
            "The tokens of {} are forgotten. To revoke them, use the identity provider's own page.\n",
            target.owner
        ),
    });
    Ok(ExitCode::SUCCESS)
}

fn test(target: &Target) -> Result<ExitCode, Ended> {
    let tokens = Tokens::new(&target.state, Log::nowhere(), Clock::start());
    let (token, until) = runtime()?.block_on(tokens.anew(&target.owner, &target.client))?;
    let mut text = format!("{}: a token was obtained from {}.\n", target.owner, target.client.token_endpoint);
    text.push_str(&format!("  good until {}\n  for logging on as {}\n", until.rfc3339(), target.client.user));
    for (claim, value) in oauth::facts(&token) {
        text.push_str(&format!("  {claim}: {value}\n"));
    }
    say(&text);
    Ok(ExitCode::SUCCESS)
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
