//! Views: what the console, the command line and the API show.
//!
//! Plain values with everything in words and numbers that people and programs read: times as RFC 3339 (UTC), sizes in octets,
//! waits in seconds. What a stranger chose (names, replies, subjects) is in here as it came: whoever shows it escapes it for its
//! place. No secret ever gets into a view.

use super::{Direction, Operator, Role, Scope};
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
    /// No new connections; running sessions and delivery go on.
    Paused,
    /// It was stopped, and stays so until it is started.
    Stopped,
    /// It will run when its queue is recovered.
    Starting,
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
    /// Messages that wait, held ones included; of one that was stopped, as it was when it stopped. None: it does not run, and nobody
    /// has counted.
    pub queue: Option<u64>,
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

/// One page of the destinations.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
pub struct DestinationsPage {
    /// Those of this page.
    pub items: Vec<DestinationView>,
    /// How many there are in all.
    pub total: u64,
    /// How many of them come before this page.
    pub before: u64,
    /// Ask for the page before with this; none: this is the first one.
    pub previous: Option<String>,
    /// Ask for the next page with this; none: this is the last one.
    pub next: Option<String>,
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
    /// Its subject, or as much of it as is kept.
    pub subject: Option<String>,
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

/// A session that goes on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    /// Its id within the virtual server, to show it or to end it.
    pub id: String,
    /// Which way it goes.
    pub direction: Direction,
    /// The account that has logged on, or that we log on as; the HELO name in brackets if there is none (IIS: User).
    pub user: String,
    /// The other side's address and port (IIS: From).
    pub peer: String,
    /// Our address and port.
    pub local: String,
    /// Since when.
    pub since: String,
    /// For how long, seconds (IIS: Connected Time).
    pub seconds: u64,
    /// What goes on: the last command (`EHLO`, `AUTH`, `MAIL`, `RCPT`, `DATA`), `idle`, `TLS handshake`, `sending`.
    pub state: String,
    /// Messages taken or handed over.
    pub messages: u64,
    /// Octets of messages taken or handed over.
    pub octets: u64,
    /// TLS as used, `TLSv1.3 TLS_AES_128_GCM_SHA256`; none: in the clear.
    pub tls: Option<String>,
    /// Outbound: the destination.
    pub destination: Option<String>,
}

/// One line of a session's dialogue.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DialogueLine {
    /// When.
    pub at: String,
    /// We said it; else the other side.
    pub ours: bool,
    /// As it was said, a secret as `***`, a message as `(1234 octets)`.
    pub text: String,
}

/// A session with its dialogue so far (the newest lines of it).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DialogueView {
    /// In a line.
    pub session: SessionView,
    /// Oldest first.
    pub lines: Vec<DialogueLine>,
    /// Earlier lines that are not kept.
    pub forgotten: u64,
}

/// A message in Badmail, Drop or Pickup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FileView {
    /// Its name in the folder.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// When it was put there.
    pub at: String,
    /// The sender, as far as the file says.
    pub sender: Option<String>,
    /// Recipients, as far as the file says.
    pub recipients: Vec<String>,
    /// Its subject.
    pub subject: Option<String>,
    /// Badmail: why it is there.
    pub why: Option<String>,
}

/// What a message says: the beginning of it, for looking at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ContentView {
    /// Name or id.
    pub name: String,
    /// Octets in all.
    pub size: u64,
    /// Header fields in order: name and value, unfolded and decoded.
    pub headers: Vec<HeaderLine>,
    /// The beginning of its text, as text: never to be shown as HTML.
    pub text: String,
    /// There is more than is shown.
    pub cut: bool,
    /// Names of its attachments.
    pub attachments: Vec<String>,
    /// Badmail: why it is there, the report that lies beside it.
    pub why: Option<String>,
}

/// A header field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeaderLine {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// One counter of a virtual server (IIS: the SMTP Server performance object).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CounterView {
    /// Its name, as Prometheus has it: `mailroot_messages_received_total`.
    pub name: String,
    /// What the old service called it; else a label of ours.
    pub label: String,
    /// What it counts.
    pub help: String,
    /// It only rises (else it is a gauge).
    pub rises: bool,
    /// Its value.
    pub value: u64,
}

/// Rates and levels over the last hour, a point every ten seconds, for plots.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SeriesView {
    /// When each point was taken: seconds since 1970.
    pub at: Vec<u64>,
    /// Each line of a plot.
    pub lines: Vec<SeriesLine>,
}

/// One line of a plot.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SeriesLine {
    /// `messages_in`, `messages_out`, `queue`, `connections_in`, `connections_out`, `refusals`.
    pub name: String,
    /// In words.
    pub label: String,
    /// A value for each point; for what rises, how much it rose since the point before.
    pub values: Vec<u64>,
}

/// Something that an operator should see to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// The virtual server, if it concerns one.
    pub server: Option<String>,
    /// `certificate`, `token`, `disk`, `badmail`, `destination`, `server`, `config`, `console`.
    pub kind: String,
    /// It stops mail (else it will, or might).
    pub urgent: bool,
    /// What is the matter, in a sentence.
    pub text: String,
    /// What to do.
    pub advice: String,
    /// Since when, where that is known.
    pub since: Option<String>,
}

/// A setting with what it says and all that a form needs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// Its name: `messages.size_max`.
    pub name: String,
    /// Its tab: `general`, `access`, `messages`, `delivery`, `queue`, ….
    pub tab: String,
    /// What the dialog calls it.
    pub label: String,
    /// What a value looks like: `text`, `size`, `time`, `number`, `yes_no`, `list`, `choice`, `table`, `secret` (its place).
    pub kind: String,
    /// For `choice`: what there is to choose from.
    pub choices: Vec<String>,
    /// What a value may be, in words.
    pub range: String,
    /// What holds if it is not written, in words.
    pub default: String,
    /// As the file has it, as TOML; none: the default holds.
    pub value: Option<String>,
    /// The same as one types it into a form: no quotes, one item of a list a line.
    pub text: String,
    /// How a value is written, in words with an example.
    pub written_as: String,
    /// What it does.
    pub help: String,
    /// Changing it restarts the virtual server.
    pub restarts: bool,
    /// It is a part of what this setting says, and written there.
    pub within: Option<String>,
}

/// A domain.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DomainView {
    /// Its name as the file has it.
    pub name: String,
    /// `default`, `alias`, `remote`.
    pub kind: super::DomainKind,
    /// Where its mail goes, in words.
    pub route: String,
    /// Everybody may send there.
    pub open: bool,
    /// It is written in the file; a default domain need not be.
    pub written: bool,
    /// The settings that a domain of its kind can have.
    pub settings: Vec<SettingView>,
}

/// A smart host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SmartHostView {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub settings: Vec<SettingView>,
    /// Who names it: `Default SMTP Virtual Server`, `example.com of …`.
    pub used_by: Vec<String>,
}

/// A certificate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CertificateView {
    /// The virtual server.
    pub server: String,
    /// Where it comes from: a file, ACME.
    pub source: String,
    /// The names in it.
    pub names: Vec<String>,
    /// Who issued it.
    pub issuer: String,
    /// When it begins to hold.
    pub from: String,
    /// When it ends.
    pub until: String,
    /// Days that are left; below 0: it is over.
    pub days_left: i64,
    /// What is wrong with it; empty: nothing.
    pub trouble: Vec<String>,
    /// Where it is shown: `0.0.0.0:465 implicit`.
    pub listeners: Vec<String>,
    /// SHA-256 of the certificate.
    pub fingerprint: String,
    /// Its key, in words.
    pub key: String,
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
    /// He may not log on.
    pub disabled: bool,
    /// He has a password.
    pub has_password: bool,
    /// When he last logged on.
    pub last_log_on: Option<String>,
    /// Log-ons of his that are in force.
    pub sessions: u64,
}

/// A program's token; never the token itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When it was made, and by whom.
    pub made: String,
    /// By whom.
    pub by: String,
    /// When it ends.
    pub until: String,
    /// It is over.
    pub expired: bool,
}

/// What would be decided about a mail, and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ExplainView {
    /// The virtual server that answers.
    pub server: String,
    /// It would be taken.
    pub accepted: bool,
    /// Every decision up to the first refusal.
    pub decisions: Vec<DecisionView>,
}

/// One decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DecisionView {
    /// `connection`, `TLS`, `authentication`, `sender`, `recipient`, `rewriting`, `route`.
    pub stage: String,
    /// What was asked, as the session understands it.
    pub asked: String,
    /// Yes.
    pub accepted: bool,
    /// What comes of it, or the reply that refuses.
    pub outcome: String,
    /// In words: why.
    pub because: String,
    /// The setting that decided; none: a rule that no setting changes.
    pub setting: Option<String>,
    /// Its tab, or the table of the file that it stands in.
    pub tab: Option<String>,
    /// The domain or the smart host that it is of; none: the virtual server.
    pub whose: Option<String>,
    /// What it says.
    pub value: String,
    /// The line in the configuration; none: it is not written, and its default decided.
    pub line: Option<u64>,
}
