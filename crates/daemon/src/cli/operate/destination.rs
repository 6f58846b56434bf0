//! `mailroot destination`: where mail waits, held back, let go, tried at once.

use super::table::{short, table};
use super::{Desk, Failure, Place, escape, run};
use clap::Subcommand;
use relay::admin::Command;
use relay::admin::view::{DestinationView, DestinationsPage};
use std::process::ExitCode;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum DestinationCommand {
    /// List the destinations that mail waits for: state, last answer, next try, and when the queue will be empty
    List {
        /// Only those whose name has this in it
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// At most so many [default: all]
        #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
        limit: Option<u64>,
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
        DestinationCommand::List { name, limit, place } => list(place, name.as_deref(), *limit),
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
        match command {
            Command::DestinationRetry { .. } => desk.long_command(&command, "Trying", None).await,
            _ => desk.command(&command).await,
        }
    })
}

fn list(place: &Place, name: Option<&str>, limit: Option<u64>) -> ExitCode {
    let name = name.map(str::to_owned);
    run(place, |desk| async move {
        let (views, total) = destinations(&desk, name.as_deref(), limit.unwrap_or(u64::MAX)).await?;
        desk.print(&views, |views| {
            let rows: Vec<Vec<String>> = views.iter().map(row).collect();
            let mut text = table(
                &["DESTINATION", "STATE", "MESSAGES", "OLDEST", "CONNECTIONS", "NEXT TRY", "EMPTY AT", "LAST ANSWER"],
                &rows,
            );
            if (views.len() as u64) < total {
                text.push_str(&format!("{} of {total} destinations\n", views.len()));
            }
            text
        });
        Ok(())
    })
}

/// At most so many destinations, the longest queue first; and how many there are.
pub(super) async fn destinations(
    desk: &Desk,
    name: Option<&str>,
    limit: u64,
) -> Result<(Vec<DestinationView>, u64), Failure> {
    let mut views: Vec<DestinationView> = Vec::new();
    let mut next: Option<String> = None;
    loop {
        let left = (limit - views.len() as u64).min(1_000);
        let mut address = desk.address(&format!("/destinations?limit={left}"));
        for (key, value) in [("name", name), ("after", next.as_deref())] {
            address.push_str(&value.map(|value| format!("&{key}={}", escape(value))).unwrap_or_default());
        }
        let page: DestinationsPage = desk.client.get(&address).await?;
        views.extend(page.items);
        next = page.next;
        if next.is_none() || views.len() as u64 >= limit {
            return Ok((views, page.total));
        }
    }
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
