//! The property tabs of a virtual server.

use super::Sheet;
use super::operators::role;
use crate::layout::Frame;
use crate::{Page, path, words, written};
use askama::Template;
use relay::admin::view::{OperatorView, ServerView, SettingView};
use relay::admin::{Command, Scope};

/// A tab.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Tab {
    /// Addresses, connections.
    General,
    /// Who may connect and relay.
    Access,
    /// Limits of messages.
    Messages,
    /// Retries, outbound security and connections.
    Delivery,
    /// Not yet.
    LdapRouting,
    /// Who may change it.
    Security,
    /// Home and bounds of the queue.
    Advanced,
}

impl Tab {
    /// In the order of the dialog.
    pub const ALL: [Tab; 7] =
        [Tab::General, Tab::Access, Tab::Messages, Tab::Delivery, Tab::LdapRouting, Tab::Security, Tab::Advanced];

    /// What it is called.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Tab::General => "General",
            Tab::Access => "Access",
            Tab::Messages => "Messages",
            Tab::Delivery => "Delivery",
            Tab::LdapRouting => "LDAP Routing",
            Tab::Security => "Security",
            Tab::Advanced => "Advanced",
        }
    }

    /// Its segment in an address.
    #[must_use]
    pub fn segment(self) -> &'static str {
        match self {
            Tab::General => "general",
            Tab::Access => "access",
            Tab::Messages => "messages",
            Tab::Delivery => "delivery",
            Tab::LdapRouting => "ldap-routing",
            Tab::Security => "security",
            Tab::Advanced => "advanced",
        }
    }

    /// The tab of that segment.
    #[must_use]
    pub fn named(segment: &str) -> Option<Tab> {
        Tab::ALL.into_iter().find(|tab| tab.segment() == segment)
    }

    /// The tab that has the settings of this table of the file (`messages`, `queue`).
    #[must_use]
    pub fn of_table(table: &str) -> Option<Tab> {
        match table {
            "virtual_server" | "queue" => Some(Tab::Advanced),
            other => Tab::named(other),
        }
    }

    /// Its settings, of all that there are.
    #[must_use]
    pub fn settings(self, mut views: Vec<SettingView>) -> Vec<SettingView> {
        // The name is changed by a command of its own.
        views.retain(|view| view.name != "name" && Tab::of_table(&view.tab) == Some(self));
        views
    }
}

/// The page.
#[derive(Template)]
#[template(path = "desk/properties.html")]
pub struct Properties {
    /// What stands around it.
    pub frame: Frame,
    /// The virtual server.
    pub server: ServerView,
    /// The tab.
    pub tab: Tab,
    /// Its fields.
    pub sheet: Sheet,
    /// Security: who may do something here; none: whoever looks may not know.
    pub operators: Option<Vec<OperatorView>>,
}

impl Page for Properties {
    fn html(&self) -> String {
        written(self.render())
    }
}

impl Properties {
    fn may_change(&self) -> bool {
        self.frame.may(&Command::Set { server: Some(self.server.name.clone()), changes: Vec::new() })
    }

    fn may_delete(&self) -> bool {
        self.frame.may(&Command::ServerDelete { server: self.server.name.clone() })
    }

    fn address(&self, rest: &[&str]) -> String {
        path::server(&self.server.name, rest)
    }

    fn tabs(&self) -> Vec<(String, &'static str, bool)> {
        let tab = |tab: Tab| (self.address(&["properties", tab.segment()]), tab.label(), tab == self.tab);
        Tab::ALL.map(tab).to_vec()
    }

    /// Those who have something to do with this virtual server, and what.
    fn in_charge(&self) -> Vec<&OperatorView> {
        let own = |operator: &&OperatorView| operator.scope.includes(Some(&self.server.name));
        self.operators.iter().flatten().filter(own).collect()
    }
}

/// Where somebody may do what he may, in words.
#[must_use]
pub(crate) fn scope(scope: &Scope) -> String {
    match scope {
        Scope::All => "all virtual servers".into(),
        Scope::Servers(names) => names.join(", "),
    }
}
