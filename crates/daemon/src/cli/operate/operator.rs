//! `mailroot operator`: who may do what in the console, and tokens of programs.
//!
//! It works on the control socket, where the operating system says who asks: so it mends what nobody can log on to any more. A password is
//! asked for at the terminal or read from standard input, never an argument.

use super::table::table;
use super::{Desk, Failure, Place, escape, run};
use crate::cli::password;
use crate::control::api::NewPassword;
use clap::{Subcommand, ValueEnum};
use relay::admin::roster::TOKEN_DAYS_MAX;
use relay::admin::view::{OperatorView, Outcome, TokenView};
use relay::admin::{Command, Role, Scope};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum OperatorCommand {
    /// List the operators: role, virtual servers, log-ons in force
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Add an operator; a link by which he sets his password is printed
    Add {
        name: String,
        /// What he may
        #[arg(long, value_enum)]
        role: RoleName,
        /// Only this virtual server; may be given several times [default: everything]
        #[arg(long, value_name = "SERVER")]
        only: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Change what an operator may, or whether he may log on; his log-ons end
    Set {
        name: String,
        /// What he may from now on
        #[arg(long, value_enum)]
        role: Option<RoleName>,
        /// Only this virtual server; may be given several times
        #[arg(long, value_name = "SERVER", conflicts_with = "everywhere")]
        only: Vec<String>,
        /// All virtual servers, and the service as a whole
        #[arg(long)]
        everywhere: bool,
        /// He may not log on
        #[arg(long, conflicts_with = "enable")]
        disable: bool,
        /// He may log on again
        #[arg(long)]
        enable: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Give an operator a new password; his log-ons end
    Passwd {
        name: String,
        /// Read the password from standard input, its first line
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Print a link by which an operator sets his password, good for one time and 24 hours
    Invite {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Remove an operator; his log-ons end
    Remove {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Log an operator out everywhere
    LogOut {
        name: String,
        #[command(flatten)]
        place: Place,
    },
    /// Tokens of programs, for `Authorization: Bearer`
    #[command(subcommand)]
    Token(TokenCommand),
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum TokenCommand {
    /// List the tokens; what they are is shown once, when they are made
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Make a token, and print it
    New {
        name: String,
        /// What it allows
        #[arg(long, value_enum)]
        role: RoleName,
        /// Only this virtual server; may be given several times [default: everything]
        #[arg(long, value_name = "SERVER")]
        only: Vec<String>,
        /// For how many days it is good
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKEN_DAYS_MAX)))]
        days: u32,
        #[command(flatten)]
        place: Place,
    },
    /// Make a token worthless
    Revoke {
        name: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Copy, Clone, ValueEnum, Debug)]
pub(in crate::cli) enum RoleName {
    /// Everything
    Administrator,
    /// Sessions, queue, folders, start, stop and pause
    Operator,
    /// Sees sessions and queue, changes nothing
    HelpDesk,
    /// Sees everything, the audit log too; changes nothing
    Auditor,
}

impl RoleName {
    fn role(self) -> Role {
        match self {
            RoleName::Administrator => Role::Administrator,
            RoleName::Operator => Role::Operator,
            RoleName::HelpDesk => Role::HelpDesk,
            RoleName::Auditor => Role::Auditor,
        }
    }
}

pub(in crate::cli) fn main(command: &OperatorCommand) -> ExitCode {
    match command {
        OperatorCommand::List { place } => of_all(place, list),
        OperatorCommand::Add { name, role, only, place } => {
            let add = Command::OperatorAdd { name: name.clone(), role: role.role(), scope: scope(only) };
            let invite = Command::OperatorInvite { name: name.clone() };
            of_all(place, |desk| async move {
                // One answer for both: `--json` prints one value.
                let added = desk.client.command(&add, false).await?;
                let invited = desk.client.command(&invite, false).await?;
                desk.tell(&Outcome { text: format!("{}; {}", added.text, invited.text), ..invited });
                Ok(())
            })
        }
        OperatorCommand::Set { name, role, only, everywhere, disable, enable, place } => {
            let scope = (*everywhere || !only.is_empty()).then(|| scope(only));
            let disabled = (*disable || *enable).then_some(*disable);
            let role = role.map(RoleName::role);
            order(place, Command::OperatorSet { name: name.clone(), role, scope, disabled })
        }
        OperatorCommand::Passwd { name, password_stdin, place } => passwd(name, *password_stdin, place),
        OperatorCommand::Invite { name, place } => order(place, Command::OperatorInvite { name: name.clone() }),
        OperatorCommand::Remove { name, place } => order(place, Command::OperatorRemove { name: name.clone() }),
        OperatorCommand::LogOut { name, place } => order(place, Command::OperatorLogOut { name: name.clone() }),
        OperatorCommand::Token(command) => token(command),
    }
}

fn token(command: &TokenCommand) -> ExitCode {
    match command {
        TokenCommand::List { place } => of_all(place, list_tokens),
        TokenCommand::New { name, role, only, days, place } => {
            let (name, role, scope) = (name.clone(), role.role(), scope(only));
            order(place, Command::TokenNew { name, role, scope, days: *days })
        }
        TokenCommand::Revoke { name, place } => order(place, Command::TokenRevoke { name: name.clone() }),
    }
}

/// These virtual servers; none: everything.
fn scope(only: &[String]) -> Scope {
    if only.is_empty() { Scope::All } else { Scope::Servers(only.to_vec()) }
}

/// Operators are of all virtual servers: none needs to be named.
fn of_all<F: Future<Output = Result<(), Failure>>>(place: &Place, work: impl FnOnce(Desk) -> F) -> ExitCode {
    run(&Place { server: Some(String::new()), ..place.clone() }, work)
}

fn order(place: &Place, command: Command) -> ExitCode {
    of_all(place, |desk| async move { desk.command(&command).await })
}

fn passwd(name: &str, from_input: bool, place: &Place) -> ExitCode {
    let read = if from_input { password::from_input() } else { password::from_terminal("--password-stdin") };
    of_all(place, |desk| async move {
        let secret = read.map_err(Failure::Text)?;
        let text = secret.text().ok_or_else(|| Failure::Text("A password is text in UTF-8.".into()))?;
        let new = NewPassword { password: text.to_owned(), current: None };
        let outcome: Outcome = desk.client.put(&format!("/operators/{}/password", escape(name)), &new).await?;
        desk.tell(&outcome);
        Ok(())
    })
}

async fn list(desk: Desk) -> Result<(), Failure> {
    let views: Vec<OperatorView> = desk.client.get("/operators").await?;
    desk.print(&views, |views| {
        let rows: Vec<Vec<String>> = views.iter().map(row).collect();
        table(&["NAME", "ROLE", "FOR", "LOG-ON", "LAST LOG-ON", "LOGGED ON"], &rows)
    });
    Ok(())
}

fn row(view: &OperatorView) -> Vec<String> {
    let may = match (view.disabled, view.has_password) {
        (true, _) => "disabled",
        (false, true) => "password",
        (false, false) => "no password yet",
    };
    vec![
        view.name.clone(),
        view.role.to_string(),
        words(&view.scope),
        may.into(),
        view.last_log_on.clone().unwrap_or_else(|| "never".into()),
        view.sessions.to_string(),
    ]
}

async fn list_tokens(desk: Desk) -> Result<(), Failure> {
    let views: Vec<TokenView> = desk.client.get("/tokens").await?;
    desk.print(&views, |views| {
        let row = |view: &TokenView| {
            let until = if view.expired { format!("{} (over)", view.until) } else { view.until.clone() };
            vec![
                view.name.clone(),
                view.role.to_string(),
                words(&view.scope),
                until,
                view.made.clone(),
                view.by.clone(),
            ]
        };
        table(&["NAME", "ROLE", "FOR", "UNTIL", "MADE", "BY"], &views.iter().map(row).collect::<Vec<_>>())
    });
    Ok(())
}

fn words(scope: &Scope) -> String {
    match scope {
        Scope::All => "everything".into(),
        Scope::Servers(names) => names.join(", "),
    }
}
