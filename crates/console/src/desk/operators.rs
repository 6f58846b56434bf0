//! Operators and tokens.

use super::properties::scope;
use crate::form::{Fields, FormFault};
use crate::layout::Frame;
use crate::{Page, words, written};
use askama::Template;
use relay::admin::roster::TOKEN_DAYS_MAX;
use relay::admin::view::{OperatorView, TokenView};
use relay::admin::{Command, Role, Scope};

/// The choice of all virtual servers; no name is empty.
const EVERYWHERE: &str = "";

/// The page.
#[derive(Template)]
#[template(path = "desk/operators.html")]
pub struct Operators {
    /// What stands around it.
    pub frame: Frame,
    /// Those who log on.
    pub operators: Vec<OperatorView>,
    /// Programs.
    pub tokens: Vec<TokenView>,
    /// What was typed.
    pub form: Fields,
    /// What is wrong with it.
    pub wrong: Option<String>,
}

impl Page for Operators {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Operators {
    fn may_change(&self) -> bool {
        self.frame.may(&Command::OperatorLogOut { name: String::new() })
    }

    fn roles(&self) -> [(&'static str, String, &'static str); 4] {
        Role::ALL.map(|role| (role.name(), role.name().replace('_', " "), purpose(role)))
    }
}

/// A virtual server in a list to choose from.
struct Place {
    value: String,
    label: String,
    chosen: bool,
}

impl Operators {
    /// Where somebody may do what he may, to choose from: everywhere first, then each virtual server, those that are gone too.
    fn places(&self, scope: &Scope) -> Vec<Place> {
        let own: &[String] = match scope {
            Scope::All => &[],
            Scope::Servers(names) => names,
        };
        let there = self.frame.servers.iter().map(|server| &server.name);
        let gone = own.iter().filter(|name| !self.frame.servers.iter().any(|server| server.name == **name));
        let place = |name: &String| Place { value: name.clone(), label: name.clone(), chosen: own.contains(name) };
        let everywhere = Place { value: EVERYWHERE.into(), label: "everywhere".into(), chosen: *scope == Scope::All };
        std::iter::once(everywhere).chain(there.chain(gone).map(place)).collect()
    }

    fn anywhere(&self) -> Vec<Place> {
        self.places(&Scope::All)
    }
}

/// What a role may, in a few words.
fn purpose(role: Role) -> &'static str {
    match role {
        Role::Administrator => "everything",
        Role::Operator => "sessions, queue, start, stop and pause",
        Role::HelpDesk => "looks at sessions and queue, and explains",
        Role::Auditor => "sees everything, the audit log too; changes nothing",
    }
}

/// The role that a form chose, in words.
pub(crate) fn role(role: &Role) -> String {
    role.name().replace('_', " ")
}

/// A form of the page as a command; which one its button says (`do`).
///
/// # Errors
/// Something is missing.
pub fn operator_command(form: &Fields) -> Result<Command, FormFault> {
    let name = || form.need("name", "The name").map(str::to_owned);
    let role = || {
        let role = form.get("role").and_then(Role::parse);
        role.ok_or_else(|| FormFault("Choose a role".into()))
    };
    // Everywhere is said, never assumed: a list from which nothing is chosen widens nobody's hands.
    let scope = || {
        let servers: Vec<String> = form.all("scope").map(str::to_owned).collect();
        match servers.as_slice() {
            [] => Err(FormFault("Choose where: everywhere, or some of the virtual servers".into())),
            names if names.iter().any(|name| name == EVERYWHERE) => Ok(Scope::All),
            _ => Ok(Scope::Servers(servers)),
        }
    };
    Ok(match form.get("do").unwrap_or_default() {
        "add" => Command::OperatorAdd { name: name()?, role: role()?, scope: scope()? },
        "set" => Command::OperatorSet { name: name()?, role: Some(role()?), scope: Some(scope()?), disabled: None },
        "disable" => Command::OperatorSet { name: name()?, role: None, scope: None, disabled: Some(true) },
        "enable" => Command::OperatorSet { name: name()?, role: None, scope: None, disabled: Some(false) },
        "remove" => Command::OperatorRemove { name: name()? },
        "invite" => Command::OperatorInvite { name: name()? },
        "log-out" => Command::OperatorLogOut { name: name()? },
        "token" => {
            let days = form.need("days", "For how many days the token is good")?.parse().ok();
            let days = days.filter(|days| (1..=TOKEN_DAYS_MAX).contains(days));
            let days = days.ok_or_else(|| FormFault(format!("A token is good for 1 to {TOKEN_DAYS_MAX} days")))?;
            Command::TokenNew { name: name()?, role: role()?, scope: scope()?, days }
        }
        "revoke" => Command::TokenRevoke { name: name()? },
        _ => return Err(FormFault("This form does nothing".into())),
    })
}
