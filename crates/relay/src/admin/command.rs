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
    /// Starts, stops, pauses or continues a virtual server.
    Server {
        /// Its name.
        server: String,
        /// Which.
        verb: ServerVerb,
    },
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
    /// Ends one session.
    SessionEnd {
        /// The virtual server.
        server: String,
        /// The session's number.
        session: u64,
    },
    /// Ends all inbound sessions, or all outbound ones with `outbound`.
    SessionEndAll {
        /// The virtual server.
        server: String,
        /// Those that we opened.
        #[serde(default)]
        outbound: bool,
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
    /// Does something with files of Badmail, Drop or Pickup.
    Folder {
        /// The virtual server.
        server: String,
        /// Which folder.
        folder: Folder,
        /// What.
        verb: FolderVerb,
        /// Names, as the list of files has them.
        names: Vec<String>,
    },
    /// Adds an operator.
    OperatorAdd {
        /// His name.
        name: String,
        /// What he may.
        role: Role,
        /// Where.
        scope: Scope,
        /// A first password; never shown, never logged.
        password: Option<Password>,
    },
    /// Gives an operator another role, or other virtual servers.
    OperatorSet {
        /// His name.
        name: String,
        /// What he may.
        role: Role,
        /// Where.
        scope: Scope,
    },
    /// Gives an operator a new password, and ends his sessions.
    OperatorPassword {
        /// His name.
        name: String,
        /// The password; never shown, never logged.
        password: Password,
    },
    /// Removes an operator, his sessions and his tokens.
    OperatorRemove {
        /// His name.
        name: String,
    },
    /// Makes a token for programs; it is shown once, in the answer.
    TokenNew {
        /// What it is for.
        label: String,
        /// What it may.
        role: Role,
        /// Where.
        scope: Scope,
        /// Days until it ends; none: a year.
        days: Option<u32>,
    },
    /// Ends a token.
    TokenRemove {
        /// Its label.
        label: String,
    },
    /// Goes back to an earlier version of the configuration.
    ConfigRollback {
        /// Its number.
        version: u64,
    },
    /// Reads the configuration file again, as it was edited by hand.
    ConfigReload,
}

/// A password on its way; neither printed nor serialized back.
#[derive(Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Password)]
pub struct Password(String);

impl Password {
    /// Takes it in.
    #[must_use]
    pub fn new(text: String) -> Password {
        Password(text)
    }

    /// The password itself, for whoever makes its hash.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Serialize for Password {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("…")
    }
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

/// What one does with a virtual server.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerVerb {
    /// Listens and delivers.
    Start,
    /// Ends its sessions, and delivers nothing; stays so over a restart of the service.
    Stop,
    /// Takes no new connections; running sessions and delivery go on.
    Pause,
    /// Ends the pause.
    Continue,
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
    /// A recipe to start from, by its name.
    pub recipe: Option<String>,
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
    /// A destination, as the list of destinations names it.
    pub destination: Option<String>,
    /// At least so old, seconds.
    pub older_than_s: Option<u64>,
    /// At most so old, seconds.
    pub younger_than_s: Option<u64>,
    /// Part of the last answer.
    pub reason: Option<String>,
    /// Held ones only, or only those that are not.
    pub held: Option<bool>,
}

/// Which folder.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Folder {
    /// What could be neither delivered nor returned.
    Badmail,
    /// Mail for local domains.
    Drop,
    /// Files that wait to be taken in.
    Pickup,
}

/// What one does with files.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FolderVerb {
    /// Hands it in again as a new message.
    Requeue,
    /// Removes it.
    Delete,
}

impl Command {
    /// The virtual server that it concerns; none: the service as a whole.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        match self {
            Command::Server { server, .. }
            | Command::ServerRename { server, .. }
            | Command::ServerDelete { server }
            | Command::DomainAdd { server, .. }
            | Command::DomainSet { server, .. }
            | Command::DomainRename { server, .. }
            | Command::DomainRemove { server, .. }
            | Command::SessionEnd { server, .. }
            | Command::SessionEndAll { server, .. }
            | Command::Queue { server, .. }
            | Command::DestinationSuspend { server, .. }
            | Command::DestinationResume { server, .. }
            | Command::DestinationRetry { server, .. }
            | Command::Folder { server, .. } => Some(server),
            Command::Set { server, .. } => server.as_deref(),
            Command::ServerNew { .. }
            | Command::SmartHostSet { .. }
            | Command::SmartHostRemove { .. }
            | Command::OperatorAdd { .. }
            | Command::OperatorSet { .. }
            | Command::OperatorPassword { .. }
            | Command::OperatorRemove { .. }
            | Command::TokenNew { .. }
            | Command::TokenRemove { .. }
            | Command::ConfigRollback { .. }
            | Command::ConfigReload => None,
        }
    }
}
