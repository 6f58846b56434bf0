//! `mailroot destination`: where mail waits, held back, let go, tried at once.

use super::table::{short, table};
use super::{Place, run};
use clap::Subcommand;
use relay::admin::Command;
use relay::admin::view::DestinationView;
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum DestinationCommand {
    /// List the destinations that mail waits for: state, last answer, next try, and when the queue will be empty
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Hold back all mail for a destination, now and later, until it is resumed
    Suspend {
        /// As the list names it
        destination: String,
        #[command(flatten)]
        place: Place,
    },
    /// Let the mail for a suspended destination go
    Resume {
        /// As the list names it
        destination: String,
        #[command(flatten)]
        place: Place,
    },
    /// Try a destination at once, whatever it waits for
    Retry {
        /// As the list names it
        destination: String,
        #[command(flatten)]
        place: Place,
    },
}

pub(in crate::cli) fn main(command: &DestinationCommand) -> ExitCode {
    match command {
        DestinationCommand::List { place } => list(place),
        DestinationCommand::Suspend { destination, place } => {
            order(place, destination, |server, destination| Command::DestinationSuspend { server, destination })
        }
        DestinationCommand::Resume { destination, place } => {
            order(place, destination, |server, destination| Command::DestinationResume { server, destination })
        }
        DestinationCommand::Retry { destination, place } => {
            order(place, destination, |server, destination| Command::DestinationRetry { server, destination })
        }
    }
}

fn order(place: &Place, destination: &str, command: impl FnOnce(String, String) -> Command) -> ExitCode {
    run(place, |desk| async move {
        let command = command(desk.server.clone(), destination.to_owned());
        desk.command(&command).await
    })
}

fn list(place: &Place) -> ExitCode {
    run(place, |desk| async move {
        let views: Vec<DestinationView> = desk.client.get(&desk.address("/destinations")).await?;
        desk.print(&views, |views| {
            let rows: Vec<Vec<String>> = views.iter().map(row).collect();
            table(
                &["DESTINATION", "STATE", "MESSAGES", "OLDEST", "CONNECTIONS", "NEXT TRY", "EMPTY AT", "LAST ANSWER"],
                &rows,
            )
        });
        Ok(())
    })
}

fn row(view: &DestinationView) -> Vec<String> {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    vec![
        view.name.clone(),
        view.state.clone(),
        view.messages.to_string(),
        if view.messages == 0 { "-".into() } else { short(view.oldest_s) },
        view.connections.to_string(),
        or_dash(&view.next_try),
        or_dash(&view.empty_at),
        or_dash(&view.last_answer),
    ]
}
