//! Queue: where mail waits, by destination; which messages, with a search; what is done with many of them at once.
//!
//! IIS had no such view (Exchange 2000: Queues).

use super::{page, tone};
use crate::form::{Fields, FormFault};
use crate::layout::Frame;
use crate::{path, words};
use askama::Template;
use relay::admin::view::{DestinationView, DestinationsPage, MessageSummary, Page};
use relay::admin::{Command, Filter, QueueVerb, Which};

/// Destinations with mail.
#[derive(Template)]
#[template(path = "live/destinations.html", blocks = ["live"])]
pub struct Destinations {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// How many messages wait in all.
    pub messages: u64,
    /// Those of this page.
    pub page: DestinationsPage,
    /// Only those with this in their name.
    pub name: Option<String>,
    /// Behind which place this page begins.
    pub after: Option<String>,
    /// Before which place it ends.
    pub before: Option<String>,
}

/// Messages that wait.
#[derive(Template)]
#[template(path = "live/messages.html", blocks = ["live"])]
pub struct Messages {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: String,
    /// Which.
    pub filter: Filter,
    /// Those of this page.
    pub page: Page<MessageSummary>,
    /// Behind which message this page begins.
    pub after: Option<String>,
}

page!(Destinations, live);
page!(Messages, live);

/// Ages that a search offers, in seconds.
const AGES: [(u64, &str); 7] = [
    (600, "10 minutes"),
    (3_600, "1 hour"),
    (14_400, "4 hours"),
    (43_200, "12 hours"),
    (86_400, "1 day"),
    (172_800, "2 days"),
    (604_800, "1 week"),
];

/// What there is to do with messages: as a form has it, on a button, and in a sentence.
const VERBS: [(QueueVerb, &str, &str, &str); 5] = [
    (QueueVerb::Retry, "retry", "Retry", "They are tried at once."),
    (QueueVerb::Hold, "hold", "Hold", "They stay in the queue until they are released."),
    (QueueVerb::Release, "release", "Release", "They go on as if they had not been held."),
    (QueueVerb::Return, "return", "Return", "They leave the queue; their senders get a report that says so."),
    (
        QueueVerb::Delete,
        "delete",
        "Delete",
        "They leave the queue without a word to anybody. This cannot be taken back.",
    ),
];

/// What somebody wants to do with messages.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bulk {
    /// As a command.
    pub command: Command,
    /// What a button says for it.
    pub label: &'static str,
    /// What will happen.
    pub says: &'static str,
    /// It cannot be taken back.
    pub danger: bool,
    /// To be asked about first, with how many it concerns.
    pub ask: bool,
    /// The form again, for the answer to that question.
    pub fields: Vec<(String, String)>,
}

/// Reads the form of a list of messages, or of one message.
///
/// # Errors
/// It does not say what to do, or with what.
pub fn bulk(server: &str, form: &Fields) -> Result<Bulk, FormFault> {
    let word = form.need("verb", "What to do")?;
    let known = VERBS.into_iter().find(|(_, name, ..)| *name == word);
    let (verb, name, label, says) =
        known.ok_or_else(|| FormFault(format!("“{word}” is nothing to do with messages")))?;
    let matching = form.get("which") == Some("matching");
    let mut fields = vec![("verb".to_owned(), name.to_owned())];
    let which = if matching {
        let filter = filter(form)?;
        fields.push(("which".into(), "matching".into()));
        fields.extend(filter_fields(&filter).into_iter().map(|(name, value)| (name.to_owned(), value)));
        Which::Matching(filter)
    } else {
        let ids: Vec<String> = form.all("id").map(str::to_owned).collect();
        if ids.is_empty() {
            return Err(FormFault("No message is ticked; tick some, or choose all that match".into()));
        }
        fields.extend(ids.iter().map(|id| ("id".to_owned(), id.clone())));
        Which::Ids(ids)
    };
    let danger = matches!(verb, QueueVerb::Return | QueueVerb::Delete);
    let ask = (matching || danger) && form.get("sure").is_none();
    fields.push(("sure".into(), "yes".into()));
    let command = Command::Queue { server: server.to_owned(), verb, which };
    Ok(Bulk { command, label, says, danger, ask, fields })
}

/// Reads what is searched for.
///
/// # Errors
/// An age is no number.
pub fn filter(form: &Fields) -> Result<Filter, FormFault> {
    let age = |name: &str| match form.get(name) {
        None => Ok(None),
        Some(text) => match text.parse() {
            Ok(seconds) => Ok(Some(seconds)),
            Err(_) => Err(FormFault(format!("“{text}” is no age: it is a number of seconds"))),
        },
    };
    let text = |name: &str| form.get(name).map(str::to_owned);
    Ok(Filter {
        sender: text("sender"),
        recipient: text("recipient"),
        address: text("address"),
        destination: text("destination"),
        older_than_s: age("older_than_s")?,
        younger_than_s: age("younger_than_s")?,
        reason: text("reason"),
        subject: text("subject"),
        held: form.get("held").map(|held| held == "yes"),
    })
}

/// A search as fields of an address or a form.
#[must_use]
pub fn filter_fields(filter: &Filter) -> Vec<(&'static str, String)> {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let age = |value: Option<u64>| value.map(|seconds| seconds.to_string()).unwrap_or_default();
    let held = filter.held.map_or("", |held| if held { "yes" } else { "no" });
    let all = [
        ("sender", text(&filter.sender)),
        ("recipient", text(&filter.recipient)),
        ("address", text(&filter.address)),
        ("destination", text(&filter.destination)),
        ("older_than_s", age(filter.older_than_s)),
        ("younger_than_s", age(filter.younger_than_s)),
        ("reason", text(&filter.reason)),
        ("subject", text(&filter.subject)),
        ("held", held.to_owned()),
    ];
    all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// Reads the form of a destination's buttons.
///
/// # Errors
/// It does not say which destination, or what to do with it.
pub fn destination_command(server: &str, form: &Fields) -> Result<Command, FormFault> {
    let (server, destination) = (server.to_owned(), form.need("destination", "The destination")?.to_owned());
    match form.need("verb", "What to do")? {
        "suspend" => Ok(Command::DestinationSuspend { server, destination }),
        "resume" => Ok(Command::DestinationResume { server, destination }),
        "retry" => Ok(Command::DestinationRetry { server, destination }),
        other => Err(FormFault(format!("“{other}” is nothing to do with a destination"))),
    }
}

/// Buttons that he may press.
pub(super) fn verbs(frame: &Frame, server: &str) -> Vec<(&'static str, &'static str, bool)> {
    let none = Which::Ids(Vec::new());
    let may = |verb| frame.may(&Command::Queue { server: server.to_owned(), verb, which: none.clone() });
    let danger = |verb| matches!(verb, QueueVerb::Return | QueueVerb::Delete);
    VERBS
        .into_iter()
        .filter(|(verb, ..)| may(*verb))
        .map(|(verb, word, label, _)| (word, label, danger(verb)))
        .collect()
}

impl Destinations {
    fn address(&self, after: &Option<String>, before: &Option<String>) -> String {
        let fields = [("name", shown(&self.name)), ("after", shown(after)), ("before", shown(before))];
        path::server(&self.server, &["queue"]) + &path::query(&fields)
    }

    fn here(&self) -> String {
        self.address(&self.after, &self.before)
    }

    fn start(&self) -> String {
        self.address(&None, &None)
    }

    /// The number of the first one on this page.
    fn first(&self) -> u64 {
        self.page.before + 1
    }

    fn last(&self) -> u64 {
        self.page.before + self.page.items.len() as u64
    }

    fn previous(&self) -> Option<String> {
        self.page.previous.is_some().then(|| self.address(&None, &self.page.previous))
    }

    fn next(&self) -> Option<String> {
        self.page.next.is_some().then(|| self.address(&self.page.next, &None))
    }

    fn is_first(&self) -> bool {
        self.after.is_none() && self.before.is_none()
    }

    fn messages_of(&self, destination: &str) -> String {
        path::server(&self.server, &["queue", "messages"]) + &path::query(&[("destination", destination)])
    }

    /// Buttons of a destination: what a form says, and the label.
    fn verbs(&self, view: &DestinationView) -> Vec<(&'static str, &'static str)> {
        let retry = Command::DestinationRetry { server: self.server.clone(), destination: view.name.clone() };
        if !self.frame.may(&retry) {
            return Vec::new();
        }
        match view.state.as_str() {
            "suspended" => vec![("resume", "Resume")],
            _ => vec![("retry", "Retry"), ("suspend", "Suspend")],
        }
    }

    fn filter(&self) -> Filter {
        Filter::default()
    }
}

impl Messages {
    fn filter(&self) -> &Filter {
        &self.filter
    }

    fn address(&self, after: Option<&str>) -> String {
        let mut fields = filter_fields(&self.filter);
        fields.push(("after", after.unwrap_or_default().to_owned()));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        path::server(&self.server, &["queue", "messages"]) + &path::query(&fields)
    }

    fn here(&self) -> String {
        self.address(self.after.as_deref())
    }

    fn fields(&self) -> Vec<(&'static str, String)> {
        filter_fields(&self.filter)
    }

    fn is_filtered(&self) -> bool {
        self.filter != Filter::default()
    }
}

/// What a search form shows again.
pub(super) fn shown(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}

/// Ages to choose from, with the one that is chosen.
pub(super) fn ages(chosen: &Option<u64>) -> Vec<(u64, String, bool)> {
    let mut ages: Vec<_> = AGES.iter().map(|(age, label)| (*age, (*label).to_owned(), *chosen == Some(*age))).collect();
    if let Some(other) = chosen.filter(|age| !AGES.iter().any(|(known, _)| known == age)) {
        ages.push((other, words::span(other), true));
    }
    ages
}
