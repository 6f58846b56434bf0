//! `mailroot server`: the virtual servers of a running service.

use super::table::table;
use super::{Place, run};
use clap::Subcommand;
use relay::admin::view::{ServerState, ServerView};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum ServerCommand {
    /// List the virtual servers: state, sessions, queue
    List {
        #[command(flatten)]
        place: Place,
    },
}

pub(in crate::cli) fn main(command: &ServerCommand) -> ExitCode {
    let ServerCommand::List { place } = command;
    // The list is of all of them: none needs to be named.
    let place = Place { server: Some(String::new()), ..place.clone() };
    run(&place, |desk| async move {
        let views: Vec<ServerView> = desk.client.get("/servers").await?;
        desk.print(&views, |views| {
            let rows: Vec<Vec<String>> = views.iter().map(row).collect();
            table(&["NAME", "STATE", "LISTENS ON", "IN", "OUT", "QUEUE", "TROUBLE"], &rows)
        });
        Ok(())
    })
}

fn row(view: &ServerView) -> Vec<String> {
    let state = match view.state {
        ServerState::Running => "running",
        ServerState::Paused => "paused",
        ServerState::Stopped => "stopped",
        ServerState::Failed => "failed",
    };
    vec![
        view.name.clone(),
        state.into(),
        view.listen.join(" "),
        view.sessions_in.to_string(),
        view.sessions_out.to_string(),
        view.queue.to_string(),
        view.trouble.join("; "),
    ]
}
