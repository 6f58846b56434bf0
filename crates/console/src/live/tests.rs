//! Pages of what runs: what they show, what they keep from whom, and that text stays text.

use super::fixture::{self, HOSTILE, frame, operator};
use super::*;
use crate::form::Fields;
use crate::layout::{Flash, Place, Room};
use crate::{Confirm, Page};
use relay::admin::view::{DestinationsPage, Page as Items, ServerState};
use relay::admin::{Command, Direction, Filter, FolderName, FolderVerb, QueueVerb, Role, Scope, Which};
use std::fs;
use std::path::Path;

const SERVER: &str = "Default SMTP Virtual Server";

fn at(role: Role, title: &str, room: Room) -> crate::layout::Frame {
    let mut frame = frame(role, Place::Server(SERVER.into(), room));
    frame.title = title.into();
    frame
}

/// Each page by its name, as this role sees it, with a stranger's text wherever one can come in.
#[allow(clippy::too_many_lines, reason = "a list of pages")]
fn pages(role: Role, text: &str) -> Vec<(&'static str, Box<dyn Page>)> {
    let server = || SERVER.to_owned();
    let mut overview = frame(role, Place::Overview);
    overview.flash = Some(Flash { text: format!("{text} was paused"), fault: false, more: vec![text.into()] });
    overview.servers.push(fixture::server(text, ServerState::Stopped));
    let mut alarms = fixture::alarms();
    alarms[0].text.push_str(text);
    alarms[1].advice.push_str(text);
    let states = ["waiting", "waiting", "ready", "held", "sending", "suspended"];
    let items = (1..).zip(states).map(|(id, state)| fixture::summary(id, state, text)).collect();
    let fields = vec![("verb".into(), "delete".into()), ("sender".into(), text.into())];
    let says =
        vec![format!("871 messages match, of {text}."), "They leave the queue without a word to anybody.".into()];
    let back = "/servers/Default%20SMTP%20Virtual%20Server/queue".to_owned();
    let filter = Filter { recipient: Some(text.into()), older_than_s: Some(5_000), ..Filter::default() };
    let sessions = fixture::sessions(text);
    vec![
        ("overview", Box::new(Overview { frame: overview, alarms: alarms.clone(), series: fixture::series() })),
        (
            "sessions",
            Box::new(Sessions {
                frame: at(role, "Current Sessions", Room::Sessions),
                server: server(),
                direction: None,
                find: text.into(),
                sessions,
                total: 2_000,
                skipped: 0,
            }),
        ),
        (
            "dialogue",
            Box::new(Dialogue {
                frame: at(role, "Session", Room::Sessions),
                server: server(),
                view: fixture::dialogue(text),
            }),
        ),
        (
            "session_gone",
            Box::new(SessionGone { frame: at(role, "Session", Room::Sessions), server: server(), id: text.into() }),
        ),
        (
            "destinations",
            Box::new(Destinations {
                frame: at(role, "Queue", Room::Queue),
                server: server(),
                messages: 4_212,
                page: DestinationsPage {
                    items: fixture::destinations(text),
                    total: 205,
                    before: 100,
                    previous: Some(format!("1.2.{text}")),
                    next: Some(format!("3.4.{text}")),
                },
                name: Some(text.into()),
                after: Some(format!("1.2.{text}")),
                before: None,
            }),
        ),
        (
            "messages",
            Box::new(Messages {
                frame: at(role, "Messages", Room::Queue),
                server: server(),
                filter,
                page: Items { items, total: None, next: Some("0000000000000006".into()) },
                after: None,
            }),
        ),
        (
            "message",
            Box::new(Message {
                frame: at(role, "Message", Room::Queue),
                server: server(),
                view: fixture::message(text),
                content: Ok(fixture::content(text)),
            }),
        ),
        (
            "badmail",
            Box::new(Folder {
                frame: at(role, "Badmail", Room::Badmail),
                server: server(),
                folder: FolderName::Badmail,
                page: Items { items: fixture::files(text), total: Some(3), next: None },
                later: false,
            }),
        ),
        (
            "file",
            Box::new(FilePage {
                frame: at(role, "Badmail", Room::Badmail),
                server: server(),
                folder: FolderName::Badmail,
                content: fixture::content(text),
            }),
        ),
        (
            "counters",
            Box::new(Counters {
                frame: at(role, "Counters", Room::Counters),
                server: server(),
                counters: fixture::counters(),
                series: fixture::series(),
            }),
        ),
        ("alarms", Box::new(Alarms { frame: frame(role, Place::Alarms), alarms })),
        (
            "confirm",
            Box::new(Confirm {
                frame: at(role, "Delete 871 messages?", Room::Queue),
                server: server(),
                says,
                change: None,
                action: back.clone(),
                fields,
                button: "Delete them".into(),
                danger: true,
                back: back.clone(),
            }),
        ),
        (
            "trouble",
            Box::new(Trouble {
                frame: at(role, "Not found", Room::Queue),
                text: format!("there is no message {text} in the queue"),
                more: vec![text.into()],
                back,
            }),
        ),
    ]
}

/// All pages as files, to look at while one works on them: `PAGES_OUT=folder`.
#[test]
fn pages_can_be_looked_at() {
    let Ok(out) = std::env::var("PAGES_OUT") else { return };
    for (name, page) in pages(Role::Administrator, "mx.example.org & <friends>") {
        fs::write(Path::new(&out).join(format!("{name}.html")), page.html()).unwrap();
    }
}

/// Tags and attributes of a page, from the beginning of each to its end: what a stranger must have no part in.
fn tags(html: &str) -> Vec<String> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        let tag = &rest[at..];
        let (mut quote, mut end) = (None, tag.len());
        for (index, letter) in tag.char_indices() {
            match (quote, letter) {
                (None, '>') => {
                    end = index;
                    break;
                }
                (None, '"' | '\'') => quote = Some(letter),
                (Some(open), _) if open == letter => quote = None,
                _ => {}
            }
        }
        // Values may say anything; names may not.
        let mut shape = String::new();
        for (index, part) in tag[..end].split('"').enumerate() {
            shape.push_str(if index % 2 == 0 { part } else { "…" });
        }
        tags.push(shape);
        rest = &tag[end..];
    }
    tags
}

#[test]
fn a_strangers_text_is_text_on_every_page() {
    for role in [Role::Administrator, Role::HelpDesk] {
        for ((name, page), (_, plain)) in pages(role, HOSTILE).into_iter().zip(pages(role, "plain")) {
            let (html, plain) = (page.html(), plain.html());
            assert!(html.contains("onerror") || name == "counters", "{name}: the text is shown somewhere");
            assert!(!html.contains("<img src=x") && !html.contains("<script>") && !html.contains("<svg"), "{name}");
            assert_eq!(tags(&html), tags(&plain), "{name}: the same tags whatever the text");
        }
    }
}

#[test]
fn pages_have_no_script_no_style_and_no_address_elsewhere() {
    for (name, page) in pages(Role::Administrator, "plain") {
        for tag in tags(&page.html()) {
            assert!(!tag.contains(" style=") && !tag.starts_with("<style"), "{name}: {tag}");
            assert!(!tag.contains(" on") && !tag.contains("hx-on"), "{name}: {tag}");
            assert!(!tag.starts_with("<script") || tag.contains(" src="), "{name}: {tag}");
        }
        let html = page.html();
        assert!(!html.contains("=\"http") && !html.contains("=\"//") && !html.contains("javascript:"), "{name}");
    }
}

#[test]
fn whoever_may_only_look_has_nothing_to_press() {
    for role in [Role::HelpDesk, Role::Auditor] {
        for (name, page) in pages(role, "plain").into_iter().filter(|(name, _)| *name != "confirm") {
            let forms = page.html().matches("method=\"post\"").count();
            // A list of messages is a form without buttons then.
            let buttons = page.html().matches("<button type=\"submit\" name=\"verb\"").count();
            assert_eq!(buttons, 0, "{name} as {role}");
            assert!(forms <= 2, "{name} as {role}: {forms} forms besides the log-off");
            assert!(!page.html().contains("End this session") && !page.html().contains("End all"), "{name} as {role}");
        }
    }
    let presses = |role| {
        let count = |html: &str| html.matches("name=\"verb\"").count() + html.matches(">End<").count();
        pages(role, "plain").iter().map(|(_, page)| count(&page.html())).sum::<usize>()
    };
    assert!(presses(Role::Operator) > 20);
    assert_eq!(presses(Role::Operator), presses(Role::Administrator));
}

#[test]
fn each_form_that_changes_something_has_the_token() {
    for (name, page) in pages(Role::Administrator, "plain") {
        let html = page.html();
        let posts = html.matches("method=\"post\"").count();
        assert_eq!(html.matches("name=\"csrf\" value=\"c5rf\"").count(), posts, "{name}");
    }
}

#[test]
fn the_part_that_moves_is_a_part_of_the_page() {
    for (name, page) in pages(Role::Operator, "plain") {
        let (html, live) = (page.html(), page.live());
        assert!(html.contains(live.trim()), "{name}");
        if live.contains("data-live") {
            assert!(live.len() < html.len() && live.contains("hx-trigger=\"tick\""), "{name}");
        }
    }
}

#[test]
fn the_tree_shows_what_he_may_see() {
    let page = |frame| Alarms { frame, alarms: Vec::new() }.html();
    let desk = page(frame(Role::HelpDesk, Place::Alarms));
    assert!(!desk.contains("/properties\"") && !desk.contains("/operators\"") && !desk.contains("/audit\""));
    assert!(desk.contains("/queue\"") && desk.contains("/explain\"") && !desk.contains("/servers/new\""));
    let mut one = frame(Role::Administrator, Place::Alarms);
    one.operator.scope = Scope::Servers(vec!["Devices".into()]);
    one.servers.retain(|server| server.name == "Devices");
    let one = page(one);
    assert!(one.contains("/servers/Devices/properties\"") && !one.contains("/operators\""));
    assert!(one.contains("administrator of one virtual server"));
    assert!(page(frame(Role::Auditor, Place::Alarms)).contains("/audit\""));
}

#[test]
fn an_empty_list_says_something_useful() {
    let frame = || at(Role::Operator, "Queue", Room::Queue);
    fn none<T>() -> Items<T> {
        Items { items: Vec::new(), total: Some(0), next: None }
    }
    let messages =
        |filter| Messages { frame: frame(), server: SERVER.into(), filter, page: none(), after: None }.html();
    assert!(messages(Filter::default()).contains("The queue is empty"));
    let matching = Filter { reason: Some("greylisted".into()), ..Filter::default() };
    assert!(messages(matching).contains("No message that waits matches"));
    for folder in [FolderName::Badmail, FolderName::Drop, FolderName::Pickup] {
        let page = Folder { frame: frame(), server: SERVER.into(), folder, page: none(), later: false };
        assert!(page.html().contains(" is empty."), "{folder:?}");
    }
    let alarms = Alarms { frame: frame(), alarms: Vec::new() };
    assert!(alarms.html().contains("Nothing needs you"));
}

fn form(fields: &[(&str, &str)]) -> Fields {
    Fields(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
}

#[test]
fn what_cannot_be_taken_back_or_concerns_many_is_asked_first() {
    let asks = |fields: &[(&str, &str)]| bulk(SERVER, &form(fields)).map(|bulk| bulk.ask);
    assert_eq!(asks(&[("verb", "retry"), ("id", "1")]), Ok(false));
    assert_eq!(asks(&[("verb", "hold"), ("which", "matching"), ("sender", "a")]), Ok(true));
    assert_eq!(asks(&[("verb", "delete"), ("id", "1")]), Ok(true));
    assert_eq!(asks(&[("verb", "return"), ("id", "1"), ("sure", "yes")]), Ok(false));
    assert!(asks(&[("verb", "retry")]).is_err(), "nothing is ticked");
    assert!(asks(&[("verb", "burn"), ("id", "1")]).is_err());
    assert!(asks(&[("verb", "hold"), ("which", "matching"), ("older_than_s", "soon")]).is_err());
}

#[test]
fn a_question_brings_the_same_command_back() {
    let first = bulk(SERVER, &form(&[("verb", "delete"), ("which", "matching"), ("reason", " 421 "), ("held", "no")]));
    let first = first.unwrap();
    let filter = Filter { reason: Some("421".into()), held: Some(false), ..Filter::default() };
    let which = Which::Matching(filter);
    assert_eq!(first.command, Command::Queue { server: SERVER.into(), verb: QueueVerb::Delete, which });
    let second = bulk(SERVER, &Fields(first.fields.clone())).unwrap();
    assert_eq!((second.command, second.ask), (first.command, false));
}

#[test]
fn forms_of_folders_and_destinations() {
    let folder = |folder, fields: &[(&str, &str)]| folder_command(SERVER, folder, &form(fields));
    let (command, ask) = folder(FolderName::Badmail, &[("verb", "requeue"), ("name", "a"), ("name", "b")]).unwrap();
    let names = vec!["a".to_owned(), "b".to_owned()];
    let verb = FolderVerb::Requeue;
    assert_eq!(command, Command::Folder { server: SERVER.into(), folder: FolderName::Badmail, verb, names });
    assert!(!ask);
    assert!(folder(FolderName::Drop, &[("verb", "requeue"), ("name", "a")]).is_err(), "only Badmail is requeued");
    assert!(folder(FolderName::Drop, &[("verb", "delete"), ("name", "a")]).unwrap().1);
    let resume = destination_command(SERVER, &form(&[("destination", "example.net"), ("verb", "resume")]));
    assert_eq!(resume, Ok(Command::DestinationResume { server: SERVER.into(), destination: "example.net".into() }));
    assert!(destination_command(SERVER, &form(&[("verb", "resume")])).is_err());
    assert_eq!(direction(Some("outbound")), Some(Direction::Outbound));
    assert_eq!(operator(Role::Operator).role, Role::Operator);
}
