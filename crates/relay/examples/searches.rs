//! How long searches of a queue take: `cargo run --release -p relay --example searches [MESSAGES]`.
//!
//! All messages wait for a smart host that does not answer, in the folder. The time is that of the processor, whatever else the
//! machine does; the mean of some rounds.

use relay::config::Config;
use relay::envelope::{Envelope, Failure, FailureKind, Origin, QueueId, Recipient};
use relay::parcel::Place;
use relay::queue::ask::{Ask, AskId, Filter, MessageState};
use relay::queue::{Accepted, Effect, Event, Queue};
use smtp::address::{Mailbox, ReversePath};
use smtp::reply::EnhancedStatus;
use smtp::time::Timestamp;
use std::error::Error;
use std::fs;
use std::time::Duration;

const ROUNDS: u32 = 20;
const CONFIG: &str = "[[virtual_server]]\nname = \"one\"\nhome = \"/nowhere\"\n[virtual_server.delivery]\n\
    fqdn = \"relay.test\"\nsmart_host = \"[192.0.2.1]\"\n[[virtual_server.domain]]\nname = \"local.test\"\nkind = \"default\"\n";

/// How long this thread has run.
fn on_the_processor() -> Result<Duration, Box<dyn Error>> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(Duration::from_nanos(text.split(' ').next().unwrap_or_default().parse()?))
}

fn envelope(n: u64, now: Timestamp) -> Result<Envelope, Box<dyn Error>> {
    let address = |text: String| Mailbox::parse(&text).map_err(|error| format!("{text}: {error:?}"));
    let sender = ReversePath::Mailbox(address(format!("a{}@local.test", n % 32))?);
    let to = address(format!("u{}-{n}@far{}.test", n % 32, n % 50))?;
    let envelope = Envelope::new(sender, vec![Recipient::new(to, now)], Origin::Pickup { file: "x".into() }, now);
    Ok(Envelope { size: 10, subject: Some(format!("Your order {n} is on its way to you").into()), ..envelope })
}

/// Applies an event; nobody is reached, and all is parked at once.
fn apply(queue: &mut Queue, event: Event, now: Timestamp) {
    let mut events = vec![event];
    while let Some(event) = events.pop() {
        let mut effects = Vec::new();
        queue.apply(event, now, &mut effects);
        events.extend(effects.into_iter().filter_map(|effect| match effect {
            Effect::Connect { connection, parcel } => {
                let failure = Failure {
                    kind: FailureKind::Unreachable,
                    status: EnhancedStatus(4, 4, 1),
                    host: None,
                    reply: None,
                    text: "No connection.".into(),
                };
                let failures = parcel.recipients.iter().map(|index| (*index, failure.clone())).collect();
                Some(Event::Closed { connection, unsent: Some((parcel.id, failures)) })
            }
            Effect::Park(jobs) => Some(Event::Parked(jobs.iter().map(|job| job.id).collect())),
            _ => None,
        }));
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let messages: u64 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let config = Config::parse(CONFIG, "example.toml", "relay.test").map_err(|_| "the configuration is wrong")?;
    let (mut queue, mut now) = (Queue::new(config.servers[0].clone()), Timestamp(1_800_000_000_000));
    for n in 0..messages {
        let place = Place::Journal { segment: 1, offset: 0, len: 10, memory: None };
        let accepted = Accepted { id: QueueId(n + 1), envelope: envelope(n, now)?, place };
        apply(&mut queue, Event::Accepted(vec![accepted]), now);
    }
    for _ in 0..1_000 {
        now = now.plus(Duration::from_millis(100));
        apply(&mut queue, Event::Tick, now);
    }
    println!("{} messages, {} envelopes in memory", queue.totals().messages, queue.envelopes_in_memory());
    let (text, all) = (|text: &str| Some(text.into()), Filter::default);
    for (name, filter) in [
        ("recipient", Filter { recipient: text("nobody"), ..all() }),
        ("sender", Filter { sender: text("nobody"), ..all() }),
        ("address", Filter { address: text("local.testing"), ..all() }),
        ("subject", Filter { subject: text("nothing"), ..all() }),
        ("reason", Filter { reason: text("refused"), ..all() }),
        ("destination", Filter { destination: text("nowhere.test"), ..all() }),
        ("age", Filter { older_than: Some(Duration::from_secs(86_400)), ..all() }),
        ("held", Filter { state: Some(MessageState::Held), ..all() }),
        ("all", all()),
    ] {
        let (begun, mut slices) = (on_the_processor()?, 0);
        for _ in 0..ROUNDS {
            let mut effects = Vec::new();
            queue.apply(Event::Ask(AskId(7), Ask::Count(filter.clone())), now, &mut effects);
            while queue.has_work() {
                slices += 1;
                queue.apply(Event::Tick, now, &mut effects);
            }
        }
        let took = (on_the_processor()? - begun) / ROUNDS;
        println!("{name:12} {took:8.2?} in {} slices", slices / ROUNDS);
    }
    Ok(())
}
