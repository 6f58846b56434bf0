//! `mailroot top`: a live view of the whole screen: rates, where mail waits, who is connected.
//!
//! Asks once a second what every other command asks too. Rates are differences of the counters between two answers. It needs a terminal
//! of at least 40 columns and uses what there is; without one it prints a single picture and says so.

use super::destination::destinations;
use super::live::{Screen, Seen, is_there};
use super::server::{waiting, word};
use super::session::{sessions, way};
use super::table::{clean, octets, short, table};
use super::{Desk, Failure, Place, run};
use crate::cli::complain;
use clap::Args;
use relay::admin::view::{CounterView, DestinationView, ServerView, SessionView};
use relay::counter::Counter;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often it asks.
const EVERY: Duration = Duration::from_secs(1);
/// Destinations that it asks for: more have no room on any screen.
const DESTINATIONS_SHOWN: u64 = 200;
/// Lines of the picture where there is no terminal.
const ROWS: usize = 60;
/// Columns of it.
const COLUMNS: usize = 120;

/// `mailroot top`
#[derive(Args, Debug)]
pub(in crate::cli) struct Top {
    #[command(flatten)]
    place: Place,
}

/// What is known at one time.
struct Picture {
    server: ServerView,
    destinations: Vec<DestinationView>,
    sessions: Vec<SessionView>,
    moved: Moved,
    at: Instant,
}

/// What has been counted since the service was started.
#[derive(Copy, Clone, Default)]
struct Moved {
    /// Inbound, outbound.
    messages: [u64; 2],
    octets: [u64; 2],
    connections: [u64; 2],
    refusals: u64,
}

/// How much of it in a second.
#[derive(Copy, Clone, Default)]
struct Rates {
    messages: [f64; 2],
    octets: [f64; 2],
    connections: [f64; 2],
    refusals: f64,
}

pub(in crate::cli) fn main(top: &Top) -> ExitCode {
    run(&top.place, |desk| async move {
        if desk.json {
            return Err(Failure::Text(
                "top is for people; for programs there are the other commands with --json".into(),
            ));
        }
        if !is_there() {
            complain("There is no terminal: this is one picture, without rates.\n");
            let picture = look(&desk).await?;
            super::say(&draw(&picture, None, COLUMNS, ROWS));
            return Ok(());
        }
        let mut screen = Screen::open()?;
        let mut before: Option<(Instant, Moved)> = None;
        loop {
            let picture = look(&desk).await?;
            let rates = before.map(|(then, old)| rates(old, picture.moved, picture.at.duration_since(then)));
            before = Some((picture.at, picture.moved));
            let (columns, rows) = screen.size();
            screen.show(&draw(&picture, rates, columns, rows))?;
            if screen.wait(EVERY).await? == Seen::Quit {
                return Ok(());
            }
        }
    })
}

async fn look(desk: &Desk) -> Result<Picture, Failure> {
    let server = desk.client.get(&desk.address("")).await?;
    // One that does not run has none to show.
    let destinations = destinations(desk, None, DESTINATIONS_SHOWN).await.unwrap_or_default().0;
    let counters: Vec<CounterView> = desk.client.get(&desk.address("/counters")).await?;
    let moved = Moved::of(&counters);
    Ok(Picture { server, destinations, sessions: sessions(desk, None).await?, moved, at: Instant::now() })
}

impl Moved {
    fn of(counters: &[CounterView]) -> Moved {
        let value = |counter: Counter| {
            let name = counter.definition().name;
            counters.iter().find(|view| view.name == name).map_or(0, |view| view.value)
        };
        Moved {
            messages: [
                value(Counter::MessagesReceived),
                value(Counter::MessagesSent) + value(Counter::MessagesDelivered),
            ],
            octets: [value(Counter::MessageBytesReceived), value(Counter::MessageBytesSent)],
            connections: [value(Counter::ConnectionsIn), value(Counter::ConnectionsOut)],
            refusals: value(Counter::Refused),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a rate for people")]
fn rates(old: Moved, new: Moved, time: Duration) -> Rates {
    let seconds = time.as_secs_f64().max(0.001);
    let rate = |old: u64, new: u64| new.saturating_sub(old) as f64 / seconds;
    let both = |old: [u64; 2], new: [u64; 2]| [rate(old[0], new[0]), rate(old[1], new[1])];
    Rates {
        messages: both(old.messages, new.messages),
        octets: both(old.octets, new.octets),
        connections: both(old.connections, new.connections),
        refusals: rate(old.refusals, new.refusals),
    }
}

/// The picture, for a screen of this size.
fn draw(picture: &Picture, rates: Option<Rates>, columns: usize, rows: usize) -> String {
    let Picture { server, destinations, sessions, .. } = picture;
    let mut text = format!("{}  {}  {}   q quits\n", clean(&server.name), word(server.state), server.listen.join(" "));
    server.trouble.iter().for_each(|trouble| text.push_str(&format!("! {}\n", clean(trouble))));
    text.push_str(&format!(
        "queue {}  destinations {}  sessions in {}  out {}\n",
        waiting(server),
        server.destinations,
        server.sessions_in,
        server.sessions_out
    ));
    if let Some(rates) = rates {
        let line = |way: usize| {
            let (messages, connections) = (rates.messages[way], rates.connections[way]);
            format!("{messages:.1} messages {}B {connections:.1} connections", octets(whole(rates.octets[way])))
        };
        text.push_str(&format!("a second: in {}\n         out {}\n", line(0), line(1)));
        text.push_str(&format!("          refusals {:.1}\n", rates.refusals));
    }
    let left = rows.saturating_sub(text.lines().count() + 4);
    // Half of the room is for each; what one does not need the other has.
    let for_queues = destinations.len().min(left.saturating_sub(sessions.len()).max(left / 2));
    let for_sessions = left.saturating_sub(for_queues);
    text.push('\n');
    text.push_str(&cut(&queues(destinations), for_queues + 1));
    text.push('\n');
    text.push_str(&cut(&connected(sessions), for_sessions + 1));
    super::live::fitted(&text, columns, rows).into_iter().map(|line| line + "\n").collect()
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for people")]
fn whole(number: f64) -> u64 {
    number as u64
}

fn queues(destinations: &[DestinationView]) -> String {
    let row = |view: &DestinationView| {
        let oldest = if view.messages == 0 { "-".into() } else { short(view.oldest_s) };
        let answer = view.last_answer.clone().unwrap_or_else(|| "-".into());
        vec![
            view.name.clone(),
            view.state.clone(),
            view.messages.to_string(),
            oldest,
            view.connections.to_string(),
            answer,
        ]
    };
    let rows: Vec<_> = destinations.iter().map(row).collect();
    table(&["DESTINATION", "STATE", "MESSAGES", "OLDEST", "CONN", "LAST ANSWER"], &rows)
}

/// Those that have moved most stand first.
fn connected(sessions: &[SessionView]) -> String {
    let mut sorted: Vec<&SessionView> = sessions.iter().collect();
    sorted.sort_by_key(|view| (std::cmp::Reverse(view.octets), view.seconds));
    let row = |view: &&SessionView| {
        vec![
            view.id.clone(),
            way(view.direction).into(),
            view.user.clone(),
            view.peer.clone(),
            short(view.seconds),
            view.state.clone(),
            view.messages.to_string(),
            octets(view.octets),
        ]
    };
    let rows: Vec<_> = sorted.iter().map(row).collect();
    table(&["SESSION", "WAY", "USER", "PEER", "FOR", "STATE", "MSGS", "OCTETS"], &rows)
}

/// The first lines; the last of them says how many more there are.
fn cut(text: &str, rows: usize) -> String {
    super::live::fitted(text, usize::MAX, rows.max(1)).into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use relay::admin::Direction;
    use relay::admin::view::ServerState;

    fn session(id: u64, direction: Direction, messages: u64) -> SessionView {
        SessionView {
            id: id.to_string(),
            direction,
            user: "[client.test]".into(),
            peer: "192.0.2.1:1025".into(),
            local: "192.0.2.2:25".into(),
            since: String::new(),
            seconds: 61,
            state: "idle".into(),
            messages,
            octets: messages * 1_000,
            tls: None,
            destination: None,
        }
    }

    fn picture(destinations: u64, sessions: u64) -> Picture {
        let destination = |n| DestinationView {
            name: format!("far{n}.test"),
            state: "waiting".into(),
            messages: 10,
            oldest_s: 7_200,
            connections: 1,
            last_answer: Some("451 later".into()),
            next_try: None,
            empty_at: None,
        };
        Picture {
            server: ServerView {
                name: "Default".into(),
                state: ServerState::Running,
                trouble: Vec::new(),
                listen: vec!["127.0.0.1:25".into()],
                home: String::new(),
                fqdn: String::new(),
                sessions_in: sessions,
                sessions_out: 0,
                queue: Some(10 * destinations),
                destinations,
            },
            destinations: (0..destinations).map(destination).collect(),
            sessions: (0..sessions).map(|id| session(id, Direction::Inbound, id)).collect(),
            moved: Moved::default(),
            at: Instant::now(),
        }
    }

    fn some() -> Option<Rates> {
        let (messages, octets, connections) = ([12.34, 0.0], [20_480.0, 0.0], [1.0, 0.0]);
        Some(Rates { messages, octets, connections, refusals: 0.5 })
    }

    #[test]
    fn a_picture_fits_the_screen_and_has_something_of_both() {
        for (destinations, sessions) in [(0, 0), (1, 1), (100, 2_000), (100, 0), (0, 100)] {
            for (columns, rows) in [(80, 24), (40, 14), (200, 60)] {
                let text = draw(&picture(destinations, sessions), some(), columns, rows);
                assert!(text.lines().count() <= rows, "{rows}: {text}");
                assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
                assert!(text.contains("DESTINATION") && text.contains("SESSION"), "{columns}x{rows}: {text}");
            }
        }
        let expected = "\
Default  running  127.0.0.1:25   q quits
queue 10  destinations 1  sessions in 1  out 0
a second: in 12.3 messages 20KB 1.0 connections
         out 0.0 messages 0B 0.0 connections
          refusals 0.5

DESTINATION  STATE    MESSAGES  OLDEST  CONN  LAST ANSWER
far0.test    waiting  10        2h      1     451 later

SESSION  WAY  USER           PEER            FOR  STATE  MSGS  OCTETS
0        in   [client.test]  192.0.2.1:1025  1m   idle   0     0
";
        assert_eq!(draw(&picture(1, 1), some(), 80, 24), expected);
    }

    #[test]
    fn rates_are_of_what_was_counted_between_two_looks() {
        let counted = |value| {
            let name = Counter::MessagesReceived.definition().name.into();
            Moved::of(&[CounterView { name, label: String::new(), help: String::new(), rises: true, value }])
        };
        let rates = rates(counted(5), counted(15), Duration::from_secs(2));
        assert!((rates.messages[0] - 5.0).abs() < 0.01 && rates.messages[1] < 0.01);
    }
}
