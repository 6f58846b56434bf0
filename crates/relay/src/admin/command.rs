//! Commands: every change that an operator can make, as a value.
//!
//! Values are texts as the configuration file has them (`"2 MB"`, `["127.0.0.1"]`), so that all faces and the file speak one
//! language. Nothing is checked here: the configuration is checked as a whole before it is used ([`crate::config::Config::parse`]).

use super::{Role, Scope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Adds a virtual server.
    ServerNew {
        /// What it begins with.
        new: NewServer,
    },
    /// Gives a virtual server another name.
    ServerRename {
        /// Its name.
        server: String,
        /// The new one.
        name: String,
    },
    /// Takes a virtual server out of the configuration; its folders stay.
    ServerDelete {
        /// Its name.
        server: String,
    },
    /// Starts, stops, pauses or continues a virtual server; it stays so over a restart.
    ServerState {
        /// Its name.
        server: String,
        /// What.
        verb: ServerVerb,
    },
    /// Ends a session at once.
    SessionEnd {
        /// The virtual server.
        server: String,
        /// Its id, as the list of sessions has it.
        session: String,
    },
    /// Ends all sessions of a virtual server.
    SessionEndAll {
        /// The virtual server.
        server: String,
        /// Only the inbound or the outbound ones.
        direction: Option<Direction>,
    },
    /// Does something with files of Badmail, Drop or Pickup.
    Folder {
        /// The virtual server.
        server: String,
        /// Which folder.
        folder: FolderName,
        /// What.
        verb: FolderVerb,
        /// Names of its messages, as the list has them.
        names: Vec<String>,
    },
    /// Adds an operator, who has no password yet.
    OperatorAdd {
        /// What he is called.
        name: String,
        /// What he may.
        role: Role,
        /// Where.
        scope: Scope,
    },
    /// Changes what an operator may; sessions of his end.
    OperatorSet {
        /// His name.
        name: String,
        /// What he may from now on.
        role: Option<Role>,
        /// Where, from now on.
        scope: Option<Scope>,
        /// He may not log on (any more).
        disabled: Option<bool>,
    },
    /// Removes an operator, his sessions and his tokens.
    OperatorRemove {
        /// His name.
        name: String,
    },
    /// Makes a link, good for one time, by which an operator sets his password; it is the outcome's secret.
    OperatorInvite {
        /// His name.
        name: String,
    },
    /// Logs an operator out everywhere.
    OperatorLogOut {
        /// His name.
        name: String,
    },
    /// Makes a token for a program; it is the outcome's secret, shown this once.
    TokenNew {
        /// What it is called.
        name: String,
        /// What it allows.
        role: Role,
        /// Where.
        scope: Scope,
        /// For how many days.
        days: u32,
    },
    /// Makes a token worthless.
    TokenRevoke {
        /// Its name.
        name: String,
    },
    /// Changes settings: all of them or none.
    Set {
        /// The virtual server; none for the tables at the top of the file (`dns.servers`).
        server: Option<String>,
        /// Which, in order.
        changes: Vec<Change>,
    },
    /// Adds a domain.
    DomainAdd {
        /// The virtual server.
        server: String,
        /// What it begins with.
        new: NewDomain,
    },
    /// Changes settings of a domain.
    DomainSet {
        /// The virtual server.
        server: String,
        /// Its name as the file has it.
        domain: String,
        /// Settings by their last word (`route`, `allow_relay`).
        changes: Vec<Change>,
    },
    /// Gives a domain another name.
    DomainRename {
        /// The virtual server.
        server: String,
        /// Its name as the file has it.
        domain: String,
        /// The new one.
        name: String,
    },
    /// Removes a domain.
    DomainRemove {
        /// The virtual server.
        server: String,
        /// Its name as the file has it.
        domain: String,
    },
    /// Adds a smart host (`[[smart_host]]`), or changes it: settings by their names below it.
    SmartHostSet {
        /// Its name.
        smart_host: String,
        /// Settings by their names (`hosts`, `tls`, `pacing.connections_max`).
        changes: Vec<Change>,
    },
    /// Removes a smart host that nobody names any more.
    SmartHostRemove {
        /// Its name.
        smart_host: String,
    },
    /// Does something with messages that wait.
    Queue {
        /// The virtual server.
        server: String,
        /// What.
        verb: QueueVerb,
        /// With which.
        which: Which,
    },
    /// Holds back all mail for a destination.
    DestinationSuspend {
        /// The virtual server.
        server: String,
        /// As the list of destinations names it.
        destination: String,
    },
    /// Lets the mail of a suspended destination go.
    DestinationResume {
        /// The virtual server.
        server: String,
        /// As the list of destinations names it.
        destination: String,
    },
    /// Tries a destination at once, whatever it waits for.
    DestinationRetry {
        /// The virtual server.
        server: String,
        /// As the list of destinations names it.
        destination: String,
    },
    /// Goes back to an earlier version of the configuration.
    ConfigRollback {
        /// Its number.
        version: u64,
    },
    /// Reads the configuration file again, as it was edited by hand.
    ConfigReload,
}

/// One setting and what it shall say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its name, as docs/settings.md has it.
    pub setting: String,
    /// The value as TOML; none: the setting is taken out, and its default holds.
    pub value: Option<String>,
}

/// What a new virtual server begins with (the wizard's questions).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewServer {
    /// Its name.
    pub name: String,
    /// Where it listens: `192.0.2.1:25`.
    pub listen: Vec<String>,
    /// Its home folder.
    pub home: String,
    /// Its default domain.
    pub default_domain: String,
    /// The recipe that it begins with (docs/recipes): `inbound-dmz`, `outbound`, `submission`, `application`; none: the defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
}

/// A session as it is imagined: would its mail be taken, and what decides?
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Inquiry {
    /// The virtual server; none: the only one, or the first that fits the port.
    pub server: Option<String>,
    /// The client's address.
    pub from: String,
    /// The port at which it comes in; none: the first listener, with TLS the first that has it.
    pub port: Option<u16>,
    /// It uses TLS.
    pub tls: bool,
    /// It shows a client certificate with this fingerprint, `sha256:…`.
    pub certificate: Option<String>,
    /// It shows a client certificate with this name.
    pub certificate_name: Option<String>,
    /// What it says after EHLO.
    pub helo: Option<String>,
    /// Its name in DNS; none: the DNS is asked, if a list has a domain in it.
    pub name: Option<String>,
    /// It authenticates as this account, with the right password.
    pub auth: Option<String>,
    /// By this method; none: the strongest that it is offered.
    pub method: Option<String>,
    /// The sender's address; empty or `<>`: a report.
    pub sender: String,
    /// The recipient's address.
    pub rcpt: String,
}

/// Which kind of domain.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DomainKind {
    /// The default domain: exactly one.
    Default,
    /// Another name of the default domain.
    Alias,
    /// Mail for elsewhere, with settings of its own.
    Remote,
}

/// What a new domain begins with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDomain {
    /// Its name: `example.com`, `*.example.com`.
    pub name: String,
    /// Which kind.
    pub kind: DomainKind,
    /// Its settings, by their last word.
    #[serde(default)]
    pub changes: Vec<Change>,
}

/// What is done with a virtual server as a whole (IIS: Start, Stop, Pause).
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerVerb {
    /// It listens and delivers.
    Start,
    /// It does neither.
    Stop,
    /// No new connections; running sessions and delivery go on.
    Pause,
    /// Connections are accepted again.
    Continue,
}

/// Which way a session goes.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A client has connected to us.
    Inbound,
    /// We have connected to a next hop.
    Outbound,
}

/// A folder of a virtual server with messages as files.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FolderName {
    /// What could be neither delivered nor returned.
    Badmail,
    /// What came for local domains.
    Drop,
    /// What is handed in as a file.
    Pickup,
}

/// What one does with files of a folder.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FolderVerb {
    /// Puts it into the queue again (Badmail only).
    Requeue,
    /// Takes it away.
    Delete,
}

/// What one does with messages that wait.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueVerb {
    /// Tries at once.
    Retry,
    /// Keeps until released.
    Hold,
    /// Ends the hold.
    Release,
    /// Gives up, and tells the sender.
    Return,
    /// Takes it away without a word.
    Delete,
}

/// With which messages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// These, by their ids.
    Ids(Vec<String>),
    /// All that match.
    Matching(Filter),
}

/// Which messages: all that is given must hold.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Part of the sender's address.
    pub sender: Option<String>,
    /// Part of a recipient's address.
    pub recipient: Option<String>,
    /// Part of the address of the sender or of a recipient.
    pub address: Option<String>,
    /// A destination, as the list of destinations names it.
    pub destination: Option<String>,
    /// At least so old, seconds.
    pub older_than_s: Option<u64>,
    /// At most so old, seconds.
    pub younger_than_s: Option<u64>,
    /// Part of the last answer.
    pub reason: Option<String>,
    /// Part of the subject.
    pub subject: Option<String>,
    /// Held ones only, or only those that are not.
    pub held: Option<bool>,
}

/// Which records of the audit log: all that is given must hold.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuditFilter {
    /// Part of the name of whoever did it.
    pub who: Option<String>,
    /// The virtual server.
    pub server: Option<String>,
    /// Part of what was done, or of what was before or after.
    pub text: Option<String>,
    /// `done`, `refused`, `failed`.
    pub outcome: Option<String>,
}

impl AuditFilter {
    /// Does the record match?
    #[must_use]
    pub fn matches(&self, record: &super::view::AuditRecord) -> bool {
        let part = |wanted: &Option<String>, texts: &[&str]| {
            wanted.as_deref().filter(|wanted| !wanted.is_empty()).is_none_or(|wanted| {
                let wanted = wanted.to_lowercase();
                texts.iter().any(|text| text.to_lowercase().contains(&wanted))
            })
        };
        let (before, after) = (record.before.as_deref().unwrap_or(""), record.after.as_deref().unwrap_or(""));
        let whole = |wanted: &Option<String>, own: &str| {
            wanted.as_deref().filter(|wanted| !wanted.is_empty()).is_none_or(|wanted| wanted == own)
        };
        part(&self.who, &[&record.who])
            && part(&self.text, &[&record.what, before, after])
            && whole(&self.server, record.server.as_deref().unwrap_or(""))
            && whole(&self.outcome, &record.outcome)
    }
}

impl Command {
    /// The virtual server that it concerns; none: the service as a whole.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        match self {
            Command::ServerRename { server, .. }
            | Command::ServerDelete { server }
            | Command::ServerState { server, .. }
            | Command::SessionEnd { server, .. }
            | Command::SessionEndAll { server, .. }
            | Command::Folder { server, .. }
            | Command::DomainAdd { server, .. }
            | Command::DomainSet { server, .. }
            | Command::DomainRename { server, .. }
            | Command::DomainRemove { server, .. }
            | Command::Queue { server, .. }
            | Command::DestinationSuspend { server, .. }
            | Command::DestinationResume { server, .. }
            | Command::DestinationRetry { server, .. } => Some(server),
            Command::Set { server, .. } => server.as_deref(),
            Command::ServerNew { .. }
            | Command::OperatorAdd { .. }
            | Command::OperatorSet { .. }
            | Command::OperatorRemove { .. }
            | Command::OperatorInvite { .. }
            | Command::OperatorLogOut { .. }
            | Command::TokenNew { .. }
            | Command::TokenRevoke { .. }
            | Command::SmartHostSet { .. }
            | Command::SmartHostRemove { .. }
            | Command::ConfigRollback { .. }
            | Command::ConfigReload => None,
        }
    }
}
