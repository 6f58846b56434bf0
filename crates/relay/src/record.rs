//! What happened: one value for the log, the counters and, later, the console.
//!
//! A record prints as one line of `key=value` pairs after the name of what happened:
//!
//! ```text
//! delivered id=00063f1c2d3e4f50 to=carol@example.com by="mx.example.com [192.0.2.1]:25" said="250 2.0.0 Ok" after=12ms
//! ```
//!
//! What a stranger chose (addresses, names, replies, file names) stands in these lines, so they are written for hostile
//! values: a line is always one line of printable ASCII; a value with a space, a quote, a backslash or an equals sign is
//! quoted; what is not printable ASCII is escaped (`\n`, `\x1b`, `\u{2028}`); and a value is cut at [`VALUE_MAX`]
//! octets, followed by `+` and the number of octets that were left out. So no value can end its line, pose as another key, or
//! steer a terminal. Secrets are never part of a record.
//!
//! Writes nothing and counts nothing itself: the daemon adds the time and the virtual server, and writes the line.

mod line;
mod logon;
mod queue;

pub use line::Line;
pub use logon::{Logon, Why};

use crate::badmail::BadmailReason;
use crate::channel::Channel;
use crate::envelope::{Envelope, Failure, Origin, QueueId};
use smtp::address::{Domain, Mailbox, ReversePath};
use smtp::reply::Reply;
use smtp::time::Timestamp;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Octets of one value that a line shows.
pub const VALUE_MAX: usize = 400;

/// How much an operator wants to read.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// What the operator must know: starts, stops, alarms, destinations that are down, mail that nobody will get.
    Quiet,
    /// Also what happens to each message.
    Info,
    /// Also each connection.
    Debug,
}

/// One thing that happened. Counters are folds of these, so that log and counters cannot disagree.
#[derive(Clone, Debug)]
pub enum Record {
    /// A virtual server accepts mail from now on.
    Started {
        /// Where it listens.
        listen: Vec<SocketAddr>,
        /// Its folder.
        home: Box<str>,
    },
    /// A new configuration holds.
    Configured,
    /// A virtual server has stopped: everything that it had accepted is on disk or delivered.
    Stopped,
    /// An operator has paused a virtual server: no new connections.
    Paused,
    /// It takes connections again.
    Continued {
        /// Where it listens.
        listen: Vec<SocketAddr>,
    },
    /// Something is wrong that the operator should mend; mail goes on as well as it can.
    Alarm {
        /// What is wrong, and what to do, in a sentence for people.
        text: Box<str>,
    },
    /// An operator has logged on to the console, or was not let in.
    Operator {
        /// His name, as he gave it.
        name: Box<str>,
        /// His address.
        from: Box<str>,
        /// What he did, or why he was not let in.
        what: Box<str>,
    },
    /// A client has connected.
    Connected {
        /// From where.
        peer: SocketAddr,
        /// To which of our addresses.
        local: SocketAddr,
    },
    /// A client's session is over.
    Disconnected {
        /// From where.
        peer: SocketAddr,
        /// Messages that were accepted in it.
        messages: u64,
        /// How it ended: `quit`, `vanished`, `timeout` …
        how: Box<str>,
    },
    /// A message was accepted over SMTP: it is on disk, and the client is told 250.
    Accepted {
        /// Its name from now on.
        id: QueueId,
        /// The sender.
        from: ReversePath,
        /// Octets, our trace lines included.
        size: u64,
        /// How many recipients.
        recipients: usize,
        /// The client's address.
        peer: IpAddr,
        /// What the client called itself.
        helo: Box<str>,
        /// The account by which it had authenticated.
        account: Option<Box<str>>,
    },
    /// A message was accepted from a file in Pickup.
    PickedUp {
        /// Its name from now on.
        id: QueueId,
        /// The file's name.
        file: Box<str>,
        /// The sender.
        from: ReversePath,
        /// Octets, our trace lines included.
        size: u64,
        /// How many recipients.
        recipients: usize,
    },
    /// A message came to nothing after its content had begun: the client vanished or took it back, or it was refused.
    Abandoned {
        /// The name it would have had.
        id: QueueId,
        /// The sender.
        from: ReversePath,
        /// Octets that had come.
        size: u64,
        /// How many recipients.
        recipients: usize,
        /// The client's address.
        peer: IpAddr,
    },
    /// A client was refused something.
    Refused {
        /// The client's address.
        peer: IpAddr,
        /// What it asked for: `connect`, `MAIL FROM:<…>`, `RCPT TO:<…>`, `DATA` …
        command: Box<str>,
        /// What it was told.
        reply: Reply,
        /// The setting or limit that decided, if one did.
        by: Option<&'static str>,
    },
    /// A client's connection is encrypted from now on.
    Secured {
        /// From where.
        peer: SocketAddr,
        /// `TLSv1.3`.
        version: &'static str,
        /// The cipher suite's registered name.
        cipher: &'static str,
        /// The name that the client asked for.
        name: Option<Box<str>>,
        /// The subject of the certificate that the client showed.
        certificate: Option<Box<str>>,
    },
    /// A client and we did not agree on TLS, or what it sent was no TLS any more.
    NotSecured {
        /// From where.
        peer: SocketAddr,
        /// What went wrong.
        why: Box<str>,
    },
    /// Somebody wanted to log on.
    Logon(Logon),
    /// Mail goes to a host in clear text, as its policy allows, after TLS was tried in vain.
    InClear {
        /// The host.
        host: Box<str>,
        /// What went wrong with TLS.
        why: Box<str>,
    },
    /// What a domain has published about TLS cannot be met by its host, and the senders of this mail waive it (`TLS-Required: No`): it
    /// goes on the operator's terms alone.
    Waived {
        /// The host.
        host: Box<str>,
        /// What went wrong with TLS.
        why: Box<str>,
    },
    /// What a domain says about TLS to its mail hosts (MTA-STS) was fetched, or could not be.
    Policy {
        /// Whose.
        domain: Domain,
        /// Its mode; or why it is not to be had.
        outcome: Result<&'static str, Box<str>>,
    },
    /// A recipient's mail was taken over by the next hop, or written to Drop.
    Delivered {
        /// The message.
        id: QueueId,
        /// To whom.
        to: Mailbox,
        /// The host.
        by: Box<str>,
        /// Its words.
        said: Box<str>,
        /// How the channel was protected, if it was.
        channel: Option<Arc<Channel>>,
        /// Milliseconds since it was accepted.
        after_ms: u64,
    },
    /// A next hop has taken a message over for these recipients together, or it was written to Drop for them.
    Sent {
        /// The message.
        id: QueueId,
        /// How many recipients.
        recipients: usize,
        /// Octets, our trace lines included.
        size: u64,
        /// Into Drop.
        local: bool,
    },
    /// A session with a next hop is open.
    Reached {
        /// The host.
        host: Box<str>,
        /// How the channel is protected, if it is.
        channel: Option<Arc<Channel>>,
    },
    /// A session with a next hop could not be opened at one of its addresses.
    Unreached {
        /// Why.
        failure: Box<Failure>,
    },
    /// An attempt failed for now.
    Deferred {
        /// The message.
        id: QueueId,
        /// To whom.
        to: Mailbox,
        /// Why.
        failure: Box<Failure>,
        /// When it is tried again.
        again: Timestamp,
        /// It goes into Drop.
        local: bool,
    },
    /// A recipient failed for good.
    Failed {
        /// The message.
        id: QueueId,
        /// To whom.
        to: Mailbox,
        /// Why.
        failure: Box<Failure>,
    },
    /// A report was accepted.
    Reported {
        /// The message it is about.
        id: QueueId,
        /// How many recipients it names.
        recipients: usize,
    },
    /// A message was put into Badmail.
    Badmailed {
        /// The message.
        id: QueueId,
        /// Why.
        reason: BadmailReason,
    },
    /// An operator has put a message from Badmail into the queue again.
    Requeued {
        /// Its name from now on.
        id: QueueId,
        /// What it was called in Badmail.
        file: Box<str>,
        /// The sender.
        from: ReversePath,
        /// How many recipients.
        recipients: usize,
    },
    /// An operator has carried a message in that was carried out of a queue.
    Imported {
        /// Its name from now on.
        id: QueueId,
        /// The one that it had.
        was: QueueId,
        /// The sender.
        from: ReversePath,
        /// How many recipients.
        recipients: usize,
    },
    /// An operator holds a message.
    Held {
        /// Which.
        id: QueueId,
    },
    /// An operator has released a message that was held.
    Released {
        /// Which.
        id: QueueId,
    },
    /// An operator has deleted a message; nobody is told.
    Deleted {
        /// Which.
        id: QueueId,
        /// How many recipients will not get it.
        recipients: usize,
    },
    /// A destination does not answer; nothing goes to it until then.
    DestinationDown {
        /// Which.
        destination: Box<str>,
        /// Why.
        failure: Box<Failure>,
        /// Until when.
        until: Timestamp,
        /// How many messages wait for it.
        waiting: usize,
    },
    /// A destination wants less mail for a while: nothing goes to it until then.
    DestinationPaused {
        /// Which.
        destination: Box<str>,
        /// What it said.
        failure: Box<Failure>,
        /// Until when.
        until: Timestamp,
        /// How many messages wait for it.
        waiting: usize,
    },
    /// An operator lets nothing go to a destination.
    DestinationSuspended {
        /// Which.
        destination: Box<str>,
    },
    /// An operator lets mail go there again.
    DestinationResumed {
        /// Which.
        destination: Box<str>,
    },
    /// A destination answers again.
    DestinationUp {
        /// Which.
        destination: Box<str>,
    },
}

impl Record {
    /// The record of a message just accepted; `None` if it is a report, of which [`Record::Reported`] tells.
    #[must_use]
    pub fn accepted(id: QueueId, envelope: &Envelope) -> Option<Record> {
        let (from, size, recipients) = (envelope.sender.clone(), envelope.size, envelope.recipients.len());
        match &envelope.origin {
            Origin::Smtp { peer, helo, account } => {
                let (helo, account) = (helo.clone(), account.clone());
                Some(Record::Accepted { id, from, size, recipients, peer: *peer, helo, account })
            }
            Origin::Pickup { file } => Some(Record::PickedUp { id, file: file.clone(), from, size, recipients }),
            Origin::Report { .. } => None,
        }
    }

    /// From which level on the log shows it.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Record::Started { .. }
            | Record::Configured
            | Record::Stopped
            | Record::Paused
            | Record::Continued { .. }
            | Record::Alarm { .. }
            | Record::Badmailed { .. }
            | Record::DestinationDown { .. }
            | Record::DestinationSuspended { .. }
            | Record::DestinationResumed { .. }
            | Record::DestinationUp { .. } => Level::Quiet,
            Record::Accepted { .. }
            | Record::PickedUp { .. }
            | Record::Abandoned { .. }
            | Record::Refused { .. }
            | Record::NotSecured { .. }
            | Record::InClear { .. }
            | Record::Waived { .. }
            | Record::Policy { .. }
            | Record::Delivered { .. }
            | Record::Deferred { .. }
            | Record::Failed { .. }
            | Record::Reported { .. }
            | Record::Requeued { .. }
            | Record::Imported { .. }
            | Record::Held { .. }
            | Record::Released { .. }
            | Record::Deleted { .. }
            | Record::Operator { .. }
            | Record::DestinationPaused { .. } => Level::Info,
            Record::Logon(logon) => logon.level(),
            Record::Connected { .. }
            | Record::Disconnected { .. }
            | Record::Secured { .. }
            | Record::Reached { .. }
            | Record::Unreached { .. }
            | Record::Sent { .. } => Level::Debug,
        }
    }

    /// Appends the line, without time and line end.
    pub fn print(&self, out: &mut String) {
        match self {
            Record::Started { .. }
            | Record::Configured
            | Record::Stopped
            | Record::Paused
            | Record::Continued { .. }
            | Record::Alarm { .. }
            | Record::Operator { .. } => self.print_life(out),
            Record::Logon(logon) => logon.print(out),
            Record::Connected { .. }
            | Record::Disconnected { .. }
            | Record::Accepted { .. }
            | Record::PickedUp { .. }
            | Record::Abandoned { .. }
            | Record::Refused { .. }
            | Record::Secured { .. }
            | Record::NotSecured { .. } => self.print_receiving(out),
            Record::InClear { .. }
            | Record::Waived { .. }
            | Record::Policy { .. }
            | Record::Sent { .. }
            | Record::Reached { .. }
            | Record::Unreached { .. }
            | Record::Delivered { .. }
            | Record::Deferred { .. }
            | Record::Failed { .. }
            | Record::Reported { .. }
            | Record::Badmailed { .. } => self.print_delivery(out),
            Record::Requeued { .. }
            | Record::Imported { .. }
            | Record::Held { .. }
            | Record::Released { .. }
            | Record::Deleted { .. }
            | Record::DestinationDown { .. }
            | Record::DestinationPaused { .. }
            | Record::DestinationSuspended { .. }
            | Record::DestinationResumed { .. }
            | Record::DestinationUp { .. } => self.print_queue(out),
        }
    }

    fn print_life(&self, out: &mut String) {
        match self {
            Record::Started { listen, home } => {
                let line = Line::new(out, "started");
                listen.iter().fold(line, |line, address| line.field("listen", address)).field("home", home);
            }
            Record::Configured => drop(Line::new(out, "configured")),
            Record::Stopped => drop(Line::new(out, "stopped")),
            Record::Paused => drop(Line::new(out, "paused")),
            Record::Continued { listen } => {
                let line = Line::new(out, "continued");
                listen.iter().fold(line, |line, address| line.field("listen", address));
            }
            Record::Alarm { text } => drop(Line::new(out, "alarm").field("text", text)),
            Record::Operator { name, from, what } => {
                Line::new(out, "operator").field("name", name).field("from", from).field("what", what);
            }
            _ => {}
        }
    }

    fn print_receiving(&self, out: &mut String) {
        match self {
            Record::Connected { peer, local } => {
                Line::new(out, "connected").field("peer", peer).field("local", local);
            }
            Record::Disconnected { peer, messages, how } => {
                Line::new(out, "disconnected").field("peer", peer).field("messages", messages).field("how", how);
            }
            Record::Accepted { id, from, size, recipients, peer, helo, account } => {
                let line = Line::new(out, "accepted")
                    .field("id", id)
                    .sender(from)
                    .field("size", size)
                    .field("recipients", recipients)
                    .field("peer", peer)
                    .field("helo", helo);
                line.maybe("account", account.as_ref());
            }
            Record::PickedUp { id, file, from, size, recipients } => {
                Line::new(out, "picked_up")
                    .field("id", id)
                    .sender(from)
                    .field("size", size)
                    .field("recipients", recipients)
                    .field("file", file);
            }
            Record::Abandoned { id, from, size, recipients, peer } => {
                let line = Line::new(out, "abandoned").field("id", id).sender(from).field("size", size);
                line.field("recipients", recipients).field("peer", peer);
            }
            Record::Refused { peer, command, reply, by } => {
                let line = Line::new(out, "refused").field("peer", peer).field("command", command);
                line.field("reply", reply).maybe("by", by.as_ref());
            }
            Record::Secured { peer, version, cipher, name, certificate } => {
                let line = Line::new(out, "secured").field("peer", peer).field("version", version);
                let line = line.field("cipher", cipher).maybe("name", name.as_ref());
                line.maybe("certificate", certificate.as_ref());
            }
            Record::NotSecured { peer, why } => {
                Line::new(out, "not_secured").field("peer", peer).field("why", why);
            }
            _ => {}
        }
    }

    fn print_delivery(&self, out: &mut String) {
        match self {
            Record::InClear { host, why } => drop(Line::new(out, "in_clear").field("host", host).field("why", why)),
            Record::Waived { host, why } => drop(Line::new(out, "waived").field("host", host).field("why", why)),
            Record::Policy { domain, outcome } => {
                let line = Line::new(out, "policy").field("domain", domain);
                match outcome {
                    Ok(mode) => line.field("mode", mode),
                    Err(why) => line.field("why", why),
                };
            }
            Record::Delivered { id, to, by, said, channel, after_ms } => {
                let line = Line::new(out, "delivered").field("id", id).field("to", to).field("by", by);
                line.field("said", said).channel(channel.as_deref()).field("after", &format_args!("{after_ms}ms"));
            }
            Record::Sent { id, recipients, size, local } => {
                let line = Line::new(out, "sent").field("id", id).field("recipients", recipients);
                line.field("size", size).field("way", &if *local { "drop" } else { "smtp" });
            }
            Record::Reached { host, channel } => {
                Line::new(out, "reached").field("host", host).channel(channel.as_deref());
            }
            Record::Unreached { failure } => drop(Line::new(out, "unreached").failure(failure)),
            Record::Deferred { id, to, failure, again, .. } => {
                let line = Line::new(out, "deferred").field("id", id).field("to", to);
                line.failure(failure).field("again", &again.rfc3339());
            }
            Record::Failed { id, to, failure } => {
                Line::new(out, "failed").field("id", id).field("to", to).failure(failure);
            }
            Record::Reported { id, recipients } => {
                Line::new(out, "reported").field("id", id).field("recipients", recipients);
            }
            Record::Badmailed { id, reason } => {
                Line::new(out, "badmailed").field("id", id).field("reason", &badmail_word(*reason));
            }
            _ => {}
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::with_capacity(160);
        self.print(&mut line);
        f.write_str(&line)
    }
}

fn badmail_word(reason: BadmailReason) -> &'static str {
    match reason {
        BadmailReason::BadPickupFile => "bad_pickup_file",
        BadmailReason::NdrOfDsn => "ndr_of_dsn",
        BadmailReason::HopCountExceeded => "hop_count_exceeded",
        BadmailReason::NoRecipients => "no_recipients",
        BadmailReason::GeneralFailure => "general_failure",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::envelope::FailureKind;
    use smtp::reply::EnhancedStatus;

    /// Reads a line back the way a log reader would: the name, then the keys with their unquoted values.
    fn read(line: &str) -> (String, Vec<(String, String)>) {
        assert!(line.bytes().all(|b| (b' '..=b'~').contains(&b)), "{line:?} is not one line of printable ASCII");
        let (name, mut rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut pairs = Vec::new();
        while !rest.is_empty() {
            let (key, after) = rest.split_once('=').unwrap();
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => {
                    let mut escaped = false;
                    let end = quoted
                        .char_indices()
                        .find(|&(_, c)| {
                            let end = c == '"' && !escaped;
                            escaped = c == '\\' && !escaped;
                            end
                        })
                        .unwrap()
                        .0;
                    let (value, after) = (&quoted[..end], &quoted[end + 1..]);
                    (value, after.trim_start_matches(|c: char| c == '+' || c.is_ascii_digit()))
                }
                None => after.split_at(after.find(' ').unwrap_or(after.len())),
            };
            pairs.push((key.to_owned(), value.to_owned()));
            rest = after.strip_prefix(' ').unwrap_or_else(|| {
                assert_eq!(after, "", "in {line}");
                ""
            });
        }
        (name.to_owned(), pairs)
    }

    fn keys(record: &Record) -> Vec<String> {
        read(&record.to_string()).1.into_iter().map(|(key, _)| key).collect()
    }

    fn failure(text: &str) -> Box<Failure> {
        Box::new(Failure {
            kind: FailureKind::Refused,
            status: EnhancedStatus(4, 2, 2),
            host: Some(text.into()),
            reply: Some(Reply::new(452, 2, 2, text.to_owned())),
            text: text.into(),
        })
    }

    /// Every kind of record, with `text` wherever somebody else chooses the words.
    fn all(text: &str) -> Vec<Record> {
        let id = QueueId(0x63f1c);
        let to = Mailbox::parse("\"a b=c\\\" to=x\"@example.com").unwrap();
        let from = ReversePath::Mailbox(to.clone());
        let at = Timestamp(1_795_330_800_123);
        let peer: SocketAddr = "[2001:db8::1]:1025".parse().unwrap();
        vec![
            Record::Started { listen: vec![peer, peer], home: text.into() },
            Record::Configured,
            Record::Stopped,
            Record::Paused,
            Record::Continued { listen: vec![peer] },
            Record::Alarm { text: text.into() },
            Record::Operator { name: text.into(), from: text.into(), what: text.into() },
            Record::Connected { peer, local: peer },
            Record::Disconnected { peer, messages: 3, how: text.into() },
            Record::Accepted {
                id,
                from: from.clone(),
                size: 12,
                recipients: 1,
                peer: peer.ip(),
                helo: text.into(),
                account: Some(text.into()),
            },
            Record::PickedUp { id, file: text.into(), from: from.clone(), size: 12, recipients: 1 },
            Record::Abandoned { id, from, size: 12, recipients: 1, peer: peer.ip() },
            Record::Refused {
                peer: peer.ip(),
                command: text.into(),
                reply: Reply::new(550, 7, 1, text.to_owned()),
                by: Some("access.relay.only"),
            },
            Record::Secured {
                peer,
                version: "TLSv1.3",
                cipher: "TLS_AES_256_GCM_SHA384",
                name: Some(text.into()),
                certificate: Some(text.into()),
            },
            Record::NotSecured { peer, why: text.into() },
            Record::InClear { host: text.into(), why: text.into() },
            Record::Waived { host: text.into(), why: text.into() },
            Record::Policy { domain: Domain::parse("x.test").unwrap(), outcome: Err(text.into()) },
            Record::Delivered {
                id,
                to: to.clone(),
                by: text.into(),
                said: text.into(),
                channel: Channel::parse("TLSv1.3 TLS_AES_256_GCM_SHA384 dane auth PLAIN").map(Arc::new),
                after_ms: 12,
            },
            Record::Sent { id, recipients: 1, size: 12, local: false },
            Record::Reached { host: text.into(), channel: None },
            Record::Unreached { failure: failure(text) },
            Record::Requeued { id, file: text.into(), from: ReversePath::Null, recipients: 1 },
            Record::Imported { id, was: id, from: ReversePath::Null, recipients: 1 },
            Record::Deferred { id, to: to.clone(), failure: failure(text), again: at, local: false },
            Record::Failed { id, to, failure: failure(text) },
            Record::Reported { id, recipients: 2 },
            Record::Badmailed { id, reason: BadmailReason::NdrOfDsn },
            Record::Held { id },
            Record::Released { id },
            Record::Deleted { id, recipients: 3 },
            Record::DestinationDown { destination: text.into(), failure: failure(text), until: at, waiting: 7 },
            Record::DestinationPaused { destination: text.into(), failure: failure(text), until: at, waiting: 7 },
            Record::DestinationSuspended { destination: text.into() },
            Record::DestinationResumed { destination: text.into() },
            Record::DestinationUp { destination: text.into() },
        ]
    }

    #[test]
    fn lines_read_as_promised() {
        let id = QueueId(0x0006_3f1c_2d3e_4f50);
        let to = Mailbox::parse("carol@example.com").unwrap();
        let line = Record::Delivered {
            id,
            to: to.clone(),
            by: "mx.example.com [192.0.2.1]:25".into(),
            said: "250 2.0.0 Ok".into(),
            channel: None,
            after_ms: 12,
        };
        assert_eq!(
            line.to_string(),
            "delivered id=00063f1c2d3e4f50 to=carol@example.com by=\"mx.example.com [192.0.2.1]:25\" said=\"250 2.0.0 Ok\" after=12ms"
        );
        let line = Record::Accepted {
            id,
            from: ReversePath::Null,
            size: 10_240,
            recipients: 2,
            peer: "192.0.2.7".parse().unwrap(),
            helo: "[192.0.2.7]".into(),
            account: None,
        };
        assert_eq!(
            line.to_string(),
            "accepted id=00063f1c2d3e4f50 from=<> size=10240 recipients=2 peer=192.0.2.7 helo=[192.0.2.7]"
        );
        let line =
            Record::Deferred { id, to, failure: failure("full"), again: Timestamp(1_795_330_800_123), local: false };
        assert_eq!(
            line.to_string(),
            "deferred id=00063f1c2d3e4f50 to=carol@example.com trouble=refused status=4.2.2 by=full \
             said=\"452 4.2.2 full\" why=full again=2026-11-22T07:00:00.123Z"
        );
        assert_eq!(Record::Stopped.to_string(), "stopped");
    }

    #[test]
    fn no_value_forges_a_line_a_key_or_an_escape_sequence() {
        let plain: Vec<_> = all("plain").iter().map(keys).collect();
        let hostile = [
            "x\r\n2026-11-22T07:00:00.123Z delivered id=1",
            "x\nfailed id=1",
            "\x1b[31m\x1b]0;title\x07",
            "\0\t\x0b\x7f",
            "\u{85}\u{2028}\u{2029}\u{202e}\u{9b}31m",
            "a id=2 to=nobody",
            "\" id=2 x=\"",
            "\\\" id=2 x=\\\"",
            "\\",
            "id=2",
            "b\u{fc}cher \u{1f4e7}",
            "",
        ];
        for text in hostile {
            for (record, plain) in all(text).iter().zip(&plain) {
                assert_eq!(&keys(record), plain, "{record}");
            }
        }
    }

    #[test]
    fn values_are_bounded_and_say_what_was_left_out() {
        for text in ["x".repeat(100_000), "\0".repeat(100_000), "\u{10ffff}".repeat(100_000)] {
            for record in all(&text) {
                assert!(record.to_string().len() < 8_192, "{} octets", record.to_string().len());
            }
            let line = Record::Alarm { text: text.as_str().into() }.to_string();
            assert!(line.ends_with(&format!("\"+{}", text.len() - VALUE_MAX)), "{line}");
        }
        let fits = "x".repeat(VALUE_MAX);
        assert_eq!(Record::Alarm { text: fits.as_str().into() }.to_string(), format!("alarm text={fits}"));
    }

    #[test]
    fn escapes_can_be_told_apart() {
        let alarm = |text: &str| Record::Alarm { text: text.into() }.to_string();
        assert_eq!(alarm("a\r\n\tb"), r#"alarm text="a\r\n\tb""#);
        assert_eq!(alarm(r"a\r\n\tb"), r#"alarm text="a\\r\\n\\tb""#);
        assert_eq!(alarm("\x1b\0\u{2028}\u{fc}"), r#"alarm text="\x1b\x00\u{2028}\u{fc}""#);
        assert_eq!(alarm(""), r#"alarm text="""#);
    }

    #[test]
    fn who_reads_what() {
        assert_eq!(Record::Stopped.level(), Level::Quiet);
        let debug = all("x").iter().filter(|r| r.level() == Level::Debug).count();
        assert_eq!(debug, 6, "connections, and what the counters alone want, are for debugging");
        assert!(Level::Quiet < Level::Info && Level::Info < Level::Debug);
    }
}
