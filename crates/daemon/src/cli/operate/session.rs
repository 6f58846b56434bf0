//! `mailroot session`: who is connected, what was said, and the end of it.

use super::live::{Screen, Seen};
use super::table::{clean, octets, printable, short, table};
use super::{Desk, Failure, Place, escape, run};
use crate::cli::say;
use clap::{Args, Subcommand};
use relay::admin::view::{DialogueView, SessionView};
use relay::admin::{Command, Direction};
use std::process::ExitCode;
use std::time::Duration;

/// How often a list that is watched, or a dialogue that is followed, is asked for.
const EVERY: Duration = Duration::from_secs(1);

#[derive(Subcommand, Debug)]
pub(in crate::cli) enum SessionCommand {
    /// List the sessions: who, from where, since when, doing what
    List {
        /// Show it again and again, until q or Ctrl-C
        #[arg(long, conflicts_with = "json")]
        watch: bool,
        #[command(flatten)]
        way: Way,
        #[command(flatten)]
        place: Place,
    },
    /// Show a session with its dialogue so far; secrets are left out
    Show {
        /// Its id, as the list has it
        id: String,
        /// Go on with what is said from now on, until the session ends
        #[arg(long, conflicts_with = "json")]
        follow: bool,
        #[command(flatten)]
        place: Place,
    },
    /// End sessions at once
    End {
        /// Their ids, as the list has them
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        place: Place,
    },
    /// End all sessions at once
    EndAll {
        /// End them without a question
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        way: Way,
        #[command(flatten)]
        place: Place,
    },
}

/// Which way they go.
#[derive(Args, Debug)]
pub(in crate::cli) struct Way {
    /// Clients that have connected to us only
    #[arg(long, conflicts_with = "outbound")]
    inbound: bool,
    /// Our connections to other hosts only
    #[arg(long)]
    outbound: bool,
}

impl Way {
    fn direction(&self) -> Option<Direction> {
        match (self.inbound, self.outbound) {
            (true, _) => Some(Direction::Inbound),
            (_, true) => Some(Direction::Outbound),
            _ => None,
        }
    }
}

pub(in crate::cli) fn main(command: &SessionCommand) -> ExitCode {
    match command {
        SessionCommand::List { watch: false, way, place } => {
            let direction = way.direction();
            run(place, |desk| async move {
                let views = sessions(&desk, direction).await?;
                desk.print(&views, |views| list(views));
                Ok(())
            })
        }
        SessionCommand::List { watch: true, way, place } => watch(place, way.direction()),
        SessionCommand::Show { id, follow, place } => show(place, id, *follow),
        SessionCommand::End { ids, place } => end(place, ids),
        SessionCommand::EndAll { yes, way, place } => {
            let (yes, direction) = (*yes, way.direction());
            run(place, |desk| async move {
                let command = Command::SessionEndAll { server: desk.server.clone(), direction };
                desk.agreed(&command, yes).await?;
                desk.command(&command).await
            })
        }
    }
}

/// The sessions of the virtual server that is meant.
pub(super) async fn sessions(desk: &Desk, direction: Option<Direction>) -> Result<Vec<SessionView>, Failure> {
    let query = match direction {
        None => "",
        Some(Direction::Inbound) => "?direction=inbound",
        Some(Direction::Outbound) => "?direction=outbound",
    };
    Ok(desk.client.get(&desk.address(&format!("/sessions{query}"))).await?)
}

fn list(views: &[SessionView]) -> String {
    let rows: Vec<Vec<String>> = views.iter().map(row).collect();
    table(&["ID", "WAY", "USER", "PEER", "FOR", "STATE", "MESSAGES", "OCTETS", "TLS", "DESTINATION"], &rows)
}

fn row(view: &SessionView) -> Vec<String> {
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    vec![
        view.id.clone(),
        way(view.direction).into(),
        or_dash(&view.user),
        or_dash(&view.peer),
        short(view.seconds),
        view.state.clone(),
        view.messages.to_string(),
        octets(view.octets),
        or_dash(view.tls.as_deref().and_then(|tls| tls.split(' ').next()).unwrap_or_default()),
        or_dash(view.destination.as_deref().unwrap_or_default()),
    ]
}

pub(super) fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "in",
        Direction::Outbound => "out",
    }
}

fn watch(place: &Place, direction: Option<Direction>) -> ExitCode {
    run(place, |desk| async move {
        let mut screen = Screen::open()?;
        loop {
            let views = sessions(&desk, direction).await?;
            let head = format!("{} sessions of '{}'   q quits\n\n", views.len(), clean(&desk.server));
            screen.show(&(head + &list(&views)))?;
            if screen.wait(EVERY).await? == Seen::Quit {
                return Ok(());
            }
        }
    })
}

fn show(place: &Place, id: &str, follow: bool) -> ExitCode {
    run(place, |desk| async move {
        let address = desk.address(&format!("/sessions/{}", escape(id)));
        let view: DialogueView = desk.client.get(&address).await?;
        desk.print(&view, told);
        if !follow {
            return Ok(());
        }
        let mut said = view.forgotten + view.lines.len() as u64;
        loop {
            tokio::time::sleep(EVERY).await;
            let Ok(view) = desk.client.get::<DialogueView>(&address).await else {
                say("(the session has ended)\n");
                return Ok(());
            };
            let known = usize::try_from(said.saturating_sub(view.forgotten)).unwrap_or(usize::MAX);
            say(&lines(&DialogueView { lines: view.lines.iter().skip(known).cloned().collect(), ..view.clone() }));
            said = view.forgotten + view.lines.len() as u64;
        }
    })
}

fn told(view: &DialogueView) -> String {
    let session = &view.session;
    let tls = session.tls.as_deref().map(|tls| format!("  {}", clean(tls))).unwrap_or_default();
    let destination = session.destination.as_deref().map(|name| format!("  for {}", clean(name))).unwrap_or_default();
    let from_to = if session.direction == Direction::Inbound { "from" } else { "to" };
    let mut text = format!(
        "{}  {from_to} {}{destination}  user {}{tls}\nsince {} ({})  {}  {} messages, {} octets\n\n",
        session.id,
        clean(&session.peer),
        clean(&session.user),
        session.since,
        short(session.seconds),
        clean(&session.state),
        session.messages,
        session.octets
    );
    if view.forgotten > 0 {
        text.push_str(&format!("… {} earlier lines are not kept\n", view.forgotten));
    }
    text.push_str(&lines(view));
    text
}

fn lines(view: &DialogueView) -> String {
    let inbound = view.session.direction == Direction::Inbound;
    let mut text = String::new();
    for line in &view.lines {
        // C: the client, S: the server, whoever of the two we are.
        let who = if line.ours == inbound { 'S' } else { 'C' };
        text.push_str(&format!("{}  {who}: {}\n", line.at, printable(&line.text)));
    }
    text
}

fn end(place: &Place, ids: &[String]) -> ExitCode {
    run(place, |desk| async move {
        let mut failed = None;
        for id in ids {
            let command = Command::SessionEnd { server: desk.server.clone(), session: id.clone() };
            // Who comes after one that has ended already is ended all the same.
            if let Err(failure) = desk.command(&command).await {
                failed = Some(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::admin::view::DialogueLine;

    fn view() -> SessionView {
        SessionView {
            id: "7".into(),
            direction: Direction::Inbound,
            user: "[client\u{1b}[31m.test]".into(),
            peer: "192.0.2.1:1025".into(),
            local: "192.0.2.2:25".into(),
            since: "2026-11-22T07:00:00.000Z".into(),
            seconds: 75,
            state: "DATA".into(),
            messages: 2,
            octets: 4_096,
            tls: Some("TLSv1.3 TLS_AES_128_GCM_SHA256".into()),
            destination: None,
        }
    }

    #[test]
    fn sessions_stand_in_a_table() {
        let outbound = SessionView {
            id: "12".into(),
            direction: Direction::Outbound,
            user: String::new(),
            peer: "mx.test [192.0.2.9]:25".into(),
            tls: None,
            destination: Some("far.test".into()),
            ..view()
        };
        let expected = "\
ID  WAY  USER                PEER                    FOR  STATE  MESSAGES  OCTETS  TLS      DESTINATION
7   in   [client?[31m.test]  192.0.2.1:1025          1m   DATA   2         4096    TLSv1.3  -
12  out  -                   mx.test [192.0.2.9]:25  1m   DATA   2         4096    -        far.test
";
        assert_eq!(list(&[view(), outbound]), expected);
    }

    #[test]
    fn a_dialogue_is_told_line_by_line() {
        let line = |ours, text: &str| DialogueLine { at: "2026-11-22T07:00:01.000Z".into(), ours, text: text.into() };
        let lines = vec![line(true, "220 mx.test"), line(false, "AUTH PLAIN ***"), line(true, "535 no\u{7}")];
        let told = told(&DialogueView { session: view(), lines, forgotten: 3 });
        let expected = "\
7  from 192.0.2.1:1025  user [client?[31m.test]  TLSv1.3 TLS_AES_128_GCM_SHA256
since 2026-11-22T07:00:00.000Z (1m)  DATA  2 messages, 4096 octets

… 3 earlier lines are not kept
2026-11-22T07:00:01.000Z  S: 220 mx.test
2026-11-22T07:00:01.000Z  C: AUTH PLAIN ***
2026-11-22T07:00:01.000Z  S: 535 no?
";
        assert_eq!(told, expected);
    }
}
