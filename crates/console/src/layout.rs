//! What every page has around it: the tree of virtual servers, who is logged on, what was just done.
//!
//! A page's template begins with `{% extends "base.html" %}` and fills `{% block content %}`; its struct has a field
//! `frame: Frame`. Pages before the log-on extend `bare.html` and have a field `title`. A form that changes something is
//! `method="post"` and has `{% include "parts/csrf.html" %}` in it. What an operator may not press is not shown: ask
//! [`Frame::may`] and [`Frame::sees`].
//!
//! IIS: the tree of IIS Manager (virtual server: Domains, Current Sessions), with what it lacked.

use crate::path;
use relay::admin::view::{ServerState, ServerView};
use relay::admin::{Command, Operator, Scope, Sight, may, may_see};
use std::borrow::Borrow;

/// What stands around a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The page's name, for its tab and its heading.
    pub title: String,
    /// Whoever is logged on.
    pub operator: Operator,
    /// Goes into each form that changes something.
    pub csrf: String,
    /// The virtual servers that he has to do with.
    pub servers: Vec<ServerView>,
    /// Which page it is.
    pub place: Place,
    /// How many alarms there are.
    pub alarms: usize,
    /// What was just done, or why not.
    pub flash: Option<Flash>,
}

/// A word about what was just done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flash {
    /// In a sentence.
    pub text: String,
    /// It could not be done.
    pub fault: bool,
    /// What goes with it, line by line.
    pub more: Vec<String>,
}

/// Octets of a packed word: a cookie has room for 4,096.
const PACKED_MAX: usize = 3_000;

impl Flash {
    /// It was done.
    #[must_use]
    pub fn done(text: impl Into<String>, more: Vec<String>) -> Flash {
        Flash { text: text.into(), fault: false, more }
    }

    /// For a cookie, so that the page after a form can say it; what is too long for that is left out.
    #[must_use]
    pub fn pack(&self) -> String {
        let mut packed = String::from(if self.fault { "f" } else { "d" });
        for line in std::iter::once(&self.text).chain(&self.more) {
            let line = path::query(&[("", line)]);
            let line = line.strip_prefix("?=").unwrap_or_default();
            if packed.len() + line.len() >= PACKED_MAX {
                packed.push_str(".%E2%80%A6");
                break;
            }
            packed.push('.');
            packed.push_str(&line.replace('.', "%2E"));
        }
        packed
    }

    /// What was packed.
    #[must_use]
    pub fn unpack(packed: &str) -> Option<Flash> {
        let (kind, lines) = packed.split_once('.')?;
        let mut lines = lines.split('.').map(path::plain);
        let text = lines.next()??;
        Some(Flash { text, fault: kind == "f", more: lines.collect::<Option<_>>()? })
    }
}

/// Which page, for the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// All virtual servers with their states and plots.
    Overview,
    /// What an operator should see to.
    Alarms,
    /// Something of a virtual server.
    Server(String, Room),
    /// A new virtual server.
    NewServer,
    /// `[[smart_host]]`.
    SmartHosts,
    /// What would be decided about a message, and why.
    Explain,
    /// Certificates of all virtual servers.
    Certificates,
    /// Operators and tokens.
    Operators,
    /// The audit log.
    Audit,
    /// Versions of the configuration.
    Configuration,
    /// A page that the tree does not have.
    Elsewhere,
}

/// What there is to a virtual server.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Room {
    /// Its property tabs.
    Properties,
    /// Its domains.
    Domains,
    /// Its Current Sessions.
    Sessions,
    /// Its queue: destinations and messages.
    Queue,
    /// Its folders.
    Badmail,
    /// The same.
    Drop,
    /// The same.
    Pickup,
    /// Its counters with plots.
    Counters,
}

impl Room {
    /// In the order of the tree.
    pub const ALL: [Room; 8] = [
        Room::Properties,
        Room::Domains,
        Room::Sessions,
        Room::Queue,
        Room::Badmail,
        Room::Drop,
        Room::Pickup,
        Room::Counters,
    ];

    /// What it is called.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Room::Properties => "Properties",
            Room::Domains => "Domains",
            Room::Sessions => "Current Sessions",
            Room::Queue => "Queue",
            Room::Badmail => "Badmail",
            Room::Drop => "Drop",
            Room::Pickup => "Pickup",
            Room::Counters => "Counters",
        }
    }

    /// Its segment in an address.
    #[must_use]
    pub fn segment(self) -> &'static str {
        match self {
            Room::Properties => "properties",
            Room::Domains => "domains",
            Room::Sessions => "sessions",
            Room::Queue => "queue",
            Room::Badmail => "badmail",
            Room::Drop => "drop",
            Room::Pickup => "pickup",
            Room::Counters => "counters",
        }
    }

    /// What one must be allowed to see for it.
    #[must_use]
    pub fn sight(self) -> Sight {
        match self {
            Room::Properties | Room::Domains => Sight::Configuration,
            _ => Sight::Operation,
        }
    }
}

/// An entry of the tree.
pub(crate) struct Entry {
    pub(crate) label: &'static str,
    pub(crate) address: String,
    pub(crate) here: bool,
    pub(crate) count: u64,
    /// What it counts, as events name it; empty: nothing.
    pub(crate) counts: &'static str,
}

impl Frame {
    /// May he see this?
    #[must_use]
    pub fn sees(&self, sight: Sight, server: Option<&str>) -> bool {
        may_see(&self.operator, sight, server).is_ok()
    }

    /// May he do this? What he may not press is not shown.
    #[must_use]
    pub fn may(&self, command: &Command) -> bool {
        may(&self.operator, command).is_ok()
    }

    /// His role, in words.
    pub(crate) fn role(&self) -> String {
        let role = self.operator.role.name().replace('_', " ");
        match &self.operator.scope {
            Scope::All => role,
            Scope::Servers(names) if names.len() == 1 => format!("{role} of one virtual server"),
            Scope::Servers(names) => format!("{role} of {} virtual servers", names.len()),
        }
    }

    /// A server's entries stand open where one of its pages is, and where there is but one.
    pub(crate) fn opens(&self, server: &ServerView) -> bool {
        self.servers.len() == 1 || matches!(&self.place, Place::Server(name, _) if *name == server.name)
    }

    pub(crate) fn rooms(&self, server: &ServerView) -> Vec<Entry> {
        let rooms = Room::ALL.into_iter().filter(|room| self.sees(room.sight(), Some(&server.name)));
        rooms
            .map(|room| Entry {
                label: room.label(),
                address: path::server(&server.name, &[room.segment()]),
                here: self.place == Place::Server(server.name.clone(), room),
                count: match room {
                    Room::Sessions => server.sessions_in + server.sessions_out,
                    Room::Queue => server.queue.unwrap_or_default(),
                    _ => 0,
                },
                counts: match room {
                    Room::Sessions => "sessions",
                    Room::Queue => "queue",
                    _ => "",
                },
            })
            .collect()
    }

    /// The service's own entries, below the virtual servers.
    pub(crate) fn service(&self) -> Vec<Entry> {
        let all = [
            ("Smart hosts", "/smart-hosts", Place::SmartHosts, Sight::Configuration),
            ("Explain", "/explain", Place::Explain, Sight::Operation),
            ("Certificates", "/certificates", Place::Certificates, Sight::Configuration),
            ("Configuration", "/configuration", Place::Configuration, Sight::Configuration),
            ("Operators", "/operators", Place::Operators, Sight::Operators),
            ("Audit", "/audit", Place::Audit, Sight::Audit),
        ];
        let seen = all.into_iter().filter(|(.., sight)| self.sees(*sight, None));
        seen.map(|(label, address, place, _)| Entry {
            label,
            address: address.into(),
            here: self.place == place,
            count: 0,
            counts: "",
        })
        .collect()
    }

    pub(crate) fn may_add_server(&self) -> bool {
        let new = relay::admin::NewServer {
            name: String::new(),
            listen: Vec::new(),
            home: String::new(),
            default_domain: String::new(),
            recipe: None,
        };
        self.may(&Command::ServerNew { new })
    }
}

/// A state, as a style sheet's class has it.
#[must_use]
pub fn state_class(state: impl Borrow<ServerState>) -> &'static str {
    match state.borrow() {
        ServerState::Running => "running",
        ServerState::Paused => "paused",
        ServerState::Stopped => "stopped",
        ServerState::Starting => "starting",
        ServerState::Failed => "failed",
    }
}

/// The program's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_comes_out_of_the_cookie_as_it_went_in() {
        for (text, more) in [
            ("3 messages held.", vec![]),
            ("a; b=c \"d\" … é\r\n", vec!["1.2.3: 100% %41".to_owned(), "<b>".to_owned()]),
        ] {
            let flash = Flash { text: text.into(), fault: more.is_empty(), more };
            let packed = flash.pack();
            assert!(packed.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"%-_.~".contains(&octet)), "{packed}");
            assert_eq!(Flash::unpack(&packed), Some(flash));
        }
        let long = Flash::done("x".repeat(9), (0..900).map(|at| at.to_string()).collect());
        assert!(long.pack().len() <= PACKED_MAX + 20);
        assert_eq!(Flash::unpack(&long.pack()).map(|flash| flash.more.last().cloned()), Some(Some("…".to_owned())));
        for wrong in ["", "d", "d.%", "d.%4", "d.%zz", "d.%FF"] {
            assert_eq!(Flash::unpack(wrong), None, "{wrong}");
        }
    }
}
