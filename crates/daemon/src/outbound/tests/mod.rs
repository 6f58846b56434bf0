//! Outbound connections against scripted servers on loopback, time running ahead where nobody has anything to do.

mod auth;
mod ended;
mod hosts;
mod identities;
mod kept;
mod needs;
mod peer;
mod reach;
mod steps;
mod tls;

use super::*;
use crate::dns::Resolver;
use crate::dns::fake::FakeDns;
use crate::log::Log;
use crate::policy::MtaSts;
use bytes::Bytes;
use peer::Peer;
use relay::channel::Channel;
use relay::config::{Config, HostPort};
use relay::envelope::{Envelope, Origin, QueueId, Recipient};
use relay::parcel::{Outcome, Place};
use relay::route::{Hosts, NextHop, Protocol};
use smtp::address::{Host, Mailbox, ReversePath};
use smtp::command::{BodyKind, Notify};
use smtp::time::Timestamp;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const CONTENT: &str = "Subject: hello\r\n\r\nline\r\n.dot\r\n";

/// A greeting, EHLO, and these extensions.
fn greet(extensions: &[&str]) -> String {
    let mut script = "S: 220 peer.test ready\nC: EHLO relay.test\nS: 250-peer.test\n".to_owned();
    for extension in extensions {
        script.push_str(&format!("S: 250-{extension}\n"));
    }
    script.push_str("S: 250 ENHANCEDSTATUSCODES\n");
    script
}

/// A whole message over DATA, taken.
const TAKE: &str = "C: MAIL FROM:\nS: 250 ok\nC: RCPT TO:\nS: 250 ok\nC: DATA\nS: 354 go\nD:\nS: 250 2.0.0 taken\n";
const BYE: &str = "C: QUIT\nS: 221 bye\n";

/// A message to these, separated by commas; goes nowhere.
pub(super) fn parcel(to: &str) -> Parcel {
    message(to, CONTENT, &listed(&[]))
}

fn message(to: &str, content: &str, hop: &Arc<NextHop>) -> Parcel {
    let recipient = |address: &str| Recipient::new(Mailbox::parse(address).unwrap(), Timestamp(0));
    let sender = ReversePath::Mailbox(Mailbox::parse("from@here.test").unwrap());
    let recipients = to.split(", ").map(recipient).collect();
    let envelope = Envelope::new(sender, recipients, Origin::Pickup { file: "x".into() }, Timestamp(0));
    let envelope = Envelope { size: content.len() as u64, ..envelope };
    let content = Bytes::copy_from_slice(content.as_bytes());
    Parcel {
        id: QueueId(1),
        recipients: (0..u32::try_from(envelope.recipients.len()).unwrap()).collect(),
        envelope: Arc::new(envelope),
        place: Place::Journal { segment: 0, offset: 0, len: 0, memory: Some(content) },
        hop: hop.clone(),
    }
}

/// The same message with something else in its envelope.
fn with(mut parcel: Parcel, change: impl FnOnce(&mut Envelope)) -> Parcel {
    change(Arc::make_mut(&mut parcel.envelope));
    parcel
}

fn host_port(address: SocketAddr) -> HostPort {
    HostPort { host: Host::Literal(address.ip()), port: address.port() }
}

fn listed(hosts: &[SocketAddr]) -> Arc<NextHop> {
    let hosts = Hosts::Listed(hosts.iter().copied().map(host_port).collect());
    Arc::new(NextHop::plain(hosts, Protocol::Esmtp))
}

/// One virtual server's outbound side, and what the queue hears of it.
struct Site {
    outbound: Outbound,
    events: Receiver<Event>,
    /// What the store tells; holds its home as well.
    _store: (Receiver<Event>, tempfile::TempDir),
    /// Nothing may come from these any more.
    closed: Vec<ConnectionId>,
}

impl Site {
    fn start() -> Site {
        Site::with("", &no_dns())
    }

    fn with_dns(dns: &FakeDns) -> Site {
        Site::with("", &dns.settings())
    }

    /// With these lines in `[virtual_server.delivery]`.
    fn with(delivery: &str, dns: &relay::config::Dns) -> Site {
        let text = format!(
            "[[virtual_server]]\nname = \"x\"\nhome = \"/nowhere\"\n\
             general.listen = [\"127.0.0.1:2\"]\n\
             [virtual_server.delivery]\nfqdn = \"relay.test\"\ntimeout = \"10 min\"\nmx_loopback = true\n{delivery}\n\
             [[virtual_server.domain]]\nname = \"here.test\"\nkind = \"default\"\n"
        );
        let config = Config::parse(&text, "test.toml", "host.test").unwrap_or_else(|problems| panic!("{problems:?}"));
        Site::of(&config.servers[0], dns)
    }

    /// With this much patience.
    fn with_timeout(timeout: Duration, dns: &relay::config::Dns) -> Site {
        let mut site = Site::with("", dns);
        let mut server = (*site.outbound.shared.server).clone();
        server.delivery.timeout = timeout;
        site.outbound.configure(Arc::new(server));
        site
    }

    fn of(server: &VirtualServer, dns: &relay::config::Dns) -> Site {
        Site::logging(server, dns, Log::nowhere())
    }

    fn logging(server: &VirtualServer, dns: &relay::config::Dns, log: Log) -> Site {
        let home = tempfile::tempdir().unwrap();
        let server = Arc::new(VirtualServer { home: home.path().to_owned(), ..server.clone() });
        let (sender, of_store) = mpsc::channel();
        let (store, _) = Store::open(&server, sender).unwrap();
        let (sender, events) = mpsc::channel();
        let resolver = Resolver::new(dns).unwrap();
        let policies = Policies::new(resolver, MtaSts::reading(home.path(), Clock::start()));
        let clock = Clock::start();
        let means = Means {
            policies,
            store,
            events: sender,
            log,
            tokens: Tokens::new(home.path(), Log::nowhere(), clock.clone()),
            clock,
            state: home.path().join("state"),
            sessions: crate::sessions::Registry::new(),
        };
        let outbound = Outbound::new(server, means, Handle::current());
        Site { outbound, events, _store: (of_store, home), closed: Vec::new() }
    }

    fn connect(&mut self, connection: u64, parcel: Parcel) {
        self.outbound.connect(ConnectionId(connection), parcel);
    }

    fn deliver(&mut self, connection: u64, parcel: Parcel) {
        self.outbound.deliver(ConnectionId(connection), parcel);
    }

    fn quit(&mut self, connection: u64) {
        self.outbound.quit(ConnectionId(connection));
    }

    /// The next event, in short; see [`show`].
    async fn event(&mut self) -> String {
        show(&self.raw_event().await)
    }

    async fn raw_event(&mut self) -> Event {
        loop {
            if let Ok(event) = self.events.try_recv() {
                match &event {
                    Event::Attempted { connection: Some(connection), .. } => assert!(!self.closed.contains(connection)),
                    Event::Closed { connection, .. } => {
                        assert!(!self.closed.contains(connection));
                        self.closed.push(*connection);
                    }
                    _ => {}
                }
                return event;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All events up to the end of the connection, one a line.
    async fn story(&mut self) -> String {
        let mut story = Vec::new();
        loop {
            let event = self.event().await;
            let is_end = event.starts_with("closed");
            story.push(event);
            if is_end {
                return story.join("\n");
            }
        }
    }
}

/// `attempted: 0=ok(250 2.0.0 taken) 1=Refused 5.1.1`, `closed`, `closed untried`, `closed: 0=Unreachable 4.4.1`.
fn show(event: &Event) -> String {
    let failed = |f: &relay::envelope::Failure| format!("{:?} {}", f.kind, f.status);
    match event {
        Event::Attempted { outcome: Outcome { results, channel, .. }, .. } => {
            let each = results.iter().map(|(index, result)| match result {
                Ok(taken) if taken.reports => format!("{index}=ok({}), reports", taken.said),
                Ok(taken) => format!("{index}=ok({})", taken.said),
                Err(failure) => format!("{index}={}", failed(failure)),
            });
            let channel = channel.as_ref().map_or_else(String::new, |channel| format!(" [{}]", in_short(channel)));
            format!("attempted: {}{channel}", each.collect::<Vec<_>>().join(" "))
        }
        Event::Closed { unsent: None, .. } => "closed".to_owned(),
        Event::Closed { unsent: Some((_, failures)), .. } if failures.is_empty() => "closed untried".to_owned(),
        Event::Closed { unsent: Some((_, failures)), .. } => {
            let each = failures.iter().map(|(index, failure)| format!("{index}={}", failed(failure)));
            format!("closed: {}", each.collect::<Vec<_>>().join(" "))
        }
        other => panic!("{other:?}"),
    }
}

/// `TLSv1.3 name auth PLAIN`
fn in_short(channel: &Channel) -> String {
    let tls = channel.tls.as_ref().map(|tls| format!("{} {}", tls.version, tls.checked.word()));
    let auth = channel.auth.as_ref().map(|auth| format!("auth {auth}"));
    tls.into_iter().chain(auth).collect::<Vec<_>>().join(" ")
}

/// Nobody answers there.
fn no_dns() -> relay::config::Dns {
    relay::config::Dns { servers: vec!["127.0.0.1:9".parse().unwrap()], ..relay::config::Dns::default() }
}

/// One message to one peer, up to the end of the connection.
async fn one(script: &str) -> String {
    let peer = Peer::start(&[script]);
    let mut site = Site::start();
    site.connect(1, message("to@there.test", CONTENT, &peer.hop()));
    let story = site.story().await;
    drop(peer.seen());
    story
}
