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
//! Rooms: `delivery` and `operator` (how those print), `logon`, `line`.
//!
//! Writes nothing and counts nothing itself: the daemon adds the time and the virtual server, and writes the line.

mod delivery;
mod line;
mod logon;
mod operator;

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
            | Record::Alarm { .. } => self.print_life(out),
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
            | Record::Badmailed { .. }
            | Record::DestinationDown { .. }
            | Record::DestinationPaused { .. }
            | Record::DestinationUp { .. } => self.print_delivery(out),
            Record::Operator { .. }
            | Record::Requeued { .. }
            | Record::Imported { .. }
            | Record::Held { .. }
            | Record::Released { .. }
            | Record::Deleted { .. }
            | Record::DestinationSuspended { .. }
            | Record::DestinationResumed { .. } => self.print_operators(out),
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
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::with_capacity(160);
        self.print(&mut line);
        f.write_str(&line)
    }
}

#[cfg(test)]
mod tests;
