//! `mailroot queue`: messages that wait, shown, held, released, tried, returned, deleted.

use super::table::{clean, content, octets, printable, short, table};
use super::{Desk, Failure, Place, escape, run, transfer};
use clap::{Args, Subcommand};
use relay::admin::view::{ContentView, MessageSummary, MessageView, Page};
use relay::admin::{Command, Filter, QueueVerb, Which};
use std::process::ExitCode;

/// Characters of a subject in a line of a list.
const SUBJECT_SHOWN: usize = 40;

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum QueueCommand {
    /// List messages that wait, oldest first
    List {
        #[command(flatten)]
        sieve: Sieve,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        limit: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Search messages: a word of the sender's or a recipient's address, and all that `list` knows
    Search {
        /// Part of an address, of the sender or a recipient
        #[arg(required_unless_present_any = ["sender", "recipient", "destination", "reason", "subject", "older_than", "younger_than", "held"])]
        word: Option<String>,
        #[command(flatten)]
        sieve: Sieve,
        /// At most so many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
        limit: u64,
        #[command(flatten)]
        place: Place,
    },
    /// Show all about one message: recipients, every attempt with the other side's words
    Show {
        /// Its id
        id: String,
        /// Its header instead
        #[arg(long, conflicts_with = "content")]
        headers: bool,
        /// Its header and the beginning of its text instead
        #[arg(long)]
        content: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Write messages into a file that people and `import` can read
    Export(transfer::Export),
    /// Put messages into the queue that an export has written
    Import(transfer::Import),
    /// Try messages at once
    Retry(Chosen),
    /// Hold messages back until they are released
    Hold(Chosen),
    /// Release messages that are held
    Release(Chosen),
    /// Give messages up, with a report to the sender
    Return(Chosen),
    /// Take messages away without a word to anybody
    Delete(Chosen),
}

/// Which messages.
#[derive(Args, Debug)]
pub(in crate::cli) struct Chosen {
    /// Their ids; or choose by the options
    ids: Vec<String>,
    #[command(flatten)]
    sieve: Sieve,
    /// Do it without a question
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

/// Which messages: all that is given must hold.
#[derive(Args, Debug)]
pub(in crate::cli) struct Sieve {
    /// Part of the sender's address; <> for reports
    #[arg(long, value_name = "TEXT")]
    sender: Option<String>,
    /// Part of a recipient's address
    #[arg(long, value_name = "TEXT")]
    recipient: Option<String>,
    /// The destination, as `mailroot destination list` names it
    #[arg(long, value_name = "NAME")]
    destination: Option<String>,
    /// At least so old: 30m, 12h, 2d
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<u64>,
    /// At most so old
    #[arg(long, value_name = "AGE", value_parser = age)]
    younger_than: Option<u64>,
    /// Part of the last answer
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Part of the subject
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
    /// Held ones only
    #[arg(long)]
    held: bool,
}

impl Sieve {
    pub(super) fn filter(&self) -> Filter {
        Filter {
            sender: self.sender.clone(),
            recipient: self.recipient.clone(),
            address: None,
            destination: self.destination.clone(),
            older_than_s: self.older_than,
            younger_than_s: self.younger_than,
            reason: self.reason.clone(),
            subject: self.subject.clone(),
            held: self.held.then_some(true),
        }
    }
}

/// `90s`, `30m`, `12h`, `2d` in seconds.
fn age(text: &str) -> Result<u64, String> {
    let fault = || "write a number with s, m, h or d: 12h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(fault)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(fault()),
    };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(seconds)).ok_or_else(fault)
}

pub(in crate::cli) fn main(command: &QueueCommand) -> ExitCode {
    match command {
        QueueCommand::List { sieve, limit, place } => list(place, &sieve.filter(), *limit),
        QueueCommand::Search { word, sieve, limit, place } => {
            list(place, &Filter { address: word.clone(), ..sieve.filter() }, *limit)
        }
        QueueCommand::Show { id, headers, content, place } if *headers || *content => look(place, id, *headers),
        QueueCommand::Show { id, place, .. } => show(place, id),
        QueueCommand::Export(wanted) => transfer::export(wanted),
        QueueCommand::Import(wanted) => transfer::import(wanted),
        QueueCommand::Retry(chosen) => order(chosen, QueueVerb::Retry),
        QueueCommand::Hold(chosen) => order(chosen, QueueVerb::Hold),
        QueueCommand::Release(chosen) => order(chosen, QueueVerb::Release),
        QueueCommand::Return(chosen) => order(chosen, QueueVerb::Return),
        QueueCommand::Delete(chosen) => order(chosen, QueueVerb::Delete),
    }
}

fn order(chosen: &Chosen, verb: QueueVerb) -> ExitCode {
    let filter = chosen.sieve.filter();
    let (ids, yes) = (chosen.ids.clone(), chosen.yes);
    run(&chosen.place, |desk| async move {
        let which = match (ids.is_empty(), filter == Filter::default()) {
            (true, true) => {
                let text = "Which messages? Name their ids, or choose them: --sender, --recipient, --destination, --older-than …";
                return Err(Failure::Text(text.into()));
            }
            (false, false) => return Err(Failure::Text("Ids or options, not both.".into())),
            (false, true) => Which::Ids(ids),
            (true, false) => Which::Matching(filter),
        };
        let named = matches!(which, Which::Ids(_));
        let command = Command::Queue { server: desk.server.clone(), verb, which };
        // Whoever types the ids of messages means them; but what is taken away does not come back.
        let counted = desk.agreed(&command, yes || (named && verb != QueueVerb::Delete)).await?;
        desk.long_command(&command, doing(verb), counted).await
    })
}

/// What a bar calls it.
pub(super) fn doing(verb: QueueVerb) -> &'static str {
    match verb {
        QueueVerb::Retry => "Trying",
        QueueVerb::Hold => "Holding",
        QueueVerb::Release => "Releasing",
        QueueVerb::Return => "Returning",
        QueueVerb::Delete => "Deleting",
    }
}

/// At most so many messages that match, oldest first; and whether there are more.
pub(super) async fn messages(desk: &Desk, filter: &Filter, limit: u64) -> Result<(Vec<MessageSummary>, bool), Failure> {
    let mut messages = Vec::new();
    let mut after: Option<String> = None;
    while (messages.len() as u64) < limit {
        let left = (limit - messages.len() as u64).min(1_000);
        let page: Page<MessageSummary> = desk.client.get(&address(desk, filter, after.as_deref(), left)).await?;
        messages.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok((messages, after.is_some()))
}

fn list(place: &Place, filter: &Filter, limit: u64) -> ExitCode {
    run(place, |desk| async move {
        let (messages, more) = messages(&desk, filter, limit).await?;
        desk.print(&messages, |messages| {
            let rows: Vec<Vec<String>> = messages.iter().map(row).collect();
            let mut text = table(
                &["ID", "AGE", "SIZE", "SENDER", "RECIPIENT", "STATE", "TRIES", "NEXT TRY", "SUBJECT", "LAST ANSWER"],
                &rows,
            );
            if more {
                text.push_str(&format!("… and more; --limit {} shows them\n", limit * 10));
            }
            text
        });
        Ok(())
    })
}

fn address(desk: &Desk, filter: &Filter, after: Option<&str>, limit: u64) -> String {
    let mut address = desk.address(&format!("/queue?limit={limit}"));
    let texts = [
        ("sender", &filter.sender),
        ("recipient", &filter.recipient),
        ("address", &filter.address),
        ("destination", &filter.destination),
        ("reason", &filter.reason),
        ("subject", &filter.subject),
    ];
    for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
        address.push_str(&format!("&{key}={}", escape(value)));
    }
    for (key, value) in [("older_than_s", filter.older_than_s), ("younger_than_s", filter.younger_than_s)] {
        if let Some(value) = value {
            address.push_str(&format!("&{key}={value}"));
        }
    }
    if filter.held == Some(true) {
        address.push_str("&held=true");
    }
    if let Some(after) = after {
        address.push_str(&format!("&after={}", escape(after)));
    }
    address
}

fn row(message: &MessageSummary) -> Vec<String> {
    let more = message.recipients.saturating_sub(1);
    let recipient = if more > 0 { format!("{} (+{more})", message.recipient) } else { message.recipient.clone() };
    vec![
        message.id.clone(),
        short(message.age_s),
        octets(message.size),
        message.sender.clone(),
        recipient,
        message.state.clone(),
        message.tries.to_string(),
        message.next_try.clone().unwrap_or_else(|| "-".into()),
        message.subject.as_deref().map_or_else(|| "-".into(), cut),
        message.last_answer.clone().unwrap_or_else(|| "-".into()),
    ]
}

/// A subject's first words: there are other columns.
fn cut(subject: &str) -> String {
    if subject.chars().count() <= SUBJECT_SHOWN {
        subject.to_owned()
    } else {
        subject.chars().take(SUBJECT_SHOWN - 1).chain(['…']).collect()
    }
}

fn show(place: &Place, id: &str) -> ExitCode {
    run(place, |desk| async move {
        let view: MessageView = desk.client.get(&desk.address(&format!("/queue/{}", escape(id)))).await?;
        desk.print(&view, told);
        Ok(())
    })
}

fn look(place: &Place, id: &str, headers: bool) -> ExitCode {
    run(place, |desk| async move {
        let view: ContentView = desk.client.get(&desk.address(&format!("/queue/{}/content", escape(id)))).await?;
        desk.print(&view, |view| content(view, headers));
        Ok(())
    })
}

fn told(view: &MessageView) -> String {
    let head = &view.summary;
    let mut text = format!(
        "{}  from {}  {} octets  since {} ({})\ncame by {}{}\n\n",
        head.id,
        clean(&head.sender),
        head.size,
        head.arrived,
        short(head.age_s),
        clean(&view.origin),
        view.account.as_deref().map(|account| format!(", account {}", clean(account))).unwrap_or_default()
    );
    if let Some(subject) = &head.subject {
        text.push_str(&format!("Subject: {}\n\n", clean(subject)));
    }
    let rows: Vec<Vec<String>> = view
        .recipients
        .iter()
        .map(|to| {
            let at = to.at.clone().unwrap_or_else(|| "-".into());
            vec![to.address.clone(), to.state.clone(), to.destination.clone(), to.tries.to_string(), at]
        })
        .collect();
    text.push_str(&table(&["RECIPIENT", "STATE", "DESTINATION", "TRIES", "WHEN"], &rows));
    for attempt in &view.attempts {
        text.push_str(&format!("\n{}  {}", attempt.at, clean(&attempt.host)));
        if let Some(channel) = &attempt.channel {
            text.push_str(&format!("  ({})", clean(channel)));
        }
        text.push_str(&format!("\n    {}\n", printable(&attempt.said)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read_as_people_write_them() {
        assert_eq!(["90s", "30m", "12h", "2d"].map(|text| age(text).unwrap()), [90, 1_800, 43_200, 172_800]);
        for wrong in ["", "h", "12", "1w", "-1h", "99999999999999999999d", "ü"] {
            assert!(age(wrong).is_err(), "{wrong}");
        }
    }
}
