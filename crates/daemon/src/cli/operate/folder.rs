//! `mailroot badmail` and `mailroot folder`: messages in Badmail, Drop and Pickup.

use super::progress::Progress;
use super::table::{content, octets, table};
use super::{Desk, Failure, Place, escape, run};
use clap::{Args, Subcommand, ValueEnum};
use relay::admin::view::{ContentView, FileView, Outcome, Page};
use relay::admin::{Command, FolderName, FolderVerb};
use std::process::ExitCode;

/// Messages that one command names.
const NAMES_AT_ONCE: usize = 1_000;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum BadmailCommand {
    /// List messages in Badmail, and why they are there
    List(List),
    /// Show one: its header and the beginning of its text
    Show(Show),
    /// Put messages into the queue again, to those who did not get them
    Requeue(Chosen),
    /// Take messages away for good
    Delete(Chosen),
}

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum FolderCommand {
    /// List messages that lie in a folder
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        list: List,
    },
    /// Show one: its header and the beginning of its text
    Show {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        show: Show,
    },
    /// Take messages away for good
    Delete {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        chosen: Chosen,
    },
}

#[derive(Args, Debug)]
#[group(skip)]
pub(in crate::cli) struct Which {
    /// The folder
    #[arg(long, value_enum)]
    folder: Folder,
}

#[derive(Copy, Clone, ValueEnum, Debug)]
enum Folder {
    /// What came for local domains
    Drop,
    /// What is handed in as a file
    Pickup,
}

impl Which {
    fn name(&self) -> FolderName {
        match self.folder {
            Folder::Drop => FolderName::Drop,
            Folder::Pickup => FolderName::Pickup,
        }
    }
}

#[derive(Args, Debug)]
#[group(skip)]
pub(in crate::cli) struct List {
    /// At most so many
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    limit: u64,
    #[command(flatten)]
    place: Place,
}

#[derive(Args, Debug)]
#[group(skip)]
pub(in crate::cli) struct Show {
    /// Its name, as the list has it
    name: String,
    /// Its header alone
    #[arg(long)]
    headers: bool,
    #[command(flatten)]
    place: Place,
}

/// Which messages.
#[derive(Args, Debug)]
#[group(skip)]
pub(in crate::cli) struct Chosen {
    /// Their names, as the list has them
    #[arg(required_unless_present = "all")]
    names: Vec<String>,
    /// All that lie there now
    #[arg(long, conflicts_with = "names")]
    all: bool,
    /// Do it without a question
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(in crate::cli) fn badmail(command: &BadmailCommand) -> ExitCode {
    match command {
        BadmailCommand::List(list) => show_list(list, FolderName::Badmail),
        BadmailCommand::Show(show) => show_one(show, FolderName::Badmail),
        BadmailCommand::Requeue(chosen) => order(chosen, FolderName::Badmail, FolderVerb::Requeue),
        BadmailCommand::Delete(chosen) => order(chosen, FolderName::Badmail, FolderVerb::Delete),
    }
}

pub(in crate::cli) fn folder(command: &FolderCommand) -> ExitCode {
    match command {
        FolderCommand::List { which, list } => show_list(list, which.name()),
        FolderCommand::Show { which, show } => show_one(show, which.name()),
        FolderCommand::Delete { which, chosen } => order(chosen, which.name(), FolderVerb::Delete),
    }
}

fn word(folder: FolderName) -> &'static str {
    match folder {
        FolderName::Badmail => "badmail",
        FolderName::Drop => "drop",
        FolderName::Pickup => "pickup",
    }
}

async fn page(desk: &Desk, folder: FolderName, after: Option<&str>, limit: u64) -> Result<Page<FileView>, Failure> {
    let mut address = desk.address(&format!("/folders/{}?limit={limit}", word(folder)));
    if let Some(after) = after {
        address.push_str(&format!("&after={}", escape(after)));
    }
    Ok(desk.client.get(&address).await?)
}

fn show_list(list: &List, folder: FolderName) -> ExitCode {
    let limit = list.limit;
    run(&list.place, |desk| async move {
        let (mut files, mut after, mut total) = (Vec::new(), None::<String>, None);
        while (files.len() as u64) < limit {
            let left = (limit - files.len() as u64).min(NAMES_AT_ONCE as u64);
            let page = page(&desk, folder, after.as_deref(), left).await?;
            files.extend(page.items);
            (after, total) = (page.next, page.total);
            if after.is_none() {
                break;
            }
        }
        desk.print(&files, |files| {
            let rows: Vec<Vec<String>> = files.iter().map(|file| row(file, folder)).collect();
            let mut head = vec!["NAME", "SINCE", "SIZE", "SENDER", "RECIPIENT", "SUBJECT"];
            head.extend((folder == FolderName::Badmail).then_some("WHY"));
            let mut text = table(&head, &rows);
            if after.is_some() {
                let of = total.map(|total| format!(" of {total}")).unwrap_or_default();
                text.push_str(&format!("… the first {}{of}; --limit shows more\n", files.len()));
            }
            text
        });
        Ok(())
    })
}

fn row(file: &FileView, folder: FolderName) -> Vec<String> {
    let first = file.recipients.first().cloned().unwrap_or_else(|| "-".into());
    let more = file.recipients.len().saturating_sub(1);
    let recipient = if more > 0 { format!("{first} (+{more})") } else { first };
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
    let mut row = vec![
        file.name.clone(),
        file.at.clone(),
        octets(file.size),
        or_dash(&file.sender),
        recipient,
        or_dash(&file.subject),
    ];
    row.extend((folder == FolderName::Badmail).then(|| or_dash(&file.why)));
    row
}

fn show_one(show: &Show, folder: FolderName) -> ExitCode {
    let (name, headers) = (show.name.clone(), show.headers);
    run(&show.place, |desk| async move {
        let address = desk.address(&format!("/folders/{}/{}", word(folder), escape(&name)));
        let view: ContentView = desk.client.get(&address).await?;
        desk.print(&view, |view| content(view, headers));
        Ok(())
    })
}

fn order(chosen: &Chosen, folder: FolderName, verb: FolderVerb) -> ExitCode {
    let (names, all, yes) = (chosen.names.clone(), chosen.all, chosen.yes);
    run(&chosen.place, |desk| async move {
        let names = if all { all_names(&desk, folder).await? } else { names };
        if names.is_empty() {
            return Err(Failure::Text("There are no messages.".into()));
        }
        let command = |names: Vec<String>| Command::Folder { server: desk.server.clone(), folder, verb, names };
        // Whoever names messages means them; but what is taken away does not come back.
        let sure = yes || (!all && verb == FolderVerb::Requeue);
        if !sure {
            desk.confirmed(&format!("{} messages are meant", names.len()))?;
        }
        let mut whole = Outcome::default();
        let mut progress = Progress::new(if verb == FolderVerb::Requeue { "Requeuing" } else { "Deleting" }, desk.json);
        let all = names.len();
        for (n, names) in names.chunks(NAMES_AT_ONCE).enumerate() {
            let done = n * NAMES_AT_ONCE;
            progress.tell(done as u64, Some(all as u64), &format!("{done} of {all} messages"));
            let outcome = desk.client.command(&command(names.to_vec()), false).await?;
            whole.count += outcome.count;
            whole.troubles.extend(outcome.troubles);
        }
        drop(progress);
        let word = if verb == FolderVerb::Requeue { "put into the queue again" } else { "deleted" };
        whole.text = format!("{} messages {word}", whole.count);
        desk.tell(&whole);
        if whole.troubles.is_empty() { Ok(()) } else { Err(Failure::Told(ExitCode::FAILURE)) }
    })
}

async fn all_names(desk: &Desk, folder: FolderName) -> Result<Vec<String>, Failure> {
    let (mut names, mut after) = (Vec::new(), None::<String>);
    loop {
        let page = page(desk, folder, after.as_deref(), NAMES_AT_ONCE as u64).await?;
        names.extend(page.items.into_iter().map(|file| file.name));
        after = page.next;
        if after.is_none() {
            return Ok(names);
        }
    }
}
