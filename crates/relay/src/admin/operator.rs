//! Operators: who may see and do what, and where.
//!
//! IIS: the Security tab.

use super::{Command, reach, roster};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What an operator may.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Administrator,
    /// Sessions, queue, folders, start, stop and pause; sees all but operators and the audit log.
    Operator,
    /// Sees states, sessions, the queue, and what would be taken.
    HelpDesk,
    /// Sees everything, the audit log too.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 4] = [Role::Administrator, Role::Operator, Role::HelpDesk, Role::Auditor];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Role::Administrator => "administrator",
            Role::Operator => "operator",
            Role::HelpDesk => "help_desk",
            Role::Auditor => "auditor",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All virtual servers, and the service as a whole.
    All,
    /// These virtual servers.
    Servers(Vec<String>),
}

impl Scope {
    /// Does it take in this virtual server (`None`: the service as a whole)?
    #[must_use]
    pub fn includes(&self, server: Option<&str>) -> bool {
        match (self, server) {
            (Scope::All, _) => true,
            (Scope::Servers(names), Some(server)) => names.iter().any(|name| name == server),
            (Scope::Servers(_), None) => false,
        }
    }
}

/// Somebody who has proved who he is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Operator {
    /// His name: of an operator, of a user of this system (`unix:anna`), of a token (`token:backup`).
    pub name: String,
    /// What he may.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// Why a command is not carried out.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// The role does not go so far.
    Role(Role),
    /// It concerns a virtual server, or the service as a whole, which is not his.
    Scope,
    /// The setting reaches beyond his virtual servers: to files, secrets, smart hosts.
    Reach,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::Role(role) => write!(f, "an operator of the role {role} may not do this; an administrator may"),
            Denied::Scope => f.write_str("this virtual server is not among yours"),
            Denied::Reach => f.write_str(
                "settings with folders, files, secrets, or smart hosts that all share are changed by an administrator of everything",
            ),
        }
    }
}

/// May he give this command?
///
/// # Errors
/// He may not, and why.
pub fn may(operator: &Operator, command: &Command) -> Result<(), Denied> {
    // Whoever fears that somebody else sits at a screen of his needs nobody's leave.
    if matches!(command, Command::OperatorLogOut { name } if roster::key(name) == roster::key(&operator.name)) {
        return Ok(());
    }
    if !operator.scope.includes(command.server()) {
        return Err(Denied::Scope);
    }
    let allowed = match operator.role {
        Role::Administrator => true,
        Role::Operator => is_operation(command),
        Role::HelpDesk | Role::Auditor => false,
    };
    if !allowed {
        return Err(Denied::Role(operator.role));
    }
    if operator.scope != Scope::All && !reach::stays_within(command) {
        return Err(Denied::Reach);
    }
    Ok(())
}

/// What is done with what runs, as opposed to what changes the configuration or who may do what.
fn is_operation(command: &Command) -> bool {
    matches!(
        command,
        Command::Queue { .. }
            | Command::ServerState { .. }
            | Command::SessionEnd { .. }
            | Command::SessionEndAll { .. }
            | Command::Folder { .. }
            | Command::DestinationSuspend { .. }
            | Command::DestinationResume { .. }
            | Command::DestinationRetry { .. }
    )
}

/// What there is to see.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Sight {
    /// States, sessions, queue, folders, explain, counters, alarms.
    Operation,
    /// Settings, certificates, versions of the configuration.
    Configuration,
    /// What messages say, beyond their headers: theirs who can do something with them.
    Content,
    /// Operators and tokens.
    Operators,
    /// The audit log.
    Audit,
}

/// May he see this of a virtual server (`None`: of the service as a whole)?
///
/// # Errors
/// He may not, and why.
pub fn may_see(operator: &Operator, sight: Sight, server: Option<&str>) -> Result<(), Denied> {
    // Who has one virtual server sees the service's own state without being told of the others.
    let own = server.is_none() && sight == Sight::Operation;
    if !own && !operator.scope.includes(server) {
        return Err(Denied::Scope);
    }
    let allowed = match (operator.role, sight) {
        // Whose duty is to watch, or to answer the phone, need not read other people's mail.
        (Role::HelpDesk | Role::Auditor, Sight::Content) => false,
        (Role::Administrator | Role::Auditor, _) | (Role::Operator | Role::HelpDesk, Sight::Operation) => true,
        (Role::Operator, sight) => matches!(sight, Sight::Configuration | Sight::Content),
        (Role::HelpDesk, _) => false,
    };
    if allowed { Ok(()) } else { Err(Denied::Role(operator.role)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{QueueVerb, Which};

    fn operator(role: Role, scope: Scope) -> Operator {
        Operator { name: "anna".into(), role, scope }
    }

    fn hold(server: &str) -> Command {
        Command::Queue { server: server.into(), verb: QueueVerb::Hold, which: Which::Ids(Vec::new()) }
    }

    #[test]
    fn each_role_goes_as_far_as_it_should() {
        let change = Command::Set { server: Some("One".into()), changes: Vec::new() };
        let back = Command::ConfigRollback { version: 1 };
        for (role, may_operate, may_change) in [
            (Role::Administrator, true, true),
            (Role::Operator, true, false),
            (Role::HelpDesk, false, false),
            (Role::Auditor, false, false),
        ] {
            let anna = operator(role, Scope::All);
            assert_eq!(may(&anna, &hold("One")).is_ok(), may_operate, "{role}");
            assert_eq!(may(&anna, &change).is_ok(), may_change, "{role}");
            assert_eq!(may(&anna, &back).is_ok(), may_change, "{role}");
        }
    }

    #[test]
    fn nobody_reaches_beyond_his_virtual_servers() {
        let anna = operator(Role::Administrator, Scope::Servers(vec!["One".into()]));
        assert_eq!(may(&anna, &hold("One")), Ok(()));
        assert_eq!(may(&anna, &hold("Two")), Err(Denied::Scope));
        assert_eq!(may(&anna, &Command::ConfigReload), Err(Denied::Scope));
        assert_eq!(may(&anna, &Command::Set { server: None, changes: Vec::new() }), Err(Denied::Scope));
        assert_eq!(may_see(&anna, Sight::Audit, None), Err(Denied::Scope));
        assert_eq!(may_see(&anna, Sight::Operation, None), Ok(()));
        assert_eq!(may_see(&anna, Sight::Operation, Some("Two")), Err(Denied::Scope));
    }

    #[test]
    fn everybody_logs_himself_out_everywhere() {
        for role in Role::ALL {
            let anna = operator(role, Scope::Servers(vec!["One".into()]));
            assert_eq!(may(&anna, &Command::OperatorLogOut { name: "Anna".into() }), Ok(()));
            assert!(may(&anna, &Command::OperatorLogOut { name: "bert".into() }).is_err());
        }
    }

    #[test]
    fn what_each_role_sees() {
        let seen = |role| {
            let sights = [Sight::Operation, Sight::Configuration, Sight::Operators, Sight::Audit, Sight::Content];
            sights.map(|sight| may_see(&operator(role, Scope::All), sight, None).is_ok())
        };
        assert_eq!(seen(Role::Administrator), [true, true, true, true, true]);
        assert_eq!(seen(Role::Operator), [true, true, false, false, true]);
        assert_eq!(seen(Role::HelpDesk), [true, false, false, false, false]);
        assert_eq!(seen(Role::Auditor), [true, true, true, true, false]);
    }
}
