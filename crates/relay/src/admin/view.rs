//! Views: what the console, the command line and the API show.
//!
//! Plain values with everything in words and numbers that people and programs read: times as RFC 3339 (UTC), sizes in octets,
//! waits in seconds. What a stranger chose (names, replies, subjects) is in here as it came: whoever shows it escapes it for its
//! place. No secret ever gets into a view.

use super::Operator;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One page of a long list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page.
    pub items: Vec<T>,
    /// How many there are in all; none: more than were looked at.
    pub total: Option<u64>,
    /// Ask for the next page with this; none: this was the last one.
    pub next: Option<String>,
}

/// The service as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// The program's version.
    pub version: String,
    /// When it was started.
    pub started: String,
    /// Where the configuration lies.
    pub config: String,
    /// The configuration file has been edited since it was read.
    pub config_edited: bool,
    /// Whoever asks.
    pub operator: Operator,
}

/// State of a virtual server (IIS: ServerState).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It listens and delivers.
    Running,
    /// It could not start; `trouble` says so.
    Failed,
}

/// A virtual server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: ServerState,
    /// Why it does not run as it should; empty if it does.
    pub trouble: Vec<String>,
    /// Where it listens now.
    pub listen: Vec<String>,
    /// Its home folder.
    pub home: String,
    /// Its fully-qualified domain name.
    pub fqdn: String,
    /// Inbound sessions.
    pub sessions_in: u64,
    /// Outbound sessions.
    pub sessions_out: u64,
    /// Messages that wait, held ones included.
    pub queue: u64,
    /// Destinations with mail.
    pub destinations: u64,
}

/// A destination with its queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DestinationView {
    /// Its name: `example.com`, `[192.0.2.1]:25`, `smart host office`, `drop`.
    pub name: String,
    /// `active`, `idle`, `waiting` (it does not answer, or TLS or the log-on fails), `paced` (a limit is reached), `suspended`.
    pub state: String,
    /// Messages for it.
    pub messages: u64,
    /// Age of the oldest, seconds.
    pub oldest_s: u64,
    /// Connections now.
    pub connections: u64,
    /// What it said last, or what went wrong.
    pub last_answer: Option<String>,
    /// When it is tried next.
    pub next_try: Option<String>,
    /// When its queue will be empty, as far as one can tell.
    pub empty_at: Option<String>,
}

/// A message that waits, in a line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageSummary {
    /// Its id.
    pub id: String,
    /// The sender; empty: a report.
    pub sender: String,
    /// The first recipient that waits.
    pub recipient: String,
    /// How many recipients wait.
    pub recipients: u64,
    /// Octets.
    pub size: u64,
    /// When it came.
    pub arrived: String,
    /// Its age, seconds.
    pub age_s: u64,
    /// Where its first waiting recipient's mail goes.
    pub destination: String,
    /// `sending`, `ready`, `waiting`, `resting` (its destination does), `suspended`, `held`, `reporting`.
    pub state: String,
    /// Failed attempts.
    pub tries: u64,
    /// When it is tried next.
    pub next_try: Option<String>,
    /// The last answer.
    pub last_answer: Option<String>,
}

/// A message that waits, with all that is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MessageView {
    /// In a line.
    pub summary: MessageSummary,
    /// How it came: `smtp 192.0.2.1 helo`, `pickup file`, `report about ID`.
    pub origin: String,
    /// The account by which it came.
    pub account: Option<String>,
    /// Each recipient.
    pub recipients: Vec<RecipientView>,
    /// Attempts, oldest first, with the other side's words.
    pub attempts: Vec<AttemptView>,
}

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecipientView {
    /// The address.
    pub address: String,
    /// `queued`, `held`, `delivered`, `failed`, `reported`, `badmail`, `deleted`.
    pub state: String,
    /// Failed attempts.
    pub tries: u64,
    /// When it is tried next, or when it came to its end.
    pub at: Option<String>,
    /// Where it goes, or who took it.
    pub destination: String,
    /// In words: the last failure.
    pub why: Option<String>,
}

/// One attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptView {
    /// When it ended.
    pub at: String,
    /// The host.
    pub host: String,
    /// Whose mail.
    pub recipients: Vec<String>,
    /// The other side's words, or what went wrong.
    pub said: String,
    /// TLS and log-on as used.
    pub channel: Option<String>,
}

/// A version of the configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// Its number, rising.
    pub version: u64,
    /// When it came into force.
    pub at: String,
    /// Who made it.
    pub who: String,
    /// By which change.
    pub what: String,
    /// It is in force now.
    pub current: bool,
}

/// What a change would do, or has done.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Outcome {
    /// In a sentence.
    pub text: String,
    /// How many things it concerned (messages, sessions, files).
    pub count: u64,
    /// The difference in the configuration file, line by line, as `diff -u` writes it; empty: none.
    pub diff: String,
    /// What is restarted or rebound, in words.
    pub restarts: Vec<String>,
    /// What could not be done, in words.
    pub troubles: Vec<String>,
    /// A secret that is shown this once (a token).
    pub secret: Option<String>,
    /// The configuration's version after it.
    pub version: Option<u64>,
}

/// One line of the audit log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// When.
    pub at: String,
    /// Who.
    pub who: String,
    /// From where: an address, or `socket`.
    pub from: String,
    /// The virtual server, if it concerned one.
    pub server: Option<String>,
    /// What, in a sentence; no secret.
    pub what: String,
    /// What was before, where that can be said in a line.
    pub before: Option<String>,
    /// What is after.
    pub after: Option<String>,
    /// `done`, `refused`, `failed`.
    pub outcome: String,
}
