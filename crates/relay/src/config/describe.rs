//! A virtual server in words: what it takes, what it relays and for whom, and where each domain's mail goes.
//!
//! `mailroot try` and `mailroot check` print these lines, so that nobody needs to read the settings to know whether a relay is
//! open. Nothing is hidden behind a number: long lists are cut with a count of the rest.

use super::{AccessList, HostPort, Listener, ListenerTls, RemoteDomain, RouteTo, SmartHostUse, VirtualServer};
use smtp::address::Domain;
use std::fmt::Display;

/// Items of a list that are printed.
const ITEMS_SHOWN: usize = 12;

/// Remote domains that get a line.
const DOMAINS_SHOWN: usize = 40;

impl VirtualServer {
    /// What the virtual server does, one sentence a line, without a line for its name.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let mut lines = vec![
            format!("listens on {} as {}", list(&self.general.listen), self.delivery.fqdn),
            self.folders_in_words(),
        ];
        lines.extend(self.connection_in_words());
        lines.push(self.open_in_words());
        lines.extend(self.relay_in_words());
        lines.push(format!("mail for {} goes to {}", self.default_domain.name, self.default_in_words()));
        if !self.aliases.is_empty() {
            lines.push(format!("mail for {} goes there too", list(&self.aliases)));
        }
        lines.extend(self.remotes.iter().take(DOMAINS_SHOWN).map(|remote| self.remote_in_words(remote)));
        if self.remotes.len() > DOMAINS_SHOWN {
            lines.push(format!("and {} more remote domains", self.remotes.len() - DOMAINS_SHOWN));
        }
        lines.push(format!("all other mail goes to {}", self.others_in_words()));
        lines.extend(self.notes());
        lines
    }

    fn folders_in_words(&self) -> String {
        let home = self.home.display();
        let within = |path: &std::path::Path, name| path == self.home.join(name);
        let drop = (!within(&self.default_domain.drop, "Drop"))
            .then(|| format!("; Drop is {}", self.default_domain.drop.display()));
        let badmail = (!within(&self.messages.badmail, "Badmail"))
            .then(|| format!("; Badmail is {}", self.messages.badmail.display()));
        format!(
            "keeps Pickup, Drop, Queue and Badmail in {home}{}{}",
            drop.unwrap_or_default(),
            badmail.unwrap_or_default()
        )
    }

    /// The domains that everybody may send to.
    fn open_in_words(&self) -> String {
        let remotes = self.remotes.iter().filter(|remote| remote.allow_relay);
        let open: Vec<String> = std::iter::once(self.default_domain.name.to_string())
            .chain(self.aliases.iter().map(ToString::to_string))
            .chain(remotes.map(|remote| remote.pattern.to_string()))
            .collect();
        format!("takes mail from everybody for {}", list(&open))
    }

    fn relay_in_words(&self) -> Vec<String> {
        let relay = &self.access.relay;
        let mut lines = match &relay.list {
            _ if relay.open => {
                vec!["RELAYS TO OTHER DOMAINS FOR EVERYBODY: this is an open relay, and said to be wanted".to_owned()]
            }
            AccessList::Only(entries) if entries.is_empty() => {
                vec!["relays to other domains for nobody: list those who may in access.relay".to_owned()]
            }
            AccessList::Only(entries) => vec![
                format!("relays to other domains for {}", list(entries)),
                "refuses to relay for everybody else".to_owned(),
            ],
            AccessList::AllExcept(entries) if entries.is_empty() => {
                vec!["relays to other domains for everybody who may connect".to_owned()]
            }
            AccessList::AllExcept(entries) => {
                vec![format!("relays to other domains for everybody who may connect except {}", list(entries))]
            }
        };
        let methods = &self.access.authentication.methods;
        if relay.authenticated && !methods.is_empty() {
            lines.push(format!("relays for whoever authenticates, by {}", list(methods)));
        }
        lines
    }

    /// Who may connect, where that is not everybody.
    fn connection_in_words(&self) -> Option<String> {
        match &self.access.connection {
            AccessList::AllExcept(entries) if entries.is_empty() => None,
            AccessList::AllExcept(entries) => Some(format!("turns {} away", list(entries))),
            AccessList::Only(entries) if entries.is_empty() => Some("turns everybody away".to_owned()),
            AccessList::Only(entries) => Some(format!("lets nobody in but {}", list(entries))),
        }
    }

    fn default_in_words(&self) -> String {
        match &self.default_domain.route {
            None => "the Drop folder".to_owned(),
            Some(to) => route_in_words(to, Some(&self.default_domain.name)),
        }
    }

    fn remote_in_words(&self, remote: &RemoteDomain) -> String {
        let to = remote.route.as_ref().map_or_else(|| self.others_in_words(), |to| route_in_words(to, None));
        let helo = if remote.helo_only { ", greeted with HELO" } else { "" };
        format!("mail for {} goes to {to}{helo}", remote.pattern)
    }

    fn others_in_words(&self) -> String {
        let hosts = &self.delivery.smart_host;
        let mx = "the hosts that DNS names for its domain (MX)";
        let in_order = || hosts.iter().map(HostPort::to_string).collect::<Vec<_>>().join(", else ");
        match self.delivery.smart_host_use {
            _ if hosts.is_empty() => mx.to_owned(),
            SmartHostUse::Always => format!("the smart host {}", in_order()),
            SmartHostUse::AfterDirect => format!("{mx}; what does not get through, to the smart host {}", in_order()),
        }
    }

    /// What is allowed and yet likely to be regretted.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.delivery.fqdn.as_str().contains('.') {
            notes.push(format!(
                "note: many servers refuse mail from a host that calls itself {:?}; set delivery.fqdn to its full name in DNS",
                self.delivery.fqdn.as_str()
            ));
        }
        if self.general.listen.is_empty() {
            notes.push("note: it listens nowhere; only Pickup brings mail".to_owned());
        } else if self.general.addresses().all(|address| address.ip().to_canonical().is_loopback()) {
            notes.push("note: it can be reached from this machine only".to_owned());
        }
        notes.extend(self.access_notes());
        notes
    }

    /// Settings that will have no effect as they stand.
    fn access_notes(&self) -> Vec<String> {
        let access = &self.access;
        let mut notes = Vec::new();
        let wants_tls = |listener: &&Listener| listener.tls != ListenerTls::Plain;
        if access.certificates.is_empty()
            && let Some(listener) = self.general.listen.iter().find(wants_tls)
        {
            notes.push(format!(
                "note: the listener {} asks for TLS, and there is no certificate: it will not be opened; write access.certificate",
                listener.address
            ));
        }
        let methods = &access.authentication.methods;
        let without_tls = self.general.listen.iter().all(|listener| listener.tls == ListenerTls::Plain);
        let needs_tls = methods.iter().any(|method| method.is_clear_text());
        if needs_tls && without_tls && access.authentication.clear_text_from.is_empty() {
            notes.push(
                "note: passwords and tokens are not taken without TLS, and no listener has it; write access.certificate".to_owned(),
            );
        }
        notes
    }
}

impl Display for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.address.fmt(f)?;
        let authenticated = if self.authentication_required { ", for whoever authenticates" } else { "" };
        match self.tls {
            ListenerTls::Plain if !self.authentication_required => Ok(()),
            ListenerTls::Plain => f.write_str(" (for whoever authenticates)"),
            ListenerTls::StartTls => write!(f, " (STARTTLS{authenticated})"),
            ListenerTls::StartTlsRequired => write!(f, " (STARTTLS required{authenticated})"),
            ListenerTls::Implicit => write!(f, " (TLS{authenticated})"),
        }
    }
}

fn route_in_words(to: &RouteTo, domain: Option<&Domain>) -> String {
    match (to, domain) {
        (RouteTo::Mx, Some(domain)) => format!("the hosts that DNS names for {domain} (MX)"),
        (RouteTo::Mx, None) => "the hosts that DNS names for its domain (MX)".to_owned(),
        (RouteTo::Smtp(host), _) => host.to_string(),
        (RouteTo::Lmtp(host), _) => format!("{host} over LMTP"),
        (RouteTo::LmtpUnix(path), _) => format!("the LMTP socket {}", path.display()),
    }
}

fn list(items: &[impl Display]) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    let shown: Vec<String> = items.iter().take(ITEMS_SHOWN).map(ToString::to_string).collect();
    let rest = items.len() - shown.len();
    if rest == 0 { shown.join(", ") } else { format!("{} and {rest} more", shown.join(", ")) }
}
