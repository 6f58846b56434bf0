//! Queues for operators: their answers as views, commands as orders to them.

use super::{Control, Fault, no_server};
use relay::admin::view::{
    AttemptView, DestinationView, DestinationsPage, MessageSummary, MessageView, Outcome, Page, RecipientView,
};
use relay::admin::{Command, Filter, Operator, QueueVerb, Sight, Which, may_see};
use relay::envelope::{Envelope, Failure, Fate, Origin, QueueId};
use relay::queue::DestinationOrder;
use relay::queue::ask::{
    self, Answer, Ask, DestinationMark, DestinationSummary, DestinationsBy, DestinationsFrom, MessageDetail,
    MessageState, Order, Selection, Tally,
};
use relay::scheduler::Forecast;
use smtp::time::Timestamp;
use std::time::Duration;
use tokio::sync::watch;

/// Messages or destinations of one page.
pub const PAGE_ITEMS_MAX: usize = 1_000;

/// Which destinations: the first ones, unless it says behind or before which place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DestinationsWanted {
    /// Part of their name.
    pub name: Option<String>,
    /// Those behind this place: what a page gave as its next.
    pub after: Option<String>,
    /// Those before this place: what a page gave as its previous.
    pub before: Option<String>,
    /// At most so many, and [`PAGE_ITEMS_MAX`].
    pub limit: usize,
}

impl DestinationsWanted {
    /// The first ones.
    #[must_use]
    pub fn first(limit: usize) -> DestinationsWanted {
        DestinationsWanted { name: None, after: None, before: None, limit }
    }

    fn from(&self) -> Result<DestinationsFrom, Fault> {
        let mark = |text: &String| {
            let fault = || Fault::invalid(format!("\"{text}\" is no place in the list: take what a page gave"));
            DestinationMark::parse(text).ok_or_else(fault)
        };
        match (&self.after, &self.before) {
            (None, None) => Ok(DestinationsFrom::First),
            (Some(after), None) => mark(after).map(DestinationsFrom::After),
            (None, Some(before)) => mark(before).map(DestinationsFrom::Before),
            (Some(_), Some(_)) => Err(Fault::invalid("either after or before, not both")),
        }
    }
}

impl Control {
    /// Where mail waits, the longest queue first.
    ///
    /// # Errors
    /// He may not see it, there is no such virtual server, or no such page.
    pub async fn destinations(
        &self,
        by: &Operator,
        server: &str,
        wanted: &DestinationsWanted,
    ) -> Result<DestinationsPage, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        self.waiting_at(server, wanted).await
    }

    /// Where mail waits.
    pub(super) async fn waiting_at(
        &self,
        server: &str,
        wanted: &DestinationsWanted,
    ) -> Result<DestinationsPage, Fault> {
        let ask = Ask::Destinations {
            name: wanted.name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
            order: DestinationsBy::Waiting,
            from: wanted.from()?,
            limit: wanted.limit.clamp(1, PAGE_ITEMS_MAX),
        };
        match self.ask(server, ask).await? {
            Answer::Destinations { page, total, before, ends } => {
                let now = self.house.clock.now();
                let (first, last) = ends.unzip();
                let shown = page.len();
                Ok(DestinationsPage {
                    items: page.iter().map(|summary| destination(summary, now)).collect(),
                    total: total as u64,
                    before: before as u64,
                    previous: first.filter(|_| before > 0).map(|mark| mark.to_string()),
                    next: last.filter(|_| before + shown < total).map(|mark| mark.to_string()),
                })
            }
            other => Err(no_answer(&other)),
        }
    }

    /// Messages that wait, oldest first; `after`: those behind this id.
    ///
    /// # Errors
    /// He may not see it, there is no such virtual server, or the filter makes no sense.
    pub async fn messages(
        &self,
        by: &Operator,
        server: &str,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<MessageSummary>, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        let after = after.map(id).transpose()?;
        let ask = Ask::Messages { filter: sieve(filter), after, limit: limit.clamp(1, PAGE_ITEMS_MAX) };
        match self.ask(server, ask).await? {
            Answer::Messages { page, more } => {
                let now = self.house.clock.now();
                let items: Vec<_> = page.iter().map(|message| summary(message, now)).collect();
                let next = items.last().filter(|_| more).map(|last| last.id.clone());
                Ok(Page { items, total: None, next })
            }
            other => Err(no_answer(&other)),
        }
    }

    /// All about one message.
    ///
    /// # Errors
    /// He may not see it, or there is no such virtual server or message.
    pub async fn message(&self, by: &Operator, server: &str, name: &str) -> Result<MessageView, Fault> {
        may_see(by, Sight::Operation, Some(server))?;
        Ok(message(&*self.detail(server, name).await?, self.house.clock.now()))
    }

    /// All that the queue knows of a message.
    pub(super) async fn detail(&self, server: &str, name: &str) -> Result<Box<MessageDetail>, Fault> {
        match self.ask(server, Ask::Message(id(name)?)).await? {
            Answer::Message(Some(detail)) => Ok(detail),
            Answer::Message(None) => Err(Fault::NotFound(format!("message {name} in the queue"))),
            other => Err(no_answer(&other)),
        }
    }

    /// The last answer to a question.
    pub(super) async fn ask(&self, server: &str, ask: Ask) -> Result<Answer, Fault> {
        self.ask_told(server, ask, None).await
    }

    /// The same; `told` hears what an order has done so far.
    async fn ask_told(&self, server: &str, ask: Ask, told: Option<watch::Sender<u64>>) -> Result<Answer, Fault> {
        let name = server.to_owned();
        let answers = self.look(move |servers| servers.ask(&name, ask)).await?;
        let mut answers = answers.ok_or_else(|| no_server(server))?;
        while let Some(answer) = answers.next().await {
            match (&answer, &told) {
                (Answer::SoFar(tally), Some(told)) => drop(told.send(tally.done)),
                (Answer::SoFar(_), None) => {}
                _ => return Ok(answer),
            }
        }
        Err(Fault::Unavailable("the virtual server is stopping".into()))
    }
}

/// Carries out a command that concerns a queue; `None`: it is another's.
pub(super) async fn carry_out(
    control: &Control,
    command: &Command,
    dry_run: bool,
    told: Option<watch::Sender<u64>>,
) -> Option<Result<Outcome, Fault>> {
    let (server, ask) = match command {
        Command::Queue { server, verb, which } => match order(*verb, which) {
            Ok(ask) => (server, ask),
            Err(fault) => return Some(Err(fault)),
        },
        Command::DestinationSuspend { server, destination } => {
            (server, Ask::Destination(destination.as_str().into(), DestinationOrder::Suspend))
        }
        Command::DestinationResume { server, destination } => {
            (server, Ask::Destination(destination.as_str().into(), DestinationOrder::Resume))
        }
        Command::DestinationRetry { server, destination } => {
            (server, Ask::Destination(destination.as_str().into(), DestinationOrder::Retry))
        }
        _ => return None,
    };
    if dry_run {
        return Some(count(control, server, ask).await);
    }
    Some(match control.ask_told(server, ask, told).await {
        Ok(Answer::Done(tally)) => Ok(outcome(command, &tally)),
        Ok(other) => Err(no_answer(&other)),
        Err(fault) => Err(fault),
    })
}

async fn count(control: &Control, server: &str, ask: Ask) -> Result<Outcome, Fault> {
    let filter = match ask {
        Ask::Order(_, Selection::Ids(ids)) => {
            let text = format!("{} messages are named", ids.len());
            return Ok(Outcome { text, count: ids.len() as u64, ..Outcome::default() });
        }
        Ask::Order(_, Selection::Filter(filter)) => filter,
        Ask::Destination(name, _) => ask::Filter { destination: Some(name), ..Default::default() },
        _ => return Err(Fault::invalid("this command does nothing with messages")),
    };
    match control.ask(server, Ask::Count(filter)).await? {
        Answer::Count { messages, octets } => {
            let text = format!("{messages} messages of {octets} octets match");
            Ok(Outcome { text, count: messages, ..Outcome::default() })
        }
        other => Err(no_answer(&other)),
    }
}

fn order(verb: QueueVerb, which: &Which) -> Result<Ask, Fault> {
    let order = match verb {
        QueueVerb::Retry => Order::Retry,
        QueueVerb::Hold => Order::Hold,
        QueueVerb::Release => Order::Release,
        QueueVerb::Return => Order::Return,
        QueueVerb::Delete => Order::Delete,
    };
    let selection = match which {
        Which::Ids(names) => Selection::Ids(names.iter().map(|name| id(name)).collect::<Result<_, _>>()?),
        Which::Matching(filter) => Selection::Filter(sieve(filter)),
    };
    Ok(Ask::Order(order, selection))
}

fn outcome(command: &Command, tally: &Tally) -> Outcome {
    let verb = match command {
        Command::Queue { verb: QueueVerb::Retry, .. } | Command::DestinationRetry { .. } => "tried again",
        Command::Queue { verb: QueueVerb::Hold, .. } => "held",
        Command::Queue { verb: QueueVerb::Release, .. } => "released",
        Command::Queue { verb: QueueVerb::Return, .. } => "returned to their senders",
        Command::Queue { verb: QueueVerb::Delete, .. } => "deleted",
        Command::DestinationSuspend { .. } => "wait until the destination is resumed",
        _ => "go on",
    };
    let mut text = format!("{} messages {verb}", tally.done);
    for (number, words) in [
        (tally.under_way, "are under way and were left alone"),
        (tally.not_applicable, "were passed over, as it does not apply to them"),
        (tally.gone, "are not in the queue any more"),
        (tally.failed, "failed"),
    ] {
        if number > 0 {
            text.push_str(&format!("; {number} {words}"));
        }
    }
    let troubles = tally.failures.iter().map(|(id, why)| format!("{id}: {why}")).collect();
    Outcome { text, count: tally.done, troubles, ..Outcome::default() }
}

pub(super) fn no_answer(answer: &Answer) -> Fault {
    match answer {
        Answer::Failed(why) => Fault::Unavailable(why.to_string()),
        Answer::Busy => Fault::Unavailable("the queue has too many questions open; ask again in a moment".into()),
        _ => Fault::Unavailable("the queue gave another answer than was asked for".into()),
    }
}

fn id(name: &str) -> Result<QueueId, Fault> {
    let fault = || Fault::invalid(format!("\"{name}\" is no id of a message: it has 16 hexadecimal digits"));
    QueueId::parse(name).ok_or_else(fault)
}

fn sieve(filter: &Filter) -> ask::Filter {
    let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
    ask::Filter {
        sender: text(&filter.sender),
        recipient: text(&filter.recipient),
        address: text(&filter.address),
        destination: text(&filter.destination),
        older_than: filter.older_than_s.map(Duration::from_secs),
        younger_than: filter.younger_than_s.map(Duration::from_secs),
        reason: text(&filter.reason),
        subject: text(&filter.subject),
        held: filter.held,
        state: None,
    }
}

fn destination(summary: &DestinationSummary, now: Timestamp) -> DestinationView {
    let standing = &summary.standing;
    let state = if standing.suspended {
        "suspended"
    } else if standing.rest.is_some() {
        "waiting"
    } else if standing.paced.is_some() {
        "paced"
    } else if standing.connections > standing.idle {
        "active"
    } else {
        "idle"
    };
    let empty_at = match &standing.forecast {
        Forecast::Empty => Some("empty".to_owned()),
        Forecast::At(at) => Some(at.rfc3339()),
        _ => None,
    };
    DestinationView {
        name: standing.name.to_string(),
        state: state.into(),
        messages: standing.waiting as u64,
        oldest_s: summary.oldest.map_or(0, |oldest| now.since(oldest).as_secs()),
        connections: u64::from(standing.connections),
        last_answer: match &standing.rest {
            Some(rest) => Some(in_words(&rest.failure)),
            None => summary.said.as_deref().map(str::to_owned),
        },
        next_try: summary.next_try.map(Timestamp::rfc3339),
        empty_at,
    }
}

/// What went wrong, with the other side's words.
fn in_words(failure: &Failure) -> String {
    match &failure.reply {
        Some(reply) => format!("{} It said: {}", failure.text, reply.one_line()),
        None => failure.text.to_string(),
    }
}

fn summary(message: &ask::MessageSummary, now: Timestamp) -> MessageSummary {
    MessageSummary {
        id: message.id.to_string(),
        sender: message.sender.to_string(),
        recipient: message.recipient.to_string(),
        recipients: u64::from(message.open),
        size: message.size,
        arrived: message.since.rfc3339(),
        age_s: now.since(message.since).as_secs(),
        destination: message.destinations.iter().map(|name| &**name).collect::<Vec<_>>().join(", "),
        state: state_word(message.state).into(),
        tries: u64::from(message.tries),
        next_try: message.due.map(Timestamp::rfc3339),
        last_answer: message.said.as_deref().map(str::to_owned),
        subject: message.subject.as_deref().map(str::to_owned),
    }
}

fn state_word(state: MessageState) -> &'static str {
    match state {
        MessageState::UnderWay => "sending",
        MessageState::Ready => "ready",
        MessageState::Waiting => "waiting",
        MessageState::Resting => "resting",
        MessageState::Suspended => "suspended",
        MessageState::Held => "held",
        MessageState::Reporting => "reporting",
    }
}

fn message(detail: &MessageDetail, now: Timestamp) -> MessageView {
    let envelope = &detail.envelope;
    let (origin, account) = match &envelope.origin {
        Origin::Smtp { peer, helo, account } => (format!("smtp {peer} {helo}"), account.as_deref().map(str::to_owned)),
        Origin::Pickup { file } => (format!("pickup {file}"), None),
        Origin::Report { about } => (format!("report about {about}"), None),
    };
    let recipients = (0u32..).zip(&envelope.recipients);
    MessageView {
        summary: summary(&detail.summary, now),
        origin,
        account,
        recipients: recipients
            .map(|(index, recipient)| {
                let waits = detail.waits.iter().find(|(at, ..)| *at == index);
                let (state, tries, at, by, why) = fate(&recipient.fate);
                RecipientView {
                    address: recipient.address.to_string(),
                    state: state.into(),
                    tries,
                    at: waits.and_then(|(_, _, due)| *due).or(at).map(Timestamp::rfc3339),
                    destination: waits.map(|(_, name, _)| name.to_string()).or(by).unwrap_or_default(),
                    why,
                }
            })
            .collect(),
        attempts: attempts(envelope),
    }
}

fn fate(fate: &Fate) -> (&'static str, u64, Option<Timestamp>, Option<String>, Option<String>) {
    match fate {
        Fate::Pending { tries, due } => ("queued", u64::from(*tries), Some(*due), None, None),
        Fate::Held => ("held", 0, None, None, None),
        Fate::Delivered { at, by } => ("delivered", 0, Some(*at), Some(by.to_string()), None),
        Fate::Failed(failure) => ("failed", 0, None, None, Some(failure.text.to_string())),
        Fate::Reported { at } => ("reported", 0, Some(*at), None, None),
        Fate::Badmail { at } => ("badmail", 0, Some(*at), None, None),
        Fate::Deleted { at } => ("deleted", 0, Some(*at), None, None),
    }
}

fn attempts(envelope: &Envelope) -> Vec<AttemptView> {
    let address = |index: &u32| envelope.recipients.get(*index as usize).map(|to| to.address.to_string());
    let view = |attempt: &relay::envelope::Attempt| AttemptView {
        at: attempt.at.rfc3339(),
        host: attempt.host.to_string(),
        recipients: attempt.recipients.iter().filter_map(address).collect(),
        said: attempt.said.to_string(),
        channel: attempt.channel.as_ref().map(ToString::to_string),
    };
    envelope.attempts.iter().map(view).collect()
}
