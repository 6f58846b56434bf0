//! `mailroot server`: the virtual servers of a running service: seen, started, stopped, paused; new ones, other names, and their end.

use super::table::table;
use super::{Desk, Failure, Place, run};
use clap::{Args, Subcommand};
use relay::admin::view::{ServerState, ServerView};
use relay::admin::{Command, NewServer, ServerVerb};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum ServerCommand {
    /// List the virtual servers: state, sessions, queue
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Start a virtual server that was stopped, or that could not start before
    Start(Named),
    /// Stop a virtual server: its sessions end, it stays stopped over a restart
    Stop {
        /// Stop it without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        named: Named,
    },
    /// Take no new connections; sessions and delivery go on
    Pause(Named),
    /// Take connections again
    Continue(Named),
    /// Add a virtual server to the configuration, and start it
    New {
        /// Its name
        name: String,
        /// Where it listens: 192.0.2.1:25
        #[arg(long, value_name = "ADDRESS:PORT", required = true)]
        listen: Vec<String>,
        /// Its home folder
        #[arg(long, value_name = "DIR")]
        home: String,
        /// Its default domain
        #[arg(long, value_name = "DOMAIN")]
        domain: String,
        /// The recipe that it begins with (docs/recipes): inbound-dmz, outbound, submission, application [default: none]
        #[arg(long, value_name = "NAME")]
        recipe: Option<String>,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Give a virtual server another name; its sessions go on
    Rename {
        /// Its name
        name: String,
        /// The new one
        new: String,
        #[command(flatten)]
        place: Place,
    },
    /// Stop a virtual server and take it out of the configuration; its folders stay
    Delete {
        /// Its name
        name: String,
        /// Delete it without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Args, Debug)]
pub(in crate::cli) struct Named {
    /// Its name [default: the only one]
    name: Option<String>,
    #[command(flatten)]
    place: Place,
}

impl Named {
    /// The place, with the virtual server of that name.
    fn place(&self) -> Place {
        match &self.name {
            Some(name) => of(&self.place, name),
            None => self.place.clone(),
        }
    }
}

fn of(place: &Place, name: &str) -> Place {
    Place { server: Some(name.to_owned()), ..place.clone() }
}

pub(in crate::cli) fn main(command: &ServerCommand) -> ExitCode {
    match command {
        ServerCommand::List { place } => list(place),
        ServerCommand::Start(named) => state(named, ServerVerb::Start, true),
        ServerCommand::Stop { yes, named } => state(named, ServerVerb::Stop, *yes),
        ServerCommand::Pause(named) => state(named, ServerVerb::Pause, true),
        ServerCommand::Continue(named) => state(named, ServerVerb::Continue, true),
        ServerCommand::New { name, listen, home, domain, recipe, dry_run, place } => {
            let (name, listen) = (name.clone(), listen.clone());
            let (home, default_domain) = (home.clone(), domain.clone());
            let new = NewServer { name, listen, home, default_domain, recipe: recipe.clone() };
            change(&of(place, ""), Command::ServerNew { new }, *dry_run)
        }
        ServerCommand::Rename { name, new, place } => {
            let command = Command::ServerRename { server: name.clone(), name: new.clone() };
            change(&of(place, name), command, false)
        }
        ServerCommand::Delete { name, yes, place } => delete(&of(place, name), *yes),
    }
}

fn list(place: &Place) -> ExitCode {
    // The list is of all of them: none needs to be named.
    run(&of(place, ""), |desk| async move {
        let views: Vec<ServerView> = desk.client.get("/servers").await?;
        desk.print(&views, |views| {
            let rows: Vec<Vec<String>> = views.iter().map(row).collect();
            table(&["NAME", "STATE", "LISTENS ON", "IN", "OUT", "QUEUE", "TROUBLE"], &rows)
        });
        Ok(())
    })
}

fn state(named: &Named, verb: ServerVerb, yes: bool) -> ExitCode {
    run(&named.place(), |desk| async move {
        let command = Command::ServerState { server: desk.server.clone(), verb };
        // Nothing is to be asked about where no session would end.
        let ends = verb == ServerVerb::Stop && !yes && desk.client.command(&command, true).await?.count > 0;
        desk.agreed(&command, !ends).await?;
        desk.command(&command).await
    })
}

fn change(place: &Place, command: Command, dry_run: bool) -> ExitCode {
    run(place, |desk| async move {
        if dry_run {
            let outcome = desk.client.command(&command, true).await?;
            desk.tell(&outcome);
            return Ok(());
        }
        desk.command(&command).await
    })
}

fn delete(place: &Place, yes: bool) -> ExitCode {
    run(place, |desk| async move {
        let command = Command::ServerDelete { server: desk.server.clone() };
        if !yes {
            let question = question(&desk).await?;
            desk.confirmed(&question)?;
        }
        desk.command(&command).await
    })
}

/// What a deletion means, before it is done.
async fn question(desk: &Desk) -> Result<String, Failure> {
    let view: ServerView = desk.client.get(&desk.address("")).await?;
    let sessions = view.sessions_in + view.sessions_out;
    let mail = match view.queue {
        Some(waiting) => format!("{waiting} messages stay"),
        None => "whatever waits in its queue stays".to_owned(),
    };
    Ok(format!(
        "'{}' is stopped and taken out of the configuration: {sessions} sessions end, {mail} undelivered in {}",
        view.name, view.home
    ))
}

pub(in crate::cli) fn word(state: ServerState) -> &'static str {
    match state {
        ServerState::Running => "running",
        ServerState::Paused => "paused",
        ServerState::Stopped => "stopped",
        ServerState::Starting => "starting",
        ServerState::Failed => "failed",
    }
}

/// How many messages wait; `?`: nobody has counted.
pub(in crate::cli) fn waiting(view: &ServerView) -> String {
    view.queue.map_or_else(|| "?".into(), |waiting| waiting.to_string())
}

fn row(view: &ServerView) -> Vec<String> {
    vec![
        view.name.clone(),
        word(view.state).into(),
        view.listen.join(" "),
        view.sessions_in.to_string(),
        view.sessions_out.to_string(),
        waiting(view),
        view.trouble.join("; "),
    ]
}
