//! Views: what the console, the command line and the API show.
//!
//! Plain values with everything in words and numbers that people and programs read: times as RFC 3339 (UTC), sizes in octets,
//! waits in seconds. What a stranger chose (names, replies, subjects) is in here as it came: whoever shows it escapes it for its
//! place. No secret ever gets into a view.

use super::{Folder, Operator, Role, Scope};
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
    /// What needs attention.
    pub alarms: Vec<Alarm>,
}

/// State of a virtual server (IIS: ServerState).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// It opens its home.
    Starting,
    /// It listens and delivers.
    Running,
    /// It takes no new connections.
    Paused,
    /// It ends its sessions.
    Stopping,
    /// Stopped by an operator.
    Stopped,
    /// It could not start; `trouble` says why.
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
    /// Of those, held by an operator.
    pub held: u64,
    /// Destinations with mail.
    pub destinations: u64,
}

/// What needs attention.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// Since when.
    pub since: String,
    /// The virtual server; none: the service as a whole.
    pub server: Option<String>,
    /// What kind: `certificate`, `token`, `disk`, `badmail`, `destination`, `server`, `configuration`, `other`.
    pub kind: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

/// Which way a session goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Somebody has connected to us.
    Inbound,
    /// We have connected to somebody.
    Outbound,
}

/// A session that goes on (IIS: Current Sessions).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its number; never used twice in one life of the service.
    pub id: u64,
    /// Which way.
    pub direction: Direction,
    /// The account it has authenticated as, else what it calls itself; outbound: the host.
    pub user: String,
    /// The other side's address and port.
    pub from: String,
    /// Since when.
    pub connected: String,
    /// For how long, seconds.
    pub connected_s: u64,
    /// What it does: `greeting`, `MAIL`, `DATA`, `idle` …
    pub state: String,
    /// TLS version and cipher; none: in clear text.
    pub tls: Option<String>,
    /// Messages so far.
    pub messages: u64,
    /// Recipients so far.
    pub recipients: u64,
    /// Octets received.
    pub octets_in: u64,
    /// Octets sent.
    pub octets_out: u64,
    /// Replies that refused something.
    pub refusals: u64,
}

/// One line of a session's dialogue, secrets masked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DialogueLine {
    /// When.
    pub at: String,
    /// `C` the client said it, `S` the server, `*` a note of ours.
    pub who: String,
    /// The line, cut at a bound.
    pub text: String,
}

/// A destination with its queue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DestinationView {
    /// Its name: `example.com`, `[192.0.2.1]:25`, `smart host office`, `drop`.
    pub name: String,
    /// `active`, `idle`, `waiting` (it does not answer), `resting` (it asked us to slow down, or a limit is reached), `suspended`, `held` (TLS or log-on fails).
    pub state: String,
    /// Messages for it.
    pub messages: u64,
    /// Of those, due now.
    pub ready: u64,
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
    /// `ready`, `sending`, `waiting`, `held`.
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
    /// The header, cut at a bound.
    pub header: String,
}

/// One recipient of a message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecipientView {
    /// The address.
    pub address: String,
    /// `queued`, `held`, `delivered`, `failed`, `reported`, `badmail`.
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

/// A file of Badmail, Drop or Pickup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// Which folder.
    pub folder: Folder,
    /// Its name there.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// When it was last written.
    pub modified: String,
    /// Its sender, where the file tells.
    pub sender: Option<String>,
    /// Its recipients, where the file tells.
    pub recipients: Vec<String>,
    /// Its subject, where the file tells.
    pub subject: Option<String>,
    /// Why it is there (Badmail).
    pub reason: Option<String>,
}

/// A file with what is in it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileContent {
    /// In a line.
    pub file: FileView,
    /// The header, cut at a bound.
    pub header: String,
    /// The text, cut at a bound; HTML as text.
    pub text: String,
    /// More followed.
    pub is_cut: bool,
}

/// A setting, as a page or a program shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// Its name.
    pub name: String,
    /// The property tab.
    pub tab: String,
    /// What the old dialog called it.
    pub label: String,
    /// What it does.
    pub help: String,
    /// `text`, `size`, `time`, `count`, `switch`, `choice`, `list` …
    pub unit: String,
    /// What is allowed, in words.
    pub range: String,
    /// The words to choose from.
    pub choices: Vec<String>,
    /// What holds when it is not written, as it would be written.
    pub default: String,
    /// What the file says, as TOML; none: not written.
    pub value: Option<String>,
    /// Its line in the file.
    pub line: Option<u64>,
    /// A change takes effect: `at once`, `new connections`, `restart of the virtual server`.
    pub effect: String,
}

/// A domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DomainView {
    /// Its name.
    pub name: String,
    /// `default`, `alias`, `remote`.
    pub kind: String,
    /// Where its mail goes, in words.
    pub route: String,
    /// Its settings.
    pub settings: Vec<SettingView>,
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

/// An operator's account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OperatorView {
    /// His name.
    pub name: String,
    /// What he may.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// Sessions in the console now.
    pub sessions: u64,
    /// When he was last there.
    pub last_seen: Option<String>,
}

/// A token for programs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// What it is for.
    pub label: String,
    /// What it may.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When it ends.
    pub expires: String,
    /// When it was last used.
    pub last_used: Option<String>,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The virtual server that shows it.
    pub server: String,
    /// Where it comes from.
    pub source: String,
    /// The names in it.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// Until when it is good.
    pub expires: Option<String>,
    /// Days left; negative: over.
    pub days_left: Option<i64>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// The counters of one virtual server (IIS: the SMTP Server performance object).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct CountersView {
    /// The virtual server.
    pub server: String,
    /// Name, help and value of each.
    pub counters: Vec<Counter>,
}

/// One counter.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Counter {
    /// Its name for programs: `messages_received_total`.
    pub name: String,
    /// The old service's name for it, if it had one.
    pub label: String,
    /// What it counts.
    pub help: String,
    /// `true`: it goes up and down.
    pub is_gauge: bool,
    /// The value.
    pub value: u64,
}

/// Rates of the last minutes, for plots: one value a step, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct SeriesView {
    /// Time of the newest value.
    pub at: String,
    /// Seconds between two values.
    pub step_s: u64,
    /// Each plot's values.
    pub series: Vec<Series>,
}

/// One plot.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Series {
    /// `messages_in`, `messages_out`, `queue`, `connections_in`, `connections_out`, `refusals`.
    pub name: String,
    /// Its values.
    pub values: Vec<u64>,
}
