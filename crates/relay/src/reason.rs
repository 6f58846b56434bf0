//! A reason: which setting decided, what it says, and where it stands.
//!
//! Made for every judgement of a client and for every route, so it is cheap: where the setting stands is looked up only when
//! somebody asks (`mailroot explain`, a refusal in the log).

use crate::account::SenderPattern;
use crate::config::terms::Owner;
use crate::config::{AccessList, Entry, HostPort, Network, Place, RouteTo, VirtualServer};
use smtp::address::{Domain, Mailbox};
use smtp::sasl::Mechanism;
use std::borrow::Cow;
use std::fmt::{self, Display};

/// What decided: a setting, or a rule that no setting changes.
#[derive(Clone, Debug)]
pub struct Reason<'a> {
    /// The setting's name, as docs/settings.md has it; empty: a fixed rule.
    pub setting: &'static str,
    /// What it says.
    pub value: Value<'a>,
    /// In words.
    pub words: Cow<'static, str>,
    server: &'a VirtualServer,
    spot: Spot<'a>,
}

/// Which of a setting's places decided.
#[derive(Copy, Clone, Debug)]
enum Spot<'a> {
    Setting,
    Item(usize),
    /// The key of a table in a list.
    Key(&'static str, usize),
    /// The key of a domain's table; the domain is a pattern.
    Domain(&'a Domain, bool, &'static str),
    /// The key of terms.
    Terms(&'a Owner, &'static str),
}

impl<'a> Reason<'a> {
    /// The setting as a whole.
    pub(crate) fn setting(
        server: &'a VirtualServer,
        setting: &'static str,
        value: Value<'a>,
        words: impl Into<Cow<'static, str>>,
    ) -> Reason<'a> {
        Reason { setting, value, words: words.into(), server, spot: Spot::Setting }
    }

    /// One item of a list.
    pub(crate) fn item(mut self, index: usize) -> Reason<'a> {
        self.spot = Spot::Item(index);
        self
    }

    /// A setting of one listener's own table.
    pub(crate) fn listener(mut self, index: usize) -> Reason<'a> {
        self.spot = Spot::Key("general.listen", index);
        self
    }

    /// A setting of a domain's own table.
    pub(crate) fn domain(mut self, domain: &'a Domain, below: bool, key: &'static str) -> Reason<'a> {
        self.spot = Spot::Domain(domain, below, key);
        self
    }

    /// A setting of terms: of a smart host, or of a domain.
    pub(crate) fn terms(mut self, owner: &'a Owner, key: &'static str) -> Reason<'a> {
        self.spot = Spot::Terms(owner, key);
        self
    }

    /// No setting, but what always holds.
    pub(crate) fn fixed(server: &'a VirtualServer, words: impl Into<Cow<'static, str>>) -> Reason<'a> {
        Reason::setting(server, "", Value::None, words)
    }

    /// Whose table it stands in: a domain's pattern, or a smart host's name; `None`: the virtual server's.
    #[must_use]
    pub fn whose(&self) -> Option<String> {
        match self.spot {
            Spot::Setting | Spot::Item(_) | Spot::Key(..) | Spot::Terms(Owner::Server, _) => None,
            Spot::Domain(domain, below, _) => Some(if below { format!("*.{domain}") } else { domain.to_string() }),
            Spot::Terms(Owner::SmartHost(name) | Owner::Domain(name), _) => Some(name.to_string()),
        }
    }

    /// Where in the file it stands; `None`: it is not written, and its default decided.
    #[must_use]
    pub fn place(&self) -> Option<Place<'a>> {
        let places = &self.server.places;
        match self.spot {
            Spot::Setting => places.of(self.setting),
            Spot::Item(index) => places.item(self.setting, index),
            Spot::Key(list, index) => places.key(list, index, self.setting.rsplit('.').next().unwrap_or_default()),
            Spot::Domain(domain, below, key) => places.domain(domain, below, key),
            Spot::Terms(owner, key) => places.terms(owner, key),
        }
    }
}

/// What a setting says.
#[derive(Copy, Clone, Debug)]
pub enum Value<'a> {
    /// Nothing that could be shown.
    None,
    /// An entry of a list.
    Entry(&'a Entry),
    /// A whole list.
    List(&'a AccessList),
    /// On or off.
    Switch(bool),
    /// A number.
    Number(u64),
    /// A word.
    Word(&'static str),
    /// A name.
    Name(&'a str),
    /// A network.
    Network(&'a Network),
    /// Networks.
    Networks(&'a [Network]),
    /// A domain.
    Domain(&'a Domain),
    /// An address.
    Mailbox(&'a Mailbox),
    /// Next hops.
    Hosts(&'a [HostPort]),
    /// A domain's route.
    Route(&'a RouteTo),
    /// Methods of authentication.
    Methods(&'a [Mechanism]),
    /// Senders that an account may use.
    Senders(&'a [SenderPattern]),
}

/// Items of a list that are shown.
const ITEMS_SHOWN: usize = 5;

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::None => Ok(()),
            Value::Entry(entry) => entry.fmt(f),
            Value::List(entries) => list(f, entries.entries()),
            Value::Switch(on) => on.fmt(f),
            Value::Number(number) => number.fmt(f),
            Value::Word(word) => f.write_str(word),
            Value::Name(name) => f.write_str(name),
            Value::Network(network) => network.fmt(f),
            Value::Networks(networks) => list(f, networks),
            Value::Domain(domain) => domain.fmt(f),
            Value::Mailbox(mailbox) => mailbox.fmt(f),
            Value::Hosts(hosts) => list(f, hosts),
            Value::Route(route) => route.fmt(f),
            Value::Methods(methods) => list(f, methods),
            Value::Senders(senders) => list(f, senders),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: &[impl Display]) -> fmt::Result {
    f.write_str("[")?;
    for (index, item) in items.iter().take(ITEMS_SHOWN).enumerate() {
        write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
    }
    match items.len().checked_sub(ITEMS_SHOWN) {
        None | Some(0) => f.write_str("]"),
        Some(more) => write!(f, " and {more} more]"),
    }
}
